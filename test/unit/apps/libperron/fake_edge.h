/*
 * A peer of the root cell, as libperron sees it: over the kernel's UDP on loopback. It grants or
 * refuses, sends a stream's frames, sends unacknowledged ones again, gives some up (GAP), and
 * loses, repeats and mixes up what it sends, by a seed. Several edges may serve one source, as the
 * peers of one root cell do. Single-threaded: it works while fake_edge_step runs.
 */
#ifndef PERRON_TEST_UNIT_APPS_LIBPERRON_FAKE_EDGE_H
#define PERRON_TEST_UNIT_APPS_LIBPERRON_FAKE_EDGE_H

#include "overlay/client.h"
#include "overlay/control.h"

#define FAKE_SENSOR      "line1/axle"
#define FAKE_FRAMES_MAX  4096
#define FAKE_FIRST       1000 /* sequence of the source's first frame */

/* The frames of a stream, with their sequences from FAKE_FIRST on. */
struct fake_source {
	struct {
		uint8_t data[PERRON_PAYLOAD_SIZE_MAX];
		uint16_t length;
		uint8_t index;
		uint8_t count;
		uint8_t hops; /* of its trace */
		uint64_t origin_ns;
	} frames[FAKE_FRAMES_MAX];
	uint32_t count;
	uint64_t floor; /* frames below were given up */
};

/* Adds a message: byte i of message n is (n + i) & 255. `traced`: with that many hops' records. */
void fake_source_add(struct fake_source *s, uint32_t message, uint32_t size, uint32_t traced);

struct fake_edge {
	int fds[PERRON_CLASS_COUNT];
	uint16_t port_base;
	uint32_t peer;
	uint8_t verdict;       /* what requests are answered */
	uint32_t redirect_port; /* REDIRECT: to a peer there */
	bool is_silent;
	uint32_t trouble;      /* percent of frames lost, as many repeated, as many mixed up */
	uint64_t random;
	struct fake_source *source;

	struct perron_party client; /* id 0: none yet */
	uint8_t class;
	uint64_t next;   /* to send first */
	uint64_t acked;
	uint64_t sent_ns;
	uint8_t late[PERRON_FRAME_SIZE_MAX]; /* mixed up: goes after the next one */
	uint32_t late_size;
	uint32_t requests;
	uint32_t acks;
	uint32_t farewells;
	uint64_t resumed; /* what the last request asked to go on from */
	uint32_t latency_us;
};

void fake_edge_open(struct fake_edge *e, uint32_t peer, struct fake_source *source);
void fake_edge_close(struct fake_edge *e);
void fake_edge_step(struct fake_edge *e);

#endif
