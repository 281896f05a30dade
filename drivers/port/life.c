#include "drivers/port/life.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The thread's own files: what it shares with the process, at numbers that it knows. */
#define STOP_FD	   3
#define WAKE_FD	   4
#define OWN_FD	   5
#define RETRY_MS   100
/* Thread-local variables of libraries take room of it, too. */
#define STACK_SIZE (256 * 1024)

static int line_listen(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)unlink(address->sun_path);
	if (fd >= 0 && (bind(fd, (const struct sockaddr *)address, sizeof(*address)) ||
			listen(fd, 1))) {
		close(fd);
		return -1;
	}
	return fd;
}

static int line_connect(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void partner_tell(struct perron_port_life *life, bool is_lost)
{
	const uint64_t one = 1;

	/* Pairs with the loads of whoever asks for the link. */
	atomic_store_explicit(&life->is_lost, is_lost, memory_order_release);
	(void)!write(WAKE_FD, &one, sizeof(one));
}

/* Waits for a partner on `listener`, or connects. -1: not now; nothing was heard within a time. */
static int partner_await(const struct perron_port_life *life, const struct sockaddr_un *address,
			 int listener)
{
	struct pollfd fds[] = {{.fd = STOP_FD, .events = POLLIN},
			       {.fd = listener, .events = POLLIN}};

	int fd = life->listens ? -1 : line_connect(address);
	if (fd >= 0)
		return fd;
	(void)poll(fds, 2, listener >= 0 ? -1 : RETRY_MS);
	return fds[1].revents ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
}

static bool is_stopped(void)
{
	struct pollfd stop = {.fd = STOP_FD, .events = POLLIN};

	return poll(&stop, 1, 0) > 0;
}

/* Until the partner is gone, or we are to stop: nobody ever says anything on the line. */
static void partner_hold(int fd)
{
	struct pollfd fds[] = {{.fd = STOP_FD, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

	do {
		(void)poll(fds, 2, -1);
	} while (!fds[0].revents && !fds[1].revents);
	close(fd);
}

/* A table of files of our own, with nothing in it but the two that are shared on purpose. */
static bool files_part(const struct perron_port_life *life)
{
	if (unshare(CLONE_FILES))
		return false;
	/* Out of each other's way, then to where they belong. */
	int stop = fcntl(life->stop_fd, F_DUPFD_CLOEXEC, OWN_FD);
	int wake = fcntl(life->wake_fd, F_DUPFD_CLOEXEC, OWN_FD);
	bool are_set = stop >= 0 && wake >= 0 && dup2(stop, STOP_FD) == STOP_FD &&
		       dup2(wake, WAKE_FD) == WAKE_FD;
	(void)close_range(OWN_FD, UINT32_MAX, 0);
	return are_set;
}

/*
 * Dies first, of all threads: whoever dies last takes the memory down before it closes its files.
 * Without the right to go first it is as the others are, and mostly early enough.
 */
static void go_first(void)
{
	const struct sched_param first = {.sched_priority = sched_get_priority_max(SCHED_FIFO)};
	cpu_set_t all;

	(void)!sched_setscheduler(0, SCHED_FIFO, &first);
	memset(&all, 0xff, sizeof(all));
	(void)!sched_setaffinity(0, sizeof(all), &all);
}

static void *life_run(void *context)
{
	struct perron_port_life *life = context;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = -1;

	if (!files_part(life))
		return NULL;
	go_first();
	memcpy(address.sun_path, life->path, sizeof(life->path));
	while (!is_stopped()) {
		if (life->listens && listener < 0)
			listener = line_listen(&address);
		int fd = partner_await(life, &address, listener);
		if (fd < 0)
			continue;
		partner_tell(life, false);
		partner_hold(fd);
		if (!is_stopped())
			partner_tell(life, true);
	}
	return NULL;
}

static int thread_start(struct perron_port_life *life)
{
	pthread_attr_t attributes;
	int result = pthread_attr_init(&attributes);

	if (result)
		return -result;
	result = pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (!result)
		result = pthread_create(&life->thread, &attributes, life_run, life);
	pthread_attr_destroy(&attributes);
	return -result;
}

int perron_port_life_open(struct perron_port_life *life, const char *path, bool listens)
{
	int result = -ENAMETOOLONG;

	*life = (struct perron_port_life){.listens = listens, .stop_fd = -1, .wake_fd = -1};
	if (strlen(path) >= sizeof(life->path))
		return result;
	memcpy(life->path, path, strlen(path) + 1);
	life->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	life->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	result = life->stop_fd < 0 || life->wake_fd < 0 ? -EMFILE : thread_start(life);
	life->running = result == 0;
	if (!life->running)
		perron_port_life_close(life);
	return result;
}

void perron_port_life_close(struct perron_port_life *life)
{
	const uint64_t one = 1;

	if (life->running) {
		(void)!write(life->stop_fd, &one, sizeof(one));
		(void)pthread_join(life->thread, NULL);
		if (life->listens)
			(void)unlink(life->path);
	}
	if (life->stop_fd > 0)
		close(life->stop_fd);
	if (life->wake_fd > 0)
		close(life->wake_fd);
	*life = (struct perron_port_life){.stop_fd = -1, .wake_fd = -1};
}

int perron_port_life_fd(const struct perron_port_life *life)
{
	return life->running ? life->wake_fd : -1;
}
