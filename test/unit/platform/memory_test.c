/* The boot plan adds up, says what is too large, and takes nothing after the seal. */
#include "test/unit/support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "platform/memory.h"

static struct perron_memory_plan sample(void)
{
	struct perron_memory_plan plan;
	perron_memory_plan_init(&plan);
	assert_int_equal(perron_memory_plan_add(&plan, PERRON_MEMORY_HEAP, "peers", 1000, 3), 0);
	assert_int_equal(perron_memory_plan_add(&plan, PERRON_MEMORY_POOL, "frames", 2304, 100), 0);
	assert_int_equal(perron_memory_plan_add(&plan, PERRON_MEMORY_HEAP, "rings", 1000, 3), 0);
	return plan;
}

static void test_it_adds_up(void **state)
{
	(void)state;
	struct perron_memory_plan plan = sample();
	assert_int_equal(perron_memory_plan_size(&plan, PERRON_MEMORY_HEAP), 6000);
	assert_int_equal(perron_memory_plan_size(&plan, PERRON_MEMORY_POOL), 230400);
	assert_int_equal(perron_memory_plan_total(&plan), 236400);
}

static void test_it_is_bounded(void **state)
{
	(void)state;
	struct perron_memory_plan plan = sample();
	assert_int_equal(perron_memory_plan_add(&plan, PERRON_MEMORY_HEAP, "x", UINT64_MAX, 2),
			 -EOVERFLOW);
	assert_int_equal(perron_memory_plan_add(&plan, PERRON_MEMORY_HEAP, "x", UINT64_MAX, 1),
			 -EOVERFLOW);
	for (uint32_t i = plan.object_count; i < PERRON_MEMORY_OBJECT_MAX; i++)
		assert_int_equal(perron_memory_plan_add(&plan, PERRON_MEMORY_HEAP, "x", 1, 1), 0);
	assert_int_equal(perron_memory_plan_add(&plan, PERRON_MEMORY_HEAP, "x", 1, 1), -ENOSPC);
}

static void test_the_largest_part_is_named(void **state)
{
	(void)state;
	struct perron_memory_plan plan = sample();
	char error[200] = "";
	assert_int_equal(perron_memory_plan_check(&plan, 236400, error, sizeof(error)), 0);
	assert_int_equal(perron_memory_plan_check(&plan, 236399, error, sizeof(error)), -EFBIG);
	assert_non_null(strstr(error, "frames (225.0 kB)"));
}

static void test_it_prints_every_object_largest_first(void **state)
{
	(void)state;
	struct perron_memory_plan plan = sample();
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	perron_memory_plan_seal(&plan);
	perron_memory_plan_print(&plan, out);
	fclose(out);
	const char *frames = strstr(text, "frames"), *peers = strstr(text, "peers");
	const char *rings = strstr(text, "rings"), *sum = strstr(text, "sum");
	assert_true(frames && peers && rings && sum);
	assert_true(frames < peers && peers < rings && rings < sum);
	assert_non_null(strstr(sum, "230.8 kB, sealed"));
	free(text);
}

static void test_the_seal_holds(void **state)
{
	(void)state;
	struct perron_memory_plan plan = sample();
	assert_false(perron_memory_plan_is_sealed(&plan));
	perron_memory_plan_seal(&plan);
	assert_true(perron_memory_plan_is_sealed(&plan));
	assert_int_equal(perron_memory_plan_add(&plan, PERRON_MEMORY_HEAP, "x", 1, 1), -EPERM);
	assert_int_equal(perron_memory_plan_total(&plan), 236400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_it_adds_up),
	    cmocka_unit_test(test_it_is_bounded),
	    cmocka_unit_test(test_the_largest_part_is_named),
	    cmocka_unit_test(test_it_prints_every_object_largest_first),
	    cmocka_unit_test(test_the_seal_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
