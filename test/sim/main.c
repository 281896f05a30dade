/* perron-sim: runs one seed, or many over the cores, or the mutants that must be noticed. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/sim/cell.h"
#include "test/sim/seeds.h"

static const char usage[] =
	"usage: perron-sim [options]\n"
	"Runs the overlay in virtual time: peers, sensors, clients, and what goes wrong.\n"
	"  --seed S          the run's seed (1)\n"
	"  --seeds K         runs K seeds from S on, over the cores\n"
	"  --jobs J          so many at a time (the machine's cores)\n"
	"  --peers N|A..B    how many peers; a range: drawn by the seed (10..100; groups: 2..16)\n"
	"  --faults PROFILE  none, network, crash or all (all); groups: one cell and its group\n"
	"                    communication, with everything going wrong\n"
	"  --until T         virtual time, like 60s or 7500ms (30s; groups: 6s)\n"
	"  --until-step N    ends after step N\n"
	"  --trace FILE      writes every step, frame and effect (- for standard output)\n"
	"  --verbose         prints what the seed chose and how it went\n"
	"  --mutant NAME     makes the host lie; exit 0 if that is noticed\n"
	"  --mutants         every mutant, over three seeds; exit 0 if all are noticed\n"
	"  --help\n"
	"Ends with `seed=S peers=N steps=N violations=0 digest=HEX`, or, with --seeds,\n"
	"`seeds=K violations=V`. Exit status: 0, 1 if something was violated, 2 for bad options.\n";

struct command_line {
	struct world_options world;
	struct seeds_options seeds;
	bool many;
	bool mutants;
};

static bool number_parse(const char *text, uint64_t max, uint64_t *out, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &stop, 10);
	*end = stop;
	return errno == 0 && *out <= max;
}

static bool whole_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *end;

	return number_parse(text, max, out, &end) && !*end && *out >= min;
}

static bool peers_parse(const char *text, struct world_options *out)
{
	const char *end;
	uint64_t first;
	uint64_t last;

	if (!number_parse(text, 20000, &first, &end) || !first)
		return false;
	last = first;
	if (*end && (strncmp(end, "..", 2) != 0 || !whole_parse(end + 2, first, 20000, &last)))
		return false;
	out->peer_count_min = (uint32_t)first;
	out->peer_count_max = (uint32_t)last;
	return true;
}

static bool time_parse(const char *text, uint64_t *out)
{
	const char *end;
	uint64_t value;

	if (!number_parse(text, 36000000, &value, &end))
		return false;
	if (!strcmp(end, "s"))
		*out = value * SIM_S;
	else if (!strcmp(end, "ms"))
		*out = value * SIM_MS;
	else
		return false;
	return *out >= 5 * SIM_S && *out <= 36000 * SIM_S;
}

static bool profile_parse(const char *text, struct world_options *out)
{
	for (uint32_t i = 0; i < WORLD_PROFILE_COUNT; i++) {
		if (!strcmp(text, world_profile_name(i))) {
			out->profile = (enum world_profile)i;
			return true;
		}
	}
	return false;
}

static bool mutant_parse(const char *text, struct world_options *out)
{
	for (uint32_t i = 1; i < SIM_MUTANT_COUNT; i++) {
		if (!strcmp(text, sim_mutant_name(i))) {
			out->mutant = (enum sim_mutant)i;
			return true;
		}
	}
	return false;
}

static bool trace_open(const char *path, struct world_options *out)
{
	out->trace = strcmp(path, "-") != 0 ? fopen(path, "w") : stdout;
	return out->trace != NULL;
}

static bool option_take(int option, const char *text, struct command_line *c)
{
	uint64_t value = 0;
	bool good = true;

	switch (option) {
	case 's':
		return whole_parse(text, 0, UINT64_MAX, &c->world.seed);
	case 'k':
		good = whole_parse(text, 1, 100000000, &c->seeds.count);
		c->many = true;
		return good;
	case 'j':
		good = whole_parse(text, 1, 1024, &value);
		c->seeds.jobs = (uint32_t)value;
		return good;
	case 'p':
		return peers_parse(text, &c->world);
	case 'f':
		return profile_parse(text, &c->world);
	case 'u':
		return time_parse(text, &c->world.until_ns);
	case 'n':
		return whole_parse(text, 1, UINT64_MAX, &c->world.step_max);
	case 't':
		return trace_open(text, &c->world);
	case 'm':
		return mutant_parse(text, &c->world);
	case 'v':
		c->world.verbose = true;
		return true;
	case 'M':
		c->mutants = true;
		return true;
	default:
		return false;
	}
}

static const char *expectation(int option)
{
	switch (option) {
	case 's':
		return "a number";
	case 'p':
		return "a number from 1 to 20000, or a range like 10..100";
	case 'f':
		return "none, network, crash, all or groups";
	case 'u':
		return "5s to 36000s, like 30s or 7500ms";
	case 't':
		return "a file that can be written, or -";
	case 'm':
		return "a mutant's name (--mutants lists them)";
	default:
		return "a number from 1 on";
	}
}

static const struct option options[] = {
	{"seed", required_argument, NULL, 's'},       {"seeds", required_argument, NULL, 'k'},
	{"jobs", required_argument, NULL, 'j'},       {"peers", required_argument, NULL, 'p'},
	{"faults", required_argument, NULL, 'f'},     {"until", required_argument, NULL, 'u'},
	{"until-step", required_argument, NULL, 'n'}, {"trace", required_argument, NULL, 't'},
	{"mutant", required_argument, NULL, 'm'},     {"mutants", no_argument, NULL, 'M'},
	{"verbose", no_argument, NULL, 'v'},          {"help", no_argument, NULL, 'h'},
	{0},
};

/* What was not said. */
static void defaults_fill(struct world_options *o)
{
	bool is_cell = o->profile == WORLD_PROFILE_GROUPS;

	if (!o->peer_count_max) {
		o->peer_count_min = is_cell ? 2 : 10;
		o->peer_count_max = is_cell ? CELL_PEER_COUNT_MAX : 100;
	}
	if (!o->until_ns)
		o->until_ns = (is_cell ? 6 : 30) * SIM_S;
}

static int command_line_read(int argc, char **argv, struct command_line *c)
{
	int option;
	int index = 0;

	while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
		if (option == 'h') {
			(void)fputs(usage, stdout);
			exit(0);
		}
		if (option == '?')
			return 2;
		if (option_take(option, optarg, c))
			continue;
		(void)fprintf(stderr, "perron-sim: --%s %s: expected %s\n", options[index].name,
			      optarg ? optarg : "", expectation(option));
		return 2;
	}
	defaults_fill(&c->world);
	if (optind < argc) {
		(void)fprintf(stderr, "perron-sim: unexpected '%s'; see perron-sim --help\n",
			      argv[optind]);
		return 2;
	}
	if (c->world.profile == WORLD_PROFILE_GROUPS &&
	    c->world.peer_count_max > CELL_PEER_COUNT_MAX) {
		(void)fprintf(stderr, "perron-sim: --faults groups: a cell has %u peers at most\n",
			      CELL_PEER_COUNT_MAX);
		return 2;
	}
	if (c->many && c->world.trace) {
		(void)fprintf(stderr, "perron-sim: --trace is for one seed; leave out --seeds\n");
		return 2;
	}
	return 0;
}

int main(int argc, char **argv)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct world_result result;
	struct command_line c = {
		.world = {.seed = 1, .profile = WORLD_PROFILE_ALL},
		.seeds = {.count = 1, .jobs = cores > 0 ? (uint32_t)cores : 1},
	};

	if (command_line_read(argc, argv, &c))
		return 2;
	if (c.mutants)
		return seeds_mutants(&c.world) ? 0 : 1;
	if (c.many)
		return seeds_run(&c.world, &c.seeds) ? 1 : 0;
	world_run(&c.world, stdout, &result);
	if (c.world.mutant)
		return result.violations ? 0 : 1;
	return result.violations ? 1 : 0;
}
