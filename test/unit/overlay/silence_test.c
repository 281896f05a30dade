/* What is too long depends on how the stream beats. */
#include "test/unit/support.h"

#include "overlay/silence.h"

#define MS    1000000u
#define LEAST (5 * MS)
#define MOST  (500 * MS)

static uint64_t beat(struct perron_silence *s, uint64_t now_ns, uint64_t gap_ns, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		now_ns += gap_ns;
		perron_silence_heard(s, now_ns, LEAST, MOST);
	}
	return now_ns;
}

static void a_steady_stream_is_asked_about_soon(void **state)
{
	struct perron_silence s;

	(void)state;
	perron_silence_init(&s);
	assert_true(s.due_ns == UINT64_MAX);
	uint64_t now_ns = beat(&s, MS, MS, 1);
	assert_true(s.due_ns == UINT64_MAX); /* one frame has no beat */
	now_ns = beat(&s, now_ns, MS, 1000);
	assert_int_equal(s.due_ns, now_ns + LEAST);
}

static void a_slow_stream_has_twice_its_longest_gap(void **state)
{
	struct perron_silence s;

	(void)state;
	perron_silence_init(&s);
	uint64_t now_ns = beat(&s, MS, 20 * MS, 1000);
	assert_int_equal(s.due_ns, now_ns + 40 * MS);
	now_ns = beat(&s, now_ns, 300 * MS, 1);
	assert_true(s.due_ns == UINT64_MAX); /* renewals are as soon */
}

/* A sensor that speaks in bursts is not asked about between them. */
static void pauses_are_remembered_for_some_frames(void **state)
{
	struct perron_silence s;

	(void)state;
	perron_silence_init(&s);
	uint64_t now_ns = beat(&s, MS, MS, 1000);
	for (uint32_t i = 0; i < 10; i++) {
		now_ns = beat(&s, now_ns, 100 * MS, 1);
		now_ns = beat(&s, now_ns, MS, 9);
		assert_true(s.due_ns > now_ns + 100 * MS);
	}
	now_ns = beat(&s, now_ns, MS, 500);
	assert_int_equal(s.due_ns, now_ns + LEAST);
}

static void who_is_asked_in_vain_is_left_alone(void **state)
{
	struct perron_silence s;
	uint32_t asked = 0;

	(void)state;
	perron_silence_init(&s);
	(void)beat(&s, MS, MS, 1000);
	for (; s.due_ns != UINT64_MAX; asked++) {
		uint64_t now_ns = s.due_ns;
		perron_silence_asked(&s, now_ns, LEAST);
		assert_true(s.due_ns > now_ns);
	}
	assert_true(asked > 10 && asked < 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_steady_stream_is_asked_about_soon),
		cmocka_unit_test(a_slow_stream_has_twice_its_longest_gap),
		cmocka_unit_test(pauses_are_remembered_for_some_frames),
		cmocka_unit_test(who_is_asked_in_vain_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
