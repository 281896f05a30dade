/*
 * The serial driver: a tty's bytes made into messages (framing.h), raw or as NMEA sentences that
 * must check out. The loop opens it again after an unplug: read then fails with EIO or ends.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drivers/sensor/driver.h"
#include "drivers/sensor/drivers.h"
#include "drivers/sensor/framing.h"
#include "drivers/sensor/nmea.h"
#include "platform/tty.h"

/* Reads of one turn at most: 8 x 4 KiB is 80 ms of the fastest line. */
#define READ_COUNT_MAX 8
#define READ_SIZE      4096

enum { DECODER_RAW, DECODER_NMEA };

static const struct perron_option options[] = {
    {"device", PERRON_OPTION_TEXT, NULL, "the tty, e.g. /dev/ttyUSB0"},
    {"speed", PERRON_OPTION_INTEGER, "9600", "bit/s", .min = 50, .max = 4000000},
    {"parity", PERRON_OPTION_CHOICE, "none", "parity", .choices = "none|even|odd"},
    {"data_bits", PERRON_OPTION_INTEGER, "8", "bits of a character", .min = 5, .max = 8},
    {"stop_bits", PERRON_OPTION_INTEGER, "1", "stop bits", .min = 1, .max = 2},
    {"rs485", PERRON_OPTION_BOOLEAN, "no", "half duplex, RTS drives the line"},
    {"framing", PERRON_OPTION_CHOICE, "delimiter", "what ends a message",
     .choices = "delimiter|length|gap"},
    {"delimiter", PERRON_OPTION_TEXT, "\\n", "its last bytes, 1 to 8, with \\r \\n \\t \\xHH"},
    {"length", PERRON_OPTION_INTEGER, "0", "bytes of a message, for framing: length", .min = 0,
     .max = PERRON_SENSOR_MESSAGE_SIZE_MAX},
    {"gap", PERRON_OPTION_DURATION, "0ms",
     "silence that ends a message (framing: gap) or drops an unfinished one; 0ms: none", .min = 0,
     .max = 60000000000},
    {"size_max", PERRON_OPTION_SIZE, "1024", "longer messages are dropped", .min = 1,
     .max = PERRON_SENSOR_MESSAGE_SIZE_MAX},
    {"decoder", PERRON_OPTION_CHOICE, "raw", "what a message must be", .choices = "raw|nmea"},
    {"optional", PERRON_OPTION_BOOLEAN, "no", "start without the tty if it is not there"},
    {NULL},
};

struct serial {
	struct perron_tty_config tty;
	uint32_t decoder;
	uint32_t mark_state;
	struct perron_framing framing;
	uint8_t *buffer;
	uint64_t stamp_ns;
	struct perron_sensor *sensor;
	const struct perron_sensor_sink *sink;
};

static int64_t number(const struct perron_sensor_config *config, const char *name)
{
	return perron_sensor_number(config, options, name);
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* One escape after its backslash: how many characters it took, 0 if it is none. */
static uint32_t escape_parse(const char *text, uint8_t *out)
{
	static const char letters[] = "rnt0\\";
	static const uint8_t values[] = {'\r', '\n', '\t', '\0', '\\'};

	if (text[0] == 'x') {
		int high = hex_digit(text[1]);
		int low = high < 0 ? -1 : hex_digit(text[2]);
		*out = low < 0 ? 0 : (uint8_t)(high * 16 + low);
		return low < 0 ? 0 : 3;
	}
	const char *letter = text[0] ? strchr(letters, text[0]) : NULL;
	*out = letter ? values[letter - letters] : 0;
	return letter ? 1 : 0;
}

static bool delimiter_parse(const char *text, struct perron_framing_config *out)
{
	out->delimiter_size = 0;
	while (*text && out->delimiter_size < PERRON_FRAMING_DELIMITER_SIZE_MAX) {
		uint8_t byte = (uint8_t)*text++;
		uint32_t used = byte == '\\' ? escape_parse(text, &byte) : 0;

		if (text[-1] == '\\' && used == 0)
			return false;
		text += used;
		out->delimiter[out->delimiter_size++] = byte;
	}
	return *text == '\0' && out->delimiter_size > 0;
}

static bool framing_configure(const struct perron_sensor_config *config,
			      struct perron_framing_config *out)
{
	*out = (struct perron_framing_config){
	    .mode = (enum perron_framing_mode)number(config, "framing"),
	    .length = (uint32_t)number(config, "length"),
	    .gap_ns = (uint64_t)number(config, "gap"),
	    .size_max = (uint32_t)number(config, "size_max"),
	};
	return delimiter_parse(perron_sensor_text(config, options, "delimiter"), out);
}

static int serial_check(const struct perron_sensor_config *config, char *error, size_t error_size)
{
	struct perron_framing_config framing;
	const char *wrong = NULL;
	char speeds[256], text[320];

	if (!framing_configure(config, &framing))
		wrong =
		    "'delimiter' is no delimiter; expected 1 to 8 bytes, such as \\r\\n or \\x03";
	else if (number(config, "decoder") == DECODER_NMEA &&
		 framing.mode != PERRON_FRAMING_DELIMITER)
		wrong = "decoder: nmea needs framing: delimiter; expected the sentence's \\n";
	else if (framing.mode == PERRON_FRAMING_LENGTH && framing.length == 0)
		wrong = "framing: length needs 'length'; expected the bytes of a message";
	else if (framing.mode == PERRON_FRAMING_LENGTH && framing.length > framing.size_max)
		wrong = "'length' is over 'size_max'; expected size_max to be at least as large";
	else if (framing.mode == PERRON_FRAMING_GAP && framing.gap_ns == 0)
		wrong = "framing: gap needs 'gap'; expected a duration, such as 20ms";
	if (!wrong && !perron_tty_speed_known((uint32_t)number(config, "speed"))) {
		perron_tty_speeds_print(speeds, sizeof(speeds));
		snprintf(text, sizeof(text),
			 "'speed' %lld is no standard speed; expected one of %s",
			 (long long)number(config, "speed"), speeds);
		wrong = text;
	}
	if (!wrong)
		return 0;
	snprintf(error, error_size, "%s", wrong);
	return -EINVAL;
}

static int serial_prepare(struct perron_sensor *sensor, char *error, size_t error_size)
{
	const struct perron_sensor_config *config = sensor->config;
	struct serial *serial = sensor->data;
	struct perron_framing_config framing;

	if (!framing_configure(config, &framing))
		return serial_check(config, error, error_size);
	serial->buffer = malloc(framing.size_max);
	if (!serial->buffer) {
		snprintf(error, error_size, "no memory for messages of %u bytes", framing.size_max);
		return -ENOMEM;
	}
	perron_framing_init(&serial->framing, &framing, serial->buffer);
	serial->tty = (struct perron_tty_config){
	    .device = perron_sensor_text(config, options, "device"),
	    .speed = (uint32_t)number(config, "speed"),
	    .data_bits = (uint8_t)number(config, "data_bits"),
	    .parity = (uint8_t)number(config, "parity"),
	    .stop_bits = (uint8_t)number(config, "stop_bits"),
	    .rs485 = number(config, "rs485") != 0,
	    .mark_errors = true,
	};
	serial->decoder = (uint32_t)number(config, "decoder");
	serial->sensor = sensor;
	return 0;
}

static void serial_release(struct perron_sensor *sensor)
{
	struct serial *serial = sensor->data;

	free(serial->buffer);
	serial->buffer = NULL;
}

static int serial_open(struct perron_sensor *sensor, uint64_t now_ns, char *error,
		       size_t error_size)
{
	struct serial *serial = sensor->data;

	(void)now_ns;
	int fd = perron_tty_open(&serial->tty, error, error_size);
	if (fd < 0)
		return fd;
	perron_framing_reset(&serial->framing);
	serial->mark_state = 0;
	sensor->fd = fd;
	sensor->deadline_ns = PERRON_SENSOR_NEVER;
	return 0;
}

static void serial_close(struct perron_sensor *sensor)
{
	if (sensor->fd >= 0)
		perron_tty_close(sensor->fd);
	sensor->fd = -1;
}

static bool nmea_accept(struct serial *serial, const uint8_t *data, uint32_t size)
{
	static const enum perron_sensor_bad causes[] = {
	    [PERRON_NMEA_FRAMING] = PERRON_SENSOR_BAD_FRAMING,
	    [PERRON_NMEA_OVERSIZE] = PERRON_SENSOR_BAD_OVERSIZE,
	    [PERRON_NMEA_CHECKSUM] = PERRON_SENSOR_BAD_CHECKSUM,
	    [PERRON_NMEA_MALFORMED] = PERRON_SENSOR_BAD_MALFORMED,
	};
	struct perron_nmea_sentence sentence;
	struct perron_nmea_fix fix;
	struct perron_sensor_reading reading = serial->sensor->reading;

	enum perron_nmea_result result = perron_nmea_decode(data, size, &sentence);
	if (result == PERRON_NMEA_GOOD)
		result = perron_nmea_fix_of(&sentence, &fix);
	if (result != PERRON_NMEA_GOOD) {
		perron_sensor_count_bad(serial->sensor, causes[result]);
		return false;
	}
	if (perron_sensor_reading_of_fix(&reading, &fix))
		perron_sensor_set_reading(serial->sensor, &reading);
	return true;
}

static void serial_message(void *context, const uint8_t *data, uint32_t size)
{
	struct serial *serial = context;

	if (serial->decoder == DECODER_NMEA && !nmea_accept(serial, data, size))
		return;
	perron_sensor_give(serial->sensor, serial->sink, serial->stamp_ns, data, size);
}

/* Bytes as the tty gave them, with its marks taken out. */
static void serial_bytes(struct serial *serial, uint64_t now_ns, const uint8_t *data, uint32_t size)
{
	uint8_t plain[READ_SIZE];
	uint32_t used = 0;

	for (uint32_t i = 0; i < size; i++) {
		uint8_t byte;
		enum perron_tty_mark mark = perron_tty_unmark(&serial->mark_state, data[i], &byte);
		if (mark == PERRON_TTY_MARK_BYTE)
			plain[used++] = byte;
		if (mark != PERRON_TTY_MARK_ERROR)
			continue;
		perron_framing_input(&serial->framing, now_ns, plain, used, serial_message, serial);
		used = 0;
		perron_framing_damage(&serial->framing, now_ns);
		perron_sensor_count_bad(serial->sensor, PERRON_SENSOR_BAD_LINE);
	}
	perron_framing_input(&serial->framing, now_ns, plain, used, serial_message, serial);
}

static int serial_read(struct perron_sensor *sensor, uint64_t now_ns,
		       const struct perron_sensor_sink *sink)
{
	struct serial *serial = sensor->data;
	struct perron_framing *framing = &serial->framing;
	uint64_t oversize = framing->oversize, cut = framing->cut;
	uint8_t data[READ_SIZE];
	int result = 0;

	serial->sink = sink;
	serial->stamp_ns = now_ns;
	for (uint32_t i = 0; i < READ_COUNT_MAX; i++) {
		ssize_t size = read(sensor->fd, data, sizeof(data));
		if (size > 0) {
			serial_bytes(serial, now_ns, data, (uint32_t)size);
			continue;
		}
		/* 0 is a line that hung up. */
		if (size == 0)
			result = -EIO;
		else if (errno != EAGAIN && errno != EINTR)
			result = -errno;
		break;
	}
	perron_framing_tick(framing, now_ns, serial_message, serial);
	perron_sensor_count(&sensor->counters.bad[PERRON_SENSOR_BAD_OVERSIZE],
			    framing->oversize - oversize);
	perron_sensor_count(&sensor->counters.bad[PERRON_SENSOR_BAD_FRAMING], framing->cut - cut);
	sensor->deadline_ns = perron_framing_deadline_ns(framing);
	return result;
}

const struct perron_sensor_api perron_sensor_serial = {
    .name = "serial",
    .summary = "a serial line, RS-232 or RS-485, raw or NMEA 0183",
    .options = options,
    .data_size = sizeof(struct serial),
    .check = serial_check,
    .prepare = serial_prepare,
    .open = serial_open,
    .read = serial_read,
    .close = serial_close,
    .release = serial_release,
};
