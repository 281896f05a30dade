#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "apps/perron/cli.h"
#include "runtime/base/assert.h"

#ifndef PERRON_BUILD_VERSION
#error "the build says its version"
#endif

struct subcommand {
	const char *name;
	const char *summary;
	const char *usage; /* what follows the name */
	int (*run)(const struct cli *cli);
	void (*view)(const json_t *reply, FILE *out); /* of a station's reply, if run is NULL */
	bool list;
	bool own_options; /* parses them itself, --json and --help too */
};

static const struct subcommand subcommands[] = {
    {"status", "the station in one look", "", NULL, cli_view_status, false, false},
    {"tree", "peers of the overlay and their positions", "", NULL, cli_view_tree, true, false},
    {"peers", "peers here, their links, why neighbours were suspected", "", NULL, cli_view_peers,
     true, false},
    {"streams", "streams through here", "", NULL, cli_view_streams, true, false},
    {"sensors", "sensors here", "", NULL, cli_view_sensors, true, false},
    {"cores", "turns, gaps and load of each core", "", NULL, cli_view_cores, true, false},
    {"drops", "dropped frames by cause, peer and stream", "", NULL, cli_view_drops, true, false},
    {"group", "views of cells, now or as they change", "show|watch [CELL]", cli_group, NULL, false,
     false},
    {"top", "all of it, once a second (q quits)", "", cli_top, NULL, false, false},
#ifdef PERRON_HAVE_CLIENT
	{"subscribe", "a sensor's stream, from any host", "SENSOR", cli_subscribe, NULL, false,
	 true},
#endif
    {"bench", "measures group communication of live stations", "group", cli_bench, NULL, false,
     true},
    {"config", "checks a descriptor, or shows what is in force", "check|show-effective FILE",
     cli_config, NULL, false, false},
};

#define SUBCOMMAND_COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "perron: %s:%d: this should hold: %s\n", file, line, condition);
	abort();
}

static void print_help(FILE *out)
{
	fprintf(out, "usage: perron SUBCOMMAND [--json] [--socket PATH | --station NAME]\n\n");
	for (size_t i = 0; i < SUBCOMMAND_COUNT; i++)
		fprintf(out, "  %-10s %s\n", subcommands[i].name, subcommands[i].summary);
	fprintf(out, "  %-10s this text, or a subcommand's\n\n", "help");
	fprintf(out, "perron SUBCOMMAND --help says more; so does man perron.\n");
}

static bool takes_count(const struct subcommand *subcommand)
{
	return subcommand->run == cli_top || subcommand->run == cli_group;
}

static void print_subcommand_help(const struct subcommand *subcommand, FILE *out)
{
	bool asks = subcommand->run != cli_config;
	bool counts = takes_count(subcommand);

	fprintf(out, "usage: perron %s%s%s [--json]%s%s\n\n%s\n\n", subcommand->name,
		*subcommand->usage ? " " : "", subcommand->usage,
		counts ? " [--count N]" : "",
		asks ? " [--socket PATH | --station NAME]" : "", subcommand->summary);
	fprintf(out, "  --json          one line of JSON%s\n",
		subcommand->run == cli_group ? ", or one an event" : "");
	if (counts)
		fprintf(out, "  --count N       ends after N %s\n",
			subcommand->run == cli_top ? "refreshes" : "events");
	if (asks)
		fprintf(out, "  --socket PATH   the station's command socket\n"
			     "  --station NAME  the station; needed only where several run\n");
}

static const struct subcommand *find(const char *name)
{
	for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
		if (!strcmp(subcommands[i].name, name))
			return &subcommands[i];
	}
	return NULL;
}

/* What the closing of stdout says: a full disk must not pass for a good answer. */
static int finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (errno != EPIPE)
		fprintf(stderr, "perron: cannot write: %s\n", strerror(errno));
	return code ? code : CLI_FAILED;
}

static int run_view(const struct subcommand *subcommand, const struct cli *cli)
{
	struct cli_connection connection;
	int rc = cli_connect(&connection, cli);

	if (rc)
		return rc;
	json_t *reply = subcommand->list ? cli_ask_list(&connection, subcommand->name)
					 : cli_ask(&connection, subcommand->name);
	cli_disconnect(&connection);
	if (!reply)
		return CLI_FAILED;
	if (cli->json) {
		json_dumpf(reply, stdout, JSON_COMPACT);
		printf("\n");
	} else {
		subcommand->view(reply, stdout);
	}
	json_decref(reply);
	return CLI_OK;
}

/* --count N: of who repeats itself, and from 1. Else says so. */
static bool count_take(const struct subcommand *subcommand, const char *text, uint32_t *count)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!takes_count(subcommand)) {
		fprintf(stderr, "perron: --count is an option of top and group watch\n");
		return false;
	}
	if (*text < '0' || *text > '9' || *end || !value || value > UINT32_MAX) {
		fprintf(stderr, "perron: --count %s: expected a number from 1\n", text);
		return false;
	}
	*count = (uint32_t)value;
	return true;
}

/* CLI_OK, or what to exit with; `help` was asked for if it is set. */
static int parse_options(int argc, char **argv, const struct subcommand *subcommand,
			 struct cli *cli, bool *help)
{
	static const struct option options[] = {
	    {"json", no_argument, NULL, 'j'},
	    {"socket", required_argument, NULL, 's'},
	    {"station", required_argument, NULL, 'n'},
	    {"count", required_argument, NULL, 'c'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		if (option == 'j')
			cli->json = true;
		else if (option == 's')
			cli->socket = optarg;
		else if (option == 'n')
			cli->station = optarg;
		else if (option == 'c' && count_take(subcommand, optarg, &cli->count))
			continue;
		else if (option == 'h')
			*help = true;
		else
			return CLI_USAGE; /* getopt has said why */
	}
	cli->argument_count = argc - optind;
	cli->arguments = argv + optind;
	if (cli->socket && cli->station) {
		fprintf(stderr, "perron: --socket or --station, not both\n");
		return CLI_USAGE;
	}
	if (cli->argument_count && !*subcommand->usage && !*help) {
		fprintf(stderr, "perron: unexpected '%s'; see perron %s --help\n",
			cli->arguments[0], subcommand->name);
		return CLI_USAGE;
	}
	return CLI_OK;
}

static int help_on(const char *name)
{
	const struct subcommand *subcommand = name ? find(name) : NULL;

	if (subcommand && subcommand->own_options) {
		char option[] = "--help";
		char *arguments[] = {option, option, NULL};

		return subcommand->run(&(struct cli){.argument_count = 2, .arguments = arguments});
	}
	if (subcommand) {
		print_subcommand_help(subcommand, stdout);
	} else if (name) {
		fprintf(stderr, "perron: no subcommand '%s'; see perron help\n", name);
		return CLI_USAGE;
	} else {
		print_help(stdout);
	}
	return CLI_OK;
}

static int run(int argc, char **argv)
{
	struct cli cli = {0};
	bool help = false;

	if (argc < 2) {
		print_help(stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help_on(argc > 2 ? argv[2] : NULL);
	if (!strcmp(argv[1], "--version")) {
		printf("perron %s\n", PERRON_BUILD_VERSION);
		return CLI_OK;
	}
	const struct subcommand *subcommand = find(argv[1]);
	if (!subcommand) {
		fprintf(stderr, "perron: no subcommand '%s'; see perron help\n", argv[1]);
		return CLI_USAGE;
	}
	if (subcommand->own_options) {
		cli.argument_count = argc - 1;
		cli.arguments = argv + 1;
		return subcommand->run(&cli);
	}
	int rc = parse_options(argc - 1, argv + 1, subcommand, &cli, &help);
	if (rc)
		return rc;
	if (help)
		return help_on(subcommand->name);
	return subcommand->run ? subcommand->run(&cli) : run_view(subcommand, &cli);
}

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");
	return finish(run(argc, argv));
}
