#include "apps/station/group_load.h"

#include <errno.h>
#include <string.h>

#include "runtime/base/bytes.h"

#define MAGIC	   0x7067726cu
#define PAIR_SIZE  8u
#define TOKEN_SIZE (GROUP_LOAD_SIZE_MIN + 4u)
#define RETRY_NS   1000000u
/* The most that perron_group_send does: a hundred full frames. */
#define SEND_EFFECT_COUNT 128u
#define SEND_EFFECT_SIZE  (144u * 1024)
#define ORDER_MASK	  (GROUP_LOAD_ORDER_MAX - 1)

_Static_assert(GROUP_LOAD_SIZE_MIN + GROUP_LOAD_ORDER_COUNT * PAIR_SIZE <=
		   PERRON_GROUP_FRAGMENT_SIZE,
	       "an order fits one packet");

enum kind {
	KIND_DATA = 1,	/* delivered as it comes */
	KIND_SEQUENCED, /* delivered when it is ordered */
	KIND_ORDER,
	KIND_TOKEN,
};

const char *group_load_mode_name(uint8_t mode)
{
	static const char *const names[] = {
#define X(name, text) [GROUP_LOAD_##name] = text,
	    GROUP_LOAD_MODES(X)
#undef X
	};
	return mode < GROUP_LOAD_MODE_COUNT ? names[mode] : "unknown";
}

int group_load_mode_from_name(const char *name)
{
	for (uint8_t i = 0; i < GROUP_LOAD_MODE_COUNT; i++)
		if (!strcmp(name, group_load_mode_name(i)))
			return i;
	return -1;
}

void group_load_init(struct group_load *l, uint32_t peer, const struct group_load_ops *ops,
		     void *context)
{
	memset(l, 0, sizeof(*l));
	l->peer = peer;
	l->ops = ops;
	l->context = context;
}

static bool is_running(const struct group_load *l)
{
	return atomic_load_explicit(&l->state, memory_order_relaxed) == GROUP_LOAD_RUNNING;
}

static void end(struct group_load *l, int error)
{
	if (!is_running(l))
		return;
	l->result.error = error;
	/* Pairs with the acquire in group_load_state: the figures are there. */
	atomic_store_explicit(&l->state, GROUP_LOAD_DONE, memory_order_release);
}

static void result_reset(struct group_load_result *r)
{
	memset(r, 0, sizeof(*r));
	perron_histogram_reset(&r->latency);
	perron_histogram_reset(&r->one_way);
}

static void token_make(struct group_load *l)
{
	l->token_run = l->config.run;
	l->token_generation++;
	l->token_held = true;
}

bool group_load_config_is_valid(const struct group_load_config *c)
{
	return c->run && c->mode < GROUP_LOAD_MODE_COUNT &&
	       c->service < PERRON_GROUP_SERVICE_COUNT && c->size >= GROUP_LOAD_SIZE_MIN &&
	       c->size <= GROUP_LOAD_SIZE_MAX && c->period_ns <= GROUP_LOAD_PERIOD_NS_MAX &&
	       c->length_ns && c->length_ns <= GROUP_LOAD_LENGTH_NS_MAX;
}

void group_load_start(struct group_load *l, uint64_t now_ns, const struct group_load_config *config)
{
	PERRON_ASSERT(group_load_config_is_valid(config));
	l->config = *config;
	result_reset(&l->result);
	l->result.member_count = l->view.member_count;
	l->begin_ns = now_ns + GROUP_LOAD_BEGIN_NS;
	l->until_ns = l->begin_ns + config->length_ns;
	l->due_ns = l->begin_ns;
	l->stamp_ns = 0;
	l->retry_ns = 0;
	l->waits = false;
	l->number = 0;
	if (config->mode == GROUP_LOAD_TOKEN && config->leads)
		token_make(l);
	atomic_store_explicit(&l->state, GROUP_LOAD_RUNNING, memory_order_relaxed);
	/* Pairs with the acquire in group_load_state_of: what it was before is no longer seen. */
	atomic_store_explicit(&l->run, config->run, memory_order_release);
	if (!l->view.member_count)
		end(l, -ENOTCONN);
}

void group_load_stop(struct group_load *l)
{
	end(l, -ECANCELED);
}

/* The head of a message; what follows it is the caller's. */
static void head_write(struct group_load *l, enum kind kind, uint32_t run, uint16_t count,
		       uint32_t number, uint64_t stamp_ns)
{
	perron_store32(l->message, MAGIC);
	perron_store32(l->message + 4, run);
	l->message[8] = (uint8_t)kind;
	l->message[9] = 0;
	perron_store16(l->message + 10, count);
	perron_store32(l->message + 12, number);
	perron_store64(l->message + 16, stamp_ns);
}

/* False: not now (-EAGAIN), or never: then nothing is left that would be tried again. */
static bool message_send(struct group_load *l, uint64_t now_ns, enum perron_group_service service,
			 uint32_t size, struct perron_effects *out)
{
	int ret = l->ops->send(l->context, now_ns, service, l->message, size, out);

	if (ret == -EAGAIN) {
		l->result.would_block += is_running(l);
		l->retry_ns = now_ns + RETRY_NS;
	} else if (ret) {
		l->order_count = 0;
		l->token_held = false;
		end(l, ret);
	}
	return ret == 0;
}

/* ---- what is delivered ---- */

static uint64_t since_ns(const struct group_load *l, uint64_t stamp_ns)
{
	uint64_t now_ns = l->ops->clock_ns();

	return now_ns > stamp_ns ? now_ns - stamp_ns : 0;
}

static bool of_this_run(const struct group_load *l, uint32_t run)
{
	return is_running(l) && run == l->config.run;
}

static void own_arrived(struct group_load *l, uint64_t stamp_ns)
{
	l->result.own++;
	l->waits = false;
	perron_histogram_record(&l->result.latency, since_ns(l, stamp_ns));
}

static void data_take(struct group_load *l, uint64_t now_ns, const struct group_load_piece *piece,
		      uint32_t sender)
{
	struct group_load_result *r = &l->result;

	if (!of_this_run(l, piece->run))
		return;
	r->messages++;
	r->bytes += piece->bytes;
	if (!r->first_ns)
		r->first_ns = now_ns;
	r->last_ns = now_ns;
	if (piece->kind == KIND_SEQUENCED)
		return;
	if (sender == l->peer)
		own_arrived(l, piece->stamp_ns);
	else
		perron_histogram_record(&r->one_way, since_ns(l, piece->stamp_ns));
}

/* At the coordinator: it is to be ordered with the next tick. */
static void order_add(struct group_load *l, uint32_t run, uint32_t peer, uint32_t number)
{
	if (!l->view.member_count || l->view.members[0].peer != l->peer)
		return;
	if (run != l->order_run)
		l->order_count = 0;
	l->order_run = run;
	if (l->order_count == GROUP_LOAD_ORDER_MAX) {
		l->result.order_full += of_this_run(l, run);
		return;
	}
	l->order[(l->order_first + l->order_count++) & ORDER_MASK] =
	    (struct group_load_pair){peer, number};
}

static void order_take(struct group_load *l, const struct perron_group_message *m)
{
	struct perron_reader r = perron_reader_of(m->data, m->size);
	const uint8_t *head = perron_read_bytes(&r, GROUP_LOAD_SIZE_MIN);

	if (!head || !of_this_run(l, perron_load32(head + 4)))
		return;
	for (uint16_t left = perron_load16(head + 10); left && !r.failed; left--) {
		uint32_t peer = perron_read32(&r);
		uint32_t number = perron_read32(&r);
		if (!r.failed && peer == l->peer)
			own_arrived(l, l->stamps_ns[number & ORDER_MASK]);
	}
}

static void token_take(struct group_load *l, const struct perron_group_message *m)
{
	if (m->size < TOKEN_SIZE)
		return;
	uint32_t run = perron_load32(m->data + 4);
	uint32_t generation = perron_load32(m->data + 12);
	uint32_t holder = perron_load32(m->data + GROUP_LOAD_SIZE_MIN);

	if (run != l->token_run) {
		l->token_run = run;
		l->token_generation = 0;
		l->token_held = false;
	}
	/* An older one: the view has changed, and its run's leader has made another. */
	if (generation < l->token_generation)
		return;
	l->token_generation = generation;
	/* One that goes to another says nothing: it may be back before it is seen to go. */
	if (holder != l->peer)
		return;
	l->token_held = true;
	l->result.tokens += of_this_run(l, run);
}

static void piece_begin(struct group_load *l, const struct perron_group_message *m)
{
	struct group_load_piece *piece = &l->piece;

	*piece = (struct group_load_piece){0};
	if (m->size < GROUP_LOAD_SIZE_MIN || perron_load32(m->data) != MAGIC)
		return;
	piece->ours = true;
	piece->run = perron_load32(m->data + 4);
	piece->kind = m->data[8];
	piece->number = perron_load32(m->data + 12);
	piece->stamp_ns = perron_load64(m->data + 16);
}

static void message_take(struct group_load *l, uint64_t now_ns,
			 const struct perron_group_message *m)
{
	l->retry_ns = 0;
	if (m->fragment_index == 0)
		piece_begin(l, m);
	l->piece.bytes += m->size;
	if (!l->piece.ours || m->fragment_index + 1 < m->fragment_count)
		return;
	switch ((enum kind)l->piece.kind) {
	case KIND_SEQUENCED:
		order_add(l, l->piece.run, m->sender, l->piece.number);
		data_take(l, now_ns, &l->piece, m->sender);
		break;
	case KIND_DATA:
		data_take(l, now_ns, &l->piece, m->sender);
		break;
	case KIND_ORDER:
		order_take(l, m);
		break;
	case KIND_TOKEN:
		token_take(l, m);
		break;
	}
}

/* What the old view's coordinator had to order, and its token, may be lost. */
static void view_take(struct group_load *l, const struct perron_group_view *view)
{
	if (view->transitional)
		return;
	l->view = *view;
	l->retry_ns = 0;
	l->order_count = 0;
	l->token_held = false;
	if (!is_running(l))
		return;
	l->result.views++;
	if (l->config.mode == GROUP_LOAD_SEQUENCER || l->config.mode == GROUP_LOAD_TOKEN)
		l->waits = false;
	if (l->config.mode == GROUP_LOAD_TOKEN && l->config.leads)
		token_make(l);
}

void group_load_indicate(struct group_load *l, uint64_t now_ns, uint8_t kind, const void *record)
{
	switch ((enum perron_group_indication)kind) {
	case PERRON_GROUP_INDICATE_MESSAGE:
		message_take(l, now_ns, record);
		break;
	case PERRON_GROUP_INDICATE_VIEW:
		view_take(l, record);
		break;
	case PERRON_GROUP_INDICATE_LIGHT:
		break;
	}
}

/* ---- what is sent ---- */

static bool order_send(struct group_load *l, uint64_t now_ns, struct perron_effects *out)
{
	uint32_t count =
	    l->order_count < GROUP_LOAD_ORDER_COUNT ? l->order_count : GROUP_LOAD_ORDER_COUNT;

	head_write(l, KIND_ORDER, l->order_run, (uint16_t)count, 0, 0);
	for (uint32_t i = 0; i < count; i++) {
		const struct group_load_pair *pair = &l->order[(l->order_first + i) & ORDER_MASK];
		perron_store32(l->message + GROUP_LOAD_SIZE_MIN + i * PAIR_SIZE, pair->peer);
		perron_store32(l->message + GROUP_LOAD_SIZE_MIN + i * PAIR_SIZE + 4, pair->number);
	}
	if (!message_send(l, now_ns, PERRON_GROUP_FIFO, GROUP_LOAD_SIZE_MIN + count * PAIR_SIZE,
			  out))
		return false;
	l->order_first += count;
	l->order_count -= count;
	l->result.orders += of_this_run(l, l->order_run);
	return true;
}

static bool wants_to_send(const struct group_load *l, uint64_t now_ns)
{
	return is_running(l) && l->config.sends && now_ns >= l->due_ns && !l->waits;
}

/* From now on: when it was first tried counts, however often that is. */
static void want(struct group_load *l)
{
	if (!l->stamp_ns)
		l->stamp_ns = l->ops->clock_ns();
}

static bool data_send(struct group_load *l, uint64_t now_ns, struct perron_effects *out)
{
	bool sequenced = l->config.mode == GROUP_LOAD_SEQUENCER;
	bool emulates = sequenced || l->config.mode == GROUP_LOAD_TOKEN;
	enum perron_group_service service =
	    emulates ? PERRON_GROUP_FIFO : (enum perron_group_service)l->config.service;

	want(l);
	head_write(l, sequenced ? KIND_SEQUENCED : KIND_DATA, l->config.run, 0, l->number + 1,
		   l->stamp_ns);
	if (!message_send(l, now_ns, service, l->config.size, out))
		return false;
	l->number++;
	l->stamps_ns[l->number & ORDER_MASK] = l->stamp_ns;
	l->stamp_ns = 0;
	l->result.sent++;
	if (l->config.mode != GROUP_LOAD_RATE) {
		l->waits = l->config.period_ns == 0;
		l->due_ns += l->config.period_ns;
	}
	return true;
}

static uint32_t next_member(const struct group_load *l)
{
	return l->view.members[(l->view.self + 1u) % l->view.member_count].peer;
}

/* Who holds the token sends one message if it has one, and passes it on. */
static void token_use(struct group_load *l, uint64_t now_ns, struct perron_effects *out)
{
	bool leads = l->config.leads && l->config.run == l->token_run;

	if ((leads && (!is_running(l) || now_ns >= l->until_ns)) || !l->view.member_count) {
		l->token_held = false;
		return;
	}
	if (wants_to_send(l, now_ns) && l->config.mode == GROUP_LOAD_TOKEN &&
	    !data_send(l, now_ns, out))
		return;
	head_write(l, KIND_TOKEN, l->token_run, 0, l->token_generation, 0);
	perron_store32(l->message + GROUP_LOAD_SIZE_MIN, next_member(l));
	if (message_send(l, now_ns, PERRON_GROUP_FIFO, TOKEN_SIZE, out))
		l->token_held = false;
}

/* Nothing is indicated yet, and what a send may cause finds room. */
static bool may_go_on(const struct perron_effects *out, uint32_t from)
{
	for (uint32_t i = from; i < out->count; i++)
		if (out->items[i].kind == PERRON_EFFECT_INDICATE)
			return false;
	return perron_effects_has_room(out, SEND_EFFECT_COUNT, SEND_EFFECT_SIZE);
}

static void datas_send(struct group_load *l, uint64_t now_ns, struct perron_effects *out)
{
	for (uint32_t i = 0; i < GROUP_LOAD_TURN && wants_to_send(l, now_ns); i++) {
		uint32_t from = out->count;
		if (!data_send(l, now_ns, out) || !may_go_on(out, from))
			return;
	}
}

void group_load_tick(struct group_load *l, uint64_t now_ns, struct perron_effects *out)
{
	if (is_running(l) && now_ns >= l->until_ns + GROUP_LOAD_DRAIN_NS)
		end(l, 0);
	if (now_ns >= l->until_ns)
		l->due_ns = UINT64_MAX;
	if (now_ns < l->retry_ns)
		return;
	l->retry_ns = 0;
	if (l->config.mode == GROUP_LOAD_TOKEN && wants_to_send(l, now_ns))
		want(l); /* its time begins without the token */
	if (l->order_count)
		(void)order_send(l, now_ns, out);
	else if (l->token_held)
		token_use(l, now_ns, out);
	else if (l->config.mode != GROUP_LOAD_TOKEN)
		datas_send(l, now_ns, out);
}

static uint64_t send_deadline_ns(const struct group_load *l)
{
	if (l->config.mode == GROUP_LOAD_TOKEN && l->stamp_ns)
		return UINT64_MAX;
	return l->config.sends && !l->waits ? l->due_ns : UINT64_MAX;
}

uint64_t group_load_deadline_ns(const struct group_load *l)
{
	uint64_t deadline_ns = UINT64_MAX;

	if (l->order_count || l->token_held)
		deadline_ns = 0;
	else if (is_running(l))
		deadline_ns = send_deadline_ns(l);
	if (deadline_ns < l->retry_ns)
		deadline_ns = l->retry_ns;
	if (is_running(l) && l->until_ns + GROUP_LOAD_DRAIN_NS < deadline_ns)
		deadline_ns = l->until_ns + GROUP_LOAD_DRAIN_NS;
	return deadline_ns;
}
