#include "runtime/housekeeping/report.h"

#include <stdio.h>
#include <string.h>

/* Text of the station, or of a device behind it: JSON wants UTF-8. */
static json_t *text(const char *from)
{
	json_t *value = json_string(from ? from : "");

	if (value)
		return value;
	char plain[PERRON_SNAPSHOT_TEXT_SIZE];
	snprintf(plain, sizeof(plain), "%.*s", (int)sizeof(plain) - 1, from);
	for (char *c = plain; *c; c++) {
		if (*c < 32 || *c > 126)
			*c = '?';
	}
	return json_string(plain);
}

static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* An age or length; null: never. */
static json_t *nanoseconds(uint64_t value)
{
	return value == PERRON_SNAPSHOT_NEVER ? json_null() : number(value);
}

static json_t *address(uint32_t host)
{
	char out[16];

	if (!host)
		return json_null();
	snprintf(out, sizeof(out), "%u.%u.%u.%u", host >> 24, host >> 16 & 255u, host >> 8 & 255u,
		 host & 255u);
	return json_string(out);
}

static json_t *class_name(uint8_t class)
{
	return json_string(class < PERRON_CLASS_COUNT ? perron_class_name(class) : "unknown");
}

static void set(json_t *object, const char *key, json_t *value)
{
	/* Out of memory shows as a missing member; the station goes on. */
	if (json_object_set_new(object, key, value))
		json_object_del(object, key);
}

/* first and count of a request's page; false: they make no sense. */
static bool page_of(const json_t *request, uint32_t *first, uint32_t *count, char *error,
		    size_t error_size)
{
	const json_t *f = json_object_get(request, "first");
	const json_t *c = json_object_get(request, "count");
	json_int_t from = f ? json_integer_value(f) : 0;
	json_int_t rows = c ? json_integer_value(c) : PERRON_REPORT_ROW_MAX;

	if ((f && !json_is_integer(f)) || (c && !json_is_integer(c)) || from < 0 ||
	    from > INT32_MAX || rows < 1) {
		snprintf(error, error_size,
			 "'first' is to be a number from 0, and 'count' from 1 to %d",
			 PERRON_REPORT_ROW_MAX);
		return false;
	}
	*first = (uint32_t)from;
	*count = rows < PERRON_REPORT_ROW_MAX ? (uint32_t)rows : PERRON_REPORT_ROW_MAX;
	return true;
}

static json_t *page(const char *name, json_t *rows, uint32_t first, uint32_t total)
{
	json_t *reply = json_object();
	uint32_t next = first + (uint32_t)json_array_size(rows);

	set(reply, name, rows);
	set(reply, "total", number(total));
	if (next < total && next > first)
		set(reply, "next", number(next));
	return reply;
}

/*
 * A list's handler: asks the source for rows and makes an object of each. Rows are kept in static
 * memory: handlers run on the housekeeping thread alone.
 */
#define LIST_HANDLER(name)                                                                        \
	static json_t *list_##name(void *context, const json_t *request, char *error,             \
				   size_t error_size)                                             \
	{                                                                                         \
		static ROW_##name rows[PERRON_REPORT_ROW_MAX];                                    \
		const struct perron_snapshot_source *source = context;                            \
		uint32_t first, count, total = 0;                                                 \
                                                                                                  \
		if (!page_of(request, &first, &count, error, error_size))                         \
			return NULL;                                                              \
		memset(rows, 0, sizeof(rows));                                                    \
		uint32_t filled =                                                                 \
		    source->name ? source->name(source->context, first, count, rows, &total) : 0; \
		PERRON_ASSERT(filled <= count);                                                   \
		json_t *list = json_array();                                                      \
		for (uint32_t i = 0; i < filled; i++)                                             \
			json_array_append_new(list, name##_row(source, &rows[i]));                \
		return page(#name, list, first, total);                                           \
	}

static json_t *verdict_row(const struct perron_snapshot_verdict *row)
{
	json_t *o = json_object();

	set(o, "neighbour", number(row->neighbour));
	set(o, "cause", text(row->cause));
	set(o, "age_ns", number(row->age_ns));
	set(o, "silence_ns", number(row->silence_ns));
	set(o, "expected_ns", number(row->expected_ns));
	set(o, "own_gap_ns", number(row->own_gap_ns));
	return o;
}

static json_t *verdict_list(const struct perron_snapshot_peer *peer)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < peer->verdict_count; i++)
		json_array_append_new(list, verdict_row(&peer->verdicts[i]));
	return list;
}

static json_t *link_row(const struct perron_snapshot_link *row)
{
	json_t *o = json_object();

	set(o, "neighbour", number(row->neighbour));
	set(o, "incarnation", number(row->neighbour_incarnation));
	set(o, "address", address(row->endpoint.address));
	set(o, "port_base", number(row->endpoint.port_base));
	set(o, "role", text(row->role));
	set(o, "state", text(row->state));
	set(o, "last_heard_ns", nanoseconds(row->last_heard_ns));
	set(o, "detector", text(row->detector));
	set(o, "interval_ns", number(row->interval_ns));
	set(o, "timeout_ns_min", number(row->timeout_ns_min));
	set(o, "timeout_ns_max", number(row->timeout_ns_max));
	set(o, "expected_ns", number(row->expected_ns));
	set(o, "suspicion", number(row->suspicion));
	set(o, "own_gap_ns_max", number(row->own_gap_ns_max));
	set(o, "round_trip_ns", number(row->round_trip_ns));
	set(o, "sent", number(row->sent));
	set(o, "received", number(row->received));
	set(o, "lost", number(row->lost));
	set(o, "verdicts", number(row->verdicts));
	set(o, "spared", number(row->spared));
	if (row->verdicts)
		set(o, "verdict", verdict_row(&row->verdict));
	return o;
}

/* The links of one peer: the source lists all links, peer after peer. */
static json_t *links_of(const struct perron_snapshot_source *source, uint32_t peer)
{
	static struct perron_snapshot_link rows[PERRON_REPORT_ROW_MAX];
	json_t *list = json_array();
	uint32_t total = 1;

	for (uint32_t first = 0; source->links && first < total;) {
		memset(rows, 0, sizeof(rows));
		uint32_t filled =
		    source->links(source->context, first, PERRON_REPORT_ROW_MAX, rows, &total);
		PERRON_ASSERT(filled <= PERRON_REPORT_ROW_MAX);
		for (uint32_t i = 0; i < filled; i++) {
			if (rows[i].peer == peer)
				json_array_append_new(list, link_row(&rows[i]));
		}
		if (!filled)
			break;
		first += filled;
	}
	return list;
}

#define ROW_peers struct perron_snapshot_peer
static json_t *peers_row(const struct perron_snapshot_source *source,
			 const struct perron_snapshot_peer *row)
{
	json_t *o = json_object();

	set(o, "peer", number(row->id));
	set(o, "incarnation", number(row->incarnation));
	set(o, "position", *row->position ? text(row->position) : json_null());
	set(o, "state", text(row->state));
	set(o, "joined", json_boolean(row->joined));
	set(o, "coordinator", json_boolean(row->coordinator));
	set(o, "parent", row->parent ? number(row->parent) : json_null());
	set(o, "core", number(row->core));
	set(o, "view", number(row->view));
	set(o, "members", number(row->member_count));
	set(o, "joins", number(row->join_count));
	set(o, "joined_after_ns", nanoseconds(row->joined_after_ns));
	set(o, "state_age_ns", nanoseconds(row->state_age_ns));
	set(o, "links", links_of(source, row->id));
	set(o, "verdicts", verdict_list(row));
	return o;
}
LIST_HANDLER(peers)

#define ROW_streams struct perron_snapshot_stream
static json_t *streams_row(const struct perron_snapshot_source *source,
			   const struct perron_snapshot_stream *row)
{
	json_t *o = json_object();

	(void)source;
	set(o, "peer", number(row->peer));
	set(o, "stream", number(row->stream));
	set(o, "sensor", text(row->sensor));
	set(o, "class", class_name(row->class));
	set(o, "role", text(row->role));
	set(o, "upstream", row->upstream ? number(row->upstream) : json_null());
	set(o, "branches", number(row->branch_count));
	set(o, "clients", number(row->client_count));
	set(o, "latency_max_us", row->latency_max_us ? number(row->latency_max_us) : json_null());
	set(o, "sequence", number(row->sequence_last));
	set(o, "acknowledged", number(row->acknowledged));
	set(o, "frames", number(row->frames));
	set(o, "bytes", number(row->bytes));
	set(o, "held", number(row->held));
	set(o, "retries", number(row->retries));
	set(o, "late", number(row->late));
	set(o, "abandoned", number(row->abandoned));
	set(o, "dropped", number(row->dropped));
	return o;
}
LIST_HANDLER(streams)

#define ROW_sensors struct perron_snapshot_sensor
static json_t *sensors_row(const struct perron_snapshot_source *source,
			   const struct perron_snapshot_sensor *row)
{
	json_t *o = json_object();

	(void)source;
	set(o, "sensor", text(row->name));
	set(o, "driver", text(row->driver));
	set(o, "peer", number(row->peer));
	set(o, "class", class_name(row->class));
	set(o, "state", text(row->state));
	set(o, "why", text(row->why));
	set(o, "reading", text(row->reading));
	set(o, "messages", number(row->messages));
	set(o, "bytes", number(row->bytes));
	set(o, "bad", number(row->bad));
	set(o, "missed", number(row->missed));
	set(o, "would_block", number(row->would_block));
	set(o, "reopens", number(row->reopens));
	set(o, "last_message_ns", nanoseconds(row->last_message_ns));
	return o;
}
LIST_HANDLER(sensors)

#define ROW_cores struct perron_snapshot_core
static json_t *cores_row(const struct perron_snapshot_source *source,
			 const struct perron_snapshot_core *row)
{
	json_t *o = json_object();

	(void)source;
	set(o, "core", number(row->core));
	set(o, "role", text(row->role));
	set(o, "idle", text(row->idle));
	set(o, "isolated", json_boolean(row->isolated));
	set(o, "peers", number(row->peer_count));
	set(o, "stalled", json_boolean(row->stalled));
	set(o, "stalls", number(row->stalls));
	set(o, "turns", number(row->turns));
	set(o, "turns_over", number(row->turns_over));
	set(o, "turn_threshold_ns", number(row->turn_threshold_ns));
	set(o, "turn_ns_max", number(row->turn_ns_max));
	set(o, "gap_ns_max", number(row->gap_ns_max));
	set(o, "busy_ppm", number(row->busy_ppm));
	set(o, "frames_received", number(row->frames_received));
	set(o, "frames_sent", number(row->frames_sent));
	set(o, "cycles_per_frame", number(row->cycles_per_frame));
	return o;
}
LIST_HANDLER(cores)

#define ROW_drops struct perron_snapshot_drop
static json_t *drops_row(const struct perron_snapshot_source *source,
			 const struct perron_snapshot_drop *row)
{
	json_t *o = json_object();

	(void)source;
	set(o, "cause",
	    text(row->cause < PERRON_DROP_COUNT ? perron_drop_name(row->cause) : "unknown"));
	set(o, "peer", row->peer ? number(row->peer) : json_null());
	set(o, "stream", row->stream ? number(row->stream) : json_null());
	set(o, "count", number(row->count));
	return o;
}
LIST_HANDLER(drops)

#define ROW_tree struct perron_snapshot_node
static json_t *tree_row(const struct perron_snapshot_source *source,
			const struct perron_snapshot_node *row)
{
	json_t *o = json_object();

	(void)source;
	set(o, "peer", number(row->peer));
	set(o, "position", *row->position ? text(row->position) : json_null());
	set(o, "address", address(row->address));
	set(o, "parent", row->parent ? number(row->parent) : json_null());
	set(o, "coordinator", json_boolean(row->coordinator));
	set(o, "here", json_boolean(row->here));
	set(o, "alive", json_boolean(row->alive));
	set(o, "sensors", number(row->sensor_count));
	return o;
}
LIST_HANDLER(tree)

static json_t *members_of(const struct perron_snapshot_view *view)
{
	json_t *list = json_array();

	PERRON_ASSERT(view->member_count <= PERRON_SNAPSHOT_MEMBER_MAX);
	for (uint32_t i = 0; i < view->member_count; i++) {
		const struct perron_snapshot_member *m = &view->members[i];
		json_array_append_new(list,
				      json_pack("{s:I,s:I,s:I,s:I}", "peer", (json_int_t)m->peer,
						"slot", (json_int_t)m->slot, "incarnation",
						(json_int_t)m->incarnation, "life",
						(json_int_t)m->life));
	}
	return list;
}

static void set_view(json_t *o, const struct perron_snapshot_view *view)
{
	bool any = view->member_count > 0;

	set(o, "cell", *view->cell ? text(view->cell) : json_null());
	set(o, "view", any ? number(view->number) : json_null());
	set(o, "leader", any ? number(view->leader) : json_null());
	set(o, "leader_incarnation", any ? number(view->leader_incarnation) : json_null());
	set(o, "coordinator", any ? number(view->members[0].peer) : json_null());
	set(o, "members", members_of(view));
}

#define ROW_group struct perron_snapshot_group
static json_t *group_row(const struct perron_snapshot_source *source,
			 const struct perron_snapshot_group *row)
{
	json_t *o = json_object();

	(void)source;
	set(o, "peer", number(row->peer));
	set(o, "state", text(row->state));
	set_view(o, &row->view);
	set(o, "at_ns", row->view_at_ns ? number(row->view_at_ns) : json_null());
	set(o, "pending", number(row->pending));
	set(o, "unstable", number(row->unstable));
	set(o, "views", number(row->views));
	set(o, "attempts", number(row->attempts));
	set(o, "shunned", number(row->shunned));
	set(o, "sent", number(row->sent));
	set(o, "delivered", number(row->delivered));
	set(o, "packets", number(row->packets));
	set(o, "retransmitted", number(row->retransmitted));
	set(o, "discarded", number(row->discarded));
	set(o, "would_block", number(row->would_block));
	return o;
}
LIST_HANDLER(group)

json_t *perron_report_history(const struct perron_snapshot_history *row)
{
	json_t *o = json_object();

	set(o, "at_ns", number(row->at_ns));
	set(o, "heard_ns", number(row->heard_ns));
	set(o, "peer", number(row->peer));
	if (!row->neighbour) {
		set_view(o, &row->view);
		return o;
	}
	set(o, "cell", row->member ? text(row->view.cell) : json_null());
	set(o, "neighbour", number(row->neighbour));
	set(o, "silence_ns", number(row->silence_ns));
	set(o, "expected_ns", number(row->expected_ns));
	set(o, "own_gap_ns", number(row->own_gap_ns));
	set(o, "one_way", json_boolean(row->one_way));
	set(o, "cause", text(row->cause));
	return o;
}

#define ROW_history struct perron_snapshot_history
static json_t *history_row(const struct perron_snapshot_source *source,
			   const struct perron_snapshot_history *row)
{
	json_t *o = perron_report_history(row);

	(void)source;
	set(o, "event", text(row->kind));
	return o;
}
LIST_HANDLER(history)

/* How many peers here have joined. */
static uint32_t count_joined(const struct perron_snapshot_source *source, uint32_t *total)
{
	static struct perron_snapshot_peer rows[PERRON_REPORT_ROW_MAX];
	uint32_t joined = 0;

	*total = 0;
	if (!source->peers)
		return 0;
	uint32_t filled = source->peers(source->context, 0, PERRON_REPORT_ROW_MAX, rows, total);
	PERRON_ASSERT(filled <= PERRON_REPORT_ROW_MAX);
	for (uint32_t i = 0; i < filled; i++)
		joined += rows[i].joined;
	return joined;
}

static uint64_t count_drops(const struct perron_snapshot_source *source)
{
	static struct perron_snapshot_drop rows[PERRON_REPORT_ROW_MAX];
	uint64_t sum = 0;
	uint32_t total = 1;

	for (uint32_t first = 0; source->drops && first < total;) {
		uint32_t filled =
		    source->drops(source->context, first, PERRON_REPORT_ROW_MAX, rows, &total);
		if (!filled)
			break;
		for (uint32_t i = 0; i < filled && i < PERRON_REPORT_ROW_MAX; i++)
			sum += rows[i].count;
		first += filled;
	}
	return sum;
}

static uint32_t count_streams(const struct perron_snapshot_source *source)
{
	struct perron_snapshot_stream row;
	uint32_t total = 0;

	if (source->streams)
		source->streams(source->context, 0, 1, &row, &total);
	return total;
}

static uint32_t count_sensors(const struct perron_snapshot_source *source)
{
	struct perron_snapshot_sensor row;
	uint32_t total = 0;

	if (source->sensors)
		source->sensors(source->context, 0, 1, &row, &total);
	return total;
}

static json_t *status(void *context, const json_t *request, char *error, size_t error_size)
{
	static struct perron_snapshot_station row;
	const struct perron_snapshot_source *source = context;
	json_t *o = json_object();
	uint32_t peers;

	(void)request;
	(void)error;
	(void)error_size;
	memset(&row, 0, sizeof(row));
	source->station(source->context, &row);
	set(o, "station", text(row.name));
	set(o, "state", text(row.state));
	set(o, "version", text(row.version));
	set(o, "pid", number(row.pid));
	set(o, "uptime_ns", number(row.uptime_ns));
	set(o, "descriptor", text(row.descriptor));
	set(o, "address", address(row.address));
	set(o, "prefix_length", number(row.prefix_length));
	set(o, "port_base", number(row.port_base));
	set(o, "overlay", number(row.overlay));
	set(o, "depth", number(row.depth));
	set(o, "span", number(row.span));
	set(o, "cell_size", number(row.cell_size));
	set(o, "beat_interval_ns", number(row.beat_interval_ns));
	set(o, "beat_timeout_ns", number(row.beat_timeout_ns));
	set(o, "idle", text(row.idle));
	set(o, "memory", number(row.memory_size));
	set(o, "huge_pages", json_boolean(row.huge_pages));
	set(o, "joined", number(count_joined(source, &peers)));
	set(o, "peers", number(peers));
	set(o, "streams", number(count_streams(source)));
	set(o, "sensors", number(count_sensors(source)));
	set(o, "drops", number(count_drops(source)));
	return o;
}

const struct perron_request perron_report_requests[] = {
    {"status", "the station in one look", status},
    {"tree", "peers of the overlay and their positions", list_tree},
    {"peers", "peers here, their links, the evidence of verdicts", list_peers},
    {"streams", "streams through here", list_streams},
    {"sensors", "sensors here", list_sensors},
    {"cores", "turns, gaps and load of each core", list_cores},
    {"drops", "dropped frames by cause, peer and stream", list_drops},
    {"group", "what peers here are in their cells' groups", list_group},
    {"history", "the last views of their cells, and verdicts on neighbours", list_history},
    {NULL, NULL, NULL},
};
