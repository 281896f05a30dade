/*
 * What people may see: rows of runtime/housekeeping/snapshot.h, filled when asked. Counters of
 * lcores and relays are read while they are written: each is whole, together they may be of
 * different ages.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/station/private.h"
#include "runtime/lcore/count.h"

#define LINK_MAX	PERRON_NEIGHBOUR_COUNT_MAX
#define STREAM_MAX	1024
#define SENSOR_VIEW_MAX 1024
#define DROP_MAX	1024

/* Whether the row of that number is wanted; counts it. */
struct pager {
	uint32_t first;
	uint32_t max;
	uint32_t seen;
	uint32_t filled;
};

static bool pager_takes(struct pager *p)
{
	uint32_t number = p->seen++;

	if (number < p->first || p->filled == p->max)
		return false;
	p->filled++;
	return true;
}

static uint64_t age_ns(const struct perron_station *s, uint64_t at_ns)
{
	return s->now_ns > at_ns ? s->now_ns - at_ns : 0;
}

static const char *station_state(const struct perron_station *s)
{
	if (s->leaving)
		return "leaving";
	if (!s->started)
		return "starting";
	return s->all_joined ? "running" : "joining";
}

static void station_row(void *context, struct perron_snapshot_station *out)
{
	const struct perron_station *s = context;
	const struct perron_descriptor *d = s->descriptor;

	snprintf(out->name, sizeof(out->name), "%s", d->station.name);
	snprintf(out->descriptor, sizeof(out->descriptor), "%s", d->file);
	out->version = PERRON_VERSION;
	out->state = station_state(s);
	out->idle = perron_idle_name(s->choice.idle);
	out->pid = (uint32_t)getpid();
	out->address = d->station.address;
	out->prefix_length = d->station.prefix_length;
	out->port_base = d->overlay.port_base;
	out->overlay = d->overlay.id;
	out->depth = d->overlay.depth;
	out->span = d->overlay.span;
	out->cell_size = d->overlay.cell_size;
	out->huge_pages = s->pages.use;
	out->memory_size = perron_memory_plan_total(&s->plan);
	out->uptime_ns = age_ns(s, s->created_ns);
	out->beat_interval_ns = d->overlay.beat_interval_ns;
	out->beat_timeout_ns = d->overlay.beat_timeout_ns;
}

static void position_text(const struct perron_position *position, char *out)
{
	out[0] = '\0';
	if (position->slot)
		perron_position_print(position, out);
}

static uint32_t siblings_count(const struct perron_view *view)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < view->neighbour_count; i++)
		count += (view->neighbours[i].roles & PERRON_ROLE_SIBLING) != 0;
	return count;
}

static struct perron_snapshot_verdict verdict_row(const struct perron_station *s,
						  const struct station_verdict *verdict)
{
	return (struct perron_snapshot_verdict){
	    .neighbour = verdict->neighbour,
	    .cause = perron_evidence_cause_name(verdict->evidence.cause),
	    .age_ns = age_ns(s, verdict->evidence.at_ns),
	    .silence_ns = verdict->evidence.last_heard_ns,
	    .expected_ns = verdict->evidence.expected_ns,
	    .own_gap_ns = verdict->evidence.own_gap_ns,
	};
}

/* Newest first. */
static void peer_verdicts(const struct perron_station *s, const struct station_peer *peer,
			  struct perron_snapshot_peer *row)
{
	uint32_t last = peer->verdict_count - 1;

	row->verdict_count = peer->verdict_count < PERRON_SNAPSHOT_VERDICT_MAX
				 ? peer->verdict_count
				 : PERRON_SNAPSHOT_VERDICT_MAX;
	for (uint32_t i = 0; i < row->verdict_count; i++)
		row->verdicts[i] = verdict_row(
		    s, &peer->verdicts[(last - i) % PERRON_SNAPSHOT_VERDICT_MAX]);
}

static uint32_t peer_rows(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_peer *out, uint32_t *total)
{
	const struct perron_station *s = context;
	struct pager pager = {first, max, 0, 0};

	for (uint32_t i = 0; i < s->peer_count; i++) {
		const struct station_peer *peer = &s->peers[i];
		if (!pager_takes(&pager))
			continue;
		struct perron_snapshot_peer *row = &out[pager.filled - 1];
		memset(row, 0, sizeof(*row));
		row->id = peer->id;
		row->incarnation = peer->incarnation;
		position_text(&peer->view.position, row->position);
		row->state = perron_overlay_state_name(peer->view.state);
		row->joined = peer->view.state == PERRON_OVERLAY_JOINED;
		row->coordinator = peer->view.coordinator == peer->id;
		row->parent = peer->view.parent;
		row->core = s->lcores[peer->lcore].cpu;
		row->view = (uint32_t)peer->view.version;
		row->member_count = 1 + siblings_count(&peer->view);
		row->join_count = peer->join_count;
		row->joined_after_ns = peer->joined_after_ns;
		row->state_age_ns = age_ns(s, peer->state_since_ns);
		peer_verdicts(s, peer, row);
	}
	*total = pager.seen;
	return pager.filled;
}

static const char *link_role(const struct station_peer *peer, uint32_t neighbour)
{
	if (neighbour & PERRON_CLIENT_ID)
		return "client";
	for (uint32_t i = 0; i < peer->view.neighbour_count; i++) {
		const struct perron_neighbour_view *n = &peer->view.neighbours[i];
		if (n->party.id != neighbour)
			continue;
		if (n->roles & PERRON_ROLE_PARENT)
			return "parent";
		return n->roles & PERRON_ROLE_CHILD ? "child" : "sibling";
	}
	return "portal";
}

static const char *link_state(uint8_t state)
{
	switch ((enum perron_link_state)state) {
	case PERRON_LINK_OPENING:
		return "opening";
	case PERRON_LINK_UP:
		return "alive";
	case PERRON_LINK_DOWN:
		return "suspected";
	case PERRON_LINK_FREE:
		break;
	}
	return "closed";
}

static void link_verdict(const struct perron_station *s, uint32_t peer_index,
			 struct perron_snapshot_link *row)
{
	for (uint32_t i = 0; i < s->suspect_count; i++) {
		const struct station_suspect *suspect = &s->suspects[i];
		if (suspect->peer_index != peer_index || suspect->neighbour != row->neighbour)
			continue;
		row->verdicts = suspect->count;
		row->verdict = verdict_row(s, &suspect->last);
	}
}

static void link_detector(const struct perron_station *s, uint32_t peer_index,
			  struct perron_snapshot_link *row)
{
	struct perron_detector_info info;

	if (!perron_relay_detector_read(s->peers[peer_index].relay, s->now_ns, row->neighbour,
					&info))
		return;
	row->detector = perron_detector_name(info.config.kind);
	row->interval_ns = info.config.interval_ns;
	row->timeout_ns_min = info.config.timeout_ns_min;
	row->timeout_ns_max = info.config.timeout_ns_max;
	row->expected_ns = info.allowed_ns;
	row->suspicion = info.suspicion;
	row->own_gap_ns_max = info.gap_ns_max;
	row->spared = info.spared;
}

static void link_row(const struct perron_station *s, uint32_t peer_index,
		     const struct perron_link_info *info, struct perron_snapshot_link *row)
{
	memset(row, 0, sizeof(*row));
	row->peer = s->peers[peer_index].id;
	row->neighbour = info->party.id;
	row->neighbour_incarnation = info->party.incarnation;
	row->endpoint = info->party.endpoint;
	row->role = link_role(&s->peers[peer_index], info->party.id);
	row->state = link_state(info->state);
	row->last_heard_ns =
	    info->received ? age_ns(s, info->last_heard_ns) : PERRON_SNAPSHOT_NEVER;
	row->round_trip_ns = info->round_trip_ns;
	row->sent = info->sent;
	row->received = info->received;
	row->lost = info->lost;
	row->detector = "none";
	link_detector(s, peer_index, row);
	link_verdict(s, peer_index, row);
}

static uint32_t link_rows(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_link *out, uint32_t *total)
{
	const struct perron_station *s = context;
	static struct perron_link_info infos[LINK_MAX];
	struct pager pager = {first, max, 0, 0};

	for (uint32_t i = 0; i < s->peer_count; i++) {
		uint32_t count = perron_relay_links_read(s->peers[i].relay, infos, LINK_MAX);
		for (uint32_t k = 0; k < count; k++)
			if (pager_takes(&pager))
				link_row(s, i, &infos[k], &out[pager.filled - 1]);
	}
	*total = pager.seen;
	return pager.filled;
}

/* The name of a stream that the peer's overlay knows, or its number. */
static void stream_name(uint32_t stream, const struct perron_sensor_view *sensors, uint32_t count,
			char *out, size_t out_size)
{
	for (uint32_t i = 0; i < count; i++) {
		if (sensors[i].stream != stream)
			continue;
		snprintf(out, out_size, "%s", sensors[i].name);
		return;
	}
	snprintf(out, out_size, "%08x", stream);
}

static void stream_row(uint32_t peer, const struct perron_path_info *path,
		       struct perron_snapshot_stream *row)
{
	*row = (struct perron_snapshot_stream){
	    .peer = peer,
	    .stream = path->stream,
	    .class = path->class,
	    .role = path->origin ? "origin" : "relay",
	    .upstream = path->upstream,
	    .branch_count = path->branch_count,
	    .client_count = path->client_count,
	    .latency_max_us = path->deadline_us,
	    .sequence_last = path->high,
	    .acknowledged = path->acked,
	    .frames = path->received,
	    .bytes = path->bytes,
	    .held = path->held,
	    .retries = path->retried,
	    .late = path->late,
	    .abandoned = path->abandoned,
	    .dropped = path->dropped,
	};
}

static uint32_t stream_rows(void *context, uint32_t first, uint32_t max,
			    struct perron_snapshot_stream *out, uint32_t *total)
{
	const struct perron_station *s = context;
	static struct perron_path_info paths[STREAM_MAX];
	static struct perron_sensor_view sensors[SENSOR_VIEW_MAX];
	struct pager pager = {first, max, 0, 0};

	for (uint32_t i = 0; i < s->peer_count; i++) {
		const struct station_peer *peer = &s->peers[i];
		uint32_t count = perron_relay_paths_read(peer->relay, paths, STREAM_MAX);
		uint32_t known =
		    count ? s->ops->sensors(peer->overlay, sensors, SENSOR_VIEW_MAX) : 0;
		for (uint32_t k = 0; k < count; k++) {
			if (!pager_takes(&pager))
				continue;
			struct perron_snapshot_stream *row = &out[pager.filled - 1];
			stream_row(peer->id, &paths[k], row);
			stream_name(row->stream, sensors, known, row->sensor, sizeof(row->sensor));
		}
	}
	*total = pager.seen;
	return pager.filled;
}

static void sensor_row(const struct perron_station *s, uint32_t index,
		       struct perron_snapshot_sensor *row)
{
	const struct perron_descriptor_sensor *d = &s->descriptor->sensors[index];
	struct perron_sensor_status status;

	memset(row, 0, sizeof(*row));
	perron_sensor_loop_status(s->sensor_loop, index, &status);
	snprintf(row->name, sizeof(row->name), "%s", d->name);
	snprintf(row->driver, sizeof(row->driver), "%s", d->driver.name);
	row->peer = d->peer;
	row->class = d->class;
	row->state = perron_sensor_state_name(status.state);
	snprintf(row->why, sizeof(row->why), "%s%s%s", status.why ? status.why : "",
		 status.error_number ? ": " : "",
		 status.error_number ? strerror(status.error_number) : "");
	perron_sensor_reading_print(&status.reading, row->reading, sizeof(row->reading));
	row->messages = status.counters.messages;
	row->bytes = status.counters.bytes;
	for (uint32_t i = 0; i < PERRON_SENSOR_BAD_COUNT; i++)
		row->bad += status.counters.bad[i];
	row->missed = status.counters.missed;
	row->would_block = status.counters.would_block;
	row->reopens = status.counters.reopens;
	row->last_message_ns = status.counters.last_message_ns
				   ? age_ns(s, status.counters.last_message_ns)
				   : PERRON_SNAPSHOT_NEVER;
}

static uint32_t sensor_rows(void *context, uint32_t first, uint32_t max,
			    struct perron_snapshot_sensor *out, uint32_t *total)
{
	const struct perron_station *s = context;
	struct pager pager = {first, max, 0, 0};

	for (uint32_t i = 0; s->sensor_loop && i < s->sensor_count; i++)
		if (pager_takes(&pager))
			sensor_row(s, i, &out[pager.filled - 1]);
	*total = pager.seen;
	return pager.filled;
}

static void core_row(const struct perron_station *s, const struct perron_lcore *l,
		     struct perron_snapshot_core *row)
{
	uint64_t stepped = perron_count_read(&l->counters.stepped);
	uint64_t busy_ns = perron_count_read(&l->duty.busy_ns);
	uint64_t cycles =
	    (uint64_t)((unsigned __int128)busy_ns * perron_clock_tsc_hz() / 1000000000);

	memset(row, 0, sizeof(*row));
	row->core = l->cpu;
	row->role = "worker";
	row->idle = perron_idle_name(l->idle);
	for (uint32_t i = 0; i < s->peer_count; i++)
		row->peer_count += s->peers[i].lcore == l->index;
	row->isolated = perron_core_set_has(&s->cores.isolated, l->cpu);
	row->stalled = s->watches[l->index].stalled;
	row->stalls = s->watches[l->index].stalls;
	row->turns = perron_count_read(&l->duty.turns);
	row->turns_over = perron_count_read(&l->duty.turns_over);
	row->turn_threshold_ns = l->duty.threshold_ns;
	row->turn_ns_max = perron_count_read(&l->duty.turn_ns_max);
	row->gap_ns_max = perron_count_read(&l->duty.gap_ns_max);
	row->busy_ppm = perron_duty_busy_ppm(&l->duty);
	row->busy_ns = busy_ns;
	row->frames_received = perron_count_read(&l->counters.received);
	row->frames_sent = perron_count_read(&l->counters.sent);
	row->cycles_per_frame = stepped ? cycles / stepped : 0;
}

/* As the workers have seen it; each sees the same stall. */
static uint64_t housekeeping_stalls(const struct perron_station *s)
{
	uint64_t most = 0;

	for (uint32_t i = 0; i < s->lcore_count; i++) {
		uint64_t seen = perron_count_read(&s->lcores[i].counters.housekeeping_stalls);
		most = seen > most ? seen : most;
	}
	return most;
}

static uint32_t core_rows(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_core *out, uint32_t *total)
{
	const struct perron_station *s = context;
	struct pager pager = {first, max, 0, 0};

	if (pager_takes(&pager))
		out[0] = (struct perron_snapshot_core){
		    .core = s->choice.housekeeping,
		    .role = "housekeeping",
		    .idle = "backoff",
		    .isolated = perron_core_set_has(&s->cores.isolated, s->choice.housekeeping),
		    .stalls = housekeeping_stalls(s),
		    .turns = atomic_load_explicit(&s->beat, memory_order_relaxed),
		};
	for (uint32_t i = 0; i < s->lcore_count; i++)
		if (pager_takes(&pager))
			core_row(s, &s->lcores[i], &out[pager.filled - 1]);
	*total = pager.seen;
	return pager.filled;
}

static void drop_row(struct pager *pager, struct perron_snapshot_drop *out, uint32_t cause,
		     uint32_t peer, uint32_t stream, uint64_t count)
{
	if (count && pager_takes(pager))
		out[pager->filled - 1] = (struct perron_snapshot_drop){
		    .cause = (uint8_t)cause, .peer = peer, .stream = stream, .count = count};
}

static uint64_t command_drops(const struct perron_station *s, uint32_t cause)
{
	return cause == PERRON_DROP_COMMAND_FULL ? s->command_drops : 0;
}

/*
 * A peer's drops: stream after stream, and then by cause those that are no open stream's. The
 * streams are read first, so that what is left over is never less than nothing for a drop that
 * happens in between.
 */
static void peer_drop_rows(const struct perron_station *s, const struct station_peer *peer,
			   struct pager *pager, struct perron_snapshot_drop *out)
{
	static struct perron_relay_drop drops[DROP_MAX];
	const uint64_t *control = s->ops->drops(peer->overlay);
	uint32_t count = perron_relay_drops_read(peer->relay, drops, DROP_MAX);
	uint64_t told[PERRON_DROP_COUNT] = {0};
	struct perron_relay_counters counters;

	perron_relay_counters_read(peer->relay, &counters);
	for (uint32_t i = 0; i < count; i++) {
		told[drops[i].cause] += drops[i].count;
		drop_row(pager, out, drops[i].cause, peer->id, drops[i].stream, drops[i].count);
	}
	for (uint32_t cause = 1; cause < PERRON_DROP_COUNT; cause++) {
		uint64_t all = counters.drop[cause] + control[cause];
		drop_row(pager, out, cause, peer->id, 0,
			 all > told[cause] ? all - told[cause] : 0);
	}
}

/* First what was dropped before a peer was known, then peer after peer. */
static uint32_t drop_rows(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_drop *out, uint32_t *total)
{
	const struct perron_station *s = context;
	struct pager pager = {first, max, 0, 0};

	for (uint32_t cause = 1; cause < PERRON_DROP_COUNT; cause++) {
		uint64_t count = command_drops(s, cause);
		for (uint32_t l = 0; l < s->lcore_count; l++)
			count += perron_count_read(&s->lcores[l].counters.drop[cause]);
		drop_row(&pager, out, cause, 0, 0, count);
	}
	for (uint32_t i = 0; i < s->peer_count; i++)
		peer_drop_rows(s, &s->peers[i], &pager, out);
	*total = pager.seen;
	return pager.filled;
}

static uint32_t sensors_of(const struct perron_station *s, uint32_t peer)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->descriptor->sensor_count; i++)
		count += s->descriptor->sensors[i].peer == peer;
	for (uint32_t i = 0; i < s->config.source_count; i++)
		count += s->config.sources[i].peer == peer;
	return count;
}

static void node_here(const struct perron_station *s, const struct station_peer *peer,
		      struct perron_snapshot_node *row)
{
	memset(row, 0, sizeof(*row));
	row->peer = peer->id;
	position_text(&peer->view.position, row->position);
	row->address = s->descriptor->station.address;
	row->parent = peer->view.parent;
	row->coordinator = peer->view.coordinator == peer->id;
	row->here = true;
	row->alive = true;
	row->sensor_count = sensors_of(s, peer->id);
}

static void node_there(const struct station_peer *peer, const struct perron_neighbour_view *n,
		       struct perron_snapshot_node *row)
{
	memset(row, 0, sizeof(*row));
	row->peer = n->party.id;
	position_text(&n->position, row->position);
	row->address = n->party.endpoint.address;
	row->parent = n->roles & PERRON_ROLE_CHILD ? peer->id : 0;
	row->coordinator = peer->view.coordinator == n->party.id;
	row->alive = n->up;
}

/* Whether a peer of this station, or a neighbour of an earlier one, is that peer. */
static bool node_is_told(const struct perron_station *s, uint32_t peer_index, uint32_t id)
{
	for (uint32_t i = 0; i < s->peer_count; i++) {
		if (s->peers[i].id == id)
			return true;
		for (uint32_t k = 0; i < peer_index && k < s->peers[i].view.neighbour_count; k++)
			if (s->peers[i].view.neighbours[k].party.id == id)
				return true;
	}
	return false;
}

/* What this station knows of the tree: its peers and their neighbours. */
static uint32_t node_rows(void *context, uint32_t first, uint32_t max,
			  struct perron_snapshot_node *out, uint32_t *total)
{
	const struct perron_station *s = context;
	struct pager pager = {first, max, 0, 0};

	for (uint32_t i = 0; i < s->peer_count; i++)
		if (pager_takes(&pager))
			node_here(s, &s->peers[i], &out[pager.filled - 1]);
	for (uint32_t i = 0; i < s->peer_count; i++)
		for (uint32_t k = 0; k < s->peers[i].view.neighbour_count; k++) {
			const struct perron_neighbour_view *n = &s->peers[i].view.neighbours[k];
			if (!node_is_told(s, i, n->party.id) && pager_takes(&pager))
				node_there(&s->peers[i], n, &out[pager.filled - 1]);
		}
	*total = pager.seen;
	return pager.filled;
}

void station_snapshot_init(struct perron_station *s)
{
	s->snapshot = (struct perron_snapshot_source){
	    .context = s,
	    .station = station_row,
	    .peers = peer_rows,
	    .links = link_rows,
	    .streams = stream_rows,
	    .sensors = sensor_rows,
	    .cores = core_rows,
	    .drops = drop_rows,
	    .tree = node_rows,
	    .group = station_group_rows,
	    .history = station_history_rows,
	};
}
