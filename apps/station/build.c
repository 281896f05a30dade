/*
 * The boot plan and what comes of it. One list names every object with its size and number: the
 * plan adds it up and prints it before anything is allocated, and the same list is then allocated.
 */
#include <errno.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "apps/station/private.h"
#include "runtime/lcore/loop.h"

#define OBJECT_MAX	20
#define POOL_CACHE_SIZE 256u
/* An mbuf's struct, its private area, its room, and the pool's own header and padding. */
#define BUFFER_SIZE                                                                                \
	(sizeof(struct rte_mbuf) + PERRON_PACKET_SIZE + RTE_MBUF_DEFAULT_BUF_SIZE + 128)
/* Incarnations count quarters of seconds from here on: a new life is always the greater one. */
#define INCARNATION_EPOCH_S 1704067200 /* 2024-01-01 */

struct object {
	const char *name;
	uint64_t size;
	uint64_t count;
	void **where;
};

static uint64_t rounded(uint64_t size)
{
	return (size + 63) & ~63ull;
}

static uint32_t incarnation_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint32_t)((now.tv_sec - INCARNATION_EPOCH_S) * 4 + now.tv_nsec / 250000000);
}

static struct perron_endpoint station_endpoint(const struct perron_station *s)
{
	return (struct perron_endpoint){.address = s->descriptor->station.address,
					.port_base = s->descriptor->overlay.port_base};
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static struct perron_detector_config detector_config(const struct perron_descriptor_link *link)
{
	static const uint8_t kinds[] = {
	    [PERRON_DESCRIPTOR_DETECTOR_AUTO] = PERRON_DETECTOR_ACCRUAL,
	    [PERRON_DESCRIPTOR_DETECTOR_ACCRUAL] = PERRON_DETECTOR_ACCRUAL,
	    [PERRON_DESCRIPTOR_DETECTOR_PUSH] = PERRON_DETECTOR_PUSH,
	    [PERRON_DESCRIPTOR_DETECTOR_PULL] = PERRON_DETECTOR_PULL,
	};

	return (struct perron_detector_config){
	    .kind = kinds[link->kind],
	    .interval_ns = link->interval_ns,
	    .timeout_ns_min = link->timeout_ns_min,
	    .timeout_ns_max = link->timeout_ns_max,
	};
}

static void detectors_config(struct perron_station *s)
{
	const struct perron_descriptor_detector *d = &s->descriptor->detector;

	for (uint32_t i = 0; i < d->link_count; i++)
		s->detectors[i] = (struct perron_detector_override){
		    .peer = d->links[i].peer, .config = detector_config(&d->links[i])};
}

void station_group_config(const struct perron_descriptor *d, struct perron_group_config *cfg)
{
	perron_group_config_default(cfg);
	/* The portal's peers are at most as many as a cell's. */
	cfg->member_count_max = d->overlay.cell_size;
	cfg->window = d->group.window;
	cfg->pending_count = d->group.pending;
	cfg->light_count_max = d->group.groups;
	cfg->resend_ns = d->group.resend_ns;
	cfg->attempt_ns = d->group.attempt_ns;
	cfg->hello_ns = d->group.hello_ns;
	cfg->exclude_ns = d->group.exclude_ns;
	cfg->acknowledge_ns = d->group.acknowledge_ns;
}

static void relay_config(const struct perron_station *s, uint32_t peer_index,
			 struct perron_relay_config *cfg)
{
	const struct perron_descriptor *d = s->descriptor;

	perron_relay_config_default(cfg);
	cfg->peer = d->peers[peer_index].id;
	cfg->incarnation = s->peers[peer_index].incarnation;
	cfg->overlay = d->overlay.id;
	cfg->endpoint = station_endpoint(s);
	cfg->seed = (uint64_t)cfg->incarnation << 32 | cfg->peer;
	cfg->link_count_max = d->limits.links;
	cfg->path_count_max = d->limits.streams;
	cfg->branch_count_max = least(d->limits.clients, PERRON_BRANCH_COUNT_MAX);
	cfg->stream_count_max = d->sensor_count + s->config.source_count + 1;
	/* Each sensor here may be asked for in three classes. */
	cfg->origin_count_max = 3 * cfg->stream_count_max;
	cfg->detector = detector_config(&d->detector.all);
	cfg->detector_overrides = s->detectors;
	cfg->detector_override_count = d->detector.link_count;
	/* Longer than housekeeping keeps one (overlay/p3_path.c: two leases). */
	cfg->branch_keep_ns = 3 * d->overlay.lease_ns;
	cfg->clock_offset_ns = (uint64_t)perron_clock_realtime_offset_ns();
	station_group_config(d, &cfg->group);
}

static uint32_t portals_fill(const struct perron_descriptor_overlay *overlay,
			     struct perron_portal *out)
{
	for (uint32_t i = 0; i < overlay->portal_count; i++)
		out[i] = (struct perron_portal){
		    .peer = overlay->portal[i].peer,
		    .endpoint = {.address = overlay->portal[i].address,
				 .port_base = overlay->port_base},
		};
	return overlay->portal_count;
}

static void wish_fill(const struct perron_descriptor_peer *peer, struct perron_overlay_config *cfg)
{
	cfg->has_wish = peer->cell_depth > 0;
	if (!cfg->has_wish)
		return;
	/* The first number is the root's own. */
	cfg->wish.level = (uint8_t)(peer->cell_depth - 1);
	for (uint32_t i = 1; i < peer->cell_depth; i++)
		cfg->wish.branch[i - 1] = peer->cell[i];
}

static void overlay_config(const struct perron_station *s, uint32_t peer_index,
			   struct perron_overlay_config *cfg)
{
	const struct perron_descriptor *d = s->descriptor;

	perron_overlay_config_default(cfg);
	cfg->peer = d->peers[peer_index].id;
	cfg->incarnation = s->peers[peer_index].incarnation;
	cfg->endpoint = station_endpoint(s);
	cfg->seed = (uint64_t)cfg->incarnation << 32 | cfg->peer;
	cfg->portal_count = portals_fill(&d->overlay, cfg->portal);
	cfg->level_count = d->overlay.depth;
	cfg->span = d->overlay.span;
	cfg->cell_size = d->overlay.cell_size;
	wish_fill(&d->peers[peer_index], cfg);
	cfg->lease_ns = d->overlay.lease_ns;
	cfg->link_timeout_ns = d->overlay.beat_timeout_ns;
	cfg->neighbour_count_max = least(d->limits.links, PERRON_NEIGHBOUR_COUNT_MAX);
	cfg->directory_count_max = d->limits.sensors;
	cfg->path_count_max = d->limits.streams;
	cfg->branch_count_max = least(d->limits.clients, PERRON_BRANCH_COUNT_MAX);
}

static void client_config(const struct perron_station *s, uint32_t index,
			  struct perron_client_config *cfg)
{
	const struct perron_station_client *client = &s->config.clients[index];

	perron_client_config_default(cfg);
	cfg->id = client->id;
	cfg->incarnation = incarnation_now();
	cfg->overlay = s->descriptor->overlay.id;
	cfg->endpoint = station_endpoint(s);
	cfg->portal_count = portals_fill(&s->descriptor->overlay, cfg->portal);
	if (client->subscription_count_max)
		cfg->subscription_count_max = client->subscription_count_max;
	cfg->clock_offset_ns = (uint64_t)perron_clock_realtime_offset_ns();
}

static uint64_t client_size_max(const struct perron_station *s)
{
	uint64_t size_max = 0;

	for (uint32_t i = 0; i < s->config.client_count; i++) {
		struct perron_client_config cfg;
		client_config(s, i, &cfg);
		uint64_t size = perron_client_size(&cfg);
		if (size > size_max)
			size_max = size;
	}
	return rounded(size_max);
}

static uint64_t relay_size(const struct perron_station *s)
{
	struct perron_relay_config cfg;

	relay_config(s, 0, &cfg);
	return rounded(perron_relay_size(&cfg));
}

static uint64_t overlay_size(const struct perron_station *s)
{
	struct perron_overlay_config cfg;

	overlay_config(s, 0, &cfg);
	return rounded(s->ops->size(&cfg));
}

static uint64_t effects_size(void)
{
	return rounded(PERRON_EFFECT_COUNT_MAX * sizeof(struct perron_effect)) +
	       PERRON_EFFECT_ARENA_SIZE;
}

static uint32_t objects_list(struct perron_station *s, struct object *out)
{
	const struct perron_descriptor *d = s->descriptor;
	const uint64_t lcores = s->lcore_count, ports = d->port_count;
	const uint64_t machines = d->peer_count + s->config.client_count;
	const uint64_t ring = perron_spsc_size((uint64_t)d->limits.ring * STATION_RECORD_SIZE);
	struct station_memory *m = &s->memory;
	const struct object list[] = {
	    {"lcores", sizeof(struct perron_lcore), lcores, &m->lcores},
	    {"machines", sizeof(struct perron_machine), machines, &m->machines},
	    {"machines' owners", sizeof(struct station_machine), machines, &m->owners},
	    {"ports", sizeof(struct perron_lcore_port), ports, &m->ports},
	    {"sources", sizeof(struct perron_lcore_source), s->config.source_count, &m->sources},
	    {"class queues", PERRON_LCORE_QUEUE_SIZE * sizeof(void *), lcores * PERRON_CLASS_COUNT,
	     &m->queues},
	    {"port queues", PERRON_LCORE_TRANSMIT_SIZE * sizeof(void *), ports * PERRON_CLASS_COUNT,
	     &m->port_queues},
	    {"effects", effects_size(), lcores + 1, &m->effects},
	    {"rings of commands", ring, lcores, &m->commands},
	    {"rings of events", ring, lcores, &m->events},
	    {"commands that wait", ring, lcores, &m->waiting},
	    {"rings of messages", perron_spsc_size(STATION_MESSAGE_RING_SIZE), lcores,
	     &m->messages},
	    {"relays", relay_size(s), d->peer_count, &m->relays},
	    {"users of groups", rounded(sizeof(struct station_relay)), d->peer_count, &m->hosts},
	    {"overlays", overlay_size(s), d->peer_count, &m->overlays},
	    {"clients", client_size_max(s), s->config.client_count, &m->clients},
	    {"views", perron_views_memory(sizeof(struct perron_places)), 1, &m->views},
	    {"sources' scratch", PERRON_LCORE_MESSAGE_SIZE_MAX, s->config.source_count ? lcores : 0,
	     &m->scratch},
	};

	_Static_assert(sizeof(list) / sizeof(list[0]) <= OBJECT_MAX, "room for the list");
	memcpy(out, list, sizeof(list));
	return sizeof(list) / sizeof(list[0]);
}

/* Buffers of one lcore's pool: its share, and what the ports' own queues keep. */
static uint32_t buffer_count(const struct perron_station *s, uint32_t lcore)
{
	uint32_t count = s->descriptor->limits.buffers / s->lcore_count + 2 * POOL_CACHE_SIZE;

	for (uint32_t i = 0; lcore == PERRON_LCORE_OF_PORTS && i < s->descriptor->port_count; i++)
		count += perron_port_buffer_count(&s->port_configs[i]);
	return count;
}

uint64_t station_pool_size(const struct perron_station *s)
{
	return perron_memory_plan_size(&s->plan, PERRON_MEMORY_POOL);
}

static int pools_plan(struct perron_station *s)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < s->lcore_count; i++)
		count += buffer_count(s, i);
	int ret =
	    perron_memory_plan_add(&s->plan, PERRON_MEMORY_POOL, "buffers", BUFFER_SIZE, count);
	if (!ret && s->lcore_count > 1)
		ret = perron_memory_plan_add(
		    &s->plan, PERRON_MEMORY_POOL, "rings between lcores",
		    rounded((uint64_t)rte_ring_get_memsize(PERRON_LCORE_EXCHANGE_SIZE)),
		    (uint64_t)s->lcore_count * (s->lcore_count - 1));
	return ret;
}

int station_plan(struct perron_station *s, char *error, size_t error_size)
{
	const struct perron_descriptor_station *d = &s->descriptor->station;
	enum perron_hugepages_policy policy = PERRON_HUGEPAGES_AUTO;
	struct perron_hugepages pages;
	struct object objects[OBJECT_MAX];
	uint32_t incarnation = incarnation_now();

	for (uint32_t i = 0; i < s->descriptor->peer_count; i++)
		s->peers[i].incarnation = incarnation;
	detectors_config(s);
	perron_memory_plan_init(&s->plan);
	uint32_t count = objects_list(s, objects);
	int ret = 0;
	for (uint32_t i = 0; i < count && !ret; i++)
		if (objects[i].count)
			ret = perron_memory_plan_add(&s->plan, PERRON_MEMORY_HEAP, objects[i].name,
						     objects[i].size, objects[i].count);
	if (!ret)
		ret = pools_plan(s);
	PERRON_ASSERT(ret == 0);
	char what[STATION_TEXT_SIZE];
	ret = perron_memory_plan_check(&s->plan, d->memory_size, what, sizeof(what));
	if (ret) {
		perron_descriptor_error(s->descriptor,
					perron_descriptor_place_of(&d->places, "station", "memory"),
					what, error, error_size);
		return ret;
	}
	if (d->huge_pages == PERRON_DESCRIPTOR_HUGE_NO)
		policy = PERRON_HUGEPAGES_NO;
	else if (d->huge_pages == PERRON_DESCRIPTOR_HUGE_REQUIRED)
		policy = PERRON_HUGEPAGES_REQUIRED;
	perron_hugepages_read(&pages);
	return perron_hugepages_plan(&pages, policy, station_pool_size(s) + (24u << 20), &s->pages,
				     error, error_size);
}

static int objects_allocate(struct perron_station *s, char *error, size_t error_size)
{
	struct object objects[OBJECT_MAX];
	uint32_t count = objects_list(s, objects);

	PERRON_ASSERT(!perron_memory_plan_is_sealed(&s->plan));
	for (uint32_t i = 0; i < count; i++) {
		uint64_t size = rounded(objects[i].size * objects[i].count);
		if (!size)
			continue;
		*objects[i].where = aligned_alloc(64, size);
		if (!*objects[i].where) {
			snprintf(error, error_size, "no memory for %s (%llu bytes)",
				 objects[i].name, (unsigned long long)size);
			return -ENOMEM;
		}
		/* Touches every page: nothing is left to be mapped later. */
		memset(*objects[i].where, 0, size);
	}
	return 0;
}

static void objects_free(struct perron_station *s)
{
	struct object objects[OBJECT_MAX];
	uint32_t count = objects_list(s, objects);

	for (uint32_t i = 0; i < count; i++) {
		free(*objects[i].where);
		*objects[i].where = NULL;
	}
}

static int pools_create(struct perron_station *s, char *error, size_t error_size)
{
	/* Where there is one lcore nobody else takes or gives back. */
	const char *ops = s->lcore_count == 1 ? "ring_sp_sc" : "ring_mp_mc";

	for (uint32_t i = 0; i < s->lcore_count; i++) {
		char name[RTE_MEMPOOL_NAMESIZE];
		snprintf(name, sizeof(name), "frames_%u", i);
		s->pools[i] = rte_pktmbuf_pool_create_by_ops(
		    name, buffer_count(s, i), POOL_CACHE_SIZE, PERRON_PACKET_SIZE,
		    RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY, ops);
		if (s->pools[i])
			continue;
		snprintf(error, error_size,
			 "no memory for %u frames: %s; lower limits.buffers or raise the EAL's -m",
			 buffer_count(s, i), rte_strerror(rte_errno));
		return -ENOMEM;
	}
	return 0;
}

static uint16_t port_receive(void *port, uint64_t now_ns, struct rte_mbuf **frames, uint16_t count)
{
	return perron_port_receive(port, now_ns, frames, count);
}

static uint16_t port_transmit(void *port, uint64_t now_ns, uint8_t class, struct rte_mbuf **frames,
			      uint16_t count)
{
	return perron_port_transmit(port, now_ns, class, frames, count);
}

static uint64_t port_deadline_ns(const void *port)
{
	return perron_port_deadline_ns(port);
}

static int port_wake_arm(void *port)
{
	return perron_port_wake_arm(port);
}

static int port_wake_disarm(void *port)
{
	return perron_port_wake_disarm(port);
}

static const struct perron_lcore_port_ops port_ops = {
    .receive = port_receive,
    .transmit = port_transmit,
    .deadline_ns = port_deadline_ns,
    .wake_arm = port_wake_arm,
    .wake_disarm = port_wake_disarm,
};

static void lcore_port_init(struct perron_station *s, uint32_t index)
{
	struct perron_port *port = &s->ports[index];
	struct perron_lcore_port *lp = (struct perron_lcore_port *)s->memory.ports + index;
	struct perron_net_config net = {
	    .address = s->descriptor->station.address,
	    .prefix_length = s->descriptor->station.prefix_length,
	    .gateway = s->descriptor->station.gateway,
	    .port_base = s->descriptor->overlay.port_base,
	};
	struct rte_mbuf **items = (struct rte_mbuf **)s->memory.port_queues +
				  (size_t)index * PERRON_CLASS_COUNT * PERRON_LCORE_TRANSMIT_SIZE;

	memcpy(net.mac, port->mac, sizeof(net.mac));
	lp->ops = &port_ops;
	lp->port = port;
	lp->multi_segment = port->multi_segment;
	lp->classes_apart = port->tx_queue_count >= PERRON_CLASS_COUNT;
	lp->wake_fd = perron_port_wake_fd(port);
	perron_net_init(&lp->net, &net);
	for (uint32_t c = 0; c < PERRON_CLASS_COUNT; c++)
		perron_queue_init(&lp->waiting[c], items + c * PERRON_LCORE_TRANSMIT_SIZE,
				  PERRON_LCORE_TRANSMIT_SIZE);
}

static int ports_open(struct perron_station *s, char *error, size_t error_size)
{
	char what[STATION_TEXT_SIZE];

	for (uint32_t i = 0; i < s->descriptor->port_count; i++) {
		const struct perron_descriptor_place place = s->descriptor->ports[i].driver.place;
		int ret = perron_port_open(&s->ports[i], &s->port_configs[i],
					   s->pools[PERRON_LCORE_OF_PORTS], what, sizeof(what));
		if (ret) {
			perron_descriptor_error(s->descriptor, place, what, error, error_size);
			return ret;
		}
		s->port_open_count++;
		lcore_port_init(s, i);
		if (s->choice.idle == PERRON_IDLE_INTERRUPT &&
		    perron_port_wake_fd(&s->ports[i]) < 0) {
			snprintf(what, sizeof(what),
				 "port driver '%s' cannot wake a sleeper; expected 'idle: backoff' "
				 "or 'idle: spin' with it",
				 s->port_configs[i].driver);
			perron_descriptor_error(s->descriptor, place, what, error, error_size);
			return -ENOTSUP;
		}
	}
	return 0;
}

static void effects_init(struct perron_effects *e, void *memory)
{
	uint8_t *at = memory;
	uint64_t items_size = rounded(PERRON_EFFECT_COUNT_MAX * sizeof(struct perron_effect));

	*e = (struct perron_effects){
	    .items = memory,
	    .capacity = PERRON_EFFECT_COUNT_MAX,
	    .arena = at + items_size,
	    .arena_size = PERRON_EFFECT_ARENA_SIZE,
	};
}

static struct perron_spsc *ring_init(void *memory, uint32_t index, uint64_t size)
{
	struct perron_spsc *ring = (void *)((uint8_t *)memory + index * perron_spsc_size(size));

	perron_spsc_init(ring, size);
	return ring;
}

static void lcore_init(struct perron_station *s, uint32_t index)
{
	const struct perron_descriptor *d = s->descriptor;
	const uint64_t ring_size = (uint64_t)d->limits.ring * STATION_RECORD_SIZE;
	struct perron_lcore *l = &s->lcores[index];
	struct rte_mbuf **items = (struct rte_mbuf **)s->memory.queues +
				  (size_t)index * PERRON_CLASS_COUNT * PERRON_LCORE_QUEUE_SIZE;

	l->index = index;
	l->cpu = s->choice.lcores[index];
	l->idle = s->choice.idle;
	l->backoff_ns_max = d->station.backoff_max_ns;
	l->endpoint = station_endpoint(s);
	l->places = &s->places;
	l->pool = s->pools[index];
	l->ports = s->memory.ports;
	l->port_count = d->port_count;
	l->clones = d->port_count > 0;
	for (uint32_t i = 0; i < d->port_count; i++)
		l->clones &= s->ports[i].multi_segment;
	l->commands = ring_init(s->memory.commands, index, ring_size);
	l->events = ring_init(s->memory.events, index, ring_size);
	s->retries[index] = ring_init(s->memory.waiting, index, ring_size);
	l->messages = ring_init(s->memory.messages, index, STATION_MESSAGE_RING_SIZE);
	l->lcores = s->lcores;
	l->lcore_count = s->lcore_count;
	l->housekeeping_beat = &s->beat;
	l->housekeeping_timeout_ns = STATION_WATCH_NS;
	l->deadline_ns = 0;
	if (s->memory.scratch)
		l->scratch =
		    (uint8_t *)s->memory.scratch + (size_t)index * PERRON_LCORE_MESSAGE_SIZE_MAX;
	for (uint32_t c = 0; c < PERRON_CLASS_COUNT; c++)
		perron_queue_init(&l->queues[c], items + c * PERRON_LCORE_QUEUE_SIZE,
				  PERRON_LCORE_QUEUE_SIZE);
	effects_init(&l->effects, (uint8_t *)s->memory.effects + (index + 1) * effects_size());
	perron_duty_init(&l->duty, d->station.turn_threshold_ns);
}

static int lcore_wake_create(struct perron_lcore *l, char *error, size_t error_size)
{
	l->wake_fd = -1;
	if (l->idle != PERRON_IDLE_INTERRUPT)
		return 0;
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->wake_fd >= 0)
		return 0;
	snprintf(error, error_size, "no eventfd: %s", strerror(errno));
	return -errno;
}

static int exchange_create(struct perron_station *s, uint32_t from, uint32_t to, char *error,
			   size_t error_size)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "exchange_%u_%u", from & 0xffff, to & 0xffff);
	struct rte_ring *ring = rte_ring_create(name, PERRON_LCORE_EXCHANGE_SIZE, SOCKET_ID_ANY,
						RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (!ring) {
		snprintf(error, error_size, "no memory for the rings between lcores: %s",
			 rte_strerror(rte_errno));
		return -ENOMEM;
	}
	s->lcores[from].to[to] = ring;
	s->lcores[to].from[from] = ring;
	return 0;
}

static int lcores_init(struct perron_station *s, char *error, size_t error_size)
{
	int ret = 0;

	s->lcores = s->memory.lcores;
	for (uint32_t i = 0; i < s->lcore_count && !ret; i++) {
		lcore_init(s, i);
		ret = lcore_wake_create(&s->lcores[i], error, error_size);
	}
	for (uint32_t from = 0; from < s->lcore_count; from++)
		for (uint32_t to = 0; to < s->lcore_count && !ret; to++)
			if (from != to)
				ret = exchange_create(s, from, to, error, error_size);
	return ret;
}

/* The next machine of the lcore that is being filled. */
static uint32_t machine_add(struct perron_station *s, struct perron_places *places, uint32_t lcore,
			    uint32_t id, const struct perron_machine_ops *ops, void *self,
			    struct station_machine owner)
{
	struct perron_lcore *l = &s->lcores[lcore];
	struct perron_machine *machine = &s->machines[s->machine_count];

	if (l->machine_count == 0)
		l->machines = machine;
	machine->ops = ops;
	machine->self = self;
	machine->id = id;
	s->machine_owners[s->machine_count++] = owner;
	bool added = perron_places_add(places, (struct perron_place){
						   .id = id,
						   .lcore = (uint16_t)lcore,
						   .machine = (uint16_t)l->machine_count,
					       });
	PERRON_ASSERT(added);
	return l->machine_count++;
}

static int peer_init(struct perron_station *s, struct perron_places *places, uint32_t index)
{
	struct station_peer *peer = &s->peers[index];
	struct perron_relay_config cfg;

	relay_config(s, index, &cfg);
	peer->id = cfg.peer;
	peer->lcore = s->lcore_of_peer[index];
	peer->relay = (void *)((uint8_t *)s->memory.relays + index * relay_size(s));
	peer->overlay = (void *)((uint8_t *)s->memory.overlays + index * overlay_size(s));
	peer->host = (void *)((uint8_t *)s->memory.hosts +
			      index * rounded(sizeof(struct station_relay)));
	peer->joined_after_ns = PERRON_SNAPSHOT_NEVER;
	int ret = perron_relay_init(peer->relay, &cfg, s->now_ns);
	if (ret)
		return ret;
	station_relay_init(peer->host, peer->relay, peer->id);
	peer->machine = machine_add(s, places, peer->lcore, peer->id, &station_relay_ops,
				    peer->host, (struct station_machine){false, index});
	return 0;
}

static int client_init(struct perron_station *s, struct perron_places *places, uint32_t index)
{
	struct station_client *client = &s->clients[index];
	struct perron_client_config cfg;

	client_config(s, index, &cfg);
	client->config = &s->config.clients[index];
	client->client = (void *)((uint8_t *)s->memory.clients + index * client_size_max(s));
	client->lcore =
	    client->config->lcore < 0 ? 0 : (uint32_t)client->config->lcore % s->lcore_count;
	int ret = perron_client_init(client->client, &cfg, s->now_ns);
	if (ret)
		return ret;
	client->machine = machine_add(s, places, client->lcore, cfg.id, &station_client_ops, client,
				      (struct station_machine){true, index});
	return 0;
}

/* Lcore after lcore, so that the machines of each stand side by side. */
static int machines_init(struct perron_station *s, struct perron_places *places, char *error,
			 size_t error_size)
{
	s->machines = s->memory.machines;
	s->machine_owners = s->memory.owners;
	s->peer_count = s->descriptor->peer_count;
	s->client_count = s->config.client_count;
	for (uint32_t l = 0; l < s->lcore_count; l++) {
		for (uint32_t i = 0; i < s->peer_count; i++) {
			if (s->lcore_of_peer[i] != l || peer_init(s, places, i) == 0)
				continue;
			snprintf(error, error_size, "peer %u: its limits are out of range",
				 s->descriptor->peers[i].id);
			return -EINVAL;
		}
		for (uint32_t i = 0; i < s->client_count; i++) {
			int32_t wish = s->config.clients[i].lcore;
			uint32_t lcore = wish < 0 ? 0 : (uint32_t)wish % s->lcore_count;
			if (lcore != l || client_init(s, places, i) == 0)
				continue;
			snprintf(error, error_size, "client %u: its limits are out of range", i);
			return -EINVAL;
		}
	}
	return 0;
}

static uint32_t peer_index_of(const struct perron_station *s, uint32_t id)
{
	for (uint32_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].id == id)
			return i;
	/* check.c has seen that it is here. */
	PERRON_ASSERT(false);
	return 0;
}

static void sources_init(struct perron_station *s)
{
	uint32_t next = 0;

	s->sources = s->memory.sources;
	for (uint32_t l = 0; l < s->lcore_count; l++) {
		s->lcores[l].sources = s->sources + next;
		for (uint32_t i = 0; i < s->config.source_count; i++) {
			const struct perron_station_source *from = &s->config.sources[i];
			const struct station_peer *peer = &s->peers[peer_index_of(s, from->peer)];
			if (peer->lcore != l)
				continue;
			s->sources[next++] = (struct perron_lcore_source){
			    .make = from->make,
			    .context = from->context,
			    .machine = peer->machine,
			    .stream = perron_stream_id(from->name),
			    .traced = from->traced,
			};
			s->lcores[l].source_count++;
		}
	}
}

static void sensors_init(struct perron_station *s)
{
	const struct perron_descriptor *d = s->descriptor;

	s->sensor_count = d->sensor_count;
	for (uint32_t i = 0; i < d->sensor_count; i++) {
		s->sensors[i].peer_index = d->sensors[i].peer_index;
		s->sensors[i].stream = perron_stream_id(d->sensors[i].name);
	}
}

int station_build(struct perron_station *s, char *error, size_t error_size)
{
	int ret = objects_allocate(s, error, error_size);
	if (!ret)
		ret = pools_create(s, error, error_size);
	if (!ret)
		ret = ports_open(s, error, error_size);
	if (!ret)
		ret = lcores_init(s, error, error_size);
	if (ret)
		return ret;
	effects_init(&s->effects, s->memory.effects);
	perron_views_init(&s->places, sizeof(struct perron_places), s->memory.views);
	struct perron_places *places = perron_views_draft(&s->places);
	PERRON_ASSERT(places);
	places->clock_offset_ns = (uint64_t)perron_clock_realtime_offset_ns();
	ret = machines_init(s, places, error, error_size);
	if (ret)
		return ret;
	sources_init(s);
	sensors_init(s);
	perron_views_publish(&s->places, places);
	for (uint32_t i = 0; i < s->peer_count; i++) {
		struct perron_overlay_config cfg;
		overlay_config(s, i, &cfg);
		if (s->ops->init(s->peers[i].overlay, &cfg, s->now_ns) == 0)
			continue;
		snprintf(error, error_size,
			 "peer %u: depth, span, cell_size or limits are out of range", cfg.peer);
		return -EINVAL;
	}
	return 0;
}

void station_unbuild(struct perron_station *s)
{
	for (uint32_t i = 0; s->lcores && i < s->lcore_count; i++) {
		struct perron_lcore *l = &s->lcores[i];
		if (s->started)
			perron_lcore_drain(l);
		if (l->idle == PERRON_IDLE_INTERRUPT && l->wake_fd >= 0)
			close(l->wake_fd);
		for (uint32_t to = 0; to < s->lcore_count; to++)
			rte_ring_free(l->to[to]);
	}
	while (s->port_open_count)
		perron_port_close(&s->ports[--s->port_open_count]);
	objects_free(s);
	s->lcores = NULL;
	for (uint32_t i = 0; i < s->lcore_count; i++) {
		rte_mempool_free(s->pools[i]);
		s->pools[i] = NULL;
	}
}
