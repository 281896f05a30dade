#include "test/unit/support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drivers/sensor/loop.h"
#include "drivers/sensor/replay_file.h"

#define MS 1000000ull

static uint8_t buffer[64];

static struct perron_replay_file file_of(const char *text)
{
	struct perron_replay_file file;

	perron_replay_file_init(&file, (const uint8_t *)text, strlen(text), PERRON_REPLAY_AUTO,
				buffer, sizeof(buffer));
	return file;
}

static void expect_record(struct perron_replay_file *file, uint64_t at_ns, const char *data)
{
	struct perron_replay_record record;

	assert_int_equal(perron_replay_file_next(file, &record), PERRON_REPLAY_RECORD);
	assert_true(record.at_ns == at_ns);
	assert_int_equal(record.size, strlen(data));
	assert_memory_equal(record.data, data, record.size);
}

static void test_timed_lines(void **state)
{
	struct perron_replay_file file = file_of("# recorded\r\n"
						 "\n"
						 "0 \"a \\\"quoted\\\" line\\r\\n\"\n"
						 "1500 48656C6c6f\r\n"
						 "1500 \"\\x41\\\\\"\n"
						 "99000000000 30");
	struct perron_replay_record record;

	(void)state;
	for (int run = 0; run < 2; run++) {
		expect_record(&file, 0, "a \"quoted\" line\r\n");
		assert_int_equal(file.line, 3);
		expect_record(&file, 1500, "Hello");
		expect_record(&file, 1500, "A\\");
		expect_record(&file, 99000000000, "0");
		assert_int_equal(perron_replay_file_next(&file, &record), PERRON_REPLAY_END);
		assert_true(perron_replay_file_period_ns(&file) == 2 * 99000000000ull - 1500);
		perron_replay_file_rewind(&file);
	}
}

static void test_bad_timed_lines(void **state)
{
	static const struct {
		const char *text;
		enum perron_replay_result result;
	} bad[] = {
	    {"x 30", PERRON_REPLAY_BAD_TIME},
	    {"12", PERRON_REPLAY_BAD_TIME},
	    {"-1 30", PERRON_REPLAY_BAD_TIME},
	    {"99999999999999999999 30", PERRON_REPLAY_BAD_TIME},
	    {"5 ", PERRON_REPLAY_BAD_DATA},
	    {"5 3", PERRON_REPLAY_BAD_DATA},
	    {"5 3g", PERRON_REPLAY_BAD_DATA},
	    {"5 \"open", PERRON_REPLAY_BAD_DATA},
	    {"5 \"in\"side\"", PERRON_REPLAY_BAD_DATA},
	    {"5 \"\\q\"", PERRON_REPLAY_BAD_DATA},
	    {"5 \"\\x4\"", PERRON_REPLAY_BAD_DATA},
	    {"5 \"end\\\"", PERRON_REPLAY_BAD_DATA},
	    {"5 30303030303030303030303030303030303030303030303030303030303030303030303030"
	     "30303030303030303030303030303030303030303030303030303030303030",
	     PERRON_REPLAY_BAD_SIZE},
	};
	struct perron_replay_record record;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct perron_replay_file file = file_of(bad[i].text);
		assert_int_equal(perron_replay_file_next(&file, &record), bad[i].result);
		assert_int_equal(perron_replay_file_next(&file, &record), PERRON_REPLAY_END);
	}
	struct perron_replay_file file = file_of("7 30\n6 31\n7 32\n");
	expect_record(&file, 7, "0");
	assert_int_equal(perron_replay_file_next(&file, &record), PERRON_REPLAY_BAD_ORDER);
	expect_record(&file, 7, "2");
}

/* Times of day, over midnight, with a sentence that says none and one that is damaged. */
static void test_nmea_log(void **state)
{
	static const char log[] = "$GPRMC,235959.00,V,,,,,,,230394,,*11\r\n"
				  "$GPXTE,A,A,0.67,L,N*6F\r\n"
				  "$GPRMC,000000.50,V,,,,,,,230394,,*15\r\n"
				  "$GPRMC,000001.00,V,,,,,,,230394,,*00\r\n"
				  "$GPRMC,000001.50,V,,,,,,,230394,,*14\n";
	struct perron_replay_file file = file_of(log);
	struct perron_replay_record record;

	(void)state;
	assert_int_equal(file.format, PERRON_REPLAY_NMEA);
	expect_record(&file, 0, "$GPRMC,235959.00,V,,,,,,,230394,,*11\r\n");
	expect_record(&file, 0, "$GPXTE,A,A,0.67,L,N*6F\r\n");
	expect_record(&file, 1500 * MS, "$GPRMC,000000.50,V,,,,,,,230394,,*15\r\n");
	assert_int_equal(perron_replay_file_next(&file, &record), PERRON_REPLAY_BAD_CHECKSUM);
	expect_record(&file, 2500 * MS, "$GPRMC,000001.50,V,,,,,,,230394,,*14\n");
	assert_int_equal(perron_replay_file_next(&file, &record), PERRON_REPLAY_END);
	assert_true(perron_replay_file_period_ns(&file) == 3500 * MS);
}

struct got {
	uint32_t count;
	uint64_t first_ns;
	uint64_t last_ns;
};

static int got_give(void *context, uint32_t index, uint64_t stamp_ns, uint8_t class_hint,
		    const uint8_t *data, uint32_t size)
{
	struct got *got = context;

	(void)index;
	(void)class_hint;
	(void)data;
	(void)size;
	if (got->count++ == 0)
		got->first_ns = stamp_ns;
	got->last_ns = stamp_ns;
	return 0;
}

struct bench {
	struct got got;
	struct perron_option_value options[4];
	struct perron_sensor_config sensor;
	struct perron_sensor_loop *loop;
	struct perron_sensor_status status;
	char error[256];
};

static int create(struct bench *b, const char *path, const char *key, const char *value)
{
	struct perron_sensor_loop_config config = {.sensors = &b->sensor,
						   .sensor_count = 1,
						   .sink = {got_give, &b->got},
						   .cpu = PERRON_SENSOR_CPU_ANY};
	uint32_t culprit;

	memset(b, 0, sizeof(*b));
	b->sensor = (struct perron_sensor_config){
	    .name = "r", .driver = "replay", .options = b->options, .option_count = 1};
	strcpy(b->options[0].key, "file");
	snprintf(b->options[0].value, sizeof(b->options[0].value), "%s", path);
	if (key) {
		strcpy(b->options[1].key, key);
		strcpy(b->options[1].value, value);
		b->sensor.option_count = 2;
	}
	return perron_sensor_loop_create(&b->loop, &config, 0, &culprit, b->error,
					 sizeof(b->error));
}

/* In virtual time, from deadline to deadline, until it ends or `until_ns`. */
static void run(struct bench *b, uint64_t until_ns)
{
	for (uint64_t now_ns = 0; now_ns < until_ns;)
		now_ns = perron_sensor_loop_turn(b->loop, now_ns);
	perron_sensor_loop_status(b->loop, 0, &b->status);
	perron_sensor_loop_destroy(b->loop);
}

/* The log that the demo plays: every line of it is good, and its last fix is the line's last stop.
 */
static void test_recorded_line(void **state)
{
	static const char path[] = PERRON_TEST_DATA "/line.nmea";
	struct bench b;
	char text[128];

	(void)state;
	assert_int_equal(create(&b, path, NULL, NULL), 0);
	run(&b, 3600000 * MS);
	assert_int_equal(b.status.state, PERRON_SENSOR_CLOSED);
	for (uint32_t i = 0; i < PERRON_SENSOR_BAD_COUNT; i++)
		assert_int_equal(b.status.counters.bad[i], 0);
	uint64_t seconds = b.got.count / 2;
	assert_in_range(seconds, 180, 400);
	assert_true(b.got.last_ns == (seconds - 1) * 1000 * MS);
	perron_sensor_reading_print(&b.status.reading, text, sizeof(text));
	assert_memory_equal(text, "41.170", 6);
	assert_non_null(strstr(text, " N 8.596"));
	assert_non_null(strstr(text, " W, 0.0 km/h"));

	assert_int_equal(create(&b, path, "speed", "1000%"), 0);
	run(&b, 3600000 * MS);
	assert_true(b.got.last_ns == (seconds - 1) * 100 * MS);

	assert_int_equal(create(&b, path, "loop", "yes"), 0);
	run(&b, (seconds * 3 * 1000 - 1) * MS);
	assert_int_equal(b.got.count, seconds * 2 * 3);
	assert_int_equal(b.status.state, PERRON_SENSOR_OPEN);
}

/* However late it is first read, and after a stall: never more than its due at once. */
static void test_late_is_not_all_at_once(void **state)
{
	struct bench b;

	(void)state;
	assert_int_equal(create(&b, PERRON_TEST_DATA "/line.nmea", NULL, NULL), 0);
	perron_sensor_loop_turn(b.loop, 60000 * MS);
	assert_int_equal(b.got.count, 2);
	assert_true(perron_sensor_loop_turn(b.loop, 90000 * MS) == 91000 * MS);
	assert_int_equal(b.got.count, 4);
	perron_sensor_loop_destroy(b.loop);
}

static void test_bad_files(void **state)
{
	char path[] = "/tmp/perron-replay-XXXXXX";
	struct bench b;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(create(&b, "/nowhere/at/all", NULL, NULL), -ENOENT);
	assert_int_equal(create(&b, "/tmp", NULL, NULL), -EINVAL);
	assert_int_equal(create(&b, path, NULL, NULL), -EINVAL);
	assert_non_null(strstr(b.error, "1 byte to 64 MB"));
	assert_int_equal(write(fd, "1 30\n0 31\n", 10), 10);
	assert_int_equal(create(&b, path, NULL, NULL), -EINVAL);
	assert_non_null(strstr(b.error, ":2: expected a time that is not before"));
	assert_int_equal(create(&b, path, "format", "nmea"), -EINVAL);
	assert_non_null(strstr(b.error, "at least one good line"));
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_timed_lines), cmocka_unit_test(test_bad_timed_lines),
	    cmocka_unit_test(test_nmea_log),	cmocka_unit_test(test_recorded_line),
	    cmocka_unit_test(test_late_is_not_all_at_once),
	    cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
