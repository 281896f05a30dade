/* The registry: one entry a peer, one peer a position, and who may have which. */
#include "test/unit/support.h"

#include <stdlib.h>
#include <string.h>

#include "overlay/registry.h"

#define RESERVE 100u
#define KEEP    1000u

struct fixture {
	_Alignas(64) uint8_t memory[16384];
	struct perron_registry registry;
	uint64_t now_ns;
	bool wait;
};

static struct fixture *make(uint32_t entries, uint8_t levels)
{
	const struct perron_registry_rules rules = {
		.entry_count_max = entries,
		.level_count = levels,
		.span = 2,
		.cell_size = 2,
		.reserve_ns = RESERVE,
		.keep_ns = KEEP,
	};
	struct fixture *f = aligned_alloc(64, sizeof(*f));

	memset(f, 0, sizeof(*f));
	struct perron_arena a = perron_arena_of(f->memory, perron_registry_size(&rules));
	assert_true(a.size <= sizeof(f->memory));
	perron_registry_init(&f->registry, &a, &rules, 7);
	assert_int_equal(a.used, a.size);
	perron_registry_check(&f->registry);
	return f;
}

static struct perron_position at(const char *text)
{
	struct perron_position p;

	assert_int_equal(perron_position_parse(text, &p), 0);
	return p;
}

static struct perron_party party(uint32_t id, uint32_t incarnation)
{
	return (struct perron_party){id, incarnation, {id, 7400}};
}

static struct perron_registry_entry *assign(struct fixture *f, uint32_t id, const char *wish)
{
	struct perron_party who = party(id, 1);
	struct perron_position p = at(wish ? wish : "0");
	struct perron_registry_entry *e = perron_registry_assign(
		&f->registry, f->now_ns, &who, wish ? &p : NULL, &f->wait);

	perron_registry_check(&f->registry);
	return e;
}

static bool confirm_of(struct fixture *f, uint32_t id, uint32_t incarnation, uint32_t attempt,
		       const char *text)
{
	struct perron_party who = party(id, incarnation);
	struct perron_position p = at(text);
	bool stands = perron_registry_confirm(&f->registry, f->now_ns, &who, attempt, &p);

	perron_registry_check(&f->registry);
	return stands;
}

static bool confirm(struct fixture *f, uint32_t id, const char *text)
{
	return confirm_of(f, id, 1, 0, text);
}

static void assert_at(const struct perron_registry_entry *e, const char *text)
{
	struct perron_position want = at(text);

	assert_non_null(e);
	assert_true(perron_position_equal(&e->position, &want));
}

static void the_highest_free_place_is_given_cell_by_cell(void **state)
{
	static const char *const places[] = {"0.0#1",   "0.0#2",   "0.1#1",   "0.1#2",
					     "0.0.0#1", "0.0.0#2", "0.0.1#1", "0.0.1#2",
					     "0.1.0#1", "0.1.0#2", "0.1.1#1", "0.1.1#2"};
	struct fixture *f = make(20, 3);

	(void)state;
	for (uint32_t i = 0; i < 12; i++) {
		assert_at(assign(f, 10 + i, NULL), places[i]);
		assert_true(confirm(f, 10 + i, places[i]));
	}
	assert_null(assign(f, 99, NULL)); /* the tree is full; a place may come free */
	assert_true(f->wait);
	perron_registry_remove(&f->registry, 13);
	assert_at(assign(f, 99, NULL), "0.1#2");
	free(f);
}

/* Below a cell whose members only reserved their places nobody can find a parent. */
static void nothing_is_given_below_a_cell_that_is_not_confirmed(void **state)
{
	struct fixture *f = make(20, 3);

	(void)state;
	for (uint32_t id = 1; id <= 4; id++)
		assert_non_null(assign(f, id, NULL));
	assert_null(assign(f, 5, NULL));
	assert_true(f->wait);
	assert_null(assign(f, 5, "0.0.1"));
	assert_true(f->wait);
	assert_true(confirm(f, 1, "0.0#1"));
	assert_at(assign(f, 5, "0.0.1"), "0.0.1#1");
	assert_null(assign(f, 6, "0.1.0"));
	assert_at(assign(f, 6, NULL), "0.0.1#2"); /* a cell begun is completed first */
	free(f);
}

static void a_wish_is_granted_if_it_can_be_had(void **state)
{
	struct fixture *f = make(20, 3);

	(void)state;
	assert_at(assign(f, 1, "0.1#2"), "0.1#2");
	assert_at(assign(f, 2, "0.1#2"), "0.1#1"); /* taken: another of its cell */
	assert_at(assign(f, 3, "0.1"), "0.0#1");   /* full: another cell */
	/* What is no place of this tree is no wish. */
	assert_at(assign(f, 4, "0.7"), "0.0#2");
	perron_registry_remove(&f->registry, 4);
	assert_at(assign(f, 4, "0.0.0.0"), "0.0#2");
	perron_registry_remove(&f->registry, 4);
	assert_at(assign(f, 4, "0#1"), "0.0#2"); /* the root cell is not given out */
	perron_registry_remove(&f->registry, 4);
	assert_at(assign(f, 4, "0.0#3"), "0.0#2");
	free(f);
}

static void a_peer_has_one_entry(void **state)
{
	struct fixture *f = make(20, 3);

	(void)state;
	assert_non_null(assign(f, 1, NULL));
	expect_assert_failure((void)assign(f, 1, NULL));
	assert_ptr_equal(perron_registry_find(&f->registry, 1), &f->registry.entries[0]);
	assert_null(perron_registry_find(&f->registry, 2));
	free(f);
}

static void a_full_registry_says_that_waiting_is_no_use(void **state)
{
	struct fixture *f = make(2, 3);

	(void)state;
	assert_non_null(assign(f, 1, NULL));
	assert_non_null(assign(f, 2, NULL));
	assert_null(assign(f, 3, NULL));
	assert_false(f->wait);
	assert_false(confirm(f, 3, "0.1#1"));
	free(f);
}

static void a_reservation_and_a_lease_run_out(void **state)
{
	struct fixture *f = make(20, 3);

	(void)state;
	assert_non_null(assign(f, 1, NULL));
	assert_non_null(assign(f, 2, NULL));
	assert_true(confirm(f, 1, "0.0#1"));
	perron_registry_expire(&f->registry, RESERVE - 1);
	assert_non_null(perron_registry_find(&f->registry, 2));
	perron_registry_expire(&f->registry, RESERVE);
	assert_null(perron_registry_find(&f->registry, 2));
	f->now_ns = 500;
	assert_true(confirm(f, 1, "0.0#1"));
	perron_registry_expire(&f->registry, 500 + KEEP - 1);
	assert_non_null(perron_registry_find(&f->registry, 1));
	perron_registry_expire(&f->registry, 500 + KEEP);
	perron_registry_check(&f->registry);
	assert_null(perron_registry_find(&f->registry, 1));
	assert_int_equal(f->registry.cell_count, 1); /* the cell went with its last member */
	free(f);
}

static void a_position_has_one_holder(void **state)
{
	struct fixture *f = make(20, 3);

	(void)state;
	assert_true(confirm(f, 1, "0.0#1")); /* given out by another coordinator */
	assert_false(confirm(f, 2, "0.0#1"));
	assert_null(perron_registry_find(&f->registry, 2));
	assert_false(confirm(f, 1, "0.1#1")); /* the same life and attempt: one place */
	assert_at(perron_registry_find(&f->registry, 1), "0.0#1");
	free(f);
}

static void what_is_no_place_is_not_confirmed(void **state)
{
	static const char *const places[] = {"0", "0#1", "0.0", "0.2#1", "0.0#3", "0.0.0.0#1"};
	struct fixture *f = make(20, 3);

	(void)state;
	for (uint32_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		assert_false(confirm(f, 1, places[i]));
	assert_int_equal(f->registry.entry_count, 0);
	free(f);
}

static void a_later_attempt_or_life_moves_and_an_earlier_does_not(void **state)
{
	struct fixture *f = make(20, 3);

	(void)state;
	assert_true(confirm_of(f, 1, 5, 3, "0.0#1"));
	assert_false(confirm_of(f, 1, 5, 2, "0.0#1"));
	assert_false(confirm_of(f, 1, 4, 9, "0.0#1"));
	assert_at(perron_registry_find(&f->registry, 1), "0.0#1");
	assert_true(confirm_of(f, 1, 5, 4, "0.1#1"));
	assert_true(confirm_of(f, 1, 6, 0, "0.1#2"));
	assert_at(perron_registry_find(&f->registry, 1), "0.1#2");
	assert_int_equal(f->registry.entry_count, 1);
	free(f);
}

static void members_are_in_the_order_of_their_slots(void **state)
{
	struct fixture *f = make(20, 3);
	struct perron_members members;
	struct perron_position cell = at("0.0#2");

	(void)state;
	assert_true(confirm(f, 2, "0.0#2"));
	assert_non_null(assign(f, 1, "0.0#1"));
	assert_true(confirm(f, 3, "0.1#1"));
	perron_registry_members(&f->registry, &cell, 0, false, &members);
	assert_int_equal(members.count, 2);
	assert_int_equal(members.items[0].party.id, 1);
	assert_int_equal(members.items[0].slot, 1);
	assert_int_equal(members.items[1].party.id, 2);
	perron_registry_members(&f->registry, &cell, 2, false, &members);
	assert_int_equal(members.count, 1);
	assert_int_equal(members.items[0].party.id, 1);
	perron_registry_members(&f->registry, &cell, 0, true, &members);
	assert_int_equal(members.count, 1);
	assert_int_equal(members.items[0].party.id, 2);
	free(f);
}

static void a_confirmation_follows_the_peers_endpoint(void **state)
{
	struct fixture *f = make(20, 3);
	struct perron_party who = party(1, 1);
	struct perron_position p = at("0.0#1");

	(void)state;
	assert_true(confirm(f, 1, "0.0#1"));
	who.endpoint.address = 77;
	assert_true(perron_registry_confirm(&f->registry, 0, &who, 0, &p));
	assert_int_equal(perron_registry_find(&f->registry, 1)->party.endpoint.address, 77);
	free(f);
}

static void cleared_it_knows_nobody_and_can_be_filled(void **state)
{
	struct fixture *f = make(12, 3);

	(void)state;
	for (uint32_t round = 0; round < 3; round++) {
		assert_true(confirm(f, 1, "0.0#1"));
		assert_true(confirm(f, 2, "0.1#1"));
		assert_non_null(assign(f, 3, "0.1.1"));
		perron_registry_clear(&f->registry);
		perron_registry_check(&f->registry);
		assert_int_equal(f->registry.entry_count, 0);
		assert_null(perron_registry_find(&f->registry, 1));
		assert_null(assign(f, 4, "0.1.1"));
	}
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_highest_free_place_is_given_cell_by_cell),
		cmocka_unit_test(nothing_is_given_below_a_cell_that_is_not_confirmed),
		cmocka_unit_test(a_wish_is_granted_if_it_can_be_had),
		cmocka_unit_test(a_peer_has_one_entry),
		cmocka_unit_test(a_full_registry_says_that_waiting_is_no_use),
		cmocka_unit_test(a_reservation_and_a_lease_run_out),
		cmocka_unit_test(a_position_has_one_holder),
		cmocka_unit_test(what_is_no_place_is_not_confirmed),
		cmocka_unit_test(a_later_attempt_or_life_moves_and_an_earlier_does_not),
		cmocka_unit_test(members_are_in_the_order_of_their_slots),
		cmocka_unit_test(a_confirmation_follows_the_peers_endpoint),
		cmocka_unit_test(cleared_it_knows_nobody_and_can_be_filled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
