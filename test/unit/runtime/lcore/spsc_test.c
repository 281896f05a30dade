#include "runtime/lcore/spsc.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "test/unit/support.h"

#define SIZE	       256u
#define THREAD_RECORDS 200000u

static struct perron_spsc *ring;

static int begin(void **state)
{
	(void)state;
	ring = aligned_alloc(64, perron_spsc_size(SIZE));
	assert_non_null(ring);
	perron_spsc_init(ring, SIZE);
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(ring);
	return 0;
}

static void an_empty_ring_gives_nothing(void **state)
{
	uint32_t size, tag;

	(void)state;
	assert_true(perron_spsc_is_empty(ring));
	assert_null(perron_spsc_peek(ring, &size, &tag));
	expect_assert_failure(perron_spsc_pop(ring));
}

static void records_come_out_in_order_and_whole(void **state)
{
	uint32_t size, tag;

	(void)state;
	assert_true(perron_spsc_push(ring, 1, "one", 4));
	assert_true(perron_spsc_push(ring, 2, "second", 7));
	assert_string_equal(perron_spsc_peek(ring, &size, &tag), "one");
	assert_int_equal(size, 4);
	assert_int_equal(tag, 1);
	perron_spsc_pop(ring);
	assert_string_equal(perron_spsc_peek(ring, &size, &tag), "second");
	assert_int_equal(size, 7);
	assert_int_equal(tag, 2);
	perron_spsc_pop(ring);
	assert_true(perron_spsc_is_empty(ring));
}

static void a_reserved_record_is_not_there_before_commit(void **state)
{
	uint32_t size, tag;

	(void)state;
	uint8_t *at = perron_spsc_reserve(ring, 100);
	assert_non_null(at);
	assert_int_equal((uintptr_t)at & 7, 0);
	assert_null(perron_spsc_peek(ring, &size, &tag));
	memcpy(at, "short", 6);
	perron_spsc_commit(ring, 3, 6);
	assert_string_equal(perron_spsc_peek(ring, &size, &tag), "short");
	assert_int_equal(size, 6);
}

static void a_full_ring_refuses_and_counts(void **state)
{
	uint8_t record[56] = {0};
	uint32_t size, tag;

	(void)state;
	for (int i = 0; i < 4; i++) /* 64 bytes each, with their heads */
		assert_true(perron_spsc_push(ring, 0, record, sizeof(record)));
	assert_false(perron_spsc_push(ring, 0, record, 1));
	assert_int_equal(perron_spsc_refused(ring), 1);
	assert_non_null(perron_spsc_peek(ring, &size, &tag));
	perron_spsc_pop(ring);
	assert_true(perron_spsc_push(ring, 0, record, sizeof(record)));
}

static void what_can_never_fit_is_refused(void **state)
{
	(void)state;
	assert_null(perron_spsc_reserve(ring, SIZE));
	assert_int_equal(perron_spsc_refused(ring), 1);
	assert_non_null(perron_spsc_reserve(ring, SIZE - 8));
}

static void records_never_wrap(void **state)
{
	uint8_t record[100];
	uint32_t size, tag;

	(void)state;
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t want = i % sizeof(record);
		memset(record, (int)i, sizeof(record));
		assert_true(perron_spsc_push(ring, i, record, want));
		const uint8_t *got = perron_spsc_peek(ring, &size, &tag);
		assert_non_null(got);
		assert_true(got + want <= ring->bytes + SIZE);
		assert_int_equal(size, want);
		assert_int_equal(tag, i);
		assert_memory_equal(got, record, want);
		perron_spsc_pop(ring);
	}
	assert_int_equal(perron_spsc_refused(ring), 0);
}

static void *produce(void *argument)
{
	uint32_t sent = 0;

	(void)argument;
	while (sent < THREAD_RECORDS) {
		uint32_t words = 1 + sent % 7;
		uint32_t *at = perron_spsc_reserve(ring, words * 4);
		if (!at) {
			sched_yield();
			continue;
		}
		for (uint32_t i = 0; i < words; i++)
			at[i] = sent + i;
		perron_spsc_commit(ring, sent, words * 4);
		sent++;
	}
	return NULL;
}

static void two_threads_lose_and_tear_nothing(void **state)
{
	pthread_t thread;
	uint32_t size, tag, got = 0, wrong = 0;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, produce, NULL), 0);
	while (got < THREAD_RECORDS) {
		const uint32_t *at = perron_spsc_peek(ring, &size, &tag);
		if (!at) {
			sched_yield();
			continue;
		}
		wrong += tag != got || size != (1 + got % 7) * 4;
		for (uint32_t i = 0; i < size / 4; i++)
			wrong += at[i] != got + i;
		perron_spsc_pop(ring);
		got++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
	assert_true(perron_spsc_is_empty(ring));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(an_empty_ring_gives_nothing, begin, end),
	    cmocka_unit_test_setup_teardown(records_come_out_in_order_and_whole, begin, end),
	    cmocka_unit_test_setup_teardown(a_reserved_record_is_not_there_before_commit, begin,
					    end),
	    cmocka_unit_test_setup_teardown(a_full_ring_refuses_and_counts, begin, end),
	    cmocka_unit_test_setup_teardown(what_can_never_fit_is_refused, begin, end),
	    cmocka_unit_test_setup_teardown(records_never_wrap, begin, end),
	    cmocka_unit_test_setup_teardown(two_threads_lose_and_tear_nothing, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
