/*
 * Paper 004 (Wackamole, from Total Order to Database Replication, the Spread toolkit): a test a
 * sentence, of its section on virtual synchrony (1040-1075), its model and extended virtual
 * synchrony (1375-1500), Lamport stamps and safe delivery (1734-1770), and appendix 1.
 */
#include "test/unit/support.h"

#include <errno.h>
#include <string.h>

#include "test/unit/ft/cell.h"

#define FIFO   PERRON_GROUP_FIFO
#define CAUSAL PERRON_GROUP_CAUSAL
#define AGREED PERRON_GROUP_AGREED
#define SAFE   PERRON_GROUP_SAFE

static void assert_story(struct cell *w, uint32_t id, const char *story)
{
	if (strcmp(cell_story(w, id), story) != 0)
		fail_msg("peer %u was told \"%s\", not \"%s\"", id, cell_story(w, id), story);
}

static void assert_stories(struct cell *w, uint32_t first, uint32_t last, const char *story)
{
	for (uint32_t id = first; id <= last; id++)
		assert_story(w, id, story);
}

static void assert_ends(struct cell *w, uint32_t first, uint32_t last, const char *end)
{
	for (uint32_t id = first; id <= last; id++) {
		const char *story = cell_story(w, id);
		size_t size = strlen(story);
		if (size < strlen(end) || strcmp(story + size - strlen(end), end) != 0)
			fail_msg("peer %u was told \"%s\", which does not end \"%s\"", id, story,
				 end);
	}
}

static void send(struct cell *w, uint32_t id, enum perron_group_service service, const char *text)
{
	assert_int_equal(cell_send(w, id, 0, service, text), 0);
}

/* How many steps until the peer is given a message. */
static uint32_t steps_until_given(struct cell *w, uint32_t id)
{
	uint32_t steps = 0;

	while (!*cell_story(w, id) && steps++ < 100)
		cell_run(w, 1);
	return steps;
}

/* --- 1040-1075: what the application relies on --- */

/* "a uniquely ordered list of the currently connected participants" */
static void each_server_has_the_same_ordered_list(void **state)
{
	struct cell *w = cell_make(5);
	struct perron_group_info first = cell_info(w, 1);

	(void)state;
	assert_int_equal(first.view.member_count, 5);
	for (uint32_t id = 1; id <= 5; id++) {
		struct perron_group_info info = cell_info(w, id);
		assert_true(perron_group_view_id_equal(&info.view.id, &first.view.id));
		assert_int_equal(info.view.self, id - 1);
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(info.view.members[i].peer, i + 1);
	}
	cell_free(w);
}

/* "will switch to the operational state": once a set of connected servers is left alone */
static void connected_servers_become_operational(void **state)
{
	struct cell *w = cell_make(5);

	(void)state;
	cell_part(w, 1u << 1 | 1u << 3);
	cell_run(w, CELL_LONG_MS);
	for (uint32_t id = 1; id <= 5; id++) {
		assert_int_equal(cell_info(w, id).state, PERRON_GROUP_STATE_OPERATIONAL);
		assert_int_equal(cell_info(w, id).view.member_count, id == 1 || id == 3 ? 2 : 3);
	}
	cell_free(w);
}

/* "any two servers that advance together ... will deliver an identical set of messages" */
static void those_who_advance_together_delivered_an_identical_set(void **state)
{
	struct cell *w = cell_make(4);

	(void)state;
	/* Of what 4 says last, 3 gets nothing from it; it gets it from those it goes on with. */
	w->lost_kind = CELL_KIND_DATA;
	w->lost_to = 3;
	send(w, 4, FIFO, "last");
	w->lost_kind = 0;
	cell_run(w, 1);
	cell_kill(w, 4);
	assert_story(w, 1, "last");
	assert_story(w, 3, "");
	cell_run(w, CELL_LONG_MS);
	assert_stories(w, 1, 3, "last (1 2 3) [1 2 3]");
	cell_free(w);
}

/* "additionally, the messages will be delivered in the same order at all servers" */
static void agreed_messages_come_in_the_same_order_everywhere(void **state)
{
	struct cell *w = cell_make(4);
	static const char *const texts[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		send(w, 1 + i % 4, i % 2 ? AGREED : SAFE, texts[i]);
		if (i == 4)
			cell_run(w, 1);
	}
	cell_run(w, 100);
	assert_int_equal(strlen(cell_story(w, 1)), 15);
	assert_stories(w, 2, 4, cell_story(w, 1));
	cell_free(w);
}

/* --- 1375-1430: the model --- */

/* "Nodes situated in different components cannot exchange messages" */
static void each_component_goes_on_by_itself(void **state)
{
	struct cell *w = cell_make(5);

	(void)state;
	cell_part(w, 1u << 4 | 1u << 5);
	cell_run(w, CELL_LONG_MS);
	assert_stories(w, 1, 3, "(1 2 3) [1 2 3]");
	assert_stories(w, 4, 5, "(4 5) [4 5]");
	cell_forget(w);
	send(w, 1, SAFE, "here");
	send(w, 5, SAFE, "there");
	cell_run(w, 100);
	assert_stories(w, 1, 3, "here");
	assert_stories(w, 4, 5, "there");
	cell_free(w);
}

/* "Two or more components may subsequently merge to form a larger component" */
static void components_merge_into_a_larger_one(void **state)
{
	struct cell *w = cell_make(5);

	(void)state;
	cell_part(w, 1u << 4 | 1u << 5);
	cell_run(w, CELL_LONG_MS);
	cell_forget(w);
	cell_part(w, 0);
	cell_run(w, CELL_LONG_MS);
	/* Perhaps one after the other. */
	assert_ends(w, 1, 5, "[1 2 3 4 5]");
	assert_stories(w, 2, 3, cell_story(w, 1));
	assert_int_equal(strncmp(cell_story(w, 1), "(1 2 3) [1 2 3 4", 16), 0);
	cell_free(w);
}

/* "a connectivity change, a server crash or recovery, or a voluntary join/leave occurs" */
static void crash_recovery_leave_and_join_are_each_told(void **state)
{
	struct cell *w = cell_make(3);

	(void)state;
	cell_kill(w, 3);
	cell_run(w, CELL_LONG_MS);
	assert_stories(w, 1, 2, "(1 2) [1 2]");
	cell_forget(w);
	cell_start(w, 3);
	cell_run(w, CELL_LONG_MS);
	assert_stories(w, 1, 2, "(1 2) [1 2 3]");
	assert_story(w, 3, "[3] (3) [1 2 3]");
	cell_forget(w);
	cell_leave(w, 3);
	cell_run(w, CELL_LONG_MS);
	assert_stories(w, 1, 2, "(1 2) [1 2]");
	assert_int_equal(cell_send(w, 3, 0, FIFO, "nobody"), -ENOTCONN);
	cell_forget(w);
	cell_enter(w, 3);
	cell_run(w, CELL_LONG_MS);
	assert_stories(w, 1, 2, "(1 2) [1 2 3]");
	cell_free(w);
}

/* --- 4.1: extended virtual synchrony --- */

/* "splits the view-change notification into two notifications" */
static void a_change_is_told_in_two_parts(void **state)
{
	struct cell *w = cell_make(3);
	struct perron_group_info before = cell_info(w, 1);

	(void)state;
	cell_kill(w, 2);
	while (!*cell_story(w, 1))
		cell_run(w, 1);
	cell_run(w, CELL_LONG_MS);
	struct perron_group_info after = cell_info(w, 1);
	assert_story(w, 1, "(1 3) [1 3]");
	assert_false(perron_group_view_id_equal(&before.view.id, &after.view.id));
	cell_free(w);
}

/* "members of the next regular configuration coming directly from the same regular one" */
static void the_transitional_view_has_those_who_come_from_the_same_view(void **state)
{
	struct cell *w = cell_make(5);

	(void)state;
	cell_part(w, 1u << 1 | 1u << 2);
	cell_run(w, CELL_LONG_MS);
	cell_forget(w);
	/* 3, 4 and 5 meet 1, while 2 is lost. */
	cell_part(w, 1u << 2);
	cell_run(w, CELL_LONG_MS);
	assert_story(w, 1, "(1) [1 3 4 5]");
	assert_story(w, 2, "(2) [2]");
	assert_stories(w, 3, 5, "(3 4 5) [1 3 4 5]");
	cell_free(w);
}

/* "every message delivered to any ... member ... is delivered to every ... member, unless ..." */
static void a_safe_message_is_delivered_to_every_member_unless_it_fails(void **state)
{
	struct cell *w = cell_make(3);
	uint32_t delivered = 0;

	(void)state;
	/* The network parts at every moment of the message's life in turn. */
	for (uint32_t ms = 0; ms <= 4; ms++) {
		send(w, 1, SAFE, "safe");
		cell_run(w, ms);
		cell_part(w, 1u << 3);
		cell_run(w, CELL_LONG_MS);
		/* Whoever was given it in the view of three was so because all three were. */
		for (uint32_t id = 1; id <= 3; id++) {
			bool in_view = strncmp(cell_story(w, id), "safe", 4) == 0;
			delivered += in_view;
			for (uint32_t other = 1; in_view && other <= 3; other++)
				assert_non_null(strstr(cell_story(w, other), "safe"));
		}
		cell_part(w, 0);
		cell_run(w, CELL_LONG_MS);
		assert_int_equal(cell_info(w, 1).view.member_count, 3);
		cell_forget(w);
	}
	assert_true(delivered >= 3);
	cell_free(w);
}

/* "received by the group communication layer, are delivered in the transitional configuration" */
static void what_is_not_safe_yet_is_delivered_in_the_transitional_view(void **state)
{
	struct cell *w = cell_make(3);

	(void)state;
	/* 3 is gone before it can say that it has the message. */
	cell_kill(w, 3);
	send(w, 1, SAFE, "unsafe");
	cell_run(w, CELL_LONG_MS);
	assert_stories(w, 1, 2, "(1 2) unsafe [1 2]");
	cell_free(w);
}

/* "No new messages are sent by the group communication in the transitional configuration" */
static void no_new_messages_are_sent_in_the_transitional_view(void **state)
{
	struct cell *w = cell_make(3);

	(void)state;
	cell_kill(w, 3);
	while (cell_info(w, 1).state == PERRON_GROUP_STATE_OPERATIONAL)
		cell_run(w, 1);
	send(w, 1, FIFO, "new");
	cell_run(w, CELL_LONG_MS);
	assert_stories(w, 1, 2, "(1 2) [1 2] new");
	cell_free(w);
}

/* --- 1734-1770: stamps and acknowledgements --- */

/* "provide a global partial causal order on messages": an answer never comes before its question */
static void an_answer_comes_after_its_question(void **state)
{
	struct cell *w = cell_make(3);

	(void)state;
	w->lost_kind = CELL_KIND_DATA;
	w->lost_to = 3;
	send(w, 1, CAUSAL, "question");
	w->lost_kind = 0;
	cell_run(w, 1);
	assert_story(w, 2, "question");
	send(w, 2, CAUSAL, "answer");
	cell_run(w, 1);
	assert_story(w, 3, "");
	cell_run(w, 100);
	assert_stories(w, 1, 3, "question answer");
	cell_free(w);
}

/* "a message from every site that contains a ... time stamp at least equal" */
static void an_agreed_message_waits_for_a_word_from_every_member(void **state)
{
	struct cell *w = cell_make(3);

	(void)state;
	cell_run(w, 100);
	w->lost_kind = CELL_KIND_STATUS;
	w->lost_to = 2;
	send(w, 3, AGREED, "agreed");
	cell_run(w, 20);
	/* 3 heard of both that their clocks are beyond it; 2 did not hear 1. */
	assert_story(w, 3, "agreed");
	assert_story(w, 2, "");
	w->lost_kind = 0;
	cell_run(w, 100);
	assert_stories(w, 1, 3, "agreed");
	cell_free(w);
}

/* "to know that every other daemon in the membership already has the message" */
static void a_safe_message_waits_until_every_member_has_it(void **state)
{
	struct cell *w = cell_make(3);

	(void)state;
	w->lost_kind = CELL_KIND_DATA;
	w->lost_to = 3;
	send(w, 1, SAFE, "safe");
	cell_run(w, 20);
	assert_stories(w, 1, 3, "");
	w->lost_kind = 0;
	cell_run(w, 100);
	assert_stories(w, 1, 3, "safe");
	cell_free(w);
}

/* "the complete table ... would reduce the Safe Delivery latency to ... 2 * Dn" */
static void the_whole_table_makes_it_two_network_diameters(void **state)
{
	struct cell *w = cell_make(3);

	(void)state;
	cell_run(w, 100);
	send(w, 1, SAFE, "safe");
	assert_int_equal(steps_until_given(w, 1), 2);
	assert_stories(w, 1, 3, "safe");
	cell_free(w);
}

/* "cumulative acknowledgements": one for all that came in between */
static void one_acknowledgement_stands_for_many_messages(void **state)
{
	struct cell *w = cell_make(3);

	(void)state;
	cell_run(w, 100);
	w->peers[2].statuses = 0;
	for (uint32_t i = 0; i < 20; i++)
		send(w, 1, FIFO, "many");
	cell_run(w, 50);
	assert_int_equal(cell_info(w, 1).unstable, 0);
	assert_in_range(w->peers[2].statuses, 1, 10);
	cell_free(w);
}

/* --- appendix 1: "N4, when a Safe message is sent by N1" --- */

static void appendix_1_five_daemons_and_one_safe_message(void **state)
{
	struct cell *w = cell_make(5);

	(void)state;
	cell_run(w, 100);
	send(w, 1, SAFE, "safe");
	/* (b): N4 has it, and knows of nobody else that has. */
	cell_run(w, 1);
	assert_story(w, 4, "");
	/* (d): all rows came; what took three rounds there takes two with the whole table. */
	cell_run(w, 1);
	assert_stories(w, 1, 5, "safe");
	cell_free(w);
}

static void appendix_1_and_a_row_that_is_lost(void **state)
{
	struct cell *w = cell_make(5);

	(void)state;
	cell_run(w, 100);
	send(w, 1, SAFE, "safe");
	cell_run(w, 1);
	w->lost_kind = CELL_KIND_STATUS;
	w->lost_to = 4;
	/* All rows of the first round are lost, those of the next ones only on their way to N4. */
	w->head = w->tail;
	cell_run(w, 30);
	assert_story(w, 4, "");
	w->lost_kind = 0;
	cell_run(w, 100);
	assert_stories(w, 1, 5, "safe");
	cell_free(w);
}

/* --- groups over one membership (Spread) --- */

static void a_light_weight_group_is_some_of_the_members(void **state)
{
	struct cell *w = cell_make(4);

	(void)state;
	cell_light(w, 2, 9, true);
	cell_light(w, 4, 9, true);
	cell_run(w, 100);
	assert_int_equal(w->peers[2].light.member_count, 2);
	assert_int_equal(w->peers[4].light.members[0], 2);
	assert_int_equal(w->peers[4].light.members[1], 4);
	assert_int_equal(cell_send(w, 2, 9, AGREED, "some"), 0);
	send(w, 2, AGREED, "all");
	cell_run(w, 100);
	assert_story(w, 1, "all");
	assert_story(w, 2, "some all");
	assert_story(w, 3, "all");
	assert_story(w, 4, "some all");
	cell_free(w);
}

static void a_light_weight_group_loses_who_is_lost(void **state)
{
	struct cell *w = cell_make(3);

	(void)state;
	for (uint32_t id = 1; id <= 3; id++)
		cell_light(w, id, 9, true);
	cell_run(w, 100);
	assert_int_equal(w->peers[1].light.member_count, 3);
	cell_kill(w, 3);
	cell_run(w, CELL_LONG_MS);
	assert_int_equal(w->peers[1].light.member_count, 2);
	cell_light(w, 2, 9, false);
	cell_run(w, 100);
	assert_int_equal(w->peers[1].light.member_count, 1);
	assert_int_equal(w->peers[1].light.members[0], 1);
	cell_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_server_has_the_same_ordered_list),
	    cmocka_unit_test(connected_servers_become_operational),
	    cmocka_unit_test(those_who_advance_together_delivered_an_identical_set),
	    cmocka_unit_test(agreed_messages_come_in_the_same_order_everywhere),
	    cmocka_unit_test(each_component_goes_on_by_itself),
	    cmocka_unit_test(components_merge_into_a_larger_one),
	    cmocka_unit_test(crash_recovery_leave_and_join_are_each_told),
	    cmocka_unit_test(a_change_is_told_in_two_parts),
	    cmocka_unit_test(the_transitional_view_has_those_who_come_from_the_same_view),
	    cmocka_unit_test(a_safe_message_is_delivered_to_every_member_unless_it_fails),
	    cmocka_unit_test(what_is_not_safe_yet_is_delivered_in_the_transitional_view),
	    cmocka_unit_test(no_new_messages_are_sent_in_the_transitional_view),
	    cmocka_unit_test(an_answer_comes_after_its_question),
	    cmocka_unit_test(an_agreed_message_waits_for_a_word_from_every_member),
	    cmocka_unit_test(a_safe_message_waits_until_every_member_has_it),
	    cmocka_unit_test(the_whole_table_makes_it_two_network_diameters),
	    cmocka_unit_test(one_acknowledgement_stands_for_many_messages),
	    cmocka_unit_test(appendix_1_five_daemons_and_one_safe_message),
	    cmocka_unit_test(appendix_1_and_a_row_that_is_lost),
	    cmocka_unit_test(a_light_weight_group_is_some_of_the_members),
	    cmocka_unit_test(a_light_weight_group_loses_who_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
