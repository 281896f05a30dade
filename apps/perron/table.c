#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "apps/perron/cli.h"

#define TEXT_COUNT 16

static void add_cell(struct cli_table *table, const char *text)
{
	if (table->cell_count == table->cell_room) {
		size_t room = table->cell_room * 2 + 64;
		char **cells = realloc(table->cells, room * sizeof(*cells));
		if (!cells)
			abort();
		table->cells = cells;
		table->cell_room = room;
	}
	char *copy = strdup(text);
	if (!copy)
		abort();
	table->cells[table->cell_count++] = copy;
}

void cli_table_init(struct cli_table *table, size_t column_count, const char *const *headers)
{
	memset(table, 0, sizeof(*table));
	table->column_count = column_count;
	for (size_t i = 0; i < column_count; i++)
		add_cell(table, headers[i]);
}

void cli_table_add(struct cli_table *table, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	add_cell(table, text);
}

/* Characters, not bytes: texts are UTF-8. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static size_t column_width(const struct cli_table *table, size_t column)
{
	size_t widest = 0;

	for (size_t i = column; i < table->cell_count; i += table->column_count) {
		const char *text = table->cells[i];
		size_t width = width_of(text + (i < table->column_count && *text == '>'));
		widest = width > widest ? width : widest;
	}
	return widest;
}

static void print_cell(const struct cli_table *table, size_t index, const size_t *widths, FILE *out)
{
	size_t column = index % table->column_count;
	bool right = table->cells[column][0] == '>';
	const char *text = table->cells[index] + (right && index == column);
	int pad = (int)(widths[column] - width_of(text));
	bool last = column + 1 == table->column_count;

	if (right)
		fprintf(out, "%*s%s%s", pad, "", text, last ? "\n" : "  ");
	else if (last)
		fprintf(out, "%s\n", text);
	else
		fprintf(out, "%s%*s  ", text, pad, "");
}

void cli_table_print(struct cli_table *table, FILE *out)
{
	size_t widths[32];

	for (size_t i = 0; i < table->column_count; i++)
		widths[i] = column_width(table, i);
	for (size_t i = 0; i < table->cell_count; i++)
		print_cell(table, i, widths, out);
	for (size_t i = 0; i < table->cell_count; i++)
		free(table->cells[i]);
	free(table->cells);
}

const char *cli_duration(const json_t *value, char *out, size_t out_size)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	size_t unit = 0;

	if (!json_is_integer(value)) {
		snprintf(out, out_size, "-");
		return out;
	}
	double ns = (double)json_integer_value(value);
	while (unit < 3 && ns >= units[unit + 1].ns)
		unit++;
	double amount = ns / units[unit].ns;
	if (unit == 3 && amount >= 120)
		snprintf(out, out_size, "%.0fh%02.0fm", (double)((uint64_t)amount / 3600),
			 (double)((uint64_t)amount / 60 % 60));
	else
		snprintf(out, out_size, "%.*f%s", amount < 10 && unit ? 1 : 0, amount,
			 units[unit].name);
	return out;
}

const char *cli_text(const json_t *object, const char *key)
{
	static char texts[TEXT_COUNT][256];
	static size_t turn;
	const json_t *value = json_object_get(object, key);
	char *out = texts[turn++ % TEXT_COUNT];

	if (json_is_integer(value))
		snprintf(out, sizeof(texts[0]), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		snprintf(out, sizeof(texts[0]), "%.1f", json_real_value(value));
	else if (json_is_string(value) && json_string_length(value))
		snprintf(out, sizeof(texts[0]), "%s", json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(out, sizeof(texts[0]), "%s", json_is_true(value) ? "yes" : "no");
	else
		snprintf(out, sizeof(texts[0]), "-");
	return out;
}
