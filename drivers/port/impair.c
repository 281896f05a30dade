#include "drivers/port/impair.h"

#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "drivers/port/driver.h"

static uint32_t held_count_max(const struct perron_port_impair_config *config)
{
	uint32_t wished =
	    config->held_count_max ? config->held_count_max : PERRON_PORT_IMPAIR_HELD_DEFAULT;
	uint32_t count = 1;
	while (count < wished)
		count <<= 1;
	return count;
}

size_t perron_port_impair_size(const struct perron_port_impair_config *config)
{
	return sizeof(struct perron_port_impair) +
	       2 * held_count_max(config) * sizeof(struct perron_port_impair_held);
}

struct perron_port_impair *perron_port_impair_create(const struct perron_port_impair_config *config)
{
	struct perron_port_impair *impair = calloc(1, perron_port_impair_size(config));
	if (!impair)
		return NULL;
	impair->config = *config;
	impair->held_count_max = held_count_max(config);
	impair->turn.held = (struct perron_port_impair_held *)(impair + 1);
	impair->late.held = impair->turn.held + impair->held_count_max;
	perron_random_seed(&impair->random, config->seed);
	return impair;
}

static struct perron_port_impair_held *queue_at(const struct perron_port_impair *impair,
						const struct perron_port_impair_queue *queue,
						uint32_t index)
{
	return &queue->held[(queue->first + index) & (impair->held_count_max - 1)];
}

static void queue_empty(struct perron_port_impair *impair, struct perron_port_impair_queue *queue)
{
	for (uint32_t i = 0; i < queue->count; i++)
		rte_pktmbuf_free(queue_at(impair, queue, i)->frame);
	queue->count = 0;
}

void perron_port_impair_destroy(struct perron_port_impair *impair)
{
	if (!impair)
		return;
	queue_empty(impair, &impair->turn);
	queue_empty(impair, &impair->late);
	free(impair);
}

static void held_publish(struct perron_port *port)
{
	__atomic_store_n(&port->counters[PERRON_PORT_COUNTER_IMPAIR_HELD],
			 (uint64_t)port->impair->turn.count + port->impair->late.count,
			 __ATOMIC_RELAXED);
}

/* Jitter does not overtake: a queue is left from its front alone. */
static void hold(struct perron_port *port, struct perron_port_impair_queue *queue, uint8_t class,
		 struct rte_mbuf *frame, uint64_t due_ns)
{
	struct perron_port_impair *impair = port->impair;
	if (impair->turn.count + impair->late.count == impair->held_count_max) {
		perron_port_count(port, PERRON_PORT_COUNTER_IMPAIR_OVERFLOWED, 1);
		rte_pktmbuf_free(frame);
		return;
	}
	*queue_at(impair, queue, queue->count++) =
	    (struct perron_port_impair_held){frame, due_ns, class};
}

/* Each frame draws the same number of times, whatever its fate. */
static void frame_take(struct perron_port *port, uint64_t now_ns, uint8_t class,
		       struct rte_mbuf *frame)
{
	struct perron_port_impair *impair = port->impair;
	const struct perron_port_impair_config *config = &impair->config;
	bool lost = perron_random_chance(&impair->random, config->loss_ppm);
	bool doubled = perron_random_chance(&impair->random, config->duplicate_ppm);
	bool late = perron_random_chance(&impair->random, config->reorder_ppm);
	uint64_t delay_ns =
	    config->delay_ns + perron_random_between(&impair->random, 0, config->jitter_ns);
	if (lost) {
		perron_port_count(port, PERRON_PORT_COUNTER_IMPAIR_LOST, 1);
		rte_pktmbuf_free(frame);
		return;
	}
	struct rte_mbuf *copy = NULL;
	if (doubled) {
		copy = rte_pktmbuf_copy(frame, port->pool, 0, UINT32_MAX);
		perron_port_count(port,
				  copy ? PERRON_PORT_COUNTER_IMPAIR_DUPLICATED
				       : PERRON_PORT_COUNTER_IMPAIR_NO_BUFFER,
				  1);
	}
	if (delay_ns)
		perron_port_count(port, PERRON_PORT_COUNTER_IMPAIR_DELAYED, 1);
	if (late)
		perron_port_count(port, PERRON_PORT_COUNTER_IMPAIR_REORDERED, 1);
	if (late)
		hold(port, &impair->late, class, frame,
		     now_ns + delay_ns + PERRON_PORT_IMPAIR_REORDER_NS);
	else
		hold(port, &impair->turn, class, frame, now_ns + delay_ns);
	if (copy)
		hold(port, &impair->turn, class, copy, now_ns + delay_ns);
}

void perron_port_impair_take(struct perron_port *port, uint64_t now_ns, uint8_t class,
			     struct rte_mbuf **frames, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		PERRON_ASSERT(frames[i]->nb_segs == 1 && rte_mbuf_refcnt_read(frames[i]) == 1);
		frame_take(port, now_ns, class, frames[i]);
	}
	perron_port_impair_flush(port, now_ns);
}

/* The queue whose first frame is due before the other's; NULL: nothing is due. */
static struct perron_port_impair_queue *queue_due(struct perron_port_impair *impair,
						  uint64_t now_ns)
{
	struct perron_port_impair_queue *queue = &impair->turn;
	if (!queue->count || (impair->late.count && queue_at(impair, &impair->late, 0)->due_ns <
							queue_at(impair, queue, 0)->due_ns))
		queue = &impair->late;
	if (!queue->count || queue_at(impair, queue, 0)->due_ns > now_ns)
		return NULL;
	return queue;
}

static void run_transmit(struct perron_port *port, uint8_t class, struct rte_mbuf **frames,
			 uint16_t count)
{
	if (!count)
		return;
	uint16_t sent = 0;
	if (atomic_load_explicit(&port->live, memory_order_acquire))
		sent = port->transmit(port, class, frames, count);
	if (sent < count) {
		perron_port_count(port, PERRON_PORT_COUNTER_IMPAIR_REFUSED, (uint64_t)count - sent);
		rte_pktmbuf_free_bulk(frames + sent, (unsigned int)(count - sent));
	}
}

void perron_port_impair_flush(struct perron_port *port, uint64_t now_ns)
{
	struct perron_port_impair *impair = port->impair;
	struct rte_mbuf *run[PERRON_PORT_BURST_MAX];
	uint16_t run_count = 0;
	uint8_t class = 0;
	/* At most what was held when it began: transmit does not add. */
	for (;;) {
		struct perron_port_impair_queue *queue = queue_due(impair, now_ns);
		if (!queue)
			break;
		struct perron_port_impair_held *held = queue_at(impair, queue, 0);
		if (run_count == PERRON_PORT_BURST_MAX || (run_count && held->class != class)) {
			run_transmit(port, class, run, run_count);
			run_count = 0;
		}
		class = held->class;
		run[run_count++] = held->frame;
		queue->first++;
		queue->count--;
	}
	run_transmit(port, class, run, run_count);
	held_publish(port);
}

uint64_t perron_port_impair_deadline_ns(const struct perron_port_impair *impair)
{
	uint64_t due_ns = UINT64_MAX;
	if (impair->turn.count)
		due_ns = queue_at(impair, &impair->turn, 0)->due_ns;
	if (impair->late.count && queue_at(impair, &impair->late, 0)->due_ns < due_ns)
		due_ns = queue_at(impair, &impair->late, 0)->due_ns;
	return due_ns;
}
