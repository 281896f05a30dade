/*
 * P3's paths. A client's subscription makes a path from the root cell down to the sensor's peer,
 * hop by hop: each looks in its directory for the way, opens the branch at its relay, and asks the
 * next. The answers come up with the sequence that the path starts from. Subscriptions and paths
 * are renewed by those who need them, and end when they are not; so a way that changed is followed
 * at the next renewal, and nothing has to be taken down after a crash.
 *
 * A new way is set up before the old one is told (make before break), from the sequence that the
 * relay has seen acknowledged: an origin keeps what is above it.
 */
#include "overlay/p3_private.h"

#define HOPS_MAX (PERRON_LEVEL_COUNT_MAX + 2)

/* A branch ends when it was not renewed for two leases: longer than any failover it must outlive. */
static uint64_t branch_keep_ns(const struct perron_overlay *o)
{
	return 2 * o->cfg.lease_ns;
}

/* Estimates come from others: no sum of them wraps. */
static uint32_t sum_us(uint32_t a, uint64_t b)
{
	uint64_t sum = a + b;

	return sum < UINT32_MAX / 2 ? (uint32_t)sum : UINT32_MAX / 2;
}

static uint64_t renew_ns(const struct perron_overlay *o)
{
	return o->cfg.lease_ns / 4;
}

static struct p3_path *path_find(struct perron_overlay *o, uint32_t stream, uint8_t class)
{
	for (uint32_t i = 0; i < o->cfg.path_count_max; i++)
		if (o->paths[i].stream == stream && o->paths[i].class == class)
			return &o->paths[i];
	return NULL;
}

static struct p3_branch *branch_find(struct p3_path *p, uint32_t party)
{
	for (uint32_t i = 0; i < p->branch_count; i++)
		if (p->branches[i].party.id == party)
			return &p->branches[i];
	return NULL;
}

static struct perron_command *path_command(struct perron_overlay *o, const struct p3_path *p,
					   uint8_t kind, uint32_t payload_size,
					   struct perron_effects *out)
{
	struct perron_command *command = perron_effects_command(out, payload_size);

	if (!command) {
		p3_drop(o, PERRON_DROP_EFFECTS_FULL);
		return NULL;
	}
	command->kind = kind;
	command->stream = p->stream;
	command->class = p->class;
	return command;
}

static void teardown_send(struct perron_overlay *o, const struct p3_path *p, uint32_t peer,
			  struct perron_effects *out)
{
	const struct p3_neighbour *n = peer ? p3_neighbour(o, peer) : NULL;
	struct perron_path_teardown teardown = {.class = p->class, .stream = p->stream};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (n)
		p3_send(o, &n->party, PERRON_TYPE_PATH_TEARDOWN, payload,
			perron_path_teardown_write(payload, &teardown), out);
}

static void path_free(struct perron_overlay *o, struct p3_path *p, struct perron_effects *out)
{
	struct p3_branch *branches = p->branches;

	teardown_send(o, p, p->upstream, out);
	teardown_send(o, p, p->old_upstream, out);
	*p = (struct p3_path){.branches = branches};
	p3_changed(o);
}

static void branch_open_say(struct perron_overlay *o, const struct p3_path *p,
			    const struct p3_branch *b, uint64_t resume, struct perron_effects *out)
{
	struct perron_command *command =
		path_command(o, p, PERRON_COMMAND_BRANCH_OPEN, sizeof(b->qos), out);

	if (!command)
		return;
	command->party = b->party;
	command->sequence = resume;
	command->value = b->latency_us;
	memcpy(command->payload, &b->qos, sizeof(b->qos));
}

static void branch_close_say(struct perron_overlay *o, const struct p3_path *p,
			     const struct p3_branch *b, enum perron_branch_end how,
			     struct perron_effects *out)
{
	struct perron_command *command = path_command(o, p, PERRON_COMMAND_BRANCH_CLOSE, 0, out);

	if (!command)
		return;
	command->party = b->party;
	command->value = how;
}

/* Ends a branch, given up or lost (it may come again); the path with its last one. */
static void branch_close(struct perron_overlay *o, struct p3_path *p, struct p3_branch *b,
			 enum perron_branch_end how, struct perron_effects *out)
{
	branch_close_say(o, p, b, how, out);
	*b = p->branches[--p->branch_count];
	if (!p->branch_count)
		path_free(o, p, out);
}

/*
 * A branch whose peer is gone stands, at the relay, for those that its clients come by. Here it keeps
 * the path while it is the only one.
 */
static void gone_close(struct perron_overlay *o, struct p3_path *p, struct perron_effects *out)
{
	bool is_served = false;

	for (uint32_t i = 0; i < p->branch_count; i++)
		is_served |= p->branches[i].ready && !p->branches[i].gone;
	for (uint32_t i = p->branch_count; is_served && i-- > 0;)
		if (p->branches[i].gone)
			branch_close(o, p, &p->branches[i], PERRON_BRANCH_GONE, out);
}

void p3_path_lost(struct perron_overlay *o, const struct perron_party *party,
		  struct perron_effects *out)
{
	for (uint32_t i = 0; i < o->cfg.path_count_max; i++) {
		struct p3_path *p = &o->paths[i];
		struct p3_branch *b = p->stream ? branch_find(p, party->id) : NULL;
		if (!b || b->party.incarnation != party->incarnation)
			continue;
		b->gone = true;
		branch_close_say(o, p, b, PERRON_BRANCH_GONE, out);
		gone_close(o, p, out);
	}
}

void p3_path_found(struct perron_overlay *o, const struct perron_party *party,
		   struct perron_effects *out)
{
	for (uint32_t i = 0; i < o->cfg.path_count_max; i++) {
		struct p3_path *p = &o->paths[i];
		struct p3_branch *b = p->stream ? branch_find(p, party->id) : NULL;
		if (!b || !b->gone || b->party.incarnation != party->incarnation)
			continue;
		b->gone = false;
		branch_open_say(o, p, b, 0, out);
	}
}

/* --- answers towards the client --- */

void p3_subscribe_reply(struct perron_overlay *o, const struct perron_party *client,
			const struct perron_subscribe_reply *reply, struct perron_effects *out)
{
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	p3_send(o, client, PERRON_TYPE_SUBSCRIBE_REPLY, payload,
		perron_subscribe_reply_write(payload, reply), out);
}

static void branch_answer(struct perron_overlay *o, const struct p3_path *p,
			  const struct p3_branch *b, uint8_t verdict, uint32_t refuser,
			  uint8_t replicas, uint64_t start, struct perron_effects *out)
{
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	if (b->party.id & PERRON_CLIENT_ID) {
		struct perron_subscribe_reply reply = {
			.nonce = b->nonce,
			.verdict = verdict,
			.class = p->class,
			.stream = p->stream,
			.start = start,
			.latency_us = b->spent_us + p->below_us,
			.hops = p->below_hops + 1,
			.replicas = replicas,
		};
		p3_subscribe_reply(o, &b->party, &reply, out);
		return;
	}
	struct perron_path_reply reply = {
		.class = p->class,
		.stream = p->stream,
		.verdict = verdict,
		.refuser = refuser,
		.start = start,
		.latency_us = p->below_us,
		.hops = p->below_hops,
		.replicas = replicas,
	};
	p3_send(o, &b->party, PERRON_TYPE_PATH_REPLY, payload,
		perron_path_reply_write(payload, &reply), out);
}

void p3_branch_ready(struct perron_overlay *o, const struct perron_event *event,
		     struct perron_effects *out)
{
	struct p3_path *p = path_find(o, event->stream, event->class);
	struct p3_branch *b = p ? branch_find(p, event->party.id) : NULL;

	if (!b || b->party.incarnation != event->party.incarnation)
		return; /* closed since */
	b->ready = true;
	branch_answer(o, p, b, PERRON_VERDICT_OK, 0, 0, event->sequence, out);
	gone_close(o, p, out);
}

/* Refuses the branches that were never served: all that wait for what cannot be had. */
static void branches_refuse(struct perron_overlay *o, struct p3_path *p, uint8_t verdict,
			    uint32_t refuser, uint8_t replicas, struct perron_effects *out)
{
	for (uint32_t i = p->branch_count; i-- > 0;) {
		if (p->branches[i].ready)
			continue;
		branch_answer(o, p, &p->branches[i], verdict, refuser, replicas, 0, out);
		bool last = p->branch_count == 1;
		branch_close(o, p, &p->branches[i], PERRON_BRANCH_GIVEN_UP, out);
		if (last)
			return;
	}
}

/* --- towards the sensor --- */

/* The way to the sensor by now; 0: not known, or it is here. */
static uint32_t way_to(struct perron_overlay *o, const struct p3_path *p)
{
	const struct perron_directory_entry *e =
		perron_directory_find(&o->directory, p->stream, p->sensor.name);

	return e && !e->lateral ? e->via : 0;
}

static bool sensor_is_here(struct perron_overlay *o, const struct p3_path *p)
{
	const struct perron_directory_entry *e =
		perron_directory_find(&o->directory, p->stream, p->sensor.name);

	return e && !e->via && e->attached != PERRON_ATTACHED_CANDIDATE;
}

/* Chooses the upstream, and has the relay say from where it is to serve (p3_resume goes on). */
static void path_renew(struct perron_overlay *o, uint64_t now_ns, struct p3_path *p,
		       struct perron_effects *out)
{
	p->renew_at_ns = now_ns + (p->ready ? renew_ns(o) : p3_request_ns(o));
	if (sensor_is_here(o, p)) {
		p->ready = true;
		return;
	}
	uint32_t way = way_to(o, p);
	if (!way)
		return;
	if (p->upstream != way) {
		if (p->upstream && !p->old_upstream)
			p->old_upstream = p->upstream;
		else
			teardown_send(o, p, p->upstream, out); /* it never answered */
		if (p->old_upstream == way)
			p->old_upstream = 0;
		p->upstream = way;
		p->ready = false;
		p->renew_at_ns = now_ns + p3_request_ns(o);
		p3_changed(o);
	}
	struct perron_command *command = path_command(o, p, PERRON_COMMAND_UPSTREAM, 0, out);
	if (command)
		command->party.id = way;
}

/*
 * The branch that has the least left of its bound, or NULL. Branches that are served count no
 * more: they were admitted, and a way that has become longer is no reason to cut them off.
 */
static struct p3_branch *branch_tightest(const struct p3_path *p)
{
	struct p3_branch *tightest = NULL;

	for (uint32_t i = 0; i < p->branch_count; i++) {
		struct p3_branch *b = &p->branches[i];
		if (b->ready || !b->latency_us)
			continue;
		if (!tightest ||
		    b->latency_us + tightest->spent_us < tightest->latency_us + b->spent_us)
			tightest = b;
	}
	return tightest;
}

static void setup_terms(const struct p3_path *p, struct perron_path_setup *setup)
{
	const struct p3_branch *tightest = branch_tightest(p);

	for (uint32_t i = 0; i < p->branch_count; i++)
		if (p->branches[i].hops > setup->hops)
			setup->hops = p->branches[i].hops;
	for (uint32_t i = 0; i < p->branch_count; i++) {
		setup->qos = perron_qos_stronger(&setup->qos, &p->branches[i].qos);
		setup->firm |= p->branches[i].firm && !p->branches[i].ready;
	}
	if (tightest) {
		setup->latency_us = tightest->latency_us;
		setup->spent_us = tightest->spent_us;
	}
}

void p3_resume(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
	       struct perron_effects *out)
{
	struct p3_path *p = path_find(o, event->stream, event->class);
	const struct p3_neighbour *n = p ? p3_neighbour(o, p->upstream) : NULL;
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	(void)now_ns;
	if (!n || p->upstream != event->party.id)
		return; /* changed since */
	struct perron_path_setup setup = {
		.class = p->class,
		.stream = p->stream,
		.resume = event->sequence,
	};
	memcpy(setup.name, p->sensor.name, sizeof(setup.name));
	setup_terms(p, &setup);
	p3_send(o, &n->party, PERRON_TYPE_PATH_SETUP, payload,
		perron_path_setup_write(payload, &setup), out);
}

void p3_path_stir(struct perron_overlay *o, uint64_t now_ns, uint32_t stream)
{
	for (uint32_t i = 0; i < o->cfg.path_count_max; i++) {
		struct p3_path *p = &o->paths[i];
		if (p->stream == stream && p->renew_at_ns > now_ns)
			p->renew_at_ns = now_ns;
	}
}

/* --- branches --- */

struct branch_request {
	struct perron_party party;
	const char *name; /* zero-padded */
	uint32_t nonce;
	uint32_t latency_us;
	uint32_t spent_us;
	uint8_t class;
	uint8_t hops;
	uint64_t resume;
	struct perron_qos qos;
	bool firm;
};

static struct p3_path *path_make(struct perron_overlay *o, const struct perron_directory_entry *e,
				 uint8_t class)
{
	struct p3_path *p = path_find(o, e->stream, class);

	if (p)
		return p;
	p = path_find(o, 0, 0);
	if (!p)
		return NULL;
	p->stream = e->stream;
	p->class = class;
	p->sensor = e->sensor;
	p3_changed(o);
	return p;
}

static struct p3_branch *branch_make(struct perron_overlay *o, struct p3_path *p,
				     const struct perron_party *party)
{
	struct p3_branch *b = branch_find(p, party->id);

	if (b && b->party.incarnation == party->incarnation)
		return b;
	if (b && (int32_t)(party->incarnation - b->party.incarnation) < 0)
		return NULL; /* a frame of its past */
	if (!b && p->branch_count == o->cfg.branch_count_max)
		return NULL;
	if (!b)
		b = &p->branches[p->branch_count++];
	*b = (struct p3_branch){.party = *party};
	p3_changed(o);
	return b;
}

static bool branch_is_served(struct p3_path *p, const struct perron_party *party)
{
	const struct p3_branch *b = branch_find(p, party->id);

	return b && b->ready && b->party.incarnation == party->incarnation;
}

/* Opens or renews a branch towards a client. OK: the answer follows when the relay is ready. */
static uint8_t branch_request(struct perron_overlay *o, uint64_t now_ns,
			      const struct branch_request *request,
			      const struct perron_directory_entry *e, struct perron_effects *out)
{
	struct p3_path *p = path_make(o, e, request->class);

	if (!p)
		return PERRON_VERDICT_FULL;
	bool is_new = !p->branch_count;
	if (!branch_is_served(p, &request->party) && request->latency_us &&
	    request->latency_us < request->spent_us + p->below_us) {
		if (is_new)
			path_free(o, p, out);
		return PERRON_VERDICT_LATENCY;
	}
	if (!branch_is_served(p, &request->party) && request->firm &&
	    request->qos.replicas >= p3_cell_size(o)) {
		if (is_new)
			path_free(o, p, out);
		return PERRON_VERDICT_REPLICAS;
	}
	struct p3_branch *b = branch_make(o, p, &request->party);
	if (!b)
		return PERRON_VERDICT_FULL;
	b->party = request->party;
	b->gone = false;
	b->nonce = request->nonce;
	b->latency_us = request->latency_us;
	b->spent_us = request->spent_us;
	b->hops = request->hops;
	b->qos = request->qos;
	b->firm = request->firm;
	b->expires_ns = now_ns + branch_keep_ns(o);
	branch_open_say(o, p, b, request->resume, out);
	if (is_new || !p->ready || p->renew_at_ns <= now_ns)
		path_renew(o, now_ns, p, out);
	return PERRON_VERDICT_OK;
}

/* With a verdict that there are too few siblings: how many there are. */
static uint8_t replicas_possible(const struct perron_overlay *o, uint8_t verdict)
{
	return verdict == PERRON_VERDICT_REPLICAS ? (uint8_t)(p3_cell_size(o) - 1) : 0;
}

static void subscribe_refuse(struct perron_overlay *o, const struct perron_event *event,
			     const struct perron_subscribe *m, uint8_t verdict,
			     const struct perron_portal *redirect, struct perron_effects *out)
{
	struct perron_subscribe_reply reply = {
		.nonce = m->nonce,
		.verdict = verdict,
		.class = m->class,
		.stream = perron_stream_id(m->name),
		.replicas = replicas_possible(o, verdict),
	};

	if (redirect)
		reply.redirect = *redirect;
	p3_subscribe_reply(o, &event->party, &reply, out);
}

void p3_subscribe(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		  struct perron_effects *out)
{
	struct perron_subscribe m;

	if (!perron_subscribe_read(event->payload, event->payload_size, &m)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	if (!p3_is_joined(o, now_ns)) {
		subscribe_refuse(o, event, &m, PERRON_VERDICT_NOT_JOINED, NULL, out);
		return;
	}
	if (!p3_is_root(o)) {
		/* Clients enter through the root cell. */
		const struct perron_portal *portal = &o->cfg.portal[m.nonce % o->cfg.portal_count];
		subscribe_refuse(o, event, &m, PERRON_VERDICT_REDIRECT, portal, out);
		return;
	}
	const struct perron_directory_entry *e =
		perron_directory_find(&o->directory, perron_stream_id(m.name), m.name);
	if (!e) {
		p3_search(o, now_ns, &event->party, &m, out);
		return;
	}
	if (e->attached == PERRON_ATTACHED_CANDIDATE) {
		subscribe_refuse(o, event, &m, PERRON_VERDICT_WAIT, NULL, out);
		return;
	}
	if (e->lateral) {
		/* It is below a sibling: a root peer. */
		const struct perron_portal *portal = p3_portal(o, e->via);
		subscribe_refuse(o, event, &m,
				 portal ? PERRON_VERDICT_REDIRECT : PERRON_VERDICT_WAIT, portal,
				 out);
		return;
	}
	struct branch_request request = {
		.party = event->party,
		.name = m.name,
		.nonce = m.nonce,
		.latency_us = m.latency_us,
		.class = m.class,
		.hops = 1,
		.resume = m.resume,
		.qos = m.qos,
		.firm = m.resume == 0, /* who was served once goes on with fewer replicas */
	};
	uint8_t verdict = branch_request(o, now_ns, &request, e, out);
	if (verdict != PERRON_VERDICT_OK)
		subscribe_refuse(o, event, &m, verdict, NULL, out);
}

void p3_path_drop(struct perron_overlay *o, uint32_t stream, struct perron_effects *out)
{
	for (uint32_t i = 0; i < o->cfg.path_count_max; i++)
		while (o->paths[i].stream == stream && o->paths[i].branch_count)
			branch_close(o, &o->paths[i], &o->paths[i].branches[0], PERRON_BRANCH_GIVEN_UP, out);
}

void p3_unsubscribe(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		    struct perron_effects *out)
{
	p3_path_teardown(o, now_ns, event, out);
}

static void setup_refuse(struct perron_overlay *o, const struct perron_event *event,
			 const struct perron_path_setup *m, uint8_t verdict,
			 struct perron_effects *out)
{
	struct perron_path_reply reply = {
		.class = m->class,
		.stream = m->stream,
		.verdict = verdict,
		.refuser = o->cfg.peer,
		.replicas = replicas_possible(o, verdict),
	};
	uint8_t payload[PERRON_PAYLOAD_SIZE_MAX];

	p3_send(o, &event->party, PERRON_TYPE_PATH_REPLY, payload,
		perron_path_reply_write(payload, &reply), out);
}

void p3_path_setup(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		   struct perron_effects *out)
{
	struct perron_path_setup m;

	if (!p3_neighbour_of(o, event, PERRON_ROLE_PARENT))
		return;
	if (!perron_path_setup_read(event->payload, event->payload_size, &m) ||
	    m.hops >= HOPS_MAX || m.stream != perron_stream_id(m.name)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	const struct perron_directory_entry *e =
		perron_directory_find(&o->directory, m.stream, m.name);
	if (!e || e->lateral) {
		setup_refuse(o, event, &m, PERRON_VERDICT_UNKNOWN_SENSOR, out);
		return;
	}
	if (e->attached == PERRON_ATTACHED_CANDIDATE) {
		setup_refuse(o, event, &m, PERRON_VERDICT_WAIT, out);
		return;
	}
	struct branch_request request = {
		.party = event->party,
		.name = m.name,
		.latency_us = m.latency_us,
		/* One way on the link that it came by: half of the best round trip. */
		.spent_us = sum_us(m.spent_us, event->round_trip_ns / 2000),
		.class = m.class,
		.hops = (uint8_t)(m.hops + 1),
		.resume = m.resume,
		.qos = m.qos,
		.firm = m.firm,
	};
	uint8_t verdict = branch_request(o, now_ns, &request, e, out);
	if (verdict != PERRON_VERDICT_OK)
		setup_refuse(o, event, &m, verdict, out);
}

/* A bound that cannot be kept ends the branch that has it, and the others are asked for again. */
static void path_refused(struct perron_overlay *o, uint64_t now_ns, struct p3_path *p,
			 const struct perron_path_reply *m, struct perron_effects *out)
{
	struct p3_branch *tightest = branch_tightest(p);

	if (m->verdict != PERRON_VERDICT_LATENCY) {
		branches_refuse(o, p, m->verdict, m->refuser, m->replicas, out);
		return;
	}
	if (!tightest)
		return; /* refused meanwhile */
	branch_answer(o, p, tightest, m->verdict, m->refuser, 0, 0, out);
	branch_close(o, p, tightest, PERRON_BRANCH_GIVEN_UP, out);
	if (p->branch_count)
		p->renew_at_ns = now_ns;
}

void p3_path_reply(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		   struct perron_effects *out)
{
	struct perron_path_reply m;

	if (!p3_neighbour_of(o, event, PERRON_ROLE_CHILD))
		return;
	if (!perron_path_reply_read(event->payload, event->payload_size, &m)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	struct p3_path *p = path_find(o, m.stream, m.class);
	if (!p || !p->stream || p->upstream != event->party.id) {
		p3_drop(o, PERRON_DROP_DUPLICATE);
		return;
	}
	if (m.verdict != PERRON_VERDICT_OK) {
		path_refused(o, now_ns, p, &m, out);
		return;
	}
	if (!m.start || m.start > PERRON_SEQUENCE_MAX) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	if (!p->ready)
		p->renew_at_ns = now_ns + renew_ns(o);
	p->ready = true;
	p->below_us = sum_us(m.latency_us, event->round_trip_ns / 2000);
	p->below_hops = (uint8_t)(m.hops + 1);
	struct perron_command *command = path_command(o, p, PERRON_COMMAND_START, 0, out);
	if (command)
		command->sequence = m.start;
	teardown_send(o, p, p->old_upstream, out);
	p->old_upstream = 0;
}

void p3_path_teardown(struct perron_overlay *o, uint64_t now_ns, const struct perron_event *event,
		      struct perron_effects *out)
{
	struct perron_path_teardown m;

	(void)now_ns;
	if (!perron_path_teardown_read(event->payload, event->payload_size, &m)) {
		p3_drop(o, PERRON_DROP_MALFORMED);
		return;
	}
	struct p3_path *p = m.stream ? path_find(o, m.stream, m.class) : NULL;
	struct p3_branch *b = p ? branch_find(p, event->party.id) : NULL;
	if (!b || b->party.incarnation != event->party.incarnation) {
		p3_drop(o, PERRON_DROP_WRONG_BRANCH);
		return;
	}
	branch_close(o, p, b, PERRON_BRANCH_GIVEN_UP, out);
}

/* --- time --- */

static void branches_expire(struct perron_overlay *o, uint64_t now_ns, struct p3_path *p,
			    struct perron_effects *out)
{
	for (uint32_t i = p->branch_count; i-- > 0;) {
		if (p->branches[i].expires_ns > now_ns)
			continue;
		bool last = p->branch_count == 1;
		branch_close(o, p, &p->branches[i], PERRON_BRANCH_LOST, out);
		if (last)
			return;
	}
}

void p3_path_tick(struct perron_overlay *o, uint64_t now_ns, struct perron_effects *out)
{
	for (uint32_t i = 0; i < o->cfg.path_count_max; i++) {
		struct p3_path *p = &o->paths[i];
		if (!p->stream || p->renew_at_ns > now_ns)
			continue;
		branches_expire(o, now_ns, p, out);
		if (p->stream)
			path_renew(o, now_ns, p, out);
	}
}

uint64_t p3_path_deadline_ns(const struct perron_overlay *o)
{
	uint64_t deadline = UINT64_MAX;

	for (uint32_t i = 0; i < o->cfg.path_count_max; i++)
		if (o->paths[i].stream && o->paths[i].renew_at_ns < deadline)
			deadline = o->paths[i].renew_at_ns;
	return deadline;
}
