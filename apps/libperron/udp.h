/*
 * The kernel's UDP: four sockets on ports in a row, one a traffic class, that never block. Private
 * to libperron.
 */
#ifndef PERRON_APPS_LIBPERRON_UDP_H
#define PERRON_APPS_LIBPERRON_UDP_H

#include <netinet/in.h>
#include <stddef.h>

#include "runtime/base/frame.h"

struct perron_udp {
	int fds[PERRON_CLASS_COUNT];
	struct perron_endpoint own;
};

/* One received datagram. */
struct perron_udp_slot {
	uint8_t *data;        /* in: where to, with room for `room` */
	uint32_t room;        /* in */
	uint32_t length;      /* a datagram longer than `room` has room + 1 */
	struct perron_endpoint from;
	uint64_t received_ns; /* CLOCK_REALTIME, the kernel's stamp; 0: it gave none */
};

/*
 * `bind_address` in host order, 0: the one that routes to `to`; `port_base` 0: any free ones.
 * Negative errno with the line in `error`, nothing left open.
 */
int perron_udp_open(struct perron_udp *u, uint32_t bind_address, uint16_t port_base,
		    struct perron_endpoint to, uint32_t buffer_size, char *error,
		    size_t error_size) PERRON_MUST_USE;
void perron_udp_close(struct perron_udp *u);

/* Receives up to PERRON_BURST_MAX; returns how many, 0 when there is none, or a negative errno. */
int perron_udp_receive(struct perron_udp *u, enum perron_class class,
		       struct perron_udp_slot *slots, uint32_t count) PERRON_MUST_USE;
/* False: the kernel did not take it. */
bool perron_udp_send(struct perron_udp *u, enum perron_class class, struct perron_endpoint to,
		     const uint8_t *data, uint32_t size);

#endif
