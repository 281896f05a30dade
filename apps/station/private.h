/*
 * What the station's parts share. Private to apps/station.
 *
 *	check.c     what the machine must have
 *	eal.c       arguments for the EAL
 *	build.c     the boot plan; memory, pools, rings, machines put together
 *	hosts.c     relays and clients as a lcore's machines
 *	control.c   housekeeping's machines: overlays, their commands and events
 *	ports.c     what ports need, and what their links' going down means
 *	group.c     views of cells and verdicts, kept and told; runs of the load
 *	group_load.c  a load on a peer's group, for measuring
 *	snapshot.c  what people may see
 *	station.c   the life of a station
 *
 * Threads: housekeeping's, but for what hosts.c says.
 */
#ifndef PERRON_APPS_STATION_PRIVATE_H
#define PERRON_APPS_STATION_PRIVATE_H

#include "apps/station/group_load.h"
#include "apps/station/station.h"
#include "drivers/port/port.h"
#include "drivers/sensor/loop.h"
#include "platform/cores.h"
#include "platform/hugepages.h"
#include "platform/memory.h"
#include "runtime/housekeeping/socket.h"
#include "runtime/housekeeping/views.h"
#include "runtime/housekeeping/watch.h"
#include "runtime/lcore/lcore.h"

#define STATION_PEER_MAX   PERRON_DESCRIPTOR_PEER_MAX
#define STATION_SENSOR_MAX PERRON_DESCRIPTOR_SENSOR_MAX
#define STATION_TEXT_SIZE  768
/* Bytes of a ring for each record that `limits.ring` allows: most are far below a frame. */
#define STATION_RECORD_SIZE 256u
/* Sensors' messages under way to one lcore. */
#define STATION_MESSAGE_RING_SIZE (1u << 20)
/* A lcore that takes no turn for this long is told of; one that misses housekeeping, too. */
#define STATION_WATCH_NS 1000000000ull
/* What the command socket answers, with the end mark. */
#define STATION_REQUEST_MAX 16

/* A relay with the user of its group, as its lcore hosts them. */
struct station_relay {
	struct perron_relay *relay;
	_Atomic uint64_t message_ns; /* of the group, the last that was delivered; 0: none */
	struct group_load load;
};

/* A verdict on a neighbour, kept for people. */
struct station_verdict {
	uint32_t neighbour;
	struct perron_evidence evidence;
};

/* A peer, with both of its machines. */
struct station_peer {
	uint32_t id;
	uint32_t incarnation;
	uint32_t lcore;
	uint32_t machine; /* index at its lcore */
	struct perron_relay *relay;
	struct station_relay *host; /* the relay's machine */
	struct perron_overlay *overlay;
	uint64_t deadline_ns; /* of the overlay */
	bool dirty;	      /* the overlay was called since the view was taken */
	struct perron_view view;
	uint64_t state_since_ns;
	uint64_t joined_after_ns; /* from boot; PERRON_SNAPSHOT_NEVER */
	uint32_t join_count;
	uint64_t abandoned; /* frames, by events */
	uint64_t client_lag;
	/* The last verdicts on its neighbours, in a ring. */
	struct station_verdict verdicts[PERRON_SNAPSHOT_VERDICT_MAX];
	uint32_t verdict_count; /* all there ever were */
	struct perron_group_view group_view; /* the regular one; member_count 0: none */
	char group_cell[PERRON_POSITION_TEXT_MAX]; /* its cell */
	uint64_t group_view_at_ns;	     /* installed by the lcore */
	uint32_t load_run;		     /* commanded last; 0: none */
};

/* What has happened in the cells of the peers here, kept for people. */
#define STATION_HISTORY_MAX 64

/* A neighbour that was called down, and how often. */
struct station_suspect {
	uint32_t peer_index;
	uint32_t neighbour;
	uint32_t count;
	struct station_verdict last;
};
#define STATION_SUSPECT_MAX 256

struct station_client {
	const struct perron_station_client *config;
	struct perron_client *client;
	uint32_t lcore;
	uint32_t machine;
	uint32_t subscription_count; /* asked for */
};

/* A sensor read by a thread of its driver. */
struct station_sensor {
	struct perron_sensor_config config;
	uint32_t peer_index;
	uint32_t stream;
};

/* What housekeeping knows of a port's link. */
struct station_port {
	bool is_up;
};

/* Who an index of a lcore's machines is. */
struct station_machine {
	bool is_client;
	uint32_t index; /* of peers or clients */
};

/* The objects of the boot plan, each an array. */
struct station_memory {
	void *lcores;
	void *machines;
	void *owners;
	void *ports;
	void *sources;
	void *queues;
	void *port_queues;
	void *effects;
	void *commands;
	void *events;
	void *waiting;
	void *messages;
	void *relays;
	void *hosts;
	void *overlays;
	void *clients;
	void *views;
	void *scratch;
};

struct perron_station {
	struct perron_station_config config;
	const struct perron_descriptor *descriptor;
	uint64_t created_ns;

	/* Decided by check.c. */
	struct perron_cores cores;
	struct perron_cores_choice choice;
	const struct perron_overlay_ops *ops;
	struct perron_port_config port_configs[PERRON_DESCRIPTOR_PORT_MAX];
	uint32_t lcore_of_peer[STATION_PEER_MAX];
	struct perron_detector_override detectors[PERRON_DESCRIPTOR_LINK_MAX];

	/* Put together by build.c. */
	struct perron_memory_plan plan;
	struct perron_hugepages_plan pages;
	bool eal_is_up;
	bool is_reader; /* registered with liburcu */
	struct station_memory memory;
	struct rte_mempool *pools[PERRON_LCORE_COUNT_MAX];
	struct perron_port ports[PERRON_DESCRIPTOR_PORT_MAX];
	uint32_t port_open_count;
	struct station_port port_states[PERRON_DESCRIPTOR_PORT_MAX];
	int interfaces_fd;  /* tells of kernel interfaces' links; -1: there is none */
	bool ports_polled;  /* some link is looked at each turn */
	uint64_t ports_due_ns; /* when all are */
	struct perron_lcore_port *lcore_ports;
	struct perron_lcore *lcores;
	uint32_t lcore_count;
	struct perron_machine *machines;	/* of all lcores, lcore after lcore */
	struct station_machine *machine_owners; /* parallel */
	uint32_t machine_count;
	struct perron_lcore_source *sources;
	struct perron_spsc *retries[PERRON_LCORE_COUNT_MAX]; /* commands that found no room */
	struct perron_views places;
	struct perron_effects effects; /* housekeeping's */

	struct station_peer peers[STATION_PEER_MAX];
	uint32_t peer_count;
	struct station_client clients[PERRON_STATION_CLIENT_MAX];
	uint32_t client_count;
	struct station_sensor sensors[STATION_SENSOR_MAX];
	uint32_t sensor_count;
	struct perron_sensor_loop *sensor_loop;
	bool sensors_started;

	/* Housekeeping's turn. */
	_Alignas(PERRON_CACHE_LINE) _Atomic uint64_t beat;
	_Alignas(PERRON_CACHE_LINE) uint64_t now_ns;
	uint64_t clock_due_ns;
	uint64_t watch_due_ns;
	struct perron_watch watches[PERRON_LCORE_COUNT_MAX];
	uint64_t sleep_ns;
	bool started;
	bool stopped;
	bool leaving;
	bool all_joined;
	uint32_t refused; /* id of a peer that was refused; 0: none */
	uint64_t commands_retried;
	uint64_t command_drops;
	struct station_suspect suspects[STATION_SUSPECT_MAX];
	uint32_t suspect_count;
	struct perron_snapshot_history history[STATION_HISTORY_MAX];
	uint64_t history_count; /* since boot; the last ones are kept */
	struct perron_request requests[STATION_REQUEST_MAX];
	struct perron_socket *socket;
	struct perron_snapshot_source snapshot;
};

/* check.c: fills cores, choice, ops, port_configs, lcore_of_peer. */
int station_check(struct perron_station *s, char *error, size_t error_size) PERRON_MUST_USE;
/* The sensors of the descriptor as the loop takes them. */
void station_sensor_configs(const struct perron_descriptor *d, struct perron_sensor_config *out);

/* eal.c: starts the EAL. */
int station_eal_start(struct perron_station *s, uint64_t pool_size, char *error,
		      size_t error_size) PERRON_MUST_USE;

/* build.c */
int station_plan(struct perron_station *s, char *error, size_t error_size) PERRON_MUST_USE;
uint64_t station_pool_size(const struct perron_station *s);
int station_build(struct perron_station *s, char *error, size_t error_size) PERRON_MUST_USE;
void station_unbuild(struct perron_station *s);
/* As the descriptor has it. */
void station_group_config(const struct perron_descriptor *d, struct perron_group_config *cfg);

/* hosts.c */
extern const struct perron_machine_ops station_relay_ops;
extern const struct perron_machine_ops station_client_ops;
void station_relay_init(struct station_relay *r, struct perron_relay *relay, uint32_t peer);

/* A command to a client's machine. */
struct station_subscribe {
	char sensor[PERRON_SENSOR_NAME_MAX + 1];
	uint32_t class;
	uint32_t latency_us;
	struct perron_qos qos;
};

/* A command to a relay's machine that is the load's: `kind` is none of perron_command_kind. */
#define STATION_COMMAND_LOAD 0xffu
_Static_assert(PERRON_COMMAND_COUNT < STATION_COMMAND_LOAD, "told from a relay's");
struct station_load_command {
	uint8_t kind; /* STATION_COMMAND_LOAD */
	bool start;   /* else: stop */
	struct group_load_config config;
};

/* control.c */
/* Initialises the overlays and attaches the sensors; the rings are there. */
int station_control_start(struct perron_station *s, char *error, size_t error_size) PERRON_MUST_USE;
/* Events of lcores, ticks, commands that wait. Whether there was anything to do. */
bool station_control_turn(struct perron_station *s);
/* When an overlay is to be ticked next; UINT64_MAX: none. */
uint64_t station_control_deadline_ns(const struct perron_station *s);
void station_control_clock(struct perron_station *s);
void station_control_leave(struct perron_station *s);
/* Whether every command has reached its lcore, and been taken. */
bool station_control_is_quiet(const struct perron_station *s);
/* Puts a record on a lcore's ring, or behind those that wait. False: no room (counted). */
bool station_command_push(struct perron_station *s, uint32_t lcore, uint32_t machine,
			  const void *record, uint32_t size);

/* ports.c */
void station_ports_watch(struct perron_station *s);
void station_ports_unwatch(struct perron_station *s);
/* Descriptors that are readable when a port's link may have changed; how many. */
#define STATION_PORT_FD_MAX (PERRON_DESCRIPTOR_PORT_MAX + 1)
struct pollfd;
uint32_t station_ports_fds(const struct perron_station *s, struct pollfd *out);
/* Each turn: looks after the ports, and tells relays of links that went down. */
void station_ports_keep(struct perron_station *s);
/* group.c */
/* A view was installed, or a verdict fell: keeps it and tells who watches. */
void station_group_view(struct perron_station *s, uint32_t peer_index,
			const struct perron_event *event);
void station_group_verdict(struct perron_station *s, uint32_t peer_index,
			   const struct perron_event *event);
/* Rows for the snapshot. */
uint32_t station_group_rows(void *context, uint32_t first, uint32_t max,
			    struct perron_snapshot_group *out, uint32_t *total);
uint32_t station_history_rows(void *context, uint32_t first, uint32_t max,
			      struct perron_snapshot_history *out, uint32_t *total);
/* Fills s->requests: reports, and what steers. */
void station_requests_init(struct perron_station *s);

/* snapshot.c */
void station_snapshot_init(struct perron_station *s);

/* station.c: one line with the time since boot, to standard error, unless the station is quiet. */
void station_say(const struct perron_station *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* An event for those who watch. `body` is used up. */
void station_publish(struct perron_station *s, const char *event, json_t *body);

#endif
