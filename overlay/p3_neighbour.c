/* P3's neighbours: who a link is open to, and why. */
#include "overlay/p3_private.h"

struct p3_neighbour *p3_neighbour(struct perron_overlay *o, uint32_t peer)
{
	for (uint32_t i = 0; i < o->neighbour_count; i++)
		if (o->neighbours[i].party.id == peer)
			return &o->neighbours[i];
	return NULL;
}

struct p3_neighbour *p3_neighbour_of(struct perron_overlay *o, const struct perron_event *event,
				     uint8_t role)
{
	struct p3_neighbour *n = p3_neighbour(o, event->party.id);

	if (n && (n->roles & role) && n->party.incarnation == event->party.incarnation)
		return n;
	p3_drop(o, PERRON_DROP_STRANGER);
	return NULL;
}

struct p3_neighbour *p3_parent(struct perron_overlay *o)
{
	for (uint32_t i = 0; i < o->neighbour_count; i++)
		if (o->neighbours[i].roles & PERRON_ROLE_PARENT)
			return &o->neighbours[i];
	return NULL;
}

static void link_command(struct perron_overlay *o, uint8_t kind, const struct perron_party *party,
			 bool is_sibling, struct perron_effects *out)
{
	struct perron_command *command = perron_effects_command(out, 0);

	if (!command) {
		p3_drop(o, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	command->kind = kind;
	command->party = *party;
	command->value = is_sibling;
}

/* Paths that came by a neighbour look for another way. */
static void paths_stir(struct perron_overlay *o, uint64_t now_ns, uint32_t upstream)
{
	for (uint32_t i = 0; i < o->cfg.path_count_max; i++)
		if (o->paths[i].stream && o->paths[i].upstream == upstream)
			p3_path_stir(o, now_ns, o->paths[i].stream);
}

struct p3_neighbour *p3_neighbour_add(struct perron_overlay *o, uint64_t now_ns,
				      const struct perron_party *party,
				      const struct perron_position *position, uint8_t role,
				      struct perron_effects *out)
{
	struct p3_neighbour *n = p3_neighbour(o, party->id);
	uint8_t had = n ? n->roles : 0;

	PERRON_ASSERT(o->has_position && party->id != o->cfg.peer);
	/* A frame of an earlier life, come late: the neighbour is another by now. */
	if (n && (int32_t)(party->incarnation - n->party.incarnation) < 0) {
		p3_drop(o, PERRON_DROP_INCARNATION);
		return NULL;
	}
	if (!n) {
		if (o->neighbour_count == o->cfg.neighbour_count_max)
			return NULL;
		n = &o->neighbours[o->neighbour_count++];
		*n = (struct p3_neighbour){.party = *party};
	} else if (n->party.incarnation != party->incarnation) {
		/* Another life: what the earlier one was is over. */
		perron_directory_forget(&o->directory, party->id);
		paths_stir(o, now_ns, party->id);
		*n = (struct p3_neighbour){.party = *party};
	} else if (!perron_position_equal(&n->position, position)) {
		n->roles = 0;
	}
	n->roles |= role;
	n->position = *position;
	n->party.endpoint = party->endpoint;
	/* Said again if it is open already: the lcore may have judged it down meanwhile. */
	bool is_sibling = (n->roles & PERRON_ROLE_SIBLING) != 0;
	link_command(o, PERRON_COMMAND_LINK_OPEN, party, is_sibling, out);
	if ((had & PERRON_ROLE_SIBLING) && !is_sibling)
		p3_sibling_tell(o, n, out);
	p3_changed(o);
	if (had & ~n->roles & PERRON_ROLE_PARENT)
		p3_parent_lost(o, now_ns, party->id);
	return n;
}

void p3_neighbour_drop(struct perron_overlay *o, uint32_t peer, uint8_t roles, bool say_leave,
		       struct perron_effects *out)
{
	struct p3_neighbour *n = p3_neighbour(o, peer);

	if (!n)
		return;
	uint8_t had = n->roles;
	n->roles &= (uint8_t)~roles;
	p3_changed(o);
	if ((had ^ n->roles) & PERRON_ROLE_SIBLING)
		p3_sibling_tell(o, n, out);
	if (n->roles)
		return;
	if (say_leave)
		p3_send(o, &n->party, PERRON_TYPE_LEAVE, NULL, 0, out);
	link_command(o, PERRON_COMMAND_LINK_CLOSE, &n->party, false, out);
	perron_directory_forget(&o->directory, peer);
	*n = o->neighbours[--o->neighbour_count];
}

void p3_neighbours_drop_all(struct perron_overlay *o, uint8_t roles, struct perron_effects *out)
{
	for (uint32_t i = o->neighbour_count; i-- > 0;)
		p3_neighbour_drop(o, o->neighbours[i].party.id, roles, true, out);
}

void p3_neighbours_assert(struct perron_overlay *o, struct perron_effects *out)
{
	p3_cell_tell(o, out);
	/* Another first each time: a short ring may take but some of them. */
	for (uint32_t i = 0; i < o->neighbour_count; i++) {
		const struct p3_neighbour *n =
			&o->neighbours[(o->assert_first + i) % o->neighbour_count];
		link_command(o, PERRON_COMMAND_LINK_OPEN, &n->party,
			     (n->roles & PERRON_ROLE_SIBLING) != 0, out);
	}
	o->assert_first++;
}

void p3_link_up(struct perron_overlay *o, const struct perron_event *event,
		struct perron_effects *out)
{
	struct p3_neighbour *n = p3_neighbour(o, event->party.id);

	if (!n || n->party.incarnation != event->party.incarnation)
		return; /* dropped since */
	if (n->up)
		return; /* said again */
	n->up = true;
	p3_path_found(o, &n->party, out);
	p3_changed(o);
}

void p3_link_down(struct perron_overlay *o, uint64_t now_ns, const struct perron_party *party,
		  struct perron_effects *out)
{
	struct p3_neighbour *n = p3_neighbour(o, party->id);

	if (!n)
		link_command(o, PERRON_COMMAND_LINK_CLOSE, party, false, out); /* it was not, when said */
	if (!n || n->party.incarnation != party->incarnation)
		return;
	bool was_parent = (n->roles & PERRON_ROLE_PARENT) != 0;
	paths_stir(o, now_ns, party->id);
	p3_path_lost(o, party, out);
	p3_neighbour_drop(o, party->id, UINT8_MAX, false, out);
	if (was_parent)
		p3_parent_lost(o, now_ns, party->id);
}
