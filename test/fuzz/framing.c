/*
 * Framing and the tty's marks: any bytes, in any parts, at any times. The first bytes choose mode
 * and bounds; then each part is: milliseconds since the last, size, bytes. Every message keeps to
 * its bound, and ends as its mode says.
 */
#include <string.h>

#include "drivers/sensor/framing.h"
#include "platform/tty.h"
#include "test/fuzz/fuzz.h"

#define SETTINGS_SIZE 4
#define SIZE_MAX_MAX  64

static void message(void *context, const uint8_t *data, uint32_t size)
{
	const struct perron_framing_config *config = context;

	PERRON_ASSERT(size > 0 && size <= config->size_max);
	if (config->mode == PERRON_FRAMING_LENGTH)
		PERRON_ASSERT(size == config->length);
	if (config->mode == PERRON_FRAMING_DELIMITER)
		PERRON_ASSERT(size >= config->delimiter_size &&
			      memcmp(data + size - config->delimiter_size, config->delimiter,
				     config->delimiter_size) == 0);
}

static void bytes_give(struct perron_framing *f, uint64_t now_ns, uint32_t *mark_state,
		       const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint8_t byte;
		enum perron_tty_mark mark = perron_tty_unmark(mark_state, data[i], &byte);
		if (mark == PERRON_TTY_MARK_BYTE)
			perron_framing_input(f, now_ns, &byte, 1, message, &f->config);
		else if (mark == PERRON_TTY_MARK_ERROR)
			perron_framing_damage(f, now_ns);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct perron_framing_config config = {.delimiter = "\r\n\r", .gap_ns = 0};
	struct perron_framing framing;
	uint8_t buffer[SIZE_MAX_MAX];
	uint64_t now_ns = 0;
	uint32_t mark_state = 0;

	if (size < SETTINGS_SIZE)
		return 0;
	config.mode = (enum perron_framing_mode)(data[0] % 3);
	config.size_max = 1 + data[1] % SIZE_MAX_MAX;
	config.length = 1 + data[2] % config.size_max;
	config.delimiter_size = 1 + data[2] % 3u;
	config.gap_ns = data[3] + (config.mode == PERRON_FRAMING_GAP ? 1u : 0u);
	perron_framing_init(&framing, &config, buffer);
	for (size_t at = SETTINGS_SIZE; at + 2 <= size;) {
		size_t part = data[at + 1] < size - at - 2 ? data[at + 1] : size - at - 2;
		now_ns += data[at];
		perron_framing_tick(&framing, now_ns, message, &framing.config);
		if (data[at + 1] & 1)
			perron_framing_input(&framing, now_ns, data + at + 2, (uint32_t)part,
					     message, &framing.config);
		else
			bytes_give(&framing, now_ns, &mark_state, data + at + 2, part);
		at += 2 + part;
	}
	return 0;
}
