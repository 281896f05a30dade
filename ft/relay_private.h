/* The relay's inside, shared by its three files; nobody else includes it. */
#ifndef PERRON_FT_RELAY_PRIVATE_H
#define PERRON_FT_RELAY_PRIVATE_H

#include "ft/relay.h"
#include "ft/replica.h"
#include "ft/standby.h"
#include "runtime/base/map.h"
#include "runtime/base/qos.h"

/* Handles let go of in one call: bounds the effects of a big acknowledgement; the rest waits. */
#define RELAY_RELEASE_MAX 256
/* Frames sent again in one tick, all paths together. */
#define RELAY_RETRY_MAX 32
/* A branch that waits below its floor is told again after this: when it acknowledges, when not. */
#define RELAY_GAP_NS	    5000000u
#define RELAY_GAP_REPEAT_NS 50000000u

struct relay_stream {
	uint32_t stream; /* 0: free */
	uint64_t next;   /* sequence of the next frame taken */
	bool is_standby; /* a sibling publishes what the sensor says, and this peer reads along */
	uint64_t behind; /* taken over: readings below are the last owner's already; 0: none */
	struct perron_standby readings;
	uint64_t *drop;  /* by cause: messages that no path could take */
};

#define RELAY_COPY_MAX (PERRON_GROUP_MEMBER_COUNT_MAX - 1)

/* A sibling that holds copies of a path's frames. */
struct relay_copy {
	uint32_t peer;
	uint32_t incarnation;
	bool started;          /* it has said what it holds */
	struct perron_ack ack; /* that */
	uint64_t floor_said;
	uint64_t said_at_ns;
};

struct relay_copies {
	struct perron_group_view_id view; /* they were chosen in it */
	uint32_t count;
	uint64_t due_ns;       /* floors are to be said; 0: no */
	uint64_t period_at_ns; /* passive: the period ends; 0: none is under way */
	uint64_t period_from;  /* where the copying of a period goes on; 0: at its beginning */
	struct relay_copy items[RELAY_COPY_MAX];
};

/* Frames held for a primary, which is a sibling, or this peer itself (passive). */
struct relay_replica {
	bool used;
	bool is_origin; /* the stream's sensor is attached to the primary */
	uint8_t class;
	uint32_t stream;
	uint32_t primary;
	uint32_t incarnation;
	uint32_t next; /* of the same path, for another primary; PERRON_MAP_NONE */
	uint64_t ack_due_ns; /* 0: nothing to be said */
	uint64_t heard_ns;
	struct perron_replica frames;
};

/* A path and, where the sensor is here, what is kept until it is acknowledged. */
struct relay_path {
	struct perron_path path;
	struct perron_origin *origin; /* NULL: relayed */
	bool early;                   /* frames came before it was known from where it starts */
	bool adopted;                 /* the origin is gone, and this peer is its successor */
	uint64_t *drop;               /* by cause; beside, as it is seldom touched */
	uint32_t deadline_us;         /* the tightest bound asked for; 0: none */
	uint64_t expire_at_ns;        /* when to look for branches that nobody renewed */
	uint64_t linger_until_ns;     /* without branches: kept until then; 0: has some */
	uint64_t gap_at_ns;           /* when to look for branches that lack a GAP; 0: none */
	uint64_t serve_from;          /* replicas from here on are still to be sent; 0: none */
	uint64_t keep_until_ns;       /* what went by is kept: clients may be yet to come; 0: no */
	struct perron_qos qos;        /* the strongest that was asked for */
	struct relay_copies copies;
};

struct perron_relay {
	struct perron_relay_config cfg;
	struct perron_origin_retry retry;
	struct perron_relay_counters counters;
	uint64_t deadline_ns;
	uint32_t release_budget; /* of this call */
	uint32_t path_high; /* paths from here on were never used */
	uint32_t path_count;
	struct perron_link *links;
	struct perron_detector *detectors; /* one a link */
	struct relay_path *paths;
	struct relay_stream *streams;
	struct perron_standby_reading *readings;
	struct perron_standby_copy *copies;
	struct perron_origin *origins;
	struct perron_origin_frame *origin_frames;
	struct perron_branch *branches;
	uint64_t *drops; /* PERRON_DROP_COUNT for each path, then for each stream */
	struct perron_group *group;
	struct perron_map link_by_peer;
	struct perron_map path_by_key;
	struct relay_replica *replicas;
	struct perron_replica_slot *replica_slots;
	uint32_t replica_high; /* replicas from here on were never used */
	uint32_t replica_frame_count;
	struct perron_group_view_id orphan_view; /* housekeeping was told of all orphans in it */
	struct perron_map replica_by_key;
};

static inline void relay_drop(struct perron_relay *r, enum perron_drop cause)
{
	r->counters.drop[cause]++;
}

/* The same, of a stream: `of` is a path's or a sensor's own count, NULL where none is known. */
static inline void relay_drop_of(struct perron_relay *r, uint64_t *of, enum perron_drop cause,
				 uint64_t count)
{
	r->counters.drop[cause] += count;
	if (of)
		of[cause] += count;
}

static inline struct perron_detector *relay_detector(struct perron_relay *r,
						     const struct perron_link *l)
{
	return &r->detectors[l - r->links];
}

static inline bool relay_link_is_watched(const struct perron_link *l)
{
	return l->state == PERRON_LINK_OPENING || l->state == PERRON_LINK_UP;
}

static inline void relay_wake_at(struct perron_relay *r, uint64_t at_ns)
{
	if (at_ns < r->deadline_ns)
		r->deadline_ns = at_ns;
}

bool relay_hop(struct perron_relay *r, uint64_t now_ns, const struct perron_party *to,
	       struct perron_hop *hop);
/* Numbers the next frame on a link, and has its detector know. */
void relay_link_hop(struct perron_relay *r, uint64_t now_ns, struct perron_link *l,
		    struct perron_hop *hop);
/* Judges who is at a link's other end; true: it was called down, and all were told. */
bool relay_link_judge(struct perron_relay *r, uint64_t now_ns, struct perron_link *l,
		      struct perron_effects *out);
/* A link that frames may be sent on and taken from, or NULL. */
struct perron_link *relay_link(struct perron_relay *r, uint32_t peer);
struct relay_path *relay_path(struct perron_relay *r, uint32_t stream, uint8_t class);
struct relay_stream *relay_stream(struct perron_relay *r, uint32_t stream);

/* Sends a frame of the relay's own making; false if `to` is a peer without a link. */
bool relay_send(struct perron_relay *r, uint64_t now_ns, const struct perron_party *to,
		struct perron_header *header, const uint8_t *payload, struct perron_effects *out);

void relay_data(struct perron_relay *r, uint64_t now_ns, const struct perron_frame *frame,
		const struct perron_header *header, struct perron_effects *out);
void relay_gap(struct perron_relay *r, uint64_t now_ns, const struct perron_header *header,
	       struct perron_effects *out);
void relay_ack(struct perron_relay *r, uint64_t now_ns, const struct perron_frame *frame,
	       const struct perron_header *header, struct perron_effects *out);
void relay_branch_ready(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct perron_branch *b, struct perron_effects *out);
void relay_gap_send(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		    struct perron_branch *b, struct perron_effects *out);
/* What the branches acknowledged has changed: lets go (origin), or is to be said upstream. */
void relay_acknowledged(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			struct perron_effects *out);
/* Retries (at most *retry_budget) and acknowledgements that are due. */
void relay_path_tick(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		     uint32_t *retry_budget, struct perron_effects *out);
/* Lets go of what closed paths still keep. */
void relay_origins_drain(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out);
uint64_t relay_path_deadline_ns(const struct relay_path *p);
/* A branch lacks what went by already: has the origin send it again at once. */
void relay_resend(struct perron_relay *r, uint64_t now_ns, struct relay_path *p);
/* An origin whose last branch was lost: what it keeps is kept for the branch that comes again. */
void relay_linger(struct perron_relay *r, uint64_t now_ns, struct relay_path *p);
/* Ends a path without branches: what its origin kept is let go. */
void relay_path_close(struct perron_relay *r, uint64_t now_ns, struct relay_path *p);

/*
 * A sibling says that it does not reach a peer any more: the silence that is allowed on our own
 * link with it halves, until it is heard again. Without such a link nothing happens.
 */
void perron_relay_witness(struct perron_relay *r, uint64_t now_ns, uint32_t peer);

/* Sends a frame to each branch that lacks it: how many. */
uint32_t relay_fan_out(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		       uint64_t sequence, uint64_t handle, uint8_t frame_flags,
		       struct perron_effects *out);

/* --- relay_copies.c --- */

/* A frame was taken in, or given out here: does what the path's policy says. */
void relay_replicate(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		     uint64_t sequence, uint64_t handle, struct perron_effects *out);
/* Whether this peer holds what it passes on. */
bool relay_path_holds(const struct relay_path *p);
/* The origin sends a frame again: to copies that lack it, too. */
void relay_copies_retry(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			uint64_t sequence, uint64_t handle, struct perron_effects *out);
/* What is acknowledged has grown: copies are told soon. */
void relay_copies_acknowledged(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			       struct perron_effects *out);
void relay_qos_raise(struct perron_relay *r, struct relay_path *p, const struct perron_qos *qos);
void relay_copies_tick(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		       struct perron_effects *out);
uint64_t relay_copies_deadline_ns(const struct relay_path *p);
enum perron_drop relay_copy_ack(struct perron_relay *r, const struct perron_frame *frame,
				const struct perron_header *header);

/* --- relay_replica.c --- */

/* The first buffer of a path's, its index; the others follow by `next`. PERRON_MAP_NONE: none. */
uint32_t relay_replica_first(const struct perron_relay *r, uint32_t stream, uint8_t class);
struct relay_replica *relay_replica_of(const struct perron_relay *r, uint32_t stream, uint8_t class,
				       uint32_t primary, uint32_t incarnation);
/* NULL, counted: no room. `key`: its stream and class. */
struct relay_replica *relay_replica_make(struct perron_relay *r, uint64_t now_ns,
					 const struct perron_path *key, uint32_t primary,
					 uint32_t incarnation, uint64_t floor);
/* Holds a frame, or drops and counts it. */
void relay_replica_hold(struct perron_relay *r, struct relay_replica *b, uint64_t sequence,
			uint64_t handle, struct perron_effects *out);
/*
 * A path begins where others stood, or a sibling that had it is gone: its clients come one by one,
 * and the last may lack what the first has acknowledged. So for a while what goes by is kept.
 */
void relay_keep_begin(struct perron_relay *r, uint64_t now_ns, struct relay_path *p);
bool relay_path_keeps(const struct relay_path *p, uint64_t now_ns);
void relay_keep(struct perron_relay *r, uint64_t now_ns, struct relay_path *p, uint64_t sequence,
		uint64_t handle, struct perron_effects *out);
void relay_keep_tick(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
		     struct perron_effects *out);
/* Lets go of what stands below the floor, as far as this call's budget goes. */
void relay_replica_sweep(struct perron_relay *r, uint64_t now_ns, struct relay_replica *b,
			 struct perron_effects *out);
enum perron_drop relay_replica_data(struct perron_relay *r, uint64_t now_ns,
				    const struct perron_frame *frame,
				    const struct perron_header *header,
				    struct perron_effects *out);
enum perron_drop relay_replica_floor(struct perron_relay *r, uint64_t now_ns,
				     const struct perron_header *header,
				     struct perron_effects *out);
void relay_replicas_tick(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out);
uint64_t relay_replica_deadline_ns(const struct perron_relay *r, const struct relay_replica *b);
void relay_replicas_check(const struct perron_relay *r);

/* --- relay_standby.c --- */

/* What a sensor said, in a frame of it: the same at each peer that reads it. */
uint32_t relay_reading_hash(const uint8_t *payload, uint32_t length, bool traced, uint8_t fragment,
			    uint8_t fragment_count);
/* Its owner is a sibling: what it says is kept until the owner's copy was seen. */
void relay_standby_offer(struct perron_relay *r, struct relay_stream *s,
			 const struct perron_header *header, const struct perron_frame *frame,
			 struct perron_effects *out);
/* After the takeover: whether the last owner had taken this reading. */
bool relay_standby_had(struct relay_stream *s, uint32_t hash, struct perron_effects *out);
/* A copy is held (or was acknowledged), and its reading need not be. */
void relay_standby_copy(struct perron_relay *r, const struct relay_replica *b,
			const struct perron_header *header, const uint8_t *payload,
			struct perron_effects *out);
void relay_standby_floor(struct perron_relay *r, uint64_t now_ns, uint32_t stream);
void relay_standbys_tick(struct perron_relay *r, struct perron_effects *out);
/* A reading of our own becomes the frame of that number; false: there is none. */
bool relay_standby_take(struct relay_stream *s, uint64_t sequence, uint32_t deadline_us,
			uint64_t *handle);
/* From owner to standby. -EBUSY: it is not done with what it was before. */
int relay_stream_yield(struct perron_relay *r, uint64_t now_ns, struct relay_stream *s);
void relay_standby_begin(struct perron_relay *r, struct relay_stream *s);

/* --- relay_successor.c --- */

/* Housekeeping is told whose frames are held, when who took them in is no member any more. */
void relay_orphans_tell(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out);
/* A frame of the path's that is held here, for whomever. */
bool relay_replica_find(const struct perron_relay *r, const struct relay_path *p,
			uint64_t sequence, uint64_t *handle);
/* The first of the path's that is held from `sequence` on, for whomever; 0: none. */
uint64_t relay_replica_next(const struct perron_relay *r, const struct relay_path *p,
			    uint64_t sequence);
/* Sends what is held from *from on to the branches that lack it; false: there is more. */
bool relay_replica_serve(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			 uint64_t *from, struct perron_effects *out);
/*
 * What a peer that is gone had taken in, and is held here, is sent on from here, as by an origin.
 * -ENOENT: nothing is held; -ENOSPC.
 */
int relay_adopt(struct perron_relay *r, uint64_t now_ns, uint32_t stream,
		const struct perron_party *of, struct perron_effects *out);
/*
 * From standby to owner: what the last one (`of`; id 0: nobody is known) had taken in and is held
 * here goes on from here, then the readings that it had not taken. If nothing is known of it, its
 * numbers begin at `first`.
 */
int relay_succeed(struct perron_relay *r, uint64_t now_ns, struct relay_stream *s,
		  const struct perron_party *of, uint64_t first, struct perron_effects *out);
/* Serves the branches that waited for the path to start. */
void relay_branches_start(struct perron_relay *r, uint64_t now_ns, struct relay_path *p,
			  struct perron_effects *out);
/* The path, with an origin that begins at `first`, whatever it was; NULL: a table is full. */
struct relay_path *relay_path_adopt(struct perron_relay *r, uint64_t now_ns, uint32_t stream,
				    uint8_t class, uint64_t first);

/* The sensor is elsewhere again: what was taken over and is not acknowledged yet is let go. */
void relay_path_unadopt(struct perron_relay *r, uint64_t now_ns, struct relay_path *p);

/* Commands of housekeeping's. */
void relay_event_link(struct perron_relay *r, const struct perron_link *l, uint8_t kind,
		      const struct perron_evidence *evidence, struct perron_effects *out);
void relay_frame_send(struct perron_relay *r, const struct perron_party *to,
		      const struct perron_hop *hop, struct perron_header *header,
		      const uint8_t *payload, struct perron_effects *out);

#endif
