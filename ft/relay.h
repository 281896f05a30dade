/*
 * The relay: what one peer does on its lcore. It decodes frames, keeps its links alive
 * (overlay/link), judges who is at their other ends (ft/detector), relays streams along their
 * paths (overlay/path), and is the origin of the streams of the sensors attached to it
 * (ft/origin). Paper 000, III.B.c and d.
 *
 * Everything that takes time or thought happens in housekeeping (overlay/p3), which steers the
 * relay by commands and hears of it by events. All that a relay does in one call is bounded, and
 * allocates nothing.
 *
 * Invariants: a frame leaves on a path only if its class's path was opened and the frame came from
 * the path's upstream; an origin's frame is held until every branch acknowledged it, its tries are
 * used up, or the stream is closed; when its last branch was lost (not given up) it is held a while
 * longer, so that the branch that comes again finds it; what was acknowledged upstream was
 * acknowledged by each branch.
 *
 * Pure; one relay belongs to one thread. Counters may be read by another.
 */
#ifndef PERRON_FT_RELAY_H
#define PERRON_FT_RELAY_H

#include "ft/detector.h"
#include "ft/group.h"
#include "ft/origin.h"
#include "overlay/link.h"
#include "overlay/path.h"
#include "runtime/base/effects.h"

struct perron_relay_config {
	uint32_t peer;
	uint32_t incarnation; /* greater than in any earlier life of the peer */
	uint32_t overlay;
	struct perron_endpoint endpoint;
	uint64_t seed; /* of its tables' hashes */

	uint32_t link_count_max;   /* neighbours: siblings, parent, children */
	uint32_t path_count_max;   /* (stream, class) relayed or originated */
	uint32_t branch_count_max; /* of one path, <= PERRON_BRANCH_COUNT_MAX */
	uint32_t stream_count_max; /* of sensors here */
	uint32_t origin_count_max; /* (stream, class) asked of sensors here */
	uint32_t origin_window;    /* unacknowledged frames of each; a power of two */
	uint32_t standby_window;    /* of each sensor here: readings held by a standby */
	uint32_t replica_count_max; /* (stream, class, path peer) held for siblings, or passively */
	uint32_t replica_window;    /* frames of each; a power of two */
	uint32_t replica_frame_max; /* of all; then the oldest of class normal give way */
	uint32_t client_lag_max;   /* frames a client may be behind before it loses the oldest */

	struct perron_detector_config detector; /* of each link, but for these */
	const struct perron_detector_override *detector_overrides; /* outlive the relay */
	uint32_t detector_override_count;
	uint64_t branch_keep_ns;  /* a branch that housekeeping did not renew for this long ends */
	uint64_t ack_interval_ns; /* acknowledgements upstream wait this long for company */
	uint64_t retry_ns_min;    /* the origin's first time-out; doubles with each try */
	uint64_t retry_ns_max;
	uint32_t retry_count_max; /* then the frame is abandoned */
	uint64_t clock_offset_ns; /* overlay time minus station time */

	struct perron_group_config group;
};

/* What an owner of a message is told (never blocks). */
enum perron_offer {
	PERRON_OFFER_ACCEPTED,
	PERRON_OFFER_NO_SUBSCRIBER,       /* nobody asked for the stream: not taken, counted */
	PERRON_OFFER_WOULD_BLOCK,         /* too much is unacknowledged */
	PERRON_OFFER_DEADLINE_IMPOSSIBLE, /* its bound has passed already */
	PERRON_OFFER_UNKNOWN_STREAM,
	PERRON_OFFER_TOO_LARGE, /* more frames and branches than one step can send */
	PERRON_OFFER_READ_ALONG, /* a sibling publishes it: kept for when that one is gone */
	PERRON_OFFER_COUNT,
};

struct perron_relay_counters {
	uint64_t received; /* frames given to _input */
	uint64_t forwarded;
	uint64_t sent; /* frames of the relay's own making */
	uint64_t retried;
	uint64_t replicated; /* copies sent to siblings */
	uint64_t served;     /* held frames sent on in another's place */
	uint64_t adopted;    /* frames taken over from an origin that is gone */
	uint64_t late; /* data past its deadline when it went by */
	uint64_t offered;
	uint64_t drop[PERRON_DROP_COUNT];
};

/* Frames of a stream that were dropped, for one cause. */
struct perron_relay_drop {
	uint32_t stream;
	uint8_t cause; /* enum perron_drop */
	uint64_t count;
};

/* A replica buffer: frames held for a path peer, a sibling or (passive) this one. */
struct perron_replica_info {
	uint32_t stream;
	uint8_t class;
	uint8_t is_origin; /* the sensor is attached to the primary */
	uint32_t primary;
	uint64_t floor; /* frames below are wanted no more */
	uint64_t high;
	uint32_t count;
};

struct perron_relay;

/* Default for every field but peer, incarnation, overlay and endpoint. */
void perron_relay_config_default(struct perron_relay_config *cfg);
size_t perron_relay_size(const struct perron_relay_config *cfg);
/* `r`: perron_relay_size(cfg) bytes on a cache line. -EINVAL: a field out of range. */
int perron_relay_init(struct perron_relay *r, const struct perron_relay_config *cfg,
		      uint64_t now_ns) PERRON_MUST_USE;

/* Takes up to PERRON_BURST_MAX frames, all meant for this peer. */
void perron_relay_input(struct perron_relay *r, uint64_t now_ns, const struct perron_frame *in,
			uint32_t in_count, struct perron_effects *out);

/* Carries out a command of housekeeping's. -ENOSPC: a table is full; -ENOENT; -EINVAL. */
int perron_relay_command(struct perron_relay *r, uint64_t now_ns,
			 const struct perron_command *command, struct perron_effects *out)
	PERRON_MUST_USE;

/*
 * Offers a sensor's message: `count` frames whose payloads stand at data + PERRON_HEADER_SIZE and
 * whose `length` is header and payload; the relay writes the headers. `stamp_ns` is when the
 * message was read (station time). All frames are taken (HOLD and FORWARD) or none.
 * With `traced`, the payload begins with an empty trace block.
 */
enum perron_offer perron_relay_offer(struct perron_relay *r, uint64_t now_ns, uint32_t stream,
				     uint64_t stamp_ns, const struct perron_frame *frames,
				     uint32_t count, bool traced, struct perron_effects *out);

/* Beats, verdicts, retries, delayed acknowledgements: everything due by now (bounded a call). */
void perron_relay_tick(struct perron_relay *r, uint64_t now_ns, struct perron_effects *out);
/* When to tick next; UINT64_MAX: no need. */
uint64_t perron_relay_deadline_ns(const struct perron_relay *r);
void perron_relay_check(const struct perron_relay *r);

/* What the peer is in its cell's group. */
struct perron_group *perron_relay_group(struct perron_relay *r);

/* For housekeeping and tools; may be called by another thread, fields may be of different ages. */
void perron_relay_counters_read(const struct perron_relay *r, struct perron_relay_counters *out);
uint32_t perron_relay_links_read(const struct perron_relay *r, struct perron_link_info *out,
				 uint32_t max);
/* The detector of the link with a peer, as of now_ns. False: there is no such link. */
bool perron_relay_detector_read(const struct perron_relay *r, uint64_t now_ns, uint32_t peer,
				struct perron_detector_info *out);
/* Paths that are open. */
uint32_t perron_relay_path_count(const struct perron_relay *r);
uint32_t perron_relay_paths_read(const struct perron_relay *r, struct perron_path_info *out,
				 uint32_t max);
/* Whether a frame of that path peer's is held here: the relay's thread alone. */
bool perron_relay_holds(const struct perron_relay *r, uint32_t stream, uint8_t class,
			uint32_t primary, uint32_t incarnation, uint64_t sequence);
uint32_t perron_relay_replicas_read(const struct perron_relay *r, struct perron_replica_info *out,
				    uint32_t max);
/*
 * What the counters' drops are made of, as far as a stream is known: of the paths and sensors that
 * are open now. One row for each stream and cause; rows that find no room are left out.
 */
uint32_t perron_relay_drops_read(const struct perron_relay *r, struct perron_relay_drop *out,
				 uint32_t max);

#endif
