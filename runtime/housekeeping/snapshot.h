/*
 * The snapshot: what a station tells about itself, as plain rows. The station fills it when asked,
 * on its housekeeping thread; report.c turns it into JSON for people and for telemetry.
 *
 * Rows hold values and no pointers into the station, save for names of enums, which are constant
 * text. Times are ages or lengths in nanoseconds, never points in time, so that a reader needs no
 * clock of the station.
 */
#ifndef PERRON_RUNTIME_HOUSEKEEPING_SNAPSHOT_H
#define PERRON_RUNTIME_HOUSEKEEPING_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/frame.h"

#define PERRON_SNAPSHOT_NAME_SIZE     32
#define PERRON_SNAPSHOT_POSITION_SIZE 32 /* "0.1.0#2", 8 levels below 16: 19 characters at most */
#define PERRON_SNAPSHOT_TEXT_SIZE     128
/* Never: an age of something that has not happened. */
#define PERRON_SNAPSHOT_NEVER UINT64_MAX

struct perron_snapshot_station {
	char name[PERRON_SNAPSHOT_NAME_SIZE];
	char descriptor[256]; /* the file in force */
	const char *version;
	const char *state; /* starting, joining, running, leaving */
	const char *idle;  /* spin, backoff, interrupt */
	uint32_t pid;
	uint32_t address; /* IPv4, host order */
	uint8_t prefix_length;
	uint16_t port_base;
	uint32_t overlay;
	uint8_t depth;
	uint8_t span;
	uint8_t cell_size;
	bool huge_pages;
	uint64_t memory_size; /* of the boot plan */
	uint64_t uptime_ns;
	uint64_t beat_interval_ns;
	uint64_t beat_timeout_ns;
};

/* Verdicts of one peer that are kept. */
#define PERRON_SNAPSHOT_VERDICT_MAX 16

/* A neighbour was called down: why, and what was known. */
struct perron_snapshot_verdict {
	uint32_t neighbour;
	const char *cause;    /* silence, no-answer, one-way, siblings, port-down */
	uint64_t age_ns;      /* since it fell */
	uint64_t silence_ns;  /* since the neighbour had been heard */
	uint64_t expected_ns; /* the most that was allowed */
	uint64_t own_gap_ns;  /* longest gap of our own loop in that time */
};

struct perron_snapshot_peer {
	uint32_t id;
	uint32_t incarnation;
	char position[PERRON_SNAPSHOT_POSITION_SIZE]; /* "" while it has none */
	const char *state;			      /* of its join, e.g. binding, joined */
	bool joined;
	bool coordinator;
	uint32_t parent; /* 0: none, or in the root cell */
	uint32_t core;
	uint32_t view;		  /* number of its cell's view */
	uint32_t member_count;	  /* of its cell */
	uint32_t join_count;	  /* times that it joined */
	uint64_t joined_after_ns; /* from boot to its first joining; NEVER */
	uint64_t state_age_ns;	  /* since `state` was entered */
	uint32_t verdict_count;
	struct perron_snapshot_verdict verdicts[PERRON_SNAPSHOT_VERDICT_MAX]; /* newest first */
};

/* A link of a peer here to a neighbour, with the evidence of its last verdict. */
struct perron_snapshot_link {
	uint32_t peer; /* here */
	uint32_t neighbour;
	uint32_t neighbour_incarnation;
	struct perron_endpoint endpoint;
	const char *role;	 /* parent, child, sibling, client, portal */
	const char *state;	 /* opening, alive, suspected, closed */
	uint64_t last_heard_ns;	 /* age; NEVER */
	const char *detector;	 /* accrual, push, pull */
	uint64_t interval_ns;	 /* of beats, ours and those expected */
	uint64_t timeout_ns_min; /* bounds of what is allowed */
	uint64_t timeout_ns_max;
	uint64_t expected_ns;	 /* silence after which it is suspected, as things stand */
	uint32_t suspicion;	 /* of that, how much has passed; per cent */
	uint64_t own_gap_ns_max; /* longest gap of our own loop during that silence */
	uint64_t round_trip_ns;	 /* smoothed; 0: not measured */
	uint64_t sent;
	uint64_t received;
	uint64_t lost;	   /* link sequences that never came */
	uint32_t verdicts; /* times that it was suspected */
	uint32_t spared;   /* times that our own stall was to blame, and no verdict fell */
	struct perron_snapshot_verdict verdict; /* the last one, if there was one */
};

struct perron_snapshot_stream {
	uint32_t peer; /* here */
	uint32_t stream;
	char sensor[PERRON_SNAPSHOT_NAME_SIZE];
	uint8_t class;		 /* enum perron_class */
	const char *role;	 /* origin, relay */
	uint32_t upstream;	 /* neighbour that it comes from; 0 at its origin */
	uint32_t branch_count;	 /* ways that it goes on by */
	uint32_t client_count;	 /* of those, clients */
	uint32_t latency_max_us; /* strictest bound of its clients; 0: none */
	uint64_t sequence_last;	 /* highest frame seen */
	uint64_t acknowledged;	 /* up to here by every client */
	uint64_t frames;	 /* went through */
	uint64_t bytes;
	uint64_t held;	    /* frames kept for a retry */
	uint64_t retries;   /* frames sent again */
	uint64_t late;	    /* timing faults: past their deadline */
	uint64_t abandoned; /* tries used up */
	uint64_t dropped;   /* every cause */
};

struct perron_snapshot_sensor {
	char name[PERRON_SNAPSHOT_NAME_SIZE];
	char driver[PERRON_SNAPSHOT_NAME_SIZE];
	uint32_t peer;
	uint8_t class;
	const char *state; /* closed, open, silent, waiting */
	char why[PERRON_SNAPSHOT_TEXT_SIZE];
	char reading[PERRON_SNAPSHOT_TEXT_SIZE]; /* what it last saw, for people; "" */
	uint64_t messages;
	uint64_t bytes;
	uint64_t bad; /* checksum, framing and so on: arrived and not given */
	uint64_t missed;
	uint64_t would_block; /* refused by the runtime: too much unacknowledged */
	uint64_t reopens;
	uint64_t last_message_ns; /* age; NEVER */
};

struct perron_snapshot_core {
	uint32_t core;
	const char *role; /* housekeeping, worker */
	const char *idle;
	uint32_t peer_count;
	bool isolated;
	bool stalled;	 /* has taken no turn for a second */
	uint64_t stalls; /* times that it did so; housekeeping's are told by the workers */
	uint64_t turns;
	uint64_t turns_over; /* longer than the threshold */
	uint64_t turn_threshold_ns;
	uint64_t turn_ns_max;
	uint64_t gap_ns_max; /* between the ends of two turns: others had the core */
	uint32_t busy_ppm;   /* share of time in turns that had work */
	uint64_t busy_ns;    /* that time, since boot */
	uint64_t frames_received;
	uint64_t frames_sent;
	uint64_t cycles_per_frame; /* of busy time */
};

struct perron_snapshot_drop {
	uint8_t cause;	 /* enum perron_drop */
	uint32_t peer;	 /* here; 0: before a peer was known */
	uint32_t stream; /* 0: none */
	uint64_t count;
};

/* A peer of the tree, as far as this station knows it. */
struct perron_snapshot_node {
	uint32_t peer;
	char position[PERRON_SNAPSHOT_POSITION_SIZE];
	uint32_t address; /* IPv4, host order; 0: not known */
	uint32_t parent;
	bool coordinator;
	bool here; /* hosted by this station */
	bool alive;
	uint32_t sensor_count;
};

#define PERRON_SNAPSHOT_MEMBER_MAX 16

struct perron_snapshot_member {
	uint32_t peer;
	uint32_t incarnation;
	uint32_t life;
	uint32_t slot;
};

/* A view of a cell, printed NUMBER@LEADER. */
struct perron_snapshot_view {
	char cell[PERRON_SNAPSHOT_POSITION_SIZE]; /* 0.1 */
	uint32_t number;			  /* 0: none */
	uint32_t leader;			  /* peer that led the change */
	uint32_t leader_incarnation;
	uint32_t member_count;
	/* The first one coordinates. */
	struct perron_snapshot_member members[PERRON_SNAPSHOT_MEMBER_MAX];
};

/* What a peer here is in its cell's group. */
struct perron_snapshot_group {
	uint32_t peer;
	const char *state;		  /* of ft/group */
	struct perron_snapshot_view view; /* the regular one */
	uint64_t view_at_ns;		  /* CLOCK_MONOTONIC, as in the history; 0: none */
	uint32_t pending;		  /* packets waiting to be sent */
	uint32_t unstable;		  /* own packets that some member may lack */
	/* ft/group.h, struct perron_group_counters */
	uint64_t views;
	uint64_t attempts;
	uint64_t shunned;
	uint64_t sent;
	uint64_t delivered;
	uint64_t packets;
	uint64_t retransmitted;
	uint64_t discarded;
	uint64_t would_block;
};

/*
 * Something that happened in a cell. Its times are points of CLOCK_MONOTONIC, which all processes
 * of a machine share: so tools compare what several stations of one machine saw.
 */
struct perron_snapshot_history {
	const char *kind; /* view, transitional, link-down */
	uint32_t peer;	  /* here */
	uint64_t at_ns;	  /* when the lcore installed it, or when the verdict fell */
	uint64_t heard_ns;
	struct perron_snapshot_view view; /* of a verdict: the one in force */
	/* The verdict. */
	uint32_t neighbour;
	bool member; /* of the view in force */
	bool one_way;
	const char *cause;
	uint64_t silence_ns;
	uint64_t expected_ns;
	uint64_t own_gap_ns;
};

/*
 * How report.c asks. Each function writes rows from index `first` on, at most `max`, in an order
 * that does not change between two calls, returns how many, and says in `total` how many there are.
 * A NULL function: this station has no such rows. All are called on the housekeeping thread.
 */
struct perron_snapshot_source {
	void *context;
	void (*station)(void *context, struct perron_snapshot_station *out);
	uint32_t (*peers)(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_peer *out, uint32_t *total);
	uint32_t (*links)(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_link *out, uint32_t *total);
	uint32_t (*streams)(void *context, uint32_t first, uint32_t max,
			    struct perron_snapshot_stream *out, uint32_t *total);
	uint32_t (*sensors)(void *context, uint32_t first, uint32_t max,
			    struct perron_snapshot_sensor *out, uint32_t *total);
	uint32_t (*cores)(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_core *out, uint32_t *total);
	uint32_t (*drops)(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_drop *out, uint32_t *total);
	uint32_t (*tree)(void *context, uint32_t first, uint32_t max,
			 struct perron_snapshot_node *out, uint32_t *total);
	uint32_t (*group)(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_group *out, uint32_t *total);
	/* The last ones, oldest first. */
	uint32_t (*history)(void *context, uint32_t first, uint32_t max,
			    struct perron_snapshot_history *out, uint32_t *total);
};

#endif
