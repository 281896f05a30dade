/*
 * perron-machine: what a machine does to any measurement on it, as JSON on standard output.
 *
 *	perron-machine [--gap-seconds S]
 *
 * - how long a cache line takes from one core to another and back (two threads spin for some ms);
 * - for each core that it may use, the gaps of a loop that does nothing but read the clock for S
 *   seconds (0.5 unless told): what the kernel, other programs and a hypervisor take away. One core
 *   at a time.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/harness/program.h"
#include "platform/clock.h"
#include "runtime/base/histogram.h"

#define ROUND_COUNT 20000
/* Shorter ones are a clock read that took a little longer. */
#define GAP_NS 1000

static _Alignas(64) atomic_uint ball;
static struct perron_histogram histogram;

static void *ball_return(void *context)
{
	(void)context;
	if (perron_program_pin(perron_program_core(0)) != 0)
		return NULL;
	for (uint32_t i = 0; i < ROUND_COUNT; i++) {
		while (atomic_load_explicit(&ball, memory_order_acquire) != 2 * i + 1)
			;
		atomic_store_explicit(&ball, 2 * i + 2, memory_order_release);
	}
	return NULL;
}

/* Median of the round trips, 0 with one core. */
static uint64_t line_round_trip_ns(void)
{
	pthread_t thread;
	bool pinned = perron_program_pin(perron_program_core(perron_program_core_count() - 1)) == 0;

	if (!pinned || perron_program_core_count() < 2 ||
	    pthread_create(&thread, NULL, ball_return, NULL) != 0)
		return 0;
	perron_histogram_reset(&histogram);
	for (uint32_t i = 0; i < ROUND_COUNT; i++) {
		uint64_t start_ns = perron_clock_now_ns();
		atomic_store_explicit(&ball, 2 * i + 1, memory_order_release);
		while (atomic_load_explicit(&ball, memory_order_acquire) != 2 * i + 2)
			;
		perron_histogram_record(&histogram, perron_clock_now_ns() - start_ns);
	}
	pthread_join(thread, NULL);
	return perron_histogram_percentile_ns(&histogram, 500000);
}

static uint64_t gaps_measure(int core, uint64_t for_ns)
{
	uint64_t last_ns, end_ns, lost_ns = 0;

	perron_histogram_reset(&histogram);
	if (perron_program_pin(core) != 0)
		return 0;
	last_ns = perron_clock_now_ns();
	end_ns = last_ns + for_ns;
	while (last_ns < end_ns) {
		uint64_t now_ns = perron_clock_now_ns();
		uint64_t gap_ns = now_ns - last_ns;
		if (gap_ns >= GAP_NS) {
			perron_histogram_record(&histogram, gap_ns);
			lost_ns += gap_ns;
		}
		last_ns = now_ns;
	}
	return lost_ns;
}

static void gaps_print(int core, uint64_t for_ns, bool first)
{
	uint64_t lost_ns = gaps_measure(core, for_ns);

	printf("%s\n  {\"core\": %d, \"seconds\": %.3f, \"gaps\": %lu, \"median_ns\": %lu, "
	       "\"p99_ns\": %lu, \"max_ns\": %lu, \"lost_share\": %.6f}",
	       first ? "" : ",", core, (double)for_ns / 1e9, histogram.count,
	       perron_histogram_percentile_ns(&histogram, 500000),
	       perron_histogram_percentile_ns(&histogram, 990000),
	       histogram.count ? histogram.max_ns : 0, (double)lost_ns / (double)for_ns);
}

int main(int argc, char **argv)
{
	double seconds = 0.5;

	if (argc == 3 && strcmp(argv[1], "--gap-seconds") == 0)
		seconds = strtod(argv[2], NULL);
	else if (argc != 1)
		seconds = 0;
	if (!(seconds > 0 && seconds <= 60)) {
		fprintf(stderr, "usage: perron-machine [--gap-seconds S], 0 < S <= 60\n");
		return 2;
	}
	perron_clock_init();
	printf("{\"cache_line_round_trip_ns\": %lu, ", line_round_trip_ns());
	printf("\"clock_is_tsc\": %s, \"tsc_hz\": %lu, \"gaps\": [",
	       perron_clock_is_tsc() ? "true" : "false", perron_clock_tsc_hz());
	for (uint32_t i = 0; i < perron_program_core_count(); i++)
		gaps_print(perron_program_core(i), (uint64_t)(seconds * 1e9), i == 0);
	printf("]}\n");
	return 0;
}
