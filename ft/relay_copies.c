/*
 * The path's peer: it sends copies of its frames to siblings of its cell (DATA with REPLICA), when
 * and which its policy says, tells them what is acknowledged (GAP with REPLICA: below, nothing is
 * wanted any more), and hears what they hold (ACK with REPLICA). Paper 000, III.B.c, III.C.
 */
#include "ft/group_private.h"
#include "overlay/succession.h"

#define FLOOR_REPEAT_NS 50000000u
/* Copies that one period's end sends in one call. */
#define COPIES_MAX 128u

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
		relay_replica_of(r, p->path.stream, p->path.class, r->cfg.peer, r->cfg.incarnation);

	if (!p->copies.period_at_ns) {
		p->copies.period_at_ns = now_ns + (uint64_t)p->qos.period_us * 1000;
		relay_wake_at(r, p->copies.period_at_ns);
	}
	if (p->origin)
		return; /* which keeps it anyhow */
	if (!own)
		own = relay_replica_make(r, now_ns, &p->path, r->cfg.peer, r->cfg.incarnation,
					 floor_of(p));
	if (own)
		relay_replica_hold(r, own, sequence, handle, out);
}

/* The first frame that is kept here from `from` on, and not acknowledged; 0: none. */
static uint64_t kept_next(const struct relay_path *p, const struct relay_replica *own,
			  uint64_t from, uint64_t *handle)
{
	if (!p->origin) {
		while (own && (from = perron_replica_next(&own->frames, from))) {
			if (!perron_ack_has(&p->path.acked, from))
				return perron_replica_get(&own->frames, from, handle) ? from : 0;
			from++;
		}
		return 0;
	}
	if (from < p->origin->first)
		from = p->origin->first;
	for (; from < p->origin->next; from++)
		if (!perron_ack_has(&p->path.acked, from) &&
		    perron_origin_get(p->origin, from, handle))
			return from;
	return 0;
}

/* What was not acknowledged within its period is copied now. */
static bool passive_period(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			   struct perron_effects *out)
{
	const struct relay_replica *own =
		relay_replica_of(r, p->path.stream, p->path.class, r->cfg.peer, r->cfg.incarnation);
	uint32_t left = COPIES_MAX / (p->copies.count ? p->copies.count : 1);
	uint64_t from = p->copies.period_from;
	uint64_t handle;

	while ((from = kept_next(p, own, from, &handle))) {
		if (!left--) {
			p->copies.period_from = from;
			return false;
		}
		copies_send(r, now_ns, p, from++, handle, out);
	}
	p->copies.period_from = 0;
	return true;
}

/* --- policies --- */

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
	own = relay_path_holds(p) ? relay_replica_of(r, p->path.stream, p->path.class, r->cfg.peer,
						     r->cfg.incarnation)
				  : NULL;
	if (!own || p->keep_until_ns)
		return;
	perron_replica_raise(&own->frames, floor_of(p));
	relay_replica_sweep(r, now_ns, own, out);
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
