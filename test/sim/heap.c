#include "test/sim/heap.h"

#include <stdlib.h>

#include "runtime/base/assert.h"

#define HEAP_CHILDREN 4u

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_heap_init(struct sim_heap *h)
{
	*h = (struct sim_heap){0};
}

void sim_heap_free(struct sim_heap *h)
{
	free(h->items);
	*h = (struct sim_heap){0};
}

static void heap_grow(struct sim_heap *h)
{
	h->capacity = h->capacity ? h->capacity * 2 : 4096;
	h->items = realloc(h->items, h->capacity * sizeof(*h->items));
	PERRON_ASSERT(h->items);
}

void sim_heap_push(struct sim_heap *h, uint64_t at_ns, uint32_t kind, uint32_t index,
		   uint64_t value)
{
	if (h->count == h->capacity)
		heap_grow(h);
	struct sim_event event = {at_ns, h->order++, kind, index, value};
	uint32_t at = h->count++;
	while (at > 0) {
		uint32_t parent = (at - 1) / HEAP_CHILDREN;
		if (!is_before(&event, &h->items[parent]))
			break;
		h->items[at] = h->items[parent];
		at = parent;
	}
	h->items[at] = event;
}

static uint32_t first_child(const struct sim_heap *h, uint32_t at)
{
	uint32_t child = at * HEAP_CHILDREN + 1;
	uint32_t best = child;

	for (uint32_t i = 1; i < HEAP_CHILDREN && child + i < h->count; i++)
		if (is_before(&h->items[child + i], &h->items[best]))
			best = child + i;
	return best;
}

bool sim_heap_pop(struct sim_heap *h, struct sim_event *out)
{
	if (!h->count)
		return false;
	*out = h->items[0];
	struct sim_event last = h->items[--h->count];
	uint32_t at = 0;
	while (at * HEAP_CHILDREN + 1 < h->count) {
		uint32_t child = first_child(h, at);
		if (!is_before(&h->items[child], &last))
			break;
		h->items[at] = h->items[child];
		at = child;
	}
	h->items[at] = last;
	return true;
}
