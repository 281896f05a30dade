#include "ft/group_private.h"

#include <errno.h>

#define MS UINT64_C(1000000)

struct perron_group {
	struct perron_group_config cfg;
	struct perron_relay *relay;
};

void perron_group_config_default(struct perron_group_config *cfg)
{
	*cfg = (struct perron_group_config){
		.member_count_max = 4,
		.window = 64,
		.pending_count = 64,
		.light_count_max = 64,
		.sequence_first = 1,
		.resend_ns = 3 * MS,
		.attempt_ns = 20 * MS,
		.hello_ns = 100 * MS,
		.exclude_ns = 500 * MS,
		.acknowledge_ns = 1 * MS,
	};
}

static bool is_power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

bool perron_group_config_is_valid(const struct perron_group_config *c)
{
	return c->member_count_max && c->member_count_max <= PERRON_GROUP_MEMBER_COUNT_MAX &&
	       is_power_of_two(c->window) && c->window >= 8 && c->window <= 1024 &&
	       is_power_of_two(c->pending_count) && c->pending_count >= 4 &&
	       c->pending_count <= 1024 && c->light_count_max && c->resend_ns &&
	       c->attempt_ns > c->resend_ns && c->hello_ns && c->exclude_ns && c->acknowledge_ns;
}

const char *perron_group_service_name(uint8_t service)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_GROUP_##name] = text,
		PERRON_GROUP_SERVICES(X)
#undef X
	};
	return service < PERRON_GROUP_SERVICE_COUNT ? names[service] : "unknown";
}

int perron_group_service_from_name(const char *name)
{
	for (int i = 0; i < PERRON_GROUP_SERVICE_COUNT; i++) {
		const char *a = perron_group_service_name((uint8_t)i);
		const char *b = name;
		while (*a && *a == *b) {
			a++;
			b++;
		}
		if (*a == *b)
			return i;
	}
	return -1;
}

const char *perron_group_state_name(uint8_t state)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_GROUP_STATE_##name] = text,
		PERRON_GROUP_STATES(X)
#undef X
	};
	return state < PERRON_GROUP_STATE_COUNT ? names[state] : "unknown";
}

uint32_t perron_group_message_size_max(const struct perron_group_config *c)
{
	uint32_t count = c->window / 2 < c->pending_count ? c->window / 2 : c->pending_count;

	if (count > PERRON_GROUP_FRAGMENT_COUNT_MAX)
		count = PERRON_GROUP_FRAGMENT_COUNT_MAX;
	return count * PERRON_GROUP_FRAGMENT_SIZE;
}

size_t perron_group_size(const struct perron_group_config *c)
{
	(void)c;
	return perron_arena_share(sizeof(struct perron_group));
}

struct perron_group *perron_group_init(struct perron_arena *arena,
				       const struct perron_group_config *cfg,
				       struct perron_relay *relay)
{
	struct perron_group *g = perron_arena_take(arena, sizeof(*g));

	g->cfg = *cfg;
	g->relay = relay;
	return g;
}

void perron_group_cell(struct perron_group *g, uint64_t now_ns, uint64_t cell, uint8_t slot,
		       struct perron_effects *out)
{
	(void)g, (void)now_ns, (void)cell, (void)slot, (void)out;
}

int perron_group_sibling(struct perron_group *g, uint64_t now_ns, uint32_t peer, bool is_sibling,
			 struct perron_effects *out)
{
	(void)g, (void)now_ns, (void)peer, (void)is_sibling, (void)out;
	return 0;
}

void perron_group_link(struct perron_group *g, uint64_t now_ns, uint32_t peer, bool up,
		       struct perron_effects *out)
{
	(void)g, (void)now_ns, (void)peer, (void)up, (void)out;
}

enum perron_drop perron_group_frame(struct perron_group *g, uint64_t now_ns, uint32_t peer,
				    const uint8_t *payload, uint32_t size,
				    struct perron_effects *out)
{
	(void)g, (void)now_ns, (void)peer, (void)payload, (void)size, (void)out;
	return PERRON_DROP_OTHER_CELL;
}

void perron_group_flush(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	(void)g, (void)now_ns, (void)out;
}

void perron_group_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out)
{
	(void)g, (void)now_ns, (void)out;
}

uint64_t perron_group_deadline_ns(const struct perron_group *g)
{
	(void)g;
	return UINT64_MAX;
}

void perron_group_check(const struct perron_group *g)
{
	(void)g;
}

int perron_group_send(struct perron_group *g, uint64_t now_ns, uint32_t group,
		      enum perron_group_service service, const uint8_t *data, uint32_t size,
		      struct perron_effects *out)
{
	(void)g, (void)now_ns, (void)group, (void)service, (void)data, (void)size, (void)out;
	return -ENOTCONN;
}

int perron_group_light_join(struct perron_group *g, uint64_t now_ns, uint32_t group,
			    struct perron_effects *out)
{
	(void)g, (void)now_ns, (void)group, (void)out;
	return -ENOTCONN;
}

int perron_group_light_leave(struct perron_group *g, uint64_t now_ns, uint32_t group,
			     struct perron_effects *out)
{
	(void)g, (void)now_ns, (void)group, (void)out;
	return -ENOTCONN;
}

void perron_group_info(const struct perron_group *g, struct perron_group_info *out)
{
	(void)g;
	*out = (struct perron_group_info){0};
}
