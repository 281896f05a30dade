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
			.gap_ns_max = peek64(&l->gap_ns_max),
			.round_trip_ns_min = peek64(&l->round_trip_ns_min),
			.round_trip_ns_last = peek64(&l->round_trip_ns_last),
			.received = peek64(&l->received),
			.lost = peek64(&l->lost),
		};
	}
	return count;
}

uint32_t perron_relay_paths_read(const struct perron_relay *r, struct perron_path_info *out,
				 uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->cfg.path_count_max && count < max; i++) {
		const struct perron_path *p = &r->paths[i].path;
		if (!__atomic_load_n(&p->used, __ATOMIC_RELAXED))
			continue;
		out[count++] = (struct perron_path_info){
			.stream = p->stream,
			.class = p->class,
			.origin = p->origin,
			.started = p->started,
			.upstream = p->upstream,
			.branch_count = p->branch_count,
			.high = peek64(&p->high),
			.acked = peek64(&p->acked.cumulative),
			.floor = peek64(&p->floor),
			.received = peek64(&p->received),
			.late = peek64(&p->late),
		};
	}
	return count;
}
