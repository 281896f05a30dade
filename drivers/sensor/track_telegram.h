/*
 * The track telegram: what an axle counter's evaluator sends cyclically about its sections, over
 * UDP, in the manner of Frauscher's FSE. docs/track-telegram.md shows it byte by byte.
 *
 * A header of 32 bytes, a record of 16 bytes for each section, CRC-32C of all before it; all
 * big-endian; at most 512 bytes, therefore at most 29 sections.
 *
 * Pure; any thread.
 */
#ifndef PERRON_DRIVERS_SENSOR_TRACK_TELEGRAM_H
#define PERRON_DRIVERS_SENSOR_TRACK_TELEGRAM_H

#include <stdint.h>

#include "runtime/base/assert.h"

#define PERRON_TRACK_MAGIC             0x5054524bu /* "PTRK" */
#define PERRON_TRACK_VERSION           1
#define PERRON_TRACK_SIZE_MAX          512
#define PERRON_TRACK_HEADER_SIZE       32
#define PERRON_TRACK_SECTION_SIZE      16
#define PERRON_TRACK_CHECK_SIZE        4
#define PERRON_TRACK_SECTION_COUNT_MAX 29
#define PERRON_TRACK_CYCLE_MS_MIN      100
#define PERRON_TRACK_CYCLE_MS_MAX      1000

_Static_assert(PERRON_TRACK_HEADER_SIZE + PERRON_TRACK_CHECK_SIZE +
			       PERRON_TRACK_SECTION_COUNT_MAX * PERRON_TRACK_SECTION_SIZE <=
		       PERRON_TRACK_SIZE_MAX,
	       "all sections fit");

enum perron_track_state {
	PERRON_TRACK_CLEAR,
	PERRON_TRACK_OCCUPIED,
	PERRON_TRACK_DISTURBED, /* counts do not agree: to be reset by a person */
	PERRON_TRACK_STATE_COUNT
};

enum perron_track_direction {
	PERRON_TRACK_DIRECTION_NONE,
	PERRON_TRACK_DIRECTION_UP, /* of rising sections */
	PERRON_TRACK_DIRECTION_DOWN,
	PERRON_TRACK_DIRECTION_COUNT
};

struct perron_track_section {
	uint32_t id;        /* more than 0 */
	uint8_t state;      /* enum perron_track_state; CLEAR if and only if no axle and no fault */
	uint8_t direction;  /* of the last axle; NONE if the section is clear */
	uint16_t axle_count;
	uint16_t speed_cm_s; /* of the last axle */
	uint32_t age_ms;     /* since the state changed */
};

struct perron_track_telegram {
	uint32_t evaluator; /* who sends; more than 0 */
	uint32_t epoch;     /* of the sender's start: grows with each */
	uint32_t sequence;  /* from 0, one more each telegram of the epoch */
	uint64_t time_ns;   /* sender's clock, Unix time */
	uint16_t cycle_ms;
	uint8_t section_count;
	struct perron_track_section sections[PERRON_TRACK_SECTION_COUNT_MAX];
};

enum perron_track_result {
	PERRON_TRACK_GOOD,
	PERRON_TRACK_FRAMING,   /* magic, or a length that does not fit */
	PERRON_TRACK_OVERSIZE,  /* more than 512 bytes */
	PERRON_TRACK_VERSION_OTHER,
	PERRON_TRACK_CHECKSUM,
	PERRON_TRACK_MALFORMED, /* a field out of its range */
};

/* Validates all of it. `out` is to be used if the result is PERRON_TRACK_GOOD. */
enum perron_track_result perron_track_decode(const uint8_t *data, uint32_t size,
					     struct perron_track_telegram *out) PERRON_MUST_USE;

/* Writes the telegram into `data` (PERRON_TRACK_SIZE_MAX bytes) and returns its size. */
uint32_t perron_track_encode(uint8_t *data, const struct perron_track_telegram *telegram);

/* What a telegram's number says, against the last one of the same evaluator. */
enum perron_track_order {
	PERRON_TRACK_NEXT,         /* the following, or newer: *missed between */
	PERRON_TRACK_RESTARTED,    /* first of a new epoch */
	PERRON_TRACK_REPEATED,     /* the same again */
	PERRON_TRACK_OUT_OF_ORDER, /* older */
};

enum perron_track_order perron_track_order_of(uint32_t last_epoch, uint32_t last_sequence,
					      uint32_t epoch, uint32_t sequence, uint32_t *missed);

#endif
