/*
 * Framing: makes messages of a serial line's bytes, by a delimiter, by a fixed length, or by a gap
 * of silence. Time is a parameter; nothing is allocated; one thread.
 *
 * A message that ends by a delimiter keeps it, so that the messages together are the line's bytes.
 * With a gap beside another mode, silence inside a message drops what there is of it: fixed lengths
 * find their beginning again. What is longer than size_max is dropped up to the message's end, and
 * counted once; so is a message with a damaged byte (perron_framing_damage).
 *
 * Invariant: used <= size_max. While discarding, `used` only counts (mode LENGTH) or is 0.
 */
#ifndef PERRON_DRIVERS_SENSOR_FRAMING_H
#define PERRON_DRIVERS_SENSOR_FRAMING_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define PERRON_FRAMING_DELIMITER_SIZE_MAX 8

enum perron_framing_mode { /* delimiter|length|gap */
	PERRON_FRAMING_DELIMITER,
	PERRON_FRAMING_LENGTH,
	PERRON_FRAMING_GAP,
};

struct perron_framing_config {
	enum perron_framing_mode mode;
	uint8_t delimiter[PERRON_FRAMING_DELIMITER_SIZE_MAX];
	uint32_t delimiter_size; /* 1 or more in mode DELIMITER */
	uint32_t length;         /* 1 to size_max in mode LENGTH */
	uint64_t gap_ns;         /* more than 0 in mode GAP; else 0: none */
	uint32_t size_max;       /* of a message, and of `buffer` */
};

/* Called with each whole message; it may not call the framing back. */
typedef void perron_framing_message(void *context, const uint8_t *data, uint32_t size);

struct perron_framing {
	struct perron_framing_config config;
	uint8_t *buffer;
	uint32_t used;
	bool discarding;   /* up to the message's end */
	uint32_t matched;  /* of the delimiter, while discarding */
	uint64_t last_ns;  /* of the last byte */
	uint64_t oversize; /* messages dropped for their size */
	uint64_t cut;      /* messages dropped because silence cut them */
};

/* `buffer` has config->size_max bytes and outlives the framing. */
void perron_framing_init(struct perron_framing *f, const struct perron_framing_config *config,
			 uint8_t *buffer);

/* Forgets what has not become a message (the line was opened anew). Counters stay. */
void perron_framing_reset(struct perron_framing *f);

/* Takes bytes that arrived at `now_ns`. */
void perron_framing_input(struct perron_framing *f, uint64_t now_ns, const uint8_t *data,
			  uint32_t size, perron_framing_message *message, void *context);

/* Drops the message under way: one of its bytes arrived damaged. */
void perron_framing_damage(struct perron_framing *f, uint64_t now_ns);

/* Silence may have ended a message. */
void perron_framing_tick(struct perron_framing *f, uint64_t now_ns,
			 perron_framing_message *message, void *context);

/* When silence will have ended it; UINT64_MAX: nothing is under way. */
uint64_t perron_framing_deadline_ns(const struct perron_framing *f);

#endif
