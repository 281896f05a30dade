/*
 * The client's step with arbitrary frames. The input is a script: each record is a control byte
 * and a frame's bytes. What names the client, its server and its nonce is put right for most
 * records, and the checks always, for no random bytes get past them; every invariant is checked
 * after each step.
 */
#include <string.h>

#include "overlay/client.h"
#include "overlay/control.h"
#include "runtime/base/wire.h"
#include "test/fuzz/fuzz.h"

#define CLIENT  (PERRON_CLIENT_ID | 5)
#define SENSOR  "line1/axle"
#define HANDLES 4096

/* The control byte. */
#define DO_KIND    0x07u /* which of the records below */
#define DO_ARBITRARY 0x08u /* the header is left as it is */
#define DO_LATER   0x10u /* time goes on first */
#define DO_MUCH    0x20u /* by much */

struct host {
	_Alignas(64) uint8_t memory[64 * 1024];
	struct perron_client *client;
	struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
	uint8_t arena[PERRON_EFFECT_ARENA_SIZE];
	struct perron_effects effects;
	uint8_t holds[HANDLES];
	uint64_t handle;
	uint64_t now_ns;
	uint32_t nonce; /* of the request sent last */
	uint32_t asked;
};

static void sent_note(struct host *h, const struct perron_effect *e)
{
	struct perron_header header;
	struct perron_subscribe m;

	PERRON_ASSERT(perron_frame_decode(e->data, e->size, &header) == PERRON_DROP_NONE);
	PERRON_ASSERT(header.source == CLIENT && header.class == e->class);
	if (header.type != PERRON_TYPE_SUBSCRIBE)
		return;
	PERRON_ASSERT(perron_subscribe_read(e->data + PERRON_HEADER_SIZE, header.length, &m));
	h->nonce = m.nonce;
	h->asked = header.destination;
}

static void effects_apply(struct host *h)
{
	for (uint32_t i = 0; i < h->effects.count; i++) {
		const struct perron_effect *e = &h->effects.items[i];

		switch (e->kind) {
		case PERRON_EFFECT_SEND:
			sent_note(h, e);
			break;
		case PERRON_EFFECT_HOLD:
			PERRON_ASSERT(h->holds[e->handle % HANDLES]++ == 0);
			break;
		case PERRON_EFFECT_RELEASE:
			PERRON_ASSERT(h->holds[e->handle % HANDLES]-- == 1);
			break;
		default:
			PERRON_ASSERT(e->kind == PERRON_EFFECT_DELIVER && e->size < 2);
		}
	}
	PERRON_ASSERT(h->effects.dropped == 0);
	perron_effects_reset(&h->effects);
	perron_client_check(h->client);
	PERRON_ASSERT(perron_client_deadline_ns(h->client) > 0);
}

static void host_init(struct host *h)
{
	struct perron_client_config cfg;

	memset(h, 0, sizeof(*h));
	h->client = (struct perron_client *)h->memory;
	h->effects = (struct perron_effects){.items = h->items,
					     .capacity = PERRON_EFFECT_COUNT_MAX,
					     .arena = h->arena,
					     .arena_size = PERRON_EFFECT_ARENA_SIZE};
	perron_client_config_default(&cfg);
	cfg.id = CLIENT;
	cfg.incarnation = 7;
	cfg.subscription_count_max = 2;
	cfg.window = 64;
	cfg.portal_count = 2;
	cfg.portal[0] = (struct perron_portal){1, {0x0a000001, 7400}};
	cfg.portal[1] = (struct perron_portal){2, {0x0a000002, 7400}};
	PERRON_ASSERT(perron_client_size(&cfg) <= sizeof(h->memory));
	PERRON_ASSERT(perron_client_init(h->client, &cfg, 0) == 0);
	PERRON_ASSERT(perron_client_subscribe(h->client, 0, SENSOR, PERRON_CLASS_ALARM, 0, NULL,
					      &h->effects) == 0);
	effects_apply(h);
}

/* Makes the frame one of the server's to this client, with a sequence within reach. */
static void frame_address(const struct host *h, uint8_t *data)
{
	struct perron_subscription_info info;
	struct perron_header header = {
		.fragment_count = 1,
		.overlay = 1,
		.source = h->asked,
		.source_incarnation = 1,
		.destination = CLIENT,
		.destination_incarnation = 7,
		.stream = perron_stream_id(SENSOR),
	};

	perron_client_info(h->client, 0, &info);
	header.type = data[0] & 1 ? PERRON_TYPE_DATA : PERRON_TYPE_GAP;
	if ((data[0] & 6) == 0)
		header.type = PERRON_TYPE_SUBSCRIBE_REPLY;
	header.class = header.type == PERRON_TYPE_SUBSCRIBE_REPLY ? PERRON_CLASS_OVERLAY
								  : PERRON_CLASS_ALARM;
	header.sequence = info.expected + data[1] - 8;
	header.origin_ns = h->now_ns;
	header.deadline_us = data[2];
	(void)perron_frame_encode(data, &header);
}

static uint32_t reply_write(const struct host *h, uint8_t *data, const uint8_t *from)
{
	struct perron_subscribe_reply m = {
		.nonce = h->nonce,
		.verdict = from[1] % PERRON_VERDICT_COUNT,
		.stream = perron_stream_id(SENSOR),
		.start = (uint64_t)from[2] << (from[3] % 64),
		.redirect = {.peer = from[4], .endpoint = {from[5], 7400}},
	};

	if (from[1] & 0x80)
		m.verdict = PERRON_VERDICT_OK;
	return perron_subscribe_reply_write(data + PERRON_HEADER_SIZE, &m);
}

static void checks_repair(uint8_t *data, uint32_t size)
{
	data[PERRON_WIRE(version)] = PERRON_FRAME_VERSION;
	perron_store16(data + PERRON_WIRE(length), (uint16_t)(size - PERRON_HEADER_SIZE));
	perron_store32(data + PERRON_WIRE(header_check),
		       perron_crc32c(0, data, PERRON_WIRE_CHECKED_SIZE));
	perron_store32(data + PERRON_WIRE(payload_check),
		       perron_crc32c(0, data + PERRON_HEADER_SIZE, size - PERRON_HEADER_SIZE));
}

static void frame_give(struct host *h, uint8_t control, const uint8_t *from)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX] = {0};
	struct perron_header header;
	uint32_t size = PERRON_HEADER_SIZE;

	memcpy(data, from, PERRON_HEADER_SIZE);
	if (!(control & DO_ARBITRARY)) {
		frame_address(h, data);
		PERRON_ASSERT(perron_frame_decode(data, size, &header) == PERRON_DROP_NONE);
		if (header.type == PERRON_TYPE_SUBSCRIBE_REPLY)
			size += reply_write(h, data, from);
	}
	checks_repair(data, size);
	struct perron_frame frame = {.data = data,
				     .length = size,
				     .class = data[PERRON_WIRE(class)],
				     .from = {0x0a000000 | h->asked, 7400},
				     .handle = h->handle++};
	perron_client_input(h->client, h->now_ns, &frame, 1, &h->effects);
	effects_apply(h);
}

static void record_do(struct host *h, uint8_t control, const uint8_t *from)
{
	if (control & DO_LATER)
		h->now_ns += (control & DO_MUCH ? 400000000u : 1000000u);
	switch (control & DO_KIND) {
	case 0:
		perron_client_tick(h->client, h->now_ns, &h->effects);
		break;
	case 1:
		perron_client_unsubscribe(h->client, h->now_ns, from[0] & 1, &h->effects);
		break;
	case 2:
		(void)!perron_client_subscribe(h->client, h->now_ns, SENSOR, from[0] % 4, 0, NULL,
					       &h->effects);
		break;
	default:
		frame_give(h, control, from);
		return;
	}
	effects_apply(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct host host;
	uint8_t padded[PERRON_HEADER_SIZE];

	host_init(&host);
	while (size > 1 && host.handle < HANDLES) {
		uint8_t control = data[0];
		/* Only what is to be a header needs so many bytes. */
		size_t take = control & DO_ARBITRARY ? PERRON_HEADER_SIZE : 6;

		data++;
		size--;
		if (take > size)
			take = size;
		memset(padded, 0, sizeof(padded));
		memcpy(padded, data, take);
		record_do(&host, control, padded);
		data += take;
		size -= take;
	}
	return 0;
}
