/*
 * Group communication in a cell under extended virtual synchrony (EVS): views that the members of a
 * cell agree on, and reliable multicast within a view in four services. Paper 004 (1375-1500: the
 * model and EVS; 1734-1770: Lamport time stamps and acknowledgements of the whole table).
 *
 * A group belongs to a relay (ft/relay.h) and travels on its links. Every member numbers its
 * packets and stamps them with its Lamport clock. Total order is (stamp, member): it is known when
 * a packet is sent, so it is the same in all components of a partitioned cell. A member delivers
 * the next packet of that order when every member has shown a clock beyond it (agreed), and when
 * also every member is known to have it and all that its sender had delivered before (safe). Each
 * frame carries its sender's row (how far it has every member's packets), so both are known after
 * one round trip.
 *
 *	group.c          configuration, siblings, what the relay calls
 *	group_wire.c     frames, byte by byte (docs/protocol.md)
 *	group_stream.c   packets: pack, send, receive, acknowledge, recover, let go
 *	group_deliver.c  the order: what may be delivered now, and what at the end of a view
 *	group_view.c     membership: the table of states stands at its head
 *	group_light.c    light-weight groups over one membership
 *
 * Views: a change is led by the lowest member that is reached. It asks (STATE, answered by STATE,
 * to everybody), decides (COMMIT), members recover from each other what those who come from the
 * same view have between them, say so (READY), and install when all have said so. Those who come
 * together from one view deliver the same messages in it, then a transitional view of themselves,
 * then what can be delivered in that, then the new regular view. A message sent meanwhile waits for
 * the new view.
 *
 * Departures from the paper: no daemons and sites, each peer is both; the order needs no token.
 *
 * Pure; the relay's thread.
 */
#ifndef PERRON_FT_GROUP_H
#define PERRON_FT_GROUP_H

#include "overlay/membership.h"
#include "runtime/base/effects.h"

/* Frames of one message: half of the window at most, see perron_group_message_size_max. */
#define PERRON_GROUP_FRAGMENT_COUNT_MAX 32
/* Room for a message's bytes in one packet of the largest cell. */
#define PERRON_GROUP_FRAGMENT_SIZE 1184

#define PERRON_GROUP_SERVICES(X)                                                                   \
	X(FIFO, "fifo")     /* as it comes, in its sender's order */                              \
	X(CAUSAL, "causal") /* after all that its sender had delivered before */                  \
	X(AGREED, "agreed") /* in one order at all members; causal too */                         \
	X(SAFE, "safe")     /* agreed, and every member has it or is gone */

enum perron_group_service {
#define X(name, text) PERRON_GROUP_##name,
	PERRON_GROUP_SERVICES(X)
#undef X
	PERRON_GROUP_SERVICE_COUNT
};

struct perron_group_config {
	uint32_t member_count_max; /* 1 to PERRON_GROUP_MEMBER_COUNT_MAX */
	uint32_t window;           /* unstable packets of a sender; a power of two, 8 to 1024 */
	uint32_t pending_count;    /* packets waiting to be sent; a power of two, 4 to 1024 */
	uint32_t light_count_max;  /* light-weight groups known here */
	uint32_t sequence_first;   /* of the first packet and stamp of views led from here */
	uint64_t resend_ns;        /* unanswered: said again after this */
	uint64_t attempt_ns;       /* a change that has not come about by then is begun anew */
	uint64_t hello_ns;         /* members show themselves this often when nothing happens */
	uint64_t exclude_ns;       /* who was left out is asked again after this */
	uint64_t acknowledge_ns;   /* of packets that nobody waits for (fifo, causal) */
};

/* A message delivered, or a piece of one: pieces follow each other without anything between. */
struct perron_group_message {
	uint32_t sender; /* peer */
	uint32_t group;  /* light-weight group */
	uint8_t service; /* enum perron_group_service */
	uint8_t transitional; /* delivered in the transitional view */
	uint8_t fragment_index;
	uint8_t fragment_count;
	uint32_t size;
	const uint8_t *data; /* until the machine is called again, perron_group_send too */
};

/*
 * Who is in a light-weight group, of the members of the regular view: told to its members when it
 * changes, and to who leaves it. After a change of views it is told when all have said theirs.
 */
struct perron_group_light {
	uint32_t group;
	uint8_t member_count;
	uint32_t members[PERRON_GROUP_MEMBER_COUNT_MAX]; /* peers, in the view's order */
};

/* What PERRON_EFFECT_INDICATE carries, in `class`; in the order in which it happens. */
enum perron_group_indication {
	PERRON_GROUP_INDICATE_MESSAGE, /* struct perron_group_message */
	PERRON_GROUP_INDICATE_VIEW,    /* struct perron_group_view; also EVENT_VIEW's payload */
	PERRON_GROUP_INDICATE_LIGHT,   /* struct perron_group_light */
};

#define PERRON_GROUP_STATES(X)                                                                     \
	X(NONE, "none")               /* in no cell */                                            \
	X(OPERATIONAL, "operational") /* in a regular view */                                     \
	X(GATHER, "gather")           /* told its state to a change, waits for the decision */    \
	X(RECOVER, "recover")         /* fetches what others of its view have */                  \
	X(INSTALL, "install")         /* delivers what is left of the old view */

enum perron_group_state {
#define X(name, text) PERRON_GROUP_STATE_##name,
	PERRON_GROUP_STATES(X)
#undef X
	PERRON_GROUP_STATE_COUNT
};

struct perron_group_counters {
	uint64_t views;      /* regular ones installed */
	uint64_t attempts;   /* changes begun as leader */
	uint64_t shunned;    /* times that others went on without us */
	uint64_t sent;       /* messages taken from the user */
	uint64_t delivered;  /* messages given to the user */
	uint64_t packets;    /* sent, once each */
	uint64_t retransmitted;
	uint64_t discarded;  /* packets of lost members whose past is not known here */
	uint64_t would_block;
};

/* As others may see it. */
struct perron_group_info {
	struct perron_group_view view; /* the regular one; member_count 0: none */
	uint8_t state;
	uint32_t pending;  /* packets waiting to be sent */
	uint32_t unstable; /* own packets that some member may lack */
	struct perron_group_counters counters;
};

struct perron_group;

void perron_group_config_default(struct perron_group_config *cfg);
const char *perron_group_service_name(uint8_t service); /* "unknown" for none */
int perron_group_service_from_name(const char *name);   /* -1: none */
const char *perron_group_state_name(uint8_t state);

/* The longest message that is ever taken, bytes. */
uint32_t perron_group_message_size_max(const struct perron_group_config *cfg);

/*
 * Multicasts `size` bytes to the light-weight group `group` (0: all members of the cell, always).
 * At any time; during a change it waits. Never blocks: 0; -EAGAIN: would block, try again after
 * the next delivery; -EMSGSIZE: longer than perron_group_message_size_max; -EINVAL: no such service
 * or no bytes; -ENOTCONN: in no cell. The sender delivers its own messages too. Cost: one copy.
 */
int perron_group_send(struct perron_group *g, uint64_t now_ns, uint32_t group,
		      enum perron_group_service service, const uint8_t *data, uint32_t size,
		      struct perron_effects *out) PERRON_MUST_USE;

/*
 * Joins or leaves a light-weight group (1 and above): costs one agreed message. -EAGAIN, -ENOTCONN
 * as above; -ENOSPC: too many groups; -EINVAL: group 0.
 */
int perron_group_light_join(struct perron_group *g, uint64_t now_ns, uint32_t group,
			    struct perron_effects *out) PERRON_MUST_USE;
int perron_group_light_leave(struct perron_group *g, uint64_t now_ns, uint32_t group,
			     struct perron_effects *out) PERRON_MUST_USE;

/* May be called by another thread; fields may be of different ages. */
void perron_group_info(const struct perron_group *g, struct perron_group_info *out);

#endif
