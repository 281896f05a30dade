/* The codec of runtime/base/frame.h: what goes in comes out, and nothing else gets in. */
#include "test/unit/support.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/bytes.h"
#include "runtime/base/frame.h"
#include "runtime/base/wire.h"
#include "test/unit/runtime/base/frame_golden.h"

static struct perron_header sample(void)
{
	return (struct perron_header){
		.type = PERRON_TYPE_DATA,
		.class = PERRON_CLASS_CRITICAL,
		.fragment_index = 1,
		.fragment_count = 3,
		.length = 346,
		.overlay = 0x01020304,
		.source = 0x11121314,
		.source_incarnation = 0x21222324,
		.destination = 0x31323334,
		.destination_incarnation = 0x41424344,
		.stream = 0x51525354,
		.sequence = 0x6162636465666768,
		.origin_ns = 0x7172737475767778,
		.deadline_us = 0x81828384,
		.link_sequence = 0x91929394,
		.link_ack = 0xa1a2a3a4,
	};
}

static uint32_t sample_encoded(uint8_t *data, const struct perron_header *h)
{
	for (uint32_t i = 0; i < h->length; i++)
		data[PERRON_HEADER_SIZE + i] = (uint8_t)(i * 7 + 3);
	if (h->flags & PERRON_FLAG_TRACE)
		perron_trace_clear(data + PERRON_HEADER_SIZE);
	return perron_frame_encode(data, h);
}

static void assert_headers_equal(const struct perron_header *a, const struct perron_header *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->class, b->class);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->fragment_index, b->fragment_index);
	assert_int_equal(a->fragment_count, b->fragment_count);
	assert_int_equal(a->length, b->length);
	assert_int_equal(a->overlay, b->overlay);
	assert_int_equal(a->source, b->source);
	assert_int_equal(a->source_incarnation, b->source_incarnation);
	assert_int_equal(a->destination, b->destination);
	assert_int_equal(a->destination_incarnation, b->destination_incarnation);
	assert_int_equal(a->stream, b->stream);
	assert_true(a->sequence == b->sequence);
	assert_true(a->origin_ns == b->origin_ns);
	assert_int_equal(a->deadline_us, b->deadline_us);
	assert_int_equal(a->link_sequence, b->link_sequence);
	assert_int_equal(a->link_ack, b->link_ack);
}

static void what_is_encoded_is_decoded(void **state)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header in = sample(), out;

	(void)state;
	assert_int_equal(sample_encoded(data, &in), 418);
	assert_int_equal(perron_frame_decode(data, 418, &out), PERRON_DROP_NONE);
	assert_headers_equal(&in, &out);
	assert_int_equal(perron_frame_destination(data), in.destination);
}

static uint32_t golden_bytes(const struct golden *g, uint8_t *data)
{
	uint32_t size = (uint32_t)strlen(g->hex) / 2;

	assert_true(size <= PERRON_FRAME_SIZE_MAX);
	for (uint32_t i = 0; i < size; i++) {
		unsigned int byte;
		assert_int_equal(sscanf(g->hex + 2 * i, "%2x", &byte), 1);
		data[i] = (uint8_t)byte;
	}
	return size;
}

static void goldens_decode(void **state)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header out;

	(void)state;
	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		uint32_t size = golden_bytes(&goldens[i], data);
		assert_int_equal(perron_frame_decode(data, size, &out), PERRON_DROP_NONE);
		assert_headers_equal(&goldens[i].header, &out);
	}
}

static void goldens_encode(void **state)
{
	uint8_t expected[PERRON_FRAME_SIZE_MAX], data[PERRON_FRAME_SIZE_MAX];

	(void)state;
	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		uint32_t size = golden_bytes(&goldens[i], expected);
		/* What stood where the header goes shows nowhere. */
		memset(data, 0xa5, sizeof(data));
		memcpy(data + PERRON_HEADER_SIZE, expected + PERRON_HEADER_SIZE,
		       size - PERRON_HEADER_SIZE);
		assert_int_equal(perron_frame_encode(data, &goldens[i].header), size);
		assert_memory_equal(data, expected, size);
	}
}

static void goldens_show_every_type_class_and_flag(void **state)
{
	uint64_t types = 0;
	uint32_t classes = 0, flags = 0;

	(void)state;
	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		types |= UINT64_C(1) << goldens[i].header.type;
		classes |= 1u << goldens[i].header.class;
		flags |= goldens[i].header.flags;
	}
#define X(name, value, text) assert_true(types >> (value) & 1);
	PERRON_FRAME_TYPES(X)
#undef X
	assert_int_equal(classes, (1u << PERRON_CLASS_COUNT) - 1);
	assert_int_equal(flags, PERRON_FLAGS_KNOWN);
}

/* The one place that no check covers: hops write it (docs/protocol.md, the trace block). */
static bool byte_is_unchecked(const uint8_t *data, uint32_t i)
{
	return perron_frame_is_traced(data) &&
	       (i == PERRON_HEADER_SIZE || (i >= PERRON_HEADER_SIZE + 4 &&
					    i < PERRON_HEADER_SIZE + PERRON_TRACE_SIZE));
}

static void any_flipped_bit_is_refused(void **state)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header out;

	(void)state;
	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		uint32_t size = golden_bytes(&goldens[i], data);
		for (uint32_t bit = 0; bit < 8 * size; bit++) {
			if (byte_is_unchecked(data, bit / 8))
				continue;
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_not_equal(perron_frame_decode(data, size, &out),
					     PERRON_DROP_NONE);
			data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_int_equal(perron_frame_decode(data, size, &out), PERRON_DROP_NONE);
	}
}

static void any_other_size_is_refused(void **state)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX + 8];
	struct perron_header out;

	(void)state;
	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		uint32_t size = golden_bytes(&goldens[i], data);
		for (uint32_t less = 0; less < size; less++)
			assert_int_equal(perron_frame_decode(data, less, &out),
					 PERRON_DROP_TRUNCATED);
		for (uint32_t more = 1; more <= 8; more++)
			assert_int_equal(perron_frame_decode(data, size + more, &out),
					 PERRON_DROP_LENGTH);
	}
}

/* Overwrites bytes of a sound frame, makes its header's check sound again, and decodes. */
static enum perron_drop decoded_with(uint8_t flags, uint32_t offset, uint8_t value)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header h = sample(), out;

	h.flags = flags;
	uint32_t size = sample_encoded(data, &h);
	data[offset] = value;
	perron_store32(data + PERRON_WIRE(header_check),
		       perron_crc32c(0, data, PERRON_WIRE_CHECKED_SIZE));
	return perron_frame_decode(data, size, &out);
}

static void each_fault_has_its_cause(void **state)
{
	const uint8_t trace = PERRON_FLAG_TRACE;

	(void)state;
	assert_int_equal(decoded_with(0, PERRON_WIRE(version), 2), PERRON_DROP_VERSION);
	for (uint32_t type = 0; type < 256; type++) {
		bool known = strcmp(perron_type_name((uint8_t)type), "unknown") != 0;
		assert_int_equal(decoded_with(0, PERRON_WIRE(type), (uint8_t)type),
				 known ? PERRON_DROP_NONE : PERRON_DROP_TYPE);
	}
	assert_int_equal(decoded_with(0, PERRON_WIRE(class), 3), PERRON_DROP_NONE);
	assert_int_equal(decoded_with(0, PERRON_WIRE(class), 4), PERRON_DROP_CLASS);
	assert_int_equal(decoded_with(0, PERRON_WIRE(flags), 8), PERRON_DROP_FLAGS);
	assert_int_equal(decoded_with(0, PERRON_WIRE(reserved) + 3, 1), PERRON_DROP_FLAGS);
	assert_int_equal(decoded_with(0, PERRON_WIRE(length), 6), PERRON_DROP_LENGTH);
	assert_int_equal(decoded_with(0, PERRON_WIRE(length), 0), PERRON_DROP_LENGTH);
	assert_int_equal(decoded_with(0, PERRON_WIRE(length), 2), PERRON_DROP_TRUNCATED);
	assert_int_equal(decoded_with(trace, PERRON_WIRE(length), 0), PERRON_DROP_LENGTH);
	assert_int_equal(decoded_with(0, PERRON_WIRE(fragment_count), 0), PERRON_DROP_FRAGMENT);
	assert_int_equal(decoded_with(0, PERRON_WIRE(fragment_count), 1), PERRON_DROP_FRAGMENT);
	assert_int_equal(decoded_with(0, PERRON_WIRE(fragment_count), 64), PERRON_DROP_NONE);
	assert_int_equal(decoded_with(0, PERRON_WIRE(fragment_count), 65), PERRON_DROP_FRAGMENT);
	assert_int_equal(decoded_with(0, PERRON_HEADER_SIZE, 0), PERRON_DROP_PAYLOAD_CHECK);
	assert_int_equal(decoded_with(trace, PERRON_HEADER_SIZE, 10), PERRON_DROP_NONE);
	assert_int_equal(decoded_with(trace, PERRON_HEADER_SIZE, 11), PERRON_DROP_MALFORMED);
	assert_int_equal(decoded_with(trace, PERRON_HEADER_SIZE + 3, 1), PERRON_DROP_MALFORMED);
	assert_int_equal(decoded_with(trace, PERRON_HEADER_SIZE + PERRON_TRACE_SIZE, 0),
			 PERRON_DROP_PAYLOAD_CHECK);
}

static void readdressing_changes_the_hop_alone(void **state)
{
	const struct perron_hop hop = {1, 2, 3, 4, 5, 6, .class = PERRON_CLASS_CRITICAL};
	uint8_t data[PERRON_FRAME_SIZE_MAX], before[PERRON_FRAME_SIZE_MAX];
	struct perron_header in = sample(), out;
	uint32_t size = sample_encoded(data, &in);

	(void)state;
	memcpy(before, data, size);
	perron_frame_readdress(data, &hop);
	assert_int_equal(perron_frame_decode(data, size, &out), PERRON_DROP_NONE);
	in.source = 1;
	in.source_incarnation = 2;
	in.destination = 3;
	in.destination_incarnation = 4;
	in.link_sequence = 5;
	in.link_ack = 6;
	in.class = PERRON_CLASS_CRITICAL;
	assert_headers_equal(&in, &out);
	assert_memory_equal(data + PERRON_WIRE(payload_check), before + PERRON_WIRE(payload_check),
			    size - PERRON_WIRE(payload_check));
}

static void a_retry_is_flagged_and_no_trace_is_added(void **state)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header in = sample(), out;

	(void)state;
	in.flags = PERRON_FLAG_TRACE;
	uint32_t size = sample_encoded(data, &in);
	perron_frame_readdress(data, &(struct perron_hop){.flags = PERRON_FLAG_RETRY});
	assert_int_equal(perron_frame_decode(data, size, &out), PERRON_DROP_NONE);
	assert_int_equal(out.flags, PERRON_FLAG_TRACE | PERRON_FLAG_RETRY);
	expect_assert_failure(
		perron_frame_readdress(data, &(struct perron_hop){.flags = PERRON_FLAG_TRACE}));
	expect_assert_failure(
		perron_frame_readdress(data, &(struct perron_hop){.class = PERRON_CLASS_COUNT}));
}

static void hops_write_their_times_on_the_way(void **state)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header in = sample(), out;
	struct perron_trace_record read;

	(void)state;
	in.flags = PERRON_FLAG_TRACE;
	uint32_t size = sample_encoded(data, &in);
	perron_trace_transmitted(data, 1); /* no record, no change */
	assert_int_equal(perron_trace_count(data), 0);
	for (uint32_t i = 0; i < PERRON_TRACE_HOP_COUNT_MAX; i++) {
		struct perron_trace_record record = {
			.peer = i + 1, .received_ns = UINT64_C(1) << 40 | i, .step_ns = 7 * i};
		assert_true(perron_trace_add(data, &record));
		perron_trace_read(data, i, &read);
		assert_int_equal(read.transmitted_ns, 0);
		perron_trace_transmitted(data, record.received_ns + 500 + i);
		assert_int_equal(perron_frame_decode(data, size, &out), PERRON_DROP_NONE);
	}
	assert_false(perron_trace_add(data, &read));
	assert_int_equal(perron_trace_count(data), PERRON_TRACE_HOP_COUNT_MAX);
	for (uint32_t i = 0; i < PERRON_TRACE_HOP_COUNT_MAX; i++) {
		perron_trace_read(data, i, &read);
		assert_int_equal(read.peer, i + 1);
		assert_true(read.received_ns == (UINT64_C(1) << 40 | i));
		assert_int_equal(read.step_ns, 7 * i);
		assert_int_equal(read.transmitted_ns, 500 + i);
	}
	/* Nothing behind the block was touched. */
	assert_int_equal(data[PERRON_HEADER_SIZE + PERRON_TRACE_SIZE],
			 (uint8_t)(PERRON_TRACE_SIZE * 7 + 3));
}

static void times_that_do_not_fit_are_clamped(void **state)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header in = sample();
	struct perron_trace_record record = {.peer = 1, .received_ns = 1000}, read;

	(void)state;
	in.flags = PERRON_FLAG_TRACE;
	sample_encoded(data, &in);
	assert_true(perron_trace_add(data, &record));
	perron_trace_transmitted(data, 900);
	perron_trace_read(data, 0, &read);
	assert_int_equal(read.transmitted_ns, 1);
	perron_trace_transmitted(data, UINT64_C(1) << 40);
	perron_trace_read(data, 0, &read);
	assert_int_equal(read.transmitted_ns, UINT32_MAX);
}

static void a_header_that_no_one_would_take_is_not_sent(void **state)
{
	uint8_t data[PERRON_FRAME_SIZE_MAX];
	struct perron_header in = sample();

	(void)state;
	in.fragment_count = 0;
	expect_assert_failure(perron_frame_encode(data, &in));
	in = sample();
	in.length = PERRON_PAYLOAD_SIZE_MAX + 1;
	expect_assert_failure(perron_frame_encode(data, &in));
	in = sample();
	in.flags = PERRON_FLAG_TRACE;
	in.length = PERRON_TRACE_SIZE - 1;
	expect_assert_failure(perron_frame_encode(data, &in));
}

static void names_go_both_ways(void **state)
{
	(void)state;
	for (int i = 0; i < PERRON_CLASS_COUNT; i++)
		assert_int_equal(perron_class_from_name(perron_class_name((enum perron_class)i)),
				 i);
	assert_int_equal(perron_class_from_name("Alarm"), -1);
	assert_int_equal(perron_class_from_name(""), -1);
	assert_string_equal(perron_type_name(PERRON_TYPE_PATH_TEARDOWN), "path-teardown");
	assert_string_equal(perron_type_name(6), "unknown");
	assert_string_equal(perron_drop_name(PERRON_DROP_NONE), "none");
	assert_string_equal(perron_drop_name(PERRON_DROP_NOT_OURS), "not-ours");
	for (int i = 0; i < PERRON_DROP_COUNT; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(perron_drop_name((enum perron_drop)i),
						perron_drop_name((enum perron_drop)k));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_is_decoded),
		cmocka_unit_test(goldens_decode),
		cmocka_unit_test(goldens_encode),
		cmocka_unit_test(goldens_show_every_type_class_and_flag),
		cmocka_unit_test(any_flipped_bit_is_refused),
		cmocka_unit_test(any_other_size_is_refused),
		cmocka_unit_test(each_fault_has_its_cause),
		cmocka_unit_test(readdressing_changes_the_hop_alone),
		cmocka_unit_test(a_retry_is_flagged_and_no_trace_is_added),
		cmocka_unit_test(hops_write_their_times_on_the_way),
		cmocka_unit_test(times_that_do_not_fit_are_clamped),
		cmocka_unit_test(a_header_that_no_one_would_take_is_not_sent),
		cmocka_unit_test(names_go_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
