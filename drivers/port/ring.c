/*
 * ring: two ports of one process, or one port and itself. A frame goes over as it is, by its mbuf's
 * address; only what is chained or shared is copied before.
 *
 * Rings have one producer and one consumer: default rings must not be used by threads of
 * SCHED_FIFO. The receiver frees into the sender's pool: where the two ports belong to different
 * lcores, that pool must be one that several threads may use. Two ports with the same `link` are a
 * pair; a third is refused. With `wake` a sleeping receiver is woken through an eventfd, at the
 * price of a memory fence a burst.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "drivers/port/driver.h"

#define LINK_NAME_SIZE 17 /* a ring's name has 28 characters */

static const struct perron_option options[] = {
    {"link", PERRON_OPTION_TEXT, NULL, "name of the pair; or of this port's own loop"},
    {"to", PERRON_OPTION_CHOICE, "peer", "where frames come out", .choices = "peer|self"},
    {"size", PERRON_OPTION_INTEGER, "1024", "frames under way each way, a power of two", .min = 32,
     .max = 65536},
    {"wake", PERRON_OPTION_BOOLEAN, "no", "let a frame wake the sleeping receiver"},
    {NULL},
};

/* One way: written by one end, read by the other. */
struct way {
	struct rte_ring *ring;
	int wake_fd;
	/* The reader sleeps, or is about to. */
	atomic_bool armed;
};

/* What two ports share. Touched by housekeeping alone, but for the ways. */
struct link {
	char name[LINK_NAME_SIZE];
	bool self;
	bool wake;
	struct perron_port *ports[2];
	struct way ways[2]; /* ways[i] is read by ports[i] */
};

struct end {
	struct way *in;
	struct way *out;
	bool wake;
};

static struct link links[PERRON_PORT_RING_LINK_MAX];

static int check(const struct perron_port_config *config, char *error, size_t error_size)
{
	int64_t size = perron_port_option_number(config, "size");
	if (strlen(perron_port_option_text(config, "link")) >= LINK_NAME_SIZE) {
		snprintf(error, error_size, "link: expected 1 to %d characters",
			 LINK_NAME_SIZE - 1);
		return -EINVAL;
	}
	if (size & (size - 1)) {
		snprintf(error, error_size, "size: expected a power of two");
		return -EINVAL;
	}
	return 0;
}

static int probe(const struct perron_port_config *config, char *error, size_t error_size)
{
	(void)config, (void)error, (void)error_size;
	return 0; /* needs nothing of the machine */
}

static int eal_argument(const struct perron_port_config *config, char *out, size_t out_size)
{
	(void)config;
	if (out_size)
		out[0] = 0;
	return 0;
}

static uint32_t buffer_count(const struct perron_port_config *config)
{
	return (uint32_t)perron_port_option_number(config, "size");
}

static struct link *link_find(const char *name)
{
	struct link *free_link = NULL;
	for (uint32_t i = 0; i < PERRON_PORT_RING_LINK_MAX; i++) {
		bool used = links[i].ports[0] || links[i].ports[1];
		if (used && strcmp(links[i].name, name) == 0)
			return &links[i];
		if (!used && !free_link)
			free_link = &links[i];
	}
	if (free_link)
		*free_link = (struct link){.ways = {{.wake_fd = -1}, {.wake_fd = -1}}};
	return free_link;
}

static void way_close(struct way *way)
{
	struct rte_mbuf *frame;
	while (way->ring && rte_ring_dequeue(way->ring, (void **)&frame) == 0)
		rte_pktmbuf_free(frame);
	rte_ring_free(way->ring);
	way->ring = NULL;
	if (way->wake_fd >= 0)
		close(way->wake_fd);
	way->wake_fd = -1;
}

static void link_close(struct link *link)
{
	way_close(&link->ways[0]);
	way_close(&link->ways[1]);
	link->name[0] = 0;
}

static int way_open(const struct link *link, uint32_t index, struct way *way, uint32_t size)
{
	char name[RTE_RING_NAMESIZE];
	snprintf(name, sizeof(name), "port_%s_%u", link->name, index);
	way->ring = rte_ring_create(name, size, SOCKET_ID_ANY,
				    RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ);
	if (!way->ring)
		return -ENOMEM;
	if (link->wake)
		way->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return link->wake && way->wake_fd < 0 ? -errno : 0;
}

static int link_open(struct link *link, const struct perron_port_config *config)
{
	uint32_t size = (uint32_t)perron_port_option_number(config, "size");
	snprintf(link->name, sizeof(link->name), "%s", perron_port_option_text(config, "link"));
	link->self = perron_port_option_number(config, "to") == 1;
	link->wake = perron_port_option_number(config, "wake") != 0;
	int result = way_open(link, 0, &link->ways[0], size);
	if (!result && !link->self)
		result = way_open(link, 1, &link->ways[1], size);
	if (result)
		link_close(link);
	return result;
}

static uint16_t receive(struct perron_port *port, struct rte_mbuf **frames, uint16_t count)
{
	const struct end *end = port->driver_data;
	return (uint16_t)rte_ring_sc_dequeue_burst(end->in->ring, (void **)frames, count, NULL);
}

static uint16_t transmit(struct perron_port *port, uint8_t class, struct rte_mbuf **frames,
			 uint16_t count)
{
	const struct end *end = port->driver_data;
	(void)class;
	uint16_t sent =
	    (uint16_t)rte_ring_sp_enqueue_burst(end->out->ring, (void *const *)frames, count, NULL);
	if (!end->wake || !sent)
		return sent;
	/* Pairs with the fence in the reader's arm: it sees the frames, or we that it sleeps. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&end->out->armed, memory_order_relaxed) &&
	    atomic_exchange_explicit(&end->out->armed, false, memory_order_relaxed))
		(void)eventfd_write(end->out->wake_fd, 1);
	return sent;
}

static int refuse(const struct perron_port *port, const char *why, int result, char *error,
		  size_t error_size)
{
	snprintf(error, error_size, "port %u (ring): link %s: %s", port->config->index,
		 perron_port_option_text(port->config, "link"), why);
	return result;
}

/* Locally administered, different for each process, link and end. */
static void mac_make(struct perron_port *port, const struct link *link, uint32_t index)
{
	uint32_t process = (uint32_t)getpid();
	uint8_t mac[PERRON_PORT_MAC_SIZE] = {
	    0x02,	   0x70, (uint8_t)(process >> 8), (uint8_t)process, (uint8_t)(link - links),
	    (uint8_t)index};
	memcpy(port->mac, mac, sizeof(mac));
}

static int link_join(struct perron_port *port, struct link *link, uint32_t *index, char *error,
		     size_t error_size)
{
	bool self = perron_port_option_number(port->config, "to") == 1;
	if (!link->ports[0] && !link->ports[1]) {
		int result = link_open(link, port->config);
		if (result)
			return refuse(port, "no memory for its rings, or the name is taken", result,
				      error, error_size);
	}
	if (link->self != self)
		return refuse(port, "one end says to: self, the other does not", -EINVAL, error,
			      error_size);
	*index = link->ports[0] ? 1 : 0;
	if (link->ports[*index] || (self && *index))
		return refuse(port, "has both its ports already", -EBUSY, error, error_size);
	return 0;
}

static int open_port(struct perron_port *port, char *error, size_t error_size)
{
	uint32_t index;
	struct link *link = link_find(perron_port_option_text(port->config, "link"));
	if (!link)
		return refuse(port, "too many links in one process", -ENOSPC, error, error_size);
	int result = link_join(port, link, &index, error, error_size);
	if (result)
		return result;
	struct end *end = calloc(1, sizeof(*end));
	if (!end) {
		if (!link->ports[0] && !link->ports[1])
			link_close(link);
		return refuse(port, "no memory", -ENOMEM, error, error_size);
	}
	end->in = &link->ways[index];
	end->out = &link->ways[link->self ? 0 : 1 - index];
	end->wake = link->wake;
	link->ports[index] = port;
	port->driver_data = end;
	port->receive = receive;
	port->transmit = transmit;
	port->exclusive = true;
	port->rx_queue_count = 1;
	port->tx_queue_count = 1;
	port->mtu = PERRON_PORT_MTU_MIN;
	port->wake_fd = link->wake ? end->in->wake_fd : -ENOTSUP;
	port->wake_drains = link->wake;
	mac_make(port, link, index);
	return 0;
}

static struct link *link_of(const struct perron_port *port)
{
	for (uint32_t i = 0; i < PERRON_PORT_RING_LINK_MAX; i++)
		if (links[i].ports[0] == port || links[i].ports[1] == port)
			return &links[i];
	return NULL;
}

static void close_port(struct perron_port *port)
{
	struct link *link = link_of(port);
	PERRON_ASSERT(link);
	link->ports[link->ports[0] == port ? 0 : 1] = NULL;
	free(port->driver_data);
	port->driver_data = NULL;
	if (!link->ports[0] && !link->ports[1])
		link_close(link);
}

static void arm(struct perron_port *port, bool armed)
{
	const struct end *end = port->driver_data;
	atomic_store_explicit(&end->in->armed, armed, memory_order_relaxed);
	/* Pairs with the fence in transmit. */
	atomic_thread_fence(memory_order_seq_cst);
}

/* Up when both ends are open. */
static void link_read(const struct perron_port *port, struct perron_port_link *out)
{
	const struct link *link = link_of(port);
	out->up = link && (link->self || (link->ports[0] && link->ports[1]));
}

const struct perron_port_api perron_port_ring = {
    .name = "ring",
    .summary = "two ports of one process, or one and itself; nothing is copied; can wake",
    .options = options,
    .multi_segment = false,
    .check = check,
    .probe = probe,
    .eal_argument = eal_argument,
    .buffer_count = buffer_count,
    .open = open_port,
    .close = close_port,
    .arm = arm,
    .link = link_read,
};
