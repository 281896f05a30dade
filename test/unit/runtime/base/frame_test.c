/* The codec of runtime/base/frame.h: what goes in comes out, and nothing else gets in. */
#include "test/unit/support.h"

#include <string.h>

#include "runtime/base/frame.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_is_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
