/*
 * The order. Packets stand in the total order of (stamp, member). The next of them is delivered
 * when every other member has shown that whatever it sends from now on stands behind (agreed); a
 * safe message in it, when every member has it and all that its sender had delivered before. FIFO
 * and causal messages do not wait for the order: they go as soon as their sender's earlier ones,
 * and (causal) their past, have gone.
 *
 * At the end of a view the members that go on together hold the same packets and know the same of
 * all members. What could have been delivered in the regular view by any of them is delivered in it
 * by all; then, in the transitional one, everything else in the same order, but for packets whose
 * past is not held: they, and what follows them from the same sender, are left out. The senders
 * of these are not among those who go on.
 */
#include <string.h>

#include "ft/group_private.h"

static uint32_t past_of(const struct perron_group *g, const struct group_packet *p, uint32_t index)
{
	return perron_load32(p->data + GROUP_HEAD_SIZE + 8 +
			     4 * (size_t)(g->view.member_count + index));
}

static bool has_room(const struct perron_group *g, const struct group_item *item,
		     const struct perron_effects *out)
{
	uint32_t count = item->fragment_count;
	uint32_t size = sizeof(struct perron_group_message);

	if (item->kind != GROUP_ITEM_MESSAGE) {
		count = g->cfg.light_count_max;
		size = sizeof(struct perron_group_light);
	}
	return perron_effects_has_room(out, count, count * size);
}

static void piece_indicate(const struct perron_group *g, uint32_t index,
			   const struct group_item *item, bool transitional,
			   struct perron_effects *out)
{
	struct perron_group_message *m =
		perron_effects_indicate(out, PERRON_GROUP_INDICATE_MESSAGE, sizeof(*m));

	PERRON_ASSERT(m); /* there was room */
	*m = (struct perron_group_message){
		.sender = g->view.members[index].peer,
		.group = item->group,
		.service = item->service,
		.transitional = transitional,
		.fragment_index = item->fragment_index,
		.fragment_count = item->fragment_count,
		.size = item->size,
		.data = item->data,
	};
}

/* All pieces of a message, from where it begins. */
static void pieces_indicate(struct perron_group *g, uint32_t index, bool transitional,
			    struct perron_effects *out)
{
	struct group_stream *s = &g->streams[index];
	uint32_t sequence = s->piece_packet;
	uint32_t at = s->piece_at;
	struct group_item item;

	for (uint32_t i = 0; i < s->piece_count; i++) {
		const struct group_packet *p = group_packet(g, s, sequence);
		PERRON_ASSERT(p);
		if (!group_item_read(p->data, p->size, &at, &item)) {
			p = group_packet(g, s, ++sequence);
			PERRON_ASSERT(p);
			at = p->items_at;
			bool is_item = group_item_read(p->data, p->size, &at, &item);
			PERRON_ASSERT(is_item);
		}
		piece_indicate(g, index, &item, transitional, out);
	}
}

static void message_deliver(struct perron_group *g, uint32_t index, const struct group_item *item,
			    uint32_t sequence, uint32_t at, bool transitional,
			    struct perron_effects *out)
{
	struct group_stream *s = &g->streams[index];

	if (item->fragment_index == 0) {
		s->piece_packet = sequence;
		s->piece_at = (uint16_t)at;
		s->piece_count = 0;
	}
	if (item->fragment_index != s->piece_count) {
		relay_drop(g->relay, PERRON_DROP_FRAGMENT);
		s->piece_count = 0;
		return;
	}
	s->piece_count++;
	if (s->piece_count < item->fragment_count)
		return;
	if (group_light_is_mine(g, item->group)) {
		pieces_indicate(g, index, transitional, out);
		g->counters.delivered++;
		g->indicated = true;
	}
	s->piece_count = 0;
}

enum pass {
	PASS_BLOCKED, /* the next item may not go yet */
	PASS_NO_ROOM,
	PASS_DONE, /* the packet is through */
};

typedef bool (*may_pass)(const struct perron_group *g, uint32_t index,
			 const struct group_packet *p, const struct group_item *item);

/* Gives the items of a stream's next packet on, as far as `may` lets them. */
static enum pass packet_pass(struct perron_group *g, uint32_t index, may_pass may,
			     bool transitional, struct perron_effects *out)
{
	struct group_stream *s = &g->streams[index];
	const struct group_packet *p = group_packet(g, s, s->passed + 1);
	struct group_item item;

	PERRON_ASSERT(p);
	for (;;) {
		uint32_t at = s->item_at ? s->item_at : p->items_at;
		uint32_t next = at;
		if (!group_item_read(p->data, p->size, &next, &item))
			break;
		if (!may(g, index, p, &item))
			return PASS_BLOCKED;
		if (!has_room(g, &item, out))
			return PASS_NO_ROOM;
		s->item_at = (uint16_t)next;
		if (item.kind == GROUP_ITEM_MESSAGE)
			message_deliver(g, index, &item, p->sequence, at, transitional, out);
		else
			group_light_take(g, index, &item, out);
	}
	s->passed++;
	s->item_at = 0;
	return PASS_DONE;
}

/* --- before the order is known --- */

static bool past_is_passed(const struct perron_group *g, uint32_t index,
			   const struct group_packet *p)
{
	for (uint32_t i = 0; i < g->view.member_count; i++)
		if (i != index && serial_ahead(past_of(g, p, i), g->streams[i].passed) > 0)
			return false;
	return true;
}

static bool may_pass_early(const struct perron_group *g, uint32_t index,
			   const struct group_packet *p, const struct group_item *item)
{
	return item->service == PERRON_GROUP_FIFO ||
	       (item->service == PERRON_GROUP_CAUSAL && past_is_passed(g, index, p));
}

/* False: there was no room. */
static bool early_pass(struct perron_group *g, struct perron_effects *out)
{
	bool progress = true;

	while (progress) {
		progress = false;
		for (uint32_t i = 0; i < g->view.member_count; i++) {
			struct group_stream *s = &g->streams[i];
			if (s->passed == s->received)
				continue;
			enum pass pass = packet_pass(g, i, may_pass_early, false, out);
			if (pass == PASS_NO_ROOM)
				return false;
			progress |= pass == PASS_DONE;
		}
	}
	return true;
}

/* --- in order --- */

/* The stream whose next packet stands first; -1: there is none. */
static int first_find(const struct perron_group *g)
{
	int first = -1;
	uint32_t first_stamp = 0;

	for (uint32_t i = 0; i < g->view.member_count; i++) {
		const struct group_stream *s = &g->streams[i];
		if (s->passed == s->received)
			continue;
		uint32_t stamp = group_packet(g, s, s->passed + 1)->stamp;
		if (first >= 0 && serial_ahead(stamp, first_stamp) >= 0)
			continue;
		first = (int)i;
		first_stamp = stamp;
	}
	return first;
}

/* Whether nothing can come any more that stands before the stream's next packet. */
static bool is_agreed(const struct perron_group *g, uint32_t index)
{
	const struct group_stream *first = &g->streams[index];
	uint32_t stamp = group_packet(g, first, first->passed + 1)->stamp;

	for (uint32_t i = 0; i < g->view.member_count; i++) {
		const struct group_stream *s = &g->streams[i];
		if (i == index || s->passed != s->received)
			continue;
		/* Our clock is beyond all that came; at a view's end, what we told of it counts. */
		if (i == g->view.self && g->state != PERRON_GROUP_STATE_INSTALL)
			continue;
		int32_t ahead = serial_ahead(s->clock + 1, stamp);
		if (ahead < 0 || (ahead == 0 && i < index))
			return false;
	}
	return true;
}

static bool may_pass_in_order(const struct perron_group *g, uint32_t index,
			      const struct group_packet *p, const struct group_item *item)
{
	if (item->service != PERRON_GROUP_SAFE)
		return true;
	if (serial_ahead(p->sequence, g->streams[index].stable) > 0)
		return false;
	for (uint32_t i = 0; i < g->view.member_count; i++)
		if (i != index && serial_ahead(past_of(g, p, i), g->streams[i].stable) > 0)
			return false;
	return true;
}

static bool may_pass_at_the_end(const struct perron_group *g, uint32_t index,
				const struct group_packet *p, const struct group_item *item)
{
	(void)g, (void)index, (void)p, (void)item;
	return true;
}

static bool past_is_held(const struct perron_group *g, uint32_t index)
{
	const struct group_stream *s = &g->streams[index];
	const struct group_packet *p = group_packet(g, s, s->passed + 1);

	for (uint32_t i = 0; i < g->view.member_count; i++)
		if (i != index && serial_ahead(past_of(g, p, i), g->streams[i].received) > 0)
			return false;
	return true;
}

static bool transitional_pass(struct perron_group *g, struct perron_effects *out)
{
	int first;

	while ((first = first_find(g)) >= 0) {
		struct group_stream *s = &g->streams[first];
		if (!past_is_held(g, (uint32_t)first)) {
			g->counters.discarded += s->received - s->passed;
			s->passed = s->received;
			s->item_at = 0;
			s->piece_count = 0;
		} else if (packet_pass(g, (uint32_t)first, may_pass_at_the_end, true, out) ==
			   PASS_NO_ROOM) {
			return false;
		}
	}
	return true;
}

bool group_deliver(struct perron_group *g, bool transitional, struct perron_effects *out)
{
	enum pass pass = PASS_DONE;

	if (transitional)
		return transitional_pass(g, out);
	while (pass == PASS_DONE) {
		if (!early_pass(g, out))
			return false;
		int first = first_find(g);
		if (first < 0 || !is_agreed(g, (uint32_t)first))
			return true;
		pass = packet_pass(g, (uint32_t)first, may_pass_in_order, false, out);
	}
	return pass == PASS_BLOCKED;
}
