/*
 * What the members of a cell agree on: who they are, as a numbered view. Made by ft/group, heard of
 * by the overlay and by users of a group. Paper 004 (1375-1500): regular and transitional
 * configurations of extended virtual synchrony.
 *
 * Pure; plain records.
 */
#ifndef PERRON_OVERLAY_MEMBERSHIP_H
#define PERRON_OVERLAY_MEMBERSHIP_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

/* A cell's (PERRON_CELL_SIZE_MAX). */
#define PERRON_GROUP_MEMBER_COUNT_MAX 16

/* Who a member is. A life is a stay in the cell: it grows when others went on without it. */
struct perron_group_member {
	uint32_t peer;
	uint32_t incarnation;
	uint32_t life;
	uint8_t slot; /* members stand in the order of their slots, then of their peers */
	uint8_t reserved[3]; /* 0: views are handed on as bytes */
};

/* Never given twice. {0}: none. */
struct perron_group_view_id {
	uint32_t number; /* grows from view to view of each member */
	uint32_t peer;   /* who led the change */
	uint32_t incarnation;
};

struct perron_group_view {
	uint64_t cell;
	struct perron_group_view_id id;
	uint8_t transitional; /* id: of the regular view that ends; members: who go on together */
	uint8_t self;         /* index of this peer */
	uint8_t member_count; /* members[0] coordinates */
	uint8_t reserved;     /* 0 */
	struct perron_group_member members[PERRON_GROUP_MEMBER_COUNT_MAX];
};

static_assert(sizeof(struct perron_group_member) == 16, "no byte that nobody writes");
static_assert(sizeof(struct perron_group_view) == 24 + PERRON_GROUP_MEMBER_COUNT_MAX * 16,
	      "no byte that nobody writes");

static inline bool perron_group_view_id_equal(const struct perron_group_view_id *a,
					      const struct perron_group_view_id *b)
{
	return a->number == b->number && a->peer == b->peer && a->incarnation == b->incarnation;
}

#endif
