#include "runtime/base/frame.h"

#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/wire.h"

const char *perron_class_name(enum perron_class class)
{
	switch (class) {
#define X(name, text)                                                                              \
	case PERRON_CLASS_##name:                                                                  \
		return text;
		PERRON_CLASSES(X)
#undef X
	case PERRON_CLASS_COUNT:
		break;
	}
	return "unknown";
}

const char *perron_type_name(uint8_t type)
{
	switch (type) {
#define X(name, value, text)                                                                       \
	case value:                                                                                \
		return text;
		PERRON_FRAME_TYPES(X)
#undef X
	default:
		return "unknown";
	}
}

const char *perron_drop_name(enum perron_drop cause)
{
	switch (cause) {
#define X(name, text)                                                                              \
	case PERRON_DROP_##name:                                                                   \
		return text;
		PERRON_DROP_CAUSES(X)
#undef X
	case PERRON_DROP_COUNT:
		break;
	}
	return "unknown";
}

int perron_class_from_name(const char *name)
{
	PERRON_ASSERT(name);
#define X(value, text)                                                                             \
	if (strcmp(name, text) == 0)                                                               \
		return PERRON_CLASS_##value;
	PERRON_CLASSES(X)
#undef X
	return -1;
}

static bool type_is_known(uint8_t type)
{
	/* One bit a type, so that the hot path has a shift and not a jump. */
#define X(name, value, text) | UINT64_C(1) << (value)
	const uint64_t known = 0 PERRON_FRAME_TYPES(X);
#undef X
	return type < 64 && (known >> type & 1) != 0;
}

static uint32_t header_check(const uint8_t *data)
{
	return perron_crc32c(0, data, PERRON_WIRE_CHECKED_SIZE);
}

static void header_seal(uint8_t *data)
{
	perron_store32(data + PERRON_WIRE(header_check), header_check(data));
}

/* Each hop writes into the trace block, so the end-to-end check starts behind it. */
static uint32_t payload_check(const uint8_t *data, uint8_t flags, uint16_t length)
{
	uint32_t skip = (flags & PERRON_FLAG_TRACE) ? PERRON_TRACE_SIZE : 0;

	return perron_crc32c(0, data + PERRON_HEADER_SIZE + skip, length - skip);
}

static void header_load(const uint8_t *data, struct perron_header *out)
{
	out->type = data[PERRON_WIRE(type)];
	out->class = data[PERRON_WIRE(class)];
	out->flags = data[PERRON_WIRE(flags)];
	out->fragment_index = data[PERRON_WIRE(fragment_index)];
	out->fragment_count = data[PERRON_WIRE(fragment_count)];
	out->length = perron_load16(data + PERRON_WIRE(length));
	out->overlay = perron_load32(data + PERRON_WIRE(overlay));
	out->source = perron_load32(data + PERRON_WIRE(source));
	out->source_incarnation = perron_load32(data + PERRON_WIRE(source_incarnation));
	out->destination = perron_load32(data + PERRON_WIRE(destination));
	out->destination_incarnation = perron_load32(data + PERRON_WIRE(destination_incarnation));
	out->stream = perron_load32(data + PERRON_WIRE(stream));
	out->sequence = perron_load64(data + PERRON_WIRE(sequence));
	out->origin_ns = perron_load64(data + PERRON_WIRE(origin_ns));
	out->deadline_us = perron_load32(data + PERRON_WIRE(deadline_us));
	out->link_sequence = perron_load32(data + PERRON_WIRE(link_sequence));
	out->link_ack = perron_load32(data + PERRON_WIRE(link_ack));
}

/* What the fields must be whatever the frame's size; a sound check says that they were sent so. */
static enum perron_drop header_validate(const struct perron_header *h)
{
	if (!type_is_known(h->type))
		return PERRON_DROP_TYPE;
	if (h->class >= PERRON_CLASS_COUNT)
		return PERRON_DROP_CLASS;
	if (h->flags & ~PERRON_FLAGS_KNOWN)
		return PERRON_DROP_FLAGS;
	if (h->length > PERRON_PAYLOAD_SIZE_MAX)
		return PERRON_DROP_LENGTH;
	if ((h->flags & PERRON_FLAG_TRACE) && h->length < PERRON_TRACE_SIZE)
		return PERRON_DROP_LENGTH;
	if (h->fragment_count == 0 || h->fragment_count > PERRON_FRAGMENT_COUNT_MAX ||
	    h->fragment_index >= h->fragment_count)
		return PERRON_DROP_FRAGMENT;
	return PERRON_DROP_NONE;
}

static enum perron_drop payload_validate(const uint8_t *data, const struct perron_header *h)
{
	if (payload_check(data, h->flags, h->length) !=
	    perron_load32(data + PERRON_WIRE(payload_check)))
		return PERRON_DROP_PAYLOAD_CHECK;
	/* The block's head alone: its records are times that nobody decides by. */
	if ((h->flags & PERRON_FLAG_TRACE) &&
	    (data[PERRON_HEADER_SIZE] > PERRON_TRACE_HOP_COUNT_MAX ||
	     data[PERRON_HEADER_SIZE + 1] || data[PERRON_HEADER_SIZE + 2] ||
	     data[PERRON_HEADER_SIZE + 3]))
		return PERRON_DROP_MALFORMED;
	return PERRON_DROP_NONE;
}

enum perron_drop perron_frame_decode(const uint8_t *data, uint32_t size, struct perron_header *out)
{
	enum perron_drop cause;

	PERRON_ASSERT(data && out);
	if (size < PERRON_HEADER_SIZE)
		return PERRON_DROP_TRUNCATED;
	if (data[PERRON_WIRE(version)] != PERRON_FRAME_VERSION)
		return PERRON_DROP_VERSION;
	if (header_check(data) != perron_load32(data + PERRON_WIRE(header_check)))
		return PERRON_DROP_HEADER_CHECK;
	if (perron_load32(data + PERRON_WIRE(reserved)) != 0)
		return PERRON_DROP_FLAGS;
	header_load(data, out);
	cause = header_validate(out);
	if (cause != PERRON_DROP_NONE)
		return cause;
	if (size < PERRON_HEADER_SIZE + (uint32_t)out->length)
		return PERRON_DROP_TRUNCATED;
	if (size > PERRON_HEADER_SIZE + (uint32_t)out->length)
		return PERRON_DROP_LENGTH;
	return payload_validate(data, out);
}

uint32_t perron_frame_encode(uint8_t *data, const struct perron_header *header)
{
	PERRON_ASSERT(data && header);
	PERRON_ASSERT(header_validate(header) == PERRON_DROP_NONE);
	data[PERRON_WIRE(version)] = PERRON_FRAME_VERSION;
	data[PERRON_WIRE(type)] = header->type;
	data[PERRON_WIRE(class)] = header->class;
	data[PERRON_WIRE(flags)] = header->flags;
	perron_store32(data + PERRON_WIRE(overlay), header->overlay);
	perron_store32(data + PERRON_WIRE(source), header->source);
	perron_store32(data + PERRON_WIRE(source_incarnation), header->source_incarnation);
	perron_store32(data + PERRON_WIRE(destination), header->destination);
	perron_store32(data + PERRON_WIRE(destination_incarnation),
		       header->destination_incarnation);
	perron_store32(data + PERRON_WIRE(stream), header->stream);
	perron_store16(data + PERRON_WIRE(length), header->length);
	data[PERRON_WIRE(fragment_index)] = header->fragment_index;
	data[PERRON_WIRE(fragment_count)] = header->fragment_count;
	perron_store64(data + PERRON_WIRE(sequence), header->sequence);
	perron_store64(data + PERRON_WIRE(origin_ns), header->origin_ns);
	perron_store32(data + PERRON_WIRE(deadline_us), header->deadline_us);
	perron_store32(data + PERRON_WIRE(link_sequence), header->link_sequence);
	perron_store32(data + PERRON_WIRE(link_ack), header->link_ack);
	header_seal(data);
	perron_store32(data + PERRON_WIRE(payload_check),
		       payload_check(data, header->flags, header->length));
	perron_store32(data + PERRON_WIRE(reserved), 0);
	return PERRON_HEADER_SIZE + (uint32_t)header->length;
}

/* Two fields side by side, as they stand in the frame. */
static uint64_t pair(uint32_t first, uint32_t second)
{
	return __builtin_bswap32(first) | (uint64_t)__builtin_bswap32(second) << 32;
}

/* The header in words, so that its check is taken from registers. */
#define CHECKED_WORDS (PERRON_WIRE_CHECKED_SIZE / 8)
_Static_assert(PERRON_WIRE_CHECKED_SIZE == 8 * CHECKED_WORDS + 4, "words, and half a word");
_Static_assert(PERRON_WIRE(source) == 8 && PERRON_WIRE(destination) == 16, "pairs are words");
_Static_assert(PERRON_WIRE(link_sequence) == 52 && PERRON_WIRE(link_ack) == 56 &&
		      PERRON_WIRE(header_check) == 60,
	      "half words, and the check");

void perron_frame_readdress(uint8_t *data, const struct perron_hop *hop)
{
	uint64_t words[CHECKED_WORDS];

	PERRON_ASSERT(data && hop);
	PERRON_ASSERT(data[PERRON_WIRE(version)] == PERRON_FRAME_VERSION);
	PERRON_ASSERT(hop->class < PERRON_CLASS_COUNT && !(hop->flags & ~PERRON_HOP_FLAGS));
	memcpy(words, data, sizeof(words));
	uint64_t kept = ~(UINT64_C(0xff) << 16 | (uint64_t)PERRON_FLAG_REPLICA << 24);
	words[0] = (words[0] & kept) | (uint64_t)hop->class << 16 | (uint64_t)hop->flags << 24;
	words[1] = pair(hop->source, hop->source_incarnation);
	words[2] = pair(hop->destination, hop->destination_incarnation);
	words[6] = (uint32_t)words[6] | (uint64_t)__builtin_bswap32(hop->link_sequence) << 32;
	uint32_t ack = __builtin_bswap32(hop->link_ack);
	uint32_t check = __builtin_bswap32(perron_crc32c_words(words, CHECKED_WORDS, ack));
	uint64_t last = ack | (uint64_t)check << 32;
	memcpy(data, words, sizeof(words));
	memcpy(data + sizeof(words), &last, sizeof(last));
}

uint32_t perron_frame_destination(const uint8_t *data)
{
	return perron_load32(data + PERRON_WIRE(destination));
}

bool perron_frame_is_traced(const uint8_t *data)
{
	return (data[PERRON_WIRE(flags)] & PERRON_FLAG_TRACE) != 0;
}

static const uint8_t *trace_record(const uint8_t *data, uint32_t index)
{
	return data + PERRON_HEADER_SIZE + 4 + index * PERRON_TRACE_RECORD_SIZE;
}

void perron_trace_clear(uint8_t *payload)
{
	memset(payload, 0, PERRON_TRACE_SIZE);
}

uint32_t perron_trace_count(const uint8_t *data)
{
	uint32_t count = data[PERRON_HEADER_SIZE];

	PERRON_ASSERT(perron_frame_is_traced(data));
	return count < PERRON_TRACE_HOP_COUNT_MAX ? count : PERRON_TRACE_HOP_COUNT_MAX;
}

void perron_trace_read(const uint8_t *data, uint32_t index, struct perron_trace_record *out)
{
	const uint8_t *at = trace_record(data, index);

	PERRON_ASSERT(index < perron_trace_count(data));
	out->peer = perron_load32(at + PERRON_WIRE_TRACE(peer));
	out->received_ns = perron_load64(at + PERRON_WIRE_TRACE(received_ns));
	out->step_ns = perron_load32(at + PERRON_WIRE_TRACE(step_ns));
	out->transmitted_ns = perron_load32(at + PERRON_WIRE_TRACE(transmitted_ns));
}

bool perron_trace_add(uint8_t *data, const struct perron_trace_record *record)
{
	uint32_t count = perron_trace_count(data);
	uint8_t *at = data + (trace_record(data, count) - data);

	if (count == PERRON_TRACE_HOP_COUNT_MAX)
		return false;
	perron_store32(at + PERRON_WIRE_TRACE(peer), record->peer);
	perron_store64(at + PERRON_WIRE_TRACE(received_ns), record->received_ns);
	perron_store32(at + PERRON_WIRE_TRACE(step_ns), record->step_ns);
	perron_store32(at + PERRON_WIRE_TRACE(transmitted_ns), record->transmitted_ns);
	data[PERRON_HEADER_SIZE] = (uint8_t)(count + 1);
	return true;
}

void perron_trace_transmitted(uint8_t *data, uint64_t now_ns)
{
	uint32_t count = perron_trace_count(data);
	uint64_t taken_ns;

	if (count == 0)
		return;
	uint8_t *at = data + (trace_record(data, count - 1) - data);
	uint64_t received_ns = perron_load64(at + PERRON_WIRE_TRACE(received_ns));
	/* 0 means "not yet", and a clock that was set back must not show as 4 seconds. */
	taken_ns = now_ns > received_ns ? now_ns - received_ns : 1;
	if (taken_ns > UINT32_MAX)
		taken_ns = UINT32_MAX;
	perron_store32(at + PERRON_WIRE_TRACE(transmitted_ns), (uint32_t)taken_ns);
}
