/* The load on a peer's group: members of a cell whose group is a queue in the order of sending. */
#include "apps/station/group_load.h"

#include <errno.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "test/unit/support.h"

#define MEMBER_COUNT 3
#define QUEUE_SIZE   4096
#define MS	     1000000u
#define SECOND	     1000000000u
#define START_NS     (5ull * SECOND)
/* From sending to delivery. */
#define WAY_NS	20000u
#define STEP_NS 10000u

struct sent {
	uint32_t sender;
	enum perron_group_service service;
	uint64_t at_ns;
	uint32_t size;
	uint8_t data[GROUP_LOAD_SIZE_MAX];
};

static struct group_load loads[MEMBER_COUNT];
static struct sent queue[QUEUE_SIZE];
static uint32_t queue_first, queue_count;
static uint32_t room; /* messages that may be under way; 0: no bound */
static int send_error;
static bool indicates; /* each send */
static struct perron_effect effect_items[PERRON_EFFECT_COUNT_MAX];
static uint8_t effect_arena[PERRON_EFFECT_ARENA_SIZE];
static struct perron_effects effects = {.items = effect_items,
					.capacity = PERRON_EFFECT_COUNT_MAX,
					.arena = effect_arena,
					.arena_size = PERRON_EFFECT_ARENA_SIZE};
static uint64_t now_ns;
static uint32_t messages; /* sent in this test */

static int fake_send(void *context, uint64_t at_ns, enum perron_group_service service,
		     const uint8_t *data, uint32_t size, struct perron_effects *out)
{
	if (send_error)
		return send_error;
	if (room && queue_count == room)
		return -EAGAIN;
	assert_true(queue_count < QUEUE_SIZE);
	struct sent *sent = &queue[(queue_first + queue_count++) % QUEUE_SIZE];
	sent->sender = (uint32_t)(uintptr_t)context;
	sent->service = service;
	sent->at_ns = at_ns;
	sent->size = size;
	memcpy(sent->data, data, size);
	messages++;
	if (indicates)
		assert_non_null(perron_effects_indicate(out, PERRON_GROUP_INDICATE_LIGHT, 8));
	return 0;
}

static uint64_t fake_clock_ns(void)
{
	return now_ns;
}

static const struct group_load_ops ops = {.send = fake_send, .clock_ns = fake_clock_ns};

static void view_install(uint32_t number, uint32_t count)
{
	struct perron_group_view view = {.id = {number, 1, 1}, .member_count = (uint8_t)count};

	for (uint32_t i = 0; i < count; i++)
		view.members[i] = (struct perron_group_member){.peer = i + 1, .slot = (uint8_t)i};
	for (uint32_t i = 0; i < count; i++) {
		view.self = (uint8_t)i;
		group_load_indicate(&loads[i], now_ns, PERRON_GROUP_INDICATE_VIEW, &view);
	}
}

static int set_up(void **state)
{
	(void)state;
	queue_first = queue_count = room = messages = 0;
	send_error = 0;
	indicates = false;
	now_ns = START_NS;
	for (uint32_t i = 0; i < MEMBER_COUNT; i++)
		group_load_init(&loads[i], i + 1, &ops, (void *)(uintptr_t)(i + 1));
	view_install(1, MEMBER_COUNT);
	return 0;
}

static void deliver_first(void)
{
	const struct sent *sent = &queue[queue_first % QUEUE_SIZE];
	struct perron_group_message m = {.sender = sent->sender,
					 .service = (uint8_t)sent->service,
					 .fragment_count = 1,
					 .size = sent->size,
					 .data = sent->data};

	queue_first++;
	queue_count--;
	for (uint32_t i = 0; i < MEMBER_COUNT; i++)
		group_load_indicate(&loads[i], now_ns, PERRON_GROUP_INDICATE_MESSAGE, &m);
}

static void load_tick(struct group_load *l)
{
	group_load_tick(l, now_ns, &effects);
	perron_effects_reset(&effects);
}

/* Time passes, messages arrive, and loads are ticked when they are due. */
static void turn_until(uint64_t until_ns)
{
	for (; now_ns < until_ns; now_ns += STEP_NS) {
		while (queue_count && queue[queue_first % QUEUE_SIZE].at_ns + WAY_NS <= now_ns)
			deliver_first();
		for (uint32_t i = 0; i < MEMBER_COUNT; i++)
			if (group_load_deadline_ns(&loads[i]) <= now_ns)
				load_tick(&loads[i]);
	}
}

static struct group_load_config config_of(enum group_load_mode mode)
{
	return (struct group_load_config){.run = 77,
					  .mode = (uint8_t)mode,
					  .service = PERRON_GROUP_AGREED,
					  .size = 200,
					  .length_ns = 100 * MS};
}

static uint64_t end_ns(void)
{
	return START_NS + GROUP_LOAD_BEGIN_NS + 100 * MS + GROUP_LOAD_DRAIN_NS;
}

/* All take part; those of `senders`, a bit each, send. */
static void run(struct group_load_config config, uint32_t senders)
{
	for (uint32_t i = 0; i < MEMBER_COUNT; i++) {
		config.sends = senders & 1u << i;
		config.leads = config.sends && !(senders & ((1u << i) - 1));
		group_load_start(&loads[i], now_ns, &config);
	}
	turn_until(end_ns() - MS);
	for (uint32_t i = 0; i < MEMBER_COUNT; i++)
		assert_int_equal(group_load_state_of(&loads[i], 77), GROUP_LOAD_RUNNING);
	turn_until(end_ns() + MS);
	for (uint32_t i = 0; i < MEMBER_COUNT; i++)
		assert_int_equal(group_load_state_of(&loads[i], 77), GROUP_LOAD_DONE);
}

static void a_message_each_period_is_measured_until_it_is_back(void **state)
{
	struct group_load_config config = config_of(GROUP_LOAD_LATENCY);

	(void)state;
	config.period_ns = MS;
	run(config, 1);
	const struct group_load_result *r = &loads[0].result;
	assert_int_equal(r->error, 0);
	assert_int_equal(r->member_count, MEMBER_COUNT);
	assert_int_equal(r->sent, 100);
	assert_int_equal(r->own, 100);
	assert_int_equal(r->latency.count, 100);
	assert_int_equal(r->latency.min_ns, WAY_NS);
	assert_int_equal(r->latency.max_ns, WAY_NS);
	for (uint32_t i = 0; i < MEMBER_COUNT; i++) {
		assert_int_equal(loads[i].result.messages, 100);
		assert_int_equal(loads[i].result.bytes, 100 * 200);
		assert_int_equal(loads[i].result.one_way.count, i ? 100 : 0);
		assert_int_equal(loads[i].result.last_ns - loads[i].result.first_ns, 99 * MS);
	}
	assert_int_equal(messages, 100);
}

static void without_a_period_the_next_follows_the_last(void **state)
{
	(void)state;
	run(config_of(GROUP_LOAD_LATENCY), 1);
	assert_int_equal(loads[0].result.sent, 100 * MS / WAY_NS);
	assert_int_equal(loads[0].result.latency.max_ns, WAY_NS);
}

static void what_would_block_counts_from_its_first_try(void **state)
{
	struct group_load_config config = config_of(GROUP_LOAD_LATENCY);

	(void)state;
	config.period_ns = STEP_NS;
	room = 1; /* one each WAY_NS, twice the period */
	run(config, 1);
	const struct group_load_result *r = &loads[0].result;
	assert_true(r->would_block > 1000);
	assert_int_equal(r->own, r->sent);
	/* Tried as soon as the one before has left. */
	assert_int_equal(r->latency.max_ns, 2 * WAY_NS);
}

static void rate_sends_as_much_as_is_taken(void **state)
{
	(void)state;
	room = 12;
	run(config_of(GROUP_LOAD_RATE), 3);
	uint64_t sent = loads[0].result.sent + loads[1].result.sent;
	assert_in_range(sent, 12 * 100 * MS / WAY_NS - 24, 12 * 100 * MS / WAY_NS + 24);
	assert_true(loads[0].result.would_block + loads[1].result.would_block > 0);
	for (uint32_t i = 0; i < MEMBER_COUNT; i++)
		assert_int_equal(loads[i].result.messages, sent);
	assert_int_equal(loads[2].result.one_way.count, sent);
}

static void what_is_indicated_is_applied_before_the_next_is_sent(void **state)
{
	struct group_load_config config = config_of(GROUP_LOAD_RATE);

	(void)state;
	config.sends = true;
	group_load_start(&loads[0], now_ns, &config);
	now_ns += GROUP_LOAD_BEGIN_NS;
	load_tick(&loads[0]);
	assert_int_equal(messages, GROUP_LOAD_TURN);
	indicates = true;
	load_tick(&loads[0]);
	assert_int_equal(messages, GROUP_LOAD_TURN + 1);
	assert_true(group_load_deadline_ns(&loads[0]) <= now_ns);
	/* Nor is what a send may cause cut short. */
	indicates = false;
	effects.arena_used = effects.arena_size - 1024;
	load_tick(&loads[0]);
	assert_int_equal(messages, GROUP_LOAD_TURN + 2);
}

static void a_sequencer_orders_what_came_in_by_one_message(void **state)
{
	struct group_load_config config = config_of(GROUP_LOAD_SEQUENCER);

	(void)state;
	config.period_ns = MS;
	run(config, 2 | 4);
	assert_int_equal(loads[1].result.sent, 100);
	assert_int_equal(loads[1].result.own, 100);
	assert_int_equal(loads[2].result.own, 100);
	/* There, and back as an order. */
	assert_int_equal(loads[1].result.latency.min_ns, 2 * WAY_NS);
	/* Both were sent at the same time: one order for the two. */
	assert_int_equal(loads[0].result.orders, 100);
	assert_int_equal(messages, 300);
	for (uint32_t i = 0; i < MEMBER_COUNT; i++)
		assert_int_equal(loads[i].result.messages, 200);
}

static void a_sequencer_that_is_lost_holds_nobody_up(void **state)
{
	(void)state;
	struct group_load_config config = config_of(GROUP_LOAD_SEQUENCER);
	config.sends = true;
	group_load_start(&loads[1], now_ns, &config);
	turn_until(START_NS + GROUP_LOAD_BEGIN_NS + 2 * STEP_NS);
	assert_int_equal(queue_count, 1);
	queue_count = 0;
	turn_until(now_ns + MS);
	assert_int_equal(loads[1].result.sent, 1);
	view_install(2, MEMBER_COUNT);
	turn_until(now_ns + MS);
	assert_true(loads[1].result.own > 10);
	assert_int_equal(loads[1].result.views, 1);
}

static void who_holds_the_token_may_send(void **state)
{
	(void)state;
	run(config_of(GROUP_LOAD_TOKEN), 1 | 4);
	const struct group_load_result *r = &loads[0].result;
	uint64_t tokens = r->tokens + loads[1].result.tokens + loads[2].result.tokens;
	/* A turn of the token is a way to each member. */
	assert_in_range(r->sent, 100 * MS / (3 * WAY_NS) - 2, 100 * MS / (3 * WAY_NS) + 2);
	assert_int_equal(r->own, r->sent);
	/* It wants to again when its message is back, one way after the token has left. */
	assert_int_equal(perron_histogram_percentile_ns(&r->latency, 500000) / 1000,
			 3 * WAY_NS / 1000);
	assert_in_range(loads[2].result.sent, r->sent - 1, r->sent + 1);
	assert_in_range(tokens, 3 * r->sent - 3, 3 * 200 * MS / WAY_NS);
	assert_int_equal(queue_count, 0);
}

static void a_token_that_is_lost_is_made_anew_with_the_view(void **state)
{
	struct group_load_config config = config_of(GROUP_LOAD_TOKEN);

	(void)state;
	config.sends = config.leads = true;
	group_load_start(&loads[0], now_ns, &config);
	turn_until(START_NS + GROUP_LOAD_BEGIN_NS + MS);
	struct sent lost = queue[queue_first % QUEUE_SIZE];
	queue_count = 0;
	turn_until(now_ns + MS);
	uint64_t sent = loads[0].result.sent;
	turn_until(now_ns + MS);
	assert_int_equal(loads[0].result.sent, sent);
	view_install(2, MEMBER_COUNT);
	turn_until(now_ns + 10 * MS);
	assert_true(loads[0].result.sent > sent);
	/* The old one comes after all: nobody passes it on. */
	struct perron_group_message m = {
	    .sender = lost.sender, .fragment_count = 1, .size = lost.size, .data = lost.data};
	uint32_t held = 0;
	for (uint32_t i = 0; i < MEMBER_COUNT; i++)
		held += loads[i].token_held;
	for (uint32_t i = 0; i < MEMBER_COUNT; i++) {
		group_load_indicate(&loads[i], now_ns, PERRON_GROUP_INDICATE_MESSAGE, &m);
		held -= loads[i].token_held;
	}
	assert_int_equal(held, 0);
}

static void a_token_may_come_back_before_it_is_seen_to_leave(void **state)
{
	struct group_load_config config = config_of(GROUP_LOAD_TOKEN);

	(void)state;
	config.leads = true;
	group_load_start(&loads[0], now_ns, &config);
	load_tick(&loads[0]); /* to the next member */
	assert_false(loads[0].token_held);
	struct sent away = queue[queue_first % QUEUE_SIZE], back = away;
	perron_store32(back.data + GROUP_LOAD_SIZE_MIN, 1);
	struct perron_group_message m = {.fragment_count = 1, .size = back.size};
	m.data = back.data;
	group_load_indicate(&loads[0], now_ns, PERRON_GROUP_INDICATE_MESSAGE, &m);
	m.data = away.data;
	group_load_indicate(&loads[0], now_ns, PERRON_GROUP_INDICATE_MESSAGE, &m);
	assert_true(loads[0].token_held);
}

static void pieces_are_one_message(void **state)
{
	struct group_load_config config = config_of(GROUP_LOAD_LATENCY);
	uint8_t bytes[3][1000];
	struct perron_group_message m = {.sender = 2, .fragment_count = 3, .size = 1000};

	(void)state;
	config.sends = true;
	config.size = 3000;
	group_load_start(&loads[1], now_ns, &config);
	config.sends = false;
	group_load_start(&loads[0], now_ns, &config);
	turn_until(START_NS + GROUP_LOAD_BEGIN_NS + STEP_NS);
	assert_int_equal(queue_count, 1);
	memcpy(bytes, queue[queue_first].data, sizeof(bytes));
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(loads[0].result.messages, 0);
		m.fragment_index = (uint8_t)i;
		m.data = bytes[i];
		group_load_indicate(&loads[0], now_ns, PERRON_GROUP_INDICATE_MESSAGE, &m);
	}
	assert_int_equal(loads[0].result.messages, 1);
	assert_int_equal(loads[0].result.bytes, 3000);
}

static void others_messages_and_runs_are_none_of_ours(void **state)
{
	struct group_load_config config = config_of(GROUP_LOAD_LATENCY);
	static const uint8_t text[200] = "none of the load's";
	struct perron_group_message m = {
	    .sender = 2, .fragment_count = 1, .size = sizeof(text), .data = text};

	(void)state;
	group_load_start(&loads[0], now_ns, &config);
	group_load_indicate(&loads[0], now_ns, PERRON_GROUP_INDICATE_MESSAGE, &m);
	m.size = 3;
	group_load_indicate(&loads[0], now_ns, PERRON_GROUP_INDICATE_MESSAGE, &m);
	config.run = 78;
	config.sends = true;
	config.period_ns = MS;
	group_load_start(&loads[1], now_ns, &config);
	turn_until(end_ns() + MS);
	assert_int_equal(loads[1].result.messages, 100);
	assert_int_equal(loads[0].result.messages, 0);
}

static void what_ends_a_run_is_told(void **state)
{
	struct group_load_config config = config_of(GROUP_LOAD_RATE);

	(void)state;
	config.sends = true;
	send_error = -ENOTCONN;
	group_load_start(&loads[0], now_ns, &config);
	assert_int_equal(group_load_state_of(&loads[0], 77), GROUP_LOAD_RUNNING);
	assert_int_equal(group_load_state_of(&loads[0], 78), GROUP_LOAD_IDLE);
	turn_until(START_NS + GROUP_LOAD_BEGIN_NS + MS);
	assert_int_equal(group_load_state_of(&loads[0], 77), GROUP_LOAD_DONE);
	assert_int_equal(loads[0].result.error, -ENOTCONN);
	send_error = 0;
	group_load_start(&loads[0], now_ns, &config);
	group_load_stop(&loads[0]);
	assert_int_equal(group_load_state_of(&loads[0], 77), GROUP_LOAD_DONE);
	assert_int_equal(loads[0].result.error, -ECANCELED);
	assert_int_equal(group_load_deadline_ns(&loads[0]), UINT64_MAX);
	group_load_init(&loads[0], 1, &ops, NULL);
	group_load_start(&loads[0], now_ns, &config);
	assert_int_equal(loads[0].result.error, -ENOTCONN);
	assert_int_equal(group_load_state_of(&loads[0], 77), GROUP_LOAD_DONE);
}

static void runs_that_cannot_be_are_refused(void **state)
{
	struct group_load_config good = config_of(GROUP_LOAD_RATE), bad;

	(void)state;
	assert_true(group_load_config_is_valid(&good));
	bad = good, bad.run = 0;
	assert_false(group_load_config_is_valid(&bad));
	bad = good, bad.mode = GROUP_LOAD_MODE_COUNT;
	assert_false(group_load_config_is_valid(&bad));
	bad = good, bad.service = PERRON_GROUP_SERVICE_COUNT;
	assert_false(group_load_config_is_valid(&bad));
	bad = good, bad.size = GROUP_LOAD_SIZE_MIN - 1;
	assert_false(group_load_config_is_valid(&bad));
	bad = good, bad.size = GROUP_LOAD_SIZE_MAX + 1;
	assert_false(group_load_config_is_valid(&bad));
	bad = good, bad.length_ns = 0;
	assert_false(group_load_config_is_valid(&bad));
	assert_int_equal(group_load_mode_from_name("token"), GROUP_LOAD_TOKEN);
	assert_int_equal(group_load_mode_from_name("paxos"), -1);
	assert_string_equal(group_load_mode_name(GROUP_LOAD_MODE_COUNT), "unknown");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_message_each_period_is_measured_until_it_is_back),
	    TEST(without_a_period_the_next_follows_the_last),
	    TEST(what_would_block_counts_from_its_first_try),
	    TEST(rate_sends_as_much_as_is_taken),
	    TEST(what_is_indicated_is_applied_before_the_next_is_sent),
	    TEST(a_sequencer_orders_what_came_in_by_one_message),
	    TEST(a_sequencer_that_is_lost_holds_nobody_up),
	    TEST(who_holds_the_token_may_send),
	    TEST(a_token_that_is_lost_is_made_anew_with_the_view),
	    TEST(a_token_may_come_back_before_it_is_seen_to_leave),
	    TEST(pieces_are_one_message),
	    TEST(others_messages_and_runs_are_none_of_ours),
	    TEST(what_ends_a_run_is_told),
	    TEST(runs_that_cannot_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
