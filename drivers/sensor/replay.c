/*
 * The replay driver: gives the messages of a recorded file (replay_file.h) with their timing. The
 * file is read whole, and checked, before the station starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/sensor/driver.h"
#include "drivers/sensor/drivers.h"
#include "drivers/sensor/replay_file.h"

#define FILE_SIZE_MAX (64u << 20)
#define BURST_MAX     32
#define LATE_NS_MAX   PERRON_NS_PER_S
#define SPEED_PPM     1000000

static const struct perron_option options[] = {
    {"file", PERRON_OPTION_TEXT, NULL, "the recorded file"},
    {"format", PERRON_OPTION_CHOICE, "auto", "of its lines", .choices = "auto|timed|nmea"},
    {"loop", PERRON_OPTION_BOOLEAN, "no", "start again at its end"},
    {"speed", PERRON_OPTION_SHARE, "100%", "of the recorded one", .min = SPEED_PPM / 100,
     .max = 1000ll * SPEED_PPM},
    {NULL},
};

struct replay {
	const char *path;
	uint8_t *bytes;
	uint8_t *buffer;
	uint64_t speed_ppm;
	bool loop;
	struct perron_replay_file file;
	struct perron_replay_record next;
	enum perron_replay_result next_result;
	bool started;
	uint64_t start_ns; /* of the first run: when it was first read */
	uint64_t run_ns; /* recorded time of the runs before this one */
};

static int replay_fail(const struct replay *replay, int error_number, const char *what, char *error,
		       size_t error_size)
{
	snprintf(error, error_size, "%s: %s", replay->path, what);
	return -error_number;
}

static int file_load(struct replay *replay, uint64_t *size, char *error, size_t error_size)
{
	struct stat status;
	ssize_t got;

	int fd = open(replay->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int reason = errno;

		snprintf(error, error_size, "%s: %s; expected a recorded file that may be read",
			 replay->path, strerror(reason));
		return -reason;
	}
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size == 0 ||
	    status.st_size > FILE_SIZE_MAX) {
		close(fd);
		return replay_fail(replay, EINVAL, "expected a file of 1 byte to 64 MB", error,
				   error_size);
	}
	*size = 0;
	replay->bytes = malloc((size_t)status.st_size);
	replay->buffer = malloc(PERRON_SENSOR_MESSAGE_SIZE_MAX);
	while (replay->bytes && *size < (uint64_t)status.st_size) {
		got = read(fd, replay->bytes + *size, (size_t)status.st_size - *size);
		if (got <= 0)
			break;
		*size += (uint64_t)got;
	}
	close(fd);
	if (!replay->bytes || !replay->buffer)
		return replay_fail(replay, ENOMEM, "no memory for it", error, error_size);
	return *size > 0 ? 0 : replay_fail(replay, EIO, "cannot be read", error, error_size);
}

/* A log may hold damaged sentences: they are counted as they come. A timed file may not. */
static bool is_fatal(enum perron_replay_result result)
{
	return result != PERRON_REPLAY_RECORD && result != PERRON_REPLAY_BAD_CHECKSUM &&
	       result != PERRON_REPLAY_BAD_SENTENCE;
}

static int file_check(struct replay *replay, char *error, size_t error_size)
{
	struct perron_replay_record record;
	enum perron_replay_result result;
	uint64_t good = 0;

	do {
		result = perron_replay_file_next(&replay->file, &record);
		good += result == PERRON_REPLAY_RECORD;
	} while (!is_fatal(result));
	if (result != PERRON_REPLAY_END) {
		snprintf(error, error_size, "%s:%u: %s", replay->path, replay->file.line,
			 perron_replay_result_name(result));
		return -EINVAL;
	}
	if (good == 0)
		return replay_fail(replay, EINVAL, "expected at least one good line", error,
				   error_size);
	perron_replay_file_rewind(&replay->file);
	return 0;
}

static int replay_prepare(struct perron_sensor *sensor, char *error, size_t error_size)
{
	const struct perron_sensor_config *config = sensor->config;
	struct replay *replay = sensor->data;
	uint64_t size = 0;

	replay->path = perron_sensor_text(config, options, "file");
	replay->loop = perron_sensor_number(config, options, "loop") != 0;
	replay->speed_ppm = (uint64_t)perron_sensor_number(config, options, "speed");
	int result = file_load(replay, &size, error, error_size);
	if (result < 0)
		return result;
	perron_replay_file_init(
	    &replay->file, replay->bytes, size,
	    (enum perron_replay_format)perron_sensor_number(config, options, "format"),
	    replay->buffer, PERRON_SENSOR_MESSAGE_SIZE_MAX);
	return file_check(replay, error, error_size);
}

static void replay_release(struct perron_sensor *sensor)
{
	struct replay *replay = sensor->data;

	free(replay->bytes);
	free(replay->buffer);
	replay->bytes = NULL;
	replay->buffer = NULL;
}

static uint64_t due_ns(const struct replay *replay, uint64_t at_ns)
{
	__extension__ unsigned __int128 recorded_ns = (unsigned __int128)replay->run_ns + at_ns;

	return replay->start_ns + (uint64_t)(recorded_ns * SPEED_PPM / replay->speed_ppm);
}

/* Fetches the record that comes next and sets the deadline to its time. */
static void replay_advance(struct perron_sensor *sensor)
{
	struct replay *replay = sensor->data;

	replay->next_result = perron_replay_file_next(&replay->file, &replay->next);
	if (replay->next_result == PERRON_REPLAY_END && replay->loop) {
		replay->run_ns += perron_replay_file_period_ns(&replay->file);
		perron_replay_file_rewind(&replay->file);
		replay->next_result = perron_replay_file_next(&replay->file, &replay->next);
	}
	sensor->deadline_ns = replay->next_result == PERRON_REPLAY_END
				  ? PERRON_SENSOR_NEVER
				  : due_ns(replay, replay->next.at_ns);
}

static int replay_open(struct perron_sensor *sensor, uint64_t now_ns, char *error,
		       size_t error_size)
{
	struct replay *replay = sensor->data;

	(void)error;
	(void)error_size;
	perron_replay_file_rewind(&replay->file);
	replay->started = false;
	replay->run_ns = 0;
	sensor->deadline_ns = now_ns;
	return 0;
}

static void replay_close(struct perron_sensor *sensor)
{
	sensor->deadline_ns = PERRON_SENSOR_NEVER;
}

static void reading_update(struct perron_sensor *sensor, const struct replay *replay)
{
	struct perron_sensor_reading reading = sensor->reading;

	if (perron_sensor_reading_of_fix(&reading, &replay->file.fix))
		perron_sensor_set_reading(sensor, &reading);
}

static void record_give(struct perron_sensor *sensor, uint64_t now_ns,
			const struct perron_sensor_sink *sink)
{
	struct replay *replay = sensor->data;

	if (replay->next_result == PERRON_REPLAY_RECORD) {
		reading_update(sensor, replay);
		perron_sensor_give(sensor, sink, now_ns, replay->next.data, replay->next.size);
		return;
	}
	perron_sensor_count_bad(sensor, replay->next_result == PERRON_REPLAY_BAD_CHECKSUM
					    ? PERRON_SENSOR_BAD_CHECKSUM
					    : PERRON_SENSOR_BAD_MALFORMED);
}

/* After a stall it goes on where it was, later, instead of giving all at once. */
static void replay_catch_up(struct perron_sensor *sensor, uint64_t now_ns)
{
	struct replay *replay = sensor->data;

	if (sensor->deadline_ns == PERRON_SENSOR_NEVER ||
	    now_ns < sensor->deadline_ns + LATE_NS_MAX)
		return;
	replay->start_ns += now_ns - sensor->deadline_ns;
	sensor->deadline_ns = now_ns;
}

static int replay_read(struct perron_sensor *sensor, uint64_t now_ns,
		       const struct perron_sensor_sink *sink)
{
	struct replay *replay = sensor->data;

	if (!replay->started) {
		replay->started = true;
		replay->start_ns = now_ns;
		replay_advance(sensor);
	}
	replay_catch_up(sensor, now_ns);
	for (uint32_t i = 0; i < BURST_MAX && sensor->deadline_ns <= now_ns; i++) {
		record_give(sensor, now_ns, sink);
		replay_advance(sensor);
	}
	return replay->next_result == PERRON_REPLAY_END ? -ENODATA : 0;
}

const struct perron_sensor_api perron_sensor_replay = {
    .name = "replay",
    .summary = "a recorded file with its timing",
    .options = options,
    .data_size = sizeof(struct replay),
    .prepare = replay_prepare,
    .open = replay_open,
    .read = replay_read,
    .close = replay_close,
    .release = replay_release,
};
