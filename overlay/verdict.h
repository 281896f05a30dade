/* What a peer answers to a request: one list for joins, searches, subscriptions and paths. */
#ifndef PERRON_OVERLAY_VERDICT_H
#define PERRON_OVERLAY_VERDICT_H

#include <stdint.h>

#define PERRON_VERDICTS(X)                                                                         \
	X(OK, "ok")                                                                                \
	X(WAIT, "wait")                       /* not now; ask again */                            \
	X(REDIRECT, "redirect")               /* ask that peer */                                 \
	X(UNKNOWN_SENSOR, "unknown-sensor")                                                        \
	X(LATENCY, "latency-impossible")      /* the estimate is above the bound */               \
	X(FULL, "full")                       /* a table on the way is full */                    \
	X(NOT_JOINED, "not-joined")           /* that station is not in the overlay */            \
	X(DUPLICATE, "duplicate-peer")        /* another station has this peer id */              \
	X(CONFLICT, "conflict")               /* position taken by another */                     \
	X(MALFORMED, "malformed")                                                                  \
	X(REPLICAS, "too-few-siblings")       /* fewer than the replicas that are asked for */

enum perron_verdict {
#define X(name, text) PERRON_VERDICT_##name,
	PERRON_VERDICTS(X)
#undef X
	PERRON_VERDICT_COUNT
};
const char *perron_verdict_name(uint8_t verdict);

#endif
