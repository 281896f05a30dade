/* The registry, checks of configs, arguments for the EAL, and what probe finds on this machine. */
#include "test/unit/support.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "drivers/port/port.h"

static struct perron_option_value options[8];
static struct perron_port_config config;
static char error[PERRON_PORT_ERROR_SIZE];

/* Key and value in turn, ended by NULL. */
static const struct perron_port_config *ask(const char *driver, ...)
{
	va_list arguments;
	uint32_t count = 0;
	memset(options, 0, sizeof(options));
	va_start(arguments, driver);
	for (const char *key; (key = va_arg(arguments, const char *)); count++) {
		snprintf(options[count].key, sizeof(options[count].key), "%s", key);
		snprintf(options[count].value, sizeof(options[count].value), "%s",
			 va_arg(arguments, const char *));
	}
	va_end(arguments);
	config = (struct perron_port_config){
	    .index = 3, .driver = driver, .options = options, .option_count = count};
	error[0] = 0;
	return &config;
}

static void expect_bad(const struct perron_port_config *asked, const char *says)
{
	uint32_t culprit;
	assert_int_equal(perron_port_config_check(asked, &culprit, error, sizeof(error)), -EINVAL);
	if (!strstr(error, says) || strchr(error, '\n'))
		fail_msg("\"%s\" does not say \"%s\" in one line", error, says);
}

static void expect_good(const struct perron_port_config *asked)
{
	uint32_t culprit;
	if (perron_port_config_check(asked, &culprit, error, sizeof(error)))
		fail_msg("%s", error);
}

static void expect_argument(const struct perron_port_config *asked, const char *argument)
{
	char out[PERRON_PORT_ARGUMENT_SIZE];
	expect_good(asked);
	assert_int_equal(perron_port_eal_argument(asked, out, sizeof(out), error, sizeof(error)),
			 0);
	assert_string_equal(out, argument);
	char small[8];
	if (argument[0])
		assert_int_equal(
		    perron_port_eal_argument(asked, small, sizeof(small), error, sizeof(error)),
		    -ENAMETOOLONG);
}

static void test_every_driver_is_whole(void **state)
{
	(void)state;
	char help[8192];
	assert_int_equal(perron_port_driver_count(), 6);
	for (uint32_t i = 0; i < perron_port_driver_count(); i++) {
		const struct perron_port_api *api = perron_port_driver_at(i);
		assert_ptr_equal(perron_port_driver_find(api->name), api);
		assert_ptr_equal(perron_port_driver_options(api->name), api->options);
		assert_string_equal(perron_port_driver_name(i), api->name);
		assert_true(api->probe && api->eal_argument && api->buffer_count && api->open &&
			    api->close && api->link && api->summary[0]);
		/* A default must be what its own option would take. */
		for (const struct perron_option *o = api->options; o->name; o++)
			if (o->default_text)
				assert_int_equal(perron_option_parse(o, o->default_text, NULL,
								     error, sizeof(error)),
						 0);
		assert_true(perron_port_help(api, help, sizeof(help)) < sizeof(help));
		assert_non_null(strstr(help, api->summary));
	}
	assert_null(perron_port_driver_name(6));
	assert_null(perron_port_driver_find("rign"));
	size_t whole = perron_port_help(NULL, help, sizeof(help));
	assert_in_range(whole, 500, sizeof(help) - 1);
	assert_int_equal(perron_port_help(NULL, NULL, 0), whole);
}

static void test_bad_configs_say_what_was_expected(void **state)
{
	(void)state;
	expect_bad(ask("afpacket", NULL),
		   "expected one of af_packet, af_xdp, memif, pci, ring, tap");
	expect_bad(ask("af_packet", NULL), "interface");
	expect_bad(ask("af_packet", "interface", "eth0", "speed", "9", NULL), "speed");
	expect_bad(ask("af_packet", "interface", "eth0123456789abc", NULL), "1 to 15 characters");
	expect_bad(ask("af_packet", "interface", "a,b", NULL), "no text for the EAL");
	expect_bad(ask("af_packet", "interface", "eth0", "frames", "33", NULL), "even");
	expect_bad(ask("af_xdp", "interface", "e/0", NULL), "1 to 15");
	expect_bad(ask("tap", "interface", "tap 0", NULL), "no text for the EAL");
	expect_bad(ask("memif", "socket", "/run/x", NULL), "role");
	expect_bad(ask("memif", "socket", "/run/x", "role", "master", NULL), "server");
	expect_bad(ask("memif", "socket", "x", "role", "server", NULL), "from the root on");
	expect_bad(ask("memif", "socket", "/x", "role", "server", "zero_copy", "yes", NULL),
		   "only the client");
	char path[130];
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	expect_bad(ask("memif", "socket", path, "role", "server", NULL), "at most 107");
	expect_bad(ask("pci", "device", "01:00.0", NULL), "0000:01:00.0");
	expect_bad(ask("pci", "device", "0000:01:20.0", NULL), "no PCI address");
	expect_bad(ask("ring", "link", "seventeen-letters", NULL), "1 to 16");
	expect_bad(ask("ring", "link", "a", "size", "100", NULL), "power of two");
}

static void test_arguments_for_the_eal(void **state)
{
	(void)state;
	expect_argument(ask("af_packet", "interface", "eth0", NULL),
			"--vdev=net_af_packet3,iface=eth0,qpairs=1,blocksz=4096,framesz=2048,"
			"framecnt=512,qdisc_bypass=1");
	expect_argument(
	    ask("af_xdp", "interface", "eth0", "busy_budget", "64", "copy", "yes", NULL),
	    "--vdev=net_af_xdp3,iface=eth0,start_queue=0,queue_count=1,busy_budget=64,"
	    "force_copy=1");
	expect_argument(
	    ask("memif", "socket", "/run/x", "role", "client", "zero_copy", "yes", NULL),
	    "--vdev=net_memif3,role=client,id=0,socket=/run/x,socket-abstract=no,"
	    "bsize=2048,rsize=10,zero-copy=yes");
	assert_string_equal(perron_port_eal_flag(&config), "--single-file-segments");
	assert_false(perron_port_needs_pci(&config));
	expect_argument(ask("tap", "interface", "p0", NULL), "--vdev=net_tap3,iface=p0");
	assert_null(perron_port_eal_flag(&config));
	expect_argument(ask("pci", "device", "0000:01:00.0", NULL), "--allow=0000:01:00.0");
	assert_true(perron_port_needs_pci(&config));
	expect_argument(ask("ring", "link", "a", NULL), "");
}

static void test_pools_must_have_room_for_queues(void **state)
{
	(void)state;
	assert_int_equal(perron_port_buffer_count(ask("af_packet", "interface", "e", NULL)), 0);
	config.impair.set = true;
	assert_int_equal(perron_port_buffer_count(&config), PERRON_PORT_IMPAIR_HELD_DEFAULT);
	assert_int_equal(perron_port_buffer_count(ask("af_xdp", "interface", "e", NULL)), 8192);
	assert_int_equal(perron_port_buffer_count(ask("memif", "socket", "/x", "role", "client",
						      "zero_copy", "yes", "queues", "4", NULL)),
			 8192);
}

static void expect_absent(const struct perron_port_config *asked, int result, const char *says)
{
	expect_good(asked);
	assert_int_equal(perron_port_probe(asked, error, sizeof(error)), result);
	if (!strstr(error, says) || strchr(error, '\n'))
		fail_msg("\"%s\" does not say \"%s\" in one line", error, says);
}

static void test_what_the_machine_lacks_is_said_before_the_eal_starts(void **state)
{
	(void)state;
	expect_absent(ask("af_packet", "interface", "no-such-if", NULL), -ENODEV,
		      "interface no-such-if does not exist");
	expect_absent(ask("af_xdp", "interface", "no-such-if", NULL), -ENODEV, "ip link");
	expect_absent(ask("pci", "device", "ffff:ff:1f.7", NULL), -ENODEV, "lspci");
	expect_absent(ask("memif", "socket", "/no/such/x", "role", "client", NULL), -ENOENT,
		      "mkdir -p /no/such");
	expect_absent(ask("tap", "interface", "lo", NULL), -EEXIST, "exists already");
}

static int socket_make(const char *path, bool listens)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (listens)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void test_a_killed_servers_socket_does_not_stop_the_next(void **state)
{
	(void)state;
	char directory[] = "/tmp/perron-port-XXXXXX", path[64];
	struct stat status;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	ask("memif", "socket", path, "role", "server", NULL);
	assert_int_equal(perron_port_probe(&config, error, sizeof(error)), 0);
	int fd = socket_make(path, true);
	expect_absent(&config, -EADDRINUSE, "another station listens");
	assert_int_equal(stat(path, &status), 0);
	/* The one that listens must not even notice. */
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	assert_int_equal(poll(&poll_fd, 1, 0), 0);
	close(fd); /* as a kill leaves it: the file, and nobody behind it */
	assert_int_equal(perron_port_probe(&config, error, sizeof(error)), 0);
	assert_int_equal(stat(path, &status), -1);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	expect_absent(&config, -EEXIST, "is no socket");
	assert_int_equal(stat(path, &status), 0);
	unlink(path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_every_driver_is_whole),
	    cmocka_unit_test(test_bad_configs_say_what_was_expected),
	    cmocka_unit_test(test_arguments_for_the_eal),
	    cmocka_unit_test(test_pools_must_have_room_for_queues),
	    cmocka_unit_test(test_what_the_machine_lacks_is_said_before_the_eal_starts),
	    cmocka_unit_test(test_a_killed_servers_socket_does_not_stop_the_next),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
