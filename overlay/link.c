#include "overlay/link.h"

#include <string.h>

#define WINDOW_SIZE 64

/* Sequence numbers are compared as serial numbers: a is after b. */
static int32_t serial_distance(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

void perron_link_open(struct perron_link *l, uint64_t now_ns, const struct perron_party *party)
{
	memset(l, 0, sizeof(*l));
	l->party = *party;
	l->state = PERRON_LINK_OPENING;
	l->tx_sequence = (uint32_t)(now_ns >> 10) | 1u;
	l->acked = l->tx_sequence;
	l->opened_ns = now_ns;
	l->last_heard_ns = now_ns;
}

static bool window_hear(struct perron_link *l, uint32_t sequence)
{
	if (!l->heard) {
		l->heard = true;
		l->rx_sequence = sequence;
		l->rx_window = 1;
		return true;
	}
	int32_t ahead = serial_distance(sequence, l->rx_sequence);
	if (ahead > 0) {
		l->rx_window = ahead < WINDOW_SIZE ? l->rx_window << ahead | 1u : 1u;
		l->rx_sequence = sequence;
		l->lost += (uint64_t)ahead - 1;
		return true;
	}
	uint64_t behind = (uint64_t)-(int64_t)ahead;
	if (behind >= WINDOW_SIZE || (l->rx_window >> behind & 1u))
		return false;
	l->rx_window |= UINT64_C(1) << behind;
	if (l->lost)
		l->lost--;
	return true;
}

static void ack_hear(struct perron_link *l, uint32_t ack)
{
	bool is_ours = serial_distance(l->tx_sequence, ack) >= 0;

	if (!ack || !is_ours || serial_distance(ack, l->acked) <= 0)
		return;
	l->acked = ack;
	l->answered = true;
}

bool perron_link_hear(struct perron_link *l, uint64_t now_ns, const struct perron_header *header)
{
	if (!window_hear(l, header->link_sequence))
		return false;
	ack_hear(l, header->link_ack);
	l->last_heard_ns = now_ns;
	l->received++;
	return true;
}

/* Never 0 once measured: that would say that it was not. */
static void round_trip_smooth(struct perron_link *l)
{
	uint64_t smooth = l->round_trip_ns;

	smooth = smooth ? smooth - smooth / 8 + l->round_trip_ns_last / 8 : l->round_trip_ns_last;
	l->round_trip_ns = smooth ? smooth : 1;
}

bool perron_link_beat_read(struct perron_link *l, uint64_t now_ns, const uint8_t *payload,
			   uint32_t size)
{
	if (size != PERRON_BEAT_SIZE)
		return false;
	uint64_t echo = perron_load64(payload + 8);
	uint64_t held = perron_load64(payload + 16);
	l->echo_ns = perron_load64(payload);
	l->echo_received_ns = now_ns;
	/* The echo is our own clock come back; nonsense from outside gives no round trip. */
	if (echo < l->opened_ns || echo > now_ns || held > now_ns - echo)
		return true;
	l->round_trip_ns_last = now_ns - echo - held;
	round_trip_smooth(l);
	if (!l->round_trip_ns_min || l->round_trip_ns_last < l->round_trip_ns_min)
		l->round_trip_ns_min = l->round_trip_ns_last ? l->round_trip_ns_last : 1;
	return true;
}

void perron_link_beat_write(const struct perron_link *l, uint64_t now_ns, uint8_t *payload)
{
	perron_store64(payload, now_ns);
	perron_store64(payload + 8, l->echo_ns);
	perron_store64(payload + 16, l->echo_ns ? now_ns - l->echo_received_ns : 0);
}

bool perron_link_is_proven(const struct perron_link *l)
{
	return l->heard && l->answered;
}

void perron_link_hop(struct perron_link *l, uint64_t now_ns, uint32_t peer, uint32_t incarnation,
		     struct perron_hop *hop)
{
	if (++l->tx_sequence == 0)
		l->tx_sequence = 1;
	l->last_sent_ns = now_ns;
	l->sent++;
	*hop = (struct perron_hop){
		.source = peer,
		.source_incarnation = incarnation,
		.destination = l->party.id,
		.destination_incarnation = l->party.incarnation,
		.link_sequence = l->tx_sequence,
		.link_ack = l->heard ? l->rx_sequence : 0,
	};
}

bool perron_link_is_acknowledged(const struct perron_link *l)
{
	return l->acked == l->tx_sequence;
}

uint64_t perron_link_deadline_ns(const struct perron_link *l, uint64_t interval_ns)
{
	if (l->state != PERRON_LINK_OPENING && l->state != PERRON_LINK_UP)
		return UINT64_MAX;
	return l->last_sent_ns + interval_ns;
}

void perron_link_check(const struct perron_link *l)
{
	if (l->state == PERRON_LINK_FREE)
		return;
	PERRON_ASSERT(l->party.id != 0);
	PERRON_ASSERT(serial_distance(l->tx_sequence, l->acked) >= 0);
	PERRON_ASSERT(!l->heard || (l->rx_window & 1u));
	PERRON_ASSERT(l->state != PERRON_LINK_UP || perron_link_is_proven(l));
}
