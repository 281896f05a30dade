/*
 * What is behind a `struct perron`: the client's machine, the kernel's UDP that it speaks through,
 * and the subscriptions as the program sees them. Private to libperron; one thread.
 *
 * A frame's way: udp -> pool -> machine -> (DELIVER) -> queue -> assembly -> the program. Frames
 * are received only while the queue is empty, so the pool's size is known: what windows may hold,
 * and a burst of each class, and the buffer that the program looks at.
 */
#ifndef PERRON_APPS_LIBPERRON_SESSION_H
#define PERRON_APPS_LIBPERRON_SESSION_H

#include "apps/libperron/assembly.h"
#include "apps/libperron/perron.h"
#include "apps/libperron/pool.h"
#include "apps/libperron/udp.h"
#include "overlay/client.h"

#define PERRON_SUBSCRIPTIONS_MAX 64

/* A delivered frame that waits for the program. */
struct perron_waiting {
	uint32_t buffer;
	int32_t subscription; /* -1: ended since */
};

struct perron_entry {
	bool used;
	int32_t machine;  /* index in the machine; -1: failed */
	int failure;      /* negative errno, once it failed */
	char sensor[PERRON_SENSOR_NAME_MAX + 1];
	enum perron_traffic traffic;
	uint64_t asked_ns;
	struct perron_subscription_info last; /* when it failed */
	struct perron_assembly assembly;
};

struct perron {
	struct perron_options options;
	struct perron_client_config cfg;
	struct perron_client *client;
	struct perron_udp udp;
	struct perron_pool pool;
	int epoll_fd;
	int timer_fd;
	uint64_t armed_ns;          /* when the timer fires; UINT64_MAX: never */
	uint64_t clock_offset_ns;   /* CLOCK_REALTIME - CLOCK_MONOTONIC, at perron_open */
	uint32_t starting_count;    /* entries not granted yet */
	int64_t pinned;             /* buffer that the program looks at; -1: none */
	struct perron_waiting *queue;
	uint32_t queue_head;
	uint32_t queue_count;
	struct perron_effects effects;
	struct perron_entry *entries; /* options.subscription_count_max */
	int32_t entry_of[PERRON_SUBSCRIPTIONS_MAX]; /* by the machine's index */
	uint8_t *assembly_memory;
	uint64_t frames_received;
	uint64_t frames_sent;
	uint64_t bytes_received;
	uint64_t send_errors;
	char error[PERRON_ERROR_SIZE];
};

uint64_t perron_session_now_ns(void);
/* Applies what the machine wants, and sets the timer for what it wants next. */
void perron_session_apply(struct perron *p);
/* Waits up to `timeout_ms` for something to do, and does it. 0, or a negative errno. */
int perron_session_work(struct perron *p, int timeout_ms) PERRON_MUST_USE;
/* A message for the program from what waits; false if there is none. */
bool perron_session_message(struct perron *p, struct perron_message *out);
/* The next failure that was not told yet, or 0; says it in p->error. */
int perron_session_failure(struct perron *p, int *subscription) PERRON_MUST_USE;
/* Ends the entry's subscription in the machine. */
void perron_session_leave(struct perron *p, struct perron_entry *e);

#endif
