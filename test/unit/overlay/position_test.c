#include "test/unit/support.h"

#include <string.h>

#include "overlay/position.h"

static const struct perron_position root = {.level = 0, .slot = 0};
static const struct perron_position deep = {
	.level = 7, .branch = {0, 15, 1, 2, 10, 9, 15}, .slot = 16};

static void prints(const struct perron_position *p, const char *text)
{
	struct perron_position parsed;
	char out[PERRON_POSITION_TEXT_MAX];

	memset(out, 'x', sizeof(out));
	perron_position_print(p, out);
	assert_string_equal(out, text);
	assert_int_equal(perron_position_parse(text, &parsed), 0);
	assert_true(perron_position_equal(p, &parsed));
}

static void test_prints_as_the_papers_write_it(void **state)
{
	(void)state;
	struct perron_position p = {.level = 2, .branch = {1, 0}, .slot = 2};

	prints(&root, "0");
	prints(&p, "0.1.0#2");
	prints(&deep, "0.0.15.1.2.10.9.15#16");
}

static void test_refuses_what_is_no_position(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",      "1",       "0.",     "0.16",  "0#0",  "0#17", "0#",    "00",
		"0.01",  "0.1.",    "0.1#",   "0.1#1x", "0 ",  " 0",   "0.-1",  "0.1#02",
		"0.100", "0..1",    "#1",     "0#1.1", "0.1#1#1", "0.0.0.0.0.0.0.0.0", "0.a",
	};
	struct perron_position p = {.level = 5};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(perron_position_parse(bad[i], &p), -1);
		assert_int_equal(p.level, 5);
	}
}

static void test_child_and_parent_undo_each_other(void **state)
{
	(void)state;
	struct perron_position cell = root;

	for (uint8_t level = 0; level < PERRON_LEVEL_COUNT_MAX - 1; level++) {
		struct perron_position child = perron_position_child(&cell, (uint8_t)(level + 3));
		struct perron_position parent;

		assert_int_equal(child.level, level + 1);
		child.slot = 4;
		parent = perron_position_parent(&child);
		assert_true(perron_position_equal(&parent, &cell));
		assert_false(perron_position_same_cell(&child, &cell));
		child.slot = 0;
		cell = child;
	}
	expect_assert_failure((void)perron_position_child(&cell, 0));
	expect_assert_failure((void)perron_position_parent(&root));
}

static void test_same_cell_leaves_the_slot_out(void **state)
{
	(void)state;
	struct perron_position a = {.level = 1, .branch = {1, 7}, .slot = 1};
	struct perron_position b = {.level = 1, .branch = {1}, .slot = 2};

	assert_true(perron_position_same_cell(&a, &b));
	assert_false(perron_position_equal(&a, &b));
	b.slot = 1;
	assert_true(perron_position_equal(&a, &b));
	b.branch[0] = 0;
	assert_false(perron_position_same_cell(&a, &b));
}

static void test_keys_differ_where_positions_do(void **state)
{
	(void)state;
	struct perron_position list[1 + 16 + 16 * 16];
	size_t count = 0;

	list[count++] = root;
	for (uint8_t i = 0; i < 16; i++) {
		struct perron_position child = perron_position_child(&root, i);

		list[count++] = child;
		for (uint8_t slot = 0; slot < 16; slot++) {
			list[count] = perron_position_child(&child, (uint8_t)(slot % 4));
			list[count++].slot = (uint8_t)(1 + slot / 4 * 4 + slot % 4);
		}
	}
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++)
			assert_int_equal(
				perron_position_key(&list[i]) == perron_position_key(&list[j]),
				perron_position_equal(&list[i], &list[j]));
}

static void test_goes_over_the_wire_in_ten_bytes(void **state)
{
	(void)state;
	static const uint8_t golden[PERRON_POSITION_SIZE] = {7, 16, 0, 15, 1, 2, 10, 9, 15, 0};
	uint8_t data[PERRON_POSITION_SIZE];
	struct perron_writer w = perron_writer_of(data, sizeof(data));
	struct perron_reader r = perron_reader_of(data, sizeof(data));
	struct perron_position p;

	perron_position_write(&w, &deep);
	assert_int_equal(perron_writer_size(&w), sizeof(golden));
	assert_memory_equal(data, golden, sizeof(golden));
	p = perron_position_read(&r);
	assert_true(perron_reader_done(&r));
	assert_true(perron_position_equal(&p, &deep));
}

static void test_reads_only_what_is_in_range(void **state)
{
	(void)state;
	static const uint8_t bad[][PERRON_POSITION_SIZE] = {
		{8, 0, 0, 0, 0, 0, 0, 0, 0, 0},  /* level */
		{1, 17, 0, 0, 0, 0, 0, 0, 0, 0}, /* slot */
		{1, 1, 16, 0, 0, 0, 0, 0, 0, 0}, /* branch */
		{1, 1, 0, 1, 0, 0, 0, 0, 0, 0},  /* branch below its level */
		{1, 1, 0, 0, 0, 0, 0, 0, 0, 1},  /* reserved */
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct perron_reader r = perron_reader_of(bad[i], PERRON_POSITION_SIZE);

		(void)perron_position_read(&r);
		assert_true(r.failed);
	}
	for (uint32_t size = 0; size < PERRON_POSITION_SIZE; size++) {
		static const uint8_t zero[PERRON_POSITION_SIZE];
		struct perron_reader r = perron_reader_of(zero, size);

		(void)perron_position_read(&r);
		assert_true(r.failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prints_as_the_papers_write_it),
		cmocka_unit_test(test_refuses_what_is_no_position),
		cmocka_unit_test(test_child_and_parent_undo_each_other),
		cmocka_unit_test(test_same_cell_leaves_the_slot_out),
		cmocka_unit_test(test_keys_differ_where_positions_do),
		cmocka_unit_test(test_goes_over_the_wire_in_ten_bytes),
		cmocka_unit_test(test_reads_only_what_is_in_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
