/*
 * Requests: what people and telemetry may ask of a station. One table serves the command socket and
 * rte_telemetry; handlers run on the housekeeping thread alone, whoever asks.
 */
#ifndef PERRON_RUNTIME_HOUSEKEEPING_REQUEST_H
#define PERRON_RUNTIME_HOUSEKEEPING_REQUEST_H

#include <jansson.h>
#include <stddef.h>

#define PERRON_REQUEST_ERROR_SIZE 256

/*
 * `request` is a JSON object. Returns a new object, whose members become the reply's, or NULL and
 * one line in `error` that names the fix.
 */
struct perron_request {
	const char *name; /* NULL ends a table */
	const char *summary;
	json_t *(*handle)(void *context, const json_t *request, char *error, size_t error_size);
};

/* The table's entry of that name, or NULL. */
static inline const struct perron_request *perron_request_find(const struct perron_request *table,
							       const char *name)
{
	for (; table->name; table++) {
		const char *a = table->name, *b = name;
		while (*a && *a == *b) {
			a++;
			b++;
		}
		if (*a == *b)
			return table;
	}
	return NULL;
}

#endif
