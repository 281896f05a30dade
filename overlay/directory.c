#include "overlay/directory.h"

size_t perron_directory_size(uint32_t count_max)
{
	return perron_arena_share(count_max * sizeof(struct perron_directory_entry)) +
	       perron_map_size(count_max);
}

void perron_directory_init(struct perron_directory *d, struct perron_arena *a, uint32_t count_max,
			   uint64_t seed)
{
	*d = (struct perron_directory){.count_max = count_max};
	d->entries = perron_arena_take(a, count_max * sizeof(*d->entries));
	perron_map_init(&d->by_stream, a, count_max, seed);
}

static bool name_equal(const char *a, const char *b)
{
	return memcmp(a, b, PERRON_SENSOR_NAME_MAX + 1) == 0;
}

struct perron_directory_entry *perron_directory_find(struct perron_directory *d, uint32_t stream,
						     const char *name)
{
	uint32_t index = perron_map_find(&d->by_stream, stream);

	if (index == PERRON_MAP_NONE)
		return NULL;
	struct perron_directory_entry *e = &d->entries[index];
	return !name || name_equal(e->sensor.name, name) ? e : NULL;
}

/* Of another owner in the same term: not while the known one is heard of. */
static bool is_newer(const struct perron_sensor_entry *a, const struct perron_sensor_entry *b)
{
	if (a->owner != b->owner)
		return (int32_t)(a->term - b->term) > 0;
	if (a->owner_incarnation != b->owner_incarnation)
		return (int32_t)(a->owner_incarnation - b->owner_incarnation) > 0;
	return (int32_t)(a->stamp - b->stamp) > 0;
}

enum perron_directory_change perron_directory_learn(struct perron_directory *d,
						    const struct perron_sensor_entry *sensor,
						    uint32_t via, bool lateral,
						    uint64_t expires_ns)
{
	uint32_t stream = perron_stream_id(sensor->name);
	struct perron_directory_entry *e = perron_directory_find(d, stream, NULL);

	if (e && !name_equal(e->sensor.name, sensor->name))
		return PERRON_DIRECTORY_REFUSED;
	if (e && (e->attached || !is_newer(sensor, &e->sensor)))
		return PERRON_DIRECTORY_SAME;
	enum perron_directory_change change = PERRON_DIRECTORY_RENEWED;
	if (!e) {
		if (d->count == d->count_max)
			return PERRON_DIRECTORY_REFUSED;
		bool is_put = perron_map_put(&d->by_stream, stream, d->count);
		PERRON_ASSERT(is_put);
		e = &d->entries[d->count++];
		change = PERRON_DIRECTORY_NEW;
	} else if (e->via != via || e->sensor.owner != sensor->owner ||
		   e->sensor.owner_incarnation != sensor->owner_incarnation) {
		change = PERRON_DIRECTORY_NEW;
	}
	uint32_t spare = e->spare;
	*e = (struct perron_directory_entry){
		.sensor = *sensor,
		.stream = stream,
		.via = via,
		.lateral = lateral,
		.spare = change == PERRON_DIRECTORY_RENEWED ? spare : 0,
		.expires_ns = expires_ns,
	};
	return change;
}

static void entry_remove(struct perron_directory *d, uint32_t index)
{
	(void)perron_map_remove(&d->by_stream, d->entries[index].stream);
	uint32_t last = --d->count;
	if (index == last)
		return;
	d->entries[index] = d->entries[last];
	bool is_put = perron_map_put(&d->by_stream, d->entries[index].stream, index);
	PERRON_ASSERT(is_put);
}

void perron_directory_expire(struct perron_directory *d, uint64_t now_ns)
{
	for (uint32_t i = 0; i < d->count;) {
		if (d->entries[i].expires_ns <= now_ns && !d->entries[i].attached)
			entry_remove(d, i);
		else
			i++;
	}
}

void perron_directory_forget(struct perron_directory *d, uint32_t via)
{
	PERRON_ASSERT(via);
	for (uint32_t i = 0; i < d->count;) {
		const struct perron_directory_entry *e = &d->entries[i];
		/* A sibling's own sensors: somebody may have to take them over. */
		bool is_kept = e->attached || (e->lateral && e->sensor.owner == via);
		if (e->via == via && !is_kept)
			entry_remove(d, i);
		else
			i++;
	}
}

void perron_directory_check(const struct perron_directory *d)
{
	PERRON_ASSERT(d->count <= d->count_max);
	PERRON_ASSERT(d->by_stream.count == d->count);
}
