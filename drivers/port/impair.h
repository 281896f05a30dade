/*
 * Impairment of what a port transmits: delay, jitter, loss, duplication, reordering, in the manner
 * of netem, which the machines that this runs on often lack. Fates come from a seed: the n-th frame
 * of a run always has the same one.
 *
 * Frames under way are held in two queues, each left in the order it was entered: those in turn,
 * and those that are to come late. Both are bounded together; what does not fit is lost and
 * counted. Belongs to its port's lcore. Private to drivers/port.
 */
#ifndef PERRON_DRIVERS_PORT_IMPAIR_H
#define PERRON_DRIVERS_PORT_IMPAIR_H

#include "drivers/port/port.h"
#include "runtime/base/random.h"

struct perron_port_impair_held {
	struct rte_mbuf *frame;
	uint64_t due_ns;
	uint8_t class;
};

struct perron_port_impair_queue {
	struct perron_port_impair_held *held;
	uint32_t first;
	uint32_t count;
};

struct perron_port_impair {
	struct perron_port_impair_config config;
	struct perron_random random;
	uint32_t held_count_max; /* a power of two */
	struct perron_port_impair_queue turn;
	struct perron_port_impair_queue late;
};

/* NULL: no memory. */
struct perron_port_impair *
perron_port_impair_create(const struct perron_port_impair_config *config);
/* Frees what is under way, too. */
void perron_port_impair_destroy(struct perron_port_impair *impair);

/* Bytes that create allocates. */
size_t perron_port_impair_size(const struct perron_port_impair_config *config);

/* Takes all frames, which are contiguous and not shared. */
void perron_port_impair_take(struct perron_port *port, uint64_t now_ns, uint8_t class,
			     struct rte_mbuf **frames, uint16_t count);

/* Lets go what is due, by the driver's transmit. */
void perron_port_impair_flush(struct perron_port *port, uint64_t now_ns);

uint64_t perron_port_impair_deadline_ns(const struct perron_port_impair *impair);

#endif
