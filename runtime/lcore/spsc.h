/*
 * A ring of records of varying size, from one producer to one consumer, without locks.
 *
 * It carries commands and sensors' messages to a lcore and events back (docs/architecture.md, two
 * planes). A record is written in place: reserve, fill, commit; and read in place: peek, use, pop.
 * What finds no room is refused and counted; nobody ever spins. Records are contiguous: one that
 * would wrap begins anew at the ring's start, behind a filler.
 *
 * Invariants: head <= tail <= head + size; both only grow; a record between them was committed
 * whole. Memory order: the producer's release of `tail` pairs with the consumer's acquire of it
 * (the record's bytes are there); the consumer's release of `head` pairs with the producer's
 * acquire of it (the record's bytes are no longer read).
 *
 * Threads: reserve and commit belong to one thread, peek and pop to one thread; count and refused
 * may be read by any.
 */
#ifndef PERRON_RUNTIME_LCORE_SPSC_H
#define PERRON_RUNTIME_LCORE_SPSC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/base/assert.h"

#define PERRON_CACHE_LINE 64

/* Before each record. `size` is the record's own, without padding. */
struct perron_spsc_record {
	uint32_t size;
	uint32_t tag; /* the user's; PERRON_SPSC_FILLER: nothing, go on at the start */
};

#define PERRON_SPSC_FILLER UINT32_MAX

struct perron_spsc {
	/* The producer's line. */
	_Alignas(PERRON_CACHE_LINE) _Atomic uint64_t tail;
	uint64_t head_seen; /* the consumer's head, as of the last look */
	uint64_t reserved;  /* where the reserved record stands */
	uint32_t reserved_size;
	_Atomic uint64_t refused;
	/* The consumer's line. */
	_Alignas(PERRON_CACHE_LINE) _Atomic uint64_t head;
	uint64_t tail_seen;
	/* Constant after init. */
	_Alignas(PERRON_CACHE_LINE) uint64_t size;
	_Alignas(PERRON_CACHE_LINE) uint8_t bytes[];
};

_Static_assert(offsetof(struct perron_spsc, head) == 1 * PERRON_CACHE_LINE, "own line");
_Static_assert(offsetof(struct perron_spsc, bytes) == 3 * PERRON_CACHE_LINE, "own line");

/* Memory for a ring of `size` bytes; a power of two from 64 on. */
static inline size_t perron_spsc_size(uint64_t size)
{
	return sizeof(struct perron_spsc) + size;
}

static inline void perron_spsc_init(struct perron_spsc *r, uint64_t size)
{
	PERRON_ASSERT(size >= 64 && (size & (size - 1)) == 0);
	memset(r, 0, sizeof(*r));
	r->size = size;
}

/* What a record of `size` bytes takes. */
static inline uint64_t perron_spsc_footprint(uint32_t size)
{
	return sizeof(struct perron_spsc_record) + (((uint64_t)size + 7) & ~7ull);
}

static inline int spsc_has_room(struct perron_spsc *r, uint64_t end)
{
	if (end - r->head_seen <= r->size)
		return 1;
	/* Pairs with the release in perron_spsc_pop. */
	r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
	return end - r->head_seen <= r->size;
}

/*
 * Room for a record of `size` bytes, aligned to 8, or NULL (counted). The record is not there for
 * the consumer before perron_spsc_commit; a second reserve without commit discards the first.
 */
static inline void *perron_spsc_reserve(struct perron_spsc *r, uint32_t size)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint64_t footprint = perron_spsc_footprint(size);
	uint64_t left = r->size - (tail & (r->size - 1));
	uint64_t begin = left < footprint ? tail + left : tail;

	if (footprint > r->size || !spsc_has_room(r, begin + footprint)) {
		atomic_store_explicit(&r->refused,
				      atomic_load_explicit(&r->refused, memory_order_relaxed) + 1,
				      memory_order_relaxed);
		return NULL;
	}
	if (begin != tail) {
		struct perron_spsc_record filler = {0, PERRON_SPSC_FILLER};
		memcpy(r->bytes + (tail & (r->size - 1)), &filler, sizeof(filler));
	}
	r->reserved = begin;
	r->reserved_size = size;
	return r->bytes + (begin & (r->size - 1)) + sizeof(struct perron_spsc_record);
}

/* Hands the reserved record over, cut to `size` if that is less. */
static inline void perron_spsc_commit(struct perron_spsc *r, uint32_t tag, uint32_t size)
{
	struct perron_spsc_record record = {size, tag};

	PERRON_ASSERT(size <= r->reserved_size && tag != PERRON_SPSC_FILLER);
	memcpy(r->bytes + (r->reserved & (r->size - 1)), &record, sizeof(record));
	/* Pairs with the acquire in perron_spsc_peek. */
	atomic_store_explicit(&r->tail, r->reserved + perron_spsc_footprint(size),
			      memory_order_release);
	r->reserved_size = 0;
}

static inline void spsc_head_set(struct perron_spsc *r, uint64_t head)
{
	/* Pairs with the acquire in spsc_has_room. */
	atomic_store_explicit(&r->head, head, memory_order_release);
}

/* The oldest record, or NULL. It stays until perron_spsc_pop. */
static inline const void *perron_spsc_peek(struct perron_spsc *r, uint32_t *size, uint32_t *tag)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	struct perron_spsc_record record;

	for (;;) {
		if (head == r->tail_seen) {
			/* Pairs with the release in perron_spsc_commit. */
			r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
			if (head == r->tail_seen)
				return NULL;
		}
		memcpy(&record, r->bytes + (head & (r->size - 1)), sizeof(record));
		if (record.tag != PERRON_SPSC_FILLER)
			break;
		head += r->size - (head & (r->size - 1));
		spsc_head_set(r, head);
	}
	*size = record.size;
	*tag = record.tag;
	return r->bytes + (head & (r->size - 1)) + sizeof(record);
}

/* Lets go of the record that perron_spsc_peek gave. */
static inline void perron_spsc_pop(struct perron_spsc *r)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	struct perron_spsc_record record;

	PERRON_ASSERT(head != r->tail_seen);
	memcpy(&record, r->bytes + (head & (r->size - 1)), sizeof(record));
	PERRON_ASSERT(record.tag != PERRON_SPSC_FILLER);
	spsc_head_set(r, head + perron_spsc_footprint(record.size));
}

/* Copies a record in. False: no room (counted). */
static inline bool perron_spsc_push(struct perron_spsc *r, uint32_t tag, const void *data,
				    uint32_t size)
{
	void *at = perron_spsc_reserve(r, size);

	if (!at)
		return false;
	memcpy(at, data, size);
	perron_spsc_commit(r, tag, size);
	return true;
}

static inline bool perron_spsc_is_empty(const struct perron_spsc *r)
{
	return atomic_load_explicit(&r->head, memory_order_acquire) ==
	       atomic_load_explicit(&r->tail, memory_order_acquire);
}

static inline uint64_t perron_spsc_refused(const struct perron_spsc *r)
{
	return atomic_load_explicit(&r->refused, memory_order_relaxed);
}

#endif
