#include "ft/detector.h"

#define MS UINT64_C(1000000)
/* Accrual: silences seen before the bound is learned. */
#define SAMPLE_COUNT_MIN 8
/* How long the longest silence is remembered: for one to two of these. */
#define PEAK_NS (60000 * MS)

void perron_detector_config_default(struct perron_detector_config *cfg)
{
	*cfg = (struct perron_detector_config){
		.kind = PERRON_DETECTOR_ACCRUAL,
		.interval_ns = 50 * MS,
		.timeout_ns_min = 125 * MS,
		.timeout_ns_max = 250 * MS,
	};
}

bool perron_detector_config_is_valid(const struct perron_detector_config *c)
{
	return c->kind < PERRON_DETECTOR_COUNT &&
	       c->interval_ns >= PERRON_DETECTOR_INTERVAL_NS_MIN &&
	       c->interval_ns <= PERRON_DETECTOR_INTERVAL_NS_MAX &&
	       c->timeout_ns_min >= 2 * c->interval_ns && c->timeout_ns_max >= c->timeout_ns_min &&
	       c->timeout_ns_max <= PERRON_DETECTOR_TIMEOUT_NS_MAX;
}

const char *perron_detector_name(uint8_t kind)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_DETECTOR_##name] = text,
		PERRON_DETECTORS(X)
#undef X
	};
	return kind < PERRON_DETECTOR_COUNT ? names[kind] : "unknown";
}

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

static void watch_begin(struct perron_detector_watch *w, uint64_t now_ns)
{
	*w = (struct perron_detector_watch){.since_ns = now_ns};
}

void perron_detector_open(struct perron_detector *d, uint64_t now_ns,
			  const struct perron_detector_config *cfg)
{
	PERRON_ASSERT(perron_detector_config_is_valid(cfg));
	*d = (struct perron_detector){
		.cfg = *cfg,
		.seen_ns = now_ns,
		.ask_at_ns = now_ns,
		.bound_ns = cfg->timeout_ns_max,
		.window_ns = now_ns,
		.peak_at_ns = now_ns,
	};
	watch_begin(&d->silence, now_ns);
	watch_begin(&d->answer, now_ns);
}

/* A clock that was set back says nothing of how long anything took. */
static void clock_look(struct perron_detector *d, uint64_t now_ns)
{
	if (now_ns < d->seen_ns) {
		watch_begin(&d->silence, now_ns);
		watch_begin(&d->answer, now_ns);
		d->asked = false;
		d->ask_at_ns = now_ns;
		d->port_due_ns = now_ns;
		d->window_ns = now_ns;
		d->longest_ns = 0;
		d->peak_at_ns = now_ns;
	}
	d->seen_ns = now_ns;
}

static void bound_learn(struct perron_detector *d)
{
	const struct perron_detector_config *c = &d->cfg;
	uint64_t beat_ns = d->mean_ns > c->interval_ns ? d->mean_ns : c->interval_ns;
	uint64_t peak_ns = d->peak_ns > d->peak_ns_last ? d->peak_ns : d->peak_ns_last;
	uint64_t bound_ns = d->mean_ns + 4 * d->deviation_ns + 2 * beat_ns;

	if (bound_ns < peak_ns + peak_ns / 4)
		bound_ns = peak_ns + peak_ns / 4;
	if (bound_ns < c->timeout_ns_min)
		bound_ns = c->timeout_ns_min;
	d->bound_ns = bound_ns < c->timeout_ns_max ? bound_ns : c->timeout_ns_max;
}

/* The longest silence of an interval that has passed. */
static void sample_take(struct perron_detector *d, uint64_t now_ns, uint64_t sample_ns)
{
	int64_t error_ns = (int64_t)sample_ns - (int64_t)d->mean_ns;
	int64_t off_ns = error_ns < 0 ? -error_ns : error_ns;

	if (d->sample_count == 0) {
		d->mean_ns = sample_ns;
		d->deviation_ns = sample_ns / 2;
	} else {
		d->mean_ns = (uint64_t)((int64_t)d->mean_ns + error_ns / 8);
		d->deviation_ns = (uint64_t)((int64_t)d->deviation_ns +
					     (off_ns - (int64_t)d->deviation_ns) / 4);
	}
	if (since(now_ns, d->peak_at_ns) > PEAK_NS) {
		d->peak_ns_last = d->peak_ns;
		d->peak_ns = 0;
		d->peak_at_ns = now_ns;
	}
	if (sample_ns > d->peak_ns)
		d->peak_ns = sample_ns;
	if (d->sample_count < SAMPLE_COUNT_MIN)
		d->sample_count++;
	if (d->sample_count == SAMPLE_COUNT_MIN)
		bound_learn(d);
}

/* Our own stall is none of the neighbour's silence. */
static void silence_learn(struct perron_detector *d, uint64_t now_ns)
{
	uint64_t silence_ns = since(since(now_ns, d->silence.since_ns), d->silence.gap_ns_max);

	if (silence_ns > d->longest_ns)
		d->longest_ns = silence_ns;
	if (since(now_ns, d->window_ns) < d->cfg.interval_ns)
		return;
	sample_take(d, now_ns, d->longest_ns);
	d->window_ns = now_ns;
	d->longest_ns = 0;
}

void perron_detector_heard(struct perron_detector *d, uint64_t now_ns)
{
	clock_look(d, now_ns);
	if (d->cfg.kind == PERRON_DETECTOR_ACCRUAL)
		silence_learn(d, now_ns);
	d->silence.since_ns = now_ns;
	d->silence.gap_ns_max = 0;
	d->silence.stall_ns = 0;
	d->witnessed = false;
	d->port_down = false;
	d->asked = false;
}

void perron_detector_sent(struct perron_detector *d, uint64_t now_ns)
{
	/* The watch begins with the first frame that is not acknowledged. */
	if (!d->owed)
		watch_begin(&d->answer, now_ns);
	d->owed = true;
}

void perron_detector_answered(struct perron_detector *d, uint64_t now_ns, bool all)
{
	watch_begin(&d->answer, now_ns);
	d->owed = !all;
}

static void watch_gap(struct perron_detector_watch *w, uint64_t now_ns, uint64_t gap_ns,
		      uint64_t timeout_ns)
{
	if (gap_ns > w->gap_ns_max)
		w->gap_ns_max = gap_ns;
	if (gap_ns >= timeout_ns)
		w->stall_ns = now_ns;
}

void perron_detector_gap(struct perron_detector *d, uint64_t now_ns, uint64_t gap_ns)
{
	clock_look(d, now_ns);
	watch_gap(&d->silence, now_ns, gap_ns, d->bound_ns);
	watch_gap(&d->answer, now_ns, gap_ns, d->cfg.timeout_ns_max);
}

void perron_detector_witness(struct perron_detector *d, uint64_t now_ns)
{
	clock_look(d, now_ns);
	d->witnessed = true;
}

void perron_detector_port_down(struct perron_detector *d, uint64_t now_ns, uint64_t down_ns,
			       bool only)
{
	clock_look(d, now_ns);
	if (down_ns > now_ns || since(now_ns, down_ns) > d->cfg.interval_ns)
		down_ns = now_ns;
	/* Heard since then: it came another way. */
	if (d->silence.since_ns > down_ns)
		return;
	d->port_down = true;
	d->port_due_ns = only ? down_ns : down_ns + d->cfg.interval_ns;
}

/* A judge that stood still for a good part of the time-out could not have heard anything. */
static uint64_t watch_allowed_ns(const struct perron_detector_watch *w, uint64_t since_ns,
				 uint64_t timeout_ns)
{
	uint64_t allowed_ns = timeout_ns;
	uint64_t anew_ns = w->stall_ns ? since(w->stall_ns + timeout_ns, since_ns) : 0;

	if (w->gap_ns_max > timeout_ns / 4)
		allowed_ns += w->gap_ns_max;
	return anew_ns > allowed_ns ? anew_ns : allowed_ns;
}

/* Pull waits for an answer: before it has asked there is no silence. */
static bool is_waiting(const struct perron_detector *d)
{
	return d->cfg.kind != PERRON_DETECTOR_PULL || d->asked;
}

static uint64_t silence_since_ns(const struct perron_detector *d)
{
	return d->cfg.kind == PERRON_DETECTOR_PULL ? d->asked_ns : d->silence.since_ns;
}

static uint64_t silence_allowed_ns(const struct perron_detector *d)
{
	uint64_t timeout_ns = d->witnessed ? d->bound_ns / 2 : d->bound_ns;

	return watch_allowed_ns(&d->silence, silence_since_ns(d), timeout_ns);
}

static uint64_t answer_allowed_ns(const struct perron_detector *d)
{
	return watch_allowed_ns(&d->answer, d->answer.since_ns, d->cfg.timeout_ns_max);
}

static bool is_silent(const struct perron_detector *d, uint64_t now_ns)
{
	return is_waiting(d) && since(now_ns, silence_since_ns(d)) > silence_allowed_ns(d);
}

static bool is_unheard(const struct perron_detector *d, uint64_t now_ns)
{
	return d->owed && since(now_ns, d->answer.since_ns) > answer_allowed_ns(d);
}

/* Counts a wait past the time-out for which no verdict falls, once. */
static void spared_count(struct perron_detector *d, struct perron_detector_watch *w)
{
	if (w->spared_ns == w->since_ns)
		return;
	w->spared_ns = w->since_ns;
	d->spared++;
}

static void spared_look(struct perron_detector *d, uint64_t now_ns)
{
	if (is_waiting(d) && since(now_ns, silence_since_ns(d)) > d->bound_ns)
		spared_count(d, &d->silence);
	if (d->owed && since(now_ns, d->answer.since_ns) > d->cfg.timeout_ns_max)
		spared_count(d, &d->answer);
}

static enum perron_evidence_cause silence_cause(const struct perron_detector *d, uint64_t now_ns)
{
	if (d->witnessed && since(now_ns, silence_since_ns(d)) <= d->bound_ns)
		return PERRON_EVIDENCE_SIBLINGS;
	return d->cfg.kind == PERRON_DETECTOR_PULL ? PERRON_EVIDENCE_NO_ANSWER
						   : PERRON_EVIDENCE_SILENCE;
}

/* Of a wait for acknowledgements: one-way if it is heard all the same. */
static enum perron_evidence_cause answer_cause(const struct perron_detector *d, uint64_t now_ns)
{
	return since(now_ns, d->silence.since_ns) <= 2 * d->cfg.interval_ns
		       ? PERRON_EVIDENCE_ONE_WAY
		       : PERRON_EVIDENCE_NO_ANSWER;
}

bool perron_detector_judge(struct perron_detector *d, uint64_t now_ns,
			   struct perron_evidence *evidence)
{
	bool is_unheard_only = false;
	enum perron_evidence_cause cause;

	clock_look(d, now_ns);
	if (d->port_down && now_ns >= d->port_due_ns) {
		cause = PERRON_EVIDENCE_PORT_DOWN;
	} else if (is_silent(d, now_ns)) {
		cause = silence_cause(d, now_ns);
	} else if (is_unheard(d, now_ns)) {
		cause = answer_cause(d, now_ns);
		is_unheard_only = true;
	} else {
		spared_look(d, now_ns);
		return false;
	}
	*evidence = (struct perron_evidence){
		.at_ns = now_ns,
		.last_heard_ns = since(now_ns, d->silence.since_ns),
		.expected_ns = is_unheard_only ? answer_allowed_ns(d) : silence_allowed_ns(d),
		.own_gap_ns = is_unheard_only ? d->answer.gap_ns_max : d->silence.gap_ns_max,
		.cause = (uint8_t)cause,
		.one_way = cause == PERRON_EVIDENCE_ONE_WAY,
	};
	return true;
}

bool perron_detector_ask(struct perron_detector *d, uint64_t now_ns)
{
	if (d->cfg.kind != PERRON_DETECTOR_PULL || now_ns < d->ask_at_ns)
		return false;
	d->ask_at_ns = now_ns + d->cfg.interval_ns;
	if (!d->asked) {
		d->asked = true;
		d->asked_ns = now_ns;
	}
	return true;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t perron_detector_deadline_ns(const struct perron_detector *d)
{
	uint64_t due_ns = UINT64_MAX;

	if (is_waiting(d))
		due_ns = silence_since_ns(d) + silence_allowed_ns(d) + 1;
	if (d->owed)
		due_ns = least(due_ns, d->answer.since_ns + answer_allowed_ns(d) + 1);
	if (d->port_down)
		due_ns = least(due_ns, d->port_due_ns);
	if (d->cfg.kind == PERRON_DETECTOR_PULL)
		due_ns = least(due_ns, d->ask_at_ns);
	return due_ns;
}

void perron_detector_check(const struct perron_detector *d)
{
	PERRON_ASSERT(perron_detector_config_is_valid(&d->cfg));
	PERRON_ASSERT(d->bound_ns >= d->cfg.timeout_ns_min);
	PERRON_ASSERT(d->bound_ns <= d->cfg.timeout_ns_max);
	PERRON_ASSERT(d->silence.since_ns <= d->seen_ns);
	PERRON_ASSERT(d->cfg.kind == PERRON_DETECTOR_PULL || !d->asked);
}

void perron_detector_read(const struct perron_detector *d, uint64_t now_ns,
			  struct perron_detector_info *out)
{
	const struct perron_detector copy = *d;
	uint64_t waited_ns = is_waiting(&copy) ? since(now_ns, silence_since_ns(&copy)) : 0;
	uint64_t allowed_ns = silence_allowed_ns(&copy);

	*out = (struct perron_detector_info){
		.config = copy.cfg,
		.allowed_ns = allowed_ns,
		.gap_ns_max = copy.silence.gap_ns_max,
		.suspicion = allowed_ns ? (uint32_t)(waited_ns * 100 / allowed_ns) : 0,
		.spared = copy.spared,
	};
}
