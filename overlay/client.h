/*
 * The client: asks the root cell for sensors' streams, acknowledges what it gets, and gives the
 * frames of each stream on in order, once each. The same machine runs in libperron (over the
 * kernel's UDP), in the simulator, and in a station. Paper 000, III.B.b and c.
 *
 * A subscription asks one portal peer after the other, follows redirects, and renews itself; when
 * its peer of the root cell is lost it asks elsewhere and goes on from where it was. When a stream
 * is silent for longer than usual its peer and another portal are both asked what became of it, and
 * who grants it first serves it from then on. Frames that come early wait in a window; frames seen
 * before are dropped; sequences that will not come (GAP) are skipped and counted as lost.
 *
 * Effects: SEND; HOLD, DELIVER (size: the subscription), RELEASE. A delivered frame is valid while
 * the effect is applied.
 *
 * Pure; one thread.
 */
#ifndef PERRON_OVERLAY_CLIENT_H
#define PERRON_OVERLAY_CLIENT_H

#include "overlay/overlay_ops.h"
#include "overlay/path.h"
#include "overlay/verdict.h"
#include "runtime/base/effects.h"
#include "runtime/base/qos.h"

struct perron_client_config {
	uint32_t id;          /* PERRON_CLIENT_ID is set */
	uint32_t incarnation; /* greater than in an earlier life of the id */
	uint32_t overlay;
	struct perron_endpoint endpoint; /* own; reported by the frames' source, so 0 is allowed */
	struct perron_portal portal[PERRON_PORTAL_COUNT_MAX];
	uint32_t portal_count;
	uint32_t subscription_count_max;
	uint32_t window;          /* frames held out of order; a power of two, >= 64 */
	uint64_t request_ns;      /* an unanswered request goes to the next portal after this */
	uint64_t renew_ns;        /* of a standing subscription */
	uint64_t lost_ns;         /* no answer for this long: ask elsewhere */
	uint64_t overdue_ns;      /* silent for this long, and longer than usual: it is asked about */
	uint64_t sure_ns;         /* an unknown sensor is asked for this long: it may be on its way */
	uint64_t ack_interval_ns; /* the longest that an acknowledgement waits */
	uint32_t ack_frames;      /* or this many frames */
	uint64_t clock_offset_ns; /* overlay time minus own time */
};

enum perron_subscription_state {
	PERRON_SUBSCRIPTION_FREE,
	PERRON_SUBSCRIPTION_ASKING,
	PERRON_SUBSCRIPTION_ACTIVE,
	PERRON_SUBSCRIPTION_REFUSED, /* by verdict; final */
};

struct perron_subscription_info {
	uint8_t state;
	uint8_t class;
	uint8_t verdict;  /* the last answer that was no OK */
	uint8_t starting; /* asked for, and never active yet */
	uint32_t stream;
	uint32_t latency_us;          /* bound asked for; 0: none */
	uint32_t latency_us_estimate; /* of the path, as answered */
	struct perron_qos qos;        /* asked for */
	uint8_t replicas;             /* refused with too few siblings: so many can be given */
	uint32_t hops;
	uint32_t peer; /* of the root cell that serves it */
	uint64_t start; /* first sequence of the subscription */
	uint64_t expected; /* next sequence to deliver */
	uint64_t delivered;
	uint64_t duplicates; /* dropped, not delivered */
	uint64_t lost;       /* skipped by GAP, within one life of the origin */
	uint64_t restarts;   /* the origin began another life: how much of the last is lost, */
	uint64_t renumbered; /* nobody knows; sequences from one life to the next */
	uint64_t late;       /* delivered past the bound */
	uint64_t moved;      /* times another root peer had to be asked */
};

struct perron_client;

void perron_client_config_default(struct perron_client_config *cfg);
size_t perron_client_size(const struct perron_client_config *cfg);
int perron_client_init(struct perron_client *c, const struct perron_client_config *cfg,
		       uint64_t now_ns) PERRON_MUST_USE;
/*
 * Returns the subscription's index, or -EINVAL (name, class, qos), -EEXIST, -ENOSPC. `qos` NULL: no
 * replication.
 */
int perron_client_subscribe(struct perron_client *c, uint64_t now_ns, const char *sensor,
			    enum perron_class class, uint32_t latency_us,
			    const struct perron_qos *qos,
			    struct perron_effects *out) PERRON_MUST_USE;
void perron_client_unsubscribe(struct perron_client *c, uint64_t now_ns, uint32_t index,
			       struct perron_effects *out);
void perron_client_input(struct perron_client *c, uint64_t now_ns, const struct perron_frame *in,
			 uint32_t in_count, struct perron_effects *out);
void perron_client_tick(struct perron_client *c, uint64_t now_ns, struct perron_effects *out);
uint64_t perron_client_deadline_ns(const struct perron_client *c);
void perron_client_info(const struct perron_client *c, uint32_t index,
			struct perron_subscription_info *out);
const uint64_t *perron_client_drops(const struct perron_client *c); /* PERRON_DROP_COUNT of them */
void perron_client_check(const struct perron_client *c);

#endif
