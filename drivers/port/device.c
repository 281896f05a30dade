/* What all devices of ethdev have in common. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>

#include "drivers/port/driver.h"

/* Of enum perron_class. */
#define CLASS_COUNT 4

static int fail(struct perron_port *port, const char *what, int result, char *error,
		size_t error_size)
{
	snprintf(error, error_size, "port %u (%s): %s: %s; the lines above say more",
		 port->config->index, port->api->name, what, strerror(-result));
	return result;
}

static int queues_setup(struct perron_port *port, const struct perron_port_device_wish *wish,
			char *error, size_t error_size)
{
	int socket = rte_eth_dev_socket_id(port->device_id);
	unsigned int node = socket < 0 ? 0 : (unsigned int)socket;
	for (uint16_t q = 0; q < port->rx_queue_count; q++) {
		int result = rte_eth_rx_queue_setup(port->device_id, q, wish->rx_descriptor_count,
						    node, NULL, port->pool);
		if (result)
			return fail(port, "cannot set up a queue to receive", result, error,
				    error_size);
	}
	for (uint16_t q = 0; q < port->tx_queue_count; q++) {
		int result = rte_eth_tx_queue_setup(port->device_id, q, wish->tx_descriptor_count,
						    node, NULL);
		if (result)
			return fail(port, "cannot set up a queue to transmit", result, error,
				    error_size);
	}
	return 0;
}

static int configure(struct perron_port *port, const struct perron_port_device_wish *wish,
		     struct perron_port_device_wish *got, char *error, size_t error_size)
{
	struct rte_eth_dev_info info;
	int result = rte_eth_dev_info_get(port->device_id, &info);
	if (result)
		return fail(port, "cannot be asked what it is", result, error, error_size);
	*got = *wish;
	port->rx_queue_count = wish->rx_queue_count;
	port->tx_queue_count =
	    info.max_tx_queues >= wish->tx_queue_count ? wish->tx_queue_count : 1;
	struct rte_eth_conf conf = {0};
	conf.intr_conf.rxq = wish->interrupts ? 1 : 0;
	if (port->api->multi_segment)
		conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
	result = rte_eth_dev_configure(port->device_id, port->rx_queue_count, port->tx_queue_count,
				       &conf);
	if (result && conf.intr_conf.rxq) {
		conf.intr_conf.rxq = 0;
		got->interrupts = false;
		result = rte_eth_dev_configure(port->device_id, port->rx_queue_count,
					       port->tx_queue_count, &conf);
	}
	if (!result)
		result = rte_eth_dev_adjust_nb_rx_tx_desc(
		    port->device_id, &got->rx_descriptor_count, &got->tx_descriptor_count);
	return result ? fail(port, "cannot be configured", result, error, error_size) : 0;
}

static int identity_read(struct perron_port *port, char *error, size_t error_size)
{
	struct rte_ether_addr mac;
	int result = rte_eth_macaddr_get(port->device_id, &mac);
	if (!result)
		result = rte_eth_dev_get_mtu(port->device_id, &port->mtu);
	if (result)
		return fail(port, "does not tell its address", result, error, error_size);
	memcpy(port->mac, mac.addr_bytes, sizeof(port->mac));
	return 0;
}

/* A device that has no receive interrupts does without. */
static void wake_setup(struct perron_port *port)
{
	int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(port->device_id, 0);
	if (fd >= 0)
		port->wake_fd = fd;
}

static int start(struct perron_port *port, const struct perron_port_device_wish *wish, char *error,
		 size_t error_size)
{
	int result = rte_eth_dev_start(port->device_id);
	if (result && wish->start_may_fail) {
		atomic_store_explicit(&port->start_failed, true, memory_order_relaxed);
		return 0;
	}
	if (result)
		return fail(port, "cannot be started", result, error, error_size);
	/* Not every device knows the question; those are not promiscuous anyway. */
	(void)rte_eth_promiscuous_disable(port->device_id);
	if (wish->interrupts)
		wake_setup(port);
	return 0;
}

int perron_port_device_open(struct perron_port *port, const struct perron_port_device_wish *wish,
			    char *error, size_t error_size)
{
	struct perron_port_device_wish got;
	int result = rte_eth_dev_get_port_by_name(port->device_name, &port->device_id);
	if (result) {
		port->device_id = UINT16_MAX;
		snprintf(error, error_size,
			 "port %u (%s): the EAL has no device %s; the lines above say why",
			 port->config->index, port->api->name, port->device_name);
		return -ENODEV;
	}
	result = configure(port, wish, &got, error, error_size);
	if (!result)
		result = queues_setup(port, &got, error, error_size);
	if (!result)
		result = start(port, &got, error, error_size);
	if (!result)
		result = identity_read(port, error, error_size);
	if (result) {
		perron_port_device_close(port);
		return result;
	}
	port->receive = perron_port_device_receive;
	port->transmit = perron_port_device_transmit;
	PERRON_ASSERT(port->tx_queue_count == 1 || port->tx_queue_count == CLASS_COUNT);
	return 0;
}

void perron_port_device_close(struct perron_port *port)
{
	if (port->device_id == UINT16_MAX)
		return;
	(void)rte_eth_dev_stop(port->device_id);
	(void)rte_eth_dev_close(port->device_id);
	port->device_id = UINT16_MAX;
}

uint16_t perron_port_device_receive(struct perron_port *port, struct rte_mbuf **frames,
				    uint16_t count)
{
	uint16_t got = 0;
	for (uint16_t q = 0; q < port->rx_queue_count && got < count; q++)
		got = (uint16_t)(got + rte_eth_rx_burst(port->device_id, q, frames + got,
							(uint16_t)(count - got)));
	return got;
}

uint16_t perron_port_device_transmit(struct perron_port *port, uint8_t class,
				     struct rte_mbuf **frames, uint16_t count)
{
	uint16_t queue = port->tx_queue_count == 1 ? 0 : class;
	return rte_eth_tx_burst(port->device_id, queue, frames, count);
}

void perron_port_device_statistics(const struct perron_port *port,
				   struct perron_port_statistics *out)
{
	struct rte_eth_stats stats;
	if (rte_eth_stats_get(port->device_id, &stats))
		return;
	out->of[PERRON_PORT_COUNTER_RX_MISSED] += stats.imissed;
	out->of[PERRON_PORT_COUNTER_RX_ERRORS] += stats.ierrors;
	out->of[PERRON_PORT_COUNTER_RX_NO_BUFFER] += stats.rx_nombuf;
	out->of[PERRON_PORT_COUNTER_TX_ERRORS] += stats.oerrors;
}

void perron_port_device_link(const struct perron_port *port, struct perron_port_link *out)
{
	struct rte_eth_link link;
	if (rte_eth_link_get_nowait(port->device_id, &link))
		return;
	out->up = link.link_status == RTE_ETH_LINK_UP;
	if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
		out->speed_mbps = link.link_speed;
}
