/*
 * Control messages: what is written is read again, field by field; nothing else is read. Contents
 * are random with a fixed seed.
 */
#include "test/unit/support.h"

#include <string.h>

#include "overlay/client.h"
#include "overlay/control.h"

#define ROUNDS 200

static uint64_t random_state;

static uint32_t random32(void)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 32);
}

static uint8_t below(uint32_t n)
{
	return (uint8_t)(random32() % n);
}

static uint64_t random64(void)
{
	return (uint64_t)random32() << 32 | random32();
}

static void position_draw(struct perron_position *p)
{
	memset(p, 0, sizeof(*p));
	p->level = below(PERRON_LEVEL_COUNT_MAX);
	for (uint32_t i = 0; i < p->level; i++)
		p->branch[i] = below(PERRON_SPAN_MAX);
	p->slot = below(PERRON_CELL_SIZE_MAX + 1);
}

static void name_draw(char *name)
{
	static const char set[] = "ABCXYZabcxyz0189._/-";
	uint32_t size = 1 + below(PERRON_SENSOR_NAME_MAX);

	memset(name, 0, PERRON_SENSOR_NAME_MAX + 1);
	for (uint32_t i = 0; i < size; i++)
		name[i] = set[below(sizeof(set) - 1)];
}

static void endpoint_draw(struct perron_endpoint *e)
{
	e->address = random32();
	e->port_base = (uint16_t)(random32() % 65533);
}

static void party_draw(struct perron_party *p)
{
	p->id = random32() | 1;
	p->incarnation = random32();
	endpoint_draw(&p->endpoint);
}

static void members_draw(struct perron_members *m)
{
	m->count = below(PERRON_CELL_SIZE_MAX + 1);
	for (uint32_t i = 0; i < m->count; i++) {
		party_draw(&m->items[i].party);
		m->items[i].slot = below(PERRON_CELL_SIZE_MAX + 1);
	}
}

static uint8_t route_draw(uint32_t *route)
{
	uint8_t count = below(PERRON_ROUTE_MAX + 1);

	for (uint32_t i = 0; i < count; i++)
		route[i] = random32();
	return count;
}

static void portal_draw(struct perron_portal *p)
{
	p->peer = random32();
	endpoint_draw(&p->endpoint);
}

#define SAME(field) assert_int_equal(a->field, b->field)

static void position_same(const struct perron_position *a, const struct perron_position *b)
{
	assert_true(perron_position_equal(a, b));
}

static void party_same(const struct perron_party *a, const struct perron_party *b)
{
	SAME(id);
	SAME(incarnation);
	assert_true(perron_endpoint_equal(a->endpoint, b->endpoint));
}

static void portal_same(const struct perron_portal *a, const struct perron_portal *b)
{
	SAME(peer);
	assert_true(perron_endpoint_equal(a->endpoint, b->endpoint));
}

static void members_same(const struct perron_members *a, const struct perron_members *b)
{
	SAME(count);
	for (uint32_t i = 0; i < a->count; i++) {
		party_same(&a->items[i].party, &b->items[i].party);
		SAME(items[i].slot);
	}
}

static void binding_request_draw(struct perron_binding_request *m)
{
	m->attempt = random32();
	m->has_wish = below(2);
	if (m->has_wish)
		position_draw(&m->wish);
}

static void binding_request_same(const struct perron_binding_request *a,
				 const struct perron_binding_request *b)
{
	SAME(attempt);
	SAME(has_wish);
	position_same(&a->wish, &b->wish);
}

static void binding_reply_draw(struct perron_binding_reply *m)
{
	m->attempt = random32();
	m->verdict = below(PERRON_VERDICT_COUNT);
	m->wait_ms = random32();
	portal_draw(&m->redirect);
	position_draw(&m->position);
	members_draw(&m->siblings);
	members_draw(&m->parents);
}

static void binding_reply_same(const struct perron_binding_reply *a,
			       const struct perron_binding_reply *b)
{
	SAME(attempt);
	SAME(verdict);
	SAME(wait_ms);
	portal_same(&a->redirect, &b->redirect);
	position_same(&a->position, &b->position);
	members_same(&a->siblings, &b->siblings);
	members_same(&a->parents, &b->parents);
}

static void bind_draw(struct perron_bind *m)
{
	m->attempt = random32();
	position_draw(&m->position);
}

static void bind_same(const struct perron_bind *a, const struct perron_bind *b)
{
	SAME(attempt);
	position_same(&a->position, &b->position);
}

static void bind_reply_draw(struct perron_bind_reply *m)
{
	m->attempt = random32();
	m->verdict = below(PERRON_VERDICT_COUNT);
	position_draw(&m->position);
}

static void bind_reply_same(const struct perron_bind_reply *a, const struct perron_bind_reply *b)
{
	SAME(attempt);
	SAME(verdict);
	position_same(&a->position, &b->position);
}

static void join_draw(struct perron_join *m)
{
	party_draw(&m->joiner);
	m->nonce = random32();
	m->attempt = random32();
	position_draw(&m->position);
	m->route_count = route_draw(m->route);
}

static void join_same(const struct perron_join *a, const struct perron_join *b)
{
	party_same(&a->joiner, &b->joiner);
	SAME(nonce);
	SAME(attempt);
	position_same(&a->position, &b->position);
	SAME(route_count);
	assert_memory_equal(a->route, b->route, sizeof(a->route));
}

static void join_reply_draw(struct perron_join_reply *m)
{
	m->joiner = random32();
	m->joiner_incarnation = random32();
	m->nonce = random32();
	m->verdict = below(PERRON_VERDICT_COUNT);
	m->epoch = random64();
	m->lease_ms = random32();
	m->route_count = route_draw(m->route);
	members_draw(&m->siblings);
	members_draw(&m->parents);
}

static void join_reply_same(const struct perron_join_reply *a, const struct perron_join_reply *b)
{
	SAME(joiner);
	SAME(joiner_incarnation);
	SAME(nonce);
	SAME(verdict);
	SAME(epoch);
	SAME(lease_ms);
	SAME(route_count);
	assert_memory_equal(a->route, b->route, sizeof(a->route));
	members_same(&a->siblings, &b->siblings);
	members_same(&a->parents, &b->parents);
}

static void advertise_draw(struct perron_advertise *m)
{
	m->lateral = below(2);
	m->count = below(PERRON_ADVERTISE_COUNT_MAX + 1);
	for (uint32_t i = 0; i < m->count; i++) {
		name_draw(m->items[i].name);
		m->items[i].owner = random32();
		m->items[i].owner_incarnation = random32();
		m->items[i].stamp = random32();
	}
}

static void advertise_same(const struct perron_advertise *a, const struct perron_advertise *b)
{
	SAME(lateral);
	SAME(count);
	for (uint32_t i = 0; i < a->count; i++) {
		assert_string_equal(a->items[i].name, b->items[i].name);
		SAME(items[i].owner);
		SAME(items[i].owner_incarnation);
		SAME(items[i].stamp);
	}
}

static void discover_draw(struct perron_discover *m)
{
	party_draw(&m->asker);
	m->nonce = random32();
	m->ttl = below(256);
	name_draw(m->name);
}

static void discover_same(const struct perron_discover *a, const struct perron_discover *b)
{
	party_same(&a->asker, &b->asker);
	SAME(nonce);
	SAME(ttl);
	assert_string_equal(a->name, b->name);
}

static void discover_reply_draw(struct perron_discover_reply *m)
{
	m->nonce = random32();
	m->verdict = below(PERRON_VERDICT_COUNT);
	m->owner = random32();
	m->holder = random32();
	name_draw(m->name);
}

static void discover_reply_same(const struct perron_discover_reply *a,
				const struct perron_discover_reply *b)
{
	SAME(nonce);
	SAME(verdict);
	SAME(owner);
	SAME(holder);
	assert_string_equal(a->name, b->name);
}

static void subscribe_draw(struct perron_subscribe *m)
{
	m->nonce = random32();
	m->class = below(3);
	m->latency_us = random32();
	m->resume = random64();
	name_draw(m->name);
}

static void subscribe_same(const struct perron_subscribe *a, const struct perron_subscribe *b)
{
	SAME(nonce);
	SAME(class);
	SAME(latency_us);
	SAME(resume);
	assert_string_equal(a->name, b->name);
}

static void subscribe_reply_draw(struct perron_subscribe_reply *m)
{
	m->nonce = random32();
	m->verdict = below(PERRON_VERDICT_COUNT);
	m->class = below(3);
	m->stream = random32();
	m->start = random64();
	m->latency_us = random32();
	m->hops = below(256);
	portal_draw(&m->redirect);
}

static void subscribe_reply_same(const struct perron_subscribe_reply *a,
				 const struct perron_subscribe_reply *b)
{
	SAME(nonce);
	SAME(verdict);
	SAME(class);
	SAME(stream);
	SAME(start);
	SAME(latency_us);
	SAME(hops);
	portal_same(&a->redirect, &b->redirect);
}

static void path_setup_draw(struct perron_path_setup *m)
{
	m->class = below(3);
	m->stream = random32();
	m->latency_us = random32();
	m->spent_us = random32();
	m->hops = below(256);
	m->resume = random64();
	m->firm = below(2);
	name_draw(m->name);
}

static void path_setup_same(const struct perron_path_setup *a, const struct perron_path_setup *b)
{
	SAME(class);
	SAME(stream);
	SAME(latency_us);
	SAME(spent_us);
	SAME(hops);
	SAME(resume);
	SAME(firm);
	assert_string_equal(a->name, b->name);
}

static void path_reply_draw(struct perron_path_reply *m)
{
	m->class = below(3);
	m->stream = random32();
	m->verdict = below(PERRON_VERDICT_COUNT);
	m->refuser = random32();
	m->start = random64();
	m->latency_us = random32();
	m->hops = below(256);
}

static void path_reply_same(const struct perron_path_reply *a, const struct perron_path_reply *b)
{
	SAME(class);
	SAME(stream);
	SAME(verdict);
	SAME(refuser);
	SAME(start);
	SAME(latency_us);
	SAME(hops);
}

static void path_teardown_draw(struct perron_path_teardown *m)
{
	m->class = below(3);
	m->stream = random32();
}

static void path_teardown_same(const struct perron_path_teardown *a,
			       const struct perron_path_teardown *b)
{
	SAME(class);
	SAME(stream);
}

static uint8_t payload[PERRON_PAYLOAD_SIZE_MAX + 1];
static uint8_t again[PERRON_PAYLOAD_SIZE_MAX];

/* Any change of a payload is refused, or reads as a message with exactly these bytes. */
#define X(name)                                                                                    \
	static void name##_round(void)                                                             \
	{                                                                                          \
		static struct perron_##name m, read;                                               \
		memset(&m, 0, sizeof(m));                                                          \
		memset(&read, 0xa5, sizeof(read));                                                 \
		memset(payload, 0xa5, sizeof(payload));                                            \
		name##_draw(&m);                                                                   \
		uint32_t size = perron_##name##_write(payload, &m);                                \
		assert_true(size > 0 && size <= PERRON_PAYLOAD_SIZE_MAX);                          \
		assert_int_equal(payload[size], 0xa5);                                             \
		assert_true(perron_##name##_read(payload, size, &read));                           \
		name##_same(&m, &read);                                                            \
		assert_false(perron_##name##_read(payload, size + 1, &read));                      \
		for (uint32_t cut = 0; cut < size; cut++)                                          \
			assert_false(perron_##name##_read(payload, cut, &read));                   \
		for (uint32_t i = 0; i < 64; i++) {                                                \
			uint32_t bit = random32() % (size * 8);                                    \
			payload[bit / 8] ^= (uint8_t)(1u << bit % 8);                              \
			if (perron_##name##_read(payload, size, &read)) {                          \
				assert_int_equal(perron_##name##_write(again, &read), size);       \
				assert_memory_equal(again, payload, size);                         \
			}                                                                          \
			payload[bit / 8] ^= (uint8_t)(1u << bit % 8);                              \
		}                                                                                  \
	}                                                                                          \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		random_state = 2026;                                                               \
		for (uint32_t i = 0; i < ROUNDS; i++)                                              \
			name##_round();                                                            \
	}
PERRON_CONTROL_MESSAGES(X)
#undef X

/* As docs/protocol.md shows it. */
static void test_subscribe_golden(void **state)
{
	(void)state;
	static const uint8_t golden[55] = {
		0x01, 0x02, 0x03, 0x04,                         /* nonce */
		0x01,                                           /* class */
		0x00, 0x00, 0x4e, 0x20,                         /* latency bound, us */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, /* resume */
		0x01, 0x02,                                     /* passive, 2 replicas */
		0x00, 0x01, 0x86, 0xa0,                         /* period, us */
		'l',  'i',  'n',  'e',  '1',  '/',  'a',  'x',  'l', 'e',
	};
	const struct perron_subscribe m = {.nonce = 0x01020304,
					   .class = PERRON_CLASS_CRITICAL,
					   .latency_us = 20000,
					   .resume = 0x0102,
					   .qos = {.replication = PERRON_REPLICATION_PASSIVE,
						   .replicas = 2,
						   .period_us = 100000},
					   .name = "line1/axle"};

	assert_int_equal(perron_subscribe_write(payload, &m), sizeof(golden));
	assert_memory_equal(payload, golden, sizeof(golden));
}

static void test_binding_reply_golden(void **state)
{
	(void)state;
	static const uint8_t golden[46] = {
		0x00, 0x00, 0x00, 0x02,                         /* attempt */
		0x00,                                           /* verdict */
		0x00, 0x00, 0x00, 0x00,                         /* wait */
		0x00, 0x00, 0x00, 0x00,                         /* redirect: peer */
		0x00, 0x00, 0x00, 0x00, 0x00, 0x00,             /* redirect: address, port base */
		0x02, 0x02, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* 0.1.0#2 */
		0x01,                                           /* siblings: 1 */
		0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x03, /* id, incarnation */
		0x0a, 0x00, 0x00, 0x01, 0x1c, 0xe8,             /* 10.0.0.1, 7400 */
		0x01,                                           /* slot */
		0x00,                                           /* parents: none */
	};
	static const struct perron_binding_reply m = {
		.attempt = 2,
		.verdict = PERRON_VERDICT_OK,
		.position = {.level = 2, .branch = {1, 0}, .slot = 2},
		.siblings = {.count = 1,
			     .items = {{.party = {.id = 9,
						  .incarnation = 3,
						  .endpoint = {0x0a000001, 7400}},
					.slot = 1}}},
	};

	assert_int_equal(perron_binding_reply_write(payload, &m), sizeof(golden));
	assert_memory_equal(payload, golden, sizeof(golden));
}

static void subscribe_refused_with(uint32_t offset, uint8_t value)
{
	const struct perron_subscribe m = {.class = PERRON_CLASS_NORMAL, .name = "a"};
	struct perron_subscribe read;
	uint32_t size = perron_subscribe_write(payload, &m);

	assert_true(perron_subscribe_read(payload, size, &read));
	payload[offset] = value;
	assert_false(perron_subscribe_read(payload, size, &read));
}

static void test_reads_are_strict(void **state)
{
	(void)state;
	static const struct perron_advertise none;
	struct perron_advertise read;
	uint32_t size;

	subscribe_refused_with(4, PERRON_CLASS_OVERLAY); /* no class of streams */
	subscribe_refused_with(17, PERRON_REPLICATION_COUNT);
	subscribe_refused_with(18, 1);                   /* replicas without replication */
	subscribe_refused_with(22, 1);                   /* a period without */
	subscribe_refused_with(23, 0);                   /* empty name */
	subscribe_refused_with(23, ' ');                 /* no character of names */
	subscribe_refused_with(26, 'b');                 /* name not padded with zeros */
	subscribe_refused_with(54, 'b');

	size = perron_advertise_write(payload, &none);
	payload[0] = 2; /* neither false nor true */
	assert_false(perron_advertise_read(payload, size, &read));
	payload[0] = 1;
	assert_true(perron_advertise_read(payload, size, &read));
	payload[1] = PERRON_ADVERTISE_COUNT_MAX + 1;
	assert_false(perron_advertise_read(payload, PERRON_PAYLOAD_SIZE_MAX, &read));
}

static void test_members_have_an_id_and_ports(void **state)
{
	(void)state;
	static struct perron_binding_reply m = {
		.siblings = {.count = 1, .items = {{.party = {.id = 1}, .slot = 1}}}};
	static struct perron_binding_reply read;
	uint32_t size = perron_binding_reply_write(payload, &m);

	assert_true(perron_binding_reply_read(payload, size, &read));
	payload[33] = 0; /* id 0 is nobody */
	assert_false(perron_binding_reply_read(payload, size, &read));
	payload[33] = 1;
	perron_store16(payload + 42, 65533); /* the overlay's port would be 65536 */
	assert_false(perron_binding_reply_read(payload, size, &read));
	perron_store16(payload + 42, 65532);
	assert_true(perron_binding_reply_read(payload, size, &read));
	payload[44] = PERRON_CELL_SIZE_MAX + 1;
	assert_false(perron_binding_reply_read(payload, size, &read));
}

static void test_a_wish_not_made_is_empty(void **state)
{
	(void)state;
	const struct perron_binding_request m = {
		.has_wish = false, .wish = {.level = 1, .branch = {3}, .slot = 1}};
	struct perron_binding_request read;
	uint32_t size = perron_binding_request_write(payload, &m);

	assert_true(perron_binding_request_read(payload, size, &read));
	assert_int_equal(read.wish.level, 0);
	payload[6] = 1; /* the slot of a wish that is said to be none */
	assert_false(perron_binding_request_read(payload, size, &read));
}

static void test_writes_assert_what_is_ours(void **state)
{
	(void)state;
	struct perron_subscribe m = {.class = PERRON_CLASS_OVERLAY, .name = "a"};

	expect_assert_failure((void)perron_subscribe_write(payload, &m));
	m.class = PERRON_CLASS_ALARM;
	m.name[0] = 0;
	expect_assert_failure((void)perron_subscribe_write(payload, &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test(test_##name),
		PERRON_CONTROL_MESSAGES(X)
#undef X
		cmocka_unit_test(test_subscribe_golden),
		cmocka_unit_test(test_binding_reply_golden),
		cmocka_unit_test(test_reads_are_strict),
		cmocka_unit_test(test_members_have_an_id_and_ports),
		cmocka_unit_test(test_a_wish_not_made_is_empty),
		cmocka_unit_test(test_writes_assert_what_is_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
