#include "runtime/housekeeping/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_MAX      16384u /* bytes of one client in one step */
#define NAME_MAX_SIZE 32
/* A client whose replies wait is not read from: its own requests cannot fill the memory. */
#define PENDING_PAUSE (PERRON_SOCKET_PENDING_MAX / 2)
#define LISTENER      UINT32_MAX

struct client {
	int fd;	     /* -1: free */
	bool ending; /* takes no more requests; closed once its replies are out */
	bool cut;    /* closed at the end of the step */
	bool subscribed;
	uint32_t filter_count; /* 0: every event */
	char filter[PERRON_SOCKET_EVENT_NAME_MAX][NAME_MAX_SIZE];
	uint32_t interest; /* as told to epoll */
	size_t in_size;
	char *out;
	size_t out_at;
	size_t out_size;
	size_t out_room;
	uint64_t progress_ns; /* last time that the reader took something; 0: not seen by a step */
	char in[PERRON_SOCKET_REQUEST_MAX + 1];
};

struct perron_socket {
	int fd;
	int epoll;
	dev_t device; /* of the socket's file, so that no other's is removed */
	ino_t inode;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const struct perron_request *requests;
	void *context;
	struct perron_socket_counters counters;
	struct client clients[PERRON_SOCKET_CLIENT_MAX];
};

static size_t pending(const struct client *client)
{
	return client->out_size - client->out_at;
}

static void set_interest(struct perron_socket *socket, struct client *client)
{
	uint32_t wanted = 0;

	if (!client->ending && pending(client) < PENDING_PAUSE)
		wanted |= EPOLLIN;
	if (pending(client))
		wanted |= EPOLLOUT;
	if (wanted == client->interest)
		return;
	struct epoll_event event = {.events = wanted,
				    .data.u32 = (uint32_t)(client - socket->clients)};
	if (epoll_ctl(socket->epoll, EPOLL_CTL_MOD, client->fd, &event))
		client->cut = true;
	client->interest = wanted;
}

static void close_client(struct client *client)
{
	close(client->fd); /* leaves epoll by itself */
	free(client->out);
	memset(client, 0, offsetof(struct client, in));
	client->fd = -1;
}

static void flush(struct client *client, uint64_t now_ns)
{
	while (pending(client) && !client->cut) {
		ssize_t sent = send(client->fd, client->out + client->out_at, pending(client),
				    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			client->cut = errno != EAGAIN;
			return;
		}
		client->out_at += (size_t)sent;
		client->progress_ns = now_ns;
	}
	if (!pending(client)) {
		client->out_at = client->out_size = 0;
		client->progress_ns = 0;
	}
}

/* Queues bytes; who lets too much wait is cut off. */
static void put(struct perron_socket *socket, struct client *client, const char *data, size_t size)
{
	if (client->cut)
		return;
	if (pending(client) + size > PERRON_SOCKET_PENDING_MAX) {
		client->cut = true;
		socket->counters.cut_off++;
		return;
	}
	if (client->out_at) {
		memmove(client->out, client->out + client->out_at, pending(client));
		client->out_size -= client->out_at;
		client->out_at = 0;
	}
	if (client->out_size + size > client->out_room) {
		size_t room = client->out_size + size + 4096;
		char *out = realloc(client->out, room);
		if (!out) {
			client->cut = true;
			return;
		}
		client->out = out;
		client->out_room = room;
	}
	memcpy(client->out + client->out_size, data, size);
	client->out_size += size;
}

static void put_json(struct perron_socket *socket, struct client *client, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT);

	if (!text) {
		static const char sorry[] = "{\"ok\":false,\"error\":\"out of memory\"}\n";
		put(socket, client, sorry, sizeof(sorry) - 1);
		return;
	}
	size_t size = strlen(text);
	text[size] = '\n'; /* in place of the final 0 */
	put(socket, client, text, size + 1);
	free(text);
}

static void put_error(struct perron_socket *socket, struct client *client, const char *error)
{
	json_t *reply = json_pack("{s:b,s:s}", "ok", 0, "error", error);

	if (!reply) /* what it quotes was cut within a character */
		reply = json_pack("{s:b,s:s}", "ok", 0, "error", "the request is not understood");
	put_json(socket, client, reply);
	json_decref(reply);
}

/* Adds the handler's members to the reply. Takes `body`. */
static void put_reply(struct perron_socket *socket, struct client *client, json_t *body)
{
	json_t *reply = json_pack("{s:b}", "ok", 1);

	if (reply)
		json_object_update(reply, body);
	put_json(socket, client, reply);
	json_decref(reply);
	json_decref(body);
}

static void subscribe(struct perron_socket *socket, struct client *client, const json_t *request)
{
	const json_t *events = json_object_get(request, "events");
	size_t count = json_array_size(events);

	if (events && (!json_is_array(events) || count > PERRON_SOCKET_EVENT_NAME_MAX)) {
		put_error(socket, client, "'events' is to be a list of at most 16 names");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const char *name = json_string_value(json_array_get(events, i));
		if (!name || strlen(name) >= NAME_MAX_SIZE) {
			put_error(socket, client, "'events' is to be a list of at most 16 names");
			return;
		}
		memcpy(client->filter[i], name, strlen(name) + 1);
	}
	client->filter_count = (uint32_t)count;
	client->subscribed = true;
	put_reply(socket, client, json_pack("{s:b}", "subscribed", 1));
}

static void help(struct perron_socket *socket, struct client *client)
{
	json_t *commands = json_object();

	for (const struct perron_request *r = socket->requests; r->name; r++)
		json_object_set_new(commands, r->name, json_string(r->summary));
	json_object_set_new(commands, "subscribe", json_string("events as they happen"));
	json_object_set_new(commands, "help", json_string("this list"));
	put_reply(socket, client, json_pack("{s:o}", "commands", commands));
}

static void serve(struct perron_socket *socket, struct client *client, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));
	char error[PERRON_REQUEST_ERROR_SIZE] = "failed";

	socket->counters.requests++;
	if (!name) {
		put_error(socket, client, "no 'command'; try {\"command\":\"help\"}");
		return;
	}
	if (!strcmp(name, "subscribe")) {
		subscribe(socket, client, request);
		return;
	}
	if (!strcmp(name, "help")) {
		help(socket, client);
		return;
	}
	const struct perron_request *found = perron_request_find(socket->requests, name);
	if (!found) {
		snprintf(error, sizeof(error), "unknown command '%.40s'; 'help' lists them", name);
		put_error(socket, client, error);
		return;
	}
	json_t *body = found->handle(socket->context, request, error, sizeof(error));
	if (body)
		put_reply(socket, client, body);
	else
		put_error(socket, client, error);
}

static void take_line(struct perron_socket *socket, struct client *client, const char *line,
		      size_t size)
{
	json_error_t where;

	if (size && line[size - 1] == '\r')
		size--;
	if (!size)
		return;
	json_t *request = json_loadb(line, size, JSON_REJECT_DUPLICATES, &where);
	if (json_is_object(request)) {
		serve(socket, client, request);
	} else {
		socket->counters.malformed++;
		put_error(socket, client, "a request is one JSON object in one line");
	}
	json_decref(request);
}

/* Takes the whole lines of what was read, until too many replies wait. */
static void take_lines(struct perron_socket *socket, struct client *client)
{
	size_t at = 0;

	while (!client->cut && pending(client) < PENDING_PAUSE) {
		char *end = memchr(client->in + at, '\n', client->in_size - at);
		if (!end)
			break;
		take_line(socket, client, client->in + at, (size_t)(end - client->in) - at);
		at = (size_t)(end - client->in) + 1;
	}
	memmove(client->in, client->in + at, client->in_size - at);
	client->in_size -= at;
	if (client->in_size > PERRON_SOCKET_REQUEST_MAX &&
	    !memchr(client->in, '\n', client->in_size)) {
		socket->counters.malformed++;
		put_error(socket, client, "a request is at most 4096 bytes long");
		client->in_size = 0;
		client->ending = true;
	}
}

static void read_client(struct perron_socket *socket, struct client *client)
{
	size_t total = 0;

	while (total < READ_MAX && !client->ending && !client->cut &&
	       client->in_size < sizeof(client->in)) {
		ssize_t got = recv(client->fd, client->in + client->in_size,
				   sizeof(client->in) - client->in_size, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			client->cut = errno != EAGAIN;
			return;
		}
		if (!got)
			client->ending = true;
		client->in_size += (size_t)got;
		total += (size_t)got;
		take_lines(socket, client);
	}
}

static bool has_line(const struct client *client)
{
	return client->in_size && memchr(client->in, '\n', client->in_size);
}

static void step_client(struct perron_socket *socket, struct client *client, uint64_t now_ns,
			bool readable)
{
	flush(client, now_ns);
	if (readable)
		read_client(socket, client);
	flush(client, now_ns);
	/* Lines that waited for room; epoll does not know of them. */
	while (has_line(client) && pending(client) < PENDING_PAUSE && !client->cut) {
		take_lines(socket, client);
		flush(client, now_ns);
	}
	if (pending(client) && !client->progress_ns)
		client->progress_ns = now_ns;
	if (pending(client) && now_ns - client->progress_ns >= PERRON_SOCKET_STALL_NS &&
	    !client->cut) {
		client->cut = true;
		socket->counters.cut_off++;
	}
	if (client->ending && !pending(client) && !has_line(client))
		client->cut = true;
	if (!client->cut)
		set_interest(socket, client);
	if (client->cut)
		close_client(client);
}

/* The new client's index; LISTENER: it was refused. */
static uint32_t accept_one(struct perron_socket *socket, int fd)
{
	for (uint32_t i = 0; i < PERRON_SOCKET_CLIENT_MAX; i++) {
		struct client *client = &socket->clients[i];
		if (client->fd >= 0)
			continue;
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
		if (epoll_ctl(socket->epoll, EPOLL_CTL_ADD, fd, &event))
			break;
		client->fd = fd;
		client->interest = EPOLLIN;
		socket->counters.accepted++;
		return i;
	}
	static const char full[] =
	    "{\"ok\":false,\"error\":\"too many clients; end one of them\"}\n";
	if (send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		errno = 0; /* it is refused anyway */
	close(fd);
	socket->counters.refused++;
	return LISTENER;
}

/* Who comes has most often said something already: it counts as readable. */
static void accept_clients(struct perron_socket *socket, bool *readable)
{
	for (int i = 0; i < PERRON_SOCKET_CLIENT_MAX; i++) {
		int fd = accept4(socket->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		uint32_t index = accept_one(socket, fd);
		if (index != LISTENER)
			readable[index] = true;
	}
}

void perron_socket_step(struct perron_socket *socket, uint64_t now_ns)
{
	struct epoll_event events[PERRON_SOCKET_CLIENT_MAX + 1];
	bool readable[PERRON_SOCKET_CLIENT_MAX] = {false};

	PERRON_ASSERT(socket != NULL && socket->fd >= 0);
	int count = epoll_wait(socket->epoll, events, PERRON_SOCKET_CLIENT_MAX + 1, 0);
	for (int i = 0; i < count; i++) {
		if (events[i].data.u32 == LISTENER)
			accept_clients(socket, readable);
		else
			readable[events[i].data.u32] =
			    events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR);
	}
	for (uint32_t i = 0; i < PERRON_SOCKET_CLIENT_MAX; i++) {
		if (socket->clients[i].fd >= 0)
			step_client(socket, &socket->clients[i], now_ns, readable[i]);
	}
}

uint64_t perron_socket_deadline_ns(const struct perron_socket *socket)
{
	uint64_t deadline_ns = UINT64_MAX;

	for (uint32_t i = 0; i < PERRON_SOCKET_CLIENT_MAX; i++) {
		const struct client *client = &socket->clients[i];
		if (client->fd < 0)
			continue;
		if (client->cut || (pending(client) && !client->progress_ns))
			return 0; /* a step is due at once */
		if (pending(client) && client->progress_ns + PERRON_SOCKET_STALL_NS < deadline_ns)
			deadline_ns = client->progress_ns + PERRON_SOCKET_STALL_NS;
	}
	return deadline_ns;
}

static bool wants(const struct client *client, const char *event)
{
	if (client->fd < 0 || !client->subscribed || client->cut)
		return false;
	for (uint32_t i = 0; i < client->filter_count; i++) {
		if (!strcmp(client->filter[i], event))
			return true;
	}
	return !client->filter_count;
}

void perron_socket_publish(struct perron_socket *socket, const char *event, const json_t *body)
{
	json_t *line = NULL;

	PERRON_ASSERT(event != NULL && json_is_object(body));
	for (uint32_t i = 0; i < PERRON_SOCKET_CLIENT_MAX; i++) {
		struct client *client = &socket->clients[i];
		if (!wants(client, event))
			continue;
		if (!line) {
			line = json_pack("{s:s}", "event", event);
			/* jansson counts references in what it only reads */
			json_object_update_missing(line, (json_t *)(uintptr_t)body);
			socket->counters.events++;
		}
		put_json(socket, client, line);
		if (!client->cut)
			flush(client, client->progress_ns);
		if (!client->cut)
			set_interest(socket, client);
	}
	json_decref(line);
}

void perron_socket_counters_read(const struct perron_socket *socket,
				 struct perron_socket_counters *out)
{
	*out = socket->counters;
}

int perron_socket_fd(const struct perron_socket *socket)
{
	return socket->epoll;
}

/* The process that listens at the path; 0: nobody does; or -errno. */
static pid_t listener_of(const struct sockaddr_un *address)
{
	struct ucred credentials = {0};
	socklen_t size = sizeof(credentials);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	int rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
	if (!rc && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size))
		rc = -errno;
	close(fd);
	if (rc == -ECONNREFUSED || rc == -ENOENT)
		return 0;
	/* EAGAIN: somebody listens, whose queue is full. */
	if (rc && rc != -EAGAIN)
		return rc;
	return credentials.pid ? credentials.pid : 1;
}

/* Removes what a killed station left; refuses a live one's. */
static int clear_path(const struct sockaddr_un *address, char *error, size_t error_size)
{
	struct stat status;

	if (lstat(address->sun_path, &status))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode)) {
		snprintf(error, error_size, "%s is no socket: remove it, or set station.socket",
			 address->sun_path);
		return -EEXIST;
	}
	pid_t pid = listener_of(address);
	if (pid > 0) {
		snprintf(error, error_size,
			 "another perrond runs: pid %d listens at %s; stop it, or give this "
			 "station another name",
			 pid, address->sun_path);
		return -EADDRINUSE;
	}
	if (pid < 0) {
		snprintf(error, error_size, "%s cannot be tried: %s", address->sun_path,
			 strerror(-pid));
		return pid;
	}
	return unlink(address->sun_path) && errno != ENOENT ? -errno : 0;
}

static int listen_at(struct perron_socket *self, const struct sockaddr_un *address)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = LISTENER};
	struct stat status;

	self->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (self->fd < 0)
		return -errno;
	mode_t mask = umask(0117); /* the group may ask, others may not */
	int rc = bind(self->fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;
	umask(mask);
	if (rc)
		return rc;
	if (stat(address->sun_path, &status))
		return -errno;
	self->device = status.st_dev;
	self->inode = status.st_ino;
	if (listen(self->fd, PERRON_SOCKET_CLIENT_MAX))
		return -errno;
	self->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (self->epoll < 0 || epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->fd, &event))
		return -errno;
	return 0;
}

/* The directory, made if it is missing, and locked: two stations that start do it in turn. */
static int lock_directory(const char *path, char *error, size_t error_size)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];

	snprintf(copy, sizeof(copy), "%s", path);
	const char *directory = dirname(copy);
	if (mkdir(directory, 0755) && errno != EEXIST) {
		int rc = -errno;
		snprintf(error, error_size, "%s cannot be made: %s; make it, or set station.socket",
			 directory, strerror(-rc));
		return rc;
	}
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX)) {
		int rc = -errno;
		snprintf(error, error_size, "%s cannot be opened: %s", directory, strerror(-rc));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	return fd;
}

static int open_at(struct perron_socket *self, char *error, size_t error_size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memcpy(address.sun_path, self->path, sizeof(address.sun_path));
	int lock = lock_directory(self->path, error, error_size);
	if (lock < 0)
		return lock;
	error[0] = 0;
	int rc = clear_path(&address, error, error_size);
	if (!rc)
		rc = listen_at(self, &address);
	if (rc && !error[0])
		snprintf(error, error_size, "%s cannot be listened at: %s; set station.socket",
			 self->path, strerror(-rc));
	close(lock);
	return rc;
}

int perron_socket_open(struct perron_socket **out, const struct perron_socket_config *config,
		       char *error, size_t error_size)
{
	PERRON_ASSERT(out != NULL && config->requests != NULL && error_size > 0);
	if (strlen(config->path) >= sizeof((*out)->path)) {
		snprintf(error, error_size, "the socket's path is too long; expected at most %zu",
			 sizeof((*out)->path) - 1);
		return -ENAMETOOLONG;
	}
	struct perron_socket *self = calloc(1, sizeof(*self));
	if (!self) {
		snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	self->fd = self->epoll = -1;
	self->requests = config->requests;
	self->context = config->context;
	for (uint32_t i = 0; i < PERRON_SOCKET_CLIENT_MAX; i++)
		self->clients[i].fd = -1;
	strcpy(self->path, config->path);
	int rc = open_at(self, error, error_size);
	if (rc) {
		perron_socket_close(self);
		return rc;
	}
	*out = self;
	return 0;
}

void perron_socket_close(struct perron_socket *self)
{
	struct stat status;

	if (!self)
		return;
	for (uint32_t i = 0; i < PERRON_SOCKET_CLIENT_MAX; i++) {
		if (self->clients[i].fd >= 0)
			close_client(&self->clients[i]);
	}
	/* Only its own file: by now another station may listen there. */
	if (self->inode && !lstat(self->path, &status) && status.st_dev == self->device &&
	    status.st_ino == self->inode)
		unlink(self->path);
	if (self->epoll >= 0)
		close(self->epoll);
	if (self->fd >= 0)
		close(self->fd);
	free(self);
}
