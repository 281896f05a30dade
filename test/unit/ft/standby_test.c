/* The standby: which of its readings the owner has published, and under which number. */
#include "test/unit/support.h"

#include "ft/standby.h"
#include "runtime/base/random.h"

#define WINDOW 64u
#define FIRST  ((UINT64_C(9) << 32) + 1)

struct fixture {
	struct perron_standby_reading readings[WINDOW];
	struct perron_standby_copy copies[WINDOW];
	struct perron_standby standby;
};

static struct perron_standby *make(struct fixture *f)
{
	perron_standby_init(&f->standby, f->readings, f->copies, WINDOW);
	return &f->standby;
}

/* Content `hash` is read here; its handle is 1000 + hash. */
static bool read_here(struct perron_standby *s, uint32_t hash)
{
	struct perron_standby_reading reading = {.handle = 1000 + hash, .hash = hash};
	uint64_t released;
	bool held = perron_standby_read(s, &reading, &released);

	perron_standby_check(s);
	return held;
}

static uint64_t take(struct perron_standby *s, uint64_t sequence)
{
	struct perron_standby_reading reading;

	return perron_standby_take(s, sequence, &reading) ? reading.handle : 0;
}

static void a_reading_is_held_until_its_copy_comes(void **state)
{
	struct fixture f;
	struct perron_standby *s = make(&f);

	(void)state;
	assert_true(read_here(s, 1));
	assert_int_equal(s->held_count, 1);
	assert_int_equal(perron_standby_copy(s, FIRST, 1), 1001);
	assert_int_equal(s->held_count, 0);
	assert_true(perron_standby_next(s) == FIRST + 1);
}

static void a_copy_that_comes_first_spares_the_reading(void **state)
{
	struct fixture f;
	struct perron_standby *s = make(&f);

	(void)state;
	assert_int_equal(perron_standby_copy(s, FIRST, 1), 0);
	assert_int_equal(perron_standby_copy(s, FIRST + 1, 2), 0);
	assert_false(read_here(s, 1));
	assert_false(read_here(s, 2));
	assert_true(read_here(s, 3));
	assert_int_equal(take(s, FIRST + 2), 1003);
	assert_int_equal(take(s, FIRST + 2), 0);
	assert_int_equal(take(s, FIRST + 1), 0);
}

/* The owner published it and died: its client may have it, under the number that it has here. */
static void a_lost_copy_leaves_its_number(void **state)
{
	struct fixture f;
	struct perron_standby *s = make(&f);

	(void)state;
	for (uint32_t i = 1; i <= 4; i++)
		assert_true(read_here(s, i));
	assert_int_equal(perron_standby_copy(s, FIRST, 1), 1001);
	assert_int_equal(perron_standby_copy(s, FIRST + 2, 3), 1003);
	assert_int_equal(take(s, FIRST + 1), 1002);
	assert_int_equal(take(s, FIRST + 3), 1004);
}

static void what_one_of_them_missed_shifts_the_numbers(void **state)
{
	struct fixture f;
	struct perron_standby *s = make(&f);

	(void)state;
	/* 2 was not read here, 4 not by the owner; copies come first, then readings. */
	assert_int_equal(perron_standby_copy(s, FIRST, 1), 0);
	assert_false(read_here(s, 1));
	assert_int_equal(perron_standby_copy(s, FIRST + 1, 2), 0);
	assert_int_equal(perron_standby_copy(s, FIRST + 2, 3), 0);
	assert_false(read_here(s, 3));
	assert_true(read_here(s, 4));
	assert_true(read_here(s, 5));
	assert_int_equal(perron_standby_copy(s, FIRST + 3, 5), 1005);
	assert_true(read_here(s, 6));
	assert_true(perron_standby_next(s) == FIRST + 5);
	assert_int_equal(take(s, FIRST + 4), 1006);
}

static void the_floor_lets_go_of_what_stands_below(void **state)
{
	struct fixture f;
	struct perron_standby *s = make(&f);
	uint64_t handles[WINDOW];

	(void)state;
	assert_int_equal(perron_standby_copy(s, FIRST, 10), 0);
	assert_false(read_here(s, 10));
	for (uint32_t i = 1; i <= 5; i++)
		assert_true(read_here(s, i));
	assert_int_equal(perron_standby_copy(s, FIRST + 4, 4), 1004);
	perron_standby_raise(s, FIRST + 3);
	assert_false(perron_standby_is_swept(s));
	assert_int_equal(perron_standby_sweep(s, handles, 1), 1);
	assert_int_equal(handles[0], 1001);
	assert_int_equal(perron_standby_sweep(s, handles, WINDOW), 1);
	assert_int_equal(handles[0], 1002);
	assert_true(perron_standby_is_swept(s));
	assert_int_equal(take(s, FIRST + 3), 1003);
	perron_standby_forget(s);
	assert_int_equal(perron_standby_sweep(s, handles, WINDOW), 1);
	assert_int_equal(handles[0], 1005);
	perron_standby_check(s);
}

static void the_oldest_gives_way(void **state)
{
	struct fixture f;
	struct perron_standby *s = make(&f);
	struct perron_standby_reading reading = {.handle = 7, .hash = 7};
	uint64_t released;

	(void)state;
	for (uint32_t i = 1; i <= WINDOW; i++)
		assert_true(read_here(s, i));
	assert_true(perron_standby_read(s, &reading, &released));
	assert_int_equal(released, 1001);
	assert_int_equal(s->held_count, WINDOW);
	perron_standby_check(s);
}

static void numbers_of_another_life_are_followed(void **state)
{
	struct fixture f;
	struct perron_standby *s = make(&f);
	uint64_t later = (UINT64_C(10) << 32) + 1;

	(void)state;
	assert_true(read_here(s, 1));
	assert_int_equal(perron_standby_copy(s, FIRST, 1), 1001);
	assert_true(read_here(s, 2));
	assert_int_equal(perron_standby_copy(s, later, 2), 1002);
	assert_true(read_here(s, 3));
	assert_int_equal(take(s, later + 1), 1003);
}

/*
 * Both read the same with gaps of their own, copies are lost or late. What is taken at the end has
 * the number under which the owner published it, and what follows is in order.
 */
#define READINGS 400u

struct run {
	struct perron_random random;
	uint64_t number[READINGS + 1]; /* that the owner gave; 0: it missed it */
	uint64_t given;
	bool owner_misses; /* or the standby; if both may, nobody knows what is missing where */
};

static void owner_reads(struct run *run, struct perron_standby *s, uint32_t i)
{
	if (run->owner_misses && perron_random_chance(&run->random, 20000))
		return;
	run->number[i] = FIRST + run->given++;
	if (!perron_random_chance(&run->random, 50000))
		(void)perron_standby_copy(s, run->number[i], i);
}

static void standby_reads(struct run *run, struct perron_standby *s, uint32_t i)
{
	if (run->owner_misses || !perron_random_chance(&run->random, 20000))
		(void)read_here(s, i);
}

static void run_check(struct run *run, struct perron_standby *s, uint32_t last)
{
	uint64_t handle;

	for (uint32_t i = 1; i <= last; i++) {
		/* Behind the last copy that came, what is missing is not known yet. */
		if (!run->number[i] || run->number[i] > s->sequence ||
		    !(handle = take(s, run->number[i])))
			continue;
		assert_int_equal(handle, 1000 + i);
	}
	perron_standby_check(s);
}

static void whoever_missed_what_numbers_agree(void **state)
{
	struct fixture f;

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct perron_standby *s = make(&f);
		struct run run = {.given = 0};
		perron_random_seed(&run.random, seed);
		uint32_t lag = (uint32_t)perron_random_below(&run.random, 6);
		bool owner_first = perron_random_chance(&run.random, 500000);
		run.owner_misses = perron_random_chance(&run.random, 500000);
		for (uint32_t i = 1; i <= READINGS; i++) {
			uint32_t late = i > lag ? i - lag : 0;
			if (owner_first)
				owner_reads(&run, s, i);
			else
				standby_reads(&run, s, i);
			if (late && owner_first)
				standby_reads(&run, s, late);
			else if (late)
				owner_reads(&run, s, late);
		}
		run_check(&run, s, READINGS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reading_is_held_until_its_copy_comes),
		cmocka_unit_test(a_copy_that_comes_first_spares_the_reading),
		cmocka_unit_test(a_lost_copy_leaves_its_number),
		cmocka_unit_test(what_one_of_them_missed_shifts_the_numbers),
		cmocka_unit_test(the_floor_lets_go_of_what_stands_below),
		cmocka_unit_test(the_oldest_gives_way),
		cmocka_unit_test(numbers_of_another_life_are_followed),
		cmocka_unit_test(whoever_missed_what_numbers_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
