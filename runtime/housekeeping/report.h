/*
 * The reports: requests answered from a snapshot source. `context` of each handler is the
 * `struct perron_snapshot_source`.
 *
 *	status    the station, and sums over what follows
 *	tree      peers of the overlay with their positions
 *	peers     peers here, each with its links and the evidence of their verdicts
 *	streams, sensors, cores, drops
 *	group     what each peer here is in its cell's group
 *	history   views and verdicts, the last ones; the events `view`, `transitional`, `link-down`
 *
 * Lists take `first` and `count` (at most PERRON_REPORT_ROW_MAX) and answer
 * {"NAME": [...], "total": N, "next": M}, with `next` only where rows are left.
 * docs/operations.md says what each member means.
 */
#ifndef PERRON_RUNTIME_HOUSEKEEPING_REPORT_H
#define PERRON_RUNTIME_HOUSEKEEPING_REPORT_H

#include "runtime/housekeeping/request.h"
#include "runtime/housekeeping/snapshot.h"

/* Rows of one answer: some 100 kB of JSON, well within a client's bound. */
#define PERRON_REPORT_ROW_MAX 128

/* Ends with a NULL name. */
extern const struct perron_request perron_report_requests[];

/* A row of `history` as an event's body. */
json_t *perron_report_history(const struct perron_snapshot_history *row);

#endif
