/*
 * CRC-32C (Castagnoli, reflected, as in iSCSI): the version that any machine can run, apart so that
 * a test can hold the fast one of perron_crc32c against it. Pure; any thread.
 */
#ifndef PERRON_RUNTIME_BASE_CRC32C_H
#define PERRON_RUNTIME_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that the fast version takes at a time, in three lanes; a test walks around it. */
#define PERRON_CRC32C_LANE_SIZE  112u
#define PERRON_CRC32C_BLOCK_SIZE (3 * PERRON_CRC32C_LANE_SIZE)

/* One table look-up a byte. Arguments and result as perron_crc32c in frame.h. */
uint32_t perron_crc32c_portable(uint32_t seed, const void *data, size_t size);

#endif
