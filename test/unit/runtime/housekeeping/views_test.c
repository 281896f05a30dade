#include "runtime/housekeeping/views.h"

#include <sched.h>
#include <stdlib.h>

#include "test/unit/support.h"

static struct perron_views views;
static void *memory;

static int begin(void **state)
{
	(void)state;
	memory = aligned_alloc(64, perron_views_memory(sizeof(uint64_t)));
	assert_non_null(memory);
	perron_views_init(&views, sizeof(uint64_t), memory);
	rcu_register_thread();
	return 0;
}

static int end(void **state)
{
	(void)state;
	rcu_thread_offline();
	rcu_barrier();
	rcu_thread_online();
	rcu_unregister_thread();
	free(memory);
	return 0;
}

static void publish(uint64_t value)
{
	uint64_t *draft = perron_views_draft(&views);

	assert_non_null(draft);
	*draft = value;
	perron_views_publish(&views, draft);
}

static void a_draft_is_not_seen_before_it_is_published(void **state)
{
	(void)state;
	assert_null(perron_views_read(&views));
	publish(1);
	uint64_t *draft = perron_views_draft(&views);
	assert_int_equal(*draft, 1);
	*draft = 2;
	assert_int_equal(*(const uint64_t *)perron_views_read(&views), 1);
	perron_views_publish(&views, draft);
	assert_int_equal(*(const uint64_t *)perron_views_read(&views), 2);
	assert_int_equal(views.version, 2);
}

/* This thread reads, and has no quiescent state: nothing may come back into use. */
static void what_a_reader_may_hold_is_not_used_again(void **state)
{
	(void)state;
	publish(10);
	const uint64_t *held = perron_views_read(&views);
	for (uint64_t i = 1; i < PERRON_VIEWS_SLOT_COUNT; i++)
		publish(10 + i);
	assert_null(perron_views_draft(&views));
	assert_int_equal(views.late, 1);
	assert_int_equal(*held, 10);
}

static void slots_come_back_after_a_grace_period(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t *draft;
		while (!(draft = perron_views_draft(&views))) {
			rcu_quiescent_state();
			sched_yield();
		}
		*draft = i;
		perron_views_publish(&views, draft);
	}
	assert_int_equal(*(const uint64_t *)perron_views_read(&views), 99);
	assert_int_equal(views.version, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_draft_is_not_seen_before_it_is_published, begin,
						end),
		cmocka_unit_test_setup_teardown(what_a_reader_may_hold_is_not_used_again, begin,
						end),
		cmocka_unit_test_setup_teardown(slots_come_back_after_a_grace_period, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
