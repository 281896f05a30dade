/*
 * Housekeeping's machines: each peer's overlay hears of its relay by events, is ticked, and steers
 * the relay by commands. A command that finds its lcore's ring full waits, with all that come after
 * it for that lcore, in a ring of the same size; what finds no room there either is dropped and
 * counted, and the overlay's own timers make up for it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "apps/station/private.h"
#include "runtime/lcore/loop.h"

/* Events of one lcore that are taken in one turn. */
#define EVENT_TURN 256

static bool waiting_flush(struct perron_station *s, uint32_t lcore)
{
	struct perron_spsc *waiting = s->retries[lcore];
	struct perron_lcore *l = &s->lcores[lcore];
	uint32_t size, machine;
	const void *record;
	bool any = false;

	while ((record = perron_spsc_peek(waiting, &size, &machine))) {
		if (!perron_spsc_push(l->commands, machine, record, size))
			return any;
		perron_spsc_pop(waiting);
		any = true;
	}
	return any;
}

bool station_command_push(struct perron_station *s, uint32_t lcore, uint32_t machine,
			  const void *record, uint32_t size)
{
	struct perron_lcore *l = &s->lcores[lcore];

	PERRON_ASSERT(lcore < s->lcore_count && machine < l->machine_count);
	if (perron_spsc_is_empty(s->retries[lcore]) &&
	    perron_spsc_push(l->commands, machine, record, size)) {
		perron_lcore_wake(l);
		return true;
	}
	if (perron_spsc_push(s->retries[lcore], machine, record, size)) {
		s->commands_retried++;
		return true;
	}
	s->command_drops++;
	return false;
}

static void effects_apply(struct perron_station *s, struct station_peer *peer)
{
	for (uint32_t i = 0; i < s->effects.count; i++) {
		const struct perron_effect *e = &s->effects.items[i];
		if (e->kind == PERRON_EFFECT_COMMAND)
			(void)station_command_push(s, peer->lcore, peer->machine, e->data, e->size);
		else
			PERRON_ASSERT(e->kind == PERRON_EFFECT_EVENT);
	}
	s->command_drops += s->effects.dropped;
	s->effects.dropped = 0;
	perron_effects_reset(&s->effects);
	peer->deadline_ns = s->ops->deadline_ns(peer->overlay);
	peer->dirty = true;
}

static json_t *party_body(const struct station_peer *peer, const struct perron_event *event)
{
	return json_pack("{s:I,s:I}", "peer", (json_int_t)peer->id, "neighbour",
			 (json_int_t)event->party.id);
}

static struct station_suspect *suspect_of(struct perron_station *s, uint32_t peer_index,
					  uint32_t neighbour)
{
	const struct station_suspect fresh = {.peer_index = peer_index, .neighbour = neighbour};

	for (uint32_t i = 0; i < s->suspect_count; i++)
		if (s->suspects[i].peer_index == peer_index &&
		    s->suspects[i].neighbour == neighbour)
			return &s->suspects[i];
	struct station_suspect *at = &s->suspects[0];
	if (s->suspect_count < STATION_SUSPECT_MAX)
		at = &s->suspects[s->suspect_count++];
	else
		for (uint32_t i = 1; i < STATION_SUSPECT_MAX; i++)
			if (s->suspects[i].last.evidence.at_ns < at->last.evidence.at_ns)
				at = &s->suspects[i];
	*at = fresh;
	return at;
}

static void verdict_keep(struct perron_station *s, uint32_t peer_index,
			 const struct perron_event *event)
{
	struct station_peer *peer = &s->peers[peer_index];
	struct station_suspect *suspect = suspect_of(s, peer_index, event->party.id);

	suspect->count++;
	suspect->last = (struct station_verdict){
	    .neighbour = event->party.id, .evidence = event->evidence};
	peer->verdicts[peer->verdict_count++ % PERRON_SNAPSHOT_VERDICT_MAX] = suspect->last;
}

static void link_down(struct perron_station *s, uint32_t peer_index,
		      const struct perron_event *event)
{
	const struct perron_evidence *evidence = &event->evidence;
	const struct station_peer *peer = &s->peers[peer_index];
	const char *cause = perron_evidence_cause_name(evidence->cause);

	verdict_keep(s, peer_index, event);
	station_say(
	    s, "peer %u: link to %u is down (%s): silent for %.1f ms of at most %.1f, own gap %.1f",
	    peer->id, event->party.id, cause, (double)evidence->last_heard_ns / 1e6,
	    (double)evidence->expected_ns / 1e6, (double)evidence->own_gap_ns / 1e6);
	station_group_verdict(s, peer_index, event);
}

/* What people want to know of an event; the overlay decides for itself. */
static void event_tell(struct perron_station *s, uint32_t peer_index,
		       const struct perron_event *event)
{
	struct station_peer *peer = &s->peers[peer_index];

	switch ((enum perron_event_kind)event->kind) {
	case PERRON_EVENT_LINK_UP:
		station_publish(s, "link-up", party_body(peer, event));
		break;
	case PERRON_EVENT_LINK_DOWN:
		link_down(s, peer_index, event);
		break;
	case PERRON_EVENT_ABANDONED:
		peer->abandoned++;
		station_publish(s, "abandoned",
				json_pack("{s:I,s:I,s:I}", "peer", (json_int_t)peer->id, "stream",
					  (json_int_t)event->stream, "sequence",
					  (json_int_t)event->sequence));
		break;
	case PERRON_EVENT_CLIENT_LAG:
		peer->client_lag++;
		station_publish(s, "client-lag", party_body(peer, event));
		break;
	case PERRON_EVENT_VIEW:
		station_group_view(s, peer_index, event);
		break;
	case PERRON_EVENT_ORPHANED:
		station_publish(s, "orphaned", party_body(peer, event));
		station_say(s, "peer %u: holds frames of stream %08x for peer %u, which is gone",
			    peer->id, event->stream, event->party.id);
		break;
	case PERRON_EVENT_NONE:
	case PERRON_EVENT_CONTROL:
	case PERRON_EVENT_BRANCH_READY:
	case PERRON_EVENT_RESUME:
	case PERRON_EVENT_COUNT:
		break;
	}
}

static bool events_take(struct perron_station *s, uint32_t lcore)
{
	struct perron_lcore *l = &s->lcores[lcore];
	uint32_t size, machine, count = 0;
	const void *record;

	while (count < EVENT_TURN && (record = perron_spsc_peek(l->events, &size, &machine))) {
		const struct station_machine *owner =
		    &s->machine_owners[(l->machines - s->machines) + machine];
		PERRON_ASSERT(!owner->is_client && size >= sizeof(struct perron_event));
		struct station_peer *peer = &s->peers[owner->index];
		event_tell(s, owner->index, record);
		s->ops->event(peer->overlay, s->now_ns, record, &s->effects);
		perron_spsc_pop(l->events);
		effects_apply(s, peer);
		count++;
	}
	return count > 0;
}

static void state_tell(struct perron_station *s, const struct station_peer *peer)
{
	const struct perron_view *view = &peer->view;
	char position[PERRON_POSITION_TEXT_MAX] = "";

	if (view->position.slot)
		perron_position_print(&view->position, position);
	station_say(s, "peer %u: %s%s%s%s%s", peer->id, perron_overlay_state_name(view->state),
		    position[0] ? " at " : "", position, view->why[0] ? ": " : "", view->why);
	station_publish(s, view->state == PERRON_OVERLAY_JOINED ? "joined" : "state",
			json_pack("{s:I,s:s,s:s,s:I,s:s}", "peer", (json_int_t)peer->id, "state",
				  perron_overlay_state_name(view->state), "position", position,
				  "parent", (json_int_t)view->parent, "why", view->why));
}

static void view_take(struct perron_station *s, struct station_peer *peer)
{
	uint8_t before = peer->view.state;
	bool first = peer->state_since_ns == 0;

	peer->dirty = false;
	s->ops->view(peer->overlay, s->now_ns, &peer->view);
	if (!first && peer->view.state == before)
		return;
	peer->state_since_ns = s->now_ns;
	if (peer->view.state == PERRON_OVERLAY_JOINED) {
		if (peer->join_count++ == 0)
			peer->joined_after_ns = s->now_ns - s->created_ns;
	}
	if (peer->view.state == PERRON_OVERLAY_REFUSED)
		s->refused = peer->id;
	state_tell(s, peer);
}

static bool overlay_tick(struct perron_station *s, struct station_peer *peer)
{
	if (peer->deadline_ns > s->now_ns)
		return false;
	s->ops->tick(peer->overlay, s->now_ns, &s->effects);
	effects_apply(s, peer);
	return true;
}

bool station_control_turn(struct perron_station *s)
{
	bool any = false;

	for (uint32_t i = 0; i < s->lcore_count; i++) {
		any |= waiting_flush(s, i);
		any |= events_take(s, i);
	}
	for (uint32_t i = 0; i < s->peer_count; i++) {
		any |= overlay_tick(s, &s->peers[i]);
		if (s->peers[i].dirty)
			view_take(s, &s->peers[i]);
	}
	return any;
}

uint64_t station_control_deadline_ns(const struct perron_station *s)
{
	uint64_t deadline_ns = UINT64_MAX;

	for (uint32_t i = 0; i < s->peer_count; i++)
		if (s->peers[i].deadline_ns < deadline_ns)
			deadline_ns = s->peers[i].deadline_ns;
	return deadline_ns;
}

static int sensor_attach(struct perron_station *s, struct station_peer *peer, const char *name,
			 char *error, size_t error_size)
{
	int ret = s->ops->attach(peer->overlay, s->now_ns, name, &s->effects);

	effects_apply(s, peer);
	if (ret)
		snprintf(error, error_size, "sensor '%s' at peer %u: %s", name, peer->id,
			 ret == -EEXIST	  ? "its name is taken; expected one for each sensor"
			 : ret == -ENOSPC ? "no room; raise limits.sensors"
					  : "not a name for a sensor");
	return ret;
}

int station_control_start(struct perron_station *s, char *error, size_t error_size)
{
	const struct perron_descriptor *d = s->descriptor;
	int ret = 0;

	for (uint32_t i = 0; i < d->sensor_count && !ret; i++)
		ret = sensor_attach(s, &s->peers[d->sensors[i].peer_index], d->sensors[i].name,
				    error, error_size);
	for (uint32_t i = 0; i < s->config.source_count && !ret; i++)
		for (uint32_t p = 0; p < s->peer_count && !ret; p++)
			if (s->peers[p].id == s->config.sources[i].peer)
				ret = sensor_attach(s, &s->peers[p], s->config.sources[i].name,
						    error, error_size);
	return ret;
}

/* Overlay time follows CLOCK_REALTIME: every relay is told, and the hosts of traced frames too. */
void station_control_clock(struct perron_station *s)
{
	uint64_t offset_ns = (uint64_t)perron_clock_realtime_offset_ns();
	struct perron_places *places = perron_views_draft(&s->places);
	struct perron_command command = {
	    .kind = PERRON_COMMAND_CLOCK,
	    .value = (int64_t)offset_ns,
	};

	if (places) {
		places->clock_offset_ns = offset_ns;
		perron_views_publish(&s->places, places);
	}
	for (uint32_t i = 0; i < s->peer_count; i++)
		(void)station_command_push(s, s->peers[i].lcore, s->peers[i].machine, &command,
					   sizeof(command));
}

void station_control_leave(struct perron_station *s)
{
	for (uint32_t i = 0; i < s->peer_count; i++) {
		s->ops->leave(s->peers[i].overlay, s->now_ns, &s->effects);
		effects_apply(s, &s->peers[i]);
	}
}

bool station_control_is_quiet(const struct perron_station *s)
{
	for (uint32_t i = 0; i < s->lcore_count; i++)
		if (!perron_spsc_is_empty(s->lcores[i].commands) ||
		    !perron_spsc_is_empty(s->retries[i]))
			return false;
	return true;
}
