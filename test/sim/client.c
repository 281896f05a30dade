/* A client's life: what it asks for, asks for again, and gives up. */
#include <stdlib.h>
#include <string.h>

#include "test/sim/world.h"

#define CLIENT_PORT_BASE 40000u
#define MEMORY_POISON    0xcc
#define NO_SENSOR        UINT32_MAX

static void client_input(void *m, uint64_t now_ns, const struct perron_frame *in, uint32_t count,
			 struct perron_effects *out)
{
	perron_client_input(m, now_ns, in, count, out);
}

static void client_tick(void *m, uint64_t now_ns, struct perron_effects *out)
{
	perron_client_tick(m, now_ns, out);
}

static uint64_t client_deadline_ns(const void *m)
{
	return perron_client_deadline_ns(m);
}

static void client_check(const void *m, uint64_t now_ns)
{
	(void)now_ns;
	perron_client_check(m);
}

static const struct sim_machine_ops client_ops = {
	.name = "client",
	.input = client_input,
	.tick = client_tick,
	.deadline_ns = client_deadline_ns,
	.check = client_check,
};

static void config_of(const struct world *w, uint32_t index, struct perron_client_config *cfg)
{
	uint32_t node = w->plan.peer_count + index;
	uint64_t local_ns = sim_local_ns(&w->sim, node);

	*cfg = w->plan.client;
	cfg->id = w->sim.nodes[node].id;
	cfg->incarnation = w->clients[index].incarnation;
	cfg->clock_offset_ns = WORLD_EPOCH_NS + w->sim.now_ns - local_ns;
	memcpy(cfg->portal, w->portal, sizeof(w->portal));
	cfg->portal_count = w->plan.portal_count;
}

void clients_make(struct world *w)
{
	struct perron_client_config cfg;

	w->clients = calloc(w->plan.client_count, sizeof(*w->clients));
	PERRON_ASSERT(w->clients);
	for (uint32_t i = 0; i < w->plan.client_count; i++) {
		uint32_t node = w->plan.peer_count + i;
		uint32_t station = w->plan.station_count + i;
		struct sim_station *s = &w->sim.stations[station];
		s->node_first = node;
		s->node_count = 1;
		s->clock_base_ns = clock_draw(w);
		s->drift_ppm = (int64_t)perron_random_below(&w->random, 401) - 200;
		w->sim.nodes[node] = (struct sim_node){
			.id = PERRON_CLIENT_ID | (i + 1),
			.station = station,
			.port_base = (uint16_t)(CLIENT_PORT_BASE + 8 * i),
		};
		w->clients[i].incarnation = (uint32_t)perron_random_between(&w->random, 1, 99);
		w->clients[i].wish_count = (uint32_t)perron_random_between(&w->random, 1, 6);
		config_of(w, i, &cfg);
		size_t size = (perron_client_size(&cfg) + 63) & ~(size_t)63;
		w->clients[i].client = aligned_alloc(64, size);
		PERRON_ASSERT(w->clients[i].client);
		sim_heap_push(&w->sim.agenda, perron_random_below(&w->random, 2 * SIM_S),
			      WORLD_EVENT_START, node, 0);
	}
	w->plan.station_count += w->plan.client_count;
	w->sim.station_count = w->plan.station_count;
}

void clients_free(struct world *w)
{
	for (uint32_t i = 0; w->clients && i < w->plan.client_count; i++)
		free(w->clients[i].client);
	free(w->clients);
}

static bool is_subscribed(const struct world_client *c, uint32_t sensor, uint8_t class)
{
	for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++)
		if (c->subscriptions[i].used && c->subscriptions[i].sensor == sensor &&
		    c->subscriptions[i].class == class)
			return true;
	return false;
}

/* Mostly none; some that are easily kept, and some that hardly any path keeps. */
static uint32_t latency_draw(struct world *w)
{
	uint64_t kind = perron_random_below(&w->random, 100);
	uint64_t us = perron_random_between(&w->random, 500, 60000);

	return kind < 70 ? 0 : kind < 85 ? 60000000 : (uint32_t)us;
}

static void client_subscribe(struct world *w, uint32_t index, uint32_t sensor, uint8_t class)
{
	struct world_client *c = &w->clients[index];
	uint32_t node = w->plan.peer_count + index;
	const char *name = sensor == NO_SENSOR ? "no/such-sensor" : w->sensors[sensor].name;
	uint32_t latency_us = latency_draw(w);
	struct perron_qos qos = sensor == NO_SENSOR ? (struct perron_qos){0}
						    : w->sensors[sensor].qos;

	if (is_subscribed(c, sensor, class))
		return;
	sim_step_begin(&w->sim, node);
	int answer = perron_client_subscribe(c->client, sim_local_ns(&w->sim, node), name, class,
					     latency_us, &qos, &w->sim.effects);
	if (answer < 0 || answer >= (int)WORLD_SUBSCRIPTION_MAX) {
		sim_violation(&w->sim, "subscribe: client %u sensor %s: %d", index + 1, name,
			      answer);
	} else {
		if (c->subscriptions[answer].used)
			sim_violation(&w->sim, "subscribe: client %u gave index %d twice",
				      index + 1, answer);
		c->subscriptions[answer] = (struct world_subscription){
			.used = true,
			.sensor = sensor,
			.class = class,
			.since_ns = w->sim.now_ns,
			.bounded = (latency_us && latency_us < 60000000) || qos.replicas,
		};
		sim_trace(&w->sim, "client %u subscribes %s class %u as %d", index + 1, name, class,
			  answer);
	}
	(void)sim_step_end(&w->sim, node, SIM_FAST, SIM_STEP_OTHER);
}

static void client_unsubscribe(struct world *w, uint32_t index, uint32_t subscription)
{
	struct world_client *c = &w->clients[index];
	uint32_t node = w->plan.peer_count + index;

	sim_trace(&w->sim, "client %u unsubscribes %u", index + 1, subscription);
	sim_step_begin(&w->sim, node);
	c->subscriptions[subscription].used = false;
	perron_client_unsubscribe(c->client, sim_local_ns(&w->sim, node), subscription,
				  &w->sim.effects);
	(void)sim_step_end(&w->sim, node, SIM_FAST, SIM_STEP_OTHER);
}

static uint32_t subscription_count(const struct world_client *c)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++)
		count += c->subscriptions[i].used;
	return count;
}

static void wish_add(struct world *w, uint32_t index)
{
	uint32_t sensor = (uint32_t)perron_random_below(&w->random, w->plan.sensor_count);
	uint8_t class = (uint8_t)perron_random_below(&w->random, PERRON_CLASS_OVERLAY);

	if (!w->healed_at_ns && perron_random_chance(&w->random, 30000))
		sensor = NO_SENSOR;
	client_subscribe(w, index, sensor, class);
}

/* Refused is final for the machine; its user may think otherwise. */
static void refused_renew(struct world *w, uint32_t index)
{
	struct world_client *c = &w->clients[index];
	struct perron_subscription_info info;

	for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++) {
		struct world_subscription was = c->subscriptions[i];
		if (!was.used)
			continue;
		perron_client_info(c->client, i, &info);
		if (info.state != PERRON_SUBSCRIPTION_REFUSED)
			continue;
		client_unsubscribe(w, index, i);
		if (was.sensor != NO_SENSOR && w->sim.nodes[w->plan.peer_count + index].alive)
			client_subscribe(w, index, was.sensor, was.class);
	}
}

void client_look(struct world *w, uint32_t index)
{
	struct world_client *c = &w->clients[index];
	uint32_t node = w->plan.peer_count + index;
	uint64_t next_ns = perron_random_between(&w->random, 200, 800) * SIM_MS;

	if (w->sim.now_ns >= w->plan.converged_ns)
		return;
	sim_heap_push(&w->sim.agenda, w->sim.now_ns + next_ns, WORLD_EVENT_CLIENT, index, 0);
	if (!w->sim.nodes[node].alive ||
	    w->sim.nodes[node].planes[SIM_FAST].stalled_until_ns > w->sim.now_ns)
		return;
	refused_renew(w, index);
	if (w->sim.nodes[node].alive && subscription_count(c) < c->wish_count)
		wish_add(w, index);
	else if (w->sim.nodes[node].alive && !w->healed_at_ns &&
		 perron_random_chance(&w->random, 50000)) {
		uint32_t i = (uint32_t)perron_random_below(&w->random, WORLD_SUBSCRIPTION_MAX);
		if (c->subscriptions[i].used)
			client_unsubscribe(w, index, i);
	}
	sim_plane_arm(&w->sim, node, SIM_FAST);
}

void client_start(struct world *w, uint32_t node)
{
	uint32_t index = node - w->plan.peer_count;
	struct world_client *c = &w->clients[index];
	struct sim_node *n = &w->sim.nodes[node];
	struct perron_client_config cfg;

	if (n->alive)
		return;
	c->incarnation++;
	memset(c->subscriptions, 0, sizeof(c->subscriptions));
	config_of(w, index, &cfg);
	memset(c->client, MEMORY_POISON, perron_client_size(&cfg));
	int error = perron_client_init(c->client, &cfg, sim_local_ns(&w->sim, node));
	if (error) {
		sim_violation(&w->sim, "start: client %u: %d", index + 1, error);
		w->sim.ended = true;
		return;
	}
	n->alive = true;
	n->planes[SIM_FAST].hold_count_max = cfg.window * cfg.subscription_count_max;
	sim_plane_start(&w->sim, node, SIM_FAST, &client_ops, c->client);
	sim_trace(&w->sim, "start client %u:%u", index + 1, c->incarnation);
	for (uint32_t i = 0; i < c->wish_count && n->alive; i++)
		wish_add(w, index);
	sim_plane_arm(&w->sim, node, SIM_FAST);
}
