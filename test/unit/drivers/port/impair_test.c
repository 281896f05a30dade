/* Impairment by chosen times: what is delayed, lost, doubled, overtaken, bounded; and by seed. */
#include "test/unit/support.h"

#include <errno.h>
#include <string.h>

#include "drivers/port/port.h"
#include "test/unit/drivers/port/eal.h"

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

static struct perron_option_value options[] = {{.key = "link", .value = "loop"},
					       {.key = "to", .value = "self"},
					       {.key = "size", .value = "4096"}};
static struct perron_port_config config;
static struct perron_port port;

static void open_with(struct perron_port_impair_config impair)
{
	char error[PERRON_PORT_ERROR_SIZE];
	uint32_t culprit;
	impair.set = true;
	config = (struct perron_port_config){
	    .driver = "ring", .options = options, .option_count = 3, .impair = impair};
	if (perron_port_config_check(&config, &culprit, error, sizeof(error)) ||
	    perron_port_open(&port, &config, pool, error, sizeof(error)))
		fail_msg("%s", error);
}

static void transmit(uint64_t now_ns, uint8_t class, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct rte_mbuf *frame = frame_make(first + i);
		assert_int_equal(perron_port_transmit(&port, now_ns, class, &frame, 1), 1);
	}
}

/* Receives all that is there and writes down the numbers. */
static uint32_t receive(uint64_t now_ns, uint32_t *numbers)
{
	uint32_t count = 0;
	struct rte_mbuf *got[32];
	for (uint16_t n; (n = perron_port_receive(&port, now_ns, got, 32)) > 0;) {
		for (uint16_t i = 0; i < n; i++)
			numbers[count++] = frame_number(got[i]);
		rte_pktmbuf_free_bulk(got, n);
	}
	return count;
}

static uint64_t counter(enum perron_port_counter which)
{
	struct perron_port_statistics statistics;
	perron_port_statistics_read(&port, &statistics);
	return statistics.of[which];
}

static void close_port(void)
{
	perron_port_close(&port);
	assert_nothing_leaks();
}

static void test_frames_wait_their_delay(void **state)
{
	(void)state;
	uint32_t numbers[8];
	open_with((struct perron_port_impair_config){.delay_ns = 5 * MS});
	assert_int_equal(perron_port_deadline_ns(&port), UINT64_MAX);
	transmit(MS, 0, 0, 1);
	transmit(2 * MS, 3, 1, 1);
	assert_int_equal(perron_port_deadline_ns(&port), 6 * MS);
	assert_int_equal(counter(PERRON_PORT_COUNTER_IMPAIR_HELD), 2);
	assert_int_equal(receive(6 * MS - 1, numbers), 0);
	assert_int_equal(receive(6 * MS, numbers), 1);
	assert_int_equal(numbers[0], 0);
	assert_int_equal(perron_port_deadline_ns(&port), 7 * MS);
	assert_int_equal(receive(9 * MS, numbers), 1);
	assert_int_equal(numbers[0], 1);
	assert_int_equal(counter(PERRON_PORT_COUNTER_IMPAIR_DELAYED), 2);
	assert_int_equal(counter(PERRON_PORT_COUNTER_IMPAIR_HELD), 0);
	close_port();
}

static void test_jitter_keeps_the_order_and_its_bounds(void **state)
{
	(void)state;
	uint32_t numbers[512], seen = 0, early = 0;
	open_with((struct perron_port_impair_config){.delay_ns = MS, .jitter_ns = MS, .seed = 7});
	for (uint32_t i = 0; i < 200; i++) {
		transmit(i * MS, 0, i, 1);
		assert_int_equal(receive(i * MS + MS - 1, numbers + seen), 0);
		uint32_t n = receive(i * MS + MS + MS / 2, numbers + seen);
		early += n;
		seen += n;
		seen += receive(i * MS + 2 * MS, numbers + seen);
		assert_int_equal(seen, i + 1);
		assert_int_equal(numbers[i], i);
	}
	assert_in_range(early, 60, 140);
	/* Of frames that leave together, each drew its own jitter, and none overtakes. */
	transmit(S, 0, 1000, 100);
	for (uint64_t at_ns = S; at_ns <= S + 2 * MS; at_ns += MS / 50)
		seen += receive(at_ns, numbers + seen);
	assert_int_equal(seen, 300);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(numbers[200 + i], 1000 + i);
	close_port();
}

static void test_loss_is_as_often_as_told(void **state)
{
	(void)state;
	static uint32_t numbers[4096];
	uint32_t got = 0;
	open_with((struct perron_port_impair_config){.loss_ppm = 100000, .seed = 1});
	for (uint32_t i = 0; i < 4000; i++) {
		transmit(i, 0, i, 1);
		got += receive(i, numbers + got);
	}
	assert_int_equal(got + counter(PERRON_PORT_COUNTER_IMPAIR_LOST), 4000);
	assert_in_range(counter(PERRON_PORT_COUNTER_IMPAIR_LOST), 340, 460);
	/* A lost frame was taken: it is no refusal. */
	assert_int_equal(counter(PERRON_PORT_COUNTER_TX_FRAMES), 4000);
	assert_int_equal(counter(PERRON_PORT_COUNTER_TX_REFUSED), 0);
	close_port();
	open_with((struct perron_port_impair_config){.loss_ppm = 1000000});
	transmit(0, 0, 0, 100);
	assert_int_equal(receive(MS, numbers), 0);
	close_port();
}

static void test_duplicates_follow_their_frame(void **state)
{
	(void)state;
	uint32_t numbers[64];
	open_with((struct perron_port_impair_config){.duplicate_ppm = 1000000});
	transmit(0, 0, 5, 3);
	assert_int_equal(receive(0, numbers), 6);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(numbers[i], 5 + i / 2);
	assert_int_equal(counter(PERRON_PORT_COUNTER_IMPAIR_DUPLICATED), 3);
	close_port();
}

static void test_reordered_frames_are_overtaken(void **state)
{
	(void)state;
	uint32_t numbers[256], inversions = 0, got = 0;
	open_with((struct perron_port_impair_config){.reorder_ppm = 200000, .seed = 3});
	for (uint32_t i = 0; i < 100; i++) {
		transmit(i * MS / 10, 0, i, 1);
		got += receive(i * MS / 10, numbers + got);
	}
	got += receive(100 * MS, numbers + got);
	assert_int_equal(got, 100);
	for (uint32_t i = 1; i < 100; i++)
		inversions += numbers[i] < numbers[i - 1];
	assert_true(counter(PERRON_PORT_COUNTER_IMPAIR_REORDERED) > 5);
	assert_in_range(inversions, 5, counter(PERRON_PORT_COUNTER_IMPAIR_REORDERED));
	close_port();
}

static void test_no_more_is_held_than_may_be(void **state)
{
	(void)state;
	uint32_t numbers[64];
	open_with((struct perron_port_impair_config){.delay_ns = MS, .held_count_max = 16});
	transmit(0, 0, 0, 20);
	assert_int_equal(counter(PERRON_PORT_COUNTER_IMPAIR_OVERFLOWED), 4);
	assert_int_equal(counter(PERRON_PORT_COUNTER_IMPAIR_HELD), 16);
	assert_int_equal(receive(MS, numbers), 16);
	transmit(2 * MS, 0, 0, 3);
	close_port(); /* with three under way */
}

static uint64_t digest_of(uint64_t seed)
{
	static uint32_t numbers[2048];
	uint64_t digest = 14695981039346656037u;
	uint32_t got = 0;
	open_with((struct perron_port_impair_config){.delay_ns = MS,
						     .jitter_ns = MS,
						     .loss_ppm = 50000,
						     .duplicate_ppm = 50000,
						     .reorder_ppm = 50000,
						     .seed = seed});
	for (uint32_t i = 0; i < 500; i++) {
		transmit(i * MS / 4, (uint8_t)(i & 3), i, 1);
		got += receive(i * MS / 4, numbers + got);
	}
	got += receive(1000 * MS, numbers + got);
	close_port();
	for (uint32_t i = 0; i < got; i++)
		digest = (digest ^ numbers[i]) * 1099511628211u;
	return digest;
}

static void test_a_seed_gives_the_same_fates(void **state)
{
	(void)state;
	uint64_t first = digest_of(42);
	assert_true(digest_of(42) == first);
	assert_true(digest_of(43) != first);
}

static void test_shared_frames_are_not_held(void **state)
{
	(void)state;
	struct rte_mbuf *got;
	open_with((struct perron_port_impair_config){.delay_ns = MS});
	struct rte_mbuf *frame = frame_make(1), *kept = frame;
	rte_mbuf_refcnt_update(frame, 1);
	assert_int_equal(perron_port_transmit(&port, 0, 0, &frame, 1), 1);
	*rte_pktmbuf_mtod(kept, uint32_t *) = 2; /* the origin rewrites it for a retry */
	assert_int_equal(perron_port_receive(&port, MS, &got, 1), 1);
	assert_int_equal(frame_number(got), 1);
	rte_pktmbuf_free(got);
	rte_pktmbuf_free(kept);
	close_port();
}

static void test_nonsense_is_refused(void **state)
{
	(void)state;
	char error[PERRON_PORT_ERROR_SIZE];
	uint32_t culprit;
	config = (struct perron_port_config){
	    .driver = "ring", .options = options, .option_count = 3, .impair = {.set = true}};
	config.impair.loss_ppm = 1000001;
	assert_int_equal(perron_port_config_check(&config, &culprit, error, sizeof(error)),
			 -EINVAL);
	assert_non_null(strstr(error, "100%"));
	config.impair.loss_ppm = 0;
	config.impair.delay_ns = 11000 * MS;
	assert_int_equal(perron_port_config_check(&config, &culprit, error, sizeof(error)),
			 -EINVAL);
	assert_non_null(strstr(error, "10s"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frames_wait_their_delay),
	    cmocka_unit_test(test_jitter_keeps_the_order_and_its_bounds),
	    cmocka_unit_test(test_loss_is_as_often_as_told),
	    cmocka_unit_test(test_duplicates_follow_their_frame),
	    cmocka_unit_test(test_reordered_frames_are_overtaken),
	    cmocka_unit_test(test_no_more_is_held_than_may_be),
	    cmocka_unit_test(test_a_seed_gives_the_same_fates),
	    cmocka_unit_test(test_shared_frames_are_not_held),
	    cmocka_unit_test(test_nonsense_is_refused),
	};
	return cmocka_run_group_tests(tests, eal_start, eal_end);
}
