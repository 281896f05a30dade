#include "drivers/sensor/framing.h"

#include <string.h>

void perron_framing_init(struct perron_framing *f, const struct perron_framing_config *config,
			 uint8_t *buffer)
{
	PERRON_ASSERT(config->size_max > 0 && buffer);
	PERRON_ASSERT(config->mode != PERRON_FRAMING_DELIMITER ||
		      (config->delimiter_size > 0 &&
		       config->delimiter_size <= PERRON_FRAMING_DELIMITER_SIZE_MAX));
	PERRON_ASSERT(config->mode != PERRON_FRAMING_LENGTH ||
		      (config->length > 0 && config->length <= config->size_max));
	PERRON_ASSERT(config->mode != PERRON_FRAMING_GAP || config->gap_ns > 0);
	*f = (struct perron_framing){.config = *config, .buffer = buffer};
}

void perron_framing_reset(struct perron_framing *f)
{
	f->used = 0;
	f->matched = 0;
	f->discarding = false;
}

static bool under_way(const struct perron_framing *f)
{
	return f->used > 0 || f->discarding;
}

static void finish(struct perron_framing *f, perron_framing_message *message, void *context)
{
	PERRON_ASSERT(f->used <= f->config.size_max);
	if (!f->discarding && f->used > 0)
		message(context, f->buffer, f->used);
	perron_framing_reset(f);
}

static bool ends_in_delimiter(const struct perron_framing *f)
{
	uint32_t size = f->config.delimiter_size;

	return f->used >= size &&
	       memcmp(f->buffer + f->used - size, f->config.delimiter, size) == 0;
}

/* The last bytes are all that is kept of a message that is being discarded. */
static bool discarded_ends(struct perron_framing *f, uint8_t byte)
{
	const uint8_t *delimiter = f->config.delimiter;
	uint8_t tail[PERRON_FRAMING_DELIMITER_SIZE_MAX];
	uint32_t size = f->matched + 1;

	/* The longest beginning of the delimiter that matched + byte ends in. */
	memcpy(tail, delimiter, f->matched);
	tail[f->matched] = byte;
	for (uint32_t from = 0; from < size; from++) {
		if (memcmp(tail + from, delimiter, size - from) == 0) {
			f->matched = size - from;
			return f->matched == f->config.delimiter_size;
		}
	}
	f->matched = 0;
	return false;
}

static void discard(struct perron_framing *f)
{
	f->used = 0;
	f->matched = 0;
	f->discarding = true;
}

static void delimiter_byte(struct perron_framing *f, uint8_t byte, perron_framing_message *message,
			   void *context)
{
	if (f->discarding) {
		if (discarded_ends(f, byte))
			finish(f, message, context);
		return;
	}
	if (f->used == f->config.size_max) {
		uint8_t tail[PERRON_FRAMING_DELIMITER_SIZE_MAX];
		uint32_t size = f->config.delimiter_size - 1;

		/* The delimiter may have begun inside what fitted. */
		size = size < f->used ? size : f->used;
		memcpy(tail, f->buffer + f->used - size, size);
		f->oversize++;
		discard(f);
		for (uint32_t i = 0; i < size; i++)
			(void)discarded_ends(f, tail[i]);
		if (discarded_ends(f, byte))
			finish(f, message, context);
		return;
	}
	f->buffer[f->used++] = byte;
	if (ends_in_delimiter(f))
		finish(f, message, context);
}

static void length_input(struct perron_framing *f, const uint8_t *data, uint32_t size,
			 perron_framing_message *message, void *context)
{
	while (size > 0) {
		uint32_t wanted = f->config.length - f->used;
		uint32_t part = size < wanted ? size : wanted;
		/* A damaged message's bytes are counted too: its end is where it would be. */
		memcpy(f->buffer + f->used, data, part);
		f->used += part;
		data += part;
		size -= part;
		if (f->used == f->config.length)
			finish(f, message, context);
	}
}

static void gap_input(struct perron_framing *f, const uint8_t *data, uint32_t size)
{
	if (f->discarding)
		return;
	if (size > f->config.size_max - f->used) {
		f->oversize++;
		discard(f);
		return;
	}
	memcpy(f->buffer + f->used, data, size);
	f->used += size;
}

void perron_framing_tick(struct perron_framing *f, uint64_t now_ns, perron_framing_message *message,
			 void *context)
{
	if (!under_way(f) || now_ns < perron_framing_deadline_ns(f))
		return;
	if (f->config.mode != PERRON_FRAMING_GAP) {
		f->cut += !f->discarding;
		f->discarding = true;
	}
	finish(f, message, context);
}

void perron_framing_input(struct perron_framing *f, uint64_t now_ns, const uint8_t *data,
			  uint32_t size, perron_framing_message *message, void *context)
{
	if (size == 0)
		return;
	perron_framing_tick(f, now_ns, message, context);
	f->last_ns = now_ns;
	if (f->config.mode == PERRON_FRAMING_LENGTH)
		length_input(f, data, size, message, context);
	else if (f->config.mode == PERRON_FRAMING_GAP)
		gap_input(f, data, size);
	else
		for (uint32_t i = 0; i < size; i++)
			delimiter_byte(f, data[i], message, context);
	PERRON_ASSERT(f->used <= f->config.size_max);
}

void perron_framing_damage(struct perron_framing *f, uint64_t now_ns)
{
	f->last_ns = now_ns;
	if (f->config.mode != PERRON_FRAMING_LENGTH) {
		discard(f);
		return;
	}
	/* The damaged byte has its place in the length. */
	f->discarding = true;
	if (++f->used >= f->config.length)
		perron_framing_reset(f);
}

uint64_t perron_framing_deadline_ns(const struct perron_framing *f)
{
	if (f->config.gap_ns == 0 || !under_way(f))
		return UINT64_MAX;
	return f->last_ns + f->config.gap_ns;
}
