/*
 * A detector: whether one neighbour is there, judged from one link. Paper 003, "Failure detection
 * approaches", has the two models that it begins with.
 *
 *	push     the neighbour beats by itself; silence for a fixed time-out is a verdict (figure 6)
 *	pull     we ask each interval; no answer to the first ask for the time-out is (figure 5)
 *	accrual  the neighbour beats by itself; how much silence is a verdict is learned from how
 *	         long its silences were so far, within bounds
 *
 * The accrual bound is the mean of the longest silence of each interval, four mean deviations
 * (Jacobson) and two intervals for lost beats; and it is a quarter more than the longest silence
 * of the last minutes that ended by itself. Until it has seen some it is the upper bound.
 *
 * Silence is not the only sign. A neighbour that is heard but acknowledges nothing of ours for the
 * upper time-out is down, too (one-way). A sibling that lost the neighbour halves the silence that
 * is allowed. A port that went down ends the link at once if it was the only way, and else unless
 * something is heard within an interval.
 *
 * Before it blames the neighbour a detector looks at its own turns, which its owner tells it of: a
 * judge that stood still for a good part of the time-out allows that much more, and one that stood
 * still for all of it (a suspended process, a clock set forward) begins anew. A clock set back
 * begins anew, too.
 *
 * Departure from the accrual detectors of the literature: the level of suspicion is the share of
 * the allowed silence that has passed, not a logarithm of a probability. It needs no distribution.
 *
 * Invariants: timeout_ns_min <= allowed silence <= timeout_ns_max, but for what is said above of
 * stalls and siblings; a detector that gave its verdict is opened again before it is used again.
 *
 * Pure, integers only; the relay's thread. perron_detector_read may be called by another.
 */
#ifndef PERRON_FT_DETECTOR_H
#define PERRON_FT_DETECTOR_H

#include "runtime/base/assert.h"
#include "runtime/base/command.h"

#define PERRON_DETECTORS(X)                                                                        \
	X(ACCRUAL, "accrual")                                                                      \
	X(PUSH, "push")                                                                            \
	X(PULL, "pull")

enum perron_detector_kind {
#define X(name, text) PERRON_DETECTOR_##name,
	PERRON_DETECTORS(X)
#undef X
	PERRON_DETECTOR_COUNT
};

/* The time-outs may be longer than the longest interval: they are at least two intervals. */
#define PERRON_DETECTOR_INTERVAL_NS_MIN UINT64_C(1000000)
#define PERRON_DETECTOR_INTERVAL_NS_MAX UINT64_C(10000000000)
#define PERRON_DETECTOR_TIMEOUT_NS_MAX  UINT64_C(60000000000)

struct perron_detector_config {
	uint8_t kind;            /* enum perron_detector_kind */
	uint64_t interval_ns;    /* beats: ours to the neighbour, and what is expected of it */
	uint64_t timeout_ns_min; /* accrual: the least silence that is a verdict */
	uint64_t timeout_ns_max; /* push, pull: the time-out; accrual: the most that is allowed */
};

/* Another config for the link with one peer. */
struct perron_detector_override {
	uint32_t peer;
	struct perron_detector_config config;
};

/* Something that is waited for: a frame, or an acknowledgement. */
struct perron_detector_watch {
	uint64_t since_ns;   /* the last one */
	uint64_t gap_ns_max; /* the judge's own longest gap since then */
	uint64_t stall_ns;   /* when its last gap as long as the time-out ended; 0: none */
	uint64_t spared_ns;  /* since_ns of the wait that was counted as spared */
};

struct perron_detector {
	struct perron_detector_config cfg;
	struct perron_detector_watch silence;
	struct perron_detector_watch answer; /* while `owed` */
	bool owed;            /* something of ours is not acknowledged */
	bool witnessed;       /* a sibling lost it, and it was not heard since */
	bool port_down;       /* its port is down, and it was not heard since */
	bool asked;           /* pull: an ask is not answered */
	uint64_t seen_ns;     /* the clock's last reading */
	uint64_t port_due_ns; /* while port_down: when that is a verdict */
	uint64_t asked_ns;    /* while asked: when the first of these asks left */
	uint64_t ask_at_ns;   /* pull: when to ask next */
	uint64_t bound_ns;    /* silence allowed, but for stalls and siblings */
	/* Accrual: what was seen so far. */
	uint32_t sample_count;
	uint64_t window_ns;  /* when the running interval began */
	uint64_t longest_ns; /* silence in it */
	uint64_t mean_ns;
	uint64_t deviation_ns;
	uint64_t peak_ns;      /* longest silence since peak_at_ns, at most a minute ago */
	uint64_t peak_ns_last; /* and in the minute before that */
	uint64_t peak_at_ns;
	uint32_t spared; /* silences past the bound that our own stall excused */
};

/* As others may see it. */
struct perron_detector_info {
	struct perron_detector_config config;
	uint64_t allowed_ns; /* silence that is a verdict, as things stand */
	uint64_t gap_ns_max; /* own longest gap in the silence that lasts */
	uint32_t suspicion;  /* of that silence, per cent of what is allowed */
	uint32_t spared;
};

/* Accrual, beats of 50 ms, 125 to 250 ms. */
void perron_detector_config_default(struct perron_detector_config *cfg);
/* Interval, time-outs (at least two intervals) and kind are in range. */
bool perron_detector_config_is_valid(const struct perron_detector_config *cfg);
const char *perron_detector_name(uint8_t kind); /* "unknown" for none */

/* Begins, as if the neighbour had just been heard. `cfg` is valid. */
void perron_detector_open(struct perron_detector *d, uint64_t now_ns,
			  const struct perron_detector_config *cfg);

/* A frame came from the neighbour, of any kind. Constant, no division. */
void perron_detector_heard(struct perron_detector *d, uint64_t now_ns);
/* A numbered frame left for it. */
void perron_detector_sent(struct perron_detector *d, uint64_t now_ns);
/* It acknowledged something new of ours; `all`: nothing is left. */
void perron_detector_answered(struct perron_detector *d, uint64_t now_ns, bool all);

/* The judge itself did not run for `gap_ns` before now. Before _judge, each time. */
void perron_detector_gap(struct perron_detector *d, uint64_t now_ns, uint64_t gap_ns);
/* A sibling says that it lost this neighbour. */
void perron_detector_witness(struct perron_detector *d, uint64_t now_ns);
/* The port to it went down at down_ns; `only`: no other port leads to it. */
void perron_detector_port_down(struct perron_detector *d, uint64_t now_ns, uint64_t down_ns,
			       bool only);

/* True: the neighbour is to be called down, with the evidence. */
bool perron_detector_judge(struct perron_detector *d, uint64_t now_ns,
			   struct perron_evidence *evidence);

/* Pull: whether an ask is due; it counts as asked then. */
bool perron_detector_ask(struct perron_detector *d, uint64_t now_ns);

/* When a verdict may fall, or an ask is due. */
uint64_t perron_detector_deadline_ns(const struct perron_detector *d);

void perron_detector_check(const struct perron_detector *d);
/* For tools, at now_ns; fields may be of different ages. */
void perron_detector_read(const struct perron_detector *d, uint64_t now_ns,
			  struct perron_detector_info *out);

#endif
