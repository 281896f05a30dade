/*
 * Frame buffers, all made at once, each with a count of its users. Private to libperron; one
 * thread.
 */
#ifndef PERRON_APPS_LIBPERRON_POOL_H
#define PERRON_APPS_LIBPERRON_POOL_H

#include "runtime/base/frame.h"

/* One byte more than a frame shows what is too long. */
#define PERRON_BUFFER_SIZE ((PERRON_FRAME_SIZE_MAX + 1 + 63) / 64 * 64)

struct perron_buffer {
	uint64_t received_ns;
	uint32_t users;
	uint32_t length;
	_Alignas(64) uint8_t data[PERRON_BUFFER_SIZE];
};

struct perron_pool {
	struct perron_buffer *buffers;
	uint32_t *free; /* indices of unused buffers */
	uint32_t count;
	uint32_t free_count;
};

/* -ENOMEM. */
int perron_pool_init(struct perron_pool *p, uint32_t count) PERRON_MUST_USE;
void perron_pool_free(struct perron_pool *p);
/* The index of a buffer with one user. There is one: the caller sized the pool for its needs. */
uint32_t perron_pool_take(struct perron_pool *p);
void perron_pool_hold(struct perron_pool *p, uint32_t index);
/* One user less; the last one gives the buffer back. */
void perron_pool_release(struct perron_pool *p, uint32_t index);

#endif
