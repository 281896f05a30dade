/*
 * The descriptor's parser. What it refuses it refuses in one line that starts with the place; what
 * it takes prints as a descriptor that it takes too, and that prints the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/descriptor/descriptor.h"
#include "test/fuzz/fuzz.h"

static char *effective(const struct perron_descriptor *descriptor)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	PERRON_ASSERT(out != NULL);
	perron_descriptor_print_effective(descriptor, NULL, NULL, out);
	fclose(out);
	return text;
}

/* The texts up to the comments, which tell places and therefore differ. */
static bool is_same(const char *a, const char *b)
{
	while (*a && *b) {
		size_t length = strcspn(a, "\n"), other = strcspn(b, "\n");
		const char *comment = memmem(a, length, " # ", 3);
		size_t cut = comment ? (size_t)(comment - a) : length;
		if (cut > other || memcmp(a, b, cut))
			return false;
		a += length + 1;
		b += other + 1;
	}
	return *a == *b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct perron_descriptor descriptor, again;
	char error[PERRON_DESCRIPTOR_ERROR_SIZE];

	if (perron_descriptor_parse(&descriptor, "f", data, size, error, sizeof(error))) {
		PERRON_ASSERT(strncmp(error, "f:", 2) == 0 && !strchr(error, '\n'));
		return 0;
	}
	char *text = effective(&descriptor);
	PERRON_ASSERT(
	    !perron_descriptor_parse(&again, "f", text, strlen(text), error, sizeof(error)));
	char *text_again = effective(&again);
	PERRON_ASSERT(is_same(text, text_again));
	free(text);
	free(text_again);
	return 0;
}
