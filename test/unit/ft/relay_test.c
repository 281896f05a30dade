/*
 * The relay, driven by frames made by hand: each cause of a drop, each command, the bounds of what
 * one call may cause, and the story of a stream. `rig` is the host: it counts holds and keeps what
 * the relay wanted done by the last call.
 */
#include "test/unit/support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ft/relay_private.h"
#include "runtime/base/wire.h"

#define MS       UINT64_C(1000000)
#define T0       (1000000 * MS)
#define SELF     5
#define LIFE     9
#define OVERLAY  3
#define UP       7 /* the neighbour towards the sensor */
#define DOWN     8 /* one towards clients */
#define STREAM   0x1234
#define CLIENT_A (PERRON_CLIENT_ID | 1)
#define CLIENT_B (PERRON_CLIENT_ID | 2)
#define ALARM    PERRON_CLASS_ALARM
#define HANDLES  8192

/* A command without the payload that it may end with. */
struct order {
	uint8_t kind, class, type;
	uint32_t stream;
	uint64_t sequence;
	int64_t value;
	struct perron_party party;
	uint32_t payload_size;
};

struct rig {
	struct perron_relay_config cfg;
	struct perron_relay *relay;
	uint64_t now_ns;
	struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
	uint8_t arena[PERRON_EFFECT_ARENA_SIZE];
	struct perron_effects out;
	int32_t holds[HANDLES];
	uint32_t held;
	uint64_t handle;
	uint32_t link_sequence; /* of the neighbours' last frame */
	uint8_t data[PERRON_BURST_MAX][PERRON_FRAME_SIZE_MAX];
	struct perron_frame frames[PERRON_BURST_MAX];
	uint32_t frame_count;
};

/* --- the host --- */

static void effects_note(struct rig *g)
{
	for (uint32_t i = 0; i < g->out.count; i++) {
		const struct perron_effect *e = &g->out.items[i];
		if (e->kind == PERRON_EFFECT_HOLD) {
			g->holds[e->handle % HANDLES]++;
			g->held++;
		} else if (e->kind == PERRON_EFFECT_RELEASE) {
			assert_true(g->holds[e->handle % HANDLES]-- > 0);
			g->held--;
		}
	}
	perron_relay_check(g->relay);
}

static struct rig *rig_make(const struct perron_relay_config *cfg)
{
	struct rig *g = calloc(1, sizeof(*g));

	g->cfg = *cfg;
	g->now_ns = T0;
	g->link_sequence = 1000;
	g->relay = aligned_alloc(64, (perron_relay_size(cfg) + 63) & ~(size_t)63);
	g->out = (struct perron_effects){.items = g->items,
					 .capacity = PERRON_EFFECT_COUNT_MAX,
					 .arena = g->arena,
					 .arena_size = PERRON_EFFECT_ARENA_SIZE};
	assert_int_equal(perron_relay_init(g->relay, cfg, g->now_ns), 0);
	return g;
}

static struct perron_relay_config config(void)
{
	struct perron_relay_config cfg;

	perron_relay_config_default(&cfg);
	cfg.peer = SELF;
	cfg.incarnation = LIFE;
	cfg.overlay = OVERLAY;
	cfg.endpoint = (struct perron_endpoint){SELF, 7400};
	cfg.link_count_max = 4;
	cfg.path_count_max = 4;
	cfg.stream_count_max = 2;
	cfg.origin_count_max = 3;
	cfg.origin_window = 64;
	cfg.client_lag_max = 32;
	cfg.detector.kind = PERRON_DETECTOR_PUSH;
	return cfg;
}

static void rig_free(struct rig *g)
{
	free(g->relay);
	free(g);
}

static struct perron_party party(uint32_t id)
{
	return (struct perron_party){.id = id, .incarnation = 1, .endpoint = {id, 7400}};
}

static int command(struct rig *g, struct order order)
{
	struct perron_command c = {.kind = order.kind,
				   .class = order.class,
				   .type = order.type,
				   .stream = order.stream,
				   .sequence = order.sequence,
				   .value = order.value,
				   .party = order.party,
				   .payload_size = order.payload_size};

	perron_effects_reset(&g->out);
	int result = perron_relay_command(g->relay, g->now_ns, &c, &g->out);
	effects_note(g);
	return result;
}

static void tick(struct rig *g)
{
	perron_effects_reset(&g->out);
	perron_relay_tick(g->relay, g->now_ns, &g->out);
	effects_note(g);
}

static uint64_t drops(struct rig *g, enum perron_drop cause)
{
	struct perron_relay_counters counters;

	perron_relay_counters_read(g->relay, &counters);
	return counters.drop[cause];
}

static uint64_t drops_all(struct rig *g)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < PERRON_DROP_COUNT; i++)
		sum += drops(g, i);
	return sum;
}

/* Of the last call's: how many there were of a kind to a party (0: any). */
static uint32_t effects_of(const struct rig *g, uint8_t kind, uint32_t to)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < g->out.count; i++)
		count += g->out.items[i].kind == kind &&
			 (!to || g->out.items[i].to.address == to);
	return count;
}

static const struct perron_event *event_of(const struct rig *g, uint8_t kind)
{
	for (uint32_t i = 0; i < g->out.count; i++) {
		const struct perron_effect *e = &g->out.items[i];
		const struct perron_event *event = (const void *)e->data;
		if (e->kind == PERRON_EFFECT_EVENT && event->kind == kind)
			return event;
	}
	return NULL;
}

/* The last frame of a type sent to a party; its number is counted. */
static uint32_t sent_of(const struct rig *g, uint8_t type, uint32_t to,
			struct perron_header *header, uint8_t *payload)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < g->out.count; i++) {
		const struct perron_effect *e = &g->out.items[i];
		struct perron_header h;
		if (e->kind != PERRON_EFFECT_SEND)
			continue;
		assert_int_equal(perron_frame_decode(e->data, e->size, &h), PERRON_DROP_NONE);
		if (h.type != type || (to && h.destination != to))
			continue;
		count++;
		if (header)
			*header = h;
		if (payload)
			memcpy(payload, e->data + PERRON_HEADER_SIZE, h.length);
	}
	return count;
}

/* --- frames to it --- */

static struct perron_header header_from(struct rig *g, uint32_t peer, uint8_t type)
{
	return (struct perron_header){
		.type = type,
		.class = type >= PERRON_TYPE_CONTROL_FIRST || type == PERRON_TYPE_BEAT
				 ? PERRON_CLASS_OVERLAY
				 : ALARM,
		.fragment_count = 1,
		.overlay = OVERLAY,
		.source = peer,
		.source_incarnation = 1,
		.destination = SELF,
		.destination_incarnation = LIFE,
		.stream = type < PERRON_TYPE_CONTROL_FIRST ? STREAM : 0,
		.origin_ns = g->now_ns,
		.link_sequence = peer & PERRON_CLIENT_ID ? 0 : ++g->link_sequence,
	};
}

static uint8_t *frame_add(struct rig *g, const struct perron_header *header, const void *payload)
{
	uint32_t i = g->frame_count++;
	uint8_t *data = g->data[i];

	assert_true(i < PERRON_BURST_MAX);
	memset(data, 0, PERRON_FRAME_SIZE_MAX);
	if (header->length && payload)
		memcpy(data + PERRON_HEADER_SIZE, payload, header->length);
	g->frames[i] = (struct perron_frame){
		.data = data,
		.length = perron_frame_encode(data, header),
		.class = header->class,
		.from = {header->source, 7400},
		.handle = g->handle++,
	};
	return data;
}

static void input(struct rig *g)
{
	perron_effects_reset(&g->out);
	perron_relay_input(g->relay, g->now_ns, g->frames, g->frame_count, &g->out);
	g->frame_count = 0;
	effects_note(g);
}

static void give(struct rig *g, const struct perron_header *header, const void *payload)
{
	frame_add(g, header, payload);
	input(g);
}

static void data_from(struct rig *g, uint32_t peer, uint64_t sequence)
{
	struct perron_header header = header_from(g, peer, PERRON_TYPE_DATA);

	header.sequence = sequence;
	header.length = 4;
	give(g, &header, "data");
}

static void gap_from(struct rig *g, uint32_t peer, uint64_t sequence)
{
	struct perron_header header = header_from(g, peer, PERRON_TYPE_GAP);

	header.sequence = sequence;
	give(g, &header, NULL);
}

static void ack_add(struct rig *g, uint32_t from, uint64_t cumulative, uint64_t bitmap)
{
	struct perron_header header = header_from(g, from, PERRON_TYPE_ACK);
	uint8_t payload[PERRON_ACK_SIZE];

	header.sequence = cumulative;
	header.length = PERRON_ACK_SIZE;
	perron_store64(payload, bitmap);
	frame_add(g, &header, payload);
}

static void ack_from(struct rig *g, uint32_t from, uint64_t cumulative, uint64_t bitmap)
{
	ack_add(g, from, cumulative, bitmap);
	input(g);
}

/* --- places to start from --- */

static int link_open(struct rig *g, uint32_t peer)
{
	return command(g, (struct order){.kind = PERRON_COMMAND_LINK_OPEN,
						  .party = party(peer)});
}

static uint32_t beat_to(struct rig *g, uint32_t peer)
{
	struct perron_header header = {0};

	tick(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_BEAT, peer, &header, NULL), 1);
	return header.link_sequence;
}

static void beat_from(struct rig *g, uint32_t peer, uint32_t ack)
{
	struct perron_header header = header_from(g, peer, PERRON_TYPE_BEAT);
	uint8_t payload[PERRON_BEAT_SIZE] = {0};

	header.length = PERRON_BEAT_SIZE;
	header.link_ack = ack;
	give(g, &header, payload);
}

static void link_up(struct rig *g, uint32_t peer)
{
	assert_int_equal(link_open(g, peer), 0);
	beat_from(g, peer, beat_to(g, peer));
	assert_non_null(event_of(g, PERRON_EVENT_LINK_UP));
}

static struct order path_command(uint8_t kind, uint8_t class, uint32_t id,
					  uint64_t sequence)
{
	return (struct order){
		.kind = kind,
		.class = class,
		.stream = STREAM,
		.sequence = sequence,
		.party = party(id),
	};
}

static void branch_open(struct rig *g, uint8_t class, uint32_t id, uint64_t from)
{
	assert_int_equal(command(g, path_command(PERRON_COMMAND_BRANCH_OPEN, class, id, from)),
			 0);
}

static void branch_close(struct rig *g, uint8_t class, uint32_t id)
{
	assert_int_equal(command(g, path_command(PERRON_COMMAND_BRANCH_CLOSE, class, id, 0)), 0);
}

/* Relays the stream from UP: its first frame here is 100. */
static struct rig *relaying(const struct perron_relay_config *cfg, uint32_t branch)
{
	struct rig *g = rig_make(cfg);

	link_up(g, UP);
	if (!(branch & PERRON_CLIENT_ID))
		link_up(g, branch);
	branch_open(g, ALARM, branch, 0);
	assert_null(event_of(g, PERRON_EVENT_BRANCH_READY));
	assert_int_equal(command(g, path_command(PERRON_COMMAND_UPSTREAM, ALARM, UP, 0)), 0);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_START, ALARM, UP, 100)), 0);
	assert_int_equal(event_of(g, PERRON_EVENT_BRANCH_READY)->sequence, 100);
	return g;
}

/* The sensor is here: its first frame is 100. */
static struct rig *originating(const struct perron_relay_config *cfg)
{
	struct rig *g = rig_make(cfg);

	assert_int_equal(command(g, path_command(PERRON_COMMAND_STREAM_OPEN, 0, 0, 100)), 0);
	return g;
}

static enum perron_offer offer_at(struct rig *g, uint32_t count, uint64_t stamp_ns)
{
	struct perron_frame frames[PERRON_FRAGMENT_COUNT_MAX];

	assert_true(count <= PERRON_BURST_MAX);
	for (uint32_t i = 0; i < count; i++)
		frames[i] = (struct perron_frame){.data = g->data[i],
						  .length = PERRON_HEADER_SIZE + 10,
						  .handle = g->handle++};
	perron_effects_reset(&g->out);
	enum perron_offer answer = perron_relay_offer(g->relay, g->now_ns, STREAM, stamp_ns,
						      frames, count, false, &g->out);
	effects_note(g);
	return answer;
}

static enum perron_offer offer(struct rig *g, uint32_t count)
{
	return offer_at(g, count, g->now_ns);
}

static void offer_many(struct rig *g, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(offer(g, 1), PERRON_OFFER_ACCEPTED);
}

static struct perron_path_info path_info(struct rig *g, uint8_t class)
{
	struct perron_path_info infos[16];
	uint32_t count = perron_relay_paths_read(g->relay, infos, 16);

	for (uint32_t i = 0; i < count; i++)
		if (infos[i].class == class)
			return infos[i];
	fail_msg("no path of class %u", class);
	return infos[0];
}

static struct perron_link_info link_info(struct rig *g, uint32_t peer)
{
	struct perron_link_info infos[16];
	uint32_t count = perron_relay_links_read(g->relay, infos, 16);

	for (uint32_t i = 0; i < count; i++)
		if (infos[i].party.id == peer)
			return infos[i];
	fail_msg("no link with %u", peer);
	return infos[0];
}

static struct perron_detector_info detector_info(struct rig *g, uint32_t peer)
{
	struct perron_detector_info info;

	assert_true(perron_relay_detector_read(g->relay, g->now_ns, peer, &info));
	return info;
}

/* --- each cause of a drop: counted once, and nothing else changed --- */

/* What the relay counts of a stream; 0: of all. */
static uint64_t stream_drops(struct rig *g, uint32_t stream, enum perron_drop cause)
{
	struct perron_relay_drop rows[64];
	uint32_t count = perron_relay_drops_read(g->relay, rows, 64);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		if (rows[i].cause == cause && (!stream || rows[i].stream == stream))
			sum += rows[i].count;
	return sum;
}

/* The relay's memory but its counters (which are inside, and found by what they count). */
struct snapshot {
	uint8_t *memory;
	size_t size;
	struct perron_relay_counters counters;
	uint64_t of_streams[PERRON_DROP_COUNT];
};

static struct snapshot snapshot_of(struct rig *g)
{
	struct snapshot s = {.size = perron_relay_size(&g->cfg)};

	s.memory = malloc(s.size);
	memcpy(s.memory, g->relay, s.size);
	perron_relay_counters_read(g->relay, &s.counters);
	for (uint32_t cause = 1; cause < PERRON_DROP_COUNT; cause++)
		s.of_streams[cause] = stream_drops(g, 0, (enum perron_drop)cause);
	return s;
}

/* Takes back what the stream counted, where the stream is known: one word, one more. */
static void stream_count_take_back(struct rig *g, struct snapshot *before, enum perron_drop cause)
{
	uint64_t more = stream_drops(g, 0, cause) - before->of_streams[cause];

	assert_true(more <= 1);
	for (size_t i = 0; more && i + 8 <= before->size; i += 8) {
		uint64_t was, is;
		memcpy(&was, before->memory + i, 8);
		memcpy(&is, (uint8_t *)g->relay + i, 8);
		more -= is == was + 1;
		if (is == was + 1)
			memcpy(before->memory + i, &is, 8);
	}
	assert_int_equal(more, 0);
}

static void assert_only_counted(struct rig *g, struct snapshot *before, enum perron_drop cause)
{
	struct perron_relay_counters now;

	assert_int_equal(g->out.count, 0);
	perron_relay_counters_read(g->relay, &now);
	assert_int_equal(now.drop[cause], before->counters.drop[cause] + 1);
	/* Taken back, the counters are as they were: all memory then is. */
	uint8_t *at = NULL;
	for (size_t i = 0; i + sizeof(now) <= before->size && !at; i += 8)
		if (memcmp((uint8_t *)g->relay + i, &now, sizeof(now)) == 0)
			at = before->memory + i;
	assert_non_null(at);
	struct perron_relay_counters expected = before->counters;
	expected.drop[cause]++;
	expected.received = now.received;
	expected.offered = now.offered;
	memcpy(at, &expected, sizeof(expected));
	/* The budget of a call is set by each call. */
	memcpy(at + sizeof(now) + 8, (uint8_t *)g->relay + (at - before->memory) + sizeof(now) + 8,
	       4);
	stream_count_take_back(g, before, cause);
	assert_memory_equal(before->memory, g->relay, before->size);
	free(before->memory);
}

static void assert_dropped(struct rig *g, enum perron_drop cause)
{
	struct snapshot before = snapshot_of(g);

	input(g);
	assert_only_counted(g, &before, cause);
}

static void header_dropped(struct rig *g, const struct perron_header *header,
			   enum perron_drop cause)
{
	frame_add(g, header, NULL);
	assert_dropped(g, cause);
}

/* The bytes are changed after they were encoded, and the header's check is put right. */
static void reseal(uint8_t *data)
{
	perron_store32(data + PERRON_WIRE(header_check),
		       perron_crc32c(0, data, PERRON_WIRE_CHECKED_SIZE));
}

static void the_codecs_causes(void **state)
{
	static const struct {
		uint32_t at;
		uint8_t value;
		enum perron_drop cause;
	} cases[] = {
		{PERRON_WIRE(version), 2, PERRON_DROP_VERSION},
		{PERRON_WIRE(type), 63, PERRON_DROP_TYPE},
		{PERRON_WIRE(class), 4, PERRON_DROP_CLASS},
		{PERRON_WIRE(flags), 0x80, PERRON_DROP_FLAGS},
		{PERRON_WIRE(length) + 1, 3, PERRON_DROP_LENGTH},
		{PERRON_WIRE(length) + 1, 5, PERRON_DROP_TRUNCATED},
		{PERRON_WIRE(fragment_count), 0, PERRON_DROP_FRAGMENT},
	};
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct perron_header header = header_from(g, UP, PERRON_TYPE_DATA);

	(void)state;
	header.sequence = 100;
	header.length = 4;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t *data = frame_add(g, &header, "data");
		data[cases[i].at] = cases[i].value;
		reseal(data);
		assert_dropped(g, cases[i].cause);
	}
	frame_add(g, &header, "data")[20] ^= 1;
	assert_dropped(g, PERRON_DROP_HEADER_CHECK);
	frame_add(g, &header, "data")[PERRON_HEADER_SIZE] ^= 1;
	assert_dropped(g, PERRON_DROP_PAYLOAD_CHECK);
	frame_add(g, &header, "data");
	g->frames[0].length = PERRON_HEADER_SIZE - 1;
	assert_dropped(g, PERRON_DROP_TRUNCATED);
	rig_free(g);
}

static void whose_frame_it_is(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct perron_header data = header_from(g, UP, PERRON_TYPE_DATA), h;

	(void)state;
	data.sequence = 100;
	frame_add(g, &data, NULL);
	g->frames[0].class = PERRON_CLASS_NORMAL; /* by another class's access point */
	assert_dropped(g, PERRON_DROP_CLASS);
	h = data;
	h.overlay = OVERLAY + 1;
	header_dropped(g, &h, PERRON_DROP_OVERLAY);
	h = data;
	h.destination = SELF + 1;
	header_dropped(g, &h, PERRON_DROP_DESTINATION);
	h = data;
	h.destination_incarnation = LIFE - 1;
	header_dropped(g, &h, PERRON_DROP_INCARNATION);
	h = data;
	h.destination_incarnation = LIFE + 1;
	header_dropped(g, &h, PERRON_DROP_INCARNATION);
	h = data;
	h.source_incarnation = 2;
	header_dropped(g, &h, PERRON_DROP_INCARNATION);
	h = data;
	h.source = 0;
	header_dropped(g, &h, PERRON_DROP_STRANGER);
	h = data;
	h.source = SELF;
	header_dropped(g, &h, PERRON_DROP_STRANGER);
	h = data;
	h.source = 99;
	header_dropped(g, &h, PERRON_DROP_STRANGER);
	h = data;
	h.source = CLIENT_A;
	header_dropped(g, &h, PERRON_DROP_STRANGER);
	h = data;
	h.link_sequence = 0; /* unnumbered */
	header_dropped(g, &h, PERRON_DROP_STRANGER);
	h = data;
	h.type = PERRON_TYPE_BEAT;
	h.source = 99;
	header_dropped(g, &h, PERRON_DROP_STRANGER);
	h = data;
	h.type = PERRON_TYPE_GAP;
	h.source = 99;
	header_dropped(g, &h, PERRON_DROP_STRANGER);
	h = data;
	h.type = PERRON_TYPE_ACK;
	h.source = 99;
	header_dropped(g, &h, PERRON_DROP_STRANGER);
	/* Taken once, and then never again, control frame or not. */
	give(g, &data, NULL);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, DOWN), 1);
	header_dropped(g, &data, PERRON_DROP_REPLAY);
	h = data;
	h.type = PERRON_TYPE_LEAVE;
	header_dropped(g, &h, PERRON_DROP_REPLAY);
	h = data;
	h.type = PERRON_TYPE_ACK;
	header_dropped(g, &h, PERRON_DROP_REPLAY);
	rig_free(g);
}

/* What comes over a link counts as a sign of life, whatever becomes of it then. */
static void path_dropped(struct rig *g, enum perron_drop cause)
{
	uint64_t before = drops(g, cause), all = drops_all(g);
	struct perron_path_info was = path_info(g, ALARM);

	input(g);
	assert_int_equal(drops(g, cause), before + 1);
	assert_int_equal(drops_all(g), all + 1);
	assert_int_equal(g->out.count, 0);
	struct perron_path_info is = path_info(g, ALARM);
	assert_in_range(is.dropped - was.dropped, 0, 1);
	was.dropped = is.dropped;
	assert_memory_equal(&was, &is, sizeof(was));
}

static void data_dropped(struct rig *g, uint32_t peer, uint8_t type, uint8_t class,
			 uint64_t sequence, enum perron_drop cause)
{
	struct perron_header header = header_from(g, peer, type);

	header.class = class;
	header.sequence = sequence;
	frame_add(g, &header, NULL);
	path_dropped(g, cause);
}

static void which_stream_and_which_way(void **state)
{
	static const uint8_t types[] = {PERRON_TYPE_DATA, PERRON_TYPE_GAP};
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t type = types[i];
		data_dropped(g, UP, type, PERRON_CLASS_NORMAL, 100, PERRON_DROP_UNKNOWN_STREAM);
		data_dropped(g, UP, type, PERRON_CLASS_OVERLAY, 100, PERRON_DROP_UNKNOWN_STREAM);
		data_dropped(g, DOWN, type, ALARM, 100, PERRON_DROP_WRONG_UPSTREAM);
		data_dropped(g, UP, type, ALARM, 0, PERRON_DROP_MALFORMED);
		data_dropped(g, UP, type, ALARM, UINT64_MAX, PERRON_DROP_MALFORMED);
		data_dropped(g, UP, type, ALARM, PERRON_SEQUENCE_MAX + 1, PERRON_DROP_MALFORMED);
	}
	data_dropped(g, UP, PERRON_TYPE_GAP, ALARM, 100, PERRON_DROP_DUPLICATE);
	rig_free(g);
}

static void data_before_the_start_is_early(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = rig_make(&cfg);

	(void)state;
	link_up(g, UP);
	branch_open(g, ALARM, CLIENT_A, 0);
	data_dropped(g, UP, PERRON_TYPE_DATA, ALARM, 100, PERRON_DROP_WRONG_UPSTREAM);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_UPSTREAM, ALARM, UP, 0)), 0);
	data_dropped(g, UP, PERRON_TYPE_DATA, ALARM, 100, PERRON_DROP_EARLY);
	data_dropped(g, UP, PERRON_TYPE_GAP, ALARM, 100, PERRON_DROP_EARLY);
	rig_free(g);
}

static void acknowledgements_that_are_not_taken(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, CLIENT_A);
	struct perron_header h;

	(void)state;
	data_from(g, UP, 100);
	ack_add(g, CLIENT_B, 100, 0);
	path_dropped(g, PERRON_DROP_WRONG_BRANCH);
	ack_add(g, UP, 100, 0);
	path_dropped(g, PERRON_DROP_WRONG_BRANCH);
	ack_add(g, CLIENT_A, 101, 0);
	path_dropped(g, PERRON_DROP_IMPOSSIBLE_SEQUENCE);
	ack_add(g, CLIENT_A, 100, 1);
	path_dropped(g, PERRON_DROP_IMPOSSIBLE_SEQUENCE);
	ack_add(g, CLIENT_A, UINT64_MAX, UINT64_MAX);
	path_dropped(g, PERRON_DROP_IMPOSSIBLE_SEQUENCE);
	h = header_from(g, CLIENT_A, PERRON_TYPE_ACK);
	h.sequence = 100;
	h.length = PERRON_ACK_SIZE - 1;
	frame_add(g, &h, NULL);
	path_dropped(g, PERRON_DROP_MALFORMED);
	h.length = PERRON_ACK_SIZE + 1;
	frame_add(g, &h, NULL);
	path_dropped(g, PERRON_DROP_MALFORMED);
	h.length = PERRON_ACK_SIZE;
	h.source_incarnation = 2;
	frame_add(g, &h, NULL);
	path_dropped(g, PERRON_DROP_WRONG_BRANCH);
	h.source_incarnation = 1;
	h.stream++;
	frame_add(g, &h, NULL);
	path_dropped(g, PERRON_DROP_UNKNOWN_STREAM);
	h.stream--;
	give(g, &h, NULL);
	assert_int_equal(drops_all(g), 9);
	rig_free(g);
}

static void a_beat_of_another_size_is_malformed(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct perron_header h = header_from(g, UP, PERRON_TYPE_BEAT);

	(void)state;
	h.length = PERRON_BEAT_SIZE + 1;
	frame_add(g, &h, NULL);
	path_dropped(g, PERRON_DROP_MALFORMED);
	rig_free(g);
}

static void offers_that_are_refused(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = rig_make(&cfg);

	(void)state;
	struct snapshot s = snapshot_of(g);
	assert_int_equal(offer(g, 1), PERRON_OFFER_UNKNOWN_STREAM);
	assert_only_counted(g, &s, PERRON_DROP_UNKNOWN_STREAM);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_STREAM_OPEN, 0, 0, 100)), 0);
	s = snapshot_of(g);
	assert_int_equal(offer(g, 1), PERRON_OFFER_NO_SUBSCRIBER);
	assert_only_counted(g, &s, PERRON_DROP_NO_SUBSCRIBER);
	assert_int_equal(stream_drops(g, STREAM, PERRON_DROP_NO_SUBSCRIBER), 1);
	struct order open = path_command(PERRON_COMMAND_BRANCH_OPEN, ALARM, CLIENT_A, 0);
	open.value = 1000;
	assert_int_equal(command(g, open), 0);
	s = snapshot_of(g);
	assert_int_equal(offer_at(g, 1, g->now_ns - 1001000), PERRON_OFFER_DEADLINE_IMPOSSIBLE);
	assert_only_counted(g, &s, PERRON_DROP_DEADLINE);
	assert_int_equal(stream_drops(g, STREAM, PERRON_DROP_DEADLINE), 1);
	assert_int_equal(path_info(g, ALARM).deadline_us, 1000);
	assert_int_equal(offer_at(g, 1, g->now_ns - 1000000), PERRON_OFFER_ACCEPTED);
	/* A clock read a little later than ours is no age at all. */
	assert_int_equal(offer_at(g, 1, g->now_ns + 50), PERRON_OFFER_ACCEPTED);
	rig_free(g);
}

static void a_full_window_would_block(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = originating(&cfg);

	(void)state;
	branch_open(g, ALARM, DOWN, 0);
	offer_many(g, 60);
	struct snapshot s = snapshot_of(g);
	assert_int_equal(offer(g, 5), PERRON_OFFER_WOULD_BLOCK);
	assert_only_counted(g, &s, PERRON_DROP_ORIGIN_FULL);
	assert_int_equal(stream_drops(g, STREAM, PERRON_DROP_ORIGIN_FULL), 1);
	assert_int_equal(path_info(g, ALARM).held, 60);
	assert_int_equal(offer(g, 4), PERRON_OFFER_ACCEPTED);
	assert_int_equal(offer(g, 1), PERRON_OFFER_WOULD_BLOCK);
	assert_int_equal(g->held, 64);
	rig_free(g);
}

/* All of a message's frames are taken, or none, whatever room the effects have. */
static void no_room_for_effects_would_block(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = originating(&cfg);
	struct perron_frame frame = {.data = g->data[0], .length = PERRON_HEADER_SIZE};

	(void)state;
	branch_open(g, ALARM, CLIENT_A, 0);
	for (uint32_t left = 0; left <= 3; left++) {
		perron_effects_reset(&g->out);
		g->out.count = PERRON_EFFECT_COUNT_MAX -
			       PERRON_EFFECT_RESERVE(PERRON_EFFECT_COUNT_MAX) - left;
		assert_int_equal(perron_relay_offer(g->relay, g->now_ns, STREAM, g->now_ns, &frame,
						    1, false, &g->out),
				 left < 2 ? PERRON_OFFER_WOULD_BLOCK : PERRON_OFFER_ACCEPTED);
	}
	/* Even in the middle of the reserve. */
	g->out.count = PERRON_EFFECT_COUNT_MAX - 10;
	assert_int_equal(perron_relay_offer(g->relay, g->now_ns, STREAM, g->now_ns, &frame, 1,
					    false, &g->out),
			 PERRON_OFFER_WOULD_BLOCK);
	rig_free(g);
}

static void effects_full_is_counted(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, CLIENT_A);
	struct perron_header header = header_from(g, UP, PERRON_TYPE_DATA);

	(void)state;
	header.sequence = 100;
	frame_add(g, &header, NULL);
	perron_effects_reset(&g->out);
	g->out.capacity = 0;
	perron_relay_input(g->relay, g->now_ns, g->frames, 1, &g->out);
	assert_int_equal(drops(g, PERRON_DROP_EFFECTS_FULL), 1);
	g->frame_count = 0;
	header = header_from(g, UP, PERRON_TYPE_LEAVE);
	frame_add(g, &header, NULL);
	perron_relay_input(g->relay, g->now_ns, g->frames, 1, &g->out);
	assert_int_equal(drops(g, PERRON_DROP_EFFECTS_FULL), 2);
	perron_relay_check(g->relay);
	rig_free(g);
}

/* --- commands --- */

static void bad_commands_are_refused(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct order c = {.kind = PERRON_COMMAND_NONE};

	(void)state;
	assert_int_equal(command(g, c), -EINVAL);
	c.kind = PERRON_COMMAND_COUNT;
	assert_int_equal(command(g, c), -EINVAL);
	c.kind = 255;
	assert_int_equal(command(g, c), -EINVAL);
	assert_int_equal(link_open(g, 0), -EINVAL);
	assert_int_equal(link_open(g, SELF), -EINVAL);
	assert_int_equal(link_open(g, CLIENT_A), -EINVAL);
	c = (struct order){.kind = PERRON_COMMAND_LINK_CLOSE, .party = party(99)};
	assert_int_equal(command(g, c), -ENOENT);
	c = (struct order){.kind = PERRON_COMMAND_SEND, .party = party(99)};
	c.type = PERRON_TYPE_ACK; /* not housekeeping's */
	assert_int_equal(command(g, c), -EINVAL);
	c.type = PERRON_TYPE_CONTROL_LAST + 1;
	assert_int_equal(command(g, c), -EINVAL);
	c.type = PERRON_TYPE_LEAVE;
	c.payload_size = PERRON_PAYLOAD_SIZE_MAX + 1;
	assert_int_equal(command(g, c), -EINVAL);
	c.payload_size = 0;
	c.party.id = 0;
	assert_int_equal(command(g, c), -EINVAL);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_STREAM_OPEN, 0, 0, 0)), -EINVAL);
	c = path_command(PERRON_COMMAND_STREAM_OPEN, 0, 0, 1);
	c.stream = 0;
	assert_int_equal(command(g, c), -EINVAL);
	c = path_command(PERRON_COMMAND_STREAM_CLOSE, 0, 0, 0);
	assert_int_equal(command(g, c), -ENOENT);
	c = path_command(PERRON_COMMAND_BRANCH_OPEN, PERRON_CLASS_OVERLAY, CLIENT_A, 0);
	assert_int_equal(command(g, c), -EINVAL);
	c = path_command(PERRON_COMMAND_BRANCH_OPEN, ALARM, 0, 0);
	assert_int_equal(command(g, c), -EINVAL);
	c = path_command(PERRON_COMMAND_BRANCH_CLOSE, ALARM, CLIENT_A, 0);
	assert_int_equal(command(g, c), -ENOENT);
	c = path_command(PERRON_COMMAND_BRANCH_CLOSE, PERRON_CLASS_NORMAL, DOWN, 0);
	assert_int_equal(command(g, c), -ENOENT);
	c = path_command(PERRON_COMMAND_UPSTREAM, PERRON_CLASS_NORMAL, UP, 0);
	assert_int_equal(command(g, c), -ENOENT);
	c = path_command(PERRON_COMMAND_START, PERRON_CLASS_NORMAL, UP, 1);
	assert_int_equal(command(g, c), -ENOENT);
	c = path_command(PERRON_COMMAND_START, ALARM, UP, 0);
	assert_int_equal(command(g, c), -EINVAL);
	c = path_command(PERRON_COMMAND_START, ALARM, UP, UINT64_MAX);
	assert_int_equal(command(g, c), -EINVAL);
	assert_int_equal(drops_all(g), 0);
	rig_free(g);
}

static void a_config_out_of_range_is_refused(void **state)
{
	struct perron_relay_config good = config(), bad;
	struct rig *g = rig_make(&good);

	(void)state;
#define REFUSED(field, value)                                                                      \
	do {                                                                                       \
		bad = good;                                                                        \
		bad.field = value;                                                                 \
		assert_int_equal(perron_relay_init(g->relay, &bad, T0), -EINVAL);                  \
	} while (0)
	REFUSED(peer, 0);
	REFUSED(peer, CLIENT_A);
	REFUSED(link_count_max, 0);
	REFUSED(path_count_max, 0);
	REFUSED(branch_count_max, 0);
	REFUSED(branch_count_max, PERRON_BRANCH_COUNT_MAX + 1);
	REFUSED(stream_count_max, 0);
	REFUSED(origin_count_max, 0);
	REFUSED(origin_window, 32);
	REFUSED(origin_window, 96);
	REFUSED(client_lag_max, 1);
	REFUSED(client_lag_max, 64);
	REFUSED(detector.interval_ns, 0);
	REFUSED(detector.timeout_ns_max, good.detector.interval_ns);
	REFUSED(retry_ns_min, 0);
	REFUSED(retry_ns_max, good.retry_ns_min - 1);
	const struct perron_detector_override wrong = {.peer = UP};
	bad = good;
	bad.detector_overrides = &wrong;
	bad.detector_override_count = 1;
	assert_int_equal(perron_relay_init(g->relay, &bad, T0), -EINVAL);
#undef REFUSED
	assert_int_equal(perron_relay_init(g->relay, &good, T0), 0);
	rig_free(g);
}

static void full_tables_are_said(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = originating(&cfg);
	struct order c;

	(void)state;
	for (uint32_t id = 10; id < 14; id++)
		assert_int_equal(link_open(g, id), 0);
	assert_int_equal(link_open(g, 14), -ENOSPC);
	c = (struct order){.kind = PERRON_COMMAND_LINK_CLOSE, .party = party(11)};
	assert_int_equal(command(g, c), 0);
	assert_int_equal(link_open(g, 14), 0);

	c = path_command(PERRON_COMMAND_STREAM_OPEN, 0, 0, 1);
	assert_int_equal(command(g, c), 0); /* open already: said again */
	c.stream = STREAM + 1;
	assert_int_equal(command(g, c), 0);
	c.stream = STREAM + 2;
	assert_int_equal(command(g, c), -ENOSPC);

	/* Three origins, then one path more that is relayed, then none. */
	for (uint8_t class = 0; class < 3; class++)
		branch_open(g, class, CLIENT_A, 0);
	c = path_command(PERRON_COMMAND_BRANCH_OPEN, ALARM, CLIENT_A, 0);
	c.stream = STREAM + 1;
	assert_int_equal(command(g, c), -ENOSPC);
	c.stream = STREAM + 7;
	assert_int_equal(command(g, c), 0);
	c.stream = STREAM + 8;
	assert_int_equal(command(g, c), -ENOSPC);
	branch_close(g, 1, CLIENT_A);
	assert_int_equal(command(g, c), 0);
	rig_free(g);
}

static void the_table_of_branches_has_an_end(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = originating(&cfg);

	(void)state;
	for (uint32_t i = 0; i < cfg.branch_count_max; i++)
		branch_open(g, ALARM, CLIENT_A + i, 0);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_BRANCH_OPEN, ALARM, 77, 0)),
			 -ENOSPC);
	assert_int_equal(path_info(g, ALARM).branch_count, cfg.branch_count_max);
	rig_free(g);
}

static void a_control_frame_goes_to_strangers_unnumbered(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = rig_make(&cfg);
	struct order c = {
		.kind = PERRON_COMMAND_SEND, .type = PERRON_TYPE_LEAVE, .party = party(UP)};
	struct perron_header h;

	(void)state;
	assert_int_equal(command(g, c), 0);
	assert_int_equal(sent_of(g, PERRON_TYPE_LEAVE, UP, &h, NULL), 1);
	assert_int_equal(h.link_sequence, 0);
	link_up(g, UP);
	assert_int_equal(command(g, c), 0);
	assert_int_equal(sent_of(g, PERRON_TYPE_LEAVE, UP, &h, NULL), 1);
	assert_true(h.link_sequence != 0);
	assert_true(h.link_ack != 0);
	/* To another life of the neighbour, the link's numbers mean nothing. */
	c.party.incarnation = 2;
	assert_int_equal(command(g, c), 0);
	assert_int_equal(sent_of(g, PERRON_TYPE_LEAVE, UP, &h, NULL), 1);
	assert_int_equal(h.link_sequence, 0);
	assert_int_equal(h.destination_incarnation, 2);
	rig_free(g);
}

static void a_control_frame_is_handed_on(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct perron_header h = header_from(g, 99, PERRON_TYPE_BIND);

	(void)state;
	h.length = 3;
	give(g, &h, "abc");
	const struct perron_event *e = event_of(g, PERRON_EVENT_CONTROL);
	assert_false(e->linked);
	assert_int_equal(e->type, PERRON_TYPE_BIND);
	assert_int_equal(e->party.id, 99);
	assert_int_equal(e->party.endpoint.address, 99);
	assert_int_equal(e->payload_size, 3);
	assert_memory_equal(e->payload, "abc", 3);
	h = header_from(g, UP, PERRON_TYPE_LEAVE);
	give(g, &h, NULL);
	assert_true(event_of(g, PERRON_EVENT_CONTROL)->linked);
	h = header_from(g, UP, PERRON_TYPE_LEAVE);
	h.source_incarnation = 2; /* another life: it may be heard, but not over the link */
	give(g, &h, NULL);
	assert_false(event_of(g, PERRON_EVENT_CONTROL)->linked);
	h = header_from(g, UP, PERRON_TYPE_LEAVE);
	h.link_sequence = 0;
	give(g, &h, NULL);
	assert_false(event_of(g, PERRON_EVENT_CONTROL)->linked);
	rig_free(g);
}

/* --- links --- */

static void a_link_comes_up_when_both_were_heard(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = rig_make(&cfg);

	(void)state;
	assert_int_equal(link_open(g, UP), 0);
	assert_true(perron_relay_deadline_ns(g->relay) <= g->now_ns);
	uint32_t mine = beat_to(g, UP);
	beat_from(g, UP, 0);
	assert_null(event_of(g, PERRON_EVENT_LINK_UP));
	assert_int_equal(link_info(g, UP).state, PERRON_LINK_OPENING);
	/* It waits for our first word: that leaves at once, not after an interval. */
	assert_true(perron_relay_deadline_ns(g->relay) <= g->now_ns);
	assert_true(beat_to(g, UP) == mine + 1);
	beat_from(g, UP, mine);
	assert_int_equal(event_of(g, PERRON_EVENT_LINK_UP)->party.id, UP);
	assert_int_equal(link_info(g, UP).state, PERRON_LINK_UP);
	/* Once, unless housekeeping asks again: it may not have heard. */
	beat_from(g, UP, mine);
	assert_null(event_of(g, PERRON_EVENT_LINK_UP));
	assert_int_equal(link_open(g, UP), 0);
	assert_non_null(event_of(g, PERRON_EVENT_LINK_UP));
	rig_free(g);
}

static void a_silent_neighbour_is_called_down_once(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	uint64_t end = g->now_ns + cfg.detector.timeout_ns_max;
	uint32_t beats = 0;

	(void)state;
	while (perron_relay_deadline_ns(g->relay) <= end) {
		g->now_ns = perron_relay_deadline_ns(g->relay);
		tick(g);
		beats += sent_of(g, PERRON_TYPE_BEAT, UP, NULL, NULL);
		assert_null(event_of(g, PERRON_EVENT_LINK_DOWN));
	}
	assert_true(beats >= 4 && beats <= 6);
	g->now_ns = perron_relay_deadline_ns(g->relay);
	assert_int_equal(g->now_ns, end + 1);
	tick(g);
	const struct perron_event *e = event_of(g, PERRON_EVENT_LINK_DOWN);
	assert_non_null(e);
	assert_false(e->evidence.one_way);
	assert_int_equal(e->evidence.last_heard_ns, cfg.detector.timeout_ns_max + 1);
	g->now_ns += cfg.detector.timeout_ns_max;
	tick(g);
	assert_null(event_of(g, PERRON_EVENT_LINK_DOWN));
	assert_int_equal(sent_of(g, PERRON_TYPE_BEAT, 0, NULL, NULL), 0);
	/* What it sends after the verdict is a stranger's, until it is opened anew. */
	beat_from(g, UP, 0);
	assert_int_equal(drops(g, PERRON_DROP_STRANGER), 1);
	link_up(g, UP);
	rig_free(g);
}

static void its_own_stall_is_excused(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	uint64_t stalled_ns;

	(void)state;
	tick(g);
	stalled_ns = perron_relay_deadline_ns(g->relay) + 2 * cfg.detector.timeout_ns_max;
	g->now_ns = stalled_ns;
	tick(g);
	assert_null(event_of(g, PERRON_EVENT_LINK_DOWN));
	assert_int_equal(sent_of(g, PERRON_TYPE_BEAT, UP, NULL, NULL), 1);
	assert_int_equal(detector_info(g, UP).spared, 1);
	while (g->now_ns < stalled_ns + cfg.detector.timeout_ns_max - cfg.detector.interval_ns) {
		g->now_ns = perron_relay_deadline_ns(g->relay);
		tick(g);
		assert_null(event_of(g, PERRON_EVENT_LINK_DOWN));
	}
	g->now_ns += cfg.detector.interval_ns + 1;
	tick(g);
	assert_non_null(event_of(g, PERRON_EVENT_LINK_DOWN));
	rig_free(g);
}

/* Work left for the next tick must not look like a stall: it would excuse a dead neighbour. */
static void work_left_over_is_no_stall(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;
	bool down = false;

	(void)state;
	cfg.origin_window = 2048;
	cfg.client_lag_max = 1024;
	g = originating(&cfg);
	link_up(g, DOWN);
	link_up(g, UP);
	branch_open(g, ALARM, CLIENT_A, 0);
	branch_open(g, ALARM, DOWN, 0);
	offer_many(g, 1000);
	ack_from(g, CLIENT_A, 1099, 0);
	ack_from(g, DOWN, 1099, 0); /* lets go of 256; more is left for the ticks */
	while (g->held) {
		assert_true(perron_relay_deadline_ns(g->relay) <= g->now_ns + 1000);
		g->now_ns += 1000;
		tick(g);
	}
	assert_int_equal(detector_info(g, UP).gap_ns_max / MS, 0);
	for (uint32_t i = 0; i < 12 && !down; i++) {
		g->now_ns += cfg.detector.interval_ns / 2;
		tick(g);
		down = event_of(g, PERRON_EVENT_LINK_DOWN) != NULL;
	}
	assert_true(down);
	rig_free(g);
}

/* Ticks at each deadline until a verdict falls; how long that took. */
static uint64_t verdict_await(struct rig *g, struct perron_evidence *evidence)
{
	uint64_t from_ns = g->now_ns;

	for (uint32_t i = 0; i < 1000; i++) {
		g->now_ns = perron_relay_deadline_ns(g->relay);
		tick(g);
		const struct perron_event *e = event_of(g, PERRON_EVENT_LINK_DOWN);
		if (!e)
			continue;
		*evidence = e->evidence;
		return g->now_ns - from_ns;
	}
	fail_msg("no verdict");
	return 0;
}

/* With pull each beat asks, and an ask is answered at once, by a beat that does not ask. */
static void a_beat_that_asks_is_answered_at_once(void **state)
{
	struct perron_relay_config cfg = config();
	struct perron_header header;
	struct perron_evidence evidence;

	(void)state;
	cfg.detector.kind = PERRON_DETECTOR_PULL;
	struct rig *g = rig_make(&cfg);
	link_up(g, UP);
	header = header_from(g, UP, PERRON_TYPE_BEAT);
	header.flags = PERRON_FLAG_RETRY;
	header.length = PERRON_BEAT_SIZE;
	give(g, &header, (uint8_t[PERRON_BEAT_SIZE]){0});
	assert_true(perron_relay_deadline_ns(g->relay) <= g->now_ns);
	tick(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_BEAT, UP, &header, NULL), 1);
	assert_int_equal(header.flags, 0);
	beat_from(g, UP, header.link_sequence);
	g->now_ns += cfg.detector.interval_ns;
	tick(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_BEAT, UP, &header, NULL), 1);
	assert_int_equal(header.flags, PERRON_FLAG_RETRY);
	assert_int_equal(verdict_await(g, &evidence), cfg.detector.timeout_ns_max + 1);
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_NO_ANSWER);
	rig_free(g);
}

static void a_link_may_have_a_detector_of_its_own(void **state)
{
	struct perron_relay_config cfg = config();
	const struct perron_detector_override own = {
		.peer = UP,
		.config = {.kind = PERRON_DETECTOR_PULL,
			   .interval_ns = 2 * MS,
			   .timeout_ns_min = 4 * MS,
			   .timeout_ns_max = 20 * MS},
	};
	struct rig *g;

	(void)state;
	cfg.detector_overrides = &own;
	cfg.detector_override_count = 1;
	g = rig_make(&cfg);
	link_up(g, UP);
	link_up(g, DOWN);
	assert_int_equal(detector_info(g, UP).config.kind, PERRON_DETECTOR_PULL);
	assert_int_equal(detector_info(g, UP).config.timeout_ns_max, 20 * MS);
	assert_int_equal(detector_info(g, DOWN).config.kind, PERRON_DETECTOR_PUSH);
	assert_true(perron_relay_deadline_ns(g->relay) <= g->now_ns + 2 * MS);
	rig_free(g);
}

static void a_sibling_that_lost_it_halves_the_time(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = rig_make(&cfg);
	struct perron_evidence evidence;

	(void)state;
	link_up(g, UP);
	perron_relay_witness(g->relay, g->now_ns, DOWN); /* no link: nothing */
	perron_relay_witness(g->relay, g->now_ns, UP);
	assert_int_equal(verdict_await(g, &evidence), cfg.detector.timeout_ns_max / 2 + 1);
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_SIBLINGS);
	perron_relay_witness(g->relay, g->now_ns, UP); /* called down already: nothing */
	rig_free(g);
}

static int port_down(struct rig *g, uint32_t peer, bool only)
{
	return command(g, (struct order){.kind = PERRON_COMMAND_PORT_DOWN,
					 .sequence = g->now_ns,
					 .value = only,
					 .party = {.id = peer}});
}

static void a_port_that_went_down_ends_its_links(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = rig_make(&cfg);
	struct perron_evidence evidence;

	(void)state;
	link_up(g, UP);
	link_up(g, DOWN);
	g->now_ns += MS;
	assert_int_equal(port_down(g, 77, true), -ENOENT);
	assert_int_equal(port_down(g, UP, true), 0);
	assert_int_equal(event_of(g, PERRON_EVENT_LINK_DOWN)->party.id, UP);
	assert_int_equal(event_of(g, PERRON_EVENT_LINK_DOWN)->evidence.cause,
			 PERRON_EVIDENCE_PORT_DOWN);
	assert_int_equal(link_info(g, UP).state, PERRON_LINK_DOWN);
	assert_int_equal(link_info(g, DOWN).state, PERRON_LINK_UP);
	/* All of them; there is another way, so each has an interval to be heard. */
	assert_int_equal(port_down(g, 0, false), 0);
	assert_null(event_of(g, PERRON_EVENT_LINK_DOWN));
	assert_int_equal(verdict_await(g, &evidence), cfg.detector.interval_ns);
	assert_int_equal(evidence.cause, PERRON_EVIDENCE_PORT_DOWN);
	rig_free(g);
}

/* --- relaying --- */

static void a_frame_goes_to_each_branch(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	uint32_t last = 0;

	(void)state;
	branch_open(g, ALARM, CLIENT_A, 0);
	assert_int_equal(event_of(g, PERRON_EVENT_BRANCH_READY)->sequence, 100);
	data_from(g, UP, 100);
	assert_int_equal(g->out.count, 2);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, DOWN), 1);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_A), 1);
	for (uint32_t i = 0; i < 2; i++) {
		const struct perron_effect *e = &g->out.items[i];
		assert_int_equal(e->handle, g->handle - 1);
		assert_int_equal(e->hop.source, SELF);
		assert_int_equal(e->hop.source_incarnation, LIFE);
		assert_int_equal(e->hop.destination, e->to.address);
		assert_int_equal(e->hop.class, ALARM);
		assert_int_equal(e->class, ALARM);
		assert_int_equal(e->hop.flags, 0);
		assert_true((e->hop.link_sequence != 0) == (e->to.address == DOWN));
		last += (e->flags & PERRON_EFFECT_LAST) != 0;
	}
	assert_true(g->out.items[1].flags & PERRON_EFFECT_LAST);
	assert_int_equal(last, 1);
	rig_free(g);
}

static void a_frame_goes_only_where_it_is_lacking(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);

	(void)state;
	branch_open(g, ALARM, CLIENT_A, 0);
	data_from(g, UP, 100);
	data_from(g, UP, 101);
	data_from(g, UP, 102);
	ack_from(g, CLIENT_A, 99, 2); /* 101 */
	struct perron_header retry = header_from(g, UP, PERRON_TYPE_DATA);
	retry.sequence = 101;
	retry.flags = PERRON_FLAG_RETRY;
	give(g, &retry, NULL);
	assert_int_equal(g->out.count, 1);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, DOWN), 1);
	assert_int_equal(g->out.items[0].hop.flags, PERRON_FLAG_RETRY);
	assert_true(g->out.items[0].flags & PERRON_EFFECT_LAST);
	ack_from(g, DOWN, 101, 0);
	data_from(g, UP, 101);
	assert_int_equal(g->out.count, 0);
	assert_int_equal(drops(g, PERRON_DROP_DUPLICATE), 1);
	rig_free(g);
}

static void a_branch_without_a_link_is_counted(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct order c = {.kind = PERRON_COMMAND_LINK_CLOSE, .party = party(DOWN)};

	(void)state;
	assert_int_equal(command(g, c), 0);
	data_from(g, UP, 100);
	assert_int_equal(g->out.count, 0);
	assert_int_equal(drops(g, PERRON_DROP_NO_LINK), 1);
	rig_free(g);
}

static void late_frames_are_counted_and_go_on(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct perron_header h = header_from(g, UP, PERRON_TYPE_DATA);

	(void)state;
	h.sequence = 100;
	h.deadline_us = 500;
	h.origin_ns = g->now_ns - 500000;
	give(g, &h, NULL);
	assert_int_equal(path_info(g, ALARM).late, 0);
	h.sequence = 101;
	h.link_sequence = ++g->link_sequence;
	h.origin_ns--;
	give(g, &h, NULL);
	assert_int_equal(path_info(g, ALARM).late, 1);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, DOWN), 1);
	h.sequence = 102;
	h.link_sequence = ++g->link_sequence;
	h.origin_ns = g->now_ns + 5 * MS; /* a clock that goes before ours */
	give(g, &h, NULL);
	assert_int_equal(path_info(g, ALARM).late, 1);
	rig_free(g);
}

/* An upstream sends at once when it is asked; its answer goes another way, and may come later. */
static void what_came_before_the_start_is_asked_for_again(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = rig_make(&cfg);
	struct perron_header h;

	(void)state;
	link_up(g, UP);
	link_up(g, DOWN);
	branch_open(g, ALARM, DOWN, 0);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_UPSTREAM, ALARM, UP, 0)), 0);
	data_from(g, UP, 100);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_START, ALARM, UP, 100)), 0);
	tick(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_ACK, UP, &h, NULL), 1);
	assert_int_equal(h.flags, PERRON_FLAG_RETRY);
	assert_int_equal(h.sequence, 99);
	rig_free(g);
}

static void acknowledgements_go_upstream_in_company(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct perron_header h;
	uint8_t payload[PERRON_ACK_SIZE];

	(void)state;
	branch_open(g, ALARM, CLIENT_A, 0);
	for (uint64_t s = 100; s < 110; s++)
		data_from(g, UP, s);
	ack_from(g, DOWN, 105, 0);
	assert_int_equal(sent_of(g, PERRON_TYPE_ACK, 0, NULL, NULL), 0);
	ack_from(g, CLIENT_A, 102, 3 << 1); /* 104, 105 */
	assert_int_equal(g->out.count, 0);
	assert_int_equal(perron_relay_deadline_ns(g->relay), g->now_ns + cfg.ack_interval_ns);
	g->now_ns += cfg.ack_interval_ns;
	tick(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_ACK, UP, &h, payload), 1);
	assert_int_equal(h.sequence, 102);
	assert_int_equal(h.class, ALARM);
	assert_int_equal(h.stream, STREAM);
	assert_int_equal(perron_load64(payload), 3 << 1);
	assert_int_equal(path_info(g, ALARM).acked, 102);
	/* Said once; again if the upstream shows that it did not hear. */
	g->now_ns += cfg.ack_interval_ns;
	tick(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_ACK, 0, NULL, NULL), 0);
	data_from(g, UP, 101);
	g->now_ns += cfg.ack_interval_ns;
	tick(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_ACK, UP, &h, NULL), 1);
	/* The slower branch ends: what the other has is what all have. */
	branch_close(g, ALARM, CLIENT_A);
	g->now_ns += cfg.ack_interval_ns;
	tick(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_ACK, UP, &h, NULL), 1);
	assert_int_equal(h.sequence, 105);
	rig_free(g);
}

/* It is served from the present, or from where it asked if nobody let go of that yet. */
static void a_late_joiner(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct perron_header h;

	(void)state;
	for (uint64_t s = 100; s < 110; s++)
		data_from(g, UP, s);
	ack_from(g, DOWN, 104, 0);
	g->now_ns += cfg.ack_interval_ns;
	tick(g);
	branch_open(g, ALARM, CLIENT_A, 0);
	assert_int_equal(event_of(g, PERRON_EVENT_BRANCH_READY)->sequence, 110);
	branch_open(g, ALARM, CLIENT_B, 90);
	assert_int_equal(event_of(g, PERRON_EVENT_BRANCH_READY)->sequence, 90);
	/* What was let go here the upstream may still have. */
	assert_int_equal(event_of(g, PERRON_EVENT_RESUME)->sequence, 90);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_START, ALARM, UP, 105)), 0);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_B, &h, NULL), 1);
	assert_int_equal(h.sequence, 105);
	branch_open(g, ALARM, CLIENT_B + 1, 107);
	assert_int_equal(event_of(g, PERRON_EVENT_BRANCH_READY)->sequence, 107);
	data_from(g, UP, 106); /* a retry that one asked for and the other lacks */
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_A), 0);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_B), 1);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_B + 1), 0);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, DOWN), 1);
	/* Asked for again, it is answered again. */
	branch_open(g, ALARM, CLIENT_B + 1, 107);
	assert_int_equal(event_of(g, PERRON_EVENT_BRANCH_READY)->sequence, 107);
	rig_free(g);
}

static void a_path_resumes_where_it_was_acknowledged(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = rig_make(&cfg);
	struct order upstream = path_command(PERRON_COMMAND_UPSTREAM, ALARM, UP, 0);

	(void)state;
	link_up(g, UP);
	link_up(g, DOWN);
	branch_open(g, ALARM, CLIENT_A, 0);
	assert_int_equal(command(g, upstream), 0);
	assert_int_equal(event_of(g, PERRON_EVENT_RESUME)->sequence, 0); /* the present */
	branch_open(g, ALARM, CLIENT_B, 150);
	branch_open(g, ALARM, CLIENT_B + 1, 120);
	assert_int_equal(command(g, upstream), 0);
	assert_int_equal(event_of(g, PERRON_EVENT_RESUME)->sequence, 120);
	assert_int_equal(event_of(g, PERRON_EVENT_RESUME)->party.id, UP);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_START, ALARM, UP, 130)), 0);
	assert_int_equal(effects_of(g, PERRON_EFFECT_EVENT, 0), 2);
	/* That may answer the first question, which knew nothing of who asks for 120. */
	assert_int_equal(command(g, path_command(PERRON_COMMAND_START, ALARM, UP, 130)), 0);
	assert_int_equal(effects_of(g, PERRON_EFFECT_EVENT, 0), 1);
	data_from(g, UP, 130);
	ack_from(g, CLIENT_A, 130, 0);
	ack_from(g, CLIENT_B, 130, 0);
	ack_from(g, CLIENT_B + 1, 130, 0);
	g->now_ns += cfg.ack_interval_ns;
	tick(g);
	/* Another way: from what was said on the old one. */
	upstream.party = party(DOWN);
	assert_int_equal(command(g, upstream), 0);
	assert_int_equal(event_of(g, PERRON_EVENT_RESUME)->sequence, 131);
	data_dropped(g, UP, PERRON_TYPE_DATA, ALARM, 131, PERRON_DROP_WRONG_UPSTREAM);
	data_from(g, DOWN, 131);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_A), 1);
	/* The new one cannot serve all of it: that is said at once. */
	assert_int_equal(command(g, path_command(PERRON_COMMAND_START, ALARM, DOWN, 140)), 0);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, 0, NULL, NULL), 3);
	rig_free(g);
}

static void a_gap_is_repeated_until_it_is_acknowledged(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, CLIENT_A);
	struct perron_header h;

	(void)state;
	gap_from(g, UP, 120);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_A, &h, NULL), 1);
	assert_int_equal(h.sequence, 120);
	ack_from(g, CLIENT_A, 99, 0); /* it has not heard; but it was just told */
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_A, NULL, NULL), 0);
	for (uint32_t i = 0; i < 3; i++) {
		g->now_ns += 5 * MS;
		ack_from(g, CLIENT_A, 99 + i, 0);
		assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_A, &h, NULL), 1);
		assert_int_equal(h.sequence, 120);
	}
	g->now_ns += 5 * MS;
	ack_from(g, CLIENT_A, 119, 0);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_A, NULL, NULL), 0);
	/* Upstream it counts as acknowledged from the first moment. */
	g->now_ns += cfg.ack_interval_ns;
	tick(g);
	assert_int_equal(path_info(g, ALARM).acked, 119);
	rig_free(g);
}

static void a_slow_client_costs_only_itself(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, CLIENT_A);
	const struct perron_event *lag;
	struct perron_header h;
	uint64_t s = 100;

	(void)state;
	branch_open(g, ALARM, CLIENT_B, 0);
	for (; s < 100 + cfg.client_lag_max; s++) {
		data_from(g, UP, s);
		assert_null(event_of(g, PERRON_EVENT_CLIENT_LAG));
		ack_from(g, CLIENT_B, s, 0);
	}
	data_from(g, UP, s); /* 33 frames that CLIENT_A lacks: one too many */
	lag = event_of(g, PERRON_EVENT_CLIENT_LAG);
	assert_non_null(lag);
	assert_int_equal(lag->party.id, CLIENT_A);
	assert_int_equal(lag->sequence, s - cfg.client_lag_max / 2);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_A, &h, NULL), 1);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_B, NULL, NULL), 0);
	assert_int_equal(h.sequence, lag->sequence);
	assert_int_equal(drops(g, PERRON_DROP_CLIENT_LAG), lag->sequence - 100);
	assert_int_equal(stream_drops(g, STREAM, PERRON_DROP_CLIENT_LAG), lag->sequence - 100);
	assert_int_equal(path_info(g, ALARM).dropped, lag->sequence - 100);
	assert_int_equal(path_info(g, ALARM).client_count, 2);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_B), 1);
	ack_from(g, CLIENT_B, s, 0);
	g->now_ns += cfg.ack_interval_ns;
	tick(g);
	assert_int_equal(path_info(g, ALARM).acked, lag->sequence - 1);
	assert_int_equal(path_info(g, ALARM).floor, lag->sequence);
	rig_free(g);
}

/* A neighbour behind is no client: what it lacks is its own clients' matter. */
static void a_slow_neighbour_is_waited_for(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);

	(void)state;
	for (uint64_t s = 100; s < 100 + 3 * cfg.client_lag_max; s++) {
		data_from(g, UP, s);
		assert_null(event_of(g, PERRON_EVENT_CLIENT_LAG));
	}
	rig_free(g);
}

/* --- the origin --- */

static void two_classes_of_one_stream_are_apart(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = originating(&cfg);

	(void)state;
	branch_open(g, ALARM, CLIENT_A, 0);
	branch_open(g, PERRON_CLASS_NORMAL, CLIENT_B, 0);
	assert_int_equal(offer(g, 2), PERRON_OFFER_ACCEPTED);
	/* Held once for each class's own window. */
	assert_int_equal(effects_of(g, PERRON_EFFECT_HOLD, 0), 4);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_A), 2);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_B), 2);
	for (uint32_t i = 0; i < g->out.count; i++)
		if (g->out.items[i].kind == PERRON_EFFECT_FORWARD)
			assert_int_equal(g->out.items[i].class,
					 g->out.items[i].to.address == CLIENT_A
						 ? ALARM
						 : PERRON_CLASS_NORMAL);
	ack_from(g, CLIENT_A, 101, 0);
	assert_int_equal(effects_of(g, PERRON_EFFECT_RELEASE, 0), 2);
	assert_int_equal(path_info(g, PERRON_CLASS_NORMAL).acked, 99);
	assert_int_equal(path_info(g, ALARM).acked, 101);
	branch_close(g, PERRON_CLASS_NORMAL, CLIENT_B);
	tick(g);
	assert_int_equal(offer(g, 1), PERRON_OFFER_ACCEPTED);
	assert_int_equal(effects_of(g, PERRON_EFFECT_HOLD, 0), 1);
	/* Numbers go on across both: a class that comes back starts at the present. */
	branch_open(g, PERRON_CLASS_NORMAL, CLIENT_B, 0);
	assert_int_equal(event_of(g, PERRON_EVENT_BRANCH_READY)->sequence, 103);
	rig_free(g);
}

static void an_origin_writes_the_whole_header(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;
	struct perron_header h;

	(void)state;
	cfg.clock_offset_ns = 77;
	g = originating(&cfg);
	struct order open = path_command(PERRON_COMMAND_BRANCH_OPEN, ALARM, CLIENT_A, 0);
	open.value = 5000;
	assert_int_equal(command(g, open), 0);
	open.party = party(CLIENT_B);
	open.value = 3000; /* the tightest bound counts */
	assert_int_equal(command(g, open), 0);
	assert_int_equal(offer_at(g, 3, g->now_ns - 1000), PERRON_OFFER_ACCEPTED);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(perron_frame_decode(g->data[i], PERRON_HEADER_SIZE + 10, &h),
				 PERRON_DROP_NONE);
		assert_int_equal(h.type, PERRON_TYPE_DATA);
		assert_int_equal(h.sequence, 100 + i);
		assert_int_equal(h.stream, STREAM);
		assert_int_equal(h.fragment_index, i);
		assert_int_equal(h.fragment_count, 3);
		assert_int_equal(h.origin_ns, g->now_ns - 1000 + 77);
		assert_int_equal(h.deadline_us, 3000);
		assert_int_equal(h.overlay, OVERLAY);
	}
	struct order clock = {.kind = PERRON_COMMAND_CLOCK, .value = -5};
	assert_int_equal(command(g, clock), 0);
	assert_int_equal(offer(g, 1), PERRON_OFFER_ACCEPTED);
	assert_int_equal(perron_frame_decode(g->data[0], PERRON_HEADER_SIZE + 10, &h),
			 PERRON_DROP_NONE);
	assert_int_equal(h.origin_ns, g->now_ns - 5);
	rig_free(g);
}

static void a_frame_is_held_until_every_branch_has_it(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = originating(&cfg);

	(void)state;
	branch_open(g, ALARM, CLIENT_A, 0);
	branch_open(g, ALARM, CLIENT_B, 0);
	offer_many(g, 10);
	ack_from(g, CLIENT_A, 109, 0);
	assert_int_equal(g->held, 10);
	ack_from(g, CLIENT_B, 102, 0x1e); /* 104 to 107 */
	assert_int_equal(g->held, 7);
	ack_from(g, CLIENT_B, 103, 0xf);
	assert_int_equal(g->held, 2);
	branch_close(g, ALARM, CLIENT_B);
	assert_int_equal(g->held, 0);
	rig_free(g);
}

static void a_retry_goes_to_those_who_lack_it_and_waits_longer_each_time(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;
	uint64_t timeout_ns = cfg.retry_ns_min;

	(void)state;
	cfg.detector.interval_ns = 3000 * MS;
	cfg.detector.timeout_ns_min = cfg.detector.timeout_ns_max = 9000 * MS;
	cfg.branch_keep_ns = 60000 * MS;
	g = originating(&cfg);
	branch_open(g, ALARM, CLIENT_A, 0);
	branch_open(g, ALARM, CLIENT_B, 0);
	offer_many(g, 1);
	ack_from(g, CLIENT_A, 100, 0);
	for (uint32_t try = 1; try <= cfg.retry_count_max; try++) {
		tick(g); /* early: nothing */
		assert_int_equal(g->out.count, 0);
		assert_int_equal(perron_relay_deadline_ns(g->relay), g->now_ns + timeout_ns);
		g->now_ns += timeout_ns;
		tick(g);
		assert_int_equal(g->out.count, 1);
		assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_B), 1);
		assert_int_equal(g->out.items[0].hop.flags, PERRON_FLAG_RETRY);
		assert_false(g->out.items[0].flags & PERRON_EFFECT_LAST);
		timeout_ns = timeout_ns * 2 < cfg.retry_ns_max ? timeout_ns * 2 : cfg.retry_ns_max;
	}
	g->now_ns += timeout_ns;
	tick(g);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, 0), 0);
	assert_int_equal(event_of(g, PERRON_EVENT_ABANDONED)->sequence, 100);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_B, NULL, NULL), 1);
	assert_int_equal(drops(g, PERRON_DROP_ABANDONED), 1);
	assert_int_equal(path_info(g, ALARM).abandoned, 1);
	assert_int_equal(path_info(g, ALARM).retried, cfg.retry_count_max);
	assert_int_equal(g->held, 0);
	rig_free(g);
}

/* What people see of a stream: how much went by, and which frames were dropped for which cause. */
static void a_stream_has_counts_of_its_own(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);
	struct perron_header data = header_from(g, UP, PERRON_TYPE_DATA);
	const uint8_t payload[10] = {0};

	(void)state;
	data.sequence = 100;
	data.length = sizeof(payload);
	give(g, &data, payload);
	data.flags = PERRON_FLAG_RETRY;
	data.sequence = 101;
	data.link_sequence++;
	give(g, &data, payload);
	assert_int_equal(path_info(g, ALARM).received, 2);
	assert_int_equal(path_info(g, ALARM).bytes, 2 * sizeof(payload));
	assert_int_equal(path_info(g, ALARM).retried, 1);
	assert_int_equal(path_info(g, ALARM).client_count, 0);
	assert_int_equal(path_info(g, ALARM).dropped, 0);
	ack_from(g, DOWN, 101, 0);
	g->link_sequence += 2;
	data_from(g, UP, 100); /* all have it */
	assert_int_equal(stream_drops(g, STREAM, PERRON_DROP_DUPLICATE), 1);
	data_from(g, DOWN, 102);
	assert_int_equal(stream_drops(g, STREAM, PERRON_DROP_WRONG_UPSTREAM), 1);
	assert_int_equal(path_info(g, ALARM).dropped, 2);
	/* Counts end with their path; the relay's own stay. */
	branch_close(g, ALARM, DOWN);
	assert_int_equal(stream_drops(g, STREAM, PERRON_DROP_DUPLICATE), 0);
	assert_int_equal(drops(g, PERRON_DROP_DUPLICATE), 1);
	branch_open(g, ALARM, DOWN, 0);
	assert_int_equal(path_info(g, ALARM).dropped, 0);
	rig_free(g);
}

/* A command that ended a branch may be lost: a branch that nobody renews ends by itself. */
static void a_branch_that_nobody_renews_ends(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;

	(void)state;
	cfg.branch_keep_ns = 400 * MS;
	g = originating(&cfg);
	branch_open(g, ALARM, CLIENT_A, 0);
	branch_open(g, ALARM, CLIENT_B, 0);
	offer_many(g, 1);
	ack_from(g, CLIENT_A, 100, 0);
	assert_int_equal(g->held, 1);
	for (uint32_t i = 0; i < 10; i++) {
		g->now_ns += 100 * MS;
		branch_open(g, ALARM, CLIENT_A, 0);
		tick(g);
	}
	assert_int_equal(g->held, 0); /* B was all that it was kept for */
	for (uint32_t i = 0; i < 10; i++) {
		g->now_ns += 100 * MS;
		tick(g);
	}
	assert_int_equal(perron_relay_paths_read(g->relay, &(struct perron_path_info){0}, 1), 0);
	rig_free(g);
}

/* The last branch is lost, not given up: what was accepted waits, and is counted if in vain. */
static void what_was_accepted_waits_for_a_lost_branch(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;
	struct order lost = path_command(PERRON_COMMAND_BRANCH_CLOSE, ALARM, CLIENT_A, 0);

	(void)state;
	cfg.branch_keep_ns = 400 * MS;
	lost.value = 1;
	g = originating(&cfg);
	branch_open(g, ALARM, CLIENT_A, 0);
	offer_many(g, 2);
	ack_from(g, CLIENT_A, 100, 0);
	assert_int_equal(command(g, lost), 0);
	offer_many(g, 1); /* still asked for */
	g->now_ns += 300 * MS;
	tick(g);
	assert_int_equal(g->held, 2);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, 0), 0);
	branch_open(g, ALARM, CLIENT_A, 101);
	assert_int_equal(event_of(g, PERRON_EVENT_BRANCH_READY)->sequence, 101);
	tick(g);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, CLIENT_A), 2);
	assert_int_equal(command(g, lost), 0);
	g->now_ns += 500 * MS;
	tick(g);
	tick(g);
	assert_int_equal(g->held, 0);
	assert_int_equal(drops(g, PERRON_DROP_ABANDONED), 2);
	assert_int_equal(offer(g, 1), PERRON_OFFER_NO_SUBSCRIBER);
	rig_free(g);
}

/* A GAP that was lost is said again though the branch says nothing. */
static void a_gap_is_said_again(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, CLIENT_A);

	(void)state;
	gap_from(g, UP, 200);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_A, NULL, NULL), 1);
	for (uint32_t i = 0; i < 3; i++) {
		g->now_ns += 60 * MS;
		tick(g);
		assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_A, NULL, NULL), 1);
	}
	ack_from(g, CLIENT_A, 199, 0);
	g->now_ns += 60 * MS;
	tick(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, CLIENT_A, NULL, NULL), 0);
	rig_free(g);
}

/* What stands before an abandoned frame goes with it; what was acknowledged is not counted. */
static void an_abandoned_frame_takes_what_is_before_it(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;

	(void)state;
	cfg.retry_count_max = 0;
	g = originating(&cfg);
	branch_open(g, ALARM, CLIENT_A, 0);
	offer_many(g, 5);
	g->now_ns += cfg.retry_ns_min / 2;
	offer_many(g, 5);
	ack_from(g, CLIENT_A, 101, 0xa); /* 103, 105 */
	assert_int_equal(g->held, 8);
	g->now_ns += cfg.retry_ns_min / 2;
	tick(g); /* 102 and 104 are due; 106 to 109 are not */
	assert_int_equal(drops(g, PERRON_DROP_ABANDONED), 2);
	assert_int_equal(event_of(g, PERRON_EVENT_ABANDONED)->sequence, 102);
	assert_int_equal(path_info(g, ALARM).acked, 105);
	assert_int_equal(g->held, 4);
	rig_free(g);
}

static void a_whole_window_is_abandoned_in_bounded_ticks(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;
	uint32_t ticks = 0, abandoned = 0;

	(void)state;
	cfg.origin_window = 2048;
	cfg.client_lag_max = 2047;
	cfg.retry_count_max = 0;
	g = originating(&cfg);
	branch_open(g, ALARM, CLIENT_A, 0);
	offer_many(g, 2047);
	g->now_ns += cfg.retry_ns_min;
	while (g->held && ticks++ < 1000) {
		tick(g);
		assert_true(sent_of(g, PERRON_TYPE_GAP, 0, NULL, NULL) <= 32);
		assert_true(effects_of(g, PERRON_EFFECT_RELEASE, 0) <= 256);
		abandoned = (uint32_t)drops(g, PERRON_DROP_ABANDONED);
	}
	assert_int_equal(abandoned, 2047);
	assert_int_equal(ticks, 2047 / 32 + 1);
	assert_int_equal(g->held, 0);
	rig_free(g);
}

/* Bits are taken back below (another client came in there); what was let go stays let go. */
static void what_was_let_go_is_not_asked_for(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;

	(void)state;
	cfg.retry_count_max = 0;
	g = originating(&cfg);
	branch_open(g, ALARM, CLIENT_A, 0);
	offer_many(g, 10);
	ack_from(g, CLIENT_A, 100, 0xfe); /* 102 to 108 */
	ack_from(g, CLIENT_A, 100, 0);
	g->now_ns += cfg.retry_ns_min;
	tick(g); /* 101 is abandoned, and 109, which takes all with it */
	assert_int_equal(g->held, 0);
	ack_from(g, CLIENT_A, 101, 2);
	assert_int_equal(path_info(g, ALARM).acked, 109);
	assert_int_equal(path_info(g, ALARM).floor, 110);
	assert_int_equal(offer(g, 1), PERRON_OFFER_ACCEPTED);
	assert_int_equal(g->held, 1);
	rig_free(g);
}

static void a_bit_taken_back_does_not_lower_the_origin(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;

	(void)state;
	cfg.retry_count_max = 0;
	g = originating(&cfg);
	branch_open(g, ALARM, CLIENT_A, 0);
	offer_many(g, 5);
	ack_from(g, CLIENT_A, 100, 0xe); /* 102 to 104 */
	g->now_ns += cfg.retry_ns_min;
	tick(g);
	assert_int_equal(g->held, 0);
	assert_int_equal(drops(g, PERRON_DROP_ABANDONED), 1);
	ack_from(g, CLIENT_A, 101, 0); /* perron_relay_check in effects_note is the test */
	assert_int_equal(path_info(g, ALARM).acked, 104);
	offer_many(g, 5);
	ack_from(g, CLIENT_A, 102, 0);
	assert_int_equal(g->held, 5);
	rig_free(g);
}

static void a_stream_that_closes_lets_go_of_all(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;
	uint32_t ticks = 0;

	(void)state;
	cfg.origin_window = 2048;
	cfg.client_lag_max = 2047;
	g = originating(&cfg);
	branch_open(g, ALARM, CLIENT_A, 0);
	branch_open(g, 1, CLIENT_A, 0);
	offer_many(g, 2047);
	assert_int_equal(command(g, path_command(PERRON_COMMAND_STREAM_CLOSE, 0, 0, 0)), 0);
	assert_int_equal(offer(g, 1), PERRON_OFFER_UNKNOWN_STREAM);
	while (g->held) {
		assert_true(perron_relay_deadline_ns(g->relay) <= g->now_ns);
		tick(g);
		assert_true(effects_of(g, PERRON_EFFECT_RELEASE, 0) <= 256);
		assert_true(++ticks <= 16);
	}
	/* The room is there again. */
	assert_int_equal(command(g, path_command(PERRON_COMMAND_STREAM_OPEN, 0, 0, 9000)), 0);
	for (uint8_t class = 0; class < 3; class++)
		branch_open(g, class, CLIENT_A, 0);
	tick(g);
	assert_int_equal(offer(g, 1), PERRON_OFFER_ACCEPTED);
	assert_int_equal(g->held, 3);
	rig_free(g);
}

/* --- bounds --- */

static void a_giant_acknowledgement_is_let_go_bit_by_bit(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g;
	uint32_t left = 2048;

	(void)state;
	cfg.origin_window = 2048;
	cfg.client_lag_max = 2047;
	g = originating(&cfg);
	link_up(g, DOWN);
	branch_open(g, ALARM, DOWN, 0);
	offer_many(g, 2048);
	assert_int_equal(offer(g, 1), PERRON_OFFER_WOULD_BLOCK);
	ack_from(g, DOWN, 100 + 2047, 0);
	left -= 256;
	assert_int_equal(g->held, left);
	while (left) {
		assert_true(perron_relay_deadline_ns(g->relay) <= g->now_ns);
		tick(g);
		left -= 256;
		assert_int_equal(g->held, left);
	}
	assert_true(perron_relay_deadline_ns(g->relay) > g->now_ns);
	assert_int_equal(g->out.dropped, 0);
	rig_free(g);
}

/* 32 frames, each to 16 clients that all fall behind by it: the most that a burst can cause. */
static void a_burst_to_sixteen_branches_fits(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, CLIENT_A);

	(void)state;
	for (uint32_t i = 1; i < cfg.branch_count_max; i++)
		branch_open(g, ALARM, CLIENT_A + i, 0);
	for (uint32_t i = 0; i < PERRON_BURST_MAX; i++) {
		struct perron_header h = header_from(g, UP, PERRON_TYPE_DATA);
		h.sequence = 100 + i;
		frame_add(g, &h, NULL);
	}
	input(g);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, 0), 32 * 16);
	for (uint32_t i = 0; i < PERRON_BURST_MAX; i++) {
		struct perron_header h = header_from(g, UP, PERRON_TYPE_DATA);
		h.sequence = 200 + 100 * i; /* each leaves everybody behind */
		frame_add(g, &h, NULL);
	}
	input(g);
	assert_int_equal(sent_of(g, PERRON_TYPE_GAP, 0, NULL, NULL), 32 * 16);
	assert_int_equal(effects_of(g, PERRON_EFFECT_FORWARD, 0), 32 * 16);
	assert_int_equal(g->out.dropped, 0);
	assert_int_equal(drops(g, PERRON_DROP_EFFECTS_FULL), 0);
	rig_free(g);
}

static void a_burst_of_control_frames_fits(void **state)
{
	struct perron_relay_config cfg = config();
	struct rig *g = relaying(&cfg, DOWN);

	(void)state;
	for (uint32_t i = 0; i < PERRON_BURST_MAX; i++) {
		struct perron_header h = header_from(g, 99, PERRON_TYPE_BIND);
		h.length = PERRON_PAYLOAD_SIZE_MAX;
		frame_add(g, &h, NULL);
	}
	input(g);
	assert_int_equal(effects_of(g, PERRON_EFFECT_EVENT, 0), PERRON_BURST_MAX);
	assert_int_equal(g->out.dropped, 0);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_codecs_causes),
		cmocka_unit_test(whose_frame_it_is),
		cmocka_unit_test(which_stream_and_which_way),
		cmocka_unit_test(data_before_the_start_is_early),
		cmocka_unit_test(acknowledgements_that_are_not_taken),
		cmocka_unit_test(a_beat_of_another_size_is_malformed),
		cmocka_unit_test(offers_that_are_refused),
		cmocka_unit_test(a_full_window_would_block),
		cmocka_unit_test(no_room_for_effects_would_block),
		cmocka_unit_test(effects_full_is_counted),
		cmocka_unit_test(bad_commands_are_refused),
		cmocka_unit_test(a_config_out_of_range_is_refused),
		cmocka_unit_test(full_tables_are_said),
		cmocka_unit_test(the_table_of_branches_has_an_end),
		cmocka_unit_test(a_control_frame_goes_to_strangers_unnumbered),
		cmocka_unit_test(a_control_frame_is_handed_on),
		cmocka_unit_test(a_link_comes_up_when_both_were_heard),
		cmocka_unit_test(a_silent_neighbour_is_called_down_once),
		cmocka_unit_test(its_own_stall_is_excused),
		cmocka_unit_test(work_left_over_is_no_stall),
		cmocka_unit_test(a_beat_that_asks_is_answered_at_once),
		cmocka_unit_test(a_link_may_have_a_detector_of_its_own),
		cmocka_unit_test(a_sibling_that_lost_it_halves_the_time),
		cmocka_unit_test(a_port_that_went_down_ends_its_links),
		cmocka_unit_test(a_frame_goes_to_each_branch),
		cmocka_unit_test(a_frame_goes_only_where_it_is_lacking),
		cmocka_unit_test(a_branch_without_a_link_is_counted),
		cmocka_unit_test(late_frames_are_counted_and_go_on),
		cmocka_unit_test(what_came_before_the_start_is_asked_for_again),
		cmocka_unit_test(acknowledgements_go_upstream_in_company),
		cmocka_unit_test(a_late_joiner),
		cmocka_unit_test(a_path_resumes_where_it_was_acknowledged),
		cmocka_unit_test(a_gap_is_repeated_until_it_is_acknowledged),
		cmocka_unit_test(a_slow_client_costs_only_itself),
		cmocka_unit_test(a_slow_neighbour_is_waited_for),
		cmocka_unit_test(two_classes_of_one_stream_are_apart),
		cmocka_unit_test(an_origin_writes_the_whole_header),
		cmocka_unit_test(a_frame_is_held_until_every_branch_has_it),
		cmocka_unit_test(a_retry_goes_to_those_who_lack_it_and_waits_longer_each_time),
		cmocka_unit_test(a_stream_has_counts_of_its_own),
		cmocka_unit_test(a_branch_that_nobody_renews_ends),
		cmocka_unit_test(what_was_accepted_waits_for_a_lost_branch),
		cmocka_unit_test(a_gap_is_said_again),
		cmocka_unit_test(an_abandoned_frame_takes_what_is_before_it),
		cmocka_unit_test(a_whole_window_is_abandoned_in_bounded_ticks),
		cmocka_unit_test(what_was_let_go_is_not_asked_for),
		cmocka_unit_test(a_bit_taken_back_does_not_lower_the_origin),
		cmocka_unit_test(a_stream_that_closes_lets_go_of_all),
		cmocka_unit_test(a_giant_acknowledgement_is_let_go_bit_by_bit),
		cmocka_unit_test(a_burst_to_sixteen_branches_fits),
		cmocka_unit_test(a_burst_of_control_frames_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
