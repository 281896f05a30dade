/* Lists of cores, and the choice for machines of several kinds. */
#include "test/unit/support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/cores.h"

static struct perron_core_set set_of(const char *text)
{
	struct perron_core_set set;
	assert_int_equal(perron_core_set_parse(&set, text), 0);
	return set;
}

static struct perron_cores machine(const char *online, const char *isolated)
{
	struct perron_cores cores = {0};
	cores.present = set_of("0-7");
	cores.online = set_of(online);
	cores.allowed = cores.online;
	cores.isolated = set_of(isolated);
	cores.nohz_full = set_of(isolated);
	return cores;
}

static struct perron_cores_wish no_wish(void)
{
	return (struct perron_cores_wish){.housekeeping = -1};
}

static void test_lists_are_read_and_written(void **state)
{
	(void)state;
	static const char *const good[] = {"0", "0-3", "0-3,8", "1,3,5-7,1023", ""};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char text[64];
		struct perron_core_set set = set_of(good[i]);
		assert_int_equal(perron_core_set_print(&set, text, sizeof(text)), strlen(good[i]));
		assert_string_equal(text, good[i]);
	}
	struct perron_core_set set = set_of("0-3,8\n");
	assert_int_equal(perron_core_set_count(&set), 5);
	assert_true(perron_core_set_has(&set, 8));
	assert_false(perron_core_set_has(&set, 7));
	assert_false(perron_core_set_has(&set, PERRON_CORE_MAX));
	set = set_of("\n");
	assert_int_equal(perron_core_set_count(&set), 0);
	char small[4];
	set = set_of("10-12");
	assert_int_equal(perron_core_set_print(&set, small, sizeof(small)), 5);
	assert_string_equal(small, "10-");
}

static void test_bad_lists_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"x",	  "1-",	 "3-1", "1,",	 ",1",
					  "1024", "1 2", "-1",	"0-9999"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct perron_core_set set;
		assert_int_equal(perron_core_set_parse(&set, bad[i]), -EINVAL);
		assert_int_equal(perron_core_set_count(&set), 0);
	}
}

static void test_a_laptop_backs_off_on_its_last_core(void **state)
{
	(void)state;
	struct perron_cores cores = machine("0-1", "");
	struct perron_cores_wish wish = no_wish();
	struct perron_cores_choice choice;
	char error[200];
	assert_int_equal(perron_cores_choose(&cores, &wish, &choice, error, sizeof(error)), 0);
	assert_int_equal(choice.housekeeping, 0);
	assert_int_equal(choice.lcore_count, 1);
	assert_int_equal(choice.lcores[0], 1);
	assert_int_equal(choice.idle, PERRON_IDLE_BACKOFF);
	assert_false(choice.shared);
}

static void test_an_appliance_spins_on_its_isolated_cores(void **state)
{
	(void)state;
	struct perron_cores cores = machine("0-3", "0,2-3");
	struct perron_cores_wish wish = no_wish();
	struct perron_cores_choice choice;
	char error[200];
	assert_int_equal(perron_cores_choose(&cores, &wish, &choice, error, sizeof(error)), 0);
	assert_int_equal(choice.housekeeping, 1);
	assert_int_equal(choice.lcore_count, 3);
	assert_int_equal(choice.lcores[0], 0);
	assert_int_equal(choice.lcores[2], 3);
	assert_int_equal(choice.idle, PERRON_IDLE_SPIN);
}

static void test_one_core_is_shared_and_says_so(void **state)
{
	(void)state;
	struct perron_cores cores = machine("4", "");
	struct perron_cores_wish wish = no_wish();
	struct perron_cores_choice choice;
	char error[200];
	assert_int_equal(perron_cores_choose(&cores, &wish, &choice, error, sizeof(error)), 0);
	assert_int_equal(choice.housekeeping, 4);
	assert_int_equal(choice.lcores[0], 4);
	assert_true(choice.shared);
	assert_non_null(strstr(choice.why, "share"));
	cores = machine("0-1", "");
	wish.housekeeping = 1;
	wish.lcore_count = 1;
	wish.lcores[0] = 1;
	assert_int_equal(perron_cores_choose(&cores, &wish, &choice, error, sizeof(error)), 0);
	assert_true(choice.shared);
}

static void test_wishes_are_granted(void **state)
{
	(void)state;
	struct perron_cores cores = machine("0-3", "");
	struct perron_cores_wish wish = {-1, 2, {0, 2}, PERRON_IDLE_INTERRUPT};
	struct perron_cores_choice choice;
	char error[200];
	assert_int_equal(perron_cores_choose(&cores, &wish, &choice, error, sizeof(error)), 0);
	assert_int_equal(choice.housekeeping, 1);
	assert_int_equal(choice.lcores[1], 2);
	assert_int_equal(choice.idle, PERRON_IDLE_INTERRUPT);
	wish.idle = PERRON_IDLE_SPIN;
	assert_int_equal(perron_cores_choose(&cores, &wish, &choice, error, sizeof(error)), 0);
	assert_non_null(strstr(choice.why, "not isolated"));
}

static void expect_refusal(const struct perron_cores *cores, const struct perron_cores_wish *wish,
			   const char *says)
{
	struct perron_cores_choice choice;
	char error[200] = "";
	assert_int_equal(perron_cores_choose(cores, wish, &choice, error, sizeof(error)), -EINVAL);
	if (!strstr(error, says))
		fail_msg("\"%s\" does not say \"%s\"", error, says);
}

static void test_cores_that_cannot_be_are_refused(void **state)
{
	(void)state;
	struct perron_cores cores = machine("0-3", "");
	struct perron_cores_wish wish = {-1, 1, {99}, PERRON_IDLE_AUTO};
	expect_refusal(&cores, &wish, "core 99 does not exist; this machine has 0-7");
	wish.lcores[0] = 5;
	expect_refusal(&cores, &wish, "core 5 is offline");
	wish = (struct perron_cores_wish){-1, 2, {1, 1}, PERRON_IDLE_AUTO};
	expect_refusal(&cores, &wish, "core 1 stands there twice");
	wish = (struct perron_cores_wish){.housekeeping = 2000};
	expect_refusal(&cores, &wish, "housekeeping: core 2000 does not exist");
	cores.allowed = set_of("0-1");
	wish = (struct perron_cores_wish){.housekeeping = 3};
	expect_refusal(&cores, &wish, "core 3 is not allowed");
}

static void file_write(const char *root, const char *name, const char *text)
{
	char path[200];
	snprintf(path, sizeof(path), "%s/%s", root, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_sys_is_read(void **state)
{
	(void)state;
	char root[] = "/tmp/perron-cores-XXXXXX", error[200], path[200];
	assert_non_null(mkdtemp(root));
	struct perron_cores cores;
	assert_int_equal(perron_cores_read(&cores, root, error, sizeof(error)), -ENOENT);
	file_write(root, "present", "0-1023\n");
	file_write(root, "online", "0-1023\n");
	file_write(root, "isolated", "2\n");
	/* nohz_full does not exist on many kernels. */
	assert_int_equal(perron_cores_read(&cores, root, error, sizeof(error)), 0);
	assert_true(perron_core_set_has(&cores.isolated, 2));
	assert_int_equal(perron_core_set_count(&cores.nohz_full), 0);
	/* Isolated cores are not in the affinity, and can be taken all the same. */
	assert_true(perron_core_set_has(&cores.allowed, 2));
	file_write(root, "online", "zero\n");
	assert_int_equal(perron_cores_read(&cores, root, error, sizeof(error)), -EINVAL);
	static const char *const files[] = {"present", "online", "isolated"};
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", root, files[i]);
		unlink(path);
	}
	rmdir(root);
}

static void test_pinning_to_no_core_says_so(void **state)
{
	(void)state;
	char error[200] = "";
	assert_int_not_equal(perron_core_pin(PERRON_CORE_MAX - 1, error, sizeof(error)), 0);
	assert_non_null(strstr(error, "cannot run on core 1023"));
	struct perron_cores cores;
	assert_int_equal(perron_cores_read(&cores, "/sys/devices/system/cpu", error, sizeof(error)),
			 0);
	uint32_t core = 0;
	while (!perron_core_set_has(&cores.allowed, core))
		core++;
	assert_int_equal(perron_core_pin(core, error, sizeof(error)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lists_are_read_and_written),
	    cmocka_unit_test(test_bad_lists_are_refused),
	    cmocka_unit_test(test_a_laptop_backs_off_on_its_last_core),
	    cmocka_unit_test(test_an_appliance_spins_on_its_isolated_cores),
	    cmocka_unit_test(test_one_core_is_shared_and_says_so),
	    cmocka_unit_test(test_wishes_are_granted),
	    cmocka_unit_test(test_cores_that_cannot_be_are_refused),
	    cmocka_unit_test(test_sys_is_read),
	    cmocka_unit_test(test_pinning_to_no_core_says_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
