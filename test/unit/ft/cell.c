#include "test/unit/ft/cell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS(id) (0x0a000000u + (id))
#define PORT	    7400
#define REOPEN_NS   (10 * CELL_MS)

static struct perron_effects *effects_new(struct cell *w)
{
	w->out = (struct perron_effects){
	    .items = w->items,
	    .capacity = PERRON_EFFECT_COUNT_MAX,
	    .arena = w->arena,
	    .arena_size = PERRON_EFFECT_ARENA_SIZE,
	};
	return &w->out;
}

/* --- what a peer is told --- */

static void story_add(struct cell_peer *p, const char *text, size_t size)
{
	size_t at = strlen(p->story);

	if (at + size + 2 > sizeof(p->story))
		abort();
	if (at)
		p->story[at++] = ' ';
	memcpy(p->story + at, text, size);
	p->story[at + size] = 0;
}

static void view_tell(struct cell_peer *p, const struct perron_group_view *v)
{
	char text[128];
	int at = snprintf(text, sizeof(text), "%c", v->transitional ? '(' : '[');

	for (uint32_t i = 0; i < v->member_count; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%s%u", i ? " " : "",
			       v->members[i].peer);
	at += snprintf(text + at, sizeof(text) - (size_t)at, "%c", v->transitional ? ')' : ']');
	story_add(p, text, (size_t)at);
	p->view = *v;
}

static void indicate(struct cell *w, uint32_t id, const struct perron_effect *e)
{
	const void *record = e->data;

	const struct perron_group_message *m = record;

	if (e->class == PERRON_GROUP_INDICATE_MESSAGE)
		story_add(&w->peers[id], (const char *)m->data, m->size);
	else if (e->class == PERRON_GROUP_INDICATE_VIEW)
		view_tell(&w->peers[id], record);
	else
		w->peers[id].light = *(const struct perron_group_light *)record;
}

/* --- what it does --- */

/* 0: a frame of another type. */
static uint8_t kind_of(const uint8_t *data, uint32_t size)
{
	struct perron_header header;

	if (perron_frame_decode(data, size, &header) != PERRON_DROP_NONE)
		abort();
	return header.type == PERRON_TYPE_GROUP ? data[PERRON_HEADER_SIZE] : 0;
}

static void fly(struct cell *w, uint32_t id, const struct perron_effect *e)
{
	struct cell_flight *f = &w->flights[w->tail % CELL_FLIGHT_MAX];
	uint32_t to = e->to.address - ADDRESS(0);
	uint8_t kind = kind_of(e->data, e->size);

	w->peers[id].statuses += kind == CELL_KIND_STATUS;
	if (w->peers[id].cut[to] || (kind && kind == w->lost_kind && to == w->lost_to))
		return;
	if (w->tail - w->head == CELL_FLIGHT_MAX)
		abort();
	w->tail++;
	*f = (struct cell_flight){.from = id, .to = to, .class = e->class, .size = e->size};
	memcpy(f->data, e->data, e->size);
}

/* --- frames --- */

static uint64_t frame_new(struct cell *w, const uint8_t *data, uint32_t size)
{
	for (uint64_t i = 0; i < CELL_FRAME_MAX; i++) {
		struct cell_frame *f = &w->frames[i];
		if (f->size)
			continue;
		*f = (struct cell_frame){.size = size};
		memcpy(f->data, data, size);
		return i;
	}
	abort();
}

/* After the step that it was given in: gone, unless it was held. */
static void frame_done(struct cell *w, uint64_t handle)
{
	if (!w->frames[handle].holds)
		w->frames[handle].size = 0;
}

static void hold(struct cell *w, uint32_t id, uint64_t handle, int by)
{
	struct cell_frame *f = &w->frames[handle];

	if (!f->size || (by < 0 && !f->holds))
		abort();
	f->holds += (uint32_t)by;
	w->peers[id].held += (uint32_t)by;
	if (by < 0)
		frame_done(w, handle);
}

static void client_see(struct cell *w, const uint8_t *data, uint32_t size)
{
	struct perron_header header;

	if (perron_frame_decode(data, size, &header) != PERRON_DROP_NONE ||
	    (header.flags & PERRON_FLAG_REPLICA))
		abort();
	if (header.type == PERRON_TYPE_DATA && w->seen_count < CELL_SEEN_MAX)
		w->seen[w->seen_count++] = header.sequence;
}

static void forward(struct cell *w, uint32_t id, const struct perron_effect *e)
{
	const struct cell_frame *f = &w->frames[e->handle];
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_effect copy = *e;

	if (!f->size)
		abort();
	memcpy(data, f->data, f->size);
	perron_frame_readdress(data, &e->hop);
	copy.data = data;
	copy.size = f->size;
	if (e->to.address == ADDRESS(CELL_PEER_MAX + 1))
		client_see(w, data, f->size);
	else
		fly(w, id, &copy);
}

static void apply(struct cell *w, uint32_t id)
{
	for (uint32_t i = 0; i < w->out.count; i++) {
		const struct perron_effect *e = &w->out.items[i];
		const struct perron_event *event = (const void *)e->data;
		if (e->kind == PERRON_EFFECT_SEND &&
		    e->to.address == ADDRESS(CELL_PEER_MAX + 1))
			client_see(w, e->data, e->size);
		else if (e->kind == PERRON_EFFECT_SEND)
			fly(w, id, e);
		else if (e->kind == PERRON_EFFECT_FORWARD)
			forward(w, id, e);
		else if (e->kind == PERRON_EFFECT_HOLD)
			hold(w, id, e->handle, 1);
		else if (e->kind == PERRON_EFFECT_RELEASE)
			hold(w, id, e->handle, -1);
		else if (e->kind == PERRON_EFFECT_INDICATE)
			indicate(w, id, e);
		else if (e->kind == PERRON_EFFECT_EVENT && event->kind == PERRON_EVENT_LINK_DOWN)
			w->peers[id].open_at_ns[event->party.id] = w->now_ns + REOPEN_NS;
		else if (e->kind == PERRON_EFFECT_EVENT && event->kind == PERRON_EVENT_ORPHANED)
			w->peers[id].orphaned++;
	}
	perron_relay_check(w->peers[id].relay);
}

/* --- what it is told to do --- */

static void command(struct cell *w, uint32_t id, uint8_t kind, uint32_t other, uint64_t sequence,
		    int64_t value)
{
	struct perron_command c = {
	    .kind = kind,
	    .sequence = sequence,
	    .value = value,
	    .party = {other, w->peers[other].incarnation, {ADDRESS(other), PORT}},
	};

	if (perron_relay_command(w->peers[id].relay, w->now_ns, &c, effects_new(w)))
		abort();
	apply(w, id);
}

static void link_open(struct cell *w, uint32_t id, uint32_t other)
{
	w->peers[id].open_at_ns[other] = 0;
	command(w, id, PERRON_COMMAND_LINK_OPEN, other, 0, 0);
	command(w, id, PERRON_COMMAND_SIBLING, other, 0, 1);
}

void cell_enter(struct cell *w, uint32_t id)
{
	command(w, id, PERRON_COMMAND_CELL, 0, CELL_KEY, id);
}

void cell_leave(struct cell *w, uint32_t id)
{
	command(w, id, PERRON_COMMAND_CELL, 0, 0, 0);
}

void cell_start(struct cell *w, uint32_t id)
{
	struct cell_peer *p = &w->peers[id];
	struct perron_relay_config cfg;

	perron_relay_config_default(&cfg);
	cfg.peer = id;
	cfg.incarnation = ++p->incarnation;
	cfg.overlay = 1;
	cfg.endpoint = (struct perron_endpoint){ADDRESS(id), PORT};
	cfg.path_count_max = 4;
	cfg.stream_count_max = 1;
	cfg.origin_count_max = 2;
	cfg.origin_window = 64;
	cfg.client_lag_max = 48;
	cfg.replica_count_max = 4;
	cfg.replica_window = 64;
	cfg.replica_frame_max = 24;
	cfg.detector = (struct perron_detector_config){
	    .kind = PERRON_DETECTOR_PUSH,
	    .interval_ns = 5 * CELL_MS,
	    .timeout_ns_min = 25 * CELL_MS,
	    .timeout_ns_max = 25 * CELL_MS,
	};
	cfg.group.member_count_max = CELL_PEER_MAX;
	cfg.group.light_count_max = 4;
	free(p->relay);
	p->relay = aligned_alloc(64, (perron_relay_size(&cfg) + 63) & ~(size_t)63);
	if (!p->relay || perron_relay_init(p->relay, &cfg, w->now_ns))
		abort();
	p->alive = true;
	cell_enter(w, id);
	for (uint32_t other = 1; other <= w->count; other++) {
		if (other == id || !w->peers[other].alive)
			continue;
		link_open(w, id, other);
		link_open(w, other, id);
	}
}

void cell_kill(struct cell *w, uint32_t id)
{
	w->peers[id].alive = false;
}

void cell_part(struct cell *w, uint32_t side)
{
	for (uint32_t a = 1; a <= w->count; a++)
		for (uint32_t b = 1; b <= w->count; b++)
			w->peers[a].cut[b] = (side >> a & 1) != (side >> b & 1);
}

int cell_send(struct cell *w, uint32_t id, uint32_t group, enum perron_group_service service,
	      const char *text)
{
	int error =
	    perron_group_send(perron_relay_group(w->peers[id].relay), w->now_ns, group, service,
			      (const uint8_t *)text, (uint32_t)strlen(text), effects_new(w));

	apply(w, id);
	return error;
}

void cell_light(struct cell *w, uint32_t id, uint32_t group, bool joins)
{
	struct perron_group *g = perron_relay_group(w->peers[id].relay);
	struct perron_effects *out = effects_new(w);

	if (joins ? perron_group_light_join(g, w->now_ns, group, out)
		  : perron_group_light_leave(g, w->now_ns, group, out))
		abort();
	apply(w, id);
}

/* --- time --- */

static void land(struct cell *w, struct cell_flight *f)
{
	if (f->to > w->count || !w->peers[f->to].alive ||
	    (w->peers[f->to].deaf && f->data[1] == PERRON_TYPE_DATA))
		return;
	uint64_t handle = frame_new(w, f->data, f->size);
	struct perron_frame frame = {
	    .data = w->frames[handle].data,
	    .length = f->size,
	    .class = f->class,
	    .from = {ADDRESS(f->from), PORT},
	    .handle = handle,
	};
	perron_relay_input(w->peers[f->to].relay, w->now_ns, &frame, 1, effects_new(w));
	apply(w, f->to);
	frame_done(w, handle);
}

static void peer_tick(struct cell *w, uint32_t id)
{
	struct cell_peer *p = &w->peers[id];

	for (uint32_t other = 1; other <= w->count; other++) {
		if (!p->open_at_ns[other] || p->open_at_ns[other] > w->now_ns)
			continue;
		command(w, id, PERRON_COMMAND_LINK_CLOSE, other, 0, 0);
		link_open(w, id, other);
	}
	if (perron_relay_deadline_ns(p->relay) > w->now_ns)
		return;
	perron_relay_tick(p->relay, w->now_ns, effects_new(w));
	apply(w, id);
}

void cell_run(struct cell *w, uint32_t ms)
{
	for (uint64_t end = w->now_ns + ms * CELL_MS; w->now_ns < end;) {
		/* What was sent in the last step lands in this one. */
		w->now_ns += CELL_MS;
		for (uint32_t tail = w->tail; w->head != tail; w->head++)
			land(w, &w->flights[w->head % CELL_FLIGHT_MAX]);
		for (uint32_t id = 1; id <= w->count; id++)
			if (w->peers[id].alive)
				peer_tick(w, id);
	}
}

struct cell *cell_make(uint32_t count)
{
	struct cell *w = calloc(1, sizeof(*w));

	if (!w || count > CELL_PEER_MAX)
		abort();
	w->now_ns = 1000 * CELL_MS;
	w->count = count;
	for (uint32_t id = 1; id <= count; id++)
		cell_start(w, id);
	cell_run(w, CELL_LONG_MS);
	cell_forget(w);
	return w;
}

void cell_free(struct cell *w)
{
	for (uint32_t id = 1; id <= w->count; id++)
		free(w->peers[id].relay);
	free(w);
}

void cell_forget(struct cell *w)
{
	for (uint32_t id = 1; id <= w->count; id++)
		w->peers[id].story[0] = 0;
}

const char *cell_story(struct cell *w, uint32_t id)
{
	return w->peers[id].story;
}

struct perron_group_info cell_info(struct cell *w, uint32_t id)
{
	struct perron_group_info info;

	perron_group_info(perron_relay_group(w->peers[id].relay), &info);
	return info;
}

/* --- a stream --- */

static const struct perron_party client = {CELL_CLIENT, 1, {ADDRESS(CELL_PEER_MAX + 1), PORT}};

static int order(struct cell *w, uint32_t id, const struct perron_command *c)
{
	int error = perron_relay_command(w->peers[id].relay, w->now_ns, c, effects_new(w));

	apply(w, id);
	return error;
}

void cell_attach(struct cell *w, uint32_t id, uint64_t first)
{
	const struct perron_command c = {
	    .kind = PERRON_COMMAND_STREAM_OPEN, .stream = CELL_STREAM, .sequence = first};

	if (order(w, id, &c))
		abort();
}

void cell_subscribe(struct cell *w, uint32_t id, const struct perron_qos *qos, uint64_t from)
{
	struct perron_command *c = calloc(1, sizeof(*c) + sizeof(*qos));

	c->kind = PERRON_COMMAND_BRANCH_OPEN;
	c->stream = CELL_STREAM;
	c->class = CELL_CLASS;
	c->sequence = from;
	c->party = client;
	c->payload_size = sizeof(*qos);
	memcpy(c->payload, qos, sizeof(*qos));
	if (order(w, id, c))
		abort();
	free(c);
}

enum perron_offer cell_offer(struct cell *w, uint32_t id, const char *text)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX] = {0};
	uint32_t size = PERRON_HEADER_SIZE + (uint32_t)strlen(text);

	memcpy(data + PERRON_HEADER_SIZE, text, strlen(text));
	uint64_t handle = frame_new(w, data, size);
	struct perron_frame frame = {
	    .data = w->frames[handle].data, .length = size, .handle = handle};
	enum perron_offer answer =
	    perron_relay_offer(w->peers[id].relay, w->now_ns, CELL_STREAM, w->now_ns, &frame, 1,
			       false, effects_new(w));
	apply(w, id);
	frame_done(w, handle);
	return answer;
}

void cell_acknowledge(struct cell *w, uint32_t id, uint64_t sequence)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX] = {0};
	struct perron_header header = {
	    .type = PERRON_TYPE_ACK,
	    .class = CELL_CLASS,
	    .fragment_count = 1,
	    .length = PERRON_ACK_SIZE,
	    .overlay = 1,
	    .source = CELL_CLIENT,
	    .source_incarnation = 1,
	    .destination = id,
	    .stream = CELL_STREAM,
	    .sequence = sequence,
	};
	struct perron_frame frame = {
	    .data = data, .length = perron_frame_encode(data, &header), .class = CELL_CLASS};

	perron_relay_input(w->peers[id].relay, w->now_ns, &frame, 1, effects_new(w));
	apply(w, id);
}

int cell_adopt(struct cell *w, uint32_t id, uint32_t gone)
{
	const struct perron_command c = {
	    .kind = PERRON_COMMAND_ADOPT,
	    .stream = CELL_STREAM,
	    .party = {gone, w->peers[gone].incarnation, {ADDRESS(gone), PORT}},
	};

	return order(w, id, &c);
}

struct perron_relay_counters cell_counters(struct cell *w, uint32_t id)
{
	struct perron_relay_counters counters;

	perron_relay_counters_read(w->peers[id].relay, &counters);
	return counters;
}
