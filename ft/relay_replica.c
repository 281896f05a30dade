/*
 * The relay's replication. A path peer sends copies of its frames to siblings of its cell (DATA
 * with REPLICA), tells them what is acknowledged (GAP with REPLICA: below, nothing is wanted any
 * more), and hears what they hold (ACK with REPLICA). A sibling that is asked to serve the stream,
 * because the path peer is gone, starts from what it holds. Paper 000, III.B.c and d, III.C.
 *
 * Copies say nothing before the first floor was heard: so what is acknowledged is held.
 */
#include <errno.h>

#include "ft/group_private.h"
#include "overlay/succession.h"

#define FLOOR_REPEAT_NS 50000000u
/* Frames that one period's end, or one branch that opens, sends in one call. */
#define SENT_MAX 128u

/* --- policies --- */

static void copies_send(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			uint64_t sequence, uint64_t handle, struct perron_effects *out);

static void none_taken(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		       uint64_t sequence, uint64_t handle, struct perron_effects *out)
{
	(void)r, (void)now_ns, (void)p, (void)sequence, (void)handle, (void)out;
}

static bool none_period(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct perron_effects *out)
{
	(void)r, (void)now_ns, (void)p, (void)out;
	return true;
}

static void passive_taken(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			  uint64_t sequence, uint64_t handle, struct perron_effects *out);
static bool passive_period(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			   struct perron_effects *out);

/* What a path peer does for its siblings, by policy. */
static const struct relay_policy {
	/* A frame was taken in, or given out here. */
	void (*taken)(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		      uint64_t sequence, uint64_t handle, struct perron_effects *out);
	/* A period is over; false: there is more to be done. */
	bool (*period)(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		       struct perron_effects *out);
	bool holds; /* a frame that is not given out here is held here as well */
} policies[PERRON_REPLICATION_COUNT] = {
	[PERRON_REPLICATION_NONE] = {none_taken, none_period, false},
	[PERRON_REPLICATION_PASSIVE] = {passive_taken, passive_period, true},
	[PERRON_REPLICATION_ACTIVE] = {copies_send, none_period, false},
};

static const struct relay_policy *policy_of(const struct relay_path *p)
{
	return &policies[p->qos.replication];
}

/* --- the buffers --- */

static uint64_t key_of(uint32_t stream, uint8_t class)
{
	return (uint64_t)stream << 8 | class;
}

static uint32_t first_of(const struct perron_relay *r, uint32_t stream, uint8_t class)
{
	return perron_map_find(&r->replica_by_key, key_of(stream, class));
}

static struct relay_replica *replica_find(const struct perron_relay *r, uint32_t stream,
					  uint8_t class, uint32_t primary, uint32_t incarnation)
{
	uint32_t i = first_of(r, stream, class);

	for (; i != PERRON_MAP_NONE; i = r->replicas[i].next)
		if (r->replicas[i].primary == primary && r->replicas[i].incarnation == incarnation)
			return &r->replicas[i];
	return NULL;
}

static struct relay_replica *replica_make(struct perron_relay *r, uint64_t now_ns,
					  const struct perron_path *key, uint32_t primary,
					  uint32_t incarnation, uint64_t floor)
{
	uint32_t index = 0;

	while (index < r->cfg.replica_count_max && r->replicas[index].used)
		index++;
	if (index == r->cfg.replica_count_max) {
		relay_drop(r, PERRON_DROP_REPLICA_FULL);
		return NULL;
	}
	struct relay_replica *b = &r->replicas[index];
	struct perron_replica_slot *slots = b->frames.slots;
	*b = (struct relay_replica){
		.used = true,
		.stream = key->stream,
		.class = key->class,
		.primary = primary,
		.incarnation = incarnation,
		.next = first_of(r, key->stream, key->class),
		.heard_ns = now_ns,
	};
	perron_replica_init(&b->frames, slots, r->cfg.replica_window, floor);
	bool is_put = perron_map_put(&r->replica_by_key, key_of(key->stream, key->class), index);
	PERRON_ASSERT(is_put);
	if (index >= r->replica_high)
		r->replica_high = index + 1;
	return b;
}

static void replica_free(struct perron_relay *r, struct relay_replica *b)
{
	uint32_t index = (uint32_t)(b - r->replicas);
	uint32_t first = first_of(r, b->stream, b->class);
	bool is_put = true;

	PERRON_ASSERT(!b->frames.count);
	if (first != index) {
		while (r->replicas[first].next != index)
			first = r->replicas[first].next;
		r->replicas[first].next = b->next;
	} else if (b->next != PERRON_MAP_NONE) {
		is_put = perron_map_put(&r->replica_by_key, key_of(b->stream, b->class), b->next);
	} else {
		(void)perron_map_remove(&r->replica_by_key, key_of(b->stream, b->class));
	}
	PERRON_ASSERT(is_put);
	b->used = false;
}

static void replica_sweep(struct perron_relay *r, uint64_t now_ns, struct relay_replica *b,
			  struct perron_effects *out)
{
	uint64_t handles[RELAY_RELEASE_MAX];
	uint32_t count = perron_replica_sweep(&b->frames, handles, r->release_budget);

	for (uint32_t i = 0; i < count; i++)
		perron_effects_release(out, handles[i]);
	r->release_budget -= count;
	r->replica_frame_count -= count;
	if (!perron_replica_is_swept(&b->frames))
		relay_wake_at(r, now_ns);
}

/* The oldest frame of class normal makes room, where there are most; false: there is none. */
static bool room_make(struct perron_relay *r, struct perron_effects *out)
{
	struct relay_replica *most = NULL;
	uint64_t handle;

	for (uint32_t i = 0; i < r->replica_high; i++) {
		struct relay_replica *b = &r->replicas[i];
		if (b->used && b->class == PERRON_CLASS_NORMAL && b->frames.count &&
		    (!most || b->frames.count > most->frames.count))
			most = b;
	}
	relay_drop(r, PERRON_DROP_REPLICA_FULL);
	if (!most)
		return false;
	perron_replica_raise(&most->frames, most->frames.floor + 1);
	while (!perron_replica_sweep(&most->frames, &handle, 1))
		perron_replica_raise(&most->frames, most->frames.floor + 1);
	perron_effects_release(out, handle);
	r->replica_frame_count--;
	return true;
}

static void replica_hold(struct perron_relay *r, struct relay_replica *b, uint64_t sequence,
			 uint64_t handle, struct perron_effects *out)
{
	if (r->replica_frame_count >= r->cfg.replica_frame_max && !room_make(r, out))
		return;
	enum perron_drop cause = perron_replica_put(&b->frames, sequence, handle);
	if (cause != PERRON_DROP_NONE) {
		relay_drop(r, cause);
		return;
	}
	r->replica_frame_count++;
	perron_effects_hold(out, handle);
}

/* --- the path peer --- */

static void copy_add(struct relay_copies *c, const struct relay_copies *old,
		     const struct perron_successor *m)
{
	struct relay_copy *copy = &c->items[c->count++];

	*copy = (struct relay_copy){.peer = m->peer, .incarnation = m->incarnation};
	for (uint32_t i = 0; i < old->count; i++)
		if (old->items[i].peer == m->peer && old->items[i].incarnation == m->incarnation)
			*copy = old->items[i];
}

/* Those who would take over from this peer, the first of them first. */
static void copies_choose(struct perron_relay *r, struct relay_path *p)
{
	const struct perron_group_view *view = &r->group->view;
	struct perron_successor siblings[PERRON_GROUP_MEMBER_COUNT_MAX];
	const struct relay_copies old = p->copies;
	struct relay_copies *c = &p->copies;
	uint32_t most = p->qos.replicas ? p->qos.replicas : RELAY_COPY_MAX;
	uint32_t count = 0;

	*c = (struct relay_copies){.view = view->id,
				   .due_ns = old.due_ns,
				   .period_at_ns = old.period_at_ns,
				   .period_from = old.period_from};
	if (!p->qos.replication)
		return;
	for (uint32_t i = 0; i < view->member_count; i++) {
		const struct perron_group_member *m = &view->members[i];
		const struct perron_link *l = i == view->self ? NULL : relay_link(r, m->peer);
		if (l)
			siblings[count++] = (struct perron_successor){
				m->peer, m->incarnation, l->party.endpoint.address, m->slot};
	}
	perron_succession_sort(siblings, count, r->group->slot, r->cfg.endpoint.address);
	for (uint32_t i = 0; i < count && i < most; i++)
		copy_add(c, &old, &siblings[i]);
}

static void copies_look(struct perron_relay *r, struct relay_path *p)
{
	if (!perron_group_view_id_equal(&p->copies.view, &r->group->view.id))
		copies_choose(r, p);
}

static void copies_due(struct perron_relay *r, struct relay_path *p, uint64_t at_ns)
{
	if (!p->copies.due_ns || at_ns < p->copies.due_ns)
		p->copies.due_ns = at_ns;
	relay_wake_at(r, at_ns);
}

static uint64_t floor_of(const struct relay_path *p)
{
	return p->path.acked.cumulative + 1;
}

static void floor_say(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		      struct relay_copy *copy, struct perron_effects *out)
{
	const struct perron_link *l = relay_link(r, copy->peer);
	struct perron_header header = {
		.type = PERRON_TYPE_GAP,
		.class = p->path.class,
		.flags = PERRON_FLAG_REPLICA | (p->origin ? PERRON_FLAG_RETRY : 0),
		.stream = p->path.stream,
		.sequence = floor_of(p),
		.origin_ns = now_ns + r->cfg.clock_offset_ns,
	};

	copy->said_at_ns = now_ns;
	if (!l || l->party.incarnation != copy->incarnation ||
	    !relay_send(r, now_ns, &l->party, &header, NULL, out)) {
		relay_drop_of(r, p->drop, PERRON_DROP_NO_LINK, 1);
		return;
	}
	copy->floor_said = header.sequence;
}

static void copies_send(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			uint64_t sequence, uint64_t handle, struct perron_effects *out)
{
	for (uint32_t i = 0; i < p->copies.count; i++) {
		struct relay_copy *copy = &p->copies.items[i];
		struct perron_link *l = relay_link(r, copy->peer);
		struct perron_hop hop;
		if (perron_ack_has(&copy->ack, sequence))
			continue;
		if (!l || l->party.incarnation != copy->incarnation) {
			relay_drop_of(r, p->drop, PERRON_DROP_NO_LINK, 1);
			continue;
		}
		if (!copy->started && now_ns - copy->said_at_ns >= r->cfg.ack_interval_ns)
			floor_say(r, now_ns, p, copy, out);
		relay_link_hop(r, now_ns, l, &hop);
		hop.class = p->path.class;
		hop.flags = PERRON_FLAG_REPLICA;
		perron_effects_forward(out, handle, l->party.endpoint, p->path.class, &hop, 0);
		r->counters.replicated++;
	}
}

static void passive_taken(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			  uint64_t sequence, uint64_t handle, struct perron_effects *out)
{
	struct relay_replica *own =
		replica_find(r, p->path.stream, p->path.class, r->cfg.peer, r->cfg.incarnation);

	if (!p->copies.period_at_ns) {
		p->copies.period_at_ns = now_ns + (uint64_t)p->qos.period_us * 1000;
		relay_wake_at(r, p->copies.period_at_ns);
	}
	if (p->origin)
		return; /* which keeps it anyhow */
	if (!own)
		own = replica_make(r, now_ns, &p->path, r->cfg.peer, r->cfg.incarnation,
				   floor_of(p));
	if (own)
		replica_hold(r, own, sequence, handle, out);
}

static bool kept_get(struct perron_relay *r, const struct relay_path *p,
		     const struct relay_replica *own, uint64_t sequence, uint64_t *handle)
{
	(void)r;
	if (p->origin)
		return perron_origin_get(p->origin, sequence, handle);
	return own && perron_replica_get(&own->frames, sequence, handle);
}

/* What was not acknowledged within its period is copied now. */
static bool passive_period(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			   struct perron_effects *out)
{
	const struct relay_replica *own =
		replica_find(r, p->path.stream, p->path.class, r->cfg.peer, r->cfg.incarnation);
	uint64_t from = p->copies.period_from > floor_of(p) ? p->copies.period_from : floor_of(p);
	uint32_t left = SENT_MAX / (p->copies.count ? p->copies.count : 1);
	uint64_t handle;

	for (; from <= p->path.high; from++) {
		if (perron_ack_has(&p->path.acked, from) || !kept_get(r, p, own, from, &handle))
			continue;
		if (!left--) {
			p->copies.period_from = from;
			return false;
		}
		copies_send(r, now_ns, p, from, handle, out);
	}
	p->copies.period_from = 0;
	return true;
}

void relay_replicate(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		     uint64_t sequence, uint64_t handle, struct perron_effects *out)
{
	if (!p->qos.replication)
		return;
	copies_look(r, p);
	if (p->copies.count)
		policy_of(p)->taken(r, now_ns, p, sequence, handle, out);
}

bool relay_path_holds(const struct relay_path *p)
{
	return policy_of(p)->holds && p->copies.count && !p->origin;
}

void relay_copies_retry(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			uint64_t sequence, uint64_t handle, struct perron_effects *out)
{
	if (p->qos.replication != PERRON_REPLICATION_ACTIVE)
		return;
	copies_look(r, p);
	copies_send(r, now_ns, p, sequence, handle, out);
}

void relay_copies_acknowledged(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			       struct perron_effects *out)
{
	struct relay_replica *own;

	if (!p->copies.count)
		return;
	copies_due(r, p, now_ns + r->cfg.ack_interval_ns);
	own = relay_path_holds(p) ? replica_find(r, p->path.stream, p->path.class, r->cfg.peer,
						 r->cfg.incarnation)
				  : NULL;
	if (!own)
		return;
	perron_replica_raise(&own->frames, floor_of(p));
	replica_sweep(r, now_ns, own, out);
}

void relay_qos_raise(struct perron_relay *r, struct relay_path *p, const struct perron_qos *qos)
{
	p->qos = perron_qos_stronger(&p->qos, qos);
	copies_choose(r, p);
}

/* True: some copy has not said yet that it knows the floor. */
static bool floors_say(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		       struct perron_effects *out)
{
	bool waits = false;

	for (uint32_t i = 0; i < p->copies.count; i++) {
		struct relay_copy *copy = &p->copies.items[i];
		bool knows = copy->started && copy->ack.cumulative + 1 >= floor_of(p);
		uint64_t silent_ns = now_ns - copy->said_at_ns;
		if (copy->floor_said < floor_of(p) || silent_ns >= r->cfg.branch_keep_ns / 4 ||
		    (!knows && silent_ns >= FLOOR_REPEAT_NS))
			floor_say(r, now_ns, p, copy, out);
		waits |= !knows;
	}
	return waits;
}

void relay_copies_tick(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		       struct perron_effects *out)
{
	struct relay_copies *c = &p->copies;

	copies_look(r, p);
	if (c->period_at_ns && c->period_at_ns <= now_ns) {
		bool done = policy_of(p)->period(r, now_ns, p, out);
		c->period_at_ns = done ? 0 : now_ns;
	}
	if (!c->due_ns || c->due_ns > now_ns)
		return;
	c->due_ns = 0;
	if (c->count)
		copies_due(r, p,
			   now_ns + (floors_say(r, now_ns, p, out) ? FLOOR_REPEAT_NS
								   : r->cfg.branch_keep_ns / 4));
}

uint64_t relay_copies_deadline_ns(const struct relay_path *p)
{
	uint64_t due = p->copies.due_ns ? p->copies.due_ns : UINT64_MAX;

	return p->copies.period_at_ns && p->copies.period_at_ns < due ? p->copies.period_at_ns
								      : due;
}

enum perron_drop relay_copy_ack(struct perron_relay *r, const struct perron_frame *frame,
				const struct perron_header *header)
{
	struct relay_path *p = relay_path(r, header->stream, header->class);
	struct perron_ack ack = {
		.cumulative = header->sequence,
		.bitmap = perron_load64(frame->data + PERRON_HEADER_SIZE),
	};

	if (!p)
		return PERRON_DROP_UNKNOWN_STREAM;
	if (ack.cumulative > p->path.high || !p->path.started)
		return PERRON_DROP_IMPOSSIBLE_SEQUENCE;
	for (uint32_t i = 0; i < p->copies.count; i++) {
		struct relay_copy *copy = &p->copies.items[i];
		if (copy->peer != header->source || copy->incarnation != header->source_incarnation)
			continue;
		copy->started = true;
		if (ack.cumulative >= copy->ack.cumulative)
			copy->ack = ack;
		return PERRON_DROP_NONE;
	}
	return PERRON_DROP_WRONG_BRANCH;
}

/* --- the sibling --- */

static enum perron_drop replica_permit(struct perron_relay *r, const struct perron_header *header)
{
	const struct relay_path *p = relay_path(r, header->stream, header->class);

	if (group_member_index(r->group, header->source) < 0)
		return PERRON_DROP_NOT_MEMBER;
	if (p && p->origin)
		return PERRON_DROP_WRONG_UPSTREAM;
	if (!header->stream || !header->sequence || header->sequence > PERRON_SEQUENCE_MAX ||
	    header->class > PERRON_CLASS_NORMAL)
		return PERRON_DROP_MALFORMED;
	return PERRON_DROP_NONE;
}

static void replica_ack_due(struct perron_relay *r, uint64_t now_ns, struct relay_replica *b)
{
	b->heard_ns = now_ns;
	if (b->ack_due_ns)
		return;
	b->ack_due_ns = now_ns + 4 * r->cfg.ack_interval_ns;
	relay_wake_at(r, b->ack_due_ns);
}

enum perron_drop relay_replica_data(struct perron_relay *r, uint64_t now_ns,
				    const struct perron_frame *frame,
				    const struct perron_header *header, struct perron_effects *out)
{
	enum perron_drop cause = replica_permit(r, header);

	if (cause != PERRON_DROP_NONE)
		return cause;
	struct relay_replica *b = replica_find(r, header->stream, header->class, header->source,
					       header->source_incarnation);
	if (!b)
		return PERRON_DROP_EARLY;
	replica_hold(r, b, header->sequence, frame->handle, out);
	replica_ack_due(r, now_ns, b);
	return PERRON_DROP_NONE;
}

enum perron_drop relay_replica_floor(struct perron_relay *r, uint64_t now_ns,
				     const struct perron_header *header, struct perron_effects *out)
{
	struct perron_path key = {.stream = header->stream, .class = header->class};
	enum perron_drop cause = replica_permit(r, header);

	if (cause != PERRON_DROP_NONE)
		return cause;
	struct relay_replica *b = replica_find(r, header->stream, header->class, header->source,
					       header->source_incarnation);
	if (!b)
		b = replica_make(r, now_ns, &key, header->source, header->source_incarnation,
				 header->sequence);
	if (!b)
		return PERRON_DROP_NONE; /* counted */
	b->is_origin = header->flags & PERRON_FLAG_RETRY;
	perron_replica_raise(&b->frames, header->sequence);
	replica_sweep(r, now_ns, b, out);
	replica_ack_due(r, now_ns, b);
	return PERRON_DROP_NONE;
}

static void replica_ack_send(struct perron_relay *r, uint64_t now_ns, struct relay_replica *b,
			     struct perron_effects *out)
{
	const struct perron_link *l = relay_link(r, b->primary);
	struct perron_ack ack = perron_replica_ack(&b->frames);
	uint8_t payload[PERRON_ACK_SIZE];
	struct perron_header header = {
		.type = PERRON_TYPE_ACK,
		.class = b->class,
		.flags = PERRON_FLAG_REPLICA,
		.stream = b->stream,
		.sequence = ack.cumulative,
		.length = PERRON_ACK_SIZE,
		.origin_ns = now_ns + r->cfg.clock_offset_ns,
	};

	b->ack_due_ns = 0;
	perron_store64(payload, ack.bitmap);
	if (l && l->party.incarnation == b->incarnation)
		(void)relay_send(r, now_ns, &l->party, &header, payload, out);
}

/* Nobody has spoken of it for long: whoever was to come for it has come. */
static bool is_forgotten(const struct perron_relay *r, uint64_t now_ns,
			 const struct relay_replica *b)
{
	bool is_own = b->primary == r->cfg.peer;

	return !is_own && now_ns - b->heard_ns >= r->cfg.branch_keep_ns;
}

/* Housekeeping is told whose frames are held, when who took them in is no member any more. */
static void orphans_tell(struct perron_relay *r, struct perron_effects *out)
{
	const struct perron_group_view *view = &r->group->view;
	bool told = true;

	if (perron_group_view_id_equal(&r->orphan_view, &view->id))
		return;
	for (uint32_t i = 0; i < r->replica_high; i++) {
		const struct relay_replica *b = &r->replicas[i];
		int index = b->used ? group_member_index(r->group, b->primary) : -1;
		bool is_member = index >= 0 && view->members[index].incarnation == b->incarnation;
		if (!b->used || !b->is_origin || is_member || b->primary == r->cfg.peer)
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

static void replica_tick(struct perron_relay *r, uint64_t now_ns, struct relay_replica *b,
			 struct perron_effects *out)
{
	bool is_own = b->primary == r->cfg.peer;
	bool is_over = is_own ? !relay_path((struct perron_relay *)r, b->stream, b->class)
			      : is_forgotten(r, now_ns, b);

	if (b->ack_due_ns && b->ack_due_ns <= now_ns)
		replica_ack_send(r, now_ns, b, out);
	if (is_over)
		perron_replica_raise(&b->frames, b->frames.high + 1);
	replica_sweep(r, now_ns, b, out);
	if (is_over && !b->frames.count)
		replica_free(r, b);
}

void relay_replicas_tick(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out)
{
	orphans_tell(r, out);
	for (uint32_t i = 0; i < r->replica_high; i++)
		if (r->replicas[i].used)
			replica_tick(r, now_ns, &r->replicas[i], out);
}

uint64_t relay_replica_deadline_ns(const struct perron_relay *r, const struct relay_replica *b)
{
	uint64_t due = b->ack_due_ns ? b->ack_due_ns : UINT64_MAX;

	if (!b->used)
		return UINT64_MAX;
	if (!perron_replica_is_swept(&b->frames))
		return 0;
	if (b->primary != r->cfg.peer)
		due = group_min64(due, b->heard_ns + r->cfg.branch_keep_ns);
	return due;
}

/* --- the successor --- */

bool relay_replica_find(const struct perron_relay *r, const struct perron_path *p,
			uint64_t sequence, uint64_t *handle)
{
	uint32_t i = sequence ? first_of(r, p->stream, p->class) : PERRON_MAP_NONE;

	for (; i != PERRON_MAP_NONE; i = r->replicas[i].next)
		if (perron_replica_get(&r->replicas[i].frames, sequence, handle))
			return true;
	return false;
}

bool relay_replica_serve(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			 uint64_t *from, struct perron_effects *out)
{
	uint32_t left = SENT_MAX;
	uint64_t high = 0;

	for (uint32_t i = first_of(r, p->path.stream, p->path.class); i != PERRON_MAP_NONE;
	     i = r->replicas[i].next)
		if (r->replicas[i].frames.high > high)
			high = r->replicas[i].frames.high;
	for (; *from <= high; ++*from) {
		uint64_t handle;
		if (!relay_replica_find(r, &p->path, *from, &handle))
			continue;
		if (!left--)
			return false;
		if (*from > p->path.high)
			p->path.high = *from;
		relay_fan_out(r, now_ns, p, *from, handle, PERRON_FLAG_RETRY, out);
		r->counters.served++;
	}
	return true;
}

/* The highest that any class of the stream holds of that peer's; 0: nothing is held. */
static uint64_t orphan_high(struct perron_relay *r, uint32_t stream, const struct perron_party *of)
{
	uint64_t high = 0;

	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class ++) {
		const struct relay_replica *b =
			replica_find(r, stream, class, of->id, of->incarnation);
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
	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class ++) {
		struct relay_replica *b = replica_find(r, stream, class, of->id, of->incarnation);
		p = relay_path(r, stream, class);
		if (!b || (p && p->origin))
			continue; /* nothing of it is here, or it was taken over already */
		uint64_t high = p && p->path.high > held ? p->path.high : held;
		if (high - b->frames.floor >= r->cfg.origin_window)
			continue;
		replica_sweep(r, now_ns, b, out);
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

bool perron_relay_holds(const struct perron_relay *r, uint32_t stream, uint8_t class,
			uint32_t primary, uint32_t incarnation, uint64_t sequence)
{
	const struct relay_replica *b = replica_find(r, stream, class, primary, incarnation);
	uint64_t handle;

	return b && perron_replica_get(&b->frames, sequence, &handle);
}

void relay_replicas_check(const struct perron_relay *r)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->replica_high; i++) {
		const struct relay_replica *b = &r->replicas[i];
		if (!b->used)
			continue;
		perron_replica_check(&b->frames);
		count += b->frames.count;
	}
	PERRON_ASSERT(count == r->replica_frame_count);
}
