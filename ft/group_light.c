/*
 * Light-weight groups: subsets of the cell's members, over its membership. Joining and leaving are
 * agreed messages, so that all see them in one order. After a change of views each member lists its
 * groups in its first packet; when all lists are in, all know the same, and say so.
 */
#include <string.h>

#include "ft/group_private.h"

void group_light_reset(struct perron_group *g)
{
	memset(g->lights, 0, g->cfg.light_count_max * sizeof(*g->lights));
	g->listed = 0;
}

static struct group_light *light_find(const struct perron_group *g, uint32_t group)
{
	for (uint32_t i = 0; i < g->cfg.light_count_max; i++)
		if (g->lights[i].group == group)
			return &g->lights[i];
	return NULL;
}

bool group_light_is_mine(const struct perron_group *g, uint32_t group)
{
	const struct group_light *l = group ? light_find(g, group) : NULL;

	return !group || (l && l->mine);
}

bool group_light_has_room(const struct perron_group *g, uint32_t group)
{
	return light_find(g, group) || light_find(g, 0);
}

static uint32_t all_members(const struct perron_group *g)
{
	return (uint32_t)((1ull << g->view.member_count) - 1);
}

static void light_indicate(const struct perron_group *g, const struct group_light *l,
			   struct perron_effects *out)
{
	struct perron_group_light *light;

	light = perron_effects_indicate(out, PERRON_GROUP_INDICATE_LIGHT, sizeof(*light));
	PERRON_ASSERT(light); /* there was room */
	light->group = l->group;
	for (uint32_t i = 0; i < g->view.member_count; i++)
		if (l->members & 1u << i)
			light->members[light->member_count++] = g->view.members[i].peer;
}

static void lights_indicate(const struct perron_group *g, struct perron_effects *out)
{
	for (uint32_t i = 0; i < g->cfg.light_count_max; i++)
		if (g->lights[i].group && g->lights[i].mine)
			light_indicate(g, &g->lights[i], out);
}

/* One of nobody is free again. False: there is no such group, or no room for it. */
static bool light_change(struct perron_group *g, uint32_t group, uint32_t member, bool joins,
			 struct group_light *now)
{
	struct group_light *l = light_find(g, group);
	uint32_t bit = 1u << member;

	if (!l && joins)
		l = light_find(g, 0);
	if (!l) {
		if (joins)
			relay_drop(g->relay, PERRON_DROP_GROUP_FULL);
		return false;
	}
	l->group = group;
	l->members = joins ? l->members | bit : l->members & ~bit;
	if (member == g->view.self)
		l->mine = joins;
	*now = *l;
	if (!l->members)
		*l = (struct group_light){0};
	return true;
}

static void list_take(struct perron_group *g, uint32_t member, const struct group_item *item,
		      struct perron_effects *out)
{
	struct group_light now;

	for (uint32_t i = 0; i < g->cfg.light_count_max; i++)
		if (g->lights[i].group && member != g->view.self)
			(void)light_change(g, g->lights[i].group, member, false, &now);
	for (uint32_t at = 0; at + 4 <= item->size && member != g->view.self; at += 4)
		if (perron_load32(item->data + at))
			(void)light_change(g, perron_load32(item->data + at), member, true, &now);
	bool were_all = g->listed == all_members(g);
	g->listed |= 1u << member;
	if (!were_all && g->listed == all_members(g))
		lights_indicate(g, out);
}

void group_light_take(struct perron_group *g, uint32_t member, const struct group_item *item,
		      struct perron_effects *out)
{
	if (item->kind == GROUP_ITEM_LIST) {
		list_take(g, member, item, out);
		return;
	}
	if (!item->group) {
		relay_drop(g->relay, PERRON_DROP_MALFORMED);
		return;
	}
	bool joins = item->kind == GROUP_ITEM_JOIN;
	struct group_light now;
	if (!light_change(g, item->group, member, joins, &now))
		return;
	bool is_own_leave = member == g->view.self && !joins;
	/* Who leaves is told so at once, of the members as far as they are known. */
	if (is_own_leave || (now.mine && g->listed == all_members(g)))
		light_indicate(g, &now, out);
}

static uint32_t members_kept(uint32_t members, const int *kept, uint32_t count)
{
	uint32_t now = 0;

	for (uint32_t i = 0; i < count; i++)
		if (kept[i] >= 0 && (members & 1u << kept[i]))
			now |= 1u << i;
	return now;
}

void group_light_view(struct perron_group *g, uint64_t now_ns, const int *kept,
		      struct perron_effects *out)
{
	uint8_t list[PERRON_GROUP_FRAGMENT_SIZE];
	uint8_t items[PERRON_PAYLOAD_SIZE_MAX];
	struct group_item item = {
		.kind = GROUP_ITEM_LIST,
		.service = PERRON_GROUP_AGREED,
		.fragment_count = 1,
		.data = list,
	};

	g->listed = 0;
	for (uint32_t i = 0; i < g->cfg.light_count_max; i++) {
		struct group_light *l = &g->lights[i];
		l->members = members_kept(l->members, kept, g->view.member_count);
		if (!l->members)
			*l = (struct group_light){0};
		if (!l->mine || item.size + 4u > sizeof(list))
			continue;
		perron_store32(list + item.size, l->group);
		item.size = (uint16_t)(item.size + 4);
	}
	group_packet_send(g, now_ns, items, group_item_write(items, 0, &item), out);
}
