#include "apps/libperron/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "apps/libperron/portal.h"

#define NS_PER_MS   ((uint64_t)1000000)
#define EVENT_TIMER PERRON_CLASS_COUNT /* epoll's data; below: the class of a socket */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t perron_session_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t patience_end_ns(const struct perron *p, const struct perron_entry *e)
{
	return e->asked_ns + p->options.patience_ms * NS_PER_MS;
}

static bool entry_is_starting(const struct perron *p, const struct perron_entry *e,
			      struct perron_subscription_info *info)
{
	if (!e->used || e->machine < 0)
		return false;
	perron_client_info(p->client, (uint32_t)e->machine, info);
	return info->starting;
}

static uint64_t deadline_ns(const struct perron *p)
{
	uint64_t deadline = perron_client_deadline_ns(p->client);

	for (uint32_t i = 0; p->starting_count && i < p->options.subscription_count_max; i++) {
		struct perron_subscription_info info;
		const struct perron_entry *e = &p->entries[i];

		if (entry_is_starting(p, e, &info) && patience_end_ns(p, e) < deadline)
			deadline = patience_end_ns(p, e);
	}
	return deadline;
}

/* The timer may fire early, never late: a later deadline is set when it has fired. */
static void timer_arm(struct perron *p)
{
	uint64_t at_ns = deadline_ns(p);
	struct itimerspec spec = {0};

	if (at_ns >= p->armed_ns)
		return;
	p->armed_ns = at_ns;
	if (at_ns == 0)
		at_ns = 1; /* 0 would stop the timer */
	spec.it_value.tv_sec = (time_t)(at_ns / 1000000000u);
	spec.it_value.tv_nsec = (long)(at_ns % 1000000000u);
	(void)timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void frame_send(struct perron *p, const struct perron_effect *e)
{
	if (perron_udp_send(&p->udp, e->class, e->to, e->data, e->size))
		p->frames_sent++;
	else
		p->send_errors++;
}

static void frame_queue(struct perron *p, uint32_t buffer, uint32_t machine)
{
	PERRON_ASSERT(p->queue_count < p->pool.count);
	uint32_t at = (p->queue_head + p->queue_count++) % p->pool.count;

	perron_pool_hold(&p->pool, buffer);
	p->queue[at] = (struct perron_waiting){buffer, p->entry_of[machine]};
}

void perron_session_apply(struct perron *p)
{
	for (uint32_t i = 0; i < p->effects.count; i++) {
		const struct perron_effect *e = &p->effects.items[i];
		uint32_t buffer = (uint32_t)e->handle;

		switch (e->kind) {
		case PERRON_EFFECT_SEND:
			frame_send(p, e);
			break;
		case PERRON_EFFECT_HOLD:
			perron_pool_hold(&p->pool, buffer);
			break;
		case PERRON_EFFECT_RELEASE:
			perron_pool_release(&p->pool, buffer);
			break;
		case PERRON_EFFECT_DELIVER:
			frame_queue(p, buffer, e->size);
			break;
		default:
			PERRON_ASSERT(e->kind == PERRON_EFFECT_SEND); /* none other is a client's */
		}
	}
	perron_effects_reset(&p->effects);
	timer_arm(p);
}

static int class_receive(struct perron *p, enum perron_class class)
{
	struct perron_udp_slot slots[PERRON_BURST_MAX];
	struct perron_frame frames[PERRON_BURST_MAX];
	uint32_t buffers[PERRON_BURST_MAX];
	int received;

	for (uint32_t i = 0; i < PERRON_BURST_MAX; i++) {
		buffers[i] = perron_pool_take(&p->pool);
		slots[i].data = p->pool.buffers[buffers[i]].data;
		slots[i].room = PERRON_BUFFER_SIZE;
	}
	received = perron_udp_receive(&p->udp, class, slots, PERRON_BURST_MAX);
	for (int i = 0; i < received; i++) {
		struct perron_buffer *buffer = &p->pool.buffers[buffers[i]];

		buffer->length = slots[i].length;
		buffer->received_ns = slots[i].received_ns;
		frames[i] = (struct perron_frame){.data = slots[i].data,
						  .length = slots[i].length,
						  .class = (uint8_t)class,
						  .from = slots[i].from,
						  .handle = buffers[i]};
		if (frames[i].length > PERRON_BUFFER_SIZE)
			frames[i].length = PERRON_BUFFER_SIZE; /* refused by its length */
		p->bytes_received += frames[i].length;
	}
	if (received > 0) {
		p->frames_received += (uint32_t)received;
		perron_client_input(p->client, perron_session_now_ns(), frames,
				    (uint32_t)received, &p->effects);
		perron_session_apply(p);
	}
	for (uint32_t i = 0; i < PERRON_BURST_MAX; i++)
		perron_pool_release(&p->pool, buffers[i]);
	return received < 0 ? received : 0;
}

static void timer_clear(struct perron *p)
{
	uint64_t count;

	if (read(p->timer_fd, &count, sizeof(count)) == (ssize_t)sizeof(count))
		p->armed_ns = UINT64_MAX;
}

int perron_session_work(struct perron *p, int timeout_ms)
{
	struct epoll_event events[PERRON_CLASS_COUNT + 1];
	bool is_readable[PERRON_CLASS_COUNT + 1] = {false};
	int count;

	PERRON_ASSERT(p->queue_count == 0);
	timer_arm(p);
	count = epoll_wait(p->epoll_fd, events, PERRON_CLASS_COUNT + 1, timeout_ms);
	if (count < 0) {
		int status = -errno;

		snprintf(p->error, sizeof(p->error), "waiting for frames: %s", strerror(-status));
		return status;
	}
	for (int i = 0; i < count; i++)
		is_readable[events[i].data.u32] = true;
	/* The most urgent class first. */
	for (uint32_t class = 0; class < PERRON_CLASS_COUNT; class++) {
		int status = is_readable[class] ? class_receive(p, class) : 0;

		if (status) {
			snprintf(p->error, sizeof(p->error), "receiving frames: %s",
				 strerror(-status));
			return status;
		}
	}
	if (is_readable[EVENT_TIMER])
		timer_clear(p);
	if (perron_client_deadline_ns(p->client) <= perron_session_now_ns()) {
		perron_client_tick(p->client, perron_session_now_ns(), &p->effects);
		perron_session_apply(p);
	}
	timer_arm(p);
	return 0;
}

/* Of a message's frames, the last one tells. */
static void trace_fill(struct perron_message *out, const uint8_t *frame)
{
	out->trace_count = perron_frame_is_traced(frame) ? perron_trace_count(frame) : 0;
	for (uint32_t i = 0; i < out->trace_count; i++) {
		struct perron_trace_record record;

		perron_trace_read(frame, i, &record);
		out->trace[i] = (struct perron_trace_hop){.peer = record.peer,
							  .received_ns = record.received_ns,
							  .step_ns = record.step_ns,
							  .transmitted_ns = record.transmitted_ns};
	}
}

static void message_fill(struct perron *p, int32_t index, const struct perron_buffer *buffer,
			 const struct perron_header *header, const struct perron_assembled *m,
			 struct perron_message *out)
{
	const struct perron_entry *e = &p->entries[index];

	out->subscription = index;
	out->sensor = e->sensor;
	out->traffic = e->traffic;
	out->stream = header->stream;
	out->sequence = m->sequence;
	out->frame_count = m->frame_count;
	out->size = m->size;
	out->data = m->data;
	out->origin_ns = header->origin_ns;
	out->received_ns = buffer->received_ns;
	if (!out->received_ns)
		out->received_ns = perron_session_now_ns() + p->clock_offset_ns;
	out->latency_ns = (int64_t)(out->received_ns - out->origin_ns);
	out->lost_before = m->lost_before;
	out->late = header->deadline_us &&
		    out->latency_ns > (int64_t)header->deadline_us * 1000;
	trace_fill(out, buffer->data);
}

static bool frame_assemble(struct perron *p, const struct perron_waiting *w,
			   struct perron_message *out)
{
	const struct perron_buffer *buffer = &p->pool.buffers[w->buffer];
	struct perron_entry *e = &p->entries[w->subscription];
	struct perron_subscription_info info;
	struct perron_assembled assembled;
	struct perron_header header;

	perron_client_info(p->client, (uint32_t)e->machine, &info);
	/* The machine has decoded it before. */
	if (perron_frame_decode(buffer->data, buffer->length, &header) != PERRON_DROP_NONE)
		return false;
	if (!perron_assembly_take(&e->assembly, buffer->data, &header, info.start, &assembled))
		return false;
	message_fill(p, w->subscription, buffer, &header, &assembled, out);
	return true;
}

bool perron_session_message(struct perron *p, struct perron_message *out)
{
	if (p->pinned >= 0)
		perron_pool_release(&p->pool, (uint32_t)p->pinned);
	p->pinned = -1;
	while (p->queue_count) {
		struct perron_waiting w = p->queue[p->queue_head];

		p->queue_head = (p->queue_head + 1) % p->pool.count;
		p->queue_count--;
		if (w.subscription >= 0 && frame_assemble(p, &w, out)) {
			p->pinned = w.buffer;
			return true;
		}
		perron_pool_release(&p->pool, w.buffer);
	}
	return false;
}

void perron_session_leave(struct perron *p, struct perron_entry *e)
{
	for (uint32_t i = 0; i < p->queue_count; i++) {
		struct perron_waiting *w = &p->queue[(p->queue_head + i) % p->pool.count];

		if (w->subscription == e - p->entries)
			w->subscription = -1;
	}
	if (e->machine < 0)
		return;
	perron_client_info(p->client, (uint32_t)e->machine, &e->last);
	perron_client_unsubscribe(p->client, perron_session_now_ns(), (uint32_t)e->machine,
				  &p->effects);
	e->machine = -1;
	perron_session_apply(p);
}

static void line(struct perron *p, const struct perron_entry *e, const char *what,
		 const char *fix)
{
	char portals[256];

	perron_portals_print(p->cfg.portal, p->cfg.portal_count, portals, sizeof(portals));
	snprintf(p->error, sizeof(p->error), "sensor \"%s\": %s (asked %s); %s", e->sensor, what,
		 portals, fix);
}

static int refusal_tell(struct perron *p, const struct perron_entry *e, uint8_t verdict)
{
	char what[128];

	switch (verdict) {
	case PERRON_VERDICT_UNKNOWN_SENSOR:
		snprintf(what, sizeof(what), "overlay %" PRIu32 " has no sensor of that name",
			 p->cfg.overlay);
		line(p, e, what, "\"perron sensors\" at its station tells its name");
		return -ENOENT;
	case PERRON_VERDICT_LATENCY:
		snprintf(what, sizeof(what), "a latency bound of %" PRIu32 " us cannot be kept",
			 e->last.latency_us);
		line(p, e, what, "ask for a larger one");
		return -ETIME;
	case PERRON_VERDICT_REPLICAS:
		snprintf(what, sizeof(what), "%u replicas cannot be had, a cell on the way has %u "
					     "siblings", e->last.qos.replicas, e->last.replicas);
		line(p, e, what, "ask for fewer, or for 0: as many as there are");
		return -E2BIG;
	case PERRON_VERDICT_FULL:
		line(p, e, "a table on the way is full", "end other subscriptions and try again");
		return -ENOSPC;
	default:
		snprintf(what, sizeof(what), "refused as \"%s\"", perron_verdict_name(verdict));
		line(p, e, what, "install the release that the stations run");
		return -EPROTO;
	}
}

static int patience_tell(struct perron *p, const struct perron_entry *e, uint8_t verdict)
{
	char what[128];

	switch (verdict) {
	case PERRON_VERDICT_OK:
		snprintf(what, sizeof(what), "no station answered in %" PRIu32 " ms",
			 p->options.patience_ms);
		line(p, e, what,
		     "check addresses, ports and overlay id; that perrond runs there; firewalls");
		return -EHOSTUNREACH;
	case PERRON_VERDICT_NOT_JOINED:
	case PERRON_VERDICT_DUPLICATE:
	case PERRON_VERDICT_CONFLICT:
		snprintf(what, sizeof(what),
			 "the station has not joined the overlay, after %" PRIu32 " ms",
			 p->options.patience_ms);
		line(p, e, what, "\"perron status\" on the station says what it waits for");
		return -ENOTCONN;
	default:
		snprintf(what, sizeof(what), "no path was set up in %" PRIu32 " ms",
			 p->options.patience_ms);
		line(p, e, what, "\"perron tree\" shows whether the sensor's peer has joined");
		return -ETIMEDOUT;
	}
}

/* Fails an entry that was refused, or whose patience is over. */
static void entry_judge(struct perron *p, struct perron_entry *e, uint64_t now_ns)
{
	struct perron_subscription_info info;
	bool is_refused;

	perron_client_info(p->client, (uint32_t)e->machine, &info);
	is_refused = info.state == PERRON_SUBSCRIPTION_REFUSED;
	if (!is_refused && (!info.starting || now_ns < patience_end_ns(p, e)))
		return;
	perron_session_leave(p, e);
	e->failure = is_refused ? refusal_tell(p, e, info.verdict)
				: patience_tell(p, e, info.verdict);
}

int perron_session_failure(struct perron *p, int *subscription)
{
	struct perron_subscription_info info;
	uint64_t now_ns;

	if (p->starting_count == 0)
		return 0;
	now_ns = perron_session_now_ns();
	p->starting_count = 0;
	for (uint32_t i = 0; i < p->options.subscription_count_max; i++) {
		struct perron_entry *e = &p->entries[i];

		if (!entry_is_starting(p, e, &info))
			continue;
		p->starting_count++;
		entry_judge(p, e, now_ns);
		if (e->failure) {
			*subscription = (int)i;
			return e->failure;
		}
	}
	return 0;
}
