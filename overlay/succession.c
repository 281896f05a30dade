#include "overlay/succession.h"

#define DIGITS_MAX 3

static uint32_t digits_of(uint8_t slot, char *out)
{
	uint32_t count = slot >= 100 ? 3 : slot >= 10 ? 2 : 1;

	for (uint32_t i = count; i-- > 0; slot /= 10)
		out[i] = (char)('0' + slot % 10);
	return count;
}

static uint32_t min3(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t least = a < b ? a : b;

	return least < c ? least : c;
}

uint32_t perron_slot_distance(uint8_t a, uint8_t b)
{
	char from[DIGITS_MAX], to[DIGITS_MAX];
	uint32_t from_count = digits_of(a, from);
	uint32_t to_count = digits_of(b, to);
	uint32_t row[DIGITS_MAX + 1];

	for (uint32_t k = 0; k <= to_count; k++)
		row[k] = k;
	for (uint32_t i = 1; i <= from_count; i++) {
		uint32_t diagonal = row[0];
		row[0] = i;
		for (uint32_t k = 1; k <= to_count; k++) {
			uint32_t above = row[k];
			row[k] = min3(above + 1, row[k - 1] + 1,
				      diagonal + (from[i - 1] != to[k - 1]));
			diagonal = above;
		}
	}
	return row[to_count];
}

static bool is_before(const struct perron_successor *a, const struct perron_successor *b,
		      uint8_t slot, uint32_t address)
{
	bool a_near = a->address == address, b_near = b->address == address;
	uint32_t a_distance = perron_slot_distance(a->slot, slot);
	uint32_t b_distance = perron_slot_distance(b->slot, slot);

	if (a_near != b_near)
		return b_near;
	if (a_distance != b_distance)
		return a_distance < b_distance;
	return a->slot != b->slot ? a->slot < b->slot : a->peer < b->peer;
}

void perron_succession_sort(struct perron_successor *items, uint32_t count, uint8_t slot,
			    uint32_t address)
{
	for (uint32_t i = 1; i < count; i++) {
		struct perron_successor item = items[i];
		uint32_t at = i;
		for (; at > 0 && is_before(&item, &items[at - 1], slot, address); at--)
			items[at] = items[at - 1];
		items[at] = item;
	}
}
