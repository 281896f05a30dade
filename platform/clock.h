/*
 * The station's clock: nanoseconds of CLOCK_MONOTONIC, read from the time stamp counter.
 *
 * perron_clock_now_ns is one counter read, one 128-bit multiplication and a shift. Where the
 * counter is not invariant, or the kernel itself does not trust it (its clock source is another),
 * it falls back to clock_gettime. Housekeeping calls perron_clock_recalibrate: the rate is bent so
 * that the clock meets CLOCK_MONOTONIC again, from a moment slightly ahead; it never steps, and
 * never goes backwards for any thread. All processes of a machine agree within a microsecond.
 *
 * One clock a process. perron_clock_init before anyone reads; recalibrate from one thread; all else
 * from any thread, without waiting (a latch: two copies, readers use the one not being written).
 */
#ifndef PERRON_PLATFORM_CLOCK_H
#define PERRON_PLATFORM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define PERRON_CLOCK_INTERVAL_NS_MIN 50000000ull
#define PERRON_CLOCK_INTERVAL_NS_MAX 1000000000ull

/* A straight piece of the clock: up to tsc_start by the rate before, from there on by `rate`. */
struct perron_clock_line {
	uint64_t tsc_start;
	uint64_t ns_start;
	uint64_t rate_before; /* ns a tick, times 2^60 */
	uint64_t rate;
};

/* Calibrates (sleeps some 10 ms). Calling it again does nothing. */
void perron_clock_init(void);

/* The time. Before perron_clock_init: clock_gettime's. */
uint64_t perron_clock_now_ns(void);

/*
 * Compares with CLOCK_MONOTONIC and bends the rate; renews the offset to CLOCK_REALTIME. Returns
 * after how many ns to call again, PERRON_CLOCK_INTERVAL_NS_MIN to MAX. Housekeeping thread.
 */
uint64_t perron_clock_recalibrate(void);

/* CLOCK_REALTIME less this clock, as of the last recalibration: overlay time is now + offset. */
int64_t perron_clock_realtime_offset_ns(void);

/* How far the clock was off at the last recalibration (positive: ahead of CLOCK_MONOTONIC). */
int64_t perron_clock_error_ns(void);

/* Whether the counter is used. */
bool perron_clock_is_tsc(void);

/* Ticks a second of the counter, 0 without; for figures in cycles. */
uint64_t perron_clock_tsc_hz(void);

/* The arithmetic, for tests: the time at `tsc`, and the line that takes over from `line`. */
uint64_t perron_clock_line_ns(const struct perron_clock_line *line, uint64_t tsc);

/*
 * The line from tsc_start (ahead of now) on, continuous with `line` there, that reaches `target_ns`
 * at tsc_target > tsc_start if the rate may bend so far (500 ppm of true_rate), else as far as it
 * may.
 */
struct perron_clock_line perron_clock_line_bend(const struct perron_clock_line *line,
						uint64_t tsc_start, uint64_t tsc_target,
						uint64_t target_ns, uint64_t true_rate);

#endif
