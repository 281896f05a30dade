/*
 * The frame's codec. Each input is decoded as it stands, and twice more with its version and both
 * checks put right, for no random bytes get past a CRC: once with the length it claims, once with
 * the true one. What decodes must encode to the same bytes, and its trace block must be readable
 * and take hops until it is full. Copies are of just the input's size, so that a sanitizer sees
 * a read past the end.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/frame.h"
#include "runtime/base/wire.h"
#include "test/fuzz/fuzz.h"

#define INPUT_SIZE_MAX (PERRON_FRAME_SIZE_MAX + 8)

/* Precondition: size >= PERRON_HEADER_SIZE. */
static void checks_repair(uint8_t *data, uint32_t size)
{
	uint32_t start = PERRON_HEADER_SIZE;
	uint32_t end = start + perron_load16(data + PERRON_WIRE(length));

	if (data[PERRON_WIRE(flags)] & PERRON_FLAG_TRACE)
		start += PERRON_TRACE_SIZE;
	end = end < size ? end : size;
	data[PERRON_WIRE(version)] = PERRON_FRAME_VERSION;
	perron_store32(data + PERRON_WIRE(header_check),
		       perron_crc32c(0, data, PERRON_WIRE_CHECKED_SIZE));
	if (start <= end)
		perron_store32(data + PERRON_WIRE(payload_check),
			       perron_crc32c(0, data + start, end - start));
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

	PERRON_ASSERT(data[PERRON_HEADER_SIZE] == count);
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

static void input_try(const uint8_t *data, uint32_t size, bool repaired, bool true_length)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	PERRON_ASSERT(copy != NULL);
	memcpy(copy, data, size);
	if (true_length)
		perron_store16(copy + PERRON_WIRE(length), (uint16_t)(size - PERRON_HEADER_SIZE));
	if (repaired)
		checks_repair(copy, size);
	frame_try(copy, size);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_SIZE_MAX)
		return 0;
	input_try(data, (uint32_t)size, false, false);
	if (size < PERRON_HEADER_SIZE)
		return 0;
	input_try(data, (uint32_t)size, true, false);
	input_try(data, (uint32_t)size, true, true);
	return 0;
}
