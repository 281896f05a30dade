/*
 * Where frames go: to a machine on this lcore, to one on another, or out by a port.
 *
 * Thread: the lcore's.
 */
#ifndef PERRON_RUNTIME_LCORE_TRANSMIT_H
#define PERRON_RUNTIME_LCORE_TRANSMIT_H

#include "runtime/lcore/lcore.h"

/* Whether frames to that endpoint stay in the station. */
static inline bool perron_lcore_is_here(const struct perron_lcore *l, struct perron_endpoint to)
{
	return perron_endpoint_equal(l->endpoint, to);
}

/*
 * Sends an encoded frame, whose mbuf it takes: l->now_ns, `class`, `to`; `destination` is the
 * hop's. What cannot go is dropped and counted (DESTINATION, QUEUE_FULL, UNRESOLVED, PORT_FULL).
 */
void perron_lcore_send(struct perron_lcore *l, struct rte_mbuf *mbuf, uint8_t class,
		       struct perron_endpoint to, uint32_t destination);

/* Puts a frame that came in before the machine it is for, in its class's queue. Takes the mbuf. */
void perron_lcore_enqueue(struct perron_lcore *l, struct rte_mbuf *mbuf, uint8_t class,
			  uint32_t destination);

/* What other lcores sent: to machines here, and out by ports of ours. Returns how many. */
uint32_t perron_lcore_exchange_receive(struct perron_lcore *l);

/* Gives waiting frames to our ports, in strict order of classes. Returns how many they took. */
uint32_t perron_lcore_flush(struct perron_lcore *l);

/* Announces our address on our ports when it is time. */
void perron_lcore_announce(struct perron_lcore *l);

/* Gives an answer that net made in place back to its port. Takes the mbuf. */
void perron_lcore_reply(struct perron_lcore *l, struct perron_lcore_port *port,
			struct rte_mbuf *mbuf);

#endif
