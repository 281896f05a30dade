#include "drivers/sensor/nmea.h"

#include <string.h>

uint8_t perron_nmea_checksum(const uint8_t *data, uint32_t size)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < size; i++)
		sum ^= data[i];
	return sum;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_address(char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'Z');
}

/* `data` and `size` lose what stands before and after the checked part. */
static enum perron_nmea_result frame_open(const uint8_t **data, uint32_t *size)
{
	const uint8_t *at = *data;
	uint32_t left = *size;

	if (left > PERRON_NMEA_SIZE_MAX)
		return PERRON_NMEA_OVERSIZE;
	if (left > 0 && at[left - 1] == '\n') {
		left--;
		if (left > 0 && at[left - 1] == '\r')
			left--;
	}
	/* $ ttsss * hh; proprietary addresses may be shorter than five */
	if (left < 6 || at[0] != '$' || at[left - 3] != '*')
		return PERRON_NMEA_FRAMING;
	int high = hex_digit(at[left - 2]), low = hex_digit(at[left - 1]);
	if (high < 0 || low < 0)
		return PERRON_NMEA_FRAMING;
	*data = at + 1;
	*size = left - 4;
	for (uint32_t i = 0; i < *size; i++) {
		uint8_t c = (*data)[i];
		if (c < 0x20 || c > 0x7e || c == '$' || c == '*')
			return PERRON_NMEA_FRAMING;
	}
	return perron_nmea_checksum(*data, *size) == high * 16 + low ? PERRON_NMEA_GOOD
								     : PERRON_NMEA_CHECKSUM;
}

static bool address_decode(const char *text, uint32_t size, struct perron_nmea_sentence *out)
{
	uint32_t talker_size = size > 0 && text[0] == 'P' ? 1 : 2;

	for (uint32_t i = 0; i < size; i++) {
		if (!is_address(text[i]))
			return false;
	}
	if (size <= talker_size || size - talker_size >= sizeof(out->type))
		return false;
	if (talker_size == 2 && size != 5)
		return false;
	memcpy(out->talker, text, talker_size);
	memcpy(out->type, text + talker_size, size - talker_size);
	return true;
}

enum perron_nmea_result perron_nmea_decode(const uint8_t *data, uint32_t size,
					   struct perron_nmea_sentence *out)
{
	memset(out, 0, sizeof(*out));
	enum perron_nmea_result result = frame_open(&data, &size);
	if (result != PERRON_NMEA_GOOD)
		return result;
	const char *text = (const char *)data;
	uint32_t start = 0;
	bool address = true;
	for (uint32_t i = 0; i <= size; i++) {
		if (i < size && text[i] != ',')
			continue;
		if (address && !address_decode(text, i, out))
			return PERRON_NMEA_MALFORMED;
		if (!address) {
			PERRON_ASSERT(out->field_count < PERRON_NMEA_FIELD_COUNT_MAX);
			out->fields[out->field_count++] =
			    (struct perron_nmea_field){.text = text + start, .size = i - start};
		}
		address = false;
		start = i + 1;
	}
	return PERRON_NMEA_GOOD;
}

/* D+(.D*)? as a whole number of 10^-places; more decimals than that are cut off. */
static bool fixed_parse(const struct perron_nmea_field *field, uint32_t places, uint64_t *out)
{
	uint64_t number = 0;
	uint32_t i = 0, decimals = 0;

	for (; i < field->size && is_digit(field->text[i]); i++) {
		number = number * 10 + (uint64_t)(field->text[i] - '0');
		if (number > 1000000000)
			return false;
	}
	if (i == 0)
		return false;
	if (i < field->size && field->text[i] == '.') {
		for (i++; i < field->size && is_digit(field->text[i]); i++) {
			if (decimals < places) {
				number = number * 10 + (uint64_t)(field->text[i] - '0');
				decimals++;
			}
		}
	}
	for (; decimals < places; decimals++)
		number *= 10;
	*out = number;
	return i == field->size;
}

/* hhmmss.sss */
static bool time_parse(const struct perron_nmea_field *field, uint32_t *out)
{
	uint64_t value;

	if (field->size < 6 || !fixed_parse(field, 3, &value))
		return false;
	uint64_t hours = value / 10000000, minutes = value / 100000 % 100;
	uint64_t ms = value % 100000;
	/* 60: a leap second */
	if (hours > 23 || minutes > 59 || ms > 60999)
		return false;
	*out = (uint32_t)((hours * 60 + minutes) * 60000 + ms);
	return true;
}

/* dddmm.mmmm and its hemisphere, as degrees * 10^7. */
static bool angle_parse(const struct perron_nmea_field *field,
			const struct perron_nmea_field *hemisphere, const char *letters,
			uint32_t degrees_max, int32_t *out)
{
	const uint64_t minute_e7 = 10000000;
	uint64_t value;

	if (hemisphere->size != 1 || !fixed_parse(field, 7, &value))
		return false;
	char letter = hemisphere->text[0];
	uint64_t degrees = value / (100 * minute_e7), minutes_e7 = value % (100 * minute_e7);
	if (minutes_e7 >= 60 * minute_e7 || (letter != letters[0] && letter != letters[1]))
		return false;
	uint64_t e7 = degrees * 10000000 + (minutes_e7 + 30) / 60;
	if (e7 > (uint64_t)degrees_max * 10000000)
		return false;
	*out = letter == letters[0] ? (int32_t)e7 : -(int32_t)e7;
	return true;
}

static bool position_parse(const struct perron_nmea_field *fields, struct perron_nmea_fix *out)
{
	out->has_position = angle_parse(&fields[0], &fields[1], "NS", 90, &out->latitude_e7) &&
			    angle_parse(&fields[2], &fields[3], "EW", 180, &out->longitude_e7);
	return out->has_position;
}

static bool is_letter(const struct perron_nmea_field *field, char letter)
{
	return field->size == 1 && field->text[0] == letter;
}

/* time, status, latitude, N/S, longitude, E/W, knots, course, date, ... */
static bool rmc_parse(const struct perron_nmea_sentence *s, struct perron_nmea_fix *out)
{
	uint64_t milliknots, course;

	if (s->field_count < 9)
		return false;
	out->has_time = time_parse(&s->fields[0], &out->time_of_day_ms);
	if (is_letter(&s->fields[1], 'V'))
		return out->has_time || s->fields[0].size == 0;
	if (!out->has_time || !is_letter(&s->fields[1], 'A') || !position_parse(&s->fields[2], out))
		return false;
	if (!fixed_parse(&s->fields[6], 3, &milliknots) || milliknots > 2000000)
		return false;
	/* A receiver that stands still leaves its course empty. */
	if (s->fields[7].size > 0) {
		if (!fixed_parse(&s->fields[7], 3, &course) || course > 360000)
			return false;
		out->course_millidegrees = (uint32_t)course;
	}
	out->has_speed = true;
	out->speed_mm_s = (uint32_t)(milliknots * 1852 / 3600);
	return true;
}

/* time, latitude, N/S, longitude, E/W, quality, satellites, ... */
static bool gga_parse(const struct perron_nmea_sentence *s, struct perron_nmea_fix *out)
{
	uint64_t quality, satellites;

	if (s->field_count < 9 || !fixed_parse(&s->fields[5], 0, &quality) || quality > 9)
		return false;
	out->has_time = time_parse(&s->fields[0], &out->time_of_day_ms);
	if (quality == 0)
		return out->has_time || s->fields[0].size == 0;
	if (!out->has_time || !position_parse(&s->fields[1], out) ||
	    !fixed_parse(&s->fields[6], 0, &satellites) || satellites > 99)
		return false;
	out->satellite_count = (uint32_t)satellites;
	return true;
}

enum perron_nmea_result perron_nmea_fix_of(const struct perron_nmea_sentence *sentence,
					   struct perron_nmea_fix *out)
{
	bool good = true;

	memset(out, 0, sizeof(*out));
	if (strcmp(sentence->type, "RMC") == 0 && sentence->talker[0] != 'P')
		good = rmc_parse(sentence, out);
	else if (strcmp(sentence->type, "GGA") == 0 && sentence->talker[0] != 'P')
		good = gga_parse(sentence, out);
	if (good)
		return PERRON_NMEA_GOOD;
	memset(out, 0, sizeof(*out));
	return PERRON_NMEA_MALFORMED;
}
