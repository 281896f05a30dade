/*
 * P3 alone, driven by events made by hand: whom it believes, and what a message that comes late,
 * twice, or from somebody else does not do. The stories are in paper000_test.c.
 */
#include "test/unit/support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "overlay/control.h"
#include "overlay/membership.h"
#include "overlay/p3.h"
#include "overlay/verdict.h"

#define MS     UINT64_C(1000000)
#define T0     (1000000 * MS)
#define ROOT   1 /* the portal's first */
#define ROOT_B 2
#define SELF   5
#define TWIN   6 /* our sibling */
#define CHILD  7
#define CHILD_B 8
#define LIFE   40
#define CLIENT (PERRON_CLIENT_ID | 3)
#define SENSOR "track/7"

struct rig {
	struct perron_overlay_config cfg;
	struct perron_overlay *overlay;
	uint64_t now_ns;
	uint32_t join_nonce;
	struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
	uint8_t arena[PERRON_EFFECT_ARENA_SIZE];
	struct perron_effects out;
};

static struct rig *rig_make(uint32_t self)
{
	struct rig *g = calloc(1, sizeof(*g));

	g->now_ns = T0;
	perron_overlay_config_default(&g->cfg);
	g->cfg.peer = self;
	g->cfg.incarnation = LIFE;
	g->cfg.endpoint = (struct perron_endpoint){self, 7400};
	g->cfg.portal_count = 2;
	g->cfg.portal[0] = (struct perron_portal){ROOT, {ROOT, 7400}};
	g->cfg.portal[1] = (struct perron_portal){ROOT_B, {ROOT_B, 7400}};
	g->cfg.registry_count_max = 8;
	g->cfg.directory_count_max = 3;
	g->cfg.path_count_max = 4;
	g->cfg.branch_count_max = 2;
	g->overlay = aligned_alloc(64, (perron_p3_ops.size(&g->cfg) + 63) & ~(size_t)63);
	g->out = (struct perron_effects){.items = g->items,
					 .capacity = PERRON_EFFECT_COUNT_MAX,
					 .arena = g->arena,
					 .arena_size = PERRON_EFFECT_ARENA_SIZE};
	assert_int_equal(perron_p3_ops.init(g->overlay, &g->cfg, g->now_ns), 0);
	return g;
}

static void rig_free(struct rig *g)
{
	free(g->overlay);
	free(g);
}

static struct perron_position at(const char *text)
{
	struct perron_position p;

	assert_int_equal(perron_position_parse(text, &p), 0);
	return p;
}

static struct perron_party party(uint32_t id)
{
	return (struct perron_party){.id = id, .incarnation = 10, .endpoint = {id, 7400}};
}

static void tick(struct rig *g)
{
	perron_effects_reset(&g->out);
	perron_p3_ops.tick(g->overlay, g->now_ns, &g->out);
	perron_p3_ops.check(g->overlay, g->now_ns);
}

static void tick_after(struct rig *g, uint64_t ms)
{
	g->now_ns += ms * MS;
	tick(g);
}

static void event_give(struct rig *g, const struct perron_event *event)
{
	perron_effects_reset(&g->out);
	perron_p3_ops.event(g->overlay, g->now_ns, event, &g->out);
	perron_p3_ops.check(g->overlay, g->now_ns);
}

static void control_of(struct rig *g, struct perron_party from, bool linked, uint8_t type,
		       const uint8_t *payload, uint32_t size)
{
	struct perron_event *event = calloc(1, sizeof(*event) + PERRON_PAYLOAD_SIZE_MAX);

	event->kind = PERRON_EVENT_CONTROL;
	event->type = type;
	event->linked = linked;
	event->party = from;
	event->payload_size = size;
	if (size)
		memcpy(event->payload, payload, size);
	event_give(g, event);
	free(event);
}

/* GIVE(g, from, linked, BIND, bind, { fields }) */
#define GIVE(g, from, linked, type, message, ...)                                                  \
	do {                                                                                       \
		uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];                                          \
		const struct perron_##message m = __VA_ARGS__;                                     \
		control_of(g, from, linked, PERRON_TYPE_##type, payload,                           \
			   perron_##message##_write(payload, &m));                                 \
	} while (0)

static void link_event(struct rig *g, uint8_t kind, uint32_t peer)
{
	event_give(g, &(struct perron_event){.kind = kind, .party = party(peer)});
}

static const struct perron_command *commanded(const struct rig *g, uint8_t kind, uint8_t type,
					      uint32_t to)
{
	for (uint32_t i = 0; i < g->out.count; i++) {
		const struct perron_command *c = (const void *)g->out.items[i].data;
		if (g->out.items[i].kind == PERRON_EFFECT_COMMAND && c->kind == kind &&
		    (kind != PERRON_COMMAND_SEND || c->type == type) && c->party.id == to)
			return c;
	}
	return NULL;
}

static const struct perron_command *sent(const struct rig *g, uint8_t type, uint32_t to)
{
	return commanded(g, PERRON_COMMAND_SEND, type, to);
}

static uint64_t drops(const struct rig *g, enum perron_drop cause)
{
	return perron_p3_ops.drops(g->overlay)[cause];
}

static struct perron_view view(const struct rig *g)
{
	struct perron_view v;

	perron_p3_ops.view(g->overlay, g->now_ns, &v);
	return v;
}

static uint8_t roles_of(const struct rig *g, uint32_t peer)
{
	struct perron_view v = view(g);

	for (uint32_t i = 0; i < v.neighbour_count; i++)
		if (v.neighbours[i].party.id == peer)
			return v.neighbours[i].roles;
	return 0;
}

static void join_reply(struct rig *g, uint32_t nonce, uint8_t verdict)
{
	GIVE(g, party(ROOT), true, JOIN_REPLY, join_reply,
	     {.joiner = SELF,
	      .joiner_incarnation = LIFE,
	      .nonce = nonce,
	      .verdict = verdict,
	      .epoch = 9,
	      .route_count = 1,
	      .route = {SELF},
	      .siblings = {.count = 1, .items = {{party(TWIN), 2}}},
	      .parents = {.count = 1, .items = {{party(ROOT), 1}}}});
}

static uint32_t nonce_sent(struct rig *g)
{
	const struct perron_command *c = sent(g, PERRON_TYPE_JOIN, ROOT);
	struct perron_join join;

	assert_non_null(c);
	assert_true(perron_join_read(c->payload, c->payload_size, &join));
	return join.nonce;
}

static void binding_reply(struct rig *g, uint32_t from)
{
	GIVE(g, party(from), false, BINDING_REPLY, binding_reply,
	     {.verdict = PERRON_VERDICT_OK,
	      .position = at("0.0#1"),
	      .parents = {.count = 1, .items = {{party(ROOT), 1}}}});
}

/* Peer 5 at 0.0#1 below the root, its join sent and not answered yet. */
static struct rig *joining(void)
{
	struct rig *g = rig_make(SELF);

	tick(g);
	assert_true(sent(g, PERRON_TYPE_BINDING_REQUEST, ROOT) ||
		    sent(g, PERRON_TYPE_BINDING_REQUEST, ROOT_B));
	binding_reply(g, ROOT);
	tick(g);
	tick(g);
	assert_non_null(sent(g, PERRON_TYPE_PARENT_REQUEST, ROOT));
	GIVE(g, party(ROOT), false, PARENT_REPLY, bind_reply,
	     {.verdict = PERRON_VERDICT_OK, .position = at("0#1")});
	assert_non_null(commanded(g, PERRON_COMMAND_LINK_OPEN, 0, ROOT));
	link_event(g, PERRON_EVENT_LINK_UP, ROOT);
	tick(g);
	g->join_nonce = nonce_sent(g);
	assert_int_equal(view(g).state, PERRON_OVERLAY_JOINING);
	return g;
}

static struct rig *joined(void)
{
	struct rig *g = joining();

	join_reply(g, g->join_nonce, PERRON_VERDICT_OK);
	assert_int_equal(view(g).state, PERRON_OVERLAY_JOINED);
	return g;
}

static void child_add(struct rig *g, uint32_t id, const char *position)
{
	GIVE(g, party(id), false, PARENT_REQUEST, bind, {.position = at(position)});
	assert_non_null(sent(g, PERRON_TYPE_PARENT_REPLY, id));
	link_event(g, PERRON_EVENT_LINK_UP, id);
	assert_int_equal(roles_of(g, id), PERRON_ROLE_CHILD);
}

static void twin_add(struct rig *g)
{
	GIVE(g, party(TWIN), false, BIND, bind, {.position = at("0.0#2")});
	link_event(g, PERRON_EVENT_LINK_UP, TWIN);
	assert_int_equal(roles_of(g, TWIN), PERRON_ROLE_SIBLING);
}

/* --- the lease --- */

static void the_lease_counts_from_the_question(void **state)
{
	struct rig *g = joining();
	uint64_t asked_ns = g->now_ns;

	(void)state;
	g->now_ns += 500 * MS;
	join_reply(g, g->join_nonce, PERRON_VERDICT_OK);
	assert_int_equal(view(g).lease_until_ns, asked_ns + g->cfg.lease_ns);
	rig_free(g);
}

/* It asked twice, both were answered; the second answer comes after the first. */
static void a_second_answer_does_not_end_the_lease(void **state)
{
	struct rig *g = joining();

	(void)state;
	tick_after(g, 150);
	assert_int_equal(nonce_sent(g), g->join_nonce);
	join_reply(g, g->join_nonce, PERRON_VERDICT_OK);
	uint64_t until_ns = view(g).lease_until_ns;
	join_reply(g, g->join_nonce, PERRON_VERDICT_OK);
	assert_int_equal(view(g).lease_until_ns, until_ns);
	assert_int_equal(drops(g, PERRON_DROP_DUPLICATE), 1);
	tick(g);
	assert_int_equal(view(g).state, PERRON_OVERLAY_JOINED);
	rig_free(g);
}

static void an_answer_to_another_question_is_none(void **state)
{
	struct rig *g = joining();

	(void)state;
	join_reply(g, g->join_nonce + 1, PERRON_VERDICT_OK);
	join_reply(g, g->join_nonce - 1, PERRON_VERDICT_CONFLICT);
	assert_int_equal(view(g).state, PERRON_OVERLAY_JOINING);
	assert_int_equal(drops(g, PERRON_DROP_DUPLICATE), 2);
	rig_free(g);
}

static void a_conflict_gives_the_place_up(void **state)
{
	struct rig *g = joining();

	(void)state;
	twin_add(g);
	join_reply(g, g->join_nonce, PERRON_VERDICT_CONFLICT);
	assert_int_equal(view(g).state, PERRON_OVERLAY_BINDING);
	assert_int_equal(view(g).neighbour_count, 0);
	/* Both are told, and both links closed. */
	assert_non_null(sent(g, PERRON_TYPE_LEAVE, ROOT));
	assert_non_null(sent(g, PERRON_TYPE_LEAVE, TWIN));
	assert_non_null(commanded(g, PERRON_COMMAND_LINK_CLOSE, 0, ROOT));
	assert_non_null(commanded(g, PERRON_COMMAND_LINK_CLOSE, 0, TWIN));
	rig_free(g);
}

static void a_lease_that_ran_out_ends_the_place(void **state)
{
	struct rig *g = joined();

	(void)state;
	g->now_ns = view(g).lease_until_ns - 1;
	tick(g);
	assert_int_equal(view(g).state, PERRON_OVERLAY_JOINED);
	g->now_ns++;
	assert_int_equal(view(g).state, PERRON_OVERLAY_BINDING);
	/* Who is not joined is nobody's parent. */
	GIVE(g, party(CHILD), false, PARENT_REQUEST, bind, {.position = at("0.0.0#1")});
	assert_int_equal(roles_of(g, CHILD), 0);
	tick(g);
	assert_int_equal(view(g).parent, 0);
	rig_free(g);
}

/* --- whom it believes --- */

static void only_the_root_cell_gives_places(void **state)
{
	struct rig *g = rig_make(SELF);

	(void)state;
	tick(g);
	binding_reply(g, 99);
	assert_int_equal(drops(g, PERRON_DROP_STRANGER), 1);
	assert_int_equal(view(g).state, PERRON_OVERLAY_BINDING);
	binding_reply(g, ROOT_B);
	assert_int_equal(view(g).state, PERRON_OVERLAY_BIND);
	rig_free(g);
}

static void a_client_is_no_peer_and_a_peer_no_client(void **state)
{
	struct rig *g = joined();

	(void)state;
	GIVE(g, party(CLIENT), false, BIND, bind, {.position = at("0.0#2")});
	GIVE(g, party(CLIENT), false, PARENT_REQUEST, bind, {.position = at("0.0.0#1")});
	assert_int_equal(view(g).neighbour_count, 1);
	assert_int_equal(drops(g, PERRON_DROP_STRANGER), 2);
	GIVE(g, party(99), false, SUBSCRIBE, subscribe, {.name = SENSOR});
	GIVE(g, party(99), false, UNSUBSCRIBE, path_teardown, {.stream = 1});
	assert_int_equal(drops(g, PERRON_DROP_STRANGER), 4);
	assert_int_equal(g->out.count, 0);
	rig_free(g);
}

static void what_needs_a_link_needs_it(void **state)
{
	static const uint8_t types[] = {
		PERRON_TYPE_JOIN,     PERRON_TYPE_JOIN_REPLY, PERRON_TYPE_LEAVE,
		PERRON_TYPE_DISCOVER, PERRON_TYPE_ADVERTISE,  PERRON_TYPE_PATH_SETUP,
		PERRON_TYPE_PATH_REPLY, PERRON_TYPE_PATH_TEARDOWN};
	struct rig *g = joined();

	(void)state;
	child_add(g, CHILD, "0.0.0#1");
	for (uint32_t i = 0; i < sizeof(types); i++) {
		control_of(g, party(ROOT), false, types[i], NULL, 0);
		assert_int_equal(drops(g, PERRON_DROP_STRANGER), i + 1);
	}
	control_of(g, party(ROOT), true, 255, NULL, 0);
	control_of(g, party(ROOT), true, PERRON_TYPE_ACK, NULL, 0);
	assert_int_equal(drops(g, PERRON_DROP_TYPE), 2);
	assert_int_equal(view(g).state, PERRON_OVERLAY_JOINED);
	rig_free(g);
}

static void each_role_may_say_its_own(void **state)
{
	struct rig *g = joined();
	struct perron_party other_life = party(CHILD);

	(void)state;
	child_add(g, CHILD, "0.0.0#1");
	twin_add(g);
	uint64_t strangers = drops(g, PERRON_DROP_STRANGER);
	/* A join comes from below; its answer, and a path's set-up, from above. */
	GIVE(g, party(ROOT), true, JOIN, join,
	     {.joiner = party(ROOT), .route_count = 1, .route = {ROOT}});
	GIVE(g, party(CHILD), true, JOIN_REPLY, join_reply, {.route_count = 1, .route = {SELF}});
	GIVE(g, party(CHILD), true, PATH_SETUP, path_setup,
	     {.stream = perron_stream_id(SENSOR), .name = SENSOR});
	GIVE(g, party(TWIN), true, PATH_SETUP, path_setup,
	     {.stream = perron_stream_id(SENSOR), .name = SENSOR});
	GIVE(g, party(ROOT), true, PATH_REPLY, path_reply, {.stream = 1});
	GIVE(g, party(ROOT), true, DISCOVER, discover,
	     {.asker = party(ROOT), .ttl = 3, .name = SENSOR});
	/* A child's sensors are below us, a sibling's beside. */
	GIVE(g, party(CHILD), true, ADVERTISE, advertise, {.lateral = 1});
	GIVE(g, party(TWIN), true, ADVERTISE, advertise, {.lateral = 0});
	GIVE(g, party(ROOT), true, ADVERTISE, advertise, {.lateral = 0});
	other_life.incarnation++;
	GIVE(g, other_life, true, ADVERTISE, advertise, {.lateral = 0});
	assert_int_equal(drops(g, PERRON_DROP_STRANGER), strangers + 10);
	GIVE(g, party(CHILD), true, ADVERTISE, advertise, {.lateral = 0});
	GIVE(g, party(TWIN), true, ADVERTISE, advertise, {.lateral = 1});
	assert_int_equal(drops(g, PERRON_DROP_STRANGER), strangers + 10);
	rig_free(g);
}

/* A frame of a neighbour's earlier life was long on its way. */
static void an_earlier_life_changes_nothing(void **state)
{
	struct rig *g = joined();
	struct perron_party earlier = party(CHILD);

	(void)state;
	child_add(g, CHILD, "0.0.0#1");
	earlier.incarnation--;
	GIVE(g, earlier, false, PARENT_REQUEST, bind, {.position = at("0.0.1#1")});
	assert_int_equal(drops(g, PERRON_DROP_INCARNATION), 1);
	assert_null(commanded(g, PERRON_COMMAND_LINK_OPEN, 0, CHILD));
	assert_int_equal(roles_of(g, CHILD), PERRON_ROLE_CHILD);
	/* A later one takes its place. */
	earlier.incarnation += 2;
	GIVE(g, earlier, false, PARENT_REQUEST, bind, {.position = at("0.0.1#1")});
	assert_int_equal(commanded(g, PERRON_COMMAND_LINK_OPEN, 0, CHILD)->party.incarnation,
			 earlier.incarnation);
	/* And what is heard of the link with the earlier is nobody's. */
	link_event(g, PERRON_EVENT_LINK_DOWN, CHILD);
	assert_int_equal(roles_of(g, CHILD), PERRON_ROLE_CHILD);
	rig_free(g);
}

static void an_orphan_asks_the_cell_above_and_keeps_its_place(void **state)
{
	struct rig *g = joined();

	(void)state;
	link_event(g, PERRON_EVENT_LINK_DOWN, ROOT);
	assert_non_null(commanded(g, PERRON_COMMAND_LINK_CLOSE, 0, ROOT));
	assert_int_equal(view(g).state, PERRON_OVERLAY_ORPHAN);
	tick(g);
	assert_non_null(sent(g, PERRON_TYPE_PARENT_REQUEST, ROOT));
	/* Not of the cell above: no parent. */
	GIVE(g, party(ROOT_B), false, PARENT_REPLY, bind_reply,
	     {.verdict = PERRON_VERDICT_OK, .position = at("0.1#1")});
	assert_int_equal(view(g).state, PERRON_OVERLAY_ORPHAN);
	GIVE(g, party(ROOT_B), false, PARENT_REPLY, bind_reply,
	     {.verdict = PERRON_VERDICT_OK, .position = at("0#2")});
	assert_int_equal(view(g).state, PERRON_OVERLAY_JOINED);
	assert_int_equal(view(g).parent, ROOT_B);
	rig_free(g);
}

/* --- sensors and paths --- */

static void advertise(struct rig *g, uint32_t via, bool lateral, uint32_t stamp)
{
	GIVE(g, party(via), true, ADVERTISE, advertise,
	     {.lateral = lateral,
	      .count = 1,
	      .items = {{.name = SENSOR, .owner = 70, .owner_incarnation = 1, .stamp = stamp,
			 .term = 1}}});
}

static int attach(struct rig *g, const char *name)
{
	return perron_p3_ops.attach(g->overlay, g->now_ns, name, &g->out);
}

static void a_full_directory_attaches_nothing(void **state)
{
	struct rig *g = rig_make(SELF);

	(void)state;
	perron_effects_reset(&g->out);
	assert_int_equal(attach(g, "bad name"), -EINVAL);
	assert_int_equal(attach(g, "a"), 0);
	assert_int_equal(attach(g, "a"), -EEXIST);
	assert_int_equal(attach(g, "b"), 0);
	assert_int_equal(attach(g, "c"), 0);
	assert_int_equal(g->out.count, 3);
	assert_int_equal(attach(g, "d"), -ENOSPC);
	assert_int_equal(g->out.count, 3);
	rig_free(g);
}

static void what_is_beside_us_is_not_passed_on(void **state)
{
	struct rig *g = joined();

	(void)state;
	twin_add(g);
	advertise(g, TWIN, true, 5);
	tick_after(g, 600);
	assert_null(sent(g, PERRON_TYPE_ADVERTISE, ROOT));
	child_add(g, CHILD, "0.0.0#1");
	advertise(g, CHILD, false, 6);
	tick_after(g, 10);
	assert_non_null(sent(g, PERRON_TYPE_ADVERTISE, ROOT));
	/* Gone with the neighbour that it was reached by. */
	control_of(g, party(CHILD), true, PERRON_TYPE_LEAVE, NULL, 0);
	struct perron_sensor_view sensors[4];
	assert_int_equal(perron_p3_ops.sensors(g->overlay, sensors, 4), 0);
	rig_free(g);
}

static void path_setup(struct rig *g, uint32_t latency_us)
{
	GIVE(g, party(ROOT), true, PATH_SETUP, path_setup,
	     {.stream = perron_stream_id(SENSOR), .latency_us = latency_us, .spent_us = 100,
	      .hops = 1, .name = SENSOR});
}

/* A path for ROOT's branch, by the child that has the sensor. */
static struct rig *with_path(void)
{
	struct rig *g = joined();

	child_add(g, CHILD, "0.0.0#1");
	child_add(g, CHILD_B, "0.0.0#2");
	advertise(g, CHILD, false, 5);
	path_setup(g, 0);
	assert_non_null(commanded(g, PERRON_COMMAND_BRANCH_OPEN, 0, ROOT));
	assert_non_null(commanded(g, PERRON_COMMAND_UPSTREAM, 0, CHILD));
	return g;
}

static void path_reply(struct rig *g, uint32_t from, uint8_t verdict, uint64_t start)
{
	GIVE(g, party(from), true, PATH_REPLY, path_reply,
	     {.stream = perron_stream_id(SENSOR), .verdict = verdict, .start = start,
	      .latency_us = 200});
}

static void only_the_upstream_answers_for_a_path(void **state)
{
	struct rig *g = with_path();

	(void)state;
	path_reply(g, CHILD_B, PERRON_VERDICT_OK, 50);
	assert_int_equal(g->out.count, 0);
	path_reply(g, CHILD_B, PERRON_VERDICT_UNKNOWN_SENSOR, 0);
	assert_int_equal(g->out.count, 0);
	path_reply(g, CHILD, PERRON_VERDICT_OK, 0);
	path_reply(g, CHILD, PERRON_VERDICT_OK, UINT64_MAX);
	assert_int_equal(g->out.count, 0);
	assert_int_equal(drops(g, PERRON_DROP_MALFORMED), 2);
	path_reply(g, CHILD, PERRON_VERDICT_OK, 50);
	assert_int_equal(commanded(g, PERRON_COMMAND_START, 0, 0)->sequence, 50);
	rig_free(g);
}

static void a_bound_below_the_estimate_is_refused(void **state)
{
	struct rig *g = with_path();
	struct perron_path_reply m;

	(void)state;
	path_reply(g, CHILD, PERRON_VERDICT_OK, 50);
	path_setup(g, 299);
	const struct perron_command *c = sent(g, PERRON_TYPE_PATH_REPLY, ROOT);
	assert_non_null(c);
	assert_true(perron_path_reply_read(c->payload, c->payload_size, &m));
	assert_int_equal(m.verdict, PERRON_VERDICT_LATENCY);
	assert_int_equal(m.refuser, SELF);
	path_setup(g, 300);
	assert_null(sent(g, PERRON_TYPE_PATH_REPLY, ROOT));
	rig_free(g);
}

static uint8_t setup_verdict(struct rig *g, uint8_t replicas, bool firm, uint8_t *possible)
{
	struct perron_path_reply answer;

	GIVE(g, party(ROOT), true, PATH_SETUP, path_setup,
	     {.stream = perron_stream_id(SENSOR), .hops = 1, .firm = firm, .name = SENSOR,
	      .qos = {.replication = PERRON_REPLICATION_ACTIVE, .replicas = replicas}});
	const struct perron_command *c = sent(g, PERRON_TYPE_PATH_REPLY, ROOT);
	if (!c)
		return PERRON_VERDICT_OK;
	assert_true(perron_path_reply_read(c->payload, c->payload_size, &answer));
	*possible = answer.replicas;
	return answer.verdict;
}

/* A stream that begins has what it asks for; one that stood goes on with what there is. */
static void too_few_siblings_refuse_a_stream_only_as_it_begins(void **state)
{
	struct rig *g = joined();
	uint8_t possible;

	(void)state;
	child_add(g, CHILD, "0.0.0#1");
	advertise(g, CHILD, false, 5);
	assert_int_equal(setup_verdict(g, 15, true, &possible), PERRON_VERDICT_REPLICAS);
	assert_true(possible < 15);
	assert_null(commanded(g, PERRON_COMMAND_BRANCH_OPEN, 0, ROOT));
	assert_int_equal(setup_verdict(g, 15, false, &possible), PERRON_VERDICT_OK);
	assert_non_null(commanded(g, PERRON_COMMAND_BRANCH_OPEN, 0, ROOT));
	rig_free(g);
}

/* Make before break: the old way is told when the new one has answered. */
static void the_old_way_is_told_when_the_new_one_answered(void **state)
{
	struct rig *g = with_path();

	(void)state;
	path_reply(g, CHILD, PERRON_VERDICT_OK, 50);
	advertise(g, CHILD_B, false, 6);
	tick_after(g, 1);
	assert_non_null(commanded(g, PERRON_COMMAND_UPSTREAM, 0, CHILD_B));
	assert_null(sent(g, PERRON_TYPE_PATH_TEARDOWN, CHILD));
	path_reply(g, CHILD_B, PERRON_VERDICT_OK, 50);
	assert_non_null(sent(g, PERRON_TYPE_PATH_TEARDOWN, CHILD));
	path_reply(g, CHILD_B, PERRON_VERDICT_OK, 50);
	assert_null(sent(g, PERRON_TYPE_PATH_TEARDOWN, CHILD));
	rig_free(g);
}

static void a_way_that_is_lost_is_looked_for_at_once(void **state)
{
	struct rig *g = with_path();

	(void)state;
	path_reply(g, CHILD, PERRON_VERDICT_OK, 50);
	tick(g);
	assert_true(perron_p3_ops.deadline_ns(g->overlay) > g->now_ns);
	link_event(g, PERRON_EVENT_LINK_DOWN, CHILD);
	assert_true(perron_p3_ops.deadline_ns(g->overlay) <= g->now_ns);
	rig_free(g);
}

static void branch_ready(struct rig *g, uint32_t peer)
{
	event_give(g, &(struct perron_event){.kind = PERRON_EVENT_BRANCH_READY,
					     .stream = perron_stream_id(SENSOR),
					     .party = party(peer),
					     .sequence = 50});
}

/* The relay is told at once; here it keeps the path for those that its clients come by. */
static void a_branch_whose_peer_is_gone_ends_when_another_is_served(void **state)
{
	struct rig *g = with_path();

	(void)state;
	path_reply(g, CHILD, PERRON_VERDICT_OK, 50);
	branch_ready(g, ROOT);
	link_event(g, PERRON_EVENT_LINK_DOWN, ROOT);
	assert_int_equal(commanded(g, PERRON_COMMAND_BRANCH_CLOSE, 0, ROOT)->value,
			 PERRON_BRANCH_GONE);
	tick_after(g, 1);
	GIVE(g, party(ROOT_B), false, PARENT_REPLY, bind_reply,
	     {.verdict = PERRON_VERDICT_OK, .position = at("0#2")});
	GIVE(g, party(ROOT_B), true, PATH_SETUP, path_setup,
	     {.stream = perron_stream_id(SENSOR), .hops = 1, .resume = 50, .name = SENSOR});
	assert_non_null(commanded(g, PERRON_COMMAND_BRANCH_OPEN, 0, ROOT_B));
	assert_null(commanded(g, PERRON_COMMAND_BRANCH_CLOSE, 0, ROOT));
	branch_ready(g, ROOT_B);
	assert_non_null(commanded(g, PERRON_COMMAND_BRANCH_CLOSE, 0, ROOT));
	rig_free(g);
}

static void a_branch_ends_by_its_own_life_or_with_time(void **state)
{
	struct rig *g = with_path();
	struct perron_party other_life = party(ROOT);
	struct perron_overlay_path_view paths[4];

	(void)state;
	other_life.incarnation++;
	GIVE(g, other_life, true, PATH_TEARDOWN, path_teardown,
	     {.stream = perron_stream_id(SENSOR)});
	assert_int_equal(drops(g, PERRON_DROP_WRONG_BRANCH), 1);
	assert_int_equal(perron_p3_ops.paths(g->overlay, paths, 4), 1);
	GIVE(g, party(ROOT), true, PATH_TEARDOWN, path_teardown,
	     {.stream = perron_stream_id(SENSOR)});
	assert_non_null(commanded(g, PERRON_COMMAND_BRANCH_CLOSE, 0, ROOT));
	assert_non_null(sent(g, PERRON_TYPE_PATH_TEARDOWN, CHILD));
	assert_int_equal(perron_p3_ops.paths(g->overlay, paths, 4), 0);
	path_setup(g, 0);
	g->now_ns += 2 * g->cfg.lease_ns - 1;
	tick(g);
	assert_int_equal(perron_p3_ops.paths(g->overlay, paths, 4), 1);
	tick_after(g, 1000);
	assert_int_equal(perron_p3_ops.paths(g->overlay, paths, 4), 0);
	assert_non_null(commanded(g, PERRON_COMMAND_BRANCH_CLOSE, 0, ROOT));
	rig_free(g);
}

/* --- the root's coordinator --- */

static uint8_t binding_verdict(struct rig *g, struct perron_party who, uint32_t attempt)
{
	struct perron_binding_reply reply;

	GIVE(g, who, false, BINDING_REQUEST, binding_request, {.attempt = attempt});
	const struct perron_command *c = sent(g, PERRON_TYPE_BINDING_REPLY, who.id);
	if (!c)
		return UINT8_MAX;
	assert_true(perron_binding_reply_read(c->payload, c->payload_size, &reply));
	return reply.verdict;
}

/* The first of the portal, elected; its predecessor's leases may still run. */
static struct rig *reigning(void)
{
	struct rig *g = rig_make(ROOT);

	tick_after(g, 501);
	assert_true(view(g).is_root_coordinator);
	return g;
}

static void places_are_given_when_the_leases_before_have_run_out(void **state)
{
	struct rig *g = reigning();

	(void)state;
	assert_int_equal(binding_verdict(g, party(9), 0), PERRON_VERDICT_WAIT);
	g->now_ns += g->cfg.lease_ns + g->cfg.lease_ns / 4 - 1;
	assert_int_equal(binding_verdict(g, party(9), 0), PERRON_VERDICT_WAIT);
	g->now_ns++;
	assert_int_equal(binding_verdict(g, party(9), 0), PERRON_VERDICT_OK);
	rig_free(g);
}

static void one_id_is_one_station(void **state)
{
	struct rig *g = reigning();
	struct perron_party impostor = party(9), late = party(9);

	(void)state;
	g->now_ns += 2 * g->cfg.lease_ns;
	assert_int_equal(binding_verdict(g, party(9), 3), PERRON_VERDICT_OK);
	assert_int_equal(binding_verdict(g, party(9), 3), PERRON_VERDICT_OK); /* answer lost */
	impostor.endpoint.address = 66;
	impostor.incarnation++;
	assert_int_equal(binding_verdict(g, impostor, 0), PERRON_VERDICT_DUPLICATE);
	assert_int_equal(binding_verdict(g, party(9), 2), UINT8_MAX);
	late.incarnation--;
	assert_int_equal(binding_verdict(g, late, 9), UINT8_MAX);
	assert_int_equal(drops(g, PERRON_DROP_DUPLICATE), 2);
	rig_free(g);
}

/* The cell's group says who is in it; `cell`: as P3 told its relay. */
static void view_give(struct rig *g, uint64_t cell, uint32_t number, bool transitional,
		      uint32_t first, uint32_t second)
{
	struct perron_event *event = calloc(1, sizeof(*event) + sizeof(struct perron_group_view));
	struct perron_group_view v = {
		.id = {number, first, 10},
		.cell = cell,
		.transitional = transitional,
		.member_count = second ? 2 : 1,
		.members = {{.peer = first, .incarnation = 10, .slot = 1},
			    {.peer = second, .incarnation = 10, .slot = 2}},
	};

	event->kind = PERRON_EVENT_VIEW;
	event->payload_size = sizeof(v);
	memcpy(event->payload, &v, sizeof(v));
	event_give(g, event);
	free(event);
}

static void owner_says(struct rig *g, uint32_t owner, uint32_t term)
{
	GIVE(g, party(owner), true, ADVERTISE, advertise,
	     {.lateral = true,
	      .count = 1,
	      .items = {{.name = SENSOR, .owner = owner, .owner_incarnation = 10, .stamp = 5,
			 .term = term, .life = 900}}});
}

/* ROOT publishes a sensor that hangs on ROOT_B as well. */
static struct rig *standing_by(uint64_t *cell)
{
	struct rig *g = rig_make(ROOT_B);

	tick_after(g, 501);
	*cell = commanded(g, PERRON_COMMAND_CELL, 0, 0)->sequence;
	GIVE(g, party(ROOT), false, BIND, bind, {.position = at("0#1")});
	link_event(g, PERRON_EVENT_LINK_UP, ROOT);
	view_give(g, *cell, 2, false, ROOT, ROOT_B);
	perron_effects_reset(&g->out);
	assert_int_equal(attach(g, SENSOR), 0);
	assert_int_equal(commanded(g, PERRON_COMMAND_STREAM_OPEN, 0, 0)->value, 1);
	owner_says(g, ROOT, 1);
	assert_int_equal(commanded(g, PERRON_COMMAND_STREAM_OPEN, 0, 0)->value, 1);
	tick_after(g, 1000);
	view_give(g, *cell, 3, false, ROOT, ROOT_B);
	return g;
}

static void who_stands_by_publishes_when_the_owner_has_left_the_view(void **state)
{
	uint64_t cell;
	struct rig *g = standing_by(&cell);

	(void)state;
	owner_says(g, ROOT, 1);
	view_give(g, cell, 4, false, ROOT_B, 0);
	const struct perron_command *c = commanded(g, PERRON_COMMAND_STREAM_OPEN, 0, ROOT);
	assert_non_null(c);
	assert_int_equal(c->value, 0);
	assert_int_equal(c->party.incarnation, 10);
	/* If nothing of it is known, its numbers begin above all of the last owner's. */
	assert_true(c->sequence >> 32 > 900);
	/* Who comes back in an earlier term stands by; in a later one it is we who do. */
	owner_says(g, ROOT, 1);
	assert_null(commanded(g, PERRON_COMMAND_STREAM_OPEN, 0, ROOT));
	owner_says(g, ROOT, 3);
	c = commanded(g, PERRON_COMMAND_STREAM_OPEN, 0, ROOT);
	assert_non_null(c);
	assert_int_equal(c->value, 1);
	rig_free(g);
}

/* Most of the cell went at once: perhaps it was not they who went. */
static void who_is_left_alone_by_most_doubts_it_for_a_lease(void **state)
{
	struct perron_event *event = calloc(1, sizeof(*event) + sizeof(struct perron_group_view));
	uint64_t cell;
	struct rig *g = standing_by(&cell);
	struct perron_group_view v = {
		.id = {5, ROOT, 10},
		.cell = cell,
		.member_count = 3,
		.members = {{.peer = ROOT, .incarnation = 10}, {.peer = ROOT_B}, {.peer = 9}},
	};

	(void)state;
	event->kind = PERRON_EVENT_VIEW;
	event->payload_size = sizeof(v);
	memcpy(event->payload, &v, sizeof(v));
	event_give(g, event);
	owner_says(g, ROOT, 1);
	view_give(g, cell, 6, false, ROOT_B, 0);
	assert_null(commanded(g, PERRON_COMMAND_STREAM_OPEN, 0, ROOT));
	tick_after(g, g->cfg.lease_ns / MS);
	assert_non_null(commanded(g, PERRON_COMMAND_STREAM_OPEN, 0, ROOT));
	free(event);
	rig_free(g);
}

static void the_relay_is_told_of_the_cell_until_it_knows(void **state)
{
	struct rig *g = rig_make(ROOT);

	(void)state;
	assert_int_equal(perron_p3_ops.deadline_ns(g->overlay), 0);
	tick(g);
	const struct perron_command *c = commanded(g, PERRON_COMMAND_CELL, 0, 0);
	assert_non_null(c);
	assert_true(c->sequence != 0);
	assert_int_equal(c->value, 1);
	tick(g);
	assert_null(commanded(g, PERRON_COMMAND_CELL, 0, 0));
	GIVE(g, party(ROOT_B), false, BIND, bind, {.position = at("0#2")});
	c = commanded(g, PERRON_COMMAND_LINK_OPEN, 0, ROOT_B);
	assert_non_null(c);
	assert_int_equal(c->value, 1);
	rig_free(g);
}

static void a_child_is_told_whom_else_it_could_have(void **state)
{
	struct rig *g = rig_make(ROOT_B);
	struct perron_members members;

	(void)state;
	tick_after(g, 501);
	uint64_t cell = commanded(g, PERRON_COMMAND_CELL, 0, 0)->sequence;
	GIVE(g, party(ROOT), false, BIND, bind, {.position = at("0#1")});
	GIVE(g, party(CHILD), false, PARENT_REQUEST, bind, {.position = at("0.0#1")});
	const struct perron_command *c = sent(g, PERRON_TYPE_MEMBERS, CHILD);
	assert_non_null(c);
	assert_true(perron_members_read(c->payload, c->payload_size, &members));
	assert_int_equal(members.count, 1);
	view_give(g, cell, 2, false, ROOT, ROOT_B);
	c = sent(g, PERRON_TYPE_MEMBERS, CHILD);
	assert_non_null(c);
	assert_true(perron_members_read(c->payload, c->payload_size, &members));
	assert_int_equal(members.count, 2);
	assert_int_equal(members.items[0].party.id, ROOT_B);
	assert_int_equal(members.items[1].party.id, ROOT);
	/* The same view again, a transitional one, and another cell's say nothing new. */
	view_give(g, cell, 2, false, ROOT, ROOT_B);
	assert_null(sent(g, PERRON_TYPE_MEMBERS, CHILD));
	view_give(g, cell, 3, true, ROOT_B, 0);
	assert_null(sent(g, PERRON_TYPE_MEMBERS, CHILD));
	view_give(g, cell + 1, 4, false, ROOT_B, 0);
	assert_null(sent(g, PERRON_TYPE_MEMBERS, CHILD));
	assert_int_equal(view(g).coordinator, ROOT);
	rig_free(g);
}

static void a_coordinator_yields_and_begins_anew(void **state)
{
	struct rig *g = rig_make(ROOT_B);

	(void)state;
	tick_after(g, 501);
	uint64_t cell = commanded(g, PERRON_COMMAND_CELL, 0, 0)->sequence;
	assert_true(view(g).is_root_coordinator);
	g->now_ns += 2 * g->cfg.lease_ns;
	assert_int_equal(binding_verdict(g, party(9), 0), PERRON_VERDICT_OK);
	/* Bound and linked, but not in the view: that does not count. */
	GIVE(g, party(ROOT), false, BIND, bind, {.position = at("0#1")});
	link_event(g, PERRON_EVENT_LINK_UP, ROOT);
	view_give(g, cell, 1, false, ROOT_B, 0);
	assert_true(view(g).is_root_coordinator);
	assert_int_equal(view(g).coordinator, ROOT_B);
	view_give(g, cell, 2, false, ROOT, ROOT_B);
	assert_false(view(g).is_root_coordinator);
	assert_int_equal(view(g).coordinator, ROOT);
	assert_int_equal(binding_verdict(g, party(9), 0), PERRON_VERDICT_REDIRECT);
	view_give(g, cell, 3, false, ROOT_B, 0);
	assert_true(view(g).is_root_coordinator);
	/* What it knew of the leases is out of date: another may hold 9's place by now. */
	struct perron_join_reply reply;
	child_add(g, 30, "0.0#1");
	GIVE(g, party(30), true, JOIN, join,
	     {.joiner = party(30), .position = at("0.0#1"), .route_count = 1, .route = {30}});
	const struct perron_command *c = sent(g, PERRON_TYPE_JOIN_REPLY, 30);
	assert_non_null(c);
	assert_true(perron_join_reply_read(c->payload, c->payload_size, &reply));
	assert_int_equal(reply.verdict, PERRON_VERDICT_OK);
	assert_int_equal(binding_verdict(g, party(9), 0), PERRON_VERDICT_WAIT);
	g->now_ns += 2 * g->cfg.lease_ns;
	tick(g);
	struct perron_party moved = party(9);
	moved.endpoint.address = 66;
	assert_int_equal(binding_verdict(g, moved, 0), PERRON_VERDICT_OK);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lease_counts_from_the_question),
		cmocka_unit_test(a_second_answer_does_not_end_the_lease),
		cmocka_unit_test(an_answer_to_another_question_is_none),
		cmocka_unit_test(a_conflict_gives_the_place_up),
		cmocka_unit_test(a_lease_that_ran_out_ends_the_place),
		cmocka_unit_test(only_the_root_cell_gives_places),
		cmocka_unit_test(a_client_is_no_peer_and_a_peer_no_client),
		cmocka_unit_test(what_needs_a_link_needs_it),
		cmocka_unit_test(each_role_may_say_its_own),
		cmocka_unit_test(an_earlier_life_changes_nothing),
		cmocka_unit_test(an_orphan_asks_the_cell_above_and_keeps_its_place),
		cmocka_unit_test(a_full_directory_attaches_nothing),
		cmocka_unit_test(what_is_beside_us_is_not_passed_on),
		cmocka_unit_test(only_the_upstream_answers_for_a_path),
		cmocka_unit_test(a_bound_below_the_estimate_is_refused),
		cmocka_unit_test(too_few_siblings_refuse_a_stream_only_as_it_begins),
		cmocka_unit_test(the_old_way_is_told_when_the_new_one_answered),
		cmocka_unit_test(a_way_that_is_lost_is_looked_for_at_once),
		cmocka_unit_test(a_branch_whose_peer_is_gone_ends_when_another_is_served),
		cmocka_unit_test(a_branch_ends_by_its_own_life_or_with_time),
		cmocka_unit_test(places_are_given_when_the_leases_before_have_run_out),
		cmocka_unit_test(one_id_is_one_station),
		cmocka_unit_test(who_stands_by_publishes_when_the_owner_has_left_the_view),
		cmocka_unit_test(who_is_left_alone_by_most_doubts_it_for_a_lease),
		cmocka_unit_test(the_relay_is_told_of_the_cell_until_it_knows),
		cmocka_unit_test(a_child_is_told_whom_else_it_could_have),
		cmocka_unit_test(a_coordinator_yields_and_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
