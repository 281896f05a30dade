/* The reports through rte_telemetry: asked over its real socket, answered by housekeeping. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>

#include "runtime/housekeeping/report.h"
#include "runtime/housekeeping/telemetry.h"
#include "test/unit/runtime/housekeeping/fake.h"
#include "test/unit/support.h"

#define CANNOT_RUN 77

static int telemetry = -1;
static char answer[32768];

static void serve_until_answered(void)
{
	struct pollfd fds[] = {{telemetry, POLLIN, 0}, {perron_telemetry_fd(), POLLIN, 0}};

	while (!(fds[0].revents & POLLIN)) {
		assert_true(poll(fds, 2, 10000) > 0);
		if (fds[1].revents & POLLIN)
			perron_telemetry_step();
	}
}

static json_t *ask(const char *command)
{
	assert_int_equal(send(telemetry, command, strlen(command), 0), strlen(command));
	serve_until_answered();
	ssize_t size = recv(telemetry, answer, sizeof(answer) - 1, 0);
	assert_true(size > 0);
	answer[size] = 0;
	json_t *reply = json_loads(answer, 0, NULL);
	if (!reply)
		fail_msg("no JSON: %s", answer);
	return reply;
}

static void status_is_there(void **state)
{
	json_t *reply = ask("/perron/status");
	const json_t *body = json_object_get(reply, "/perron/status");

	(void)state;
	assert_string_equal(json_string_value(json_object_get(body, "station")), "alpha");
	assert_int_equal(json_integer_value(json_object_get(body, "joined")), 1);
	json_decref(reply);
}

static void rows_keep_their_members(void **state)
{
	json_t *reply = ask("/perron/peers");
	const json_t *body = json_object_get(reply, "/perron/peers");
	const json_t *second = json_object_get(json_object_get(body, "peers"), "1");

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(second, "peer")), 2);
	const json_t *link = json_object_get(json_object_get(second, "links"), "0");
	const json_t *verdict = json_object_get(link, "verdict");
	assert_int_equal(json_integer_value(json_object_get(verdict, "silence_ns")), 251000000);
	json_decref(reply);
}

static void long_lists_go_on_where_next_says(void **state)
{
	char command[64];
	json_int_t next = 0, seen = 0;

	(void)state;
	fake_peer_count = 100;
	do {
		snprintf(command, sizeof(command), "/perron/peers,%d", (int)next);
		json_t *reply = ask(command);
		const json_t *body = json_object_get(reply, "/perron/peers");
		seen += (json_int_t)json_object_size(json_object_get(body, "peers"));
		next = json_integer_value(json_object_get(body, "next"));
		if (next)
			assert_int_equal(next, seen);
		json_decref(reply);
	} while (next && seen < 200);
	assert_int_equal(seen, 100);
	fake_peer_count = 2;
}

/* The last one: nothing is answered after it. */
static void a_stopped_station_says_so(void **state)
{
	(void)state;
	perron_telemetry_stop();
	json_t *reply = ask("/perron/status");
	const json_t *body = json_object_get(reply, "/perron/status");
	assert_string_equal(json_string_value(json_object_get(body, "error")),
			    "the station does not answer");
	json_decref(reply);
}

static bool dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/dpdk_telemetry.v2",
		 rte_eal_get_runtime_dir());
	telemetry = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (connect(telemetry, (struct sockaddr *)&address, sizeof(address)))
		return false;
	return recv(telemetry, answer, sizeof(answer), 0) > 0; /* its greeting */
}

static char directory[] = "/tmp/perron-telemetry-XXXXXX";
static char runtime[256];

/* EAL leaves its runtime directory behind. */
static void remove_directories(void)
{
	char path[256];

	rmdir(runtime);
	snprintf(path, sizeof(path), "%s/dpdk", directory);
	rmdir(path);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(status_is_there),
	    cmocka_unit_test(rows_keep_their_members),
	    cmocka_unit_test(long_lists_go_on_where_next_says),
	    cmocka_unit_test(a_stopped_station_says_so),
	};
	char prefix[64], error[256];

	snprintf(prefix, sizeof(prefix), "--file-prefix=perron-unit-%d", getpid());
	if (!mkdtemp(directory) || setenv("RUNTIME_DIRECTORY", directory, 1))
		return CANNOT_RUN;
	/* Before the EAL: what is registered first runs last, after telemetry has gone. */
	if (atexit(remove_directories))
		return CANNOT_RUN;
	char *arguments[] = {"telemetry_test", prefix, "--no-huge", "--no-pci",	    "-m", "64",
			     "--no-shconf",    "-l",   "0",	    "--log-level=4"};
	if (rte_eal_init(10, arguments) < 0)
		return CANNOT_RUN;
	if (perron_telemetry_register(perron_report_requests, (void *)(uintptr_t)&fake_source,
				      error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	if (!dial())
		return CANNOT_RUN;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(runtime, sizeof(runtime), "%s", rte_eal_get_runtime_dir());
	close(telemetry);
	rte_eal_cleanup();
	return failed;
}
