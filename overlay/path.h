/*
 * A path: one stream in one class at one peer. Frames come from the upstream neighbour (towards
 * the sensor) and go to each branch (a neighbour towards a client, or a client). Acknowledgements
 * come from the branches, cumulative with a bitmap of the 64 frames after; what all branches have
 * goes upstream. Paper 000, III.B.b and c.
 *
 * A path is started when it knows from which sequence on its upstream serves it. Frames below
 * `floor` will never come; a branch that still waits for one is told so with a GAP, again and
 * again, until its acknowledgement has passed.
 *
 * Pure; the relay's thread.
 */
#ifndef PERRON_OVERLAY_PATH_H
#define PERRON_OVERLAY_PATH_H

#include "runtime/base/command.h"
#include "runtime/base/effects.h"

#define PERRON_BRANCH_COUNT_MAX 64
/*
 * Sequences above are refused, so that sums with a window cannot wrap. The last incarnation's
 * streams start below: at UINT32_MAX << 32.
 */
#define PERRON_SEQUENCE_MAX (UINT64_MAX - (1u << 30))

/* Acknowledged: all up to `cumulative`; bit i of `bitmap`: cumulative + 1 + i as well. */
struct perron_ack {
	uint64_t cumulative;
	uint64_t bitmap;
};
#define PERRON_ACK_SIZE 8 /* payload: the bitmap; cumulative is the header's sequence */

static inline bool perron_ack_has(const struct perron_ack *ack, uint64_t sequence)
{
	if (sequence <= ack->cumulative)
		return true;
	uint64_t ahead = sequence - ack->cumulative - 1;
	return ahead < 64 && (ack->bitmap >> ahead & 1);
}

/*
 * A sequence's upper half is the life (incarnation) of its origin, the lower half counts from 1: a
 * sensor whose peer was started again goes on above its past, and nothing was lost in between.
 */
static inline uint32_t perron_sequence_life(uint64_t sequence)
{
	return (uint32_t)(sequence >> 32);
}

struct perron_branch {
	struct perron_party party;
	struct perron_ack ack;
	bool started;       /* `ack` is set; else it waits for the path to start */
	uint64_t asked;     /* the sequence it asked for; 0: the present */
	bool late;          /* the upstream was asked without it, and may answer to that first */
	uint64_t floor;     /* frames below are given up for this branch alone */
	uint64_t gap_sent_ns;
	uint64_t renewed_ns; /* housekeeping last wanted it */
	uint64_t gone_ns;    /* its peer is gone since: it stands for those to come; 0: it is there */
	uint64_t forwarded;
};

struct perron_path {
	uint32_t stream;
	uint8_t class;
	bool used;
	bool started;
	bool origin;       /* the sensor is here */
	bool ack_due;
	bool resumed;    /* the upstream was asked, and has not answered */
	bool resend_due; /* the next acknowledgement asks for what it lacks */
	uint32_t upstream; /* peer id; 0: none yet, or origin */
	uint64_t floor;
	uint64_t high; /* highest sequence seen (origin: given out) */
	struct perron_ack acked; /* what was last said upstream */
	uint64_t ack_due_ns;
	uint64_t received; /* data frames from upstream, or given out here */
	uint64_t bytes;    /* their payloads */
	uint64_t retried;  /* of them, sent again by the origin */
	uint64_t late;
	uint32_t branch_count;
	struct perron_branch *branches; /* branch_count_max of them */
};

struct perron_path_info {
	uint32_t stream;
	uint8_t class;
	uint8_t origin;
	uint8_t started;
	uint32_t upstream;
	uint32_t branch_count;
	uint64_t high;
	uint64_t acked;
	uint64_t floor;
	uint32_t client_count; /* of the branches */
	uint32_t deadline_us;  /* tightest bound asked for; 0: none */
	uint64_t received;
	uint64_t bytes;
	uint64_t held; /* by an origin here */
	uint64_t retried;
	uint64_t late;
	uint64_t abandoned;
	uint64_t dropped; /* every cause */
};

/* What every started branch has, with the floor taken into account. Of none: what was said. */
struct perron_ack perron_path_aggregate(const struct perron_path *p);

/* The same of those whose peers are there; false: there are none. */
bool perron_path_lack(const struct perron_path *p, struct perron_ack *have);

struct perron_branch *perron_path_branch(struct perron_path *p, uint32_t party_id);
/* Adds or renews a branch; NULL if full. A branch of another incarnation starts afresh. */
struct perron_branch *perron_path_branch_open(struct perron_path *p, uint32_t branch_count_max,
					      const struct perron_party *party, uint64_t asked);
bool perron_path_branch_close(struct perron_path *p, uint32_t party_id);
/*
 * Starts a branch that waited; the sequence it is served from on is ack.cumulative + 1. `held`: what
 * it asks for is held here, though it was let go upstream.
 */
void perron_path_branch_start(struct perron_path *p, struct perron_branch *b, bool held);

/* The upstream serves from `first` on: starts the path, or raises its floor. */
void perron_path_start(struct perron_path *p, uint64_t first);

/*
 * Upstream is told `ack`, or as the origin lets go by it: below it nothing can be asked for any
 * more, so the floor follows. (A branch may lack what was acknowledged for it: a bit can be taken
 * back when another client comes in below, a cumulative number cannot.)
 */
void perron_path_said(struct perron_path *p, const struct perron_ack *ack);

/* An acknowledgement of a branch. False if it claims what was never sent. */
bool perron_path_acknowledge(struct perron_path *p, struct perron_branch *b,
			     const struct perron_ack *ack);
void perron_path_check(const struct perron_path *p);

#endif
