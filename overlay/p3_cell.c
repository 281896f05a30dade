/*
 * The cell: its members and its coordinator are those of the view that the cell's group agrees on
 * (ft/group, heard of by events). Who may be a member is told to the group by links: siblings are
 * whom the root named and who answered a bind. A view's first member coordinates. Children are
 * told each view, as the parents they could have.
 */
#include "overlay/p3_private.h"

#define CELL_KEY_FLAG (UINT64_C(1) << 63) /* no cell's key is 0 */

static uint64_t cell_key(const struct perron_overlay *o)
{
	struct perron_position cell = o->position;

	cell.slot = 0;
	return o->has_position ? perron_position_key(&cell) | CELL_KEY_FLAG : 0;
}

/* The view of our present cell; NULL: none yet. */
static const struct perron_group_view *cell_view(const struct perron_overlay *o)
{
	bool is_ours = o->has_position && o->view.member_count && o->view.cell == cell_key(o);

	return is_ours ? &o->view : NULL;
}

uint32_t p3_cell_coordinator(const struct perron_overlay *o)
{
	const struct perron_group_view *view = cell_view(o);

	return view ? view->members[0].peer : o->cfg.peer;
}

uint32_t p3_cell_size(const struct perron_overlay *o)
{
	const struct perron_group_view *view = cell_view(o);

	return view ? view->member_count : 1;
}

void p3_cell_members(struct perron_overlay *o, struct perron_members *out)
{
	const struct perron_group_view *view = cell_view(o);

	out->count = 0;
	out->items[out->count++] =
		(struct perron_member){.party = p3_self(o), .slot = o->position.slot};
	for (uint32_t i = 0; view && i < view->member_count; i++) {
		const struct p3_neighbour *n = p3_neighbour(o, view->members[i].peer);
		if (n && (n->roles & PERRON_ROLE_SIBLING) && out->count < PERRON_CELL_SIZE_MAX)
			out->items[out->count++] = (struct perron_member){
				.party = n->party, .slot = n->position.slot};
	}
}

bool p3_cell_is_told(const struct perron_overlay *o)
{
	return o->cell_told == cell_key(o) &&
	       (!o->has_position || o->slot_told == o->position.slot);
}

void p3_cell_tell(struct perron_overlay *o, struct perron_effects *out)
{
	struct perron_command *command = perron_effects_command(out, 0);

	if (!command) {
		p3_drop(o, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	o->cell_told = cell_key(o);
	o->slot_told = o->has_position ? o->position.slot : 0;
	command->kind = PERRON_COMMAND_CELL;
	command->sequence = o->cell_told;
	command->value = o->slot_told;
}

void p3_sibling_tell(struct perron_overlay *o, const struct p3_neighbour *n,
		     struct perron_effects *out)
{
	struct perron_command *command = perron_effects_command(out, 0);

	if (!command) {
		p3_drop(o, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	command->kind = PERRON_COMMAND_SIBLING;
	command->party = n->party;
	command->value = (n->roles & PERRON_ROLE_SIBLING) != 0;
}

void p3_members_send(struct perron_overlay *o, const struct perron_party *child,
		     struct perron_effects *out)
{
	struct perron_members members;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	p3_cell_members(o, &members);
	p3_send(o, child, PERRON_TYPE_MEMBERS, payload, perron_members_write(payload, &members),
		out);
}

void p3_members(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		struct perron_effects *out)
{
	struct perron_members members;

	(void)now_ns, (void)out;
	if (!p3_neighbour_of(o, event, PERRON_ROLE_PARENT))
		return;
	if (!perron_members_read(event->payload, event->payload_size, &members) ||
	    !members.count) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	o->parents = members;
	o->parents_are_a_view = true;
}

/* Whether less than half of those who were together are. */
static bool is_minority(const struct perron_group_view *before,
			const struct perron_group_view *now)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < before->member_count; i++)
		for (uint32_t k = 0; k < now->member_count; k++)
			kept += before->members[i].peer == now->members[k].peer;
	return 2 * kept < before->member_count;
}

void p3_view_take(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		  struct perron_effects *out)
{
	struct perron_group_view view;

	PERRON_ASSERT(event->payload_size == sizeof(view)); /* our own relay's */
	memcpy(&view, event->payload, sizeof(view));
	if (view.transitional || view.cell != cell_key(o) ||
	    (cell_view(o) && perron_group_view_id_equal(&view.id, &o->view.id)))
		return;
	o->doubt_until_ns = is_minority(&o->view, &view) ? now_ns + o->cfg.lease_ns : 0;
	o->view = view;
	p3_orphans_return(o, now_ns);
	p3_owners_tick(o, now_ns, out);
	p3_advertise_soon(o, now_ns); /* who has just come is to know who publishes what */
	p3_changed(o);
	p3_root_elect(o, now_ns);
	for (uint32_t i = 0; i < o->neighbour_count; i++)
		if (o->neighbours[i].roles & PERRON_ROLE_CHILD)
			p3_members_send(o, &o->neighbours[i].party, out);
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
