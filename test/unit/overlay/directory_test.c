/* The directory: numbers decide, not ways; what stands still is gone. */
#include "test/unit/support.h"

#include <stdlib.h>
#include <string.h>

#include "overlay/directory.h"

#define SENSORS 4

struct fixture {
	_Alignas(64) uint8_t memory[4096];
	struct perron_directory directory;
};

static struct fixture *make(void)
{
	struct fixture *f = aligned_alloc(64, sizeof(*f));

	memset(f, 0, sizeof(*f));
	struct perron_arena a = perron_arena_of(f->memory, perron_directory_size(SENSORS));
	assert_true(a.size <= sizeof(f->memory));
	perron_directory_init(&f->directory, &a, SENSORS, 7);
	assert_int_equal(a.used, a.size);
	return f;
}

static struct perron_sensor_entry sensor(const char *name, uint32_t owner, uint32_t incarnation,
					 uint32_t stamp)
{
	struct perron_sensor_entry s = {
		.owner = owner, .owner_incarnation = incarnation, .stamp = stamp};

	memcpy(s.name, name, strlen(name));
	return s;
}

static enum perron_directory_change learn(struct fixture *f, struct perron_sensor_entry s,
					  uint32_t via, uint64_t expires_ns)
{
	enum perron_directory_change change =
		perron_directory_learn(&f->directory, &s, via, false, expires_ns);

	perron_directory_check(&f->directory);
	return change;
}

static const struct perron_directory_entry *known(struct fixture *f, const char *name)
{
	char padded[PERRON_SENSOR_NAME_MAX + 1] = {0};

	memcpy(padded, name, strlen(name));
	return perron_directory_find(&f->directory, perron_stream_id(name), padded);
}

static void a_higher_number_replaces_whichever_way_it_came(void **state)
{
	struct fixture *f = make();

	(void)state;
	assert_int_equal(learn(f, sensor("a", 9, 1, 10), 3, 100), PERRON_DIRECTORY_NEW);
	assert_int_equal(learn(f, sensor("a", 9, 1, 11), 3, 110), PERRON_DIRECTORY_RENEWED);
	assert_int_equal(known(f, "a")->expires_ns, 110);
	assert_int_equal(learn(f, sensor("a", 9, 1, 12), 4, 120), PERRON_DIRECTORY_NEW);
	assert_int_equal(known(f, "a")->via, 4);
	assert_int_equal(learn(f, sensor("a", 9, 2, 1), 4, 130), PERRON_DIRECTORY_NEW);
	assert_int_equal(known(f, "a")->sensor.owner_incarnation, 2);
	free(f);
}

/* So no way can feed itself: what comes round again carries the number that it had. */
static void the_same_or_a_lower_number_changes_nothing(void **state)
{
	struct fixture *f = make();

	(void)state;
	assert_int_equal(learn(f, sensor("a", 9, 2, 10), 3, 100), PERRON_DIRECTORY_NEW);
	assert_int_equal(learn(f, sensor("a", 9, 2, 10), 4, 200), PERRON_DIRECTORY_SAME);
	assert_int_equal(learn(f, sensor("a", 9, 2, 9), 4, 200), PERRON_DIRECTORY_SAME);
	assert_int_equal(learn(f, sensor("a", 9, 1, 99), 4, 200), PERRON_DIRECTORY_SAME);
	assert_int_equal(known(f, "a")->via, 3);
	assert_int_equal(known(f, "a")->expires_ns, 100);
	free(f);
}

static void numbers_wrap(void **state)
{
	struct fixture *f = make();

	(void)state;
	assert_int_equal(learn(f, sensor("a", 9, UINT32_MAX, UINT32_MAX), 3, 100),
			 PERRON_DIRECTORY_NEW);
	assert_int_equal(learn(f, sensor("a", 9, UINT32_MAX, 0), 3, 100),
			 PERRON_DIRECTORY_RENEWED);
	assert_int_equal(learn(f, sensor("a", 9, 1, 0), 3, 100), PERRON_DIRECTORY_NEW);
	free(f);
}

static void another_owner_waits_until_the_known_one_is_gone(void **state)
{
	struct fixture *f = make();

	(void)state;
	assert_int_equal(learn(f, sensor("a", 9, 1, 10), 3, 100), PERRON_DIRECTORY_NEW);
	assert_int_equal(learn(f, sensor("a", 8, 5, 50), 4, 200), PERRON_DIRECTORY_SAME);
	perron_directory_expire(&f->directory, 99);
	assert_non_null(known(f, "a"));
	perron_directory_expire(&f->directory, 100);
	assert_null(known(f, "a"));
	assert_int_equal(learn(f, sensor("a", 8, 5, 50), 4, 200), PERRON_DIRECTORY_NEW);
	free(f);
}

static void what_is_attached_here_stays(void **state)
{
	struct fixture *f = make();

	(void)state;
	assert_int_equal(learn(f, sensor("a", 9, 1, 0), 0, UINT64_MAX), PERRON_DIRECTORY_NEW);
	perron_directory_find(&f->directory, perron_stream_id("a"), NULL)->attached =
		PERRON_ATTACHED_OWNER;
	assert_int_equal(learn(f, sensor("a", 9, 1, 5), 3, 100), PERRON_DIRECTORY_SAME);
	perron_directory_expire(&f->directory, UINT64_MAX - 1);
	assert_int_equal(known(f, "a")->via, 0);
	expect_assert_failure(perron_directory_forget(&f->directory, 0));
	free(f);
}

static void a_full_directory_refuses_and_still_renews(void **state)
{
	struct fixture *f = make();

	(void)state;
	for (uint32_t i = 0; i < SENSORS; i++)
		assert_int_equal(learn(f, sensor((char[]){(char)('a' + i), 0}, 9, 1, 1), 3, 100),
				 PERRON_DIRECTORY_NEW);
	assert_int_equal(learn(f, sensor("z", 9, 1, 1), 3, 100), PERRON_DIRECTORY_REFUSED);
	assert_int_equal(learn(f, sensor("b", 9, 1, 2), 3, 100), PERRON_DIRECTORY_RENEWED);
	assert_null(known(f, "z"));
	free(f);
}

/* Two names with one stream id: the first is kept, the other is refused. */
static void another_name_of_the_same_stream_is_refused(void **state)
{
	static const char *const twins[] = {"costarring", "liquid"}; /* FNV-1a 32 collides */
	struct fixture *f = make();

	(void)state;
	assert_int_equal(perron_stream_id(twins[0]), perron_stream_id(twins[1]));
	assert_int_equal(learn(f, sensor(twins[0], 9, 1, 1), 3, 100), PERRON_DIRECTORY_NEW);
	assert_int_equal(learn(f, sensor(twins[1], 9, 1, 9), 3, 100), PERRON_DIRECTORY_REFUSED);
	assert_null(known(f, twins[1]));
	assert_non_null(known(f, twins[0]));
	free(f);
}

static void what_a_neighbour_reached_is_forgotten_with_it(void **state)
{
	struct fixture *f = make();

	(void)state;
	(void)learn(f, sensor("a", 9, 1, 1), 3, 100);
	(void)learn(f, sensor("b", 9, 1, 1), 4, 200);
	(void)learn(f, sensor("c", 9, 1, 1), 3, 300);
	(void)learn(f, sensor("d", 9, 1, 1), 0, UINT64_MAX);
	perron_directory_forget(&f->directory, 3);
	perron_directory_check(&f->directory);
	assert_null(known(f, "a"));
	assert_null(known(f, "c"));
	assert_int_equal(known(f, "b")->via, 4);
	assert_non_null(known(f, "d"));
	assert_int_equal(f->directory.count, 2);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_higher_number_replaces_whichever_way_it_came),
		cmocka_unit_test(the_same_or_a_lower_number_changes_nothing),
		cmocka_unit_test(numbers_wrap),
		cmocka_unit_test(another_owner_waits_until_the_known_one_is_gone),
		cmocka_unit_test(what_is_attached_here_stays),
		cmocka_unit_test(a_full_directory_refuses_and_still_renews),
		cmocka_unit_test(another_name_of_the_same_stream_is_refused),
		cmocka_unit_test(what_a_neighbour_reached_is_forgotten_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
