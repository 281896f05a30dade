/* The replica buffer: what it takes, finds, lets go of, and says that it holds. */
#include "test/unit/support.h"

#include "ft/replica.h"

#define WINDOW 64u
#define FIRST  ((UINT64_C(7) << 32) + 1)

struct fixture {
	struct perron_replica_slot slots[WINDOW];
	struct perron_replica buffer;
};

static struct perron_replica *make(struct fixture *f)
{
	perron_replica_init(&f->buffer, f->slots, WINDOW, FIRST);
	return &f->buffer;
}

static uint32_t sweep(struct perron_replica *b, uint32_t max)
{
	uint64_t handles[WINDOW];
	uint32_t count = perron_replica_sweep(b, handles, max);

	perron_replica_check(b);
	return count;
}

static void a_frame_is_held_until_the_floor_passes(void **state)
{
	struct fixture f;
	struct perron_replica *b = make(&f);
	uint64_t handle = 0;

	(void)state;
	assert_int_equal(perron_replica_put(b, FIRST + 2, 52), PERRON_DROP_NONE);
	assert_int_equal(perron_replica_put(b, FIRST, 50), PERRON_DROP_NONE);
	assert_true(perron_replica_get(b, FIRST + 2, &handle));
	assert_int_equal(handle, 52);
	assert_false(perron_replica_get(b, FIRST + 1, &handle));
	assert_false(perron_replica_get(b, 0, &handle));
	perron_replica_raise(b, FIRST + 2);
	assert_int_equal(sweep(b, WINDOW), 1);
	assert_true(perron_replica_is_swept(b));
	assert_false(perron_replica_get(b, FIRST, &handle));
	assert_int_equal(b->count, 1);
	perron_replica_raise(b, FIRST + 1); /* never goes back */
	assert_true(b->floor == FIRST + 2);
}

static void what_is_known_or_too_far_ahead_is_not_taken(void **state)
{
	struct fixture f;
	struct perron_replica *b = make(&f);

	(void)state;
	assert_int_equal(perron_replica_put(b, FIRST - 1, 1), PERRON_DROP_DUPLICATE);
	assert_int_equal(perron_replica_put(b, FIRST, 1), PERRON_DROP_NONE);
	assert_int_equal(perron_replica_put(b, FIRST, 2), PERRON_DROP_DUPLICATE);
	assert_int_equal(perron_replica_put(b, FIRST + WINDOW, 3), PERRON_DROP_WINDOW);
	assert_int_equal(perron_replica_put(b, FIRST + WINDOW - 1, 3), PERRON_DROP_NONE);
	assert_int_equal(b->count, 2);
	perron_replica_raise(b, FIRST + 1);
	/* Not before the place was swept. */
	assert_int_equal(perron_replica_put(b, FIRST + WINDOW, 3), PERRON_DROP_WINDOW);
	assert_int_equal(sweep(b, 1), 1);
	assert_int_equal(perron_replica_put(b, FIRST + WINDOW, 3), PERRON_DROP_NONE);
}

static void letting_go_is_bounded_and_goes_on(void **state)
{
	struct fixture f;
	struct perron_replica *b = make(&f);

	(void)state;
	for (uint32_t i = 0; i < WINDOW; i += 2)
		assert_int_equal(perron_replica_put(b, FIRST + i, i), PERRON_DROP_NONE);
	perron_replica_raise(b, FIRST + (UINT64_C(5) << 32)); /* another life: far away */
	assert_int_equal(sweep(b, 10), 10);
	assert_false(perron_replica_is_swept(b));
	assert_int_equal(sweep(b, WINDOW), 22);
	assert_true(perron_replica_is_swept(b));
	assert_int_equal(perron_replica_put(b, FIRST + (UINT64_C(5) << 32), 9), PERRON_DROP_NONE);
	assert_int_equal(sweep(b, WINDOW), 0);
}

static void what_is_held_is_said(void **state)
{
	struct fixture f;
	struct perron_replica *b = make(&f);

	(void)state;
	assert_true(perron_replica_ack(b).cumulative == FIRST - 1);
	assert_true(perron_replica_ack(b).bitmap == 0);
	for (uint32_t i = 0; i < 5; i++)
		if (i != 2)
			assert_int_equal(perron_replica_put(b, FIRST + i, i), PERRON_DROP_NONE);
	assert_true(perron_replica_ack(b).cumulative == FIRST + 1);
	assert_true(perron_replica_ack(b).bitmap == 0x6);
	perron_replica_raise(b, FIRST + 3); /* what is not wanted counts as held */
	assert_true(perron_replica_ack(b).cumulative == FIRST + 4);
	perron_replica_raise(b, FIRST + 50);
	assert_true(perron_replica_ack(b).cumulative == FIRST + 49);
}

static void what_is_taken_is_held_no_more(void **state)
{
	struct fixture f;
	struct perron_replica *b = make(&f);
	uint64_t handle = 0;

	(void)state;
	assert_int_equal(perron_replica_put(b, FIRST + 1, 51), PERRON_DROP_NONE);
	assert_false(perron_replica_take(b, FIRST, &handle));
	assert_true(perron_replica_take(b, FIRST + 1, &handle));
	assert_int_equal(handle, 51);
	assert_false(perron_replica_take(b, FIRST + 1, &handle));
	perron_replica_check(b);
	expect_assert_failure(perron_replica_init(b, f.slots, 48, 1));
}

/* A floor, or another life's first frame, is 2^32 ahead: no look goes there step by step. */
static void the_next_is_found_within_the_window(void **state)
{
	struct fixture f;
	struct perron_replica *b = make(&f);

	(void)state;
	assert_true(perron_replica_next(b, FIRST) == 0);
	assert_int_equal(perron_replica_put(b, FIRST + 3, 1), PERRON_DROP_NONE);
	assert_true(perron_replica_next(b, 1) == FIRST + 3);
	assert_true(perron_replica_next(b, FIRST + 3) == FIRST + 3);
	assert_true(perron_replica_next(b, FIRST + 4) == 0);
	perron_replica_raise(b, UINT64_C(1) << 60);
	assert_true(perron_replica_next(b, FIRST + 4) == 0);
	assert_int_equal(sweep(b, WINDOW), 1);
	assert_true(perron_replica_next(b, FIRST) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_is_held_until_the_floor_passes),
		cmocka_unit_test(what_is_known_or_too_far_ahead_is_not_taken),
		cmocka_unit_test(letting_go_is_bounded_and_goes_on),
		cmocka_unit_test(what_is_held_is_said),
		cmocka_unit_test(what_is_taken_is_held_no_more),
		cmocka_unit_test(the_next_is_found_within_the_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
