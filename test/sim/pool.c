#include "test/sim/pool.h"

#include <string.h>
#include <sys/mman.h>

#include "runtime/base/assert.h"

#define POISON 0xdd

static void *pages_map(uint64_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	PERRON_ASSERT(at != MAP_FAILED);
	return at;
}

void sim_pool_init(struct sim_pool *p)
{
	*p = (struct sim_pool){
		.slots = pages_map(SIM_SLOT_COUNT_MAX * sizeof(struct sim_slot)),
		.data = pages_map((uint64_t)SIM_SLOT_COUNT_MAX * SIM_SLOT_SIZE),
		.free = SIM_NONE,
	};
}

void sim_pool_free(struct sim_pool *p)
{
	(void)munmap(p->slots, SIM_SLOT_COUNT_MAX * sizeof(struct sim_slot));
	(void)munmap(p->data, (uint64_t)SIM_SLOT_COUNT_MAX * SIM_SLOT_SIZE);
}

uint32_t sim_pool_take(struct sim_pool *p)
{
	uint32_t slot = p->free;

	if (slot == SIM_NONE) {
		PERRON_ASSERT(p->made < SIM_SLOT_COUNT_MAX);
		slot = p->made++;
	} else {
		p->free = p->slots[slot].next;
	}
	uint32_t generation = p->slots[slot].generation;
	p->slots[slot] = (struct sim_slot){
		.next = SIM_NONE,
		.prev = SIM_NONE,
		.generation = generation,
		.owner = SIM_NONE,
		.state = SIM_SLOT_FLIGHT,
	};
	if (++p->used > p->used_max)
		p->used_max = p->used;
	return slot;
}

void sim_pool_give(struct sim_pool *p, uint32_t slot)
{
	struct sim_slot *s = &p->slots[slot];

	PERRON_ASSERT(s->state != SIM_SLOT_FREE && p->used);
	PERRON_ASSERT(s->length <= SIM_SLOT_SIZE);
	memset(sim_pool_data(p, slot), POISON, s->length);
	s->state = SIM_SLOT_FREE;
	s->generation++;
	s->next = p->free;
	p->free = slot;
	p->used--;
}

uint32_t sim_pool_slot(const struct sim_pool *p, uint64_t handle)
{
	uint32_t slot = (uint32_t)handle - 1;

	if (slot >= p->made || p->slots[slot].generation != (uint32_t)(handle >> 32) ||
	    p->slots[slot].state == SIM_SLOT_FREE)
		return SIM_NONE;
	return slot;
}

void sim_list_init(struct sim_list *l)
{
	*l = (struct sim_list){.head = SIM_NONE, .tail = SIM_NONE};
}

void sim_list_push(struct sim_pool *p, struct sim_list *l, uint32_t slot)
{
	struct sim_slot *s = &p->slots[slot];

	s->next = SIM_NONE;
	s->prev = l->tail;
	if (l->tail == SIM_NONE)
		l->head = slot;
	else
		p->slots[l->tail].next = slot;
	l->tail = slot;
	l->count++;
}

void sim_list_remove(struct sim_pool *p, struct sim_list *l, uint32_t slot)
{
	struct sim_slot *s = &p->slots[slot];

	PERRON_ASSERT(l->count);
	if (s->prev == SIM_NONE)
		l->head = s->next;
	else
		p->slots[s->prev].next = s->next;
	if (s->next == SIM_NONE)
		l->tail = s->prev;
	else
		p->slots[s->next].prev = s->prev;
	s->next = SIM_NONE;
	s->prev = SIM_NONE;
	l->count--;
}

uint32_t sim_list_pop(struct sim_pool *p, struct sim_list *l)
{
	uint32_t slot = l->head;

	if (slot != SIM_NONE)
		sim_list_remove(p, l, slot);
	return slot;
}
