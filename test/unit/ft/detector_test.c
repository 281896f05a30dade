/* The detector in virtual time: each kind, its bounds, and every sign beside silence. */
#include "test/unit/support.h"

#include "ft/detector.h"

#define MS       UINT64_C(1000000)
#define T0       (1000 * MS)
#define INTERVAL (50 * MS)
#define TIMEOUT  (250 * MS)
#define MIN      (100 * MS)

static struct perron_evidence evidence;

static struct perron_detector_config config(uint8_t kind)
{
	return (struct perron_detector_config){.kind = kind,
					       .interval_ns = INTERVAL,
					       .timeout_ns_min = MIN,
					       .timeout_ns_max = TIMEOUT};
}

static struct perron_detector opened(uint8_t kind)
{
	const struct perron_detector_config cfg = config(kind);
	struct perron_detector d;

	perron_detector_open(&d, T0, &cfg);
	perron_detector_check(&d);
	return d;
}

static void heard(struct perron_detector *d, uint64_t now_ns)
{
	perron_detector_heard(d, now_ns);
	perron_detector_check(d);
}

static bool judge(struct perron_detector *d, uint64_t now_ns, uint64_t gap_ns)
{
	perron_detector_gap(d, now_ns, gap_ns);
	bool down = perron_detector_judge(d, now_ns, &evidence);
	perron_detector_check(d);
	return down;
}

/* Heard `count` times, `step_ns` apart; the time of the last. */
static uint64_t beats(struct perron_detector *d, uint64_t now_ns, uint32_t count, uint64_t step_ns)
{
	for (uint32_t i = 0; i < count; i++)
		heard(d, now_ns += step_ns);
	return now_ns;
}

/* How much silence from now on is a verdict; the detector is left as it was. */
static uint64_t allowed(const struct perron_detector *d, uint64_t now_ns)
{
	struct perron_detector copy = *d;
	uint64_t due_ns = perron_detector_deadline_ns(&copy);

	assert_false(judge(&copy, due_ns - 1, 0));
	assert_true(judge(&copy, due_ns, 0));
	return due_ns - now_ns - 1;
}

static void a_config_has_bounds(void **state)
{
	struct perron_detector_config cfg;

	(void)state;
	perron_detector_config_default(&cfg);
	assert_true(perron_detector_config_is_valid(&cfg));
	assert_int_equal(cfg.kind, PERRON_DETECTOR_ACCRUAL);
	cfg.interval_ns = MS - 1;
	assert_false(perron_detector_config_is_valid(&cfg));
	cfg.interval_ns = 10001 * MS;
	cfg.timeout_ns_min = cfg.timeout_ns_max = 30000 * MS;
	assert_false(perron_detector_config_is_valid(&cfg));
	cfg = config(PERRON_DETECTOR_COUNT);
	assert_false(perron_detector_config_is_valid(&cfg));
	cfg = config(PERRON_DETECTOR_PUSH);
	cfg.timeout_ns_min = 2 * INTERVAL - 1;
	assert_false(perron_detector_config_is_valid(&cfg));
	cfg.timeout_ns_min = TIMEOUT + 1;
	assert_false(perron_detector_config_is_valid(&cfg));
	cfg.timeout_ns_min = MIN;
	cfg.timeout_ns_max = 60001 * MS;
	assert_false(perron_detector_config_is_valid(&cfg));
	expect_assert_failure(perron_detector_open(&(struct perron_detector){0}, T0, &cfg));
	assert_string_equal(perron_detector_name(PERRON_DETECTOR_PULL), "pull");
	assert_string_equal(perron_detector_name(PERRON_DETECTOR_COUNT), "unknown");
}

static void push_calls_down_after_the_timeout(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_PUSH);
	uint64_t now_ns = beats(&d, T0, 100, 5 * MS);

	(void)state;
	assert_int_equal(allowed(&d, now_ns), TIMEOUT);
	assert_int_equal(evidence.at_ns, now_ns + TIMEOUT + 1);
	assert_int_equal(evidence.last_heard_ns, TIMEOUT + 1);
	assert_int_equal(evidence.expected_ns, TIMEOUT);
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_SILENCE);
	assert_false(evidence.one_way);
}

static void pull_counts_from_the_first_ask(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_PULL);

	(void)state;
	assert_int_equal(perron_detector_deadline_ns(&d), T0);
	assert_true(perron_detector_ask(&d, T0));
	assert_false(perron_detector_ask(&d, T0 + INTERVAL - 1));
	heard(&d, T0 + MS);
	/* Nothing is asked: nothing is missing. */
	assert_false(judge(&d, T0 + 2 * TIMEOUT, 0));
	assert_true(perron_detector_ask(&d, T0 + 2 * TIMEOUT));
	assert_true(perron_detector_ask(&d, T0 + 2 * TIMEOUT + INTERVAL));
	assert_false(judge(&d, T0 + 3 * TIMEOUT, 0));
	assert_true(judge(&d, T0 + 3 * TIMEOUT + 1, 0));
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_NO_ANSWER);
	assert_int_equal(evidence.last_heard_ns, 3 * TIMEOUT + 1 - MS);
	assert_false(perron_detector_ask(&(struct perron_detector){0}, T0));
}

static void accrual_begins_with_the_upper_bound(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);
	uint64_t now_ns = beats(&d, T0, 7, INTERVAL);

	(void)state;
	assert_int_equal(allowed(&d, now_ns), TIMEOUT);
}

/* A steady neighbour: three intervals, of which two may be lost beats. */
static void accrual_learns_a_steady_neighbour(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);
	uint64_t now_ns = beats(&d, T0, 100, INTERVAL);

	(void)state;
	assert_in_range(allowed(&d, now_ns), 3 * INTERVAL, 3 * INTERVAL + MS);
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_SILENCE);
}

static void accrual_allows_more_to_an_unsteady_one(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);
	uint64_t now_ns = T0;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		now_ns = beats(&d, now_ns, 1, i % 2 ? 40 * MS : 60 * MS);
	uint64_t unsteady = allowed(&d, now_ns);
	assert_in_range(unsteady, 3 * INTERVAL + 10 * MS, TIMEOUT);
}

/* A quarter more than it was once silent for, for minutes; then that is forgotten. */
static void accrual_remembers_the_longest_silence(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);
	uint64_t now_ns = beats(&d, T0, 20, INTERVAL);

	(void)state;
	now_ns = beats(&d, now_ns, 1, 160 * MS);
	now_ns = beats(&d, now_ns, 100, INTERVAL);
	assert_int_equal(allowed(&d, now_ns), 200 * MS);
	now_ns = beats(&d, now_ns, 1200, INTERVAL); /* a minute */
	assert_int_equal(allowed(&d, now_ns), 200 * MS);
	now_ns = beats(&d, now_ns, 1300, INTERVAL);
	assert_in_range(allowed(&d, now_ns), 3 * INTERVAL, 3 * INTERVAL + MS);
}

static void accrual_stays_within_its_bounds(void **state)
{
	struct perron_detector_config cfg = config(PERRON_DETECTOR_ACCRUAL);
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);
	uint64_t now_ns = beats(&d, T0, 50, 200 * MS);

	(void)state;
	assert_int_equal(allowed(&d, now_ns), TIMEOUT);
	cfg.timeout_ns_min = 200 * MS;
	perron_detector_open(&d, T0, &cfg);
	now_ns = beats(&d, T0, 100, INTERVAL);
	assert_int_equal(allowed(&d, now_ns), 200 * MS);
}

/* Any frame is a sign of life; that there were many says nothing of what comes after them. */
static void data_makes_no_bound_tighter_than_beats_need(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);
	uint64_t now_ns = beats(&d, T0, 5000, MS);

	(void)state;
	assert_in_range(allowed(&d, now_ns), 2 * INTERVAL, 3 * INTERVAL);
}

static void accrual_does_not_learn_from_its_own_stall(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);
	uint64_t now_ns = beats(&d, T0, 50, INTERVAL);
	uint64_t before = allowed(&d, now_ns);

	(void)state;
	now_ns += 200 * MS;
	assert_false(judge(&d, now_ns, 160 * MS));
	heard(&d, now_ns);
	now_ns = beats(&d, now_ns, 50, INTERVAL);
	assert_in_range(allowed(&d, now_ns), before - MS, before + 5 * MS);
}

/* It is heard all the time, but what we say does not reach it. */
static void one_way_is_a_verdict(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_PUSH);

	(void)state;
	perron_detector_sent(&d, T0);
	perron_detector_answered(&d, T0 + MS, true);
	heard(&d, T0 + 900 * MS);
	assert_false(judge(&d, T0 + 900 * MS, 0)); /* nothing is unanswered */
	perron_detector_sent(&d, T0 + 900 * MS);
	perron_detector_sent(&d, T0 + 950 * MS);
	heard(&d, T0 + 1100 * MS);
	assert_int_equal(perron_detector_deadline_ns(&d), T0 + 900 * MS + TIMEOUT + 1);
	assert_false(judge(&d, T0 + 900 * MS + TIMEOUT, 0));
	perron_detector_answered(&d, T0 + 900 * MS + TIMEOUT, false); /* some of it: a new wait */
	heard(&d, T0 + 900 * MS + TIMEOUT);
	heard(&d, T0 + 900 * MS + 2 * TIMEOUT);
	assert_false(judge(&d, T0 + 900 * MS + 2 * TIMEOUT, 0));
	assert_true(judge(&d, T0 + 900 * MS + 2 * TIMEOUT + 1, 0));
	assert_true(evidence.one_way);
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_ONE_WAY);
	assert_int_equal(evidence.expected_ns, TIMEOUT);
	assert_int_equal(evidence.last_heard_ns, 1);
}

static void a_judge_that_stood_still_waits_for_more(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_PUSH);
	uint64_t gap_ns = 100 * MS;

	(void)state;
	heard(&d, T0);
	assert_false(judge(&d, T0 + 200 * MS, gap_ns));
	assert_int_equal(d.spared, 0);
	assert_false(judge(&d, T0 + TIMEOUT + gap_ns, 0));
	assert_int_equal(d.spared, 1); /* one silence, however often it was looked at */
	assert_false(judge(&d, T0 + TIMEOUT + gap_ns, 0));
	assert_int_equal(d.spared, 1);
	assert_true(judge(&d, T0 + TIMEOUT + gap_ns + 1, 0));
	assert_int_equal(evidence.own_gap_ns, gap_ns);
	assert_int_equal(evidence.expected_ns, TIMEOUT + gap_ns);
}

static void a_small_gap_of_its_own_is_no_excuse(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_PUSH);

	(void)state;
	heard(&d, T0);
	assert_false(judge(&d, T0 + 100 * MS, TIMEOUT / 4));
	assert_true(judge(&d, T0 + TIMEOUT + 1, 0));
	assert_int_equal(evidence.expected_ns, TIMEOUT);
}

static void the_excuse_ends_when_the_neighbour_is_heard(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_PUSH);

	(void)state;
	assert_false(judge(&d, T0 + 300 * MS, 300 * MS));
	heard(&d, T0 + 300 * MS);
	assert_true(judge(&d, T0 + 300 * MS + TIMEOUT + 1, 0));
}

/* A frame sent before the stall was lost; what is heard after it acknowledges nothing new yet. */
static void a_stall_of_its_own_is_no_one_way_link(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_PUSH);

	(void)state;
	perron_detector_sent(&d, T0 + MS);
	heard(&d, T0 + 301 * MS);
	assert_false(judge(&d, T0 + 301 * MS, 300 * MS));
	assert_int_equal(d.spared, 1);
	heard(&d, T0 + 500 * MS);
	assert_false(judge(&d, T0 + 301 * MS + TIMEOUT, 0));
	assert_true(judge(&d, T0 + 301 * MS + TIMEOUT + 1, 0));
	assert_true(evidence.one_way);
	assert_int_equal(evidence.own_gap_ns, 300 * MS);
}

/* A suspended process, or a clock set forward by an hour: a fresh allowance from there on. */
static void a_leap_forward_begins_anew(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);
	uint64_t now_ns = beats(&d, T0, 100, INTERVAL);
	uint64_t bound_ns = allowed(&d, now_ns);

	(void)state;
	perron_detector_sent(&d, now_ns);
	now_ns += 30 * MS + 3600000 * MS;
	assert_false(judge(&d, now_ns, 3600000 * MS));
	assert_int_equal(d.spared, 2); /* silence, and nothing acknowledged */
	assert_false(judge(&d, now_ns + bound_ns, 0));
	assert_true(perron_detector_deadline_ns(&d) <= now_ns + TIMEOUT + 1);
	assert_true(judge(&d, now_ns + TIMEOUT + 1, 0));
	assert_int_equal(evidence.own_gap_ns, 3600000 * MS);
}

static void a_leap_back_begins_anew(void **state)
{
	for (uint8_t kind = 0; kind < PERRON_DETECTOR_COUNT; kind++) {
		struct perron_detector d = opened(kind);
		uint64_t now_ns = T0 + 5000 * MS;
		(void)state;
		heard(&d, now_ns);
		perron_detector_sent(&d, now_ns);
		(void)perron_detector_ask(&d, now_ns);
		now_ns -= 4000 * MS;
		assert_false(judge(&d, now_ns, 0));
		(void)perron_detector_ask(&d, now_ns);
		assert_false(judge(&d, now_ns + TIMEOUT, 0));
		assert_true(judge(&d, now_ns + TIMEOUT + 1, 0));
	}
}

static void a_sibling_halves_what_is_allowed(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_PUSH);

	(void)state;
	perron_detector_witness(&d, T0);
	perron_detector_witness(&d, T0 + MS); /* another one: halved is halved */
	assert_int_equal(perron_detector_deadline_ns(&d), T0 + TIMEOUT / 2 + 1);
	assert_int_equal(allowed(&d, T0), TIMEOUT / 2);
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_SIBLINGS);
	assert_int_equal(evidence.expected_ns, TIMEOUT / 2);
	heard(&d, T0 + MS); /* what the sibling said is refuted */
	assert_int_equal(allowed(&d, T0 + MS), TIMEOUT);
	/* Silence that was a verdict anyway needs no witness. */
	perron_detector_witness(&d, T0 + MS);
	assert_true(judge(&d, T0 + 2 * TIMEOUT, 0));
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_SILENCE);
}

static void a_port_down_ends_the_only_way_at_once(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);

	(void)state;
	heard(&d, T0 + MS);
	perron_detector_port_down(&d, T0 + 3 * MS, T0 + 2 * MS, true);
	assert_true(perron_detector_deadline_ns(&d) <= T0 + 3 * MS);
	assert_true(judge(&d, T0 + 3 * MS, 0));
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_PORT_DOWN);
	assert_int_equal(evidence.last_heard_ns, 2 * MS);
}

static void a_port_down_gives_another_way_an_interval(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_ACCRUAL);

	(void)state;
	perron_detector_port_down(&d, T0 + MS, T0 + MS, false);
	assert_false(judge(&d, T0 + MS, 0));
	assert_int_equal(perron_detector_deadline_ns(&d), T0 + MS + INTERVAL);
	struct perron_detector other = d;
	assert_true(judge(&d, T0 + MS + INTERVAL, 0));
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_PORT_DOWN);
	heard(&other, T0 + 2 * MS);
	assert_false(judge(&other, T0 + MS + INTERVAL, 0));
	/* Heard after the port went down already: it has another way. */
	perron_detector_port_down(&other, T0 + 3 * MS, T0 + MS, true);
	assert_false(judge(&other, T0 + 3 * MS, 0));
	/* Nonsense from outside: a time to come is now. */
	perron_detector_port_down(&other, T0 + 4 * MS, UINT64_MAX, true);
	assert_true(judge(&other, T0 + 4 * MS, 0));
}

/* The end of the range of nanoseconds is far; times near it are times like others. */
static void times_near_the_end_are_times(void **state)
{
	struct perron_detector_config cfg = config(PERRON_DETECTOR_ACCRUAL);
	uint64_t end_ns = UINT64_MAX - 3 * TIMEOUT;
	struct perron_detector d;

	(void)state;
	perron_detector_open(&d, end_ns, &cfg);
	perron_detector_sent(&d, end_ns);
	assert_false(judge(&d, end_ns + TIMEOUT, 0));
	assert_int_equal(perron_detector_deadline_ns(&d), end_ns + TIMEOUT + 1);
	assert_true(judge(&d, end_ns + TIMEOUT + 1, 0));
}

static void what_people_see(void **state)
{
	struct perron_detector d = opened(PERRON_DETECTOR_PUSH);
	struct perron_detector_info info;

	(void)state;
	assert_false(judge(&d, T0 + MS, 7 * MS));
	perron_detector_read(&d, T0 + TIMEOUT / 2, &info);
	assert_int_equal(info.allowed_ns, TIMEOUT);
	assert_int_equal(info.suspicion, 50);
	assert_int_equal(info.gap_ns_max, 7 * MS);
	assert_int_equal(info.config.kind, PERRON_DETECTOR_PUSH);
	d = opened(PERRON_DETECTOR_PULL);
	perron_detector_read(&d, T0 + TIMEOUT, &info);
	assert_int_equal(info.suspicion, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_config_has_bounds),
		cmocka_unit_test(push_calls_down_after_the_timeout),
		cmocka_unit_test(pull_counts_from_the_first_ask),
		cmocka_unit_test(accrual_begins_with_the_upper_bound),
		cmocka_unit_test(accrual_learns_a_steady_neighbour),
		cmocka_unit_test(accrual_allows_more_to_an_unsteady_one),
		cmocka_unit_test(accrual_remembers_the_longest_silence),
		cmocka_unit_test(accrual_stays_within_its_bounds),
		cmocka_unit_test(data_makes_no_bound_tighter_than_beats_need),
		cmocka_unit_test(accrual_does_not_learn_from_its_own_stall),
		cmocka_unit_test(one_way_is_a_verdict),
		cmocka_unit_test(a_judge_that_stood_still_waits_for_more),
		cmocka_unit_test(a_small_gap_of_its_own_is_no_excuse),
		cmocka_unit_test(the_excuse_ends_when_the_neighbour_is_heard),
		cmocka_unit_test(a_stall_of_its_own_is_no_one_way_link),
		cmocka_unit_test(a_leap_forward_begins_anew),
		cmocka_unit_test(a_leap_back_begins_anew),
		cmocka_unit_test(a_sibling_halves_what_is_allowed),
		cmocka_unit_test(a_port_down_ends_the_only_way_at_once),
		cmocka_unit_test(a_port_down_gives_another_way_an_interval),
		cmocka_unit_test(times_near_the_end_are_times),
		cmocka_unit_test(what_people_see),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
