#include "runtime/base/random.h"

#include "runtime/base/assert.h"

static uint64_t splitmix_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t rotated(uint64_t x, unsigned int by)
{
	return x << by | x >> (64 - by);
}

void perron_random_seed(struct perron_random *r, uint64_t seed)
{
	for (uint32_t i = 0; i < 4; i++)
		r->state[i] = splitmix_next(&seed);
	/* splitmix64 is a bijection of its counter, so four draws are never all 0. */
	PERRON_ASSERT(r->state[0] | r->state[1] | r->state[2] | r->state[3]);
}

void perron_random_split(struct perron_random *r, uint64_t label, struct perron_random *child)
{
	uint64_t mixed = label;

	PERRON_ASSERT(r != child);
	perron_random_seed(child, perron_random_next(r) ^ splitmix_next(&mixed));
}

uint64_t perron_random_next(struct perron_random *r)
{
	uint64_t *s = r->state;
	uint64_t result = rotated(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotated(s[3], 45);
	return result;
}

/*
 * The high word of draw * bound (Lemire 2019). Draws whose low word falls below 2^64 mod bound
 * would make some results likelier than others and are drawn again: less than one in two, for any
 * bound, so the loop ends; for the small bounds that occur, next to never.
 */
uint64_t perron_random_below(struct perron_random *r, uint64_t bound)
{
	PERRON_ASSERT(bound > 0);
	unsigned __int128 product = (unsigned __int128)perron_random_next(r) * bound;

	if ((uint64_t)product < bound) {
		uint64_t unfair = (0 - bound) % bound;
		while ((uint64_t)product < unfair)
			product = (unsigned __int128)perron_random_next(r) * bound;
	}
	return (uint64_t)(product >> 64);
}

uint64_t perron_random_between(struct perron_random *r, uint64_t first, uint64_t last)
{
	PERRON_ASSERT(first <= last);
	uint64_t bound = last - first + 1; /* 0: all 2^64 values */

	return bound ? first + perron_random_below(r, bound) : perron_random_next(r);
}

bool perron_random_chance(struct perron_random *r, uint32_t ppm)
{
	return perron_random_below(r, 1000000) < ppm;
}
