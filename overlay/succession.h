/*
 * Who takes over from a peer of the cell: each sibling computes it alone (paper 000, III.B.d), in
 * one order: peers of other stations before those of its own, then the least Levenshtein distance
 * of the identifiers, then the lower slot. The copies of its frames go to siblings in the same
 * order, so that with few of them the successor is one that has them.
 *
 * Pure; any thread.
 */
#ifndef PERRON_OVERLAY_SUCCESSION_H
#define PERRON_OVERLAY_SUCCESSION_H

#include <stdbool.h>
#include <stdint.h>

struct perron_successor {
	uint32_t peer;
	uint32_t incarnation;
	uint32_t address; /* of its station */
	uint8_t slot;
};

/* Between two places of one cell: of the slots as they are printed. */
uint32_t perron_slot_distance(uint8_t a, uint8_t b);
/* Sorts `items`, the siblings of a peer with that slot and address. */
void perron_succession_sort(struct perron_successor *items, uint32_t count, uint8_t slot,
			    uint32_t address);

#endif
