/*
 * The root cell: its members are of the portal list; its view's first member coordinates it.
 * The coordinator gives out positions and validates joins. A new one does not know the leases that
 * its predecessor granted: until they must have run out it confirms, but gives nothing out.
 */
#include "overlay/p3_private.h"

#define WAIT_FOR_PLACE_MS 200u

static uint64_t grace_ns(const struct perron_overlay *o)
{
	return o->registry.rules.keep_ns;
}

static void reign_begin(struct perron_overlay *o, uint64_t now_ns)
{
	perron_registry_clear(&o->registry);
	o->reigning = true;
	o->grace_until_ns = now_ns + grace_ns(o);
	o->expire_at_ns = now_ns + o->cfg.lease_ns / 4;
	o->epoch = (uint64_t)o->cfg.peer << 32 | (uint32_t)(now_ns >> 16);
	o->state = PERRON_OVERLAY_JOINED;
	o->lease_until_ns = UINT64_MAX;
	o->why = "coordinates the root cell";
	p3_changed(o);
}

static void reign_end(struct perron_overlay *o, uint64_t now_ns)
{
	o->reigning = false;
	o->state = PERRON_OVERLAY_JOINING;
	o->lease_until_ns = 0;
	o->join_sent_ns = 0;
	o->request_at_ns = now_ns;
	o->request_tries = 0;
	o->why = "yields to another root peer";
	p3_changed(o);
}

/* The first time, not before the others answered or could have. */
static bool may_elect(const struct perron_overlay *o, uint64_t now_ns)
{
	return o->root_elected || now_ns >= o->root_elect_at_ns || p3_cell_size(o) == o->cfg.portal_count;
}

void p3_root_elect(struct perron_overlay *o, uint64_t now_ns)
{
	if (!p3_is_root(o) || !may_elect(o, now_ns) || o->state == PERRON_OVERLAY_LEFT)
		return;
	o->root_elected = true;
	uint32_t first = p3_cell_coordinator(o);
	bool is_first = first == o->cfg.peer;
	if (first == o->root_coordinator)
		return;
	o->root_coordinator = first;
	if (is_first && !o->reigning) {
		reign_begin(o, now_ns);
	} else if (!is_first && o->reigning) {
		reign_end(o, now_ns);
	} else if (!is_first) {
		o->request_at_ns = now_ns;
		o->renew_at_ns = now_ns;
	}
}

static void root_bind(struct perron_overlay *o, struct perron_effects *out)
{
	struct perron_bind bind = {.attempt = o->attempt, .position = o->position};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	uint32_t size = perron_bind_write(payload, &bind);

	for (uint32_t i = 0; i < o->cfg.portal_count; i++) {
		const struct perron_portal *at = &o->cfg.portal[i];
		const struct p3_neighbour *n = p3_neighbour(o, at->peer);
		if (at->peer == o->cfg.peer || (n && n->up))
			continue;
		struct perron_party to = {.id = at->peer, .endpoint = at->endpoint};
		p3_send(o, &to, PERRON_TYPE_BIND, payload, size, out);
	}
}

void p3_root_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	if (o->root_bind_at_ns <= now_ns) {
		root_bind(o, out);
		o->root_bind_at_ns = now_ns + 2 * p3_request_ns(o);
	}
	if (!o->root_elected && o->root_elect_at_ns <= now_ns)
		p3_root_elect(o, now_ns);
	if (o->reigning && o->expire_at_ns <= now_ns) {
		perron_registry_expire(&o->registry, now_ns);
		o->expire_at_ns = now_ns + o->cfg.lease_ns / 4;
	}
}

static void relatives(struct perron_overlay *o, uint32_t peer,
		      const struct perron_position *position, struct perron_members *siblings,
		      struct perron_members *parents)
{
	struct perron_position above = perron_position_parent(position);

	perron_registry_members(&o->registry, position, peer, false, siblings);
	if (above.level)
		perron_registry_members(&o->registry, &above, 0, true, parents);
	else
		p3_cell_members(o, parents);
}

static void binding_answer(struct perron_overlay *o, const struct perron_party *to,
			   const struct perron_binding_reply *reply, struct perron_effects *out)
{
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	p3_send(o, to, PERRON_TYPE_BINDING_REPLY, payload,
		perron_binding_reply_write(payload, reply), out);
}

/* What an earlier request or life of the peer left; false: this request is to be let alone. */
static bool earlier_entry(struct perron_overlay *o, const struct perron_party *party,
			  uint32_t attempt, struct perron_binding_reply *reply,
			  struct perron_position *place)
{
	struct perron_registry_entry *e = perron_registry_find(&o->registry, party->id);

	if (!e)
		return true;
	if (!perron_endpoint_equal(e->party.endpoint, party->endpoint)) {
		reply->verdict = PERRON_VERDICT_DUPLICATE;
		return true;
	}
	int32_t lives = (int32_t)(party->incarnation - e->party.incarnation);
	int32_t attempts = (int32_t)(attempt - e->attempt);
	if (lives < 0 || (lives == 0 && attempts < 0)) {
		p3_drop(o, PERRON_DROP_DUPLICATE);
		return false;
	}
	if (lives == 0 && attempts == 0) {
		reply->verdict = PERRON_VERDICT_OK; /* the answer was lost */
		reply->position = e->position;
		return true;
	}
	*place = e->position;
	perron_registry_remove(&o->registry, party->id);
	return true;
}

static void place_give(struct perron_overlay *o, uint64_t now_ns, const struct perron_party *party,
		       const struct perron_binding_request *request,
		       const struct perron_position *place, struct perron_binding_reply *reply)
{
	const struct perron_position *wish = request->has_wish ? &request->wish : NULL;
	bool wait;

	if (!wish && place->slot)
		wish = place;
	struct perron_registry_entry *e =
		perron_registry_assign(&o->registry, now_ns, party, wish, &wait);
	if (!e) {
		reply->verdict = wait ? PERRON_VERDICT_WAIT : PERRON_VERDICT_FULL;
		reply->wait_ms = WAIT_FOR_PLACE_MS;
		return;
	}
	e->attempt = request->attempt;
	reply->verdict = PERRON_VERDICT_OK;
	reply->position = e->position;
}

/* Where a peer that does not coordinate sends those who ask. */
static bool coordinator_portal(const struct perron_overlay *o, struct perron_portal *out)
{
	uint32_t coordinator = p3_cell_coordinator(o);

	for (uint32_t i = 0; i < o->cfg.portal_count; i++) {
		if (o->cfg.portal[i].peer != coordinator || coordinator == o->cfg.peer)
			continue;
		*out = o->cfg.portal[i];
		return true;
	}
	return false;
}

void p3_binding_request(struct perron_overlay *o, uint64_t now_ns,
			const struct perron_event *event, struct perron_effects *out)
{
	struct perron_binding_request request;
	struct perron_binding_reply reply = {.verdict = PERRON_VERDICT_WAIT};
	struct perron_position place = {0};

	if (!perron_binding_request_read(event->payload, event->payload_size, &request)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	reply.attempt = request.attempt;
	reply.wait_ms = WAIT_FOR_PLACE_MS;
	if (!o->reigning) {
		if (!p3_is_root(o))
			reply.verdict = PERRON_VERDICT_NOT_JOINED;
		else if (coordinator_portal(o, &reply.redirect))
			reply.verdict = PERRON_VERDICT_REDIRECT;
	} else if (now_ns < o->grace_until_ns) {
		reply.wait_ms = (uint32_t)((o->grace_until_ns - now_ns) / P3_MS) + 1;
	} else if (!earlier_entry(o, &event->party, request.attempt, &reply, &place)) {
		return;
	} else if (reply.verdict == PERRON_VERDICT_WAIT) {
		place_give(o, now_ns, &event->party, &request, &place, &reply);
	}
	if (reply.verdict == PERRON_VERDICT_OK)
		relatives(o, event->party.id, &reply.position, &reply.siblings, &reply.parents);
	binding_answer(o, &event->party, &reply, out);
}

/* A root peer's place follows from the portal list. */
static bool root_is_in_place(const struct perron_overlay *o, const struct perron_join *join)
{
	uint8_t slot = join->position.slot;

	return slot && slot <= o->cfg.portal_count && o->cfg.portal[slot - 1].peer == join->joiner.id;
}

void p3_root_validate(struct perron_overlay *o, uint64_t now_ns, const struct perron_join *join,
		      struct perron_join_reply *reply)
{
	bool stands;

	PERRON_ASSERT(o->reigning);
	if (join->position.level == 0)
		stands = root_is_in_place(o, join);
	else
		stands = perron_registry_confirm(&o->registry, now_ns, &join->joiner,
						 join->attempt, &join->position);
	reply->verdict = stands ? PERRON_VERDICT_OK : PERRON_VERDICT_CONFLICT;
	reply->epoch = o->epoch;
	reply->lease_ms = (uint32_t)(o->cfg.lease_ns / P3_MS);
	if (stands && join->position.level)
		relatives(o, join->joiner.id, &join->position, &reply->siblings, &reply->parents);
}
