#include "platform/realtime.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int thread_begin(const char *name, int priority)
{
	const struct sched_param parameter = {.sched_priority = priority};
	pid_t thread = (pid_t)strtol(name, NULL, 10);

	if (thread > 0 && sched_getscheduler(thread) == SCHED_FIFO)
		return 0;
	/* ESRCH: it has ended meanwhile. */
	if (thread > 0 && sched_setscheduler(thread, SCHED_FIFO, &parameter) && errno != ESRCH)
		return -errno;
	return 0;
}

int perron_realtime_begin(int priority, char *error, size_t error_size)
{
	DIR *threads = opendir("/proc/self/task");
	const struct dirent *entry;
	int result = threads ? 0 : -errno;

	while (threads && !result && (entry = readdir(threads)))
		result = thread_begin(entry->d_name, priority);
	if (threads)
		closedir(threads);
	if (result)
		snprintf(error, error_size,
			 "SCHED_FIFO at priority %d: %s; run as root, give cap_sys_nice, raise "
			 "RLIMIT_RTPRIO, or set scheduling: other",
			 priority, strerror(-result));
	return result;
}
