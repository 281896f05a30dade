#include "apps/station/station.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "apps/station/private.h"
#include "platform/realtime.h"
#include "runtime/housekeeping/report.h"
#include "runtime/housekeeping/telemetry.h"
#include "runtime/lcore/loop.h"

/* Housekeeping sleeps this long after a turn with work, and twice as long after each without. */
#define SLEEP_NS_MIN 50000ull
#define SLEEP_NS_MAX 1000000ull
/*
 * The same where lcores back off, and stations share a core: an event that comes after silence
 * waits for up to this, and one that comes in an exchange for no longer than the exchange takes.
 */
#define SHARED_SLEEP_NS_MAX 4000000ull
/* Leaving in order may take this long. */
#define LEAVE_NS 500000000ull
/* Of 5 ms each. */
#define PAGES_LOCK_TRIES 2000

/* For perron_station_dump, which has no argument but what went wrong. */
static struct perron_station *the_station;

void station_say(const struct perron_station *s, const char *format, ...)
{
	char text[STATION_TEXT_SIZE];
	va_list list;

	if (s->config.quiet)
		return;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	uint64_t ms = (perron_clock_now_ns() - s->created_ns) / 1000000;
	fprintf(stderr, "[%5llu.%03llu] %s\n", (unsigned long long)(ms / 1000),
		(unsigned long long)(ms % 1000), text);
}

void station_publish(struct perron_station *s, const char *event, json_t *body)
{
	if (s->socket && body)
		perron_socket_publish(s->socket, event, body);
	json_decref(body);
}

static struct perron_station *station_new(const struct perron_station_config *config)
{
	struct perron_station *s = aligned_alloc(64, (sizeof(*s) + 63) & ~(size_t)63);

	if (!s)
		return NULL;
	perron_clock_init();
	memset(s, 0, sizeof(*s));
	s->config = *config;
	s->descriptor = config->descriptor;
	s->created_ns = perron_clock_now_ns();
	s->now_ns = s->created_ns;
	s->sleep_ns = SLEEP_NS_MIN;
	s->interfaces_fd = -1;
	return s;
}

int perron_station_check(const struct perron_station_config *config, char *error, size_t error_size)
{
	struct perron_station *s = station_new(config);

	if (!s) {
		snprintf(error, error_size, "no memory");
		return -ENOMEM;
	}
	int ret = station_check(s, error, error_size);
	if (!ret)
		ret = station_plan(s, error, error_size);
	free(s);
	return ret;
}

/* Called on the sensor thread. */
static int sensor_give(void *context, uint32_t index, uint64_t stamp_ns, uint8_t class_hint,
		       const uint8_t *data, uint32_t size)
{
	struct perron_station *s = context;
	const struct station_sensor *sensor = &s->sensors[index];
	const struct station_peer *peer = &s->peers[sensor->peer_index];
	struct perron_lcore *l = &s->lcores[peer->lcore];
	const struct perron_lcore_message head = {
	    .stamp_ns = stamp_ns, .stream = sensor->stream, .traced = true};

	(void)class_hint;
	if (size == 0 || size > PERRON_LCORE_MESSAGE_SIZE_MAX)
		return -EMSGSIZE;
	uint8_t *at = perron_spsc_reserve(l->messages, (uint32_t)sizeof(head) + size);
	if (!at)
		return -EAGAIN;
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), data, size);
	perron_spsc_commit(l->messages, peer->machine, (uint32_t)sizeof(head) + size);
	perron_lcore_wake(l);
	return 0;
}

static int sensors_open(struct perron_station *s, char *error, size_t error_size)
{
	static struct perron_sensor_config configs[STATION_SENSOR_MAX];
	const struct perron_sensor_loop_config config = {
	    .sensors = configs,
	    .sensor_count = s->descriptor->sensor_count,
	    .sink = {.give = sensor_give, .context = s},
	    .cpu = s->choice.housekeeping,
	};
	char what[STATION_TEXT_SIZE];
	uint32_t culprit = 0;

	if (config.sensor_count == 0)
		return 0;
	station_sensor_configs(s->descriptor, configs);
	int ret = perron_sensor_loop_create(&s->sensor_loop, &config, s->now_ns, &culprit, what,
					    sizeof(what));
	if (!ret)
		return 0;
	struct perron_descriptor_place place = {0, 0};
	if (culprit < config.sensor_count)
		place = s->descriptor->sensors[culprit].driver.place;
	perron_descriptor_error(s->descriptor, place, what, error, error_size);
	return ret;
}

static int socket_open(struct perron_station *s, char *error, size_t error_size)
{
	const struct perron_socket_config config = {
	    .path = s->descriptor->station.socket,
	    .requests = s->requests,
	    .context = &s->snapshot,
	};

	if (s->config.no_socket)
		return 0;
	station_requests_init(s);
	return perron_socket_open(&s->socket, &config, error, error_size);
}

static int telemetry_start(struct perron_station *s, char *error, size_t error_size)
{
	if (s->config.no_socket)
		return 0;
	return perron_telemetry_register(perron_report_requests, &s->snapshot, error, error_size);
}

static void plan_tell(const struct perron_station *s)
{
	if (s->config.quiet)
		return;
	station_say(s, "boot: %s", s->choice.why);
	station_say(s, "boot: %s", s->pages.why);
	perron_memory_plan_print(&s->plan, stderr);
}

/*
 * Stations that start together take their huge pages one after the other: who looked at what is
 * free has it before the next one looks. The lock is the kernel's directory of pools, so it goes
 * with its holder and leaves no file. -1: none is needed, or none was to be had in time.
 */
static int pages_lock(const struct perron_station *s)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	if (s->descriptor->station.huge_pages == PERRON_DESCRIPTOR_HUGE_NO)
		return -1;
	int fd = open("/sys/kernel/mm/hugepages", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (uint32_t i = 0; fd >= 0 && i < PAGES_LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		nanosleep(&pause, NULL);
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static int station_plan_and_start_eal(struct perron_station *s, char *error, size_t error_size)
{
	int lock = pages_lock(s);
	int ret = station_plan(s, error, error_size);

	if (!ret) {
		plan_tell(s);
		ret = station_eal_start(s, station_pool_size(s), error, error_size);
	}
	if (lock >= 0)
		close(lock);
	return ret;
}

static int station_raise(struct perron_station *s, char *error, size_t error_size)
{
	int ret = station_check(s, error, error_size);

	if (!ret)
		ret = station_plan(s, error, error_size);
	if (!ret)
		ret = sensors_open(s, error, error_size);
	/* The socket before all else that lasts: it tells whether this station runs already. */
	station_snapshot_init(s);
	if (!ret)
		ret = socket_open(s, error, error_size);
	if (!ret)
		ret = station_plan_and_start_eal(s, error, error_size);
	if (ret)
		return ret;
	station_say(s, "boot: the EAL is up");
	rcu_register_thread();
	s->is_reader = true;
	/* Makes liburcu's own thread now, and not with the first view. */
	(void)get_default_call_rcu_data();
	s->now_ns = perron_clock_now_ns();
	ret = station_build(s, error, error_size);
	if (!ret)
		ret = telemetry_start(s, error, error_size);
	if (!ret)
		ret = station_control_start(s, error, error_size);
	if (!ret)
		station_ports_watch(s);
	return ret;
}

int perron_station_create(struct perron_station **out, const struct perron_station_config *config,
			  char *error, size_t error_size)
{
	PERRON_ASSERT(!the_station);
	struct perron_station *s = station_new(config);

	if (!s) {
		snprintf(error, error_size, "no memory");
		return -ENOMEM;
	}
	int ret = station_raise(s, error, error_size);
	if (ret) {
		perron_station_destroy(s);
		return ret;
	}
	the_station = s;
	*out = s;
	station_say(s, "boot: %u peers, %u sensors, %u ports on %u lcores are ready", s->peer_count,
		    s->sensor_count, s->port_open_count, s->lcore_count);
	return 0;
}

/* The EAL waits in a busy loop: under SCHED_FIFO no lcore that shares our core would ever end. */
static void lcores_await(void)
{
	const struct timespec pause = {.tv_nsec = SLEEP_NS_MIN};
	unsigned id;

	for (id = rte_get_next_lcore(UINT32_MAX, 1, 0); id < RTE_MAX_LCORE;
	     id = rte_get_next_lcore(id, 1, 0))
		while (rte_eal_get_lcore_state(id) == RUNNING)
			nanosleep(&pause, NULL);
}

static void lcores_stop(struct perron_station *s)
{
	for (uint32_t i = 0; i < s->lcore_count; i++) {
		atomic_store_explicit(&s->lcores[i].stop, 1, memory_order_relaxed);
		perron_lcore_wake(&s->lcores[i]);
	}
	rcu_thread_offline();
	lcores_await();
	rte_eal_mp_wait_lcore();
	rcu_thread_online();
}

/* All threads are there: lcores, sensors, the EAL's and liburcu's own. */
static int realtime_begin(const struct perron_station *s, char *error, size_t error_size)
{
	const struct perron_descriptor_station *d = &s->descriptor->station;
	char what[STATION_TEXT_SIZE];
	int ret = perron_realtime_begin(d->priority, what, sizeof(what));

	if (ret)
		perron_descriptor_error(
		    s->descriptor, perron_descriptor_place_of(&d->places, "station", "scheduling"),
		    what, error, error_size);
	return ret;
}

int perron_station_start(struct perron_station *s, char *error, size_t error_size)
{
	uint32_t index = 0;
	unsigned id;

	PERRON_ASSERT(!s->started);
	perron_memory_plan_seal(&s->plan);
	s->started = true;
	for (id = rte_get_next_lcore(UINT32_MAX, 1, 0);
	     id < RTE_MAX_LCORE && index < s->lcore_count; id = rte_get_next_lcore(id, 1, 0)) {
		if (rte_eal_remote_launch(perron_lcore_main, &s->lcores[index], id) != 0) {
			snprintf(error, error_size, "lcore %u does not start", id);
			return -EBUSY;
		}
		index++;
	}
	if (s->sensor_loop) {
		int ret = perron_sensor_loop_start(s->sensor_loop, error, error_size);
		if (ret)
			return ret;
		s->sensors_started = true;
	}
	if (s->descriptor->station.scheduling == PERRON_DESCRIPTOR_SCHEDULING_FIFO) {
		int ret = realtime_begin(s, error, error_size);
		if (ret)
			return ret;
	}
	station_say(s, "boot: running after %.0f ms",
		    (double)(perron_clock_now_ns() - s->created_ns) / 1e6);
	return 0;
}

static void lcores_watch(struct perron_station *s)
{
	if (s->now_ns < s->watch_due_ns)
		return;
	s->watch_due_ns = s->now_ns + STATION_WATCH_NS;
	for (uint32_t i = 0; i < s->lcore_count; i++) {
		struct perron_lcore *l = &s->lcores[i];
		uint64_t beat = atomic_load_explicit(&l->beat, memory_order_relaxed);
		if (!perron_watch_look(&s->watches[i], beat))
			continue;
		bool stalled = s->watches[i].stalled;
		station_say(s, "lcore %u on core %u %s", i, l->cpu,
			    stalled ? "has not turned for a second" : "turns again");
		station_publish(s, stalled ? "lcore-stalled" : "lcore-turns",
				json_pack("{s:I}", "core", (json_int_t)l->cpu));
	}
}

static void clock_renew(struct perron_station *s)
{
	if (s->now_ns < s->clock_due_ns)
		return;
	s->clock_due_ns = s->now_ns + perron_clock_recalibrate();
	station_control_clock(s);
}

/* People's side; whether a descriptor of theirs is to be waited for. */
static uint32_t people_fds(const struct perron_station *s, struct pollfd *fds)
{
	if (!s->socket)
		return 0;
	fds[0] = (struct pollfd){.fd = perron_socket_fd(s->socket), .events = POLLIN};
	fds[1] = (struct pollfd){.fd = perron_telemetry_fd(), .events = POLLIN};
	return 2;
}

static void people_serve(struct perron_station *s)
{
	if (!s->socket)
		return;
	perron_socket_step(s->socket, s->now_ns);
	perron_telemetry_step();
}

/* How long nothing is to be done, as far as is known. */
static uint64_t sleep_length_ns(struct perron_station *s, bool worked)
{
	uint64_t max_ns = s->choice.idle == PERRON_IDLE_SPIN || s->ports_polled
			      ? SLEEP_NS_MAX
			      : SHARED_SLEEP_NS_MAX;
	uint64_t due_ns = station_control_deadline_ns(s);

	s->sleep_ns = worked ? SLEEP_NS_MIN : 2 * s->sleep_ns;
	if (s->sleep_ns > max_ns)
		s->sleep_ns = max_ns;
	if (due_ns <= s->now_ns + SLEEP_NS_MIN)
		return SLEEP_NS_MIN;
	return due_ns - s->now_ns < s->sleep_ns ? due_ns - s->now_ns : s->sleep_ns;
}

static void sleep_until_work(struct perron_station *s, bool worked)
{
	struct pollfd fds[2 + STATION_PORT_FD_MAX];
	uint32_t fd_count = people_fds(s, fds);

	fd_count += station_ports_fds(s, fds + fd_count);
	const struct timespec wait = {.tv_nsec = (long)sleep_length_ns(s, worked)};
	rcu_thread_offline();
	int ready = ppoll(fds, fd_count, &wait, NULL);
	rcu_thread_online();
	s->now_ns = perron_clock_now_ns();
	if (ready > 0 || (s->socket && s->now_ns >= perron_socket_deadline_ns(s->socket)))
		people_serve(s);
}

static void joined_tell(struct perron_station *s)
{
	bool joined = perron_station_is_joined(s);

	if (joined && !s->all_joined)
		station_say(s, "all %u peers joined after %.0f ms", s->peer_count,
			    (double)(s->now_ns - s->created_ns) / 1e6);
	s->all_joined = joined;
}

void perron_station_turn(struct perron_station *s)
{
	s->now_ns = perron_clock_now_ns();
	atomic_store_explicit(&s->beat, atomic_load_explicit(&s->beat, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	clock_renew(s);
	station_ports_keep(s);
	lcores_watch(s);
	bool worked = station_control_turn(s);
	joined_tell(s);
	sleep_until_work(s, worked);
}

static int refused_fail(const struct perron_station *s, char *error, size_t error_size)
{
	for (uint32_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].id == s->refused)
			snprintf(error, error_size,
				 "peer %u was refused: %s; give each peer of the overlay an id of "
				 "its own",
				 s->refused,
				 s->peers[i].view.why[0] ? s->peers[i].view.why
							 : "another station has its id");
	return -EEXIST;
}

int perron_station_run(struct perron_station *s, const volatile sig_atomic_t *stop,
		       uint64_t until_ns, char *error, size_t error_size)
{
	PERRON_ASSERT(s->started && !s->stopped);
	while (!(stop && *stop) && s->now_ns < until_ns) {
		perron_station_turn(s);
		if (s->refused)
			return refused_fail(s, error, error_size);
	}
	return 0;
}

static bool all_left(const struct perron_station *s)
{
	for (uint32_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].view.state != PERRON_OVERLAY_LEFT &&
		    s->peers[i].view.state != PERRON_OVERLAY_REFUSED)
			return false;
	return station_control_is_quiet(s);
}

static void overlay_leave(struct perron_station *s)
{
	uint64_t until_ns = perron_clock_now_ns() + LEAVE_NS;

	s->leaving = true;
	station_control_leave(s);
	do {
		perron_station_turn(s);
	} while (!all_left(s) && s->now_ns < until_ns);
	/* What the lcores have taken leaves with their next turns. */
	for (int i = 0; i < 3; i++)
		perron_station_turn(s);
}

void perron_station_stop(struct perron_station *s)
{
	if (!s->started || s->stopped)
		return;
	s->stopped = true;
	if (s->sensors_started)
		perron_sensor_loop_stop(s->sensor_loop);
	overlay_leave(s);
	lcores_stop(s);
	station_say(s, "stopped");
}

void perron_station_destroy(struct perron_station *s)
{
	if (!s)
		return;
	perron_station_stop(s);
	the_station = NULL;
	if (!s->config.no_socket && s->eal_is_up)
		perron_telemetry_stop();
	perron_sensor_loop_destroy(s->sensor_loop);
	perron_socket_close(s->socket);
	station_ports_unwatch(s);
	if (s->is_reader) {
		rcu_thread_offline();
		rcu_barrier();
		rcu_thread_online();
		rcu_unregister_thread();
		station_unbuild(s);
	}
	if (s->eal_is_up)
		rte_eal_cleanup();
	free(s);
}

bool perron_station_is_joined(const struct perron_station *s)
{
	for (uint32_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].view.state != PERRON_OVERLAY_JOINED)
			return false;
	return true;
}

static const struct station_peer *peer_find(const struct perron_station *s, uint32_t id)
{
	for (uint32_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].id == id)
			return &s->peers[i];
	return NULL;
}

bool perron_station_view(const struct perron_station *s, uint32_t peer_id, struct perron_view *out)
{
	const struct station_peer *peer = peer_find(s, peer_id);

	if (!peer)
		return false;
	s->ops->view(peer->overlay, perron_clock_now_ns(), out);
	return true;
}

bool perron_station_counters(const struct perron_station *s, uint32_t peer_id,
			     struct perron_relay_counters *out)
{
	const struct station_peer *peer = peer_find(s, peer_id);

	if (!peer)
		return false;
	perron_relay_counters_read(peer->relay, out);
	return true;
}

int perron_station_subscribe(struct perron_station *s, uint32_t client_index, const char *sensor,
			     enum perron_class class, uint32_t latency_us,
			     const struct perron_qos *qos)
{
	PERRON_ASSERT(client_index < s->client_count);
	struct station_client *client = &s->clients[client_index];
	struct station_subscribe command = {
	    .class = class, .latency_us = latency_us, .qos = qos ? *qos : (struct perron_qos){0}};

	if (!perron_sensor_name_is_valid(sensor) || class >= PERRON_CLASS_OVERLAY ||
	    !perron_qos_is_valid(&command.qos))
		return -EINVAL;
	uint32_t count_max = client->config->subscription_count_max;
	if (count_max && client->subscription_count == count_max)
		return -ENOSPC;
	snprintf(command.sensor, sizeof(command.sensor), "%s", sensor);
	if (!station_command_push(s, client->lcore, client->machine, &command, sizeof(command)))
		return -EAGAIN;
	return (int)client->subscription_count++;
}

void perron_station_subscription(const struct perron_station *s, uint32_t client_index,
				 uint32_t subscription, struct perron_subscription_info *out)
{
	PERRON_ASSERT(client_index < s->client_count);
	PERRON_ASSERT(subscription < s->clients[client_index].subscription_count);
	perron_client_info(s->clients[client_index].client, subscription, out);
}

const struct perron_snapshot_source *perron_station_snapshot(const struct perron_station *s)
{
	return &s->snapshot;
}

static void record_dump(int fd, const struct perron_lcore_record *record)
{
	static const char *const kinds[] = {"?",       "send",	  "forward", "hold",
					    "release", "deliver", "command", "event",
					    "indicate"};
	char line[128];
	uint8_t kind = record->kind < sizeof(kinds) / sizeof(kinds[0]) ? record->kind : 0;
	int size =
	    snprintf(line, sizeof(line), "  %llu machine %u %s class %u flags %u frame %llx\n",
		     (unsigned long long)record->now_ns, record->machine, kinds[kind],
		     record->class, record->flags, (unsigned long long)record->handle);

	if (write(fd, line, (size_t)size) < 0)
		return;
}

void perron_station_dump(int fd)
{
	const struct perron_station *s = the_station;

	if (!s || !s->lcores)
		return;
	for (uint32_t i = 0; i < s->lcore_count; i++) {
		const struct perron_lcore *l = &s->lcores[i];
		dprintf(fd, "lcore %u on core %u, last effects:\n", i, l->cpu);
		for (uint32_t k = 0; k < PERRON_LCORE_RECORDER_SIZE; k++) {
			const struct perron_lcore_record *record =
			    &l->recorder[(l->recorder_next + k) & (PERRON_LCORE_RECORDER_SIZE - 1)];
			if (record->kind)
				record_dump(fd, record);
		}
	}
}
