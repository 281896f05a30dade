/*
 * Options: named settings with a kind, a default and bounds. A driver states its options as a
 * table; the descriptor checks what a person wrote against it before any driver is opened, and
 * hands the driver key and value as text; the driver reads them with perron_option_number and
 * perron_option_text, which fall back to the default.
 *
 *	static const struct perron_option options[] = {
 *		{"interface", PERRON_OPTION_TEXT, NULL, "the kernel's interface, e.g. eth0"},
 *		{"speed", PERRON_OPTION_INTEGER, "9600", "bit/s", .min = 300, .max = 4000000},
 *		{"parity", PERRON_OPTION_CHOICE, "none", "parity", .choices = "none|even|odd"},
 *		{"gap", PERRON_OPTION_DURATION, "5ms", "silence that ends a message"},
 *		{NULL},
 *	};
 *
 * Nothing is allocated or kept; any thread.
 */
#ifndef PERRON_PLATFORM_OPTION_H
#define PERRON_PLATFORM_OPTION_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/assert.h"

#define PERRON_OPTION_KEY_SIZE	 32  /* with the final 0 */
#define PERRON_OPTION_VALUE_SIZE 256 /* with the final 0 */
#define PERRON_OPTION_COUNT_MAX	 32  /* of one port or sensor */
#define PERRON_OPTION_ERROR_SIZE 256 /* room for any sentence written here */

enum perron_option_kind {
	PERRON_OPTION_TEXT,	/* not empty unless the default is; no number */
	PERRON_OPTION_INTEGER,	/* decimal or 0x; number: the value */
	PERRON_OPTION_BOOLEAN,	/* yes|no, true|false, on|off; number: 1 or 0 */
	PERRON_OPTION_DURATION, /* 20ms, 2s, 50us, 10ns, 1.5ms; number: ns */
	PERRON_OPTION_SIZE,	/* 64MB, 2kB, 512 (powers of 1024); number: bytes */
	PERRON_OPTION_SHARE,	/* 0.1%, 5%; number: parts per million */
	PERRON_OPTION_CHOICE,	/* one of `choices`; number: its index */
	PERRON_OPTION_ADDRESS,	/* IPv4, 10.0.0.1; number: in host order */
};

struct perron_option {
	const char *name; /* NULL ends a table */
	enum perron_option_kind kind;
	const char *default_text; /* as it would be written; NULL: the option is required */
	const char *help;
	const char *choices; /* CHOICE: "none|even|odd" */
	int64_t min;	     /* in the number's unit; min and max both 0: any not negative */
	int64_t max;
};

/* What a person wrote. line and column count from 1; 0: not from a file. */
struct perron_option_value {
	char key[PERRON_OPTION_KEY_SIZE];
	char value[PERRON_OPTION_VALUE_SIZE];
	uint32_t line;
	uint32_t column;
};

/*
 * Reads `text` as `option` wants it. `number` may be NULL. Returns 0, -EINVAL (ill-typed) or
 * -ERANGE; then `expected` says what was expected, e.g. "a duration from 1ms to 10s, such as 20ms".
 */
int perron_option_parse(const struct perron_option *option, const char *text, int64_t *number,
			char *expected, size_t expected_size) PERRON_MUST_USE;

/* What `option` expects, as above. */
void perron_option_expected(const struct perron_option *option, char *out, size_t out_size);

/* The table's entry of that name, or NULL. */
const struct perron_option *perron_option_find(const struct perron_option *table, const char *name);

/* The nearest name of the table (did you mean?), or NULL if none is near. */
const char *perron_option_nearest(const struct perron_option *table, const char *name);

/* Levenshtein distance of two names; stops counting at 64 characters. */
uint32_t perron_option_distance(const char *a, const char *b);

/*
 * Checks values against the table: unknown keys, duplicates, ill-typed, out of range, required ones
 * missing. Returns 0 or -EINVAL; then `culprit` is the value's index (value_count: one is missing)
 * and `error` one line: what is wrong; expected what.
 */
int perron_option_check(const struct perron_option *table, const struct perron_option_value *values,
			uint32_t value_count, uint32_t *culprit, char *error,
			size_t error_size) PERRON_MUST_USE;

/*
 * The option's number or text: the value if it stands in `values`, else the default. `name` is in
 * the table, and the values have passed perron_option_check. A required option that is missing
 * gives 0 and "".
 */
int64_t perron_option_number(const struct perron_option *table,
			     const struct perron_option_value *values, uint32_t value_count,
			     const char *name);
const char *perron_option_text(const struct perron_option *table,
			       const struct perron_option_value *values, uint32_t value_count,
			       const char *name);

/* Writes a number as a person would: 20ms, 64MB, 0.1%, yes, even, 10.0.0.1. Not for TEXT. */
void perron_option_format(const struct perron_option *option, int64_t number, char *out,
			  size_t out_size);

#endif
