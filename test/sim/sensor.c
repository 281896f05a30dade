/* Sensors: messages as the seed wants them, and the record of every frame that was accepted. */
#include <stdlib.h>
#include <string.h>

#include "test/sim/world.h"

#define SIZE_SMALL_MAX 400u

/* Of each sensor the same for all its clients; some ask for what small cells cannot give. */
static struct perron_qos qos_draw(struct perron_random *random)
{
	uint64_t kind = perron_random_below(random, 100);
	uint64_t period_ms = perron_random_between(random, 5, 300);
	struct perron_qos qos = {.replicas = (uint8_t)(perron_random_chance(random, 150000))};

	if (kind < 40)
		return (struct perron_qos){0};
	qos.replication = kind < 75 ? PERRON_REPLICATION_ACTIVE : PERRON_REPLICATION_PASSIVE;
	if (qos.replication == PERRON_REPLICATION_PASSIVE)
		qos.period_us = (uint32_t)period_ms * 1000;
	return qos;
}

void sensors_make(struct world *w)
{
	struct perron_random qos;

	perron_random_seed(&qos, w->options.seed ^ 0x716f73);
	w->sensors = calloc(w->plan.sensor_count, sizeof(*w->sensors));
	PERRON_ASSERT(w->sensors);
	for (uint32_t i = 0; i < w->plan.sensor_count; i++) {
		struct world_sensor *s = &w->sensors[i];
		(void)snprintf(s->name, sizeof(s->name), "line-%u/sensor.%u", i % 3, i);
		s->stream = perron_stream_id(s->name);
		s->peer = (uint32_t)perron_random_below(&w->random, w->plan.peer_count);
		s->qos = qos_draw(&qos);
		s->traced = perron_random_chance(&w->random, 200000);
		s->period_ns = perron_random_between(&w->random, 10, 400) * SIM_MS;
		if (w->plan.is_calm) {
			/* Much is under way when a peer is killed. */
			s->qos = (struct perron_qos){.replication = PERRON_REPLICATION_ACTIVE};
			s->period_ns = s->period_ns / 40 + SIM_MS;
		}
		s->size_max = perron_random_chance(&w->random, 250000)
				      ? 6 * PERRON_PAYLOAD_SIZE_MAX
				      : SIZE_SMALL_MAX;
		s->first_ns = perron_random_below(&w->random, 2 * SIM_S);
		s->twin = SIM_NONE;
		sim_heap_push(&w->sim.agenda, s->first_ns, WORLD_EVENT_SENSOR, i, s->first_ns);
		if (!w->plan.is_shared)
			continue;
		shared_draw(w, s);
		sim_heap_push(&w->sim.agenda, s->first_ns, WORLD_EVENT_SENSOR,
			      i + WORLD_SENSOR_COUNT_MAX, s->first_ns);
	}
}

void sensors_free(struct world *w)
{
	for (uint32_t i = 0; w->sensors && i < w->plan.sensor_count; i++)
		free(w->sensors[i].records);
	free(w->sensors);
}

struct world_sensor *sensor_of_stream(struct world *w, uint32_t stream)
{
	for (uint32_t i = 0; i < w->plan.sensor_count; i++)
		if (w->sensors[i].stream == stream)
			return &w->sensors[i];
	return NULL;
}

uint32_t sensor_record(const struct world_sensor *sensor, uint64_t sequence)
{
	uint32_t low = 0;
	uint32_t high = sensor->record_count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (sensor->records[middle].sequence < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* All that belongs to the message. The trace block is written on the way. */
uint64_t sensor_frame_hash(const uint8_t *data, const struct perron_header *header)
{
	uint32_t skipped = header->flags & PERRON_FLAG_TRACE ? PERRON_TRACE_SIZE : 0;
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ header->length ^ header->origin_ns;

	hash ^= (uint64_t)header->fragment_index << 48 | (uint64_t)header->fragment_count << 56;
	hash ^= (uint64_t)header->stream << 20;
	for (uint32_t i = skipped; i < header->length; i++)
		hash = (hash ^ data[PERRON_HEADER_SIZE + i]) * UINT64_C(0x100000001b3);
	return hash;
}

static void record_add(struct world *w, struct world_sensor *s, const uint8_t *data,
		       uint32_t length)
{
	struct perron_header h;

	if (perron_frame_decode(data, length, &h) != PERRON_DROP_NONE) {
		sim_violation(&w->sim, "offer: sensor %s: accepted frame does not decode", s->name);
		return;
	}
	if (s->record_count && s->records[s->record_count - 1].sequence >= h.sequence)
		sim_violation(&w->sim, "offer: sensor %s: sequence %llu after %llu", s->name,
			      (unsigned long long)h.sequence,
			      (unsigned long long)s->records[s->record_count - 1].sequence);
	if (s->record_count == s->record_capacity) {
		s->record_capacity = s->record_capacity ? s->record_capacity * 2 : 64;
		s->records = realloc(s->records, s->record_capacity * sizeof(*s->records));
		PERRON_ASSERT(s->records);
	}
	s->records[s->record_count++] = (struct world_record){
		.sequence = h.sequence,
		.hash = sensor_frame_hash(data, &h),
		.at_ns = w->sim.now_ns,
	};
}

/* The message's frames, each with `payload` bytes of noise behind the trace block, if any. */
static uint32_t frames_make(struct world *w, uint32_t index, struct perron_frame *frames)
{
	struct world_sensor *s = &w->sensors[index];
	uint32_t left = (uint32_t)perron_random_between(&w->random, 1, s->size_max);
	uint32_t skipped = s->traced ? PERRON_TRACE_SIZE : 0;
	uint32_t count = 0;

	do {
		uint32_t slot = sim_pool_take(&w->sim.pool);
		uint32_t room = PERRON_PAYLOAD_SIZE_MAX - skipped;
		uint32_t size = left < room ? left : room;
		uint8_t *payload = sim_pool_data(&w->sim.pool, slot) + PERRON_HEADER_SIZE;
		memset(payload, 0, skipped);
		for (uint32_t i = 0; i < size; i += 8) {
			uint64_t noise = perron_random_next(&w->random);
			memcpy(payload + skipped + i, &noise, 8);
		}
		w->sim.pool.slots[slot].length = PERRON_HEADER_SIZE + skipped + size;
		sim_step_frame(&w->sim, s->peer, slot, &frames[count++]);
		left -= size;
	} while (left);
	return count;
}

void sensor_fire(struct world *w, uint32_t index, uint64_t stamp_ns)
{
	struct world_sensor *s = &w->sensors[index % WORLD_SENSOR_COUNT_MAX];
	const struct sim_node *n = &w->sim.nodes[s->peer];
	uint64_t stalled_ns = n->planes[SIM_FAST].stalled_until_ns;
	uint64_t waited_ns = w->sim.now_ns - stamp_ns;
	struct perron_frame frames[PERRON_FRAGMENT_COUNT_MAX];

	/* Both read the last one. */
	if ((s->twin == SIM_NONE ? w->sim.now_ns : stamp_ns) >= w->plan.quiet_ns)
		return;
	if (s->twin != SIM_NONE) {
		shared_fire(w, index % WORLD_SENSOR_COUNT_MAX, index >= WORLD_SENSOR_COUNT_MAX,
			    stamp_ns);
		return;
	}
	if (n->alive && stalled_ns > w->sim.now_ns) {
		sim_heap_push(&w->sim.agenda, stalled_ns, WORLD_EVENT_SENSOR, index, stamp_ns);
		return;
	}
	uint64_t next_ns = stamp_ns + s->period_ns;
	if (next_ns <= w->sim.now_ns)
		next_ns = w->sim.now_ns + 1;
	sim_heap_push(&w->sim.agenda, next_ns, WORLD_EVENT_SENSOR, index, next_ns);
	if (!n->alive)
		return;
	sim_step_begin(&w->sim, s->peer);
	uint64_t local_ns = sim_local_ns(&w->sim, s->peer);
	uint32_t count = frames_make(w, index, frames);
	enum perron_offer answer = perron_relay_offer(
		w->peers[s->peer].relay, local_ns, s->stream,
		local_ns - (waited_ns < local_ns ? waited_ns : 0), frames, count, s->traced,
		&w->sim.effects);
	s->messages++;
	s->answers[answer]++;
	for (uint32_t i = 0; i < count && answer == PERRON_OFFER_ACCEPTED; i++)
		record_add(w, s, frames[i].data, frames[i].length);
	sim_trace(&w->sim, "offer %s: %u frames, answer %u", s->name, count, answer);
	if (sim_step_end(&w->sim, s->peer, SIM_FAST, SIM_STEP_OTHER))
		sim_plane_arm(&w->sim, s->peer, SIM_FAST);
}
