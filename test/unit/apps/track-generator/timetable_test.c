#include "test/unit/support.h"

#include <stdbool.h>
#include <string.h>

#include "apps/track-generator/timetable.h"

#define STEP_MS 250
#define HOUR_MS 3600000

/* What holds at any time, whatever the seed. Returns the sections that are occupied. */
static uint32_t check_at(struct perron_timetable *t, uint64_t now_ms,
			 struct perron_track_section *sections)
{
	uint32_t occupied = 0;

	perron_timetable_advance(t, now_ms);
	for (uint32_t i = 0; i < t->section_count; i++) {
		struct perron_track_section *s = &sections[i];
		perron_timetable_section(t, i, now_ms, s);
		assert_int_equal(s->state == PERRON_TRACK_OCCUPIED, s->axle_count > 0);
		assert_int_equal(s->direction == PERRON_TRACK_DIRECTION_NONE, s->axle_count == 0);
		assert_true(s->axle_count <= 24);
		assert_true(s->age_ms <= now_ms);
		occupied += s->state == PERRON_TRACK_OCCUPIED;
	}
	return occupied;
}

/* No section ever holds two trains, and what is counted in is counted out. */
static void test_axles_balance(void **state)
{
	struct perron_track_section sections[PERRON_TIMETABLE_SECTION_MAX];
	struct perron_timetable t;

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		uint64_t occupied = 0;
		uint32_t count = 1 + (uint32_t)(seed * 3) % PERRON_TIMETABLE_SECTION_MAX;
		perron_timetable_init(&t, seed, count);
		for (uint64_t now_ms = 0; now_ms < HOUR_MS; now_ms += STEP_MS * 4) {
			uint32_t axles = 0, on_line = 0;
			occupied += check_at(&t, now_ms, sections);
			for (uint32_t i = 0; i < count; i++)
				axles += sections[i].axle_count;
			for (uint32_t k = 0; k < PERRON_TIMETABLE_TRACK_COUNT; k++) {
				const struct perron_timetable_track *track = &t.tracks[k];
				for (uint32_t j = 0; j < track->train_count; j++)
					on_line += track->trains[j].enter_ms <= now_ms
						       ? track->trains[j].axle_count
						       : 0;
			}
			assert_true(axles <= on_line);
		}
		assert_true(occupied > 0);
	}
}

/* A train's way: each section in turn, in with its first axle, out with its last. */
static void test_a_train_walks_over_its_sections(void **state)
{
	struct perron_track_section section;
	struct perron_timetable t;

	(void)state;
	perron_timetable_init(&t, 3, 8);
	const struct perron_timetable_train train = t.tracks[0].trains[0];
	const struct perron_timetable_track track = t.tracks[0];
	for (uint32_t i = 0; i < track.section_count; i++) {
		uint64_t in_ms = perron_timetable_pass_ms(&track, &train, i, 0);
		if (in_ms > 0) {
			perron_timetable_advance(&t, in_ms - 1);
			perron_timetable_section(&t, i, in_ms - 1, &section);
			assert_int_equal(section.state, PERRON_TRACK_CLEAR);
		}
		perron_timetable_advance(&t, in_ms);
		perron_timetable_section(&t, i, in_ms, &section);
		assert_int_equal(section.axle_count, 1);
		assert_int_equal(section.age_ms, 0);
		assert_int_equal(section.id, 101 + i);
		assert_int_equal(section.direction, PERRON_TRACK_DIRECTION_UP);
	}
	uint64_t out_ms = train.leave_ms;
	perron_timetable_section(&t, track.section_count - 1, out_ms - 1, &section);
	assert_int_equal(section.axle_count, 1);
	perron_timetable_advance(&t, out_ms);
	perron_timetable_section(&t, track.section_count - 1, out_ms, &section);
	assert_int_equal(section.state, PERRON_TRACK_CLEAR);
	assert_int_equal(section.age_ms, 0);
	perron_timetable_advance(&t, out_ms + 700);
	perron_timetable_section(&t, track.section_count - 1, out_ms + 700, &section);
	assert_int_equal(section.age_ms, 700);
}

static void test_a_train_finds_its_sections_clear(void **state)
{
	struct perron_timetable t;

	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		perron_timetable_init(&t, seed, 16);
		for (uint32_t n = 0; n < 50; n++) {
			struct perron_timetable_track *track = &t.tracks[seed % 2];
			struct perron_timetable_train before = track->last;
			perron_timetable_advance(&t, before.enter_ms);
			for (uint32_t i = 0; i < track->section_count; i++)
				assert_true(perron_timetable_pass_ms(track, &track->last, i, 0) >
					    perron_timetable_pass_ms(track, &before, i + 1,
								     before.axle_count - 1u));
		}
	}
}

/* The seed decides, not how often one looks. */
static void test_same_seed_same_trains(void **state)
{
	struct perron_track_section a[PERRON_TIMETABLE_SECTION_MAX];
	struct perron_track_section b[PERRON_TIMETABLE_SECTION_MAX];
	struct perron_timetable often, once, other;

	(void)state;
	perron_timetable_init(&often, 11, 10);
	perron_timetable_init(&once, 11, 10);
	perron_timetable_init(&other, 12, 10);
	for (uint64_t now_ms = 0; now_ms < HOUR_MS; now_ms += STEP_MS)
		check_at(&often, now_ms, a);
	check_at(&often, HOUR_MS, a);
	check_at(&once, HOUR_MS, b);
	assert_memory_equal(a, b, 10 * sizeof(a[0]));
	assert_int_not_equal(often.tracks[0].head_mm[5], other.tracks[0].head_mm[5]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_axles_balance),
	    cmocka_unit_test(test_a_train_walks_over_its_sections),
	    cmocka_unit_test(test_a_train_finds_its_sections_clear),
	    cmocka_unit_test(test_same_seed_same_trains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
