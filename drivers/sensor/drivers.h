/* The drivers' registrations, for registry.c. Private to drivers/sensor. */
#ifndef PERRON_DRIVERS_SENSOR_DRIVERS_H
#define PERRON_DRIVERS_SENSOR_DRIVERS_H

#include "drivers/sensor/sensor.h"

extern const struct perron_sensor_api perron_sensor_serial;
extern const struct perron_sensor_api perron_sensor_track;
extern const struct perron_sensor_api perron_sensor_synthetic;
extern const struct perron_sensor_api perron_sensor_replay;

#endif
