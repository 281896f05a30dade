/*
 * The successor: who is asked for a stream begins with what it holds of it, and who comes after an
 * origin that is gone sends what that one had pending, as an origin. Paper 000, III.B.d.
 */
#include <errno.h>

#include "ft/group_private.h"

/* Frames that are sent on in one call. */
#define SERVED_MAX 128u

/*
 * Of a primary that chose others since, frames may be left: who still was chosen heard of it twice
 * in this time, and knows better.
 */
static bool is_stale(const struct perron_relay *r, uint64_t now_ns, const struct relay_replica *b)
{
	return now_ns - b->heard_ns >= r->cfg.branch_keep_ns / 2;
}

void relay_orphans_tell(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out)
{
	const struct perron_group_view *view = &r->group->view;
	bool told = true;

	if (perron_group_view_id_equal(&r->orphan_view, &view->id))
		return;
	for (uint32_t i = 0; i < r->replica_high; i++) {
		const struct relay_replica *b = &r->replicas[i];
		int index = b->used ? group_member_index(r->group, b->primary) : -1;
		bool is_member = index >= 0 && view->members[index].incarnation == b->incarnation;
		if (!b->used || !b->is_origin || is_member || b->primary == r->cfg.peer ||
		    is_stale(r, now_ns, b))
			continue;
		struct perron_event *event = perron_effects_event(out, 0);
		told &= event != NULL;
		if (!event)
			continue;
		event->kind = PERRON_EVENT_ORPHANED;
		event->class = b->class;
		event->stream = b->stream;
		event->sequence = b->frames.floor;
		event->party =
			(struct perron_party){.id = b->primary, .incarnation = b->incarnation};
	}
	if (told)
		r->orphan_view = view->id;
}

/* An origin here knows better what it has. */
static uint32_t first_set(const struct perron_relay *r, const struct perron_path *p)
{
	return p->origin ? PERRON_MAP_NONE : relay_replica_first(r, p->stream, p->class);
}

bool relay_replica_find(const struct perron_relay *r, const struct perron_path *p,
			uint64_t sequence, uint64_t *handle)
{
	for (uint32_t i = first_set(r, p); i != PERRON_MAP_NONE; i = r->replicas[i].next)
		if (perron_replica_get(&r->replicas[i].frames, sequence, handle))
			return true;
	return false;
}

uint64_t relay_replica_next(const struct perron_relay *r, const struct perron_path *p,
			    uint64_t sequence)
{
	uint64_t least = 0;

	for (uint32_t i = first_set(r, p); i != PERRON_MAP_NONE; i = r->replicas[i].next) {
		uint64_t next = perron_replica_next(&r->replicas[i].frames, sequence);
		if (next && (!least || next < least))
			least = next;
	}
	return least;
}

bool relay_replica_serve(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			 uint64_t *from, struct perron_effects *out)
{
	for (uint32_t left = SERVED_MAX; left; left--) {
		uint64_t sequence = relay_replica_next(r, &p->path, *from);
		uint64_t handle;
		if (!sequence || !relay_replica_find(r, &p->path, sequence, &handle))
			return true;
		if (sequence > p->path.high)
			p->path.high = sequence;
		(void)relay_fan_out(r, now_ns, p, sequence, handle, PERRON_FLAG_RETRY, out);
		r->counters.served++;
		*from = sequence + 1;
	}
	return false;
}

/* The highest that any class of the stream holds of that peer's; 0: nothing is held. */
static uint64_t orphan_high(struct perron_relay *r, uint32_t stream, const struct perron_party *of)
{
	uint64_t high = 0;

	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++) {
		const struct relay_replica *b =
			relay_replica_of(r, stream, class, of->id, of->incarnation);
		if (b && b->frames.high > high)
			high = b->frames.high;
	}
	return high;
}

/* What is held becomes what an origin keeps; what no class holds will never come. */
static void origin_fill(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct relay_replica *b, uint64_t high)
{
	uint64_t handle;

	for (uint64_t s = b->frames.floor; s <= high; s++) {
		bool held = perron_replica_take(&b->frames, s, &handle);
		r->replica_frame_count -= held;
		r->counters.adopted += held;
		(void)perron_origin_push(p->origin, now_ns, held ? handle : PERRON_ORIGIN_NONE,
					 &r->retry);
	}
	p->path.high = high;
}

int relay_adopt(struct perron_relay *r, uint64_t now_ns, uint32_t stream,
		const struct perron_party *of, struct perron_effects *out)
{
	uint64_t held = orphan_high(r, stream, of);
	struct relay_path *p;

	if (!held || relay_stream(r, stream))
		return -ENOENT;
	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++) {
		struct relay_replica *b =
			relay_replica_of(r, stream, class, of->id, of->incarnation);
		p = relay_path(r, stream, class);
		if (!b || (p && p->origin))
			continue; /* nothing of it is here, or it was taken over already */
		uint64_t high = p && p->path.high > held ? p->path.high : held;
		/* No origin has more under way than its window: what is older was acknowledged. */
		if (high - b->frames.floor >= r->cfg.origin_window)
			perron_replica_raise(&b->frames, high - r->cfg.origin_window + 1);
		relay_replica_sweep(r, now_ns, b, out);
		p = relay_path_adopt(r, now_ns, stream, class, b->frames.floor);
		if (!p)
			return -ENOSPC;
		origin_fill(r, now_ns, p, b, high);
		relay_branches_start(r, now_ns, p, out);
		if (p->path.branch_count)
			perron_origin_hurry(p->origin, now_ns);
		else
			relay_linger(r, now_ns, p);
		relay_wake_at(r, now_ns);
	}
	return 0;
}
