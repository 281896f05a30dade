/*
 * What only several histories tell, when the run has ended (the order: however it ended):
 *
 *	agreed         any two agreed or safe messages that two stays were given, in one order: over
 *	               views, over partitions, over all time; and there is one order of all
 *	fifo           between two messages of one sender that a stay was given in one view, none
 *	               is missing that was sent in that view
 *	safe           what one was given in a regular view, every member of the view was given in
 *	               it or in its transitional one, but for those that crashed or left before
 *	               another view; in a transitional view, the same of that one's members
 *	self-delivery  who lives was given all that it sent
 *	storm          when all is said, frames are as few as it takes to show that one is there
 *	liveness       everybody is in one view, nothing waits, nothing is unstable; what was sent
 *	               after all was well, all were given; groups have those who joined
 */
#include "test/sim/cell.h"

#include <stdlib.h>
#include <string.h>

static void *zeroed(size_t count, size_t size)
{
	void *at = calloc(count + 1, size);

	PERRON_ASSERT(at);
	return at;
}

static bool is_ordered(const struct cell *w, uint32_t message)
{
	return w->messages[message].service >= PERRON_GROUP_AGREED;
}

/* `places`: where the other stay was given each message, from 1 on; 0: it was not. */
static void pair_check(struct cell *w, uint32_t stay, uint32_t other, const uint32_t *places)
{
	const struct cell_stay *s = &w->stays[stay];
	uint32_t before = SIM_NONE;

	for (uint32_t i = 0; i < s->given_count; i++) {
		uint32_t m = s->given[i];
		if (!is_ordered(w, m) || !places[m])
			continue;
		if (before != SIM_NONE && places[m] < places[before]) {
			sim_violation(&w->sim,
				      "agreed: peer %u was given #%u before #%u, peer %u "
				      "after it",
				      cell_peer_id(w, stay), before, m, cell_peer_id(w, other));
			return;
		}
		before = m;
	}
}

static void pairs_check(struct cell *w)
{
	uint32_t *places = zeroed(w->message_count, sizeof(*places));

	for (uint32_t other = 1; other < w->stay_count; other++) {
		const struct cell_stay *s = &w->stays[other];
		for (uint32_t i = 0; i < s->given_count; i++)
			places[s->given[i]] = i + 1;
		for (uint32_t stay = 0; stay < other; stay++)
			if (w->stays[stay].cell == s->cell)
				pair_check(w, stay, other, places);
		for (uint32_t i = 0; i < s->given_count; i++)
			places[s->given[i]] = 0;
	}
	free(places);
}

/* Who follows whom at once, somewhere: lists in one array, a head for each message. */
struct successions {
	uint32_t *head; /* one above the first; 0: none */
	uint32_t *next;
	uint32_t *to;
	uint32_t *before; /* how many precede a message */
	uint32_t count;
};

static void successions_fill(const struct cell *w, struct successions *o)
{
	for (uint32_t stay = 0; stay < w->stay_count; stay++) {
		const struct cell_stay *s = &w->stays[stay];
		uint32_t last = SIM_NONE;
		for (uint32_t i = 0; i < s->given_count; i++) {
			uint32_t m = s->given[i];
			if (!is_ordered(w, m))
				continue;
			if (last != SIM_NONE) {
				o->to[o->count] = m;
				o->next[o->count] = o->head[last];
				o->head[last] = ++o->count;
				o->before[m]++;
			}
			last = m;
		}
	}
}

/* Takes away what nothing precedes, over and over: what is left goes in a circle. */
static void circle_check(struct cell *w)
{
	size_t given = 0;
	uint32_t done = 0;
	uint32_t ready = 0;

	for (uint32_t i = 0; i < w->stay_count; i++)
		given += w->stays[i].given_count;
	struct successions o = {
	    .head = zeroed(w->message_count, sizeof(uint32_t)),
	    .before = zeroed(w->message_count, sizeof(uint32_t)),
	    .next = zeroed(given, sizeof(uint32_t)),
	    .to = zeroed(given, sizeof(uint32_t)),
	};
	uint32_t *line = zeroed(w->message_count, sizeof(*line));
	successions_fill(w, &o);
	for (uint32_t m = 0; m < w->message_count; m++)
		if (!o.before[m])
			line[ready++] = m;
	while (done < ready)
		for (uint32_t i = o.head[line[done++]]; i; i = o.next[i - 1])
			if (!--o.before[o.to[i - 1]])
				line[ready++] = o.to[i - 1];
	for (uint32_t m = 0; m < w->message_count && ready < w->message_count; m++) {
		if (!o.before[m])
			continue;
		sim_violation(&w->sim, "agreed: no order of all: #%u and others go in a circle", m);
		break;
	}
	free(o.head);
	free(o.before);
	free(o.next);
	free(o.to);
	free(line);
}

/* Of one sender, between the last message given and this one. */
static void gap_check(struct cell *w, const struct cell_passage *p, uint32_t last, uint32_t message)
{
	const struct cell_message *m = &w->messages[message];

	for (uint32_t k = last; k < m->number; k++) {
		uint32_t missing = w->stays[m->stay].sent[k];
		const struct cell_message *o = &w->messages[missing];
		bool is_addressed = !o->group || (p->steady >> o->group & 1);
		/* One that nobody was given, its sender would have been given in a former view. */
		if (!is_addressed || (o->view != p->view && (o->view != SIM_NONE || o->group)))
			continue;
		sim_violation(&w->sim, "fifo: peer %u was given #%u of peer %u without #%u before",
			      cell_peer_id(w, p->stay), message, cell_peer_id(w, m->stay), missing);
		return;
	}
}

static void gaps_check(struct cell *w)
{
	uint32_t *last = zeroed(CELL_STAY_COUNT_MAX, sizeof(*last));
	uint32_t *passages = zeroed(w->message_count, sizeof(*passages));

	for (uint32_t stay = 0; stay < w->stay_count; stay++) {
		const struct cell_stay *s = &w->stays[stay];
		memset(last, 0, CELL_STAY_COUNT_MAX * sizeof(*last));
		for (uint32_t p = s->passage; p != SIM_NONE; p = w->passages[p].before)
			for (uint32_t i = w->passages[p].regular;
			     i < s->given_count && !passages[s->given[i]]; i++)
				passages[s->given[i]] = p + 1;
		for (uint32_t i = 0; i < s->given_count; i++) {
			const struct cell_message *m = &w->messages[s->given[i]];
			gap_check(w, &w->passages[passages[s->given[i]] - 1], last[m->stay],
				  s->given[i]);
			last[m->stay] = m->number + 1;
			passages[s->given[i]] = 0;
		}
	}
	free(passages);
	free(last);
}

/* --- safe --- */

/* The member's way through the view; SIM_NONE: it did not come by. */
static uint32_t passage_of(const struct cell *w, uint32_t view,
			   const struct perron_group_member *member)
{
	for (uint32_t i = w->views[view].passage; i != SIM_NONE; i = w->passages[i].beside) {
		uint32_t stay = w->passages[i].stay;
		if (cell_peer_id(w, stay) == member->peer &&
		    w->stays[stay].incarnation == member->incarnation)
			return i;
	}
	return SIM_NONE;
}

/* A member that never came to the view: it crashed or left on the way. */
static bool is_lost(const struct cell *w, uint32_t view, const struct perron_group_member *member)
{
	for (uint32_t i = 0; i < w->stay_count; i++) {
		const struct cell_stay *s = &w->stays[i];
		if (s->cell == w->views[view].view.cell && s->end != CELL_STAY_LASTS &&
		    cell_peer_id(w, i) == member->peer && s->incarnation == member->incarnation)
			return true;
	}
	return false;
}

static void owed_check(struct cell *w, uint32_t message)
{
	const struct cell_message *m = &w->messages[message];
	const struct perron_group_view *v = &w->views[m->view].view;

	for (uint32_t i = 0; i < v->member_count; i++) {
		if (!(m->owed >> i & 1))
			continue;
		w->counts.owed++;
		uint32_t passage = passage_of(w, m->view, &v->members[i]);
		bool is_well = passage == SIM_NONE && is_lost(w, m->view, &v->members[i]);
		if (passage != SIM_NONE) {
			uint32_t stay = w->passages[passage].stay;
			const struct cell_stay *s = &w->stays[stay];
			is_well = cell_was_given(m, stay) ||
				  (s->end != CELL_STAY_LASTS && s->passage == passage);
		}
		if (is_well)
			continue;
		sim_violation(&w->sim,
			      "safe: peer %u was given #%u in view %u, peer %u of that view "
			      "was not",
			      cell_peer_id(w, m->owed_by), message, v->id.number,
			      v->members[i].peer);
		return;
	}
}

/* --- the end --- */

static void own_check(struct cell *w, uint32_t stay)
{
	const struct cell_stay *s = &w->stays[stay];

	if (s->end != CELL_STAY_LASTS)
		return;
	for (uint32_t i = 0; i < s->sent_count; i++) {
		const struct cell_message *m = &w->messages[s->sent[i]];
		if (!m->self_in || cell_was_given(m, stay))
			continue;
		sim_violation(&w->sim, "self-delivery: peer %u was never given its own #%u",
			      cell_peer_id(w, stay), s->sent[i]);
		return;
	}
}

/* Who has to be given what is sent to a group, once groups do not change any more. */
static bool is_receiver(const struct cell *w, uint32_t node, uint32_t group)
{
	return !group || (w->stays[w->peers[node].stay].wanted >> group & 1);
}

static void tail_check(struct cell *w, uint32_t message)
{
	const struct cell_message *m = &w->messages[message];
	uint64_t from_ns =
	    m->group ? (w->plan.light_quiet_ns + w->plan.quiet_ns) / 2 : w->plan.converged_ns;

	if (m->at_ns < from_ns || !m->self_in)
		return;
	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		if (!is_receiver(w, i, m->group) || cell_was_given(m, w->peers[i].stay))
			continue;
		sim_violation(&w->sim,
			      "liveness: peer %u was not given #%u of peer %u, sent when "
			      "all was well",
			      w->sim.nodes[i].id, message, cell_peer_id(w, m->stay));
		return;
	}
}

static void rest_check(struct cell *w, uint32_t node)
{
	const struct cell_peer *peer = &w->peers[node];
	const struct cell_stay *s = &w->stays[peer->stay];
	struct perron_group_info info;
	uint32_t id = w->sim.nodes[node].id;

	cell_info(w, node, &info);
	if (info.pending || info.unstable)
		sim_violation(&w->sim, "liveness: peer %u has %u packets pending, %u unstable", id,
			      info.pending, info.unstable);
	if (peer->refused && !peer->taken)
		sim_violation(&w->sim, "liveness: peer %u refused all %llu messages", id,
			      (unsigned long long)peer->refused);
	if (peer->piece_count)
		sim_violation(&w->sim, "fragment: peer %u has %u pieces of a message", id,
			      peer->piece_count);
	for (uint32_t group = 1; group <= CELL_GROUP_COUNT; group++) {
		if (!(s->wanted >> group & 1))
			continue;
		for (uint32_t i = 0; i < w->plan.peer_count; i++)
			if (cell_light_has(&s->light[group], w->sim.nodes[i].id) !=
			    is_receiver(w, i, group))
				sim_violation(&w->sim, "liveness: peer %u has peer %u %s group %u",
					      id, w->sim.nodes[i].id,
					      is_receiver(w, i, group) ? "not in" : "in", group);
	}
	if (w->sim.nodes[node].dropped && !w->plan.small_bounds)
		sim_violation(&w->sim, "effects: peer %u found no room for %llu", id,
			      (unsigned long long)w->sim.nodes[node].dropped);
}

/* Beats, asks and hellos, each with its answer; and some more for what ends just then. */
static void storm_check(struct cell *w)
{
	const struct cell_plan *p = &w->plan;
	uint64_t still_ns = p->until_ns - p->still_ns;
	uint64_t links = (uint64_t)p->peer_count * (p->peer_count - 1);
	uint64_t most = links * (4 + 3 * (still_ns / p->relay.detector.interval_ns) +
				 3 * (still_ns / p->relay.group.hello_ns));
	uint64_t sent = w->sim.frames_sent - w->frames_then;

	if (sent > most)
		sim_violation(&w->sim, "storm: %llu frames in the end, when %llu would do",
			      (unsigned long long)sent, (unsigned long long)most);
}

void cell_check_order(struct cell *w)
{
	pairs_check(w);
	circle_check(w);
}

void cell_check_end(struct cell *w)
{
	char text[SIM_TEXT_SIZE / 2] = "";

	gaps_check(w);
	for (uint32_t i = 0; i < w->message_count; i++)
		if (w->messages[i].owed)
			owed_check(w, i);
	for (uint32_t i = 0; i < w->stay_count; i++)
		own_check(w, i);
	if (cell_missing(w, text, sizeof(text))) {
		sim_violation(&w->sim, "liveness: in the end, %s", text);
		return;
	}
	storm_check(w);
	for (uint32_t i = 0; i < w->message_count; i++)
		tail_check(w, i);
	for (uint32_t i = 0; i < w->plan.peer_count; i++)
		rest_check(w, i);
}
