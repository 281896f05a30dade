#include "ft/origin.h"

static struct perron_origin_frame *frame_at(const struct perron_origin *o, uint64_t sequence)
{
	return &o->frames[sequence & (o->window - 1)];
}

void perron_origin_init(struct perron_origin *o, struct perron_origin_frame *frames,
			uint32_t window, uint64_t first)
{
	PERRON_ASSERT(window && (window & (window - 1)) == 0);
	*o = (struct perron_origin){
		.first = first,
		.next = first,
		.due_ns = UINT64_MAX,
		.window = window,
		.frames = frames,
	};
}

bool perron_origin_has_room(const struct perron_origin *o, uint32_t count)
{
	return o->next - o->first + count <= o->window;
}

uint64_t perron_origin_push(struct perron_origin *o, uint64_t now_ns, uint64_t handle,
			    const struct perron_origin_retry *retry)
{
	PERRON_ASSERT(perron_origin_has_room(o, 1));
	uint64_t sequence = o->next++;
	struct perron_origin_frame *f = frame_at(o, sequence);
	*f = (struct perron_origin_frame){.handle = handle, .due_ns = now_ns + retry->ns_min};
	if (f->due_ns < o->due_ns)
		o->due_ns = f->due_ns;
	return sequence;
}

bool perron_origin_get(const struct perron_origin *o, uint64_t sequence, uint64_t *handle)
{
	if (sequence < o->first || sequence >= o->next)
		return false;
	*handle = frame_at(o, sequence)->handle;
	return *handle != PERRON_ORIGIN_NONE;
}

uint64_t perron_origin_next(const struct perron_origin *o, uint64_t sequence)
{
	uint64_t ignored;

	for (uint64_t q = sequence > o->first ? sequence : o->first; q < o->next; q++)
		if (perron_origin_get(o, q, &ignored))
			return q;
	return 0;
}

uint32_t perron_origin_pop(struct perron_origin *o, uint64_t sequence, uint64_t *handles,
			   uint32_t max)
{
	uint32_t count = 0;

	while (count < max && o->first < o->next && o->first < sequence) {
		uint64_t handle = frame_at(o, o->first++)->handle;
		if (handle != PERRON_ORIGIN_NONE)
			handles[count++] = handle;
	}
	return count;
}

/* The time-out after so many tries: doubled with each, up to the longest. */
static uint64_t timeout_after(const struct perron_origin_retry *retry, uint32_t tries)
{
	uint64_t timeout = retry->ns_min;

	while (tries-- && timeout < retry->ns_max)
		timeout *= 2;
	return timeout < retry->ns_max ? timeout : retry->ns_max;
}

const struct perron_origin_frame *perron_origin_retry(struct perron_origin *o, uint64_t now_ns,
						      const struct perron_ack *ack,
						      const struct perron_origin_retry *retry,
						      uint64_t *cursor, bool *exhausted)
{
	/* A round that starts anew finds the earliest time again. */
	if (*cursor <= o->first) {
		*cursor = o->first;
		o->due_ns = UINT64_MAX;
	}
	for (; *cursor < o->next; ++*cursor) {
		struct perron_origin_frame *f = frame_at(o, *cursor);
		if (perron_ack_has(ack, *cursor))
			continue;
		if (f->handle == PERRON_ORIGIN_NONE) {
			/* All before it are to be acknowledged first, or they go with it. */
			if (*cursor != ack->cumulative + 1)
				continue;
			*exhausted = true;
			return f;
		}
		if (f->due_ns <= now_ns) {
			*exhausted = f->tries >= retry->count_max;
			f->tries++;
			f->due_ns = now_ns + timeout_after(retry, f->tries);
			if (f->due_ns < o->due_ns)
				o->due_ns = f->due_ns;
			return f;
		}
		if (f->due_ns < o->due_ns)
			o->due_ns = f->due_ns;
	}
	return NULL;
}

void perron_origin_hurry(struct perron_origin *o, uint64_t now_ns)
{
	for (uint64_t s = o->first; s < o->next; s++) {
		struct perron_origin_frame *f = frame_at(o, s);
		f->due_ns = now_ns;
		f->tries = 0; /* the way that used them up is not this one */
	}
	if (o->first < o->next)
		o->due_ns = now_ns;
}

void perron_origin_check(const struct perron_origin *o)
{
	PERRON_ASSERT(o->first <= o->next);
	PERRON_ASSERT(o->next - o->first <= o->window);
}
