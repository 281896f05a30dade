/* What siblings hold of a stream, when they let it go, and how one of them goes on with it. */
#include "test/unit/support.h"

#include <errno.h>

#include "test/unit/ft/cell.h"

#define FIRST ((UINT64_C(1) << 32) + 1)

/* What was taken over is kept for half of what a branch is. */
#define KEEP_MS 3100

static const struct perron_qos none = {0};
static const struct perron_qos active = {.replication = PERRON_REPLICATION_ACTIVE};
static const struct perron_qos passive = {.replication = PERRON_REPLICATION_PASSIVE,
					  .period_us = 20000};

static struct cell *make(uint32_t count, const struct perron_qos *qos)
{
	struct cell *w = cell_make(count);

	cell_attach(w, 1, FIRST);
	cell_subscribe(w, 1, qos, 0);
	return w;
}

static void offer(struct cell *w, uint32_t id, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(cell_offer(w, id, "12:00 platform 2"), PERRON_OFFER_ACCEPTED);
}

static void without_replication_nothing_is_held_elsewhere(void **state)
{
	struct cell *w = make(3, &none);

	(void)state;
	offer(w, 1, 5);
	cell_run(w, 100);
	assert_int_equal(w->peers[1].held, 5);
	assert_int_equal(w->peers[2].held + w->peers[3].held, 0);
	assert_int_equal(cell_counters(w, 1).replicated, 0);
	cell_free(w);
}

static void actively_each_sibling_holds_each_frame_until_the_client_has_it(void **state)
{
	struct cell *w = make(3, &active);

	(void)state;
	offer(w, 1, 5);
	cell_run(w, 10);
	assert_int_equal(w->peers[2].held, 5);
	assert_int_equal(w->peers[3].held, 5);
	cell_acknowledge(w, 1, FIRST + 2);
	cell_run(w, 10);
	assert_int_equal(w->peers[1].held, 2);
	assert_int_equal(w->peers[2].held, 2);
	assert_int_equal(w->peers[3].held, 2);
	cell_acknowledge(w, 1, FIRST + 4);
	cell_run(w, 10);
	assert_int_equal(w->peers[1].held + w->peers[2].held + w->peers[3].held, 0);
	cell_free(w);
}

static void of_a_number_of_replicas_the_successors_hold_them(void **state)
{
	const struct perron_qos one = {.replication = PERRON_REPLICATION_ACTIVE, .replicas = 1};
	struct cell *w = make(4, &one);

	(void)state;
	offer(w, 1, 3);
	cell_run(w, 10);
	assert_int_equal(w->peers[2].held, 3);
	assert_int_equal(w->peers[3].held + w->peers[4].held, 0);
	/* The next takes its place; what the origin sends again it has as well. */
	cell_kill(w, 2);
	cell_run(w, 100);
	assert_int_equal(w->peers[3].held, 3);
	cell_free(w);
}

static void passively_what_is_acknowledged_in_time_is_never_copied(void **state)
{
	struct cell *w = make(2, &passive);

	(void)state;
	offer(w, 1, 4);
	cell_run(w, 5);
	cell_acknowledge(w, 1, FIRST + 3);
	cell_run(w, 40);
	assert_int_equal(cell_counters(w, 1).replicated, 0);
	offer(w, 1, 4);
	cell_run(w, 10);
	assert_int_equal(w->peers[2].held, 0); /* the period is not over */
	cell_acknowledge(w, 1, FIRST + 5);
	cell_run(w, 30);
	assert_int_equal(w->peers[2].held, 2);
	assert_int_equal(cell_counters(w, 1).replicated, 2);
	cell_free(w);
}

static void a_copy_that_was_lost_comes_when_the_origin_tries_again(void **state)
{
	struct cell *w = make(2, &active);

	(void)state;
	w->peers[2].deaf = true;
	offer(w, 1, 3);
	cell_run(w, 10);
	assert_int_equal(w->peers[2].held, 0);
	w->peers[2].deaf = false;
	cell_run(w, 60);
	assert_int_equal(w->peers[2].held, 3);
	cell_free(w);
}

static void a_sibling_goes_on_with_what_it_holds(void **state)
{
	struct cell *w = make(3, &active);

	(void)state;
	offer(w, 1, 6);
	cell_run(w, 10);
	cell_acknowledge(w, 1, FIRST + 1);
	cell_run(w, 10);
	cell_kill(w, 1);
	cell_run(w, CELL_LONG_MS);
	assert_true(w->peers[2].orphaned > 0);
	assert_int_equal(cell_adopt(w, 2, 1), 0);
	w->seen_count = 0;
	cell_subscribe(w, 2, &active, FIRST + 2);
	cell_run(w, 5);
	assert_int_equal(w->seen_count, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_true(w->seen[i] == FIRST + 2 + i);
	cell_acknowledge(w, 2, FIRST + 5);
	cell_run(w, 10);
	/* Clients that are yet to come may lack any of it. */
	assert_int_equal(w->peers[2].held, 4);
	cell_run(w, KEEP_MS);
	assert_int_equal(w->peers[2].held, 0);
	/* Taken over once; and nobody else's is. */
	assert_int_equal(cell_adopt(w, 2, 3), -ENOENT);
	cell_free(w);
}

static void what_no_sibling_holds_is_given_up_after_what_stands_before_it(void **state)
{
	struct cell *w = make(2, &active);

	(void)state;
	offer(w, 1, 2);
	cell_run(w, 5);
	w->peers[2].deaf = true;
	offer(w, 1, 1);
	cell_run(w, 2);
	w->peers[2].deaf = false;
	offer(w, 1, 2);
	cell_run(w, 3);
	cell_kill(w, 1);
	cell_run(w, CELL_LONG_MS);
	assert_int_equal(w->peers[2].held, 4);
	assert_int_equal(cell_adopt(w, 2, 1), 0);
	w->seen_count = 0;
	cell_subscribe(w, 2, &active, FIRST);
	cell_run(w, 5);
	assert_int_equal(w->seen_count, 4);
	assert_int_equal(cell_counters(w, 2).drop[PERRON_DROP_ABANDONED], 0);
	cell_acknowledge(w, 2, FIRST + 1);
	cell_run(w, 100);
	assert_int_equal(cell_counters(w, 2).drop[PERRON_DROP_ABANDONED], 1);
	cell_acknowledge(w, 2, FIRST + 4);
	cell_run(w, KEEP_MS);
	assert_int_equal(w->peers[2].held, 0);
	cell_free(w);
}

static void a_path_that_opens_begins_with_what_is_held(void **state)
{
	struct cell *w = make(2, &active);

	(void)state;
	offer(w, 1, 3);
	cell_run(w, 10);
	w->seen_count = 0;
	cell_subscribe(w, 2, &active, FIRST + 1); /* no way to the sensor is known there */
	cell_run(w, 5);
	assert_int_equal(w->seen_count, 2);
	assert_true(w->seen[0] == FIRST + 1 && w->seen[1] == FIRST + 2);
	assert_int_equal(cell_counters(w, 2).served, 2);
	cell_free(w);
}

static void full_buffers_give_way_and_are_counted(void **state)
{
	struct cell *w = make(2, &active);

	(void)state;
	offer(w, 1, 30); /* peer 2 may hold 24 frames; none of them is of class normal */
	cell_run(w, 5);
	assert_int_equal(w->peers[2].held, 24);
	assert_true(cell_counters(w, 2).drop[PERRON_DROP_REPLICA_FULL] >= 6);
	cell_free(w);
}

static void what_nobody_speaks_of_any_more_is_let_go(void **state)
{
	struct cell *w = make(2, &active);

	(void)state;
	offer(w, 1, 3);
	cell_run(w, 10);
	cell_kill(w, 1);
	cell_run(w, 5000);
	assert_int_equal(w->peers[2].held, 3);
	cell_run(w, 2000);
	assert_int_equal(w->peers[2].held, 0);
	cell_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_replication_nothing_is_held_elsewhere),
		cmocka_unit_test(actively_each_sibling_holds_each_frame_until_the_client_has_it),
		cmocka_unit_test(of_a_number_of_replicas_the_successors_hold_them),
		cmocka_unit_test(passively_what_is_acknowledged_in_time_is_never_copied),
		cmocka_unit_test(a_copy_that_was_lost_comes_when_the_origin_tries_again),
		cmocka_unit_test(a_sibling_goes_on_with_what_it_holds),
		cmocka_unit_test(what_no_sibling_holds_is_given_up_after_what_stands_before_it),
		cmocka_unit_test(a_path_that_opens_begins_with_what_is_held),
		cmocka_unit_test(full_buffers_give_way_and_are_counted),
		cmocka_unit_test(what_nobody_speaks_of_any_more_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
