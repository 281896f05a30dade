/* perron group show|watch [CELL]: views of cells and verdicts, as they are and as they come. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/perron/cli.h"

#define LINE_TIME_SIZE 32

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static const json_t *of(const json_t *object, const char *key)
{
	return json_object_get(object, key);
}

static bool is_cell(const char *text)
{
	return *text == '0' && strspn(text, "0123456789.") == strlen(text) && !strstr(text, "..") &&
	       text[strlen(text) - 1] != '.';
}

/* Whether a row or an event is of the cell; without one, everything is. */
static bool concerns(const json_t *row, const char *cell)
{
	const char *its = json_string_value(of(row, "cell"));

	return !cell || (its && !strcmp(its, cell));
}

static bool has_view(const json_t *row)
{
	return json_array_size(of(row, "members")) > 0;
}

/* 7@1, or "-". */
static const char *view_name(const json_t *row, char *out, size_t out_size)
{
	if (has_view(row))
		snprintf(out, out_size, "%s@%s", cli_text(row, "view"), cli_text(row, "leader"));
	else
		snprintf(out, out_size, "-");
	return out;
}
#define VIEW_NAME_SIZE 32

static void state_table(const json_t *rows, const char *cell, FILE *out)
{
	static const char *const headers[] = {
	    "CELL",	  ">PEER",     "STATE",	 "VIEW",       ">MEMBERS", ">COORDINATOR",
	    ">PENDING",	  ">UNSTABLE", ">SENT",	 ">DELIVERED", ">PACKETS", ">AGAIN",
	    ">DISCARDED", ">BLOCKED",  ">VIEWS", ">ATTEMPTS",  ">SHUNNED"};
	static const char *const counts[] = {"pending", "unstable",	 "sent",      "delivered",
					     "packets", "retransmitted", "discarded", "would_block",
					     "views",	"attempts",	 "shunned"};
	struct cli_table table;
	const json_t *row;
	size_t i;

	cli_table_init(&table, sizeof(headers) / sizeof(headers[0]), headers);
	json_array_foreach(rows, i, row)
	{
		char name[VIEW_NAME_SIZE];
		if (!concerns(row, cell))
			continue;
		cli_table_add(&table, "%s", cli_text(row, "cell"));
		cli_table_add(&table, "%s", cli_text(row, "peer"));
		cli_table_add(&table, "%s", cli_text(row, "state"));
		cli_table_add(&table, "%s", view_name(row, name, sizeof(name)));
		cli_table_add(&table, "%zu", json_array_size(of(row, "members")));
		cli_table_add(&table, "%s", cli_text(row, "coordinator"));
		for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++)
			cli_table_add(&table, "%s", cli_text(row, counts[k]));
	}
	cli_table_print(&table, out);
}

static bool is_same_view(const json_t *a, const json_t *b)
{
	return json_equal(of(a, "cell"), of(b, "cell")) &&
	       json_equal(of(a, "view"), of(b, "view")) &&
	       json_equal(of(a, "leader"), of(b, "leader")) &&
	       json_equal(of(a, "leader_incarnation"), of(b, "leader_incarnation"));
}

/* Peers here that are in one view have one list of members. */
static bool is_first_of_view(const json_t *rows, size_t index)
{
	const json_t *row = json_array_get(rows, index);

	for (size_t i = 0; i < index; i++)
		if (is_same_view(row, json_array_get(rows, i)))
			return false;
	return has_view(row);
}

static void member_table(const json_t *rows, const char *cell, FILE *out)
{
	static const char *const headers[] = {"CELL",	      "VIEW",  ">SLOT",	     ">MEMBER",
					      ">INCARNATION", ">LIFE", "COORDINATES"};
	static const char *const keys[] = {"slot", "peer", "incarnation", "life"};
	struct cli_table table;
	const json_t *row, *member;
	size_t i, j;

	cli_table_init(&table, sizeof(headers) / sizeof(headers[0]), headers);
	json_array_foreach(rows, i, row)
	{
		char name[VIEW_NAME_SIZE];
		if (!concerns(row, cell) || !is_first_of_view(rows, i))
			continue;
		json_array_foreach(of(row, "members"), j, member)
		{
			cli_table_add(&table, "%s", cli_text(row, "cell"));
			cli_table_add(&table, "%s", view_name(row, name, sizeof(name)));
			for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
				cli_table_add(&table, "%s", cli_text(member, keys[k]));
			cli_table_add(&table, "%s", j ? "no" : "yes");
		}
	}
	cli_table_print(&table, out);
}

static bool any_concerns(const json_t *rows, const char *cell)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (concerns(row, cell))
			return true;
	}
	return false;
}

/* The rows of other cells are taken out. */
static void rows_filter(json_t *rows, const char *cell)
{
	for (size_t i = json_array_size(rows); i > 0; i--)
		if (!concerns(json_array_get(rows, i - 1), cell))
			json_array_remove(rows, i - 1);
}

static int show(const struct cli *cli, struct cli_connection *connection, const char *cell)
{
	json_t *reply = cli_ask_list(connection, "group");
	json_t *rows = json_object_get(reply, "group");

	if (!reply)
		return CLI_FAILED;
	if (cell && !any_concerns(rows, cell)) {
		fprintf(stderr,
			"perron: no peer of this station is in cell %s; perron group show "
			"lists their cells\n",
			cell);
		json_decref(reply);
		return CLI_FAILED;
	}
	if (cli->json) {
		rows_filter(rows, cell);
		json_dumpf(reply, stdout, JSON_COMPACT);
		printf("\n");
	} else {
		state_table(rows, cell, stdout);
		printf("\n");
		member_table(rows, cell, stdout);
	}
	json_decref(reply);
	return CLI_OK;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A point of CLOCK_MONOTONIC as the wall clock shows it. */
static const char *time_text(const json_t *at, char *out, size_t out_size)
{
	int64_t offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
	int64_t wall_ns = json_integer_value(at) + offset_ns;
	time_t seconds = (time_t)(wall_ns / 1000000000);
	struct tm parts;

	if (!json_is_integer(at) || !localtime_r(&seconds, &parts)) {
		snprintf(out, out_size, "-");
		return out;
	}
	snprintf(out, out_size, "%02d:%02d:%02d.%06d", parts.tm_hour, parts.tm_min, parts.tm_sec,
		 (int)(wall_ns % 1000000000 / 1000));
	return out;
}

/* Members as peer#slot/incarnation+life. */
static void print_members(const json_t *row)
{
	const json_t *member;
	size_t i;

	json_array_foreach(of(row, "members"), i, member)
	{
		printf(" %s#%s/%s+%s", cli_text(member, "peer"), cli_text(member, "slot"),
		       cli_text(member, "incarnation"), cli_text(member, "life"));
	}
}

static void print_verdict(const json_t *event)
{
	char silence[CLI_DURATION_SIZE], expected[CLI_DURATION_SIZE], gap[CLI_DURATION_SIZE];

	cli_duration(of(event, "silence_ns"), silence, sizeof(silence));
	cli_duration(of(event, "expected_ns"), expected, sizeof(expected));
	cli_duration(of(event, "own_gap_ns"), gap, sizeof(gap));
	printf("link to %s is down: silent for %s, expected within %s, own longest gap %s%s",
	       cli_text(event, "neighbour"), silence, expected, gap,
	       json_is_true(of(event, "one_way")) ? ", one way" : "");
}

static void print_line(const char *kind, const json_t *row)
{
	char at[LINE_TIME_SIZE], name[VIEW_NAME_SIZE];

	printf("%s  %s  peer %s  ", time_text(of(row, "at_ns"), at, sizeof(at)),
	       cli_text(row, "cell"), cli_text(row, "peer"));
	if (!strcmp(kind, "link-down")) {
		print_verdict(row);
	} else if (!has_view(row)) {
		printf("%s no view", kind);
	} else {
		printf("%s %s:", kind, view_name(row, name, sizeof(name)));
		print_members(row);
		if (strcmp(kind, "transitional"))
			printf(", %s coordinates", cli_text(row, "coordinator"));
	}
	if (of(row, "state"))
		printf(", %s", cli_text(row, "state"));
	printf("\n");
}

/* `row` gets its kind as `event`. */
static void print_event(const struct cli *cli, const char *kind, json_t *row)
{
	if (cli->json) {
		json_object_set_new(row, "event", json_string(kind));
		json_dumpf(row, stdout, JSON_COMPACT);
		printf("\n");
	} else {
		print_line(kind, row);
	}
	if (fflush(stdout))
		ended = 1;
}

static void print_now(const struct cli *cli, json_t *rows, const char *cell)
{
	json_t *row;
	size_t i;

	if (cell && !any_concerns(rows, cell))
		fprintf(stderr, "perron: no peer of this station is in cell %s yet\n", cell);
	json_array_foreach(rows, i, row)
	{
		if (concerns(row, cell))
			print_event(cli, "now", row);
	}
}

/* Whatever happens after the rows were answered comes as an event. */
static int watch(const struct cli *cli, struct cli_connection *connection, const char *cell)
{
	uint32_t seen = 0;
	json_t *reply =
	    cli_request(connection, json_pack("{s:s,s:[s,s,s]}", "command", "subscribe", "events",
					      "view", "transitional", "link-down"));

	if (!reply)
		return CLI_FAILED;
	json_decref(reply);
	reply = cli_ask_list(connection, "group");
	if (!reply)
		return CLI_FAILED;
	print_now(cli, json_object_get(reply, "group"), cell);
	json_decref(reply);
	while (!ended && (!cli->count || seen < cli->count)) {
		json_t *event = cli_event(connection, &ended);
		if (!event && !ended) {
			fprintf(stderr, "perron: the station has gone\n");
			return CLI_NOT_RUNNING;
		}
		const char *kind = json_string_value(json_object_get(event, "event"));
		if (kind && concerns(event, cell)) {
			print_event(cli, kind, event);
			seen++;
		}
		json_decref(event);
	}
	return CLI_OK;
}

int cli_group(const struct cli *cli)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct cli_connection connection;
	const char *verb = cli->argument_count ? cli->arguments[0] : "";
	const char *cell = cli->argument_count > 1 ? cli->arguments[1] : NULL;
	bool watches = !strcmp(verb, "watch");

	if ((!watches && strcmp(verb, "show")) || cli->argument_count > 2) {
		fprintf(stderr, "perron: expected: perron group show|watch [CELL]\n");
		return CLI_USAGE;
	}
	if (cell && !is_cell(cell)) {
		fprintf(stderr, "perron: '%s' is no cell; expected one such as 0 or 0.1\n", cell);
		return CLI_USAGE;
	}
	int rc = cli_connect(&connection, cli);
	if (rc)
		return rc;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);
	rc = watches ? watch(cli, &connection, cell) : show(cli, &connection, cell);
	cli_disconnect(&connection);
	return rc;
}
