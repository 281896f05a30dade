/* The link: its numbers, its window, its beats and round trips, rule by rule. */
#include "test/unit/support.h"

#include "overlay/link.h"

#define MS      UINT64_C(1000000)
#define T0      (1000 * MS)
#define BEAT    (50 * MS)

static const struct perron_party neighbour = {.id = 7, .incarnation = 3, .endpoint = {1, 7400}};

static bool hear(struct perron_link *l, uint64_t now_ns, uint32_t sequence, uint32_t ack)
{
	struct perron_header header = {.link_sequence = sequence, .link_ack = ack};
	bool fresh = perron_link_hear(l, now_ns, &header);

	perron_link_check(l);
	return fresh;
}

static struct perron_hop hop(struct perron_link *l, uint64_t now_ns)
{
	struct perron_hop out;

	perron_link_hop(l, now_ns, 5, 9, &out);
	perron_link_check(l);
	return out;
}

static struct perron_link opened(void)
{
	struct perron_link l;

	perron_link_open(&l, T0, &neighbour);
	perron_link_check(&l);
	return l;
}

static void frames_are_numbered_in_a_row(void **state)
{
	struct perron_link l = opened();
	struct perron_hop first = hop(&l, T0), second = hop(&l, T0);

	(void)state;
	assert_int_equal(second.link_sequence, first.link_sequence + 1);
	assert_int_equal(l.sent, 2);
	assert_int_equal(first.source, 5);
	assert_int_equal(first.source_incarnation, 9);
	assert_int_equal(first.destination, 7);
	assert_int_equal(first.destination_incarnation, 3);
	assert_int_equal(first.link_ack, 0);
	assert_true(hear(&l, T0, 44, 0));
	assert_int_equal(hop(&l, T0).link_ack, 44);
}

static void a_link_opened_anew_starts_above_its_past(void **state)
{
	struct perron_link l = opened();
	uint32_t last = 0;

	(void)state;
	for (uint32_t i = 0; i < 900; i++)
		last = hop(&l, T0).link_sequence;
	perron_link_open(&l, T0 + MS, &neighbour);
	assert_true((int32_t)(hop(&l, T0 + MS).link_sequence - last) > 0);
	assert_false(l.heard);
	assert_false(l.answered);
}

/* 0 says "unnumbered", so the wrap passes over it; the window does not mind. */
static void numbers_wrap_past_zero(void **state)
{
	struct perron_link l = opened();

	(void)state;
	l.tx_sequence = l.acked = UINT32_MAX - 1;
	assert_int_equal(hop(&l, T0).link_sequence, UINT32_MAX);
	assert_int_equal(hop(&l, T0).link_sequence, 1);
	assert_true(hear(&l, T0, UINT32_MAX - 1, UINT32_MAX));
	assert_true(l.answered);
	assert_true(hear(&l, T0 + MS, 2, 1));
	assert_int_equal(l.acked, 1);
	assert_false(hear(&l, T0 + MS, UINT32_MAX - 1, 0));
	assert_true(hear(&l, T0 + MS, UINT32_MAX, 0));
	assert_int_equal(l.rx_sequence, 2);
}

static void a_frame_is_heard_once(void **state)
{
	struct perron_link l = opened();

	(void)state;
	assert_true(hear(&l, T0, 100, 0));
	assert_false(hear(&l, T0, 100, 0));
	assert_true(hear(&l, T0, 102, 0));
	assert_int_equal(l.lost, 1);
	assert_true(hear(&l, T0, 101, 0));
	assert_int_equal(l.lost, 0);
	assert_false(hear(&l, T0, 101, 0));
	assert_int_equal(l.received, 3);
}

static void the_window_is_of_64(void **state)
{
	struct perron_link l = opened();

	(void)state;
	assert_true(hear(&l, T0, 100, 0));
	assert_true(hear(&l, T0, 163, 0)); /* 100 is the window's last */
	assert_false(hear(&l, T0, 100, 0));
	assert_true(hear(&l, T0, 101, 0));
	assert_true(hear(&l, T0, 164, 0));
	assert_false(hear(&l, T0, 100, 0)); /* now outside: refused, heard or not */
	assert_true(hear(&l, T0, 164 + 64, 0));
	assert_false(hear(&l, T0, 164, 0));
	assert_true(hear(&l, T0, 165, 0));
	assert_true(hear(&l, T0, 5000, 0));
	assert_int_equal(l.rx_window, 1);
}

static void a_replay_is_no_sign_of_life(void **state)
{
	struct perron_link l = opened();
	uint32_t mine = hop(&l, T0).link_sequence;

	(void)state;
	assert_true(hear(&l, T0, 100, 0));
	assert_false(hear(&l, T0 + 200 * MS, 100, mine));
	assert_int_equal(l.last_heard_ns, T0);
	assert_false(l.answered);
}

static void a_link_is_proven_when_both_have_shown_life(void **state)
{
	struct perron_link l = opened();
	uint32_t mine;

	(void)state;
	assert_false(perron_link_is_proven(&l));
	/* What was sent before the link was opened proves nothing, nor what was not sent yet. */
	assert_true(hear(&l, T0, 100, l.tx_sequence));
	mine = hop(&l, T0).link_sequence;
	assert_true(hear(&l, T0, 101, mine + 1));
	assert_true(hear(&l, T0, 102, 0));
	assert_false(perron_link_is_proven(&l));
	assert_false(perron_link_is_acknowledged(&l));
	assert_true(hear(&l, T0, 103, mine));
	assert_true(perron_link_is_proven(&l));
	assert_true(perron_link_is_acknowledged(&l));
}

static void beats_measure_the_round_trip(void **state)
{
	struct perron_link a = opened(), b = opened();
	uint8_t payload[PERRON_BEAT_SIZE];

	(void)state;
	perron_link_beat_write(&a, T0 + MS, payload);
	assert_true(perron_link_beat_read(&b, T0 + 50 * MS, payload, sizeof(payload)));
	perron_link_beat_write(&b, T0 + 60 * MS, payload); /* held for 10 ms */
	assert_true(perron_link_beat_read(&a, T0 + 14 * MS, payload, sizeof(payload)));
	assert_int_equal(a.round_trip_ns_last, 3 * MS);
	assert_int_equal(a.round_trip_ns_min, 3 * MS);
	assert_true(perron_link_beat_read(&a, T0 + 19 * MS, payload, sizeof(payload)));
	assert_int_equal(a.round_trip_ns_last, 8 * MS);
	assert_int_equal(a.round_trip_ns, 3 * MS - 3 * MS / 8 + MS);
	assert_int_equal(a.round_trip_ns_min, 3 * MS);
}

static void a_beat_that_makes_no_sense_gives_no_round_trip(void **state)
{
	struct perron_link l = opened();
	uint8_t payload[PERRON_BEAT_SIZE + 1] = {0};

	(void)state;
	assert_false(perron_link_beat_read(&l, T0 + MS, payload, PERRON_BEAT_SIZE - 1));
	assert_false(perron_link_beat_read(&l, T0 + MS, payload, PERRON_BEAT_SIZE + 1));
	perron_store64(payload, 5);
	perron_store64(payload + 8, T0 - 1); /* before the link was opened */
	assert_true(perron_link_beat_read(&l, T0 + MS, payload, PERRON_BEAT_SIZE));
	perron_store64(payload + 8, T0 + 2 * MS); /* not yet */
	assert_true(perron_link_beat_read(&l, T0 + MS, payload, PERRON_BEAT_SIZE));
	perron_store64(payload + 8, T0);
	perron_store64(payload + 16, MS + 1); /* held for longer than it was away */
	assert_true(perron_link_beat_read(&l, T0 + MS, payload, PERRON_BEAT_SIZE));
	perron_store64(payload + 16, UINT64_MAX);
	assert_true(perron_link_beat_read(&l, T0 + MS, payload, PERRON_BEAT_SIZE));
	assert_int_equal(l.round_trip_ns_min, 0);
	assert_int_equal(l.echo_ns, 5);
	perron_store64(payload + 16, MS); /* no time at all is a round trip still */
	assert_true(perron_link_beat_read(&l, T0 + MS, payload, PERRON_BEAT_SIZE));
	assert_int_equal(l.round_trip_ns_min, 1);
}

static void a_beat_is_due_after_an_interval_of_our_own_silence(void **state)
{
	struct perron_link l = opened();
	uint32_t mine = hop(&l, T0).link_sequence;

	(void)state;
	assert_true(hear(&l, T0 + 40 * MS, 100, mine));
	assert_int_equal(perron_link_deadline_ns(&l, BEAT), T0 + BEAT);
	hop(&l, T0 + 45 * MS);
	assert_int_equal(perron_link_deadline_ns(&l, BEAT), T0 + 45 * MS + BEAT);
	l.state = PERRON_LINK_FREE;
	assert_int_equal(perron_link_deadline_ns(&l, BEAT), UINT64_MAX);
	l.state = PERRON_LINK_DOWN;
	assert_int_equal(perron_link_deadline_ns(&l, BEAT), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_numbered_in_a_row),
		cmocka_unit_test(a_link_opened_anew_starts_above_its_past),
		cmocka_unit_test(numbers_wrap_past_zero),
		cmocka_unit_test(a_frame_is_heard_once),
		cmocka_unit_test(the_window_is_of_64),
		cmocka_unit_test(a_replay_is_no_sign_of_life),
		cmocka_unit_test(a_link_is_proven_when_both_have_shown_life),
		cmocka_unit_test(beats_measure_the_round_trip),
		cmocka_unit_test(a_beat_that_makes_no_sense_gives_no_round_trip),
		cmocka_unit_test(a_beat_is_due_after_an_interval_of_our_own_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
