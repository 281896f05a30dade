/* Recording into a histogram. Yardstick: adding to a counter in memory. */
#include "perf/micro/micro.h"
#include "runtime/base/histogram.h"

#define BATCH 256

static struct perron_histogram histogram;
static uint64_t values[BATCH];

static void values_fill(void)
{
	uint64_t x = 88172645463325252u;

	for (uint32_t i = 0; i < BATCH; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		values[i] = 1000 + x % 100000; /* 1 to 100 us, as latencies are */
	}
}

static void record(struct perron_bench *b, int64_t argument)
{
	(void)argument;
	values_fill();
	perron_histogram_reset(&histogram);
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++)
			perron_histogram_record(&histogram, values[i]);
		perron_bench_stop(b);
	}
	if (histogram.max_ns > 101000 || histogram.min_ns < 1000)
		perron_bench_fail(b, "a value was lost");
}

static void add(struct perron_bench *b, int64_t argument)
{
	uint64_t sum = 0;

	(void)argument;
	values_fill();
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++) {
			sum += values[i];
			__asm__ volatile("" : "+m"(sum) : : "memory");
		}
		perron_bench_stop(b);
	}
}

static const struct perron_bench_case cases[] = {
	{"histogram/record", "histogram/add", record, 0},
	{"histogram/add", NULL, add, 0},
};

void micro_histogram(void)
{
	MICRO_REGISTER(cases);
}
