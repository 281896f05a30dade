/*
 * A seeded timetable of trains over track sections, and what the sections' axle counters say of it
 * at any time.
 *
 * Sections lie in a row on two tracks: the first half, 101 and on, is the up track, the others, 201
 * and on, the down track (with one section there is no down track). A train enters at its track's
 * first counting head, keeps its speed, and leaves at the last head. It enters so late that no
 * section ever holds two trains. Between two heads an axle is counted in, then out.
 *
 * Pure: the seed and the time decide everything. Times are milliseconds since the start, and never
 * fall from call to call.
 */
#ifndef PERRON_APPS_TRACK_GENERATOR_TIMETABLE_H
#define PERRON_APPS_TRACK_GENERATOR_TIMETABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/sensor/track_telegram.h"

#define PERRON_TIMETABLE_TRACK_COUNT   2
#define PERRON_TIMETABLE_SECTION_MAX   PERRON_TRACK_SECTION_COUNT_MAX
#define PERRON_TIMETABLE_AXLE_DISTANCE 4000u /* mm, from axle to axle */
/* One train a section, one that has just left and one that is about to come. */
#define PERRON_TIMETABLE_TRAIN_MAX (PERRON_TIMETABLE_SECTION_MAX + 3)

struct perron_timetable_train {
	uint32_t number;
	uint8_t track;      /* 0 up, 1 down */
	uint16_t axle_count;
	uint32_t speed_mm_s;
	uint64_t enter_ms;  /* first axle over the first head */
	uint64_t leave_ms;  /* last axle over the last head */
};

struct perron_timetable_track {
	uint64_t random; /* each track its own: no matter in which order they are planned */
	uint32_t section_count;
	uint64_t head_mm[PERRON_TIMETABLE_SECTION_MAX + 1];    /* rising, from 0 */
	uint64_t cleared_ms[PERRON_TIMETABLE_SECTION_MAX];     /* by trains that are gone */
	struct perron_timetable_train last;                    /* planned; number 0: none */
	uint32_t train_count;
	struct perron_timetable_train trains[PERRON_TIMETABLE_TRAIN_MAX]; /* by entry */
};

struct perron_timetable {
	uint32_t section_count;
	struct perron_timetable_track tracks[PERRON_TIMETABLE_TRACK_COUNT];
};

/* `section_count` is 1 to PERRON_TIMETABLE_SECTION_MAX. Plans each track's first train. */
void perron_timetable_init(struct perron_timetable *t, uint64_t seed, uint32_t section_count);

/* Plans the trains that enter up to `now_ms`, and one more a track; forgets those that left. */
void perron_timetable_advance(struct perron_timetable *t, uint64_t now_ms);

/* What section `index` (from 0) says now; after perron_timetable_advance(t, now_ms). */
void perron_timetable_section(const struct perron_timetable *t, uint32_t index, uint64_t now_ms,
			      struct perron_track_section *out);

/* When the train's axle (from 0) passes the track's head (from 0). */
uint64_t perron_timetable_pass_ms(const struct perron_timetable_track *track,
				  const struct perron_timetable_train *train, uint32_t head,
				  uint32_t axle);

#endif
