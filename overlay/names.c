#include "overlay/overlay_ops.h"
#include "overlay/verdict.h"

#include <string.h>

uint32_t perron_stream_id(const char *sensor_name)
{
	uint32_t hash = 2166136261u;

	for (const char *at = sensor_name; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 16777619u;
	/* 0 says "no stream". */
	return hash ? hash : 1;
}

static bool sensor_name_char_is_valid(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '/' || c == '-';
}

bool perron_sensor_name_is_valid(const char *name)
{
	uint32_t size = 0;

	while (size <= PERRON_SENSOR_NAME_MAX && name[size]) {
		if (!sensor_name_char_is_valid(name[size]))
			return false;
		size++;
	}
	return size > 0 && size <= PERRON_SENSOR_NAME_MAX;
}

const char *perron_overlay_state_name(uint8_t state)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_OVERLAY_##name] = text,
		PERRON_OVERLAY_STATES(X)
#undef X
	};
	return state < PERRON_OVERLAY_STATE_COUNT ? names[state] : "unknown";
}

const char *perron_verdict_name(uint8_t verdict)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_VERDICT_##name] = text,
		PERRON_VERDICTS(X)
#undef X
	};
	return verdict < PERRON_VERDICT_COUNT ? names[verdict] : "unknown";
}

void perron_overlay_config_default(struct perron_overlay_config *cfg)
{
	*cfg = (struct perron_overlay_config){
		.level_count = 3,
		.span = 2,
		.cell_size = 2,
		.lease_ns = 2000000000u,
		.request_ns = 100000000u,
		.link_timeout_ns = 250000000u,
		.neighbour_count_max = PERRON_NEIGHBOUR_COUNT_MAX,
		.registry_count_max = 1024,
		.directory_count_max = 1024,
		.path_count_max = 256,
		.branch_count_max = 16,
	};
}
