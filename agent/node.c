// SPDX-License-Identifier: GPL-2.0
/*
 * What follows from what is known: the state this node tells, what it makes
 * of each peer, and the works and sessions that are due.
 */
#include "node.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

void node_say(struct node *node, int level, const char *event, const char *peer,
	      const char *fmt, ...)
{
	char text[NODE_TEXT_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	env_log(node->home->env, level, node->conf.name, "%s", text);
	ctl_event(node->home->ctl, node->conf.name, event, peer, "%s", text);
}

struct peer *node_peer(struct node *node, unsigned int id)
{
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		if (node->peers[i].id == id)
			return &node->peers[i];
	}
	return NULL;
}

const struct meta_timeline *node_timeline(const struct node *node)
{
	return meta_current(&node->meta);
}

static bool has_store(const struct node *node)
{
	return node->replica && !node->primary;
}

uint64_t node_position(const struct node *node)
{
	if (node->primary)
		return node->kernel.seq;
	return has_store(node) ? replica_state(node->replica)->durable : node->meta.applied;
}

const char *node_damage(const struct node *node)
{
	const struct replica_state *rs;

	if (node->failed[0])
		return node->failed;
	if (!has_store(node))
		return "";
	rs = replica_state(node->replica);
	if (rs->damage == REPLICA_OK)
		return "";
	return rs->damage_text[0] ? rs->damage_text : "its store or log is damaged";
}

void node_read_meta(struct node *node)
{
	if (has_store(node))
		node->meta = *replica_state(node->replica)->meta;
}

/* Serves I/O, or is about to, the new timeline being durable. */
static bool acts_as_primary(const struct node *node)
{
	return node->primary ||
	       (node->work == NODE_WORK_PROMOTE && (node->promote.phase == PROMOTE_ANNOUNCED ||
						    node->promote.phase == PROMOTE_ATTACHING));
}

static void own_store_state(const struct node *node, struct message_state *state)
{
	const struct replica_state *rs = replica_state(node->replica);

	state->left = rs->meta->left;
	state->in_session = rs->in_session;
	state->received = rs->received;
	state->durable = rs->durable;
	state->applied = rs->applied;
	if (rs->damage != REPLICA_OK && state->state != REPRISE_STORE_BLANK)
		state->state = REPRISE_STORE_DAMAGED;
	snprintf(state->text, sizeof(state->text), "%s",
		 rs->damage != REPLICA_OK ? rs->damage_text : node->session_text);
}

void node_own_state(struct node *node, struct message_state *state)
{
	const struct meta *meta = &node->meta;

	node_read_meta(node);
	memset(state, 0, sizeof(*state));
	state->primary = acts_as_primary(node);
	state->promoting = node->work == NODE_WORK_PROMOTE;
	state->async = meta->durability == REPRISE_DURABILITY_ASYNC;
	state->frozen = node->primary && node->kernel.frozen;
	state->crashed = meta->state == REPRISE_STORE_UNCLEAN && !state->primary;
	state->state = meta->state;
	state->position = node_position(node);
	state->nr_timelines = meta->nr_timelines;
	memcpy(state->timelines, meta->timelines, meta->nr_timelines * sizeof(meta->timelines[0]));
	for (unsigned int i = 0; i < meta->nr_peers; i++) {
		if (meta->peers[i].absent)
			state->absent |= 1u << meta->peers[i].node;
	}
	if (has_store(node))
		own_store_state(node, state);
	if (node->failed[0])
		state->state = REPRISE_STORE_DAMAGED;
}

void node_tell_peers(struct node *node)
{
	struct message_state *state = malloc(sizeof(*state));

	if (!state)
		return;
	node_own_state(node, state);
	for (unsigned int i = 0; i < node->nr_peers; i++)
		peer_send_state(&node->peers[i], state);
	free(state);
	node_consider(node);
}

/* --- meeting ----------------------------------------------------------- */

static struct meet_side meet_side(unsigned int node, unsigned int other,
				  const struct message_state *state)
{
	return (struct meet_side){
		.node = node,
		.primary = state->primary,
		.state = state->state,
		.crashed = state->crashed,
		.async = state->async,
		.other_absent = state->absent & 1u << other,
		.position = state->position,
		.nr_timelines = state->nr_timelines,
		.timelines = state->timelines,
	};
}

static bool decision_is_trouble(const struct meet_decision *decision)
{
	return decision->outcome == MEET_RESYNC || decision->outcome == MEET_SPLIT_BRAIN ||
	       decision->outcome == MEET_REFUSED || decision->outcome == MEET_DEPOSED;
}

/* While roles change, positions of two nodes differ for moments. */
static bool is_settled(const struct node *node, const struct peer *peer)
{
	return node->work == NODE_WORK_NONE && !peer->state.promoting &&
	       !peer->state.in_session;
}

static void say_decision(struct node *node, struct peer *peer)
{
	static const char *const events[] = {
		[MEET_RESYNC] = "resync-needed",
		[MEET_SPLIT_BRAIN] = "split-brain",
		[MEET_REFUSED] = "unrelated",
		[MEET_DEPOSED] = "deposed",
	};
	char text[NODE_TEXT_BYTES] = "";

	if (!is_settled(node, peer))
		return;
	if (decision_is_trouble(&peer->decision))
		meet_describe(&peer->decision, node->self->name, peer->name, text, sizeof(text));
	if (text[0] && strcmp(text, peer->said))
		node_say(node, 4, events[peer->decision.outcome], peer->name, "%s", text);
	snprintf(peer->said, sizeof(peer->said), "%s", text);
}

static void meet_peers(struct node *node)
{
	struct message_state *own = malloc(sizeof(*own));
	unsigned int id = node->self->id;

	if (!own)
		return;
	node_own_state(node, own);
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		struct peer *peer = &node->peers[i];
		struct meet_side a = meet_side(id, peer->id, own);
		struct meet_side b = meet_side(peer->id, id, &peer->state);

		if (!peer->known)
			continue;
		peer->decision = meet(&a, &b);
		say_decision(node, peer);
	}
	free(own);
}

void node_role_view(struct node *node, struct role_self *self, struct role_peer *peers)
{
	meet_peers(node);
	*self = (struct role_self){
		.resource = node->conf.name,
		.node = node->self->name,
		.primary = node->primary,
		.state = node->meta.state,
		.damage = node_damage(node),
	};
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		struct peer *peer = &node->peers[i];

		peers[i] = (struct role_peer){
			.name = peer->name,
			.connected = peer->known,
			.primary = peer->known && peer->state.primary,
			/* of two at once the smaller id goes on */
			.promoting = peer->known && peer->state.promoting &&
				     (peer->id < node->self->id ||
				      node->work != NODE_WORK_PROMOTE),
			.decision = peer->decision,
		};
	}
}

static bool deposed(const struct node *node)
{
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		const struct peer *peer = &node->peers[i];

		if (peer->known && peer->decision.outcome == MEET_DEPOSED &&
		    peer->decision.side == MEET_A)
			return true;
	}
	return false;
}

/* A newer timeline exists and nothing was written here since: stop before something is. */
static void freeze_if_deposed(struct node *node)
{
	const struct kernel *kernel = &node->home->kernel;

	if (!node->primary || node->kernel.frozen || !deposed(node))
		return;
	if (kernel->ops->freeze(kernel->ctx, node->conf.name)) {
		node_say(node, 2, "freeze-failed", NULL,
			 "resource %s must be frozen, but the kernel refuses: %s",
			 node->conf.name, kernel->ops->error(kernel->ctx));
		return;
	}
	node->kernel.frozen = node->held = true;
	node_say(node, 3, "frozen", NULL,
		 "I/O on resource %s is frozen: it was promoted elsewhere; demote it here",
		 node->conf.name);
}

void node_consider(struct node *node)
{
	if (!node->up || node->closing)
		return;
	meet_peers(node);
	freeze_if_deposed(node);
	follow_consider(node);
	for (unsigned int i = 0; i < node->nr_peers; i++)
		session_consider(node, &node->peers[i]);
}

/* --- work --------------------------------------------------------------- */

void node_work_begin(struct node *node, enum node_work work)
{
	node->work = work;
}

void node_work_end(struct node *node)
{
	void (*close_done)(struct node *node, int error) = node->close_done;
	struct ctl_request *down_req = node->down_req;

	node->work = NODE_WORK_NONE;
	node->work_req = node->down_req = NULL;
	if (down_req)
		node_down(node, down_req);
	if (close_done) {
		node->close_done = NULL;
		node_close(node, close_done);
		return;
	}
	if (node->up)
		node_tell_peers(node);
	if (node->changed)
		node->changed(node, node->changed_ctx);
}

static const char *work_text(enum node_work work)
{
	switch (work) {
	case NODE_WORK_UP:
		return "is being brought up";
	case NODE_WORK_DOWN:
		return "is being taken down";
	case NODE_WORK_PROMOTE:
		return "is being promoted";
	case NODE_WORK_DEMOTE:
		return "is being demoted";
	default:
		return "follows a change of roles";
	}
}

bool node_is_ending(const struct node *node)
{
	return !node->up || node->closing || node->close_done || node->work == NODE_WORK_DOWN;
}

bool node_work_free(struct node *node, struct ctl_request *req)
{
	if (node->work == NODE_WORK_NONE && !node->closing && !node->close_done)
		return true;
	ctl_fail(req, "busy", "try again in a moment", "resource %s %s on %s", node->conf.name,
		 work_text(node->work), node->self->name);
	return false;
}

/* --- kernel ------------------------------------------------------------- */

static void kernel_peer_changed(struct node *node, const struct nl_peer *now)
{
	struct peer *peer = node_peer(node, now->node);

	if (!peer)
		return;
	if (now->state == REPRISE_PEER_CONNECTED && peer->session == PEER_SESSION_NONE) {
		peer->session = PEER_SESSION_ATTACHED;
		peer->session_text[0] = '\0';
	} else if (now->state != REPRISE_PEER_CONNECTED) {
		session_lost(node, peer, now->reason);
	}
	peer->kernel_state = now->state;
}

static void kernel_gone(struct node *node, int error)
{
	const struct kernel *kernel = &node->home->kernel;

	if (error != -ENOENT) {
		env_log(node->home->env, 4, node->conf.name, "the kernel's state cannot be read: %s",
			kernel->ops->error(kernel->ctx));
		return;
	}
	node->primary = false;
	snprintf(node->failed, sizeof(node->failed),
		 "the kernel no longer runs it although nobody demoted it: take the resource down and up again");
	node_say(node, 2, "failed", NULL, "resource %s: %s", node->conf.name, node->failed);
	node_tell_peers(node);
}

void node_kernel_refresh(struct node *node)
{
	const struct kernel *kernel = &node->home->kernel;
	bool was_frozen = node->kernel.frozen;
	int err;

	if (!node->primary)
		return;
	err = kernel->ops->get(kernel->ctx, node->conf.name, &node->kernel);
	if (err) {
		kernel_gone(node, err);
		return;
	}
	/* a lost peer is said first: it may be why I/O is frozen */
	for (unsigned int i = 0; i < node->kernel.nr_peers; i++)
		kernel_peer_changed(node, &node->kernel.peers[i]);
	if (was_frozen != node->kernel.frozen && node->work == NODE_WORK_NONE)
		node_say(node, 5, node->kernel.frozen ? "frozen" : "resumed", NULL,
			 node->kernel.frozen ? "I/O on resource %s is frozen" :
			 "I/O on resource %s goes on", node->conf.name);
	node_consider(node);
}

void node_kernel_event(struct node *node, const struct nl_event *event)
{
	if (event->event == REPRISE_EVENT_IO_ERROR)
		node_say(node, 2, "io-error", NULL,
			 "the backing device of volume %u of resource %s failed: %s",
			 event->volume, node->conf.name,
			 event->reason[0] ? event->reason : "I/O error");
	if (node->work != NODE_WORK_DEMOTE)
		node_kernel_refresh(node);
}

/*
 * With on-peer-loss freeze or hook, the kernel froze I/O when a peer was lost;
 * the peer being back, nobody has to decide anything.
 */
void node_resume_if_whole(struct node *node)
{
	const struct kernel *kernel = &node->home->kernel;

	if (!node->primary || node->held || node->work != NODE_WORK_NONE ||
	    node->conf.on_peer_loss == REPRISE_ON_PEER_LOSS_ALONE)
		return;
	node_kernel_refresh(node);
	if (!node->primary || !node->kernel.frozen)
		return;
	for (unsigned int i = 0; i < node->kernel.nr_peers; i++) {
		if (node->kernel.peers[i].state != REPRISE_PEER_CONNECTED)
			return;
	}
	if (!kernel->ops->resume(kernel->ctx, node->conf.name))
		node_kernel_refresh(node);
}

/* --- peers -------------------------------------------------------------- */

void node_peer_known(struct node *node, struct peer *peer)
{
	if (node->left_for == peer->id && !peer->state.promoting && !peer->state.primary)
		node->left_for = 0;
	node_consider(node);
}

void node_peer_lost(struct node *node, struct peer *peer)
{
	session_peer_gone(node, peer);
	if (node->left_for == peer->id)
		node->left_for = 0;
	if (node->leave_from == peer->id)
		node->leave_from = 0;
	peer->enter_number = 0;
	promote_peer_lost(node, peer);
	node_consider(node);
}

void node_peer_message(struct node *node, struct peer *peer, unsigned int type,
		       const struct message_answer *answer)
{
	switch (type) {
	case WIRE_OFFER:
		session_offered(node, peer, answer);
		break;
	case WIRE_OFFER_ANSWER:
		session_answered(node, peer, answer);
		break;
	case WIRE_SESSION_REFUSED:
		session_refused(node, peer, answer);
		break;
	case WIRE_LEAVE:
		follow_leave_asked(node, peer, answer);
		break;
	case WIRE_LEFT:
		promote_left(node, peer, answer);
		break;
	case WIRE_ENTER:
		follow_enter_asked(node, peer, answer);
		break;
	case WIRE_ENTERED:
		promote_entered(node, peer, answer);
		break;
	case WIRE_WITHDRAW:
		follow_withdrawn(node, peer, answer);
		break;
	default:
		break;
	}
}

static void tick(struct env_timer *timer)
{
	struct node *node = (struct node *)((char *)timer - offsetof(struct node, tick));

	for (unsigned int i = 0; i < node->nr_peers; i++)
		peer_tick(&node->peers[i]);
	session_tick(node);
	if (node->work != NODE_WORK_DEMOTE)
		node_kernel_refresh(node);
	node_consider(node);
	node_tick_start(node);
}

void node_tick_start(struct node *node)
{
	uint64_t period_ms = node->conf.timeout_ms / 4;

	if (period_ms > NODE_TICK_MS)
		period_ms = NODE_TICK_MS;
	if (period_ms < 20)
		period_ms = 20;
	node->tick.fire = tick;
	env_timer_set(node->home->env, &node->tick,
		      env_monotonic_ns(node->home->env) + period_ms * NS_PER_MS);
}
