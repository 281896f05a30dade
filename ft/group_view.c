/*
 * Membership: when a change of views is needed, how the old view ends and the new one begins. The
 * lowest of those who reach each other leads (group_hello.c), by a change (group_change.c).
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

/* --- telling the user and housekeeping --- */

void group_view_event(struct perron_group *g, uint64_t now_ns, const struct perron_group_view *view,
		      struct perron_effects *out)
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
		.id = {++g->number, group_self_peer(g), g->relay->cfg.incarnation},
		.cell = g->cell,
		.member_count = 1,
		.members = {group_self_member(g)},
	};
	int kept[GROUP_MEMBER_MAX] = {-1};

	view_install(g, now_ns, &view, g->cfg.sequence_first, kept, out);
}

/* Those who come from our view and go on with us. */
uint32_t group_companions(const struct perron_group *g)
{
	const struct group_change *c = &g->change;
	uint32_t mask = 0;

	for (uint32_t i = 0; i < c->candidate_count; i++)
		if ((c->committed & group_bit(i)) &&
		    perron_group_view_id_equal(&c->states[i].view, &g->view.id))
			mask |= group_bit(i);
	return mask;
}

static void transitional_indicate(struct perron_group *g, uint64_t now_ns,
				  struct perron_effects *out)
{
	const struct group_change *c = &g->change;
	uint32_t mask = group_companions(g);
	struct perron_group_view view = {.id = g->view.id, .cell = g->cell, .transitional = 1};

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		if (!(mask & group_bit(i)))
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
	uint32_t mask = group_companions(g);

	for (uint32_t i = 0; i < c->candidate_count; i++) {
		if (!(c->committed & group_bit(i)))
			continue;
		if (i == c->self)
			view.self = view.member_count;
		kept[view.member_count] =
			mask & group_bit(i) ? group_member_index(g, c->candidates[i].peer) : -1;
		view.members[view.member_count++] = c->candidates[i];
	}
	view_install(g, now_ns, &view, c->first, kept, out);
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

void group_view_advance(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	group_change_advance(g, now_ns, out);
	if (g->state != PERRON_GROUP_STATE_INSTALL)
		return;
	if (ending_advance(g, now_ns, out))
		change_install(g, now_ns, out);
	else
		g->again = true;
}

/* --- whether a change is needed --- */

/* A member of the view is lost, is another now, or is in another view. */
static bool view_is_broken(struct perron_group *g, uint64_t now_ns)
{
	uint64_t settling_ns = 2 * g->cfg.hello_ns + g->cfg.attempt_ns;
	bool settles = now_ns - g->installed_ns < settling_ns;
	struct perron_group_member self = group_self_member(g);

	if (!group_member_equal(&g->view.members[g->view.self], &self))
		return true;
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		const struct group_sibling *s;
		if (i == g->view.self)
			continue;
		s = group_member_sibling(g, &g->view.members[i]);
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
	uint32_t count = group_wanted_list(g, wanted);

	if (count != g->view.member_count)
		return false;
	for (uint32_t i = 0; i < count; i++)
		if (!group_member_equal(&wanted[i], &g->view.members[i]))
			return false;
	return true;
}

/* The leader should have begun a change long ago: without it, then. */
static void leader_await(struct perron_group *g, uint64_t now_ns)
{
	uint64_t patience_ns = (GROUP_FOLLOWER_PATIENCE + 1) * g->cfg.attempt_ns;
	struct group_sibling *leader = group_sibling(g, group_leader(g));

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
	if (g->change.active && !group_change_is_hopeless(g))
		return;
	if (g->change.active)
		group_change_drop(g);
	g->evaluate = false;
	bool urgent = group_is_frozen(g) || view_is_broken(g, now_ns);
	if (group_leader(g) != group_self_peer(g)) {
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
		group_change_begin(g, now_ns, out);
}

/* --- time --- */

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
	group_change_tick(g, now_ns, out);
}

uint64_t group_view_deadline_ns(const struct perron_group *g)
{
	uint64_t due = g->hello_at_ns;

	for (uint32_t i = 0; i < g->sibling_count; i++)
		if (g->siblings[i].excluded_until_ns)
			due = group_min64(due, g->siblings[i].excluded_until_ns);
	if (g->needed_since_ns)
		due = group_min64(due, g->needed_since_ns +
					       (GROUP_FOLLOWER_PATIENCE + 1) * g->cfg.attempt_ns);
	if (g->is_put_off)
		due = group_min64(due, g->change_not_before_ns);
	return group_min64(due, group_change_deadline_ns(g));
}

void group_view_check(const struct perron_group *g)
{
	const struct group_change *c = &g->change;

	for (uint32_t i = 1; i < g->view.member_count; i++)
		PERRON_ASSERT(group_is_before(g->view.members[i - 1].slot,
					      g->view.members[i - 1].peer, g->view.members[i].slot,
					      g->view.members[i].peer));
	PERRON_ASSERT(!c->active || c->candidates[c->self].peer == group_self_peer(g));
	PERRON_ASSERT(!c->active || g->state != PERRON_GROUP_STATE_OPERATIONAL);
	PERRON_ASSERT(g->state != PERRON_GROUP_STATE_RECOVER || c->active);
	PERRON_ASSERT(g->state != PERRON_GROUP_STATE_RECOVER ||
		      (c->committed & group_bit(c->self)));
}
