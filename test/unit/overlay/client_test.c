/*
 * The client, driven by frames made by hand: one test a rule, then a model that loses, repeats and
 * mixes up frames. `world` is the host: it applies effects, counts holds, and notes what was sent.
 */
#include "test/unit/support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "overlay/client.h"
#include "overlay/control.h"

#define MS             1000000ull
#define CLIENT         (PERRON_CLIENT_ID | 5)
#define OVERLAY        9
#define SENSOR         "line1/axle"
#define FRAME_COUNT    8192
#define SENT_COUNT_MAX 512

struct sent {
	struct perron_header header;
	struct perron_endpoint to;
	uint8_t class;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
};

struct world {
	struct perron_client *client;
	struct perron_client_config cfg;
	uint64_t now_ns;
	struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
	uint8_t arena[PERRON_EFFECT_ARENA_SIZE];
	struct perron_effects effects;
	int32_t holds[FRAME_COUNT];       /* by handle */
	uint64_t sequences[FRAME_COUNT];  /* by handle */
	uint64_t next_handle;
	uint64_t delivered[4 * FRAME_COUNT]; /* sequences, in order */
	uint32_t delivered_count;
	uint32_t delivered_to;
	struct sent sent[SENT_COUNT_MAX];
	uint32_t sent_count;
};

static const struct perron_portal portals[] = {
	{.peer = 1, .endpoint = {0x0a000001, 7400}},
	{.peer = 2, .endpoint = {0x0a000002, 7400}},
	{.peer = 3, .endpoint = {0x0a000003, 7500}},
};

static void effects_apply(struct world *w)
{
	for (uint32_t i = 0; i < w->effects.count; i++) {
		const struct perron_effect *e = &w->effects.items[i];

		switch (e->kind) {
		case PERRON_EFFECT_SEND: {
			assert_true(w->sent_count < SENT_COUNT_MAX);
			struct sent *sent = &w->sent[w->sent_count++];

			assert_int_equal(perron_frame_decode(e->data, e->size, &sent->header), 0);
			memcpy(sent->payload, e->data + PERRON_HEADER_SIZE, sent->header.length);
			sent->to = e->to;
			sent->class = e->class;
			break;
		}
		case PERRON_EFFECT_HOLD:
			w->holds[e->handle % FRAME_COUNT]++;
			break;
		case PERRON_EFFECT_RELEASE:
			assert_int_equal(w->holds[e->handle % FRAME_COUNT]--, 1);
			break;
		case PERRON_EFFECT_DELIVER:
			w->delivered[w->delivered_count++] =
				w->sequences[e->handle % FRAME_COUNT];
			w->delivered_to = e->size;
			break;
		default:
			fail_msg("effect %u is none of a client's", e->kind);
		}
	}
	assert_int_equal(w->effects.dropped, 0);
	perron_effects_reset(&w->effects);
	perron_client_check(w->client);
}

static void tick(struct world *w)
{
	perron_client_tick(w->client, w->now_ns, &w->effects);
	effects_apply(w);
}

/* Lets the time go on, with a tick whenever one is due. */
static void pass(struct world *w, uint64_t ns)
{
	uint64_t until_ns = w->now_ns + ns;

	for (;;) {
		uint64_t due_ns = perron_client_deadline_ns(w->client);

		if (due_ns > until_ns)
			break;
		if (due_ns > w->now_ns)
			w->now_ns = due_ns;
		tick(w);
		assert_true(perron_client_deadline_ns(w->client) > w->now_ns ||
			    w->effects.count == 0);
	}
	w->now_ns = until_ns;
}

static void frames_give(struct world *w, struct perron_frame *frames, uint32_t count)
{
	perron_client_input(w->client, w->now_ns, frames, count, &w->effects);
	effects_apply(w);
}

static struct perron_header header_from(uint32_t peer, uint8_t type, uint8_t class)
{
	return (struct perron_header){
		.type = type,
		.class = class,
		.fragment_count = 1,
		.overlay = OVERLAY,
		.source = peer,
		.source_incarnation = 100 + peer,
		.destination = CLIENT,
		.destination_incarnation = 77,
	};
}

/* Frames of a peer come from its portal's endpoint. */
static struct perron_frame frame_of(struct world *w, uint8_t *data,
				    const struct perron_header *header)
{
	struct perron_frame frame = {.data = data, .class = header->class};

	frame.length = perron_frame_encode(data, header);
	if (header->source >= 1 && header->source <= 3)
		frame.from = portals[header->source - 1].endpoint;
	else
		frame.from = (struct perron_endpoint){0x0a000000 | header->source, 7400};
	frame.handle = w->next_handle++;
	w->sequences[frame.handle % FRAME_COUNT] = header->sequence;
	return frame;
}

static void header_give(struct world *w, const struct perron_header *header)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX] = {0};
	struct perron_frame frame = frame_of(w, data, header);

	frames_give(w, &frame, 1);
}

static struct perron_header data_header(uint32_t peer, uint64_t sequence)
{
	struct perron_header header = header_from(peer, PERRON_TYPE_DATA, PERRON_CLASS_ALARM);

	header.stream = perron_stream_id(SENSOR);
	header.sequence = sequence;
	header.length = 10;
	return header;
}

static void data_give(struct world *w, uint32_t peer, uint64_t sequence)
{
	struct perron_header header = data_header(peer, sequence);

	header_give(w, &header);
}

static void gap_give(struct world *w, uint32_t peer, uint64_t floor)
{
	struct perron_header header = data_header(peer, floor);

	header.type = PERRON_TYPE_GAP;
	header.length = 0;
	header_give(w, &header);
}

static void reply_give(struct world *w, uint32_t peer, const struct perron_subscribe_reply *m)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header header =
		header_from(peer, PERRON_TYPE_SUBSCRIBE_REPLY, PERRON_CLASS_OVERLAY);

	header.length = (uint16_t)perron_subscribe_reply_write(data + PERRON_HEADER_SIZE, m);
	struct perron_frame frame = frame_of(w, data, &header);
	frames_give(w, &frame, 1);
}

static struct sent *sent_last(struct world *w)
{
	assert_true(w->sent_count > 0);
	return &w->sent[w->sent_count - 1];
}

/* The request sent last; it must have gone to `peer`. */
static struct perron_subscribe request_to(struct world *w, uint32_t peer)
{
	struct sent *sent = sent_last(w);
	struct perron_subscribe m;

	assert_int_equal(sent->header.type, PERRON_TYPE_SUBSCRIBE);
	assert_int_equal(sent->header.class, PERRON_CLASS_OVERLAY);
	assert_int_equal(sent->class, PERRON_CLASS_OVERLAY);
	assert_int_equal(sent->header.source, CLIENT);
	assert_int_equal(sent->header.source_incarnation, 77);
	assert_int_equal(sent->header.destination, peer);
	assert_int_equal(sent->header.destination_incarnation, 0);
	assert_int_equal(sent->header.link_sequence, 0);
	assert_int_equal(sent->header.overlay, OVERLAY);
	assert_true(perron_subscribe_read(sent->payload, sent->header.length, &m));
	assert_string_equal(m.name, SENSOR);
	return m;
}

static void answer(struct world *w, uint32_t peer, uint32_t nonce, uint8_t verdict, uint64_t start)
{
	struct perron_subscribe_reply m = {
		.nonce = nonce,
		.verdict = verdict,
		.class = PERRON_CLASS_ALARM,
		.stream = perron_stream_id(SENSOR),
		.start = start,
		.latency_us = 321,
		.hops = 3,
	};

	reply_give(w, peer, &m);
}

static struct perron_subscription_info info(struct world *w)
{
	struct perron_subscription_info out;

	perron_client_info(w->client, 0, &out);
	return out;
}

static uint64_t drop(struct world *w, enum perron_drop cause)
{
	return perron_client_drops(w->client)[cause];
}

static int subscribe(struct world *w)
{
	int index = perron_client_subscribe(w->client, w->now_ns, SENSOR, PERRON_CLASS_ALARM,
					    20000, NULL, &w->effects);

	effects_apply(w);
	return index;
}

/* A subscription that peer 1 serves from `start` on; nothing noted as sent. */
static void activate(struct world *w, uint64_t start)
{
	assert_int_equal(subscribe(w), 0);
	answer(w, 1, request_to(w, 1).nonce, PERRON_VERDICT_OK, start);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ACTIVE);
	w->sent_count = 0;
}

static void delivered_are(struct world *w, uint64_t first, uint32_t count)
{
	assert_int_equal(w->delivered_count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(w->delivered[i], first + i);
}

/* The acknowledgement sent last. */
static void ack_is(struct world *w, uint64_t cumulative, uint64_t bitmap)
{
	struct sent *sent = sent_last(w);

	assert_int_equal(sent->header.type, PERRON_TYPE_ACK);
	assert_int_equal(sent->header.class, PERRON_CLASS_ALARM);
	assert_int_equal(sent->class, PERRON_CLASS_ALARM);
	assert_int_equal(sent->header.stream, perron_stream_id(SENSOR));
	assert_int_equal(sent->header.sequence, cumulative);
	assert_int_equal(sent->header.length, PERRON_ACK_SIZE);
	assert_int_equal(perron_load64(sent->payload), bitmap);
}

static int world_new(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	perron_client_config_default(&w->cfg);
	w->cfg.id = CLIENT;
	w->cfg.incarnation = 77;
	w->cfg.overlay = OVERLAY;
	w->cfg.subscription_count_max = 2;
	w->cfg.window = 128;
	w->cfg.portal_count = 3;
	memcpy(w->cfg.portal, portals, sizeof(portals));
	w->now_ns = 1000 * MS;
	w->client = calloc(1, perron_client_size(&w->cfg));
	w->effects = (struct perron_effects){.items = w->items,
					     .capacity = PERRON_EFFECT_COUNT_MAX,
					     .arena = w->arena,
					     .arena_size = PERRON_EFFECT_ARENA_SIZE};
	assert_int_equal(perron_client_init(w->client, &w->cfg, w->now_ns), 0);
	*state = w;
	return 0;
}

static int world_free(void **state)
{
	struct world *w = *state;
	int held = 0;

	for (uint32_t i = 0; i < FRAME_COUNT; i++)
		held += w->holds[i];
	/* What is still held, the window still has; unsubscribing gives it back. */
	for (uint32_t i = 0; i < w->cfg.subscription_count_max; i++)
		perron_client_unsubscribe(w->client, w->now_ns, i, &w->effects);
	effects_apply(w);
	for (uint32_t i = 0; i < FRAME_COUNT; i++)
		assert_int_equal(w->holds[i], 0);
	assert_true(held <= 2 * (int)w->cfg.window);
	free(w->client);
	free(w);
	return 0;
}

static void test_asks_portals_in_turn_until_answered(void **state)
{
	struct world *w = *state;

	assert_int_equal(subscribe(w), 0);
	struct perron_subscribe m = request_to(w, 1);
	assert_int_equal(m.resume, 0);
	assert_int_equal(m.latency_us, 20000);
	assert_int_equal(m.class, PERRON_CLASS_ALARM);
	for (uint32_t i = 1; i < 7; i++) {
		pass(w, w->cfg.request_ns - 1);
		assert_int_equal(w->sent_count, i);
		pass(w, 1);
		assert_int_equal(w->sent_count, i + 1);
		assert_int_equal(request_to(w, 1 + i % 3).resume, 0);
	}
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ASKING);
	assert_true(info(w).starting);
}

static void test_is_granted(void **state)
{
	struct world *w = *state;

	activate(w, 500);
	assert_int_equal(info(w).peer, 1);
	assert_int_equal(info(w).start, 500);
	assert_int_equal(info(w).expected, 500);
	assert_int_equal(info(w).latency_us_estimate, 321);
	assert_int_equal(info(w).hops, 3);
	assert_false(info(w).starting);
}

static void test_knows_one_subscription_a_stream_and_class(void **state)
{
	struct world *w = *state;

	assert_int_equal(subscribe(w), 0);
	assert_int_equal(subscribe(w), -EEXIST);
	assert_int_equal(perron_client_subscribe(w->client, w->now_ns, SENSOR,
						 PERRON_CLASS_NORMAL, 0, NULL, &w->effects), 1);
	assert_int_equal(perron_client_subscribe(w->client, w->now_ns, "other",
						 PERRON_CLASS_NORMAL, 0, NULL,
						 &w->effects), -ENOSPC);
	assert_int_equal(perron_client_subscribe(w->client, w->now_ns, "no good",
						 PERRON_CLASS_NORMAL, 0, NULL,
						 &w->effects), -EINVAL);
	assert_int_equal(perron_client_subscribe(w->client, w->now_ns, "other",
						 PERRON_CLASS_OVERLAY, 0, NULL,
						 &w->effects), -EINVAL);
	effects_apply(w);
	perron_client_unsubscribe(w->client, w->now_ns, 0, &w->effects);
	effects_apply(w);
	assert_int_equal(subscribe(w), 0);
}

static void test_believes_only_its_own_nonce(void **state)
{
	struct world *w = *state;

	assert_int_equal(subscribe(w), 0);
	uint32_t nonce = request_to(w, 1).nonce;
	answer(w, 1, nonce + 2, PERRON_VERDICT_OK, 500);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ASKING);
	assert_int_equal(drop(w, PERRON_DROP_REPLAY), 1);
	answer(w, 1, nonce, PERRON_VERDICT_OK, 500);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ACTIVE);
	answer(w, 1, nonce, PERRON_VERDICT_OK, 900);
	assert_int_equal(info(w).expected, 500);
	assert_int_equal(drop(w, PERRON_DROP_REPLAY), 2);
}

static void test_refuses_a_grant_that_is_not_sound(void **state)
{
	struct world *w = *state;
	struct perron_subscribe_reply m = {.verdict = PERRON_VERDICT_OK, .start = 5};

	assert_int_equal(subscribe(w), 0);
	m.nonce = request_to(w, 1).nonce;
	m.stream = 1;
	reply_give(w, 1, &m);
	m.stream = perron_stream_id(SENSOR);
	m.class = PERRON_CLASS_NORMAL;
	reply_give(w, 1, &m);
	m.class = PERRON_CLASS_ALARM;
	m.start = 0;
	reply_give(w, 1, &m);
	m.start = UINT64_MAX;
	reply_give(w, 1, &m);
	assert_int_equal(drop(w, PERRON_DROP_MALFORMED), 4);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ASKING);
	m.start = 5;
	reply_give(w, 1, &m);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ACTIVE);
}

static void redirect_give(struct world *w, uint32_t from, uint32_t to)
{
	struct perron_subscribe_reply m = {
		.verdict = PERRON_VERDICT_REDIRECT,
		.redirect = {.peer = to, .endpoint = {0x0a000000 | to, 7400}},
	};

	m.nonce = request_to(w, from).nonce;
	reply_give(w, from, &m);
}

static void test_follows_four_redirects_in_a_row(void **state)
{
	struct world *w = *state;

	assert_int_equal(subscribe(w), 0);
	redirect_give(w, 1, 41);
	redirect_give(w, 41, 42);
	redirect_give(w, 42, 43);
	redirect_give(w, 43, 44);
	assert_int_equal(w->sent_count, 5);
	assert_int_equal(sent_last(w)->to.address, 0x0a000000 | 44);
	redirect_give(w, 44, 45);
	assert_int_equal(w->sent_count, 5); /* in circles: wait */
	pass(w, w->cfg.request_ns);
	(void)request_to(w, 2);
	redirect_give(w, 2, 46);
	answer(w, 46, request_to(w, 46).nonce, PERRON_VERDICT_OK, 7);
	assert_int_equal(info(w).peer, 46);
	data_give(w, 46, 7);
	delivered_are(w, 7, 1);
}

static void test_waits_where_it_is_told_to_wait(void **state)
{
	struct world *w = *state;

	assert_int_equal(subscribe(w), 0);
	for (uint32_t i = 1; i < 5; i++) {
		answer(w, 1, request_to(w, 1).nonce, PERRON_VERDICT_WAIT, 0);
		pass(w, w->cfg.request_ns);
		assert_int_equal(w->sent_count, i + 1);
	}
	assert_int_equal(info(w).verdict, PERRON_VERDICT_WAIT);
	answer(w, 1, request_to(w, 1).nonce, PERRON_VERDICT_OK, 3);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ACTIVE);
}

static void test_does_not_wait_at_one_portal_for_ever(void **state)
{
	struct world *w = *state;

	assert_int_equal(subscribe(w), 0);
	for (uint32_t i = 0; i < 100 && sent_last(w)->header.destination == 1; i++) {
		answer(w, 1, request_to(w, 1).nonce, PERRON_VERDICT_WAIT, 0);
		pass(w, w->cfg.request_ns);
	}
	(void)request_to(w, 2);
}

static void test_asks_another_where_a_station_has_not_joined(void **state)
{
	struct world *w = *state;

	assert_int_equal(subscribe(w), 0);
	answer(w, 1, request_to(w, 1).nonce, PERRON_VERDICT_NOT_JOINED, 0);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ASKING);
	pass(w, w->cfg.request_ns);
	(void)request_to(w, 2);
	assert_int_equal(info(w).verdict, PERRON_VERDICT_NOT_JOINED);
}

static void test_an_unknown_sensor_is_asked_for_until_it_is_sure(void **state)
{
	struct world *w = *state;
	uint32_t portal = 1;

	assert_int_equal(subscribe(w), 0);
	for (uint64_t asked = 0; asked < w->cfg.sure_ns; asked += w->cfg.request_ns) {
		answer(w, portal, request_to(w, portal).nonce, PERRON_VERDICT_UNKNOWN_SENSOR, 0);
		assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ASKING);
		w->sent_count = 0;
		pass(w, w->cfg.request_ns);
		portal = portal % 3 + 1;
	}
	answer(w, portal, request_to(w, portal).nonce, PERRON_VERDICT_UNKNOWN_SENSOR, 0);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_REFUSED);
}

static void test_is_refused_for_good_before_it_ever_stood(void **state)
{
	struct world *w = *state;
	static const uint8_t final[] = {PERRON_VERDICT_LATENCY, PERRON_VERDICT_FULL,
					PERRON_VERDICT_MALFORMED};

	for (uint32_t i = 0; i < sizeof(final); i++) {
		w->sent_count = 0;
		assert_int_equal(subscribe(w), 0);
		answer(w, 1, request_to(w, 1).nonce, final[i], 0);
		assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_REFUSED);
		assert_int_equal(info(w).verdict, final[i]);
		pass(w, 5000 * MS);
		assert_int_equal(w->sent_count, 1);
		perron_client_unsubscribe(w->client, w->now_ns, 0, &w->effects);
		effects_apply(w);
	}
}

static void test_keeps_asking_once_it_stood(void **state)
{
	struct world *w = *state;

	activate(w, 500);
	pass(w, w->cfg.lost_ns);
	for (uint32_t i = 0; i < 30; i++) {
		struct sent *sent = sent_last(w);

		assert_int_equal(sent->header.type, PERRON_TYPE_SUBSCRIBE);
		answer(w, sent->header.destination,
		       request_to(w, sent->header.destination).nonce,
		       i % 2 ? PERRON_VERDICT_UNKNOWN_SENSOR : PERRON_VERDICT_FULL, 0);
		pass(w, w->cfg.request_ns);
		assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ASKING);
	}
	answer(w, sent_last(w)->header.destination,
	       request_to(w, sent_last(w)->header.destination).nonce, PERRON_VERDICT_OK, 500);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ACTIVE);
}

static void test_stands_while_frames_come_whatever_renewals_say(void **state)
{
	struct world *w = *state;

	activate(w, 1);
	for (uint64_t i = 1; i <= 40; i++) {
		data_give(w, 1, i);
		pass(w, w->cfg.request_ns);
		if (sent_last(w)->header.type == PERRON_TYPE_SUBSCRIBE)
			answer(w, 1, request_to(w, 1).nonce, PERRON_VERDICT_NOT_JOINED, 0);
		assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ACTIVE);
	}
	pass(w, w->cfg.lost_ns);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ASKING);
}

static void test_renews_with_the_sequence_it_expects(void **state)
{
	struct world *w = *state;

	activate(w, 500);
	data_give(w, 1, 500);
	pass(w, w->cfg.renew_ns);
	struct perron_subscribe m = request_to(w, 1);
	assert_int_equal(m.resume, 501);
	answer(w, 1, m.nonce, PERRON_VERDICT_OK, 501);
	w->sent_count = 0;
	pass(w, w->cfg.renew_ns - 1);
	assert_int_equal(w->sent_count, 0);
	pass(w, 1);
	assert_int_equal(request_to(w, 1).resume, 501);
	assert_int_equal(info(w).lost, 0);
	assert_int_equal(info(w).moved, 0);
}

static void test_moves_on_from_a_lost_peer_and_resumes(void **state)
{
	struct world *w = *state;

	activate(w, 500);
	data_give(w, 1, 500);
	data_give(w, 1, 502); /* waits for 501 */
	pass(w, w->cfg.lost_ns);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ASKING);
	assert_int_equal(info(w).moved, 1);
	assert_int_equal(w->sent[w->sent_count - 2].header.type, PERRON_TYPE_UNSUBSCRIBE);
	assert_int_equal(w->sent[w->sent_count - 2].header.destination, 1);
	struct perron_subscribe m = request_to(w, 2);
	assert_int_equal(m.resume, 501);
	data_give(w, 1, 501);
	assert_int_equal(drop(w, PERRON_DROP_EARLY), 1);
	answer(w, 2, m.nonce, PERRON_VERDICT_OK, 501);
	assert_int_equal(info(w).peer, 2);
	data_give(w, 2, 501);
	data_give(w, 2, 502);
	data_give(w, 2, 503);
	delivered_are(w, 500, 4);
	assert_int_equal(info(w).duplicates, 1);
	assert_int_equal(info(w).lost, 0);
}

static void test_does_not_ask_the_lost_one_again(void **state)
{
	struct world *w = *state;
	struct perron_subscribe_reply m = {.verdict = PERRON_VERDICT_REDIRECT,
					   .redirect = portals[1]};

	assert_int_equal(subscribe(w), 0);
	m.nonce = request_to(w, 1).nonce;
	reply_give(w, 1, &m);
	answer(w, 2, request_to(w, 2).nonce, PERRON_VERDICT_OK, 500);
	pass(w, w->cfg.lost_ns);
	(void)request_to(w, 3); /* though it was 2's turn */
}

static void test_data_is_a_sign_of_life(void **state)
{
	struct world *w = *state;

	activate(w, 1);
	for (uint64_t i = 1; i <= 50; i++) {
		data_give(w, 1, i);
		pass(w, w->cfg.request_ns);
	}
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ACTIVE);
	assert_int_equal(info(w).moved, 0);
}

/* A stream of a frame a millisecond, of which the last was `last`; then nothing for a while. */
static void fall_silent(struct world *w, uint64_t last)
{
	activate(w, 1);
	for (uint64_t i = 1; i <= last; i++) {
		data_give(w, 1, i);
		pass(w, MS);
	}
	w->sent_count = 0;
	pass(w, w->cfg.overdue_ns - MS);
	assert_int_equal(w->sent[0].to.address, portals[0].endpoint.address);
	assert_int_equal(w->sent[1].to.address, portals[1].endpoint.address);
}

static void test_asks_its_peer_and_another_when_a_stream_is_silent(void **state)
{
	struct world *w = *state;

	fall_silent(w, 600);
	struct perron_subscribe m = request_to(w, 2);
	assert_int_equal(m.resume, 601);
	/* The other does not know better: all stays as it is. */
	redirect_give(w, 2, 1);
	assert_int_equal(w->sent_count, 2);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ACTIVE);
	pass(w, w->cfg.overdue_ns);
	assert_int_equal(w->sent_count, 4);
	assert_int_equal(w->sent[3].to.address, portals[2].endpoint.address);
	/* What comes late is not lost for it. */
	data_give(w, 1, 601);
	delivered_are(w, 1, 601);
	assert_int_equal(info(w).moved, 0);
}

static void test_who_grants_a_silent_stream_serves_it(void **state)
{
	struct world *w = *state;

	fall_silent(w, 600);
	redirect_give(w, 2, 9);
	answer(w, 9, request_to(w, 9).nonce, PERRON_VERDICT_OK, 601);
	assert_int_equal(info(w).peer, 9);
	assert_int_equal(info(w).moved, 1);
	data_give(w, 9, 601);
	delivered_are(w, 1, 601);
	/* Who served it before is told when it goes on, and the new way has had time to open. */
	uint32_t sent = w->sent_count;
	data_give(w, 1, 602);
	assert_int_equal(w->sent_count, sent);
	pass(w, 3 * w->cfg.request_ns);
	data_give(w, 1, 602);
	assert_int_equal(sent_last(w)->header.type, PERRON_TYPE_UNSUBSCRIBE);
	assert_int_equal(sent_last(w)->header.destination, 1);
}

/* Its frames come by the fast path, its answer by housekeeping. */
static void test_whom_it_asked_may_serve_before_it_answers(void **state)
{
	struct world *w = *state;

	fall_silent(w, 600);
	data_give(w, 2, 601);
	delivered_are(w, 1, 601);
	assert_int_equal(info(w).peer, 2);
	assert_int_equal(info(w).moved, 1);
	answer(w, 2, request_to(w, 2).nonce, PERRON_VERDICT_OK, 601);
	assert_int_equal(info(w).moved, 1);
	/* Not so whom it did not ask. */
	data_give(w, 9, 602);
	assert_int_equal(info(w).peer, 2);
}

static void test_asks_soon_again_when_its_peer_sends_it_on(void **state)
{
	struct world *w = *state;

	fall_silent(w, 600);
	struct perron_subscribe_reply m = {.nonce = request_to(w, 2).nonce,
					   .verdict = PERRON_VERDICT_REDIRECT,
					   .redirect = portals[2]};
	reply_give(w, 1, &m);
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_ASKING);
	answer(w, 3, request_to(w, 3).nonce, PERRON_VERDICT_WAIT, 0);
	uint32_t before = w->sent_count;
	pass(w, w->cfg.overdue_ns);
	assert_int_equal(w->sent_count, before + 1);
	(void)request_to(w, 3);
}

static void test_a_silent_stream_is_asked_about_ever_less(void **state)
{
	struct world *w = *state;

	fall_silent(w, 600);
	pass(w, w->cfg.renew_ns / 2);
	uint32_t first = w->sent_count;
	w->sent_count = 0;
	pass(w, w->cfg.renew_ns / 2);
	uint32_t second = w->sent_count;
	assert_true(second < first && second > 0);
	w->sent_count = 0;
	pass(w, w->cfg.renew_ns / 2);
	assert_true(w->sent_count < second);
}

static void test_counts_what_a_new_peer_no_longer_has(void **state)
{
	struct world *w = *state;

	activate(w, 500);
	data_give(w, 1, 500);
	data_give(w, 1, 503); /* held */
	data_give(w, 1, 506); /* held, beyond the new start */
	data_give(w, 1, 507);
	pass(w, w->cfg.lost_ns);
	answer(w, 2, request_to(w, 2).nonce, PERRON_VERDICT_OK, 506);
	assert_int_equal(w->delivered_count, 4);
	assert_int_equal(w->delivered[1], 503);
	assert_int_equal(w->delivered[2], 506);
	assert_int_equal(info(w).lost, 4); /* 501, 502, 504, 505 */
	assert_int_equal(info(w).expected, 508);
}

static void test_delivers_in_order_once_each(void **state)
{
	struct world *w = *state;

	activate(w, 10);
	data_give(w, 1, 12);
	data_give(w, 1, 11);
	data_give(w, 1, 12);
	assert_int_equal(w->delivered_count, 0);
	data_give(w, 1, 10);
	data_give(w, 1, 10);
	data_give(w, 1, 9);
	data_give(w, 1, 13);
	delivered_are(w, 10, 4);
	assert_int_equal(w->delivered_to, 0);
	assert_int_equal(info(w).delivered, 4);
	assert_int_equal(info(w).duplicates, 3);
	assert_int_equal(drop(w, PERRON_DROP_DUPLICATE), 3);
}

static void test_refuses_what_is_beyond_the_window(void **state)
{
	struct world *w = *state;

	activate(w, 10);
	data_give(w, 1, 10 + 128);
	assert_int_equal(drop(w, PERRON_DROP_WINDOW), 1);
	data_give(w, 1, 10 + 127);
	assert_int_equal(drop(w, PERRON_DROP_WINDOW), 1);
	data_give(w, 1, UINT64_MAX);
	assert_int_equal(drop(w, PERRON_DROP_IMPOSSIBLE_SEQUENCE), 1);
	for (uint64_t i = 10; i < 10 + 127; i++)
		data_give(w, 1, i);
	delivered_are(w, 10, 128);
}

static void test_drops_by_cause(void **state)
{
	struct world *w = *state;
	struct perron_header header = data_header(1, 10);

	assert_int_equal(subscribe(w), 0);
	data_give(w, 1, 10);
	assert_int_equal(drop(w, PERRON_DROP_EARLY), 1);
	answer(w, 1, request_to(w, 1).nonce, PERRON_VERDICT_OK, 10);

	data_give(w, 2, 10);
	assert_int_equal(drop(w, PERRON_DROP_WRONG_UPSTREAM), 1);
	header.overlay = OVERLAY + 1;
	header_give(w, &header);
	assert_int_equal(drop(w, PERRON_DROP_OVERLAY), 1);
	header = data_header(1, 10);
	header.destination = CLIENT + 1;
	header_give(w, &header);
	assert_int_equal(drop(w, PERRON_DROP_DESTINATION), 1);
	header = data_header(1, 10);
	header.destination_incarnation = 76;
	header_give(w, &header);
	assert_int_equal(drop(w, PERRON_DROP_INCARNATION), 1);
	header = data_header(1, 10);
	header.source_incarnation = 1;
	header_give(w, &header);
	assert_int_equal(drop(w, PERRON_DROP_INCARNATION), 2);
	header = data_header(1, 10);
	header.stream++;
	header_give(w, &header);
	header = data_header(1, 10);
	header.class = PERRON_CLASS_NORMAL;
	header_give(w, &header);
	assert_int_equal(drop(w, PERRON_DROP_UNKNOWN_STREAM), 2);
	header = data_header(1, 10);
	header.type = PERRON_TYPE_JOIN;
	header_give(w, &header);
	assert_int_equal(drop(w, PERRON_DROP_TYPE), 1);
	header = data_header(PERRON_CLIENT_ID | 6, 10);
	header_give(w, &header);
	assert_int_equal(drop(w, PERRON_DROP_STRANGER), 1);
	assert_int_equal(w->delivered_count, 0);
	assert_int_equal(info(w).expected, 10);
}

static void test_drops_what_came_by_another_class_port(void **state)
{
	struct world *w = *state;
	uint8_t data[PERRON_FRAME_SIZE_MAX] = {0};
	struct perron_header header = data_header(1, 10);

	activate(w, 10);
	struct perron_frame frame = frame_of(w, data, &header);
	frame.class = PERRON_CLASS_NORMAL;
	frames_give(w, &frame, 1);
	assert_int_equal(drop(w, PERRON_DROP_CLASS), 1);
	frame.class = PERRON_CLASS_ALARM;
	frame.data[PERRON_HEADER_SIZE] ^= 1;
	frames_give(w, &frame, 1);
	assert_int_equal(drop(w, PERRON_DROP_PAYLOAD_CHECK), 1);
	assert_int_equal(w->delivered_count, 0);
}

static void test_gap_skips_and_counts(void **state)
{
	struct world *w = *state;

	activate(w, 10);
	data_give(w, 1, 12);
	data_give(w, 1, 15);
	w->sent_count = 0;
	gap_give(w, 1, 14);
	assert_int_equal(w->delivered_count, 1);
	assert_int_equal(w->delivered[0], 12);
	assert_int_equal(info(w).lost, 3); /* 10, 11, 13 */
	assert_int_equal(w->sent_count, 1);
	ack_is(w, 13, 2); /* 14 is missing, 15 is there */
	data_give(w, 1, 14);
	assert_int_equal(w->delivered_count, 3);
	gap_give(w, 1, 14); /* again, or late: only acknowledged */
	assert_int_equal(info(w).lost, 3);
	ack_is(w, 15, 0);
	gap_give(w, 1, 1000000); /* far beyond the window */
	assert_int_equal(info(w).expected, 1000000);
	assert_int_equal(info(w).lost, 3 + 1000000 - 16);
	gap_give(w, 2, 2000000);
	assert_int_equal(info(w).expected, 1000000);
}

static void test_acknowledges_after_some_frames(void **state)
{
	struct world *w = *state;

	activate(w, 1);
	for (uint64_t i = 1; i < w->cfg.ack_frames; i++)
		data_give(w, 1, i);
	assert_int_equal(w->sent_count, 0);
	data_give(w, 1, w->cfg.ack_frames);
	assert_int_equal(w->sent_count, 1);
	ack_is(w, w->cfg.ack_frames, 0);
	assert_int_equal(sent_last(w)->header.destination, 1);
	assert_int_equal(sent_last(w)->header.destination_incarnation, 101);
	assert_int_equal(sent_last(w)->to.address, 0x0a000001);
	pass(w, 100 * MS);
	assert_int_equal(w->sent_count, 1);
}

static void test_acknowledges_after_an_interval(void **state)
{
	struct world *w = *state;

	activate(w, 1);
	data_give(w, 1, 1);
	pass(w, w->cfg.ack_interval_ns / 2);
	data_give(w, 1, 2);
	pass(w, w->cfg.ack_interval_ns / 2 - 1);
	assert_int_equal(w->sent_count, 0);
	pass(w, 1);
	assert_int_equal(w->sent_count, 1);
	ack_is(w, 2, 0);
}

static void test_acknowledges_a_new_gap_at_once(void **state)
{
	struct world *w = *state;

	activate(w, 1);
	data_give(w, 1, 3);
	assert_int_equal(w->sent_count, 1);
	ack_is(w, 0, 1 << 2);
	data_give(w, 1, 4); /* the same gap: no hurry */
	assert_int_equal(w->sent_count, 1);
	data_give(w, 1, 6); /* another */
	assert_int_equal(w->sent_count, 2);
	ack_is(w, 0, 1 << 2 | 1 << 3 | 1 << 5);
}

static void test_acknowledges_a_duplicate_at_once(void **state)
{
	struct world *w = *state;

	activate(w, 1);
	data_give(w, 1, 1);
	assert_int_equal(w->sent_count, 0);
	data_give(w, 1, 1);
	assert_int_equal(w->sent_count, 1);
	ack_is(w, 1, 0);
}

static void test_answers_a_burst_with_one_acknowledgement(void **state)
{
	struct world *w = *state;
	static uint8_t data[PERRON_BURST_MAX][PERRON_FRAME_SIZE_MAX];
	struct perron_frame frames[PERRON_BURST_MAX];

	activate(w, 1);
	for (uint32_t i = 0; i < PERRON_BURST_MAX; i++) {
		struct perron_header header = data_header(1, 2 * PERRON_BURST_MAX - 2 * i);

		frames[i] = frame_of(w, data[i], &header);
	}
	frames_give(w, frames, PERRON_BURST_MAX);
	assert_int_equal(w->sent_count, 1);
	ack_is(w, 0, 0xaaaaaaaaaaaaaaaau);
}

static void test_counts_what_is_late(void **state)
{
	struct world *w = *state;
	struct perron_header header = data_header(1, 1);

	w->cfg.clock_offset_ns = 7000 * MS;
	assert_int_equal(perron_client_init(w->client, &w->cfg, w->now_ns), 0);
	activate(w, 1);
	header.origin_ns = w->now_ns + w->cfg.clock_offset_ns - 20 * MS;
	header.deadline_us = 20000;
	header_give(w, &header); /* just in time */
	assert_int_equal(info(w).late, 0);
	header.sequence = 2;
	header.deadline_us = 19999;
	header_give(w, &header);
	assert_int_equal(info(w).late, 1);
	header.sequence = 3;
	header.deadline_us = 0; /* no bound */
	header_give(w, &header);
	assert_int_equal(info(w).late, 1);
	header.sequence = 5;
	header.deadline_us = 20001;
	header_give(w, &header);
	w->now_ns += 2000;
	data_give(w, 1, 4); /* 5 was held past its bound */
	assert_int_equal(info(w).late, 2);
	assert_int_equal(info(w).delivered, 5);
}

static void test_says_farewell(void **state)
{
	struct world *w = *state;
	struct perron_path_teardown m;

	activate(w, 1);
	data_give(w, 1, 3);
	data_give(w, 1, 4);
	perron_client_unsubscribe(w->client, w->now_ns, 0, &w->effects);
	effects_apply(w);
	assert_int_equal(sent_last(w)->header.type, PERRON_TYPE_UNSUBSCRIBE);
	assert_int_equal(sent_last(w)->header.class, PERRON_CLASS_OVERLAY);
	assert_true(perron_path_teardown_read(sent_last(w)->payload, sent_last(w)->header.length,
					      &m));
	assert_int_equal(m.stream, perron_stream_id(SENSOR));
	assert_int_equal(info(w).state, PERRON_SUBSCRIPTION_FREE);
	assert_int_equal(perron_client_deadline_ns(w->client), UINT64_MAX);
}

static void test_tells_a_peer_that_still_serves_it(void **state)
{
	struct world *w = *state;

	activate(w, 1);
	pass(w, w->cfg.request_ns);
	w->sent_count = 0;
	data_give(w, 2, 1);
	assert_int_equal(w->sent_count, 1);
	assert_int_equal(sent_last(w)->header.type, PERRON_TYPE_UNSUBSCRIBE);
	assert_int_equal(sent_last(w)->header.destination, 2);
	data_give(w, 2, 2); /* not for each frame */
	assert_int_equal(w->sent_count, 1);
	pass(w, w->cfg.request_ns);
	data_give(w, 2, 3);
	assert_int_equal(w->sent_count, 2);
}

static void test_gives_a_late_grant_back(void **state)
{
	struct world *w = *state;

	assert_int_equal(subscribe(w), 0);
	uint32_t nonce = request_to(w, 1).nonce;
	pass(w, w->cfg.request_ns);
	assert_int_equal(request_to(w, 2).nonce, nonce);
	answer(w, 1, nonce, PERRON_VERDICT_OK, 5);
	assert_int_equal(info(w).peer, 1);
	answer(w, 2, nonce, PERRON_VERDICT_OK, 5);
	assert_int_equal(info(w).peer, 1);
	assert_int_equal(sent_last(w)->header.type, PERRON_TYPE_UNSUBSCRIBE);
	assert_int_equal(sent_last(w)->header.destination, 2);
}

static void test_portals_without_a_peer_id(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i < w->cfg.portal_count; i++)
		w->cfg.portal[i].peer = 0;
	assert_int_equal(perron_client_init(w->client, &w->cfg, w->now_ns), 0);
	assert_int_equal(subscribe(w), 0);
	answer(w, 1, request_to(w, 0).nonce, PERRON_VERDICT_WAIT, 0);
	pass(w, w->cfg.request_ns);
	answer(w, 1, request_to(w, 0).nonce, PERRON_VERDICT_OK, 5);
	assert_int_equal(info(w).peer, 1);
	pass(w, w->cfg.lost_ns);
	(void)request_to(w, 0);
	assert_int_equal(sent_last(w)->to.address, 0x0a000002);
}

/* With a window of 1024, one frame sets more free than one step may deliver. */
static void test_empties_a_large_window_in_steps(void **state)
{
	struct world *w = *state;
	const uint32_t window = 4096;

	free(w->client);
	w->cfg.window = window;
	w->client = calloc(1, perron_client_size(&w->cfg));
	assert_int_equal(perron_client_init(w->client, &w->cfg, w->now_ns), 0);
	activate(w, 1);
	for (uint64_t i = 2; i <= window; i++) {
		data_give(w, 1, i);
		w->sent_count = 0;
	}
	data_give(w, 1, 1);
	assert_true(w->delivered_count < window);
	assert_true(perron_client_deadline_ns(w->client) <= w->now_ns);
	data_give(w, 1, window + 1);
	data_give(w, 1, window); /* still held: seen */
	for (uint32_t i = 0; i < window && w->delivered_count <= window; i++)
		tick(w);
	delivered_are(w, 1, window + 1);
	assert_int_equal(info(w).duplicates, 1);

	w->sent_count = 0;
	for (uint64_t i = 3; i <= window; i++) {
		data_give(w, 1, window + i);
		w->sent_count = 0;
	}
	perron_client_unsubscribe(w->client, w->now_ns, 0, &w->effects);
	effects_apply(w);
	assert_int_equal(subscribe(w), 1); /* the first is still giving back */
	pass(w, 0);
	for (uint32_t i = 0; i < FRAME_COUNT; i++)
		assert_int_equal(w->holds[i], 0);
}

static void test_refuses_a_config_out_of_range(void **state)
{
	struct world *w = *state;

#define BAD(field, value)                                                                          \
	do {                                                                                       \
		struct perron_client_config cfg = w->cfg;                                          \
		cfg.field = value;                                                                 \
		assert_int_equal(perron_client_init(w->client, &cfg, 0), -EINVAL);                 \
	} while (0)
	BAD(id, 5);
	BAD(incarnation, 0);
	BAD(portal_count, 0);
	BAD(portal_count, PERRON_PORTAL_COUNT_MAX + 1);
	BAD(subscription_count_max, 0);
	BAD(subscription_count_max, 65);
	BAD(window, 32);
	BAD(window, 100);
	BAD(request_ns, 0);
	BAD(lost_ns, 500 * MS);
	BAD(overdue_ns, 0);
	BAD(ack_frames, 0);
	BAD(ack_interval_ns, 0);
#undef BAD
}

/*
 * The model: a server that keeps frames until they are acknowledged, sends unacknowledged ones
 * again, gives some up (GAP), and now and then is replaced by another; a wire that loses, repeats
 * and mixes up. What is delivered must be what was sent, once each, in order, or counted lost.
 */
struct model {
	struct world *w;
	uint64_t random;
	uint64_t high;   /* last sequence sent first */
	uint64_t floor;  /* below: given up */
	uint64_t acked;
	uint32_t server; /* peer; 0: none serves */
	uint32_t dead;   /* the peer killed last */
	struct perron_header wire[64];
	uint32_t wire_count;
	uint32_t sent_seen;
};

static uint32_t draw(struct model *m, uint32_t n)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(m->random >> 33) % n;
}

static void wire_put(struct model *m, const struct perron_header *header)
{
	if (draw(m, 5) == 0)
		return;
	for (uint32_t copies = 1 + (draw(m, 6) == 0); copies; copies--)
		if (m->wire_count < 64)
			m->wire[m->wire_count++] = *header;
}

static void wire_take(struct model *m)
{
	static uint8_t data[PERRON_BURST_MAX][PERRON_FRAME_SIZE_MAX];
	struct perron_frame frames[PERRON_BURST_MAX];
	uint32_t count = 0;

	for (uint32_t n = draw(m, PERRON_BURST_MAX); n && m->wire_count; n--) {
		uint32_t i = draw(m, m->wire_count < 8 ? m->wire_count : 8);

		frames[count] = frame_of(m->w, data[count], &m->wire[i]);
		memmove(&m->wire[i], &m->wire[i + 1],
			(--m->wire_count - i) * sizeof(m->wire[0]));
		count++;
	}
	frames_give(m->w, frames, count);
}

/* What the client sent comes to the server, mostly. */
static void server_hears(struct model *m)
{
	struct world *w = m->w;

	while (m->sent_seen < w->sent_count) {
		struct sent *sent = &w->sent[m->sent_seen++];
		struct perron_subscribe request;

		if (draw(m, 4) == 0)
			continue;
		if (sent->header.type == PERRON_TYPE_ACK) {
			if (sent->header.destination == m->server &&
			    m->acked < sent->header.sequence)
				m->acked = sent->header.sequence;
			assert_true(sent->header.sequence <= m->high);
		} else if (sent->header.type == PERRON_TYPE_SUBSCRIBE) {
			assert_true(perron_subscribe_read(sent->payload, sent->header.length,
							  &request));
			uint64_t start = request.resume ? request.resume : m->high + 1;
			if (start < m->floor)
				start = m->floor;
			if (m->server == 0 && sent->header.destination != m->dead)
				m->server = sent->header.destination;
			if (m->server == sent->header.destination)
				answer(w, m->server, request.nonce, PERRON_VERDICT_OK, start);
		}
	}
	w->sent_count = 0;
	m->sent_seen = 0;
}

static void server_speaks(struct model *m)
{
	struct perron_header header;

	for (uint32_t n = draw(m, 6); n && m->high - m->acked < 200; n--) {
		header = data_header(m->server, ++m->high);
		wire_put(m, &header);
	}
	for (uint64_t s = m->acked + 1; s <= m->high && s < m->acked + 8; s++) {
		header = data_header(m->server, s);
		if (s >= m->floor && draw(m, 2))
			wire_put(m, &header);
	}
	if (draw(m, 50) == 0 && m->acked + 3 < m->high)
		m->floor = m->acked + 1 + draw(m, 3);
	if (m->floor > m->acked + 1) {
		header = data_header(m->server, m->floor);
		header.type = PERRON_TYPE_GAP;
		header.length = 0;
		wire_put(m, &header);
	}
}

static void model_run(struct world *w, uint64_t seed)
{
	struct model m = {.w = w, .random = seed, .high = 1000};

	assert_int_equal(subscribe(w), 0);
	for (uint32_t step = 0; step < 2000; step++) {
		server_hears(&m);
		if (m.server && step < 1800)
			server_speaks(&m);
		else if (m.server && m.acked < m.high)
			for (uint64_t s = m.acked + 1; s <= m.high; s++) {
				struct perron_header header = data_header(m.server, s);

				if (s < m.floor) {
					header = data_header(m.server, m.floor);
					header.type = PERRON_TYPE_GAP;
				}
				wire_put(&m, &header);
			}
		wire_take(&m);
		pass(w, draw(&m, 20) * MS);
		if (draw(&m, 300) == 0 && step < 1500) {
			m.dead = m.server ? m.server : m.dead;
			m.server = 0; /* killed: another must be asked */
			m.wire_count = 0;
		}
	}
	struct perron_subscription_info i = info(w);
	assert_int_equal(i.expected, m.high + 1);
	assert_int_equal(i.delivered, w->delivered_count);
	assert_int_equal(i.delivered + i.lost, m.high + 1 - i.start);
	assert_true(i.delivered > 500);
	for (uint32_t k = 1; k < w->delivered_count; k++)
		assert_true(w->delivered[k] > w->delivered[k - 1]);
	assert_true(w->delivered[0] >= i.start);
}

static void test_model(void **state)
{
	struct world *w = *state;
	uint64_t moved = 0, lost = 0, duplicates = 0;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		w->sent_count = 0;
		w->delivered_count = 0;
		model_run(w, seed);
		moved += info(w).moved;
		lost += info(w).lost;
		duplicates += info(w).duplicates;
		perron_client_unsubscribe(w->client, w->now_ns, 0, &w->effects);
		effects_apply(w);
	}
	/* The runs did meet what they are for. */
	assert_true(moved > 20 && lost > 20 && duplicates > 1000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, world_new, world_free)
	const struct CMUnitTest tests[] = {
		T(asks_portals_in_turn_until_answered),
		T(is_granted),
		T(knows_one_subscription_a_stream_and_class),
		T(believes_only_its_own_nonce),
		T(refuses_a_grant_that_is_not_sound),
		T(follows_four_redirects_in_a_row),
		T(waits_where_it_is_told_to_wait),
		T(does_not_wait_at_one_portal_for_ever),
		T(asks_another_where_a_station_has_not_joined),
		T(an_unknown_sensor_is_asked_for_until_it_is_sure),
		T(is_refused_for_good_before_it_ever_stood),
		T(keeps_asking_once_it_stood),
		T(stands_while_frames_come_whatever_renewals_say),
		T(renews_with_the_sequence_it_expects),
		T(moves_on_from_a_lost_peer_and_resumes),
		T(does_not_ask_the_lost_one_again),
		T(data_is_a_sign_of_life),
		T(asks_its_peer_and_another_when_a_stream_is_silent),
		T(who_grants_a_silent_stream_serves_it),
		T(whom_it_asked_may_serve_before_it_answers),
		T(asks_soon_again_when_its_peer_sends_it_on),
		T(a_silent_stream_is_asked_about_ever_less),
		T(counts_what_a_new_peer_no_longer_has),
		T(delivers_in_order_once_each),
		T(refuses_what_is_beyond_the_window),
		T(drops_by_cause),
		T(drops_what_came_by_another_class_port),
		T(gap_skips_and_counts),
		T(acknowledges_after_some_frames),
		T(acknowledges_after_an_interval),
		T(acknowledges_a_new_gap_at_once),
		T(acknowledges_a_duplicate_at_once),
		T(answers_a_burst_with_one_acknowledgement),
		T(counts_what_is_late),
		T(says_farewell),
		T(tells_a_peer_that_still_serves_it),
		T(gives_a_late_grant_back),
		T(portals_without_a_peer_id),
		T(empties_a_large_window_in_steps),
		T(refuses_a_config_out_of_range),
		T(model),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
