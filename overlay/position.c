#include "overlay/position.h"

#include <assert.h>
#include <string.h>

static_assert(PERRON_SPAN_MAX <= 16, "a branch is four bits of a position's key");
static_assert(PERRON_LEVEL_COUNT_MAX <= 8, "branches take 28 bits of a position's key");
static_assert(PERRON_POSITION_SIZE == 2 + (PERRON_LEVEL_COUNT_MAX - 1) + 1,
	      "level, slot, branches, reserved");
static_assert(PERRON_POSITION_TEXT_MAX >= 1 + 3 * (PERRON_LEVEL_COUNT_MAX - 1) + 3 + 1,
	      "\"0\", seven times \".15\", \"#16\", the zero");

static bool position_is_valid(const struct perron_position *p)
{
	if (p->level >= PERRON_LEVEL_COUNT_MAX || p->slot > PERRON_CELL_SIZE_MAX)
		return false;
	for (uint32_t i = 0; i < p->level; i++)
		if (p->branch[i] >= PERRON_SPAN_MAX)
			return false;
	return true;
}

bool perron_position_same_cell(const struct perron_position *a, const struct perron_position *b)
{
	PERRON_ASSERT(a->level < PERRON_LEVEL_COUNT_MAX);
	PERRON_ASSERT(b->level < PERRON_LEVEL_COUNT_MAX);
	return a->level == b->level && memcmp(a->branch, b->branch, a->level) == 0;
}

bool perron_position_equal(const struct perron_position *a, const struct perron_position *b)
{
	return a->slot == b->slot && perron_position_same_cell(a, b);
}

struct perron_position perron_position_parent(const struct perron_position *p)
{
	PERRON_ASSERT(p->level > 0 && p->level < PERRON_LEVEL_COUNT_MAX);
	struct perron_position parent = *p;

	parent.level--;
	for (uint32_t i = parent.level; i < PERRON_LEVEL_COUNT_MAX - 1; i++)
		parent.branch[i] = 0;
	parent.slot = 0;
	return parent;
}

struct perron_position perron_position_child(const struct perron_position *cell, uint8_t branch)
{
	PERRON_ASSERT(cell->level + 1 < PERRON_LEVEL_COUNT_MAX);
	PERRON_ASSERT(branch < PERRON_SPAN_MAX);
	struct perron_position child = *cell;

	child.branch[child.level++] = branch;
	child.slot = 0;
	return child;
}

uint64_t perron_position_key(const struct perron_position *p)
{
	PERRON_ASSERT(position_is_valid(p));
	uint64_t key = p->level;

	for (uint32_t i = 0; i < PERRON_LEVEL_COUNT_MAX - 1; i++)
		key = key << 4 | (i < p->level ? p->branch[i] : 0u);
	return key << 8 | p->slot;
}

static char *number_print(char *at, uint8_t value)
{
	PERRON_ASSERT(value < 100);
	if (value >= 10)
		*at++ = (char)('0' + value / 10);
	*at++ = (char)('0' + value % 10);
	return at;
}

void perron_position_print(const struct perron_position *p, char *out)
{
	PERRON_ASSERT(position_is_valid(p));
	char *at = out;

	*at++ = '0';
	for (uint32_t i = 0; i < p->level; i++) {
		*at++ = '.';
		at = number_print(at, p->branch[i]);
	}
	if (p->slot) {
		*at++ = '#';
		at = number_print(at, p->slot);
	}
	*at = 0;
	PERRON_ASSERT(at - out < PERRON_POSITION_TEXT_MAX);
}

/* One or two digits without a leading zero; returns what follows, or NULL. */
static const char *number_parse(const char *at, uint8_t *out)
{
	if (*at < '0' || *at > '9')
		return NULL;
	uint8_t value = (uint8_t)(*at++ - '0');
	if (*at >= '0' && *at <= '9') {
		if (value == 0)
			return NULL;
		value = (uint8_t)(value * 10 + (*at++ - '0'));
	}
	if (*at >= '0' && *at <= '9')
		return NULL;
	*out = value;
	return at;
}

int perron_position_parse(const char *text, struct perron_position *out)
{
	struct perron_position p = {0};
	const char *at = text;

	if (*at++ != '0')
		return -1;
	while (*at == '.') {
		uint8_t branch;

		at = number_parse(at + 1, &branch);
		if (!at || branch >= PERRON_SPAN_MAX || p.level + 1 >= PERRON_LEVEL_COUNT_MAX)
			return -1;
		p.branch[p.level++] = branch;
	}
	if (*at == '#') {
		at = number_parse(at + 1, &p.slot);
		if (!at || p.slot == 0 || p.slot > PERRON_CELL_SIZE_MAX)
			return -1;
	}
	if (*at)
		return -1;
	*out = p;
	return 0;
}

void perron_position_write(struct perron_writer *w, const struct perron_position *p)
{
	PERRON_ASSERT(position_is_valid(p));
	perron_write8(w, p->level);
	perron_write8(w, p->slot);
	for (uint32_t i = 0; i < PERRON_LEVEL_COUNT_MAX - 1; i++)
		perron_write8(w, i < p->level ? p->branch[i] : 0);
	perron_write8(w, 0);
}

struct perron_position perron_position_read(struct perron_reader *r)
{
	struct perron_position p = {0};

	p.level = perron_read8(r);
	p.slot = perron_read8(r);
	for (uint32_t i = 0; i < PERRON_LEVEL_COUNT_MAX - 1; i++) {
		p.branch[i] = perron_read8(r);
		if (i >= p.level && p.branch[i] != 0)
			r->failed = true;
	}
	if (perron_read8(r) != 0 || !position_is_valid(&p))
		r->failed = true;
	if (r->failed)
		return (struct perron_position){0};
	return p;
}
