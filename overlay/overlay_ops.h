/*
 * What the runtime asks of an overlay: a machine on the housekeeping thread that builds a topology
 * of peers, finds sensors in it and sets up paths. It is chosen at boot by its name; P3
 * (overlay/p3.h) is the first. Paper 001, 2.1: "parametric in the choice of the overlay".
 *
 * The machine hears of its peer's relay by events and steers it by commands (EFFECT_COMMAND);
 * everything that travels between peers goes through the relay.
 *
 * Pure; the housekeeping thread.
 */
#ifndef PERRON_OVERLAY_OVERLAY_OPS_H
#define PERRON_OVERLAY_OVERLAY_OPS_H

#include "overlay/position.h"
#include "runtime/base/effects.h"

#define PERRON_PORTAL_COUNT_MAX 16
#define PERRON_SENSOR_NAME_MAX  31 /* characters, without the zero */

struct perron_portal {
	uint32_t peer;
	struct perron_endpoint endpoint;
};

struct perron_overlay_config {
	uint32_t peer;
	uint32_t incarnation;
	struct perron_endpoint endpoint;
	uint64_t seed;

	struct perron_portal portal[PERRON_PORTAL_COUNT_MAX]; /* the root cell, in order */
	uint32_t portal_count;
	uint8_t level_count; /* depth of the tree: 1 is a root cell alone */
	uint8_t span;        /* cells below a cell */
	uint8_t cell_size;   /* peers a cell, below the root */
	bool has_wish;
	struct perron_position wish; /* the cell that the peer would like */

	uint64_t lease_ns;   /* a position is kept this long without renewal */
	uint64_t request_ns; /* an unanswered request is repeated after this */
	uint64_t link_timeout_ns;

	uint32_t neighbour_count_max;
	uint32_t registry_count_max;  /* peers of the overlay; used by root peers */
	uint32_t directory_count_max; /* sensors of the sub-tree */
	uint32_t path_count_max;
	uint32_t branch_count_max;
};

#define PERRON_OVERLAY_STATES(X)                                                                   \
	X(BINDING, "binding")  /* asks the root cell for a cell */                                \
	X(BIND, "bind")        /* binds to its siblings */                                        \
	X(PARENT, "parent")    /* asks the cell above for a parent */                             \
	X(JOINING, "joining")  /* its join climbs */                                              \
	X(JOINED, "joined")                                                                        \
	X(ORPHAN, "orphan")    /* joined, parent lost: asks for another */                        \
	X(LEFT, "left")        /* by command; for good */                                         \
	X(REFUSED, "refused")  /* another peer has this id */

enum perron_overlay_state {
#define X(name, text) PERRON_OVERLAY_##name,
	PERRON_OVERLAY_STATES(X)
#undef X
	PERRON_OVERLAY_STATE_COUNT
};

#define PERRON_ROLE_SIBLING 0x01u
#define PERRON_ROLE_PARENT  0x02u
#define PERRON_ROLE_CHILD   0x04u

struct perron_neighbour_view {
	struct perron_party party;
	struct perron_position position;
	uint8_t roles; /* PERRON_ROLE_* */
	uint8_t up;
};

#define PERRON_NEIGHBOUR_COUNT_MAX 64

/* A peer's place in the overlay, as published. */
struct perron_view {
	uint64_t version; /* grows with each change */
	uint32_t peer;
	uint32_t incarnation;
	uint8_t state;     /* enum perron_overlay_state */
	uint8_t is_root;   /* of the root cell */
	uint8_t is_root_coordinator;
	struct perron_position position; /* valid from BIND on */
	uint64_t epoch;                  /* of the root coordinator that validated it */
	uint64_t lease_until_ns;
	uint32_t coordinator; /* of the cell */
	uint32_t parent;      /* 0: none */
	uint32_t neighbour_count;
	struct perron_neighbour_view neighbours[PERRON_NEIGHBOUR_COUNT_MAX];
	char why[96]; /* what it waits for, or why it was refused */
};

/* A sensor known here. */
struct perron_sensor_view {
	char name[PERRON_SENSOR_NAME_MAX + 1];
	uint32_t stream;
	uint32_t owner; /* the peer it is attached to */
	uint32_t via;   /* the neighbour it is reached by; 0: attached here */
};

struct perron_overlay_path_view {
	uint32_t stream;
	uint8_t class;
	uint8_t ready;
	uint32_t upstream; /* 0: attached here */
	uint32_t branch_count;
	uint32_t hops; /* from here to the sensor */
	uint32_t latency_us; /* estimate from here to the sensor */
};

struct perron_overlay; /* an overlay's own struct */

struct perron_overlay_ops {
	const char *name;
	size_t (*size)(const struct perron_overlay_config *cfg);
	/* -EINVAL: a field out of range. */
	int (*init)(struct perron_overlay *o, const struct perron_overlay_config *cfg,
		    uint64_t now_ns);
	void (*event)(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		      struct perron_effects *out);
	void (*tick)(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out);
	uint64_t (*deadline_ns)(const struct perron_overlay *o);
	/* A sensor is attached to this peer. -EEXIST, -ENOSPC, -EINVAL (its name). */
	int (*attach)(struct perron_overlay *o, uint64_t now_ns, const char *name,
		      struct perron_effects *out);
	/* Leaves the overlay in order. */
	void (*leave)(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out);
	/* The place as of now (a lease that ran out counts). */
	void (*view)(const struct perron_overlay *o, uint64_t now_ns, struct perron_view *out);
	uint32_t (*sensors)(const struct perron_overlay *o, struct perron_sensor_view *out,
			    uint32_t max);
	uint32_t (*paths)(const struct perron_overlay *o, struct perron_overlay_path_view *out,
			  uint32_t max);
	/* Control frames dropped, by cause: PERRON_DROP_COUNT of them. */
	const uint64_t *(*drops)(const struct perron_overlay *o);
	void (*check)(const struct perron_overlay *o, uint64_t now_ns);
};

/* FNV-1a of a sensor's name; never 0. */
uint32_t perron_stream_id(const char *sensor_name);
/* 1 to PERRON_SENSOR_NAME_MAX of [A-Za-z0-9._/-]. */
bool perron_sensor_name_is_valid(const char *name);
const char *perron_overlay_state_name(uint8_t state);
void perron_overlay_config_default(struct perron_overlay_config *cfg);
/* NULL if there is none of that name. */
const struct perron_overlay_ops *perron_overlay_find(const char *name);

#endif
