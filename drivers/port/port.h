/*
 * Ports: where frames come from and go to.
 *
 * A driver is one constant `struct perron_port_api` in drivers/port/registry.c. Its table of
 * options (platform/option.h) is the only place where its keys, defaults and bounds are written
 * down. Config (what was asked for), data (`struct perron_port`, what a running port keeps) and api
 * (the driver's functions) are apart, as in a kernel's driver model.
 *
 * Order: perron_port_config_check; perron_port_probe (before rte_eal_init: looks at the machine,
 * so that the error is ours); perron_port_eal_argument (an argument for rte_eal_init);
 * rte_eal_init; perron_port_open; receive and transmit; perron_port_close. An open that fails
 * leaves nothing.
 *
 * Invariants: a port belongs to one lcore: receive, transmit, flush and wake are called by that
 * thread alone. Statistics and link may be read by another thread (housekeeping). Frames that
 * transmit took belong to the port; those that it did not take stay the caller's. What receive
 * gives is one contiguous, unshared mbuf a frame: it may be written.
 *
 * With an `impair` in its config a port delays, loses, duplicates and reorders what is transmitted
 * (impair.h), whatever the driver.
 */
#ifndef PERRON_DRIVERS_PORT_PORT_H
#define PERRON_DRIVERS_PORT_PORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drivers/port/life.h"
#include "platform/option.h"
#include "runtime/base/assert.h"

struct rte_mbuf;
struct rte_mempool;

/* Ports of one station. */
#define PERRON_PORT_COUNT_MAX 4
/* Pairs of in-process rings (a test has many stations in one process). */
#define PERRON_PORT_RING_LINK_MAX 256
#define PERRON_PORT_ARGUMENT_SIZE 512
#define PERRON_PORT_ERROR_SIZE	  512
#define PERRON_PORT_MAC_SIZE	  6
/* Ethernet, 1500 bytes: an MTU below this cannot carry a whole frame. */
#define PERRON_PORT_MTU_MIN 1500
/* A buffer of the pool: room for the largest Ethernet frame after the mbuf's headroom. */
#define PERRON_PORT_DATAROOM_SIZE_MIN 2048
/* The most frames that one call takes or gives. */
#define PERRON_PORT_BURST_MAX 32

/* What transmit does to frames. All zero: nothing. Shares are parts per million. */
struct perron_port_impair_config {
	bool set;
	uint64_t delay_ns;
	uint64_t jitter_ns; /* added to the delay, uniform in [0, jitter]; order is kept */
	uint32_t loss_ppm;
	uint32_t duplicate_ppm;
	uint32_t reorder_ppm; /* these are overtaken: held PERRON_PORT_IMPAIR_REORDER_NS longer */
	uint64_t seed;	      /* a seed gives the same fates to the same frames in turn */
	uint32_t held_count_max; /* frames under way; 0: PERRON_PORT_IMPAIR_HELD_DEFAULT */
};
#define PERRON_PORT_IMPAIR_HELD_DEFAULT 4096
#define PERRON_PORT_IMPAIR_REORDER_NS	1000000ull
#define PERRON_PORT_IMPAIR_DELAY_NS_MAX 10000000000ull

/* A port as the descriptor asks for it. Everything pointed at outlives the port. */
struct perron_port_config {
	uint32_t index; /* different for each port of the process: makes the device's name */
	const char *driver;
	const struct perron_option_value *options;
	uint32_t option_count;
	struct perron_port_impair_config impair;
};

/* Counters of a port, in words for people; impair's count frames. */
#define PERRON_PORT_COUNTERS(X)                                                                \
	X(RX_FRAMES, "rx-frames")                                                              \
	X(RX_BYTES, "rx-bytes")                                                                \
	X(RX_MISSED, "rx-missed") /* the device had no room */                                 \
	X(RX_ERRORS, "rx-errors")                                                              \
	X(RX_NO_BUFFER, "rx-no-buffer") /* the pool was empty */                               \
	X(TX_FRAMES, "tx-frames")	/* taken from the caller */                            \
	X(TX_BYTES, "tx-bytes")                                                                \
	X(TX_REFUSED, "tx-refused") /* not taken: the device is full */                        \
	X(TX_ERRORS, "tx-errors")                                                              \
	X(IMPAIR_DELAYED, "impair-delayed")                                                    \
	X(IMPAIR_LOST, "impair-lost")                                                          \
	X(IMPAIR_DUPLICATED, "impair-duplicated")                                              \
	X(IMPAIR_REORDERED, "impair-reordered")                                                \
	X(IMPAIR_OVERFLOWED, "impair-overflowed") /* more under way than may be held */        \
	X(IMPAIR_REFUSED, "impair-refused")	  /* the device was full when they were due */ \
	X(IMPAIR_NO_BUFFER, "impair-no-buffer")	  /* for a copy */                             \
	X(IMPAIR_HELD, "impair-held")		  /* under way now */

enum perron_port_counter {
#define X(name, text) PERRON_PORT_COUNTER_##name,
	PERRON_PORT_COUNTERS(X)
#undef X
	    PERRON_PORT_COUNTER_COUNT
};

struct perron_port_statistics {
	uint64_t of[PERRON_PORT_COUNTER_COUNT];
};

struct perron_port_link {
	bool up;
	uint32_t speed_mbps; /* 0: not known */
};

struct perron_port;

typedef uint16_t (*perron_port_receive_function)(struct perron_port *port, struct rte_mbuf **frames,
						 uint16_t count);
typedef uint16_t (*perron_port_transmit_function)(struct perron_port *port, uint8_t class,
						  struct rte_mbuf **frames, uint16_t count);

/* A driver. */
struct perron_port_api {
	const char *name;
	const char *summary;		     /* one line */
	const struct perron_option *options; /* ended by a NULL name */
	bool pci;			     /* needs the EAL's PCI bus: no --no-pci */
	bool link_is_polled;		     /* not the kernel tells of its link: look often */
	bool multi_segment; /* sends chained mbufs as they are; else they are copied first */
	/* Options that contradict each other. May be NULL. 0, or -EINVAL and an error. */
	int (*check)(const struct perron_port_config *config, char *error, size_t error_size);
	/* Whether the machine has what the config names; removes residue of a killed station. */
	int (*probe)(const struct perron_port_config *config, char *error, size_t error_size);
	/* Writes the EAL's argument, "" for none. 0, or -ENAMETOOLONG. */
	int (*eal_argument)(const struct perron_port_config *config, char *out, size_t out_size);
	/* Another argument that it needs, NULL for none. May be NULL. */
	const char *(*eal_flag)(const struct perron_port_config *config);
	/* Buffers that its queues may hold. */
	uint32_t (*buffer_count)(const struct perron_port_config *config);
	/* After rte_eal_init. 0 or -errno and an error; then nothing is left open. */
	int (*open)(struct perron_port *port, char *error, size_t error_size);
	void (*close)(struct perron_port *port);
	/* What needs looking after now and then. May be NULL. */
	void (*upkeep)(struct perron_port *port, uint64_t now_ns);
	/* Beside what ethdev does to arm and disarm. May be NULL. Owning lcore. */
	void (*arm)(struct perron_port *port, bool armed);
	/* What the device counts. May be NULL: a ring has its counters in `port` alone. */
	void (*statistics)(const struct perron_port *port, struct perron_port_statistics *out);
	void (*link)(const struct perron_port *port, struct perron_port_link *out);
};

struct perron_port_impair; /* impair.h */

/* A running port. Its address must not change while it is open. */
struct perron_port {
	/* The lcore's, each burst. */
	perron_port_receive_function receive;	/* the driver's */
	perron_port_transmit_function transmit; /* the driver's; see perron_port_transmit */
	struct perron_port_impair *impair;	/* NULL: none */
	struct rte_mempool *pool;
	void *driver_data;	 /* the ring's */
	uint16_t device_id;	 /* of ethdev; UINT16_MAX: none */
	uint16_t rx_queue_count; /* more than one: one a class, polled most urgent first */
	uint16_t tx_queue_count; /* 4: one a class; 1: all share it */
	bool multi_segment;	 /* see perron_port_open */
	bool exclusive;		 /* frames must not be shared: copied if they are */
	bool wake_drains;	 /* the descriptor counts, and is read after waking */
	bool wake_enables;	 /* the device must be told to raise it */
	/* False: the lcore leaves the device alone (memif, until upkeep finds the link up). */
	atomic_bool live;
	uint64_t counters[PERRON_PORT_COUNTER_COUNT]; /* written by the owning lcore alone */

	/* Set by open, then constant. */
	const struct perron_port_config *config;
	const struct perron_port_api *api;
	uint8_t mac[PERRON_PORT_MAC_SIZE];
	uint16_t mtu;
	int wake_fd;
	char device_name[32];

	/* Housekeeping's, and of what it has done on the EAL's interrupt thread (memif). */
	uint64_t upkeep_next_ns; /* 0: never looked yet */
	atomic_bool upkeep_pending;
	atomic_bool start_failed;
	struct perron_port_life life; /* memif: whether its other process lives */
};

/* The constant table of drivers. */
uint32_t perron_port_driver_count(void);
const struct perron_port_api *perron_port_driver_at(uint32_t index);
const struct perron_port_api *perron_port_driver_find(const char *name); /* NULL: none */

/* The same for the descriptor's checks. NULL: no such driver, or past the last. */
const struct perron_option *perron_port_driver_options(const char *name);
const char *perron_port_driver_name(uint32_t index);

/* Help text of one driver (or of all, if NULL), as snprintf: cut to `size`, whole length returned.
 */
size_t perron_port_help(const struct perron_port_api *api, char *text, size_t size);

/*
 * Whether the port could be opened, as far as the config tells: driver, each key and value, what
 * contradicts what. Touches nothing. Returns 0 or -EINVAL and one line; `culprit` is then the index
 * of the option at fault, or option_count. Any thread.
 */
int perron_port_config_check(const struct perron_port_config *config, uint32_t *culprit,
			     char *error, size_t error_size) PERRON_MUST_USE;

/*
 * Whether the machine has what the config names: interface there, up and with a large enough MTU,
 * directory of a socket writable, device bound to a driver that the EAL can use. Takes away what a
 * killed station left behind (a stale socket). Returns 0 or -errno and one line. Config checked.
 */
int perron_port_probe(const struct perron_port_config *config, char *error,
		      size_t error_size) PERRON_MUST_USE;

/*
 * Writes the argument that the EAL needs for this port, e.g. "--vdev=net_af_packet0,iface=v0,...";
 * "" for none. Returns 0, or -ENAMETOOLONG and one line.
 */
int perron_port_eal_argument(const struct perron_port_config *config, char *out, size_t out_size,
			     char *error, size_t error_size) PERRON_MUST_USE;

/* Whether the EAL must scan PCI for this port (else pass --no-pci). */
bool perron_port_needs_pci(const struct perron_port_config *config);

/* A further argument for the EAL ("--single-file-segments"), or NULL. */
const char *perron_port_eal_flag(const struct perron_port_config *config);

/* Buffers that the port's own queues may hold: the pool must have them beside everyone else's. */
uint32_t perron_port_buffer_count(const struct perron_port_config *config);

/*
 * Opens the port: finds its device, sets up the queues (one to receive; to transmit one a class
 * where the device has as many, else one), starts it, reads MAC and MTU. Received frames come from
 * `pool`, whose buffers hold PERRON_PORT_DATAROOM_SIZE_MIN bytes after the headroom.
 * port->multi_segment then says what a chained or indirect mbuf costs in transmit: true: nothing;
 * false: it is copied into a buffer of `pool` first.
 * A memif client whose server is not there yet opens all the same, its link down.
 * Housekeeping thread, after rte_eal_init; allocates. Returns 0 or -errno and one line.
 */
int perron_port_open(struct perron_port *port, const struct perron_port_config *config,
		     struct rte_mempool *pool, char *error, size_t error_size) PERRON_MUST_USE;

/*
 * Looks after the port: lets the lcore use a memif port once its link is up, and a memif client
 * connect again. Housekeeping thread, each turn or every 10 ms; a look at the link, and at
 * the socket of a server that is not there.
 */
void perron_port_upkeep(struct perron_port *port, uint64_t now_ns);

/* Stops and closes; frees what is under way; deletes its socket file. Idempotent. Housekeeping. */
void perron_port_close(struct perron_port *port);

/*
 * Receives up to `count` <= PERRON_PORT_BURST_MAX frames; returns how many. Also lets impaired
 * frames go whose time has come, so call it each turn. Owning lcore; no system call beyond the
 * device driver's own.
 */
uint16_t perron_port_receive(struct perron_port *port, uint64_t now_ns, struct rte_mbuf **frames,
			     uint16_t count) PERRON_MUST_USE;

/*
 * Transmits up to `count` <= PERRON_PORT_BURST_MAX frames of one class (enum perron_class); returns
 * how many were taken, the first ones; the others stay the caller's (counted as TX_REFUSED), some
 * perhaps replaced in `frames` by their copies. A frame may be chained, and shared (refcnt > 1) if
 * nobody writes it while a NIC may hold it. Owning lcore.
 */
uint16_t perron_port_transmit(struct perron_port *port, uint64_t now_ns, uint8_t class,
			      struct rte_mbuf **frames, uint16_t count) PERRON_MUST_USE;

/* When an impaired frame is due next; UINT64_MAX: none. An idle lcore sleeps no longer. */
uint64_t perron_port_deadline_ns(const struct perron_port *port);

/* The descriptor that gets readable when a frame arrives and the port is armed; -ENOTSUP: none. */
int perron_port_wake_fd(const struct perron_port *port);

/*
 * Arms: from now on an arriving frame makes the descriptor readable; poll once more after arming,
 * before sleeping. Disarm after waking. 0 or -errno. Owning lcore.
 */
int perron_port_wake_arm(struct perron_port *port) PERRON_MUST_USE;
int perron_port_wake_disarm(struct perron_port *port) PERRON_MUST_USE;

/* Any one thread beside the lcore; not atomic as a whole. */
void perron_port_statistics_read(const struct perron_port *port,
				 struct perron_port_statistics *out);
void perron_port_link_read(const struct perron_port *port, struct perron_port_link *out);
/*
 * A descriptor that becomes readable when the link may have changed (to be read, then), beside
 * looking at it; -1: none. Housekeeping.
 */
int perron_port_link_fd(const struct perron_port *port);
/* Whether the kernel does not tell of the link, so that it is to be looked at often (cheap). */
bool perron_port_link_is_polled(const struct perron_port *port);
const char *perron_port_counter_name(enum perron_port_counter counter);

#endif
