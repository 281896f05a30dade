#include "runtime/base/crc32c.h"

#include <string.h>

#include "runtime/base/frame.h"

#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

/*
 * The CRC is linear: the entry of an index is the sum (exclusive or) of the entries of its bits.
 * So each table below is written as the entries of single bits, and the preprocessor adds them up.
 */
#define SUM16(z, a, b, c, d)                                                                       \
	z, z ^ a, z ^ b, z ^ a ^ b, z ^ c, z ^ a ^ c, z ^ b ^ c, z ^ a ^ b ^ c, z ^ d, z ^ a ^ d, \
		z ^ b ^ d, z ^ a ^ b ^ d, z ^ c ^ d, z ^ a ^ c ^ d, z ^ b ^ c ^ d,                 \
		z ^ a ^ b ^ c ^ d

#define LOW(z) SUM16(z, 0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu)
#define E      0x105ec76fu
#define F      0x20bd8edeu
#define G      0x417b1dbcu
#define H      0x82f63b78u

/* What a byte shifted out of the register adds to it. */
static const uint32_t byte_table[256] = {
	LOW(0u),    LOW((E)),         LOW((F)),         LOW((E ^ F)),
	LOW((G)),   LOW((E ^ G)),     LOW((F ^ G)),     LOW((E ^ F ^ G)),
	LOW((H)),   LOW((E ^ H)),     LOW((F ^ H)),     LOW((E ^ F ^ H)),
	LOW((G ^ H)), LOW((E ^ G ^ H)), LOW((F ^ G ^ H)), LOW((E ^ F ^ G ^ H)),
};

uint32_t perron_crc32c_portable(uint32_t seed, const void *data, size_t size)
{
	const uint8_t *p = data;
	uint32_t crc = ~seed;

	for (size_t i = 0; i < size; i++)
		crc = (crc >> 8) ^ byte_table[(crc ^ p[i]) & 0xff];
	return ~crc;
}

#ifdef __SSE4_2__

/*
 * The instruction takes 3 cycles and one can start each cycle, so three lanes run side by side.
 * To join them, a lane's register is moved on over the bytes of the lanes behind it, which a table
 * does by a nibble at a time: entry [k][n] is nibble n at position k, moved on.
 */
#define MOVE(a, b, c, d) {SUM16(0u, a, b, c, d)}

/* One lane of 112 bytes. */
static const uint32_t over_one[8][16] = {
	MOVE(0x2ad91c30u, 0x55b23860u, 0xab6470c0u, 0x53249771u),
	MOVE(0xa6492ee2u, 0x497e2b35u, 0x92fc566au, 0x2014da25u),
	MOVE(0x4029b44au, 0x80536894u, 0x054aa7d9u, 0x0a954fb2u),
	MOVE(0x152a9f64u, 0x2a553ec8u, 0x54aa7d90u, 0xa954fb20u),
	MOVE(0x574580b1u, 0xae8b0162u, 0x58fa7435u, 0xb1f4e86au),
	MOVE(0x6605a625u, 0xcc0b4c4au, 0x9dfaee65u, 0x3e19aa3bu),
	MOVE(0x7c335476u, 0xf866a8ecu, 0xf5212729u, 0xefae38a3u),
	MOVE(0xdab007b7u, 0xb08c799fu, 0x64f485cfu, 0xc9e90b9eu),
};

/* Two lanes. */
static const uint32_t over_two[8][16] = {
	MOVE(0x71d111a8u, 0xe3a22350u, 0xc2a83051u, 0x80bc1653u),
	MOVE(0x04945a57u, 0x0928b4aeu, 0x1251695cu, 0x24a2d2b8u),
	MOVE(0x4945a570u, 0x928b4ae0u, 0x20fae331u, 0x41f5c662u),
	MOVE(0x83eb8cc4u, 0x023b6f79u, 0x0476def2u, 0x08edbde4u),
	MOVE(0x11db7bc8u, 0x23b6f790u, 0x476def20u, 0x8edbde40u),
	MOVE(0x185bca71u, 0x30b794e2u, 0x616f29c4u, 0xc2de5388u),
	MOVE(0x8050d1e1u, 0x054dd533u, 0x0a9baa66u, 0x153754ccu),
	MOVE(0x2a6ea998u, 0x54dd5330u, 0xa9baa660u, 0x56993a31u),
};

_Static_assert(PERRON_CRC32C_LANE_SIZE == 112, "the tables are for lanes of 112 bytes");

static uint32_t moved(const uint32_t table[8][16], uint32_t crc)
{
	return table[0][crc & 15] ^ table[1][crc >> 4 & 15] ^ table[2][crc >> 8 & 15] ^
	       table[3][crc >> 12 & 15] ^ table[4][crc >> 16 & 15] ^ table[5][crc >> 20 & 15] ^
	       table[6][crc >> 24 & 15] ^ table[7][crc >> 28];
}

static uint64_t word_at(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

static uint32_t block_added(uint32_t crc, const uint8_t *p)
{
	uint64_t a = crc, b = 0, c = 0;

	for (uint32_t i = 0; i < PERRON_CRC32C_LANE_SIZE; i += 8) {
		a = _mm_crc32_u64(a, word_at(p + i));
		b = _mm_crc32_u64(b, word_at(p + i + PERRON_CRC32C_LANE_SIZE));
		c = _mm_crc32_u64(c, word_at(p + i + 2 * PERRON_CRC32C_LANE_SIZE));
	}
	return moved(over_two, (uint32_t)a) ^ moved(over_one, (uint32_t)b) ^ (uint32_t)c;
}

uint32_t perron_crc32c(uint32_t seed, const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t crc = ~seed;

	for (; size >= PERRON_CRC32C_BLOCK_SIZE; size -= PERRON_CRC32C_BLOCK_SIZE) {
		crc = block_added((uint32_t)crc, p);
		p += PERRON_CRC32C_BLOCK_SIZE;
	}
	for (; size >= 8; size -= 8, p += 8)
		crc = _mm_crc32_u64(crc, word_at(p));
	for (; size > 0; size--, p++)
		crc = _mm_crc32_u8((uint32_t)crc, *p);
	return ~(uint32_t)crc;
}

#else

uint32_t perron_crc32c(uint32_t seed, const void *data, size_t size)
{
	return perron_crc32c_portable(seed, data, size);
}

#endif
