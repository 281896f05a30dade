/*
 * A bounded map from 64-bit keys to 32-bit values (indices into the owner's arrays): open
 * addressing with linear probing, at most half full. Removal moves the entries behind back into
 * the hole, so that nothing decays, however long it runs.
 *
 * Invariants: between an entry's own slot and where it stands no slot is free; count <= limit,
 * which is at most half of the slots. One thread writes; nobody else may read meanwhile. Pure.
 */
#ifndef PERRON_RUNTIME_BASE_MAP_H
#define PERRON_RUNTIME_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/memory.h"

/* No value; cannot be stored. */
#define PERRON_MAP_NONE UINT32_MAX
#define PERRON_MAP_ENTRY_COUNT_MAX (1u << 28)

struct perron_map_slot {
	uint64_t key;
	uint32_t value; /* PERRON_MAP_NONE: the slot is free */
};

struct perron_map {
	struct perron_map_slot *slots;
	uint64_t seed;
	uint32_t mask; /* slots - 1 */
	uint32_t shift; /* from a hash to a slot */
	uint32_t count;
	uint32_t limit;
};

/* What init takes of the arena for up to `entry_count` entries (1 to ENTRY_COUNT_MAX). */
size_t perron_map_size(uint32_t entry_count);

/* `seed` goes into the hash, so that keys chosen by others cannot be made to collide. */
void perron_map_init(struct perron_map *m, struct perron_arena *arena, uint32_t entry_count,
		     uint64_t seed);

/* The key's value, or PERRON_MAP_NONE. O(1) on average. */
uint32_t perron_map_find(const struct perron_map *m, uint64_t key);

/* Stores or replaces; value != PERRON_MAP_NONE. False if the key is new and the map is full. */
bool perron_map_put(struct perron_map *m, uint64_t key, uint32_t value) PERRON_MUST_USE;

/* The value that the key had, or PERRON_MAP_NONE. */
uint32_t perron_map_remove(struct perron_map *m, uint64_t key);

/*
 * Goes over all entries, in an order that the seed and the history decide: start with *cursor 0.
 * False when there are no more. Nothing may be put or removed meanwhile.
 */
bool perron_map_next(const struct perron_map *m, uint32_t *cursor, uint64_t *key, uint32_t *value);

/* Asserts every invariant. O(slots). */
void perron_map_check(const struct perron_map *m);

#endif
