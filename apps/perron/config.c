/* perron config check|show-effective FILE: the descriptor, without a station. */
#include <stdlib.h>
#include <string.h>

#include "apps/perron/cli.h"
#include "drivers/sensor/sensor.h"
#include "runtime/descriptor/descriptor.h"

/*
 * Sensor drivers are plain Linux and linked in; port drivers are DPDK's, and their own keys are
 * checked where they live: perrond does so before it starts anything.
 */
static const char *sensor_driver_name(uint32_t index)
{
	return index < perron_sensor_driver_count() ? perron_sensor_driver_at(index)->name : NULL;
}

static const struct perron_descriptor_drivers sensors = {perron_sensor_driver_options,
							 sensor_driver_name};

static void say_error(const struct cli *cli, const char *error)
{
	if (cli->json) {
		json_t *reply = json_pack("{s:b,s:s}", "ok", 0, "error", error);
		json_dumpf(reply, stdout, JSON_COMPACT);
		json_decref(reply);
		printf("\n");
	} else {
		fprintf(stderr, "%s\n", error);
	}
}

static void say_good(const struct cli *cli, const struct perron_descriptor *d)
{
	if (cli->json)
		printf("{\"ok\":true,\"file\":\"%s\",\"peers\":%u,\"sensors\":%u,\"ports\":%u}\n",
		       d->file, d->peer_count, d->sensor_count, d->port_count);
	else
		printf("%s: good: station %s, %u peers, %u sensors, %u ports\n", d->file,
		       d->station.name, d->peer_count, d->sensor_count, d->port_count);
}

/* The printed YAML as one JSON text: what is in force, for programs. */
static int show_effective(const struct cli *cli, const struct perron_descriptor *d)
{
	char *text = NULL;
	size_t size;

	if (!cli->json) {
		perron_descriptor_print_effective(d, NULL, &sensors, stdout);
		return CLI_OK;
	}
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return CLI_FAILED;
	perron_descriptor_print_effective(d, NULL, &sensors, out);
	fclose(out);
	json_t *reply = json_pack("{s:b,s:s,s:s}", "ok", 1, "file", d->file, "yaml", text);
	json_dumpf(reply, stdout, JSON_COMPACT);
	printf("\n");
	json_decref(reply);
	free(text);
	return CLI_OK;
}

int cli_config(const struct cli *cli)
{
	char error[PERRON_DESCRIPTOR_ERROR_SIZE];
	const char *action = cli->argument_count ? cli->arguments[0] : "";
	bool show = !strcmp(action, "show-effective");

	if ((!show && strcmp(action, "check")) || cli->argument_count != 2) {
		fprintf(stderr, "perron: expected: perron config check|show-effective FILE\n");
		return CLI_USAGE;
	}
	struct perron_descriptor *d = malloc(sizeof(*d));
	if (!d)
		return CLI_FAILED;
	int rc = perron_descriptor_load(d, cli->arguments[1], error, sizeof(error));
	if (!rc)
		rc = perron_descriptor_check_drivers(d, NULL, &sensors, error, sizeof(error));
	int code = CLI_OK;
	if (rc) {
		say_error(cli, error);
		code = CLI_FAILED;
	} else if (show) {
		code = show_effective(cli, d);
	} else {
		say_good(cli, d);
	}
	free(d);
	return code;
}
