/* The relay as a machine of the engine's: on the fast plane of every peer, in both worlds. */
#include "test/sim/relay.h"

#include <stdlib.h>

#include "ft/relay.h"

static void relay_input(void *m, uint64_t now_ns, const struct perron_frame *in, uint32_t count,
			struct perron_effects *out)
{
	perron_relay_input(m, now_ns, in, count, out);
}

static int relay_command(void *m, uint64_t now_ns, const struct perron_command *command,
			 struct perron_effects *out)
{
	return perron_relay_command(m, now_ns, command, out);
}

static void relay_tick(void *m, uint64_t now_ns, struct perron_effects *out)
{
	perron_relay_tick(m, now_ns, out);
}

static uint64_t relay_deadline_ns(const void *m)
{
	return perron_relay_deadline_ns(m);
}

static void relay_check(const void *m, uint64_t now_ns)
{
	(void)now_ns;
	perron_relay_check(m);
}

const struct sim_machine_ops sim_relay_ops = {
    .name = "relay",
    .input = relay_input,
    .command = relay_command,
    .tick = relay_tick,
    .deadline_ns = relay_deadline_ns,
    .check = relay_check,
};

void *sim_lines_alloc(size_t size)
{
	void *at = aligned_alloc(64, (size + 63) & ~(size_t)63);

	PERRON_ASSERT(at);
	return at;
}
