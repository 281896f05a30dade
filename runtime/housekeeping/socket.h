/*
 * The command socket: a unix stream socket that speaks JSON lines.
 *
 *	{"command":"status"}             ->  {"ok":true,...}
 *	{"command":"nonsense"}           ->  {"ok":false,"error":"..."}
 *	{"command":"subscribe"}          ->  {"ok":true,...}, then a line for each event
 *	                                     {"event":"...",...}; "events":["joined",...] filters
 *	{"command":"help"}               ->  {"ok":true,"commands":{name: summary}}
 *
 * Nothing here blocks. Clients are bounded in number, a request in length, what waits for a slow
 * reader in bytes and in time; whoever goes beyond is told, or cut off, and costs only itself.
 * A socket file left by a station that was killed is replaced; a live station's is refused.
 *
 * All functions: housekeeping thread.
 */
#ifndef PERRON_RUNTIME_HOUSEKEEPING_SOCKET_H
#define PERRON_RUNTIME_HOUSEKEEPING_SOCKET_H

#include <stdint.h>

#include "runtime/base/assert.h"
#include "runtime/housekeeping/request.h"

#define PERRON_SOCKET_CLIENT_MAX  16
#define PERRON_SOCKET_REQUEST_MAX 4096 /* bytes of a request's line */
/* What may wait for a reader: several of the longest replies (report.h), or 10,000 events. */
#define PERRON_SOCKET_PENDING_MAX (1u << 20)
/* A reader that takes nothing for so long is cut off. */
#define PERRON_SOCKET_STALL_NS	     10000000000u
#define PERRON_SOCKET_EVENT_NAME_MAX 16 /* names that one `subscribe` filters by */

struct perron_socket;

struct perron_socket_config {
	const char *path;		       /* copied */
	const struct perron_request *requests; /* outlives the socket */
	void *context;			       /* given to each handler */
};

struct perron_socket_counters {
	uint64_t accepted;
	uint64_t refused; /* too many clients */
	uint64_t requests;
	uint64_t malformed; /* requests that are not one JSON object, or too long */
	uint64_t cut_off;   /* slow readers */
	uint64_t events;    /* published to at least one client */
};

/*
 * Makes the directory if it is missing, and listens. 0; -EADDRINUSE: another station runs there;
 * or another -errno. On error nothing is left behind.
 */
int perron_socket_open(struct perron_socket **out, const struct perron_socket_config *config,
		       char *error, size_t error_size) PERRON_MUST_USE;

/* One descriptor that is readable whenever perron_socket_step has something to do. */
int perron_socket_fd(const struct perron_socket *socket);

/* When step is due though the fd is quiet; UINT64_MAX: never. */
uint64_t perron_socket_deadline_ns(const struct perron_socket *socket);

/* Serves what is there: a bounded amount for each client. */
void perron_socket_step(struct perron_socket *socket, uint64_t now_ns);

/* Sends an event to those who subscribed. `body` is an object and stays the caller's. */
void perron_socket_publish(struct perron_socket *socket, const char *event, const json_t *body);

void perron_socket_counters_read(const struct perron_socket *socket,
				 struct perron_socket_counters *out);

/* Ends all clients and removes the file. NULL is allowed. */
void perron_socket_close(struct perron_socket *socket);

#endif
