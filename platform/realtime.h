/*
 * Before whatever else the machine does: SCHED_FIFO for the threads of this process.
 *
 * All get one priority, so that none waits for another of lower rank that it has pushed aside, but
 * for those that have a rank of their own already; those made later inherit it. A thread that never
 * sleeps meets the kernel's throttle (sched_rt_runtime_us): only threads that idle by sleeping are
 * meant to have it.
 *
 * Any thread.
 */
#ifndef PERRON_PLATFORM_REALTIME_H
#define PERRON_PLATFORM_REALTIME_H

#include <stddef.h>

#include "runtime/base/assert.h"

/*
 * Gives SCHED_FIFO at `priority` (1 to 99) to every thread that has no such rank yet. 0, or -errno
 * and one line that names the fix; some threads may have it then.
 */
int perron_realtime_begin(int priority, char *error, size_t error_size) PERRON_MUST_USE;

#endif
