#include "test/unit/support.h"

#include <stdio.h>
#include <string.h>

#include "drivers/sensor/nmea.h"

static enum perron_nmea_result decode(const char *text, struct perron_nmea_sentence *out)
{
	return perron_nmea_decode((const uint8_t *)text, (uint32_t)strlen(text), out);
}

/* Closes `body` with its checksum, and decodes it as far as a fix. */
static enum perron_nmea_result fix_of(const char *body, struct perron_nmea_fix *fix)
{
	char text[200];
	struct perron_nmea_sentence sentence;

	snprintf(text, sizeof(text), "$%s*%02X\r\n", body,
		 perron_nmea_checksum((const uint8_t *)body, (uint32_t)strlen(body)));
	enum perron_nmea_result result = decode(text, &sentence);
	return result == PERRON_NMEA_GOOD ? perron_nmea_fix_of(&sentence, fix) : result;
}

/* Sentences from receivers' manuals, with the checksums printed there. */
static void test_known_sentences(void **state)
{
	struct perron_nmea_sentence s;
	struct perron_nmea_fix fix;

	(void)state;
	assert_int_equal(
	    decode("$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n", &s),
	    PERRON_NMEA_GOOD);
	assert_string_equal(s.talker, "GP");
	assert_string_equal(s.type, "GGA");
	assert_int_equal(s.field_count, 14);
	assert_int_equal(perron_nmea_fix_of(&s, &fix), PERRON_NMEA_GOOD);
	assert_true(fix.has_position && fix.has_time && !fix.has_speed);
	assert_int_equal(fix.latitude_e7, 481173000);
	assert_int_equal(fix.longitude_e7, 115166667);
	assert_int_equal(fix.satellite_count, 8);
	assert_int_equal(fix.time_of_day_ms, ((12 * 60 + 35) * 60 + 19) * 1000);

	assert_int_equal(
	    decode("$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A", &s),
	    PERRON_NMEA_GOOD);
	assert_int_equal(perron_nmea_fix_of(&s, &fix), PERRON_NMEA_GOOD);
	assert_true(fix.has_speed);
	assert_int_equal(fix.speed_mm_s, 11523); /* 22.4 knots */
	assert_int_equal(fix.course_millidegrees, 84400);
}

static void test_south_and_west_are_negative(void **state)
{
	struct perron_nmea_fix fix;

	(void)state;
	assert_int_equal(fix_of("GNRMC,000000.25,A,0100.0000,S,00836.6000,W,0.0,,010126,,,A", &fix),
			 PERRON_NMEA_GOOD);
	assert_int_equal(fix.latitude_e7, -10000000);
	assert_int_equal(fix.longitude_e7, -86100000);
	assert_int_equal(fix.time_of_day_ms, 250);
}

static void test_checksum_must_match(void **state)
{
	char text[] = "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n";
	struct perron_nmea_sentence s;

	(void)state;
	/* Each single damaged bit of the checked part is seen. */
	for (size_t i = 1; text[i] != '*'; i++) {
		for (int bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ (1 << bit));
			assert_int_not_equal(decode(text, &s), PERRON_NMEA_GOOD);
			text[i] = (char)(text[i] ^ (1 << bit));
		}
	}
	assert_int_equal(decode("$GPRMC,123519,V,,,,,,,230394,,*28\r\n", &s), PERRON_NMEA_CHECKSUM);
}

static void test_frame_is_required(void **state)
{
	static const char *const bad[] = {
	    "",
	    "\r\n",
	    "$",
	    "$*00\r\n",
	    "GPGLL*00",
	    "$GPGLL*0",
	    "$GPGLL00\r\n",
	    "$GPGLL*0g\r\n",
	    "$GP$GLL*00",
	    "$GPG*LL*00",
	    "$GP\tGLL,1*00\n",
	    "$GPGLL*00\r\n\r\n",
	};
	struct perron_nmea_sentence s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(decode(bad[i], &s), PERRON_NMEA_FRAMING);
}

static void test_size_is_bounded(void **state)
{
	char body[100] = "GPTXT,";
	struct perron_nmea_fix fix;

	(void)state;
	memset(body + 6, 'x', 70);
	assert_int_equal(fix_of(body, &fix), PERRON_NMEA_GOOD); /* 82 with $, *hh, CR LF */
	strcat(body, "x");
	assert_int_equal(fix_of(body, &fix), PERRON_NMEA_OVERSIZE);
}

static void test_addresses(void **state)
{
	struct perron_nmea_fix fix;

	(void)state;
	assert_int_equal(fix_of("PUBX,00", &fix), PERRON_NMEA_GOOD);
	assert_int_equal(fix_of("GPXTE", &fix), PERRON_NMEA_GOOD);
	assert_int_equal(fix_of("GPXT,1", &fix), PERRON_NMEA_MALFORMED);
	assert_int_equal(fix_of("gpxte,1", &fix), PERRON_NMEA_MALFORMED);
	assert_int_equal(fix_of("GPABCDEFGHIJ,1", &fix), PERRON_NMEA_MALFORMED);
	assert_int_equal(fix_of(",GPXTE", &fix), PERRON_NMEA_MALFORMED);
}

/* A checksum says that the line is whole, not that it makes sense. */
static void test_fields_out_of_range(void **state)
{
	static const char *const bad[] = {
	    "GPRMC,240000,A,4807.0,N,01131.0,E,1,1,230394,,",
	    "GPRMC,126000,A,4807.0,N,01131.0,E,1,1,230394,,",
	    "GPRMC,12351,A,4807.0,N,01131.0,E,1,1,230394,,",
	    "GPRMC,123519,A,9000.1,N,01131.0,E,1,1,230394,,",
	    "GPRMC,123519,A,4860.0,N,01131.0,E,1,1,230394,,",
	    "GPRMC,123519,A,4807.0,E,01131.0,E,1,1,230394,,",
	    "GPRMC,123519,A,4807.0,N,18000.1,E,1,1,230394,,",
	    "GPRMC,123519,A,,,,,1,1,230394,,",
	    "GPRMC,123519,A,4807.0,N,01131.0,E,,1,230394,,",
	    "GPRMC,123519,A,4807.0,N,01131.0,E,9999,1,230394,,",
	    "GPRMC,123519,A,4807.0,N,01131.0,E,1,361,230394,,",
	    "GPRMC,123519,X,4807.0,N,01131.0,E,1,1,230394,,",
	    "GPRMC,123519,A,99999999999999999999,N,01131.0,E,1,1,230394,,",
	    "GPRMC,123519,A",
	    "GPGGA,123519,4807.038,N,01131.000,E,x,08,0.9,5,M,4,M,,",
	    "GPGGA,123519,4807.038,N,01131.000,E,1,,0.9,5,M,4,M,,",
	};
	struct perron_nmea_fix fix;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(fix_of(bad[i], &fix), PERRON_NMEA_MALFORMED);
		assert_false(fix.has_position || fix.has_speed || fix.has_time);
	}
}

static void test_no_fix_says_no_position(void **state)
{
	struct perron_nmea_fix fix;

	(void)state;
	assert_int_equal(fix_of("GPRMC,123519,V,,,,,,,230394,,", &fix), PERRON_NMEA_GOOD);
	assert_true(fix.has_time && !fix.has_position);
	assert_int_equal(fix_of("GPGGA,,,,,,0,,,,,,,,", &fix), PERRON_NMEA_GOOD);
	assert_false(fix.has_time || fix.has_position);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_known_sentences),
	    cmocka_unit_test(test_south_and_west_are_negative),
	    cmocka_unit_test(test_checksum_must_match),
	    cmocka_unit_test(test_frame_is_required),
	    cmocka_unit_test(test_size_is_bounded),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_fields_out_of_range),
	    cmocka_unit_test(test_no_fix_says_no_position),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
