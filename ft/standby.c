#include "ft/standby.h"

#include "runtime/base/assert.h"

static struct perron_standby_reading *reading_at(const struct perron_standby *s, uint64_t index)
{
	return &s->readings[index & (s->window - 1)];
}

static struct perron_standby_copy *copy_at(const struct perron_standby *s, uint64_t sequence)
{
	return &s->copies[sequence & (s->window - 1)];
}

void perron_standby_init(struct perron_standby *s, struct perron_standby_reading *readings,
			 struct perron_standby_copy *copies, uint32_t window)
{
	PERRON_ASSERT(window && (window & (window - 1)) == 0);
	*s = (struct perron_standby){.window = window, .readings = readings, .copies = copies};
	for (uint32_t i = 0; i < window; i++)
		copies[i] = (struct perron_standby_copy){0};
}

static uint64_t let_go(struct perron_standby *s, struct perron_standby_reading *r)
{
	if (!r->held)
		return 0;
	r->held = false;
	s->held_count--;
	return r->handle;
}

/*
 * Readings since the last pair have their numbers by it, if there are as many as there are numbers;
 * else nobody knows which of them is missing where.
 */
static void pair(struct perron_standby *s, uint64_t index, uint64_t sequence)
{
	uint64_t from = s->paired + 1;
	bool is_whole = s->sequence && index - s->paired == sequence - s->sequence;

	if (s->sequence && sequence < s->sequence)
		return;
	for (uint64_t i = from > s->first ? from : s->first; i < index; i++)
		reading_at(s, i)->sequence = is_whole ? s->sequence + (i - s->paired) : 0;
	reading_at(s, index)->sequence = sequence;
	s->paired = index;
	s->sequence = sequence;
}

/* Which reading has a number; false: none is known to, and it is not near the next. */
static bool index_of(const struct perron_standby *s, uint64_t sequence, uint64_t *index)
{
	if (!s->sequence || sequence - s->sequence > s->window)
		return false;
	*index = s->paired + (sequence - s->sequence);
	return true;
}

uint64_t perron_standby_next(const struct perron_standby *s)
{
	return s->sequence ? s->sequence + (s->next - s->paired) : 0;
}

/* The number of a reading that is not where it is looked for; 0: no copy of it was seen. */
static uint64_t copy_search(const struct perron_standby *s, uint32_t hash)
{
	uint64_t nearest = 0;

	for (uint32_t i = 0; i < s->window && s->copy_high > s->sequence; i++) {
		const struct perron_standby_copy *c = &s->copies[i];
		if (c->sequence <= s->sequence || c->hash != hash)
			continue;
		if (!nearest || (s->sequence ? c->sequence < nearest : c->sequence > nearest))
			nearest = c->sequence;
	}
	return nearest;
}

/* Counts the next reading; its number, if its copy was seen, else 0. */
static uint64_t reading_number(struct perron_standby *s, uint32_t hash, uint64_t *released)
{
	uint64_t sequence = perron_standby_next(s);
	const struct perron_standby_copy *c = copy_at(s, sequence);

	*released = 0;
	if (s->next - s->first == s->window)
		*released = let_go(s, reading_at(s, s->first++));
	if (!sequence || c->sequence != sequence || c->hash != hash)
		sequence = copy_search(s, hash);
	*reading_at(s, s->next) = (struct perron_standby_reading){.hash = hash};
	s->next++;
	if (sequence)
		pair(s, s->next - 1, sequence);
	return sequence;
}

bool perron_standby_read(struct perron_standby *s, const struct perron_standby_reading *reading,
			 uint64_t *released)
{
	struct perron_standby_reading *r = reading_at(s, s->next);

	if (reading_number(s, reading->hash, released))
		return false;
	*r = *reading;
	r->held = true;
	s->held_count++;
	return true;
}

bool perron_standby_skip(struct perron_standby *s, uint32_t hash, uint64_t *released)
{
	return reading_number(s, hash, released) != 0;
}

/* The reading up to the last pair that is held under a number; `next`: none. */
static uint64_t held_search(const struct perron_standby *s, uint64_t sequence)
{
	for (uint64_t i = s->first; s->held_count && i <= s->paired && i < s->next; i++)
		if (reading_at(s, i)->held && reading_at(s, i)->sequence == sequence)
			return i;
	return s->next;
}

/* The reading of a copy that is not where it is looked for. */
static bool reading_search(const struct perron_standby *s, uint32_t hash, uint64_t *index)
{
	*index = s->first;
	if (s->sequence && s->paired >= s->first)
		*index = s->paired + 1;
	for (; *index < s->next; ++*index)
		if (reading_at(s, *index)->held && reading_at(s, *index)->hash == hash)
			return true;
	return false;
}

uint64_t perron_standby_copy(struct perron_standby *s, uint64_t sequence, uint32_t hash)
{
	uint64_t index = 0;
	bool is_here = false;

	if (sequence < s->sequence) {
		index = held_search(s, sequence);
		return index < s->next ? let_go(s, reading_at(s, index)) : 0;
	}
	if (index_of(s, sequence, &index))
		is_here = index >= s->first && index < s->next &&
			  reading_at(s, index)->hash == hash;
	if (is_here || reading_search(s, hash, &index)) {
		pair(s, index, sequence);
		return let_go(s, reading_at(s, index));
	}
	if (copy_at(s, sequence)->sequence < sequence)
		*copy_at(s, sequence) = (struct perron_standby_copy){sequence, hash};
	if (s->copy_high < sequence)
		s->copy_high = sequence;
	return 0;
}

void perron_standby_raise(struct perron_standby *s, uint64_t floor)
{
	if (floor > s->floor)
		s->floor = floor;
}

/* Whether the first reading is wanted. */
static bool is_wanted(const struct perron_standby *s)
{
	const struct perron_standby_reading *r = reading_at(s, s->first);

	if (s->first < s->wanted)
		return false;
	if (s->sequence && s->first <= s->paired)
		return r->sequence >= s->floor;
	return !s->sequence || s->floor <= s->sequence || s->floor - s->sequence > s->window ||
	       s->first - s->paired >= s->floor - s->sequence;
}

uint32_t perron_standby_sweep(struct perron_standby *s, uint64_t *handles, uint32_t max)
{
	uint32_t count = 0;

	while (s->first < s->next && count < max && !is_wanted(s)) {
		uint64_t handle = let_go(s, reading_at(s, s->first++));
		if (handle)
			handles[count++] = handle;
	}
	return count;
}

bool perron_standby_is_swept(const struct perron_standby *s)
{
	return s->first == s->next || is_wanted(s);
}

bool perron_standby_take(struct perron_standby *s, uint64_t sequence,
			 struct perron_standby_reading *out)
{
	uint64_t index = s->next;

	if (sequence <= s->sequence)
		index = held_search(s, sequence);
	else if (!index_of(s, sequence, &index) || index < s->first)
		return false;
	if (index >= s->next || !reading_at(s, index)->held)
		return false;
	*out = *reading_at(s, index);
	(void)let_go(s, reading_at(s, index));
	return true;
}

void perron_standby_forget(struct perron_standby *s)
{
	s->wanted = s->next;
}

void perron_standby_check(const struct perron_standby *s)
{
	uint32_t held = 0;

	PERRON_ASSERT(s->first <= s->next && s->next - s->first <= s->window);
	PERRON_ASSERT(!s->sequence || s->paired < s->next);
	for (uint64_t i = s->first; i < s->next; i++)
		held += reading_at(s, i)->held;
	PERRON_ASSERT(held == s->held_count);
}
