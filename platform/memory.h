/*
 * The boot plan of memory: every object of a station by name, size and number, added up before
 * anything is allocated, printed, then sealed. After the seal nothing may be added: memory of a
 * station is fixed. Housekeeping thread; the seal may be read by any.
 */
#ifndef PERRON_PLATFORM_MEMORY_H
#define PERRON_PLATFORM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/base/assert.h"

#define PERRON_MEMORY_OBJECT_MAX 64
#define PERRON_MEMORY_NAME_SIZE	 48

enum perron_memory_place {
	PERRON_MEMORY_POOL, /* the EAL's: buffers, rings */
	PERRON_MEMORY_HEAP, /* the process's own */
};

struct perron_memory_object {
	char name[PERRON_MEMORY_NAME_SIZE];
	enum perron_memory_place place;
	uint64_t size; /* bytes of one */
	uint64_t count;
};

struct perron_memory_plan {
	struct perron_memory_object objects[PERRON_MEMORY_OBJECT_MAX];
	uint32_t object_count;
	bool sealed;
};

void perron_memory_plan_init(struct perron_memory_plan *plan);

/* Adds `count` objects of `size` bytes. -ENOSPC: too many names; -EOVERFLOW; -EPERM: sealed. */
int perron_memory_plan_add(struct perron_memory_plan *plan, enum perron_memory_place place,
			   const char *name, uint64_t size, uint64_t count) PERRON_MUST_USE;

uint64_t perron_memory_plan_size(const struct perron_memory_plan *plan,
				 enum perron_memory_place place);
uint64_t perron_memory_plan_total(const struct perron_memory_plan *plan);

/* -EFBIG and one line, with the largest object named, if the plan is over `size_max`; else 0. */
int perron_memory_plan_check(const struct perron_memory_plan *plan, uint64_t size_max, char *error,
			     size_t error_size) PERRON_MUST_USE;

/* One line an object, largest first, then the sum. */
void perron_memory_plan_print(const struct perron_memory_plan *plan, FILE *out);

void perron_memory_plan_seal(struct perron_memory_plan *plan);
bool perron_memory_plan_is_sealed(const struct perron_memory_plan *plan);

#endif
