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
		if (!b->used || is_member || b->primary == r->cfg.peer || is_stale(r, now_ns, b))
			continue;
		struct relay_path *p = relay_path(r, b->stream, b->class);
		if (p)
			relay_keep_begin(r, now_ns, p);
		if (!b->is_origin)
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
static uint32_t first_set(const struct perron_relay *r, const struct relay_path *p)
{
	return p->origin ? PERRON_MAP_NONE : relay_replica_first(r, p->path.stream, p->path.class);
}

bool relay_replica_find(const struct perron_relay *r, const struct relay_path *p, uint64_t sequence,
			uint64_t *handle)
{
	if (p->origin)
		return p->keep_until_ns && perron_origin_get(p->origin, sequence, handle);
	for (uint32_t i = first_set(r, p); i != PERRON_MAP_NONE; i = r->replicas[i].next)
		if (perron_replica_get(&r->replicas[i].frames, sequence, handle))
			return true;
	return false;
}

uint64_t relay_replica_next(const struct perron_relay *r, const struct relay_path *p,
			    uint64_t sequence)
{
	uint64_t least = 0;

	if (p->origin)
		return p->keep_until_ns ? perron_origin_next(p->origin, sequence) : 0;
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
		uint64_t sequence = relay_replica_next(r, p, *from);
		uint64_t handle;
		if (!sequence || !relay_replica_find(r, p, sequence, &handle))
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

/* A reading that the origin of another class keeps already. */
static bool origin_shares(struct perron_relay *r, const struct relay_path *p, uint64_t sequence,
			  uint64_t *handle, struct perron_effects *out)
{
	for (uint8_t class = 0; class < p->path.class; class++) {
		const struct relay_path *other = relay_path(r, p->path.stream, class);
		if (!other || !other->origin ||
		    !perron_origin_get(other->origin, sequence, handle) ||
		    !perron_effects_has_room(out, 1, 0))
			continue;
		perron_effects_hold(out, *handle);
		return true;
	}
	return false;
}

/*
 * What is held becomes what an origin keeps, and so do our own readings (`s`; NULL: the sensor does
 * not hang here as well). What nobody has will never come.
 */
static void origin_fill(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct relay_replica *b, struct relay_stream *s, uint64_t high,
			struct perron_effects *out)
{
	uint64_t handle;

	for (uint64_t q = p->origin->next; q <= high; q++) {
		bool held = b && perron_replica_take(&b->frames, q, &handle);
		r->replica_frame_count -= held;
		if (!held && s)
			held = relay_standby_take(s, q, p->deadline_us, &handle) ||
			       origin_shares(r, p, q, &handle, out);
		r->counters.adopted += held;
		(void)perron_origin_push(p->origin, now_ns, held ? handle : PERRON_ORIGIN_NONE,
					 &r->retry);
	}
	p->path.high = high;
}

/* One class of it. -ENOENT: nothing of it is here, or it was taken over already; -ENOSPC. */
static int class_adopt(struct perron_relay *r, uint64_t now_ns, const struct perron_path *key,
		       const struct perron_party *of, struct relay_stream *s, uint64_t high,
		       struct perron_effects *out)
{
	struct relay_replica *b =
		relay_replica_of(r, key->stream, key->class, of->id, of->incarnation);
	struct relay_path *p = relay_path(r, key->stream, key->class);

	if ((p && p->origin) || (!b && !(s && p)))
		return -ENOENT;
	uint64_t first = b ? b->frames.floor : high + 1;
	/* No origin has more under way than its window: what is older was acknowledged. */
	if (high >= first && high - first >= r->cfg.origin_window)
		first = high - r->cfg.origin_window + 1;
	if (b) {
		perron_replica_raise(&b->frames, first);
		relay_replica_sweep(r, now_ns, b, out);
	}
	p = relay_path_adopt(r, now_ns, key->stream, key->class, first);
	if (!p)
		return -ENOSPC;
	origin_fill(r, now_ns, p, b, s, high, out);
	relay_keep_begin(r, now_ns, p);
	relay_branches_start(r, now_ns, p, out);
	if (p->path.branch_count)
		perron_origin_hurry(p->origin, now_ns);
	else
		relay_linger(r, now_ns, p);
	relay_wake_at(r, now_ns);
	return 0;
}

/* The highest that any path of the stream's has seen, or `high`. */
static uint64_t paths_high(struct perron_relay *r, uint32_t stream, uint64_t high)
{
	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++) {
		const struct relay_path *p = relay_path(r, stream, class);
		if (p && p->path.started && p->path.high > high)
			high = p->path.high;
	}
	return high;
}

int relay_adopt(struct perron_relay *r, uint64_t now_ns, uint32_t stream,
		const struct perron_party *of, struct perron_effects *out)
{
	uint64_t held = orphan_high(r, stream, of);

	if (!held || relay_stream(r, stream))
		return -ENOENT;
	held = paths_high(r, stream, held);
	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++) {
		struct perron_path key = {.stream = stream, .class = class};
		if (class_adopt(r, now_ns, &key, of, NULL, held, out) == -ENOSPC)
			return -ENOSPC;
	}
	return 0;
}

int relay_succeed(struct perron_relay *r, uint64_t now_ns, struct relay_stream *s,
		  const struct perron_party *of, uint64_t first, struct perron_effects *out)
{
	uint64_t held = paths_high(r, s->stream, orphan_high(r, s->stream, of));
	uint64_t next = perron_standby_next(&s->readings);
	int error = 0;

	/* Of other numbers than what is held: not in step with it. */
	if (held && next + s->readings.window <= held)
		next = 0;
	uint64_t high = next > held + 1 ? next - 1 : held;
	high = high ? high : first - 1;
	for (uint8_t class = 0; !error && class <= PERRON_CLASS_NORMAL; class++) {
		struct perron_path key = {.stream = s->stream, .class = class};
		error = class_adopt(r, now_ns, &key, of, s, high, out);
		error = error == -ENOENT ? 0 : error;
	}
	s->is_standby = false;
	s->next = high + 1;
	s->behind = next && next <= held ? held + 1 : 0;
	perron_standby_forget(&s->readings);
	relay_wake_at(r, now_ns);
	return error;
}
