/* Reads YAML by the schema: nodes of libyaml in, the bounded struct out. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/descriptor/schema.h"

struct perron_yaml {
	struct perron_descriptor *out;
	const char *file;
	yaml_document_t *document;
	char *error;
	size_t error_size;
};

__attribute__((format(printf, 3, 4))) static int fail(struct perron_yaml *yaml, yaml_mark_t mark,
						      const char *format, ...)
{
	int at = snprintf(yaml->error, yaml->error_size, "%s:%zu:%zu: ", yaml->file, mark.line + 1,
			  mark.column + 1);
	va_list arguments;

	va_start(arguments, format);
	if (at > 0 && (size_t)at < yaml->error_size)
		vsnprintf(yaml->error + at, yaml->error_size - (size_t)at, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static struct perron_descriptor_place place_of(const yaml_node_t *node)
{
	return (struct perron_descriptor_place){
	    .line = (uint32_t)node->start_mark.line + 1,
	    .column = (uint32_t)node->start_mark.column + 1,
	};
}

static const char *node_word(const yaml_node_t *node)
{
	if (node->type == YAML_MAPPING_NODE)
		return "a mapping";
	if (node->type == YAML_SEQUENCE_NODE)
		return "a list";
	return node->data.scalar.length ? "a single value" : "empty";
}

/* Copies a scalar's text: at most size - 1 printable characters. */
static int read_text(struct perron_yaml *yaml, const char *name, const yaml_node_t *node, char *out,
		     size_t size)
{
	if (node->type != YAML_SCALAR_NODE)
		return fail(yaml, node->start_mark, "'%s' is %s; expected a single value", name,
			    node_word(node));
	const yaml_char_t *text = node->data.scalar.value;
	size_t length = node->data.scalar.length;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < 32 || text[i] == 127)
			return fail(yaml, node->start_mark,
				    "'%s' has a control character; expected plain text", name);
	}
	if (length >= size)
		return fail(yaml, node->start_mark,
			    "'%s' is too long (%zu bytes); expected at most %zu", name, length,
			    size - 1);
	memcpy(out, text, length);
	out[length] = 0;
	return 0;
}

static void describe(const struct perron_schema_key *key, char *out, size_t out_size)
{
	if (key->parse || key->nested || *key->option.help)
		snprintf(out, out_size, "%s", key->option.help);
	else
		perron_option_expected(&key->option, out, out_size);
}

/* Joins a list of scalars with commas, so that one parser does for both spellings. */
static int read_joined(struct perron_yaml *yaml, const char *name, const yaml_node_t *node,
		       char *out, size_t size)
{
	size_t at = 0;

	out[0] = 0;
	for (const yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top; item++) {
		const yaml_node_t *child = yaml_document_get_node(yaml->document, *item);
		if (at && at + 1 < size)
			out[at++] = ',';
		int rc = read_text(yaml, name, child, out + at, size - at);
		if (rc)
			return rc;
		at += strlen(out + at);
	}
	return 0;
}

static int parse_value(const struct perron_schema_key *key, const char *text, void *field)
{
	char expected[PERRON_OPTION_ERROR_SIZE];
	int64_t number;

	if (key->parse)
		return key->parse(text, field);
	int rc = perron_option_parse(&key->option, text, &number, expected, sizeof(expected));
	if (rc)
		return rc;
	if (key->option.kind != PERRON_OPTION_TEXT) {
		perron_schema_store(field, key->size, number);
		return 0;
	}
	if (strlen(text) >= key->size)
		return -ERANGE;
	memcpy(field, text, strlen(text) + 1);
	return 0;
}

static int read_value(struct perron_yaml *yaml, const struct perron_schema_key *key,
		      yaml_node_t *node, void *field)
{
	char text[PERRON_OPTION_VALUE_SIZE], expected[PERRON_OPTION_ERROR_SIZE];
	int rc;

	if (key->nested)
		return key->nested(yaml, node, field);
	if (key->list && node->type == YAML_SEQUENCE_NODE)
		rc = read_joined(yaml, key->option.name, node, text, sizeof(text));
	else
		rc = read_text(yaml, key->option.name, node, text, sizeof(text));
	if (rc)
		return rc;
	rc = parse_value(key, text, field);
	if (!rc)
		return 0;
	describe(key, expected, sizeof(expected));
	return fail(yaml, node->start_mark, "'%s' is %s: '%s'; expected %s", key->option.name,
		    rc == -ERANGE ? "out of range" : "ill-typed", text, expected);
}

static void set_defaults(const struct perron_schema_key *keys, void *base)
{
	for (; keys->option.name; keys++) {
		if (keys->nested || !keys->option.default_text)
			continue;
		int rc = parse_value(keys, keys->option.default_text, (char *)base + keys->offset);
		PERRON_ASSERT(rc == 0);
	}
}

static int fail_unknown(struct perron_yaml *yaml, const char *section,
			const struct perron_schema_key *keys, const yaml_node_t *node,
			const char *name)
{
	uint32_t best = (uint32_t)strlen(name) / 3 + 2;
	const char *nearest = NULL;
	char all[PERRON_OPTION_ERROR_SIZE];
	size_t at = 0;

	for (; keys->option.name; keys++) {
		uint32_t distance = perron_option_distance(keys->option.name, name);
		if (distance < best) {
			best = distance;
			nearest = keys->option.name;
		}
		if (at < sizeof(all))
			at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", at ? ", " : "",
					       keys->option.name);
	}
	if (nearest)
		return fail(yaml, node->start_mark,
			    "unknown key '%s' in %s; expected '%s' (did you mean it?)", name,
			    section, nearest);
	return fail(yaml, node->start_mark, "unknown key '%s' in %s; expected one of %s", name,
		    section, all);
}

static int read_driver_option(struct perron_yaml *yaml, const char *name,
			      const yaml_node_t *key_node, const yaml_node_t *node,
			      struct perron_descriptor_driver *driver)
{
	for (uint32_t i = 0; i < driver->option_count; i++) {
		if (!strcmp(driver->options[i].key, name))
			return fail(yaml, key_node->start_mark,
				    "'%s' is given twice; expected once", name);
	}
	if (driver->option_count == PERRON_OPTION_COUNT_MAX)
		return fail(yaml, key_node->start_mark,
			    "too many keys for a driver; expected at most %u",
			    PERRON_OPTION_COUNT_MAX);
	struct perron_option_value *value = &driver->options[driver->option_count];
	int rc = read_text(yaml, name, node, value->value, sizeof(value->value));
	if (rc)
		return rc;
	snprintf(value->key, sizeof(value->key), "%s", name);
	value->line = place_of(node).line;
	value->column = place_of(node).column;
	driver->option_count++;
	return 0;
}

/* What a section's reader needs to know; `driver` takes the keys that the schema does not know. */
struct section {
	const char *name;
	const struct perron_schema_key *keys;
	void *base;
	struct perron_descriptor_places *places;
	struct perron_descriptor_driver *driver;
};

static int read_pair(struct perron_yaml *yaml, const struct section *section,
		     const yaml_node_pair_t *pair)
{
	const yaml_node_t *key_node = yaml_document_get_node(yaml->document, pair->key);
	yaml_node_t *node = yaml_document_get_node(yaml->document, pair->value);
	char name[PERRON_OPTION_KEY_SIZE];
	uint32_t index = 0;

	int rc = read_text(yaml, "a key", key_node, name, sizeof(name));
	if (rc)
		return rc;
	const struct perron_schema_key *keys = section->keys;
	while (keys[index].option.name && strcmp(keys[index].option.name, name))
		index++;
	if (!keys[index].option.name) {
		if (section->driver)
			return read_driver_option(yaml, name, key_node, node, section->driver);
		return fail_unknown(yaml, section->name, keys, key_node, name);
	}
	PERRON_ASSERT(index < PERRON_DESCRIPTOR_KEY_MAX);
	if (section->places->of[index].line)
		return fail(yaml, key_node->start_mark, "'%s' is given twice; expected once", name);
	section->places->of[index] = place_of(node);
	return read_value(yaml, &keys[index], node, (char *)section->base + keys[index].offset);
}

static int read_section(struct perron_yaml *yaml, const yaml_node_t *node,
			const struct section *section)
{
	char expected[PERRON_OPTION_ERROR_SIZE];

	set_defaults(section->keys, section->base);
	if (node->type != YAML_MAPPING_NODE)
		return fail(yaml, node->start_mark, "%s is %s; expected a mapping (key: value)",
			    section->name, node_word(node));
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		int rc = read_pair(yaml, section, pair);
		if (rc)
			return rc;
	}
	for (uint32_t i = 0; section->keys[i].option.name; i++) {
		const struct perron_schema_key *key = &section->keys[i];
		if (key->option.default_text || section->places->of[i].line)
			continue;
		describe(key, expected, sizeof(expected));
		return fail(yaml, node->start_mark, "'%s' is missing in %s; expected %s",
			    key->option.name, section->name, expected);
	}
	return 0;
}

static int read_list(struct perron_yaml *yaml, const yaml_node_t *node, const char *name,
		     uint32_t min, uint32_t max, uint32_t *count,
		     int (*read_item)(struct perron_yaml *yaml, yaml_node_t *item, uint32_t index))
{
	*count = 0;
	if (node->type != YAML_SEQUENCE_NODE)
		return fail(yaml, node->start_mark, "'%s' is %s; expected a list (- item)", name,
			    node_word(node));
	const yaml_node_item_t *start = node->data.sequence.items.start;
	size_t size = (size_t)(node->data.sequence.items.top - start);
	if (size < min || size > max)
		return fail(yaml, node->start_mark, "'%s' has %zu entries; expected %u to %u", name,
			    size, min, max);
	for (; *count < size; ++*count) {
		int rc =
		    read_item(yaml, yaml_document_get_node(yaml->document, start[*count]), *count);
		if (rc)
			return rc;
	}
	return 0;
}

int perron_schema_read_overlay(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	struct perron_descriptor_overlay *overlay = field;

	return read_section(
	    yaml, node,
	    &(struct section){"overlay", perron_schema_overlay, overlay, &overlay->places, NULL});
}

static int read_portal_item(struct perron_yaml *yaml, yaml_node_t *item, uint32_t index)
{
	struct perron_descriptor_portal *portal = &yaml->out->overlay.portal[index];

	return read_section(yaml, item,
			    &(struct section){"an entry of portal", perron_schema_portal, portal,
					      &portal->places, NULL});
}

int perron_schema_read_portal(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	PERRON_ASSERT(field == yaml->out->overlay.portal);
	return read_list(yaml, node, "portal", 1, PERRON_DESCRIPTOR_PORTAL_MAX,
			 &yaml->out->overlay.portal_count, read_portal_item);
}

int perron_schema_read_station(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	struct perron_descriptor_station *station = field;
	int rc = read_section(
	    yaml, node,
	    &(struct section){"station", perron_schema_station, station, &station->places, NULL});
	if (rc)
		return rc;
	struct perron_descriptor_place place =
	    perron_descriptor_place_of(&station->places, "station", "socket");
	if (!place.line) {
		/* The name is at most 31 characters. */
		snprintf(station->socket, sizeof(station->socket), "/run/perron/%.31s.sock",
			 station->name);
	} else if (station->socket[0] != '/') {
		yaml_mark_t mark = {.line = place.line - 1, .column = place.column - 1};
		return fail(yaml, mark, "'socket' is ill-typed: '%s'; expected %s", station->socket,
			    "an absolute path of at most 107 characters");
	}
	return 0;
}

static int read_port_item(struct perron_yaml *yaml, yaml_node_t *item, uint32_t index)
{
	struct perron_descriptor_port *port = &yaml->out->ports[index];
	struct perron_descriptor_places places = {0};
	int rc = read_section(
	    yaml, item,
	    &(struct section){"port", perron_schema_port, port, &places, &port->driver});

	port->place = place_of(item);
	port->driver.place = places.of[0];
	return rc;
}

static int fail_both(struct perron_yaml *yaml, const yaml_node_t *node)
{
	return fail(yaml, node->start_mark,
		    "both 'port' and 'ports' are given; expected one of them");
}

int perron_schema_read_port(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	PERRON_ASSERT(field == yaml->out->ports);
	if (yaml->out->port_count)
		return fail_both(yaml, node);
	yaml->out->port_count = 1;
	return read_port_item(yaml, node, 0);
}

int perron_schema_read_ports(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	PERRON_ASSERT(field == yaml->out->ports);
	if (yaml->out->port_count)
		return fail_both(yaml, node);
	return read_list(yaml, node, "ports", 1, PERRON_DESCRIPTOR_PORT_MAX, &yaml->out->port_count,
			 read_port_item);
}

int perron_schema_read_impair(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	struct perron_descriptor_impair *impair = field;

	impair->set = true;
	return read_section(
	    yaml, node,
	    &(struct section){"impair", perron_schema_impair, impair, &impair->places, NULL});
}

static int read_peer_item(struct perron_yaml *yaml, yaml_node_t *item, uint32_t index)
{
	struct perron_descriptor_peer *peer = &yaml->out->peers[index];

	return read_section(
	    yaml, item,
	    &(struct section){"an entry of peers", perron_schema_peer, peer, &peer->places, NULL});
}

int perron_schema_read_peers(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	PERRON_ASSERT(field == yaml->out->peers);
	return read_list(yaml, node, "peers", 1, PERRON_DESCRIPTOR_PEER_MAX, &yaml->out->peer_count,
			 read_peer_item);
}

static int read_sensor_item(struct perron_yaml *yaml, yaml_node_t *item, uint32_t index)
{
	struct perron_descriptor_sensor *sensor = &yaml->out->sensors[index];
	int rc = read_section(yaml, item,
			      &(struct section){"an entry of sensors", perron_schema_sensor, sensor,
						&sensor->places, &sensor->driver});

	sensor->place = place_of(item);
	sensor->driver.place = perron_descriptor_place_of(&sensor->places, "sensors", "driver");
	return rc;
}

int perron_schema_read_sensors(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	PERRON_ASSERT(field == yaml->out->sensors);
	return read_list(yaml, node, "sensors", 0, PERRON_DESCRIPTOR_SENSOR_MAX,
			 &yaml->out->sensor_count, read_sensor_item);
}

int perron_schema_read_limits(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	struct perron_descriptor_limits *limits = field;

	return read_section(
	    yaml, node,
	    &(struct section){"limits", perron_schema_limits, limits, &limits->places, NULL});
}

int perron_schema_read_detector(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	struct perron_descriptor_detector *detector = field;

	_Static_assert(offsetof(struct perron_descriptor_detector, all) == 0, "one base for both");
	return read_section(yaml, node,
			    &(struct section){"detector", perron_schema_detector, detector,
					      &detector->all.places, NULL});
}

static int read_link_item(struct perron_yaml *yaml, yaml_node_t *item, uint32_t index)
{
	struct perron_descriptor_link *link = &yaml->out->detector.links[index];

	return read_section(
	    yaml, item,
	    &(struct section){"an entry of links", perron_schema_link, link, &link->places, NULL});
}

int perron_schema_read_links(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	PERRON_ASSERT(field == yaml->out->detector.links);
	return read_list(yaml, node, "links", 0, PERRON_DESCRIPTOR_LINK_MAX,
			 &yaml->out->detector.link_count, read_link_item);
}

/* What was left to `auto` follows the section above: a link's the detector's, its the overlay's. */
static void link_resolve(struct perron_descriptor_link *link,
			 const struct perron_descriptor_link *above)
{
	bool follows = !link->interval_ns && !link->timeout_ns_max;

	if (link->kind == PERRON_DESCRIPTOR_DETECTOR_AUTO)
		link->kind = above->kind;
	if (!link->interval_ns)
		link->interval_ns = above->interval_ns;
	if (!link->timeout_ns_max)
		link->timeout_ns_max = above->timeout_ns_max;
	if (link->timeout_ns_min)
		return;
	/* Half of what is allowed at most, but two intervals at least. */
	link->timeout_ns_min = follows && above->timeout_ns_min ? above->timeout_ns_min
								: link->timeout_ns_max / 2;
	if (link->timeout_ns_min < 2 * link->interval_ns)
		link->timeout_ns_min = 2 * link->interval_ns;
}

static void detector_resolve(struct perron_descriptor *d)
{
	const struct perron_descriptor_link overlay = {
	    .kind = PERRON_DESCRIPTOR_DETECTOR_ACCRUAL,
	    .interval_ns = d->overlay.beat_interval_ns,
	    .timeout_ns_max = d->overlay.beat_timeout_ns,
	};

	link_resolve(&d->detector.all, &overlay);
	for (uint32_t i = 0; i < d->detector.link_count; i++)
		link_resolve(&d->detector.links[i], &d->detector.all);
}

int perron_schema_read_group(struct perron_yaml *yaml, yaml_node_t *node, void *field)
{
	struct perron_descriptor_group *group = field;

	return read_section(
	    yaml, node,
	    &(struct section){"group", perron_schema_group, group, &group->places, NULL});
}

static int read_root(struct perron_yaml *yaml)
{
	const yaml_node_t *root = yaml_document_get_root_node(yaml->document);
	struct perron_descriptor_places places = {0};
	int rc;

	if (!root)
		return fail(yaml, (yaml_mark_t){0},
			    "the file is empty; expected overlay, station and peers");
	set_defaults(perron_schema_limits, &yaml->out->limits);
	set_defaults(perron_schema_detector, &yaml->out->detector);
	set_defaults(perron_schema_group, &yaml->out->group);
	rc = read_section(
	    yaml, root,
	    &(struct section){"the descriptor", perron_schema_root, yaml->out, &places, NULL});
	if (rc)
		return rc;
	struct perron_descriptor *d = yaml->out;
	detector_resolve(d);
	for (uint32_t i = 0; i < d->sensor_count; i++) {
		while (d->sensors[i].peer_index < d->peer_count &&
		       d->peers[d->sensors[i].peer_index].id != d->sensors[i].peer)
			d->sensors[i].peer_index++;
	}
	return perron_schema_check(d, yaml->error, yaml->error_size);
}

/* libyaml gives encoding errors an offset and no mark. */
static yaml_mark_t mark_of_offset(const char *text, size_t size, size_t offset)
{
	yaml_mark_t mark = {0};

	for (size_t i = 0; i < size && i < offset; i++) {
		mark.column++;
		if (text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return mark;
}

static int fail_parser(struct perron_yaml *yaml, const yaml_parser_t *parser, const char *text,
		       size_t size)
{
	yaml_mark_t mark = parser->problem_mark;
	const char *problem = parser->problem ? parser->problem : "not YAML";

	if (parser->error == YAML_MEMORY_ERROR) {
		fail(yaml, mark, "out of memory; expected a smaller file");
		return -ENOMEM;
	}
	if (parser->error == YAML_READER_ERROR)
		mark = mark_of_offset(text, size, parser->problem_offset);
	if (strstr(problem, "cannot start any token"))
		return fail(yaml, mark, "%s; expected YAML (indent by spaces, not tabs)", problem);
	return fail(yaml, mark, "%s; expected YAML", problem);
}

/* Nothing but the end of the stream may follow. */
static int expect_end(struct perron_yaml *yaml, yaml_parser_t *parser, const char *text,
		      size_t size)
{
	yaml_document_t next;

	if (!yaml_parser_load(parser, &next))
		return fail_parser(yaml, parser, text, size);
	const yaml_node_t *root = yaml_document_get_root_node(&next);
	yaml_mark_t mark = root ? root->start_mark : (yaml_mark_t){0};
	int rc = root ? fail(yaml, mark, "a second document; expected one") : 0;
	yaml_document_delete(&next);
	return rc;
}

int perron_descriptor_parse(struct perron_descriptor *out, const char *file, const void *text,
			    size_t text_size, char *error, size_t error_size)
{
	struct perron_yaml yaml = {out, file, NULL, error, error_size};
	yaml_document_t document;
	yaml_parser_t parser;

	PERRON_ASSERT(out != NULL && file != NULL && error_size > 0);
	memset(out, 0, sizeof(*out));
	snprintf(out->file, sizeof(out->file), "%s", file);
	if (!yaml_parser_initialize(&parser)) {
		snprintf(error, error_size, "%s: out of memory", file);
		return -ENOMEM;
	}
	yaml_parser_set_input_string(&parser, text, text_size);
	int rc;
	if (!yaml_parser_load(&parser, &document)) {
		rc = fail_parser(&yaml, &parser, text, text_size);
	} else {
		yaml.document = &document;
		rc = read_root(&yaml);
		if (!rc)
			rc = expect_end(&yaml, &parser, text, text_size);
		yaml_document_delete(&document);
	}
	yaml_parser_delete(&parser);
	return rc;
}

int perron_descriptor_load(struct perron_descriptor *out, const char *file, char *error,
			   size_t error_size)
{
	FILE *in = fopen(file, "re");
	int rc = in ? 0 : -errno;

	if (!in) {
		snprintf(error, error_size, "%s: cannot be read (%s); expected a descriptor", file,
			 strerror(-rc));
		return rc;
	}
	char *text = malloc(PERRON_DESCRIPTOR_BYTES_MAX + 1);
	size_t size = text ? fread(text, 1, PERRON_DESCRIPTOR_BYTES_MAX + 1, in) : 0;
	if (!text || ferror(in)) {
		rc = text ? -EIO : -ENOMEM;
		snprintf(error, error_size, "%s: cannot be read (%s); expected a descriptor", file,
			 text && errno ? strerror(errno) : "input error");
	} else if (size > PERRON_DESCRIPTOR_BYTES_MAX) {
		rc = -EFBIG;
		snprintf(error, error_size, "%s: too long; expected at most %u bytes", file,
			 PERRON_DESCRIPTOR_BYTES_MAX);
	} else {
		rc = perron_descriptor_parse(out, file, text, size, error, error_size);
	}
	free(text);
	fclose(in);
	return rc;
}
