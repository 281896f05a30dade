/*
 * Fourteen peers and a client in one process: they join as seven cells, and two sources reach the
 * client whole, in order, each hop having written its times; with one lcore, and with two. Then
 * what people may see of it: counts, a lcore and a housekeeping that stall, the flight recorder.
 * Usage: in_process LCORE_COUNT
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/station/station.h"

#define PEER_COUNT    14
#define MESSAGE_SMALL 418u
#define MESSAGE_LARGE 4180u
#define INTERVAL_NS   1000000ull
#define JOIN_NS	      20000000000ull
#define STREAM_NS     1500000000ull
#define MESSAGE_MIN   500u
/* Longer than two looks of the watch, so that one stall is seen wherever it begins. */
#define STALL_NS      2500000000ull
#define ROW_MAX	      64

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
/* The source that stalls its lcore does so once, when this is set. */
static _Atomic bool stall;
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

/* A source is called on its lcore: one that does not return stalls it, and all its peers. */
static uint32_t make_stall(void *context, uint64_t now_ns, uint8_t *data, uint32_t room,
			   uint64_t *due_ns)
{
	(void)context;
	(void)data;
	(void)room;
	*due_ns = now_ns + INTERVAL_NS;
	if (stall) {
		stall = false;
		while (perron_clock_now_ns() < now_ns + STALL_NS)
			usleep(1000);
	}
	return 0;
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

/* The large stream alone is replicated: by each peer of its path, in cells of two. */
static void copies_check(const struct perron_station *s)
{
	const uint32_t fragments = MESSAGE_LARGE / PERRON_PAYLOAD_SIZE_MAX + 1;
	uint32_t copying = 0;
	bool whole = true;

	for (uint32_t peer = 1; peer <= PEER_COUNT; peer++) {
		struct perron_relay_counters counters;
		if (!perron_station_counters(s, peer, &counters) || !counters.replicated)
			continue;
		copying++;
		whole &= counters.replicated >= MESSAGE_MIN * fragments;
	}
	check(copying == flows[1].hops - 1, "each peer of the replicated stream's path copies it");
	check(whole, "frame by frame");
}

static void rows_check(struct perron_station *s)
{
	static struct perron_snapshot_stream streams[ROW_MAX];
	static struct perron_snapshot_link links[ROW_MAX];
	const struct perron_snapshot_source *source = perron_station_snapshot(s);
	uint32_t total, origins = 0, clients = 0, measured = 0;
	bool counted = true, sent = true;
	uint32_t count = source->streams(source->context, 0, ROW_MAX, streams, &total);

	for (uint32_t i = 0; i < count; i++) {
		origins += !strcmp(streams[i].role, "origin");
		clients += streams[i].client_count;
		counted &= streams[i].frames >= MESSAGE_MIN &&
			   streams[i].bytes > streams[i].frames * MESSAGE_SMALL;
	}
	check(origins == 2 && clients == 2, "two origins, and the client at the end of both");
	check(counted, "each peer of a path counts frames and bytes");
	count = source->links(source->context, 0, ROW_MAX, links, &total);
	for (uint32_t i = 0; i < count; i++) {
		sent &= links[i].sent > 0;
		measured += links[i].round_trip_ns > 0;
	}
	check(count > 0 && sent, "each link counts what it sent");
	check(measured > count / 2, "links measure their round trip");
}

static struct perron_snapshot_core core_row(struct perron_station *s, uint32_t index)
{
	const struct perron_snapshot_source *source = perron_station_snapshot(s);
	struct perron_snapshot_core row = {0};
	uint32_t total;

	if (source->cores(source->context, index, 1, &row, &total) != 1)
		check(false, "a core's row");
	return row;
}

/* The stalled lcore's peers blame themselves; with one lcore nobody else is there to blame them. */
static void lcore_stall_check(struct perron_station *s)
{
	static struct perron_snapshot_link links[ROW_MAX];
	const struct perron_snapshot_source *source = perron_station_snapshot(s);
	uint64_t until_ns = perron_clock_now_ns() + 2 * STALL_NS;
	uint32_t total, verdicts = 0, spared = 0;

	check(core_row(s, 1).stalls == 0, "no lcore has stalled");
	stall = true;
	while (!core_row(s, 1).stalled && perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
	check(core_row(s, 1).stalled, "a lcore that does not turn is shown as stalled");
	while (core_row(s, 1).stalled && perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
	check(!core_row(s, 1).stalled && core_row(s, 1).stalls == 1, "and when it turns again");
	turn_for(s, STREAM_NS);
	uint32_t count = source->links(source->context, 0, ROW_MAX, links, &total);
	for (uint32_t i = 0; i < count; i++) {
		verdicts += links[i].verdicts;
		spared += links[i].spared;
	}
	check(verdicts == 0 && spared > 0, "its peers spare their neighbours");
}

static void housekeeping_stall_check(struct perron_station *s)
{
	uint64_t before = core_row(s, 0).stalls;

	usleep(STALL_NS / 1000);
	check(core_row(s, 0).stalls > before, "a housekeeping that does not turn is counted");
	check(!core_row(s, 0).stalled, "who answers does not stall");
}

/* A failed assertion ends the process, its flight recorder out; here a child's. */
static void dump_check(void)
{
	static char text[1 << 20];
	size_t size = 0;
	ssize_t got;
	int ends[2], status = 0;

	if (pipe(ends) != 0)
		return check(false, "a pipe");
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		PERRON_ASSERT(failed < 0);
		_exit(0);
	}
	close(ends[1]);
	while ((got = read(ends[0], text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)got;
	close(ends[0]);
	check(waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
		  WTERMSIG(status) == SIGABRT,
	      "a failed assertion ends the process");
	check(strstr(text, "assertion failed: failed < 0"), "it says what failed");
	check(strstr(text, "lcore 0 on core "), "the flight recorder of the lcore is out");
	check(strstr(text, " forward class ") && strstr(text, " machine "),
	      "with the frames that it forwarded last");
}

static void run(struct perron_station *s, int lcore_count)
{
	const struct perron_qos bad = {.replication = PERRON_REPLICATION_ACTIVE, .period_us = 1000};
	const struct perron_qos active = {.replication = PERRON_REPLICATION_ACTIVE};
	uint64_t until_ns = perron_clock_now_ns() + JOIN_NS;

	while (!perron_station_is_joined(s) && perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
	check(perron_station_is_joined(s), "fourteen peers join");
	/* What is attached has to be known at the root before it is asked for. */
	turn_for(s, STREAM_NS);
	check(perron_station_subscribe(s, 0, "small", PERRON_CLASS_ALARM, 0, NULL) == 0,
	      "the first subscription");
	check(perron_station_subscribe(s, 0, "large", PERRON_CLASS_NORMAL, 0, &bad) == -EINVAL,
	      "a policy with a field that it does not have is refused, and takes no number");
	check(perron_station_subscribe(s, 0, "large", PERRON_CLASS_NORMAL, 0, &active) == 1,
	      "the second subscription, replicated");
	turn_for(s, STREAM_NS);
	streams_check(s);
	copies_check(s);
	rows_check(s);
	dump_check();
	if (lcore_count > 1)
		return;
	lcore_stall_check(s);
	housekeeping_stall_check(s);
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
	    {.name = "stall", .peer = 1, .make = make_stall},
	};
	const struct perron_station_config config = {.descriptor = &descriptor,
						     .clients = &client,
						     .client_count = 1,
						     .sources = sources,
						     .source_count = 3,
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
	run(s, lcore_count);
	perron_station_destroy(s);
	return failed;
}
