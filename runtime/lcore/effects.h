/*
 * Applies what a machine wants done, effect by effect in their order (runtime/base/effects.h).
 *
 *   SEND     the arena's bytes in a fresh mbuf
 *   FORWARD  with LAST, and nobody holding the frame: rewritten in place. Else a copy; or, to a
 * port that takes chained frames, a new header before a reference to the payload (not for traced
 * frames: each hop writes into their payload) HOLD, RELEASE  a reference, counted DELIVER  the
 * machine's own function EVENT    copied into the ring to housekeeping
 *
 * Thread: the lcore's.
 */
#ifndef PERRON_RUNTIME_LCORE_EFFECTS_H
#define PERRON_RUNTIME_LCORE_EFFECTS_H

#include "runtime/lcore/lcore.h"

/* Applies l->effects, which `machine` (index `machine_index`) has filled, and empties them. */
void perron_lcore_effects_apply(struct perron_lcore *l, uint32_t machine_index);

#endif
