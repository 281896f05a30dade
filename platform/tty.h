/*
 * Serial lines: opens a tty raw, non-blocking, with the speed and the form of its characters, and
 * RS-485 direction control where the driver has it (TIOCSRS485).
 *
 * With `mark_errors` a break, parity or framing error arrives in the data as FF 00 and the
 * character, and FF as FF FF (termios PARMRK): perron_tty_unmark takes them apart again.
 *
 * Nothing is allocated; any thread.
 */
#ifndef PERRON_PLATFORM_TTY_H
#define PERRON_PLATFORM_TTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

enum perron_tty_parity { /* none|even|odd */
	PERRON_TTY_PARITY_NONE,
	PERRON_TTY_PARITY_EVEN,
	PERRON_TTY_PARITY_ODD,
};

struct perron_tty_config {
	const char *device;
	uint32_t speed;     /* bit/s, one of the standard ones */
	uint8_t data_bits;  /* 5 to 8 */
	uint8_t parity;     /* enum perron_tty_parity */
	uint8_t stop_bits;  /* 1 or 2 */
	bool rs485;         /* half duplex: RTS is raised while sending, by the kernel */
	bool mark_errors;
};

bool perron_tty_speed_known(uint32_t speed);

/* The known speeds, "50, 75, ..., 4000000". */
void perron_tty_speeds_print(char *text, size_t size);

/*
 * Returns the descriptor, or -errno and one line of error that names device and fix. -ENOTTY: not a
 * tty; -EBUSY: another program has it.
 */
int perron_tty_open(const struct perron_tty_config *config, char *error, size_t error_size)
	PERRON_MUST_USE;

void perron_tty_close(int fd);

/* What one byte of a line with mark_errors turned out to be. */
enum perron_tty_mark {
	PERRON_TTY_MARK_MORE,  /* part of a mark */
	PERRON_TTY_MARK_BYTE,  /* a byte of data, in *out */
	PERRON_TTY_MARK_ERROR, /* a break, parity or framing error */
};

/* `state` starts as 0. */
enum perron_tty_mark perron_tty_unmark(uint32_t *state, uint8_t byte, uint8_t *out);

#endif
