/* What all drivers share: checks, help, giving, counting, and the status that others read. */
#include "drivers/sensor/driver.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(struct perron_sensor_reading) % sizeof(uint64_t) == 0 &&
		  sizeof(struct perron_sensor_counters) % sizeof(uint64_t) == 0,
	      "both are copied word by word");

const char *perron_sensor_bad_name(enum perron_sensor_bad cause)
{
	static const char *const names[] = {
#define X(name, text) text,
	    PERRON_SENSOR_BAD_CAUSES(X)
#undef X
	};
	return names[cause];
}

const char *perron_sensor_state_name(enum perron_sensor_state state)
{
	static const char *const names[] = {
#define X(name, text) text,
	    PERRON_SENSOR_STATES(X)
#undef X
	};
	return names[state];
}

static bool name_valid(const char *name)
{
	size_t size = name ? strlen(name) : 0;

	if (size == 0 || size >= PERRON_SENSOR_NAME_SIZE)
		return false;
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("._/-", *name))
			return false;
	}
	return true;
}

static void driver_names(char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < perron_sensor_driver_count() && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
					 perron_sensor_driver_name(i));
}

int perron_sensor_config_check(const struct perron_sensor_config *config, uint32_t *culprit,
			       char *error, size_t error_size)
{
	const struct perron_sensor_api *api;

	*culprit = config->option_count;
	if (!name_valid(config->name)) {
		snprintf(error, error_size,
			 "sensor name '%.64s'; expected 1 to %d of A-Z a-z 0-9 . _ / -",
			 config->name ? config->name : "", PERRON_SENSOR_NAME_SIZE - 1);
		return -EINVAL;
	}
	api = perron_sensor_driver_find(config->driver);
	if (!api) {
		char names[128];
		driver_names(names, sizeof(names));
		snprintf(error, error_size, "unknown sensor driver '%.64s'; expected one of %s",
			 config->driver ? config->driver : "", names);
		return -EINVAL;
	}
	int result = perron_option_check(api->options, config->options, config->option_count,
					 culprit, error, error_size);
	return result == 0 && api->check ? api->check(config, error, error_size) : result;
}

struct text {
	char *start;
	size_t size;
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	size_t at = t->used < t->size ? t->used : t->size;
	int more = vsnprintf(t->start ? t->start + at : NULL, t->size - at, format, arguments);
	va_end(arguments);
	t->used += more > 0 ? (size_t)more : 0;
}

size_t perron_sensor_help(const struct perron_sensor_api *api, char *text, size_t size)
{
	struct text t = {.start = text, .size = size};

	for (uint32_t i = 0; i < perron_sensor_driver_count(); i++) {
		const struct perron_sensor_api *each = perron_sensor_driver_at(i);
		if (api && each != api)
			continue;
		text_add(&t, "driver: %s  (%s)\n", each->name, each->summary);
		for (const struct perron_option *o = each->options; o->name; o++) {
			char expected[PERRON_OPTION_ERROR_SIZE];
			perron_option_expected(o, expected, sizeof(expected));
			text_add(&t, "  %-12s %s: %s", o->name, o->help, expected);
			if (!o->default_text)
				text_add(&t, "; required\n");
			else
				text_add(&t, "; default %s\n",
					 o->default_text[0] ? o->default_text : "none");
		}
	}
	return t.used;
}

void perron_sensor_give(struct perron_sensor *sensor, const struct perron_sensor_sink *sink,
			uint64_t stamp_ns, const uint8_t *data, uint32_t size)
{
	struct perron_sensor_counters *counters = &sensor->counters;

	PERRON_ASSERT(size <= PERRON_SENSOR_MESSAGE_SIZE_MAX);
	int result = sink->give(sink->context, sensor->index, stamp_ns, sensor->config->class_hint,
				data, size);
	__atomic_store_n(&counters->last_message_ns, stamp_ns, __ATOMIC_RELAXED);
	if (result == -EAGAIN) {
		perron_sensor_count(&counters->would_block, 1);
	} else if (result < 0) {
		perron_sensor_count(&counters->refused, 1);
	} else {
		perron_sensor_count(&counters->messages, 1);
		perron_sensor_count(&counters->bytes, size);
	}
}

void perron_sensor_set_state(struct perron_sensor *sensor, enum perron_sensor_state state,
			     const char *why, int error_number)
{
	PERRON_ASSERT(state < PERRON_SENSOR_STATE_COUNT);
	__atomic_store_n(&sensor->why, why, __ATOMIC_RELAXED);
	__atomic_store_n(&sensor->error_number, error_number, __ATOMIC_RELAXED);
	__atomic_store_n(&sensor->state, (uint32_t)state, __ATOMIC_RELAXED);
}

bool perron_sensor_reading_of_fix(struct perron_sensor_reading *reading,
				  const struct perron_nmea_fix *fix)
{
	struct perron_sensor_position *position = &reading->position;

	if (!fix->has_position)
		return false;
	reading->kind = PERRON_SENSOR_READING_POSITION;
	position->latitude_e7 = fix->latitude_e7;
	position->longitude_e7 = fix->longitude_e7;
	position->time_of_day_ms = fix->time_of_day_ms;
	if (fix->has_speed) {
		position->speed_mm_s = fix->speed_mm_s;
		position->course_millidegrees = fix->course_millidegrees;
	}
	if (fix->satellite_count > 0)
		position->satellite_count = fix->satellite_count;
	return true;
}

/* Word by word, so that a torn copy is only a copy to be taken again. */
static void words_load(void *out, const void *shared, size_t size)
{
	const uint64_t *from = shared;
	uint64_t *to = out;

	for (size_t i = 0; i < size / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void perron_sensor_set_reading(struct perron_sensor *sensor,
			       const struct perron_sensor_reading *reading)
{
	uint32_t sequence = sensor->reading_sequence;
	uint64_t words[sizeof(*reading) / sizeof(uint64_t)];
	uint64_t *to = (uint64_t *)(void *)&sensor->reading;

	PERRON_ASSERT(sequence % 2 == 0);
	memcpy(words, reading, sizeof(words));
	/* Release on each word: none of them is seen before the odd sequence. */
	__atomic_store_n(&sensor->reading_sequence, sequence + 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		__atomic_store_n(&to[i], words[i], __ATOMIC_RELEASE);
	__atomic_store_n(&sensor->reading_sequence, sequence + 2, __ATOMIC_RELEASE);
}

static bool reading_copy(const struct perron_sensor *sensor, struct perron_sensor_reading *out)
{
	uint32_t before = __atomic_load_n(&sensor->reading_sequence, __ATOMIC_ACQUIRE);
	const uint64_t *from = (const uint64_t *)(const void *)&sensor->reading;
	uint64_t words[sizeof(*out) / sizeof(uint64_t)];

	/* Acquire on each word, partner of the release in set_reading. */
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		words[i] = __atomic_load_n(&from[i], __ATOMIC_ACQUIRE);
	memcpy(out, words, sizeof(words));
	return before % 2 == 0 &&
	       before == __atomic_load_n(&sensor->reading_sequence, __ATOMIC_RELAXED);
}

void perron_sensor_status_read(const struct perron_sensor *sensor, struct perron_sensor_status *out)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->name, sizeof(out->name), "%s", sensor->config->name);
	out->driver = sensor->api->name;
	out->state = __atomic_load_n(&sensor->state, __ATOMIC_RELAXED);
	out->why = __atomic_load_n(&sensor->why, __ATOMIC_RELAXED);
	out->why = out->why ? out->why : "";
	out->error_number = __atomic_load_n(&sensor->error_number, __ATOMIC_RELAXED);
	words_load(&out->counters, &sensor->counters, sizeof(out->counters));
	/* A writer is done within nanoseconds, unless it is off its core: then no reading. */
	for (uint32_t tries = 0; tries < 1000; tries++) {
		if (reading_copy(sensor, &out->reading))
			return;
	}
	memset(&out->reading, 0, sizeof(out->reading));
}

static void position_print(const struct perron_sensor_position *p, char *text, size_t size)
{
	uint32_t latitude =
	    (uint32_t)(p->latitude_e7 < 0 ? -(int64_t)p->latitude_e7 : p->latitude_e7);
	uint32_t longitude =
	    (uint32_t)(p->longitude_e7 < 0 ? -(int64_t)p->longitude_e7 : p->longitude_e7);
	/* 1 mm/s is 0.0036 km/h */
	uint64_t speed = (uint64_t)p->speed_mm_s * 36 / 1000;

	snprintf(text, size, "%u.%07u %c %u.%07u %c, %llu.%llu km/h", latitude / 10000000,
		 latitude % 10000000, p->latitude_e7 < 0 ? 'S' : 'N', longitude / 10000000,
		 longitude % 10000000, p->longitude_e7 < 0 ? 'W' : 'E',
		 (unsigned long long)speed / 10, (unsigned long long)speed % 10);
}

void perron_sensor_reading_print(const struct perron_sensor_reading *reading, char *text,
				 size_t size)
{
	const struct perron_sensor_track *track = &reading->track;

	if (size == 0)
		return;
	text[0] = '\0';
	if (reading->kind == PERRON_SENSOR_READING_POSITION)
		position_print(&reading->position, text, size);
	else if (reading->kind == PERRON_SENSOR_READING_TRACK)
		snprintf(text, size, "%u of %u sections occupied, %u axles, %u disturbed",
			 track->occupied_count, track->section_count, track->axle_count,
			 track->disturbed_count);
}
