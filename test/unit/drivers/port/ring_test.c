/* The in-process ring: pairs and loops, what is shared gets copied, ownership, waking. */
#include "test/unit/support.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "drivers/port/port.h"
#include "test/unit/drivers/port/eal.h"

struct asked {
	struct perron_port_config config;
	struct perron_option_value options[4];
};

static void ask(struct asked *asked, uint32_t index, const char *link, const char *to,
		const char *wake)
{
	memset(asked, 0, sizeof(*asked));
	const char *pairs[4][2] = {{"link", link}, {"to", to}, {"wake", wake}, {"size", "64"}};
	for (int i = 0; i < 4; i++) {
		snprintf(asked->options[i].key, sizeof(asked->options[i].key), "%s", pairs[i][0]);
		snprintf(asked->options[i].value, sizeof(asked->options[i].value), "%s",
			 pairs[i][1]);
	}
	asked->config = (struct perron_port_config){
	    .index = index, .driver = "ring", .options = asked->options, .option_count = 4};
	char error[PERRON_PORT_ERROR_SIZE];
	uint32_t culprit;
	if (perron_port_config_check(&asked->config, &culprit, error, sizeof(error)))
		fail_msg("%s", error);
}

static void open_port(struct perron_port *port, struct asked *asked)
{
	char error[PERRON_PORT_ERROR_SIZE];
	if (perron_port_open(port, &asked->config, pool, error, sizeof(error)))
		fail_msg("%s", error);
}

static void test_frames_come_out_of_the_peer_in_order(void **state)
{
	(void)state;
	struct asked a, b;
	struct perron_port pa, pb;
	struct rte_mbuf *frames[32], *got[32];
	ask(&a, 0, "line", "peer", "no");
	ask(&b, 1, "line", "peer", "no");
	open_port(&pa, &a);
	struct perron_port_link link;
	perron_port_link_read(&pa, &link);
	assert_false(link.up);
	open_port(&pb, &b);
	perron_port_link_read(&pa, &link);
	assert_true(link.up);
	assert_memory_not_equal(pa.mac, pb.mac, sizeof(pa.mac));
	for (uint32_t i = 0; i < 32; i++)
		frames[i] = frame_make(i);
	assert_int_equal(perron_port_transmit(&pa, 0, 0, frames, 32), 32);
	assert_int_equal(perron_port_receive(&pa, 0, got, 32), 0);
	assert_int_equal(perron_port_receive(&pb, 0, got, 20), 20);
	assert_int_equal(perron_port_receive(&pb, 0, got + 20, 32), 12);
	for (uint32_t i = 0; i < 32; i++) {
		assert_int_equal(frame_number(got[i]), i);
		assert_ptr_equal(got[i], frames[i]);
	}
	assert_int_equal(perron_port_transmit(&pb, 0, 3, got, 32), 32);
	assert_int_equal(perron_port_receive(&pa, 0, got, 32), 32);
	rte_pktmbuf_free_bulk(got, 32);
	struct perron_port_statistics statistics;
	perron_port_statistics_read(&pb, &statistics);
	assert_int_equal(statistics.of[PERRON_PORT_COUNTER_RX_FRAMES], 32);
	assert_int_equal(statistics.of[PERRON_PORT_COUNTER_TX_BYTES], 3200);
	perron_port_close(&pa);
	perron_port_close(&pb);
	perron_port_close(&pb);
	assert_nothing_leaks();
}

static void test_a_full_ring_refuses_and_the_caller_keeps(void **state)
{
	(void)state;
	struct asked a;
	struct perron_port port;
	struct rte_mbuf *frames[32];
	ask(&a, 0, "loop", "self", "no");
	open_port(&port, &a);
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 32; i++)
			frames[i] = frame_make(i);
		uint16_t sent = perron_port_transmit(&port, 0, 0, frames, 32);
		assert_int_equal(sent, round < 2 ? 32 : 0);
		rte_pktmbuf_free_bulk(frames + sent, 32u - sent);
	}
	struct perron_port_statistics statistics;
	perron_port_statistics_read(&port, &statistics);
	assert_int_equal(statistics.of[PERRON_PORT_COUNTER_TX_REFUSED], 32);
	assert_int_equal(statistics.of[PERRON_PORT_COUNTER_TX_FRAMES], 64);
	assert_int_equal(statistics.of[PERRON_PORT_COUNTER_TX_BYTES], 6400);
	assert_int_equal(perron_port_receive(&port, 0, frames, 1), 1);
	assert_int_equal(frame_number(frames[0]), 0);
	rte_pktmbuf_free(frames[0]);
	/* What is still under way is freed by close. */
	perron_port_close(&port);
	assert_nothing_leaks();
}

static void test_the_receiver_owns_what_it_gets(void **state)
{
	(void)state;
	struct asked a;
	struct perron_port port;
	ask(&a, 0, "loop", "self", "no");
	open_port(&port, &a);
	/* Shared with the sender, who keeps it for a retry; chained; a reference to another's data.
	 */
	struct rte_mbuf *shared = frame_make(1), *chained = frame_make(2), *tail = frame_make(3);
	rte_mbuf_refcnt_update(shared, 1);
	assert_int_equal(rte_pktmbuf_chain(chained, tail), 0);
	struct rte_mbuf *clone = rte_pktmbuf_clone(shared, pool);
	assert_non_null(clone);
	struct rte_mbuf *frames[3] = {shared, chained, clone}, *got[3];
	assert_int_equal(perron_port_transmit(&port, 0, 0, frames, 3), 3);
	assert_int_equal(perron_port_receive(&port, 0, got, 3), 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(got[i]->nb_segs, 1);
		assert_int_equal(rte_mbuf_refcnt_read(got[i]), 1);
		assert_true(RTE_MBUF_DIRECT(got[i]));
	}
	assert_ptr_not_equal(got[0], shared);
	assert_int_equal(frame_number(got[0]), 1);
	assert_int_equal(got[1]->pkt_len, 200);
	assert_int_equal(frame_number(got[2]), 1);
	*rte_pktmbuf_mtod(got[0], uint32_t *) = 99;
	assert_int_equal(frame_number(shared), 1);
	rte_pktmbuf_free(shared);
	rte_pktmbuf_free_bulk(got, 3);
	perron_port_close(&port);
	assert_nothing_leaks();
}

static void expect_refusal(struct asked *asked, int result, const char *says)
{
	struct perron_port port;
	char error[PERRON_PORT_ERROR_SIZE] = "";
	assert_int_equal(perron_port_open(&port, &asked->config, pool, error, sizeof(error)),
			 result);
	if (!strstr(error, says))
		fail_msg("\"%s\" does not say \"%s\"", error, says);
	perron_port_close(&port);
}

static void test_a_link_has_two_ends(void **state)
{
	(void)state;
	struct asked a, b, c;
	struct perron_port pa, pb;
	ask(&a, 0, "line", "peer", "no");
	ask(&b, 1, "line", "peer", "no");
	ask(&c, 2, "line", "peer", "no");
	open_port(&pa, &a);
	open_port(&pb, &b);
	expect_refusal(&c, -EBUSY, "both its ports");
	perron_port_close(&pa);
	open_port(&pa, &c);
	perron_port_close(&pa);
	perron_port_close(&pb);
	ask(&a, 0, "line", "self", "no");
	open_port(&pa, &a);
	expect_refusal(&b, -EINVAL, "to: self");
	expect_refusal(&a, -EBUSY, "both its ports");
	perron_port_close(&pa);
}

static bool is_readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	return poll(&poll_fd, 1, 0) == 1;
}

static void test_a_sleeper_is_woken_once(void **state)
{
	(void)state;
	struct asked a, b;
	struct perron_port pa, pb;
	struct rte_mbuf *got[4];
	ask(&a, 0, "line", "peer", "yes");
	ask(&b, 1, "line", "peer", "yes");
	open_port(&pa, &a);
	open_port(&pb, &b);
	int fd = perron_port_wake_fd(&pb);
	assert_true(fd >= 0);
	struct rte_mbuf *frame = frame_make(1);
	assert_int_equal(perron_port_transmit(&pa, 0, 0, &frame, 1), 1);
	assert_false(is_readable(fd)); /* it does not sleep */
	assert_int_equal(perron_port_wake_arm(&pb), 0);
	assert_int_equal(perron_port_receive(&pb, 0, got, 4), 1); /* the last poll finds it */
	rte_pktmbuf_free(got[0]);
	for (uint32_t i = 0; i < 2; i++) {
		frame = frame_make(i);
		assert_int_equal(perron_port_transmit(&pa, 0, 0, &frame, 1), 1);
		assert_true(is_readable(fd));
	}
	assert_int_equal(perron_port_wake_disarm(&pb), 0);
	assert_false(is_readable(fd));
	assert_int_equal(perron_port_receive(&pb, 0, got, 4), 2);
	rte_pktmbuf_free_bulk(got, 2);
	perron_port_close(&pa);
	perron_port_close(&pb);
	ask(&a, 0, "line", "self", "no");
	open_port(&pa, &a);
	assert_int_equal(perron_port_wake_fd(&pa), -ENOTSUP);
	assert_int_equal(perron_port_wake_arm(&pa), -ENOTSUP);
	perron_port_close(&pa);
	assert_nothing_leaks();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frames_come_out_of_the_peer_in_order),
	    cmocka_unit_test(test_a_full_ring_refuses_and_the_caller_keeps),
	    cmocka_unit_test(test_the_receiver_owns_what_it_gets),
	    cmocka_unit_test(test_a_link_has_two_ends),
	    cmocka_unit_test(test_a_sleeper_is_woken_once),
	};
	return cmocka_run_group_tests(tests, eal_start, eal_end);
}
