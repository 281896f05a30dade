/* What the simulator's worlds have in common: the relay on a peer's fast plane. */
#ifndef PERRON_TEST_SIM_RELAY_H
#define PERRON_TEST_SIM_RELAY_H

#include "test/sim/sim.h"

extern const struct sim_machine_ops sim_relay_ops;

/* Memory for a machine: whole cache lines. */
void *sim_lines_alloc(size_t size);

#endif
