/*
 * What a machine wants done: small records in an array of the caller, applied by the host in
 * their order. The order is the contract: a host may crash between any two of them.
 *
 * Frames that a machine makes itself, and the records of commands and events, are written into the
 * caller's arena and live until the effects were applied. The most that one call can cause is
 * known (PERRON_EFFECT_COUNT_MAX, PERRON_EFFECT_ARENA_SIZE); what does not fit is counted and left
 * out, and the protocols' timers make up for it. The host empties the array before each call.
 *
 * Frames given to a machine belong to the host. They are gone after the step unless FORWARD with
 * PERRON_EFFECT_LAST or HOLD took them:
 *   FORWARD  send the frame of `handle` to `to`, with the hop's fields rewritten. With LAST, the
 *            machine has no further use for it and it may be rewritten in place; without, the host
 *            sends a copy or a reference.
 *   HOLD     keep the frame of `handle` until RELEASE. Holds are counted.
 *   RELEASE  undo one HOLD.
 *   DELIVER  give the frame of `handle` to the application; `size` says which subscription.
 *            Takes nothing.
 *
 * INDICATE gives a record to the machine's user on its own lcore; its shape is the machine's. A
 * machine that may not lose one looks first whether there is room (perron_effects_has_room).
 *
 * Pure; the thread of the machine.
 */
#ifndef PERRON_RUNTIME_BASE_EFFECTS_H
#define PERRON_RUNTIME_BASE_EFFECTS_H

#include "runtime/base/command.h"
#include "runtime/base/frame.h"

/* A burst of 32 frames, each to 32 branches; and what the reserve below needs. */
#define PERRON_EFFECT_COUNT_MAX  2048
#define PERRON_EFFECT_ARENA_SIZE (256u * 1024)
/* This share is kept for HOLD, RELEASE and DELIVER, which must never be lost. */
#define PERRON_EFFECT_RESERVE(capacity) ((capacity) / 4)

enum perron_effect_kind {
	PERRON_EFFECT_SEND = 1, /* `data`, `size`: an encoded frame in the arena */
	PERRON_EFFECT_FORWARD,
	PERRON_EFFECT_HOLD,
	PERRON_EFFECT_RELEASE,
	PERRON_EFFECT_DELIVER,
	PERRON_EFFECT_COMMAND, /* from housekeeping to the peer's lcore; `data`: perron_command */
	PERRON_EFFECT_EVENT,   /* to housekeeping; `data`: perron_event */
	PERRON_EFFECT_INDICATE, /* to the machine's user here; `class`: what `data` is */
};

#define PERRON_EFFECT_LAST 0x01u

struct perron_effect {
	uint8_t kind;
	uint8_t class; /* SEND, FORWARD: the access point to use */
	uint8_t flags; /* PERRON_EFFECT_LAST */
	uint32_t size;
	uint8_t *data;
	uint64_t handle;
	struct perron_endpoint to;
	struct perron_hop hop;
};

struct perron_effects {
	struct perron_effect *items;
	uint32_t count;
	uint32_t capacity;
	uint8_t *arena;
	uint32_t arena_used;
	uint32_t arena_size;
	uint64_t dropped; /* effects that found no room */
};

/* Empties the array; what was dropped stays counted. */
void perron_effects_reset(struct perron_effects *e);

/* Room for a frame of `payload_size`, or NULL (counted). Fill the payload, then call _send. */
uint8_t *perron_effects_frame(struct perron_effects *e, uint32_t payload_size);
/* Encodes `header` before the payload at `frame` (from perron_effects_frame) and sends it. */
void perron_effects_send(struct perron_effects *e, uint8_t *frame,
			 const struct perron_header *header, struct perron_endpoint to);
void perron_effects_forward(struct perron_effects *e, uint64_t handle, struct perron_endpoint to,
			    uint8_t class, const struct perron_hop *hop, uint8_t flags);
void perron_effects_hold(struct perron_effects *e, uint64_t handle);
void perron_effects_release(struct perron_effects *e, uint64_t handle);
void perron_effects_deliver(struct perron_effects *e, uint64_t handle, uint32_t subscription);

/* A zeroed command or event with `payload_size` bytes behind it, or NULL (counted). */
struct perron_command *perron_effects_command(struct perron_effects *e, uint32_t payload_size);
struct perron_event *perron_effects_event(struct perron_effects *e, uint32_t payload_size);

/* A zeroed record of `size` bytes for the machine's user, or NULL (counted). */
void *perron_effects_indicate(struct perron_effects *e, uint8_t kind, uint32_t size);
/* Whether so many more effects and bytes are sure to fit. */
bool perron_effects_has_room(const struct perron_effects *e, uint32_t count, uint32_t size);

#endif
