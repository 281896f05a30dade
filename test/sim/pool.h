/*
 * The simulator's frames, commands and events under way: slots of one size, numbered from 1 and
 * named by handles that carry the slot's generation, so that a machine that uses a frame after its
 * end is found out. What is given back is poisoned.
 *
 * A slot is in one list at most: an inbox, a queue between planes, the frames that a plane holds.
 */
#ifndef PERRON_TEST_SIM_POOL_H
#define PERRON_TEST_SIM_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/frame.h"

/* The largest is an event with a full payload. */
#define SIM_SLOT_SIZE      1536u
#define SIM_SLOT_COUNT_MAX (1u << 20)
#define SIM_NONE           UINT32_MAX

enum sim_slot_state {
	SIM_SLOT_FREE,
	SIM_SLOT_FLIGHT, /* on the wire */
	SIM_SLOT_INBOX,  /* received, or a record between the planes */
	SIM_SLOT_STEP,   /* given to the machine that runs now */
	SIM_SLOT_GONE,   /* forwarded with LAST in this step: the machine is through with it */
	SIM_SLOT_HELD,
};

struct sim_slot {
	uint32_t next;
	uint32_t prev;
	uint32_t generation;
	uint32_t length;
	uint32_t owner; /* plane that was given it */
	uint32_t holds;
	uint8_t state;
	uint8_t class;
	struct perron_endpoint from;
	struct perron_endpoint to;
	uint64_t at_ns; /* when it may be taken out of its queue */
};

struct sim_list {
	uint32_t head;
	uint32_t tail;
	uint32_t count;
};

struct sim_pool {
	struct sim_slot *slots;
	uint8_t *data;
	uint32_t made; /* slots from here on were never used */
	uint32_t free; /* first of the free ones, or SIM_NONE */
	uint32_t used;
	uint32_t used_max;
};

void sim_pool_init(struct sim_pool *p);
void sim_pool_free(struct sim_pool *p);

uint32_t sim_pool_take(struct sim_pool *p);
void sim_pool_give(struct sim_pool *p, uint32_t slot);

static inline uint8_t *sim_pool_data(const struct sim_pool *p, uint32_t slot)
{
	return p->data + (uint64_t)slot * SIM_SLOT_SIZE;
}

static inline uint64_t sim_pool_handle(const struct sim_pool *p, uint32_t slot)
{
	return (uint64_t)p->slots[slot].generation << 32 | (slot + 1);
}

/* SIM_NONE: the handle names no slot in use. */
uint32_t sim_pool_slot(const struct sim_pool *p, uint64_t handle);

void sim_list_init(struct sim_list *l);
void sim_list_push(struct sim_pool *p, struct sim_list *l, uint32_t slot);
void sim_list_remove(struct sim_pool *p, struct sim_list *l, uint32_t slot);
/* SIM_NONE if empty. */
uint32_t sim_list_pop(struct sim_pool *p, struct sim_list *l);

#endif
