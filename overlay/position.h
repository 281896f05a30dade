/*
 * Positions: where a peer stands in the tree. A cell is the branches taken from the root cell down;
 * a position is a cell and a slot in it. Printed `0.1.0#2`: the root cell is `0`, its children
 * `0.0`, `0.1`; slots count from 1. Paper 000, III.A: identifiers map to positions.
 *
 * Pure; any thread.
 */
#ifndef PERRON_OVERLAY_POSITION_H
#define PERRON_OVERLAY_POSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/assert.h"
#include "runtime/base/bytes.h"

#define PERRON_LEVEL_COUNT_MAX  8
#define PERRON_SPAN_MAX         16
#define PERRON_CELL_SIZE_MAX    16
#define PERRON_POSITION_SIZE    10 /* on the wire */
#define PERRON_POSITION_TEXT_MAX 32

struct perron_position {
	uint8_t level; /* 0: root cell */
	uint8_t branch[PERRON_LEVEL_COUNT_MAX - 1];
	uint8_t slot; /* 1 to PERRON_CELL_SIZE_MAX; 0: the cell as such */
};

bool perron_position_same_cell(const struct perron_position *a, const struct perron_position *b);
bool perron_position_equal(const struct perron_position *a, const struct perron_position *b);
/* The cell above, slot 0; the root cell has none (asserted). */
struct perron_position perron_position_parent(const struct perron_position *p);
struct perron_position perron_position_child(const struct perron_position *cell, uint8_t branch);
/* A key without loss: level, branches and slot, 4 bits each and some. */
uint64_t perron_position_key(const struct perron_position *p);
/* "0.1.0#2"; a cell as such without #slot. `out` has room for PERRON_POSITION_TEXT_MAX. */
void perron_position_print(const struct perron_position *p, char *out);
/* -1 if `text` is no position or cell. */
int perron_position_parse(const char *text, struct perron_position *out) PERRON_MUST_USE;
void perron_position_write(struct perron_writer *w, const struct perron_position *p);
/* Sets `failed` on levels, branches and slots out of range. */
struct perron_position perron_position_read(struct perron_reader *r);

#endif
