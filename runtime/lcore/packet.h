/*
 * What the host keeps of a frame beside its bytes, in the private area of each mbuf.
 *
 * Ownership: a frame in a queue, a ring or a burst is owned by it, with one reference. HOLD takes
 * another one and counts it in `holds`: a held frame is never rewritten, only copied. A frame whose
 * payload another one refers to (PERRON_EFFECT_FORWARD to several) may have its header rewritten.
 *
 * Thread: the lcore's that has the frame.
 */
#ifndef PERRON_RUNTIME_LCORE_PACKET_H
#define PERRON_RUNTIME_LCORE_PACKET_H

#include <rte_mbuf.h>

#include "runtime/base/frame.h"

/* The private area of each mbuf of a station's pools. */
#define PERRON_PACKET_SIZE 64

enum perron_packet_errand {
	PERRON_PACKET_STEP,	/* for a machine */
	PERRON_PACKET_TRANSMIT, /* for the port, by the lcore that owns it */
};

struct perron_packet {
	uint64_t received_ns; /* traced frames: when it came from a port, or left a machine here */
	struct perron_endpoint peer; /* STEP: where it came from; TRANSMIT: where it goes */
	uint32_t holds;
	uint16_t machine; /* STEP: index at its lcore */
	uint8_t class;
	uint8_t errand; /* enum perron_packet_errand */
	uint8_t slot;	/* 1 + index in the burst being stepped; 0: in none */
	bool local;	/* came from a machine of this station */
	bool traced;	/* stamp it when it leaves */
};

_Static_assert(sizeof(struct perron_packet) <= PERRON_PACKET_SIZE, "fits the private area");

static inline struct perron_packet *perron_packet_of(struct rte_mbuf *mbuf)
{
	return rte_mbuf_to_priv(mbuf);
}

/* A fresh packet: nobody's yet. */
static inline void perron_packet_init(struct rte_mbuf *mbuf)
{
	struct perron_packet *packet = perron_packet_of(mbuf);

	packet->received_ns = 0;
	packet->holds = 0;
	packet->slot = 0;
	packet->local = false;
	packet->traced = false;
}

/* Whether hosts write times into the frame. `size` >= PERRON_HEADER_SIZE. */
static inline bool perron_packet_is_traced(const uint8_t *data, uint32_t size)
{
	return size >= PERRON_HEADER_SIZE + PERRON_TRACE_SIZE && perron_frame_is_traced(data);
}

#endif
