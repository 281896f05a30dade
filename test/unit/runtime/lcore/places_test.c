#include "runtime/lcore/places.h"

#include <string.h>

#include "test/unit/support.h"

static struct perron_places places;

static int begin(void **state)
{
	(void)state;
	memset(&places, 0, sizeof(places));
	return 0;
}

static bool add(uint32_t id, uint16_t machine)
{
	return perron_places_add(&places, (struct perron_place){.id = id, .machine = machine});
}

static void nobody_is_found_in_an_empty_table(void **state)
{
	(void)state;
	assert_null(perron_places_find(&places, 0));
	assert_null(perron_places_find(&places, 7));
}

static void id_0_is_the_first_one_here(void **state)
{
	(void)state;
	assert_true(add(9, 4));
	assert_true(add(3, 5));
	assert_int_equal(perron_places_find(&places, 0)->machine, 4);
}

static void an_id_stands_once(void **state)
{
	(void)state;
	assert_true(add(9, 1));
	assert_false(add(9, 2));
	assert_int_equal(perron_places_find(&places, 9)->machine, 1);
}

static void a_full_table_finds_each_and_ends_for_a_stranger(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < PERRON_PLACE_COUNT_MAX; i++)
		assert_true(add(i * 256 + 1, (uint16_t)i));
	assert_false(add(2, 0));
	for (uint32_t i = 0; i < PERRON_PLACE_COUNT_MAX; i++)
		assert_int_equal(perron_places_find(&places, i * 256 + 1)->machine, i);
	for (uint32_t id = 2; id < 256; id++)
		assert_null(perron_places_find(&places, id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody_is_found_in_an_empty_table, begin),
		cmocka_unit_test_setup(id_0_is_the_first_one_here, begin),
		cmocka_unit_test_setup(an_id_stands_once, begin),
		cmocka_unit_test_setup(a_full_table_finds_each_and_ends_for_a_stranger, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
