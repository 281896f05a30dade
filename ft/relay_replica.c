/*
 * Replica buffers: frames held for a path's peer, a sibling or (passive) this one, until they are
 * acknowledged. Copies say nothing before the first floor was heard: so what is acknowledged is
 * held. Paper 000, III.B.c.
 */
#include "ft/group_private.h"

static uint64_t key_of(uint32_t stream, uint8_t class)
{
	return (uint64_t)stream << 8 | class;
}

uint32_t relay_replica_first(const struct perron_relay *r, uint32_t stream, uint8_t class)
{
	return perron_map_find(&r->replica_by_key, key_of(stream, class));
}

struct relay_replica *relay_replica_of(const struct perron_relay *r, uint32_t stream, uint8_t class,
				       uint32_t primary, uint32_t incarnation)
{
	uint32_t i = relay_replica_first(r, stream, class);

	for (; i != PERRON_MAP_NONE; i = r->replicas[i].next)
		if (r->replicas[i].primary == primary && r->replicas[i].incarnation == incarnation)
			return &r->replicas[i];
	return NULL;
}

struct relay_replica *relay_replica_make(struct perron_relay *r, uint64_t now_ns,
					 const struct perron_path *key, uint32_t primary,
					 uint32_t incarnation, uint64_t floor)
{
	uint32_t index = 0;

	while (index < r->cfg.replica_count_max && r->replicas[index].used)
		index++;
	if (index == r->cfg.replica_count_max) {
		relay_drop(r, PERRON_DROP_REPLICA_FULL);
		return NULL;
	}
	struct relay_replica *b = &r->replicas[index];
	struct perron_replica_slot *slots = b->frames.slots;
	*b = (struct relay_replica){
		.used = true,
		.stream = key->stream,
		.class = key->class,
		.primary = primary,
		.incarnation = incarnation,
		.next = relay_replica_first(r, key->stream, key->class),
		.heard_ns = now_ns,
	};
	perron_replica_init(&b->frames, slots, r->cfg.replica_window, floor);
	bool is_put = perron_map_put(&r->replica_by_key, key_of(key->stream, key->class), index);
	PERRON_ASSERT(is_put);
	if (index >= r->replica_high)
		r->replica_high = index + 1;
	return b;
}

static void replica_free(struct perron_relay *r, struct relay_replica *b)
{
	uint32_t index = (uint32_t)(b - r->replicas);
	uint32_t first = relay_replica_first(r, b->stream, b->class);
	bool is_put = true;

	PERRON_ASSERT(!b->frames.count);
	if (first != index) {
		while (r->replicas[first].next != index)
			first = r->replicas[first].next;
		r->replicas[first].next = b->next;
	} else if (b->next != PERRON_MAP_NONE) {
		is_put = perron_map_put(&r->replica_by_key, key_of(b->stream, b->class), b->next);
	} else {
		(void)perron_map_remove(&r->replica_by_key, key_of(b->stream, b->class));
	}
	PERRON_ASSERT(is_put);
	b->used = false;
}

void relay_replica_sweep(struct perron_relay *r, uint64_t now_ns, struct relay_replica *b,
			 struct perron_effects *out)
{
	uint64_t handles[RELAY_RELEASE_MAX];
	uint32_t count = perron_replica_sweep(&b->frames, handles, r->release_budget);

	for (uint32_t i = 0; i < count; i++)
		perron_effects_release(out, handles[i]);
	r->release_budget -= count;
	r->replica_frame_count -= count;
	if (!perron_replica_is_swept(&b->frames))
		relay_wake_at(r, now_ns);
}

/* The oldest frame of class normal makes room, where there are most; false: there is none. */
static bool room_make(struct perron_relay *r, struct perron_effects *out)
{
	struct relay_replica *most = NULL;
	uint64_t handle;

	for (uint32_t i = 0; i < r->replica_high; i++) {
		struct relay_replica *b = &r->replicas[i];
		if (b->used && b->class == PERRON_CLASS_NORMAL && b->frames.count &&
		    (!most || b->frames.count > most->frames.count))
			most = b;
	}
	relay_drop(r, PERRON_DROP_REPLICA_FULL);
	if (!most)
		return false;
	perron_replica_raise(&most->frames, most->frames.floor + 1);
	while (!perron_replica_sweep(&most->frames, &handle, 1))
		perron_replica_raise(&most->frames, most->frames.floor + 1);
	perron_effects_release(out, handle);
	r->replica_frame_count--;
	return true;
}

void relay_replica_hold(struct perron_relay *r, struct relay_replica *b, uint64_t sequence,
			uint64_t handle, struct perron_effects *out)
{
	if (r->replica_frame_count >= r->cfg.replica_frame_max && !room_make(r, out))
		return;
	enum perron_drop cause = perron_replica_put(&b->frames, sequence, handle);
	if (cause != PERRON_DROP_NONE) {
		relay_drop(r, cause);
		return;
	}
	r->replica_frame_count++;
	perron_effects_hold(out, handle);
}

/* --- what a path keeps for clients that are yet to come --- */

void relay_keep_begin(struct perron_relay *r, uint64_t now_ns, struct relay_path *p)
{
	p->keep_until_ns = now_ns + r->cfg.branch_keep_ns / 2;
	relay_wake_at(r, p->keep_until_ns);
}

bool relay_path_keeps(const struct relay_path *p, uint64_t now_ns)
{
	return now_ns < p->keep_until_ns && p->qos.replication && !p->origin;
}

void relay_keep(struct perron_relay *r, uint64_t now_ns, struct relay_path *p, uint64_t sequence,
		uint64_t handle, struct perron_effects *out)
{
	struct relay_replica *own =
		relay_replica_of(r, p->path.stream, p->path.class, r->cfg.peer, r->cfg.incarnation);

	/* Who is known to lack something comes first. */
	if (r->replica_frame_count >= r->cfg.replica_frame_max / 2)
		return;
	if (!own)
		own = relay_replica_make(r, now_ns, &p->path, r->cfg.peer, r->cfg.incarnation,
					 p->path.acked.cumulative + 1);
	if (!own)
		return;
	if (sequence - own->frames.swept >= own->frames.window && sequence > own->frames.floor) {
		perron_replica_raise(&own->frames, sequence - own->frames.window / 2);
		relay_replica_sweep(r, now_ns, own, out);
	}
	relay_replica_hold(r, own, sequence, handle, out);
}

void relay_keep_tick(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		     struct perron_effects *out)
{
	struct relay_replica *own;

	if (!p->keep_until_ns || p->keep_until_ns > now_ns)
		return;
	p->keep_until_ns = 0;
	own = relay_replica_of(r, p->path.stream, p->path.class, r->cfg.peer, r->cfg.incarnation);
	if (!own)
		return;
	/* Of a path that holds for itself, what is acknowledged. */
	perron_replica_raise(&own->frames, relay_path_holds(p) ? p->path.acked.cumulative + 1
							       : own->frames.high + 1);
	relay_replica_sweep(r, now_ns, own, out);
}

/* --- the sibling --- */

static enum perron_drop replica_permit(struct perron_relay *r, const struct perron_header *header)
{
	const struct relay_path *p = relay_path(r, header->stream, header->class);

	if (group_member_index(r->group, header->source) < 0)
		return PERRON_DROP_NOT_MEMBER;
	if (p && p->origin)
		return PERRON_DROP_WRONG_UPSTREAM;
	if (!header->stream || !header->sequence || header->sequence > PERRON_SEQUENCE_MAX ||
	    header->class > PERRON_CLASS_NORMAL)
		return PERRON_DROP_MALFORMED;
	return PERRON_DROP_NONE;
}

static void replica_ack_due(struct perron_relay *r, uint64_t now_ns, struct relay_replica *b)
{
	b->heard_ns = now_ns;
	if (b->ack_due_ns)
		return;
	b->ack_due_ns = now_ns + 4 * r->cfg.ack_interval_ns;
	relay_wake_at(r, b->ack_due_ns);
}

enum perron_drop relay_replica_data(struct perron_relay *r, uint64_t now_ns,
				    const struct perron_frame *frame,
				    const struct perron_header *header, struct perron_effects *out)
{
	enum perron_drop cause = replica_permit(r, header);

	if (cause != PERRON_DROP_NONE)
		return cause;
	struct relay_replica *b = relay_replica_of(r, header->stream, header->class, header->source,
						   header->source_incarnation);
	if (!b)
		return PERRON_DROP_EARLY;
	relay_replica_hold(r, b, header->sequence, frame->handle, out);
	relay_standby_copy(r, b, header, frame->data + PERRON_HEADER_SIZE, out);
	replica_ack_due(r, now_ns, b);
	return PERRON_DROP_NONE;
}

enum perron_drop relay_replica_floor(struct perron_relay *r, uint64_t now_ns,
				     const struct perron_header *header, struct perron_effects *out)
{
	struct perron_path key = {.stream = header->stream, .class = header->class};
	enum perron_drop cause = replica_permit(r, header);

	if (cause != PERRON_DROP_NONE)
		return cause;
	struct relay_replica *b = relay_replica_of(r, header->stream, header->class, header->source,
						   header->source_incarnation);
	if (!b)
		b = relay_replica_make(r, now_ns, &key, header->source, header->source_incarnation,
				       header->sequence);
	if (!b)
		return PERRON_DROP_NONE; /* counted */
	b->is_origin = header->flags & PERRON_FLAG_RETRY;
	perron_replica_raise(&b->frames, header->sequence);
	relay_replica_sweep(r, now_ns, b, out);
	relay_standby_floor(r, now_ns, header->stream);
	replica_ack_due(r, now_ns, b);
	return PERRON_DROP_NONE;
}

static void replica_ack_send(struct perron_relay *r, uint64_t now_ns, struct relay_replica *b,
			     struct perron_effects *out)
{
	const struct perron_link *l = relay_link(r, b->primary);
	struct perron_ack ack = perron_replica_ack(&b->frames);
	uint8_t payload[PERRON_ACK_SIZE];
	struct perron_header header = {
		.type = PERRON_TYPE_ACK,
		.class = b->class,
		.flags = PERRON_FLAG_REPLICA,
		.stream = b->stream,
		.sequence = ack.cumulative,
		.length = PERRON_ACK_SIZE,
		.origin_ns = now_ns + r->cfg.clock_offset_ns,
	};

	b->ack_due_ns = 0;
	perron_store64(payload, ack.bitmap);
	if (l && l->party.incarnation == b->incarnation)
		(void)relay_send(r, now_ns, &l->party, &header, payload, out);
}

/* Our own path is closed, or nobody spoke of it for long: whoever was to come for it has come. */
static bool is_over(struct perron_relay *r, uint64_t now_ns, const struct relay_replica *b)
{
	return b->primary == r->cfg.peer ? !relay_path(r, b->stream, b->class)
					 : now_ns - b->heard_ns >= r->cfg.branch_keep_ns;
}

static void replica_tick(struct perron_relay *r, uint64_t now_ns, struct relay_replica *b,
			 struct perron_effects *out)
{
	bool over = is_over(r, now_ns, b);

	if (b->ack_due_ns && b->ack_due_ns <= now_ns)
		replica_ack_send(r, now_ns, b, out);
	if (over)
		perron_replica_raise(&b->frames, b->frames.high + 1);
	relay_replica_sweep(r, now_ns, b, out);
	if (over && !b->frames.count)
		replica_free(r, b);
}

void relay_replicas_tick(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out)
{
	relay_orphans_tell(r, now_ns, out);
	for (uint32_t i = 0; i < r->replica_high; i++)
		if (r->replicas[i].used)
			replica_tick(r, now_ns, &r->replicas[i], out);
}

uint64_t relay_replica_deadline_ns(const struct perron_relay *r, const struct relay_replica *b)
{
	uint64_t due = b->ack_due_ns ? b->ack_due_ns : UINT64_MAX;

	if (!b->used)
		return UINT64_MAX;
	if (!perron_replica_is_swept(&b->frames))
		return 0;
	if (b->primary != r->cfg.peer)
		due = group_min64(due, b->heard_ns + r->cfg.branch_keep_ns);
	return due;
}

bool perron_relay_holds(const struct perron_relay *r, uint32_t stream, uint8_t class,
			uint32_t primary, uint32_t incarnation, uint64_t sequence)
{
	const struct relay_replica *b = relay_replica_of(r, stream, class, primary, incarnation);
	uint64_t handle;

	return b && perron_replica_get(&b->frames, sequence, &handle);
}

void relay_replicas_check(const struct perron_relay *r)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->replica_high; i++) {
		const struct relay_replica *b = &r->replicas[i];
		if (!b->used)
			continue;
		perron_replica_check(&b->frames);
		count += b->frames.count;
	}
	PERRON_ASSERT(count == r->replica_frame_count);
}
