/*
 * pci: a network card by the EAL's own driver, taken from the kernel (vfio-pci, uio) or beside it
 * (mlx4, mlx5). Four queues to transmit, one a class, where the card has them.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drivers/port/driver.h"

#define RX_DESCRIPTOR_COUNT 512
#define TX_DESCRIPTOR_COUNT 256
#define QUEUE_COUNT	    4

static const struct perron_option options[] = {
    {"device", PERRON_OPTION_TEXT, NULL, "PCI address, e.g. 0000:01:00.0"},
    {NULL},
};

static int check(const struct perron_port_config *config, char *error, size_t error_size)
{
	const char *text = perron_port_option_text(config, "device");
	unsigned int domain, bus, device, function;
	int end = 0;
	if (sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &end) == 4 &&
	    text[end] == 0 && end == 12 && device < 32 && function < 8)
		return 0;
	snprintf(error, error_size,
		 "device '%.64s' is no PCI address; expected one like 0000:01:00.0 (see: lspci -D)",
		 text);
	return -EINVAL;
}

static int probe(const struct perron_port_config *config, char *error, size_t error_size)
{
	static const char *const usable[] = {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core",
					     "mlx4_core"};
	const char *device = perron_port_option_text(config, "device");
	char path[128], target[PATH_MAX];
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", device);
	if (access(path, F_OK)) {
		snprintf(error, error_size, "device %s does not exist; see: lspci -D", device);
		return -ENODEV;
	}
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", device);
	ssize_t size = readlink(path, target, sizeof(target) - 1);
	target[size > 0 ? size : 0] = 0;
	const char *slash = strrchr(target, '/');
	const char *driver = slash ? slash + 1 : "no driver";
	for (size_t i = 0; i < sizeof(usable) / sizeof(usable[0]); i++)
		if (strcmp(driver, usable[i]) == 0)
			return 0;
	snprintf(error, error_size,
		 "device %s is bound to %.32s; run: dpdk-devbind.py --bind=vfio-pci %s", device,
		 driver, device);
	return -EBUSY;
}

static int eal_argument(const struct perron_port_config *config, char *out, size_t out_size)
{
	int n = snprintf(out, out_size, "--allow=%s", perron_port_option_text(config, "device"));
	return n < 0 || (size_t)n >= out_size ? -ENAMETOOLONG : 0;
}

static uint32_t buffer_count(const struct perron_port_config *config)
{
	(void)config;
	return RX_DESCRIPTOR_COUNT + QUEUE_COUNT * TX_DESCRIPTOR_COUNT;
}

static int open_port(struct perron_port *port, char *error, size_t error_size)
{
	static const struct perron_port_device_wish wish = {
	    .rx_queue_count = 1,
	    .tx_queue_count = QUEUE_COUNT,
	    .rx_descriptor_count = RX_DESCRIPTOR_COUNT,
	    .tx_descriptor_count = TX_DESCRIPTOR_COUNT,
	    .interrupts = true,
	};
	snprintf(port->device_name, sizeof(port->device_name), "%s",
		 perron_port_option_text(port->config, "device"));
	port->wake_enables = true;
	port->wake_drains = true;
	return perron_port_device_open(port, &wish, error, error_size);
}

const struct perron_port_api perron_port_pci = {
    .name = "pci",
    .summary = "a network card by DPDK's driver; wakes; needs vfio and huge pages",
    .options = options,
    .pci = true,
    .link_is_polled = true,
    .multi_segment = true,
    .check = check,
    .probe = probe,
    .eal_argument = eal_argument,
    .buffer_count = buffer_count,
    .open = open_port,
    .close = perron_port_device_close,
    .statistics = perron_port_device_statistics,
    .link = perron_port_device_link,
};
