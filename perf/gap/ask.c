#include "perf/gap/gap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 7499
/* Of a request and its answer: a small message of paper 000. */
#define SIZE	418
#define WAIT_NS UINT64_C(100000000)

struct request {
	uint64_t number; /* from 1 */
	uint64_t made_ns;
};

static int socket_fail(int fd, const char *what)
{
	fprintf(stderr, "perron-gap: %s: %s\n", what, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Bound to the address, or connected to it. -1, and it is said why. */
static int socket_make(const char *address, bool binds)
{
	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int yes = 1;
	int ret;

	if (fd < 0 || inet_pton(AF_INET, address, &there.sin_addr) != 1)
		return socket_fail(fd, address);
	/* Who is not the master does not have the address yet. */
	if (setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &yes, sizeof(yes)) != 0)
		return socket_fail(fd, "IP_FREEBIND");
	ret = binds ? bind(fd, (struct sockaddr *)&there, sizeof(there))
		    : connect(fd, (struct sockaddr *)&there, sizeof(there));
	return ret == 0 ? fd : socket_fail(fd, binds ? "bind" : "connect");
}

static void wait_until(int fd, uint64_t at_ns)
{
	struct pollfd in = {.fd = fd, .events = POLLIN};
	uint64_t now_ns = gap_clock_ns();
	uint64_t left_ns = at_ns > now_ns ? at_ns - now_ns : 0;
	const struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000u),
				      .tv_nsec = (long)(left_ns % 1000000000u)};

	(void)ppoll(&in, 1, &left, NULL);
}

static void answers_take(int fd)
{
	uint8_t data[SIZE];
	struct request r;

	while (recv(fd, data, sizeof(data), MSG_DONTWAIT) == SIZE) {
		memcpy(&r, data, sizeof(r));
		gap_delivery_print(gap_clock_ns(), r.number, r.made_ns, NULL, 0);
	}
}

/* Open loop: the rate is kept whatever becomes of the requests. */
int gap_ask(const char *address, uint64_t interval_ns)
{
	uint8_t data[SIZE] = {0};
	struct request r = {0};
	int fd = socket_make(address, false);

	if (fd < 0)
		return EXIT_FAILURE;
	for (uint64_t due_ns = gap_clock_ns(); !gap_stop;) {
		wait_until(fd, due_ns);
		answers_take(fd);
		r.made_ns = gap_clock_ns();
		gap_lines_push(r.made_ns);
		if (r.made_ns < due_ns)
			continue;
		due_ns += interval_ns;
		r.number++;
		memcpy(data, &r, sizeof(r));
		/* Nobody there is what is measured. */
		(void)!send(fd, data, sizeof(data), MSG_DONTWAIT);
	}
	close(fd);
	return EXIT_SUCCESS;
}

int gap_answer(const char *address)
{
	struct sockaddr_in from;
	uint8_t data[SIZE];
	int fd = socket_make(address, true);

	if (fd < 0)
		return EXIT_FAILURE;
	while (!gap_stop) {
		socklen_t size = sizeof(from);
		wait_until(fd, gap_clock_ns() + WAIT_NS);
		ssize_t got = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT,
				       (struct sockaddr *)&from, &size);
		if (got > 0)
			(void)!sendto(fd, data, (size_t)got, 0, (struct sockaddr *)&from, size);
	}
	close(fd);
	return EXIT_SUCCESS;
}
