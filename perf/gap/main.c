/*
 *	perron-gap [--priority N] follow PORTALS SENSOR CLASS none|active LOST_MS
 *	perron-gap [--priority N] ask ADDRESS INTERVAL_US
 *	perron-gap [--priority N] answer ADDRESS
 *
 * --priority: SCHED_FIFO of that rank. LOST_MS 0: libperron's own. `answer` binds to an address
 * that the host may not have yet. All run until SIGTERM. Exit status: 0; 1 it could not; 2 wrong
 * usage.
 */
#include "perf/gap/gap.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "platform/realtime.h"

#define PUSH_NS	   UINT64_C(10000000)
#define ERROR_SIZE 256

volatile sig_atomic_t gap_stop;

static void on_signal(int number)
{
	(void)number;
	gap_stop = 1;
}

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: perron-gap [--priority N] "
			"follow PORTALS SENSOR CLASS none|active LOST_MS |\n"
			"       ask ADDRESS INTERVAL_US | answer ADDRESS\n");
	exit(2);
}

static uint32_t number_parse(const char *text, uint32_t min, uint32_t max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value < min || value > max)
		usage();
	return (uint32_t)value;
}

void gap_delivery_print(uint64_t at_ns, uint64_t number, uint64_t made_ns, const uint32_t *peers,
			uint32_t peer_count)
{
	printf("d %" PRIu64 " %" PRIu64 " %" PRIu64, at_ns, number, made_ns);
	for (uint32_t i = 0; i < peer_count; i++)
		printf(" %u", peers[i]);
	putchar('\n');
}

void gap_lines_push(uint64_t now_ns)
{
	static uint64_t due_ns;

	if (now_ns < due_ns)
		return;
	due_ns = now_ns + PUSH_NS;
	if (fflush(stdout))
		gap_stop = 1;
}

static void priority_take(const char *text)
{
	char error[ERROR_SIZE];

	if (perron_realtime_begin((int)number_parse(text, 1, 99), error, sizeof(error)) == 0)
		return;
	fprintf(stderr, "perron-gap: %s\n", error);
	exit(EXIT_FAILURE);
}

static int begin(int count, char **words)
{
	if (count == 6 && strcmp(words[0], "follow") == 0) {
		const struct gap_wish wish = {.portals = words[1],
					      .sensor = words[2],
					      .class = words[3],
					      .replication = words[4],
					      .lost_ms = number_parse(words[5], 0, 600000)};
		return gap_follow(&wish);
	}
	if (count == 3 && strcmp(words[0], "ask") == 0)
		return gap_ask(words[1], number_parse(words[2], 100, 1000000) * UINT64_C(1000));
	if (count == 2 && strcmp(words[0], "answer") == 0)
		return gap_answer(words[1]);
	usage();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"priority", required_argument, NULL, 'p'},
						{NULL, 0, NULL, 0}};
	struct sigaction action = {.sa_handler = on_signal};
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) == 'p')
		priority_take(optarg);
	if (option != -1)
		usage();
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	int status = begin(argc - optind, argv + optind);
	(void)fflush(stdout);
	return status;
}
