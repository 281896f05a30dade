#include "perf/harness/program.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/histogram.h"

/* What bench.cc declares for itself: C++ does not read our C headers. */
void *perron_bench_histogram_make(void);
void perron_bench_histogram_free(void *histogram);
void perron_bench_histogram_record(void *histogram, uint64_t value);
uint64_t perron_bench_histogram_ppm(const void *histogram, uint32_t ppm);

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "assertion failed: %s (%s:%d)\n", condition, file, line);
	abort();
}

/* The set at the first call: a thread that was pinned since then sees the process's. */
static const cpu_set_t *cores(void)
{
	static cpu_set_t set;
	static bool known;

	if (!known)
		known = sched_getaffinity(0, sizeof(set), &set) == 0;
	return &set;
}

uint32_t perron_program_core_count(void)
{
	return (uint32_t)CPU_COUNT(cores());
}

int perron_program_core(uint32_t nth)
{
	for (int core = 0; core < CPU_SETSIZE; core++)
		if (CPU_ISSET((size_t)core, cores()) && nth-- == 0)
			return core;
	return -1;
}

int perron_program_pin(int core)
{
	cpu_set_t set;

	if (core < 0)
		return -EINVAL;
	(void)cores();
	CPU_ZERO(&set);
	CPU_SET((size_t)core, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

void *perron_bench_histogram_make(void)
{
	struct perron_histogram *h = malloc(sizeof(*h));

	PERRON_ASSERT(h);
	perron_histogram_reset(h);
	return h;
}

void perron_bench_histogram_free(void *histogram)
{
	free(histogram);
}

void perron_bench_histogram_record(void *histogram, uint64_t value)
{
	perron_histogram_record(histogram, value);
}

uint64_t perron_bench_histogram_ppm(const void *histogram, uint32_t ppm)
{
	return perron_histogram_percentile_ns(histogram, ppm);
}
