#include "runtime/housekeeping/views.h"

#include <string.h>

static size_t slot_size(size_t data_size)
{
	return (sizeof(struct perron_views_slot) + data_size + 63) & ~(size_t)63;
}

size_t perron_views_memory(size_t data_size)
{
	return PERRON_VIEWS_SLOT_COUNT * slot_size(data_size);
}

void perron_views_init(struct perron_views *v, size_t data_size, void *memory)
{
	PERRON_ASSERT(((uintptr_t)memory & 63) == 0);
	memset(memory, 0, perron_views_memory(data_size));
	memset(v, 0, sizeof(*v));
	v->data_size = data_size;
	for (size_t i = 0; i < PERRON_VIEWS_SLOT_COUNT; i++)
		v->slots[i] = (void *)((uint8_t *)memory + i * slot_size(data_size));
}

static struct perron_views_slot *slot_of(void *data)
{
	return (void *)((uint8_t *)data - offsetof(struct perron_views_slot, data));
}

void *perron_views_draft(struct perron_views *v)
{
	for (size_t i = 0; i < PERRON_VIEWS_SLOT_COUNT; i++) {
		struct perron_views_slot *slot = v->slots[i];
		/* Pairs with the release in slot_free. */
		if (atomic_load_explicit(&slot->state, memory_order_acquire) != PERRON_VIEWS_FREE)
			continue;
		atomic_store_explicit(&slot->state, PERRON_VIEWS_DRAFT, memory_order_relaxed);
		if (v->current)
			memcpy(slot->data, v->current, v->data_size);
		return slot->data;
	}
	v->late++;
	return NULL;
}

static void slot_free(struct rcu_head *head)
{
	struct perron_views_slot *slot = caa_container_of(head, struct perron_views_slot, head);

	PERRON_ASSERT(atomic_load(&slot->state) == PERRON_VIEWS_RETIRED);
	/* Pairs with the acquire in perron_views_draft. */
	atomic_store_explicit(&slot->state, PERRON_VIEWS_FREE, memory_order_release);
}

void perron_views_publish(struct perron_views *v, void *draft)
{
	struct perron_views_slot *slot = slot_of(draft);
	void *old = v->current;

	PERRON_ASSERT(atomic_load(&slot->state) == PERRON_VIEWS_DRAFT);
	atomic_store_explicit(&slot->state, PERRON_VIEWS_LIVE, memory_order_relaxed);
	rcu_assign_pointer(v->current, draft);
	v->version++;
	if (!old)
		return;
	atomic_store_explicit(&slot_of(old)->state, PERRON_VIEWS_RETIRED, memory_order_relaxed);
	call_rcu(&slot_of(old)->head, slot_free);
}
