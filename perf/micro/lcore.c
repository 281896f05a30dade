/*
 * A lcore's turn, from receive to transmit: a burst of 1, 8 and 32 Ethernet frames with 418-byte
 * data frames comes out of a port, passes the whole loop and one relay, and is given to the port
 * again, rewritten for the next hop. The port is made of memory: what it costs is no device's.
 * Yardstick: what dpdk-testpmd's macswap does with the same bursts on the same port, that is,
 * receive, swap the Ethernet addresses, transmit.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "ft/relay.h"
#include "perf/micro/micro.h"
#include "runtime/lcore/lcore.h"
#include "runtime/lcore/loop.h"

#define BATCH	   32
#define POOL_COUNT 1023
#define RING_SIZE  65536
#define STREAM	   0x5eed5eed
#define OVERLAY	   1
#define UPSTREAM   2
#define SELF	   3
#define BRANCH	   4
#define LIFE	   9
#define NETWORK	   0x0a000000u
#define PORT_BASE  7400

/* A port of memory: gives what it was loaded with, keeps what it is sent. */
struct memory_port {
	struct rte_mbuf *in[BATCH];
	uint32_t in_next;
	uint32_t in_count;
	uint32_t burst; /* most that one receive gives */
	struct rte_mbuf *out[BATCH * 2];
	uint32_t out_count;
};

struct bench {
	struct perron_lcore lcore;
	struct perron_machine machine;
	struct perron_lcore_port port;
	struct memory_port memory;
	struct perron_net peer_net; /* makes the frames that come in */
	struct perron_views places;
	struct perron_relay *relay;
	void *views;
	void *rings[3];
	uint64_t sequence;
	uint32_t upstream_sequence;
	uint32_t branch_sequence;
	uint32_t sent[BRANCH + 1];
};

static struct bench bench;
static struct rte_mempool *pool;
static struct perron_effect items[PERRON_EFFECT_COUNT_MAX];
static uint8_t arena[PERRON_EFFECT_ARENA_SIZE] __attribute__((aligned(64)));
static struct rte_mbuf *queue_items[2][PERRON_CLASS_COUNT][PERRON_LCORE_QUEUE_SIZE];
static uint8_t scratch[PERRON_LCORE_MESSAGE_SIZE_MAX];

static const uint8_t own_mac[PERRON_NET_MAC_SIZE] = {2, 0, 0, 0, 0, SELF};
static const uint8_t upstream_mac[PERRON_NET_MAC_SIZE] = {2, 0, 0, 0, 0, UPSTREAM};
static const uint8_t branch_mac[PERRON_NET_MAC_SIZE] = {2, 0, 0, 0, 0, BRANCH};

static uint16_t port_receive(void *port, uint64_t now_ns, struct rte_mbuf **frames, uint16_t count)
{
	struct memory_port *p = port;
	uint32_t left = p->in_count - p->in_next;
	uint32_t given = count < p->burst ? count : p->burst;

	(void)now_ns;
	if (given > left)
		given = left;
	for (uint32_t i = 0; i < given; i++)
		frames[i] = p->in[p->in_next++];
	return (uint16_t)given;
}

static uint16_t port_transmit(void *port, uint64_t now_ns, uint8_t class, struct rte_mbuf **frames,
			      uint16_t count)
{
	struct memory_port *p = port;

	(void)now_ns;
	(void)class;
	PERRON_ASSERT(p->out_count + count <= BATCH * 2);
	for (uint16_t i = 0; i < count; i++)
		p->out[p->out_count++] = frames[i];
	return count;
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

static void relay_input(void *self, uint64_t now_ns, const struct perron_frame *in,
			uint32_t in_count, struct perron_effects *out)
{
	perron_relay_input(self, now_ns, in, in_count, out);
}

static void relay_tick(void *self, uint64_t now_ns, struct perron_effects *out)
{
	perron_relay_tick(self, now_ns, out);
}

static uint64_t relay_deadline_ns(const void *self)
{
	return perron_relay_deadline_ns(self);
}

static const struct perron_machine_ops machine_ops = {
	.input = relay_input,
	.tick = relay_tick,
	.deadline_ns = relay_deadline_ns,
};

static struct perron_endpoint endpoint(uint32_t id)
{
	return (struct perron_endpoint){NETWORK | id, PORT_BASE};
}

static struct perron_party party(uint32_t id)
{
	return (struct perron_party){.id = id, .incarnation = LIFE, .endpoint = endpoint(id)};
}

static void command(uint8_t kind, uint32_t id)
{
	struct perron_command c = {.kind = kind,
				   .class = PERRON_CLASS_ALARM,
				   .stream = STREAM,
				   .sequence = 1,
				   .party = party(id)};
	int result =
		perron_relay_command(bench.relay, bench.lcore.now_ns, &c, &bench.lcore.effects);

	PERRON_ASSERT(result == 0);
	perron_effects_reset(&bench.lcore.effects);
}

static void relay_open(void)
{
	struct perron_relay_config cfg;

	perron_relay_config_default(&cfg);
	cfg.peer = SELF;
	cfg.incarnation = LIFE;
	cfg.overlay = OVERLAY;
	cfg.endpoint = endpoint(SELF);
	bench.relay = aligned_alloc(64, (perron_relay_size(&cfg) + 63) & ~(size_t)63);
	PERRON_ASSERT(bench.relay);
	int result = perron_relay_init(bench.relay, &cfg, bench.lcore.now_ns);
	PERRON_ASSERT(result == 0);
	command(PERRON_COMMAND_LINK_OPEN, UPSTREAM);
	command(PERRON_COMMAND_LINK_OPEN, BRANCH);
	command(PERRON_COMMAND_BRANCH_OPEN, BRANCH);
	command(PERRON_COMMAND_UPSTREAM, UPSTREAM);
	command(PERRON_COMMAND_START, UPSTREAM);
	bench.machine = (struct perron_machine){
		.ops = &machine_ops, .self = bench.relay, .id = SELF, .deadline_ns = UINT64_MAX};
}

static struct perron_net_config net_config(uint32_t id, const uint8_t *mac)
{
	struct perron_net_config config = {
		.address = NETWORK | id, .prefix_length = 24, .port_base = PORT_BASE};

	memcpy(config.mac, mac, sizeof(config.mac));
	return config;
}

static void port_open(void)
{
	struct perron_net_config own = net_config(SELF, own_mac);
	struct perron_net_config peer = net_config(UPSTREAM, upstream_mac);
	uint64_t now_ns = bench.lcore.now_ns;

	bench.port = (struct perron_lcore_port){.ops = &port_ops,
						.port = &bench.memory,
						.wake_fd = -1,
						.announce_ns = UINT64_MAX};
	perron_net_init(&bench.port.net, &own);
	perron_net_neighbour_learn(&bench.port.net, now_ns, NETWORK | UPSTREAM, upstream_mac);
	perron_net_neighbour_learn(&bench.port.net, now_ns, NETWORK | BRANCH, branch_mac);
	perron_net_init(&bench.peer_net, &peer);
	perron_net_neighbour_learn(&bench.peer_net, now_ns, NETWORK | SELF, own_mac);
	for (uint32_t c = 0; c < PERRON_CLASS_COUNT; c++) {
		perron_queue_init(&bench.port.waiting[c], queue_items[1][c],
				  PERRON_LCORE_TRANSMIT_SIZE);
		perron_queue_init(&bench.lcore.queues[c], queue_items[0][c],
				  PERRON_LCORE_QUEUE_SIZE);
	}
}

static void places_publish(void)
{
	size_t size = perron_views_memory(sizeof(struct perron_places));

	bench.views = aligned_alloc(64, (size + 63) & ~(size_t)63);
	PERRON_ASSERT(bench.views);
	perron_views_init(&bench.places, sizeof(struct perron_places), bench.views);
	struct perron_places *places = perron_views_draft(&bench.places);
	bool added = perron_places_add(places, (struct perron_place){.id = SELF});
	PERRON_ASSERT(added);
	perron_views_publish(&bench.places, places);
}

static struct perron_spsc *ring_make(uint32_t index)
{
	bench.rings[index] = aligned_alloc(64, perron_spsc_size(RING_SIZE));
	PERRON_ASSERT(bench.rings[index]);
	perron_spsc_init(bench.rings[index], RING_SIZE);
	return bench.rings[index];
}

static void bench_open(uint32_t burst)
{
	struct perron_lcore *l = &bench.lcore;

	memset(&bench, 0, sizeof(bench));
	if (!pool)
		pool = rte_pktmbuf_pool_create("lcore", POOL_COUNT, 256, PERRON_PACKET_SIZE,
					       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	PERRON_ASSERT(pool);
	bench.memory.burst = burst;
	*l = (struct perron_lcore){.idle = PERRON_IDLE_SPIN,
				   .endpoint = endpoint(SELF),
				   .places = &bench.places,
				   .pool = pool,
				   .machines = &bench.machine,
				   .machine_count = 1,
				   .ports = &bench.port,
				   .port_count = 1,
				   .lcore_count = 1,
				   .now_ns = perron_clock_now_ns(),
				   .deadline_ns = UINT64_MAX,
				   .scratch = scratch};
	l->commands = ring_make(0);
	l->messages = ring_make(1);
	l->events = ring_make(2);
	l->effects = (struct perron_effects){.items = items,
					     .capacity = PERRON_EFFECT_COUNT_MAX,
					     .arena = arena,
					     .arena_size = sizeof(arena)};
	perron_duty_init(&l->duty, 100000);
	places_publish();
	relay_open();
	port_open();
	rcu_register_thread();
}

static void bench_close(void)
{
	rcu_unregister_thread();
	perron_lcore_drain(&bench.lcore);
	for (uint32_t i = 0; i < 3; i++)
		free(bench.rings[i]);
	free(bench.views);
	free(bench.relay);
}

/* An Ethernet frame as the neighbour would send it, put where the port gives it out. */
static void frame_load(const struct perron_header *header)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	PERRON_ASSERT(mbuf && bench.memory.in_count < BATCH);
	uint8_t *data = (uint8_t *)rte_pktmbuf_append(
		mbuf, (uint16_t)(PERRON_HEADER_SIZE + header->length));
	memset(data + PERRON_HEADER_SIZE, 0, header->length);
	(void)perron_frame_encode(data, header);
	int result = perron_net_mbuf_wrap(&bench.peer_net, perron_clock_now_ns(), mbuf,
					  header->class, endpoint(SELF));
	PERRON_ASSERT(result == 0);
	bench.memory.in[bench.memory.in_count++] = mbuf;
}

static struct perron_header header_from(uint32_t source, uint8_t type, uint32_t length)
{
	return (struct perron_header){
		.type = type,
		.class = PERRON_CLASS_ALARM,
		.fragment_count = 1,
		.length = (uint16_t)length,
		.overlay = OVERLAY,
		.source = source,
		.source_incarnation = LIFE,
		.destination = SELF,
		.destination_incarnation = LIFE,
		.stream = STREAM,
		.link_ack = bench.sent[source],
	};
}

static void frames_load(void)
{
	bench.memory.in_next = bench.memory.in_count = bench.memory.out_count = 0;
	for (uint32_t i = 0; i < BATCH; i++) {
		struct perron_header header =
			header_from(UPSTREAM, PERRON_TYPE_DATA, MICRO_SMALL);
		header.sequence = ++bench.sequence;
		header.link_sequence = ++bench.upstream_sequence;
		frame_load(&header);
	}
}

/* Frees what was transmitted; returns how many of it were data for the branch. */
static uint32_t frames_unload(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < bench.memory.out_count; i++) {
		struct rte_mbuf *mbuf = bench.memory.out[i];
		struct perron_header header;
		const uint8_t *data = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *,
							      PERRON_NET_HEADER_SIZE);
		uint32_t size = rte_pktmbuf_data_len(mbuf) - PERRON_NET_HEADER_SIZE;
		if (perron_frame_decode(data, size, &header) == PERRON_DROP_NONE &&
		    header.destination <= BRANCH) {
			bench.sent[header.destination] = header.link_sequence;
			count += header.type == PERRON_TYPE_DATA && header.destination == BRANCH;
		}
		rte_pktmbuf_free(mbuf);
	}
	bench.memory.out_count = 0;
	return count;
}

/* The branch says what it has; not timed. */
static void branch_acknowledge(void)
{
	struct perron_header header = header_from(BRANCH, PERRON_TYPE_ACK, PERRON_ACK_SIZE);

	bench.memory.in_next = bench.memory.in_count = 0;
	header.sequence = bench.sequence;
	header.link_sequence = ++bench.branch_sequence;
	frame_load(&header);
	while (bench.memory.in_next < bench.memory.in_count)
		(void)perron_lcore_turn(&bench.lcore);
	(void)frames_unload();
}

static void turn(struct perron_bench *b, int64_t burst)
{
	uint64_t given = 0, got = 0;

	bench_open((uint32_t)burst);
	while (perron_bench_next(b, BATCH)) {
		frames_load();
		perron_bench_start(b);
		while (bench.memory.in_next < bench.memory.in_count)
			(void)perron_lcore_turn(&bench.lcore);
		perron_bench_stop(b);
		got += frames_unload();
		given += BATCH;
		branch_acknowledge();
	}
	perron_bench_bytes(b, PERRON_NET_HEADER_SIZE + PERRON_HEADER_SIZE + MICRO_SMALL);
	bench_close();
	if (got != given)
		perron_bench_fail(b, "frames were dropped, not forwarded");
}

static void macs_swap(struct rte_mbuf *mbuf)
{
	struct rte_ether_hdr *header = rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *);
	struct rte_ether_addr address = header->dst_addr;

	header->dst_addr = header->src_addr;
	header->src_addr = address;
}

static void macswap(struct perron_bench *b, int64_t burst)
{
	struct rte_mbuf *mbufs[BATCH];

	bench_open((uint32_t)burst);
	while (perron_bench_next(b, BATCH)) {
		frames_load();
		perron_bench_start(b);
		while (bench.memory.in_next < bench.memory.in_count) {
			uint16_t count = port_ops.receive(&bench.memory, 0, mbufs, BATCH);
			for (uint16_t i = 0; i < count; i++)
				macs_swap(mbufs[i]);
			(void)port_ops.transmit(&bench.memory, 0, 0, mbufs, count);
		}
		perron_bench_stop(b);
		(void)frames_unload();
	}
	bench_close();
}

static const struct perron_bench_case cases[] = {
	{"lcore/turn/1", "lcore/macswap/1", turn, 1},
	{"lcore/turn/8", "lcore/macswap/8", turn, 8},
	{"lcore/turn/32", "lcore/macswap/32", turn, 32},
	{"lcore/macswap/1", NULL, macswap, 1},
	{"lcore/macswap/8", NULL, macswap, 8},
	{"lcore/macswap/32", NULL, macswap, 32},
};

void micro_lcore(void)
{
	MICRO_REGISTER(cases);
}
