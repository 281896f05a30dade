/*
 * Frames of a group, byte by byte: each golden payload reads as what it means and is written so
 * again; one that is cut or longer is refused; so is what no member would send.
 */
#include "test/unit/support.h"

#include <stdio.h>
#include <string.h>

#include "ft/group_private.h"
#include "test/unit/ft/group_golden.h"

#define GOLDEN_COUNT (sizeof(group_goldens) / sizeof(group_goldens[0]))
#define PAYLOAD      (PERRON_PAYLOAD_SIZE_MAX + 1)

static uint32_t golden_bytes(const char *name, uint8_t *out)
{
	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		const char *hex = group_goldens[i].hex;
		if (strcmp(group_goldens[i].name, name) != 0)
			continue;
		uint32_t size = (uint32_t)strlen(hex) / 2;
		for (uint32_t k = 0; k < size; k++) {
			unsigned int byte = 0;
			assert_int_equal(sscanf(hex + 2 * (size_t)k, "%2x", &byte), 1);
			out[k] = (uint8_t)byte;
		}
		return size;
	}
	fail_msg("no golden payload %s", name);
	return 0;
}

/* Whether the body of a frame of this kind reads. */
static bool body_read(const struct group_head *head, struct perron_reader *r,
		      const uint8_t *payload, uint32_t size)
{
	struct group_hello hello;
	struct group_change change;
	struct group_state state;
	struct group_data data;
	struct group_status status;

	switch (head->kind) {
	case GROUP_HELLO:
		return group_hello_read(r, &hello);
	case GROUP_STATE:
		return group_state_read(r, &change, &state);
	case GROUP_DATA:
		return group_data_read(payload, size, head->member_count, &data);
	case GROUP_STATUS:
		return group_status_read(r, head->member_count, &status);
	default:
		/* Two numbers: refuse one, leave and ready none. */
		if (head->kind != GROUP_LEAVE && head->kind != GROUP_READY)
			(void)perron_read32(r);
		if (head->kind == GROUP_COMMIT || head->kind == GROUP_NACK)
			(void)perron_read32(r);
		return perron_reader_done(r);
	}
}

static bool payload_read(const uint8_t *payload, uint32_t size)
{
	struct perron_reader r = perron_reader_of(payload, size);
	struct group_head head;

	return group_head_read(&r, &head) && body_read(&head, &r, payload, size);
}

static void assert_head(const uint8_t *payload, uint32_t size, struct group_head expected)
{
	struct perron_reader r = perron_reader_of(payload, size);
	struct group_head head;

	assert_true(group_head_read(&r, &head));
	assert_int_equal(head.kind, expected.kind);
	assert_int_equal(head.flags, expected.flags);
	assert_int_equal(head.member_count, expected.member_count);
	assert_int_equal(head.index, expected.index);
	assert_true(head.cell == UINT64_C(0x0102030405060708));
	assert_true(perron_group_view_id_equal(&head.view, &expected.view));
}

static struct group_head head_of(uint8_t kind, uint8_t flags, uint8_t count, uint8_t index)
{
	bool is_change = kind >= GROUP_STATE && kind <= GROUP_READY;

	return (struct group_head){
		.kind = kind,
		.flags = flags,
		.member_count = count,
		.index = index,
		.cell = UINT64_C(0x0102030405060708),
		.view = {is_change ? 9 : 7, 101, 3},
	};
}

/* --- goldens --- */

static void every_kind_has_a_golden_and_reads(void **state)
{
	uint8_t payload[PAYLOAD];
	uint32_t kinds = 0;

	(void)state;
	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		uint32_t size = golden_bytes(group_goldens[i].name, payload);
		assert_true(payload_read(payload, size));
		kinds |= 1u << payload[0];
	}
	assert_int_equal(kinds, (1u << GROUP_KIND_COUNT) - 2);
}

static void a_payload_that_is_cut_or_longer_is_refused(void **state)
{
	uint8_t payload[PAYLOAD];

	(void)state;
	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		uint32_t size = golden_bytes(group_goldens[i].name, payload);
		for (uint32_t cut = 0; cut < size; cut++) {
			/* A packet may end behind any of its items. */
			bool ends = payload[0] == GROUP_DATA && payload_read(payload, cut);
			assert_true(!payload_read(payload, cut) || ends);
		}
		payload[size] = 0;
		assert_false(payload_read(payload, size + 1));
	}
}

static void a_packet_may_end_behind_an_item_alone(void **state)
{
	uint8_t payload[PAYLOAD];
	uint32_t size = golden_bytes("data", payload);
	uint32_t items = group_items_at(2);
	/* Texts of 19 and 1 bytes, then two items without. */
	uint32_t ends[] = {items + 31, items + 44, items + 56, items + 68};
	uint32_t next = 0;

	(void)state;
	assert_int_equal(size, ends[3]);
	for (uint32_t cut = 0; cut <= size; cut++) {
		bool reads = payload_read(payload, cut);
		assert_int_equal(reads, next < 4 && cut == ends[next]);
		next += reads;
	}
}

static void hello_goes_both_ways(void **state)
{
	uint8_t payload[PAYLOAD], written[PAYLOAD];
	uint32_t size = golden_bytes("hello", payload);
	struct group_head head = head_of(GROUP_HELLO, 0, 0, 0);
	struct perron_reader r = perron_reader_of(payload, size);
	struct group_hello hello;

	(void)state;
	assert_head(payload, size, head);
	assert_true(group_head_read(&r, &head) && group_hello_read(&r, &hello));
	assert_int_equal(hello.life, 2);
	assert_int_equal(hello.number, 9);
	assert_int_equal(hello.slot, 1);
	assert_int_equal(hello.reach_count, 2);
	assert_int_equal(hello.reach[0], 102);
	assert_int_equal(hello.reach[1], 103);
	assert_int_equal(group_hello_write(written, &head, &hello), size);
	assert_memory_equal(written, payload, size);
	size = golden_bytes("hello, first", payload);
	r = perron_reader_of(payload, size);
	assert_true(group_head_read(&r, &head) && group_hello_read(&r, &hello));
	assert_int_equal(head.flags, GROUP_FLAG_ANSWER | GROUP_FLAG_FROZEN);
	assert_int_equal(hello.slot, 16);
	assert_int_equal(hello.reach_count, 0);
	assert_int_equal(group_hello_write(written, &head, &hello), size);
	assert_memory_equal(written, payload, size);
}

static void state_goes_both_ways(void **state)
{
	uint8_t payload[PAYLOAD], written[PAYLOAD];
	uint32_t size = golden_bytes("state", payload);
	struct group_head head = head_of(GROUP_STATE, GROUP_FLAG_FROZEN, 0, 1);
	struct perron_reader r = perron_reader_of(payload, size);
	struct group_change change;
	struct group_state told;

	(void)state;
	assert_head(payload, size, head);
	assert_true(group_head_read(&r, &head) && group_state_read(&r, &change, &told));
	assert_int_equal(change.candidate_count, 2);
	assert_int_equal(change.candidates[0].peer, 101);
	assert_int_equal(change.candidates[0].slot, 1);
	assert_int_equal(change.candidates[1].peer, 102);
	assert_int_equal(change.candidates[1].incarnation, 5);
	assert_int_equal(change.candidates[1].life, 2);
	assert_int_equal(change.candidates[1].slot, 2);
	assert_int_equal(told.reach, 3);
	assert_int_equal(told.view.number, 7);
	assert_int_equal(told.member_count, 2);
	assert_true(told.received[0] == 0xfffffffe && told.received[1] == 5);
	assert_true(told.clock[0] == 0x21 && told.clock[1] == 0x22);
	assert_true(told.stable[0] == 0xfffffffd && told.stable[1] == 4);
	assert_int_equal(group_state_write(written, &head, &change, &told), size);
	assert_memory_equal(written, payload, size);
}

static void data_goes_both_ways(void **state)
{
	uint8_t payload[PAYLOAD], written[PAYLOAD];
	uint32_t size = golden_bytes("data", payload);
	struct group_head head = head_of(GROUP_DATA, 0, 2, 1);
	struct group_data data;
	struct group_item item;

	(void)state;
	assert_head(payload, size, head);
	assert_true(group_data_read(payload, size, 2, &data));
	assert_int_equal(data.sequence, 6);
	assert_int_equal(data.stamp, 0x23);
	assert_true(data.row[0] == 4 && data.row[1] == 5);
	assert_true(data.past[0] == 4 && data.past[1] == 5);
	group_data_write(written, &head, &data);
	uint32_t at = data.items_at, to = data.items_at;
	uint32_t kinds[] = {GROUP_ITEM_MESSAGE, GROUP_ITEM_MESSAGE, GROUP_ITEM_JOIN,
			    GROUP_ITEM_LEAVE};
	for (uint32_t i = 0; i < 4; i++) {
		assert_true(group_item_read(payload, size, &at, &item));
		assert_int_equal(item.kind, kinds[i]);
		assert_int_equal(item.fragment_count, 1);
		if (i == 0) {
			assert_int_equal(item.service, PERRON_GROUP_SAFE);
			assert_memory_equal(item.data, "platform 2 is clear", item.size);
		}
		if (i == 1)
			assert_int_equal(item.group, 5);
		to = group_item_write(written, to, &item);
	}
	assert_false(group_item_read(payload, size, &at, &item));
	assert_int_equal(to, size);
	assert_memory_equal(written, payload, size);
}

static void a_piece_and_a_list_read(void **state)
{
	uint8_t payload[PAYLOAD];
	uint32_t size = golden_bytes("data, again, a piece", payload);
	struct group_item item;
	struct group_data data;

	(void)state;
	assert_head(payload, size, head_of(GROUP_DATA, GROUP_FLAG_AGAIN, 3, 0));
	assert_true(group_data_read(payload, size, 3, &data));
	uint32_t at = data.items_at;
	assert_true(group_item_read(payload, size, &at, &item));
	assert_int_equal(item.size, PERRON_GROUP_FRAGMENT_SIZE);
	assert_int_equal(item.fragment_index, 0);
	assert_int_equal(item.fragment_count, 2);
	assert_int_equal(item.service, PERRON_GROUP_CAUSAL);
	assert_int_equal(item.data[1183], (7 * 1183 + 3) & 0xff);
	size = golden_bytes("data, the list", payload);
	assert_true(group_data_read(payload, size, 1, &data));
	at = data.items_at;
	assert_true(group_item_read(payload, size, &at, &item));
	assert_int_equal(item.kind, GROUP_ITEM_LIST);
	assert_int_equal(item.size, 8);
	assert_int_equal(perron_load32(item.data + 4), 9);
}

static void status_goes_both_ways(void **state)
{
	uint8_t payload[PAYLOAD], written[PAYLOAD];
	uint32_t size = golden_bytes("status", payload);
	struct group_head head = head_of(GROUP_STATUS, GROUP_FLAG_ANSWER, 2, 1);
	struct perron_reader r = perron_reader_of(payload, size);
	struct group_status status;

	(void)state;
	assert_head(payload, size, head);
	assert_true(group_head_read(&r, &head) && group_status_read(&r, 2, &status));
	assert_int_equal(status.clock, 0x24);
	assert_int_equal(status.sent, 6);
	assert_true(status.row[0] == 4 && status.row[1] == 6);
	assert_int_equal(group_status_write(written, &head, &status), size);
	assert_memory_equal(written, payload, size);
}

static void the_short_ones_are_as_they_were(void **state)
{
	uint8_t payload[PAYLOAD];

	(void)state;
	assert_head(payload, golden_bytes("leave", payload), head_of(GROUP_LEAVE, 0, 0, 0));
	assert_head(payload, golden_bytes("refuse", payload), head_of(GROUP_REFUSE, 0, 0, 0));
	assert_int_equal(perron_load32(payload + GROUP_HEAD_SIZE), 12);
	assert_head(payload, golden_bytes("commit", payload), head_of(GROUP_COMMIT, 0, 0, 0));
	assert_int_equal(perron_load32(payload + GROUP_HEAD_SIZE + 4), 3);
	assert_head(payload, golden_bytes("ready", payload), head_of(GROUP_READY, 0, 0, 1));
	assert_head(payload, golden_bytes("nack", payload), head_of(GROUP_NACK, 0, 2, 0));
	assert_true(perron_load32(payload + GROUP_HEAD_SIZE + 4) == 0x80000005);
}

/* --- limits --- */

static void a_head_out_of_range_is_refused(void **state)
{
	uint8_t payload[PAYLOAD];
	uint32_t size = golden_bytes("status", payload);
	struct {
		uint32_t at;
		uint8_t value;
	} bad[] = {{0, 0}, {0, GROUP_KIND_COUNT}, {0, 255}, {2, 17}, {3, 16}};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t good = payload[bad[i].at];
		payload[bad[i].at] = bad[i].value;
		assert_false(payload_read(payload, size));
		payload[bad[i].at] = good;
	}
	assert_true(payload_read(payload, size));
	memset(payload + 4, 0, 8);
	assert_false(payload_read(payload, size));
}

/* Sixteen members: the largest state and the largest packet fit, one more is refused. */
static void sixteen_members_fit(void **state)
{
	struct group_head head = head_of(GROUP_STATE, 0, 16, 15);
	struct group_change change = {.candidate_count = 16}, read;
	struct group_state told = {.member_count = 16, .reach = 0xffff}, got;
	uint8_t payload[PAYLOAD];

	(void)state;
	for (uint32_t i = 0; i < 16; i++) {
		change.candidates[i] =
			(struct perron_group_member){101 + i, i, 2 * i, (uint8_t)(i + 1)};
		told.received[i] = told.clock[i] = told.stable[i] = UINT32_MAX - i;
	}
	uint32_t size = group_state_write(payload, &head, &change, &told);
	struct perron_reader r = perron_reader_of(payload, size);
	assert_int_equal(size, 24 + 1 + 16 * 13 + 4 + 12 + 1 + 3 * 64);
	assert_true(group_head_read(&r, &head) && group_state_read(&r, &read, &got));
	assert_int_equal(read.candidates[15].life, 30);
	assert_true(got.stable[15] == UINT32_MAX - 15);
	payload[GROUP_HEAD_SIZE] = 17;
	assert_false(payload_read(payload, size));
	payload[GROUP_HEAD_SIZE] = 0;
	assert_false(payload_read(payload, size));
}

static void a_state_of_no_view_or_too_large_a_one_is_refused(void **state)
{
	uint8_t payload[PAYLOAD];
	uint32_t size = golden_bytes("state, alone", payload);
	uint32_t count_at = GROUP_HEAD_SIZE + 1 + 13 + 4 + 12;

	(void)state;
	assert_int_equal(payload[count_at], 1);
	payload[count_at] = 0;
	assert_false(payload_read(payload, size - 12));
	payload[count_at] = 17;
	assert_false(payload_read(payload, size));
}

static void a_hello_without_a_slot_or_too_far_reaching_is_refused(void **state)
{
	struct group_head head = head_of(GROUP_HELLO, 0, 0, 0);
	struct group_hello hello = {.slot = 1, .reach_count = GROUP_SIBLING_MAX};
	uint8_t payload[PAYLOAD];
	uint32_t size = group_hello_write(payload, &head, &hello);

	(void)state;
	assert_int_equal(size, GROUP_HEAD_SIZE + 10 + 4 * GROUP_SIBLING_MAX);
	assert_true(payload_read(payload, size));
	payload[GROUP_HEAD_SIZE + 9] = GROUP_SIBLING_MAX + 1;
	assert_false(payload_read(payload, size + 4 > PAYLOAD ? size : size + 4));
	payload[GROUP_HEAD_SIZE + 9] = GROUP_SIBLING_MAX;
	payload[GROUP_HEAD_SIZE + 8] = 0;
	assert_false(payload_read(payload, size));
}

static bool item_reads(struct group_item item)
{
	static const uint8_t bytes[PERRON_PAYLOAD_SIZE_MAX];
	struct group_head head = head_of(GROUP_DATA, 0, 1, 0);
	struct group_data data = {.sequence = 1, .stamp = 1};
	uint8_t payload[PAYLOAD];
	uint32_t at = group_items_at(1);

	group_data_write(payload, &head, &data);
	item.data = bytes;
	at += group_item_write(payload + at, 0, &item);
	return group_data_read(payload, at, 1, &data);
}

static void a_flag_that_means_nothing_in_a_kind_is_refused(void **state)
{
	uint8_t payload[PAYLOAD];

	(void)state;
	for (size_t i = 0; i < GOLDEN_COUNT; i++) {
		uint32_t size = golden_bytes(group_goldens[i].name, payload);
		payload[1] |= 0x80;
		assert_false(payload_read(payload, size));
		payload[1] &= 0x7f;
		payload[1] |= payload[0] == GROUP_DATA ? GROUP_FLAG_FROZEN : GROUP_FLAG_AGAIN;
		assert_false(payload_read(payload, size));
	}
}

static void an_items_reserved_bytes_are_zero(void **state)
{
	uint8_t payload[PAYLOAD];
	uint32_t size = golden_bytes("data", payload);

	(void)state;
	for (uint32_t i = 6; i < 8; i++) {
		payload[group_items_at(2) + i] = 1;
		assert_false(payload_read(payload, size));
		payload[group_items_at(2) + i] = 0;
	}
	assert_true(payload_read(payload, size));
}

static void an_item_out_of_range_is_refused(void **state)
{
	const struct group_item good = {
		.service = PERRON_GROUP_SAFE, .fragment_count = 1, .size = 1};
	struct group_item item = good;

	(void)state;
	assert_true(item_reads(item));
	item.kind = GROUP_ITEM_KIND_COUNT;
	assert_false(item_reads(item));
	item = good;
	item.service = PERRON_GROUP_SERVICE_COUNT;
	assert_false(item_reads(item));
	item = good;
	item.size = 0;
	assert_false(item_reads(item));
	item.size = PERRON_GROUP_FRAGMENT_SIZE;
	assert_true(item_reads(item));
	item.size = PERRON_GROUP_FRAGMENT_SIZE + 1;
	assert_false(item_reads(item));
	item = good;
	item.fragment_count = 0;
	assert_false(item_reads(item));
	item.fragment_count = PERRON_GROUP_FRAGMENT_COUNT_MAX;
	item.fragment_index = PERRON_GROUP_FRAGMENT_COUNT_MAX - 1;
	assert_true(item_reads(item));
	item.fragment_index = PERRON_GROUP_FRAGMENT_COUNT_MAX;
	assert_false(item_reads(item));
	item.fragment_count = PERRON_GROUP_FRAGMENT_COUNT_MAX + 1;
	assert_false(item_reads(item));
	/* What is no message is agreed on, and whole. */
	item = (struct group_item){.kind = GROUP_ITEM_JOIN, .fragment_count = 1};
	assert_false(item_reads(item));
	item.service = PERRON_GROUP_AGREED;
	assert_true(item_reads(item));
	item.fragment_count = 2;
	assert_false(item_reads(item));
}

static void a_packet_without_items_is_refused(void **state)
{
	uint8_t payload[PAYLOAD];
	struct group_data data;

	(void)state;
	(void)golden_bytes("data", payload);
	assert_false(group_data_read(payload, group_items_at(2), 2, &data));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_has_a_golden_and_reads),
		cmocka_unit_test(a_payload_that_is_cut_or_longer_is_refused),
		cmocka_unit_test(a_packet_may_end_behind_an_item_alone),
		cmocka_unit_test(hello_goes_both_ways),
		cmocka_unit_test(state_goes_both_ways),
		cmocka_unit_test(data_goes_both_ways),
		cmocka_unit_test(a_piece_and_a_list_read),
		cmocka_unit_test(status_goes_both_ways),
		cmocka_unit_test(the_short_ones_are_as_they_were),
		cmocka_unit_test(a_head_out_of_range_is_refused),
		cmocka_unit_test(sixteen_members_fit),
		cmocka_unit_test(a_state_of_no_view_or_too_large_a_one_is_refused),
		cmocka_unit_test(a_hello_without_a_slot_or_too_far_reaching_is_refused),
		cmocka_unit_test(a_flag_that_means_nothing_in_a_kind_is_refused),
		cmocka_unit_test(an_items_reserved_bytes_are_zero),
		cmocka_unit_test(an_item_out_of_range_is_refused),
		cmocka_unit_test(a_packet_without_items_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
