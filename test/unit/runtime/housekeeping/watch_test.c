/* Housekeeping's watch on a lcore that really turns, and on one that does not. */
#include "runtime/housekeeping/watch.h"

#include "test/unit/runtime/lcore/host.h"

static bool look(struct perron_watch *w)
{
	return perron_watch_look(w, atomic_load_explicit(&host.l.beat, memory_order_relaxed));
}

static void a_lcore_that_turns_is_not_stalled(void **state)
{
	struct perron_watch w = {0};

	(void)state;
	assert_false(look(&w)); /* the first look knows nothing yet */
	for (int i = 0; i < 3; i++) {
		perron_lcore_turn(&host.l);
		assert_false(look(&w));
		assert_false(w.stalled);
	}
	assert_int_equal(w.stalls, 0);
}

static void a_lcore_that_does_not_turn_is_told_once(void **state)
{
	struct perron_watch w = {0};

	(void)state;
	perron_lcore_turn(&host.l);
	assert_false(look(&w));
	assert_true(look(&w));
	assert_true(w.stalled);
	assert_false(look(&w)); /* still the same stall */
	assert_int_equal(w.stalls, 1);
}

static void a_lcore_that_turns_again_is_told(void **state)
{
	struct perron_watch w = {0};

	(void)state;
	look(&w);
	look(&w);
	perron_lcore_turn(&host.l);
	assert_true(look(&w));
	assert_false(w.stalled);
	assert_true(look(&w));
	assert_int_equal(w.stalls, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_lcore_that_turns_is_not_stalled, host_reset,
					    host_check),
	    cmocka_unit_test_setup_teardown(a_lcore_that_does_not_turn_is_told_once, host_reset,
					    host_check),
	    cmocka_unit_test_setup_teardown(a_lcore_that_turns_again_is_told, host_reset,
					    host_check),
	};

	return cmocka_run_group_tests(tests, host_begin, host_end);
}
