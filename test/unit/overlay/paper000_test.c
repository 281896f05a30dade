/*
 * Paper 000 (DAEM), section III.B: a test a sentence. The sentences are ours; the letters are the
 * paper's paragraphs.
 */
#include "test/unit/support.h"

#include "test/unit/overlay/world.h"

#define ROOT_A 1
#define ROOT_B 2

/* Two root peers and the peers of `wishes`, from 3 on, given time to join. */
static struct world *tree(const char *const *wishes, uint32_t count)
{
	struct world *w = world_make(2, 3, 2, 2);

	world_add(w, ROOT_A, NULL);
	world_add(w, ROOT_B, NULL);
	for (uint32_t i = 0; i < count; i++)
		world_add(w, 3 + i, wishes[i]);
	world_run(w, 8000);
	return w;
}

/* The demo's shape: 7 cells of 2 in 3 levels; peers 7 to 14 are the leaves. */
static struct world *full_tree(void)
{
	static const char *const wishes[] = {"0.0",   "0.0",   "0.1",   "0.1",   "0.0.0", "0.0.0",
					     "0.0.1", "0.0.1", "0.1.0", "0.1.0", "0.1.1", "0.1.1"};

	return tree(wishes, 12);
}

static void assert_joined(struct world *w, uint32_t id)
{
	struct perron_view v = world_view(w, id);

	if (v.state != PERRON_OVERLAY_JOINED)
		fail_msg("peer %u is %s: %s", id, perron_overlay_state_name(v.state), v.why);
}

/* a: "request for a binding cell ... made to the root cell, that replies with a suitable cell" */
static void the_root_cell_replies_with_a_suitable_cell(void **state)
{
	struct world *w = tree((const char *[]){NULL, NULL, NULL}, 3);

	(void)state;
	uint32_t first = 0;
	for (uint32_t id = 3; id <= 5; id++) {
		struct perron_view v = world_view(w, id);
		assert_joined(w, id);
		assert_int_equal(v.position.level, 1);
		first += v.position.branch[0] == 0;
	}
	assert_int_equal(first, 2); /* a cell is completed before another is begun */
	assert_true(w->types[PERRON_TYPE_BINDING_REQUEST] >= 3);
	world_free(w);
}

/* a: "the joining peer binds to the cell" */
static void the_joining_peer_binds_to_its_siblings(void **state)
{
	struct world *w = tree((const char *[]){"0.0", "0.0"}, 2);
	struct perron_view v = world_view(w, 4);
	bool bound = false;

	(void)state;
	for (uint32_t i = 0; i < v.neighbour_count; i++)
		bound = bound || (v.neighbours[i].party.id == 3 && v.neighbours[i].up &&
				  (v.neighbours[i].roles & PERRON_ROLE_SIBLING));
	assert_true(bound);
	assert_int_equal(v.coordinator, v.position.slot == 1 ? 4 : 3);
	world_free(w);
}

/* a: "request a parent peer in the cell immediately above" */
static void the_parent_is_in_the_cell_above(void **state)
{
	struct world *w = full_tree();

	(void)state;
	for (uint32_t id = 3; id <= 14; id++) {
		struct perron_view v = world_view(w, id);
		assert_joined(w, id);
		assert_true(v.parent != 0);
		struct perron_view p = world_view(w, v.parent);
		struct perron_position above = perron_position_parent(&v.position);
		assert_true(perron_position_same_cell(&p.position, &above));
	}
	world_free(w);
}

/* a: "propagated until it reaches the root cell ... the reply is propagated downwards" */
static void the_join_climbs_and_the_root_validates_it(void **state)
{
	struct world *w = full_tree();
	struct perron_view root = world_view(w, ROOT_A);

	(void)state;
	assert_true(root.is_root_coordinator);
	for (uint32_t id = 2; id <= 14; id++)
		assert_true(world_view(w, id).epoch == root.epoch);
	world_free(w);
}

/* a: "if its parent fails ... find a new suitable parent in the same cell" */
static void an_orphan_finds_a_parent_in_the_same_cell(void **state)
{
	struct world *w = full_tree();
	uint32_t lost = world_view(w, 7).parent;
	struct perron_position before = world_view(w, 7).position;

	(void)state;
	world_kill(w, lost);
	world_run(w, 1000);
	struct perron_view v = world_view(w, 7);
	assert_joined(w, 7);
	assert_true(v.parent != lost);
	assert_true(perron_position_equal(&v.position, &before));
	world_free(w);
}

/* a: "if all the peers in a cell fail then the overlay must re-structure itself" */
static void a_lost_cell_is_restructured(void **state)
{
	struct world *w = full_tree();

	(void)state;
	world_kill(w, 3);
	world_kill(w, 4); /* cell 0.0 is gone: 7 to 10 were below it */
	world_run(w, 20000);
	for (uint32_t id = 5; id <= 14; id++)
		assert_joined(w, id);
	world_free(w);
}

/* The root's coordinator is lost: the next root peer takes over, nobody loses its place. */
static void the_next_root_peer_coordinates(void **state)
{
	struct world *w = full_tree();
	struct perron_position before = world_view(w, 9).position;

	(void)state;
	world_kill(w, ROOT_A);
	world_run(w, 6000);
	assert_true(world_view(w, ROOT_B).is_root_coordinator);
	for (uint32_t id = 3; id <= 14; id++)
		assert_joined(w, id);
	struct perron_view v = world_view(w, 9);
	assert_true(perron_position_equal(&v.position, &before));
	world_free(w);
}

/* A crashed peer that comes back is taken in again, in its own place. */
static void a_restarted_peer_rejoins(void **state)
{
	struct world *w = full_tree();
	struct perron_position before = world_view(w, 5).position;

	(void)state;
	world_kill(w, 5);
	world_run(w, 500);
	world_add(w, 5, NULL);
	world_run(w, 8000);
	assert_joined(w, 5);
	struct perron_view v = world_view(w, 5);
	assert_true(perron_position_equal(&v.position, &before));
	world_free(w);
}

/* b: "clients connect through the root ... discovery ... a path is established" */
static void a_path_leads_from_the_sensor_to_the_client(void **state)
{
	struct world *w = full_tree();

	(void)state;
	world_attach(w, 9, "track/9");
	world_run(w, 1500);
	int s = world_subscribe(w, "track/9", PERRON_CLASS_ALARM, 0);
	assert_true(s >= 0);
	world_run(w, 300);
	struct perron_subscription_info info = world_subscription(w, s);
	assert_int_equal(info.state, PERRON_SUBSCRIPTION_ACTIVE);
	assert_int_equal(info.hops, 3);
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(world_offer(w, 9, "track/9", 4180), PERRON_OFFER_ACCEPTED);
		world_run(w, 5);
	}
	world_run(w, 100);
	info = world_subscription(w, s);
	assert_int_equal(w->delivered, 100);
	assert_int_equal(info.delivered, 300);
	assert_int_equal(info.lost, 0);
	assert_int_equal(info.duplicates, 0);
	world_free(w);
}

/* b: "maximum allowed latency": a bound under the path's estimate is refused. */
static void an_impossible_latency_is_refused(void **state)
{
	struct world *w = full_tree();

	(void)state;
	world_attach(w, 9, "track/9");
	world_run(w, 1500);
	int s = world_subscribe(w, "track/9", PERRON_CLASS_ALARM, 10);
	world_run(w, 300);
	struct perron_subscription_info info = world_subscription(w, s);
	assert_int_equal(info.state, PERRON_SUBSCRIPTION_REFUSED);
	assert_int_equal(info.verdict, PERRON_VERDICT_LATENCY);
	world_free(w);
}

static void an_unknown_sensor_gets_a_clear_no(void **state)
{
	struct world *w = full_tree();

	(void)state;
	int s = world_subscribe(w, "no/such", PERRON_CLASS_NORMAL, 0);
	world_run(w, 500);
	assert_int_equal(world_subscription(w, s).state, PERRON_SUBSCRIPTION_ASKING);
	world_run(w, 1500);
	struct perron_subscription_info info = world_subscription(w, s);
	assert_int_equal(info.state, PERRON_SUBSCRIPTION_REFUSED);
	assert_int_equal(info.verdict, PERRON_VERDICT_UNKNOWN_SENSOR);
	world_free(w);
}

/* c: "wait for the acknowledgement until a timeout ... retries a predefined number of times" */
static void the_origin_retries_until_it_is_acknowledged(void **state)
{
	struct world *w = full_tree();
	struct perron_relay_counters counters;

	(void)state;
	world_attach(w, 9, "track/9");
	world_run(w, 1500);
	int s = world_subscribe(w, "track/9", PERRON_CLASS_ALARM, 0);
	world_run(w, 300);
	w->cut = world_view(w, 9).parent;
	world_offer(w, 9, "track/9", 418);
	world_run(w, 60);
	assert_int_equal(w->delivered, 0);
	w->cut = 0;
	world_run(w, 200);
	assert_int_equal(w->delivered, 1);
	perron_relay_counters_read(w->peers[9].relay, &counters);
	assert_true(counters.retried > 0);
	assert_int_equal(world_subscription(w, s).lost, 0);
	world_free(w);
}

/* d: what the sensor's peer still holds goes on by another way when a peer of the path dies. */
static void a_stream_goes_on_when_a_relay_of_its_path_dies(void **state)
{
	struct world *w = full_tree();
	uint64_t sent = 0;

	(void)state;
	world_attach(w, 9, "track/9");
	world_run(w, 1500);
	int s = world_subscribe(w, "track/9", PERRON_CLASS_ALARM, 0);
	world_run(w, 300);
	for (uint32_t i = 0; i < 200; i++) {
		if (i == 20)
			world_kill(w, world_view(w, 9).parent);
		assert_int_equal(world_offer(w, 9, "track/9", 418), PERRON_OFFER_ACCEPTED);
		sent++;
		world_run(w, 10);
	}
	world_run(w, 4000);
	assert_int_equal(w->delivered, sent);
	assert_int_equal(world_subscription(w, s).lost, 0);
	world_free(w);
}

/* ... and at once: what waits is sent when the new way opens, not at the next time-out. */
static void what_waits_is_sent_when_the_new_way_opens(void **state)
{
	struct world *w = full_tree();

	(void)state;
	world_attach(w, 9, "track/9");
	world_run(w, 1500);
	int s = world_subscribe(w, "track/9", PERRON_CLASS_ALARM, 0);
	world_run(w, 300);
	world_kill(w, world_subscription(w, s).peer);
	for (uint32_t i = 0; i < 40; i++) {
		world_offer(w, 9, "track/9", 418);
		world_run(w, 10);
	}
	uint64_t moved = world_subscription(w, s).moved;
	uint32_t ms = 0;
	for (; ms < 6000 && (world_subscription(w, s).moved == moved ||
			     world_subscription(w, s).state != PERRON_SUBSCRIPTION_ACTIVE);
	     ms++)
		world_run(w, 1);
	assert_true(ms < 6000);
	world_run(w, 30);
	assert_int_equal(w->delivered, 40);
	world_free(w);
}

/* The client's own root peer dies: it goes on at another, from where it was. */
static void a_client_moves_to_another_root_peer(void **state)
{
	struct world *w = full_tree();
	uint64_t sent = 0;

	(void)state;
	world_attach(w, 9, "track/9");
	world_run(w, 1500);
	int s = world_subscribe(w, "track/9", PERRON_CLASS_ALARM, 0);
	world_run(w, 300);
	for (uint32_t i = 0; i < 400; i++) {
		if (i == 20)
			world_kill(w, world_subscription(w, s).peer);
		if (world_offer(w, 9, "track/9", 418) == PERRON_OFFER_ACCEPTED)
			sent++;
		world_run(w, 10);
	}
	world_run(w, 6000);
	assert_int_equal(sent, 400);
	assert_int_equal(w->delivered, sent);
	assert_int_equal(world_subscription(w, s).lost, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_root_cell_replies_with_a_suitable_cell),
		cmocka_unit_test(the_joining_peer_binds_to_its_siblings),
		cmocka_unit_test(the_parent_is_in_the_cell_above),
		cmocka_unit_test(the_join_climbs_and_the_root_validates_it),
		cmocka_unit_test(an_orphan_finds_a_parent_in_the_same_cell),
		cmocka_unit_test(a_lost_cell_is_restructured),
		cmocka_unit_test(the_next_root_peer_coordinates),
		cmocka_unit_test(a_restarted_peer_rejoins),
		cmocka_unit_test(a_path_leads_from_the_sensor_to_the_client),
		cmocka_unit_test(an_impossible_latency_is_refused),
		cmocka_unit_test(an_unknown_sensor_gets_a_clear_no),
		cmocka_unit_test(the_origin_retries_until_it_is_acknowledged),
		cmocka_unit_test(a_stream_goes_on_when_a_relay_of_its_path_dies),
		cmocka_unit_test(what_waits_is_sent_when_the_new_way_opens),
		cmocka_unit_test(a_client_moves_to_another_root_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
