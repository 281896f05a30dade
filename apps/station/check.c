/*
 * What can be known before anything is started: cores, ports, sensors. Each error is one line that
 * names the place in the descriptor.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apps/station/private.h"

static int fail_at(const struct perron_station *s, struct perron_descriptor_place place, int ret,
		   const char *what, char *error, size_t error_size)
{
	perron_descriptor_error(s->descriptor, place, what, error, error_size);
	return ret;
}

static int cores_check(struct perron_station *s, char *error, size_t error_size)
{
	const struct perron_descriptor_station *d = &s->descriptor->station;
	struct perron_cores_wish wish = {.housekeeping = d->housekeeping_core,
					 .lcore_count = d->lcore_count};
	char what[STATION_TEXT_SIZE];
	static const enum perron_idle idles[] = {
	    [PERRON_DESCRIPTOR_IDLE_AUTO] = PERRON_IDLE_AUTO,
	    [PERRON_DESCRIPTOR_IDLE_SPIN] = PERRON_IDLE_SPIN,
	    [PERRON_DESCRIPTOR_IDLE_BACKOFF] = PERRON_IDLE_BACKOFF,
	    [PERRON_DESCRIPTOR_IDLE_INTERRUPT] = PERRON_IDLE_INTERRUPT,
	};

	wish.idle = idles[d->idle];
	memcpy(wish.lcores, d->lcores, d->lcore_count * sizeof(d->lcores[0]));
	int ret = perron_cores_read(&s->cores, "/sys/devices/system/cpu", error, error_size);
	if (ret)
		return ret;
	ret = perron_cores_choose(&s->cores, &wish, &s->choice, what, sizeof(what));
	if (ret)
		return fail_at(s, perron_descriptor_place_of(&d->places, "station", "lcores"), ret,
			       what, error, error_size);
	s->lcore_count = s->choice.lcore_count;
	if (d->scheduling == PERRON_DESCRIPTOR_SCHEDULING_FIFO &&
	    s->choice.idle == PERRON_IDLE_SPIN)
		return fail_at(s, perron_descriptor_place_of(&d->places, "station", "scheduling"),
			       -EINVAL,
			       "'scheduling' is fifo with lcores that spin, which the kernel "
			       "throttles; expected 'idle: backoff' with it",
			       error, error_size);
	return 0;
}

/* A peer that named a core lives there; the others are dealt out in turn. */
static void peers_place(struct perron_station *s)
{
	const struct perron_descriptor *d = s->descriptor;

	for (uint32_t i = 0; i < d->peer_count; i++) {
		s->lcore_of_peer[i] = i % s->lcore_count;
		for (uint32_t l = 0; l < s->lcore_count; l++)
			if (d->peers[i].lcore == (int32_t)s->choice.lcores[l])
				s->lcore_of_peer[i] = l;
	}
}

static void port_config_fill(const struct perron_descriptor_port *from, uint32_t index,
			     struct perron_port_config *out)
{
	*out = (struct perron_port_config){
	    .index = index,
	    .driver = from->driver.name,
	    .options = from->driver.options,
	    .option_count = from->driver.option_count,
	    .impair =
		{
		    .set = from->impair.set,
		    .delay_ns = from->impair.delay_ns,
		    .jitter_ns = from->impair.jitter_ns,
		    .loss_ppm = from->impair.loss_ppm,
		    .duplicate_ppm = from->impair.duplicate_ppm,
		    .reorder_ppm = from->impair.reorder_ppm,
		    .seed = from->impair.seed,
		},
	};
}

static struct perron_descriptor_place option_place(const struct perron_descriptor_driver *driver,
						   uint32_t culprit)
{
	if (culprit >= driver->option_count)
		return driver->place;
	return (struct perron_descriptor_place){.line = driver->options[culprit].line,
						.column = driver->options[culprit].column};
}

static int ports_check(struct perron_station *s, char *error, size_t error_size)
{
	const struct perron_descriptor *d = s->descriptor;
	char what[STATION_TEXT_SIZE];

	for (uint32_t i = 0; i < d->port_count; i++) {
		uint32_t culprit = 0;
		port_config_fill(&d->ports[i], i, &s->port_configs[i]);
		int ret =
		    perron_port_config_check(&s->port_configs[i], &culprit, what, sizeof(what));
		if (ret)
			return fail_at(s, option_place(&d->ports[i].driver, culprit), ret, what,
				       error, error_size);
		ret = perron_port_probe(&s->port_configs[i], what, sizeof(what));
		if (ret)
			return fail_at(s, d->ports[i].driver.place, ret, what, error, error_size);
	}
	return 0;
}

static int net_check(const struct perron_station *s, char *error, size_t error_size)
{
	const struct perron_descriptor *d = s->descriptor;
	const struct perron_net_config config = {
	    .address = d->station.address,
	    .prefix_length = d->station.prefix_length,
	    .gateway = d->station.gateway,
	    .port_base = d->overlay.port_base,
	};
	char what[STATION_TEXT_SIZE];

	if (d->port_count == 0)
		return 0;
	int ret = perron_net_config_check(&config, what, sizeof(what));
	if (ret)
		return fail_at(s,
			       perron_descriptor_place_of(&d->station.places, "station", "address"),
			       ret, what, error, error_size);
	return 0;
}

void station_sensor_configs(const struct perron_descriptor *d, struct perron_sensor_config *out)
{
	for (uint32_t i = 0; i < d->sensor_count; i++) {
		const struct perron_descriptor_sensor *sensor = &d->sensors[i];
		out[i] = (struct perron_sensor_config){
		    .name = sensor->name,
		    .driver = sensor->driver.name,
		    .class_hint = sensor->class,
		    .options = sensor->driver.options,
		    .option_count = sensor->driver.option_count,
		};
	}
}

static int sensors_check(const struct perron_station *s, char *error, size_t error_size)
{
	const struct perron_descriptor *d = s->descriptor;
	struct perron_sensor_config configs[STATION_SENSOR_MAX];
	char what[STATION_TEXT_SIZE];

	station_sensor_configs(d, configs);
	for (uint32_t i = 0; i < d->sensor_count; i++) {
		uint32_t culprit = 0;
		int ret = perron_sensor_config_check(&configs[i], &culprit, what, sizeof(what));
		if (ret)
			return fail_at(s, option_place(&d->sensors[i].driver, culprit), ret, what,
				       error, error_size);
	}
	return 0;
}

static bool peer_is_here(const struct perron_descriptor *d, uint32_t id)
{
	for (uint32_t i = 0; i < d->peer_count; i++)
		if (d->peers[i].id == id)
			return true;
	return false;
}

static int guests_check(const struct perron_station *s, char *error, size_t error_size)
{
	const struct perron_station_config *c = &s->config;

	if (c->client_count > PERRON_STATION_CLIENT_MAX ||
	    c->source_count > PERRON_STATION_SOURCE_MAX) {
		snprintf(error, error_size, "too many clients or sources; expected at most %d",
			 PERRON_STATION_CLIENT_MAX);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < c->client_count; i++) {
		if (c->clients[i].id & PERRON_CLIENT_ID)
			continue;
		snprintf(error, error_size, "client %u has no PERRON_CLIENT_ID in its id", i);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < c->source_count; i++) {
		if (peer_is_here(s->descriptor, c->sources[i].peer))
			continue;
		snprintf(error, error_size, "source '%s': no peer %u here", c->sources[i].name,
			 c->sources[i].peer);
		return -EINVAL;
	}
	return 0;
}

int station_check(struct perron_station *s, char *error, size_t error_size)
{
	s->ops = perron_overlay_find("p3");
	if (!s->ops) {
		snprintf(error, error_size, "this program was built without the overlay p3");
		return -ENOENT;
	}
	int ret = guests_check(s, error, error_size);
	if (!ret)
		ret = net_check(s, error, error_size);
	if (!ret)
		ret = sensors_check(s, error, error_size);
	if (!ret)
		ret = cores_check(s, error, error_size);
	if (!ret)
		ret = ports_check(s, error, error_size);
	if (!ret)
		peers_place(s);
	return ret;
}
