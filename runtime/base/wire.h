/*
 * Where each field of a frame's header and trace block stands on the wire. The header is private to
 * the codec and its tests; docs/protocol.md shows the same in prose. Pure; any thread.
 */
#ifndef PERRON_RUNTIME_BASE_WIRE_H
#define PERRON_RUNTIME_BASE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/frame.h"

/* The header as it stands in memory; every number is big-endian. Only its offsets are used. */
struct perron_wire_header {
	uint8_t version;
	uint8_t type;
	uint8_t class;
	uint8_t flags;
	uint32_t overlay;
	uint32_t source;
	uint32_t source_incarnation;
	uint32_t destination;
	uint32_t destination_incarnation;
	uint32_t stream;
	uint16_t length;
	uint8_t fragment_index;
	uint8_t fragment_count;
	uint64_t sequence;
	uint64_t origin_ns;
	uint32_t deadline_us;
	uint32_t link_sequence;
	uint32_t link_ack;
	uint32_t header_check;
	uint32_t payload_check;
	uint32_t reserved;
};

/* One hop's record in the trace block; packed, for 20 is no multiple of 8. */
struct perron_wire_trace {
	uint32_t peer;
	uint64_t received_ns;
	uint32_t step_ns;
	uint32_t transmitted_ns;
} __attribute__((packed));

#define PERRON_WIRE(field)       offsetof(struct perron_wire_header, field)
#define PERRON_WIRE_TRACE(field) offsetof(struct perron_wire_trace, field)

_Static_assert(PERRON_WIRE(version) == 0, "wire");
_Static_assert(PERRON_WIRE(type) == 1, "wire");
_Static_assert(PERRON_WIRE(class) == 2, "wire");
_Static_assert(PERRON_WIRE(flags) == 3, "wire");
_Static_assert(PERRON_WIRE(overlay) == 4, "wire");
_Static_assert(PERRON_WIRE(source) == 8, "wire");
_Static_assert(PERRON_WIRE(source_incarnation) == 12, "wire");
_Static_assert(PERRON_WIRE(destination) == 16, "wire");
_Static_assert(PERRON_WIRE(destination_incarnation) == 20, "wire");
_Static_assert(PERRON_WIRE(stream) == 24, "wire");
_Static_assert(PERRON_WIRE(length) == 28, "wire");
_Static_assert(PERRON_WIRE(fragment_index) == 30, "wire");
_Static_assert(PERRON_WIRE(fragment_count) == 31, "wire");
_Static_assert(PERRON_WIRE(sequence) == 32, "wire");
_Static_assert(PERRON_WIRE(origin_ns) == 40, "wire");
_Static_assert(PERRON_WIRE(deadline_us) == 48, "wire");
_Static_assert(PERRON_WIRE(link_sequence) == 52, "wire");
_Static_assert(PERRON_WIRE(link_ack) == 56, "wire");
_Static_assert(PERRON_WIRE(header_check) == 60, "wire");
_Static_assert(PERRON_WIRE(payload_check) == 64, "wire");
_Static_assert(PERRON_WIRE(reserved) == 68, "wire");
_Static_assert(sizeof(struct perron_wire_header) == PERRON_HEADER_SIZE, "wire");

_Static_assert(PERRON_WIRE_TRACE(peer) == 0, "wire");
_Static_assert(PERRON_WIRE_TRACE(received_ns) == 4, "wire");
_Static_assert(PERRON_WIRE_TRACE(step_ns) == 12, "wire");
_Static_assert(PERRON_WIRE_TRACE(transmitted_ns) == 16, "wire");
_Static_assert(sizeof(struct perron_wire_trace) == PERRON_TRACE_RECORD_SIZE, "wire");

/* Bytes that the header's check covers: all before it. */
#define PERRON_WIRE_CHECKED_SIZE PERRON_WIRE(header_check)

#endif
