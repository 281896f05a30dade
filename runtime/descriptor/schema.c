#include "runtime/descriptor/schema.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MS 1000000
#define S  1000000000

static bool name_is_good(const char *text, const char *also)
{
	size_t length = strlen(text);

	if (!length || length >= PERRON_DESCRIPTOR_NAME_SIZE)
		return false;
	for (; *text; text++) {
		bool letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
		bool digit = *text >= '0' && *text <= '9';
		if (!letter && !digit && !strchr(also, *text))
			return false;
	}
	return true;
}

static int parse_station_name(const char *text, void *field)
{
	if (!name_is_good(text, "._-") || text[0] == '.')
		return -EINVAL;
	memcpy(field, text, strlen(text) + 1);
	return 0;
}

static int parse_sensor_name(const char *text, void *field)
{
	if (!name_is_good(text, "._/-"))
		return -EINVAL;
	memcpy(field, text, strlen(text) + 1);
	return 0;
}

static void print_name(const void *field, char *out, size_t out_size)
{
	snprintf(out, out_size, "%s", (const char *)field);
}

static const struct perron_option any_address = {"address", PERRON_OPTION_ADDRESS, NULL, ""};
static const struct perron_option any_number = {"number", PERRON_OPTION_INTEGER, NULL, ""};

static int parse_bounded(const char *text, int64_t max, int64_t *number)
{
	char unused[PERRON_OPTION_ERROR_SIZE];
	int rc = perron_option_parse(&any_number, text, number, unused, sizeof(unused));

	if (rc)
		return rc;
	return *number > max ? -ERANGE : 0;
}

static int parse_host(const char *text, uint32_t *address)
{
	char unused[PERRON_OPTION_ERROR_SIZE];
	int64_t number;
	int rc = perron_option_parse(&any_address, text, &number, unused, sizeof(unused));

	if (rc)
		return rc;
	/* 0.x is no host, and 224.0.0.0 and up are multicast and reserved. */
	if (number >> 24 == 0 || number >> 24 >= 224)
		return -ERANGE;
	*address = (uint32_t)number;
	return 0;
}

/* The field is station.address, and prefix_length follows it. */
static int parse_station_address(const char *text, void *field)
{
	struct perron_descriptor_station *station =
	    (void *)((char *)field - offsetof(struct perron_descriptor_station, address));
	const char *slash = strchr(text, '/');
	char host[20];
	int64_t length;

	if (!slash || (size_t)(slash - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = 0;
	int rc = parse_host(host, &station->address);
	if (rc)
		return rc;
	rc = parse_bounded(slash + 1, 32, &length);
	if (rc || !length)
		return rc ? rc : -ERANGE;
	station->prefix_length = (uint8_t)length;
	return 0;
}

static void print_station_address(const void *field, char *out, size_t out_size)
{
	const struct perron_descriptor_station *station =
	    (const void *)((const char *)field -
			   offsetof(struct perron_descriptor_station, address));
	char host[32];

	perron_option_format(&any_address, station->address, host, sizeof(host));
	snprintf(out, out_size, "%s/%u", host, station->prefix_length);
}

static int parse_host_field(const char *text, void *field)
{
	return parse_host(text, field);
}

static int parse_gateway(const char *text, void *field)
{
	if (!strcmp(text, "none")) {
		*(uint32_t *)field = 0;
		return 0;
	}
	return parse_host(text, field);
}

static void print_host(const void *field, char *out, size_t out_size)
{
	uint32_t address = *(const uint32_t *)field;

	if (address)
		perron_option_format(&any_address, address, out, out_size);
	else
		snprintf(out, out_size, "none");
}

static int parse_core(const char *text, void *field)
{
	int64_t core = -1;

	if (strcmp(text, "auto")) {
		int rc = parse_bounded(text, 1023, &core);
		if (rc)
			return rc;
	}
	*(int32_t *)field = (int32_t)core;
	return 0;
}

static void print_core(const void *field, char *out, size_t out_size)
{
	int32_t core = *(const int32_t *)field;

	if (core < 0)
		snprintf(out, out_size, "auto");
	else
		snprintf(out, out_size, "%d", core);
}

static int add_cores(struct perron_descriptor_station *station, int64_t from, int64_t to)
{
	for (int64_t core = from; core <= to; core++) {
		for (uint32_t i = 0; i < station->lcore_count; i++) {
			if (station->lcores[i] == core)
				return -EINVAL;
		}
		if (station->lcore_count == PERRON_DESCRIPTOR_LCORE_MAX)
			return -ERANGE;
		station->lcores[station->lcore_count++] = (uint16_t)core;
	}
	return from <= to ? 0 : -EINVAL;
}

/* "auto", or "1,2,8-11". The field is station.lcores. */
static int parse_lcores(const char *text, void *field)
{
	struct perron_descriptor_station *station =
	    (void *)((char *)field - offsetof(struct perron_descriptor_station, lcores));

	station->lcore_count = 0;
	if (!strcmp(text, "auto"))
		return 0;
	for (;;) {
		char item[16] = "";
		size_t length = strcspn(text, ",");
		if (length >= sizeof(item))
			return -EINVAL;
		memcpy(item, text, length);
		char *dash = strchr(item, '-');
		if (dash)
			*dash++ = 0;
		int64_t from, to;
		int rc = parse_bounded(item, 1023, &from);
		if (!rc)
			rc = parse_bounded(dash ? dash : item, 1023, &to);
		if (!rc)
			rc = add_cores(station, from, to);
		if (rc || !text[length])
			return rc;
		text += length + 1;
	}
}

static void print_lcores(const void *field, char *out, size_t out_size)
{
	const struct perron_descriptor_station *station =
	    (const void *)((const char *)field -
			   offsetof(struct perron_descriptor_station, lcores));
	size_t at = 0;

	if (!station->lcore_count) {
		snprintf(out, out_size, "auto");
		return;
	}
	for (uint32_t i = 0; i < station->lcore_count && at + 8 < out_size; i++)
		at += (size_t)snprintf(out + at, out_size - at, "%s%u", i ? ", " : "[",
				       station->lcores[i]);
	snprintf(out + at, out_size - at, "]");
}

static int parse_power_of_two(const char *text, int64_t min, int64_t max, void *field)
{
	int64_t number;
	int rc = parse_bounded(text, max, &number);

	if (rc)
		return rc;
	if (number < min || number & (number - 1))
		return -ERANGE;
	*(uint32_t *)field = (uint32_t)number;
	return 0;
}

static int parse_ring(const char *text, void *field)
{
	return parse_power_of_two(text, 64, 65536, field);
}

static int parse_window(const char *text, void *field)
{
	return parse_power_of_two(text, 8, 1024, field);
}

static int parse_pending(const char *text, void *field)
{
	return parse_power_of_two(text, 4, 1024, field);
}

static void print_number(const void *field, char *out, size_t out_size)
{
	snprintf(out, out_size, "%u", *(const uint32_t *)field);
}

/* "0.1.0". The field is peer.cell; bounds against the overlay are check.c's. */
static int parse_cell(const char *text, void *field)
{
	struct perron_descriptor_peer *peer =
	    (void *)((char *)field - offsetof(struct perron_descriptor_peer, cell));
	uint8_t depth = 0;

	if (!strcmp(text, "any")) {
		peer->cell_depth = 0;
		return 0;
	}
	for (;; text++) {
		uint32_t digits = 0, value = 0;
		for (; *text >= '0' && *text <= '9' && digits < 2; digits++)
			value = value * 10 + (uint32_t)(*text++ - '0');
		if (!digits || (*text && *text != '.'))
			return -EINVAL;
		if (depth == PERRON_DESCRIPTOR_DEPTH_MAX || value > 15)
			return -ERANGE;
		peer->cell[depth++] = (uint8_t)value;
		if (!*text)
			break;
	}
	if (peer->cell[0])
		return -ERANGE;
	peer->cell_depth = depth;
	return 0;
}

static void print_cell(const void *field, char *out, size_t out_size)
{
	const struct perron_descriptor_peer *peer =
	    (const void *)((const char *)field - offsetof(struct perron_descriptor_peer, cell));
	size_t at = 0;

	if (!peer->cell_depth)
		snprintf(out, out_size, "any");
	for (uint8_t i = 0; i < peer->cell_depth; i++)
		at +=
		    (size_t)snprintf(out + at, out_size - at, "%s%u", i ? "." : "", peer->cell[i]);
}

static const struct perron_option any_duration = {"duration", PERRON_OPTION_DURATION, NULL, ""};

/* "auto" is 0 until what it follows is known (parse.c). */
static int parse_duration_or_auto(const char *text, uint64_t min_ns, uint64_t max_ns, void *field)
{
	char unused[PERRON_OPTION_ERROR_SIZE];
	int64_t number = 0;

	if (strcmp(text, "auto")) {
		int rc = perron_option_parse(&any_duration, text, &number, unused, sizeof(unused));
		if (rc)
			return rc;
		if (number < (int64_t)min_ns || number > (int64_t)max_ns)
			return -ERANGE;
	}
	*(uint64_t *)field = (uint64_t)number;
	return 0;
}

static int parse_interval(const char *text, void *field)
{
	return parse_duration_or_auto(text, MS, 10ull * S, field);
}

static int parse_timeout(const char *text, void *field)
{
	return parse_duration_or_auto(text, 2 * MS, 60ull * S, field);
}

static void print_duration(const void *field, char *out, size_t out_size)
{
	perron_option_format(&any_duration, (int64_t)*(const uint64_t *)field, out, out_size);
}

#define FIELD(type, member) offsetof(struct type, member), sizeof(((struct type *)0)->member)
#define TEXT		    PERRON_OPTION_TEXT
#define INTEGER		    PERRON_OPTION_INTEGER
#define DURATION	    PERRON_OPTION_DURATION
#define SIZE		    PERRON_OPTION_SIZE
#define SHARE		    PERRON_OPTION_SHARE
#define CHOICE		    PERRON_OPTION_CHOICE

/* clang-format off */
#define OVERLAY(member) FIELD(perron_descriptor_overlay, member)
const struct perron_schema_key perron_schema_overlay[] = {
	{{"id", INTEGER, "1", "", .min = 1, .max = UINT32_MAX}, OVERLAY(id)},
	{{"kind", CHOICE, "p3", "", .choices = "p3"}, OVERLAY(kind)},
	{{"port_base", INTEGER, "7400", "", .min = 1, .max = 65532}, OVERLAY(port_base)},
	{{"depth", INTEGER, "3", "", .min = 1, .max = 8}, OVERLAY(depth)},
	{{"span", INTEGER, "2", "", .min = 1, .max = 16}, OVERLAY(span)},
	{{"cell_size", INTEGER, "2", "", .min = 1, .max = 16}, OVERLAY(cell_size)},
	{{"beat_interval", DURATION, "50ms", "", .min = MS, .max = 10ll * S},
	 OVERLAY(beat_interval_ns)},
	{{"beat_timeout", DURATION, "250ms", "", .min = 2 * MS, .max = 60ll * S},
	 OVERLAY(beat_timeout_ns)},
	{{"lease", DURATION, "2s", "", .min = 10 * MS, .max = 600ll * S}, OVERLAY(lease_ns)},
	{{"portal", TEXT, NULL,
	  "a list of the root cell's peers, each {peer: ID, address: A.B.C.D}"},
	 OVERLAY(portal), .nested = perron_schema_read_portal},
	{{NULL}},
};

#define PORTAL(member) FIELD(perron_descriptor_portal, member)
const struct perron_schema_key perron_schema_portal[] = {
	{{"peer", INTEGER, NULL, "the peer's id", .min = 1, .max = UINT32_MAX}, PORTAL(peer)},
	{{"address", TEXT, NULL, "an IPv4 address of a station, such as 10.0.0.1"},
	 PORTAL(address), .parse = parse_host_field, .print = print_host},
	{{NULL}},
};

#define STATION(member) FIELD(perron_descriptor_station, member)
const struct perron_schema_key perron_schema_station[] = {
	{{"name", TEXT, NULL, "a name of 1 to 31 letters, digits, '.', '_' or '-'"},
	 STATION(name), .parse = parse_station_name, .print = print_name},
	{{"address", TEXT, NULL, "an IPv4 address with its prefix length, such as 10.0.0.1/24"},
	 STATION(address), .parse = parse_station_address, .print = print_station_address},
	{{"gateway", TEXT, "none", "an IPv4 address such as 10.0.0.254, or none"},
	 STATION(gateway), .parse = parse_gateway, .print = print_host},
	{{"idle", CHOICE, "auto", "", .choices = "auto|spin|backoff|interrupt"}, STATION(idle)},
	{{"backoff_max", DURATION, "100us", "", .min = 1000, .max = 100 * MS},
	 STATION(backoff_max_ns)},
	{{"housekeeping_core", TEXT, "auto", "a core from 0 to 1023, or auto"},
	 STATION(housekeeping_core), .parse = parse_core, .print = print_core},
	{{"lcores", TEXT, "auto", "up to 64 cores, each once, such as [1, 2] or 1-3, or auto"},
	 STATION(lcores), .parse = parse_lcores, .print = print_lcores, .list = true},
	{{"memory", SIZE, "64MB", "", .min = 16 << 20, .max = 64ll << 30}, STATION(memory_size)},
	{{"huge_pages", CHOICE, "auto", "", .choices = "auto|no|required"}, STATION(huge_pages)},
	{{"socket", TEXT, "", "an absolute path of at most 107 characters"}, STATION(socket)},
	{{"turn_threshold", DURATION, "100us", "", .min = 1000, .max = S},
	 STATION(turn_threshold_ns)},
	{{"scheduling", CHOICE, "other", "", .choices = "other|fifo"}, STATION(scheduling)},
	{{"priority", INTEGER, "50", "", .min = 1, .max = 99}, STATION(priority)},
	{{NULL}},
};

const struct perron_schema_key perron_schema_port[] = {
	{{"driver", TEXT, NULL, "the name of a port driver, such as af_packet"},
	 FIELD(perron_descriptor_port, driver.name), .parse = parse_sensor_name,
	 .print = print_name},
	{{"impair", TEXT, "", "a mapping of delay, jitter, loss, duplicate, reorder, seed"},
	 FIELD(perron_descriptor_port, impair), .nested = perron_schema_read_impair},
	{{NULL}},
};

#define IMPAIR(member) FIELD(perron_descriptor_impair, member)
const struct perron_schema_key perron_schema_impair[] = {
	{{"delay", DURATION, "0ns", "", .min = 0, .max = 10ll * S}, IMPAIR(delay_ns)},
	{{"jitter", DURATION, "0ns", "", .min = 0, .max = 10ll * S}, IMPAIR(jitter_ns)},
	{{"loss", SHARE, "0%", "", .min = 0, .max = 1000000}, IMPAIR(loss_ppm)},
	{{"duplicate", SHARE, "0%", "", .min = 0, .max = 1000000}, IMPAIR(duplicate_ppm)},
	{{"reorder", SHARE, "0%", "", .min = 0, .max = 1000000}, IMPAIR(reorder_ppm)},
	{{"seed", INTEGER, "1", ""}, IMPAIR(seed)},
	{{NULL}},
};

#define PEER(member) FIELD(perron_descriptor_peer, member)
const struct perron_schema_key perron_schema_peer[] = {
	{{"id", INTEGER, NULL, "the peer's id, a number above 0", .min = 1, .max = UINT32_MAX},
	 PEER(id)},
	{{"cell", TEXT, "any",
	  "a cell such as 0.1.0 (the root is 0; 8 levels, 0 to 15 each), or any"},
	 PEER(cell), .parse = parse_cell, .print = print_cell},
	{{"lcore", TEXT, "auto", "a core from 0 to 1023, or auto"},
	 PEER(lcore), .parse = parse_core, .print = print_core},
	{{NULL}},
};

#define SENSOR(member) FIELD(perron_descriptor_sensor, member)
const struct perron_schema_key perron_schema_sensor[] = {
	{{"name", TEXT, NULL, "a name of 1 to 31 letters, digits, '.', '_', '/' or '-'"},
	 SENSOR(name), .parse = parse_sensor_name, .print = print_name},
	{{"peer", INTEGER, NULL, "the id of one of the peers here", .min = 1, .max = UINT32_MAX},
	 SENSOR(peer)},
	{{"driver", TEXT, NULL, "the name of a sensor driver, such as serial"},
	 SENSOR(driver.name), .parse = parse_sensor_name, .print = print_name},
	{{"class", CHOICE, "normal", "", .choices = "alarm|critical|normal"}, SENSOR(class)},
	{{NULL}},
};

#define LIMITS(member) FIELD(perron_descriptor_limits, member)
const struct perron_schema_key perron_schema_limits[] = {
	{{"links", INTEGER, "64", "", .min = 4, .max = 1024}, LIMITS(links)},
	{{"streams", INTEGER, "256", "", .min = 1, .max = 65536}, LIMITS(streams)},
	{{"clients", INTEGER, "64", "", .min = 1, .max = 4096}, LIMITS(clients)},
	{{"sensors", INTEGER, "1024", "", .min = 1, .max = 65536}, LIMITS(sensors)},
	{{"buffers", INTEGER, "8192", "", .min = 512, .max = 1 << 22}, LIMITS(buffers)},
	{{"ring", TEXT, "1024", "a power of two from 64 to 65536"}, LIMITS(ring),
	 .parse = parse_ring, .print = print_number},
	{{NULL}},
};

/* The defaults are perron_group_config_default's; a test compares. */
#define GROUP(member) FIELD(perron_descriptor_group, member)
const struct perron_schema_key perron_schema_group[] = {
	{{"window", TEXT, "64", "a power of two from 8 to 1024"}, GROUP(window),
	 .parse = parse_window, .print = print_number},
	{{"pending", TEXT, "64", "a power of two from 4 to 1024"}, GROUP(pending),
	 .parse = parse_pending, .print = print_number},
	{{"groups", INTEGER, "64", "", .min = 1, .max = 256}, GROUP(groups)},
	{{"resend", DURATION, "3ms", "", .min = 100000, .max = S}, GROUP(resend_ns)},
	{{"attempt", DURATION, "20ms", "", .min = MS, .max = 10ll * S}, GROUP(attempt_ns)},
	{{"hello", DURATION, "100ms", "", .min = MS, .max = 10ll * S}, GROUP(hello_ns)},
	{{"exclude", DURATION, "500ms", "", .min = MS, .max = 60ll * S}, GROUP(exclude_ns)},
	{{"acknowledge", DURATION, "1ms", "", .min = 1000, .max = S}, GROUP(acknowledge_ns)},
	{{NULL}},
};

#define LINK(member) FIELD(perron_descriptor_link, member)
#define LINK_TIMES                                                                                 \
	{{"interval", TEXT, "auto", "a duration from 1ms to 10s, or auto"}, LINK(interval_ns),     \
	 .parse = parse_interval, .print = print_duration},                                        \
	{{"timeout_min", TEXT, "auto", "a duration from 2ms to 60s, or auto"},                     \
	 LINK(timeout_ns_min), .parse = parse_timeout, .print = print_duration},                   \
	{{"timeout_max", TEXT, "auto", "a duration from 2ms to 60s, or auto"},                     \
	 LINK(timeout_ns_max), .parse = parse_timeout, .print = print_duration}
const struct perron_schema_key perron_schema_detector[] = {
	{{"kind", CHOICE, "accrual", "", .choices = "auto|accrual|push|pull"}, LINK(kind)},
	LINK_TIMES,
	{{"links", TEXT, "", "a list of up to 64 links, each {peer: ID}"},
	 offsetof(struct perron_descriptor_detector, links),
	 sizeof(((struct perron_descriptor_detector *)0)->links),
	 .nested = perron_schema_read_links},
	{{NULL}},
};

const struct perron_schema_key perron_schema_link[] = {
	{{"peer", INTEGER, NULL, "the id of the peer at the other end", .min = 1,
	  .max = UINT32_MAX}, LINK(peer)},
	{{"kind", CHOICE, "auto", "", .choices = "auto|accrual|push|pull"}, LINK(kind)},
	LINK_TIMES,
	{{NULL}},
};

#define ROOT(member) FIELD(perron_descriptor, member)
const struct perron_schema_key perron_schema_root[] = {
	{{"overlay", TEXT, NULL, "a mapping that has at least 'portal'"},
	 ROOT(overlay), .nested = perron_schema_read_overlay},
	{{"station", TEXT, NULL, "a mapping that has at least 'name' and 'address'"},
	 ROOT(station), .nested = perron_schema_read_station},
	{{"port", TEXT, "", "a mapping that has at least 'driver'"},
	 ROOT(ports), .nested = perron_schema_read_port},
	{{"ports", TEXT, "", "a list of up to 4 ports"},
	 ROOT(ports), .nested = perron_schema_read_ports},
	{{"peers", TEXT, NULL, "a list of 1 to 64 peers, each {id: ID}"},
	 ROOT(peers), .nested = perron_schema_read_peers},
	{{"sensors", TEXT, "", "a list of up to 64 sensors"},
	 ROOT(sensors), .nested = perron_schema_read_sensors},
	{{"limits", TEXT, "", "a mapping"}, ROOT(limits), .nested = perron_schema_read_limits},
	{{"detector", TEXT, "", "a mapping of kind, interval, timeout_min, timeout_max, links"},
	 ROOT(detector), .nested = perron_schema_read_detector},
	{{"group", TEXT, "", "a mapping"}, ROOT(group), .nested = perron_schema_read_group},
	{{NULL}},
};
/* clang-format on */

const struct perron_schema_key *perron_schema_section(const char *name)
{
	static const struct {
		const char *name;
		const struct perron_schema_key *keys;
	} sections[] = {
	    {"overlay", perron_schema_overlay}, {"portal", perron_schema_portal},
	    {"station", perron_schema_station}, {"port", perron_schema_port},
	    {"impair", perron_schema_impair},	{"peers", perron_schema_peer},
	    {"sensors", perron_schema_sensor},	{"limits", perron_schema_limits},
	    {"detector", perron_schema_detector}, {"links", perron_schema_link},
	    {"group", perron_schema_group},
	};

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (!strcmp(sections[i].name, name))
			return sections[i].keys;
	}
	return NULL;
}

void perron_schema_store(void *field, size_t size, int64_t number)
{
	uint8_t n8 = (uint8_t)number;
	uint16_t n16 = (uint16_t)number;
	uint32_t n32 = (uint32_t)number;

	PERRON_ASSERT(size == 1 || size == 2 || size == 4 || size == 8);
	if (size == 1)
		memcpy(field, &n8, size);
	else if (size == 2)
		memcpy(field, &n16, size);
	else if (size == 4)
		memcpy(field, &n32, size);
	else
		memcpy(field, &number, size);
}

int64_t perron_schema_fetch(const void *field, size_t size)
{
	uint8_t n8;
	uint16_t n16;
	uint32_t n32;
	int64_t n64;

	PERRON_ASSERT(size == 1 || size == 2 || size == 4 || size == 8);
	if (size == 1) {
		memcpy(&n8, field, size);
		return n8;
	}
	if (size == 2) {
		memcpy(&n16, field, size);
		return n16;
	}
	if (size == 4) {
		memcpy(&n32, field, size);
		return n32;
	}
	memcpy(&n64, field, size);
	return n64;
}
