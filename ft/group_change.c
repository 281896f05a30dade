/*
 * A change of views: the leader asks the candidates for their state, says who will be a member, and
 * these recover from each other what is missing of the view they come from. group_view.c has the
 * table of states.
 */
#include <string.h>

#include "ft/group_private.h"

static void change_send(struct perron_group *g, uint64_t now_ns, uint32_t to,
			const uint8_t *payload, uint32_t size, struct perron_effects *out)
{
	const struct group_change *c = &g->change;

	for (uint32_t i = 0; i < c->candidate_count; i++)
		if (i != c->self && (to & group_bit(i)))
			group_send(g, now_ns, c->candidates[i].peer, payload, size, out);
}

/* `flags`: ANSWER, to be told again what was lost. An answer asks for none. */
static void state_tell(struct perron_group *g, uint64_t now_ns, uint32_t to, uint8_t flags,
		       struct perron_effects *out)
{
	struct group_change *c = &g->change;

	c->told[1] = flags | (c->committed ? 0 : GROUP_FLAG_FROZEN);
	change_send(g, now_ns, to, c->told, c->told_size, out);
}

static void commit_tell(struct perron_group *g, uint64_t now_ns, uint32_t to,
			struct perron_effects *out)
{
	const struct group_change *c = &g->change;
	struct group_head head = {
		.kind = GROUP_COMMIT, .index = c->self, .cell = g->cell, .view = c->id};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	struct perron_writer w = group_head_write(payload, &head);

	perron_write32(&w, c->first);
	perron_write32(&w, c->committed);
	change_send(g, now_ns, to, payload, perron_writer_size(&w), out);
}

static void ready_tell(struct perron_group *g, uint64_t now_ns, uint32_t to,
		       struct perron_effects *out)
{
	const struct group_change *c = &g->change;
	struct group_head head = {
		.kind = GROUP_READY, .index = c->self, .cell = g->cell, .view = c->id};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	struct perron_writer w = group_head_write(payload, &head);

	change_send(g, now_ns, to, payload, perron_writer_size(&w), out);
}

static void refuse_tell(struct perron_group *g, uint64_t now_ns,
			const struct perron_group_view_id *id, uint32_t peer,
			struct perron_effects *out)
{
	struct group_head head = {.kind = GROUP_REFUSE, .cell = g->cell, .view = *id};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	struct perron_writer w = group_head_write(payload, &head);

	perron_write32(&w, g->number);
	group_send(g, now_ns, peer, payload, perron_writer_size(&w), out);
}

/* What we bring into the change; from here on it stays so. */
static void own_state(struct perron_group *g)
{
	struct group_change *c = &g->change;
	struct group_state *state = &c->states[c->self];
	struct group_head head = {
		.kind = GROUP_STATE,
		.index = c->self,
		.cell = g->cell,
		.view = c->id,
	};

	*state = (struct group_state){.view = g->view.id, .member_count = g->view.member_count};
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		state->received[i] = g->streams[i].received;
		state->clock[i] = i == g->view.self ? serial_max(g->clock, g->promised)
						    : g->streams[i].clock;
		state->stable[i] = g->streams[i].stable;
	}
	for (uint32_t i = 0; i < c->candidate_count; i++)
		if (i == c->self || group_is_linked(group_sibling(g, c->candidates[i].peer)))
			state->reach |= group_bit(i);
	c->stated |= group_bit(c->self);
	c->told_size = group_state_write(c->told, &head, c, state);
}

static uint32_t all_candidates(const struct group_change *c)
{
	return (uint32_t)((1ull << c->candidate_count) - 1);
}

static void change_enter(struct perron_group *g, uint64_t now_ns, uint64_t patience_ns,
			 struct perron_effects *out)
{
	struct group_change *c = &g->change;

	g->needed_since_ns = 0;
	g->is_put_off = false;
	c->active = true;
	c->stated = 0;
	c->committed = 0;
	c->ready = 0;
	c->is_merged = false;
	c->expires_ns = now_ns + patience_ns;
	c->resend_at_ns = now_ns + g->cfg.resend_ns;
	g->state = PERRON_GROUP_STATE_GATHER;
	g->number = serial_max(g->number, c->id.number);
	own_state(g);
	state_tell(g, now_ns, all_candidates(c), 0, out);
}

void group_change_begin(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	struct group_change *c = &g->change;

	c->id = (struct perron_group_view_id){++g->number, group_self_peer(g),
					      g->relay->cfg.incarnation};
	c->candidate_count = (uint8_t)group_wanted_list(g, c->candidates);
	c->self = 0;
	while (c->candidates[c->self].peer != group_self_peer(g))
		c->self++;
	g->change_tries++;
	g->change_not_before_ns = now_ns + g->cfg.resend_ns;
	g->counters.attempts++;
	change_enter(g, now_ns, g->cfg.attempt_ns, out);
}

static bool is_led_here(const struct perron_group *g)
{
	return g->change.id.peer == group_self_peer(g);
}

void group_change_drop(struct perron_group *g)
{
	g->change.active = false;
	g->state = PERRON_GROUP_STATE_GATHER;
	g->evaluate = true;
}

static int candidate_index(const struct group_change *c, uint32_t peer)
{
	for (uint32_t i = 0; i < c->candidate_count; i++)
		if (c->candidates[i].peer == peer)
			return (int)i;
	return -1;
}

/* --- STATE --- */

/* A state of our own view says nothing that cannot be. */
static bool state_is_possible(const struct perron_group *g, const struct group_state *state)
{
	int32_t most = 2 * (int32_t)group_ring_size(g);

	if (!perron_group_view_id_equal(&state->view, &g->view.id))
		return true;
	if (state->member_count != g->view.member_count)
		return false;
	for (uint32_t i = 0; i < state->member_count; i++) {
		const struct group_stream *s = &g->streams[i];
		if (serial_ahead(state->received[i], s->freed) > most ||
		    serial_ahead(state->stable[i], s->freed) > most ||
		    serial_ahead(state->received[i], state->stable[i]) < 0 ||
		    serial_ahead(state->clock[i], g->clock) > (int32_t)GROUP_CLOCK_AHEAD_MAX)
			return false;
	}
	return serial_ahead(state->received[g->view.self], g->sent) <= 0;
}

/* Whether a change may be followed; if not, its leader is told the number to surpass. */
static bool may_follow(struct perron_group *g, const struct group_change *other)
{
	struct group_sibling *leader = group_sibling(g, other->id.peer);

	if (!group_is_linked(leader) || leader->incarnation != other->id.incarnation ||
	    !group_number_is_possible(g, other->id.number) ||
	    g->state == PERRON_GROUP_STATE_INSTALL)
		return false;
	leader->excluded_until_ns = 0; /* it wants us */
	if (group_leader(g) != leader->peer ||
	    serial_ahead(other->id.number, g->view.id.number) <= 0)
		return false;
	return g->change.id.peer != other->id.peer ||
	       g->change.id.incarnation != other->id.incarnation ||
	       serial_ahead(other->id.number, g->change.id.number) > 0;
}

static void state_record(struct perron_group *g, uint64_t now_ns, uint32_t from,
			 const struct group_state *state, uint8_t flags, struct perron_effects *out)
{
	struct group_change *c = &g->change;

	if (!(c->stated & group_bit(from))) {
		c->states[from] = *state;
		c->stated |= group_bit(from);
		return;
	}
	if (!(flags & GROUP_FLAG_ANSWER))
		return;
	if ((flags & GROUP_FLAG_FROZEN) && c->committed && is_led_here(g))
		commit_tell(g, now_ns, group_bit(from), out);
	if (c->ready & group_bit(c->self))
		ready_tell(g, now_ns, group_bit(from), out);
	if (!c->active)
		state_tell(g, now_ns, group_bit(from), 0, out);
}

static bool same_candidates(const struct group_change *a, const struct group_change *b)
{
	bool same = a->candidate_count == b->candidate_count;

	for (uint32_t i = 0; i < a->candidate_count && same; i++)
		same = group_member_equal(&a->candidates[i], &b->candidates[i]);
	return same;
}

enum perron_drop group_state(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			     struct group_sibling *s, struct perron_reader *r,
			     struct perron_effects *out)
{
	struct group_change *c = &g->change;
	struct group_change other;
	struct group_state state;
	struct perron_group_member self = group_self_member(g);

	if (!group_state_read(r, &other, &state))
		return PERRON_DROP_MALFORMED;
	other.id = head->view;
	int own = candidate_index(&other, self.peer);
	if (other.candidate_count > g->cfg.member_count_max)
		return PERRON_DROP_GROUP_FULL;
	if (head->index >= other.candidate_count || candidate_index(&other, other.id.peer) < 0 ||
	    other.candidates[head->index].peer != s->peer ||
	    other.candidates[head->index].incarnation != s->incarnation || own < 0)
		return PERRON_DROP_NOT_MEMBER;
	if (!state_is_possible(g, &state))
		return PERRON_DROP_IMPOSSIBLE_SEQUENCE;
	if (!perron_group_view_id_equal(&c->id, &other.id)) {
		if (!group_member_equal(&other.candidates[own], &self) || !may_follow(g, &other)) {
			if (s->peer == other.id.peer) {
				g->hello = true;
				refuse_tell(g, now_ns, &other.id, s->peer, out);
			}
			return PERRON_DROP_OLD_VIEW;
		}
		c->id = other.id;
		c->candidate_count = other.candidate_count;
		c->self = (uint8_t)own;
		memcpy(c->candidates, other.candidates, sizeof(c->candidates));
		change_enter(g, now_ns, GROUP_FOLLOWER_PATIENCE * g->cfg.attempt_ns, out);
	} else if (!same_candidates(c, &other)) {
		return PERRON_DROP_NOT_MEMBER;
	}
	state_record(g, now_ns, head->index, &state, head->flags, out);
	return PERRON_DROP_NONE;
}

enum perron_drop group_refuse(struct perron_group *g, const struct group_head *head,
			      struct group_sibling *s, struct perron_reader *r)
{
	uint32_t number = perron_read32(r);

	if (!perron_reader_done(r))
		return PERRON_DROP_MALFORMED;
	if (candidate_index(&g->change, s->peer) < 0)
		return PERRON_DROP_NOT_MEMBER;
	if (!group_number_is_possible(g, number))
		return PERRON_DROP_IMPOSSIBLE_SEQUENCE;
	if (!g->change.active || !is_led_here(g) || g->change.committed ||
	    !perron_group_view_id_equal(&head->view, &g->change.id))
		return PERRON_DROP_OLD_VIEW;
	if (serial_ahead(number, g->change.id.number) > 0) {
		g->number = serial_max(g->number, number);
		group_change_drop(g);
	}
	return PERRON_DROP_NONE;
}

/* --- COMMIT --- */

/* Of the candidates those who reach each other, the leader first. */
static uint32_t decide(const struct group_change *c)
{
	uint32_t chosen = group_bit(c->self);

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		bool all = true;
		for (uint32_t k = 0; k < c->candidate_count && all; k++)
			if (chosen & group_bit(k))
				all = (c->states[i].reach & group_bit(k)) &&
				      (c->states[k].reach & group_bit(i));
		if (all)
			chosen |= group_bit(i);
	}
	return chosen;
}

static void left_out(struct perron_group *g, uint64_t now_ns)
{
	const struct group_change *c = &g->change;

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		struct group_sibling *s = group_sibling(g, c->candidates[i].peer);
		if (s && (c->committed & group_bit(i)))
			s->excluded_until_ns = now_ns + g->cfg.exclude_ns;
	}
	group_shunned(g);
	group_change_drop(g);
}

static void committed(struct perron_group *g, uint64_t now_ns, uint64_t patience_ns)
{
	struct group_change *c = &g->change;

	if (!(c->committed & group_bit(c->self))) {
		left_out(g, now_ns);
		return;
	}
	g->state = PERRON_GROUP_STATE_RECOVER;
	c->expires_ns = now_ns + patience_ns;
}

enum perron_drop group_commit(struct perron_group *g, uint64_t now_ns,
			      const struct group_head *head, struct group_sibling *s,
			      struct perron_reader *r)
{
	struct group_change *c = &g->change;
	uint32_t first = perron_read32(r);
	uint32_t members = perron_read32(r);

	if (!perron_reader_done(r) || !members)
		return PERRON_DROP_MALFORMED;
	if (!perron_group_view_id_equal(&head->view, &c->id) || !c->active)
		return PERRON_DROP_OLD_VIEW;
	if (s->peer != c->id.peer || s->incarnation != c->id.incarnation ||
	    (members & ~all_candidates(c)))
		return PERRON_DROP_NOT_MEMBER;
	if (c->committed)
		return PERRON_DROP_DUPLICATE;
	c->first = first;
	c->committed = members;
	committed(g, now_ns, GROUP_FOLLOWER_PATIENCE * g->cfg.attempt_ns);
	return PERRON_DROP_NONE;
}

enum perron_drop group_ready(struct perron_group *g, const struct group_head *head,
			     struct group_sibling *s)
{
	struct group_change *c = &g->change;

	if (!perron_group_view_id_equal(&head->view, &c->id))
		return PERRON_DROP_OLD_VIEW;
	if (head->index >= c->candidate_count || c->candidates[head->index].peer != s->peer ||
	    c->candidates[head->index].incarnation != s->incarnation)
		return PERRON_DROP_NOT_MEMBER;
	c->ready |= group_bit(head->index);
	return PERRON_DROP_NONE;
}

/* --- RECOVER --- */

static void state_merge(struct perron_group *g)
{
	struct group_change *c = &g->change;
	uint32_t mask = group_companions(g);
	struct group_state *m = &c->merged;

	*m = c->states[c->self];
	for (uint32_t i = 0; i < c->candidate_count; i++) {
		if (!(mask & group_bit(i)))
			continue;
		for (uint32_t k = 0; k < g->view.member_count; k++) {
			m->received[k] = serial_max(m->received[k], c->states[i].received[k]);
			m->clock[k] = serial_max(m->clock[k], c->states[i].clock[k]);
			m->stable[k] = serial_max(m->stable[k], c->states[i].stable[k]);
		}
	}
	c->is_merged = true;
	for (uint32_t k = 0; k < g->view.member_count; k++) {
		g->streams[k].nack_at_ns = 0;
		g->streams[k].nack_tries = 0;
	}
}

/* Whom to ask for what is missing of a member's packets: in turn those who have it. */
static uint32_t recover_holder(const struct perron_group *g, uint32_t index)
{
	const struct group_change *c = &g->change;
	uint32_t mask = group_companions(g) & ~group_bit(c->self);
	uint32_t tries = g->streams[index].nack_tries;

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		uint32_t k = (tries + i) % c->candidate_count;
		if ((mask & group_bit(k)) &&
		    serial_ahead(c->states[k].received[index], g->streams[index].received) > 0)
			return c->candidates[k].peer;
	}
	return 0;
}

/* True: nothing is missing any more. */
static bool recover(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	const struct group_state *m = &g->change.merged;
	bool all = true;

	for (uint32_t i = 0; i < g->view.member_count; i++) {
		struct group_stream *s = &g->streams[i];
		if (s->received == m->received[i])
			continue;
		all = false;
		if (s->nack_at_ns > now_ns)
			continue;
		group_nack_send(g, now_ns, i, m->received[i], recover_holder(g, i), out);
		s->nack_tries++;
		s->nack_at_ns = now_ns + g->cfg.resend_ns;
	}
	return all;
}

/* What those of our view know between them becomes what each of them knows. */
static void merged_take(struct perron_group *g)
{
	const struct group_state *m = &g->change.merged;

	for (uint32_t i = 0; i < g->view.member_count; i++) {
		struct group_stream *s = &g->streams[i];
		PERRON_ASSERT(s->received == m->received[i]);
		s->announced = s->received;
		s->clock = m->clock[i];
		s->stable = serial_max(s->stable, m->stable[i]);
	}
	g->state = PERRON_GROUP_STATE_INSTALL;
	g->ending = GROUP_ENDING_REGULAR;
}

static void recover_advance(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	struct group_change *c = &g->change;

	if ((c->stated & c->committed) != c->committed)
		return;
	if (!c->is_merged)
		state_merge(g);
	if (!(c->ready & group_bit(c->self))) {
		if (!recover(g, now_ns, out))
			return;
		c->ready |= group_bit(c->self);
		ready_tell(g, now_ns, c->committed, out);
	}
	if ((c->ready & c->committed) == c->committed)
		merged_take(g);
}

/* As far as it goes now: to INSTALL, when all that is known of the old view is here. */
void group_change_advance(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	struct group_change *c = &g->change;

	if (c->active && g->state == PERRON_GROUP_STATE_GATHER && is_led_here(g) &&
	    c->stated == all_candidates(c)) {
		c->first = g->cfg.sequence_first;
		c->committed = decide(c);
		commit_tell(g, now_ns, all_candidates(c), out);
		committed(g, now_ns, g->cfg.attempt_ns);
	}
	if (c->active && g->state == PERRON_GROUP_STATE_RECOVER)
		recover_advance(g, now_ns, out);
}

/* --- time --- */

bool group_change_is_hopeless(struct perron_group *g)
{
	const struct group_change *c = &g->change;
	uint32_t needed = c->committed ? c->committed : all_candidates(c);

	if (!is_led_here(g))
		return !group_is_reached(group_sibling(g, c->id.peer)) ||
		       group_leader(g) != c->id.peer;
	for (uint32_t i = 0; i < c->candidate_count; i++)
		if (i != c->self && (needed & group_bit(i)) &&
		    !group_member_sibling(g, &c->candidates[i]))
			return true;
	return group_leader(g) != group_self_peer(g);
}

static void silent_exclude(struct perron_group *g, uint64_t now_ns)
{
	const struct group_change *c = &g->change;
	uint32_t silent = c->committed ? c->committed & ~c->ready : all_candidates(c) & ~c->stated;

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		struct group_sibling *s = group_sibling(g, c->candidates[i].peer);
		if (s && (silent & group_bit(i)))
			s->excluded_until_ns = now_ns + g->cfg.exclude_ns;
	}
	g->hello = true;
}

static void change_expire(struct perron_group *g, uint64_t now_ns)
{
	struct group_sibling *leader = group_sibling(g, g->change.id.peer);

	if (!is_led_here(g)) {
		if (leader)
			leader->excluded_until_ns = now_ns + g->cfg.exclude_ns;
		g->hello = true;
	} else if (g->change_tries >= 2) {
		silent_exclude(g, now_ns);
	}
	group_change_drop(g);
}

static void change_resend(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	struct group_change *c = &g->change;
	uint32_t to = c->committed ? c->committed & ~c->ready : all_candidates(c);

	c->resend_at_ns = now_ns + g->cfg.resend_ns;
	state_tell(g, now_ns, to, GROUP_FLAG_ANSWER, out);
	if (c->ready & group_bit(c->self))
		ready_tell(g, now_ns, to, out);
}

void group_change_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	if (!g->change.active || g->state == PERRON_GROUP_STATE_INSTALL)
		return;
	if (g->change.expires_ns <= now_ns)
		change_expire(g, now_ns);
	else if (g->change.resend_at_ns <= now_ns)
		change_resend(g, now_ns, out);
}

uint64_t group_change_deadline_ns(const struct perron_group *g)
{
	const struct group_change *c = &g->change;
	uint64_t due;

	if (!c->active || g->state == PERRON_GROUP_STATE_INSTALL)
		return GROUP_NEVER;
	due = group_min64(c->expires_ns, c->resend_at_ns);
	if (g->state == PERRON_GROUP_STATE_RECOVER && c->is_merged)
		for (uint32_t i = 0; i < g->view.member_count; i++)
			if (g->streams[i].received != c->merged.received[i])
				due = group_min64(due, g->streams[i].nack_at_ns);
	return due;
}
