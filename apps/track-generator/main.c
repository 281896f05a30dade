/*
 * perron-track-generator: an axle counter's evaluator, played by a seeded timetable. It sends a
 * track telegram (docs/track-telegram.md) each cycle by UDP, so that the track driver reads a real
 * interface.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "apps/track-generator/timetable.h"
#include "runtime/base/assert.h"

#define NS_PER_MS    1000000ull
#define NS_PER_S     1000000000ull
#define SPEEDUP_MAX  1000
#define SHOW_SECONDS 600
#define TO_COUNT_MAX 8

struct settings {
	uint64_t seed;
	uint32_t section_count;
	uint32_t cycle_ms;
	uint32_t evaluator;
	uint32_t seconds; /* 0: until a signal */
	uint32_t speedup;
	bool show;
	uint32_t to_count;
	struct sockaddr_in to[TO_COUNT_MAX];
};

static volatile sig_atomic_t stopped;

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
	abort();
}

static void stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static void usage(FILE *out)
{
	fprintf(out,
		"usage: perron-track-generator --to ADDRESS:PORT [options]\n"
		"       perron-track-generator --show [options]\n"
		"Sends an axle counter's track telegrams by UDP, as a seeded timetable has it.\n"
		"  --to ADDRESS:PORT  where to, IPv4; again for each hearer, 8 at most\n"
		"  --seed N           of the timetable; default 1\n"
		"  --sections N       1 to %d; default 8\n"
		"  --cycle MS         %d to %d; default 250\n"
		"  --evaluator N      its number; default 1\n"
		"  --seconds N        how long; 0: until interrupted, the default\n"
		"  --speedup N        trains run N times as fast, 1 to %d; default 1\n"
		"  --show             print the timetable (of --seconds, else %d) and exit\n"
		"  --help             print this\n",
		PERRON_TIMETABLE_SECTION_MAX, PERRON_TRACK_CYCLE_MS_MIN, PERRON_TRACK_CYCLE_MS_MAX,
		SPEEDUP_MAX, SHOW_SECONDS);
}

_Noreturn static void refuse(const char *what, const char *expected)
{
	fprintf(stderr, "perron-track-generator: %s; expected %s\n", what, expected);
	exit(2);
}

static uint64_t number_parse(const char *name, const char *text, uint64_t low, uint64_t high)
{
	char *end;
	char what[128], expected[64];

	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && text[0] != '-' && number >= low &&
	    number <= high)
		return number;
	snprintf(what, sizeof(what), "--%s '%s'", name, text);
	snprintf(expected, sizeof(expected), "a number from %llu to %llu", (unsigned long long)low,
		 (unsigned long long)high);
	refuse(what, expected);
}

static void to_parse(const char *text, struct settings *out)
{
	char what[128], address[64];
	const char *colon = strrchr(text, ':');
	size_t size = colon ? (size_t)(colon - text) : 0;

	snprintf(what, sizeof(what), "--to '%s'", text);
	if (!colon || size >= sizeof(address))
		refuse(what, "ADDRESS:PORT, such as 127.0.0.1:4001");
	memcpy(address, text, size);
	address[size] = '\0';
	if (out->to_count == TO_COUNT_MAX)
		refuse(what, "no more than 8 of them");
	struct sockaddr_in *to = &out->to[out->to_count++];
	*to = (struct sockaddr_in){.sin_family = AF_INET};
	if (inet_pton(AF_INET, address, &to->sin_addr) != 1)
		refuse(what, "ADDRESS:PORT, such as 127.0.0.1:4001");
	to->sin_port = htons((uint16_t)number_parse("to (port)", colon + 1, 1, 65535));
}

static void settings_parse(int argc, char **argv, struct settings *out)
{
	enum { TO, SEED, SECTIONS, CYCLE, EVALUATOR, SECONDS, SPEEDUP, SHOW, HELP };
	static const struct option options[] = {
	    {"to", required_argument, NULL, TO},
	    {"seed", required_argument, NULL, SEED},
	    {"sections", required_argument, NULL, SECTIONS},
	    {"cycle", required_argument, NULL, CYCLE},
	    {"evaluator", required_argument, NULL, EVALUATOR},
	    {"seconds", required_argument, NULL, SECONDS},
	    {"speedup", required_argument, NULL, SPEEDUP},
	    {"show", no_argument, NULL, SHOW},
	    {"help", no_argument, NULL, HELP},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == TO)
			to_parse(optarg, out);
		else if (option == SEED)
			out->seed = number_parse("seed", optarg, 0, UINT64_MAX);
		else if (option == SECTIONS)
			out->section_count = (uint32_t)number_parse("sections", optarg, 1,
								    PERRON_TIMETABLE_SECTION_MAX);
		else if (option == CYCLE)
			out->cycle_ms = (uint32_t)number_parse(
			    "cycle", optarg, PERRON_TRACK_CYCLE_MS_MIN, PERRON_TRACK_CYCLE_MS_MAX);
		else if (option == EVALUATOR)
			out->evaluator = (uint32_t)number_parse("evaluator", optarg, 1, UINT32_MAX);
		else if (option == SECONDS)
			out->seconds = (uint32_t)number_parse("seconds", optarg, 0, 10000000);
		else if (option == SPEEDUP)
			out->speedup = (uint32_t)number_parse("speedup", optarg, 1, SPEEDUP_MAX);
		else if (option == SHOW)
			out->show = true;
		else {
			usage(option == HELP ? stdout : stderr);
			exit(option == HELP ? 0 : 2);
		}
	}
	if (optind < argc)
		refuse(argv[optind], "options only");
	if (!out->to_count && !out->show)
		refuse("no --to", "--to ADDRESS:PORT, or --show");
}

static void train_print(const struct perron_timetable_train *train)
{
	printf("%10.1f %10.1f %8u  %-4s %6u %8.1f\n", (double)train->enter_ms / 1000,
	       (double)train->leave_ms / 1000, train->number, train->track == 0 ? "up" : "down",
	       train->axle_count, (double)train->speed_mm_s * 0.0036);
}

/* The trains of the first `seconds` of the timetable, by entry. */
static void timetable_show(const struct settings *settings)
{
	uint64_t until_ms = (settings->seconds ? settings->seconds : SHOW_SECONDS) * 1000ull;
	struct perron_timetable t;

	perron_timetable_init(&t, settings->seed, settings->section_count);
	printf("   enter/s    leave/s    train  way   axles     km/h\n");
	while (true) {
		const struct perron_timetable_train *next = &t.tracks[0].last;
		if (t.tracks[1].section_count > 0 && t.tracks[1].last.enter_ms < next->enter_ms)
			next = &t.tracks[1].last;
		if (next->enter_ms >= until_ms)
			return;
		train_print(next);
		perron_timetable_advance(&t, next->enter_ms);
	}
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t at_ns)
{
	struct timespec at = {.tv_sec = (time_t)(at_ns / NS_PER_S),
			      .tv_nsec = (long)(at_ns % NS_PER_S)};

	while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		continue;
}

static int telegram_send(int fd, const struct settings *settings, struct perron_timetable *t,
			 struct perron_track_telegram *telegram, uint64_t model_ms)
{
	uint8_t data[PERRON_TRACK_SIZE_MAX];

	perron_timetable_advance(t, model_ms);
	for (uint32_t i = 0; i < settings->section_count; i++)
		perron_timetable_section(t, i, model_ms, &telegram->sections[i]);
	telegram->time_ns = clock_ns(CLOCK_REALTIME);
	uint32_t size = perron_track_encode(data, telegram);
	telegram->sequence++;
	int result = 0;
	for (uint32_t i = 0; i < settings->to_count; i++)
		if (sendto(fd, data, size, 0, (const struct sockaddr *)&settings->to[i],
			   sizeof(settings->to[i])) < 0)
			result = -errno;
	return result;
}

/* Sends until the time is up; returns the exit status. */
static int timetable_run(const struct settings *settings)
{
	struct perron_timetable t;
	struct perron_track_telegram telegram = {
	    .evaluator = settings->evaluator,
	    .epoch = (uint32_t)(clock_ns(CLOCK_REALTIME) / NS_PER_S),
	    .cycle_ms = (uint16_t)settings->cycle_ms,
	    .section_count = (uint8_t)settings->section_count,
	};
	uint64_t start_ns = clock_ns(CLOCK_MONOTONIC), elapsed_ms = 0;
	uint64_t end_ms = settings->seconds ? settings->seconds * 1000ull : UINT64_MAX;
	uint64_t failed_count = 0;

	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		fprintf(stderr, "perron-track-generator: no socket: %s\n", strerror(errno));
		return 1;
	}
	perron_timetable_init(&t, settings->seed, settings->section_count);
	for (; !stopped && elapsed_ms < end_ms; elapsed_ms += settings->cycle_ms) {
		sleep_until(start_ns + elapsed_ms * NS_PER_MS);
		int result = stopped ? 0
				     : telegram_send(fd, settings, &t, &telegram,
						     elapsed_ms * settings->speedup);
		/* Like a real evaluator, it goes on; but it says so, once. */
		if (result < 0 && failed_count++ == 0)
			fprintf(stderr, "perron-track-generator: cannot send: %s\n",
				strerror(-result));
	}
	close(fd);
	printf("%u telegrams of %u sections sent, %llu failed, seed %llu\n",
	       (unsigned)(telegram.sequence - failed_count), settings->section_count,
	       (unsigned long long)failed_count, (unsigned long long)settings->seed);
	return failed_count > 0 && failed_count == telegram.sequence;
}

int main(int argc, char **argv)
{
	struct settings settings = {
	    .seed = 1, .section_count = 8, .cycle_ms = 250, .evaluator = 1, .speedup = 1};
	struct sigaction action = {.sa_handler = stop};

	settings_parse(argc, argv, &settings);
	if (settings.show) {
		timetable_show(&settings);
		return 0;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return timetable_run(&settings);
}
