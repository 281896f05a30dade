/* Effects: their order is kept, and what finds no room is counted, never half there. */
#include "test/unit/support.h"

#include <string.h>

#include "runtime/base/effects.h"

#define CAPACITY   4u
#define ARENA_SIZE 2048u

struct fixture {
	struct perron_effects effects;
	struct perron_effect items[CAPACITY];
	_Alignas(8) uint8_t arena[ARENA_SIZE];
};

static struct perron_effects *fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->effects = (struct perron_effects){.items = f->items, .capacity = CAPACITY,
					     .arena = f->arena, .arena_size = ARENA_SIZE};
	return &f->effects;
}

static void the_order_of_calls_is_the_order_of_effects(void **state)
{
	static const struct perron_hop hop = {.source = 1, .destination = 2};
	const struct perron_endpoint to = {.address = 9, .port_base = 7400};
	struct fixture f;
	struct perron_effects *e = fixture_init(&f);

	(void)state;
	perron_effects_hold(e, 11);
	perron_effects_forward(e, 12, to, PERRON_CLASS_NORMAL, &hop, PERRON_EFFECT_LAST);
	perron_effects_deliver(e, 13, 5);
	perron_effects_release(e, 11);
	assert_int_equal(e->count, 4);
	assert_int_equal(f.items[0].kind, PERRON_EFFECT_HOLD);
	assert_int_equal(f.items[0].handle, 11);
	assert_int_equal(f.items[1].kind, PERRON_EFFECT_FORWARD);
	assert_int_equal(f.items[1].class, PERRON_CLASS_NORMAL);
	assert_int_equal(f.items[1].flags, PERRON_EFFECT_LAST);
	assert_memory_equal(&f.items[1].hop, &hop, sizeof(hop));
	assert_true(perron_endpoint_equal(f.items[1].to, to));
	assert_int_equal(f.items[2].kind, PERRON_EFFECT_DELIVER);
	assert_int_equal(f.items[2].size, 5);
	assert_int_equal(f.items[3].kind, PERRON_EFFECT_RELEASE);
	perron_effects_reset(e);
	assert_int_equal(e->count, 0);
}

static void a_frame_that_is_sent_stands_encoded_in_the_arena(void **state)
{
	const struct perron_header header = {
		.type = PERRON_TYPE_BEAT, .class = PERRON_CLASS_OVERLAY, .fragment_count = 1,
		.length = 3, .source = 4};
	const struct perron_endpoint to = {.address = 9, .port_base = 7400};
	struct fixture f;
	struct perron_effects *e = fixture_init(&f);
	struct perron_header out;

	(void)state;
	uint8_t *frame = perron_effects_frame(e, 3);
	assert_non_null(frame);
	memcpy(frame + PERRON_HEADER_SIZE, "abc", 3);
	perron_effects_send(e, frame, &header, to);
	assert_int_equal(f.items[0].kind, PERRON_EFFECT_SEND);
	assert_ptr_equal(f.items[0].data, frame);
	assert_int_equal(f.items[0].class, PERRON_CLASS_OVERLAY);
	assert_int_equal(perron_frame_decode(f.items[0].data, f.items[0].size, &out),
			 PERRON_DROP_NONE);
	assert_int_equal(out.source, 4);
}

static void what_finds_no_room_is_counted_and_left_out(void **state)
{
	static const struct perron_hop hop;
	const struct perron_endpoint to = {0};
	struct fixture f;
	struct perron_effects *e = fixture_init(&f);

	(void)state;
	assert_non_null(perron_effects_frame(e, PERRON_PAYLOAD_SIZE_MAX));
	assert_null(perron_effects_frame(e, PERRON_PAYLOAD_SIZE_MAX));
	assert_int_equal(e->dropped, 1);
	assert_null(perron_effects_event(e, PERRON_PAYLOAD_SIZE_MAX));
	assert_int_equal(e->dropped, 2);
	assert_int_equal(e->count, 0);
	for (uint32_t i = 0; i < CAPACITY + 2; i++)
		perron_effects_forward(e, i, to, PERRON_CLASS_ALARM, &hop, 0);
	/* A share stays free for what must not get lost. */
	assert_int_equal(e->count, CAPACITY - PERRON_EFFECT_RESERVE(CAPACITY));
	assert_int_equal(e->dropped, 2 + 2 + PERRON_EFFECT_RESERVE(CAPACITY));
	uint64_t dropped = e->dropped;
	uint32_t used = e->arena_used;
	assert_null(perron_effects_command(e, 0));
	assert_int_equal(e->arena_used, used);
	perron_effects_hold(e, 9);
	assert_int_equal(e->count, CAPACITY);
	perron_effects_reset(e);
	assert_int_equal(e->dropped, dropped + 1);
}

static void a_hold_that_would_get_lost_stops_the_station(void **state)
{
	struct fixture f;
	struct perron_effects *e = fixture_init(&f);

	(void)state;
	for (uint32_t i = 0; i < CAPACITY; i++)
		perron_effects_hold(e, i);
	expect_assert_failure(perron_effects_hold(e, 9));
	expect_assert_failure(perron_effects_release(e, 9));
}

static void records_are_zeroed_and_aligned(void **state)
{
	struct fixture f;
	struct perron_effects *e = fixture_init(&f);

	(void)state;
	memset(f.arena, 0xff, sizeof(f.arena));
	struct perron_command *command = perron_effects_command(e, 3);
	struct perron_event *event = perron_effects_event(e, 5);
	assert_non_null(command);
	assert_non_null(event);
	assert_int_equal((uintptr_t)event % 8, 0);
	assert_int_equal(command->payload_size, 3);
	assert_int_equal(event->payload_size, 5);
	assert_int_equal(command->kind, PERRON_COMMAND_NONE);
	assert_int_equal(event->payload[4], 0);
	assert_int_equal(f.items[0].kind, PERRON_EFFECT_COMMAND);
	assert_int_equal(f.items[1].kind, PERRON_EFFECT_EVENT);
	assert_string_equal(perron_command_name(PERRON_COMMAND_CLOCK), "clock");
	assert_string_equal(perron_command_name(PERRON_COMMAND_COUNT), "unknown");
	assert_string_equal(perron_event_name(PERRON_EVENT_LINK_DOWN), "link-down");
	assert_string_equal(perron_event_name(PERRON_EVENT_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_of_calls_is_the_order_of_effects),
		cmocka_unit_test(a_frame_that_is_sent_stands_encoded_in_the_arena),
		cmocka_unit_test(what_finds_no_room_is_counted_and_left_out),
		cmocka_unit_test(a_hold_that_would_get_lost_stops_the_station),
		cmocka_unit_test(records_are_zeroed_and_aligned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
