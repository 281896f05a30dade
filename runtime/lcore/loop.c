#include "runtime/lcore/loop.h"

#include <rte_prefetch.h>
#include <string.h>
#include <sys/prctl.h>

#include "runtime/lcore/count.h"
#include "runtime/lcore/effects.h"
#include "runtime/lcore/transmit.h"

const uint8_t perron_lcore_class_order[PERRON_CLASS_COUNT] = {
    PERRON_CLASS_ALARM,
    PERRON_CLASS_CRITICAL,
    PERRON_CLASS_OVERLAY,
    PERRON_CLASS_NORMAL,
};

/* After a machine was called: apply what it wants, and see when it wants to be called again. */
static void machine_after(struct perron_lcore *l, uint32_t index)
{
	struct perron_machine *machine = &l->machines[index];

	perron_lcore_effects_apply(l, index);
	machine->deadline_ns = machine->ops->deadline_ns(machine->self);
	if (machine->deadline_ns < l->deadline_ns)
		l->deadline_ns = machine->deadline_ns;
}

static uint32_t commands_take(struct perron_lcore *l)
{
	uint32_t count = 0, size, index;
	const void *record;

	while (count < PERRON_LCORE_COMMAND_TURN &&
	       (record = perron_spsc_peek(l->commands, &size, &index))) {
		PERRON_ASSERT(index < l->machine_count);
		struct perron_machine *machine = &l->machines[index];
		if (machine->ops->command(machine->self, l->now_ns, record, size, &l->effects) != 0)
			perron_count(&machine->command_failures, 1);
		perron_spsc_pop(l->commands);
		machine_after(l, index);
		count++;
	}
	return count;
}

/* A message in pieces that fit a frame each. */
struct message {
	uint32_t machine;
	uint32_t stream;
	uint64_t stamp_ns;
	const uint8_t *data;
	uint32_t size;
	bool traced;
};

#define TRACED_PIECE_SIZE (PERRON_PAYLOAD_SIZE_MAX - PERRON_TRACE_SIZE)

static uint32_t message_piece_count(const struct message *m)
{
	return m->traced ? (m->size + TRACED_PIECE_SIZE - 1) / TRACED_PIECE_SIZE
			 : (m->size + PERRON_PAYLOAD_SIZE_MAX - 1) / PERRON_PAYLOAD_SIZE_MAX;
}

/* The origin's own record, once its machine has written the header. */
static void piece_trace(const struct perron_lcore *l, const struct message *m, uint8_t *data)
{
	struct perron_trace_record record = {
	    .peer = l->machines[m->machine].id,
	    .received_ns = m->stamp_ns + l->view->clock_offset_ns,
	    .step_ns = (uint32_t)(perron_clock_now_ns() - m->stamp_ns),
	};

	perron_trace_add(data, &record);
}

static void piece_fill(const struct message *m, uint32_t offset, struct rte_mbuf *mbuf,
		       struct perron_frame *frame)
{
	uint32_t trace_size = m->traced ? PERRON_TRACE_SIZE : 0;
	uint32_t piece_size = PERRON_PAYLOAD_SIZE_MAX - trace_size;
	uint32_t size = m->size - offset < piece_size ? m->size - offset : piece_size;
	uint32_t length = PERRON_HEADER_SIZE + trace_size + size;
	uint8_t *data = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)length);

	PERRON_ASSERT(data);
	perron_packet_init(mbuf);
	if (m->traced)
		memset(data + PERRON_HEADER_SIZE, 0, PERRON_TRACE_SIZE);
	memcpy(data + PERRON_HEADER_SIZE + trace_size, m->data + offset, size);
	*frame = (struct perron_frame){
	    .data = data, .length = length, .handle = (uint64_t)(uintptr_t)mbuf};
}

static bool message_offer(struct perron_lcore *l, const struct message *m)
{
	struct perron_machine *machine = &l->machines[m->machine];
	struct rte_mbuf *mbufs[PERRON_FRAGMENT_COUNT_MAX];
	struct perron_frame frames[PERRON_FRAGMENT_COUNT_MAX];
	uint32_t count = message_piece_count(m);
	uint32_t piece_size = m->traced ? TRACED_PIECE_SIZE : PERRON_PAYLOAD_SIZE_MAX;

	if (count == 0 || count > PERRON_FRAGMENT_COUNT_MAX) {
		perron_lcore_drop(l, PERRON_DROP_LENGTH);
		return false;
	}
	if (rte_pktmbuf_alloc_bulk(l->pool, mbufs, count) != 0) {
		perron_lcore_drop(l, PERRON_DROP_NO_BUFFER);
		return false;
	}
	for (uint32_t i = 0; i < count; i++)
		piece_fill(m, i * piece_size, mbufs[i], &frames[i]);
	bool taken = machine->ops->offer(machine->self, l->now_ns, m->stream, m->stamp_ns, frames,
					 count, m->traced, &l->effects);
	for (uint32_t i = 0; taken && m->traced && i < count; i++)
		piece_trace(l, m, frames[i].data);
	machine_after(l, m->machine);
	/* Whoever took them holds them: our own references end. */
	for (uint32_t i = 0; i < count; i++)
		rte_pktmbuf_free(mbufs[i]);
	return taken;
}

static void message_take(struct perron_lcore *l, const struct message *m)
{
	PERRON_ASSERT(m->machine < l->machine_count && l->machines[m->machine].ops->offer);
	perron_count(message_offer(l, m) ? &l->counters.messages : &l->counters.messages_refused,
		     1);
}

static uint32_t messages_take(struct perron_lcore *l)
{
	uint32_t count = 0, size, index;
	const uint8_t *record;

	while (count < PERRON_LCORE_MESSAGE_TURN &&
	       (record = perron_spsc_peek(l->messages, &size, &index))) {
		struct perron_lcore_message head;
		PERRON_ASSERT(size >= sizeof(head));
		memcpy(&head, record, sizeof(head));
		struct message m = {
		    .machine = index,
		    .stream = head.stream,
		    .stamp_ns = head.stamp_ns < l->now_ns ? head.stamp_ns : l->now_ns,
		    .data = record + sizeof(head),
		    .size = size - (uint32_t)sizeof(head),
		    .traced = head.traced,
		};
		message_take(l, &m);
		perron_spsc_pop(l->messages);
		count++;
	}
	return count;
}

static uint32_t sources_run(struct perron_lcore *l)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < l->source_count; i++) {
		struct perron_lcore_source *source = &l->sources[i];
		if (source->due_ns > l->now_ns)
			continue;
		uint32_t size = source->make(source->context, l->now_ns, l->scratch,
					     PERRON_LCORE_MESSAGE_SIZE_MAX, &source->due_ns);
		PERRON_ASSERT(size <= PERRON_LCORE_MESSAGE_SIZE_MAX);
		struct message m = {.machine = source->machine,
				    .stream = source->stream,
				    .stamp_ns = perron_clock_now_ns(),
				    .data = l->scratch,
				    .size = size,
				    .traced = source->traced};
		if (size)
			message_take(l, &m);
		count++;
	}
	return count;
}

static void frame_received(struct perron_lcore *l, struct rte_mbuf *mbuf,
			   const struct perron_frame *frame)
{
	struct perron_packet *packet = perron_packet_of(mbuf);

	if (frame->length < PERRON_HEADER_SIZE) {
		perron_lcore_drop(l, PERRON_DROP_TRUNCATED);
		rte_pktmbuf_free(mbuf);
		return;
	}
	packet->peer = frame->from;
	if (perron_packet_is_traced(frame->data, frame->length))
		packet->received_ns = perron_clock_now_ns();
	perron_lcore_enqueue(l, mbuf, frame->class, perron_frame_destination(frame->data));
}

static void mbuf_received(struct perron_lcore *l, struct perron_lcore_port *port,
			  struct rte_mbuf *mbuf)
{
	struct perron_frame frame;
	enum perron_drop cause;

	perron_packet_init(mbuf);
	switch (perron_net_mbuf_receive(&port->net, l->now_ns, mbuf, &frame, &cause)) {
	case PERRON_NET_DATAGRAM:
		frame_received(l, mbuf, &frame);
		return;
	case PERRON_NET_REPLY:
		perron_lcore_reply(l, port, mbuf);
		return;
	case PERRON_NET_TAKEN:
		break;
	case PERRON_NET_DROPPED:
		perron_lcore_drop(l, cause);
		break;
	}
	rte_pktmbuf_free(mbuf);
}

static uint32_t ports_receive(struct perron_lcore *l)
{
	struct rte_mbuf *mbufs[PERRON_BURST_MAX];
	uint32_t total = 0;

	if (l->index != PERRON_LCORE_OF_PORTS)
		return 0;
	for (uint32_t p = 0; p < l->port_count; p++) {
		struct perron_lcore_port *port = &l->ports[p];
		uint32_t count = port->ops->receive(port->port, l->now_ns, mbufs, PERRON_BURST_MAX);
		for (uint32_t i = 0; i < count; i++)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], const void *));
		for (uint32_t i = 0; i < count; i++)
			mbuf_received(l, port, mbufs[i]);
		total += count;
	}
	if (total)
		perron_count(&l->counters.received, total);
	return total;
}

/* The host's record in a traced frame, before its machine sees it. */
static void frame_trace(struct perron_lcore *l, const struct perron_machine *machine,
			const struct perron_frame *frame)
{
	const struct perron_packet *packet =
	    perron_packet_of((struct rte_mbuf *)(uintptr_t)frame->handle);
	uint64_t received_ns = packet->received_ns;

	if (!perron_packet_is_traced(frame->data, frame->length))
		return;
	/* From a machine here: received when this turn began, but not before it left. */
	if (packet->local && received_ns < l->now_ns)
		received_ns = l->now_ns;
	struct perron_trace_record record = {
	    .peer = machine->id,
	    .received_ns = received_ns + l->view->clock_offset_ns,
	    .step_ns = (uint32_t)(perron_clock_now_ns() - received_ns),
	};
	perron_trace_add(frame->data, &record);
}

/* Calls the machine with its part of the burst, and lets go of the frames that it did not take. */
static void machine_step(struct perron_lcore *l, uint32_t index)
{
	struct perron_machine *machine = &l->machines[index];
	uint32_t count = machine->burst_count;

	for (uint32_t i = 0; i < count; i++)
		frame_trace(l, machine, &machine->burst[i]);
	machine->ops->input(machine->self, l->now_ns, machine->burst, count, &l->effects);
	machine_after(l, index);
	for (uint32_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = (struct rte_mbuf *)(uintptr_t)machine->burst[i].handle;
		if (!mbuf)
			continue;
		perron_packet_of(mbuf)->slot = 0;
		rte_pktmbuf_free(mbuf);
	}
	machine->burst_count = 0;
}

static void burst_add(struct perron_machine *machine, struct rte_mbuf *mbuf)
{
	struct perron_packet *packet = perron_packet_of(mbuf);
	struct perron_frame *frame = &machine->burst[machine->burst_count++];

	*frame = (struct perron_frame){
	    .data = rte_pktmbuf_mtod(mbuf, uint8_t *),
	    .length = rte_pktmbuf_data_len(mbuf),
	    .class = packet->class,
	    .from = packet->peer,
	    .handle = (uint64_t)(uintptr_t)mbuf,
	};
	packet->slot = (uint8_t)machine->burst_count;
}

/* A burst of one class: one call for each machine that has a part in it. */
static void burst_step(struct perron_lcore *l, struct perron_queue *queue, uint32_t count)
{
	uint32_t touched_count = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = perron_queue_pop(queue);
		uint32_t index = perron_packet_of(mbuf)->machine;
		PERRON_ASSERT(index < l->machine_count);
		if (l->machines[index].burst_count == 0)
			l->touched[touched_count++] = index;
		burst_add(&l->machines[index], mbuf);
	}
	for (uint32_t i = 0; i < touched_count; i++)
		machine_step(l, l->touched[i]);
	perron_count(&l->counters.stepped, count);
}

/* What waits, most urgent first; what that makes for machines here waits for the next turn. */
static uint32_t classes_step(struct perron_lcore *l)
{
	uint32_t waiting[PERRON_CLASS_COUNT];
	uint32_t left = PERRON_LCORE_FRAME_TURN;

	for (uint32_t c = 0; c < PERRON_CLASS_COUNT; c++)
		waiting[c] = perron_queue_count(&l->queues[c]);
	for (uint32_t i = 0; i < PERRON_CLASS_COUNT; i++) {
		uint8_t class = perron_lcore_class_order[i];
		while (waiting[class] > 0 && left > 0) {
			uint32_t count = waiting[class] < left ? waiting[class] : left;
			if (count > PERRON_BURST_MAX)
				count = PERRON_BURST_MAX;
			burst_step(l, &l->queues[class], count);
			waiting[class] -= count;
			left -= count;
		}
	}
	return PERRON_LCORE_FRAME_TURN - left;
}

static uint64_t deadline_of_all(const struct perron_lcore *l)
{
	uint64_t deadline_ns = UINT64_MAX;

	for (uint32_t i = 0; i < l->machine_count; i++)
		if (l->machines[i].deadline_ns < deadline_ns)
			deadline_ns = l->machines[i].deadline_ns;
	for (uint32_t i = 0; i < l->source_count; i++)
		if (l->sources[i].due_ns < deadline_ns)
			deadline_ns = l->sources[i].due_ns;
	return deadline_ns;
}

/* l->deadline_ns is never later than the earliest, so a scan may find nothing due. */
static uint32_t deadlines_run(struct perron_lcore *l)
{
	uint32_t count = sources_run(l);

	for (uint32_t i = 0; i < l->machine_count; i++) {
		struct perron_machine *machine = &l->machines[i];
		if (machine->deadline_ns > l->now_ns)
			continue;
		machine->ops->tick(machine->self, l->now_ns, &l->effects);
		machine_after(l, i);
		count++;
	}
	l->deadline_ns = deadline_of_all(l);
	return count;
}

/* Housekeeping and lcores watch each other: here, whether housekeeping still turns. */
static void housekeeping_watch(struct perron_lcore *l)
{
	if (!l->housekeeping_beat)
		return;
	uint64_t beat = atomic_load_explicit(l->housekeeping_beat, memory_order_relaxed);
	if (beat != l->housekeeping_beat_seen) {
		l->housekeeping_beat_seen = beat;
		l->housekeeping_beat_ns = l->now_ns;
	} else if (l->now_ns - l->housekeeping_beat_ns > l->housekeeping_timeout_ns) {
		perron_count(&l->counters.housekeeping_stalls, 1);
		l->housekeeping_beat_ns = l->now_ns;
	}
}

bool perron_lcore_turn(struct perron_lcore *l)
{
	l->view = perron_views_read(l->places);
	PERRON_ASSERT(l->view);
	uint64_t now_ns = perron_clock_now_ns();
	if (now_ns > l->now_ns)
		l->now_ns = now_ns;
	perron_duty_begin(&l->duty, l->now_ns);
	perron_lcore_announce(l);
	uint32_t work = commands_take(l);
	work += messages_take(l);
	work += ports_receive(l);
	work += perron_lcore_exchange_receive(l);
	if (l->now_ns >= l->deadline_ns)
		work += deadlines_run(l);
	work += classes_step(l);
	work += perron_lcore_flush(l);
	if (work)
		perron_duty_work(&l->duty);
	housekeeping_watch(l);
	l->view = NULL;
	rcu_quiescent_state();
	atomic_store_explicit(&l->beat, atomic_load_explicit(&l->beat, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	return work > 0;
}

int perron_lcore_main(void *lcore)
{
	struct perron_lcore *l = lcore;

	/* Sleeps of microseconds are meant so. */
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	rcu_register_thread();
	while (!atomic_load_explicit(&l->stop, memory_order_relaxed)) {
		if (perron_lcore_turn(l))
			perron_lcore_idle_end(l);
		else
			perron_lcore_idle(l);
	}
	perron_lcore_idle_end(l);
	rcu_unregister_thread();
	return 0;
}

static void queue_free(struct perron_queue *queue)
{
	while (perron_queue_count(queue))
		rte_pktmbuf_free(perron_queue_pop(queue));
}

void perron_lcore_drain(struct perron_lcore *l)
{
	for (uint32_t c = 0; c < PERRON_CLASS_COUNT; c++)
		queue_free(&l->queues[c]);
	if (l->index != PERRON_LCORE_OF_PORTS)
		return;
	for (uint32_t i = 0; i < l->port_count; i++)
		for (uint32_t c = 0; c < PERRON_CLASS_COUNT; c++)
			queue_free(&l->ports[i].waiting[c]);
}
