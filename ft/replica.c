#include "ft/replica.h"

static struct perron_replica_slot *slot_of(const struct perron_replica *b, uint64_t sequence)
{
	return &b->slots[sequence & (b->window - 1)];
}

void perron_replica_init(struct perron_replica *b, struct perron_replica_slot *slots,
			 uint32_t window, uint64_t floor)
{
	PERRON_ASSERT(window && (window & (window - 1)) == 0 && floor);
	*b = (struct perron_replica){
		.floor = floor,
		.swept = floor,
		.high = floor - 1,
		.window = window,
		.slots = slots,
	};
	for (uint32_t i = 0; i < window; i++)
		slots[i] = (struct perron_replica_slot){0};
}

enum perron_drop perron_replica_put(struct perron_replica *b, uint64_t sequence, uint64_t handle)
{
	struct perron_replica_slot *s = slot_of(b, sequence);

	if (sequence < b->floor || s->sequence == sequence)
		return PERRON_DROP_DUPLICATE;
	if (sequence - b->swept >= b->window)
		return PERRON_DROP_WINDOW;
	PERRON_ASSERT(!s->sequence);
	*s = (struct perron_replica_slot){.sequence = sequence, .handle = handle};
	b->count++;
	if (sequence > b->high)
		b->high = sequence;
	return PERRON_DROP_NONE;
}

bool perron_replica_get(const struct perron_replica *b, uint64_t sequence, uint64_t *handle)
{
	const struct perron_replica_slot *s = slot_of(b, sequence);

	if (!sequence || s->sequence != sequence)
		return false;
	*handle = s->handle;
	return true;
}

uint64_t perron_replica_next(const struct perron_replica *b, uint64_t sequence)
{
	uint64_t ignored;

	if (sequence < b->swept)
		sequence = b->swept;
	for (; b->count && sequence <= b->high && sequence - b->swept < b->window; sequence++)
		if (perron_replica_get(b, sequence, &ignored))
			return sequence;
	return 0;
}

bool perron_replica_take(struct perron_replica *b, uint64_t sequence, uint64_t *handle)
{
	if (!perron_replica_get(b, sequence, handle))
		return false;
	slot_of(b, sequence)->sequence = 0;
	b->count--;
	if (!b->count)
		b->swept = b->floor;
	return true;
}

void perron_replica_raise(struct perron_replica *b, uint64_t floor)
{
	if (floor <= b->floor)
		return;
	b->floor = floor;
	if (b->high < floor - 1)
		b->high = floor - 1;
	if (!b->count)
		b->swept = floor;
}

uint32_t perron_replica_sweep(struct perron_replica *b, uint64_t *handles, uint32_t max)
{
	uint32_t count = 0;

	while (b->swept < b->floor && b->count && count < max) {
		struct perron_replica_slot *s = slot_of(b, b->swept++);
		if (!s->sequence)
			continue;
		handles[count++] = s->handle;
		s->sequence = 0;
		b->count--;
	}
	if (!b->count && b->swept < b->floor)
		b->swept = b->floor;
	return count;
}

bool perron_replica_is_swept(const struct perron_replica *b)
{
	return b->swept >= b->floor;
}

struct perron_ack perron_replica_ack(const struct perron_replica *b)
{
	struct perron_ack ack = {.cumulative = b->floor - 1};
	uint64_t ignored;

	while (ack.cumulative < b->high && perron_replica_get(b, ack.cumulative + 1, &ignored))
		ack.cumulative++;
	for (uint32_t i = 0; i < 64 && ack.cumulative + 1 + i <= b->high; i++)
		if (perron_replica_get(b, ack.cumulative + 1 + i, &ignored))
			ack.bitmap |= UINT64_C(1) << i;
	return ack;
}

void perron_replica_check(const struct perron_replica *b)
{
	PERRON_ASSERT(b->swept <= b->floor && b->floor <= b->high + 1);
	PERRON_ASSERT(b->count <= b->window);
	PERRON_ASSERT(b->count || b->swept == b->floor);
}
