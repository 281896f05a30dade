#include "runtime/base/map.h"

static uint32_t slot_count_for(uint32_t entry_count)
{
	PERRON_ASSERT(entry_count > 0 && entry_count <= PERRON_MAP_ENTRY_COUNT_MAX);
	uint32_t slot_count = 2;

	while (slot_count < 2 * entry_count)
		slot_count *= 2;
	return slot_count;
}

size_t perron_map_size(uint32_t entry_count)
{
	return perron_arena_share(slot_count_for(entry_count) * sizeof(struct perron_map_slot));
}

void perron_map_init(struct perron_map *m, struct perron_arena *arena, uint32_t entry_count,
		     uint64_t seed)
{
	uint32_t slot_count = slot_count_for(entry_count);

	*m = (struct perron_map){
		.slots = perron_arena_take(arena, slot_count * sizeof(struct perron_map_slot)),
		.seed = seed,
		.mask = slot_count - 1,
		.shift = (uint32_t)__builtin_clzll(slot_count) + 1,
		.limit = entry_count,
	};
	for (uint32_t i = 0; i < slot_count; i++)
		m->slots[i].value = PERRON_MAP_NONE;
}

/* Two rounds: the first spreads the key's bits down, the second up to where the slot is read. */
static uint32_t own_slot(const struct perron_map *m, uint64_t key)
{
	uint64_t h = (key ^ m->seed) * UINT64_C(0xbf58476d1ce4e5b9);

	h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> m->shift);
}

static bool slot_is_free(const struct perron_map *m, uint32_t i)
{
	return m->slots[i].value == PERRON_MAP_NONE;
}

/* The slot of the key, or the free one where it would go. Half of the slots are free: it ends. */
static uint32_t slot_of(const struct perron_map *m, uint64_t key)
{
	uint32_t i = own_slot(m, key);

	while (!slot_is_free(m, i) && m->slots[i].key != key)
		i = (i + 1) & m->mask;
	return i;
}

uint32_t perron_map_find(const struct perron_map *m, uint64_t key)
{
	return m->slots[slot_of(m, key)].value;
}

bool perron_map_put(struct perron_map *m, uint64_t key, uint32_t value)
{
	uint32_t i = slot_of(m, key);

	PERRON_ASSERT(value != PERRON_MAP_NONE);
	if (slot_is_free(m, i)) {
		if (m->count == m->limit)
			return false;
		m->count++;
		m->slots[i].key = key;
	}
	m->slots[i].value = value;
	return true;
}

uint32_t perron_map_remove(struct perron_map *m, uint64_t key)
{
	uint32_t hole = slot_of(m, key);
	uint32_t value = m->slots[hole].value;

	if (value == PERRON_MAP_NONE)
		return value;
	for (uint32_t i = (hole + 1) & m->mask; !slot_is_free(m, i); i = (i + 1) & m->mask) {
		uint32_t own = own_slot(m, m->slots[i].key);
		/* It may move back unless its own slot lies behind the hole. */
		if (((i - own) & m->mask) >= ((i - hole) & m->mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].value = PERRON_MAP_NONE;
	m->count--;
	return value;
}

bool perron_map_next(const struct perron_map *m, uint32_t *cursor, uint64_t *key, uint32_t *value)
{
	for (uint32_t i = *cursor; i <= m->mask; i++) {
		if (slot_is_free(m, i))
			continue;
		*cursor = i + 1;
		*key = m->slots[i].key;
		*value = m->slots[i].value;
		return true;
	}
	return false;
}

void perron_map_check(const struct perron_map *m)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i <= m->mask; i++) {
		if (slot_is_free(m, i))
			continue;
		count++;
		PERRON_ASSERT(slot_of(m, m->slots[i].key) == i);
	}
	PERRON_ASSERT(count == m->count);
	PERRON_ASSERT(m->count <= m->limit && m->limit <= (m->mask + 1) / 2);
}
