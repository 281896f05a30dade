#include "apps/libperron/perron.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "apps/libperron/portal.h"
#include "apps/libperron/session.h"

#define NS_PER_MS ((uint64_t)1000000)
/* What an incarnation counts from: 2025-01-01. In tenths of seconds it lasts for 13 years. */
#define INCARNATION_EPOCH_NS 1735689600000000000ull

static_assert((int)PERRON_TRAFFIC_ALARM == PERRON_CLASS_ALARM, "one numbering");
static_assert((int)PERRON_TRAFFIC_CRITICAL == PERRON_CLASS_CRITICAL, "one numbering");
static_assert((int)PERRON_TRAFFIC_NORMAL == PERRON_CLASS_NORMAL, "one numbering");
static_assert(PERRON_TRACE_COUNT_MAX == PERRON_TRACE_HOP_COUNT_MAX, "each hop has its place");
static_assert(sizeof(((struct perron_subscription *)0)->sensor) == PERRON_SENSOR_NAME_MAX + 1,
	      "a name and its zero");

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

/* A program that has its own way to fail keeps it. */
__attribute__((weak)) _Noreturn void perron_assert_failed(const char *condition, const char *file,
							  int line)
{
	fprintf(stderr, "libperron: %s:%d: assertion failed: %s\n", file, line, condition);
	abort();
}

const char *perron_version(void)
{
	return TEXT(PERRON_VERSION_MAJOR) "." TEXT(PERRON_VERSION_MINOR) "." TEXT(
		PERRON_VERSION_PATCH);
}

void perron_options_default(struct perron_options *options)
{
	*options = (struct perron_options){
		.size = sizeof(*options),
		.overlay = 1,
		.patience_ms = 5000,
		.subscription_count_max = 8,
		.window = 1024,
		.socket_buffer_size = 4u << 20,
		.lost_ms = 1500,
	};
}

__attribute__((format(printf, 3, 4))) static int fail(struct perron *p, int status,
						      const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(p->error, sizeof(p->error), format, arguments);
	va_end(arguments);
	return status;
}

static int options_check(struct perron *p, const struct perron_options *o)
{
	struct in_addr address;

	if (o->size != sizeof(*o))
		return fail(p, -EINVAL, "options.size is %" PRIu32 ", not %zu; call "
					"perron_options_default of this release's perron.h",
			    o->size, sizeof(*o));
	if (o->subscription_count_max < 1 || o->subscription_count_max > PERRON_SUBSCRIPTIONS_MAX)
		return fail(p, -EINVAL, "options.subscription_count_max is %u; choose 1 to %d",
			    o->subscription_count_max, PERRON_SUBSCRIPTIONS_MAX);
	if (o->window < 64 || o->window > 16384 || (o->window & (o->window - 1)))
		return fail(p, -EINVAL,
			    "options.window is %" PRIu32 "; choose a power of two from 64 to 16384",
			    o->window);
	if (o->lost_ms < 600 || o->lost_ms > 600000)
		return fail(p, -EINVAL, "options.lost_ms is %" PRIu32 "; choose 600 to 600000",
			    o->lost_ms);
	if (o->client_id & PERRON_CLIENT_ID)
		return fail(p, -EINVAL, "options.client_id is %" PRIu32 "; choose less than 2^31",
			    o->client_id);
	if (o->port_base > 65535 - (PERRON_CLASS_COUNT - 1))
		return fail(p, -EINVAL, "options.port_base is %u; choose at most 65532",
			    o->port_base);
	if (o->bind_address && inet_pton(AF_INET, o->bind_address, &address) != 1)
		return fail(p, -EINVAL, "options.bind_address \"%s\" is no IPv4 address",
			    o->bind_address);
	return 0;
}

static uint64_t realtime_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t client_id_draw(void)
{
	uint32_t id = 0;

	if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != (ssize_t)sizeof(id))
		id = (uint32_t)perron_session_now_ns() ^ (uint32_t)getpid() << 16;
	return id;
}

static void config_fill(struct perron *p)
{
	struct perron_client_config *cfg = &p->cfg;
	uint64_t before_ns = perron_session_now_ns();
	uint64_t real_ns = realtime_ns();
	uint64_t after_ns = perron_session_now_ns();

	p->clock_offset_ns = real_ns - (before_ns + (after_ns - before_ns) / 2);
	cfg->id = (p->options.client_id ? p->options.client_id : client_id_draw()) |
		  PERRON_CLIENT_ID;
	cfg->incarnation = (uint32_t)((real_ns - INCARNATION_EPOCH_NS) / (100 * NS_PER_MS)) | 1;
	cfg->overlay = p->options.overlay;
	cfg->subscription_count_max = p->options.subscription_count_max;
	cfg->window = p->options.window;
	cfg->lost_ns = p->options.lost_ms * NS_PER_MS;
	/* "Unknown" is to be certain before patience runs out. */
	if (cfg->sure_ns > p->options.patience_ms * NS_PER_MS / 2)
		cfg->sure_ns = p->options.patience_ms * NS_PER_MS / 2;
	cfg->clock_offset_ns = p->clock_offset_ns;
}

static int memory_take(struct perron *p)
{
	uint32_t entries = p->options.subscription_count_max;
	/* Windows, a burst of each class, and the one that the program looks at. */
	uint32_t buffers = entries * p->options.window +
			   PERRON_CLASS_COUNT * PERRON_BURST_MAX + 1;

	p->effects.capacity = PERRON_EFFECT_COUNT_MAX;
	p->effects.arena_size = PERRON_EFFECT_ARENA_SIZE;
	p->client = calloc(1, perron_client_size(&p->cfg));
	p->queue = calloc(buffers, sizeof(*p->queue));
	p->entries = calloc(entries, sizeof(*p->entries));
	p->assembly_memory = malloc((size_t)entries * PERRON_MESSAGE_SIZE_MAX);
	p->effects.items = calloc(p->effects.capacity, sizeof(*p->effects.items));
	p->effects.arena = malloc(p->effects.arena_size);
	if (!p->client || !p->queue || !p->entries || !p->assembly_memory ||
	    !p->effects.items || !p->effects.arena || perron_pool_init(&p->pool, buffers))
		return fail(p, -ENOMEM,
			    "no memory for %" PRIu32 " frames; lower options.window or "
			    "options.subscription_count_max",
			    buffers);
	return 0;
}

static int poll_add(struct perron *p, int fd, uint32_t which)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = which};

	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int poll_open(struct perron *p)
{
	int status = 0;

	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (p->epoll_fd < 0 || p->timer_fd < 0)
		status = -1;
	for (uint32_t i = 0; !status && i < PERRON_CLASS_COUNT; i++)
		status = poll_add(p, p->udp.fds[i], i);
	if (!status)
		status = poll_add(p, p->timer_fd, PERRON_CLASS_COUNT);
	if (status)
		return fail(p, -errno, "no descriptors to wait with: %s; raise ulimit -n",
			    strerror(errno));
	return 0;
}

static int session_open(struct perron *p, const char *portals)
{
	struct in_addr bind_address = {0};
	int count, status;

	status = options_check(p, &p->options);
	if (status)
		return status;
	perron_client_config_default(&p->cfg);
	count = perron_portals_parse(portals, p->cfg.portal, p->error, sizeof(p->error));
	if (count < 0)
		return count;
	p->cfg.portal_count = (uint32_t)count;
	if (p->options.bind_address)
		(void)inet_pton(AF_INET, p->options.bind_address, &bind_address);
	status = perron_udp_open(&p->udp, ntohl(bind_address.s_addr), p->options.port_base,
				 p->cfg.portal[0].endpoint, p->options.socket_buffer_size,
				 p->error, sizeof(p->error));
	if (status)
		return status;
	p->options.bind_address = NULL; /* the caller's; not needed any more */
	p->cfg.endpoint = p->udp.own;
	config_fill(p);
	status = memory_take(p);
	if (!status)
		status = poll_open(p);
	if (!status && perron_client_init(p->client, &p->cfg, perron_session_now_ns()))
		status = fail(p, -EINVAL, "the options contradict each other");
	return status;
}

struct perron *perron_open(const char *portals, const struct perron_options *options, char *error,
			   size_t error_size)
{
	struct perron *p = calloc(1, sizeof(*p));

	if (!p) {
		if (error)
			snprintf(error, error_size, "no memory for a client");
		return NULL;
	}
	p->epoll_fd = -1;
	p->timer_fd = -1;
	p->armed_ns = UINT64_MAX;
	p->pinned = -1;
	for (uint32_t i = 0; i < PERRON_CLASS_COUNT; i++)
		p->udp.fds[i] = -1;
	if (options)
		p->options = *options;
	else
		perron_options_default(&p->options);
	if (session_open(p, portals) == 0)
		return p;
	if (error)
		snprintf(error, error_size, "%s", p->error);
	perron_close(p);
	return NULL;
}

static struct perron_entry *entry_of(const struct perron *p, int subscription)
{
	if (subscription < 0 || subscription >= p->options.subscription_count_max)
		return NULL;
	struct perron_entry *e = &p->entries[subscription];
	return e->used ? e : NULL;
}

static struct perron_entry *entry_take(struct perron *p, const char *sensor,
				       enum perron_traffic traffic)
{
	for (uint32_t i = 0; i < p->options.subscription_count_max; i++) {
		struct perron_entry *e = &p->entries[i];

		if (e->used)
			continue;
		memset(e, 0, sizeof(*e));
		e->used = true;
		e->traffic = traffic;
		snprintf(e->sensor, sizeof(e->sensor), "%s", sensor);
		e->asked_ns = perron_session_now_ns();
		e->assembly.data = p->assembly_memory + (size_t)i * PERRON_MESSAGE_SIZE_MAX;
		return e;
	}
	return NULL;
}

static bool entry_exists(const struct perron *p, const char *sensor, enum perron_traffic traffic)
{
	for (uint32_t i = 0; i < p->options.subscription_count_max; i++) {
		const struct perron_entry *e = &p->entries[i];

		if (e->used && e->traffic == traffic && strcmp(e->sensor, sensor) == 0)
			return true;
	}
	return false;
}

static int subscribe(struct perron *p, const char *sensor, enum perron_traffic traffic,
		     uint32_t latency_max_us, const struct perron_qos *qos)
{
	if (!perron_sensor_name_is_valid(sensor))
		return fail(p, -EINVAL,
			    "sensor \"%.40s\": no name; use 1 to %d of A-Z a-z 0-9 . _ / -",
			    sensor, PERRON_SENSOR_NAME_MAX);
	if (traffic < PERRON_TRAFFIC_ALARM || traffic > PERRON_TRAFFIC_NORMAL)
		return fail(p, -EINVAL, "sensor \"%s\": class %d is none; use alarm, critical or "
					"normal", sensor, (int)traffic);
	if (entry_exists(p, sensor, traffic))
		return fail(p, -EEXIST, "sensor \"%s\": subscribed in class %s already; "
					"perron_unsubscribe first", sensor,
			    perron_class_name((enum perron_class)traffic));
	struct perron_entry *e = entry_take(p, sensor, traffic);
	if (!e)
		return fail(p, -ENOSPC, "sensor \"%s\": all %u subscriptions are in use; raise "
					"options.subscription_count_max", sensor,
			    p->options.subscription_count_max);
	e->machine = perron_client_subscribe(p->client, e->asked_ns, sensor,
					     (enum perron_class)traffic, latency_max_us, qos,
					     &p->effects);
	if (e->machine < 0) {
		e->used = false;
		return fail(p, e->machine, "sensor \"%s\": another of the same number on the wire "
					   "is subscribed, or one still ends; try again", sensor);
	}
	p->entry_of[e->machine] = (int32_t)(e - p->entries);
	p->starting_count++;
	perron_session_apply(p);
	return (int)(e - p->entries);
}

int perron_subscribe(struct perron *p, const char *sensor, enum perron_traffic traffic,
		     uint32_t latency_max_us)
{
	p->error[0] = 0;
	return subscribe(p, sensor, traffic, latency_max_us, NULL);
}

int perron_subscribe_replicated(struct perron *p, const char *sensor, enum perron_traffic traffic,
				uint32_t latency_max_us, enum perron_replicate replicate,
				uint32_t replicas, uint32_t period_us)
{
	const struct perron_qos qos = {
		.replication = (uint8_t)replicate,
		.replicas = (uint8_t)replicas,
		.period_us = period_us,
	};

	p->error[0] = 0;
	if ((uint32_t)replicate >= PERRON_REPLICATION_COUNT || replicas > UINT8_MAX ||
	    !perron_qos_is_valid(&qos))
		return fail(p, -EINVAL, "sensor \"%.40s\": no such replication; passive wants a "
					"period of 1 ms to 1 min, none and active none",
			    sensor);
	return subscribe(p, sensor, traffic, latency_max_us, &qos);
}

int perron_unsubscribe(struct perron *p, int subscription)
{
	struct perron_entry *e = entry_of(p, subscription);

	p->error[0] = 0;
	if (!e)
		return fail(p, -ENOENT, "subscription %d: there is none", subscription);
	perron_session_leave(p, e);
	e->used = false;
	return 0;
}

/* Milliseconds to wait, rounded up; -1: for ever. */
static int wait_ms(uint64_t now_ns, uint64_t end_ns)
{
	if (end_ns == UINT64_MAX)
		return -1;
	return now_ns >= end_ns ? 0 : (int)((end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

int perron_receive(struct perron *p, int timeout_ms, struct perron_message *message)
{
	uint64_t end_ns = UINT64_MAX;
	bool is_over = false;

	p->error[0] = 0;
	message->subscription = -1;
	if (timeout_ms >= 0)
		end_ns = perron_session_now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	for (;;) {
		if (perron_session_message(p, message))
			return 1;
		int status = perron_session_failure(p, &message->subscription);
		if (status || is_over)
			return status;
		int ms = wait_ms(perron_session_now_ns(), end_ns);
		is_over = ms == 0;
		status = perron_session_work(p, ms);
		if (status)
			return status;
	}
}

int perron_poll_fd(const struct perron *p)
{
	return p->epoll_fd;
}

const char *perron_error(const struct perron *p)
{
	return p->error;
}

static enum perron_subscription_is state_of(const struct perron_entry *e, uint8_t state)
{
	static const uint8_t states[] = {
		[PERRON_SUBSCRIPTION_FREE] = PERRON_SUBSCRIPTION_IS_FREE,
		[PERRON_SUBSCRIPTION_ASKING] = PERRON_SUBSCRIPTION_IS_ASKING,
		[PERRON_SUBSCRIPTION_ACTIVE] = PERRON_SUBSCRIPTION_IS_ACTIVE,
		[PERRON_SUBSCRIPTION_REFUSED] = PERRON_SUBSCRIPTION_IS_REFUSED,
	};

	return e->machine < 0 ? PERRON_SUBSCRIPTION_IS_REFUSED : states[state];
}

int perron_subscription_read(const struct perron *p, int subscription,
			     struct perron_subscription *out)
{
	const struct perron_entry *e = entry_of(p, subscription);
	struct perron_subscription_info info;

	if (!e)
		return -ENOENT;
	info = e->last;
	if (e->machine >= 0)
		perron_client_info(p->client, (uint32_t)e->machine, &info);
	*out = (struct perron_subscription){
		.state = state_of(e, info.state),
		.traffic = e->traffic,
		.latency_max_us = info.latency_us,
		.latency_us_estimate = info.latency_us_estimate,
		.hops = info.hops,
		.peer = info.peer,
		.sequence_first = info.start,
		.sequence_next = info.expected,
		.messages = e->assembly.messages,
		.messages_lost = e->assembly.messages_lost,
		.frames = info.delivered,
		.frames_lost = info.lost,
		.restarts = info.restarts,
		.duplicates = info.duplicates,
		.late = info.late,
		.moved = info.moved,
		.verdict = perron_verdict_name(info.verdict),
	};
	memcpy(out->sensor, e->sensor, sizeof(out->sensor));
	return 0;
}

void perron_stats_read(const struct perron *p, struct perron_stats *out)
{
	const uint64_t *drops = perron_client_drops(p->client);
	struct in_addr own = {htonl(p->udp.own.address)};

	*out = (struct perron_stats){
		.frames_received = p->frames_received,
		.frames_sent = p->frames_sent,
		.bytes_received = p->bytes_received,
		.send_errors = p->send_errors,
		.client_id = p->cfg.id & ~PERRON_CLIENT_ID,
		.port_base = p->udp.own.port_base,
	};
	for (uint32_t i = 0; i < PERRON_DROP_COUNT; i++)
		out->frames_dropped += drops[i];
	(void)inet_ntop(AF_INET, &own, out->address, sizeof(out->address));
}

bool perron_drop(const struct perron *p, uint32_t index, const char **cause, uint64_t *count)
{
	if (index >= PERRON_DROP_COUNT)
		return false;
	*cause = perron_drop_name((enum perron_drop)index);
	*count = perron_client_drops(p->client)[index];
	return true;
}

void perron_close(struct perron *p)
{
	if (!p)
		return;
	for (int i = 0; p->entries && p->pool.buffers && i < p->options.subscription_count_max; i++)
		if (p->entries[i].used)
			(void)!perron_unsubscribe(p, i);
	perron_udp_close(&p->udp);
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	if (p->timer_fd >= 0)
		close(p->timer_fd);
	perron_pool_free(&p->pool);
	free(p->client);
	free(p->queue);
	free(p->entries);
	free(p->assembly_memory);
	free(p->effects.items);
	free(p->effects.arena);
	free(p);
}
