/* The serial driver on a real tty: the slave of a pty, behind a symbolic link as udev makes them.
 */
#include "test/unit/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "drivers/sensor/loop.h"
#include "platform/tty.h"

#define MS	 1000000ull
#define SENTENCE "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n"

struct got {
	char text[8192];
	uint32_t count;
	uint64_t stamp_ns;
};

static int got_give(void *context, uint32_t index, uint64_t stamp_ns, uint8_t class_hint,
		    const uint8_t *data, uint32_t size)
{
	struct got *got = context;
	size_t used = strlen(got->text);

	(void)index;
	(void)class_hint;
	snprintf(got->text + used, sizeof(got->text) - used, "<%.*s>", (int)size,
		 (const char *)data);
	got->count++;
	got->stamp_ns = stamp_ns;
	return 0;
}

struct bench {
	char directory[64];
	char link[96];
	int master;
	int slave; /* kept open to see what has arrived there */
	struct got got;
	struct perron_option_value options[16];
	struct perron_sensor_config sensor;
	struct perron_sensor_loop_config config;
	struct perron_sensor_loop *loop;
	uint64_t now_ns;
	char error[512];
};

static void plug(struct bench *b)
{
	b->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	assert_true(b->master >= 0);
	assert_int_equal(grantpt(b->master), 0);
	assert_int_equal(unlockpt(b->master), 0);
	assert_int_equal(symlink(ptsname(b->master), b->link), 0);
	b->slave = open(b->link, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_true(b->slave >= 0);
}

static void unplug(struct bench *b)
{
	close(b->master);
	close(b->slave);
	unlink(b->link);
}

static void option(struct bench *b, const char *key, const char *value)
{
	struct perron_option_value *option = &b->options[b->sensor.option_count++];

	snprintf(option->key, sizeof(option->key), "%s", key);
	snprintf(option->value, sizeof(option->value), "%s", value);
}

static int setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	strcpy(b->directory, "/tmp/perron-serial-XXXXXX");
	if (!mkdtemp(b->directory))
		return -1;
	snprintf(b->link, sizeof(b->link), "%s/tty", b->directory);
	b->now_ns = 1000 * MS;
	b->sensor = (struct perron_sensor_config){
	    .name = "line", .driver = "serial", .options = b->options};
	b->config = (struct perron_sensor_loop_config){.sensors = &b->sensor,
						       .sensor_count = 1,
						       .sink = {got_give, &b->got},
						       .cpu = PERRON_SENSOR_CPU_ANY};
	option(b, "device", b->link);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;

	perron_sensor_loop_destroy(b->loop);
	unlink(b->link);
	rmdir(b->directory);
	free(b);
	return 0;
}

static int create(struct bench *b)
{
	uint32_t culprit;

	b->error[0] = '\0';
	return perron_sensor_loop_create(&b->loop, &b->config, b->now_ns, &culprit, b->error,
					 sizeof(b->error));
}

static void send_bytes(struct bench *b, const char *bytes, size_t size)
{
	int before = 0, now = 0;

	assert_int_equal(ioctl(b->slave, FIONREAD, &before), 0);
	assert_int_equal(write(b->master, bytes, size), (ssize_t)size);
	/* The kernel passes it on in its own time. */
	for (int i = 0; i < 2000 && now < before + (int)size; i++) {
		assert_int_equal(ioctl(b->slave, FIONREAD, &now), 0);
		usleep(500);
	}
}

static uint64_t turn(struct bench *b, uint64_t later_ns)
{
	b->now_ns += later_ns;
	return perron_sensor_loop_turn(b->loop, b->now_ns);
}

static struct perron_sensor_status status_of(const struct bench *b)
{
	struct perron_sensor_status status;

	perron_sensor_loop_status(b->loop, 0, &status);
	return status;
}

static void test_sentence_in_parts(void **state)
{
	struct bench *b = *state;
	char text[128];

	plug(b);
	option(b, "decoder", "nmea");
	assert_int_equal(create(b), 0);
	for (size_t i = 0; i < strlen(SENTENCE); i++) {
		assert_int_equal(b->got.count, 0);
		send_bytes(b, &SENTENCE[i], 1);
		turn(b, MS);
	}
	assert_string_equal(b->got.text, "<" SENTENCE ">");
	assert_true(b->got.stamp_ns == b->now_ns);
	struct perron_sensor_status status = status_of(b);
	assert_int_equal(status.state, PERRON_SENSOR_OPEN);
	assert_int_equal(status.counters.messages, 1);
	assert_int_equal(status.counters.bytes, strlen(SENTENCE));
	perron_sensor_reading_print(&status.reading, text, sizeof(text));
	assert_string_equal(text, "48.1173000 N 11.5166667 E, 41.4 km/h");
	unplug(b);
}

static void test_bad_sentences_are_counted_and_dropped(void **state)
{
	static const char bad[] = "$GPRMC,123519,A,4807.039,N,01131.000,E,022.4,084.4,230394,"
				  "003.1,W*6A\r\n"
				  "noise\n";
	struct bench *b = *state;
	char line[200];

	plug(b);
	option(b, "decoder", "nmea");
	option(b, "size_max", "100");
	assert_int_equal(create(b), 0);
	send_bytes(b, bad, sizeof(bad) - 1);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	send_bytes(b, line, sizeof(line));
	send_bytes(b, SENTENCE, strlen(SENTENCE));
	turn(b, MS);
	assert_string_equal(b->got.text, "<" SENTENCE ">");
	struct perron_sensor_status status = status_of(b);
	assert_int_equal(status.counters.bad[PERRON_SENSOR_BAD_CHECKSUM], 1);
	assert_int_equal(status.counters.bad[PERRON_SENSOR_BAD_FRAMING], 1);
	assert_int_equal(status.counters.bad[PERRON_SENSOR_BAD_OVERSIZE], 1);
	unplug(b);
}

/* 0xff is what the tty marks errors with: it must come through as itself, once. */
static void test_every_byte_comes_through(void **state)
{
	struct bench *b = *state;
	uint8_t bytes[256];

	plug(b);
	option(b, "framing", "length");
	option(b, "length", "256");
	assert_int_equal(create(b), 0);
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(255 - i);
	send_bytes(b, (const char *)bytes, sizeof(bytes));
	turn(b, MS);
	assert_int_equal(b->got.count, 1);
	assert_int_equal(status_of(b).counters.bad[PERRON_SENSOR_BAD_LINE], 0);
	unplug(b);
}

static void test_gap_ends_a_message(void **state)
{
	struct bench *b = *state;

	plug(b);
	option(b, "framing", "gap");
	option(b, "gap", "20ms");
	assert_int_equal(create(b), 0);
	send_bytes(b, "abc", 3);
	assert_true(turn(b, MS) == b->now_ns + 20 * MS);
	send_bytes(b, "def", 3);
	turn(b, 10 * MS);
	assert_int_equal(b->got.count, 0);
	turn(b, 20 * MS);
	assert_string_equal(b->got.text, "<abcdef>");
	unplug(b);
}

static void test_unplug_and_replug(void **state)
{
	struct bench *b = *state;
	uint64_t last_wait_ns = 0;

	plug(b);
	assert_int_equal(create(b), 0);
	send_bytes(b, "one\nhal", 7);
	turn(b, MS);
	unplug(b);
	uint64_t next_ns = turn(b, MS);
	assert_int_equal(status_of(b).state, PERRON_SENSOR_WAITING);
	/* The back-off grows, and no further than its bound. */
	for (int i = 0; i < 12; i++) {
		uint64_t wait_ns = next_ns - b->now_ns;
		assert_true(wait_ns > last_wait_ns || wait_ns == PERRON_SENSOR_BACKOFF_NS_MAX);
		last_wait_ns = wait_ns;
		next_ns = turn(b, wait_ns);
		assert_int_equal(status_of(b).error_number, ENOENT);
	}
	assert_true(last_wait_ns == PERRON_SENSOR_BACKOFF_NS_MAX);
	plug(b);
	turn(b, next_ns - b->now_ns);
	assert_int_equal(status_of(b).state, PERRON_SENSOR_OPEN);
	send_bytes(b, "two\n", 4);
	turn(b, MS);
	/* Half a message from before the unplug is not the beginning of the next one. */
	assert_string_equal(b->got.text, "<one\n><two\n>");
	assert_int_equal(status_of(b).counters.reopens, 1);
	assert_int_equal(status_of(b).counters.open_failures, 12);
	/* Something was received: the back-off starts anew. */
	unplug(b);
	next_ns = turn(b, MS);
	assert_true(next_ns - b->now_ns == PERRON_SENSOR_BACKOFF_NS_MIN);
}

static void test_missing_tty(void **state)
{
	struct bench *b = *state;

	assert_int_equal(create(b), -ENOENT);
	assert_null(b->loop);
	assert_non_null(strstr(b->error, "sensor 'line'"));
	assert_non_null(strstr(b->error, b->link));
	assert_non_null(strstr(b->error, "plugged in"));
	option(b, "optional", "yes");
	assert_int_equal(create(b), 0);
	assert_int_equal(status_of(b).state, PERRON_SENSOR_WAITING);
	plug(b);
	turn(b, PERRON_SENSOR_BACKOFF_NS_MIN);
	assert_int_equal(status_of(b).state, PERRON_SENSOR_OPEN);
	assert_int_equal(status_of(b).counters.reopens, 0);
	unplug(b);
}

static void test_not_a_tty(void **state)
{
	struct bench *b = *state;

	strcpy(b->options[0].value, "/dev/null");
	option(b, "optional", "yes");
	assert_int_equal(create(b), -ENOTTY);
	assert_non_null(strstr(b->error, "is not a tty"));
}

static void test_two_sensors_on_one_tty(void **state)
{
	struct bench *b = *state;
	struct perron_sensor_config two[2];
	uint32_t culprit;

	plug(b);
	two[0] = two[1] = b->sensor;
	two[1].name = "other";
	b->config.sensors = two;
	b->config.sensor_count = 2;
	assert_int_equal(perron_sensor_loop_create(&b->loop, &b->config, 0, &culprit, b->error,
						   sizeof(b->error)),
			 -EBUSY);
	assert_int_equal(culprit, 1);
	two[1].name = "line";
	assert_int_equal(perron_sensor_loop_create(&b->loop, &b->config, 0, &culprit, b->error,
						   sizeof(b->error)),
			 -EINVAL);
	assert_non_null(strstr(b->error, "twice"));
	unplug(b);
}

static void test_contradictions(void **state)
{
	static const char *const cases[][5] = {
	    {"speed", "9601", NULL, NULL, "9600"},
	    {"framing", "length", NULL, NULL, "'length'"},
	    {"framing", "gap", NULL, NULL, "'gap'"},
	    {"framing", "gap", "decoder", "nmea", "delimiter"},
	    {"delimiter", "\\q", NULL, NULL, "1 to 8 bytes"},
	    {"delimiter", "123456789", NULL, NULL, "1 to 8 bytes"},
	    {"data_bits", "9", NULL, NULL, "from 5 to 8"},
	    {"parity", "space", NULL, NULL, "none|even|odd"},
	    {"baud", "9600", NULL, NULL, "unknown key"},
	};
	struct bench *b = *state;
	uint32_t culprit;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b->sensor.option_count = 1;
		option(b, cases[i][0], cases[i][1]);
		if (cases[i][2])
			option(b, cases[i][2], cases[i][3]);
		assert_int_equal(
		    perron_sensor_config_check(&b->sensor, &culprit, b->error, sizeof(b->error)),
		    -EINVAL);
		assert_non_null(strstr(b->error, cases[i][4]));
		assert_null(strchr(b->error, '\n'));
	}
	b->sensor.option_count = 1;
	b->sensor.driver = "seriel";
	assert_int_equal(
	    perron_sensor_config_check(&b->sensor, &culprit, b->error, sizeof(b->error)), -EINVAL);
	assert_non_null(strstr(b->error, "expected one of serial, track, synthetic, replay"));
	b->sensor.driver = "serial";
	b->sensor.name = "bad name";
	assert_int_equal(
	    perron_sensor_config_check(&b->sensor, &culprit, b->error, sizeof(b->error)), -EINVAL);
}

static void test_line_settings_are_applied(void **state)
{
	struct bench *b = *state;
	struct termios t;

	plug(b);
	option(b, "speed", "115200");
	option(b, "parity", "even");
	option(b, "stop_bits", "2");
	assert_int_equal(create(b), 0);
	/* A pty shares its settings with its master, all but parity, which it has none of. */
	assert_int_equal(tcgetattr(b->master, &t), 0);
	assert_int_equal(cfgetispeed(&t), B115200);
	assert_true(t.c_cflag & CSTOPB);
	assert_false(t.c_lflag & (ICANON | ECHO));
	unplug(b);
}

static void test_marks(void **state)
{
	static const uint8_t line[] = {'a', 0xff, 0xff, 'b',  0xff, 0x00,
				       'c', 0xff, 0x00, 0x00, 'd'};
	char out[16] = "";
	uint32_t mark_state = 0, used = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(line); i++) {
		uint8_t byte;
		enum perron_tty_mark mark = perron_tty_unmark(&mark_state, line[i], &byte);
		if (mark == PERRON_TTY_MARK_BYTE)
			out[used++] = byte == 0xff ? 'F' : (char)byte;
		else if (mark == PERRON_TTY_MARK_ERROR)
			out[used++] = '!';
	}
	assert_string_equal(out, "aFb!!d");
}

/* The thread itself: it starts, gives, and stops so that nothing is given any more. */
static void test_thread(void **state)
{
	struct bench *b = *state;
	struct perron_sensor_status status;

	plug(b);
	b->config.cpu = 0;
	assert_int_equal(create(b), 0);
	assert_int_equal(perron_sensor_loop_start(b->loop, b->error, sizeof(b->error)), 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(write(b->master, "message\n", 8), 8);
	for (int i = 0; i < 500; i++) {
		perron_sensor_loop_status(b->loop, 0, &status);
		if (status.counters.messages == 50)
			break;
		usleep(10000);
	}
	perron_sensor_loop_stop(b->loop);
	assert_int_equal(b->got.count, 50);
	send_bytes(b, "message\n", 8);
	perron_sensor_loop_stop(b->loop);
	assert_int_equal(b->got.count, 50);
	assert_int_equal(perron_sensor_loop_start(b->loop, b->error, sizeof(b->error)), 0);
	perron_sensor_loop_stop(b->loop);
	unplug(b);
}

static void test_core_that_does_not_exist(void **state)
{
	struct bench *b = *state;

	plug(b);
	b->config.cpu = 1000;
	assert_int_equal(create(b), 0);
	assert_int_equal(perron_sensor_loop_start(b->loop, b->error, sizeof(b->error)), -EINVAL);
	assert_non_null(strstr(b->error, "core 1000"));
	unplug(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_sentence_in_parts),
	    TEST(test_bad_sentences_are_counted_and_dropped),
	    TEST(test_every_byte_comes_through),
	    TEST(test_gap_ends_a_message),
	    TEST(test_unplug_and_replug),
	    TEST(test_missing_tty),
	    TEST(test_not_a_tty),
	    TEST(test_two_sensors_on_one_tty),
	    TEST(test_contradictions),
	    TEST(test_line_settings_are_applied),
	    TEST(test_marks),
	    TEST(test_thread),
	    TEST(test_core_that_does_not_exist),
	};

	if (access("/dev/ptmx", R_OK | W_OK) < 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
