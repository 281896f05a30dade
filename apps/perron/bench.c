/*
 * perron bench group: has live stations send to each other and says how long it took, how much
 * came. The load itself is in the stations (apps/station/group_load.h); this begins it, waits, and
 * gathers what each peer counted.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/perron/cli.h"
#include "platform/option.h"

#define STATION_MAX 16
#define PEER_MAX    64
/* Before the first message, after the last, and some more (group_load.h). */
#define AROUND_MS 500
#define LOOK_MS	  100
/* A run that is not over by then will never be. */
#define LATE_MS 5000

enum service { SERVICE_FIFO, SERVICE_CAUSAL, SERVICE_AGREED, SERVICE_SAFE, SERVICE_MAX };
static const char *const services[SERVICE_MAX] = {"fifo", "causal", "agreed", "safe"};
static const char *const figures[] = {"p50", "p90", "p99", "p999", "max"};
#define FIGURE_COUNT (sizeof(figures) / sizeof(figures[0]))

enum mode { MODE_LATENCY, MODE_RATE, MODE_SEQUENCER, MODE_TOKEN };
static const char *const modes[] = {"latency", "rate", "sequencer", "token"};

struct station {
	struct cli where;
	struct cli_connection connection;
	json_t *groups; /* its peers' rows */
};

/* A peer that takes part. */
struct part {
	struct station *station;
	const json_t *row;
	json_int_t peer;
	bool sends;
	json_t *result;
};

struct bench {
	int64_t mode; /* enum mode */
	int64_t size;
	int64_t period_ns;
	int64_t seconds;
	const char *senders; /* "3,5", "all"; NULL: the first peer */
	const char *cell;    /* NULL: of the first peer */
	bool service[SERVICE_MAX];
	bool json;
	uint32_t station_count;
	struct station stations[STATION_MAX];
	uint32_t part_count;
	struct part parts[PEER_MAX];
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static void print_help(void)
{
	printf("usage: perron bench group [--socket PATH | --station NAME]... [OPTIONS]\n\n"
	       "measures group communication in a cell of live stations\n\n"
	       "  --socket PATH, --station NAME\n"
	       "                   stations whose peers send or count; several may be named\n"
	       "  --mode MODE      latency (default): a message each period, until it is back;\n"
	       "                   rate: as fast as they are taken; sequencer, token: latency by\n"
	       "                   other orderings, over fifo, for comparison\n"
	       "  --service LIST   of fifo, causal, agreed, safe, one run each; or all; agreed\n"
	       "  --size N         bytes of a message, 24 to 37888; 200\n"
	       "  --period D       1ms; 0: the next when the one before is back\n"
	       "  --seconds N      of sending, 5\n"
	       "  --senders LIST   peers, or all; the first peer of the first station\n"
	       "  --cell CELL      such as 0.1; that of the first peer\n"
	       "  --json           a line of JSON a run\n");
}

/* ---- options ---- */

enum key { KEY_MODE, KEY_SIZE, KEY_PERIOD, KEY_SECONDS, KEY_COUNT };

static const struct perron_option kinds[] = {
    [KEY_MODE] = {"mode", PERRON_OPTION_CHOICE, "latency", "", "latency|rate|sequencer|token"},
    [KEY_SIZE] = {"size", PERRON_OPTION_INTEGER, "200", "", NULL, 24, 37888},
    [KEY_PERIOD] = {"period", PERRON_OPTION_DURATION, "1ms", "", NULL, 0, 60000000000},
    [KEY_SECONDS] = {"seconds", PERRON_OPTION_INTEGER, "5", "", NULL, 1, 3600},
};

static int read_option(enum key key, const char *text, int64_t *out)
{
	char expected[PERRON_OPTION_ERROR_SIZE];

	if (key == KEY_PERIOD && !strcmp(text, "0"))
		text = "0ns";
	if (!perron_option_parse(&kinds[key], text, out, expected, sizeof(expected)))
		return CLI_OK;
	fprintf(stderr, "perron: --%s is '%s'; expected %s\n", kinds[key].name, text, expected);
	return CLI_USAGE;
}

static bool service_choose(struct bench *bench, const char *name, size_t length)
{
	bool all = length == 3 && !strncmp(name, "all", 3), any = all;

	for (uint32_t i = 0; i < SERVICE_MAX; i++) {
		bool is = strlen(services[i]) == length && !strncmp(services[i], name, length);
		bench->service[i] |= all || is;
		any |= is;
	}
	return any;
}

static int read_services(struct bench *bench, const char *text)
{
	for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		if (service_choose(bench, at, strcspn(at, ",")))
			continue;
		fprintf(stderr,
			"perron: --service is '%s'; expected of fifo, causal, agreed and "
			"safe, or all\n",
			text);
		return CLI_USAGE;
	}
	return CLI_OK;
}

static int add_station(struct bench *bench, const char *socket, const char *name)
{
	if (bench->station_count == STATION_MAX) {
		fprintf(stderr, "perron: too many stations; expected at most %d\n", STATION_MAX);
		return CLI_USAGE;
	}
	bench->stations[bench->station_count++].where =
	    (struct cli){.socket = socket, .station = name};
	return CLI_OK;
}

static int take_option(struct bench *bench, int option, const char *text)
{
	int64_t *const fields[KEY_COUNT] = {&bench->mode, &bench->size, &bench->period_ns,
					    &bench->seconds};

	switch (option) {
	case 'j':
		bench->json = true;
		return CLI_OK;
	case 's':
		return add_station(bench, text, NULL);
	case 'n':
		return add_station(bench, NULL, text);
	case 'v':
		return read_services(bench, text);
	case 'p':
		bench->senders = text;
		return CLI_OK;
	case 'c':
		bench->cell = text;
		return CLI_OK;
	case '?':
		return CLI_USAGE; /* getopt has said why */
	default:
		return read_option((enum key)option, text, fields[option]);
	}
}

/* What is emulated stands on fifo alone; without a wish it is agreed. */
static void services_settle(struct bench *bench)
{
	bool emulates = bench->mode >= MODE_SEQUENCER, any = false;

	for (uint32_t i = 0; i < SERVICE_MAX; i++) {
		bench->service[i] &= !emulates;
		any |= bench->service[i];
	}
	if (!any)
		bench->service[emulates ? SERVICE_FIFO : SERVICE_AGREED] = true;
}

/* CLI_OK, or what to exit with; *help: it was asked for. */
static int parse_options(const struct cli *cli, struct bench *bench, bool *help)
{
	static const struct option options[] = {
	    {"mode", required_argument, NULL, KEY_MODE},
	    {"size", required_argument, NULL, KEY_SIZE},
	    {"period", required_argument, NULL, KEY_PERIOD},
	    {"seconds", required_argument, NULL, KEY_SECONDS},
	    {"service", required_argument, NULL, 'v'},
	    {"senders", required_argument, NULL, 'p'},
	    {"cell", required_argument, NULL, 'c'},
	    {"socket", required_argument, NULL, 's'},
	    {"station", required_argument, NULL, 'n'},
	    {"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int option, rc = CLI_OK;

	while (!rc && (option = getopt_long(cli->argument_count, cli->arguments, "jh", options,
					    NULL)) != -1) {
		if (option == 'h')
			*help = true;
		else
			rc = take_option(bench, option, optarg);
	}
	if (rc || *help)
		return rc;
	if (cli->argument_count - optind != 1 || strcmp(cli->arguments[optind], "group")) {
		fprintf(stderr, "perron: expected: perron bench group [OPTIONS]; see perron bench "
				"--help\n");
		return CLI_USAGE;
	}
	services_settle(bench);
	return CLI_OK;
}

/* ---- who takes part ---- */

static int connect_all(struct bench *bench)
{
	if (!bench->station_count)
		bench->station_count = 1; /* the only one here */
	for (uint32_t i = 0; i < bench->station_count; i++) {
		struct station *s = &bench->stations[i];
		int rc = cli_connect(&s->connection, &s->where);
		if (rc)
			return rc;
		s->groups = cli_ask_list(&s->connection, "group");
		if (!s->groups)
			return CLI_FAILED;
	}
	return CLI_OK;
}

static json_int_t integer_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void parts_add(struct bench *bench, struct station *station)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(station->groups, "group"), i, row)
	{
		const char *cell = json_string_value(json_object_get(row, "cell"));
		if (!cell || !json_array_size(json_object_get(row, "members")))
			continue;
		if (!bench->cell)
			bench->cell = cell;
		if (strcmp(cell, bench->cell) || bench->part_count == PEER_MAX)
			continue;
		bench->parts[bench->part_count++] =
		    (struct part){.station = station, .row = row, .peer = integer_of(row, "peer")};
	}
}

/* Whether all who take part are in one view of several members. */
static int parts_check(const struct bench *bench)
{
	static const char *const keys[] = {"view", "leader", "leader_incarnation"};
	const struct part *first = &bench->parts[0];

	if (!bench->part_count) {
		fprintf(stderr,
			"perron: no peer of the stations is in %s%s; see perron group show\n",
			bench->cell ? "a view of cell " : "a view", bench->cell ? bench->cell : "");
		return CLI_FAILED;
	}
	if (json_array_size(json_object_get(first->row, "members")) < 2) {
		fprintf(stderr,
			"perron: peer %" JSON_INTEGER_FORMAT " is alone in its view of cell %s; "
			"expected more members: start their stations\n",
			first->peer, bench->cell);
		return CLI_FAILED;
	}
	for (uint32_t i = 1; i < bench->part_count; i++)
		for (uint32_t k = 0; k < 3; k++) {
			const struct part *part = &bench->parts[i];
			if (integer_of(part->row, keys[k]) == integer_of(first->row, keys[k]))
				continue;
			fprintf(stderr,
				"perron: peers %" JSON_INTEGER_FORMAT " and %" JSON_INTEGER_FORMAT
				" are in different views of cell %s; wait until they agree: perron "
				"group watch\n",
				first->peer, part->peer, bench->cell);
			return CLI_FAILED;
		}
	return CLI_OK;
}

static bool sender_choose(struct bench *bench, json_int_t peer)
{
	for (uint32_t i = 0; i < bench->part_count; i++) {
		if (bench->parts[i].peer != peer)
			continue;
		bench->parts[i].sends = true;
		return true;
	}
	return false;
}

static int senders_choose(struct bench *bench)
{
	const char *at = bench->senders;

	if (!at)
		bench->parts[0].sends = true;
	for (uint32_t i = 0; at && !strcmp(at, "all") && i < bench->part_count; i++)
		bench->parts[i].sends = true;
	if (!at || !strcmp(at, "all"))
		return CLI_OK;
	for (;;) {
		char *end;
		json_int_t peer = strtoll(at, &end, 10);
		if (end == at || (*end && *end != ',')) {
			fprintf(stderr,
				"perron: --senders is '%s'; expected peers such as 1,3, or "
				"all\n",
				bench->senders);
			return CLI_USAGE;
		}
		if (!sender_choose(bench, peer)) {
			fprintf(stderr,
				"perron: peer %" JSON_INTEGER_FORMAT " is not in cell %s at the "
				"stations that were named; name its station, too\n",
				peer, bench->cell);
			return CLI_FAILED;
		}
		if (!*end)
			return CLI_OK;
		at = end + 1;
	}
}

/* ---- a run ---- */

static json_t *request_of(const struct part *part, const char *action)
{
	return json_pack("{s:s,s:I,s:s}", "command", "group-load", "peer", part->peer, "action",
			 action);
}

static int64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Another for each run, of any program. */
static json_int_t run_number(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	uint32_t number = (uint32_t)now.tv_nsec ^ (uint32_t)now.tv_sec << 20 ^ (uint32_t)getpid();

	return number ? number : 1;
}

static int run_start(struct bench *bench, uint32_t service)
{
	json_int_t run = run_number();
	bool led = false;

	for (uint32_t i = 0; i < bench->part_count; i++) {
		struct part *part = &bench->parts[i];
		bool leads = part->sends && !led;
		json_t *request = request_of(part, "start");
		json_t *fields = json_pack(
		    "{s:I,s:s,s:s,s:b,s:b,s:I,s:I,s:I}", "run", run, "mode", modes[bench->mode],
		    "service", services[service], "sends", part->sends, "leads", leads, "size",
		    (json_int_t)bench->size, "period_ns", (json_int_t)bench->period_ns, "length_ns",
		    (json_int_t)bench->seconds * 1000000000);
		json_object_update(request, fields);
		json_decref(fields);
		led |= leads;
		json_t *reply = cli_request(&part->station->connection, request);
		if (!reply)
			return CLI_FAILED;
		json_decref(reply);
	}
	return CLI_OK;
}

static void run_stop(struct bench *bench)
{
	for (uint32_t i = 0; i < bench->part_count; i++)
		json_decref(cli_request(&bench->parts[i].station->connection,
					request_of(&bench->parts[i], "stop")));
}

static void pause_ms(int64_t ms)
{
	const struct timespec length = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&length, NULL);
}

static void progress(const struct bench *bench, uint32_t service, int64_t passed_ms)
{
	bool line = isatty(STDERR_FILENO) != 0;

	if (!line && passed_ms)
		return;
	fprintf(stderr,
		"%sperron: %s of %s, %" PRId64 " bytes, cell %s: %" PRId64 " of %" PRId64 " s%s",
		line ? "\r" : "", modes[bench->mode], services[service], bench->size, bench->cell,
		passed_ms / 1000, bench->seconds,
		line && passed_ms < bench->seconds * 1000 ? "" : "\n");
}

static void run_wait(const struct bench *bench, uint32_t service)
{
	int64_t begun_ms = clock_ms(), length_ms = bench->seconds * 1000;
	int64_t told_ms = -1000;

	for (;;) {
		int64_t passed_ms = clock_ms() - begun_ms;
		if (passed_ms >= told_ms + 1000 && told_ms < length_ms) {
			told_ms = passed_ms - passed_ms % 1000;
			progress(bench, service, told_ms);
		}
		if (ended || passed_ms >= length_ms + AROUND_MS)
			return;
		pause_ms(LOOK_MS);
	}
}

/* Asks a peer until its run is over; NULL: said why. */
static json_t *result_wait(const struct part *part)
{
	int64_t late_ms = clock_ms() + LATE_MS;

	while (clock_ms() < late_ms) {
		json_t *reply = cli_request(&part->station->connection, request_of(part, "read"));
		if (!reply)
			return NULL;
		const char *state = json_string_value(json_object_get(reply, "state"));
		if (state && !strcmp(state, "done")) {
			json_object_del(reply, "ok");
			return reply;
		}
		json_decref(reply);
		pause_ms(LOOK_MS);
	}
	fprintf(stderr,
		"perron: the run at peer %" JSON_INTEGER_FORMAT " does not end; see perron cores\n",
		part->peer);
	return NULL;
}

static int results_take(struct bench *bench)
{
	int code = CLI_OK;

	for (uint32_t i = 0; i < bench->part_count; i++) {
		struct part *part = &bench->parts[i];
		part->result = result_wait(part);
		if (!part->result)
			return CLI_FAILED;
		const char *error = json_string_value(json_object_get(part->result, "error"));
		if (!error)
			continue;
		fprintf(stderr,
			"perron: the run at peer %" JSON_INTEGER_FORMAT " ended early: %s; see "
			"perron group watch\n",
			part->peer, error);
		code = CLI_FAILED;
	}
	return code;
}

/* ---- what came of it ---- */

/* Messages or bytes a second, from the first delivery to the last. */
static double rate_of(const json_t *result, const char *key)
{
	json_int_t length_ns = integer_of(result, "last_ns") - integer_of(result, "first_ns");
	json_int_t messages = integer_of(result, "messages");

	if (length_ns <= 0 || messages < 2)
		return 0;
	/* The first one stands at the beginning of the time. */
	double all = (double)integer_of(result, key) * (double)(messages - 1) / (double)messages;
	return all * 1e9 / (double)length_ns;
}

/* What every peer that counted has come to. */
static double least_rate(const struct bench *bench, const char *key)
{
	double least = rate_of(bench->parts[0].result, key);

	for (uint32_t i = 1; i < bench->part_count; i++) {
		double rate = rate_of(bench->parts[i].result, key);
		least = rate < least ? rate : least;
	}
	return least;
}

static json_int_t sum_of(const struct bench *bench, const char *key)
{
	json_int_t sum = 0;

	for (uint32_t i = 0; i < bench->part_count; i++)
		sum += integer_of(bench->parts[i].result, key);
	return sum;
}

/* Of several senders or receivers each figure is that of the slowest. */
static json_t *slowest(const struct bench *bench, const char *key)
{
	json_t *out = json_object();
	json_int_t count = 0;

	for (size_t k = 0; k < FIGURE_COUNT; k++) {
		json_int_t most = 0;
		for (uint32_t i = 0; i < bench->part_count; i++) {
			const json_t *its = json_object_get(bench->parts[i].result, key);
			json_int_t value = integer_of(its, figures[k]);
			most = value > most ? value : most;
			count += k ? 0 : integer_of(its, "count");
		}
		json_object_set_new(out, figures[k], json_integer(most));
	}
	json_object_set_new(out, "count", json_integer(count));
	return out;
}

static json_t *summary_of(const struct bench *bench, uint32_t service)
{
	const json_t *row = bench->parts[0].row;
	json_t *peers = json_array();
	json_int_t views = 0;

	for (uint32_t i = 0; i < bench->part_count; i++) {
		json_int_t its = integer_of(bench->parts[i].result, "views");
		views = its > views ? its : views;
		json_array_append(peers, bench->parts[i].result);
	}
	return json_pack(
	    "{s:s,s:s,s:I,s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:o,s:o,s:o}", "mode",
	    modes[bench->mode], "service", services[service], "size", (json_int_t)bench->size,
	    "period_ns", (json_int_t)bench->period_ns, "seconds", (json_int_t)bench->seconds,
	    "cell", bench->cell, "view", integer_of(row, "view"), "members",
	    (json_int_t)json_array_size(json_object_get(row, "members")), "views", views, "sent",
	    sum_of(bench, "sent"), "would_block", sum_of(bench, "would_block"), "messages_per_s",
	    least_rate(bench, "messages"), "bytes_per_s", least_rate(bench, "bytes"), "latency_ns",
	    slowest(bench, "latency_ns"), "one_way_ns", slowest(bench, "one_way_ns"), "peers",
	    peers);
}

static void add_durations(struct cli_table *table, const json_t *latency)
{
	char text[CLI_DURATION_SIZE];
	bool any = integer_of(latency, "count") > 0;

	for (size_t i = 0; i < FIGURE_COUNT; i++)
		cli_table_add(table, "%s",
			      cli_duration(any ? json_object_get(latency, figures[i]) : NULL, text,
					   sizeof(text)));
}

static void print_table(const struct bench *bench, uint32_t service, const json_t *summary)
{
	static const char *const headers[] = {">PEER",	    ">SENT",	   ">BLOCKED", ">P50",
					      ">P90",	    ">P99",	   ">P99.9",   ">MAX",
					      ">DELIVERED", ">PER SECOND", ">MB/S"};
	struct cli_table table;

	printf("%s of %s, %" PRId64 " bytes, cell %s of %s members\n", modes[bench->mode],
	       services[service], bench->size, bench->cell, cli_text(summary, "members"));
	cli_table_init(&table, sizeof(headers) / sizeof(headers[0]), headers);
	for (uint32_t i = 0; i < bench->part_count; i++) {
		const json_t *result = bench->parts[i].result;
		cli_table_add(&table, "%s", cli_text(result, "peer"));
		cli_table_add(&table, "%s", cli_text(result, "sent"));
		cli_table_add(&table, "%s", cli_text(result, "would_block"));
		add_durations(&table, json_object_get(result, "latency_ns"));
		cli_table_add(&table, "%s", cli_text(result, "messages"));
		cli_table_add(&table, "%.0f", rate_of(result, "messages"));
		cli_table_add(&table, "%.1f", rate_of(result, "bytes") / 1e6);
	}
	cli_table_print(&table, stdout);
	if (integer_of(summary, "views"))
		printf("the view changed %s times meanwhile: these figures are of several\n",
		       cli_text(summary, "views"));
}

static int run_one(struct bench *bench, uint32_t service)
{
	int code = run_start(bench, service);

	if (code == CLI_OK)
		run_wait(bench, service);
	if (code || ended) {
		run_stop(bench);
		return CLI_FAILED;
	}
	code = results_take(bench);
	bool whole = bench->parts[bench->part_count - 1].result != NULL;
	json_t *summary = whole ? summary_of(bench, service) : NULL;
	if (whole && bench->json) {
		json_dumpf(summary, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
		printf("\n");
	} else if (whole) {
		print_table(bench, service, summary);
	}
	fflush(stdout);
	json_decref(summary);
	for (uint32_t i = 0; i < bench->part_count; i++) {
		json_decref(bench->parts[i].result);
		bench->parts[i].result = NULL;
	}
	return code;
}

static int run(struct bench *bench)
{
	int rc = connect_all(bench);

	if (rc)
		return rc;
	for (uint32_t i = 0; i < bench->station_count; i++)
		parts_add(bench, &bench->stations[i]);
	rc = parts_check(bench);
	if (!rc)
		rc = senders_choose(bench);
	for (uint32_t i = 0; i < SERVICE_MAX && !rc; i++)
		if (bench->service[i])
			rc = run_one(bench, i);
	return rc;
}

int cli_bench(const struct cli *cli)
{
	struct sigaction action = {.sa_handler = on_signal};
	static struct bench bench = {.size = 200, .period_ns = 1000000, .seconds = 5};
	bool help = false;
	int rc = parse_options(cli, &bench, &help);

	if (rc)
		return rc;
	if (help) {
		print_help();
		return CLI_OK;
	}
	for (uint32_t i = 0; i < STATION_MAX; i++)
		bench.stations[i].connection.fd = -1;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	rc = run(&bench);
	for (uint32_t i = 0; i < bench.station_count; i++) {
		json_decref(bench.stations[i].groups);
		cli_disconnect(&bench.stations[i].connection);
	}
	return rc;
}
