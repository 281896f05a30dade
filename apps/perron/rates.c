/* What `top` makes of two looks at the same counters: rows get a rate, the busiest come first. */
#include <stdlib.h>
#include <string.h>

#include "apps/perron/cli.h"

#define KEY_SIZE 512

/* How rows of a list are told apart, and what is counted of each. */
struct rated {
	const char *list;
	const char *sum; /* member of `rates` for all rows together; NULL: none */
	const char *keys[3];
	const char *counters[2];
};

static const struct rated lists[CLI_RATED_COUNT] = {
    {"sensors", "messages", {"sensor"}, {"messages"}},
    {"streams", "frames", {"peer", "stream", "class"}, {"frames"}},
    {"cores", NULL, {"core", "role"}, {"frames_received", "frames_sent"}},
    {"drops", "drops", {"cause", "peer", "stream"}, {"count"}},
};

static void row_key(const struct rated *rated, const json_t *row, char *out)
{
	size_t size = 0;

	out[0] = '\0';
	for (size_t i = 0; i < 3 && rated->keys[i] && size < KEY_SIZE; i++)
		size += (size_t)snprintf(out + size, KEY_SIZE - size, "%s/",
					 cli_text(row, rated->keys[i]));
}

static json_int_t row_count(const struct rated *rated, const json_t *row)
{
	json_int_t sum = 0;

	for (size_t i = 0; i < 2 && rated->counters[i]; i++)
		sum += json_integer_value(json_object_get(row, rated->counters[i]));
	return sum;
}

/* A row that is new, or whose counters began anew, has counted all of it since. */
static double row_rate(json_int_t now, const json_t *before, double seconds)
{
	json_int_t then = before ? json_integer_value(before) : 0;

	return (double)(now >= then ? now - then : now) / seconds;
}

struct ranked {
	json_t *row;
	double rate;
	size_t index;
};

static int busiest_first(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;

	if (a->rate > b->rate || a->rate < b->rate)
		return a->rate > b->rate ? -1 : 1;
	return a->index < b->index ? -1 : 1;
}

static void rows_sort(json_t *rows)
{
	size_t count = json_array_size(rows);
	struct ranked *ranked = calloc(count + 1, sizeof(*ranked));

	if (!ranked)
		abort();
	for (size_t i = 0; i < count; i++) {
		json_t *row = json_array_get(rows, i);
		double rate = json_real_value(json_object_get(row, CLI_RATE_KEY));
		ranked[i] = (struct ranked){json_incref(row), rate, i};
	}
	qsort(ranked, count, sizeof(*ranked), busiest_first);
	json_array_clear(rows);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(rows, ranked[i].row);
	free(ranked);
}

/* Takes the counters of a list; with earlier ones, gives each row its rate. All rows' rate. */
static double list_rate(const struct rated *rated, json_t *rows, json_t **counters, double seconds)
{
	json_t *fresh = json_object(), *row;
	double sum = 0;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		char key[KEY_SIZE];
		json_int_t count = row_count(rated, row);
		row_key(rated, row, key);
		json_object_set_new(fresh, key, json_integer(count));
		if (!*counters)
			continue;
		double rate = row_rate(count, json_object_get(*counters, key), seconds);
		json_object_set_new(row, CLI_RATE_KEY, json_real(rate));
		sum += rate;
	}
	if (*counters)
		rows_sort(rows);
	json_decref(*counters);
	*counters = fresh;
	return sum;
}

void cli_rates_take(struct cli_rates *rates, json_t *replies, double now_s)
{
	bool first = !rates->counters[0];
	double seconds = now_s > rates->at_s ? now_s - rates->at_s : 1e-9;
	json_t *sums = json_object();

	for (size_t i = 0; i < CLI_RATED_COUNT; i++) {
		const struct rated *rated = &lists[i];
		json_t *reply = json_object_get(replies, rated->list);
		double sum = list_rate(rated, json_object_get(reply, rated->list),
				       &rates->counters[i], seconds);
		if (rated->sum)
			json_object_set_new(sums, rated->sum, json_real(sum));
	}
	rates->at_s = now_s;
	if (first)
		json_decref(sums);
	else
		json_object_set_new(replies, "rates", sums);
}

void cli_rates_end(struct cli_rates *rates)
{
	for (size_t i = 0; i < CLI_RATED_COUNT; i++)
		json_decref(rates->counters[i]);
	memset(rates, 0, sizeof(*rates));
}
