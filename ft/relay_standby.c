/*
 * The standby of a sensor that hangs on several peers of a cell (ft/standby): its readings against
 * the owner's copies, which the relay holds as a sibling does (relay_replica.c).
 */
#include <errno.h>

#include "ft/group_private.h"

uint32_t relay_reading_hash(const uint8_t *payload, uint32_t length, bool traced, uint8_t fragment,
			    uint8_t fragment_count)
{
	uint32_t skipped = traced ? PERRON_TRACE_SIZE : 0;
	uint32_t seed = (uint32_t)fragment << 8 | fragment_count;

	return length > skipped ? perron_crc32c(seed, payload + skipped, length - skipped) : seed;
}

void relay_standby_begin(struct perron_relay *r, struct relay_stream *s)
{
	s->is_standby = true;
	s->behind = 0;
	perron_standby_init(&s->readings, s->readings.readings, s->readings.copies,
			    r->cfg.standby_window);
}

static bool is_copied(const struct perron_relay *r, uint32_t stream)
{
	bool is_copied = false;

	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++)
		is_copied |= relay_replica_first(r, stream, class) != PERRON_MAP_NONE;
	return is_copied;
}

void relay_standby_offer(struct perron_relay *r, struct relay_stream *s,
			 const struct perron_header *header, const struct perron_frame *frame,
			 struct perron_effects *out)
{
	struct perron_standby_reading reading = {
		.handle = frame->handle,
		.data = frame->data,
		.length = frame->length,
		.hash = relay_reading_hash(frame->data + PERRON_HEADER_SIZE, header->length,
					   header->flags & PERRON_FLAG_TRACE,
					   header->fragment_index, header->fragment_count),
	};
	uint64_t released;

	/* Whom nobody sends copies, nobody subscribes to. */
	if (!is_copied(r, s->stream))
		(void)perron_standby_skip(&s->readings, reading.hash, &released);
	else if (perron_standby_read(&s->readings, &reading, &released))
		perron_effects_hold(out, frame->handle);
	if (!released)
		return;
	relay_drop_of(r, s->drop, PERRON_DROP_REPLICA_FULL, 1);
	perron_effects_release(out, released);
}

bool relay_standby_had(struct relay_stream *s, uint32_t hash, struct perron_effects *out)
{
	uint64_t released;
	bool had = perron_standby_skip(&s->readings, hash, &released);

	if (released)
		perron_effects_release(out, released);
	if (!had || perron_standby_next(&s->readings) >= s->behind)
		s->behind = 0;
	return had;
}

void relay_standby_copy(struct perron_relay *r, const struct relay_replica *b,
			const struct perron_header *header, const uint8_t *payload,
			struct perron_effects *out)
{
	struct relay_stream *s = relay_stream(r, header->stream);
	uint64_t ignored;

	if (!s || !s->is_standby ||
	    (header->sequence >= b->frames.floor &&
	     !perron_replica_get(&b->frames, header->sequence, &ignored)))
		return;
	uint32_t hash = relay_reading_hash(payload, header->length,
					   header->flags & PERRON_FLAG_TRACE,
					   header->fragment_index, header->fragment_count);
	uint64_t released = perron_standby_copy(&s->readings, header->sequence, hash);
	if (released)
		perron_effects_release(out, released);
}

/* Clients of each class may be behind in their own way: the slowest counts. */
void relay_standby_floor(struct perron_relay *r, uint64_t now_ns, uint32_t stream)
{
	struct relay_stream *s = relay_stream(r, stream);
	uint64_t floor = UINT64_MAX;

	if (!s || !s->is_standby)
		return;
	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++) {
		uint32_t i = relay_replica_first(r, stream, class);
		if (i != PERRON_MAP_NONE)
			floor = group_min64(floor, r->replicas[i].frames.floor);
	}
	if (floor == UINT64_MAX)
		return;
	perron_standby_raise(&s->readings, floor);
	if (!perron_standby_is_swept(&s->readings))
		relay_wake_at(r, now_ns);
}

void relay_standbys_tick(struct perron_relay *r, struct perron_effects *out)
{
	uint64_t handles[RELAY_RELEASE_MAX];

	for (uint32_t i = 0; i < r->cfg.stream_count_max; i++) {
		struct relay_stream *s = &r->streams[i];
		if (s->is_standby && s->readings.held_count && !is_copied(r, s->stream))
			perron_standby_forget(&s->readings);
		if (perron_standby_is_swept(&s->readings))
			continue;
		uint32_t count = perron_standby_sweep(&s->readings, handles, r->release_budget);
		for (uint32_t k = 0; k < count; k++)
			perron_effects_release(out, handles[k]);
		r->release_budget -= count;
	}
}

bool relay_standby_take(struct relay_stream *s, uint64_t sequence, uint32_t deadline_us,
			uint64_t *handle)
{
	struct perron_standby_reading reading;
	struct perron_header header;

	if (!perron_standby_take(&s->readings, sequence, &reading))
		return false;
	enum perron_drop cause = perron_frame_decode(reading.data, reading.length, &header);
	PERRON_ASSERT(cause == PERRON_DROP_NONE);
	header.sequence = sequence;
	header.deadline_us = deadline_us;
	(void)perron_frame_encode(reading.data, &header);
	*handle = reading.handle;
	return true;
}

int relay_stream_yield(struct perron_relay *r, uint64_t now_ns, struct relay_stream *s)
{
	if (s->readings.held_count)
		return -EBUSY; /* of the takeover; it is said again */
	for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++) {
		struct relay_path *p = relay_path(r, s->stream, class);
		if (!p || !p->origin)
			continue;
		if (p->path.branch_count)
			relay_path_unadopt(r, now_ns, p);
		else
			relay_path_close(r, now_ns, p);
	}
	relay_standby_begin(r, s);
	return 0;
}
