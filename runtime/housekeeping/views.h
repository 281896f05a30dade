/*
 * Published views: immutable tables that housekeeping replaces as a whole and lcores read by
 * liburcu's QSBR flavour. A fixed number of slots is made at boot; a slot that was replaced comes
 * back into use after a grace period, which liburcu's own thread waits for, so neither
 * housekeeping nor any lcore ever waits for the other.
 *
 * Order: draft, fill, publish. At most one draft at a time.
 * Memory order: rcu_assign_pointer in publish pairs with rcu_dereference in read; the slot's state
 * is given back with release by liburcu's thread and taken with acquire by draft.
 *
 * Threads: housekeeping, but for read (registered readers; what it gives is good until the reader's
 * next quiescent state).
 */
#ifndef PERRON_RUNTIME_HOUSEKEEPING_VIEWS_H
#define PERRON_RUNTIME_HOUSEKEEPING_VIEWS_H

#define URCU_INLINE_SMALL_FUNCTIONS
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu-qsbr.h>

#include "runtime/base/assert.h"

/* In use, in its grace period, and a draft. One more, for a grace period that lasts. */
#define PERRON_VIEWS_SLOT_COUNT 4

enum perron_views_slot_state {
	PERRON_VIEWS_FREE,
	PERRON_VIEWS_DRAFT,
	PERRON_VIEWS_LIVE,
	PERRON_VIEWS_RETIRED,
};

struct perron_views_slot {
	struct rcu_head head;
	_Atomic int state; /* enum perron_views_slot_state */
	_Alignas(64) uint8_t data[];
};

struct perron_views {
	void *current; /* data of the live slot; NULL before the first publish */
	struct perron_views_slot *slots[PERRON_VIEWS_SLOT_COUNT];
	size_t data_size;
	uint64_t version; /* times published */
	uint64_t late;	  /* drafts refused: every slot was in its grace period */
};

size_t perron_views_memory(size_t data_size);
/* `memory`: perron_views_memory(data_size) bytes, aligned to 64. */
void perron_views_init(struct perron_views *v, size_t data_size, void *memory);
/* A slot to fill, holding what the current view holds; NULL: try again later (counted). */
void *perron_views_draft(struct perron_views *v);
void perron_views_publish(struct perron_views *v, void *draft);

static inline const void *perron_views_read(struct perron_views *v)
{
	return rcu_dereference(v->current);
}

#endif
