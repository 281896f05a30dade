#include "perf/gap/gap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "apps/libperron/perron.h"
#include "perf/latency/latency.h"
#include "runtime/base/assert.h"

#define WAIT_MS	 5
#define RETRY_NS UINT64_C(100000000)
#define TELL_NS	 UINT64_C(100000000)

struct follow {
	struct perron *client;
	const struct gap_wish *wish;
	enum perron_traffic traffic;
	enum perron_replicate replicate;
	int subscription;  /* -1: asked for again at retry_ns */
	uint64_t retry_ns;
	uint64_t tell_ns;
	uint64_t unreadable; /* messages that are not of perron-latency's source */
};

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "perron-gap: %s:%d: assertion failed: %s\n", file, line, condition);
	abort();
}

static void subscribe(struct follow *f, uint64_t now_ns)
{
	f->subscription = perron_subscribe_replicated(f->client, f->wish->sensor, f->traffic, 0,
						      f->replicate, 0, 0);
	if (f->subscription >= 0)
		return;
	fprintf(stderr, "perron-gap: %s\n", perron_error(f->client));
	f->subscription = -1;
	f->retry_ns = now_ns + RETRY_NS;
}

/* Its sensor may not be known yet. */
static void subscription_failed(struct follow *f, uint64_t now_ns)
{
	fprintf(stderr, "perron-gap: %s\n", perron_error(f->client));
	if (perron_unsubscribe(f->client, f->subscription) != 0)
		gap_stop = 1;
	f->subscription = -1;
	f->retry_ns = now_ns + RETRY_NS;
}

static void message_take(struct follow *f, const struct perron_message *m, uint64_t now_ns)
{
	uint32_t peers[PERRON_TRACE_COUNT_MAX];
	struct latency_stamp stamp = {0};

	if (m->size >= sizeof(stamp))
		memcpy(&stamp, m->data, sizeof(stamp));
	if (stamp.magic != LATENCY_MAGIC) {
		f->unreadable++;
		return;
	}
	for (uint32_t i = 0; i < m->trace_count; i++)
		peers[i] = m->trace[i].peer;
	gap_delivery_print(now_ns, stamp.number, stamp.made_ns, peers, m->trace_count);
}

/* `s AT PEER MOVED LOST DUPLICATES RESTARTS UNREADABLE`: what the library counts of the stream. */
static void state_print(struct follow *f, uint64_t now_ns)
{
	struct perron_subscription info = {0};

	if (now_ns < f->tell_ns)
		return;
	f->tell_ns = now_ns + TELL_NS;
	(void)!perron_subscription_read(f->client, f->subscription, &info);
	printf("s %" PRIu64 " %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
	       now_ns, info.state == PERRON_SUBSCRIPTION_IS_ACTIVE ? info.peer : 0, info.moved,
	       info.frames_lost, info.duplicates, info.restarts, f->unreadable);
}

static void turn(struct follow *f)
{
	struct perron_message message;
	int ret = perron_receive(f->client, WAIT_MS, &message);
	uint64_t now_ns = gap_clock_ns();

	if (ret > 0)
		message_take(f, &message, now_ns);
	else if (ret < 0 && message.subscription >= 0)
		subscription_failed(f, now_ns);
	if (f->subscription < 0 && now_ns >= f->retry_ns)
		subscribe(f, now_ns);
	state_print(f, now_ns);
	gap_lines_push(now_ns);
}

static bool wish_read(struct follow *f)
{
	int class = perron_class_from_name(f->wish->class);

	if (class < 0 || class > PERRON_CLASS_NORMAL)
		return false;
	f->traffic = class == PERRON_CLASS_ALARM      ? PERRON_TRAFFIC_ALARM
		     : class == PERRON_CLASS_CRITICAL ? PERRON_TRAFFIC_CRITICAL
						      : PERRON_TRAFFIC_NORMAL;
	f->replicate = strcmp(f->wish->replication, "active") == 0 ? PERRON_REPLICATE_ACTIVELY
								   : PERRON_REPLICATE_NOT;
	return f->replicate != PERRON_REPLICATE_NOT || strcmp(f->wish->replication, "none") == 0;
}

int gap_follow(const struct gap_wish *wish)
{
	struct follow f = {.wish = wish, .subscription = -1};
	char error[PERRON_ERROR_SIZE];
	struct perron_options options;

	if (!wish_read(&f)) {
		fprintf(stderr, "perron-gap: no class '%s', or no replication '%s'\n", wish->class,
			wish->replication);
		return 2;
	}
	perron_options_default(&options);
	if (wish->lost_ms)
		options.lost_ms = wish->lost_ms;
	f.client = perron_open(wish->portals, &options, error, sizeof(error));
	if (!f.client) {
		fprintf(stderr, "perron-gap: %s\n", error);
		return EXIT_FAILURE;
	}
	while (!gap_stop)
		turn(&f);
	perron_close(f.client);
	return EXIT_SUCCESS;
}
