#include "platform/hugepages.h"

#include <errno.h>
#include <hugetlbfs.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MB (UINT64_C(1) << 20)

static uint64_t counter_read(uint64_t page_size, const char *name)
{
	char path[160];
	uint64_t value = 0;
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s",
		 page_size / 1024, name);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%" SCNu64, &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

static void pool_read(struct perron_hugepages_pool *pool, uint64_t page_size)
{
	memset(pool, 0, sizeof(*pool));
	pool->page_size = page_size;
	pool->total = counter_read(page_size, "nr_hugepages");
	pool->free = counter_read(page_size, "free_hugepages");
	pool->reserved = counter_read(page_size, "resv_hugepages");
	const char *mount = hugetlbfs_find_path_for_size((long)page_size);
	pool->mounted = mount != NULL;
	if (mount)
		snprintf(pool->mount, sizeof(pool->mount), "%s", mount);
}

/* With --in-memory the EAL maps them from a memfd: whether we get one is the question. */
static bool may_map(void)
{
	int fd = memfd_create("perron-probe", MFD_CLOEXEC | MFD_HUGETLB);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

void perron_hugepages_read(struct perron_hugepages *out)
{
	long sizes[PERRON_HUGEPAGES_POOL_MAX];
	memset(out, 0, sizeof(*out));
	int count = gethugepagesizes(sizes, PERRON_HUGEPAGES_POOL_MAX);
	for (int i = 0; i < count && i < PERRON_HUGEPAGES_POOL_MAX; i++)
		pool_read(&out->pools[out->pool_count++], (uint64_t)sizes[i]);
	long page_size = gethugepagesize();
	out->page_size_default = page_size > 0 ? (uint64_t)page_size : 0;
	out->privileged = out->pool_count > 0 && may_map();
}

static uint64_t round_up(uint64_t size, uint64_t unit)
{
	return (size + unit - 1) / unit * unit;
}

static uint64_t pool_available(const struct perron_hugepages_pool *pool)
{
	uint64_t pages = pool->free > pool->reserved ? pool->free - pool->reserved : 0;
	return pages * pool->page_size;
}

/* The pool with the smallest pages that has enough; else the one of the default size. */
static const struct perron_hugepages_pool *pool_choose(const struct perron_hugepages *pages,
						       uint64_t needed_size)
{
	const struct perron_hugepages_pool *best = NULL, *standard = NULL;
	for (uint32_t i = 0; i < pages->pool_count; i++) {
		const struct perron_hugepages_pool *pool = &pages->pools[i];
		if (pool->page_size == pages->page_size_default)
			standard = pool;
		if (pool_available(pool) < round_up(needed_size, pool->page_size))
			continue;
		if (!best || pool->page_size < best->page_size)
			best = pool;
	}
	if (best)
		return best;
	return standard || pages->pool_count == 0 ? standard : &pages->pools[0];
}

/* Says what is missing and the command that helps. */
static void shortage_say(const struct perron_hugepages *pages,
			 const struct perron_hugepages_plan *plan,
			 const struct perron_hugepages_pool *pool, char *out, size_t out_size)
{
	if (!pool) {
		snprintf(out, out_size, "this kernel has no huge pages (CONFIG_HUGETLBFS)");
	} else if (!pages->privileged) {
		snprintf(out, out_size,
			 "this user may not map huge pages; run as root, or set huge_pages: no");
	} else {
		uint64_t missing = plan->needed_size - plan->available_size;
		uint64_t total = pool->total + (missing + pool->page_size - 1) / pool->page_size;
		snprintf(out, out_size,
			 "%" PRIu64 " MB of huge pages needed, %" PRIu64 " MB free; run: "
			 "echo %" PRIu64 " > /sys/kernel/mm/hugepages/hugepages-%" PRIu64
			 "kB/nr_hugepages",
			 plan->needed_size / MB, plan->available_size / MB, total,
			 pool->page_size / 1024);
	}
}

int perron_hugepages_plan(const struct perron_hugepages *pages, enum perron_hugepages_policy policy,
			  uint64_t needed_size, struct perron_hugepages_plan *out, char *error,
			  size_t error_size)
{
	memset(out, 0, sizeof(*out));
	out->needed_size = needed_size;
	if (policy == PERRON_HUGEPAGES_NO) {
		snprintf(out->why, sizeof(out->why), "without huge pages, as configured");
		return 0;
	}
	const struct perron_hugepages_pool *pool = pool_choose(pages, needed_size);
	if (pool) {
		out->page_size = pool->page_size;
		out->needed_size = round_up(needed_size, pool->page_size);
		out->available_size = pool_available(pool);
	}
	if (pool && pages->privileged && out->available_size >= out->needed_size) {
		out->use = true;
		snprintf(out->why, sizeof(out->why),
			 "%" PRIu64 " MB in huge pages of %" PRIu64 " kB, %" PRIu64 " MB free",
			 out->needed_size / MB, out->page_size / 1024, out->available_size / MB);
		return 0;
	}
	char shortage[200];
	shortage_say(pages, out, pool, shortage, sizeof(shortage));
	if (policy == PERRON_HUGEPAGES_REQUIRED) {
		snprintf(error, error_size, "%s", shortage);
		return -ENOMEM;
	}
	snprintf(out->why, sizeof(out->why), "going on without huge pages: %s", shortage);
	return 0;
}
