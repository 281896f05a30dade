/*
 * Who could be a member: siblings say hello, who they are, in which view, whom they reach. The
 * lowest of those who reach each other leads.
 */
#include <string.h>

#include "ft/group_private.h"

#define NUMBER_AHEAD_MAX (1 << 24)

static bool reaches(const struct group_sibling *s, uint32_t peer)
{
	for (uint32_t i = 0; i < s->reach_count; i++)
		if (s->reach[i] == peer)
			return true;
	return false;
}

struct perron_group_member group_self_member(const struct perron_group *g)
{
	return (struct perron_group_member){
		.peer = group_self_peer(g),
		.incarnation = g->relay->cfg.incarnation,
		.life = g->life,
		.slot = g->slot,
	};
}

static void member_insert(struct perron_group_member *members, uint32_t count,
			  const struct perron_group_member *m)
{
	uint32_t at = count;

	for (; at > 0 &&
	       group_is_before(m->slot, m->peer, members[at - 1].slot, members[at - 1].peer);
	     at--)
		members[at] = members[at - 1];
	members[at] = *m;
}

/* This peer and all that it reaches, in order. */
static uint32_t reached_list(const struct perron_group *g, struct perron_group_member *out)
{
	uint32_t count = 1;

	out[0] = group_self_member(g);
	for (uint32_t i = 0; i < g->sibling_count; i++) {
		const struct group_sibling *s = &g->siblings[i];
		if (!group_is_reached(s))
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
	if (a == group_self_peer(g))
		return reaches(group_sibling(g, b), a);
	if (b == group_self_peer(g))
		return reaches(group_sibling(g, a), b);
	return reaches(group_sibling(g, a), b) && reaches(group_sibling(g, b), a);
}

/* The view that should be, led from here: all who reach each other, the lower first. */
uint32_t group_wanted_list(struct perron_group *g, struct perron_group_member *out)
{
	struct perron_group_member reached[GROUP_SIBLING_MAX + 1];
	uint32_t reached_count = reached_list(g, reached);
	uint32_t count = 0;

	out[count++] = group_self_member(g);
	for (uint32_t i = 0; i < reached_count && count < g->cfg.member_count_max; i++) {
		bool all = reached[i].peer != group_self_peer(g);
		for (uint32_t k = 0; k < count && all; k++)
			all = reach_each_other(g, reached[i].peer, out[k].peer);
		if (all)
			member_insert(out, count++, &reached[i]);
	}
	return count;
}

/* The lowest of this peer and those it reaches. */
uint32_t group_leader(const struct perron_group *g)
{
	struct perron_group_member reached[GROUP_SIBLING_MAX + 1];

	(void)reached_list(g, reached);
	return reached[0].peer;
}

bool group_member_equal(const struct perron_group_member *a, const struct perron_group_member *b)
{
	return a->peer == b->peer && a->incarnation == b->incarnation && a->life == b->life &&
	       a->slot == b->slot;
}

const struct group_sibling *group_member_sibling(struct perron_group *g,
						 const struct perron_group_member *m)
{
	const struct group_sibling *s = group_sibling(g, m->peer);
	bool same = s && s->incarnation == m->incarnation && s->life == m->life &&
		    s->slot == m->slot;

	return same && group_is_reached(s) ? s : NULL;
}
/* --- hello --- */

void group_hello_send(struct perron_group *g, uint64_t now_ns, struct group_sibling *s,
		      uint8_t flags, struct perron_effects *out)
{
	struct group_hello hello = {.life = g->life, .number = g->number, .slot = g->slot};
	struct group_head head = {
		.kind = GROUP_HELLO,
		.flags = flags | (group_is_frozen(g) ? GROUP_FLAG_FROZEN : 0),
		.cell = g->cell,
		.view = g->view.id,
	};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	for (uint32_t i = 0; i < g->sibling_count; i++)
		if (group_is_linked(&g->siblings[i]))
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

void group_shunned(struct perron_group *g)
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
bool group_number_is_possible(const struct perron_group *g, uint32_t number)
{
	return serial_ahead(number, g->number) <= NUMBER_AHEAD_MAX;
}

/* Members of our view that a sibling reached and reaches no more: evidence of a kind. */
static void losses_witness(struct perron_group *g, uint64_t now_ns, const struct group_sibling *s,
			   const struct group_hello *hello)
{
	for (uint32_t i = 0; i < s->reach_count; i++) {
		bool kept = s->reach[i] == group_self_peer(g) ||
			    group_member_index(g, s->reach[i]) < 0;
		for (uint32_t k = 0; k < hello->reach_count && !kept; k++)
			kept = hello->reach[k] == s->reach[i];
		if (!kept)
			perron_relay_witness(g->relay, now_ns, s->reach[i]);
	}
}

enum perron_drop group_hello(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			     struct group_sibling *s, struct perron_reader *r,
			     struct perron_effects *out)
{
	struct group_hello hello;
	bool was_known = s->known;

	if (!group_hello_read(r, &hello))
		return PERRON_DROP_MALFORMED;
	if (!s->up)
		return PERRON_DROP_NOT_MEMBER;
	if (!group_number_is_possible(g, hello.number) ||
	    !group_number_is_possible(g, head->view.number))
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
		group_shunned(g);
	if (!was_known)
		g->hello = true;
	else if (head->flags & GROUP_FLAG_ANSWER)
		group_hello_send(g, now_ns, s, 0, out);
	return PERRON_DROP_NONE;
}

void group_view_differs(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			struct group_sibling *s, struct perron_effects *out)
{
	if (group_is_frozen(g) || serial_ahead(head->view.number, g->view.id.number) > 0 ||
	    now_ns - s->hello_sent_ns < g->cfg.resend_ns)
		return;
	group_hello_send(g, now_ns, s, 0, out);
}
