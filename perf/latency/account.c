/* See latency.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overlay/path.h"
#include "perf/latency/latency.h"

/* Rows of a station's paths in one look: all of a tree's station, with its one peer. */
#define LOOK_MAX 64u
/* Streams, in each life of their origins. */
#define SEEN_MAX 128u

struct seen {
	uint32_t stream;
	uint64_t sequence;
};

static struct seen seen[SEEN_MAX];
static uint32_t seen_count;

struct latency_account *latency_account_open(const char *path)
{
	struct stat status;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	void *at = MAP_FAILED;
	if (fstat(fd, &status) == 0 && status.st_size == sizeof(struct latency_account))
		at = mmap(NULL, sizeof(struct latency_account), PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, 0);
	else
		errno = EINVAL;
	close(fd);
	return at == MAP_FAILED ? NULL : at;
}

_Atomic uint64_t *latency_account_made(struct latency_account *a, const char *name)
{
	for (uint32_t i = 0; i < LATENCY_STREAM_MAX; i++)
		if (!strncmp(a->rows[i].name, name, LATENCY_NAME_SIZE))
			return &a->rows[i].made;
	return NULL;
}

static bool is_one_life(uint64_t a, uint64_t b)
{
	return perron_sequence_life(a) == perron_sequence_life(b);
}

static void seen_put(uint32_t stream, uint64_t sequence)
{
	for (uint32_t i = 0; i < seen_count; i++) {
		if (seen[i].stream != stream || !is_one_life(seen[i].sequence, sequence))
			continue;
		if (sequence > seen[i].sequence)
			seen[i].sequence = sequence;
		return;
	}
	if (seen_count < SEEN_MAX)
		seen[seen_count++] = (struct seen){.stream = stream, .sequence = sequence};
}

void latency_account_look(const struct perron_snapshot_source *source)
{
	static struct perron_snapshot_stream rows[LOOK_MAX];
	uint32_t total, count = source->streams(source->context, 0, LOOK_MAX, rows, &total);

	for (uint32_t i = 0; i < count; i++)
		if (rows[i].sequence_last)
			seen_put(rows[i].stream, rows[i].sequence_last);
}

void latency_account_print(FILE *out)
{
	fprintf(out, "\"seen\": [");
	for (uint32_t i = 0; i < seen_count; i++)
		fprintf(out, "%s[%u, %lu]", i ? ", " : "", seen[i].stream, seen[i].sequence);
	fprintf(out, "]");
}
