/* The constant table of port drivers, and their help. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/port/driver.h"

static const struct perron_port_api *const drivers[] = {
    &perron_port_af_packet, &perron_port_af_xdp, &perron_port_memif,
    &perron_port_pci,	    &perron_port_ring,	 &perron_port_tap,
};

uint32_t perron_port_driver_count(void)
{
	return sizeof(drivers) / sizeof(drivers[0]);
}

const struct perron_port_api *perron_port_driver_at(uint32_t index)
{
	PERRON_ASSERT(index < perron_port_driver_count());
	return drivers[index];
}

const struct perron_port_api *perron_port_driver_find(const char *name)
{
	for (uint32_t i = 0; i < perron_port_driver_count(); i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}

const struct perron_option *perron_port_driver_options(const char *name)
{
	const struct perron_port_api *api = perron_port_driver_find(name);
	return api ? api->options : NULL;
}

const char *perron_port_driver_name(uint32_t index)
{
	return index < perron_port_driver_count() ? drivers[index]->name : NULL;
}

struct text {
	char *out;
	size_t size;
	size_t used;
};

static void __attribute__((format(printf, 2, 3)))
text_add(struct text *text, const char *format, ...)
{
	bool room = text->used < text->size;
	va_list arguments;
	va_start(arguments, format);
	int n = vsnprintf(room ? text->out + text->used : NULL, room ? text->size - text->used : 0,
			  format, arguments);
	va_end(arguments);
	text->used += n > 0 ? (size_t)n : 0;
}

static const char *default_of(const struct perron_option *option)
{
	if (!option->default_text)
		return "";
	return option->default_text[0] ? option->default_text : "none";
}

static void driver_help(struct text *text, const struct perron_port_api *api)
{
	text_add(text, "%s: %s\n", api->name, api->summary);
	for (const struct perron_option *option = api->options; option->name; option++) {
		char expected[PERRON_OPTION_ERROR_SIZE];
		perron_option_expected(option, expected, sizeof(expected));
		text_add(text, "  %-12s %s; %s, %s%s\n", option->name, option->help, expected,
			 option->default_text ? "default " : "required", default_of(option));
	}
}

size_t perron_port_help(const struct perron_port_api *api, char *out, size_t size)
{
	struct text text = {out, size, 0};
	if (size)
		out[0] = 0;
	for (uint32_t i = 0; i < perron_port_driver_count(); i++)
		if (!api || api == drivers[i])
			driver_help(&text, drivers[i]);
	return text.used;
}
