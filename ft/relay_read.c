/* What others may read of a relay: fields may be of different ages, none is ever half written. */
#include "ft/relay_private.h"

static uint64_t peek64(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

void perron_relay_counters_read(const struct perron_relay *r, struct perron_relay_counters *out)
{
	const struct perron_relay_counters *c = &r->counters;

	out->received = peek64(&c->received);
	out->forwarded = peek64(&c->forwarded);
	out->sent = peek64(&c->sent);
	out->retried = peek64(&c->retried);
	out->replicated = peek64(&c->replicated);
	out->served = peek64(&c->served);
	out->adopted = peek64(&c->adopted);
	out->late = peek64(&c->late);
	out->offered = peek64(&c->offered);
	for (uint32_t i = 0; i < PERRON_DROP_COUNT; i++)
		out->drop[i] = peek64(&c->drop[i]);
}

uint32_t perron_relay_links_read(const struct perron_relay *r, struct perron_link_info *out,
				 uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->cfg.link_count_max && count < max; i++) {
		const struct perron_link *l = &r->links[i];
		uint8_t state = __atomic_load_n(&l->state, __ATOMIC_RELAXED);
		if (state == PERRON_LINK_FREE)
			continue;
		out[count++] = (struct perron_link_info){
			.party = l->party,
			.state = state,
			.last_heard_ns = peek64(&l->last_heard_ns),
			.last_sent_ns = peek64(&l->last_sent_ns),
			.round_trip_ns_min = peek64(&l->round_trip_ns_min),
			.round_trip_ns = peek64(&l->round_trip_ns),
			.sent = peek64(&l->sent),
			.received = peek64(&l->received),
			.lost = peek64(&l->lost),
		};
	}
	return count;
}

bool perron_relay_detector_read(const struct perron_relay *r, uint64_t now_ns, uint32_t peer,
				struct perron_detector_info *out)
{
	for (uint32_t i = 0; i < r->cfg.link_count_max; i++) {
		const struct perron_link *l = &r->links[i];
		if (__atomic_load_n(&l->state, __ATOMIC_RELAXED) == PERRON_LINK_FREE ||
		    __atomic_load_n(&l->party.id, __ATOMIC_RELAXED) != peer)
			continue;
		perron_detector_read(&r->detectors[i], now_ns, out);
		return true;
	}
	return false;
}

uint32_t perron_relay_path_count(const struct perron_relay *r)
{
	return __atomic_load_n(&r->path_count, __ATOMIC_RELAXED);
}

static uint32_t clients_count(const struct perron_relay *r, const struct perron_path *p)
{
	uint32_t branch_count = __atomic_load_n(&p->branch_count, __ATOMIC_RELAXED);
	uint32_t count = 0;

	for (uint32_t i = 0; i < branch_count && i < r->cfg.branch_count_max; i++) {
		uint32_t id = __atomic_load_n(&p->branches[i].party.id, __ATOMIC_RELAXED);
		count += (id & PERRON_CLIENT_ID) != 0;
	}
	return count;
}

static uint64_t origin_held(const struct perron_origin *o)
{
	uint64_t first = o ? peek64(&o->first) : 0;
	uint64_t next = o ? peek64(&o->next) : 0;

	return next > first ? next - first : 0;
}

static void path_read(const struct perron_relay *r, const struct relay_path *from,
		      struct perron_path_info *out)
{
	const struct perron_path *p = &from->path;

	*out = (struct perron_path_info){
		.stream = p->stream,
		.class = p->class,
		.origin = p->origin,
		.started = p->started,
		.upstream = p->upstream,
		.branch_count = p->branch_count,
		.client_count = clients_count(r, p),
		.deadline_us = from->deadline_us,
		.high = peek64(&p->high),
		.acked = peek64(&p->acked.cumulative),
		.floor = peek64(&p->floor),
		.received = peek64(&p->received),
		.bytes = peek64(&p->bytes),
		.held = origin_held(__atomic_load_n(&from->origin, __ATOMIC_RELAXED)),
		.retried = peek64(&p->retried),
		.late = peek64(&p->late),
		.abandoned = peek64(&from->drop[PERRON_DROP_ABANDONED]),
	};
	for (uint32_t cause = 1; cause < PERRON_DROP_COUNT; cause++)
		out->dropped += peek64(&from->drop[cause]);
}

uint32_t perron_relay_paths_read(const struct perron_relay *r, struct perron_path_info *out,
				 uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->cfg.path_count_max && count < max; i++)
		if (__atomic_load_n(&r->paths[i].path.used, __ATOMIC_RELAXED))
			path_read(r, &r->paths[i], &out[count++]);
	return count;
}

uint32_t perron_relay_replicas_read(const struct perron_relay *r, struct perron_replica_info *out,
				    uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->cfg.replica_count_max && count < max; i++) {
		const struct relay_replica *b = &r->replicas[i];
		if (!__atomic_load_n(&b->used, __ATOMIC_RELAXED))
			continue;
		out[count++] = (struct perron_replica_info){
			.stream = b->stream,
			.class = b->class,
			.is_origin = b->is_origin,
			.primary = b->primary,
			.floor = peek64(&b->frames.floor),
			.high = peek64(&b->frames.high),
			.count = __atomic_load_n(&b->frames.count, __ATOMIC_RELAXED),
		};
	}
	return count;
}

/* Adds a path's or a sensor's drops to the rows; a stream that has several paths has one row. */
static uint32_t drops_add(const uint64_t *drop, uint32_t stream, struct perron_relay_drop *out,
			  uint32_t count, uint32_t max)
{
	for (uint32_t cause = 1; cause < PERRON_DROP_COUNT; cause++) {
		uint64_t dropped = peek64(&drop[cause]);
		uint32_t i = 0;
		if (!dropped)
			continue;
		while (i < count && (out[i].stream != stream || out[i].cause != cause))
			i++;
		if (i == max)
			continue;
		if (i == count)
			out[count++] = (struct perron_relay_drop){
				.stream = stream, .cause = (uint8_t)cause};
		out[i].count += dropped;
	}
	return count;
}

uint32_t perron_relay_drops_read(const struct perron_relay *r, struct perron_relay_drop *out,
				 uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->cfg.stream_count_max; i++) {
		const struct relay_stream *s = &r->streams[i];
		uint32_t stream = __atomic_load_n(&s->stream, __ATOMIC_RELAXED);
		if (stream)
			count = drops_add(s->drop, stream, out, count, max);
	}
	for (uint32_t i = 0; i < r->cfg.path_count_max; i++) {
		const struct relay_path *p = &r->paths[i];
		if (__atomic_load_n(&p->path.used, __ATOMIC_RELAXED))
			count = drops_add(p->drop, p->path.stream, out, count, max);
	}
	return count;
}
