/*
 * perron-gap: what a client sees while that which serves it is killed, a line a delivery.
 * perf/suite/gap.py starts it and makes figures of the lines.
 *
 *	main.c    the command line, the lines
 *	follow.c  a Perron stream, as any program on a Linux host gets it: through libperron
 *	ask.c     the yardstick's client: a request by UDP each interval; and the echo
 *
 * One thread, in one process.
 */
#ifndef PERRON_PERF_GAP_GAP_H
#define PERRON_PERF_GAP_GAP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

/* Set by SIGTERM and SIGINT. */
extern volatile sig_atomic_t gap_stop;

/* CLOCK_MONOTONIC, which all processes of a machine share. */
static inline uint64_t gap_clock_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * `d AT NUMBER MADE [PEER...]`: number NUMBER, made at MADE, was delivered at AT; peers that it
 * passed, the sensor's first. Times of gap_clock_ns.
 */
void gap_delivery_print(uint64_t at_ns, uint64_t number, uint64_t made_ns, const uint32_t *peers,
			uint32_t peer_count);
/* Lines leave the process a while after they are printed; call it at least each 10 ms. */
void gap_lines_push(uint64_t now_ns);

struct gap_wish {
	const char *portals;
	const char *sensor;
	const char *class;
	const char *replication;
	uint32_t lost_ms; /* 0: the library's own */
};

/* Both until gap_stop; 0, or an exit status and a line on standard error. */
int gap_follow(const struct gap_wish *wish);
int gap_ask(const char *address, uint64_t interval_ns);
int gap_answer(const char *address);

#endif
