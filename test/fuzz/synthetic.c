/* The synthetic check: what it accepts is what would have been sent. */
#include <string.h>

#include "drivers/sensor/synthetic.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum perron_synthetic_type type;
	uint8_t again[PERRON_SYNTHETIC_SIZE_MAX];
	uint64_t counter;

	if (size > UINT32_MAX || !perron_synthetic_check(data, (uint32_t)size, &type, &counter))
		return 0;
	PERRON_ASSERT(perron_synthetic_fill(again, type, counter) == size);
	PERRON_ASSERT(memcmp(again, data, size) == 0);
	return 0;
}
