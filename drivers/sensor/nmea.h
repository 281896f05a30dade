/*
 * NMEA 0183: one sentence, `$` talker, type, fields, `*hh`, CR LF; at most 82 characters.
 *
 * The checksum is the exclusive or of what stands between `$` and `*`, and is required. Of the
 * types, GGA and RMC are understood (position, speed, time); the others are only split.
 *
 * Pure: integers only, nothing kept, any thread.
 */
#ifndef PERRON_DRIVERS_SENSOR_NMEA_H
#define PERRON_DRIVERS_SENSOR_NMEA_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/assert.h"

/* With `$` and CR LF. */
#define PERRON_NMEA_SIZE_MAX 82
/* A field is at least its comma. */
#define PERRON_NMEA_FIELD_COUNT_MAX PERRON_NMEA_SIZE_MAX

enum perron_nmea_result {
	PERRON_NMEA_GOOD,
	PERRON_NMEA_FRAMING,   /* no $, no *hh, or a character that has no place there */
	PERRON_NMEA_OVERSIZE,  /* more than 82 characters */
	PERRON_NMEA_CHECKSUM,  /* does not match */
	PERRON_NMEA_MALFORMED, /* address field, or a field of GGA or RMC */
};

struct perron_nmea_field {
	const char *text; /* into the sentence; not ended by 0 */
	uint32_t size;    /* 0: empty */
};

struct perron_nmea_sentence {
	char talker[3]; /* "GP", or "P" for a proprietary sentence */
	char type[8];   /* "RMC" */
	uint32_t field_count; /* after the address field */
	struct perron_nmea_field fields[PERRON_NMEA_FIELD_COUNT_MAX];
};

struct perron_nmea_fix {
	bool has_time;
	bool has_position;
	bool has_speed;
	uint32_t time_of_day_ms; /* UTC */
	int32_t latitude_e7;     /* degrees * 10^7, north positive */
	int32_t longitude_e7;    /* degrees * 10^7, east positive */
	uint32_t speed_mm_s;
	uint32_t course_millidegrees;
	uint32_t satellite_count; /* 0 if the sentence does not say */
};

/* `data` may end in CR LF, in LF, or in neither. `out` points into `data`. */
enum perron_nmea_result perron_nmea_decode(const uint8_t *data, uint32_t size,
					   struct perron_nmea_sentence *out) PERRON_MUST_USE;

/*
 * What a sentence says of time, position and speed: nothing, if it is neither GGA nor RMC, or its
 * receiver has no fix. PERRON_NMEA_GOOD or _MALFORMED.
 */
enum perron_nmea_result perron_nmea_fix_of(const struct perron_nmea_sentence *sentence,
					   struct perron_nmea_fix *out) PERRON_MUST_USE;

/* The checksum of `size` characters between `$` and `*`. */
uint8_t perron_nmea_checksum(const uint8_t *data, uint32_t size);

#endif
