/* perron top: the station once a second, on a terminal by ncurses, else as plain text. */
#include <curses.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

/* All panels as one text, to be freed; NULL: the station has gone. */
static char *compose(struct cli_connection *connection, const struct cli *cli)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	json_t *all = json_object();
	bool good = out != NULL;

	for (size_t i = 0; i < sizeof(panels) / sizeof(panels[0]) && good; i++) {
		json_t *reply = panels[i].list ? cli_ask_list(connection, panels[i].command)
					       : cli_ask(connection, panels[i].command);
		good = reply != NULL;
		if (!good)
			break;
		if (cli->json) {
			json_object_set(all, panels[i].command, reply);
		} else {
			fprintf(out, "%s", i ? "\n" : "");
			panels[i].view(reply, out);
		}
		json_decref(reply);
	}
	if (good && cli->json) {
		json_dumpf(all, out, JSON_COMPACT);
		fprintf(out, "\n");
	}
	json_decref(all);
	if (out)
		fclose(out);
	if (!good) {
		free(text);
		return NULL;
	}
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
	initscr();
	cbreak();
	noecho();
	curs_set(0);
	char *text;
	while (!ended && (text = compose(connection, cli)) != NULL) {
		draw(text);
		free(text);
		if (wait_for_key())
			ended = 1;
	}
	endwin();
	if (!ended)
		fprintf(stderr, "perron: the station has gone\n");
	return ended ? CLI_OK : CLI_NOT_RUNNING;
}

static int run_plain(struct cli_connection *connection, const struct cli *cli)
{
	while (!ended) {
		char *text = compose(connection, cli);
		if (!text)
			return CLI_NOT_RUNNING;
		printf("%s%s", text, cli->json ? "" : "\n");
		free(text);
		if (fflush(stdout))
			break;
		poll(NULL, 0, REFRESH_MS);
	}
	return CLI_OK;
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
