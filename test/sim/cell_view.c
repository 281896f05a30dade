/*
 * Views as they are told to a peer, and what its history says by then. What must hold:
 *
 *	views              one id, one membership, everywhere; numbers grow at each member; a view
 *	                   is of the peer's cell, holds the peer itself, stands in the order of
 *	                   slots and peers, and names lives that there were; the first of a stay is
 *	                   of the peer alone; a regular one follows the transitional one that ends
 *	                   the last
 *	transitional-set   a transitional view is of the regular one that it ends and of the next;
 *	                   who is in it and installs the same next view, came from the same view,
 *	                   and who is not in it did not; all who go on together are told the same
 *	virtual-synchrony  those who go on together were given the same messages in the regular
 *	                   part and the same in the transitional one, the agreed and safe ones in
 *	                   one order; of light-weight groups those that both were in all the time
 *	self-delivery      what a member sent out in a view, it was given before it leaves the view
 *	                   (it was sent out when nothing waits to be sent any more)
 *	light              a group's members are of the regular view, in its order, the peer among
 *	                   them (who has left is not told); at the end of a view, those of a group
 *	                   who go on together agree on who is in it
 */
#include "test/sim/cell.h"

#include <stdlib.h>
#include <string.h>

uint32_t cell_member_index(const struct perron_group_view *v, uint32_t peer, uint32_t incarnation)
{
	for (uint32_t i = 0; i < v->member_count; i++)
		if (v->members[i].peer == peer && v->members[i].incarnation == incarnation)
			return i;
	return SIM_NONE;
}

static bool members_are_equal(const struct perron_group_view *a, const struct perron_group_view *b)
{
	if (a->member_count != b->member_count)
		return false;
	for (uint32_t i = 0; i < a->member_count; i++) {
		const struct perron_group_member *x = &a->members[i];
		const struct perron_group_member *y = &b->members[i];
		if (x->peer != y->peer || x->incarnation != y->incarnation || x->life != y->life ||
		    x->slot != y->slot)
			return false;
	}
	return true;
}

uint32_t cell_view_find(const struct cell *w, const struct perron_group_view *v)
{
	for (uint32_t i = w->view_count; i-- > 0;)
		if (w->views[i].view.cell == v->cell &&
		    perron_group_view_id_equal(&w->views[i].view.id, &v->id))
			return i;
	return SIM_NONE;
}

/* --- a view by itself --- */

static void members_check(struct cell *w, uint32_t node, const struct perron_group_view *v)
{
	const struct sim *s = &w->sim;
	uint32_t id = s->nodes[node].id;

	if (v->self >= v->member_count || v->members[v->self].peer != id ||
	    v->members[v->self].incarnation != w->peers[node].incarnation)
		sim_violation(&w->sim, "views: peer %u is not in its view %u", id, v->id.number);
	for (uint32_t i = 0; i < v->member_count; i++) {
		const struct perron_group_member *m = &v->members[i];
		const struct perron_group_member *next = m + 1;
		uint32_t other = m->peer - 1;
		if (other >= w->plan.peer_count || m->incarnation > w->peers[other].incarnation ||
		    m->slot != w->peers[other].slot)
			sim_violation(&w->sim,
				      "views: peer %u's view %u names %u:%u in slot %u, "
				      "who is none",
				      id, v->id.number, m->peer, m->incarnation, m->slot);
		if (i + 1 < v->member_count &&
		    (m->slot > next->slot || (m->slot == next->slot && m->peer >= next->peer)))
			sim_violation(&w->sim, "views: peer %u's view %u is not in order at %u", id,
				      v->id.number, m->peer);
	}
}

static void view_trace(struct cell *w, uint32_t node, const struct perron_group_view *v)
{
	char text[SIM_TEXT_SIZE] = "";
	int at = 0;

	if (!w->sim.trace)
		return;
	for (uint32_t i = 0; i < v->member_count; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, " %u:%u/%u",
			       v->members[i].peer, v->members[i].incarnation, v->members[i].life);
	sim_trace(&w->sim, "peer %u's %s view %u.%u.%u of cell %llx:%s", w->sim.nodes[node].id,
		  v->transitional ? "transitional" : "regular", v->id.number, v->id.peer,
		  v->id.incarnation, (unsigned long long)v->cell, text);
}

/* --- stays and passages --- */

static uint32_t *by_stay_make(void)
{
	uint32_t *items = calloc(CELL_STAY_COUNT_MAX, sizeof(*items));

	PERRON_ASSERT(items);
	return items;
}

static void stay_begin(struct cell *w, uint32_t node, const struct perron_group_view *v)
{
	struct cell_peer *peer = &w->peers[node];

	PERRON_ASSERT(w->stay_count < CELL_STAY_COUNT_MAX);
	peer->stay = w->stay_count++;
	w->stays[peer->stay] = (struct cell_stay){
	    .node = node,
	    .incarnation = peer->incarnation,
	    .cell = v->cell,
	    .passage = SIM_NONE,
	    .last = by_stay_make(),
	    .seen = by_stay_make(),
	    .scanned = by_stay_make(),
	};
	if (v->member_count != 1)
		sim_violation(&w->sim, "views: peer %u begins with view %u of %u members",
			      w->sim.nodes[node].id, v->id.number, v->member_count);
	if (v->cell != w->plan.cells[0] && v->cell != w->plan.cells[1])
		sim_violation(&w->sim, "views: peer %u begins in cell %llx, which is none",
			      w->sim.nodes[node].id, (unsigned long long)v->cell);
}

void cell_stay_end(struct cell *w, uint32_t node, enum cell_stay_end how)
{
	struct cell_peer *peer = &w->peers[node];

	if (peer->stay == SIM_NONE)
		return;
	struct cell_stay *s = &w->stays[peer->stay];
	s->end = (uint8_t)how;
	w->passages[s->passage].end = s->given_count;
	if (!s->transitional)
		w->passages[s->passage].transitional = s->given_count;
	sim_trace(&w->sim, "peer %u's stay ends: %s", w->sim.nodes[node].id,
		  how == CELL_STAY_LEFT ? "left" : "crashed");
	peer->stay = SIM_NONE;
	peer->piece_count = 0;
}

static uint32_t view_keep(struct cell *w, uint32_t node, const struct perron_group_view *v)
{
	uint32_t index = cell_view_find(w, v);

	if (index != SIM_NONE) {
		if (!members_are_equal(&w->views[index].view, v))
			sim_violation(&w->sim,
				      "views: peer %u's view %u has other members than "
				      "another's of that id",
				      w->sim.nodes[node].id, v->id.number);
		return index;
	}
	w->views = cell_grow(w->views, w->view_count, &w->view_capacity, sizeof(*w->views));
	w->views[w->view_count] = (struct cell_view){.view = *v, .passage = SIM_NONE};
	return w->view_count++;
}

/* The groups that the stay is in as the view begins. */
static uint32_t steady_now(const struct cell *w, uint32_t stay)
{
	const struct cell_stay *s = &w->stays[stay];
	uint32_t steady = 0;

	for (uint32_t group = 1; group <= CELL_GROUP_COUNT; group++)
		if (s->light[group].is_certain)
			steady |= 1u << group;
	return steady;
}

static uint32_t passage_begin(struct cell *w, uint32_t stay, uint32_t view)
{
	struct cell_stay *s = &w->stays[stay];

	w->passages =
	    cell_grow(w->passages, w->passage_count, &w->passage_capacity, sizeof(*w->passages));
	w->passages[w->passage_count] = (struct cell_passage){
	    .stay = stay,
	    .view = view,
	    .before = s->passage,
	    .beside = w->views[view].passage,
	    .steady = steady_now(w, stay),
	    .regular = s->given_count,
	};
	w->views[view].passage = w->passage_count;
	s->passage = w->passage_count++;
	s->transitional = false;
	for (uint32_t group = 1; group <= CELL_GROUP_COUNT; group++)
		s->light[group].is_told = false;
	memset(s->scanned, 0, CELL_STAY_COUNT_MAX * sizeof(*s->scanned));
	return s->passage;
}

/* --- those who go on together --- */

static bool is_comparable(const struct cell *w, uint32_t steady, uint32_t message)
{
	const struct cell_message *m = &w->messages[message];

	return !m->group || (steady >> m->group & 1);
}

static uint32_t *marks_make(struct cell *w)
{
	if (w->marks_capacity <= w->message_count) {
		w->marks_capacity = w->message_count + w->message_capacity + 1;
		w->marks = realloc(w->marks, w->marks_capacity * sizeof(*w->marks));
		PERRON_ASSERT(w->marks);
	}
	memset(w->marks, 0, w->message_count * sizeof(*w->marks));
	return w->marks;
}

/* Of the stay of `a` in first..end - 1: each was given to the stay of `b` in its same part. */
static void part_check(struct cell *w, const struct cell_passage *a, const struct cell_passage *b,
		       bool is_transitional)
{
	const struct cell_stay *x = &w->stays[a->stay];
	const struct cell_stay *y = &w->stays[b->stay];
	uint32_t steady = a->steady & b->steady;
	const uint32_t *marks = w->marks;
	uint32_t first = is_transitional ? a->transitional : a->regular;
	uint32_t end = is_transitional ? a->end : a->transitional;
	uint32_t from = is_transitional ? b->transitional : b->regular;
	uint32_t last = is_transitional ? b->end : b->transitional;
	uint32_t at = from;

	for (uint32_t i = first; i < end; i++) {
		uint32_t m = x->given[i];
		if (!is_comparable(w, steady, m))
			continue;
		if (marks[m] <= from || marks[m] > last) {
			sim_violation(&w->sim,
				      "virtual-synchrony: peer %u was given #%u in the %s "
				      "part of view %u; peer %u, who came along, was not",
				      cell_peer_id(w, a->stay), m,
				      is_transitional ? "transitional" : "regular",
				      w->views[a->view].view.id.number, cell_peer_id(w, b->stay));
			return;
		}
		if (w->messages[m].service < PERRON_GROUP_AGREED)
			continue;
		/* The next of its agreed ones has to be this one. */
		while (w->messages[y->given[at]].service < PERRON_GROUP_AGREED ||
		       !is_comparable(w, steady, y->given[at]))
			at++;
		if (y->given[at++] != m) {
			sim_violation(&w->sim,
				      "virtual-synchrony: in view %u, peer %u was given #%u "
				      "where peer %u, who came along, was given #%u",
				      w->views[a->view].view.id.number, cell_peer_id(w, a->stay), m,
				      cell_peer_id(w, b->stay), y->given[at - 1]);
			return;
		}
	}
}

/* Where the stay of `of` was given each message: one above the place in its history. */
static void marks_fill(struct cell *w, const struct cell_passage *of)
{
	const struct cell_stay *s = &w->stays[of->stay];
	uint32_t *marks = marks_make(w);

	for (uint32_t i = of->regular; i < of->end; i++)
		marks[s->given[i]] = i + 1;
}

static void together_check(struct cell *w, const struct cell_passage *a,
			   const struct cell_passage *b)
{
	for (uint32_t i = 0; i < CELL_GROUP_COUNT; i++)
		if (a->light[i] && b->light[i] && a->light[i] != b->light[i])
			sim_violation(&w->sim,
				      "light: at the end of view %u, peers %u and %u see "
				      "others in group %u",
				      w->views[a->view].view.id.number, cell_peer_id(w, a->stay),
				      cell_peer_id(w, b->stay), i + 1);
	w->counts.together++;
	marks_fill(w, b);
	part_check(w, a, b, false);
	part_check(w, a, b, true);
	marks_fill(w, a);
	part_check(w, b, a, false);
	part_check(w, b, a, true);
}

/* Whether the stay of `other` is of those whom `p` was told to go on with. */
static bool is_told(const struct cell *w, const struct cell_passage *p, uint32_t other)
{
	const struct cell_stay *s = &w->stays[other];
	uint32_t index =
	    cell_member_index(&w->views[p->view].view, cell_peer_id(w, other), s->incarnation);

	return index != SIM_NONE && (p->together >> index & 1);
}

/* Against another who came to the same view. */
static void companion_check(struct cell *w, uint32_t mine, uint32_t others)
{
	const struct cell_passage *m = &w->passages[mine];
	const struct cell_passage *o = &w->passages[others];
	const struct cell_passage *a = m->before == SIM_NONE ? NULL : &w->passages[m->before];
	const struct cell_passage *b = o->before == SIM_NONE ? NULL : &w->passages[o->before];
	bool is_together = a && b && a->view == b->view;
	uint32_t number = w->views[m->view].view.id.number;

	if (a && is_told(w, a, o->stay) != is_together)
		sim_violation(&w->sim, "transitional-set: peer %u came to view %u %s peer %u",
			      cell_peer_id(w, m->stay), number,
			      is_together ? "and was not told of" : "without, but was told of",
			      cell_peer_id(w, o->stay));
	if (b && is_told(w, b, m->stay) != is_together)
		sim_violation(&w->sim, "transitional-set: peer %u came to view %u %s peer %u",
			      cell_peer_id(w, o->stay), number,
			      is_together ? "and was not told of" : "without, but was told of",
			      cell_peer_id(w, m->stay));
	if (!is_together)
		return;
	if (a->together != b->together)
		sim_violation(&w->sim,
			      "transitional-set: peers %u and %u came to view %u together "
			      "and were told of others",
			      cell_peer_id(w, m->stay), cell_peer_id(w, o->stay), number);
	together_check(w, a, b);
}

/* --- the change of a view --- */

static void self_check(struct cell *w, uint32_t stay)
{
	struct cell_stay *s = &w->stays[stay];

	for (; s->self_done < s->sent_out; s->self_done++) {
		uint32_t index = s->sent[s->self_done];
		const struct cell_message *m = &w->messages[index];
		if (m->self_in && !cell_was_given(m, stay))
			sim_violation(&w->sim,
				      "self-delivery: peer %u leaves view %u without its own "
				      "#%u",
				      cell_peer_id(w, stay),
				      w->views[w->passages[s->passage].view].view.id.number, index);
	}
}

/* The view that ends here, and the transitional one, fit the next. */
static void follow_check(struct cell *w, uint32_t node, const struct perron_group_view *v)
{
	const struct cell_stay *s = &w->stays[w->peers[node].stay];
	const struct cell_passage *p = &w->passages[s->passage];
	const struct perron_group_view *old = &w->views[p->view].view;
	uint32_t id = w->sim.nodes[node].id;

	if (v->id.number <= old->id.number)
		sim_violation(&w->sim, "views: peer %u goes from view %u to %u", id, old->id.number,
			      v->id.number);
	if (!s->transitional)
		sim_violation(&w->sim, "views: peer %u goes to view %u without a transitional one",
			      id, v->id.number);
	for (uint32_t i = 0; i < old->member_count; i++) {
		const struct perron_group_member *m = &old->members[i];
		if ((p->together >> i & 1) &&
		    cell_member_index(v, m->peer, m->incarnation) == SIM_NONE)
			sim_violation(&w->sim,
				      "transitional-set: peer %u was told of peer %u, who "
				      "is not in view %u",
				      id, m->peer, v->id.number);
	}
}

static void merge_note(struct cell *w, uint32_t passage)
{
	const struct cell_passage *p = &w->passages[passage];
	const struct cell_passage *o;

	if (p->beside == SIM_NONE || p->before == SIM_NONE)
		return;
	o = &w->passages[p->beside];
	if (o->before != SIM_NONE && o->beside == SIM_NONE &&
	    w->passages[o->before].view != w->passages[p->before].view)
		w->counts.merges++;
}

static void regular_told(struct cell *w, uint32_t node, const struct perron_group_view *v)
{
	struct cell_peer *peer = &w->peers[node];

	if (peer->stay != SIM_NONE && w->stays[peer->stay].cell != v->cell)
		cell_stay_end(w, node, CELL_STAY_LEFT);
	if (peer->stay == SIM_NONE) {
		stay_begin(w, node, v);
	} else {
		follow_check(w, node, v);
		self_check(w, peer->stay);
		struct cell_stay *s = &w->stays[peer->stay];
		struct cell_passage *p = &w->passages[s->passage];
		p->end = s->given_count;
		if (!s->transitional)
			p->transitional = s->given_count;
		for (uint32_t group = 1; group <= CELL_GROUP_COUNT; group++)
			p->light[group - 1] = cell_light_hash(s, group);
	}
	uint32_t view = view_keep(w, node, v);
	uint32_t passage = passage_begin(w, peer->stay, view);
	for (uint32_t i = w->passages[passage].beside; i != SIM_NONE; i = w->passages[i].beside)
		companion_check(w, passage, i);
	merge_note(w, passage);
	w->counts.views++;
	if (w->has_converged)
		sim_violation(&w->sim, "liveness: peer %u changes to view %u, though all was well",
			      w->sim.nodes[node].id, v->id.number);
}

static void transitional_told(struct cell *w, uint32_t node, const struct perron_group_view *v)
{
	struct cell_peer *peer = &w->peers[node];
	uint32_t id = w->sim.nodes[node].id;

	if (peer->stay == SIM_NONE) {
		sim_violation(&w->sim, "views: peer %u begins with a transitional view", id);
		return;
	}
	struct cell_stay *s = &w->stays[peer->stay];
	struct cell_passage *p = &w->passages[s->passage];
	const struct perron_group_view *old = &w->views[p->view].view;
	if (s->transitional || v->cell != old->cell ||
	    !perron_group_view_id_equal(&v->id, &old->id))
		sim_violation(&w->sim, "views: peer %u ends view %u while in %s view %u", id,
			      v->id.number, s->transitional ? "transitional" : "regular",
			      old->id.number);
	s->transitional = true;
	p->transitional = s->given_count;
	p->together = 0;
	for (uint32_t i = 0; i < v->member_count; i++) {
		uint32_t at = cell_member_index(old, v->members[i].peer, v->members[i].incarnation);
		if (at == SIM_NONE)
			sim_violation(&w->sim,
				      "transitional-set: peer %u ends view %u with peer %u, "
				      "who is not of it",
				      id, old->id.number, v->members[i].peer);
		else
			p->together |= 1u << at;
	}
	w->counts.parted += v->member_count < old->member_count;
}

void cell_watch_view(struct cell *w, uint32_t node, const struct perron_group_view *v)
{
	view_trace(w, node, v);
	if (!v->member_count || v->member_count > PERRON_GROUP_MEMBER_COUNT_MAX) {
		sim_violation(&w->sim, "views: peer %u has a view of %u members",
			      w->sim.nodes[node].id, v->member_count);
		return;
	}
	members_check(w, node, v);
	if (v->transitional)
		transitional_told(w, node, v);
	else
		regular_told(w, node, v);
}

/* --- light-weight groups --- */

void cell_watch_light(struct cell *w, uint32_t node, const struct perron_group_light *l)
{
	struct cell_peer *peer = &w->peers[node];
	uint32_t id = w->sim.nodes[node].id;
	uint32_t at = 0;

	if (peer->stay == SIM_NONE || !l->group || l->group > CELL_GROUP_COUNT ||
	    l->member_count > PERRON_GROUP_MEMBER_COUNT_MAX) {
		sim_violation(&w->sim, "light: peer %u is told of group %u of %u members", id,
			      l->group, l->member_count);
		return;
	}
	struct cell_stay *s = &w->stays[peer->stay];
	const struct perron_group_view *v = &w->views[w->passages[s->passage].view].view;
	struct cell_light *light = &s->light[l->group];
	light->is_told = s->wanted >> l->group & 1;
	light->is_certain = light->is_told;
	light->member_count = l->member_count;
	memcpy(light->members, l->members, sizeof(light->members));
	for (uint32_t i = 0; i < l->member_count; i++) {
		while (at < v->member_count && v->members[at].peer != l->members[i])
			at++;
		if (at++ >= v->member_count)
			sim_violation(&w->sim,
				      "light: peer %u is told of peer %u in group %u, not "
				      "of view %u, or not in its order",
				      id, l->members[i], l->group, v->id.number);
	}
	bool leaves = s->leaving >> l->group & 1;
	if (!cell_light_has(light, id))
		s->leaving &= ~(1u << l->group);
	if (!cell_light_has(light, id) && !leaves)
		sim_violation(&w->sim, "light: peer %u is told of group %u without itself", id,
			      l->group);
	w->counts.lights++;
	sim_trace(&w->sim, "peer %u is told of group %u: %u members", id, l->group,
		  l->member_count);
}

/* --- after a step --- */

static void change_note(struct cell *w, uint32_t node, bool in_change)
{
	struct cell_peer *peer = &w->peers[node];

	if (in_change && !peer->in_change) {
		peer->strikes_then = w->strikes;
		cell_ambush(w);
	} else if (peer->in_change && w->strikes - peer->strikes_then > w->counts.cascade_max) {
		w->counts.cascade_max = w->strikes - peer->strikes_then;
	}
	peer->in_change = in_change;
}

void cell_watch_info(struct cell *w, uint32_t node)
{
	struct cell_peer *peer = &w->peers[node];
	struct perron_group_info info;

	cell_info(w, node, &info);
	if (peer->stay != SIM_NONE &&
	    (!info.view.member_count || info.view.cell != w->stays[peer->stay].cell))
		cell_stay_end(w, node, CELL_STAY_LEFT);
	change_note(w, node, info.state > PERRON_GROUP_STATE_OPERATIONAL);
	if (peer->stay == SIM_NONE || info.state != PERRON_GROUP_STATE_OPERATIONAL)
		return;
	struct cell_stay *s = &w->stays[peer->stay];
	const struct perron_group_view *v = &w->views[w->passages[s->passage].view].view;
	if (!perron_group_view_id_equal(&info.view.id, &v->id) ||
	    !members_are_equal(&info.view, v) || s->transitional)
		sim_violation(&w->sim, "views: peer %u says that it is in view %u, and told of %u",
			      w->sim.nodes[node].id, info.view.id.number, v->id.number);
	if (!info.pending)
		s->sent_out = s->sent_count;
}
