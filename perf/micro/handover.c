/*
 * Hand-over between planes: a record of 418 bytes through perron_spsc, on one thread, and there and
 * back between two cores that spin. Yardstick: the address of a buffer through rte_ring, single
 * producer and consumer, in the same two ways (it copies no bytes).
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rte_pause.h>
#include <rte_ring.h>

#include "perf/harness/program.h"
#include "perf/micro/micro.h"
#include "runtime/lcore/spsc.h"

#define RING_BYTES   65536
#define RING_ENTRIES 256
#define BATCH	     32

static uint8_t message[MICRO_SMALL];

/* One way: either kind of ring. */
struct way {
	struct perron_spsc *spsc;
	struct rte_ring *ring;
};

static struct way way_make(void)
{
	struct way w = {.spsc = aligned_alloc(64, perron_spsc_size(RING_BYTES))};
	ssize_t size = rte_ring_get_memsize(RING_ENTRIES);

	PERRON_ASSERT(w.spsc && size > 0);
	w.ring = aligned_alloc(128, ((size_t)size + 127) & ~(size_t)127);
	PERRON_ASSERT(w.ring);
	perron_spsc_init(w.spsc, RING_BYTES);
	int result = rte_ring_init(w.ring, "yardstick", RING_ENTRIES,
				   RING_F_SP_ENQ | RING_F_SC_DEQ);
	PERRON_ASSERT(result == 0);
	return w;
}

static void way_free(struct way *w)
{
	free(w->spsc);
	free(w->ring);
}

static bool spsc_send(struct way *w)
{
	return perron_spsc_push(w->spsc, 1, message, sizeof(message));
}

static bool spsc_take(struct way *w)
{
	uint32_t size, tag;
	const uint8_t *record = perron_spsc_peek(w->spsc, &size, &tag);

	if (!record)
		return false;
	perron_bench_keep(record[0]);
	perron_spsc_pop(w->spsc);
	return true;
}

static bool ring_send(struct way *w)
{
	return rte_ring_sp_enqueue(w->ring, message) == 0;
}

static bool ring_take(struct way *w)
{
	void *taken;

	if (rte_ring_sc_dequeue(w->ring, &taken) != 0)
		return false;
	perron_bench_keep((uint64_t)(uintptr_t)taken);
	return true;
}

static void alone(struct perron_bench *b, int64_t is_ring)
{
	struct way w = way_make();
	uint32_t bad = 0;

	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; is_ring && i < BATCH; i++)
			bad += !ring_send(&w) || !ring_take(&w);
		for (uint32_t i = 0; !is_ring && i < BATCH; i++)
			bad += !spsc_send(&w) || !spsc_take(&w);
		perron_bench_stop(b);
	}
	way_free(&w);
	if (bad)
		perron_bench_fail(b, "a ring refused");
}

struct echo {
	struct way there;
	struct way back;
	bool is_ring;
	atomic_bool stop;
};

static void *echo_main(void *context)
{
	struct echo *e = context;

	if (perron_program_pin(perron_program_core(0)) != 0)
		return NULL;
	while (!atomic_load_explicit(&e->stop, memory_order_relaxed)) {
		if (e->is_ring ? ring_take(&e->there) : spsc_take(&e->there))
			(void)!(e->is_ring ? ring_send(&e->back) : spsc_send(&e->back));
		else
			rte_pause();
	}
	return NULL;
}

static void round_trip(struct perron_bench *b, int64_t is_ring)
{
	struct echo e = {.there = way_make(), .back = way_make(), .is_ring = is_ring != 0};
	pthread_t thread;

	if (perron_program_core_count() < 2) {
		perron_bench_fail(b, "needs two cores");
		return;
	}
	if (pthread_create(&thread, NULL, echo_main, &e) != 0) {
		perron_bench_fail(b, "no thread");
		return;
	}
	while (perron_bench_next(b, 1)) {
		perron_bench_start(b);
		if (is_ring) {
			(void)ring_send(&e.there);
			while (!ring_take(&e.back))
				rte_pause();
		} else {
			(void)spsc_send(&e.there);
			while (!spsc_take(&e.back))
				rte_pause();
		}
		perron_bench_stop(b);
	}
	atomic_store(&e.stop, true);
	pthread_join(thread, NULL);
	way_free(&e.there);
	way_free(&e.back);
}

static const struct perron_bench_case cases[] = {
	{"handover/alone/spsc", "handover/alone/rte_ring", alone, 0},
	{"handover/alone/rte_ring", NULL, alone, 1},
	{"handover/round_trip/spsc", "handover/round_trip/rte_ring", round_trip, 0},
	{"handover/round_trip/rte_ring", NULL, round_trip, 1},
};

void micro_handover(void)
{
	MICRO_REGISTER(cases);
}
