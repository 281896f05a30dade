/*
 * A bounded first-in first-out queue of places: it says which element of the owner's array is next
 * to be written and which to be read, and leaves the elements, of whatever type, to the owner.
 *
 * Invariant: pushed - popped <= capacity. Both counters run free and wrap together.
 * One thread. Pure. Cost of everything: O(1).
 */
#ifndef PERRON_RUNTIME_BASE_FIFO_H
#define PERRON_RUNTIME_BASE_FIFO_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define PERRON_FIFO_NONE UINT32_MAX

struct perron_fifo {
	uint32_t pushed;
	uint32_t popped;
	uint32_t mask;
};

/* `capacity`, the length of the owner's array: a power of two, 1 to 2^31. */
static inline struct perron_fifo perron_fifo_of(uint32_t capacity)
{
	PERRON_ASSERT(capacity > 0 && (capacity & (capacity - 1)) == 0);
	return (struct perron_fifo){.mask = capacity - 1};
}

static inline uint32_t perron_fifo_count(const struct perron_fifo *f)
{
	return f->pushed - f->popped;
}

static inline bool perron_fifo_full(const struct perron_fifo *f)
{
	return perron_fifo_count(f) == f->mask + 1;
}

/* Takes the place behind the last: its index, to be written by the caller; NONE if full. */
static inline uint32_t perron_fifo_push(struct perron_fifo *f)
{
	return perron_fifo_full(f) ? PERRON_FIFO_NONE : f->pushed++ & f->mask;
}

/* The place `nth` from the front (0 is the oldest); nth < count. */
static inline uint32_t perron_fifo_at(const struct perron_fifo *f, uint32_t nth)
{
	PERRON_ASSERT(nth < perron_fifo_count(f));
	return (f->popped + nth) & f->mask;
}

/* Gives up the oldest place: its index, good until the next push; NONE if empty. */
static inline uint32_t perron_fifo_pop(struct perron_fifo *f)
{
	return perron_fifo_count(f) == 0 ? PERRON_FIFO_NONE : f->popped++ & f->mask;
}

#endif
