/*
 * The command line:
 *
 *	perron-latency --config FILE [--source NAME,PEER,SIZE,RATE[,traced]]...
 *		[--subscribe NAME,CLASS[,POLICY[,PERIOD_MS]]]...
 *		[--rest SECONDS] [--warm SECONDS] [--seconds SECONDS] [--drain SECONDS]
 *		[--account FILE]
 *
 * POLICY is what the client asks of the stream's replication, in all siblings of each cell on its
 * way: none (unless told), active, or passive with a period.
 *
 * FILE is the run's account (latency.h); with it, messages that were made within the measured time
 * are waited for until it is over by --drain.
 *
 * With --subscribe: once all have joined it lets `rest` seconds pass (as long as `warm`, unless
 * told), asks, waits until every stream flows, lets `warm` seconds pass, measures for `seconds`,
 * prints JSON and ends. Without: runs until it is told to stop (SIGTERM, SIGINT), and
 * prints what the station says of itself.
 * Exit status: 0; 1 it could not start, or a stream did not flow; 2 wrong usage.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "overlay/overlay_ops.h"
#include "perf/latency/latency.h"

#define RATE_MAX 1e6
/* Words of a --subscribe, and one that is too many. */
#define WORD_MAX  5
#define WORD_SIZE 32

static _Noreturn void usage(const char *what, const char *text)
{
	fprintf(stderr, "perron-latency: '%s': %s\n", text, what);
	exit(2);
}

static void source_parse(struct latency_options *options, const char *text)
{
	struct latency_source *s = &options->sources[options->source_count];
	char traced[8] = "";
	double rate = 0;
	int count = options->source_count < LATENCY_SOURCE_MAX
			    ? sscanf(text, "%31[^,],%u,%u,%lf,%7s", s->name, &s->peer, &s->size,
				     &rate, traced)
			    : 0;

	if (count < 4 || s->size < LATENCY_SIZE_MIN || s->size > 65536 || rate <= 0 ||
	    rate > RATE_MAX || (count == 5 && strcmp(traced, "traced") != 0))
		usage("expected NAME,PEER,SIZE,RATE[,traced]", text);
	s->traced = count == 5;
	s->interval_ns = (uint64_t)(1e9 / rate);
	options->source_count++;
}

/* Cuts `text` at its commas. How many words; 0: one of them is too long. */
static uint32_t words_cut(const char *text, char words[WORD_MAX][WORD_SIZE])
{
	uint32_t count = 0;

	while (count < WORD_MAX) {
		size_t size = strcspn(text, ",");
		if (size >= WORD_SIZE)
			return 0;
		memcpy(words[count], text, size);
		words[count++][size] = '\0';
		if (!text[size])
			break;
		text += size + 1;
	}
	return count;
}

/* NULL, or what is wrong. */
static const char *qos_parse(struct perron_qos *qos, const char *policy, const char *period)
{
	int replication = perron_replication_from_name(policy);
	char *end = NULL;
	double period_us = period ? strtod(period, &end) * 1000 : 0;

	if (replication < 0)
		return "expected a policy of none, passive, active";
	if (replication == PERRON_REPLICATION_PASSIVE && !period)
		return "passive needs a period: NAME,CLASS,passive,PERIOD_MS";
	if (replication != PERRON_REPLICATION_PASSIVE && period)
		return "only passive has a period";
	if (period && (end == period || *end || !(period_us >= PERRON_REPLICATION_PERIOD_US_MIN &&
						  period_us <= PERRON_REPLICATION_PERIOD_US_MAX)))
		return "expected a period of 1 to 60000 ms";
	qos->replication = (uint8_t)replication;
	qos->period_us = (uint32_t)(period_us + 0.5);
	return perron_qos_is_valid(qos) ? NULL : "no client may ask for this";
}

static void subscribe_parse(struct latency_sink *sink, const char *text)
{
	char words[WORD_MAX][WORD_SIZE];
	uint32_t count = words_cut(text, words);

	if (sink->stream_count == LATENCY_STREAM_MAX)
		usage("too many streams", text);
	if (count < 2 || count == WORD_MAX || !perron_sensor_name_is_valid(words[0]))
		usage("expected NAME,CLASS[,POLICY[,PERIOD_MS]]", text);

	struct latency_stream *s = &sink->streams[sink->stream_count++];
	int class = perron_class_from_name(words[1]);
	if (class < 0 || class > PERRON_CLASS_NORMAL)
		usage("expected a class of alarm, critical, normal", text);
	s->class = (uint8_t)class;
	snprintf(s->name, sizeof(s->name), "%s", words[0]);
	const char *wrong =
		count > 2 ? qos_parse(&s->qos, words[2], count > 3 ? words[3] : NULL) : NULL;
	if (wrong)
		usage(wrong, text);
}

static struct latency_account *account_parse(const char *path)
{
	struct latency_account *account = latency_account_open(path);

	if (!account)
		usage("no account", path);
	return account;
}

/* The sources go on from where the account left them. */
static void sources_account(struct latency_options *options)
{
	for (uint32_t i = 0; options->account && i < options->source_count; i++) {
		struct latency_source *s = &options->sources[i];
		s->account = latency_account_made(options->account, s->name);
		if (!s->account)
			usage("the account has no row of it", s->name);
		s->made = atomic_load(s->account);
	}
}

static double seconds_parse(const char *text)
{
	double seconds = strtod(text, NULL);

	if (!(seconds > 0 && seconds < 100000))
		usage("expected seconds", text);
	return seconds;
}

void latency_options_parse(int argc, char **argv, struct latency_options *options,
			   struct latency_sink *sink)
{
	static const struct option table[] = {
		{"config", required_argument, NULL, 'c'}, {"source", required_argument, NULL, 's'},
		{"subscribe", required_argument, NULL, 'b'}, {"warm", required_argument, NULL, 'w'},
		{"seconds", required_argument, NULL, 'n'}, {"drain", required_argument, NULL, 'd'},
		{"account", required_argument, NULL, 'a'}, {"rest", required_argument, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	int option;

	options->warm_s = 1;
	options->measure_s = 5;
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1)
		switch (option) {
		case 'c':
			options->config = optarg;
			break;
		case 's':
			source_parse(options, optarg);
			break;
		case 'b':
			subscribe_parse(sink, optarg);
			break;
		case 'w':
			options->warm_s = seconds_parse(optarg);
			break;
		case 'n':
			options->measure_s = seconds_parse(optarg);
			break;
		case 'r':
			options->rest_s = seconds_parse(optarg);
			break;
		case 'd':
			options->drain_s = seconds_parse(optarg);
			break;
		case 'a':
			options->account = account_parse(optarg);
			break;
		default:
			exit(2);
		}
	if (!options->config || optind < argc)
		usage("expected --config FILE and options", argv[0]);
	if (options->rest_s <= 0)
		options->rest_s = options->warm_s;
	if (options->drain_s > 0 && !options->account)
		usage("is for --account", "--drain");
	sources_account(options);
}
