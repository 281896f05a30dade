#include "runtime/lcore/duty.h"

#include <string.h>

#include "runtime/base/assert.h"
#include "runtime/lcore/count.h"

void perron_duty_init(struct perron_duty *d, uint64_t threshold_ns)
{
	PERRON_ASSERT(threshold_ns > 0);
	memset(d, 0, sizeof(*d));
	d->threshold_ns = threshold_ns;
}

static void turn_end(struct perron_duty *d, uint64_t length_ns)
{
	perron_count(&d->turns, 1);
	if (!d->worked) {
		perron_count(&d->idle_ns, length_ns);
		perron_count_max(&d->gap_ns_max, length_ns);
		return;
	}
	perron_count(&d->busy_ns, length_ns);
	perron_count_max(&d->turn_ns_max, length_ns);
	if (length_ns > d->threshold_ns)
		perron_count(&d->turns_over, 1);
}

void perron_duty_begin(struct perron_duty *d, uint64_t now_ns)
{
	PERRON_ASSERT(now_ns >= d->begun_ns);
	if (d->running)
		turn_end(d, now_ns - d->begun_ns);
	d->begun_ns = now_ns;
	d->running = true;
	d->worked = false;
}

void perron_duty_slept(struct perron_duty *d, uint64_t from_ns, uint64_t until_ns, uint64_t now_ns)
{
	PERRON_ASSERT(d->running && from_ns >= d->begun_ns && now_ns >= from_ns);
	turn_end(d, from_ns - d->begun_ns);
	d->running = false;
	perron_count(&d->sleep_ns, now_ns - from_ns);
	if (now_ns > until_ns)
		perron_count_max(&d->gap_ns_max, now_ns - until_ns);
}

uint32_t perron_duty_busy_ppm(const struct perron_duty *d)
{
	uint64_t busy_ns = perron_count_read(&d->busy_ns);
	uint64_t all_ns =
	    busy_ns + perron_count_read(&d->idle_ns) + perron_count_read(&d->sleep_ns);

	return all_ns ? (uint32_t)((unsigned __int128)busy_ns * 1000000 / all_ns) : 0;
}
