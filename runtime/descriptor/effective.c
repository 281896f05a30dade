/* Prints the descriptor in force, each value with where it comes from. */
#include <string.h>

#include "runtime/descriptor/schema.h"

struct printer {
	const struct perron_descriptor *d;
	FILE *out;
};

/* Plain where YAML reads the text back as it is; else in double quotes. */
static void quote(const char *text, char *out, size_t out_size)
{
	bool plain = *text != 0 && !strchr("-.[{!&*?|>@`\"'%#,:", *text);
	size_t at = 0;

	for (const char *c = text; *c && plain; c++)
		plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			(*c >= '0' && *c <= '9') || strchr("._/-+%", *c);
	if (plain || out_size < 3) {
		snprintf(out, out_size, "%s", text);
		return;
	}
	out[at++] = '"';
	for (const char *c = text; *c && at + 4 < out_size; c++) {
		if (*c == '"' || *c == '\\')
			out[at++] = '\\';
		out[at++] = *c;
	}
	out[at++] = '"';
	out[at] = 0;
}

static void print_line(const struct printer *printer, const char *indent, const char *key,
		       const char *value, struct perron_descriptor_place place)
{
	int width = fprintf(printer->out, "%s%s: %s", indent, key, value);
	int pad = width < 40 ? 40 - width : 1;

	if (place.line)
		fprintf(printer->out, "%*s# from %s:%u\n", pad, "", printer->d->file, place.line);
	else
		fprintf(printer->out, "%*s# default\n", pad, "");
}

static void print_key(const struct printer *printer, const char *indent,
		      const struct perron_schema_key *key, const void *base,
		      struct perron_descriptor_place place)
{
	/* 64 cores of up to 4 digits are the longest. */
	char value[2 * PERRON_OPTION_VALUE_SIZE + 8], raw[2 * PERRON_OPTION_VALUE_SIZE];
	const char *field = (const char *)base + key->offset;

	if (key->list) {
		key->print(field, value, sizeof(value));
	} else if (key->print) {
		key->print(field, raw, sizeof(raw));
		quote(raw, value, sizeof(value));
	} else if (key->option.kind == PERRON_OPTION_TEXT) {
		quote(field, value, sizeof(value));
	} else {
		perron_option_format(&key->option, perron_schema_fetch(field, key->size), value,
				     sizeof(value));
	}
	print_line(printer, indent, key->option.name, value, place);
}

/* `first` indents the first key: of a list's item, "- ". */
static void print_section(const struct printer *printer, const char *first, const char *indent,
			  const struct perron_schema_key *keys, const void *base,
			  const struct perron_descriptor_places *places)
{
	for (uint32_t i = 0; keys[i].option.name; i++) {
		if (keys[i].nested)
			continue;
		print_key(printer, first, &keys[i], base, places->of[i]);
		first = indent;
	}
}

static void print_driver_options(const struct printer *printer, const char *indent,
				 const struct perron_descriptor_driver *driver,
				 const struct perron_descriptor_drivers *family)
{
	const struct perron_option *table = family ? family->options(driver->name) : NULL;
	char text[PERRON_OPTION_VALUE_SIZE * 2 + 8];

	for (uint32_t i = 0; i < driver->option_count; i++) {
		const struct perron_option_value *value = &driver->options[i];
		char key[PERRON_OPTION_KEY_SIZE * 2 + 8];
		quote(value->key, key, sizeof(key));
		quote(value->value, text, sizeof(text));
		print_line(printer, indent, key, text,
			   (struct perron_descriptor_place){value->line, value->column});
	}
	for (; table && table->name; table++) {
		bool set = !table->default_text || !*table->default_text;
		for (uint32_t i = 0; i < driver->option_count && !set; i++)
			set = !strcmp(driver->options[i].key, table->name);
		if (set)
			continue;
		quote(table->default_text, text, sizeof(text));
		print_line(printer, indent, table->name, text, (struct perron_descriptor_place){0});
	}
}

static void print_overlay(const struct printer *printer)
{
	const struct perron_descriptor_overlay *overlay = &printer->d->overlay;

	fprintf(printer->out, "overlay:\n");
	print_section(printer, "  ", "  ", perron_schema_overlay, overlay, &overlay->places);
	fprintf(printer->out, "  portal:\n");
	for (uint32_t i = 0; i < overlay->portal_count; i++)
		print_section(printer, "  - ", "    ", perron_schema_portal, &overlay->portal[i],
			      &overlay->portal[i].places);
}

static void print_ports(const struct printer *printer,
			const struct perron_descriptor_drivers *family)
{
	if (printer->d->port_count)
		fprintf(printer->out, "ports:\n");
	for (uint32_t i = 0; i < printer->d->port_count; i++) {
		const struct perron_descriptor_port *port = &printer->d->ports[i];
		struct perron_descriptor_places places = {.of = {port->driver.place}};
		print_section(printer, "- ", "  ", perron_schema_port, port, &places);
		print_driver_options(printer, "  ", &port->driver, family);
		if (!port->impair.set)
			continue;
		fprintf(printer->out, "  impair:\n");
		print_section(printer, "    ", "    ", perron_schema_impair, &port->impair,
			      &port->impair.places);
	}
}

static void print_sensors(const struct printer *printer,
			  const struct perron_descriptor_drivers *family)
{
	if (printer->d->sensor_count)
		fprintf(printer->out, "sensors:\n");
	for (uint32_t i = 0; i < printer->d->sensor_count; i++) {
		const struct perron_descriptor_sensor *sensor = &printer->d->sensors[i];
		print_section(printer, "- ", "  ", perron_schema_sensor, sensor, &sensor->places);
		print_driver_options(printer, "  ", &sensor->driver, family);
	}
}

static void print_detector(const struct printer *printer)
{
	const struct perron_descriptor_detector *detector = &printer->d->detector;

	fprintf(printer->out, "detector:\n");
	print_section(printer, "  ", "  ", perron_schema_detector, &detector->all,
		      &detector->all.places);
	if (detector->link_count)
		fprintf(printer->out, "  links:\n");
	for (uint32_t i = 0; i < detector->link_count; i++)
		print_section(printer, "  - ", "    ", perron_schema_link, &detector->links[i],
			      &detector->links[i].places);
}

void perron_descriptor_print_effective(const struct perron_descriptor *descriptor,
				       const struct perron_descriptor_drivers *ports,
				       const struct perron_descriptor_drivers *sensors, FILE *out)
{
	struct printer printer = {descriptor, out};

	PERRON_ASSERT(descriptor != NULL && out != NULL);
	print_overlay(&printer);
	fprintf(out, "station:\n");
	print_section(&printer, "  ", "  ", perron_schema_station, &descriptor->station,
		      &descriptor->station.places);
	print_detector(&printer);
	print_ports(&printer, ports);
	fprintf(out, "peers:\n");
	for (uint32_t i = 0; i < descriptor->peer_count; i++)
		print_section(&printer, "- ", "  ", perron_schema_peer, &descriptor->peers[i],
			      &descriptor->peers[i].places);
	print_sensors(&printer, sensors);
	fprintf(out, "limits:\n");
	print_section(&printer, "  ", "  ", perron_schema_limits, &descriptor->limits,
		      &descriptor->limits.places);
	fprintf(out, "group:\n");
	print_section(&printer, "  ", "  ", perron_schema_group, &descriptor->group,
		      &descriptor->group.places);
}
