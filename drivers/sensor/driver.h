/*
 * What a sensor's driver works with: the sensor's data, its options, and how it gives and counts.
 * Private to drivers/sensor and its tests. See docs/writing-a-driver.md.
 *
 * Invariants: options have passed perron_sensor_config_check before a driver sees them. Counters
 * and state have one writer, the sensor's thread; they are stored with relaxed atomics, whose
 * partner is perron_sensor_status_read. The reading is a sequence lock: odd while it is written.
 */
#ifndef PERRON_DRIVERS_SENSOR_DRIVER_H
#define PERRON_DRIVERS_SENSOR_DRIVER_H

#include "drivers/sensor/nmea.h"
#include "drivers/sensor/sensor.h"

#define PERRON_SENSOR_NEVER     UINT64_MAX
#define PERRON_NS_PER_MS        1000000ull
#define PERRON_NS_PER_S         1000000000ull

struct perron_sensor {
	const struct perron_sensor_api *api;
	const struct perron_sensor_config *config;
	void *data; /* the driver's own, api->data_size bytes */
	uint32_t index;

	/* Set by the driver's open and read. */
	int fd;               /* polled for input; -1: none */
	uint64_t deadline_ns; /* read is due then; PERRON_SENSOR_NEVER: none */

	/* Kept by the loop. */
	uint64_t opened_ns;
	uint64_t retry_ns; /* while waiting */
	uint64_t backoff_ns;
	bool was_open;

	/* Read by other threads. */
	uint32_t state;
	int error_number;
	const char *why;
	struct perron_sensor_counters counters;
	uint32_t reading_sequence;
	struct perron_sensor_reading reading;
};

/* An option's value, from the descriptor or the table's default. The config has been checked. */
static inline int64_t perron_sensor_number(const struct perron_sensor_config *config,
					   const struct perron_option *options, const char *name)
{
	return perron_option_number(options, config->options, config->option_count, name);
}

static inline const char *perron_sensor_text(const struct perron_sensor_config *config,
					     const struct perron_option *options, const char *name)
{
	return perron_option_text(options, config->options, config->option_count, name);
}

/* Gives a message and counts what became of it. */
void perron_sensor_give(struct perron_sensor *sensor, const struct perron_sensor_sink *sink,
			uint64_t stamp_ns, const uint8_t *data, uint32_t size);

static inline void perron_sensor_count(uint64_t *counter, uint64_t more)
{
	__atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED);
}

static inline void perron_sensor_count_bad(struct perron_sensor *sensor,
					   enum perron_sensor_bad cause)
{
	perron_sensor_count(&sensor->counters.bad[cause], 1);
}

/* `why` is static text. */
void perron_sensor_set_state(struct perron_sensor *sensor, enum perron_sensor_state state,
			     const char *why, int error_number);
void perron_sensor_set_reading(struct perron_sensor *sensor,
			       const struct perron_sensor_reading *reading);
/* Adds what an NMEA sentence says; what it does not say stays. False if it has no position. */
bool perron_sensor_reading_of_fix(struct perron_sensor_reading *reading,
				  const struct perron_nmea_fix *fix);
void perron_sensor_status_read(const struct perron_sensor *sensor,
			       struct perron_sensor_status *out);

#endif
