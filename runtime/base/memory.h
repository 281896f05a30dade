/*
 * Memory that a caller owns, handed out front to back: how a machine whose _size(cfg) was reserved
 * at boot cuts it up. Pieces start on cache lines and are never given back one by one.
 * Pure; any thread that owns the arena.
 */
#ifndef PERRON_RUNTIME_BASE_MEMORY_H
#define PERRON_RUNTIME_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "runtime/base/assert.h"

#define PERRON_CACHE_LINE_SIZE 64u

struct perron_arena {
	uint8_t *base; /* on a cache line */
	size_t size;
	size_t used;
};

/* What a piece of `size` bytes takes of an arena; a _size(cfg) is a sum of these. */
static inline size_t perron_arena_share(size_t size)
{
	return (size + PERRON_CACHE_LINE_SIZE - 1) & ~(size_t)(PERRON_CACHE_LINE_SIZE - 1);
}

/* `base` stands on a cache line. */
static inline struct perron_arena perron_arena_of(void *base, size_t size)
{
	PERRON_ASSERT((uintptr_t)base % PERRON_CACHE_LINE_SIZE == 0);
	return (struct perron_arena){.base = base, .size = size};
}

/* A zeroed piece, on a cache line. Its room was planned: too little of it is a bug (asserted). */
static inline void *perron_arena_take(struct perron_arena *a, size_t size)
{
	size_t share = perron_arena_share(size);

	PERRON_ASSERT(share >= size && share <= a->size - a->used);
	uint8_t *at = a->base + a->used;
	a->used += share;
	memset(at, 0, share);
	return at;
}

#endif
