#include <string.h>

#include "perf/latency/latency.h"
#include "platform/clock.h"

/* A source that fell behind by this much does not catch up: it begins anew. */
#define BEHIND_NS UINT64_C(1000000000)

uint32_t latency_source_make(void *context, uint64_t now_ns, uint8_t *data, uint32_t room,
			     uint64_t *due_ns)
{
	struct latency_source *s = context;

	PERRON_ASSERT(s->size >= LATENCY_SIZE_MIN && s->size <= room);
	if (now_ns - *due_ns > BEHIND_NS)
		*due_ns = now_ns;
	memset(data + LATENCY_SIZE_MIN, 0x5a, s->size - LATENCY_SIZE_MIN);
	uint64_t late_ns = perron_clock_now_ns() - *due_ns;
	struct latency_stamp stamp = {.magic = LATENCY_MAGIC, .number = ++s->made};
	*due_ns += s->interval_ns;
	if (s->account)
		atomic_store_explicit(s->account, s->made, memory_order_relaxed);
	stamp.made_ns = latency_clock_ns();
	stamp.due_ns = stamp.made_ns - late_ns;
	memcpy(data, &stamp, sizeof(stamp));
	return s->size;
}
