// SPDX-License-Identifier: GPL-2.0
/*
 * Data sessions: the primary offers one over the control connection, the
 * replica ends and drains what it had and answers from where, the node with
 * the smaller id dials, and the connection goes to the kernel on one side and
 * to the replica on the other.
 *
 * The one idea: the kernel knows whether a peer may continue; a peer that may
 * not is left alone until its position changes.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "peer.h"

enum {
	OFFER_TIMEOUT_MS = 15000,
	SESSION_BACKOFF_MIN_MS = 250,
	SESSION_STABLE_MS = 10000,	/* one that lived so long was no failure of the start */
};

static uint64_t now_ns(const struct node *node)
{
	return env_monotonic_ns(node->home->env);
}

static void close_conn(struct node *node, struct env_conn *conn)
{
	node->home->env->ops->conn_close(node->home->env, conn);
}

static const struct nl_peer *kernel_peer(const struct node *node, unsigned int id)
{
	for (unsigned int i = 0; i < node->kernel.nr_peers; i++) {
		if (node->kernel.peers[i].node == id)
			return &node->kernel.peers[i];
	}
	return NULL;
}

/* --- primary ---------------------------------------------------------- */

static void session_reset(struct peer *peer)
{
	if (peer->data_greet)
		greet_cancel(peer->data_greet);
	peer->data_greet = NULL;
	peer->session = PEER_SESSION_NONE;
	peer->session_number = 0;
}

static void session_failed(struct peer *peer, const char *text)
{
	session_reset(peer);
	if (peer->session_backoff_ms < SESSION_BACKOFF_MIN_MS)
		peer->session_backoff_ms = SESSION_BACKOFF_MIN_MS;
	else if (peer->session_backoff_ms < PEER_BACKOFF_MAX_MS)
		peer->session_backoff_ms *= 2;
	peer->session_retry_ns = now_ns(peer->node) + peer->session_backoff_ms * NS_PER_MS;
	snprintf(peer->session_text, sizeof(peer->session_text), "%s", text);
}

/* Not before the peer's position or timeline has changed. */
static void session_block(struct peer *peer, uint64_t position, const uint8_t *timeline,
			  const char *text)
{
	bool news = !peer->blocked || strcmp(text, peer->session_text);

	session_reset(peer);
	peer->blocked = true;
	peer->blocked_position = position;
	memcpy(peer->blocked_timeline, timeline, REPRISE_ID_BYTES);
	snprintf(peer->session_text, sizeof(peer->session_text), "%s", text);
	if (news)
		node_say(peer->node, 4, "resync-needed", peer->name, "%s", text);
}

static bool still_blocked(struct peer *peer)
{
	const struct message_state *st = &peer->state;

	if (!peer->blocked)
		return false;
	if (st->position == peer->blocked_position && st->nr_timelines &&
	    !memcmp(st->timelines[st->nr_timelines - 1].id, peer->blocked_timeline,
		    REPRISE_ID_BYTES))
		return true;
	peer->blocked = false;
	return false;
}

static void refuse_session(struct peer *peer, uint64_t number, const char *code, const char *text)
{
	struct message_answer answer = { .number = number };

	snprintf(answer.code, sizeof(answer.code), "%s", code);
	snprintf(answer.text, sizeof(answer.text), "%s", text);
	peer_send_answer(peer, WIRE_SESSION_REFUSED, &answer);
}

static void resync_text(const struct peer *peer, char *text, size_t bytes)
{
	snprintf(text, bytes,
		 "resync needed: %s lacks writes of resource %s that %s no longer holds for it",
		 peer->name, peer->node->conf.name, peer->node->self->name);
}

/* The kernel lost the session after writes that it does not hold any more. */
static bool kernel_wants_resync(struct peer *peer)
{
	const struct nl_peer *kp = kernel_peer(peer->node, peer->id);

	return kp && kp->state == REPRISE_PEER_BEHIND &&
	       peer->state.position != peer->node->kernel.seq;
}

static bool may_offer(struct peer *peer)
{
	struct node *node = peer->node;

	return node->primary && peer->known && !peer->state.left &&
	       peer->session == PEER_SESSION_NONE && peer->decision.outcome == MEET_ATTACH &&
	       peer->decision.side == MEET_B && now_ns(node) >= peer->session_retry_ns &&
	       node->work != NODE_WORK_DEMOTE && node->work != NODE_WORK_DOWN;
}

static void offer(struct peer *peer)
{
	struct message_answer msg = { 0 };

	do
		env_random(peer->node->home->env, &msg.number, sizeof(msg.number));
	while (!msg.number);
	memcpy(msg.timeline_id, node_timeline(peer->node)->id, REPRISE_ID_BYTES);
	peer->session = PEER_SESSION_OFFERED;
	peer->session_number = msg.number;
	peer->session_deadline_ns = now_ns(peer->node) + OFFER_TIMEOUT_MS * NS_PER_MS;
	peer_send_answer(peer, WIRE_OFFER, &msg);
}

void session_consider(struct node *node, struct peer *peer)
{
	char text[NODE_TEXT_BYTES];

	if (!may_offer(peer) || !node_timeline(node) || still_blocked(peer))
		return;
	if (kernel_wants_resync(peer)) {
		resync_text(peer, text, sizeof(text));
		session_block(peer, peer->state.position, node_timeline(node)->id, text);
		refuse_session(peer, 1, "resync-needed", text);
		return;
	}
	offer(peer);
}

static void data_greeted(void *ctx, const struct greet_result *result)
{
	struct peer *peer = ctx;
	char text[NODE_TEXT_BYTES];

	peer->data_greet = NULL;
	if (result->conn) {
		session_connected(peer->node, peer, peer->session_number, result->conn);
		return;
	}
	snprintf(text, sizeof(text), "the data connection to %s failed: %s", peer->name,
		 result->why);
	session_failed(peer, text);
}

static struct greet *dial_data(struct peer *peer, uint64_t number, greet_done done)
{
	struct node *node = peer->node;
	const struct conf_node *to = peer_conf(peer);
	struct handshake_keys keys;
	struct wire_hello hello;

	peer_keys(peer, &keys);
	peer_hello(peer, WIRE_DATA, number, &hello);
	return greet_dial(node->home->env, node->home->links, &to->addr, to->addr_len, &hello,
			  &keys, done, peer);
}

void session_answered(struct node *node, struct peer *peer, const struct message_answer *answer)
{
	if (!node->primary || answer->number != peer->session_number)
		return;
	/* one that said yes may still fail to connect, and says so */
	if (peer->session != PEER_SESSION_OFFERED &&
	    (peer->session != PEER_SESSION_DIALING || answer->ok))
		return;
	if (!answer->ok) {
		if (!strcmp(answer->code, "resync-needed"))
			session_block(peer, answer->position, answer->timeline_id, answer->text);
		else
			session_failed(peer, answer->text);
		return;
	}
	peer->session = PEER_SESSION_DIALING;
	peer->session_position = answer->position;
	peer->session_deadline_ns = now_ns(node) + 2 * GREET_TIMEOUT_MS * NS_PER_MS;
	if (!peer->dialer)
		return;
	peer->data_greet = dial_data(peer, answer->number, data_greeted);
	if (!peer->data_greet)
		session_failed(peer, "no memory");
}

static void attach_refused(struct peer *peer, int error)
{
	struct node *node = peer->node;
	uint64_t number = peer->session_number;
	char text[NODE_TEXT_BYTES];

	if (error == -EUCLEAN) {
		resync_text(peer, text, sizeof(text));
		session_block(peer, peer->session_position, node_timeline(node)->id, text);
		refuse_session(peer, number, "resync-needed", text);
		return;
	}
	snprintf(text, sizeof(text), "the kernel refused the session with %s: %s", peer->name,
		 node->home->kernel.ops->error(node->home->kernel.ctx));
	node_say(node, 4, "session-failed", peer->name, "%s", text);
	session_failed(peer, text);
	refuse_session(peer, number, "io", text);
}

static void attach(struct peer *peer, struct env_conn *conn)
{
	struct node *node = peer->node;
	struct env *env = node->home->env;
	uint64_t s0 = 0;
	int err = node->home->kernel.ops->attach(node->home->kernel.ctx, node->conf.name, peer->id,
						 env->ops->conn_fd(env, conn),
						 peer->session_number, node_timeline(node)->id,
						 peer->session_position, &s0);

	close_conn(node, conn);
	if (err) {
		attach_refused(peer, err);
		return;
	}
	peer->session = PEER_SESSION_ATTACHED;
	peer->attached_ns = now_ns(node);
	peer->blocked = false;
	peer->session_text[0] = '\0';
	peer->kernel_state = REPRISE_PEER_CONNECTED;
	node_say(node, 6, "mirroring", peer->name, "mirroring to %s", peer->name);
	promote_attached(node, peer);
	node_resume_if_whole(node);
	node_consider(node);
}

void session_lost(struct node *node, struct peer *peer, const char *reason)
{
	if (peer->session != PEER_SESSION_ATTACHED)
		return;
	if (now_ns(node) > peer->attached_ns + SESSION_STABLE_MS * NS_PER_MS)
		peer->session_backoff_ms = 0;
	session_failed(peer, reason);
	node_say(node, 4, "peer-lost", peer->name, "%s is lost: %s; %s", peer->name,
		 reason[0] ? reason : "no reason given", node->kernel.frozen ?
		 "I/O waits until it is back, or for \"reprise resume\"" :
		 "I/O goes on without it");
}

/* --- replica ---------------------------------------------------------- */

static void offer_forget(struct node *node)
{
	if (node->offer_greet)
		greet_cancel(node->offer_greet);
	node->offer_greet = NULL;
	node->offer_from = 0;
	node->offer_number = 0;
	node->offer_answered = false;
}

/* Why a session cannot begin now: a code, or NULL. */
static const char *offer_obstacle(struct node *node, struct peer *peer,
				  const uint8_t *timeline_id, char *text, size_t bytes)
{
	const struct meta_timeline *timeline = node_timeline(node);
	const struct replica_state *rs = node->replica ? replica_state(node->replica) : NULL;

	if (node->primary || !rs || node->work != NODE_WORK_NONE) {
		snprintf(text, bytes, "%s is busy", node->self->name);
		return "busy";
	}
	if (rs->damage != REPLICA_OK || node->meta.state != REPRISE_STORE_CLEAN) {
		snprintf(text, bytes, "resync needed: the copy on %s is %s%s%s", node->self->name,
			 meta_state_name(node->meta.state), rs->damage_text[0] ? ": " : "",
			 rs->damage_text);
		return "resync-needed";
	}
	if (!timeline || memcmp(timeline->id, timeline_id, REPRISE_ID_BYTES)) {
		snprintf(text, bytes, "%s is on another timeline than %s", node->self->name,
			 peer->name);
		return "busy";
	}
	if (rs->meta->left) {
		snprintf(text, bytes, "%s has left this timeline for a promotion elsewhere",
			 node->self->name);
		return "busy";
	}
	return NULL;
}

static void offer_greeted(void *ctx, const struct greet_result *result)
{
	struct peer *peer = ctx;
	struct node *node = peer->node;

	node->offer_greet = NULL;
	if (result->conn) {
		session_connected(node, peer, node->offer_number, result->conn);
		return;
	}
	snprintf(node->session_text, sizeof(node->session_text),
		 "the data connection to %s failed: %s", peer->name, result->why);
	/* it may have overtaken the answer: then the primary did not expect it yet */
	follow_answer(node, peer, WIRE_OFFER_ANSWER, node->offer_number, "io", node->session_text);
	offer_forget(node);
}

/* No session runs any more: answer the open offer, and dial if that is our part. */
static void offer_go_on(struct node *node)
{
	struct peer *peer = node_peer(node, node->offer_from);
	char text[NODE_TEXT_BYTES] = "";
	const char *code;

	if (!peer || !peer->known) {
		offer_forget(node);
		return;
	}
	code = offer_obstacle(node, peer, node->offer_timeline, text, sizeof(text));
	follow_answer(node, peer, WIRE_OFFER_ANSWER, node->offer_number, code, text);
	if (code) {
		offer_forget(node);
		return;
	}
	node->offer_answered = true;
	if (!peer->dialer)
		return;
	node->offer_greet = dial_data(peer, node->offer_number, offer_greeted);
	if (!node->offer_greet)
		offer_forget(node);
}

void session_offered(struct node *node, struct peer *peer, const struct message_answer *msg)
{
	char text[NODE_TEXT_BYTES] = "";
	const char *code = offer_obstacle(node, peer, msg->timeline_id, text, sizeof(text));

	if (code) {
		follow_answer(node, peer, WIRE_OFFER_ANSWER, msg->number, code, text);
		return;
	}
	offer_forget(node);
	node->offer_from = peer->id;
	node->offer_number = msg->number;
	node->offer_deadline_ns = now_ns(node) + OFFER_TIMEOUT_MS * NS_PER_MS;
	memcpy(node->offer_timeline, msg->timeline_id, REPRISE_ID_BYTES);
	if (!node->session_conn || !replica_session_stop(node->replica, "a new session begins"))
		offer_go_on(node);
}

void session_refused(struct node *node, struct peer *peer, const struct message_answer *answer)
{
	if (node->offer_from == peer->id && node->offer_number == answer->number)
		offer_forget(node);
	node->session_behind = !strcmp(answer->code, "resync-needed");
	snprintf(node->session_text, sizeof(node->session_text), "%s", answer->text);
	node_say(node, 4, node->session_behind ? "resync-needed" : "session-failed", peer->name,
		 "%s refused the session: %s", peer->name, answer->text);
}

static void replica_start(struct node *node, struct peer *peer, struct env_conn *conn)
{
	uint64_t number = node->offer_number;
	int err = replica_session_start(node->replica, conn, number, node->offer_timeline);

	offer_forget(node);
	if (err) {
		snprintf(node->session_text, sizeof(node->session_text),
			 "the session with %s could not begin: %s", peer->name, strerror(-err));
		close_conn(node, conn);
		return;
	}
	node->session_conn = conn;
	node->session_from = peer->id;
	node->session_text[0] = '\0';
	node->session_fatal = node->session_behind = false;
	node->session_frames = replica_state(node->replica)->frames;
	node->session_heard_ns = now_ns(node);
	node_say(node, 6, "replicating", peer->name, "receiving from %s", peer->name);
	node_tell_peers(node);
}

void session_replica_ended(void *ctx, const char *reason, bool fatal)
{
	struct node *node = ctx;
	struct peer *peer = node_peer(node, node->session_from);

	if (node->session_conn)
		close_conn(node, node->session_conn);
	node->session_conn = NULL;
	node->session_fatal = fatal;
	snprintf(node->session_text, sizeof(node->session_text), "%s", reason);
	node_read_meta(node);
	node_say(node, fatal ? 3 : 5, "session-ended", peer ? peer->name : NULL,
		 "replication from %s ended: %s", peer ? peer->name : "its primary", reason);
	node_tell_peers(node);
	if (node->offer_from && !node->offer_answered)
		offer_go_on(node);
}

/* --- both ------------------------------------------------------------- */

bool session_expected(const struct node *node, const struct peer *peer, uint64_t number)
{
	if (node->primary)
		return peer->session == PEER_SESSION_DIALING && peer->session_number == number;
	return node->offer_from == peer->id && node->offer_answered &&
	       node->offer_number == number;
}

void session_connected(struct node *node, struct peer *peer, uint64_t number,
		       struct env_conn *conn)
{
	if (!session_expected(node, peer, number))
		close_conn(node, conn);
	else if (node->primary)
		attach(peer, conn);
	else
		replica_start(node, peer, conn);
}

void session_peer_gone(struct node *node, struct peer *peer)
{
	if (peer->session == PEER_SESSION_OFFERED)
		session_reset(peer);
	if (node->offer_from == peer->id)
		offer_forget(node);
	peer->blocked = false;
}

void session_tick(struct node *node)
{
	uint64_t now = now_ns(node);

	if (node->offer_from && now > node->offer_deadline_ns)
		offer_forget(node);
	if (node->session_conn &&
	    node->session_frames != replica_state(node->replica)->frames) {
		node->session_frames = replica_state(node->replica)->frames;
		node->session_heard_ns = now;
	}
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		struct peer *peer = &node->peers[i];

		if (peer->session != PEER_SESSION_OFFERED && peer->session != PEER_SESSION_DIALING)
			continue;
		if (now > peer->session_deadline_ns)
			session_failed(peer, "no answer to the offer of a session");
	}
}
