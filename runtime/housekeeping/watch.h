/*
 * The watch that housekeeping keeps on a lcore: one that took no turn between two looks is stalled.
 * A lcore that sleeps turns many times between two looks (idle.c bounds its sleep).
 *
 * Thread: housekeeping's; the beat is the lcore's.
 */
#ifndef PERRON_RUNTIME_HOUSEKEEPING_WATCH_H
#define PERRON_RUNTIME_HOUSEKEEPING_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct perron_watch {
	uint64_t beat; /* as it was at the last look */
	uint64_t stalls;
	bool stalled;
	bool begun;
};

/* A look at the lcore's beat. True: it has just stalled, or turns again. */
static inline bool perron_watch_look(struct perron_watch *w, uint64_t beat)
{
	bool stalled = w->begun && beat == w->beat;
	bool changed = stalled != w->stalled;

	w->stalls += stalled && changed;
	w->stalled = stalled;
	w->begun = true;
	w->beat = beat;
	return changed;
}

#endif
