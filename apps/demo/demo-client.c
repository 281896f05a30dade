/*
 * The demo's client: a Linux host without DPDK that follows sensors' streams through libperron,
 * verifies what each message holds, and measures how long it took from the sensor's peer to here.
 *
 *	demo-client --portal LIST NAME:CLASS:KIND...
 *
 * KIND says how contents are verified: synthetic, nmea or track. Four times a second, and once at
 * the end, it prints a line of JSON with what it has seen since the start. On standard input it
 * takes `mark` (from now on silences are counted as of a fault) and `end`: it tells its account.
 * Its subscriptions last until the input ends, so that origins can be asked before they forget.
 *
 * It does its own accounting and does not take the library's word: a sequence that is not above
 * the last one of its stream is a duplicate delivered, whatever the library counts.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/libperron/perron.h"
#include "drivers/sensor/nmea.h"
#include "drivers/sensor/synthetic.h"
#include "drivers/sensor/track_telegram.h"
#include "runtime/base/assert.h"
#include "runtime/base/histogram.h"

#define STREAM_MAX   16
#define LINE_NS	     250000000ull
#define POLL_NS	     10000000ull
#define RETRY_NS     500000000ull /* a refused subscription is asked for again */
#define WAIT_MS	     20
#define LATENCY_US   0 /* no bound: late frames are measured, not refused */
#define LOST_MS	     1000 /* a station that is silent for so long: another is asked */
#define COMMAND_SIZE 64

enum kind { KIND_SYNTHETIC, KIND_NMEA, KIND_TRACK, KIND_COUNT };

/* Where the time of a stream's messages went, for as long as they have come this way. */
struct way {
	uint32_t hop_count;
	uint32_t peers[PERRON_TRACE_COUNT_MAX];
	struct perron_histogram inside[PERRON_TRACE_COUNT_MAX];
	struct perron_histogram to_next[PERRON_TRACE_COUNT_MAX]; /* the last: to this host */
};

struct stream {
	char sensor[32];
	enum perron_traffic traffic;
	enum kind kind;
	int subscription; /* -1: asked for again at retry_ns */
	uint64_t retry_ns;
	uint64_t refusals;
	char refusal[PERRON_ERROR_SIZE];
	uint64_t first; /* sequence that the first grant began with; 0: none yet */
	uint64_t last;	/* highest sequence delivered */
	uint64_t messages;
	uint64_t frames;
	uint64_t bytes;
	uint64_t duplicates;
	uint64_t corrupted;
	uint64_t late;
	uint64_t counter_first; /* of the source's own numbers, where it has any */
	uint64_t counter_last;
	uint64_t counters_missing;
	uint64_t received_ns; /* the last message's */
	uint64_t silence_ns_usual;
	uint64_t silence_ns_fault;
	struct perron_histogram latency;
	struct way way;
};

struct demo {
	struct perron *client;
	const char *portal;
	struct stream streams[STREAM_MAX];
	uint32_t stream_count;
	struct perron_histogram latency[PERRON_SYNTHETIC_TYPE_COUNT];
	uint64_t first_delivery_ns; /* CLOCK_BOOTTIME; 0: none yet */
	bool marked;
	bool closed; /* its account: what comes is taken and no longer counted */
	char command[COMMAND_SIZE];
	uint32_t command_size;
};

static struct demo demo;
static volatile sig_atomic_t ended;

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "demo-client: %s:%d: assertion failed: %s\n", file, line, condition);
	abort();
}

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- what a message holds ---- */

static void counter_take(struct stream *s, uint64_t counter)
{
	if (s->messages == 0)
		s->counter_first = counter;
	else if (counter > s->counter_last)
		s->counters_missing += counter - s->counter_last - 1;
	else
		s->duplicates++; /* the same message under two sequences */
	s->counter_last = counter;
}

static bool synthetic_is_good(struct stream *s, const struct perron_message *m)
{
	enum perron_synthetic_type type;
	uint64_t counter;

	if (!perron_synthetic_check(m->data, m->size, &type, &counter))
		return false;
	counter_take(s, counter);
	perron_histogram_record(&demo.latency[type],
				m->latency_ns > 0 ? (uint64_t)m->latency_ns : 0);
	return true;
}

/* The receiver says RMC and GGA each second: its clock numbers them. */
static bool nmea_is_good(struct stream *s, const struct perron_message *m)
{
	struct perron_nmea_sentence sentence;
	struct perron_nmea_fix fix;

	if (perron_nmea_decode(m->data, m->size, &sentence) != PERRON_NMEA_GOOD ||
	    perron_nmea_fix_of(&sentence, &fix) != PERRON_NMEA_GOOD || !fix.has_time)
		return false;
	counter_take(s, fix.time_of_day_ms / 1000 * 2 + (strcmp(sentence.type, "GGA") == 0));
	return true;
}

static bool track_is_good(struct stream *s, const struct perron_message *m)
{
	struct perron_track_telegram telegram;

	if (perron_track_decode(m->data, m->size, &telegram) != PERRON_TRACK_GOOD)
		return false;
	counter_take(s, telegram.sequence);
	return true;
}

static const struct {
	const char *name;
	bool (*is_good)(struct stream *s, const struct perron_message *m);
} kinds[KIND_COUNT] = {
    [KIND_SYNTHETIC] = {"synthetic", synthetic_is_good},
    [KIND_NMEA] = {"nmea", nmea_is_good},
    [KIND_TRACK] = {"track", track_is_good},
};

/* ---- taking messages ---- */

static void silence_take(struct stream *s, uint64_t until_ns)
{
	uint64_t *longest = demo.marked ? &s->silence_ns_fault : &s->silence_ns_usual;

	if (s->received_ns && until_ns > s->received_ns && until_ns - s->received_ns > *longest)
		*longest = until_ns - s->received_ns;
}

static bool way_is_same(const struct way *way, const struct perron_message *m)
{
	if (way->hop_count != m->trace_count)
		return false;
	for (uint32_t i = 0; i < m->trace_count; i++)
		if (way->peers[i] != m->trace[i].peer)
			return false;
	return true;
}

static void way_begin(struct way *way, const struct perron_message *m)
{
	way->hop_count = m->trace_count;
	for (uint32_t i = 0; i < m->trace_count; i++) {
		way->peers[i] = m->trace[i].peer;
		perron_histogram_reset(&way->inside[i]);
		perron_histogram_reset(&way->to_next[i]);
	}
}

static void way_take(struct way *way, const struct perron_message *m)
{
	if (m->trace_count == 0 || m->trace_count > PERRON_TRACE_COUNT_MAX)
		return;
	if (!way_is_same(way, m))
		way_begin(way, m);
	for (uint32_t i = 0; i < m->trace_count; i++) {
		const struct perron_trace_hop *hop = &m->trace[i];
		uint64_t left_ns = hop->received_ns + hop->transmitted_ns;
		uint64_t next_ns =
		    i + 1 < m->trace_count ? m->trace[i + 1].received_ns : m->received_ns;
		perron_histogram_record(&way->inside[i], hop->transmitted_ns);
		perron_histogram_record(&way->to_next[i],
					next_ns > left_ns ? next_ns - left_ns : 0);
	}
}

static struct stream *stream_of(int subscription)
{
	for (uint32_t i = 0; subscription >= 0 && i < demo.stream_count; i++)
		if (demo.streams[i].subscription == subscription)
			return &demo.streams[i];
	return NULL;
}

static void first_take(struct stream *s)
{
	struct perron_subscription info;

	if (!s->first && perron_subscription_read(demo.client, s->subscription, &info) == 0)
		s->first = info.sequence_first;
}

static void message_take(const struct perron_message *m)
{
	struct stream *s = stream_of(m->subscription);

	if (!s)
		return;
	if (!demo.first_delivery_ns)
		demo.first_delivery_ns = clock_ns(CLOCK_BOOTTIME);
	first_take(s);
	if (s->last && m->sequence <= s->last) {
		s->duplicates++;
		return;
	}
	if (!kinds[s->kind].is_good(s, m))
		s->corrupted++;
	s->last = m->sequence + m->frame_count - 1;
	s->messages++;
	s->frames += m->frame_count;
	s->bytes += m->size;
	s->late += m->late;
	silence_take(s, m->received_ns);
	s->received_ns = m->received_ns;
	perron_histogram_record(&s->latency, m->latency_ns > 0 ? (uint64_t)m->latency_ns : 0);
	way_take(&s->way, m);
}

static void subscribe(struct stream *s)
{
	s->subscription = perron_subscribe_replicated(demo.client, s->sensor, s->traffic,
						      LATENCY_US, PERRON_REPLICATE_ACTIVELY, 0, 0);
	if (s->subscription < 0) {
		s->retry_ns = clock_ns(CLOCK_MONOTONIC) + RETRY_NS;
		snprintf(s->refusal, sizeof(s->refusal), "%s", perron_error(demo.client));
		s->subscription = -1;
	}
}

/* Its sensor may not be known yet, or not again: it is asked for again in a while. */
static void subscription_failed(int subscription)
{
	struct stream *s = stream_of(subscription);

	if (!s)
		return;
	snprintf(s->refusal, sizeof(s->refusal), "%s", perron_error(demo.client));
	s->refusals++;
	if (perron_unsubscribe(demo.client, subscription) != 0)
		return;
	s->subscription = -1;
	s->retry_ns = clock_ns(CLOCK_MONOTONIC) + RETRY_NS;
}

static void subscribe_again(uint64_t now_ns)
{
	for (uint32_t i = 0; i < demo.stream_count; i++)
		if (demo.streams[i].subscription < 0 && now_ns >= demo.streams[i].retry_ns)
			subscribe(&demo.streams[i]);
}

/* ---- what is told ---- */

static double us(uint64_t ns)
{
	return (double)ns / 1e3;
}

static void latency_print(const struct perron_histogram *h)
{
	printf("{\"count\":%" PRIu64
	       ",\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
	       h->count, us(perron_histogram_percentile_ns(h, 500000)),
	       us(perron_histogram_percentile_ns(h, 990000)),
	       us(perron_histogram_percentile_ns(h, 999000)),
	       us(perron_histogram_percentile_ns(h, 1000000)));
}

/* What libperron says of an error or of itself: quotes and backslashes do not pass. */
static void text_print(const char *text)
{
	putchar('"');
	for (; *text; text++)
		putchar(*text < ' ' || *text == '"' || *text == '\\' ? '\'' : *text);
	putchar('"');
}

static void way_print(const struct way *way)
{
	printf("[");
	for (uint32_t i = 0; i < way->hop_count; i++)
		printf("%s{\"peer\":%u,\"inside_us\":%.1f,\"to_next_us\":%.1f}", i ? "," : "",
		       way->peers[i], us(perron_histogram_percentile_ns(&way->inside[i], 500000)),
		       us(perron_histogram_percentile_ns(&way->to_next[i], 500000)));
	printf("]");
}

static void stream_print(struct stream *s, bool final)
{
	struct perron_subscription info = {.verdict = ""};
	bool known = perron_subscription_read(demo.client, s->subscription, &info) == 0;

	printf("{\"sensor\":\"%s\",\"active\":%s,\"peer\":%u,\"hops\":%u,\"first\":%" PRIu64
	       ",\"last\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"frames\":%" PRIu64
	       ",\"bytes\":%" PRIu64,
	       s->sensor,
	       known && info.state == PERRON_SUBSCRIPTION_IS_ACTIVE ? "true" : "false", info.peer,
	       info.hops, s->first, s->last, s->messages, s->frames, s->bytes);
	printf(",\"duplicates_delivered\":%" PRIu64 ",\"duplicates_dropped\":%" PRIu64
	       ",\"corrupted\":%" PRIu64 ",\"late\":%" PRIu64 ",\"moved\":%" PRIu64
	       ",\"library_lost\":%" PRIu64,
	       s->duplicates, info.duplicates, s->corrupted, s->late, info.moved,
	       info.frames_lost);
	printf(",\"counter_first\":%" PRIu64 ",\"counter_last\":%" PRIu64
	       ",\"counters_missing\":%" PRIu64 ",\"usual_ms\":%.1f,\"fault_ms\":%.1f",
	       s->counter_first, s->counter_last, s->counters_missing,
	       (double)s->silence_ns_usual / 1e6, (double)s->silence_ns_fault / 1e6);
	printf(",\"refusals\":%" PRIu64 ",\"refusal\":", s->refusals);
	text_print(s->refusal);
	printf(",\"latency_us\":");
	latency_print(&s->latency);
	if (final) {
		printf(",\"way\":");
		way_print(&s->way);
	}
	printf("}");
}

static void drops_print(void)
{
	const char *cause;
	uint64_t count;
	bool first = true;

	printf(",\"drops\":{");
	for (uint32_t i = 0; perron_drop(demo.client, i, &cause, &count); i++) {
		if (!count)
			continue;
		printf("%s\"%s\":%" PRIu64, first ? "" : ",", cause, count);
		first = false;
	}
	printf("}");
}

/* A line of all that was seen so far. */
static void line_print(bool final)
{
	printf("{\"final\":%s,\"now_ns\":%" PRIu64 ",\"first_delivery_ns\":%" PRIu64
	       ",\"latency_us\":{",
	       final ? "true" : "false", clock_ns(CLOCK_BOOTTIME), demo.first_delivery_ns);
	for (uint32_t t = 0; t < PERRON_SYNTHETIC_TYPE_COUNT; t++) {
		printf("%s\"%s\":", t ? "," : "",
		       perron_synthetic_type_name((enum perron_synthetic_type)t));
		latency_print(&demo.latency[t]);
	}
	printf("},\"streams\":[");
	for (uint32_t i = 0; i < demo.stream_count; i++) {
		struct stream *s = &demo.streams[i];
		if (final)
			silence_take(s, clock_ns(CLOCK_REALTIME));
		printf("%s", i ? "," : "");
		stream_print(s, final);
	}
	printf("]");
	drops_print();
	printf("}\n");
	if (fflush(stdout))
		ended = 1;
}

/* ---- what it is told ---- */

static void account_close(void)
{
	if (!demo.closed)
		line_print(true);
	demo.closed = true;
}

static void command_run(const char *command)
{
	if (strcmp(command, "mark") == 0) {
		demo.marked = true;
		for (uint32_t i = 0; i < demo.stream_count; i++)
			demo.streams[i].silence_ns_fault = 0;
	}
	else if (strcmp(command, "end") == 0)
		account_close();
	else
		fprintf(stderr, "demo-client: '%s'; expected mark or end\n", command);
}

static void commands_read(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	if (poll(&in, 1, 0) <= 0)
		return;
	ssize_t size = read(STDIN_FILENO, demo.command + demo.command_size,
			    COMMAND_SIZE - 1 - demo.command_size);
	if (size <= 0) {
		ended = 1;
		return;
	}
	demo.command_size += (uint32_t)size;
	demo.command[demo.command_size] = '\0';
	char *end;
	while ((end = strchr(demo.command, '\n')) != NULL) {
		*end = '\0';
		command_run(demo.command);
		demo.command_size -= (uint32_t)(end + 1 - demo.command);
		memmove(demo.command, end + 1, demo.command_size + 1);
	}
	if (demo.command_size == COMMAND_SIZE - 1)
		demo.command_size = 0;
}

static void turn(uint64_t *poll_due_ns, uint64_t *line_due_ns)
{
	struct perron_message message;
	int ret = perron_receive(demo.client, WAIT_MS, &message);
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (ret > 0 && !demo.closed)
		message_take(&message);
	else if (ret < 0 && message.subscription >= 0)
		subscription_failed(message.subscription);
	else if (ret < 0 && ret != -EINTR)
		fprintf(stderr, "demo-client: %s\n", perron_error(demo.client));
	if (now_ns < *poll_due_ns)
		return;
	*poll_due_ns = now_ns + POLL_NS;
	commands_read();
	subscribe_again(now_ns);
	if (now_ns < *line_due_ns || demo.closed)
		return;
	line_print(false);
	*line_due_ns = now_ns + LINE_NS;
}

static int run(void)
{
	struct perron_options options;
	char error[PERRON_ERROR_SIZE];
	uint64_t poll_due_ns = 0, line_due_ns = clock_ns(CLOCK_MONOTONIC) + LINE_NS;

	perron_options_default(&options);
	options.subscription_count_max = STREAM_MAX;
	options.lost_ms = LOST_MS;
	demo.client = perron_open(demo.portal, &options, error, sizeof(error));
	if (!demo.client) {
		fprintf(stderr, "demo-client: %s\n", error);
		return EXIT_FAILURE;
	}
	for (uint32_t i = 0; i < demo.stream_count; i++)
		subscribe(&demo.streams[i]);
	while (!ended)
		turn(&poll_due_ns, &line_due_ns);
	account_close();
	perron_close(demo.client);
	return EXIT_SUCCESS;
}

static bool kind_parse(const char *text, enum kind *out)
{
	for (uint32_t i = 0; i < KIND_COUNT; i++) {
		if (strcmp(text, kinds[i].name) != 0)
			continue;
		*out = (enum kind)i;
		return true;
	}
	return false;
}

static bool traffic_parse(const char *text, enum perron_traffic *out)
{
	static const char *const names[] = {"alarm", "critical", "normal"};

	for (uint32_t i = 0; i < 3; i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		*out = (enum perron_traffic)i;
		return true;
	}
	return false;
}

/* NAME:CLASS:KIND */
static bool stream_parse(const char *text)
{
	struct stream *s = &demo.streams[demo.stream_count];
	char class[16], kind[16];

	if (demo.stream_count == STREAM_MAX ||
	    sscanf(text, "%31[^:]:%15[^:]:%15s", s->sensor, class, kind) != 3 ||
	    !traffic_parse(class, &s->traffic) || !kind_parse(kind, &s->kind))
		return false;
	perron_histogram_reset(&s->latency);
	s->subscription = -1;
	demo.stream_count++;
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"portal", required_argument, NULL, 'p'},
						{NULL, 0, NULL, 0}};
	struct sigaction action = {.sa_handler = on_signal};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) == 'p')
		demo.portal = optarg;
	if (option != -1 || !demo.portal || optind == argc) {
		fprintf(stderr, "usage: demo-client --portal LIST NAME:CLASS:KIND...\n");
		return 2;
	}
	for (uint32_t t = 0; t < PERRON_SYNTHETIC_TYPE_COUNT; t++)
		perron_histogram_reset(&demo.latency[t]);
	for (; optind < argc; optind++) {
		if (stream_parse(argv[optind]))
			continue;
		fprintf(stderr, "demo-client: '%s'; expected NAME:CLASS:KIND\n", argv[optind]);
		return 2;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	return run();
}
