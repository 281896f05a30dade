/* P3's sensors: advertised towards the root and to the coordinator, searched for the same way. */
#include "overlay/p3_private.h"
#include "overlay/succession.h"

/* A change is passed on after this, so that a burst of them goes in one frame. */
#define ADVERTISE_SOON_NS (2 * P3_MS)
/* Steps of a search: through each cell's coordinator and its parent. */
#define SEARCH_TTL (2 * PERRON_LEVEL_COUNT_MAX + 2)
#define SEARCH_NS  (1000 * P3_MS)
/* Ways that are not renewed end after one lease, and clients look for another in a second one. */
#define ADOPTED_LEASES 3

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void p3_advertise_soon(struct perron_overlay *o, uint64_t now_ns)
{
	if (o->advertise_at_ns > now_ns + ADVERTISE_SOON_NS)
		o->advertise_at_ns = now_ns + ADVERTISE_SOON_NS;
}

static void advertise_flush(struct perron_overlay *o, const struct perron_party *to,
			    struct perron_advertise *batch, struct perron_effects *out)
{
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (!batch->count)
		return;
	p3_send(o, to, PERRON_TYPE_ADVERTISE, payload, perron_advertise_write(payload, batch), out);
	batch->count = 0;
}

/* All that is attached here or below, to one neighbour. */
static void advertise_to(struct perron_overlay *o, const struct perron_party *to, bool lateral,
			 struct perron_effects *out)
{
	struct perron_advertise batch = {.lateral = lateral};

	for (uint32_t i = 0; i < o->directory.count; i++) {
		const struct perron_directory_entry *e = &o->directory.entries[i];
		bool is_spare = e->attached == PERRON_ATTACHED_STANDBY;
		if (is_spare ? !lateral : e->lateral || e->attached == PERRON_ATTACHED_CANDIDATE)
			continue;
		struct perron_sensor_entry *item = &batch.items[batch.count++];
		*item = e->sensor;
		if (is_spare) {
			item->owner = o->cfg.peer;
			item->owner_incarnation = o->cfg.incarnation;
			item->stamp = o->stamp;
			item->term = 0;
		}
		if (batch.count == PERRON_ADVERTISE_COUNT_MAX)
			advertise_flush(o, to, &batch, out);
	}
	advertise_flush(o, to, &batch, out);
}

static void searches_expire(struct perron_overlay *o, uint64_t now_ns)
{
	for (uint32_t i = 0; i < P3_SEARCH_COUNT_MAX; i++)
		if (o->searches[i].nonce && o->searches[i].expires_ns <= now_ns)
			o->searches[i].nonce = 0; /* the client asks again */
}

void p3_stream_open(struct perron_overlay *o, const struct perron_directory_entry *e,
		    struct perron_effects *out)
{
	struct perron_command *command = perron_effects_command(out, 0);

	if (!command) {
		p3_drop(o, PERRON_DROP_EFFECTS_FULL);
		return;
	}
	command->kind = PERRON_COMMAND_STREAM_OPEN;
	command->stream = e->stream;
	command->value = e->attached != PERRON_ATTACHED_OWNER;
	command->party.id = e->from;
	command->party.incarnation = e->from_incarnation;
	/* Above every sequence of an earlier life. */
	command->sequence = (uint64_t)(e->sensor.life ? e->sensor.life : 1) << 32 | 1;
}

/* What is attached here: numbered anew, and said to the relay again (it may have been lost). */
static void own_renew(struct perron_overlay *o, struct perron_effects *out)
{
	o->stamp++;
	for (uint32_t i = 0; i < o->directory.count; i++) {
		struct perron_directory_entry *e = &o->directory.entries[i];
		e->sensor.stamp += e->adopted;
		if (!e->attached)
			continue;
		if (e->attached == PERRON_ATTACHED_OWNER)
			e->sensor.stamp = o->stamp;
		p3_stream_open(o, e, out);
	}
}

/* --- owners --- */

static bool is_member(const struct perron_overlay *o, uint32_t peer)
{
	for (uint32_t i = 0; i < o->view.member_count; i++)
		if (o->view.members[i].peer == peer)
			return true;
	return false;
}

static bool is_member_still(const struct perron_overlay *o, uint32_t peer, uint32_t incarnation)
{
	for (uint32_t i = 0; i < o->view.member_count; i++)
		if (o->view.members[i].peer == peer &&
		    o->view.members[i].incarnation == incarnation)
			return true;
	return false;
}

/* From now on this peer publishes what the sensor says: after another, or as the first. */
static void office_take(struct perron_overlay *o, uint64_t now_ns,
			struct perron_directory_entry *e, struct perron_effects *out)
{
	bool follows = e->attached == PERRON_ATTACHED_STANDBY;
	bool is_ours = !e->sensor.term || (int32_t)(o->cfg.incarnation - e->sensor.life) > 0;

	e->from = follows ? e->sensor.owner : 0;
	e->from_incarnation = follows ? e->sensor.owner_incarnation : 0;
	e->attached = PERRON_ATTACHED_OWNER;
	e->via = 0;
	e->lateral = false;
	e->expires_ns = UINT64_MAX;
	e->sensor.life = is_ours ? o->cfg.incarnation : e->sensor.life + 1;
	e->sensor.term++;
	e->sensor.owner = o->cfg.peer;
	e->sensor.owner_incarnation = o->cfg.incarnation;
	e->sensor.stamp = ++o->stamp;
	o->advertise_at_ns = now_ns;
	p3_stream_open(o, e, out);
	p3_path_stir(o, now_ns, e->stream);
	p3_changed(o);
}

/* When a candidate's siblings have had time to say who publishes its sensor. */
static uint64_t claim_ns(const struct perron_overlay *o)
{
	uint32_t count = p3_is_root(o) ? o->cfg.portal_count : o->cfg.cell_size;

	return count > 1 ? 2 * o->cfg.request_ns : 0;
}

/* A sibling publishes it. */
static void office_leave(struct perron_overlay *o, uint64_t now_ns,
			 struct perron_directory_entry *e,
			 const struct perron_sensor_entry *sensor, uint32_t via,
			 struct perron_effects *out)
{
	bool is_other = e->attached != PERRON_ATTACHED_STANDBY || e->via != via;

	e->attached = PERRON_ATTACHED_STANDBY;
	e->sensor = *sensor;
	e->via = via;
	e->lateral = true;
	e->expires_ns = now_ns + o->cfg.lease_ns;
	if (!is_other)
		return;
	e->together = false;
	/* While a cell takes in a member its views come and go. */
	e->claim_at_ns = now_ns + claim_ns(o);
	p3_stream_open(o, e, out);
	p3_advertise_soon(o, now_ns);
	p3_path_stir(o, now_ns, e->stream);
	p3_changed(o);
}

/* Of two in the same term the one that has run for longer stays: who comes back knows least. */
static bool is_before(const struct perron_sensor_entry *a, const struct perron_sensor_entry *b)
{
	if (a->term != b->term)
		return (int32_t)(a->term - b->term) > 0;
	if (a->owner_incarnation != b->owner_incarnation)
		return (int32_t)(a->owner_incarnation - b->owner_incarnation) < 0;
	return a->owner < b->owner;
}

/* What a sibling says of a sensor that hangs here as well. */
static void attached_hear(struct perron_overlay *o, uint64_t now_ns,
			  struct perron_directory_entry *e,
			  const struct perron_sensor_entry *sensor, uint32_t via,
			  struct perron_effects *out)
{
	bool is_same = e->attached == PERRON_ATTACHED_STANDBY && e->sensor.owner == sensor->owner;

	if (sensor->owner == o->cfg.peer)
		return; /* it speaks for our last life */
	if (!sensor->term)
		e->spare = via;
	else if (is_same || e->attached == PERRON_ATTACHED_CANDIDATE ||
		 is_before(sensor, &e->sensor))
		office_leave(o, now_ns, e, sensor, via, out);
}

void p3_owners_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	for (uint32_t i = 0; o->view.member_count && i < o->directory.count; i++) {
		struct perron_directory_entry *e = &o->directory.entries[i];
		bool is_here = is_member_still(o, e->sensor.owner, e->sensor.owner_incarnation);
		bool is_gone = (e->together && !is_here) || e->expires_ns <= now_ns;
		e->together |= is_here;
		uint64_t at_ns = max64(o->doubt_until_ns, e->claim_at_ns);
		if (e->attached == PERRON_ATTACHED_STANDBY && is_gone && now_ns >= at_ns)
			office_take(o, now_ns, e, out);
		else if (e->attached == PERRON_ATTACHED_STANDBY && is_gone)
			o->advertise_at_ns = min64(o->advertise_at_ns, at_ns);
		if (e->attached != PERRON_ATTACHED_CANDIDATE)
			continue;
		if (!e->claim_at_ns)
			e->claim_at_ns = now_ns + claim_ns(o);
		if (e->claim_at_ns <= now_ns)
			office_take(o, now_ns, e, out);
		else
			o->advertise_at_ns = min64(o->advertise_at_ns, e->claim_at_ns);
	}
}

/* --- succession --- */

/* How many come before this peer in the succession to one that is gone; each computes it alone. */
static uint32_t succession_rank(struct perron_overlay *o, uint32_t peer)
{
	struct perron_successor items[PERRON_GROUP_MEMBER_COUNT_MAX];
	struct perron_members members;
	uint32_t count = 0, rank = 0;
	uint8_t slot = 0;
	uint32_t address = 0;

	for (uint32_t i = 0; i < o->siblings.count; i++)
		if (o->siblings.items[i].party.id == peer) {
			slot = o->siblings.items[i].slot;
			address = o->siblings.items[i].party.endpoint.address;
		}
	p3_cell_members(o, &members);
	for (uint32_t i = 0; i < members.count; i++)
		if (members.items[i].party.id != peer)
			items[count++] = (struct perron_successor){
				members.items[i].party.id, members.items[i].party.incarnation,
				members.items[i].party.endpoint.address, members.items[i].slot};
	perron_succession_sort(items, count, slot, address);
	while (items[rank].peer != o->cfg.peer)
		rank++;
	return rank;
}

/*
 * The sensor is spoken for in its owner's name, until its next life, or itself among the members
 * again, takes it back; for as long at most as clients need to find the new way.
 */
static void orphan_adopt(struct perron_overlay *o, uint64_t now_ns,
			 struct perron_directory_entry *e, struct perron_effects *out)
{
	struct perron_command *command = perron_effects_command(out, 0);

	if (!command) {
		p3_drop(o, PERRON_DROP_EFFECTS_FULL);
		e->adopt_at_ns = now_ns; /* with the next tick */
		return;
	}
	command->kind = PERRON_COMMAND_ADOPT;
	command->stream = e->stream;
	command->party.id = e->sensor.owner;
	command->party.incarnation = e->sensor.owner_incarnation;
	e->adopt_at_ns = 0;
	e->via = 0;
	e->lateral = false;
	e->adopted = true;
	e->sensor.stamp += 2; /* one more than it may have said elsewhere */
	e->expires_ns = now_ns + ADOPTED_LEASES * o->cfg.lease_ns;
	o->advertise_at_ns = now_ns;
	p3_path_stir(o, now_ns, e->stream);
	p3_changed(o);
}

/* Who comes later in the succession waits for those before, who may know nothing of it. */
void p3_orphaned(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		 struct perron_effects *out)
{
	struct perron_directory_entry *e =
		perron_directory_find(&o->directory, event->stream, NULL);

	if (!e || !e->lateral || e->attached || e->sensor.owner != event->party.id ||
	    e->sensor.owner_incarnation != event->party.incarnation)
		return;
	uint32_t rank = succession_rank(o, event->party.id);
	/* At whom the sensor hangs as well comes before all. */
	rank += is_member(o, e->spare) ? o->view.member_count : 0;
	uint64_t at_ns = now_ns + rank * o->cfg.request_ns;
	if (at_ns < o->doubt_until_ns)
		at_ns = o->doubt_until_ns;
	/* Of a view that we have not heard of yet nothing is sure. */
	if (at_ns == now_ns && !is_member(o, event->party.id)) {
		orphan_adopt(o, now_ns, e, out);
		return;
	}
	if (!e->adopt_at_ns || at_ns < e->adopt_at_ns)
		e->adopt_at_ns = at_ns;
	o->advertise_at_ns = min64(o->advertise_at_ns, at_ns);
}

static void orphans_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	for (uint32_t i = 0; i < o->directory.count; i++) {
		struct perron_directory_entry *e = &o->directory.entries[i];
		if (e->adopt_at_ns && e->adopt_at_ns <= now_ns)
			orphan_adopt(o, now_ns, e, out);
	}
}

/* --- time --- */

void p3_directory_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	if (o->advertise_at_ns > now_ns)
		return;
	orphans_tick(o, now_ns, out);
	o->advertise_at_ns = now_ns + o->cfg.lease_ns / 4;
	p3_owners_tick(o, now_ns, out);
	searches_expire(o, now_ns);
	perron_directory_expire(&o->directory, now_ns);
	own_renew(o, out);
	if (!o->has_position)
		return;
	p3_neighbours_assert(o, out);
	struct p3_neighbour *parent = p3_parent(o);
	if (parent)
		advertise_to(o, &parent->party, false, out);
	/* A sibling may be asked for what is below, or have to take over what is here. */
	for (uint32_t i = 0; i < o->neighbour_count; i++)
		if (o->neighbours[i].roles & PERRON_ROLE_SIBLING)
			advertise_to(o, &o->neighbours[i].party, true, out);
}

/* Of one sensor; what is at this peer is not the sender's to say, unless it is there as well. */
static void sensor_hear(struct perron_overlay *o, uint64_t now_ns,
			const struct perron_sensor_entry *sensor, uint32_t via, bool lateral,
			struct perron_effects *out)
{
	uint32_t stream = perron_stream_id(sensor->name);
	struct perron_directory_entry *e =
		perron_directory_find(&o->directory, stream, sensor->name);

	if (e && e->attached && lateral) {
		attached_hear(o, now_ns, e, sensor, via, out);
		return;
	}
	if (!sensor->term) {
		if (e && lateral)
			e->spare = via;
		return;
	}
	enum perron_directory_change change = perron_directory_learn(
		&o->directory, sensor, via, lateral, now_ns + o->cfg.lease_ns);
	if (change == PERRON_DIRECTORY_REFUSED)
		p3_drop(o, PERRON_DROP_DUPLICATE);
	if (change != PERRON_DIRECTORY_NEW)
		return;
	p3_path_stir(o, now_ns, stream);
	if (!lateral)
		p3_advertise_soon(o, now_ns);
	p3_changed(o);
}

void p3_advertise(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		  struct perron_effects *out)
{
	struct perron_advertise message;

	if (!perron_advertise_read(event->payload, event->payload_size, &message)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	struct p3_neighbour *from = p3_neighbour_of(
		o, event, message.lateral ? PERRON_ROLE_SIBLING : PERRON_ROLE_CHILD);
	if (!from)
		return;
	for (uint32_t i = 0; i < message.count; i++)
		sensor_hear(o, now_ns, &message.items[i], from->party.id, message.lateral, out);
}

/* --- discovery --- */

/* Who is asked next: the cell's coordinator, then a parent; NULL at the root's coordinator. */
static struct p3_neighbour *search_next(struct perron_overlay *o)
{
	struct p3_neighbour *coordinator = p3_neighbour(o, p3_cell_coordinator(o));

	return coordinator ? coordinator : p3_parent(o);
}

static void discover_answer(struct perron_overlay *o, const struct perron_discover *query,
			    uint8_t verdict, const struct perron_directory_entry *e,
			    struct perron_effects *out)
{
	struct perron_discover_reply reply = {.nonce = query->nonce, .verdict = verdict};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	memcpy(reply.name, query->name, sizeof(reply.name));
	if (e) {
		reply.owner = e->sensor.owner;
		reply.holder = e->lateral ? e->via : o->cfg.peer;
	}
	p3_send(o, &query->asker, PERRON_TYPE_DISCOVER_REPLY, payload,
		perron_discover_reply_write(payload, &reply), out);
}

/* What a root coordinator says of a sensor that it does not know. */
static uint8_t unknown_verdict(const struct perron_overlay *o, uint64_t now_ns)
{
	return o->reigning && now_ns >= o->grace_until_ns ? PERRON_VERDICT_UNKNOWN_SENSOR
							  : PERRON_VERDICT_WAIT;
}

void p3_discover(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		 struct perron_effects *out)
{
	struct perron_discover query;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (!p3_neighbour_of(o, event, PERRON_ROLE_SIBLING | PERRON_ROLE_CHILD))
		return;
	if (!perron_discover_read(event->payload, event->payload_size, &query) || !query.ttl) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	const struct perron_directory_entry *e =
		perron_directory_find(&o->directory, perron_stream_id(query.name), query.name);
	if (e && e->attached != PERRON_ATTACHED_CANDIDATE) {
		discover_answer(o, &query, PERRON_VERDICT_OK, e, out);
		return;
	}
	struct p3_neighbour *next = search_next(o);
	if (!next || query.ttl == 1) {
		discover_answer(o, &query, unknown_verdict(o, now_ns), NULL, out);
		return;
	}
	query.ttl--;
	p3_send(o, &next->party, PERRON_TYPE_DISCOVER, payload,
		perron_discover_write(payload, &query), out);
}

static void client_answer(struct perron_overlay *o, const struct perron_party *client,
			  const struct perron_subscribe *subscribe, uint8_t verdict,
			  const struct perron_portal *redirect, struct perron_effects *out)
{
	struct perron_subscribe_reply reply = {
		.nonce = subscribe->nonce,
		.verdict = verdict,
		.class = subscribe->class,
		.stream = perron_stream_id(subscribe->name),
	};

	if (redirect)
		reply.redirect = *redirect;
	p3_subscribe_reply(o, client, &reply, out);
}

void p3_search(struct perron_overlay *o, uint64_t now_ns, const struct perron_party *client,
	       const struct perron_subscribe *subscribe, struct perron_effects *out)
{
	struct p3_neighbour *next = search_next(o);
	struct p3_search *free = NULL;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (!next) {
		client_answer(o, client, subscribe, unknown_verdict(o, now_ns), NULL, out);
		return;
	}
	for (uint32_t i = 0; i < P3_SEARCH_COUNT_MAX; i++) {
		struct p3_search *s = &o->searches[i];
		bool is_same = s->nonce && s->client.id == client->id &&
			       s->subscribe.nonce == subscribe->nonce;
		if (is_same || (!free && !s->nonce))
			free = s;
		if (is_same)
			break;
	}
	if (!free) {
		client_answer(o, client, subscribe, PERRON_VERDICT_WAIT, NULL, out);
		return;
	}
	*free = (struct p3_search){
		.nonce = (uint32_t)perron_random_next(&o->random) | 1u,
		.client = *client,
		.subscribe = *subscribe,
		.expires_ns = now_ns + SEARCH_NS,
	};
	struct perron_discover query = {
		.asker = p3_self(o),
		.nonce = free->nonce,
		.ttl = SEARCH_TTL,
	};
	memcpy(query.name, subscribe->name, sizeof(query.name));
	p3_send(o, &next->party, PERRON_TYPE_DISCOVER, payload,
		perron_discover_write(payload, &query), out);
}

void p3_discover_reply(struct perron_overlay *o, uint64_t now_ns,
		       const struct perron_event *event, struct perron_effects *out)
{
	struct perron_discover_reply reply;
	struct p3_search *s = NULL;

	if (!perron_discover_reply_read(event->payload, event->payload_size, &reply)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	for (uint32_t i = 0; i < P3_SEARCH_COUNT_MAX; i++)
		if (o->searches[i].nonce && o->searches[i].nonce == reply.nonce)
			s = &o->searches[i];
	if (!s || s->expires_ns <= now_ns) {
		p3_drop(o, PERRON_DROP_DUPLICATE);
		return;
	}
	uint8_t verdict = reply.verdict;
	const struct perron_portal *redirect = NULL;
	if (verdict == PERRON_VERDICT_OK) {
		redirect = reply.holder == o->cfg.peer ? NULL : p3_portal(o, reply.holder);
		verdict = redirect ? PERRON_VERDICT_REDIRECT : PERRON_VERDICT_WAIT;
	} else if (verdict != PERRON_VERDICT_UNKNOWN_SENSOR) {
		verdict = PERRON_VERDICT_WAIT;
	}
	client_answer(o, &s->client, &s->subscribe, verdict, redirect, out);
	s->nonce = 0;
}

void p3_orphans_return(struct perron_overlay *o, uint64_t now_ns)
{
	for (uint32_t i = 0; i < o->directory.count; i++) {
		struct perron_directory_entry *e = &o->directory.entries[i];
		if (!is_member(o, e->sensor.owner))
			continue;
		e->adopt_at_ns = 0;
		if (e->adopted)
			e->expires_ns = now_ns;
	}
	perron_directory_expire(&o->directory, now_ns);
}
