/* What ties the sections together, and the drivers' own keys. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "runtime/descriptor/schema.h"

void perron_descriptor_error(const struct perron_descriptor *descriptor,
			     struct perron_descriptor_place place, const char *what, char *error,
			     size_t error_size)
{
	if (place.line)
		snprintf(error, error_size, "%s:%u:%u: %s", descriptor->file, place.line,
			 place.column, what);
	else
		snprintf(error, error_size, "%s:1:1: %s", descriptor->file, what);
}

struct perron_descriptor_place
perron_descriptor_place_of(const struct perron_descriptor_places *places, const char *section,
			   const char *key)
{
	const struct perron_schema_key *keys = perron_schema_section(section);

	PERRON_ASSERT(keys != NULL);
	for (uint32_t i = 0; keys[i].option.name; i++) {
		if (!strcmp(keys[i].option.name, key))
			return places->of[i];
	}
	PERRON_ASSERT(keys == NULL); /* no such key in the section */
	return (struct perron_descriptor_place){0};
}

struct check {
	const struct perron_descriptor *d;
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 3, 4))) static int
fail(const struct check *check, struct perron_descriptor_place place, const char *format, ...)
{
	char what[PERRON_DESCRIPTOR_ERROR_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	perron_descriptor_error(check->d, place, what, check->error, check->error_size);
	return -EINVAL;
}

/* The place of whichever of two keys the file sets. */
static struct perron_descriptor_place either(const struct perron_descriptor_places *places,
					     const char *section, const char *a, const char *b)
{
	struct perron_descriptor_place place = perron_descriptor_place_of(places, section, a);

	return place.line ? place : perron_descriptor_place_of(places, section, b);
}

static void duration(uint64_t ns, char *out, size_t out_size)
{
	static const struct perron_option kind = {"duration", PERRON_OPTION_DURATION, NULL, ""};

	perron_option_format(&kind, (int64_t)ns, out, out_size);
}

static int check_times(const struct check *check)
{
	const struct perron_descriptor_overlay *overlay = &check->d->overlay;
	char is[32], than[32];

	if (overlay->beat_timeout_ns < 2 * overlay->beat_interval_ns) {
		duration(overlay->beat_timeout_ns, is, sizeof(is));
		duration(overlay->beat_interval_ns, than, sizeof(than));
		return fail(check,
			    either(&overlay->places, "overlay", "beat_timeout", "beat_interval"),
			    "'beat_timeout' is %s with a 'beat_interval' of %s; expected at least "
			    "twice the interval",
			    is, than);
	}
	if (overlay->lease_ns < overlay->beat_timeout_ns) {
		duration(overlay->lease_ns, is, sizeof(is));
		duration(overlay->beat_timeout_ns, than, sizeof(than));
		return fail(check, either(&overlay->places, "overlay", "lease", "beat_timeout"),
			    "'lease' is %s with a 'beat_timeout' of %s; expected at least as long",
			    is, than);
	}
	return 0;
}

static int check_link(const struct check *check, const struct perron_descriptor_link *link)
{
	const char *section = link->peer ? "links" : "detector";
	char is[32], than[32];

	if (link->timeout_ns_min < 2 * link->interval_ns) {
		duration(link->timeout_ns_min, is, sizeof(is));
		duration(link->interval_ns, than, sizeof(than));
		return fail(check, either(&link->places, section, "timeout_min", "interval"),
			    "'timeout_min' is %s with an 'interval' of %s; expected at least twice "
			    "the interval",
			    is, than);
	}
	if (link->timeout_ns_max < link->timeout_ns_min) {
		duration(link->timeout_ns_max, is, sizeof(is));
		duration(link->timeout_ns_min, than, sizeof(than));
		struct perron_descriptor_place place =
		    either(&link->places, section, "timeout_max", "timeout_min");
		if (!place.line)
			place = perron_descriptor_place_of(&link->places, section, "interval");
		return fail(check, place,
			    "'timeout_max' is %s with a 'timeout_min' of %s; expected at least as "
			    "long",
			    is, than);
	}
	if (check->d->overlay.lease_ns < link->timeout_ns_max) {
		duration(link->timeout_ns_max, is, sizeof(is));
		duration(check->d->overlay.lease_ns, than, sizeof(than));
		return fail(check, either(&link->places, section, "timeout_max", "interval"),
			    "'timeout_max' is %s with a 'lease' of %s; expected at most as long",
			    is, than);
	}
	return 0;
}

static int check_detector(const struct check *check)
{
	const struct perron_descriptor_detector *detector = &check->d->detector;
	int rc = check_link(check, &detector->all);

	for (uint32_t i = 0; i < detector->link_count && !rc; i++) {
		const struct perron_descriptor_link *link = &detector->links[i];
		for (uint32_t k = 0; k < i; k++)
			if (detector->links[k].peer == link->peer)
				return fail(
				    check,
				    perron_descriptor_place_of(&link->places, "links", "peer"),
				    "the link with peer %u is given twice; expected once",
				    link->peer);
		rc = check_link(check, link);
	}
	return rc;
}

static int check_group(const struct check *check)
{
	const struct perron_descriptor_group *group = &check->d->group;
	char is[32], than[32];

	if (group->attempt_ns > group->resend_ns)
		return 0;
	duration(group->attempt_ns, is, sizeof(is));
	duration(group->resend_ns, than, sizeof(than));
	return fail(check, either(&group->places, "group", "attempt", "resend"),
		    "'attempt' is %s with a 'resend' of %s; expected longer", is, than);
}

static bool peer_is_here(const struct perron_descriptor *d, uint32_t id)
{
	for (uint32_t i = 0; i < d->peer_count; i++) {
		if (d->peers[i].id == id)
			return true;
	}
	return false;
}

static int check_portal_entry(const struct check *check, uint32_t index)
{
	const struct perron_descriptor *d = check->d;
	const struct perron_descriptor_portal *portal = &d->overlay.portal[index];
	struct perron_descriptor_place peer =
	    perron_descriptor_place_of(&portal->places, "portal", "peer");

	for (uint32_t i = 0; i < index; i++) {
		if (d->overlay.portal[i].peer == portal->peer)
			return fail(check, peer, "peer %u is given twice; expected once",
				    portal->peer);
	}
	bool here = peer_is_here(d, portal->peer);
	if (here && portal->address != d->station.address)
		return fail(check, perron_descriptor_place_of(&portal->places, "portal", "address"),
			    "peer %u is one of this station's peers, but not at its address; "
			    "expected the address of 'station'",
			    portal->peer);
	if (!here && portal->address == d->station.address)
		return fail(check, peer,
			    "unknown peer %u at this station's address; expected one of 'peers'",
			    portal->peer);
	return 0;
}

static int check_portal(const struct check *check)
{
	const struct perron_descriptor_overlay *overlay = &check->d->overlay;

	if (overlay->portal_count > overlay->cell_size)
		return fail(check,
			    perron_descriptor_place_of(&overlay->places, "overlay", "portal"),
			    "'portal' has %u entries with a 'cell_size' of %u; expected at most as "
			    "many",
			    overlay->portal_count, overlay->cell_size);
	for (uint32_t i = 0; i < overlay->portal_count; i++) {
		int rc = check_portal_entry(check, i);
		if (rc)
			return rc;
	}
	return 0;
}

static int check_station(const struct check *check)
{
	const struct perron_descriptor_station *s = &check->d->station;
	uint32_t mask = (uint32_t)(UINT64_C(0xffffffff) << (32 - s->prefix_length));

	if (s->gateway && (s->gateway & mask) != (s->address & mask))
		return fail(check, perron_descriptor_place_of(&s->places, "station", "gateway"),
			    "'gateway' is not in the network of 'address'; expected an address "
			    "within its /%u",
			    s->prefix_length);
	if (s->prefix_length < 31 && (!(s->address & ~mask) || (s->address & ~mask) == ~mask))
		return fail(check, perron_descriptor_place_of(&s->places, "station", "address"),
			    "'address' is the network's own or its broadcast; expected a host's");
	return 0;
}

static int check_peer_cell(const struct check *check, const struct perron_descriptor_peer *peer)
{
	const struct perron_descriptor_overlay *overlay = &check->d->overlay;
	struct perron_descriptor_place place =
	    perron_descriptor_place_of(&peer->places, "peers", "cell");

	if (peer->cell_depth > overlay->depth)
		return fail(check, place,
			    "'cell' has %u levels; expected at most the overlay's 'depth' of %u",
			    peer->cell_depth, overlay->depth);
	for (uint8_t i = 1; i < peer->cell_depth; i++) {
		if (peer->cell[i] >= overlay->span)
			return fail(check, place,
				    "'cell' has %u at level %u; expected below the overlay's "
				    "'span' of %u",
				    peer->cell[i], i + 1, overlay->span);
	}
	return 0;
}

static bool lcore_is_listed(const struct perron_descriptor_station *station, int32_t lcore)
{
	for (uint32_t i = 0; i < station->lcore_count; i++) {
		if (station->lcores[i] == lcore)
			return true;
	}
	return !station->lcore_count;
}

static int check_peers(const struct check *check)
{
	const struct perron_descriptor *d = check->d;

	for (uint32_t i = 0; i < d->peer_count; i++) {
		const struct perron_descriptor_peer *peer = &d->peers[i];
		for (uint32_t j = 0; j < i; j++) {
			if (d->peers[j].id == peer->id)
				return fail(
				    check, perron_descriptor_place_of(&peer->places, "peers", "id"),
				    "peer %u is given twice; expected once", peer->id);
		}
		int rc = check_peer_cell(check, peer);
		if (rc)
			return rc;
		if (peer->lcore >= 0 && !lcore_is_listed(&d->station, peer->lcore))
			return fail(
			    check, perron_descriptor_place_of(&peer->places, "peers", "lcore"),
			    "'lcore' is %d; expected one of the station's 'lcores'", peer->lcore);
	}
	return 0;
}

static int check_sensors(const struct check *check)
{
	const struct perron_descriptor *d = check->d;

	for (uint32_t i = 0; i < d->sensor_count; i++) {
		const struct perron_descriptor_sensor *sensor = &d->sensors[i];
		if (sensor->peer_index == d->peer_count)
			return fail(
			    check, perron_descriptor_place_of(&sensor->places, "sensors", "peer"),
			    "unknown peer %u; expected the id of one of 'peers'", sensor->peer);
		for (uint32_t j = 0; j < i; j++) {
			if (!strcmp(d->sensors[j].name, sensor->name))
				return fail(
				    check,
				    perron_descriptor_place_of(&sensor->places, "sensors", "name"),
				    "sensor '%s' is given twice; expected once", sensor->name);
		}
	}
	return 0;
}

static int check_ports(const struct check *check)
{
	const struct perron_descriptor *d = check->d;

	for (uint32_t i = 0; !d->port_count && i < d->overlay.portal_count; i++) {
		const struct perron_descriptor_portal *portal = &d->overlay.portal[i];
		if (!peer_is_here(d, portal->peer))
			return fail(check, (struct perron_descriptor_place){1, 1},
				    "'port' is missing; expected a port, since peer %u of the "
				    "portal is on another station",
				    portal->peer);
	}
	return 0;
}

int perron_schema_check(const struct perron_descriptor *descriptor, char *error, size_t error_size)
{
	struct check check = {descriptor, error, error_size};
	int rc = check_times(&check);

	if (!rc)
		rc = check_detector(&check);
	if (!rc)
		rc = check_group(&check);
	if (!rc)
		rc = check_station(&check);
	if (!rc)
		rc = check_peers(&check);
	if (!rc)
		rc = check_portal(&check);
	if (!rc)
		rc = check_sensors(&check);
	if (!rc)
		rc = check_ports(&check);
	return rc;
}

static int fail_driver(const struct check *check, const struct perron_descriptor_drivers *family,
		       const struct perron_descriptor_driver *driver)
{
	uint32_t best = (uint32_t)strlen(driver->name) / 3 + 2;
	const char *nearest = NULL, *name;
	char all[PERRON_OPTION_ERROR_SIZE] = "none that is built in";
	size_t at = 0;

	for (uint32_t i = 0; (name = family->name(i)) != NULL; i++) {
		uint32_t distance = perron_option_distance(name, driver->name);
		if (distance < best) {
			best = distance;
			nearest = name;
		}
		if (at < sizeof(all))
			at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", at ? ", " : "",
					       name);
	}
	if (nearest)
		return fail(check, driver->place,
			    "unknown driver '%s'; expected '%s' (did you mean it?)", driver->name,
			    nearest);
	return fail(check, driver->place, "unknown driver '%s'; expected one of %s", driver->name,
		    all);
}

static int check_driver(const struct check *check, const struct perron_descriptor_drivers *family,
			const struct perron_descriptor_driver *driver)
{
	char what[PERRON_OPTION_ERROR_SIZE * 2];
	uint32_t culprit = 0;

	if (!family)
		return 0;
	const struct perron_option *table = family->options(driver->name);
	if (!table)
		return fail_driver(check, family, driver);
	int rc = perron_option_check(table, driver->options, driver->option_count, &culprit, what,
				     sizeof(what));
	if (!rc)
		return 0;
	struct perron_descriptor_place place = driver->place;
	if (culprit < driver->option_count) {
		place.line = driver->options[culprit].line;
		place.column = driver->options[culprit].column;
	}
	return fail(check, place, "driver %s: %s", driver->name, what);
}

int perron_descriptor_check_drivers(const struct perron_descriptor *descriptor,
				    const struct perron_descriptor_drivers *ports,
				    const struct perron_descriptor_drivers *sensors, char *error,
				    size_t error_size)
{
	struct check check = {descriptor, error, error_size};

	PERRON_ASSERT(descriptor->port_count <= PERRON_DESCRIPTOR_PORT_MAX);
	PERRON_ASSERT(descriptor->sensor_count <= PERRON_DESCRIPTOR_SENSOR_MAX);
	for (uint32_t i = 0; i < descriptor->port_count; i++) {
		int rc = check_driver(&check, ports, &descriptor->ports[i].driver);
		if (rc)
			return rc;
	}
	for (uint32_t i = 0; i < descriptor->sensor_count; i++) {
		int rc = check_driver(&check, sensors, &descriptor->sensors[i].driver);
		if (rc)
			return rc;
	}
	return 0;
}
