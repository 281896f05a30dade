/* Options: units, bounds, the sentences of errors, defaults. */
#include <errno.h>
#include <string.h>

#include "platform/option.h"
#include "test/unit/support.h"

static const struct perron_option table[] = {
    {"device", PERRON_OPTION_TEXT, NULL, "a tty"},
    {"speed", PERRON_OPTION_INTEGER, "9600", "bit/s", .min = 300, .max = 4000000},
    {"gap", PERRON_OPTION_DURATION, "5ms", "silence"},
    {"room", PERRON_OPTION_SIZE, "64kB", "buffer"},
    {"loss", PERRON_OPTION_SHARE, "0%", "frames lost"},
    {"parity", PERRON_OPTION_CHOICE, "none", "parity", .choices = "none|even|odd"},
    {"echo", PERRON_OPTION_BOOLEAN, "no", "echo"},
    {"host", PERRON_OPTION_ADDRESS, "127.0.0.1", "host"},
    {"offset", PERRON_OPTION_INTEGER, "0", "offset", .min = -10, .max = 10},
    {NULL},
};

static int64_t parsed(const char *name, const char *text)
{
	char expected[PERRON_OPTION_ERROR_SIZE];
	int64_t number = -1;
	int rc = perron_option_parse(perron_option_find(table, name), text, &number, expected,
				     sizeof(expected));

	return rc ? rc : number;
}

static void units_are_understood(void **state)
{
	(void)state;
	assert_int_equal(parsed("gap", "20ms"), 20000000);
	assert_int_equal(parsed("gap", "2s"), 2000000000);
	assert_int_equal(parsed("gap", "50us"), 50000);
	assert_int_equal(parsed("gap", "1.5ms"), 1500000);
	assert_int_equal(parsed("gap", "0.000001s"), 1000);
	assert_int_equal(parsed("gap", "7 ns"), 7);
	assert_int_equal(parsed("room", "64MB"), 64 << 20);
	assert_int_equal(parsed("room", "512"), 512);
	assert_int_equal(parsed("loss", "0.1%"), 1000);
	assert_int_equal(parsed("loss", "100%"), 1000000);
	assert_int_equal(parsed("parity", "odd"), 2);
	assert_int_equal(parsed("echo", "On"), 1);
	assert_int_equal(parsed("host", "10.0.0.255"), 0x0a0000ff);
	assert_int_equal(parsed("speed", "0x4b0"), 1200);
	assert_int_equal(parsed("offset", "-10"), -10);
}

static void the_rest_is_refused(void **state)
{
	static const char *const bad[][2] = {
	    {"gap", "20"},	   {"gap", "ms"},	   {"gap", "1.ms"},
	    {"gap", "-1ms"},	   {"gap", "1m s"},	   {"room", "64Mb"},
	    {"loss", "0.1"},	   {"parity", "eve"},	   {"parity", "even|odd"},
	    {"echo", "1"},	   {"host", "10.0.0"},	   {"host", "10.0.0.1."},
	    {"host", "1.2.3.256"}, {"host", "0001.2.3.4"}, {"speed", "9600 "},
	    {"speed", ""},	   {"speed", "0x"},	   {"device", ""},
	    {"speed", "12a"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parsed(bad[i][0], bad[i][1]), -EINVAL);
	assert_int_equal(parsed("speed", "299"), -ERANGE);
	assert_int_equal(parsed("speed", "99999999999999999999"), -ERANGE);
	assert_int_equal(parsed("gap", "99999999999999s"), -ERANGE);
	assert_int_equal(parsed("loss", "100.1%"), -ERANGE);
	assert_int_equal(parsed("offset", "-11"), -ERANGE);
}

static void expect_formatted(const char *name, const char *text)
{
	const struct perron_option *option = perron_option_find(table, name);
	char out[64];

	perron_option_format(option, parsed(name, text), out, sizeof(out));
	assert_string_equal(out, text);
}

static void numbers_print_as_written(void **state)
{
	(void)state;
	expect_formatted("gap", "20ms");
	expect_formatted("gap", "2s");
	expect_formatted("gap", "1500us");
	expect_formatted("gap", "0ns");
	expect_formatted("room", "64MB");
	expect_formatted("room", "1000");
	expect_formatted("loss", "0.1%");
	expect_formatted("loss", "100%");
	expect_formatted("loss", "0%");
	expect_formatted("loss", "0.0001%");
	expect_formatted("parity", "even");
	expect_formatted("echo", "yes");
	expect_formatted("host", "10.0.0.1");
	expect_formatted("offset", "-3");
}

static void values_come_before_defaults(void **state)
{
	const struct perron_option_value values[] = {{"speed", "4800", 1, 1},
						     {"device", "/dev/x", 2, 1}};

	(void)state;
	assert_int_equal(perron_option_number(table, values, 2, "speed"), 4800);
	assert_int_equal(perron_option_number(table, values, 0, "speed"), 9600);
	assert_string_equal(perron_option_text(table, values, 2, "device"), "/dev/x");
	assert_string_equal(perron_option_text(table, values, 2, "parity"), "none");
}

static void check_names_the_culprit(void **state)
{
	const struct perron_option_value twice[] = {{"device", "x", 1, 1}, {"device", "y", 2, 1}};
	const struct perron_option_value unknown[] = {{"device", "x", 1, 1}, {"partiy", "y", 2, 1}};
	const struct perron_option_value good[] = {{"device", "x", 1, 1}};
	char error[PERRON_OPTION_ERROR_SIZE];
	uint32_t culprit = 9;

	(void)state;
	assert_int_equal(perron_option_check(table, good, 1, &culprit, error, sizeof(error)), 0);
	assert_int_equal(perron_option_check(table, twice, 2, &culprit, error, sizeof(error)),
			 -EINVAL);
	assert_int_equal(culprit, 1);
	assert_string_equal(error, "'device' is given twice; expected once");
	assert_int_equal(perron_option_check(table, unknown, 2, &culprit, error, sizeof(error)),
			 -EINVAL);
	assert_string_equal(error, "unknown key 'partiy'; did you mean 'parity'?");
	assert_int_equal(perron_option_check(table, good, 0, &culprit, error, sizeof(error)),
			 -EINVAL);
	assert_int_equal(culprit, 0);
	assert_string_equal(error, "'device' is missing; expected a tty");
}

static void distance_is_levenshteins(void **state)
{
	(void)state;
	assert_int_equal(perron_option_distance("kitten", "sitting"), 3);
	assert_int_equal(perron_option_distance("", "abc"), 3);
	assert_int_equal(perron_option_distance("same", "same"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(units_are_understood),
	    cmocka_unit_test(the_rest_is_refused),
	    cmocka_unit_test(numbers_print_as_written),
	    cmocka_unit_test(values_come_before_defaults),
	    cmocka_unit_test(check_names_the_culprit),
	    cmocka_unit_test(distance_is_levenshteins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
