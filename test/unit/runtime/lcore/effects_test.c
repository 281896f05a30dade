#include "runtime/lcore/effects.h"

#include <rte_mempool.h>
#include <string.h>

#include "test/unit/runtime/lcore/host.h"

static uint64_t handle_of(struct rte_mbuf *mbuf)
{
	return (uint64_t)(uintptr_t)mbuf;
}

static const uint8_t *sent_frame(uint32_t index)
{
	return rte_pktmbuf_mtod_offset(host.sent[index], const uint8_t *, PERRON_NET_HEADER_SIZE);
}

static void a_send_leaves_by_its_class_with_headers_before_it(void **state)
{
	const struct perron_header header = {.type = PERRON_TYPE_BEAT,
					     .class = PERRON_CLASS_OVERLAY,
					     .fragment_count = 1,
					     .length = 4,
					     .overlay = HOST_OVERLAY,
					     .source = 1,
					     .destination = 50};
	struct perron_effects *e = host_effects();
	struct perron_header seen;

	(void)state;
	uint8_t *frame = perron_effects_frame(e, 4);
	memcpy(frame + PERRON_HEADER_SIZE, "beat", 4);
	perron_effects_send(e, frame, &header, host_endpoint(HOST_NEIGHBOUR));
	perron_lcore_effects_apply(&host.l, 0);
	assert_int_equal(perron_lcore_flush(&host.l), 1);
	assert_int_equal(host.sent_class[0], PERRON_CLASS_OVERLAY);
	assert_int_equal(rte_pktmbuf_pkt_len(host.sent[0]),
			 PERRON_NET_HEADER_SIZE + PERRON_HEADER_SIZE + 4);
	assert_int_equal(perron_frame_decode(sent_frame(0), PERRON_HEADER_SIZE + 4, &seen),
			 PERRON_DROP_NONE);
	assert_int_equal(seen.destination, 50);
}

static void an_unknown_neighbour_is_asked_for_and_the_frame_counted(void **state)
{
	struct rte_mbuf *mbuf = host_frame(0, PERRON_CLASS_NORMAL, 10, false);

	(void)state;
	perron_lcore_send(&host.l, mbuf, PERRON_CLASS_NORMAL, host_endpoint(0x0a000009), 9);
	assert_int_equal(host.l.counters.drop[PERRON_DROP_UNRESOLVED], 1);
	perron_lcore_flush(&host.l);
	assert_int_equal(host.sent_count, 1);
	assert_int_equal(rte_pktmbuf_pkt_len(host.sent[0]), PERRON_NET_ARP_SIZE);
}

static struct rte_mbuf *input_mbuf;
static bool hold_first;

static void forward_last(struct host_machine *m, const struct perron_frame *in, uint32_t count,
			 struct perron_effects *out)
{
	const struct perron_hop hop = host_hop(50);

	(void)m;
	assert_int_equal(count, 1);
	input_mbuf = (struct rte_mbuf *)(uintptr_t)in[0].handle;
	if (hold_first)
		perron_effects_hold(out, in[0].handle);
	perron_effects_forward(out, in[0].handle, host_endpoint(HOST_NEIGHBOUR),
			       PERRON_CLASS_NORMAL, &hop, PERRON_EFFECT_LAST);
}

static void the_last_forward_rewrites_in_place(void **state)
{
	struct perron_header seen;

	(void)state;
	hold_first = false;
	host.mine[0].on_input = forward_last;
	host_give(0, PERRON_CLASS_NORMAL, 100, false);
	assert_true(perron_lcore_turn(&host.l));
	assert_int_equal(host.sent_count, 1);
	assert_ptr_equal(host.sent[0], input_mbuf);
	assert_int_equal(host.l.counters.copied, 0);
	assert_int_equal(perron_frame_decode(sent_frame(0), PERRON_HEADER_SIZE + 100, &seen),
			 PERRON_DROP_NONE);
	assert_int_equal(seen.destination, 50);
	assert_int_equal(seen.link_sequence, 11);
	assert_int_equal(seen.stream, 5);
}

static void a_held_frame_is_never_rewritten(void **state)
{
	struct perron_header seen;

	(void)state;
	hold_first = true;
	host.mine[0].on_input = forward_last;
	host_give(0, PERRON_CLASS_NORMAL, 100, false);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.sent_count, 1);
	assert_ptr_not_equal(host.sent[0], input_mbuf);
	assert_int_equal(perron_frame_decode(rte_pktmbuf_mtod(input_mbuf, const uint8_t *),
					     PERRON_HEADER_SIZE + 100, &seen),
			 PERRON_DROP_NONE);
	assert_int_equal(seen.destination, 1);
	perron_effects_release(host_effects(), handle_of(input_mbuf));
	perron_lcore_effects_apply(&host.l, 0);
}

static void holds_are_counted(void **state)
{
	struct rte_mbuf *mbuf = host_frame(0, PERRON_CLASS_NORMAL, 10, false);
	struct perron_effects *e = host_effects();

	(void)state;
	perron_effects_hold(e, handle_of(mbuf));
	perron_effects_hold(e, handle_of(mbuf));
	perron_lcore_effects_apply(&host.l, 0);
	assert_int_equal(rte_mbuf_refcnt_read(mbuf), 3);
	rte_pktmbuf_free(mbuf);
	perron_effects_release(host_effects(), handle_of(mbuf));
	perron_lcore_effects_apply(&host.l, 0);
	assert_int_equal(rte_mbuf_refcnt_read(mbuf), 1);
	perron_effects_release(host_effects(), handle_of(mbuf));
	perron_lcore_effects_apply(&host.l, 0);
}

static void a_release_without_hold_fails(void **state)
{
	struct rte_mbuf *mbuf = host_frame(0, PERRON_CLASS_NORMAL, 10, false);

	(void)state;
	perron_effects_release(host_effects(), handle_of(mbuf));
	expect_assert_failure(perron_lcore_effects_apply(&host.l, 0));
	rte_pktmbuf_free(mbuf);
}

static void fan_out(struct host_machine *m, const struct perron_frame *in, uint32_t count,
		    struct perron_effects *out)
{
	(void)m;
	(void)count;
	for (uint32_t i = 0; i < 4; i++) {
		const struct perron_hop hop = host_hop(50 + i);
		perron_effects_forward(out, in[0].handle, host_endpoint(HOST_NEIGHBOUR),
				       PERRON_CLASS_NORMAL, &hop, i == 3 ? PERRON_EFFECT_LAST : 0);
	}
}

/* Each copy has its own hop and the same payload, wherever its bytes are. */
static void fan_out_check(uint32_t payload_size)
{
	uint8_t bytes[PERRON_FRAME_SIZE_MAX];
	struct perron_header seen;

	assert_int_equal(host.sent_count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		const uint8_t *frame = rte_pktmbuf_read(host.sent[i], PERRON_NET_HEADER_SIZE,
							PERRON_HEADER_SIZE + payload_size, bytes);
		assert_non_null(frame);
		assert_int_equal(
		    perron_frame_decode(frame, PERRON_HEADER_SIZE + payload_size, &seen),
		    PERRON_DROP_NONE);
		assert_int_equal(seen.destination, 50 + i);
	}
}

static void fan_out_copies_where_the_port_takes_no_chains(void **state)
{
	(void)state;
	host.mine[0].on_input = fan_out;
	host_give(0, PERRON_CLASS_NORMAL, 300, false);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.l.counters.copied, 3);
	assert_int_equal(host.l.counters.cloned, 0);
	fan_out_check(300);
}

static void fan_out_refers_to_the_payload_where_the_port_can(void **state)
{
	(void)state;
	host.l.clones = true;
	host.mine[0].on_input = fan_out;
	host_give(0, PERRON_CLASS_NORMAL, 300, false);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.l.counters.copied, 0);
	assert_int_equal(host.l.counters.cloned, 3);
	assert_int_equal(host.sent[0]->nb_segs, 2);
	/* The frame itself and the three that refer to it. */
	assert_int_equal(rte_mbuf_refcnt_read(host.sent[3]), 4);
	fan_out_check(300);
}

static void traced_frames_are_always_copied(void **state)
{
	(void)state;
	host.l.clones = true;
	host.mine[0].on_input = fan_out;
	host_give(0, PERRON_CLASS_NORMAL, PERRON_TRACE_SIZE + 10, true);
	perron_lcore_turn(&host.l);
	assert_int_equal(host.l.counters.cloned, 0);
	assert_int_equal(host.l.counters.copied, 3);
	fan_out_check(PERRON_TRACE_SIZE + 10);
}

static void events_go_to_housekeeping_until_its_ring_is_full(void **state)
{
	uint32_t size, tag, count = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		struct perron_event *event = perron_effects_event(host_effects(), 1000);
		event->kind = PERRON_EVENT_CONTROL;
		event->sequence = (uint64_t)i;
		perron_lcore_effects_apply(&host.l, 1);
	}
	const struct perron_event *first = perron_spsc_peek(host.l.events, &size, &tag);
	assert_int_equal(tag, 1);
	assert_int_equal(first->sequence, 0);
	while (perron_spsc_peek(host.l.events, &size, &tag)) {
		perron_spsc_pop(host.l.events);
		count++;
	}
	assert_true(count < 100);
	assert_int_equal(host.l.counters.drop[PERRON_DROP_EVENT_FULL], 100 - count);
}

static void a_delivery_reaches_the_machines_owner(void **state)
{
	struct rte_mbuf *mbuf = host_frame(0, PERRON_CLASS_NORMAL, 10, false);

	(void)state;
	perron_effects_deliver(host_effects(), handle_of(mbuf), 7);
	perron_lcore_effects_apply(&host.l, 2);
	assert_int_equal(host.mine[2].delivered, 7);
	rte_pktmbuf_free(mbuf);
}

static void an_empty_pool_is_counted(void **state)
{
	static struct rte_mbuf *all[HOST_POOL_COUNT];
	struct rte_mbuf *mbuf = host_frame(0, PERRON_CLASS_NORMAL, 10, false);
	const struct perron_hop hop = host_hop(50);
	uint32_t count = 0;

	(void)state;
	while (count < HOST_POOL_COUNT && (all[count] = rte_pktmbuf_alloc(host.l.pool)))
		count++;
	perron_effects_forward(host_effects(), handle_of(mbuf), host_endpoint(HOST_NEIGHBOUR),
			       PERRON_CLASS_NORMAL, &hop, 0);
	perron_lcore_effects_apply(&host.l, 0);
	assert_int_equal(host.l.counters.drop[PERRON_DROP_NO_BUFFER], 1);
	rte_pktmbuf_free_bulk(all, count);
	rte_pktmbuf_free(mbuf);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, host_reset, host_check)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_send_leaves_by_its_class_with_headers_before_it),
	    TEST(an_unknown_neighbour_is_asked_for_and_the_frame_counted),
	    TEST(the_last_forward_rewrites_in_place),
	    TEST(a_held_frame_is_never_rewritten),
	    TEST(holds_are_counted),
	    TEST(a_release_without_hold_fails),
	    TEST(fan_out_copies_where_the_port_takes_no_chains),
	    TEST(fan_out_refers_to_the_payload_where_the_port_can),
	    TEST(traced_frames_are_always_copied),
	    TEST(events_go_to_housekeeping_until_its_ring_is_full),
	    TEST(a_delivery_reaches_the_machines_owner),
	    TEST(an_empty_pool_is_counted),
	};

	return cmocka_run_group_tests(tests, host_begin, host_end);
}
