/*
 * A load for measuring group communication: the user of a peer's group, on its lcore, beside the
 * relay. Housekeeping begins a run, looks at it, and reads its figures when it is over.
 *
 *	latency    sends a message each period (0: when the one before came back) and measures
 *	           until it is delivered to its own sender
 *	rate       sends as fast as the group takes them
 *	sequencer  another ordering, over FIFO: members[0] answers what came in since its last turn
 *	           by one message that says the order; a message is delivered with its order
 *	token      another ordering, over FIFO: a token goes round, who holds it may send one
 *	           message; a message is delivered when its holder has sent it
 *
 * The last two are what was not taken, for comparison. Every peer takes part in them, in a run or
 * not: the coordinator orders, members pass the token on; it ends with the run that made it.
 *
 * A run counts what is delivered of it by any sender from its beginning until some time after its
 * end, so that peers that begin within GROUP_LOAD_BEGIN_NS of each other count the same. A peer
 * that does not send counts alone. Times are those of the sender's clock: what others sent can be
 * measured where all are on one machine.
 *
 * A message: magic, run, kind, 0, count, number, sender's stamp; then, of an order, `count` pairs
 * of peer and number; of a token, the peer that is to hold it. All big-endian.
 *
 * Thread: the lcore's; group_load_state_of and, once it is DONE, `result` are housekeeping's too.
 */
#ifndef PERRON_APPS_STATION_GROUP_LOAD_H
#define PERRON_APPS_STATION_GROUP_LOAD_H

#include <stdatomic.h>

#include "ft/group.h"
#include "runtime/base/histogram.h"

/* From the command to the first message: others are told meanwhile. */
#define GROUP_LOAD_BEGIN_NS 100000000u
/* From the last message to the end: what is under way arrives. */
#define GROUP_LOAD_DRAIN_NS	 300000000u
#define GROUP_LOAD_SIZE_MIN	 24u
#define GROUP_LOAD_PERIOD_NS_MAX UINT64_C(60000000000)
#define GROUP_LOAD_LENGTH_NS_MAX UINT64_C(3600000000000)
#define GROUP_LOAD_SIZE_MAX	 (PERRON_GROUP_FRAGMENT_COUNT_MAX * PERRON_GROUP_FRAGMENT_SIZE)
/* Messages of one tick, so that a turn stays short. */
#define GROUP_LOAD_TURN 32u
/* Messages that wait for the coordinator's order, here and at the coordinator; powers of two. */
#define GROUP_LOAD_ORDER_MAX 1024u
/* Pairs in one order: it is to fit one packet. */
#define GROUP_LOAD_ORDER_COUNT 128u

#define GROUP_LOAD_MODES(X) \
	X(LATENCY, "latency") X(RATE, "rate") X(SEQUENCER, "sequencer") X(TOKEN, "token")

enum group_load_mode {
#define X(name, text) GROUP_LOAD_##name,
	GROUP_LOAD_MODES(X)
#undef X
	    GROUP_LOAD_MODE_COUNT
};

enum group_load_state {
	GROUP_LOAD_IDLE, /* nothing was asked yet */
	GROUP_LOAD_RUNNING,
	GROUP_LOAD_DONE,
};

struct group_load_config {
	uint32_t run; /* not 0; the same at all peers of a run, another for each */
	uint8_t mode;
	uint8_t service; /* of LATENCY and RATE */
	bool sends;
	bool leads; /* TOKEN: makes it; one peer of the run */
	uint32_t size;
	uint64_t period_ns; /* LATENCY and SEQUENCER, TOKEN: of wanting to send */
	uint64_t length_ns; /* of sending */
};

struct group_load_result {
	int error;	       /* -errno that ended it early: of sending, or -ECANCELED */
	uint32_t views;	       /* regular ones installed meanwhile */
	uint32_t member_count; /* of the view in which it began */
	uint64_t sent;
	uint64_t would_block;
	uint64_t own;	   /* of the messages sent, those that came back */
	uint64_t messages; /* delivered, of all senders */
	uint64_t bytes;
	uint64_t first_ns; /* delivery of the first and the last */
	uint64_t last_ns;
	uint64_t orders;		 /* SEQUENCER: messages that said an order, sent here */
	uint64_t order_full;		 /* messages that it did not order: too many waited */
	uint64_t tokens;		 /* TOKEN: times that it was here */
	struct perron_histogram latency; /* from wanting to send to one's own delivery */
	struct perron_histogram one_way; /* the same of others' messages; not of SEQUENCER */
};

struct group_load_ops {
	/* perron_group_send to all members. */
	int (*send)(void *context, uint64_t now_ns, enum perron_group_service service,
		    const uint8_t *data, uint32_t size, struct perron_effects *out);
	uint64_t (*clock_ns)(void);
};

struct group_load_pair {
	uint32_t peer;
	uint32_t number;
};

/* The message whose pieces come in. */
struct group_load_piece {
	bool ours;
	uint32_t run;
	uint8_t kind;
	uint32_t number;
	uint64_t stamp_ns;
	uint64_t bytes;
};

struct group_load {
	const struct group_load_ops *ops;
	void *context;
	uint32_t peer;
	_Atomic uint32_t state; /* DONE is stored with release, for who reads `result` */
	_Atomic uint32_t run;	/* that `state` is of; 0: none yet */
	struct group_load_config config;
	struct group_load_result result;

	struct perron_group_view view; /* the regular one */
	struct group_load_piece piece;
	uint64_t begin_ns; /* sending */
	uint64_t until_ns;
	uint64_t due_ns;   /* the next message */
	uint64_t stamp_ns; /* when it was first tried; 0: not yet */
	uint64_t retry_ns; /* the group would block: not before, unless something is delivered */
	bool waits;	   /* period 0: for the delivery of the last */
	uint32_t number;   /* of the last message */

	/* SEQUENCER: what is to be ordered here, and when our own were sent. */
	uint32_t order_first;
	uint32_t order_count;
	uint32_t order_run;
	struct group_load_pair order[GROUP_LOAD_ORDER_MAX];
	uint64_t stamps_ns[GROUP_LOAD_ORDER_MAX];

	/* TOKEN. */
	bool token_held;
	uint32_t token_run;
	uint32_t token_generation; /* the latest that was seen; grows with each view */

	uint8_t message[GROUP_LOAD_SIZE_MAX];
};

const char *group_load_mode_name(uint8_t mode);
int group_load_mode_from_name(const char *name); /* -1: none */

void group_load_init(struct group_load *l, uint32_t peer, const struct group_load_ops *ops,
		     void *context);

bool group_load_config_is_valid(const struct group_load_config *config);
/* Begins a run, which ends the one before. Without a view it is over at once, with -ENOTCONN. */
void group_load_start(struct group_load *l, uint64_t now_ns,
		      const struct group_load_config *config);
/* Ends the run now. */
void group_load_stop(struct group_load *l);

/* What the group indicates (ft/group.h). Sends nothing: the next tick does, which is then due. */
void group_load_indicate(struct group_load *l, uint64_t now_ns, uint8_t kind, const void *record);
/*
 * Sends until the group indicates something: that is to be applied before it is called again, and
 * the load is then due at once. (Who holds the token sends two: the first cannot be let go by the
 * second, which comes before any frame of the others.)
 */
void group_load_tick(struct group_load *l, uint64_t now_ns, struct perron_effects *out);
/* When to tick next; 0: at once; UINT64_MAX: no need. */
uint64_t group_load_deadline_ns(const struct group_load *l);

/* Of the run that was commanded last: IDLE until it is taken up. */
static inline enum group_load_state group_load_state_of(const struct group_load *l, uint32_t run)
{
	/* Pairs with the release in group_load_start. */
	if (atomic_load_explicit(&l->run, memory_order_acquire) != run)
		return GROUP_LOAD_IDLE;
	/* Pairs with the release of DONE. */
	return (enum group_load_state)atomic_load_explicit(&l->state, memory_order_acquire);
}

#endif
