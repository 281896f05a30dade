#include "runtime/base/qos.h"

#include <stddef.h>

const char *perron_replication_name(uint8_t replication)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_REPLICATION_##name] = text,
		PERRON_REPLICATIONS(X)
#undef X
	};
	return replication < PERRON_REPLICATION_COUNT ? names[replication] : "unknown";
}

static bool is_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

int perron_replication_from_name(const char *name)
{
	for (int i = 0; i < PERRON_REPLICATION_COUNT; i++)
		if (is_equal(perron_replication_name((uint8_t)i), name))
			return i;
	return -1;
}

bool perron_qos_is_valid(const struct perron_qos *qos)
{
	switch (qos->replication) {
	case PERRON_REPLICATION_NONE:
		return !qos->replicas && !qos->period_us;
	case PERRON_REPLICATION_PASSIVE:
		return qos->period_us >= PERRON_REPLICATION_PERIOD_US_MIN &&
		       qos->period_us <= PERRON_REPLICATION_PERIOD_US_MAX;
	case PERRON_REPLICATION_ACTIVE:
		return !qos->period_us;
	default:
		return false;
	}
}

struct perron_qos perron_qos_stronger(const struct perron_qos *a, const struct perron_qos *b)
{
	struct perron_qos most = a->replication >= b->replication ? *a : *b;

	if (a->replication && b->replication) {
		bool all = !a->replicas || !b->replicas;
		most.replicas = all ? 0 : a->replicas > b->replicas ? a->replicas : b->replicas;
	}
	if (a->replication == b->replication && a->period_us && a->period_us < most.period_us)
		most.period_us = a->period_us;
	return most;
}
