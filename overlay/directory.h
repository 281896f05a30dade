/*
 * The directory: the sensors that a peer knows of, and by which neighbour each is reached. Its own
 * are attached here; those of the sub-tree are advertised by the children, those of the siblings'
 * sub-trees (lateral) by the siblings. Paper 000, III.A: discovery follows the names' places in the
 * tree.
 *
 * A sensor may hang on several peers of a cell. One of them, its owner, publishes it; who comes
 * after it counts a term more, and a higher term replaces the entry of another owner.
 *
 * The owner numbers its advertisements. A number higher than the known one replaces the entry,
 * whichever way it came; an entry whose number stands still for the time-out is gone. So a sensor
 * that moved is found on its new way, and no way can feed itself.
 *
 * Pure; the housekeeping thread.
 */
#ifndef PERRON_OVERLAY_DIRECTORY_H
#define PERRON_OVERLAY_DIRECTORY_H

#include "overlay/control.h"
#include "runtime/base/map.h"

/* What this peer is to a sensor that hangs here, and perhaps at siblings as well. */
enum perron_attached {
	PERRON_ATTACHED_NOT,
	PERRON_ATTACHED_CANDIDATE, /* it waits whether a sibling publishes it */
	PERRON_ATTACHED_STANDBY,   /* a sibling publishes it */
	PERRON_ATTACHED_OWNER,
};

struct perron_directory_entry {
	struct perron_sensor_entry sensor;
	uint32_t stream;
	uint32_t via; /* neighbour; 0: published here */
	bool lateral;
	uint8_t attached; /* enum perron_attached */
	uint32_t spare;   /* a sibling at which the sensor hangs as well; 0: none is known */
	bool together;    /* STANDBY: the owner was a member of our view */
	uint64_t claim_at_ns; /* not published here before; CANDIDATE: 0: not known */
	uint32_t from;    /* whose office it was before ours, and of which life; 0: nobody's */
	uint32_t from_incarnation;
	uint64_t adopt_at_ns; /* its owner, a sibling, is gone: taken over then; 0: no */
	bool adopted; /* via 0: not attached here, but taken over from a sibling that is gone */
	uint64_t expires_ns; /* UINT64_MAX: published here by its sensor's peer */
};

struct perron_directory {
	struct perron_directory_entry *entries;
	uint32_t count;
	uint32_t count_max;
	struct perron_map by_stream;
};

enum perron_directory_change {
	PERRON_DIRECTORY_SAME,
	PERRON_DIRECTORY_RENEWED,
	PERRON_DIRECTORY_NEW, /* new, or by another way */
	PERRON_DIRECTORY_REFUSED, /* full, or another name with the same stream */
};

size_t perron_directory_size(uint32_t count_max);
void perron_directory_init(struct perron_directory *d, struct perron_arena *a, uint32_t count_max,
			   uint64_t seed);
struct perron_directory_entry *perron_directory_find(struct perron_directory *d, uint32_t stream,
						     const char *name);
enum perron_directory_change perron_directory_learn(struct perron_directory *d,
						    const struct perron_sensor_entry *sensor,
						    uint32_t via, bool lateral,
						    uint64_t expires_ns);
void perron_directory_expire(struct perron_directory *d, uint64_t now_ns);
/* Forgets everything that is reached by a neighbour, but for a sibling's own: that expires. */
void perron_directory_forget(struct perron_directory *d, uint32_t via);
void perron_directory_check(const struct perron_directory *d);

#endif
