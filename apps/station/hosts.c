/*
 * Relays and clients as machines of a lcore. Thread: the lcore's.
 */
#include <errno.h>
#include <string.h>

#include "apps/station/private.h"

static void relay_input(void *self, uint64_t now_ns, const struct perron_frame *in,
			uint32_t in_count, struct perron_effects *out)
{
	perron_relay_input(self, now_ns, in, in_count, out);
}

static int relay_command(void *self, uint64_t now_ns, const void *record, uint32_t size,
			 struct perron_effects *out)
{
	const struct perron_command *command = record;

	PERRON_ASSERT(size >= sizeof(*command));
	PERRON_ASSERT(command->payload_size <= size - sizeof(*command));
	return perron_relay_command(self, now_ns, command, out);
}

static bool relay_offer(void *self, uint64_t now_ns, uint32_t stream, uint64_t stamp_ns,
			const struct perron_frame *frames, uint32_t count, bool traced,
			struct perron_effects *out)
{
	return perron_relay_offer(self, now_ns, stream, stamp_ns, frames, count, traced, out) ==
	       PERRON_OFFER_ACCEPTED;
}

static void relay_tick(void *self, uint64_t now_ns, struct perron_effects *out)
{
	perron_relay_tick(self, now_ns, out);
}

static uint64_t relay_deadline_ns(const void *self)
{
	return perron_relay_deadline_ns(self);
}

static bool relay_carries(const void *self)
{
	return perron_relay_path_count(self) > 0;
}

const struct perron_machine_ops station_relay_ops = {
    .input = relay_input,
    .command = relay_command,
    .offer = relay_offer,
    .tick = relay_tick,
    .deadline_ns = relay_deadline_ns,
    .carries = relay_carries,
};

static void client_input(void *self, uint64_t now_ns, const struct perron_frame *in,
			 uint32_t in_count, struct perron_effects *out)
{
	const struct station_client *c = self;

	perron_client_input(c->client, now_ns, in, in_count, out);
}

static int client_command(void *self, uint64_t now_ns, const void *record, uint32_t size,
			  struct perron_effects *out)
{
	const struct station_client *c = self;
	const struct station_subscribe *command = record;

	PERRON_ASSERT(size == sizeof(*command));
	int ret =
	    perron_client_subscribe(c->client, now_ns, command->sensor,
				    (enum perron_class)command->class, command->latency_us, out);
	return ret < 0 ? ret : 0;
}

static void client_tick(void *self, uint64_t now_ns, struct perron_effects *out)
{
	const struct station_client *c = self;

	perron_client_tick(c->client, now_ns, out);
}

static uint64_t client_deadline_ns(const void *self)
{
	const struct station_client *c = self;

	return perron_client_deadline_ns(c->client);
}

static void client_deliver(void *self, uint64_t now_ns, uint32_t subscription,
			   const struct perron_frame *frame)
{
	const struct station_client *c = self;

	if (c->config->deliver)
		c->config->deliver(c->config->context, now_ns, subscription, frame);
}

const struct perron_machine_ops station_client_ops = {
    .input = client_input,
    .command = client_command,
    .tick = client_tick,
    .deadline_ns = client_deadline_ns,
    .deliver = client_deliver,
};
