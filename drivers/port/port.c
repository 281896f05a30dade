/* What is the same for every port: checks, opening and closing, a burst's way, counters. */
#include "drivers/port/port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "drivers/port/driver.h"
#include "drivers/port/impair.h"

const char *perron_port_counter_name(enum perron_port_counter counter)
{
	static const char *const names[] = {
#define X(name, text) [PERRON_PORT_COUNTER_##name] = text,
	    PERRON_PORT_COUNTERS(X)
#undef X
	};
	PERRON_ASSERT(counter < PERRON_PORT_COUNTER_COUNT);
	return names[counter];
}

static void drivers_list(char *out, size_t size)
{
	size_t used = 0;
	out[0] = 0;
	for (uint32_t i = 0; i < perron_port_driver_count() && used < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "",
					 perron_port_driver_at(i)->name);
}

static int impair_check(const struct perron_port_impair_config *impair, char *error,
			size_t error_size)
{
	if (impair->loss_ppm > 1000000 || impair->duplicate_ppm > 1000000 ||
	    impair->reorder_ppm > 1000000) {
		snprintf(error, error_size, "impair: a share is more than 100%%");
		return -EINVAL;
	}
	if (impair->delay_ns > PERRON_PORT_IMPAIR_DELAY_NS_MAX ||
	    impair->jitter_ns > PERRON_PORT_IMPAIR_DELAY_NS_MAX) {
		snprintf(error, error_size, "impair: delay and jitter are at most 10s");
		return -EINVAL;
	}
	if (impair->held_count_max > 1u << 20) {
		snprintf(error, error_size, "impair: at most 1048576 frames are held");
		return -EINVAL;
	}
	return 0;
}

int perron_port_config_check(const struct perron_port_config *config, uint32_t *culprit,
			     char *error, size_t error_size)
{
	*culprit = config->option_count;
	const struct perron_port_api *api = perron_port_driver_find(config->driver);
	if (!api) {
		char list[128];
		drivers_list(list, sizeof(list));
		snprintf(error, error_size, "unknown port driver '%.32s'; expected one of %s",
			 config->driver, list);
		return -EINVAL;
	}
	int result = perron_option_check(api->options, config->options, config->option_count,
					 culprit, error, error_size);
	if (result)
		return result;
	*culprit = config->option_count;
	result = api->check ? api->check(config, error, error_size) : 0;
	if (result)
		return result;
	return config->impair.set ? impair_check(&config->impair, error, error_size) : 0;
}

static const struct perron_port_api *api_of(const struct perron_port_config *config)
{
	const struct perron_port_api *api = perron_port_driver_find(config->driver);
	PERRON_ASSERT(api); /* the config was checked */
	return api;
}

int perron_port_probe(const struct perron_port_config *config, char *error, size_t error_size)
{
	return api_of(config)->probe(config, error, error_size);
}

int perron_port_eal_argument(const struct perron_port_config *config, char *out, size_t out_size,
			     char *error, size_t error_size)
{
	int result = api_of(config)->eal_argument(config, out, out_size);
	if (result)
		snprintf(error, error_size, "port %u: the EAL's argument is longer than %zu bytes",
			 config->index, out_size - 1);
	return result;
}

const char *perron_port_eal_flag(const struct perron_port_config *config)
{
	const struct perron_port_api *api = api_of(config);
	return api->eal_flag ? api->eal_flag(config) : NULL;
}

bool perron_port_needs_pci(const struct perron_port_config *config)
{
	return api_of(config)->pci;
}

uint32_t perron_port_buffer_count(const struct perron_port_config *config)
{
	const struct perron_port_impair_config *impair = &config->impair;
	uint32_t count = api_of(config)->buffer_count(config);
	if (impair->set)
		count += impair->held_count_max ? impair->held_count_max
						: PERRON_PORT_IMPAIR_HELD_DEFAULT;
	return count;
}

const char *perron_port_option_text(const struct perron_port_config *config, const char *name)
{
	return perron_option_text(api_of(config)->options, config->options, config->option_count,
				  name);
}

int64_t perron_port_option_number(const struct perron_port_config *config, const char *name)
{
	return perron_option_number(api_of(config)->options, config->options, config->option_count,
				    name);
}

int perron_port_open(struct perron_port *port, const struct perron_port_config *config,
		     struct rte_mempool *pool, char *error, size_t error_size)
{
	memset(port, 0, sizeof(*port));
	port->config = config;
	port->api = api_of(config);
	port->pool = pool;
	port->device_id = UINT16_MAX;
	port->wake_fd = -ENOTSUP;
	port->multi_segment = port->api->multi_segment;
	if (rte_pktmbuf_data_room_size(pool) <
	    RTE_PKTMBUF_HEADROOM + PERRON_PORT_DATAROOM_SIZE_MIN) {
		snprintf(error, error_size, "port %u: buffers of the pool are under %u bytes",
			 config->index, RTE_PKTMBUF_HEADROOM + PERRON_PORT_DATAROOM_SIZE_MIN);
		return -EINVAL;
	}
	if (config->impair.set) {
		port->impair = perron_port_impair_create(&config->impair);
		if (!port->impair) {
			snprintf(error, error_size, "port %u: no memory for impair", config->index);
			return -ENOMEM;
		}
	}
	atomic_init(&port->live, true);
	int result = port->api->open(port, error, error_size);
	if (result) {
		perron_port_impair_destroy(port->impair);
		memset(port, 0, sizeof(*port));
		return result;
	}
	PERRON_ASSERT(port->receive && port->transmit);
	if (port->impair) {
		/* What waits must be ours alone. */
		port->multi_segment = false;
		port->exclusive = true;
	}
	return 0;
}

void perron_port_close(struct perron_port *port)
{
	if (!port->api)
		return;
	perron_port_impair_destroy(port->impair);
	port->impair = NULL;
	port->api->close(port);
	port->api = NULL;
}

void perron_port_upkeep(struct perron_port *port, uint64_t now_ns)
{
	if (port->api->upkeep)
		port->api->upkeep(port, now_ns);
}

uint16_t perron_port_receive(struct perron_port *port, uint64_t now_ns, struct rte_mbuf **frames,
			     uint16_t count)
{
	PERRON_ASSERT(count <= PERRON_PORT_BURST_MAX);
	if (port->impair)
		perron_port_impair_flush(port, now_ns);
	/* Pairs with the stores in the driver's upkeep. */
	if (!atomic_load_explicit(&port->live, memory_order_acquire))
		return 0;
	uint16_t got = port->receive(port, frames, count);
	if (!got)
		return 0;
	uint64_t size = 0;
	for (uint16_t i = 0; i < got; i++)
		size += frames[i]->pkt_len;
	perron_port_count(port, PERRON_PORT_COUNTER_RX_FRAMES, got);
	perron_port_count(port, PERRON_PORT_COUNTER_RX_BYTES, size);
	return got;
}

static bool must_be_copied(const struct perron_port *port, const struct rte_mbuf *frame)
{
	if (frame->nb_segs != 1 || !RTE_MBUF_DIRECT(frame))
		return !port->multi_segment;
	return port->exclusive && rte_mbuf_refcnt_read(frame) != 1;
}

/* Returns how many frames, from the first on, are as the device wants them. */
static uint16_t frames_prepare(struct perron_port *port, struct rte_mbuf **frames, uint16_t count)
{
	for (uint16_t i = 0; i < count; i++) {
		if (!must_be_copied(port, frames[i]))
			continue;
		struct rte_mbuf *copy = rte_pktmbuf_copy(frames[i], port->pool, 0, UINT32_MAX);
		if (!copy || copy->nb_segs != 1) {
			rte_pktmbuf_free(copy);
			return i;
		}
		rte_pktmbuf_free(frames[i]);
		frames[i] = copy;
	}
	return count;
}

uint16_t perron_port_transmit(struct perron_port *port, uint64_t now_ns, uint8_t class,
			      struct rte_mbuf **frames, uint16_t count)
{
	PERRON_ASSERT(count <= PERRON_PORT_BURST_MAX);
	uint16_t ready = count, sent = 0;
	if (!port->multi_segment || port->exclusive)
		ready = frames_prepare(port, frames, count);
	uint64_t size = 0;
	for (uint16_t i = 0; i < ready; i++)
		size += frames[i]->pkt_len;
	if (port->impair) {
		perron_port_impair_take(port, now_ns, class, frames, ready);
		sent = ready;
	} else if (ready && atomic_load_explicit(&port->live, memory_order_acquire)) {
		sent = port->transmit(port, class, frames, ready);
	}
	for (uint16_t i = sent; i < ready; i++)
		size -= frames[i]->pkt_len;
	perron_port_count(port, PERRON_PORT_COUNTER_TX_FRAMES, sent);
	perron_port_count(port, PERRON_PORT_COUNTER_TX_BYTES, size);
	if (sent < count)
		perron_port_count(port, PERRON_PORT_COUNTER_TX_REFUSED, (uint64_t)count - sent);
	return sent;
}

uint64_t perron_port_deadline_ns(const struct perron_port *port)
{
	return port->impair ? perron_port_impair_deadline_ns(port->impair) : UINT64_MAX;
}

int perron_port_wake_fd(const struct perron_port *port)
{
	return port->wake_fd;
}

int perron_port_wake_arm(struct perron_port *port)
{
	if (port->wake_fd < 0)
		return -ENOTSUP;
	if (port->api->arm)
		port->api->arm(port, true);
	return port->wake_enables ? rte_eth_dev_rx_intr_enable(port->device_id, 0) : 0;
}

int perron_port_wake_disarm(struct perron_port *port)
{
	if (port->wake_fd < 0)
		return -ENOTSUP;
	if (port->api->arm)
		port->api->arm(port, false);
	uint64_t count;
	/* Nothing to read is as good. */
	if (port->wake_drains && read(port->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	return port->wake_enables ? rte_eth_dev_rx_intr_disable(port->device_id, 0) : 0;
}

void perron_port_statistics_read(const struct perron_port *port, struct perron_port_statistics *out)
{
	for (uint32_t i = 0; i < PERRON_PORT_COUNTER_COUNT; i++)
		out->of[i] = __atomic_load_n(&port->counters[i], __ATOMIC_RELAXED);
	if (port->api->statistics)
		port->api->statistics(port, out);
}

int perron_port_link_fd(const struct perron_port *port)
{
	return perron_port_life_fd(&port->life);
}

bool perron_port_link_is_polled(const struct perron_port *port)
{
	return port->api->link_is_polled;
}

void perron_port_link_read(const struct perron_port *port, struct perron_port_link *out)
{
	*out = (struct perron_port_link){0};
	port->api->link(port, out);
}
