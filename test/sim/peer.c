/* A peer's life: its two machines, its stations, its starts and its leaving. */
#include <stdlib.h>
#include <string.h>

#include "test/sim/relay.h"
#include "test/sim/world.h"

#define MEMORY_POISON 0xcc

/* The overlay is chosen by its name, as a station does. */
static const struct perron_overlay_ops *overlay_ops(void)
{
	return perron_overlay_find("p3");
}

static void overlay_event(void *m, uint64_t now_ns, const struct perron_event *event,
			  struct perron_effects *out)
{
	overlay_ops()->event(m, now_ns, event, out);
}

static void overlay_tick(void *m, uint64_t now_ns, struct perron_effects *out)
{
	overlay_ops()->tick(m, now_ns, out);
}

static uint64_t overlay_deadline_ns(const void *m)
{
	return overlay_ops()->deadline_ns(m);
}

static void overlay_check(const void *m, uint64_t now_ns)
{
	overlay_ops()->check(m, now_ns);
}

static const struct sim_machine_ops overlay_machine_ops = {
	.name = "overlay",
	.event = overlay_event,
	.tick = overlay_tick,
	.deadline_ns = overlay_deadline_ns,
	.check = overlay_check,
};

static struct perron_endpoint endpoint_of(const struct world *w, uint32_t node)
{
	const struct sim_node *n = &w->sim.nodes[node];

	return (struct perron_endpoint){sim_address(n->station), n->port_base};
}

static void configs_of(const struct world *w, uint32_t node, struct perron_relay_config *relay,
		       struct perron_overlay_config *overlay)
{
	const struct world_peer *peer = &w->peers[node];
	uint64_t local_ns = sim_local_ns(&w->sim, node);

	*relay = w->plan.relay;
	relay->peer = w->sim.nodes[node].id;
	relay->incarnation = peer->incarnation;
	relay->endpoint = endpoint_of(w, node);
	relay->seed = w->options.seed ^ node;
	relay->clock_offset_ns = WORLD_EPOCH_NS + w->sim.now_ns - local_ns +
				 w->sim.net.salt % (w->plan.clock_error_ns + 1) * (node % 3) / 2;
	*overlay = w->plan.overlay;
	overlay->peer = relay->peer;
	overlay->incarnation = peer->incarnation;
	overlay->endpoint = relay->endpoint;
	overlay->seed = w->options.seed * 1000003 + (uint64_t)node * 1000 + peer->incarnation;
	memcpy(overlay->portal, w->portal, sizeof(w->portal));
	overlay->portal_count = w->plan.portal_count;
	overlay->has_wish = peer->has_wish;
	overlay->wish = peer->wish;
	/* Only the root cell keeps the register. */
	if (node >= w->plan.portal_count)
		overlay->registry_count_max = 1;
}

/* Anything, and now and then so that the numbers that a link takes from it wrap during the run. */
uint64_t clock_draw(struct world *w)
{
	uint64_t wrap_ns = (UINT64_C(1) << 42) * perron_random_between(&w->random, 1, 3);
	uint64_t before_ns = perron_random_below(&w->random, w->plan.until_ns);

	if (perron_random_chance(&w->random, 100000))
		return wrap_ns - before_ns;
	return perron_random_below(&w->random, 1000000) * SIM_MS;
}

/* One to three peers a station, in the order of their numbers. */
static void stations_fill(struct world *w)
{
	uint32_t station = 0;
	uint32_t node = 0;

	while (node < w->plan.peer_count) {
		uint32_t left = w->plan.peer_count - node;
		uint32_t count = perron_random_chance(&w->random, 300000)
					 ? (uint32_t)perron_random_between(&w->random, 2,
									   WORLD_STATION_PEERS_MAX)
					 : 1;
		if (w->plan.is_shared)
			count = 1;
		count = count > left ? left : count;
		struct sim_station *s = &w->sim.stations[station];
		s->node_first = node;
		s->node_count = count;
		s->clock_base_ns = clock_draw(w);
		s->drift_ppm = (int64_t)perron_random_below(&w->random, 401) - 200;
		for (uint32_t i = 0; i < count; i++, node++)
			w->sim.nodes[node] = (struct sim_node){
				.id = node + 1,
				.station = station,
				.port_base = WORLD_PORT_BASE,
			};
		station++;
	}
	w->plan.station_count = station;
}

/* A wish is a cell somewhere in the tree. */
static void wish_draw(struct world *w, struct world_peer *peer)
{
	peer->has_wish = perron_random_chance(&w->random, 200000);
	peer->wish = (struct perron_position){0};
	if (!peer->has_wish)
		return;
	peer->wish.level = (uint8_t)perron_random_between(&w->random, 1,
							  w->plan.level_count - 1u);
	for (uint32_t i = 0; i < peer->wish.level; i++)
		peer->wish.branch[i] = (uint8_t)perron_random_below(&w->random, w->plan.span);
}

/* The second pair of sensors' peers has one cell. */
static void twin_wish(struct world *w, uint32_t node)
{
	struct world_peer *peer = &w->peers[node];

	peer->has_wish = node / 2 == w->plan.twin_first / 2;
	if (peer->has_wish)
		peer->wish = (struct perron_position){.level = 1};
}

void peers_make(struct world *w)
{
	struct perron_relay_config relay;
	struct perron_overlay_config overlay;

	stations_fill(w);
	for (uint32_t i = 0; i < w->plan.portal_count; i++)
		w->portal[i] = (struct perron_portal){w->sim.nodes[i].id, endpoint_of(w, i)};
	w->ops = overlay_ops();
	w->peers = calloc(w->plan.peer_count, sizeof(*w->peers));
	PERRON_ASSERT(w->peers && w->ops);
	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		struct world_peer *peer = &w->peers[i];
		peer->incarnation = (uint32_t)perron_random_between(&w->random, 1, 1000000);
		if (i >= w->plan.portal_count)
			wish_draw(w, peer);
		if (w->plan.is_shared)
			twin_wish(w, i);
		configs_of(w, i, &relay, &overlay);
		peer->relay = sim_lines_alloc(perron_relay_size(&relay));
		peer->overlay = sim_lines_alloc(w->ops->size(&overlay));
		uint64_t at_ns = perron_random_below(&w->random, w->plan.start_spread_ns + 1);
		if (w->plan.is_shared && i >= w->plan.twin_first + 2)
			at_ns += 2 * SIM_S; /* the pairs have their places by then */
		sim_heap_push(&w->sim.agenda, at_ns, WORLD_EVENT_START, i, 0);
	}
}

void peers_free(struct world *w)
{
	for (uint32_t i = 0; w->peers && i < w->plan.peer_count; i++) {
		free(w->peers[i].relay);
		free(w->peers[i].overlay);
	}
	free(w->peers);
}

static void sensors_attach(struct world *w, uint32_t node)
{
	struct world_peer *peer = &w->peers[node];

	for (uint32_t i = 0; i < w->plan.sensor_count && w->sim.nodes[node].alive; i++) {
		if (w->sensors[i].peer != node && w->sensors[i].twin != node)
			continue;
		sim_step_begin(&w->sim, node);
		int error = w->ops->attach(peer->overlay, sim_local_ns(&w->sim, node),
					   w->sensors[i].name, &w->sim.effects);
		if (error)
			sim_violation(&w->sim, "attach: sensor %s at peer %u: error %d",
				      w->sensors[i].name, w->sim.nodes[node].id, error);
		(void)sim_step_end(&w->sim, node, SIM_SLOW, SIM_STEP_OTHER);
	}
}

void peer_start(struct world *w, uint32_t node)
{
	struct world_peer *peer = &w->peers[node];
	struct sim_node *n = &w->sim.nodes[node];
	struct perron_relay_config relay;
	struct perron_overlay_config overlay;
	uint64_t now_ns = sim_local_ns(&w->sim, node);

	if (n->alive)
		return;
	peer->incarnation++;
	if (w->plan.is_shared) /* as stations have it: by the clock */
		peer->incarnation = 1000 + (uint32_t)(w->sim.now_ns / SIM_MS);
	peer->leaving = false;
	peer->view = (struct world_view){0};
	configs_of(w, node, &relay, &overlay);
	memset(peer->relay, MEMORY_POISON, perron_relay_size(&relay));
	memset(peer->overlay, MEMORY_POISON, w->ops->size(&overlay));
	int relay_error = perron_relay_init(peer->relay, &relay, now_ns);
	int overlay_error = w->ops->init(peer->overlay, &overlay, now_ns);
	if (relay_error || overlay_error) {
		sim_violation(&w->sim, "start: peer %u: relay %d, overlay %d", n->id, relay_error,
			      overlay_error);
		w->sim.ended = true;
		return;
	}
	n->alive = true;
	n->planes[SIM_FAST].hold_count_max = relay.origin_count_max * relay.origin_window +
					  relay.stream_count_max * relay.standby_window +
					  relay.replica_frame_max;
	sim_plane_start(&w->sim, node, SIM_FAST, &sim_relay_ops, peer->relay);
	sim_plane_start(&w->sim, node, SIM_SLOW, &overlay_machine_ops, peer->overlay);
	sim_trace(&w->sim, "start peer %u:%u", n->id, peer->incarnation);
	sensors_attach(w, node);
	stream_note_started(w, node);
	w->started_at_ns = w->sim.now_ns;
	sim_plane_arm(&w->sim, node, SIM_FAST);
	sim_plane_arm(&w->sim, node, SIM_SLOW);
}

void peer_leave(struct world *w, uint32_t node)
{
	struct world_peer *peer = &w->peers[node];

	if (!w->sim.nodes[node].alive || peer->leaving)
		return;
	peer->leaving = true;
	sim_trace(&w->sim, "leave peer %u", w->sim.nodes[node].id);
	sim_step_begin(&w->sim, node);
	w->ops->leave(peer->overlay, sim_local_ns(&w->sim, node), &w->sim.effects);
	(void)sim_step_end(&w->sim, node, SIM_SLOW, SIM_STEP_OTHER);
	sim_plane_arm(&w->sim, node, SIM_SLOW);
}
