/*
 * A lcore on the test's own thread: real mbufs (an EAL without huge pages), machines and a port
 * that only write down what happens to them.
 */
#ifndef PERRON_TEST_UNIT_RUNTIME_LCORE_HOST_H
#define PERRON_TEST_UNIT_RUNTIME_LCORE_HOST_H

#include "runtime/lcore/effects.h"
#include "runtime/lcore/lcore.h"
#include "runtime/lcore/loop.h"
#include "runtime/lcore/transmit.h"
#include "test/unit/support.h"

#define HOST_MACHINE_COUNT 3
#define HOST_SENT_MAX	   512
#define HOST_ADDRESS	   0x0a000001u /* 10.0.0.1 */
#define HOST_NEIGHBOUR	   0x0a000002u
#define HOST_PORT_BASE	   7400
#define HOST_POOL_COUNT	   2047u
#define HOST_OVERLAY	   7

/* What a machine of the tests does with what it gets; each function may be NULL. */
struct host_machine {
	uint32_t index;
	void (*on_input)(struct host_machine *m, const struct perron_frame *in, uint32_t count,
			 struct perron_effects *out);
	void (*on_tick)(struct host_machine *m, struct perron_effects *out);
	void (*on_offer)(struct host_machine *m, const struct perron_frame *frames, uint32_t count,
			 bool traced, struct perron_effects *out);
	uint64_t deadline_ns;
	uint32_t inputs; /* calls */
	uint32_t frames; /* frames in them */
	uint32_t commands;
	uint32_t ticks;
	uint32_t offers;
	uint32_t delivered;
	uint32_t last_command_size;
	bool refuses; /* offers */
	bool carries; /* a stream */
};

/* A step as it happened: which machine, which class, how many frames. */
struct host_step {
	uint32_t machine;
	uint8_t class;
	uint32_t count;
};

struct host {
	struct perron_lcore l;
	struct perron_machine machines[HOST_MACHINE_COUNT];
	struct host_machine mine[HOST_MACHINE_COUNT];
	struct perron_lcore_port port;
	struct rte_mbuf *to_receive[HOST_SENT_MAX];
	uint32_t to_receive_count;
	struct rte_mbuf *sent[HOST_SENT_MAX];
	uint8_t sent_class[HOST_SENT_MAX];
	uint32_t sent_count;
	uint32_t room; /* frames that the port takes */
	uint8_t full;  /* 1 + a class of which it takes none; 0: of every class */
	struct host_step steps[HOST_SENT_MAX];
	uint32_t step_count;
	struct perron_views places;
};

extern struct host host;

/* Group set-up and teardown of a test program. */
int host_begin(void **state);
int host_end(void **state);
/* Before and after each test; the latter demands that every mbuf came back. */
int host_reset(void **state);
int host_check(void **state);

/* An encoded frame of `payload_size` bytes to machine `index` (id index + 1). */
struct rte_mbuf *host_frame(uint32_t index, uint8_t class, uint32_t payload_size, bool traced);
/* Puts it where frames wait to be stepped. */
void host_give(uint32_t index, uint8_t class, uint32_t payload_size, bool traced);
/* Frees what the port has taken. */
void host_sent_free(void);
/* A hop's fields to party `destination`. */
struct perron_hop host_hop(uint32_t destination);
struct perron_endpoint host_endpoint(uint32_t address);
/* An empty set of effects, as machines get it. */
struct perron_effects *host_effects(void);

#endif
