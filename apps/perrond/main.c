/*
 * perrond: one station. Reads a descriptor, composes the station that it describes, and
 * turns until it is told to stop.
 *
 *	perrond [EAL arguments] -- --config FILE
 *
 * Exit status: 0 stopped in order; 1 it could not start or go on; 2 wrong usage; 3 refused by the
 * overlay.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/station/station.h"
#include "drivers/port/port.h"
#include "drivers/sensor/sensor.h"

enum {
	EXIT_WRONG_USAGE = 2,
	EXIT_REFUSED = 3,
};

struct options {
	const char *config;
	bool check;
	bool quiet;
	double exit_after_s; /* 0: never */
};

static volatile sig_atomic_t stop;
static struct perron_descriptor descriptor;

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	dprintf(STDERR_FILENO, "perrond: assertion failed: %s (%s:%d)\n", condition, file, line);
	perron_station_dump(STDERR_FILENO);
	abort();
}

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static const char usage[] =
    "usage: perrond [EAL arguments] -- --config FILE [options]\n"
    "\n"
    "  --config FILE          the station's descriptor\n"
    "  --check                check descriptor and machine, start nothing\n"
    "  --foreground           stay in the foreground (always so)\n"
    "  --quiet                say nothing but errors\n"
    "  --exit-after SECONDS   stop in order after that time\n"
    "  --version, --help\n"
    "\n"
    "Without EAL arguments they are made from the descriptor. 'perron config check FILE'\n"
    "checks a descriptor on any machine.\n";

static int seconds_parse(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	if (end == text || *end || !(*out > 0 && *out < 1e9)) {
		fprintf(stderr, "perrond: '--exit-after %s': expected seconds above 0\n", text);
		return -EINVAL;
	}
	return 0;
}

static void print_and_exit(const char *text)
{
	fputs(text, stdout);
	exit(EXIT_SUCCESS);
}

static int option_take(int option, const char *argument, struct options *out)
{
	switch (option) {
	case 'c':
		out->config = optarg;
		return 0;
	case 'k':
		out->check = true;
		return 0;
	case 'q':
		out->quiet = true;
		return 0;
	case 'f':
		return 0;
	case 'x':
		return seconds_parse(optarg, &out->exit_after_s);
	case 'v':
		print_and_exit("perrond " PERRON_VERSION "\n");
		return 0;
	case 'h':
		print_and_exit(usage);
		return 0;
	case ':':
		fprintf(stderr, "perrond: '%s' needs a value; see perrond --help\n", argument);
		return -EINVAL;
	default:
		fprintf(stderr, "perrond: unknown option '%s'; see perrond --help\n", argument);
		return -EINVAL;
	}
}

static int options_parse(int argc, char **argv, struct options *out)
{
	static const struct option table[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"check", no_argument, NULL, 'k'},
	    {"foreground", no_argument, NULL, 'f'},
	    {"quiet", no_argument, NULL, 'q'},
	    {"exit-after", required_argument, NULL, 'x'},
	    {"version", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	optind = 1;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", table, NULL)) != -1)
		if (option_take(option, argv[optind - 1], out) != 0)
			return -EINVAL;
	if (optind < argc) {
		fprintf(stderr, "perrond: unknown argument '%s'; see perrond --help\n",
			argv[optind]);
		return -EINVAL;
	}
	if (!out->config) {
		fprintf(stderr, "perrond: no descriptor; expected --config FILE\n");
		return -EINVAL;
	}
	return 0;
}

static const struct perron_descriptor_drivers ports = {
    .options = perron_port_driver_options,
    .name = perron_port_driver_name,
};

static const struct perron_descriptor_drivers sensors = {
    .options = perron_sensor_driver_options,
    .name = perron_sensor_driver_name,
};

static int descriptor_read(const char *file, char *error, size_t error_size)
{
	int ret = perron_descriptor_load(&descriptor, file, error, error_size);

	if (!ret)
		ret = perron_descriptor_check_drivers(&descriptor, &ports, &sensors, error,
						      error_size);
	return ret;
}

static void signals_catch(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int run(const struct options *options, struct perron_station_config *config, char *error,
	       size_t error_size)
{
	struct perron_station *station;
	uint64_t until_ns = UINT64_MAX;
	int ret = perron_station_create(&station, config, error, error_size);

	if (ret)
		return ret;
	if (options->exit_after_s > 0)
		until_ns = perron_clock_now_ns() + (uint64_t)(options->exit_after_s * 1e9);
	ret = perron_station_start(station, error, error_size);
	if (!ret)
		ret = perron_station_run(station, &stop, until_ns, error, error_size);
	perron_station_stop(station);
	perron_station_destroy(station);
	return ret == -EEXIST ? EXIT_REFUSED : ret;
}

/* Where our own arguments begin: behind --, or at once if there is none. */
static int own_arguments(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return 0;
}

int main(int argc, char **argv)
{
	char error[PERRON_DESCRIPTOR_ERROR_SIZE] = "";
	struct options options = {0};
	int own = own_arguments(argc, argv);
	struct perron_station_config config = {
	    .descriptor = &descriptor,
	    .eal_arguments = argv,
	    .eal_argument_count = own,
	};

	if (options_parse(argc - own, argv + own, &options) != 0)
		return EXIT_WRONG_USAGE;
	config.quiet = options.quiet;
	signals_catch();
	int ret = descriptor_read(options.config, error, sizeof(error));
	if (!ret && options.check)
		ret = perron_station_check(&config, error, sizeof(error));
	else if (!ret)
		ret = run(&options, &config, error, sizeof(error));
	if (ret)
		fprintf(stderr, "perrond: %s\n", error);
	return ret > 0 ? ret : ret < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
