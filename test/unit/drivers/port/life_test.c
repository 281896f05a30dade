/* The life line between two processes: a child that is killed is missed, one that comes is not. */
#include "test/unit/support.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "drivers/port/life.h"

#define WAIT_MS 10000

static char folder[64], path[96];

static bool told(const struct perron_port_life *life)
{
	struct pollfd fd = {.fd = perron_port_life_fd(life), .events = POLLIN};
	uint64_t unused;

	return poll(&fd, 1, WAIT_MS) == 1 && read(fd.fd, &unused, sizeof(unused)) > 0;
}

static bool is_lost(struct perron_port_life *life)
{
	return atomic_load(&life->is_lost);
}

/* A process with the other end. */
static pid_t partner(bool listens)
{
	static struct perron_port_life life;
	pid_t child = fork();

	if (child)
		return child;
	if (perron_port_life_open(&life, path, listens))
		_exit(1);
	for (;;)
		pause();
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void a_partner_that_is_killed_is_missed(void **state)
{
	for (int listens = 0; listens < 2; listens++) {
		static struct perron_port_life life;
		(void)state;
		assert_int_equal(perron_port_life_open(&life, path, listens), 0);
		for (int i = 0; i < 3; i++) {
			pid_t child = partner(!listens);
			assert_true(told(&life));
			assert_false(is_lost(&life));
			end(child);
			assert_true(told(&life));
			assert_true(is_lost(&life));
		}
		perron_port_life_close(&life);
		assert_int_equal(perron_port_life_fd(&life), -1);
		(void)unlink(path);
	}
}

static void nobody_there_is_nobody_lost(void **state)
{
	struct perron_port_life life;

	(void)state;
	assert_int_equal(perron_port_life_open(&life, path, false), 0);
	assert_false(is_lost(&life));
	perron_port_life_close(&life);
	perron_port_life_close(&life); /* nothing */
}

static void a_listener_leaves_no_file(void **state)
{
	struct perron_port_life life;

	(void)state;
	assert_int_equal(perron_port_life_open(&life, path, true), 0);
	for (int i = 0; i < WAIT_MS && access(path, F_OK); i++)
		usleep(1000);
	assert_int_equal(access(path, F_OK), 0);
	perron_port_life_close(&life);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void a_path_may_be_too_long(void **state)
{
	char text[PERRON_PORT_LIFE_PATH_SIZE + 1];
	struct perron_port_life life;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	assert_int_not_equal(perron_port_life_open(&life, text, true), 0);
	assert_int_equal(perron_port_life_fd(&life), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_partner_that_is_killed_is_missed),
		cmocka_unit_test(nobody_there_is_nobody_lost),
		cmocka_unit_test(a_listener_leaves_no_file),
		cmocka_unit_test(a_path_may_be_too_long),
	};

	snprintf(folder, sizeof(folder), "/tmp/perron-life-XXXXXX");
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/line", folder);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(folder);
	return failed;
}
