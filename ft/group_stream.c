/*
 * Packets of a view: packed, numbered, stamped, sent to each member, acknowledged by rows, asked
 * for again from whoever has them, let go when every member has them and they are delivered here.
 */
#include <string.h>

#include "ft/group_private.h"

#define WINDOW_MIN 4u
/* Asked for in vain, packets are asked for less often: up to 2^this resend times. */
#define NACK_SLOW_MAX 4u

void group_streams_start(struct perron_group *g, uint32_t first)
{
	uint32_t none = first - 1;

	for (uint32_t i = 0; i < g->cfg.member_count_max; i++) {
		struct group_stream *s = &g->streams[i];
		struct group_packet *ring = s->ring;
		for (uint32_t k = 0; k < group_ring_size(g); k++)
			ring[k].size = 0;
		*s = (struct group_stream){
			.ring = ring,
			.freed = none,
			.received = none,
			.clock = none,
			.announced = none,
			.announced_clock = none,
			.passed = none,
			.stable = none,
			.nack_at_ns = GROUP_NEVER,
		};
		for (uint32_t k = 0; k < GROUP_MEMBER_MAX; k++)
			s->row[k] = none;
	}
	g->sent = none;
	g->clock = none;
	g->promised = none;
	g->owed = false;
	g->askers = 0;
	g->status_at_ns = GROUP_NEVER;
	g->resend_at_ns = GROUP_NEVER;
	g->pack_at_ns = GROUP_NEVER;
	g->pending_next = g->pending_head;
}

static struct group_head head_of(const struct perron_group *g, uint8_t kind, uint8_t flags)
{
	return (struct group_head){
		.kind = kind,
		.flags = flags,
		.member_count = g->view.member_count,
		.index = g->view.self,
		.cell = g->cell,
		.view = g->view.id,
	};
}

/* --- rows --- */

static void stable_update(struct perron_group *g)
{
	uint32_t count = g->view.member_count;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t least = g->streams[0].row[i];
		for (uint32_t k = 1; k < count; k++)
			if (serial_ahead(g->streams[k].row[i], least) < 0)
				least = g->streams[k].row[i];
		if (serial_ahead(least, g->streams[i].stable) > 0)
			g->streams[i].stable = least;
	}
}

/* No member has what was never sent, nor more than the windows allow. */
static bool row_is_possible(const struct perron_group *g, const uint32_t *row)
{
	int32_t most = 2 * (int32_t)group_ring_size(g);

	for (uint32_t i = 0; i < g->view.member_count; i++)
		if (serial_ahead(row[i], g->streams[i].freed) > most)
			return false;
	return serial_ahead(row[g->view.self], g->sent) <= 0;
}

static void row_take(struct perron_group *g, uint32_t member, const uint32_t *row)
{
	struct group_stream *s = &g->streams[member];

	for (uint32_t i = 0; i < g->view.member_count; i++)
		s->row[i] = serial_max(s->row[i], row[i]);
	stable_update(g);
}

static bool clock_is_possible(const struct perron_group *g, uint32_t clock)
{
	return serial_ahead(clock, g->clock) <= (int32_t)GROUP_CLOCK_AHEAD_MAX;
}

/* --- receiving --- */

/* The more members, the fewer packets of each: what is under way fits the queues on its way. */
static uint32_t window_of(const struct perron_group *g)
{
	uint32_t share = 2 * g->cfg.window / g->view.member_count;

	return share < WINDOW_MIN ? WINDOW_MIN : group_min32(share, g->cfg.window / 2);
}

/*
 * What others are told to be here of a member's packets. Whoever lacks a packet of one member can
 * deliver none of the others: it acknowledges only a little more than it has delivered, so that
 * these stop in time, before it has to drop what they send.
 */
static uint32_t acknowledged(const struct perron_group *g, uint32_t index)
{
	const struct group_stream *s = &g->streams[index];
	uint32_t most = s->passed + window_of(g) / 2;

	return serial_ahead(s->received, most) > 0 ? most : s->received;
}

/* A sender's word: so much is sent, and all else will be stamped later than `clock`. */
static void announce(struct group_stream *s, uint32_t sent, uint32_t clock)
{
	int32_t ahead = serial_ahead(sent, s->announced);

	if (ahead > 0) {
		s->announced = sent;
		s->announced_clock = clock;
	} else if (ahead == 0) {
		s->announced_clock = serial_max(s->announced_clock, clock);
	}
	if (s->received == s->announced)
		s->clock = serial_max(s->clock, s->announced_clock);
}

/* Takes up what follows without a gap. */
static void absorb(struct perron_group *g, uint32_t index)
{
	struct group_stream *s = &g->streams[index];
	struct group_packet *p;

	while ((p = group_packet(g, s, s->received + 1)) &&
	       (g->state != PERRON_GROUP_STATE_RECOVER ||
		s->received != g->change.merged.received[index])) {
		if (serial_ahead(p->stamp, s->clock) <= 0) {
			p->size = 0; /* no sender stamps so */
			relay_drop(g->relay, PERRON_DROP_IMPOSSIBLE_SEQUENCE);
			break;
		}
		s->received++;
		s->clock = p->stamp;
		s->nack_tries = 0;
		announce(s, s->received, s->clock);
	}
	g->streams[g->view.self].row[index] = s->received;
}

/* The strongest service of a packet's messages. */
static uint8_t service_of(const uint8_t *payload, uint32_t size, uint32_t at)
{
	struct group_item item;
	uint8_t service = PERRON_GROUP_FIFO;

	while (group_item_read(payload, size, &at, &item))
		if (item.service > service)
			service = item.service;
	return service;
}

/* Whether others wait for our word: a safe message for our row, an agreed one for our clock. */
static bool is_owed(const struct perron_group *g, uint8_t service, uint32_t stamp)
{
	if (service == PERRON_GROUP_AGREED)
		return serial_ahead(g->promised, stamp) < (int32_t)g->cfg.window / 2;
	return service == PERRON_GROUP_SAFE;
}

static void packet_store(struct perron_group *g, struct group_stream *s, const uint8_t *payload,
			 uint32_t size, const struct group_data *data)
{
	struct group_packet *p = &s->ring[data->sequence & (group_ring_size(g) - 1)];

	p->sequence = data->sequence;
	p->stamp = data->stamp;
	p->size = (uint16_t)size;
	p->items_at = (uint16_t)data->items_at;
	memcpy(p->data, payload, size);
}

static void nack_soon(struct perron_group *g, uint64_t now_ns, struct group_stream *s)
{
	if (s->received != s->announced && s->nack_at_ns == GROUP_NEVER)
		s->nack_at_ns = now_ns + g->cfg.resend_ns / 8;
}

/*
 * How far ahead of what was let go a packet may be. A sender is a window ahead of what all members
 * have: so while no more than a window is taken, what is to be recovered at the end of the view,
 * when nothing can be let go, is two windows at most, and the ring has room for it.
 */
static int32_t ahead_max(const struct perron_group *g)
{
	return g->state == PERRON_GROUP_STATE_RECOVER ? (int32_t)group_ring_size(g)
						      : (int32_t)g->cfg.window;
}

static enum perron_drop data_permit(const struct perron_group *g, const struct group_stream *s,
				    const struct group_data *data)
{
	int32_t ahead = serial_ahead(data->sequence, s->freed);

	if (ahead > 2 * (int32_t)group_ring_size(g) || !clock_is_possible(g, data->stamp) ||
	    !row_is_possible(g, data->row) || !row_is_possible(g, data->past))
		return PERRON_DROP_IMPOSSIBLE_SEQUENCE;
	if (serial_ahead(data->sequence, s->received) <= 0 || group_packet(g, s, data->sequence))
		return PERRON_DROP_DUPLICATE;
	if (ahead > ahead_max(g))
		return PERRON_DROP_GROUP_FULL;
	return PERRON_DROP_NONE;
}

enum perron_drop group_data(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			    int from, const uint8_t *payload, uint32_t size)
{
	bool again = head->flags & GROUP_FLAG_AGAIN;
	struct group_stream *s = &g->streams[head->index];
	struct group_data data;

	if (head->index == g->view.self || (!again && head->index != from))
		return PERRON_DROP_NOT_MEMBER;
	if (!group_data_read(payload, size, head->member_count, &data))
		return PERRON_DROP_MALFORMED;
	enum perron_drop cause = data_permit(g, s, &data);
	if (cause != PERRON_DROP_NONE && cause != PERRON_DROP_DUPLICATE)
		return cause;
	/* In a change only what was found to be missing is taken; its rows are settled. */
	if (g->state == PERRON_GROUP_STATE_RECOVER) {
		if (cause != PERRON_DROP_NONE || !g->change.is_merged ||
		    serial_ahead(data.sequence, g->change.merged.received[head->index]) > 0)
			return PERRON_DROP_OLD_VIEW;
		packet_store(g, s, payload, size, &data);
		absorb(g, head->index);
		return PERRON_DROP_NONE;
	}
	if (g->state != PERRON_GROUP_STATE_OPERATIONAL)
		return PERRON_DROP_OLD_VIEW;
	row_take(g, head->index, data.row);
	g->owed |= again;
	if (cause != PERRON_DROP_NONE)
		return cause;
	packet_store(g, s, payload, size, &data);
	announce(s, data.sequence, data.stamp);
	absorb(g, head->index);
	stable_update(g);
	g->clock = serial_max(g->clock, data.stamp);
	nack_soon(g, now_ns, s);
	g->owed |= is_owed(g, service_of(payload, size, data.items_at), data.stamp);
	return PERRON_DROP_NONE;
}

enum perron_drop group_status(struct perron_group *g, uint64_t now_ns,
			      const struct group_head *head, int from, struct perron_reader *r)
{
	struct group_status status;
	struct group_stream *s = &g->streams[head->index];

	if (head->index == g->view.self || head->index != from)
		return PERRON_DROP_NOT_MEMBER;
	if (!group_status_read(r, head->member_count, &status))
		return PERRON_DROP_MALFORMED;
	if (g->state != PERRON_GROUP_STATE_OPERATIONAL)
		return PERRON_DROP_OLD_VIEW;
	if (!clock_is_possible(g, status.clock) || !row_is_possible(g, status.row) ||
	    serial_ahead(status.sent, s->freed) > 2 * (int32_t)group_ring_size(g))
		return PERRON_DROP_IMPOSSIBLE_SEQUENCE;
	row_take(g, head->index, status.row);
	announce(s, status.sent, status.clock);
	nack_soon(g, now_ns, s);
	if (head->flags & GROUP_FLAG_ANSWER)
		g->askers |= group_bit((uint32_t)from);
	return PERRON_DROP_NONE;
}

/* --- what is missing --- */

void group_nack_send(struct perron_group *g, uint64_t now_ns, uint32_t index, uint32_t last,
		     uint32_t peer, struct perron_effects *out)
{
	const struct group_stream *s = &g->streams[index];
	struct group_head head = head_of(g, GROUP_NACK, 0);
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];
	uint32_t first = s->received + 1;
	uint32_t missing = 0;

	for (uint32_t i = 0; i < GROUP_NACK_SPAN && serial_ahead(last, first + i) >= 0; i++)
		if (!group_packet(g, s, first + i))
			missing |= 1u << i;
	head.index = (uint8_t)index;
	struct perron_writer w = group_head_write(payload, &head);
	perron_write32(&w, first);
	perron_write32(&w, missing);
	if (missing)
		group_send(g, now_ns, peer, payload, perron_writer_size(&w), out);
}

/* Its sender first, then whoever has it. */
static uint32_t holder_choose(const struct perron_group *g, uint32_t index)
{
	const struct group_stream *s = &g->streams[index];
	uint32_t count = g->view.member_count;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t k = (index + s->nack_tries + i) % count;
		if (k != g->view.self &&
		    (k == index || serial_ahead(g->streams[k].row[index], s->received) > 0))
			return g->view.members[k].peer;
	}
	return g->view.members[index].peer;
}

static void nacks_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		struct group_stream *s = &g->streams[i];
		if (s->nack_at_ns > now_ns)
			continue;
		s->nack_at_ns = GROUP_NEVER;
		if (s->received == s->announced)
			continue;
		group_nack_send(g, now_ns, i, s->announced, holder_choose(g, i), out);
		uint32_t slow = s->nack_tries < NACK_SLOW_MAX ? s->nack_tries : NACK_SLOW_MAX;
		s->nack_tries++;
		s->nack_at_ns = now_ns + (g->cfg.resend_ns << slow);
	}
}

enum perron_drop group_nack(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			    uint32_t peer, struct perron_reader *r, struct perron_effects *out)
{
	uint32_t first = perron_read32(r);
	uint32_t missing = perron_read32(r);

	if (!perron_reader_done(r))
		return PERRON_DROP_MALFORMED;
	for (uint32_t i = 0; i < GROUP_NACK_SPAN; i++) {
		struct group_packet *p = group_packet(g, &g->streams[head->index], first + i);
		if (!(missing & 1u << i) || !p)
			continue;
		p->data[1] |= GROUP_FLAG_AGAIN;
		group_send(g, now_ns, peer, p->data, p->size, out);
		g->counters.retransmitted++;
	}
	return PERRON_DROP_NONE;
}

/* --- sending --- */

/*
 * Who has sent nothing of late promises to stamp what it will send well ahead of all that it has
 * seen: so the messages of others need not wait for its next word. It costs the promiser nothing:
 * its next packet waits for everybody's word as any other.
 */
static uint32_t promise_make(struct perron_group *g, uint64_t now_ns)
{
	bool is_idle = g->pending_next == g->pending_end &&
		       now_ns - g->packet_sent_ns >= GROUP_IDLE_NS;

	g->promised = serial_max(g->promised, g->clock + (is_idle ? g->cfg.window : 0));
	return g->promised;
}

static void rows_told(struct perron_group *g)
{
	for (uint32_t i = 0; i < g->view.member_count; i++)
		g->streams[i].told = acknowledged(g, i);
	g->owed = false;
	g->askers = 0;
	g->status_at_ns = GROUP_NEVER;
}

void group_packet_send(struct perron_group *g, uint64_t now_ns, const uint8_t *items, uint32_t size,
		       struct perron_effects *out)
{
	struct group_stream *s = &g->streams[g->view.self];
	struct group_head head = head_of(g, GROUP_DATA, 0);
	struct group_data data = {.sequence = ++g->sent};
	struct group_packet *p = &s->ring[data.sequence & (group_ring_size(g) - 1)];

	PERRON_ASSERT(p->size == 0);
	g->clock = serial_max(g->clock, g->promised) + 1;
	g->promised = g->clock;
	g->packet_sent_ns = now_ns;
	data.stamp = g->clock;
	s->received = data.sequence;
	s->announced = data.sequence;
	s->row[g->view.self] = data.sequence;
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		data.row[i] = acknowledged(g, i);
		data.past[i] = g->streams[i].passed + (g->streams[i].item_at != 0);
	}
	data.past[g->view.self] = data.sequence - 1;
	group_data_write(p->data, &head, &data);
	data.items_at = group_items_at(g->view.member_count);
	memcpy(p->data + data.items_at, items, size);
	p->sequence = data.sequence;
	p->stamp = data.stamp;
	p->items_at = (uint16_t)data.items_at;
	p->size = (uint16_t)(data.items_at + size);
	rows_told(g);
	stable_update(g);
	group_send_members(g, now_ns, p->data, p->size, out);
	g->counters.packets++;
}

/* `to`: bit, member. */
static void status_send(struct perron_group *g, uint64_t now_ns, uint8_t flags, uint32_t to,
			struct perron_effects *out)
{
	struct group_head head = head_of(g, GROUP_STATUS, flags);
	struct group_status status = {.clock = promise_make(g, now_ns), .sent = g->sent};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	for (uint32_t i = 0; i < g->view.member_count; i++)
		status.row[i] = acknowledged(g, i);
	uint32_t size = group_status_write(payload, &head, &status);
	for (uint32_t i = 0; i < g->view.member_count; i++)
		if (i != g->view.self && (to & group_bit(i)))
			group_send(g, now_ns, g->view.members[i].peer, payload, size, out);
	g->askers &= ~to;
	if (to == GROUP_ALL)
		rows_told(g);
}

/* What is left to be settled, changed since the last look? */
static bool has_progressed(struct perron_group *g)
{
	uint32_t mark = 0;

	for (uint32_t i = 0; i < g->view.member_count; i++)
		mark += g->streams[i].passed + g->streams[i].stable;
	bool progressed = mark != g->settled_mark;
	g->settled_mark = mark;
	return progressed;
}

static uint32_t in_flight(const struct perron_group *g)
{
	return g->sent - g->streams[g->view.self].stable;
}

static bool window_is_open(const struct perron_group *g)
{
	const struct group_stream *s = &g->streams[g->view.self];

	return in_flight(g) < window_of(g) && g->sent - s->freed < group_ring_size(g) &&
	       g->send_budget >= g->view.member_count;
}

/* The last packet may yet be filled, while others are under way. */
static bool waits_for_more(struct perron_group *g, uint64_t now_ns)
{
	if (g->pending_next + 1 != g->pending_end || in_flight(g) < GROUP_PACK_FROM)
		return false;
	g->pack_at_ns = g->packet_sent_ns + GROUP_PACK_NS;
	return now_ns < g->pack_at_ns;
}

void group_acknowledge(struct perron_group *g, uint64_t now_ns)
{
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		int32_t news = serial_ahead(acknowledged(g, i), g->streams[i].told);
		if (i == g->view.self || news <= 0)
			continue;
		g->owed |= news >= (int32_t)window_of(g) / 4;
		if (g->status_at_ns == GROUP_NEVER)
			g->status_at_ns = now_ns + g->cfg.acknowledge_ns;
	}
}

void group_transmit(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	if (g->state != PERRON_GROUP_STATE_OPERATIONAL)
		return;
	group_acknowledge(g, now_ns);
	while (g->pending_next != g->pending_end && window_is_open(g)) {
		struct group_pending *p = &g->pending[g->pending_next & (g->cfg.pending_count - 1)];
		if (waits_for_more(g, now_ns))
			break;
		group_packet_send(g, now_ns, p->items, p->size, out);
		g->pack_at_ns = GROUP_NEVER;
		g->pending_next++;
		if (!p->unfinished)
			g->pending_head = g->pending_next;
	}
	if (!window_is_open(g))
		g->pack_at_ns = GROUP_NEVER; /* what opens it sends */
	if (g->owed || g->status_at_ns <= now_ns)
		status_send(g, now_ns, 0, GROUP_ALL, out);
	else if (g->askers)
		status_send(g, now_ns, 0, g->askers, out);
	if (g->resend_at_ns == GROUP_NEVER && !group_is_settled(g))
		g->resend_at_ns = now_ns + g->cfg.resend_ns;
}

bool group_is_settled(const struct perron_group *g)
{
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		const struct group_stream *s = &g->streams[i];
		if (s->passed != s->announced || s->stable != s->announced)
			return false;
	}
	return true;
}

void group_streams_free(struct perron_group *g)
{
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		struct group_stream *s = &g->streams[i];
		uint32_t last = s->stable;
		if (serial_ahead(s->passed, last) < 0)
			last = s->passed;
		if (s->piece_count && serial_ahead(s->piece_packet - 1, last) < 0)
			last = s->piece_packet - 1;
		while (serial_ahead(last, s->freed) > 0)
			s->ring[++s->freed & (group_ring_size(g) - 1)].size = 0;
	}
}

void group_stream_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	if (g->state != PERRON_GROUP_STATE_OPERATIONAL)
		return;
	nacks_tick(g, now_ns, out);
	if (g->resend_at_ns > now_ns)
		return;
	g->resend_at_ns = GROUP_NEVER;
	if (!group_is_settled(g) && !has_progressed(g))
		status_send(g, now_ns, GROUP_FLAG_ANSWER, GROUP_ALL, out);
}

uint64_t group_stream_deadline_ns(const struct perron_group *g)
{
	uint64_t due = g->resend_at_ns < g->status_at_ns ? g->resend_at_ns : g->status_at_ns;

	if (g->state != PERRON_GROUP_STATE_OPERATIONAL)
		return GROUP_NEVER;
	due = g->pack_at_ns < due ? g->pack_at_ns : due;
	for (uint32_t i = 0; i < g->view.member_count; i++)
		due = g->streams[i].nack_at_ns < due ? g->streams[i].nack_at_ns : due;
	return due;
}

void group_streams_check(const struct perron_group *g)
{
	for (uint32_t i = 0; i < g->view.member_count; i++) {
		const struct group_stream *s = &g->streams[i];
		PERRON_ASSERT(serial_ahead(s->received, s->passed) >= 0);
		PERRON_ASSERT(serial_ahead(s->passed, s->freed) >= 0);
		PERRON_ASSERT(serial_ahead(s->announced, s->received) >= 0);
		PERRON_ASSERT(s->received - s->freed <= group_ring_size(g));
		PERRON_ASSERT(g->streams[g->view.self].row[i] == s->received);
	}
	PERRON_ASSERT(g->streams[g->view.self].received == g->sent);
	PERRON_ASSERT(g->pending_end - g->pending_head <= g->cfg.pending_count);
	PERRON_ASSERT(g->pending_next - g->pending_head <= g->pending_end - g->pending_head);
}
