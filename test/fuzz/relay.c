/*
 * The relay's step with arbitrary frames, commands, offers and times. The input is a script: each
 * record is a control byte, a byte that chooses, and up to a header's bytes. What would never be
 * hit by chance (checks, overlay, incarnations, the link's numbers) is put right for half of the
 * records; sequences stand near what the path has. Every invariant is checked after each step, and
 * holds are counted: at the end all is let go.
 */
#include <string.h>

#include "ft/relay.h"
#include "runtime/base/wire.h"
#include "test/fuzz/fuzz.h"

#define SELF        5
#define LIFE        9
#define OVERLAY     3
#define STREAM      0x100u
#define STREAMS     3
#define PARTIES     6
#define HANDLES     65536
#define RECORD_SIZE 24
#define STEPS_MAX   300

/* The control byte. */
#define DO_KIND  0x03u /* frame, command, offer, time */
#define DO_WILD  0x04u /* a frame's header is left as it is, but for its checks */
#define DO_BURST 0x08u /* the frame waits for company */
#define DO_BROKEN 0x10u /* the checks are left as they are */

struct host {
	_Alignas(64) uint8_t memory[512 * 1024];
	struct perron_relay *relay;
	struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
	uint8_t arena[PERRON_EFFECT_ARENA_SIZE];
	struct perron_effects out;
	uint16_t holds[HANDLES];
	uint32_t held;
	uint32_t handle;
	uint64_t now_ns;
	uint32_t link_sequence;
	uint32_t link_ack; /* the last number that the relay gave */
	uint8_t data[PERRON_BURST_MAX][PERRON_FRAME_SIZE_MAX];
	struct perron_frame frames[PERRON_BURST_MAX];
	uint32_t frame_count;
};

static const uint32_t parties[PARTIES] = {7, 8, 9, PERRON_CLIENT_ID | 1, PERRON_CLIENT_ID | 2,
					  SELF};

static void sent_note(struct host *h, const struct perron_effect *e)
{
	struct perron_header header;

	PERRON_ASSERT(perron_frame_decode(e->data, e->size, &header) == PERRON_DROP_NONE);
	PERRON_ASSERT(header.source == SELF && header.class == e->class);
	if (header.link_sequence)
		h->link_ack = header.link_sequence;
}

static void effects_apply(struct host *h)
{
	for (uint32_t i = 0; i < h->out.count; i++) {
		const struct perron_effect *e = &h->out.items[i];

		switch (e->kind) {
		case PERRON_EFFECT_SEND:
			sent_note(h, e);
			break;
		case PERRON_EFFECT_HOLD:
			h->holds[e->handle % HANDLES]++;
			h->held++;
			break;
		case PERRON_EFFECT_RELEASE:
			PERRON_ASSERT(h->holds[e->handle % HANDLES]-- > 0);
			h->held--;
			break;
		case PERRON_EFFECT_FORWARD:
			PERRON_ASSERT(e->handle < h->handle && e->class == e->hop.class);
			break;
		default:
			PERRON_ASSERT(e->kind == PERRON_EFFECT_EVENT ||
				      e->kind == PERRON_EFFECT_INDICATE);
		}
	}
	PERRON_ASSERT(h->out.dropped == 0);
	perron_effects_reset(&h->out);
	perron_relay_check(h->relay);
}

static void host_init(struct host *h)
{
	struct perron_relay_config cfg;

	memset(h, 0, sizeof(*h));
	h->relay = (struct perron_relay *)h->memory;
	h->now_ns = UINT64_C(1) << 40;
	h->out = (struct perron_effects){.items = h->items,
					 .capacity = PERRON_EFFECT_COUNT_MAX,
					 .arena = h->arena,
					 .arena_size = PERRON_EFFECT_ARENA_SIZE};
	perron_relay_config_default(&cfg);
	cfg.peer = SELF;
	cfg.incarnation = LIFE;
	cfg.overlay = OVERLAY;
	cfg.link_count_max = 2;
	cfg.path_count_max = 4;
	cfg.branch_count_max = 3;
	cfg.stream_count_max = 2;
	cfg.origin_count_max = 2;
	cfg.origin_window = 64;
	cfg.client_lag_max = 8;
	cfg.replica_count_max = 4;
	cfg.replica_window = 64;
	cfg.replica_frame_max = 32;
	cfg.retry_count_max = 2;
	cfg.group.window = 8;
	cfg.group.pending_count = 4;
	cfg.group.light_count_max = 4;
	PERRON_ASSERT(perron_relay_size(&cfg) <= sizeof(h->memory));
	PERRON_ASSERT(perron_relay_init(h->relay, &cfg, h->now_ns) == 0);
}

/* A sequence near what one of the paths has, or any. */
static uint64_t sequence_near(const struct host *h, const uint8_t *from)
{
	struct perron_path_info paths[4];
	uint32_t count = perron_relay_paths_read(h->relay, paths, 4);

	if (!count || from[0] > 250)
		return perron_load64(from);
	const struct perron_path_info *p = &paths[from[0] % count];
	uint64_t bases[] = {p->high, p->acked, p->floor, 1000};
	return bases[from[0] / 4 % 4] + from[1] % 16 - 4;
}

static void frame_address(struct host *h, uint8_t *data, const uint8_t *from)
{
	static const uint8_t types[] = {PERRON_TYPE_DATA, PERRON_TYPE_ACK,  PERRON_TYPE_GAP,
					PERRON_TYPE_DATA, PERRON_TYPE_BEAT, PERRON_TYPE_LEAVE};
	struct perron_header header = {
		.type = types[from[0] % sizeof(types)],
		.class = from[1] % 3,
		.fragment_count = 1,
		.overlay = OVERLAY,
		.source = parties[from[2] % PARTIES],
		.source_incarnation = 1 + (from[3] > 240),
		.destination = SELF,
		.destination_incarnation = LIFE,
		.stream = STREAM + from[4] % STREAMS,
		.sequence = sequence_near(h, from + 5),
		.origin_ns = h->now_ns,
		.deadline_us = from[13],
		.link_sequence = h->link_sequence += from[3] % 4,
		.link_ack = h->link_ack - from[14] % 4,
	};

	if (header.type == PERRON_TYPE_ACK) {
		header.length = PERRON_ACK_SIZE;
		memcpy(data + PERRON_HEADER_SIZE, from + 15, PERRON_ACK_SIZE);
	} else if (header.type == PERRON_TYPE_BEAT) {
		header.length = PERRON_BEAT_SIZE;
	}
	(void)perron_frame_encode(data, &header);
}

static void burst_give(struct host *h)
{
	perron_relay_input(h->relay, h->now_ns, h->frames, h->frame_count, &h->out);
	h->frame_count = 0;
	effects_apply(h);
}

static void frame_do(struct host *h, uint8_t control, const uint8_t *from)
{
	uint8_t *data = h->data[h->frame_count];
	uint32_t size = PERRON_HEADER_SIZE + RECORD_SIZE;

	memset(data, 0, size);
	if (control & DO_WILD) {
		memcpy(data, from, RECORD_SIZE);
		data[PERRON_WIRE(version)] = PERRON_FRAME_VERSION;
		data[PERRON_WIRE(fragment_count)] = 1;
	} else {
		frame_address(h, data, from);
		size = PERRON_HEADER_SIZE + perron_load16(data + PERRON_WIRE(length));
	}
	if (control & DO_WILD && !(control & DO_BROKEN)) {
		perron_store32(data + PERRON_WIRE(overlay), OVERLAY);
		perron_store32(data + PERRON_WIRE(destination_incarnation), 0);
		perron_store16(data + PERRON_WIRE(length), RECORD_SIZE);
		perron_store32(data + PERRON_WIRE(payload_check),
			       perron_crc32c(0, data + PERRON_HEADER_SIZE, RECORD_SIZE));
		perron_store32(data + PERRON_WIRE(header_check),
			       perron_crc32c(0, data, PERRON_WIRE_CHECKED_SIZE));
	}
	h->frames[h->frame_count++] = (struct perron_frame){
		.data = data,
		.length = size,
		.class = data[PERRON_WIRE(class)],
		.from = {from[2], 7400},
		.handle = h->handle++,
	};
	if (!(control & DO_BURST) || h->frame_count == PERRON_BURST_MAX)
		burst_give(h);
}

static void command_do(struct host *h, const uint8_t *from)
{
	struct perron_command command = {
		.kind = from[0] % (PERRON_COMMAND_COUNT + 1),
		.class = from[1] % 4,
		.type = from[2],
		.stream = STREAM + from[3] % STREAMS,
		.sequence = sequence_near(h, from + 4),
		.value = from[12],
		.party = {parties[from[13] % PARTIES], 1 + (from[14] > 240), {from[13], 7400}},
	};

	(void)!perron_relay_command(h->relay, h->now_ns, &command, &h->out);
	effects_apply(h);
}

static void offer_do(struct host *h, const uint8_t *from)
{
	struct perron_frame frames[3];
	uint32_t count = 1 + from[0] % 3;

	for (uint32_t i = 0; i < count; i++)
		frames[i] = (struct perron_frame){.data = h->data[PERRON_BURST_MAX - 1 - i],
						  .length = PERRON_HEADER_SIZE + from[1] % 8,
						  .handle = h->handle++};
	if (h->frame_count > PERRON_BURST_MAX - 3)
		burst_give(h);
	(void)perron_relay_offer(h->relay, h->now_ns, STREAM + from[2] % STREAMS,
				 h->now_ns - from[3] + 8, frames, count, false, &h->out);
	effects_apply(h);
}

static void time_do(struct host *h, const uint8_t *from)
{
	h->now_ns += (uint64_t)from[0] << (from[1] % 24);
	perron_relay_tick(h->relay, h->now_ns, &h->out);
	effects_apply(h);
	PERRON_ASSERT(perron_relay_deadline_ns(h->relay) >= h->now_ns);
}

/* Nothing may stay held when the streams are closed. */
static void host_end(struct host *h)
{
	for (uint32_t i = 0; i < STREAMS; i++) {
		struct perron_command close = {.kind = PERRON_COMMAND_STREAM_CLOSE,
					       .stream = STREAM + i};
		(void)!perron_relay_command(h->relay, h->now_ns, &close, &h->out);
		effects_apply(h);
	}
	perron_relay_tick(h->relay, h->now_ns, &h->out);
	effects_apply(h);
	PERRON_ASSERT(h->held == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct host host;
	uint32_t steps = 0;

	host_init(&host);
	while (size > 1 && steps++ < STEPS_MAX) {
		uint8_t padded[RECORD_SIZE] = {0};
		uint8_t control = data[0];
		size_t take = size - 1 < RECORD_SIZE ? size - 1 : RECORD_SIZE;

		memcpy(padded, data + 1, take);
		data += 1 + take;
		size -= 1 + take;
		switch (control & DO_KIND) {
		case 0:
			frame_do(&host, control, padded);
			break;
		case 1:
			command_do(&host, padded);
			break;
		case 2:
			offer_do(&host, padded);
			break;
		default:
			time_do(&host, padded);
		}
	}
	host_end(&host);
	return 0;
}
