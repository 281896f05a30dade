/*
 * What the programs of perf/ share: a hook for failed assertions, threads on cores of their own,
 * and the histograms that bench.cc keeps.
 */
#ifndef PERRON_PERF_HARNESS_PROGRAM_H
#define PERRON_PERF_HARNESS_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/assert.h"

/* The n-th core that this process may use, from 0; -1: it has no so many. */
int perron_program_core(uint32_t nth);
uint32_t perron_program_core_count(void);
/* Pins the calling thread. -errno. */
int perron_program_pin(int core) PERRON_MUST_USE;

#endif
