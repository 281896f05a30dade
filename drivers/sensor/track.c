/*
 * The track driver: listens on a kernel UDP socket for one evaluator's telegrams. Each good and new
 * telegram is given as it came. Three cycles of silence are a state of their own, since a track
 * that says nothing is not a clear track.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/sensor/driver.h"
#include "drivers/sensor/drivers.h"
#include "drivers/sensor/track_telegram.h"

/* Telegrams of one turn at most; an evaluator sends ten a second. */
#define READ_COUNT_MAX	    32
#define SILENCE_CYCLE_COUNT 3

static const struct perron_option options[] = {
    {"address", PERRON_OPTION_ADDRESS, "0.0.0.0", "own address to listen on; 0.0.0.0: any"},
    {"port", PERRON_OPTION_INTEGER, NULL, "UDP port to listen on", .min = 1, .max = 65535},
    {"from", PERRON_OPTION_ADDRESS, "0.0.0.0", "the evaluator's address; 0.0.0.0: any"},
    {"evaluator", PERRON_OPTION_INTEGER, "0", "its number; 0: the first that speaks", .min = 0,
     .max = UINT32_MAX},
    {"cycle", PERRON_OPTION_DURATION, "500ms", "its cycle, until a telegram has said it",
     .min = PERRON_TRACK_CYCLE_MS_MIN * 1000000ll, .max = PERRON_TRACK_CYCLE_MS_MAX * 1000000ll},
    {"optional", PERRON_OPTION_BOOLEAN, "no", "start even if the address is not there yet"},
    {NULL},
};

struct track {
	uint32_t address;
	uint32_t from;
	uint32_t evaluator; /* 0: not known yet */
	uint16_t port;
	bool heard;
	uint32_t epoch;
	uint32_t sequence;
	uint64_t cycle_ns;
};

static int track_prepare(struct perron_sensor *sensor, char *error, size_t error_size)
{
	const struct perron_sensor_config *config = sensor->config;
	struct track *track = sensor->data;

	(void)error;
	(void)error_size;
	track->address = (uint32_t)perron_sensor_number(config, options, "address");
	track->from = (uint32_t)perron_sensor_number(config, options, "from");
	track->port = (uint16_t)perron_sensor_number(config, options, "port");
	track->evaluator = (uint32_t)perron_sensor_number(config, options, "evaluator");
	track->cycle_ns = (uint64_t)perron_sensor_number(config, options, "cycle");
	return 0;
}

static uint64_t silence_deadline_ns(const struct track *track, uint64_t now_ns)
{
	return now_ns + SILENCE_CYCLE_COUNT * track->cycle_ns;
}

static int track_fail(const struct track *track, int error_number, char *error, size_t error_size)
{
	char address[INET_ADDRSTRLEN];
	struct in_addr in = {.s_addr = htonl(track->address)};

	inet_ntop(AF_INET, &in, address, sizeof(address));
	snprintf(error, error_size, "UDP %s:%u: %s", address, track->port,
		 error_number == EADDRINUSE	 ? "in use; expected a port of its own"
		 : error_number == EADDRNOTAVAIL ? "no such address on this machine"
		 : error_number == EACCES	 ? "permission denied; expected a port above 1023"
						 : strerror(error_number));
	return -error_number;
}

static int track_open(struct perron_sensor *sensor, uint64_t now_ns, char *error, size_t error_size)
{
	struct track *track = sensor->data;
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(track->port),
				      .sin_addr.s_addr = htonl(track->address)};

	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return track_fail(track, errno, error, error_size);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int result = track_fail(track, errno, error, error_size);
		close(fd);
		return result;
	}
	sensor->fd = fd;
	sensor->deadline_ns = silence_deadline_ns(track, now_ns);
	return 0;
}

static void track_close(struct perron_sensor *sensor)
{
	if (sensor->fd >= 0)
		close(sensor->fd);
	sensor->fd = -1;
}

static void reading_update(struct perron_sensor *sensor, const struct perron_track_telegram *t)
{
	struct perron_sensor_reading reading = {
	    .kind = PERRON_SENSOR_READING_TRACK,
	    .track = {.evaluator = t->evaluator,
		      .section_count = t->section_count,
		      .cycle_ms = t->cycle_ms},
	};

	for (uint32_t i = 0; i < t->section_count; i++) {
		reading.track.occupied_count += t->sections[i].state == PERRON_TRACK_OCCUPIED;
		reading.track.disturbed_count += t->sections[i].state == PERRON_TRACK_DISTURBED;
		reading.track.axle_count += t->sections[i].axle_count;
	}
	perron_sensor_set_reading(sensor, &reading);
}

/* Whether the telegram is from the right sender and newer than the last; else it is counted. */
static bool track_accept(struct perron_sensor *sensor, const struct perron_track_telegram *t)
{
	struct track *track = sensor->data;
	uint32_t missed = 0;

	if (track->evaluator != 0 && t->evaluator != track->evaluator) {
		perron_sensor_count_bad(sensor, PERRON_SENSOR_BAD_STRANGER);
		return false;
	}
	if (track->heard) {
		switch (perron_track_order_of(track->epoch, track->sequence, t->epoch, t->sequence,
					      &missed)) {
		case PERRON_TRACK_REPEATED:
			perron_sensor_count_bad(sensor, PERRON_SENSOR_BAD_REPEATED);
			return false;
		case PERRON_TRACK_OUT_OF_ORDER:
			perron_sensor_count_bad(sensor, PERRON_SENSOR_BAD_OUT_OF_ORDER);
			return false;
		case PERRON_TRACK_RESTARTED:
		case PERRON_TRACK_NEXT:
			break;
		}
	}
	perron_sensor_count(&sensor->counters.missed, missed);
	track->heard = true;
	track->evaluator = t->evaluator;
	track->epoch = t->epoch;
	track->sequence = t->sequence;
	track->cycle_ns = t->cycle_ms * PERRON_NS_PER_MS;
	return true;
}

static void track_datagram(struct perron_sensor *sensor, uint64_t now_ns,
			   const struct perron_sensor_sink *sink, const uint8_t *data,
			   uint32_t size)
{
	static const enum perron_sensor_bad causes[] = {
	    [PERRON_TRACK_FRAMING] = PERRON_SENSOR_BAD_FRAMING,
	    [PERRON_TRACK_OVERSIZE] = PERRON_SENSOR_BAD_OVERSIZE,
	    [PERRON_TRACK_VERSION_OTHER] = PERRON_SENSOR_BAD_VERSION,
	    [PERRON_TRACK_CHECKSUM] = PERRON_SENSOR_BAD_CHECKSUM,
	    [PERRON_TRACK_MALFORMED] = PERRON_SENSOR_BAD_MALFORMED,
	};
	struct perron_track_telegram telegram;

	enum perron_track_result result = perron_track_decode(data, size, &telegram);
	if (result != PERRON_TRACK_GOOD) {
		perron_sensor_count_bad(sensor, causes[result]);
		return;
	}
	if (!track_accept(sensor, &telegram))
		return;
	if (sensor->state == PERRON_SENSOR_SILENT)
		perron_sensor_set_state(sensor, PERRON_SENSOR_OPEN, "", 0);
	sensor->deadline_ns = silence_deadline_ns(sensor->data, now_ns);
	reading_update(sensor, &telegram);
	perron_sensor_give(sensor, sink, now_ns, data, size);
}

static int track_read(struct perron_sensor *sensor, uint64_t now_ns,
		      const struct perron_sensor_sink *sink)
{
	const struct track *track = sensor->data;
	uint8_t data[PERRON_TRACK_SIZE_MAX + 1]; /* one more, to see what is too long */

	for (uint32_t i = 0; i < READ_COUNT_MAX; i++) {
		struct sockaddr_in from;
		socklen_t from_size = sizeof(from);
		ssize_t size = recvfrom(sensor->fd, data, sizeof(data), 0, (struct sockaddr *)&from,
					&from_size);
		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (size < 0)
			return -errno;
		if (track->from != 0 && ntohl(from.sin_addr.s_addr) != track->from)
			perron_sensor_count_bad(sensor, PERRON_SENSOR_BAD_STRANGER);
		else
			track_datagram(sensor, now_ns, sink, data, (uint32_t)size);
	}
	if (now_ns >= sensor->deadline_ns) {
		sensor->deadline_ns = PERRON_SENSOR_NEVER;
		perron_sensor_count(&sensor->counters.silences, 1);
		perron_sensor_set_state(sensor, PERRON_SENSOR_SILENT,
					"no telegram for three cycles", 0);
	}
	return 0;
}

const struct perron_sensor_api perron_sensor_track = {
    .name = "track",
    .summary = "axle counter telegrams over UDP, docs/track-telegram.md",
    .options = options,
    .data_size = sizeof(struct track),
    .prepare = track_prepare,
    .open = track_open,
    .read = track_read,
    .close = track_close,
};
