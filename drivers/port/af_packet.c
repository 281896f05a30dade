/*
 * af_packet: a kernel interface by memory-mapped packet sockets (net_af_packet). Goes everywhere,
 * and costs a system call a burst sent.
 *
 * One queue pair: with more the kernel spreads what arrives over sockets that would all have to be
 * polled. Blocks of one page with two frames each: smallest, and a frame is visible when it is
 * complete (TPACKET_V2), whatever the block's size.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "drivers/port/driver.h"

#define FRAME_SIZE 2048

static const struct perron_option options[] = {
    {"interface", PERRON_OPTION_TEXT, NULL, "the kernel's interface, e.g. eth0"},
    {"frames", PERRON_OPTION_INTEGER, "512", "frames of each ring, of 2 kB", .min = 32,
     .max = 65536},
    {"qdisc_bypass", PERRON_OPTION_BOOLEAN, "yes", "send past the kernel's queueing discipline"},
    {NULL},
};

static int check(const struct perron_port_config *config, char *error, size_t error_size)
{
	int64_t frames = perron_port_option_number(config, "frames");
	if (frames & 1) {
		snprintf(error, error_size, "frames: expected an even number, two fill a page");
		return -EINVAL;
	}
	return perron_port_interface_name_check(config, error, error_size);
}

static int probe(const struct perron_port_config *config, char *error, size_t error_size)
{
	int result = perron_port_interface_check(perron_port_option_text(config, "interface"),
						 error, error_size);
	return result ? result
		      : perron_port_socket_check(AF_PACKET, "af_packet", error, error_size);
}

static int eal_argument(const struct perron_port_config *config, char *out, size_t out_size)
{
	int n = snprintf(out, out_size,
			 "--vdev=net_af_packet%u,iface=%s,qpairs=1,blocksz=4096,framesz=%d,"
			 "framecnt=%d,qdisc_bypass=%d",
			 config->index, perron_port_option_text(config, "interface"), FRAME_SIZE,
			 (int)perron_port_option_number(config, "frames"),
			 (int)perron_port_option_number(config, "qdisc_bypass"));
	return n < 0 || (size_t)n >= out_size ? -ENAMETOOLONG : 0;
}

static uint32_t buffer_count(const struct perron_port_config *config)
{
	(void)config;
	return 0; /* the rings are the kernel's */
}

static int open_port(struct perron_port *port, char *error, size_t error_size)
{
	static const struct perron_port_device_wish wish = {
	    .rx_queue_count = 1,
	    .tx_queue_count = 1,
	    .rx_descriptor_count = 512,
	    .tx_descriptor_count = 512,
	};
	snprintf(port->device_name, sizeof(port->device_name), "net_af_packet%u",
		 port->config->index);
	return perron_port_device_open(port, &wish, error, error_size);
}

const struct perron_port_api perron_port_af_packet = {
    .name = "af_packet",
    .summary = "a kernel interface by packet sockets: any interface, needs root or cap_net_raw",
    .options = options,
    .multi_segment = true,
    .check = check,
    .probe = probe,
    .eal_argument = eal_argument,
    .buffer_count = buffer_count,
    .open = open_port,
    .close = perron_port_device_close,
    .statistics = perron_port_device_statistics,
    .link = perron_port_interface_link,
};
