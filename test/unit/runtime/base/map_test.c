/* The bounded map against an array that is searched from end to end. */
#include "test/unit/support.h"

#include <stdlib.h>

#include "runtime/base/map.h"
#include "runtime/base/random.h"

#define KEY_COUNT 48u /* keys in play; more than fit */

struct fixture {
	struct perron_map map;
	void *memory;
	uint64_t keys[KEY_COUNT];
	uint32_t values[KEY_COUNT]; /* the model; PERRON_MAP_NONE: absent */
	uint32_t count;
	struct perron_random random;
};

static void fixture_init(struct fixture *f, uint32_t entry_count, uint64_t seed)
{
	size_t size = perron_map_size(entry_count);

	f->memory = aligned_alloc(PERRON_CACHE_LINE_SIZE, size);
	assert_non_null(f->memory);
	struct perron_arena arena = perron_arena_of(f->memory, size);
	perron_random_seed(&f->random, seed);
	perron_map_init(&f->map, &arena, entry_count, perron_random_next(&f->random));
	assert_int_equal(arena.used, size);
	f->count = 0;
	for (uint32_t i = 0; i < KEY_COUNT; i++) {
		/* Neighbours, as peer ids are, and keys that differ in the top bits alone. */
		f->keys[i] = i % 2 ? i : (uint64_t)i << 58;
		f->values[i] = PERRON_MAP_NONE;
	}
}

static void put_one(struct fixture *f, uint32_t i)
{
	uint32_t value = (uint32_t)perron_random_below(&f->random, PERRON_MAP_NONE);
	bool fits = f->values[i] != PERRON_MAP_NONE || f->count < f->map.limit;

	assert_int_equal(perron_map_put(&f->map, f->keys[i], value), fits);
	if (!fits)
		return;
	f->count += f->values[i] == PERRON_MAP_NONE;
	f->values[i] = value;
}

static void remove_one(struct fixture *f, uint32_t i)
{
	assert_int_equal(perron_map_remove(&f->map, f->keys[i]), f->values[i]);
	f->count -= f->values[i] != PERRON_MAP_NONE;
	f->values[i] = PERRON_MAP_NONE;
}

static void compare_all(const struct fixture *f)
{
	uint32_t cursor = 0, value, seen = 0;
	uint64_t key;

	perron_map_check(&f->map);
	for (uint32_t i = 0; i < KEY_COUNT; i++)
		assert_int_equal(perron_map_find(&f->map, f->keys[i]), f->values[i]);
	while (perron_map_next(&f->map, &cursor, &key, &value)) {
		assert_int_equal(perron_map_find(&f->map, key), value);
		seen++;
	}
	assert_int_equal(seen, f->count);
}

static void model_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct fixture f;
		fixture_init(&f, (uint32_t)(1 + seed % 40), seed);
		for (uint32_t step = 0; step < 2000; step++) {
			uint32_t i = (uint32_t)perron_random_below(&f.random, KEY_COUNT);
			if (perron_random_chance(&f.random, 500000))
				put_one(&f, i);
			else
				remove_one(&f, i);
			if (step % 7 == 0)
				compare_all(&f);
		}
		free(f.memory);
	}
}

static void nothing_decays(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 32, 5);
	/* A hundred thousand comings and goings leave every free slot free. */
	for (uint64_t key = 0; key < 100000; key++) {
		assert_true(perron_map_put(&f.map, key, 1));
		if (key >= 31)
			assert_int_equal(perron_map_remove(&f.map, key - 31), 1);
	}
	perron_map_check(&f.map);
	uint32_t in_use = 0;
	for (uint32_t i = 0; i <= f.map.mask; i++)
		in_use += f.map.slots[i].value != PERRON_MAP_NONE;
	assert_int_equal(in_use, 31);
	free(f.memory);
}

static void the_value_that_means_none_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 4, 1);
	expect_assert_failure((void)!perron_map_put(&f.map, 1, PERRON_MAP_NONE));
	free(f.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model_random),
		cmocka_unit_test(nothing_decays),
		cmocka_unit_test(the_value_that_means_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
