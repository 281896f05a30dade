/*
 * memif: shared memory between two processes of one machine (net_memif), a socket file to meet at.
 * The server makes the file; the client connects, and again when it was cut off (upkeep), for the
 * PMD of 22.11 connects only when a port is started.
 *
 * A life line (life.h) at a file of its own tells when the other process died, which the PMD
 * learns late.
 *
 * A server that was killed leaves its file; probe takes it away if nobody listens there any more.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_eal.h>
#include <rte_ethdev.h>

#include "drivers/port/driver.h"

#define PATH_SIZE 108 /* sun_path */
/* Between two looks for a server that is not there. */
#define ABSENT_RETRY_NS 100000000ull
/* What connecting may take before it is tried anew. */
#define HANDSHAKE_NS  1000000000ull
#define CLOSE_WAIT_MS 1000

enum role { ROLE_SERVER, ROLE_CLIENT };

static const struct perron_option options[] = {
    {"socket", PERRON_OPTION_TEXT, NULL, "file to meet at, e.g. /run/perron/line.sock"},
    {"role", PERRON_OPTION_CHOICE, NULL, "one end is the server, the other the client",
     .choices = "server|client"},
    {"id", PERRON_OPTION_INTEGER, "0", "the same at both ends of one link", .min = 0,
     .max = UINT32_MAX},
    {"ring", PERRON_OPTION_INTEGER, "10", "binary logarithm of the ring's size", .min = 5,
     .max = 14},
    {"queues", PERRON_OPTION_CHOICE, "1",
     "4: a ring a class, read most urgent first; the same at both ends", .choices = "1|4"},
    {"zero_copy", PERRON_OPTION_BOOLEAN, "no",
     "client: lend the pool's memory to the server; needs huge pages"},
    {NULL},
};

static uint16_t queue_count(const struct perron_port_config *config)
{
	return perron_port_option_number(config, "queues") == 0 ? 1 : 4;
}

static bool is_client(const struct perron_port_config *config)
{
	return perron_port_option_number(config, "role") == ROLE_CLIENT;
}

static int check(const struct perron_port_config *config, char *error, size_t error_size)
{
	const char *path = perron_port_option_text(config, "socket");
	if (path[0] != '/') {
		snprintf(error, error_size, "socket '%.64s': expected a path from the root on",
			 path);
		return -EINVAL;
	}
	if (strlen(path) >= PATH_SIZE) {
		snprintf(error, error_size,
			 "socket '%.64s...' is too long; expected at most %d "
			 "characters",
			 path, PATH_SIZE - 1);
		return -EINVAL;
	}
	if (perron_port_option_number(config, "zero_copy") && !is_client(config)) {
		snprintf(error, error_size, "zero_copy: only the client lends its memory");
		return -EINVAL;
	}
	return perron_port_text_check(config, "socket", error, error_size);
}

/*
 * Whether somebody listens at the file. Asked with a socket of another type, which the kernel
 * refuses by EPROTOTYPE before the listener learns of it: a server of the PMD of 22.11 that is
 * connected to and left at once takes its whole process down.
 */
static bool is_listened_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return true;
	int result = connect(fd, (const struct sockaddr *)&address, sizeof(address));
	bool refused = result < 0 && (errno == ECONNREFUSED || errno == ENOENT);
	close(fd);
	return !refused;
}

static int server_probe(const char *path, char *error, size_t error_size)
{
	struct stat status;
	if (lstat(path, &status))
		return 0; /* the usual case: nothing there */
	if (!S_ISSOCK(status.st_mode)) {
		snprintf(error, error_size, "memif: %s is no socket; choose another name", path);
		return -EEXIST;
	}
	if (is_listened_at(path)) {
		snprintf(error, error_size, "memif: another station listens at %s", path);
		return -EADDRINUSE;
	}
	if (unlink(path)) {
		int result = -errno;
		snprintf(error, error_size, "memif: cannot remove the stale socket %s: %s", path,
			 strerror(-result));
		return result;
	}
	return 0;
}

static int probe(const struct perron_port_config *config, char *error, size_t error_size)
{
	const char *path = perron_port_option_text(config, "socket");
	char copy[PATH_SIZE];
	snprintf(copy, sizeof(copy), "%s", path);
	const char *directory = dirname(copy);
	if (access(directory, is_client(config) ? X_OK : W_OK | X_OK)) {
		int result = -errno;
		snprintf(error, error_size, "memif: directory %s: %s; run: mkdir -p %s", directory,
			 strerror(-result), directory);
		return result;
	}
	return is_client(config) ? 0 : server_probe(path, error, error_size);
}

static int eal_argument(const struct perron_port_config *config, char *out, size_t out_size)
{
	int n = snprintf(out, out_size,
			 "--vdev=net_memif%u,role=%s,id=%u,socket=%s,socket-abstract=no,"
			 "bsize=2048,rsize=%d,zero-copy=%s",
			 config->index, is_client(config) ? "client" : "server",
			 (unsigned int)perron_port_option_number(config, "id"),
			 perron_port_option_text(config, "socket"),
			 (int)perron_port_option_number(config, "ring"),
			 perron_port_option_number(config, "zero_copy") ? "yes" : "no");
	return n < 0 || (size_t)n >= out_size ? -ENAMETOOLONG : 0;
}

static const char *eal_flag(const struct perron_port_config *config)
{
	return perron_port_option_number(config, "zero_copy") ? "--single-file-segments" : NULL;
}

static uint32_t buffer_count(const struct perron_port_config *config)
{
	if (!perron_port_option_number(config, "zero_copy"))
		return 0;
	return 2u * queue_count(config) << perron_port_option_number(config, "ring");
}

/* Where the path is too long for a file beside it, there is none: the PMD tells in the end. */
static void life_begin(struct perron_port *port)
{
	char path[PERRON_PORT_LIFE_PATH_SIZE];
	int size = snprintf(path, sizeof(path), "%s.life%u",
			    perron_port_option_text(port->config, "socket"),
			    (unsigned int)perron_port_option_number(port->config, "id"));

	if (size > 0 && (size_t)size < sizeof(path))
		(void)!perron_port_life_open(&port->life, path, !is_client(port->config));
}

static int open_port(struct perron_port *port, char *error, size_t error_size)
{
	if (perron_port_option_number(port->config, "zero_copy") && !rte_eal_has_hugepages()) {
		snprintf(error, error_size,
			 "port %u (memif): zero_copy needs huge pages; give some, or zero_copy: no",
			 port->config->index);
		return -ENOTSUP;
	}
	uint16_t size = (uint16_t)(1u << perron_port_option_number(port->config, "ring"));
	struct perron_port_device_wish wish = {
	    .rx_queue_count = queue_count(port->config),
	    .tx_queue_count = queue_count(port->config),
	    .rx_descriptor_count = size,
	    .tx_descriptor_count = size,
	    .start_may_fail = is_client(port->config),
	};
	snprintf(port->device_name, sizeof(port->device_name), "net_memif%u", port->config->index);
	port->upkeep_next_ns = 0;
	int result = perron_port_device_open(port, &wish, error, error_size);
	atomic_store_explicit(&port->live, false, memory_order_release);
	if (!result)
		life_begin(port);
	return result;
}

static void link_read(const struct perron_port *port, struct perron_port_link *out)
{
	perron_port_device_link(port, out);
	/* Pairs with the store of the life line's thread. */
	if (atomic_load_explicit(&port->life.is_lost, memory_order_acquire))
		out->up = false;
}

/* Pairs with the loads in perron_port_receive and _transmit. */
static void live_set(struct perron_port *port, bool live)
{
	atomic_store_explicit(&port->live, live, memory_order_release);
}

/*
 * Connecting and disconnecting happen on the EAL's interrupt thread, without a lock: what stops or
 * starts the port must run there too, as an alarm.
 */
static void interrupt_restart(void *context)
{
	struct perron_port *port = context;
	(void)rte_eth_dev_stop(port->device_id);
	int result = rte_eth_dev_start(port->device_id);
	atomic_store_explicit(&port->start_failed, result != 0, memory_order_relaxed);
	/* Pairs with the load in upkeep. */
	atomic_store_explicit(&port->upkeep_pending, false, memory_order_release);
}

static void interrupt_stop(void *context)
{
	struct perron_port *port = context;
	(void)rte_eth_dev_stop(port->device_id);
	/* Pairs with the load in close_port. */
	atomic_store_explicit(&port->upkeep_pending, false, memory_order_release);
}

static bool on_interrupt_thread(struct perron_port *port, rte_eal_alarm_callback function)
{
	atomic_store_explicit(&port->upkeep_pending, true, memory_order_relaxed);
	if (rte_eal_alarm_set(1, function, port) == 0)
		return true;
	atomic_store_explicit(&port->upkeep_pending, false, memory_order_relaxed);
	return false;
}

static uint64_t retry_interval_ns(const struct perron_port *port)
{
	return atomic_load_explicit(&port->start_failed, memory_order_relaxed) ? ABSENT_RETRY_NS
									       : HANDSHAKE_NS;
}

/*
 * The lcore touches the device only while its link is up: a burst while it connects would read a
 * ring that is half set up. When the link goes down the lcore has ABSENT_RETRY_NS to leave.
 */
static void upkeep(struct perron_port *port, uint64_t now_ns)
{
	struct perron_port_link link = {0};
	/* Pairs with the stores above. */
	if (atomic_load_explicit(&port->upkeep_pending, memory_order_acquire))
		return;
	perron_port_device_link(port, &link);
	live_set(port, link.up);
	/* Now the PMD knows, too: whoever comes next may have no life line. */
	if (!link.up)
		atomic_store_explicit(&port->life.is_lost, false, memory_order_relaxed);
	if (link.up || port->upkeep_next_ns == 0)
		port->upkeep_next_ns = now_ns + retry_interval_ns(port);
	if (link.up || !is_client(port->config) || now_ns < port->upkeep_next_ns)
		return;
	if (!is_listened_at(perron_port_option_text(port->config, "socket"))) {
		port->upkeep_next_ns = now_ns + ABSENT_RETRY_NS;
		return;
	}
	port->upkeep_next_ns = now_ns + HANDSHAKE_NS;
	(void)on_interrupt_thread(port, interrupt_restart);
}

static void close_port(struct perron_port *port)
{
	const char *path = perron_port_option_text(port->config, "socket");
	struct timespec pause = {0, 1000000};
	perron_port_life_close(&port->life);
	(void)rte_eal_alarm_cancel(interrupt_restart, port);
	(void)on_interrupt_thread(port, interrupt_stop);
	for (int i = 0; i < CLOSE_WAIT_MS; i++) {
		if (!atomic_load_explicit(&port->upkeep_pending, memory_order_acquire))
			break;
		nanosleep(&pause, NULL);
	}
	(void)rte_eal_alarm_cancel(interrupt_stop, port);
	perron_port_device_close(port);
	/* The PMD does so itself when its last port goes; it says nothing if it could not. */
	if (!is_client(port->config) && !is_listened_at(path))
		(void)unlink(path);
}

const struct perron_port_api perron_port_memif = {
    .name = "memif",
    .summary = "shared memory with one other process of this machine",
    .options = options,
    .link_is_polled = true,
    .multi_segment = true,
    .check = check,
    .probe = probe,
    .eal_argument = eal_argument,
    .eal_flag = eal_flag,
    .buffer_count = buffer_count,
    .open = open_port,
    .upkeep = upkeep,
    .close = close_port,
    .statistics = perron_port_device_statistics,
    .link = link_read,
};
