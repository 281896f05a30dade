/*
 * A life line: a connection beside a port by which each of two processes learns at once that the
 * other died. Private to drivers/port.
 *
 * A process that is killed takes its memory down before it closes its files: with the tens of
 * megabytes of a station that takes 10 to 30 ms, and only then does the other end of a memif's own
 * socket hear of it. A thread whose files are its own (unshare) closes them when it dies, and that
 * is at once, for it does not wait for the others. So the line is held by such a thread.
 *
 * One end listens at a file, the other connects, and again when it was cut off. A partner that has
 * no line (another program) is not missed: what was never there cannot be lost.
 *
 * Threads: open and close are housekeeping's; the rest may be asked by any.
 */
#ifndef PERRON_DRIVERS_PORT_LIFE_H
#define PERRON_DRIVERS_PORT_LIFE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "runtime/base/assert.h"

#define PERRON_PORT_LIFE_PATH_SIZE 108 /* sun_path */

struct perron_port_life {
	char path[PERRON_PORT_LIFE_PATH_SIZE];
	bool listens;
	bool running;
	pthread_t thread;
	int stop_fd;
	int wake_fd;
	atomic_bool is_lost; /* the partner died, and none has come since */
};

/*
 * Begins: a thread that listens at `path`, replacing what is there, or connects to it. 0 or -errno;
 * then there is no line. The line must not move while it is open.
 */
int perron_port_life_open(struct perron_port_life *life, const char *path,
			  bool listens) PERRON_MUST_USE;
/* Ends the thread; removes the file. Does nothing to a line that is not open. */
void perron_port_life_close(struct perron_port_life *life);

/* Becomes readable when the partner died or came; -1: there is no line. */
int perron_port_life_fd(const struct perron_port_life *life);

#endif
