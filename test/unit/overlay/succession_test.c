/* Who takes over: one order, whoever computes it. */
#include "test/unit/support.h"

#include "overlay/succession.h"

static void the_distance_is_levenshteins(void **state)
{
	(void)state;
	assert_int_equal(perron_slot_distance(3, 3), 0);
	assert_int_equal(perron_slot_distance(1, 2), 1);
	assert_int_equal(perron_slot_distance(1, 11), 1);
	assert_int_equal(perron_slot_distance(1, 16), 1);
	assert_int_equal(perron_slot_distance(2, 16), 2);
	assert_int_equal(perron_slot_distance(12, 2), 1);
	assert_int_equal(perron_slot_distance(123, 13), 1);
	for (uint32_t a = 1; a <= 16; a++)
		for (uint32_t b = 1; b <= 16; b++)
			assert_int_equal(perron_slot_distance((uint8_t)a, (uint8_t)b),
					 perron_slot_distance((uint8_t)b, (uint8_t)a));
}

static void other_stations_come_first_then_the_least_distance(void **state)
{
	struct perron_successor items[] = {
		{.peer = 1, .slot = 12, .address = 10}, /* of the lost one's own station */
		{.peer = 2, .slot = 3, .address = 20},  {.peer = 3, .slot = 1, .address = 30},
		{.peer = 4, .slot = 16, .address = 40}, {.peer = 5, .slot = 2, .address = 20},
	};
	const uint32_t expected[] = {3, 5, 4, 2, 1};

	(void)state;
	perron_succession_sort(items, 5, 12, 10);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(items[i].peer, expected[i]);
}

static void any_order_of_the_siblings_gives_the_same(void **state)
{
	struct perron_successor items[4];

	(void)state;
	for (uint32_t first = 0; first < 4; first++) {
		for (uint32_t i = 0; i < 4; i++)
			items[i] = (struct perron_successor){.peer = 10 + (first + i) % 4,
							     .slot = (uint8_t)(1 + (first + i) % 4),
							     .address = 1};
		perron_succession_sort(items, 4, 9, 2);
		for (uint32_t i = 0; i < 4; i++)
			assert_int_equal(items[i].slot, i + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_distance_is_levenshteins),
		cmocka_unit_test(other_stations_come_first_then_the_least_distance),
		cmocka_unit_test(any_order_of_the_siblings_gives_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
