/*
 * What must hold of the tree, after every step of an overlay that changed its view:
 *
 *	- a view makes sense by itself: levels, branches and slots within the settings;
 *	- no two living peers hold one position under one epoch while their leases last;
 *	- following parents never comes back to where it began. A link of the tree counts where both
 *	  ends agree (the child names the parent, and the parent the child, in its present life):
 *	  one end alone may be out of date for as long as a message is under way.
 *
 * and, once the world was healed: everybody is joined under one coordinator, every link of the
 * tree is agreed, and every peer is reached from the root cell.
 */
#include <inttypes.h>
#include <string.h>

#include "test/sim/world.h"

static uint32_t id_of(const struct world *w, uint32_t node)
{
	return w->sim.nodes[node].id;
}

/* The node of a peer's id; SIM_NONE: not of this world, or dead. */
static uint32_t node_of(const struct world *w, uint32_t id)
{
	uint32_t node = id - 1;

	return id && node < w->plan.peer_count && w->sim.nodes[node].alive ? node : SIM_NONE;
}

static bool holds_position(const struct world *w, uint32_t node)
{
	const struct world_view *v = &w->peers[node].view;

	return w->sim.nodes[node].alive &&
	       (v->state == PERRON_OVERLAY_JOINED || v->state == PERRON_OVERLAY_ORPHAN) &&
	       (v->is_root || v->lease_until_ns > w->sim.now_ns);
}

static void position_print(const struct world_view *v, char *out)
{
	perron_position_print(&v->position, out);
}

static bool parent_agrees(const struct world *w, uint32_t node, uint32_t parent)
{
	const struct world_view *v = &w->peers[parent].view;

	for (uint32_t i = 0; i < v->child_count; i++)
		if (v->children[i].id == id_of(w, node))
			return v->children[i].incarnation == w->peers[node].incarnation;
	return false;
}

static void twins_check(struct world *w, uint32_t node)
{
	const struct world_view *v = &w->peers[node].view;
	char text[PERRON_POSITION_TEXT_MAX];

	if (!holds_position(w, node))
		return;
	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		const struct world_view *other = &w->peers[i].view;
		if (i == node || other->key != v->key || other->epoch != v->epoch ||
		    !holds_position(w, i))
			continue;
		position_print(v, text);
		sim_violation(&w->sim, "twins: peers %u and %u both hold %s in epoch %" PRIu64,
			      id_of(w, node), id_of(w, i), text, v->epoch);
	}
}

static void cycle_check(struct world *w, uint32_t node)
{
	uint32_t at = node;

	for (uint32_t steps = 0; steps <= w->plan.peer_count; steps++) {
		uint32_t parent = node_of(w, w->peers[at].view.parent);
		if (parent == SIM_NONE || !parent_agrees(w, at, parent))
			return;
		at = parent;
		if (at != node)
			continue;
		sim_violation(&w->sim, "cycle: peer %u is its own ancestor, %u hops up",
			      id_of(w, node), steps + 1);
		return;
	}
}

static void place_check(struct world *w, uint32_t node, const struct perron_view *view)
{
	const struct perron_position *p = &view->position;
	const struct world_plan *plan = &w->plan;
	uint32_t slots = p->level ? plan->cell_size : plan->portal_count;
	bool fits = p->level < plan->level_count && p->slot >= 1 && p->slot <= slots;

	for (uint32_t i = 0; i < p->level && fits; i++)
		fits = p->branch[i] < plan->span;
	if (!fits)
		sim_violation(&w->sim, "place: peer %u is %s at level %u slot %u, out of the tree",
			      id_of(w, node), perron_overlay_state_name(view->state), p->level,
			      p->slot);
	if (view->is_root != (p->level == 0))
		sim_violation(&w->sim, "place: peer %u at level %u, is_root %u", id_of(w, node),
			      p->level, view->is_root);
	if (view->state == PERRON_OVERLAY_JOINED && p->level && !view->parent)
		sim_violation(&w->sim, "place: peer %u is joined without a parent",
			      id_of(w, node));
}

static void view_keep(struct world *w, uint32_t node, const struct perron_view *from)
{
	struct world_view *v = &w->peers[node].view;
	uint64_t local_ns = sim_local_ns(&w->sim, node);

	v->version = from->version;
	v->state = from->state;
	v->is_root = from->is_root;
	v->is_root_coordinator = from->is_root_coordinator;
	v->position = from->position;
	v->key = perron_position_key(&from->position);
	v->epoch = from->epoch;
	v->parent = from->parent;
	v->coordinator = from->coordinator;
	v->lease_until_ns = from->lease_until_ns > local_ns
				    ? sim_global_ns(&w->sim, node, from->lease_until_ns)
				    : w->sim.now_ns;
	v->child_count = 0;
	for (uint32_t i = 0; i < from->neighbour_count; i++) {
		if (!(from->neighbours[i].roles & PERRON_ROLE_CHILD))
			continue;
		v->children[v->child_count].id = from->neighbours[i].party.id;
		v->children[v->child_count].incarnation = from->neighbours[i].party.incarnation;
		v->child_count++;
	}
	if (w->options.mutant == SIM_MUTANT_TWIN_POSITION && node == w->twin &&
	    w->sim.now_ns > SIM_S * 4) {
		uint32_t other = node - 1;
		v->key = w->peers[other].view.key;
		v->epoch = w->peers[other].view.epoch;
	}
}

void tree_note(struct world *w, uint32_t node)
{
	const struct world_view *v = &w->peers[node].view;
	struct world_view old = *v;

	w->ops->view(w->peers[node].overlay, sim_local_ns(&w->sim, node), &w->view);
	PERRON_ASSERT(w->view.neighbour_count <= PERRON_NEIGHBOUR_COUNT_MAX);
	view_keep(w, node, &w->view);
	if (w->view.state == PERRON_OVERLAY_JOINED || w->view.state == PERRON_OVERLAY_ORPHAN)
		place_check(w, node, &w->view);
	if (old.version > v->version)
		sim_violation(&w->sim, "view: peer %u went from version %" PRIu64 " to %" PRIu64,
			      id_of(w, node), old.version, v->version);
	if (old.state != v->state)
		sim_trace(&w->sim, "peer %u is %s (%s)", id_of(w, node),
			  perron_overlay_state_name(v->state), w->view.why);
	if (old.key != v->key || old.epoch != v->epoch || old.state != v->state)
		twins_check(w, node);
	if (old.parent != v->parent || old.child_count != v->child_count)
		cycle_check(w, node);
}

void tree_check_all(struct world *w)
{
	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		if (!w->sim.nodes[i].alive)
			continue;
		twins_check(w, i);
		cycle_check(w, i);
	}
}

/* Why a peer is not well in the tree; NULL: it is. */
static const char *peer_trouble(const struct world *w, uint32_t node)
{
	const struct world_view *v = &w->peers[node].view;
	uint32_t at = node;

	if (!w->sim.nodes[node].alive)
		return "dead";
	if (v->state != PERRON_OVERLAY_JOINED)
		return "not joined";
	if (!holds_position(w, node))
		return "its lease ran out";
	for (uint32_t hops = 0; !w->peers[at].view.is_root; hops++) {
		uint32_t parent = node_of(w, w->peers[at].view.parent);
		if (hops > PERRON_LEVEL_COUNT_MAX)
			return "no way to the root";
		if (parent == SIM_NONE)
			return at == node ? "its parent is dead" : "an ancestor's parent is dead";
		if (!parent_agrees(w, at, parent))
			return at == node ? "its parent does not know it"
					  : "an ancestor is not known by its parent";
		at = parent;
	}
	return NULL;
}

uint32_t tree_missing(struct world *w, char *text, uint32_t size)
{
	uint32_t missing = 0;
	uint32_t coordinators = 0;
	uint64_t epoch = 0;

	for (uint32_t i = 0; i < w->plan.peer_count; i++) {
		const char *trouble = peer_trouble(w, i);
		if (w->sim.nodes[i].alive && w->peers[i].view.is_root_coordinator) {
			coordinators++;
			epoch = w->peers[i].view.epoch;
		}
		if (!trouble || missing++ || !text)
			continue;
		w->ops->view(w->peers[i].overlay, sim_local_ns(&w->sim, i), &w->view);
		(void)snprintf(text, size, "peer %u is %s: %s (%.80s)", id_of(w, i),
			       perron_overlay_state_name(w->peers[i].view.state), trouble,
			       w->view.why);
	}
	if (coordinators != 1 && !missing++ && text)
		(void)snprintf(text, size, "%u root coordinators", coordinators);
	for (uint32_t i = 0; i < w->plan.peer_count && !missing; i++) {
		if (w->peers[i].view.epoch == epoch)
			continue;
		missing++;
		if (text)
			(void)snprintf(text, size, "peer %u is in epoch %" PRIu64 ", not %" PRIu64,
				       id_of(w, i), w->peers[i].view.epoch, epoch);
	}
	return missing;
}
