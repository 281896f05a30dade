/*
 * The loop of a lcore: turn after turn until it is told to stop.
 *
 * Thread: the lcore's, which is registered with liburcu while it runs.
 */
#ifndef PERRON_RUNTIME_LCORE_LOOP_H
#define PERRON_RUNTIME_LCORE_LOOP_H

#include "runtime/lcore/lcore.h"

/*
 * One turn, for hosts and tests that bring their own thread: registered with liburcu, and online.
 * Returns whether there was work.
 */
bool perron_lcore_turn(struct perron_lcore *l);

/* Registers, turns until l->stop, unregisters. For rte_eal_remote_launch; `lcore` is the struct. */
int perron_lcore_main(void *lcore);

/* Idles once after a turn without work (idle.c). */
void perron_lcore_idle(struct perron_lcore *l);
/* A turn had work, or the loop ends: idling begins anew. */
void perron_lcore_idle_end(struct perron_lcore *l);

/*
 * To be called by a producer after it has put something on a ring of this lcore's: ends its sleep.
 * Any thread. A system call only if the lcore sleeps.
 */
void perron_lcore_wake(struct perron_lcore *l);

/* Frees every frame that waits in the lcore's queues. After it has stopped. */
void perron_lcore_drain(struct perron_lcore *l);

#endif
