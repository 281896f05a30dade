/* Ethernet, ARP, IPv4, ICMP and UDP by their bytes: what is taken, answered, refused, remembered.
 */
#include "test/unit/support.h"

#include <errno.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/lcore/net.h"

#define US   0x0a000001u /* 10.0.0.1 */
#define HOST 0x0a000002u
#define GATE 0x0a0000feu
#define FAR  0xc0a80101u
#define S    UINT64_C(1000000000)

static const uint8_t our_mac[] = {2, 0, 0, 0, 0, 1}, host_mac[] = {2, 0, 0, 0, 0, 2};
static const uint8_t everyone[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static struct perron_net net;
static struct perron_net_datagram datagram;
static uint8_t frame[1600];

static struct perron_net_config config_sample(void)
{
	struct perron_net_config config = {.address = US, .prefix_length = 24, .port_base = 7400};
	memcpy(config.mac, our_mac, 6);
	return config;
}

static int setup(void **state)
{
	(void)state;
	struct perron_net_config config = config_sample();
	perron_net_init(&net, &config);
	memset(frame, 0, sizeof(frame));
	return 0;
}

/* As a kernel sent it: 10.0.0.2:40001 to 10.0.0.1:7401, "perron", padded; checksum by hand. */
static const uint8_t udp_sample[60] = {
    2,	  0,	0,    0,    0,	  1,	2,    0,    0,	  0,	0,    2,    0x08, 0x00, 0x45, 0x00,
    0x00, 0x22, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x14, 0x95, 0x0a, 0x00, 0x00, 0x02, 0x0a, 0x00,
    0x00, 0x01, 0x9c, 0x41, 0x1c, 0xe9, 0x00, 0x0e, 0x00, 0x00, 'p',  'e',  'r',  'r',	'o',  'n'};

static void checksum_renew(void)
{
	uint32_t sum = 0;
	uint32_t size = (frame[14] & 15u) * 4;
	perron_store16(frame + 24, 0);
	for (uint32_t i = 0; i < size; i += 2)
		sum += perron_load16(frame + 14 + i);
	sum = (sum & 0xffff) + (sum >> 16);
	perron_store16(frame + 24, (uint16_t) ~(sum + (sum >> 16)));
}

static void load_udp(void)
{
	memcpy(frame, udp_sample, sizeof(udp_sample));
}

static enum perron_net_verdict receive(uint32_t size)
{
	return perron_net_receive(&net, S, frame, size, false, &datagram);
}

static void expect_drop(uint32_t size, enum perron_drop cause)
{
	struct perron_net before = net;
	assert_int_equal(receive(size), PERRON_NET_DROPPED);
	assert_string_equal(perron_drop_name(datagram.cause), perron_drop_name(cause));
	/* No state but the count of conflicts changes by what is dropped. */
	memcpy(before.counters, net.counters, sizeof(before.counters));
	assert_memory_equal(&before, &net, sizeof(net));
}

static void test_a_datagram_is_taken(void **state)
{
	(void)state;
	load_udp();
	assert_int_equal(receive(60), PERRON_NET_DATAGRAM);
	assert_int_equal(datagram.offset, 42);
	assert_int_equal(datagram.size, 6);
	assert_int_equal(datagram.class, PERRON_CLASS_CRITICAL);
	assert_int_equal(datagram.from.address, HOST);
	assert_int_equal(datagram.from.port_base, 40000);
	assert_memory_equal(perron_net_neighbour_find(&net, S, HOST), host_mac, 6);
}

static void test_each_class_has_its_port(void **state)
{
	(void)state;
	for (uint16_t port = 7398; port < 7407; port++) {
		load_udp();
		perron_store16(frame + 36, port);
		if (port >= 7400 && port <= 7403) {
			assert_int_equal(receive(60), PERRON_NET_DATAGRAM);
			assert_int_equal(datagram.class, port - 7400);
		} else {
			assert_int_equal(receive(60), PERRON_NET_DROPPED);
			assert_int_equal(datagram.cause, PERRON_DROP_NOT_OURS);
		}
	}
}

static void test_options_of_ipv4_are_skipped(void **state)
{
	(void)state;
	load_udp();
	memmove(frame + 38, frame + 34, 14);
	memset(frame + 34, 1, 4);
	frame[14] = 0x46;
	perron_store16(frame + 16, 38);
	checksum_renew();
	assert_int_equal(receive(60), PERRON_NET_DATAGRAM);
	assert_int_equal(datagram.offset, 46);
	assert_memory_equal(frame + datagram.offset, "perron", 6);
}

/* Each row: one byte changed, and the cause. The checksum is renewed unless the row is about it. */
static void test_malformed_packets_are_dropped_by_cause(void **state)
{
	(void)state;
	static const struct {
		uint32_t at;
		uint8_t value;
		bool renew;
		enum perron_drop cause;
	} rows[] = {
	    {0, 4, false, PERRON_DROP_NOT_OURS},      /* another's Ethernet address */
	    {12, 0x86, false, PERRON_DROP_NOT_OURS},  /* IPv6, VLAN, whatever */
	    {14, 0x65, true, PERRON_DROP_MALFORMED},  /* version 6 */
	    {14, 0x44, false, PERRON_DROP_MALFORMED}, /* header of 16 bytes */
	    {14, 0x4f, true, PERRON_DROP_LENGTH},     /* header longer than the packet */
	    {17, 19, true, PERRON_DROP_LENGTH},	      /* total shorter than the header */
	    {17, 47, true, PERRON_DROP_TRUNCATED},    /* total longer than the frame */
	    {16, 0xff, true, PERRON_DROP_TRUNCATED},
	    {25, 0x96, false, PERRON_DROP_HEADER_CHECK},
	    {22, 0x41, false, PERRON_DROP_HEADER_CHECK},
	    {33, 9, true, PERRON_DROP_NOT_OURS},    /* another's address */
	    {20, 0x20, true, PERRON_DROP_FRAGMENT}, /* more fragments */
	    {21, 0x01, true, PERRON_DROP_FRAGMENT}, /* an offset */
	    {26, 127, true, PERRON_DROP_MALFORMED}, /* from loopback */
	    {26, 224, true, PERRON_DROP_MALFORMED}, /* from multicast */
	    {29, 1, true, PERRON_DROP_MALFORMED},   /* from ourselves */
	    {23, 6, true, PERRON_DROP_NOT_OURS},    /* TCP */
	    {17, 27, true, PERRON_DROP_TRUNCATED},  /* no room for a UDP header */
	    {39, 15, false, PERRON_DROP_TRUNCATED}, /* UDP longer than IPv4 */
	    {39, 7, false, PERRON_DROP_LENGTH},	    /* UDP shorter than its header */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		load_udp();
		frame[rows[i].at] = rows[i].value;
		if (rows[i].renew)
			checksum_renew();
		expect_drop(60, rows[i].cause);
	}
	load_udp();
	perron_store16(frame + 34, 1); /* source port 1 less class 1 is 0 */
	expect_drop(60, PERRON_DROP_MALFORMED);
	load_udp();
	memcpy(frame, everyone, 6);
	expect_drop(60, PERRON_DROP_NOT_OURS);
}

static void test_every_truncation_is_dropped(void **state)
{
	(void)state;
	for (uint32_t size = 0; size < 48; size++) {
		load_udp();
		expect_drop(size, PERRON_DROP_TRUNCATED);
	}
	load_udp();
	expect_drop(1515, PERRON_DROP_LENGTH);
}

static void test_a_checked_checksum_is_not_checked_again(void **state)
{
	(void)state;
	load_udp();
	frame[25] = 0;
	assert_int_equal(perron_net_receive(&net, S, frame, 60, true, &datagram),
			 PERRON_NET_DATAGRAM);
}

static void load_arp(uint16_t operation, const uint8_t *to, uint32_t sender, uint32_t target)
{
	memset(frame, 0, 60);
	memcpy(frame, to, 6);
	memcpy(frame + 6, host_mac, 6);
	memcpy(frame + 12, "\x08\x06\x00\x01\x08\x00\x06\x04", 8);
	perron_store16(frame + 20, operation);
	memcpy(frame + 22, host_mac, 6);
	perron_store32(frame + 28, sender);
	perron_store32(frame + 38, target);
}

static void test_a_request_is_answered_and_its_sender_learned(void **state)
{
	(void)state;
	load_arp(1, everyone, HOST, US);
	assert_int_equal(receive(60), PERRON_NET_REPLY);
	assert_int_equal(datagram.size, 60);
	assert_memory_equal(frame, host_mac, 6);
	assert_memory_equal(frame + 6, our_mac, 6);
	assert_int_equal(perron_load16(frame + 20), 2);
	assert_memory_equal(frame + 22, our_mac, 6);
	assert_int_equal(perron_load32(frame + 28), US);
	assert_memory_equal(frame + 32, host_mac, 6);
	assert_int_equal(perron_load32(frame + 38), HOST);
	assert_non_null(perron_net_neighbour_find(&net, S, HOST));
}

static void test_a_probe_is_answered_and_not_learned(void **state)
{
	(void)state;
	load_arp(1, everyone, 0, US);
	assert_int_equal(receive(60), PERRON_NET_REPLY);
	assert_int_equal(net.counters[PERRON_NET_COUNTER_NEIGHBOURS_LEARNED], 0);
}

static void test_arp_that_is_not_for_us_or_wrong_is_dropped(void **state)
{
	(void)state;
	load_arp(1, everyone, HOST, HOST + 1);
	expect_drop(60, PERRON_DROP_NOT_OURS);
	load_arp(2, our_mac, HOST, HOST + 1);
	expect_drop(60, PERRON_DROP_NOT_OURS);
	load_arp(3, our_mac, HOST, US);
	expect_drop(60, PERRON_DROP_NOT_OURS);
	load_arp(1, everyone, HOST, US);
	expect_drop(41, PERRON_DROP_TRUNCATED);
	load_arp(1, everyone, HOST, US);
	frame[18] = 8;
	expect_drop(60, PERRON_DROP_MALFORMED);
	load_arp(1, everyone, HOST, US);
	frame[27] = 9; /* says it was another than the sender of the frame */
	expect_drop(60, PERRON_DROP_MALFORMED);
	load_arp(2, our_mac, US, US);
	expect_drop(60, PERRON_DROP_NOT_OURS);
	assert_int_equal(net.counters[PERRON_NET_COUNTER_ADDRESS_CONFLICTS], 1);
}

static void test_replies_and_renewals_are_learned(void **state)
{
	(void)state;
	load_arp(1, everyone, HOST, HOST); /* gratuitous, of one we never heard of */
	expect_drop(60, PERRON_DROP_NOT_OURS);
	load_arp(2, our_mac, HOST, US);
	assert_int_equal(receive(60), PERRON_NET_TAKEN);
	assert_memory_equal(perron_net_neighbour_find(&net, S, HOST), host_mac, 6);
	load_arp(1, everyone, HOST, HOST);
	frame[11] = frame[27] = 7;
	assert_int_equal(receive(60), PERRON_NET_TAKEN);
	assert_int_equal(perron_net_neighbour_find(&net, S, HOST)[5], 7);
	assert_int_equal(net.counters[PERRON_NET_COUNTER_NEIGHBOURS_CHANGED], 1);
}

static void test_an_echo_is_turned_round(void **state)
{
	(void)state;
	load_udp();
	frame[23] = 1;
	perron_store16(frame + 16, 33); /* an odd size */
	checksum_renew();
	memcpy(frame + 34,
	       "\x08\x00\x00\x00\x12\x34\x00\x01"
	       "hello",
	       13);
	perron_store16(frame + 36, 0);
	uint32_t sum = 0;
	for (uint32_t i = 34; i < 46; i += 2)
		sum += perron_load16(frame + i);
	sum += (uint32_t)'o' << 8;
	perron_store16(frame + 36, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	assert_int_equal(receive(60), PERRON_NET_REPLY);
	assert_int_equal(datagram.size, 47);
	assert_memory_equal(frame, host_mac, 6);
	assert_int_equal(perron_load32(frame + 26), US);
	assert_int_equal(perron_load32(frame + 30), HOST);
	assert_int_equal(frame[34], 0);
	assert_memory_equal(frame + 38, "\x12\x34\x00\x01hello", 9);
	uint16_t header = perron_load16(frame + 24), whole = perron_load16(frame + 36);
	checksum_renew();
	assert_int_equal(perron_load16(frame + 24), header);
	sum -= 0x0800; /* the type was 8 */
	assert_int_equal(whole, (uint16_t)~((sum & 0xffff) + (sum >> 16)));
	load_udp();
	frame[23] = 1;
	checksum_renew();
	memcpy(frame + 34, "\x08\x00\x00\x00", 4);
	expect_drop(60, PERRON_DROP_PAYLOAD_CHECK);
	frame[34] = 0; /* a reply to nothing */
	expect_drop(60, PERRON_DROP_NOT_OURS);
}

static void test_headers_are_as_a_kernel_wants_them(void **state)
{
	(void)state;
	static const uint8_t tos[] = {0xb8, 0x88, 0x00, 0xc0};
	struct perron_endpoint to = {HOST, 40000};
	uint8_t headers[PERRON_NET_HEADER_SIZE];
	assert_int_equal(perron_net_wrap(&net, S, headers, 418, 0, to), -EAGAIN);
	perron_net_neighbour_learn(&net, S, HOST, host_mac);
	for (uint8_t class = 0; class < 4; class ++) {
		assert_int_equal(perron_net_wrap(&net, S, headers, 418, class, to), 0);
		assert_int_equal(headers[15], tos[class]);
		assert_int_equal(perron_load16(headers + 34), 7400 + class);
		assert_int_equal(perron_load16(headers + 36), 40000 + class);
	}
	assert_memory_equal(headers, host_mac, 6);
	assert_memory_equal(headers + 6, our_mac, 6);
	assert_int_equal(perron_load16(headers + 16), 446);
	assert_int_equal(perron_load16(headers + 38), 426);
	assert_int_equal(headers[22], 64);
	memcpy(frame, headers, sizeof(headers));
	checksum_renew();
	assert_memory_equal(frame, headers, sizeof(headers));
}

static void test_what_is_sent_is_received(void **state)
{
	(void)state;
	struct perron_net_config config = config_sample();
	struct perron_net other;
	config.address = HOST;
	memcpy(config.mac, host_mac, 6);
	perron_net_init(&other, &config);
	perron_net_neighbour_learn(&net, S, HOST, host_mac);
	assert_int_equal(perron_net_wrap(&net, S, frame, PERRON_FRAME_SIZE_MAX, 3,
					 (struct perron_endpoint){HOST, 7400}),
			 0);
	assert_int_equal(
	    perron_net_receive(&other, S, frame, PERRON_NET_SIZE_MAX, false, &datagram),
	    PERRON_NET_DATAGRAM);
	assert_int_equal(datagram.size, PERRON_FRAME_SIZE_MAX);
	assert_int_equal(datagram.class, 3);
	assert_int_equal(datagram.from.port_base, 7400);
}

static void test_off_the_link_goes_by_the_gateway_or_not_at_all(void **state)
{
	(void)state;
	struct perron_endpoint to = {FAR, 7400};
	assert_int_equal(perron_net_wrap(&net, S, frame, 100, 0, to), -EHOSTUNREACH);
	assert_false(perron_net_request(&net, S, FAR, frame));
	net.config.gateway = GATE;
	assert_int_equal(perron_net_wrap(&net, S, frame, 100, 0, to), -EAGAIN);
	assert_true(perron_net_request(&net, S, FAR, frame));
	assert_int_equal(perron_load32(frame + 38), GATE);
	perron_net_neighbour_learn(&net, S, GATE, host_mac);
	assert_int_equal(perron_net_wrap(&net, S, frame, 100, 0, to), 0);
	assert_int_equal(perron_load32(frame + 30), FAR);
	/* A datagram from afar teaches us nothing: it has the gateway's Ethernet address. */
	load_udp();
	perron_store32(frame + 26, FAR);
	checksum_renew();
	assert_int_equal(receive(60), PERRON_NET_DATAGRAM);
	assert_null(perron_net_neighbour_find(&net, S, FAR));
}

static void test_requests_are_limited(void **state)
{
	(void)state;
	assert_true(perron_net_request(&net, S, HOST, frame));
	assert_memory_equal(frame, everyone, 6);
	assert_int_equal(perron_load16(frame + 20), 1);
	assert_int_equal(perron_load32(frame + 28), US);
	assert_false(perron_net_request(&net, S + PERRON_NET_REQUEST_INTERVAL_NS - 1, HOST, frame));
	assert_true(perron_net_request(&net, S + PERRON_NET_REQUEST_INTERVAL_NS, HOST, frame));
	assert_null(perron_net_neighbour_find(&net, 2 * S, HOST));
	perron_net_neighbour_learn(&net, 2 * S, HOST, host_mac);
	assert_false(perron_net_request(&net, 3 * S, HOST, frame));
	/* Stale: asked for again, and used meanwhile. */
	assert_true(perron_net_request(&net, 2 * S + PERRON_NET_STALE_NS, HOST, frame));
	assert_non_null(perron_net_neighbour_find(&net, 2 * S + PERRON_NET_STALE_NS, HOST));
	assert_false(perron_net_request(&net, S, US, frame));
	assert_false(perron_net_request(&net, S, US | 0xff, frame));
}

static void test_the_cache_is_bounded_and_keeps_whom_we_talk_to(void **state)
{
	(void)state;
	struct perron_net_config config = config_sample();
	config.prefix_length = 8;
	perron_net_init(&net, &config);
	/* All in one set: addresses that differ by what the set does not depend on. */
	uint32_t address[20];
	for (uint32_t i = 0; i < 20; i++)
		address[i] = US + 1 + (i << 16);
	for (uint32_t i = 0; i < 20; i++)
		perron_net_neighbour_learn(&net, S + i, address[i], host_mac);
	assert_null(perron_net_neighbour_find(&net, 2 * S, address[0]));
	for (uint32_t i = 12; i < 20; i++)
		assert_non_null(perron_net_neighbour_find(&net, 2 * S, address[i]));
	/* All eight are in use now: a newcomer has to wait, and so has a request. */
	perron_net_neighbour_learn(&net, 3 * S, address[0], host_mac);
	assert_false(perron_net_request(&net, 3 * S, address[1], frame));
	assert_int_equal(net.counters[PERRON_NET_COUNTER_NEIGHBOURS_REFUSED], 2);
	perron_net_neighbour_learn(&net, 3 * S + PERRON_NET_KEEP_NS, address[0], host_mac);
	assert_non_null(perron_net_neighbour_find(&net, 3 * S + PERRON_NET_KEEP_NS, address[0]));
}

static void test_nobody_is_learned_who_cannot_be(void **state)
{
	(void)state;
	static const uint8_t group[] = {1, 0, 0x5e, 0, 0, 1};
	perron_net_neighbour_learn(&net, S, US, host_mac);
	perron_net_neighbour_learn(&net, S, FAR, host_mac);
	perron_net_neighbour_learn(&net, S, US | 0xff, host_mac);
	perron_net_neighbour_learn(&net, S, US & ~0xffu, host_mac);
	perron_net_neighbour_learn(&net, S, HOST, group);
	assert_int_equal(net.counters[PERRON_NET_COUNTER_NEIGHBOURS_LEARNED], 0);
	assert_null(perron_net_neighbour_find(&net, S, HOST));
}

static void test_our_own_announcement_is_gratuitous(void **state)
{
	(void)state;
	perron_net_announce(&net, frame);
	assert_memory_equal(frame, everyone, 6);
	assert_int_equal(perron_load32(frame + 28), US);
	assert_int_equal(perron_load32(frame + 38), US);
}

static void test_configs_that_cannot_be_are_refused(void **state)
{
	(void)state;
	struct perron_net_config good = config_sample(), bad;
	char error[160];
	good.gateway = GATE;
	assert_int_equal(perron_net_config_check(&good, error, sizeof(error)), 0);
#define REFUSE(field, value, says)                                                      \
	bad = good;                                                                     \
	bad.field = value;                                                              \
	assert_int_equal(perron_net_config_check(&bad, error, sizeof(error)), -EINVAL); \
	assert_non_null(strstr(error, says))
	REFUSE(prefix_length, 0, "1 to 32");
	REFUSE(prefix_length, 33, "1 to 32");
	REFUSE(address, 0x0a000000, "address");
	REFUSE(address, 0x0a0000ff, "address");
	REFUSE(address, 0xe0000001, "address");
	REFUSE(gateway, FAR, "own link");
	REFUSE(gateway, US, "another host");
	REFUSE(port_base, 0, "65532");
	REFUSE(port_base, 65533, "65532");
#undef REFUSE
	good.prefix_length = 31;
	good.gateway = 0;
	assert_int_equal(perron_net_config_check(&good, error, sizeof(error)), 0);
}

static void test_noise_does_no_harm(void **state)
{
	(void)state;
	uint64_t random = 99;
	for (int i = 0; i < 200000; i++) {
		if (i & 1)
			load_udp();
		for (int k = 0; k < 4; k++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			frame[random >> 33 & 63] = (uint8_t)(random >> 25);
		}
		enum perron_net_verdict verdict = receive((uint32_t)(random >> 40) % 80);
		if (verdict == PERRON_NET_DATAGRAM)
			assert_true(datagram.offset + datagram.size <= 80);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_a_datagram_is_taken, setup),
	    cmocka_unit_test_setup(test_each_class_has_its_port, setup),
	    cmocka_unit_test_setup(test_options_of_ipv4_are_skipped, setup),
	    cmocka_unit_test_setup(test_malformed_packets_are_dropped_by_cause, setup),
	    cmocka_unit_test_setup(test_every_truncation_is_dropped, setup),
	    cmocka_unit_test_setup(test_a_checked_checksum_is_not_checked_again, setup),
	    cmocka_unit_test_setup(test_a_request_is_answered_and_its_sender_learned, setup),
	    cmocka_unit_test_setup(test_a_probe_is_answered_and_not_learned, setup),
	    cmocka_unit_test_setup(test_arp_that_is_not_for_us_or_wrong_is_dropped, setup),
	    cmocka_unit_test_setup(test_replies_and_renewals_are_learned, setup),
	    cmocka_unit_test_setup(test_an_echo_is_turned_round, setup),
	    cmocka_unit_test_setup(test_headers_are_as_a_kernel_wants_them, setup),
	    cmocka_unit_test_setup(test_what_is_sent_is_received, setup),
	    cmocka_unit_test_setup(test_off_the_link_goes_by_the_gateway_or_not_at_all, setup),
	    cmocka_unit_test_setup(test_requests_are_limited, setup),
	    cmocka_unit_test_setup(test_the_cache_is_bounded_and_keeps_whom_we_talk_to, setup),
	    cmocka_unit_test_setup(test_nobody_is_learned_who_cannot_be, setup),
	    cmocka_unit_test_setup(test_our_own_announcement_is_gratuitous, setup),
	    cmocka_unit_test_setup(test_configs_that_cannot_be_are_refused, setup),
	    cmocka_unit_test_setup(test_noise_does_no_harm, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
