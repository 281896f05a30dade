/*
 * Puts the frames of one subscription, which come in order and once each, together to messages. A
 * message of one frame is not copied. Where a frame is missing, the whole message is counted lost.
 * Private to libperron; one thread.
 */
#ifndef PERRON_APPS_LIBPERRON_ASSEMBLY_H
#define PERRON_APPS_LIBPERRON_ASSEMBLY_H

#include "runtime/base/frame.h"

#define PERRON_MESSAGE_SIZE_MAX (PERRON_FRAGMENT_COUNT_MAX * PERRON_PAYLOAD_SIZE_MAX)

struct perron_assembly {
	uint8_t *data;       /* PERRON_MESSAGE_SIZE_MAX */
	uint32_t size;
	uint8_t count;       /* frames of the message that is being put together; 0: none is */
	uint8_t next;        /* index of the frame that it needs now */
	uint64_t first;      /* its first sequence */
	uint64_t given_end;  /* above the last message that was complete; 0: none was */
	uint64_t broken;     /* first sequence of the last message counted lost; 0: none was */
	uint64_t messages;
	uint64_t messages_lost;
};

/* A complete message. */
struct perron_assembled {
	const uint8_t *data;
	uint32_t size;
	uint32_t frame_count;
	uint64_t sequence;
	uint64_t lost_before;
};

/*
 * Takes a delivered frame. True if it completes a message: `out` points into the frame or into the
 * assembly. `start` is the subscription's first sequence; a message that began before is no loss.
 */
bool perron_assembly_take(struct perron_assembly *a, const uint8_t *frame,
			  const struct perron_header *header, uint64_t start,
			  struct perron_assembled *out);

#endif
