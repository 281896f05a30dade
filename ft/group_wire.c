/* Frames of a group, byte by byte. Big-endian; docs/protocol.md shows them. */
#include <assert.h>
#include <string.h>

#include "ft/group_private.h"

#define MEMBER_SIZE 13u
#define ROWS_AT     (GROUP_HEAD_SIZE + 8)

static_assert(ROWS_AT + 8 * GROUP_MEMBER_MAX + GROUP_ITEM_SIZE + PERRON_GROUP_FRAGMENT_SIZE <=
		      PERRON_PAYLOAD_SIZE_MAX,
	      "a piece fits a packet of the largest cell");
static_assert(GROUP_HEAD_SIZE + 24 + GROUP_MEMBER_MAX * (MEMBER_SIZE + 12) <=
		      PERRON_PAYLOAD_SIZE_MAX,
	      "a state fits a frame");

static void view_id_write(struct perron_writer *w, const struct perron_group_view_id *id)
{
	perron_write32(w, id->number);
	perron_write32(w, id->peer);
	perron_write32(w, id->incarnation);
}

static struct perron_group_view_id view_id_read(struct perron_reader *r)
{
	struct perron_group_view_id id;

	id.number = perron_read32(r);
	id.peer = perron_read32(r);
	id.incarnation = perron_read32(r);
	return id;
}

/* Not inlined: gcc 12 at -O3 warns of the branch that a full writer would take. */
__attribute__((noinline)) struct perron_writer group_head_write(uint8_t *payload,
								const struct group_head *head)
{
	struct perron_writer w = perron_writer_of(payload, PERRON_PAYLOAD_SIZE_MAX);

	perron_write8(&w, head->kind);
	perron_write8(&w, head->flags);
	perron_write8(&w, head->member_count);
	perron_write8(&w, head->index);
	perron_write64(&w, head->cell);
	view_id_write(&w, &head->view);
	return w;
}

/* Flags that mean something in a kind. */
static const uint8_t flags_of[GROUP_KIND_COUNT] = {
	[GROUP_HELLO] = GROUP_FLAG_ANSWER | GROUP_FLAG_FROZEN,
	[GROUP_STATE] = GROUP_FLAG_ANSWER | GROUP_FLAG_FROZEN,
	[GROUP_DATA] = GROUP_FLAG_AGAIN,
	[GROUP_STATUS] = GROUP_FLAG_ANSWER,
};

bool group_head_read(struct perron_reader *r, struct group_head *head)
{
	head->kind = perron_read8(r);
	head->flags = perron_read8(r);
	head->member_count = perron_read8(r);
	head->index = perron_read8(r);
	head->cell = perron_read64(r);
	head->view = view_id_read(r);
	return !r->failed && head->kind && head->kind < GROUP_KIND_COUNT &&
	       !(head->flags & ~flags_of[head->kind]) && head->member_count <= GROUP_MEMBER_MAX &&
	       head->index < GROUP_MEMBER_MAX && head->cell;
}

static void row_write(struct perron_writer *w, const uint32_t *row, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		perron_write32(w, row[i]);
}

static void row_read(struct perron_reader *r, uint32_t *row, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		row[i] = perron_read32(r);
}

static uint32_t writer_done(const struct perron_writer *w)
{
	PERRON_ASSERT(!w->failed);
	return perron_writer_size(w);
}

/* --- packets --- */

uint32_t group_items_at(uint32_t member_count)
{
	return ROWS_AT + 8 * member_count;
}

void group_data_write(uint8_t *payload, const struct group_head *head,
		      const struct group_data *data)
{
	struct perron_writer w = group_head_write(payload, head);

	perron_write32(&w, data->sequence);
	perron_write32(&w, data->stamp);
	row_write(&w, data->row, head->member_count);
	row_write(&w, data->past, head->member_count);
	PERRON_ASSERT(writer_done(&w) == group_items_at(head->member_count));
}

bool group_item_read(const uint8_t *payload, uint32_t size, uint32_t *at, struct group_item *item)
{
	const uint8_t *p = payload + *at;

	if (size - *at < GROUP_ITEM_SIZE)
		return false;
	item->size = perron_load16(p);
	item->service = p[2];
	item->kind = p[3];
	item->fragment_index = p[4];
	item->fragment_count = p[5];
	item->group = perron_load32(p + 8);
	item->data = p + GROUP_ITEM_SIZE;
	if (p[6] || p[7] || size - *at - GROUP_ITEM_SIZE < item->size)
		return false;
	*at += GROUP_ITEM_SIZE + item->size;
	return true;
}

uint32_t group_item_write(uint8_t *items, uint32_t at, const struct group_item *item)
{
	uint8_t *p = items + at;

	PERRON_ASSERT(at + GROUP_ITEM_SIZE + item->size <= PERRON_PAYLOAD_SIZE_MAX);
	perron_store16(p, item->size);
	p[2] = item->service;
	p[3] = item->kind;
	p[4] = item->fragment_index;
	p[5] = item->fragment_count;
	p[6] = 0;
	p[7] = 0;
	perron_store32(p + 8, item->group);
	if (item->size)
		memcpy(p + GROUP_ITEM_SIZE, item->data, item->size);
	return at + GROUP_ITEM_SIZE + item->size;
}

static bool item_is_valid(const struct group_item *item)
{
	if (item->service >= PERRON_GROUP_SERVICE_COUNT || item->kind >= GROUP_ITEM_KIND_COUNT ||
	    item->size > PERRON_GROUP_FRAGMENT_SIZE || !item->fragment_count ||
	    item->fragment_count > PERRON_GROUP_FRAGMENT_COUNT_MAX ||
	    item->fragment_index >= item->fragment_count)
		return false;
	if (item->kind == GROUP_ITEM_MESSAGE)
		return item->size > 0;
	return item->fragment_count == 1 && item->service == PERRON_GROUP_AGREED;
}

bool group_data_read(const uint8_t *payload, uint32_t size, uint32_t member_count,
		     struct group_data *data)
{
	struct perron_reader r = perron_reader_of(payload, size);
	struct group_item item;
	uint32_t at = group_items_at(member_count);

	(void)perron_read_bytes(&r, GROUP_HEAD_SIZE);
	data->sequence = perron_read32(&r);
	data->stamp = perron_read32(&r);
	row_read(&r, data->row, member_count);
	row_read(&r, data->past, member_count);
	data->items_at = at;
	if (r.failed || size == at)
		return false;
	while (at < size)
		if (!group_item_read(payload, size, &at, &item) || !item_is_valid(&item))
			return false;
	return true;
}

uint32_t group_status_write(uint8_t *payload, const struct group_head *head,
			    const struct group_status *status)
{
	struct perron_writer w = group_head_write(payload, head);

	perron_write32(&w, status->clock);
	perron_write32(&w, status->sent);
	row_write(&w, status->row, head->member_count);
	return writer_done(&w);
}

bool group_status_read(struct perron_reader *r, uint32_t member_count, struct group_status *status)
{
	status->clock = perron_read32(r);
	status->sent = perron_read32(r);
	row_read(r, status->row, member_count);
	return perron_reader_done(r);
}

/* --- membership --- */

uint32_t group_hello_write(uint8_t *payload, const struct group_head *head,
			   const struct group_hello *hello)
{
	struct perron_writer w = group_head_write(payload, head);

	perron_write32(&w, hello->life);
	perron_write32(&w, hello->number);
	perron_write8(&w, hello->slot);
	perron_write8(&w, hello->reach_count);
	row_write(&w, hello->reach, hello->reach_count);
	return writer_done(&w);
}

bool group_hello_read(struct perron_reader *r, struct group_hello *hello)
{
	hello->life = perron_read32(r);
	hello->number = perron_read32(r);
	hello->slot = perron_read8(r);
	hello->reach_count = perron_read8(r);
	if (hello->reach_count > GROUP_SIBLING_MAX)
		return false;
	row_read(r, hello->reach, hello->reach_count);
	return perron_reader_done(r) && hello->slot;
}

uint32_t group_state_write(uint8_t *payload, const struct group_head *head,
			   const struct group_change *change, const struct group_state *state)
{
	struct perron_writer w = group_head_write(payload, head);

	perron_write8(&w, change->candidate_count);
	for (uint32_t i = 0; i < change->candidate_count; i++) {
		const struct perron_group_member *m = &change->candidates[i];
		perron_write32(&w, m->peer);
		perron_write32(&w, m->incarnation);
		perron_write32(&w, m->life);
		perron_write8(&w, m->slot);
	}
	perron_write32(&w, state->reach);
	view_id_write(&w, &state->view);
	perron_write8(&w, state->member_count);
	row_write(&w, state->received, state->member_count);
	row_write(&w, state->clock, state->member_count);
	row_write(&w, state->stable, state->member_count);
	return writer_done(&w);
}

/* In the order of a view, each once. */
static bool candidates_are_valid(const struct group_change *c)
{
	for (uint32_t i = 0; i < c->candidate_count; i++) {
		const struct perron_group_member *m = &c->candidates[i];
		if (!m->peer || !m->slot)
			return false;
		for (uint32_t k = 0; k < i; k++) {
			const struct perron_group_member *l = &c->candidates[k];
			if (l->peer == m->peer || l->slot > m->slot ||
			    (l->slot == m->slot && l->peer > m->peer))
				return false;
		}
	}
	return true;
}

bool group_state_read(struct perron_reader *r, struct group_change *change,
		      struct group_state *state)
{
	change->candidate_count = perron_read8(r);
	if (!change->candidate_count || change->candidate_count > GROUP_MEMBER_MAX)
		return false;
	for (uint32_t i = 0; i < change->candidate_count; i++) {
		struct perron_group_member *m = &change->candidates[i];
		*m = (struct perron_group_member){.peer = perron_read32(r)};
		m->incarnation = perron_read32(r);
		m->life = perron_read32(r);
		m->slot = perron_read8(r);
	}
	state->reach = perron_read32(r);
	state->view = view_id_read(r);
	state->member_count = perron_read8(r);
	if (!state->member_count || state->member_count > GROUP_MEMBER_MAX)
		return false;
	row_read(r, state->received, state->member_count);
	row_read(r, state->clock, state->member_count);
	row_read(r, state->stable, state->member_count);
	return perron_reader_done(r) && candidates_are_valid(change);
}
