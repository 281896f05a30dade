/*
 * Frames, byte for byte, and the headers that they carry: the codec must turn each into the other.
 * The bytes were made by another program than the codec; test/structure/dissector.py makes them
 * once more, and has Wireshark read them. It reads this table by its form: one `.name = value` a
 * field, and hexadecimal digits alone in `.hex`.
 */
#ifndef PERRON_TEST_UNIT_RUNTIME_BASE_FRAME_GOLDEN_H
#define PERRON_TEST_UNIT_RUNTIME_BASE_FRAME_GOLDEN_H

#include "runtime/base/frame.h"

struct golden {
	const char *name;
	struct perron_header header;
	const char *hex;
};

static const struct golden goldens[] = {
	{
		.name = "beat",
		.header = {
			.type = 1,
			.class = 3,
			.fragment_count = 1,
			.length = 16,
			.overlay = 7,
			.source = 101,
			.source_incarnation = 1,
			.destination = 201,
			.destination_incarnation = 2,
			.link_sequence = 0x1001,
			.link_ack = 0x2001,
		},
		.hex = "01010300000000070000006500000001000000c9000000020000000000100001"
		       "000000000000000000000000000000000000000000001001000020011cd8f6d4"
		       "84b3047f0000000001080f161d242b323940474e555c636a",
	},
	{
		.name = "data",
		.header = {
			.type = 2,
			.class = 1,
			.fragment_count = 1,
			.length = 40,
			.overlay = 7,
			.source = 102,
			.source_incarnation = 2,
			.destination = 202,
			.destination_incarnation = 4,
			.stream = 0x811c9dc7,
			.sequence = UINT64_C(0xf4242),
			.origin_ns = UINT64_C(0x17979cfe3d85cd15),
			.deadline_us = 0x4e20,
			.link_sequence = 0x1002,
			.link_ack = 0x2002,
		},
		.hex = "01020100000000070000006600000002000000ca00000004811c9dc700280001"
		       "00000000000f424217979cfe3d85cd1500004e200000100200002002719b5381"
		       "80771cc500000000020910171e252c333a41484f565d646b727980878e959ca3"
		       "aab1b8bfc6cdd4dbe2e9f0f7fe050c13",
	},
	{
		.name = "gap",
		.header = {
			.type = 3,
			.class = 2,
			.fragment_count = 1,
			.length = 8,
			.overlay = 7,
			.source = 103,
			.source_incarnation = 3,
			.destination = 203,
			.destination_incarnation = 6,
			.stream = 0x811c9dc8,
			.sequence = UINT64_C(0xf4243),
			.link_sequence = 0x1003,
			.link_ack = 0x2003,
		},
		.hex = "01030200000000070000006700000003000000cb00000006811c9dc800080001"
		       "00000000000f4243000000000000000000000000000010030000200307488703"
		       "d225c0e800000000030a11181f262d34",
	},
	{
		.name = "ack",
		.header = {
			.type = 4,
			.fragment_count = 1,
			.length = 24,
			.overlay = 7,
			.source = 104,
			.source_incarnation = 4,
			.destination = 204,
			.destination_incarnation = 8,
			.stream = 0x811c9dc9,
			.sequence = UINT64_C(0xf4244),
			.link_sequence = 0x1004,
			.link_ack = 0x2004,
		},
		.hex = "01040000000000070000006800000004000000cc00000008811c9dc900180001"
		       "00000000000f42440000000000000000000000000000100400002004cb432b04"
		       "55d08efd00000000040b121920272e353c434a51585f666d747b828990979ea5",
	},
	{
		.name = "group",
		.header = {
			.type = 5,
			.class = 3,
			.fragment_count = 1,
			.length = 40,
			.overlay = 7,
			.source = 102,
			.source_incarnation = 2,
			.destination = 202,
			.destination_incarnation = 4,
			.origin_ns = UINT64_C(0x17979cfe3d85cd15),
			.link_sequence = 0x1005,
			.link_ack = 0x2005,
		},
		.hex = "01050300000000070000006600000002000000ca000000040000000000280001"
		       "000000000000000017979cfe3d85cd15000000000000100500002005478fdeeb"
		       "9b0f6b1e00000000080002010102030405060708000000050000006500000001"
		       "00000021000000030000000400000003",
	},
	{
		.name = "binding-request",
		.header = {
			.type = 16,
			.class = 3,
			.fragment_count = 1,
			.length = 19,
			.overlay = 7,
			.source = 116,
			.source_incarnation = 16,
			.link_sequence = 0x1010,
			.link_ack = 0x2010,
		},
		.hex = "0110030000000007000000740000001000000000000000000000000000130001"
		       "0000000000000000000000000000000000000000000010100000201025a85bcd"
		       "48a7e7af0000000010171e252c333a41484f565d646b727980878e",
	},
	{
		.name = "binding-reply",
		.header = {
			.type = 17,
			.class = 3,
			.fragment_count = 1,
			.length = 22,
			.overlay = 7,
			.source = 117,
			.source_incarnation = 17,
			.destination = 217,
			.destination_incarnation = 34,
			.link_sequence = 0x1011,
			.link_ack = 0x2011,
		},
		.hex = "01110300000000070000007500000011000000d9000000220000000000160001"
		       "0000000000000000000000000000000000000000000010110000201151230b2a"
		       "32ca85630000000011181f262d343b424950575e656c737a81888f969da4",
	},
	{
		.name = "bind",
		.header = {
			.type = 18,
			.class = 3,
			.fragment_count = 1,
			.length = 25,
			.overlay = 7,
			.source = 118,
			.source_incarnation = 18,
			.destination = 218,
			.destination_incarnation = 36,
			.link_sequence = 0x1012,
			.link_ack = 0x2012,
		},
		.hex = "01120300000000070000007600000012000000da000000240000000000190001"
		       "00000000000000000000000000000000000000000000101200002012ca935d34"
		       "60dcd8d600000000121920272e353c434a51585f666d747b828990979ea5acb3"
		       "ba",
	},
	{
		.name = "bind-reply",
		.header = {
			.type = 19,
			.class = 3,
			.fragment_count = 1,
			.length = 28,
			.overlay = 7,
			.source = 119,
			.source_incarnation = 19,
			.destination = 219,
			.destination_incarnation = 38,
			.link_sequence = 0x1013,
			.link_ack = 0x2013,
		},
		.hex = "01130300000000070000007700000013000000db0000002600000000001c0001"
		       "0000000000000000000000000000000000000000000010130000201340a74291"
		       "0034487a00000000131a21282f363d444b525960676e757c838a91989fa6adb4"
		       "bbc2c9d0",
	},
	{
		.name = "parent-request",
		.header = {
			.type = 20,
			.class = 3,
			.fragment_count = 1,
			.length = 2,
			.overlay = 7,
			.source = 120,
			.source_incarnation = 20,
			.destination = 220,
			.destination_incarnation = 40,
			.link_sequence = 0x1014,
			.link_ack = 0x2014,
		},
		.hex = "01140300000000070000007800000014000000dc000000280000000000020001"
		       "000000000000000000000000000000000000000000001014000020144795d587"
		       "09f98bdb00000000141b",
	},
	{
		.name = "parent-reply",
		.header = {
			.type = 21,
			.class = 3,
			.fragment_count = 1,
			.length = 5,
			.overlay = 7,
			.source = 121,
			.source_incarnation = 21,
			.destination = 221,
			.destination_incarnation = 42,
			.link_sequence = 0x1015,
			.link_ack = 0x2015,
		},
		.hex = "01150300000000070000007900000015000000dd0000002a0000000000050001"
		       "000000000000000000000000000000000000000000001015000020153cef0b38"
		       "7a3ec45300000000151c232a31",
	},
	{
		.name = "join",
		.header = {
			.type = 22,
			.class = 3,
			.fragment_count = 1,
			.length = 8,
			.overlay = 7,
			.source = 122,
			.source_incarnation = 22,
			.destination = 222,
			.destination_incarnation = 44,
			.link_sequence = 0x1016,
			.link_ack = 0x2016,
		},
		.hex = "01160300000000070000007a00000016000000de0000002c0000000000080001"
		       "0000000000000000000000000000000000000000000010160000201656119c3c"
		       "e225117800000000161d242b32394047",
	},
	{
		.name = "join-reply",
		.header = {
			.type = 23,
			.class = 3,
			.fragment_count = 1,
			.length = 11,
			.overlay = 7,
			.source = 123,
			.source_incarnation = 23,
			.destination = 223,
			.destination_incarnation = 46,
			.link_sequence = 0x1017,
			.link_ack = 0x2017,
		},
		.hex = "01170300000000070000007b00000017000000df0000002e00000000000b0001"
		       "00000000000000000000000000000000000000000000101700002017ca1ab646"
		       "b1a3cfed00000000171e252c333a41484f565d",
	},
	{
		.name = "leave",
		.header = {
			.type = 24,
			.class = 3,
			.fragment_count = 1,
			.length = 14,
			.overlay = 7,
			.source = 124,
			.source_incarnation = 24,
			.destination = 224,
			.destination_incarnation = 48,
			.link_sequence = 0x1018,
			.link_ack = 0x2018,
		},
		.hex = "01180300000000070000007c00000018000000e00000003000000000000e0001"
		       "00000000000000000000000000000000000000000000101800002018769eea8f"
		       "063752e800000000181f262d343b424950575e656c73",
	},
	{
		.name = "advertise",
		.header = {
			.type = 25,
			.class = 3,
			.fragment_count = 1,
			.length = 17,
			.overlay = 7,
			.source = 125,
			.source_incarnation = 25,
			.destination = 225,
			.destination_incarnation = 50,
			.link_sequence = 0x1019,
			.link_ack = 0x2019,
		},
		.hex = "01190300000000070000007d00000019000000e1000000320000000000110001"
		       "000000000000000000000000000000000000000000001019000020195518e34c"
		       "aeb1d3f6000000001920272e353c434a51585f666d747b8289",
	},
	{
		.name = "discover",
		.header = {
			.type = 26,
			.class = 3,
			.fragment_count = 1,
			.length = 20,
			.overlay = 7,
			.source = 126,
			.source_incarnation = 26,
			.destination = 226,
			.destination_incarnation = 52,
			.link_sequence = 0x101a,
			.link_ack = 0x201a,
		},
		.hex = "011a0300000000070000007e0000001a000000e2000000340000000000140001"
		       "00000000000000000000000000000000000000000000101a0000201af4e9eb33"
		       "1cf74aec000000001a21282f363d444b525960676e757c838a91989f",
	},
	{
		.name = "discover-reply",
		.header = {
			.type = 27,
			.class = 3,
			.fragment_count = 1,
			.length = 23,
			.overlay = 7,
			.source = 127,
			.source_incarnation = 27,
			.destination = 227,
			.destination_incarnation = 54,
			.link_sequence = 0x101b,
			.link_ack = 0x201b,
		},
		.hex = "011b0300000000070000007f0000001b000000e3000000360000000000170001"
		       "00000000000000000000000000000000000000000000101b0000201b68e2c149"
		       "d86eeea4000000001b222930373e454c535a61686f767d848b9299a0a7aeb5",
	},
	{
		.name = "subscribe",
		.header = {
			.type = 28,
			.class = 3,
			.fragment_count = 1,
			.length = 26,
			.overlay = 7,
			.source = 128,
			.source_incarnation = 28,
			.destination = 228,
			.destination_incarnation = 56,
			.link_sequence = 0x101c,
			.link_ack = 0x201c,
		},
		.hex = "011c030000000007000000800000001c000000e40000003800000000001a0001"
		       "00000000000000000000000000000000000000000000101c0000201cbd1ee2b8"
		       "3bd3759f000000001c232a31383f464d545b626970777e858c939aa1a8afb6bd"
		       "c4cb",
	},
	{
		.name = "subscribe-reply",
		.header = {
			.type = 29,
			.class = 3,
			.fragment_count = 1,
			.overlay = 7,
			.source = 129,
			.source_incarnation = 29,
			.destination = 229,
			.destination_incarnation = 58,
			.link_sequence = 0x101d,
			.link_ack = 0x201d,
		},
		.hex = "011d030000000007000000810000001d000000e50000003a0000000000000001"
		       "00000000000000000000000000000000000000000000101d0000201d014e7f33"
		       "0000000000000000",
	},
	{
		.name = "unsubscribe",
		.header = {
			.type = 30,
			.class = 3,
			.fragment_count = 1,
			.length = 3,
			.overlay = 7,
			.source = 130,
			.source_incarnation = 30,
			.destination = 230,
			.destination_incarnation = 60,
			.link_sequence = 0x101e,
			.link_ack = 0x201e,
		},
		.hex = "011e030000000007000000820000001e000000e60000003c0000000000030001"
		       "00000000000000000000000000000000000000000000101e0000201eb6804293"
		       "b67b4d85000000001e252c",
	},
	{
		.name = "path-setup",
		.header = {
			.type = 31,
			.class = 3,
			.fragment_count = 1,
			.length = 6,
			.overlay = 7,
			.source = 131,
			.source_incarnation = 31,
			.destination = 231,
			.destination_incarnation = 62,
			.link_sequence = 0x101f,
			.link_ack = 0x201f,
		},
		.hex = "011f030000000007000000830000001f000000e70000003e0000000000060001"
		       "00000000000000000000000000000000000000000000101f0000201f3cb45d36"
		       "3b65a6f2000000001f262d343b42",
	},
	{
		.name = "path-reply",
		.header = {
			.type = 32,
			.class = 3,
			.fragment_count = 1,
			.length = 9,
			.overlay = 7,
			.source = 132,
			.source_incarnation = 32,
			.destination = 232,
			.destination_incarnation = 64,
			.link_sequence = 0x1020,
			.link_ack = 0x2020,
		},
		.hex = "01200300000000070000008400000020000000e8000000400000000000090001"
		       "0000000000000000000000000000000000000000000010200000202097f69349"
		       "78fdc1760000000020272e353c434a5158",
	},
	{
		.name = "path-teardown",
		.header = {
			.type = 33,
			.class = 3,
			.fragment_count = 1,
			.length = 12,
			.overlay = 7,
			.source = 133,
			.source_incarnation = 33,
			.destination = 233,
			.destination_incarnation = 66,
			.link_sequence = 0x1021,
			.link_ack = 0x2021,
		},
		.hex = "01210300000000070000008500000021000000e90000004200000000000c0001"
		       "000000000000000000000000000000000000000000001021000020211dc28cec"
		       "2640496a0000000021282f363d444b525960676e",
	},
	{
		.name = "members",
		.header = {
			.type = 34,
			.class = 3,
			.fragment_count = 1,
			.length = 16,
			.overlay = 7,
			.source = 102,
			.source_incarnation = 2,
			.destination = 202,
			.destination_incarnation = 4,
			.link_sequence = 0x1022,
			.link_ack = 0x2022,
		},
		.hex = "01220300000000070000006600000002000000ca000000040000000000100001"
		       "000000000000000000000000000000000000000000001022000020228db2d1cc"
		       "8510c5b40000000001000000cb000000050a0000031ce802",
	},
	{
		.name = "data of 418 bytes",
		.header = {
			.type = 2,
			.fragment_count = 1,
			.length = 0x15a,
			.overlay = 0x1020304,
			.source = 0x11121314,
			.source_incarnation = 0x21222324,
			.destination = 0x31323334,
			.destination_incarnation = 0x41424344,
			.stream = 0x51525354,
			.sequence = UINT64_C(0x6162636465666768),
			.origin_ns = UINT64_C(0x7172737475767778),
			.deadline_us = 0x81828384,
			.link_sequence = 0x91929394,
			.link_ack = 0xa1a2a3a4,
		},
		.hex = "01020000010203041112131421222324313233344142434451525354015a0001"
		       "616263646566676871727374757677788182838491929394a1a2a3a463063d2d"
		       "f39ff4df0000000001080f161d242b323940474e555c636a71787f868d949ba2"
		       "a9b0b7bec5ccd3dae1e8eff6fd040b121920272e353c434a51585f666d747b82"
		       "8990979ea5acb3bac1c8cfd6dde4ebf2f900070e151c232a31383f464d545b62"
		       "6970777e858c939aa1a8afb6bdc4cbd2d9e0e7eef5fc030a11181f262d343b42"
		       "4950575e656c737a81888f969da4abb2b9c0c7ced5dce3eaf1f8ff060d141b22"
		       "2930373e454c535a61686f767d848b9299a0a7aeb5bcc3cad1d8dfe6edf4fb02"
		       "0910171e252c333a41484f565d646b727980878e959ca3aab1b8bfc6cdd4dbe2"
		       "e9f0f7fe050c131a21282f363d444b525960676e757c838a91989fa6adb4bbc2"
		       "c9d0d7dee5ecf3fa01080f161d242b323940474e555c636a71787f868d949ba2"
		       "a9b0b7bec5ccd3dae1e8eff6fd040b121920272e353c434a51585f666d747b82"
		       "8990979ea5acb3bac1c8cfd6dde4ebf2f900070e151c232a31383f464d545b62"
		       "6970",
	},
	{
		.name = "every field at its highest",
		.header = {
			.type = 33,
			.class = 3,
			.flags = 2,
			.fragment_index = 63,
			.fragment_count = 64,
			.length = 1,
			.overlay = 0xffffffff,
			.source = 0xffffffff,
			.source_incarnation = 0xffffffff,
			.destination = 0xffffffff,
			.destination_incarnation = 0xffffffff,
			.stream = 0xffffffff,
			.sequence = UINT64_C(0xffffffffffffffff),
			.origin_ns = UINT64_C(0xffffffffffffffff),
			.deadline_us = 0xffffffff,
			.link_sequence = 0xffffffff,
			.link_ack = 0xffffffff,
		},
		.hex = "01210302ffffffffffffffffffffffffffffffffffffffffffffffff00013f40"
		       "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffd011a6cd"
		       "ff00000000000000ff",
	},
	{
		.name = "data sent again, last of three",
		.header = {
			.type = 2,
			.class = 2,
			.flags = 2,
			.fragment_index = 2,
			.fragment_count = 3,
			.length = 12,
			.overlay = 7,
			.source = 5,
			.source_incarnation = 1,
			.destination = 6,
			.destination_incarnation = 1,
			.stream = 0xdeadbeef,
			.sequence = UINT64_C(0x2c),
			.origin_ns = UINT64_C(0x17979cfe362a0000),
			.link_sequence = 9,
			.link_ack = 8,
		},
		.hex = "010202020000000700000005000000010000000600000001deadbeef000c0203"
		       "000000000000002c17979cfe362a0000000000000000000900000008bff64a5b"
		       "c40a5da3000000000910171e252c333a41484f56",
	},
	{
		.name = "data with the times of two hops",
		.header = {
			.type = 2,
			.class = 1,
			.flags = 1,
			.fragment_count = 1,
			.length = 212,
			.overlay = 7,
			.source = 12,
			.source_incarnation = 3,
			.destination = 13,
			.destination_incarnation = 4,
			.stream = 0x1000193,
			.sequence = UINT64_C(0x5),
			.origin_ns = UINT64_C(0x17979cfe362a0000),
			.deadline_us = 0x1388,
			.link_sequence = 70,
			.link_ack = 69,
		},
		.hex = "01020101000000070000000c000000030000000d000000040100019300d40001"
		       "000000000000000517979cfe362a0000000013880000004600000045fc0b0679"
		       "77a04dc900000000020000000000000b17979cfe362a03e80000015e00000384"
		       "0000000c17979cfe362a09c40000007800000000000000000000000000000000"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "000000000000000000000000000000000000000073706565643d3432",
	},
	{
		.name = "traced, no hop yet, nothing behind",
		.header = {
			.type = 2,
			.class = 2,
			.flags = 3,
			.fragment_count = 1,
			.length = 204,
			.overlay = 7,
			.source = 1,
			.source_incarnation = 1,
			.destination = 2,
			.destination_incarnation = 1,
			.stream = 3,
			.sequence = UINT64_C(0x4),
			.origin_ns = UINT64_C(0x5),
			.link_sequence = 6,
			.link_ack = 7,
		},
		.hex = "0102020300000007000000010000000100000002000000010000000300cc0001"
		       "000000000000000400000000000000050000000000000006000000078d3435e8"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000000000000000000000000000"
		       "0000000000000000000000000000000000000000",
	},
	{
		.name = "data, a copy for a sibling",
		.header = {
			.type = 2,
			.class = 2,
			.flags = 4,
			.fragment_count = 1,
			.length = 6,
			.overlay = 7,
			.source = 11,
			.source_incarnation = 3,
			.destination = 12,
			.destination_incarnation = 5,
			.stream = 0xdf3f0d2c,
			.sequence = UINT64_C(0x300000009),
			.origin_ns = UINT64_C(0x11f71fb04cb),
			.deadline_us = 20000,
			.link_sequence = 17,
			.link_ack = 16,
		},
		.hex = "01020204000000070000000b000000030000000c00000005df3f0d2c00060001"
		       "00000003000000090000011f71fb04cb00004e2000000011000000103fcc2c06"
		       "3831a20e00000000244750474741",
	},
};

#define GOLDEN_COUNT (sizeof(goldens) / sizeof(goldens[0]))

#endif
