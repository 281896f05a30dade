/*
 * What is sent, to whom, and what came before it. A message carries its number (those below four
 * bytes: a part of it that is unique to its sender and size) and noise that follows from it, so
 * that a delivery is recognised and every byte of it known.
 */
#include "test/sim/cell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_SMALL_MAX	120u
#define SIZE_MIDDLE_MAX 3000u
#define BURST_COUNT_MAX 160u
#define LIGHT_PPM	60000u /* of a peer's turns: it joins or leaves a group */
#define TOO_LARGE_PPM	2000u
#define STRANGE_PPM	50000u /* of messages to groups: to one that the sender may not be in */

static uint64_t below(struct cell *w, uint64_t bound)
{
	return perron_random_below(&w->random, bound);
}

static bool chance(struct cell *w, uint32_t ppm)
{
	return perron_random_chance(&w->random, ppm);
}

static uint64_t noise(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

bool cell_message_write(const struct cell *w, uint32_t message, uint8_t *data, uint32_t size)
{
	for (uint32_t i = 0; i < size; i += 8) {
		uint64_t word = noise(w->options.seed ^ (uint64_t)message << 24 ^ i);
		memcpy(data + i, &word, size - i < 8 ? size - i : 8);
	}
	if (size < CELL_TINY_SIZE)
		return false;
	memcpy(data, &message, sizeof(message));
	return true;
}

uint32_t cell_message_find(const struct cell *w, uint32_t sender, const uint8_t *data,
			   uint32_t size)
{
	uint32_t message;

	if (sender - 1 >= w->plan.peer_count || !size)
		return SIM_NONE;
	const struct cell_peer *peer = &w->peers[sender - 1];
	if (size < CELL_TINY_SIZE)
		return data[0] < peer->tiny_count[size] ? peer->tiny[size][data[0]] : SIM_NONE;
	memcpy(&message, data, sizeof(message));
	return message < w->message_count ? message : SIM_NONE;
}

/* Fills the scratch with the next message's bytes. */
static void message_prepare(struct cell *w, uint32_t node, uint32_t size)
{
	if (!cell_message_write(w, w->message_count, w->scratch, size))
		w->scratch[0] = (uint8_t)w->peers[node].tiny_count[size];
}

static void past_keep(struct cell *w, struct cell_message *m, uint32_t stay)
{
	const struct cell_stay *s = &w->stays[stay];

	m->past_count = w->stay_count;
	m->past = malloc(m->past_count * sizeof(*m->past));
	PERRON_ASSERT(m->past);
	memcpy(m->past, s->seen, m->past_count * sizeof(*m->past));
	for (uint32_t i = s->sent_count; i-- > 0;) {
		if (w->messages[s->sent[i]].service == PERRON_GROUP_FIFO)
			continue;
		m->past[stay] = i + 1;
		break;
	}
}

/* The message in the scratch was taken. */
static void message_keep(struct cell *w, uint32_t node, const struct cell_message *from)
{
	struct cell_peer *peer = &w->peers[node];
	struct cell_stay *s = &w->stays[peer->stay];

	w->messages =
	    cell_grow(w->messages, w->message_count, &w->message_capacity, sizeof(*w->messages));
	struct cell_message *m = &w->messages[w->message_count];
	*m = *from;
	m->stay = peer->stay;
	m->number = s->sent_count;
	m->self_in = !m->group || ((s->wanted >> m->group & 1) &&
				   cell_light_has(&s->light[m->group], w->sim.nodes[node].id));
	m->in_change = peer->in_change;
	m->view_then = w->passages[s->passage].view;
	m->view = SIM_NONE;
	m->at_ns = w->sim.now_ns;
	past_keep(w, m, peer->stay);
	s->sent = cell_grow(s->sent, s->sent_count, &s->sent_capacity, sizeof(*s->sent));
	s->sent[s->sent_count++] = w->message_count;
	if (m->size < CELL_TINY_SIZE)
		peer->tiny[m->size][peer->tiny_count[m->size]++] = w->message_count;
	w->counts.sent[m->service]++;
	w->counts.sent_in_change += m->in_change;
	sim_trace(&w->sim, "peer %u sends #%u: %s, group %u, %u bytes%s", w->sim.nodes[node].id,
		  w->message_count, perron_group_service_name(m->service), m->group, m->size,
		  m->in_change ? ", in a change" : "");
	w->message_count++;
}

static void refusal_note(struct cell *w, uint32_t node, const struct cell_message *m, int error)
{
	struct cell_peer *peer = &w->peers[node];
	bool is_in = peer->stay != SIM_NONE;

	w->counts.would_block += error == -EAGAIN;
	w->counts.no_cell += error == -ENOTCONN;
	w->counts.too_large += error == -EMSGSIZE;
	if ((error == -EAGAIN && is_in) || (error == -ENOTCONN && !is_in) ||
	    (error == -EMSGSIZE && m->size > w->size_max))
		return;
	sim_violation(&w->sim, "send: peer %u, %s, %u bytes of %u: error %d", w->sim.nodes[node].id,
		      is_in ? "in the cell" : "in none", m->size, w->size_max, error);
}

/* The answer; -ESHUTDOWN: the peer died of it. */
static int message_send(struct cell *w, uint32_t node, const struct cell_message *m)
{
	struct cell_peer *peer = &w->peers[node];
	struct sim *s = &w->sim;

	message_prepare(w, node, m->size);
	sim_step_begin(s, node);
	int error = perron_group_send(perron_relay_group(peer->relay), sim_local_ns(s, node),
				      m->group, (enum perron_group_service)m->service, w->scratch,
				      m->size, &s->effects);
	if (error)
		refusal_note(w, node, m, error);
	else if (peer->stay == SIM_NONE)
		sim_violation(s, "send: peer %u, in no cell: taken", s->nodes[node].id);
	else
		message_keep(w, node, m);
	if (w->has_converged) {
		peer->taken += error == 0;
		peer->refused += error == -EAGAIN;
	}
	if (!sim_step_end(s, node, SIM_FAST, SIM_STEP_OTHER))
		return -ESHUTDOWN;
	sim_plane_arm(s, node, SIM_FAST);
	return error;
}

static uint32_t size_draw(struct cell *w, uint32_t node)
{
	const struct cell_peer *peer = &w->peers[node];
	uint32_t size;

	if (chance(w, TOO_LARGE_PPM))
		return w->size_max + 1 + (uint32_t)below(w, 5000);
	if (chance(w, w->plan.large_ppm))
		return (uint32_t)perron_random_between(&w->random, 1, w->size_max);
	if (chance(w, 800000))
		size = (uint32_t)perron_random_between(&w->random, 1, SIZE_SMALL_MAX);
	else
		size = (uint32_t)perron_random_between(&w->random, 1, SIZE_MIDDLE_MAX);
	if (size < CELL_TINY_SIZE && peer->tiny_count[size] == CELL_TINY_COUNT_MAX)
		return CELL_TINY_SIZE;
	return size;
}

static uint32_t group_draw(struct cell *w, uint32_t node)
{
	const struct cell_peer *peer = &w->peers[node];
	uint32_t group = (uint32_t)perron_random_between(&w->random, 1, CELL_GROUP_COUNT);

	if (!chance(w, w->plan.light_ppm))
		return 0;
	if (chance(w, STRANGE_PPM))
		return group;
	if (peer->stay == SIM_NONE || !(w->stays[peer->stay].wanted >> group & 1))
		return 0;
	return group;
}

static struct cell_message message_draw(struct cell *w, uint32_t node)
{
	struct cell_message m = {.service = (uint8_t)below(w, PERRON_GROUP_SERVICE_COUNT)};

	/* One draw after the other: compilers order those of one expression as they like. */
	m.group = group_draw(w, node);
	m.size = size_draw(w, node);
	return m;
}

/* Until there is no room, or it is enough. */
static void burst_send(struct cell *w, uint32_t node)
{
	uint64_t count = perron_random_between(&w->random, 2, BURST_COUNT_MAX);

	for (uint64_t i = 0; i < count; i++) {
		struct cell_message m = message_draw(w, node);
		int error = message_send(w, node, &m);
		if (error && error != -EMSGSIZE)
			return;
	}
}

static void light_change(struct cell *w, uint32_t node)
{
	struct cell_peer *peer = &w->peers[node];
	struct perron_group *g = perron_relay_group(peer->relay);
	struct sim *s = &w->sim;
	uint32_t group = (uint32_t)perron_random_between(&w->random, 1, CELL_GROUP_COUNT);
	struct cell_stay *stay = peer->stay == SIM_NONE ? NULL : &w->stays[peer->stay];
	bool is_in = stay && (stay->wanted >> group & 1);
	int error;

	/* Who joins again while it leaves could not tell which of its groups it is told of. */
	if (stay && (stay->leaving >> group & 1))
		return;
	sim_step_begin(s, node);
	if (is_in)
		error = perron_group_light_leave(g, sim_local_ns(s, node), group, &s->effects);
	else
		error = perron_group_light_join(g, sim_local_ns(s, node), group, &s->effects);
	if (!error && stay) {
		if (is_in)
			stay->leaving |= 1u << group;
		stay->wanted ^= 1u << group;
		w->passages[stay->passage].steady &= stay->wanted;
		stay->light[group].is_told = false;
		stay->light[group].is_certain = false;
	}
	if (error && error != -EAGAIN && !(error == -ENOTCONN && !stay))
		sim_violation(s, "light: peer %u %s group %u: error %d", s->nodes[node].id,
			      is_in ? "leaves" : "joins", group, error);
	sim_trace(s, "peer %u %s group %u: %d", s->nodes[node].id, is_in ? "leaves" : "joins",
		  group, error);
	if (sim_step_end(s, node, SIM_FAST, SIM_STEP_OTHER))
		sim_plane_arm(s, node, SIM_FAST);
}

void cell_load(struct cell *w, uint32_t node)
{
	const struct sim_node *n = &w->sim.nodes[node];
	uint64_t stalled_ns = n->planes[SIM_FAST].stalled_until_ns;
	uint64_t next_ns = w->sim.now_ns + 1 + below(w, 2 * w->plan.load_interval_ns);

	if (w->sim.now_ns >= w->plan.quiet_ns)
		return;
	if (n->alive && stalled_ns > w->sim.now_ns && next_ns < stalled_ns)
		next_ns = stalled_ns;
	sim_heap_push(&w->sim.agenda, next_ns, CELL_EVENT_LOAD, node, 0);
	if (!n->alive || stalled_ns > w->sim.now_ns)
		return;
	if (w->plan.light_ppm && w->sim.now_ns < w->plan.light_quiet_ns && chance(w, LIGHT_PPM)) {
		light_change(w, node);
	} else if (chance(w, w->plan.burst_ppm)) {
		burst_send(w, node);
	} else {
		struct cell_message m = message_draw(w, node);
		(void)message_send(w, node, &m);
	}
}
