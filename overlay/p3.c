#include "overlay/p3_private.h"

#include <errno.h>
#include <string.h>

static bool config_is_valid(const struct perron_overlay_config *c)
{
	return c->peer && !(c->peer & PERRON_CLIENT_ID) && c->incarnation && c->portal_count &&
	       c->portal_count <= PERRON_PORTAL_COUNT_MAX && c->level_count &&
	       c->level_count <= PERRON_LEVEL_COUNT_MAX && c->span && c->span <= PERRON_SPAN_MAX &&
	       c->cell_size && c->cell_size <= PERRON_CELL_SIZE_MAX && c->lease_ns &&
	       c->request_ns && c->link_timeout_ns && c->neighbour_count_max &&
	       c->neighbour_count_max <= PERRON_NEIGHBOUR_COUNT_MAX && c->registry_count_max &&
	       c->directory_count_max && c->path_count_max && c->branch_count_max;
}

static int root_index_of(const struct perron_overlay_config *c)
{
	for (uint32_t i = 0; i < c->portal_count; i++)
		if (c->portal[i].peer == c->peer)
			return (int)i;
	return -1;
}

/* Only peers of the root cell can come to coordinate it. */
static struct perron_registry_rules registry_rules(const struct perron_overlay_config *c)
{
	return (struct perron_registry_rules){
		.entry_count_max = root_index_of(c) >= 0 ? c->registry_count_max : 1,
		.level_count = c->level_count,
		.span = c->span,
		.cell_size = c->cell_size,
		.reserve_ns = c->lease_ns,
		.keep_ns = c->lease_ns + c->lease_ns / 4,
	};
}

static size_t p3_size(const struct perron_overlay_config *c)
{
	struct perron_registry_rules rules = registry_rules(c);
	size_t branch_count = (size_t)c->path_count_max * c->branch_count_max;

	return perron_arena_share(sizeof(struct perron_overlay)) +
	       perron_arena_share(c->path_count_max * sizeof(struct p3_path)) +
	       perron_arena_share(branch_count * sizeof(struct p3_branch)) +
	       perron_registry_size(&rules) + perron_directory_size(c->directory_count_max);
}

static void p3_lay_out(struct perron_overlay *o, const struct perron_overlay_config *c)
{
	struct perron_registry_rules rules = registry_rules(c);
	struct perron_arena a = perron_arena_of(o, p3_size(c));

	(void)perron_arena_take(&a, sizeof(*o));
	o->cfg = *c;
	o->paths = perron_arena_take(&a, c->path_count_max * sizeof(*o->paths));
	o->branches = perron_arena_take(
		&a, (size_t)c->path_count_max * c->branch_count_max * sizeof(*o->branches));
	perron_registry_init(&o->registry, &a, &rules, c->seed);
	perron_directory_init(&o->directory, &a, c->directory_count_max, c->seed);
	for (uint32_t i = 0; i < c->path_count_max; i++)
		o->paths[i].branches = &o->branches[(size_t)i * c->branch_count_max];
	PERRON_ASSERT(a.used == a.size);
}

static void p3_check(const struct perron_overlay *o, uint64_t now_ns);

static int p3_init(struct perron_overlay *o, const struct perron_overlay_config *cfg,
		   uint64_t now_ns)
{
	if (!config_is_valid(cfg))
		return -EINVAL;
	p3_lay_out(o, cfg);
	perron_random_seed(&o->random, cfg->seed ^ ((uint64_t)cfg->peer << 32 | cfg->incarnation));
	o->root_index = root_index_of(cfg);
	o->request_at_ns = now_ns;
	o->advertise_at_ns = now_ns + cfg->lease_ns / 4;
	o->why = "asks for a cell";
	if (o->root_index >= 0) {
		o->state = PERRON_OVERLAY_JOINING;
		o->why = "looks for the other root peers";
		o->position.slot = (uint8_t)(o->root_index + 1);
		o->has_position = true;
		o->root_bind_at_ns = now_ns;
		o->root_elect_at_ns =
			cfg->portal_count > 1 ? now_ns + 2 * cfg->link_timeout_ns : now_ns;
		o->request_at_ns = UINT64_MAX;
	}
	if (cfg->has_wish && o->root_index < 0) {
		o->has_wish = true;
		o->wish = cfg->wish;
		o->wish_until_ns = now_ns + 4 * cfg->lease_ns;
	}
	p3_check(o, now_ns);
	return 0;
}

void p3_changed(struct perron_overlay *o)
{
	o->version++;
}

void p3_drop(struct perron_overlay *o, enum perron_drop cause)
{
	o->drops[cause]++;
}

bool p3_is_root(const struct perron_overlay *o)
{
	return o->root_index >= 0;
}

bool p3_is_joined(const struct perron_overlay *o, uint64_t now_ns)
{
	return (o->state == PERRON_OVERLAY_JOINED || o->state == PERRON_OVERLAY_ORPHAN) &&
	       o->lease_until_ns > now_ns;
}

const struct perron_portal *p3_portal(const struct perron_overlay *o, uint32_t peer)
{
	for (uint32_t i = 0; i < o->cfg.portal_count; i++)
		if (o->cfg.portal[i].peer == peer)
			return &o->cfg.portal[i];
	return NULL;
}

uint64_t p3_request_ns(struct perron_overlay *o)
{
	return o->cfg.request_ns + perron_random_below(&o->random, o->cfg.request_ns / 4 + 1);
}

struct perron_party p3_self(const struct perron_overlay *o)
{
	return (struct perron_party){
		.id = o->cfg.peer,
		.incarnation = o->cfg.incarnation,
		.endpoint = o->cfg.endpoint,
	};
}

void p3_send(struct perron_overlay *o, const struct perron_party *to, uint8_t type,
	     const uint8_t *payload, uint32_t size, struct perron_effects *out)
{
	struct perron_command *command = perron_effects_command(out, size);

	if (!command) {
		p3_drop(o, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	command->kind = PERRON_COMMAND_SEND;
	command->type = type;
	command->party = *to;
	if (size)
		memcpy(command->payload, payload, size);
}

/* What came over the wire: from whom it may come, and who takes it. */
enum p3_sender {
	P3_FROM_LINK,
	P3_FROM_PEER, /* a stranger as well: that is how peers become acquainted */
	P3_FROM_CLIENT,
};

struct p3_handler {
	enum p3_sender from;
	void (*take)(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		     struct perron_effects *out);
};

static void advertise_take(struct perron_overlay *o, uint64_t now_ns,
			   const struct perron_event *event, struct perron_effects *out)
{
	(void)out;
	p3_advertise(o, now_ns, event, out);
}

static const struct p3_handler handlers[] = {
	[PERRON_TYPE_BINDING_REQUEST] = {P3_FROM_PEER, p3_binding_request},
	[PERRON_TYPE_BINDING_REPLY] = {P3_FROM_PEER, p3_binding_reply},
	[PERRON_TYPE_BIND] = {P3_FROM_PEER, p3_bind},
	[PERRON_TYPE_BIND_REPLY] = {P3_FROM_PEER, p3_bind_reply},
	[PERRON_TYPE_PARENT_REQUEST] = {P3_FROM_PEER, p3_parent_request},
	[PERRON_TYPE_PARENT_REPLY] = {P3_FROM_PEER, p3_parent_reply},
	[PERRON_TYPE_JOIN] = {P3_FROM_LINK, p3_join},
	[PERRON_TYPE_JOIN_REPLY] = {P3_FROM_LINK, p3_join_reply},
	[PERRON_TYPE_LEAVE] = {P3_FROM_LINK, p3_leave},
	[PERRON_TYPE_ADVERTISE] = {P3_FROM_LINK, advertise_take},
	[PERRON_TYPE_DISCOVER] = {P3_FROM_LINK, p3_discover},
	[PERRON_TYPE_DISCOVER_REPLY] = {P3_FROM_PEER, p3_discover_reply},
	[PERRON_TYPE_SUBSCRIBE] = {P3_FROM_CLIENT, p3_subscribe},
	[PERRON_TYPE_UNSUBSCRIBE] = {P3_FROM_CLIENT, p3_unsubscribe},
	[PERRON_TYPE_PATH_SETUP] = {P3_FROM_LINK, p3_path_setup},
	[PERRON_TYPE_PATH_REPLY] = {P3_FROM_LINK, p3_path_reply},
	[PERRON_TYPE_PATH_TEARDOWN] = {P3_FROM_LINK, p3_path_teardown},
	[PERRON_TYPE_MEMBERS] = {P3_FROM_LINK, p3_members},
};

static bool sender_is_right(enum p3_sender from, const struct perron_event *event)
{
	bool is_client = (event->party.id & PERRON_CLIENT_ID) != 0;

	if (from == P3_FROM_CLIENT)
		return is_client;
	return !is_client && (from == P3_FROM_PEER || event->linked);
}

static void control_take(struct perron_overlay *o, uint64_t now_ns,
			 const struct perron_event *event, struct perron_effects *out)
{
	const struct p3_handler *handler = NULL;

	if (event->type < sizeof(handlers) / sizeof(handlers[0]))
		handler = &handlers[event->type];
	if (!handler || !handler->take) {
		p3_drop(o, PERRON_DROP_TYPE);
		return;
	}
	if (!sender_is_right(handler->from, event)) {
		p3_drop(o, PERRON_DROP_STRANGER);
		return;
	}
	handler->take(o, now_ns, event, out);
}

static void p3_event(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		     struct perron_effects *out)
{
	if (o->state == PERRON_OVERLAY_LEFT)
		return;
	switch ((enum perron_event_kind)event->kind) {
	case PERRON_EVENT_CONTROL:
		control_take(o, now_ns, event, out);
		break;
	case PERRON_EVENT_LINK_UP:
		p3_link_up(o, event, out);
		break;
	case PERRON_EVENT_LINK_DOWN:
		p3_link_down(o, now_ns, &event->party, out);
		break;
	case PERRON_EVENT_VIEW:
		p3_view_take(o, now_ns, event, out);
		break;
	case PERRON_EVENT_BRANCH_READY:
		p3_branch_ready(o, event, out);
		break;
	case PERRON_EVENT_RESUME:
		p3_resume(o, now_ns, event, out);
		break;
	case PERRON_EVENT_ORPHANED:
		p3_orphaned(o, now_ns, event, out);
		break;
	case PERRON_EVENT_ABANDONED:  /* the station tells the sensor's owner */
	case PERRON_EVENT_CLIENT_LAG: /* the station counts it */
	case PERRON_EVENT_NONE:
	case PERRON_EVENT_COUNT:
		break;
	}
}

static void p3_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	if (!p3_cell_is_told(o))
		p3_cell_tell(o, out);
	if (o->state == PERRON_OVERLAY_LEFT || o->state == PERRON_OVERLAY_REFUSED)
		return;
	if (p3_is_root(o))
		p3_root_tick(o, now_ns, out);
	p3_join_tick(o, now_ns, out);
	p3_directory_tick(o, now_ns, out);
	p3_path_tick(o, now_ns, out);
}

static uint64_t p3_deadline_ns(const struct perron_overlay *o)
{
	uint64_t deadline = min64(o->advertise_at_ns, p3_path_deadline_ns(o));

	if (!p3_cell_is_told(o))
		return 0;
	if (o->state == PERRON_OVERLAY_LEFT || o->state == PERRON_OVERLAY_REFUSED)
		return UINT64_MAX;
	if (p3_is_root(o)) {
		deadline = min64(deadline, o->root_bind_at_ns);
		if (!o->root_elected)
			deadline = min64(deadline, o->root_elect_at_ns);
		if (o->reigning)
			return min64(deadline, o->expire_at_ns);
	}
	if (o->state == PERRON_OVERLAY_JOINED)
		deadline = min64(deadline, o->renew_at_ns);
	else
		deadline = min64(deadline, o->request_at_ns);
	if (o->state == PERRON_OVERLAY_JOINED || o->state == PERRON_OVERLAY_ORPHAN)
		deadline = min64(deadline, o->lease_until_ns);
	return deadline;
}

static int p3_attach(struct perron_overlay *o, uint64_t now_ns, const char *name,
		     struct perron_effects *out)
{
	struct perron_sensor_entry sensor = {
		.owner = o->cfg.peer,
		.owner_incarnation = o->cfg.incarnation,
	};

	if (!perron_sensor_name_is_valid(name))
		return -EINVAL;
	for (uint32_t i = 0; name[i]; i++)
		sensor.name[i] = name[i];
	uint32_t stream = perron_stream_id(name);
	struct perron_directory_entry *e = perron_directory_find(&o->directory, stream, NULL);
	if (e && (!e->lateral || e->attached || strcmp(e->sensor.name, name)))
		return -EEXIST;
	if (!e && perron_directory_learn(&o->directory, &sensor, 0, false, UINT64_MAX) !=
			  PERRON_DIRECTORY_NEW)
		return -ENOSPC;
	p3_path_drop(o, stream, out); /* it was relayed here, and is at home now */
	e = perron_directory_find(&o->directory, stream, NULL);
	e->attached = e->lateral ? PERRON_ATTACHED_STANDBY : PERRON_ATTACHED_CANDIDATE;
	p3_stream_open(o, e, out);
	p3_owners_tick(o, now_ns, out);
	p3_advertise_soon(o, now_ns);
	p3_changed(o);
	return 0;
}

static void p3_leave_command(struct perron_overlay *o, uint64_t now_ns,
			     struct perron_effects *out)
{
	(void)now_ns;
	p3_neighbours_drop_all(o, UINT8_MAX, out);
	o->state = PERRON_OVERLAY_LEFT;
	o->has_position = false;
	o->reigning = false;
	o->why = "left";
	p3_changed(o);
}

static void p3_view(const struct perron_overlay *o, uint64_t now_ns, struct perron_view *out)
{
	bool lapsed = (o->state == PERRON_OVERLAY_JOINED || o->state == PERRON_OVERLAY_ORPHAN) &&
		      o->lease_until_ns <= now_ns;

	*out = (struct perron_view){
		.version = o->version,
		.peer = o->cfg.peer,
		.incarnation = o->cfg.incarnation,
		.state = lapsed ? PERRON_OVERLAY_BINDING : o->state,
		.is_root = p3_is_root(o),
		.is_root_coordinator = o->reigning,
		.position = o->position,
		.epoch = o->epoch,
		.lease_until_ns = o->lease_until_ns,
		.coordinator = o->has_position ? p3_cell_coordinator(o) : 0,
		.neighbour_count = o->neighbour_count,
	};
	for (uint32_t i = 0; i < o->neighbour_count; i++) {
		const struct p3_neighbour *n = &o->neighbours[i];
		out->neighbours[i] = (struct perron_neighbour_view){
			.party = n->party,
			.position = n->position,
			.roles = n->roles,
			.up = n->up,
		};
		if (n->roles & PERRON_ROLE_PARENT)
			out->parent = n->party.id;
	}
	for (uint32_t i = 0; o->why[i] && i < sizeof(out->why) - 1; i++)
		out->why[i] = o->why[i];
}

static uint32_t p3_sensors(const struct perron_overlay *o, struct perron_sensor_view *out,
			   uint32_t max)
{
	uint32_t count = 0;

	for (; count < o->directory.count && count < max; count++) {
		const struct perron_directory_entry *e = &o->directory.entries[count];
		out[count] = (struct perron_sensor_view){
			.stream = e->stream,
			.owner = e->sensor.owner,
			.via = e->via,
		};
		memcpy(out[count].name, e->sensor.name, sizeof(out[count].name));
	}
	return count;
}

static uint32_t p3_paths(const struct perron_overlay *o, struct perron_overlay_path_view *out,
			 uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < o->cfg.path_count_max && count < max; i++) {
		const struct p3_path *p = &o->paths[i];
		if (!p->stream)
			continue;
		out[count++] = (struct perron_overlay_path_view){
			.stream = p->stream,
			.class = p->class,
			.ready = p->ready,
			.upstream = p->upstream,
			.branch_count = p->branch_count,
			.hops = p->below_hops,
			.latency_us = p->below_us,
		};
	}
	return count;
}

static const uint64_t *p3_drops(const struct perron_overlay *o)
{
	return o->drops;
}

static void neighbour_check(const struct perron_overlay *o, const struct p3_neighbour *n)
{
	PERRON_ASSERT(n->party.id && n->party.id != o->cfg.peer && n->roles);
	PERRON_ASSERT(o->has_position);
	if (n->roles & PERRON_ROLE_SIBLING)
		PERRON_ASSERT(perron_position_same_cell(&n->position, &o->position));
	if (n->roles & PERRON_ROLE_PARENT)
		PERRON_ASSERT(n->position.level + 1 == o->position.level);
	if (n->roles & PERRON_ROLE_CHILD)
		PERRON_ASSERT(n->position.level == o->position.level + 1);
}

static void p3_check(const struct perron_overlay *o, uint64_t now_ns)
{
	uint32_t parents = 0;

	(void)now_ns;
	PERRON_ASSERT(o->neighbour_count <= o->cfg.neighbour_count_max);
	for (uint32_t i = 0; i < o->neighbour_count; i++) {
		neighbour_check(o, &o->neighbours[i]);
		parents += (o->neighbours[i].roles & PERRON_ROLE_PARENT) != 0;
		for (uint32_t k = 0; k < i; k++)
			PERRON_ASSERT(o->neighbours[k].party.id != o->neighbours[i].party.id);
	}
	PERRON_ASSERT(parents <= 1);
	PERRON_ASSERT(o->state != PERRON_OVERLAY_JOINED || o->has_position);
	PERRON_ASSERT(o->state != PERRON_OVERLAY_JOINED || p3_is_root(o) || parents == 1);
	PERRON_ASSERT(!o->reigning || p3_is_root(o));
	perron_registry_check(&o->registry);
	perron_directory_check(&o->directory);
}

const struct perron_overlay_ops perron_p3_ops = {
	.name = "p3",
	.size = p3_size,
	.init = p3_init,
	.event = p3_event,
	.tick = p3_tick,
	.deadline_ns = p3_deadline_ns,
	.attach = p3_attach,
	.leave = p3_leave_command,
	.view = p3_view,
	.sensors = p3_sensors,
	.paths = p3_paths,
	.drops = p3_drops,
	.check = p3_check,
};

const struct perron_overlay_ops *perron_overlay_find(const char *name)
{
	const char *p3 = "p3";

	while (*name && *name == *p3) {
		name++;
		p3++;
	}
	return *name == *p3 ? &perron_p3_ops : NULL;
}
