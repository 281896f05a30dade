/* A station for tests of the command line: fixed rows behind a real command socket, until killed.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

/* usage: fake_station SOCKET [PEERS [GROWTH]]; ends when its stdin does. */
int main(int argc, char **argv)
{
	struct perron_socket_config config = {argv[1], perron_report_requests,
					      (void *)(uintptr_t)&fake_source};
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
	while (!(fds[1].revents & (POLLIN | POLLHUP))) {
		poll(fds, 2, 1000);
		perron_socket_step(socket, clock_ns());
	}
	perron_socket_close(socket);
	return 0;
}
