/*
 * The standby at a sensor that hangs on several peers: one of them (the owner) numbers its readings
 * and publishes them, the others read along and hold theirs until they see the owner's copy of the
 * same reading. So they know which number each of theirs has, and who takes over goes on where the
 * owner was: a frame has the same key whoever sends it. Semi-active replication, as paper 003 (3.2)
 * has it: the leader decides, the followers do the same.
 *
 * Readings come in one order everywhere, but not all come everywhere, and a copy may come before or
 * after the reading, or never. A reading and a copy are the same if their contents are; where to
 * look first follows from the last pair: as many sequences on as readings.
 *
 * Pure; the relay's thread. Constant time as long as nothing was missed, else a look at the window.
 */
#ifndef PERRON_FT_STANDBY_H
#define PERRON_FT_STANDBY_H

#include <stdbool.h>
#include <stdint.h>

struct perron_standby_reading {
	uint64_t handle;
	uint8_t *data; /* the frame, its header encoded but for the sequence */
	uint32_t length;
	uint64_t sequence; /* once a copy of it, or of a later one, was seen; 0: not known */
	uint32_t hash;     /* of what the sensor said */
	bool held;
};

struct perron_standby_copy {
	uint64_t sequence; /* 0: none */
	uint32_t hash;
};

/* Readings are counted from 0; those in [first, next) are known. */
struct perron_standby {
	uint64_t first;
	uint64_t next;
	uint64_t paired;    /* the latest reading that a copy was seen of */
	uint64_t sequence;  /* its number; 0: there was none yet */
	uint64_t floor;     /* numbers below are wanted no more */
	uint64_t wanted;    /* nor are readings below */
	uint64_t copy_high; /* the highest number of a copy that came before its reading */
	uint32_t window;    /* a power of two */
	uint32_t held_count;
	struct perron_standby_reading *readings; /* `window` of each */
	struct perron_standby_copy *copies;
};

void perron_standby_init(struct perron_standby *s, struct perron_standby_reading *readings,
			 struct perron_standby_copy *copies, uint32_t window);
/*
 * The sensor's next reading here. True: it is held from now on. False: its copy was seen, and it is
 * not needed. What gives way for it is *released; 0: nothing (handles are not 0).
 */
bool perron_standby_read(struct perron_standby *s, const struct perron_standby_reading *reading,
			 uint64_t *released);
/* The same, to be held in no case: true if its copy was seen. */
bool perron_standby_skip(struct perron_standby *s, uint32_t hash, uint64_t *released);
/* The owner's frame of that number. Returns what needs be held no more; 0: nothing. */
uint64_t perron_standby_copy(struct perron_standby *s, uint64_t sequence, uint32_t hash);
/* Numbers below are wanted no more. */
void perron_standby_raise(struct perron_standby *s, uint64_t floor);
/* Lets go of what is not wanted, at most `max`; returns how many handles it wrote. */
uint32_t perron_standby_sweep(struct perron_standby *s, uint64_t *handles, uint32_t max);
bool perron_standby_is_swept(const struct perron_standby *s);
/* The number that the next reading has; 0: not known. */
uint64_t perron_standby_next(const struct perron_standby *s);
/* A reading that is held, by its number; it is held no more, and its handle the caller's. */
bool perron_standby_take(struct perron_standby *s, uint64_t sequence,
			 struct perron_standby_reading *out);
/* Nothing that was read so far is wanted any more. */
void perron_standby_forget(struct perron_standby *s);
void perron_standby_check(const struct perron_standby *s);

#endif
