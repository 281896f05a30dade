/* CRC-32C: the fast and the portable version against the definition and published figures. */
#include "test/unit/support.h"

#include <string.h>

#include "runtime/base/crc32c.h"
#include "runtime/base/frame.h"

/* The definition, a bit at a time. */
static uint32_t crc_by_bits(uint32_t seed, const uint8_t *data, size_t size)
{
	uint32_t crc = ~seed;

	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (uint32_t bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static void published_figures(void **state)
{
	/* RFC 3720, B.4, and the usual check of a CRC's catalogue. */
	uint8_t data[32];

	(void)state;
	assert_int_equal(perron_crc32c(0, "123456789", 9), 0xe3069283);
	memset(data, 0, sizeof(data));
	assert_int_equal(perron_crc32c(0, data, 32), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(perron_crc32c(0, data, 32), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		data[i] = i;
	assert_int_equal(perron_crc32c(0, data, 32), 0x46dd794e);
	assert_int_equal(perron_crc32c(0, data, 0), 0);
	assert_int_equal(perron_crc32c_portable(0, "123456789", 9), 0xe3069283);
}

static void both_versions_are_the_definition(void **state)
{
	static uint8_t data[PERRON_FRAME_SIZE_MAX + 16];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i * 31 + i * 7 + 1);
	for (size_t size = 0; size <= PERRON_FRAME_SIZE_MAX; size++) {
		const uint8_t *at = data + size % 8; /* every alignment */
		uint32_t seed = (uint32_t)size * 2654435761u;
		uint32_t expected = crc_by_bits(seed, at, size);
		assert_int_equal(perron_crc32c_portable(seed, at, size), expected);
		assert_int_equal(perron_crc32c(seed, at, size), expected);
	}
}

static void parts_in_a_row_are_the_whole(void **state)
{
	static uint8_t data[3 * PERRON_CRC32C_BLOCK_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i ^ i >> 5);
	uint32_t whole = perron_crc32c(0, data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut++) {
		uint32_t head = perron_crc32c(0, data, cut);
		assert_int_equal(perron_crc32c(head, data + cut, sizeof(data) - cut), whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_figures),
		cmocka_unit_test(both_versions_are_the_definition),
		cmocka_unit_test(parts_in_a_row_are_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
