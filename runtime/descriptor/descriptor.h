/*
 * The descriptor: what a station is told about itself, its overlay, ports, peers and sensors, read
 * from one YAML file against a schema (docs/man/perron.yaml.5 shows it key by key).
 *
 * A descriptor is one bounded struct without pointers: it can be copied, compared and kept. Every
 * value is filled in, by the file or by its default, and remembers which. An error is one line,
 * `file:line:column: what is wrong; expected what`, and only the first is told.
 *
 * Order of use:
 *	perron_descriptor_load, or _parse     reads and checks what the schema can know
 *	perron_descriptor_check_drivers       checks drivers' own options against their tables
 *	perron_descriptor_print_effective     what is in force, and where it comes from
 *
 * Any thread; allocates only while it reads (libyaml).
 */
#ifndef PERRON_RUNTIME_DESCRIPTOR_DESCRIPTOR_H
#define PERRON_RUNTIME_DESCRIPTOR_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "platform/option.h"
#include "runtime/base/assert.h"

#define PERRON_DESCRIPTOR_NAME_SIZE  32	 /* [A-Za-z0-9._/-], with the final 0 */
#define PERRON_DESCRIPTOR_PATH_SIZE  108 /* a unix socket's (sun_path) */
#define PERRON_DESCRIPTOR_FILE_SIZE  256
#define PERRON_DESCRIPTOR_ERROR_SIZE 768
#define PERRON_DESCRIPTOR_BYTES_MAX  (1u << 20) /* of a file that is read at all */
#define PERRON_DESCRIPTOR_DEPTH_MAX  8
#define PERRON_DESCRIPTOR_PORTAL_MAX 16
#define PERRON_DESCRIPTOR_PORT_MAX   4
#define PERRON_DESCRIPTOR_PEER_MAX   64
#define PERRON_DESCRIPTOR_SENSOR_MAX 64
#define PERRON_DESCRIPTOR_LCORE_MAX  64
#define PERRON_DESCRIPTOR_LINK_MAX   64
/* Keys of one section at most; `lines` has room for them. */
#define PERRON_DESCRIPTOR_KEY_MAX 20

/* Where a value stands: line and column from 1; line 0: it is the default. */
struct perron_descriptor_place {
	uint32_t line;
	uint32_t column;
};

/* For each key of a section, in the schema's order: where it was set, or line 0. */
struct perron_descriptor_places {
	struct perron_descriptor_place of[PERRON_DESCRIPTOR_KEY_MAX];
};

enum perron_descriptor_kind {
	PERRON_DESCRIPTOR_KIND_P3,
};

enum perron_descriptor_idle { /* idle: auto|spin|backoff|interrupt */
			      PERRON_DESCRIPTOR_IDLE_AUTO,
			      PERRON_DESCRIPTOR_IDLE_SPIN,
			      PERRON_DESCRIPTOR_IDLE_BACKOFF,
			      PERRON_DESCRIPTOR_IDLE_INTERRUPT,
};

enum perron_descriptor_huge { /* huge_pages: auto|no|required */
			      PERRON_DESCRIPTOR_HUGE_AUTO,
			      PERRON_DESCRIPTOR_HUGE_NO,
			      PERRON_DESCRIPTOR_HUGE_REQUIRED,
};

/* kind: auto|accrual|push|pull; none is `auto` once it was read. */
enum perron_descriptor_detector_kind {
	PERRON_DESCRIPTOR_DETECTOR_AUTO,
	PERRON_DESCRIPTOR_DETECTOR_ACCRUAL,
	PERRON_DESCRIPTOR_DETECTOR_PUSH,
	PERRON_DESCRIPTOR_DETECTOR_PULL,
};

enum perron_descriptor_scheduling { /* scheduling: other|fifo */
				    PERRON_DESCRIPTOR_SCHEDULING_OTHER,
				    PERRON_DESCRIPTOR_SCHEDULING_FIFO,
};

/* A peer of the root cell. */
struct perron_descriptor_portal {
	uint32_t peer;
	uint32_t address; /* IPv4, host order */
	struct perron_descriptor_places places;
};

struct perron_descriptor_overlay {
	uint32_t id;
	uint16_t port_base;
	uint8_t depth;	   /* levels of the tree, 1 to 8 */
	uint8_t span;	   /* cells below a cell, 1 to 16 */
	uint8_t cell_size; /* peers of a cell, 1 to 16 */
	uint8_t kind;	   /* enum perron_descriptor_kind */
	uint64_t beat_interval_ns;
	uint64_t beat_timeout_ns; /* at least twice beat_interval_ns */
	uint64_t lease_ns;	  /* at least beat_timeout_ns */
	uint32_t portal_count;	  /* 1 to cell_size */
	struct perron_descriptor_portal portal[PERRON_DESCRIPTOR_PORTAL_MAX];
	struct perron_descriptor_places places;
};

struct perron_descriptor_station {
	char name[PERRON_DESCRIPTOR_NAME_SIZE];
	uint32_t address; /* IPv4, host order */
	uint8_t prefix_length;
	uint8_t idle;		   /* enum perron_descriptor_idle */
	uint8_t huge_pages;	   /* enum perron_descriptor_huge */
	uint8_t scheduling;	   /* enum perron_descriptor_scheduling */
	uint8_t priority;	   /* of SCHED_FIFO, 1 to 99 */
	uint32_t gateway;	   /* 0: none */
	int32_t housekeeping_core; /* -1: auto */
	uint32_t lcore_count;	   /* 0: auto */
	uint16_t lcores[PERRON_DESCRIPTOR_LCORE_MAX];
	uint64_t backoff_max_ns;
	uint64_t memory_size;
	uint64_t turn_threshold_ns;
	char socket[PERRON_DESCRIPTOR_PATH_SIZE];
	struct perron_descriptor_places places;
};

/* How the neighbour at the other end of a link is judged; every value in force. */
struct perron_descriptor_link {
	uint32_t peer; /* 0: of every link that has no entry of its own */
	uint8_t kind;  /* enum perron_descriptor_detector_kind */
	uint64_t interval_ns;
	uint64_t timeout_ns_min; /* at least twice interval_ns */
	uint64_t timeout_ns_max; /* at least timeout_ns_min */
	struct perron_descriptor_places places;
};

struct perron_descriptor_detector {
	struct perron_descriptor_link all;
	uint32_t link_count;
	struct perron_descriptor_link links[PERRON_DESCRIPTOR_LINK_MAX];
};

/* A driver and what is left to it; `options` is what perron_option_number and _text read. */
struct perron_descriptor_driver {
	char name[PERRON_DESCRIPTOR_NAME_SIZE];
	struct perron_descriptor_place place; /* of its name */
	uint32_t option_count;
	struct perron_option_value options[PERRON_OPTION_COUNT_MAX];
};

struct perron_descriptor_impair {
	bool set; /* an `impair` stands in the file */
	uint64_t delay_ns;
	uint64_t jitter_ns;
	uint32_t loss_ppm;
	uint32_t duplicate_ppm;
	uint32_t reorder_ppm;
	uint64_t seed;
	struct perron_descriptor_places places;
};

struct perron_descriptor_port {
	struct perron_descriptor_driver driver;
	struct perron_descriptor_impair impair;
	struct perron_descriptor_place place;
};

struct perron_descriptor_peer {
	uint32_t id;
	uint8_t cell_depth;			   /* levels of the wished cell; 0: no wish */
	uint8_t cell[PERRON_DESCRIPTOR_DEPTH_MAX]; /* "0.1.0" is {0, 1, 0} */
	int32_t lcore;				   /* index in station.lcores' turn; -1: any */
	struct perron_descriptor_places places;
};

struct perron_descriptor_sensor {
	char name[PERRON_DESCRIPTOR_NAME_SIZE];
	uint32_t peer;	     /* id of one of `peers` */
	uint32_t peer_index; /* in `peers` */
	uint8_t class;	     /* enum perron_class: alarm, critical or normal */
	struct perron_descriptor_driver driver;
	struct perron_descriptor_place place;
	struct perron_descriptor_places places;
};

/* The most of each that the station has room for; the boot plan's memory follows from them. */
struct perron_descriptor_limits {
	uint32_t links;	  /* neighbours of one peer */
	uint32_t streams; /* passing through one peer */
	uint32_t clients; /* of one peer */
	uint32_t sensors; /* known to one peer, below it in the tree */
	uint32_t buffers; /* frames, of the whole station */
	uint32_t ring;	  /* commands or events under way between two planes; a power of two */
	struct perron_descriptor_places places;
};

/* Group communication in cells (ft/group.h has what each is). */
struct perron_descriptor_group {
	uint32_t window;  /* a power of two, 8 to 1024 */
	uint32_t pending; /* a power of two, 4 to 1024 */
	uint32_t groups;  /* light-weight ones */
	uint64_t resend_ns;
	uint64_t attempt_ns; /* above resend_ns */
	uint64_t hello_ns;
	uint64_t exclude_ns;
	uint64_t acknowledge_ns;
	struct perron_descriptor_places places;
};

struct perron_descriptor {
	char file[PERRON_DESCRIPTOR_FILE_SIZE];
	struct perron_descriptor_overlay overlay;
	struct perron_descriptor_station station;
	struct perron_descriptor_detector detector;
	uint32_t port_count; /* 0: every portal peer is one of `peers` */
	struct perron_descriptor_port ports[PERRON_DESCRIPTOR_PORT_MAX];
	uint32_t peer_count;
	struct perron_descriptor_peer peers[PERRON_DESCRIPTOR_PEER_MAX];
	uint32_t sensor_count;
	struct perron_descriptor_sensor sensors[PERRON_DESCRIPTOR_SENSOR_MAX];
	struct perron_descriptor_limits limits;
	struct perron_descriptor_group group;
};

/*
 * Reads the file into `out` (some 1 MB: not for a stack). 0 or -errno: -EINVAL for what stands in
 * the file, else why it could not be read. `out` is then not to be used.
 */
int perron_descriptor_load(struct perron_descriptor *out, const char *file, char *error,
			   size_t error_size) PERRON_MUST_USE;

/* The same from memory; `file` is the name that errors show. */
int perron_descriptor_parse(struct perron_descriptor *out, const char *file, const void *text,
			    size_t text_size, char *error, size_t error_size) PERRON_MUST_USE;

/* A family of drivers, as the program that links them knows it. */
struct perron_descriptor_drivers {
	/* The driver's table (platform/option.h), or NULL: there is no such driver. */
	const struct perron_option *(*options)(const char *driver);
	/* The index-th driver's name, or NULL past the last. */
	const char *(*name)(uint32_t index);
};

/*
 * Checks every port's and sensor's driver, and each of its keys, against the drivers' tables.
 * Either family may be NULL: not checked. 0 or -EINVAL.
 */
int perron_descriptor_check_drivers(const struct perron_descriptor *descriptor,
				    const struct perron_descriptor_drivers *ports,
				    const struct perron_descriptor_drivers *sensors, char *error,
				    size_t error_size) PERRON_MUST_USE;

/*
 * Writes an error about a place of the descriptor in its form, for checks that only the program can
 * make (a missing interface, a core that does not exist). `what` is the sentence after the place.
 */
void perron_descriptor_error(const struct perron_descriptor *descriptor,
			     struct perron_descriptor_place place, const char *what, char *error,
			     size_t error_size);

/* Where a key of a section was set: e.g. (&d->station.places, "station", "lcores"). */
struct perron_descriptor_place
perron_descriptor_place_of(const struct perron_descriptor_places *places, const char *section,
			   const char *key);

/*
 * Prints the descriptor in force as YAML that can be loaded again, each value with the comment
 * `# default` or `# from file:line`. The families, where given, add the drivers' defaults.
 */
void perron_descriptor_print_effective(const struct perron_descriptor *descriptor,
				       const struct perron_descriptor_drivers *ports,
				       const struct perron_descriptor_drivers *sensors, FILE *out);

#endif
