#include "apps/track-generator/timetable.h"

#include <string.h>

/* Trams of one to three units, and what they do on a line: 18 to 50 km/h. */
#define AXLES_OF_UNIT  8u
#define UNIT_COUNT_MAX 3u
#define SPEED_MM_S_MIN 5000u
#define SPEED_MM_S_MAX 14000u
#define SECTION_MM_MIN 80000u
#define SECTION_MM_MAX 400000u
#define HEADWAY_MS_MIN 20000u
#define HEADWAY_MS_MAX 120000u
#define FIRST_ENTRY_MS 15000u

static uint64_t random_next(struct perron_timetable_track *track)
{
	uint64_t z = track->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint32_t random_between(struct perron_timetable_track *track, uint32_t low, uint32_t high)
{
	return low + (uint32_t)(random_next(track) % (high - low + 1));
}

uint64_t perron_timetable_pass_ms(const struct perron_timetable_track *track,
				  const struct perron_timetable_train *train, uint32_t head,
				  uint32_t axle)
{
	PERRON_ASSERT(head <= track->section_count && axle < train->axle_count);
	uint64_t way_mm = track->head_mm[head] + (uint64_t)axle * PERRON_TIMETABLE_AXLE_DISTANCE;

	return train->enter_ms + way_mm * 1000 / train->speed_mm_s;
}

/* Last axle out of a section. */
static uint64_t clear_ms(const struct perron_timetable_track *track,
			 const struct perron_timetable_train *train, uint32_t section)
{
	return perron_timetable_pass_ms(track, train, section + 1, train->axle_count - 1u);
}

/* How much later `train` must enter so that it finds every section clear of the one before. */
static uint64_t delay_needed_ms(const struct perron_timetable_track *track,
				const struct perron_timetable_train *train)
{
	uint64_t delay_ms = 0;

	for (uint32_t i = 0; track->last.number != 0 && i < track->section_count; i++) {
		uint64_t free_ms = clear_ms(track, &track->last, i) + 1;
		uint64_t arrival_ms = perron_timetable_pass_ms(track, train, i, 0);
		if (free_ms > arrival_ms + delay_ms)
			delay_ms = free_ms - arrival_ms;
	}
	return delay_ms;
}

static void train_plan(struct perron_timetable *t, uint8_t index)
{
	struct perron_timetable_track *track = &t->tracks[index];
	struct perron_timetable_train train = {
	    /* As railways number: odd one way, even the other. */
	    .number = track->last.number == 0 ? 1u + index : track->last.number + 2,
	    .track = index,
	    .axle_count = (uint16_t)(AXLES_OF_UNIT * random_between(track, 1, UNIT_COUNT_MAX)),
	    .speed_mm_s = random_between(track, SPEED_MM_S_MIN, SPEED_MM_S_MAX),
	};

	train.enter_ms =
	    track->last.number == 0
		? random_between(track, 0, FIRST_ENTRY_MS)
		: track->last.enter_ms + random_between(track, HEADWAY_MS_MIN, HEADWAY_MS_MAX);
	train.enter_ms += delay_needed_ms(track, &train);
	train.leave_ms = clear_ms(track, &train, track->section_count - 1);
	PERRON_ASSERT(track->train_count < PERRON_TIMETABLE_TRAIN_MAX);
	track->trains[track->train_count++] = train;
	track->last = train;
}

static void trains_retire(struct perron_timetable_track *track, uint64_t now_ms)
{
	uint32_t gone = 0;

	/* They leave in the order in which they entered. */
	while (gone < track->train_count && track->trains[gone].leave_ms <= now_ms) {
		for (uint32_t i = 0; i < track->section_count; i++)
			track->cleared_ms[i] = clear_ms(track, &track->trains[gone], i);
		gone++;
	}
	track->train_count -= gone;
	memmove(track->trains, track->trains + gone, track->train_count * sizeof(track->trains[0]));
}

void perron_timetable_init(struct perron_timetable *t, uint64_t seed, uint32_t section_count)
{
	PERRON_ASSERT(section_count > 0 && section_count <= PERRON_TIMETABLE_SECTION_MAX);
	memset(t, 0, sizeof(*t));
	t->section_count = section_count;
	t->tracks[0].section_count = (section_count + 1) / 2;
	t->tracks[1].section_count = section_count / 2;
	for (uint8_t i = 0; i < PERRON_TIMETABLE_TRACK_COUNT; i++) {
		struct perron_timetable_track *track = &t->tracks[i];
		track->random = seed * PERRON_TIMETABLE_TRACK_COUNT + i;
		for (uint32_t head = 1; head <= track->section_count; head++)
			track->head_mm[head] =
			    track->head_mm[head - 1] +
			    random_between(track, SECTION_MM_MIN, SECTION_MM_MAX);
		if (track->section_count > 0)
			train_plan(t, i);
	}
}

void perron_timetable_advance(struct perron_timetable *t, uint64_t now_ms)
{
	for (uint8_t i = 0; i < PERRON_TIMETABLE_TRACK_COUNT; i++) {
		struct perron_timetable_track *track = &t->tracks[i];
		while (track->section_count > 0 && track->last.enter_ms <= now_ms) {
			trains_retire(track, track->last.enter_ms);
			train_plan(t, i);
		}
		trains_retire(track, now_ms);
	}
}

/* Axles of a train that have passed a head. */
static uint16_t axles_passed(const struct perron_timetable_track *track,
			     const struct perron_timetable_train *train, uint32_t head,
			     uint64_t now_ms)
{
	uint16_t count = 0;

	while (count < train->axle_count &&
	       perron_timetable_pass_ms(track, train, head, count) <= now_ms)
		count++;
	return count;
}

void perron_timetable_section(const struct perron_timetable *t, uint32_t index, uint64_t now_ms,
			      struct perron_track_section *out)
{
	PERRON_ASSERT(index < t->section_count);
	bool down = index >= t->tracks[0].section_count;
	const struct perron_timetable_track *track = &t->tracks[down];
	uint32_t section = down ? index - t->tracks[0].section_count : index;
	uint64_t changed_ms = track->cleared_ms[section];

	*out = (struct perron_track_section){.id = (down ? 201 : 101) + section};
	for (uint32_t i = 0; i < track->train_count; i++) {
		const struct perron_timetable_train *train = &track->trains[i];
		uint16_t in = axles_passed(track, train, section, now_ms);
		uint16_t out_count = axles_passed(track, train, section + 1, now_ms);

		PERRON_ASSERT(in >= out_count);
		if (in == 0)
			break;
		if (in == out_count) {
			changed_ms = clear_ms(track, train, section);
			continue;
		}
		out->state = PERRON_TRACK_OCCUPIED;
		out->direction = down ? PERRON_TRACK_DIRECTION_DOWN : PERRON_TRACK_DIRECTION_UP;
		out->axle_count = (uint16_t)(in - out_count);
		out->speed_cm_s = (uint16_t)(train->speed_mm_s / 10);
		changed_ms = perron_timetable_pass_ms(track, train, section, 0);
	}
	uint64_t age_ms = now_ms - changed_ms;
	out->age_ms = age_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)age_ms;
}
