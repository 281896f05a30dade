#include "platform/option.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAME_LENGTH_MAX 64u

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit durations[] = {
    {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"min", 60000000000}, {NULL, 0},
};

static const struct unit sizes[] = {
    {"", 1},	     {"B", 1},	     {"kB", 1 << 10}, {"KB", 1 << 10}, {"K", 1 << 10},
    {"MB", 1 << 20}, {"M", 1 << 20}, {"GB", 1 << 30}, {"G", 1 << 30},  {NULL, 0},
};

static const struct unit shares[] = {
    {"%", 10000},
    {NULL, 0},
};

static const char *const booleans[] = {"no", "yes", "false", "true", "off", "on"};

/* Reads "12.5" as 12 and 0.5 in billionths; returns where it ends, or NULL. */
static const char *read_decimal(const char *text, uint64_t *whole, uint64_t *billionths)
{
	const char *at = text;

	*whole = *billionths = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (*whole > UINT64_MAX / 20)
			return NULL;
		*whole = *whole * 10 + (uint64_t)(*at - '0');
	}
	if (at == text)
		return NULL;
	if (*at != '.')
		return at;
	uint64_t scale = 100000000;
	const char *point = at++;
	for (; *at >= '0' && *at <= '9'; at++) {
		*billionths += scale * (uint64_t)(*at - '0');
		scale /= 10;
	}
	return at == point + 1 ? NULL : at;
}

static int parse_with_unit(const struct unit *units, const char *text, int64_t *number)
{
	uint64_t whole, billionths;
	const char *at = read_decimal(text, &whole, &billionths);

	if (!at)
		return -EINVAL;
	while (*at == ' ')
		at++;
	for (; units->name; units++) {
		if (strcmp(units->name, at))
			continue;
		__int128 value = (__int128)whole * units->factor +
				 (__int128)billionths * units->factor / 1000000000;
		if (value > INT64_MAX)
			return -ERANGE;
		*number = (int64_t)value;
		return 0;
	}
	return -EINVAL;
}

static int parse_integer(const char *text, int64_t *number)
{
	bool negative = *text == '-';
	const char *at = text + negative;
	uint64_t base = 10, value = 0;

	if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X')) {
		base = 16;
		at += 2;
	}
	if (!*at)
		return -EINVAL;
	for (; *at; at++) {
		uint64_t digit;
		if (*at >= '0' && *at <= '9')
			digit = (uint64_t)(*at - '0');
		else if ((*at | 32) >= 'a' && (*at | 32) <= 'f')
			digit = (uint64_t)((*at | 32) - 'a' + 10);
		else
			return -EINVAL;
		if (digit >= base)
			return -EINVAL;
		if (value > (uint64_t)INT64_MAX / 16)
			return -ERANGE;
		value = value * base + digit;
	}
	*number = negative ? -(int64_t)value : (int64_t)value;
	return 0;
}

static int parse_boolean(const char *text, int64_t *number)
{
	for (size_t i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++) {
		if (!strcasecmp(text, booleans[i])) {
			*number = (int64_t)(i & 1);
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_choice(const char *choices, const char *text, int64_t *number)
{
	size_t length = strlen(text);
	int64_t index = 0;

	PERRON_ASSERT(choices != NULL);
	for (const char *at = choices;; index++) {
		size_t step = strcspn(at, "|");
		if (step == length && !memcmp(at, text, length)) {
			*number = index;
			return 0;
		}
		if (!at[step])
			return -EINVAL;
		at += step + 1;
	}
}

static int parse_address(const char *text, int64_t *number)
{
	const char *at = text;
	uint32_t address = 0;

	for (int part = 0; part < 4; part++) {
		uint32_t value = 0;
		const char *start = at;
		for (; *at >= '0' && *at <= '9' && at < start + 3; at++)
			value = value * 10 + (uint32_t)(*at - '0');
		if (at == start || value > 255 || *at != (part < 3 ? '.' : '\0'))
			return -EINVAL;
		address = address << 8 | value;
		at += part < 3;
	}
	*number = address;
	return 0;
}

static int parse_kind(const struct perron_option *option, const char *text, int64_t *number)
{
	switch (option->kind) {
	case PERRON_OPTION_TEXT:
		*number = 0;
		return *text || (option->default_text && !*option->default_text) ? 0 : -EINVAL;
	case PERRON_OPTION_INTEGER:
		return parse_integer(text, number);
	case PERRON_OPTION_BOOLEAN:
		return parse_boolean(text, number);
	case PERRON_OPTION_DURATION:
		return parse_with_unit(durations, text, number);
	case PERRON_OPTION_SIZE:
		return parse_with_unit(sizes, text, number);
	case PERRON_OPTION_SHARE:
		return parse_with_unit(shares, text, number);
	case PERRON_OPTION_CHOICE:
		return parse_choice(option->choices, text, number);
	case PERRON_OPTION_ADDRESS:
		return parse_address(text, number);
	}
	return -EINVAL;
}

static bool kind_has_bounds(enum perron_option_kind kind)
{
	return kind == PERRON_OPTION_INTEGER || kind == PERRON_OPTION_DURATION ||
	       kind == PERRON_OPTION_SIZE || kind == PERRON_OPTION_SHARE;
}

static bool in_bounds(const struct perron_option *option, int64_t number)
{
	if (!kind_has_bounds(option->kind))
		return true;
	if (!option->min && !option->max) {
		bool share = option->kind == PERRON_OPTION_SHARE;
		return number >= 0 && (!share || number <= 1000000);
	}
	return number >= option->min && number <= option->max;
}

int perron_option_parse(const struct perron_option *option, const char *text, int64_t *number,
			char *expected, size_t expected_size)
{
	int64_t value = 0;

	PERRON_ASSERT(option != NULL && text != NULL);
	int rc = parse_kind(option, text, &value);
	if (!rc && !in_bounds(option, value))
		rc = -ERANGE;
	if (rc) {
		perron_option_expected(option, expected, expected_size);
		return rc;
	}
	if (number)
		*number = value;
	return 0;
}

static const char *kind_sentence(enum perron_option_kind kind)
{
	switch (kind) {
	case PERRON_OPTION_TEXT:
		return "text";
	case PERRON_OPTION_INTEGER:
		return "a whole number";
	case PERRON_OPTION_BOOLEAN:
		return "yes or no";
	case PERRON_OPTION_DURATION:
		return "a duration";
	case PERRON_OPTION_SIZE:
		return "a size";
	case PERRON_OPTION_SHARE:
		return "a share";
	case PERRON_OPTION_CHOICE:
		return "one of ";
	case PERRON_OPTION_ADDRESS:
		return "an IPv4 address such as 10.0.0.1";
	}
	return "";
}

static const char *kind_example(enum perron_option_kind kind)
{
	switch (kind) {
	case PERRON_OPTION_DURATION:
		return ", such as 20ms or 2s";
	case PERRON_OPTION_SIZE:
		return ", such as 64MB";
	case PERRON_OPTION_SHARE:
		return ", such as 0.1%";
	default:
		return "";
	}
}

void perron_option_expected(const struct perron_option *option, char *out, size_t out_size)
{
	const char *what = kind_sentence(option->kind);

	if (option->kind == PERRON_OPTION_CHOICE) {
		snprintf(out, out_size, "%s%s", what, option->choices);
		return;
	}
	if (!kind_has_bounds(option->kind) || (!option->min && !option->max)) {
		snprintf(out, out_size, "%s%s", what, kind_example(option->kind));
		return;
	}
	char low[32], high[32];
	perron_option_format(option, option->min, low, sizeof(low));
	perron_option_format(option, option->max, high, sizeof(high));
	snprintf(out, out_size, "%s from %s to %s%s", what, low, high, kind_example(option->kind));
}

const struct perron_option *perron_option_find(const struct perron_option *table, const char *name)
{
	for (; table && table->name; table++) {
		if (!strcmp(table->name, name))
			return table;
	}
	return NULL;
}

static uint32_t name_length(const char *name)
{
	uint32_t length = 0;

	while (length < NAME_LENGTH_MAX && name[length])
		length++;
	return length;
}

uint32_t perron_option_distance(const char *a, const char *b)
{
	uint32_t row[NAME_LENGTH_MAX + 1];
	uint32_t b_length = name_length(b);
	uint32_t a_length = name_length(a);

	for (uint32_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (uint32_t i = 1; i <= a_length; i++) {
		uint32_t diagonal = row[0];
		row[0] = i;
		for (uint32_t j = 1; j <= b_length; j++) {
			uint32_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			best = best < row[j] + 1 ? best : row[j] + 1;
			row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
		}
	}
	return row[b_length];
}

const char *perron_option_nearest(const struct perron_option *table, const char *name)
{
	/* A third of the letters wrong is still a slip of the hand. */
	uint32_t best = name_length(name) / 3 + 2;
	const char *nearest = NULL;

	for (; table && table->name; table++) {
		uint32_t distance = perron_option_distance(table->name, name);
		if (distance < best) {
			best = distance;
			nearest = table->name;
		}
	}
	return nearest;
}

static void say_unknown(const struct perron_option *table, const char *key, char *error,
			size_t error_size)
{
	const char *nearest = perron_option_nearest(table, key);

	if (nearest) {
		snprintf(error, error_size, "unknown key '%s'; did you mean '%s'?", key, nearest);
		return;
	}
	int at = snprintf(error, error_size, "unknown key '%s'; expected one of", key);
	for (; table && table->name && at >= 0 && (size_t)at < error_size; table++)
		at += snprintf(error + at, error_size - (size_t)at, " %s", table->name);
}

static int check_value(const struct perron_option *table, const struct perron_option_value *values,
		       uint32_t index, char *error, size_t error_size)
{
	const struct perron_option_value *value = &values[index];
	const struct perron_option *option = perron_option_find(table, value->key);
	char expected[PERRON_OPTION_ERROR_SIZE];

	if (!option) {
		say_unknown(table, value->key, error, error_size);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < index; i++) {
		if (!strcmp(values[i].key, value->key)) {
			snprintf(error, error_size, "'%s' is given twice; expected once",
				 value->key);
			return -EINVAL;
		}
	}
	int rc = perron_option_parse(option, value->value, NULL, expected, sizeof(expected));
	if (rc) {
		snprintf(error, error_size, "'%s' is %s: '%s'; expected %s", value->key,
			 rc == -ERANGE ? "out of range" : "ill-typed", value->value, expected);
		return -EINVAL;
	}
	return 0;
}

static const struct perron_option_value *find_value(const struct perron_option_value *values,
						    uint32_t value_count, const char *name)
{
	for (uint32_t i = 0; i < value_count; i++) {
		if (!strcmp(values[i].key, name))
			return &values[i];
	}
	return NULL;
}

int perron_option_check(const struct perron_option *table, const struct perron_option_value *values,
			uint32_t value_count, uint32_t *culprit, char *error, size_t error_size)
{
	PERRON_ASSERT(table != NULL && culprit != NULL);
	for (*culprit = 0; *culprit < value_count; ++*culprit) {
		int rc = check_value(table, values, *culprit, error, error_size);
		if (rc)
			return rc;
	}
	for (; table->name; table++) {
		if (table->default_text || find_value(values, value_count, table->name))
			continue;
		snprintf(error, error_size, "'%s' is missing; expected %s", table->name,
			 table->help);
		return -EINVAL;
	}
	return 0;
}

const char *perron_option_text(const struct perron_option *table,
			       const struct perron_option_value *values, uint32_t value_count,
			       const char *name)
{
	const struct perron_option *option = perron_option_find(table, name);
	const struct perron_option_value *value = find_value(values, value_count, name);

	PERRON_ASSERT(option != NULL);
	if (value)
		return value->value;
	return option->default_text ? option->default_text : "";
}

int64_t perron_option_number(const struct perron_option *table,
			     const struct perron_option_value *values, uint32_t value_count,
			     const char *name)
{
	const struct perron_option *option = perron_option_find(table, name);
	int64_t number = 0;

	PERRON_ASSERT(option != NULL && option->kind != PERRON_OPTION_TEXT);
	const char *text = perron_option_text(table, values, value_count, name);
	return parse_kind(option, text, &number) ? 0 : number;
}

/* Takes the largest unit that leaves no rest. */
static void format_with_unit(const struct unit *units, int64_t number, char *out, size_t out_size)
{
	const struct unit *best = &units[0];

	for (; units->name; units++) {
		if (units->factor > best->factor && number && number % units->factor == 0)
			best = units;
	}
	snprintf(out, out_size, "%" PRId64 "%s", number / best->factor, best->name);
}

static void format_share(int64_t number, char *out, size_t out_size)
{
	int at = snprintf(out, out_size, "%" PRId64 ".%04" PRId64, number / 10000, number % 10000);

	while (at > 0 && out[at - 1] == '0')
		at--;
	if (at > 0 && out[at - 1] == '.')
		at--;
	if (at >= 0 && (size_t)at + 1 < out_size)
		snprintf(out + at, out_size - (size_t)at, "%%");
}

static void format_choice(const char *choices, int64_t number, char *out, size_t out_size)
{
	while (number-- > 0) {
		choices += strcspn(choices, "|");
		choices += *choices == '|';
	}
	snprintf(out, out_size, "%.*s", (int)strcspn(choices, "|"), choices);
}

void perron_option_format(const struct perron_option *option, int64_t number, char *out,
			  size_t out_size)
{
	PERRON_ASSERT(option->kind != PERRON_OPTION_TEXT && out_size >= 32);
	switch (option->kind) {
	case PERRON_OPTION_TEXT:
	case PERRON_OPTION_INTEGER:
		snprintf(out, out_size, "%" PRId64, number);
		break;
	case PERRON_OPTION_BOOLEAN:
		snprintf(out, out_size, "%s", number ? "yes" : "no");
		break;
	case PERRON_OPTION_DURATION:
		format_with_unit(durations, number, out, out_size);
		break;
	case PERRON_OPTION_SIZE:
		format_with_unit(sizes, number, out, out_size);
		break;
	case PERRON_OPTION_SHARE:
		format_share(number, out, out_size);
		break;
	case PERRON_OPTION_CHOICE:
		format_choice(option->choices, number, out, out_size);
		break;
	case PERRON_OPTION_ADDRESS:
		snprintf(out, out_size, "%u.%u.%u.%u", (unsigned)(number >> 24) & 255u,
			 (unsigned)(number >> 16) & 255u, (unsigned)(number >> 8) & 255u,
			 (unsigned)number & 255u);
		break;
	}
}
