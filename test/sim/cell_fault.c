/*
 * What goes wrong in the cell: partitions of any shape, pairs that do not reach each other, crashes
 * and restarts, stalls, peers that go elsewhere for a while; singly, one upon the other in the time
 * that a change of view takes, or lying in wait for such a change. And the end of it.
 */
#include "test/sim/cell.h"

#define FOLLOWERS_MAX 6u
#define STRIKES_MAX   600u /* of a run: histories have room for what they cause */

static uint64_t below(struct cell *w, uint64_t bound)
{
	return perron_random_below(&w->trouble, bound);
}

static void fault_next(struct cell *w)
{
	uint64_t wait_ns = below(w, 2 * w->plan.fault_interval_ns + 1);

	sim_heap_push(&w->sim.agenda, w->sim.now_ns + wait_ns, CELL_EVENT_FAULT, 0, 0);
}

void cell_faults_begin(struct cell *w)
{
	perron_random_seed(&w->trouble, w->options.seed ^ UINT64_C(0x7e50b1e));
	fault_next(w);
	if (w->plan.stranger_interval_ns)
		sim_heap_push(&w->sim.agenda, w->plan.stranger_interval_ns, CELL_EVENT_STRANGER, 0,
			      0);
}

void cell_station_crash(struct cell *w, uint32_t station)
{
	const struct sim_station *s = &w->sim.stations[station];

	for (uint32_t i = 0; i < s->node_count; i++)
		if (w->sim.nodes[s->node_first + i].alive)
			sim_node_kill(&w->sim, s->node_first + i);
}

void cell_station_restart(struct cell *w, uint32_t station)
{
	struct sim_station *s = &w->sim.stations[station];
	bool is_empty = true;

	for (uint32_t i = 0; i < s->node_count; i++)
		is_empty = is_empty && !w->sim.nodes[s->node_first + i].alive;
	if (is_empty && w->plan.reboots) {
		s->clock_base_ns = below(w, 5000) * SIM_MS;
		s->clock_start_ns = w->sim.now_ns;
	}
	for (uint32_t i = 0; i < s->node_count; i++)
		cell_peer_start(w, s->node_first + i);
}

/* Some within, some without: each side has one at least. */
static void partition_strike(struct cell *w, uint64_t length_ns)
{
	uint8_t inside[CELL_PEER_COUNT_MAX] = {0};
	uint32_t stations = w->plan.station_count;
	uint32_t one = (uint32_t)below(w, stations);
	uint32_t other = (one + 1 + (uint32_t)below(w, stations - 1)) % stations;
	uint32_t share_ppm = (uint32_t)below(w, 900000);

	for (uint32_t i = 0; i < stations; i++)
		inside[i] = perron_random_chance(&w->trouble, share_ppm);
	inside[one] = 1;
	inside[other] = 0;
	w->counts.partitions++;
	sim_partition_split(&w->sim, inside, perron_random_chance(&w->trouble, 300000),
			    w->sim.now_ns + 1 + length_ns);
}

static void cut_strike(struct cell *w)
{
	uint32_t stations = w->plan.station_count;
	uint32_t one = (uint32_t)below(w, stations);
	uint32_t other = (one + 1 + (uint32_t)below(w, stations - 1)) % stations;

	bool one_way = below(w, 2);
	uint64_t length_ns = 1 + below(w, w->plan.cut_ns_max);

	w->counts.cuts++;
	sim_cut_begin(&w->sim, one, other, one_way, w->sim.now_ns + length_ns);
}

/* At once, or between two of the effects to come. */
static void crash_strike(struct cell *w, uint32_t station)
{
	const struct sim_station *s = &w->sim.stations[station];
	uint64_t dead_ns = 1 + below(w, w->plan.dead_ns_max);

	w->counts.crashes++;
	if (below(w, 2)) {
		cell_station_crash(w, station);
	} else {
		for (uint32_t i = 0; i < s->node_count; i++) {
			struct sim_node *n = &w->sim.nodes[s->node_first + i];
			n->crash_countdown = n->alive ? 1 + (uint32_t)below(w, 40) : 0;
		}
	}
	sim_heap_push(&w->sim.agenda, w->sim.now_ns + dead_ns, CELL_EVENT_RESTART, station, 0);
}

static void stall_strike(struct cell *w, uint32_t node, uint64_t length_ns)
{
	uint64_t until_ns = w->sim.now_ns + length_ns;
	uint64_t which = below(w, 3);

	w->counts.stalls++;
	if (which != 0)
		sim_plane_stall(&w->sim, node, SIM_FAST, until_ns);
	if (which != 1)
		sim_plane_stall(&w->sim, node, SIM_SLOW, until_ns);
}

static void move_strike(struct cell *w, uint32_t node)
{
	w->counts.moves++;
	cell_peer_move(w, node, below(w, 2) ? 0 : w->plan.cells[1]);
	sim_heap_push(&w->sim.agenda, w->sim.now_ns + 1 + below(w, w->plan.dead_ns_max),
		      CELL_EVENT_RETURN, node, 0);
}

/* Others follow, so soon that they meet the change that this one causes. */
static void cascade_begin(struct cell *w)
{
	const struct perron_group_config *g = &w->plan.relay.group;
	uint64_t count = 1 + below(w, FOLLOWERS_MAX);
	uint64_t gap_ns_max = below(w, 2) ? 2 * g->attempt_ns : 4 * g->resend_ns;
	uint64_t at_ns = w->sim.now_ns;

	/* Those that are only heard of by silence begin later. */
	if (below(w, 2))
		at_ns += w->plan.relay.detector.timeout_ns_max;
	for (uint64_t i = 0; i < count; i++) {
		at_ns += below(w, gap_ns_max);
		sim_heap_push(&w->sim.agenda, at_ns, CELL_EVENT_STRIKE, 0, 0);
	}
}

void cell_fault_strike(struct cell *w, bool is_first)
{
	const struct cell_plan *p = &w->plan;
	uint32_t sum = p->partition_weight + p->cut_weight + p->crash_weight + p->stall_weight +
		       p->move_weight;
	uint64_t short_ns = 2 * p->relay.detector.timeout_ns_max + p->relay.group.attempt_ns;

	if (w->healed_at_ns || !sum || w->strikes >= STRIKES_MAX)
		return;
	w->strikes++;
	if (is_first) {
		fault_next(w);
		if (perron_random_chance(&w->trouble, p->cascade_ppm))
			cascade_begin(w);
	}
	uint64_t which = below(w, sum);
	uint32_t node = (uint32_t)below(w, p->peer_count);
	uint64_t share = below(w, 1000000);
	bool is_short = !is_first || below(w, 3) == 0;
	if (which < p->partition_weight + p->cut_weight && p->station_count < 2)
		return;
	if (which < p->partition_weight)
		partition_strike(w, (is_short ? short_ns : p->partition_ns_max) / 1000000 * share);
	else if ((which -= p->partition_weight) < p->cut_weight)
		cut_strike(w);
	else if ((which -= p->cut_weight) < p->crash_weight)
		crash_strike(w, w->sim.nodes[node].station);
	else if (which - p->crash_weight < p->stall_weight)
		stall_strike(w, node, (is_short ? short_ns : p->stall_ns_max) / 1000000 * share);
	else
		move_strike(w, node);
}

void cell_ambush(struct cell *w)
{
	const struct perron_group_config *g = &w->plan.relay.group;

	if (w->healed_at_ns || !perron_random_chance(&w->trouble, w->plan.ambush_ppm))
		return;
	sim_heap_push(&w->sim.agenda,
		      w->sim.now_ns + below(w, below(w, 2) ? g->attempt_ns : 3 * g->resend_ns),
		      CELL_EVENT_STRIKE, 0, 0);
}

/* The network is perfect, everybody lives, runs, and is in the cell; clocks drift on. */
void cell_heal(struct cell *w)
{
	w->healed_at_ns = w->sim.now_ns;
	sim_net_heal(&w->sim);
	for (uint32_t i = 0; i < w->sim.node_count; i++) {
		struct sim_node *n = &w->sim.nodes[i];
		n->crash_countdown = 0;
		cell_peer_move(w, i, w->plan.cells[0]);
		for (uint32_t plane = 0; n->alive && plane < SIM_PLANE_COUNT; plane++) {
			n->planes[plane].stalled_until_ns = 0;
			sim_plane_arm(&w->sim, i, plane);
		}
	}
	for (uint32_t i = 0; i < w->plan.station_count; i++)
		cell_station_restart(w, i);
}
