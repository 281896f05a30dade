/*
 * What a lcore hosts: pure machines behind one table of functions, called once a burst. A relay and
 * an in-station client are both such machines; apps/station fills the tables in.
 *
 * Thread: all functions of a machine are called by its lcore alone.
 */
#ifndef PERRON_RUNTIME_LCORE_MACHINE_H
#define PERRON_RUNTIME_LCORE_MACHINE_H

#include "runtime/base/effects.h"

struct perron_machine_ops {
	void (*input)(void *self, uint64_t now_ns, const struct perron_frame *in, uint32_t in_count,
		      struct perron_effects *out);
	/* A record of housekeeping's, by copy. 0 or -errno (counted). */
	int (*command)(void *self, uint64_t now_ns, const void *record, uint32_t size,
		       struct perron_effects *out);
	/*
	 * A message of a sensor here, as `count` frames (ft/relay.h, perron_relay_offer). True:
	 * taken. NULL: the machine has no sensors.
	 */
	bool (*offer)(void *self, uint64_t now_ns, uint32_t stream, uint64_t stamp_ns,
		      const struct perron_frame *frames, uint32_t count, bool traced,
		      struct perron_effects *out);
	void (*tick)(void *self, uint64_t now_ns, struct perron_effects *out);
	uint64_t (*deadline_ns)(const void *self);
	/* Whether anything passes it, so that time counts; asked by any lcore. NULL: always. */
	bool (*carries)(const void *self);
	/* DELIVER: `frame` is good during the call. NULL: the machine delivers nothing. */
	void (*deliver)(void *self, uint64_t now_ns, uint32_t subscription,
			const struct perron_frame *frame);
	/* INDICATE: the record is good during the call. NULL: nobody listens. */
	void (*indicate)(void *self, uint64_t now_ns, uint8_t kind, const void *record,
			 uint32_t size);
};

struct perron_machine {
	const struct perron_machine_ops *ops;
	void *self;
	uint32_t id; /* of the peer or client */
	/* The lcore's own. */
	uint64_t deadline_ns;
	uint64_t command_failures;
	uint32_t burst_count;
	struct perron_frame burst[PERRON_BURST_MAX];
};

#endif
