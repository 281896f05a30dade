/*
 * Seeded random numbers: xoshiro256** (Blackman, Vigna), its state filled by splitmix64. The state
 * lives with who draws; one seed gives one sequence, on any machine and by any compiler.
 * Not for secrets. Pure; the thread that owns the state.
 */
#ifndef PERRON_RUNTIME_BASE_RANDOM_H
#define PERRON_RUNTIME_BASE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct perron_random {
	uint64_t state[4];
};

/* Any seed will do, 0 as well. */
void perron_random_seed(struct perron_random *r, uint64_t seed);

/*
 * A generator of its own for a part of the program, so that what one part draws does not change
 * what another sees. Takes one draw of `r`; the same `r` and `label` give the same child.
 */
void perron_random_split(struct perron_random *r, uint64_t label, struct perron_random *child);

uint64_t perron_random_next(struct perron_random *r);

/* Uniform in 0 to bound - 1, each exactly as likely as the others; bound > 0. */
uint64_t perron_random_below(struct perron_random *r, uint64_t bound);

/* Uniform in first to last, both included; first <= last. */
uint64_t perron_random_between(struct perron_random *r, uint64_t first, uint64_t last);

/* True in `ppm` of a million draws; ppm >= 1000000: always. */
bool perron_random_chance(struct perron_random *r, uint32_t ppm);

#endif
