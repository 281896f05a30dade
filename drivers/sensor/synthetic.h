/*
 * Synthetic messages: the three packet types of paper 000, section IV, and how a receiver verifies
 * that what it got is what was sent.
 *
 * A message opens with 16 bytes, big-endian: magic (4), type (1), zeros (3), counter (8). The rest
 * is a pattern that follows from type and counter. Pure; any thread.
 */
#ifndef PERRON_DRIVERS_SENSOR_SYNTHETIC_H
#define PERRON_DRIVERS_SENSOR_SYNTHETIC_H

#include <stdbool.h>
#include <stdint.h>

#define PERRON_SYNTHETIC_MAGIC       0x50535931u /* "PSY1" */
#define PERRON_SYNTHETIC_HEADER_SIZE 16

/* name, text, bytes, a second: audio, events and video */
#define PERRON_SYNTHETIC_TYPES(X)                                                                  \
	X(SMALL, "small", 418, 38)                                                                 \
	X(MEDIUM, "medium", 1024, 25)                                                              \
	X(LARGE, "large", 4180, 24)

enum perron_synthetic_type {
#define X(name, text, size, rate) PERRON_SYNTHETIC_##name,
	PERRON_SYNTHETIC_TYPES(X)
#undef X
	PERRON_SYNTHETIC_TYPE_COUNT
};

#define PERRON_SYNTHETIC_SIZE_MAX 4180

const char *perron_synthetic_type_name(enum perron_synthetic_type type);
uint32_t perron_synthetic_size(enum perron_synthetic_type type); /* bytes */
uint32_t perron_synthetic_rate(enum perron_synthetic_type type); /* messages a second */

/* Writes message `counter` into `data`; returns its size. */
uint32_t perron_synthetic_fill(uint8_t *data, enum perron_synthetic_type type, uint64_t counter);

/* True if `data` is a whole and unchanged synthetic message; `type` and `counter` are its own. */
bool perron_synthetic_check(const uint8_t *data, uint32_t size, enum perron_synthetic_type *type,
			    uint64_t *counter);

#endif
