/*
 * A hierarchical timing wheel over the owner's objects, named by their index: 9 levels of 64 slots,
 * a slot of level l being 64^l ticks long; a tick is 2^tick_shift ns. Any deadline that 64 bits
 * hold has its place.
 *
 * Invariants: a deadline never fires early, and at most one tick late with respect to the `now`
 * given to advance; an armed entry is in exactly one slot; at levels above 0 a slot in use lies
 * ahead of the wheel's time, but for the one that is being moved down, so that after that one the
 * first bit set at the lowest level is what comes next.
 * Those that fall due in one tick fire in the order in which they entered its slot: the same calls
 * always give the same order.
 *
 * One thread. Pure.
 */
#ifndef PERRON_RUNTIME_BASE_WHEEL_H
#define PERRON_RUNTIME_BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/memory.h"

#define PERRON_WHEEL_LEVEL_COUNT 9u
#define PERRON_WHEEL_SLOT_COUNT  64u
/* 1 us: with 9 levels of 6 bits, the finest tick for which all 64 bits are covered. */
#define PERRON_WHEEL_TICK_SHIFT_MIN 10u
#define PERRON_WHEEL_TICK_SHIFT_MAX 40u
#define PERRON_WHEEL_NONE           UINT32_MAX
/* Entries that one advance may touch (fire or move down a level) for each that it may fire. */
#define PERRON_WHEEL_TOUCH_FACTOR 4u

struct perron_wheel_entry {
	uint64_t deadline_ns;
	uint32_t next; /* ring of the entries of a slot; NONE: not armed */
	uint32_t previous;
	uint32_t slot; /* level * 64 + slot */
};

struct perron_wheel {
	struct perron_wheel_entry *entries;
	uint32_t entry_count;
	uint32_t armed_count;
	uint32_t tick_shift;
	uint32_t moving; /* slot whose time has come and whose entries move down; NONE */
	uint64_t tick;   /* the wheel's time */
	uint64_t in_use[PERRON_WHEEL_LEVEL_COUNT]; /* a bit a slot */
	uint32_t first[PERRON_WHEEL_LEVEL_COUNT * PERRON_WHEEL_SLOT_COUNT];
};

/* What init takes of the arena. */
size_t perron_wheel_size(uint32_t entry_count);

/* Nothing is armed. `entry_count` < PERRON_WHEEL_NONE; tick_shift between MIN and MAX. */
void perron_wheel_init(struct perron_wheel *w, struct perron_arena *arena, uint32_t entry_count,
		       uint32_t tick_shift, uint64_t now_ns);

/*
 * Arms entry `index` (< entry_count), or moves it. A deadline gone by fires at the next advance;
 * one less than a tick before UINT64_MAX counts as the last tick.
 */
void perron_wheel_add(struct perron_wheel *w, uint32_t index, uint64_t deadline_ns);

/* Disarms; false if it was not armed. */
bool perron_wheel_cancel(struct perron_wheel *w, uint32_t index);

static inline bool perron_wheel_armed(const struct perron_wheel *w, uint32_t index)
{
	PERRON_ASSERT(index < w->entry_count);
	return w->entries[index].next != PERRON_WHEEL_NONE;
}

/*
 * Moves the wheel's time on to `now_ns` (an earlier one than before changes nothing), disarms what
 * has fallen due and writes its indices to `expired`, at most `expired_max` (>= 1) of them and
 * touching at most TOUCH_FACTOR times as many. Returns how many; there may be more while
 * perron_wheel_next_ns is not after `now_ns`, whatever the count. Amortized cost of an entry over
 * its life: at most one move a level.
 */
uint32_t perron_wheel_advance(struct perron_wheel *w, uint64_t now_ns, uint32_t *expired,
			      uint32_t expired_max);

/*
 * When to call advance next: not after the moment when the next entry can fire, and perhaps before
 * it (when only a move down is due, which makes progress). UINT64_MAX: nothing is armed. O(levels).
 */
uint64_t perron_wheel_next_ns(const struct perron_wheel *w);

/* Asserts every invariant. O(entries). */
void perron_wheel_check(const struct perron_wheel *w);

#endif
