/* The descriptor's schema: what is read, what is refused, and at which line and column. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ft/group.h"
#include "runtime/base/frame.h"
#include "runtime/descriptor/descriptor.h"
#include "test/unit/support.h"

/* Line 1 is `overlay:`; a case appends to it or replaces it. */
#define HEAD                                 \
	"overlay:\n"                         \
	"  portal:\n"                        \
	"  - {peer: 1, address: 10.0.0.1}\n" \
	"station:\n"                         \
	"  name: alpha\n"                    \
	"  address: 10.0.0.1/24\n"
#define PEERS "peers:\n- id: 1\n"

static struct perron_descriptor d, again;
static char error[PERRON_DESCRIPTOR_ERROR_SIZE];

static int parse(const char *text)
{
	error[0] = 0;
	return perron_descriptor_parse(&d, "s.yaml", text, strlen(text), error, sizeof(error));
}

static void expect_good(const char *text)
{
	int rc = parse(text);
	if (rc)
		fail_msg("%s", error);
}

static void defaults_are_filled_in(void **state)
{
	(void)state;
	expect_good(HEAD PEERS);
	assert_int_equal(d.overlay.id, 1);
	assert_int_equal(d.overlay.port_base, 7400);
	assert_int_equal(d.overlay.depth, 3);
	assert_int_equal(d.overlay.span, 2);
	assert_int_equal(d.overlay.cell_size, 2);
	assert_int_equal(d.overlay.beat_interval_ns, 50000000);
	assert_int_equal(d.overlay.beat_timeout_ns, 250000000);
	assert_int_equal(d.overlay.lease_ns, 2000000000);
	assert_int_equal(d.overlay.portal_count, 1);
	assert_int_equal(d.overlay.portal[0].address, 0x0a000001);
	assert_string_equal(d.station.name, "alpha");
	assert_int_equal(d.station.address, 0x0a000001);
	assert_int_equal(d.station.prefix_length, 24);
	assert_int_equal(d.station.gateway, 0);
	assert_int_equal(d.station.housekeeping_core, -1);
	assert_int_equal(d.station.lcore_count, 0);
	assert_int_equal(d.station.memory_size, 64 << 20);
	assert_string_equal(d.station.socket, "/run/perron/alpha.sock");
	assert_int_equal(d.port_count, 0);
	assert_int_equal(d.peer_count, 1);
	assert_int_equal(d.peers[0].lcore, -1);
	assert_int_equal(d.peers[0].cell_depth, 0);
	assert_int_equal(d.sensor_count, 0);
	assert_int_equal(d.limits.links, 64);
	assert_int_equal(d.limits.ring, 1024);
}

#define FULL                                                                                \
	"overlay: {id: 7, depth: 4, span: 3, cell_size: 3, beat_interval: 1.5ms,\n"         \
	"          beat_timeout: 5ms, lease: 20ms, port_base: 8000,\n"                      \
	"          portal: [{peer: 1, address: 10.0.0.1}, {peer: 9, address: 10.0.0.9}]}\n" \
	"station:\n"                                                                        \
	"  name: alpha\n"                                                                   \
	"  address: 10.0.0.1/24\n"                                                          \
	"  gateway: 10.0.0.254\n"                                                           \
	"  idle: backoff\n"                                                                 \
	"  lcores: [1, 3]\n"                                                                \
	"  housekeeping_core: 0\n"                                                          \
	"  memory: 128MB\n"                                                                 \
	"  huge_pages: no\n"                                                                \
	"  socket: /tmp/a b.sock\n"                                                         \
	"port:\n"                                                                           \
	"  driver: af_packet\n"                                                             \
	"  interface: veth0\n"                                                              \
	"  impair: {delay: 2ms, loss: 0.1%, seed: 42}\n"                                    \
	"peers:\n"                                                                          \
	"- {id: 1, cell: 0, lcore: 3}\n"                                                    \
	"- {id: 5, cell: 0.2.1}\n"                                                          \
	"sensors:\n"                                                                        \
	"- name: gps/roof\n"                                                                \
	"  peer: 5\n"                                                                       \
	"  driver: serial\n"                                                                \
	"  class: alarm\n"                                                                  \
	"  device: /dev/ttyS0\n"                                                            \
	"  speed: 4800\n"                                                                   \
	"limits: {links: 32, ring: 256}\n"                                                  \
	"detector:\n"                                                                       \
	"  timeout_min: 4ms\n"                                                              \
	"  links:\n"                                                                        \
	"  - {peer: 9, kind: pull, interval: 5ms, timeout_max: 15ms}\n"                     \
	"  - {peer: 2}\n"                                                                   \
	"group: {window: 128, pending: 16, groups: 8, resend: 1.5ms, attempt: 9ms,\n"        \
	"        hello: 50ms, exclude: 2s, acknowledge: 200us}\n"

static void everything_is_read(void **state)
{
	(void)state;
	expect_good(FULL);
	assert_int_equal(d.overlay.id, 7);
	assert_int_equal(d.overlay.beat_interval_ns, 1500000);
	assert_int_equal(d.overlay.portal[1].peer, 9);
	assert_int_equal(d.station.gateway, 0x0a0000fe);
	assert_int_equal(d.station.idle, PERRON_DESCRIPTOR_IDLE_BACKOFF);
	assert_int_equal(d.station.lcore_count, 2);
	assert_int_equal(d.station.lcores[1], 3);
	assert_int_equal(d.station.huge_pages, PERRON_DESCRIPTOR_HUGE_NO);
	assert_string_equal(d.station.socket, "/tmp/a b.sock");
	assert_int_equal(d.port_count, 1);
	assert_string_equal(d.ports[0].driver.name, "af_packet");
	assert_int_equal(d.ports[0].driver.option_count, 1);
	assert_string_equal(d.ports[0].driver.options[0].value, "veth0");
	assert_int_equal(d.ports[0].driver.options[0].line, 16);
	assert_int_equal(d.ports[0].driver.options[0].column, 14);
	assert_true(d.ports[0].impair.set);
	assert_int_equal(d.ports[0].impair.delay_ns, 2000000);
	assert_int_equal(d.ports[0].impair.loss_ppm, 1000);
	assert_int_equal(d.ports[0].impair.seed, 42);
	assert_int_equal(d.peers[0].cell_depth, 1);
	assert_int_equal(d.peers[0].lcore, 3);
	assert_int_equal(d.peers[1].cell_depth, 3);
	assert_int_equal(d.peers[1].cell[1], 2);
	assert_string_equal(d.sensors[0].name, "gps/roof");
	assert_int_equal(d.sensors[0].peer_index, 1);
	assert_int_equal(d.sensors[0].class, PERRON_CLASS_ALARM);
	assert_int_equal(d.sensors[0].driver.option_count, 2);
	assert_string_equal(d.sensors[0].driver.options[1].value, "4800");
	assert_int_equal(d.limits.links, 32);
	assert_int_equal(d.limits.streams, 256);
	assert_int_equal(d.limits.ring, 256);
	assert_int_equal(d.group.window, 128);
	assert_int_equal(d.group.pending, 16);
	assert_int_equal(d.group.groups, 8);
	assert_int_equal(d.group.resend_ns, 1500000);
	assert_int_equal(d.group.attempt_ns, 9000000);
	assert_int_equal(d.group.hello_ns, 50000000);
	assert_int_equal(d.group.exclude_ns, 2000000000);
	assert_int_equal(d.group.acknowledge_ns, 200000);
}

/* This room may not include ft: its table repeats what stands there. */
static void group_defaults_are_the_groups_own(void **state)
{
	struct perron_group_config cfg;

	(void)state;
	perron_group_config_default(&cfg);
	expect_good(HEAD PEERS);
	assert_int_equal(d.group.window, cfg.window);
	assert_int_equal(d.group.pending, cfg.pending_count);
	assert_int_equal(d.group.groups, cfg.light_count_max);
	assert_int_equal(d.group.resend_ns, cfg.resend_ns);
	assert_int_equal(d.group.attempt_ns, cfg.attempt_ns);
	assert_int_equal(d.group.hello_ns, cfg.hello_ns);
	assert_int_equal(d.group.exclude_ns, cfg.exclude_ns);
	assert_int_equal(d.group.acknowledge_ns, cfg.acknowledge_ns);
}

/* A link follows the detector's own values, and those the overlay's. */
static void detectors_follow_what_is_above(void **state)
{
	const struct perron_descriptor_link *all = &d.detector.all, *links = d.detector.links;

	(void)state;
	expect_good(FULL);
	assert_int_equal(all->kind, PERRON_DESCRIPTOR_DETECTOR_ACCRUAL);
	assert_int_equal(all->interval_ns, 1500000);
	assert_int_equal(all->timeout_ns_min, 4000000);
	assert_int_equal(all->timeout_ns_max, 5000000);
	assert_int_equal(d.detector.link_count, 2);
	assert_int_equal(links[0].peer, 9);
	assert_int_equal(links[0].kind, PERRON_DESCRIPTOR_DETECTOR_PULL);
	assert_int_equal(links[0].interval_ns, 5000000);
	assert_int_equal(links[0].timeout_ns_min, 10000000);
	assert_int_equal(links[0].timeout_ns_max, 15000000);
	assert_int_equal(links[1].kind, PERRON_DESCRIPTOR_DETECTOR_ACCRUAL);
	assert_int_equal(links[1].timeout_ns_min, 4000000);
	assert_int_equal(links[1].timeout_ns_max, 5000000);
	expect_good(HEAD PEERS);
	assert_int_equal(all->interval_ns, 50000000);
	assert_int_equal(all->timeout_ns_min, 125000000);
	assert_int_equal(all->timeout_ns_max, 250000000);
	assert_int_equal(d.detector.link_count, 0);
}

static void places_tell_set_from_default(void **state)
{
	(void)state;
	expect_good(FULL);
	struct perron_descriptor_place place =
	    perron_descriptor_place_of(&d.station.places, "station", "idle");
	assert_int_equal(place.line, 8);
	assert_int_equal(place.column, 9);
	place = perron_descriptor_place_of(&d.station.places, "station", "turn_threshold");
	assert_int_equal(place.line, 0);
}

struct bad {
	const char *text;
	const char *error;
};

static const struct bad bads[] = {
    {"", "s.yaml:1:1: the file is empty; expected overlay, station and peers"},
    {"# nothing\n", "s.yaml:1:1: the file is empty; expected overlay, station and peers"},
    {"- a\n", "s.yaml:1:1: the descriptor is a list; expected a mapping (key: value)"},
    {"a: [1\n", "s.yaml:2:1: did not find expected ',' or ']'; expected YAML"},
    {"station:\n\tname: x\n", "s.yaml:2:1: found character that cannot start any token; "
			      "expected YAML (indent by spaces, not tabs)"},
    {"a: 1\nb: \xff\n", "s.yaml:2:4: invalid leading UTF-8 octet; expected YAML"},
    {HEAD PEERS "---\na: 1\n", "s.yaml:10:1: a second document; expected one"},
    {HEAD PEERS "statoin: {}\n", "s.yaml:9:1: unknown key 'statoin' in the descriptor; "
				 "expected 'station' (did you mean it?)"},
    {HEAD PEERS "qqqqqqqqqqqq: {}\n",
     "s.yaml:9:1: unknown key 'qqqqqqqqqqqq' in the descriptor; expected one of overlay, "
     "station, port, ports, peers, sensors, limits, detector, group"},
    {HEAD "  idel: spin\n" PEERS,
     "s.yaml:7:3: unknown key 'idel' in station; expected 'idle' (did you mean it?)"},
    {HEAD "  name: beta\n" PEERS, "s.yaml:7:3: 'name' is given twice; expected once"},
    {HEAD, "s.yaml:1:1: 'peers' is missing in the descriptor; expected a list of 1 to 64 "
	   "peers, each {id: ID}"},
    {HEAD "  idle: lazy\n" PEERS, "s.yaml:7:9: 'idle' is ill-typed: 'lazy'; expected one of "
				  "auto|spin|backoff|interrupt"},
    {HEAD "  idle: [spin]\n" PEERS, "s.yaml:7:9: 'idle' is a list; expected a single value"},
    {HEAD "  backoff_max: 20 parsecs\n" PEERS,
     "s.yaml:7:16: 'backoff_max' is ill-typed: '20 parsecs'; expected a duration from 1us to "
     "100ms, such as 20ms or 2s"},
    {HEAD "  backoff_max: 2s\n" PEERS,
     "s.yaml:7:16: 'backoff_max' is out of range: '2s'; expected a duration from 1us to "
     "100ms, such as 20ms or 2s"},
    {HEAD "  memory: lots\n" PEERS, "s.yaml:7:11: 'memory' is ill-typed: 'lots'; expected a "
				    "size from 16MB to 64GB, such as 64MB"},
    {HEAD "  lcores: [1, 1]\n" PEERS,
     "s.yaml:7:11: 'lcores' is ill-typed: '1,1'; expected up to 64 cores, each once, such as "
     "[1, 2] or 1-3, or auto"},
    {HEAD "  gateway: 10.0.1.1\n" PEERS, "s.yaml:7:12: 'gateway' is not in the network of "
					 "'address'; expected an address within its /24"},
    {HEAD "  socket: run/x\n" PEERS, "s.yaml:7:11: 'socket' is ill-typed: 'run/x'; expected "
				     "an absolute path of at most 107 characters"},
    {HEAD "  lcores: 1-2\npeers:\n- {id: 1, lcore: 3}\n",
     "s.yaml:9:18: 'lcore' is 3; expected one of the station's 'lcores'"},
    {HEAD "peers: []\n", "s.yaml:7:8: 'peers' has 0 entries; expected 1 to 64"},
    {HEAD "peers: {id: 1}\n", "s.yaml:7:8: 'peers' is a mapping; expected a list (- item)"},
    {HEAD "peers:\n- {id: 0}\n", "s.yaml:8:8: 'id' is out of range: '0'; expected the peer's "
				 "id, a number above 0"},
    {HEAD "peers:\n- {cell: 0}\n", "s.yaml:8:3: 'id' is missing in an entry of peers; "
				   "expected the peer's id, a number above 0"},
    {HEAD PEERS "- id: 1\n", "s.yaml:9:7: peer 1 is given twice; expected once"},
    {HEAD "peers:\n- {id: 1, cell: 0.2}\n",
     "s.yaml:8:17: 'cell' has 2 at level 2; expected below the overlay's 'span' of 2"},
    {HEAD "peers:\n- {id: 1, cell: 0.0.0.0}\n",
     "s.yaml:8:17: 'cell' has 4 levels; expected at most the overlay's 'depth' of 3"},
    {HEAD "peers:\n- {id: 1, cell: 1.0}\n",
     "s.yaml:8:17: 'cell' is out of range: '1.0'; expected a cell such as 0.1.0 (the root is "
     "0; 8 levels, 0 to 15 each), or any"},
    {HEAD "peers:\n- {id: 2}\n", "s.yaml:3:12: unknown peer 1 at this station's address; "
				 "expected one of 'peers'"},
    {HEAD PEERS "sensors:\n- {name: a, peer: 3, driver: serial}\n",
     "s.yaml:10:19: unknown peer 3; expected the id of one of 'peers'"},
    {HEAD PEERS "sensors:\n- {name: a, peer: 1, driver: x}\n- {name: a, peer: 1, driver: x}\n",
     "s.yaml:11:10: sensor 'a' is given twice; expected once"},
    {HEAD PEERS "sensors:\n- {name: a b, peer: 1, driver: x}\n",
     "s.yaml:10:10: 'name' is ill-typed: 'a b'; expected a name of 1 to 31 letters, digits, "
     "'.', '_', '/' or '-'"},
    {HEAD PEERS "sensors:\n- {name: a, peer: 1, driver: x, k: 1, k: 2}\n",
     "s.yaml:10:39: 'k' is given twice; expected once"},
    {HEAD PEERS "sensors:\n- {name: a, peer: 1, driver: x, k: [1]}\n",
     "s.yaml:10:36: 'k' is a list; expected a single value"},
    {HEAD PEERS "sensors:\n- {name: a, peer: 1, driver: x, class: loud}\n",
     "s.yaml:10:40: 'class' is ill-typed: 'loud'; expected one of alarm|critical|normal"},
    {HEAD PEERS "port: {interface: eth0}\n", "s.yaml:9:7: 'driver' is missing in port; "
					     "expected the name of a port driver, such as "
					     "af_packet"},
    {HEAD PEERS "port: {driver: x}\nports: [{driver: y}]\n",
     "s.yaml:10:8: both 'port' and 'ports' are given; expected one of them"},
    {HEAD PEERS "port: {driver: x, impair: {loss: 101%}}\n",
     "s.yaml:9:34: 'loss' is out of range: '101%'; expected a share from 0% to 100%, such as "
     "0.1%"},
    {HEAD PEERS "limits: {ring: 1000}\n", "s.yaml:9:16: 'ring' is out of range: '1000'; "
					  "expected a power of two from 64 to 65536"},
    {HEAD PEERS "detector: {kind: guess}\n", "s.yaml:9:18: 'kind' is ill-typed: 'guess'; expected "
					      "one of auto|accrual|push|pull"},
    {HEAD PEERS "detector: {interval: 999us}\n",
     "s.yaml:9:22: 'interval' is out of range: '999us'; expected a duration from 1ms to 10s, or "
     "auto"},
    {HEAD PEERS "detector: {interval: 20ms, timeout_min: 39ms}\n",
     "s.yaml:9:41: 'timeout_min' is 39ms with an 'interval' of 20ms; expected at least twice the "
     "interval"},
    {HEAD PEERS "detector: {timeout_max: 110ms, timeout_min: 120ms}\n",
     "s.yaml:9:25: 'timeout_max' is 110ms with a 'timeout_min' of 120ms; expected at least as "
     "long"},
    {HEAD PEERS "detector: {timeout_max: 3s}\n",
     "s.yaml:9:25: 'timeout_max' is 3s with a 'lease' of 2s; expected at most as long"},
    {HEAD PEERS "detector: {links: [{kind: pull}]}\n",
     "s.yaml:9:20: 'peer' is missing in an entry of links; expected the id of the peer at the "
     "other end"},
    {HEAD PEERS "detector: {links: [{peer: 2}, {peer: 2}]}\n",
     "s.yaml:9:38: the link with peer 2 is given twice; expected once"},
    {HEAD PEERS "detector:\n  links:\n  - {peer: 2, interval: 1s}\n",
     "s.yaml:11:25: 'timeout_max' is 250ms with a 'timeout_min' of 2s; expected at least as long"},
    {HEAD PEERS "group: {window: 48}\n", "s.yaml:9:17: 'window' is out of range: '48'; "
					 "expected a power of two from 8 to 1024"},
    {HEAD PEERS "group: {pending: 2}\n", "s.yaml:9:18: 'pending' is out of range: '2'; "
					 "expected a power of two from 4 to 1024"},
    {HEAD PEERS "group: {attempt: 2ms}\n", "s.yaml:9:18: 'attempt' is 2ms with a 'resend' of 3ms; "
					   "expected longer"},
    {HEAD PEERS "group: {resend: 30ms}\n",
     "s.yaml:9:17: 'attempt' is 20ms with a 'resend' of 30ms; expected longer"},
    {"overlay: {portal: [{peer: 2, address: 10.0.0.2}]}\n"
     "station: {name: a, address: 10.0.0.1/24}\n" PEERS,
     "s.yaml:1:1: 'port' is missing; expected a port, since peer 2 of the portal is on "
     "another station"},
    {"overlay: {beat_timeout: 60ms, portal: [{peer: 1, address: 10.0.0.1}]}\n"
     "station: {name: a, address: 10.0.0.1/24}\n" PEERS,
     "s.yaml:1:25: 'beat_timeout' is 60ms with a 'beat_interval' of 50ms; expected at least "
     "twice the interval"},
    {"overlay: {lease: 100ms, portal: [{peer: 1, address: 10.0.0.1}]}\n"
     "station: {name: a, address: 10.0.0.1/24}\n" PEERS,
     "s.yaml:1:18: 'lease' is 100ms with a 'beat_timeout' of 250ms; expected at least as "
     "long"},
    {"overlay: {cell_size: 1, portal: [{peer: 1, address: 10.0.0.1}, {peer: 2, address: "
     "10.0.0.2}]}\nstation: {name: a, address: 10.0.0.1/24}\n" PEERS,
     "s.yaml:1:33: 'portal' has 2 entries with a 'cell_size' of 1; expected at most as many"},
    {"overlay: {portal: [{peer: 1, address: 10.0.0.1}, {peer: 1, address: 10.0.0.1}]}\n"
     "station: {name: a, address: 10.0.0.1/24}\n" PEERS,
     "s.yaml:1:57: peer 1 is given twice; expected once"},
    {"overlay: {portal: [{peer: 1, address: 10.0.0.7}]}\n"
     "station: {name: a, address: 10.0.0.1/24}\n" PEERS,
     "s.yaml:1:39: peer 1 is one of this station's peers, but not at its address; expected "
     "the address of 'station'"},
    {"overlay: {depth: 9, portal: [{peer: 1, address: 10.0.0.1}]}\n",
     "s.yaml:1:18: 'depth' is out of range: '9'; expected a whole number from 1 to 8"},
    {"overlay: {portal: [{peer: 1, address: 10.0.0.256}]}\n",
     "s.yaml:1:39: 'address' is ill-typed: '10.0.0.256'; expected an IPv4 address of a "
     "station, such as 10.0.0.1"},
    {"station: {name: a, address: 10.0.0.1}\n",
     "s.yaml:1:29: 'address' is ill-typed: '10.0.0.1'; expected an IPv4 address with its "
     "prefix length, such as 10.0.0.1/24"},
    {"station: {name: a/b, address: 10.0.0.1/24}\n",
     "s.yaml:1:17: 'name' is ill-typed: 'a/b'; expected a name of 1 to 31 letters, digits, "
     "'.', '_' or '-'"},
    {"station: {name: \"a\\0b\"}\n",
     "s.yaml:1:17: 'name' has a control character; expected plain text"},
    {"overlay: &a {portal: *a}\n", "s.yaml:1:10: 'portal' is a mapping; expected a list (- item)"},
};

static void each_error_has_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		int rc = parse(bads[i].text);
		if (rc != -EINVAL)
			fail_msg("accepted:\n%s", bads[i].text);
		assert_string_equal(error, bads[i].error);
	}
}

static const struct perron_option serial_options[] = {
    {"device", PERRON_OPTION_TEXT, NULL, "a tty"},
    {"speed", PERRON_OPTION_INTEGER, "9600", "bit/s", .min = 300, .max = 4000000},
    {"gap", PERRON_OPTION_DURATION, "5ms", "silence"},
    {NULL},
};

static const struct perron_option *options_of(const char *driver)
{
	return strcmp(driver, "serial") ? NULL : serial_options;
}

static const char *name_of(uint32_t index)
{
	return index ? NULL : "serial";
}

static const struct perron_descriptor_drivers family = {options_of, name_of};

static void expect_driver_error(const char *sensor, const char *expected)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s%ssensors:\n- {name: a, peer: 1, %s}\n", HEAD, PEERS,
		 sensor);
	expect_good(text);
	int rc = perron_descriptor_check_drivers(&d, NULL, &family, error, sizeof(error));
	if (expected) {
		assert_int_equal(rc, -EINVAL);
		assert_string_equal(error, expected);
	} else {
		assert_int_equal(rc, 0);
	}
}

static void drivers_options_are_checked(void **state)
{
	(void)state;
	expect_driver_error("driver: serial, device: /dev/x, speed: 4800", NULL);
	expect_driver_error("driver: seral, device: /dev/x",
			    "s.yaml:10:30: unknown driver 'seral'; expected 'serial' (did you "
			    "mean it?)");
	expect_driver_error("driver: zzzzzzzzzz",
			    "s.yaml:10:30: unknown driver 'zzzzzzzzzz'; expected one of serial");
	expect_driver_error("driver: serial, device: x, sped: 1",
			    "s.yaml:10:55: driver serial: unknown key 'sped'; did you mean "
			    "'speed'?");
	expect_driver_error("driver: serial, device: x, speed: 1",
			    "s.yaml:10:56: driver serial: 'speed' is out of range: '1'; expected "
			    "a whole number from 300 to 4000000");
	expect_driver_error("driver: serial", "s.yaml:10:30: driver serial: 'device' is missing; "
					      "expected a tty");
}

static void print_effective(const struct perron_descriptor *from, char **text)
{
	size_t size;
	FILE *out = open_memstream(text, &size);

	assert_non_null(out);
	perron_descriptor_print_effective(from, NULL, &family, out);
	fclose(out);
}

static void effective_says_where_values_come_from(void **state)
{
	char *text;

	(void)state;
	expect_good(FULL);
	print_effective(&d, &text);
	assert_non_null(strstr(text, "  idle: backoff                         # from s.yaml:8\n"));
	assert_non_null(strstr(text, "  turn_threshold: 100us                 # default\n"));
	assert_non_null(strstr(text, "  lcores: [1, 3]                        # from s.yaml:9\n"));
	assert_non_null(strstr(text, "  gap: 5ms                              # default\n"));
	free(text);
}

static void effective_loads_as_the_same(void **state)
{
	char *text, *text_again;

	(void)state;
	expect_good(FULL);
	print_effective(&d, &text);
	if (perron_descriptor_parse(&again, "e.yaml", text, strlen(text), error, sizeof(error)))
		fail_msg("%s\n%s", error, text);
	assert_int_equal(again.overlay.beat_interval_ns, d.overlay.beat_interval_ns);
	assert_string_equal(again.station.socket, d.station.socket);
	assert_int_equal(again.ports[0].impair.loss_ppm, d.ports[0].impair.loss_ppm);
	assert_memory_equal(again.peers[1].cell, d.peers[1].cell, sizeof(d.peers[1].cell));
	/* Printed once more, nothing but the places has changed: everything is set now. */
	print_effective(&again, &text_again);
	assert_null(strstr(text_again, "# default"));
	char *a = text, *b = text_again;
	while (*a && *b) {
		size_t length = strcspn(a, "#");
		assert_int_equal(strcspn(b, "#"), length);
		assert_memory_equal(a, b, length);
		a = strchr(a, '\n') + 1;
		b = strchr(b, '\n') + 1;
		if (length == 0)
			break;
	}
	free(text);
	free(text_again);
}

static void files_that_cannot_be_read_are_named(void **state)
{
	(void)state;
	assert_int_equal(perron_descriptor_load(&d, "/nonexistent.yaml", error, sizeof(error)),
			 -ENOENT);
	assert_string_equal(error, "/nonexistent.yaml: cannot be read (No such file or "
				   "directory); expected a descriptor");
	assert_int_not_equal(perron_descriptor_load(&d, "/", error, sizeof(error)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults_are_filled_in),
	    cmocka_unit_test(everything_is_read),
	    cmocka_unit_test(detectors_follow_what_is_above),
	    cmocka_unit_test(group_defaults_are_the_groups_own),
	    cmocka_unit_test(places_tell_set_from_default),
	    cmocka_unit_test(each_error_has_its_place),
	    cmocka_unit_test(drivers_options_are_checked),
	    cmocka_unit_test(effective_says_where_values_come_from),
	    cmocka_unit_test(effective_loads_as_the_same),
	    cmocka_unit_test(files_that_cannot_be_read_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
