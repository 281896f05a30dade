#include "drivers/sensor/synthetic.h"

#include <string.h>

#include "runtime/base/assert.h"
#include "runtime/base/bytes.h"

struct kind {
	const char *name;
	uint32_t size;
	uint32_t rate;
};

static const struct kind kinds[] = {
#define X(name, text, size, rate) {text, size, rate},
    PERRON_SYNTHETIC_TYPES(X)
#undef X
};

const char *perron_synthetic_type_name(enum perron_synthetic_type type)
{
	PERRON_ASSERT(type < PERRON_SYNTHETIC_TYPE_COUNT);
	return kinds[type].name;
}

uint32_t perron_synthetic_size(enum perron_synthetic_type type)
{
	PERRON_ASSERT(type < PERRON_SYNTHETIC_TYPE_COUNT);
	return kinds[type].size;
}

uint32_t perron_synthetic_rate(enum perron_synthetic_type type)
{
	PERRON_ASSERT(type < PERRON_SYNTHETIC_TYPE_COUNT);
	return kinds[type].rate;
}

/* splitmix64 of its place in the run: every byte depends on type, counter and position. */
static uint64_t pattern_word(enum perron_synthetic_type type, uint64_t counter, uint32_t word)
{
	uint64_t z = (counter * PERRON_SYNTHETIC_TYPE_COUNT + type) * 0x9e3779b97f4a7c15ull +
		     word * 0xd1342543de82ef95ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void pattern_at(uint8_t *out, enum perron_synthetic_type type, uint64_t counter,
		       uint32_t word)
{
	perron_store64(out, pattern_word(type, counter, word));
}

uint32_t perron_synthetic_fill(uint8_t *data, enum perron_synthetic_type type, uint64_t counter)
{
	uint32_t size = perron_synthetic_size(type);

	perron_store32(data, PERRON_SYNTHETIC_MAGIC);
	perron_store32(data + 4, (uint32_t)type << 24);
	perron_store64(data + 8, counter);
	for (uint32_t at = PERRON_SYNTHETIC_HEADER_SIZE, word = 0; at < size; at += 8, word++) {
		uint8_t bytes[8];
		pattern_at(bytes, type, counter, word);
		memcpy(data + at, bytes, size - at < 8 ? size - at : 8);
	}
	return size;
}

bool perron_synthetic_check(const uint8_t *data, uint32_t size, enum perron_synthetic_type *type,
			    uint64_t *counter)
{
	if (size < PERRON_SYNTHETIC_HEADER_SIZE || perron_load32(data) != PERRON_SYNTHETIC_MAGIC ||
	    data[4] >= PERRON_SYNTHETIC_TYPE_COUNT || (perron_load32(data + 4) & 0xffffff) != 0)
		return false;
	*type = (enum perron_synthetic_type)data[4];
	*counter = perron_load64(data + 8);
	if (size != perron_synthetic_size(*type))
		return false;
	for (uint32_t at = PERRON_SYNTHETIC_HEADER_SIZE, word = 0; at < size; at += 8, word++) {
		uint8_t bytes[8];
		pattern_at(bytes, *type, *counter, word);
		if (memcmp(data + at, bytes, size - at < 8 ? size - at : 8) != 0)
			return false;
	}
	return true;
}
