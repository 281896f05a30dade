/*
 * The timing wheel: moving an armed deadline, and letting 1024 of them fire one after the other and
 * arming them anew. Yardstick: rte_timer_reset of one among as many.
 */
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_timer.h>

#include "perf/micro/micro.h"
#include "runtime/base/wheel.h"

#define BATCH 128
#define COUNT 1024
#define MS    UINT64_C(1000000)

struct table {
	struct perron_wheel wheel;
	void *memory;
};

static void table_make(struct table *t)
{
	size_t size = perron_wheel_size(COUNT);

	t->memory = aligned_alloc(64, (size + 63) & ~(size_t)63);
	PERRON_ASSERT(t->memory);
	struct perron_arena arena = perron_arena_of(t->memory, size);
	perron_wheel_init(&t->wheel, &arena, COUNT, PERRON_WHEEL_TICK_SHIFT_MIN, 0);
	for (uint32_t i = 0; i < COUNT; i++)
		perron_wheel_add(&t->wheel, i, 20 * MS + i * 1000);
}

static void rearm(struct perron_bench *b, int64_t argument)
{
	struct table t;
	uint64_t deadline_ns = 40 * MS;

	(void)argument;
	table_make(&t);
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++)
			perron_wheel_add(&t.wheel, i * 37 % COUNT, deadline_ns += 997);
		perron_bench_stop(b);
	}
	perron_wheel_check(&t.wheel);
	free(t.memory);
}

static void fire(struct perron_bench *b, int64_t argument)
{
	struct table t;
	uint64_t now_ns = 0;
	uint32_t expired[BATCH];

	(void)argument;
	table_make(&t);
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t fired = 0; fired < BATCH;) {
			now_ns = perron_wheel_next_ns(&t.wheel);
			uint32_t count =
				perron_wheel_advance(&t.wheel, now_ns, expired, BATCH - fired);
			for (uint32_t i = 0; i < count; i++)
				perron_wheel_add(&t.wheel, expired[i], now_ns + 20 * MS);
			fired += count;
		}
		perron_bench_stop(b);
	}
	perron_wheel_check(&t.wheel);
	free(t.memory);
}

static void never(struct rte_timer *timer, void *context)
{
	(void)timer;
	(void)context;
}

static void timer_reset(struct perron_bench *b, int64_t argument)
{
	static struct rte_timer timers[COUNT];
	uint64_t second = rte_get_timer_hz();
	uint32_t bad = 0;

	(void)argument;
	(void)!rte_timer_subsystem_init();
	for (uint32_t i = 0; i < COUNT; i++) {
		rte_timer_init(&timers[i]);
		bad += rte_timer_reset(&timers[i], 1000 * second + i, SINGLE, rte_lcore_id(), never,
				       NULL) != 0;
	}
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++)
			bad += rte_timer_reset(&timers[i * 37 % COUNT], 1000 * second, SINGLE,
					       rte_lcore_id(), never, NULL) != 0;
		perron_bench_stop(b);
	}
	for (uint32_t i = 0; i < COUNT; i++)
		rte_timer_stop(&timers[i]);
	rte_timer_subsystem_finalize();
	if (bad)
		perron_bench_fail(b, "a timer was not set");
}

static const struct perron_bench_case cases[] = {
	{"wheel/rearm", "wheel/rte_timer", rearm, 0},
	{"wheel/fire_and_rearm", "wheel/rte_timer", fire, 0},
	{"wheel/rte_timer", NULL, timer_reset, 0},
};

void micro_wheel(void)
{
	MICRO_REGISTER(cases);
}
