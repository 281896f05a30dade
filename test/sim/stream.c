/*
 * What must hold of the streams, whatever goes wrong:
 *
 *	- what a client is given was accepted from the sensor with that key, bytes and all, and is
 *	  of the class that it asked for;
 *	- no frame twice, and none after a later one;
 *	- no accepted frame is passed over in silence: what was accepted between two deliveries and
 *	  not delivered is counted lost by the client, and its books balance;
 *	- without faults nothing is lost at all;
 *	- of a sensor that hangs on two peers of a cell every reading, once (shared.c).
 *
 * And in the end: every subscription of a sensor is active and delivers; when the sensors have
 * stopped, all is delivered or counted, and nobody holds a frame any more.
 */
#include <inttypes.h>
#include <string.h>

#include "test/sim/world.h"

#define NO_SENSOR UINT32_MAX
/* Of a killed peer's sensors so many of the latest frames are looked for. */
#define KEPT_LOOK 512u
/* Who is away for this long finds that its heirs are done. */
#define BACK_NS (2 * SIM_S)

static struct world_client *client_of(struct world *w, uint32_t node, uint32_t *index)
{
	*index = node - w->plan.peer_count;
	PERRON_ASSERT(*index < w->plan.client_count);
	return &w->clients[*index];
}

/* Accepted frames in first..last - 1. */
static uint64_t accepted_between(const struct world_sensor *s, uint64_t first, uint64_t last)
{
	return last > first ? sensor_record(s, last) - sensor_record(s, first) : 0;
}

static void content_check(struct world *w, uint32_t client, const struct world_sensor *s,
			  const uint8_t *data, const struct perron_header *h)
{
	uint32_t at = sensor_record(s, h->sequence);

	if (at == s->record_count || s->records[at].sequence != h->sequence)
		sim_violation(&w->sim, "forged: client %u got %s %" PRIu64 ", never accepted",
			      client + 1, s->name, h->sequence);
	else if (s->records[at].hash != sensor_frame_hash(data, h))
		sim_violation(&w->sim, "altered: client %u got %s %" PRIu64 " with other bytes",
			      client + 1, s->name, h->sequence);
}

static void missed_note(struct world *w, struct world_subscription *u,
			const struct world_sensor *s, uint64_t first, uint64_t last)
{
	u->missed += accepted_between(s, first, last);
	for (uint32_t i = sensor_record(s, first); first < last && i < sensor_record(s, last); i++)
		if (s->records[i].kept >> u->class & 1) {
			w->kept_missed++;
			if (w->strikes == s->killed_strikes && !u->bounded)
				sim_violation(&w->sim,
					      "survivor: %s %" PRIu64 " class %u was held by a "
					      "sibling, and a client was never given it",
					      s->name, s->records[i].sequence, u->class);
		}
}

static void order_check(struct world *w, uint32_t client, struct world_subscription *u,
			const struct world_sensor *s, uint64_t sequence, uint64_t start)
{
	if (u->last && sequence == u->last)
		sim_violation(&w->sim, "twice: client %u got %s %" PRIu64 " twice", client + 1,
			      s->name, sequence);
	else if (sequence < u->last)
		sim_violation(&w->sim, "order: client %u got %s %" PRIu64 " after %" PRIu64,
			      client + 1, s->name, sequence, u->last);
	else if (sequence < start)
		sim_violation(&w->sim,
			      "start: client %u got %s %" PRIu64 " before its start %" PRIu64,
			      client + 1, s->name, sequence, start);
	else
		missed_note(w, u, s, u->last ? u->last + 1 : start, sequence);
	if (sequence > u->last)
		u->last = sequence;
}

void stream_deliver(struct sim *sim, uint32_t node, uint32_t slot, uint32_t subscription)
{
	struct world *w = sim->world;
	uint32_t index;
	struct world_client *c = client_of(w, node, &index);
	const uint8_t *data = sim_pool_data(&sim->pool, slot);
	struct perron_subscription_info info;
	struct perron_header h;

	if (subscription >= WORLD_SUBSCRIPTION_MAX || !c->subscriptions[subscription].used) {
		sim_violation(sim, "deliver: client %u, subscription %u that is none", index + 1,
			      subscription);
		return;
	}
	if (perron_frame_decode(data, sim->pool.slots[slot].length, &h) != PERRON_DROP_NONE) {
		sim_violation(sim, "altered: client %u got a frame that does not decode",
			      index + 1);
		return;
	}
	struct world_subscription *u = &c->subscriptions[subscription];
	const struct world_sensor *s = sensor_of_stream(w, h.stream);
	if (!s || s != &w->sensors[u->sensor] || h.class != u->class) {
		sim_violation(sim, "deliver: client %u got stream %08x class %u for %s class %u",
			      index + 1, h.stream, h.class, w->sensors[u->sensor].name, u->class);
		return;
	}
	perron_client_info(c->client, subscription, &info);
	if (s->twin == SIM_NONE)
		content_check(w, index, s, data, &h);
	else
		shared_deliver(w, index, u, s, data, &h);
	order_check(w, index, u, s, h.sequence, info.start);
	u->delivered++;
	u->delivered_at_ns = sim->now_ns;
	w->delivered++;
}

/* Where a subscription began stands: or frames could be passed over by beginning anew. */
static void start_check(struct world *w, uint32_t client, struct world_subscription *u,
			const struct perron_subscription_info *info)
{
	if (u->start && info->start != u->start)
		sim_violation(&w->sim,
			      "start: client %u %s began at %" PRIu64 ", says now %" PRIu64,
			      client + 1, w->sensors[u->sensor].name, u->start, info->start);
	u->start = info->start;
}

static void books_check(struct world *w, uint32_t client, struct world_subscription *u,
			const struct perron_subscription_info *info)
{
	const char *name = u->sensor == NO_SENSOR ? "?" : w->sensors[u->sensor].name;

	start_check(w, client, u, info);
	if (info->delivered != u->delivered)
		sim_violation(&w->sim,
			      "books: client %u %s counts %" PRIu64 " delivered of %" PRIu64,
			      client + 1, name, info->delivered, u->delivered);
	if (u->missed > info->lost + info->renumbered)
		sim_violation(&w->sim,
			      "silence: client %u %s missed %" PRIu64 " frames, counts %" PRIu64,
			      client + 1, name, u->missed, info->lost + info->renumbered);
	if (u->last && info->expected <= u->last)
		sim_violation(&w->sim, "books: client %u %s expects %" PRIu64 " after %" PRIu64,
			      client + 1, name, info->expected, u->last);
	if (info->start && info->delivered + info->lost + info->renumbered !=
			   info->expected - info->start)
		sim_violation(&w->sim,
			      "books: client %u %s: %" PRIu64 " delivered, %" PRIu64
			      " lost, of %" PRIu64 " to %" PRIu64,
			      client + 1, name, info->delivered, info->lost, info->start,
			      info->expected);
	if (w->options.profile == WORLD_PROFILE_NONE && !w->plan.small_bounds && info->lost)
		sim_violation(&w->sim, "lost: client %u %s lost %" PRIu64 " without a fault",
			      client + 1, name, info->lost);
}

void stream_check_client(struct world *w, uint32_t node)
{
	uint32_t index;
	struct world_client *c = client_of(w, node, &index);
	struct perron_subscription_info info;

	for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++) {
		if (!c->subscriptions[i].used)
			continue;
		perron_client_info(c->client, i, &info);
		if (info.state != PERRON_SUBSCRIPTION_FREE)
			books_check(w, index, &c->subscriptions[i], &info);
	}
}

/* Whose clients asked for no replication is held by nobody. */
static bool may_be_held(const struct world *w, uint32_t stream)
{
	for (uint32_t i = 0; i < w->plan.sensor_count; i++)
		if (w->sensors[i].stream == stream)
			return w->sensors[i].qos.replication != PERRON_REPLICATION_NONE;
	return false;
}

static bool is_held(const struct world *w, uint32_t killed, const struct world_sensor *s,
		    uint8_t class, uint64_t sequence)
{
	const struct sim_node *gone = &w->sim.nodes[killed];

	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		const struct sim_node *n = &w->sim.nodes[i];
		if (n->alive && n->station != gone->station && !n->crash_countdown &&
		    perron_relay_holds(w->peers[i].relay, s->stream, class, gone->id,
				       w->peers[killed].incarnation, sequence))
			return true;
	}
	return false;
}

/* But for the station of this node all is well. */
static bool is_whole(struct world *w, uint32_t node)
{
	const struct sim_station *station = &w->sim.stations[w->sim.nodes[node].station];

	return !w->plan.small_bounds && tree_missing(w, NULL, 0) <= station->node_count &&
	       !stream_missing(w, NULL, 0);
}

void stream_note_killed(struct world *w, uint32_t node)
{
	for (uint32_t i = 0; i < w->plan.sensor_count; i++) {
		struct world_sensor *s = &w->sensors[i];
		if (s->peer != node || s->twin != SIM_NONE || !s->qos.replication)
			continue;
		s->killed_ns = w->sim.now_ns;
		s->killed_strikes = is_whole(w, node) ? w->strikes : 0;
		uint32_t first = s->record_count > KEPT_LOOK ? s->record_count - KEPT_LOOK : 0;
		for (uint32_t k = first; k < s->record_count; k++)
			for (uint8_t class = 0; class <= PERRON_CLASS_NORMAL; class++)
				if (is_held(w, node, s, class, s->records[k].sequence)) {
					s->records[k].kept |= (uint8_t)(1u << class);
					w->kept++;
				}
	}
}

void stream_note_started(struct world *w, uint32_t node)
{
	for (uint32_t i = 0; i < w->plan.sensor_count; i++)
		if (w->sensors[i].peer == node && w->sim.now_ns - w->sensors[i].killed_ns < BACK_NS)
			w->sensors[i].killed_strikes = 0;
}

void stream_check_peer(struct world *w, uint32_t node)
{
	struct perron_replica_info held[64];
	uint32_t count = perron_relay_replicas_read(w->peers[node].relay, held, 64);

	for (uint32_t i = 0; i < count; i++)
		if (held[i].count && !may_be_held(w, held[i].stream))
			sim_violation(&w->sim,
				      "unasked: peer %u holds %u frames of stream %08x for peer %u",
				      w->sim.nodes[node].id, held[i].count, held[i].stream,
				      held[i].primary);
}

uint32_t stream_missing(struct world *w, char *text, uint32_t size)
{
	struct perron_subscription_info info;
	uint32_t missing = 0;

	for (uint32_t c = 0; c < w->plan.client_count && !w->plan.small_bounds; c++) {
		for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++) {
			const struct world_subscription *u = &w->clients[c].subscriptions[i];
			if (!u->used || u->sensor == NO_SENSOR || u->bounded)
				continue;
			perron_client_info(w->clients[c].client, i, &info);
			if (info.state == PERRON_SUBSCRIPTION_ACTIVE || missing++ || !text)
				continue;
			(void)snprintf(text, size,
				       "client %u %s class %u is %s, last answer %s, peer %u",
				       c + 1, w->sensors[u->sensor].name, u->class,
				       info.state == PERRON_SUBSCRIPTION_REFUSED ? "refused"
										 : "asking",
				       perron_verdict_name(info.verdict), info.peer);
		}
	}
	return missing;
}

void stream_note_converged(struct world *w)
{
	struct perron_subscription_info info;

	for (uint32_t c = 0; c < w->plan.client_count; c++) {
		for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++) {
			struct world_subscription *u = &w->clients[c].subscriptions[i];
			if (!u->used)
				continue;
			perron_client_info(w->clients[c].client, i, &info);
			u->lost_then = info.lost;
		}
	}
}

/* When the sensors stop: every subscription has had something since the overlay had converged. */
void stream_check_delivering(struct world *w)
{
	for (uint32_t c = 0; c < w->plan.client_count && !w->plan.small_bounds; c++) {
		for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++) {
			const struct world_subscription *u = &w->clients[c].subscriptions[i];
			if (!u->used || u->sensor == NO_SENSOR || u->bounded ||
			    w->sensors[u->sensor].apart ||
			    u->delivered_at_ns >= w->plan.converged_ns ||
			    u->since_ns + SIM_S > w->plan.converged_ns)
				continue;
			sim_violation(&w->sim,
				      "liveness: client %u got nothing of %s class %u since %.3f s",
				      c + 1, w->sensors[u->sensor].name, u->class,
				      (double)u->delivered_at_ns / 1e9);
		}
	}
}

static void tail_check(struct world *w, uint32_t client, uint32_t subscription)
{
	const struct world_subscription *u = &w->clients[client].subscriptions[subscription];
	struct perron_subscription_info info;

	perron_client_info(w->clients[client].client, subscription, &info);
	if (u->sensor == NO_SENSOR || info.state != PERRON_SUBSCRIPTION_ACTIVE || !info.start)
		return;
	const struct world_sensor *s = &w->sensors[u->sensor];
	if (info.lost > u->lost_then && !u->bounded)
		sim_violation(&w->sim,
			      "lost: client %u %s lost %" PRIu64 " when all was well again",
			      client + 1, s->name, info.lost - u->lost_then);
	uint64_t last = s->record_count ? s->records[s->record_count - 1].sequence : 0;
	if (last >= info.start && info.expected <= last)
		sim_violation(&w->sim,
			      "tail: client %u still waits for %s %" PRIu64 " of %" PRIu64,
			      client + 1, s->name, info.expected, last);
	if (w->options.profile == WORLD_PROFILE_NONE && !w->plan.small_bounds && u->missed)
		sim_violation(&w->sim, "lost: client %u %s missed %" PRIu64 " without a fault",
			      client + 1, s->name, u->missed);
}

void stream_check_end(struct world *w)
{
	for (uint32_t c = 0; c < w->plan.client_count && !w->plan.small_bounds; c++)
		for (uint32_t i = 0; i < WORLD_SUBSCRIPTION_MAX; i++) {
			if (!w->clients[c].subscriptions[i].used)
				continue;
			tail_check(w, c, i);
			shared_check_end(w, c, &w->clients[c].subscriptions[i]);
		}
	for (uint32_t i = 0; i < w->sim.node_count; i++) {
		const struct sim_node *n = &w->sim.nodes[i];
		/* A subscription that was refused room keeps what came early until it is served. */
		bool may_hold = !is_peer(w, i) && w->plan.small_bounds;
		if (n->alive && n->planes[SIM_FAST].hold_count && !may_hold &&
		    !shared_is_parted(w))
			sim_violation(&w->sim, "drain: %s %u still holds %" PRIu64 " frames",
				      is_peer(w, i) ? "peer" : "client",
				      n->id & ~PERRON_CLIENT_ID,
				      n->planes[SIM_FAST].hold_count);
		if (n->dropped && !w->plan.small_bounds)
			sim_violation(&w->sim, "effects: %s %u found no room for %" PRIu64,
				      is_peer(w, i) ? "peer" : "client",
				      n->id & ~PERRON_CLIENT_ID, n->dropped);
	}
}
