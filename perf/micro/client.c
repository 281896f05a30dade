/*
 * A client's step: bursts of 1, 8 and 32 data frames of 418 bytes in order, each delivered, with
 * an acknowledgement after 16. Yardstick: a copy of each frame.
 */
#include <stdlib.h>
#include <string.h>

#include "overlay/client.h"
#include "overlay/control.h"
#include "perf/micro/micro.h"

#define BATCH	32
#define OVERLAY 1
#define SERVER	2
#define LIFE	9
#define SELF	(PERRON_CLIENT_ID | 5)
#define SENSOR	"bench/small"
#define ADDRESS 0x0a000002u

struct bench {
	struct perron_client *client;
	struct perron_effects effects;
	uint64_t now_ns;
	uint64_t sequence;
	struct perron_frame burst[BATCH];
};

static struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
static uint8_t arena[PERRON_EFFECT_ARENA_SIZE] __attribute__((aligned(64)));
static uint8_t frames[BATCH][2048] __attribute__((aligned(64)));
static uint8_t copies[BATCH][2048] __attribute__((aligned(64)));

static struct perron_header header_of(uint8_t type, uint8_t class, uint32_t length)
{
	return (struct perron_header){
		.type = type,
		.class = class,
		.fragment_count = 1,
		.length = (uint16_t)length,
		.overlay = OVERLAY,
		.source = SERVER,
		.source_incarnation = LIFE,
		.destination = SELF,
		.destination_incarnation = LIFE,
	};
}

static struct perron_frame frame_of(uint8_t *data, const struct perron_header *header)
{
	return (struct perron_frame){
		.data = data,
		.length = perron_frame_encode(data, header),
		.class = header->class,
		.from = {ADDRESS, 7400},
	};
}

/* Says OK to the request that stands first among the effects. */
static void grant(struct bench *s)
{
	struct perron_subscribe request;
	uint8_t data[PERRON_FRAME_SIZE_MAX];

	PERRON_ASSERT(s->effects.count > 0 && items[0].kind == PERRON_EFFECT_SEND);
	bool sound = perron_subscribe_read(items[0].data + PERRON_HEADER_SIZE,
					   items[0].size - PERRON_HEADER_SIZE, &request);
	PERRON_ASSERT(sound);
	perron_effects_reset(&s->effects);
	struct perron_subscribe_reply reply = {
		.nonce = request.nonce,
		.verdict = PERRON_VERDICT_OK,
		.class = PERRON_CLASS_ALARM,
		.stream = perron_stream_id(SENSOR),
		.start = s->sequence + 1,
		.hops = 3,
	};
	uint32_t size = perron_subscribe_reply_write(data + PERRON_HEADER_SIZE, &reply);
	struct perron_header header =
		header_of(PERRON_TYPE_SUBSCRIBE_REPLY, PERRON_CLASS_OVERLAY, size);
	struct perron_frame frame = frame_of(data, &header);
	perron_client_input(s->client, s->now_ns, &frame, 1, &s->effects);
	perron_effects_reset(&s->effects);
}

static void bench_open(struct bench *s)
{
	struct perron_client_config cfg;

	perron_client_config_default(&cfg);
	cfg.id = SELF;
	cfg.incarnation = LIFE;
	cfg.overlay = OVERLAY;
	cfg.portal[0] = (struct perron_portal){SERVER, {ADDRESS, 7400}};
	cfg.portal_count = 1;
	size_t size = (perron_client_size(&cfg) + 63) & ~(size_t)63;
	*s = (struct bench){.client = aligned_alloc(64, size), .now_ns = 1000000000};
	PERRON_ASSERT(s->client);
	s->effects = (struct perron_effects){.items = items,
					     .capacity = PERRON_EFFECT_COUNT_MAX,
					     .arena = arena,
					     .arena_size = sizeof(arena)};
	int result = perron_client_init(s->client, &cfg, s->now_ns);
	PERRON_ASSERT(result == 0);
	result = perron_client_subscribe(s->client, s->now_ns, SENSOR, PERRON_CLASS_ALARM, 0, NULL,
					 &s->effects);
	PERRON_ASSERT(result == 0);
	grant(s);
}

static void frames_make(struct bench *s)
{
	for (uint32_t i = 0; i < BATCH; i++) {
		struct perron_header header =
			header_of(PERRON_TYPE_DATA, PERRON_CLASS_ALARM, MICRO_SMALL);
		header.stream = perron_stream_id(SENSOR);
		header.sequence = ++s->sequence;
		header.origin_ns = s->now_ns;
		s->burst[i] = frame_of(frames[i], &header);
		s->burst[i].handle = i;
	}
}

static uint32_t delivered(struct bench *s)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->effects.count; i++)
		count += items[i].kind == PERRON_EFFECT_DELIVER;
	perron_effects_reset(&s->effects);
	return count;
}

static void step(struct perron_bench *b, int64_t burst)
{
	struct bench s;
	uint64_t given = 0, got = 0;

	bench_open(&s);
	while (perron_bench_next(b, BATCH)) {
		frames_make(&s);
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i += (uint32_t)burst)
			perron_client_input(s.client, s.now_ns, &s.burst[i], (uint32_t)burst,
					    &s.effects);
		perron_bench_stop(b);
		got += delivered(&s);
		given += BATCH;
	}
	free(s.client);
	perron_bench_bytes(b, PERRON_HEADER_SIZE + MICRO_SMALL);
	if (got != given)
		perron_bench_fail(b, "frames were not delivered");
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
	{"client/step/1", "client/copy", step, 1},
	{"client/step/8", "client/copy", step, 8},
	{"client/step/32", "client/copy", step, 32},
	{"client/copy", NULL, copy, 0},
};

void micro_client(void)
{
	MICRO_REGISTER(cases);
}
