#include "apps/libperron/assembly.h"

#include <string.h>

#include "overlay/path.h"

struct part {
	const uint8_t *data;
	uint32_t size;
};

static struct part part_of(const uint8_t *frame, const struct perron_header *header)
{
	struct part part = {frame + PERRON_HEADER_SIZE, header->length};

	if (header->flags & PERRON_FLAG_TRACE) {
		PERRON_ASSERT(header->length >= PERRON_TRACE_SIZE);
		part.data += PERRON_TRACE_SIZE;
		part.size -= PERRON_TRACE_SIZE;
	}
	return part;
}

static void broken_count(struct perron_assembly *a, uint64_t first, uint64_t start)
{
	a->count = 0;
	if (first < start || first == a->broken)
		return;
	a->broken = first;
	a->messages_lost++;
}

/* The frame is the one that the message needs now. */
static bool part_fits(const struct perron_assembly *a, const struct perron_header *header)
{
	return a->count && header->sequence == a->first + a->next &&
	       header->fragment_index == a->next && header->fragment_count == a->count;
}

static void complete(struct perron_assembly *a, uint64_t start, struct perron_assembled *out)
{
	uint64_t before = a->given_end ? a->given_end : start;

	PERRON_ASSERT(a->first >= before);
	out->frame_count = a->count;
	out->sequence = a->first;
	out->lost_before = 0;
	if (perron_sequence_life(a->first) == perron_sequence_life(before))
		out->lost_before = a->first - before;
	a->given_end = a->first + a->count;
	a->count = 0;
	a->messages++;
}

bool perron_assembly_take(struct perron_assembly *a, const uint8_t *frame,
			  const struct perron_header *header, uint64_t start,
			  struct perron_assembled *out)
{
	struct part part = part_of(frame, header);

	if (a->count && !part_fits(a, header))
		broken_count(a, a->first, start);
	if (!a->count && header->fragment_index > 0) {
		broken_count(a, header->sequence - header->fragment_index, start);
		return false;
	}
	if (!a->count) {
		a->count = header->fragment_count;
		a->next = 0;
		a->first = header->sequence;
		a->size = 0;
	}
	if (a->count == 1) {
		out->data = part.data;
		out->size = part.size;
		complete(a, start, out);
		return true;
	}
	PERRON_ASSERT(a->size + part.size <= PERRON_MESSAGE_SIZE_MAX);
	memcpy(a->data + a->size, part.data, part.size);
	a->size += part.size;
	if (++a->next < a->count)
		return false;
	out->data = a->data;
	out->size = a->size;
	complete(a, start, out);
	return true;
}
