/*
 * One forwarding step: a relay with a link up and down stream and an open path takes bursts of 1, 8
 * and 32 data frames of 418 bytes and gives FORWARD effects. The relay is set up by its own
 * commands; numbers go up from frame to frame, as on a link. The frames are in the cache, as what a
 * NIC has just written is. "apply" adds what the host does with each effect to the frame itself.
 * Yardstick: a copy of each frame.
 */
#include <stdlib.h>
#include <string.h>

#include "ft/relay.h"
#include "perf/micro/micro.h"

#define BATCH	 32
#define STREAM	 0x5eed5eed
#define OVERLAY	 1
#define UPSTREAM 2
#define SELF	 3
#define BRANCH	 4
#define LIFE	 9 /* everyone's incarnation */

struct bench {
	struct perron_relay *relay;
	struct perron_effects effects;
	uint64_t now_ns;
	uint64_t sequence;
	uint32_t upstream_sequence; /* links' numbers, as the neighbours give them */
	uint32_t branch_sequence;
	uint32_t sent[BRANCH + 1]; /* last number that the relay has sent, by neighbour */
	struct perron_frame burst[BATCH];
};

static struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
static uint8_t arena[PERRON_EFFECT_ARENA_SIZE] __attribute__((aligned(64)));
static uint8_t frames[BATCH][2048] __attribute__((aligned(64)));
static uint8_t copies[BATCH][2048] __attribute__((aligned(64)));

static struct perron_party party(uint32_t id)
{
	return (struct perron_party){
		.id = id, .incarnation = LIFE, .endpoint = {0x0a000000u | id, 7400}};
}

static void command(struct bench *s, struct perron_command c)
{
	int result = perron_relay_command(s->relay, s->now_ns, &c, &s->effects);

	PERRON_ASSERT(result == 0);
	perron_effects_reset(&s->effects);
}

static void bench_open(struct bench *s)
{
	struct perron_relay_config cfg;

	perron_relay_config_default(&cfg);
	cfg.peer = SELF;
	cfg.incarnation = LIFE;
	cfg.overlay = OVERLAY;
	cfg.endpoint = party(SELF).endpoint;
	size_t size = (perron_relay_size(&cfg) + 63) & ~(size_t)63;
	*s = (struct bench){.relay = aligned_alloc(64, size), .now_ns = 1000000000};
	PERRON_ASSERT(s->relay);
	s->effects = (struct perron_effects){.items = items,
					     .capacity = PERRON_EFFECT_COUNT_MAX,
					     .arena = arena,
					     .arena_size = sizeof(arena)};
	int result = perron_relay_init(s->relay, &cfg, s->now_ns);
	PERRON_ASSERT(result == 0);
	command(s, (struct perron_command){.kind = PERRON_COMMAND_LINK_OPEN,
					   .party = party(UPSTREAM)});
	command(s, (struct perron_command){.kind = PERRON_COMMAND_LINK_OPEN,
					   .party = party(BRANCH)});
	command(s, (struct perron_command){.kind = PERRON_COMMAND_BRANCH_OPEN,
					   .class = PERRON_CLASS_ALARM,
					   .stream = STREAM,
					   .sequence = 1,
					   .party = party(BRANCH)});
	command(s, (struct perron_command){.kind = PERRON_COMMAND_UPSTREAM,
					   .class = PERRON_CLASS_ALARM,
					   .stream = STREAM,
					   .party = party(UPSTREAM)});
	command(s, (struct perron_command){.kind = PERRON_COMMAND_START,
					   .class = PERRON_CLASS_ALARM,
					   .stream = STREAM,
					   .sequence = 1});
}

static void frames_make(struct bench *s)
{
	for (uint32_t i = 0; i < BATCH; i++) {
		struct perron_header header = {
			.type = PERRON_TYPE_DATA,
			.class = PERRON_CLASS_ALARM,
			.fragment_count = 1,
			.length = MICRO_SMALL,
			.overlay = OVERLAY,
			.source = UPSTREAM,
			.source_incarnation = LIFE,
			.destination = SELF,
			.destination_incarnation = LIFE,
			.stream = STREAM,
			.sequence = ++s->sequence,
			.origin_ns = s->now_ns,
			.link_sequence = ++s->upstream_sequence,
			.link_ack = s->sent[UPSTREAM],
		};
		s->burst[i] = (struct perron_frame){
			.data = frames[i],
			.length = perron_frame_encode(frames[i], &header),
			.class = PERRON_CLASS_ALARM,
			.from = party(UPSTREAM).endpoint,
			.handle = i,
		};
	}
	s->now_ns += 10000;
}

/* What the host does with the effects from `first` on to the frames themselves. */
static void effects_apply(const struct bench *s, uint32_t first)
{
	for (uint32_t i = first; i < s->effects.count; i++)
		if (items[i].kind == PERRON_EFFECT_FORWARD)
			perron_frame_readdress(frames[items[i].handle], &items[i].hop);
}

/*
 * Empties the effects and returns how many frames were forwarded to the branch. Notes what the
 * relay has sent to each neighbour, so that they can acknowledge it: a link whose neighbour
 * acknowledges nothing is judged down.
 */
static uint32_t effects_take(struct bench *s)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->effects.count; i++) {
		struct perron_header header;
		if (items[i].kind == PERRON_EFFECT_FORWARD) {
			PERRON_ASSERT(items[i].hop.destination == BRANCH);
			s->sent[BRANCH] = items[i].hop.link_sequence;
			count++;
		} else if (items[i].kind == PERRON_EFFECT_SEND) {
			if (perron_frame_decode(items[i].data, items[i].size, &header) == 0 &&
			    header.destination <= BRANCH)
				s->sent[header.destination] = header.link_sequence;
		}
	}
	perron_effects_reset(&s->effects);
	return count;
}

/* Beats and acknowledgements, as they come due, and one of the branch's; none of it is timed. */
static void neighbours_live(struct bench *s)
{
	static uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header header = {
		.type = PERRON_TYPE_ACK,
		.class = PERRON_CLASS_ALARM,
		.fragment_count = 1,
		.length = PERRON_ACK_SIZE,
		.overlay = OVERLAY,
		.source = BRANCH,
		.source_incarnation = LIFE,
		.destination = SELF,
		.destination_incarnation = LIFE,
		.stream = STREAM,
		.sequence = s->sequence,
		.link_sequence = ++s->branch_sequence,
		.link_ack = s->sent[BRANCH],
	};
	struct perron_frame frame = {.data = data,
				     .length = perron_frame_encode(data, &header),
				     .class = PERRON_CLASS_ALARM,
				     .from = party(BRANCH).endpoint};

	perron_relay_input(s->relay, s->now_ns, &frame, 1, &s->effects);
	if (perron_relay_deadline_ns(s->relay) <= s->now_ns)
		perron_relay_tick(s->relay, s->now_ns, &s->effects);
	(void)effects_take(s);
}

static void run(struct perron_bench *b, uint32_t burst, bool apply)
{
	struct bench s;
	struct perron_relay_counters counters;
	uint64_t forwarded = 0, given = 0;

	bench_open(&s);
	while (perron_bench_next(b, BATCH)) {
		frames_make(&s);
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i += burst) {
			uint32_t first = s.effects.count;
			perron_relay_input(s.relay, s.now_ns, &s.burst[i], burst, &s.effects);
			if (apply)
				effects_apply(&s, first);
		}
		perron_bench_stop(b);
		forwarded += effects_take(&s);
		given += BATCH;
		neighbours_live(&s);
	}
	perron_relay_counters_read(s.relay, &counters);
	free(s.relay);
	perron_bench_bytes(b, PERRON_HEADER_SIZE + MICRO_SMALL);
	if (forwarded != given || counters.forwarded != given)
		perron_bench_fail(b, "frames were dropped, not forwarded");
}

static void step(struct perron_bench *b, int64_t burst)
{
	run(b, (uint32_t)burst, false);
}

static void step_apply(struct perron_bench *b, int64_t burst)
{
	run(b, (uint32_t)burst, true);
}

static void copy(struct perron_bench *b, int64_t argument)
{
	(void)argument;
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++) {
			memcpy(copies[i], frames[i], PERRON_HEADER_SIZE + MICRO_SMALL);
			perron_bench_keep(copies[i][0]);
		}
		perron_bench_stop(b);
	}
}

static const struct perron_bench_case cases[] = {
	{"forward/step/1", "forward/copy", step, 1},
	{"forward/step/8", "forward/copy", step, 8},
	{"forward/step/32", "forward/copy", step, 32},
	{"forward/apply/1", "forward/copy", step_apply, 1},
	{"forward/apply/8", "forward/copy", step_apply, 8},
	{"forward/apply/32", "forward/copy", step_apply, 32},
	{"forward/copy", NULL, copy, 0},
};

void micro_forward(void)
{
	MICRO_REGISTER(cases);
}
