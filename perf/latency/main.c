/*
 * perron-latency: see latency.h, and perf/bench, which starts it.
 *
 *	perron-latency --config FILE [--source NAME,PEER,SIZE,RATE[,traced]]...
 *		[--subscribe NAME,CLASS]... [--warm SECONDS] [--seconds SECONDS]
 *
 * With --subscribe: waits until every stream flows, lets `warm` seconds pass, measures for
 * `seconds`, prints JSON and ends. Without: runs until it is told to stop (SIGTERM, SIGINT).
 * Exit status: 0; 1 it could not start, or a stream did not flow; 2 wrong usage.
 */
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/station/station.h"
#include "perf/latency/latency.h"

/* Joining and the paths' set-up take less, or will not be. */
#define FLOW_NS UINT64_C(30000000000)
/* What is attached has to be known at the root before it is asked for. */
#define RATE_MAX 1e6

struct options {
	const char *config;
	uint32_t source_count;
	struct latency_source sources[LATENCY_SOURCE_MAX];
	double warm_s;
	double measure_s;
};

static volatile sig_atomic_t stop;
static struct perron_descriptor descriptor;
static struct latency_sink sink;
static struct options options = {.warm_s = 1, .measure_s = 5};

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

static _Noreturn void usage(const char *what, const char *text)
{
	fprintf(stderr, "perron-latency: '%s': %s\n", text, what);
	exit(2);
}

static void source_parse(const char *text)
{
	struct latency_source *s = &options.sources[options.source_count];
	char traced[8] = "";
	double rate = 0;
	int count = options.source_count < LATENCY_SOURCE_MAX
			    ? sscanf(text, "%31[^,],%u,%u,%lf,%7s", s->name, &s->peer, &s->size,
				     &rate, traced)
			    : 0;

	if (count < 4 || s->size < LATENCY_SIZE_MIN || s->size > 65536 || rate <= 0 ||
	    rate > RATE_MAX || (count == 5 && strcmp(traced, "traced") != 0))
		usage("expected NAME,PEER,SIZE,RATE[,traced]", text);
	s->traced = count == 5;
	s->interval_ns = (uint64_t)(1e9 / rate);
	options.source_count++;
}

static void subscribe_parse(const char *text)
{
	struct latency_stream *s = &sink.streams[sink.stream_count];
	char class_name[16] = "";
	int class = -1;

	if (sink.stream_count < LATENCY_STREAM_MAX &&
	    sscanf(text, "%31[^,],%15s", s->name, class_name) == 2)
		class = perron_class_from_name(class_name);
	if (class < 0 || class > PERRON_CLASS_NORMAL)
		usage("expected NAME,CLASS", text);
	s->class = (uint8_t)class;
	sink.stream_count++;
}

static double seconds_parse(const char *text)
{
	double seconds = strtod(text, NULL);

	if (!(seconds > 0 && seconds < 100000))
		usage("expected seconds", text);
	return seconds;
}

static void options_parse(int argc, char **argv)
{
	static const struct option table[] = {
		{"config", required_argument, NULL, 'c'}, {"source", required_argument, NULL, 's'},
		{"subscribe", required_argument, NULL, 'b'}, {"warm", required_argument, NULL, 'w'},
		{"seconds", required_argument, NULL, 'n'}, {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1)
		switch (option) {
		case 'c':
			options.config = optarg;
			break;
		case 's':
			source_parse(optarg);
			break;
		case 'b':
			subscribe_parse(optarg);
			break;
		case 'w':
			options.warm_s = seconds_parse(optarg);
			break;
		case 'n':
			options.measure_s = seconds_parse(optarg);
			break;
		default:
			exit(2);
		}
	if (!options.config || optind < argc)
		usage("expected --config FILE and options", argv[0]);
}

static uint64_t seconds_ns(double seconds)
{
	return (uint64_t)(seconds * 1e9);
}

/* Turns housekeeping; false if we are told to stop. */
static bool turn_for(struct perron_station *s, uint64_t length_ns)
{
	uint64_t until_ns = perron_clock_now_ns() + length_ns;

	while (!stop && perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
	return !stop;
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

static const char *flow_wait(struct perron_station *s)
{
	uint64_t until_ns = perron_clock_now_ns() + FLOW_NS;

	while (!stop && !perron_station_is_joined(s) && perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
	if (!perron_station_is_joined(s))
		return "the peers did not join";
	/* A sensor that is not known yet would be refused for good. */
	(void)turn_for(s, seconds_ns(options.warm_s));
	for (uint32_t i = 0; i < sink.stream_count; i++)
		if (perron_station_subscribe(s, 0, sink.streams[i].name,
					     (enum perron_class)sink.streams[i].class, 0) < 0)
			return "the client could not subscribe";
	while (!stop && flowing(s) < sink.stream_count && perron_clock_now_ns() < until_ns)
		perron_station_turn(s);
	return flowing(s) == sink.stream_count ? NULL : "a stream does not flow";
}

static void cores_print(const struct perron_station *s)
{
	const struct perron_snapshot_source *source = perron_station_snapshot(s);
	struct perron_snapshot_core rows[8];
	uint32_t total, count = source->cores(source->context, 0, 8, rows, &total);

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

static void report(const struct perron_station *s)
{
	printf("{\"warm_s\": %g, \"measured_s\": %g, \"streams\": [", options.warm_s,
	       options.measure_s);
	for (uint32_t i = 0; i < sink.stream_count; i++) {
		struct perron_subscription_info info;
		perron_station_subscription(s, 0, i, &info);
		printf("%s\n{\"path_hops\": %u, \"lost\": %lu, \"duplicates\": %lu, ", i ? "," : "",
		       info.hops, info.lost, info.duplicates);
		latency_stream_print(&sink.streams[i], stdout);
		printf("}");
	}
	printf("],\n");
	cores_print(s);
	printf(",\n");
	drops_print(s);
	printf("}\n");
}

static int measure(struct perron_station *s)
{
	const char *fault = flow_wait(s);

	if (fault) {
		fprintf(stderr, "perron-latency: %s\n", fault);
		return EXIT_FAILURE;
	}
	(void)turn_for(s, seconds_ns(options.warm_s));
	atomic_store(&sink.measuring, true);
	(void)turn_for(s, seconds_ns(options.measure_s));
	atomic_store(&sink.measuring, false);
	/* What the lcore is just about to record is recorded by then. */
	(void)turn_for(s, 50000000);
	report(s);
	return EXIT_SUCCESS;
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
		ret = perron_station_run(s, &stop, UINT64_MAX, error, sizeof(error));
	if (ret)
		fprintf(stderr, "perron-latency: %s\n", error);
	else if (!sink.stream_count)
		status = EXIT_SUCCESS;
	if (s)
		perron_station_stop(s);
	perron_station_destroy(s);
	return status;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct perron_station_source sources[LATENCY_SOURCE_MAX];

	options_parse(argc, argv);
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
