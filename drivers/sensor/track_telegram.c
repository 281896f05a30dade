#include "drivers/sensor/track_telegram.h"

#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/frame.h"

#define HEADER_AND_CHECK (PERRON_TRACK_HEADER_SIZE + PERRON_TRACK_CHECK_SIZE + 0u)

static bool section_valid(const struct perron_track_section *s, uint16_t reserved)
{
	bool clear = s->state == PERRON_TRACK_CLEAR;

	if (s->id == 0 || reserved != 0 || s->state >= PERRON_TRACK_STATE_COUNT ||
	    s->direction >= PERRON_TRACK_DIRECTION_COUNT)
		return false;
	if (clear && (s->axle_count != 0 || s->direction != PERRON_TRACK_DIRECTION_NONE))
		return false;
	return s->state != PERRON_TRACK_OCCUPIED || s->axle_count != 0;
}

static bool section_read(struct perron_reader *r, struct perron_track_section *s)
{
	s->id = perron_read32(r);
	s->state = perron_read8(r);
	s->direction = perron_read8(r);
	s->axle_count = perron_read16(r);
	s->speed_cm_s = perron_read16(r);
	uint16_t reserved = perron_read16(r);
	s->age_ms = perron_read32(r);
	return section_valid(s, reserved);
}

/* Length, version and check; the fields come after. */
static enum perron_track_result frame_check(const uint8_t *data, uint32_t size)
{
	if (size > PERRON_TRACK_SIZE_MAX)
		return PERRON_TRACK_OVERSIZE;
	if (size < HEADER_AND_CHECK || perron_load32(data) != PERRON_TRACK_MAGIC)
		return PERRON_TRACK_FRAMING;
	if (data[4] != PERRON_TRACK_VERSION)
		return PERRON_TRACK_VERSION_OTHER;
	uint32_t body_size = size - PERRON_TRACK_CHECK_SIZE;
	if (perron_load16(data + 6) != size)
		return PERRON_TRACK_FRAMING;
	return perron_load32(data + body_size) == perron_crc32c(0, data, body_size)
		   ? PERRON_TRACK_GOOD
		   : PERRON_TRACK_CHECKSUM;
}

enum perron_track_result perron_track_decode(const uint8_t *data, uint32_t size,
					     struct perron_track_telegram *out)
{
	enum perron_track_result result = frame_check(data, size);

	if (result != PERRON_TRACK_GOOD)
		return result;
	struct perron_reader r = perron_reader_of(data, size - PERRON_TRACK_CHECK_SIZE);
	(void)perron_read_bytes(&r, 5); /* magic, version */
	out->section_count = perron_read8(&r);
	(void)perron_read16(&r); /* size */
	out->evaluator = perron_read32(&r);
	out->epoch = perron_read32(&r);
	out->sequence = perron_read32(&r);
	out->time_ns = perron_read64(&r);
	out->cycle_ms = perron_read16(&r);
	uint16_t reserved = perron_read16(&r);
	if (out->evaluator == 0 || reserved != 0 || out->section_count == 0 ||
	    out->section_count > PERRON_TRACK_SECTION_COUNT_MAX ||
	    out->cycle_ms < PERRON_TRACK_CYCLE_MS_MIN || out->cycle_ms > PERRON_TRACK_CYCLE_MS_MAX)
		return PERRON_TRACK_MALFORMED;
	for (uint32_t i = 0; i < out->section_count; i++) {
		if (!section_read(&r, &out->sections[i]))
			return PERRON_TRACK_MALFORMED;
	}
	return perron_reader_done(&r) ? PERRON_TRACK_GOOD : PERRON_TRACK_MALFORMED;
}

uint32_t perron_track_encode(uint8_t *data, const struct perron_track_telegram *t)
{
	struct perron_writer w = perron_writer_of(data, PERRON_TRACK_SIZE_MAX);
	uint32_t size = HEADER_AND_CHECK + (uint32_t)t->section_count * PERRON_TRACK_SECTION_SIZE;

	PERRON_ASSERT(t->section_count > 0 && t->section_count <= PERRON_TRACK_SECTION_COUNT_MAX);
	perron_write32(&w, PERRON_TRACK_MAGIC);
	perron_write8(&w, PERRON_TRACK_VERSION);
	perron_write8(&w, t->section_count);
	perron_write16(&w, (uint16_t)size);
	perron_write32(&w, t->evaluator);
	perron_write32(&w, t->epoch);
	perron_write32(&w, t->sequence);
	perron_write64(&w, t->time_ns);
	perron_write16(&w, t->cycle_ms);
	perron_write16(&w, 0);
	for (uint32_t i = 0; i < t->section_count; i++) {
		const struct perron_track_section *s = &t->sections[i];
		perron_write32(&w, s->id);
		perron_write8(&w, s->state);
		perron_write8(&w, s->direction);
		perron_write16(&w, s->axle_count);
		perron_write16(&w, s->speed_cm_s);
		perron_write16(&w, 0);
		perron_write32(&w, s->age_ms);
	}
	perron_write32(&w, perron_crc32c(0, data, perron_writer_size(&w)));
	PERRON_ASSERT(!w.failed && perron_writer_size(&w) == size);
	return size;
}

enum perron_track_order perron_track_order_of(uint32_t last_epoch, uint32_t last_sequence,
					      uint32_t epoch, uint32_t sequence, uint32_t *missed)
{
	uint32_t ahead = sequence - last_sequence;

	*missed = 0;
	if (epoch != last_epoch)
		return epoch - last_epoch < UINT32_MAX / 2 ? PERRON_TRACK_RESTARTED
							   : PERRON_TRACK_OUT_OF_ORDER;
	if (ahead == 0)
		return PERRON_TRACK_REPEATED;
	if (ahead >= UINT32_MAX / 2)
		return PERRON_TRACK_OUT_OF_ORDER;
	*missed = ahead - 1;
	return PERRON_TRACK_NEXT;
}
