/* Gives a fuzz target each file of its corpus, and no bytes. usage: replay_NAME DIRECTORY */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/fuzz/fuzz.h"

#define INPUT_SIZE_MAX (1u << 20)

/* Read into memory of just its size, so that a sanitizer sees a read past its end. */
static int file_replay(const char *directory, const char *name)
{
	static uint8_t buffer[INPUT_SIZE_MAX];
	char path[4096];
	uint8_t *data;
	size_t size;
	FILE *file;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path))
		return -ENAMETOOLONG;
	file = fopen(path, "rb");
	if (file == NULL)
		return -errno;
	size = fread(buffer, 1, sizeof(buffer), file);
	fclose(file);
	data = malloc(size > 0 ? size : 1);
	if (data == NULL)
		return -ENOMEM;
	memcpy(data, buffer, size);
	printf("%s\n", name);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

/* Returns the number of files, or a negative errno. */
static int directory_replay(const char *directory)
{
	DIR *files = opendir(directory);
	struct dirent *entry;
	int count = 0;
	int rc = 0;

	if (files == NULL)
		return -errno;
	while (rc == 0 && (entry = readdir(files)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		rc = file_replay(directory, entry->d_name);
		count++;
	}
	closedir(files);
	return rc < 0 ? rc : count;
}

int main(int argc, char **argv)
{
	static const uint8_t nothing;
	int count;

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	LLVMFuzzerTestOneInput(&nothing, 0);
	count = directory_replay(argv[1]);
	if (count < 0)
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-count));
	else if (count == 0)
		fprintf(stderr, "%s: no seed in it\n", argv[1]);
	return count > 0 ? 0 : 1;
}
