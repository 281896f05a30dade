/*
 * The same requests through rte_telemetry: `/perron/<name>`, read with dpdk-telemetry.py. The
 * parameters are `first[,count]` of lists; an answer that would pass rte_telemetry's bounds
 * (16,384 bytes, 512 rows) is cut, and its `next` says where to go on.
 *
 * rte_telemetry calls from a thread of its own. That thread leaves the request in a mailbox and
 * waits; housekeeping answers it in perron_telemetry_step, so that handlers need no lock.
 */
#ifndef PERRON_RUNTIME_HOUSEKEEPING_TELEMETRY_H
#define PERRON_RUNTIME_HOUSEKEEPING_TELEMETRY_H

#include "runtime/base/assert.h"
#include "runtime/housekeeping/request.h"

/* How long rte_telemetry's thread waits for housekeeping. */
#define PERRON_TELEMETRY_WAIT_MS 1000

struct rte_tel_data;

/*
 * Registers every request of the table; after rte_eal_init, before a reader can ask, once a
 * process. Housekeeping thread. 0 or -errno.
 */
int perron_telemetry_register(const struct perron_request *requests, void *context, char *error,
			      size_t error_size) PERRON_MUST_USE;

/* Readable whenever a request waits in the mailbox. */
int perron_telemetry_fd(void);

/* Answers what waits, if anything does. Housekeeping thread. */
void perron_telemetry_step(void);

/* From here on every request is answered with an error. Housekeeping thread. */
void perron_telemetry_stop(void);

/*
 * Fills `out` from an object. Objects in lists become containers; what rte_telemetry cannot hold
 * (lists in lists' objects) becomes text. 0 or -errno.
 */
int perron_telemetry_fill(struct rte_tel_data *out, const json_t *object) PERRON_MUST_USE;

#endif
