/*
 * Fourteen peers and a client in one process: they join as seven cells, and two sources reach the
 * client whole, in order, each hop having written its times; with one lcore, and with two.
 * Usage: in_process LCORE_COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/station/station.h"

#define PEER_COUNT    14
#define MESSAGE_SMALL 418u
#define MESSAGE_LARGE 4180u
#define INTERVAL_NS   1000000ull
#define JOIN_NS	      20000000000ull
#define STREAM_NS     1500000000ull
#define MESSAGE_MIN   500u

struct flow {
	uint32_t size;
	uint32_t made;
	/* The client's. */
	uint32_t next_number;
	uint32_t offset; /* in the message that is being put together */
	uint32_t messages;
	uint32_t wrong;
	uint32_t hops;
	bool begun;
};

static struct flow flows[2] = {{.size = MESSAGE_SMALL}, {.size = MESSAGE_LARGE}};
static struct perron_descriptor descriptor;
static int failed;

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	dprintf(STDERR_FILENO, "assertion failed: %s (%s:%d)\n", condition, file, line);
	perron_station_dump(STDERR_FILENO);
	abort();
}

static void check(bool good, const char *what)
{
	printf("%s  %s\n", good ? "ok  " : "FAIL", what);
	failed |= !good;
}

/* Each byte follows from the message's number and its place. */
static uint8_t byte_of(uint32_t number, uint32_t offset)
{
	return (uint8_t)(number * 31 + offset);
}

static uint32_t make(void *context, uint64_t now_ns, uint8_t *data, uint32_t room, uint64_t *due_ns)
{
	struct flow *flow = context;

	if (room < flow->size)
		abort();
	memcpy(data, &flow->made, sizeof(flow->made));
	for (uint32_t i = sizeof(flow->made); i < flow->size; i++)
		data[i] = byte_of(flow->made, i);
	flow->made++;
	*due_ns = now_ns + INTERVAL_NS;
	return flow->size;
}

static void piece_take(struct flow *flow, const uint8_t *data, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++, flow->offset++)
		if (flow->offset >= sizeof(flow->next_number))
			flow->wrong += data[i] != byte_of(flow->next_number, flow->offset);
}

static void deliver(void *context, uint64_t now_ns, uint32_t subscription,
		    const struct perron_frame *frame)
{
	struct flow *flow = &flows[subscription];
	const uint8_t *data = frame->data + PERRON_HEADER_SIZE + PERRON_TRACE_SIZE;
	uint32_t size = frame->length - PERRON_HEADER_SIZE - PERRON_TRACE_SIZE;
	struct perron_header header;

	(void)context;
	(void)now_ns;
	if (perron_frame_decode(frame->data, frame->length, &header) != PERRON_DROP_NONE) {
		flow->wrong++;
		return;
	}
	flow->hops = perron_trace_count(frame->data);
	if (header.fragment_index == 0) {
		uint32_t number;
		memcpy(&number, data, sizeof(number));
		flow->wrong += flow->begun && number != flow->next_number;
		flow->next_number = number;
		flow->offset = 0;
		flow->begun = true;
	}
	piece_take(flow, data, size);
	if (header.fragment_index + 1 < header.fragment_count)
		return;
	flow->wrong += flow->offset != flow->size;
	flow->messages++;
	flow->next_number++;
}

static void descriptor_make(int lcore_count)
{
	char text[4096], error[PERRON_DESCRIPTOR_ERROR_SIZE];
	int size =
	    snprintf(text, sizeof(text),
		     "overlay:\n"
		     "  portal: [{peer: 1, address: 10.9.2.1}, {peer: 2, address: 10.9.2.1}]\n"
		     "station: {name: ps-in-%d, address: 10.9.2.1/24, idle: backoff,\n"
		     "  lcores: [%s], memory: 256MB, huge_pages: no}\n"
		     "limits: {streams: 64, clients: 8}\n"
		     "peers:\n",
		     (int)getpid(), lcore_count == 1 ? "0" : "0, 1");

	for (int i = 1; i <= PEER_COUNT; i++)
		size += snprintf(text + size, sizeof(text) - (size_t)size, "  - {id: %d}\n", i);
	if (perron_descriptor_parse(&descriptor, "test", text, (size_t)size, error,
				    sizeof(error)) != 0) {
		fprintf(stderr, "%s\n", error);
		exit(1);
	}
}

static void turn_for(struct perron_station *s, uint64_t length_ns)
{
	uint64_t until_ns = perron_clock_now_ns() + length_ns;

	while (perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
}

static void streams_check(struct perron_station *s)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct perron_subscription_info info;
		struct perron_view view;
		perron_station_subscription(s, 0, i, &info);
		check(perron_station_view(s, PEER_COUNT - i, &view),
		      "the sensor's peer has a place");
		printf("      %u messages of %u bytes over %u hops, %llu lost, verdict %s\n",
		       flows[i].messages, flows[i].size, flows[i].hops,
		       (unsigned long long)info.lost, perron_verdict_name(info.verdict));
		check(flows[i].messages >= MESSAGE_MIN, "messages arrive");
		check(flows[i].wrong == 0, "whole, once and in order");
		check(info.lost == 0, "none is lost");
		check(flows[i].hops == view.position.level + 2u,
		      "the client and each peer of the path wrote its times");
	}
}

static void run(struct perron_station *s)
{
	uint64_t until_ns = perron_clock_now_ns() + JOIN_NS;

	while (!perron_station_is_joined(s) && perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
	check(perron_station_is_joined(s), "fourteen peers join");
	/* What is attached has to be known at the root before it is asked for. */
	turn_for(s, STREAM_NS);
	check(perron_station_subscribe(s, 0, "small", PERRON_CLASS_ALARM, 0) == 0,
	      "the first subscription");
	check(perron_station_subscribe(s, 0, "large", PERRON_CLASS_NORMAL, 0) == 1,
	      "the second subscription");
	turn_for(s, STREAM_NS);
	streams_check(s);
}

int main(int argc, char **argv)
{
	const struct perron_station_client client = {.id = PERRON_CLIENT_ID | 1,
						     .lcore = -1,
						     .subscription_count_max = 2,
						     .deliver = deliver};
	struct perron_station_source sources[] = {
	    {.name = "small", .traced = true, .make = make, .context = &flows[0]},
	    {.name = "large", .traced = true, .make = make, .context = &flows[1]},
	};
	const struct perron_station_config config = {.descriptor = &descriptor,
						     .clients = &client,
						     .client_count = 1,
						     .sources = sources,
						     .source_count = 2,
						     .no_socket = true,
						     .quiet = true};
	char error[PERRON_DESCRIPTOR_ERROR_SIZE];
	struct perron_station *s;
	int lcore_count = argc > 1 ? atoi(argv[1]) : 1;

	if (lcore_count > sysconf(_SC_NPROCESSORS_ONLN))
		return 77;
	descriptor_make(lcore_count);
	sources[0].peer = PEER_COUNT;
	sources[1].peer = PEER_COUNT - 1; /* as streams_check has it */
	if (perron_station_create(&s, &config, error, sizeof(error)) != 0 ||
	    perron_station_start(s, error, sizeof(error)) != 0) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	run(s);
	perron_station_destroy(s);
	return failed;
}
