/*
 * The frame: what travels between peers, and the one codec for its header.
 *
 * A frame is a UDP payload: a header of 72 bytes at fixed offsets, big-endian, then `length` bytes
 * of payload, of which the first PERRON_TRACE_SIZE are the trace block if PERRON_FLAG_TRACE is set.
 * `docs/protocol.md` shows it byte by byte.
 *
 * Source, destination and the link's numbers belong to the hop and are rewritten by each relay
 * (perron_frame_readdress); everything else belongs to the message and never changes on its way.
 * (stream, sequence) is the unique key of a frame (paper 000, III.B.c).
 *
 * Two checks take the room of the authentication tag: CRC-32C of the header, renewed at each hop,
 * and CRC-32C of the payload, end to end.
 *
 * Pure; any thread.
 */
#ifndef PERRON_RUNTIME_BASE_FRAME_H
#define PERRON_RUNTIME_BASE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define PERRON_FRAME_VERSION 1
#define PERRON_HEADER_SIZE   72
/* 1500 (Ethernet) - 20 (IPv4) - 8 (UDP) - 72. */
#define PERRON_PAYLOAD_SIZE_MAX 1400
#define PERRON_FRAME_SIZE_MAX   (PERRON_HEADER_SIZE + PERRON_PAYLOAD_SIZE_MAX)
/* A message is at most this many frames. */
#define PERRON_FRAGMENT_COUNT_MAX 64
/* The most frames that one call of a machine takes. */
#define PERRON_BURST_MAX 32

/* Traffic classes, most urgent first; each has its own UDP port, port_base + value. */
#define PERRON_CLASSES(X)                                                                          \
	X(ALARM, "alarm")                                                                          \
	X(CRITICAL, "critical")                                                                    \
	X(NORMAL, "normal")                                                                        \
	X(OVERLAY, "overlay")

enum perron_class {
#define X(name, text) PERRON_CLASS_##name,
	PERRON_CLASSES(X)
#undef X
	PERRON_CLASS_COUNT
};

/* Frame types. LINK: taken by the relay on its lcore. CONTROL: handed to housekeeping. */
#define PERRON_FRAME_TYPES(X)                                                                      \
	X(BEAT, 1, "beat")                         /* link: sign of life, round trip */           \
	X(DATA, 2, "data")                         /* link: a stream's frame, towards clients */  \
	X(GAP, 3, "gap")                           /* link: sequences below will not come */      \
	X(ACK, 4, "ack")                           /* link: towards the origin */                 \
	X(GROUP, 5, "group")                       /* link: views and multicast in a cell */      \
	X(BINDING_REQUEST, 16, "binding-request")  /* joiner to root cell: which cell? */         \
	X(BINDING_REPLY, 17, "binding-reply")                                                      \
	X(BIND, 18, "bind")                        /* joiner to siblings */                       \
	X(BIND_REPLY, 19, "bind-reply")                                                            \
	X(PARENT_REQUEST, 20, "parent-request")    /* joiner to a peer of the cell above */       \
	X(PARENT_REPLY, 21, "parent-reply")                                                        \
	X(JOIN, 22, "join")                        /* climbs to the root's coordinator */         \
	X(JOIN_REPLY, 23, "join-reply")            /* descends by the way it came */              \
	X(LEAVE, 24, "leave")                      /* to every neighbour */                       \
	X(ADVERTISE, 25, "advertise")              /* sensors below, upwards and to siblings */   \
	X(DISCOVER, 26, "discover")                                                                \
	X(DISCOVER_REPLY, 27, "discover-reply")                                                    \
	X(SUBSCRIBE, 28, "subscribe")              /* client to a peer of the root cell */        \
	X(SUBSCRIBE_REPLY, 29, "subscribe-reply")                                                  \
	X(UNSUBSCRIBE, 30, "unsubscribe")                                                          \
	X(PATH_SETUP, 31, "path-setup")            /* hop by hop towards the sensor */            \
	X(PATH_REPLY, 32, "path-reply")                                                            \
	X(PATH_TEARDOWN, 33, "path-teardown")                                                      \
	X(MEMBERS, 34, "members")                  /* parent to child: who else could be one */

enum perron_frame_type {
#define X(name, value, text) PERRON_TYPE_##name = value,
	PERRON_FRAME_TYPES(X)
#undef X
};
#define PERRON_TYPE_CONTROL_FIRST 16
#define PERRON_TYPE_CONTROL_LAST  34

/* The payload starts with a trace block: each hop adds its times (perron_trace). */
#define PERRON_FLAG_TRACE 0x01u
/*
 * DATA: sent again by its origin. ACK: send again, now, what this does not acknowledge.
 * BEAT: answer at once (ft/detector.h, pull).
 */
#define PERRON_FLAG_RETRY 0x02u
/*
 * Between siblings of a cell (ft/relay_copies.c). DATA: a copy, to be held. GAP: copies below may
 * go; with RETRY, from the stream's origin. ACK: what is held.
 */
#define PERRON_FLAG_REPLICA 0x04u
#define PERRON_FLAGS_KNOWN  (PERRON_FLAG_TRACE | PERRON_FLAG_RETRY | PERRON_FLAG_REPLICA)

/* What a hop may set. */
#define PERRON_HOP_FLAGS (PERRON_FLAG_RETRY | PERRON_FLAG_REPLICA)

/* A header in host order. */
struct perron_header {
	uint8_t type;           /* enum perron_frame_type */
	uint8_t class;          /* enum perron_class */
	uint8_t flags;          /* PERRON_FLAG_* */
	uint8_t fragment_index; /* of this frame in its message, from 0 */
	uint8_t fragment_count; /* frames of the message, 1 to PERRON_FRAGMENT_COUNT_MAX */
	uint16_t length;        /* payload, bytes */
	uint32_t overlay;       /* id of the overlay */
	uint32_t source;        /* peer (hop) */
	uint32_t source_incarnation;
	uint32_t destination; /* peer (hop); 0: whoever listens there */
	uint32_t destination_incarnation; /* 0: not known yet */
	uint32_t stream;                  /* 0: none */
	uint64_t sequence;                /* of the frame in its stream */
	uint64_t origin_ns;               /* when the message was taken in; overlay time */
	uint32_t deadline_us;             /* after origin_ns; 0: none */
	uint32_t link_sequence;
	uint32_t link_ack; /* highest link_sequence heard from the destination */
};

/* The part of a header that each hop writes anew. */
struct perron_hop {
	uint32_t source;
	uint32_t source_incarnation;
	uint32_t destination;
	uint32_t destination_incarnation;
	uint32_t link_sequence;
	uint32_t link_ack;
	uint8_t class; /* of the access point to be used */
	uint8_t flags; /* of PERRON_HOP_FLAGS; the frame's others stay, RETRY as well */
};

/* Where a peer or client is reached: IPv4 in host order, and its lowest UDP port. */
struct perron_endpoint {
	uint32_t address;
	uint16_t port_base;
};

static inline bool perron_endpoint_equal(struct perron_endpoint a, struct perron_endpoint b)
{
	return a.address == b.address && a.port_base == b.port_base;
}

/*
 * A frame as a machine sees it: `data` points at the header and may be written by the machine that
 * was given it. `handle` is the host's (an mbuf's address, an index): opaque, kept by value.
 */
struct perron_frame {
	uint8_t *data;
	uint32_t length;             /* header and payload, bytes */
	uint8_t class;               /* of the access point it came in by */
	struct perron_endpoint from; /* port_base: the sender's port less the class */
	uint64_t handle;
};

/* Why a frame was dropped; every cause has its counter. The codec's come first. */
#define PERRON_DROP_CAUSES(X)                                                                      \
	X(NONE, "none")                                                                            \
	X(TRUNCATED, "truncated")                 /* shorter than its header or its length */     \
	X(VERSION, "version")                     /* another version of the frame */              \
	X(TYPE, "type")                           /* unknown type */                              \
	X(CLASS, "class")                         /* unknown, or came in by another's port */   \
	X(FLAGS, "flags")                         /* unknown flag */                              \
	X(LENGTH, "length")                       /* longer than its length, or over the bound */ \
	X(FRAGMENT, "fragment")                   /* index or count out of range */               \
	X(HEADER_CHECK, "header-check")           /* CRC of the header */                         \
	X(PAYLOAD_CHECK, "payload-check")         /* CRC of the payload */                        \
	X(OVERLAY, "overlay")                     /* for another overlay */                       \
	X(DESTINATION, "destination")             /* for a peer that is not here */               \
	X(INCARNATION, "incarnation")             /* for or from an earlier life of a peer */     \
	X(STRANGER, "stranger")                   /* no link to its source, and not a request */  \
	X(REPLAY, "replay")                       /* link sequence seen before or too old */      \
	X(MALFORMED, "malformed")                 /* payload does not decode */                   \
	X(UNKNOWN_STREAM, "unknown-stream")       /* no path here for the stream */               \
	X(WRONG_UPSTREAM, "wrong-upstream")       /* stream comes from another neighbour */       \
	X(NO_LINK, "no-link")                     /* a branch's neighbour is not linked */        \
	X(WRONG_BRANCH, "wrong-branch")           /* acknowledgement from no branch of ours */    \
	X(IMPOSSIBLE_SEQUENCE, "impossible-sequence") /* acknowledges what was never sent */      \
	X(DUPLICATE, "duplicate")                 /* key seen before */                           \
	X(WINDOW, "window")                       /* too far ahead of what is missing */          \
	X(EARLY, "early")                         /* data before the subscription stands */       \
	X(DEADLINE, "deadline")                   /* past its deadline, and its QoS says drop */  \
	X(NO_SUBSCRIBER, "no-subscriber")         /* a sensor's message that nobody asked for */  \
	X(ORIGIN_FULL, "origin-full")             /* would block: too much unacknowledged */      \
	X(ABANDONED, "abandoned")                 /* origin's tries used up */                    \
	X(REPLICA_FULL, "replica-full")           /* a replica buffer, or room for one more */    \
	X(CLIENT_LAG, "client-lag")               /* a slow client's frames, given up */          \
	X(OTHER_CELL, "other-cell")               /* group: for another cell, or from none of it */\
	X(OLD_VIEW, "old-view")                   /* group: of a view or change that is over */   \
	X(NOT_MEMBER, "not-member")               /* group: its sender is not of the view */      \
	X(GROUP_FULL, "group-full")               /* group: no room, or no room yet */            \
	X(QUEUE_FULL, "queue-full")               /* a class's queue in the loop */               \
	X(EFFECTS_FULL, "effects-full")           /* more output than one step may have */        \
	X(EVENT_FULL, "event-full")               /* ring to housekeeping */                      \
	X(COMMAND_FULL, "command-full")           /* ring to a lcore */                           \
	X(PORT_FULL, "port-full")                 /* the port took no more */                     \
	X(NO_BUFFER, "no-buffer")                 /* mempool is empty */                          \
	X(UNRESOLVED, "unresolved")               /* no link-layer address yet */                 \
	X(NOT_OURS, "not-ours")                   /* not IPv4, not UDP, not our address or port */

enum perron_drop {
#define X(name, text) PERRON_DROP_##name,
	PERRON_DROP_CAUSES(X)
#undef X
	PERRON_DROP_COUNT
};

const char *perron_class_name(enum perron_class class);
const char *perron_type_name(uint8_t type); /* "unknown" for a value that is none */
const char *perron_drop_name(enum perron_drop cause);
/* -1 if there is no such class. */
int perron_class_from_name(const char *name);

/*
 * Decodes and validates the header, and compares both checks. In this order: size, version, the
 * header's check, the fields, the length against `size`, the payload's check, the head of the
 * trace block. So a cause after header-check means that the sender wrote it so. The reserved word
 * must be 0 (counted as `flags`: an unknown one). Not its concern: whose frame it is, and by which
 * port it came in. Cost: one pass of CRC over `size` bytes. Returns PERRON_DROP_NONE and fills
 * `out`, or the cause, and `out` is not to be used.
 */
enum perron_drop perron_frame_decode(const uint8_t *data, uint32_t size, struct perron_header *out)
	PERRON_MUST_USE;

/*
 * Writes the header before a payload that already stands at data + PERRON_HEADER_SIZE, and both
 * checks. `data` has room for PERRON_HEADER_SIZE + header->length bytes. A traced frame's payload
 * starts with a block that perron_trace_clear made. Precondition (asserted): every field of
 * `header` is one that decode takes; note fragment_count >= 1. Returns the frame's size.
 */
uint32_t perron_frame_encode(uint8_t *data, const struct perron_header *header);

/* Rewrites the hop's fields of an encoded frame, and the header's check. Nothing else changes. */
void perron_frame_readdress(uint8_t *data, const struct perron_hop *hop);

/* The destination peer, before anything was validated; `size` >= PERRON_HEADER_SIZE. */
uint32_t perron_frame_destination(const uint8_t *data);

/* CRC-32C (Castagnoli) of `size` bytes; start with seed 0, go on with what the last call gave. */
uint32_t perron_crc32c(uint32_t seed, const void *data, size_t size);

/*
 * The trace block: one record a hop, written in place while the frame goes by, and therefore left
 * out of the payload's check. A hop adds its record when it receives, and fills in `transmitted`
 * when the port has taken the frame.
 */
#define PERRON_TRACE_HOP_COUNT_MAX 10
#define PERRON_TRACE_RECORD_SIZE   20
/* count (1), reserved (3), then records */
#define PERRON_TRACE_SIZE (4 + PERRON_TRACE_HOP_COUNT_MAX * PERRON_TRACE_RECORD_SIZE)

struct perron_trace_record {
	uint32_t peer;
	uint64_t received_ns;    /* overlay time: the burst came out of the port */
	uint32_t step_ns;        /* after received_ns: the machine took the frame up */
	uint32_t transmitted_ns; /* after received_ns: handed to the port; 0: not yet */
};

/* An empty block, at the start of a payload that is yet to be encoded. */
void perron_trace_clear(uint8_t *payload);
/* The next four ask for a frame that was decoded or encoded, and is traced. */
uint32_t perron_trace_count(const uint8_t *data);
/* `index` < perron_trace_count. */
void perron_trace_read(const uint8_t *data, uint32_t index, struct perron_trace_record *out);
/* Adds a record; false if the block is full (the frame goes on without). */
bool perron_trace_add(uint8_t *data, const struct perron_trace_record *record);
/* Fills in the last record's transmitted_ns, with at least 1; nothing if there is no record. */
void perron_trace_transmitted(uint8_t *data, uint64_t now_ns);
/* Whether an encoded frame carries a trace block. */
bool perron_frame_is_traced(const uint8_t *data);

#endif
