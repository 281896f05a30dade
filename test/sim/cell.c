#include "test/sim/cell.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS (10 * SIM_MS)
/* The host's lies about views and messages: one in so many. */
#define LIE_SELDOM 50u

void *cell_grow(void *items, uint32_t count, uint32_t *capacity, size_t size)
{
	if (count < *capacity)
		return items;
	*capacity = *capacity ? *capacity * 2 : 64;
	items = realloc(items, *capacity * size);
	PERRON_ASSERT(items);
	return items;
}

void cell_info(const struct cell *w, uint32_t node, struct perron_group_info *out)
{
	perron_group_info(perron_relay_group(w->peers[node].relay), out);
}

/* Why a peer is not well; NULL: it is. */
static const char *peer_trouble(const struct cell *w, uint32_t node)
{
	const struct cell_peer *peer = &w->peers[node];
	struct perron_group_info info;

	if (!w->sim.nodes[node].alive)
		return "is dead";
	if (peer->stay == SIM_NONE || w->stays[peer->stay].cell != w->plan.cells[0])
		return "is not in the cell";
	const struct cell_stay *s = &w->stays[peer->stay];
	cell_info(w, node, &info);
	if (info.state != PERRON_GROUP_STATE_OPERATIONAL || s->transitional)
		return "changes its view";
	if (info.view.member_count != w->plan.peer_count)
		return "does not see everybody";
	if (w->peers[0].stay == SIM_NONE ||
	    w->passages[s->passage].view != w->passages[w->stays[w->peers[0].stay].passage].view)
		return "is in another view";
	return NULL;
}

uint32_t cell_missing(const struct cell *w, char *text, uint32_t size)
{
	struct perron_group_info info;
	uint32_t missing = 0;

	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		const char *trouble = peer_trouble(w, i);
		if (!trouble || missing++ || !text)
			continue;
		cell_info(w, i, &info);
		(void)snprintf(text, size, "peer %u %s: %s, view %u of %u", w->sim.nodes[i].id,
			       trouble, perron_group_state_name(info.state), info.view.id.number,
			       info.view.member_count);
	}
	return missing;
}

/* --- what the engine calls --- */

static bool lie_hits(struct sim *s, enum sim_mutant mutant, uint32_t one_in)
{
	return s->mutant == mutant && s->mutant_count++ % one_in == one_in - 1;
}

static void message_lie(struct cell *w, uint32_t node, const struct perron_group_message *m)
{
	struct sim *s = &w->sim;
	bool is_whole = m->fragment_count == 1;

	if (is_whole && lie_hits(s, SIM_MUTANT_DROP_MESSAGE, LIE_SELDOM))
		return;
	if (is_whole && lie_hits(s, SIM_MUTANT_DUPLICATE_MESSAGE, LIE_SELDOM))
		cell_watch_message(w, node, m);
	if (is_whole && m->size > CELL_TINY_SIZE &&
	    lie_hits(s, SIM_MUTANT_ALTER_MESSAGE, LIE_SELDOM)) {
		struct perron_group_message other = *m;
		memcpy(w->lie_data, m->data, m->size);
		w->lie_data[m->size - 1] ^= 1;
		other.data = w->lie_data;
		cell_watch_message(w, node, &other);
		return;
	}
	if (is_whole && s->mutant_slot == SIM_NONE &&
	    lie_hits(s, SIM_MUTANT_SWAP_MESSAGES, LIE_SELDOM)) {
		w->lie = *m;
		memcpy(w->lie_data, m->data, m->size);
		w->lie.data = w->lie_data;
		s->mutant_slot = node;
		return;
	}
	cell_watch_message(w, node, m);
	if (s->mutant_slot == node && m->fragment_index + 1 == m->fragment_count) {
		s->mutant_slot = SIM_NONE;
		cell_watch_message(w, node, &w->lie);
	}
}

static void view_lie(struct cell *w, uint32_t node, const struct perron_group_view *v)
{
	struct perron_group_view other = *v;
	struct sim *s = &w->sim;

	if (v->transitional && lie_hits(s, SIM_MUTANT_DROP_TRANSITIONAL, LIE_SELDOM))
		return;
	if (v->member_count > 1 && v->self + 1 < v->member_count &&
	    lie_hits(s, v->transitional ? SIM_MUTANT_FEW_TRANSITIONAL : SIM_MUTANT_FEW_MEMBERS, 5))
		other.member_count--;
	cell_watch_view(w, node, &other);
}

static void cell_indicate(struct sim *s, uint32_t node, uint8_t kind, const void *record,
			  uint32_t size)
{
	struct cell *w = s->world;
	struct cell_peer *peer = &w->peers[node];

	if (kind != PERRON_GROUP_INDICATE_MESSAGE && peer->piece_count) {
		sim_violation(s, "fragment: peer %u has %u of %u pieces when told something else",
			      s->nodes[node].id, peer->piece_count, peer->piece.fragment_count);
		peer->piece_count = 0;
	}
	switch ((enum perron_group_indication)kind) {
	case PERRON_GROUP_INDICATE_MESSAGE:
		PERRON_ASSERT(size == sizeof(struct perron_group_message));
		message_lie(w, node, record);
		return;
	case PERRON_GROUP_INDICATE_VIEW:
		PERRON_ASSERT(size == sizeof(struct perron_group_view));
		view_lie(w, node, record);
		return;
	case PERRON_GROUP_INDICATE_LIGHT:
		PERRON_ASSERT(size == sizeof(struct perron_group_light));
		if (!lie_hits(s, SIM_MUTANT_DROP_LIGHT, 5))
			cell_watch_light(w, node, record);
		return;
	}
	sim_violation(s, "effect: peer %u is told a thing of kind %u", s->nodes[node].id, kind);
}

static void cell_deliver(struct sim *s, uint32_t node, uint32_t slot, uint32_t subscription)
{
	(void)slot;
	sim_violation(s, "effect: peer %u delivers to subscription %u", s->nodes[node].id,
		      subscription);
}

static void cell_stepped(struct sim *s, uint32_t node, uint32_t plane, enum sim_step_kind kind)
{
	(void)kind;
	if (plane == SIM_FAST)
		cell_watch_info(s->world, node);
}

static void cell_killed(struct sim *s, uint32_t node)
{
	cell_stay_end(s->world, node, CELL_STAY_CRASHED);
}

static void cell_command_failed(struct sim *s, uint32_t node, const struct perron_command *c,
				int error)
{
	sim_trace(s, "peer %u refused command %s: %d", s->nodes[node].id,
		  perron_command_name(c->kind), error);
}

static void cell_look(struct cell *w)
{
	if (w->healed_at_ns && !w->joined_at_ns && !cell_missing(w, NULL, 0)) {
		w->joined_at_ns = w->sim.now_ns;
		sim_trace(&w->sim, "all is well");
	}
	sim_heap_push(&w->sim.agenda, w->sim.now_ns + LOOK_NS, CELL_EVENT_LOOK, 0, 0);
}

static void cell_converged(struct cell *w, const char *when)
{
	char text[SIM_TEXT_SIZE / 2] = "";
	uint32_t missing = cell_missing(w, text, sizeof(text));

	if (missing)
		sim_violation(&w->sim, "liveness: %s, %u peers: %s", when, missing, text);
	w->has_converged = true;
}

static void fault_event(struct cell *w, const struct sim_event *e)
{
	if (w->healed_at_ns)
		return;
	switch ((enum cell_event_kind)e->kind) {
	case CELL_EVENT_FAULT:
	case CELL_EVENT_STRIKE:
		cell_fault_strike(w, e->kind == CELL_EVENT_FAULT);
		return;
	case CELL_EVENT_CRASH:
		cell_station_crash(w, e->index);
		return;
	case CELL_EVENT_RESTART:
		cell_station_restart(w, e->index);
		return;
	case CELL_EVENT_RETURN:
		cell_peer_move(w, e->index, w->plan.cells[0]);
		return;
	case CELL_EVENT_STRANGER:
		sim_net_stranger(&w->sim, WORLD_OVERLAY_ID);
		sim_heap_push(&w->sim.agenda, w->sim.now_ns + w->plan.stranger_interval_ns,
			      CELL_EVENT_STRANGER, 0, 0);
		return;
	default:
		PERRON_ASSERT(false);
	}
}

static void cell_event(struct sim *s, const struct sim_event *e)
{
	struct cell *w = s->world;

	switch ((enum cell_event_kind)e->kind) {
	case CELL_EVENT_START:
		cell_peer_start(w, e->index);
		return;
	case CELL_EVENT_LOAD:
		cell_load(w, e->index);
		return;
	case CELL_EVENT_HEAL:
		cell_heal(w);
		return;
	case CELL_EVENT_LOOK:
		cell_look(w);
		return;
	case CELL_EVENT_CONVERGED:
		cell_converged(w, "not converged in time");
		return;
	case CELL_EVENT_QUIET:
		cell_converged(w, "converged, and then lost again");
		return;
	case CELL_EVENT_STILL:
		w->frames_then = s->frames_sent;
		return;
	default:
		fault_event(w, e);
		return;
	}
}

static const struct sim_hooks cell_hooks = {
    .deliver = cell_deliver,
    .indicate = cell_indicate,
    .stepped = cell_stepped,
    .event = cell_event,
    .killed = cell_killed,
    .command_failed = cell_command_failed,
};

/* --- a run --- */

static void cell_begin(struct cell *w)
{
	struct cell_plan *p = &w->plan;

	perron_random_seed(&w->random, w->options.seed ^ UINT64_C(0x3017d));
	cell_plan_population(w);
	sim_init(&w->sim, w->options.seed, p->peer_count, p->peer_count, &cell_hooks, w);
	w->sim.trace = w->options.trace;
	w->sim.mutant = w->options.mutant;
	if (w->options.step_max)
		w->sim.step_max = w->options.step_max;
	cell_plan_draw(w);
	w->scratch = malloc(w->size_max + 8192);
	w->stays = calloc(CELL_STAY_COUNT_MAX, sizeof(*w->stays));
	PERRON_ASSERT(w->scratch && w->stays);
	cell_peers_make(w);
	cell_faults_begin(w);
	sim_heap_push(&w->sim.agenda, LOOK_NS, CELL_EVENT_LOOK, 0, 0);
	sim_heap_push(&w->sim.agenda, p->heal_ns, CELL_EVENT_HEAL, 0, 0);
	sim_heap_push(&w->sim.agenda, p->converged_ns, CELL_EVENT_CONVERGED, 0, 0);
	sim_heap_push(&w->sim.agenda, p->quiet_ns, CELL_EVENT_QUIET, 0, 0);
	sim_heap_push(&w->sim.agenda, p->still_ns, CELL_EVENT_STILL, 0, 0);
}

static void cell_free(struct cell *w)
{
	for (uint32_t i = 0; i < w->message_count; i++)
		free(w->messages[i].past);
	for (uint32_t i = 0; i < w->stay_count; i++) {
		free(w->stays[i].sent);
		free(w->stays[i].given);
		free(w->stays[i].last);
		free(w->stays[i].seen);
		free(w->stays[i].scanned);
	}
	cell_peers_free(w);
	free(w->messages);
	free(w->stays);
	free(w->views);
	free(w->passages);
	free(w->marks);
	free(w->scratch);
	sim_free(&w->sim);
}

static void services_print(const char *what, const uint64_t *counts, FILE *out)
{
	(void)fprintf(out, "%s", what);
	for (uint8_t i = 0; i < PERRON_GROUP_SERVICE_COUNT; i++)
		(void)fprintf(out, " %s %" PRIu64, perron_group_service_name(i), counts[i]);
}

/* Of the lives that last to the end. */
static void groups_print(const struct cell *w, FILE *out)
{
	struct perron_group_counters sum = {0};
	struct perron_group_info info;

	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		if (!w->sim.nodes[i].alive)
			continue;
		cell_info(w, i, &info);
		sum.attempts += info.counters.attempts;
		sum.shunned += info.counters.shunned;
		sum.packets += info.counters.packets;
		sum.retransmitted += info.counters.retransmitted;
		sum.discarded += info.counters.discarded;
	}
	(void)fprintf(out,
		      "groups: attempts %" PRIu64 ", shunned %" PRIu64 ", packets %" PRIu64
		      ", retransmitted %" PRIu64 ", discarded %" PRIu64 "\n",
		      sum.attempts, sum.shunned, sum.packets, sum.retransmitted, sum.discarded);
}

static void cell_print(const struct cell *w, FILE *out)
{
	const struct cell_counts *c = &w->counts;

	cell_plan_print(w, out);
	services_print("sent:", c->sent, out);
	(void)fprintf(out,
		      "; in a change %" PRIu64 ", would block %" PRIu64 ", in no cell %" PRIu64
		      ", too large %" PRIu64 "\n",
		      c->sent_in_change, c->would_block, c->no_cell, c->too_large);
	services_print("given in regular views:", c->given[0], out);
	services_print("; in transitional ones:", c->given[1], out);
	(void)fprintf(out,
		      "; in pieces %" PRIu64 ", to groups %" PRIu64 ", safe owed %" PRIu64 "\n",
		      c->fragmented, c->light_given, c->owed);
	(void)fprintf(out,
		      "views: installed %" PRIu64 ", merges %" PRIu64 ", partings %" PRIu64
		      ", pairs together %" PRIu64 ", stays %u, groups told %" PRIu64
		      ", most strikes in a change %" PRIu64 "\n",
		      c->views, c->merges, c->parted, c->together, w->stay_count, c->lights,
		      c->cascade_max);
	groups_print(w, out);
	(void)fprintf(out,
		      "faults: strikes %" PRIu64 ": partitions %" PRIu64 ", cuts %" PRIu64
		      ", crashes %" PRIu64 ", stalls %" PRIu64 ", moves %" PRIu64 "\n",
		      w->strikes, c->partitions, c->cuts, c->crashes, c->stalls, c->moves);
	(void)fprintf(out,
		      "run: frames sent %" PRIu64 ", lost %" PRIu64 ", to nobody %" PRIu64
		      ", healed at %.3f s, converged at %.3f s\n",
		      w->sim.frames_sent, w->sim.frames_lost, w->sim.frames_nowhere,
		      (double)w->healed_at_ns / 1e9, (double)w->joined_at_ns / 1e9);
}

void cell_run(const struct world_options *options, FILE *out, struct world_result *result)
{
	struct cell *w = calloc(1, sizeof(*w));

	PERRON_ASSERT(w);
	w->options = *options;
	cell_begin(w);
	bool is_through = sim_run(&w->sim, w->plan.until_ns) && !w->sim.ended;
	cell_check_order(w);
	if (is_through)
		cell_check_end(w);
	if (out && options->verbose)
		cell_print(w, out);
	world_result_take(&w->sim, w->plan.peer_count, out, result);
	cell_free(w);
	free(w);
}
