/*
 * The station table: what housekeeping publishes to every lcore. Which machine lives on which
 * lcore, and the difference between station time and overlay time. Immutable once published
 * (runtime/housekeeping/views.h).
 */
#ifndef PERRON_RUNTIME_LCORE_PLACES_H
#define PERRON_RUNTIME_LCORE_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

/* Machines of one station: 64 peers, and as many in-station clients. */
#define PERRON_PLACE_COUNT_MAX 128
/* Slots: at most half of them are used, so a look-up ends soon. */
#define PERRON_PLACE_SLOT_COUNT 256

struct perron_place {
	uint32_t id; /* 0: free */
	uint16_t lcore;
	uint16_t machine; /* index at its lcore */
};

struct perron_places {
	uint64_t clock_offset_ns;  /* overlay time minus station time */
	struct perron_place first; /* takes what is for whoever listens here; id 0: nobody */
	uint32_t count;
	struct perron_place slots[PERRON_PLACE_SLOT_COUNT];
};

static inline uint32_t places_slot(uint32_t id)
{
	return (id * 2654435769u) >> 24;
}

_Static_assert(PERRON_PLACE_SLOT_COUNT == 256, "places_slot gives 8 bits");

/* Where the machine of that id lives, or NULL. Id 0: the first one. */
static inline const struct perron_place *perron_places_find(const struct perron_places *p,
							    uint32_t id)
{
	if (id == 0)
		return p->first.id ? &p->first : NULL;
	for (uint32_t i = 0, at = places_slot(id); i < PERRON_PLACE_COUNT_MAX + 1; i++, at++) {
		const struct perron_place *place = &p->slots[at % PERRON_PLACE_SLOT_COUNT];
		if (place->id == id)
			return place;
		if (place->id == 0)
			return NULL;
	}
	return NULL;
}

/* Adds a machine; the first one added is `first`. False: full, or the id is there. */
static inline bool perron_places_add(struct perron_places *p, struct perron_place place)
{
	PERRON_ASSERT(place.id != 0);
	if (p->count == PERRON_PLACE_COUNT_MAX || perron_places_find(p, place.id))
		return false;
	uint32_t at = places_slot(place.id);
	while (p->slots[at % PERRON_PLACE_SLOT_COUNT].id)
		at++;
	p->slots[at % PERRON_PLACE_SLOT_COUNT] = place;
	if (p->count++ == 0)
		p->first = place;
	return true;
}

#endif
