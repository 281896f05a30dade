#include "platform/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

void perron_memory_plan_init(struct perron_memory_plan *plan)
{
	memset(plan, 0, sizeof(*plan));
}

static uint64_t object_total(const struct perron_memory_object *object)
{
	return object->size * object->count;
}

int perron_memory_plan_add(struct perron_memory_plan *plan, enum perron_memory_place place,
			   const char *name, uint64_t size, uint64_t count)
{
	uint64_t product, sum;
	if (plan->sealed)
		return -EPERM;
	if (plan->object_count == PERRON_MEMORY_OBJECT_MAX)
		return -ENOSPC;
	if (__builtin_mul_overflow(size, count, &product) ||
	    __builtin_add_overflow(perron_memory_plan_total(plan), product, &sum))
		return -EOVERFLOW;
	struct perron_memory_object *object = &plan->objects[plan->object_count++];
	snprintf(object->name, sizeof(object->name), "%s", name);
	object->place = place;
	object->size = size;
	object->count = count;
	return 0;
}

uint64_t perron_memory_plan_size(const struct perron_memory_plan *plan,
				 enum perron_memory_place place)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < plan->object_count; i++)
		if (plan->objects[i].place == place)
			sum += object_total(&plan->objects[i]);
	return sum;
}

uint64_t perron_memory_plan_total(const struct perron_memory_plan *plan)
{
	return perron_memory_plan_size(plan, PERRON_MEMORY_POOL) +
	       perron_memory_plan_size(plan, PERRON_MEMORY_HEAP);
}

/* The largest object after `previous` in falling order; ties by position. NULL: none left. */
static const struct perron_memory_object *object_next(const struct perron_memory_plan *plan,
						      const struct perron_memory_object *previous)
{
	const struct perron_memory_object *best = NULL;
	for (uint32_t i = 0; i < plan->object_count; i++) {
		const struct perron_memory_object *object = &plan->objects[i];
		if (previous &&
		    (object_total(object) > object_total(previous) ||
		     (object_total(object) == object_total(previous) && object <= previous)))
			continue;
		if (!best || object_total(object) > object_total(best))
			best = object;
	}
	return best;
}

static void size_print(char *out, size_t out_size, uint64_t size)
{
	static const char *const units[] = {"B", "kB", "MB", "GB"};
	uint32_t unit = 0;
	uint64_t tenths = size * 10;
	for (; tenths >= 10240 && unit < 3; unit++)
		tenths /= 1024;
	snprintf(out, out_size, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
		 units[unit]);
}

int perron_memory_plan_check(const struct perron_memory_plan *plan, uint64_t size_max, char *error,
			     size_t error_size)
{
	uint64_t total = perron_memory_plan_total(plan);
	if (total <= size_max)
		return 0;
	const struct perron_memory_object *largest = object_next(plan, NULL);
	PERRON_ASSERT(largest);
	char needed[32], given[32], part[32];
	size_print(needed, sizeof(needed), total);
	size_print(given, sizeof(given), size_max);
	size_print(part, sizeof(part), object_total(largest));
	snprintf(
	    error, error_size,
	    "%s of memory needed, %s given; the largest part is %s (%s): lower it or give more",
	    needed, given, largest->name, part);
	return -EFBIG;
}

void perron_memory_plan_print(const struct perron_memory_plan *plan, FILE *out)
{
	char total[32];
	const struct perron_memory_object *object = object_next(plan, NULL);
	for (; object; object = object_next(plan, object)) {
		size_print(total, sizeof(total), object_total(object));
		fprintf(out, "  %-*s %10s  %" PRIu64 " x %" PRIu64 " B%s\n",
			PERRON_MEMORY_NAME_SIZE - 16, object->name, total, object->count,
			object->size, object->place == PERRON_MEMORY_POOL ? " (pool)" : "");
	}
	size_print(total, sizeof(total), perron_memory_plan_total(plan));
	fprintf(out, "  %-*s %10s%s\n", PERRON_MEMORY_NAME_SIZE - 16, "sum", total,
		plan->sealed ? ", sealed" : "");
}

void perron_memory_plan_seal(struct perron_memory_plan *plan)
{
	plan->sealed = true;
}

bool perron_memory_plan_is_sealed(const struct perron_memory_plan *plan)
{
	return plan->sealed;
}
