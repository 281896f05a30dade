#include "test/sim/seeds.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUTANT_SEEDS 3u

struct child {
	pid_t pid; /* 0: none */
	int from;
	uint64_t seed;
};

struct run {
	const struct world_options *world;
	struct child *children;
	uint64_t done;
	uint64_t count;
	uint64_t bad;
	uint64_t steps;
	bool is_terminal;
};

static void child_begin(struct child *child, const struct world_options *world, uint64_t seed)
{
	struct world_options options = *world;
	struct world_result result;
	int ends[2];

	options.seed = seed;
	(void)fflush(NULL);
	if (pipe(ends) || (child->pid = fork()) < 0) {
		perror("perron-sim");
		exit(2);
	}
	if (child->pid == 0) {
		(void)close(ends[0]);
		world_run(&options, NULL, &result);
		ssize_t written = write(ends[1], &result, sizeof(result));
		_exit(written == (ssize_t)sizeof(result) ? 0 : 2);
	}
	(void)close(ends[1]);
	child->from = ends[0];
	child->seed = seed;
}

static void violation_print(struct run *r, uint64_t seed, const struct world_result *result)
{
	if (r->is_terminal)
		(void)printf("\r\033[K");
	(void)printf("seed %" PRIu64 ": peers %u, violations %" PRIu64
		     ", first at %.6f s, step %" PRIu64 ": %s\n",
		     seed, result->peers, result->violations, (double)result->first.at_ns / 1e9,
		     result->first.step, result->first.text);
	(void)fflush(stdout);
}

static void child_end(struct run *r, struct child *child, int status)
{
	struct world_result result = {0};
	ssize_t got = read(child->from, &result, sizeof(result));

	(void)close(child->from);
	child->pid = 0;
	r->done++;
	if (got != (ssize_t)sizeof(result)) {
		result.violations = 1;
		(void)snprintf(result.first.text, sizeof(result.first.text),
			       "crash: the simulation itself ended by %s %d",
			       WIFSIGNALED(status) ? "signal" : "status",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	r->steps += result.steps;
	if (result.violations) {
		r->bad++;
		violation_print(r, child->seed, &result);
	}
	if (r->is_terminal) {
		(void)printf("\r%" PRIu64 " of %" PRIu64 " seeds, %" PRIu64 " violate", r->done,
			     r->count, r->bad);
		(void)fflush(stdout);
	}
}

static void child_wait(struct run *r, uint32_t jobs)
{
	int status;
	pid_t pid = wait(&status);

	for (uint32_t i = 0; i < jobs; i++)
		if (r->children[i].pid == pid)
			child_end(r, &r->children[i], status);
}

uint64_t seeds_run(const struct world_options *world, const struct seeds_options *options)
{
	struct run r = {
		.world = world,
		.count = options->count,
		.children = calloc(options->jobs, sizeof(struct child)),
		.is_terminal = isatty(STDOUT_FILENO),
	};
	uint64_t begun = 0;

	PERRON_ASSERT(r.children);
	while (r.done < options->count) {
		for (uint32_t i = 0; i < options->jobs && begun < options->count; i++)
			if (!r.children[i].pid)
				child_begin(&r.children[i], world, world->seed + begun++);
		child_wait(&r, options->jobs);
	}
	if (r.is_terminal)
		(void)printf("\r\033[K");
	if (world->verbose)
		(void)printf("steps=%" PRIu64 "\n", r.steps);
	(void)printf("seeds=%" PRIu64 " violations=%" PRIu64 "\n", options->count, r.bad);
	free(r.children);
	return r.bad;
}

/* Over some seeds: the first that notices; 0 if none does. */
static bool mutant_is_noticed(const struct world_options *world, enum sim_mutant mutant,
			      struct world_result *result, uint64_t *seed)
{
	struct world_options options = *world;

	options.mutant = mutant;
	for (uint32_t i = 0; i < MUTANT_SEEDS; i++) {
		*seed = options.seed = world->seed + i;
		world_run(&options, NULL, result);
		if (result->violations)
			return true;
	}
	return false;
}

static bool mutant_applies(const struct world_options *world, uint32_t mutant)
{
	bool is_cell = world->profile == WORLD_PROFILE_GROUPS;

	return mutant == SIM_MUTANT_DEAF_PEER || (mutant >= SIM_MUTANT_CELL_FIRST) == is_cell;
}

bool seeds_mutants(const struct world_options *world)
{
	struct world_result result;
	uint64_t seed;
	uint32_t noticed = 0;
	uint32_t count = 0;

	if (mutant_is_noticed(world, SIM_MUTANT_NONE, &result, &seed)) {
		(void)printf("seed %" PRIu64 " violates without a mutant: %s\n", seed,
			     result.first.text);
		return false;
	}
	for (uint32_t i = 1; i < SIM_MUTANT_COUNT; i++) {
		if (!mutant_applies(world, i))
			continue;
		count++;
		bool is_noticed = mutant_is_noticed(world, (enum sim_mutant)i, &result, &seed);
		noticed += is_noticed;
		(void)printf("mutant %s: %s\n", sim_mutant_name(i),
			     is_noticed ? result.first.text : "NOT NOTICED");
	}
	(void)printf("mutants=%u noticed=%u\n", count, noticed);
	return noticed == count;
}
