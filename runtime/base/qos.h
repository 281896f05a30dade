/*
 * What a client asks of a stream's replication. A path that several clients share has the most that
 * any of them asked for (perron_qos_stronger). Paper 000, III.C: "The period is a QoS parameter".
 *
 * Pure; plain data.
 */
#ifndef PERRON_RUNTIME_BASE_QOS_H
#define PERRON_RUNTIME_BASE_QOS_H

#include <stdbool.h>
#include <stdint.h>

/* Weakest first. */
#define PERRON_REPLICATIONS(X)                                                              \
	X(NONE, "none")                                                                     \
	X(PASSIVE, "passive") /* what is not acknowledged goes to siblings once a period */ \
	X(ACTIVE, "active")   /* each frame goes to siblings as it comes */

enum perron_replication {
#define X(name, text) PERRON_REPLICATION_##name,
	PERRON_REPLICATIONS(X)
#undef X
		PERRON_REPLICATION_COUNT
};

#define PERRON_REPLICATION_PERIOD_US_MIN 1000u
#define PERRON_REPLICATION_PERIOD_US_MAX 60000000u

struct perron_qos {
	uint8_t replication; /* enum perron_replication */
	uint8_t replicas;    /* so many siblings hold copies; 0: all */
	uint16_t reserved;   /* 0; it is handed on as bytes */
	uint32_t period_us;  /* passive: 1 ms to 1 min; else 0 */
};

const char *perron_replication_name(uint8_t replication);
/* -1: none has that name. */
int perron_replication_from_name(const char *name);
/* What no client may ask for: a field out of range, or one that its policy does not have. */
bool perron_qos_is_valid(const struct perron_qos *qos);
struct perron_qos perron_qos_stronger(const struct perron_qos *a, const struct perron_qos *b);

#endif
