/* The relay's streams: data up, acknowledgements down, gaps, and what a sensor offers. */
#include "ft/group_private.h"

#include <string.h>

static struct perron_header path_header(const struct perron_relay *r, uint64_t now_ns,
					const struct perron_path *p, uint8_t type,
					uint64_t sequence)
{
	return (struct perron_header){
		.type = type,
		.class = p->class,
		.stream = p->stream,
		.sequence = sequence,
		.origin_ns = now_ns + r->cfg.clock_offset_ns,
	};
}

static uint64_t branch_floor(const struct perron_path *p, const struct perron_branch *b)
{
	return p->floor > b->floor ? p->floor : b->floor;
}

/* Up to where a branch has everything that can be had. */
static uint64_t branch_had(const struct perron_path *p, const struct perron_branch *b)
{
	uint64_t floor = branch_floor(p, b);

	return floor > b->ack.cumulative + 1 ? floor - 1 : b->ack.cumulative;
}

void relay_branch_ready(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct perron_branch *b, struct perron_effects *out)
{
	struct perron_event *event = perron_effects_event(out, 0);

	(void)now_ns;
	if (!event) {
		relay_drop(r, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	event->kind = PERRON_EVENT_BRANCH_READY;
	event->class = p->path.class;
	event->stream = p->path.stream;
	event->party = b->party;
	event->sequence = b->ack.cumulative + 1;
}

/* Where what a branch lacks ends: at the first frame that is held for another, or at its floor. */
static uint64_t gap_end(const struct perron_relay *r, const struct relay_path *p,
			const struct perron_branch *b)
{
	uint64_t floor = branch_floor(&p->path, b);
	uint64_t from = b->ack.cumulative + 1 > b->floor ? b->ack.cumulative + 1 : b->floor;
	uint64_t held = relay_replica_next(r, p, from);

	return held && held < floor ? held : floor;
}

void relay_gap_send(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		    struct perron_branch *b, struct perron_effects *out)
{
	uint64_t end = gap_end(r, p, b);
	struct perron_header header = path_header(r, now_ns, &p->path, PERRON_TYPE_GAP, end);

	b->gap_sent_ns = now_ns;
	p->gap_at_ns = now_ns + RELAY_GAP_REPEAT_NS;
	relay_wake_at(r, p->gap_at_ns);
	if (end < branch_floor(&p->path, b) && (!p->serve_from || end < p->serve_from)) {
		p->serve_from = end;
		relay_wake_at(r, now_ns);
	}
	if (end <= b->ack.cumulative + 1)
		return; /* nothing is missing: it is sent once more */
	if (!relay_send(r, now_ns, &b->party, &header, NULL, out))
		relay_drop_of(r, p->drop, PERRON_DROP_NO_LINK, 1);
}

/* Whether what all branches have is kept all the same, for those that are yet to come. */
static bool origin_keeps(const struct relay_path *p, uint64_t now_ns)
{
	return now_ns < p->keep_until_ns &&
	       perron_origin_has_room(p->origin, p->origin->window / 4);
}

/* Lets go of what stands below `sequence`, as far as this call's budget goes. */
static void origin_release(struct perron_relay *r, struct perron_origin *o, uint64_t sequence,
			   struct perron_effects *out)
{
	uint64_t handles[RELAY_RELEASE_MAX];
	uint32_t count = perron_origin_pop(o, sequence, handles, r->release_budget);

	for (uint32_t i = 0; i < count; i++)
		perron_effects_release(out, handles[i]);
	r->release_budget -= count;
}

static bool origin_is_behind(const struct relay_path *p)
{
	return !p->keep_until_ns && p->origin->first < p->origin->next &&
	       p->origin->first <= p->path.acked.cumulative;
}

/* What the branches have is let go of, unless it is kept. */
static void origin_pass(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct perron_effects *out)
{
	if (origin_keeps(p, now_ns))
		return;
	if (p->keep_until_ns <= now_ns)
		p->keep_until_ns = 0;
	origin_release(r, p->origin, p->path.acked.cumulative + 1, out);
	if (origin_is_behind(p))
		relay_wake_at(r, now_ns);
}

static void ack_schedule(struct perron_relay *r, uint64_t now_ns, struct relay_path *p)
{
	if (p->path.ack_due)
		return;
	p->path.ack_due = true;
	p->path.ack_due_ns = now_ns + r->cfg.ack_interval_ns;
	relay_wake_at(r, p->path.ack_due_ns);
}

void relay_resend(struct perron_relay *r, uint64_t now_ns, struct relay_path *p)
{
	if (p->origin) {
		perron_origin_hurry(p->origin, now_ns);
		relay_wake_at(r, now_ns);
		return;
	}
	p->path.resend_due = true;
	p->path.ack_due = true;
	p->path.ack_due_ns = now_ns;
	relay_wake_at(r, now_ns);
}

void relay_acknowledged(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct perron_effects *out)
{
	struct perron_ack all = perron_path_aggregate(&p->path);

	if (all.cumulative == p->path.acked.cumulative && all.bitmap == p->path.acked.bitmap)
		return;
	if (p->origin) {
		perron_path_said(&p->path, &all);
		relay_copies_acknowledged(r, now_ns, p, out);
		origin_pass(r, now_ns, p, out);
	} else {
		ack_schedule(r, now_ns, p);
	}
}

/* A client that is too far behind loses its oldest frames: it shall cost only itself. */
static void client_lag(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		       struct perron_branch *b, struct perron_effects *out)
{
	uint64_t floor = p->path.high - r->cfg.client_lag_max / 2;
	uint64_t had = branch_had(&p->path, b);

	PERRON_ASSERT(floor > had + 1);
	relay_drop_of(r, p->drop, PERRON_DROP_CLIENT_LAG, floor - had - 1);
	b->floor = floor;
	relay_gap_send(r, now_ns, p, b, out);
	relay_acknowledged(r, now_ns, p, out);
	struct perron_event *event = perron_effects_event(out, 0);
	if (!event)
		return;
	event->kind = PERRON_EVENT_CLIENT_LAG;
	event->class = p->path.class;
	event->stream = p->path.stream;
	event->party = b->party;
	event->sequence = floor;
}

static void clients_watch(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			  struct perron_effects *out)
{
	for (uint32_t i = 0; i < p->path.branch_count; i++) {
		struct perron_branch *b = &p->path.branches[i];
		if (b->started && (b->party.id & PERRON_CLIENT_ID) &&
		    p->path.high > branch_had(&p->path, b) + r->cfg.client_lag_max)
			client_lag(r, now_ns, p, b, out);
	}
}

static bool branch_wants(const struct perron_branch *b, uint64_t sequence)
{
	return b->started && !b->gone_ns && sequence >= b->floor &&
	       !perron_ack_has(&b->ack, sequence);
}

uint32_t relay_fan_out(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		       uint64_t sequence, uint64_t handle, uint8_t frame_flags,
		       struct perron_effects *out)
{
	uint32_t sent = 0;

	for (uint32_t i = 0; i < p->path.branch_count; i++) {
		struct perron_branch *b = &p->path.branches[i];
		struct perron_hop hop;
		if (!branch_wants(b, sequence))
			continue;
		if (!relay_hop(r, now_ns, &b->party, &hop)) {
			relay_drop_of(r, p->drop, PERRON_DROP_NO_LINK, 1);
			continue;
		}
		hop.class = p->path.class;
		hop.flags = frame_flags;
		uint32_t before = out->count;
		perron_effects_forward(out, handle, b->party.endpoint, p->path.class, &hop, 0);
		if (out->count == before) {
			relay_drop_of(r, p->drop, PERRON_DROP_EFFECTS_FULL, 1);
			continue;
		}
		b->forwarded++;
		sent++;
	}
	r->counters.forwarded += sent;
	return sent;
}

/* The latest of what was sent of a frame that is of no use afterwards need not be a copy. */
static void last_mark(struct perron_effects *out, uint32_t from, uint64_t handle)
{
	for (uint32_t i = out->count; i-- > from;) {
		struct perron_effect *e = &out->items[i];
		if (e->kind != PERRON_EFFECT_FORWARD || e->handle != handle)
			continue;
		e->flags |= PERRON_EFFECT_LAST;
		return;
	}
}

static enum perron_drop data_permit(const struct relay_path *p, const struct perron_header *header)
{
	if (!p || p->origin)
		return PERRON_DROP_UNKNOWN_STREAM;
	if (p->path.upstream != header->source)
		return PERRON_DROP_WRONG_UPSTREAM;
	if (!p->path.started)
		return PERRON_DROP_EARLY;
	if (!header->sequence || header->sequence > PERRON_SEQUENCE_MAX)
		return PERRON_DROP_MALFORMED;
	return PERRON_DROP_NONE;
}

void relay_data(struct perron_relay *r, uint64_t now_ns, const struct perron_frame *frame,
		const struct perron_header *header, struct perron_effects *out)
{
	struct relay_path *p = relay_path(r, header->stream, header->class);
	enum perron_drop cause = data_permit(p, header);

	if (cause != PERRON_DROP_NONE) {
		relay_drop_of(r, p ? p->drop : NULL, cause, 1);
		if (cause == PERRON_DROP_EARLY)
			p->early = true;
		return;
	}
	uint64_t age_ns = now_ns + r->cfg.clock_offset_ns - header->origin_ns;
	if (header->deadline_us && (int64_t)age_ns > (int64_t)header->deadline_us * 1000) {
		r->counters.late++;
		p->path.late++;
	}
	p->path.received++;
	p->path.bytes += header->length;
	p->path.retried += (header->flags & PERRON_FLAG_RETRY) != 0;
	if (header->sequence > p->path.high) {
		p->path.high = header->sequence;
		clients_watch(r, now_ns, p, out);
	}
	uint8_t flags = header->flags & PERRON_FLAG_RETRY;
	bool acked = perron_ack_has(&p->path.acked, header->sequence);
	uint32_t before = out->count;
	uint32_t sent = relay_fan_out(r, now_ns, p, header->sequence, frame->handle, flags, out);
	bool keeps = relay_path_keeps(p, now_ns);
	if (!acked)
		relay_replicate(r, now_ns, p, header->sequence, frame->handle, out);
	if (keeps && !relay_path_holds(p))
		relay_keep(r, now_ns, p, header->sequence, frame->handle, out);
	if (!keeps && !relay_path_holds(p))
		last_mark(out, before, frame->handle);
	if (!sent) {
		relay_drop_of(r, p->drop, PERRON_DROP_DUPLICATE, 1);
		if (acked)
			ack_schedule(r, now_ns, p); /* what we said upstream was lost */
	}
}

void relay_gap(struct perron_relay *r, uint64_t now_ns, const struct perron_header *header,
	       struct perron_effects *out)
{
	struct relay_path *p = relay_path(r, header->stream, header->class);
	enum perron_drop cause = data_permit(p, header);

	if (cause != PERRON_DROP_NONE) {
		relay_drop_of(r, p ? p->drop : NULL, cause, 1);
		return;
	}
	if (header->sequence <= p->path.floor) {
		relay_drop_of(r, p->drop, PERRON_DROP_DUPLICATE, 1);
		return;
	}
	p->path.floor = header->sequence;
	if (p->path.high < header->sequence - 1)
		p->path.high = header->sequence - 1;
	for (uint32_t i = 0; i < p->path.branch_count; i++)
		if (p->path.branches[i].started)
			relay_gap_send(r, now_ns, p, &p->path.branches[i], out);
	relay_acknowledged(r, now_ns, p, out);
}

void relay_ack(struct perron_relay *r, uint64_t now_ns, const struct perron_frame *frame,
	       const struct perron_header *header, struct perron_effects *out)
{
	struct relay_path *p = relay_path(r, header->stream, header->class);
	struct perron_branch *b = p ? perron_path_branch(&p->path, header->source) : NULL;

	if (header->length != PERRON_ACK_SIZE) {
		relay_drop_of(r, p ? p->drop : NULL, PERRON_DROP_MALFORMED, 1);
		return;
	}
	if (header->flags & PERRON_FLAG_REPLICA) {
		enum perron_drop cause = relay_copy_ack(r, frame, header);
		if (cause != PERRON_DROP_NONE)
			relay_drop_of(r, p ? p->drop : NULL, cause, 1);
		return;
	}
	if (!b || b->party.incarnation != header->source_incarnation) {
		relay_drop_of(r, p ? p->drop : NULL,
			      p ? PERRON_DROP_WRONG_BRANCH : PERRON_DROP_UNKNOWN_STREAM, 1);
		return;
	}
	struct perron_ack ack = {
		.cumulative = header->sequence,
		.bitmap = perron_load64(frame->data + PERRON_HEADER_SIZE),
	};
	if (!perron_path_acknowledge(&p->path, b, &ack)) {
		relay_drop_of(r, p->drop, PERRON_DROP_IMPOSSIBLE_SEQUENCE, 1);
		return;
	}
	if (b->ack.cumulative + 1 < branch_floor(&p->path, b) &&
	    now_ns - b->gap_sent_ns >= RELAY_GAP_NS)
		relay_gap_send(r, now_ns, p, b, out);
	relay_acknowledged(r, now_ns, p, out);
	if (header->flags & PERRON_FLAG_RETRY)
		relay_resend(r, now_ns, p);
}

/* --- the origin --- */

static bool path_is_asked(const struct relay_path *p)
{
	return p && p->origin;
}

static enum perron_offer offer_refuse(struct perron_relay *r, uint64_t *of, enum perron_drop cause,
				      enum perron_offer answer)
{
	relay_drop_of(r, of, cause, 1);
	return answer;
}

/* Effects that a frame makes on a path: held, to each branch, to each copy with its floor. */
static uint32_t path_needs(const struct relay_path *p)
{
	return p->path.branch_count + 1 + (p->qos.replication ? 2 * RELAY_COPY_MAX : 0);
}

/* Effects that an offer makes on all paths of its stream. */
static uint32_t offer_needs(struct relay_path *const *paths, uint32_t count)
{
	uint32_t needed = 0;

	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++)
		if (path_is_asked(paths[class]))
			needed += count * path_needs(paths[class]);
	return needed;
}

/* Whether every path of the stream can take `count` frames, and the tightest bound of them. */
static enum perron_offer offer_permit(struct perron_relay *r, const struct relay_stream *s,
				      uint64_t age_ns, struct relay_path *const *paths,
				      uint32_t count, uint32_t room, uint32_t *deadline_us)
{
	bool asked = false;

	*deadline_us = 0;
	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++) {
		const struct relay_path *p = paths[class];
		if (!path_is_asked(p))
			continue;
		asked = true;
		uint32_t needed = count * path_needs(p);
		if (!perron_origin_has_room(p->origin, count) || needed > room)
			return offer_refuse(r, p->drop, PERRON_DROP_ORIGIN_FULL,
					    PERRON_OFFER_WOULD_BLOCK);
		room -= needed;
		if (p->deadline_us && (!*deadline_us || p->deadline_us < *deadline_us))
			*deadline_us = p->deadline_us;
	}
	if (!asked)
		return offer_refuse(r, s->drop, PERRON_DROP_NO_SUBSCRIBER,
				    PERRON_OFFER_NO_SUBSCRIBER);
	if (*deadline_us && age_ns > (uint64_t)*deadline_us * 1000)
		return offer_refuse(r, s->drop, PERRON_DROP_DEADLINE,
				    PERRON_OFFER_DEADLINE_IMPOSSIBLE);
	return PERRON_OFFER_ACCEPTED;
}

static void frame_originate(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			    uint64_t sequence, const struct perron_frame *frame,
			    struct perron_effects *out)
{
	uint64_t given = perron_origin_push(p->origin, now_ns, frame->handle, &r->retry);

	PERRON_ASSERT(given == sequence);
	p->path.high = sequence;
	p->path.received++;
	p->path.bytes += frame->length - PERRON_HEADER_SIZE;
	perron_effects_hold(out, frame->handle);
	relay_wake_at(r, p->origin->due_ns);
	clients_watch(r, now_ns, p, out);
	(void)relay_fan_out(r, now_ns, p, sequence, frame->handle, 0, out);
	relay_replicate(r, now_ns, p, sequence, frame->handle, out);
}

/* A message that is offered. */
struct offer {
	uint64_t now_ns;
	uint64_t stamp_ns;
	const struct perron_frame *frames;
	uint32_t count;
	bool traced;
};

static void offer_header(const struct perron_relay *r, const struct relay_stream *s,
			 const struct offer *m, uint32_t index, uint32_t deadline_us,
			 struct perron_header *header)
{
	*header = (struct perron_header){
		.type = PERRON_TYPE_DATA,
		.class = PERRON_CLASS_NORMAL,
		.flags = m->traced ? PERRON_FLAG_TRACE : 0,
		.fragment_index = (uint8_t)index,
		.fragment_count = (uint8_t)m->count,
		.length = (uint16_t)(m->frames[index].length - PERRON_HEADER_SIZE),
		.overlay = r->cfg.overlay,
		.stream = s->stream,
		.sequence = s->next,
		.origin_ns = m->stamp_ns + r->cfg.clock_offset_ns,
		.deadline_us = deadline_us,
	};
	(void)perron_frame_encode(m->frames[index].data, header);
}

/* Somebody else publishes it, and we are to know what to go on with. */
static enum perron_offer offer_standby(struct perron_relay *r, struct relay_stream *s,
				       const struct offer *m, struct perron_effects *out)
{
	struct perron_header header;

	if (!perron_effects_has_room(out, 2 * m->count, 0))
		return offer_refuse(r, s->drop, PERRON_DROP_EFFECTS_FULL, PERRON_OFFER_WOULD_BLOCK);
	for (uint32_t i = 0; i < m->count; i++) {
		offer_header(r, s, m, i, 0, &header);
		relay_standby_offer(r, s, &header, &m->frames[i], out);
	}
	return PERRON_OFFER_READ_ALONG;
}

/* How many of the message's first frames were taken by the owner before us. */
static uint32_t offer_had(struct relay_stream *s, const struct offer *m, struct perron_effects *out)
{
	uint32_t had = 0;

	while (had < m->count && s->behind) {
		const struct perron_frame *f = &m->frames[had];
		uint32_t hash = relay_reading_hash(f->data + PERRON_HEADER_SIZE,
						   f->length - PERRON_HEADER_SIZE, m->traced,
						   (uint8_t)had, (uint8_t)m->count);
		if (!relay_standby_had(s, hash, out))
			break;
		had++;
	}
	return had;
}

static enum perron_offer offer_take(struct perron_relay *r, struct relay_stream *s,
				    const struct offer *m, struct perron_effects *out)
{
	struct relay_path *paths[PERRON_CLASS_NORMAL + 1];
	uint32_t limit = out->capacity - PERRON_EFFECT_RESERVE(out->capacity);
	uint32_t room = out->count < limit ? limit - out->count : 0;
	/* A driver's thread may have stamped it after the lcore read its clock. */
	uint64_t age_ns = m->now_ns > m->stamp_ns ? m->now_ns - m->stamp_ns : 0;
	uint32_t deadline_us;

	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++)
		paths[class] = relay_path(r, s->stream, class);
	if (offer_needs(paths, m->count) > limit)
		return offer_refuse(r, s->drop, PERRON_DROP_LENGTH, PERRON_OFFER_TOO_LARGE);
	enum perron_offer answer = offer_permit(r, s, age_ns, paths, m->count, room, &deadline_us);
	if (answer != PERRON_OFFER_ACCEPTED)
		return answer;
	for (uint32_t i = offer_had(s, m, out); i < m->count; i++) {
		struct perron_header header;
		offer_header(r, s, m, i, deadline_us, &header);
		for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++)
			if (path_is_asked(paths[class]))
				frame_originate(r, m->now_ns, paths[class], s->next, &m->frames[i],
						out);
		s->next++;
	}
	return PERRON_OFFER_ACCEPTED;
}

enum perron_offer perron_relay_offer(struct perron_relay *r, uint64_t now_ns, uint32_t stream,
				     uint64_t stamp_ns, const struct perron_frame *frames,
				     uint32_t count, bool traced, struct perron_effects *out)
{
	PERRON_ASSERT(count > 0 && count <= PERRON_FRAGMENT_COUNT_MAX);
	struct relay_stream *s = stream ? relay_stream(r, stream) : NULL;
	const struct offer m = {now_ns, stamp_ns, frames, count, traced};

	r->counters.offered++;
	if (!s)
		return offer_refuse(r, NULL, PERRON_DROP_UNKNOWN_STREAM,
				    PERRON_OFFER_UNKNOWN_STREAM);
	return s->is_standby ? offer_standby(r, s, &m, out) : offer_take(r, s, &m, out);
}

/* Tries used up: this frame and all before it will not come any more. */
static void origin_abandon(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			   uint64_t sequence, struct perron_effects *out)
{
	for (uint64_t s = p->origin->first; s <= sequence; s++)
		if (!perron_ack_has(&p->path.acked, s))
			relay_drop_of(r, p->drop, PERRON_DROP_ABANDONED, 1);
	p->path.floor = sequence + 1;
	for (uint32_t i = 0; i < p->path.branch_count; i++)
		if (p->path.branches[i].started)
			relay_gap_send(r, now_ns, p, &p->path.branches[i], out);
	relay_acknowledged(r, now_ns, p, out);
	struct perron_event *event = perron_effects_event(out, 0);
	if (!event)
		return;
	event->kind = PERRON_EVENT_ABANDONED;
	event->class = p->path.class;
	event->stream = p->path.stream;
	event->sequence = sequence;
}

static void origin_tick(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			uint32_t *retry_budget, struct perron_effects *out)
{
	struct perron_ack have;

	origin_pass(r, now_ns, p, out);
	if (!perron_path_lack(&p->path, &have))
		p->origin->due_ns = UINT64_MAX; /* nobody to send to: it waits for who comes */
	if (p->origin->due_ns > now_ns)
		return;
	uint64_t cursor = p->origin->first;
	while (*retry_budget) {
		bool exhausted = false;
		const struct perron_origin_frame *f = perron_origin_retry(
			p->origin, now_ns, &have, &r->retry, &cursor, &exhausted);
		if (!f)
			return;
		bool is_here = f->handle != PERRON_ORIGIN_NONE;
		if (exhausted && (is_here || cursor == p->path.acked.cumulative + 1)) {
			origin_abandon(r, now_ns, p, cursor, out);
		} else if (is_here) {
			r->counters.retried++;
			p->path.retried++;
			(void)relay_fan_out(r, now_ns, p, cursor, f->handle, PERRON_FLAG_RETRY,
					    out);
			relay_copies_retry(r, now_ns, p, cursor, f->handle, out);
		}
		cursor++;
		--*retry_budget;
	}
	p->origin->due_ns = now_ns; /* there may be more: the next tick goes on */
}

void relay_origins_drain(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out)
{
	for (uint32_t i = 0; i < r->cfg.origin_count_max; i++) {
		struct perron_origin *o = &r->origins[i];
		if (!o->draining)
			continue;
		origin_release(r, o, o->next, out);
		if (o->first < o->next) {
			relay_wake_at(r, now_ns);
			continue;
		}
		o->draining = false;
		o->window = 0;
	}
}

static void ack_send(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		     struct perron_effects *out)
{
	struct perron_ack all = perron_path_aggregate(&p->path);
	struct perron_header header =
		path_header(r, now_ns, &p->path, PERRON_TYPE_ACK, all.cumulative);
	struct perron_link *upstream = relay_link(r, p->path.upstream);
	uint8_t payload[PERRON_ACK_SIZE];

	p->path.ack_due = false;
	if (!upstream)
		return; /* housekeeping finds another; its answer starts us from what we have */
	header.length = PERRON_ACK_SIZE;
	header.flags = p->path.resend_due ? PERRON_FLAG_RETRY : 0;
	p->path.resend_due = false;
	perron_store64(payload, all.bitmap);
	if (!relay_send(r, now_ns, &upstream->party, &header, payload, out))
		return;
	perron_path_said(&p->path, &all);
	relay_copies_acknowledged(r, now_ns, p, out);
}

void relay_linger(struct perron_relay *r, uint64_t now_ns, struct relay_path *p)
{
	PERRON_ASSERT(p->origin && !p->path.branch_count);
	p->linger_until_ns = now_ns + r->cfg.branch_keep_ns;
	p->expire_at_ns = p->linger_until_ns;
	p->origin->due_ns = UINT64_MAX; /* nobody to send to */
}

/* Nobody came back for what was accepted: it is lost, and counted. */
static void path_forsake(struct perron_relay *r, uint64_t now_ns, struct relay_path *p)
{
	struct relay_stream *s = relay_stream(r, p->path.stream);
	uint64_t lost = 0;

	if (p->origin)
		for (uint64_t q = p->origin->first; q < p->origin->next; q++)
			lost += !perron_ack_has(&p->path.acked, q);
	relay_drop_of(r, s ? s->drop : NULL, PERRON_DROP_ABANDONED, lost);
	relay_path_close(r, now_ns, p);
}

/* Who lacks a GAP and says nothing is told again. */
static void gaps_repeat(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct perron_effects *out)
{
	p->gap_at_ns = 0;
	for (uint32_t i = 0; i < p->path.branch_count; i++) {
		struct perron_branch *b = &p->path.branches[i];
		if (b->started && b->ack.cumulative + 1 < branch_floor(&p->path, b))
			relay_gap_send(r, now_ns, p, b, out);
	}
}

/*
 * A peer is gone, and its clients come by others, one by one: what it had not acknowledged is kept
 * for a while, but for nobody at the cost of those who are there.
 */
static bool gone_is_over(const struct perron_relay *r, uint64_t now_ns, const struct relay_path *p,
			 const struct perron_branch *b)
{
	uint64_t keep_ns = p->path.branch_count > 1 ? r->cfg.branch_keep_ns / 2
						    : r->cfg.branch_keep_ns;

	return now_ns - b->gone_ns > keep_ns ||
	       p->path.high - b->ack.cumulative > r->cfg.origin_window / 2;
}

/*
 * Branches are soft state: a command that ended one may have found its ring full, and a branch that
 * nobody wants would hold the origin's frames for ever.
 */
static void branches_expire(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			    struct perron_effects *out)
{
	p->expire_at_ns = now_ns + r->cfg.branch_keep_ns / 2;
	bool had_gone = false;

	for (uint32_t i = p->path.branch_count; i-- > 0;) {
		const struct perron_branch *b = &p->path.branches[i];
		had_gone |= b->gone_ns != 0;
		bool is_over = b->gone_ns ? gone_is_over(r, now_ns, p, b)
					  : now_ns - b->renewed_ns > r->cfg.branch_keep_ns;
		if (b->gone_ns)
			p->expire_at_ns =
				group_min64(p->expire_at_ns, now_ns + r->cfg.branch_keep_ns / 64);
		if (is_over)
			(void)perron_path_branch_close(&p->path, b->party.id);
	}
	if (p->path.branch_count)
		relay_acknowledged(r, now_ns, p, out);
	else if (p->origin && !p->linger_until_ns && !had_gone)
		relay_linger(r, now_ns, p);
	else if (p->linger_until_ns <= now_ns)
		path_forsake(r, now_ns, p);
}

void relay_path_tick(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		     uint32_t *retry_budget, struct perron_effects *out)
{
	if (p->gap_at_ns && p->gap_at_ns <= now_ns)
		gaps_repeat(r, now_ns, p, out);
	if (p->expire_at_ns <= now_ns)
		branches_expire(r, now_ns, p, out);
	relay_copies_tick(r, now_ns, p, out);
	if (!p->origin)
		relay_keep_tick(r, now_ns, p, out);
	if (p->serve_from && relay_replica_serve(r, now_ns, p, &p->serve_from, out))
		p->serve_from = 0;
	if (p->origin)
		origin_tick(r, now_ns, p, retry_budget, out);
	else if (p->path.ack_due && p->path.ack_due_ns <= now_ns)
		ack_send(r, now_ns, p, out);
}

uint64_t relay_path_deadline_ns(const struct relay_path *p)
{
	if (!p->path.used)
		return UINT64_MAX;
	uint64_t due = group_min64(p->expire_at_ns, relay_copies_deadline_ns(p));
	if (p->serve_from)
		return 0;
	if (p->gap_at_ns && p->gap_at_ns < due)
		due = p->gap_at_ns;
	if (p->origin && origin_is_behind(p))
		return 0;
	if (p->keep_until_ns && p->keep_until_ns < due)
		due = p->keep_until_ns;
	if (p->origin && p->origin->due_ns < due)
		due = p->origin->due_ns;
	if (p->path.ack_due && p->path.ack_due_ns < due)
		due = p->path.ack_due_ns;
	return due;
}

void relay_path_close(struct perron_relay *r, uint64_t now_ns, struct relay_path *p)
{
	struct perron_branch *branches = p->path.branches;
	uint64_t *drop = p->drop;

	if (p->origin) {
		p->origin->draining = true;
		relay_wake_at(r, now_ns);
	}
	(void)perron_map_remove(&r->path_by_key, (uint64_t)p->path.stream << 8 | p->path.class);
	PERRON_ASSERT(r->path_count > 0);
	r->path_count--;
	memset(drop, 0, PERRON_DROP_COUNT * sizeof(*drop));
	*p = (struct relay_path){.path = {.branches = branches}, .drop = drop};
}
