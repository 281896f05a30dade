#include "ft/group_private.h"

#include <errno.h>
#include <string.h>

#define MS UINT64_C(1000000)

void perron_group_config_default(struct perron_group_config *cfg)
{
	*cfg = (struct perron_group_config){
		.member_count_max = 4,
		.window = 64,
		.pending_count = 64,
		.light_count_max = 64,
		.sequence_first = 1,
		.resend_ns = 3 * MS,
		.attempt_ns = 20 * MS,
		.hello_ns = 100 * MS,
		.exclude_ns = 500 * MS,
		.acknowledge_ns = 1 * MS,
	};
}

static bool is_power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

bool perron_group_config_is_valid(const struct perron_group_config *c)
{
	return c->member_count_max && c->member_count_max <= PERRON_GROUP_MEMBER_COUNT_MAX &&
	       is_power_of_two(c->window) && c->window >= 8 && c->window <= 1024 &&
	       is_power_of_two(c->pending_count) && c->pending_count >= 4 &&
	       c->pending_count <= 1024 && c->light_count_max && c->light_count_max <= 256 &&
	       c->resend_ns && c->attempt_ns > c->resend_ns && c->hello_ns && c->exclude_ns &&
	       c->acknowledge_ns;
}

const char *perron_group_service_name(uint8_t service)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_GROUP_##name] = text,
		PERRON_GROUP_SERVICES(X)
#undef X
	};
	return service < PERRON_GROUP_SERVICE_COUNT ? names[service] : "unknown";
}

int perron_group_service_from_name(const char *name)
{
	for (int i = 0; i < PERRON_GROUP_SERVICE_COUNT; i++) {
		const char *a = perron_group_service_name((uint8_t)i);
		const char *b = name;
		while (*a && *a == *b) {
			a++;
			b++;
		}
		if (*a == *b)
			return i;
	}
	return -1;
}

const char *perron_group_state_name(uint8_t state)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_GROUP_STATE_##name] = text,
		PERRON_GROUP_STATES(X)
#undef X
	};
	return state < PERRON_GROUP_STATE_COUNT ? names[state] : "unknown";
}

uint32_t perron_group_message_size_max(const struct perron_group_config *c)
{
	uint32_t count = c->window / 2 < c->pending_count ? c->window / 2 : c->pending_count;

	if (count > PERRON_GROUP_FRAGMENT_COUNT_MAX)
		count = PERRON_GROUP_FRAGMENT_COUNT_MAX;
	return count * PERRON_GROUP_FRAGMENT_SIZE;
}

static size_t ring_count(const struct perron_group_config *c)
{
	return (size_t)c->member_count_max * 2 * c->window;
}

size_t perron_group_size(const struct perron_group_config *c)
{
	return perron_arena_share(sizeof(struct perron_group)) +
	       perron_arena_share(ring_count(c) * sizeof(struct group_packet)) +
	       perron_arena_share(c->pending_count * sizeof(struct group_pending)) +
	       perron_arena_share(c->light_count_max * sizeof(struct group_light));
}

struct perron_group *perron_group_init(struct perron_arena *arena,
				       const struct perron_group_config *cfg,
				       struct perron_relay *relay)
{
	struct perron_group *g = perron_arena_take(arena, sizeof(*g));
	struct group_packet *packets = perron_arena_take(arena, ring_count(cfg) * sizeof(*packets));

	g->cfg = *cfg;
	g->relay = relay;
	g->pending = perron_arena_take(arena, cfg->pending_count * sizeof(*g->pending));
	g->lights = perron_arena_take(arena, cfg->light_count_max * sizeof(*g->lights));
	for (uint32_t i = 0; i < cfg->member_count_max; i++)
		g->streams[i].ring = &packets[(size_t)i * 2 * cfg->window];
	g->send_budget = GROUP_SEND_MAX;
	g->deadline_ns = GROUP_NEVER;
	g->hello_at_ns = GROUP_NEVER;
	return g;
}

/* --- siblings --- */

struct group_sibling *group_sibling(struct perron_group *g, uint32_t peer)
{
	for (uint32_t i = 0; i < g->sibling_count; i++)
		if (g->siblings[i].peer == peer)
			return &g->siblings[i];
	return NULL;
}

int group_member_index(const struct perron_group *g, uint32_t peer)
{
	for (uint32_t i = 0; i < g->view.member_count; i++)
		if (g->view.members[i].peer == peer)
			return (int)i;
	return -1;
}

static void sibling_reset(struct group_sibling *s)
{
	*s = (struct group_sibling){.peer = s->peer};
}

static void sibling_up(struct perron_group *g, uint64_t now_ns, struct group_sibling *s,
		       struct perron_effects *out)
{
	const struct perron_link *l = relay_link(g->relay, s->peer);

	if (!l || l->state != PERRON_LINK_UP)
		return;
	s->up = true;
	s->incarnation = l->party.incarnation;
	if (g->cell)
		group_hello_send(g, now_ns, s, GROUP_FLAG_ANSWER, out);
}

void perron_group_link(struct perron_group *g, uint64_t now_ns, uint32_t peer, bool up,
		       struct perron_effects *out)
{
	struct group_sibling *s = group_sibling(g, peer);

	if (!s || up == s->up)
		return;
	sibling_reset(s);
	if (up)
		sibling_up(g, now_ns, s, out);
	else
		g->hello = true;
	g->evaluate = true;
	group_wake_at(g, now_ns);
}

int perron_group_sibling(struct perron_group *g, uint64_t now_ns, uint32_t peer, bool is_sibling,
			 struct perron_effects *out)
{
	struct group_sibling *s = group_sibling(g, peer);

	if (!is_sibling) {
		if (!s)
			return 0;
		*s = g->siblings[--g->sibling_count];
	} else if (!s) {
		if (g->sibling_count == GROUP_SIBLING_MAX || !peer)
			return peer ? -ENOSPC : -EINVAL;
		s = &g->siblings[g->sibling_count++];
		*s = (struct group_sibling){.peer = peer};
		sibling_up(g, now_ns, s, out);
	} else {
		return 0;
	}
	g->evaluate = true;
	g->hello = true;
	group_wake_at(g, now_ns);
	return 0;
}

static void leave(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	struct group_head head = {.kind = GROUP_LEAVE, .cell = g->cell, .view = g->view.id};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	struct perron_writer w = group_head_write(payload, &head);

	for (uint32_t i = 0; i < g->sibling_count; i++) {
		if (g->siblings[i].up)
			group_send(g, now_ns, g->siblings[i].peer, payload, perron_writer_size(&w),
				   out);
		bool up = g->siblings[i].up;
		uint32_t incarnation = g->siblings[i].incarnation;
		sibling_reset(&g->siblings[i]);
		g->siblings[i].up = up;
		g->siblings[i].incarnation = incarnation;
	}
	g->life++;
	g->cell = 0;
	g->state = PERRON_GROUP_STATE_NONE;
	g->change.active = false;
	g->view = (struct perron_group_view){0};
	g->pending_head = g->pending_end;
	g->pending_next = g->pending_end;
	group_light_reset(g);
}

void perron_group_cell(struct perron_group *g, uint64_t now_ns, uint64_t cell, uint8_t slot,
		       struct perron_effects *out)
{
	g->send_budget = GROUP_SEND_MAX;
	if (cell && cell == g->cell && slot == g->slot) {
		group_view_event(g, now_ns, &g->view, out); /* asked again: perhaps it was lost */
		return;
	}
	if (g->cell)
		leave(g, now_ns, out);
	g->slot = slot;
	if (!cell || !slot) {
		group_view_event(g, now_ns, &g->view, out);
		g->deadline_ns = GROUP_NEVER;
		return;
	}
	g->cell = cell;
	group_view_begin(g, now_ns, out);
	for (uint32_t i = 0; i < g->sibling_count; i++)
		sibling_up(g, now_ns, &g->siblings[i], out);
	group_wake_at(g, now_ns);
}

/* --- frames --- */

void group_send(struct perron_group *g, uint64_t now_ns, uint32_t peer, const uint8_t *payload,
		uint32_t size, struct perron_effects *out)
{
	const struct perron_link *l = relay_link(g->relay, peer);
	struct perron_header header = {
		.type = PERRON_TYPE_GROUP,
		.class = PERRON_CLASS_OVERLAY,
		.length = (uint16_t)size,
		.origin_ns = now_ns + g->relay->cfg.clock_offset_ns,
	};

	if (!l || !g->send_budget) {
		relay_drop(g->relay, l ? PERRON_DROP_EFFECTS_FULL : PERRON_DROP_NO_LINK);
		return;
	}
	g->send_budget--;
	(void)relay_send(g->relay, now_ns, &l->party, &header, payload, out);
}

void group_send_members(struct perron_group *g, uint64_t now_ns, const uint8_t *payload,
			uint32_t size, struct perron_effects *out)
{
	for (uint32_t i = 0; i < g->view.member_count; i++)
		if (i != g->view.self)
			group_send(g, now_ns, g->view.members[i].peer, payload, size, out);
}

/* Frames of the view, from and about its members. */
static enum perron_drop view_frame(struct perron_group *g, uint64_t now_ns,
				   const struct group_head *head, struct group_sibling *s,
				   const uint8_t *payload, uint32_t size,
				   struct perron_effects *out)
{
	struct perron_reader r = perron_reader_of(payload, size);
	struct group_head again;
	int from = group_member_index(g, s->peer);

	if (!perron_group_view_id_equal(&head->view, &g->view.id)) {
		group_view_differs(g, now_ns, head, s, out);
		return PERRON_DROP_OLD_VIEW;
	}
	if (from < 0 || head->member_count != g->view.member_count ||
	    head->index >= g->view.member_count ||
	    g->view.members[from].incarnation != s->incarnation)
		return PERRON_DROP_NOT_MEMBER;
	(void)group_head_read(&r, &again);
	switch ((enum group_kind)head->kind) {
	case GROUP_DATA:
		return group_data(g, now_ns, head, from, payload, size);
	case GROUP_STATUS:
		return group_status(g, now_ns, head, from, &r);
	default:
		return group_nack(g, now_ns, head, s->peer, &r, out);
	}
}

static void sibling_left(struct perron_group *g, struct group_sibling *s)
{
	s->known = false;
	g->evaluate = true;
	g->hello = true;
}

enum perron_drop perron_group_frame(struct perron_group *g, uint64_t now_ns, uint32_t peer,
				    const uint8_t *payload, uint32_t size,
				    struct perron_effects *out)
{
	struct perron_reader r = perron_reader_of(payload, size);
	struct group_sibling *s = group_sibling(g, peer);
	struct group_head head;

	g->touched = true;
	if (!group_head_read(&r, &head))
		return PERRON_DROP_MALFORMED;
	if (!s)
		return PERRON_DROP_NOT_MEMBER;
	if (!g->cell || head.cell != g->cell) {
		if (head.kind == GROUP_HELLO && s->known)
			sibling_left(g, s);
		return PERRON_DROP_OTHER_CELL;
	}
	if (!s->up)
		sibling_up(g, now_ns, s, out);
	switch ((enum group_kind)head.kind) {
	case GROUP_HELLO:
		return group_hello(g, now_ns, &head, s, &r, out);
	case GROUP_LEAVE:
		if (!perron_reader_done(&r))
			return PERRON_DROP_MALFORMED;
		sibling_left(g, s);
		return PERRON_DROP_NONE;
	case GROUP_STATE:
		return group_state(g, now_ns, &head, s, &r, out);
	case GROUP_REFUSE:
		return group_refuse(g, &head, s, &r);
	case GROUP_COMMIT:
		return group_commit(g, now_ns, &head, s, &r);
	case GROUP_READY:
		return perron_reader_done(&r) ? group_ready(g, &head, s) : PERRON_DROP_MALFORMED;
	case GROUP_DATA:
	case GROUP_STATUS:
	case GROUP_NACK:
	case GROUP_KIND_COUNT:
		break;
	}
	return view_frame(g, now_ns, &head, s, payload, size, out);
}

/* --- time --- */

bool perron_group_is_touched(const struct perron_group *g)
{
	return g->touched || g->evaluate;
}

/* Packets that were given to the user stay until the next call: so letting go comes first. */
void perron_group_flush(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	g->touched = false;
	if (!g->cell)
		return;
	g->again = false;
	g->indicated = false;
	if (g->evaluate)
		group_view_evaluate(g, now_ns, out);
	group_view_advance(g, now_ns, out);
	if (g->state == PERRON_GROUP_STATE_OPERATIONAL) {
		group_streams_free(g);
		group_transmit(g, now_ns, out);
		if (!group_deliver(g, false, out))
			g->again = true;
		group_acknowledge(g, now_ns);
		g->again |= g->owed;
	}
	if (g->hello)
		group_hello_all(g, now_ns, out);
	g->deadline_ns = group_view_deadline_ns(g);
	group_wake_at(g, group_stream_deadline_ns(g));
	if (g->again || g->evaluate)
		g->deadline_ns = now_ns;
	g->send_budget = GROUP_SEND_MAX;
}

void perron_group_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	if (!g->cell || now_ns < g->deadline_ns)
		return;
	group_stream_tick(g, now_ns, out);
	group_view_tick(g, now_ns, out);
	perron_group_flush(g, now_ns, out);
}

uint64_t perron_group_deadline_ns(const struct perron_group *g)
{
	return g->cell ? g->deadline_ns : GROUP_NEVER;
}

void perron_group_check(const struct perron_group *g)
{
	if (!g->cell) {
		PERRON_ASSERT(g->state == PERRON_GROUP_STATE_NONE);
		return;
	}
	PERRON_ASSERT(g->view.member_count && g->view.self < g->view.member_count);
	PERRON_ASSERT(g->view.members[g->view.self].peer == g->relay->cfg.peer);
	group_streams_check(g);
	group_view_check(g);
}

/* --- the user --- */

/* What a packet's items may take, whatever the number of members. */
static uint32_t items_size_max(const struct perron_group *g)
{
	return PERRON_PAYLOAD_SIZE_MAX - group_items_at(g->cfg.member_count_max);
}

static struct group_pending *pending_last(struct perron_group *g)
{
	return &g->pending[(g->pending_end - 1) & (g->cfg.pending_count - 1)];
}

/* Room behind what waits already in its last packet. */
static bool last_has_room(struct perron_group *g, uint32_t size)
{
	return g->pending_end != g->pending_next &&
	       pending_last(g)->size + GROUP_ITEM_SIZE + size <= items_size_max(g);
}

static void item_append(struct perron_group *g, const struct group_item *item)
{
	bool begins = item->fragment_count > 1 && item->fragment_index == 0;

	if (begins || !last_has_room(g, item->size)) {
		g->pending_end++;
		pending_last(g)->size = 0;
	}
	struct group_pending *p = pending_last(g);
	p->size = (uint16_t)group_item_write(p->items, p->size, item);
	p->unfinished = item->fragment_index + 1 < item->fragment_count;
}

/* Packets that a message will open. A long one begins in a packet of its own. */
static uint32_t packets_needed(struct perron_group *g, uint32_t size, uint32_t count)
{
	return count == 1 && last_has_room(g, size) ? 0 : count;
}

static int message_append(struct perron_group *g, struct group_item *item, const uint8_t *data,
			  uint32_t size)
{
	uint32_t count = (size + PERRON_GROUP_FRAGMENT_SIZE - 1) / PERRON_GROUP_FRAGMENT_SIZE;
	uint32_t used = g->pending_end - g->pending_head;

	count = count ? count : 1;
	if (used + packets_needed(g, size, count) > g->cfg.pending_count) {
		g->counters.would_block++;
		return -EAGAIN;
	}
	item->fragment_count = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t left = size - i * PERRON_GROUP_FRAGMENT_SIZE;
		item->fragment_index = (uint8_t)i;
		item->size = (uint16_t)(left < PERRON_GROUP_FRAGMENT_SIZE
						? left
						: PERRON_GROUP_FRAGMENT_SIZE);
		item->data = data + (size_t)i * PERRON_GROUP_FRAGMENT_SIZE;
		item_append(g, item);
	}
	return 0;
}

int perron_group_send(struct perron_group *g, uint64_t now_ns, uint32_t group,
		      enum perron_group_service service, const uint8_t *data, uint32_t size,
		      struct perron_effects *out)
{
	struct group_item item = {
		.kind = GROUP_ITEM_MESSAGE,
		.service = (uint8_t)service,
		.group = group,
	};

	if ((uint32_t)service >= PERRON_GROUP_SERVICE_COUNT || !size)
		return -EINVAL;
	if (size > perron_group_message_size_max(&g->cfg))
		return -EMSGSIZE;
	if (!g->cell)
		return -ENOTCONN;
	int error = message_append(g, &item, data, size);
	if (error)
		return error;
	g->counters.sent++;
	perron_group_flush(g, now_ns, out);
	return 0;
}

static int light_send(struct perron_group *g, uint64_t now_ns, uint32_t group, uint8_t kind,
		      struct perron_effects *out)
{
	struct group_item item = {
		.kind = kind,
		.service = PERRON_GROUP_AGREED,
		.group = group,
	};

	if (!group)
		return -EINVAL;
	if (!g->cell)
		return -ENOTCONN;
	int error = message_append(g, &item, (const uint8_t *)"", 0);
	if (!error)
		perron_group_flush(g, now_ns, out);
	return error;
}

int perron_group_light_join(struct perron_group *g, uint64_t now_ns, uint32_t group,
			    struct perron_effects *out)
{
	if (group && !group_light_has_room(g, group))
		return -ENOSPC;
	return light_send(g, now_ns, group, GROUP_ITEM_JOIN, out);
}

int perron_group_light_leave(struct perron_group *g, uint64_t now_ns, uint32_t group,
			     struct perron_effects *out)
{
	return light_send(g, now_ns, group, GROUP_ITEM_LEAVE, out);
}

void perron_group_info(const struct perron_group *g, struct perron_group_info *out)
{
	*out = (struct perron_group_info){
		.view = g->view,
		.state = g->state,
		.pending = g->pending_end - g->pending_head,
		.counters = g->counters,
	};
	if (g->view.member_count)
		out->unstable = g->sent - g->streams[g->view.self].stable;
}
