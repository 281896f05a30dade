#include "overlay/path.h"

/* Moves an acknowledgement's base up to `cumulative`; what the bitmap already had follows. */
static struct perron_ack ack_raised(struct perron_ack ack, uint64_t cumulative)
{
	if (cumulative > ack.cumulative) {
		uint64_t by = cumulative - ack.cumulative;
		ack.bitmap = by < 64 ? ack.bitmap >> by : 0;
		ack.cumulative = cumulative;
	}
	while (ack.bitmap & 1u) {
		ack.bitmap >>= 1;
		ack.cumulative++;
	}
	return ack;
}

/* The bitmap of `ack` as seen from a lower or equal base. */
static uint64_t bitmap_from(const struct perron_ack *ack, uint64_t base)
{
	uint64_t by = ack->cumulative - base;

	if (by == 0)
		return ack->bitmap;
	if (by >= 64)
		return UINT64_MAX;
	return ack->bitmap << by | ((UINT64_C(1) << by) - 1);
}

static uint64_t branch_floor(const struct perron_path *p, const struct perron_branch *b)
{
	return p->floor > b->floor ? p->floor : b->floor;
}

/* What a branch has, counting what it can never get as had. */
static struct perron_ack branch_ack(const struct perron_path *p, const struct perron_branch *b)
{
	uint64_t floor = branch_floor(p, b);

	return floor ? ack_raised(b->ack, floor - 1) : b->ack;
}

static struct perron_ack aggregate(const struct perron_path *p, bool with_gone, bool *is_any)
{
	struct perron_ack all = {.cumulative = UINT64_MAX, .bitmap = UINT64_MAX};
	bool any = false;

	for (uint32_t i = 0; i < p->branch_count; i++) {
		if (!p->branches[i].started || (p->branches[i].gone_ns && !with_gone))
			continue;
		struct perron_ack one = branch_ack(p, &p->branches[i]);
		if (!any || one.cumulative < all.cumulative) {
			uint64_t bitmap = any ? bitmap_from(&all, one.cumulative) : UINT64_MAX;
			all.cumulative = one.cumulative;
			all.bitmap = bitmap & one.bitmap;
		} else {
			all.bitmap &= bitmap_from(&one, all.cumulative);
		}
		any = true;
	}
	*is_any = any;
	if (!any)
		return (struct perron_ack){.cumulative = p->acked.cumulative};
	return ack_raised(all, all.cumulative);
}

struct perron_ack perron_path_aggregate(const struct perron_path *p)
{
	bool ignored;

	return aggregate(p, true, &ignored);
}

bool perron_path_lack(const struct perron_path *p, struct perron_ack *have)
{
	bool any;

	*have = aggregate(p, false, &any);
	return any;
}

struct perron_branch *perron_path_branch(struct perron_path *p, uint32_t party_id)
{
	for (uint32_t i = 0; i < p->branch_count; i++)
		if (p->branches[i].party.id == party_id)
			return &p->branches[i];
	return NULL;
}

struct perron_branch *perron_path_branch_open(struct perron_path *p, uint32_t branch_count_max,
					      const struct perron_party *party, uint64_t asked)
{
	struct perron_branch *b = perron_path_branch(p, party->id);

	if (b && b->party.incarnation == party->incarnation) {
		b->party.endpoint = party->endpoint;
		b->gone_ns = 0;
		return b;
	}
	if (!b) {
		if (p->branch_count == branch_count_max)
			return NULL;
		b = &p->branches[p->branch_count++];
	}
	*b = (struct perron_branch){.party = *party, .asked = asked};
	return b;
}

bool perron_path_branch_close(struct perron_path *p, uint32_t party_id)
{
	struct perron_branch *b = perron_path_branch(p, party_id);

	if (!b)
		return false;
	*b = p->branches[--p->branch_count];
	return true;
}

void perron_path_branch_start(struct perron_path *p, struct perron_branch *b, bool held)
{
	PERRON_ASSERT(p->started);
	/* What was acknowledged upstream may be gone there: nothing below can be promised. */
	uint64_t lowest = p->acked.cumulative + 1;
	uint64_t first = b->asked ? b->asked : p->high + 1;

	if (first > p->high + 1)
		first = p->high + 1;
	if (first < lowest && !held)
		first = lowest;
	if (first < p->floor && !held)
		first = p->floor;
	b->ack = (struct perron_ack){.cumulative = first - 1};
	b->started = true;
}

void perron_path_start(struct perron_path *p, uint64_t first)
{
	PERRON_ASSERT(first > 0);
	if (!p->started) {
		p->started = true;
		p->floor = first;
		p->acked.cumulative = first - 1;
	} else if (first > p->floor && first > p->acked.cumulative + 1) {
		p->floor = first;
	}
	if (p->high < first - 1)
		p->high = first - 1;
}

void perron_path_said(struct perron_path *p, const struct perron_ack *ack)
{
	PERRON_ASSERT(ack->cumulative <= p->high);
	if (ack->cumulative < p->acked.cumulative)
		return;
	p->acked = *ack;
	if (p->floor < ack->cumulative + 1)
		p->floor = ack->cumulative + 1;
}

bool perron_path_acknowledge(struct perron_path *p, struct perron_branch *b,
			     const struct perron_ack *ack)
{
	uint32_t ahead = ack->bitmap ? 64u - (uint32_t)__builtin_clzll(ack->bitmap) : 0;

	if (!b->started || ack->cumulative > p->high || ahead > p->high - ack->cumulative)
		return false;
	if (ack->cumulative < b->ack.cumulative)
		return true; /* an old one, overtaken */
	uint64_t known = ack->cumulative == b->ack.cumulative ? b->ack.bitmap : 0;
	b->ack = ack_raised((struct perron_ack){ack->cumulative, ack->bitmap | known},
			    ack->cumulative);
	return true;
}

void perron_path_check(const struct perron_path *p)
{
	if (!p->used)
		return;
	PERRON_ASSERT(p->stream != 0);
	PERRON_ASSERT(!p->started || p->high + 1 >= p->floor);
	for (uint32_t i = 0; i < p->branch_count; i++) {
		const struct perron_branch *b = &p->branches[i];
		PERRON_ASSERT(b->party.id != 0);
		PERRON_ASSERT(!b->started || p->started);
		PERRON_ASSERT(!b->started || b->ack.cumulative <= p->high);
		for (uint32_t k = 0; k < i; k++)
			PERRON_ASSERT(p->branches[k].party.id != b->party.id);
	}
}
