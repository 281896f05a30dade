#include "apps/libperron/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int perron_pool_init(struct perron_pool *p, uint32_t count)
{
	void *buffers = NULL;

	*p = (struct perron_pool){.count = count};
	if (posix_memalign(&buffers, 64, count * sizeof(struct perron_buffer)))
		return -ENOMEM;
	p->buffers = buffers;
	p->free = calloc(count, sizeof(*p->free));
	if (!p->free) {
		perron_pool_free(p);
		return -ENOMEM;
	}
	/* The last one given back is the next one taken: few buffers are touched. */
	for (uint32_t i = 0; i < count; i++)
		p->free[i] = count - 1 - i;
	p->free_count = count;
	return 0;
}

void perron_pool_free(struct perron_pool *p)
{
	free(p->buffers);
	free(p->free);
	*p = (struct perron_pool){0};
}

uint32_t perron_pool_take(struct perron_pool *p)
{
	PERRON_ASSERT(p->free_count > 0);
	uint32_t index = p->free[--p->free_count];

	p->buffers[index].users = 1;
	return index;
}

void perron_pool_hold(struct perron_pool *p, uint32_t index)
{
	PERRON_ASSERT(index < p->count && p->buffers[index].users > 0);
	p->buffers[index].users++;
}

void perron_pool_release(struct perron_pool *p, uint32_t index)
{
	PERRON_ASSERT(index < p->count && p->buffers[index].users > 0);
	if (--p->buffers[index].users == 0)
		p->free[p->free_count++] = index;
	PERRON_ASSERT(p->free_count <= p->count);
}
