/*
 * The payloads of control frames: fixed fields, big-endian, nothing optional; lists with a count
 * before them. One write and one read function a message; a read that fails drops the frame as
 * malformed. `docs/protocol.md` shows each.
 *
 * Pure; any thread.
 */
#ifndef PERRON_OVERLAY_CONTROL_H
#define PERRON_OVERLAY_CONTROL_H

#include "overlay/overlay_ops.h"
#include "overlay/position.h"
#include "runtime/base/bytes.h"
#include "runtime/base/command.h"
#include "runtime/base/qos.h"

/* A peer and its slot in some cell. 15 bytes. */
struct perron_member {
	struct perron_party party;
	uint8_t slot;
};

struct perron_members {
	uint32_t count;
	struct perron_member items[PERRON_CELL_SIZE_MAX];
};

struct perron_binding_request {
	uint32_t attempt; /* grows with each binding of this incarnation */
	bool has_wish;
	struct perron_position wish;
};

struct perron_binding_reply {
	uint32_t attempt;
	uint8_t verdict;
	uint32_t wait_ms;                /* WAIT */
	struct perron_portal redirect;   /* REDIRECT */
	struct perron_position position; /* OK */
	struct perron_members siblings;
	struct perron_members parents;
};

/* BIND and PARENT_REQUEST. */
struct perron_bind {
	uint32_t attempt;
	struct perron_position position; /* of the sender */
};

/* BIND_REPLY and PARENT_REPLY. */
struct perron_bind_reply {
	uint32_t attempt;
	uint8_t verdict;
	struct perron_position position; /* of the sender */
};

#define PERRON_ROUTE_MAX (PERRON_LEVEL_COUNT_MAX + 2)

struct perron_join {
	struct perron_party joiner;
	uint32_t nonce;
	uint32_t attempt;
	struct perron_position position;
	uint8_t route_count;
	uint32_t route[PERRON_ROUTE_MAX]; /* peers it climbed by, the joiner first */
};

struct perron_join_reply {
	uint32_t joiner;
	uint32_t joiner_incarnation;
	uint32_t nonce;
	uint8_t verdict;
	uint64_t epoch;
	uint32_t lease_ms;
	uint8_t route_count;
	uint32_t route[PERRON_ROUTE_MAX]; /* still to go down by, the joiner first */
	struct perron_members siblings;
	struct perron_members parents;
};

struct perron_sensor_entry {
	char name[PERRON_SENSOR_NAME_MAX + 1];
	uint32_t owner;
	uint32_t owner_incarnation;
	uint32_t stamp; /* the owner's number of this advertisement */
	uint32_t term;  /* counts the stream's owners; 0: no owner, its sensor hangs there as well */
	uint32_t life;  /* at least as high as that of any of the stream's sequences */
};

/* name 32, owner 4, incarnation 4, stamp 4, term 4, life 4. */
#define PERRON_SENSOR_ENTRY_SIZE 52
#define PERRON_ADVERTISE_COUNT_MAX ((PERRON_PAYLOAD_SIZE_MAX - 8) / PERRON_SENSOR_ENTRY_SIZE)

struct perron_advertise {
	uint8_t lateral; /* from a sibling: not to be passed on */
	uint32_t count;
	struct perron_sensor_entry items[PERRON_ADVERTISE_COUNT_MAX];
};

struct perron_discover {
	struct perron_party asker;
	uint32_t nonce;
	uint8_t ttl;
	char name[PERRON_SENSOR_NAME_MAX + 1];
};

struct perron_discover_reply {
	uint32_t nonce;
	uint8_t verdict;
	uint32_t owner;
	uint32_t holder; /* the peer that knew */
	char name[PERRON_SENSOR_NAME_MAX + 1];
};

struct perron_subscribe {
	uint32_t nonce;
	uint8_t class;
	uint32_t latency_us;
	uint64_t resume; /* sequence to go on from; 0: the present */
	struct perron_qos qos;
	char name[PERRON_SENSOR_NAME_MAX + 1];
};

struct perron_subscribe_reply {
	uint32_t nonce;
	uint8_t verdict;
	uint8_t class;
	uint32_t stream;
	uint64_t start;
	uint32_t latency_us; /* estimate */
	uint8_t hops;
	uint8_t replicas; /* too few siblings: so many could be given; else 0 */
	struct perron_portal redirect;
};

struct perron_path_setup {
	uint8_t class;
	uint32_t stream;
	uint32_t latency_us; /* bound; 0: none */
	uint32_t spent_us;   /* estimate from the client to here */
	uint8_t hops;
	uint64_t resume;
	struct perron_qos qos; /* the strongest below */
	bool firm; /* refused if the cell has fewer siblings; else it gets as many as there are */
	char name[PERRON_SENSOR_NAME_MAX + 1];
};

struct perron_path_reply {
	uint8_t class;
	uint32_t stream;
	uint8_t verdict;
	uint32_t refuser; /* the peer that refused */
	uint64_t start;
	uint32_t latency_us; /* estimate of the whole path */
	uint8_t hops;
	uint8_t replicas; /* too few siblings: so many could be given; else 0 */
};

/* PATH_TEARDOWN and UNSUBSCRIBE. */
struct perron_path_teardown {
	uint8_t class;
	uint32_t stream;
};

#define PERRON_CONTROL_MESSAGES(X)                                                                 \
	X(binding_request)                                                                         \
	X(binding_reply)                                                                           \
	X(bind)                                                                                    \
	X(bind_reply)                                                                              \
	X(join)                                                                                    \
	X(join_reply)                                                                              \
	X(advertise)                                                                               \
	X(discover)                                                                                \
	X(discover_reply)                                                                          \
	X(subscribe)                                                                               \
	X(subscribe_reply)                                                                         \
	X(path_setup)                                                                              \
	X(path_reply)                                                                              \
	X(path_teardown)                                                                           \
	X(members)

/* Returns the payload's size; `out` has room for PERRON_PAYLOAD_SIZE_MAX. */
#define X(name) uint32_t perron_##name##_write(uint8_t *out, const struct perron_##name *m);
PERRON_CONTROL_MESSAGES(X)
#undef X

/* False: malformed. */
#define X(name)                                                                                    \
	bool perron_##name##_read(const uint8_t *data, uint32_t size, struct perron_##name *m)     \
		PERRON_MUST_USE;
PERRON_CONTROL_MESSAGES(X)
#undef X

#endif
