/* The origin's window: what it keeps, sends again, and lets go. */
#include "test/unit/support.h"

#include "ft/origin.h"

#define WINDOW 64
#define FIRST  1000

static const struct perron_origin_retry retry = {.ns_min = 10, .ns_max = 50, .count_max = 3};

struct fixture {
	struct perron_origin_frame frames[WINDOW];
	struct perron_origin origin;
};

static void make(struct fixture *f, uint32_t count)
{
	perron_origin_init(&f->origin, f->frames, WINDOW, FIRST);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(perron_origin_push(&f->origin, i, 500 + i, &retry), FIRST + i);
	perron_origin_check(&f->origin);
}

/* One round: how many were due; the first and last of them. */
static uint32_t round_at(struct fixture *f, uint64_t now_ns, const struct perron_ack *ack,
			 uint32_t *exhausted_count)
{
	uint64_t cursor = f->origin.first;
	const struct perron_origin_frame *frame;
	uint32_t count = 0;
	bool exhausted = false;

	*exhausted_count = 0;
	while ((frame = perron_origin_retry(&f->origin, now_ns, ack, &retry, &cursor,
					    &exhausted))) {
		assert_int_equal(frame->handle, 500 + cursor - FIRST);
		assert_false(perron_ack_has(ack, cursor));
		*exhausted_count += exhausted;
		count++;
		cursor++;
	}
	return count;
}

static void the_window_is_full_when_it_is_full(void **state)
{
	struct fixture f;

	(void)state;
	make(&f, 0);
	assert_true(perron_origin_has_room(&f.origin, WINDOW));
	assert_false(perron_origin_has_room(&f.origin, WINDOW + 1));
	make(&f, WINDOW);
	assert_true(perron_origin_has_room(&f.origin, 0));
	assert_false(perron_origin_has_room(&f.origin, 1));
	expect_assert_failure((void)perron_origin_push(&f.origin, 0, 0, &retry));
	expect_assert_failure(perron_origin_init(&f.origin, f.frames, 48, 1));
}

static void frames_below_are_let_go_in_their_order(void **state)
{
	struct fixture f;
	uint64_t handles[WINDOW];

	(void)state;
	make(&f, 20);
	assert_int_equal(perron_origin_pop(&f.origin, FIRST, handles, WINDOW), 0);
	assert_int_equal(perron_origin_pop(&f.origin, FIRST + 10, handles, 4), 4);
	assert_int_equal(handles[0], 500);
	assert_int_equal(handles[3], 503);
	assert_int_equal(perron_origin_pop(&f.origin, FIRST + 10, handles, WINDOW), 6);
	assert_int_equal(handles[5], 509);
	assert_int_equal(perron_origin_pop(&f.origin, FIRST + 10, handles, WINDOW), 0);
	assert_int_equal(perron_origin_pop(&f.origin, UINT64_MAX, handles, WINDOW), 10);
	assert_int_equal(f.origin.first, FIRST + 20);
	perron_origin_check(&f.origin);
}

static void slots_come_round(void **state)
{
	struct fixture f;
	uint64_t handles[WINDOW];

	(void)state;
	make(&f, WINDOW);
	for (uint32_t i = 0; i < 3 * WINDOW; i++) {
		assert_int_equal(perron_origin_pop(&f.origin, FIRST + i + 1, handles, 1), 1);
		assert_int_equal(handles[0], 500 + i);
		(void)perron_origin_push(&f.origin, 0, 500 + WINDOW + i, &retry);
		perron_origin_check(&f.origin);
	}
}

static void what_is_due_and_not_acknowledged_is_sent_again(void **state)
{
	struct fixture f;
	struct perron_ack ack = {.cumulative = FIRST - 1, .bitmap = 6}; /* +1, +2 */
	uint32_t exhausted;

	(void)state;
	make(&f, 6); /* due at 10 to 15 */
	assert_int_equal(f.origin.due_ns, 10);
	assert_int_equal(round_at(&f, 9, &ack, &exhausted), 0);
	assert_int_equal(f.origin.due_ns, 10);
	assert_int_equal(round_at(&f, 13, &ack, &exhausted), 2); /* +0, +3 */
	assert_int_equal(f.origin.due_ns, 14);
	assert_int_equal(round_at(&f, 13, &ack, &exhausted), 0);
	assert_int_equal(round_at(&f, 33, &ack, &exhausted), 4);
	ack = (struct perron_ack){.cumulative = FIRST + 5};
	assert_int_equal(round_at(&f, 1000, &ack, &exhausted), 0);
	assert_int_equal(f.origin.due_ns, UINT64_MAX);
}

static void timeouts_double_up_to_the_longest_and_tries_end(void **state)
{
	static const uint64_t timeouts[] = {10, 20, 40, 50};
	struct fixture f;
	struct perron_ack none = {.cumulative = FIRST - 1};
	uint64_t now_ns = 0;
	uint32_t exhausted;

	(void)state;
	make(&f, 1);
	for (uint32_t try = 0; try < 4; try++) {
		now_ns += timeouts[try];
		assert_int_equal(f.origin.due_ns, now_ns);
		assert_int_equal(round_at(&f, now_ns - 1, &none, &exhausted), 0);
		assert_int_equal(round_at(&f, now_ns, &none, &exhausted), 1);
		assert_int_equal(exhausted, try == retry.count_max);
	}
}

/* A tick takes up to a number of frames; the rest is found from where it stopped. */
static void a_round_may_stop_and_go_on(void **state)
{
	struct fixture f;
	struct perron_ack none = {.cumulative = FIRST - 1};
	uint64_t cursor = FIRST;
	uint32_t exhausted;
	bool is_exhausted;

	(void)state;
	make(&f, 10);
	for (uint32_t i = 0; i < 3; i++, cursor++)
		assert_non_null(perron_origin_retry(&f.origin, 100, &none, &retry, &cursor,
						    &is_exhausted));
	assert_int_equal(cursor, FIRST + 3);
	assert_int_equal(round_at(&f, 100, &none, &exhausted), 7);
	assert_int_equal(f.origin.due_ns, 120);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window_is_full_when_it_is_full),
		cmocka_unit_test(frames_below_are_let_go_in_their_order),
		cmocka_unit_test(slots_come_round),
		cmocka_unit_test(what_is_due_and_not_acknowledged_is_sent_again),
		cmocka_unit_test(timeouts_double_up_to_the_longest_and_tries_end),
		cmocka_unit_test(a_round_may_stop_and_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
