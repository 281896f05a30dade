/*
 * Ethernet, ARP, IPv4, ICMP echo and UDP of the data path: just enough that a kernel host on the
 * same segment can talk to a station.
 *
 * Functions over raw bytes, and thin wrappers for mbufs. No system call, no allocation, no clock:
 * the time is given. What arrives is validated before it changes any state; what is not for us or
 * malformed gives a cause (PERRON_DROP_*), which the caller counts. A neighbour's Ethernet address
 * is learned from ARP and from datagrams that passed validation.
 *
 * Invariants: a `struct perron_net` belongs to one lcore (one for each port). Its neighbour cache
 * has a fixed size; a neighbour that we sent to lately is never pushed out by one that we did not.
 *
 * IPv4 fragments and VLAN tags are not taken. The UDP checksum is sent as 0 and not checked: kernel
 * hosts leave it to hardware that a virtual link does not have, and frames have checks of their own
 * (runtime/base/frame.h).
 */
#ifndef PERRON_RUNTIME_LCORE_NET_H
#define PERRON_RUNTIME_LCORE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"
#include "runtime/base/frame.h"

struct rte_mbuf;

#define PERRON_NET_MAC_SIZE 6
/* Ethernet 14, IPv4 20, UDP 8. */
#define PERRON_NET_HEADER_SIZE 42
/* Of an ARP frame, with padding to Ethernet's least. */
#define PERRON_NET_ARP_SIZE 60
/* The largest Ethernet frame that is taken, without its check sequence. */
#define PERRON_NET_SIZE_MAX 1514

/* Neighbours: sets of 8, of which an address may use one. */
#define PERRON_NET_SET_COUNT	 64
#define PERRON_NET_WAY_COUNT	 8
#define PERRON_NET_NEIGHBOUR_MAX (PERRON_NET_SET_COUNT * PERRON_NET_WAY_COUNT)
/* Between two requests for one address. */
#define PERRON_NET_REQUEST_INTERVAL_NS 100000000ull
/* A neighbour not heard for this long is asked for again, and used meanwhile. */
#define PERRON_NET_STALE_NS 30000000000ull
/* One that we sent to within this time keeps its place. */
#define PERRON_NET_KEEP_NS 60000000000ull

struct perron_net_config {
	uint8_t mac[PERRON_NET_MAC_SIZE];
	uint32_t address; /* IPv4, host order, as all addresses here */
	uint8_t prefix_length;
	uint32_t gateway;   /* 0: none, off-link addresses are unreachable */
	uint16_t port_base; /* at most 65532 */
};

struct perron_net_neighbour {
	uint32_t address; /* 0: free */
	uint8_t mac[PERRON_NET_MAC_SIZE];
	bool known; /* mac is valid; else we only asked */
	uint64_t heard_ns;
	uint64_t used_ns; /* looked up to send */
	uint64_t asked_ns;
};

/* Beside the drops by cause, which the caller counts. */
#define PERRON_NET_COUNTERS(X)                                                               \
	X(ARP_REQUESTS_HEARD, "arp-requests-heard") /* for our address */                    \
	X(ARP_REPLIES_HEARD, "arp-replies-heard")                                            \
	X(ARP_REQUESTS_SENT, "arp-requests-sent")                                            \
	X(ADDRESS_CONFLICTS, "address-conflicts") /* another host claims our address */      \
	X(ECHO_REQUESTS, "echo-requests")                                                    \
	X(NEIGHBOURS_LEARNED, "neighbours-learned")                                          \
	X(NEIGHBOURS_CHANGED, "neighbours-changed") /* other Ethernet address than before */ \
	X(NEIGHBOURS_REFUSED, "neighbours-refused") /* no room in the cache */

enum perron_net_counter {
#define X(name, text) PERRON_NET_COUNTER_##name,
	PERRON_NET_COUNTERS(X)
#undef X
	    PERRON_NET_COUNTER_COUNT
};

struct perron_net {
	struct perron_net_config config;
	uint32_t mask;
	uint16_t identification; /* of the next IPv4 packet */
	uint64_t counters[PERRON_NET_COUNTER_COUNT];
	struct perron_net_neighbour neighbours[PERRON_NET_SET_COUNT][PERRON_NET_WAY_COUNT];
};

/* What became of a received Ethernet frame. */
enum perron_net_verdict {
	PERRON_NET_DATAGRAM, /* for one of our ports: see the datagram */
	PERRON_NET_REPLY,    /* turned into an answer in place: transmit `size` bytes of it */
	PERRON_NET_TAKEN,    /* an ARP reply: nothing more to do */
	PERRON_NET_DROPPED,  /* see the cause */
};

struct perron_net_datagram {
	uint32_t offset;	     /* of the UDP payload in the Ethernet frame; REPLY: 0 */
	uint32_t size;		     /* of the payload; REPLY: of the frame to transmit */
	uint8_t class;		     /* by the port it came in by; REPLY: overlay */
	struct perron_endpoint from; /* port_base: the sender's port less the class */
	enum perron_drop cause;	     /* DROPPED: why */
};

/* `config` is valid: address and prefix make sense together (perron_net_config_check). */
void perron_net_init(struct perron_net *net, const struct perron_net_config *config);

/* 0 or -EINVAL and one line: unusable address, prefix, gateway off the link, ports. */
int perron_net_config_check(const struct perron_net_config *config, char *error,
			    size_t error_size) PERRON_MUST_USE;

/*
 * Takes one received Ethernet frame of `size` bytes. `checksum_good`: the device has checked the
 * IPv4 header's checksum. May write `data` (REPLY). Cost: constant, one look-up.
 */
enum perron_net_verdict perron_net_receive(struct perron_net *net, uint64_t now_ns, uint8_t *data,
					   uint32_t size, bool checksum_good,
					   struct perron_net_datagram *out) PERRON_MUST_USE;

/*
 * Writes the PERRON_NET_HEADER_SIZE bytes that stand before a UDP payload of `payload_size` <=
 * PERRON_FRAME_SIZE_MAX bytes, from our port of `class` to the endpoint's. Returns 0;
 * -EAGAIN: the neighbour's address is not known (ask with perron_net_request);
 * -EHOSTUNREACH: not on the link, and there is no gateway.
 */
int perron_net_wrap(struct perron_net *net, uint64_t now_ns, uint8_t *headers,
		    uint32_t payload_size, uint8_t class,
		    struct perron_endpoint to) PERRON_MUST_USE;

/*
 * Writes an ARP request of PERRON_NET_ARP_SIZE bytes for the neighbour on the way to `address`, if
 * one is due: not known or stale, and not asked for within PERRON_NET_REQUEST_INTERVAL_NS. False:
 * nothing was written.
 */
bool perron_net_request(struct perron_net *net, uint64_t now_ns, uint32_t address, uint8_t *frame);

/* Writes the gratuitous ARP (PERRON_NET_ARP_SIZE bytes) by which neighbours learn or renew us. */
void perron_net_announce(const struct perron_net *net, uint8_t *frame);

/* The neighbour that packets to `address` go to: itself, the gateway, or 0 (unreachable). */
uint32_t perron_net_next_hop(const struct perron_net *net, uint32_t address);

bool perron_net_is_on_link(const struct perron_net *net, uint32_t address);

/* The Ethernet address of a neighbour, or NULL. Marks it as used. */
const uint8_t *perron_net_neighbour_find(struct perron_net *net, uint64_t now_ns, uint32_t address);

/*
 * Whether a port of that net leads to `address` as things stand: it knows the Ethernet address of
 * the neighbour on the way. May be called by another thread than the net's.
 */
bool perron_net_knows(const struct perron_net *net, uint32_t address);

/* Learns or renews a neighbour on the link; ignored if off the link, ours, or no unicast address.
 */
void perron_net_neighbour_learn(struct perron_net *net, uint64_t now_ns, uint32_t address,
				const uint8_t *mac);

const char *perron_net_counter_name(enum perron_net_counter counter);

/* Differentiated services code point of a class: EF, AF41, default, CS6. */
uint8_t perron_net_dscp(uint8_t class);

/*
 * The same for a received mbuf. DATAGRAM: the mbuf is trimmed to the frame (rte_pktmbuf_mtod is the
 * frame's header) and `frame` filled in; handle is the mbuf. REPLY: the mbuf is the answer. The
 * mbuf stays the caller's in every case. A chained mbuf is dropped (LENGTH).
 */
enum perron_net_verdict perron_net_mbuf_receive(struct perron_net *net, uint64_t now_ns,
						struct rte_mbuf *mbuf, struct perron_frame *frame,
						enum perron_drop *cause) PERRON_MUST_USE;

/*
 * Prepends the headers to an mbuf that holds an encoded frame (chained or not), in its headroom.
 * Returns 0, -EAGAIN or -EHOSTUNREACH as perron_net_wrap, then the mbuf is unchanged; -ENOBUFS: not
 * enough headroom.
 */
int perron_net_mbuf_wrap(struct perron_net *net, uint64_t now_ns, struct rte_mbuf *mbuf,
			 uint8_t class, struct perron_endpoint to) PERRON_MUST_USE;

/* Makes an empty mbuf the ARP request for `address`, if one is due; else false. */
bool perron_net_mbuf_request(struct perron_net *net, uint64_t now_ns, uint32_t address,
			     struct rte_mbuf *mbuf);

#endif
