#include "test/unit/support.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "drivers/sensor/framing.h"

#define MS 1000000ull

/* Messages as one string: each between < and >. */
struct got {
	char text[4096];
	uint32_t count;
};

static void got_message(void *context, const uint8_t *data, uint32_t size)
{
	struct got *got = context;
	size_t used = strlen(got->text);

	snprintf(got->text + used, sizeof(got->text) - used, "<%.*s>", (int)size,
		 (const char *)data);
	got->count++;
}

static uint8_t buffer[64];

static struct perron_framing framing_of(const struct perron_framing_config *config)
{
	struct perron_framing f;

	perron_framing_init(&f, config, buffer);
	return f;
}

static void input(struct perron_framing *f, uint64_t now_ns, const char *text, struct got *got)
{
	perron_framing_input(f, now_ns, (const uint8_t *)text, (uint32_t)strlen(text), got_message,
			     got);
}

static void test_delimiter_is_kept(void **state)
{
	struct perron_framing f = framing_of(&(struct perron_framing_config){
	    .delimiter = "\r\n", .delimiter_size = 2, .size_max = 16});
	struct got got = {0};

	(void)state;
	input(&f, 0, "one\r\ntw", &got);
	assert_string_equal(got.text, "<one\r\n>");
	input(&f, 0, "o\r", &got);
	assert_string_equal(got.text, "<one\r\n>");
	input(&f, 0, "\n\r\n", &got);
	assert_string_equal(got.text, "<one\r\n><two\r\n><\r\n>");
}

/* Whatever way the bytes are cut, the messages are the same. */
static void test_any_partition_gives_the_same_messages(void **state)
{
	static const char line[] = "a\r\n0123456789abcdef\r\r\nlast\r\n;\r;\n;\r\n";
	static const char expected[] = "<a\r\n><last\r\n><;\r;\n;\r\n>";

	(void)state;
	for (uint32_t step = 1; step < sizeof(line); step++) {
		struct perron_framing f = framing_of(&(struct perron_framing_config){
		    .delimiter = "\r\n", .delimiter_size = 2, .size_max = 16});
		struct got got = {0};
		for (uint32_t at = 0; at < sizeof(line) - 1; at += step) {
			uint32_t left = (uint32_t)sizeof(line) - 1 - at;
			perron_framing_input(&f, 0, (const uint8_t *)line + at,
					     left < step ? left : step, got_message, &got);
		}
		assert_string_equal(got.text, expected);
		assert_int_equal(f.oversize, 1);
	}
}

/* The delimiter may start in what still fitted; the next message must not be lost with it. */
static void test_oversize_ends_at_its_delimiter(void **state)
{
	static const char *const too_long[] = {"0123456\r\n", "01234567\r\n", "012345678\r\n",
					       "0123456789abc\r\r\r\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(too_long) / sizeof(too_long[0]); i++) {
		struct perron_framing f = framing_of(&(struct perron_framing_config){
		    .delimiter = "\r\n", .delimiter_size = 2, .size_max = 8});
		struct got got = {0};
		input(&f, 0, too_long[i], &got);
		input(&f, 0, "next\r\n", &got);
		assert_string_equal(got.text, "<next\r\n>");
		assert_int_equal(f.oversize, 1);
	}
}

/* A delimiter that overlaps itself is found while discarding, as it is while keeping. */
static void test_overlapping_delimiter(void **state)
{
	struct perron_framing f = framing_of(&(struct perron_framing_config){
	    .delimiter = "aab", .delimiter_size = 3, .size_max = 4});
	struct got got = {0};

	(void)state;
	input(&f, 0, "0123456aaab", &got);
	input(&f, 0, "xaab", &got);
	assert_string_equal(got.text, "<xaab>");
}

static void test_length(void **state)
{
	struct perron_framing f = framing_of(&(struct perron_framing_config){
	    .mode = PERRON_FRAMING_LENGTH, .length = 4, .size_max = 16});
	struct got got = {0};

	(void)state;
	input(&f, 0, "abc", &got);
	assert_int_equal(got.count, 0);
	input(&f, 1000 * MS, "defghi", &got);
	assert_string_equal(got.text, "<abcd><efgh>");
	assert_true(perron_framing_deadline_ns(&f) == UINT64_MAX);
}

/* With a gap, a fixed length finds its beginning again. */
static void test_length_with_gap(void **state)
{
	struct perron_framing f = framing_of(&(struct perron_framing_config){
	    .mode = PERRON_FRAMING_LENGTH, .length = 4, .gap_ns = 10 * MS, .size_max = 16});
	struct got got = {0};

	(void)state;
	input(&f, 0, "ab", &got);
	assert_true(perron_framing_deadline_ns(&f) == 10 * MS);
	perron_framing_tick(&f, 10 * MS - 1, got_message, &got);
	assert_int_equal(f.used, 2);
	perron_framing_tick(&f, 10 * MS, got_message, &got);
	assert_int_equal(f.cut, 1);
	input(&f, 11 * MS, "efgh", &got);
	assert_string_equal(got.text, "<efgh>");
}

static void test_gap(void **state)
{
	struct perron_framing f = framing_of(&(struct perron_framing_config){
	    .mode = PERRON_FRAMING_GAP, .gap_ns = 5 * MS, .size_max = 8});
	struct got got = {0};

	(void)state;
	input(&f, 0, "ab", &got);
	input(&f, 4 * MS, "cd", &got);
	assert_int_equal(got.count, 0);
	perron_framing_tick(&f, 9 * MS, got_message, &got);
	assert_string_equal(got.text, "<abcd>");
	input(&f, 10 * MS, "123456", &got);
	input(&f, 11 * MS, "789", &got); /* one too many */
	input(&f, 12 * MS, "x", &got);
	input(&f, 17 * MS, "ok", &got); /* the silence before it ends the long one */
	perron_framing_tick(&f, 22 * MS, got_message, &got);
	assert_string_equal(got.text, "<abcd><ok>");
	assert_int_equal(f.oversize, 1);
}

static void test_damage_spoils_one_message(void **state)
{
	struct perron_framing f = framing_of(&(struct perron_framing_config){
	    .delimiter = "\n", .delimiter_size = 1, .size_max = 16});
	struct perron_framing fixed = framing_of(&(struct perron_framing_config){
	    .mode = PERRON_FRAMING_LENGTH, .length = 4, .size_max = 16});
	struct got got = {0};

	(void)state;
	input(&f, 0, "one\ntw", &got);
	perron_framing_damage(&f, 0);
	input(&f, 0, "o\nthree\n", &got);
	assert_string_equal(got.text, "<one\n><three\n>");

	memset(&got, 0, sizeof(got));
	input(&fixed, 0, "abcdef", &got);
	perron_framing_damage(&fixed, 0);
	input(&fixed, 0, "hijkl", &got);
	assert_string_equal(got.text, "<abcd><ijkl>");
	input(&fixed, 0, "mno", &got);
	perron_framing_damage(&fixed, 0);
	input(&fixed, 0, "qrst", &got);
	assert_string_equal(got.text, "<abcd><ijkl><qrst>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_delimiter_is_kept),
	    cmocka_unit_test(test_any_partition_gives_the_same_messages),
	    cmocka_unit_test(test_oversize_ends_at_its_delimiter),
	    cmocka_unit_test(test_overlapping_delimiter),
	    cmocka_unit_test(test_length),
	    cmocka_unit_test(test_length_with_gap),
	    cmocka_unit_test(test_gap),
	    cmocka_unit_test(test_damage_spoils_one_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
