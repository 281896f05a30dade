/*
 * What port drivers share: options, kernel interfaces, and everything that is the same for all
 * devices of ethdev. Private to drivers/port.
 */
#ifndef PERRON_DRIVERS_PORT_DRIVER_H
#define PERRON_DRIVERS_PORT_DRIVER_H

#include "drivers/port/port.h"

extern const struct perron_port_api perron_port_af_packet;
extern const struct perron_port_api perron_port_af_xdp;
extern const struct perron_port_api perron_port_memif;
extern const struct perron_port_api perron_port_pci;
extern const struct perron_port_api perron_port_ring;
extern const struct perron_port_api perron_port_tap;

/* A config's option, or its default. */
const char *perron_port_option_text(const struct perron_port_config *config, const char *name);
int64_t perron_port_option_number(const struct perron_port_config *config, const char *name);

/* Whether a text may stand in an EAL argument: nothing that separates. 0 or -EINVAL and an error.
 */
int perron_port_text_check(const struct perron_port_config *config, const char *name, char *error,
			   size_t error_size) PERRON_MUST_USE;

/* A kernel interface's name is 1 to 15 characters without '/' or space. */
int perron_port_interface_name_check(const struct perron_port_config *config, char *error,
				     size_t error_size) PERRON_MUST_USE;

/* There, up, and with an MTU of PERRON_PORT_MTU_MIN. 0 or -errno and an error. */
int perron_port_interface_check(const char *name, char *error, size_t error_size) PERRON_MUST_USE;

bool perron_port_interface_exists(const char *name);

/* Of a port on a kernel's interface: up, and its carrier is there. */
void perron_port_interface_link(const struct perron_port *port, struct perron_port_link *out);

/* Whether this process may open such a socket. `what` is the driver. 0 or -errno and an error. */
int perron_port_socket_check(int family, const char *what, char *error,
			     size_t error_size) PERRON_MUST_USE;

struct perron_port_device_wish {
	uint16_t rx_queue_count;
	uint16_t tx_queue_count; /* taken if the device has as many, else 1 */
	uint16_t rx_descriptor_count;
	uint16_t tx_descriptor_count;
	bool start_may_fail; /* the link may come later (upkeep) */
	bool interrupts;     /* asked for, and done without if the device has none */
};

/* Finds port->device_name, configures and starts it. 0 or -errno and an error. */
int perron_port_device_open(struct perron_port *port, const struct perron_port_device_wish *wish,
			    char *error, size_t error_size) PERRON_MUST_USE;
void perron_port_device_close(struct perron_port *port);
uint16_t perron_port_device_receive(struct perron_port *port, struct rte_mbuf **frames,
				    uint16_t count);
uint16_t perron_port_device_transmit(struct perron_port *port, uint8_t class,
				     struct rte_mbuf **frames, uint16_t count);
void perron_port_device_statistics(const struct perron_port *port,
				   struct perron_port_statistics *out);
void perron_port_device_link(const struct perron_port *port, struct perron_port_link *out);

/* The lcore's counters: one writer, read by others. */
static inline void perron_port_count(struct perron_port *port, enum perron_port_counter counter,
				     uint64_t n)
{
	__atomic_store_n(&port->counters[counter], port->counters[counter] + n, __ATOMIC_RELAXED);
}

#endif
