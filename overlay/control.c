#include "overlay/control.h"

#include <assert.h>
#include <string.h>

#include "overlay/verdict.h"

#define NAME_SIZE   (PERRON_SENSOR_NAME_MAX + 1)
#define PARTY_SIZE  14
#define MEMBER_SIZE (PARTY_SIZE + 1)
#define PORTAL_SIZE 10
/* Every class has its port: port_base + class. */
#define PORT_BASE_MAX (65535u - (PERRON_CLASS_COUNT - 1))

/* The largest messages: lists of peers, and lists of sensors. */
#define MEMBERS_SIZE_MAX       (1 + PERRON_CELL_SIZE_MAX * MEMBER_SIZE)
#define ROUTE_SIZE_MAX         (1 + PERRON_ROUTE_MAX * 4)
#define BINDING_REPLY_SIZE_MAX (9 + PORTAL_SIZE + PERRON_POSITION_SIZE + 2 * MEMBERS_SIZE_MAX)
#define JOIN_REPLY_SIZE_MAX    (25 + ROUTE_SIZE_MAX + 2 * MEMBERS_SIZE_MAX)
#define ADVERTISE_SIZE_MAX     (2 + PERRON_ADVERTISE_COUNT_MAX * PERRON_SENSOR_ENTRY_SIZE)

static_assert(BINDING_REPLY_SIZE_MAX <= PERRON_PAYLOAD_SIZE_MAX, "a binding reply is one frame");
static_assert(JOIN_REPLY_SIZE_MAX <= PERRON_PAYLOAD_SIZE_MAX, "a join reply is one frame");
static_assert(ADVERTISE_SIZE_MAX <= PERRON_PAYLOAD_SIZE_MAX, "an advertisement is one frame");
static_assert(PERRON_SENSOR_ENTRY_SIZE == NAME_SIZE + 20, "name, owner, incarnation, stamp, ...");
static_assert(PERRON_ADVERTISE_COUNT_MAX <= UINT8_MAX, "counts are one byte");

/* Not inlined: gcc 12 at -O3 warns of the branch that a full writer would take. */
static __attribute__((noinline)) struct perron_writer writer_of(uint8_t *out)
{
	return perron_writer_of(out, PERRON_PAYLOAD_SIZE_MAX);
}

static uint32_t writer_done(const struct perron_writer *w)
{
	PERRON_ASSERT(!w->failed);
	return perron_writer_size(w);
}

/* The fields, each as a pair. A read of what is out of range sets `failed`. */

static void count_write(struct perron_writer *w, uint32_t count, uint32_t max)
{
	PERRON_ASSERT(count <= max);
	perron_write8(w, (uint8_t)count);
}

/* 0 for a count out of range, so that no loop runs on it. */
static uint8_t count_read(struct perron_reader *r, uint32_t max)
{
	uint8_t count = perron_read8(r);

	if (count <= max)
		return count;
	r->failed = true;
	return 0;
}

static void bool_write(struct perron_writer *w, bool value)
{
	perron_write8(w, value ? 1 : 0);
}

static bool bool_read(struct perron_reader *r)
{
	return count_read(r, 1) == 1;
}

static void verdict_write(struct perron_writer *w, uint8_t verdict)
{
	count_write(w, verdict, PERRON_VERDICT_COUNT - 1);
}

static uint8_t verdict_read(struct perron_reader *r)
{
	return count_read(r, PERRON_VERDICT_COUNT - 1);
}

/* Streams have the classes but OVERLAY. */
static void class_write(struct perron_writer *w, uint8_t class)
{
	count_write(w, class, PERRON_CLASS_NORMAL);
}

static uint8_t class_read(struct perron_reader *r)
{
	return count_read(r, PERRON_CLASS_NORMAL);
}

static void name_write(struct perron_writer *w, const char *name)
{
	PERRON_ASSERT(perron_sensor_name_is_valid(name));
	char padded[NAME_SIZE] = {0};

	for (uint32_t i = 0; i < PERRON_SENSOR_NAME_MAX && name[i]; i++)
		padded[i] = name[i];
	perron_write_bytes(w, padded, NAME_SIZE);
}

static void name_read(struct perron_reader *r, char *name)
{
	const uint8_t *at = perron_read_bytes(r, NAME_SIZE);
	bool ended = false;

	memset(name, 0, NAME_SIZE);
	if (!at)
		return;
	memcpy(name, at, NAME_SIZE);
	for (uint32_t i = 0; i < NAME_SIZE; i++) {
		if (ended && at[i] != 0)
			r->failed = true;
		ended = ended || at[i] == 0;
	}
	if (!ended || !perron_sensor_name_is_valid(name))
		r->failed = true;
}

static void endpoint_write(struct perron_writer *w, const struct perron_endpoint *e)
{
	PERRON_ASSERT(e->port_base <= PORT_BASE_MAX);
	perron_write32(w, e->address);
	perron_write16(w, e->port_base);
}

static struct perron_endpoint endpoint_read(struct perron_reader *r)
{
	struct perron_endpoint e;

	e.address = perron_read32(r);
	e.port_base = perron_read16(r);
	if (e.port_base > PORT_BASE_MAX)
		r->failed = true;
	return e;
}

static void portal_write(struct perron_writer *w, const struct perron_portal *p)
{
	perron_write32(w, p->peer);
	endpoint_write(w, &p->endpoint);
}

static struct perron_portal portal_read(struct perron_reader *r)
{
	struct perron_portal p;

	p.peer = perron_read32(r);
	p.endpoint = endpoint_read(r);
	return p;
}

static void party_write(struct perron_writer *w, const struct perron_party *p)
{
	PERRON_ASSERT(p->id != 0);
	perron_write32(w, p->id);
	perron_write32(w, p->incarnation);
	endpoint_write(w, &p->endpoint);
}

static struct perron_party party_read(struct perron_reader *r)
{
	struct perron_party p;

	p.id = perron_read32(r);
	p.incarnation = perron_read32(r);
	p.endpoint = endpoint_read(r);
	if (p.id == 0)
		r->failed = true;
	return p;
}

static void members_write(struct perron_writer *w, const struct perron_members *m)
{
	count_write(w, m->count, PERRON_CELL_SIZE_MAX);
	for (uint32_t i = 0; i < m->count; i++) {
		party_write(w, &m->items[i].party);
		count_write(w, m->items[i].slot, PERRON_CELL_SIZE_MAX);
	}
}

static void members_read(struct perron_reader *r, struct perron_members *m)
{
	m->count = count_read(r, PERRON_CELL_SIZE_MAX);
	for (uint32_t i = 0; i < m->count; i++) {
		m->items[i].party = party_read(r);
		m->items[i].slot = count_read(r, PERRON_CELL_SIZE_MAX);
	}
}

static void route_write(struct perron_writer *w, const uint32_t *route, uint8_t count)
{
	count_write(w, count, PERRON_ROUTE_MAX);
	for (uint32_t i = 0; i < count; i++)
		perron_write32(w, route[i]);
}

static uint8_t route_read(struct perron_reader *r, uint32_t *route)
{
	uint8_t count = count_read(r, PERRON_ROUTE_MAX);

	for (uint32_t i = 0; i < count; i++)
		route[i] = perron_read32(r);
	return count;
}

/* The messages, each as a pair. */

uint32_t perron_binding_request_write(uint8_t *out, const struct perron_binding_request *m)
{
	static const struct perron_position nowhere;
	struct perron_writer w = writer_of(out);

	perron_write32(&w, m->attempt);
	bool_write(&w, m->has_wish);
	perron_position_write(&w, m->has_wish ? &m->wish : &nowhere);
	return writer_done(&w);
}

bool perron_binding_request_read(const uint8_t *data, uint32_t size,
				 struct perron_binding_request *m)
{
	static const struct perron_position nowhere;
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->attempt = perron_read32(&r);
	m->has_wish = bool_read(&r);
	m->wish = perron_position_read(&r);
	if (!m->has_wish && !perron_position_equal(&m->wish, &nowhere))
		r.failed = true;
	return perron_reader_done(&r);
}

uint32_t perron_binding_reply_write(uint8_t *out, const struct perron_binding_reply *m)
{
	struct perron_writer w = writer_of(out);

	perron_write32(&w, m->attempt);
	verdict_write(&w, m->verdict);
	perron_write32(&w, m->wait_ms);
	portal_write(&w, &m->redirect);
	perron_position_write(&w, &m->position);
	members_write(&w, &m->siblings);
	members_write(&w, &m->parents);
	return writer_done(&w);
}

bool perron_binding_reply_read(const uint8_t *data, uint32_t size, struct perron_binding_reply *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->attempt = perron_read32(&r);
	m->verdict = verdict_read(&r);
	m->wait_ms = perron_read32(&r);
	m->redirect = portal_read(&r);
	m->position = perron_position_read(&r);
	members_read(&r, &m->siblings);
	members_read(&r, &m->parents);
	return perron_reader_done(&r);
}

uint32_t perron_bind_write(uint8_t *out, const struct perron_bind *m)
{
	struct perron_writer w = writer_of(out);

	perron_write32(&w, m->attempt);
	perron_position_write(&w, &m->position);
	return writer_done(&w);
}

bool perron_bind_read(const uint8_t *data, uint32_t size, struct perron_bind *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->attempt = perron_read32(&r);
	m->position = perron_position_read(&r);
	return perron_reader_done(&r);
}

uint32_t perron_bind_reply_write(uint8_t *out, const struct perron_bind_reply *m)
{
	struct perron_writer w = writer_of(out);

	perron_write32(&w, m->attempt);
	verdict_write(&w, m->verdict);
	perron_position_write(&w, &m->position);
	return writer_done(&w);
}

bool perron_bind_reply_read(const uint8_t *data, uint32_t size, struct perron_bind_reply *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->attempt = perron_read32(&r);
	m->verdict = verdict_read(&r);
	m->position = perron_position_read(&r);
	return perron_reader_done(&r);
}

uint32_t perron_join_write(uint8_t *out, const struct perron_join *m)
{
	struct perron_writer w = writer_of(out);

	party_write(&w, &m->joiner);
	perron_write32(&w, m->nonce);
	perron_write32(&w, m->attempt);
	perron_position_write(&w, &m->position);
	route_write(&w, m->route, m->route_count);
	return writer_done(&w);
}

bool perron_join_read(const uint8_t *data, uint32_t size, struct perron_join *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->joiner = party_read(&r);
	m->nonce = perron_read32(&r);
	m->attempt = perron_read32(&r);
	m->position = perron_position_read(&r);
	m->route_count = route_read(&r, m->route);
	return perron_reader_done(&r);
}

uint32_t perron_join_reply_write(uint8_t *out, const struct perron_join_reply *m)
{
	struct perron_writer w = writer_of(out);

	perron_write32(&w, m->joiner);
	perron_write32(&w, m->joiner_incarnation);
	perron_write32(&w, m->nonce);
	verdict_write(&w, m->verdict);
	perron_write64(&w, m->epoch);
	perron_write32(&w, m->lease_ms);
	route_write(&w, m->route, m->route_count);
	members_write(&w, &m->siblings);
	members_write(&w, &m->parents);
	return writer_done(&w);
}

bool perron_join_reply_read(const uint8_t *data, uint32_t size, struct perron_join_reply *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->joiner = perron_read32(&r);
	m->joiner_incarnation = perron_read32(&r);
	m->nonce = perron_read32(&r);
	m->verdict = verdict_read(&r);
	m->epoch = perron_read64(&r);
	m->lease_ms = perron_read32(&r);
	m->route_count = route_read(&r, m->route);
	members_read(&r, &m->siblings);
	members_read(&r, &m->parents);
	return perron_reader_done(&r);
}

uint32_t perron_advertise_write(uint8_t *out, const struct perron_advertise *m)
{
	struct perron_writer w = writer_of(out);

	bool_write(&w, m->lateral);
	count_write(&w, m->count, PERRON_ADVERTISE_COUNT_MAX);
	for (uint32_t i = 0; i < m->count; i++) {
		name_write(&w, m->items[i].name);
		perron_write32(&w, m->items[i].owner);
		perron_write32(&w, m->items[i].owner_incarnation);
		perron_write32(&w, m->items[i].stamp);
		perron_write32(&w, m->items[i].term);
		perron_write32(&w, m->items[i].life);
	}
	return writer_done(&w);
}

bool perron_advertise_read(const uint8_t *data, uint32_t size, struct perron_advertise *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->lateral = bool_read(&r);
	m->count = count_read(&r, PERRON_ADVERTISE_COUNT_MAX);
	for (uint32_t i = 0; i < m->count; i++) {
		name_read(&r, m->items[i].name);
		m->items[i].owner = perron_read32(&r);
		m->items[i].owner_incarnation = perron_read32(&r);
		m->items[i].stamp = perron_read32(&r);
		m->items[i].term = perron_read32(&r);
		m->items[i].life = perron_read32(&r);
	}
	return perron_reader_done(&r);
}

uint32_t perron_discover_write(uint8_t *out, const struct perron_discover *m)
{
	struct perron_writer w = writer_of(out);

	party_write(&w, &m->asker);
	perron_write32(&w, m->nonce);
	perron_write8(&w, m->ttl);
	name_write(&w, m->name);
	return writer_done(&w);
}

bool perron_discover_read(const uint8_t *data, uint32_t size, struct perron_discover *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->asker = party_read(&r);
	m->nonce = perron_read32(&r);
	m->ttl = perron_read8(&r);
	name_read(&r, m->name);
	return perron_reader_done(&r);
}

uint32_t perron_discover_reply_write(uint8_t *out, const struct perron_discover_reply *m)
{
	struct perron_writer w = writer_of(out);

	perron_write32(&w, m->nonce);
	verdict_write(&w, m->verdict);
	perron_write32(&w, m->owner);
	perron_write32(&w, m->holder);
	name_write(&w, m->name);
	return writer_done(&w);
}

bool perron_discover_reply_read(const uint8_t *data, uint32_t size,
				struct perron_discover_reply *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->nonce = perron_read32(&r);
	m->verdict = verdict_read(&r);
	m->owner = perron_read32(&r);
	m->holder = perron_read32(&r);
	name_read(&r, m->name);
	return perron_reader_done(&r);
}

static void qos_write(struct perron_writer *w, const struct perron_qos *qos)
{
	PERRON_ASSERT(perron_qos_is_valid(qos));
	perron_write8(w, qos->replication);
	perron_write8(w, qos->replicas);
	perron_write32(w, qos->period_us);
}

static struct perron_qos qos_read(struct perron_reader *r)
{
	struct perron_qos qos = {.replication = perron_read8(r)};

	qos.replicas = perron_read8(r);
	qos.period_us = perron_read32(r);
	if (!perron_qos_is_valid(&qos))
		r->failed = true;
	return qos;
}

uint32_t perron_subscribe_write(uint8_t *out, const struct perron_subscribe *m)
{
	struct perron_writer w = writer_of(out);

	perron_write32(&w, m->nonce);
	class_write(&w, m->class);
	perron_write32(&w, m->latency_us);
	perron_write64(&w, m->resume);
	qos_write(&w, &m->qos);
	name_write(&w, m->name);
	return writer_done(&w);
}

bool perron_subscribe_read(const uint8_t *data, uint32_t size, struct perron_subscribe *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->nonce = perron_read32(&r);
	m->class = class_read(&r);
	m->latency_us = perron_read32(&r);
	m->resume = perron_read64(&r);
	m->qos = qos_read(&r);
	name_read(&r, m->name);
	return perron_reader_done(&r);
}

uint32_t perron_subscribe_reply_write(uint8_t *out, const struct perron_subscribe_reply *m)
{
	struct perron_writer w = writer_of(out);

	perron_write32(&w, m->nonce);
	verdict_write(&w, m->verdict);
	class_write(&w, m->class);
	perron_write32(&w, m->stream);
	perron_write64(&w, m->start);
	perron_write32(&w, m->latency_us);
	perron_write8(&w, m->hops);
	perron_write8(&w, m->replicas);
	portal_write(&w, &m->redirect);
	return writer_done(&w);
}

bool perron_subscribe_reply_read(const uint8_t *data, uint32_t size,
				 struct perron_subscribe_reply *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->nonce = perron_read32(&r);
	m->verdict = verdict_read(&r);
	m->class = class_read(&r);
	m->stream = perron_read32(&r);
	m->start = perron_read64(&r);
	m->latency_us = perron_read32(&r);
	m->hops = perron_read8(&r);
	m->replicas = perron_read8(&r);
	m->redirect = portal_read(&r);
	return perron_reader_done(&r);
}

uint32_t perron_path_setup_write(uint8_t *out, const struct perron_path_setup *m)
{
	struct perron_writer w = writer_of(out);

	class_write(&w, m->class);
	perron_write32(&w, m->stream);
	perron_write32(&w, m->latency_us);
	perron_write32(&w, m->spent_us);
	perron_write8(&w, m->hops);
	perron_write64(&w, m->resume);
	qos_write(&w, &m->qos);
	bool_write(&w, m->firm);
	name_write(&w, m->name);
	return writer_done(&w);
}

bool perron_path_setup_read(const uint8_t *data, uint32_t size, struct perron_path_setup *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->class = class_read(&r);
	m->stream = perron_read32(&r);
	m->latency_us = perron_read32(&r);
	m->spent_us = perron_read32(&r);
	m->hops = perron_read8(&r);
	m->resume = perron_read64(&r);
	m->qos = qos_read(&r);
	m->firm = bool_read(&r);
	name_read(&r, m->name);
	return perron_reader_done(&r);
}

uint32_t perron_path_reply_write(uint8_t *out, const struct perron_path_reply *m)
{
	struct perron_writer w = writer_of(out);

	class_write(&w, m->class);
	perron_write32(&w, m->stream);
	verdict_write(&w, m->verdict);
	perron_write32(&w, m->refuser);
	perron_write64(&w, m->start);
	perron_write32(&w, m->latency_us);
	perron_write8(&w, m->hops);
	perron_write8(&w, m->replicas);
	return writer_done(&w);
}

bool perron_path_reply_read(const uint8_t *data, uint32_t size, struct perron_path_reply *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->class = class_read(&r);
	m->stream = perron_read32(&r);
	m->verdict = verdict_read(&r);
	m->refuser = perron_read32(&r);
	m->start = perron_read64(&r);
	m->latency_us = perron_read32(&r);
	m->hops = perron_read8(&r);
	m->replicas = perron_read8(&r);
	return perron_reader_done(&r);
}

uint32_t perron_path_teardown_write(uint8_t *out, const struct perron_path_teardown *m)
{
	struct perron_writer w = writer_of(out);

	class_write(&w, m->class);
	perron_write32(&w, m->stream);
	return writer_done(&w);
}

bool perron_path_teardown_read(const uint8_t *data, uint32_t size, struct perron_path_teardown *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	memset(m, 0, sizeof(*m));
	m->class = class_read(&r);
	m->stream = perron_read32(&r);
	return perron_reader_done(&r);
}

uint32_t perron_members_write(uint8_t *out, const struct perron_members *m)
{
	struct perron_writer w = writer_of(out);

	members_write(&w, m);
	return writer_done(&w);
}

bool perron_members_read(const uint8_t *data, uint32_t size, struct perron_members *m)
{
	struct perron_reader r = perron_reader_of(data, size);

	members_read(&r, m);
	return perron_reader_done(&r);
}
