#include "test/unit/overlay/world.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESS(id) (0x0a000000u + (id))

static void apply(struct world *w, uint32_t id, struct perron_effects *out);

/* Effects cause calls that have effects: an array for each depth. */
#define DEPTH_MAX 64
static struct perron_effect items[DEPTH_MAX][PERRON_EFFECT_COUNT_MAX];
static uint8_t arenas[DEPTH_MAX][PERRON_EFFECT_ARENA_SIZE] __attribute__((aligned(64)));
static uint32_t depth;

static struct perron_effects effects_new(void)
{
	if (depth == DEPTH_MAX)
		abort();
	struct perron_effects out = {
		.items = items[depth],
		.capacity = PERRON_EFFECT_COUNT_MAX,
		.arena = arenas[depth],
		.arena_size = PERRON_EFFECT_ARENA_SIZE,
	};
	depth++;
	return out;
}

static void effects_end(struct world *w, uint32_t id, struct perron_effects *out)
{
	apply(w, id, out);
	depth--;
}

static uint32_t frame_new(struct world *w, const uint8_t *data, uint32_t size)
{
	for (uint32_t i = 0; i < WORLD_FRAME_COUNT_MAX; i++) {
		if (w->frames[i].used)
			continue;
		w->frames[i].used = true;
		w->frames[i].holds = 1;
		w->frames[i].size = size;
		if (data)
			memcpy(w->frames[i].data, data, size);
		return i;
	}
	abort();
}

static void frame_release(struct world *w, uint32_t index)
{
	if (--w->frames[index].holds == 0)
		w->frames[index].used = false;
}

static void fly(struct world *w, uint32_t from, struct perron_endpoint to, uint8_t class,
		uint32_t frame)
{
	w->types[w->frames[frame].data[1] & 63]++;
	w->flights[w->flight_tail++ % WORLD_FRAME_COUNT_MAX] =
		(struct world_flight){ADDRESS(from), to.address, class, frame};
}

static void overlay_event(struct world *w, uint32_t id, const struct perron_event *event)
{
	struct perron_effects out = effects_new();

	perron_p3_ops.event(w->peers[id].overlay, w->now_ns, event, &out);
	perron_p3_ops.check(w->peers[id].overlay, w->now_ns);
	effects_end(w, id, &out);
}

static void relay_command(struct world *w, uint32_t id, const struct perron_command *command)
{
	struct perron_effects out = effects_new();

	(void)!perron_relay_command(w->peers[id].relay, w->now_ns, command, &out);
	perron_relay_check(w->peers[id].relay);
	effects_end(w, id, &out);
}

static void deliver(struct world *w, uint32_t frame)
{
	struct perron_header header;

	if (perron_frame_decode(w->frames[frame].data, w->frames[frame].size, &header))
		abort();
	w->delivered += header.fragment_index + 1 == header.fragment_count;
	w->last_sequence = header.sequence;
}

static void apply(struct world *w, uint32_t id, struct perron_effects *out)
{
	for (uint32_t i = 0; i < out->count; i++) {
		const struct perron_effect *e = &out->items[i];
		uint32_t handle = (uint32_t)e->handle;
		switch (e->kind) {
		case PERRON_EFFECT_SEND:
			fly(w, id, e->to, e->class, frame_new(w, e->data, e->size));
			break;
		case PERRON_EFFECT_FORWARD: {
			const struct world_frame *f = &w->frames[handle];
			uint32_t copy = frame_new(w, f->data, f->size);
			perron_frame_readdress(w->frames[copy].data, &e->hop);
			fly(w, id, e->to, e->class, copy);
			break;
		}
		case PERRON_EFFECT_HOLD:
			w->frames[handle].holds++;
			break;
		case PERRON_EFFECT_RELEASE:
			frame_release(w, handle);
			break;
		case PERRON_EFFECT_DELIVER:
			deliver(w, handle);
			break;
		case PERRON_EFFECT_COMMAND:
			relay_command(w, id, (const struct perron_command *)(const void *)e->data);
			break;
		case PERRON_EFFECT_EVENT:
			overlay_event(w, id, (const struct perron_event *)(const void *)e->data);
			break;
		case PERRON_EFFECT_INDICATE:
			break; /* nobody here listens to the cell's group */
		default:
			abort();
		}
	}
}

struct world *world_make(uint32_t roots, uint8_t levels, uint8_t span, uint8_t cell_size)
{
	struct world *w = calloc(1, sizeof(*w));

	w->now_ns = 1000 * WORLD_MS;
	perron_overlay_config_default(&w->base);
	w->base.level_count = levels;
	w->base.span = span;
	w->base.cell_size = cell_size;
	w->base.registry_count_max = 64;
	w->base.directory_count_max = 64;
	w->base.path_count_max = 16;
	w->base.portal_count = roots;
	for (uint32_t i = 0; i < roots; i++)
		w->base.portal[i] = (struct perron_portal){i + 1, {ADDRESS(i + 1), 7400}};
	struct perron_client_config cfg;
	perron_client_config_default(&cfg);
	cfg.id = PERRON_CLIENT_ID | 1;
	cfg.incarnation = 1;
	cfg.overlay = 1;
	cfg.endpoint = (struct perron_endpoint){WORLD_CLIENT_ADDRESS, 7400};
	memcpy(cfg.portal, w->base.portal, sizeof(cfg.portal));
	cfg.portal_count = roots;
	w->client = aligned_alloc(64, (perron_client_size(&cfg) + 63) & ~(size_t)63);
	if (perron_client_init(w->client, &cfg, w->now_ns))
		abort();
	return w;
}

void world_free(struct world *w)
{
	for (uint32_t id = 1; id <= WORLD_PEER_COUNT_MAX; id++) {
		free(w->peers[id].relay);
		free(w->peers[id].overlay);
	}
	free(w->client);
	free(w);
}

void world_add(struct world *w, uint32_t id, const char *wish)
{
	struct world_peer *p = &w->peers[id];
	struct perron_relay_config r;
	struct perron_overlay_config o = w->base;
	uint32_t incarnation = (uint32_t)(w->now_ns / WORLD_MS);

	perron_relay_config_default(&r);
	r.peer = o.peer = id;
	r.incarnation = o.incarnation = incarnation;
	r.overlay = 1;
	r.path_count_max = 16;
	r.origin_count_max = 4;
	r.endpoint = o.endpoint = (struct perron_endpoint){ADDRESS(id), 7400};
	o.seed = id;
	if (wish) {
		o.has_wish = true;
		if (perron_position_parse(wish, &o.wish))
			abort();
	}
	free(p->relay);
	free(p->overlay);
	p->relay = aligned_alloc(64, (perron_relay_size(&r) + 63) & ~(size_t)63);
	p->overlay = aligned_alloc(64, (perron_p3_ops.size(&o) + 63) & ~(size_t)63);
	if (perron_relay_init(p->relay, &r, w->now_ns) ||
	    perron_p3_ops.init(p->overlay, &o, w->now_ns))
		abort();
	p->id = id;
	p->alive = true;
}

void world_kill(struct world *w, uint32_t id)
{
	w->peers[id].alive = false;
}

static void client_step(struct world *w, const struct perron_frame *frame)
{
	struct perron_effects out = effects_new();

	if (frame)
		perron_client_input(w->client, w->now_ns, frame, 1, &out);
	else
		perron_client_tick(w->client, w->now_ns, &out);
	perron_client_check(w->client);
	effects_end(w, WORLD_CLIENT_ADDRESS - ADDRESS(0), &out);
}

static void peer_input(struct world *w, uint32_t id, const struct perron_frame *frame)
{
	struct perron_effects out = effects_new();

	perron_relay_input(w->peers[id].relay, w->now_ns, frame, 1, &out);
	perron_relay_check(w->peers[id].relay);
	effects_end(w, id, &out);
}

static void land(struct world *w, const struct world_flight *flight)
{
	struct world_frame *f = &w->frames[flight->frame];
	uint32_t from = flight->from - ADDRESS(0), to = flight->to - ADDRESS(0);
	struct perron_frame frame = {
		.data = f->data,
		.length = f->size,
		.class = flight->class,
		.from = {flight->from, 7400},
		.handle = flight->frame,
	};

	if (w->cut && (from == w->cut || to == w->cut))
		; /* lost */
	else if (flight->to == WORLD_CLIENT_ADDRESS)
		client_step(w, &frame);
	else if (to <= WORLD_PEER_COUNT_MAX && w->peers[to].alive)
		peer_input(w, to, &frame);
	frame_release(w, flight->frame);
}

static void peer_tick(struct world *w, uint32_t id)
{
	struct world_peer *p = &w->peers[id];
	struct perron_effects out = effects_new();

	if (perron_relay_deadline_ns(p->relay) <= w->now_ns)
		perron_relay_tick(p->relay, w->now_ns, &out);
	effects_end(w, id, &out);
	out = effects_new();
	if (perron_p3_ops.deadline_ns(p->overlay) <= w->now_ns)
		perron_p3_ops.tick(p->overlay, w->now_ns, &out);
	perron_p3_ops.check(p->overlay, w->now_ns);
	effects_end(w, id, &out);
}

void world_run(struct world *w, uint32_t ms)
{
	for (uint64_t end = w->now_ns + ms * WORLD_MS; w->now_ns < end; w->now_ns += WORLD_MS) {
		/* What was sent in the last step lands in this one: a hop takes a millisecond. */
		for (uint32_t tail = w->flight_tail; w->flight_head < tail; w->flight_head++)
			land(w, &w->flights[w->flight_head % WORLD_FRAME_COUNT_MAX]);
		for (uint32_t id = 1; id <= WORLD_PEER_COUNT_MAX; id++)
			if (w->peers[id].alive)
				peer_tick(w, id);
		client_step(w, NULL);
	}
}

struct perron_view world_view(struct world *w, uint32_t id)
{
	struct perron_view view;

	perron_p3_ops.view(w->peers[id].overlay, w->now_ns, &view);
	return view;
}

void world_attach(struct world *w, uint32_t id, const char *sensor)
{
	struct perron_effects out = effects_new();

	if (perron_p3_ops.attach(w->peers[id].overlay, w->now_ns, sensor, &out))
		abort();
	effects_end(w, id, &out);
}

enum perron_offer world_offer(struct world *w, uint32_t id, const char *sensor, uint32_t size)
{
	struct perron_frame frames[PERRON_FRAGMENT_COUNT_MAX];
	struct perron_effects out = effects_new();
	uint32_t count = 0;

	for (uint32_t left = size; left || !count; count++) {
		uint32_t part = left < PERRON_PAYLOAD_SIZE_MAX ? left : PERRON_PAYLOAD_SIZE_MAX;
		uint32_t index = frame_new(w, NULL, PERRON_HEADER_SIZE + part);
		memset(w->frames[index].data, 0x5a, PERRON_HEADER_SIZE + part);
		frames[count] = (struct perron_frame){
			.data = w->frames[index].data,
			.length = PERRON_HEADER_SIZE + part,
			.handle = index,
		};
		left -= part;
	}
	enum perron_offer answer =
		perron_relay_offer(w->peers[id].relay, w->now_ns, perron_stream_id(sensor),
				   w->now_ns, frames, count, false, &out);
	effects_end(w, id, &out);
	for (uint32_t i = 0; i < count; i++)
		frame_release(w, (uint32_t)frames[i].handle);
	return answer;
}

int world_subscribe(struct world *w, const char *sensor, enum perron_class class,
		    uint32_t latency_us)
{
	struct perron_effects out = effects_new();
	int index = perron_client_subscribe(w->client, w->now_ns, sensor, class, latency_us, NULL,
					    &out);

	effects_end(w, WORLD_CLIENT_ADDRESS - ADDRESS(0), &out);
	return index;
}

struct perron_subscription_info world_subscription(struct world *w, int index)
{
	struct perron_subscription_info info;

	perron_client_info(w->client, (uint32_t)index, &info);
	return info;
}
