#include "platform/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

struct speed {
	uint32_t bits_per_s;
	speed_t code;
};

static const struct speed speeds[] = {
    {50, B50},		 {75, B75},	      {110, B110},	   {134, B134},
    {150, B150},	 {200, B200},	      {300, B300},	   {600, B600},
    {1200, B1200},	 {1800, B1800},	      {2400, B2400},	   {4800, B4800},
    {9600, B9600},	 {19200, B19200},     {38400, B38400},	   {57600, B57600},
    {115200, B115200},	 {230400, B230400},   {460800, B460800},   {500000, B500000},
    {576000, B576000},	 {921600, B921600},   {1000000, B1000000}, {1152000, B1152000},
    {1500000, B1500000}, {2000000, B2000000}, {2500000, B2500000}, {3000000, B3000000},
    {3500000, B3500000}, {4000000, B4000000},
};

static const struct speed *speed_find(uint32_t bits_per_s)
{
	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++) {
		if (speeds[i].bits_per_s == bits_per_s)
			return &speeds[i];
	}
	return NULL;
}

bool perron_tty_speed_known(uint32_t speed)
{
	return speed_find(speed) != NULL;
}

void perron_tty_speeds_print(char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]) && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%u", i ? ", " : "",
					 speeds[i].bits_per_s);
}

static void termios_fill(struct termios *t, const struct perron_tty_config *config)
{
	static const tcflag_t bits[] = {CS5, CS6, CS7, CS8};
	const struct speed *speed = speed_find(config->speed);

	PERRON_ASSERT(speed && config->data_bits >= 5 && config->data_bits <= 8);
	cfmakeraw(t);
	t->c_cflag &= ~(tcflag_t)(CSIZE | PARENB | PARODD | CSTOPB | CRTSCTS);
	t->c_cflag |= bits[config->data_bits - 5] | CREAD | CLOCAL;
	t->c_iflag &= ~(tcflag_t)(IGNBRK | IGNPAR | INPCK | IXOFF | IXON | IXANY);
	if (config->parity != PERRON_TTY_PARITY_NONE) {
		t->c_cflag |= PARENB;
		t->c_iflag |= INPCK;
	}
	if (config->parity == PERRON_TTY_PARITY_ODD)
		t->c_cflag |= PARODD;
	if (config->stop_bits == 2)
		t->c_cflag |= CSTOPB;
	if (config->mark_errors)
		t->c_iflag |= PARMRK;
	else
		t->c_iflag |= IGNBRK | IGNPAR;
	t->c_cc[VMIN] = 1;
	t->c_cc[VTIME] = 0;
	cfsetispeed(t, speed->code);
	cfsetospeed(t, speed->code);
}

/* tcsetattr is content if any of the settings took: what took is read back. */
static bool termios_took(int fd, const struct termios *wanted)
{
	const tcflag_t form = CSIZE | PARENB | PARODD | CSTOPB;
	struct termios now;

	if (tcgetattr(fd, &now) < 0)
		return false;
	/* A pty has no line: it keeps 8 bits and no parity whatever one asks. */
	bool pty = (now.c_cflag & CSIZE) == CS8 && !(now.c_cflag & PARENB) &&
		   ((wanted->c_cflag & CSIZE) != CS8 || (wanted->c_cflag & PARENB));
	bool same_form = (now.c_cflag & form) == (wanted->c_cflag & form);
	return cfgetispeed(&now) == cfgetispeed(wanted) && (same_form || pty);
}

static int rs485_enable(int fd)
{
	struct serial_rs485 rs485 = {.flags = SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND};

	return ioctl(fd, TIOCSRS485, &rs485) < 0 ? -errno : 0;
}

static int tty_fail(int error_number, const struct perron_tty_config *config, const char *what,
		    char *error, size_t error_size)
{
	if (error_size)
		snprintf(error, error_size, "%s: %s", config->device, what);
	return -error_number;
}

static int tty_configure(int fd, const struct perron_tty_config *config, char *error,
			 size_t error_size)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return tty_fail(ENOTTY, config, "is not a tty; name a serial device", error,
				error_size);
	/* TIOCEXCL keeps others out, but not root; the lock keeps another station out, root or not.
	 */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || ioctl(fd, TIOCEXCL) < 0)
		return tty_fail(EBUSY, config, "is in use by another program", error, error_size);
	termios_fill(&t, config);
	if (tcsetattr(fd, TCSANOW, &t) < 0 || !termios_took(fd, &t))
		return tty_fail(EINVAL, config,
				"does not take this speed, parity, data or stop bits", error,
				error_size);
	if (config->rs485 && rs485_enable(fd) < 0)
		return tty_fail(EOPNOTSUPP, config,
				"its driver has no RS-485 mode; leave rs485 out", error,
				error_size);
	tcflush(fd, TCIFLUSH);
	return 0;
}

int perron_tty_open(const struct perron_tty_config *config, char *error, size_t error_size)
{
	PERRON_ASSERT(config->device && perron_tty_speed_known(config->speed));
	int fd = open(config->device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		int cause = errno;
		const char *what = cause == ENOENT  ? "no such tty; is the device plugged in?"
				   : cause == EBUSY ? "is in use by another program"
				   : cause == EACCES
				       ? "permission denied; add the user to its group"
				       : strerror(cause);
		return tty_fail(cause, config, what, error, error_size);
	}
	int result = tty_configure(fd, config, error, error_size);
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

void perron_tty_close(int fd)
{
	PERRON_ASSERT(fd >= 0);
	ioctl(fd, TIOCNXCL);
	close(fd);
}

enum perron_tty_mark perron_tty_unmark(uint32_t *state, uint8_t byte, uint8_t *out)
{
	enum { PLAIN, MARKED, BAD };

	switch (*state) {
	case MARKED:
		*state = byte == 0 ? BAD : PLAIN;
		if (byte == 0)
			return PERRON_TTY_MARK_MORE;
		*out = byte;
		return byte == 0xff ? PERRON_TTY_MARK_BYTE : PERRON_TTY_MARK_ERROR;
	case BAD:
		*state = PLAIN;
		return PERRON_TTY_MARK_ERROR;
	default:
		*state = byte == 0xff ? MARKED : PLAIN;
		*out = byte;
		return byte == 0xff ? PERRON_TTY_MARK_MORE : PERRON_TTY_MARK_BYTE;
	}
}
