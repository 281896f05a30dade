/*
 * P3's events with arbitrary payloads of every type, into a root peer and a member that have
 * joined. The input is a script: each record is a control byte, a type, a sender, and the payload
 * behind its size. Half of the payloads are arbitrary; the other half are messages that read, made
 * of the record's bytes. What P3 asks its relay is answered now and then, as a relay would. Every
 * invariant is checked after each event.
 */
#include <string.h>

#include "overlay/control.h"
#include "overlay/p3.h"
#include "overlay/verdict.h"
#include "test/fuzz/fuzz.h"

#define ROOT   1
#define SELF   5
#define LIFE   40
#define SENSOR "track/7"
#define STEPS_MAX 300

/* The control byte. */
#define DO_KIND      0x07u /* 0: time, 1: a link's event, 2: a path's, else a frame */
#define DO_UNLINKED  0x08u
#define DO_LATER     0x10u /* from a later life of the sender */
#define DO_ARBITRARY 0x20u /* the payload is left as it is */
#define DO_EARLIER   0x40u /* from an earlier one */

struct host {
	_Alignas(64) uint8_t memory[512 * 1024];
	struct perron_overlay *overlay;
	uint32_t self;
	uint64_t now_ns;
	uint32_t nonce; /* of the last join or search that it sent */
	uint32_t attempt;
	struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
	uint8_t arena[PERRON_EFFECT_ARENA_SIZE];
	struct perron_effects out;
	_Alignas(8) uint8_t event[PERRON_EVENT_SIZE_MAX];
};

/* Root peers, siblings and children of both, clients, a stranger. */
static const uint32_t ids[] = {
	1, 2, 5, 6, 7, 8, 9, PERRON_CLIENT_ID | 1, PERRON_CLIENT_ID | 2, 77,
};
static const char *const cells[] = {"0",   "0#1", "0#2",   "0.0#1",   "0.0#2",
				    "0.1#1", "0.0", "0.0.0#1", "0.0.1#2", "0.0.0.0#1"};

static struct perron_party party(uint8_t which, uint8_t control)
{
	uint32_t id = ids[which % (sizeof(ids) / sizeof(ids[0]))];

	return (struct perron_party){
		.id = id,
		.incarnation = control & DO_LATER ? 11 : control & DO_EARLIER ? 9 : 10,
		.endpoint = {id, 7400},
	};
}

static struct perron_position position(uint8_t which)
{
	struct perron_position p;

	PERRON_ASSERT(perron_position_parse(cells[which % (sizeof(cells) / sizeof(cells[0]))],
					    &p) == 0);
	return p;
}

static void command_note(struct host *h, const struct perron_command *c)
{
	struct perron_join join;
	struct perron_discover discover;
	struct perron_binding_request request;

	PERRON_ASSERT(c->kind > PERRON_COMMAND_NONE && c->kind < PERRON_COMMAND_COUNT);
	PERRON_ASSERT(c->payload_size <= PERRON_PAYLOAD_SIZE_MAX);
	PERRON_ASSERT(c->kind != PERRON_COMMAND_LINK_OPEN ||
		      (c->party.id != h->self && !(c->party.id & PERRON_CLIENT_ID)));
	if (c->kind != PERRON_COMMAND_SEND)
		return;
	PERRON_ASSERT(c->party.id && c->type >= PERRON_TYPE_CONTROL_FIRST);
	if (c->type == PERRON_TYPE_JOIN && perron_join_read(c->payload, c->payload_size, &join))
		h->nonce = join.nonce;
	if (c->type == PERRON_TYPE_DISCOVER &&
	    perron_discover_read(c->payload, c->payload_size, &discover))
		h->nonce = discover.nonce;
	if (c->type == PERRON_TYPE_BINDING_REQUEST &&
	    perron_binding_request_read(c->payload, c->payload_size, &request))
		h->attempt = request.attempt;
}

static void effects_apply(struct host *h)
{
	for (uint32_t i = 0; i < h->out.count; i++) {
		PERRON_ASSERT(h->out.items[i].kind == PERRON_EFFECT_COMMAND);
		command_note(h, (const struct perron_command *)(const void *)h->out.items[i].data);
	}
	PERRON_ASSERT(h->out.dropped == 0);
	perron_effects_reset(&h->out);
	perron_p3_ops.check(h->overlay, h->now_ns);
}

static void event_give(struct host *h)
{
	perron_p3_ops.event(h->overlay, h->now_ns, (const struct perron_event *)(void *)h->event,
			    &h->out);
	effects_apply(h);
}

static struct perron_event *event_new(struct host *h, uint8_t kind, struct perron_party from)
{
	struct perron_event *event = (struct perron_event *)(void *)h->event;

	memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->party = from;
	return event;
}

static void tick(struct host *h, uint64_t after_ns)
{
	h->now_ns += after_ns;
	perron_p3_ops.tick(h->overlay, h->now_ns, &h->out);
	effects_apply(h);
}

static void members_make(struct perron_members *m, const uint8_t *from)
{
	m->count = from[0] % 4;
	for (uint32_t i = 0; i < m->count; i++)
		m->items[i] = (struct perron_member){party(from[1 + i], 0), from[1 + i] % 5};
}

static uint32_t path_message_make(struct host *h, uint8_t type, const uint8_t *b, uint8_t *out)
{
	uint32_t stream = perron_stream_id(SENSOR);
	uint8_t verdict = b[0] % PERRON_VERDICT_COUNT;

	switch (type) {
	case PERRON_TYPE_DISCOVER_REPLY:
		return perron_discover_reply_write(
			out, &(struct perron_discover_reply){.nonce = h->nonce,
							     .verdict = verdict,
							     .holder = b[1],
							     .name = SENSOR});
	case PERRON_TYPE_SUBSCRIBE:
		return perron_subscribe_write(out, &(struct perron_subscribe){.nonce = b[0],
									      .class = b[1] % 3,
									      .latency_us = b[2],
									      .resume = b[3],
									      .name = SENSOR});
	case PERRON_TYPE_PATH_SETUP:
		return perron_path_setup_write(out, &(struct perron_path_setup){.class = b[0] % 3,
										.stream = stream,
										.latency_us = b[1],
										.hops = b[2] % 16,
										.resume = b[3],
										.name = SENSOR});
	case PERRON_TYPE_PATH_REPLY:
		return perron_path_reply_write(
			out, &(struct perron_path_reply){.class = b[0] % 3,
							 .stream = stream,
							 .verdict = b[1] % PERRON_VERDICT_COUNT,
							 .start = b[2],
							 .latency_us = perron_load32(b + 3),
							 .hops = b[7]});
	default:
		return perron_path_teardown_write(
			out, &(struct perron_path_teardown){.class = b[0] % 3, .stream = stream});
	}
}

/* A message that reads, of the record's bytes; BIND's shape for those that have it. */
static uint32_t message_make(struct host *h, uint8_t type, uint8_t from, const uint8_t *b,
			     uint8_t *out)
{
	struct perron_binding_reply binding = {.attempt = h->attempt,
					       .verdict = b[0] % PERRON_VERDICT_COUNT,
					       .wait_ms = b[1],
					       .redirect = {b[2], {b[2], 7400}},
					       .position = position(b[3])};
	struct perron_join join = {.joiner = party(b[0], 0), .nonce = b[1], .attempt = b[2],
				   .position = position(b[3]), .route_count = 1 + b[4] % 10};
	struct perron_join_reply reply = {.joiner = h->self, .joiner_incarnation = LIFE,
					  .nonce = h->nonce,
					  .verdict = b[0] % PERRON_VERDICT_COUNT,
					  .route_count = 1 + b[1] % 3};
	struct perron_advertise advertise = {.lateral = b[0] & 1, .count = 1 + b[1] % 2};

	switch (type) {
	case PERRON_TYPE_BINDING_REPLY:
		members_make(&binding.siblings, b + 4);
		members_make(&binding.parents, b + 8);
		return perron_binding_reply_write(out, &binding);
	case PERRON_TYPE_BIND_REPLY:
	case PERRON_TYPE_PARENT_REPLY:
		return perron_bind_reply_write(
			out, &(struct perron_bind_reply){.attempt = h->attempt,
							 .verdict = b[0] % PERRON_VERDICT_COUNT,
							 .position = position(b[1])});
	case PERRON_TYPE_BIND:
	case PERRON_TYPE_PARENT_REQUEST:
		return perron_bind_write(out, &(struct perron_bind){.position = position(b[0])});
	case PERRON_TYPE_JOIN:
		join.route[0] = join.joiner.id;
		join.route[join.route_count - 1] = party(from, 0).id;
		return perron_join_write(out, &join);
	case PERRON_TYPE_JOIN_REPLY:
		reply.route[0] = party(b[2], 0).id;
		reply.route[reply.route_count - 1] = h->self;
		members_make(&reply.siblings, b + 4);
		members_make(&reply.parents, b + 8);
		return perron_join_reply_write(out, &reply);
	case PERRON_TYPE_ADVERTISE:
		for (uint32_t i = 0; i < advertise.count; i++)
			advertise.items[i] = (struct perron_sensor_entry){
				.name = SENSOR,
				.owner = b[2],
				.owner_incarnation = b[3],
				.stamp = b[4]};
		return perron_advertise_write(out, &advertise);
	case PERRON_TYPE_DISCOVER:
		return perron_discover_write(
			out, &(struct perron_discover){
				     .asker = party(b[0], 0), .nonce = b[1], .ttl = b[2],
				     .name = SENSOR});
	case PERRON_TYPE_LEAVE:
		return 0;
	default:
		return path_message_make(h, type, b, out);
	}
}

static void frame_do(struct host *h, uint8_t control, uint8_t type, uint8_t from,
		     const uint8_t *payload, uint32_t size)
{
	struct perron_event *event = event_new(h, PERRON_EVENT_CONTROL, party(from, control));
	uint8_t bytes[16] = {0};

	if (event->party.id == h->self)
		return; /* the relay takes none of its own */
	event->type = control & DO_ARBITRARY ? type : (uint8_t)(16 + type % 18);
	event->linked = !(control & DO_UNLINKED);
	event->round_trip_ns = (uint64_t)from << 20;
	memcpy(bytes, payload, size < sizeof(bytes) ? size : sizeof(bytes));
	if (control & DO_ARBITRARY)
		memcpy(event->payload, payload, event->payload_size = size);
	else
		event->payload_size = message_make(h, event->type, from, bytes, event->payload);
	event_give(h);
}

static void record_do(struct host *h, uint8_t control, uint8_t type, uint8_t from,
		      const uint8_t *payload, uint32_t size)
{
	struct perron_event *event;

	switch (control & DO_KIND) {
	case 0:
		tick(h, (uint64_t)type << (from % 24));
		return;
	case 1:
		(void)event_new(h, type & 1 ? PERRON_EVENT_LINK_UP : PERRON_EVENT_LINK_DOWN,
				party(from, control));
		break;
	case 2:
		event = event_new(h, type & 1 ? PERRON_EVENT_BRANCH_READY : PERRON_EVENT_RESUME,
				  party(from, control));
		event->stream = perron_stream_id(SENSOR);
		event->class = type / 2 % 3;
		event->sequence = type;
		break;
	default:
		frame_do(h, control, type, from, payload, size);
		return;
	}
	event_give(h);
}

static void host_init(struct host *h, uint32_t self)
{
	struct perron_overlay_config cfg;

	memset(h, 0, sizeof(*h));
	h->overlay = (struct perron_overlay *)h->memory;
	h->self = self;
	h->now_ns = UINT64_C(1) << 40;
	h->out = (struct perron_effects){.items = h->items,
					 .capacity = PERRON_EFFECT_COUNT_MAX,
					 .arena = h->arena,
					 .arena_size = PERRON_EFFECT_ARENA_SIZE};
	perron_overlay_config_default(&cfg);
	cfg.peer = self;
	cfg.incarnation = LIFE;
	cfg.endpoint = (struct perron_endpoint){self, 7400};
	cfg.portal_count = 2;
	cfg.portal[0] = (struct perron_portal){ROOT, {ROOT, 7400}};
	cfg.portal[1] = (struct perron_portal){2, {2, 7400}};
	cfg.neighbour_count_max = 6;
	cfg.registry_count_max = 5;
	cfg.directory_count_max = 3;
	cfg.path_count_max = 2;
	cfg.branch_count_max = 2;
	PERRON_ASSERT(perron_p3_ops.size(&cfg) <= sizeof(h->memory));
	PERRON_ASSERT(perron_p3_ops.init(h->overlay, &cfg, h->now_ns) == 0);
	tick(h, cfg.link_timeout_ns * 2 + 1);
}

/* A member is brought in by the answers that it waits for. */
static void member_join(struct host *h)
{
	static const uint8_t binding[16] = {PERRON_VERDICT_OK, [3] = 3, [8] = 1}; /* 0.0#1 */
	static const uint8_t parent[16] = {PERRON_VERDICT_OK, 1};                /* 0#1 */
	static const uint8_t reply[16] = {PERRON_VERDICT_OK};

	frame_do(h, 3 | DO_UNLINKED, PERRON_TYPE_BINDING_REPLY - 16, 0, binding, 16);
	tick(h, 1);
	tick(h, 1);
	frame_do(h, 3 | DO_UNLINKED, PERRON_TYPE_PARENT_REPLY - 16, 0, parent, 16);
	tick(h, 1);
	frame_do(h, 3, PERRON_TYPE_JOIN_REPLY - 16, 0, reply, 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct host host;
	struct perron_view view;

	if (!size)
		return 0;
	host_init(&host, data[0] & 1 ? ROOT : SELF);
	if (host.self == SELF)
		member_join(&host);
	else
		tick(&host, 3000000000); /* the leases before its reign have run out */
	perron_p3_ops.view(host.overlay, host.now_ns, &view);
	PERRON_ASSERT(view.state == PERRON_OVERLAY_JOINED);
	data++;
	size--;
	for (uint32_t step = 0; size > 3 && step < STEPS_MAX; step++) {
		uint32_t take = (data[0] & DO_ARBITRARY) ? data[2] * 6u : 12;
		uint8_t control = data[0], type = data[1], from = data[2];

		data += 3;
		size -= 3;
		if (take > size)
			take = (uint32_t)size;
		if (take > PERRON_PAYLOAD_SIZE_MAX)
			take = PERRON_PAYLOAD_SIZE_MAX;
		record_do(&host, control, type, from, data, take);
		data += take;
		size -= take;
	}
	return 0;
}
