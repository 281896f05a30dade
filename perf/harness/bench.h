/*
 * The C face of Google Benchmark: benchmarks are written in C and registered here; bench.cc beside
 * this file is the one place of C++.
 *
 * A benchmark runs batches. Only what stands between start and stop is timed, so a batch may
 * prepare its input before it and look at its output after it; each batch's mean goes into a
 * histogram. So the figures of one run are: the mean of all operations, and the median, 99 %,
 * 99.9 % and maximum of the batches' means (a batch of 1: of the operations).
 *
 *	while (perron_bench_next(b, 32)) {
 *		prepare();
 *		perron_bench_start(b);
 *		for (int i = 0; i < 32; i++)
 *			operation(i);
 *		perron_bench_stop(b);
 *	}
 *
 * What start and stop cost themselves is measured as "harness/empty" and not taken off: make
 * batches long enough. Repetitions of all benchmarks are mixed at random, so that a benchmark and
 * its yardstick share the machine's moods.
 *
 * Threads: that of main; perron_clock is initialised by perron_bench_main.
 */
#ifndef PERRON_PERF_HARNESS_BENCH_H
#define PERRON_PERF_HARNESS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct perron_bench; /* one run of one benchmark */

struct perron_bench_case {
	const char *name;      /* "group/what/variant"; unique */
	const char *yardstick; /* name of the case to compare with; NULL: none */
	void (*run)(struct perron_bench *b, int64_t argument);
	int64_t argument;
};

/* Copies `c`; its strings stay the caller's and must live on. */
void perron_bench_register(const struct perron_bench_case *c);

/* Whether another batch of `count` >= 1 operations is wanted. */
bool perron_bench_next(struct perron_bench *b, uint32_t count);
void perron_bench_start(struct perron_bench *b);
void perron_bench_stop(struct perron_bench *b);

/* Bytes that one operation moves; gives a rate. */
void perron_bench_bytes(struct perron_bench *b, uint64_t size);
/* A figure of the benchmark's own, reported by its name. */
void perron_bench_value(struct perron_bench *b, const char *name, double value);
/* Ends the run; the benchmark is reported as failed. */
void perron_bench_fail(struct perron_bench *b, const char *why);

/* Runs what was registered; takes Google Benchmark's options. Returns an exit status. */
int perron_bench_main(int argc, char **argv);

/* Makes the compiler believe that the value is used. */
static inline void perron_bench_keep(uint64_t value)
{
	__asm__ volatile("" : : "r"(value) : "memory");
}

#ifdef __cplusplus
}
#endif

#endif
