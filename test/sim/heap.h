/*
 * The simulator's agenda: what is to happen, the earliest first; what was put in first, of two at
 * the same time. A heap with four children a node: O(log n), no pointers, no hash order.
 */
#ifndef PERRON_TEST_SIM_HEAP_H
#define PERRON_TEST_SIM_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct sim_event {
	uint64_t at_ns;
	uint64_t order; /* given by sim_heap_push: breaks ties */
	uint32_t kind;
	uint32_t index;
	uint64_t value;
};

struct sim_heap {
	struct sim_event *items;
	uint32_t count;
	uint32_t capacity;
	uint64_t order;
};

void sim_heap_init(struct sim_heap *h);
void sim_heap_free(struct sim_heap *h);
void sim_heap_push(struct sim_heap *h, uint64_t at_ns, uint32_t kind, uint32_t index,
		   uint64_t value);
/* False if nothing is left. */
bool sim_heap_pop(struct sim_heap *h, struct sim_event *out);

#endif
