/* A small EAL for tests of ports: no huge pages, no devices, no files, no privileges. */
#ifndef PERRON_TEST_UNIT_DRIVERS_PORT_EAL_H
#define PERRON_TEST_UNIT_DRIVERS_PORT_EAL_H

#include "test/unit/support.h"

#include <sched.h>
#include <stdio.h>

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#define POOL_COUNT 2047

static struct rte_mempool *pool;

/* For cmocka's group: 0, or the group cannot run. */
static int eal_start(void **state)
{
	char lcores[32];
	(void)state;
	snprintf(lcores, sizeof(lcores), "--lcores=0@%d", sched_getcpu());
	char *arguments[] = {"test",
			     "--no-huge",
			     "--no-shconf",
			     "--no-pci",
			     "--no-telemetry",
			     "--log-level=critical",
			     "-m",
			     "32",
			     lcores,
			     NULL};
	if (rte_eal_init(9, arguments) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("test", POOL_COUNT, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

static int eal_end(void **state)
{
	(void)state;
	rte_mempool_free(pool);
	return rte_eal_cleanup();
}

/* A frame of 100 bytes that holds its number. */
static struct rte_mbuf *frame_make(uint32_t number)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(pool);
	assert_non_null(frame);
	uint32_t *data = (uint32_t *)rte_pktmbuf_append(frame, 100);
	assert_non_null(data);
	*data = number;
	return frame;
}

static uint32_t frame_number(const struct rte_mbuf *frame)
{
	return *rte_pktmbuf_mtod(frame, const uint32_t *);
}

/* Every test ends with all buffers back in the pool. */
static void assert_nothing_leaks(void)
{
	assert_int_equal(rte_mempool_avail_count(pool), POOL_COUNT);
}

#endif
