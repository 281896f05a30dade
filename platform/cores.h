/*
 * Cores: which there are, which are isolated, and which the station takes.
 *
 * By default housekeeping gets the first core that is not isolated, lcores the isolated ones; where
 * none is isolated the last of the allowed cores becomes the only lcore, and it backs off instead
 * of spinning (spin on isolated cores, back-off elsewhere).
 *
 * Reads /sys and the calling thread's affinity; keeps nothing. Any thread.
 */
#ifndef PERRON_PLATFORM_CORES_H
#define PERRON_PLATFORM_CORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define PERRON_CORE_MAX	      1024 /* numbers below this; CPU_SETSIZE */
#define PERRON_CORE_LCORE_MAX 64   /* lcores of one station */

struct perron_core_set {
	uint64_t bits[PERRON_CORE_MAX / 64];
};

struct perron_cores {
	struct perron_core_set present;
	struct perron_core_set online;
	struct perron_core_set
	    isolated; /* from the scheduler (isolcpus=domain, cpuset partitions) */
	struct perron_core_set nohz_full; /* without the tick */
	struct perron_core_set allowed;	  /* online, and in our affinity or isolated */
};

/* How a lcore waits. */
#define PERRON_IDLES(X)       \
	X(AUTO, "auto")       \
	X(SPIN, "spin")       \
	X(BACKOFF, "backoff") \
	X(INTERRUPT, "interrupt")

enum perron_idle {
#define X(name, text) PERRON_IDLE_##name,
	PERRON_IDLES(X)
#undef X
	    PERRON_IDLE_COUNT
};

struct perron_cores_wish {
	int32_t housekeeping; /* -1: choose */
	uint32_t lcore_count; /* 0: choose */
	uint16_t lcores[PERRON_CORE_LCORE_MAX];
	enum perron_idle idle;
};

struct perron_cores_choice {
	uint16_t housekeeping;
	uint32_t lcore_count; /* at least 1 */
	uint16_t lcores[PERRON_CORE_LCORE_MAX];
	enum perron_idle idle; /* never AUTO */
	bool shared;	       /* housekeeping and a lcore are on one core */
	char why[160];	       /* one line: the choice, and what is against it */
};

bool perron_core_set_has(const struct perron_core_set *set, uint32_t core);
void perron_core_set_add(struct perron_core_set *set, uint32_t core);
uint32_t perron_core_set_count(const struct perron_core_set *set);
/* "0-3,8" as in /sys; 0 or -EINVAL (then `set` is empty). "" and "\n" are the empty set. */
int perron_core_set_parse(struct perron_core_set *set, const char *text) PERRON_MUST_USE;
/* As snprintf. */
size_t perron_core_set_print(const struct perron_core_set *set, char *text, size_t size);

/* `root` is "/sys/devices/system/cpu", or a test's own. 0 or -errno and one line. */
int perron_cores_read(struct perron_cores *out, const char *root, char *error,
		      size_t error_size) PERRON_MUST_USE;

/*
 * Chooses what the wish leaves open. -EINVAL and one line: a core that does not exist, is offline,
 * is not allowed, or stands twice among the lcores.
 */
int perron_cores_choose(const struct perron_cores *cores, const struct perron_cores_wish *wish,
			struct perron_cores_choice *out, char *error,
			size_t error_size) PERRON_MUST_USE;

/* Pins the calling thread. 0 or -errno and one line. */
int perron_core_pin(uint32_t core, char *error, size_t error_size) PERRON_MUST_USE;

const char *perron_idle_name(enum perron_idle idle);

#endif
