#include "overlay/silence.h"

#define FORGET_SHIFT 6
/* After each so many it is asked less often by the first interval; some 1.5 s at 5 ms in all. */
#define ASKED_STEP 8u
#define ASKED_MAX  64u

void perron_silence_init(struct perron_silence *s)
{
	*s = (struct perron_silence){.due_ns = UINT64_MAX};
}

void perron_silence_heard(struct perron_silence *s, uint64_t now_ns, uint64_t least_ns,
			  uint64_t most_ns)
{
	uint64_t gap_ns = s->heard_ns && now_ns > s->heard_ns ? now_ns - s->heard_ns : 0;

	s->gap_ns -= s->gap_ns >> FORGET_SHIFT;
	if (gap_ns > s->gap_ns)
		s->gap_ns = gap_ns;
	if (!s->heard_ns)
		s->gap_ns = most_ns; /* how it beats is not known yet */
	s->heard_ns = now_ns;
	s->asked = 0;
	uint64_t silent_ns = 2 * s->gap_ns > least_ns ? 2 * s->gap_ns : least_ns;
	s->due_ns = silent_ns < most_ns ? now_ns + silent_ns : UINT64_MAX;
}

void perron_silence_asked(struct perron_silence *s, uint64_t now_ns, uint64_t least_ns)
{
	uint64_t wait_ns = least_ns * (1 + s->asked / ASKED_STEP);

	s->due_ns = ++s->asked < ASKED_MAX ? now_ns + wait_ns : UINT64_MAX;
}
