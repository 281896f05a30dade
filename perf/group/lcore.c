/*
 * perron-group-lcore: the peers of a cell as one lcore turns them, on its clock and in its order,
 * and nothing else: no port, no housekeeping. Measures a change of views where no host can stall
 * one peer alone: a peer is no longer turned, and the time is taken until the last of the others
 * has installed the view without it. Before that, views are watched for changes without a cause.
 * Prints a JSON object.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ft/relay.h"
#include "platform/clock.h"
#include "runtime/base/random.h"

#define MS		UINT64_C(1000000)
#define MEMBER_MAX	PERRON_GROUP_MEMBER_COUNT_MAX
#define QUEUE_SIZE	4096u
#define KILL_MAX	100000u
#define PATIENCE_NS	(10000 * MS)
#define INTERVAL_NS	(1 * MS)
#define TIMEOUT_NS	(2 * MS)
#define SETTLE_NS	(20 * MS)

struct queued {
	uint32_t size;
	uint32_t from;
	uint32_t to;
	uint8_t class;
	uint8_t data[PERRON_FRAME_SIZE_MAX];
};

struct peer {
	struct perron_relay *relay;
	uint32_t incarnation;
	bool alive;
	uint32_t member_count; /* of its latest regular view */
	uint64_t views;
};

static struct {
	uint32_t count;
	uint64_t now_ns;
	struct peer peers[MEMBER_MAX];
	struct queued queue[QUEUE_SIZE];
	uint32_t queue_head;
	uint32_t queue_tail;
	struct perron_effects effects;
	struct perron_random random;
} cell;

_Noreturn void perron_assert_failed(const char *condition, const char *file, int line)
{
	(void)fprintf(stderr, "perron-group-lcore: assertion failed: %s (%s:%d)\n", condition, file,
		      line);
	abort();
}

static struct perron_party party_of(uint32_t index)
{
	return (struct perron_party){
		.id = index + 1,
		.incarnation = cell.peers[index].incarnation,
		.endpoint = {index + 1, 7400},
	};
}

static void frame_queue(uint32_t from, const struct perron_effect *e)
{
	struct queued *q = &cell.queue[cell.queue_tail & (QUEUE_SIZE - 1)];

	if (cell.queue_tail - cell.queue_head == QUEUE_SIZE)
		return; /* as a class's queue would */
	q->from = from;
	q->to = e->to.address - 1;
	q->class = e->class;
	q->size = e->size;
	memcpy(q->data, e->data, e->size);
	cell.queue_tail++;
}

static void effects_apply(uint32_t index)
{
	struct peer *peer = &cell.peers[index];

	for (uint32_t i = 0; i < cell.effects.count; i++) {
		const struct perron_effect *e = &cell.effects.items[i];
		const struct perron_group_view *view = (const void *)e->data;
		if (e->kind == PERRON_EFFECT_SEND)
			frame_queue(index, e);
		if (e->kind != PERRON_EFFECT_INDICATE || e->class != PERRON_GROUP_INDICATE_VIEW ||
		    view->transitional)
			continue;
		peer->member_count = view->member_count;
		peer->views++;
	}
	perron_effects_reset(&cell.effects);
}

static void command(uint32_t index, struct perron_command *c)
{
	(void)!perron_relay_command(cell.peers[index].relay, cell.now_ns, c, &cell.effects);
	effects_apply(index);
}

static void link_make(uint32_t index, uint32_t to)
{
	struct perron_command c = {.kind = PERRON_COMMAND_LINK_CLOSE, .party = party_of(to)};

	command(index, &c);
	c.kind = PERRON_COMMAND_LINK_OPEN;
	command(index, &c);
	c.kind = PERRON_COMMAND_SIBLING;
	c.value = 1;
	command(index, &c);
}

static void peer_config(uint32_t index, struct perron_relay_config *cfg)
{
	perron_relay_config_default(cfg);
	cfg->peer = index + 1;
	cfg->incarnation = cell.peers[index].incarnation;
	cfg->overlay = 1;
	cfg->endpoint = party_of(index).endpoint;
	cfg->path_count_max = 4;
	cfg->origin_count_max = 1;
	cfg->link_count_max = MEMBER_MAX;
	cfg->detector = (struct perron_detector_config){
		.kind = PERRON_DETECTOR_PUSH,
		.interval_ns = INTERVAL_NS,
		.timeout_ns_min = TIMEOUT_NS,
		.timeout_ns_max = TIMEOUT_NS,
	};
	cfg->group.member_count_max = cell.count < 2 ? 2 : cell.count;
	cfg->group.resend_ns = MS / 2;
	cfg->group.attempt_ns = 10 * MS;
	cfg->group.hello_ns = 20 * MS;
	cfg->group.exclude_ns = 30 * MS;
}

static void peer_start(uint32_t index)
{
	struct peer *peer = &cell.peers[index];
	struct perron_relay_config cfg;
	struct perron_command c = {
		.kind = PERRON_COMMAND_CELL, .sequence = 1, .value = index + 1};

	peer->incarnation++;
	peer_config(index, &cfg);
	size_t size = (perron_relay_size(&cfg) + 63) & ~(size_t)63;
	if (!peer->relay)
		peer->relay = aligned_alloc(64, size);
	if (!peer->relay || perron_relay_init(peer->relay, &cfg, cell.now_ns) != 0) {
		(void)fprintf(stderr, "perron-group-lcore: no room for peer %u\n", index + 1);
		exit(1);
	}
	peer->alive = true;
	command(index, &c);
	for (uint32_t i = 0; i < cell.count; i++) {
		if (i == index)
			continue;
		link_make(index, i);
		if (cell.peers[i].alive)
			link_make(i, index);
	}
}

static void frames_give(void)
{
	uint32_t end = cell.queue_tail; /* what these make waits for the next turn */

	for (; cell.queue_head != end; cell.queue_head++) {
		struct queued *q = &cell.queue[cell.queue_head & (QUEUE_SIZE - 1)];
		struct perron_frame frame = {
			.data = q->data,
			.length = q->size,
			.class = q->class,
			.from = {q->from + 1, 7400},
			.handle = 1,
		};
		if (!cell.peers[q->to].alive)
			continue;
		perron_relay_input(cell.peers[q->to].relay, cell.now_ns, &frame, 1, &cell.effects);
		effects_apply(q->to);
	}
}

static void turn(void)
{
	cell.now_ns = perron_clock_now_ns();
	frames_give();
	for (uint32_t i = 0; i < cell.count; i++) {
		struct peer *peer = &cell.peers[i];
		if (!peer->alive || perron_relay_deadline_ns(peer->relay) > cell.now_ns)
			continue;
		perron_relay_tick(peer->relay, cell.now_ns, &cell.effects);
		effects_apply(i);
	}
}

static bool all_in_views_of(uint32_t count)
{
	for (uint32_t i = 0; i < cell.count; i++)
		if (cell.peers[i].alive && cell.peers[i].member_count != count)
			return false;
	return true;
}

static uint64_t turn_until_views_of(uint32_t count)
{
	uint64_t begin_ns = perron_clock_now_ns();

	while (!all_in_views_of(count)) {
		turn();
		if (cell.now_ns - begin_ns > PATIENCE_NS) {
			(void)fprintf(stderr, "perron-group-lcore: no view of %u within 10 s\n",
				      count);
			exit(1);
		}
	}
	return perron_clock_now_ns() - begin_ns;
}

static void turn_for(uint64_t time_ns)
{
	uint64_t until_ns = perron_clock_now_ns() + time_ns;

	do
		turn();
	while (cell.now_ns < until_ns);
}

static uint64_t views_sum(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < cell.count; i++)
		sum += cell.peers[i].views;
	return sum;
}

static uint64_t kill_measure(uint32_t victim)
{
	(void)turn_until_views_of(cell.count);
	turn_for(SETTLE_NS + perron_random_below(&cell.random, INTERVAL_NS));
	cell.peers[victim].alive = false;
	uint64_t took_ns = turn_until_views_of(cell.count - 1);
	peer_start(victim);
	return took_ns;
}

static uint32_t number_of(const char *text, uint32_t min, uint32_t max, const char *option)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || value < min || value > max) {
		(void)fprintf(stderr, "perron-group-lcore: --%s %s: expected %u to %u\n", option,
			      text, min, max);
		exit(2);
	}
	return (uint32_t)value;
}

static const char usage[] =
	"usage: perron-group-lcore [--members N] [--kills K] [--watch SECONDS]\n"
	"Time to a change of views on one lcore, as JSON.\n";

static void cell_start(void)
{
	cell.effects = (struct perron_effects){
		.items = calloc(PERRON_EFFECT_COUNT_MAX, sizeof(struct perron_effect)),
		.capacity = PERRON_EFFECT_COUNT_MAX,
		.arena = malloc(PERRON_EFFECT_ARENA_SIZE),
		.arena_size = PERRON_EFFECT_ARENA_SIZE,
	};
	if (!cell.effects.items || !cell.effects.arena)
		exit(1);
	perron_clock_init();
	cell.now_ns = perron_clock_now_ns();
	perron_random_seed(&cell.random, cell.now_ns);
	for (uint32_t i = 0; i < cell.count; i++)
		peer_start(i);
	(void)turn_until_views_of(cell.count);
	turn_for(SETTLE_NS);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"members", required_argument, NULL, 'm'},
						{"kills", required_argument, NULL, 'k'},
						{"watch", required_argument, NULL, 'w'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	uint32_t kills = 100;
	uint32_t watch_seconds = 5;
	int option;

	cell.count = 4;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'm')
			cell.count = number_of(optarg, 2, MEMBER_MAX, "members");
		else if (option == 'k')
			kills = number_of(optarg, 1, KILL_MAX, "kills");
		else if (option == 'w')
			watch_seconds = number_of(optarg, 0, 86400, "watch");
		else
			return (void)fputs(usage, option == 'h' ? stdout : stderr),
			       option == 'h' ? 0 : 2;
	}
	cell_start();
	uint64_t before = views_sum();
	turn_for(watch_seconds * 1000 * MS);
	printf("{\"members\": %u, \"watch_seconds\": %u, \"false_changes\": %llu, \"kills_ms\": [",
	       cell.count, watch_seconds, (unsigned long long)(views_sum() - before));
	for (uint32_t i = 0; i < kills; i++)
		printf("%s%.4f", i ? ", " : "", (double)kill_measure(i % cell.count) / 1e6);
	puts("]}");
	return 0;
}
