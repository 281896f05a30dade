/* The part of net.h that knows mbufs. */
#include <errno.h>

#include <rte_mbuf.h>

#include "runtime/lcore/net.h"

static void frame_fill(struct rte_mbuf *mbuf, const struct perron_net_datagram *datagram,
		       struct perron_frame *frame)
{
	/* Both ends are cut: headers, and what Ethernet padded. */
	uint32_t behind = mbuf->pkt_len - datagram->offset - datagram->size;
	rte_pktmbuf_trim(mbuf, (uint16_t)behind);
	rte_pktmbuf_adj(mbuf, (uint16_t)datagram->offset);
	PERRON_ASSERT(mbuf->pkt_len == datagram->size);
	*frame = (struct perron_frame){
	    .data = rte_pktmbuf_mtod(mbuf, uint8_t *),
	    .length = datagram->size,
	    .class = datagram->class,
	    .from = datagram->from,
	    .handle = (uint64_t)(uintptr_t)mbuf,
	};
}

enum perron_net_verdict perron_net_mbuf_receive(struct perron_net *net, uint64_t now_ns,
						struct rte_mbuf *mbuf, struct perron_frame *frame,
						enum perron_drop *cause)
{
	struct perron_net_datagram datagram;
	if (mbuf->nb_segs != 1) {
		*cause = PERRON_DROP_LENGTH;
		return PERRON_NET_DROPPED;
	}
	bool good = (mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
	enum perron_net_verdict verdict = perron_net_receive(
	    net, now_ns, rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->pkt_len, good, &datagram);
	*cause = datagram.cause;
	if (verdict == PERRON_NET_DATAGRAM)
		frame_fill(mbuf, &datagram, frame);
	else if (verdict == PERRON_NET_REPLY)
		rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->pkt_len - datagram.size));
	return verdict;
}

int perron_net_mbuf_wrap(struct perron_net *net, uint64_t now_ns, struct rte_mbuf *mbuf,
			 uint8_t class, struct perron_endpoint to)
{
	uint32_t size = mbuf->pkt_len;
	uint8_t *headers = (uint8_t *)rte_pktmbuf_prepend(mbuf, PERRON_NET_HEADER_SIZE);
	if (!headers)
		return -ENOBUFS;
	int result = perron_net_wrap(net, now_ns, headers, size, class, to);
	if (result)
		rte_pktmbuf_adj(mbuf, PERRON_NET_HEADER_SIZE);
	return result;
}

bool perron_net_mbuf_request(struct perron_net *net, uint64_t now_ns, uint32_t address,
			     struct rte_mbuf *mbuf)
{
	PERRON_ASSERT(mbuf->pkt_len == 0 && rte_pktmbuf_tailroom(mbuf) >= PERRON_NET_ARP_SIZE);
	if (!perron_net_request(net, now_ns, address, rte_pktmbuf_mtod(mbuf, uint8_t *)))
		return false;
	return rte_pktmbuf_append(mbuf, PERRON_NET_ARP_SIZE) != NULL;
}
