/*
 * A log-linear histogram of durations: 64 buckets an octave, so that a bucket's middle is less
 * than 1 % (1/128) from any value in it; below 64 ns each value has its own. Covers 0 to 2^37 ns
 * (137 s); longer ones share the last bucket and are counted apart. Fixed size, no allocation.
 *
 * Invariants: count is the sum of the buckets; min_ns <= max_ns once count > 0; both are exact.
 * One writer; a reader elsewhere sees each counter torn from the others but none torn in itself.
 * Pure.
 */
#ifndef PERRON_RUNTIME_BASE_HISTOGRAM_H
#define PERRON_RUNTIME_BASE_HISTOGRAM_H

#include <stdint.h>

#define PERRON_HISTOGRAM_OCTAVE_BITS  6u
#define PERRON_HISTOGRAM_VALUE_BITS   37u
/* One linear run of 64 for what is below 64 ns, then one for each octave up to the last. */
#define PERRON_HISTOGRAM_BUCKET_COUNT                                                              \
	((PERRON_HISTOGRAM_VALUE_BITS - PERRON_HISTOGRAM_OCTAVE_BITS + 1)                          \
	 << PERRON_HISTOGRAM_OCTAVE_BITS)

struct perron_histogram {
	uint64_t count;
	uint64_t sum_ns; /* stays at UINT64_MAX once it would pass it */
	uint64_t min_ns; /* UINT64_MAX while empty */
	uint64_t max_ns;
	uint64_t over_count; /* beyond the range */
	uint64_t buckets[PERRON_HISTOGRAM_BUCKET_COUNT];
};

void perron_histogram_reset(struct perron_histogram *h);

/* The bucket of a value, and the other way round: its first value and how many it holds. */
static inline uint32_t perron_histogram_bucket(uint64_t value_ns)
{
	if (value_ns >> PERRON_HISTOGRAM_VALUE_BITS)
		return PERRON_HISTOGRAM_BUCKET_COUNT - 1;
	/* Bits of the value beyond the 7 that tell it apart; 0 for the linear run and octave 6. */
	uint32_t top = 63 - (uint32_t)__builtin_clzll(value_ns | 64);
	uint32_t shift = top - PERRON_HISTOGRAM_OCTAVE_BITS;
	return (shift << PERRON_HISTOGRAM_OCTAVE_BITS) + (uint32_t)(value_ns >> shift);
}

uint64_t perron_histogram_bucket_first_ns(uint32_t bucket);
uint64_t perron_histogram_bucket_width_ns(uint32_t bucket);

/* Counts one value. O(1), no division. */
static inline void perron_histogram_record(struct perron_histogram *h, uint64_t value_ns)
{
	h->buckets[perron_histogram_bucket(value_ns)]++;
	h->count++;
	if (__builtin_add_overflow(h->sum_ns, value_ns, &h->sum_ns))
		h->sum_ns = UINT64_MAX;
	if (value_ns < h->min_ns)
		h->min_ns = value_ns;
	if (value_ns > h->max_ns)
		h->max_ns = value_ns;
	h->over_count += value_ns >> PERRON_HISTOGRAM_VALUE_BITS != 0;
}

/* Adds what `from` counted, as if each value had been recorded in `into`. */
void perron_histogram_merge(struct perron_histogram *into, const struct perron_histogram *from);

/*
 * The value that `ppm` of a million values do not exceed, within 1 %; 0 ppm is the minimum and
 * 1000000 the maximum, both exact. 0 while empty. O(buckets).
 */
uint64_t perron_histogram_percentile_ns(const struct perron_histogram *h, uint32_t ppm);

/* 0 while empty. */
uint64_t perron_histogram_mean_ns(const struct perron_histogram *h);

#endif
