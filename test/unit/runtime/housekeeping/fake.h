/* A station made of fixed rows, for whatever reads snapshots. */
#ifndef PERRON_TEST_UNIT_RUNTIME_HOUSEKEEPING_FAKE_H
#define PERRON_TEST_UNIT_RUNTIME_HOUSEKEEPING_FAKE_H

#include "runtime/housekeeping/snapshot.h"

/* Peers here, each with one link; tests of paging set it higher. */
extern uint32_t fake_peer_count;

extern const struct perron_snapshot_source fake_source;

#endif
