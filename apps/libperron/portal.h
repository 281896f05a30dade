/* The list of portals, as a person writes it. Private to libperron. */
#ifndef PERRON_APPS_LIBPERRON_PORTAL_H
#define PERRON_APPS_LIBPERRON_PORTAL_H

#include <stddef.h>

#include "overlay/overlay_ops.h"

#define PERRON_PORTAL_PORT_BASE 7400

/*
 * Reads "[PEER@]ADDRESS[:PORT_BASE],..." into `out`, which has room for PERRON_PORTAL_COUNT_MAX.
 * Returns how many, or -EINVAL with the line in `error`.
 */
int perron_portals_parse(const char *text, struct perron_portal *out, char *error,
			 size_t error_size) PERRON_MUST_USE;

/* Writes "ADDRESS:PORT_BASE, ..." of all, cut off where `size` ends. */
void perron_portals_print(const struct perron_portal *portals, uint32_t count, char *out,
			  size_t size);

#endif
