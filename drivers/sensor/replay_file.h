/*
 * Recorded files, read from memory: two formats of text lines, of which empty ones and those that
 * begin with # are left out.
 *
 * timed: `NS HEX` or `NS "TEXT"`: nanoseconds since the start, never falling, and the message, as
 *        pairs of hexadecimal digits or as text with \r \n \t \" \\ \xHH.
 * nmea:  a log of NMEA sentences as a receiver sent them. RMC and GGA say when; the others belong
 *        to the last time that was said. Midnight is passed over.
 *
 * Pure; one thread.
 */
#ifndef PERRON_DRIVERS_SENSOR_REPLAY_FILE_H
#define PERRON_DRIVERS_SENSOR_REPLAY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "drivers/sensor/nmea.h"
#include "runtime/base/assert.h"

enum perron_replay_format { /* auto|timed|nmea */
	PERRON_REPLAY_AUTO,
	PERRON_REPLAY_TIMED,
	PERRON_REPLAY_NMEA,
};

struct perron_replay_record {
	uint64_t at_ns; /* since the start */
	const uint8_t *data;
	uint32_t size;
};

#define PERRON_REPLAY_RESULTS(X)                                                                   \
	X(RECORD, "record")                                                                        \
	X(END, "end")                                                                              \
	X(BAD_TIME, "expected nanoseconds since the start")                                        \
	X(BAD_ORDER, "expected a time that is not before the last line's")                         \
	X(BAD_DATA, "expected hexadecimal pairs or \"text\"")                                      \
	X(BAD_SIZE, "expected a shorter message")                                                  \
	X(BAD_CHECKSUM, "expected the sentence's checksum to match")                               \
	X(BAD_SENTENCE, "expected an NMEA sentence")

enum perron_replay_result {
#define X(name, text) PERRON_REPLAY_##name,
	PERRON_REPLAY_RESULTS(X)
#undef X
};

struct perron_replay_file {
	const uint8_t *bytes;
	uint64_t size;
	uint64_t offset;
	uint32_t line; /* of the last record, from 1 */
	enum perron_replay_format format;
	uint8_t *buffer; /* where a timed message is put together */
	uint32_t buffer_size;
	uint64_t at_ns;   /* of the last record */
	uint64_t step_ns; /* from the last time to the one before, if they differ */
	bool has_day_ms;
	uint32_t day_ms; /* last time of day that was said */
	struct perron_nmea_fix fix; /* of the last record in format NMEA; else says nothing */
};

/* `bytes` and `buffer` outlive the file. A message is at most `buffer_size` bytes. */
void perron_replay_file_init(struct perron_replay_file *file, const uint8_t *bytes, uint64_t size,
			     enum perron_replay_format format, uint8_t *buffer,
			     uint32_t buffer_size);

/* Back to the first line. */
void perron_replay_file_rewind(struct perron_replay_file *file);

/*
 * The next record; valid until the next call. After a bad line the one that follows may be read.
 * With BAD_CHECKSUM and BAD_SENTENCE the record is filled in too: the line as it stands.
 */
enum perron_replay_result perron_replay_file_next(struct perron_replay_file *file,
						  struct perron_replay_record *out)
	PERRON_MUST_USE;

/* What was expected, in words. */
const char *perron_replay_result_name(enum perron_replay_result result);

/* After END: how long one run is, with the step back to its start; at least a millisecond. */
uint64_t perron_replay_file_period_ns(const struct perron_replay_file *file);

#endif
