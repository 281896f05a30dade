/*
 * CRC-32C (Castagnoli, reflected, as in iSCSI) beneath frame.h: the version that any machine can
 * run, apart so that a test can hold the fast one of perron_crc32c against it. Pure; any thread.
 */
#ifndef PERRON_RUNTIME_BASE_CRC32C_H
#define PERRON_RUNTIME_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

/* Bytes that the fast version takes at a time, in three lanes; a test walks around it. */
#define PERRON_CRC32C_LANE_SIZE  112u
#define PERRON_CRC32C_BLOCK_SIZE (3 * PERRON_CRC32C_LANE_SIZE)

/* One table look-up a byte. Arguments and result as perron_crc32c in frame.h. */
uint32_t perron_crc32c_portable(uint32_t seed, const void *data, size_t size);

/*
 * The CRC of words that stand in registers, in memory's order, and four bytes behind them: what was
 * just stored in narrower pieces would stall a wide load.
 */
static inline uint32_t perron_crc32c_words(const uint64_t *words, uint32_t count, uint32_t tail)
{
#ifdef __SSE4_2__
	uint64_t crc = UINT32_MAX;

	for (uint32_t i = 0; i < count; i++)
		crc = _mm_crc32_u64(crc, words[i]);
	return ~_mm_crc32_u32((uint32_t)crc, tail);
#else
	return perron_crc32c_portable(perron_crc32c_portable(0, words, count * sizeof(*words)),
				      &tail, sizeof(tail));
#endif
}

#endif
