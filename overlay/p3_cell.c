/*
 * The agreement inside a cell, at its least: members are whom the root named and who answered a
 * bind; the coordinator is the lowest slot whose link is up.
 */
#include "overlay/p3_private.h"

uint32_t p3_cell_coordinator(const struct perron_overlay *o)
{
	uint32_t coordinator = o->cfg.peer;
	uint8_t slot = o->position.slot;

	for (uint32_t i = 0; i < o->neighbour_count; i++) {
		const struct p3_neighbour *n = &o->neighbours[i];
		if (!(n->roles & PERRON_ROLE_SIBLING) || !n->up || n->position.slot >= slot)
			continue;
		coordinator = n->party.id;
		slot = n->position.slot;
	}
	return coordinator;
}

void p3_cell_set(struct perron_overlay *o, const struct perron_members *siblings)
{
	o->siblings = *siblings;
}

static bool sibling_is_bound(struct perron_overlay *o, const struct perron_member *sibling)
{
	const struct p3_neighbour *n = p3_neighbour(o, sibling->party.id);

	return n && (n->roles & PERRON_ROLE_SIBLING) &&
	       n->party.incarnation == sibling->party.incarnation;
}

static void bind_send(struct perron_overlay *o, const struct perron_party *to,
		      struct perron_effects *out)
{
	struct perron_bind bind = {.attempt = o->attempt, .position = o->position};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	p3_send(o, to, PERRON_TYPE_BIND, payload, perron_bind_write(payload, &bind), out);
}

bool p3_cell_bind(struct perron_overlay *o, struct perron_effects *out)
{
	bool all = true;

	PERRON_ASSERT(o->has_position);
	for (uint32_t i = 0; i < o->siblings.count; i++) {
		const struct perron_member *sibling = &o->siblings.items[i];
		if (sibling->party.id == o->cfg.peer || sibling_is_bound(o, sibling))
			continue;
		bind_send(o, &sibling->party, out);
		all = false;
	}
	return all;
}

/* Whether a position may be a sibling's of ours; of the root cell only as the portal list says. */
static bool is_siblings(const struct perron_overlay *o, const struct perron_event *event,
			const struct perron_position *position)
{
	if (!o->has_position || !perron_position_same_cell(position, &o->position))
		return false;
	if (position->level > 0)
		return position->slot != o->position.slot;
	return position->slot && position->slot <= o->cfg.portal_count &&
	       o->cfg.portal[position->slot - 1].peer == event->party.id;
}

void p3_bind(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
	     struct perron_effects *out)
{
	struct perron_bind bind;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	struct perron_bind_reply reply = {.verdict = PERRON_VERDICT_NOT_JOINED};

	if (!perron_bind_read(event->payload, event->payload_size, &bind)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	reply.attempt = bind.attempt;
	reply.position = o->position;
	if (is_siblings(o, event, &bind.position))
		reply.verdict = p3_neighbour_add(o, now_ns, &event->party, &bind.position,
						 PERRON_ROLE_SIBLING, out)
					? PERRON_VERDICT_OK
					: PERRON_VERDICT_FULL;
	else if (!o->has_position)
		return; /* nothing to say: it asks again */
	else if (perron_position_equal(&bind.position, &o->position))
		reply.verdict = PERRON_VERDICT_CONFLICT;
	p3_send(o, &event->party, PERRON_TYPE_BIND_REPLY, payload,
		perron_bind_reply_write(payload, &reply), out);
}

void p3_bind_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		   struct perron_effects *out)
{
	struct perron_bind_reply reply;

	if (!perron_bind_reply_read(event->payload, event->payload_size, &reply)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	if (reply.attempt != o->attempt || reply.verdict != PERRON_VERDICT_OK ||
	    !is_siblings(o, event, &reply.position)) {
		p3_drop(o, PERRON_DROP_DUPLICATE);
		return;
	}
	(void)p3_neighbour_add(o, now_ns, &event->party, &reply.position, PERRON_ROLE_SIBLING, out);
	if (o->state == PERRON_OVERLAY_BIND)
		o->request_at_ns = now_ns; /* perhaps it was the last */
}
