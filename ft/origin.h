/*
 * The origin: the peer at the sensor keeps each frame of a path until every branch has it. A frame
 * that is not acknowledged is sent again, with a time-out that doubles, a set number of times;
 * then it is abandoned, which its owner is told (paper 000, III.B.c, last paragraph).
 *
 * A window over the stream's sequences: slot = sequence modulo its size. Frames below `first` are
 * gone; from `next` on they are not given out yet.
 *
 * Pure; the relay's thread.
 */
#ifndef PERRON_FT_ORIGIN_H
#define PERRON_FT_ORIGIN_H

#include "overlay/path.h"

/* The handle of a frame that is not here, and will not come: its turn come, it is given up. */
#define PERRON_ORIGIN_NONE UINT64_MAX

struct perron_origin_frame {
	uint64_t handle;
	uint64_t due_ns; /* of the next try */
	uint32_t tries;
};

struct perron_origin {
	uint64_t first;
	uint64_t next;
	uint64_t due_ns; /* earliest of all frames', or earlier */
	uint32_t window; /* power of two; 0: free */
	bool draining;   /* its path is closed; what is kept is let go bit by bit */
	struct perron_origin_frame *frames;
};

struct perron_origin_retry {
	uint64_t ns_min;
	uint64_t ns_max;
	uint32_t count_max;
};

void perron_origin_init(struct perron_origin *o, struct perron_origin_frame *frames,
			uint32_t window, uint64_t first);
bool perron_origin_has_room(const struct perron_origin *o, uint32_t count);
/* Keeps the next frame; there is room. Returns its sequence. */
uint64_t perron_origin_push(struct perron_origin *o, uint64_t now_ns, uint64_t handle,
			    const struct perron_origin_retry *retry);
/* The handle of a frame that is kept. */
bool perron_origin_get(const struct perron_origin *o, uint64_t sequence, uint64_t *handle);
/* The first that is kept from `sequence` on; 0: none. */
uint64_t perron_origin_next(const struct perron_origin *o, uint64_t sequence);
/* Lets go of frames below `sequence`, at most `max`; returns how many handles it wrote. */
uint32_t perron_origin_pop(struct perron_origin *o, uint64_t sequence, uint64_t *handles,
			   uint32_t max);
/*
 * The next frame from `*cursor` on that is due and not in `ack`, with its try counted, or NULL:
 * then due_ns says when to look again. Start a round with *cursor = first; on return it is the
 * sequence found. With `*exhausted`, its tries were used up and it is not to be sent again.
 */
const struct perron_origin_frame *perron_origin_retry(struct perron_origin *o, uint64_t now_ns,
						      const struct perron_ack *ack,
						      const struct perron_origin_retry *retry,
						      uint64_t *cursor, bool *exhausted);
/* Everything that is kept is due now: a new way has opened, and waits for it. */
void perron_origin_hurry(struct perron_origin *o, uint64_t now_ns);
void perron_origin_check(const struct perron_origin *o);

#endif
