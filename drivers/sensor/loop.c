#include "drivers/sensor/loop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "drivers/sensor/driver.h"

struct perron_sensor_loop {
	struct perron_sensor_sink sink;
	int cpu;
	int epoll_fd;
	int stop_fd; /* eventfd: readable once the thread is to end */
	bool running;
	pthread_t thread;
	uint32_t sensor_count;
	struct perron_sensor sensors[]; /* as many as configured */
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * PERRON_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Opens the device and has it polled; on failure nothing is left open. */
static int sensor_open(struct perron_sensor_loop *loop, struct perron_sensor *sensor,
		       uint64_t now_ns, char *error, size_t error_size)
{
	PERRON_ASSERT(sensor->fd < 0);
	sensor->deadline_ns = PERRON_SENSOR_NEVER;
	int result = sensor->api->open(sensor, now_ns, error, error_size);
	if (result < 0)
		return result;
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = sensor->index};
	if (sensor->fd >= 0 && epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, sensor->fd, &event) < 0) {
		result = -errno;
		snprintf(error, error_size, "cannot be polled: %s", strerror(-result));
		sensor->api->close(sensor);
		return result;
	}
	sensor->opened_ns = now_ns;
	sensor->was_open = true;
	perron_sensor_set_state(sensor, PERRON_SENSOR_OPEN, "", 0);
	return 0;
}

static void sensor_close(struct perron_sensor_loop *loop, struct perron_sensor *sensor)
{
	if (sensor->fd >= 0)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, sensor->fd, NULL);
	sensor->api->close(sensor);
	sensor->deadline_ns = PERRON_SENSOR_NEVER;
	PERRON_ASSERT(sensor->fd < 0);
}

/* Not there: tried again after the back-off, which doubles until something was received. */
static void sensor_wait(struct perron_sensor *sensor, uint64_t now_ns, const char *why,
			int error_number)
{
	sensor->retry_ns = now_ns + sensor->backoff_ns;
	sensor->backoff_ns *= 2;
	if (sensor->backoff_ns > PERRON_SENSOR_BACKOFF_NS_MAX)
		sensor->backoff_ns = PERRON_SENSOR_BACKOFF_NS_MAX;
	perron_sensor_set_state(sensor, PERRON_SENSOR_WAITING, why, error_number);
}

static void sensor_read(struct perron_sensor_loop *loop, struct perron_sensor *sensor,
			uint64_t now_ns)
{
	int result = sensor->api->read(sensor, now_ns, &loop->sink);

	if (result == 0)
		return;
	sensor_close(loop, sensor);
	if (result == -ENODATA) {
		perron_sensor_set_state(sensor, PERRON_SENSOR_CLOSED, "ended", 0);
		return;
	}
	if (sensor->counters.last_message_ns >= sensor->opened_ns)
		sensor->backoff_ns = PERRON_SENSOR_BACKOFF_NS_MIN;
	sensor_wait(sensor, now_ns, "lost; is opened again", -result);
}

static void sensor_retry(struct perron_sensor_loop *loop, struct perron_sensor *sensor,
			 uint64_t now_ns)
{
	char error[PERRON_OPTION_ERROR_SIZE];
	bool again = sensor->was_open;

	int result = sensor_open(loop, sensor, now_ns, error, sizeof(error));
	if (result < 0) {
		perron_sensor_count(&sensor->counters.open_failures, 1);
		sensor_wait(sensor, now_ns, "cannot be opened; is tried again", -result);
	} else if (again) {
		perron_sensor_count(&sensor->counters.reopens, 1);
	}
}

static bool is_open(const struct perron_sensor *sensor)
{
	return sensor->state == PERRON_SENSOR_OPEN || sensor->state == PERRON_SENSOR_SILENT;
}

/* Deadlines and retries that have passed; returns the next one. */
static uint64_t timers_run(struct perron_sensor_loop *loop, uint64_t now_ns)
{
	uint64_t next_ns = PERRON_SENSOR_NEVER;

	for (uint32_t i = 0; i < loop->sensor_count; i++) {
		struct perron_sensor *sensor = &loop->sensors[i];
		uint64_t due_ns;

		if (is_open(sensor) && sensor->deadline_ns <= now_ns)
			sensor_read(loop, sensor, now_ns);
		else if (sensor->state == PERRON_SENSOR_WAITING && sensor->retry_ns <= now_ns)
			sensor_retry(loop, sensor, now_ns);
		due_ns =
		    sensor->state == PERRON_SENSOR_WAITING ? sensor->retry_ns : sensor->deadline_ns;
		if (due_ns < next_ns)
			next_ns = due_ns;
	}
	return next_ns;
}

uint64_t perron_sensor_loop_turn(struct perron_sensor_loop *loop, uint64_t now_ns)
{
	struct epoll_event events[PERRON_SENSOR_COUNT_MAX];

	int count = epoll_wait(loop->epoll_fd, events, PERRON_SENSOR_COUNT_MAX, 0);
	for (int i = 0; i < count; i++) {
		PERRON_ASSERT(events[i].data.u32 < loop->sensor_count);
		struct perron_sensor *sensor = &loop->sensors[events[i].data.u32];
		if (is_open(sensor))
			sensor_read(loop, sensor, now_ns);
	}
	return timers_run(loop, now_ns);
}

static void loop_wait(struct perron_sensor_loop *loop, uint64_t next_ns, struct pollfd *fds)
{
	struct timespec left = {0};
	uint64_t now_ns = monotonic_ns();

	if (next_ns > now_ns) {
		left.tv_sec = (time_t)((next_ns - now_ns) / PERRON_NS_PER_S);
		left.tv_nsec = (long)((next_ns - now_ns) % PERRON_NS_PER_S);
	}
	fds[0] = (struct pollfd){.fd = loop->epoll_fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = loop->stop_fd, .events = POLLIN};
	if (ppoll(fds, 2, next_ns == PERRON_SENSOR_NEVER ? NULL : &left, NULL) <= 0)
		fds[1].revents = 0;
}

static void *loop_main(void *context)
{
	struct perron_sensor_loop *loop = context;
	struct pollfd fds[2] = {0};

	/* Timers to the nanosecond, not to the 50 us that Linux grants an ordinary thread. */
	prctl(PR_SET_TIMERSLACK, 1ul);
	while (!(fds[1].revents & POLLIN)) {
		uint64_t next_ns = perron_sensor_loop_turn(loop, monotonic_ns());
		loop_wait(loop, next_ns, fds);
	}
	return NULL;
}

static int name_twice(const struct perron_sensor_loop_config *config, uint32_t index, char *error,
		      size_t error_size)
{
	const char *name = config->sensors[index].name;

	for (uint32_t i = 0; i < index; i++) {
		if (strcmp(config->sensors[i].name, name) == 0) {
			snprintf(error, error_size,
				 "sensor '%s' is there twice; expected a name of its own", name);
			return -EINVAL;
		}
	}
	return 0;
}

static int sensor_create(struct perron_sensor *sensor, const struct perron_sensor_config *config,
			 char *error, size_t error_size)
{
	uint32_t culprit;

	int result = perron_sensor_config_check(config, &culprit, error, error_size);
	if (result < 0)
		return result;
	const struct perron_sensor_api *api = perron_sensor_driver_find(config->driver);
	sensor->config = config;
	sensor->data = calloc(1, api->data_size);
	if (!sensor->data) {
		snprintf(error, error_size, "no memory for sensor '%s'", config->name);
		return -ENOMEM;
	}
	sensor->api = api;
	return api->prepare ? api->prepare(sensor, error, error_size) : 0;
}

static bool is_optional(const struct perron_sensor_config *config,
			const struct perron_sensor_api *api)
{
	return perron_option_find(api->options, "optional") &&
	       perron_sensor_number(config, api->options, "optional") != 0;
}

/* What an optional device may do at the start: be away. Whatever else is wrong stays an error. */
static bool is_absence(int result)
{
	return result == -ENOENT || result == -ENODEV || result == -ENXIO || result == -EIO ||
	       result == -EADDRNOTAVAIL;
}

static int sensor_start(struct perron_sensor_loop *loop, struct perron_sensor *sensor,
			uint64_t now_ns, char *error, size_t error_size)
{
	char text[PERRON_OPTION_ERROR_SIZE] = "";

	int result = sensor_open(loop, sensor, now_ns, text, sizeof(text));
	if (result < 0 && is_absence(result) && is_optional(sensor->config, sensor->api)) {
		perron_sensor_count(&sensor->counters.open_failures, 1);
		sensor_wait(sensor, now_ns, "cannot be opened; is tried again", -result);
		return 0;
	}
	if (result < 0)
		snprintf(error, error_size, "sensor '%s': %s", sensor->config->name, text);
	return result;
}

static int sensors_create(struct perron_sensor_loop *loop,
			  const struct perron_sensor_loop_config *config, uint64_t now_ns,
			  uint32_t *culprit, char *error, size_t error_size)
{
	int result = 0;

	for (uint32_t i = 0; result == 0 && i < loop->sensor_count; i++) {
		*culprit = i;
		result = sensor_create(&loop->sensors[i], &config->sensors[i], error, error_size);
		if (result == 0)
			result = name_twice(config, i, error, error_size);
	}
	for (uint32_t i = 0; result == 0 && i < loop->sensor_count; i++) {
		*culprit = i;
		result = sensor_start(loop, &loop->sensors[i], now_ns, error, error_size);
	}
	return result;
}

int perron_sensor_loop_create(struct perron_sensor_loop **out,
			      const struct perron_sensor_loop_config *config, uint64_t now_ns,
			      uint32_t *culprit, char *error, size_t error_size)
{
	uint32_t count = config->sensor_count;

	PERRON_ASSERT(count <= PERRON_SENSOR_COUNT_MAX && config->sink.give && culprit);
	*out = NULL;
	*culprit = 0;
	struct perron_sensor_loop *loop =
	    calloc(1, sizeof(*loop) + count * sizeof(loop->sensors[0]));
	if (!loop) {
		snprintf(error, error_size, "no memory for %u sensors", count);
		return -ENOMEM;
	}
	loop->sink = config->sink;
	loop->cpu = config->cpu;
	loop->sensor_count = count;
	for (uint32_t i = 0; i < count; i++) {
		loop->sensors[i].index = i;
		loop->sensors[i].fd = -1;
		loop->sensors[i].deadline_ns = PERRON_SENSOR_NEVER;
		loop->sensors[i].backoff_ns = PERRON_SENSOR_BACKOFF_NS_MIN;
	}
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int result = loop->epoll_fd < 0 || loop->stop_fd < 0 ? -errno : 0;
	if (result < 0)
		snprintf(error, error_size,
			 "no more file descriptors; raise the limit (ulimit -n)");
	else
		result = sensors_create(loop, config, now_ns, culprit, error, error_size);
	if (result < 0) {
		perron_sensor_loop_destroy(loop);
		return result;
	}
	*out = loop;
	return 0;
}

int perron_sensor_loop_start(struct perron_sensor_loop *loop, char *error, size_t error_size)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	cpu_set_t cpus;

	PERRON_ASSERT(!loop->running);
	pthread_attr_init(&attributes);
	CPU_ZERO(&cpus);
	if (loop->cpu >= 0 && loop->cpu < CPU_SETSIZE)
		CPU_SET((size_t)loop->cpu, &cpus);
	if (loop->cpu >= 0)
		pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	/* Signals are housekeeping's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int result = pthread_create(&loop->thread, &attributes, loop_main, loop);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (result == EINVAL && loop->cpu >= 0)
		snprintf(error, error_size, "core %d for the sensor thread does not exist",
			 loop->cpu);
	else if (result)
		snprintf(error, error_size, "no sensor thread: %s", strerror(result));
	if (result)
		return -result;
	pthread_setname_np(loop->thread, "perron-sensor");
	loop->running = true;
	return 0;
}

void perron_sensor_loop_stop(struct perron_sensor_loop *loop)
{
	const uint64_t one = 1;

	if (!loop->running)
		return;
	ssize_t written = write(loop->stop_fd, &one, sizeof(one));
	PERRON_ASSERT(written == (ssize_t)sizeof(one));
	pthread_join(loop->thread, NULL);
	loop->running = false;
	written = read(loop->stop_fd, &(uint64_t){0}, sizeof(uint64_t));
	PERRON_ASSERT(written == (ssize_t)sizeof(uint64_t));
}

void perron_sensor_loop_destroy(struct perron_sensor_loop *loop)
{
	if (!loop)
		return;
	PERRON_ASSERT(!loop->running);
	for (uint32_t i = 0; i < loop->sensor_count; i++) {
		struct perron_sensor *sensor = &loop->sensors[i];
		if (!sensor->api)
			continue;
		if (is_open(sensor))
			sensor_close(loop, sensor);
		if (sensor->api->release)
			sensor->api->release(sensor);
	}
	for (uint32_t i = 0; i < loop->sensor_count; i++)
		free(loop->sensors[i].data);
	if (loop->stop_fd >= 0)
		close(loop->stop_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop);
}

uint32_t perron_sensor_loop_count(const struct perron_sensor_loop *loop)
{
	return loop->sensor_count;
}

void perron_sensor_loop_status(const struct perron_sensor_loop *loop, uint32_t index,
			       struct perron_sensor_status *out)
{
	PERRON_ASSERT(index < loop->sensor_count);
	perron_sensor_status_read(&loop->sensors[index], out);
}
