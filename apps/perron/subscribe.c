/* perron subscribe: a sensor's stream, through libperron, over the kernel's UDP. */
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/libperron/perron.h"
#include "apps/perron/cli.h"
#include "platform/option.h"

/* How long a call waits: after it, --seconds and signals are looked at. */
#define WAIT_MS 200

enum output { OUTPUT_TEXT, OUTPUT_HEX, OUTPUT_RAW, OUTPUT_NONE };

struct wish {
	const char *sensor;
	const char *portal;
	int64_t traffic; /* enum perron_traffic */
	int64_t latency_max_ns;
	int64_t replication; /* enum perron_replicate */
	int64_t replicas;    /* 0: all siblings */
	int64_t period_ns;   /* passive */
	int64_t overlay;
	int64_t count;	 /* 0: no end */
	int64_t seconds; /* 0: no end */
	int64_t output;	 /* enum output */
	bool json;
};

enum key {
	KEY_CLASS,
	KEY_LATENCY,
	KEY_REPLICATION,
	KEY_REPLICAS,
	KEY_PERIOD,
	KEY_OVERLAY,
	KEY_COUNT,
	KEY_SECONDS,
	KEY_OUTPUT,
	KEY_COUNT_MAX
};

#define PERIOD_NS_DEFAULT 100000000

/* How each option's text is read; the index is enum key. */
static const struct perron_option kinds[] = {
    [KEY_CLASS] = {"class", PERRON_OPTION_CHOICE, "normal", "", "alarm|critical|normal"},
    [KEY_LATENCY] = {"latency-max", PERRON_OPTION_DURATION, "0ns", "", NULL, 1000, 4294967295000},
    [KEY_REPLICATION] = {"replication", PERRON_OPTION_CHOICE, "none", "", "none|passive|active"},
    [KEY_REPLICAS] = {"replicas", PERRON_OPTION_INTEGER, "0", "", NULL, 0, 15},
    [KEY_PERIOD] = {"period", PERRON_OPTION_DURATION, "100ms", "", NULL, 1000000, 60000000000},
    [KEY_OVERLAY] = {"overlay", PERRON_OPTION_INTEGER, "1", "", NULL, 1, UINT32_MAX},
    [KEY_COUNT] = {"count", PERRON_OPTION_INTEGER, "0", "", NULL, 1, INT64_MAX},
    [KEY_SECONDS] = {"seconds", PERRON_OPTION_INTEGER, "0", "", NULL, 1, 1000000000},
    [KEY_OUTPUT] = {"output", PERRON_OPTION_CHOICE, "text", "", "text|hex|raw|none"},
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static void print_help(void)
{
	printf("usage: perron subscribe SENSOR [--portal ADDRESS[:PORT][,...]] [OPTIONS]\n\n"
	       "a sensor's stream, on any host that reaches a station of the root cell\n\n"
	       "  --portal LIST      stations of the root cell; port 7400 if none is given;\n"
	       "                     without this, what PERRON_PORTAL holds\n"
	       "  --class CLASS      alarm, critical or normal (default)\n"
	       "  --latency-max D    latency bound, such as 20ms; none by default\n"
	       "  --replication P    none (default), passive or active: what siblings of the\n"
	       "                     stations on the way hold until it is acknowledged\n"
	       "  --replicas N       so many siblings in each cell; 0 (default): all\n"
	       "  --period D         passive: between two copies, 100ms by default\n"
	       "  --overlay ID       1 by default\n"
	       "  --count N          ends after N messages\n"
	       "  --seconds N        ends after N seconds\n"
	       "  --output FORM      text (default), hex, raw or none\n"
	       "  --json             a line of JSON a message, and one at the end\n");
}

static int read_option(enum key key, const char *text, int64_t *out)
{
	char expected[PERRON_OPTION_ERROR_SIZE];

	if (!perron_option_parse(&kinds[key], text, out, expected, sizeof(expected)))
		return CLI_OK;
	fprintf(stderr, "perron: --%s is '%s'; expected %s\n", kinds[key].name, text, expected);
	return CLI_USAGE;
}

/* CLI_OK, or what to exit with; *help: it was asked for. */
static int parse_wish(const struct cli *cli, struct wish *wish, bool *help)
{
	static const struct option options[] = {
	    {"class", required_argument, NULL, KEY_CLASS},
	    {"latency-max", required_argument, NULL, KEY_LATENCY},
	    {"replication", required_argument, NULL, KEY_REPLICATION},
	    {"replicas", required_argument, NULL, KEY_REPLICAS},
	    {"period", required_argument, NULL, KEY_PERIOD},
	    {"overlay", required_argument, NULL, KEY_OVERLAY},
	    {"count", required_argument, NULL, KEY_COUNT},
	    {"seconds", required_argument, NULL, KEY_SECONDS},
	    {"output", required_argument, NULL, KEY_OUTPUT},
	    {"portal", required_argument, NULL, 'p'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int64_t *const fields[KEY_COUNT_MAX] = {
	    [KEY_CLASS] = &wish->traffic,	    [KEY_LATENCY] = &wish->latency_max_ns,
	    [KEY_REPLICATION] = &wish->replication, [KEY_REPLICAS] = &wish->replicas,
	    [KEY_PERIOD] = &wish->period_ns,	    [KEY_OVERLAY] = &wish->overlay,
	    [KEY_COUNT] = &wish->count,		    [KEY_SECONDS] = &wish->seconds,
	    [KEY_OUTPUT] = &wish->output,
	};
	int option, rc = CLI_OK;

	while (!rc && (option = getopt_long(cli->argument_count, cli->arguments, "jh", options,
					    NULL)) != -1) {
		if (option == 'h')
			*help = true;
		else if (option == 'j')
			wish->json = true;
		else if (option == 'p')
			wish->portal = optarg;
		else if (option == '?')
			rc = CLI_USAGE; /* getopt has said why */
		else
			rc = read_option((enum key)option, optarg, fields[option]);
	}
	if (rc || *help)
		return rc;
	if (!wish->portal)
		wish->portal = getenv("PERRON_PORTAL");
	if (cli->argument_count - optind != 1 || !wish->portal) {
		fprintf(stderr, "perron: expected: perron subscribe SENSOR --portal ADDRESS, the "
				"address of a station of the root cell\n");
		return CLI_USAGE;
	}
	wish->sensor = cli->arguments[optind];
	return CLI_OK;
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void print_bytes(const struct perron_message *message, bool hex)
{
	for (uint32_t i = 0; i < message->size; i++) {
		if (hex)
			printf("%02x", message->data[i]);
		else
			putchar(isprint(message->data[i]) ? message->data[i] : '.');
	}
}

/* The frame's text by `output` too: hex unless text was asked for. */
static void print_json(const struct wish *wish, const struct perron_message *message)
{
	printf("{\"sensor\":\"%s\",\"sequence\":%" PRIu64 ",\"size\":%u,\"origin_ns\":%" PRIu64
	       ",\"latency_ns\":%" PRId64 ",\"lost_before\":%" PRIu64 ",\"late\":%s,\"hops\":%u",
	       message->sensor, message->sequence, message->size, message->origin_ns,
	       message->latency_ns, message->lost_before, message->late ? "true" : "false",
	       message->trace_count);
	if (wish->output != OUTPUT_NONE) {
		printf(",\"hex\":\"");
		print_bytes(message, true);
		printf("\"");
	}
	printf("}\n");
}

static void print_message(const struct wish *wish, const struct perron_message *message)
{
	if (wish->json) {
		print_json(wish, message);
	} else if (wish->output == OUTPUT_RAW) {
		fwrite(message->data, 1, message->size, stdout);
	} else if (wish->output != OUTPUT_NONE) {
		printf("%" PRIu64 "  %.1f us  %u B%s%s  ", message->sequence,
		       (double)message->latency_ns / 1e3, message->size,
		       message->late ? "  late" : "", message->lost_before ? "  after a loss" : "");
		print_bytes(message, wish->output == OUTPUT_HEX);
		printf("\n");
	}
	if (fflush(stdout))
		ended = 1;
}

static void print_summary(const struct wish *wish, const struct perron *client, int subscription)
{
	struct perron_subscription s;

	if (perron_subscription_read(client, subscription, &s))
		return;
	if (wish->json)
		printf("{\"summary\":{\"messages\":%" PRIu64 ",\"frames\":%" PRIu64
		       ",\"frames_lost\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"late\":%" PRIu64
		       ",\"hops\":%u,\"moved\":%" PRIu64 "}}\n",
		       s.messages, s.frames, s.frames_lost, s.duplicates, s.late, s.hops, s.moved);
	else
		fprintf(stderr,
			"%" PRIu64 " messages, %" PRIu64 " frames: %" PRIu64 " lost, %" PRIu64
			" late, %" PRIu64 " duplicates dropped; %u hops\n",
			s.messages, s.frames, s.frames_lost, s.late, s.duplicates, s.hops);
}

/* Until something ends it; CLI_OK, or CLI_FAILED with the reason said. */
static int follow(const struct wish *wish, struct perron *client)
{
	uint64_t end_ns =
	    wish->seconds ? clock_ns() + (uint64_t)wish->seconds * 1000000000u : UINT64_MAX;
	struct perron_message message;
	int64_t seen = 0;

	while (!ended && clock_ns() < end_ns) {
		int rc = perron_receive(client, WAIT_MS, &message);
		if (rc < 0 && !ended) {
			fprintf(stderr, "perron: %s\n", perron_error(client));
			return CLI_FAILED;
		}
		if (rc <= 0)
			continue;
		print_message(wish, &message);
		if (++seen == wish->count)
			break;
	}
	return CLI_OK;
}

static int run(const struct wish *wish)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct perron_options options;
	char error[PERRON_ERROR_SIZE];

	perron_options_default(&options);
	options.overlay = (uint32_t)wish->overlay;
	struct perron *client = perron_open(wish->portal, &options, error, sizeof(error));
	if (!client) {
		fprintf(stderr, "perron: %s\n", error);
		return CLI_FAILED;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);
	bool passive = wish->replication == PERRON_REPLICATE_PASSIVELY;
	/* Anything above 0 is a bound; round up, lest 1.5us become less than was asked. */
	int subscription = perron_subscribe_replicated(
	    client, wish->sensor, (enum perron_traffic)wish->traffic,
	    (uint32_t)((wish->latency_max_ns + 999) / 1000),
	    (enum perron_replicate)wish->replication, (uint32_t)wish->replicas,
	    passive ? (uint32_t)(wish->period_ns / 1000) : 0);
	int code = CLI_FAILED;
	if (subscription < 0)
		fprintf(stderr, "perron: %s\n", perron_error(client));
	else
		code = follow(wish, client);
	if (subscription >= 0 && code == CLI_OK)
		print_summary(wish, client, subscription);
	perron_close(client);
	return code;
}

int cli_subscribe(const struct cli *cli)
{
	struct wish wish = {
	    .overlay = 1, .traffic = PERRON_TRAFFIC_NORMAL, .period_ns = PERIOD_NS_DEFAULT};
	bool help = false;
	int rc = parse_wish(cli, &wish, &help);

	if (rc)
		return rc;
	if (help) {
		print_help();
		return CLI_OK;
	}
	return run(&wish);
}
