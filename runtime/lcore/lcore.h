/*
 * A lcore: a pinned thread that polls its ports and runs each frame to completion, for many
 * machines (docs/architecture.md, two planes). This is the struct that its parts share:
 *
 *	loop.c      the turn
 *	effects.c   what machines want done
 *	transmit.c  where frames go: to a machine here, to another lcore, to a port
 *	idle.c      what to do when there is nothing to do
 *
 * A turn reads the clock once; takes a bounded number of commands, messages and received frames;
 * steps machines in strict order of classes; ticks those whose time has come; transmits, in strict
 * order again. It makes no system call, takes no lock, allocates nothing.
 *
 * Order of classes: alarm, critical, overlay, normal. The overlay's own traffic (signs of life,
 * joins) is small and stands before normal, so that a flood of normal data ends no link; it stands
 * behind alarm and critical, which have bounds to keep.
 *
 * Frames between machines of one station never touch a port: on one lcore they go from queue to
 * queue, between lcores by a ring. All ports belong to the first lcore (a port has one queue to
 * receive, and a neighbour cache); the others reach them by the same rings.
 *
 * Invariants: every mbuf has one owner (packet.h); machines are touched by this thread alone;
 * whatever finds no room is dropped and counted by cause.
 *
 * Threads: the lcore's, but for counters, `beat` and `asleep`, which others may read, and the
 *rings, of which each side has its own.
 */
#ifndef PERRON_RUNTIME_LCORE_LCORE_H
#define PERRON_RUNTIME_LCORE_LCORE_H

#include <stdatomic.h>

#include "platform/clock.h"
#include "platform/cores.h"
#include "runtime/housekeeping/views.h"
#include "runtime/lcore/count.h"
#include "runtime/lcore/duty.h"
#include "runtime/lcore/machine.h"
#include "runtime/lcore/net.h"
#include "runtime/lcore/packet.h"
#include "runtime/lcore/places.h"
#include "runtime/lcore/queue.h"
#include "runtime/lcore/spsc.h"

struct rte_ring;
struct rte_mempool;

#define PERRON_LCORE_COUNT_MAX 64
/* The lcore that owns the ports. */
#define PERRON_LCORE_OF_PORTS	 0
#define PERRON_LCORE_MACHINE_MAX PERRON_PLACE_COUNT_MAX
#define PERRON_LCORE_PORT_MAX	 4
#define PERRON_LCORE_SOURCE_MAX	 64
/* Bounds of one turn. */
#define PERRON_LCORE_COMMAND_TURN 32
#define PERRON_LCORE_MESSAGE_TURN 8
#define PERRON_LCORE_FRAME_TURN	  64
/* A class's frames that wait to be stepped, and a port's that wait to leave. */
#define PERRON_LCORE_QUEUE_SIZE	   1024
#define PERRON_LCORE_TRANSMIT_SIZE 512
/* Frames under way from one lcore to another. */
#define PERRON_LCORE_EXCHANGE_SIZE 1024
#define PERRON_LCORE_RECORDER_SIZE 256
/* A message is at most this long (64 fragments hold more). */
#define PERRON_LCORE_MESSAGE_SIZE_MAX 65536

/* How a lcore reaches a port's driver (drivers/port stands above this room). */
struct perron_lcore_port_ops {
	uint16_t (*receive)(void *port, uint64_t now_ns, struct rte_mbuf **frames, uint16_t count);
	uint16_t (*transmit)(void *port, uint64_t now_ns, uint8_t class, struct rte_mbuf **frames,
			     uint16_t count);
	uint64_t (*deadline_ns)(const void *port);
	int (*wake_arm)(void *port);
	int (*wake_disarm)(void *port);
};

struct perron_lcore_port {
	const struct perron_lcore_port_ops *ops;
	void *port;
	bool multi_segment; /* takes chained frames */
	bool classes_apart; /* a queue for each class */
	int wake_fd;	    /* -1: cannot wake a sleeper */
	/* The owner's. */
	struct perron_net net;
	uint64_t announce_ns; /* next gratuitous ARP */
	uint32_t sent;	      /* since a stale neighbour was last looked for */
	struct perron_queue waiting[PERRON_CLASS_COUNT];
};

/* What a sensor's message looks like in the ring; its bytes follow. The tag: the machine's index.
 */
struct perron_lcore_message {
	uint64_t stamp_ns; /* station time at which it was read */
	uint32_t stream;
	uint32_t traced; /* add a trace block to each frame */
};

/*
 * A source that lives on the lcore: makes a message when it is due. Writes at most `room` bytes,
 * returns how many (0: none this time), and says in `due_ns` when it wants to be called again.
 */
struct perron_lcore_source {
	uint32_t (*make)(void *context, uint64_t now_ns, uint8_t *data, uint32_t room,
			 uint64_t *due_ns);
	void *context;
	uint32_t machine;
	uint32_t stream;
	bool traced;
	uint64_t due_ns;
};

struct perron_lcore_counters {
	uint64_t received;  /* from ports */
	uint64_t sent;	    /* to ports */
	uint64_t stepped;   /* given to machines */
	uint64_t local;	    /* from machine to machine on this lcore */
	uint64_t exchanged; /* to other lcores */
	uint64_t copied;    /* frames copied for a FORWARD */
	uint64_t cloned;    /* frames sent with a reference to their payload */
	uint64_t messages;  /* of sensors, taken by machines */
	uint64_t messages_refused;
	uint64_t housekeeping_stalls; /* times that housekeeping did not beat for its time-out */
	uint64_t drop[PERRON_DROP_COUNT];
};

/* The last effects, for whoever looks at a station that failed. */
struct perron_lcore_record {
	uint64_t now_ns;
	uint64_t handle;
	uint32_t machine; /* its id */
	uint8_t kind;
	uint8_t class;
	uint8_t flags;
	uint8_t type; /* SEND: of the frame */
};

struct perron_lcore {
	/* Constant once it runs. */
	uint32_t index;
	uint32_t cpu;
	enum perron_idle idle; /* not AUTO */
	uint64_t backoff_ns_max;
	struct perron_endpoint endpoint; /* of the station */
	struct perron_views *places;
	struct rte_mempool *pool;
	struct perron_machine *machines;
	uint32_t machine_count;
	struct perron_lcore_port *ports; /* of the station: the port lcore's */
	uint32_t port_count;
	bool clones; /* every port takes chained frames */
	struct perron_lcore_source *sources;
	uint32_t source_count;
	struct perron_spsc *commands;
	struct perron_spsc *messages;
	struct perron_spsc *events;
	struct rte_ring *from[PERRON_LCORE_COUNT_MAX]; /* frames from that lcore; NULL: none */
	struct rte_ring *to[PERRON_LCORE_COUNT_MAX];
	struct perron_lcore *lcores; /* all of the station, to wake them; NULL: nobody sleeps */
	uint32_t lcore_count;
	int wake_fd; /* eventfd that ends this lcore's sleep; -1: none */
	const _Atomic uint64_t *housekeeping_beat;
	uint64_t housekeeping_timeout_ns;

	/* The turn's. */
	const struct perron_places *view;
	uint64_t now_ns;
	uint64_t deadline_ns; /* of the machines and sources, or earlier */
	struct perron_queue queues[PERRON_CLASS_COUNT];
	struct perron_effects effects;
	uint8_t *scratch; /* PERRON_LCORE_MESSAGE_SIZE_MAX bytes, for sources */
	uint32_t touched[PERRON_BURST_MAX];
	uint32_t idle_turns;
	uint64_t idle_sleep_ns; /* backoff: the next sleep's length */
	bool armed;		/* interrupt: ports were told to wake us */
	uint64_t housekeeping_beat_seen;
	uint64_t housekeeping_beat_ns;
	struct perron_duty duty;
	struct perron_lcore_counters counters;
	struct perron_lcore_record recorder[PERRON_LCORE_RECORDER_SIZE];
	uint32_t recorder_next;

	/* Others look at these. */
	_Alignas(PERRON_CACHE_LINE) _Atomic uint64_t beat; /* turns, for housekeeping's watch */
	_Atomic uint32_t asleep;
	_Atomic uint32_t stop;
};

/* Strict order of service. */
extern const uint8_t perron_lcore_class_order[PERRON_CLASS_COUNT];

static inline void perron_lcore_drop(struct perron_lcore *l, enum perron_drop cause)
{
	perron_count(&l->counters.drop[cause], 1);
}

#endif
