// Google Benchmark behind bench.h. Time is taken by the station's own clock and given to the
// library as manual time: only what a batch times counts.

#include "perf/harness/bench.h"

#include <benchmark/benchmark.h>

extern "C" {
uint64_t perron_clock_now_ns(void);
void perron_clock_init(void);
void *perron_bench_histogram_make(void);
void perron_bench_histogram_free(void *histogram);
void perron_bench_histogram_record(void *histogram, uint64_t value);
uint64_t perron_bench_histogram_ppm(const void *histogram, uint32_t ppm);
}

// Histograms count whole units: tenths of a nanosecond an operation would be too coarse for an
// operation of 1 ns, so they are given picoseconds.
constexpr double units_per_ns = 1000.0;

struct perron_bench {
	benchmark::State &state;
	void *histogram;
	uint32_t count;
	uint64_t start_ns;
	uint64_t bytes;
	bool failed;
};

static double figure(const perron_bench &b, uint32_t ppm)
{
	return static_cast<double>(perron_bench_histogram_ppm(b.histogram, ppm)) / units_per_ns;
}

static void run(benchmark::State &state, const perron_bench_case &c)
{
	perron_bench b{state, perron_bench_histogram_make(), 0, 0, 0, false};

	c.run(&b, c.argument);
	if (!b.failed) {
		state.counters["p50"] = figure(b, 500000);
		state.counters["p99"] = figure(b, 990000);
		state.counters["p999"] = figure(b, 999000);
		state.counters["max"] = figure(b, 1000000);
		state.counters["batch"] = b.count;
		if (b.bytes)
			state.SetBytesProcessed(state.iterations() *
						static_cast<int64_t>(b.bytes));
		if (c.yardstick)
			state.SetLabel(c.yardstick);
	}
	perron_bench_histogram_free(b.histogram);
}

void perron_bench_register(const perron_bench_case *c)
{
	const perron_bench_case copy = *c;

	benchmark::RegisterBenchmark(copy.name, [copy](benchmark::State &state) {
		run(state, copy);
	})->UseManualTime()->Unit(benchmark::kNanosecond);
}

bool perron_bench_next(perron_bench *b, uint32_t count)
{
	b->count = count;
	return !b->failed && b->state.KeepRunningBatch(count);
}

void perron_bench_start(perron_bench *b)
{
	b->start_ns = perron_clock_now_ns();
}

void perron_bench_stop(perron_bench *b)
{
	uint64_t taken_ns = perron_clock_now_ns() - b->start_ns;

	b->state.SetIterationTime(static_cast<double>(taken_ns) * 1e-9);
	perron_bench_histogram_record(b->histogram, taken_ns * 1000 / b->count);
}

void perron_bench_bytes(perron_bench *b, uint64_t size)
{
	b->bytes = size;
}

void perron_bench_value(perron_bench *b, const char *name, double value)
{
	b->state.counters[name] = value;
}

void perron_bench_fail(perron_bench *b, const char *why)
{
	b->failed = true;
	b->state.SkipWithError(why);
}

int perron_bench_main(int argc, char **argv)
{
	perron_clock_init();
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 2;
	size_t count = benchmark::RunSpecifiedBenchmarks();
	benchmark::Shutdown();
	return count ? 0 : 1;
}
