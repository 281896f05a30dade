/*
 * The synthetic driver: a source whose every byte is known (synthetic.h), on a fixed schedule.
 *
 * type: mixed. The paper says that small, medium and large packets are mixed "40%, 30% and 30%" in
 * the total traffic. Read as: of the packets (not the bytes), and all three at their own rates
 * together, 38 + 25 + 24 = 87 a second, which is that mix rounded (44:29:28). Types come from a
 * deck of ten, 4 small, 3 medium, 3 large, shuffled anew by the seed each time it is used up, so
 * that any ten in a row from a deck's start are exactly 40/30/30.
 *
 * Message n is due at start + n / rate, plus a jitter of its own that does not add up. A source
 * that fell behind by more than a second leaves those messages out and counts them as missed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers/sensor/driver.h"
#include "drivers/sensor/drivers.h"
#include "drivers/sensor/synthetic.h"

#define TYPE_MIXED  PERRON_SYNTHETIC_TYPE_COUNT
#define DECK_SIZE   10
#define BURST_MAX   32
#define LATE_NS_MAX PERRON_NS_PER_S

static const struct perron_option options[] = {
    {"type", PERRON_OPTION_CHOICE, "small",
     "418 B at 38/s, 1024 B at 25/s, 4180 B at 24/s, or 40/30/30 of them at 87/s",
     .choices = "small|medium|large|mixed"},
    {"rate", PERRON_OPTION_INTEGER, "0", "messages a second; 0: the type's own", .min = 0,
     .max = 1000000},
    {"count", PERRON_OPTION_INTEGER, "0", "messages before it ends; 0: no end", .min = 0,
     .max = INT64_MAX},
    {"jitter", PERRON_OPTION_DURATION, "0ms", "each message is late by up to this", .min = 0,
     .max = 1000000000},
    {"seed", PERRON_OPTION_INTEGER, "1", "of mix and jitter", .min = 0, .max = INT64_MAX},
    {NULL},
};

struct synthetic {
	uint32_t type; /* TYPE_MIXED too */
	uint32_t rate;
	uint64_t count_max; /* 0: none */
	uint64_t jitter_ns;
	uint64_t random;
	uint64_t counter;  /* of the next message */
	bool started;
	uint64_t start_ns; /* of the schedule: when it was first read */
	uint64_t schedule_index;
	uint32_t deck_left;
	uint8_t deck[DECK_SIZE];
	uint8_t message[PERRON_SYNTHETIC_SIZE_MAX];
};

static uint64_t random_next(struct synthetic *s)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static enum perron_synthetic_type type_next(struct synthetic *s)
{
	static const uint8_t deck[DECK_SIZE] = {
	    PERRON_SYNTHETIC_SMALL,  PERRON_SYNTHETIC_SMALL,  PERRON_SYNTHETIC_SMALL,
	    PERRON_SYNTHETIC_SMALL,  PERRON_SYNTHETIC_MEDIUM, PERRON_SYNTHETIC_MEDIUM,
	    PERRON_SYNTHETIC_MEDIUM, PERRON_SYNTHETIC_LARGE,  PERRON_SYNTHETIC_LARGE,
	    PERRON_SYNTHETIC_LARGE,
	};

	if (s->type != TYPE_MIXED)
		return (enum perron_synthetic_type)s->type;
	if (s->deck_left == 0) {
		memcpy(s->deck, deck, sizeof(deck));
		s->deck_left = DECK_SIZE;
	}
	uint32_t pick = (uint32_t)(random_next(s) % s->deck_left);
	uint8_t type = s->deck[pick];
	s->deck[pick] = s->deck[--s->deck_left];
	return (enum perron_synthetic_type)type;
}

static int synthetic_prepare(struct perron_sensor *sensor, char *error, size_t error_size)
{
	const struct perron_sensor_config *config = sensor->config;
	struct synthetic *s = sensor->data;

	(void)error;
	(void)error_size;
	s->type = (uint32_t)perron_sensor_number(config, options, "type");
	s->rate = (uint32_t)perron_sensor_number(config, options, "rate");
	s->count_max = (uint64_t)perron_sensor_number(config, options, "count");
	s->jitter_ns = (uint64_t)perron_sensor_number(config, options, "jitter");
	s->random = (uint64_t)perron_sensor_number(config, options, "seed");
	for (uint32_t type = 0; s->rate == 0 && type < PERRON_SYNTHETIC_TYPE_COUNT; type++) {
		if (s->type == type)
			s->rate = perron_synthetic_rate((enum perron_synthetic_type)type);
	}
	if (s->rate == 0)
		s->rate = perron_synthetic_rate(PERRON_SYNTHETIC_SMALL) +
			  perron_synthetic_rate(PERRON_SYNTHETIC_MEDIUM) +
			  perron_synthetic_rate(PERRON_SYNTHETIC_LARGE);
	return 0;
}

/* Whole seconds apart from the rest: exact for any index, and without overflow. */
static uint64_t schedule_ns(const struct synthetic *s)
{
	return s->start_ns + s->schedule_index / s->rate * PERRON_NS_PER_S +
	       s->schedule_index % s->rate * PERRON_NS_PER_S / s->rate;
}

static uint64_t due_next(struct synthetic *s)
{
	uint64_t late_ns = s->jitter_ns ? random_next(s) % s->jitter_ns : 0;

	return schedule_ns(s) + late_ns;
}

static int synthetic_open(struct perron_sensor *sensor, uint64_t now_ns, char *error,
			  size_t error_size)
{
	struct synthetic *s = sensor->data;

	(void)error;
	(void)error_size;
	s->started = false;
	s->schedule_index = 0;
	sensor->deadline_ns = now_ns;
	return 0;
}

static void synthetic_close(struct perron_sensor *sensor)
{
	sensor->deadline_ns = PERRON_SENSOR_NEVER;
}

/* Leaves out what is too late to be worth sending. */
static void synthetic_catch_up(struct perron_sensor *sensor, uint64_t now_ns)
{
	struct synthetic *s = sensor->data;

	if (now_ns < schedule_ns(s) + LATE_NS_MAX)
		return;
	uint64_t left_out = (now_ns - schedule_ns(s)) / (PERRON_NS_PER_S / s->rate);
	s->schedule_index += left_out;
	s->counter += left_out;
	perron_sensor_count(&sensor->counters.missed, left_out);
}

static int synthetic_read(struct perron_sensor *sensor, uint64_t now_ns,
			  const struct perron_sensor_sink *sink)
{
	struct synthetic *s = sensor->data;

	if (!s->started) {
		/* A station may take its time between opening its sensors and reading them. */
		s->started = true;
		s->start_ns = now_ns;
		sensor->deadline_ns = due_next(s);
	}
	synthetic_catch_up(sensor, now_ns);
	for (uint32_t i = 0; i < BURST_MAX && sensor->deadline_ns <= now_ns; i++) {
		if (s->count_max != 0 && s->counter >= s->count_max)
			return -ENODATA;
		uint32_t size = perron_synthetic_fill(s->message, type_next(s), s->counter++);
		perron_sensor_give(sensor, sink, now_ns, s->message, size);
		s->schedule_index++;
		sensor->deadline_ns = due_next(s);
	}
	return s->count_max != 0 && s->counter >= s->count_max ? -ENODATA : 0;
}

const struct perron_sensor_api perron_sensor_synthetic = {
    .name = "synthetic",
    .summary = "known bytes in the sizes and rates of audio, events and video",
    .options = options,
    .data_size = sizeof(struct synthetic),
    .prepare = synthetic_prepare,
    .open = synthetic_open,
    .read = synthetic_read,
    .close = synthetic_close,
};
