/*
 * A peer's life in the cell: its relay, and the keeper that stands for housekeeping. The keeper
 * tells the relay its cell, opens a link to everybody else and calls them siblings; what goes down
 * it closes, and opens again after a while. That a peer has a new life it hears of some time later.
 */
#include "test/sim/cell.h"

#include <stdlib.h>
#include <string.h>

#include "test/sim/relay.h"

#define MEMORY_POISON	0xcc
#define STATION_PEERS	3u
#define INCARNATION_MAX 1000000u

static struct perron_endpoint endpoint_of(const struct cell *w, uint32_t node)
{
	const struct sim_node *n = &w->sim.nodes[node];

	return (struct perron_endpoint){sim_address(n->station), n->port_base};
}

/* --- the keeper --- */

static uint64_t reopen_draw(struct cell *w)
{
	return perron_random_below(&w->random, w->plan.reopen_ns_max + 1);
}

static struct perron_party party_of(const struct cell_keeper *k, uint32_t other)
{
	return (struct perron_party){
	    .id = k->world->sim.nodes[other].id,
	    .incarnation = k->known[other],
	    .endpoint = endpoint_of(k->world, other),
	};
}

/* What finds no room is said again at the next refresh. */
static void keeper_say(const struct cell_keeper *k, uint8_t kind, uint32_t other, int64_t value,
		       struct perron_effects *out)
{
	struct perron_command *command = perron_effects_command(out, 0);

	if (!command)
		return;
	command->kind = kind;
	command->value = value;
	command->party = party_of(k, other);
}

static void cell_say(struct cell_keeper *k, struct perron_effects *out)
{
	struct perron_command *command = perron_effects_command(out, 0);

	if (!command)
		return;
	command->kind = PERRON_COMMAND_CELL;
	command->sequence = k->cell;
	command->value = k->world->peers[k->node].slot;
	k->has_said = true;
}

static void link_say(struct cell_keeper *k, uint32_t other, struct perron_effects *out)
{
	keeper_say(k, PERRON_COMMAND_LINK_OPEN, other, 0, out);
	keeper_say(k, PERRON_COMMAND_SIBLING, other, 1, out);
}

static void keeper_tick(void *m, uint64_t now_ns, struct perron_effects *out)
{
	struct cell_keeper *k = m;
	struct cell *w = k->world;
	bool is_refresh = k->refresh_at_ns <= now_ns;

	if (!k->has_said)
		cell_say(k, out);
	if (is_refresh)
		k->refresh_at_ns = now_ns + w->plan.refresh_ns;
	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		if (i == k->node)
			continue;
		if (k->open_at_ns[i] <= now_ns) {
			k->open_at_ns[i] = UINT64_MAX;
			k->known[i] = w->peers[i].incarnation;
			link_say(k, i, out);
		} else if (is_refresh && k->open_at_ns[i] == UINT64_MAX) {
			link_say(k, i, out);
		}
	}
}

static uint64_t keeper_deadline_ns(const void *m)
{
	const struct cell_keeper *k = m;
	uint64_t deadline_ns = k->has_said ? k->refresh_at_ns : 0;

	for (uint32_t i = 0; i < k->world->plan.peer_count; i++)
		if (i != k->node && k->open_at_ns[i] < deadline_ns)
			deadline_ns = k->open_at_ns[i];
	return deadline_ns;
}

static void link_down(struct cell_keeper *k, uint64_t now_ns, const struct perron_event *event,
		      struct perron_effects *out)
{
	uint32_t other = event->party.id - 1;

	if (other >= k->world->plan.peer_count || event->party.incarnation != k->known[other])
		return;
	keeper_say(k, PERRON_COMMAND_LINK_CLOSE, other, 0, out);
	k->open_at_ns[other] = now_ns + reopen_draw(k->world);
}

/* Events may be lost, but none is made up: the relay's user was told of the view before. */
static void view_heard(struct cell_keeper *k, const struct perron_event *event)
{
	struct perron_group_view view;

	PERRON_ASSERT(event->payload_size >= sizeof(view));
	memcpy(&view, event->payload, sizeof(view));
	if (view.member_count && cell_view_find(k->world, &view) == SIM_NONE)
		sim_violation(&k->world->sim, "views: peer %u's keeper hears of view %u, unknown",
			      k->world->sim.nodes[k->node].id, view.id.number);
}

static void keeper_event(void *m, uint64_t now_ns, const struct perron_event *event,
			 struct perron_effects *out)
{
	struct cell_keeper *k = m;

	if (event->kind == PERRON_EVENT_LINK_DOWN)
		link_down(k, now_ns, event, out);
	else if (event->kind == PERRON_EVENT_VIEW)
		view_heard(k, event);
}

static void keeper_check(const void *m, uint64_t now_ns)
{
	const struct cell_keeper *k = m;

	(void)now_ns;
	PERRON_ASSERT(k->node < k->world->plan.peer_count);
}

static const struct sim_machine_ops keeper_ops = {
    .name = "keeper",
    .event = keeper_event,
    .tick = keeper_tick,
    .deadline_ns = keeper_deadline_ns,
    .check = keeper_check,
};

/* --- stations and peers --- */

/* One to three peers a station, mostly one, in the order of their numbers. */
static void stations_fill(struct cell *w)
{
	uint32_t station = 0;
	uint32_t node = 0;

	while (node < w->plan.peer_count) {
		uint32_t left = w->plan.peer_count - node;
		uint32_t count = perron_random_chance(&w->random, 100000)
				     ? (uint32_t)perron_random_between(&w->random, 2, STATION_PEERS)
				     : 1;
		count = count > left ? left : count;
		struct sim_station *s = &w->sim.stations[station];
		s->node_first = node;
		s->node_count = count;
		s->clock_base_ns = perron_random_below(&w->random, 1000000) * SIM_MS;
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
	w->sim.station_count = station;
}

void cell_peers_make(struct cell *w)
{
	stations_fill(w);
	w->peers = calloc(w->plan.peer_count, sizeof(*w->peers));
	PERRON_ASSERT(w->peers);
	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		struct cell_peer *peer = &w->peers[i];
		peer->incarnation = (uint32_t)perron_random_between(&w->random, 1, INCARNATION_MAX);
		/* Two in one slot: the peers' numbers decide. */
		peer->slot = (uint8_t)perron_random_between(&w->random, 1, w->plan.peer_count);
		peer->stay = SIM_NONE;
		peer->relay = sim_lines_alloc(perron_relay_size(&w->plan.relay));
		peer->data = malloc(w->size_max);
		PERRON_ASSERT(peer->data);
		sim_heap_push(&w->sim.agenda,
			      perron_random_below(&w->random, w->plan.start_spread_ns + 1),
			      CELL_EVENT_START, i, 0);
		sim_heap_push(&w->sim.agenda,
			      perron_random_below(&w->random, w->plan.load_interval_ns + 1),
			      CELL_EVENT_LOAD, i, 0);
	}
}

void cell_peers_free(struct cell *w)
{
	for (uint32_t i = 0; w->peers && i < w->plan.peer_count; i++) {
		free(w->peers[i].relay);
		free(w->peers[i].data);
	}
	free(w->peers);
}

static void keeper_start(struct cell *w, uint32_t node)
{
	struct cell_keeper *k = &w->peers[node].keeper;
	uint64_t now_ns = sim_local_ns(&w->sim, node);

	*k = (struct cell_keeper){
	    .world = w,
	    .node = node,
	    .cell = w->plan.cells[0],
	    .refresh_at_ns = now_ns + w->plan.refresh_ns,
	};
	for (uint32_t i = 0; i < w->plan.peer_count; i++)
		k->open_at_ns[i] = now_ns + reopen_draw(w);
}

/* The others hear of the new life some time later, each for itself. */
static void rendezvous(struct cell *w, uint32_t node)
{
	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		if (i == node || !w->sim.nodes[i].alive)
			continue;
		w->peers[i].keeper.open_at_ns[node] = sim_local_ns(&w->sim, i) + reopen_draw(w);
		sim_plane_arm(&w->sim, i, SIM_SLOW);
	}
}

void cell_peer_start(struct cell *w, uint32_t node)
{
	struct cell_peer *peer = &w->peers[node];
	struct sim_node *n = &w->sim.nodes[node];
	struct perron_relay_config relay = w->plan.relay;
	uint64_t now_ns = sim_local_ns(&w->sim, node);

	if (n->alive)
		return;
	peer->incarnation++;
	peer->piece_count = 0;
	peer->in_change = false;
	relay.peer = n->id;
	relay.incarnation = peer->incarnation;
	relay.endpoint = endpoint_of(w, node);
	relay.seed = w->options.seed ^ node;
	relay.clock_offset_ns = WORLD_EPOCH_NS + w->sim.now_ns - now_ns;
	memset(peer->relay, MEMORY_POISON, perron_relay_size(&relay));
	int error = perron_relay_init(peer->relay, &relay, now_ns);
	if (error) {
		sim_violation(&w->sim, "start: peer %u: %d", n->id, error);
		w->sim.ended = true;
		return;
	}
	n->alive = true;
	keeper_start(w, node);
	sim_plane_start(&w->sim, node, SIM_FAST, &sim_relay_ops, peer->relay);
	sim_plane_start(&w->sim, node, SIM_SLOW, &keeper_ops, &peer->keeper);
	sim_trace(&w->sim, "start peer %u:%u", n->id, peer->incarnation);
	rendezvous(w, node);
	sim_plane_arm(&w->sim, node, SIM_FAST);
	sim_plane_arm(&w->sim, node, SIM_SLOW);
}

void cell_peer_move(struct cell *w, uint32_t node, uint64_t cell)
{
	struct cell_keeper *k = &w->peers[node].keeper;

	if (!w->sim.nodes[node].alive || k->cell == cell)
		return;
	sim_trace(&w->sim, "peer %u moves to %s", w->sim.nodes[node].id,
		  !cell			     ? "no cell"
		  : cell == w->plan.cells[0] ? "our cell"
					     : "another cell");
	k->cell = cell;
	k->has_said = false;
	sim_plane_arm(&w->sim, node, SIM_SLOW);
}
