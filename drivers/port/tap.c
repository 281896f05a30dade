/*
 * tap: an interface that the station gives to the kernel of its own machine (net_tap). A host
 * reaches the station through it; it can wake a sleeping lcore; it goes when the station does, even
 * by kill -9.
 *
 * The PMD gives both ends one Ethernet address. A bridge, and some checks of the kernel, take
 * frames from one's own address for a loop: the station's end uses a neighbour of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "drivers/port/driver.h"

#define DESCRIPTOR_COUNT 256

static const struct perron_option options[] = {
    {"interface", PERRON_OPTION_TEXT, NULL, "name of the interface to make, e.g. perron0"},
    {NULL},
};

/* Makes the interface and lets it go again: opening the device alone shows no missing right. */
static int interface_try(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int result = 0;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request))
		result = -errno;
	close(fd);
	return result;
}

static int probe(const struct perron_port_config *config, char *error, size_t error_size)
{
	const char *name = perron_port_option_text(config, "interface");
	if (perron_port_interface_exists(name)) {
		snprintf(error, error_size,
			 "interface %s exists already; choose another name for the tap", name);
		return -EEXIST;
	}
	int result = interface_try(name);
	if (result)
		snprintf(error, error_size, "tap: cannot make %s: %s; run as root, modprobe tun",
			 name, strerror(-result));
	return result;
}

static int eal_argument(const struct perron_port_config *config, char *out, size_t out_size)
{
	int n = snprintf(out, out_size, "--vdev=net_tap%u,iface=%s", config->index,
			 perron_port_option_text(config, "interface"));
	return n < 0 || (size_t)n >= out_size ? -ENAMETOOLONG : 0;
}

static uint32_t buffer_count(const struct perron_port_config *config)
{
	(void)config;
	return DESCRIPTOR_COUNT;
}

static int open_port(struct perron_port *port, char *error, size_t error_size)
{
	static const struct perron_port_device_wish wish = {
	    .rx_queue_count = 1,
	    .tx_queue_count = 1,
	    .rx_descriptor_count = DESCRIPTOR_COUNT,
	    .tx_descriptor_count = DESCRIPTOR_COUNT,
	    .interrupts = true,
	};
	snprintf(port->device_name, sizeof(port->device_name), "net_tap%u", port->config->index);
	int result = perron_port_device_open(port, &wish, error, error_size);
	if (result)
		return result;
	port->mac[0] = (uint8_t)((port->mac[0] | 0x02) & 0xfe);
	port->mac[5] ^= 0x01;
	return 0;
}

const struct perron_port_api perron_port_tap = {
    .name = "tap",
    .summary = "an interface made for this machine's kernel; wakes; needs root or cap_net_admin",
    .options = options,
    .multi_segment = true,
    .check = perron_port_interface_name_check,
    .probe = probe,
    .eal_argument = eal_argument,
    .buffer_count = buffer_count,
    .open = open_port,
    .close = perron_port_device_close,
    .statistics = perron_port_device_statistics,
    .link = perron_port_device_link,
};
