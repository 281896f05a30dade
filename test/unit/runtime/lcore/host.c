#include "test/unit/runtime/lcore/host.h"

#include <rte_eal.h>
#include <rte_mempool.h>
#include <stdlib.h>
#include <string.h>

struct host host;

static struct rte_mempool *pool;
static struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
static uint8_t arena[PERRON_EFFECT_ARENA_SIZE] __attribute__((aligned(64)));
static struct rte_mbuf *queue_items[2][PERRON_CLASS_COUNT][PERRON_LCORE_QUEUE_SIZE];
static uint8_t scratch[PERRON_LCORE_MESSAGE_SIZE_MAX];
static void *rings[3];
static void *views;

#define RING_SIZE 65536u

static void input(void *self, uint64_t now_ns, const struct perron_frame *in, uint32_t in_count,
		  struct perron_effects *out)
{
	struct host_machine *m = self;

	(void)now_ns;
	assert_true(host.step_count < HOST_SENT_MAX);
	host.steps[host.step_count++] =
	    (struct host_step){.machine = m->index, .class = in[0].class, .count = in_count};
	m->inputs++;
	m->frames += in_count;
	if (m->on_input)
		m->on_input(m, in, in_count, out);
}

static int command(void *self, uint64_t now_ns, const void *record, uint32_t size,
		   struct perron_effects *out)
{
	struct host_machine *m = self;

	(void)now_ns;
	(void)record;
	(void)out;
	m->commands++;
	m->last_command_size = size;
	return 0;
}

static bool offer(void *self, uint64_t now_ns, uint32_t stream, uint64_t stamp_ns,
		  const struct perron_frame *frames, uint32_t count, bool traced,
		  struct perron_effects *out)
{
	struct host_machine *m = self;

	(void)now_ns;
	(void)stream;
	(void)stamp_ns;
	m->offers++;
	m->frames += count;
	if (m->on_offer)
		m->on_offer(m, frames, count, traced, out);
	return !m->refuses;
}

static void tick(void *self, uint64_t now_ns, struct perron_effects *out)
{
	struct host_machine *m = self;

	(void)now_ns;
	m->ticks++;
	m->deadline_ns = UINT64_MAX;
	if (m->on_tick)
		m->on_tick(m, out);
}

static uint64_t deadline_ns(const void *self)
{
	const struct host_machine *m = self;

	return m->deadline_ns;
}

static bool carries(const void *self)
{
	const struct host_machine *m = self;

	return m->carries;
}

static void deliver(void *self, uint64_t now_ns, uint32_t subscription,
		    const struct perron_frame *frame)
{
	struct host_machine *m = self;

	(void)now_ns;
	(void)frame;
	m->delivered += subscription;
}

static const struct perron_machine_ops ops = {
    .input = input,
    .command = command,
    .offer = offer,
    .tick = tick,
    .deadline_ns = deadline_ns,
    .carries = carries,
    .deliver = deliver,
};

static uint16_t port_receive(void *port, uint64_t now_ns, struct rte_mbuf **frames, uint16_t count)
{
	uint16_t given = 0;

	(void)port;
	(void)now_ns;
	while (given < count && host.to_receive_count)
		frames[given++] = host.to_receive[--host.to_receive_count];
	return given;
}

static uint16_t port_transmit(void *port, uint64_t now_ns, uint8_t class, struct rte_mbuf **frames,
			      uint16_t count)
{
	uint16_t taken = 0;

	(void)port;
	(void)now_ns;
	while (taken < count && host.room > 0 && host.full != class + 1) {
		assert_true(host.sent_count < HOST_SENT_MAX);
		host.sent_class[host.sent_count] = class;
		host.sent[host.sent_count++] = frames[taken++];
		host.room--;
	}
	return taken;
}

static uint64_t port_deadline_ns(const void *port)
{
	(void)port;
	return UINT64_MAX;
}

static const struct perron_lcore_port_ops port_ops = {
    .receive = port_receive,
    .transmit = port_transmit,
    .deadline_ns = port_deadline_ns,
};

int host_begin(void **state)
{
	static char *arguments[] = {"test",	   "--no-huge",	     "--no-pci",
				    "--no-shconf", "--no-telemetry", "-m",
				    "64",	   "--lcores=0@0",   "--log-level=*:error"};

	(void)state;
	if (rte_eal_init(sizeof(arguments) / sizeof(arguments[0]), arguments) < 0)
		exit(77);
	pool = rte_pktmbuf_pool_create("test", HOST_POOL_COUNT, 0, PERRON_PACKET_SIZE,
				       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(pool);
	for (int i = 0; i < 3; i++)
		rings[i] = aligned_alloc(64, perron_spsc_size(RING_SIZE));
	views = aligned_alloc(64, perron_views_memory(sizeof(struct perron_places)));
	perron_clock_init();
	rcu_register_thread();
	return 0;
}

int host_end(void **state)
{
	(void)state;
	rcu_unregister_thread();
	rte_mempool_free(pool);
	for (int i = 0; i < 3; i++)
		free(rings[i]);
	free(views);
	return rte_eal_cleanup();
}

static struct perron_spsc *ring_reset(int index)
{
	perron_spsc_init(rings[index], RING_SIZE);
	return rings[index];
}

static void machines_reset(void)
{
	struct perron_places *places;

	perron_views_init(&host.places, sizeof(*places), views);
	places = perron_views_draft(&host.places);
	for (uint32_t i = 0; i < HOST_MACHINE_COUNT; i++) {
		host.mine[i] = (struct host_machine){.index = i, .deadline_ns = UINT64_MAX};
		host.machines[i].ops = &ops;
		host.machines[i].self = &host.mine[i];
		host.machines[i].id = i + 1;
		host.machines[i].deadline_ns = UINT64_MAX;
		assert_true(perron_places_add(
		    places, (struct perron_place){.id = i + 1, .machine = (uint16_t)i}));
	}
	perron_views_publish(&host.places, places);
}

static void port_reset(void)
{
	const struct perron_net_config config = {
	    .mac = {2, 0, 0, 0, 0, 1},
	    .address = HOST_ADDRESS,
	    .prefix_length = 24,
	    .port_base = HOST_PORT_BASE,
	};
	static const uint8_t neighbour[PERRON_NET_MAC_SIZE] = {2, 0, 0, 0, 0, 2};

	host.port.ops = &port_ops;
	host.port.wake_fd = -1;
	host.port.announce_ns = UINT64_MAX;
	perron_net_init(&host.port.net, &config);
	perron_net_neighbour_learn(&host.port.net, 1, HOST_NEIGHBOUR, neighbour);
	for (uint32_t c = 0; c < PERRON_CLASS_COUNT; c++) {
		perron_queue_init(&host.port.waiting[c], queue_items[1][c],
				  PERRON_LCORE_TRANSMIT_SIZE);
		perron_queue_init(&host.l.queues[c], queue_items[0][c], PERRON_LCORE_QUEUE_SIZE);
	}
}

int host_reset(void **state)
{
	(void)state;
	memset(&host, 0, sizeof(host));
	machines_reset();
	port_reset();
	host.room = UINT32_MAX;
	host.l.endpoint = host_endpoint(HOST_ADDRESS);
	host.l.places = &host.places;
	host.l.pool = pool;
	host.l.machines = host.machines;
	host.l.machine_count = HOST_MACHINE_COUNT;
	host.l.ports = &host.port;
	host.l.port_count = 1;
	host.l.commands = ring_reset(0);
	host.l.messages = ring_reset(1);
	host.l.events = ring_reset(2);
	host.l.lcore_count = 1;
	host.l.idle = PERRON_IDLE_SPIN;
	host.l.deadline_ns = UINT64_MAX;
	host.l.scratch = scratch;
	host.l.effects = (struct perron_effects){
	    .items = items,
	    .capacity = PERRON_EFFECT_COUNT_MAX,
	    .arena = arena,
	    .arena_size = sizeof(arena),
	};
	perron_duty_init(&host.l.duty, 100000);
	host.l.view = perron_views_read(&host.places);
	host.l.now_ns = perron_clock_now_ns();
	return 0;
}

int host_check(void **state)
{
	(void)state;
	perron_lcore_drain(&host.l);
	host_sent_free();
	assert_int_equal(rte_mempool_avail_count(pool), HOST_POOL_COUNT);
	return 0;
}

struct rte_mbuf *host_frame(uint32_t index, uint8_t class, uint32_t payload_size, bool traced)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	const struct perron_header header = {
	    .type = PERRON_TYPE_DATA,
	    .class = class,
	    .flags = traced ? PERRON_FLAG_TRACE : 0,
	    .fragment_count = 1,
	    .length = (uint16_t)payload_size,
	    .overlay = HOST_OVERLAY,
	    .source = 99,
	    .destination = index + 1,
	    .stream = 5,
	    .sequence = 1,
	};

	assert_non_null(mbuf);
	perron_packet_init(mbuf);
	uint8_t *data =
	    (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)(PERRON_HEADER_SIZE + payload_size));
	memset(data + PERRON_HEADER_SIZE, traced ? 0 : 0x5a, payload_size);
	perron_frame_encode(data, &header);
	return mbuf;
}

void host_give(uint32_t index, uint8_t class, uint32_t payload_size, bool traced)
{
	struct rte_mbuf *mbuf = host_frame(index, class, payload_size, traced);

	host.l.view = perron_views_read(&host.places);
	perron_packet_of(mbuf)->peer = host_endpoint(HOST_NEIGHBOUR);
	perron_lcore_enqueue(&host.l, mbuf, class, index + 1);
}

void host_sent_free(void)
{
	for (uint32_t i = 0; i < host.sent_count; i++)
		rte_pktmbuf_free(host.sent[i]);
	host.sent_count = 0;
}

struct perron_hop host_hop(uint32_t destination)
{
	return (struct perron_hop){
	    .source = 1,
	    .source_incarnation = 1,
	    .destination = destination,
	    .destination_incarnation = 1,
	    .link_sequence = 11,
	    .link_ack = 12,
	    .class = PERRON_CLASS_NORMAL,
	};
}

struct perron_endpoint host_endpoint(uint32_t address)
{
	return (struct perron_endpoint){.address = address, .port_base = HOST_PORT_BASE};
}

struct perron_effects *host_effects(void)
{
	perron_effects_reset(&host.l.effects);
	return &host.l.effects;
}
