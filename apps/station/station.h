/*
 * The station: where pure machines meet DPDK. Peers (ft/relay on a lcore, an overlay in
 * housekeeping), in-station clients (overlay/client) and sensors, composed from a descriptor and
 * hosted in this process. perrond is a station and little else; the latency tool and tests build
 * theirs with clients and sources of their own.
 *
 * Order: create, start, then turn (or run) over and over, stop, destroy. One station a process,
 * once a process: the EAL can be started only once.
 *
 * create checks all that can be checked before anything is started, and on error leaves nothing:
 * no EAL, port, socket or file. From `start` on nothing is allocated.
 *
 * Threads: all functions belong to the thread that called create, which becomes the EAL's main
 * lcore and housekeeping; `deliver` and `make` are called on a lcore, and must neither block nor
 * make system calls.
 */
#ifndef PERRON_APPS_STATION_STATION_H
#define PERRON_APPS_STATION_STATION_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ft/relay.h"
#include "overlay/client.h"
#include "overlay/overlay_ops.h"
#include "platform/clock.h"
#include "runtime/descriptor/descriptor.h"
#include "runtime/housekeeping/snapshot.h"

#define PERRON_VERSION		  "0.1.0"
#define PERRON_STATION_CLIENT_MAX 64
#define PERRON_STATION_SOURCE_MAX 64

/* A client that lives on a lcore of the station. */
struct perron_station_client {
	uint32_t id;   /* PERRON_CLIENT_ID is set; its own among all clients of the overlay */
	int32_t lcore; /* index among the station's lcores; -1: the first */
	uint32_t subscription_count_max;
	/* A frame of a subscription, in order and once. `frame` is good during the call. May be
	 * NULL. */
	void (*deliver)(void *context, uint64_t now_ns, uint32_t subscription,
			const struct perron_frame *frame);
	void *context;
};

/*
 * A sensor that lives on a lcore, with its peer: makes a message when it is due. Writes at most
 * `room` bytes to `data` and returns how many (0: none this time); `due_ns` is when it was due, and
 * to be set to when it wants to be called again (station time).
 */
struct perron_station_source {
	const char *name; /* the stream's */
	uint32_t peer;	  /* one of the descriptor's peers */
	bool traced;	  /* each hop adds its times to each frame */
	uint32_t (*make)(void *context, uint64_t now_ns, uint8_t *data, uint32_t room,
			 uint64_t *due_ns);
	void *context;
};

struct perron_station_config {
	const struct perron_descriptor *descriptor; /* outlives the station */
	/* Arguments for the EAL as a user gave them; count 0: made from the descriptor. */
	char **eal_arguments;
	int eal_argument_count;
	const struct perron_station_client *clients;
	uint32_t client_count;
	const struct perron_station_source *sources;
	uint32_t source_count;
	bool no_socket; /* no command socket, no telemetry handlers */
	bool quiet;	/* say nothing but errors */
};

struct perron_station;

/*
 * Checks what the machine must have (cores, interfaces, ttys, huge pages) and that the descriptor
 * makes sense with it. Starts nothing. 0 or -errno and one line.
 */
int perron_station_check(const struct perron_station_config *config, char *error,
			 size_t error_size) PERRON_MUST_USE;

/* perron_station_check, then the EAL, memory, ports, machines, socket. 0 or -errno and one line. */
int perron_station_create(struct perron_station **out, const struct perron_station_config *config,
			  char *error, size_t error_size) PERRON_MUST_USE;

/* Seals memory, launches the lcores and the sensors. 0 or -errno and one line. */
int perron_station_start(struct perron_station *s, char *error, size_t error_size) PERRON_MUST_USE;

/* One turn of housekeeping; sleeps for some milliseconds at most if there is nothing to do. */
void perron_station_turn(struct perron_station *s);

/*
 * Turns until *stop is not 0, station time reaches until_ns (UINT64_MAX: never), or the station can
 * not go on: then -errno and one line (-EEXIST: a peer was refused, another has its id). Else 0.
 */
int perron_station_run(struct perron_station *s, const volatile sig_atomic_t *stop,
		       uint64_t until_ns, char *error, size_t error_size) PERRON_MUST_USE;

/* Leaves the overlay in order (bounded in time), stops sensors and lcores. Idempotent. */
void perron_station_stop(struct perron_station *s);

/* Closes ports and socket, frees everything, ends the EAL. NULL is fine. */
void perron_station_destroy(struct perron_station *s);

/* Whether every peer here is joined. */
bool perron_station_is_joined(const struct perron_station *s);

/* A peer's place, as of now. False: no such peer here. */
bool perron_station_view(const struct perron_station *s, uint32_t peer, struct perron_view *out);

/*
 * Asks for a sensor's stream in behalf of a client here (index in config->clients); takes effect
 * within some turns of its lcore. Subscriptions are numbered from 0 in the order of these calls.
 * `qos` NULL: no replication. Returns that number, or -EINVAL (name, class, qos), -ENOSPC, -EAGAIN
 * (the lcore's ring is full).
 */
int perron_station_subscribe(struct perron_station *s, uint32_t client_index, const char *sensor,
			     enum perron_class class, uint32_t latency_us,
			     const struct perron_qos *qos) PERRON_MUST_USE;

/* A subscription's state; its fields may be of different ages. */
void perron_station_subscription(const struct perron_station *s, uint32_t client_index,
				 uint32_t subscription, struct perron_subscription_info *out);

/* Relay counters of a peer here. False: no such peer. */
bool perron_station_counters(const struct perron_station *s, uint32_t peer,
			     struct perron_relay_counters *out);

/* Rows for people and tools, as the command socket's reports get them. */
const struct perron_snapshot_source *perron_station_snapshot(const struct perron_station *s);

/*
 * For perron_assert_failed of the program: writes the last effects of each lcore to the file
 * descriptor. Async-signal-safe as far as it can be; does nothing without a station.
 */
void perron_station_dump(int fd);

#endif
