/* The queue of places, and the arena that such arrays come from. */
#include "test/unit/support.h"

#include "runtime/base/fifo.h"
#include "runtime/base/memory.h"
#include "runtime/base/random.h"

static void model_random(void **state)
{
	(void)state;
	for (uint32_t shift = 0; shift < 6; shift++) {
		uint32_t capacity = 1u << shift, items[32];
		struct perron_fifo f = perron_fifo_of(capacity);
		struct perron_random random;
		uint32_t written = 0, read = 0; /* the model: numbers in a row */
		uint32_t at;

		/* The counters pass 2^32 on the way. */
		f.pushed = f.popped = UINT32_MAX - 100;
		perron_random_seed(&random, shift);
		for (uint32_t step = 0; step < 5000; step++) {
			assert_int_equal(perron_fifo_count(&f), written - read);
			assert_int_equal(perron_fifo_full(&f), written - read == capacity);
			for (uint32_t n = 0; n < written - read; n++)
				assert_int_equal(items[perron_fifo_at(&f, n)], read + n);
			if (perron_random_chance(&random, 500000)) {
				at = perron_fifo_push(&f);
				assert_int_equal(at == PERRON_FIFO_NONE,
						 written - read == capacity);
				if (at != PERRON_FIFO_NONE)
					items[at] = written++;
			} else {
				at = perron_fifo_pop(&f);
				assert_int_equal(at == PERRON_FIFO_NONE, written == read);
				if (at != PERRON_FIFO_NONE)
					assert_int_equal(items[at], read++);
			}
		}
	}
}

static void a_capacity_that_is_no_power_of_two_is_refused(void **state)
{
	(void)state;
	expect_assert_failure(perron_fifo_of(0));
	expect_assert_failure(perron_fifo_of(12));
}

static void an_arena_hands_out_zeroed_cache_lines_to_its_end(void **state)
{
	_Alignas(PERRON_CACHE_LINE_SIZE) uint8_t memory[256];
	memset(memory, 0xff, sizeof(memory));
	struct perron_arena arena = perron_arena_of(memory, sizeof(memory));

	(void)state;
	uint8_t *a = perron_arena_take(&arena, 1), *b = perron_arena_take(&arena, 65);
	assert_ptr_equal(a, memory);
	assert_ptr_equal(b, memory + 64);
	for (uint32_t i = 0; i < 192; i++)
		assert_int_equal(memory[i], 0);
	assert_int_equal(memory[192], 0xff);
	assert_int_equal(arena.used, perron_arena_share(1) + perron_arena_share(65));
	expect_assert_failure(perron_arena_take(&arena, 65));
	expect_assert_failure(perron_arena_take(&arena, SIZE_MAX));
	assert_ptr_equal(perron_arena_take(&arena, 64), memory + 192);
	expect_assert_failure(perron_arena_of(memory + 1, 64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model_random),
		cmocka_unit_test(a_capacity_that_is_no_power_of_two_is_refused),
		cmocka_unit_test(an_arena_hands_out_zeroed_cache_lines_to_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
