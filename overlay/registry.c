#include "overlay/registry.h"

static uint32_t cell_count_max(const struct perron_registry_rules *rules)
{
	return rules->entry_count_max + 1;
}

size_t perron_registry_size(const struct perron_registry_rules *rules)
{
	uint32_t n = rules->entry_count_max;

	return perron_arena_share(n * sizeof(struct perron_registry_entry)) +
	       perron_arena_share(cell_count_max(rules) * sizeof(struct perron_registry_cell)) +
	       2 * perron_map_size(n) + perron_map_size(cell_count_max(rules));
}

void perron_registry_init(struct perron_registry *g, struct perron_arena *a,
			  const struct perron_registry_rules *rules, uint64_t seed)
{
	uint32_t n = rules->entry_count_max;

	*g = (struct perron_registry){.rules = *rules};
	g->entries = perron_arena_take(a, n * sizeof(*g->entries));
	g->cells = perron_arena_take(a, cell_count_max(rules) * sizeof(*g->cells));
	perron_map_init(&g->by_peer, a, n, seed);
	perron_map_init(&g->by_position, a, n, seed);
	perron_map_init(&g->by_cell, a, cell_count_max(rules), seed);
	perron_registry_clear(g);
}

void perron_registry_clear(struct perron_registry *g)
{
	struct perron_position root = {0};

	while (g->entry_count)
		perron_registry_remove(g, g->entries[0].party.id);
	while (g->cell_count)
		(void)perron_map_remove(&g->by_cell,
					perron_position_key(&g->cells[--g->cell_count].cell));
	/* The root cell stands by itself: it is never filled from here. */
	g->cells[0] = (struct perron_registry_cell){.cell = root, .confirmed = 1};
	g->cell_count = 1;
	bool is_put = perron_map_put(&g->by_cell, perron_position_key(&root), 0);
	PERRON_ASSERT(is_put);
}

struct perron_registry_entry *perron_registry_find(struct perron_registry *g, uint32_t peer)
{
	uint32_t index = perron_map_find(&g->by_peer, peer);

	return index == PERRON_MAP_NONE ? NULL : &g->entries[index];
}

static struct perron_position cell_of(const struct perron_position *p)
{
	struct perron_position cell = *p;

	cell.slot = 0;
	return cell;
}

static struct perron_registry_cell *cell_find(const struct perron_registry *g,
					      const struct perron_position *cell)
{
	uint32_t index = perron_map_find(&g->by_cell, perron_position_key(cell));

	return index == PERRON_MAP_NONE ? NULL : &g->cells[index];
}

static uint16_t slot_bit(const struct perron_position *p)
{
	return (uint16_t)(1u << (p->slot - 1));
}

static bool cell_is_confirmed(const struct perron_registry *g, const struct perron_position *cell)
{
	const struct perron_registry_cell *c = cell_find(g, cell);

	return c && c->confirmed;
}

/* --- entries --- */

static struct perron_registry_entry *entry_add(struct perron_registry *g,
					       const struct perron_party *party,
					       const struct perron_position *position,
					       uint32_t attempt)
{
	struct perron_position cell = cell_of(position);

	if (g->entry_count == g->rules.entry_count_max)
		return NULL;
	struct perron_registry_cell *c = cell_find(g, &cell);
	if (!c) {
		/* A cell leaves with its last member, so there are never more than entries. */
		PERRON_ASSERT(g->cell_count < cell_count_max(&g->rules));
		c = &g->cells[g->cell_count];
		*c = (struct perron_registry_cell){.cell = cell};
		bool is_put =
			perron_map_put(&g->by_cell, perron_position_key(&cell), g->cell_count++);
		PERRON_ASSERT(is_put);
	}
	c->held |= slot_bit(position);
	uint32_t index = g->entry_count++;
	g->entries[index] = (struct perron_registry_entry){
		.party = *party,
		.position = *position,
		.attempt = attempt,
	};
	bool is_put = perron_map_put(&g->by_peer, party->id, index);
	is_put = is_put && perron_map_put(&g->by_position, perron_position_key(position), index);
	PERRON_ASSERT(is_put);
	return &g->entries[index];
}

static void entry_confirm(struct perron_registry *g, struct perron_registry_entry *e,
			  uint64_t now_ns)
{
	struct perron_position cell = cell_of(&e->position);
	struct perron_registry_cell *c = cell_find(g, &cell);

	PERRON_ASSERT(c);
	c->confirmed |= slot_bit(&e->position);
	e->confirmed = true;
	e->expires_ns = now_ns + g->rules.keep_ns;
}

static void cell_remove(struct perron_registry *g, struct perron_registry_cell *c)
{
	uint32_t index = (uint32_t)(c - g->cells);
	uint32_t last = --g->cell_count;

	(void)perron_map_remove(&g->by_cell, perron_position_key(&c->cell));
	if (index == last)
		return;
	g->cells[index] = g->cells[last];
	bool is_put = perron_map_put(&g->by_cell, perron_position_key(&g->cells[index].cell), index);
	PERRON_ASSERT(is_put);
}

void perron_registry_remove(struct perron_registry *g, uint32_t peer)
{
	struct perron_registry_entry *e = perron_registry_find(g, peer);

	if (!e)
		return;
	struct perron_position cell = cell_of(&e->position);
	struct perron_registry_cell *c = cell_find(g, &cell);
	PERRON_ASSERT(c);
	c->held &= (uint16_t)~slot_bit(&e->position);
	c->confirmed &= (uint16_t)~slot_bit(&e->position);
	if (!c->held)
		cell_remove(g, c);
	(void)perron_map_remove(&g->by_peer, peer);
	(void)perron_map_remove(&g->by_position, perron_position_key(&e->position));
	uint32_t index = (uint32_t)(e - g->entries);
	uint32_t last = --g->entry_count;
	if (index != last) {
		*e = g->entries[last];
		bool is_put = perron_map_put(&g->by_peer, e->party.id, index);
		is_put = is_put &&
			 perron_map_put(&g->by_position, perron_position_key(&e->position), index);
		PERRON_ASSERT(is_put);
	}
	g->entries[last] = (struct perron_registry_entry){0};
}

void perron_registry_expire(struct perron_registry *g, uint64_t now_ns)
{
	for (uint32_t i = 0; i < g->entry_count;) {
		if (g->entries[i].expires_ns <= now_ns)
			perron_registry_remove(g, g->entries[i].party.id);
		else
			i++;
	}
}

/* --- giving out positions --- */

static bool position_is_legal(const struct perron_registry_rules *rules,
			      const struct perron_position *p)
{
	if (p->level == 0 || p->level >= rules->level_count || p->slot > rules->cell_size)
		return false;
	for (uint8_t i = 0; i < p->level; i++)
		if (p->branch[i] >= rules->span)
			return false;
	return true;
}

static uint8_t free_slot(const struct perron_registry *g, const struct perron_position *cell)
{
	const struct perron_registry_cell *c = cell_find(g, cell);
	uint32_t held = c ? c->held : 0;
	uint32_t slot = (uint32_t)__builtin_ctz(~held) + 1;

	return slot <= g->rules.cell_size ? (uint8_t)slot : 0;
}

struct candidate {
	struct perron_position cell;
	bool found;
	bool started; /* has a member already: complete it before another is begun */
};

static void candidate_take(struct candidate *best, const struct perron_position *cell,
			   bool started)
{
	if (best->found) {
		if (cell->level > best->cell.level)
			return;
		if (cell->level == best->cell.level) {
			if (best->started && !started)
				return;
			if (best->started == started &&
			    perron_position_key(cell) >= perron_position_key(&best->cell))
				return;
		}
	}
	*best = (struct candidate){.cell = *cell, .found = true, .started = started};
}

/* The highest free place below a confirmed cell: started cells first, then in order. */
static struct candidate place_find(const struct perron_registry *g)
{
	struct candidate best = {.found = false};

	for (uint32_t i = 0; i < g->cell_count; i++) {
		const struct perron_registry_cell *c = &g->cells[i];
		if (!c->confirmed || c->cell.level + 1 >= g->rules.level_count)
			continue;
		if (best.found && c->cell.level + 1 > best.cell.level)
			continue;
		for (uint8_t b = 0; b < g->rules.span; b++) {
			struct perron_position child = perron_position_child(&c->cell, b);
			if (free_slot(g, &child))
				candidate_take(&best, &child, cell_find(g, &child) != NULL);
		}
	}
	return best;
}

struct perron_registry_entry *perron_registry_assign(struct perron_registry *g, uint64_t now_ns,
						     const struct perron_party *party,
						     const struct perron_position *wish,
						     bool *wait)
{
	struct perron_position position = {0};

	PERRON_ASSERT(!perron_registry_find(g, party->id));
	*wait = true;
	if (wish && position_is_legal(&g->rules, wish)) {
		struct perron_position above = perron_position_parent(wish);
		if (!cell_is_confirmed(g, &above))
			return NULL; /* it may come; the peer gives its wish up in time */
		struct perron_position cell = cell_of(wish);
		bool is_free = wish->slot && perron_map_find(&g->by_position,
							      perron_position_key(wish)) ==
						     PERRON_MAP_NONE;
		position = cell;
		position.slot = is_free ? wish->slot : free_slot(g, &cell);
	}
	if (!position.slot) {
		struct candidate best = place_find(g);
		if (!best.found)
			return NULL;
		position = best.cell;
		position.slot = free_slot(g, &best.cell);
	}
	struct perron_registry_entry *e = entry_add(g, party, &position, 0);
	if (e)
		e->expires_ns = now_ns + g->rules.reserve_ns;
	else
		*wait = false;
	return e;
}

bool perron_registry_confirm(struct perron_registry *g, uint64_t now_ns,
			     const struct perron_party *party, uint32_t attempt,
			     const struct perron_position *position)
{
	struct perron_registry_entry *e = perron_registry_find(g, party->id);

	if (!position_is_legal(&g->rules, position) || !position->slot)
		return false;
	if (e && (e->party.incarnation != party->incarnation || e->attempt != attempt ||
		  !perron_position_equal(&e->position, position))) {
		int32_t lives = (int32_t)(party->incarnation - e->party.incarnation);
		int32_t attempts = (int32_t)(attempt - e->attempt);
		if (lives < 0 || (lives == 0 && attempts <= 0))
			return false;
		perron_registry_remove(g, party->id);
		e = NULL;
	}
	if (!e) {
		/* Given out by another coordinator: it stands if nobody else holds the place. */
		if (perron_map_find(&g->by_position, perron_position_key(position)) !=
		    PERRON_MAP_NONE)
			return false;
		e = entry_add(g, party, position, attempt);
		if (!e)
			return false;
	}
	e->party.endpoint = party->endpoint;
	entry_confirm(g, e, now_ns);
	return true;
}

void perron_registry_members(struct perron_registry *g, const struct perron_position *cell,
			     uint32_t except, bool confirmed, struct perron_members *out)
{
	struct perron_position at = cell_of(cell);

	out->count = 0;
	for (uint8_t slot = 1; slot <= g->rules.cell_size; slot++) {
		at.slot = slot;
		uint32_t index = perron_map_find(&g->by_position, perron_position_key(&at));
		if (index == PERRON_MAP_NONE)
			continue;
		const struct perron_registry_entry *e = &g->entries[index];
		if (e->party.id == except || (confirmed && !e->confirmed))
			continue;
		out->items[out->count++] =
			(struct perron_member){.party = e->party, .slot = slot};
	}
}

void perron_registry_check(const struct perron_registry *g)
{
	uint32_t held = 0;

	PERRON_ASSERT(g->by_peer.count == g->entry_count);
	PERRON_ASSERT(g->by_position.count == g->entry_count);
	PERRON_ASSERT(g->by_cell.count == g->cell_count);
	for (uint32_t i = 0; i < g->cell_count; i++) {
		const struct perron_registry_cell *c = &g->cells[i];
		held += (uint32_t)__builtin_popcount(c->held);
		PERRON_ASSERT(i == 0 || (c->held && (c->confirmed & ~c->held) == 0));
	}
	PERRON_ASSERT(held == g->entry_count);
}
