/*
 * When a stream is silent for too long: by the longest gap of late, which a sensor's own pauses
 * teach it and a steady beat makes it forget. Pure; the client has one a subscription.
 */
#ifndef PERRON_OVERLAY_SILENCE_H
#define PERRON_OVERLAY_SILENCE_H

#include <stdint.h>

struct perron_silence {
	uint64_t heard_ns; /* 0: nothing yet */
	uint64_t gap_ns;   /* the longest of late: each frame takes off a 64th */
	uint64_t due_ns;   /* when to ask what became of the stream; UINT64_MAX: not by itself */
	uint32_t asked;    /* times since a frame was heard */
};

void perron_silence_init(struct perron_silence *s);
/*
 * A frame came. Silence is too long from twice the longest gap on, and from `least_ns`; a stream
 * whose gaps reach `most_ns` is never asked about (0 for both: none is).
 */
void perron_silence_heard(struct perron_silence *s, uint64_t now_ns, uint64_t least_ns,
			  uint64_t most_ns);
/* It was asked: again after `least_ns`, then ever less often, and at last not any more. */
void perron_silence_asked(struct perron_silence *s, uint64_t now_ns, uint64_t least_ns);

#endif
