/* Draws the tree: each cell with its peers, and the cells below it. */
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>

#include "apps/perron/cli.h"

#define DEPTH_MAX   8
#define INDENT_SIZE (DEPTH_MAX * 8 + 16)

/* A cell's path, "0.1.0"; `node` is the peer that was read from, or NULL. */
struct place {
	uint32_t depth;
	uint32_t cell[DEPTH_MAX];
	uint32_t index; /* in its cell */
	const json_t *node;
};

struct forest {
	struct place *places;
	size_t count;
	bool plain; /* no box drawing in this locale */
	FILE *out;
};

static bool parse_place(const char *text, struct place *place)
{
	char *end;

	for (place->depth = 0; place->depth < DEPTH_MAX;) {
		place->cell[place->depth++] = (uint32_t)strtoul(text, &end, 10);
		if (end == text)
			return false;
		text = end + 1;
		if (*end != '.')
			break;
	}
	if (*end != '#')
		return false;
	place->index = (uint32_t)strtoul(text, &end, 10);
	return end != text && !*end;
}

static int compare_cells(const struct place *a, const struct place *b)
{
	for (uint32_t i = 0; i < a->depth && i < b->depth; i++) {
		if (a->cell[i] != b->cell[i])
			return a->cell[i] < b->cell[i] ? -1 : 1;
	}
	return (a->depth > b->depth) - (a->depth < b->depth);
}

static int compare(const void *a, const void *b)
{
	const struct place *left = a, *right = b;
	int order = compare_cells(left, right);

	if (order)
		return order;
	return (left->index > right->index) - (left->index < right->index);
}

static bool is_below(const struct place *place, const struct place *cell)
{
	return place->depth > cell->depth &&
	       !memcmp(place->cell, cell->cell, cell->depth * sizeof(cell->cell[0]));
}

static void print_member(const struct forest *forest, const struct place *place, const char *indent)
{
	const json_t *node = place->node;
	const char *sensors = cli_text(node, "sensors");

	fprintf(forest->out, "%s%s  peer %s  %s", indent, cli_text(node, "position"),
		cli_text(node, "peer"), cli_text(node, "address"));
	if (json_is_true(json_object_get(node, "coordinator")))
		fprintf(forest->out, "  coordinator");
	if (json_is_true(json_object_get(node, "here")))
		fprintf(forest->out, "  here");
	if (strcmp(sensors, "0") && strcmp(sensors, "-"))
		fprintf(forest->out, "  %s sensor%s", sensors, strcmp(sensors, "1") ? "s" : "");
	if (json_is_false(json_object_get(node, "alive")))
		fprintf(forest->out, "  LOST");
	fprintf(forest->out, "\n");
}

static void print_cell_name(const struct forest *forest, const struct place *cell)
{
	for (uint32_t i = 0; i < cell->depth; i++)
		fprintf(forest->out, "%s%u", i ? "." : "", cell->cell[i]);
	fprintf(forest->out, "%s\n", cell->depth == 1 ? "  (root cell)" : "");
}

/* The next cell right below `cell` whose number is at least `from`; false: there is none. */
static bool next_child(const struct forest *forest, const struct place *cell, uint32_t from,
		       struct place *child)
{
	for (size_t i = 0; i < forest->count; i++) {
		const struct place *place = &forest->places[i];
		if (!is_below(place, cell) || place->cell[cell->depth] < from)
			continue;
		*child = *place;
		child->depth = cell->depth + 1;
		return true;
	}
	return false;
}

static void draw(const struct forest *forest, const struct place *cell, const char *indent)
{
	char below[INDENT_SIZE];
	struct place child, after;
	bool more = cell->depth < DEPTH_MAX && next_child(forest, cell, 0, &child);

	print_cell_name(forest, cell);
	snprintf(below, sizeof(below), "%s%s", indent,
		 !more		 ? "   "
		 : forest->plain ? "|  "
				 : "│  ");
	for (size_t i = 0; i < forest->count; i++) {
		if (!compare_cells(&forest->places[i], cell))
			print_member(forest, &forest->places[i], below);
	}
	while (more) {
		more = next_child(forest, cell, child.cell[cell->depth] + 1, &after);
		fprintf(forest->out, "%s%s", indent,
			forest->plain ? (more ? "|- " : "`- ") : (more ? "├─ " : "└─ "));
		snprintf(below, sizeof(below), "%s%s", indent,
			 !more		 ? "   "
			 : forest->plain ? "|  "
					 : "│  ");
		draw(forest, &child, below);
		child = after;
	}
}

void cli_view_tree(const json_t *reply, FILE *out)
{
	const json_t *nodes = json_object_get(reply, "tree"), *node;
	struct forest forest = {.out = out, .plain = strcmp(nl_langinfo(CODESET), "UTF-8") != 0};
	size_t i, unplaced = 0;

	forest.places = calloc(json_array_size(nodes) + 1, sizeof(*forest.places));
	if (!forest.places)
		abort();
	json_array_foreach(nodes, i, node)
	{
		const char *position = json_string_value(json_object_get(node, "position"));
		struct place *place = &forest.places[forest.count];
		if (position && parse_place(position, place)) {
			place->node = node;
			forest.count++;
		}
	}
	qsort(forest.places, forest.count, sizeof(*forest.places), compare);
	if (forest.count)
		draw(&forest, &(struct place){.depth = 1}, "");
	else
		fprintf(out, "no peer has a position yet\n");
	json_array_foreach(nodes, i, node)
	{
		if (json_is_string(json_object_get(node, "position")))
			continue;
		fprintf(out, "%s peer %s (%s)",
			unplaced++ ? "," : "without a position:", cli_text(node, "peer"),
			cli_text(node, "address"));
	}
	if (unplaced)
		fprintf(out, "\n");
	free(forest.places);
}
