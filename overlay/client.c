#include "overlay/client.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "overlay/client_window.h"
#include "overlay/control.h"
#include "overlay/silence.h"

#define SUBSCRIPTION_COUNT_MAX 64
#define WINDOW_MIN             64
#define WINDOW_MAX             65536
#define REDIRECT_COUNT_MAX     4
#define HURRIED_MAX            24
#define FAREWELL_REQUESTS      3
/*
 * Effects that a step keeps free while it empties a window: one a frame of the burst that is yet
 * to be looked at, and four a subscription (two requests, farewell, acknowledgement).
 */
#define EFFECTS_KEPT (PERRON_BURST_MAX + 4 * SUBSCRIPTION_COUNT_MAX)
/* A held frame that is delivered is two effects: DELIVER and RELEASE. */
#define EFFECTS_FRAME 2

static_assert(EFFECTS_KEPT + PERRON_BURST_MAX * EFFECTS_FRAME <=
		      PERRON_EFFECT_COUNT_MAX - PERRON_EFFECT_RESERVE(PERRON_EFFECT_COUNT_MAX),
	      "a step has room to empty windows faster than bursts fill them");

/* Whom a subscription speaks to. */
struct server {
	uint32_t peer;        /* 0: not known, whoever listens there */
	uint32_t incarnation; /* 0: not known */
	struct perron_endpoint endpoint;
};

struct subscription {
	char name[PERRON_SENSOR_NAME_MAX + 1];
	uint32_t stream;
	uint8_t state; /* enum perron_subscription_state */
	uint8_t class;
	uint8_t verdict;
	bool starting;
	uint32_t latency_us;
	struct perron_qos qos;
	uint8_t replicas; /* as the last refusal said */
	uint32_t latency_us_estimate;
	uint32_t hops;

	struct server asked; /* by the last request */
	uint32_t nonce;      /* of the requests since the state changed or an answer came; not 0 */
	bool ask_again;      /* ASKING: the one asked said WAIT */
	uint32_t portal_index;
	uint32_t redirect_count; /* in a row */
	uint64_t farewell_due_ns; /* a peer that serves it as well is not told before not to */
	uint32_t hurried;        /* requests in a hurry that are left: the stream stood */
	uint64_t asked_since_ns;
	uint64_t unknown_since_ns; /* 0: the last answer was another */
	uint64_t request_due_ns; /* the next request, or renewal */

	struct server server; /* ACTIVE: where the stream comes from */
	uint64_t good_ns;     /* last granted, or last frame of the stream */
	struct perron_silence silence;

	struct perron_window window;
	uint32_t unacked;    /* frames taken since the last acknowledgement */
	bool ack_now;        /* with the end of this step */
	uint64_t ack_due_ns; /* UINT64_MAX: nothing to acknowledge */

	uint64_t start;
	uint64_t delivered;
	uint64_t duplicates;
	uint64_t late;
	uint64_t moved;
};

struct perron_client {
	struct perron_client_config cfg;
	uint32_t nonce_count;
	uint64_t farewell_due_ns; /* nor one that serves what we never wanted */
	uint64_t drops[PERRON_DROP_COUNT];
	struct subscription subscriptions[];
};

void perron_client_config_default(struct perron_client_config *cfg)
{
	*cfg = (struct perron_client_config){
		.overlay = 1,
		.subscription_count_max = 8,
		.window = 1024,
		.request_ns = 100000000u,
		.renew_ns = 500000000u,
		.lost_ns = 1500000000u,
		.overdue_ns = 5000000u,
		.sure_ns = 1000000000u,
		.ack_interval_ns = 2000000u,
		.ack_frames = 16,
	};
}

size_t perron_client_size(const struct perron_client_config *cfg)
{
	size_t subscription_size = sizeof(struct subscription) +
				   cfg->window * sizeof(struct perron_window_slot);

	return sizeof(struct perron_client) + cfg->subscription_count_max * subscription_size;
}

static bool config_is_valid(const struct perron_client_config *cfg)
{
	if (!(cfg->id & PERRON_CLIENT_ID) || cfg->incarnation == 0)
		return false;
	if (cfg->portal_count == 0 || cfg->portal_count > PERRON_PORTAL_COUNT_MAX)
		return false;
	if (cfg->subscription_count_max == 0 ||
	    cfg->subscription_count_max > SUBSCRIPTION_COUNT_MAX)
		return false;
	if (cfg->window < WINDOW_MIN || cfg->window > WINDOW_MAX ||
	    (cfg->window & (cfg->window - 1)))
		return false;
	if (cfg->request_ns == 0 || cfg->renew_ns == 0 || cfg->lost_ns <= cfg->renew_ns)
		return false;
	return cfg->overdue_ns > 0 && cfg->ack_interval_ns > 0 && cfg->ack_frames > 0;
}

static struct perron_window_slot *slots_of(struct perron_client *c, uint32_t index)
{
	struct perron_window_slot *slots =
		(struct perron_window_slot *)&c->subscriptions[c->cfg.subscription_count_max];

	return slots + (size_t)index * c->cfg.window;
}

int perron_client_init(struct perron_client *c, const struct perron_client_config *cfg,
		       uint64_t now_ns)
{
	if (!config_is_valid(cfg))
		return -EINVAL;
	memset(c, 0, sizeof(*c));
	c->cfg = *cfg;
	c->farewell_due_ns = now_ns + cfg->request_ns;
	for (uint32_t i = 0; i < cfg->subscription_count_max; i++) {
		memset(&c->subscriptions[i], 0, sizeof(c->subscriptions[i]));
		perron_window_init(&c->subscriptions[i].window, slots_of(c, i), cfg->window);
	}
	return 0;
}

/* Not to be guessed by who does not see our frames; never 0. */
static uint32_t nonce_next(struct perron_client *c)
{
	uint64_t x = (uint64_t)c->cfg.id << 32 | c->cfg.incarnation;

	x += ++c->nonce_count * 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x >> 32 ? (uint32_t)(x >> 32) : 1;
}

static struct perron_header header_of(const struct perron_client *c, uint64_t now_ns, uint8_t type,
				      const struct server *to, uint32_t payload_size)
{
	return (struct perron_header){
		.type = type,
		.class = PERRON_CLASS_OVERLAY,
		.fragment_count = 1,
		.length = (uint16_t)payload_size,
		.overlay = c->cfg.overlay,
		.source = c->cfg.id,
		.source_incarnation = c->cfg.incarnation,
		.destination = to->peer,
		.destination_incarnation = to->incarnation,
		.origin_ns = now_ns + c->cfg.clock_offset_ns,
	};
}

static uint8_t *frame_room(struct perron_client *c, uint32_t payload_size,
			   struct perron_effects *out)
{
	uint8_t *frame = perron_effects_frame(out, payload_size);

	if (!frame)
		c->drops[PERRON_DROP_EFFECTS_FULL]++;
	return frame;
}

static void subscribe_send(struct perron_client *c, struct subscription *s, uint64_t now_ns,
			   struct perron_effects *out)
{
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	struct perron_subscribe m = {
		.nonce = s->nonce,
		.class = s->class,
		.latency_us = s->latency_us,
		.qos = s->qos,
		.resume = s->starting ? 0 : s->window.expected,
	};

	PERRON_ASSERT(s->nonce != 0);
	memcpy(m.name, s->name, sizeof(m.name));
	uint32_t size = perron_subscribe_write(payload, &m);
	uint8_t *frame = frame_room(c, size, out);
	if (!frame)
		return;
	memcpy(frame + PERRON_HEADER_SIZE, payload, size);
	struct perron_header header =
		header_of(c, now_ns, PERRON_TYPE_SUBSCRIBE, &s->asked, size);
	perron_effects_send(out, frame, &header, s->asked.endpoint);
}

static void farewell_send(struct perron_client *c, const struct server *to, uint8_t class,
			  uint32_t stream, uint64_t now_ns, struct perron_effects *out)
{
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	struct perron_path_teardown m = {.class = class, .stream = stream};
	uint32_t size = perron_path_teardown_write(payload, &m);
	uint8_t *frame = frame_room(c, size, out);

	if (!frame)
		return;
	memcpy(frame + PERRON_HEADER_SIZE, payload, size);
	struct perron_header header = header_of(c, now_ns, PERRON_TYPE_UNSUBSCRIBE, to, size);
	perron_effects_send(out, frame, &header, to->endpoint);
}

static void ack_send(struct perron_client *c, struct subscription *s, uint64_t now_ns,
		     struct perron_effects *out)
{
	struct perron_ack ack = perron_window_ack(&s->window);
	uint8_t *frame = frame_room(c, PERRON_ACK_SIZE, out);

	PERRON_ASSERT(s->state == PERRON_SUBSCRIPTION_ACTIVE);
	if (!frame)
		return;
	perron_store64(frame + PERRON_HEADER_SIZE, ack.bitmap);
	struct perron_header header =
		header_of(c, now_ns, PERRON_TYPE_ACK, &s->server, PERRON_ACK_SIZE);
	header.class = s->class;
	header.stream = s->stream;
	header.sequence = ack.cumulative;
	perron_effects_send(out, frame, &header, s->server.endpoint);
	s->unacked = 0;
	s->ack_now = false;
	s->ack_due_ns = UINT64_MAX;
}

/* In whichever life it is. */
static void server_ask(struct subscription *s, uint32_t peer,
		       const struct perron_endpoint *endpoint)
{
	s->asked = (struct server){.peer = peer, .endpoint = *endpoint};
}

static bool server_is_portal(const struct server *server, const struct perron_portal *portal)
{
	return perron_endpoint_equal(server->endpoint, portal->endpoint) &&
	       (portal->peer == 0 || portal->peer == server->peer);
}

/* How long a request waits for its answer, and the next request after one that helps nothing. */
static uint64_t patience_ns(const struct perron_client *c, struct subscription *s)
{
	if (!s->hurried)
		return c->cfg.request_ns;
	s->hurried--;
	return c->cfg.overdue_ns;
}

static void ask(struct perron_client *c, struct subscription *s, uint64_t now_ns,
		const struct perron_portal *portal, struct perron_effects *out)
{
	server_ask(s, portal->peer, &portal->endpoint);
	s->asked_since_ns = now_ns;
	s->ask_again = false;
	s->request_due_ns = now_ns + patience_ns(c, s);
	subscribe_send(c, s, now_ns, out);
}

/* The next portal in turn; not the one just lost, if there are others. */
static void ask_next(struct perron_client *c, struct subscription *s, uint64_t now_ns,
		     struct perron_effects *out)
{
	const struct perron_portal *portal = &c->cfg.portal[s->portal_index];

	PERRON_ASSERT(s->portal_index < c->cfg.portal_count);
	if (c->cfg.portal_count > 1 && server_is_portal(&s->asked, portal)) {
		s->portal_index = (s->portal_index + 1) % c->cfg.portal_count;
		portal = &c->cfg.portal[s->portal_index];
	}
	s->portal_index = (s->portal_index + 1) % c->cfg.portal_count;
	s->redirect_count = 0;
	ask(c, s, now_ns, portal, out);
}

static struct subscription *subscription_find(struct perron_client *c, uint32_t stream,
					      uint8_t class)
{
	for (uint32_t i = 0; i < c->cfg.subscription_count_max; i++) {
		struct subscription *s = &c->subscriptions[i];

		if (s->stream == stream && s->class == class &&
		    s->state != PERRON_SUBSCRIPTION_FREE)
			return s;
	}
	return NULL;
}

static struct subscription *subscription_free(struct perron_client *c)
{
	for (uint32_t i = 0; i < c->cfg.subscription_count_max; i++) {
		struct subscription *s = &c->subscriptions[i];

		if (s->state == PERRON_SUBSCRIPTION_FREE && s->window.held_count == 0)
			return s;
	}
	return NULL;
}

int perron_client_subscribe(struct perron_client *c, uint64_t now_ns, const char *sensor,
			    enum perron_class class, uint32_t latency_us,
			    const struct perron_qos *qos, struct perron_effects *out)
{
	if (!perron_sensor_name_is_valid(sensor) || class < PERRON_CLASS_ALARM ||
	    class > PERRON_CLASS_NORMAL || (qos && !perron_qos_is_valid(qos)))
		return -EINVAL;
	uint32_t stream = perron_stream_id(sensor);
	if (subscription_find(c, stream, (uint8_t)class))
		return -EEXIST;
	struct subscription *s = subscription_free(c);
	if (!s)
		return -ENOSPC;
	uint32_t index = (uint32_t)(s - c->subscriptions);
	memset(s, 0, sizeof(*s));
	perron_window_init(&s->window, slots_of(c, index), c->cfg.window);
	memcpy(s->name, sensor, strlen(sensor));
	s->stream = stream;
	s->state = PERRON_SUBSCRIPTION_ASKING;
	s->class = (uint8_t)class;
	s->starting = true;
	s->latency_us = latency_us;
	if (qos)
		s->qos = *qos;
	perron_silence_init(&s->silence);
	s->ack_due_ns = UINT64_MAX;
	s->nonce = nonce_next(c);
	ask_next(c, s, now_ns, out);
	return (int)index;
}

static bool effects_have_room(const struct perron_effects *out, uint32_t count)
{
	return out->count + count <= out->capacity - PERRON_EFFECT_RESERVE(out->capacity);
}

/* Gives back what an ended subscription still holds, as far as there is room. */
static void subscription_empty(struct subscription *s, struct perron_effects *out)
{
	struct perron_window_slot slot;

	PERRON_ASSERT(s->state == PERRON_SUBSCRIPTION_FREE);
	while (effects_have_room(out, EFFECTS_KEPT + EFFECTS_FRAME) &&
	       perron_window_empty(&s->window, &slot))
		perron_effects_release(out, slot.handle);
}

void perron_client_unsubscribe(struct perron_client *c, uint64_t now_ns, uint32_t index,
			       struct perron_effects *out)
{
	PERRON_ASSERT(index < c->cfg.subscription_count_max);
	struct subscription *s = &c->subscriptions[index];

	if (s->state == PERRON_SUBSCRIPTION_ACTIVE)
		farewell_send(c, &s->server, s->class, s->stream, now_ns, out);
	else if (s->state == PERRON_SUBSCRIPTION_ASKING)
		farewell_send(c, &s->asked, s->class, s->stream, now_ns, out);
	s->state = PERRON_SUBSCRIPTION_FREE;
	subscription_empty(s, out);
}

static void frame_count(const struct perron_client *c, struct subscription *s, uint64_t now_ns,
			uint64_t due_ns)
{
	s->delivered++;
	if (now_ns + c->cfg.clock_offset_ns > due_ns)
		s->late++;
}

/* Delivers what is in order now; what finds no room waits for the next step. */
static void window_drain(struct perron_client *c, struct subscription *s, uint64_t now_ns,
			 struct perron_effects *out)
{
	uint32_t index = (uint32_t)(s - c->subscriptions);
	struct perron_window_slot slot;

	while (effects_have_room(out, EFFECTS_KEPT + EFFECTS_FRAME) &&
	       perron_window_next(&s->window, &slot)) {
		frame_count(c, s, now_ns, slot.due_ns);
		perron_effects_deliver(out, slot.handle, index);
		perron_effects_release(out, slot.handle);
	}
}

static void frame_unacked(struct perron_client *c, struct subscription *s, uint64_t now_ns)
{
	if (s->unacked++ == 0)
		s->ack_due_ns = now_ns + c->cfg.ack_interval_ns;
	if (s->unacked >= c->cfg.ack_frames)
		s->ack_now = true;
}

/*
 * Answers, by (state, verdict). A subscription that once stood is never refused: the overlay may
 * be forming anew.
 */
enum answer {
	IGNORE,    /* nothing was asked */
	GRANT,     /* the stream comes from there, from `start` on */
	FOLLOW,    /* ask whom it names */
	SAME,      /* the path is being set up: ask there again, after a while */
	OTHER,     /* it cannot help: ask the next portal, after a while */
	SOON,      /* stands as long as frames come: renew sooner than usual */
	FINAL,     /* refused */
	SURE,      /* refused, if that is said for a while: its sensor may just be coming */
};

enum row { ROW_FREE, ROW_STARTING, ROW_RESUMING, ROW_ACTIVE, ROW_REFUSED, ROW_COUNT };

static const uint8_t answers[ROW_COUNT][PERRON_VERDICT_COUNT] = {
	[ROW_FREE] = {0}, /* IGNORE: it was given up meanwhile */
	[ROW_STARTING] = {
		[PERRON_VERDICT_OK] = GRANT,
		[PERRON_VERDICT_WAIT] = SAME,
		[PERRON_VERDICT_REDIRECT] = FOLLOW,
		[PERRON_VERDICT_UNKNOWN_SENSOR] = SURE,
		[PERRON_VERDICT_LATENCY] = FINAL,
		[PERRON_VERDICT_FULL] = FINAL,
		[PERRON_VERDICT_NOT_JOINED] = OTHER,
		[PERRON_VERDICT_DUPLICATE] = OTHER, /* that station was shut out */
		[PERRON_VERDICT_CONFLICT] = OTHER,
		[PERRON_VERDICT_MALFORMED] = FINAL,
		[PERRON_VERDICT_REPLICAS] = FINAL,
	},
	[ROW_RESUMING] = {
		[PERRON_VERDICT_OK] = GRANT,
		[PERRON_VERDICT_WAIT] = SAME,
		[PERRON_VERDICT_REDIRECT] = FOLLOW,
		[PERRON_VERDICT_UNKNOWN_SENSOR] = OTHER,
		[PERRON_VERDICT_LATENCY] = OTHER,
		[PERRON_VERDICT_FULL] = OTHER,
		[PERRON_VERDICT_NOT_JOINED] = OTHER,
		[PERRON_VERDICT_DUPLICATE] = OTHER,
		[PERRON_VERDICT_CONFLICT] = OTHER,
		[PERRON_VERDICT_MALFORMED] = OTHER,
		[PERRON_VERDICT_REPLICAS] = OTHER,
	},
	[ROW_ACTIVE] = {
		[PERRON_VERDICT_OK] = GRANT,
		[PERRON_VERDICT_WAIT] = SOON,
		[PERRON_VERDICT_REDIRECT] = FOLLOW,
		[PERRON_VERDICT_UNKNOWN_SENSOR] = SOON,
		[PERRON_VERDICT_LATENCY] = SOON,
		[PERRON_VERDICT_FULL] = SOON,
		[PERRON_VERDICT_NOT_JOINED] = SOON,
		[PERRON_VERDICT_DUPLICATE] = SOON,
		[PERRON_VERDICT_CONFLICT] = SOON,
		[PERRON_VERDICT_MALFORMED] = SOON,
		[PERRON_VERDICT_REPLICAS] = SOON,
	},
	[ROW_REFUSED] = {0}, /* IGNORE: final */
};

static enum row row_of(const struct subscription *s)
{
	switch (s->state) {
	case PERRON_SUBSCRIPTION_ASKING:
		return s->starting ? ROW_STARTING : ROW_RESUMING;
	case PERRON_SUBSCRIPTION_ACTIVE:
		return ROW_ACTIVE;
	case PERRON_SUBSCRIPTION_REFUSED:
		return ROW_REFUSED;
	default:
		return ROW_FREE;
	}
}

/* The stream comes from there. */
static void server_take(struct perron_client *c, struct subscription *s, uint64_t now_ns,
			const struct server *from)
{
	/*
	 * Who served it till now is told when it goes on and the new way has had time to reach the
	 * sensor: which keeps nothing, and takes nothing, for nobody.
	 */
	if (s->state == PERRON_SUBSCRIPTION_ACTIVE && s->server.peer != from->peer) {
		s->farewell_due_ns = now_ns + FAREWELL_REQUESTS * c->cfg.request_ns;
		s->moved++;
	}
	s->state = PERRON_SUBSCRIPTION_ACTIVE;
	s->server = *from;
	server_ask(s, from->peer, &from->endpoint);
	s->redirect_count = 0;
	s->hurried = 0;
	s->good_ns = now_ns;
	s->request_due_ns = now_ns + c->cfg.renew_ns;
}

static void grant(struct perron_client *c, struct subscription *s, uint64_t now_ns,
		  const struct perron_subscribe_reply *m, const struct server *from,
		  struct perron_effects *out)
{
	if (s->starting) {
		perron_window_start(&s->window, m->start);
		s->start = m->start;
		s->starting = false;
	}
	server_take(c, s, now_ns, from);
	s->nonce = nonce_next(c);
	s->latency_us_estimate = m->latency_us;
	s->hops = m->hops;
	if (m->start > s->window.expected) {
		perron_window_skip(&s->window, m->start);
		s->ack_now = true;
		window_drain(c, s, now_ns, out);
	}
}

static void asking_begin(struct perron_client *c, struct subscription *s)
{
	s->state = PERRON_SUBSCRIPTION_ASKING;
	s->nonce = nonce_next(c);
	s->hurried = HURRIED_MAX;
	s->unacked = 0;
	s->ack_now = false;
	s->ack_due_ns = UINT64_MAX;
}

/* Whom another portal than the one that serves it names is asked, without giving up the latter. */
static void follow_aside(struct perron_client *c, struct subscription *s, uint64_t now_ns,
			 const struct perron_portal *to, struct perron_effects *out)
{
	if (to->peer == s->server.peer || s->redirect_count == REDIRECT_COUNT_MAX)
		return;
	s->redirect_count++;
	server_ask(s, to->peer, &to->endpoint);
	subscribe_send(c, s, now_ns, out);
}

static void follow(struct perron_client *c, struct subscription *s, uint64_t now_ns,
		   const struct perron_portal *to, const struct server *from,
		   struct perron_effects *out)
{
	bool is_someone = to->peer != 0 && to->endpoint.address != 0;

	if (s->state == PERRON_SUBSCRIPTION_ACTIVE && s->server.peer != from->peer) {
		if (is_someone)
			follow_aside(c, s, now_ns, to, out);
		return;
	}
	if (s->state == PERRON_SUBSCRIPTION_ACTIVE) {
		s->moved++;
		asking_begin(c, s);
	}
	if (is_someone && s->redirect_count < REDIRECT_COUNT_MAX) {
		s->redirect_count++;
		ask(c, s, now_ns, to, out);
		return;
	}
	/* In circles, or to nowhere: wait, and let the next portal say. */
	s->ask_again = false;
	s->request_due_ns = now_ns + patience_ns(c, s);
}

static void unknown(const struct perron_client *c, struct subscription *s, uint64_t now_ns)
{
	if (!s->unknown_since_ns)
		s->unknown_since_ns = now_ns;
	if (now_ns - s->unknown_since_ns >= c->cfg.sure_ns) {
		s->state = PERRON_SUBSCRIPTION_REFUSED;
		return;
	}
	s->ask_again = false;
	s->request_due_ns = now_ns + patience_ns(c, s);
}

static void answer_apply(struct perron_client *c, struct subscription *s, uint64_t now_ns,
			 const struct perron_subscribe_reply *m, const struct server *from,
			 struct perron_effects *out)
{
	switch ((enum answer)answers[row_of(s)][m->verdict]) {
	case IGNORE:
		break;
	case GRANT:
		grant(c, s, now_ns, m, from, out);
		break;
	case FOLLOW:
		follow(c, s, now_ns, &m->redirect, from, out);
		break;
	case SAME:
		s->ask_again = true;
		s->request_due_ns = now_ns + patience_ns(c, s);
		break;
	case OTHER:
		s->ask_again = false;
		s->request_due_ns = now_ns + patience_ns(c, s);
		break;
	case SOON:
		s->request_due_ns = now_ns + patience_ns(c, s);
		break;
	case FINAL:
		s->state = PERRON_SUBSCRIPTION_REFUSED;
		break;
	case SURE:
		unknown(c, s, now_ns);
		break;
	}
	if (m->verdict != PERRON_VERDICT_UNKNOWN_SENSOR)
		s->unknown_since_ns = 0;
	if (m->verdict != PERRON_VERDICT_OK) {
		s->verdict = m->verdict;
		s->replicas = m->replicas;
	}
}

/*
 * Tells a peer that serves what we no longer want, or not from there (`s`), to stop: it would hold
 * frames for our acknowledgement. At most one a request_ns, for each subscription and for all else.
 */
static void stray_answer(struct perron_client *c, struct subscription *s, uint64_t now_ns,
			 const struct server *from, uint8_t class, uint32_t stream,
			 struct perron_effects *out)
{
	uint64_t *due_ns = s ? &s->farewell_due_ns : &c->farewell_due_ns;

	if (now_ns < *due_ns)
		return;
	*due_ns = now_ns + c->cfg.request_ns;
	farewell_send(c, from, class, stream, now_ns, out);
}

/* An answer that nobody waits for. A grant among them is given back. */
static enum perron_drop reply_unasked(struct perron_client *c, struct subscription *s,
				      uint64_t now_ns, const struct perron_subscribe_reply *m,
				      const struct server *from, struct perron_effects *out)
{
	bool is_elsewhere = s && s->state == PERRON_SUBSCRIPTION_ACTIVE &&
			    s->server.peer != from->peer;

	if (m->verdict == PERRON_VERDICT_OK && (!s || is_elsewhere))
		stray_answer(c, s, now_ns, from, m->class, m->stream, out);
	return s ? PERRON_DROP_REPLAY : PERRON_DROP_UNKNOWN_STREAM;
}

static struct subscription *subscription_of_nonce(struct perron_client *c, uint32_t nonce)
{
	for (uint32_t i = 0; i < c->cfg.subscription_count_max; i++) {
		struct subscription *s = &c->subscriptions[i];

		if (s->state != PERRON_SUBSCRIPTION_FREE && s->nonce == nonce)
			return s;
	}
	return NULL;
}

static bool server_is_asked(const struct subscription *s, const struct server *from)
{
	if (s->state == PERRON_SUBSCRIPTION_ACTIVE && s->server.peer == from->peer)
		return true;
	return perron_endpoint_equal(s->asked.endpoint, from->endpoint) &&
	       (s->asked.peer == 0 || s->asked.peer == from->peer);
}

/* Only a refusal need not carry the stream, for its sender may not know it. */
static bool grant_is_sound(const struct subscription *s, const struct perron_subscribe_reply *m)
{
	return m->stream == s->stream && m->class == s->class && m->start > 0 &&
	       m->start <= PERRON_SEQUENCE_MAX;
}

static enum perron_drop reply_take(struct perron_client *c, uint64_t now_ns,
				   const struct perron_header *header,
				   const struct perron_frame *frame, struct perron_effects *out)
{
	struct server from = {header->source, header->source_incarnation, frame->from};
	struct perron_subscribe_reply m;

	if (!perron_subscribe_reply_read(frame->data + PERRON_HEADER_SIZE, header->length, &m))
		return PERRON_DROP_MALFORMED;
	struct subscription *s = subscription_of_nonce(c, m.nonce);
	if (!s) {
		s = subscription_find(c, m.stream, m.class);
		return reply_unasked(c, s, now_ns, &m, &from, out);
	}
	bool is_grant = m.verdict == PERRON_VERDICT_OK;
	if (is_grant && !grant_is_sound(s, &m))
		return PERRON_DROP_MALFORMED;
	enum answer answer = answers[row_of(s)][m.verdict];
	/* A late word of one asked before may still grant or refuse, but not send us about. */
	if (answer != GRANT && answer != FINAL && !server_is_asked(s, &from))
		return PERRON_DROP_REPLAY;
	answer_apply(c, s, now_ns, &m, &from, out);
	return PERRON_DROP_NONE;
}

/* Whether a frame of a stream is from where the subscription gets it. */
static enum perron_drop upstream_permit(struct perron_client *c, struct subscription *s,
					uint64_t now_ns, const struct perron_header *header,
					const struct perron_frame *frame,
					struct perron_effects *out)
{
	struct server from = {header->source, header->source_incarnation, frame->from};

	if (!s || s->state == PERRON_SUBSCRIPTION_REFUSED) {
		stray_answer(c, s, now_ns, &from, header->class, header->stream, out);
		return PERRON_DROP_UNKNOWN_STREAM;
	}
	bool is_active = s->state == PERRON_SUBSCRIPTION_ACTIVE;
	bool is_served = is_active && header->source == s->server.peer;
	bool is_asked = server_is_asked(s, &from);
	if (s->starting || (!is_active && !is_asked))
		return PERRON_DROP_EARLY;
	if (!is_served && !is_asked) {
		stray_answer(c, s, now_ns, &from, header->class, header->stream, out);
		return PERRON_DROP_WRONG_UPSTREAM;
	}
	/* Who was asked serves at once, and its answer takes the longer way. */
	if (!is_served)
		server_take(c, s, now_ns, &from);
	if (header->source_incarnation != s->server.incarnation)
		return PERRON_DROP_INCARNATION;
	if (header->sequence > PERRON_SEQUENCE_MAX)
		return PERRON_DROP_IMPOSSIBLE_SEQUENCE;
	return PERRON_DROP_NONE;
}

static enum perron_drop data_take(struct perron_client *c, struct subscription *s, uint64_t now_ns,
				  const struct perron_header *header,
				  const struct perron_frame *frame, struct perron_effects *out)
{
	uint64_t due_ns = UINT64_MAX;

	if (header->deadline_us)
		due_ns = header->origin_ns + header->deadline_us * 1000ull;
	switch (perron_window_place(&s->window, header->sequence)) {
	case PERRON_WINDOW_SEEN:
		s->duplicates++;
		s->ack_now = true;
		return PERRON_DROP_DUPLICATE;
	case PERRON_WINDOW_BEYOND:
		return PERRON_DROP_WINDOW;
	case PERRON_WINDOW_AHEAD:
		perron_effects_hold(out, frame->handle);
		if (perron_window_hold(&s->window, header->sequence, frame->handle, due_ns))
			s->ack_now = true;
		break;
	case PERRON_WINDOW_NEXT:
		perron_effects_deliver(out, frame->handle, (uint32_t)(s - c->subscriptions));
		perron_window_pass(&s->window);
		frame_count(c, s, now_ns, due_ns);
		break;
	}
	frame_unacked(c, s, now_ns);
	window_drain(c, s, now_ns, out);
	return PERRON_DROP_NONE;
}

static enum perron_drop gap_take(struct perron_client *c, struct subscription *s, uint64_t now_ns,
				 const struct perron_header *header, struct perron_effects *out)
{
	perron_window_skip(&s->window, header->sequence);
	s->ack_now = true;
	window_drain(c, s, now_ns, out);
	return PERRON_DROP_NONE;
}

static enum perron_drop stream_take(struct perron_client *c, uint64_t now_ns,
				    const struct perron_header *header,
				    const struct perron_frame *frame, struct perron_effects *out)
{
	struct subscription *s = subscription_find(c, header->stream, header->class);
	enum perron_drop cause = upstream_permit(c, s, now_ns, header, frame, out);

	if (cause != PERRON_DROP_NONE)
		return cause;
	if (header->type == PERRON_TYPE_GAP)
		cause = gap_take(c, s, now_ns, header, out);
	else
		cause = data_take(c, s, now_ns, header, frame, out);
	/* A frame that was seen before may be anybody's echo of who is gone. */
	if (cause != PERRON_DROP_NONE)
		return cause;
	s->good_ns = now_ns;
	if (header->type == PERRON_TYPE_DATA)
		perron_silence_heard(&s->silence, now_ns, c->cfg.overdue_ns, c->cfg.renew_ns);
	return PERRON_DROP_NONE;
}

/* The wire: whole, ours, by the access point of its class. */
static enum perron_drop frame_validate(const struct perron_client *c,
				       const struct perron_frame *frame,
				       struct perron_header *header)
{
	enum perron_drop cause = perron_frame_decode(frame->data, frame->length, header);

	if (cause != PERRON_DROP_NONE)
		return cause;
	bool is_stream = header->type == PERRON_TYPE_DATA || header->type == PERRON_TYPE_GAP;
	if (!is_stream && header->type != PERRON_TYPE_SUBSCRIBE_REPLY)
		return PERRON_DROP_TYPE;
	if (header->class != frame->class || is_stream != (header->class <= PERRON_CLASS_NORMAL))
		return PERRON_DROP_CLASS;
	if (header->overlay != c->cfg.overlay)
		return PERRON_DROP_OVERLAY;
	if (header->destination != c->cfg.id)
		return PERRON_DROP_DESTINATION;
	if (header->destination_incarnation != c->cfg.incarnation)
		return PERRON_DROP_INCARNATION;
	/* Only peers speak to clients. */
	if (header->source == 0 || (header->source & PERRON_CLIENT_ID))
		return PERRON_DROP_STRANGER;
	return PERRON_DROP_NONE;
}

static enum perron_drop frame_take(struct perron_client *c, uint64_t now_ns,
				   const struct perron_frame *frame, struct perron_effects *out)
{
	struct perron_header header;
	enum perron_drop cause = frame_validate(c, frame, &header);

	if (cause != PERRON_DROP_NONE)
		return cause;
	if (header.type == PERRON_TYPE_SUBSCRIBE_REPLY)
		return reply_take(c, now_ns, &header, frame, out);
	return stream_take(c, now_ns, &header, frame, out);
}

static void acks_send(struct perron_client *c, uint64_t now_ns, struct perron_effects *out)
{
	for (uint32_t i = 0; i < c->cfg.subscription_count_max; i++) {
		struct subscription *s = &c->subscriptions[i];

		if (s->state == PERRON_SUBSCRIPTION_ACTIVE &&
		    (s->ack_now || s->ack_due_ns <= now_ns))
			ack_send(c, s, now_ns, out);
	}
}

void perron_client_input(struct perron_client *c, uint64_t now_ns, const struct perron_frame *in,
			 uint32_t in_count, struct perron_effects *out)
{
	PERRON_ASSERT(in_count <= PERRON_BURST_MAX);
	PERRON_ASSERT(effects_have_room(out, EFFECTS_KEPT));
	for (uint32_t i = 0; i < in_count; i++) {
		enum perron_drop cause = frame_take(c, now_ns, &in[i], out);

		if (cause != PERRON_DROP_NONE)
			c->drops[cause]++;
	}
	acks_send(c, now_ns, out);
}

static void asking_tick(struct perron_client *c, struct subscription *s, uint64_t now_ns,
			struct perron_effects *out)
{
	if (now_ns < s->request_due_ns)
		return;
	if (s->ask_again && now_ns - s->asked_since_ns < c->cfg.lost_ns) {
		/* If this one stays unanswered, the next portal is asked. */
		s->ask_again = false;
		s->request_due_ns = now_ns + patience_ns(c, s);
		subscribe_send(c, s, now_ns, out);
		return;
	}
	ask_next(c, s, now_ns, out);
}

/* The portal after the one asked last that does not serve it already; NULL: there is none. */
static const struct perron_portal *portal_beside(struct perron_client *c, struct subscription *s)
{
	for (uint32_t i = 0; i < c->cfg.portal_count; i++) {
		const struct perron_portal *portal = &c->cfg.portal[s->portal_index];
		s->portal_index = (s->portal_index + 1) % c->cfg.portal_count;
		if (!server_is_portal(&s->server, portal))
			return portal;
	}
	return NULL;
}

static void overdue(struct perron_client *c, struct subscription *s, uint64_t now_ns,
		    struct perron_effects *out)
{
	const struct perron_portal *beside = portal_beside(c, s);

	perron_silence_asked(&s->silence, now_ns, c->cfg.overdue_ns);
	s->redirect_count = 0;
	server_ask(s, s->server.peer, &s->server.endpoint);
	subscribe_send(c, s, now_ns, out);
	if (!beside)
		return;
	server_ask(s, beside->peer, &beside->endpoint);
	subscribe_send(c, s, now_ns, out);
}

static void active_tick(struct perron_client *c, struct subscription *s, uint64_t now_ns,
			struct perron_effects *out)
{
	if (now_ns >= s->good_ns + c->cfg.lost_ns) {
		farewell_send(c, &s->server, s->class, s->stream, now_ns, out);
		s->moved++;
		asking_begin(c, s);
		ask_next(c, s, now_ns, out);
		return;
	}
	if (now_ns >= s->silence.due_ns)
		overdue(c, s, now_ns, out);
	if (now_ns >= s->request_due_ns) {
		s->request_due_ns = now_ns + c->cfg.renew_ns;
		server_ask(s, s->server.peer, &s->server.endpoint);
		subscribe_send(c, s, now_ns, out);
	}
}

void perron_client_tick(struct perron_client *c, uint64_t now_ns, struct perron_effects *out)
{
	PERRON_ASSERT(effects_have_room(out, EFFECTS_KEPT));
	for (uint32_t i = 0; i < c->cfg.subscription_count_max; i++) {
		struct subscription *s = &c->subscriptions[i];

		if (s->state == PERRON_SUBSCRIPTION_FREE) {
			subscription_empty(s, out);
			continue;
		}
		window_drain(c, s, now_ns, out);
		if (s->state == PERRON_SUBSCRIPTION_ASKING)
			asking_tick(c, s, now_ns, out);
		else if (s->state == PERRON_SUBSCRIPTION_ACTIVE)
			active_tick(c, s, now_ns, out);
	}
	acks_send(c, now_ns, out);
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t subscription_deadline_ns(const struct perron_client *c,
					 const struct subscription *s)
{
	switch (s->state) {
	case PERRON_SUBSCRIPTION_FREE:
		return s->window.held_count ? 0 : UINT64_MAX;
	case PERRON_SUBSCRIPTION_ASKING:
		return perron_window_is_ready(&s->window) ? 0 : s->request_due_ns;
	case PERRON_SUBSCRIPTION_ACTIVE:
		if (s->ack_now || perron_window_is_ready(&s->window))
			return 0;
		return min64(min64(s->request_due_ns, s->ack_due_ns),
			     min64(s->silence.due_ns, s->good_ns + c->cfg.lost_ns));
	default:
		return UINT64_MAX;
	}
}

uint64_t perron_client_deadline_ns(const struct perron_client *c)
{
	uint64_t deadline_ns = UINT64_MAX;

	for (uint32_t i = 0; i < c->cfg.subscription_count_max; i++)
		deadline_ns = min64(deadline_ns,
				    subscription_deadline_ns(c, &c->subscriptions[i]));
	return deadline_ns;
}

void perron_client_info(const struct perron_client *c, uint32_t index,
			struct perron_subscription_info *out)
{
	PERRON_ASSERT(index < c->cfg.subscription_count_max);
	const struct subscription *s = &c->subscriptions[index];

	*out = (struct perron_subscription_info){
		.state = s->state,
		.class = s->class,
		.verdict = s->verdict,
		.starting = s->starting,
		.stream = s->stream,
		.latency_us = s->latency_us,
		.latency_us_estimate = s->latency_us_estimate,
		.qos = s->qos,
		.replicas = s->replicas,
		.hops = s->hops,
		.peer = s->server.peer,
		.start = s->start,
		.expected = s->window.expected,
		.delivered = s->delivered,
		.duplicates = s->duplicates,
		.lost = s->window.lost,
		.restarts = s->window.restarts,
		.renumbered = s->window.renumbered,
		.late = s->late,
		.moved = s->moved,
	};
}

const uint64_t *perron_client_drops(const struct perron_client *c)
{
	return c->drops;
}

static void subscription_check(const struct perron_client *c, const struct subscription *s)
{
	perron_window_check(&s->window);
	if (s->state == PERRON_SUBSCRIPTION_FREE)
		return;
	PERRON_ASSERT(s->state <= PERRON_SUBSCRIPTION_REFUSED);
	PERRON_ASSERT(s->class <= PERRON_CLASS_NORMAL);
	PERRON_ASSERT(perron_sensor_name_is_valid(s->name));
	PERRON_ASSERT(s->stream == perron_stream_id(s->name));
	PERRON_ASSERT(s->nonce != 0 && s->portal_index < c->cfg.portal_count);
	PERRON_ASSERT(s->redirect_count <= REDIRECT_COUNT_MAX);
	PERRON_ASSERT(s->state != PERRON_SUBSCRIPTION_ACTIVE || !s->starting);
	PERRON_ASSERT(s->state != PERRON_SUBSCRIPTION_REFUSED || s->starting);
	PERRON_ASSERT(s->state != PERRON_SUBSCRIPTION_ACTIVE || s->server.peer != 0);
	PERRON_ASSERT((s->unacked > 0) == (s->ack_due_ns != UINT64_MAX));
	PERRON_ASSERT(s->unacked < c->cfg.ack_frames || s->ack_now);
	if (s->starting) {
		PERRON_ASSERT(s->window.held_count == 0 && s->delivered == 0);
		return;
	}
	/* Each sequence since the start was delivered once, or counted as passed over. */
	PERRON_ASSERT(s->start > 0);
	PERRON_ASSERT(s->delivered + s->window.lost + s->window.renumbered ==
		      s->window.expected - s->start);
}

void perron_client_check(const struct perron_client *c)
{
	uint64_t duplicates = 0;

	for (uint32_t i = 0; i < c->cfg.subscription_count_max; i++) {
		const struct subscription *s = &c->subscriptions[i];

		subscription_check(c, s);
		duplicates += s->duplicates;
		for (uint32_t j = 0; j < i; j++) {
			const struct subscription *t = &c->subscriptions[j];

			PERRON_ASSERT(s->state == PERRON_SUBSCRIPTION_FREE ||
				      t->state == PERRON_SUBSCRIPTION_FREE ||
				      s->stream != t->stream || s->class != t->class);
		}
	}
	PERRON_ASSERT(duplicates <= c->drops[PERRON_DROP_DUPLICATE]);
}
