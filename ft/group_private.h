/* The group's inside, shared by its files and called by the relay's; nobody else includes it. */
#ifndef PERRON_FT_GROUP_PRIVATE_H
#define PERRON_FT_GROUP_PRIVATE_H

#include "ft/group.h"
#include "ft/relay_private.h"

#define GROUP_MEMBER_MAX PERRON_GROUP_MEMBER_COUNT_MAX
/* Peers of the cell that are known: members, and those who come while others go. */
#define GROUP_SIBLING_MAX 32
/* Full frames that one call may send; the rest waits. Bounds the arena. */
#define GROUP_SEND_MAX 96
/* Packets sent again for one NACK, and how far ahead of a gap one NACK asks. */
#define GROUP_NACK_SPAN 32
/* No clock is further ahead of another's than the packets and promises that can be under way. */
#define GROUP_CLOCK_AHEAD_MAX (1u << 20)
/* With more of its own packets under way a sender fills a packet, but for so long at most. */
#define GROUP_PACK_FROM 2
#define GROUP_PACK_NS   20000u
/* Who has sent nothing for so long is idle. */
#define GROUP_IDLE_NS 20000000u
#define GROUP_ALL     UINT32_MAX
#define GROUP_NEVER   UINT64_MAX
/* A follower of a change is this much more patient than its leader. */
#define GROUP_FOLLOWER_PATIENCE 3

enum group_kind {
	GROUP_HELLO = 1, /* to all siblings: who I am, my view, whom I reach */
	GROUP_LEAVE,     /* to all siblings */
	GROUP_STATE,     /* to all candidates of a change */
	GROUP_REFUSE,    /* to the leader of a change */
	GROUP_COMMIT,    /* from the leader to all candidates */
	GROUP_READY,     /* to all members of the coming view */
	GROUP_DATA,      /* a packet of messages, with its sender's row */
	GROUP_STATUS,    /* a row alone */
	GROUP_NACK,      /* packets that are missing */
	GROUP_KIND_COUNT,
};

/* DATA: sent again, perhaps by another than its sender. HELLO, STATE, STATUS: answer, please. */
#define GROUP_FLAG_AGAIN  0x01u
#define GROUP_FLAG_ANSWER 0x02u
/* HELLO: its sender is in no regular view just now. STATE: its sender lacks the COMMIT. */
#define GROUP_FLAG_FROZEN 0x04u

#define GROUP_HEAD_SIZE 24u
#define GROUP_ITEM_SIZE 12u

/* What every frame of a group begins with. */
struct group_head {
	uint8_t kind;
	uint8_t flags;
	uint8_t member_count; /* of the view; DATA, STATUS, NACK: length of the rows */
	uint8_t index;        /* of the member that it is about */
	uint64_t cell;
	struct perron_group_view_id view; /* or the change's, which is the coming view's */
};

struct group_data {
	uint32_t sequence;
	uint32_t stamp;
	uint32_t row[GROUP_MEMBER_MAX];
	uint32_t past[GROUP_MEMBER_MAX]; /* what its sender had delivered */
	uint32_t items_at;               /* offset in the payload */
};

struct group_status {
	uint32_t clock;
	uint32_t sent;
	uint32_t row[GROUP_MEMBER_MAX];
};

enum group_item_kind {
	GROUP_ITEM_MESSAGE,
	GROUP_ITEM_JOIN,
	GROUP_ITEM_LEAVE,
	GROUP_ITEM_LIST, /* payload: the light-weight groups that its sender is in */
	GROUP_ITEM_KIND_COUNT,
};

/* A message or a piece of one, in a packet. */
struct group_item {
	uint8_t kind;
	uint8_t service;
	uint8_t fragment_index;
	uint8_t fragment_count;
	uint32_t group;
	uint16_t size;
	const uint8_t *data;
};

struct group_hello {
	uint32_t life;
	uint8_t slot;
	uint32_t number; /* of the latest view or change that it knows */
	uint8_t reach_count;
	uint32_t reach[GROUP_SIBLING_MAX];
};

/* What a candidate brings into a change. It stays as it is until the next change. */
struct group_state {
	struct perron_group_view_id view; /* from which it comes */
	uint8_t member_count;             /* of that */
	uint32_t reach;                   /* bit: candidate */
	uint32_t received[GROUP_MEMBER_MAX];
	uint32_t clock[GROUP_MEMBER_MAX];
	uint32_t stable[GROUP_MEMBER_MAX];
};

/* A change of views under way. */
struct group_change {
	struct perron_group_view_id id; /* number 0: none */
	uint8_t candidate_count;
	uint8_t self;
	struct perron_group_member candidates[GROUP_MEMBER_MAX];
	uint32_t stated;    /* bit: candidate whose state came */
	uint32_t committed; /* bit: candidate that will be a member; 0: not decided */
	uint32_t ready;     /* bit: candidate that has recovered */
	uint32_t first;     /* of sequences and stamps in the coming view */
	uint64_t expires_ns;
	struct group_state states[GROUP_MEMBER_MAX];
	struct group_state merged; /* RECOVER: what those of our view have between them */
	bool is_merged;
	bool active; /* under way; else what is left of the last one */
	uint64_t resend_at_ns;
	uint32_t told_size; /* our own STATE, to be told again as it was */
	uint8_t told[PERRON_PAYLOAD_SIZE_MAX];
};

struct group_sibling {
	uint32_t peer; /* 0: free */
	uint32_t incarnation;
	bool up;    /* its link */
	bool known; /* said hello since */
	uint32_t life;
	uint8_t slot;
	uint8_t flags; /* of its hello */
	struct perron_group_view_id view;
	uint8_t reach_count;
	uint32_t reach[GROUP_SIBLING_MAX];
	uint64_t excluded_until_ns; /* not thought of until then; 0: it is */
	uint64_t hello_sent_ns;
};

struct group_packet {
	uint32_t sequence;
	uint32_t stamp;
	uint16_t size; /* 0: free */
	uint16_t items_at;
	uint8_t data[PERRON_PAYLOAD_SIZE_MAX];
};

/* One member's packets in the view. Sequences and stamps are compared as serial numbers. */
struct group_stream {
	struct group_packet *ring;
	uint32_t freed;           /* let go up to here */
	uint32_t received;        /* without a gap */
	uint32_t clock;           /* its sender's; whatever else it sends is stamped later */
	uint32_t announced;       /* sent by its sender, as it says */
	uint32_t announced_clock; /* becomes `clock` when all announced is here */
	uint32_t passed;          /* packets that are delivered, or left out for good */
	uint16_t item_at;  /* in the packet after: from here on not delivered; 0: its first */
	uint16_t piece_at; /* where the unfinished message begins, in packet `piece_packet` */
	uint32_t piece_packet;
	uint8_t piece_count;            /* pieces of it that were passed; 0: none is unfinished */
	uint32_t stable;                /* every member has it up to here */
	uint32_t told;                  /* acknowledged, as we said last */
	uint32_t row[GROUP_MEMBER_MAX]; /* how far this member has the others' packets */
	uint64_t nack_at_ns;
	uint32_t nack_tries;
};

struct group_pending {
	uint16_t size;
	bool unfinished; /* the message at its end goes on in the next packet */
	uint8_t items[PERRON_PAYLOAD_SIZE_MAX];
};

struct group_light {
	uint32_t group;   /* 0: free */
	uint32_t members; /* bit: member of the view */
	bool mine;
};

/* The end of a view, step by step. */
enum group_ending {
	GROUP_ENDING_REGULAR,
	GROUP_ENDING_TRANSITIONAL,
};

struct perron_group {
	struct perron_group_config cfg;
	struct perron_relay *relay;
	struct perron_group_counters counters;
	uint64_t cell; /* 0: none */
	uint8_t slot;
	uint32_t life;
	uint32_t number; /* of the latest view or change that we know */
	uint8_t state;   /* enum perron_group_state */
	uint8_t ending;  /* INSTALL: enum group_ending */
	bool again;      /* something is left to be done at once */
	bool indicated;  /* this call gave messages to the user: packets stay where they are */
	bool touched;    /* by a frame, since the last flush */
	bool evaluate;   /* whether a change is needed is to be looked at */
	bool hello;      /* to be said to all */
	uint32_t send_budget;
	uint64_t deadline_ns;

	struct perron_group_view view; /* regular */
	struct group_stream streams[GROUP_MEMBER_MAX];
	uint32_t sent;         /* own packets */
	uint32_t clock;        /* Lamport's: of the packets sent and received */
	uint32_t promised;     /* whatever we send is stamped later */
	bool owed;             /* all wait for our row */
	uint32_t askers;       /* bit: member that asked for it */
	uint32_t settled_mark; /* changes as messages are delivered and become stable */
	uint64_t status_at_ns;
	uint64_t resend_at_ns;
	uint64_t pack_at_ns;
	uint64_t packet_sent_ns; /* the last one */

	struct group_pending *pending;
	uint32_t pending_head; /* oldest kept; all three run free */
	uint32_t pending_next; /* next to be sent */
	uint32_t pending_end;

	struct group_change change;
	uint32_t change_tries; /* since the last view */
	uint64_t change_not_before_ns;
	bool is_put_off;          /* a change is wanted, but not before that */
	uint64_t needed_since_ns; /* somebody else is to lead a change; 0: no */
	uint64_t installed_ns;
	uint64_t hello_at_ns;
	uint32_t sibling_count;
	struct group_sibling siblings[GROUP_SIBLING_MAX];

	struct group_light *lights;
	uint32_t listed; /* bit: member whose list of light-weight groups came */
};

static inline int32_t serial_ahead(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static inline uint32_t serial_max(uint32_t a, uint32_t b)
{
	return serial_ahead(a, b) > 0 ? a : b;
}

static inline uint32_t group_min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint64_t group_min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint32_t group_ring_size(const struct perron_group *g)
{
	return 2 * g->cfg.window;
}

/* The packet of a stream, or NULL if it is not here. */
static inline struct group_packet *group_packet(const struct perron_group *g,
						const struct group_stream *s, uint32_t sequence)
{
	struct group_packet *p = &s->ring[sequence & (group_ring_size(g) - 1)];

	return p->size && p->sequence == sequence ? p : NULL;
}

/* --- called by the relay --- */

size_t perron_group_size(const struct perron_group_config *cfg);
bool perron_group_config_is_valid(const struct perron_group_config *cfg);
/* Takes perron_group_size(cfg) of the arena. */
struct perron_group *perron_group_init(struct perron_arena *arena,
				       const struct perron_group_config *cfg,
				       struct perron_relay *relay);
/* The peer is of this cell from now on, in this slot; 0: of none. Leaves the former in order. */
void perron_group_cell(struct perron_group *g, uint64_t now_ns, uint64_t cell, uint8_t slot,
		       struct perron_effects *out);
/* A linked peer is one of the cell, or is no more. -ENOSPC: too many. */
int perron_group_sibling(struct perron_group *g, uint64_t now_ns, uint32_t peer, bool is_sibling,
			 struct perron_effects *out);
/* A link came up, or is no more (verdict, closed, another life). */
void perron_group_link(struct perron_group *g, uint64_t now_ns, uint32_t peer, bool up,
		       struct perron_effects *out);
/* A GROUP frame that came in over a link. */
enum perron_drop perron_group_frame(struct perron_group *g, uint64_t now_ns, uint32_t peer,
				    const uint8_t *payload, uint32_t size,
				    struct perron_effects *out);
/* Whether a flush is wanted after a burst. */
bool perron_group_is_touched(const struct perron_group *g);
/* What became due. */
void perron_group_flush(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
void perron_group_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
uint64_t perron_group_deadline_ns(const struct perron_group *g);
void perron_group_check(const struct perron_group *g);

/* --- group.c --- */

/* Sends a frame of the group over the link to `peer`, if it is there and the budget allows. */
void group_send(struct perron_group *g, uint64_t now_ns, uint32_t peer, const uint8_t *payload,
		uint32_t size, struct perron_effects *out);
/* To every member of the view but this one. */
void group_send_members(struct perron_group *g, uint64_t now_ns, const uint8_t *payload,
			uint32_t size, struct perron_effects *out);
struct group_sibling *group_sibling(struct perron_group *g, uint32_t peer);
/* Index in the regular view, or -1. */
int group_member_index(const struct perron_group *g, uint32_t peer);
static inline void group_wake_at(struct perron_group *g, uint64_t at_ns)
{
	if (at_ns < g->deadline_ns)
		g->deadline_ns = at_ns;
}

/* --- group_wire.c: each _read is false for what no member would send --- */

struct perron_writer group_head_write(uint8_t *payload, const struct group_head *head);
bool group_head_read(struct perron_reader *r, struct group_head *head);
void group_data_write(uint8_t *payload, const struct group_head *head,
		      const struct group_data *data);
uint32_t group_items_at(uint32_t member_count);
/* Reads all but the items, and looks at these. */
bool group_data_read(const uint8_t *payload, uint32_t size, uint32_t member_count,
		     struct group_data *data);
/* The item at `*at`, which moves behind it; false: there is none. */
bool group_item_read(const uint8_t *payload, uint32_t size, uint32_t *at, struct group_item *item);
uint32_t group_item_write(uint8_t *items, uint32_t at, const struct group_item *item);
uint32_t group_status_write(uint8_t *payload, const struct group_head *head,
			    const struct group_status *status);
bool group_status_read(struct perron_reader *r, uint32_t member_count, struct group_status *status);
uint32_t group_hello_write(uint8_t *payload, const struct group_head *head,
			   const struct group_hello *hello);
bool group_hello_read(struct perron_reader *r, struct group_hello *hello);
uint32_t group_state_write(uint8_t *payload, const struct group_head *head,
			   const struct group_change *change, const struct group_state *state);
/* Fills in the candidates, and the state of candidate head.index. */
bool group_state_read(struct perron_reader *r, struct group_change *change,
		      struct group_state *state);

/* --- group_stream.c --- */

/* A new view's streams: everything begins behind `first` - 1. */
void group_streams_start(struct perron_group *g, uint32_t first);
enum perron_drop group_data(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			    int from, const uint8_t *payload, uint32_t size);
enum perron_drop group_status(struct perron_group *g, uint64_t now_ns,
			      const struct group_head *head, int from, struct perron_reader *r);
enum perron_drop group_nack(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			    uint32_t peer, struct perron_reader *r, struct perron_effects *out);
/* Asks `peer` for what is missing of a stream, up to `last`. */
void group_nack_send(struct perron_group *g, uint64_t now_ns, uint32_t index, uint32_t last,
		     uint32_t peer, struct perron_effects *out);
/* Sends what is pending, as far as the window allows; then the row, if somebody waits for it. */
void group_transmit(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
/* What is here and others were not told: much of it at once, little of it soon. */
void group_acknowledge(struct perron_group *g, uint64_t now_ns);
void group_stream_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
uint64_t group_stream_deadline_ns(const struct perron_group *g);
/* Lets go of what is stable and delivered. */
void group_streams_free(struct perron_group *g);
/* Sends one packet of these items at once, before what is pending. */
void group_packet_send(struct perron_group *g, uint64_t now_ns, const uint8_t *items, uint32_t size,
		       struct perron_effects *out);
void group_streams_check(const struct perron_group *g);
/* Whether something of the view is under way still. */
bool group_is_settled(const struct perron_group *g);

/* --- group_deliver.c --- */

/* Delivers what may be; at the end of a view all that may ever be. True: nothing is left to do. */
bool group_deliver(struct perron_group *g, bool transitional, struct perron_effects *out);

/* --- group_hello.c --- */

static inline uint32_t group_self_peer(const struct perron_group *g)
{
	return g->relay->cfg.peer;
}

/* The order of members in a view. */
static inline bool group_is_before(uint8_t slot_a, uint32_t a, uint8_t slot_b, uint32_t b)
{
	return slot_a != slot_b ? slot_a < slot_b : a < b;
}

/* Heard from, both ways; this is what others are told. */
static inline bool group_is_linked(const struct group_sibling *s)
{
	return s && s->up && s->known;
}

/* And to be reckoned with: neither silent in a change nor passed over as a leader of late. */
static inline bool group_is_reached(const struct group_sibling *s)
{
	return group_is_linked(s) && !s->excluded_until_ns;
}

static inline bool group_is_frozen(const struct perron_group *g)
{
	return g->state != PERRON_GROUP_STATE_OPERATIONAL;
}

enum perron_drop group_hello(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			     struct group_sibling *s, struct perron_reader *r,
			     struct perron_effects *out);
void group_hello_send(struct perron_group *g, uint64_t now_ns, struct group_sibling *s,
		      uint8_t flags, struct perron_effects *out);
void group_hello_all(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
/* A frame of another view came: whoever is behind is told where we are. */
void group_view_differs(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			struct group_sibling *s, struct perron_effects *out);
struct perron_group_member group_self_member(const struct perron_group *g);
bool group_member_equal(const struct perron_group_member *a, const struct perron_group_member *b);
/* The sibling that is this member, in this life, and reached; or NULL. */
const struct group_sibling *group_member_sibling(struct perron_group *g,
						 const struct perron_group_member *m);
/* The lowest of this peer and those it reaches. */
uint32_t group_leader(const struct perron_group *g);
/* The view that should be, led from here: all who reach each other, the lower first. */
uint32_t group_wanted_list(struct perron_group *g, struct perron_group_member *out);
/* No cell changes its view so often that a member would be further behind. */
bool group_number_is_possible(const struct perron_group *g, uint32_t number);
/* The others went on without us: another life. */
void group_shunned(struct perron_group *g);

/* --- group_change.c --- */

static inline uint32_t group_bit(uint32_t index)
{
	return 1u << index;
}

enum perron_drop group_state(struct perron_group *g, uint64_t now_ns, const struct group_head *head,
			     struct group_sibling *s, struct perron_reader *r,
			     struct perron_effects *out);
enum perron_drop group_refuse(struct perron_group *g, const struct group_head *head,
			      struct group_sibling *s, struct perron_reader *r);
enum perron_drop group_commit(struct perron_group *g, uint64_t now_ns,
			      const struct group_head *head, struct group_sibling *s,
			      struct perron_reader *r);
enum perron_drop group_ready(struct perron_group *g, const struct group_head *head,
			     struct group_sibling *s);
void group_change_begin(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
void group_change_drop(struct perron_group *g);
/* Its leader is lost, or one whom it needs. */
bool group_change_is_hopeless(struct perron_group *g);
/* As far as it goes now: to INSTALL, when all that is known of the old view is here. */
void group_change_advance(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
void group_change_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
uint64_t group_change_deadline_ns(const struct perron_group *g);

/* --- group_view.c --- */

/* In a view of its own, which is the first. */
void group_view_begin(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
/* Begins a change if one is needed and this peer is to lead it. */
void group_view_evaluate(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
/* Bit: candidate of the change that comes from our view and goes on with us. */
uint32_t group_companions(const struct perron_group *g);
/* Recovers, delivers the end of the old view, installs: as far as it goes now. */
void group_view_advance(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
void group_view_tick(struct perron_group *g, uint64_t now_ns, struct perron_effects *out);
uint64_t group_view_deadline_ns(const struct perron_group *g);
/* Tells housekeeping of a view (again). */
void group_view_event(struct perron_group *g, uint64_t now_ns, const struct perron_group_view *view,
		      struct perron_effects *out);
void group_view_check(const struct perron_group *g);

/* --- group_light.c --- */

void group_light_reset(struct perron_group *g);
/* A control message, delivered in the agreed order. */
void group_light_take(struct perron_group *g, uint32_t member, const struct group_item *item,
		      struct perron_effects *out);
bool group_light_has_room(const struct perron_group *g, uint32_t group);
bool group_light_is_mine(const struct perron_group *g, uint32_t group);
/* `kept`: for each member of the new view its index in the old one, or -1 if it comes from
 * another; sends our own list. */
void group_light_view(struct perron_group *g, uint64_t now_ns, const int *kept,
		      struct perron_effects *out);

#endif
