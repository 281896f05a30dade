/*
 * Sensors: what a station reads, and what it may know of them.
 *
 * A driver is one constant `struct perron_sensor_api` in drivers/sensor/registry.c. Its table of
 * options (platform/option.h) is the only place where its keys, defaults and bounds are written
 * down: the descriptor's schema, its errors and the help text come from it. Config (what was asked
 * for), data (what a running sensor keeps, `struct perron_sensor` in driver.h) and api (the
 * driver's functions) are apart, as in a kernel's driver model.
 *
 * Invariants: a sensor is touched by its loop's thread alone (loop.h); anyone may read its status,
 * which is a copy. A message is given once, whole, with the time at which it was read. Whatever
 * does not decode is counted by cause and never given.
 */
#ifndef PERRON_DRIVERS_SENSOR_SENSOR_H
#define PERRON_DRIVERS_SENSOR_SENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/option.h"
#include "runtime/base/assert.h"

/* 31 characters of [A-Za-z0-9._/-], as a stream's name. */
#define PERRON_SENSOR_NAME_SIZE 32
/* Sensors of one station. */
#define PERRON_SENSOR_COUNT_MAX 64
/* Of a message: PERRON_FRAGMENT_COUNT_MAX fragments hold more, with a trace block each. */
#define PERRON_SENSOR_MESSAGE_SIZE_MAX 65536

/* A sensor as the descriptor asks for it. Everything pointed at outlives the loop that runs it. */
struct perron_sensor_config {
	const char *name;   /* also the stream's name */
	const char *driver; /* of the registry */
	uint8_t class_hint; /* enum perron_class: alarm, critical or normal */
	const struct perron_option_value *options;
	uint32_t option_count;
};

/*
 * Where messages go. `give` is called on the sensor thread, must not block, and copies what it
 * keeps. Returns 0, or -EAGAIN if there is no room (the message is dropped and counted as
 * would_block), or another negative errno (counted as refused). `class_hint` is
 * the config's: the sensor's own idea of its urgency; a client's QoS outranks it.
 */
struct perron_sensor_sink {
	int (*give)(void *context, uint32_t sensor_index, uint64_t stamp_ns, uint8_t class_hint,
		    const uint8_t *data, uint32_t size);
	void *context;
};

/* Why something that arrived was not given; each has its counter. */
#define PERRON_SENSOR_BAD_CAUSES(X)                                                                \
	X(CHECKSUM, "checksum")         /* checksum or CRC does not match */                      \
	X(FRAMING, "framing")           /* cut short, or garbage between messages */              \
	X(OVERSIZE, "oversize")         /* longer than the bound */                               \
	X(MALFORMED, "malformed")       /* checks out, but its fields make no sense */            \
	X(VERSION, "version")           /* of another version */                                  \
	X(LINE, "line")                 /* break, parity or framing error on the serial line */   \
	X(STRANGER, "stranger")         /* from a sender that is not the configured one */        \
	X(REPEATED, "repeated")         /* same number as the last */                             \
	X(OUT_OF_ORDER, "out-of-order") /* older than the last */

enum perron_sensor_bad {
#define X(name, text) PERRON_SENSOR_BAD_##name,
	PERRON_SENSOR_BAD_CAUSES(X)
#undef X
	PERRON_SENSOR_BAD_COUNT
};

#define PERRON_SENSOR_STATES(X)                                                                    \
	X(CLOSED, "closed")   /* not started, or ended (a replay or a limited source is done) */  \
	X(OPEN, "open")       /* delivers */                                                      \
	X(SILENT, "silent")   /* open, but what should come regularly does not */                 \
	X(WAITING, "waiting") /* lost or not there; is tried again */

enum perron_sensor_state {
#define X(name, text) PERRON_SENSOR_##name,
	PERRON_SENSOR_STATES(X)
#undef X
	PERRON_SENSOR_STATE_COUNT
};

/* Written by the sensor's thread alone, read by anyone. */
struct perron_sensor_counters {
	uint64_t messages; /* given and accepted */
	uint64_t bytes;    /* of those */
	uint64_t bad[PERRON_SENSOR_BAD_COUNT];
	uint64_t would_block;     /* no room downstream: dropped */
	uint64_t refused;         /* the sink said no for another reason */
	uint64_t missed;          /* messages that the source numbered and that never came */
	uint64_t silences;        /* times that a cyclic source fell silent */
	uint64_t reopens;         /* opened again after having been lost */
	uint64_t open_failures;   /* attempts to open that failed */
	uint64_t last_message_ns; /* CLOCK_MONOTONIC; 0: none yet */
};

/* What a sensor last saw, for people. */
enum perron_sensor_reading_kind {
	PERRON_SENSOR_READING_NONE,
	PERRON_SENSOR_READING_POSITION,
	PERRON_SENSOR_READING_TRACK,
};

struct perron_sensor_position {
	int32_t latitude_e7;  /* degrees * 10^7, north positive */
	int32_t longitude_e7; /* degrees * 10^7, east positive */
	uint32_t speed_mm_s;
	uint32_t course_millidegrees;
	uint32_t time_of_day_ms; /* UTC */
	uint32_t satellite_count;
};

struct perron_sensor_track {
	uint32_t evaluator;
	uint32_t section_count;
	uint32_t occupied_count;
	uint32_t disturbed_count;
	uint32_t axle_count; /* in all sections */
	uint32_t cycle_ms;
};

struct perron_sensor_reading {
	uint32_t kind; /* enum perron_sensor_reading_kind */
	uint32_t reserved;
	union {
		struct perron_sensor_position position;
		struct perron_sensor_track track;
	};
};

struct perron_sensor_status {
	char name[PERRON_SENSOR_NAME_SIZE];
	const char *driver;
	enum perron_sensor_state state;
	const char *why;  /* static text, "" if there is nothing to say */
	int error_number; /* errno behind `why`; 0: none */
	struct perron_sensor_counters counters;
	struct perron_sensor_reading reading;
};

struct perron_sensor; /* driver.h */

/* A driver. All its functions run on the sensor thread; only `open` may block, and briefly. */
struct perron_sensor_api {
	const char *name;
	const char *summary; /* one line */
	const struct perron_option *options; /* ended by a NULL name */
	size_t data_size; /* of the driver's own data, allocated and zeroed at creation */
	/* Options that contradict each other. May be NULL. 0, or -EINVAL and an error. */
	int (*check)(const struct perron_sensor_config *config, char *error, size_t error_size);
	/* What a sensor needs beside data_size, once, at creation. May be NULL. */
	int (*prepare)(struct perron_sensor *sensor, char *error, size_t error_size);
	/* Sets sensor->fd and sensor->deadline_ns; 0 or -errno and an error. Allocates nothing. */
	int (*open)(struct perron_sensor *sensor, uint64_t now_ns, char *error, size_t error_size);
	/*
	 * Called when the fd is readable or the deadline has passed. Gives what is there, at most a
	 * bounded burst, and renews the deadline. 0; -ENODATA: the source has ended for good;
	 * another negative errno: lost, to be closed and opened again.
	 */
	int (*read)(struct perron_sensor *sensor, uint64_t now_ns,
		    const struct perron_sensor_sink *sink);
	void (*close)(struct perron_sensor *sensor);
	/* Undoes `prepare`. May be NULL. */
	void (*release)(struct perron_sensor *sensor);
};

/* The constant table of drivers (registry.c). */
uint32_t perron_sensor_driver_count(void);
const struct perron_sensor_api *perron_sensor_driver_at(uint32_t index);
const struct perron_sensor_api *perron_sensor_driver_find(const char *name); /* NULL: none */

/* The same, as the descriptor's checks take it. NULL: no such driver, or past the last. */
const struct perron_option *perron_sensor_driver_options(const char *name);
const char *perron_sensor_driver_name(uint32_t index);

/*
 * Whether the loop would take this sensor: name, driver, each key and value, and what contradicts
 * what. Nothing is opened. Returns 0, or -EINVAL and one line without a place that says what was
 * expected; `culprit` is then the index of the option at fault, or option_count.
 */
int perron_sensor_config_check(const struct perron_sensor_config *config, uint32_t *culprit,
			       char *error, size_t error_size) PERRON_MUST_USE;

/*
 * Writes the help text of one driver (or of all, if NULL), as printed by --help; cut to `size`,
 * always ended by 0. Returns its whole length, like snprintf.
 */
size_t perron_sensor_help(const struct perron_sensor_api *api, char *text, size_t size);

const char *perron_sensor_bad_name(enum perron_sensor_bad cause);
const char *perron_sensor_state_name(enum perron_sensor_state state);

/* One line of text, e.g. "41.1490000 N 8.6100000 W, 36.0 km/h"; "" if there is no reading. */
void perron_sensor_reading_print(const struct perron_sensor_reading *reading, char *text,
				 size_t size);

#endif
