#include "test/sim/sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_A_TURN   8u
#define BUSY_TICKS_MAX   20000u
#define STEP_GAP_NS      1000u /* between two turns of a plane that has more to do */
#define EFFECT_POISON    0xa5

/* Where a failed assertion goes: one simulation runs in a process at a time. */
static struct sim *running;

static void *zeroed(size_t count, size_t size)
{
	void *at = calloc(count ? count : 1, size);

	PERRON_ASSERT(at);
	return at;
}

void sim_init(struct sim *s, uint64_t seed, uint32_t node_count, uint32_t station_count,
	      const struct sim_hooks *hooks, void *world)
{
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	s->step_max = UINT64_MAX;
	s->record_count_max = UINT32_MAX;
	s->digest = UINT64_C(0xcbf29ce484222325);
	s->hooks = hooks;
	s->world = world;
	s->mutant_slot = SIM_NONE;
	s->step_node = SIM_NONE;
	s->node_count = node_count;
	s->station_count = station_count;
	s->nodes = zeroed(node_count, sizeof(*s->nodes));
	s->stations = zeroed(station_count, sizeof(*s->stations));
	perron_random_seed(&s->random, seed);
	sim_heap_init(&s->agenda);
	sim_pool_init(&s->pool);
	s->effects.capacity = PERRON_EFFECT_COUNT_MAX;
	s->effects.items = zeroed(PERRON_EFFECT_COUNT_MAX, sizeof(*s->effects.items));
	s->effects.arena_size = PERRON_EFFECT_ARENA_SIZE;
	s->effects.arena = zeroed(1, PERRON_EFFECT_ARENA_SIZE);
	for (uint32_t i = 0; i < SIM_PARTITION_COUNT_MAX; i++)
		s->net.partitions[i].inside = zeroed(station_count, 1);
	for (uint32_t i = 0; i < SIM_MEMORY_COUNT_MAX; i++)
		s->net.memory[i] = SIM_NONE;
}

void sim_free(struct sim *s)
{
	for (uint32_t i = 0; i < SIM_PARTITION_COUNT_MAX; i++)
		free(s->net.partitions[i].inside);
	free(s->effects.items);
	free(s->effects.arena);
	free(s->nodes);
	free(s->stations);
	sim_heap_free(&s->agenda);
	sim_pool_free(&s->pool);
}

void sim_digest_word(struct sim *s, uint64_t word)
{
	uint64_t d = (s->digest ^ word) * UINT64_C(0x9e3779b97f4a7c15);

	s->digest = d ^ d >> 29;
}

void sim_digest_bytes(struct sim *s, const uint8_t *data, uint32_t size)
{
	uint64_t word;

	sim_digest_word(s, size);
	for (; size >= sizeof(word); data += sizeof(word), size -= (uint32_t)sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		sim_digest_word(s, word);
	}
	word = 0;
	memcpy(&word, data, size);
	sim_digest_word(s, word);
}

/* How often the property that a text begins with is violated already. */
static uint32_t violations_like(const struct sim *s, const char *text)
{
	size_t size = strcspn(text, ":");
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->violation_kept; i++)
		count += strncmp(s->violations[i].text, text, size + 1) == 0;
	return count;
}

void sim_violation(struct sim *s, const char *format, ...)
{
	struct sim_violation v = {.at_ns = s->now_ns, .step = s->steps};
	va_list args;

	va_start(args, format);
	(void)vsnprintf(v.text, sizeof(v.text), format, args);
	va_end(args);
	sim_trace(s, "VIOLATION %s", v.text);
	s->violation_count++;
	if (s->violation_kept < SIM_VIOLATION_COUNT_MAX &&
	    violations_like(s, v.text) < SIM_VIOLATION_LIKE_MAX)
		s->violations[s->violation_kept++] = v;
	if (s->violation_kept == SIM_VIOLATION_COUNT_MAX ||
	    s->violation_count >= SIM_VIOLATION_COUNT_END)
		s->ended = true;
}

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	struct sim *s = running;

	if (!s) {
		(void)fprintf(stderr, "assertion failed: %s (%s:%d)\n", condition, file, line);
		abort();
	}
	if (s->step_node != SIM_NONE)
		sim_violation(s, "assert: %s (%s:%d) at node %u", condition, file, line,
			      s->nodes[s->step_node].id);
	else
		sim_violation(s, "assert: %s (%s:%d)", condition, file, line);
	longjmp(s->failed, 1);
}

/* --- clocks --- */

uint64_t sim_local_ns(const struct sim *s, uint32_t node)
{
	const struct sim_station *station = &s->stations[s->nodes[node].station];
	uint64_t elapsed = s->now_ns - station->clock_start_ns;
	int64_t drift = (int64_t)elapsed / 1000 * station->drift_ppm / 1000;

	return station->clock_base_ns + elapsed + (uint64_t)drift;
}

uint64_t sim_global_ns(const struct sim *s, uint32_t node, uint64_t local_ns)
{
	const struct sim_station *station = &s->stations[s->nodes[node].station];
	uint64_t now = sim_local_ns(s, node);

	if (local_ns <= now)
		return s->now_ns;
	uint64_t ahead = local_ns - now;
	if (ahead > 100000 * SIM_S)
		return UINT64_MAX;
	/* Late rather than early, by some nanoseconds: a timer is never early. */
	int64_t drift = (int64_t)ahead / 1000 * station->drift_ppm / 1000;
	uint64_t late = 20 + ahead / 1000000 / 16;
	return s->now_ns + ahead - (uint64_t)drift + late;
}

/* --- planes --- */

void sim_plane_start(struct sim *s, uint32_t node, uint32_t plane,
		     const struct sim_machine_ops *ops, void *machine)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];
	uint32_t generation = p->turn_generation + 1;

	*p = (struct sim_plane){
		.ops = ops,
		.machine = machine,
		.turn_at_ns = UINT64_MAX,
		.turn_generation = generation,
		.hold_count_max = p->hold_count_max,
	};
	sim_list_init(&p->inbox);
	sim_list_init(&p->records);
	sim_list_init(&p->held);
}

static uint64_t turn_wanted_ns(struct sim *s, uint32_t node, const struct sim_plane *p)
{
	uint64_t wanted = sim_global_ns(s, node, p->ops->deadline_ns(p->machine));

	if (p->inbox.count && s->now_ns < wanted)
		wanted = s->now_ns;
	if (p->records.count && s->pool.slots[p->records.head].at_ns < wanted)
		wanted = s->pool.slots[p->records.head].at_ns;
	if (wanted < p->stalled_until_ns)
		wanted = p->stalled_until_ns;
	return wanted > s->now_ns ? wanted : s->now_ns;
}

static void turn_schedule(struct sim *s, uint32_t node, uint32_t plane, uint64_t at_ns)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];

	if (at_ns >= p->turn_at_ns)
		return;
	p->turn_at_ns = at_ns;
	sim_heap_push(&s->agenda, at_ns, SIM_EVENT_TURN, node * SIM_PLANE_COUNT + plane,
		      ++p->turn_generation);
}

void sim_plane_arm(struct sim *s, uint32_t node, uint32_t plane)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];

	if (!s->nodes[node].alive || !p->ops)
		return;
	uint64_t wanted = turn_wanted_ns(s, node, p);
	if (wanted == UINT64_MAX)
		return;
	turn_schedule(s, node, plane,
		      wanted < s->now_ns + STEP_GAP_NS ? s->now_ns + STEP_GAP_NS : wanted);
}

void sim_plane_stall(struct sim *s, uint32_t node, uint32_t plane, uint64_t until_ns)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];

	p->stalled_until_ns = until_ns;
	sim_trace(s, "stall node %u plane %u until %.6f", s->nodes[node].id, plane,
		  (double)until_ns / 1e9);
}

static void list_empty(struct sim *s, struct sim_list *l)
{
	uint32_t slot;

	while ((slot = sim_list_pop(&s->pool, l)) != SIM_NONE)
		sim_pool_give(&s->pool, slot);
}

void sim_node_kill(struct sim *s, uint32_t node)
{
	struct sim_node *n = &s->nodes[node];

	PERRON_ASSERT(n->alive);
	sim_trace(s, "kill node %u", n->id);
	n->alive = false;
	n->crash_countdown = 0;
	for (uint32_t i = 0; i < SIM_PLANE_COUNT; i++) {
		struct sim_plane *p = &n->planes[i];
		if (!p->ops)
			continue;
		list_empty(s, &p->inbox);
		list_empty(s, &p->records);
		list_empty(s, &p->held);
		p->hold_count = 0;
		p->turn_at_ns = UINT64_MAX;
		p->turn_generation++;
	}
	s->hooks->killed(s, node);
}

/* --- effects --- */

static struct sim_plane *plane_of_step(struct sim *s, uint32_t node)
{
	return &s->nodes[node].planes[SIM_FAST];
}

/* The slot of a handle that the machine may use now, or SIM_NONE (a violation). */
static uint32_t slot_permit(struct sim *s, uint32_t node, uint64_t handle, const char *what)
{
	uint32_t slot = sim_pool_slot(&s->pool, handle);
	const struct sim_slot *t = slot == SIM_NONE ? NULL : &s->pool.slots[slot];

	if (!t || t->owner != node || (t->state != SIM_SLOT_STEP && t->state != SIM_SLOT_HELD)) {
		sim_violation(s, "handle: node %u %s of a frame that is not its own any more (%s)",
			      s->nodes[node].id, what,
			      !t ? "ended" : t->owner != node ? "another's" : "forwarded");
		return SIM_NONE;
	}
	return slot;
}

static bool mutant_hits(struct sim *s, enum sim_mutant mutant, uint32_t one_in)
{
	return s->mutant == mutant && s->mutant_count++ % one_in == one_in - 1;
}

static uint32_t slot_copy(struct sim *s, const uint8_t *data, uint32_t size)
{
	uint32_t slot = sim_pool_take(&s->pool);

	PERRON_ASSERT(size <= PERRON_FRAME_SIZE_MAX);
	memcpy(sim_pool_data(&s->pool, slot), data, size);
	s->pool.slots[slot].length = size;
	return slot;
}

static void effect_send(struct sim *s, uint32_t node, const struct perron_effect *e)
{
	sim_send(s, node, e->to, e->class, slot_copy(s, e->data, e->size));
}

static void effect_forward(struct sim *s, uint32_t node, const struct perron_effect *e)
{
	uint32_t slot = slot_permit(s, node, e->handle, "FORWARD");

	if (slot == SIM_NONE)
		return;
	const struct sim_slot *t = &s->pool.slots[slot];
	uint32_t copy = slot_copy(s, sim_pool_data(&s->pool, slot), t->length);
	if (e->flags & PERRON_EFFECT_LAST) {
		if (t->state == SIM_SLOT_HELD)
			sim_violation(s, "handle: node %u FORWARD with LAST of a frame it holds",
				      s->nodes[node].id);
		else
			s->pool.slots[slot].state = SIM_SLOT_GONE;
	}
	perron_frame_readdress(sim_pool_data(&s->pool, copy), &e->hop);
	sim_send(s, node, e->to, e->class, copy);
}

static void effect_hold(struct sim *s, uint32_t node, const struct perron_effect *e)
{
	uint32_t slot = slot_permit(s, node, e->handle, "HOLD");

	if (slot == SIM_NONE || mutant_hits(s, SIM_MUTANT_DROP_HOLD, 100))
		return;
	struct sim_plane *p = plane_of_step(s, node);
	struct sim_slot *t = &s->pool.slots[slot];
	if (t->state == SIM_SLOT_STEP) {
		t->state = SIM_SLOT_HELD;
		sim_list_push(&s->pool, &p->held, slot);
	}
	t->holds++;
	p->hold_count++;
}

static void effect_release(struct sim *s, uint32_t node, const struct perron_effect *e)
{
	uint32_t slot = slot_permit(s, node, e->handle, "RELEASE");

	if (slot == SIM_NONE || mutant_hits(s, SIM_MUTANT_DROP_RELEASE, 100))
		return;
	struct sim_plane *p = plane_of_step(s, node);
	struct sim_slot *t = &s->pool.slots[slot];
	if (t->state != SIM_SLOT_HELD) {
		sim_violation(s, "handle: node %u RELEASE without HOLD", s->nodes[node].id);
		return;
	}
	p->hold_count--;
	if (--t->holds)
		return;
	sim_list_remove(&s->pool, &p->held, slot);
	/* One that came in this step is given back with the step's others. */
	for (uint32_t i = 0; i < s->step_slot_count; i++) {
		if (s->step_slots[i] == slot) {
			t->state = SIM_SLOT_STEP;
			return;
		}
	}
	sim_pool_give(&s->pool, slot);
}

/* Other bytes with sound checks: only the sensor's record tells. */
static void frame_alter(uint8_t *data, uint32_t length)
{
	struct perron_header header;

	if (perron_frame_decode(data, length, &header) != PERRON_DROP_NONE)
		return;
	data[length - 1] ^= 1;
	(void)perron_frame_encode(data, &header);
}

static void deliver_mutated(struct sim *s, uint32_t node, uint32_t slot, uint32_t subscription)
{
	uint8_t *data = sim_pool_data(&s->pool, slot);
	uint32_t length = s->pool.slots[slot].length;
	uint32_t kept = s->mutant_slot;

	if (mutant_hits(s, SIM_MUTANT_DROP_DELIVER, 50))
		return;
	if (mutant_hits(s, SIM_MUTANT_DUPLICATE_DELIVER, 50))
		s->hooks->deliver(s, node, slot, subscription);
	if (mutant_hits(s, SIM_MUTANT_ALTER_DELIVER, 50))
		frame_alter(data, length);
	if (kept == SIM_NONE && mutant_hits(s, SIM_MUTANT_SWAP_DELIVER, 50)) {
		s->mutant_slot = slot_copy(s, data, length);
		s->pool.slots[s->mutant_slot].owner = node;
		s->pool.slots[s->mutant_slot].holds = subscription;
		return;
	}
	s->hooks->deliver(s, node, slot, subscription);
	if (kept != SIM_NONE && s->pool.slots[kept].owner == node &&
	    s->pool.slots[kept].holds == subscription) {
		s->hooks->deliver(s, node, kept, subscription);
		sim_pool_give(&s->pool, kept);
		s->mutant_slot = SIM_NONE;
	}
}

static void effect_deliver(struct sim *s, uint32_t node, const struct perron_effect *e)
{
	uint32_t slot = slot_permit(s, node, e->handle, "DELIVER");

	if (slot == SIM_NONE)
		return;
	if (s->mutant == SIM_MUTANT_NONE)
		s->hooks->deliver(s, node, slot, e->size);
	else
		deliver_mutated(s, node, slot, e->size);
}

/* A command or an event crosses to the node's other plane, some time later, in order. */
static void record_hand_over(struct sim *s, uint32_t node, uint32_t plane,
			     const struct perron_effect *e)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];

	if (p->records.count >= s->record_count_max) {
		s->records_refused++;
		sim_trace(s, "  the queue is full: refused");
		return;
	}
	uint32_t slot = sim_pool_take(&s->pool);
	PERRON_ASSERT(e->size <= SIM_SLOT_SIZE && p->ops);
	struct sim_slot *t = &s->pool.slots[slot];
	memcpy(sim_pool_data(&s->pool, slot), e->data, e->size);
	t->length = e->size;
	t->state = SIM_SLOT_INBOX;
	t->at_ns = s->now_ns + perron_random_below(&s->random, s->hand_over_ns_max + 1);
	if (t->at_ns < p->record_at_ns)
		t->at_ns = p->record_at_ns;
	p->record_at_ns = t->at_ns;
	sim_list_push(&s->pool, &p->records, slot);
	turn_schedule(s, node, plane,
		      t->at_ns > p->stalled_until_ns ? t->at_ns : p->stalled_until_ns);
}

static void digest_command(struct sim *s, const struct perron_command *c)
{
	sim_digest_word(s, (uint64_t)c->kind << 48 | (uint64_t)c->class << 40 |
				   (uint64_t)c->type << 32 | c->stream);
	sim_digest_word(s, c->sequence);
	sim_digest_word(s, (uint64_t)c->value);
	sim_digest_word(s, (uint64_t)c->party.id << 32 | c->party.incarnation);
	sim_digest_bytes(s, c->payload, c->payload_size);
}

static void digest_event(struct sim *s, const struct perron_event *e)
{
	sim_digest_word(s, (uint64_t)e->kind << 48 | (uint64_t)e->class << 40 |
				   (uint64_t)e->type << 32 | e->stream);
	sim_digest_word(s, e->sequence);
	sim_digest_word(s, e->round_trip_ns);
	sim_digest_word(s, (uint64_t)e->party.id << 32 | e->party.incarnation);
	sim_digest_bytes(s, e->payload, e->payload_size);
}

static void effect_apply(struct sim *s, uint32_t node, uint32_t plane,
			 const struct perron_effect *e)
{
	bool is_peer = s->nodes[node].planes[SIM_SLOW].ops != NULL;

	switch ((enum perron_effect_kind)e->kind) {
	case PERRON_EFFECT_SEND:
		PERRON_ASSERT(plane == SIM_FAST);
		effect_send(s, node, e);
		return;
	case PERRON_EFFECT_FORWARD:
		effect_forward(s, node, e);
		return;
	case PERRON_EFFECT_HOLD:
		effect_hold(s, node, e);
		return;
	case PERRON_EFFECT_RELEASE:
		effect_release(s, node, e);
		return;
	case PERRON_EFFECT_DELIVER:
		PERRON_ASSERT(!is_peer);
		effect_deliver(s, node, e);
		return;
	case PERRON_EFFECT_INDICATE:
		if (s->hooks->indicate)
			s->hooks->indicate(s, node, e->class, e->data, e->size);
		return;
	case PERRON_EFFECT_COMMAND:
		PERRON_ASSERT(plane == SIM_SLOW);
		digest_command(s, (const struct perron_command *)(const void *)e->data);
		record_hand_over(s, node, SIM_FAST, e);
		return;
	case PERRON_EFFECT_EVENT:
		PERRON_ASSERT(plane == SIM_FAST && is_peer);
		digest_event(s, (const struct perron_event *)(const void *)e->data);
		record_hand_over(s, node, SIM_SLOW, e);
		return;
	}
	sim_violation(s, "effect: node %u gave an effect of kind %u", s->nodes[node].id, e->kind);
}

/* --- steps --- */

void sim_step_begin(struct sim *s, uint32_t node)
{
	s->step_node = node;
	s->step_slot_count = 0;
	s->effects.dropped = 0;
	perron_effects_reset(&s->effects);
}

void sim_step_frame(struct sim *s, uint32_t node, uint32_t slot, struct perron_frame *out)
{
	struct sim_slot *t = &s->pool.slots[slot];

	PERRON_ASSERT(s->step_slot_count < PERRON_FRAGMENT_COUNT_MAX + PERRON_BURST_MAX);
	s->step_slots[s->step_slot_count++] = slot;
	t->state = SIM_SLOT_STEP;
	t->owner = node;
	*out = (struct perron_frame){
		.data = sim_pool_data(&s->pool, slot),
		.length = t->length,
		.class = t->class,
		.from = t->from,
		.handle = sim_pool_handle(&s->pool, slot),
	};
}

static void step_slots_give(struct sim *s)
{
	for (uint32_t i = 0; i < s->step_slot_count; i++) {
		uint32_t slot = s->step_slots[i];
		uint8_t state = s->pool.slots[slot].state;
		if (state == SIM_SLOT_STEP || state == SIM_SLOT_GONE)
			sim_pool_give(&s->pool, slot);
	}
	s->step_slot_count = 0;
}

static void effects_apply(struct sim *s, uint32_t node, uint32_t plane)
{
	struct sim_node *n = &s->nodes[node];

	for (uint32_t i = 0; i < s->effects.count; i++) {
		if (n->crash_countdown && --n->crash_countdown == 0) {
			sim_trace(s, "crash before effect %u of %u", i, s->effects.count);
			sim_node_kill(s, node);
			return;
		}
		effect_apply(s, node, plane, &s->effects.items[i]);
	}
}

static void plane_check(struct sim *s, uint32_t node, uint32_t plane)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];

	p->ops->check(p->machine, sim_local_ns(s, node));
	if (p->hold_count_max && p->hold_count > p->hold_count_max)
		sim_violation(s, "bounds: node %u holds %llu frames, its bound is %u",
			      s->nodes[node].id, (unsigned long long)p->hold_count,
			      p->hold_count_max);
}

bool sim_step_end(struct sim *s, uint32_t node, uint32_t plane, enum sim_step_kind kind)
{
	struct sim_node *n = &s->nodes[node];

	s->steps++;
	sim_digest_word(s, s->now_ns);
	sim_digest_word(s, (uint64_t)node << 32 | plane << 24 | (uint32_t)kind << 16);
	sim_digest_word(s, (uint64_t)s->effects.count << 32 | s->step_slot_count);
	sim_trace_step(s, node, plane, kind);
	effects_apply(s, node, plane);
	memset(s->effects.arena, EFFECT_POISON, s->effects.arena_used);
	step_slots_give(s);
	n->dropped += s->effects.dropped;
	if (n->alive) {
		plane_check(s, node, plane);
		s->hooks->stepped(s, node, plane, kind);
	}
	s->step_node = SIM_NONE;
	if (s->steps >= s->step_max)
		s->ended = true;
	return n->alive;
}

/* One record out of the queue, if one has crossed by now. False: none, or the node died. */
static bool step_record(struct sim *s, uint32_t node, uint32_t plane)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];

	if (!p->records.count || s->pool.slots[p->records.head].at_ns > s->now_ns)
		return false;
	uint32_t slot = sim_list_pop(&s->pool, &p->records);
	const void *record = sim_pool_data(&s->pool, slot);
	bool alive;
	sim_step_begin(s, node);
	if (plane == SIM_FAST) {
		sim_trace_command(s, record);
		int error = p->ops->command(p->machine, sim_local_ns(s, node), record, &s->effects);
		if (error && s->hooks->command_failed)
			s->hooks->command_failed(s, node, record, error);
		sim_digest_word(s, (uint64_t)error);
		alive = sim_step_end(s, node, plane, SIM_STEP_COMMAND);
	} else {
		sim_trace_event(s, record);
		p->ops->event(p->machine, sim_local_ns(s, node), record, &s->effects);
		alive = sim_step_end(s, node, plane, SIM_STEP_EVENT);
	}
	sim_pool_give(&s->pool, slot);
	return alive;
}

static bool step_input(struct sim *s, uint32_t node)
{
	struct sim_plane *p = &s->nodes[node].planes[SIM_FAST];
	struct perron_frame burst[PERRON_BURST_MAX];
	uint32_t count = 0;

	sim_step_begin(s, node);
	while (count < PERRON_BURST_MAX && p->inbox.count) {
		uint32_t slot = sim_list_pop(&s->pool, &p->inbox);
		sim_step_frame(s, node, slot, &burst[count]);
		sim_digest_bytes(s, burst[count].data, burst[count].length);
		sim_trace_frame(s, "in", burst[count].data, burst[count].length);
		count++;
	}
	p->ops->input(p->machine, sim_local_ns(s, node), burst, count, &s->effects);
	return sim_step_end(s, node, SIM_FAST, SIM_STEP_INPUT);
}

static bool step_tick(struct sim *s, uint32_t node, uint32_t plane)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];
	uint64_t now_ns = sim_local_ns(s, node);

	if (p->ops->deadline_ns(p->machine) > now_ns) {
		p->busy_ticks = 0;
		return true;
	}
	sim_step_begin(s, node);
	p->ops->tick(p->machine, now_ns, &s->effects);
	if (!sim_step_end(s, node, plane, SIM_STEP_TICK))
		return false;
	if (p->ops->deadline_ns(p->machine) > now_ns)
		p->busy_ticks = 0;
	else if (++p->busy_ticks == BUSY_TICKS_MAX)
		sim_violation(s, "livelock: node %u %s ticks on without moving its deadline",
			      s->nodes[node].id, p->ops->name);
	return true;
}

/* As a loop's turn on the station: commands or events, a burst, a tick if one is due. */
static void plane_turn(struct sim *s, uint32_t node, uint32_t plane)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];

	if (p->stalled_until_ns <= s->now_ns) {
		for (uint32_t i = 0; i < RECORDS_A_TURN && step_record(s, node, plane); i++)
			;
		if (s->nodes[node].alive && p->inbox.count)
			(void)step_input(s, node);
		if (s->nodes[node].alive)
			(void)step_tick(s, node, plane);
	}
	sim_plane_arm(s, node, plane);
}

/* --- the run --- */

static void frame_arrive(struct sim *s, uint32_t slot)
{
	uint32_t node = sim_route(s, slot);

	if (node == SIM_NONE ||
	    (s->mutant == SIM_MUTANT_DEAF_PEER && node == s->node_count / 2)) {
		s->frames_nowhere++;
		sim_pool_give(&s->pool, slot);
		return;
	}
	struct sim_plane *p = &s->nodes[node].planes[SIM_FAST];
	uint64_t delay_ns = perron_random_below(&s->random, s->turn_ns_max + 1);
	s->pool.slots[slot].state = SIM_SLOT_INBOX;
	sim_list_push(&s->pool, &p->inbox, slot);
	if (p->stalled_until_ns > s->now_ns + delay_ns)
		turn_schedule(s, node, SIM_FAST, p->stalled_until_ns);
	else if (delay_ns < s->turn_ns_max / 2 && p->turn_at_ns > s->now_ns)
		plane_turn(s, node, SIM_FAST);
	else
		turn_schedule(s, node, SIM_FAST, s->now_ns + delay_ns);
}

/* A turn of an earlier generation was replaced by one that came before it. */
static void turn_take(struct sim *s, uint32_t node, uint32_t plane, uint32_t generation)
{
	struct sim_plane *p = &s->nodes[node].planes[plane];

	if (!s->nodes[node].alive || p->turn_generation != generation)
		return;
	p->turn_at_ns = UINT64_MAX;
	plane_turn(s, node, plane);
}

static void event_take(struct sim *s, const struct sim_event *e)
{
	switch (e->kind) {
	case SIM_EVENT_ARRIVE:
		frame_arrive(s, e->index);
		return;
	case SIM_EVENT_TURN:
		turn_take(s, e->index / SIM_PLANE_COUNT, e->index % SIM_PLANE_COUNT,
			  (uint32_t)e->value);
		return;
	case SIM_EVENT_HEAL_PARTITION:
		s->net.partitions[e->index].active = false;
		sim_trace(s, "partition %u ends", e->index);
		return;
	case SIM_EVENT_HEAL_CUT:
		s->net.cuts[e->index].active = false;
		sim_trace(s, "cut %u ends", e->index);
		return;
	default:
		s->hooks->event(s, e);
		return;
	}
}

bool sim_run(struct sim *s, uint64_t until_ns)
{
	struct sim_event e;

	running = s;
	if (setjmp(s->failed)) {
		running = NULL;
		s->ended = true;
		return false;
	}
	while (!s->ended && sim_heap_pop(&s->agenda, &e) && e.at_ns <= until_ns) {
		PERRON_ASSERT(e.at_ns >= s->now_ns);
		s->now_ns = e.at_ns;
		event_take(s, &e);
	}
	running = NULL;
	return true;
}
