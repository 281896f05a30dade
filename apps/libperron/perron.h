/*
 * libperron: how any Linux program gets sensors' streams from a Perron overlay. It speaks to the
 * peers of the root cell over the kernel's UDP; it needs neither DPDK nor root.
 *
 *	struct perron *p = perron_open("10.0.0.1,10.0.0.2", NULL, error, sizeof(error));
 *	int speed = perron_subscribe(p, "line1/axle", PERRON_TRAFFIC_ALARM, 20000);
 *	struct perron_message m;
 *	while (perron_receive(p, 1000, &m) >= 0)
 *		...
 *
 * What it promises: the messages of a subscription come whole, in order, and once each. What did
 * not come is counted (`lost_before`), never silent. When the station that serves a subscription
 * dies, another of the list is asked, and the stream goes on from where it was.
 *
 * Threads: a `struct perron` belongs to one thread at a time. The library has no thread of its
 * own: acknowledgements and renewals leave while perron_receive runs. Call it at least every 2 ms
 * to acknowledge in time, and not less often than every 500 ms, or the stations may take this
 * client for a slow one and drop its oldest frames. A program with an event loop watches
 * perron_poll_fd instead: it becomes readable whenever a call is due, timers included.
 *
 * Memory: everything is allocated by perron_open; a message costs no allocation. Messages live in
 * the library's buffers until the next perron_receive.
 *
 * Errors: a call that fails returns a negative errno (perron_open: NULL) and leaves one line that
 * names the fix, to be read with perron_error.
 *
 * This header stands alone, in C and in C++. Its functions keep their meaning within a major
 * version; structs only grow at their end, within a new soname.
 */
#ifndef PERRON_H
#define PERRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERRON_VERSION_MAJOR 0
#define PERRON_VERSION_MINOR 1
#define PERRON_VERSION_PATCH 0

/* Room that an error's line needs. */
#define PERRON_ERROR_SIZE 512

/* Traffic classes, most urgent first; each has its own UDP port and queues all along the path. */
enum perron_traffic {
	PERRON_TRAFFIC_ALARM,
	PERRON_TRAFFIC_CRITICAL,
	PERRON_TRAFFIC_NORMAL
};

struct perron_options {
	uint32_t size;            /* of this struct; perron_options_default sets it */
	uint32_t overlay;         /* id of the overlay; default 1 */
	uint32_t client_id;       /* default 0: drawn at random; else unique in the overlay */
	uint32_t patience_ms;     /* a subscription that nobody granted fails then; default 5000 */
	const char *bind_address; /* IPv4; default NULL: the one that routes to the first portal */
	uint16_t port_base;       /* first of 4 UDP ports in a row; default 0: any free ones */
	uint16_t subscription_count_max; /* 1 to 64; default 8 */
	uint32_t window;          /* frames kept per subscription while one is missing: a power
				     of two, 64 to 16384; default 1024; 1.5 kB each */
	uint32_t socket_buffer_size; /* bytes asked of the kernel per class; default 4 MiB */
	uint32_t lost_ms;         /* a silent station is given up after this; default 1500 */
};

/* What a station or this client did to a traced message. Times in ns, overlay time. */
struct perron_trace_hop {
	uint32_t peer;
	uint64_t received_ns;    /* out of the port */
	uint32_t step_ns;        /* after received_ns: taken up by the protocol */
	uint32_t transmitted_ns; /* after received_ns: handed to the port */
};

#define PERRON_TRACE_COUNT_MAX 10

struct perron_message {
	int subscription;   /* as returned by perron_subscribe */
	const char *sensor; /* its name */
	enum perron_traffic traffic;
	uint32_t stream;      /* the sensor's number on the wire */
	uint64_t sequence;    /* of the message's first frame; grows by frame_count */
	uint32_t frame_count; /* frames that it came in */
	uint32_t size;        /* bytes at `data` */
	const uint8_t *data;
	uint64_t origin_ns;   /* when the sensor's peer took it in; CLOCK_REALTIME there */
	uint64_t received_ns; /* when the kernel took in its last frame; CLOCK_REALTIME here */
	int64_t latency_ns;   /* received_ns - origin_ns; true as far as the two clocks agree */
	uint64_t lost_before; /* frames missing between the message before and this one */
	bool late;            /* past the bound that travels with it */
	uint32_t trace_count; /* hops, the sensor's peer first; 0: not traced */
	struct perron_trace_hop trace[PERRON_TRACE_COUNT_MAX];
};

enum perron_subscription_is {
	PERRON_SUBSCRIPTION_IS_FREE,    /* no such subscription */
	PERRON_SUBSCRIPTION_IS_ASKING,  /* not granted yet, or its station was lost */
	PERRON_SUBSCRIPTION_IS_ACTIVE,  /* granted: messages come as the sensor makes them */
	PERRON_SUBSCRIPTION_IS_REFUSED  /* or patience ran out; perron_receive said why */
};

struct perron_subscription {
	enum perron_subscription_is state;
	char sensor[32];
	enum perron_traffic traffic;
	uint32_t latency_max_us;      /* bound asked for; 0: none */
	uint32_t latency_us_estimate; /* of the whole path, as granted */
	uint32_t hops;                /* of the path */
	uint32_t peer;                /* of the root cell, that serves it; 0: none yet */
	uint64_t sequence_first;      /* of the subscription */
	uint64_t sequence_next;       /* the frame to be given next */
	uint64_t messages;            /* given to perron_receive's caller */
	uint64_t messages_lost;       /* of which some frames came; all frames lost: below */
	uint64_t frames;              /* in order, once each */
	uint64_t frames_lost;         /* within one life of the sensor's peer */
	uint64_t restarts;            /* times that the sensor's peer began another life */
	uint64_t duplicates;          /* frames that came again, and were dropped */
	uint64_t late;                /* frames past their bound */
	uint64_t moved;               /* times that another station had to be asked */
	const char *verdict;          /* the last answer that was not "ok"; static */
};

struct perron_stats {
	uint64_t frames_received;
	uint64_t frames_sent;
	uint64_t bytes_received;
	uint64_t send_errors;    /* frames that the kernel did not take */
	uint64_t frames_dropped; /* of those received; perron_drop tells the causes */
	uint32_t client_id;
	uint16_t port_base;
	char address[16];        /* own, dotted */
};

struct perron; /* a client */

/* Major.minor.patch of the library that runs. */
const char *perron_version(void);

/* Fills in the defaults named above. */
void perron_options_default(struct perron_options *options);

/*
 * Opens a client. `portals` lists peers of the root cell, at most 16: "ADDRESS[:PORT_BASE]",
 * separated by commas; the port base is 7400 if none is given. Where several peers share a
 * station's address, "PEER@ADDRESS" says which is meant. `options` may be NULL. Sends nothing.
 * NULL: `error` (may be NULL) has the line.
 */
struct perron *perron_open(const char *portals, const struct perron_options *options, char *error,
			   size_t error_size);

/*
 * Asks for a sensor's stream in a class. `latency_max_us` is the latency bound, 0 for none.
 * Returns the subscription, from 0 on, at once; whether it is granted shows in perron_receive.
 *   -EINVAL   the name or the class is none
 *   -EEXIST   there is one for this sensor and class
 *   -ENOSPC   options.subscription_count_max are in use
 */
int perron_subscribe(struct perron *p, const char *sensor, enum perron_traffic traffic,
		     uint32_t latency_max_us);

/* What siblings of the stations on a stream's way do for it. */
enum perron_replicate {
	PERRON_REPLICATE_NOT,
	PERRON_REPLICATE_PASSIVELY, /* once a period they get what no client has acknowledged */
	PERRON_REPLICATE_ACTIVELY,  /* they get each frame as it comes */
};

/*
 * The same, replicated: in each cell on the way `replicas` siblings (0: all) hold what is under way.
 * `period_us`: passively, 1000 to 60000000; else 0. A stream that several clients ask for gets the
 * most that any of them wants. -EINVAL: also for these.
 */
int perron_subscribe_replicated(struct perron *p, const char *sensor, enum perron_traffic traffic,
				uint32_t latency_max_us, enum perron_replicate replicate,
				uint32_t replicas, uint32_t period_us);

/* Ends a subscription, also a refused one. -ENOENT: there is none of that number. */
int perron_unsubscribe(struct perron *p, int subscription);

/*
 * Does the client's work, and waits up to `timeout_ms` (0: does not wait, -1: for ever) for a
 * message. Returns 1 with `message` filled, or 0 when the time is over. Otherwise a subscription
 * failed, which is said once; `message->subscription` tells which, the others go on:
 *   -ENOENT       no sensor of that name in the overlay
 *   -ETIME        the latency bound cannot be kept
 *   -ENOSPC       a table on the way is full
 *   -E2BIG        a cell on the way has fewer siblings than replicas were asked for
 *   -ENOTCONN     stations answer, but did not join the overlay in options.patience_ms
 *   -ETIMEDOUT    stations answer, but could not set the path up in that time
 *   -EHOSTUNREACH no station of the list answered in that time
 *   -EPROTO       the stations do not understand this client
 * or the machine did: -EINTR a signal came, other values are the kernel's (subscription is -1).
 * Call until it returns 0 before waiting on perron_poll_fd.
 */
int perron_receive(struct perron *p, int timeout_ms, struct perron_message *message);

/* Readable when perron_receive has something to do. For poll, select, epoll; do not read it. */
int perron_poll_fd(const struct perron *p);

/* The last call's error: one line, "" if there was none. Lives until the next call. */
const char *perron_error(const struct perron *p);

/* -ENOENT: there is none of that number. */
int perron_subscription_read(const struct perron *p, int subscription,
			     struct perron_subscription *out);
void perron_stats_read(const struct perron *p, struct perron_stats *out);
/*
 * Why frames were dropped: the cause of number `index` and how many. False past the last cause.
 * Malformed, foreign, repeated and early frames are among them.
 */
bool perron_drop(const struct perron *p, uint32_t index, const char **cause, uint64_t *count);

/* Ends every subscription and frees all. NULL is let be. */
void perron_close(struct perron *p);

#ifdef __cplusplus
}
#endif

#endif
