/* What a run looks like, for people: a line a step, its frames and effects indented below. */
#include <stdarg.h>

#include "overlay/overlay_ops.h"
#include "runtime/base/bytes.h"
#include "test/sim/sim.h"

const char *sim_mutant_name(uint32_t mutant)
{
	static const char *const names[] = {
#define X(name, text) [SIM_MUTANT_##name] = text,
		SIM_MUTANTS(X)
#undef X
	};
	return mutant < SIM_MUTANT_COUNT ? names[mutant] : "unknown";
}

static const char *step_name(enum sim_step_kind kind)
{
	static const char *const names[] = {
		[SIM_STEP_INPUT] = "input", [SIM_STEP_COMMAND] = "command",
		[SIM_STEP_EVENT] = "event", [SIM_STEP_TICK] = "tick", [SIM_STEP_OTHER] = "call",
	};
	return names[kind];
}

void sim_trace(struct sim *s, const char *format, ...)
{
	va_list args;

	if (!s->trace)
		return;
	(void)fprintf(s->trace, "%12.6f ", (double)s->now_ns / 1e9);
	if (s->step_node != SIM_NONE)
		(void)fprintf(s->trace, "[%x] ", s->nodes[s->step_node].id);
	va_start(args, format);
	(void)vfprintf(s->trace, format, args);
	va_end(args);
	(void)fputc('\n', s->trace);
}

void sim_trace_step(struct sim *s, uint32_t node, uint32_t plane, enum sim_step_kind kind)
{
	const struct sim_node *n = &s->nodes[node];

	if (!s->trace)
		return;
	sim_trace(s, "step %llu node %u %s %s, %u frames, %u effects, local %llu",
		  (unsigned long long)s->steps, n->id, n->planes[plane].ops->name,
		  step_name(kind), s->step_slot_count, s->effects.count,
		  (unsigned long long)sim_local_ns(s, node));
	for (uint32_t i = 0; i < s->effects.count; i++) {
		const struct perron_effect *e = &s->effects.items[i];
		const void *record = e->data;
		if (e->kind == PERRON_EFFECT_COMMAND)
			sim_trace_command(s, record);
		else if (e->kind == PERRON_EFFECT_EVENT)
			sim_trace_event(s, record);
		else if (e->kind == PERRON_EFFECT_INDICATE)
			sim_trace(s, "  indicate %u, %u bytes", e->class, e->size);
		else if (e->kind != PERRON_EFFECT_SEND && e->kind != PERRON_EFFECT_FORWARD)
			sim_trace(s, "  %s slot %u",
				  e->kind == PERRON_EFFECT_HOLD      ? "hold"
				  : e->kind == PERRON_EFFECT_RELEASE ? "release"
								     : "deliver",
				  (uint32_t)e->handle);
	}
}

/* What a frame of a group is, as in docs/protocol.md. */
static void trace_group(struct sim *s, const struct perron_header *h, const uint8_t *payload)
{
	static const char *const kinds[] = {"none",   "hello", "leave", "state",  "refuse",
					    "commit", "ready", "data",  "status", "nack"};
	enum { VIEW_AT = 12, HEAD_SIZE = 24 };

	if (h->type != PERRON_TYPE_GROUP || h->length < HEAD_SIZE ||
	    payload[0] >= sizeof(kinds) / sizeof(kinds[0]))
		return;
	sim_trace(s, "      group %s, flags %x, member %u, view %u.%u.%u", kinds[payload[0]],
		  payload[1], payload[3], perron_load32(payload + VIEW_AT),
		  perron_load32(payload + VIEW_AT + 4), perron_load32(payload + VIEW_AT + 8));
}

void sim_trace_frame(struct sim *s, const char *what, const uint8_t *data, uint32_t size)
{
	struct perron_header h;

	if (!s->trace)
		return;
	enum perron_drop cause = perron_frame_decode(data, size, &h);
	if (cause != PERRON_DROP_NONE) {
		sim_trace(s, "%s %u bytes that do not decode: %s", what, size,
			  perron_drop_name(cause));
		return;
	}
	sim_trace(s, "%s %s %s %u:%u -> %u:%u stream %08x seq %llu flags %x link %u ack %u len %u",
		  what, perron_type_name(h.type), perron_class_name(h.class), h.source,
		  h.source_incarnation, h.destination, h.destination_incarnation, h.stream,
		  (unsigned long long)h.sequence, h.flags, h.link_sequence, h.link_ack, h.length);
	trace_group(s, &h, data + PERRON_HEADER_SIZE);
}

void sim_trace_command(struct sim *s, const struct perron_command *c)
{
	if (!s->trace)
		return;
	sim_trace(s, "  command %s %s party %u:%u stream %08x class %u seq %llu value %lld size %u",
		  perron_command_name(c->kind),
		  c->kind == PERRON_COMMAND_SEND ? perron_type_name(c->type) : "", c->party.id,
		  c->party.incarnation, c->stream, c->class, (unsigned long long)c->sequence,
		  (long long)c->value, c->payload_size);
}

void sim_trace_event(struct sim *s, const struct perron_event *e)
{
	if (!s->trace)
		return;
	sim_trace(s, "  event %s %s party %u:%u stream %08x class %u seq %llu linked %u size %u",
		  perron_event_name(e->kind),
		  e->kind == PERRON_EVENT_CONTROL ? perron_type_name(e->type) : "", e->party.id,
		  e->party.incarnation, e->stream, e->class, (unsigned long long)e->sequence,
		  e->linked, e->payload_size);
}
