/* The relay's commands: links, control frames, streams and paths as housekeeping wants them. */
#include "ft/group_private.h"

#include <errno.h>
#include <string.h>

/* A control frame may go to a stranger: that is how peers become acquainted. */
static void control_send(struct perron_relay *r, uint64_t now_ns,
			 const struct perron_command *command, struct perron_effects *out)
{
	struct perron_link *l = relay_link(r, command->party.id);
	bool is_other_life = l && command->party.incarnation &&
			     command->party.incarnation != l->party.incarnation;
	struct perron_header header = {
		.type = command->type,
		.class = PERRON_CLASS_OVERLAY,
		.length = (uint16_t)command->payload_size,
		.origin_ns = now_ns + r->cfg.clock_offset_ns,
	};
	struct perron_hop hop = {
		.source = r->cfg.peer,
		.source_incarnation = r->cfg.incarnation,
		.destination = command->party.id,
		.destination_incarnation = command->party.incarnation,
	};

	if (l && !is_other_life)
		relay_link_hop(r, now_ns, l, &hop);
	relay_frame_send(r, &command->party, &hop, &header, command->payload, out);
}

static const struct perron_detector_config *detector_config(const struct perron_relay *r,
							    uint32_t peer)
{
	for (uint32_t i = 0; i < r->cfg.detector_override_count; i++)
		if (r->cfg.detector_overrides[i].peer == peer)
			return &r->cfg.detector_overrides[i].config;
	return &r->cfg.detector;
}

/* Said again of a link that is up, it is answered again: an event may have been lost. */
static int link_open(struct perron_relay *r, uint64_t now_ns, const struct perron_party *party,
		     struct perron_effects *out)
{
	uint32_t index = perron_map_find(&r->link_by_peer, party->id);

	if (!party->id || (party->id & PERRON_CLIENT_ID) || party->id == r->cfg.peer)
		return -EINVAL;
	if (index == PERRON_MAP_NONE) {
		for (index = 0; index < r->cfg.link_count_max; index++)
			if (r->links[index].state == PERRON_LINK_FREE)
				break;
		if (index == r->cfg.link_count_max)
			return -ENOSPC;
		bool is_mapped = perron_map_put(&r->link_by_peer, party->id, index);
		PERRON_ASSERT(is_mapped);
	} else if (r->links[index].party.incarnation == party->incarnation &&
		   r->links[index].state != PERRON_LINK_DOWN) {
		r->links[index].party.endpoint = party->endpoint;
		if (r->links[index].state == PERRON_LINK_UP)
			relay_event_link(r, &r->links[index], PERRON_EVENT_LINK_UP, NULL, out);
		return 0;
	}
	perron_group_link(r->group, now_ns, party->id, false, out);
	perron_link_open(&r->links[index], now_ns, party);
	perron_detector_open(&r->detectors[index], now_ns, detector_config(r, party->id));
	relay_wake_at(r, now_ns);
	return 0;
}

static int sibling_open(struct perron_relay *r, uint64_t now_ns,
			const struct perron_command *command, struct perron_effects *out)
{
	int error = link_open(r, now_ns, &command->party, out);

	if (error || !command->value)
		return error;
	return perron_group_sibling(r->group, now_ns, command->party.id, true, out);
}

static int link_close(struct perron_relay *r, uint64_t now_ns, uint32_t peer,
		      struct perron_effects *out)
{
	uint32_t index = perron_map_remove(&r->link_by_peer, peer);

	if (index == PERRON_MAP_NONE)
		return -ENOENT;
	(void)perron_group_sibling(r->group, now_ns, peer, false, out);
	r->links[index] = (struct perron_link){.state = PERRON_LINK_FREE};
	return 0;
}

static int port_down(struct perron_relay *r, uint64_t now_ns, const struct perron_command *command,
		     struct perron_effects *out)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->cfg.link_count_max; i++) {
		struct perron_link *l = &r->links[i];
		if (!relay_link_is_watched(l) ||
		    (command->party.id && command->party.id != l->party.id))
			continue;
		perron_detector_port_down(&r->detectors[i], now_ns, command->sequence,
					  command->value != 0);
		if (!relay_link_judge(r, now_ns, l, out))
			relay_wake_at(r, perron_detector_deadline_ns(&r->detectors[i]));
		count++;
	}
	return count || !command->party.id ? 0 : -ENOENT;
}

/* Said again and again: a command may have found its ring full. */
static int stream_open(struct perron_relay *r, uint64_t now_ns,
		       const struct perron_command *command, struct perron_effects *out)
{
	struct relay_stream *s = relay_stream(r, command->stream);
	bool is_standby = command->value != 0;

	if (s && s->is_standby != is_standby) {
		if (!is_standby)
			return relay_succeed(r, now_ns, s, &command->party, command->sequence, out);
		return relay_stream_yield(r, now_ns, s);
	}
	if (s)
		return 0;
	s = relay_stream(r, 0);
	if (!s)
		return -ENOSPC;
	memset(s->drop, 0, PERRON_DROP_COUNT * sizeof(*s->drop));
	s->stream = command->stream;
	s->next = command->sequence;
	relay_standby_begin(r, s);
	s->is_standby = is_standby;
	return 0;
}

static int stream_close(struct perron_relay *r, uint64_t now_ns, uint32_t stream)
{
	struct relay_stream *s = stream ? relay_stream(r, stream) : NULL;

	if (!s)
		return -ENOENT;
	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++) {
		struct relay_path *p = relay_path(r, stream, class);
		if (p)
			relay_path_close(r, now_ns, p);
	}
	perron_standby_forget(&s->readings);
	relay_wake_at(r, now_ns);
	s->stream = 0;
	return 0;
}

static struct perron_origin *origin_take(struct perron_relay *r, uint64_t first)
{
	for (uint32_t i = 0; i < r->cfg.origin_count_max; i++) {
		struct perron_origin *o = &r->origins[i];
		if (o->window)
			continue;
		perron_origin_init(o, o->frames, r->cfg.origin_window, first);
		return o;
	}
	return NULL;
}

/* The path of (stream, class), made if need be; NULL if a table is full. */
static struct relay_path *path_make(struct perron_relay *r, uint64_t now_ns, uint32_t stream,
				    uint8_t class)
{
	struct relay_path *p = relay_path(r, stream, class);
	struct relay_stream *s = relay_stream(r, stream);
	uint32_t index = 0;

	if (p)
		return p;
	while (index < r->cfg.path_count_max && r->paths[index].path.used)
		index++;
	if (index == r->cfg.path_count_max)
		return NULL;
	p = &r->paths[index];
	struct perron_branch *branches = p->path.branches;
	uint64_t *drop = p->drop;
	bool is_here = s && !s->is_standby;
	struct perron_origin *origin = is_here ? origin_take(r, s->next) : NULL;
	if (is_here && !origin)
		return NULL;
	bool is_mapped = perron_map_put(&r->path_by_key, (uint64_t)stream << 8 | class, index);
	PERRON_ASSERT(is_mapped);
	*p = (struct relay_path){
		.path = {.stream = stream, .class = class, .used = true, .branches = branches},
		.origin = origin,
		.drop = drop,
		.expire_at_ns = now_ns + r->cfg.branch_keep_ns,
	};
	p->path.origin = origin != NULL;
	if (is_here)
		perron_path_start(&p->path, s->next);
	r->path_count++;
	relay_wake_at(r, p->expire_at_ns);
	if (index >= r->path_high)
		r->path_high = index + 1;
	return p;
}

struct relay_path *relay_path_adopt(struct perron_relay *r, uint64_t now_ns, uint32_t stream,
				    uint8_t class, uint64_t first)
{
	struct perron_origin *origin = origin_take(r, first);
	struct relay_path *p = origin ? path_make(r, now_ns, stream, class) : NULL;

	if (!p) {
		if (origin)
			origin->window = 0;
		return NULL;
	}
	PERRON_ASSERT(!p->origin);
	p->origin = origin;
	p->path.origin = true;
	p->path.upstream = 0;
	p->path.ack_due = false;
	p->serve_from = 0;
	p->adopted = true;
	if (p->path.started && p->path.acked.cumulative + 1 >= first)
		return p;
	/* What stands before is not held: who lacks it is told. */
	perron_path_start(&p->path, first);
	perron_path_said(&p->path, &(struct perron_ack){.cumulative = first - 1});
	p->gap_at_ns = now_ns;
	return p;
}

void relay_path_unadopt(struct perron_relay *r, uint64_t now_ns, struct relay_path *p)
{
	p->origin->draining = true;
	p->origin = NULL;
	p->path.origin = false;
	p->adopted = false;
	p->linger_until_ns = 0;
	p->keep_until_ns = 0;
	relay_wake_at(r, now_ns);
}

/* From where the upstream is to serve; 0: the present. */
static uint64_t path_resume(const struct perron_path *p)
{
	uint64_t asked = 0;

	if (p->started)
		return p->acked.cumulative + 1;
	for (uint32_t i = 0; i < p->branch_count; i++)
		if (p->branches[i].asked && (!asked || p->branches[i].asked < asked))
			asked = p->branches[i].asked;
	return asked;
}

static void resume_tell(struct perron_relay *r, struct relay_path *p, struct perron_effects *out)
{
	struct perron_event *event = perron_effects_event(out, 0);

	p->path.resumed = true;
	if (!event) {
		relay_drop(r, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	event->kind = PERRON_EVENT_RESUME;
	event->class = p->path.class;
	event->stream = p->path.stream;
	event->sequence = path_resume(&p->path);
	event->party.id = p->path.upstream;
}

/*
 * Who comes lacks what this path has let go, or never asked for: the upstream may still have it.
 * False: it is too long ago, or there is no upstream.
 */
static bool path_rewind(struct perron_relay *r, struct relay_path *p, uint64_t asked,
			struct perron_effects *out)
{
	if (p->origin || !p->path.upstream || !asked || asked > p->path.acked.cumulative ||
	    p->path.acked.cumulative - asked >= r->cfg.origin_window)
		return false;
	p->path.acked = (struct perron_ack){.cumulative = asked - 1};
	p->path.floor = group_min64(p->path.floor, asked);
	resume_tell(r, p, out);
	return true;
}

static void path_serve(struct perron_relay *r, uint64_t now_ns, struct relay_path *p, uint64_t from)
{
	p->serve_from = p->serve_from ? group_min64(p->serve_from, from) : from;
	relay_wake_at(r, now_ns);
}

static void branch_start(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			 struct perron_branch *b)
{
	uint64_t next = b->asked ? relay_replica_next(r, p, b->asked) : 0;
	bool held = next && next == b->asked;

	/* Better from the first that is held than from what others have not acknowledged. */
	if (!held && next && next <= p->path.acked.cumulative) {
		b->asked = next;
		held = true;
	}
	perron_path_branch_start(&p->path, b, held);
	/* An origin sends what is not acknowledged by itself. */
	bool is_served = held && (!p->origin || b->asked <= p->path.acked.cumulative);
	if (is_served)
		path_serve(r, now_ns, p, b->ack.cumulative + 1);
	if (!(is_served && p->origin) && b->ack.cumulative < p->path.high)
		relay_resend(r, now_ns, p);
}

/* A branch that comes to a path that flows already. */
static void branch_join(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct perron_branch *b, struct perron_effects *out)
{
	uint64_t ignored;

	if (!relay_replica_find(r, p, b->asked, &ignored))
		(void)path_rewind(r, p, b->asked, out);
	branch_start(r, now_ns, p, b);
}

/* A branch that is served asks for what went by before: somebody has come below it. */
static void branch_rewind(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			  struct perron_branch *b, uint64_t asked, struct perron_effects *out)
{
	uint64_t next = relay_replica_next(r, p, asked);

	if (!asked || asked > b->ack.cumulative ||
	    b->ack.cumulative - asked >= r->cfg.origin_window)
		return;
	if (p->origin && asked < p->origin->first)
		asked = p->origin->first;
	if (next != asked && !path_rewind(r, p, asked, out))
		asked = next && next < p->path.acked.cumulative ? next
								: p->path.acked.cumulative + 1;
	if (asked > b->ack.cumulative)
		return;
	b->ack = (struct perron_ack){.cumulative = asked - 1};
	if (next == asked)
		path_serve(r, now_ns, p, asked);
	else
		relay_resend(r, now_ns, p);
}

void relay_branches_start(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			  struct perron_effects *out)
{
	for (uint32_t i = 0; i < p->path.branch_count; i++) {
		struct perron_branch *b = &p->path.branches[i];
		bool waits = b->late;
		b->late = false; /* for one answer */
		if (b->started || waits)
			continue;
		branch_start(r, now_ns, p, b);
		relay_branch_ready(r, now_ns, p, b, out);
	}
}

/*
 * A path that was relayed when this peer became its sensor's owner, and found no room for an origin
 * then; what it had passed on since has other numbers than what comes. NULL: there is none yet.
 */
static struct relay_path *path_at_home(struct perron_relay *r, uint64_t now_ns,
				       struct relay_path *p)
{
	const struct relay_stream *s = relay_stream(r, p->path.stream);
	uint32_t stream = p->path.stream;
	uint8_t class = p->path.class;

	if (!s || s->is_standby || p->origin)
		return p;
	if (!p->path.started || p->path.high < s->next)
		return relay_path_adopt(r, now_ns, stream, class, s->next);
	relay_path_close(r, now_ns, p);
	return path_make(r, now_ns, stream, class);
}

static int branch_open(struct perron_relay *r, uint64_t now_ns,
		       const struct perron_command *command, struct perron_effects *out)
{
	bool is_new = !relay_path(r, command->stream, command->class);
	struct relay_path *p = path_make(r, now_ns, command->stream, command->class);
	uint32_t deadline_us = (uint32_t)command->value;

	if (!p)
		return -ENOSPC;
	p = path_at_home(r, now_ns, p);
	if (!p)
		return -ENOSPC;
	if (is_new && command->sequence && !p->origin)
		relay_keep_begin(r, now_ns, p);
	struct perron_branch *b = perron_path_branch(&p->path, command->party.id);
	bool was_gone = b && b->gone_ns;
	b = perron_path_branch_open(&p->path, r->cfg.branch_count_max, &command->party,
				    command->sequence);
	if (!b) {
		if (!p->path.branch_count)
			relay_path_close(r, now_ns, p);
		return -ENOSPC;
	}
	b->late |= !b->started && !b->renewed_ns && p->path.resumed;
	b->renewed_ns = now_ns;
	p->linger_until_ns = 0;
	if (command->payload_size == sizeof(struct perron_qos))
		relay_qos_raise(r, p, (const struct perron_qos *)command->payload);
	if (deadline_us && (!p->deadline_us || deadline_us < p->deadline_us))
		p->deadline_us = deadline_us;
	uint64_t ignored;
	if (!p->path.started && relay_replica_find(r, p, command->sequence, &ignored))
		perron_path_start(&p->path, command->sequence);
	if (b->started && was_gone)
		relay_resend(r, now_ns, p);
	if (b->started)
		branch_rewind(r, now_ns, p, b, command->sequence, out);
	else if (p->path.started)
		branch_join(r, now_ns, p, b, out);
	if (b->started)
		relay_branch_ready(r, now_ns, p, b, out);
	return 0;
}

static int branch_close(struct perron_relay *r, uint64_t now_ns,
			const struct perron_command *command, struct perron_effects *out)
{
	struct relay_path *p = relay_path(r, command->stream, command->class);
	struct perron_branch *b = p ? perron_path_branch(&p->path, command->party.id) : NULL;

	if (!b)
		return -ENOENT;
	if (command->value == PERRON_BRANCH_GONE && b->started) {
		b->gone_ns = b->gone_ns ? b->gone_ns : now_ns;
		p->expire_at_ns = now_ns;
		relay_wake_at(r, now_ns);
		return 0;
	}
	(void)perron_path_branch_close(&p->path, command->party.id);
	if (p->path.branch_count)
		relay_acknowledged(r, now_ns, p, out);
	else if (p->origin && (command->value || now_ns < p->keep_until_ns))
		relay_linger(r, now_ns, p);
	else
		relay_path_close(r, now_ns, p);
	return 0;
}

/* For a path that has a branch already: a path without would be nobody's. */
static int path_upstream(struct perron_relay *r, uint64_t now_ns,
			 const struct perron_command *command, struct perron_effects *out)
{
	struct relay_path *p = relay_path(r, command->stream, command->class);

	if (p && p->adopted)
		relay_path_unadopt(r, now_ns, p);
	if (!p || p->origin)
		return -ENOENT;
	p->path.upstream = command->party.id;
	resume_tell(r, p, out);
	return 0;
}

/* The upstream serves from below: for a branch that waits, which came after the first answer. */
static void path_lower(struct perron_relay *r, struct relay_path *p, uint64_t sequence)
{
	bool is_wanted = false;

	for (uint32_t i = 0; i < p->path.branch_count; i++)
		is_wanted |= !p->path.branches[i].started && p->path.branches[i].asked &&
			     p->path.branches[i].asked <= p->path.acked.cumulative;
	if (!is_wanted || !p->path.started || sequence > p->path.acked.cumulative ||
	    p->path.acked.cumulative - sequence >= r->cfg.origin_window)
		return;
	p->path.acked = (struct perron_ack){.cumulative = sequence - 1};
	p->path.floor = group_min64(p->path.floor, sequence);
}

static int path_start(struct perron_relay *r, uint64_t now_ns, const struct perron_command *command,
		      struct perron_effects *out)
{
	struct relay_path *p = relay_path(r, command->stream, command->class);

	if (!p || p->origin)
		return -ENOENT;
	path_lower(r, p, command->sequence);
	uint64_t floor = p->path.floor;
	perron_path_start(&p->path, command->sequence);
	p->path.resumed = false;
	for (uint32_t i = 0; i < p->path.branch_count; i++) {
		struct perron_branch *b = &p->path.branches[i];
		if (b->started && p->path.floor > floor)
			relay_gap_send(r, now_ns, p, b, out);
		b->late &= b->asked && b->asked < command->sequence;
	}
	relay_branches_start(r, now_ns, p, out);
	relay_acknowledged(r, now_ns, p, out);
	if (p->early)
		relay_resend(r, now_ns, p); /* they were dropped */
	p->early = false;
	return 0;
}

static bool command_is_valid(const struct perron_command *c)
{
	switch (c->kind) {
	case PERRON_COMMAND_SEND:
		return c->party.id && c->type >= PERRON_TYPE_CONTROL_FIRST &&
		       c->type <= PERRON_TYPE_CONTROL_LAST &&
		       c->payload_size <= PERRON_PAYLOAD_SIZE_MAX;
	case PERRON_COMMAND_STREAM_OPEN:
		return c->stream && c->sequence && c->sequence <= PERRON_SEQUENCE_MAX;
	case PERRON_COMMAND_BRANCH_OPEN:
		return c->stream && c->class <= PERRON_CLASS_NORMAL && c->party.id;
	case PERRON_COMMAND_ADOPT:
		return c->stream && c->party.id;
	case PERRON_COMMAND_UPSTREAM:
		return c->stream && c->class <= PERRON_CLASS_NORMAL;
	case PERRON_COMMAND_START:
		return c->stream && c->class <= PERRON_CLASS_NORMAL && c->sequence &&
		       c->sequence <= PERRON_SEQUENCE_MAX;
	default:
		return c->kind > PERRON_COMMAND_NONE && c->kind < PERRON_COMMAND_COUNT;
	}
}

int perron_relay_command(struct perron_relay *r, uint64_t now_ns,
			 const struct perron_command *command, struct perron_effects *out)
{
	if (!command_is_valid(command))
		return -EINVAL;
	r->release_budget = RELAY_RELEASE_MAX;
	switch ((enum perron_command_kind)command->kind) {
	case PERRON_COMMAND_LINK_OPEN:
		return sibling_open(r, now_ns, command, out);
	case PERRON_COMMAND_LINK_CLOSE:
		return link_close(r, now_ns, command->party.id, out);
	case PERRON_COMMAND_SEND:
		control_send(r, now_ns, command, out);
		return 0;
	case PERRON_COMMAND_STREAM_OPEN:
		return stream_open(r, now_ns, command, out);
	case PERRON_COMMAND_STREAM_CLOSE:
		return stream_close(r, now_ns, command->stream);
	case PERRON_COMMAND_BRANCH_OPEN:
		return branch_open(r, now_ns, command, out);
	case PERRON_COMMAND_BRANCH_CLOSE:
		return branch_close(r, now_ns, command, out);
	case PERRON_COMMAND_UPSTREAM:
		return path_upstream(r, now_ns, command, out);
	case PERRON_COMMAND_START:
		return path_start(r, now_ns, command, out);
	case PERRON_COMMAND_CLOCK:
		r->cfg.clock_offset_ns = (uint64_t)command->value;
		return 0;
	case PERRON_COMMAND_CELL:
		perron_group_cell(r->group, now_ns, command->sequence, (uint8_t)command->value,
				  out);
		return 0;
	case PERRON_COMMAND_SIBLING:
		return perron_group_sibling(r->group, now_ns, command->party.id,
					    command->value != 0, out);
	case PERRON_COMMAND_MULTICAST:
		return perron_group_send(r->group, now_ns, command->stream,
					 (enum perron_group_service)command->class,
					 command->payload, command->payload_size, out);
	case PERRON_COMMAND_GROUP_JOIN:
		return perron_group_light_join(r->group, now_ns, command->stream, out);
	case PERRON_COMMAND_GROUP_LEAVE:
		return perron_group_light_leave(r->group, now_ns, command->stream, out);
	case PERRON_COMMAND_ADOPT:
		return relay_adopt(r, now_ns, command->stream, &command->party, out);
	case PERRON_COMMAND_PORT_DOWN:
		return port_down(r, now_ns, command, out);
	case PERRON_COMMAND_NONE:
	case PERRON_COMMAND_COUNT:
		break;
	}
	return -EINVAL;
}
