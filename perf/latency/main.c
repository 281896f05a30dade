/*
 * perron-latency's life: see latency.h, options.c for its command line, and perf/bench, which
 * starts it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/station/station.h"
#include "perf/latency/latency.h"

/* Joining and the paths' set-up take less, or will not be. */
#define FLOW_NS UINT64_C(30000000000)
/* Rows of cores that are asked for; a station of these measurements has a worker or two. */
#define CORE_MAX 8u
#define SETTLE_S 0.05
/* How often a station with an account looks at what went through. */
#define LOOK_NS UINT64_C(100000000)

static volatile sig_atomic_t stop;
static struct perron_descriptor descriptor;
static struct latency_sink sink;
/* When what happened, CLOCK_MONOTONIC, and how long the lcores had worked until then. */
static struct latency_mark marks[LATENCY_MARK_COUNT];
static struct latency_options options;

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	dprintf(STDERR_FILENO, "assertion failed: %s (%s:%d)\n", condition, file, line);
	perron_station_dump(STDERR_FILENO);
	abort();
}

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

/* Turns housekeeping, until we are told to stop or `is_over` of the sink (NULL: never). */
static void turn_for(struct perron_station *s, double seconds,
		     bool (*is_over)(const struct latency_sink *s))
{
	uint64_t until_ns = perron_clock_now_ns() + (uint64_t)(seconds * 1e9);
	uint64_t look_ns = 0;

	while (!stop && perron_clock_now_ns() < until_ns && !(is_over && is_over(&sink))) {
		perron_station_turn(s);
		if (!options.account || perron_clock_now_ns() < look_ns)
			continue;
		latency_account_look(perron_station_snapshot(s));
		look_ns = perron_clock_now_ns() + LOOK_NS;
	}
}

static uint32_t flowing(const struct perron_station *s)
{
	struct perron_subscription_info info;
	uint32_t count = 0;

	for (uint32_t i = 0; i < sink.stream_count; i++) {
		perron_station_subscription(s, 0, i, &info);
		count += info.delivered > 0;
	}
	return count;
}

static uint64_t busy_ns(const struct perron_station *s)
{
	const struct perron_snapshot_source *source = perron_station_snapshot(s);
	struct perron_snapshot_core rows[CORE_MAX];
	uint32_t total, count = source->cores(source->context, 0, CORE_MAX, rows, &total);
	uint64_t sum_ns = 0;

	for (uint32_t i = 0; i < count; i++)
		sum_ns += rows[i].busy_ns;
	return sum_ns;
}

static void mark(const struct perron_station *s, enum latency_mark_kind kind)
{
	marks[kind] = (struct latency_mark){.at_ns = latency_clock_ns(), .busy_ns = busy_ns(s)};
}

static const char *flow_wait(struct perron_station *s)
{
	uint64_t until_ns = perron_clock_now_ns() + FLOW_NS;

	while (!stop && !perron_station_is_joined(s) && perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
	if (!perron_station_is_joined(s))
		return "the peers did not join";
	/* A sensor that is not known yet would be refused for good. */
	mark(s, LATENCY_MARK_IDLE);
	turn_for(s, options.rest_s, NULL);
	mark(s, LATENCY_MARK_ASKED);
	for (uint32_t i = 0; i < sink.stream_count; i++) {
		const struct latency_stream *stream = &sink.streams[i];
		if (perron_station_subscribe(s, 0, stream->name, (enum perron_class)stream->class,
					     0, &stream->qos) < 0)
			return "the client could not subscribe";
	}
	while (!stop && flowing(s) < sink.stream_count && perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
	return flowing(s) == sink.stream_count ? NULL : "a stream does not flow";
}

static void cores_print(const struct perron_station *s)
{
	const struct perron_snapshot_source *source = perron_station_snapshot(s);
	struct perron_snapshot_core rows[CORE_MAX];
	uint32_t total, count = source->cores(source->context, 0, CORE_MAX, rows, &total);

	printf("\"cores\": [");
	for (uint32_t i = 0; i < count; i++)
		printf("%s\n{\"core\": %u, \"role\": \"%s\", \"idle\": \"%s\", \"turns\": %lu, "
		       "\"turn_ns_max\": %lu, \"gap_ns_max\": %lu, \"busy_ppm\": %u, "
		       "\"cycles_per_frame\": %lu}",
		       i ? "," : "", rows[i].core, rows[i].role, rows[i].idle, rows[i].turns,
		       rows[i].turn_ns_max, rows[i].gap_ns_max, rows[i].busy_ppm,
		       rows[i].cycles_per_frame);
	printf("]");
}

static void drops_print(const struct perron_station *s)
{
	const struct perron_snapshot_source *source = perron_station_snapshot(s);
	struct perron_snapshot_drop rows[64];
	uint32_t total, count = source->drops(source->context, 0, 64, rows, &total);
	const char *separator = "";

	printf("\"drops\": [");
	for (uint32_t i = 0; i < count; i++) {
		if (!rows[i].count)
			continue;
		printf("%s{\"cause\": \"%s\", \"peer\": %u, \"count\": %lu}", separator,
		       perron_drop_name((enum perron_drop)rows[i].cause), rows[i].peer,
		       rows[i].count);
		separator = ", ";
	}
	printf("]");
}

/* What each peer here relayed since boot, and copied to siblings. */
static void peers_print(const struct perron_station *s)
{
	const char *separator = "";

	printf("\"peers\": [");
	for (uint32_t i = 0; i < descriptor.peer_count; i++) {
		struct perron_relay_counters counters;
		if (!perron_station_counters(s, descriptor.peers[i].id, &counters))
			continue;
		printf("%s\n{\"peer\": %u, \"received\": %lu, \"forwarded\": %lu, ", separator,
		       descriptor.peers[i].id, counters.received, counters.forwarded);
		printf("\"retried\": %lu, \"replicated\": %lu, \"served\": %lu, "
		       "\"adopted\": %lu}",
		       counters.retried, counters.replicated, counters.served,
		       counters.adopted);
		separator = ",";
	}
	printf("]");
}

static void marks_print(void)
{
	static const char *const names[] = {
#define X(name, text) [LATENCY_MARK_##name] = text,
		LATENCY_MARKS(X)
#undef X
	};

	printf("\"marks\": {");
	for (uint32_t i = 0; i < LATENCY_MARK_COUNT; i++)
		printf("%s\"%s\": {\"at_ns\": %lu, \"busy_ns\": %lu}", i ? ", " : "", names[i],
		       marks[i].at_ns, marks[i].busy_ns);
	printf("}");
}

/* What the station says of itself; without the braces. */
static void station_print(const struct perron_station *s)
{
	const struct perron_snapshot_source *source = perron_station_snapshot(s);
	struct perron_snapshot_station row;

	source->station(source->context, &row);
	printf("\"memory_size\": %lu,\n", row.memory_size);
	cores_print(s);
	printf(",\n");
	drops_print(s);
	printf(",\n");
	peers_print(s);
	if (!options.account)
		return;
	latency_account_look(source);
	printf(",\n");
	latency_account_print(stdout);
}

static void report(const struct perron_station *s)
{
	printf("{\"warm_s\": %g, \"measured_s\": %g,\n", options.warm_s, options.measure_s);
	marks_print();
	printf(",\n\"streams\": [");
	for (uint32_t i = 0; i < sink.stream_count; i++) {
		struct perron_subscription_info info;
		perron_station_subscription(s, 0, i, &info);
		printf("%s\n{\"path_hops\": %u, \"lost\": %lu, \"duplicates\": %lu, ", i ? "," : "",
		       info.hops, info.lost, info.duplicates);
		printf("\"stream_id\": %u, ", info.stream);
		latency_stream_print(&sink.streams[i], stdout);
		printf("}");
	}
	printf("],\n");
	station_print(s);
	printf("}\n");
	fflush(stdout);
}

static int measure(struct perron_station *s)
{
	const char *fault = flow_wait(s);

	if (fault) {
		fprintf(stderr, "perron-latency: %s\n", fault);
		return EXIT_FAILURE;
	}
	turn_for(s, options.warm_s, NULL);
	mark(s, LATENCY_MARK_FROM);
	atomic_store(&sink.measuring, true);
	if (options.account)
		atomic_store(&options.account->from_ns, marks[LATENCY_MARK_FROM].at_ns);
	turn_for(s, options.measure_s, NULL);
	mark(s, LATENCY_MARK_TO);
	if (options.account) {
		latency_sink_cut(&sink, options.account);
		turn_for(s, options.drain_s, latency_sink_is_drained);
	}
	atomic_store(&sink.measuring, false);
	/* What the lcore is just about to record is recorded by then. */
	turn_for(s, SETTLE_S, NULL);
	report(s);
	return EXIT_SUCCESS;
}

/* Of a station that measures nothing, once it is told to stop. */
static int quiet_report(const struct perron_station *s)
{
	printf("{");
	station_print(s);
	printf("}\n");
	return EXIT_SUCCESS;
}

/* Until it is told to stop; what went through is looked at in between. */
static int serve(struct perron_station *s, char *error, size_t error_size)
{
	int ret = 0;

	while (!stop && !ret) {
		uint64_t until_ns = UINT64_MAX;
		if (options.account) {
			latency_account_look(perron_station_snapshot(s));
			until_ns = perron_clock_now_ns() + LOOK_NS;
		}
		ret = perron_station_run(s, &stop, until_ns, error, error_size);
	}
	return ret;
}

static int run(struct perron_station_config *config)
{
	char error[PERRON_DESCRIPTOR_ERROR_SIZE];
	struct perron_station *s = NULL;
	int status = EXIT_FAILURE;
	int ret = perron_descriptor_load(&descriptor, options.config, error, sizeof(error));

	if (!ret)
		ret = perron_station_create(&s, config, error, sizeof(error));
	if (!ret)
		ret = perron_station_start(s, error, sizeof(error));
	if (!ret && sink.stream_count)
		status = measure(s);
	else if (!ret)
		ret = serve(s, error, sizeof(error));
	if (ret)
		fprintf(stderr, "perron-latency: %s\n", error);
	else if (!sink.stream_count)
		status = quiet_report(s);
	if (s)
		perron_station_stop(s);
	perron_station_destroy(s);
	return status;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct perron_station_source sources[LATENCY_SOURCE_MAX];

	latency_options_parse(argc, argv, &options, &sink);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	latency_sink_reset(&sink);
	for (uint32_t i = 0; i < options.source_count; i++)
		sources[i] = (struct perron_station_source){
			.name = options.sources[i].name,
			.peer = options.sources[i].peer,
			.traced = options.sources[i].traced,
			.make = latency_source_make,
			.context = &options.sources[i],
		};
	const struct perron_station_client client = {.id = PERRON_CLIENT_ID | 1,
						     .lcore = -1,
						     .subscription_count_max = LATENCY_STREAM_MAX,
						     .deliver = latency_sink_take,
						     .context = &sink};
	struct perron_station_config config = {.descriptor = &descriptor,
					       .clients = &client,
					       .client_count = sink.stream_count ? 1 : 0,
					       .sources = sources,
					       .source_count = options.source_count,
					       .no_socket = true,
					       .quiet = true};
	return run(&config);
}
