/* What goes wrong, as often as the plan says, and the end of it. */
#include "test/sim/world.h"

static uint64_t below(struct world *w, uint64_t bound)
{
	return perron_random_below(&w->trouble, bound);
}

static void fault_next(struct world *w)
{
	uint64_t wait_ns = below(w, 2 * w->plan.fault_interval_ns + 1);

	sim_heap_push(&w->sim.agenda, w->sim.now_ns + wait_ns, WORLD_EVENT_FAULT, 0, 0);
}

void faults_begin(struct world *w)
{
	perron_random_seed(&w->trouble, w->options.seed ^ UINT64_C(0x7e50b1e));
	if (w->plan.crash || w->plan.network)
		fault_next(w);
	if (w->plan.stranger_interval_ns)
		sim_heap_push(&w->sim.agenda, w->plan.stranger_interval_ns, WORLD_EVENT_STRANGER,
			      0, 0);
}

void station_crash(struct world *w, uint32_t station)
{
	const struct sim_station *s = &w->sim.stations[station];

	for (uint32_t i = 0; i < s->node_count; i++)
		if (w->sim.nodes[s->node_first + i].alive)
			sim_node_kill(&w->sim, s->node_first + i);
}

void station_restart(struct world *w, uint32_t station)
{
	struct sim_station *s = &w->sim.stations[station];
	bool is_empty = true;

	for (uint32_t i = 0; i < s->node_count; i++)
		is_empty = is_empty && !w->sim.nodes[s->node_first + i].alive;
	/* Its clock starts anew if the machine itself went down. */
	if (is_empty && w->plan.reboots) {
		s->clock_base_ns = below(w, 5000) * SIM_MS;
		s->clock_start_ns = w->sim.now_ns;
	}
	for (uint32_t i = 0; i < s->node_count; i++) {
		uint32_t node = s->node_first + i;
		if (is_peer(w, node))
			peer_start(w, node);
		else
			client_start(w, node);
	}
}

/* At once, or between two of the effects to come, or in order: after it has taken its leave. */
static void crash_strike(struct world *w, uint32_t station, bool in_order)
{
	const struct sim_station *s = &w->sim.stations[station];
	uint64_t dead_ns = w->plan.dead_ns_min + 1 + below(w, w->plan.dead_ns_max);
	uint64_t grace_ns = 0;

	w->crashes++;
	if (in_order && is_peer(w, s->node_first)) {
		grace_ns = below(w, 500 * SIM_MS);
		for (uint32_t i = 0; i < s->node_count; i++)
			peer_leave(w, s->node_first + i);
		sim_heap_push(&w->sim.agenda, w->sim.now_ns + grace_ns, WORLD_EVENT_CRASH, station,
			      0);
	} else if (below(w, 2)) {
		station_crash(w, station);
	} else {
		for (uint32_t i = 0; i < s->node_count; i++) {
			struct sim_node *n = &w->sim.nodes[s->node_first + i];
			n->crash_countdown = 1 + (uint32_t)below(w, 40);
		}
	}
	sim_heap_push(&w->sim.agenda, w->sim.now_ns + grace_ns + dead_ns, WORLD_EVENT_RESTART,
		      station, 0);
}

/* One peer's lcore, or the housekeeping of a whole station. */
static void stall_strike(struct world *w, uint32_t station)
{
	const struct sim_station *s = &w->sim.stations[station];
	uint64_t until_ns = w->sim.now_ns + below(w, w->plan.stall_ns_max);
	uint64_t which = below(w, 3);

	if (!is_peer(w, s->node_first) || which == 0) {
		uint32_t node = s->node_first + (uint32_t)below(w, s->node_count);
		sim_plane_stall(&w->sim, node, SIM_FAST, until_ns);
		return;
	}
	for (uint32_t i = 0; i < s->node_count; i++) {
		sim_plane_stall(&w->sim, s->node_first + i, SIM_SLOW, until_ns);
		if (which == 2)
			sim_plane_stall(&w->sim, s->node_first + i, SIM_FAST, until_ns);
	}
}

/* Nobody is down, or about to be, all is well, and who has just come is in step. */
static bool is_calm_now(struct world *w)
{
	for (uint32_t i = 0; i < w->sim.node_count; i++)
		if (w->sim.nodes[i].crash_countdown)
			return false;
	if (w->sim.now_ns - w->started_at_ns < SIM_S)
		return false;
	return !w->plan.small_bounds && !tree_missing(w, NULL, 0) && !stream_missing(w, NULL, 0);
}

void fault_strike(struct world *w)
{
	const struct world_plan *p = &w->plan;
	uint32_t sum = p->partition_weight + p->crash_weight + p->stall_weight + p->leave_weight;
	uint32_t station = (uint32_t)below(w, p->station_count);

	if (p->root_is_weak && below(w, 2))
		station = w->sim.nodes[below(w, p->portal_count)].station;
	if ((p->is_calm || p->is_shared) && below(w, 4))
		station = w->sim.nodes[w->sensors[below(w, p->sensor_count)].peer].station;
	if (w->healed_at_ns || !sum)
		return;
	fault_next(w);
	if (p->is_shared && !is_calm_now(w))
		return;
	w->strikes++;
	uint64_t which = below(w, sum);
	if (which < p->partition_weight) {
		sim_partition_begin(&w->sim, w->sim.now_ns + 1 + below(w, p->partition_ns_max));
		return;
	}
	which -= p->partition_weight;
	if (which < p->stall_weight) {
		stall_strike(w, station);
		return;
	}
	crash_strike(w, station, which - p->stall_weight < p->leave_weight);
}

/* The network is perfect, everybody lives and runs; clocks drift on. */
void world_heal(struct world *w)
{
	w->healed_at_ns = w->sim.now_ns;
	sim_net_heal(&w->sim);
	for (uint32_t i = 0; i < w->sim.node_count; i++) {
		struct sim_node *n = &w->sim.nodes[i];
		n->crash_countdown = 0;
		if (n->alive && is_peer(w, i) && w->peers[i].leaving)
			sim_node_kill(&w->sim, i);
		for (uint32_t plane = 0; n->alive && plane < SIM_PLANE_COUNT; plane++) {
			n->planes[plane].stalled_until_ns = 0;
			if (n->planes[plane].ops)
				sim_plane_arm(&w->sim, i, plane);
		}
	}
	for (uint32_t i = 0; i < w->plan.station_count; i++)
		station_restart(w, i);
}
