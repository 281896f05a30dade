#include "test/unit/apps/libperron/fake_edge.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OVERLAY      1
#define RETRY_NS     5000000u
#define RETRY_FRAMES 64

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void fake_source_add(struct fake_source *s, uint32_t message, uint32_t size, uint32_t traced)
{
	uint32_t room = PERRON_PAYLOAD_SIZE_MAX - (traced ? PERRON_TRACE_SIZE : 0);
	uint32_t count = size ? (size + room - 1) / room : 1;
	uint32_t done = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint8_t *at = s->frames[s->count].data;
		uint32_t part = size - done < room ? size - done : room;

		PERRON_ASSERT(s->count < FAKE_FRAMES_MAX);
		perron_trace_clear(at);
		at += traced ? PERRON_TRACE_SIZE : 0;
		for (uint32_t k = 0; k < part; k++)
			at[k] = (uint8_t)(message + done + k);
		done += part;
		s->frames[s->count].length =
			(uint16_t)(part + (traced ? PERRON_TRACE_SIZE : 0));
		s->frames[s->count].index = (uint8_t)i;
		s->frames[s->count].count = (uint8_t)count;
		s->frames[s->count].hops = (uint8_t)traced;
		s->frames[s->count].origin_ns = clock_ns(CLOCK_REALTIME);
		s->count++;
	}
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static bool edge_bind(struct fake_edge *e, uint16_t port_base)
{
	for (uint32_t i = 0; i < PERRON_CLASS_COUNT; i++) {
		struct sockaddr_in own = loopback((uint16_t)(port_base + i));

		e->fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (bind(e->fds[i], (struct sockaddr *)&own, sizeof(own)) == 0)
			continue;
		for (uint32_t k = 0; k <= i; k++)
			close(e->fds[k]);
		return false;
	}
	e->port_base = port_base;
	return true;
}

void fake_edge_open(struct fake_edge *e, uint32_t peer, struct fake_source *source)
{
	uint16_t port_base = (uint16_t)(10000 + (uint32_t)getpid() % 5000 * 4 + 16 * peer);

	memset(e, 0, sizeof(*e));
	e->peer = peer;
	e->source = source;
	e->random = peer;
	while (!edge_bind(e, port_base))
		port_base = (uint16_t)(port_base + 64);
}

void fake_edge_close(struct fake_edge *e)
{
	for (uint32_t i = 0; i < PERRON_CLASS_COUNT; i++)
		close(e->fds[i]);
}

static bool percent(struct fake_edge *e, uint32_t n)
{
	e->random = e->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(e->random >> 33) % 100 < n;
}

static void wire_put(const struct fake_edge *e, uint8_t class, const uint8_t *data, uint32_t size)
{
	struct sockaddr_in to = loopback((uint16_t)(e->client.endpoint.port_base + class));

	(void)!sendto(e->fds[class], data, size, 0, (struct sockaddr *)&to, sizeof(to));
}

static struct perron_header header_of(const struct fake_edge *e, uint8_t type, uint8_t class)
{
	return (struct perron_header){
		.type = type,
		.class = class,
		.fragment_count = 1,
		.overlay = OVERLAY,
		.source = e->peer,
		.source_incarnation = 5,
		.destination = e->client.id,
		.destination_incarnation = e->client.incarnation,
		.stream = perron_stream_id(FAKE_SENSOR),
	};
}

static void reply_send(struct fake_edge *e, const struct perron_subscribe *m)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header header =
		header_of(e, PERRON_TYPE_SUBSCRIBE_REPLY, PERRON_CLASS_OVERLAY);
	struct perron_subscribe_reply reply = {
		.nonce = m->nonce,
		.verdict = e->verdict,
		.class = m->class,
		.stream = perron_stream_id(m->name),
		.start = e->acked + 1,
		.latency_us = 42,
		.hops = 2,
	};

	if (e->verdict == PERRON_VERDICT_REDIRECT)
		reply.redirect = (struct perron_portal){
			99, {INADDR_LOOPBACK, (uint16_t)e->redirect_port}};
	header.stream = 0;
	header.length =
		(uint16_t)perron_subscribe_reply_write(data + PERRON_HEADER_SIZE, &reply);
	wire_put(e, PERRON_CLASS_OVERLAY, data, perron_frame_encode(data, &header));
}

static void request_take(struct fake_edge *e, const struct perron_header *header,
			 const struct perron_subscribe *m)
{
	uint64_t end = FAKE_FIRST + e->source->count;
	bool is_new = e->client.id != header->source ||
		      e->client.incarnation != header->source_incarnation;

	e->requests++;
	e->client.id = header->source;
	e->client.incarnation = header->source_incarnation;
	e->class = m->class;
	e->resumed = m->resume;
	e->latency_us = m->latency_us;
	if (m->resume && m->resume - 1 > e->acked)
		e->acked = m->resume - 1;
	if (!m->resume && is_new)
		e->acked = end - 1; /* the present */
	if (e->next <= e->acked)
		e->next = e->acked + 1;
	if (!e->is_silent)
		reply_send(e, m);
	if (e->verdict != PERRON_VERDICT_OK)
		e->client.id = 0;
}

static void frame_take(struct fake_edge *e, uint8_t class, const uint8_t *data, uint32_t size,
		       uint16_t port)
{
	struct perron_header header;
	struct perron_subscribe m;

	if (perron_frame_decode(data, size, &header) != PERRON_DROP_NONE || header.class != class)
		return;
	if (header.type == PERRON_TYPE_ACK && e->client.id == header.source) {
		e->acks++;
		if (header.sequence > e->acked && header.sequence < e->next)
			e->acked = header.sequence;
	} else if (header.type == PERRON_TYPE_UNSUBSCRIBE) {
		e->farewells++;
		e->client.id = 0;
	} else if (header.type == PERRON_TYPE_SUBSCRIBE &&
		   perron_subscribe_read(data + PERRON_HEADER_SIZE, header.length, &m)) {
		e->client.endpoint.port_base = (uint16_t)(port - class);
		request_take(e, &header, &m);
	}
}

static void edge_listen(struct fake_edge *e)
{
	for (uint8_t class = 0; class < PERRON_CLASS_COUNT; class++) {
		uint8_t data[PERRON_FRAME_SIZE_MAX];
		struct sockaddr_in from;
		socklen_t from_size = sizeof(from);
		ssize_t size;

		while ((size = recvfrom(e->fds[class], data, sizeof(data), 0,
					(struct sockaddr *)&from, &from_size)) > 0)
			frame_take(e, class, data, (uint32_t)size, ntohs(from.sin_port));
	}
}

static void data_send(struct fake_edge *e, uint64_t sequence)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header header = header_of(e, PERRON_TYPE_DATA, e->class);
	uint64_t i = sequence - FAKE_FIRST;

	header.sequence = sequence;
	header.length = e->source->frames[i].length;
	uint8_t hops = e->source->frames[i].hops;
	header.flags = hops ? PERRON_FLAG_TRACE : 0;
	header.fragment_index = e->source->frames[i].index;
	header.fragment_count = e->source->frames[i].count;
	header.origin_ns = e->source->frames[i].origin_ns;
	memcpy(data + PERRON_HEADER_SIZE, e->source->frames[i].data, header.length);
	uint32_t size = perron_frame_encode(data, &header);
	for (uint32_t k = 0; k < hops; k++) {
		struct perron_trace_record record = {.peer = k + 1, .received_ns = 10 * k};

		PERRON_ASSERT(perron_trace_add(data, &record));
	}
	if (percent(e, e->trouble))
		return;
	if (!e->late_size && percent(e, e->trouble)) {
		memcpy(e->late, data, size);
		e->late_size = size;
		return;
	}
	for (uint32_t n = 1 + percent(e, e->trouble); n; n--)
		wire_put(e, e->class, data, size);
	if (e->late_size)
		wire_put(e, e->class, e->late, e->late_size);
	e->late_size = 0;
}

static void gap_send(struct fake_edge *e)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header header = header_of(e, PERRON_TYPE_GAP, e->class);

	header.sequence = e->source->floor;
	wire_put(e, e->class, data, perron_frame_encode(data, &header));
}

void fake_edge_step(struct fake_edge *e)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	uint64_t end = FAKE_FIRST + e->source->count;
	uint64_t floor = e->source->floor;

	edge_listen(e);
	if (!e->client.id || e->is_silent)
		return;
	if (e->next < end && e->next - e->acked < 500) {
		for (uint32_t n = 0; n < 16 && e->next < end; n++, e->next++)
			if (e->next >= floor)
				data_send(e, e->next);
		e->sent_ns = now_ns;
	}
	if (now_ns - e->sent_ns < RETRY_NS)
		return;
	e->sent_ns = now_ns;
	if (floor > e->acked + 1)
		gap_send(e);
	for (uint64_t s = e->acked + 1; s < e->next && s <= e->acked + RETRY_FRAMES; s++)
		if (s >= floor)
			data_send(e, s);
}
