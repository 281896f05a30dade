/* The command socket, over real unix sockets; time is passed in. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/housekeeping/report.h"
#include "runtime/housekeeping/socket.h"
#include "test/unit/runtime/housekeeping/fake.h"
#include "test/unit/support.h"

static char directory[64], path[108], error[256];
static struct perron_socket *station;
static uint64_t now_ns = 1;

static int open_station(struct perron_socket **out)
{
	struct perron_socket_config config = {path, perron_report_requests,
					      (void *)(uintptr_t)&fake_source};

	error[0] = 0;
	return perron_socket_open(out, &config, error, sizeof(error));
}

static int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/perron-test-XXXXXX");
	assert_non_null(mkdtemp(directory));
	/* The directory below is the socket's to make. */
	snprintf(path, sizeof(path), "%s/run/alpha.sock", directory);
	fake_peer_count = 2;
	if (open_station(&station))
		fail_msg("%s", error);
	return 0;
}

static int tear_down(void **state)
{
	char below[80];

	(void)state;
	perron_socket_close(station);
	station = NULL;
	/* Nothing is left behind. */
	assert_int_equal(access(path, F_OK), -1);
	snprintf(below, sizeof(below), "%s/run", directory);
	assert_int_equal(rmdir(below), 0);
	assert_int_equal(rmdir(directory), 0);
	return 0;
}

static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, sizeof(path));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void step(void)
{
	perron_socket_step(station, now_ns);
}

/* What has come by now; "" if nothing, NULL at the end of the stream. */
static const char *hear(int fd)
{
	static char text[1 << 20];
	size_t size = 0;

	for (;;) {
		ssize_t got = recv(fd, text + size, sizeof(text) - 1 - size, MSG_DONTWAIT);
		if (got == 0 && !size)
			return NULL;
		if (got <= 0)
			break;
		size += (size_t)got;
	}
	text[size] = 0;
	return text;
}

static json_t *ask(int fd, const char *request)
{
	say(fd, request);
	step();
	json_t *reply = json_loads(hear(fd), 0, NULL);
	assert_non_null(reply);
	return reply;
}

static void a_request_is_answered_in_one_line(void **state)
{
	int fd = dial();

	(void)state;
	step();
	say(fd, "{\"command\":\"status\"}\n");
	step();
	const char *text = hear(fd);
	assert_int_equal(strcspn(text, "\n"), strlen(text) - 1);
	json_t *reply = json_loads(text, 0, NULL);
	assert_true(json_is_true(json_object_get(reply, "ok")));
	assert_string_equal(json_string_value(json_object_get(reply, "station")), "alpha");
	assert_int_equal(json_integer_value(json_object_get(reply, "joined")), 1);
	assert_int_equal(json_integer_value(json_object_get(reply, "drops")), 4);
	json_decref(reply);
	close(fd);
}

static void a_line_may_come_in_parts(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "{\"comm");
	step();
	assert_string_equal(hear(fd), "");
	say(fd, "and\":\"drops\"}\n{\"command\":\"cores\"}\n{\"com");
	step();
	const char *text = hear(fd);
	assert_non_null(strstr(text, "\"drops\":["));
	assert_non_null(strstr(text, "\"cores\":["));
	say(fd, "mand\":\"help\"}\r\n");
	step();
	assert_non_null(strstr(hear(fd), "\"commands\":{\"status\""));
	close(fd);
}

static void groups_and_their_history_are_told(void **state)
{
	int fd = dial();

	(void)state;
	json_t *reply = ask(fd, "{\"command\":\"group\"}\n");
	const json_t *row = json_array_get(json_object_get(reply, "group"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "cell")), "0");
	assert_int_equal(json_integer_value(json_object_get(row, "view")), 7);
	assert_int_equal(json_integer_value(json_object_get(row, "leader")), 2);
	assert_int_equal(json_integer_value(json_object_get(row, "coordinator")), 1);
	assert_int_equal(json_array_size(json_object_get(row, "members")), 2);
	assert_int_equal(json_integer_value(json_object_get(row, "would_block")), 11);
	row = json_array_get(json_object_get(reply, "group"), 3);
	assert_true(json_is_null(json_object_get(row, "view")));
	assert_true(json_is_null(json_object_get(row, "cell")));
	json_decref(reply);
	reply = ask(fd, "{\"command\":\"history\",\"first\":2}\n");
	row = json_array_get(json_object_get(reply, "history"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "event")), "view");
	assert_int_equal(json_integer_value(json_object_get(row, "at_ns")), 1000000000);
	row = json_array_get(json_object_get(reply, "history"), 1);
	assert_string_equal(json_string_value(json_object_get(row, "event")), "link-down");
	assert_true(json_is_null(json_object_get(row, "cell")));
	assert_true(json_is_true(json_object_get(row, "one_way")));
	json_decref(reply);
	close(fd);
}

static void who_shuts_down_is_still_answered(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "{\"command\":\"status\"}\n");
	shutdown(fd, SHUT_WR);
	step();
	assert_non_null(strstr(hear(fd), "alpha"));
	assert_null(hear(fd));
	close(fd);
}

static void nonsense_is_told(void **state)
{
	int fd = dial();
	struct perron_socket_counters counters;

	(void)state;
	json_t *reply = ask(fd, "hello\n");
	assert_string_equal(json_string_value(json_object_get(reply, "error")),
			    "a request is one JSON object in one line");
	json_decref(reply);
	reply = ask(fd, "{}\n");
	assert_true(json_is_false(json_object_get(reply, "ok")));
	json_decref(reply);
	reply = ask(fd, "{\"command\":\"reboot\"}\n");
	assert_string_equal(json_string_value(json_object_get(reply, "error")),
			    "unknown command 'reboot'; 'help' lists them");
	json_decref(reply);
	reply = ask(fd, "{\"command\":\"......................................."
			"\xc3\xa9\"}\n");
	assert_string_equal(json_string_value(json_object_get(reply, "error")),
			    "the request is not understood");
	json_decref(reply);
	reply = ask(fd, "{\"command\":\"peers\",\"first\":\"a\"}\n");
	assert_true(json_is_false(json_object_get(reply, "ok")));
	json_decref(reply);
	perron_socket_counters_read(station, &counters);
	assert_int_equal(counters.malformed, 1);
	assert_int_equal(counters.requests, 4);
	close(fd);
}

static void an_oversize_line_ends_the_client(void **state)
{
	char long_line[PERRON_SOCKET_REQUEST_MAX + 100];
	int fd = dial();

	(void)state;
	memset(long_line, 'x', sizeof(long_line));
	long_line[sizeof(long_line) - 1] = 0;
	say(fd, long_line);
	step();
	assert_non_null(strstr(hear(fd), "at most 4096 bytes"));
	step();
	assert_null(hear(fd));
	close(fd);
}

static void lists_come_in_pages(void **state)
{
	int fd = dial();

	(void)state;
	fake_peer_count = 200;
	json_t *reply = ask(fd, "{\"command\":\"peers\"}\n");
	assert_int_equal(json_array_size(json_object_get(reply, "peers")), 128);
	assert_int_equal(json_integer_value(json_object_get(reply, "total")), 200);
	assert_int_equal(json_integer_value(json_object_get(reply, "next")), 128);
	json_decref(reply);
	reply = ask(fd, "{\"command\":\"......................................."
			"\xc3\xa9\"}\n");
	assert_string_equal(json_string_value(json_object_get(reply, "error")),
			    "the request is not understood");
	json_decref(reply);
	reply = ask(fd, "{\"command\":\"peers\",\"first\":128}\n");
	assert_int_equal(json_array_size(json_object_get(reply, "peers")), 72);
	assert_null(json_object_get(reply, "next"));
	const json_t *last = json_array_get(json_object_get(reply, "peers"), 71);
	assert_int_equal(json_integer_value(json_object_get(last, "peer")), 200);
	const json_t *its_links = json_object_get(last, "links");
	assert_int_equal(json_array_size(its_links), 1);
	const json_t *verdict = json_object_get(json_array_get(its_links, 0), "verdict");
	assert_int_equal(json_integer_value(json_object_get(verdict, "silence_ns")), 251000000);
	json_decref(reply);
	close(fd);
}

static void events_go_to_those_who_asked(void **state)
{
	int all = dial(), some = dial(), none = dial();
	json_t *body = json_pack("{s:i}", "peer", 5);

	(void)state;
	json_decref(ask(all, "{\"command\":\"subscribe\"}\n"));
	json_decref(ask(some, "{\"command\":\"subscribe\",\"events\":[\"joined\"]}\n"));
	json_decref(ask(none, "{\"command\":\"status\"}\n"));
	perron_socket_publish(station, "joined", body);
	perron_socket_publish(station, "suspected", body);
	assert_string_equal(hear(all), "{\"event\":\"joined\",\"peer\":5}\n"
				       "{\"event\":\"suspected\",\"peer\":5}\n");
	assert_string_equal(hear(some), "{\"event\":\"joined\",\"peer\":5}\n");
	assert_string_equal(hear(none), "");
	json_decref(body);
	close(all);
	close(some);
	close(none);
}

static void a_slow_reader_costs_only_itself(void **state)
{
	int slow = dial(), quick = dial();
	char filler[2000];
	struct perron_socket_counters counters;

	(void)state;
	memset(filler, 'y', sizeof(filler));
	filler[sizeof(filler) - 1] = 0;
	json_t *body = json_pack("{s:s}", "text", filler);
	json_decref(ask(slow, "{\"command\":\"subscribe\"}\n"));
	for (uint32_t i = 0; i < 2 * PERRON_SOCKET_PENDING_MAX / sizeof(filler); i++)
		perron_socket_publish(station, "noise", body);
	assert_int_equal(perron_socket_deadline_ns(station), 0);
	step();
	perron_socket_counters_read(station, &counters);
	assert_int_equal(counters.cut_off, 1);
	json_decref(ask(quick, "{\"command\":\"status\"}\n"));
	json_decref(body);
	close(slow);
	close(quick);
}

static void a_reader_that_stalls_is_cut_off_in_time(void **state)
{
	int fd = dial();
	struct perron_socket_counters counters;

	(void)state;
	fake_peer_count = 128;
	/* More replies than the kernel's buffers hold, and no reader. */
	for (int i = 0; i < 32; i++) {
		say(fd, "{\"command\":\"peers\"}\n");
		step();
	}
	uint64_t deadline_ns = perron_socket_deadline_ns(station);
	assert_int_equal(deadline_ns, now_ns + PERRON_SOCKET_STALL_NS);
	now_ns = deadline_ns - 1;
	step();
	perron_socket_counters_read(station, &counters);
	assert_int_equal(counters.cut_off, 0);
	now_ns = deadline_ns;
	step();
	perron_socket_counters_read(station, &counters);
	assert_int_equal(counters.cut_off, 1);
	assert_int_equal(perron_socket_deadline_ns(station), UINT64_MAX);
	close(fd);
}

static void a_paused_client_gets_every_reply(void **state)
{
	int fd = dial();
	size_t lines = 0;

	(void)state;
	fake_peer_count = 128;
	for (int i = 0; i < 32; i++)
		say(fd, "{\"command\":\"peers\"}\n");
	for (int i = 0; i < 200 && lines < 32; i++) {
		step();
		for (const char *c = hear(fd); *c; c++)
			lines += *c == '\n';
	}
	assert_int_equal(lines, 32);
	close(fd);
}

static void clients_are_bounded(void **state)
{
	int fds[PERRON_SOCKET_CLIENT_MAX + 1];

	(void)state;
	for (int i = 0; i <= PERRON_SOCKET_CLIENT_MAX; i++) {
		fds[i] = dial();
		step();
	}
	assert_non_null(strstr(hear(fds[PERRON_SOCKET_CLIENT_MAX]), "too many clients"));
	close(fds[0]);
	step();
	close(fds[PERRON_SOCKET_CLIENT_MAX]);
	fds[0] = fds[PERRON_SOCKET_CLIENT_MAX] = dial();
	step();
	json_decref(ask(fds[0], "{\"command\":\"status\"}\n"));
	for (int i = 0; i < PERRON_SOCKET_CLIENT_MAX; i++)
		close(fds[i]);
}

static void a_live_station_is_refused(void **state)
{
	struct perron_socket *second = NULL;
	char expected[256];

	(void)state;
	assert_int_equal(open_station(&second), -EADDRINUSE);
	snprintf(expected, sizeof(expected),
		 "another perrond runs: pid %d listens at %s; stop it, or give this station "
		 "another name",
		 getpid(), path);
	assert_string_equal(error, expected);
	/* And the first is not harmed. */
	int fd = dial();
	json_decref(ask(fd, "{\"command\":\"status\"}\n"));
	close(fd);
}

static void what_a_killed_station_left_is_replaced(void **state)
{
	(void)state;
	perron_socket_close(station);
	pid_t child = fork();
	if (!child) {
		struct perron_socket *killed;
		if (open_station(&killed))
			_exit(1);
		raise(SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(access(path, F_OK), 0);
	if (open_station(&station))
		fail_msg("%s", error);
	int fd = dial();
	json_decref(ask(fd, "{\"command\":\"status\"}\n"));
	close(fd);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	(void)state;
	perron_socket_close(station);
	station = NULL;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(open_station(&station), -EEXIST);
	assert_non_null(strstr(error, "is no socket: remove it"));
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	    TEST(a_request_is_answered_in_one_line),
	    TEST(a_line_may_come_in_parts),
	    TEST(groups_and_their_history_are_told),
	    TEST(who_shuts_down_is_still_answered),
	    TEST(nonsense_is_told),
	    TEST(an_oversize_line_ends_the_client),
	    TEST(lists_come_in_pages),
	    TEST(events_go_to_those_who_asked),
	    TEST(a_slow_reader_costs_only_itself),
	    TEST(a_reader_that_stalls_is_cut_off_in_time),
	    TEST(a_paused_client_gets_every_reply),
	    TEST(clients_are_bounded),
	    TEST(a_live_station_is_refused),
	    TEST(what_a_killed_station_left_is_replaced),
	    TEST(what_is_no_socket_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
