/*
 * What the two planes of a peer say to each other: commands from housekeeping to the peer's lcore,
 * events back. Plain records of fixed shape with up to one frame's payload behind them; a host
 * carries them over a single-producer single-consumer ring by copy.
 */
#ifndef PERRON_RUNTIME_BASE_COMMAND_H
#define PERRON_RUNTIME_BASE_COMMAND_H

#include <stdint.h>

#include "runtime/base/frame.h"

/* Who a frame goes to or came from: a peer, or a client (PERRON_CLIENT_ID set). */
struct perron_party {
	uint32_t id;
	uint32_t incarnation;
	struct perron_endpoint endpoint;
};

#define PERRON_CLIENT_ID 0x80000000u

#define PERRON_COMMANDS(X)                                                                         \
	X(LINK_OPEN, "link-open")       /* party: beat with it; value: 1, it is of our cell */    \
	X(LINK_CLOSE, "link-close")     /* party.id */                                            \
	X(SEND, "send")                 /* a control frame: party, type, payload */               \
	X(STREAM_OPEN, "stream-open")   /* a sensor here: stream, sequence of its first frame */  \
	X(STREAM_CLOSE, "stream-close")                                                            \
	X(BRANCH_OPEN, "branch-open")   /* path (stream, class): also to party, from sequence */  \
	X(BRANCH_CLOSE, "branch-close") /* path, party.id; value: enum perron_branch_end */      \
	X(UPSTREAM, "upstream")         /* path: comes from party.id from now on */               \
	X(START, "start")               /* path: the upstream serves from `sequence` on */        \
	X(CLOCK, "clock")               /* value: overlay time minus station time, ns */          \
	X(CELL, "cell")                 /* sequence: key of our cell (0: none), value: slot */    \
	X(SIBLING, "sibling")           /* party.id, linked: of our cell, value: 1, or 0: not */  \
	X(MULTICAST, "multicast")       /* stream: group, class: service, payload */              \
	X(GROUP_JOIN, "group-join")     /* stream: light-weight group */                          \
	X(GROUP_LEAVE, "group-leave")   /* stream: light-weight group */                          \
	X(ADOPT, "adopt")               /* stream: what is held of party's goes on from here */   \
	X(PORT_DOWN, "port-down")       /* party.id (0: all): its port went down at `sequence` */ \
	                                /* (station time); value: 1, no other port leads there */

enum perron_command_kind {
	PERRON_COMMAND_NONE,
#define X(name, text) PERRON_COMMAND_##name,
	PERRON_COMMANDS(X)
#undef X
	PERRON_COMMAND_COUNT
};

enum perron_branch_end {
	PERRON_BRANCH_GIVEN_UP,
	PERRON_BRANCH_LOST, /* nobody renewed it: it may come again */
	PERRON_BRANCH_GONE, /* its peer is gone: its clients come by others */
};

struct perron_command {
	uint8_t kind;
	uint8_t class; /* of the path */
	uint8_t type;  /* SEND: the frame's */
	uint32_t stream;
	uint64_t sequence;
	int64_t value;
	struct perron_party party;
	uint32_t payload_size; /* <= PERRON_PAYLOAD_SIZE_MAX */
	uint8_t payload[];
};

#define PERRON_EVENTS(X)                                                                           \
	X(CONTROL, "control")           /* a control frame: party, type, payload, round trip */   \
	X(LINK_UP, "link-up")           /* party heard us and we it */                            \
	X(LINK_DOWN, "link-down")       /* party: verdict, with its evidence */                   \
	X(BRANCH_READY, "branch-ready") /* path, party: served from `sequence` on */              \
	X(RESUME, "resume")             /* path: its upstream is to serve from `sequence` on */   \
	X(ABANDONED, "abandoned")       /* stream, sequence: tries used up */                     \
	X(CLIENT_LAG, "client-lag")     /* path, party: frames below `sequence` given up */       \
	X(VIEW, "view")                 /* payload: struct perron_group_view (ft/group.h) */      \
	X(ORPHANED, "orphaned")         /* path: frames of party, its origin, who is gone, held */

enum perron_event_kind {
	PERRON_EVENT_NONE,
#define X(name, text) PERRON_EVENT_##name,
	PERRON_EVENTS(X)
#undef X
	PERRON_EVENT_COUNT
};

/* What a verdict rests on (ft/detector.h). */
#define PERRON_EVIDENCE_CAUSES(X)                                                                  \
	X(SILENCE, "silence")     /* nothing was heard for longer than is allowed */              \
	X(NO_ANSWER, "no-answer") /* it neither answered nor acknowledged, and is not heard */    \
	X(ONE_WAY, "one-way")     /* it is heard, but hears nothing of ours */                    \
	X(SIBLINGS, "siblings")   /* silence, and a sibling had lost it, too */                   \
	X(PORT_DOWN, "port-down") /* the port that leads to it went down */

enum perron_evidence_cause {
#define X(name, text) PERRON_EVIDENCE_##name,
	PERRON_EVIDENCE_CAUSES(X)
#undef X
	PERRON_EVIDENCE_CAUSE_COUNT
};

/* Why a link was declared down: all times are the judging relay's own. */
struct perron_evidence {
	uint64_t at_ns;         /* when the verdict fell */
	uint64_t last_heard_ns; /* before the verdict */
	uint64_t expected_ns;   /* the most silence that was allowed */
	uint64_t own_gap_ns;    /* the judge's own longest turn gap in that time */
	uint8_t cause;          /* enum perron_evidence_cause */
	uint8_t one_way;        /* it was heard, but heard nothing of ours */
};

struct perron_event {
	uint8_t kind;
	uint8_t class;
	uint8_t type;   /* CONTROL */
	uint8_t linked; /* CONTROL: came in over an open link, not from a stranger */
	uint32_t stream;
	uint64_t sequence;
	uint64_t round_trip_ns; /* CONTROL, LINK_UP: smallest seen on the link; 0: unknown */
	struct perron_party party;
	struct perron_evidence evidence; /* LINK_DOWN */
	uint32_t payload_size;
	uint8_t payload[];
};

/* The most bytes that one record takes. */
#define PERRON_COMMAND_SIZE_MAX (sizeof(struct perron_command) + PERRON_PAYLOAD_SIZE_MAX)
#define PERRON_EVENT_SIZE_MAX   (sizeof(struct perron_event) + PERRON_PAYLOAD_SIZE_MAX)

const char *perron_command_name(uint8_t kind);
const char *perron_event_name(uint8_t kind);
const char *perron_evidence_cause_name(uint8_t cause); /* "unknown" for none */

#endif
