/*
 * The group as relays carry it: two to four of them in one process, on virtual time. `town` is the
 * host: it carries frames from one to another after a while, may lose some, can forge what no
 * member would send, and keeps what each user was told.
 */
#include "test/unit/support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ft/group_private.h"
#include "runtime/base/wire.h"

#define MS	 UINT64_C(1000000)
#define T0	 (1000 * MS)
#define OVERLAY	 3
#define CELL	 UINT64_C(0x700000001)
#define SIZE_MAX_OF_TOWN 4
#define FLIGHT_NS 100000u
#define QUEUE	 8192
#define TEXTS	 2048
#define TEXT	 24

struct flight {
	uint64_t at_ns;
	uint32_t to;
	uint32_t size;
	uint8_t from;
	uint8_t data[PERRON_FRAME_SIZE_MAX];
};

/* A relay, and what its user was told. */
struct house {
	struct perron_relay *relay;
	struct perron_group *group;
	bool dead;
	struct perron_group_view view;
	struct perron_group_light light;
	uint32_t views, text_count, pieces, piece_bytes;
	char texts[TEXTS][TEXT]; /* how each message begins, behind sender and service */
};

struct town {
	uint32_t count;
	uint64_t now_ns;
	struct house houses[SIZE_MAX_OF_TOWN + 1]; /* by peer, from 1 */
	struct flight *flights;
	uint32_t flight_count;
	bool (*lose)(const struct flight *f, const struct group_head *head);
	struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
	uint8_t arena[PERRON_EFFECT_ARENA_SIZE];
	struct perron_effects out;
};

/* --- the host --- */

static struct perron_party party(uint32_t peer)
{
	return (struct perron_party){.id = peer, .incarnation = 1, .endpoint = {peer, 7400}};
}

static bool head_of_frame(const uint8_t *data, uint32_t size, struct group_head *head)
{
	struct perron_reader r = perron_reader_of(data + PERRON_HEADER_SIZE,
						  size - PERRON_HEADER_SIZE);

	return data[PERRON_WIRE(type)] == PERRON_TYPE_GROUP && group_head_read(&r, head);
}

static void sent_take(struct town *t, uint32_t from, const struct perron_effect *e)
{
	struct flight *f = &t->flights[t->flight_count];
	struct group_head head = {0};

	assert_true(t->flight_count < QUEUE);
	f->at_ns = t->now_ns + FLIGHT_NS;
	f->from = (uint8_t)from;
	f->to = e->to.address;
	f->size = e->size;
	memcpy(f->data, e->data, e->size);
	if (t->houses[from].dead)
		return;
	if (head_of_frame(f->data, f->size, &head) && t->lose && t->lose(f, &head))
		return;
	t->flight_count++;
}

static void message_take(struct house *h, const struct perron_group_message *m)
{
	h->pieces++;
	h->piece_bytes += m->size;
	if (m->fragment_index)
		return;
	assert_true(h->text_count < TEXTS);
	char *text = h->texts[h->text_count++];
	text[0] = (char)('0' + m->sender);
	text[1] = "fcas"[m->service];
	memcpy(text + 2, m->data, m->size < TEXT - 3 ? m->size : TEXT - 3);
}

static void effects_apply(struct town *t, uint32_t peer)
{
	struct house *h = &t->houses[peer];

	for (uint32_t i = 0; i < t->out.count; i++) {
		const struct perron_effect *e = &t->out.items[i];
		const void *record = e->data;
		if (e->kind == PERRON_EFFECT_SEND)
			sent_take(t, peer, e);
		if (e->kind != PERRON_EFFECT_INDICATE)
			continue;
		if (e->class == PERRON_GROUP_INDICATE_MESSAGE)
			message_take(h, record);
		else if (e->class == PERRON_GROUP_INDICATE_LIGHT)
			h->light = *(const struct perron_group_light *)record;
		else if (!((const struct perron_group_view *)record)->transitional)
			h->view = *(const struct perron_group_view *)record, h->views++;
	}
	assert_int_equal(t->out.dropped, 0);
	perron_effects_reset(&t->out);
	perron_relay_check(h->relay);
}

static int command(struct town *t, uint32_t peer, const struct perron_command *c)
{
	int error = perron_relay_command(t->houses[peer].relay, t->now_ns, c, &t->out);

	effects_apply(t, peer);
	return error;
}

static void frame_give(struct town *t, uint32_t to, uint32_t from, uint8_t *data, uint32_t size)
{
	struct perron_frame frame = {
		.data = data,
		.length = size,
		.class = PERRON_CLASS_OVERLAY,
		.from = {from, 7400},
	};

	perron_relay_input(t->houses[to].relay, t->now_ns, &frame, 1, &t->out);
	effects_apply(t, to);
}

static void flights_land(struct town *t)
{
	uint32_t kept = 0, count = t->flight_count;

	for (uint32_t i = 0; i < count; i++) {
		struct flight f = t->flights[i];
		if (f.at_ns > t->now_ns)
			t->flights[kept++] = f;
		else if (!t->houses[f.to].dead)
			frame_give(t, f.to, f.from, f.data, f.size);
	}
	/* What was sent meanwhile stands behind. */
	memmove(&t->flights[kept], &t->flights[count],
		(t->flight_count - count) * sizeof(*t->flights));
	t->flight_count -= count - kept;
}

static void run(struct town *t, uint64_t ns)
{
	for (uint64_t end_ns = t->now_ns + ns; t->now_ns < end_ns;) {
		t->now_ns += 20000;
		flights_land(t);
		for (uint32_t i = 1; i <= t->count; i++) {
			struct house *h = &t->houses[i];
			if (h->dead || perron_relay_deadline_ns(h->relay) > t->now_ns)
				continue;
			perron_relay_tick(h->relay, t->now_ns, &t->out);
			effects_apply(t, i);
		}
	}
}

static struct perron_relay_config config(uint32_t peer)
{
	struct perron_relay_config cfg;

	perron_relay_config_default(&cfg);
	cfg.peer = peer;
	cfg.incarnation = 1;
	cfg.overlay = OVERLAY;
	cfg.endpoint = party(peer).endpoint;
	cfg.link_count_max = 4;
	cfg.path_count_max = 1;
	cfg.stream_count_max = 1;
	cfg.origin_count_max = 1;
	cfg.detector.kind = PERRON_DETECTOR_PUSH;
	cfg.detector.interval_ns = 5 * MS;
	cfg.detector.timeout_ns_min = 25 * MS;
	cfg.detector.timeout_ns_max = 25 * MS;
	cfg.group.window = 16;
	cfg.group.pending_count = 16;
	cfg.group.light_count_max = 3;
	return cfg;
}

/* Peers 1 to `count` in one cell, in one view. */
static struct town *town_make(uint32_t count)
{
	struct town *t = calloc(1, sizeof(*t));

	t->count = count;
	t->now_ns = T0;
	t->flights = calloc(QUEUE, sizeof(*t->flights));
	t->out = (struct perron_effects){.items = t->items,
					 .capacity = PERRON_EFFECT_COUNT_MAX,
					 .arena = t->arena,
					 .arena_size = PERRON_EFFECT_ARENA_SIZE};
	for (uint32_t i = 1; i <= count; i++) {
		struct perron_relay_config cfg = config(i);
		size_t size = (perron_relay_size(&cfg) + 63) & ~(size_t)63;
		t->houses[i].relay = aligned_alloc(64, size);
		assert_int_equal(perron_relay_init(t->houses[i].relay, &cfg, t->now_ns), 0);
		t->houses[i].group = perron_relay_group(t->houses[i].relay);
	}
	for (uint32_t i = 1; i <= count; i++) {
		struct perron_command cell = {
			.kind = PERRON_COMMAND_CELL, .sequence = CELL, .value = i};
		assert_int_equal(command(t, i, &cell), 0);
		for (uint32_t k = 1; k <= count; k++) {
			struct perron_command c = {.party = party(k), .value = 1};
			c.kind = PERRON_COMMAND_LINK_OPEN;
			assert_int_equal(k == i ? 0 : command(t, i, &c), 0);
			c.kind = PERRON_COMMAND_SIBLING;
			assert_int_equal(k == i ? 0 : command(t, i, &c), 0);
		}
	}
	run(t, 200 * MS);
	for (uint32_t i = 1; i <= count; i++) {
		assert_int_equal(t->houses[i].view.member_count, count);
		assert_int_equal(t->houses[i].view.self, i - 1);
		t->houses[i].views = 0;
	}
	return t;
}

static void town_free(struct town *t)
{
	for (uint32_t i = 1; i <= t->count; i++)
		free(t->houses[i].relay);
	free(t->flights);
	free(t);
}

static int say(struct town *t, uint32_t peer, uint32_t group, enum perron_group_service service,
	       const char *text, uint32_t size)
{
	int error = perron_group_send(t->houses[peer].group, t->now_ns, group, service,
				      (const uint8_t *)text, size, &t->out);

	effects_apply(t, peer);
	return error;
}

static int say_text(struct town *t, uint32_t peer, enum perron_group_service service,
		    const char *text)
{
	return say(t, peer, 0, service, text, (uint32_t)strlen(text));
}

static uint64_t drops(const struct town *t, uint32_t peer, enum perron_drop cause)
{
	struct perron_relay_counters counters;

	perron_relay_counters_read(t->houses[peer].relay, &counters);
	return counters.drop[cause];
}

static bool was_told(const struct town *t, uint32_t peer, const char *text)
{
	for (uint32_t i = 0; i < t->houses[peer].text_count; i++)
		if (strcmp(t->houses[peer].texts[i], text) == 0)
			return true;
	return false;
}

/* --- forging --- */

/* A frame from `from` to `to` that only the group may find fault with. */
static void forge(struct town *t, uint32_t to, uint32_t from, const uint8_t *payload, uint32_t size)
{
	struct perron_link *l = relay_link(t->houses[from].relay, to);
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header header = {
		.type = PERRON_TYPE_GROUP,
		.class = PERRON_CLASS_OVERLAY,
		.fragment_count = 1,
		.length = (uint16_t)size,
		.overlay = OVERLAY,
		.source = from,
		.source_incarnation = 1,
		.destination = to,
		.destination_incarnation = 1,
		.link_sequence = ++l->tx_sequence,
		.link_ack = l->rx_sequence,
	};

	memcpy(data + PERRON_HEADER_SIZE, payload, size);
	frame_give(t, to, from, data, perron_frame_encode(data, &header));
}

/* As a frame of the view begins that comes from this member. */
static struct group_head head_from(const struct town *t, uint32_t from, uint8_t kind)
{
	const struct perron_group *g = t->houses[from].group;

	return (struct group_head){
		.kind = kind,
		.member_count = g->view.member_count,
		.index = g->view.self,
		.cell = CELL,
		.view = g->view.id,
	};
}

/* The next packet of `from`, with one message. */
static uint32_t data_from(const struct town *t, uint32_t from, const struct group_head *head,
			  struct group_data *change, uint8_t *payload)
{
	const struct perron_group *g = t->houses[from].group;
	struct group_data data = {.sequence = g->sent + 1, .stamp = g->clock + 1};
	struct group_item item = {.service = PERRON_GROUP_AGREED,
				  .fragment_count = 1,
				  .size = 6,
				  .data = (const uint8_t *)"forged"};

	for (uint32_t i = 0; i < g->view.member_count; i++)
		data.row[i] = data.past[i] = g->streams[i].received;
	data.sequence += change->sequence;
	data.stamp += change->stamp;
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		data.row[i] += change->row[i];
		data.past[i] += change->past[i];
	}
	group_data_write(payload, head, &data);
	uint32_t at = group_items_at(head->member_count);
	return at + group_item_write(payload + at, 0, &item);
}

/* What may not change by a bad frame. */
struct memory {
	struct perron_group_view view;
	struct group_stream streams[GROUP_MEMBER_MAX];
	struct group_change change;
	uint32_t sent, clock, texts;
	uint8_t state;
};

static void remember(const struct town *t, uint32_t peer, struct memory *m)
{
	const struct perron_group *g = t->houses[peer].group;

	memset(m, 0, sizeof(*m));
	m->view = g->view;
	memcpy(m->streams, g->streams, sizeof(m->streams));
	m->change = g->change;
	m->sent = g->sent;
	m->clock = g->clock;
	m->texts = t->houses[peer].text_count;
	m->state = g->state;
}

/* Gives peer 1 a frame of peer 2's that it must drop for this cause, and change by nothing. */
static void assert_refused(struct town *t, const uint8_t *payload, uint32_t size,
			   enum perron_drop cause)
{
	static struct memory before, after;
	uint64_t count = drops(t, 1, cause);

	remember(t, 1, &before);
	forge(t, 1, 2, payload, size);
	remember(t, 1, &after);
	assert_int_equal(drops(t, 1, cause), count + 1);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void assert_data_refused(struct town *t, struct group_head head, struct group_data change,
				enum perron_drop cause)
{
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	assert_refused(t, payload, data_from(t, 2, &head, &change, payload), cause);
}

/* --- bad input --- */

static void what_does_not_read_is_malformed(void **state)
{
	struct town *t = town_make(2);
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	(void)state;
	for (uint8_t kind = GROUP_HELLO; kind < GROUP_KIND_COUNT; kind++) {
		struct group_head head = head_from(t, 2, kind);
		struct perron_writer w = group_head_write(payload, &head);
		if (kind != GROUP_LEAVE && kind != GROUP_READY)
			assert_refused(t, payload, perron_writer_size(&w), PERRON_DROP_MALFORMED);
		assert_refused(t, payload, GROUP_HEAD_SIZE - 1, PERRON_DROP_MALFORMED);
	}
	struct group_head head = head_from(t, 2, GROUP_KIND_COUNT);
	(void)group_head_write(payload, &head);
	assert_refused(t, payload, GROUP_HEAD_SIZE, PERRON_DROP_MALFORMED);
	town_free(t);
}

static void what_is_of_another_cell_is_dropped(void **state)
{
	struct town *t = town_make(2);
	struct group_head head = head_from(t, 2, GROUP_DATA);

	(void)state;
	head.cell++;
	assert_data_refused(t, head, (struct group_data){0}, PERRON_DROP_OTHER_CELL);
	town_free(t);
}

static void what_is_of_an_old_view_is_dropped(void **state)
{
	struct town *t = town_make(2);
	struct group_head head = head_from(t, 2, GROUP_DATA);

	(void)state;
	head.view.number--;
	assert_data_refused(t, head, (struct group_data){0}, PERRON_DROP_OLD_VIEW);
	head = head_from(t, 2, GROUP_DATA);
	head.view.peer = 2;
	assert_data_refused(t, head, (struct group_data){0}, PERRON_DROP_OLD_VIEW);
	head = head_from(t, 2, GROUP_DATA);
	head.view.incarnation++;
	assert_data_refused(t, head, (struct group_data){0}, PERRON_DROP_OLD_VIEW);
	town_free(t);
}

static void who_is_no_member_is_not_heard(void **state)
{
	struct town *t = town_make(3);
	struct group_head head = head_from(t, 2, GROUP_DATA);

	(void)state;
	head.index = 0; /* of the receiver itself */
	assert_data_refused(t, head, (struct group_data){0}, PERRON_DROP_NOT_MEMBER);
	head.index = 2; /* of another, and not sent again */
	assert_data_refused(t, head, (struct group_data){0}, PERRON_DROP_NOT_MEMBER);
	head.index = 3; /* of nobody */
	assert_data_refused(t, head, (struct group_data){0}, PERRON_DROP_NOT_MEMBER);
	head.index = 1;
	head.member_count = 2;
	assert_data_refused(t, head, (struct group_data){0}, PERRON_DROP_NOT_MEMBER);
	town_free(t);
}

static void a_linked_peer_that_is_no_sibling_is_not_heard(void **state)
{
	struct town *t = town_make(3);
	struct group_head head = head_from(t, 2, GROUP_DATA);
	struct perron_command c = {.kind = PERRON_COMMAND_SIBLING, .party = party(2)};

	(void)state;
	assert_int_equal(command(t, 1, &c), 0);
	run(t, 1 * MS); /* it goes on without */
	assert_data_refused(t, head, (struct group_data){0}, PERRON_DROP_NOT_MEMBER);
	town_free(t);
}

static void numbers_that_cannot_be_are_dropped(void **state)
{
	struct town *t = town_make(2);
	struct group_head head = head_from(t, 2, GROUP_DATA);
	const enum perron_drop cause = PERRON_DROP_IMPOSSIBLE_SEQUENCE;

	(void)state;
	assert_data_refused(t, head, (struct group_data){.sequence = 4 * 16 + 1}, cause);
	assert_data_refused(t, head, (struct group_data){.stamp = GROUP_CLOCK_AHEAD_MAX + 8},
			    cause);
	/* What was never sent is not acknowledged, nor was it delivered. */
	assert_data_refused(t, head, (struct group_data){.row = {1}}, cause);
	assert_data_refused(t, head, (struct group_data){.past = {1}}, cause);
	assert_data_refused(t, head, (struct group_data){.row = {0, 5 * 16}}, cause);
	town_free(t);
}

static void a_packet_beyond_the_ring_waits(void **state)
{
	struct town *t = town_make(2);

	(void)state;
	assert_data_refused(t, head_from(t, 2, GROUP_DATA), (struct group_data){.sequence = 2 * 16},
			    PERRON_DROP_GROUP_FULL);
	town_free(t);
}

static void a_status_that_cannot_be_is_dropped(void **state)
{
	struct town *t = town_make(2);
	struct group_head head = head_from(t, 2, GROUP_STATUS);
	const struct perron_group *g = t->houses[2].group;
	const struct group_status good = {
		.clock = g->clock,
		.sent = g->sent,
		.row = {g->streams[0].received, g->streams[1].received},
	};
	struct group_status bad = good;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	(void)state;
	bad.clock += GROUP_CLOCK_AHEAD_MAX + 8;
	assert_refused(t, payload, group_status_write(payload, &head, &bad),
		       PERRON_DROP_IMPOSSIBLE_SEQUENCE);
	bad = good;
	bad.sent += 5 * 16;
	assert_refused(t, payload, group_status_write(payload, &head, &bad),
		       PERRON_DROP_IMPOSSIBLE_SEQUENCE);
	bad = good;
	bad.row[0]++;
	assert_refused(t, payload, group_status_write(payload, &head, &bad),
		       PERRON_DROP_IMPOSSIBLE_SEQUENCE);
	head.index = 0;
	assert_refused(t, payload, group_status_write(payload, &head, &good),
		       PERRON_DROP_NOT_MEMBER);
	town_free(t);
}

static void decisions_on_no_change_of_ours_are_dropped(void **state)
{
	struct town *t = town_make(2);
	uint8_t kinds[] = {GROUP_REFUSE, GROUP_COMMIT, GROUP_READY};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(kinds); i++) {
		struct group_head head = head_from(t, 2, kinds[i]);
		head.view.number += 5;
		struct perron_writer w = group_head_write(payload, &head);
		for (uint32_t k = 0; k < 2 && kinds[i] != GROUP_READY; k++)
			if (k == 0 || kinds[i] == GROUP_COMMIT)
				perron_write32(&w, 1);
		assert_refused(t, payload, perron_writer_size(&w), PERRON_DROP_OLD_VIEW);
	}
	town_free(t);
}

/* A higher peer may not lead while a lower one is reached; it is told why. */
static void a_change_led_by_a_higher_member_is_refused(void **state)
{
	struct town *t = town_make(2);
	struct group_head head = head_from(t, 2, GROUP_STATE);
	struct group_change change = {.candidate_count = 2};
	struct group_state told = {.view = head.view, .member_count = 2};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	(void)state;
	memcpy(change.candidates, t->houses[2].group->view.members, sizeof(change.candidates));
	for (uint32_t i = 0; i < 2; i++)
		told.received[i] = told.stable[i] = t->houses[2].group->streams[i].received;
	head.view = (struct perron_group_view_id){99, 2, 1};
	assert_refused(t, payload, group_state_write(payload, &head, &change, &told),
		       PERRON_DROP_OLD_VIEW);
	head.index = 0; /* speaks for another */
	assert_refused(t, payload, group_state_write(payload, &head, &change, &told),
		       PERRON_DROP_NOT_MEMBER);
	told.received[0] += 5 * 16;
	head.index = 1;
	assert_refused(t, payload, group_state_write(payload, &head, &change, &told),
		       PERRON_DROP_IMPOSSIBLE_SEQUENCE);
	town_free(t);
}

/* After all that was refused the group goes on. */
static void a_member_that_was_lied_to_goes_on(void **state)
{
	struct town *t = town_make(3);
	struct group_head head = head_from(t, 2, GROUP_DATA);

	(void)state;
	assert_data_refused(t, head, (struct group_data){.row = {1}},
			    PERRON_DROP_IMPOSSIBLE_SEQUENCE);
	assert_int_equal(say_text(t, 1, PERRON_GROUP_SAFE, "on"), 0);
	run(t, 10 * MS);
	for (uint32_t i = 1; i <= 3; i++) {
		assert_true(was_told(t, i, "1son"));
		assert_int_equal(t->houses[i].views, 0);
	}
	town_free(t);
}

/* --- changes that cannot be --- */

/* A change that peer 1 leads, with these candidates; what it has is right. */
static uint32_t state_of_1(const struct town *t, uint32_t number,
			   const struct perron_group_member *candidates, uint32_t count,
			   uint8_t *payload)
{
	const struct perron_group *g = t->houses[1].group;
	struct group_head head = {.kind = GROUP_STATE, .cell = CELL, .view = {number, 1, 1}};
	struct group_change change = {.candidate_count = (uint8_t)count};
	struct group_state told = {.view = g->view.id, .member_count = g->view.member_count};

	memcpy(change.candidates, candidates, count * sizeof(*candidates));
	while (change.candidates[head.index].peer != 1)
		head.index++;
	told.reach = UINT32_MAX;
	for (uint32_t i = 0; i < told.member_count; i++) {
		told.received[i] = told.stable[i] = g->streams[i].stable;
		told.clock[i] = g->streams[i].clock;
	}
	return group_state_write(payload, &head, &change, &told);
}

static void assert_change_refused(struct town *t, const struct perron_group_member *candidates,
				  uint32_t count, enum perron_drop cause)
{
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	uint32_t size = state_of_1(t, 99, candidates, count, payload);
	uint64_t before = drops(t, 2, cause);

	forge(t, 2, 1, payload, size);
	assert_int_equal(drops(t, 2, cause), before + 1);
	assert_int_equal(t->houses[2].group->state, PERRON_GROUP_STATE_OPERATIONAL);
}

static void more_candidates_than_a_cell_has_are_refused(void **state)
{
	struct town *t = town_make(2);
	struct perron_group_member m[GROUP_MEMBER_MAX];

	(void)state;
	memcpy(m, t->houses[2].group->view.members, sizeof(m));
	for (uint32_t i = 2; i < GROUP_MEMBER_MAX; i++)
		m[i] = (struct perron_group_member){100 + i, 1, 0, (uint8_t)(i + 1)};
	assert_change_refused(t, m, 5, PERRON_DROP_GROUP_FULL);
	town_free(t);
}

static void candidates_out_of_order_or_twice_are_refused(void **state)
{
	struct town *t = town_make(2);
	struct perron_group_member m[3];

	(void)state;
	m[0] = t->houses[2].group->view.members[1];
	m[1] = t->houses[2].group->view.members[0];
	assert_change_refused(t, m, 2, PERRON_DROP_MALFORMED);
	m[0] = m[1];
	m[1] = m[2] = t->houses[2].group->view.members[1];
	assert_change_refused(t, m, 3, PERRON_DROP_MALFORMED);
	town_free(t);
}

/* Who has told its state and does not know yet what is missing takes no packet. */
static void what_was_missing_in_an_earlier_change_is_not_taken_in_this(void **state)
{
	struct town *t = town_make(3);
	struct perron_command cell = {.kind = PERRON_COMMAND_CELL};
	const struct perron_group *g = t->houses[3].group;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	struct group_data none = {0};

	(void)state;
	assert_int_equal(command(t, 1, &cell), 0);
	run(t, 50 * MS);
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(say_text(t, 3, PERRON_GROUP_SAFE, "more"), 0);
		run(t, 5 * MS);
	}
	cell.sequence = CELL;
	cell.value = 1;
	assert_int_equal(command(t, 1, &cell), 0);
	run(t, 200 * MS);
	assert_int_equal(g->view.member_count, 3);
	uint32_t size = state_of_1(t, 99, g->view.members, 3, payload);
	forge(t, 3, 1, payload, size);
	struct group_head commit = {.kind = GROUP_COMMIT, .cell = CELL, .view = {99, 1, 1}};
	struct perron_writer w = group_head_write(payload, &commit);
	perron_write32(&w, 1);
	perron_write32(&w, 7);
	forge(t, 3, 1, payload, perron_writer_size(&w));
	assert_int_equal(g->state, PERRON_GROUP_STATE_RECOVER);
	assert_false(g->change.is_merged);
	uint32_t received = g->streams[1].received;
	struct group_head head = head_from(t, 2, GROUP_DATA);
	forge(t, 3, 2, payload, data_from(t, 2, &head, &none, payload));
	assert_int_equal(g->streams[1].received, received);
	town_free(t);
}

static void what_follows_leave_or_ready_is_malformed(void **state)
{
	struct town *t = town_make(2);
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX] = {0};
	struct group_head head = head_from(t, 2, GROUP_READY);

	(void)state;
	(void)group_head_write(payload, &head);
	assert_refused(t, payload, GROUP_HEAD_SIZE + 1, PERRON_DROP_MALFORMED);
	head.kind = GROUP_LEAVE;
	(void)group_head_write(payload, &head);
	assert_refused(t, payload, GROUP_HEAD_SIZE + 1, PERRON_DROP_MALFORMED);
	town_free(t);
}

/* --- the user --- */

static void bad_requests_are_refused(void **state)
{
	struct town *t = town_make(2);
	static const char bytes[64 * PERRON_GROUP_FRAGMENT_SIZE];
	struct perron_relay_config cfg = config(1);
	uint32_t most = perron_group_message_size_max(&cfg.group);
	struct perron_command none = {.kind = PERRON_COMMAND_CELL};

	(void)state;
	assert_int_equal(most, 8 * PERRON_GROUP_FRAGMENT_SIZE);
	assert_int_equal(say(t, 1, 0, PERRON_GROUP_SAFE, bytes, most + 1), -EMSGSIZE);
	assert_int_equal(say(t, 1, 0, PERRON_GROUP_SAFE, bytes, 0), -EINVAL);
	assert_int_equal(say(t, 1, 0, PERRON_GROUP_SERVICE_COUNT, bytes, 1), -EINVAL);
	assert_int_equal(say(t, 1, 0, PERRON_GROUP_SAFE, bytes, most), 0);
	run(t, 20 * MS);
	assert_int_equal(t->houses[2].pieces, 8);
	assert_int_equal(t->houses[2].piece_bytes, most);
	assert_int_equal(command(t, 1, &none), 0);
	assert_int_equal(say(t, 1, 0, PERRON_GROUP_SAFE, bytes, 1), -ENOTCONN);
	town_free(t);
}

/* The other is silent: the window fills, then what waits, then it would block. */
static bool lose_to_1(const struct flight *f, const struct group_head *head)
{
	return f->to == 1 && head->kind == GROUP_STATUS;
}

static void full_buffers_block_and_go_on(void **state)
{
	struct town *t = town_make(2);
	static const char bytes[1000];
	uint32_t taken = 0;
	int error;

	(void)state;
	t->lose = lose_to_1;
	while ((error = say(t, 1, 0, PERRON_GROUP_AGREED, bytes, sizeof(bytes))) == 0)
		taken++;
	assert_int_equal(error, -EAGAIN);
	/* Half a window under way, and as many packets as may wait. */
	assert_int_equal(taken, 8 + 16);
	run(t, 1 * MS);
	assert_int_equal(say(t, 1, 0, PERRON_GROUP_AGREED, bytes, sizeof(bytes)), -EAGAIN);
	assert_int_equal(t->houses[1].group->counters.would_block, 2);
	t->lose = NULL;
	run(t, 20 * MS);
	assert_int_equal(t->houses[2].text_count, taken);
	assert_int_equal(t->houses[1].text_count, taken);
	assert_int_equal(say(t, 1, 0, PERRON_GROUP_AGREED, bytes, sizeof(bytes)), 0);
	run(t, 20 * MS);
	assert_int_equal(t->houses[2].text_count, taken + 1);
	town_free(t);
}

/* --- packets --- */

static void short_messages_share_packets(void **state)
{
	struct town *t = town_make(2);
	uint64_t packets = t->houses[1].group->counters.packets;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(say_text(t, 1, PERRON_GROUP_AGREED, "ten bytes."), 0);
	run(t, 20 * MS);
	assert_int_equal(t->houses[2].text_count, 100);
	packets = t->houses[1].group->counters.packets - packets;
	assert_true(packets <= 5);
	town_free(t);
}

/* Those of all members, in one order everywhere; each sender's in its own. */
static void long_and_short_ones_come_whole_and_in_one_order(void **state)
{
	struct town *t = town_make(4);
	char text[4000];
	uint32_t sizes[] = {3, 1184, 1185, 4000, 2368, 30};

	(void)state;
	for (uint32_t round = 0; round < 6; round++) {
		for (uint32_t i = 1; i <= 4; i++) {
			memset(text, 'a' + (int)round, sizeof(text));
			assert_int_equal(say(t, i, 0, 2 + round % 2, text, sizes[round]), 0);
		}
		run(t, 100000);
	}
	run(t, 50 * MS);
	for (uint32_t i = 1; i <= 4; i++) {
		assert_int_equal(t->houses[i].text_count, 24);
		assert_int_equal(t->houses[i].pieces, 4 * (1 + 1 + 2 + 4 + 2 + 1));
		assert_memory_equal(t->houses[i].texts, t->houses[1].texts,
				    sizeof(t->houses[1].texts));
	}
	town_free(t);
}

static bool lose_some(const struct flight *f, const struct group_head *head)
{
	static uint32_t random = 1;

	(void)f;
	random = random * 1664525 + 1013904223;
	return head->kind >= GROUP_DATA && random >> 30 == 0;
}

static void what_is_lost_comes_again(void **state)
{
	struct town *t = town_make(3);
	char text[] = "x";

	(void)state;
	t->lose = lose_some;
	for (uint32_t i = 0; i < 60; i++) {
		text[0] = (char)('A' + i % 26);
		assert_int_equal(say_text(t, 1 + i % 3, PERRON_GROUP_SAFE, text), 0);
		run(t, 1 * MS);
	}
	run(t, 100 * MS);
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(t->houses[i].text_count, 60);
		assert_memory_equal(t->houses[i].texts, t->houses[1].texts,
				    sizeof(t->houses[1].texts));
		assert_int_equal(t->houses[i].views, 0);
	}
	town_free(t);
}

/* --- who is gone --- */

static bool lose_data_of_3_to_1(const struct flight *f, const struct group_head *head)
{
	return head->kind == GROUP_DATA && f->from == 3 && f->to == 1;
}

/* Peer 3's last word reached peer 2 alone: peer 1 has it from there, in the old view. */
static void another_holder_has_what_a_lost_member_sent(void **state)
{
	struct town *t = town_make(3);

	(void)state;
	t->lose = lose_data_of_3_to_1;
	assert_int_equal(say_text(t, 3, PERRON_GROUP_SAFE, "last"), 0);
	run(t, FLIGHT_NS + 40000);
	t->houses[3].dead = true;
	run(t, 200 * MS);
	for (uint32_t i = 1; i <= 2; i++) {
		assert_int_equal(t->houses[i].view.member_count, 2);
		assert_true(was_told(t, i, "3slast"));
		assert_int_equal(t->houses[i].views, 1);
	}
	town_free(t);
}

static void who_leaves_is_gone_at_once(void **state)
{
	struct town *t = town_make(3);
	struct perron_command none = {.kind = PERRON_COMMAND_CELL};

	(void)state;
	assert_int_equal(say_text(t, 2, PERRON_GROUP_AGREED, "bye"), 0);
	assert_int_equal(command(t, 2, &none), 0);
	run(t, 5 * MS);
	assert_int_equal(t->houses[1].view.member_count, 2);
	assert_int_equal(t->houses[1].view.members[1].peer, 3);
	assert_int_equal(say_text(t, 1, PERRON_GROUP_SAFE, "on"), 0);
	run(t, 10 * MS);
	assert_true(was_told(t, 3, "1son"));
	town_free(t);
}

/* --- light-weight groups --- */

static int light(struct town *t, uint32_t peer, uint8_t kind, uint32_t group)
{
	struct perron_command c = {.kind = kind, .stream = group};

	return command(t, peer, &c);
}

static void a_light_group_has_its_messages_to_itself(void **state)
{
	struct town *t = town_make(3);

	(void)state;
	assert_int_equal(light(t, 1, PERRON_COMMAND_GROUP_JOIN, 9), 0);
	assert_int_equal(light(t, 3, PERRON_COMMAND_GROUP_JOIN, 9), 0);
	run(t, 10 * MS);
	assert_int_equal(t->houses[1].light.member_count, 2);
	assert_int_equal(t->houses[1].light.members[1], 3);
	assert_int_equal(say(t, 2, 9, PERRON_GROUP_AGREED, "in", 2), 0);
	run(t, 10 * MS);
	assert_true(was_told(t, 1, "2ain") && was_told(t, 3, "2ain"));
	assert_int_equal(t->houses[2].text_count, 0);
	assert_int_equal(light(t, 3, PERRON_COMMAND_GROUP_LEAVE, 9), 0);
	run(t, 10 * MS);
	assert_int_equal(t->houses[1].light.member_count, 1);
	assert_int_equal(say(t, 2, 9, PERRON_GROUP_AGREED, "on", 2), 0);
	run(t, 10 * MS);
	assert_int_equal(t->houses[3].text_count, 1);
	assert_int_equal(t->houses[1].text_count, 2);
	assert_int_equal(t->houses[1].views, 0);
	town_free(t);
}

static void a_light_group_outlives_a_view(void **state)
{
	struct town *t = town_make(3);

	(void)state;
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(light(t, i, PERRON_COMMAND_GROUP_JOIN, 9), 0);
	run(t, 10 * MS);
	assert_int_equal(t->houses[3].light.member_count, 3);
	t->houses[1].dead = true;
	run(t, 200 * MS);
	assert_int_equal(t->houses[3].view.member_count, 2);
	assert_int_equal(t->houses[3].light.member_count, 2);
	assert_int_equal(t->houses[3].light.members[0], 2);
	town_free(t);
}

static void light_groups_are_bounded(void **state)
{
	struct town *t = town_make(2);

	(void)state;
	assert_int_equal(light(t, 1, PERRON_COMMAND_GROUP_JOIN, 0), -EINVAL);
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(light(t, 1, PERRON_COMMAND_GROUP_JOIN, i), 0);
		run(t, 5 * MS);
	}
	assert_int_equal(light(t, 1, PERRON_COMMAND_GROUP_JOIN, 4), -ENOSPC);
	assert_int_equal(light(t, 1, PERRON_COMMAND_GROUP_LEAVE, 2), 0);
	run(t, 5 * MS);
	assert_int_equal(light(t, 1, PERRON_COMMAND_GROUP_JOIN, 4), 0);
	run(t, 5 * MS);
	assert_int_equal(t->houses[1].light.group, 4);
	town_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_read_is_malformed),
		cmocka_unit_test(what_is_of_another_cell_is_dropped),
		cmocka_unit_test(what_is_of_an_old_view_is_dropped),
		cmocka_unit_test(who_is_no_member_is_not_heard),
		cmocka_unit_test(a_linked_peer_that_is_no_sibling_is_not_heard),
		cmocka_unit_test(numbers_that_cannot_be_are_dropped),
		cmocka_unit_test(a_packet_beyond_the_ring_waits),
		cmocka_unit_test(a_status_that_cannot_be_is_dropped),
		cmocka_unit_test(decisions_on_no_change_of_ours_are_dropped),
		cmocka_unit_test(a_change_led_by_a_higher_member_is_refused),
		cmocka_unit_test(a_member_that_was_lied_to_goes_on),
		cmocka_unit_test(more_candidates_than_a_cell_has_are_refused),
		cmocka_unit_test(candidates_out_of_order_or_twice_are_refused),
		cmocka_unit_test(what_was_missing_in_an_earlier_change_is_not_taken_in_this),
		cmocka_unit_test(what_follows_leave_or_ready_is_malformed),
		cmocka_unit_test(bad_requests_are_refused),
		cmocka_unit_test(full_buffers_block_and_go_on),
		cmocka_unit_test(short_messages_share_packets),
		cmocka_unit_test(long_and_short_ones_come_whole_and_in_one_order),
		cmocka_unit_test(what_is_lost_comes_again),
		cmocka_unit_test(another_holder_has_what_a_lost_member_sent),
		cmocka_unit_test(who_leaves_is_gone_at_once),
		cmocka_unit_test(a_light_group_has_its_messages_to_itself),
		cmocka_unit_test(a_light_group_outlives_a_view),
		cmocka_unit_test(light_groups_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
