#include "runtime/lcore/duty.h"

#include "test/unit/support.h"

static struct perron_duty duty;

static int begin(void **state)
{
	(void)state;
	perron_duty_init(&duty, 100);
	return 0;
}

static void a_turn_lasts_until_the_next_begins(void **state)
{
	(void)state;
	perron_duty_begin(&duty, 1000);
	perron_duty_work(&duty);
	assert_int_equal(duty.turns, 0);
	perron_duty_begin(&duty, 1070);
	assert_int_equal(duty.turns, 1);
	assert_int_equal(duty.turn_ns_max, 70);
	assert_int_equal(duty.busy_ns, 70);
	assert_int_equal(duty.turns_over, 0);
}

static void a_turn_over_the_threshold_is_counted(void **state)
{
	(void)state;
	perron_duty_begin(&duty, 0);
	perron_duty_work(&duty);
	perron_duty_begin(&duty, 100);
	perron_duty_work(&duty);
	perron_duty_begin(&duty, 201);
	assert_int_equal(duty.turns_over, 1);
	assert_int_equal(duty.turn_ns_max, 101);
}

static void a_long_turn_without_work_is_a_gap(void **state)
{
	(void)state;
	perron_duty_begin(&duty, 0);
	perron_duty_begin(&duty, 5000);
	assert_int_equal(duty.gap_ns_max, 5000);
	assert_int_equal(duty.turns_over, 0);
	assert_int_equal(duty.turn_ns_max, 0);
	assert_int_equal(duty.idle_ns, 5000);
}

static void sleep_is_no_turn_but_waking_late_is_a_gap(void **state)
{
	(void)state;
	perron_duty_begin(&duty, 0);
	perron_duty_slept(&duty, 10, 1000, 1300);
	assert_int_equal(duty.sleep_ns, 1290);
	assert_int_equal(duty.gap_ns_max, 300);
	perron_duty_begin(&duty, 1310);
	assert_int_equal(duty.turns, 1);
}

static void the_busy_share_is_of_all_time(void **state)
{
	(void)state;
	assert_int_equal(perron_duty_busy_ppm(&duty), 0);
	perron_duty_begin(&duty, 0);
	perron_duty_work(&duty);
	perron_duty_begin(&duty, 250);
	perron_duty_begin(&duty, 500);
	perron_duty_slept(&duty, 500, 1000, 1000);
	assert_int_equal(perron_duty_busy_ppm(&duty), 250000);
}

static void time_never_goes_back(void **state)
{
	(void)state;
	perron_duty_begin(&duty, 10);
	expect_assert_failure(perron_duty_begin(&duty, 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_turn_lasts_until_the_next_begins, begin),
	    cmocka_unit_test_setup(a_turn_over_the_threshold_is_counted, begin),
	    cmocka_unit_test_setup(a_long_turn_without_work_is_a_gap, begin),
	    cmocka_unit_test_setup(sleep_is_no_turn_but_waking_late_is_a_gap, begin),
	    cmocka_unit_test_setup(the_busy_share_is_of_all_time, begin),
	    cmocka_unit_test_setup(time_never_goes_back, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
