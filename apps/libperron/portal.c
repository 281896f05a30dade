#include "apps/libperron/portal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_SIZE_MAX 64
#define PORT_BASE_MAX  (65535 - (PERRON_CLASS_COUNT - 1))

/* Digits alone, from 1 to `max`; false otherwise. */
static bool number_parse(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9' || strlen(text) > 10)
		return false;
	*out = strtoull(text, &end, 10);
	return *end == 0 && *out >= 1 && *out <= max;
}

static bool portal_parse(char *entry, struct perron_portal *out)
{
	uint64_t peer = 0;
	uint64_t port_base = PERRON_PORTAL_PORT_BASE;
	struct in_addr address;
	char *at = strchr(entry, '@');

	if (at) {
		*at++ = 0;
		if (!number_parse(entry, PERRON_CLIENT_ID - 1, &peer))
			return false;
		entry = at;
	}
	char *colon = strchr(entry, ':');
	if (colon) {
		*colon++ = 0;
		if (!number_parse(colon, PORT_BASE_MAX, &port_base))
			return false;
	}
	if (inet_pton(AF_INET, entry, &address) != 1 || address.s_addr == 0)
		return false;
	out->peer = (uint32_t)peer;
	out->endpoint.address = ntohl(address.s_addr);
	out->endpoint.port_base = (uint16_t)port_base;
	return true;
}

int perron_portals_parse(const char *text, struct perron_portal *out, char *error,
			 size_t error_size)
{
	int count = 0;

	for (const char *at = text;; at++) {
		char entry[ENTRY_SIZE_MAX];

		if (count == PERRON_PORTAL_COUNT_MAX) {
			snprintf(error, error_size,
				 "portals: more than %d are listed; leave some out",
				 PERRON_PORTAL_COUNT_MAX);
			return -EINVAL;
		}
		at += strspn(at, " ");
		size_t size = strcspn(at, ",");
		snprintf(entry, sizeof(entry), "%.*s", (int)size, at);
		if (size >= sizeof(entry) || !portal_parse(entry, &out[count])) {
			snprintf(error, error_size,
				 "portals: \"%.*s\" is no peer of the root cell; write "
				 "[PEER@]ADDRESS[:PORT_BASE], for instance 10.0.0.1 or "
				 "1@10.0.0.1:7400",
				 (int)(size < 80 ? size : 80), at);
			return -EINVAL;
		}
		count++;
		at += size;
		if (*at == 0)
			return count;
	}
}

void perron_portals_print(const struct perron_portal *portals, uint32_t count, char *out,
			  size_t size)
{
	size_t used = 0;

	out[0] = 0;
	for (uint32_t i = 0; i < count && used < size; i++) {
		uint32_t address = portals[i].endpoint.address;
		int written = snprintf(out + used, size - used, "%s%u.%u.%u.%u:%u",
				       i ? ", " : "", address >> 24, address >> 16 & 255,
				       address >> 8 & 255, address & 255,
				       portals[i].endpoint.port_base);

		used += (size_t)written;
	}
}
