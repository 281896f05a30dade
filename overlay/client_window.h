/*
 * The client's window over one stream: what was delivered, what waits for something missing, and
 * what was given up. A ring of slots by sequence.
 *
 * Invariants: frames below `expected` were delivered or counted lost, once; held frames are within
 * [expected, expected + size); missing frames below `floor` are not waited for.
 *
 * Private to overlay/client. Pure; the client's thread.
 */
#ifndef PERRON_OVERLAY_CLIENT_WINDOW_H
#define PERRON_OVERLAY_CLIENT_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "overlay/path.h"

struct perron_window_slot {
	uint64_t handle;
	uint64_t sequence;
	uint64_t due_ns; /* late after this, overlay time; UINT64_MAX: never */
	bool held;
};

struct perron_window {
	uint64_t expected; /* next to deliver */
	uint64_t floor;    /* frames below will not come any more */
	uint64_t end;      /* above the highest taken */
	uint64_t lost;     /* passed over */
	uint64_t restarts; /* times that the origin began another life */
	uint64_t renumbered; /* sequences between its lives: most never were */
	uint32_t size;     /* a power of two */
	uint32_t held_count;
	struct perron_window_slot *slots;
};

enum perron_window_place {
	PERRON_WINDOW_NEXT,   /* it is the expected one */
	PERRON_WINDOW_AHEAD,  /* to be held */
	PERRON_WINDOW_SEEN,   /* delivered, given up or held already */
	PERRON_WINDOW_BEYOND, /* too far ahead */
};

void perron_window_init(struct perron_window *w, struct perron_window_slot *slots, uint32_t size);
/* Sets where an empty window starts. */
void perron_window_start(struct perron_window *w, uint64_t expected);
enum perron_window_place perron_window_place(const struct perron_window *w, uint64_t sequence);

/* Passes over the expected frame, which was delivered without being held. */
void perron_window_pass(struct perron_window *w);
/* Keeps a frame that is AHEAD. True if a frame before it is missing that nothing has shown yet. */
bool perron_window_hold(struct perron_window *w, uint64_t sequence, uint64_t handle,
			uint64_t due_ns);
/* Frames below `floor` will not come: perron_window_next passes over what is missing of them. */
void perron_window_skip(struct perron_window *w, uint64_t floor);
/* perron_window_next has something to do. */
bool perron_window_is_ready(const struct perron_window *w);
/* Takes out the next held frame in order; false if the next one is missing and may yet come. */
bool perron_window_next(struct perron_window *w, struct perron_window_slot *out);
/* Takes out any held frame; false if there is none. */
bool perron_window_empty(struct perron_window *w, struct perron_window_slot *out);

struct perron_ack perron_window_ack(const struct perron_window *w);
void perron_window_check(const struct perron_window *w);

#endif
