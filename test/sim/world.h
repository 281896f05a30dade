/*
 * The simulator's world: peers with a relay and an overlay each, sensors that offer messages,
 * clients that subscribe, what goes wrong, and what must hold all the same.
 *
 *	plan.c      the seed's choices: topology, timing, rates, bounds, faults
 *	peer.c      a peer's life: start, attach, crash, restart, leave
 *	client.c    a client's life and wishes
 *	sensor.c    messages, and the record of what was accepted
 *	fault.c     what goes wrong, and the heal
 *	tree.c      invariants of the tree
 *	stream.c    invariants of the streams
 *	world.c     phases, and the tie of all of it to the engine
 *
 * A run has four phases: faults until `heal_ns`; then the network is perfect again and everybody
 * lives, and the overlay must have converged at `converged_ns`; sensors go on until `quiet_ns`;
 * what was accepted must have arrived, and nothing may be held any more, at `until_ns`.
 */
#ifndef PERRON_TEST_SIM_WORLD_H
#define PERRON_TEST_SIM_WORLD_H

#include "ft/relay.h"
#include "overlay/client.h"
#include "overlay/overlay_ops.h"
#include "test/sim/sim.h"

#define WORLD_OVERLAY_ID          77u
#define WORLD_CLIENT_COUNT_MAX    6u
#define WORLD_SUBSCRIPTION_MAX    8u
#define WORLD_SENSOR_COUNT_MAX    64u
#define WORLD_STATION_PEERS_MAX   3u
#define WORLD_PORT_BASE           7400u
#define WORLD_EPOCH_NS            (UINT64_C(1700000000) * SIM_S) /* of overlay time */

#define WORLD_PROFILES(X)                                                                          \
	X(NONE, "none")                                                                            \
	X(NETWORK, "network")                                                                      \
	X(CRASH, "crash")                                                                          \
	X(ALL, "all")                                                                              \
	X(GROUPS, "groups") /* a world of its own: cell.h */

enum world_profile {
#define X(name, text) WORLD_PROFILE_##name,
	WORLD_PROFILES(X)
#undef X
	WORLD_PROFILE_COUNT
};

enum world_event_kind {
	WORLD_EVENT_START = SIM_EVENT_WORLD, /* index: node */
	WORLD_EVENT_SENSOR,                  /* index: sensor; value: when it was read */
	WORLD_EVENT_CLIENT,                  /* index: client: a look at its wishes */
	WORLD_EVENT_FAULT,
	WORLD_EVENT_CRASH, /* index: station */
	WORLD_EVENT_RESTART,
	WORLD_EVENT_STRANGER,
	WORLD_EVENT_HEAL,
	WORLD_EVENT_LOOK, /* whether the overlay has converged */
	WORLD_EVENT_CONVERGED,
	WORLD_EVENT_QUIET,
};

struct world_options {
	uint64_t seed;
	uint32_t peer_count_min;
	uint32_t peer_count_max;
	enum world_profile profile;
	enum sim_mutant mutant;
	uint64_t until_ns;
	uint64_t step_max;
	FILE *trace;
	bool verbose;
};

/* What the seed chose. */
struct world_plan {
	uint32_t peer_count;
	uint32_t client_count;
	uint32_t sensor_count;
	uint32_t station_count;
	uint32_t portal_count;
	uint8_t level_count;
	uint8_t span;
	uint8_t cell_size;
	uint64_t heal_ns;
	uint64_t converged_ns;
	uint64_t quiet_ns;
	uint64_t until_ns;
	uint64_t start_spread_ns; /* peers start within this */
	bool small_bounds;
	bool reboots; /* a restarted station's clock starts anew */

	bool network; /* what goes wrong */
	bool crash;
	uint64_t fault_interval_ns;
	uint32_t partition_weight;
	uint32_t crash_weight;
	uint32_t stall_weight;
	uint32_t leave_weight;
	bool is_shared; /* calm as well, and sensors hang on two peers each */
	uint32_t twin_first; /* index of the first of the second pair */
	bool is_calm; /* crashes of sensors' stations, one at a time */
	bool root_is_weak; /* what strikes, strikes the root cell every other time */
	uint64_t partition_ns_max;
	uint64_t dead_ns_min;
	uint64_t dead_ns_max;
	uint64_t stall_ns_max;
	uint64_t stranger_interval_ns; /* 0: none */
	uint64_t clock_error_ns;

	struct sim_net net; /* as it was before the heal */
	struct perron_relay_config relay;     /* what all peers have in common */
	struct perron_overlay_config overlay;
	struct perron_client_config client;
};

/* What a peer's view said last. */
struct world_view {
	uint64_t version;
	uint8_t state;
	bool is_root;
	bool is_root_coordinator;
	uint64_t key; /* of the position */
	struct perron_position position;
	uint64_t epoch;
	uint64_t lease_until_ns; /* virtual time */
	uint32_t parent;
	uint32_t coordinator;
	uint32_t child_count;
	struct {
		uint32_t id;
		uint32_t incarnation;
	} children[PERRON_NEIGHBOUR_COUNT_MAX];
};

struct world_peer {
	struct perron_relay *relay;
	struct perron_overlay *overlay;
	uint32_t incarnation;
	bool has_wish;
	bool leaving;
	struct perron_position wish;
	struct world_view view;
};

/* An accepted frame. */
struct world_record {
	uint64_t sequence;
	uint64_t hash; /* of the payload, and of what belongs to the message in the header */
	uint64_t at_ns;
	uint8_t kept; /* bit: class, held by a survivor when its sensor's peer was killed */
};

struct world_sensor {
	char name[PERRON_SENSOR_NAME_MAX + 1];
	uint32_t stream;
	uint32_t peer; /* index */
	uint32_t twin; /* index of another peer of its cell at which it hangs as well; SIM_NONE */
	bool apart;    /* they were seen in two cells: no promise holds */
	uint64_t first_ns; /* shared: of reading 0 */
	uint64_t readings; /* shared: read by somebody so far, the latest and all before */
	bool traced;
	uint64_t period_ns;
	uint32_t size_max; /* of a message, bytes */
	struct perron_qos qos; /* what its clients ask for */
	uint64_t killed_ns;
	uint64_t killed_strikes; /* faults, when its peer was killed last; 0: others were under way */
	uint64_t messages; /* offered */
	uint64_t answers[PERRON_OFFER_COUNT];
	struct world_record *records;
	uint32_t record_count;
	uint32_t record_capacity;
};

/* A subscription as the host saw it. */
struct world_subscription {
	bool used;
	bool bounded; /* by a latency, or a number of replicas, that may be refused */
	uint32_t sensor; /* index; UINT32_MAX: one that does not exist */
	uint8_t class;
	uint64_t start; /* first sequence, as the client says; 0: not known yet */
	uint64_t last;  /* sequence delivered last; 0: none yet */
	uint64_t delivered;
	uint64_t missed; /* accepted, between deliveries, and never delivered */
	uint64_t reading; /* shared: the next is of this number (and fragment); 0: none yet */
	uint32_t fragment;
	uint64_t delivered_at_ns;
	uint64_t since_ns;
	uint64_t lost_then; /* what the client had counted lost when all had converged */
};

struct world_client {
	struct perron_client *client;
	uint32_t incarnation;
	uint32_t wish_count;
	struct world_subscription subscriptions[WORLD_SUBSCRIPTION_MAX];
};

struct world {
	struct sim sim;
	struct world_options options;
	struct world_plan plan;
	struct perron_random random;  /* workload */
	struct perron_random trouble; /* faults */
	const struct perron_overlay_ops *ops;
	struct world_peer *peers;
	struct world_client *clients;
	struct world_sensor *sensors;
	struct perron_portal portal[PERRON_PORTAL_COUNT_MAX];
	struct perron_view view; /* scratch */
	uint64_t healed_at_ns;    /* 0: not yet */
	uint64_t joined_at_ns;    /* when all was well first after the heal; 0: not yet */
	uint64_t full_at_ns;      /* when all peers were joined first */
	uint64_t started_at_ns;   /* when a peer was started last */
	uint64_t whole_at_ns;     /* when all was well first; 0: not yet */
	uint64_t delivered;
	uint64_t strikes;     /* faults, of every kind */
	uint64_t kept;        /* frames that others held when their sensor's peer was killed */
	uint64_t kept_missed; /* of them, passed over at a client */
	uint64_t crashes;
	uint64_t command_errors;
	uint32_t twin; /* mutant: the peer that claims another's position */
};

struct world_result {
	uint64_t steps;
	uint32_t peers;
	uint64_t violations;
	uint64_t digest;
	struct sim_violation first;
};

const char *world_profile_name(uint32_t profile);

/* What a run came to; prints its violations and closing line. */
void world_result_take(const struct sim *s, uint32_t peers, FILE *out,
		       struct world_result *result);
/* Runs one seed and prints its violations and its closing line to `out` (NULL: nothing). */
void world_run(const struct world_options *options, FILE *out, struct world_result *result);

/* plan.c: who there is, then, with the engine made for so many, everything else */
void plan_population(struct world *w);
void plan_draw(struct world *w);
void plan_print(const struct world *w, FILE *out);

/* peer.c */
uint64_t clock_draw(struct world *w);
void peers_make(struct world *w);
void peers_free(struct world *w);
void peer_start(struct world *w, uint32_t node);
void peer_leave(struct world *w, uint32_t node);
static inline bool is_peer(const struct world *w, uint32_t node)
{
	return node < w->plan.peer_count;
}

/* client.c; nodes of clients follow those of peers */
void clients_make(struct world *w);
void clients_free(struct world *w);
void client_start(struct world *w, uint32_t node);
void client_look(struct world *w, uint32_t index);

/* sensor.c */
void sensors_make(struct world *w);
void sensors_free(struct world *w);
void sensor_fire(struct world *w, uint32_t index, uint64_t stamp_ns);
struct world_sensor *sensor_of_stream(struct world *w, uint32_t stream);
/* Index of the first record whose sequence is not below `sequence`. */
uint32_t sensor_record(const struct world_sensor *sensor, uint64_t sequence);
uint64_t sensor_frame_hash(const uint8_t *data, const struct perron_header *header);

/* shared.c: sensors that hang on two peers of a cell */
void shared_draw(struct world *w, struct world_sensor *s);
void shared_fire(struct world *w, uint32_t index, bool at_twin, uint64_t stamp_ns);
void shared_deliver(struct world *w, uint32_t client, struct world_subscription *u,
		    const struct world_sensor *s, const uint8_t *data,
		    const struct perron_header *h);
void shared_look(struct world *w);
/* Some sensor hangs on peers of two cells, which is no way to attach one. */
bool shared_is_parted(const struct world *w);
/* All is well first: from now on it is judged. */
void shared_begin(struct world *w);
void shared_check_end(struct world *w, uint32_t client, const struct world_subscription *u);

/* fault.c */
void faults_begin(struct world *w);
void fault_strike(struct world *w);
void station_crash(struct world *w, uint32_t station);
void station_restart(struct world *w, uint32_t station);
void world_heal(struct world *w);

/* tree.c */
void tree_note(struct world *w, uint32_t node);
void tree_check_all(struct world *w);
/* How many peers are not where they should be; `text` says which and why. */
uint32_t tree_missing(struct world *w, char *text, uint32_t size);

/* stream.c */
void stream_deliver(struct sim *s, uint32_t node, uint32_t slot, uint32_t subscription);
void stream_check_client(struct world *w, uint32_t node);
/* A peer was killed: which frames of its sensors do others hold? */
void stream_note_killed(struct world *w, uint32_t node);
/* A peer that is back soon takes its sensors back before its heirs have sent on what they hold. */
void stream_note_started(struct world *w, uint32_t node);
void stream_check_peer(struct world *w, uint32_t node);
uint32_t stream_missing(struct world *w, char *text, uint32_t size);
void stream_note_converged(struct world *w);
void stream_check_delivering(struct world *w);
void stream_check_end(struct world *w);

#endif
