/*
 * The registry: who holds which position. The root's coordinator keeps it, gives out positions,
 * and validates joins (paper 000, III.B.a: "it is the responsibility of the root cell to validate
 * the join request"). An entry is reserved when a cell was given out, confirmed by the join, kept
 * by renewals, and free again when its lease has run out.
 *
 * Invariants: one entry a peer, one peer a position. Positions of the root cell are not in it:
 * they follow from the portal list.
 *
 * Pure; the housekeeping thread. Find O(1); assigning goes over the cells.
 */
#ifndef PERRON_OVERLAY_REGISTRY_H
#define PERRON_OVERLAY_REGISTRY_H

#include "overlay/control.h"
#include "runtime/base/map.h"

struct perron_registry_entry {
	struct perron_party party; /* id 0: free */
	struct perron_position position;
	uint32_t attempt;
	bool confirmed;
	uint64_t expires_ns;
};

struct perron_registry_cell {
	struct perron_position cell;
	uint16_t held;      /* bit slot - 1 */
	uint16_t confirmed; /* subset of held */
};

struct perron_registry_rules {
	uint32_t entry_count_max;
	uint8_t level_count;
	uint8_t span;
	uint8_t cell_size;
	uint64_t reserve_ns; /* a reservation is kept */
	uint64_t keep_ns;    /* a confirmed position is kept: longer than its holder's lease */
};

struct perron_registry {
	struct perron_registry_rules rules;
	struct perron_registry_entry *entries;
	struct perron_registry_cell *cells;
	uint32_t entry_count; /* in use */
	uint32_t cell_count;  /* in use; [0] is the root cell */
	struct perron_map by_peer;
	struct perron_map by_position;
	struct perron_map by_cell;
};

size_t perron_registry_size(const struct perron_registry_rules *rules);
void perron_registry_init(struct perron_registry *g, struct perron_arena *a,
			  const struct perron_registry_rules *rules, uint64_t seed);
void perron_registry_clear(struct perron_registry *g);

struct perron_registry_entry *perron_registry_find(struct perron_registry *g, uint32_t peer);

/*
 * Reserves a position for a peer that asks for one and has none here: the wish if it can be had,
 * else the highest free place. NULL: `*wait` says whether it is worth asking again.
 */
struct perron_registry_entry *perron_registry_assign(struct perron_registry *g, uint64_t now_ns,
						     const struct perron_party *party,
						     const struct perron_position *wish,
						     bool *wait);
/* A peer says that it holds (renews) a position: true if that stands. */
bool perron_registry_confirm(struct perron_registry *g, uint64_t now_ns,
			     const struct perron_party *party, uint32_t attempt,
			     const struct perron_position *position);
void perron_registry_remove(struct perron_registry *g, uint32_t peer);
void perron_registry_expire(struct perron_registry *g, uint64_t now_ns);
/* Members of `cell` other than `except`; confirmed ones only, if asked. Not for the root cell. */
void perron_registry_members(struct perron_registry *g, const struct perron_position *cell,
			     uint32_t except, bool confirmed, struct perron_members *out);
void perron_registry_check(const struct perron_registry *g);

#endif
