/* Counters that one thread writes and others may read: whole, without order. */
#ifndef PERRON_RUNTIME_LCORE_COUNT_H
#define PERRON_RUNTIME_LCORE_COUNT_H

#include <stdint.h>

static inline void perron_count(uint64_t *counter, uint64_t add)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + add,
			 __ATOMIC_RELAXED);
}

static inline void perron_count_max(uint64_t *counter, uint64_t value)
{
	if (value > __atomic_load_n(counter, __ATOMIC_RELAXED))
		__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline uint64_t perron_count_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
