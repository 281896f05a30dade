/* Big-endian loads and stores, and the bounds of reader and writer. */
#include "test/unit/support.h"

#include "runtime/base/bytes.h"

static void the_highest_byte_comes_first(void **state)
{
	static const uint8_t expected[] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t data[8];

	(void)state;
	perron_store64(data, UINT64_C(0x0102030405060708));
	assert_memory_equal(data, expected, 8);
	assert_true(perron_load64(data) == UINT64_C(0x0102030405060708));
	assert_int_equal(perron_load32(data + 1), 0x02030405);
	assert_int_equal(perron_load16(data + 3), 0x0405);
	perron_store32(data + 3, 0xa1a2a3a4);
	perron_store16(data + 1, 0xb1b2);
	assert_true(perron_load64(data) == UINT64_C(0x01b1b2a1a2a3a408));
}

static void what_is_written_is_read(void **state)
{
	uint8_t data[18];
	struct perron_writer w = perron_writer_of(data, sizeof(data));

	(void)state;
	perron_write8(&w, 1);
	perron_write16(&w, 2);
	perron_write32(&w, 3);
	perron_write64(&w, 4);
	perron_write_bytes(&w, "abc", 3);
	assert_false(w.failed);
	assert_int_equal(perron_writer_size(&w), sizeof(data));
	struct perron_reader r = perron_reader_of(data, sizeof(data));
	assert_int_equal(perron_read8(&r), 1);
	assert_int_equal(perron_read16(&r), 2);
	assert_int_equal(perron_read32(&r), 3);
	assert_false(perron_reader_done(&r));
	assert_int_equal(perron_read64(&r), 4);
	assert_memory_equal(perron_read_bytes(&r, 3), "abc", 3);
	assert_true(perron_reader_done(&r));
}

static void a_read_past_the_end_gives_nothing_from_then_on(void **state)
{
	static const uint8_t data[] = {1, 2, 3};
	struct perron_reader r = perron_reader_of(data, sizeof(data));

	(void)state;
	assert_int_equal(perron_read32(&r), 0);
	assert_true(r.failed);
	/* What was left is not read by a smaller number: it would be out of step. */
	assert_int_equal(perron_read8(&r), 0);
	assert_null(perron_read_bytes(&r, UINT32_MAX));
	assert_false(perron_reader_done(&r));
}

static void a_write_past_the_end_is_left_out_and_told(void **state)
{
	uint8_t data[4] = {9, 9, 9, 9};
	struct perron_writer w = perron_writer_of(data, 3);

	(void)state;
	perron_write32(&w, 1);
	assert_true(w.failed);
	assert_int_equal(perron_writer_size(&w), 0);
	assert_int_equal(data[0], 9);
	assert_int_equal(data[3], 9);
	perron_write_bytes(&w, NULL, 0);
	assert_null(perron_write_room(&w, UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_highest_byte_comes_first),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_read_past_the_end_gives_nothing_from_then_on),
		cmocka_unit_test(a_write_past_the_end_is_left_out_and_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
