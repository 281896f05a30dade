#include "test/unit/runtime/housekeeping/fake.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

uint32_t fake_peer_count = 2;
uint64_t fake_growth;

/* What a counter has grown by, look after look. */
static uint64_t grown(uint64_t *looks)
{
	return ++*looks * fake_growth;
}

static void station(void *context, struct perron_snapshot_station *out)
{
	(void)context;
	*out = (struct perron_snapshot_station){.name = "alpha",
						.descriptor = "/etc/perron/alpha.yaml",
						.version = "0.1.0",
						.state = "running",
						.idle = "backoff",
						.pid = (uint32_t)getpid(),
						.address = 0x0a000001,
						.prefix_length = 24,
						.port_base = 7400,
						.overlay = 1,
						.depth = 3,
						.span = 2,
						.cell_size = 2,
						.memory_size = 64 << 20,
						.uptime_ns = 3723000000000,
						.beat_interval_ns = 50000000,
						.beat_timeout_ns = 250000000};
}

static uint32_t end_of(uint32_t first, uint32_t max, uint32_t total)
{
	if (first >= total)
		return first;
	return total - first < max ? total : first + max;
}

static const struct perron_snapshot_verdict fake_verdict = {
    .neighbour = 101,
    .cause = "silence",
    .age_ns = 1000000000,
    .silence_ns = 251000000,
    .expected_ns = 250000000,
    .own_gap_ns = 80000,
};

static uint32_t peers(void *context, uint32_t first, uint32_t max, struct perron_snapshot_peer *out,
		      uint32_t *total)
{
	(void)context;
	*total = fake_peer_count;
	uint32_t end = end_of(first, max, *total);
	for (uint32_t i = first; i < end; i++) {
		out[i - first] = (struct perron_snapshot_peer){
		    .id = i + 1,
		    .incarnation = 7,
		    .state = i ? "binding" : "joined",
		    .joined = i == 0,
		    .coordinator = i == 0,
		    .core = 1,
		    .view = 3,
		    .member_count = 2,
		    .join_count = 1,
		    .joined_after_ns = i ? PERRON_SNAPSHOT_NEVER : 120000000,
		    .state_age_ns = 5000000000,
		    .verdict_count = i ? 1 : 0,
		    .verdicts = {fake_verdict},
		};
		if (!i)
			snprintf(out[0].position, sizeof(out[0].position), "0#0");
	}
	return end - first;
}

static uint32_t links(void *context, uint32_t first, uint32_t max, struct perron_snapshot_link *out,
		      uint32_t *total)
{
	(void)context;
	*total = fake_peer_count;
	uint32_t end = end_of(first, max, *total);
	for (uint32_t i = first; i < end; i++) {
		out[i - first] = (struct perron_snapshot_link){
		    .peer = i + 1,
		    .neighbour = 100 + i,
		    .neighbour_incarnation = 2,
		    .endpoint = {0x0a000002, 7400},
		    .role = "child",
		    .state = i ? "suspected" : "alive",
		    .last_heard_ns = 12000000,
		    .expected_ns = 250000000,
		    .own_gap_ns_max = 90000,
		    .round_trip_ns = 41000,
		    .sent = 1000,
		    .received = 990,
		    .lost = 3,
		    .verdicts = i ? 1 : 0,
		    .spared = 2,
		    .detector = "accrual",
		    .interval_ns = 50000000,
		    .timeout_ns_min = 125000000,
		    .timeout_ns_max = 250000000,
		    .suspicion = 4,
		    .verdict = fake_verdict,
		};
	}
	return end - first;
}

static uint32_t streams(void *context, uint32_t first, uint32_t max,
			struct perron_snapshot_stream *out, uint32_t *total)
{
	static uint64_t looks;

	(void)context;
	*total = 1;
	if (first || !max)
		return 0;
	*out = (struct perron_snapshot_stream){.peer = 1,
					       .stream = 0x1234,
					       .sensor = "gps/roof",
					       .class = PERRON_CLASS_ALARM,
					       .role = "relay",
					       .upstream = 100,
					       .branch_count = 2,
					       .client_count = 1,
					       .latency_max_us = 20000,
					       .sequence_last = 500,
					       .acknowledged = 498,
					       .frames = 500 + grown(&looks),
					       .bytes = 209000,
					       .retries = 4,
					       .late = 1};
	return 1;
}

static uint32_t sensors(void *context, uint32_t first, uint32_t max,
			struct perron_snapshot_sensor *out, uint32_t *total)
{
	static const struct perron_snapshot_sensor rows[] = {
	    {.name = "gps/roof",
	     .driver = "serial",
	     .peer = 1,
	     .class = PERRON_CLASS_ALARM,
	     .state = "open",
	     .reading = "41.1490000 N 8.6100000 W, 36.0 km/h",
	     .messages = 500,
	     .bytes = 41000,
	     .bad = 2,
	     .last_message_ns = 900000000},
	    {.name = "track",
	     .driver = "track",
	     .peer = 1,
	     .class = PERRON_CLASS_CRITICAL,
	     .state = "waiting",
	     .why = "bad \xff byte",
	     .last_message_ns = PERRON_SNAPSHOT_NEVER},
	};
	static uint64_t looks;

	(void)context;
	*total = 2;
	uint32_t end = end_of(first, max, *total);
	if (end > first)
		memcpy(out, rows + first, (end - first) * sizeof(*out));
	if (end == *total && end > first)
		out[end - first - 1].messages += grown(&looks);
	return end - first;
}

static uint32_t cores(void *context, uint32_t first, uint32_t max, struct perron_snapshot_core *out,
		      uint32_t *total)
{
	static uint64_t looks;

	(void)context;
	*total = 1;
	if (first || !max)
		return 0;
	*out = (struct perron_snapshot_core){.core = 1,
					     .role = "worker",
					     .idle = "backoff",
					     .peer_count = 2,
					     .stalled = true,
					     .stalls = 2,
					     .turns = 123456,
					     .turns_over = 7,
					     .turn_threshold_ns = 100000,
					     .turn_ns_max = 182000,
					     .gap_ns_max = 3000000,
					     .busy_ppm = 123000,
					     .frames_received = 5000 + grown(&looks),
					     .frames_sent = 6000,
					     .cycles_per_frame = 812};
	return 1;
}

static uint32_t drops(void *context, uint32_t first, uint32_t max, struct perron_snapshot_drop *out,
		      uint32_t *total)
{
	static const struct perron_snapshot_drop rows[] = {
	    {.cause = PERRON_DROP_HEADER_CHECK, .count = 3},
	    {.cause = PERRON_DROP_DEADLINE, .peer = 1, .stream = 0x1234, .count = 1},
	};
	static uint64_t looks;

	(void)context;
	*total = 2;
	uint32_t end = end_of(first, max, *total);
	if (end > first)
		memcpy(out, rows + first, (end - first) * sizeof(*out));
	if (end == *total && end > first)
		out[end - first - 1].count += grown(&looks);
	return end - first;
}

static uint32_t tree(void *context, uint32_t first, uint32_t max, struct perron_snapshot_node *out,
		     uint32_t *total)
{
	static const struct perron_snapshot_node rows[] = {
	    {1, "0#0", 0x0a000001, 0, true, true, true, 0},
	    {2, "0#1", 0x0a000002, 0, false, false, true, 0},
	    {11, "0.1#0", 0x0a00000b, 1, true, false, true, 2},
	    {10, "0.0#0", 0x0a00000a, 2, true, false, true, 1},
	    {12, "0.0.1#0", 0x0a00000c, 10, true, false, false, 3},
	    {13, "", 0x0a00000d, 0, false, false, true, 0},
	};

	(void)context;
	*total = 6;
	uint32_t end = end_of(first, max, *total);
	if (end > first)
		memcpy(out, rows + first, (end - first) * sizeof(*out));
	return end - first;
}

#define VIEW_OF_TWO                                                                             \
	{                                                                                       \
		.cell = "0", .number = 7, .leader = 2, .leader_incarnation = 9, .member_count = 2, \
		.members = {{1, 7, 0, 1}, {2, 9, 3, 2}}                                         \
	}

static uint32_t group(void *context, uint32_t first, uint32_t max,
		      struct perron_snapshot_group *out, uint32_t *total)
{
	static const struct perron_snapshot_group rows[] = {
	    {.peer = 1,
	     .state = "operational",
	     .view = VIEW_OF_TWO,
	     .view_at_ns = 1000000000,
	     .pending = 1,
	     .unstable = 2,
	     .views = 3,
	     .attempts = 4,
	     .shunned = 5,
	     .sent = 6,
	     .delivered = 7,
	     .packets = 8,
	     .retransmitted = 9,
	     .discarded = 10,
	     .would_block = 11},
	    {.peer = 2, .state = "operational", .view = VIEW_OF_TWO, .view_at_ns = 1000100000},
	    {.peer = 3,
	     .state = "gather",
	     .view = {.cell = "0.1",
		      .number = 1,
		      .leader = 3,
		      .leader_incarnation = 4,
		      .member_count = 1,
		      .members = {{3, 4, 0, 1}}},
	     .view_at_ns = 1},
	    {.peer = 4, .state = "none"},
	};

	(void)context;
	*total = 4;
	uint32_t end = end_of(first, max, *total);
	if (end > first)
		memcpy(out, rows + first, (end - first) * sizeof(*out));
	return end - first;
}

static uint32_t history(void *context, uint32_t first, uint32_t max,
			struct perron_snapshot_history *out, uint32_t *total)
{
	static const struct perron_snapshot_history rows[] = {
	    {.kind = "link-down",
	     .peer = 1,
	     .at_ns = 900000000,
	     .heard_ns = 900000000,
	     .view = VIEW_OF_TWO,
	     .neighbour = 2,
	     .member = true,
	     .cause = "silence",
	     .silence_ns = 251000000,
	     .expected_ns = 250000000,
	     .own_gap_ns = 80000},
	    {.kind = "transitional",
	     .peer = 1,
	     .at_ns = 999000000,
	     .heard_ns = 999100000,
	     .view = VIEW_OF_TWO},
	    {.kind = "view",
	     .peer = 1,
	     .at_ns = 1000000000,
	     .heard_ns = 1000200000,
	     .view = VIEW_OF_TWO},
	    {.kind = "link-down",
	     .peer = 1,
	     .at_ns = 2000000000,
	     .heard_ns = 2000000000,
	     .neighbour = 101,
	     .one_way = true,
	     .cause = "one-way",
	     .silence_ns = 251000000,
	     .expected_ns = 250000000,
	     .own_gap_ns = 80000},
	};

	(void)context;
	*total = 4;
	uint32_t end = end_of(first, max, *total);
	if (end > first)
		memcpy(out, rows + first, (end - first) * sizeof(*out));
	return end - first;
}

const struct perron_snapshot_source fake_source = {
    .station = station,
    .peers = peers,
    .links = links,
    .streams = streams,
    .sensors = sensors,
    .cores = cores,
    .drops = drops,
    .tree = tree,
    .group = group,
    .history = history,
};
