/*
 * perron-micro: the micro-benchmarks, on Google Benchmark (perf/bench starts it). Runs on the last
 * core that it may use, with an EAL without huge pages for what needs mbufs and DPDK's tables.
 */
#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>

#include "perf/harness/program.h"
#include "perf/micro/micro.h"

static void empty(struct perron_bench *b, int64_t argument)
{
	(void)argument;
	while (perron_bench_next(b, 1)) {
		perron_bench_start(b);
		perron_bench_stop(b);
	}
}

static const struct perron_bench_case cases[] = {
	{"harness/empty", NULL, empty, 0},
};

static int eal_start(void)
{
	char lcores[32];
	char *arguments[] = {"perron-micro", "--no-huge", "--no-pci", "--no-shconf",
			     "--no-telemetry", "-m", "128",
			     lcores, "--log-level=*:error"};

	snprintf(lcores, sizeof(lcores), "--lcores=0@%d",
		 perron_program_core(perron_program_core_count() - 1));
	return rte_eal_init(sizeof(arguments) / sizeof(arguments[0]), arguments);
}

int main(int argc, char **argv)
{
	if (eal_start() < 0) {
		fprintf(stderr, "perron-micro: the EAL did not start\n");
		return EXIT_FAILURE;
	}
	MICRO_REGISTER(cases);
	micro_codec();
	micro_lookup();
	micro_forward();
	micro_lcore();
	micro_handover();
	micro_rcu();
	micro_histogram();
	micro_wheel();
	micro_client();
	int status = perron_bench_main(argc, argv);
	(void)rte_eal_cleanup();
	return status;
}
