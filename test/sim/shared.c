/*
 * Sensors that hang on two peers of a cell: each reads what the sensor says, a moment apart. While
 * stations are killed one at a time (a next one when all is well again), every reading comes to
 * every client, once and in order, whichever of the two publishes it.
 *
 * A reading has a number, which stands at the beginning of each of its frames; the rest follows from
 * the seed and the number.
 */
#include <inttypes.h>
#include <string.h>

#include "test/sim/world.h"

/* What stands in a lease and a verdict is less than what windows hold. */
#define PERIOD_MS_MIN 20u
#define PERIOD_MS_MAX 100u
#define READING_SIZE_MIN 16u
#define READING_SIZE_MAX (2 * PERRON_PAYLOAD_SIZE_MAX)
#define APART_NS_MAX  (5 * SIM_MS)

void shared_draw(struct world *w, struct world_sensor *s)
{
	bool of_root = perron_random_chance(&w->random, 400000);
	uint32_t first = of_root ? 0 : w->plan.twin_first;
	uint32_t which = (uint32_t)perron_random_below(&w->random, 2);

	s->peer = first + which;
	s->twin = first + 1 - which;
	s->qos = (struct perron_qos){.replication = PERRON_REPLICATION_ACTIVE};
	s->period_ns =
		perron_random_between(&w->random, PERIOD_MS_MIN, PERIOD_MS_MAX) * SIM_MS;
	s->size_max = perron_random_chance(&w->random, 300000) ? READING_SIZE_MAX : READING_SIZE_MIN * 8;
}

static void random_of(const struct world *w, const struct world_sensor *s, uint64_t number,
		      struct perron_random *random)
{
	perron_random_seed(random, w->options.seed ^ (uint64_t)s->stream << 32 ^ number);
}

/* The payload of a reading's frame behind the trace; returns its size. */
static uint32_t payload_make(const struct world *w, const struct world_sensor *s, uint64_t number,
			     uint32_t fragment, uint32_t *fragment_count, uint8_t *payload)
{
	uint32_t room = PERRON_PAYLOAD_SIZE_MAX - (s->traced ? PERRON_TRACE_SIZE : 0);
	struct perron_random random;

	random_of(w, s, number, &random);
	uint32_t whole = (uint32_t)perron_random_between(&random, READING_SIZE_MIN, s->size_max);
	*fragment_count = (whole + room - 1) / room;
	uint32_t size = fragment + 1 < *fragment_count ? room : whole - fragment * room;
	size = size < sizeof(number) ? sizeof(number) : size;
	for (uint32_t i = 0; i < size; i += 8) {
		uint64_t word = i ? perron_random_next(&random) : number;
		memcpy(payload + i, &word, size - i < 8 ? size - i : 8);
	}
	return size;
}

static uint32_t frames_make(struct world *w, const struct world_sensor *s, uint32_t node,
			    uint64_t number, struct perron_frame *frames)
{
	uint32_t skipped = s->traced ? PERRON_TRACE_SIZE : 0;
	uint32_t count = 1;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t slot = sim_pool_take(&w->sim.pool);
		uint8_t *payload = sim_pool_data(&w->sim.pool, slot) + PERRON_HEADER_SIZE;
		memset(payload, 0, skipped);
		uint32_t size = payload_make(w, s, number, i, &count, payload + skipped);
		w->sim.pool.slots[slot].length = PERRON_HEADER_SIZE + skipped + size;
		sim_step_frame(&w->sim, node, slot, &frames[i]);
	}
	return count;
}

void shared_fire(struct world *w, uint32_t index, bool at_twin, uint64_t stamp_ns)
{
	struct world_sensor *s = &w->sensors[index];
	uint32_t node = at_twin ? s->twin : s->peer;
	const struct sim_node *n = &w->sim.nodes[node];
	struct perron_frame frames[PERRON_FRAGMENT_COUNT_MAX];
	uint64_t number = (stamp_ns - s->first_ns) / s->period_ns + 1;
	uint64_t next_ns = stamp_ns + s->period_ns;
	uint64_t apart_ns = perron_random_below(&w->random, APART_NS_MAX);

	sim_heap_push(&w->sim.agenda, next_ns + apart_ns, WORLD_EVENT_SENSOR,
		      index + (at_twin ? WORLD_SENSOR_COUNT_MAX : 0), next_ns);
	if (!n->alive)
		return;
	sim_step_begin(&w->sim, node);
	uint64_t local_ns = sim_local_ns(&w->sim, node);
	uint32_t count = frames_make(w, s, node, number, frames);
	enum perron_offer answer =
		perron_relay_offer(w->peers[node].relay, local_ns, s->stream, local_ns, frames,
				   count, s->traced, &w->sim.effects);
	s->messages++;
	s->answers[answer]++;
	if (number > s->readings)
		s->readings = number;
	sim_trace(&w->sim, "reading %s %" PRIu64 " at peer %u: %u frames, answer %u", s->name,
		  number, n->id, count, answer);
	if (sim_step_end(&w->sim, node, SIM_FAST, SIM_STEP_OTHER))
		sim_plane_arm(&w->sim, node, SIM_FAST);
}

static bool content_is_good(const struct world *w, const struct world_sensor *s, uint64_t number,
			    const uint8_t *payload, const struct perron_header *h)
{
	uint8_t expected[PERRON_PAYLOAD_SIZE_MAX + 8];
	uint32_t skipped = s->traced ? PERRON_TRACE_SIZE : 0;
	uint32_t count;

	if (!number || number > s->readings || h->length < skipped + sizeof(number))
		return false;
	uint32_t size = payload_make(w, s, number, h->fragment_index, &count, expected);
	return h->fragment_index < count && h->fragment_count == count &&
	       h->length == skipped + size && !memcmp(payload, expected, size);
}

/* Not while cells form: peers that come up at once may both publish, until they hear of each other. */
static bool is_promised(const struct world *w, const struct world_sensor *s,
			const struct world_subscription *u)
{
	return w->whole_at_ns && !s->apart && !u->bounded;
}

void shared_begin(struct world *w)
{
	for (uint32_t c = 0; c < w->plan.client_count; c++)
		for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++)
			w->clients[c].subscriptions[i].reading = 0;
}

void shared_deliver(struct world *w, uint32_t client, struct world_subscription *u,
		    const struct world_sensor *s, const uint8_t *data,
		    const struct perron_header *h)
{
	const uint8_t *payload = data + PERRON_HEADER_SIZE + (s->traced ? PERRON_TRACE_SIZE : 0);
	uint64_t number;

	memcpy(&number, payload, sizeof(number));
	if (!content_is_good(w, s, number, payload, h)) {
		sim_violation(&w->sim, "altered: client %u got no reading of %s as %" PRIu64,
			      client + 1, s->name, h->sequence);
		return;
	}
	bool is_before = number < u->reading ||
			 (number == u->reading && h->fragment_index < u->fragment);
	bool is_next = number == u->reading && h->fragment_index == u->fragment;
	if (u->reading && is_before && is_promised(w, s, u))
		sim_violation(&w->sim,
			      "again: client %u got reading %" PRIu64 ".%u of %s as %" PRIu64
			      ", and waits for %" PRIu64 ".%u",
			      client + 1, number, h->fragment_index, s->name, h->sequence,
			      u->reading, u->fragment);
	else if (u->reading && !is_next && is_promised(w, s, u))
		sim_violation(&w->sim,
			      "reading: client %u got %" PRIu64 ".%u of %s as %" PRIu64
			      ", and never %" PRIu64 ".%u",
			      client + 1, number, h->fragment_index, s->name, h->sequence,
			      u->reading, u->fragment);
	bool is_last = h->fragment_index + 1u == h->fragment_count;
	u->reading = number + is_last;
	u->fragment = is_last ? 0 : h->fragment_index + 1u;
}

/* Whom the root gave places in two cells share nothing. */
void shared_look(struct world *w)
{
	for (uint32_t i = 0; w->plan.is_shared && i < w->plan.sensor_count; i++) {
		struct world_sensor *s = &w->sensors[i];
		const struct world_view *a = &w->peers[s->peer].view;
		const struct world_view *b = &w->peers[s->twin].view;
		bool is_apart = w->sim.nodes[s->peer].alive && w->sim.nodes[s->twin].alive &&
				a->state == PERRON_OVERLAY_JOINED &&
				b->state == PERRON_OVERLAY_JOINED &&
				!perron_position_same_cell(&a->position, &b->position);
		if (is_apart && !s->apart)
			sim_trace(&w->sim, "apart: %s", s->name);
		s->apart |= is_apart;
	}
}

bool shared_is_parted(const struct world *w)
{
	for (uint32_t i = 0; i < w->plan.sensor_count; i++)
		if (w->sensors[i].apart)
			return true;
	return false;
}

void shared_check_end(struct world *w, uint32_t client, const struct world_subscription *u)
{
	const struct world_sensor *s = u->sensor < w->plan.sensor_count ? &w->sensors[u->sensor]
									: NULL;

	if (s && s->twin != SIM_NONE && is_promised(w, s, u) && u->reading &&
	    u->reading <= s->readings)
		sim_violation(&w->sim,
			      "tail: client %u waits for reading %" PRIu64 " of %s, of %" PRIu64,
			      client + 1, u->reading, s->name, s->readings);
}
