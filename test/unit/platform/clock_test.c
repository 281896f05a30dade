/* The clock's arithmetic on chosen lines, and that the clock of this machine never goes back. */
#include "test/unit/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "platform/clock.h"

#define TICK_HZ 2500000000ull
#define RATE	((uint64_t)(((unsigned __int128)1000000000ull << 60) / TICK_HZ))
#define PPM(n)	(RATE / 1000000u * (n))

static struct perron_clock_line line_sample(void)
{
	return (struct perron_clock_line){TICK_HZ, 5000000000ull, RATE, RATE};
}

static void test_line_runs_at_its_rate(void **state)
{
	(void)state;
	struct perron_clock_line line = line_sample();
	assert_int_equal(perron_clock_line_ns(&line, TICK_HZ), 5000000000ull);
	assert_in_range(perron_clock_line_ns(&line, 2 * TICK_HZ), 5999999999ull, 6000000000ull);
	assert_in_range(perron_clock_line_ns(&line, TICK_HZ / 2), 4500000000ull, 4500000001ull);
}

static void test_line_lasts_a_year_without_overflow(void **state)
{
	(void)state;
	struct perron_clock_line line = line_sample();
	uint64_t year_s = 31536000;
	uint64_t ns = perron_clock_line_ns(&line, TICK_HZ + year_s * TICK_HZ);
	assert_in_range(ns, (year_s + 5) * 1000000000ull - 1000000, (year_s + 5) * 1000000000ull);
}

static void test_bend_is_continuous_and_reaches_its_target(void **state)
{
	(void)state;
	struct perron_clock_line line = line_sample();
	uint64_t start = 2 * TICK_HZ, target = 3 * TICK_HZ;
	/* 100 us late, to be made up in a second: 100 ppm. */
	struct perron_clock_line bent =
	    perron_clock_line_bend(&line, start, target, 7000100000ull, RATE);
	assert_int_equal(perron_clock_line_ns(&bent, start), perron_clock_line_ns(&line, start));
	assert_in_range(perron_clock_line_ns(&bent, target), 7000099998ull, 7000100001ull);
	/* Before it takes over it says what the old line says, and never less. */
	for (uint64_t tsc = start - 100000; tsc < start; tsc += 7)
		assert_in_range(perron_clock_line_ns(&bent, tsc), perron_clock_line_ns(&line, tsc),
				perron_clock_line_ns(&line, tsc) + 1);
}

static void test_bend_is_bounded(void **state)
{
	(void)state;
	struct perron_clock_line line = line_sample();
	struct perron_clock_line up =
	    perron_clock_line_bend(&line, 2 * TICK_HZ, 3 * TICK_HZ, 9000000000ull, RATE);
	struct perron_clock_line down =
	    perron_clock_line_bend(&line, 2 * TICK_HZ, 3 * TICK_HZ, 1000000000ull, RATE);
	assert_int_equal(up.rate, RATE + PPM(500));
	assert_int_equal(down.rate, RATE - PPM(500));
	assert_true(perron_clock_line_ns(&down, 3 * TICK_HZ) >
		    perron_clock_line_ns(&down, 2 * TICK_HZ));
}

static void test_many_bends_never_go_back(void **state)
{
	(void)state;
	struct perron_clock_line line = line_sample();
	uint64_t tsc = TICK_HZ, last = 0, random = 12345;
	for (int i = 0; i < 2000; i++) {
		random = random * 6364136223846793005ull + 1442695040888963407ull;
		uint64_t start = tsc + 2500000;
		uint64_t error = random >> 50;
		struct perron_clock_line bent = perron_clock_line_bend(
		    &line, start, tsc + 125000000,
		    perron_clock_line_ns(&line, tsc) + 50000000 + error - 8192, RATE);
		for (int k = 0; k < 50; k++, tsc += 90001) {
			uint64_t ns = perron_clock_line_ns(k < 10 ? &line : &bent, tsc);
			assert_true(ns >= last);
			last = ns;
		}
		line = bent;
		tsc += 2 * 2500000;
	}
}

static atomic_bool reader_stop;

static void *reader_run(void *context)
{
	uint64_t last = 0;
	int *backwards = context;
	while (!atomic_load(&reader_stop)) {
		for (int i = 0; i < 1000; i++) {
			uint64_t now = perron_clock_now_ns();
			*backwards += now < last;
			last = now;
		}
	}
	return NULL;
}

static void test_a_reader_never_sees_it_go_back(void **state)
{
	(void)state;
	perron_clock_init();
	int backwards = 0;
	pthread_t reader;
	assert_int_equal(pthread_create(&reader, NULL, reader_run, &backwards), 0);
	for (int i = 0; i < 12; i++) {
		struct timespec pause = {0, 25000000};
		nanosleep(&pause, NULL);
		uint64_t next = perron_clock_recalibrate();
		assert_in_range(next, PERRON_CLOCK_INTERVAL_NS_MIN, PERRON_CLOCK_INTERVAL_NS_MAX);
	}
	atomic_store(&reader_stop, true);
	pthread_join(reader, NULL);
	assert_int_equal(backwards, 0);
}

static void test_it_is_the_time_of_clock_monotonic(void **state)
{
	(void)state;
	perron_clock_init();
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	uint64_t before = (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
	uint64_t now = perron_clock_now_ns();
	/* Of the same epoch; how near is measured elsewhere. */
	assert_in_range(now, before - 1000000000ull, before + 60000000000ull);
	clock_gettime(CLOCK_REALTIME, &ts);
	int64_t real = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	int64_t overlay = (int64_t)now + perron_clock_realtime_offset_ns();
	assert_in_range(overlay, real - 60000000000, real + 60000000000);
	assert_int_equal(perron_clock_is_tsc(), perron_clock_tsc_hz() != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_line_runs_at_its_rate),
	    cmocka_unit_test(test_line_lasts_a_year_without_overflow),
	    cmocka_unit_test(test_bend_is_continuous_and_reaches_its_target),
	    cmocka_unit_test(test_bend_is_bounded),
	    cmocka_unit_test(test_many_bends_never_go_back),
	    cmocka_unit_test(test_a_reader_never_sees_it_go_back),
	    cmocka_unit_test(test_it_is_the_time_of_clock_monotonic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
