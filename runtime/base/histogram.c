#include "runtime/base/histogram.h"

#include <string.h>

#include "runtime/base/assert.h"

#define OCTAVE_SIZE (1u << PERRON_HISTOGRAM_OCTAVE_BITS)
#define MILLION     1000000u

void perron_histogram_reset(struct perron_histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min_ns = UINT64_MAX;
}

static uint32_t bucket_shift(uint32_t bucket)
{
	PERRON_ASSERT(bucket < PERRON_HISTOGRAM_BUCKET_COUNT);
	return bucket < 2 * OCTAVE_SIZE ? 0 : bucket / OCTAVE_SIZE - 1;
}

uint64_t perron_histogram_bucket_first_ns(uint32_t bucket)
{
	uint32_t shift = bucket_shift(bucket);

	return (uint64_t)(bucket - shift * OCTAVE_SIZE) << shift;
}

uint64_t perron_histogram_bucket_width_ns(uint32_t bucket)
{
	return UINT64_C(1) << bucket_shift(bucket);
}

void perron_histogram_merge(struct perron_histogram *into, const struct perron_histogram *from)
{
	PERRON_ASSERT(into != from);
	for (uint32_t i = 0; i < PERRON_HISTOGRAM_BUCKET_COUNT; i++)
		into->buckets[i] += from->buckets[i];
	into->count += from->count;
	if (__builtin_add_overflow(into->sum_ns, from->sum_ns, &into->sum_ns))
		into->sum_ns = UINT64_MAX;
	if (from->min_ns < into->min_ns)
		into->min_ns = from->min_ns;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
	into->over_count += from->over_count;
}

/* ceil(count * ppm / million), without a product that could pass 64 bits. */
static uint64_t rank_of(uint64_t count, uint32_t ppm)
{
	return count / MILLION * ppm + (count % MILLION * ppm + MILLION - 1) / MILLION;
}

uint64_t perron_histogram_percentile_ns(const struct perron_histogram *h, uint32_t ppm)
{
	uint64_t seen = 0;
	uint64_t rank;

	PERRON_ASSERT(ppm <= MILLION);
	if (h->count == 0)
		return 0;
	rank = rank_of(h->count, ppm);
	if (rank == 0)
		return h->min_ns;
	for (uint32_t i = 0; i < PERRON_HISTOGRAM_BUCKET_COUNT - 1; i++) {
		seen += h->buckets[i];
		if (seen < rank)
			continue;
		/* The ends are known exactly; the rest is at most half a bucket off. */
		if (rank == h->count)
			return h->max_ns;
		uint64_t middle = perron_histogram_bucket_first_ns(i) +
				  perron_histogram_bucket_width_ns(i) / 2;
		if (middle < h->min_ns)
			return h->min_ns;
		return middle < h->max_ns ? middle : h->max_ns;
	}
	return h->max_ns;
}

uint64_t perron_histogram_mean_ns(const struct perron_histogram *h)
{
	return h->count ? h->sum_ns / h->count : 0;
}
