/*
 * The duty-cycle meter of a lcore: how long its turns take, how many of them took longer than the
 * threshold, and which share of its time it worked.
 *
 * A turn reads the clock once, at its beginning, so a turn's length is the time to the next one's
 * beginning. Time spent asleep is told apart: the idle strategy reads the clock when it wakes.
 * A turn without work that took long is a gap: somebody else had the core.
 *
 * Thread: the lcore's; counters may be read by any.
 */
#ifndef PERRON_RUNTIME_LCORE_DUTY_H
#define PERRON_RUNTIME_LCORE_DUTY_H

#include <stdbool.h>
#include <stdint.h>

struct perron_duty {
	uint64_t turns;
	uint64_t turns_over; /* with work, and longer than the threshold */
	uint64_t turn_ns_max;
	uint64_t gap_ns_max; /* longest turn without work, or waking later than asked */
	uint64_t busy_ns;
	uint64_t idle_ns;
	uint64_t sleep_ns;
	/* The lcore's own. */
	uint64_t threshold_ns;
	uint64_t begun_ns;
	bool running; /* a turn has begun and not been followed by another or by sleep */
	bool worked;  /* that turn had work */
};

void perron_duty_init(struct perron_duty *d, uint64_t threshold_ns);
/* A turn begins; it ends the one before. */
void perron_duty_begin(struct perron_duty *d, uint64_t now_ns);
/* The running turn found something to do. */
static inline void perron_duty_work(struct perron_duty *d)
{
	d->worked = true;
}
/* Slept from `from_ns` to `now_ns`, having asked to wake at `until_ns`. */
void perron_duty_slept(struct perron_duty *d, uint64_t from_ns, uint64_t until_ns, uint64_t now_ns);
/* Busy share of all time so far, parts per million. */
uint32_t perron_duty_busy_ppm(const struct perron_duty *d);

#endif
