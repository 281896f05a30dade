/*
 * af_xdp: a kernel interface by an AF_XDP socket (net_af_xdp), taken off before the kernel's own
 * protocols see the frame.
 *
 * Its rings hold buffers of our pool: 2,048 to be filled, as many under way each way. A buffer with
 * its mbuf must fit in a page. The PMD of 22.11 sends the first segment of a chain with the length
 * of all of it, and takes an indirect mbuf for a direct one: both are copied first
 * (multi_segment false).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "drivers/port/driver.h"

#define RING_SIZE 2048

static const struct perron_option options[] = {
    {"interface", PERRON_OPTION_TEXT, NULL, "the kernel's interface, e.g. eth0"},
    {"queue", PERRON_OPTION_INTEGER, "0", "the interface's queue to attach to", .min = 0,
     .max = 255},
    {"busy_budget", PERRON_OPTION_INTEGER, "0",
     "frames of a busy poll by system call; 0 leaves it to the interface's interrupts", .min = 0,
     .max = 1024},
    {"copy", PERRON_OPTION_BOOLEAN, "no", "copy even where the interface could do without"},
    {NULL},
};

static int probe(const struct perron_port_config *config, char *error, size_t error_size)
{
	int result = perron_port_interface_check(perron_port_option_text(config, "interface"),
						 error, error_size);
	return result ? result : perron_port_socket_check(AF_XDP, "af_xdp", error, error_size);
}

static int eal_argument(const struct perron_port_config *config, char *out, size_t out_size)
{
	int n = snprintf(out, out_size,
			 "--vdev=net_af_xdp%u,iface=%s,start_queue=%d,queue_count=1,busy_budget=%d"
			 "%s",
			 config->index, perron_port_option_text(config, "interface"),
			 (int)perron_port_option_number(config, "queue"),
			 (int)perron_port_option_number(config, "busy_budget"),
			 perron_port_option_number(config, "copy") ? ",force_copy=1" : "");
	return n < 0 || (size_t)n >= out_size ? -ENAMETOOLONG : 0;
}

static uint32_t buffer_count(const struct perron_port_config *config)
{
	(void)config;
	return 4 * RING_SIZE; /* fill, receive, transmit, completion */
}

static int open_port(struct perron_port *port, char *error, size_t error_size)
{
	static const struct perron_port_device_wish wish = {
	    .rx_queue_count = 1,
	    .tx_queue_count = 1,
	    .rx_descriptor_count = RING_SIZE,
	    .tx_descriptor_count = RING_SIZE,
	};
	snprintf(port->device_name, sizeof(port->device_name), "net_af_xdp%u", port->config->index);
	int result = perron_port_device_open(port, &wish, error, error_size);
	if (result && result != -ENODEV)
		snprintf(
		    error, error_size,
		    "port %u (af_xdp): cannot have queue %d of %s: another program has it; see: "
		    "ip link show %s",
		    port->config->index, (int)perron_port_option_number(port->config, "queue"),
		    perron_port_option_text(port->config, "interface"),
		    perron_port_option_text(port->config, "interface"));
	return result;
}

const struct perron_port_api perron_port_af_xdp = {
    .name = "af_xdp",
    .summary = "a kernel interface by AF_XDP: faster than af_packet, needs root or cap_bpf",
    .options = options,
    .multi_segment = false,
    .check = perron_port_interface_name_check,
    .probe = probe,
    .eal_argument = eal_argument,
    .buffer_count = buffer_count,
    .open = open_port,
    .close = perron_port_device_close,
    .statistics = perron_port_device_statistics,
    .link = perron_port_interface_link,
};
