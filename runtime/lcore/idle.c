/*
 * What a lcore does when a turn found nothing: the only place of the loop that makes system calls.
 * While it sleeps it is offline for liburcu, so that nobody waits for it.
 */
#include <errno.h>
#include <poll.h>
#include <rte_pause.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "runtime/lcore/loop.h"

/* Turns without work before backing off: first with pauses, then giving way to others. */
#define PAUSE_TURNS  64
#define YIELD_TURNS  96
#define SLEEP_NS_MIN 1000ull
/* Nobody sleeps longer: the watch wants to see turns. */
#define SLEEP_NS_MAX 50000000ull
/* Where no stream passes: only the overlay's own traffic is late by this, whose scale is longer. */
#define QUIET_NS_MAX 1000000ull
#define WAKE_FD_MAX  (PERRON_LCORE_PORT_MAX + 1)

static uint64_t port_deadline_ns(const struct perron_lcore *l)
{
	uint64_t deadline_ns = UINT64_MAX;

	if (l->index != PERRON_LCORE_OF_PORTS)
		return deadline_ns;
	for (uint32_t i = 0; i < l->port_count; i++) {
		uint64_t port_ns = l->ports[i].ops->deadline_ns(l->ports[i].port);
		if (port_ns < deadline_ns)
			deadline_ns = port_ns;
	}
	return deadline_ns;
}

/* When the lcore has to be awake at the latest, if it wants to sleep `length_ns` from now on. */
static uint64_t wake_ns(const struct perron_lcore *l, uint64_t now_ns, uint64_t length_ns)
{
	uint64_t until_ns = now_ns + length_ns;
	uint64_t port_ns = port_deadline_ns(l);

	if (l->deadline_ns < until_ns)
		until_ns = l->deadline_ns;
	return port_ns < until_ns ? port_ns : until_ns;
}

/* Sleeps until then, or until a descriptor is readable if there are any. */
static void sleep_until(struct perron_lcore *l, uint64_t length_ns, struct pollfd *fds,
			nfds_t fd_count)
{
	uint64_t from_ns = perron_clock_now_ns();
	uint64_t until_ns = wake_ns(l, from_ns, length_ns);

	if (until_ns <= from_ns)
		return;
	struct timespec wait = {.tv_sec = (time_t)((until_ns - from_ns) / 1000000000),
				.tv_nsec = (long)((until_ns - from_ns) % 1000000000)};
	rcu_thread_offline();
	if (fd_count)
		(void)ppoll(fds, fd_count, &wait, NULL);
	else
		nanosleep(&wait, NULL);
	rcu_thread_online();
	perron_duty_slept(&l->duty, from_ns > l->now_ns ? from_ns : l->now_ns, until_ns,
			  perron_clock_now_ns());
}

static bool carries(const struct perron_lcore *l)
{
	for (uint32_t i = 0; i < l->machine_count; i++) {
		const struct perron_machine *machine = &l->machines[i];
		if (!machine->ops->carries || machine->ops->carries(machine->self))
			return true;
	}
	return false;
}

/* Of all lcores of the station: a frame for one of them may have to pass another. */
static bool is_quiet(const struct perron_lcore *l)
{
	if (!l->lcores)
		return !carries(l);
	for (uint32_t i = 0; i < l->lcore_count; i++)
		if (carries(&l->lcores[i]))
			return false;
	return true;
}

static uint64_t sleep_ns_max(const struct perron_lcore *l)
{
	if (l->backoff_ns_max >= QUIET_NS_MAX || !is_quiet(l))
		return l->backoff_ns_max;
	return QUIET_NS_MAX;
}

static void backoff(struct perron_lcore *l)
{
	if (l->idle_turns < PAUSE_TURNS) {
		rte_pause();
		return;
	}
	if (l->idle_turns < YIELD_TURNS) {
		sched_yield();
		return;
	}
	l->idle_sleep_ns = l->idle_sleep_ns ? 2 * l->idle_sleep_ns : SLEEP_NS_MIN;
	if (l->idle_sleep_ns > l->backoff_ns_max) {
		uint64_t max_ns = sleep_ns_max(l);
		l->idle_sleep_ns = l->idle_sleep_ns < max_ns ? l->idle_sleep_ns : max_ns;
	}
	sleep_until(l, l->idle_sleep_ns, NULL, 0);
}

static void ports_disarm(struct perron_lcore *l, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		(void)!l->ports[i].ops->wake_disarm(l->ports[i].port);
}

static bool ports_arm(struct perron_lcore *l)
{
	if (l->index != PERRON_LCORE_OF_PORTS)
		return true;
	for (uint32_t i = 0; i < l->port_count; i++) {
		if (l->ports[i].ops->wake_arm(l->ports[i].port) == 0)
			continue;
		ports_disarm(l, i);
		return false;
	}
	return true;
}

static void disarm(struct perron_lcore *l)
{
	uint64_t ignored;

	atomic_store_explicit(&l->asleep, 0, memory_order_relaxed);
	if (l->index == PERRON_LCORE_OF_PORTS)
		ports_disarm(l, l->port_count);
	(void)!read(l->wake_fd, &ignored, sizeof(ignored));
	l->armed = false;
}

static void wait_armed(struct perron_lcore *l)
{
	struct pollfd fds[WAKE_FD_MAX] = {{.fd = l->wake_fd, .events = POLLIN}};
	nfds_t count = 1;

	for (uint32_t i = 0; l->index == PERRON_LCORE_OF_PORTS && i < l->port_count; i++)
		fds[count++] = (struct pollfd){.fd = l->ports[i].wake_fd, .events = POLLIN};
	sleep_until(l, SLEEP_NS_MAX, fds, count);
	disarm(l);
}

/* Arms, takes one more turn, and only then sleeps: what comes in between is not missed. */
static void interrupt(struct perron_lcore *l)
{
	if (l->armed) {
		wait_armed(l);
		return;
	}
	if (l->idle_turns < PAUSE_TURNS) {
		rte_pause();
		return;
	}
	if (!ports_arm(l)) {
		backoff(l);
		return;
	}
	l->armed = true;
	atomic_store_explicit(&l->asleep, 1, memory_order_relaxed);
	/* Pairs with the fence in perron_lcore_wake: it sees `asleep`, or we its record. */
	atomic_thread_fence(memory_order_seq_cst);
}

void perron_lcore_idle(struct perron_lcore *l)
{
	switch (l->idle) {
	case PERRON_IDLE_SPIN:
		rte_pause();
		break;
	case PERRON_IDLE_BACKOFF:
		backoff(l);
		break;
	case PERRON_IDLE_INTERRUPT:
		interrupt(l);
		break;
	case PERRON_IDLE_AUTO:
	case PERRON_IDLE_COUNT:
		/* A strategy was chosen at boot. */
		PERRON_ASSERT(l->idle < PERRON_IDLE_COUNT && l->idle != PERRON_IDLE_AUTO);
	}
	if (l->idle_turns < UINT32_MAX)
		l->idle_turns++;
}

void perron_lcore_idle_end(struct perron_lcore *l)
{
	if (l->armed)
		disarm(l);
	l->idle_turns = 0;
	l->idle_sleep_ns = 0;
}

void perron_lcore_wake(struct perron_lcore *l)
{
	const uint64_t one = 1;

	if (l->idle != PERRON_IDLE_INTERRUPT)
		return;
	/* Pairs with the fence in interrupt. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&l->asleep, memory_order_relaxed))
		(void)!write(l->wake_fd, &one, sizeof(one));
}
