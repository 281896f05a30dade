/*
 * P3: a tree of cells (paper 000, III). A peer asks the root cell for a cell, binds to its
 * siblings, asks the cell above for a parent, and sends a join that climbs to the root's
 * coordinator; the answer comes down by the same way. Renewed joins keep its position.
 *
 * Where it departs from the paper:
 * - The root cell is the portal list of the descriptor; its coordinator is the first of the list
 *   that is alive. A new coordinator lets a lease go by before it gives positions out, and accepts
 *   renewals meanwhile: so no position is held twice under one coordinator's epoch.
 * - Positions are leased. A peer whose renewals are not answered for a lease gives its position
 *   up by itself; nobody has to tell it.
 * - A cell's members and its coordinator are those of its group's view (ft/group); parents tell
 *   their views to their children.
 * - Paths are soft state: clients renew subscriptions, peers renew paths towards the sensor, and
 *   what is not renewed ends. A path whose way changed is set up anew from where it was.
 *
 * All of it is in messages that can be lost, doubled and overtaken; each is repeated until it is
 * answered or out of date.
 */
#ifndef PERRON_OVERLAY_P3_H
#define PERRON_OVERLAY_P3_H

#include "overlay/overlay_ops.h"

extern const struct perron_overlay_ops perron_p3_ops;

#endif
