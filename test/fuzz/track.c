/*
 * Track telegrams: what decodes encodes to the same bytes. The input's check sum is made good in a
 * copy, so that the fields behind it are reached.
 */
#include <string.h>

#include "drivers/sensor/track_telegram.h"
#include "runtime/base/bytes.h"
#include "runtime/base/frame.h"
#include "test/fuzz/fuzz.h"

static void decode(const uint8_t *data, uint32_t size)
{
	struct perron_track_telegram telegram;
	uint8_t again[PERRON_TRACK_SIZE_MAX];

	if (perron_track_decode(data, size, &telegram) != PERRON_TRACK_GOOD)
		return;
	PERRON_ASSERT(perron_track_encode(again, &telegram) == size);
	PERRON_ASSERT(memcmp(again, data, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t copy[PERRON_TRACK_SIZE_MAX];

	if (size > UINT32_MAX)
		return 0;
	decode(data, (uint32_t)size);
	if (size < PERRON_TRACK_HEADER_SIZE + PERRON_TRACK_CHECK_SIZE || size > sizeof(copy))
		return 0;
	memcpy(copy, data, size);
	size_t body_size = size - PERRON_TRACK_CHECK_SIZE;
	perron_store32(copy, PERRON_TRACK_MAGIC);
	copy[4] = PERRON_TRACK_VERSION;
	perron_store16(copy + 6, (uint16_t)size);
	perron_store32(copy + body_size, perron_crc32c(0, copy, body_size));
	decode(copy, (uint32_t)size);
	return 0;
}
