/*
 * One cell for tests of the story of a group: relays on one thread, in steps of a millisecond,
 * which is what a hop takes, over a network that loses what a test tells it to. What stands for
 * housekeeping opens each link, and opens it again when it went down. The simulator (test/sim) is
 * where faults are drawn; here one sentence is followed.
 *
 * Each peer's story is a text: "[1 2 3]" a regular view, "(1 2)" a transitional one, and the bytes
 * of each message, in the order in which the peer was told, a blank between.
 */
#ifndef PERRON_TEST_UNIT_FT_CELL_H
#define PERRON_TEST_UNIT_FT_CELL_H

#include "ft/relay.h"
#include "runtime/base/qos.h"

#define CELL_PEER_MAX	6
#define CELL_STORY_SIZE 4096
#define CELL_FLIGHT_MAX 4096
#define CELL_KEY	UINT64_C(0x77)
#define CELL_MS		UINT64_C(1000000)
/* Longer than a verdict, what follows from it, and the links that are opened again. */
#define CELL_LONG_MS 1500

struct cell_flight {
	uint32_t from;
	uint32_t to;
	uint8_t class;
	uint32_t size;
	uint8_t data[PERRON_FRAME_SIZE_MAX];
};

/* A frame that a relay was given; its index is the handle. */
struct cell_frame {
	uint32_t size; /* 0: free */
	uint32_t holds;
	uint8_t data[PERRON_FRAME_SIZE_MAX];
};
#define CELL_FRAME_MAX 512
/* The one stream, and its one client. */
#define CELL_STREAM 0x51u
#define CELL_CLASS  PERRON_CLASS_CRITICAL
#define CELL_CLIENT (PERRON_CLIENT_ID | 1)
#define CELL_SEEN_MAX 256

struct cell_peer {
	struct perron_relay *relay;
	bool alive;
	uint32_t incarnation;
	bool cut[CELL_PEER_MAX + 1];		/* nothing of ours reaches these */
	uint64_t open_at_ns[CELL_PEER_MAX + 1]; /* links to be opened again; 0: none */
	char story[CELL_STORY_SIZE];
	struct perron_group_view view;	 /* the last one, regular or not */
	struct perron_group_light light; /* the last one */
	uint32_t statuses;		 /* frames of that kind that it sent */
	uint32_t held;			 /* frames */
	uint32_t orphaned;		 /* events */
	bool deaf;			 /* it takes no copies */
};

struct cell {
	uint64_t now_ns;
	uint32_t count;
	struct cell_peer peers[CELL_PEER_MAX + 1]; /* [0] unused: index is the id */
	struct cell_flight flights[CELL_FLIGHT_MAX];
	uint32_t head;
	uint32_t tail;
	/* Frames of a group of this kind (its first byte) to this peer are lost; 0: none. */
	uint8_t lost_kind;
	uint32_t lost_to;
	struct cell_frame frames[CELL_FRAME_MAX];
	uint64_t seen[CELL_SEEN_MAX]; /* sequences that the client was sent, in their order */
	uint32_t seen_count;
	struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
	uint8_t arena[PERRON_EFFECT_ARENA_SIZE];
	struct perron_effects out;
};

/* As docs/protocol.md numbers them. */
#define CELL_KIND_DATA	 7
#define CELL_KIND_STATUS 8
#define CELL_KIND_NACK	 9

/* Peers 1 to `count` in one view, their stories empty. */
struct cell *cell_make(uint32_t count);
void cell_free(struct cell *w);
void cell_run(struct cell *w, uint32_t ms);
/* Stories begin anew. */
void cell_forget(struct cell *w);
/* Those of `side` (bit i: peer i) and the others do not reach each other; 0: everybody does. */
void cell_part(struct cell *w, uint32_t side);
void cell_kill(struct cell *w, uint32_t id);
void cell_start(struct cell *w, uint32_t id);
/* The peer leaves the cell, or comes back. */
void cell_leave(struct cell *w, uint32_t id);
void cell_enter(struct cell *w, uint32_t id);
int cell_send(struct cell *w, uint32_t id, uint32_t group, enum perron_group_service service,
	      const char *text);
void cell_light(struct cell *w, uint32_t id, uint32_t group, bool joins);
const char *cell_story(struct cell *w, uint32_t id);
struct perron_group_info cell_info(struct cell *w, uint32_t id);

/* The sensor is attached to the peer, its sequences begin with `first`. */
void cell_attach(struct cell *w, uint32_t id, uint64_t first);
/* The client asks the peer for the stream, from a sequence on (0: the present). */
void cell_subscribe(struct cell *w, uint32_t id, const struct perron_qos *qos, uint64_t from);
enum perron_offer cell_offer(struct cell *w, uint32_t id, const char *text);
/* The client has all up to there. */
void cell_acknowledge(struct cell *w, uint32_t id, uint64_t sequence);
/* Its relay takes over what a peer that is gone had taken in. */
int cell_adopt(struct cell *w, uint32_t id, uint32_t gone);
struct perron_relay_counters cell_counters(struct cell *w, uint32_t id);

#endif
