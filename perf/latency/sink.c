#include <string.h>

#include "overlay/path.h"
#include "perf/latency/latency.h"
#include "platform/clock.h"

static const struct {
	const char *name;
	uint32_t ppm;
} percentiles[] = {
	{"p50", 500000},  {"p90", 900000},   {"p99", 990000},
	{"p999", 999000}, {"p9999", 999900}, {"max", 1000000},
};
#define PERCENTILE_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

/* b - a, 0 if the clocks of two processes disagree about the order. */
static uint64_t between(struct latency_stream *s, uint64_t a_ns, uint64_t b_ns)
{
	if (b_ns >= a_ns)
		return b_ns - a_ns;
	s->backwards++;
	return 0;
}

/* Splits the way of one frame; `taken_ns` is when it was delivered, overlay time. */
static void hops_take(struct latency_stream *s, const uint8_t *data, uint64_t taken_ns)
{
	uint32_t count = perron_trace_count(data);
	struct perron_trace_record last = {0};

	for (uint32_t i = 0; i < count && i < LATENCY_HOP_MAX; i++) {
		struct latency_hop *hop = &s->hops[i];
		struct perron_trace_record r;
		perron_trace_read(data, i, &r);
		uint64_t stepped_ns = r.received_ns + r.step_ns;
		uint64_t left_ns = r.received_ns + r.transmitted_ns;
		if (i + 1 == count)
			left_ns = taken_ns;
		hop->peer = r.peer;
		if (i > 0)
			perron_histogram_record(&hop->wire,
						between(s, last.received_ns + last.transmitted_ns,
							r.received_ns));
		perron_histogram_record(&hop->receive, r.step_ns);
		perron_histogram_record(&hop->step, between(s, stepped_ns, left_ns));
		last = r;
	}
	s->hop_count = count;
}

static void break_put(struct latency_stream *s, uint64_t missing)
{
	uint32_t index = s->break_count < LATENCY_BREAK_MAX ? s->break_count++
							    : LATENCY_BREAK_MAX - 1;

	s->breaks[index].sequence = s->sequence_last;
	s->breaks[index].number = s->number_last;
	s->breaks[index].missing += missing;
}

/* Tells apart why the messages between the last one and this did not come. */
static void missing_take(struct latency_stream *s, uint64_t missing,
			 const struct perron_header *header)
{
	uint64_t first = header->sequence - header->fragment_index;

	if (perron_sequence_life(first) != perron_sequence_life(s->sequence_last)) {
		break_put(s, missing);
		return;
	}
	uint64_t lost = (first - s->sequence_last - 1) / header->fragment_count;
	if (lost > missing)
		lost = missing;
	s->lost += lost;
	s->refused += missing - lost;
}

/* False: it was delivered before. */
static bool number_take(struct latency_stream *s, const struct perron_header *header)
{
	if (!s->number_first) {
		s->number_first = s->number;
	} else if (s->number <= s->number_last) {
		s->again++;
		return false;
	} else if (s->number > s->number_last + 1) {
		missing_take(s, s->number - s->number_last - 1, header);
	}
	s->number_last = s->number;
	s->sequence_last = header->sequence;
	s->fragment_count = header->fragment_count;
	return true;
}

static void message_take(struct latency_stream *s, uint64_t now_ns,
			 const struct perron_header *header)
{
	if (!number_take(s, header))
		return;
	perron_histogram_record(&s->made, between(s, s->made_ns, now_ns));
	perron_histogram_record(&s->due, between(s, s->due_ns, now_ns));
}

void latency_sink_take(void *context, uint64_t now_ns, uint32_t subscription,
		       const struct perron_frame *frame)
{
	uint64_t monotonic_ns = latency_clock_ns();
	uint64_t overlay_ns = perron_clock_now_ns() + (uint64_t)perron_clock_realtime_offset_ns();
	struct latency_sink *sink = context;
	struct latency_stream *s = &sink->streams[subscription];
	struct perron_header header;
	struct latency_stamp stamp;

	(void)now_ns;
	PERRON_ASSERT(subscription < sink->stream_count);
	if (perron_frame_decode(frame->data, frame->length, &header) != PERRON_DROP_NONE)
		return;
	bool traced = (header.flags & PERRON_FLAG_TRACE) != 0;
	uint32_t skip = traced ? PERRON_TRACE_SIZE : 0;
	if (header.fragment_index == 0) {
		if (header.length < skip + sizeof(stamp))
			return;
		memcpy(&stamp, frame->data + PERRON_HEADER_SIZE + skip, sizeof(stamp));
		s->number = stamp.magic == LATENCY_MAGIC ? stamp.number : 0;
		s->made_ns = stamp.made_ns;
		s->due_ns = stamp.due_ns;
	} else if (header.fragment_index != s->fragment_next) {
		s->number = 0; /* a part of it is lost, and so is the message */
	}
	s->fragment_next = header.fragment_index + 1u;
	if (s->number > atomic_load_explicit(&s->number_until, memory_order_relaxed))
		return;
	if (!s->number || !atomic_load_explicit(&sink->measuring, memory_order_acquire))
		return;
	s->frames++;
	if (traced)
		hops_take(s, frame->data, overlay_ns);
	if (header.fragment_index + 1 == header.fragment_count)
		message_take(s, monotonic_ns, &header);
}

void latency_sink_reset(struct latency_sink *s)
{
	for (uint32_t i = 0; i < LATENCY_STREAM_MAX; i++) {
		perron_histogram_reset(&s->streams[i].made);
		perron_histogram_reset(&s->streams[i].due);
		atomic_store(&s->streams[i].number_until, UINT64_MAX);
		for (uint32_t k = 0; k < LATENCY_HOP_MAX; k++) {
			perron_histogram_reset(&s->streams[i].hops[k].wire);
			perron_histogram_reset(&s->streams[i].hops[k].receive);
			perron_histogram_reset(&s->streams[i].hops[k].step);
		}
	}
}

void latency_sink_cut(struct latency_sink *s, struct latency_account *account)
{
	for (uint32_t i = 0; i < s->stream_count; i++) {
		const _Atomic uint64_t *made = latency_account_made(account, s->streams[i].name);
		if (made)
			atomic_store(&s->streams[i].number_until, atomic_load(made));
	}
}

bool latency_sink_is_drained(const struct latency_sink *s)
{
	for (uint32_t i = 0; i < s->stream_count; i++)
		if (s->streams[i].number_last < s->streams[i].number_until)
			return false;
	return true;
}

static void histogram_print(const char *name, const struct perron_histogram *h, FILE *out)
{
	fprintf(out, "\"%s\": {", name);
	for (uint32_t i = 0; i < PERCENTILE_COUNT; i++)
		fprintf(out, "\"%s\": %.3f, ", percentiles[i].name,
			(double)perron_histogram_percentile_ns(h, percentiles[i].ppm) / 1000);
	fprintf(out, "\"mean\": %.3f}", (double)perron_histogram_mean_ns(h) / 1000);
}

/* Each bucket that counted something, by its middle: what distributions are put together from. */
static void buckets_print(const struct perron_histogram *h, FILE *out)
{
	const char *separator = "";

	fprintf(out, "\"buckets_ns\": [");
	for (uint32_t i = 0; i < PERRON_HISTOGRAM_BUCKET_COUNT; i++) {
		if (!h->buckets[i])
			continue;
		fprintf(out, "%s[%lu, %lu]", separator,
			perron_histogram_bucket_first_ns(i) +
				perron_histogram_bucket_width_ns(i) / 2,
			h->buckets[i]);
		separator = ", ";
	}
	fprintf(out, "]");
}

/* Messages that did not come, and those that came again; the last break is the end. */
static void missing_print(const struct latency_stream *s, uint64_t until, FILE *out)
{
	fprintf(out, "\"fragments\": %u, ", s->fragment_count);
	fprintf(out, "\"messages_lost\": %lu, \"refused\": %lu, \"again\": %lu, \"breaks\": [",
		s->lost, s->refused, s->again);
	for (uint32_t i = 0; i < s->break_count; i++)
		fprintf(out, "[%lu, %lu, %lu], ", s->breaks[i].sequence, s->breaks[i].number,
			s->breaks[i].missing);
	fprintf(out, "[%lu, %lu, %lu]],\n", s->sequence_last, s->number_last,
		until - s->number_last);
}

void latency_stream_print(const struct latency_stream *s, FILE *out)
{
	uint64_t until = atomic_load(&s->number_until);

	if (until == UINT64_MAX)
		until = s->number_last;
	uint64_t sent = s->number_first ? until - s->number_first + 1 : 0;

	fprintf(out, "\"stream\": \"%s\", \"class\": \"%s\", \"replication\": \"%s\", ", s->name,
		perron_class_name((enum perron_class)s->class),
		perron_replication_name(s->qos.replication));
	fprintf(out, "\"samples\": %lu, \"sent\": %lu, ", s->made.count, sent);
	fprintf(out, "\"frames\": %lu, \"clock_backwards\": %lu,\n", s->frames, s->backwards);
	missing_print(s, until, out);
	histogram_print("latency_us", &s->made, out);
	fprintf(out, ",\n");
	buckets_print(&s->made, out);
	fprintf(out, ",\n");
	histogram_print("latency_from_due_us", &s->due, out);
	fprintf(out, ",\n\"hops\": [");
	for (uint32_t i = 0; i < s->hop_count; i++) {
		fprintf(out, "%s\n{\"peer\": %u, ", i ? "," : "", s->hops[i].peer);
		if (i > 0) {
			histogram_print("wire_us", &s->hops[i].wire, out);
			fprintf(out, ", ");
		}
		histogram_print("receive_us", &s->hops[i].receive, out);
		fprintf(out, ", ");
		histogram_print("step_us", &s->hops[i].step, out);
		fprintf(out, "}");
	}
	fprintf(out, "]");
}
