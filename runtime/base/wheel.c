#include "runtime/base/wheel.h"

#define SLOT_BITS 6u
#define SLOT_MASK (PERRON_WHEEL_SLOT_COUNT - 1)

_Static_assert(PERRON_WHEEL_LEVEL_COUNT * SLOT_BITS + PERRON_WHEEL_TICK_SHIFT_MIN == 64,
	       "the levels cover every deadline at the finest tick");

size_t perron_wheel_size(uint32_t entry_count)
{
	return perron_arena_share(entry_count * sizeof(struct perron_wheel_entry));
}

void perron_wheel_init(struct perron_wheel *w, struct perron_arena *arena, uint32_t entry_count,
		       uint32_t tick_shift, uint64_t now_ns)
{
	PERRON_ASSERT(entry_count < PERRON_WHEEL_NONE);
	PERRON_ASSERT(tick_shift >= PERRON_WHEEL_TICK_SHIFT_MIN &&
		      tick_shift <= PERRON_WHEEL_TICK_SHIFT_MAX);
	*w = (struct perron_wheel){
		.entries = perron_arena_take(arena, entry_count * sizeof(*w->entries)),
		.entry_count = entry_count,
		.tick_shift = tick_shift,
		.moving = PERRON_WHEEL_NONE,
		.tick = now_ns >> tick_shift,
	};
	for (uint32_t i = 0; i < entry_count; i++)
		w->entries[i].next = PERRON_WHEEL_NONE;
	for (uint32_t i = 0; i < PERRON_WHEEL_LEVEL_COUNT * PERRON_WHEEL_SLOT_COUNT; i++)
		w->first[i] = PERRON_WHEEL_NONE;
}

/* The first tick that is not before the deadline, or the last that there is. */
static uint64_t tick_of(const struct perron_wheel *w, uint64_t deadline_ns)
{
	uint64_t tick = deadline_ns >> w->tick_shift;

	return tick + (tick << w->tick_shift < deadline_ns && tick < UINT64_MAX >> w->tick_shift);
}

/* The level is that of the highest digit (of 6 bits) in which the tick differs from the time. */
static uint32_t slot_for(const struct perron_wheel *w, uint64_t tick)
{
	if (tick <= w->tick)
		return (uint32_t)w->tick & SLOT_MASK;
	uint32_t level = (63 - (uint32_t)__builtin_clzll(tick ^ w->tick)) / SLOT_BITS;
	uint32_t digit = (uint32_t)(tick >> level * SLOT_BITS) & SLOT_MASK;
	return level * PERRON_WHEEL_SLOT_COUNT + digit;
}

static void entry_link(struct perron_wheel *w, uint32_t index)
{
	struct perron_wheel_entry *e = &w->entries[index];
	uint32_t slot = slot_for(w, tick_of(w, e->deadline_ns));
	uint32_t first = w->first[slot];

	e->slot = slot;
	if (first == PERRON_WHEEL_NONE) {
		e->next = e->previous = w->first[slot] = index;
		w->in_use[slot / PERRON_WHEEL_SLOT_COUNT] |= UINT64_C(1) << (slot & SLOT_MASK);
		return;
	}
	e->next = first;
	e->previous = w->entries[first].previous;
	w->entries[e->previous].next = index;
	w->entries[first].previous = index;
}

static void entry_unlink(struct perron_wheel *w, uint32_t index)
{
	struct perron_wheel_entry *e = &w->entries[index];
	uint32_t slot = e->slot;

	if (e->next == index) {
		w->first[slot] = PERRON_WHEEL_NONE;
		w->in_use[slot / PERRON_WHEEL_SLOT_COUNT] &= ~(UINT64_C(1) << (slot & SLOT_MASK));
		if (slot == w->moving)
			w->moving = PERRON_WHEEL_NONE;
	} else {
		w->entries[e->previous].next = e->next;
		w->entries[e->next].previous = e->previous;
		if (w->first[slot] == index)
			w->first[slot] = e->next;
	}
	e->next = PERRON_WHEEL_NONE;
}

void perron_wheel_add(struct perron_wheel *w, uint32_t index, uint64_t deadline_ns)
{
	if (perron_wheel_armed(w, index))
		entry_unlink(w, index);
	else
		w->armed_count++;
	w->entries[index].deadline_ns = deadline_ns;
	entry_link(w, index);
}

bool perron_wheel_cancel(struct perron_wheel *w, uint32_t index)
{
	if (!perron_wheel_armed(w, index))
		return false;
	entry_unlink(w, index);
	w->armed_count--;
	return true;
}

/* The slot that comes next and the tick at which it starts; false if nothing is armed. */
static bool slot_next(const struct perron_wheel *w, uint32_t *slot, uint64_t *tick)
{
	if (w->moving != PERRON_WHEEL_NONE) {
		*slot = w->moving;
		*tick = w->tick;
		return true;
	}
	for (uint32_t level = 0; level < PERRON_WHEEL_LEVEL_COUNT; level++) {
		if (!w->in_use[level])
			continue;
		uint32_t digit = (uint32_t)__builtin_ctzll(w->in_use[level]);
		uint64_t above = w->tick >> level * SLOT_BITS & ~(uint64_t)SLOT_MASK;
		*slot = level * PERRON_WHEEL_SLOT_COUNT + digit;
		*tick = (above | digit) << level * SLOT_BITS;
		return true;
	}
	return false;
}

uint32_t perron_wheel_advance(struct perron_wheel *w, uint64_t now_ns, uint32_t *expired,
			      uint32_t expired_max)
{
	uint64_t now_tick = now_ns >> w->tick_shift;
	uint64_t touch_left = (uint64_t)expired_max * PERRON_WHEEL_TOUCH_FACTOR;
	uint32_t count = 0, slot;
	uint64_t tick;

	PERRON_ASSERT(expired_max > 0);
	while (slot_next(w, &slot, &tick) && tick <= now_tick) {
		if (count == expired_max || touch_left == 0)
			return count;
		/* Only now may the time go on: nothing was due between it and this slot. */
		w->tick = tick;
		touch_left--;
		uint32_t index = w->first[slot];
		if (slot >= PERRON_WHEEL_SLOT_COUNT)
			w->moving = slot;
		entry_unlink(w, index);
		if (slot < PERRON_WHEEL_SLOT_COUNT) {
			w->armed_count--;
			expired[count++] = index;
		} else {
			entry_link(w, index);
		}
	}
	if (now_tick > w->tick)
		w->tick = now_tick;
	return count;
}

uint64_t perron_wheel_next_ns(const struct perron_wheel *w)
{
	uint32_t slot;
	uint64_t tick;

	return slot_next(w, &slot, &tick) ? tick << w->tick_shift : UINT64_MAX;
}

static void slot_check(const struct perron_wheel *w, uint32_t slot, uint32_t *seen)
{
	uint32_t level = slot / PERRON_WHEEL_SLOT_COUNT, digit = slot & SLOT_MASK;
	uint32_t first = w->first[slot];
	uint64_t time_digit = w->tick >> level * SLOT_BITS & SLOT_MASK;

	PERRON_ASSERT((w->in_use[level] >> digit & 1) == (first != PERRON_WHEEL_NONE));
	if (first == PERRON_WHEEL_NONE)
		return;
	PERRON_ASSERT(level == 0 || slot == w->moving ? digit >= time_digit : digit > time_digit);
	uint32_t index = first;
	do {
		const struct perron_wheel_entry *e = &w->entries[index];
		uint64_t tick = tick_of(w, e->deadline_ns);
		PERRON_ASSERT(e->slot == slot && w->entries[e->next].previous == index);
		PERRON_ASSERT(slot_for(w, tick) == slot || tick <= w->tick || slot == w->moving);
		PERRON_ASSERT(++*seen <= w->armed_count);
		index = e->next;
	} while (index != first);
}

void perron_wheel_check(const struct perron_wheel *w)
{
	uint32_t seen = 0, armed = 0;

	for (uint32_t slot = 0; slot < PERRON_WHEEL_LEVEL_COUNT * PERRON_WHEEL_SLOT_COUNT; slot++)
		slot_check(w, slot, &seen);
	for (uint32_t i = 0; i < w->entry_count; i++)
		armed += perron_wheel_armed(w, i);
	PERRON_ASSERT(w->moving == PERRON_WHEEL_NONE || w->first[w->moving] != PERRON_WHEEL_NONE);
	PERRON_ASSERT(seen == w->armed_count && armed == w->armed_count);
}
