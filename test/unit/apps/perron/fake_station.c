/*
 * A station for tests of the command line: fixed rows behind a real command socket, until its
 * stdin ends. A digit on stdin publishes that row of its history.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/housekeeping/report.h"
#include "runtime/housekeeping/socket.h"
#include "test/unit/runtime/housekeeping/fake.h"

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, condition);
	abort();
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool is(const json_t *request, const char *key, const char *text)
{
	const char *value = json_string_value(json_object_get(request, key));

	return value && !strcmp(value, text);
}

/* A load whose runs are over at once; peer 2 refuses what is too large. */
static json_t *group_load(void *context, const json_t *request, char *error, size_t error_size)
{
	static json_t *started[3];
	json_int_t peer = json_integer_value(json_object_get(request, "peer"));

	(void)context;
	if (is(request, "action", "start")) {
		if (json_integer_value(json_object_get(request, "size")) > 30000) {
			snprintf(error, error_size, "'size' is too much; expected less");
			return NULL;
		}
		started[peer] = json_incref((json_t *)(uintptr_t)request);
		return json_pack("{s:s}", "state", "starting");
	}
	bool sends = json_is_true(json_object_get(started[peer], "sends"));
	bool fails = is(started[peer], "mode", "rate");
	return json_pack("{s:I,s:s,s:s*,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:{s:I,s:I,s:I,s:I,s:I,s:I}}",
			 "peer", peer, "state", "done", "error", fails ? "it broke" : NULL, "sent",
			 (json_int_t)(sends ? 1000 : 0), "would_block", (json_int_t)3, "messages",
			 (json_int_t)1001, "bytes", (json_int_t)200200, "first_ns",
			 (json_int_t)1000000000, "last_ns",
			 (json_int_t)(peer * 1000000000 + 1000000000), "views", (json_int_t)0,
			 "latency_ns", "count", (json_int_t)(sends ? 1000 : 0), "p50",
			 (json_int_t)51000, "p90", (json_int_t)62000, "p99", (json_int_t)73000,
			 "p999", (json_int_t)84000, "max", (json_int_t)95000);
}

static const struct perron_request *requests(void)
{
	static struct perron_request all[32];
	uint32_t count = 0;

	for (; perron_report_requests[count].name; count++)
		all[count] = perron_report_requests[count];
	all[count] = (struct perron_request){"group-load", "a load", group_load};
	return all;
}

static void publish(struct perron_socket *socket, uint32_t index)
{
	struct perron_snapshot_history row;
	uint32_t total;

	if (fake_source.history(NULL, index, 1, &row, &total) != 1)
		return;
	json_t *body = perron_report_history(&row);
	perron_socket_publish(socket, row.kind, body);
	json_decref(body);
}

/* False: it has ended. */
static bool stdin_read(struct perron_socket *socket)
{
	char text[64];
	ssize_t size = read(STDIN_FILENO, text, sizeof(text));

	for (ssize_t i = 0; i < size; i++)
		if (text[i] >= '0' && text[i] <= '9')
			publish(socket, (uint32_t)(text[i] - '0'));
	return size > 0;
}

/* usage: fake_station SOCKET [PEERS [GROWTH]]; ends when its stdin does. */
int main(int argc, char **argv)
{
	struct perron_socket_config config = {argv[1], requests(), (void *)(uintptr_t)&fake_source};
	struct perron_socket *socket;
	char error[256];

	if (argc > 2)
		fake_peer_count = (uint32_t)atoi(argv[2]);
	if (argc > 3)
		fake_growth = (uint64_t)atoi(argv[3]);
	if (argc < 2 || perron_socket_open(&socket, &config, error, sizeof(error))) {
		fprintf(stderr, "%s\n", argc < 2 ? "usage: fake_station SOCKET [PEERS]" : error);
		return 1;
	}
	struct pollfd fds[] = {{perron_socket_fd(socket), POLLIN, 0}, {0, POLLIN, 0}};
	printf("ready\n");
	fflush(stdout);
	do {
		poll(fds, 2, 1000);
		perron_socket_step(socket, clock_ns());
	} while (!fds[1].revents || stdin_read(socket));
	perron_socket_close(socket);
	return 0;
}
