/*
 * perron-cpg: Corosync's closed process groups as a yardstick of group communication. One process a
 * corosync daemon, all started with the same words; figures as a JSON line on standard output.
 *
 *	perron-cpg latency MEMBERS SENDERS SIZE SECONDS INTERVAL_US
 *	perron-cpg rate    MEMBERS SENDERS SIZE SECONDS WINDOW
 *	perron-cpg watch                                a line at each change of view, until SIGTERM
 *
 * The process of the lowest node sends START once it sees MEMBERS members; this says when counting
 * begins and ends, by CLOCK_MONOTONIC, which all processes of a machine share. Those of the SENDERS
 * lowest nodes then send, agreed (CPG has no other order: its safe one is not implemented).
 *
 * latency: each sender has one message under way, and sends the next INTERVAL_US after the one
 * before, or once that one has been delivered to itself, whichever is later (0: at once). What took
 * longer than the interval is not made up for. `self`: from before the call to the sender's own
 * delivery; `others`: to the delivery at members that did not send it.
 *
 * rate: senders send for as long as flow control lets them, up to WINDOW messages that have not
 * come back to them: without that bound members fall seconds behind and three senders come to a
 * standstill. `within`: what this member delivered between begin and end, of all senders.
 *
 * Exit status 3: the group was not together in time.
 */
#include <corosync/cpg.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "perf/harness/program.h"
#include "platform/clock.h"
#include "runtime/base/histogram.h"

#define GROUP	   "perron-bench"
#define WATCHERS   "perron-watch" /* not counted as members */
#define SIZE_MAX_B 65536
#define WARM_NS	   UINT64_C(500000000)
/* After the end: what is under way is delivered, and nobody leaves while others count. */
#define DRAIN_NS    UINT64_C(500000000)
#define TOGETHER_NS UINT64_C(30000000000)
/* For its daemon to answer. */
#define DAEMON_NS  UINT64_C(10000000000)
#define SEND_BURST 32

enum kind { KIND_START = 0x5354, KIND_DATA = 0x4441 };

struct message {
	uint32_t kind;
	uint32_t node;
	uint64_t number;
	uint64_t made_ns; /* of START: when counting begins */
};

struct load {
	uint32_t members, senders, size, window;
	uint64_t for_ns, interval_ns;
	bool watches, paced; /* paced: latency */
};

struct state {
	struct load load;
	cpg_handle_t handle;
	uint32_t node;
	uint64_t begin_ns, end_ns; /* begin_ns 0: not started */
	bool sends;
	uint64_t sent, own_delivered, refused;
	uint64_t within, changes;
	struct perron_histogram self, others;
	uint8_t out[SIZE_MAX_B];
};

static struct state state;
static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static _Noreturn void die(const char *what, cs_error_t error)
{
	fprintf(stderr, "perron-cpg: %s: error %d\n", what, (int)error);
	exit(EXIT_FAILURE);
}

/* False: flow control, or the daemon is in between two views. */
static bool message_send(uint32_t kind, uint64_t number, uint64_t made_ns, uint32_t size)
{
	struct message m = {.kind = kind, .node = state.node, .number = number, .made_ns = made_ns};
	struct iovec part = {.iov_base = state.out, .iov_len = size};

	memcpy(state.out, &m, sizeof(m));
	cs_error_t error = cpg_mcast_joined(state.handle, CPG_TYPE_AGREED, &part, 1);
	if (error == CS_ERR_TRY_AGAIN)
		return false;
	if (error != CS_OK)
		die("cpg_mcast_joined", error);
	return true;
}

static void data_deliver(const struct message *m, uint64_t now_ns)
{
	bool own = m->node == state.node;

	state.own_delivered += own;
	state.within += now_ns >= state.begin_ns && now_ns < state.end_ns;
	if (m->made_ns >= state.begin_ns && m->made_ns < state.end_ns)
		perron_histogram_record(own ? &state.self : &state.others, now_ns - m->made_ns);
}

static void deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t node, uint32_t pid,
		    void *data, size_t size)
{
	uint64_t now_ns = perron_clock_now_ns();
	struct message m;

	(void)handle, (void)group, (void)node, (void)pid;
	if (size < sizeof(m))
		return;
	memcpy(&m, data, sizeof(m));
	if (m.kind == KIND_START && state.begin_ns == 0) {
		state.begin_ns = m.made_ns;
		state.end_ns = m.made_ns + state.load.for_ns;
	} else if (m.kind == KIND_DATA && state.begin_ns != 0) {
		data_deliver(&m, now_ns);
	}
}

static void change_print(uint64_t now_ns, const struct cpg_address *members, size_t count)
{
	printf("{\"at_ns\": %lu, \"members\": [", now_ns);
	for (size_t i = 0; i < count; i++)
		printf("%s%u", i ? ", " : "", members[i].nodeid);
	printf("]}\n");
	fflush(stdout);
}

static void change(cpg_handle_t handle, const struct cpg_name *group,
		   const struct cpg_address *members, size_t count, const struct cpg_address *left,
		   size_t left_count, const struct cpg_address *joined, size_t joined_count)
{
	uint64_t now_ns = perron_clock_now_ns();
	uint32_t rank = 0;

	(void)handle, (void)group, (void)left, (void)left_count, (void)joined, (void)joined_count;
	if (state.load.watches) {
		change_print(now_ns, members, count);
		return;
	}
	if (state.begin_ns != 0) {
		state.changes += now_ns < state.end_ns;
		return;
	}
	if (count != state.load.members)
		return;
	for (size_t i = 0; i < count; i++)
		rank += members[i].nodeid < state.node;
	state.sends = rank < state.load.senders;
	while (rank == 0 && !message_send(KIND_START, 0, perron_clock_now_ns() + WARM_NS,
					  sizeof(struct message)))
		;
}

/* The daemon may be about to start, or between two views. */
static void join(void)
{
	struct cpg_name group = {.length = sizeof(GROUP) - 1, .value = GROUP};
	cpg_callbacks_t callbacks = {.cpg_deliver_fn = deliver, .cpg_confchg_fn = change};
	uint64_t late_ns = perron_clock_now_ns() + DAEMON_NS;
	cs_error_t error;

	if (state.load.watches)
		group = (struct cpg_name){.length = sizeof(WATCHERS) - 1, .value = WATCHERS};
	while ((error = cpg_initialize(&state.handle, &callbacks)) != CS_OK) {
		if (perron_clock_now_ns() > late_ns || stopped)
			die("cpg_initialize", error);
		poll(NULL, 0, 20);
	}
	error = cpg_local_get(state.handle, &state.node);
	if (error != CS_OK)
		die("cpg_local_get", error);
	while ((error = cpg_join(state.handle, &group)) != CS_OK) {
		if (error != CS_ERR_TRY_AGAIN || perron_clock_now_ns() > late_ns || stopped)
			die("cpg_join", error);
		poll(NULL, 0, 10);
	}
}

/* Sleeps until something is to be delivered, at most so long, and delivers all there is. */
static void turn(int fd, uint64_t wait_ns)
{
	struct pollfd wanted = {.fd = fd, .events = POLLIN};
	struct timespec wait = {.tv_sec = (time_t)(wait_ns / 1000000000),
				.tv_nsec = (long)(wait_ns % 1000000000)};

	if (ppoll(&wanted, 1, &wait, NULL) > 0) {
		cs_error_t error = cpg_dispatch(state.handle, CS_DISPATCH_ALL);
		if (error != CS_OK && error != CS_ERR_TRY_AGAIN)
			die("cpg_dispatch", error);
	}
}

/* One message under way; the next when due. */
static uint64_t latency_step(uint64_t now_ns, uint64_t *due_ns, uint64_t *made_ns)
{
	if (state.sent != state.own_delivered)
		return 10000000;
	if (*due_ns > now_ns)
		return *due_ns - now_ns;
	if (*made_ns == 0)
		*made_ns = now_ns;
	if (!message_send(KIND_DATA, state.sent, *made_ns, state.load.size)) {
		state.refused++;
		return 100000;
	}
	state.sent++;
	*due_ns += state.load.interval_ns;
	if (*due_ns < now_ns)
		*due_ns = now_ns;
	*made_ns = 0;
	return 10000000;
}

/* As many as window and flow control take, up to a burst; then what came is delivered. */
static uint64_t rate_step(void)
{
	for (uint32_t i = 0; i < SEND_BURST; i++) {
		if (state.sent - state.own_delivered >= state.load.window)
			return 10000000;
		if (!message_send(KIND_DATA, state.sent, perron_clock_now_ns(), state.load.size)) {
			state.refused++;
			return 200000;
		}
		state.sent++;
	}
	return 0;
}

static void load_run(int fd)
{
	uint64_t now_ns = perron_clock_now_ns(), late_ns = now_ns + TOGETHER_NS;
	uint64_t due_ns = now_ns, made_ns = 0;

	while (!stopped && (state.begin_ns == 0 || now_ns < state.end_ns + DRAIN_NS)) {
		uint64_t wait_ns = 10000000;
		if (state.begin_ns == 0 && now_ns > late_ns) {
			fprintf(stderr, "perron-cpg: not %u members in time\n", state.load.members);
			exit(3);
		}
		if (state.begin_ns != 0 && state.sends && now_ns < state.end_ns)
			wait_ns = state.load.paced ? latency_step(now_ns, &due_ns, &made_ns)
						   : rate_step();
		turn(fd, wait_ns);
		now_ns = perron_clock_now_ns();
	}
}

static void histogram_print(const char *name, const struct perron_histogram *h)
{
	static const struct {
		const char *name;
		uint32_t ppm;
	} wanted[] = {{"p50", 500000},	{"p90", 900000},   {"p99", 990000},
		      {"p999", 999000}, {"p9999", 999900}, {"max", 1000000}};

	printf(", \"%s\": {\"samples\": %lu", name, h->count);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		printf(", \"%s_ns\": %lu", wanted[i].name,
		       perron_histogram_percentile_ns(h, wanted[i].ppm));
	printf("}");
}

static void report(void)
{
	printf("{\"node\": %u, \"sends\": %s, \"sent\": %lu, \"refused\": %lu, \"within\": %lu, "
	       "\"seconds\": %.3f, \"changes\": %lu",
	       state.node, state.sends ? "true" : "false", state.sent, state.refused, state.within,
	       (double)state.load.for_ns / 1e9, state.changes);
	histogram_print("self", &state.self);
	histogram_print("others", &state.others);
	printf("}\n");
}

/*
 * As its daemon is (at 99), or clients starve on a machine whose cores the daemons fill. Where it
 * may not be, it goes on without.
 */
static void real_time(void)
{
	const struct sched_param lowest = {.sched_priority = 1};

	(void)!sched_setscheduler(0, SCHED_RR, &lowest);
}

static bool load_parse(int argc, char **argv)
{
	struct load *l = &state.load;

	l->watches = argc == 2 && strcmp(argv[1], "watch") == 0;
	l->paced = argc == 7 && strcmp(argv[1], "latency") == 0;
	if (l->watches)
		return true;
	if (argc != 7 || (!l->paced && strcmp(argv[1], "rate") != 0))
		return false;
	l->members = (uint32_t)strtoul(argv[2], NULL, 10);
	l->senders = (uint32_t)strtoul(argv[3], NULL, 10);
	l->size = (uint32_t)strtoul(argv[4], NULL, 10);
	l->for_ns = (uint64_t)(strtod(argv[5], NULL) * 1e9);
	l->interval_ns = strtoul(argv[6], NULL, 10) * 1000;
	l->window = (uint32_t)strtoul(argv[6], NULL, 10);
	return l->members > 0 && l->members <= CPG_MEMBERS_MAX && l->senders > 0 &&
	       l->senders <= l->members && l->size >= sizeof(struct message) &&
	       l->size <= SIZE_MAX_B && l->for_ns > 0 && (l->paced || l->window > 0);
}

int main(int argc, char **argv)
{
	int fd;

	if (!load_parse(argc, argv)) {
		fprintf(stderr,
			"usage: perron-cpg latency MEMBERS SENDERS SIZE SECONDS INTERVAL_US\n"
			"       perron-cpg rate MEMBERS SENDERS SIZE SECONDS WINDOW\n"
			"       perron-cpg watch\n");
		return 2;
	}
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	real_time();
	prctl(PR_SET_TIMERSLACK, 1);
	/* No perron_clock_init: the kernel's clock itself, which no process drifts away from. */
	perron_histogram_reset(&state.self);
	perron_histogram_reset(&state.others);
	join();
	cs_error_t error = cpg_fd_get(state.handle, &fd);
	if (error != CS_OK)
		die("cpg_fd_get", error);
	while (state.load.watches && !stopped)
		turn(fd, 100000000);
	if (!state.load.watches) {
		load_run(fd);
		report();
	}
	cpg_finalize(state.handle);
	return EXIT_SUCCESS;
}
