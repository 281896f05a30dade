/*
 * The simulator's other world: one cell, whose peers are real relays (ft/relay, and in it
 * ft/group) under a small script for housekeeping, what is multicast among them, what goes wrong,
 * and what extended virtual synchrony promises all the same (paper 004, 1375-1500).
 *
 *	cell_plan.c   the seed's choices: timing, rates, bounds, faults
 *	cell_peer.c   a peer's life, and its keeper: the script that steers its relay
 *	cell_load.c   what is sent, with its causal past; light-weight groups joined and left
 *	cell_fault.c  what goes wrong, and the heal
 *	cell_watch.c  messages given to a peer: what can be said at once
 *	cell_view.c   views and groups told to a peer: what can be said at once
 *	cell_check.c  what only the end tells
 *	cell.c        phases, and the tie of all of it to the engine
 *
 * A run has phases as in the other world: faults until `heal_ns`; then the network is perfect and
 * everybody lives and is in the cell, and there must be one view at `converged_ns`, which stays;
 * sending ends at `quiet_ns`; all must be delivered and stable at `until_ns`.
 *
 * Words: a stay is a peer's time in a cell, within one incarnation: it begins with a view of its
 * own and is what the properties speak of. A passage is a stay's time in one regular view and in
 * the transitional one that ends it.
 */
#ifndef PERRON_TEST_SIM_CELL_H
#define PERRON_TEST_SIM_CELL_H

#include "ft/relay.h"
#include "test/sim/sim.h"
#include "test/sim/world.h"

#define CELL_PEER_COUNT_MAX PERRON_GROUP_MEMBER_COUNT_MAX
#define CELL_STAY_COUNT_MAX 1024u
#define CELL_GROUP_COUNT    4u /* light-weight groups in use: 1 to this */
#define CELL_TINY_SIZE	    4u /* messages below carry no full number */
#define CELL_TINY_COUNT_MAX 256u

enum cell_event_kind {
	CELL_EVENT_START = SIM_EVENT_WORLD, /* index: node */
	CELL_EVENT_LOAD,		    /* index: node */
	CELL_EVENT_FAULT,
	CELL_EVENT_STRIKE,  /* a fault that follows upon another */
	CELL_EVENT_CRASH,   /* index: station */
	CELL_EVENT_RESTART, /* index: station */
	CELL_EVENT_RETURN,  /* index: node: back to the cell it had left */
	CELL_EVENT_STRANGER,
	CELL_EVENT_HEAL,
	CELL_EVENT_LOOK, /* whether all is well */
	CELL_EVENT_CONVERGED,
	CELL_EVENT_QUIET,
	CELL_EVENT_STILL,
};

/* What the seed chose. */
struct cell_plan {
	uint32_t peer_count;
	uint32_t station_count;
	uint64_t heal_ns;
	uint64_t converged_ns;
	uint64_t light_quiet_ns; /* groups are joined and left until then */
	uint64_t quiet_ns;
	uint64_t still_ns; /* from here on, nobody has anything to say but that it is there */
	uint64_t until_ns;
	uint64_t start_spread_ns; /* peers start within this */
	bool small_bounds;
	bool wraps;   /* the numbers of packets and stamps do, early in the run */
	bool reboots; /* a restarted station's clock starts anew */

	uint64_t fault_interval_ns; /* what goes wrong */
	uint32_t partition_weight;
	uint32_t cut_weight;
	uint32_t crash_weight;
	uint32_t stall_weight;
	uint32_t move_weight; /* to no cell or another, and back */
	uint32_t cascade_ppm; /* of strikes that others follow at once */
	uint32_t ambush_ppm;  /* of changes of view in which something is struck */
	uint64_t partition_ns_max;
	uint64_t cut_ns_max;
	uint64_t dead_ns_max;
	uint64_t stall_ns_max;
	uint64_t stranger_interval_ns; /* 0: none */

	uint64_t reopen_ns_max;	   /* until the keeper opens a link again */
	uint64_t refresh_ns;	   /* the keeper says all links again this often */
	uint64_t load_interval_ns; /* of each peer, on average */
	uint32_t burst_ppm;	   /* of its sendings: until there is no room */
	uint32_t large_ppm;	   /* of its messages: as large as they may be */
	uint32_t light_ppm;	   /* of its messages: to a light-weight group */
	uint64_t cells[2];	   /* the keys of ours and of the other */

	struct sim_net net;		  /* as it was before the heal */
	struct perron_relay_config relay; /* what all peers have in common */
};

/* What stands for housekeeping: says the cell, opens links, opens them again. Local times. */
struct cell_keeper {
	struct cell *world;
	uint32_t node;
	uint64_t cell;
	bool has_said; /* the cell, to the relay */
	uint64_t refresh_at_ns;
	uint64_t open_at_ns[CELL_PEER_COUNT_MAX]; /* UINT64_MAX: was opened */
	uint32_t known[CELL_PEER_COUNT_MAX];	  /* incarnations */
};

struct cell_light {
	bool is_certain; /* told that it is in, and has not asked to leave since */
	bool is_told;	 /* the same, in this view */
	uint8_t member_count;
	uint32_t members[PERRON_GROUP_MEMBER_COUNT_MAX];
};

/* A message that was taken from a peer. */
struct cell_message {
	uint32_t stay;	 /* its sender's */
	uint32_t number; /* among the stay's, from 0 */
	uint32_t group;
	uint32_t size;
	uint8_t service;
	bool self_in;	    /* its sender was in the group, and had not asked to leave */
	bool in_change;	    /* it was taken while the view of then was being changed */
	uint32_t view_then; /* its sender's regular view */
	uint32_t view;	    /* the regular view it is delivered in; SIM_NONE: not yet */
	uint64_t at_ns;
	uint32_t *past; /* of each stay: one above the last causal message that precedes */
	uint32_t past_count;
	uint64_t given[CELL_STAY_COUNT_MAX / 64]; /* to whom, a bit a stay */
	uint32_t owed;			  /* safe: to these members of its view, a bit each */
	uint32_t owed_by;		  /* as it was given to this stay */
	uint64_t light[CELL_GROUP_COUNT]; /* agreed: who is in a group then, a hash; 0: not known */
};

/* A regular view. */
struct cell_view {
	struct perron_group_view view;
	uint32_t passage; /* the last that began; SIM_NONE */
};

struct cell_passage {
	uint32_t stay;
	uint32_t view;
	uint32_t before;   /* the same stay's; SIM_NONE */
	uint32_t beside;   /* another's through the same view; SIM_NONE */
	uint32_t together; /* members of the view that go on with this one; 0: it lasts */
	uint32_t steady;   /* groups that the stay was in for certain all the time */
	uint64_t light[CELL_GROUP_COUNT]; /* who was in a group at its end */
	uint32_t regular;      /* what was given to the stay: the regular part begins here */
	uint32_t transitional; /* and the transitional part here */
	uint32_t end;
};

enum cell_stay_end { CELL_STAY_LASTS, CELL_STAY_LEFT, CELL_STAY_CRASHED };

struct cell_stay {
	uint32_t node;
	uint32_t incarnation;
	uint64_t cell;
	uint8_t end; /* enum cell_stay_end */
	bool transitional;
	uint32_t passage;
	uint32_t wanted;  /* groups that it asked to be in, and not to leave; a bit each */
	uint32_t leaving; /* groups that it asked to leave, and was not told so yet */
	struct cell_light light[CELL_GROUP_COUNT + 1]; /* as it was told */
	uint32_t *sent;				       /* messages */
	uint32_t sent_count;
	uint32_t sent_capacity;
	uint32_t sent_out;  /* of these: went out in the present view or before */
	uint32_t self_done; /* of these: given to it, or it need not be */
	uint32_t *given;    /* messages, in their order */
	uint32_t given_count;
	uint32_t given_capacity;
	uint32_t *last;	   /* by stay: one above the number of the last message given */
	uint32_t *seen;	   /* by stay: the past of all that was given and is causal */
	uint32_t *scanned; /* by stay: the past that was looked for in this view */
};

struct cell_peer {
	struct perron_relay *relay;
	struct cell_keeper keeper;
	uint32_t incarnation;
	uint8_t slot;
	uint32_t stay;			   /* SIM_NONE: in no cell */
	struct perron_group_message piece; /* the message under way to the user; without data */
	uint32_t piece_count;		   /* pieces of it; 0: none is */
	uint8_t *data;			   /* their bytes */
	uint32_t data_size;
	uint32_t tiny[CELL_TINY_SIZE][CELL_TINY_COUNT_MAX]; /* messages, by size and first byte */
	uint32_t tiny_count[CELL_TINY_SIZE];
	bool in_change;
	uint64_t strikes_then; /* when the change began */
	uint64_t taken;	       /* of messages tried since all converged */
	uint64_t refused;
};

struct cell_counts {
	uint64_t given[2][PERRON_GROUP_SERVICE_COUNT]; /* [transitional] */
	uint64_t sent[PERRON_GROUP_SERVICE_COUNT];
	uint64_t sent_in_change;
	uint64_t fragmented; /* messages given in more than one piece */
	uint64_t would_block;
	uint64_t no_cell;
	uint64_t too_large;
	uint64_t views;
	uint64_t merges;      /* regular views whose members come from more than one */
	uint64_t parted;      /* transitional views that are less than the regular one */
	uint64_t cascade_max; /* strikes within one change of one peer */
	uint64_t together;    /* pairs that moved together, compared */
	uint64_t lights;
	uint64_t light_given; /* messages to light-weight groups */
	uint64_t owed;	      /* deliveries of safe messages demanded of others */
	uint64_t crashes;
	uint64_t moves;
	uint64_t partitions;
	uint64_t cuts;
	uint64_t stalls;
};

struct cell {
	struct sim sim;
	struct world_options options;
	struct cell_plan plan;
	struct perron_random random;  /* workload and keepers */
	struct perron_random trouble; /* faults */
	struct cell_peer *peers;
	struct cell_message *messages;
	uint32_t message_count;
	uint32_t message_capacity;
	struct cell_stay *stays;
	uint32_t stay_count;
	struct cell_view *views;
	uint32_t view_count;
	uint32_t view_capacity;
	struct cell_passage *passages;
	uint32_t passage_count;
	uint32_t passage_capacity;
	uint32_t *marks; /* scratch, a word a message */
	uint32_t marks_capacity;
	uint8_t *scratch;  /* a message's bytes */
	uint32_t size_max; /* of a message */
	uint64_t strikes;
	uint64_t healed_at_ns;
	uint64_t joined_at_ns; /* when all was well first after the heal */
	bool has_converged;
	uint64_t frames_then; /* sent until all was still */
	struct perron_group_message lie; /* mutant: a message kept back */
	uint8_t lie_data[PERRON_GROUP_FRAGMENT_SIZE];
	struct cell_counts counts;
};

/* Runs one seed of the profile `groups`: world_run hands it over. */
void cell_run(const struct world_options *options, FILE *out, struct world_result *result);

/* Room for one more of `size` bytes each in an array that grows. */
void *cell_grow(void *items, uint32_t count, uint32_t *capacity, size_t size);
/* The state of a peer's group. */
void cell_info(const struct cell *w, uint32_t node, struct perron_group_info *out);
/* Who is not as they should be when all is well; `text` says which and why. */
uint32_t cell_missing(const struct cell *w, char *text, uint32_t size);

/* cell_plan.c */
void cell_plan_population(struct cell *w);
void cell_plan_draw(struct cell *w);
void cell_plan_print(const struct cell *w, FILE *out);

/* cell_peer.c */
void cell_peers_make(struct cell *w);
void cell_peers_free(struct cell *w);
void cell_peer_start(struct cell *w, uint32_t node);
/* Has its keeper move it to a cell; 0: to none. */
void cell_peer_move(struct cell *w, uint32_t node, uint64_t cell);

/* cell_load.c */
void cell_load(struct cell *w, uint32_t node);
/* A message's bytes; false: it is too small to carry its number. */
bool cell_message_write(const struct cell *w, uint32_t message, uint8_t *data, uint32_t size);
/* The message that these bytes from this peer are; SIM_NONE: none. */
uint32_t cell_message_find(const struct cell *w, uint32_t sender, const uint8_t *data,
			   uint32_t size);

/* cell_fault.c */
void cell_faults_begin(struct cell *w);
void cell_fault_strike(struct cell *w, bool is_first);
void cell_ambush(struct cell *w);
void cell_station_crash(struct cell *w, uint32_t station);
void cell_station_restart(struct cell *w, uint32_t station);
void cell_heal(struct cell *w);

/* cell_watch.c */
void cell_watch_message(struct cell *w, uint32_t node, const struct perron_group_message *m);
static inline bool cell_was_given(const struct cell_message *m, uint32_t stay)
{
	return m->given[stay / 64] >> stay % 64 & 1;
}
/* Whether the stay has been in the group since the view began. */
bool cell_is_addressed(const struct cell *w, uint32_t stay, const struct cell_message *m);

/* cell_view.c */
void cell_watch_view(struct cell *w, uint32_t node, const struct perron_group_view *v);
void cell_watch_light(struct cell *w, uint32_t node, const struct perron_group_light *l);
/* After a step: what the peer's group says of itself. */
void cell_watch_info(struct cell *w, uint32_t node);
void cell_stay_end(struct cell *w, uint32_t node, enum cell_stay_end how);
/* The view of this id and cell; SIM_NONE: nobody was told of one. */
uint32_t cell_view_find(const struct cell *w, const struct perron_group_view *v);
/* Where a member stands in a view; SIM_NONE: nowhere. */
uint32_t cell_member_index(const struct perron_group_view *v, uint32_t peer, uint32_t incarnation);
bool cell_light_has(const struct cell_light *l, uint32_t peer);
/* Who is in a group, as the stay was told in this view; 0: it was not, or is to leave. */
uint64_t cell_light_hash(const struct cell_stay *s, uint32_t group);

/* cell_check.c */
void cell_check_order(struct cell *w); /* at any time */
void cell_check_end(struct cell *w);

static inline uint32_t cell_peer_id(const struct cell *w, uint32_t stay)
{
	return w->sim.nodes[w->stays[stay].node].id;
}

#endif
