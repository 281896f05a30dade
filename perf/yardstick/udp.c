/*
 * perron-udp: the kernel's own UDP as a yardstick: round trips of datagrams, one at a time, between
 * two processes, as JSON on standard output.
 *
 *	perron-udp answer poll|block ADDRESS CORE           until SIGTERM
 *	perron-udp ask    poll|block ADDRESS CORE SECONDS   ADDRESS: of the one that answers
 *
 * poll: both ends call recv in a loop without waiting; block: both sleep in it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/harness/program.h"
#include "platform/clock.h"
#include "runtime/base/histogram.h"

#define PORT	   7499
#define SIZE	   418
/* A datagram that takes longer is lost. */
#define LOST_NS	   UINT64_C(200000000)
#define WARM_COUNT 1000

static struct perron_histogram histogram;
static uint8_t data[2048];

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "perron-udp: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* -1: nothing came within LOST_NS. */
static ssize_t receive(int fd, int flags, struct sockaddr_in *from)
{
	uint64_t until_ns = perron_clock_now_ns() + LOST_NS;
	socklen_t size = sizeof(*from);
	ssize_t got;

	do
		got = recvfrom(fd, data, sizeof(data), flags, (struct sockaddr *)from, &size);
	while (got < 0 && perron_clock_now_ns() < until_ns);
	return got;
}

static void answer(int fd, int flags)
{
	struct sockaddr_in from;

	for (;;) {
		ssize_t got = receive(fd, flags, &from);
		if (got > 0)
			(void)!sendto(fd, data, (size_t)got, 0, (struct sockaddr *)&from,
				      sizeof(from));
	}
}

static void ask(int fd, int flags, double seconds)
{
	uint64_t until_ns = perron_clock_now_ns() + (uint64_t)(seconds * 1e9);
	struct sockaddr_in from;
	uint64_t lost = 0;

	perron_histogram_reset(&histogram);
	for (uint64_t i = 0; perron_clock_now_ns() < until_ns; i++) {
		uint64_t start_ns = perron_clock_now_ns();
		if (send(fd, data, SIZE, 0) != SIZE && errno != ECONNREFUSED)
			die("send");
		if (receive(fd, flags, &from) != SIZE)
			lost++;
		else if (i >= WARM_COUNT)
			perron_histogram_record(&histogram, perron_clock_now_ns() - start_ns);
	}
	printf("{\"samples\": %lu, \"lost\": %lu", histogram.count, lost);
	static const struct {
		const char *name;
		uint32_t ppm;
	} wanted[] = {{"p50", 500000}, {"p99", 990000}, {"p999", 999000}, {"max", 1000000}};
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		printf(", \"%s\": %.3f", wanted[i].name,
		       (double)perron_histogram_percentile_ns(&histogram, wanted[i].ppm) / 1000);
	printf("}\n");
}

int main(int argc, char **argv)
{
	bool asks = argc == 6 && strcmp(argv[1], "ask") == 0;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	const struct timeval wait = {.tv_usec = (suseconds_t)(LOST_NS / 1000)};

	if (!asks && (argc != 5 || strcmp(argv[1], "answer") != 0)) {
		fprintf(stderr, "usage: perron-udp answer|ask poll|block ADDRESS CORE [SECONDS]\n");
		return 2;
	}
	int flags = strcmp(argv[2], "poll") == 0 ? MSG_DONTWAIT : 0;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || inet_pton(AF_INET, argv[3], &address.sin_addr) != 1)
		die("socket or address");
	if (perron_program_pin((int)strtol(argv[4], NULL, 10)) != 0)
		die("core");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0)
		die("setsockopt");
	perron_clock_init();
	if (!asks && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		answer(fd, flags);
	if (!asks || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("bind or connect");
	ask(fd, flags, strtod(argv[5], NULL));
	close(fd);
	return EXIT_SUCCESS;
}
