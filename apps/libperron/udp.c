#include "apps/libperron/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Ports in a row are found by luck: the kernel names a free one, the next three are tried. */
#define PORT_TRIES    64
#define PORT_BASE_MAX (65535 - (PERRON_CLASS_COUNT - 1))

static struct sockaddr_in address_of(uint32_t address, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(address)}};
}

static const char *address_text(uint32_t address, char *out)
{
	struct in_addr in = {htonl(address)};

	return inet_ntop(AF_INET, &in, out, INET_ADDRSTRLEN);
}

/* The address that the kernel would send from. */
static int route_find(struct perron_endpoint to, uint32_t *out, char *error, size_t error_size)
{
	struct sockaddr_in address = address_of(to.address, to.port_base);
	socklen_t size = sizeof(address);
	char text[INET_ADDRSTRLEN];
	int status = 0;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) ||
	    getsockname(fd, (struct sockaddr *)&address, &size)) {
		status = -errno;
		snprintf(error, error_size,
			 "no route to portal %s (%s); check this host's network, or list another",
			 address_text(to.address, text), strerror(-status));
	}
	if (fd >= 0)
		close(fd);
	*out = ntohl(address.sin_addr.s_addr);
	return status;
}

/* Returns the socket, or a negative errno. */
static int socket_open(uint32_t address, uint16_t port, uint32_t buffer_size)
{
	struct sockaddr_in own = address_of(address, port);
	int size = (int)buffer_size;
	int on = 1;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&own, sizeof(own))) {
		int status = -errno;

		close(fd);
		return status;
	}
	/* Neither is needed to work: the kernel's bound may be lower, stamps are then our own. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	return fd;
}

static void sockets_close(struct perron_udp *u)
{
	for (uint32_t i = 0; i < PERRON_CLASS_COUNT; i++) {
		if (u->fds[i] >= 0)
			close(u->fds[i]);
		u->fds[i] = -1;
	}
}

static uint16_t socket_port(int fd)
{
	struct sockaddr_in own = {0};
	socklen_t size = sizeof(own);

	if (getsockname(fd, (struct sockaddr *)&own, &size))
		return 0;
	return ntohs(own.sin_port);
}

static int sockets_open(struct perron_udp *u, uint32_t address, uint16_t port_base,
			uint32_t buffer_size)
{
	uint16_t port = port_base;

	for (uint32_t i = 0; i < PERRON_CLASS_COUNT; i++) {
		if (i > 0 && port > PORT_BASE_MAX)
			return -EADDRINUSE;
		u->fds[i] = socket_open(address, (uint16_t)(port ? port + i : 0), buffer_size);
		if (u->fds[i] < 0)
			return u->fds[i];
		if (i == 0)
			port = socket_port(u->fds[0]);
	}
	u->own = (struct perron_endpoint){address, port};
	return 0;
}

int perron_udp_open(struct perron_udp *u, uint32_t bind_address, uint16_t port_base,
		    struct perron_endpoint to, uint32_t buffer_size, char *error,
		    size_t error_size)
{
	char text[INET_ADDRSTRLEN];
	int status = 0;

	for (uint32_t i = 0; i < PERRON_CLASS_COUNT; i++)
		u->fds[i] = -1;
	if (!bind_address)
		status = route_find(to, &bind_address, error, error_size);
	if (status)
		return status;
	for (uint32_t tries = port_base ? 1 : PORT_TRIES; tries; tries--) {
		status = sockets_open(u, bind_address, port_base, buffer_size);
		if (status == 0)
			return 0;
		sockets_close(u);
		if (status != -EADDRINUSE)
			break;
	}
	char ports[32] = "in a row";
	if (port_base)
		snprintf(ports, sizeof(ports), "from %u on", port_base);
	snprintf(error, error_size, "cannot open 4 UDP ports %s at %s (%s); choose another %s",
		 ports, address_text(bind_address, text), strerror(-status),
		 status == -EADDRINUSE ? "port base" : "address to bind");
	return status;
}

void perron_udp_close(struct perron_udp *u)
{
	sockets_close(u);
}

static uint64_t stamp_of(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	}
	return 0;
}

int perron_udp_receive(struct perron_udp *u, enum perron_class class,
		       struct perron_udp_slot *slots, uint32_t count)
{
	struct mmsghdr messages[PERRON_BURST_MAX];
	struct iovec vectors[PERRON_BURST_MAX];
	struct sockaddr_in from[PERRON_BURST_MAX];
	_Alignas(struct cmsghdr) char
		control[PERRON_BURST_MAX][CMSG_SPACE(sizeof(struct timespec))];

	PERRON_ASSERT(count <= PERRON_BURST_MAX);
	for (uint32_t i = 0; i < count; i++) {
		vectors[i] = (struct iovec){slots[i].data, slots[i].room};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
						      .msg_namelen = sizeof(from[i]),
						      .msg_iov = &vectors[i],
						      .msg_iovlen = 1,
						      .msg_control = control[i],
						      .msg_controllen = sizeof(control[i])};
	}
	int received = recvmmsg(u->fds[class], messages, count, MSG_DONTWAIT, NULL);
	if (received < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < received; i++) {
		struct msghdr *header = &messages[i].msg_hdr;

		slots[i].length = messages[i].msg_len;
		if (header->msg_flags & MSG_TRUNC)
			slots[i].length = slots[i].room + 1;
		slots[i].from.address = ntohl(from[i].sin_addr.s_addr);
		slots[i].from.port_base = (uint16_t)(ntohs(from[i].sin_port) - class);
		slots[i].received_ns = stamp_of(header);
	}
	return received;
}

bool perron_udp_send(struct perron_udp *u, enum perron_class class, struct perron_endpoint to,
		     const uint8_t *data, uint32_t size)
{
	struct sockaddr_in address = address_of(to.address, (uint16_t)(to.port_base + class));

	return sendto(u->fds[class], data, size, MSG_DONTWAIT, (struct sockaddr *)&address,
		      sizeof(address)) == (ssize_t)size;
}
