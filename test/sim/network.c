/* The network: delay, loss, copies, disorder, damage, partitions, old frames and strangers. */
#include <string.h>

#include "test/sim/sim.h"

#define SAME_STATION_NS 3000u
#define STRANGER_ID     0x00fffff0u

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t delay_between(const struct sim *s, uint32_t a, uint32_t b)
{
	uint64_t range = s->net.delay_ns_max - s->net.delay_ns_min + 1;

	if (a == b)
		return SAME_STATION_NS;
	return s->net.delay_ns_min + mix(s->net.salt ^ ((uint64_t)a << 32 | b)) % range;
}

static bool is_cut(const struct sim *s, uint32_t from, uint32_t to)
{
	for (uint32_t i = 0; i < SIM_PARTITION_COUNT_MAX; i++) {
		const struct sim_partition *p = &s->net.partitions[i];
		if (!p->active || p->inside[from] == p->inside[to])
			continue;
		if (!p->one_way || p->inside[from])
			return true;
	}
	for (uint32_t i = 0; i < SIM_CUT_COUNT_MAX; i++) {
		const struct sim_cut *c = &s->net.cuts[i];
		if (c->active && ((c->from == from && c->to == to) ||
				  (!c->one_way && c->from == to && c->to == from)))
			return true;
	}
	return false;
}

static uint32_t station_of(const struct sim *s, struct perron_endpoint e)
{
	uint32_t station = e.address - SIM_ADDRESS_FIRST;

	return station < s->station_count ? station : SIM_NONE;
}

uint32_t sim_route(const struct sim *s, uint32_t slot)
{
	const struct sim_slot *t = &s->pool.slots[slot];
	uint32_t index = station_of(s, t->to);
	uint32_t destination;

	if (index == SIM_NONE || t->length < PERRON_HEADER_SIZE)
		return SIM_NONE;
	const struct sim_station *station = &s->stations[index];
	destination = perron_frame_destination(sim_pool_data(&s->pool, slot));
	for (uint32_t i = 0; i < station->node_count; i++) {
		uint32_t node = station->node_first + i;
		const struct sim_node *n = &s->nodes[node];
		if (n->alive && n->port_base == t->to.port_base &&
		    (!destination || n->id == destination))
			return node;
	}
	return SIM_NONE;
}

/* A frame may be damaged anywhere, cut short, or lengthened. */
static void frame_damage(struct sim *s, uint32_t slot)
{
	uint8_t *data = sim_pool_data(&s->pool, slot);
	struct sim_slot *t = &s->pool.slots[slot];
	uint32_t at = (uint32_t)perron_random_below(&s->random, t->length);

	switch (perron_random_below(&s->random, 4)) {
	case 0:
		t->length = at > 0 ? at : 1;
		break;
	case 1:
		if (t->length < PERRON_FRAME_SIZE_MAX)
			data[t->length++] = 0;
		break;
	default:
		data[at] ^= (uint8_t)(1u << perron_random_below(&s->random, 8));
		break;
	}
}

static uint32_t slot_clone(struct sim *s, uint32_t slot)
{
	uint32_t clone = sim_pool_take(&s->pool);
	const struct sim_slot *from = &s->pool.slots[slot];
	struct sim_slot *to = &s->pool.slots[clone];

	memcpy(sim_pool_data(&s->pool, clone), sim_pool_data(&s->pool, slot), from->length);
	to->length = from->length;
	to->class = from->class;
	to->from = from->from;
	to->to = from->to;
	return clone;
}

static void flight_begin(struct sim *s, uint32_t slot, uint64_t delay_ns)
{
	const struct sim_net *net = &s->net;

	if (net->jitter_ns)
		delay_ns += perron_random_below(&s->random, net->jitter_ns + 1);
	if (net->reorder_ppm && perron_random_chance(&s->random, net->reorder_ppm))
		delay_ns += perron_random_below(&s->random, 4 * net->delay_ns_max + 1);
	if (net->corrupt_ppm && perron_random_chance(&s->random, net->corrupt_ppm))
		frame_damage(s, slot);
	sim_heap_push(&s->agenda, s->now_ns + delay_ns, SIM_EVENT_ARRIVE, slot, 0);
}

/* Keeps a frame now and then, and sends one of those again long after. */
static void frame_remember(struct sim *s, uint32_t slot)
{
	uint64_t index = perron_random_below(&s->random, SIM_MEMORY_COUNT_MAX);
	uint32_t kept = s->net.memory[index];

	if (kept != SIM_NONE) {
		flight_begin(s, slot_clone(s, kept), s->net.delay_ns_max);
		if (perron_random_below(&s->random, 4))
			return;
		sim_pool_give(&s->pool, kept);
	}
	s->net.memory[index] = slot_clone(s, slot);
}

void sim_send(struct sim *s, uint32_t node, struct perron_endpoint to, uint8_t class,
	      uint32_t slot)
{
	const struct sim_net *net = &s->net;
	const struct sim_node *n = &s->nodes[node];
	struct sim_slot *t = &s->pool.slots[slot];
	uint32_t station = station_of(s, to);

	s->frames_sent++;
	t->class = class;
	t->to = to;
	t->from = (struct perron_endpoint){sim_address(n->station), n->port_base};
	sim_digest_word(s, (uint64_t)to.address << 32 | (uint64_t)to.port_base << 8 | class);
	sim_digest_bytes(s, sim_pool_data(&s->pool, slot), t->length);
	sim_trace_frame(s, "  out", sim_pool_data(&s->pool, slot), t->length);
	if (station == SIM_NONE || is_cut(s, n->station, station) ||
	    (net->loss_ppm && station != n->station &&
	     perron_random_chance(&s->random, net->loss_ppm))) {
		s->frames_lost++;
		sim_pool_give(&s->pool, slot);
		return;
	}
	uint64_t delay_ns = delay_between(s, n->station, station);
	if (net->duplicate_ppm && perron_random_chance(&s->random, net->duplicate_ppm))
		flight_begin(s, slot_clone(s, slot), delay_ns);
	if (net->replay_ppm && perron_random_chance(&s->random, net->replay_ppm))
		frame_remember(s, slot);
	flight_begin(s, slot, delay_ns);
}

void sim_net_heal(struct sim *s)
{
	struct sim_net *net = &s->net;

	net->jitter_ns = 0;
	net->loss_ppm = 0;
	net->duplicate_ppm = 0;
	net->reorder_ppm = 0;
	net->corrupt_ppm = 0;
	net->replay_ppm = 0;
	for (uint32_t i = 0; i < SIM_PARTITION_COUNT_MAX; i++)
		net->partitions[i].active = false;
	for (uint32_t i = 0; i < SIM_CUT_COUNT_MAX; i++)
		net->cuts[i].active = false;
	sim_trace(s, "heal");
}

void sim_partition_begin(struct sim *s, uint64_t until_ns)
{
	uint32_t index = (uint32_t)perron_random_below(&s->random, SIM_PARTITION_COUNT_MAX);
	struct sim_partition *p = &s->net.partitions[index];
	uint32_t share_ppm = (uint32_t)perron_random_between(&s->random, 20000, 500000);

	if (p->active)
		return;
	p->active = true;
	p->one_way = perron_random_chance(&s->random, 400000);
	for (uint32_t i = 0; i < s->station_count; i++)
		p->inside[i] = perron_random_chance(&s->random, share_ppm);
	sim_heap_push(&s->agenda, until_ns, SIM_EVENT_HEAL_PARTITION, index, 0);
	sim_trace(s, "partition %u begins until %.6f%s", index, (double)until_ns / 1e9,
		  p->one_way ? ", one way" : "");
}

void sim_partition_split(struct sim *s, const uint8_t *inside, bool one_way, uint64_t until_ns)
{
	uint32_t index = 0;

	while (index < SIM_PARTITION_COUNT_MAX && s->net.partitions[index].active)
		index++;
	if (index == SIM_PARTITION_COUNT_MAX)
		return;
	struct sim_partition *p = &s->net.partitions[index];
	p->active = true;
	p->one_way = one_way;
	memcpy(p->inside, inside, s->station_count);
	sim_heap_push(&s->agenda, until_ns, SIM_EVENT_HEAL_PARTITION, index, 0);
	sim_trace(s, "partition %u begins until %.6f%s", index, (double)until_ns / 1e9,
		  one_way ? ", one way" : "");
}

void sim_cut_begin(struct sim *s, uint32_t from, uint32_t to, bool one_way, uint64_t until_ns)
{
	uint32_t index = 0;

	while (index < SIM_CUT_COUNT_MAX && s->net.cuts[index].active)
		index++;
	if (index == SIM_CUT_COUNT_MAX)
		return;
	s->net.cuts[index] = (struct sim_cut){
		.active = true, .one_way = one_way, .from = from, .to = to};
	sim_heap_push(&s->agenda, until_ns, SIM_EVENT_HEAL_CUT, index, 0);
	sim_trace(s, "cut %u begins until %.6f: station %u to %u%s", index,
		  (double)until_ns / 1e9, from, to, one_way ? ", one way" : "");
}

static void noise_write(struct sim *s, uint8_t *data, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		data[i] = (uint8_t)perron_random_next(&s->random);
}

static uint8_t type_draw(struct sim *s)
{
	static const uint8_t types[] = {
#define X(name, value, text) value,
		PERRON_FRAME_TYPES(X)
#undef X
	};
	return types[perron_random_below(&s->random, sizeof(types))];
}

void sim_net_stranger(struct sim *s, uint32_t overlay)
{
	uint8_t type = type_draw(s);
	uint32_t slot = sim_pool_take(&s->pool);
	uint8_t *data = sim_pool_data(&s->pool, slot);
	struct sim_slot *t = &s->pool.slots[slot];
	uint32_t node = (uint32_t)perron_random_below(&s->random, s->node_count);
	uint16_t size = (uint16_t)perron_random_below(&s->random, 300);
	struct perron_header header = {
		.type = type,
		.class = (uint8_t)perron_random_below(&s->random, PERRON_CLASS_COUNT),
		.fragment_count = 1,
		.length = size,
		.overlay = overlay + (uint32_t)perron_random_below(&s->random, 2),
		.source = STRANGER_ID,
		.source_incarnation = (uint32_t)perron_random_below(&s->random, 3),
		.destination = s->nodes[node].id,
		.stream = (uint32_t)perron_random_next(&s->random),
		.sequence = perron_random_next(&s->random),
		.link_sequence = (uint32_t)perron_random_next(&s->random),
	};

	t->class = header.class;
	t->to = (struct perron_endpoint){sim_address(s->nodes[node].station),
					 s->nodes[node].port_base};
	t->from = (struct perron_endpoint){sim_address(s->station_count + 7), 7400};
	noise_write(s, data, PERRON_HEADER_SIZE + size);
	t->length = PERRON_HEADER_SIZE + size;
	if (perron_random_chance(&s->random, 700000))
		t->length = perron_frame_encode(data, &header);
	sim_heap_push(&s->agenda, s->now_ns + s->net.delay_ns_max, SIM_EVENT_ARRIVE, slot, 0);
}
