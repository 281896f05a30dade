#include "ft/group_private.h"

#include <errno.h>
#include <string.h>

#define MS UINT64_C(1000000)

void perron_relay_config_default(struct perron_relay_config *cfg)
{
	*cfg = (struct perron_relay_config){
		.link_count_max = 64,
		.path_count_max = 256,
		.branch_count_max = 16,
		.stream_count_max = 16,
		.origin_count_max = 32,
		.origin_window = 2048,
		.standby_window = 512,
		.replica_count_max = 64,
		.replica_window = 1024,
		.replica_frame_max = 1024,
		.client_lag_max = 1024,
		.branch_keep_ns = 6000 * MS,
		.ack_interval_ns = 1 * MS,
		.retry_ns_min = 20 * MS,
		.retry_ns_max = 1000 * MS,
		.retry_count_max = 10,
	};
	perron_detector_config_default(&cfg->detector);
	perron_group_config_default(&cfg->group);
}

static bool detectors_are_valid(const struct perron_relay_config *c)
{
	for (uint32_t i = 0; i < c->detector_override_count; i++)
		if (!perron_detector_config_is_valid(&c->detector_overrides[i].config))
			return false;
	return perron_detector_config_is_valid(&c->detector);
}

static bool config_is_valid(const struct perron_relay_config *c)
{
	return c->peer && !(c->peer & PERRON_CLIENT_ID) && c->link_count_max &&
	       c->path_count_max && c->branch_count_max &&
	       c->branch_count_max <= PERRON_BRANCH_COUNT_MAX && c->stream_count_max &&
	       c->origin_count_max && c->origin_window >= 64 &&
	       !(c->origin_window & (c->origin_window - 1)) && c->client_lag_max >= 2 &&
	       c->client_lag_max < c->origin_window && detectors_are_valid(c) &&
	       c->standby_window >= 64 && !(c->standby_window & (c->standby_window - 1)) &&
	       c->replica_count_max && c->replica_window >= 64 &&
	       !(c->replica_window & (c->replica_window - 1)) && c->replica_frame_max &&
	       c->branch_keep_ns && c->retry_ns_min && c->retry_ns_max >= c->retry_ns_min &&
	       perron_group_config_is_valid(&c->group);
}

static size_t branch_count(const struct perron_relay_config *c)
{
	return (size_t)c->path_count_max * c->branch_count_max;
}

/* Counts of drops: for each path, and for each sensor here. */
static size_t drop_count(const struct perron_relay_config *c)
{
	return ((size_t)c->path_count_max + c->stream_count_max) * PERRON_DROP_COUNT;
}

static size_t origin_frame_count(const struct perron_relay_config *c)
{
	return (size_t)c->origin_count_max * c->origin_window;
}

static size_t standby_count(const struct perron_relay_config *c)
{
	return (size_t)c->stream_count_max * c->standby_window;
}

static size_t replica_slot_count(const struct perron_relay_config *c)
{
	return (size_t)c->replica_count_max * c->replica_window;
}

size_t perron_relay_size(const struct perron_relay_config *c)
{
	return perron_arena_share(sizeof(struct perron_relay)) +
	       perron_arena_share(c->link_count_max * sizeof(struct perron_link)) +
	       perron_arena_share(c->link_count_max * sizeof(struct perron_detector)) +
	       perron_arena_share(c->path_count_max * sizeof(struct relay_path)) +
	       perron_arena_share(c->stream_count_max * sizeof(struct relay_stream)) +
	       perron_arena_share(standby_count(c) * sizeof(struct perron_standby_reading)) +
	       perron_arena_share(standby_count(c) * sizeof(struct perron_standby_copy)) +
	       perron_arena_share(c->origin_count_max * sizeof(struct perron_origin)) +
	       perron_arena_share(origin_frame_count(c) * sizeof(struct perron_origin_frame)) +
	       perron_arena_share(branch_count(c) * sizeof(struct perron_branch)) +
	       perron_arena_share(drop_count(c) * sizeof(uint64_t)) +
	       perron_arena_share(c->replica_count_max * sizeof(struct relay_replica)) +
	       perron_arena_share(replica_slot_count(c) * sizeof(struct perron_replica_slot)) +
	       perron_map_size(c->link_count_max) + perron_map_size(c->path_count_max) +
	       perron_map_size(c->replica_count_max) +
	       perron_group_size(&c->group);
}

/* Cuts up the memory behind the relay, as perron_relay_size counted it. */
static void relay_lay_out(struct perron_relay *r, const struct perron_relay_config *c)
{
	struct perron_arena a = perron_arena_of(r, perron_relay_size(c));

	(void)perron_arena_take(&a, sizeof(*r));
	r->links = perron_arena_take(&a, c->link_count_max * sizeof(*r->links));
	r->detectors = perron_arena_take(&a, c->link_count_max * sizeof(*r->detectors));
	r->paths = perron_arena_take(&a, c->path_count_max * sizeof(*r->paths));
	r->streams = perron_arena_take(&a, c->stream_count_max * sizeof(*r->streams));
	r->readings = perron_arena_take(&a, standby_count(c) * sizeof(*r->readings));
	r->copies = perron_arena_take(&a, standby_count(c) * sizeof(*r->copies));
	r->origins = perron_arena_take(&a, c->origin_count_max * sizeof(*r->origins));
	r->origin_frames =
		perron_arena_take(&a, origin_frame_count(c) * sizeof(*r->origin_frames));
	r->branches = perron_arena_take(&a, branch_count(c) * sizeof(*r->branches));
	r->drops = perron_arena_take(&a, drop_count(c) * sizeof(*r->drops));
	r->replicas = perron_arena_take(&a, c->replica_count_max * sizeof(*r->replicas));
	r->replica_slots =
		perron_arena_take(&a, replica_slot_count(c) * sizeof(*r->replica_slots));
	perron_map_init(&r->link_by_peer, &a, c->link_count_max, c->seed);
	perron_map_init(&r->path_by_key, &a, c->path_count_max, c->seed);
	perron_map_init(&r->replica_by_key, &a, c->replica_count_max, c->seed);
	r->group = perron_group_init(&a, &c->group, r);
	for (uint32_t i = 0; i < c->path_count_max; i++) {
		r->paths[i].path.branches = &r->branches[(size_t)i * c->branch_count_max];
		r->paths[i].drop = &r->drops[(size_t)i * PERRON_DROP_COUNT];
	}
	for (uint32_t i = 0; i < c->stream_count_max; i++) {
		r->streams[i].drop =
			&r->drops[((size_t)c->path_count_max + i) * PERRON_DROP_COUNT];
		r->streams[i].readings.readings = &r->readings[(size_t)i * c->standby_window];
		r->streams[i].readings.copies = &r->copies[(size_t)i * c->standby_window];
	}
	for (uint32_t i = 0; i < c->origin_count_max; i++)
		r->origins[i].frames = &r->origin_frames[(size_t)i * c->origin_window];
	for (uint32_t i = 0; i < c->replica_count_max; i++)
		r->replicas[i].frames.slots = &r->replica_slots[(size_t)i * c->replica_window];
	PERRON_ASSERT(a.used == a.size);
}

int perron_relay_init(struct perron_relay *r, const struct perron_relay_config *cfg,
		      uint64_t now_ns)
{
	if (!config_is_valid(cfg))
		return -EINVAL;
	relay_lay_out(r, cfg);
	r->cfg = *cfg;
	r->retry = (struct perron_origin_retry){
		.ns_min = cfg->retry_ns_min,
		.ns_max = cfg->retry_ns_max,
		.count_max = cfg->retry_count_max,
	};
	r->deadline_ns = now_ns + cfg->detector.interval_ns;
	perron_relay_check(r);
	return 0;
}

struct perron_link *relay_link(struct perron_relay *r, uint32_t peer)
{
	uint32_t index = perron_map_find(&r->link_by_peer, peer);

	if (index == PERRON_MAP_NONE)
		return NULL;
	struct perron_link *l = &r->links[index];
	return l->state == PERRON_LINK_DOWN ? NULL : l;
}

struct relay_path *relay_path(struct perron_relay *r, uint32_t stream, uint8_t class)
{
	uint32_t index = perron_map_find(&r->path_by_key, (uint64_t)stream << 8 | class);

	return index == PERRON_MAP_NONE ? NULL : &r->paths[index];
}

struct relay_stream *relay_stream(struct perron_relay *r, uint32_t stream)
{
	for (uint32_t i = 0; i < r->cfg.stream_count_max; i++)
		if (r->streams[i].stream == stream &&
		    (stream || !r->streams[i].readings.held_count))
			return &r->streams[i];
	return NULL;
}

void relay_link_hop(struct perron_relay *r, uint64_t now_ns, struct perron_link *l,
		    struct perron_hop *hop)
{
	perron_link_hop(l, now_ns, r->cfg.peer, r->cfg.incarnation, hop);
	perron_detector_sent(relay_detector(r, l), now_ns);
}

/* The next hop's fields for a frame to a neighbour or a client; false: a peer without a link. */
bool relay_hop(struct perron_relay *r, uint64_t now_ns, const struct perron_party *to,
	       struct perron_hop *hop)
{
	struct perron_link *l = relay_link(r, to->id);

	if (l) {
		relay_link_hop(r, now_ns, l, hop);
		return true;
	}
	*hop = (struct perron_hop){
		.source = r->cfg.peer,
		.source_incarnation = r->cfg.incarnation,
		.destination = to->id,
		.destination_incarnation = to->incarnation,
	};
	return (to->id & PERRON_CLIENT_ID) != 0;
}

void relay_frame_send(struct perron_relay *r, const struct perron_party *to,
		       const struct perron_hop *hop, struct perron_header *header,
		       const uint8_t *payload, struct perron_effects *out)
{
	uint8_t *frame = perron_effects_frame(out, header->length);

	if (!frame) {
		relay_drop(r, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	if (header->length)
		memcpy(frame + PERRON_HEADER_SIZE, payload, header->length);
	header->overlay = r->cfg.overlay;
	header->fragment_count = 1;
	header->source = hop->source;
	header->source_incarnation = hop->source_incarnation;
	header->destination = hop->destination;
	header->destination_incarnation = hop->destination_incarnation;
	header->link_sequence = hop->link_sequence;
	header->link_ack = hop->link_ack;
	perron_effects_send(out, frame, header, to->endpoint);
	r->counters.sent++;
}

bool relay_send(struct perron_relay *r, uint64_t now_ns, const struct perron_party *to,
		struct perron_header *header, const uint8_t *payload, struct perron_effects *out)
{
	struct perron_hop hop;

	if (!relay_hop(r, now_ns, to, &hop))
		return false;
	relay_frame_send(r, to, &hop, header, payload, out);
	return true;
}

void relay_event_link(struct perron_relay *r, const struct perron_link *l, uint8_t kind,
		       const struct perron_evidence *evidence, struct perron_effects *out)
{
	struct perron_event *event = perron_effects_event(out, 0);

	if (!event) {
		relay_drop(r, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	event->kind = kind;
	event->party = l->party;
	event->round_trip_ns = l->round_trip_ns_min;
	if (evidence)
		event->evidence = *evidence;
}

static void event_control(struct perron_relay *r, const struct perron_frame *frame,
			  const struct perron_header *header, const struct perron_link *l,
			  struct perron_effects *out)
{
	struct perron_event *event = perron_effects_event(out, header->length);

	if (!event) {
		relay_drop(r, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	event->kind = PERRON_EVENT_CONTROL;
	event->type = header->type;
	event->linked = l != NULL;
	event->round_trip_ns = l ? l->round_trip_ns_min : 0;
	event->party = (struct perron_party){
		.id = header->source,
		.incarnation = header->source_incarnation,
		.endpoint = frame->from,
	};
	memcpy(event->payload, frame->data + PERRON_HEADER_SIZE, header->length);
}

static enum perron_drop frame_permit(const struct perron_relay *r, const struct perron_frame *frame,
				     const struct perron_header *header)
{
	if (header->class != frame->class)
		return PERRON_DROP_CLASS;
	if (header->overlay != r->cfg.overlay)
		return PERRON_DROP_OVERLAY;
	if (header->destination && header->destination != r->cfg.peer)
		return PERRON_DROP_DESTINATION;
	if (header->destination_incarnation &&
	    header->destination_incarnation != r->cfg.incarnation)
		return PERRON_DROP_INCARNATION;
	if (!header->source || header->source == r->cfg.peer)
		return PERRON_DROP_STRANGER;
	return PERRON_DROP_NONE;
}

/*
 * Whether a frame belongs to the link with its source. An unnumbered one, or one of another life of
 * the neighbour, is a stranger's; so is any frame where no link is open.
 */
static enum perron_drop link_hear(struct perron_relay *r, uint64_t now_ns,
				  const struct perron_header *header, struct perron_link **linked,
				  struct perron_effects *out)
{
	struct perron_link *l = relay_link(r, header->source);

	*linked = NULL;
	if (!l || header->link_sequence == 0)
		return PERRON_DROP_STRANGER;
	if (header->source_incarnation != l->party.incarnation)
		return PERRON_DROP_INCARNATION;
	uint32_t acked = l->acked;
	if (!perron_link_hear(l, now_ns, header))
		return PERRON_DROP_REPLAY;
	perron_detector_heard(relay_detector(r, l), now_ns);
	if (l->acked != acked)
		perron_detector_answered(relay_detector(r, l), now_ns,
					 perron_link_is_acknowledged(l));
	*linked = l;
	/* A neighbour that waits for our first word, or asks for one, gets it at once. */
	bool asks = header->type == PERRON_TYPE_BEAT && (header->flags & PERRON_FLAG_RETRY);
	if (!l->answered || asks) {
		l->last_sent_ns = 0;
		relay_wake_at(r, now_ns);
	}
	if (l->state == PERRON_LINK_OPENING && perron_link_is_proven(l)) {
		l->state = PERRON_LINK_UP;
		relay_event_link(r, l, PERRON_EVENT_LINK_UP, NULL, out);
		perron_group_link(r->group, now_ns, l->party.id, true, out);
	}
	return PERRON_DROP_NONE;
}

static void frame_take(struct perron_relay *r, uint64_t now_ns, const struct perron_frame *frame,
		       struct perron_effects *out)
{
	struct perron_header header;
	struct perron_link *l;
	enum perron_drop cause = perron_frame_decode(frame->data, frame->length, &header);

	if (cause == PERRON_DROP_NONE)
		cause = frame_permit(r, frame, &header);
	if (cause != PERRON_DROP_NONE) {
		relay_drop(r, cause);
		return;
	}
	cause = link_hear(r, now_ns, &header, &l, out);
	if (header.type >= PERRON_TYPE_CONTROL_FIRST && cause != PERRON_DROP_REPLAY) {
		event_control(r, frame, &header, l, out);
	} else if (header.type == PERRON_TYPE_ACK && (l || (header.source & PERRON_CLIENT_ID))) {
		relay_ack(r, now_ns, frame, &header, out);
	} else if (cause != PERRON_DROP_NONE) {
		relay_drop(r, cause);
	} else if (header.flags & PERRON_FLAG_REPLICA) {
		cause = header.type == PERRON_TYPE_DATA
				? relay_replica_data(r, now_ns, frame, &header, out)
			: header.type == PERRON_TYPE_GAP
				? relay_replica_floor(r, now_ns, &header, out)
				: PERRON_DROP_FLAGS;
		if (cause != PERRON_DROP_NONE)
			relay_drop(r, cause);
	} else if (header.type == PERRON_TYPE_DATA) {
		relay_data(r, now_ns, frame, &header, out);
	} else if (header.type == PERRON_TYPE_GAP) {
		relay_gap(r, now_ns, &header, out);
	} else if (header.type == PERRON_TYPE_GROUP) {
		cause = perron_group_frame(r->group, now_ns, header.source,
					   frame->data + PERRON_HEADER_SIZE, header.length, out);
		if (cause != PERRON_DROP_NONE)
			relay_drop(r, cause);
	} else if (!perron_link_beat_read(l, now_ns, frame->data + PERRON_HEADER_SIZE,
					  header.length)) {
		relay_drop(r, PERRON_DROP_MALFORMED);
	}
}

void perron_relay_input(struct perron_relay *r, uint64_t now_ns, const struct perron_frame *in,
			uint32_t in_count, struct perron_effects *out)
{
	PERRON_ASSERT(in_count <= PERRON_BURST_MAX);
	r->counters.received += in_count;
	r->release_budget = RELAY_RELEASE_MAX;
	for (uint32_t i = 0; i < in_count; i++)
		frame_take(r, now_ns, &in[i], out);
	if (perron_group_is_touched(r->group))
		perron_group_flush(r->group, now_ns, out);
}

static void beat_send(struct perron_relay *r, uint64_t now_ns, struct perron_link *l, bool asks,
		      struct perron_effects *out)
{
	uint8_t payload[PERRON_BEAT_SIZE];
	struct perron_header header = {
		.type = PERRON_TYPE_BEAT,
		.class = PERRON_CLASS_OVERLAY,
		.flags = asks ? PERRON_FLAG_RETRY : 0,
		.length = PERRON_BEAT_SIZE,
		.origin_ns = now_ns + r->cfg.clock_offset_ns,
	};

	perron_link_beat_write(l, now_ns, payload);
	(void)relay_send(r, now_ns, &l->party, &header, payload, out);
}

bool relay_link_judge(struct perron_relay *r, uint64_t now_ns, struct perron_link *l,
		      struct perron_effects *out)
{
	struct perron_evidence evidence;

	if (!perron_detector_judge(relay_detector(r, l), now_ns, &evidence))
		return false;
	l->state = PERRON_LINK_DOWN;
	relay_event_link(r, l, PERRON_EVENT_LINK_DOWN, &evidence, out);
	perron_group_link(r->group, now_ns, l->party.id, false, out);
	return true;
}

static void link_tick(struct perron_relay *r, uint64_t now_ns, uint64_t gap_ns,
		      struct perron_link *l, struct perron_effects *out)
{
	struct perron_detector *d = relay_detector(r, l);

	if (!relay_link_is_watched(l))
		return;
	perron_detector_gap(d, now_ns, gap_ns);
	if (relay_link_judge(r, now_ns, l, out))
		return;
	bool asks = perron_detector_ask(d, now_ns);
	if (asks || now_ns - l->last_sent_ns >= d->cfg.interval_ns)
		beat_send(r, now_ns, l, asks, out);
}

void perron_relay_witness(struct perron_relay *r, uint64_t now_ns, uint32_t peer)
{
	struct perron_link *l = relay_link(r, peer);

	if (!l || !relay_link_is_watched(l))
		return;
	perron_detector_witness(relay_detector(r, l), now_ns);
	relay_wake_at(r, perron_detector_deadline_ns(relay_detector(r, l)));
}

static uint64_t link_deadline_ns(struct perron_relay *r, const struct perron_link *l)
{
	const struct perron_detector *d = relay_detector(r, l);

	if (!relay_link_is_watched(l))
		return UINT64_MAX;
	uint64_t beat_ns = perron_link_deadline_ns(l, d->cfg.interval_ns);
	uint64_t verdict_ns = perron_detector_deadline_ns(d);
	return beat_ns < verdict_ns ? beat_ns : verdict_ns;
}

static uint64_t deadline_find(struct perron_relay *r, uint64_t now_ns)
{
	/* Even without links the turns are watched. */
	uint64_t deadline = now_ns + r->cfg.detector.interval_ns;

	for (uint32_t i = 0; i < r->cfg.link_count_max; i++) {
		uint64_t due = link_deadline_ns(r, &r->links[i]);
		deadline = due < deadline ? due : deadline;
	}
	for (uint32_t i = 0; i < r->path_high; i++) {
		uint64_t due = relay_path_deadline_ns(&r->paths[i]);
		deadline = due < deadline ? due : deadline;
	}
	for (uint32_t i = 0; i < r->replica_high; i++) {
		uint64_t due = relay_replica_deadline_ns(r, &r->replicas[i]);
		deadline = due < deadline ? due : deadline;
	}
	for (uint32_t i = 0; i < r->cfg.stream_count_max; i++)
		if (!perron_standby_is_swept(&r->streams[i].readings))
			deadline = 0;
	/* What is overdue is due now: a tick that comes later than this is the relay's own gap. */
	return deadline < now_ns ? now_ns : deadline;
}

static void streams_tick(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out)
{
	/* How late this tick comes is how long the relay did not run. */
	uint64_t gap_ns = now_ns > r->deadline_ns ? now_ns - r->deadline_ns : 0;

	for (uint32_t i = 0; i < r->cfg.link_count_max; i++)
		link_tick(r, now_ns, gap_ns, &r->links[i], out);
	uint32_t retry_budget = RELAY_RETRY_MAX;
	r->release_budget = RELAY_RELEASE_MAX;
	for (uint32_t i = 0; i < r->path_high; i++)
		if (r->paths[i].path.used)
			relay_path_tick(r, now_ns, &r->paths[i], &retry_budget, out);
	relay_replicas_tick(r, now_ns, out);
	relay_standbys_tick(r, out);
	r->deadline_ns = deadline_find(r, now_ns);
	relay_origins_drain(r, now_ns, out);
}

void perron_relay_tick(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out)
{
	if (r->deadline_ns <= now_ns)
		streams_tick(r, now_ns, out);
	perron_group_tick(r->group, now_ns, out);
}

uint64_t perron_relay_deadline_ns(const struct perron_relay *r)
{
	uint64_t group_ns = perron_group_deadline_ns(r->group);

	return group_ns < r->deadline_ns ? group_ns : r->deadline_ns;
}

struct perron_group *perron_relay_group(struct perron_relay *r)
{
	return r->group;
}

void perron_relay_check(const struct perron_relay *r)
{
	perron_group_check(r->group);
	relay_replicas_check(r);
	for (uint32_t i = 0; i < r->cfg.stream_count_max; i++)
		perron_standby_check(&r->streams[i].readings);
	for (uint32_t i = 0; i < r->cfg.link_count_max; i++) {
		perron_link_check(&r->links[i]);
		if (relay_link_is_watched(&r->links[i]))
			perron_detector_check(&r->detectors[i]);
	}
	uint32_t path_count = 0;
	for (uint32_t i = 0; i < r->path_high; i++) {
		const struct relay_path *p = &r->paths[i];
		perron_path_check(&p->path);
		path_count += p->path.used;
		if (!p->path.used || !p->origin)
			continue;
		perron_origin_check(p->origin);
		PERRON_ASSERT(p->path.origin && !p->path.upstream);
		PERRON_ASSERT(p->path.high + 1 == p->origin->next);
		PERRON_ASSERT(p->origin->first <= p->path.acked.cumulative + 1);
	}
	PERRON_ASSERT(path_count == r->path_count);
}
