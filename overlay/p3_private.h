/* P3's inside, shared by its files (p3*.c); nobody else includes it. */
#ifndef PERRON_OVERLAY_P3_PRIVATE_H
#define PERRON_OVERLAY_P3_PRIVATE_H

#include "overlay/control.h"
#include "overlay/directory.h"
#include "overlay/membership.h"
#include "overlay/p3.h"
#include "overlay/path.h"
#include "overlay/registry.h"
#include "overlay/verdict.h"
#include "runtime/base/random.h"

#define P3_MS UINT64_C(1000000)
/* Clients whose sensor is being looked for elsewhere. */
#define P3_SEARCH_COUNT_MAX 16

/* A peer that a link is open to, and why. */
struct p3_neighbour {
	struct perron_party party;
	struct perron_position position;
	uint8_t roles;
	bool up;
};

/* A branch of a path, as housekeeping knows it: towards a client. */
struct p3_branch {
	struct perron_party party; /* a neighbour, or a client */
	uint32_t nonce;            /* of the client's request */
	uint32_t latency_us;       /* bound; 0: none */
	uint32_t spent_us;         /* estimate from the client to here */
	uint8_t hops;              /* from the client to here */
	struct perron_qos qos;
	bool firm;                 /* refused if it cannot have all of `qos` */
	bool ready;                /* was answered */
	bool gone;                 /* its link went down: kept until another is served */
	uint64_t expires_ns;
};

struct p3_path {
	struct perron_sensor_entry sensor;
	uint32_t stream; /* 0: free */
	uint8_t class;
	bool ready;            /* the upstream answered since it was chosen */
	uint32_t upstream;     /* neighbour; 0: the sensor is here, or no way is known */
	uint32_t old_upstream; /* to be told when the new one has answered */
	uint32_t below_us;     /* estimate from here to the sensor */
	uint8_t below_hops;
	uint64_t renew_at_ns;
	uint32_t branch_count;
	struct p3_branch *branches;
};

struct p3_search {
	uint32_t nonce; /* 0: free */
	struct perron_party client;
	struct perron_subscribe subscribe;
	uint64_t expires_ns;
};

struct perron_overlay {
	struct perron_overlay_config cfg;
	struct perron_random random;
	uint64_t version;
	const char *why;
	uint64_t drops[PERRON_DROP_COUNT];

	uint8_t state;
	int root_index; /* in the portal list; -1: not of the root cell */
	struct perron_position position;
	bool has_position;
	bool has_wish;
	struct perron_position wish;
	uint64_t wish_until_ns;

	/* The request that is under way, whatever the state asks for. */
	uint64_t request_at_ns; /* when to send it (again) */
	uint32_t request_tries;
	uint32_t attempt;
	uint32_t nonce;
	uint32_t portal_next;       /* BINDING: whom to ask */
	struct perron_portal redirect; /* BINDING: asked to ask there; peer 0: none */
	uint64_t duplicate_since_ns;

	struct perron_members siblings; /* as the root last told */
	struct perron_members parents;  /* candidates */
	bool parents_are_a_view;        /* as the parent told them; else as the root */
	uint32_t parent_next;
	uint32_t parent_tries;

	struct perron_group_view view; /* of the cell; member_count 0: none yet */
	uint64_t doubt_until_ns;       /* most of the cell went at once: perhaps it was us who went */
	uint64_t cell_told;            /* key of the cell that the relay was told of; 0: none */
	uint8_t slot_told;

	/* Joined. */
	uint64_t epoch;
	uint64_t lease_until_ns;
	uint64_t renew_at_ns;
	uint64_t join_sent_ns; /* of `nonce` */

	/* The root's coordinator. */
	bool reigning;
	uint64_t root_elect_at_ns; /* root peers: not before the others could have been heard */
	bool root_elected;         /* since then each change of the links decides */
	uint64_t root_bind_at_ns;
	uint32_t root_coordinator; /* as of the last election */
	uint64_t grace_until_ns;
	uint64_t expire_at_ns;
	struct perron_registry registry;

	uint64_t advertise_at_ns;
	uint32_t stamp;
	struct perron_directory directory;
	struct p3_search searches[P3_SEARCH_COUNT_MAX];

	uint32_t assert_first; /* the neighbour that is said again first; runs free */
	uint32_t neighbour_count;
	struct p3_neighbour neighbours[PERRON_NEIGHBOUR_COUNT_MAX];
	struct p3_path *paths;
	struct p3_branch *branches;
};

static inline uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* p3.c */
void p3_changed(struct perron_overlay *o);
void p3_drop(struct perron_overlay *o, enum perron_drop cause);
bool p3_is_joined(const struct perron_overlay *o, uint64_t now_ns);
bool p3_is_root(const struct perron_overlay *o);
/* The root peer of that id, as the portal list has it, or NULL. */
const struct perron_portal *p3_portal(const struct perron_overlay *o, uint32_t peer);
/* The time until a repeated request: jittered, so that many peers do not march in step. */
uint64_t p3_request_ns(struct perron_overlay *o);
void p3_send(struct perron_overlay *o, const struct perron_party *to, uint8_t type,
	     const uint8_t *payload, uint32_t size, struct perron_effects *out);
struct perron_party p3_self(const struct perron_overlay *o);

/* p3_neighbour.c */
struct p3_neighbour *p3_neighbour(struct perron_overlay *o, uint32_t peer);
struct p3_neighbour *p3_neighbour_of(struct perron_overlay *o, const struct perron_event *event,
				     uint8_t role);
struct p3_neighbour *p3_parent(struct perron_overlay *o);
/* Opens the link if need be; NULL: no room, or known from a later life. */
struct p3_neighbour *p3_neighbour_add(struct perron_overlay *o, uint64_t now_ns,
				      const struct perron_party *party,
				      const struct perron_position *position, uint8_t role,
				      struct perron_effects *out);
/* Takes roles away; without any left the link is closed. */
void p3_neighbour_drop(struct perron_overlay *o, uint32_t peer, uint8_t roles, bool say_leave,
		       struct perron_effects *out);
void p3_neighbours_drop_all(struct perron_overlay *o, uint8_t roles, struct perron_effects *out);
/* Says every link again: a command or an event may have found its ring full. */
void p3_neighbours_assert(struct perron_overlay *o, struct perron_effects *out);
void p3_link_up(struct perron_overlay *o, const struct perron_event *event,
		struct perron_effects *out);
void p3_link_down(struct perron_overlay *o, uint64_t now_ns, const struct perron_party *party,
		  struct perron_effects *out);

/* p3_cell.c: the cell, as its group agrees on it */
uint32_t p3_cell_coordinator(const struct perron_overlay *o);
/* Members of the present view, this peer among them. */
uint32_t p3_cell_size(const struct perron_overlay *o);
/* The same, as far as they are neighbours, this peer first. */
void p3_cell_members(struct perron_overlay *o, struct perron_members *out);
/* Whether the relay was told of which cell and slot this peer is; tells it (again). */
bool p3_cell_is_told(const struct perron_overlay *o);
void p3_cell_tell(struct perron_overlay *o, struct perron_effects *out);
void p3_sibling_tell(struct perron_overlay *o, const struct p3_neighbour *n,
		     struct perron_effects *out);
void p3_view_take(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		  struct perron_effects *out);
/* To a child: who else of our cell could be its parent. */
void p3_members_send(struct perron_overlay *o, const struct perron_party *child,
		     struct perron_effects *out);
void p3_members(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		struct perron_effects *out);
void p3_cell_set(struct perron_overlay *o, const struct perron_members *siblings);
/* Binds to siblings that are not bound yet; true if all have answered. */
bool p3_cell_bind(struct perron_overlay *o, struct perron_effects *out);
void p3_bind(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
	     struct perron_effects *out);
void p3_bind_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		   struct perron_effects *out);

/* p3_join.c: a member's way into the tree */
void p3_join_restart(struct perron_overlay *o, uint64_t now_ns, const char *why,
		     struct perron_effects *out);
void p3_parent_lost(struct perron_overlay *o, uint64_t now_ns, uint32_t peer);
void p3_join_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out);
void p3_binding_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		      struct perron_effects *out);
void p3_parent_request(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		       struct perron_effects *out);
void p3_parent_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		     struct perron_effects *out);
void p3_join(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
	     struct perron_effects *out);
void p3_join_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		   struct perron_effects *out);
void p3_leave(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
	      struct perron_effects *out);

/* p3_root.c: the root cell */
void p3_root_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out);
/* Root peers: the coordinator may be another now. */
void p3_root_elect(struct perron_overlay *o, uint64_t now_ns);
void p3_binding_request(struct perron_overlay *o, uint64_t now_ns,
			const struct perron_event *event, struct perron_effects *out);
/* The coordinator's answer to a join. */
void p3_root_validate(struct perron_overlay *o, uint64_t now_ns, const struct perron_join *join,
		      struct perron_join_reply *reply);

/* p3_directory.c: sensors */
void p3_stream_open(struct perron_overlay *o, const struct perron_directory_entry *e,
		    struct perron_effects *out);
void p3_directory_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out);
void p3_advertise_soon(struct perron_overlay *o, uint64_t now_ns);
void p3_advertise(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		  struct perron_effects *out);
/* Sensors that hang here: who publishes them may be another now. */
void p3_owners_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out);
void p3_discover(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		 struct perron_effects *out);
void p3_discover_reply(struct perron_overlay *o, uint64_t now_ns,
		       const struct perron_event *event, struct perron_effects *out);
/* A sibling is gone at whose sensor frames were taken in that are held here. */
void p3_orphaned(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		 struct perron_effects *out);
/* The owner of a sensor that was taken over is a member again. */
void p3_orphans_return(struct perron_overlay *o, uint64_t now_ns);
/* Starts a search for a client's sensor. */
void p3_search(struct perron_overlay *o, uint64_t now_ns, const struct perron_party *client,
	       const struct perron_subscribe *subscribe, struct perron_effects *out);

/* p3_path.c: subscriptions and paths */
void p3_path_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out);
uint64_t p3_path_deadline_ns(const struct perron_overlay *o);
/* Ends every path of a stream: its clients ask again. */
void p3_path_drop(struct perron_overlay *o, uint32_t stream, struct perron_effects *out);
/* A neighbour's link went down: its branches hold up nobody who is served. */
void p3_path_lost(struct perron_overlay *o, const struct perron_party *party,
		  struct perron_effects *out);
/* It was taken for gone, and is not. */
void p3_path_found(struct perron_overlay *o, const struct perron_party *party,
		   struct perron_effects *out);
/* The way to a sensor may have changed: looks again at the next tick. */
void p3_path_stir(struct perron_overlay *o, uint64_t now_ns, uint32_t stream);
void p3_subscribe(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		  struct perron_effects *out);
void p3_subscribe_reply(struct perron_overlay *o, const struct perron_party *client,
			const struct perron_subscribe_reply *reply, struct perron_effects *out);
void p3_unsubscribe(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		    struct perron_effects *out);
void p3_path_setup(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		   struct perron_effects *out);
void p3_path_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		   struct perron_effects *out);
void p3_path_teardown(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		      struct perron_effects *out);
void p3_branch_ready(struct perron_overlay *o, const struct perron_event *event,
		     struct perron_effects *out);
void p3_resume(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
	       struct perron_effects *out);

#endif
