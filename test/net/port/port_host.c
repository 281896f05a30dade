/*
 * A station in miniature for tests and measurements of ports: opens one port by its driver and
 * options, answers ARP and ICMP echo, and
 *	echo        sends every datagram back to where it came from
 *	ping PEER   sends datagrams to PEER one at a time and prints their round trips
 *
 *	port_host ADDRESS/PREFIX MODE [PEER] [count=N] [size=N] [seconds=N] [core=N] [sleep=yes]
 *		  [chained=yes] driver=NAME [key=value ...] [-- EAL arguments]
 *
 * Prints "ready" when the port is open. Ends after `seconds`, or by SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "drivers/port/port.h"
#include "platform/clock.h"
#include "runtime/lcore/net.h"

#define ROUND_TRIP_COUNT_MAX 1000000u
#define ROUND_TRIP_NS_MAX    200000000ull
#define ERROR_SIZE	     512

struct host {
	struct perron_port port;
	struct perron_port_config config;
	struct perron_option_value options[PERRON_OPTION_COUNT_MAX];
	struct perron_net net;
	struct rte_mempool *pool;
	uint32_t address;
	uint8_t prefix_length;
	bool pings;
	bool sleeps;
	bool chained;
	uint32_t peer;
	uint32_t count;
	uint32_t size;
	uint64_t seconds;
	uint32_t core;
	char driver[32];
	uint64_t *round_trips;
	uint32_t round_trip_count;
	uint32_t lost;
	uint64_t sent_ns; /* 0: nothing under way */
	uint64_t next_upkeep_ns;
	uint64_t next_calibration_ns;
};

static volatile sig_atomic_t stopped;

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
	abort();
}

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "port_host: %s\n", what);
	exit(EXIT_FAILURE);
}

static uint32_t address_parse(const char *text)
{
	struct in_addr address;
	if (inet_pton(AF_INET, text, &address) != 1)
		die("expected an IPv4 address");
	return ntohl(address.s_addr);
}

static bool own_option(struct host *host, const char *key, const char *value)
{
	if (strcmp(key, "count") == 0)
		host->count = (uint32_t)atoi(value);
	else if (strcmp(key, "size") == 0)
		host->size = (uint32_t)atoi(value);
	else if (strcmp(key, "seconds") == 0)
		host->seconds = (uint64_t)atoi(value);
	else if (strcmp(key, "core") == 0)
		host->core = (uint32_t)atoi(value);
	else if (strcmp(key, "sleep") == 0)
		host->sleeps = true;
	else if (strcmp(key, "chained") == 0)
		host->chained = true;
	else if (strcmp(key, "driver") == 0)
		snprintf(host->driver, sizeof(host->driver), "%s", value);
	else if (strcmp(key, "delay_us") == 0)
		host->config.impair = (struct perron_port_impair_config){
		    .set = true, .delay_ns = (uint64_t)atoi(value) * 1000};
	else
		return false;
	return true;
}

static void option_take(struct host *host, const char *text)
{
	struct perron_option_value *option = &host->options[host->config.option_count];
	const char *value = strchr(text, '=');
	if (!value || host->config.option_count == PERRON_OPTION_COUNT_MAX)
		die("expected key=value");
	snprintf(option->key, sizeof(option->key), "%.*s", (int)(value - text), text);
	snprintf(option->value, sizeof(option->value), "%s", value + 1);
	if (!own_option(host, option->key, option->value))
		host->config.option_count++;
}

/* Returns the index of what follows "--". */
static int arguments_take(struct host *host, int argc, char **argv)
{
	if (argc < 4)
		die("expected ADDRESS/PREFIX echo|ping [PEER] driver=NAME ...");
	const char *slash = strchr(argv[1], '/');
	char address[32];
	if (!slash)
		die("expected ADDRESS/PREFIX");
	snprintf(address, sizeof(address), "%.*s", (int)(slash - argv[1]), argv[1]);
	host->address = address_parse(address);
	host->prefix_length = (uint8_t)atoi(slash + 1);
	host->pings = strcmp(argv[2], "ping") == 0;
	int at = 3;
	if (host->pings)
		host->peer = address_parse(argv[at++]);
	for (; at < argc && strcmp(argv[at], "--") != 0; at++)
		option_take(host, argv[at]);
	host->config.driver = host->driver;
	host->config.options = host->options;
	return at + 1;
}

static void eal_start(const struct host *host, int argc, char **argv, int from)
{
	char argument[PERRON_PORT_ARGUMENT_SIZE], error[ERROR_SIZE], lcores[32];
	char *arguments[32] = {argv[0], "--no-telemetry", "--log-level=warning", lcores};
	int count = 4;
	snprintf(lcores, sizeof(lcores), "--lcores=0@%u", host->core);
	if (!perron_port_needs_pci(&host->config))
		arguments[count++] = "--no-pci";
	if (perron_port_eal_argument(&host->config, argument, sizeof(argument), error,
				     sizeof(error)))
		die(error);
	if (argument[0])
		arguments[count++] = argument;
	const char *flag = perron_port_eal_flag(&host->config);
	char flag_copy[64];
	if (flag) {
		snprintf(flag_copy, sizeof(flag_copy), "%s", flag);
		arguments[count++] = flag_copy;
	}
	while (from < argc && count < 31)
		arguments[count++] = argv[from++];
	if (rte_eal_init(count, arguments) < 0)
		die("the EAL does not start");
}

static void open_all(struct host *host)
{
	char error[ERROR_SIZE];
	unsigned int count = 4096 + perron_port_buffer_count(&host->config);
	host->pool = rte_pktmbuf_pool_create("frames", count, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					     SOCKET_ID_ANY);
	if (!host->pool)
		die("no memory for buffers");
	if (perron_port_open(&host->port, &host->config, host->pool, error, sizeof(error)))
		die(error);
	struct perron_net_config config = {
	    .address = host->address,
	    .prefix_length = host->prefix_length,
	    .port_base = 7400,
	};
	memcpy(config.mac, host->port.mac, sizeof(config.mac));
	if (perron_net_config_check(&config, error, sizeof(error)))
		die(error);
	perron_net_init(&host->net, &config);
	host->round_trips = calloc(ROUND_TRIP_COUNT_MAX, sizeof(uint64_t));
	if (!host->round_trips)
		die("no memory for results");
}

static void send_one(struct host *host, uint64_t now_ns, uint8_t class, struct rte_mbuf *frame)
{
	if (perron_port_transmit(&host->port, now_ns, class, &frame, 1) != 1)
		rte_pktmbuf_free(frame);
}

/* Sends a frame to an endpoint, or asks for its Ethernet address instead. */
static bool send_to(struct host *host, uint64_t now_ns, struct rte_mbuf *frame, uint8_t class,
		    struct perron_endpoint to)
{
	int result = perron_net_mbuf_wrap(&host->net, now_ns, frame, class, to);
	if (!result) {
		send_one(host, now_ns, class, frame);
		return true;
	}
	rte_pktmbuf_free(frame);
	struct rte_mbuf *request = rte_pktmbuf_alloc(host->pool);
	if (result == -EAGAIN && request &&
	    perron_net_mbuf_request(&host->net, now_ns, to.address, request))
		send_one(host, now_ns, PERRON_CLASS_OVERLAY, request);
	else
		rte_pktmbuf_free(request);
	return false;
}

/* A chain of two: the headers go before the first, the rest follows. */
static struct rte_mbuf *frame_make(struct host *host)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(host->pool);
	if (!frame)
		die("no buffer");
	uint32_t first = host->chained ? host->size / 2 : host->size;
	uint8_t *data = (uint8_t *)rte_pktmbuf_append(frame, (uint16_t)first);
	for (uint32_t i = 0; i < first; i++)
		data[i] = (uint8_t)i;
	if (host->chained) {
		struct rte_mbuf *tail = rte_pktmbuf_alloc(host->pool);
		if (!tail || rte_pktmbuf_chain(frame, tail))
			die("no buffer");
		data = (uint8_t *)rte_pktmbuf_append(frame, (uint16_t)(host->size - first));
		for (uint32_t i = first; i < host->size; i++)
			data[i - first] = (uint8_t)i;
	}
	return frame;
}

static void ping_next(struct host *host, uint64_t now_ns)
{
	struct perron_endpoint to = {host->peer, 7400};
	if (host->sent_ns && now_ns - host->sent_ns < ROUND_TRIP_NS_MAX)
		return;
	host->lost += host->sent_ns != 0;
	host->sent_ns = 0;
	uint64_t sent_ns = perron_clock_now_ns();
	if (send_to(host, sent_ns, frame_make(host), PERRON_CLASS_ALARM, to))
		host->sent_ns = sent_ns;
}

static bool is_whole(const struct host *host, const struct perron_frame *frame)
{
	if (frame->length != host->size)
		return false;
	for (uint32_t i = 0; i < frame->length; i++)
		if (frame->data[i] != (uint8_t)i)
			return false;
	return true;
}

static void pong(struct host *host, const struct perron_frame *frame)
{
	uint64_t now_ns = perron_clock_now_ns();
	if (!host->sent_ns || host->round_trip_count == ROUND_TRIP_COUNT_MAX)
		return;
	if (!is_whole(host, frame))
		die("an answer is not what was sent");
	host->round_trips[host->round_trip_count++] = now_ns - host->sent_ns;
	host->sent_ns = 0;
}

static void frame_take(struct host *host, uint64_t now_ns, struct rte_mbuf *mbuf)
{
	struct perron_frame frame;
	enum perron_drop cause;
	switch (perron_net_mbuf_receive(&host->net, now_ns, mbuf, &frame, &cause)) {
	case PERRON_NET_REPLY:
		send_one(host, now_ns, PERRON_CLASS_OVERLAY, mbuf);
		return;
	case PERRON_NET_DATAGRAM:
		if (!host->pings) {
			send_to(host, now_ns, mbuf, frame.class, frame.from);
			return;
		}
		pong(host, &frame);
		break;
	case PERRON_NET_TAKEN:
	case PERRON_NET_DROPPED:
		break;
	}
	rte_pktmbuf_free(mbuf);
}

static void sleep_until_woken(struct host *host)
{
	if (perron_port_wake_arm(&host->port))
		die("this port cannot wake");
	struct pollfd fd = {.fd = perron_port_wake_fd(&host->port), .events = POLLIN};
	(void)poll(&fd, 1, 100);
	if (perron_port_wake_disarm(&host->port))
		die("this port cannot be disarmed");
}

static bool turn(struct host *host)
{
	struct rte_mbuf *burst[PERRON_PORT_BURST_MAX];
	uint64_t now_ns = perron_clock_now_ns();
	uint16_t count = perron_port_receive(&host->port, now_ns, burst, PERRON_PORT_BURST_MAX);
	for (uint16_t i = 0; i < count; i++)
		frame_take(host, now_ns, burst[i]);
	if (host->pings)
		ping_next(host, now_ns);
	if (now_ns >= host->next_upkeep_ns) {
		perron_port_upkeep(&host->port, now_ns);
		if (now_ns >= host->next_calibration_ns)
			host->next_calibration_ns = now_ns + perron_clock_recalibrate();
		host->next_upkeep_ns = now_ns + 10000000ull;
	}
	return count > 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void report(struct host *host)
{
	uint32_t n = host->round_trip_count;
	struct perron_port_statistics statistics;
	perron_port_statistics_read(&host->port, &statistics);
	for (uint32_t i = 0; i < PERRON_PORT_COUNTER_COUNT; i++)
		if (statistics.of[i])
			printf("%s %lu\n", perron_port_counter_name(i), statistics.of[i]);
	if (!host->pings)
		return;
	qsort(host->round_trips, n, sizeof(uint64_t), compare);
	printf("round-trips %u lost %u", n, host->lost);
	if (n)
		printf(" p50 %lu ns p99 %lu ns p999 %lu ns max %lu ns", host->round_trips[n / 2],
		       host->round_trips[(uint64_t)n * 99 / 100],
		       host->round_trips[(uint64_t)n * 999 / 1000], host->round_trips[n - 1]);
	printf("\n");
}

int main(int argc, char **argv)
{
	static struct host host = {.count = UINT32_MAX, .size = 418, .seconds = 60};
	char error[ERROR_SIZE];
	uint32_t culprit;
	int rest = arguments_take(&host, argc, argv);
	if (perron_port_config_check(&host.config, &culprit, error, sizeof(error)) ||
	    perron_port_probe(&host.config, error, sizeof(error)))
		die(error);
	eal_start(&host, argc, argv, rest);
	perron_clock_init();
	open_all(&host);
	struct sigaction action = {.sa_handler = stop};
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	printf("ready\n");
	fflush(stdout);
	uint64_t end_ns = perron_clock_now_ns() + host.seconds * 1000000000ull;
	while (!stopped && host.round_trip_count < host.count && perron_clock_now_ns() < end_ns)
		if (!turn(&host) && host.sleeps)
			sleep_until_woken(&host);
	report(&host);
	perron_port_close(&host.port);
	rte_eal_cleanup();
	return host.pings && host.round_trip_count == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
