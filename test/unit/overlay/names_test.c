#include "test/unit/support.h"

#include "overlay/client.h"
#include "overlay/overlay_ops.h"

static void test_stream_id_is_fnv1a(void **state)
{
	(void)state;
	/* Published vectors of FNV-1a, 32 bits. */
	assert_int_equal(perron_stream_id("a"), 0xe40c292cu);
	assert_int_equal(perron_stream_id("foobar"), 0xbf9cf968u);
	assert_int_equal(perron_stream_id(""), 0x811c9dc5u);
	/* The hash of this one is 0, which says "no stream". */
	assert_int_equal(perron_stream_id("FouBSr"), 1);
}

static void test_sensor_names(void **state)
{
	(void)state;
	assert_true(perron_sensor_name_is_valid("a"));
	assert_true(perron_sensor_name_is_valid("line-1/axle_2.Z9"));
	assert_true(perron_sensor_name_is_valid("1234567890123456789012345678901"));
	assert_false(perron_sensor_name_is_valid("12345678901234567890123456789012"));
	assert_false(perron_sensor_name_is_valid(""));
	assert_false(perron_sensor_name_is_valid("a b"));
	assert_false(perron_sensor_name_is_valid("a\n"));
	assert_false(perron_sensor_name_is_valid("gr\xc3\xbcn"));
	assert_false(perron_sensor_name_is_valid("a#2"));
}

static void test_names_of_states_and_verdicts(void **state)
{
	(void)state;
	assert_string_equal(perron_overlay_state_name(PERRON_OVERLAY_ORPHAN), "orphan");
	assert_string_equal(perron_overlay_state_name(PERRON_OVERLAY_STATE_COUNT), "unknown");
	assert_string_equal(perron_verdict_name(PERRON_VERDICT_LATENCY), "latency-impossible");
	assert_string_equal(perron_verdict_name(PERRON_VERDICT_COUNT), "unknown");
}

static void test_overlay_defaults(void **state)
{
	(void)state;
	struct perron_overlay_config cfg = {.peer = 7};

	perron_overlay_config_default(&cfg);
	assert_int_equal(cfg.peer, 0);
	assert_int_equal(cfg.level_count, 3);
	assert_int_equal(cfg.lease_ns, 2000000000);
	assert_true(cfg.link_timeout_ns < cfg.lease_ns);
	assert_true(cfg.neighbour_count_max <= PERRON_NEIGHBOUR_COUNT_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream_id_is_fnv1a),
		cmocka_unit_test(test_sensor_names),
		cmocka_unit_test(test_names_of_states_and_verdicts),
		cmocka_unit_test(test_overlay_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
