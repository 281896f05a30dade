/*
 * The synthetic driver: a source whose every byte is known (synthetic.h), on a fixed schedule.
 *
 * type: mixed. The paper says that small, medium and large packets are mixed "40%, 30% and 30%" in
 * the total traffic. Read as: of the packets (not the bytes), and all three at their own rates
 * together, 38 + 25 + 24 = 87 a second, which is that mix rounded (44:29:28). Types come from a
 * deck of ten, 4 small, 3 medium, 3 large, shuffled anew for each ten by the seed and their number,
 * so that any ten in a row from a deck's start are exactly 40/30/30.
 *
 * clock: yes. Messages are numbered from the clock's epoch, as if all stations that have the same
 * source heard one device: the same number is due at the same time, and says the same.
 *
 * Message n is due at start + n / rate, plus a jitter of its own that does not add up. A source
 * that fell behind by more than a second leaves those messages out and counts them as missed.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

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
    {"clock", PERRON_OPTION_BOOLEAN, "no",
     "numbers go by the clock: at several stations it is one source"},
    {NULL},
};

struct synthetic {
	uint32_t type; /* TYPE_MIXED too */
	uint32_t rate;
	uint64_t count_max; /* 0: none */
	uint64_t jitter_ns;
	uint64_t seed;
	uint64_t random;  /* of jitter */
	uint64_t counter; /* of the next message */
	uint64_t given;
	bool by_clock;
	bool started;
	uint64_t start_ns; /* of the schedule: when it was first read, or the clock's epoch */
	uint64_t schedule_index;
	uint8_t message[PERRON_SYNTHETIC_SIZE_MAX];
};

static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Its place in the deck of its ten. */
static enum perron_synthetic_type type_of(const struct synthetic *s, uint64_t counter)
{
	uint8_t deck[DECK_SIZE] = {
	    PERRON_SYNTHETIC_SMALL,  PERRON_SYNTHETIC_SMALL,  PERRON_SYNTHETIC_SMALL,
	    PERRON_SYNTHETIC_SMALL,  PERRON_SYNTHETIC_MEDIUM, PERRON_SYNTHETIC_MEDIUM,
	    PERRON_SYNTHETIC_MEDIUM, PERRON_SYNTHETIC_LARGE,  PERRON_SYNTHETIC_LARGE,
	    PERRON_SYNTHETIC_LARGE,
	};

	if (s->type != TYPE_MIXED)
		return (enum perron_synthetic_type)s->type;
	uint64_t random = s->seed ^ (counter / DECK_SIZE + 1) * 0xd1342543de82ef95ull;
	for (uint32_t i = 0; i <= counter % DECK_SIZE; i++) {
		uint32_t pick = i + (uint32_t)(random_next(&random) % (DECK_SIZE - i));
		uint8_t type = deck[pick];
		deck[pick] = deck[i];
		deck[i] = type;
	}
	return (enum perron_synthetic_type)deck[counter % DECK_SIZE];
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
	s->seed = (uint64_t)perron_sensor_number(config, options, "seed");
	s->by_clock = perron_sensor_number(config, options, "clock") != 0;
	s->random = s->seed;
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
	uint64_t late_ns = s->jitter_ns ? random_next(&s->random) % s->jitter_ns : 0;

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

/* A station may take its time between opening its sensors and reading them. */
static void schedule_begin(struct perron_sensor *sensor, uint64_t now_ns)
{
	struct synthetic *s = sensor->data;
	struct timespec clock;

	s->started = true;
	s->start_ns = now_ns;
	if (s->by_clock) {
		clock_gettime(CLOCK_REALTIME, &clock);
		uint64_t part_ns = (uint64_t)clock.tv_nsec;
		uint64_t of_second = part_ns * s->rate / PERRON_NS_PER_S + 1;
		s->start_ns -= (uint64_t)clock.tv_sec * PERRON_NS_PER_S + part_ns;
		s->schedule_index = (uint64_t)clock.tv_sec * s->rate + of_second;
		s->counter = s->schedule_index;
	}
	sensor->deadline_ns = due_next(s);
}

static int synthetic_read(struct perron_sensor *sensor, uint64_t now_ns,
			  const struct perron_sensor_sink *sink)
{
	struct synthetic *s = sensor->data;

	if (!s->started)
		schedule_begin(sensor, now_ns);
	synthetic_catch_up(sensor, now_ns);
	for (uint32_t i = 0; i < BURST_MAX && sensor->deadline_ns <= now_ns; i++) {
		if (s->count_max != 0 && s->given >= s->count_max)
			return -ENODATA;
		uint32_t size =
		    perron_synthetic_fill(s->message, type_of(s, s->counter), s->counter);
		s->counter++;
		s->given++;
		perron_sensor_give(sensor, sink, now_ns, s->message, size);
		s->schedule_index++;
		sensor->deadline_ns = due_next(s);
	}
	return s->count_max != 0 && s->given >= s->count_max ? -ENODATA : 0;
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
