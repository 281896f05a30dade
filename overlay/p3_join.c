/*
 * A member's way into the tree: a cell, its siblings, a parent, the join; and back to an earlier
 * step when something on the way is lost. One request is under way at a time.
 *
 * state    entered when                      asks            leaves to
 * binding  it has no position                root cell       bind (OK), refused (another has its id)
 * bind     a position was reserved           siblings        parent (all answered, or two tries)
 * parent   siblings are bound                the cell above  joining (OK), binding (nobody there)
 * joining  a parent was found                climbs          joined (OK), binding (conflict, silence)
 * joined   its join was validated            climbs, renewed orphan (parent lost), binding (lease out)
 * orphan   joined, and the parent is lost    the cell above  joined (OK), binding (nobody there)
 */
#include "overlay/p3_private.h"

#define BIND_TRIES_MAX 2
/* Each candidate is asked this often before the position is given up. */
#define PARENT_ROUNDS_MAX 3
#define JOIN_TRIES_MAX    20
/* Requests to the root cell slow down to this many request times. */
#define BINDING_SLOW_MAX 8

static void state_enter(struct perron_overlay *o, uint8_t state, uint64_t now_ns, const char *why)
{
	o->state = state;
	o->why = why;
	o->request_at_ns = now_ns;
	o->request_tries = 0;
	p3_changed(o);
}

void p3_join_restart(struct perron_overlay *o, uint64_t now_ns, const char *why,
		     struct perron_effects *out)
{
	PERRON_ASSERT(!p3_is_root(o));
	p3_neighbours_drop_all(o, UINT8_MAX, out);
	if (o->has_position) {
		/* Where it was is where it would be again. */
		o->has_wish = true;
		o->wish = o->position;
		o->wish_until_ns = now_ns + 2 * o->cfg.lease_ns;
	}
	o->has_position = false;
	o->siblings.count = 0;
	o->parents.count = 0;
	o->parents_are_a_view = false;
	o->redirect.peer = 0;
	o->attempt++;
	state_enter(o, PERRON_OVERLAY_BINDING, now_ns, why);
}

static void parent_search(struct perron_overlay *o, uint8_t state, uint64_t now_ns,
			  const char *why)
{
	o->parent_tries = 0;
	state_enter(o, state, now_ns, why);
}

void p3_parent_lost(struct perron_overlay *o, uint64_t now_ns, uint32_t peer)
{
	/* It is the last to be asked again. */
	for (uint32_t i = 0; i < o->parents.count; i++)
		if (o->parents.items[i].party.id == peer)
			o->parent_next = i + 1;
	switch ((enum perron_overlay_state)o->state) {
	case PERRON_OVERLAY_JOINED:
		parent_search(o, PERRON_OVERLAY_ORPHAN, now_ns, "lost its parent");
		break;
	case PERRON_OVERLAY_JOINING:
		parent_search(o, PERRON_OVERLAY_PARENT, now_ns, "lost its parent while joining");
		break;
	case PERRON_OVERLAY_BINDING: /* has none */
	case PERRON_OVERLAY_BIND:
	case PERRON_OVERLAY_PARENT:
	case PERRON_OVERLAY_ORPHAN:
	case PERRON_OVERLAY_LEFT:
	case PERRON_OVERLAY_REFUSED:
	case PERRON_OVERLAY_STATE_COUNT:
		break;
	}
}

/* --- what is asked, state by state --- */

static void binding_ask(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	struct perron_binding_request request = {.attempt = o->attempt};
	struct perron_portal *at = &o->cfg.portal[o->portal_next % o->cfg.portal_count];
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (o->redirect.peer)
		at = &o->redirect;
	else
		o->portal_next++;
	struct perron_party to = {.id = at->peer, .endpoint = at->endpoint};
	request.has_wish = o->has_wish && now_ns < o->wish_until_ns;
	if (request.has_wish)
		request.wish = o->wish;
	p3_send(o, &to, PERRON_TYPE_BINDING_REQUEST, payload,
		perron_binding_request_write(payload, &request), out);
	o->redirect.peer = 0;
	if (o->request_tries < BINDING_SLOW_MAX)
		o->request_tries++;
	o->request_at_ns = now_ns + p3_request_ns(o) * o->request_tries;
}

static void bind_ask(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	if (p3_cell_bind(o, out) || o->request_tries == BIND_TRIES_MAX) {
		parent_search(o, PERRON_OVERLAY_PARENT, now_ns, "asks for a parent");
		return;
	}
	o->request_tries++;
	o->request_at_ns = now_ns + p3_request_ns(o);
}

static void parent_ask(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	struct perron_bind request = {.attempt = o->attempt, .position = o->position};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (o->parent_tries >= PARENT_ROUNDS_MAX * o->parents.count) {
		p3_join_restart(o, now_ns, "nobody answers in the cell above", out);
		return;
	}
	const struct perron_member *candidate = &o->parents.items[o->parent_next % o->parents.count];
	p3_send(o, &candidate->party, PERRON_TYPE_PARENT_REQUEST, payload,
		perron_bind_write(payload, &request), out);
	o->parent_next++;
	o->parent_tries++;
	o->request_at_ns = now_ns + p3_request_ns(o);
}

/* To whom a join goes: the parent; from a root peer, the coordinator. */
static struct p3_neighbour *join_next(struct perron_overlay *o)
{
	if (p3_is_root(o))
		return p3_neighbour(o, p3_cell_coordinator(o));
	return p3_parent(o);
}

static void join_send(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	struct p3_neighbour *next = join_next(o);
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (!next)
		return;
	/* The lease counts from the first time that this question was put. */
	if (!o->join_sent_ns || now_ns - o->join_sent_ns > o->cfg.lease_ns / 2) {
		o->nonce++;
		o->join_sent_ns = now_ns;
	}
	struct perron_join join = {
		.joiner = p3_self(o),
		.nonce = o->nonce,
		.attempt = o->attempt,
		.position = o->position,
		.route_count = 1,
		.route = {o->cfg.peer},
	};
	p3_send(o, &next->party, PERRON_TYPE_JOIN, payload, perron_join_write(payload, &join), out);
}

static void joining_ask(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	if (o->request_tries == JOIN_TRIES_MAX && !p3_is_root(o)) {
		p3_join_restart(o, now_ns, "its join was not answered", out);
		return;
	}
	join_send(o, now_ns, out);
	if (o->request_tries < JOIN_TRIES_MAX)
		o->request_tries++;
	o->request_at_ns = now_ns + p3_request_ns(o);
}

static void renew(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	join_send(o, now_ns, out);
	if (!p3_is_root(o))
		(void)p3_cell_bind(o, out);
	o->renew_at_ns = now_ns + 2 * p3_request_ns(o);
}

static void lease_lost(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	if (p3_is_root(o))
		state_enter(o, PERRON_OVERLAY_JOINING, now_ns, "its lease ran out");
	else
		p3_join_restart(o, now_ns, "its lease ran out", out);
}

void p3_join_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	bool holds = o->state == PERRON_OVERLAY_JOINED || o->state == PERRON_OVERLAY_ORPHAN;

	if (o->reigning)
		return;
	if (holds && o->lease_until_ns <= now_ns)
		lease_lost(o, now_ns, out);
	if (o->state == PERRON_OVERLAY_JOINED) {
		if (o->renew_at_ns <= now_ns)
			renew(o, now_ns, out);
		return;
	}
	if (o->request_at_ns > now_ns)
		return;
	switch ((enum perron_overlay_state)o->state) {
	case PERRON_OVERLAY_BINDING:
		binding_ask(o, now_ns, out);
		break;
	case PERRON_OVERLAY_BIND:
		bind_ask(o, now_ns, out);
		break;
	case PERRON_OVERLAY_PARENT:
	case PERRON_OVERLAY_ORPHAN:
		parent_ask(o, now_ns, out);
		break;
	case PERRON_OVERLAY_JOINING:
		joining_ask(o, now_ns, out);
		break;
	case PERRON_OVERLAY_JOINED: /* above */
	case PERRON_OVERLAY_LEFT:   /* never ticked */
	case PERRON_OVERLAY_REFUSED:
	case PERRON_OVERLAY_STATE_COUNT:
		break;
	}
}

/* --- the answers --- */

/* Another station with our id: it may be our own past, so a few leases are let go by. */
static void binding_duplicate(struct perron_overlay *o, uint64_t now_ns)
{
	if (!o->duplicate_since_ns)
		o->duplicate_since_ns = now_ns;
	o->why = "another station has this peer id";
	if (now_ns - o->duplicate_since_ns > 3 * o->cfg.lease_ns)
		state_enter(o, PERRON_OVERLAY_REFUSED, now_ns, o->why);
}

static void binding_accepted(struct perron_overlay *o, uint64_t now_ns,
			     const struct perron_binding_reply *reply)
{
	o->position = reply->position;
	o->has_position = true;
	o->duplicate_since_ns = 0;
	o->parents = reply->parents;
	/* Slots spread the children over the parents. */
	o->parent_next = reply->position.slot - 1u;
	p3_cell_set(o, &reply->siblings);
	state_enter(o, PERRON_OVERLAY_BIND, now_ns, "binds to its siblings");
}

void p3_binding_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		      struct perron_effects *out)
{
	struct perron_binding_reply reply;

	(void)out;
	if (!perron_binding_reply_read(event->payload, event->payload_size, &reply)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	if (!p3_portal(o, event->party.id)) {
		p3_drop(o, PERRON_DROP_STRANGER);
		return;
	}
	if (o->state != PERRON_OVERLAY_BINDING || reply.attempt != o->attempt) {
		p3_drop(o, PERRON_DROP_DUPLICATE);
		return;
	}
	/* A redirect says nothing of it: those who do not coordinate send one each time. */
	if (reply.verdict != PERRON_VERDICT_DUPLICATE && reply.verdict != PERRON_VERDICT_REDIRECT)
		o->duplicate_since_ns = 0;
	if (reply.verdict == PERRON_VERDICT_OK) {
		if (reply.position.level && reply.position.level < o->cfg.level_count &&
		    reply.position.slot && reply.parents.count)
			binding_accepted(o, now_ns, &reply);
		else
			p3_drop(o, PERRON_DROP_MALFORMED);
	} else if (reply.verdict == PERRON_VERDICT_REDIRECT) {
		o->redirect = reply.redirect;
		o->request_at_ns = now_ns + P3_MS; /* not at once: two might send it round */
	} else if (reply.verdict == PERRON_VERDICT_DUPLICATE) {
		binding_duplicate(o, now_ns);
	} else if (reply.verdict == PERRON_VERDICT_WAIT) {
		o->why = "waits for a place";
		uint64_t wait_ns = reply.wait_ms < 10000 ? reply.wait_ms * P3_MS : 10000 * P3_MS;
		o->request_at_ns = now_ns + wait_ns + p3_request_ns(o) / 4;
		o->request_tries = 0;
	} else {
		o->why = "the overlay is full";
	}
}

void p3_parent_request(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		       struct perron_effects *out)
{
	struct perron_bind request;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (!perron_bind_read(event->payload, event->payload_size, &request) ||
	    !request.position.level || !request.position.slot) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	struct perron_position above = perron_position_parent(&request.position);
	struct perron_bind_reply reply = {
		.attempt = request.attempt,
		.verdict = PERRON_VERDICT_NOT_JOINED,
		.position = o->position,
	};
	if (!o->has_position)
		return; /* nothing to say: it asks another */
	if (p3_is_joined(o, now_ns) && perron_position_same_cell(&above, &o->position))
		reply.verdict = p3_neighbour_add(o, now_ns, &event->party, &request.position,
						 PERRON_ROLE_CHILD, out)
					? PERRON_VERDICT_OK
					: PERRON_VERDICT_FULL;
	p3_send(o, &event->party, PERRON_TYPE_PARENT_REPLY, payload,
		perron_bind_reply_write(payload, &reply), out);
	if (reply.verdict == PERRON_VERDICT_OK)
		p3_members_send(o, &event->party, out);
}

void p3_parent_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		     struct perron_effects *out)
{
	struct perron_bind_reply reply;
	bool asks = o->state == PERRON_OVERLAY_PARENT || o->state == PERRON_OVERLAY_ORPHAN;

	if (!perron_bind_reply_read(event->payload, event->payload_size, &reply)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	if (!asks || reply.attempt != o->attempt) {
		p3_drop(o, PERRON_DROP_DUPLICATE);
		return;
	}
	if (reply.verdict != PERRON_VERDICT_OK) {
		o->request_at_ns = now_ns + P3_MS; /* the next one, soon */
		return;
	}
	struct perron_position above = perron_position_parent(&o->position);
	if (!perron_position_same_cell(&above, &reply.position) || !reply.position.slot) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	if (!p3_neighbour_add(o, now_ns, &event->party, &reply.position, PERRON_ROLE_PARENT, out))
		return;
	p3_advertise_soon(o, now_ns);
	if (o->state == PERRON_OVERLAY_PARENT) {
		o->join_sent_ns = 0;
		state_enter(o, PERRON_OVERLAY_JOINING, now_ns, "its join climbs");
	} else {
		state_enter(o, PERRON_OVERLAY_JOINED, now_ns, "joined");
		o->renew_at_ns = now_ns;
	}
}

static void join_forward(struct perron_overlay *o, struct perron_join *join,
			 struct perron_effects *out)
{
	struct p3_neighbour *next = join_next(o);
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (!next)
		return; /* the joiner asks again */
	if (join->route_count == PERRON_ROUTE_MAX) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	join->route[join->route_count++] = o->cfg.peer;
	p3_send(o, &next->party, PERRON_TYPE_JOIN, payload, perron_join_write(payload, join), out);
}

void p3_join(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
	     struct perron_effects *out)
{
	struct perron_join join;
	struct perron_join_reply reply = {0};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	struct p3_neighbour *from =
		p3_neighbour_of(o, event, PERRON_ROLE_CHILD | PERRON_ROLE_SIBLING);

	if (!from)
		return;
	if (!perron_join_read(event->payload, event->payload_size, &join) || !join.route_count ||
	    join.route[join.route_count - 1] != event->party.id ||
	    join.route[0] != join.joiner.id) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	if (!o->reigning) {
		/* Siblings carry joins nowhere but to the root's coordinator. */
		if (from->roles & PERRON_ROLE_CHILD)
			join_forward(o, &join, out);
		return;
	}
	if (join.route_count == 1)
		join.joiner.endpoint = from->party.endpoint;
	p3_root_validate(o, now_ns, &join, &reply);
	reply.joiner = join.joiner.id;
	reply.joiner_incarnation = join.joiner.incarnation;
	reply.nonce = join.nonce;
	reply.route_count = join.route_count;
	memcpy(reply.route, join.route, sizeof(reply.route));
	p3_send(o, &from->party, PERRON_TYPE_JOIN_REPLY, payload,
		perron_join_reply_write(payload, &reply), out);
}

static void join_answered(struct perron_overlay *o, uint64_t now_ns,
			  const struct perron_join_reply *reply, struct perron_effects *out)
{
	/* A question that was put twice is answered twice: the first answer counts. */
	if (!o->join_sent_ns || reply->nonce != o->nonce ||
	    reply->joiner_incarnation != o->cfg.incarnation ||
	    (o->state != PERRON_OVERLAY_JOINING && o->state != PERRON_OVERLAY_JOINED)) {
		p3_drop(o, PERRON_DROP_DUPLICATE);
		return;
	}
	if (reply->verdict == PERRON_VERDICT_CONFLICT && !p3_is_root(o)) {
		p3_join_restart(o, now_ns, "another holds its position", out);
		return;
	}
	if (reply->verdict != PERRON_VERDICT_OK)
		return; /* asked again in time */
	o->lease_until_ns = o->join_sent_ns + o->cfg.lease_ns;
	o->join_sent_ns = 0;
	o->epoch = reply->epoch;
	if (!p3_is_root(o)) {
		p3_cell_set(o, &reply->siblings);
		if (reply->parents.count && !o->parents_are_a_view)
			o->parents = reply->parents;
	}
	o->renew_at_ns = now_ns + o->cfg.lease_ns / 4;
	if (o->state == PERRON_OVERLAY_JOINING) {
		state_enter(o, PERRON_OVERLAY_JOINED, now_ns, "joined");
		p3_advertise_soon(o, now_ns);
	}
	p3_changed(o);
}

void p3_join_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		   struct perron_effects *out)
{
	struct perron_join_reply reply;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (!p3_neighbour_of(o, event, PERRON_ROLE_PARENT | PERRON_ROLE_SIBLING))
		return;
	if (!perron_join_reply_read(event->payload, event->payload_size, &reply) ||
	    !reply.route_count || reply.route[reply.route_count - 1] != o->cfg.peer) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	reply.route_count--;
	if (reply.route_count == 0) {
		join_answered(o, now_ns, &reply, out);
		return;
	}
	struct p3_neighbour *next = p3_neighbour(o, reply.route[reply.route_count - 1]);
	if (!next || !(next->roles & PERRON_ROLE_CHILD)) {
		p3_drop(o, PERRON_DROP_NO_LINK);
		return;
	}
	p3_send(o, &next->party, PERRON_TYPE_JOIN_REPLY, payload,
		perron_join_reply_write(payload, &reply), out);
}

void p3_leave(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
	      struct perron_effects *out)
{
	if (event->payload_size) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	p3_link_down(o, now_ns, &event->party, out);
}
