/* The drivers that there are: one line each. */
#include <string.h>

#include "drivers/sensor/drivers.h"

static const struct perron_sensor_api *const drivers[] = {
    &perron_sensor_serial,
    &perron_sensor_track,
    &perron_sensor_synthetic,
    &perron_sensor_replay,
};

uint32_t perron_sensor_driver_count(void)
{
	return sizeof(drivers) / sizeof(drivers[0]);
}

const struct perron_sensor_api *perron_sensor_driver_at(uint32_t index)
{
	PERRON_ASSERT(index < perron_sensor_driver_count());
	return drivers[index];
}

const struct perron_sensor_api *perron_sensor_driver_find(const char *name)
{
	for (uint32_t i = 0; name && i < perron_sensor_driver_count(); i++) {
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	}
	return NULL;
}

const struct perron_option *perron_sensor_driver_options(const char *name)
{
	const struct perron_sensor_api *api = perron_sensor_driver_find(name);

	return api ? api->options : NULL;
}

const char *perron_sensor_driver_name(uint32_t index)
{
	return index < perron_sensor_driver_count() ? drivers[index]->name : NULL;
}
