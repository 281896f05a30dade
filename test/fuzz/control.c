/*
 * The control messages. The first byte says which; what reads as one must be written as the same
 * bytes again, for each message has one encoding.
 */
#include <string.h>

#include "overlay/control.h"
#include "test/fuzz/fuzz.h"

#define X(name)                                                                                    \
	static void name##_try(const uint8_t *data, uint32_t size)                                 \
	{                                                                                          \
		struct perron_##name m;                                                            \
		uint8_t again[PERRON_PAYLOAD_SIZE_MAX];                                            \
		if (!perron_##name##_read(data, size, &m))                                         \
			return;                                                                    \
		PERRON_ASSERT(perron_##name##_write(again, &m) == size);                           \
		PERRON_ASSERT(memcmp(again, data, size) == 0);                                     \
	}
PERRON_CONTROL_MESSAGES(X)
#undef X

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(const uint8_t *data, uint32_t size) = {
#define X(name) name##_try,
		PERRON_CONTROL_MESSAGES(X)
#undef X
	};

	if (size == 0 || size > PERRON_PAYLOAD_SIZE_MAX + 8)
		return 0;
	tries[data[0] % (sizeof(tries) / sizeof(tries[0]))](data + 1, (uint32_t)size - 1);
	return 0;
}
