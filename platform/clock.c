#include "platform/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define RATE_SHIFT	60
#define CALIBRATION_NS	10000000ull
#define SAMPLE_COUNT	7
#define BEND_PPM_MAX	500u
#define STEP_FORWARD_NS 1000000 /* behind by more than this (a stopped machine): catch up at once \
				 */
#define ERROR_NS_ACCEPTED 500
#define SWITCH_DIVISOR	  1000 /* a line takes over a thousandth of a second from now */
#define NS_PER_S	  1000000000ull

/* Counter and CLOCK_MONOTONIC at one moment. */
struct sample {
	uint64_t tsc;
	uint64_t ns;
};

/*
 * Readers use lines[sequence & 1]; the writer fills the other one, then adds 1 to the sequence.
 * A reader looks at the sequence again: unchanged, and its line was not written meanwhile.
 */
static struct {
	atomic_uint sequence;
	struct perron_clock_line lines[2];
	atomic_bool uses_tsc;
	atomic_int_least64_t realtime_offset_ns;
	atomic_int_least64_t error_ns;
	bool initialized;
	struct sample last;
	uint64_t tsc_hz;
	uint64_t interval_ns;
} clock_state;

static uint64_t tsc_read(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}

static uint64_t kernel_ns(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t scale(uint64_t ticks, uint64_t rate)
{
	return (uint64_t)(((unsigned __int128)ticks * rate) >> RATE_SHIFT);
}

static uint64_t rate_of(uint64_t ns, uint64_t ticks)
{
	return (uint64_t)(((unsigned __int128)ns << RATE_SHIFT) / ticks);
}

uint64_t perron_clock_line_ns(const struct perron_clock_line *line, uint64_t tsc)
{
	if (tsc < line->tsc_start)
		return line->ns_start - scale(line->tsc_start - tsc, line->rate_before);
	return line->ns_start + scale(tsc - line->tsc_start, line->rate);
}

struct perron_clock_line perron_clock_line_bend(const struct perron_clock_line *line,
						uint64_t tsc_start, uint64_t tsc_target,
						uint64_t target_ns, uint64_t true_rate)
{
	PERRON_ASSERT(tsc_target > tsc_start);
	PERRON_ASSERT(tsc_start > line->tsc_start);
	uint64_t ns_start = perron_clock_line_ns(line, tsc_start);
	uint64_t bend_max = true_rate / 1000000u * BEND_PPM_MAX;
	uint64_t rate = true_rate - bend_max;
	if (target_ns > ns_start)
		rate = rate_of(target_ns - ns_start, tsc_target - tsc_start);
	if (rate < true_rate - bend_max)
		rate = true_rate - bend_max;
	if (rate > true_rate + bend_max)
		rate = true_rate + bend_max;
	return (struct perron_clock_line){tsc_start, ns_start, line->rate, rate};
}

/* The pair read closest together of a few. */
static struct sample sample_take(void)
{
	struct sample best = {0, 0};
	uint64_t best_ticks = UINT64_MAX;
	for (int i = 0; i < SAMPLE_COUNT; i++) {
		uint64_t before = tsc_read();
		uint64_t ns = kernel_ns(CLOCK_MONOTONIC);
		uint64_t ticks = tsc_read() - before;
		if (ticks < best_ticks) {
			best_ticks = ticks;
			best = (struct sample){before + ticks / 2, ns};
		}
	}
	return best;
}

static void line_publish(const struct perron_clock_line *line)
{
	unsigned int sequence = atomic_load_explicit(&clock_state.sequence, memory_order_relaxed);
	clock_state.lines[(sequence + 1) & 1] = *line;
	/* Pairs with the first load in perron_clock_now_ns. */
	atomic_store_explicit(&clock_state.sequence, sequence + 1, memory_order_release);
	/* Pairs with the fence there: no later write to the other line is seen before this. */
	atomic_thread_fence(memory_order_seq_cst);
}

static bool kernel_trusts_tsc(void)
{
	char source[32] = "";
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	if (f) {
		if (!fgets(source, sizeof(source), f))
			source[0] = 0;
		fclose(f);
	}
	return strcmp(source, "tsc\n") == 0;
}

static bool tsc_is_invariant(void)
{
#if defined(__x86_64__)
	unsigned int a, b, c, d;
	return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8)) != 0;
#else
	return false;
#endif
}

static void realtime_offset_renew(void)
{
	uint64_t before = kernel_ns(CLOCK_MONOTONIC);
	uint64_t real = kernel_ns(CLOCK_REALTIME);
	uint64_t after = kernel_ns(CLOCK_MONOTONIC);
	atomic_store_explicit(&clock_state.realtime_offset_ns,
			      (int64_t)(real - (before + (after - before) / 2)),
			      memory_order_relaxed);
}

void perron_clock_init(void)
{
	if (clock_state.initialized)
		return;
	clock_state.initialized = true;
	clock_state.interval_ns = PERRON_CLOCK_INTERVAL_NS_MIN;
	realtime_offset_renew();
	if (!tsc_is_invariant() || !kernel_trusts_tsc())
		return;
	struct sample first = sample_take();
	struct timespec pause = {0, CALIBRATION_NS};
	nanosleep(&pause, NULL);
	clock_state.last = sample_take();
	if (clock_state.last.tsc <= first.tsc || clock_state.last.ns <= first.ns)
		return;
	uint64_t ticks = clock_state.last.tsc - first.tsc;
	uint64_t ns = clock_state.last.ns - first.ns;
	if (ticks < ns / 16) /* a rate has room for 16 ns a tick */
		return;
	uint64_t rate = rate_of(ns, ticks);
	clock_state.tsc_hz = (uint64_t)((unsigned __int128)ticks * NS_PER_S / ns);
	struct perron_clock_line line = {clock_state.last.tsc, clock_state.last.ns, rate, rate};
	line_publish(&line);
	atomic_store_explicit(&clock_state.uses_tsc, true, memory_order_release);
}

uint64_t perron_clock_now_ns(void)
{
	if (!atomic_load_explicit(&clock_state.uses_tsc, memory_order_acquire))
		return kernel_ns(CLOCK_MONOTONIC);
	for (;;) {
		/* Pairs with the store in line_publish. */
		unsigned int sequence =
		    atomic_load_explicit(&clock_state.sequence, memory_order_acquire);
		struct perron_clock_line line = clock_state.lines[sequence & 1];
		uint64_t now = perron_clock_line_ns(&line, tsc_read());
		/* Pairs with the fence in line_publish. */
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&clock_state.sequence, memory_order_relaxed) == sequence)
			return now;
	}
}

static uint64_t interval_next(int64_t error_ns)
{
	uint64_t size = (uint64_t)(error_ns < 0 ? -error_ns : error_ns);
	if (size > ERROR_NS_ACCEPTED)
		return PERRON_CLOCK_INTERVAL_NS_MIN;
	uint64_t next = clock_state.interval_ns * 2;
	return next < PERRON_CLOCK_INTERVAL_NS_MAX ? next : PERRON_CLOCK_INTERVAL_NS_MAX;
}

static void line_renew(struct sample now, uint64_t true_rate)
{
	unsigned int sequence = atomic_load_explicit(&clock_state.sequence, memory_order_relaxed);
	const struct perron_clock_line *line = &clock_state.lines[sequence & 1];
	int64_t error_ns = (int64_t)(perron_clock_line_ns(line, now.tsc) - now.ns);
	atomic_store_explicit(&clock_state.error_ns, error_ns, memory_order_relaxed);
	clock_state.interval_ns = interval_next(error_ns);
	if (error_ns < -STEP_FORWARD_NS) {
		struct perron_clock_line caught_up = {now.tsc, now.ns, true_rate, true_rate};
		line_publish(&caught_up);
		return;
	}
	uint64_t lead = clock_state.tsc_hz / SWITCH_DIVISOR;
	uint64_t ticks =
	    (uint64_t)((unsigned __int128)clock_state.tsc_hz * clock_state.interval_ns / NS_PER_S);
	if (now.tsc + lead <= line->tsc_start) /* called again at once */
		return;
	struct perron_clock_line bent = perron_clock_line_bend(
	    line, now.tsc + lead, now.tsc + ticks, now.ns + scale(ticks, true_rate), true_rate);
	line_publish(&bent);
}

uint64_t perron_clock_recalibrate(void)
{
	PERRON_ASSERT(clock_state.initialized);
	realtime_offset_renew();
	if (!perron_clock_is_tsc())
		return PERRON_CLOCK_INTERVAL_NS_MAX;
	struct sample now = sample_take();
	uint64_t ns = now.ns - clock_state.last.ns;
	uint64_t ticks = now.tsc - clock_state.last.tsc;
	/* Over a shorter time the rate would be mostly the error of reading two clocks. */
	if (ns < CALIBRATION_NS || ticks < ns / 16)
		return PERRON_CLOCK_INTERVAL_NS_MIN;
	line_renew(now, rate_of(ns, ticks));
	clock_state.last = now;
	return clock_state.interval_ns;
}

int64_t perron_clock_realtime_offset_ns(void)
{
	return atomic_load_explicit(&clock_state.realtime_offset_ns, memory_order_relaxed);
}

int64_t perron_clock_error_ns(void)
{
	return atomic_load_explicit(&clock_state.error_ns, memory_order_relaxed);
}

bool perron_clock_is_tsc(void)
{
	return atomic_load_explicit(&clock_state.uses_tsc, memory_order_acquire);
}

uint64_t perron_clock_tsc_hz(void)
{
	return clock_state.tsc_hz;
}
