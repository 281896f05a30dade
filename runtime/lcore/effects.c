#include "runtime/lcore/effects.h"

#include <string.h>

#include "runtime/lcore/count.h"
#include "runtime/lcore/transmit.h"

static struct rte_mbuf *mbuf_of(uint64_t handle)
{
	struct rte_mbuf *mbuf = (struct rte_mbuf *)(uintptr_t)handle;

	PERRON_ASSERT(mbuf && rte_mbuf_refcnt_read(mbuf) > 0);
	return mbuf;
}

static struct rte_mbuf *packet_alloc(struct perron_lcore *l)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(l->pool);

	if (!mbuf) {
		perron_lcore_drop(l, PERRON_DROP_NO_BUFFER);
		return NULL;
	}
	perron_packet_init(mbuf);
	return mbuf;
}

static void send_apply(struct perron_lcore *l, const struct perron_effect *e)
{
	PERRON_ASSERT(e->size >= PERRON_HEADER_SIZE && e->size <= PERRON_FRAME_SIZE_MAX);
	struct rte_mbuf *mbuf = packet_alloc(l);

	if (!mbuf)
		return;
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)e->size), e->data, e->size);
	perron_packet_of(mbuf)->traced = perron_packet_is_traced(e->data, e->size);
	perron_lcore_send(l, mbuf, e->class, e->to, perron_frame_destination(e->data));
}

static struct rte_mbuf *frame_copy(struct perron_lcore *l, struct rte_mbuf *from)
{
	struct rte_mbuf *mbuf = packet_alloc(l);

	if (!mbuf)
		return NULL;
	uint16_t size = rte_pktmbuf_data_len(from);
	memcpy(rte_pktmbuf_append(mbuf, size), rte_pktmbuf_mtod(from, const void *), size);
	perron_count(&l->counters.copied, 1);
	return mbuf;
}

/* A header of its own before a reference to the payload. */
static struct rte_mbuf *frame_clone(struct perron_lcore *l, struct rte_mbuf *from)
{
	struct rte_mbuf *header = packet_alloc(l);
	struct rte_mbuf *payload = header ? packet_alloc(l) : NULL;

	if (!payload) {
		rte_pktmbuf_free(header);
		return NULL;
	}
	memcpy(rte_pktmbuf_append(header, PERRON_HEADER_SIZE), rte_pktmbuf_mtod(from, const void *),
	       PERRON_HEADER_SIZE);
	rte_pktmbuf_attach(payload, from);
	rte_pktmbuf_adj(payload, PERRON_HEADER_SIZE);
	header->next = payload;
	header->nb_segs = 2;
	header->pkt_len += rte_pktmbuf_data_len(payload);
	perron_count(&l->counters.cloned, 1);
	return header;
}

/* The frame itself is taken out of the burst that is being stepped. */
static struct rte_mbuf *frame_take(struct perron_machine *machine, struct rte_mbuf *mbuf)
{
	struct perron_packet *packet = perron_packet_of(mbuf);

	PERRON_ASSERT(packet->slot <= machine->burst_count);
	machine->burst[packet->slot - 1].handle = 0;
	packet->slot = 0;
	return mbuf;
}

static void forward_apply(struct perron_lcore *l, struct perron_machine *machine,
			  const struct perron_effect *e)
{
	struct rte_mbuf *from = mbuf_of(e->handle);
	const struct perron_packet *packet = perron_packet_of(from);
	uint32_t size = rte_pktmbuf_data_len(from);
	bool traced = perron_packet_is_traced(rte_pktmbuf_mtod(from, const uint8_t *), size);
	bool has_payload = size > PERRON_HEADER_SIZE;
	struct rte_mbuf *mbuf;

	if ((e->flags & PERRON_EFFECT_LAST) && packet->slot && packet->holds == 0)
		mbuf = frame_take(machine, from);
	else if (l->clones && !traced && has_payload && !perron_lcore_is_here(l, e->to))
		mbuf = frame_clone(l, from);
	else
		mbuf = frame_copy(l, from);
	if (!mbuf)
		return;
	perron_packet_of(mbuf)->traced = traced;
	perron_frame_readdress(rte_pktmbuf_mtod(mbuf, uint8_t *), &e->hop);
	perron_lcore_send(l, mbuf, e->class, e->to, e->hop.destination);
}

static void hold_apply(uint64_t handle)
{
	struct rte_mbuf *mbuf = mbuf_of(handle);

	rte_mbuf_refcnt_update(mbuf, 1);
	perron_packet_of(mbuf)->holds++;
}

static void release_apply(uint64_t handle)
{
	struct rte_mbuf *mbuf = mbuf_of(handle);

	PERRON_ASSERT(perron_packet_of(mbuf)->holds > 0);
	perron_packet_of(mbuf)->holds--;
	rte_pktmbuf_free(mbuf);
}

static void deliver_apply(struct perron_lcore *l, struct perron_machine *machine,
			  const struct perron_effect *e)
{
	struct rte_mbuf *mbuf = mbuf_of(e->handle);
	const struct perron_packet *packet = perron_packet_of(mbuf);
	struct perron_frame frame = {
	    .data = rte_pktmbuf_mtod(mbuf, uint8_t *),
	    .length = rte_pktmbuf_data_len(mbuf),
	    .class = packet->class,
	    .from = packet->peer,
	    .handle = e->handle,
	};

	PERRON_ASSERT(machine->ops->deliver);
	machine->ops->deliver(machine->self, l->now_ns, e->size, &frame);
}

static void event_apply(struct perron_lcore *l, uint32_t machine_index,
			const struct perron_effect *e)
{
	if (!perron_spsc_push(l->events, machine_index, e->data, e->size))
		perron_lcore_drop(l, PERRON_DROP_EVENT_FULL);
}

static void record(struct perron_lcore *l, uint32_t id, const struct perron_effect *e)
{
	struct perron_lcore_record *at =
	    &l->recorder[l->recorder_next++ & (PERRON_LCORE_RECORDER_SIZE - 1)];

	at->now_ns = l->now_ns;
	at->handle = e->handle;
	at->machine = id;
	at->kind = e->kind;
	at->class = e->class;
	at->flags = e->flags;
}

static void effect_apply(struct perron_lcore *l, uint32_t machine_index,
			 const struct perron_effect *e)
{
	struct perron_machine *machine = &l->machines[machine_index];

	switch ((enum perron_effect_kind)e->kind) {
	case PERRON_EFFECT_SEND:
		send_apply(l, e);
		return;
	case PERRON_EFFECT_FORWARD:
		forward_apply(l, machine, e);
		return;
	case PERRON_EFFECT_HOLD:
		hold_apply(e->handle);
		return;
	case PERRON_EFFECT_RELEASE:
		release_apply(e->handle);
		return;
	case PERRON_EFFECT_DELIVER:
		deliver_apply(l, machine, e);
		return;
	case PERRON_EFFECT_EVENT:
		event_apply(l, machine_index, e);
		return;
	case PERRON_EFFECT_INDICATE:
		if (machine->ops->indicate)
			machine->ops->indicate(machine->self, l->now_ns, e->class, e->data,
					       e->size);
		return;
	case PERRON_EFFECT_COMMAND:
		break;
	}
	/* Only housekeeping's machines command. */
	PERRON_ASSERT(false);
}

void perron_lcore_effects_apply(struct perron_lcore *l, uint32_t machine_index)
{
	PERRON_ASSERT(machine_index < l->machine_count);
	uint32_t id = l->machines[machine_index].id;

	for (uint32_t i = 0; i < l->effects.count; i++) {
		record(l, id, &l->effects.items[i]);
		effect_apply(l, machine_index, &l->effects.items[i]);
	}
	if (l->effects.dropped) {
		perron_count(&l->counters.drop[PERRON_DROP_EFFECTS_FULL], l->effects.dropped);
		l->effects.dropped = 0;
	}
	perron_effects_reset(&l->effects);
}
