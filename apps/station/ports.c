/*
 * Ports on housekeeping's side: their upkeep, and what it means when the link of one goes down.
 *
 * A port's link is a sign about the peers behind it: those whose frames leave by it. The relays
 * that have links with them are told by a command (PORT_DOWN), and their detectors decide.
 * Some devices are looked at each turn (a memif whose other process died, a NIC); of the kernel's
 * interfaces the kernel tells, and they are looked at now and then in case it did not.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apps/station/private.h"

/* Between two looks at a link that is not looked at each turn. */
#define LOOK_NS	      100000000ull
#define LINK_MAX      PERRON_NEIGHBOUR_COUNT_MAX
#define NETLINK_SIZE  8192
#define NETLINK_READS 64

/* The socket on which the kernel tells of its interfaces; without it they are looked at. */
static int interfaces_open(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Whether it told of anything; what it said is not read, the interface itself is asked. */
static bool interfaces_heard(const struct perron_station *s)
{
	char unused[NETLINK_SIZE];
	uint32_t count = 0;

	/* A socket that overflowed has told, too. */
	while (s->interfaces_fd >= 0 && count < NETLINK_READS &&
	       (recv(s->interfaces_fd, unused, sizeof(unused), 0) >= 0 || errno == ENOBUFS))
		count++;
	return count > 0;
}

void station_ports_watch(struct perron_station *s)
{
	for (uint32_t i = 0; i < s->port_open_count; i++) {
		if (perron_port_link_is_polled(&s->ports[i]))
			s->ports_polled = true;
		else if (s->interfaces_fd < 0)
			s->interfaces_fd = interfaces_open();
	}
}

uint32_t station_ports_fds(const struct perron_station *s, struct pollfd *out)
{
	uint32_t count = 0;

	if (s->interfaces_fd >= 0)
		out[count++] = (struct pollfd){.fd = s->interfaces_fd, .events = POLLIN};
	for (uint32_t i = 0; i < s->port_open_count; i++) {
		int fd = perron_port_link_fd(&s->ports[i]);
		if (fd >= 0)
			out[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	return count;
}

void station_ports_unwatch(struct perron_station *s)
{
	if (s->interfaces_fd >= 0)
		close(s->interfaces_fd);
	s->interfaces_fd = -1;
}

static const struct perron_net *net_of(const struct perron_station *s, uint32_t port)
{
	const struct perron_lcore_port *ports = s->memory.ports;

	return &ports[port].net;
}

/* Frames leave by the first port that knows the neighbour (runtime/lcore/transmit.c). */
static bool leads_by(const struct perron_station *s, uint32_t port, uint32_t address)
{
	for (uint32_t i = 0; i < port; i++)
		if (perron_net_knows(net_of(s, i), address))
			return false;
	return perron_net_knows(net_of(s, port), address);
}

static bool another_leads(const struct perron_station *s, uint32_t port, uint32_t address)
{
	for (uint32_t i = 0; i < s->port_open_count; i++)
		if (i != port && s->port_states[i].is_up && perron_net_knows(net_of(s, i), address))
			return true;
	return false;
}

static void relay_tell(struct perron_station *s, const struct station_peer *peer, uint32_t port)
{
	static struct perron_link_info links[LINK_MAX];
	uint32_t count = perron_relay_links_read(peer->relay, links, LINK_MAX);

	for (uint32_t i = 0; i < count; i++) {
		const struct perron_party *party = &links[i].party;
		if (!leads_by(s, port, party->endpoint.address))
			continue;
		struct perron_command command = {
		    .kind = PERRON_COMMAND_PORT_DOWN,
		    .party = *party,
		    .sequence = s->now_ns,
		    .value = !another_leads(s, port, party->endpoint.address),
		};
		(void)station_command_push(s, peer->lcore, peer->machine, &command,
					   sizeof(command));
	}
}

static void port_look(struct perron_station *s, uint32_t index)
{
	struct station_port *state = &s->port_states[index];
	struct perron_port_link link;
	bool was_up = state->is_up;

	perron_port_link_read(&s->ports[index], &link);
	state->is_up = link.up;
	if (link.up == was_up)
		return;
	station_say(s, "port %u (%s): link is %s", index, s->port_configs[index].driver,
		    link.up ? "up" : "down");
	station_publish(s, link.up ? "port-up" : "port-down",
			json_pack("{s:I}", "port", (json_int_t)index));
	for (uint32_t i = 0; i < s->peer_count && !link.up; i++)
		relay_tell(s, &s->peers[i], index);
}

void station_ports_keep(struct perron_station *s)
{
	uint64_t unused;
	bool all = interfaces_heard(s) || s->now_ns >= s->ports_due_ns;

	if (all)
		s->ports_due_ns = s->now_ns + LOOK_NS;
	for (uint32_t i = 0; i < s->port_open_count; i++) {
		int fd = perron_port_link_fd(&s->ports[i]);
		if (fd >= 0)
			(void)!read(fd, &unused, sizeof(unused));
		perron_port_upkeep(&s->ports[i], s->now_ns);
		if (all || perron_port_link_is_polled(&s->ports[i]))
			port_look(s, i);
	}
}
