/* Finds a station's command socket and asks over it. */
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "apps/perron/cli.h"

#define RUN_DIRECTORY  "/run/perron"
#define ANSWER_SECONDS 5
#define LINE_SIZE_MAX  (8u << 20)
#define ROW_MAX	       100000u
/* How long a wait for an event lasts before signals are looked at. */
#define EVENT_WAIT_MS 200

/* $PERRON_RUN_DIRECTORY is for stations that may not write to /run. */
static const char *run_directory(void)
{
	const char *set = getenv("PERRON_RUN_DIRECTORY");

	return set && *set ? set : RUN_DIRECTORY;
}

#define HOW_TO_START "start it with: perrond -- --config STATION.yaml"

static int dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		int reason = errno;
		close(fd);
		errno = reason;
		return -1;
	}
	return fd;
}

static int dial_path(const char *path)
{
	int fd = dial(path);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ECONNREFUSED) {
		fprintf(stderr, "perron: no station runs at %s; " HOW_TO_START "\n", path);
	} else if (errno == EACCES) {
		fprintf(stderr,
			"perron: %s may not be opened; run as root or as one of its group\n", path);
	} else {
		fprintf(stderr, "perron: %s: %s\n", path, strerror(errno));
	}
	return -1;
}

/* The only live station under the run directory. */
static int dial_only(void)
{
	char pattern[256];
	glob_t found = {0};
	int only = -1;
	size_t live = 0;

	snprintf(pattern, sizeof(pattern), "%s/*.sock", run_directory());
	if (glob(pattern, 0, NULL, &found))
		found.gl_pathc = 0;
	if (found.gl_pathc == 1) {
		only = dial_path(found.gl_pathv[0]);
		globfree(&found);
		return only;
	}
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int fd = dial(found.gl_pathv[i]);
		if (fd < 0)
			continue;
		live++;
		if (only >= 0)
			close(only);
		only = fd;
	}
	if (live > 1) {
		close(only);
		only = -1;
		fprintf(stderr, "perron: %zu stations run here; choose with --station NAME:", live);
		for (size_t i = 0; i < found.gl_pathc; i++) {
			const char *base = strrchr(found.gl_pathv[i], '/') + 1;
			int fd = dial(found.gl_pathv[i]);

			if (fd < 0)
				continue; /* a killed one's */
			close(fd);
			fprintf(stderr, " %.*s", (int)(strlen(base) - strlen(".sock")), base);
		}
		fprintf(stderr, "\n");
	} else if (!live) {
		fprintf(stderr, "perron: no station runs here (none under %s); " HOW_TO_START "\n",
			run_directory());
	}
	globfree(&found);
	return only;
}

int cli_connect(struct cli_connection *connection, const struct cli *cli)
{
	char path[256];

	memset(connection, 0, sizeof(*connection));
	if (cli->socket) {
		connection->fd = dial_path(cli->socket);
	} else if (cli->station) {
		snprintf(path, sizeof(path), "%s/%s.sock", run_directory(), cli->station);
		connection->fd = dial_path(path);
	} else {
		connection->fd = dial_only();
	}
	return connection->fd < 0 ? CLI_NOT_RUNNING : CLI_OK;
}

void cli_disconnect(struct cli_connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	free(connection->line);
	connection->fd = -1;
	connection->line = NULL;
}

static bool send_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return false;
		data += sent;
		size -= (size_t)sent;
	}
	return true;
}

/* The length of the first line, or 0: it is not whole yet. */
static size_t line_length(const struct cli_connection *connection)
{
	const char *end =
	    connection->size ? memchr(connection->line, '\n', connection->size) : NULL;

	return end ? (size_t)(end - connection->line) + 1 : 0;
}

/* Receives some more bytes; false: the station is silent or gone. */
static bool receive_some(struct cli_connection *connection)
{
	if (connection->size == connection->room) {
		size_t room = connection->room * 2 + 65536;
		char *line = room <= LINE_SIZE_MAX ? realloc(connection->line, room) : NULL;
		if (!line)
			return false;
		connection->line = line;
		connection->room = room;
	}
	ssize_t got = recv(connection->fd, connection->line + connection->size,
			   connection->room - connection->size, 0);
	if (got < 0 && errno == EINTR)
		return true;
	if (got <= 0)
		return false;
	connection->size += (size_t)got;
	return true;
}

/* Takes the first line, which is whole. */
static json_t *line_take(struct cli_connection *connection, size_t length)
{
	json_t *value = json_loadb(connection->line, length, 0, NULL);

	memmove(connection->line, connection->line + length, connection->size - length);
	connection->size -= length;
	return value;
}

/* The next line; NULL: the station is silent or gone, or that is no JSON. */
static json_t *receive(struct cli_connection *connection, bool *silent)
{
	size_t length;

	*silent = false;
	while (!(length = line_length(connection)))
		if (!receive_some(connection)) {
			*silent = true;
			return NULL;
		}
	return line_take(connection, length);
}

static bool is_event(const json_t *line)
{
	return json_object_get(line, "event") != NULL;
}

json_t *cli_request(struct cli_connection *connection, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	json_t *reply = NULL;
	bool silent = true;

	json_decref(request);
	if (text && send_all(connection->fd, text, strlen(text)) &&
	    send_all(connection->fd, "\n", 1)) {
		/* Who subscribed may find events before the answer: what they say is in it. */
		do {
			json_decref(reply);
			reply = receive(connection, &silent);
		} while (is_event(reply));
	}
	free(text);
	if (silent) {
		fprintf(stderr, "perron: the station does not answer; is it stuck or ending?\n");
		return NULL;
	}
	if (json_is_true(json_object_get(reply, "ok")))
		return reply;
	const char *error = json_string_value(json_object_get(reply, "error"));
	fprintf(stderr, "perron: %s\n", error ? error : "the station's answer is no JSON");
	json_decref(reply);
	return NULL;
}

json_t *cli_event(struct cli_connection *connection, const volatile sig_atomic_t *ended)
{
	struct pollfd fd = {.fd = connection->fd, .events = POLLIN};
	size_t length;

	while (!(length = line_length(connection))) {
		if (*ended)
			return NULL;
		if (poll(&fd, 1, EVENT_WAIT_MS) > 0 && !receive_some(connection))
			return NULL;
	}
	return line_take(connection, length);
}

json_t *cli_ask(struct cli_connection *connection, const char *command)
{
	return cli_request(connection, json_pack("{s:s}", "command", command));
}

json_t *cli_ask_list(struct cli_connection *connection, const char *command)
{
	json_t *all = cli_ask(connection, command);
	json_int_t next = json_integer_value(json_object_get(all, "next"));

	/* Lists may grow while they are read: each page has to go on. */
	while (all && next && json_array_size(json_object_get(all, command)) < ROW_MAX) {
		json_t *page = cli_request(
		    connection, json_pack("{s:s,s:I}", "command", command, "first", next));
		if (!page) {
			json_decref(all);
			return NULL;
		}
		json_array_extend(json_object_get(all, command), json_object_get(page, command));
		json_int_t after = json_integer_value(json_object_get(page, "next"));
		next = after > next ? after : 0;
		json_decref(page);
	}
	if (all)
		json_object_del(all, "next");
	return all;
}
