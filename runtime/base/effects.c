#include "runtime/base/effects.h"

#include <string.h>

void perron_effects_reset(struct perron_effects *e)
{
	e->count = 0;
	e->arena_used = 0;
}

static struct perron_effect *effect_place(struct perron_effects *e, enum perron_effect_kind kind)
{
	struct perron_effect *effect = &e->items[e->count++];

	memset(effect, 0, sizeof(*effect));
	effect->kind = (uint8_t)kind;
	return effect;
}

static bool effect_fits(struct perron_effects *e)
{
	if (e->count < e->capacity - PERRON_EFFECT_RESERVE(e->capacity))
		return true;
	e->dropped++;
	return false;
}

static struct perron_effect *effect_add(struct perron_effects *e, enum perron_effect_kind kind)
{
	return effect_fits(e) ? effect_place(e, kind) : NULL;
}

static uint8_t *arena_take(struct perron_effects *e, size_t size)
{
	size_t rounded = (size + 7u) & ~(size_t)7;

	if (e->arena_size - e->arena_used < rounded) {
		e->dropped++;
		return NULL;
	}
	uint8_t *at = e->arena + e->arena_used;
	e->arena_used += (uint32_t)rounded;
	return at;
}

uint8_t *perron_effects_frame(struct perron_effects *e, uint32_t payload_size)
{
	PERRON_ASSERT(payload_size <= PERRON_PAYLOAD_SIZE_MAX);
	return arena_take(e, PERRON_HEADER_SIZE + payload_size);
}

void perron_effects_send(struct perron_effects *e, uint8_t *frame,
			 const struct perron_header *header, struct perron_endpoint to)
{
	struct perron_effect *effect = effect_add(e, PERRON_EFFECT_SEND);

	if (!effect)
		return;
	effect->class = header->class;
	effect->data = frame;
	effect->size = perron_frame_encode(frame, header);
	effect->to = to;
}

void perron_effects_forward(struct perron_effects *e, uint64_t handle, struct perron_endpoint to,
			    uint8_t class, const struct perron_hop *hop, uint8_t flags)
{
	struct perron_effect *effect = effect_add(e, PERRON_EFFECT_FORWARD);

	if (!effect)
		return;
	effect->class = class;
	effect->flags = flags;
	effect->handle = handle;
	effect->to = to;
	effect->hop = *hop;
}

static void effect_on_handle(struct perron_effects *e, enum perron_effect_kind kind,
			     uint64_t handle, uint32_t size)
{
	/* A lost HOLD or RELEASE would be a frame used after its end, or never given back. */
	PERRON_ASSERT(e->count < e->capacity);
	struct perron_effect *effect = effect_place(e, kind);
	effect->handle = handle;
	effect->size = size;
}

void perron_effects_hold(struct perron_effects *e, uint64_t handle)
{
	effect_on_handle(e, PERRON_EFFECT_HOLD, handle, 0);
}

void perron_effects_release(struct perron_effects *e, uint64_t handle)
{
	effect_on_handle(e, PERRON_EFFECT_RELEASE, handle, 0);
}

void perron_effects_deliver(struct perron_effects *e, uint64_t handle, uint32_t subscription)
{
	effect_on_handle(e, PERRON_EFFECT_DELIVER, handle, subscription);
}

static void *record_add(struct perron_effects *e, enum perron_effect_kind kind, size_t size)
{
	if (!effect_fits(e))
		return NULL;
	uint8_t *record = arena_take(e, size);
	if (!record)
		return NULL;
	memset(record, 0, size);
	struct perron_effect *effect = effect_place(e, kind);
	effect->data = record;
	effect->size = (uint32_t)size;
	return record;
}

struct perron_command *perron_effects_command(struct perron_effects *e, uint32_t payload_size)
{
	PERRON_ASSERT(payload_size <= PERRON_PAYLOAD_SIZE_MAX);
	struct perron_command *command =
		record_add(e, PERRON_EFFECT_COMMAND, sizeof(*command) + payload_size);
	if (command)
		command->payload_size = payload_size;
	return command;
}

struct perron_event *perron_effects_event(struct perron_effects *e, uint32_t payload_size)
{
	PERRON_ASSERT(payload_size <= PERRON_PAYLOAD_SIZE_MAX);
	struct perron_event *event =
		record_add(e, PERRON_EFFECT_EVENT, sizeof(*event) + payload_size);
	if (event)
		event->payload_size = payload_size;
	return event;
}

void *perron_effects_indicate(struct perron_effects *e, uint8_t kind, uint32_t size)
{
	void *record = record_add(e, PERRON_EFFECT_INDICATE, size);

	if (record)
		e->items[e->count - 1].class = kind;
	return record;
}

bool perron_effects_has_room(const struct perron_effects *e, uint32_t count, uint32_t size)
{
	uint32_t limit = e->capacity - PERRON_EFFECT_RESERVE(e->capacity);

	/* Each record is rounded up to 8 bytes. */
	return e->count + count <= limit &&
	       e->arena_size - e->arena_used >= size + 8 * count;
}

const char *perron_command_name(uint8_t kind)
{
	static const char *const names[] = {
		[PERRON_COMMAND_NONE] = "none",
#define X(name, text) [PERRON_COMMAND_##name] = text,
		PERRON_COMMANDS(X)
#undef X
	};
	return kind < PERRON_COMMAND_COUNT ? names[kind] : "unknown";
}

const char *perron_event_name(uint8_t kind)
{
	static const char *const names[] = {
		[PERRON_EVENT_NONE] = "none",
#define X(name, text) [PERRON_EVENT_##name] = text,
		PERRON_EVENTS(X)
#undef X
	};
	return kind < PERRON_EVENT_COUNT ? names[kind] : "unknown";
}

const char *perron_evidence_cause_name(uint8_t cause)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_EVIDENCE_##name] = text,
		PERRON_EVIDENCE_CAUSES(X)
#undef X
	};
	return cause < PERRON_EVIDENCE_CAUSE_COUNT ? names[cause] : "unknown";
}
