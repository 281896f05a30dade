/* The timing wheel against a list that is searched from end to end. */
#include "test/unit/support.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/random.h"
#include "runtime/base/wheel.h"

#define ENTRY_COUNT 50u
#define TICK_SHIFT  12u
#define TICK_NS     (UINT64_C(1) << TICK_SHIFT)

struct fixture {
	struct perron_wheel wheel;
	void *memory;
	uint64_t deadline_ns[ENTRY_COUNT]; /* the model */
	bool armed[ENTRY_COUNT];
	uint64_t now_ns;
	struct perron_random random;
};

static void fixture_init(struct fixture *f, uint64_t now_ns, uint64_t seed)
{
	memset(f, 0, sizeof(*f));
	size_t size = perron_wheel_size(ENTRY_COUNT);
	f->memory = aligned_alloc(PERRON_CACHE_LINE_SIZE, size);
	assert_non_null(f->memory);
	struct perron_arena arena = perron_arena_of(f->memory, size);
	perron_wheel_init(&f->wheel, &arena, ENTRY_COUNT, TICK_SHIFT, now_ns);
	assert_int_equal(arena.used, size);
	f->now_ns = now_ns;
	perron_random_seed(&f->random, seed);
}

/* Distances of all magnitudes, from gone by to a century. */
static uint64_t deadline_drawn(struct fixture *f)
{
	uint64_t reach = UINT64_C(1) << perron_random_below(&f->random, 62);
	uint64_t distance = perron_random_below(&f->random, reach);

	if (perron_random_chance(&f->random, 100000))
		return f->now_ns > distance ? f->now_ns - distance : 0;
	return UINT64_MAX - f->now_ns > distance ? f->now_ns + distance : UINT64_MAX;
}

static void model_expire(struct fixture *f, const uint32_t *expired, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		assert_true(expired[i] < ENTRY_COUNT);
		assert_true(f->armed[expired[i]]);
		assert_true(f->deadline_ns[expired[i]] <= f->now_ns);
		assert_false(perron_wheel_armed(&f->wheel, expired[i]));
		f->armed[expired[i]] = false;
	}
}

static uint64_t model_earliest(const struct fixture *f)
{
	uint64_t earliest = UINT64_MAX;

	for (uint32_t i = 0; i < ENTRY_COUNT; i++)
		if (f->armed[i] && f->deadline_ns[i] < earliest)
			earliest = f->deadline_ns[i];
	return earliest;
}

/* Drains what is due, in calls of `most`, and checks that nothing due is left behind. */
static void advance_fully(struct fixture *f, uint32_t most)
{
	uint32_t expired[ENTRY_COUNT];
	uint32_t calls = 0;

	do {
		uint32_t count = perron_wheel_advance(&f->wheel, f->now_ns, expired, most);
		assert_true(count <= most);
		perron_wheel_check(&f->wheel);
		model_expire(f, expired, count);
		assert_true(++calls <= ENTRY_COUNT * PERRON_WHEEL_LEVEL_COUNT);
	} while (perron_wheel_next_ns(&f->wheel) <= f->now_ns);
	/* One whole tick after its deadline an entry must have fired. */
	uint64_t earliest = model_earliest(f);
	assert_true(earliest == UINT64_MAX || earliest > f->now_ns - f->now_ns % TICK_NS);
	assert_true(earliest > UINT64_MAX - TICK_NS ||
		    perron_wheel_next_ns(&f->wheel) < earliest + TICK_NS);
}

static void entry_change(struct fixture *f)
{
	uint32_t index = (uint32_t)perron_random_below(&f->random, ENTRY_COUNT);

	assert_int_equal(perron_wheel_armed(&f->wheel, index), f->armed[index]);
	if (perron_random_chance(&f->random, 250000)) {
		assert_int_equal(perron_wheel_cancel(&f->wheel, index), f->armed[index]);
		f->armed[index] = false;
		return;
	}
	f->deadline_ns[index] = deadline_drawn(f);
	f->armed[index] = true;
	perron_wheel_add(&f->wheel, index, f->deadline_ns[index]);
}

static void time_change(struct fixture *f)
{
	uint64_t next_ns = perron_wheel_next_ns(&f->wheel);
	uint64_t reach = UINT64_C(1) << perron_random_below(&f->random, 50);

	if (perron_random_chance(&f->random, 500000) && next_ns != UINT64_MAX &&
	    next_ns > f->now_ns)
		f->now_ns = next_ns;
	else if (f->now_ns < UINT64_MAX - reach)
		f->now_ns += perron_random_below(&f->random, reach);
}

/* As model_random, but a call may leave work behind while entries come, move and go. */
static void interrupted(struct fixture *f)
{
	uint32_t expired[2];

	for (uint32_t i = 0; i < 3; i++) {
		uint32_t count = perron_wheel_advance(&f->wheel, f->now_ns, expired, 2);
		model_expire(f, expired, count);
		entry_change(f);
		perron_wheel_check(&f->wheel);
	}
}

static void model_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct fixture f;
		fixture_init(&f, seed % 3 ? seed << 40 : 0, seed);
		for (uint32_t step = 0; step < 1000; step++) {
			for (uint64_t n = perron_random_below(&f.random, 8); n > 0; n--)
				entry_change(&f);
			perron_wheel_check(&f.wheel);
			time_change(&f);
			if (perron_random_chance(&f.random, 300000))
				interrupted(&f);
			advance_fully(&f, 1 + (uint32_t)perron_random_below(&f.random, 49));
		}
		free(f.memory);
	}
}

static void fires_in_the_order_of_ticks_and_of_entry(void **state)
{
	static const uint32_t order[] = {3, 1, 4, 0, 2};
	struct fixture f;
	uint32_t expired[8];

	(void)state;
	fixture_init(&f, 0, 1);
	perron_wheel_add(&f.wheel, 0, 900 * TICK_NS);
	perron_wheel_add(&f.wheel, 1, 70 * TICK_NS);
	perron_wheel_add(&f.wheel, 2, 900 * TICK_NS);
	perron_wheel_add(&f.wheel, 3, 64 * TICK_NS);
	perron_wheel_add(&f.wheel, 4, 70 * TICK_NS - 1);
	assert_int_equal(perron_wheel_advance(&f.wheel, 1000 * TICK_NS, expired, 8), 5);
	assert_memory_equal(expired, order, sizeof(order));
	free(f.memory);
}

static void neither_early_nor_more_than_a_tick_late(void **state)
{
	struct fixture f;
	uint32_t expired[1];
	uint64_t deadline_ns = 5 * TICK_NS + 1;

	(void)state;
	fixture_init(&f, 0, 1);
	perron_wheel_add(&f.wheel, 7, deadline_ns);
	assert_int_equal(perron_wheel_advance(&f.wheel, deadline_ns - 1, expired, 1), 0);
	assert_int_equal(perron_wheel_advance(&f.wheel, deadline_ns + TICK_NS, expired, 1), 1);
	assert_int_equal(expired[0], 7);
	assert_true(perron_wheel_next_ns(&f.wheel) == UINT64_MAX);
	free(f.memory);
}

static void the_end_of_time_has_its_place(void **state)
{
	struct fixture f;
	uint32_t expired[1];

	(void)state;
	fixture_init(&f, 12345, 1);
	perron_wheel_add(&f.wheel, 0, UINT64_MAX);
	perron_wheel_check(&f.wheel);
	for (uint32_t i = 0; i < PERRON_WHEEL_LEVEL_COUNT; i++)
		if (perron_wheel_advance(&f.wheel, UINT64_MAX, expired, 1) == 1)
			return free(f.memory);
	fail();
}

static void time_that_goes_back_changes_nothing(void **state)
{
	struct fixture f;
	uint32_t expired[1];

	(void)state;
	fixture_init(&f, 100 * TICK_NS, 1);
	perron_wheel_add(&f.wheel, 0, 101 * TICK_NS);
	assert_int_equal(perron_wheel_advance(&f.wheel, 3, expired, 1), 0);
	perron_wheel_check(&f.wheel);
	assert_int_equal(perron_wheel_advance(&f.wheel, 101 * TICK_NS, expired, 1), 1);
	free(f.memory);
}

static void an_index_outside_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 0, 1);
	expect_assert_failure(perron_wheel_add(&f.wheel, ENTRY_COUNT, 5));
	free(f.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model_random),
		cmocka_unit_test(fires_in_the_order_of_ticks_and_of_entry),
		cmocka_unit_test(neither_early_nor_more_than_a_tick_late),
		cmocka_unit_test(the_end_of_time_has_its_place),
		cmocka_unit_test(time_that_goes_back_changes_nothing),
		cmocka_unit_test(an_index_outside_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
