/* The seed's choices for the world of one cell. */
#include "test/sim/cell.h"

static uint64_t between(struct cell *w, uint64_t first, uint64_t last)
{
	return perron_random_between(&w->random, first, last);
}

static bool chance(struct cell *w, uint32_t percent)
{
	return perron_random_chance(&w->random, percent * 10000);
}

static void network_draw(struct cell *w)
{
	struct sim_net *net = &w->sim.net;
	uint64_t spread_us_max = chance(w, 50) ? 500 : 3000;

	net->salt = perron_random_next(&w->random);
	net->delay_ns_min = between(w, 20, 300) * SIM_US;
	net->delay_ns_max = net->delay_ns_min + between(w, 0, spread_us_max) * SIM_US;
	net->jitter_ns = chance(w, 70) ? between(w, 0, 1000) * SIM_US : 0;
	net->loss_ppm = chance(w, 70) ? (uint32_t)between(w, 0, 100000) : 0;
	net->duplicate_ppm = chance(w, 50) ? (uint32_t)between(w, 0, 50000) : 0;
	net->reorder_ppm = chance(w, 50) ? (uint32_t)between(w, 0, 50000) : 0;
	net->corrupt_ppm = chance(w, 30) ? (uint32_t)between(w, 0, 20000) : 0;
	net->replay_ppm = chance(w, 50) ? (uint32_t)between(w, 0, 20000) : 0;
	w->sim.turn_ns_max = between(w, 0, 50) * SIM_US;
	w->sim.hand_over_ns_max = between(w, 0, 2000) * SIM_US;
	w->plan.stranger_interval_ns = chance(w, 30) ? between(w, 5, 200) * SIM_MS : 0;
}

static void trouble_draw(struct cell *w)
{
	struct cell_plan *p = &w->plan;
	uint64_t strikes = between(w, 3, 30);

	if (chance(w, 20))
		strikes *= 4;
	p->fault_interval_ns = p->heal_ns / strikes;
	p->partition_weight = chance(w, 80) ? (uint32_t)between(w, 1, 20) : 0;
	p->cut_weight = chance(w, 50) ? (uint32_t)between(w, 1, 10) : 0;
	p->crash_weight = chance(w, 70) ? (uint32_t)between(w, 1, 20) : 0;
	p->stall_weight = chance(w, 50) ? (uint32_t)between(w, 1, 10) : 0;
	p->move_weight = chance(w, 40) ? (uint32_t)between(w, 1, 10) : 0;
	p->cascade_ppm = chance(w, 60) ? (uint32_t)between(w, 0, 500000) : 0;
	p->ambush_ppm = chance(w, 50) ? (uint32_t)between(w, 0, 200000) : 0;
	p->partition_ns_max = between(w, 20, 2000) * SIM_MS;
	p->cut_ns_max = between(w, 100, 4000) * SIM_MS;
	p->dead_ns_max = between(w, 1, 1000) * SIM_MS;
	p->stall_ns_max = between(w, 1, 600) * SIM_MS;
	p->reboots = chance(w, 50);
}

/* The group's timers follow the network's delay, as a station sets them by its descriptor. */
static void timing_draw(struct cell *w)
{
	struct cell_plan *p = &w->plan;
	struct perron_relay_config *r = &p->relay;
	uint64_t delay_ns = w->sim.net.delay_ns_max + w->sim.net.jitter_ns + w->sim.turn_ns_max;
	uint64_t beat_ns = between(w, 5, 50) * SIM_MS;
	uint64_t timeout_ns = beat_ns * between(w, 4, 6);

	if (timeout_ns < 2 * beat_ns + 6 * delay_ns)
		timeout_ns = 2 * beat_ns + 6 * delay_ns;
	perron_relay_config_default(r);
	r->detector = (struct perron_detector_config){
	    .kind = (uint8_t)between(w, 0, PERRON_DETECTOR_COUNT - 1),
	    .interval_ns = beat_ns,
	    .timeout_ns_min = timeout_ns,
	    .timeout_ns_max = 2 * timeout_ns,
	};
	r->group.resend_ns = delay_ns * between(w, 2, 4);
	r->group.attempt_ns = r->group.resend_ns * between(w, 8, 16);
	r->group.hello_ns = between(w, 20, 200) * SIM_MS;
	r->group.exclude_ns = r->group.attempt_ns + between(w, 0, 300) * SIM_MS;
	r->group.acknowledge_ns = between(w, 100, 3000) * SIM_US;
	p->start_spread_ns = chance(w, 50) ? 0 : between(w, 0, 500) * SIM_MS;
	/* Two that open the link between them must do so at one time: an opening lasts a time-out. */
	p->reopen_ns_max = between(w, 1, 200) * SIM_MS;
	if (p->reopen_ns_max > r->detector.timeout_ns_max)
		p->reopen_ns_max = r->detector.timeout_ns_max;
	p->refresh_ns = between(w, 200, 600) * SIM_MS;
}

/* Room for everything, or, in some seeds, hardly any; tables that are of no use here are small. */
static void bounds_draw(struct cell *w)
{
	struct cell_plan *p = &w->plan;
	struct perron_relay_config *r = &p->relay;
	bool small = p->small_bounds = chance(w, 25);

	r->overlay = WORLD_OVERLAY_ID;
	r->link_count_max = CELL_PEER_COUNT_MAX;
	r->path_count_max = 2;
	r->branch_count_max = 2;
	r->stream_count_max = 1;
	r->origin_count_max = 1;
	r->origin_window = 64;
	r->client_lag_max = 48;
	r->group.member_count_max = chance(w, 50) ? p->peer_count : CELL_PEER_COUNT_MAX;
	r->group.window = small ? 8 : 16u << between(w, 0, 4);
	r->group.pending_count = small ? 4 : 8u << between(w, 0, 4);
	r->group.light_count_max = small ? CELL_GROUP_COUNT : 16;
	p->wraps = chance(w, 25);
	r->group.sequence_first = p->wraps ? (uint32_t)-between(w, 1, 400) : 1;
	if (small && chance(w, 50)) {
		w->sim.effects.capacity = (uint32_t)between(w, 200, PERRON_EFFECT_COUNT_MAX);
		w->sim.effects.arena_size = (uint32_t)between(w, 24, 96) * 1024;
	}
	w->size_max = perron_group_message_size_max(&r->group);
}

static void load_draw(struct cell *w)
{
	struct cell_plan *p = &w->plan;

	p->load_interval_ns = SIM_S * p->peer_count / between(w, 50, 400);
	p->burst_ppm = chance(w, 60) ? (uint32_t)between(w, 0, 60000) : 0;
	p->large_ppm = chance(w, 50) ? (uint32_t)between(w, 0, 30000) : 0;
	p->light_ppm = chance(w, 70) ? (uint32_t)between(w, 100000, 700000) : 0;
	p->cells[0] = perron_random_next(&w->random) | 1;
	p->cells[1] = p->cells[0] + 2;
}

void cell_plan_population(struct cell *w)
{
	struct cell_plan *p = &w->plan;

	p->until_ns = w->options.until_ns;
	p->heal_ns = p->until_ns / 100 * 60;
	p->converged_ns = p->until_ns / 100 * 80;
	p->light_quiet_ns = p->until_ns / 100 * 84;
	p->quiet_ns = p->until_ns / 100 * 91;
	p->still_ns = p->until_ns / 100 * 96;
	p->peer_count = (uint32_t)between(w, w->options.peer_count_min, w->options.peer_count_max);
}

void cell_plan_draw(struct cell *w)
{
	network_draw(w);
	trouble_draw(w);
	timing_draw(w);
	bounds_draw(w);
	load_draw(w);
	w->plan.net = w->sim.net;
}

static unsigned long long us(uint64_t ns)
{
	return ns / SIM_US;
}

void cell_plan_print(const struct cell *w, FILE *out)
{
	const struct cell_plan *p = &w->plan;
	const struct sim_net *net = &p->net;
	const struct perron_group_config *g = &p->relay.group;

	(void)fprintf(out,
		      "plan: peers %u on %u stations%s%s%s; delay %llu..%llu us, jitter %llu us, "
		      "ppm: loss %u dup %u reorder %u corrupt %u replay %u\n",
		      p->peer_count, p->station_count, p->small_bounds ? ", small bounds" : "",
		      p->wraps ? ", wraps" : "", p->reboots ? ", reboots" : "",
		      us(net->delay_ns_min), us(net->delay_ns_max), us(net->jitter_ns),
		      net->loss_ppm, net->duplicate_ppm, net->reorder_ppm, net->corrupt_ppm,
		      net->replay_ppm);
	(void)fprintf(out,
		      "plan: a fault each %llu us (partition %u, cut %u, crash %u, stall %u, "
		      "move %u; cascades %u ppm, ambushes %u ppm)\n",
		      us(p->fault_interval_ns), p->partition_weight, p->cut_weight, p->crash_weight,
		      p->stall_weight, p->move_weight, p->cascade_ppm, p->ambush_ppm);
	(void)fprintf(out,
		      "plan: us: %s beat %llu/%llu, resend %llu, attempt %llu, hello %llu, exclude "
		      "%llu, acknowledge %llu, reopen %llu; window %u, pending %u, members %u\n",
		      perron_detector_name(p->relay.detector.kind),
		      us(p->relay.detector.interval_ns), us(p->relay.detector.timeout_ns_max),
		      us(g->resend_ns), us(g->attempt_ns), us(g->hello_ns), us(g->exclude_ns),
		      us(g->acknowledge_ns), us(p->reopen_ns_max), g->window, g->pending_count,
		      g->member_count_max);
}
