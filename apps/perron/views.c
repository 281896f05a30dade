/* Replies as text: one look for status, a table for each list. */
#include <string.h>

#include "apps/perron/cli.h"

#define COLUMNS(...)                                                                         \
	(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)), (const char *const[]) \
	{                                                                                    \
		__VA_ARGS__                                                                  \
	}

/* As many as print at most, with the rate. */
#define COLUMN_MAX 32

static void add(struct cli_table *table, const json_t *object, const char *key)
{
	cli_table_add(table, "%s", cli_text(object, key));
}

static void add_duration(struct cli_table *table, const json_t *object, const char *key)
{
	char text[CLI_DURATION_SIZE];

	cli_table_add(table, "%s", cli_duration(json_object_get(object, key), text, sizeof(text)));
}

void cli_view_status(const json_t *reply, FILE *out)
{
	char up[CLI_DURATION_SIZE], beat[CLI_DURATION_SIZE], timeout[CLI_DURATION_SIZE];

	cli_duration(json_object_get(reply, "uptime_ns"), up, sizeof(up));
	cli_duration(json_object_get(reply, "beat_interval_ns"), beat, sizeof(beat));
	cli_duration(json_object_get(reply, "beat_timeout_ns"), timeout, sizeof(timeout));
	fprintf(out, "station     %s: %s for %s (pid %s, perron %s)\n", cli_text(reply, "station"),
		cli_text(reply, "state"), up, cli_text(reply, "pid"), cli_text(reply, "version"));
	fprintf(out, "descriptor  %s\n", cli_text(reply, "descriptor"));
	fprintf(out, "address     %s/%s, ports from %s\n", cli_text(reply, "address"),
		cli_text(reply, "prefix_length"), cli_text(reply, "port_base"));
	fprintf(out,
		"overlay     %s: depth %s, span %s, cells of %s; beats every %s, lost after %s\n",
		cli_text(reply, "overlay"), cli_text(reply, "depth"), cli_text(reply, "span"),
		cli_text(reply, "cell_size"), beat, timeout);
	fprintf(out, "memory      %.1f MB, %s; idles by %s\n",
		(double)json_integer_value(json_object_get(reply, "memory")) / (1 << 20),
		json_is_true(json_object_get(reply, "huge_pages")) ? "in huge pages"
								   : "no huge pages",
		cli_text(reply, "idle"));
	fprintf(out, "peers       %s of %s joined\n", cli_text(reply, "joined"),
		cli_text(reply, "peers"));
	fprintf(out, "streams     %s    sensors %s    dropped frames %s\n",
		cli_text(reply, "streams"), cli_text(reply, "sensors"), cli_text(reply, "drops"));
}

static void view_links(const json_t *peers, FILE *out)
{
	static const char *const durations[] = {"last_heard_ns", "expected_ns", "own_gap_ns_max",
						"round_trip_ns"};
	static const char *const counts[] = {"sent", "received", "lost", "verdicts", "spared"};
	struct cli_table table;
	const json_t *peer, *link;
	size_t i, j;

	cli_table_init(&table, COLUMNS(">PEER", ">NEIGHBOUR", "ADDRESS", "ROLE", "STATE", ">HEARD",
				       ">EXPECTED", ">OWN GAP", ">ROUND TRIP", ">SENT", ">RECEIVED",
				       ">LOST", ">VERDICTS", ">SPARED"));
	json_array_foreach(peers, i, peer)
	{
		json_array_foreach(json_object_get(peer, "links"), j, link)
		{
			add(&table, peer, "peer");
			add(&table, link, "neighbour");
			add(&table, link, "address");
			add(&table, link, "role");
			add(&table, link, "state");
			for (size_t k = 0; k < 4; k++)
				add_duration(&table, link, durations[k]);
			for (size_t k = 0; k < 5; k++)
				add(&table, link, counts[k]);
		}
	}
	cli_table_print(&table, out);
}

/* How each link's neighbour is judged, and how suspect it is as things stand. */
static void view_detectors(const json_t *peers, FILE *out)
{
	static const char *const durations[] = {"interval_ns", "timeout_ns_min", "timeout_ns_max",
						"expected_ns"};
	struct cli_table table;
	const json_t *peer, *link;
	size_t i, j;

	cli_table_init(&table, COLUMNS(">PEER", ">NEIGHBOUR", "DETECTOR", ">BEAT", ">AT LEAST",
				       ">AT MOST", ">ALLOWED", ">SUSPICION"));
	json_array_foreach(peers, i, peer)
	{
		json_array_foreach(json_object_get(peer, "links"), j, link)
		{
			add(&table, peer, "peer");
			add(&table, link, "neighbour");
			add(&table, link, "detector");
			for (size_t k = 0; k < 4; k++)
				add_duration(&table, link, durations[k]);
			cli_table_add(&table, "%s%%", cli_text(link, "suspicion"));
		}
	}
	cli_table_print(&table, out);
}

/* Why neighbours were suspected: silence against what was expected, and our own longest gap. */
static void view_verdicts(const json_t *peers, FILE *out)
{
	static const char *const keys[] = {"age_ns", "silence_ns", "expected_ns", "own_gap_ns"};
	const json_t *peer, *verdict;
	char texts[4][CLI_DURATION_SIZE];
	size_t i, j;

	json_array_foreach(peers, i, peer)
	{
		json_array_foreach(json_object_get(peer, "verdicts"), j, verdict)
		{
			for (size_t k = 0; k < 4; k++)
				cli_duration(json_object_get(verdict, keys[k]), texts[k],
					     sizeof(texts[k]));
			fprintf(out,
				"peer %s suspected %s %s ago (%s): silent for %s, expected within "
				"%s, own longest gap %s\n",
				cli_text(peer, "peer"), cli_text(verdict, "neighbour"), texts[0],
				cli_text(verdict, "cause"), texts[1], texts[2], texts[3]);
		}
	}
}

void cli_view_peers(const json_t *reply, FILE *out)
{
	const json_t *peers = json_object_get(reply, "peers"), *peer;
	struct cli_table table;
	size_t i;

	cli_table_init(&table,
		       COLUMNS(">PEER", "POSITION", "STATE", ">FOR", "COORDINATOR", ">PARENT",
			       ">CORE", ">VIEW", ">MEMBERS", ">JOINS", ">JOINED AFTER", ">LINKS"));
	json_array_foreach(peers, i, peer)
	{
		add(&table, peer, "peer");
		add(&table, peer, "position");
		add(&table, peer, "state");
		add_duration(&table, peer, "state_age_ns");
		add(&table, peer, "coordinator");
		add(&table, peer, "parent");
		add(&table, peer, "core");
		add(&table, peer, "view");
		add(&table, peer, "members");
		add(&table, peer, "joins");
		add_duration(&table, peer, "joined_after_ns");
		cli_table_add(&table, "%zu", json_array_size(json_object_get(peer, "links")));
	}
	cli_table_print(&table, out);
	fprintf(out, "\n");
	view_links(peers, out);
	fprintf(out, "\n");
	view_detectors(peers, out);
	view_verdicts(peers, out);
}

/* A member as its key says that it is to be read. */
static void add_member(struct cli_table *table, const json_t *row, const char *key)
{
	if (strstr(key, "_ns"))
		add_duration(table, row, key);
	else if (strstr(key, "_ppm"))
		cli_table_add(table, "%.1f%%",
			      (double)json_integer_value(json_object_get(row, key)) / 1e4);
	else
		add(table, row, key);
}

/* A table whose cells are members, one row an object; first of all its rate, if rows have one. */
static void view_list(const json_t *list, size_t count, const char *const *headers,
		      const char *const *keys, FILE *out)
{
	const char *columns[COLUMN_MAX] = {">PER SECOND"};
	size_t rated = json_object_get(json_array_get(list, 0), CLI_RATE_KEY) != NULL;
	struct cli_table table;
	const json_t *row;
	size_t i;

	memcpy(columns + rated, headers, count * sizeof(*headers));
	cli_table_init(&table, count + rated, columns);
	json_array_foreach(list, i, row)
	{
		if (rated)
			add(&table, row, CLI_RATE_KEY);
		for (size_t k = 0; k < count; k++)
			add_member(&table, row, keys[k]);
	}
	cli_table_print(&table, out);
}

void cli_view_streams(const json_t *reply, FILE *out)
{
	static const char *const keys[] = {"peer",     "sensor",       "class",	  "role",
					   "upstream", "branches",     "clients", "frames",
					   "sequence", "acknowledged", "held",	  "retries",
					   "late",     "abandoned",    "dropped"};

	view_list(json_object_get(reply, "streams"),
		  COLUMNS(">PEER", "SENSOR", "CLASS", "ROLE", ">FROM", ">WAYS", ">CLIENTS",
			  ">FRAMES", ">SEQUENCE", ">ACKED", ">HELD", ">RETRIES", ">LATE",
			  ">ABANDONED", ">DROPPED"),
		  keys, out);
}

void cli_view_sensors(const json_t *reply, FILE *out)
{
	static const char *const keys[] = {"sensor", "peer",	    "driver",	       "class",
					   "state",  "messages",    "last_message_ns", "bad",
					   "missed", "would_block", "reopens"};
	const json_t *sensors = json_object_get(reply, "sensors"), *sensor;
	size_t i;

	view_list(sensors,
		  COLUMNS("SENSOR", ">PEER", "DRIVER", "CLASS", "STATE", ">MESSAGES", ">LAST",
			  ">BAD", ">MISSED", ">REFUSED", ">REOPENS"),
		  keys, out);
	json_array_foreach(sensors, i, sensor)
	{
		const char *why = cli_text(sensor, "why"), *reading = cli_text(sensor, "reading");
		if (strcmp(why, "-"))
			fprintf(out, "%s: %s\n", cli_text(sensor, "sensor"), why);
		if (strcmp(reading, "-"))
			fprintf(out, "%s reads %s\n", cli_text(sensor, "sensor"), reading);
	}
}

void cli_view_cores(const json_t *reply, FILE *out)
{
	static const char *const keys[] = {"core",
					   "role",
					   "idle",
					   "isolated",
					   "peers",
					   "busy_ppm",
					   "stalled",
					   "stalls",
					   "turns",
					   "turn_ns_max",
					   "turns_over",
					   "turn_threshold_ns",
					   "gap_ns_max",
					   "frames_received",
					   "frames_sent",
					   "cycles_per_frame"};

	view_list(json_object_get(reply, "cores"),
		  COLUMNS(">CORE", "ROLE", "IDLE", "ISOLATED", ">PEERS", ">BUSY", "STALLED",
			  ">STALLS", ">TURNS", ">LONGEST", ">OVER", ">THRESHOLD", ">GAP",
			  ">RECEIVED", ">SENT", ">CYCLES/FRAME"),
		  keys, out);
}

void cli_view_drops(const json_t *reply, FILE *out)
{
	static const char *const keys[] = {"count", "cause", "peer", "stream"};
	const json_t *drops = json_object_get(reply, "drops");

	if (json_array_size(drops))
		view_list(drops, COLUMNS(">FRAMES", "CAUSE", ">PEER", ">STREAM"), keys, out);
	else
		fprintf(out, "no frame was dropped\n");
}
