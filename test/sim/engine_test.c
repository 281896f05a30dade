/*
 * The engine with small scripted machines: what it promises to every machine, and that it notices
 * what a machine must not do. Each talker sends a numbered frame to the listener every 10 ms,
 * holds it until the answer comes, and reports each answer to its slow plane, which commands the
 * next class. The listener delivers what it gets, and answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "test/sim/sim.h"

#define TALKERS  5u
#define LISTENER TALKERS
#define PERIOD   (10 * SIM_MS)

enum sin { SIN_NONE, SIN_RELEASE_TWICE, SIN_USE_AFTER_LAST, SIN_ASSERT, SIN_LIVELOCK };

struct talker {
	uint32_t id;
	uint64_t next_ns;
	uint64_t sent;
	uint64_t handle;
	bool holds;
	uint8_t class;
	uint64_t commands;
	uint64_t late_ns;
};

struct minder {
	uint64_t events;
};

struct scene {
	struct sim sim;
	struct talker talkers[TALKERS];
	struct minder minders[TALKERS];
	struct talker listener;
	uint64_t delivered;
	uint64_t killed;
	uint64_t steps;
};

static enum sin sinning;

static struct perron_endpoint endpoint_of(uint32_t station)
{
	return (struct perron_endpoint){sim_address(station), 7400};
}

static void frame_make(struct talker *t, uint32_t to, uint64_t sequence,
		       struct perron_effects *out)
{
	uint8_t *frame = perron_effects_frame(out, 8);
	struct perron_header header = {
		.type = PERRON_TYPE_DATA,
		.class = t->class,
		.fragment_count = 1,
		.length = 8,
		.overlay = 1,
		.source = t->id,
		.destination = to,
		.stream = t->id,
		.sequence = sequence,
	};

	memcpy(frame + PERRON_HEADER_SIZE, "12345678", 8);
	perron_effects_send(out, frame, &header,
			    endpoint_of(to == LISTENER + 1 ? TALKERS : (to - 1) / 2));
}

static void talker_input(void *m, uint64_t now_ns, const struct perron_frame *in, uint32_t count,
			 struct perron_effects *out)
{
	struct talker *t = m;

	(void)now_ns;
	for (uint32_t i = 0; i < count; i++) {
		struct perron_event *event = perron_effects_event(out, 4);
		event->kind = PERRON_EVENT_CONTROL;
		memset(event->payload, 7, 4);
		if (t->holds) {
			perron_effects_release(out, t->handle);
			if (sinning == SIN_RELEASE_TWICE && t->sent == 20)
				perron_effects_release(out, t->handle);
		}
		t->holds = true;
		t->handle = in[i].handle;
		perron_effects_hold(out, in[i].handle);
	}
}

static int talker_command(void *m, uint64_t now_ns, const struct perron_command *command,
			  struct perron_effects *out)
{
	struct talker *t = m;

	(void)now_ns;
	(void)out;
	t->commands++;
	t->class = command->class;
	return 0;
}

static void talker_tick(void *m, uint64_t now_ns, struct perron_effects *out)
{
	struct talker *t = m;

	assert_true(now_ns >= t->next_ns);
	if (now_ns - t->next_ns > t->late_ns)
		t->late_ns = now_ns - t->next_ns;
	if (sinning == SIN_ASSERT)
		PERRON_ASSERT(t->sent < 30);
	if (sinning != SIN_LIVELOCK || t->sent < 5)
		t->next_ns += PERIOD;
	frame_make(t, LISTENER + 1, ++t->sent, out);
}

static uint64_t talker_deadline_ns(const void *m)
{
	return ((const struct talker *)m)->next_ns;
}

static void nothing_check(const void *m, uint64_t now_ns)
{
	(void)m;
	(void)now_ns;
}

static void minder_event(void *m, uint64_t now_ns, const struct perron_event *event,
			 struct perron_effects *out)
{
	struct minder *d = m;
	struct perron_command *command = perron_effects_command(out, 0);

	(void)now_ns;
	assert_int_equal(event->payload[3], 7);
	command->kind = PERRON_COMMAND_CLOCK;
	command->class = (uint8_t)(d->events++ % PERRON_CLASS_COUNT);
}

static uint64_t never_ns(const void *m)
{
	(void)m;
	return UINT64_MAX;
}

static void listener_input(void *m, uint64_t now_ns, const struct perron_frame *in, uint32_t count,
			   struct perron_effects *out)
{
	struct talker *t = m;

	(void)now_ns;
	for (uint32_t i = 0; i < count; i++) {
		struct perron_header header;
		struct perron_hop hop = {.source = t->id};
		if (perron_frame_decode(in[i].data, in[i].length, &header) != PERRON_DROP_NONE)
			continue;
		perron_effects_deliver(out, in[i].handle, header.source);
		hop.destination = header.source;
		perron_effects_forward(out, in[i].handle, in[i].from, header.class, &hop,
				       PERRON_EFFECT_LAST);
		if (sinning == SIN_USE_AFTER_LAST && header.sequence == 20)
			perron_effects_hold(out, in[i].handle);
	}
}

static const struct sim_machine_ops talker_ops = {
	.name = "talker", .input = talker_input, .command = talker_command,
	.tick = talker_tick, .deadline_ns = talker_deadline_ns, .check = nothing_check,
};
static const struct sim_machine_ops minder_ops = {
	.name = "minder", .event = minder_event, .deadline_ns = never_ns, .check = nothing_check,
};
static const struct sim_machine_ops listener_ops = {
	.name = "listener", .input = listener_input, .deadline_ns = never_ns,
	.check = nothing_check,
};

static void scene_deliver(struct sim *s, uint32_t node, uint32_t slot, uint32_t subscription)
{
	struct scene *scene = s->world;

	(void)slot;
	assert_int_equal(node, LISTENER);
	assert_in_range(subscription, 1, TALKERS);
	scene->delivered++;
}

static void scene_stepped(struct sim *s, uint32_t node, uint32_t plane, enum sim_step_kind kind)
{
	struct scene *scene = s->world;

	(void)node;
	(void)plane;
	(void)kind;
	scene->steps++;
}

static void scene_event(struct sim *s, const struct sim_event *event)
{
	s->nodes[event->index].crash_countdown = 1;
}

static void scene_killed(struct sim *s, uint32_t node)
{
	struct scene *scene = s->world;

	(void)node;
	scene->killed++;
}

static const struct sim_hooks scene_hooks = {
	.deliver = scene_deliver, .stepped = scene_stepped, .event = scene_event,
	.killed = scene_killed,
};

/* Three stations of talkers, two each but the last; then the listener's. */
static void scene_begin(struct scene *c, uint64_t seed)
{
	struct sim *s = &c->sim;

	memset(c, 0, sizeof(*c));
	sim_init(s, seed, TALKERS + 1, TALKERS + 1, &scene_hooks, c);
	s->hand_over_ns_max = SIM_MS;
	s->turn_ns_max = 10 * SIM_US;
	s->net.delay_ns_min = 50 * SIM_US;
	s->net.delay_ns_max = 900 * SIM_US;
	s->net.salt = seed;
	for (uint32_t i = 0; i <= TALKERS; i++) {
		struct sim_node *n = &s->nodes[i];
		uint32_t station = i == LISTENER ? TALKERS : i / 2;
		struct sim_station *t = &s->stations[station];
		if (!t->node_count++)
			t->node_first = i;
		t->clock_base_ns = 1000 * SIM_S * station;
		t->drift_ppm = 200 - 100 * (int64_t)station;
		*n = (struct sim_node){
			.id = i + 1, .station = station, .port_base = 7400, .alive = true};
		struct talker *m = i == LISTENER ? &c->listener : &c->talkers[i];
		m->id = n->id;
		m->next_ns = sim_local_ns(s, i) + PERIOD;
		sim_plane_start(s, i, SIM_FAST, i == LISTENER ? &listener_ops : &talker_ops, m);
		if (i != LISTENER)
			sim_plane_start(s, i, SIM_SLOW, &minder_ops, &c->minders[i]);
		sim_plane_arm(s, i, SIM_FAST);
	}
}

static uint64_t scene_digest(uint64_t seed, uint32_t loss_ppm)
{
	static struct scene c;

	scene_begin(&c, seed);
	c.sim.net.loss_ppm = loss_ppm;
	assert_true(sim_run(&c.sim, SIM_S));
	uint64_t digest = c.sim.digest;
	assert_int_equal(c.sim.violation_count, 0);
	sim_free(&c.sim);
	return digest;
}

static void same_seed_same_run(void **state)
{
	(void)state;
	assert_int_equal(scene_digest(7, 0), scene_digest(7, 0));
	assert_int_equal(scene_digest(7, 100000), scene_digest(7, 100000));
	assert_int_not_equal(scene_digest(7, 0), scene_digest(8, 0));
	assert_int_not_equal(scene_digest(7, 0), scene_digest(7, 100000));
}

static void nothing_lost_without_faults(void **state)
{
	static struct scene c;
	uint64_t sent = 0;
	uint64_t commands = 0;
	uint64_t events = 0;

	(void)state;
	scene_begin(&c, 1);
	assert_true(sim_run(&c.sim, SIM_S + 5 * SIM_MS));
	for (uint32_t i = 0; i < TALKERS; i++) {
		assert_in_range(c.talkers[i].sent, 99, 101);
		assert_in_range(c.talkers[i].late_ns, 0, 2 * SIM_US);
		assert_int_equal(c.sim.nodes[i].planes[SIM_FAST].hold_count, 1);
		sent += c.talkers[i].sent;
		commands += c.talkers[i].commands;
		events += c.minders[i].events;
	}
	assert_int_equal(c.delivered, sent);
	assert_int_equal(commands, sent);
	assert_int_equal(events, sent);
	/* Each talker holds the last answer, and nothing else is left anywhere. */
	assert_int_equal(c.sim.pool.used, TALKERS);
	sim_free(&c.sim);
}

static void network_loses_what_it_is_told_to(void **state)
{
	static struct scene c;

	(void)state;
	scene_begin(&c, 3);
	c.sim.net.loss_ppm = 300000;
	assert_true(sim_run(&c.sim, SIM_S));
	assert_in_range(c.delivered, 300, 400);
	assert_true(c.sim.frames_lost > 200);
	sim_free(&c.sim);
}

static void partition_cuts_both_ways_or_one(void **state)
{
	static struct scene c;

	(void)state;
	scene_begin(&c, 3);
	struct sim_partition *p = &c.sim.net.partitions[0];
	p->active = true;
	p->inside[TALKERS] = 1;
	assert_true(sim_run(&c.sim, SIM_S));
	assert_int_equal(c.delivered, 0);
	sim_free(&c.sim);
	scene_begin(&c, 3);
	c.sim.net.partitions[0].active = true;
	c.sim.net.partitions[0].one_way = true;
	c.sim.net.partitions[0].inside[TALKERS] = 1;
	assert_true(sim_run(&c.sim, SIM_S));
	assert_true(c.delivered > 400);
	for (uint32_t i = 0; i < TALKERS; i++)
		assert_int_equal(c.minders[i].events, 0);
	sim_free(&c.sim);
}

static void cut_parts_two_stations_and_no_others(void **state)
{
	static struct scene c;
	uint64_t others = 0;

	(void)state;
	for (uint32_t one_way = 0; one_way < 2; one_way++) {
		scene_begin(&c, 3);
		sim_cut_begin(&c.sim, TALKERS, 0, one_way, SIM_S / 2);
		assert_true(sim_run(&c.sim, SIM_S / 2));
		assert_int_equal(c.minders[0].events, 0);
		assert_int_equal(c.minders[1].events, 0);
		others = c.minders[2].events;
		assert_true(others > 40);
		/* One way, the listener hears all five; else the two behind the cut are missing. */
		assert_true(one_way ? c.delivered > 200 : c.delivered < 200);
		assert_true(sim_run(&c.sim, SIM_S));
		assert_true(c.minders[0].events > 40);
		sim_free(&c.sim);
	}
}

static void damage_is_found_by_the_checks(void **state)
{
	static struct scene c;

	(void)state;
	scene_begin(&c, 5);
	c.sim.net.corrupt_ppm = 1000000;
	assert_true(sim_run(&c.sim, SIM_S));
	assert_int_equal(c.delivered, 0);
	sim_free(&c.sim);
}

static void crash_leaves_nothing_behind(void **state)
{
	static struct scene c;

	(void)state;
	scene_begin(&c, 9);
	for (uint32_t i = 0; i < TALKERS; i++)
		sim_heap_push(&c.sim.agenda, (500 + i) * SIM_MS, SIM_EVENT_WORLD, i, 0);
	assert_true(sim_run(&c.sim, SIM_S));
	assert_int_equal(c.killed, TALKERS);
	assert_int_equal(c.sim.pool.used, 0);
	assert_in_range(c.talkers[0].sent, 49, 52);
	sim_free(&c.sim);
}

static void stall_delays_and_forgets_nothing(void **state)
{
	static struct scene c;

	(void)state;
	scene_begin(&c, 4);
	sim_plane_stall(&c.sim, 0, SIM_FAST, 300 * SIM_MS);
	assert_true(sim_run(&c.sim, SIM_S + 5 * SIM_MS));
	assert_in_range(c.talkers[0].late_ns, 280 * SIM_MS, 300 * SIM_MS);
	assert_in_range(c.talkers[0].sent, 99, 101);
	sim_free(&c.sim);
}

static uint64_t violations_of(enum sin which, const char *text)
{
	static struct scene c;

	sinning = which;
	scene_begin(&c, 2);
	bool ran = sim_run(&c.sim, SIM_S);
	sinning = SIN_NONE;
	assert_true(c.sim.violation_count > 0);
	assert_non_null(strstr(c.sim.violations[0].text, text));
	sim_free(&c.sim);
	return ran;
}

static void sins_are_found(void **state)
{
	(void)state;
	assert_true(violations_of(SIN_RELEASE_TWICE, "handle:"));
	assert_true(violations_of(SIN_USE_AFTER_LAST, "handle:"));
	assert_true(violations_of(SIN_LIVELOCK, "livelock:"));
	assert_false(violations_of(SIN_ASSERT, "t->sent < 30"));
}

static void timers_are_never_early(void **state)
{
	static struct scene c;

	(void)state;
	scene_begin(&c, 1);
	for (uint64_t ahead = 1; ahead < 4000 * SIM_S; ahead *= 3) {
		c.sim.now_ns = 0;
		uint64_t due = sim_local_ns(&c.sim, 0) + ahead;
		c.sim.now_ns = sim_global_ns(&c.sim, 0, due);
		assert_true(sim_local_ns(&c.sim, 0) >= due);
		assert_true(sim_local_ns(&c.sim, 0) - due < 30 + ahead / 1000000);
	}
	sim_free(&c.sim);
}

static void agenda_is_in_order(void **state)
{
	struct sim_heap h;
	struct sim_event e;
	struct perron_random r;
	uint64_t last_ns = 0;
	uint64_t last_order = 0;

	(void)state;
	sim_heap_init(&h);
	perron_random_seed(&r, 1);
	for (uint32_t i = 0; i < 10000; i++)
		sim_heap_push(&h, perron_random_below(&r, 500), 0, i, 0);
	for (uint32_t i = 0; i < 10000; i++) {
		assert_true(sim_heap_pop(&h, &e));
		assert_true(e.at_ns > last_ns || (e.at_ns == last_ns && e.order >= last_order));
		last_ns = e.at_ns;
		last_order = e.order;
	}
	assert_false(sim_heap_pop(&h, &e));
	sim_heap_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_seed_same_run),
		cmocka_unit_test(nothing_lost_without_faults),
		cmocka_unit_test(network_loses_what_it_is_told_to),
		cmocka_unit_test(partition_cuts_both_ways_or_one),
		cmocka_unit_test(cut_parts_two_stations_and_no_others),
		cmocka_unit_test(damage_is_found_by_the_checks),
		cmocka_unit_test(crash_leaves_nothing_behind),
		cmocka_unit_test(stall_delays_and_forgets_nothing),
		cmocka_unit_test(sins_are_found),
		cmocka_unit_test(timers_are_never_early),
		cmocka_unit_test(agenda_is_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
