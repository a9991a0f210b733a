// SPDX-License-Identifier: GPL-2.0
/*
 * What this node does because of a peer: leaves its timeline for a promotion
 * elsewhere, enters the one that was opened, or takes the old one up again.
 * Each is a work on the replica; durable before it is answered.
 */
#include <stdio.h>
#include <string.h>

#include "peer.h"

void follow_answer(struct node *node, struct peer *peer, unsigned int type, uint64_t number,
		   const char *code, const char *text)
{
	struct message_answer msg = { .number = number, .ok = !code };
	const struct meta_timeline *timeline = node_timeline(node);

	snprintf(msg.code, sizeof(msg.code), "%s", code ? code : "");
	snprintf(msg.text, sizeof(msg.text), "%s", text);
	msg.position = node_position(node);
	if (timeline)
		memcpy(msg.timeline_id, timeline->id, REPRISE_ID_BYTES);
	peer_send_answer(peer, type, &msg);
}

static void work_failed(struct node *node, const char *what, int error)
{
	node_say(node, 3, "failed", NULL, "resource %s on %s could not %s: %s", node->conf.name,
		 node->self->name, what, strerror(-error));
}

/* A copy that can hold a session, or be promoted. */
static bool usable(const struct node *node)
{
	return node->replica && !node->primary && !node_damage(node)[0] &&
	       (node->meta.state == REPRISE_STORE_CLEAN ||
		node->meta.state == REPRISE_STORE_UNCLEAN);
}

static bool is_left(const struct node *node)
{
	return replica_state(node->replica)->meta->left;
}

/* --- leaving ------------------------------------------------------------ */

static void refuse_leave(struct node *node, struct peer *peer, uint64_t number, const char *why)
{
	char text[MESSAGE_TEXT_BYTES];

	snprintf(text, sizeof(text), "%s %s", node->self->name, why);
	follow_answer(node, peer, WIRE_LEFT, number, "busy", text);
}

void follow_leave_asked(struct node *node, struct peer *peer, const struct message_answer *ask)
{
	if (node->primary) {
		refuse_leave(node, peer, ask->number, "is primary");
		return;
	}
	if (node->work == NODE_WORK_PROMOTE && !promote_yield(node, peer)) {
		refuse_leave(node, peer, ask->number, "is being promoted itself");
		return;
	}
	if (node->work == NODE_WORK_DOWN || node->closing) {
		refuse_leave(node, peer, ask->number, "is being taken down");
		return;
	}
	promote_give_way(node, peer);
	node->leave_from = peer->id;
	node->leave_number = ask->number;
	node_consider(node);
}

static void answer_leave(struct node *node)
{
	struct peer *peer = node_peer(node, node->leave_from);
	uint64_t number = node->leave_number;

	node->leave_from = 0;
	if (!peer || !peer->known)
		return;
	node->left_for = peer->id;
	node->left_number = number;
	/* the state goes first: the promoter compares it when the answer comes */
	node_tell_peers(node);
	follow_answer(node, peer, WIRE_LEFT, number, NULL, "");
}

static void leave_done(void *ctx, int error)
{
	struct node *node = ctx;
	struct peer *peer = node_peer(node, node->leave_from);

	if (error) {
		work_failed(node, "leave its timeline", error);
		if (peer && peer->known)
			refuse_leave(node, peer, node->leave_number,
				     "could not record that it leaves its timeline");
		node->leave_from = 0;
	} else {
		answer_leave(node);
	}
	node_work_end(node);
}

static void leave_begin(struct node *node)
{
	/* a crashed primary has no session that could be left */
	if (!usable(node) || node->meta.state == REPRISE_STORE_UNCLEAN) {
		answer_leave(node);
		return;
	}
	node_work_begin(node, NODE_WORK_LEAVE);
	replica_leave(node->replica, leave_done, node);
}

/* --- following ---------------------------------------------------------- */

static void enter_next(struct node *node);

static void follow_end(struct node *node, const char *what, int error)
{
	if (error)
		work_failed(node, what, error);
	else
		node->left_for = 0;
	node_read_meta(node);
	node_work_end(node);
}

static void entered(void *ctx, int error)
{
	struct node *node = ctx;

	if (error) {
		follow_end(node, "enter the new timeline", error);
		return;
	}
	node->follow_index++;
	enter_next(node);
}

static void enter_next(struct node *node)
{
	const struct message_state *st = &node->peers[node->follow_peer].state;
	const struct meta_timeline *current;

	node_read_meta(node);
	current = node_timeline(node);
	/* what the peer says may have changed meanwhile */
	if (!current || node->follow_index >= st->nr_timelines ||
	    memcmp(st->timelines[node->follow_index].parent, current->id, REPRISE_ID_BYTES) ||
	    st->timelines[node->follow_index].fork_seq != node_position(node)) {
		follow_end(node, "", 0);
		return;
	}
	node->follow_timeline = st->timelines[node->follow_index];
	replica_enter(node->replica, &node->follow_timeline, REPRISE_STORE_CLEAN, entered, node);
}

static void follow_settled(void *ctx, int error)
{
	struct node *node = ctx;

	if (error)
		follow_end(node, "apply its log before the new timeline", error);
	else
		enter_next(node);
}

static void follow_left(void *ctx, int error)
{
	struct node *node = ctx;

	if (error)
		follow_end(node, "leave its timeline", error);
	else
		replica_settle(node->replica, follow_settled, node);
}

static bool follow_begin(struct node *node, unsigned int index)
{
	const struct message_state *st = &node->peers[index].state;
	const struct meta_timeline *current = node_timeline(node);

	for (unsigned int i = 0; i + 1 < st->nr_timelines; i++) {
		if (memcmp(st->timelines[i].id, current->id, REPRISE_ID_BYTES))
			continue;
		node->follow_peer = index;
		node->follow_index = i + 1;
		node_work_begin(node, NODE_WORK_FOLLOW);
		replica_leave(node->replica, follow_left, node);
		return true;
	}
	return false;
}

static bool follow_somebody(struct node *node)
{
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		const struct peer *peer = &node->peers[i];

		if (peer->known && peer->decision.outcome == MEET_FOLLOW &&
		    peer->decision.side == MEET_A && follow_begin(node, i))
			return true;
	}
	return false;
}

void follow_enter_asked(struct node *node, struct peer *peer, const struct message_answer *ask)
{
	peer->enter_number = ask->number;
	node_consider(node);
}

/* Its timeline has been entered, or will not be. */
static void answer_enter(struct node *node, struct peer *peer)
{
	const struct message_state *st = &peer->state;
	const struct meta_timeline *mine = node_timeline(node);
	uint64_t number = peer->enter_number;
	char text[MESSAGE_TEXT_BYTES];

	if (!number || !peer->known)
		return;
	peer->enter_number = 0;
	if (mine && st->nr_timelines &&
	    !memcmp(mine->id, st->timelines[st->nr_timelines - 1].id, REPRISE_ID_BYTES)) {
		follow_answer(node, peer, WIRE_ENTERED, number, NULL, "");
		return;
	}
	meet_describe(&peer->decision, node->self->name, peer->name, text, sizeof(text));
	follow_answer(node, peer, WIRE_ENTERED, number, "resync-needed", text);
}

/* --- taking the old timeline up again ------------------------------------- */

static void unleft(void *ctx, int error)
{
	struct node *node = ctx;

	if (error)
		work_failed(node, "take its timeline up again", error);
	node_read_meta(node);
	node_work_end(node);
}

static void unleave_begin(struct node *node)
{
	node->left_for = 0;
	node_work_begin(node, NODE_WORK_UNLEAVE);
	replica_unleave(node->replica, unleft, node);
}

void follow_withdrawn(struct node *node, struct peer *peer, const struct message_answer *ask)
{
	if (node->leave_from == peer->id && node->leave_number == ask->number)
		node->leave_from = 0;
	if (node->left_for != peer->id || node->left_number != ask->number)
		return;
	node->left_for = 0;
	if (node->work == NODE_WORK_NONE && usable(node) && is_left(node))
		unleave_begin(node);
}

/* Everybody is here, and nobody opened, or is opening, a timeline we do not know. */
static bool nobody_went_on(const struct node *node)
{
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		const struct message_state *st = &node->peers[i].state;

		if (!node->peers[i].known || st->promoting)
			return false;
		if (st->nr_timelines &&
		    !meta_find(&node->meta, st->timelines[st->nr_timelines - 1].id))
			return false;
	}
	return true;
}

/* --- policy --------------------------------------------------------------- */

static void policy_done(void *ctx, int error)
{
	struct node *node = ctx;

	if (error)
		work_failed(node, "record its durability settings", error);
	node_read_meta(node);
	node_work_end(node);
}

/* That of a crashed primary stays what it was when it wrote: it decides at a meeting. */
static bool policy_differs(const struct node *node)
{
	if (node->meta.state != REPRISE_STORE_CLEAN)
		return false;
	return node->meta.durability != node->conf.durability ||
	       node->meta.on_peer_loss != node->conf.on_peer_loss;
}

void follow_consider(struct node *node)
{
	if (node->work == NODE_WORK_NONE && node->leave_from)
		leave_begin(node);
	if (node->work == NODE_WORK_NONE && usable(node) && !follow_somebody(node)) {
		if (is_left(node) && !node->left_for && nobody_went_on(node))
			unleave_begin(node);
		else if (policy_differs(node) && !node->failed[0]) {
			node_work_begin(node, NODE_WORK_POLICY);
			replica_set_policy(node->replica, node->conf.durability,
					   node->conf.on_peer_loss, policy_done, node);
		}
	}
	if (node->work != NODE_WORK_NONE)
		return;
	for (unsigned int i = 0; i < node->nr_peers; i++)
		answer_enter(node, &node->peers[i]);
}
