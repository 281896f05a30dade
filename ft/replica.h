/*
 * A replica buffer: frames of one stream in one class, held by reference for one peer (a sibling,
 * or this one) until the acknowledgement of its clients passes. Paper 000, III.B.c: "the packet is
 * stored in the replica buffer".
 *
 * A window over the stream's sequences: slot = sequence modulo its size, so that a frame is put,
 * found and let go in constant time. Frames below `floor` are let go of in bulk.
 *
 * Pure; the relay's thread.
 */
#ifndef PERRON_FT_REPLICA_H
#define PERRON_FT_REPLICA_H

#include "overlay/path.h"

struct perron_replica_slot {
	uint64_t sequence; /* 0: free */
	uint64_t handle;
};

/* What is held stands in [swept, swept + window). */
struct perron_replica {
	uint64_t floor;  /* below, nothing is wanted any more */
	uint64_t swept;  /* below, nothing is held */
	uint64_t high;   /* the latest that was held, or floor - 1 */
	uint32_t window; /* a power of two */
	uint32_t count;  /* frames held */
	struct perron_replica_slot *slots;
};

void perron_replica_init(struct perron_replica *b, struct perron_replica_slot *slots,
			 uint32_t window, uint64_t floor);
/* NONE: it is held from now on, and its handle is the buffer's. DUPLICATE; WINDOW: no room yet. */
enum perron_drop perron_replica_put(struct perron_replica *b, uint64_t sequence, uint64_t handle);
bool perron_replica_get(const struct perron_replica *b, uint64_t sequence, uint64_t *handle);
/* The first that is held from `sequence` on; 0: none. At most `window` looks, however far it is. */
uint64_t perron_replica_next(const struct perron_replica *b, uint64_t sequence);
/* As perron_replica_get, and it is held no more. */
bool perron_replica_take(struct perron_replica *b, uint64_t sequence, uint64_t *handle);
/* Nothing below is wanted any more; never goes back. */
void perron_replica_raise(struct perron_replica *b, uint64_t floor);
/* Lets go of what is not wanted, at most `max`; returns how many handles it wrote. */
uint32_t perron_replica_sweep(struct perron_replica *b, uint64_t *handles, uint32_t max);
bool perron_replica_is_swept(const struct perron_replica *b);
/* What is held, as an acknowledgement: what is not wanted counts as held. */
struct perron_ack perron_replica_ack(const struct perron_replica *b);
void perron_replica_check(const struct perron_replica *b);

#endif
