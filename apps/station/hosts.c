/*
 * Relays and clients as machines of a lcore. Thread: the lcore's.
 */
#include <errno.h>
#include <string.h>

#include "apps/station/private.h"

/*
 * A relay and the user of its group. The user sends in its own ticks alone: what the group
 * indicates is applied after the machine was called, when nothing can be sent.
 */

/* A group that has delivered nothing for so long may wait for its next message a bit longer. */
#define GROUP_QUIET_NS 1000000000u

static void relay_input(void *self, uint64_t now_ns, const struct perron_frame *in,
			uint32_t in_count, struct perron_effects *out)
{
	const struct station_relay *r = self;

	perron_relay_input(r->relay, now_ns, in, in_count, out);
}

static void load_command(struct group_load *load, uint64_t now_ns,
			 const struct station_load_command *command)
{
	if (command->start)
		group_load_start(load, now_ns, &command->config);
	else
		group_load_stop(load);
}

static int relay_command(void *self, uint64_t now_ns, const void *record, uint32_t size,
			 struct perron_effects *out)
{
	struct station_relay *r = self;
	const struct perron_command *command = record;

	if (*(const uint8_t *)record == STATION_COMMAND_LOAD) {
		PERRON_ASSERT(size == sizeof(struct station_load_command));
		load_command(&r->load, now_ns, record);
		return 0;
	}
	PERRON_ASSERT(size >= sizeof(*command));
	PERRON_ASSERT(command->payload_size <= size - sizeof(*command));
	return perron_relay_command(r->relay, now_ns, command, out);
}

static bool relay_offer(void *self, uint64_t now_ns, uint32_t stream, uint64_t stamp_ns,
			const struct perron_frame *frames, uint32_t count, bool traced,
			struct perron_effects *out)
{
	const struct station_relay *r = self;
	enum perron_offer answer = perron_relay_offer(r->relay, now_ns, stream, stamp_ns, frames,
						      count, traced, out);

	return answer == PERRON_OFFER_ACCEPTED || answer == PERRON_OFFER_READ_ALONG;
}

static void relay_tick(void *self, uint64_t now_ns, struct perron_effects *out)
{
	struct station_relay *r = self;

	/* One after the other: what the group indicates is good until it is called again. */
	if (perron_relay_deadline_ns(r->relay) <= now_ns)
		perron_relay_tick(r->relay, now_ns, out);
	else
		group_load_tick(&r->load, now_ns, out);
}

static uint64_t relay_deadline_ns(const void *self)
{
	const struct station_relay *r = self;
	uint64_t relay_ns = perron_relay_deadline_ns(r->relay);
	uint64_t load_ns = group_load_deadline_ns(&r->load);

	return load_ns < relay_ns ? load_ns : relay_ns;
}

static bool relay_carries(const void *self)
{
	const struct station_relay *r = self;
	uint64_t message_ns = atomic_load_explicit(&r->message_ns, memory_order_relaxed);

	return perron_relay_path_count(r->relay) > 0 ||
	       (message_ns && perron_clock_now_ns() < message_ns + GROUP_QUIET_NS);
}

static void relay_indicate(void *self, uint64_t now_ns, uint8_t kind, const void *record,
			   uint32_t size)
{
	struct station_relay *r = self;

	(void)size;
	if (kind == PERRON_GROUP_INDICATE_MESSAGE)
		atomic_store_explicit(&r->message_ns, now_ns, memory_order_relaxed);
	group_load_indicate(&r->load, now_ns, kind, record);
}

const struct perron_machine_ops station_relay_ops = {
    .input = relay_input,
    .command = relay_command,
    .offer = relay_offer,
    .tick = relay_tick,
    .deadline_ns = relay_deadline_ns,
    .carries = relay_carries,
    .indicate = relay_indicate,
};

static int load_send(void *context, uint64_t now_ns, enum perron_group_service service,
		     const uint8_t *data, uint32_t size, struct perron_effects *out)
{
	return perron_group_send(context, now_ns, 0, service, data, size, out);
}

void station_relay_init(struct station_relay *r, struct perron_relay *relay, uint32_t peer)
{
	static const struct group_load_ops ops = {.send = load_send,
						  .clock_ns = perron_clock_now_ns};

	r->relay = relay;
	group_load_init(&r->load, peer, &ops, perron_relay_group(relay));
}

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
				    (enum perron_class)command->class, command->latency_us,
				    &command->qos, out);
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
