/*
 * RCU: reading a published view as a lcore does each turn, and with the quiescent state that ends
 * the turn. Yardstick: reading through a plain pointer.
 */
#include <stdlib.h>

#include "perf/micro/micro.h"
#include "runtime/housekeeping/views.h"

#define BATCH 256

struct view {
	uint64_t value;
};

static void run(struct perron_bench *b, bool quiescent)
{
	struct perron_views views;
	size_t size = (perron_views_memory(sizeof(struct view)) + 63) & ~(size_t)63;
	void *memory = aligned_alloc(64, size);

	PERRON_ASSERT(memory);
	perron_views_init(&views, sizeof(struct view), memory);
	struct view *draft = perron_views_draft(&views);
	draft->value = 7;
	perron_views_publish(&views, draft);
	rcu_register_thread();
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++) {
			const struct view *view = perron_views_read(&views);
			perron_bench_keep(view->value);
			if (quiescent)
				rcu_quiescent_state();
		}
		perron_bench_stop(b);
	}
	rcu_unregister_thread();
	free(memory);
}

static void read_only(struct perron_bench *b, int64_t argument)
{
	(void)argument;
	run(b, false);
}

static void read_and_rest(struct perron_bench *b, int64_t argument)
{
	(void)argument;
	run(b, true);
}

static void plain(struct perron_bench *b, int64_t argument)
{
	struct view view = {.value = 7};
	struct view *current = &view;

	(void)argument;
	/* The pointer is one that the compiler cannot know. */
	__asm__ volatile("" : "+m"(current) : : "memory");
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++)
			perron_bench_keep(current->value); /* reads both: memory is clobbered */
		perron_bench_stop(b);
	}
}

static const struct perron_bench_case cases[] = {
	{"rcu/read", "rcu/plain", read_only, 0},
	{"rcu/read_and_quiescent", "rcu/plain", read_and_rest, 0},
	{"rcu/plain", NULL, plain, 0},
};

void micro_rcu(void)
{
	MICRO_REGISTER(cases);
}
