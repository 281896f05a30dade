#include "platform/cores.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_SIZE 4096
#define PATH_SIZE 320

const char *perron_idle_name(enum perron_idle idle)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_IDLE_##name] = text,
	    PERRON_IDLES(X)
#undef X
	};
	PERRON_ASSERT(idle < PERRON_IDLE_COUNT);
	return names[idle];
}

bool perron_core_set_has(const struct perron_core_set *set, uint32_t core)
{
	return core < PERRON_CORE_MAX && (set->bits[core / 64] >> (core % 64) & 1) != 0;
}

void perron_core_set_add(struct perron_core_set *set, uint32_t core)
{
	PERRON_ASSERT(core < PERRON_CORE_MAX);
	set->bits[core / 64] |= UINT64_C(1) << (core % 64);
}

uint32_t perron_core_set_count(const struct perron_core_set *set)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < PERRON_CORE_MAX / 64; i++)
		count += (uint32_t)__builtin_popcountll(set->bits[i]);
	return count;
}

static bool number_parse(const char **at, uint32_t *out)
{
	uint32_t value = 0;
	const char *start = *at;
	while (**at >= '0' && **at <= '9' && value < PERRON_CORE_MAX)
		value = value * 10 + (uint32_t)(*(*at)++ - '0');
	*out = value;
	return *at != start && value < PERRON_CORE_MAX;
}

static bool range_parse(const char **at, struct perron_core_set *set)
{
	uint32_t first, last;
	if (!number_parse(at, &first))
		return false;
	last = first;
	if (**at == '-') {
		(*at)++;
		if (!number_parse(at, &last) || last < first)
			return false;
	}
	for (uint32_t core = first; core <= last; core++)
		perron_core_set_add(set, core);
	return true;
}

int perron_core_set_parse(struct perron_core_set *set, const char *text)
{
	memset(set, 0, sizeof(*set));
	/* An empty mask is "(null)" in /sys on some kernels. */
	if (text[0] == 0 || text[0] == '\n' || strncmp(text, "(null)", 6) == 0)
		return 0;
	const char *at = text;
	while (range_parse(&at, set)) {
		if (*at == 0 || (*at == '\n' && at[1] == 0))
			return 0;
		if (*at != ',')
			break;
		at++;
	}
	memset(set, 0, sizeof(*set));
	return -EINVAL;
}

size_t perron_core_set_print(const struct perron_core_set *set, char *text, size_t size)
{
	size_t used = 0;
	if (size)
		text[0] = 0;
	for (uint32_t core = 0; core < PERRON_CORE_MAX; core++) {
		if (!perron_core_set_has(set, core))
			continue;
		uint32_t last = core;
		while (perron_core_set_has(set, last + 1))
			last++;
		char range[32];
		int n = last == core ? snprintf(range, sizeof(range), "%u", core)
				     : snprintf(range, sizeof(range), "%u-%u", core, last);
		if (used)
			used += (size_t)snprintf(used < size ? text + used : NULL,
						 used < size ? size - used : 0, ",");
		used += (size_t)snprintf(used < size ? text + used : NULL,
					 used < size ? size - used : 0, "%.*s", n, range);
		core = last;
	}
	return used;
}

/* A file that older kernels do not have is an empty set. */
static int set_read(struct perron_core_set *out, const char *root, const char *file, bool required,
		    char *error, size_t error_size)
{
	char path[PATH_SIZE], text[LIST_SIZE] = "";
	snprintf(path, sizeof(path), "%s/%s", root, file);
	memset(out, 0, sizeof(*out));
	FILE *f = fopen(path, "re");
	if (!f) {
		if (!required)
			return 0;
		int result = -errno;
		snprintf(error, error_size, "%s: %s; is /sys mounted?", path, strerror(-result));
		return result;
	}
	if (!fgets(text, sizeof(text), f))
		text[0] = 0;
	fclose(f);
	int result = perron_core_set_parse(out, text);
	if (result)
		snprintf(error, error_size, "%s: no list of cores: %.40s", path, text);
	return result;
}

static void affinity_read(struct perron_core_set *out)
{
	cpu_set_t mask;
	CPU_ZERO(&mask);
	memset(out, 0, sizeof(*out));
	if (sched_getaffinity(0, sizeof(mask), &mask))
		return;
	for (uint32_t core = 0; core < PERRON_CORE_MAX; core++)
		if (CPU_ISSET(core, &mask))
			perron_core_set_add(out, core);
}

int perron_cores_read(struct perron_cores *out, const char *root, char *error, size_t error_size)
{
	int result = set_read(&out->present, root, "present", true, error, error_size);
	if (!result)
		result = set_read(&out->online, root, "online", true, error, error_size);
	if (!result)
		result = set_read(&out->isolated, root, "isolated", false, error, error_size);
	if (!result)
		result = set_read(&out->nohz_full, root, "nohz_full", false, error, error_size);
	if (result)
		return result;
	affinity_read(&out->allowed);
	for (uint32_t i = 0; i < PERRON_CORE_MAX / 64; i++)
		out->allowed.bits[i] =
		    out->online.bits[i] & (out->allowed.bits[i] | out->isolated.bits[i]);
	return 0;
}

static int core_check(const struct perron_cores *cores, uint32_t core, const char *role,
		      char *error, size_t error_size)
{
	char list[128];
	if (!perron_core_set_has(&cores->present, core)) {
		perron_core_set_print(&cores->present, list, sizeof(list));
		snprintf(error, error_size, "%s: core %u does not exist; this machine has %s", role,
			 core, list);
		return -EINVAL;
	}
	if (!perron_core_set_has(&cores->online, core)) {
		snprintf(error, error_size,
			 "%s: core %u is offline; echo 1 > /sys/devices/system/cpu/cpu%u/online",
			 role, core, core);
		return -EINVAL;
	}
	if (!perron_core_set_has(&cores->allowed, core)) {
		perron_core_set_print(&cores->allowed, list, sizeof(list));
		snprintf(
		    error, error_size,
		    "%s: core %u is not allowed to this process; taskset or cpuset leave it %s",
		    role, core, list);
		return -EINVAL;
	}
	return 0;
}

static bool is_lcore(const struct perron_cores_choice *choice, uint32_t core)
{
	for (uint32_t i = 0; i < choice->lcore_count; i++)
		if (choice->lcores[i] == core)
			return true;
	return false;
}

static int wish_take(const struct perron_cores *cores, const struct perron_cores_wish *wish,
		     struct perron_cores_choice *out, char *error, size_t error_size)
{
	PERRON_ASSERT(wish->lcore_count <= PERRON_CORE_LCORE_MAX);
	for (uint32_t i = 0; i < wish->lcore_count; i++) {
		int result = core_check(cores, wish->lcores[i], "lcores", error, error_size);
		if (result)
			return result;
		if (is_lcore(out, wish->lcores[i])) {
			snprintf(error, error_size, "lcores: core %u stands there twice",
				 wish->lcores[i]);
			return -EINVAL;
		}
		out->lcores[out->lcore_count++] = wish->lcores[i];
	}
	if (wish->housekeeping < 0)
		return 0;
	out->housekeeping = (uint16_t)wish->housekeeping;
	return core_check(cores, (uint32_t)wish->housekeeping, "housekeeping", error, error_size);
}

/* The first core that Linux keeps and no lcore has; else any that no lcore has; else a shared one.
 */
static void housekeeping_choose(const struct perron_cores *cores, struct perron_cores_choice *out)
{
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t core = 0; core < PERRON_CORE_MAX; core++) {
			if (!perron_core_set_has(&cores->allowed, core) || is_lcore(out, core))
				continue;
			if (pass == 0 && perron_core_set_has(&cores->isolated, core))
				continue;
			out->housekeeping = (uint16_t)core;
			return;
		}
	PERRON_ASSERT(out->lcore_count > 0);
	out->housekeeping = out->lcores[0];
}

static void lcores_choose(const struct perron_cores *cores, struct perron_cores_choice *out)
{
	uint32_t last = out->housekeeping;
	for (uint32_t core = 0; core < PERRON_CORE_MAX; core++) {
		if (!perron_core_set_has(&cores->allowed, core) || core == out->housekeeping)
			continue;
		last = core;
		if (perron_core_set_has(&cores->isolated, core) &&
		    out->lcore_count < PERRON_CORE_LCORE_MAX)
			out->lcores[out->lcore_count++] = (uint16_t)core;
	}
	if (out->lcore_count == 0)
		out->lcores[out->lcore_count++] = (uint16_t)last;
}

static void idle_choose(const struct perron_cores *cores, enum perron_idle wish,
			struct perron_cores_choice *out)
{
	bool isolated = true, tickless = true;
	for (uint32_t i = 0; i < out->lcore_count; i++) {
		isolated &= perron_core_set_has(&cores->isolated, out->lcores[i]);
		tickless &= perron_core_set_has(&cores->nohz_full, out->lcores[i]);
	}
	out->shared = is_lcore(out, out->housekeeping);
	out->idle = wish;
	if (wish == PERRON_IDLE_AUTO)
		out->idle = isolated && !out->shared ? PERRON_IDLE_SPIN : PERRON_IDLE_BACKOFF;
	const char *but = "";
	if (out->shared)
		but = ", which they share: expect late turns";
	else if (out->idle == PERRON_IDLE_SPIN && !isolated)
		but = ", not isolated: the kernel may take them away (isolcpus=)";
	else if (out->idle == PERRON_IDLE_SPIN && !tickless)
		but = ", isolated but with the tick (nohz_full=)";
	snprintf(out->why, sizeof(out->why), "housekeeping on core %u, %u lcore%s from %u (%s)%s",
		 out->housekeeping, out->lcore_count, out->lcore_count == 1 ? "" : "s",
		 out->lcores[0], perron_idle_name(out->idle), but);
}

int perron_cores_choose(const struct perron_cores *cores, const struct perron_cores_wish *wish,
			struct perron_cores_choice *out, char *error, size_t error_size)
{
	memset(out, 0, sizeof(*out));
	if (perron_core_set_count(&cores->allowed) == 0) {
		snprintf(error, error_size, "no core is online and allowed to this process");
		return -EINVAL;
	}
	int result = wish_take(cores, wish, out, error, error_size);
	if (result)
		return result;
	if (wish->housekeeping < 0)
		housekeeping_choose(cores, out);
	if (out->lcore_count == 0)
		lcores_choose(cores, out);
	idle_choose(cores, wish->idle, out);
	PERRON_ASSERT(out->lcore_count > 0 && out->idle != PERRON_IDLE_AUTO);
	return 0;
}

int perron_core_pin(uint32_t core, char *error, size_t error_size)
{
	cpu_set_t mask;
	CPU_ZERO(&mask);
	if (core < PERRON_CORE_MAX)
		CPU_SET(core, &mask);
	int result = -pthread_setaffinity_np(pthread_self(), sizeof(mask), &mask);
	if (result)
		snprintf(error, error_size, "cannot run on core %u: %s", core, strerror(-result));
	return result;
}
