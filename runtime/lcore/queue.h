/* A bounded first-in first-out queue of mbufs, of one thread. */
#ifndef PERRON_RUNTIME_LCORE_QUEUE_H
#define PERRON_RUNTIME_LCORE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/assert.h"

struct rte_mbuf;

struct perron_queue {
	uint32_t head;
	uint32_t tail;
	uint32_t size; /* a power of two */
	uint32_t high; /* most that ever waited */
	struct rte_mbuf **items;
};

static inline void perron_queue_init(struct perron_queue *q, struct rte_mbuf **items, uint32_t size)
{
	PERRON_ASSERT(size > 0 && (size & (size - 1)) == 0);
	*q = (struct perron_queue){.size = size, .items = items};
}

static inline uint32_t perron_queue_count(const struct perron_queue *q)
{
	return q->tail - q->head;
}

/* False: full; the frame stays the caller's. */
static inline bool perron_queue_push(struct perron_queue *q, struct rte_mbuf *mbuf)
{
	uint32_t count = perron_queue_count(q);

	if (count == q->size)
		return false;
	q->items[q->tail++ & (q->size - 1)] = mbuf;
	if (count >= q->high)
		q->high = count + 1;
	return true;
}

static inline struct rte_mbuf *perron_queue_pop(struct perron_queue *q)
{
	PERRON_ASSERT(q->head != q->tail);
	return q->items[q->head++ & (q->size - 1)];
}

/* The oldest frames that stand side by side: *at, and how many. */
static inline uint32_t perron_queue_run(const struct perron_queue *q, struct rte_mbuf ***at)
{
	uint32_t start = q->head & (q->size - 1);
	uint32_t count = perron_queue_count(q);

	*at = &q->items[start];
	return count < q->size - start ? count : q->size - start;
}

static inline void perron_queue_drop(struct perron_queue *q, uint32_t count)
{
	PERRON_ASSERT(count <= perron_queue_count(q));
	q->head += count;
}

#endif
