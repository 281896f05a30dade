#include "runtime/lcore/loop.h"

#include <stdlib.h>
#include <string.h>

#include "test/unit/runtime/lcore/host.h"

static void classes_are_stepped_in_strict_order(void **state)
{
	static const uint8_t expected[] = {PERRON_CLASS_ALARM, PERRON_CLASS_CRITICAL,
					   PERRON_CLASS_OVERLAY, PERRON_CLASS_NORMAL};

	(void)state;
	host_give(0, PERRON_CLASS_NORMAL, 10, false);
	host_give(0, PERRON_CLASS_OVERLAY, 10, false);
	host_give(0, PERRON_CLASS_CRITICAL, 10, false);
	host_give(0, PERRON_CLASS_ALARM, 10, false);
	assert_true(perron_lcore_turn(&host.l));
	assert_int_equal(host.step_count, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(host.steps[i].class, expected[i]);
}

static void a_flood_of_normal_frames_does_not_delay_an_alarm(void **state)
{
	(void)state;
	for (int i = 0; i < 500; i++)
		host_give(1, PERRON_CLASS_NORMAL, 10, false);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.mine[1].frames, PERRON_LCORE_FRAME_TURN);
	host_give(0, PERRON_CLASS_ALARM, 10, false);
	host.step_count = 0;
	perron_lcore_turn(&host.l);
	assert_int_equal(host.steps[0].class, PERRON_CLASS_ALARM);
	assert_int_equal(host.mine[1].frames, 2 * PERRON_LCORE_FRAME_TURN - 1);
}

static void a_machine_is_called_once_a_burst(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		host_give(0, PERRON_CLASS_NORMAL, 10, false);
		host_give(2, PERRON_CLASS_NORMAL, 10, false);
	}
	perron_lcore_turn(&host.l);
	assert_int_equal(host.mine[0].inputs, 1);
	assert_int_equal(host.mine[0].frames, 10);
	assert_int_equal(host.mine[2].inputs, 1);
	assert_int_equal(host.mine[1].inputs, 0);
}

static void a_full_class_queue_is_counted(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PERRON_LCORE_QUEUE_SIZE + 3; i++)
		host_give(0, PERRON_CLASS_CRITICAL, 10, false);
	assert_int_equal(host.l.counters.drop[PERRON_DROP_QUEUE_FULL], 3);
}

static void frames_for_nobody_here_are_counted(void **state)
{
	(void)state;
	host_give(40, PERRON_CLASS_NORMAL, 10, false);
	assert_int_equal(host.l.counters.drop[PERRON_DROP_DESTINATION], 1);
}

static void forward_to_second(struct host_machine *m, const struct perron_frame *in, uint32_t count,
			      struct perron_effects *out)
{
	const struct perron_hop hop = host_hop(2);

	(void)m;
	for (uint32_t i = 0; i < count; i++)
		perron_effects_forward(out, in[i].handle, host_endpoint(HOST_ADDRESS),
				       PERRON_CLASS_NORMAL, &hop, PERRON_EFFECT_LAST);
}

static void frames_to_a_machine_here_never_touch_a_port(void **state)
{
	(void)state;
	host.mine[0].on_input = forward_to_second;
	host_give(0, PERRON_CLASS_NORMAL, 10, false);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.mine[1].frames, 0);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.mine[1].frames, 1);
	assert_int_equal(host.sent_count, 0);
	assert_int_equal(host.l.counters.local, 1);
}

static void commands_are_bounded_a_turn(void **state)
{
	struct perron_command command = {.kind = PERRON_COMMAND_CLOCK};

	(void)state;
	for (uint32_t i = 0; i < PERRON_LCORE_COMMAND_TURN + 5; i++)
		assert_true(perron_spsc_push(host.l.commands, 1, &command, sizeof(command)));
	perron_lcore_turn(&host.l);
	assert_int_equal(host.mine[1].commands, PERRON_LCORE_COMMAND_TURN);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.mine[1].commands, PERRON_LCORE_COMMAND_TURN + 5);
	assert_int_equal(host.mine[1].last_command_size, sizeof(command));
	assert_false(perron_lcore_turn(&host.l));
}

static void machines_are_ticked_when_they_asked(void **state)
{
	struct perron_command command = {.kind = PERRON_COMMAND_CLOCK};

	(void)state;
	host.mine[1].deadline_ns = 1; /* long past, once it has been asked */
	perron_spsc_push(host.l.commands, 1, &command, sizeof(command));
	perron_lcore_turn(&host.l);
	assert_int_equal(host.mine[1].ticks, 1);
	assert_int_equal(host.mine[0].ticks, 0);
	assert_false(perron_lcore_turn(&host.l));
	assert_int_equal(host.mine[1].ticks, 1);
}

static void message_push(const void *data, uint32_t size, bool traced)
{
	const struct perron_lcore_message head = {
	    .stamp_ns = perron_clock_now_ns(), .stream = 5, .traced = traced};
	uint8_t *at = perron_spsc_reserve(host.l.messages, (uint32_t)sizeof(head) + size);

	assert_non_null(at);
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), data, size);
	perron_spsc_commit(host.l.messages, 0, (uint32_t)sizeof(head) + size);
}

static uint8_t gathered[8192];
static uint32_t gathered_size;

/* As a relay would: writes the headers, holds and forwards. */
static void take_offer(struct host_machine *m, const struct perron_frame *frames, uint32_t count,
		       bool traced, struct perron_effects *out)
{
	const struct perron_hop hop = host_hop(50);
	uint32_t skip = PERRON_HEADER_SIZE + (traced ? PERRON_TRACE_SIZE : 0);

	(void)m;
	for (uint32_t i = 0; i < count; i++) {
		const struct perron_header header = {
		    .type = PERRON_TYPE_DATA,
		    .class = PERRON_CLASS_NORMAL,
		    .flags = traced ? PERRON_FLAG_TRACE : 0,
		    .fragment_index = (uint8_t)i,
		    .fragment_count = (uint8_t)count,
		    .length = (uint16_t)(frames[i].length - PERRON_HEADER_SIZE),
		    .overlay = HOST_OVERLAY,
		    .stream = 5,
		    .sequence = 1 + i,
		};
		assert_true(frames[i].length <= PERRON_FRAME_SIZE_MAX);
		memcpy(gathered + gathered_size, frames[i].data + skip, frames[i].length - skip);
		gathered_size += frames[i].length - skip;
		perron_frame_encode(frames[i].data, &header);
		perron_effects_forward(out, frames[i].handle, host_endpoint(HOST_NEIGHBOUR),
				       PERRON_CLASS_NORMAL, &hop, 0);
	}
}

static void a_long_message_becomes_frames_that_give_it_back(void **state)
{
	uint8_t message[4180];

	(void)state;
	for (uint32_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)(i * 7);
	gathered_size = 0;
	host.mine[0].on_offer = take_offer;
	message_push(message, sizeof(message), false);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.mine[0].offers, 1);
	assert_int_equal(host.mine[0].frames, 3);
	assert_int_equal(gathered_size, sizeof(message));
	assert_memory_equal(gathered, message, sizeof(message));
	assert_int_equal(host.sent_count, 3);
	assert_int_equal(host.l.counters.messages, 1);
}

static void a_refused_message_is_counted_and_freed(void **state)
{
	(void)state;
	host.mine[0].refuses = true;
	message_push("x", 1, false);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.l.counters.messages_refused, 1);
}

static void a_traced_message_leaves_with_its_origins_record(void **state)
{
	struct perron_trace_record record;

	(void)state;
	gathered_size = 0;
	host.mine[0].on_offer = take_offer;
	message_push("hello", 5, true);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.sent_count, 1);
	const uint8_t *frame =
	    rte_pktmbuf_mtod_offset(host.sent[0], const uint8_t *, PERRON_NET_HEADER_SIZE);
	assert_int_equal(perron_trace_count(frame), 1);
	perron_trace_read(frame, 0, &record);
	assert_int_equal(record.peer, 1);
	assert_true(record.received_ns > 0);
	assert_true(record.transmitted_ns >= record.step_ns);
	assert_true(record.transmitted_ns > 0);
}

static uint32_t trace_count_seen;

static void look_at_trace(struct host_machine *m, const struct perron_frame *in, uint32_t count,
			  struct perron_effects *out)
{
	(void)m;
	(void)count;
	(void)out;
	trace_count_seen = perron_trace_count(in[0].data);
}

static void each_hop_adds_a_record(void **state)
{
	(void)state;
	trace_count_seen = 0;
	host.mine[0].on_input = forward_to_second;
	host.mine[1].on_input = look_at_trace;
	host_give(0, PERRON_CLASS_NORMAL, PERRON_TRACE_SIZE + 5, true);
	perron_lcore_turn(&host.l);
	perron_lcore_turn(&host.l);
	assert_int_equal(trace_count_seen, 2);
}

static void a_short_frame_that_claims_a_trace_is_left_alone(void **state)
{
	(void)state;
	struct rte_mbuf *mbuf = host_frame(0, PERRON_CLASS_NORMAL, PERRON_TRACE_SIZE, true);

	rte_pktmbuf_trim(mbuf, 10);
	host.l.view = perron_views_read(&host.places);
	perron_lcore_enqueue(&host.l, mbuf, PERRON_CLASS_NORMAL, 1);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.mine[0].frames, 1);
}

static void waiting_push(uint8_t class)
{
	perron_lcore_send(&host.l, host_frame(0, class, 10, false), class,
			  host_endpoint(HOST_NEIGHBOUR), 50);
}

static void a_port_serves_classes_in_strict_order(void **state)
{
	(void)state;
	waiting_push(PERRON_CLASS_NORMAL);
	waiting_push(PERRON_CLASS_ALARM);
	waiting_push(PERRON_CLASS_OVERLAY);
	waiting_push(PERRON_CLASS_CRITICAL);
	assert_int_equal(perron_lcore_flush(&host.l), 4);
	assert_int_equal(host.sent_class[0], PERRON_CLASS_ALARM);
	assert_int_equal(host.sent_class[1], PERRON_CLASS_CRITICAL);
	assert_int_equal(host.sent_class[2], PERRON_CLASS_OVERLAY);
	assert_int_equal(host.sent_class[3], PERRON_CLASS_NORMAL);
}

static void what_a_full_port_does_not_take_waits_before_lower_classes(void **state)
{
	(void)state;
	waiting_push(PERRON_CLASS_NORMAL);
	waiting_push(PERRON_CLASS_ALARM);
	waiting_push(PERRON_CLASS_ALARM);
	host.room = 1;
	assert_int_equal(perron_lcore_flush(&host.l), 1);
	host.room = 1;
	assert_int_equal(perron_lcore_flush(&host.l), 1);
	assert_int_equal(host.sent_class[1], PERRON_CLASS_ALARM);
	host.room = 0;
	for (uint32_t i = 0; i < PERRON_LCORE_TRANSMIT_SIZE; i++)
		waiting_push(PERRON_CLASS_NORMAL);
	assert_int_equal(host.l.counters.drop[PERRON_DROP_PORT_FULL], 1);
}

static void lower_classes_do_not_overtake_on_a_shared_queue(void **state)
{
	(void)state;
	waiting_push(PERRON_CLASS_NORMAL);
	waiting_push(PERRON_CLASS_ALARM);
	host.full = 1 + PERRON_CLASS_ALARM;
	assert_int_equal(perron_lcore_flush(&host.l), 0);
	/* With a queue for each class, the others go on. */
	host.port.classes_apart = true;
	assert_int_equal(perron_lcore_flush(&host.l), 1);
	assert_int_equal(host.sent_class[0], PERRON_CLASS_NORMAL);
}

static uint32_t source_make(void *context, uint64_t now_ns, uint8_t *data, uint32_t room,
			    uint64_t *due_ns)
{
	uint32_t *calls = context;

	(void)now_ns;
	assert_true(room >= 100);
	memset(data, 1, 100);
	*due_ns = UINT64_MAX;
	return ++*calls == 1 ? 100 : 0;
}

static void a_source_is_asked_when_it_is_due(void **state)
{
	uint32_t calls = 0;
	struct perron_lcore_source source = {
	    .make = source_make, .context = &calls, .machine = 2, .stream = 5};

	(void)state;
	host.l.sources = &source;
	host.l.source_count = 1;
	host.l.deadline_ns = 0;
	perron_lcore_turn(&host.l);
	perron_lcore_turn(&host.l);
	assert_int_equal(calls, 1);
	assert_int_equal(host.mine[2].offers, 1);
}

static void a_housekeeping_that_stops_is_noticed(void **state)
{
	_Atomic uint64_t beat = 1;

	(void)state;
	host.l.housekeeping_beat = &beat;
	host.l.housekeeping_timeout_ns = 0;
	perron_lcore_turn(&host.l);
	assert_int_equal(host.l.counters.housekeeping_stalls, 0);
	for (int i = 0; i < 1000 && !host.l.counters.housekeeping_stalls; i++)
		perron_lcore_turn(&host.l);
	assert_true(host.l.counters.housekeeping_stalls > 0);
}

/* The longest sleep that an idle lcore of that bound comes to. */
static uint64_t idle_sleep(uint64_t backoff_ns_max)
{
	host.l.idle = PERRON_IDLE_BACKOFF;
	host.l.backoff_ns_max = backoff_ns_max;
	host.l.deadline_ns = UINT64_MAX;
	for (int i = 0; i < 120; i++) {
		perron_lcore_turn(&host.l);
		perron_lcore_idle(&host.l);
	}
	uint64_t longest_ns = host.l.idle_sleep_ns;
	perron_lcore_idle_end(&host.l);
	return longest_ns;
}

/* The bound is kept where a stream passes, here or at another lcore that this one serves. */
static void an_idle_lcore_sleeps_longer_where_no_stream_passes(void **state)
{
	(void)state;
	host.mine[1].carries = true;
	assert_int_equal(idle_sleep(20000), 20000);
	host.mine[1].carries = false;
	assert_int_equal(idle_sleep(20000), 1000000);
	assert_int_equal(idle_sleep(2000000), 2000000);
	struct perron_machine_ops ops = *host.machines[2].ops;
	ops.carries = NULL;
	struct perron_machine stranger = {.ops = &ops, .self = &host.mine[2]};
	struct perron_lcore *both = calloc(2, sizeof(*both));
	assert_non_null(both);
	both[1] = (struct perron_lcore){.machines = &stranger, .machine_count = 1};
	host.l.lcores = both;
	host.l.lcore_count = 2;
	assert_int_equal(idle_sleep(20000), 20000);
	host.l.lcores = NULL;
	host.l.lcore_count = 1;
	free(both);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_reset, host_check)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(classes_are_stepped_in_strict_order),
	    TEST(a_flood_of_normal_frames_does_not_delay_an_alarm),
	    TEST(a_machine_is_called_once_a_burst),
	    TEST(a_full_class_queue_is_counted),
	    TEST(frames_for_nobody_here_are_counted),
	    TEST(frames_to_a_machine_here_never_touch_a_port),
	    TEST(commands_are_bounded_a_turn),
	    TEST(machines_are_ticked_when_they_asked),
	    TEST(a_long_message_becomes_frames_that_give_it_back),
	    TEST(a_refused_message_is_counted_and_freed),
	    TEST(a_traced_message_leaves_with_its_origins_record),
	    TEST(each_hop_adds_a_record),
	    TEST(a_short_frame_that_claims_a_trace_is_left_alone),
	    TEST(a_port_serves_classes_in_strict_order),
	    TEST(what_a_full_port_does_not_take_waits_before_lower_classes),
	    TEST(lower_classes_do_not_overtake_on_a_shared_queue),
	    TEST(a_source_is_asked_when_it_is_due),
	    TEST(a_housekeeping_that_stops_is_noticed),
	    TEST(an_idle_lcore_sleeps_longer_where_no_stream_passes),
	};

	return cmocka_run_group_tests(tests, host_begin, host_end);
}
