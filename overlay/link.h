/*
 * A link: what a relay knows of one neighbour, hop by hop. It numbers the frames it sends, refuses
 * frames it has seen (a window of 64), takes any frame as a sign of life, beats when it has been
 * silent for an interval, and judges: a neighbour that was silent for the time-out, or that is
 * heard but acknowledges nothing of ours for as long (one-way), is down. Before it blames the
 * neighbour it looks at its own turns: a judge that was stalled waits a time-out more.
 *
 * Sequence numbers start at the clock's microseconds, so that a link opened anew by the same
 * incarnation starts above its past.
 *
 * Pure; the relay's thread.
 */
#ifndef PERRON_OVERLAY_LINK_H
#define PERRON_OVERLAY_LINK_H

#include "runtime/base/bytes.h"
#include "runtime/base/command.h"
#include "runtime/base/effects.h"

enum perron_link_state {
	PERRON_LINK_FREE,
	PERRON_LINK_OPENING, /* beating; not yet heard, or not yet acknowledged */
	PERRON_LINK_UP,
	PERRON_LINK_DOWN, /* judged; waits for housekeeping to close it */
};

struct perron_link {
	struct perron_party party;
	uint8_t state;
	bool heard;    /* anything, since it was opened */
	bool answered; /* it acknowledged something of ours since */
	uint32_t tx_sequence; /* of the last frame sent */
	uint32_t rx_sequence; /* highest heard */
	uint64_t rx_window;   /* bit i: rx_sequence - i was heard */
	uint32_t acked;       /* highest of ours that the neighbour acknowledged */
	uint64_t opened_ns;
	uint64_t last_heard_ns;
	uint64_t last_sent_ns;
	uint64_t ack_progress_ns; /* when the neighbour last showed that it hears us */
	uint64_t gap_ns_max;      /* judge's own longest gap since the neighbour was last heard */
	uint64_t ack_gap_ns_max;  /* the same, since the neighbour last showed that it hears us */
	uint64_t round_trip_ns_min;
	uint64_t round_trip_ns_last;
	uint64_t round_trip_ns; /* smoothed: an eighth of each measure */
	uint64_t echo_ns;          /* the neighbour's clock in its last beat, to be echoed */
	uint64_t echo_received_ns; /* when that beat came */
	uint64_t sent; /* numbered frames */
	uint64_t received;
	uint64_t lost; /* gaps in the neighbour's sequence */
	uint64_t spared_heard_ns; /* of a silence that was excused: when it began */
	uint64_t spared_ack_ns;   /* the same, one-way */
	uint32_t spared;          /* silences past the time-out that our own stall excused */
};

/* A link as others may see it. */
struct perron_link_info {
	struct perron_party party;
	uint8_t state;
	uint64_t last_heard_ns;
	uint64_t last_sent_ns;
	uint64_t gap_ns_max;
	uint64_t round_trip_ns_min;
	uint64_t round_trip_ns; /* smoothed; 0: not measured */
	uint64_t sent;
	uint64_t received;
	uint64_t lost;
	uint32_t spared;
};

/* Payload of a beat: sender's clock, and the receiver's last clock with the time it was kept. */
#define PERRON_BEAT_SIZE 24

void perron_link_open(struct perron_link *l, uint64_t now_ns, const struct perron_party *party);

/* A frame came: false if it was heard before. Updates the signs of life. */
bool perron_link_hear(struct perron_link *l, uint64_t now_ns, const struct perron_header *header);
/* Reads a beat's payload; false if malformed. */
bool perron_link_beat_read(struct perron_link *l, uint64_t now_ns, const uint8_t *payload,
			   uint32_t size);
void perron_link_beat_write(const struct perron_link *l, uint64_t now_ns, uint8_t *payload);

/* Both directions have shown life. */
bool perron_link_is_proven(const struct perron_link *l);

/* Numbers the next frame and fills the hop. */
void perron_link_hop(struct perron_link *l, uint64_t now_ns, uint32_t peer, uint32_t incarnation,
		     struct perron_hop *hop);

/*
 * Judges by silence: true if the neighbour is to be called down, with the evidence. `gap_ns` is
 * how long the judge itself did not run before this call.
 */
bool perron_link_judge(struct perron_link *l, uint64_t now_ns, uint64_t gap_ns,
		       uint64_t timeout_ns, struct perron_evidence *evidence);

/* When a beat or a verdict is due. */
uint64_t perron_link_deadline_ns(const struct perron_link *l, uint64_t interval_ns,
				 uint64_t timeout_ns);
void perron_link_check(const struct perron_link *l);

#endif
