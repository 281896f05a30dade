#include "overlay/client_window.h"

#include <string.h>

static struct perron_window_slot *slot_of(const struct perron_window *w, uint64_t sequence)
{
	return &w->slots[sequence & (w->size - 1)];
}

void perron_window_init(struct perron_window *w, struct perron_window_slot *slots, uint32_t size)
{
	PERRON_ASSERT(size > 0 && (size & (size - 1)) == 0);
	*w = (struct perron_window){.size = size, .slots = slots};
	memset(slots, 0, size * sizeof(*slots));
}

void perron_window_start(struct perron_window *w, uint64_t expected)
{
	PERRON_ASSERT(w->held_count == 0);
	PERRON_ASSERT(expected > 0 && expected <= PERRON_SEQUENCE_MAX);
	w->expected = expected;
	w->floor = expected;
	w->end = expected;
}

enum perron_window_place perron_window_place(const struct perron_window *w, uint64_t sequence)
{
	if (sequence < w->expected)
		return PERRON_WINDOW_SEEN;
	if (sequence - w->expected >= w->size)
		return PERRON_WINDOW_BEYOND;
	if (slot_of(w, sequence)->held)
		return PERRON_WINDOW_SEEN;
	return sequence == w->expected ? PERRON_WINDOW_NEXT : PERRON_WINDOW_AHEAD;
}

void perron_window_pass(struct perron_window *w)
{
	PERRON_ASSERT(!slot_of(w, w->expected)->held);
	w->expected++;
	if (w->end < w->expected)
		w->end = w->expected;
}

bool perron_window_hold(struct perron_window *w, uint64_t sequence, uint64_t handle,
			uint64_t due_ns)
{
	PERRON_ASSERT(perron_window_place(w, sequence) == PERRON_WINDOW_AHEAD);
	bool is_gap_new = sequence > w->end;

	*slot_of(w, sequence) = (struct perron_window_slot){
		.handle = handle, .sequence = sequence, .due_ns = due_ns, .held = true};
	w->held_count++;
	if (w->end <= sequence)
		w->end = sequence + 1;
	return is_gap_new;
}

void perron_window_skip(struct perron_window *w, uint64_t floor)
{
	PERRON_ASSERT(floor <= PERRON_SEQUENCE_MAX);
	if (w->floor < floor)
		w->floor = floor;
}

bool perron_window_is_ready(const struct perron_window *w)
{
	return w->expected < w->floor || slot_of(w, w->expected)->held;
}

static void take(struct perron_window *w, struct perron_window_slot *slot,
		 struct perron_window_slot *out)
{
	PERRON_ASSERT(slot->held && w->held_count > 0);
	*out = *slot;
	slot->held = false;
	w->held_count--;
}

static void expected_move(struct perron_window *w, uint64_t to)
{
	if (perron_sequence_life(to) == perron_sequence_life(w->expected)) {
		w->lost += to - w->expected;
	} else {
		w->renumbered += to - w->expected;
		w->restarts++;
	}
	w->expected = to;
	if (w->end < to)
		w->end = to;
}

bool perron_window_next(struct perron_window *w, struct perron_window_slot *out)
{
	/* At most `size` turns: with nothing held, it leaps. */
	while (w->expected < w->floor && !slot_of(w, w->expected)->held)
		expected_move(w, w->held_count ? w->expected + 1 : w->floor);
	if (!slot_of(w, w->expected)->held)
		return false;
	PERRON_ASSERT(slot_of(w, w->expected)->sequence == w->expected);
	take(w, slot_of(w, w->expected), out);
	w->expected++;
	return true;
}

bool perron_window_empty(struct perron_window *w, struct perron_window_slot *out)
{
	for (uint32_t i = 0; w->held_count && i < w->size; i++) {
		if (w->slots[i].held) {
			take(w, &w->slots[i], out);
			return true;
		}
	}
	PERRON_ASSERT(w->held_count == 0);
	return false;
}

struct perron_ack perron_window_ack(const struct perron_window *w)
{
	PERRON_ASSERT(w->expected > 0);
	struct perron_ack ack = {.cumulative = w->expected - 1};

	for (uint32_t i = 0; w->held_count && i < 64 && i < w->size; i++)
		if (slot_of(w, w->expected + i)->held)
			ack.bitmap |= 1ull << i;
	return ack;
}

void perron_window_check(const struct perron_window *w)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < w->size; i++) {
		const struct perron_window_slot *slot = &w->slots[i];

		if (!slot->held)
			continue;
		held++;
		PERRON_ASSERT((slot->sequence & (w->size - 1)) == i);
		PERRON_ASSERT(slot->sequence >= w->expected);
		PERRON_ASSERT(slot->sequence - w->expected < w->size);
		PERRON_ASSERT(slot->sequence < w->end);
	}
	PERRON_ASSERT(held == w->held_count);
	PERRON_ASSERT(w->end >= w->expected);
}
