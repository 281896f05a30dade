/* The seed's choices. Every draw is made whatever the profile, so that profiles are comparable. */
#include "test/sim/world.h"

/* Sensors of a world where they hang on two peers: a peer has no room for more. */
#define SHARED_COUNT_MAX 6u

static uint64_t between(struct world *w, uint64_t first, uint64_t last)
{
	return perron_random_between(&w->random, first, last);
}

static bool chance(struct world *w, uint32_t percent)
{
	return perron_random_chance(&w->random, percent * 10000);
}

/* Places below the root cell. */
static uint64_t capacity_of(const struct world_plan *p)
{
	uint64_t cells = 1;
	uint64_t places = 0;

	for (uint32_t level = 1; level < p->level_count; level++) {
		cells *= p->span;
		places += cells * p->cell_size;
	}
	return places;
}

static void topology_draw(struct world *w)
{
	struct world_plan *p = &w->plan;
	uint32_t peers = (uint32_t)between(w, w->options.peer_count_min, w->options.peer_count_max);

	p->peer_count = peers;
	p->level_count = (uint8_t)between(w, 2, 5);
	p->span = (uint8_t)between(w, 1, 4);
	p->cell_size = (uint8_t)between(w, 1, 4);
	p->portal_count = (uint32_t)between(w, 1, 3);
	if (p->portal_count > peers)
		p->portal_count = peers;
	uint64_t needed = peers - p->portal_count;
	needed += needed * between(w, 0, 50) / 100;
	while (capacity_of(p) < needed) {
		uint64_t which = between(w, 0, 2);
		if (which == 0 && p->level_count < 6)
			p->level_count++;
		else if (which == 1 && p->span < 6)
			p->span++;
		else if (p->cell_size < 6)
			p->cell_size++;
		else if (p->level_count < PERRON_LEVEL_COUNT_MAX)
			p->level_count++;
	}
}

/* Sensors hang on two peers each: of the root cell, or of a cell of their own. */
static void shared_topology(struct world_plan *p)
{
	if (!p->is_shared)
		return;
	p->cell_size = p->cell_size < 2 ? 2 : p->cell_size;
	p->peer_count += p->peer_count < 4 ? 4 : 0;
	p->portal_count = 2;
	p->twin_first = 2;
}

static void population_draw(struct world *w)
{
	struct world_plan *p = &w->plan;
	uint64_t share = between(w, 10, 60);
	uint64_t sensors = p->peer_count * share / 100;

	p->client_count = (uint32_t)between(w, 1, WORLD_CLIENT_COUNT_MAX);
	p->sensor_count = (uint32_t)(sensors < 1 ? 1 : sensors);
	if (p->sensor_count > WORLD_SENSOR_COUNT_MAX)
		p->sensor_count = WORLD_SENSOR_COUNT_MAX;
	if (p->is_shared && p->sensor_count > SHARED_COUNT_MAX)
		p->sensor_count = SHARED_COUNT_MAX;
	p->start_spread_ns = between(w, 0, 3) * SIM_S / 2;
	p->small_bounds = chance(w, 15);
	p->reboots = chance(w, 50);
}

static void network_draw(struct world *w)
{
	struct sim_net *net = &w->sim.net;

	net->salt = perron_random_next(&w->random);
	net->delay_ns_min = between(w, 50, 300) * SIM_US;
	net->delay_ns_max = net->delay_ns_min + between(w, 0, 4700) * SIM_US;
	net->jitter_ns = chance(w, 70) ? between(w, 0, 2000) * SIM_US : 0;
	net->loss_ppm = chance(w, 70) ? (uint32_t)between(w, 0, 100000) : 0;
	net->duplicate_ppm = chance(w, 50) ? (uint32_t)between(w, 0, 50000) : 0;
	net->reorder_ppm = chance(w, 50) ? (uint32_t)between(w, 0, 50000) : 0;
	net->corrupt_ppm = chance(w, 30) ? (uint32_t)between(w, 0, 20000) : 0;
	net->replay_ppm = chance(w, 30) ? (uint32_t)between(w, 0, 10000) : 0;
	w->sim.turn_ns_max = between(w, 0, 50) * SIM_US;
	w->sim.hand_over_ns_max = between(w, 0, 2000) * SIM_US;
	w->plan.stranger_interval_ns = chance(w, 30) ? between(w, 5, 200) * SIM_MS : 0;
	w->plan.clock_error_ns = between(w, 0, 2000) * SIM_US;
}

static void trouble_draw(struct world *w)
{
	struct world_plan *p = &w->plan;
	uint64_t strikes = between(w, 2, 10 + p->peer_count / 2);

	p->network = w->options.profile == WORLD_PROFILE_NETWORK ||
		     w->options.profile == WORLD_PROFILE_ALL;
	p->crash = w->options.profile == WORLD_PROFILE_CRASH ||
		   w->options.profile == WORLD_PROFILE_ALL;
	if (chance(w, 20))
		strikes *= 4;
	p->fault_interval_ns = p->heal_ns / strikes;
	p->root_is_weak = chance(w, 25);
	p->partition_weight = chance(w, 60) ? (uint32_t)between(w, 1, 10) : 0;
	p->crash_weight = chance(w, 80) ? (uint32_t)between(w, 1, 20) : 0;
	p->stall_weight = chance(w, 60) ? (uint32_t)between(w, 1, 20) : 0;
	p->leave_weight = chance(w, 30) ? (uint32_t)between(w, 1, 5) : 0;
	p->partition_ns_max = between(w, 50, 5000) * SIM_MS;
	p->dead_ns_max = between(w, 10, 6000) * SIM_MS;
	p->stall_ns_max = between(w, 1, 800) * SIM_MS;
	if (!p->network) {
		p->partition_weight = 0;
		p->stranger_interval_ns = 0;
		sim_net_heal(&w->sim);
	}
	if (!p->crash) {
		p->crash_weight = 0;
		p->stall_weight = 0;
		p->leave_weight = 0;
	}
}

/* In some worlds stations are killed one at a time, mostly those of sensors. */
static void calm_draw(struct world *w)
{
	struct world_plan *p = &w->plan;

	p->is_calm = w->options.profile == WORLD_PROFILE_ALL && w->options.seed % 16 == 7;
	if (!p->is_calm && !p->is_shared)
		return;
	/* What the origin sends first is lost now and then, and with it gone nobody sends it again. */
	w->sim.net.loss_ppm = 20000;
	p->partition_weight = 0;
	p->fault_interval_ns = p->heal_ns / 4;
	p->crash_weight = 1;
	p->stall_weight = 0;
	p->leave_weight = 0;
	p->root_is_weak = false;
	/* Who is back before it was missed begins a new life, and what was pending is lost. */
	p->dead_ns_min = 2 * SIM_S;
	p->dead_ns_max = SIM_S;
	p->start_spread_ns = 0;
	p->small_bounds = false;
}

static void timing_draw(struct world *w)
{
	struct world_plan *p = &w->plan;
	uint64_t beat_ns = between(w, 2, 10) * 10 * SIM_MS;
	uint64_t timeout_ns = beat_ns * between(w, 4, 6);

	perron_relay_config_default(&p->relay);
	perron_overlay_config_default(&p->overlay);
	perron_client_config_default(&p->client);
	p->relay.detector = (struct perron_detector_config){
		.kind = (uint8_t)between(w, 0, PERRON_DETECTOR_COUNT - 1),
		.interval_ns = beat_ns,
		.timeout_ns_min = timeout_ns / 2,
		.timeout_ns_max = timeout_ns,
	};
	p->relay.ack_interval_ns = between(w, 200, 5000) * SIM_US;
	p->relay.retry_ns_min = between(w, 15, 60) * SIM_MS;
	p->relay.retry_ns_max = p->relay.retry_ns_min * between(w, 2, 10);
	p->relay.retry_count_max = (uint32_t)between(w, 6, 12);
	p->relay.group.resend_ns = 2 * (w->sim.net.delay_ns_max + w->sim.net.jitter_ns) + SIM_MS;
	p->relay.group.attempt_ns = 12 * p->relay.group.resend_ns;
	p->overlay.link_timeout_ns = timeout_ns;
	p->overlay.request_ns = between(w, 60, 200) * SIM_MS;
	/* At least as the descriptor demands: a lease outlives a verdict. */
	p->overlay.lease_ns = timeout_ns + between(w, 600, 1200) * SIM_MS;
	p->relay.branch_keep_ns = 3 * p->overlay.lease_ns; /* as a station has it */
	p->client.request_ns = between(w, 100, 300) * SIM_MS;
	p->client.overdue_ns = between(w, 2, 50) * SIM_MS;
	p->client.ack_interval_ns = between(w, 200, 5000) * SIM_US;
	if (!p->is_shared)
		return;
	/* What goes by is kept for one lease and a half for who comes, and tries outlast a verdict. */
	p->client.lost_ns = p->overlay.lease_ns / 4 * 3;
	p->relay.retry_ns_max = 10 * p->relay.retry_ns_min;
	p->relay.retry_count_max = 12;
}

/* Room for everything, or, in small worlds of some seeds, hardly any. */
static void bounds_draw(struct world *w)
{
	struct world_plan *p = &w->plan;
	bool small = p->small_bounds;
	uint32_t paths = 3 * p->sensor_count + 4;

	w->sim.record_count_max = small ? (uint32_t)between(w, 3, 24) : UINT32_MAX;
	if (small && chance(w, 50)) {
		w->sim.effects.capacity = (uint32_t)between(w, 400, PERRON_EFFECT_COUNT_MAX);
		w->sim.effects.arena_size = (uint32_t)between(w, 12, 64) * 1024;
	}
	p->relay.overlay = WORLD_OVERLAY_ID;
	p->relay.link_count_max = PERRON_NEIGHBOUR_COUNT_MAX;
	p->relay.group.member_count_max =
		p->cell_size > p->portal_count ? p->cell_size : p->portal_count;
	p->relay.group.window = 8;
	p->relay.group.pending_count = 4;
	p->relay.group.light_count_max = 4;
	p->relay.branch_count_max = small ? 3 : 32;
	p->relay.stream_count_max = 8;
	p->relay.path_count_max = small ? 6 : paths;
	p->relay.origin_count_max = small ? 2 : 24;
	p->relay.origin_window = small ? 64 : 512;
	p->relay.client_lag_max = small ? 48 : 256;
	p->relay.replica_count_max = small ? 4 : 32;
	p->relay.replica_window = small ? 64 : 512;
	p->relay.replica_frame_max = small ? 48 : 4096;
	p->overlay.level_count = p->level_count;
	p->overlay.span = p->span;
	p->overlay.cell_size = p->cell_size;
	p->overlay.registry_count_max = p->peer_count + 8;
	p->overlay.directory_count_max = small ? 8 : p->sensor_count + 8;
	p->overlay.path_count_max = p->relay.path_count_max;
	p->overlay.branch_count_max = p->relay.branch_count_max;
	p->client.overlay = WORLD_OVERLAY_ID;
	p->client.subscription_count_max = WORLD_SUBSCRIPTION_MAX;
	p->client.window = small ? 64 : 512;
}

void plan_population(struct world *w)
{
	struct world_plan *p = &w->plan;

	p->until_ns = w->options.until_ns;
	p->heal_ns = p->until_ns / 100 * 50;
	p->converged_ns = p->until_ns / 100 * 85;
	p->quiet_ns = p->until_ns / 100 * 92;
	p->is_shared = w->options.profile == WORLD_PROFILE_ALL && w->options.seed % 16 == 11;
	topology_draw(w);
	shared_topology(p);
	population_draw(w);
}

void plan_draw(struct world *w)
{
	network_draw(w);
	trouble_draw(w);
	calm_draw(w);
	timing_draw(w);
	bounds_draw(w);
	w->plan.net = w->sim.net;
}

void plan_print(const struct world *w, FILE *out)
{
	const struct world_plan *p = &w->plan;
	const struct sim_net *net = &p->net;

	(void)fprintf(out,
		      "plan: peers %u on %u stations, portal %u, levels %u, span %u, cell %u, "
		      "clients %u, sensors %u%s%s\n",
		      p->peer_count, p->station_count, p->portal_count, p->level_count, p->span,
		      p->cell_size, p->client_count, p->sensor_count,
		      p->small_bounds ? ", small bounds" : "", p->reboots ? ", reboots" : "");
	(void)fprintf(out,
		      "plan: delay %llu..%llu us, jitter %llu us, ppm: loss %u dup %u reorder %u "
		      "corrupt %u replay %u, strangers each %llu ms\n",
		      (unsigned long long)(net->delay_ns_min / SIM_US),
		      (unsigned long long)(net->delay_ns_max / SIM_US),
		      (unsigned long long)(net->jitter_ns / SIM_US), net->loss_ppm,
		      net->duplicate_ppm, net->reorder_ppm, net->corrupt_ppm, net->replay_ppm,
		      (unsigned long long)(p->stranger_interval_ns / SIM_MS));
	(void)fprintf(out,
		      "plan: a fault each %llu ms (partition %u, crash %u, stall %u, leave %u), "
		      "beat %llu/%llu ms, lease %llu ms, request %llu ms\n",
		      (unsigned long long)(p->fault_interval_ns / SIM_MS), p->partition_weight,
		      p->crash_weight, p->stall_weight, p->leave_weight,
		      (unsigned long long)(p->relay.detector.interval_ns / SIM_MS),
		      (unsigned long long)(p->relay.detector.timeout_ns_max / SIM_MS),
		      (unsigned long long)(p->overlay.lease_ns / SIM_MS),
		      (unsigned long long)(p->overlay.request_ns / SIM_MS));
}
