/*
 * The codec: decode (with both checks), encode and readdress of data frames. Yardstick: a copy of
 * the whole frame.
 */
#include <stddef.h>
#include <string.h>

#include "perf/micro/micro.h"
#include "runtime/base/frame.h"

#define BATCH 32

static uint8_t frames[BATCH][PERRON_FRAME_SIZE_MAX] __attribute__((aligned(64)));
static uint8_t copies[BATCH][PERRON_FRAME_SIZE_MAX] __attribute__((aligned(64)));

static struct perron_header header_of(int64_t payload_size, uint32_t index)
{
	return (struct perron_header){
		.type = PERRON_TYPE_DATA,
		.class = PERRON_CLASS_ALARM,
		.fragment_count = 1,
		.length = (uint16_t)payload_size,
		.overlay = 1,
		.source = 2,
		.source_incarnation = 3,
		.destination = 4,
		.destination_incarnation = 5,
		.stream = 0x12345678,
		.sequence = 1000 + index,
		.origin_ns = 1700000000000000000u,
		.deadline_us = 20000,
		.link_sequence = 77 + index,
		.link_ack = 78,
	};
}

static uint32_t frames_encode(int64_t payload_size)
{
	uint32_t size = 0;

	for (uint32_t i = 0; i < BATCH; i++) {
		struct perron_header header = header_of(payload_size, i);
		for (int64_t at = 0; at < payload_size; at++)
			frames[i][PERRON_HEADER_SIZE + at] = (uint8_t)(at * 7 + i);
		size = perron_frame_encode(frames[i], &header);
	}
	return size;
}

static void decode(struct perron_bench *b, int64_t payload_size)
{
	uint32_t size = frames_encode(payload_size);
	uint32_t bad = 0;

	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++) {
			struct perron_header header;
			bad += perron_frame_decode(frames[i], size, &header) != PERRON_DROP_NONE;
			perron_bench_keep(header.sequence);
		}
		perron_bench_stop(b);
	}
	perron_bench_bytes(b, size);
	if (bad)
		perron_bench_fail(b, "a frame did not decode");
}

static void encode(struct perron_bench *b, int64_t payload_size)
{
	uint32_t size = frames_encode(payload_size);
	struct perron_header header = header_of(payload_size, 0);

	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++) {
			header.sequence++;
			perron_bench_keep(perron_frame_encode(frames[i], &header));
		}
		perron_bench_stop(b);
	}
	perron_bench_bytes(b, size);
}

static void readdress(struct perron_bench *b, int64_t payload_size)
{
	uint32_t size = frames_encode(payload_size);
	struct perron_hop hop = {.source = 4,
				 .source_incarnation = 5,
				 .destination = 6,
				 .destination_incarnation = 7,
				 .class = PERRON_CLASS_ALARM};
	struct perron_header header;

	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++) {
			hop.link_sequence++;
			perron_frame_readdress(frames[i], &hop);
		}
		perron_bench_stop(b);
	}
	perron_bench_bytes(b, size);
	if (perron_frame_decode(frames[0], size, &header) != PERRON_DROP_NONE ||
	    header.destination != 6)
		perron_bench_fail(b, "a frame was spoilt");
}

static void copy(struct perron_bench *b, int64_t payload_size)
{
	uint32_t size = frames_encode(payload_size);

	while (perron_bench_next(b, BATCH)) {
		perron_bench_start(b);
		for (uint32_t i = 0; i < BATCH; i++) {
			memcpy(copies[i], frames[i], size);
			perron_bench_keep(copies[i][size - 1]);
		}
		perron_bench_stop(b);
	}
	perron_bench_bytes(b, size);
}

static const struct perron_bench_case cases[] = {
	{"codec/decode/418", "codec/copy/418", decode, 418},
	{"codec/decode/1024", "codec/copy/1024", decode, 1024},
	{"codec/decode/1400", "codec/copy/1400", decode, 1400},
	{"codec/encode/418", "codec/copy/418", encode, 418},
	{"codec/encode/1024", "codec/copy/1024", encode, 1024},
	{"codec/encode/1400", "codec/copy/1400", encode, 1400},
	{"codec/readdress/418", "codec/copy/418", readdress, 418},
	{"codec/readdress/1024", "codec/copy/1024", readdress, 1024},
	{"codec/readdress/1400", "codec/copy/1400", readdress, 1400},
	{"codec/copy/418", NULL, copy, 418},
	{"codec/copy/1024", NULL, copy, 1024},
	{"codec/copy/1400", NULL, copy, 1400},
};

void micro_codec(void)
{
	MICRO_REGISTER(cases);
}
