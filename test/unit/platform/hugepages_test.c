/* What is planned for machines with and without huge pages, and what is said about it. */
#include "test/unit/support.h"

#include <errno.h>
#include <string.h>

#include "platform/hugepages.h"

#define MB (UINT64_C(1) << 20)

static struct perron_hugepages machine(uint64_t free_pages, uint64_t reserved)
{
	return (struct perron_hugepages){
	    .pool_count = 1,
	    .pools =
		{{.page_size = 2 * MB, .total = 100, .free = free_pages, .reserved = reserved}},
	    .page_size_default = 2 * MB,
	    .privileged = true,
	};
}

static void test_enough_pages_are_used(void **state)
{
	(void)state;
	struct perron_hugepages pages = machine(50, 10);
	struct perron_hugepages_plan plan;
	char error[200] = "";
	assert_int_equal(perron_hugepages_plan(&pages, PERRON_HUGEPAGES_REQUIRED, 79 * MB + 1,
					       &plan, error, sizeof(error)),
			 0);
	assert_true(plan.use);
	assert_int_equal(plan.needed_size, 80 * MB);
	assert_int_equal(plan.available_size, 80 * MB);
}

static void test_a_shortage_names_the_command(void **state)
{
	(void)state;
	struct perron_hugepages pages = machine(50, 10);
	struct perron_hugepages_plan plan;
	char error[200] = "";
	assert_int_equal(perron_hugepages_plan(&pages, PERRON_HUGEPAGES_REQUIRED, 83 * MB, &plan,
					       error, sizeof(error)),
			 -ENOMEM);
	assert_non_null(strstr(error, "84 MB of huge pages needed, 80 MB free"));
	assert_non_null(strstr(error, "echo 102 > /sys/kernel/mm/hugepages/hugepages-2048kB/"));
	assert_int_equal(perron_hugepages_plan(&pages, PERRON_HUGEPAGES_AUTO, 83 * MB, &plan, error,
					       sizeof(error)),
			 0);
	assert_false(plan.use);
	assert_non_null(strstr(plan.why, "without huge pages"));
	assert_non_null(strstr(plan.why, "echo 102"));
}

static void test_the_smallest_pages_that_do_are_taken(void **state)
{
	(void)state;
	struct perron_hugepages pages = machine(4, 0);
	struct perron_hugepages_plan plan;
	char error[200];
	pages.pool_count = 2;
	pages.pools[1] =
	    (struct perron_hugepages_pool){.page_size = 1024 * MB, .total = 1, .free = 1};
	assert_int_equal(perron_hugepages_plan(&pages, PERRON_HUGEPAGES_AUTO, 8 * MB, &plan, error,
					       sizeof(error)),
			 0);
	assert_int_equal(plan.page_size, 2 * MB);
	assert_int_equal(perron_hugepages_plan(&pages, PERRON_HUGEPAGES_AUTO, 9 * MB, &plan, error,
					       sizeof(error)),
			 0);
	assert_int_equal(plan.page_size, 1024 * MB);
	assert_true(plan.use);
}

static void test_a_user_without_rights_is_told(void **state)
{
	(void)state;
	struct perron_hugepages pages = machine(50, 0);
	struct perron_hugepages_plan plan;
	char error[200] = "";
	pages.privileged = false;
	assert_int_equal(perron_hugepages_plan(&pages, PERRON_HUGEPAGES_REQUIRED, MB, &plan, error,
					       sizeof(error)),
			 -ENOMEM);
	assert_non_null(strstr(error, "root"));
	assert_int_equal(
	    perron_hugepages_plan(&pages, PERRON_HUGEPAGES_NO, MB, &plan, error, sizeof(error)), 0);
	assert_false(plan.use);
	memset(&pages, 0, sizeof(pages));
	assert_int_equal(perron_hugepages_plan(&pages, PERRON_HUGEPAGES_REQUIRED, MB, &plan, error,
					       sizeof(error)),
			 -ENOMEM);
	assert_non_null(strstr(error, "CONFIG_HUGETLBFS"));
}

static void test_this_machine_makes_sense(void **state)
{
	(void)state;
	struct perron_hugepages pages;
	perron_hugepages_read(&pages);
	assert_in_range(pages.pool_count, 0, PERRON_HUGEPAGES_POOL_MAX);
	for (uint32_t i = 0; i < pages.pool_count; i++) {
		uint64_t size = pages.pools[i].page_size;
		assert_true(size >= 65536 && (size & (size - 1)) == 0);
		assert_true(pages.pools[i].free <= pages.pools[i].total);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_enough_pages_are_used),
	    cmocka_unit_test(test_a_shortage_names_the_command),
	    cmocka_unit_test(test_the_smallest_pages_that_do_are_taken),
	    cmocka_unit_test(test_a_user_without_rights_is_told),
	    cmocka_unit_test(test_this_machine_makes_sense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
