/*
 * perron-latency: one station (apps/station) with sources and a client of its own, which measures
 * how long each message takes from the source that made it to the client.
 *
 *	options.c  the command line
 *	main.c     the station's life
 *	source.c   makes messages at a steady rate, whatever becomes of them (open loop)
 *	sink.c     takes them, counts, splits the way by the trace block
 *	account.c  what is known of messages whatever becomes of their station
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

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "runtime/base/frame.h"
#include "runtime/base/histogram.h"
#include "runtime/base/qos.h"
#include "runtime/housekeeping/snapshot.h"

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

/*
 * The account: a file that all stations of a run map, so that it outlives each of them. Who starts
 * them makes it, with a row for each stream's name. A source writes what it made, and goes on from
 * there when its station is started again; the client reads it, and says since when it measures.
 */
struct latency_account_row {
	char name[LATENCY_NAME_SIZE];
	_Atomic uint64_t made; /* the number of the last message */
};

struct latency_account {
	_Atomic uint64_t from_ns; /* CLOCK_MONOTONIC; 0: not yet */
	struct latency_account_row rows[LATENCY_STREAM_MAX];
};
static_assert(sizeof(struct latency_account_row) == 40, "as perf/suite/daem_faults.py writes it");

struct latency_source {
	char name[LATENCY_NAME_SIZE];
	uint32_t peer;
	uint32_t size;
	uint64_t interval_ns;
	bool traced;
	uint64_t made;
	_Atomic uint64_t *account; /* NULL: none is kept */
};

/* A message's way, hop by hop, from the trace; index 0 is the origin. */
struct latency_hop {
	uint32_t peer;
	struct perron_histogram wire;	 /* from the hop before: given to its port, out of ours */
	struct perron_histogram receive; /* out of the port, taken up by the machine */
	struct perron_histogram step;	 /* taken up, and given to the port or the client */
};

/* What did not come between two messages, when that is not of one life of the origin: or at all. */
struct latency_break {
	uint64_t sequence; /* of the last frame before */
	uint64_t number;   /* of the last message before */
	uint64_t missing;  /* messages */
};
#define LATENCY_BREAK_MAX 8u

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
	_Atomic uint64_t number_last;
	_Atomic uint64_t number_until; /* the last to be measured */
	uint32_t fragment_next;
	uint32_t fragment_count; /* of the last message */
	uint64_t sequence_last; /* of the last message's last frame */
	uint64_t lost;		/* messages whose sequences are missing */
	uint64_t refused;	/* by the origin: numbers are missing, and no sequences */
	uint64_t again;		/* delivered another time, and not measured */
	uint32_t break_count;
	struct latency_break breaks[LATENCY_BREAK_MAX];
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
	double rest_s; /* after all have joined, before the client asks */
	double warm_s;
	double measure_s;
	double drain_s; /* at most, after that, until what was made before has come as well */
	struct latency_account *account; /* NULL: none is kept */
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

/* Maps the file; NULL with errno. */
struct latency_account *latency_account_open(const char *path);
/* What the stream of that name made; NULL: it has no row. */
_Atomic uint64_t *latency_account_made(struct latency_account *a, const char *name);
/*
 * Keeps in mind the highest sequences of streams that the station relays: to be called every so
 * often, as paths are forgotten.
 */
void latency_account_look(const struct perron_snapshot_source *source);
/* What it has in mind, as members of a JSON object. */
void latency_account_print(FILE *out);

/* For struct perron_station_source; the context is the struct latency_source. */
uint32_t latency_source_make(void *context, uint64_t now_ns, uint8_t *data, uint32_t room,
			     uint64_t *due_ns);

/* For struct perron_station_client; the context is the struct latency_sink. */
void latency_sink_take(void *context, uint64_t now_ns, uint32_t subscription,
		       const struct perron_frame *frame);
void latency_sink_reset(struct latency_sink *s);
/* From now on nothing is measured that is made later, as the account says. */
void latency_sink_cut(struct latency_sink *s, struct latency_account *account);
/* Whether all streams have come to where they were cut. */
bool latency_sink_is_drained(const struct latency_sink *s);
/* The stream's figures as members of a JSON object, without its braces. */
void latency_stream_print(const struct latency_stream *s, FILE *out);

#endif
