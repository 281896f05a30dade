/*
 * A small world for tests of the protocol: peers (a relay and a P3 each) and one client's frames,
 * on one thread, in steps of a millisecond, over a network that only loses what a test cuts.
 * The simulator (test/sim) is where faults are; here the story of a sentence is followed.
 */
#ifndef PERRON_TEST_UNIT_OVERLAY_WORLD_H
#define PERRON_TEST_UNIT_OVERLAY_WORLD_H

#include "ft/relay.h"
#include "overlay/client.h"
#include "overlay/p3.h"

#define WORLD_PEER_COUNT_MAX  20
#define WORLD_FRAME_COUNT_MAX 8192
#define WORLD_CLIENT_ADDRESS  0x0a0000c8u
#define WORLD_MS              UINT64_C(1000000)

struct world_frame {
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	uint32_t size;
	uint32_t holds;
	bool used;
};

struct world_peer {
	uint32_t id;
	bool alive;
	struct perron_relay *relay;
	struct perron_overlay *overlay;
};

struct world_flight {
	uint32_t from; /* address */
	uint32_t to;
	uint8_t class;
	uint32_t frame;
};

struct world {
	uint64_t now_ns;
	uint32_t peer_count;
	struct world_peer peers[WORLD_PEER_COUNT_MAX + 1]; /* [0] unused: index is the id */
	struct perron_overlay_config base;
	struct world_frame frames[WORLD_FRAME_COUNT_MAX];
	struct world_flight flights[WORLD_FRAME_COUNT_MAX];
	uint32_t flight_head, flight_tail;
	struct perron_client *client;
	uint64_t delivered;        /* messages given to the application */
	uint64_t last_sequence;
	uint32_t types[64];        /* frames sent, by type */
	uint32_t cut;              /* a peer whose frames are lost, 0: none */
};

/* Peers 1 to `roots` are the root cell. */
struct world *world_make(uint32_t roots, uint8_t levels, uint8_t span, uint8_t cell_size);
void world_free(struct world *w);
void world_add(struct world *w, uint32_t id, const char *wish);
void world_kill(struct world *w, uint32_t id);
void world_run(struct world *w, uint32_t ms);
struct perron_view world_view(struct world *w, uint32_t id);
void world_attach(struct world *w, uint32_t id, const char *sensor);
/* Gives one message of `size` bytes to the relay; its answer. */
enum perron_offer world_offer(struct world *w, uint32_t id, const char *sensor, uint32_t size);
int world_subscribe(struct world *w, const char *sensor, enum perron_class class,
		    uint32_t latency_us);
struct perron_subscription_info world_subscription(struct world *w, int index);

#endif
