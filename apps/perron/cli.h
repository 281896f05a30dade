/*
 * The command line: one subcommand a question. It links no DPDK and runs on any Linux host; all but
 * `config` and `subscribe` ask a station on this machine over its command socket.
 */
#ifndef PERRON_APPS_PERRON_CLI_H
#define PERRON_APPS_PERRON_CLI_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes; perron.1 lists them. */
enum cli_exit {
	CLI_OK,
	CLI_FAILED,	 /* the answer is an error, or what was checked is wrong */
	CLI_USAGE,	 /* unknown subcommand or option */
	CLI_NOT_RUNNING, /* no station answers */
};

/* What every subcommand may be told. */
struct cli {
	bool json;
	uint32_t count;	     /* top: refreshes, group watch: events; 0: until it is ended */
	const char *socket;  /* --socket; NULL: found */
	const char *station; /* --station; NULL: the only one */
	int argument_count;  /* what stands after the subcommand and its options */
	char **arguments;
};

/* connection.c: asks a station. Errors are said on stderr; the result is then NULL. */

struct cli_connection {
	int fd;
	size_t size; /* bytes of `line` that were received */
	size_t room;
	char *line;
};

/* CLI_OK, or what to exit with. */
int cli_connect(struct cli_connection *connection, const struct cli *cli);
/* Takes `request`. */
json_t *cli_request(struct cli_connection *connection, json_t *request);
json_t *cli_ask(struct cli_connection *connection, const char *command);
/* All pages of a list as one reply. */
json_t *cli_ask_list(struct cli_connection *connection, const char *command);
/* The next event, of one who subscribed. NULL: *ended was set, or the station has gone. */
json_t *cli_event(struct cli_connection *connection, const volatile sig_atomic_t *ended);
void cli_disconnect(struct cli_connection *connection);

/* table.c: aligned columns. A header that starts with '>' is aligned to the right. */

struct cli_table {
	size_t column_count;
	size_t cell_count;
	size_t cell_room;
	char **cells;
};

void cli_table_init(struct cli_table *table, size_t column_count, const char *const *headers);
__attribute__((format(printf, 2, 3))) void cli_table_add(struct cli_table *table,
							 const char *format, ...);
/* Prints and frees. */
void cli_table_print(struct cli_table *table, FILE *out);

/* rates.c: counters of `top`, from one look to the next. */

#define CLI_RATED_COUNT 4
/* The member that rows get; a table of rows that have it shows it first. */
#define CLI_RATE_KEY "per_second"

/* All 0: nothing was looked at yet. */
struct cli_rates {
	json_t *counters[CLI_RATED_COUNT];
	double at_s;
};

/*
 * `replies`: of each list its reply. From the second look on, rows get CLI_RATE_KEY and are sorted
 * by it, and the member `rates` has the sums of messages, frames and drops.
 */
void cli_rates_take(struct cli_rates *rates, json_t *replies, double now_s);
void cli_rates_end(struct cli_rates *rates);

/* Nanoseconds as people read them: 12ms, 1.5s, 90us; "-" for null. */
const char *cli_duration(const json_t *value, char *out, size_t out_size);
#define CLI_DURATION_SIZE 24
/*
 * A member as text: numbers (a real with one digit), strings; "-" for null or missing. Lives until
 * the 16th next call.
 */
const char *cli_text(const json_t *object, const char *key);

/* views.c, tree.c: a reply as text. */
void cli_view_status(const json_t *reply, FILE *out);
void cli_view_tree(const json_t *reply, FILE *out);
void cli_view_peers(const json_t *reply, FILE *out);
void cli_view_streams(const json_t *reply, FILE *out);
void cli_view_sensors(const json_t *reply, FILE *out);
void cli_view_cores(const json_t *reply, FILE *out);
void cli_view_drops(const json_t *reply, FILE *out);

/* Subcommands with a file of their own; they return what to exit with. */
int cli_top(const struct cli *cli);
int cli_config(const struct cli *cli);
int cli_group(const struct cli *cli);
int cli_bench(const struct cli *cli);
int cli_subscribe(const struct cli *cli);

#endif
