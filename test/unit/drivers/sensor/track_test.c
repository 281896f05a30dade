/* Track telegrams: the codec byte by byte, and the driver on a real UDP socket on loopback. */
#include "test/unit/support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/sensor/loop.h"
#include "drivers/sensor/track_telegram.h"
#include "runtime/base/bytes.h"
#include "runtime/base/frame.h"

#define MS 1000000ull

static const struct perron_track_telegram sample = {
    .evaluator = 7,
    .epoch = 1700000000,
    .sequence = 41,
    .time_ns = 0x0102030405060708,
    .cycle_ms = 250,
    .section_count = 2,
    .sections = {{.id = 101, .state = PERRON_TRACK_CLEAR, .age_ms = 90000},
		 {.id = 102,
		  .state = PERRON_TRACK_OCCUPIED,
		  .direction = PERRON_TRACK_DIRECTION_UP,
		  .axle_count = 12,
		  .speed_cm_s = 1111,
		  .age_ms = 2500}},
};

/* As docs/track-telegram.md shows it. */
static void test_golden_bytes(void **state)
{
	static const uint8_t golden[] = {
	    'P', 'T', 'R', 'K', 1, 2, 0, 68, 0,	   0,	 0, 7, 0x65, 0x53, 0xf1, 0x00,
	    0,	 0,   0,   41,	1, 2, 3, 4,  5,	   6,	 7, 8, 0,    250,  0,	 0,
	    0,	 0,   0,   101, 0, 0, 0, 0,  0,	   0,	 0, 0, 0,    1,	   0x5f, 0x90,
	    0,	 0,   0,   102, 1, 1, 0, 12, 0x04, 0x57, 0, 0, 0,    0,	   0x09, 0xc4,
	};
	struct perron_track_telegram out;
	uint8_t data[PERRON_TRACK_SIZE_MAX];

	(void)state;
	uint32_t size = perron_track_encode(data, &sample);
	assert_int_equal(size, sizeof(golden) + 4);
	assert_memory_equal(data, golden, sizeof(golden));
	assert_int_equal(perron_load32(data + sizeof(golden)),
			 perron_crc32c(0, golden, sizeof(golden)));
	assert_int_equal(perron_track_decode(data, size, &out), PERRON_TRACK_GOOD);
	assert_int_equal(out.sequence, 41);
	assert_int_equal(out.sections[1].speed_cm_s, 1111);
	assert_int_equal(out.sections[0].age_ms, 90000);
	assert_true(out.time_ns == sample.time_ns);
}

static void test_each_damaged_bit_is_seen(void **state)
{
	struct perron_track_telegram out;
	uint8_t data[PERRON_TRACK_SIZE_MAX];

	(void)state;
	uint32_t size = perron_track_encode(data, &sample);
	for (uint32_t bit = 0; bit < size * 8; bit++) {
		data[bit / 8] = (uint8_t)(data[bit / 8] ^ (1u << bit % 8));
		assert_int_not_equal(perron_track_decode(data, size, &out), PERRON_TRACK_GOOD);
		data[bit / 8] = (uint8_t)(data[bit / 8] ^ (1u << bit % 8));
	}
	for (uint32_t cut = 0; cut < size; cut++)
		assert_int_equal(perron_track_decode(data, cut, &out), PERRON_TRACK_FRAMING);
	data[4] = 2;
	assert_int_equal(perron_track_decode(data, size, &out), PERRON_TRACK_VERSION_OTHER);
	memset(data, 0, sizeof(data));
	assert_int_equal(perron_track_decode(data, 513, &out), PERRON_TRACK_OVERSIZE);
}

/* A good check sum over fields that make no sense. */
static void test_fields_out_of_range(void **state)
{
	struct perron_track_telegram bad, out;
	uint8_t data[PERRON_TRACK_SIZE_MAX];

	(void)state;
	for (uint32_t i = 0; i < 9; i++) {
		bad = sample;
		bad.evaluator = i == 0 ? 0 : 7;
		bad.cycle_ms = i == 1 ? 99 : i == 2 ? 1001 : 250;
		bad.sections[0].id = i == 3 ? 0 : 101;
		bad.sections[0].axle_count = i == 4 ? 1 : 0;  /* clear, with an axle */
		bad.sections[1].axle_count = i == 5 ? 0 : 12; /* occupied, by nothing */
		bad.sections[1].state = i == 6 ? 3 : PERRON_TRACK_OCCUPIED;
		bad.sections[1].direction = i == 7 ? 3 : PERRON_TRACK_DIRECTION_UP;
		uint32_t size = perron_track_encode(data, &bad);
		assert_int_equal(perron_track_decode(data, size, &out),
				 i == 8 ? PERRON_TRACK_GOOD : PERRON_TRACK_MALFORMED);
	}
}

static void test_order(void **state)
{
	uint32_t missed;

	(void)state;
	assert_int_equal(perron_track_order_of(5, 9, 5, 10, &missed), PERRON_TRACK_NEXT);
	assert_int_equal(missed, 0);
	assert_int_equal(perron_track_order_of(5, 9, 5, 13, &missed), PERRON_TRACK_NEXT);
	assert_int_equal(missed, 3);
	assert_int_equal(perron_track_order_of(5, UINT32_MAX, 5, 0, &missed), PERRON_TRACK_NEXT);
	assert_int_equal(perron_track_order_of(5, 9, 5, 9, &missed), PERRON_TRACK_REPEATED);
	assert_int_equal(perron_track_order_of(5, 9, 5, 8, &missed), PERRON_TRACK_OUT_OF_ORDER);
	assert_int_equal(perron_track_order_of(5, 9, 6, 0, &missed), PERRON_TRACK_RESTARTED);
	assert_int_equal(perron_track_order_of(5, 9, 4, 10, &missed), PERRON_TRACK_OUT_OF_ORDER);
}

struct bench {
	int sender;
	uint16_t port;
	struct perron_sensor_loop *loop;
	struct perron_sensor_config sensor;
	struct perron_option_value options[4];
	uint64_t now_ns;
	uint32_t given;
	uint32_t last_sequence;
	char error[256];
};

static int bench_give(void *context, uint32_t index, uint64_t stamp_ns, uint8_t class_hint,
		      const uint8_t *data, uint32_t size)
{
	struct bench *b = context;
	struct perron_track_telegram telegram;

	(void)index;
	(void)class_hint;
	assert_int_equal(perron_track_decode(data, size, &telegram), PERRON_TRACK_GOOD);
	assert_true(stamp_ns == b->now_ns);
	b->given++;
	b->last_sequence = telegram.sequence;
	return 0;
}

/* A port that nobody has: the kernel chooses one, and gives it back. */
static uint16_t port_free(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static int create(struct bench *b)
{
	struct perron_sensor_loop_config config = {.sensors = &b->sensor,
						   .sensor_count = 1,
						   .sink = {bench_give, b},
						   .cpu = PERRON_SENSOR_CPU_ANY};
	uint32_t culprit;

	return perron_sensor_loop_create(&b->loop, &config, b->now_ns, &culprit, b->error,
					 sizeof(b->error));
}

static void bench_start(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	b->port = port_free();
	b->now_ns = 1000 * MS;
	b->sender = socket(AF_INET, SOCK_DGRAM, 0);
	strcpy(b->options[0].key, "port");
	snprintf(b->options[0].value, sizeof(b->options[0].value), "%u", b->port);
	strcpy(b->options[1].key, "address");
	strcpy(b->options[1].value, "127.0.0.1");
	b->sensor = (struct perron_sensor_config){
	    .name = "t", .driver = "track", .options = b->options, .option_count = 2};
	assert_int_equal(create(b), 0);
}

static void bench_end(struct bench *b)
{
	perron_sensor_loop_destroy(b->loop);
	close(b->sender);
}

/* Sends telegram `sequence` of `epoch` and has it read, `later_ns` on. */
static struct perron_sensor_status exchange(struct bench *b, uint64_t later_ns, uint32_t evaluator,
					    uint32_t epoch, uint32_t sequence)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(b->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct perron_track_telegram telegram = sample;
	struct perron_sensor_status status;
	uint8_t data[PERRON_TRACK_SIZE_MAX];

	telegram.evaluator = evaluator;
	telegram.epoch = epoch;
	telegram.sequence = sequence;
	uint32_t size = perron_track_encode(data, &telegram);
	assert_int_equal(sendto(b->sender, data, size, 0, (struct sockaddr *)&to, sizeof(to)),
			 (ssize_t)size);
	b->now_ns += later_ns;
	perron_sensor_loop_turn(b->loop, b->now_ns);
	perron_sensor_loop_status(b->loop, 0, &status);
	return status;
}

static void test_driver_counts_what_the_numbers_say(void **state)
{
	struct perron_sensor_status s;
	struct bench b;
	char text[128];

	(void)state;
	bench_start(&b);
	exchange(&b, 250 * MS, 7, 1, 10);
	exchange(&b, 250 * MS, 7, 1, 11);
	exchange(&b, 250 * MS, 7, 1, 11);    /* repeated */
	exchange(&b, 250 * MS, 7, 1, 14);    /* two missed */
	exchange(&b, 250 * MS, 7, 1, 13);    /* late */
	exchange(&b, 250 * MS, 8, 1, 15);    /* another evaluator */
	s = exchange(&b, 250 * MS, 7, 2, 0); /* restarted */
	assert_int_equal(b.given, 4);
	assert_int_equal(b.last_sequence, 0);
	assert_int_equal(s.counters.messages, 4);
	assert_int_equal(s.counters.missed, 2);
	assert_int_equal(s.counters.bad[PERRON_SENSOR_BAD_REPEATED], 1);
	assert_int_equal(s.counters.bad[PERRON_SENSOR_BAD_OUT_OF_ORDER], 1);
	assert_int_equal(s.counters.bad[PERRON_SENSOR_BAD_STRANGER], 1);
	perron_sensor_reading_print(&s.reading, text, sizeof(text));
	assert_string_equal(text, "1 of 2 sections occupied, 12 axles, 0 disturbed");
	bench_end(&b);
}

static void test_three_silent_cycles_are_a_state(void **state)
{
	struct perron_sensor_status s;
	struct bench b;

	(void)state;
	bench_start(&b);
	exchange(&b, 250 * MS, 7, 1, 0);
	b.now_ns += 750 * MS - 1;
	assert_true(perron_sensor_loop_turn(b.loop, b.now_ns) == b.now_ns + 1);
	perron_sensor_loop_status(b.loop, 0, &s);
	assert_int_equal(s.state, PERRON_SENSOR_OPEN);
	b.now_ns += 1;
	assert_true(perron_sensor_loop_turn(b.loop, b.now_ns) == UINT64_MAX);
	perron_sensor_loop_status(b.loop, 0, &s);
	assert_int_equal(s.state, PERRON_SENSOR_SILENT);
	assert_int_equal(s.counters.silences, 1);
	s = exchange(&b, 5000 * MS, 7, 1, 21);
	assert_int_equal(s.state, PERRON_SENSOR_OPEN);
	assert_int_equal(s.counters.missed, 20);
	bench_end(&b);
}

static void test_rubbish_is_counted(void **state)
{
	struct perron_sensor_status s;
	struct bench b;
	uint8_t data[600] = {0};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	(void)state;
	bench_start(&b);
	to.sin_port = htons(b.port);
	sendto(b.sender, data, 0, 0, (struct sockaddr *)&to, sizeof(to));
	sendto(b.sender, data, 600, 0, (struct sockaddr *)&to, sizeof(to));
	uint32_t size = perron_track_encode(data, &sample);
	data[20] ^= 1;
	sendto(b.sender, data, size, 0, (struct sockaddr *)&to, sizeof(to));
	perron_sensor_loop_turn(b.loop, b.now_ns);
	perron_sensor_loop_status(b.loop, 0, &s);
	assert_int_equal(b.given, 0);
	assert_int_equal(s.counters.bad[PERRON_SENSOR_BAD_FRAMING], 1);
	assert_int_equal(s.counters.bad[PERRON_SENSOR_BAD_OVERSIZE], 1);
	assert_int_equal(s.counters.bad[PERRON_SENSOR_BAD_CHECKSUM], 1);
	bench_end(&b);
}

static void test_port_in_use(void **state)
{
	struct bench b, second;

	(void)state;
	bench_start(&b);
	second = b;
	assert_int_equal(create(&second), -EADDRINUSE);
	assert_non_null(strstr(second.error, "in use; expected a port of its own"));
	strcpy(second.options[1].value, "192.0.2.1");
	second.sensor.options = second.options;
	assert_int_equal(create(&second), -EADDRNOTAVAIL);
	strcpy(second.options[2].key, "optional");
	strcpy(second.options[2].value, "yes");
	second.sensor.option_count = 3;
	assert_int_equal(create(&second), 0);
	perron_sensor_loop_destroy(second.loop);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden_bytes),
	    cmocka_unit_test(test_each_damaged_bit_is_seen),
	    cmocka_unit_test(test_fields_out_of_range),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_driver_counts_what_the_numbers_say),
	    cmocka_unit_test(test_three_silent_cycles_are_a_state),
	    cmocka_unit_test(test_rubbish_is_counted),
	    cmocka_unit_test(test_port_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
