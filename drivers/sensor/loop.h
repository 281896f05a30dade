/*
 * The sensor loop: one thread a station that reads all its sensors (docs/architecture.md: devices
 * that need system calls are read beside the lcores).
 *
 * Order: create, start, stop, destroy. Everything is allocated by `create`; nothing afterwards.
 * A sensor that is lost is closed and opened again after PERRON_SENSOR_BACKOFF_NS_MIN, doubled for
 * each failure up to PERRON_SENSOR_BACKOFF_NS_MAX. Other sensors go on meanwhile.
 *
 * Threads: create, start, stop and destroy belong to one thread (housekeeping). `status` may be
 * called from any thread while the loop exists. The sink is called on the loop's thread.
 */
#ifndef PERRON_DRIVERS_SENSOR_LOOP_H
#define PERRON_DRIVERS_SENSOR_LOOP_H

#include "drivers/sensor/sensor.h"

#define PERRON_SENSOR_BACKOFF_NS_MIN 50000000ull
#define PERRON_SENSOR_BACKOFF_NS_MAX 10000000000ull
#define PERRON_SENSOR_CPU_ANY        (-1)

struct perron_sensor_loop_config {
	const struct perron_sensor_config *sensors; /* outlive the loop */
	uint32_t sensor_count;                      /* 0 to PERRON_SENSOR_COUNT_MAX */
	struct perron_sensor_sink sink;
	int cpu; /* where the thread is pinned, or PERRON_SENSOR_CPU_ANY */
};

struct perron_sensor_loop;

/*
 * Checks and opens every sensor; nothing is left open if one of them fails. A sensor that is
 * `optional: true` and not there is left waiting instead. The sensor's index in the sink is its
 * index in config->sensors. Returns 0 or -errno and one line of error.
 */
int perron_sensor_loop_create(struct perron_sensor_loop **out,
			      const struct perron_sensor_loop_config *config, uint64_t now_ns,
			      uint32_t *culprit, char *error, size_t error_size) PERRON_MUST_USE;

/* Starts the thread. 0 or -errno and an error (no such core, no thread). */
int perron_sensor_loop_start(struct perron_sensor_loop *loop, char *error, size_t error_size)
	PERRON_MUST_USE;

/* Ends and joins the thread; returns when the sink will not be called any more. Idempotent. */
void perron_sensor_loop_stop(struct perron_sensor_loop *loop);

/* Closes every sensor and frees the loop. Stopped, or never started; NULL is fine. */
void perron_sensor_loop_destroy(struct perron_sensor_loop *loop);

/*
 * One turn by hand, for a host (or test) that has no thread: reads what is ready without waiting.
 * Returns when the next turn is due at the latest (UINT64_MAX: only when a device has something).
 * Not while the thread runs.
 */
uint64_t perron_sensor_loop_turn(struct perron_sensor_loop *loop, uint64_t now_ns);

uint32_t perron_sensor_loop_count(const struct perron_sensor_loop *loop);

/* A copy of one sensor's status; `index` < perron_sensor_loop_count. Any thread. */
void perron_sensor_loop_status(const struct perron_sensor_loop *loop, uint32_t index,
			       struct perron_sensor_status *out);

#endif
