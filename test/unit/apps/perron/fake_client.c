/*
 * libperron without a network, for tests of `perron subscribe`: the sensor "gps/roof" gives a
 * message every call, "track" refuses its bound, any other is unknown. It checks what it is asked.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/libperron/perron.h"

struct perron {
	char sensor[32];
	char error[PERRON_ERROR_SIZE];
	enum perron_traffic traffic;
	uint32_t latency_max_us;
	uint64_t given;
};

const char *perron_version(void)
{
	return "0.1.0";
}

void perron_options_default(struct perron_options *options)
{
	*options = (struct perron_options){.size = sizeof(*options), .overlay = 1};
}

struct perron *perron_open(const char *portals, const struct perron_options *options, char *error,
			   size_t error_size)
{
	if (strcmp(portals, "10.0.0.1:7400") || options->overlay != 3) {
		snprintf(error, error_size, "asked for %s, overlay %u", portals, options->overlay);
		return NULL;
	}
	return calloc(1, sizeof(struct perron));
}

int perron_subscribe_replicated(struct perron *p, const char *sensor, enum perron_traffic traffic,
				uint32_t latency_max_us, enum perron_replicate replicate,
				uint32_t replicas, uint32_t period_us)
{
	if (replicas > 2 || (period_us != 0) != (replicate == PERRON_REPLICATE_PASSIVELY)) {
		snprintf(p->error, sizeof(p->error), "replication %d, %u replicas, period %u us",
			 (int)replicate, replicas, period_us);
		return -EINVAL;
	}
	if (strlen(sensor) >= sizeof(p->sensor)) {
		snprintf(p->error, sizeof(p->error), "no name of a sensor");
		return -EINVAL;
	}
	strcpy(p->sensor, sensor);
	p->traffic = traffic;
	p->latency_max_us = latency_max_us;
	return 0;
}

int perron_receive(struct perron *p, int timeout_ms, struct perron_message *message)
{
	static const uint8_t data[] = {'$', 'G', 'P', 0, 0xff};

	(void)timeout_ms;
	if (strcmp(p->sensor, "gps/roof")) {
		bool known = !strcmp(p->sensor, "track");
		snprintf(p->error, sizeof(p->error),
			 known ? "the bound of %u us is too short" : "no sensor of that name",
			 p->latency_max_us);
		return known ? -ETIME : -ENOENT;
	}
	p->given++;
	*message = (struct perron_message){.sensor = p->sensor,
					   .traffic = p->traffic,
					   .sequence = p->given,
					   .frame_count = 1,
					   .size = sizeof(data),
					   .data = data,
					   .origin_ns = 1000000000,
					   .received_ns = 1000012500,
					   .latency_ns = 12500,
					   .late = p->given == 2};
	return 1;
}

const char *perron_error(const struct perron *p)
{
	return p->error;
}

int perron_subscription_read(const struct perron *p, int subscription,
			     struct perron_subscription *out)
{
	if (subscription)
		return -ENOENT;
	*out = (struct perron_subscription){.messages = p->given,
					    .frames = p->given,
					    .late = 1,
					    .hops = (uint32_t)p->traffic + 3,
					    .latency_max_us = p->latency_max_us};
	return 0;
}

void perron_close(struct perron *p)
{
	free(p);
}
