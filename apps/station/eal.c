/* The EAL's arguments, made from the descriptor unless the user gave his own. */
#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_pdump.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "apps/station/private.h"

#define ARGUMENT_MAX  24
#define ARGUMENT_SIZE (PERRON_PORT_ARGUMENT_SIZE + 32)
/* For the EAL's own objects and those of port drivers, beside what the plan counts. */
#define EAL_OVERHEAD_SIZE (24ull << 20)

struct arguments {
	char text[ARGUMENT_MAX][ARGUMENT_SIZE];
	char *items[ARGUMENT_MAX + 1];
	int count;
};

static void __attribute__((format(printf, 2, 3)))
argument_add(struct arguments *a, const char *format, ...)
{
	va_list list;

	PERRON_ASSERT(a->count < ARGUMENT_MAX);
	va_start(list, format);
	vsnprintf(a->text[a->count], ARGUMENT_SIZE, format, list);
	va_end(list);
	a->items[a->count] = a->text[a->count];
	a->count++;
}

/* Lcore 0 is housekeeping; by number and not by core, so that stations can share cores. */
static void lcores_argument(const struct perron_station *s, struct arguments *a)
{
	char text[ARGUMENT_SIZE];
	int used = snprintf(text, sizeof(text), "--lcores=0@%u", s->choice.housekeeping);

	for (uint32_t i = 0; i < s->lcore_count; i++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, ",%u@%u", i + 1,
				 s->choice.lcores[i]);
	argument_add(a, "%s", text);
}

static int port_arguments(const struct perron_station *s, struct arguments *a, char *error,
			  size_t error_size)
{
	bool pci = false;

	for (uint32_t i = 0; i < s->descriptor->port_count; i++) {
		char text[PERRON_PORT_ARGUMENT_SIZE];
		int ret = perron_port_eal_argument(&s->port_configs[i], text, sizeof(text), error,
						   error_size);
		if (ret)
			return ret;
		if (text[0])
			argument_add(a, "%s", text);
		const char *flag = perron_port_eal_flag(&s->port_configs[i]);
		if (flag)
			argument_add(a, "%s", flag);
		pci |= perron_port_needs_pci(&s->port_configs[i]);
	}
	if (!pci)
		argument_add(a, "--no-pci");
	return 0;
}

static int arguments_make(const struct perron_station *s, uint64_t pool_size, struct arguments *a,
			  char *error, size_t error_size)
{
	/* On small pages each buffer takes a page of its own: it may not cross into another. */
	uint64_t needed_size = (s->pages.use ? pool_size : 2 * pool_size) + EAL_OVERHEAD_SIZE;
	uint64_t megabytes = (needed_size + (1 << 20) - 1) >> 20;

	argument_add(a, "perrond");
	lcores_argument(s, a);
	/* Nothing on any file system, so that a killed station leaves nothing behind. */
	argument_add(a, "%s", s->pages.use ? "--in-memory" : "--no-shconf");
	if (!s->pages.use)
		argument_add(a, "--no-huge");
	argument_add(a, "-m");
	argument_add(a, "%u", (unsigned)megabytes);
	argument_add(a, "--file-prefix=perron-%s", s->descriptor->station.name);
	argument_add(a, "--log-level=*:error");
	if (s->config.no_socket)
		argument_add(a, "--no-telemetry");
	return port_arguments(s, a, error, error_size);
}

static void arguments_take(const struct perron_station *s, struct arguments *a)
{
	for (int i = 0; i < s->config.eal_argument_count && i < ARGUMENT_MAX; i++)
		argument_add(a, "%s", s->config.eal_arguments[i]);
}

static int lcores_check(const struct perron_station *s, char *error, size_t error_size)
{
	if (rte_lcore_count() - 1 >= s->lcore_count)
		return 0;
	snprintf(error, error_size,
		 "the EAL has %u worker lcores, the station wants %u; give it more with -l or "
		 "--lcores, or leave the EAL's arguments out",
		 rte_lcore_count() - 1, s->lcore_count);
	return -EINVAL;
}

int station_eal_start(struct perron_station *s, uint64_t pool_size, char *error, size_t error_size)
{
	static struct arguments arguments; /* the EAL keeps pointers */
	int ret;

	memset(&arguments, 0, sizeof(arguments));
	if (s->config.eal_argument_count > 1)
		arguments_take(s, &arguments);
	else if ((ret = arguments_make(s, pool_size, &arguments, error, error_size)) != 0)
		return ret;
	if (rte_eal_init(arguments.count, arguments.items) < 0) {
		ret = rte_errno ? -rte_errno : -EINVAL;
		snprintf(error, error_size,
			 "the EAL did not start: %s; its own words stand above, its arguments can "
			 "be given before --",
			 rte_strerror(-ret));
		return ret;
	}
	s->eal_is_up = true;
	/* Captures need shared configuration, which stations in memory do without. */
	if (rte_pdump_init() != 0 && rte_errno != ENOTSUP)
		station_say(s, "boot: no packet capture: %s", rte_strerror(rte_errno));
	return lcores_check(s, error, error_size);
}
