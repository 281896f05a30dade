/*
 * A link: what a relay knows of one neighbour, hop by hop. It numbers the frames it sends, refuses
 * frames it has seen (a window of 64), and beats when it has been silent for an interval. Whether
 * the neighbour is there is judged by ft/detector.
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
	uint64_t round_trip_ns_min;
	uint64_t round_trip_ns_last;
	uint64_t round_trip_ns; /* smoothed: an eighth of each measure */
	uint64_t echo_ns;          /* the neighbour's clock in its last beat, to be echoed */
	uint64_t echo_received_ns; /* when that beat came */
	uint64_t sent; /* numbered frames */
	uint64_t received;
	uint64_t lost; /* gaps in the neighbour's sequence */
};

/* A link as others may see it. */
struct perron_link_info {
	struct perron_party party;
	uint8_t state;
	uint64_t last_heard_ns;
	uint64_t last_sent_ns;
	uint64_t round_trip_ns_min;
	uint64_t round_trip_ns; /* smoothed; 0: not measured */
	uint64_t sent;
	uint64_t received;
	uint64_t lost;
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

/* Everything sent on it was acknowledged. */
bool perron_link_is_acknowledged(const struct perron_link *l);

/* When a beat is due; UINT64_MAX: never. */
uint64_t perron_link_deadline_ns(const struct perron_link *l, uint64_t interval_ns);
void perron_link_check(const struct perron_link *l);

#endif
