/*
 * Look-ups: perron_map with 16, 256 and 4096 entries, a key that is there and one that is not; and
 * the key as a relay looks its paths up, (stream, class). Yardstick: DPDK's rte_hash.
 */
#include <stdlib.h>

#include <rte_hash.h>
#include <rte_hash_crc.h>

#include "perf/micro/micro.h"
#include "runtime/base/map.h"
#include "runtime/base/random.h"

#define BATCH	  256
#define COUNT_MAX 4096

static uint64_t keys[COUNT_MAX];
static uint32_t order[BATCH];

/* Keys that look random, none twice: a permutation of the numbers (64-bit mixing is one). */
static uint64_t key_at(uint64_t number)
{
	uint64_t x = number + 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* A stream's id is a hash of its name; behind it stands the class. */
static uint64_t path_key_at(uint64_t number)
{
	return (key_at(number) & 0xffffffff) << 8 | number % 3;
}

static void keys_fill(uint32_t count, uint64_t first, bool paths)
{
	for (uint32_t i = 0; i < count; i++)
		keys[i] = paths ? path_key_at(first + i) : key_at(first + i);
	for (uint32_t i = 0; i < BATCH; i++)
		order[i] = (uint32_t)(key_at(i ^ 0xabcdef) % count);
}

struct table {
	struct perron_map map;
	void *memory;
};

static void table_make(struct table *t, uint32_t count)
{
	size_t size = (perron_map_size(count) + 63) & ~(size_t)63;

	t->memory = aligned_alloc(64, size);
	PERRON_ASSERT(t->memory);
	struct perron_arena arena = perron_arena_of(t->memory, size);
	perron_map_init(&t->map, &arena, count, 42);
	for (uint32_t i = 0; i < count; i++) {
		bool put = perron_map_put(&t->map, keys[i], i);
		PERRON_ASSERT(put);
	}
}

static void map_run(struct perron_bench *b, uint32_t count, bool hit, bool paths)
{
	struct table t;
	uint64_t found = 0, asked = 0;

	keys_fill(count, 0, paths);
	table_make(&t, count);
	if (!hit)
		keys_fill(count, COUNT_MAX, paths);
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++)
			found += perron_map_find(&t.map, keys[order[i]]) != PERRON_MAP_NONE;
		perron_bench_stop(b);
		asked += BATCH;
	}
	free(t.memory);
	if (found != (hit ? asked : 0))
		perron_bench_fail(b, "not what was put in was found");
}

static void map_hit(struct perron_bench *b, int64_t count)
{
	map_run(b, (uint32_t)count, true, false);
}

static void map_miss(struct perron_bench *b, int64_t count)
{
	map_run(b, (uint32_t)count, false, false);
}

static void path_hit(struct perron_bench *b, int64_t count)
{
	map_run(b, (uint32_t)count, true, true);
}

static struct rte_hash *hash_make(uint32_t count)
{
	const struct rte_hash_parameters parameters = {
		.name = "yardstick",
		.entries = count < 64 ? 64 : 2 * count,
		.key_len = sizeof(keys[0]),
		.hash_func = rte_hash_crc,
		.socket_id = SOCKET_ID_ANY,
	};
	struct rte_hash *hash = rte_hash_create(&parameters);

	if (!hash)
		return NULL;
	for (uint32_t i = 0; i < count; i++)
		if (rte_hash_add_key_data(hash, &keys[i], (void *)(uintptr_t)i) != 0) {
			rte_hash_free(hash);
			return NULL;
		}
	return hash;
}

static void hash_run(struct perron_bench *b, uint32_t count, bool hit)
{
	uint64_t found = 0, asked = 0;
	struct rte_hash *hash;
	void *value;

	keys_fill(count, 0, false);
	hash = hash_make(count);
	if (!hash) {
		perron_bench_fail(b, "rte_hash was not made");
		return;
	}
	if (!hit)
		keys_fill(count, COUNT_MAX, false);
	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++)
			found += rte_hash_lookup_data(hash, &keys[order[i]], &value) >= 0;
		perron_bench_stop(b);
		asked += BATCH;
	}
	rte_hash_free(hash);
	if (found != (hit ? asked : 0))
		perron_bench_fail(b, "not what was put in was found");
}

static void hash_hit(struct perron_bench *b, int64_t count)
{
	hash_run(b, (uint32_t)count, true);
}

static void hash_miss(struct perron_bench *b, int64_t count)
{
	hash_run(b, (uint32_t)count, false);
}

static const struct perron_bench_case cases[] = {
	{"lookup/hit/16", "lookup/rte_hash_hit/16", map_hit, 16},
	{"lookup/hit/256", "lookup/rte_hash_hit/256", map_hit, 256},
	{"lookup/hit/4096", "lookup/rte_hash_hit/4096", map_hit, 4096},
	{"lookup/miss/16", "lookup/rte_hash_miss/16", map_miss, 16},
	{"lookup/miss/256", "lookup/rte_hash_miss/256", map_miss, 256},
	{"lookup/miss/4096", "lookup/rte_hash_miss/4096", map_miss, 4096},
	{"lookup/path/256", "lookup/rte_hash_hit/256", path_hit, 256},
	{"lookup/rte_hash_hit/16", NULL, hash_hit, 16},
	{"lookup/rte_hash_hit/256", NULL, hash_hit, 256},
	{"lookup/rte_hash_hit/4096", NULL, hash_hit, 4096},
	{"lookup/rte_hash_miss/16", NULL, hash_miss, 16},
	{"lookup/rte_hash_miss/256", NULL, hash_miss, 256},
	{"lookup/rte_hash_miss/4096", NULL, hash_miss, 4096},
};

void micro_lookup(void)
{
	MICRO_REGISTER(cases);
}
