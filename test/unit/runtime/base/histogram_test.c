/* The histogram against the sorted list of what it was given. */
#include "test/unit/support.h"

#include <stdlib.h>

#include "runtime/base/histogram.h"
#include "runtime/base/random.h"

#define VALUE_COUNT 5000u
#define TOP_NS      UINT64_C(100000000000) /* 100 s */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Within 1 %, counted in hundredths of `exact` so that nothing is rounded. */
static void assert_close(uint64_t value, uint64_t exact)
{
	uint64_t off = value > exact ? value - exact : exact - value;

	assert_true(off * 100 < exact || off == 0);
}

static void every_bucket_starts_where_the_last_ended(void **state)
{
	uint64_t first = 0;

	(void)state;
	for (uint32_t i = 0; i < PERRON_HISTOGRAM_BUCKET_COUNT; i++) {
		uint64_t width = perron_histogram_bucket_width_ns(i);
		assert_true(perron_histogram_bucket_first_ns(i) == first);
		assert_int_equal(perron_histogram_bucket(first), i);
		assert_int_equal(perron_histogram_bucket(first + width - 1), i);
		/* The middle is within 1 % of both ends. */
		assert_true(width == 1 || width / 2 * 100 < first);
		first += width;
	}
	assert_true(first > TOP_NS);
}

static void values_fill(uint64_t *values, struct perron_random *r)
{
	for (uint32_t i = 0; i < VALUE_COUNT; i++) {
		uint64_t reach = UINT64_C(1) << perron_random_between(r, 1, 36);
		values[i] = perron_random_below(r, reach);
	}
}

static void percentiles_are_within_one_per_cent(void **state)
{
	static const uint32_t ppms[] = {0, 1, 500, 10000, 500000, 900000, 990000, 999000, 999900,
					1000000};
	static uint64_t values[VALUE_COUNT];
	static struct perron_histogram h;
	struct perron_random r;

	(void)state;
	for (uint64_t seed = 0; seed < 10; seed++) {
		uint64_t sum = 0;
		perron_random_seed(&r, seed);
		values_fill(values, &r);
		perron_histogram_reset(&h);
		for (uint32_t i = 0; i < VALUE_COUNT; i++) {
			perron_histogram_record(&h, values[i]);
			sum += values[i];
		}
		qsort(values, VALUE_COUNT, sizeof(values[0]), compare);
		assert_true(h.min_ns == values[0] && h.max_ns == values[VALUE_COUNT - 1]);
		assert_true(perron_histogram_mean_ns(&h) == sum / VALUE_COUNT);
		for (size_t i = 0; i < sizeof(ppms) / sizeof(ppms[0]); i++) {
			uint64_t rank = ((uint64_t)ppms[i] * VALUE_COUNT + 999999) / 1000000;
			assert_close(perron_histogram_percentile_ns(&h, ppms[i]),
				     values[rank ? rank - 1 : 0]);
		}
	}
}

static void merged_is_as_if_recorded_in_one(void **state)
{
	static uint64_t values[VALUE_COUNT];
	static struct perron_histogram all, part[2];
	struct perron_random r;

	(void)state;
	perron_random_seed(&r, 99);
	values_fill(values, &r);
	perron_histogram_reset(&all);
	perron_histogram_reset(&part[0]);
	perron_histogram_reset(&part[1]);
	for (uint32_t i = 0; i < VALUE_COUNT; i++) {
		perron_histogram_record(&all, values[i]);
		perron_histogram_record(&part[i % 3 == 0], values[i]);
	}
	perron_histogram_merge(&part[0], &part[1]);
	assert_memory_equal(&all, &part[0], sizeof(all));
}

static void the_empty_and_the_endless(void **state)
{
	static struct perron_histogram h;

	(void)state;
	perron_histogram_reset(&h);
	assert_int_equal(perron_histogram_percentile_ns(&h, 500000), 0);
	assert_int_equal(perron_histogram_mean_ns(&h), 0);
	perron_histogram_record(&h, UINT64_MAX);
	perron_histogram_record(&h, 5);
	assert_int_equal(h.over_count, 1);
	assert_true(h.max_ns == UINT64_MAX && h.sum_ns == UINT64_MAX);
	assert_true(perron_histogram_percentile_ns(&h, 1000000) == UINT64_MAX);
	assert_int_equal(perron_histogram_percentile_ns(&h, 500000), 5);
	/* A count that times a million would pass 64 bits. */
	h.count = h.buckets[5] = UINT64_C(1) << 60;
	h.buckets[PERRON_HISTOGRAM_BUCKET_COUNT - 1] = 0;
	assert_int_equal(perron_histogram_percentile_ns(&h, 999999), 5);
	expect_assert_failure(perron_histogram_percentile_ns(&h, 1000001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bucket_starts_where_the_last_ended),
		cmocka_unit_test(percentiles_are_within_one_per_cent),
		cmocka_unit_test(merged_is_as_if_recorded_in_one),
		cmocka_unit_test(the_empty_and_the_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
