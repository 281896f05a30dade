/* The generator against its authors' published figures, and its draws against what they promise. */
#include "test/unit/support.h"

#include "runtime/base/random.h"

static void xoshiro_gives_the_reference_sequence(void **state)
{
	/* State 1, 2, 3, 4: the vector that ports of the authors' program share. */
	static const uint64_t expected[] = {
		UINT64_C(11520), UINT64_C(0), UINT64_C(1509978240), UINT64_C(1215971899390074240),
		UINT64_C(1216172134540287360), UINT64_C(607988272756665600),
	};
	struct perron_random r = {.state = {1, 2, 3, 4}};

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_true(perron_random_next(&r) == expected[i]);
}

static void splitmix_fills_the_state(void **state)
{
	/* The first outputs of splitmix64.c for seed 0. */
	struct perron_random r;

	(void)state;
	perron_random_seed(&r, 0);
	assert_true(r.state[0] == UINT64_C(0xe220a8397b1dcdaf));
	assert_true(r.state[1] == UINT64_C(0x6e789e6aa1b965f4));
	assert_true(r.state[2] == UINT64_C(0x06c45d188009454f));
	assert_true(r.state[3] == UINT64_C(0xf88bb8a8724c81ec));
}

static void a_bounded_draw_is_even(void **state)
{
	struct perron_random r;
	uint32_t hits[12] = {0};
	double chi_square = 0;

	(void)state;
	perron_random_seed(&r, 42);
	for (uint32_t i = 0; i < 120000; i++)
		hits[perron_random_below(&r, 12)]++;
	for (uint32_t i = 0; i < 12; i++)
		chi_square += (hits[i] - 10000.0) * (hits[i] - 10000.0) / 10000.0;
	/* 11 degrees of freedom: 1 in 10000 is above 37; the seed is fixed. */
	assert_true(chi_square < 37);
}

static void no_result_is_likelier_than_another(void **state)
{
	/*
	 * A bound of 3 * 2^62 leaves a quarter of the draws over. Given out all the same, they
	 * would, by draw % bound, put half of the results into the first third, and, by
	 * draw * bound / 2^64, half of them onto multiples of 3.
	 */
	const uint64_t bound = UINT64_C(3) << 62;
	struct perron_random r;
	uint32_t first_third = 0, multiples = 0;

	(void)state;
	perron_random_seed(&r, 7);
	for (uint32_t i = 0; i < 30000; i++) {
		uint64_t x = perron_random_below(&r, bound);
		assert_true(x < bound);
		first_third += x < bound / 3;
		multiples += x % 3 == 0;
	}
	assert_in_range(first_third, 9600, 10400);
	assert_in_range(multiples, 9600, 10400);
}

static void ranges_hold_their_ends(void **state)
{
	struct perron_random r;
	bool low = false, high = false;

	(void)state;
	perron_random_seed(&r, 3);
	for (uint32_t i = 0; i < 1000; i++) {
		uint64_t x = perron_random_between(&r, 10, 13);
		assert_in_range(x, 10, 13);
		low |= x == 10;
		high |= x == 13;
		assert_false(perron_random_chance(&r, 0));
		assert_true(perron_random_chance(&r, 1000000));
		assert_int_equal(perron_random_below(&r, 1), 0);
	}
	assert_true(low && high);
	(void)perron_random_between(&r, 0, UINT64_MAX);
	expect_assert_failure(perron_random_below(&r, 0));
}

static void children_differ_by_label_and_repeat_by_seed(void **state)
{
	struct perron_random a, b, child[3];

	(void)state;
	perron_random_seed(&a, 1);
	b = a;
	perron_random_split(&a, 1, &child[0]);
	perron_random_split(&b, 1, &child[1]);
	assert_memory_equal(&child[0], &child[1], sizeof(child[0]));
	assert_memory_equal(&a, &b, sizeof(a));
	perron_random_seed(&b, 1);
	perron_random_split(&b, 2, &child[2]);
	assert_memory_not_equal(&child[0], &child[2], sizeof(child[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xoshiro_gives_the_reference_sequence),
		cmocka_unit_test(splitmix_fills_the_state),
		cmocka_unit_test(a_bounded_draw_is_even),
		cmocka_unit_test(no_result_is_likelier_than_another),
		cmocka_unit_test(ranges_hold_their_ends),
		cmocka_unit_test(children_differ_by_label_and_repeat_by_seed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
