/*
 * Huge pages: what the machine has (libhugetlbfs), and whether a station can have what it needs.
 *
 * The plan ends in one of three ways: use them; do without (and say so: more misses of the
 * translation buffer); or refuse with the command that would help. Any thread; keeps nothing.
 */
#ifndef PERRON_PLATFORM_HUGEPAGES_H
#define PERRON_PLATFORM_HUGEPAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define PERRON_HUGEPAGES_POOL_MAX 4

struct perron_hugepages_pool {
	uint64_t page_size; /* bytes */
	uint64_t total;	    /* pages, as all below */
	uint64_t free;
	uint64_t reserved; /* of the free ones, promised to someone */
	bool mounted;	   /* a hugetlbfs of this page size is mounted */
	char mount[128];
};

struct perron_hugepages {
	uint32_t pool_count;
	struct perron_hugepages_pool pools[PERRON_HUGEPAGES_POOL_MAX];
	uint64_t page_size_default;
	bool
	    privileged; /* this process may map them for the EAL: it is root or has what it takes */
};

enum perron_hugepages_policy {
	PERRON_HUGEPAGES_AUTO,	   /* use them if there, else do without and say so */
	PERRON_HUGEPAGES_NO,	   /* do without */
	PERRON_HUGEPAGES_REQUIRED, /* use them or refuse */
};

struct perron_hugepages_plan {
	bool use; /* false: --no-huge */
	uint64_t page_size;
	uint64_t needed_size;	 /* rounded up to whole pages */
	uint64_t available_size; /* free and not promised, of that page size */
	char why[256];		 /* one line for people */
};

/* Asks libhugetlbfs. A machine without huge pages gives no pools. */
void perron_hugepages_read(struct perron_hugepages *out);

/*
 * 0 and a plan; -ENOMEM and one line that says the command to run: required but not there.
 */
int perron_hugepages_plan(const struct perron_hugepages *pages, enum perron_hugepages_policy policy,
			  uint64_t needed_size, struct perron_hugepages_plan *out, char *error,
			  size_t error_size) PERRON_MUST_USE;

#endif
