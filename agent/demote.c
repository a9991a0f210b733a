// SPDX-License-Identifier: GPL-2.0
/*
 * Demotion: the kernel is asked, again and again in short waits, to stop; it
 * does so only when nobody has a volume open and every connected peer holds
 * everything.  Then the store comes back, is recorded as clean, and the peers
 * are told.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

static uint64_t now_ns(const struct node *node)
{
	return env_monotonic_ns(node->home->env);
}

static void fail(struct node *node, const char *code, const char *hint, const char *text)
{
	struct ctl_request *req = node->demote.req;

	env_timer_clear(node->home->env, &node->demote.timer);
	node->demote.req = NULL;
	node_say(node, 4, "demotion-failed", NULL, "%s", text);
	ctl_fail(req, code, hint, "%s", text);
	node_work_end(node);
}

/* The kernel let go, but the store is not ours: nothing to be done from here. */
static void fail_for_good(struct node *node, const char *text)
{
	char error[NODE_TEXT_BYTES];

	snprintf(node->failed, sizeof(node->failed), "%s", text);
	snprintf(error, sizeof(error),
		 "resource %s is no longer primary on %s, but its store cannot be taken back: %s",
		 node->conf.name, node->self->name, text);
	fail(node, "io", "take the resource down and up again", error);
}

static void succeed(struct node *node)
{
	struct ctl_request *req = node->demote.req;

	node->demote.req = NULL;
	node_say(node, 5, "demoted", NULL, "resource %s is secondary on %s", node->conf.name,
		 node->self->name);
	if (node->demote.then_down && !node->close_done) {
		node->work = NODE_WORK_NONE;
		node_down(node, req);
		return;
	}
	/* peers are told first: who promotes one of them next comes after that */
	node_work_end(node);
	ctl_reply(req, NULL);
}

static void regained(void *ctx, int error)
{
	struct node *node = ctx;

	node_read_meta(node);
	if (error)
		fail_for_good(node, strerror(-error));
	else
		succeed(node);
}

static void regain(struct node *node)
{
	enum reprise_store_state state = REPRISE_STORE_CLEAN;

	if (node->demote.write_errors) {
		state = REPRISE_STORE_LOST;
		node_say(node, 3, "io-error", NULL,
			 "resource %s on %s: writes failed on its backing device while it was primary: its copy may differ from that of its peers, and has to be brought back from one of them",
			 node->conf.name, node->self->name);
	}
	replica_regain(node->replica, node->store.volumes, node->demote.seq, state, regained, node);
}

static uint64_t count_write_errors(const struct nl_resource *res)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < res->nr_volumes; i++)
		count += res->volumes[i].write_errors;
	return count;
}

/* Adopted from a former agent: only now there is a store to open. */
static void opened(void *ctx, int error)
{
	struct node *node = ctx;

	if (error || replica_state(node->replica)->damage != REPLICA_OK) {
		fail_for_good(node, error ? strerror(-error) :
			      replica_state(node->replica)->damage_text);
		return;
	}
	if (replica_state(node->replica)->meta->state != REPRISE_STORE_UNCLEAN) {
		fail_for_good(node, "its record does not say that it was primary");
		return;
	}
	replica_release(node->replica);
	regain(node);
}

static void stopped(struct node *node, const struct nl_resource *res)
{
	int err;

	env_timer_clear(node->home->env, &node->demote.timer);
	node->primary = false;
	node->demote.write_errors = count_write_errors(res);
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		struct peer *peer = &node->peers[i];

		peer->session = PEER_SESSION_NONE;
		peer->kernel_state = 0;
		peer->session_text[0] = '\0';
	}
	err = store_adopt_volumes(&node->store, res);
	if (err) {
		fail_for_good(node, node->store.error);
		return;
	}
	if (node->replica) {
		regain(node);
		return;
	}
	if (node_make_replica(node))
		fail_for_good(node, "no memory");
	else
		replica_open(node->replica, opened, node);
}

static void poll_again(struct node *node)
{
	env_timer_set(node->home->env, &node->demote.timer, now_ns(node) + DEMOTE_POLL_MS * NS_PER_MS);
}

static void stop_refused(struct node *node, int error)
{
	const struct kernel *kernel = &node->home->kernel;
	const char *why = kernel->ops->error(kernel->ctx);
	uint64_t now = now_ns(node);
	char text[NODE_TEXT_BYTES];
	bool busy = error == -EBUSY;

	if (busy && now < node->demote.began_ns + DEMOTE_BUSY_MS * NS_PER_MS &&
	    now < node->demote.deadline_ns) {
		poll_again(node);
		return;
	}
	if (error == -ETIMEDOUT && now < node->demote.deadline_ns) {
		poll_again(node);
		return;
	}
	snprintf(text, sizeof(text), "resource %s cannot be demoted on %s: %s", node->conf.name,
		 node->self->name, why);
	if (busy)
		fail(node, "busy", "unmount it and stop what uses it", text);
	else if (error == -ETIMEDOUT)
		fail(node, "timeout", "wait until the peer has caught up, or disconnect it; --force does not wait", text);
	else
		fail(node, "io", NULL, text);
}

static void try_stop(struct node *node)
{
	const struct kernel *kernel = &node->home->kernel;
	struct nl_resource *res = calloc(1, sizeof(*res));
	int err = -ENOMEM;

	if (res)
		err = kernel->ops->stop(kernel->ctx, node->conf.name, DEMOTE_POLL_MS,
					node->demote.force, res, &node->demote.seq);
	if (err)
		stop_refused(node, err);
	else
		stopped(node, res);
	free(res);
}

static void timer_fired(struct env_timer *timer)
{
	struct node *node = (struct node *)((char *)timer - offsetof(struct node, demote.timer));

	if (node->close_done) {
		fail(node, "busy", NULL, "the agent is being stopped");
		return;
	}
	try_stop(node);
}

static bool check(struct node *node, struct ctl_request *req, bool force)
{
	struct role_peer peers[NODE_MAX_PEERS];
	struct role_verdict verdict;
	struct role_self self;

	node_role_view(node, &self, peers);
	role_check_demote(&self, peers, node->nr_peers, force, &verdict);
	if (!verdict.allowed) {
		ctl_fail(req, verdict.code, verdict.hint, "%s", verdict.error);
		return false;
	}
	if (store_open_log(&node->store)) {
		ctl_fail(req, node->store.code, "without its log it could not be a replica afterwards",
			 "resource %s cannot be demoted on %s: %s", node->conf.name,
			 node->self->name, node->store.error);
		store_close(&node->store);
		return false;
	}
	return true;
}

void node_demote(struct node *node, struct ctl_request *req, bool force, bool then_down)
{
	struct node_demote *d = &node->demote;
	uint32_t timeout_ms = req->timeout_ms ? req->timeout_ms : NODE_DEFAULT_TIMEOUT_MS;

	if (!node_work_free(node, req))
		return;
	if (!node->primary) {
		ctl_reply(req, NULL);
		return;
	}
	if (!check(node, req, force))
		return;
	memset(d, 0, sizeof(*d));
	d->req = req;
	d->force = force;
	d->then_down = then_down;
	d->began_ns = now_ns(node);
	d->deadline_ns = d->began_ns + timeout_ms * NS_PER_MS;
	d->timer.fire = timer_fired;
	node_work_begin(node, NODE_WORK_DEMOTE);
	try_stop(node);
}
