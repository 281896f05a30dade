/*
 * perron-latency: one station (apps/station) with sources and a client of its own, which measures
 * how long each message takes from the source that made it to the client.
 *
 *	options.c  the command line
 *	main.c     the station's life
 *	source.c   makes messages at a steady rate, whatever becomes of them (open loop)
 *	sink.c     takes them, counts, splits the way by the trace block
 *
 * A message says when it was made and when it was due, by CLOCK_MONOTONIC, which all processes of
 * a machine share. So sources and client may be in different stations of one machine. Latency is
 * from when it was made; from when it was due is told beside it, and has what held up the source.
 *
 * Threads: make and take are called on a lcore; all else is housekeeping's. The lcore writes
 * histograms while `measuring` is set, and housekeeping reads them after it was cleared.
 */
#ifndef PERRON_PERF_LATENCY_LATENCY_H
#define PERRON_PERF_LATENCY_LATENCY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "runtime/base/frame.h"
#include "runtime/base/histogram.h"
#include "runtime/base/qos.h"

/* 8 sensors with a stream for each of 3 sizes, and some more. */
#define LATENCY_SOURCE_MAX 32
#define LATENCY_STREAM_MAX 32
#define LATENCY_NAME_SIZE  32
/* Records of a trace: origin, relays, client. */
#define LATENCY_HOP_MAX PERRON_TRACE_HOP_COUNT_MAX

/* First in a message's bytes. */
struct latency_stamp {
	uint64_t magic;
	uint64_t made_ns; /* CLOCK_MONOTONIC */
	uint64_t due_ns;
	uint64_t number; /* from 1 */
};
#define LATENCY_MAGIC	 UINT64_C(0x706572726f6e6c74)
#define LATENCY_SIZE_MIN ((uint32_t)sizeof(struct latency_stamp))

struct latency_source {
	char name[LATENCY_NAME_SIZE];
	uint32_t peer;
	uint32_t size;
	uint64_t interval_ns;
	bool traced;
	uint64_t made;
};

/* A message's way, hop by hop, from the trace; index 0 is the origin. */
struct latency_hop {
	uint32_t peer;
	struct perron_histogram wire;	 /* from the hop before: given to its port, out of ours */
	struct perron_histogram receive; /* out of the port, taken up by the machine */
	struct perron_histogram step;	 /* taken up, and given to the port or the client */
};

struct latency_stream {
	char name[LATENCY_NAME_SIZE];
	uint8_t class;
	struct perron_qos qos;
	/* The lcore's. */
	struct perron_histogram made; /* from when it was made */
	struct perron_histogram due;  /* from when it was due */
	struct latency_hop hops[LATENCY_HOP_MAX];
	uint32_t hop_count;	/* of the last frame; 0: not traced */
	uint64_t made_ns;	/* of the message whose fragments come in */
	uint64_t due_ns;
	uint64_t number;
	uint64_t number_first;	/* of those measured */
	uint64_t number_last;
	uint64_t backwards;	/* times that clocks of two processes disagreed about the order */
	uint64_t frames;
};

struct latency_sink {
	atomic_bool measuring;
	uint32_t stream_count;
	struct latency_stream streams[LATENCY_STREAM_MAX];
};

struct latency_options {
	const char *config;
	uint32_t source_count;
	struct latency_source sources[LATENCY_SOURCE_MAX];
	double warm_s;
	double measure_s;
};

/* Points of a measurement, in their order. */
#define LATENCY_MARKS(X)                                                  \
	X(IDLE, "idle")	  /* all peers joined; nothing is asked for */    \
	X(ASKED, "asked") /* the client asks for the streams */           \
	X(FROM, "from")	  /* all flow and are warm: messages count */     \
	X(TO, "to")

enum latency_mark_kind {
#define X(name, text) LATENCY_MARK_##name,
	LATENCY_MARKS(X)
#undef X
		LATENCY_MARK_COUNT
};

struct latency_mark {
	uint64_t at_ns;	  /* CLOCK_MONOTONIC */
	uint64_t busy_ns; /* of all lcores, in turns that had work, since boot */
};

static inline uint64_t latency_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Fills both; wrong usage ends the program with status 2 and one line. */
void latency_options_parse(int argc, char **argv, struct latency_options *options,
			   struct latency_sink *sink);

/* For struct perron_station_source; the context is the struct latency_source. */
uint32_t latency_source_make(void *context, uint64_t now_ns, uint8_t *data, uint32_t room,
			     uint64_t *due_ns);

/* For struct perron_station_client; the context is the struct latency_sink. */
void latency_sink_take(void *context, uint64_t now_ns, uint32_t subscription,
		       const struct perron_frame *frame);
void latency_sink_reset(struct latency_sink *s);
/* The stream's figures as members of a JSON object, without its braces. */
void latency_stream_print(const struct latency_stream *s, FILE *out);

#endif
