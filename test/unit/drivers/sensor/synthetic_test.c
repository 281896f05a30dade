/* Paper 000, section IV: what the sensors of its experiments send. */
#include "test/unit/support.h"

#include <errno.h>
#include <string.h>

#include "drivers/sensor/loop.h"
#include "drivers/sensor/synthetic.h"
#include "runtime/base/frame.h"

#define NS_PER_S 1000000000ull

struct got {
	uint64_t count[PERRON_SYNTHETIC_TYPE_COUNT];
	uint64_t bytes;
	uint64_t next; /* counter expected */
	uint64_t wrong;
	uint64_t refuse; /* refuses the rest once so many have come */
	uint8_t types[64];
};

static int got_give(void *context, uint32_t index, uint64_t stamp_ns, uint8_t class_hint,
		    const uint8_t *data, uint32_t size)
{
	struct got *got = context;
	enum perron_synthetic_type type = 0;
	uint64_t counter = 0;

	(void)stamp_ns;
	if (!perron_synthetic_check(data, size, &type, &counter) || counter != got->next ||
	    index != 0 || class_hint != PERRON_CLASS_ALARM)
		got->wrong++;
	if (counter < sizeof(got->types))
		got->types[counter] = (uint8_t)type;
	got->next = counter + 1;
	got->count[type]++;
	got->bytes += size;
	return got->refuse && counter >= got->refuse ? -EAGAIN : 0;
}

/* Runs one synthetic sensor in virtual time, as a station would: from deadline to deadline. */
static void run(struct perron_option_value *options, uint32_t option_count, uint64_t until_ns,
		struct got *got, struct perron_sensor_status *status)
{
	struct perron_sensor_config sensor = {.name = "s",
					      .driver = "synthetic",
					      .class_hint = PERRON_CLASS_ALARM,
					      .options = options,
					      .option_count = option_count};
	struct perron_sensor_loop_config config = {.sensors = &sensor,
						   .sensor_count = 1,
						   .sink = {got_give, got},
						   .cpu = PERRON_SENSOR_CPU_ANY};
	struct perron_sensor_loop *loop;
	uint64_t now_ns = 5 * NS_PER_S;
	uint32_t culprit;
	char error[256];

	until_ns += now_ns;
	assert_int_equal(
	    perron_sensor_loop_create(&loop, &config, now_ns, &culprit, error, sizeof(error)), 0);
	while (now_ns < until_ns)
		now_ns = perron_sensor_loop_turn(loop, now_ns);
	perron_sensor_loop_status(loop, 0, status);
	perron_sensor_loop_destroy(loop);
	assert_int_equal(got->wrong, 0);
}

static void test_sizes_and_rates(void **state)
{
	static const struct {
		const char *type;
		uint64_t rate;
		uint64_t size;
	} paper[] = {{"small", 38, 418}, {"medium", 25, 1024}, {"large", 24, 4180}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct perron_option_value options[] = {{.key = "type"}};
		struct perron_sensor_status status;
		struct got got = {0};
		strcpy(options[0].value, paper[i].type);
		run(options, 1, 100 * NS_PER_S, &got, &status);
		assert_int_equal(got.count[i], 100 * paper[i].rate);
		assert_int_equal(got.bytes, 100 * paper[i].rate * paper[i].size);
		assert_int_equal(status.counters.messages, 100 * paper[i].rate);
		assert_int_equal(status.counters.bytes, got.bytes);
	}
}

/* "The packets are mixed in the following percentages in the total traffic: 40%, 30% and 30%" */
static void test_mix(void **state)
{
	struct perron_option_value options[] = {
	    {"type", "mixed", 0, 0}, {"seed", "7", 0, 0}, {"jitter", "20ms", 0, 0}};
	struct perron_sensor_status status;
	struct got got = {0}, again = {0}, other = {0};

	(void)state;
	run(options, 3, 100 * NS_PER_S, &got, &status);
	assert_in_range(got.next, 8700 - 3, 8700 + 1);
	assert_in_range(got.count[PERRON_SYNTHETIC_SMALL], 3480 - 4, 3480 + 4);
	assert_in_range(got.count[PERRON_SYNTHETIC_MEDIUM], 2610 - 4, 2610 + 4);
	assert_in_range(got.count[PERRON_SYNTHETIC_LARGE], 2610 - 4, 2610 + 4);
	run(options, 3, 10 * NS_PER_S, &again, &status);
	assert_memory_equal(got.types, again.types, sizeof(got.types));
	strcpy(options[1].value, "8");
	run(options, 3, 10 * NS_PER_S, &other, &status);
	assert_memory_not_equal(got.types, other.types, sizeof(got.types));
}

static void test_count_ends_it(void **state)
{
	struct perron_option_value options[] = {{"count", "12", 0, 0}, {"rate", "1000", 0, 0}};
	struct perron_sensor_status status;
	struct got got = {0};

	(void)state;
	run(options, 2, 10 * NS_PER_S, &got, &status);
	assert_int_equal(got.next, 12);
	assert_int_equal(status.state, PERRON_SENSOR_CLOSED);
	assert_string_equal(status.why, "ended");
}

/* The schedule starts when the sensor is first read; a long stall leaves messages out, once. */
static void test_stall_leaves_out(void **state)
{
	struct perron_sensor_config sensor = {
	    .name = "s", .driver = "synthetic", .class_hint = PERRON_CLASS_ALARM};
	struct got got = {0};
	struct perron_sensor_loop_config config = {
	    .sensors = &sensor, .sensor_count = 1, .sink = {got_give, &got}, .cpu = -1};
	struct perron_sensor_status status;
	struct perron_sensor_loop *loop;
	uint32_t culprit;
	char error[256];

	(void)state;
	assert_int_equal(perron_sensor_loop_create(&loop, &config, 0, &culprit, error, 256), 0);
	perron_sensor_loop_turn(loop, 60 * NS_PER_S);
	assert_int_equal(got.next, 1);
	perron_sensor_loop_turn(loop, 70 * NS_PER_S);
	perron_sensor_loop_status(loop, 0, &status);
	assert_in_range(got.next, 10 * 38 - 1, 10 * 38 + 1);
	assert_int_equal(got.wrong, 1); /* the gap in the counters */
	assert_in_range(status.counters.messages, 2, 3);
	assert_int_equal(status.counters.messages + status.counters.missed, got.next);
	perron_sensor_loop_destroy(loop);
}

static void test_would_block_is_counted(void **state)
{
	struct perron_option_value options[] = {{"count", "10", 0, 0}};
	struct perron_sensor_status status;
	struct got got = {.refuse = 6};

	(void)state;
	run(options, 1, NS_PER_S, &got, &status);
	assert_int_equal(status.counters.messages, 6);
	assert_int_equal(status.counters.would_block, 4);
}

static void test_each_damaged_byte_is_seen(void **state)
{
	uint8_t data[PERRON_SYNTHETIC_SIZE_MAX + 1];
	enum perron_synthetic_type type;
	uint64_t counter;

	(void)state;
	uint32_t size = perron_synthetic_fill(data, PERRON_SYNTHETIC_MEDIUM, 1ull << 40);
	assert_true(perron_synthetic_check(data, size, &type, &counter));
	assert_int_equal(type, PERRON_SYNTHETIC_MEDIUM);
	assert_true(counter == 1ull << 40);
	for (uint32_t i = 0; i < size; i++) {
		data[i] ^= 0x01;
		assert_false(perron_synthetic_check(data, size, &type, &counter));
		data[i] ^= 0x01;
	}
	assert_false(perron_synthetic_check(data, size - 1, &type, &counter));
	assert_false(perron_synthetic_check(data, size + 1, &type, &counter));
	assert_false(perron_synthetic_check(data, 15, &type, &counter));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sizes_and_rates),
	    cmocka_unit_test(test_mix),
	    cmocka_unit_test(test_count_ends_it),
	    cmocka_unit_test(test_stall_leaves_out),
	    cmocka_unit_test(test_would_block_is_counted),
	    cmocka_unit_test(test_each_damaged_byte_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
