#include "runtime/housekeeping/telemetry.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_telemetry.h>

#define PREFIX "/perron/"
/* rte_telemetry cuts an answer at 16,384 bytes; the envelope and what follows rows need some. */
#define ANSWER_SIZE_MAX 14000u
/* Lists in rows (a peer's links) are the deepest that there is: answer, list, row, list, row. */
#define DEPTH_MAX 6

enum mail_state {
	MAIL_EMPTY,
	MAIL_ASKED,
	MAIL_ANSWERED,
};

/* One request at a time. Everything below the lock is guarded by it. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool running;
	int fd;
	const struct perron_request *requests;
	void *context;
	enum mail_state state;
	uint64_t
	    number; /* of the request: an answer that comes too late is not taken for another's */
	const struct perron_request *request;
	json_t *parameters;
	json_t *answer; /* NULL: `error` says why */
	char error[PERRON_REQUEST_ERROR_SIZE];
} mailbox = {.lock = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER, .fd = -1};

static int fill_dict(struct rte_tel_data *out, const json_t *object, uint32_t depth);

static int add_text(struct rte_tel_data *out, const char *key, const char *text)
{
	char cut[RTE_TEL_MAX_STRING_LEN];

	size_t length = strnlen(text, sizeof(cut) - 1);
	memcpy(cut, text, length);
	cut[length] = 0;
	return rte_tel_data_add_dict_string(out, key, cut);
}

/* rte_telemetry's arrays hold no objects: a list becomes an object with members 0, 1, ... */
static json_t *list_as_object(const json_t *list)
{
	json_t *object = json_object();

	for (size_t i = 0; i < json_array_size(list) && i < RTE_TEL_MAX_DICT_ENTRIES; i++) {
		char key[16];
		snprintf(key, sizeof(key), "%zu", i);
		json_object_set(object, key, json_array_get(list, i));
	}
	return object;
}

static int add_container(struct rte_tel_data *out, const char *key, const json_t *value,
			 uint32_t depth)
{
	if (depth == DEPTH_MAX)
		return add_text(out, key, "...");
	struct rte_tel_data *inner = rte_tel_data_alloc();
	if (!inner)
		return -ENOMEM;
	int rc;
	if (json_is_array(value)) {
		json_t *object = list_as_object(value);
		rc = fill_dict(inner, object, depth + 1);
		json_decref(object);
	} else {
		rc = fill_dict(inner, value, depth + 1);
	}
	if (!rc)
		rc = rte_tel_data_add_dict_container(out, key, inner, 0);
	if (rc)
		rte_tel_data_free(inner);
	return rc;
}

static int add_member(struct rte_tel_data *out, const char *key, const json_t *value,
		      uint32_t depth)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		return add_container(out, key, value, depth);
	case JSON_STRING:
		return add_text(out, key, json_string_value(value));
	case JSON_INTEGER:
		return rte_tel_data_add_dict_u64(out, key, (uint64_t)json_integer_value(value));
	case JSON_TRUE:
		return rte_tel_data_add_dict_int(out, key, 1);
	case JSON_FALSE:
		return rte_tel_data_add_dict_int(out, key, 0);
	case JSON_REAL:
	case JSON_NULL:
		return add_text(out, key, "");
	}
	return -EINVAL;
}

static int fill_dict(struct rte_tel_data *out, const json_t *object, uint32_t depth)
{
	const char *key;
	json_t *value;
	int rc = rte_tel_data_start_dict(out);

	/* The macro wants a writable object, and writes nothing. */
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (rc)
			break;
		rc = add_member(out, key, value, depth);
	}
	return rc;
}

int perron_telemetry_fill(struct rte_tel_data *out, const json_t *object)
{
	PERRON_ASSERT(out != NULL && json_is_object(object));
	return fill_dict(out, object, 0);
}

/* Cuts the answer's list to what one answer of rte_telemetry holds. */
static void cut_list(json_t *answer, uint32_t first)
{
	json_t *value = NULL;
	size_t size = 0, row = 0;

	for (void *at = json_object_iter(answer); at && !json_is_array(value);
	     at = json_object_iter_next(answer, at))
		value = json_object_iter_value(at);
	if (!json_is_array(value))
		return;
	for (; row < json_array_size(value); row++) {
		/* A list in the row gains keys, some 6 bytes an entry. */
		size += json_dumpb(json_array_get(value, row), NULL, 0, JSON_COMPACT) * 9 / 8 + 12;
		if (size > ANSWER_SIZE_MAX && row)
			break;
	}
	if (row == json_array_size(value))
		return;
	while (json_array_size(value) > row)
		json_array_remove(value, json_array_size(value) - 1);
	json_object_set_new(answer, "next", json_integer((json_int_t)(first + row)));
}

/* "first[,count]" */
static json_t *parse_parameters(const char *parameters, uint32_t *first)
{
	json_t *request = json_object();
	char *end;

	*first = 0;
	if (!parameters || !*parameters)
		return request;
	*first = (uint32_t)strtoul(parameters, &end, 10);
	json_object_set_new(request, "first", json_integer((json_int_t)*first));
	if (*end == ',')
		json_object_set_new(request, "count",
				    json_integer((json_int_t)strtoul(end + 1, NULL, 10)));
	return request;
}

static void wait_for_answer(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PERRON_TELEMETRY_WAIT_MS / 1000;
	while (mailbox.running && mailbox.state != MAIL_ANSWERED) {
		if (pthread_cond_timedwait(&mailbox.answered, &mailbox.lock, &until))
			return;
	}
}

/* rte_telemetry's thread: asks housekeeping and waits. Takes `parameters`. */
static json_t *ask(const struct perron_request *request, json_t *parameters, char *error,
		   size_t error_size)
{
	uint64_t one = 1;
	json_t *answer = NULL;

	pthread_mutex_lock(&mailbox.lock);
	snprintf(error, error_size, "the station does not answer");
	if (!mailbox.running || mailbox.state != MAIL_EMPTY) {
		pthread_mutex_unlock(&mailbox.lock);
		json_decref(parameters);
		return NULL;
	}
	mailbox.request = request;
	mailbox.parameters = parameters;
	mailbox.state = MAIL_ASKED;
	if (write(mailbox.fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
		wait_for_answer();
	if (mailbox.state == MAIL_ANSWERED) {
		answer = mailbox.answer;
		if (!answer)
			snprintf(error, error_size, "%s", mailbox.error);
	}
	json_decref(mailbox.parameters);
	mailbox.parameters = NULL;
	mailbox.answer = NULL;
	mailbox.state = MAIL_EMPTY;
	pthread_mutex_unlock(&mailbox.lock);
	return answer;
}

static int on_telemetry(const char *command, const char *parameters, struct rte_tel_data *out)
{
	char error[PERRON_REQUEST_ERROR_SIZE];
	const struct perron_request *request =
	    perron_request_find(mailbox.requests, command + strlen(PREFIX));
	uint32_t first;

	PERRON_ASSERT(!strncmp(command, PREFIX, strlen(PREFIX)) && request != NULL);
	json_t *answer = ask(request, parse_parameters(parameters, &first), error, sizeof(error));
	if (!answer) {
		rte_tel_data_start_dict(out);
		return add_text(out, "error", error);
	}
	cut_list(answer, first);
	int rc = perron_telemetry_fill(out, answer);
	json_decref(answer);
	return rc;
}

int perron_telemetry_register(const struct perron_request *requests, void *context, char *error,
			      size_t error_size)
{
	PERRON_ASSERT(requests != NULL && mailbox.requests == NULL);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0) {
		int rc = -errno;
		snprintf(error, error_size, "telemetry: no eventfd: %s", strerror(-rc));
		return rc;
	}
	pthread_mutex_lock(&mailbox.lock);
	mailbox.fd = fd;
	mailbox.requests = requests;
	mailbox.context = context;
	mailbox.running = true;
	pthread_mutex_unlock(&mailbox.lock);
	for (; requests->name; requests++) {
		char path[64], help[192];
		snprintf(path, sizeof(path), PREFIX "%s", requests->name);
		snprintf(help, sizeof(help), "%s. Parameters: first[,count] of lists",
			 requests->summary);
		int rc = rte_telemetry_register_cmd(path, on_telemetry, help);
		if (rc) {
			snprintf(error, error_size, "telemetry: %s cannot be registered: %s", path,
				 strerror(-rc));
			perron_telemetry_stop();
			return rc;
		}
	}
	return 0;
}

int perron_telemetry_fd(void)
{
	return mailbox.fd;
}

void perron_telemetry_step(void)
{
	uint64_t count;

	if (mailbox.fd < 0 || read(mailbox.fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return;
	/* Handlers are short; the lock keeps the asker from leaving with its parameters. */
	pthread_mutex_lock(&mailbox.lock);
	if (mailbox.state == MAIL_ASKED) {
		mailbox.answer = mailbox.request->handle(mailbox.context, mailbox.parameters,
							 mailbox.error, sizeof(mailbox.error));
		mailbox.state = MAIL_ANSWERED;
		pthread_cond_signal(&mailbox.answered);
	}
	pthread_mutex_unlock(&mailbox.lock);
}

void perron_telemetry_stop(void)
{
	pthread_mutex_lock(&mailbox.lock);
	mailbox.running = false;
	pthread_cond_broadcast(&mailbox.answered);
	pthread_mutex_unlock(&mailbox.lock);
	/* rte_telemetry's thread may still be on its way out: the eventfd stays open. */
}
