/* Many seeds over the cores, each in a process of its own: none takes another along. */
#ifndef PERRON_TEST_SIM_SEEDS_H
#define PERRON_TEST_SIM_SEEDS_H

#include "test/sim/world.h"

struct seeds_options {
	uint64_t count;
	uint32_t jobs;
};

/* Prints each seed that violates, and the closing line. Returns how many did. */
uint64_t seeds_run(const struct world_options *world, const struct seeds_options *options);

/* Runs every mutant; true if each was noticed, and the run without one was clean. */
bool seeds_mutants(const struct world_options *world);

#endif
