#include "runtime/lcore/transmit.h"

#include <rte_ring.h>

#include "runtime/lcore/count.h"
#include "runtime/lcore/loop.h"

/* Neighbours learn us anew this often, and when a station starts. */
#define ANNOUNCE_INTERVAL_NS 10000000000ull
/* Frames after which a stale neighbour is looked for; a power of two. */
#define STALE_INTERVAL 64u
#define EXCHANGE_BURST 32u

static void mbuf_drop(struct perron_lcore *l, struct rte_mbuf *mbuf, enum perron_drop cause)
{
	perron_lcore_drop(l, cause);
	rte_pktmbuf_free(mbuf);
}

static void exchange_send(struct perron_lcore *l, struct rte_mbuf *mbuf, uint32_t lcore)
{
	if (!l->to[lcore] || rte_ring_sp_enqueue(l->to[lcore], mbuf) != 0) {
		mbuf_drop(l, mbuf, PERRON_DROP_QUEUE_FULL);
		return;
	}
	perron_count(&l->counters.exchanged, 1);
	if (l->lcores)
		perron_lcore_wake(&l->lcores[lcore]);
}

void perron_lcore_enqueue(struct perron_lcore *l, struct rte_mbuf *mbuf, uint8_t class,
			  uint32_t destination)
{
	const struct perron_place *place = perron_places_find(l->view, destination);
	struct perron_packet *packet = perron_packet_of(mbuf);

	if (!place) {
		mbuf_drop(l, mbuf, PERRON_DROP_DESTINATION);
		return;
	}
	packet->machine = place->machine;
	packet->class = class;
	packet->errand = PERRON_PACKET_STEP;
	if (place->lcore != l->index)
		exchange_send(l, mbuf, place->lcore);
	else if (!perron_queue_push(&l->queues[class], mbuf))
		mbuf_drop(l, mbuf, PERRON_DROP_QUEUE_FULL);
}

/* Stamps a traced frame whose bytes stand `offset` into the mbuf; returns the station's time. */
static uint64_t trace_stamp(struct perron_lcore *l, struct rte_mbuf *mbuf, uint16_t offset)
{
	uint64_t now_ns = perron_clock_now_ns();

	perron_trace_transmitted(rte_pktmbuf_mtod_offset(mbuf, uint8_t *, offset),
				 now_ns + l->view->clock_offset_ns);
	return now_ns;
}

static void local_send(struct perron_lcore *l, struct rte_mbuf *mbuf, uint8_t class,
		       uint32_t destination)
{
	struct perron_packet *packet = perron_packet_of(mbuf);

	packet->peer = l->endpoint;
	packet->local = true;
	if (packet->traced)
		packet->received_ns = trace_stamp(l, mbuf, 0);
	perron_count(&l->counters.local, 1);
	perron_lcore_enqueue(l, mbuf, class, destination);
}

static void port_push(struct perron_lcore *l, struct perron_lcore_port *port, struct rte_mbuf *mbuf,
		      uint8_t class)
{
	if (!perron_queue_push(&port->waiting[class], mbuf))
		mbuf_drop(l, mbuf, PERRON_DROP_PORT_FULL);
}

/* Asks for a neighbour by ARP if that is due. */
static void neighbour_request(struct perron_lcore *l, struct perron_lcore_port *port,
			      uint32_t address)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(l->pool);

	if (!mbuf)
		return;
	perron_packet_init(mbuf);
	if (perron_net_mbuf_request(&port->net, l->now_ns, address, mbuf))
		port_push(l, port, mbuf, PERRON_CLASS_OVERLAY);
	else
		rte_pktmbuf_free(mbuf);
}

static void port_send(struct perron_lcore *l, struct rte_mbuf *mbuf, uint8_t class,
		      struct perron_endpoint to)
{
	for (uint32_t i = 0; i < l->port_count; i++) {
		struct perron_lcore_port *port = &l->ports[i];
		if (perron_net_mbuf_wrap(&port->net, l->now_ns, mbuf, class, to) != 0)
			continue;
		port_push(l, port, mbuf, class);
		if ((++port->sent & (STALE_INTERVAL - 1)) == 0)
			neighbour_request(l, port, to.address);
		return;
	}
	mbuf_drop(l, mbuf, PERRON_DROP_UNRESOLVED);
	for (uint32_t i = 0; i < l->port_count; i++)
		neighbour_request(l, &l->ports[i], to.address);
}

void perron_lcore_send(struct perron_lcore *l, struct rte_mbuf *mbuf, uint8_t class,
		       struct perron_endpoint to, uint32_t destination)
{
	PERRON_ASSERT(class < PERRON_CLASS_COUNT);
	if (perron_lcore_is_here(l, to)) {
		local_send(l, mbuf, class, destination);
		return;
	}
	if (l->index == PERRON_LCORE_OF_PORTS) {
		port_send(l, mbuf, class, to);
		return;
	}
	struct perron_packet *packet = perron_packet_of(mbuf);
	packet->peer = to;
	packet->class = class;
	packet->errand = PERRON_PACKET_TRANSMIT;
	exchange_send(l, mbuf, PERRON_LCORE_OF_PORTS);
}

static void exchange_take(struct perron_lcore *l, struct rte_mbuf *mbuf)
{
	const struct perron_packet *packet = perron_packet_of(mbuf);

	if (packet->errand == PERRON_PACKET_TRANSMIT)
		port_send(l, mbuf, packet->class, packet->peer);
	else if (!perron_queue_push(&l->queues[packet->class], mbuf))
		mbuf_drop(l, mbuf, PERRON_DROP_QUEUE_FULL);
}

uint32_t perron_lcore_exchange_receive(struct perron_lcore *l)
{
	struct rte_mbuf *mbufs[EXCHANGE_BURST];
	uint32_t total = 0;

	for (uint32_t from = 0; from < l->lcore_count; from++) {
		if (!l->from[from])
			continue;
		uint32_t count =
		    rte_ring_sc_dequeue_burst(l->from[from], (void **)mbufs, EXCHANGE_BURST, NULL);
		for (uint32_t i = 0; i < count; i++)
			exchange_take(l, mbufs[i]);
		total += count;
	}
	return total;
}

/* One class of one port; false if the port did not take all. */
static bool class_flush(struct perron_lcore *l, struct perron_lcore_port *port, uint8_t class,
			uint32_t *sent)
{
	struct perron_queue *queue = &port->waiting[class];
	struct rte_mbuf **run;
	uint32_t count;

	while ((count = perron_queue_run(queue, &run)) > 0) {
		if (count > PERRON_BURST_MAX)
			count = PERRON_BURST_MAX;
		for (uint32_t i = 0; i < count; i++)
			if (perron_packet_of(run[i])->traced)
				trace_stamp(l, run[i], PERRON_NET_HEADER_SIZE);
		uint32_t taken =
		    port->ops->transmit(port->port, l->now_ns, class, run, (uint16_t)count);
		perron_queue_drop(queue, taken);
		*sent += taken;
		if (taken < count)
			return false;
	}
	return true;
}

uint32_t perron_lcore_flush(struct perron_lcore *l)
{
	uint32_t sent = 0;

	if (l->index != PERRON_LCORE_OF_PORTS)
		return 0;
	for (uint32_t i = 0; i < l->port_count; i++) {
		struct perron_lcore_port *port = &l->ports[i];
		for (uint32_t c = 0; c < PERRON_CLASS_COUNT; c++)
			if (!class_flush(l, port, perron_lcore_class_order[c], &sent) &&
			    !port->classes_apart)
				break;
	}
	if (sent)
		perron_count(&l->counters.sent, sent);
	return sent;
}

static void port_announce(struct perron_lcore *l, struct perron_lcore_port *port)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(l->pool);

	port->announce_ns = l->now_ns + ANNOUNCE_INTERVAL_NS;
	if (!mbuf)
		return;
	perron_packet_init(mbuf);
	perron_net_announce(&port->net, (uint8_t *)rte_pktmbuf_append(mbuf, PERRON_NET_ARP_SIZE));
	port_push(l, port, mbuf, PERRON_CLASS_OVERLAY);
}

void perron_lcore_announce(struct perron_lcore *l)
{
	if (l->index != PERRON_LCORE_OF_PORTS)
		return;
	for (uint32_t i = 0; i < l->port_count; i++)
		if (l->now_ns >= l->ports[i].announce_ns)
			port_announce(l, &l->ports[i]);
}

void perron_lcore_reply(struct perron_lcore *l, struct perron_lcore_port *port,
			struct rte_mbuf *mbuf)
{
	port_push(l, port, mbuf, PERRON_CLASS_OVERLAY);
}
