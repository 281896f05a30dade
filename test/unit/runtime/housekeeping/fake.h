/* A station made of fixed rows, for whatever reads snapshots. */
#ifndef PERRON_TEST_UNIT_RUNTIME_HOUSEKEEPING_FAKE_H
#define PERRON_TEST_UNIT_RUNTIME_HOUSEKEEPING_FAKE_H

#include "runtime/housekeeping/snapshot.h"

/* Peers here, each with one link; tests of paging set it higher. */
extern uint32_t fake_peer_count;
/* Added to the last row's counts of sensors, streams, cores and drops with each look; 0: fixed. */
extern uint64_t fake_growth;

extern const struct perron_snapshot_source fake_source;

#endif
