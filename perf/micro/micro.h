/* The micro-benchmarks: each file registers its own cases. Called once, by main.c. */
#ifndef PERRON_PERF_MICRO_MICRO_H
#define PERRON_PERF_MICRO_MICRO_H

#include <stddef.h>

#include "perf/harness/bench.h"

/* Payload of the small packet of paper 000, IV. */
#define MICRO_SMALL 418

void micro_codec(void);
void micro_lookup(void);
void micro_forward(void);
void micro_lcore(void);
void micro_handover(void);
void micro_rcu(void);
void micro_histogram(void);
void micro_wheel(void);
void micro_client(void);

#define MICRO_REGISTER(cases)                                                                      \
	do {                                                                                       \
		for (size_t i_ = 0; i_ < sizeof(cases) / sizeof((cases)[0]); i_++)                 \
			perron_bench_register(&(cases)[i_]);                                       \
	} while (0)

#endif
