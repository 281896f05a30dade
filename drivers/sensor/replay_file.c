#include "drivers/sensor/replay_file.h"

#include <string.h>

#define DAY_MS	  86400000u
#define NS_PER_MS 1000000ull
/* Times that fall by less than this are a receiver's hiccup, by more a new day. */
#define MIDNIGHT_MS (DAY_MS / 2)

struct line {
	const uint8_t *text;
	uint64_t size;	/* without its end */
	uint64_t whole; /* with it */
};

const char *perron_replay_result_name(enum perron_replay_result result)
{
	static const char *const names[] = {
#define X(name, text) text,
	    PERRON_REPLAY_RESULTS(X)
#undef X
	};
	return names[result];
}

/* The next line that says something; false at the end. */
static bool line_next(struct perron_replay_file *file, struct line *out)
{
	while (file->offset < file->size) {
		const uint8_t *start = file->bytes + file->offset;
		uint64_t left = file->size - file->offset;
		const uint8_t *end = memchr(start, '\n', left);

		out->text = start;
		out->whole = end ? (uint64_t)(end - start) + 1 : left;
		out->size = end ? out->whole - 1 : left;
		if (out->size > 0 && start[out->size - 1] == '\r')
			out->size--;
		file->offset += out->whole;
		file->line++;
		if (out->size > 0 && start[0] != '#')
			return true;
	}
	return false;
}

void perron_replay_file_rewind(struct perron_replay_file *file)
{
	file->offset = 0;
	file->line = 0;
	file->at_ns = 0;
	file->has_day_ms = false;
}

void perron_replay_file_init(struct perron_replay_file *file, const uint8_t *bytes, uint64_t size,
			     enum perron_replay_format format, uint8_t *buffer,
			     uint32_t buffer_size)
{
	struct line first;

	*file = (struct perron_replay_file){.bytes = bytes,
					    .size = size,
					    .format = format,
					    .buffer = buffer,
					    .buffer_size = buffer_size};
	if (format != PERRON_REPLAY_AUTO)
		return;
	bool sentence = line_next(file, &first) && first.text[0] == '$';
	file->format = sentence ? PERRON_REPLAY_NMEA : PERRON_REPLAY_TIMED;
	perron_replay_file_rewind(file);
}

static void time_set(struct perron_replay_file *file, uint64_t at_ns)
{
	PERRON_ASSERT(at_ns >= file->at_ns);
	if (at_ns > file->at_ns)
		file->step_ns = at_ns - file->at_ns;
	file->at_ns = at_ns;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_pair(const uint8_t *text, uint64_t size)
{
	int high = size >= 2 ? hex_digit(text[0]) : -1;
	int low = high < 0 ? -1 : hex_digit(text[1]);

	return low < 0 ? -1 : high * 16 + low;
}

static enum perron_replay_result hex_decode(struct perron_replay_file *file, const uint8_t *text,
					    uint64_t size, uint32_t *used)
{
	for (; size > 0; text += 2, size -= 2) {
		int byte = hex_pair(text, size);
		if (byte < 0)
			return PERRON_REPLAY_BAD_DATA;
		if (*used == file->buffer_size)
			return PERRON_REPLAY_BAD_SIZE;
		file->buffer[(*used)++] = (uint8_t)byte;
	}
	return PERRON_REPLAY_RECORD;
}

/* One escape after its backslash: how many characters it took, 0 if it is none. */
static uint32_t escape_decode(const uint8_t *text, uint64_t size, uint8_t *out)
{
	static const char letters[] = "rnt\"\\";
	static const uint8_t values[] = {'\r', '\n', '\t', '"', '\\'};

	if (size > 0 && text[0] == 'x') {
		int byte = hex_pair(text + 1, size - 1);
		*out = byte < 0 ? 0 : (uint8_t)byte;
		return byte < 0 ? 0 : 3;
	}
	const char *letter = size > 0 ? memchr(letters, text[0], sizeof(letters) - 1) : NULL;
	*out = letter ? values[letter - letters] : 0;
	return letter ? 1 : 0;
}

/* `text` starts after the opening quote. */
static enum perron_replay_result quoted_decode(struct perron_replay_file *file, const uint8_t *text,
					       uint64_t size, uint32_t *used)
{
	if (size == 0 || text[size - 1] != '"')
		return PERRON_REPLAY_BAD_DATA;
	size--;
	while (size > 0) {
		uint8_t byte = *text;
		uint32_t taken = 1;

		if (byte == '"')
			return PERRON_REPLAY_BAD_DATA;
		if (byte == '\\') {
			uint32_t escape = escape_decode(text + 1, size - 1, &byte);
			if (escape == 0)
				return PERRON_REPLAY_BAD_DATA;
			taken += escape;
		}
		if (*used == file->buffer_size)
			return PERRON_REPLAY_BAD_SIZE;
		file->buffer[(*used)++] = byte;
		text += taken;
		size -= taken;
	}
	return PERRON_REPLAY_RECORD;
}

static enum perron_replay_result timed_decode(struct perron_replay_file *file,
					      const struct line *line,
					      struct perron_replay_record *out)
{
	uint64_t at_ns = 0, i = 0;
	uint32_t used = 0;

	for (; i < line->size && line->text[i] >= '0' && line->text[i] <= '9'; i++) {
		/* a century is enough, and leaves room to add */
		if (at_ns > 315360000000000000ull)
			return PERRON_REPLAY_BAD_TIME;
		at_ns = at_ns * 10 + (uint64_t)(line->text[i] - '0');
	}
	if (i == 0 || i == line->size || line->text[i] != ' ')
		return PERRON_REPLAY_BAD_TIME;
	if (at_ns < file->at_ns)
		return PERRON_REPLAY_BAD_ORDER;
	const uint8_t *data = line->text + i + 1;
	uint64_t size = line->size - i - 1;
	enum perron_replay_result result = PERRON_REPLAY_BAD_DATA;
	if (size > 0 && data[0] == '"')
		result = quoted_decode(file, data + 1, size - 1, &used);
	else if (size > 0)
		result = hex_decode(file, data, size, &used);
	if (result != PERRON_REPLAY_RECORD)
		return result;
	time_set(file, at_ns);
	*out = (struct perron_replay_record){at_ns, file->buffer, used};
	return PERRON_REPLAY_RECORD;
}

/* A time of day against the last one, so that the record's time never falls. */
static void day_time_set(struct perron_replay_file *file, uint32_t day_ms)
{
	if (file->has_day_ms) {
		uint32_t ahead_ms = (day_ms + DAY_MS - file->day_ms) % DAY_MS;
		if (ahead_ms >= MIDNIGHT_MS)
			return;
		time_set(file, file->at_ns + ahead_ms * NS_PER_MS);
	}
	file->has_day_ms = true;
	file->day_ms = day_ms;
}

static enum perron_replay_result nmea_decode(struct perron_replay_file *file,
					     const struct line *line,
					     struct perron_replay_record *out)
{
	struct perron_nmea_sentence sentence;
	uint32_t size = line->whole > UINT32_MAX ? UINT32_MAX : (uint32_t)line->whole;

	memset(&file->fix, 0, sizeof(file->fix));
	enum perron_nmea_result result = perron_nmea_decode(line->text, size, &sentence);
	if (result == PERRON_NMEA_GOOD)
		result = perron_nmea_fix_of(&sentence, &file->fix);
	if (result == PERRON_NMEA_GOOD && file->fix.has_time)
		day_time_set(file, file->fix.time_of_day_ms % DAY_MS);
	*out = (struct perron_replay_record){file->at_ns, line->text, size};
	if (result == PERRON_NMEA_CHECKSUM)
		return PERRON_REPLAY_BAD_CHECKSUM;
	return result == PERRON_NMEA_GOOD ? PERRON_REPLAY_RECORD : PERRON_REPLAY_BAD_SENTENCE;
}

enum perron_replay_result perron_replay_file_next(struct perron_replay_file *file,
						  struct perron_replay_record *out)
{
	struct line line;

	PERRON_ASSERT(file->format != PERRON_REPLAY_AUTO);
	if (!line_next(file, &line))
		return PERRON_REPLAY_END;
	return file->format == PERRON_REPLAY_NMEA ? nmea_decode(file, &line, out)
						  : timed_decode(file, &line, out);
}

uint64_t perron_replay_file_period_ns(const struct perron_replay_file *file)
{
	uint64_t step_ns = file->step_ns < NS_PER_MS ? NS_PER_MS : file->step_ns;

	/* Nothing said when: a second for each run. */
	return file->at_ns == 0 ? 1000 * NS_PER_MS : file->at_ns + step_ns;
}
