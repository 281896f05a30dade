#include "test/unit/support.h"

#include <string.h>

#include "apps/libperron/assembly.h"

static uint8_t memory[PERRON_MESSAGE_SIZE_MAX];
static uint8_t frame[PERRON_FRAME_SIZE_MAX];
static struct perron_assembled out;

/* A frame whose payload is one byte, its sequence's last. The subscription began at 10. */
static bool take(struct perron_assembly *a, uint64_t sequence, uint8_t index, uint8_t count)
{
	struct perron_header header = {
		.sequence = sequence, .fragment_index = index, .fragment_count = count, .length = 1};

	frame[PERRON_HEADER_SIZE] = (uint8_t)sequence;
	return perron_assembly_take(a, frame, &header, 10, &out);
}

static void test_puts_frames_together(void **state)
{
	(void)state;
	struct perron_assembly a = {.data = memory};

	assert_true(take(&a, 10, 0, 1));
	assert_ptr_equal(out.data, frame + PERRON_HEADER_SIZE); /* not copied */
	assert_false(take(&a, 11, 0, 3));
	assert_false(take(&a, 12, 1, 3));
	assert_true(take(&a, 13, 2, 3));
	assert_int_equal(out.sequence, 11);
	assert_int_equal(out.frame_count, 3);
	assert_int_equal(out.size, 3);
	assert_memory_equal(out.data, "\x0b\x0c\x0d", 3);
	assert_int_equal(out.lost_before, 0);
	assert_int_equal(a.messages, 2);
	assert_int_equal(a.messages_lost, 0);
}

static void test_counts_a_message_without_its_end(void **state)
{
	(void)state;
	struct perron_assembly a = {.data = memory};

	assert_false(take(&a, 10, 0, 3));
	assert_false(take(&a, 11, 1, 3));
	assert_false(take(&a, 13, 0, 2)); /* 12 was given up */
	assert_true(take(&a, 14, 1, 2));
	assert_int_equal(out.sequence, 13);
	assert_int_equal(out.size, 2);
	assert_int_equal(out.lost_before, 3);
	assert_int_equal(a.messages_lost, 1);
}

static void test_counts_a_message_without_its_middle_once(void **state)
{
	(void)state;
	struct perron_assembly a = {.data = memory};

	assert_false(take(&a, 10, 0, 5));
	assert_false(take(&a, 12, 2, 5));
	assert_false(take(&a, 13, 3, 5));
	assert_false(take(&a, 14, 4, 5));
	assert_int_equal(a.messages_lost, 1);
	assert_true(take(&a, 15, 0, 1));
	assert_int_equal(out.lost_before, 5);
}

static void test_counts_a_message_without_its_start_once(void **state)
{
	(void)state;
	struct perron_assembly a = {.data = memory};

	assert_true(take(&a, 10, 0, 1));
	assert_false(take(&a, 12, 1, 3));
	assert_false(take(&a, 13, 2, 3));
	assert_int_equal(a.messages_lost, 1);
	assert_int_equal(a.messages, 1);
}

static void test_a_message_begun_before_is_no_loss(void **state)
{
	(void)state;
	struct perron_assembly a = {.data = memory};

	assert_false(take(&a, 10, 2, 4));
	assert_false(take(&a, 11, 3, 4));
	assert_int_equal(a.messages_lost, 0);
}

static void test_frames_that_contradict_make_no_message(void **state)
{
	(void)state;
	struct perron_assembly a = {.data = memory};

	assert_false(take(&a, 10, 0, 3));
	assert_false(take(&a, 11, 1, 2)); /* of another number of frames */
	assert_false(take(&a, 12, 0, 2));
	assert_false(take(&a, 13, 0, 2)); /* starts again */
	assert_true(take(&a, 14, 1, 2));
	assert_int_equal(out.sequence, 13);
	assert_true(a.messages_lost >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_puts_frames_together),
		cmocka_unit_test(test_counts_a_message_without_its_end),
		cmocka_unit_test(test_counts_a_message_without_its_middle_once),
		cmocka_unit_test(test_counts_a_message_without_its_start_once),
		cmocka_unit_test(test_a_message_begun_before_is_no_loss),
		cmocka_unit_test(test_frames_that_contradict_make_no_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
