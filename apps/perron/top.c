/*
 * perron top: the station once a second, on a terminal by ncurses, else as plain text: totals, and
 * what they grew by in a second, the busiest rows first.
 */
#include <curses.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/perron/cli.h"

#define REFRESH_MS 1000
/* What it shows, in this order; a screen that is too low loses the last. */
struct panel {
	const char *command;
	void (*view)(const json_t *reply, FILE *out);
	bool list;
};

static const struct panel panels[] = {
    {"status", cli_view_status, false},	 {"cores", cli_view_cores, true},
    {"sensors", cli_view_sensors, true}, {"streams", cli_view_streams, true},
    {"drops", cli_view_drops, true},	 {"peers", cli_view_peers, true},
};

#define PANEL_COUNT (sizeof(panels) / sizeof(panels[0]))

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static double clock_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The replies of all panels, with their rates from the second time on; NULL: it has gone. */
static json_t *gather(struct cli_connection *connection, struct cli_rates *rates)
{
	json_t *all = json_object();

	for (size_t i = 0; i < PANEL_COUNT; i++) {
		json_t *reply = panels[i].list ? cli_ask_list(connection, panels[i].command)
					       : cli_ask(connection, panels[i].command);
		if (!reply) {
			json_decref(all);
			return NULL;
		}
		json_object_set_new(all, panels[i].command, reply);
	}
	cli_rates_take(rates, all, clock_s());
	return all;
}

static void view_rates(const json_t *rates, FILE *out)
{
	if (rates)
		fprintf(out, "per second  messages %s    frames %s    dropped frames %s\n",
			cli_text(rates, "messages"), cli_text(rates, "frames"),
			cli_text(rates, "drops"));
}

/* All panels as one text, to be freed; NULL: the station has gone. */
static char *compose(struct cli_connection *connection, const struct cli *cli,
		     struct cli_rates *rates)
{
	json_t *all = gather(connection, rates);
	char *text = NULL;
	size_t size;

	if (!all)
		return NULL;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort();
	if (cli->json) {
		json_dumpf(all, out, JSON_COMPACT | JSON_REAL_PRECISION(6));
		fprintf(out, "\n");
	}
	for (size_t i = 0; i < PANEL_COUNT && !cli->json; i++) {
		fprintf(out, "%s", i ? "\n" : "");
		panels[i].view(json_object_get(all, panels[i].command), out);
		if (!panels[i].list)
			view_rates(json_object_get(all, "rates"), out);
	}
	json_decref(all);
	fclose(out);
	return text;
}

static void draw(const char *text)
{
	int row = 0;

	erase();
	while (*text && row < LINES) {
		size_t length = strcspn(text, "\n");
		mvaddnstr(row++, 0, text, (int)length);
		text += length + (text[length] == '\n');
	}
	refresh();
}

/* Waits for the next refresh; true: q was pressed. */
static bool wait_for_key(void)
{
	timeout(REFRESH_MS);
	int key = getch();

	return key == 'q' || key == 'Q';
}

static int run_screen(struct cli_connection *connection, const struct cli *cli)
{
	struct cli_rates rates = {0};
	uint32_t left = cli->count;
	bool gone = false;

	initscr();
	cbreak();
	noecho();
	curs_set(0);
	while (!ended && !gone) {
		char *text = compose(connection, cli, &rates);
		gone = !text;
		if (gone)
			break;
		draw(text);
		free(text);
		if (wait_for_key() || (left && --left == 0))
			ended = 1;
	}
	endwin();
	cli_rates_end(&rates);
	if (gone)
		fprintf(stderr, "perron: the station has gone\n");
	return gone ? CLI_NOT_RUNNING : CLI_OK;
}

/* The first look is not shown: it has no rates. */
static int run_plain(struct cli_connection *connection, const struct cli *cli)
{
	struct cli_rates rates = {0};
	char *text = compose(connection, cli, &rates);
	uint32_t shown = 0;

	while (text && !ended && (!cli->count || shown < cli->count)) {
		free(text);
		poll(NULL, 0, REFRESH_MS);
		text = compose(connection, cli, &rates);
		if (!text)
			break;
		printf("%s%s", text, cli->json ? "" : "\n");
		shown++;
		if (fflush(stdout))
			break;
	}
	cli_rates_end(&rates);
	bool gone = !text;
	free(text);
	return gone ? CLI_NOT_RUNNING : CLI_OK;
}

int cli_top(const struct cli *cli)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct cli_connection connection;
	int rc = cli_connect(&connection, cli);

	if (rc)
		return rc;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);
	const char *terminal = getenv("TERM");
	bool screen = !cli->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && terminal &&
		      strcmp(terminal, "dumb");
	rc = screen ? run_screen(&connection, cli) : run_plain(&connection, cli);
	cli_disconnect(&connection);
	return rc;
}
