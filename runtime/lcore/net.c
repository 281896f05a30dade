#include "runtime/lcore/net.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/bytes.h"

#define ETHERNET_SIZE	  14
#define IPV4_SIZE	  20
#define UDP_SIZE	  8
#define ICMP_SIZE	  8
#define ARP_BODY_SIZE	  28
#define ETHERTYPE_IPV4	  0x0800
#define ETHERTYPE_ARP	  0x0806
#define PROTOCOL_ICMP	  1
#define PROTOCOL_UDP	  17
#define ARP_REQUEST	  1
#define ARP_REPLY	  2
#define ICMP_ECHO_REPLY	  0
#define ICMP_ECHO_REQUEST 8
#define TIME_TO_LIVE	  64
#define DONT_FRAGMENT	  0x4000
/* More fragments, or an offset. */
#define FRAGMENT_BITS 0x3fff

static_assert(PERRON_NET_HEADER_SIZE == ETHERNET_SIZE + IPV4_SIZE + UDP_SIZE, "no options sent");
static_assert(PERRON_NET_ARP_SIZE >= ETHERNET_SIZE + ARP_BODY_SIZE, "padded");
static_assert(PERRON_NET_HEADER_SIZE + PERRON_FRAME_SIZE_MAX == PERRON_NET_SIZE_MAX, "MTU 1500");
static_assert((PERRON_NET_SET_COUNT & (PERRON_NET_SET_COUNT - 1)) == 0, "used as a mask");

static const uint8_t broadcast_mac[PERRON_NET_MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

const char *perron_net_counter_name(enum perron_net_counter counter)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_NET_COUNTER_##name] = text,
	    PERRON_NET_COUNTERS(X)
#undef X
	};
	PERRON_ASSERT(counter < PERRON_NET_COUNTER_COUNT);
	return names[counter];
}

uint8_t perron_net_dscp(uint8_t class)
{
	static const uint8_t dscp[PERRON_CLASS_COUNT] = {
	    [PERRON_CLASS_ALARM] = 46,
	    [PERRON_CLASS_CRITICAL] = 34,
	    [PERRON_CLASS_NORMAL] = 0,
	    [PERRON_CLASS_OVERLAY] = 48,
	};
	PERRON_ASSERT(class < PERRON_CLASS_COUNT);
	return dscp[class];
}

static uint32_t mask_of(uint8_t prefix_length)
{
	return prefix_length == 0 ? 0 : UINT32_MAX << (32 - prefix_length);
}

/* One host's address, of a class that hosts have. */
static bool is_unicast(uint32_t address)
{
	uint32_t top = address >> 24;
	return top != 0 && top != 127 && top < 224;
}

/* The network's own address and its broadcast are no hosts, but on links of 31 and 32 bits. */
static bool is_host_of(uint32_t address, uint8_t prefix_length)
{
	uint32_t host = address & ~mask_of(prefix_length);
	return is_unicast(address) &&
	       (prefix_length >= 31 || (host != 0 && host != ~mask_of(prefix_length)));
}

int perron_net_config_check(const struct perron_net_config *config, char *error, size_t error_size)
{
	const char *what = NULL;
	if (config->prefix_length < 1 || config->prefix_length > 32)
		what = "prefix length: expected 1 to 32";
	else if (!is_host_of(config->address, config->prefix_length))
		what =
		    "address: expected a host's IPv4 address, no network, broadcast or multicast";
	else if (config->gateway && !is_host_of(config->gateway, config->prefix_length))
		what = "gateway: expected a host's IPv4 address";
	else if (config->gateway == config->address)
		what = "gateway: expected another host's address than the station's own";
	else if (config->gateway &&
		 ((config->gateway ^ config->address) & mask_of(config->prefix_length)))
		what = "gateway: expected an address on the station's own link";
	else if (config->port_base == 0 ||
		 config->port_base > UINT16_MAX - (PERRON_CLASS_COUNT - 1))
		what = "port base: expected 1 to 65532, for four ports are used";
	if (!what)
		return 0;
	snprintf(error, error_size, "%s", what);
	return -EINVAL;
}

void perron_net_init(struct perron_net *net, const struct perron_net_config *config)
{
	memset(net, 0, sizeof(*net));
	PERRON_ASSERT(config->prefix_length >= 1 && config->prefix_length <= 32);
	PERRON_ASSERT(config->port_base && config->port_base <= UINT16_MAX - 3);
	net->config = *config;
	net->mask = mask_of(config->prefix_length);
}

bool perron_net_is_on_link(const struct perron_net *net, uint32_t address)
{
	return ((address ^ net->config.address) & net->mask) == 0;
}

uint32_t perron_net_next_hop(const struct perron_net *net, uint32_t address)
{
	return perron_net_is_on_link(net, address) ? address : net->config.gateway;
}

/* Hosts of a segment have addresses in turn: the last bits spread them. */
static struct perron_net_neighbour *set_of(struct perron_net *net, uint32_t address)
{
	return net->neighbours[(address ^ address >> 8) & (PERRON_NET_SET_COUNT - 1)];
}

bool perron_net_knows(const struct perron_net *net, uint32_t address)
{
	uint32_t hop = perron_net_next_hop(net, address);
	const struct perron_net_neighbour *set =
	    net->neighbours[(hop ^ hop >> 8) & (PERRON_NET_SET_COUNT - 1)];

	for (uint32_t way = 0; hop && way < PERRON_NET_WAY_COUNT; way++)
		if (__atomic_load_n(&set[way].address, __ATOMIC_RELAXED) == hop)
			return __atomic_load_n(&set[way].known, __ATOMIC_RELAXED);
	return false;
}

static struct perron_net_neighbour *neighbour_look_up(struct perron_net *net, uint32_t address)
{
	struct perron_net_neighbour *set = set_of(net, address);
	for (uint32_t way = 0; way < PERRON_NET_WAY_COUNT; way++)
		if (set[way].address == address)
			return &set[way];
	return NULL;
}

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

static bool is_kept(const struct perron_net_neighbour *neighbour, uint64_t now_ns)
{
	return neighbour->address && neighbour->used_ns &&
	       since(now_ns, neighbour->used_ns) < PERRON_NET_KEEP_NS;
}

static uint64_t last_touched_ns(const struct perron_net_neighbour *neighbour)
{
	uint64_t at = neighbour->heard_ns;
	if (neighbour->used_ns > at)
		at = neighbour->used_ns;
	return neighbour->asked_ns > at ? neighbour->asked_ns : at;
}

/* A place for a new address: a free one, else that of whoever was not of use for longest. */
static struct perron_net_neighbour *neighbour_seat(struct perron_net *net, uint64_t now_ns,
						   uint32_t address)
{
	struct perron_net_neighbour *set = set_of(net, address);
	struct perron_net_neighbour *seat = NULL;
	for (uint32_t way = 0; way < PERRON_NET_WAY_COUNT; way++) {
		if (is_kept(&set[way], now_ns))
			continue;
		if (!seat || last_touched_ns(&set[way]) < last_touched_ns(seat))
			seat = &set[way];
	}
	if (!seat) {
		net->counters[PERRON_NET_COUNTER_NEIGHBOURS_REFUSED]++;
		return NULL;
	}
	*seat = (struct perron_net_neighbour){.address = address};
	return seat;
}

void perron_net_neighbour_learn(struct perron_net *net, uint64_t now_ns, uint32_t address,
				const uint8_t *mac)
{
	if (address == net->config.address || !perron_net_is_on_link(net, address) ||
	    !is_host_of(address, net->config.prefix_length) || (mac[0] & 1))
		return;
	struct perron_net_neighbour *neighbour = neighbour_look_up(net, address);
	if (!neighbour)
		neighbour = neighbour_seat(net, now_ns, address);
	if (!neighbour)
		return;
	if (!neighbour->known)
		net->counters[PERRON_NET_COUNTER_NEIGHBOURS_LEARNED]++;
	else if (memcmp(neighbour->mac, mac, PERRON_NET_MAC_SIZE) != 0)
		net->counters[PERRON_NET_COUNTER_NEIGHBOURS_CHANGED]++;
	memcpy(neighbour->mac, mac, PERRON_NET_MAC_SIZE);
	neighbour->known = true;
	neighbour->heard_ns = now_ns;
}

const uint8_t *perron_net_neighbour_find(struct perron_net *net, uint64_t now_ns, uint32_t address)
{
	struct perron_net_neighbour *neighbour = neighbour_look_up(net, address);
	if (!neighbour || !neighbour->known)
		return NULL;
	neighbour->used_ns = now_ns;
	return neighbour->mac;
}

/* The Internet checksum's sum of big-endian words; `size` may be odd. */
static uint32_t words_sum(const uint8_t *data, uint32_t size)
{
	uint32_t sum = 0;
	for (; size > 1; data += 2, size -= 2)
		sum += perron_load16(data);
	return size ? sum + ((uint32_t)*data << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

static void ethernet_write(uint8_t *data, const uint8_t *to, const uint8_t *from, uint16_t type)
{
	memcpy(data, to, PERRON_NET_MAC_SIZE);
	memcpy(data + 6, from, PERRON_NET_MAC_SIZE);
	perron_store16(data + 12, type);
}

static void arp_write(uint8_t *frame, const struct perron_net_config *config, uint16_t operation,
		      const uint8_t *to_mac, const uint8_t *target_mac, uint32_t target)
{
	static const uint8_t ethernet_ipv4[] = {0, 1, 8, 0, 6, 4};
	uint8_t *arp = frame + ETHERNET_SIZE;
	ethernet_write(frame, to_mac, config->mac, ETHERTYPE_ARP);
	memcpy(arp, ethernet_ipv4, sizeof(ethernet_ipv4));
	perron_store16(arp + 6, operation);
	memcpy(arp + 8, config->mac, PERRON_NET_MAC_SIZE);
	perron_store32(arp + 14, config->address);
	memcpy(arp + 18, target_mac, PERRON_NET_MAC_SIZE);
	perron_store32(arp + 24, target);
}

static enum perron_net_verdict drop(struct perron_net_datagram *out, enum perron_drop cause)
{
	out->cause = cause;
	return PERRON_NET_DROPPED;
}

static enum perron_net_verdict arp_answer(struct perron_net *net, uint64_t now_ns, uint8_t *data,
					  uint32_t size, struct perron_net_datagram *out)
{
	uint8_t asker_mac[PERRON_NET_MAC_SIZE];
	uint32_t asker = perron_load32(data + ETHERNET_SIZE + 14);
	memcpy(asker_mac, data + ETHERNET_SIZE + 8, sizeof(asker_mac));
	net->counters[PERRON_NET_COUNTER_ARP_REQUESTS_HEARD]++;
	if (asker)
		perron_net_neighbour_learn(net, now_ns, asker, asker_mac);
	/* An asker without an address (RFC 5227) is answered too. */
	arp_write(data, &net->config, ARP_REPLY, asker_mac, asker_mac, asker);
	out->size = size;
	out->class = PERRON_CLASS_OVERLAY;
	return PERRON_NET_REPLY;
}

static enum perron_net_verdict arp_receive(struct perron_net *net, uint64_t now_ns, uint8_t *data,
					   uint32_t size, struct perron_net_datagram *out)
{
	static const uint8_t ethernet_ipv4[] = {0, 1, 8, 0, 6, 4};
	const uint8_t *arp = data + ETHERNET_SIZE;
	if (size < ETHERNET_SIZE + ARP_BODY_SIZE)
		return drop(out, PERRON_DROP_TRUNCATED);
	if (memcmp(arp, ethernet_ipv4, sizeof(ethernet_ipv4)) != 0)
		return drop(out, PERRON_DROP_MALFORMED);
	uint16_t operation = perron_load16(arp + 6);
	uint32_t sender = perron_load32(arp + 14), target = perron_load32(arp + 24);
	/* What claims to come from another station than the one that sent it is not believed. */
	if (memcmp(arp + 8, data + 6, PERRON_NET_MAC_SIZE) != 0 || (arp[8] & 1))
		return drop(out, PERRON_DROP_MALFORMED);
	if (sender == net->config.address) {
		net->counters[PERRON_NET_COUNTER_ADDRESS_CONFLICTS]++;
		return drop(out, PERRON_DROP_NOT_OURS);
	}
	if (operation == ARP_REQUEST && target == net->config.address)
		return arp_answer(net, now_ns, data, size, out);
	/* A gratuitous ARP renews whom we know; a reply to us is news. */
	bool gratuitous = sender == target && neighbour_look_up(net, sender);
	bool reply = operation == ARP_REPLY && target == net->config.address;
	if (!gratuitous && !reply)
		return drop(out, PERRON_DROP_NOT_OURS);
	if (reply)
		net->counters[PERRON_NET_COUNTER_ARP_REPLIES_HEARD]++;
	perron_net_neighbour_learn(net, now_ns, sender, arp + 8);
	return PERRON_NET_TAKEN;
}

/* Turns an echo request round in place: addresses swapped, type 0, checksum moved on by that. */
static enum perron_net_verdict echo_answer(struct perron_net *net, uint8_t *data,
					   uint32_t header_size, uint32_t total,
					   struct perron_net_datagram *out)
{
	uint8_t *ip = data + ETHERNET_SIZE;
	uint8_t *icmp = ip + header_size;
	uint8_t mac[PERRON_NET_MAC_SIZE];
	memcpy(mac, data + 6, sizeof(mac));
	ethernet_write(data, mac, net->config.mac, ETHERTYPE_IPV4);
	uint32_t asker = perron_load32(ip + 12);
	perron_store32(ip + 12, net->config.address);
	perron_store32(ip + 16, asker);
	ip[8] = TIME_TO_LIVE;
	perron_store16(ip + 10, 0);
	perron_store16(ip + 10, (uint16_t)~fold(words_sum(ip, header_size)));
	icmp[0] = ICMP_ECHO_REPLY;
	perron_store16(icmp + 2, 0);
	perron_store16(icmp + 2, (uint16_t)~fold(words_sum(icmp, total - header_size)));
	net->counters[PERRON_NET_COUNTER_ECHO_REQUESTS]++;
	out->size = ETHERNET_SIZE + total;
	out->class = PERRON_CLASS_OVERLAY;
	return PERRON_NET_REPLY;
}

static enum perron_net_verdict icmp_receive(struct perron_net *net, uint8_t *data,
					    uint32_t header_size, uint32_t total,
					    struct perron_net_datagram *out)
{
	const uint8_t *icmp = data + ETHERNET_SIZE + header_size;
	uint32_t size = total - header_size;
	if (size < ICMP_SIZE)
		return drop(out, PERRON_DROP_TRUNCATED);
	if (icmp[0] != ICMP_ECHO_REQUEST || icmp[1] != 0)
		return drop(out, PERRON_DROP_NOT_OURS);
	if (fold(words_sum(icmp, size)) != 0xffff)
		return drop(out, PERRON_DROP_PAYLOAD_CHECK);
	return echo_answer(net, data, header_size, total, out);
}

static enum perron_net_verdict udp_receive(struct perron_net *net, uint64_t now_ns,
					   const uint8_t *data, uint32_t header_size,
					   uint32_t total, struct perron_net_datagram *out)
{
	const uint8_t *udp = data + ETHERNET_SIZE + header_size;
	uint32_t room = total - header_size;
	if (room < UDP_SIZE)
		return drop(out, PERRON_DROP_TRUNCATED);
	uint32_t size = perron_load16(udp + 4);
	if (size > room)
		return drop(out, PERRON_DROP_TRUNCATED);
	if (size < UDP_SIZE)
		return drop(out, PERRON_DROP_LENGTH);
	uint32_t class = (uint32_t)perron_load16(udp + 2) - net->config.port_base;
	if (class >= PERRON_CLASS_COUNT)
		return drop(out, PERRON_DROP_NOT_OURS);
	uint16_t port = perron_load16(udp);
	if (port <= class)
		return drop(out, PERRON_DROP_MALFORMED);
	out->offset = ETHERNET_SIZE + header_size + UDP_SIZE;
	out->size = size - UDP_SIZE;
	out->class = (uint8_t) class;
	out->from.address = perron_load32(data + ETHERNET_SIZE + 12);
	out->from.port_base = (uint16_t)(port - class);
	perron_net_neighbour_learn(net, now_ns, out->from.address, data + 6);
	return PERRON_NET_DATAGRAM;
}

/* Version, lengths, checksum, fragments, addresses. NONE: `header_size` and `total` are set. */
static enum perron_drop ipv4_validate(const struct perron_net *net, const uint8_t *ip,
				      uint32_t room, bool checksum_good, uint32_t *header_size,
				      uint32_t *total)
{
	if (room < IPV4_SIZE)
		return PERRON_DROP_TRUNCATED;
	*header_size = (uint32_t)(ip[0] & 0x0f) * 4;
	*total = perron_load16(ip + 2);
	if (ip[0] >> 4 != 4 || *header_size < IPV4_SIZE)
		return PERRON_DROP_MALFORMED;
	if (*total < *header_size)
		return PERRON_DROP_LENGTH;
	if (*total > room)
		return PERRON_DROP_TRUNCATED;
	if (!checksum_good && fold(words_sum(ip, *header_size)) != 0xffff)
		return PERRON_DROP_HEADER_CHECK;
	if (perron_load32(ip + 16) != net->config.address)
		return PERRON_DROP_NOT_OURS;
	if (perron_load16(ip + 6) & FRAGMENT_BITS)
		return PERRON_DROP_FRAGMENT;
	uint32_t source = perron_load32(ip + 12);
	return is_unicast(source) && source != net->config.address ? PERRON_DROP_NONE
								   : PERRON_DROP_MALFORMED;
}

enum perron_net_verdict perron_net_receive(struct perron_net *net, uint64_t now_ns, uint8_t *data,
					   uint32_t size, bool checksum_good,
					   struct perron_net_datagram *out)
{
	*out = (struct perron_net_datagram){0};
	if (size < ETHERNET_SIZE)
		return drop(out, PERRON_DROP_TRUNCATED);
	if (size > PERRON_NET_SIZE_MAX)
		return drop(out, PERRON_DROP_LENGTH);
	bool unicast = memcmp(data, net->config.mac, PERRON_NET_MAC_SIZE) == 0;
	if (!unicast && memcmp(data, broadcast_mac, PERRON_NET_MAC_SIZE) != 0)
		return drop(out, PERRON_DROP_NOT_OURS);
	uint16_t type = perron_load16(data + 12);
	if (type == ETHERTYPE_ARP)
		return arp_receive(net, now_ns, data, size, out);
	/* A packet for one host never comes by broadcast (RFC 1122, 3.3.6). */
	if (type != ETHERTYPE_IPV4 || !unicast)
		return drop(out, PERRON_DROP_NOT_OURS);
	uint32_t header_size, total;
	enum perron_drop cause = ipv4_validate(net, data + ETHERNET_SIZE, size - ETHERNET_SIZE,
					       checksum_good, &header_size, &total);
	if (cause != PERRON_DROP_NONE)
		return drop(out, cause);
	uint8_t protocol = data[ETHERNET_SIZE + 9];
	if (protocol == PROTOCOL_UDP)
		return udp_receive(net, now_ns, data, header_size, total, out);
	if (protocol == PROTOCOL_ICMP)
		return icmp_receive(net, data, header_size, total, out);
	return drop(out, PERRON_DROP_NOT_OURS);
}

static void ipv4_write(struct perron_net *net, uint8_t *ip, uint32_t total, uint8_t class,
		       uint32_t to)
{
	uint32_t from = net->config.address;
	uint32_t first = 0x4500u | (uint32_t)perron_net_dscp(class) << 2;
	uint32_t life = TIME_TO_LIVE << 8 | PROTOCOL_UDP;
	uint32_t identification = net->identification++;
	/* From the values: reading back what was just written in narrower pieces would stall. */
	uint32_t sum = first + total + identification + DONT_FRAGMENT + life + (from >> 16) +
		       (from & 0xffff) + (to >> 16) + (to & 0xffff);
	perron_store16(ip, (uint16_t)first);
	perron_store16(ip + 2, (uint16_t)total);
	perron_store16(ip + 4, (uint16_t)identification);
	perron_store16(ip + 6, DONT_FRAGMENT);
	perron_store16(ip + 8, (uint16_t)life);
	perron_store16(ip + 10, (uint16_t)~fold(sum));
	perron_store32(ip + 12, from);
	perron_store32(ip + 16, to);
}

int perron_net_wrap(struct perron_net *net, uint64_t now_ns, uint8_t *headers,
		    uint32_t payload_size, uint8_t class, struct perron_endpoint to)
{
	PERRON_ASSERT(payload_size <= PERRON_FRAME_SIZE_MAX);
	PERRON_ASSERT(class < PERRON_CLASS_COUNT);
	uint32_t hop = perron_net_next_hop(net, to.address);
	if (!hop)
		return -EHOSTUNREACH;
	const uint8_t *mac = perron_net_neighbour_find(net, now_ns, hop);
	if (!mac)
		return -EAGAIN;
	ethernet_write(headers, mac, net->config.mac, ETHERTYPE_IPV4);
	ipv4_write(net, headers + ETHERNET_SIZE, IPV4_SIZE + UDP_SIZE + payload_size, class,
		   to.address);
	uint8_t *udp = headers + ETHERNET_SIZE + IPV4_SIZE;
	perron_store16(udp, (uint16_t)(net->config.port_base + class));
	perron_store16(udp + 2, (uint16_t)(to.port_base + class));
	perron_store16(udp + 4, (uint16_t)(UDP_SIZE + payload_size));
	perron_store16(udp + 6, 0);
	return 0;
}

bool perron_net_request(struct perron_net *net, uint64_t now_ns, uint32_t address, uint8_t *frame)
{
	static const uint8_t nobody[PERRON_NET_MAC_SIZE];
	uint32_t hop = perron_net_next_hop(net, address);
	if (!hop || hop == net->config.address || !is_host_of(hop, net->config.prefix_length))
		return false;
	struct perron_net_neighbour *neighbour = neighbour_look_up(net, hop);
	if (!neighbour)
		neighbour = neighbour_seat(net, now_ns, hop);
	if (!neighbour)
		return false;
	if (neighbour->known && since(now_ns, neighbour->heard_ns) < PERRON_NET_STALE_NS)
		return false;
	if (neighbour->asked_ns &&
	    since(now_ns, neighbour->asked_ns) < PERRON_NET_REQUEST_INTERVAL_NS)
		return false;
	neighbour->asked_ns = now_ns ? now_ns : 1;
	net->counters[PERRON_NET_COUNTER_ARP_REQUESTS_SENT]++;
	memset(frame, 0, PERRON_NET_ARP_SIZE);
	arp_write(frame, &net->config, ARP_REQUEST, broadcast_mac, nobody, hop);
	return true;
}

void perron_net_announce(const struct perron_net *net, uint8_t *frame)
{
	static const uint8_t nobody[PERRON_NET_MAC_SIZE];
	memset(frame, 0, PERRON_NET_ARP_SIZE);
	arp_write(frame, &net->config, ARP_REQUEST, broadcast_mac, nobody, net->config.address);
}
