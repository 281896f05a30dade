/*
 * What a client may send to the command socket: any bytes, over a real one. Whatever comes back is
 * lines of JSON that say whether they are ok, and the station goes on.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/housekeeping/report.h"
#include "runtime/housekeeping/socket.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/runtime/housekeeping/fake.h"

/* More would not fit into a socket's buffer at once. */
#define INPUT_SIZE_MAX 16384

static struct perron_socket *station;
static char path[64];

static void close_station(void)
{
	perron_socket_close(station);
}

static void open_station(void)
{
	struct perron_socket_config config = {path, perron_report_requests,
					      (void *)(uintptr_t)&fake_source};
	char error[256];

	snprintf(path, sizeof(path), "/tmp/perron-fuzz-%d.sock", getpid());
	PERRON_ASSERT(!perron_socket_open(&station, &config, error, sizeof(error)));
	PERRON_ASSERT(!atexit(close_station));
}

static void check_replies(const char *text, size_t size)
{
	while (size) {
		const char *end = memchr(text, '\n', size);
		PERRON_ASSERT(end != NULL);
		json_t *reply = json_loadb(text, (size_t)(end - text), 0, NULL);
		PERRON_ASSERT(json_is_boolean(json_object_get(reply, "ok")));
		json_decref(reply);
		size -= (size_t)(end - text) + 1;
		text = end + 1;
	}
}

/* Steps the station and reads until it closes. */
static size_t receive_all(int fd, char *text, size_t room)
{
	size_t size = 0;

	for (int turns = 0;; turns++) {
		PERRON_ASSERT(turns < 100000); /* the station closes once all is said */
		perron_socket_step(station, 1);
		ssize_t got = recv(fd, text + size, room - size, MSG_DONTWAIT);
		if (got == 0)
			return size;
		if (got > 0)
			size += (size_t)got;
		PERRON_ASSERT(size < room);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[16 << 20];
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (size > INPUT_SIZE_MAX)
		return 0;
	if (!station)
		open_station();
	memcpy(address.sun_path, path, sizeof(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	PERRON_ASSERT(!connect(fd, (struct sockaddr *)&address, sizeof(address)));
	PERRON_ASSERT(send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size);
	shutdown(fd, SHUT_WR);
	check_replies(text, receive_all(fd, text, sizeof(text)));
	close(fd);
	return 0;
}
