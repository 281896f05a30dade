/* The path: branches, acknowledgements and floors, rule by rule. */
#include "test/unit/support.h"

#include <string.h>

#include "overlay/path.h"

#define BRANCHES 3

struct fixture {
	struct perron_branch branches[BRANCHES];
	struct perron_path path;
};

static struct perron_party party(uint32_t id)
{
	return (struct perron_party){.id = id, .incarnation = 1, .endpoint = {id, 7400}};
}

static struct perron_branch *branch_asking(struct fixture *f, uint32_t id, uint64_t asked)
{
	struct perron_party who = party(id);
	struct perron_branch *b = perron_path_branch_open(&f->path, BRANCHES, &who, asked);

	assert_non_null(b);
	if (f->path.started && !b->started)
		perron_path_branch_start(&f->path, b, false);
	perron_path_check(&f->path);
	return b;
}

/* A path of frames 100 to 300, of which all to 199 were acknowledged upstream. */
static void make(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->path = (struct perron_path){.stream = 1, .used = true, .branches = f->branches};
	perron_path_start(&f->path, 100);
	f->path.high = 300;
	perron_path_said(&f->path, &(struct perron_ack){.cumulative = 199});
	perron_path_check(&f->path);
}

static bool acknowledge(struct fixture *f, struct perron_branch *b, uint64_t cumulative,
			uint64_t bitmap)
{
	bool taken = perron_path_acknowledge(&f->path, b,
					     &(struct perron_ack){cumulative, bitmap});

	perron_path_check(&f->path);
	return taken;
}

static void assert_aggregate(struct fixture *f, uint64_t cumulative, uint64_t bitmap)
{
	struct perron_ack all = perron_path_aggregate(&f->path);

	assert_int_equal(all.cumulative, cumulative);
	assert_int_equal(all.bitmap, bitmap);
}

static void a_path_starts_where_its_upstream_serves_it(void **state)
{
	struct fixture f = {0};

	(void)state;
	f.path = (struct perron_path){.stream = 1, .used = true, .branches = f.branches};
	perron_path_start(&f.path, 100);
	assert_true(f.path.started);
	assert_int_equal(f.path.floor, 100);
	assert_int_equal(f.path.acked.cumulative, 99);
	assert_int_equal(f.path.high, 99);
	expect_assert_failure(perron_path_start(&f.path, 0));
}

static void a_later_start_raises_the_floor_and_never_lowers_it(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	perron_path_start(&f.path, 150);
	assert_int_equal(f.path.floor, 200);
	perron_path_start(&f.path, 200); /* where it is */
	assert_int_equal(f.path.floor, 200);
	perron_path_start(&f.path, 250);
	assert_int_equal(f.path.floor, 250);
	assert_int_equal(f.path.high, 300);
	perron_path_start(&f.path, 400);
	assert_int_equal(f.path.floor, 400);
	assert_int_equal(f.path.high, 399);
	perron_path_check(&f.path);
}

static void a_branch_is_served_from_where_it_asked_if_that_can_be_had(void **state)
{
	static const struct {
		uint64_t asked, served;
	} cases[] = {
		{0, 301},   /* the present */
		{250, 250}, {200, 200},
		{150, 200}, /* acknowledged upstream: gone there */
		{301, 301}, {999, 301}, {UINT64_MAX, 301},
	};

	(void)state;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture f;
		make(&f);
		struct perron_branch *b = branch_asking(&f, 1, cases[i].asked);
		assert_true(b->started);
		assert_int_equal(b->ack.cumulative + 1, cases[i].served);
	}
}

static void a_branch_is_not_served_below_the_floor(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	perron_path_start(&f.path, 260);
	assert_int_equal(branch_asking(&f, 1, 210)->ack.cumulative + 1, 260);
}

static void a_branch_waits_for_the_path_to_start(void **state)
{
	struct fixture f = {0};

	(void)state;
	f.path = (struct perron_path){.stream = 1, .used = true, .branches = f.branches};
	struct perron_branch *b = branch_asking(&f, 1, 0);
	assert_false(b->started);
	assert_false(acknowledge(&f, b, 0, 0));
	expect_assert_failure(perron_path_branch_start(&f.path, b, false));
}

static void the_table_of_branches_has_an_end(void **state)
{
	struct fixture f;
	struct perron_party who = party(4);

	(void)state;
	make(&f);
	for (uint32_t id = 1; id <= BRANCHES; id++)
		branch_asking(&f, id, 0);
	assert_null(perron_path_branch_open(&f.path, BRANCHES, &who, 0));
	assert_true(perron_path_branch_close(&f.path, 2));
	assert_false(perron_path_branch_close(&f.path, 2));
	assert_non_null(perron_path_branch(&f.path, 1));
	assert_non_null(perron_path_branch(&f.path, 3));
	branch_asking(&f, 4, 0);
	assert_int_equal(f.path.branch_count, BRANCHES);
}

static void a_branch_renewed_goes_on_and_moves(void **state)
{
	struct fixture f;
	struct perron_party who = party(1);

	(void)state;
	make(&f);
	struct perron_branch *b = branch_asking(&f, 1, 200);
	assert_true(acknowledge(&f, b, 220, 0));
	who.endpoint.address = 99;
	assert_ptr_equal(perron_path_branch_open(&f.path, BRANCHES, &who, 200), b);
	assert_int_equal(b->ack.cumulative, 220);
	assert_int_equal(b->party.endpoint.address, 99);
	assert_int_equal(f.path.branch_count, 1);
}

static void a_branch_of_another_life_starts_afresh(void **state)
{
	struct fixture f;
	struct perron_party who = party(1);

	(void)state;
	make(&f);
	struct perron_branch *b = branch_asking(&f, 1, 200);
	assert_true(acknowledge(&f, b, 220, 0));
	who.incarnation = 2;
	assert_ptr_equal(perron_path_branch_open(&f.path, BRANCHES, &who, 240), b);
	assert_false(b->started);
	assert_int_equal(b->asked, 240);
	assert_int_equal(f.path.branch_count, 1);
}

static void what_all_branches_have_is_the_aggregate(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	struct perron_branch *a = branch_asking(&f, 1, 200), *b = branch_asking(&f, 2, 200);
	assert_true(acknowledge(&f, a, 250, 0));
	assert_aggregate(&f, 199, 0);
	assert_true(acknowledge(&f, b, 240, 0));
	assert_aggregate(&f, 240, 0);
	/* 242 and 243 at one; the other has all to 250. */
	assert_true(acknowledge(&f, b, 240, 6));
	assert_aggregate(&f, 240, 6);
	assert_true(acknowledge(&f, b, 241, 0xff << 2)); /* 244 to 251: 251 is not the other's */
	assert_aggregate(&f, 241, 0x7f << 2);
	assert_true(acknowledge(&f, a, 250, 1));
	assert_int_equal(a->ack.cumulative, 251);
	assert_aggregate(&f, 241, 0xff << 2);
}

static void bitmaps_meet_at_any_distance(void **state)
{
	(void)state;
	/* The other's base is `by` above: all of it counts as bits below. */
	for (uint32_t by = 0; by < 70; by++) {
		struct fixture f;
		make(&f);
		struct perron_branch *a = branch_asking(&f, 1, 200);
		struct perron_branch *b = branch_asking(&f, 2, 200);
		assert_true(acknowledge(&f, a, 199, UINT64_C(1) << 63 | 2));
		assert_true(acknowledge(&f, b, 199 + by, 0));
		uint64_t want = by >= 64 ? UINT64_C(1) << 63 | 2 : by >= 2 ? 2 : 0;
		assert_aggregate(&f, 199, want);
	}
}

static void the_aggregate_of_none_is_what_was_said(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	assert_aggregate(&f, 199, 0);
}

/* What a branch can never get counts as had. */
static void the_floor_counts_as_acknowledged(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	struct perron_branch *a = branch_asking(&f, 1, 200), *b = branch_asking(&f, 2, 200);
	assert_true(acknowledge(&f, a, 205, 0x1f << 5)); /* 211 to 215 */
	assert_true(acknowledge(&f, b, 230, 0));
	perron_path_start(&f.path, 211);
	assert_aggregate(&f, 215, 0);
	a->floor = 221; /* given up for this one alone */
	assert_aggregate(&f, 220, 0);
	b->floor = 240;
	assert_aggregate(&f, 220, 0);
}

static void an_acknowledgement_of_what_was_not_sent_is_refused(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	struct perron_branch *b = branch_asking(&f, 1, 200);
	assert_false(acknowledge(&f, b, 301, 0));
	assert_false(acknowledge(&f, b, UINT64_MAX, 0));
	assert_false(acknowledge(&f, b, UINT64_MAX, 1));
	assert_false(acknowledge(&f, b, 300, 1));
	assert_false(acknowledge(&f, b, 237, UINT64_C(1) << 63));
	assert_int_equal(b->ack.cumulative, 199);
	assert_true(acknowledge(&f, b, 236, UINT64_C(1) << 63)); /* 300 */
	assert_true(acknowledge(&f, b, 300, 0));
}

static void an_old_acknowledgement_takes_nothing_back(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	struct perron_branch *b = branch_asking(&f, 1, 200);
	assert_true(acknowledge(&f, b, 220, 4));
	assert_true(acknowledge(&f, b, 210, 0));
	assert_int_equal(b->ack.cumulative, 220);
	assert_true(acknowledge(&f, b, 220, 2));
	assert_int_equal(b->ack.bitmap, 6);
}

/* Upstream lets go by what it was told: a bit may be taken back below, that number not. */
static void nothing_is_asked_for_below_what_was_said(void **state)
{
	struct fixture f;

	(void)state;
	make(&f);
	struct perron_branch *b = branch_asking(&f, 1, 200);
	assert_true(acknowledge(&f, b, 210, 0xff << 1)); /* 212 to 219 */
	perron_path_start(&f.path, 212);                 /* 211 will not come */
	struct perron_ack all = perron_path_aggregate(&f.path);
	assert_int_equal(all.cumulative, 219);
	perron_path_said(&f.path, &all);
	assert_int_equal(f.path.floor, 220);
	assert_true(acknowledge(&f, b, 211, 0)); /* and the bits are gone */
	assert_aggregate(&f, 219, 0);
	perron_path_said(&f.path, &(struct perron_ack){.cumulative = 205});
	assert_int_equal(f.path.acked.cumulative, 219);
	assert_int_equal(f.path.floor, 220);
	expect_assert_failure(perron_path_said(&f.path, &(struct perron_ack){.cumulative = 301}));
}

static void a_number_is_had_by_base_or_bit(void **state)
{
	struct perron_ack ack = {.cumulative = 10, .bitmap = UINT64_C(1) << 63 | 2};

	(void)state;
	assert_true(perron_ack_has(&ack, 0));
	assert_true(perron_ack_has(&ack, 10));
	assert_false(perron_ack_has(&ack, 11));
	assert_true(perron_ack_has(&ack, 12));
	assert_true(perron_ack_has(&ack, 74));
	assert_false(perron_ack_has(&ack, 75));
	assert_false(perron_ack_has(&ack, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_starts_where_its_upstream_serves_it),
		cmocka_unit_test(a_later_start_raises_the_floor_and_never_lowers_it),
		cmocka_unit_test(a_branch_is_served_from_where_it_asked_if_that_can_be_had),
		cmocka_unit_test(a_branch_is_not_served_below_the_floor),
		cmocka_unit_test(a_branch_waits_for_the_path_to_start),
		cmocka_unit_test(the_table_of_branches_has_an_end),
		cmocka_unit_test(a_branch_renewed_goes_on_and_moves),
		cmocka_unit_test(a_branch_of_another_life_starts_afresh),
		cmocka_unit_test(what_all_branches_have_is_the_aggregate),
		cmocka_unit_test(bitmaps_meet_at_any_distance),
		cmocka_unit_test(the_aggregate_of_none_is_what_was_said),
		cmocka_unit_test(the_floor_counts_as_acknowledged),
		cmocka_unit_test(an_acknowledgement_of_what_was_not_sent_is_refused),
		cmocka_unit_test(an_old_acknowledgement_takes_nothing_back),
		cmocka_unit_test(nothing_is_asked_for_below_what_was_said),
		cmocka_unit_test(a_number_is_had_by_base_or_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
