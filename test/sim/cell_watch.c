/*
 * Messages as they are given to a peer. What must hold of each, at once:
 *
 *	fragment      pieces of a message follow each other, from the first to the last
 *	no-creation   it was sent by that peer, to the byte, in this cell, to a group that the
 *	              receiver is in, and its sender is of the view
 *	no-duplicate  it was not given to this stay before
 *	sending-view  everybody is given it in one regular view, or in the transitional one that
 *	              ends it; the view is not one that was being changed when it was sent
 *	fifo          no message after a later one of its sender
 *	causal        nothing that it precedes was given before; and all that precedes it, and is
 *	              given in the same regular view, was given before, where the receiver is
 *	              addressed. Causality ends at a change of views (as in EVS); but those who
 *	              move together have been given the same (virtual-synchrony), and what they
 *	              sent themselves (self-delivery)
 *	light         at each agreed message that is given in the regular view, members of a group
 *	              agree on who is in it, from when they were told so until they ask to leave
 *
 * Causal, agreed and safe messages are the causal ones; those of service FIFO precede nothing but
 * their sender's later messages.
 */
#include "test/sim/cell.h"

#include <stdlib.h>
#include <string.h>

bool cell_light_has(const struct cell_light *l, uint32_t peer)
{
	for (uint32_t i = 0; i < l->member_count; i++)
		if (l->members[i] == peer)
			return true;
	return false;
}

bool cell_is_addressed(const struct cell *w, uint32_t stay, const struct cell_message *m)
{
	return !m->group || (w->passages[w->stays[stay].passage].steady >> m->group & 1);
}

static void given_add(struct cell *w, uint32_t stay, uint32_t message)
{
	struct cell_stay *s = &w->stays[stay];

	s->given = cell_grow(s->given, s->given_count, &s->given_capacity, sizeof(*s->given));
	s->given[s->given_count++] = message;
	w->messages[message].given[stay / 64] |= UINT64_C(1) << stay % 64;
}

/* What it is, if it is what was sent; SIM_NONE: a violation. */
static uint32_t content_check(struct cell *w, uint32_t node)
{
	const struct cell_peer *peer = &w->peers[node];
	const struct perron_group_message *m = &peer->piece;
	uint32_t index = cell_message_find(w, m->sender, peer->data, peer->data_size);
	uint32_t id = w->sim.nodes[node].id;

	if (index == SIM_NONE) {
		sim_violation(&w->sim,
			      "no-creation: peer %u was given %u bytes of peer %u that "
			      "nobody sent",
			      id, peer->data_size, m->sender);
		return SIM_NONE;
	}
	const struct cell_message *sent = &w->messages[index];
	bool is_tiny = !cell_message_write(w, index, w->scratch, sent->size);
	if (is_tiny)
		w->scratch[0] = peer->data[0];
	if (cell_peer_id(w, sent->stay) != m->sender || sent->size != peer->data_size ||
	    sent->group != m->group || sent->service != m->service ||
	    memcmp(w->scratch, peer->data, sent->size) != 0) {
		sim_violation(&w->sim,
			      "no-creation: peer %u was given #%u of peer %u, %u bytes, %s, "
			      "group %u: not as it was sent",
			      id, index, m->sender, peer->data_size,
			      perron_group_service_name(m->service), m->group);
		return SIM_NONE;
	}
	if (w->stays[sent->stay].cell != w->stays[peer->stay].cell) {
		sim_violation(&w->sim,
			      "no-creation: peer %u was given #%u of peer %u, of another "
			      "cell",
			      id, index, m->sender);
		return SIM_NONE;
	}
	return index;
}

static void receiver_check(struct cell *w, uint32_t node, uint32_t index)
{
	const struct cell_stay *s = &w->stays[w->peers[node].stay];
	const struct cell_message *m = &w->messages[index];
	const struct cell_stay *from = &w->stays[m->stay];
	const struct cell_passage *p = &w->passages[s->passage];
	uint32_t id = w->sim.nodes[node].id;

	if (m->group && !((s->wanted | s->leaving) >> m->group & 1))
		sim_violation(&w->sim,
			      "no-creation: peer %u was given #%u to group %u, not its own", id,
			      index, m->group);
	if (cell_member_index(&w->views[p->view].view, cell_peer_id(w, m->stay),
			      from->incarnation) == SIM_NONE)
		sim_violation(&w->sim,
			      "no-creation: peer %u was given #%u of %u:%u, not of view %u", id,
			      index, cell_peer_id(w, m->stay), from->incarnation,
			      w->views[p->view].view.id.number);
	if (w->peers[node].piece.transitional != s->transitional)
		sim_violation(&w->sim, "views: peer %u was given #%u as %s while in a %s view", id,
			      index, s->transitional ? "regular" : "transitional",
			      s->transitional ? "transitional" : "regular");
}

static void view_check(struct cell *w, uint32_t node, uint32_t index)
{
	const struct cell_stay *s = &w->stays[w->peers[node].stay];
	struct cell_message *m = &w->messages[index];
	uint32_t view = w->passages[s->passage].view;

	if (m->view == SIM_NONE)
		m->view = view;
	else if (m->view != view)
		sim_violation(&w->sim,
			      "sending-view: peer %u was given #%u in view %u, others in %u",
			      w->sim.nodes[node].id, index, w->views[view].view.id.number,
			      w->views[m->view].view.id.number);
	if (m->in_change && m->view_then == view)
		sim_violation(&w->sim,
			      "sending-view: peer %u was given #%u in view %u, which was "
			      "being changed when it was sent",
			      w->sim.nodes[node].id, index, w->views[view].view.id.number);
}

/* Everything in its past that this view gives and this stay is given was given before. */
static void past_check(struct cell *w, uint32_t stay, uint32_t index)
{
	struct cell_stay *s = &w->stays[stay];
	const struct cell_message *m = &w->messages[index];
	uint32_t view = w->passages[s->passage].view;

	for (uint32_t i = 0; i < m->past_count; i++) {
		uint32_t first = s->last[i] > s->scanned[i] ? s->last[i] : s->scanned[i];
		for (uint32_t k = first; k < m->past[i] && i != m->stay; k++) {
			uint32_t other = w->stays[i].sent[k];
			const struct cell_message *o = &w->messages[other];
			if (o->service == PERRON_GROUP_FIFO || o->view != view ||
			    !cell_is_addressed(w, stay, o))
				continue;
			sim_violation(&w->sim,
				      "causal: peer %u was given #%u without #%u of peer %u, "
				      "which precedes it",
				      cell_peer_id(w, stay), index, other, cell_peer_id(w, i));
			return;
		}
		if (m->past[i] > s->scanned[i])
			s->scanned[i] = m->past[i];
	}
}

static void past_add(struct cell_stay *s, const struct cell_message *m)
{
	for (uint32_t i = 0; i < m->past_count; i++)
		if (m->past[i] > s->seen[i])
			s->seen[i] = m->past[i];
	if (m->number >= s->seen[m->stay])
		s->seen[m->stay] = m->number + 1;
}

static void order_check(struct cell *w, uint32_t stay, uint32_t index)
{
	struct cell_stay *s = &w->stays[stay];
	const struct cell_message *m = &w->messages[index];

	if (m->number < s->last[m->stay])
		sim_violation(&w->sim, "fifo: peer %u was given #%u after #%u of peer %u",
			      cell_peer_id(w, stay), index,
			      w->stays[m->stay].sent[s->last[m->stay] - 1],
			      cell_peer_id(w, m->stay));
	else
		s->last[m->stay] = m->number + 1;
	if (m->service == PERRON_GROUP_FIFO)
		return;
	if (m->number < s->seen[m->stay])
		sim_violation(&w->sim,
			      "causal: peer %u was given #%u of peer %u after what it "
			      "precedes",
			      cell_peer_id(w, stay), index, cell_peer_id(w, m->stay));
	past_check(w, stay, index);
	past_add(s, m);
}

uint64_t cell_light_hash(const struct cell_stay *s, uint32_t group)
{
	const struct cell_light *l = &s->light[group];
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ l->member_count;

	if (!l->is_told)
		return 0;
	for (uint32_t i = 0; i < l->member_count; i++)
		hash = (hash ^ l->members[i]) * UINT64_C(0x100000001b3);
	return hash | 1;
}

static void light_check(struct cell *w, uint32_t stay, uint32_t index)
{
	const struct cell_stay *s = &w->stays[stay];
	struct cell_message *m = &w->messages[index];

	for (uint32_t group = 1; group <= CELL_GROUP_COUNT; group++) {
		uint64_t hash = cell_light_hash(s, group);
		if (!m->light[group - 1])
			m->light[group - 1] = hash;
		else if (hash && m->light[group - 1] != hash)
			sim_violation(&w->sim,
				      "light: at #%u, peer %u sees others in group %u than "
				      "another of the group",
				      index, cell_peer_id(w, stay), group);
	}
}

/* Who must be given it as well: in the regular view its members, in the transitional one those. */
static void owed_note(struct cell *w, uint32_t stay, uint32_t index)
{
	const struct cell_stay *s = &w->stays[stay];
	const struct cell_passage *p = &w->passages[s->passage];
	const struct perron_group_view *v = &w->views[p->view].view;
	struct cell_message *m = &w->messages[index];
	uint32_t all = s->transitional ? p->together : (1u << v->member_count) - 1;

	if (m->group && !s->light[m->group].is_told)
		return;
	for (uint32_t i = 0; i < v->member_count; i++)
		if (m->group && !cell_light_has(&s->light[m->group], v->members[i].peer))
			all &= ~(1u << i);
	if (all & ~m->owed)
		m->owed_by = stay;
	m->owed |= all;
}

static void message_given(struct cell *w, uint32_t node)
{
	uint32_t stay = w->peers[node].stay;
	uint32_t index = content_check(w, node);

	if (index == SIM_NONE)
		return;
	struct cell_message *m = &w->messages[index];
	sim_trace(&w->sim, "peer %u is given #%u of peer %u: %s, group %u%s", w->sim.nodes[node].id,
		  index, cell_peer_id(w, m->stay), perron_group_service_name(m->service), m->group,
		  w->stays[stay].transitional ? ", transitional" : "");
	if (cell_was_given(m, stay)) {
		sim_violation(&w->sim, "no-duplicate: peer %u was given #%u of peer %u again",
			      w->sim.nodes[node].id, index, cell_peer_id(w, m->stay));
		return;
	}
	receiver_check(w, node, index);
	view_check(w, node, index);
	order_check(w, stay, index);
	given_add(w, stay, index);
	if (m->service >= PERRON_GROUP_AGREED && !w->stays[stay].transitional)
		light_check(w, stay, index);
	if (m->service == PERRON_GROUP_SAFE)
		owed_note(w, stay, index);
	w->counts.given[w->stays[stay].transitional][m->service]++;
	w->counts.light_given += m->group != 0;
	w->counts.fragmented += w->peers[node].piece.fragment_count > 1;
	sim_digest_word(&w->sim, (uint64_t)node << 32 | index);
}

static bool piece_fits(const struct cell_peer *peer, const struct perron_group_message *m)
{
	const struct perron_group_message *first = &peer->piece;

	if (m->fragment_index != peer->piece_count || m->fragment_index >= m->fragment_count)
		return false;
	return !m->fragment_index ||
	       (m->fragment_count == first->fragment_count && m->sender == first->sender &&
		m->group == first->group && m->service == first->service &&
		m->transitional == first->transitional);
}

void cell_watch_message(struct cell *w, uint32_t node, const struct perron_group_message *m)
{
	struct cell_peer *peer = &w->peers[node];
	uint32_t room = w->size_max - (peer->piece_count ? peer->data_size : 0);
	uint32_t id = w->sim.nodes[node].id;

	if (peer->stay == SIM_NONE) {
		sim_violation(&w->sim, "views: peer %u was given a message in no view", id);
		return;
	}
	if (!piece_fits(peer, m) || m->size > room || m->service >= PERRON_GROUP_SERVICE_COUNT ||
	    m->group > CELL_GROUP_COUNT) {
		sim_violation(&w->sim,
			      "fragment: peer %u was given piece %u of %u of peer %u, "
			      "after %u of %u of peer %u",
			      id, m->fragment_index, m->fragment_count, m->sender,
			      peer->piece_count, peer->piece.fragment_count, peer->piece.sender);
		peer->piece_count = 0;
		return;
	}
	if (!peer->piece_count++) {
		peer->piece = *m;
		peer->piece.data = NULL;
		peer->data_size = 0;
	}
	memcpy(peer->data + peer->data_size, m->data, m->size);
	peer->data_size += m->size;
	if (peer->piece_count < m->fragment_count)
		return;
	peer->piece_count = 0;
	message_given(w, node);
}
