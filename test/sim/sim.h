/*
 * The simulator's engine: virtual time, one seed, and the planes that machines run on. It hosts a
 * machine as the station does: commands or events, a burst, a tick if one is due, and after each
 * call the effects in their order, with a crash between any two of them if the plan wants one.
 *
 *	agenda -> turn of a plane -> call of its machine -> effects -> network, queues, other planes
 *
 * The engine knows no protocol. What the peers are, what goes wrong, and what must hold is the
 * world's (world.h), which hangs on `hooks`; a test hangs on its own.
 *
 * Same seed, same run: all order comes from the agenda and from lists, all chance from `random`,
 * and the digest takes in every step with its time, plane, kind and bytes, never an address.
 */
#ifndef PERRON_TEST_SIM_SIM_H
#define PERRON_TEST_SIM_SIM_H

#include <setjmp.h>
#include <stdio.h>

#include "runtime/base/command.h"
#include "runtime/base/effects.h"
#include "runtime/base/frame.h"
#include "runtime/base/random.h"
#include "test/sim/heap.h"
#include "test/sim/pool.h"

#define SIM_US UINT64_C(1000)
#define SIM_MS UINT64_C(1000000)
#define SIM_S  UINT64_C(1000000000)

/* Violations that are kept, those of one property, and how many end a run. */
#define SIM_VIOLATION_COUNT_MAX 10
#define SIM_VIOLATION_LIKE_MAX  3
#define SIM_VIOLATION_COUNT_END 100
#define SIM_TEXT_SIZE           320
#define SIM_PARTITION_COUNT_MAX 4
#define SIM_CUT_COUNT_MAX       8
#define SIM_MEMORY_COUNT_MAX    32
#define SIM_ADDRESS_FIRST       0x0a000001u

/* Kinds of the engine's own appointments; the world's start at SIM_EVENT_WORLD. */
enum sim_event_kind {
	SIM_EVENT_ARRIVE, /* index: slot */
	SIM_EVENT_TURN,   /* index: plane, value: generation */
	SIM_EVENT_HEAL_PARTITION,
	SIM_EVENT_HEAL_CUT,
	SIM_EVENT_WORLD,
};

/* What a step was, for the digest and the trace. */
enum sim_step_kind {
	SIM_STEP_INPUT = 1,
	SIM_STEP_COMMAND,
	SIM_STEP_EVENT,
	SIM_STEP_TICK,
	SIM_STEP_OTHER, /* of the world's making: attach, offer, subscribe, leave */
};

struct sim_machine_ops {
	const char *name;
	void (*input)(void *m, uint64_t now_ns, const struct perron_frame *in, uint32_t count,
		      struct perron_effects *out);
	int (*command)(void *m, uint64_t now_ns, const struct perron_command *command,
		       struct perron_effects *out);
	void (*event)(void *m, uint64_t now_ns, const struct perron_event *event,
		      struct perron_effects *out);
	void (*tick)(void *m, uint64_t now_ns, struct perron_effects *out);
	uint64_t (*deadline_ns)(const void *m);
	void (*check)(const void *m, uint64_t now_ns);
};

/* A plane of a node: where one machine runs. */
struct sim_plane {
	const struct sim_machine_ops *ops;
	void *machine;
	uint64_t turn_at_ns; /* UINT64_MAX: no turn is on the agenda */
	uint32_t turn_generation;
	uint32_t busy_ticks; /* one after the other that left their deadline in the past */
	uint64_t stalled_until_ns;
	uint64_t record_at_ns; /* of the latest record in the queue: they do not overtake */
	uint32_t hold_count_max; /* its machine's bound; checked after each step */
	struct sim_list inbox;   /* frames */
	struct sim_list records; /* commands or events */
	struct sim_list held;
	uint64_t hold_count; /* with repetition */
};

enum { SIM_FAST, SIM_SLOW, SIM_PLANE_COUNT };

/* A peer (lcore and housekeeping) or a client (SIM_FAST alone). */
struct sim_node {
	uint32_t id;
	uint32_t station;
	uint16_t port_base;
	bool alive;
	uint32_t crash_countdown; /* effects to apply before it dies; 0: it does not */
	uint64_t dropped;         /* its machines' effects that found no room */
	struct sim_plane planes[SIM_PLANE_COUNT];
};

/* One address and one clock: local = base + elapsed, which runs `drift_ppm` fast. */
struct sim_station {
	uint32_t node_first;
	uint32_t node_count;
	uint64_t clock_base_ns;
	uint64_t clock_start_ns; /* virtual time at which it showed the base */
	int64_t drift_ppm;
};

struct sim_partition {
	bool active;
	bool one_way; /* out of the set is cut, into it is not */
	uint8_t *inside; /* a byte a station */
};

/* Two stations that do not reach each other, whoever else they reach. */
struct sim_cut {
	bool active;
	bool one_way; /* `to` reaches `from` */
	uint32_t from;
	uint32_t to;
};

struct sim_net {
	uint64_t delay_ns_min;
	uint64_t delay_ns_max;
	uint64_t jitter_ns;
	uint32_t loss_ppm;
	uint32_t duplicate_ppm;
	uint32_t reorder_ppm;
	uint32_t corrupt_ppm;
	uint32_t replay_ppm;
	uint64_t salt; /* of the delay between two stations */
	struct sim_partition partitions[SIM_PARTITION_COUNT_MAX];
	struct sim_cut cuts[SIM_CUT_COUNT_MAX];
	uint32_t memory[SIM_MEMORY_COUNT_MAX]; /* slots of old frames, to be replayed */
};

/* How a host may be made to lie, to see whether the invariants notice. */
#define SIM_MUTANTS(X)                                                                             \
	X(NONE, "none")                                                                            \
	X(DUPLICATE_DELIVER, "duplicate-deliver")                                                  \
	X(DROP_DELIVER, "drop-deliver")                                                            \
	X(ALTER_DELIVER, "alter-deliver")                                                          \
	X(SWAP_DELIVER, "swap-deliver")                                                            \
	X(DROP_HOLD, "drop-hold")                                                                  \
	X(DROP_RELEASE, "drop-release")                                                            \
	X(TWIN_POSITION, "twin-position")                                                          \
	X(DEAF_PEER, "deaf-peer")                                                                  \
	X(DROP_MESSAGE, "drop-message")                                                            \
	X(DUPLICATE_MESSAGE, "duplicate-message")                                                  \
	X(ALTER_MESSAGE, "alter-message")                                                          \
	X(SWAP_MESSAGES, "swap-messages")                                                          \
	X(DROP_TRANSITIONAL, "drop-transitional")                                                  \
	X(FEW_TRANSITIONAL, "few-transitional")                                                    \
	X(FEW_MEMBERS, "few-members")                                                              \
	X(DROP_LIGHT, "drop-light")

enum sim_mutant {
#define X(name, text) SIM_MUTANT_##name,
	SIM_MUTANTS(X)
#undef X
	SIM_MUTANT_COUNT
};

/* From here on they are of the world of one cell; the one before it as well. */
#define SIM_MUTANT_CELL_FIRST SIM_MUTANT_DROP_MESSAGE

struct sim;

struct sim_hooks {
	/* A client's machine gives a frame on. */
	void (*deliver)(struct sim *s, uint32_t node, uint32_t slot, uint32_t subscription);
	/* A peer's machine tells its user something; may be NULL. */
	void (*indicate)(struct sim *s, uint32_t node, uint8_t kind, const void *record,
			 uint32_t size);
	/* After each step, its effects applied. */
	void (*stepped)(struct sim *s, uint32_t node, uint32_t plane, enum sim_step_kind kind);
	/* An appointment of the world's. */
	void (*event)(struct sim *s, const struct sim_event *event);
	void (*killed)(struct sim *s, uint32_t node);
	/* A relay refused a command; may be NULL. */
	void (*command_failed)(struct sim *s, uint32_t node, const struct perron_command *command,
			       int error);
};

struct sim_violation {
	uint64_t at_ns;
	uint64_t step;
	char text[SIM_TEXT_SIZE];
};

struct sim {
	uint64_t seed;
	uint64_t now_ns;
	uint64_t steps;
	uint64_t step_max;
	uint64_t digest;
	bool ended;
	struct sim_heap agenda;
	struct sim_pool pool;
	struct perron_random random; /* of the engine and its network */
	struct sim_node *nodes;
	uint32_t node_count;
	struct sim_station *stations;
	uint32_t station_count;
	struct sim_net net;
	uint64_t turn_ns_max;      /* from a frame's arrival to the turn that takes it */
	uint64_t hand_over_ns_max; /* between the planes */
	uint32_t record_count_max; /* in the queue between two planes: a full ring refuses */
	uint64_t records_refused;
	struct perron_effects effects;
	/* Frames that the machine was given in this step. */
	uint32_t step_slots[PERRON_FRAGMENT_COUNT_MAX + PERRON_BURST_MAX];
	uint32_t step_slot_count;
	uint32_t step_node; /* that runs now; SIM_NONE */
	const struct sim_hooks *hooks;
	void *world;
	FILE *trace;
	enum sim_mutant mutant;
	uint64_t mutant_count;
	uint32_t mutant_slot;
	uint64_t frames_sent;
	uint64_t frames_lost;
	uint64_t frames_nowhere; /* nobody lives there */
	uint64_t violation_count;
	uint32_t violation_kept;
	struct sim_violation violations[SIM_VIOLATION_COUNT_MAX];
	jmp_buf failed;
};

/* The engine allocates `node_count` nodes and `station_count` stations, all zero. */
void sim_init(struct sim *s, uint64_t seed, uint32_t node_count, uint32_t station_count,
	      const struct sim_hooks *hooks, void *world);
void sim_free(struct sim *s);

/* Runs until the agenda is empty, `until_ns` has come, or `ended` is set; false: it was stopped
 * by an assertion (recorded as a violation). */
bool sim_run(struct sim *s, uint64_t until_ns);

/* Puts a machine on a plane, with empty queues. */
void sim_plane_start(struct sim *s, uint32_t node, uint32_t plane,
		     const struct sim_machine_ops *ops, void *machine);
/* Stops a node between two effects or steps: what its machines held is the host's again. */
void sim_node_kill(struct sim *s, uint32_t node);
void sim_plane_stall(struct sim *s, uint32_t node, uint32_t plane, uint64_t until_ns);
/* Looks when the plane has to run next; to be called after its machine was called. */
void sim_plane_arm(struct sim *s, uint32_t node, uint32_t plane);

/* A step of the world's making: begin, call the machine with sim->effects, end. */
void sim_step_begin(struct sim *s, uint32_t node);
void sim_step_frame(struct sim *s, uint32_t node, uint32_t slot, struct perron_frame *out);
/* False: the node died between two of the effects. */
bool sim_step_end(struct sim *s, uint32_t node, uint32_t plane, enum sim_step_kind kind);

uint64_t sim_local_ns(const struct sim *s, uint32_t node);
/* The first virtual time at which the node's clock shows at least `local_ns`. */
uint64_t sim_global_ns(const struct sim *s, uint32_t node, uint64_t local_ns);

static inline uint32_t sim_address(uint32_t station)
{
	return SIM_ADDRESS_FIRST + station;
}

/* The network (network.c). */
void sim_send(struct sim *s, uint32_t node, struct perron_endpoint to, uint8_t class,
	      uint32_t slot);
/* Who gets the frame in `slot`; SIM_NONE: nobody. */
uint32_t sim_route(const struct sim *s, uint32_t slot);
void sim_net_heal(struct sim *s);
/* A share of the stations, drawn. */
void sim_partition_begin(struct sim *s, uint64_t until_ns);
/* Those of `inside` (a byte a station); nothing happens if too many are active. */
void sim_partition_split(struct sim *s, const uint8_t *inside, bool one_way, uint64_t until_ns);
void sim_cut_begin(struct sim *s, uint32_t from, uint32_t to, bool one_way, uint64_t until_ns);
/* A frame from nowhere: noise, or well-formed from a peer that is none. */
void sim_net_stranger(struct sim *s, uint32_t overlay);

void sim_digest_word(struct sim *s, uint64_t word);
void sim_digest_bytes(struct sim *s, const uint8_t *data, uint32_t size);

void sim_violation(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The trace (trace.c); all return at once if there is none. */
void sim_trace(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace_frame(struct sim *s, const char *what, const uint8_t *data, uint32_t size);
void sim_trace_step(struct sim *s, uint32_t node, uint32_t plane, enum sim_step_kind kind);
void sim_trace_command(struct sim *s, const struct perron_command *c);
void sim_trace_event(struct sim *s, const struct perron_event *e);

const char *sim_mutant_name(uint32_t mutant);

#endif
