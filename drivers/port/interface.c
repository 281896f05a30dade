/* Checks before the EAL starts: what a person wrote, and what the kernel has. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/port/driver.h"

int perron_port_text_check(const struct perron_port_config *config, const char *name, char *error,
			   size_t error_size)
{
	const char *text = perron_port_option_text(config, name);
	if (!strpbrk(text, ",=[] \t\"'"))
		return 0;
	snprintf(error, error_size,
		 "%s '%.64s' is no text for the EAL; expected one without , = [ ] quotes or space",
		 name, text);
	return -EINVAL;
}

int perron_port_interface_name_check(const struct perron_port_config *config, char *error,
				     size_t error_size)
{
	const char *name = perron_port_option_text(config, "interface");
	if (strlen(name) >= IFNAMSIZ || strchr(name, '/')) {
		snprintf(error, error_size,
			 "interface '%.64s' is no interface's name; expected 1 to %d characters",
			 name, IFNAMSIZ - 1);
		return -EINVAL;
	}
	return perron_port_text_check(config, "interface", error, error_size);
}

bool perron_port_interface_exists(const char *name)
{
	return if_nametoindex(name) != 0;
}

static int interface_read(int fd, const char *name, short *flags, int *mtu)
{
	struct ifreq request = {0};
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFFLAGS, &request))
		return -errno;
	*flags = request.ifr_flags;
	if (ioctl(fd, SIOCGIFMTU, &request))
		return -errno;
	*mtu = request.ifr_mtu;
	return 0;
}

int perron_port_interface_check(const char *name, char *error, size_t error_size)
{
	short flags = 0;
	int mtu = 0;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result = fd < 0 ? -errno : interface_read(fd, name, &flags, &mtu);
	if (fd >= 0)
		close(fd);
	if (result == -ENODEV)
		snprintf(error, error_size,
			 "interface %s does not exist in this network namespace; see: ip link",
			 name);
	else if (result)
		snprintf(error, error_size, "interface %s: %s", name, strerror(-result));
	if (result)
		return result;
	if (!(flags & IFF_UP)) {
		snprintf(error, error_size, "interface %s is down; run: ip link set %s up", name,
			 name);
		return -ENETDOWN;
	}
	if (mtu < PERRON_PORT_MTU_MIN) {
		snprintf(error, error_size,
			 "interface %s has an MTU of %d; run: ip link set %s mtu %d", name, mtu,
			 name, PERRON_PORT_MTU_MIN);
		return -EMSGSIZE;
	}
	return 0;
}

void perron_port_interface_link(const struct perron_port *port, struct perron_port_link *out)
{
	short flags = 0;
	int mtu;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char *name = perron_port_option_text(port->config, "interface");

	perron_port_device_link(port, out);
	if (fd < 0)
		return;
	(void)interface_read(fd, name, &flags, &mtu);
	close(fd);
	out->up = (flags & IFF_UP) && (flags & IFF_RUNNING);
}

int perron_port_socket_check(int family, const char *what, char *error, size_t error_size)
{
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	int result = -errno;
	if (result == -EPERM || result == -EACCES)
		snprintf(error, error_size,
			 "%s needs the right to open raw sockets; run as root, or setcap "
			 "cap_net_raw,cap_net_admin,cap_bpf,cap_ipc_lock+ep",
			 what);
	else
		snprintf(error, error_size, "%s: this kernel opens no such socket: %s", what,
			 strerror(-result));
	return result;
}
