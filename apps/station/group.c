/*
 * What is known of cells' groups, kept and told; and the runs of a load on them, which the command
 * socket steers by `group-load`.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apps/station/private.h"
#include "runtime/housekeeping/report.h"

_Static_assert(PERRON_SNAPSHOT_MEMBER_MAX >= PERRON_GROUP_MEMBER_COUNT_MAX, "room for a view");

/* The peer's cell, as its overlay has it. */
static void cell_learn(struct perron_station *s, struct station_peer *peer)
{
	s->ops->view(peer->overlay, s->now_ns, &peer->view);
	struct perron_position cell = peer->view.position;

	cell.slot = 0;
	perron_position_print(&cell, peer->group_cell);
}

static void view_fill(const struct perron_group_view *from, const char *cell,
		      struct perron_snapshot_view *out)
{
	*out = (struct perron_snapshot_view){
	    .number = from->id.number,
	    .leader = from->id.peer,
	    .leader_incarnation = from->id.incarnation,
	    .member_count = from->member_count,
	};
	snprintf(out->cell, sizeof(out->cell), "%s", cell);
	for (uint32_t i = 0; i < from->member_count; i++)
		out->members[i] = (struct perron_snapshot_member){
		    .peer = from->members[i].peer,
		    .incarnation = from->members[i].incarnation,
		    .life = from->members[i].life,
		    .slot = from->members[i].slot,
		};
}

static void history_add(struct perron_station *s, const struct perron_snapshot_history *row)
{
	s->history[s->history_count++ % STATION_HISTORY_MAX] = *row;
	station_publish(s, row->kind, perron_report_history(row));
}

static void view_say(const struct perron_station *s, uint32_t peer,
		     const struct perron_snapshot_view *view)
{
	if (view->member_count)
		station_say(s, "peer %u: view %u@%u of cell %s, %u members", peer, view->number,
			    view->leader, view->cell, view->member_count);
	else
		station_say(s, "peer %u: left the view of cell %s", peer, view->cell);
}

/* A view is told again when housekeeping asked for it: an event may have been lost. */
static bool is_told(const struct station_peer *peer, const struct perron_group_view *view)
{
	const struct perron_group_view *last = &peer->group_view;

	return view->member_count == last->member_count &&
	       (!view->member_count || perron_group_view_id_equal(&view->id, &last->id));
}

void station_group_view(struct perron_station *s, uint32_t peer_index,
			const struct perron_event *event)
{
	struct station_peer *peer = &s->peers[peer_index];
	struct perron_group_view view;

	PERRON_ASSERT(event->payload_size == sizeof(view));
	memcpy(&view, event->payload, sizeof(view));
	struct perron_snapshot_history row = {
	    .kind = view.transitional ? "transitional" : "view",
	    .peer = peer->id,
	    .at_ns = event->sequence,
	    .heard_ns = perron_clock_now_ns(),
	};
	if (!view.transitional && is_told(peer, &view))
		return;
	/* Of a view without members: the cell that it has left. */
	if (view.member_count && (view.cell != peer->group_view.cell || !peer->group_cell[0]))
		cell_learn(s, peer);
	view_fill(&view, peer->group_cell, &row.view);
	if (!view.transitional) {
		peer->group_view = view;
		peer->group_view_at_ns = event->sequence;
		view_say(s, peer->id, &row.view);
	}
	history_add(s, &row);
}

static bool is_member(const struct perron_group_view *view, uint32_t peer)
{
	for (uint32_t i = 0; i < view->member_count; i++)
		if (view->members[i].peer == peer)
			return true;
	return false;
}

void station_group_verdict(struct perron_station *s, uint32_t peer_index,
			   const struct perron_event *event)
{
	const struct station_peer *peer = &s->peers[peer_index];
	const struct perron_evidence *evidence = &event->evidence;
	struct perron_snapshot_history row = {
	    .kind = "link-down",
	    .peer = peer->id,
	    .at_ns = evidence->at_ns,
	    .heard_ns = perron_clock_now_ns(),
	    .neighbour = event->party.id,
	    .member = is_member(&peer->group_view, event->party.id),
	    .one_way = evidence->one_way,
	    .cause = perron_evidence_cause_name(evidence->cause),
	    .silence_ns = evidence->last_heard_ns,
	    .expected_ns = evidence->expected_ns,
	    .own_gap_ns = evidence->own_gap_ns,
	};

	view_fill(&peer->group_view, peer->group_cell, &row.view);
	history_add(s, &row);
}

static void group_row(const struct station_peer *peer, struct perron_snapshot_group *row)
{
	struct perron_group_info info;

	perron_group_info(perron_relay_group(peer->relay), &info);
	const struct perron_group_counters *c = &info.counters;
	*row = (struct perron_snapshot_group){
	    .peer = peer->id,
	    .state = perron_group_state_name(info.state),
	    .pending = info.pending,
	    .unstable = info.unstable,
	    .views = c->views,
	    .attempts = c->attempts,
	    .shunned = c->shunned,
	    .sent = c->sent,
	    .delivered = c->delivered,
	    .packets = c->packets,
	    .retransmitted = c->retransmitted,
	    .discarded = c->discarded,
	    .would_block = c->would_block,
	};
	/* As it was told: whole, and in the order of what is published. */
	if (info.state == PERRON_GROUP_STATE_NONE)
		return;
	view_fill(&peer->group_view, peer->group_cell, &row->view);
	row->view_at_ns = peer->group_view_at_ns;
}

uint32_t station_group_rows(void *context, uint32_t first, uint32_t max,
			    struct perron_snapshot_group *out, uint32_t *total)
{
	const struct perron_station *s = context;
	uint32_t filled = 0;

	for (uint32_t i = first; i < s->peer_count && filled < max; i++)
		group_row(&s->peers[i], &out[filled++]);
	*total = s->peer_count;
	return filled;
}

uint32_t station_history_rows(void *context, uint32_t first, uint32_t max,
			      struct perron_snapshot_history *out, uint32_t *total)
{
	const struct perron_station *s = context;
	uint64_t count = s->history_count;
	uint64_t gone = count > STATION_HISTORY_MAX ? count - STATION_HISTORY_MAX : 0;
	uint32_t filled = 0;

	for (uint64_t i = gone + first; i < count && filled < max; i++)
		out[filled++] = s->history[i % STATION_HISTORY_MAX];
	*total = (uint32_t)(count - gone);
	return filled;
}

/* ---- the load ---- */

static const struct {
	const char *name;
	uint32_t ppm;
} percentiles[] = {
    {"p50", 500000}, {"p90", 900000}, {"p99", 990000}, {"p999", 999000}, {"max", 1000000},
};

static json_t *count_of(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *histogram_body(const struct perron_histogram *h)
{
	json_t *o = json_pack("{s:o,s:o}", "count", count_of(h->count), "mean",
			      count_of(perron_histogram_mean_ns(h)));

	for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		json_object_set_new(
		    o, percentiles[i].name,
		    count_of(perron_histogram_percentile_ns(h, percentiles[i].ppm)));
	return o;
}

static void result_add(json_t *o, const struct group_load *load)
{
	const struct group_load_result *r = &load->result;
	const struct {
		const char *name;
		uint64_t value;
	} counts[] = {
	    {"members", r->member_count},
	    {"views", r->views},
	    {"sent", r->sent},
	    {"would_block", r->would_block},
	    {"own", r->own},
	    {"messages", r->messages},
	    {"bytes", r->bytes},
	    {"first_ns", r->first_ns},
	    {"last_ns", r->last_ns},
	    {"orders", r->orders},
	    {"order_full", r->order_full},
	    {"tokens", r->tokens},
	};

	json_object_set_new(o, "mode", json_string(group_load_mode_name(load->config.mode)));
	json_object_set_new(o, "service",
			    json_string(perron_group_service_name(load->config.service)));
	json_object_set_new(o, "size", count_of(load->config.size));
	json_object_set_new(o, "period_ns", count_of(load->config.period_ns));
	json_object_set_new(o, "length_ns", count_of(load->config.length_ns));
	json_object_set_new(o, "sends", json_boolean(load->config.sends));
	json_object_set_new(o, "error", r->error ? json_string(strerror(-r->error)) : json_null());
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		json_object_set_new(o, counts[i].name, count_of(counts[i].value));
	json_object_set_new(o, "latency_ns", histogram_body(&r->latency));
	json_object_set_new(o, "one_way_ns", histogram_body(&r->one_way));
}

static json_t *load_read(const struct station_peer *peer)
{
	static const char *const names[] = {[GROUP_LOAD_IDLE] = "starting",
					    [GROUP_LOAD_RUNNING] = "running",
					    [GROUP_LOAD_DONE] = "done"};
	const struct group_load *load = &peer->host->load;
	enum group_load_state state = group_load_state_of(load, peer->load_run);
	json_t *o =
	    json_pack("{s:I,s:I,s:s}", "peer", (json_int_t)peer->id, "run",
		      (json_int_t)peer->load_run, "state", peer->load_run ? names[state] : "idle");

	if (peer->load_run && state == GROUP_LOAD_DONE)
		result_add(o, load);
	return o;
}

static int load_push(struct perron_station *s, const struct station_peer *peer,
		     const struct station_load_command *command, char *error, size_t error_size)
{
	if (station_command_push(s, peer->lcore, peer->machine, command, sizeof(*command)))
		return 0;
	snprintf(error, error_size, "the lcore's ring of commands is full; try again");
	return -EAGAIN;
}

static json_int_t number_of(const json_t *request, const char *key, json_int_t otherwise)
{
	const json_t *value = json_object_get(request, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static int config_read(const json_t *request, struct group_load_config *c)
{
	const char *mode = json_string_value(json_object_get(request, "mode"));
	const char *service = json_string_value(json_object_get(request, "service"));
	int mode_index = group_load_mode_from_name(mode ? mode : "latency");
	int service_index = perron_group_service_from_name(service ? service : "agreed");
	json_int_t size = number_of(request, "size", 200);

	if (mode_index < 0 || service_index < 0 || size < 0 || size > UINT32_MAX)
		return -EINVAL;
	*c = (struct group_load_config){
	    .run = (uint32_t)number_of(request, "run", 1),
	    .mode = (uint8_t)mode_index,
	    .service = (uint8_t)service_index,
	    .sends = !json_is_false(json_object_get(request, "sends")),
	    .leads = json_is_true(json_object_get(request, "leads")),
	    .size = (uint32_t)size,
	    .period_ns = (uint64_t)number_of(request, "period_ns", 1000000),
	    .length_ns = (uint64_t)number_of(request, "length_ns", 1000000000),
	};
	return group_load_config_is_valid(c) ? 0 : -EINVAL;
}

/* Whether a run may begin; a reason if not. */
static int load_permit(const struct perron_station *s, const struct station_peer *peer,
		       const struct group_load_config *config, char *error, size_t error_size)
{
	struct perron_group_config group;

	station_group_config(s->descriptor, &group);
	if (config->size > perron_group_message_size_max(&group)) {
		snprintf(error, error_size,
			 "'size' is %u; expected at most %u, or a larger group.window and "
			 "group.pending",
			 config->size, perron_group_message_size_max(&group));
		return -EMSGSIZE;
	}
	if (peer->group_view.member_count < 2) {
		snprintf(error, error_size,
			 "peer %u is in no view of more than one member; see perron group show",
			 peer->id);
		return -ENOTCONN;
	}
	if (peer->load_run && peer->load_run != config->run &&
	    group_load_state_of(&peer->host->load, peer->load_run) != GROUP_LOAD_DONE) {
		snprintf(error, error_size,
			 "another run is under way at peer %u; wait for its end, or stop it",
			 peer->id);
		return -EBUSY;
	}
	return 0;
}

static int load_start(struct perron_station *s, struct station_peer *peer, const json_t *request,
		      char *error, size_t error_size)
{
	struct station_load_command command = {.kind = STATION_COMMAND_LOAD, .start = true};

	if (config_read(request, &command.config)) {
		snprintf(error, error_size,
			 "a run that cannot be; expected a mode, a service, a size from %u to %u, "
			 "period_ns to a minute, length_ns to an hour, a run's number",
			 GROUP_LOAD_SIZE_MIN, GROUP_LOAD_SIZE_MAX);
		return -EINVAL;
	}
	int ret = load_permit(s, peer, &command.config, error, error_size);
	if (!ret)
		ret = load_push(s, peer, &command, error, error_size);
	if (!ret)
		peer->load_run = command.config.run;
	return ret;
}

static struct station_peer *peer_of(struct perron_station *s, const json_t *request, char *error,
				    size_t error_size)
{
	json_int_t id = number_of(request, "peer", s->peers[0].id);

	for (uint32_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].id == id)
			return &s->peers[i];
	snprintf(error, error_size,
		 "no peer %" JSON_INTEGER_FORMAT " here; perron peers lists them", id);
	return NULL;
}

/* {"peer":1,"action":"start"|"stop"|"read",...}: steers and reads the load of a peer here. */
static json_t *group_load(void *context, const json_t *request, char *error, size_t error_size)
{
	const struct perron_snapshot_source *source = context;
	struct perron_station *s = source->context;
	const char *action = json_string_value(json_object_get(request, "action"));
	struct station_peer *peer = peer_of(s, request, error, error_size);
	int ret = peer ? 0 : -ENOENT;

	if (!ret && action && !strcmp(action, "start")) {
		ret = load_start(s, peer, request, error, error_size);
	} else if (!ret && action && !strcmp(action, "stop")) {
		const struct station_load_command command = {.kind = STATION_COMMAND_LOAD};
		ret = load_push(s, peer, &command, error, error_size);
	} else if (!ret && action && strcmp(action, "read")) {
		snprintf(error, error_size, "'action' is to be start, stop or read");
		ret = -EINVAL;
	}
	return ret ? NULL : load_read(peer);
}

void station_requests_init(struct perron_station *s)
{
	static const struct perron_request own[] = {
	    {"group-load", "begins, ends and reads a load on a peer's group", group_load},
	    {NULL, NULL, NULL},
	};
	uint32_t count = 0;

	while (perron_report_requests[count].name) {
		s->requests[count] = perron_report_requests[count];
		count++;
	}
	PERRON_ASSERT(count + sizeof(own) / sizeof(own[0]) <= STATION_REQUEST_MAX);
	memcpy(&s->requests[count], own, sizeof(own));
}
