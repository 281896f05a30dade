/*
 * The step of a relay that is one of a cell of three, with arbitrary frames of the group, commands
 * and times. The input is a script of bytes, each of which chooses something; where it ends, zeros
 * follow. What would never be hit by chance (cell, views, sequences, the link's numbers) is near
 * what the machine has: most bytes mean just that, so that zeros are what a good member would say,
 * a few mean a little off, and the last ones anything. Every invariant is checked after each step,
 * and what the user is told is held to what a user may rely on.
 */
#include <string.h>

#include "ft/group_private.h"
#include "runtime/base/wire.h"
#include "test/fuzz/fuzz.h"

#define OVERLAY	  3
#define LIFE	  9
#define CELL	  77
#define PEERS	  3
#define STEPS_MAX 300
/* A machine that is ticked while time stands still has nothing left to do after so many times. */
#define TICKS_MAX 64

struct script {
	const uint8_t *at;
	size_t left;
};

struct host {
	_Alignas(64) uint8_t memory[512 * 1024];
	struct perron_relay *relay;
	struct perron_group *group;
	uint32_t self;
	struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
	uint8_t arena[PERRON_EFFECT_ARENA_SIZE];
	struct perron_effects out;
	uint64_t now_ns;
	uint32_t link_sequence[PEERS + 1];
	uint32_t link_ack[PEERS + 1]; /* the last number that the relay gave */
	struct perron_group_view view; /* as the user was told */
	struct perron_group_message piece; /* the last one */
	uint32_t touched;
};

/* --- the script --- */

static uint8_t take8(struct script *s)
{
	if (!s->left)
		return 0;
	s->left--;
	return *s->at++;
}

static uint32_t take32(struct script *s)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 8 | take8(s);
	return value;
}

/* `base`, or a little off, or anything. */
static uint32_t near(struct script *s, uint32_t base)
{
	uint8_t byte = take8(s);

	if (byte < 160)
		return base;
	return byte < 250 ? base + byte % 16 - 6 : take32(s);
}

/* --- what the relay wants done --- */

static void view_note(struct host *h, const struct perron_group_view *v)
{
	PERRON_ASSERT(v->member_count && v->self < v->member_count && v->cell);
	PERRON_ASSERT(v->members[v->self].peer == h->self);
	if (v->transitional) {
		PERRON_ASSERT(perron_group_view_id_equal(&v->id, &h->view.id));
		PERRON_ASSERT(!h->view.transitional);
	} else if (h->view.cell == v->cell) {
		PERRON_ASSERT(!perron_group_view_id_equal(&v->id, &h->view.id));
	}
	h->view = *v;
	h->piece = (struct perron_group_message){0};
}

/* Pieces follow each other, and their bytes are there. */
static void message_note(struct host *h, const struct perron_group_message *m)
{
	PERRON_ASSERT(m->size && m->size <= PERRON_GROUP_FRAGMENT_SIZE);
	PERRON_ASSERT(m->service < PERRON_GROUP_SERVICE_COUNT);
	PERRON_ASSERT(m->fragment_index < m->fragment_count);
	PERRON_ASSERT(m->transitional == h->view.transitional);
	if (m->fragment_index)
		PERRON_ASSERT(h->piece.sender == m->sender &&
			      h->piece.fragment_index + 1 == m->fragment_index);
	else
		PERRON_ASSERT(h->piece.fragment_index + 1 >= h->piece.fragment_count);
	for (uint32_t i = 0; i < m->size; i++)
		h->touched += m->data[i];
	h->piece = *m;
}

static void sent_note(struct host *h, const struct perron_effect *e)
{
	struct perron_header header;
	struct group_head head;

	PERRON_ASSERT(perron_frame_decode(e->data, e->size, &header) == PERRON_DROP_NONE);
	PERRON_ASSERT(header.source == h->self && header.destination <= PEERS);
	h->link_ack[header.destination] = header.link_sequence;
	if (header.type != PERRON_TYPE_GROUP)
		return;
	struct perron_reader r = perron_reader_of(e->data + PERRON_HEADER_SIZE, header.length);
	PERRON_ASSERT(group_head_read(&r, &head));
	PERRON_ASSERT(head.kind == GROUP_LEAVE || head.cell == h->group->cell);
}

static void effects_apply(struct host *h)
{
	for (uint32_t i = 0; i < h->out.count; i++) {
		const struct perron_effect *e = &h->out.items[i];

		if (e->kind == PERRON_EFFECT_SEND)
			sent_note(h, e);
		else if (e->kind != PERRON_EFFECT_INDICATE)
			PERRON_ASSERT(e->kind == PERRON_EFFECT_EVENT);
		else if (e->class == PERRON_GROUP_INDICATE_VIEW)
			view_note(h, (const struct perron_group_view *)(const void *)e->data);
		else if (e->class == PERRON_GROUP_INDICATE_MESSAGE)
			message_note(h, (const struct perron_group_message *)(const void *)e->data);
	}
	PERRON_ASSERT(h->out.dropped == 0);
	perron_effects_reset(&h->out);
	perron_relay_check(h->relay);
}

/* --- frames --- */

static void frame_give(struct host *h, uint32_t peer, uint8_t type, const uint8_t *payload,
		       uint32_t size)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header header = {
		.type = type,
		.class = PERRON_CLASS_OVERLAY,
		.fragment_count = 1,
		.length = (uint16_t)size,
		.overlay = OVERLAY,
		.source = peer,
		.source_incarnation = 1,
		.destination = h->self,
		.destination_incarnation = LIFE,
		.link_sequence = ++h->link_sequence[peer],
		.link_ack = h->link_ack[peer],
	};
	struct perron_frame frame = {
		.data = data,
		.class = PERRON_CLASS_OVERLAY,
		.from = {peer, 7400},
	};

	memcpy(data + PERRON_HEADER_SIZE, payload, size);
	frame.length = perron_frame_encode(data, &header);
	perron_relay_input(h->relay, h->now_ns, &frame, 1, &h->out);
	effects_apply(h);
}

static void beat_give(struct host *h, uint32_t peer)
{
	uint8_t payload[PERRON_BEAT_SIZE] = {0};

	frame_give(h, peer, PERRON_TYPE_BEAT, payload, sizeof(payload));
}

static struct perron_group_member member_of(const struct host *h, uint32_t peer)
{
	struct perron_group_member m = {.peer = peer, .incarnation = 1, .slot = (uint8_t)peer};
	const struct group_sibling *s = group_sibling(h->group, peer);

	if (s && s->known) {
		m.life = s->life;
		m.slot = s->slot;
	}
	if (peer == h->self) {
		m.incarnation = LIFE;
		m.life = h->group->life;
		m.slot = h->group->slot;
	}
	return m;
}

static struct group_head head_make(const struct host *h, struct script *s, uint8_t kind,
				   uint32_t peer)
{
	const struct perron_group *g = h->group;
	int index = group_member_index(g, peer);
	uint8_t flags = take8(s);
	struct group_head head = {
		.kind = kind,
		.flags = flags < 160 ? 0 : flags,
		.member_count = g->view.member_count,
		.index = (uint8_t)(index < 0 ? 0 : index),
		.cell = g->cell ? g->cell : CELL,
		.view = g->view.id,
	};
	uint8_t off = take8(s);

	if (off < 200)
		return head;
	head.index = off % 4;
	head.view.number = near(s, head.view.number);
	head.cell += take8(s) > 200;
	return head;
}

static uint32_t hello_make(const struct host *h, struct script *s, uint32_t peer,
			   uint8_t *payload)
{
	const struct perron_group *g = h->group;
	struct perron_group_member m = member_of(h, peer);
	struct group_head head = head_make(h, s, GROUP_HELLO, peer);
	struct group_hello hello = {.life = near(s, m.life)};

	hello.number = near(s, g->number);
	hello.slot = (uint8_t)near(s, m.slot);
	uint8_t lacks = take8(s);
	if (group_member_index(g, peer) < 0)
		head.view = (struct perron_group_view_id){1, peer, 1};
	for (uint32_t i = 1; i <= PEERS; i++)
		if (i != peer && lacks != 160 + i)
			hello.reach[hello.reach_count++] = i;
	return group_hello_write(payload, &head, &hello);
}

/* The change under way, or one that the peer would begin. */
static void change_make(const struct host *h, struct script *s, uint32_t peer,
			struct group_change *c)
{
	const struct perron_group *g = h->group;

	*c = g->change;
	if (take8(s) < 128 && c->active)
		return;
	memset(c, 0, sizeof(*c));
	c->id = (struct perron_group_view_id){near(s, g->number + 1), peer, 1};
	uint8_t lacks = take8(s);
	for (uint32_t i = 1; i <= PEERS; i++)
		if (lacks != 160 + i)
			c->candidates[c->candidate_count++] = member_of(h, i);
	if (take8(s) < 200)
		return;
	/* No leader would begin this. */
	c->candidate_count = (uint8_t)(1 + take8(s) % GROUP_MEMBER_MAX);
	for (uint32_t i = 0; i < c->candidate_count; i++)
		c->candidates[i] = member_of(h, 1 + take8(s) % 5);
}

static uint8_t candidate_of(const struct group_change *c, uint32_t peer)
{
	for (uint8_t i = 0; i < c->candidate_count; i++)
		if (c->candidates[i].peer == peer)
			return i;
	return 0;
}

static uint32_t state_make(const struct host *h, struct script *s, uint32_t peer,
			   uint8_t *payload)
{
	const struct perron_group *g = h->group;
	struct group_head head = head_make(h, s, GROUP_STATE, peer);
	struct group_state state = {.view = {1, peer, 1}, .member_count = 1};
	struct group_change c;

	change_make(h, s, peer, &c);
	head.view = c.id;
	head.index = (uint8_t)near(s, candidate_of(&c, peer)) % GROUP_MEMBER_MAX;
	state.reach = near(s, UINT32_MAX);
	if (group_member_index(g, peer) >= 0 && take8(s) < 200) {
		state.view = g->view.id;
		state.member_count = g->view.member_count;
	}
	for (uint32_t i = 0; i < state.member_count; i++) {
		state.received[i] = near(s, g->streams[i].received);
		state.clock[i] = near(s, g->streams[i].clock);
		state.stable[i] = near(s, g->streams[i].stable);
	}
	return group_state_write(payload, &head, &c, &state);
}

/* REFUSE, COMMIT, READY: of the change that is there. */
static uint32_t decision_make(const struct host *h, struct script *s, uint8_t kind, uint32_t peer,
			      uint8_t *payload)
{
	const struct group_change *c = &h->group->change;
	struct group_head head = head_make(h, s, kind, peer);

	head.view = c->id;
	head.view.number = near(s, head.view.number);
	head.index = candidate_of(c, peer);
	struct perron_writer w = group_head_write(payload, &head);
	if (kind == GROUP_REFUSE) {
		perron_write32(&w, near(s, h->group->number));
	} else if (kind == GROUP_COMMIT) {
		perron_write32(&w, near(s, 1));
		perron_write32(&w, near(s, (1u << c->candidate_count) - 1));
	}
	return perron_writer_size(&w);
}

static uint32_t items_make(struct script *s, uint8_t *items)
{
	uint8_t data[PERRON_GROUP_FRAGMENT_SIZE] = {0};
	uint32_t at = 0;

	do {
		uint8_t kind = take8(s), pieces = take8(s);
		struct group_item item = {
			.kind = kind < 160 ? GROUP_ITEM_MESSAGE : kind % 5,
			.fragment_count = 1,
			.data = data,
		};
		item.service = take8(s) % 5;
		item.group = take8(s) % 3;
		item.size = (uint16_t)(1 + take8(s));
		if (item.kind)
			item.service = PERRON_GROUP_AGREED;
		if (!item.kind && pieces >= 128) {
			item.fragment_index = pieces % 4;
			item.fragment_count = (uint8_t)(2 + pieces / 4 % 4);
		}
		data[3] = take8(s) % 4;
		at = group_item_write(items, at, &item);
	} while (at < 900 && take8(s) >= 160);
	return at;
}

static uint32_t data_make(const struct host *h, struct script *s, uint32_t peer, uint8_t *payload)
{
	const struct perron_group *g = h->group;
	struct group_head head = head_make(h, s, GROUP_DATA, peer);
	const struct group_stream *stream = &g->streams[head.index % g->cfg.member_count_max];
	struct group_data data = {.sequence = near(s, stream->received + 1)};

	data.stamp = near(s, stream->clock + 1);
	for (uint32_t i = 0; i < head.member_count; i++) {
		data.row[i] = near(s, g->streams[i].received);
		data.past[i] = near(s, g->streams[i].passed);
	}
	group_data_write(payload, &head, &data);
	uint32_t at = group_items_at(head.member_count);
	return at + items_make(s, payload + at);
}

static uint32_t status_make(const struct host *h, struct script *s, uint32_t peer,
			    uint8_t *payload)
{
	const struct perron_group *g = h->group;
	struct group_head head = head_make(h, s, GROUP_STATUS, peer);
	const struct group_stream *stream = &g->streams[head.index % g->cfg.member_count_max];
	struct group_status status = {.clock = near(s, g->clock)};

	status.sent = near(s, stream->announced);
	for (uint32_t i = 0; i < head.member_count; i++)
		status.row[i] = near(s, g->streams[i].received);
	return group_status_write(payload, &head, &status);
}

static uint32_t nack_make(const struct host *h, struct script *s, uint32_t peer, uint8_t *payload)
{
	struct group_head head = head_make(h, s, GROUP_NACK, peer);
	struct perron_writer w = group_head_write(payload, &head);

	perron_write32(&w, near(s, h->group->sent));
	perron_write32(&w, near(s, 7));
	return perron_writer_size(&w);
}

static uint32_t wild_make(const struct host *h, struct script *s, uint32_t peer, uint8_t *payload)
{
	struct group_head head = head_make(h, s, (uint8_t)(1 + take8(s) % 12), peer);
	struct perron_writer w = group_head_write(payload, &head);
	uint32_t size = take8(s);

	for (uint32_t i = 0; i < size; i++)
		perron_write8(&w, take8(s));
	return perron_writer_size(&w);
}

static uint32_t payload_make(const struct host *h, struct script *s, uint8_t kind, uint32_t peer,
			     uint8_t *payload)
{
	switch (kind) {
	case GROUP_HELLO:
		return hello_make(h, s, peer, payload);
	case GROUP_STATE:
		return state_make(h, s, peer, payload);
	case GROUP_REFUSE:
	case GROUP_COMMIT:
	case GROUP_READY:
	case GROUP_LEAVE:
		return decision_make(h, s, kind, peer, payload);
	case GROUP_DATA:
		return data_make(h, s, peer, payload);
	case GROUP_STATUS:
		return status_make(h, s, peer, payload);
	case GROUP_NACK:
		return nack_make(h, s, peer, payload);
	default:
		return wild_make(h, s, peer, payload);
	}
}

static void frame_do(struct host *h, struct script *s)
{
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	uint8_t kind = take8(s) % (GROUP_KIND_COUNT + 1);
	uint32_t peer = 1 + (h->self + take8(s) % 2) % PEERS;
	uint32_t size = payload_make(h, s, kind, peer, payload);
	uint8_t cut = take8(s);

	if (cut > 250 && size)
		size -= 1 + take8(s) % size;
	frame_give(h, peer, PERRON_TYPE_GROUP, payload, size);
}

/* --- commands, the user, time --- */

static void command_give(struct host *h, uint8_t kind, uint32_t peer, uint64_t sequence,
			 int64_t value, uint32_t stream)
{
	struct perron_command c = {
		.kind = kind,
		.stream = stream,
		.sequence = sequence,
		.value = value,
		.party = {peer, 1, {peer, 7400}},
	};

	(void)!perron_relay_command(h->relay, h->now_ns, &c, &h->out);
	effects_apply(h);
}

/* A link is up when each has heard the other. */
static void link_open(struct host *h, uint32_t peer)
{
	command_give(h, PERRON_COMMAND_LINK_OPEN, peer, 0, 0, 0);
	perron_relay_tick(h->relay, h->now_ns, &h->out);
	effects_apply(h);
	beat_give(h, peer);
	beat_give(h, peer);
	command_give(h, PERRON_COMMAND_SIBLING, peer, 0, 1, 0);
}

static void message_do(struct host *h, struct script *s)
{
	static const uint8_t bytes[5 * PERRON_GROUP_FRAGMENT_SIZE];
	uint32_t group = take8(s) % 3;
	uint8_t service = take8(s) % 5;
	uint32_t size = take8(s);

	if (size > 200)
		size *= 24;
	int error = perron_group_send(h->group, h->now_ns, group,
				      (enum perron_group_service)service, bytes, size, &h->out);
	PERRON_ASSERT(error || h->group->cell);
	effects_apply(h);
}

static void command_do(struct host *h, struct script *s)
{
	uint32_t peer = 1 + take8(s) % PEERS;
	uint8_t what = take8(s);
	uint64_t cell;

	switch (what % 8) {
	case 0:
		cell = CELL + take8(s) / 200;
		command_give(h, PERRON_COMMAND_CELL, 0, cell, 1 + take8(s) / 64, 0);
		break;
	case 1:
		command_give(h, PERRON_COMMAND_CELL, 0, take8(s) < 128 ? 0 : CELL, 0, 0);
		break;
	case 2:
		command_give(h, PERRON_COMMAND_SIBLING, peer, 0, take8(s) < 128, 0);
		break;
	case 3:
		command_give(h, PERRON_COMMAND_LINK_CLOSE, peer, 0, 0, 0);
		break;
	case 4:
		if (peer != h->self)
			link_open(h, peer);
		break;
	case 5:
	case 6:
		command_give(h, PERRON_COMMAND_GROUP_JOIN, 0, 0, 0, take8(s) % 6);
		break;
	default:
		command_give(h, PERRON_COMMAND_GROUP_LEAVE, 0, 0, 0, take8(s) % 6);
	}
}

/* Both neighbours stay alive for short times. */
static void time_do(struct host *h, struct script *s)
{
	uint8_t length = take8(s);
	uint32_t ticks = 0;

	h->now_ns += (uint64_t)(1 + length % 32) << (12 + length / 32 * 2);
	for (uint32_t i = 1; i <= PEERS && length < 224; i++)
		if (i != h->self)
			beat_give(h, i);
	do {
		PERRON_ASSERT(ticks++ < TICKS_MAX);
		perron_relay_tick(h->relay, h->now_ns, &h->out);
		effects_apply(h);
	} while (perron_relay_deadline_ns(h->relay) <= h->now_ns);
}

static void host_init(struct host *h, uint8_t choice)
{
	struct perron_relay_config cfg;

	memset(h, 0, sizeof(*h));
	h->relay = (struct perron_relay *)h->memory;
	h->now_ns = UINT64_C(1) << 40;
	h->self = 1 + choice % PEERS;
	h->out = (struct perron_effects){.items = h->items,
					 .capacity = PERRON_EFFECT_COUNT_MAX,
					 .arena = h->arena,
					 .arena_size = PERRON_EFFECT_ARENA_SIZE};
	perron_relay_config_default(&cfg);
	cfg.peer = h->self;
	cfg.incarnation = LIFE;
	cfg.overlay = OVERLAY;
	cfg.link_count_max = PEERS;
	cfg.path_count_max = 1;
	cfg.stream_count_max = 1;
	cfg.origin_count_max = 1;
	cfg.origin_window = 64;
	cfg.client_lag_max = 8;
	cfg.replica_count_max = 4;
	cfg.replica_window = 64;
	cfg.replica_frame_max = 32;
	cfg.group.window = 8;
	cfg.group.pending_count = 4;
	cfg.group.light_count_max = 3;
	cfg.group.sequence_first = choice & 0x80 ? 0xfffffff8 : 1;
	PERRON_ASSERT(perron_relay_size(&cfg) <= sizeof(h->memory));
	PERRON_ASSERT(perron_relay_init(h->relay, &cfg, h->now_ns) == 0);
	h->group = perron_relay_group(h->relay);
	for (uint32_t i = 1; i <= PEERS; i++)
		if (i != h->self)
			link_open(h, i);
	command_give(h, PERRON_COMMAND_CELL, 0, CELL, h->self, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct host host;
	struct script script = {data, size};
	uint32_t steps = 0;

	host_init(&host, take8(&script));
	while (script.left && steps++ < STEPS_MAX) {
		uint8_t what = take8(&script);

		if (what < 160)
			frame_do(&host, &script);
		else if (what < 200)
			message_do(&host, &script);
		else if (what < 240)
			time_do(&host, &script);
		else
			command_do(&host, &script);
	}
	return 0;
}
