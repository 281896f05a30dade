#include "test/sim/cell.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS        (250 * SIM_MS)
#define CHECK_ALL_MASK 0x7fffu /* the whole tree each 32768 steps */

const char *world_profile_name(uint32_t profile)
{
	static const char *const names[] = {
#define X(name, text) [WORLD_PROFILE_##name] = text,
		WORLD_PROFILES(X)
#undef X
	};
	return profile < WORLD_PROFILE_COUNT ? names[profile] : "unknown";
}

static void world_stepped(struct sim *s, uint32_t node, uint32_t plane, enum sim_step_kind kind)
{
	struct world *w = s->world;

	(void)kind;
	if (!is_peer(w, node))
		stream_check_client(w, node);
	else if (plane == SIM_SLOW)
		tree_note(w, node);
	else
		stream_check_peer(w, node);
	if ((s->steps & CHECK_ALL_MASK) == 0)
		tree_check_all(w);
}

static void world_killed(struct sim *s, uint32_t node)
{
	struct world *w = s->world;

	if (is_peer(w, node))
		stream_note_killed(w, node);
	if (is_peer(w, node))
		w->peers[node].view = (struct world_view){0};
	else
		memset(w->clients[node - w->plan.peer_count].subscriptions, 0,
		       sizeof(w->clients[0].subscriptions));
}

static void world_command_failed(struct sim *s, uint32_t node, const struct perron_command *c,
				 int error)
{
	struct world *w = s->world;

	w->command_errors++;
	sim_trace(s, "peer %u refused command %s: %d", s->nodes[node].id,
		  perron_command_name(c->kind), error);
}

/* Something is missing: `text` says what. */
static bool is_missing(struct world *w, char *text, uint32_t size)
{
	return tree_missing(w, text, size) || stream_missing(w, text, size);
}

static void world_look(struct world *w)
{
	shared_look(w);
	if (!w->full_at_ns && !tree_missing(w, NULL, 0)) {
		w->full_at_ns = w->sim.now_ns;
		sim_trace(&w->sim, "all peers have joined");
	}
	if (!w->whole_at_ns && w->plan.is_shared && !is_missing(w, NULL, 0)) {
		w->whole_at_ns = w->sim.now_ns;
		shared_begin(w);
	}
	if (w->healed_at_ns && !w->joined_at_ns && !is_missing(w, NULL, 0)) {
		w->joined_at_ns = w->sim.now_ns;
		sim_trace(&w->sim, "converged");
	}
	sim_heap_push(&w->sim.agenda, w->sim.now_ns + LOOK_NS, WORLD_EVENT_LOOK, 0, 0);
}

static void world_converged(struct world *w, const char *when)
{
	char text[SIM_TEXT_SIZE / 2] = "";
	uint32_t peers = tree_missing(w, text, sizeof(text));
	uint32_t subscriptions = stream_missing(w, peers ? NULL : text, sizeof(text));

	if (peers || subscriptions)
		sim_violation(&w->sim, "liveness: %s, %u peers and %u subscriptions missing: %s",
			      when, peers, subscriptions, text);
}

static void world_event(struct sim *s, const struct sim_event *e)
{
	struct world *w = s->world;

	switch ((enum world_event_kind)e->kind) {
	case WORLD_EVENT_START:
		if (is_peer(w, e->index))
			peer_start(w, e->index);
		else
			client_start(w, e->index);
		if (!is_peer(w, e->index))
			sim_heap_push(&s->agenda, s->now_ns + SIM_S, WORLD_EVENT_CLIENT,
				      e->index - w->plan.peer_count, 0);
		return;
	case WORLD_EVENT_SENSOR:
		sensor_fire(w, e->index, e->value);
		return;
	case WORLD_EVENT_CLIENT:
		client_look(w, e->index);
		return;
	case WORLD_EVENT_FAULT:
		fault_strike(w);
		return;
	case WORLD_EVENT_CRASH:
		if (!w->healed_at_ns)
			station_crash(w, e->index);
		return;
	case WORLD_EVENT_RESTART:
		if (!w->healed_at_ns)
			station_restart(w, e->index);
		return;
	case WORLD_EVENT_STRANGER:
		if (w->healed_at_ns)
			return;
		sim_net_stranger(s, WORLD_OVERLAY_ID);
		sim_heap_push(&s->agenda, s->now_ns + w->plan.stranger_interval_ns,
			      WORLD_EVENT_STRANGER, 0, 0);
		return;
	case WORLD_EVENT_HEAL:
		world_heal(w);
		return;
	case WORLD_EVENT_LOOK:
		world_look(w);
		return;
	case WORLD_EVENT_CONVERGED:
		world_converged(w, "not converged in time");
		stream_note_converged(w);
		return;
	case WORLD_EVENT_QUIET:
		world_converged(w, "converged, and then lost again");
		stream_check_delivering(w);
		return;
	}
	PERRON_ASSERT(false);
}

static const struct sim_hooks world_hooks = {
	.deliver = stream_deliver,
	.stepped = world_stepped,
	.event = world_event,
	.killed = world_killed,
	.command_failed = world_command_failed,
};

static void world_begin(struct world *w)
{
	struct world_plan *p = &w->plan;

	perron_random_seed(&w->random, w->options.seed ^ UINT64_C(0x3017d));
	plan_population(w);
	sim_init(&w->sim, w->options.seed, p->peer_count + p->client_count,
		 p->peer_count + p->client_count, &world_hooks, w);
	w->sim.trace = w->options.trace;
	w->sim.mutant = w->options.mutant;
	if (w->options.step_max)
		w->sim.step_max = w->options.step_max;
	plan_draw(w);
	peers_make(w);
	clients_make(w);
	sensors_make(w);
	faults_begin(w);
	w->twin = p->peer_count > 1 ? p->peer_count - 1 : SIM_NONE;
	sim_heap_push(&w->sim.agenda, LOOK_NS, WORLD_EVENT_LOOK, 0, 0);
	sim_heap_push(&w->sim.agenda, p->heal_ns, WORLD_EVENT_HEAL, 0, 0);
	sim_heap_push(&w->sim.agenda, p->converged_ns, WORLD_EVENT_CONVERGED, 0, 0);
	sim_heap_push(&w->sim.agenda, p->quiet_ns, WORLD_EVENT_QUIET, 0, 0);
}

static void world_free(struct world *w)
{
	peers_free(w);
	clients_free(w);
	sensors_free(w);
	sim_free(&w->sim);
}

static void sensors_print(const struct world *w, FILE *out)
{
	uint64_t answers[PERRON_OFFER_COUNT] = {0};
	uint64_t frames = 0;

	for (uint32_t i = 0; i < w->plan.sensor_count; i++) {
		frames += w->sensors[i].record_count;
		for (uint32_t a = 0; a < PERRON_OFFER_COUNT; a++)
			answers[a] += w->sensors[i].answers[a];
	}
	(void)fprintf(out,
		      "sensors: messages accepted %" PRIu64 ", nobody asked %" PRIu64
		      ", would block %" PRIu64 ", too late %" PRIu64 ", unknown stream %" PRIu64
		      ", read along %" PRIu64 "; frames accepted %" PRIu64 "\n",
		      answers[PERRON_OFFER_ACCEPTED], answers[PERRON_OFFER_NO_SUBSCRIBER],
		      answers[PERRON_OFFER_WOULD_BLOCK],
		      answers[PERRON_OFFER_DEADLINE_IMPOSSIBLE],
		      answers[PERRON_OFFER_UNKNOWN_STREAM],
		      answers[PERRON_OFFER_READ_ALONG], frames);
}

/* Of the lives that last to the end. */
static void relays_print(const struct world *w, FILE *out)
{
	struct perron_relay_counters sum = {0};
	struct perron_relay_counters one;

	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		if (!w->sim.nodes[i].alive)
			continue;
		perron_relay_counters_read(w->peers[i].relay, &one);
		sum.forwarded += one.forwarded;
		sum.retried += one.retried;
		sum.late += one.late;
		sum.replicated += one.replicated;
		sum.served += one.served;
		sum.adopted += one.adopted;
		for (uint32_t c = 0; c < PERRON_DROP_COUNT; c++)
			sum.drop[c] += one.drop[c];
	}
	(void)fprintf(out,
		      "relays: forwarded %" PRIu64 ", retried %" PRIu64 ", late %" PRIu64
		      ", copies %" PRIu64 ", served %" PRIu64 ", adopted %" PRIu64,
		      sum.forwarded, sum.retried, sum.late, sum.replicated, sum.served,
		      sum.adopted);
	for (uint32_t c = 0; c < PERRON_DROP_COUNT; c++)
		if (sum.drop[c])
			(void)fprintf(out, ", %s %" PRIu64, perron_drop_name(c), sum.drop[c]);
	(void)fputc('\n', out);
}

static void clients_print(const struct world *w, FILE *out)
{
	struct perron_subscription_info sum = {0};
	struct perron_subscription_info one;

	for (uint32_t c = 0; c < w->plan.client_count; c++) {
		for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++) {
			if (!w->clients[c].subscriptions[i].used)
				continue;
			perron_client_info(w->clients[c].client, i, &one);
			sum.delivered += one.delivered;
			sum.duplicates += one.duplicates;
			sum.lost += one.lost;
			sum.late += one.late;
			sum.moved += one.moved;
		}
	}
	(void)fprintf(out,
		      "clients: delivered %" PRIu64 ", duplicates dropped %" PRIu64
		      ", lost %" PRIu64 ", late %" PRIu64 ", moved %" PRIu64
		      "; kept by survivors %" PRIu64 ", missed of them %" PRIu64 "\n",
		      sum.delivered, sum.duplicates, sum.lost, sum.late, sum.moved, w->kept,
		      w->kept_missed);
}

static void world_print(const struct world *w, FILE *out)
{
	const struct sim *s = &w->sim;

	plan_print(w, out);
	sensors_print(w, out);
	relays_print(w, out);
	clients_print(w, out);
	(void)fprintf(out,
		      "run: frames sent %" PRIu64 ", lost %" PRIu64 ", to nobody %" PRIu64
		      ", delivered %" PRIu64 ", crashes %" PRIu64 ", refused commands %" PRIu64
		      ", slots at most %u, records refused %" PRIu64 "\n",
		      s->frames_sent, s->frames_lost, s->frames_nowhere, w->delivered, w->crashes,
		      w->command_errors, s->pool.used_max, s->records_refused);
	(void)fprintf(out,
		      "run: all joined first at %.3f s, healed at %.3f s, converged at %.3f s\n",
		      (double)w->full_at_ns / 1e9, (double)w->healed_at_ns / 1e9,
		      (double)w->joined_at_ns / 1e9);
}

void world_result_take(const struct sim *s, uint32_t peers, FILE *out,
		       struct world_result *result)
{
	*result = (struct world_result){
		.steps = s->steps,
		.peers = peers,
		.violations = s->violation_count,
		.digest = s->digest,
		.first = s->violations[0],
	};
	if (!out)
		return;
	for (uint32_t i = 0; i < s->violation_kept; i++)
		(void)fprintf(out, "violation at %.6f s, step %" PRIu64 ": %s\n",
			      (double)s->violations[i].at_ns / 1e9, s->violations[i].step,
			      s->violations[i].text);
	(void)fprintf(out,
		      "seed=%" PRIu64 " peers=%u steps=%" PRIu64 " violations=%" PRIu64
		      " digest=%016" PRIx64 "\n",
		      s->seed, peers, s->steps, s->violation_count, s->digest);
}

void world_run(const struct world_options *options, FILE *out, struct world_result *result)
{
	struct world *w;

	if (options->profile == WORLD_PROFILE_GROUPS) {
		cell_run(options, out, result);
		return;
	}
	w = calloc(1, sizeof(*w));
	PERRON_ASSERT(w);
	w->options = *options;
	world_begin(w);
	if (sim_run(&w->sim, w->plan.until_ns) && !w->sim.ended)
		stream_check_end(w);
	sim_digest_word(&w->sim, w->delivered);
	if (out && options->verbose)
		world_print(w, out);
	world_result_take(&w->sim, w->plan.peer_count, out, result);
	world_free(w);
	free(w);
}
