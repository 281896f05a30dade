/* libperron over real sockets, against fake edges on loopback. */
#include "test/unit/support.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <netinet/in.h>

#include "apps/libperron/perron.h"
#include "test/unit/apps/libperron/fake_edge.h"

/* No test waits so long; it is where a hung one ends. */
#define STEPS_MAX 40000

struct bench {
	struct fake_source source;
	struct fake_edge edges[2];
	struct perron *client;
	char error[PERRON_ERROR_SIZE];
};

static int bench_new(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	fake_edge_open(&b->edges[0], 1, &b->source);
	fake_edge_open(&b->edges[1], 2, &b->source);
	*state = b;
	return 0;
}

static int bench_free(void **state)
{
	struct bench *b = *state;

	perron_close(b->client);
	fake_edge_close(&b->edges[0]);
	fake_edge_close(&b->edges[1]);
	free(b);
	return 0;
}

static void client_open(struct bench *b, const struct perron_options *options)
{
	char portals[64];

	snprintf(portals, sizeof(portals), "127.0.0.1:%u, 2@127.0.0.1:%u", b->edges[0].port_base,
		 b->edges[1].port_base);
	b->client = perron_open(portals, options, b->error, sizeof(b->error));
	if (!b->client)
		fail_msg("%s", b->error);
}

/* Lets both sides work until the client has something to say: a message, or a failure. */
static int next(struct bench *b, struct perron_message *m)
{
	for (uint32_t i = 0; i < STEPS_MAX; i++) {
		fake_edge_step(&b->edges[0]);
		fake_edge_step(&b->edges[1]);
		int status = perron_receive(b->client, i % 4 == 3, m);
		if (status)
			return status;
	}
	fail_msg("nothing came");
	return 0;
}

static struct perron_subscription subscription(struct bench *b)
{
	struct perron_subscription s;

	assert_int_equal(perron_subscription_read(b->client, 0, &s), 0);
	return s;
}

static void active_await(struct bench *b)
{
	struct perron_message m;

	for (uint32_t i = 0; i < STEPS_MAX; i++) {
		fake_edge_step(&b->edges[0]);
		fake_edge_step(&b->edges[1]);
		assert_int_equal(perron_receive(b->client, i % 4 == 3, &m), 0);
		if (subscription(b).state == PERRON_SUBSCRIPTION_IS_ACTIVE)
			return;
	}
	fail_msg("not granted");
}

static void subscribe(struct bench *b)
{
	assert_int_equal(perron_subscribe(b->client, FAKE_SENSOR, PERRON_TRAFFIC_CRITICAL, 20000),
			 0);
	active_await(b);
}

static uint32_t size_of(uint32_t message)
{
	static const uint32_t sizes[] = {418, 1024, 4180, 1400, 1401, 0, 20000};

	return sizes[message % 7];
}

static void content_is(const struct perron_message *m, uint32_t message)
{
	assert_int_equal(m->size, size_of(message));
	for (uint32_t i = 0; i < m->size; i++)
		assert_int_equal(m->data[i], (message + i) & 255);
}

static void test_brings_a_stream(void **state)
{
	struct bench *b = *state;
	struct perron_message m;

	client_open(b, NULL);
	subscribe(b);
	assert_int_equal(b->edges[0].latency_us, 20000);
	assert_int_equal(subscription(b).peer, 1);
	assert_int_equal(subscription(b).hops, 2);
	assert_int_equal(subscription(b).latency_us_estimate, 42);
	for (uint32_t i = 0; i < 7; i++)
		fake_source_add(&b->source, i, size_of(i), 0);
	for (uint32_t i = 0; i < 7; i++) {
		assert_int_equal(next(b, &m), 1);
		content_is(&m, i);
		assert_int_equal(m.subscription, 0);
		assert_string_equal(m.sensor, FAKE_SENSOR);
		assert_int_equal(m.traffic, PERRON_TRAFFIC_CRITICAL);
		assert_int_equal(m.lost_before, 0);
		assert_int_equal(m.trace_count, 0);
		assert_true(m.received_ns >= m.origin_ns);
		assert_int_equal(m.latency_ns, m.received_ns - m.origin_ns);
	}
	assert_int_equal(m.sequence + m.frame_count, FAKE_FIRST + b->source.count);
}

static void test_brings_all_over_a_bad_wire(void **state)
{
	struct bench *b = *state;
	struct perron_message m;
	struct perron_stats stats;

	b->edges[0].trouble = 10;
	client_open(b, NULL);
	subscribe(b);
	for (uint32_t i = 0; i < 300; i++)
		fake_source_add(&b->source, i, size_of(i), 0);
	for (uint32_t i = 0; i < 300; i++) {
		assert_int_equal(next(b, &m), 1);
		content_is(&m, i);
		assert_int_equal(m.lost_before, 0);
	}
	assert_int_equal(subscription(b).frames, b->source.count);
	assert_int_equal(subscription(b).frames_lost, 0);
	assert_int_equal(subscription(b).messages, 300);
	assert_true(subscription(b).duplicates > 0);
	perron_stats_read(b->client, &stats);
	assert_true(stats.frames_received > b->source.count);
	assert_true(stats.frames_dropped >= subscription(b).duplicates);
}

static void test_counts_messages_that_lost_a_frame(void **state)
{
	struct bench *b = *state;
	struct perron_message m;

	client_open(b, NULL);
	subscribe(b);
	fake_source_add(&b->source, 0, 418, 0);
	fake_source_add(&b->source, 2, 4180, 0); /* 3 frames, of which 2 are given up */
	fake_source_add(&b->source, 0, 418, 0);
	b->source.floor = FAKE_FIRST + 3;
	b->edges[0].next = FAKE_FIRST + 3;
	assert_int_equal(next(b, &m), 1);
	assert_int_equal(m.sequence, FAKE_FIRST + 4);
	assert_int_equal(m.lost_before, 4); /* the first one, and all of the second */
	content_is(&m, 0);
	assert_int_equal(subscription(b).frames_lost, 3);
	assert_int_equal(subscription(b).frames, 2);
	assert_int_equal(subscription(b).messages, 1);
	assert_int_equal(subscription(b).messages_lost, 1);
}

static void test_goes_on_at_another_station(void **state)
{
	struct bench *b = *state;
	struct perron_options options;
	struct perron_message m;

	perron_options_default(&options);
	options.lost_ms = 600;
	b->edges[0].trouble = 5;
	client_open(b, &options);
	subscribe(b);
	for (uint32_t i = 0; i < 200; i++)
		fake_source_add(&b->source, i, size_of(i), 0);
	for (uint32_t i = 0; i < 200; i++) {
		if (i == 50)
			b->edges[0].is_silent = true;
		assert_int_equal(next(b, &m), 1);
		content_is(&m, i);
	}
	assert_int_equal(subscription(b).peer, 2);
	assert_int_equal(subscription(b).moved, 1);
	assert_int_equal(subscription(b).frames, b->source.count);
	assert_true(b->edges[1].resumed > FAKE_FIRST);
}

static void test_shows_the_trace(void **state)
{
	struct bench *b = *state;
	struct perron_message m;

	client_open(b, NULL);
	subscribe(b);
	fake_source_add(&b->source, 2, 4180, 3);
	assert_int_equal(next(b, &m), 1);
	content_is(&m, 2);
	assert_int_equal(m.trace_count, 3);
	assert_int_equal(m.trace[0].peer, 1);
	assert_int_equal(m.trace[2].peer, 3);
	assert_int_equal(m.trace[2].received_ns, 20);
}

static void test_follows_a_redirect(void **state)
{
	struct bench *b = *state;

	b->edges[1].peer = 99;
	b->edges[0].verdict = PERRON_VERDICT_REDIRECT;
	b->edges[0].redirect_port = b->edges[1].port_base;
	client_open(b, NULL);
	subscribe(b);
	assert_int_equal(subscription(b).peer, 99);
}

static void fails_with(struct bench *b, uint8_t verdict, int status, const char *words)
{
	struct perron_options options;
	struct perron_message m;

	perron_options_default(&options);
	options.patience_ms = 300;
	b->edges[0].verdict = verdict;
	b->edges[1].verdict = verdict;
	client_open(b, &options);
	assert_int_equal(perron_subscribe(b->client, FAKE_SENSOR, PERRON_TRAFFIC_ALARM, 77), 0);
	assert_int_equal(next(b, &m), status);
	assert_int_equal(m.subscription, 0);
	if (!strstr(perron_error(b->client), words) || strchr(perron_error(b->client), '\n'))
		fail_msg("\"%s\" does not say \"%s\"", perron_error(b->client), words);
	assert_non_null(strstr(perron_error(b->client), FAKE_SENSOR));
	assert_int_equal(subscription(b).state, PERRON_SUBSCRIPTION_IS_REFUSED);
	/* It is said once. */
	assert_int_equal(perron_receive(b->client, 0, &m), 0);
	assert_string_equal(perron_error(b->client), "");
	assert_int_equal(perron_subscribe(b->client, FAKE_SENSOR, PERRON_TRAFFIC_ALARM, 0),
			 -EEXIST);
	assert_int_equal(perron_unsubscribe(b->client, 0), 0);
	assert_int_equal(perron_subscribe(b->client, FAKE_SENSOR, PERRON_TRAFFIC_ALARM, 0), 0);
	perron_close(b->client);
	b->client = NULL;
}

static void test_says_why_it_was_refused(void **state)
{
	struct bench *b = *state;

	fails_with(b, PERRON_VERDICT_UNKNOWN_SENSOR, -ENOENT, "no sensor of that name");
	fails_with(b, PERRON_VERDICT_LATENCY, -ETIME, "bound of 77 us");
	fails_with(b, PERRON_VERDICT_FULL, -ENOSPC, "full");
	fails_with(b, PERRON_VERDICT_MALFORMED, -EPROTO, "release");
	fails_with(b, PERRON_VERDICT_NOT_JOINED, -ENOTCONN, "has not joined");
	fails_with(b, PERRON_VERDICT_WAIT, -ETIMEDOUT, "no path was set up");
}

static void test_says_whom_it_asked_in_vain(void **state)
{
	struct bench *b = *state;
	char portal[32];

	b->edges[0].is_silent = true;
	b->edges[1].is_silent = true;
	snprintf(portal, sizeof(portal), "127.0.0.1:%u", b->edges[1].port_base);
	fails_with(b, PERRON_VERDICT_OK, -EHOSTUNREACH, portal);
	assert_true(b->edges[0].requests > 0 && b->edges[1].requests > 0);
}

/* Whatever is due shows at the descriptor: a frame, and an acknowledgement's time. */
static void test_wakes_an_event_loop(void **state)
{
	struct bench *b = *state;
	struct perron_message m;
	struct pollfd fd = {.events = POLLIN};

	client_open(b, NULL);
	subscribe(b);
	fd.fd = perron_poll_fd(b->client);
	fake_source_add(&b->source, 0, 418, 0);
	fake_edge_step(&b->edges[0]);
	for (int got = 0; !got;) {
		assert_int_equal(poll(&fd, 1, 20000), 1);
		got = perron_receive(b->client, 0, &m);
	}
	assert_int_equal(perron_receive(b->client, 0, &m), 0);
	for (uint32_t i = 0; i < 100 && b->edges[0].acked < FAKE_FIRST; i++) {
		assert_int_equal(poll(&fd, 1, 20000), 1);
		assert_int_equal(perron_receive(b->client, 0, &m), 0);
		fake_edge_step(&b->edges[0]);
	}
	assert_int_equal(b->edges[0].acked, FAKE_FIRST);
}

static void test_says_farewell(void **state)
{
	struct bench *b = *state;

	client_open(b, NULL);
	subscribe(b);
	perron_close(b->client);
	b->client = NULL;
	fake_edge_step(&b->edges[0]);
	assert_int_equal(b->edges[0].farewells, 1);
}

static void open_fails(const char *portals, const struct perron_options *options,
		       const char *words)
{
	char error[PERRON_ERROR_SIZE] = "";

	assert_null(perron_open(portals, options, error, sizeof(error)));
	if (!strstr(error, words) || strchr(error, '\n'))
		fail_msg("\"%s\" does not say \"%s\"", error, words);
	assert_null(perron_open(portals, options, NULL, 0));
}

static void test_says_what_is_wrong_with_its_arguments(void **state)
{
	struct perron_options o;

	(void)state;
	open_fails("", NULL, "\"\"");
	open_fails("10.0.0.1,", NULL, "\"\"");
	open_fails("10.0.0.1:0", NULL, "10.0.0.1:0");
	open_fails("10.0.0.1:65533", NULL, "65533");
	open_fails("10.0.0.1:7400x", NULL, "7400x");
	open_fails("10.0.0.256", NULL, "10.0.0.256");
	open_fails("0@10.0.0.1", NULL, "0@10.0.0.1");
	open_fails("station-1", NULL, "station-1");
	open_fails("1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
		   "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1",
		   NULL, "more than 16");
	perron_options_default(&o);
	o.size--;
	open_fails("127.0.0.1", &o, "options.size");
	perron_options_default(&o);
	o.window = 100;
	open_fails("127.0.0.1", &o, "options.window");
	perron_options_default(&o);
	o.subscription_count_max = 65;
	open_fails("127.0.0.1", &o, "subscription_count_max");
	perron_options_default(&o);
	o.bind_address = "nowhere";
	open_fails("127.0.0.1", &o, "nowhere");
	o.bind_address = "192.0.2.77"; /* of documentation: nobody's */
	open_fails("127.0.0.1", &o, "192.0.2.77");
}

static void test_takes_ports_in_a_row_or_says_so(void **state)
{
	struct bench *b = *state;
	struct perron_options o;

	perron_options_default(&o);
	o.port_base = b->edges[0].port_base;
	open_fails("127.0.0.1", &o, "choose another port base");
}

static void test_refuses_wrong_subscriptions(void **state)
{
	struct bench *b = *state;

	client_open(b, NULL);
	assert_int_equal(perron_subscribe(b->client, "no name", PERRON_TRAFFIC_ALARM, 0), -EINVAL);
	assert_non_null(strstr(perron_error(b->client), "no name"));
	assert_int_equal(perron_subscribe(b->client, "a", (enum perron_traffic)3, 0), -EINVAL);
	for (int i = 0; i < 8; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%d", i);
		assert_int_equal(perron_subscribe(b->client, name, PERRON_TRAFFIC_ALARM, 0), i);
	}
	assert_int_equal(perron_subscribe(b->client, "s8", PERRON_TRAFFIC_ALARM, 0), -ENOSPC);
	assert_int_equal(perron_unsubscribe(b->client, 8), -ENOENT);
	assert_int_equal(perron_unsubscribe(b->client, 3), 0);
	assert_int_equal(perron_unsubscribe(b->client, 3), -ENOENT);
	assert_int_equal(perron_subscribe(b->client, "s8", PERRON_TRAFFIC_ALARM, 0), 3);
}

/* Anybody may send anything to a client's ports: it is counted, and nothing else happens. */
static void test_survives_noise(void **state)
{
	struct bench *b = *state;
	struct perron_message m;
	struct perron_stats stats;
	static uint8_t noise[2000];

	client_open(b, NULL);
	subscribe(b);
	perron_stats_read(b->client, &stats);
	b->edges[0].client.endpoint.port_base = stats.port_base;
	for (uint32_t i = 0; i < 200; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET,
					 .sin_port = htons((uint16_t)(stats.port_base + i % 4)),
					 .sin_addr = {htonl(INADDR_LOOPBACK)}};

		memset(noise, (int)i, sizeof(noise));
		(void)!sendto(b->edges[0].fds[0], noise, i * 10 % 2000, 0, (struct sockaddr *)&to,
			      sizeof(to));
		assert_int_equal(perron_receive(b->client, 0, &m), 0);
	}
	perron_stats_read(b->client, &stats);
	assert_true(stats.frames_dropped >= 150);
	fake_source_add(&b->source, 0, 418, 0);
	assert_int_equal(next(b, &m), 1);
	content_is(&m, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_##name, bench_new, bench_free)
	const struct CMUnitTest tests[] = {
		T(brings_a_stream),
		T(brings_all_over_a_bad_wire),
		T(counts_messages_that_lost_a_frame),
		T(goes_on_at_another_station),
		T(shows_the_trace),
		T(follows_a_redirect),
		T(says_why_it_was_refused),
		T(says_whom_it_asked_in_vain),
		T(wakes_an_event_loop),
		T(says_farewell),
		T(says_what_is_wrong_with_its_arguments),
		T(takes_ports_in_a_row_or_says_so),
		T(refuses_wrong_subscriptions),
		T(survives_noise),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
