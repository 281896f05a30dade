/*
 * The frame's codec. Each input is decoded as it stands, and once more with its version, length
 * and both checks put right, for no random bytes get past a CRC. What decodes must encode to the
 * same bytes, and its trace block must be readable and take hops until it is full.
 */
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/frame.h"
#include "runtime/base/wire.h"
#include "test/fuzz/fuzz.h"

#define INPUT_SIZE_MAX (PERRON_FRAME_SIZE_MAX + 8)

/* Precondition: size >= PERRON_HEADER_SIZE. */
static void repair(uint8_t *data, uint32_t size)
{
	uint32_t skip = PERRON_HEADER_SIZE;

	if ((data[PERRON_WIRE(flags)] & PERRON_FLAG_TRACE) &&
	    size >= PERRON_HEADER_SIZE + PERRON_TRACE_SIZE)
		skip += PERRON_TRACE_SIZE;
	data[PERRON_WIRE(version)] = PERRON_FRAME_VERSION;
	perron_store16(data + PERRON_WIRE(length), (uint16_t)(size - PERRON_HEADER_SIZE));
	perron_store32(data + PERRON_WIRE(header_check),
		       perron_crc32c(0, data, PERRON_WIRE_CHECKED_SIZE));
	perron_store32(data + PERRON_WIRE(payload_check),
		       perron_crc32c(0, data + skip, size - skip));
}

static void encodes_back(const uint8_t *data, uint32_t size, const struct perron_header *header)
{
	uint8_t again[PERRON_FRAME_SIZE_MAX];

	PERRON_ASSERT(size <= sizeof(again));
	memcpy(again + PERRON_HEADER_SIZE, data + PERRON_HEADER_SIZE, size - PERRON_HEADER_SIZE);
	PERRON_ASSERT(perron_frame_encode(again, header) == size);
	PERRON_ASSERT(memcmp(again, data, size) == 0);
}

static void trace_fills(uint8_t *data)
{
	struct perron_trace_record record = {.peer = 7, .received_ns = 1, .step_ns = 2};
	struct perron_trace_record read;
	uint32_t count = perron_trace_count(data);

	for (uint32_t i = 0; i < count; i++)
		perron_trace_read(data, i, &read);
	while (perron_trace_add(data, &record))
		count++;
	PERRON_ASSERT(count == PERRON_TRACE_HOP_COUNT_MAX);
	perron_trace_transmitted(data, 5);
}

static void frame_try(uint8_t *data, uint32_t size)
{
	struct perron_header header;
	struct perron_hop hop = {.source = 1, .destination = 2, .link_sequence = 3};
	enum perron_drop cause = perron_frame_decode(data, size, &header);

	PERRON_ASSERT(cause < PERRON_DROP_COUNT);
	if (cause != PERRON_DROP_NONE)
		return;
	encodes_back(data, size, &header);
	if (perron_frame_is_traced(data))
		trace_fills(data);
	perron_frame_readdress(data, &hop);
	PERRON_ASSERT(perron_frame_decode(data, size, &header) == PERRON_DROP_NONE);
	PERRON_ASSERT(header.source == 1 && perron_frame_destination(data) == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t copy[INPUT_SIZE_MAX];

	if (size > sizeof(copy))
		return 0;
	memcpy(copy, data, size);
	frame_try(copy, (uint32_t)size);
	if (size < PERRON_HEADER_SIZE)
		return 0;
	memcpy(copy, data, size);
	repair(copy, (uint32_t)size);
	frame_try(copy, (uint32_t)size);
	return 0;
}
