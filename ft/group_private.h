/* The group's inside, shared by its files and called by the relay's; nobody else includes it. */
#ifndef PERRON_FT_GROUP_PRIVATE_H
#define PERRON_FT_GROUP_PRIVATE_H

#include "ft/group.h"
#include "ft/relay_private.h"

/* What the relay calls. */
size_t perron_group_size(const struct perron_group_config *cfg);
bool perron_group_config_is_valid(const struct perron_group_config *cfg);
/* Takes perron_group_size(cfg) of the arena. */
struct perron_group *perron_group_init(struct perron_arena *arena,
				       const struct perron_group_config *cfg,
				       struct perron_relay *relay);
/* The peer is of this cell from now on, in this slot; 0: of none. Leaves the former in order. */
void perron_group_cell(struct perron_group *g, uint64_t now_ns, uint64_t cell, uint8_t slot,
		       struct perron_effects *out);
/* A linked peer is one of the cell, or is no more. -ENOSPC: too many. */
int perron_group_sibling(struct perron_group *g, uint64_t now_ns, uint32_t peer, bool is_sibling,
			 struct perron_effects *out);
/* A link came up, or is no more (verdict, closed, another life). */
void perron_group_link(struct perron_group *g, uint64_t now_ns, uint32_t peer, bool up,
		       struct perron_effects *out);
/* A GROUP frame that came in over a link. */
enum perron_drop perron_group_frame(struct perron_group *g, uint64_t now_ns, uint32_t peer,
				    const uint8_t *payload, uint32_t size,
				    struct perron_effects *out);
/* After a burst or a command: what became due by it. */
void perron_group_flush(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
void perron_group_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
uint64_t perron_group_deadline_ns(const struct perron_group *g);
void perron_group_check(const struct perron_group *g);

#endif
