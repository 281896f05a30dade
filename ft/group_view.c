/*
 * Membership. Siblings say hello: who they are, in which view, whom they reach. The lowest of those
 * who reach each other leads.
 *
 * state        entered when                            waits for          leaves to
 * operational  installed, or alone at the start        -                  gather (leads, is asked)
 * gather       its state was told to a change          COMMIT             recover; another change
 * recover      the COMMIT came                         packets, READYs    install; another change
 * install      all members of the coming view ready    room for effects   operational
 *
 * A member takes part in one change at a time; a later one, or one led by a lower member, replaces
 * it. From the moment it tells its state until it installs a view it takes no packet of the old
 * view but those found missing, so that its state stays true; having told READY it holds what all
 * who come from its view hold, whatever becomes of the change.
 *
 * A change ends when it is installed, when its leader is lost, or when it has expired: the leader
 * begins it anew, the second time without those who did not answer; another excludes the leader.
 */
#include <string.h>

#include "ft/group_private.h"

/* A follower is this much more patient than the leader. */
#define FOLLOWER_PATIENCE 3
#define NUMBER_AHEAD_MAX  (1 << 24)

static bool is_before(uint8_t slot_a, uint32_t a, uint8_t slot_b, uint32_t b)
{
	return slot_a != slot_b ? slot_a < slot_b : a < b;
}

/* Heard from, both ways; this is what others are told. */
static bool is_linked(const struct group_sibling *s)
{
	return s && s->up && s->known;
}

/* And to be reckoned with: neither silent in a change nor passed over as a leader of late. */
static bool is_reached(const struct group_sibling *s)
{
	return is_linked(s) && !s->excluded_until_ns;
}

static bool reaches(const struct group_sibling *s, uint32_t peer)
{
	for (uint32_t i = 0; i < s->reach_count; i++)
		if (s->reach[i] == peer)
			return true;
	return false;
}

static uint32_t self_peer(const struct perron_group *g)
{
	return g->relay->cfg.peer;
}

static bool is_frozen(const struct perron_group *g)
{
	return g->state != PERRON_GROUP_STATE_OPERATIONAL;
}

static uint32_t bit(uint32_t index)
{
	return 1u << index;
}

/* --- who could be a member --- */

static struct perron_group_member self_member(const struct perron_group *g)
{
	return (struct perron_group_member){
		.peer = self_peer(g),
		.incarnation = g->relay->cfg.incarnation,
		.life = g->life,
		.slot = g->slot,
	};
}

static void member_insert(struct perron_group_member *members, uint32_t count,
			  const struct perron_group_member *m)
{
	uint32_t at = count;

	for (; at > 0 && is_before(m->slot, m->peer, members[at - 1].slot, members[at - 1].peer);
	     at--)
		members[at] = members[at - 1];
	members[at] = *m;
}

/* This peer and all that it reaches, in order. */
static uint32_t reached_list(const struct perron_group *g, struct perron_group_member *out)
{
	uint32_t count = 1;

	out[0] = self_member(g);
	for (uint32_t i = 0; i < g->sibling_count; i++) {
		const struct group_sibling *s = &g->siblings[i];
		if (!is_reached(s))
			continue;
		struct perron_group_member m = {
			.peer = s->peer,
			.incarnation = s->incarnation,
			.life = s->life,
			.slot = s->slot,
		};
		member_insert(out, count++, &m);
	}
	return count;
}

static bool reach_each_other(struct perron_group *g, uint32_t a, uint32_t b)
{
	if (a == self_peer(g))
		return reaches(group_sibling(g, b), a);
	if (b == self_peer(g))
		return reaches(group_sibling(g, a), b);
	return reaches(group_sibling(g, a), b) && reaches(group_sibling(g, b), a);
}

/* The view that should be, led from here: all who reach each other, the lower first. */
static uint32_t wanted_list(struct perron_group *g, struct perron_group_member *out)
{
	struct perron_group_member reached[GROUP_SIBLING_MAX + 1];
	uint32_t reached_count = reached_list(g, reached);
	uint32_t count = 0;

	out[count++] = self_member(g);
	for (uint32_t i = 0; i < reached_count && count < g->cfg.member_count_max; i++) {
		bool all = reached[i].peer != self_peer(g);
		for (uint32_t k = 0; k < count && all; k++)
			all = reach_each_other(g, reached[i].peer, out[k].peer);
		if (all)
			member_insert(out, count++, &reached[i]);
	}
	return count;
}

/* The lowest of this peer and those it reaches. */
static uint32_t leader_of(const struct perron_group *g)
{
	struct perron_group_member reached[GROUP_SIBLING_MAX + 1];

	(void)reached_list(g, reached);
	return reached[0].peer;
}

static bool is_same_member(const struct perron_group_member *a, const struct perron_group_member *b)
{
	return a->peer == b->peer && a->incarnation == b->incarnation && a->life == b->life &&
	       a->slot == b->slot;
}

/* --- hello --- */

void group_hello_send(struct perron_group *g, uint64_t now_ns, struct group_sibling *s,
		      uint8_t flags, struct perron_effects *out)
{
	struct group_hello hello = {.life = g->life, .number = g->number, .slot = g->slot};
	struct group_head head = {
		.kind = GROUP_HELLO,
		.flags = flags | (is_frozen(g) ? GROUP_FLAG_FROZEN : 0),
		.cell = g->cell,
		.view = g->view.id,
	};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	for (uint32_t i = 0; i < g->sibling_count; i++)
		if (is_linked(&g->siblings[i]))
			hello.reach[hello.reach_count++] = g->siblings[i].peer;
	s->hello_sent_ns = now_ns;
	group_send(g, now_ns, s->peer, payload, group_hello_write(payload, &head, &hello), out);
}

void group_hello_all(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	g->hello = false;
	g->hello_at_ns = now_ns + g->cfg.hello_ns;
	for (uint32_t i = 0; i < g->sibling_count; i++)
		if (g->siblings[i].up)
			group_hello_send(g, now_ns, &g->siblings[i], 0, out);
}

static void shunned(struct perron_group *g)
{
	g->life++;
	g->counters.shunned++;
	g->hello = true;
	g->evaluate = true;
}

/* A member of our view is in a later one, which we have no part in. */
static bool went_on_without_us(const struct perron_group *g, const struct group_sibling *s,
			       const struct group_head *head)
{
	int index = group_member_index(g, s->peer);

	return index >= 0 && g->view.members[index].incarnation == s->incarnation &&
	       g->view.members[g->view.self].life == g->life && !g->change.active &&
	       !(head->flags & GROUP_FLAG_FROZEN) &&
	       serial_ahead(head->view.number, g->view.id.number) > 0;
}

static bool hello_news(const struct group_sibling *s, const struct group_head *head,
		       const struct group_hello *hello)
{
	return !s->known || s->life != hello->life || s->slot != hello->slot ||
	       s->flags != head->flags || !perron_group_view_id_equal(&s->view, &head->view) ||
	       s->reach_count != hello->reach_count ||
	       memcmp(s->reach, hello->reach, hello->reach_count * sizeof(hello->reach[0])) != 0;
}

/* No cell changes its view so often that a member would be further behind. */
static bool number_is_possible(const struct perron_group *g, uint32_t number)
{
	return serial_ahead(number, g->number) <= NUMBER_AHEAD_MAX;
}

/* Members of our view that a sibling reached and reaches no more: evidence of a kind. */
static void losses_witness(struct perron_group *g, uint64_t now_ns, const struct group_sibling *s,
			   const struct group_hello *hello)
{
	for (uint32_t i = 0; i < s->reach_count; i++) {
		bool kept = s->reach[i] == self_peer(g) || group_member_index(g, s->reach[i]) < 0;
		for (uint32_t k = 0; k < hello->reach_count && !kept; k++)
			kept = hello->reach[k] == s->reach[i];
		if (!kept)
			perron_relay_witness(g->relay, now_ns, s->reach[i]);
	}
}

enum perron_drop group_hello(struct perron_group *g, uint64_t now_ns,
			     const struct group_head *head, struct group_sibling *s,
			     struct perron_reader *r, struct perron_effects *out)
{
	struct group_hello hello;
	bool was_known = s->known;

	if (!group_hello_read(r, &hello))
		return PERRON_DROP_MALFORMED;
	if (!s->up)
		return PERRON_DROP_NOT_MEMBER;
	if (!number_is_possible(g, hello.number) || !number_is_possible(g, head->view.number))
		return PERRON_DROP_IMPOSSIBLE_SEQUENCE;
	if (hello_news(s, head, &hello)) {
		losses_witness(g, now_ns, s, &hello);
		g->evaluate = true;
	}
	s->known = true;
	s->life = hello.life;
	s->slot = hello.slot;
	s->flags = head->flags;
	s->view = head->view;
	s->reach_count = hello.reach_count;
	memcpy(s->reach, hello.reach, sizeof(s->reach));
	g->number = serial_max(g->number, hello.number);
	if (went_on_without_us(g, s, head))
		shunned(g);
	if (!was_known)
		g->hello = true;
	else if (head->flags & GROUP_FLAG_ANSWER)
		group_hello_send(g, now_ns, s, 0, out);
	return PERRON_DROP_NONE;
}

void group_view_differs(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			struct group_sibling *s, struct perron_effects *out)
{
	if (is_frozen(g) || serial_ahead(head->view.number, g->view.id.number) > 0 ||
	    now_ns - s->hello_sent_ns < g->cfg.resend_ns)
		return;
	group_hello_send(g, now_ns, s, 0, out);
}

/* --- telling the user and housekeeping --- */

void group_view_event(struct perron_group *g, uint64_t now_ns,
		      const struct perron_group_view *view, struct perron_effects *out)
{
	struct perron_event *event = perron_effects_event(out, sizeof(*view));

	if (!event) {
		relay_drop(g->relay, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	event->kind = PERRON_EVENT_VIEW;
	event->sequence = now_ns;
	memcpy(event->payload, view, sizeof(*view));
}

static bool view_has_room(const struct perron_group *g, const struct perron_effects *out)
{
	uint32_t lights = g->cfg.light_count_max;
	size_t size = 2 * sizeof(struct perron_group_view) + sizeof(struct perron_event) +
		      lights * sizeof(struct perron_group_light);

	return perron_effects_has_room(out, 2 + lights, (uint32_t)size);
}

static void view_indicate(struct perron_group *g, uint64_t now_ns,
			  const struct perron_group_view *view, struct perron_effects *out)
{
	struct perron_group_view *record =
		perron_effects_indicate(out, PERRON_GROUP_INDICATE_VIEW, sizeof(*record));

	if (record)
		*record = *view;
	group_view_event(g, now_ns, view, out);
}

/* --- the old view ends, the new one begins --- */

static void view_install(struct perron_group *g, uint64_t now_ns,
			 const struct perron_group_view *view, uint32_t first, const int *kept,
			 struct perron_effects *out)
{
	g->view = *view;
	g->state = PERRON_GROUP_STATE_OPERATIONAL;
	g->number = serial_max(g->number, view->id.number);
	g->installed_ns = now_ns;
	g->needed_since_ns = 0;
	g->change_tries = 0;
	g->change.active = false;
	g->hello = true;
	g->evaluate = true;
	g->counters.views++;
	group_streams_start(g, first);
	view_indicate(g, now_ns, view, out);
	group_light_view(g, now_ns, kept, out);
	for (uint32_t i = 0; i < view->member_count; i++) {
		struct group_sibling *s = group_sibling(g, view->members[i].peer);
		if (s)
			s->excluded_until_ns = 0;
	}
}

void group_view_begin(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	struct perron_group_view view = {
		.id = {++g->number, self_peer(g), g->relay->cfg.incarnation},
		.cell = g->cell,
		.member_count = 1,
		.members = {self_member(g)},
	};
	int kept[GROUP_MEMBER_MAX] = {-1};

	view_install(g, now_ns, &view, g->cfg.sequence_first, kept, out);
}

/* Those who come from our view and go on with us. */
static uint32_t companions(const struct perron_group *g)
{
	const struct group_change *c = &g->change;
	uint32_t mask = 0;

	for (uint32_t i = 0; i < c->candidate_count; i++)
		if ((c->committed & bit(i)) &&
		    perron_group_view_id_equal(&c->states[i].view, &g->view.id))
			mask |= bit(i);
	return mask;
}

static void transitional_indicate(struct perron_group *g, uint64_t now_ns,
				  struct perron_effects *out)
{
	const struct group_change *c = &g->change;
	uint32_t mask = companions(g);
	struct perron_group_view view = {.id = g->view.id, .cell = g->cell, .transitional = 1};

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		if (!(mask & bit(i)))
			continue;
		if (i == c->self)
			view.self = view.member_count;
		view.members[view.member_count++] = c->candidates[i];
	}
	view_indicate(g, now_ns, &view, out);
}

static void change_install(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	const struct group_change *c = &g->change;
	struct perron_group_view view = {.id = c->id, .cell = g->cell};
	int kept[GROUP_MEMBER_MAX];
	uint32_t mask = companions(g);

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		if (!(c->committed & bit(i)))
			continue;
		if (i == c->self)
			view.self = view.member_count;
		kept[view.member_count] =
			mask & bit(i) ? group_member_index(g, c->candidates[i].peer) : -1;
		view.members[view.member_count++] = c->candidates[i];
	}
	view_install(g, now_ns, &view, c->first, kept, out);
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

/* True: the old view is over. */
static bool ending_advance(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	if (g->ending == GROUP_ENDING_REGULAR) {
		if (!group_deliver(g, false, out) || !view_has_room(g, out))
			return false;
		transitional_indicate(g, now_ns, out);
		g->ending = GROUP_ENDING_TRANSITIONAL;
	}
	/* Packets that the user was given stay where they are until the next call. */
	return group_deliver(g, true, out) && !g->indicated && view_has_room(g, out);
}

/* --- a change --- */

static void change_send(struct perron_group *g, uint64_t now_ns, uint32_t to,
			const uint8_t *payload, uint32_t size, struct perron_effects *out)
{
	const struct group_change *c = &g->change;

	for (uint32_t i = 0; i < c->candidate_count; i++)
		if (i != c->self && (to & bit(i)))
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
		if (i == c->self || is_linked(group_sibling(g, c->candidates[i].peer)))
			state->reach |= bit(i);
	c->stated |= bit(c->self);
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

static void change_begin(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	struct group_change *c = &g->change;

	c->id = (struct perron_group_view_id){
		++g->number, self_peer(g), g->relay->cfg.incarnation};
	c->candidate_count = (uint8_t)wanted_list(g, c->candidates);
	c->self = 0;
	while (c->candidates[c->self].peer != self_peer(g))
		c->self++;
	g->change_tries++;
	g->change_not_before_ns = now_ns + g->cfg.resend_ns;
	g->counters.attempts++;
	change_enter(g, now_ns, g->cfg.attempt_ns, out);
}

static bool is_led_here(const struct perron_group *g)
{
	return g->change.id.peer == self_peer(g);
}

static void change_drop(struct perron_group *g)
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

	if (!is_linked(leader) || leader->incarnation != other->id.incarnation ||
	    !number_is_possible(g, other->id.number) ||
	    g->state == PERRON_GROUP_STATE_INSTALL)
		return false;
	leader->excluded_until_ns = 0; /* it wants us */
	if (leader_of(g) != leader->peer || serial_ahead(other->id.number, g->view.id.number) <= 0)
		return false;
	return g->change.id.peer != other->id.peer ||
	       g->change.id.incarnation != other->id.incarnation ||
	       serial_ahead(other->id.number, g->change.id.number) > 0;
}

static void state_record(struct perron_group *g, uint64_t now_ns, uint32_t from,
			 const struct group_state *state, uint8_t flags,
			 struct perron_effects *out)
{
	struct group_change *c = &g->change;

	if (!(c->stated & bit(from))) {
		c->states[from] = *state;
		c->stated |= bit(from);
		return;
	}
	if (!(flags & GROUP_FLAG_ANSWER))
		return;
	if ((flags & GROUP_FLAG_FROZEN) && c->committed && is_led_here(g))
		commit_tell(g, now_ns, bit(from), out);
	if (c->ready & bit(c->self))
		ready_tell(g, now_ns, bit(from), out);
	if (!c->active)
		state_tell(g, now_ns, bit(from), 0, out);
}

static bool same_candidates(const struct group_change *a, const struct group_change *b)
{
	bool same = a->candidate_count == b->candidate_count;

	for (uint32_t i = 0; i < a->candidate_count && same; i++)
		same = is_same_member(&a->candidates[i], &b->candidates[i]);
	return same;
}

enum perron_drop group_state(struct perron_group *g, uint64_t now_ns,
			     const struct group_head *head, struct group_sibling *s,
			     struct perron_reader *r, struct perron_effects *out)
{
	struct group_change *c = &g->change;
	struct group_change other;
	struct group_state state;
	struct perron_group_member self = self_member(g);

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
		if (!is_same_member(&other.candidates[own], &self) || !may_follow(g, &other)) {
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
		change_enter(g, now_ns, FOLLOWER_PATIENCE * g->cfg.attempt_ns, out);
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
	if (!number_is_possible(g, number))
		return PERRON_DROP_IMPOSSIBLE_SEQUENCE;
	if (!g->change.active || !is_led_here(g) || g->change.committed ||
	    !perron_group_view_id_equal(&head->view, &g->change.id))
		return PERRON_DROP_OLD_VIEW;
	if (serial_ahead(number, g->change.id.number) > 0) {
		g->number = serial_max(g->number, number);
		change_drop(g);
	}
	return PERRON_DROP_NONE;
}

/* --- COMMIT --- */

/* Of the candidates those who reach each other, the leader first. */
static uint32_t decide(const struct group_change *c)
{
	uint32_t chosen = bit(c->self);

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		bool all = true;
		for (uint32_t k = 0; k < c->candidate_count && all; k++)
			if (chosen & bit(k))
				all = (c->states[i].reach & bit(k)) &&
				      (c->states[k].reach & bit(i));
		if (all)
			chosen |= bit(i);
	}
	return chosen;
}

static void left_out(struct perron_group *g, uint64_t now_ns)
{
	const struct group_change *c = &g->change;

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		struct group_sibling *s = group_sibling(g, c->candidates[i].peer);
		if (s && (c->committed & bit(i)))
			s->excluded_until_ns = now_ns + g->cfg.exclude_ns;
	}
	shunned(g);
	change_drop(g);
}

static void committed(struct perron_group *g, uint64_t now_ns, uint64_t patience_ns)
{
	struct group_change *c = &g->change;

	if (!(c->committed & bit(c->self))) {
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
	committed(g, now_ns, FOLLOWER_PATIENCE * g->cfg.attempt_ns);
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
	c->ready |= bit(head->index);
	return PERRON_DROP_NONE;
}

/* --- RECOVER --- */

static void state_merge(struct perron_group *g)
{
	struct group_change *c = &g->change;
	uint32_t mask = companions(g);
	struct group_state *m = &c->merged;

	*m = c->states[c->self];
	for (uint32_t i = 0; i < c->candidate_count; i++) {
		if (!(mask & bit(i)))
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
	uint32_t mask = companions(g) & ~bit(c->self);
	uint32_t tries = g->streams[index].nack_tries;

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		uint32_t k = (tries + i) % c->candidate_count;
		if ((mask & bit(k)) &&
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

static void recover_advance(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	struct group_change *c = &g->change;

	if ((c->stated & c->committed) != c->committed)
		return;
	if (!c->is_merged)
		state_merge(g);
	if (!(c->ready & bit(c->self))) {
		if (!recover(g, now_ns, out))
			return;
		c->ready |= bit(c->self);
		ready_tell(g, now_ns, c->committed, out);
	}
	if ((c->ready & c->committed) == c->committed)
		merged_take(g);
}

void group_view_advance(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
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
	if (g->state != PERRON_GROUP_STATE_INSTALL)
		return;
	if (ending_advance(g, now_ns, out))
		change_install(g, now_ns, out);
	else
		g->again = true;
}

/* --- whether a change is needed --- */

static const struct group_sibling *member_sibling(struct perron_group *g,
						  const struct perron_group_member *m)
{
	const struct group_sibling *s = group_sibling(g, m->peer);
	bool same = s && s->incarnation == m->incarnation && s->life == m->life &&
		    s->slot == m->slot;

	return same && is_reached(s) ? s : NULL;
}

/* A member of the view is lost, is another now, or is in another view. */
static bool view_is_broken(struct perron_group *g, uint64_t now_ns)
{
	uint64_t settling_ns = 2 * g->cfg.hello_ns + g->cfg.attempt_ns;
	bool settles = now_ns - g->installed_ns < settling_ns;
	struct perron_group_member self = self_member(g);

	if (!is_same_member(&g->view.members[g->view.self], &self))
		return true;
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		const struct group_sibling *s;
		if (i == g->view.self)
			continue;
		s = member_sibling(g, &g->view.members[i]);
		if (!s)
			return true;
		if (perron_group_view_id_equal(&s->view, &g->view.id) &&
		    !(s->flags & GROUP_FLAG_FROZEN))
			continue;
		if (!settles || serial_ahead(s->view.number, g->view.id.number) > 0)
			return true;
	}
	return false;
}

static bool view_is_wanted(struct perron_group *g)
{
	struct perron_group_member wanted[GROUP_MEMBER_MAX];
	uint32_t count = wanted_list(g, wanted);

	if (count != g->view.member_count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!is_same_member(&wanted[i], &g->view.members[i]))
			return false;
	return true;
}

static bool change_is_hopeless(struct perron_group *g)
{
	const struct group_change *c = &g->change;
	uint32_t needed = c->committed ? c->committed : all_candidates(c);

	if (!is_led_here(g))
		return !is_reached(group_sibling(g, c->id.peer)) ||
		       leader_of(g) != c->id.peer;
	for (uint32_t i = 0; i < c->candidate_count; i++)
		if (i != c->self && (needed & bit(i)) &&
		    !member_sibling(g, &c->candidates[i]))
			return true;
	return leader_of(g) != self_peer(g);
}

/* The leader should have begun a change long ago: without it, then. */
static void leader_await(struct perron_group *g, uint64_t now_ns)
{
	uint64_t patience_ns = (FOLLOWER_PATIENCE + 1) * g->cfg.attempt_ns;
	struct group_sibling *leader = group_sibling(g, leader_of(g));

	if (!g->needed_since_ns) {
		g->needed_since_ns = now_ns;
	} else if (now_ns - g->needed_since_ns >= patience_ns) {
		leader->excluded_until_ns = now_ns + g->cfg.exclude_ns;
		g->needed_since_ns = 0;
		g->hello = true;
		g->evaluate = true;
	}
}

void group_view_evaluate(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	g->evaluate = false;
	g->is_put_off = false;
	if (g->state == PERRON_GROUP_STATE_INSTALL)
		return;
	if (g->change.active && !change_is_hopeless(g))
		return;
	if (g->change.active)
		change_drop(g);
	g->evaluate = false;
	bool urgent = is_frozen(g) || view_is_broken(g, now_ns);
	if (leader_of(g) != self_peer(g)) {
		if (urgent)
			leader_await(g, now_ns);
		else
			g->needed_since_ns = 0;
		return;
	}
	g->needed_since_ns = 0;
	if (!urgent && view_is_wanted(g))
		return;
	/* Those who come at the same time come in one change. */
	g->is_put_off = !urgent && now_ns < g->change_not_before_ns;
	if (!g->is_put_off)
		change_begin(g, now_ns, out);
}

/* --- time --- */

static void silent_exclude(struct perron_group *g, uint64_t now_ns)
{
	const struct group_change *c = &g->change;
	uint32_t silent = c->committed ? c->committed & ~c->ready
				       : all_candidates(c) & ~c->stated;

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		struct group_sibling *s = group_sibling(g, c->candidates[i].peer);
		if (s && (silent & bit(i)))
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
	change_drop(g);
}

static void change_resend(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	struct group_change *c = &g->change;
	uint32_t to = c->committed ? c->committed & ~c->ready : all_candidates(c);

	c->resend_at_ns = now_ns + g->cfg.resend_ns;
	state_tell(g, now_ns, to, GROUP_FLAG_ANSWER, out);
	if (c->ready & bit(c->self))
		ready_tell(g, now_ns, to, out);
}

void group_view_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	if (g->hello_at_ns <= now_ns) {
		g->hello = true;
		g->evaluate = true;
		g->hello_at_ns = now_ns + g->cfg.hello_ns;
	}
	for (uint32_t i = 0; i < g->sibling_count; i++) {
		struct group_sibling *s = &g->siblings[i];
		if (!s->excluded_until_ns || s->excluded_until_ns > now_ns)
			continue;
		s->excluded_until_ns = 0;
		g->hello = true;
		g->evaluate = true;
	}
	if (g->needed_since_ns || (g->is_put_off && g->change_not_before_ns <= now_ns))
		g->evaluate = true;
	if (!g->change.active || g->state == PERRON_GROUP_STATE_INSTALL)
		return;
	if (g->change.expires_ns <= now_ns)
		change_expire(g, now_ns);
	else if (g->change.resend_at_ns <= now_ns)
		change_resend(g, now_ns, out);
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t group_view_deadline_ns(const struct perron_group *g)
{
	const struct group_change *c = &g->change;
	uint64_t due = g->hello_at_ns;

	for (uint32_t i = 0; i < g->sibling_count; i++)
		if (g->siblings[i].excluded_until_ns)
			due = min64(due, g->siblings[i].excluded_until_ns);
	if (g->needed_since_ns)
		due = min64(due, g->needed_since_ns +
					 (FOLLOWER_PATIENCE + 1) * g->cfg.attempt_ns);
	if (g->is_put_off)
		due = min64(due, g->change_not_before_ns);
	if (!c->active || g->state == PERRON_GROUP_STATE_INSTALL)
		return due;
	due = min64(due, min64(c->expires_ns, c->resend_at_ns));
	if (g->state == PERRON_GROUP_STATE_RECOVER && c->is_merged)
		for (uint32_t i = 0; i < g->view.member_count; i++)
			if (g->streams[i].received != c->merged.received[i])
				due = min64(due, g->streams[i].nack_at_ns);
	return due;
}

void group_view_check(const struct perron_group *g)
{
	const struct group_change *c = &g->change;

	for (uint32_t i = 1; i < g->view.member_count; i++)
		PERRON_ASSERT(is_before(g->view.members[i - 1].slot, g->view.members[i - 1].peer,
					g->view.members[i].slot, g->view.members[i].peer));
	PERRON_ASSERT(!c->active || c->candidates[c->self].peer == self_peer(g));
	PERRON_ASSERT(!c->active || g->state != PERRON_GROUP_STATE_OPERATIONAL);
	PERRON_ASSERT(g->state != PERRON_GROUP_STATE_RECOVER || c->active);
	PERRON_ASSERT(g->state != PERRON_GROUP_STATE_RECOVER || (c->committed & bit(c->self)));
}
