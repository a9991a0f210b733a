// SPDX-License-Identifier: GPL-2.0
/*
 * Promotion, step by step (DESIGN.md, section 7):
 *
 *	leave		this node and every peer in contact leave the current
 *			timeline, durably, and the peers say where
 *	compare		nobody may hold more than this node
 *	settle, enter	the whole tip is applied; the new timeline is durable here
 *	announce	peers that stand at its beginning enter it, durably
 *	start		the kernel takes the store, frozen; those peers attach
 *	resume		I/O begins
 *
 * Until the new timeline is durable here, a failure takes the old one up
 * again everywhere.  After that the timeline stays: a failure gives the store
 * back, clean, at its beginning, or says what remains to be done.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

enum {
	PROMOTE_TIMER_MS = 100,
	PROMOTE_ATTACH_MIN_MS = 5000,
	PROMOTE_PATIENCE_MS = 1500,
	PROMOTE_RETRY_MS = 50,
};

static uint64_t now_ns(const struct node *node)
{
	return env_monotonic_ns(node->home->env);
}

static void set_timer(struct node *node)
{
	env_timer_set(node->home->env, &node->promote.timer,
		      now_ns(node) + PROMOTE_TIMER_MS * NS_PER_MS);
}

static void ask(struct node *node, unsigned int type, uint32_t whom)
{
	struct message_answer msg = { .number = node->promote.number };
	const struct meta_timeline *timeline = node_timeline(node);

	msg.position = node_position(node);
	if (timeline)
		memcpy(msg.timeline_id, timeline->id, REPRISE_ID_BYTES);
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		if (whom & 1u << node->peers[i].id)
			peer_send_answer(&node->peers[i], type, &msg);
	}
}

/* --- the end ------------------------------------------------------------ */

static void finish_failed(struct node *node)
{
	struct node_promote *p = &node->promote;
	struct ctl_request *req = p->req;

	env_timer_clear(node->home->env, &p->timer);
	p->req = NULL;
	node_say(node, 4, "promotion-failed", NULL, "%s", p->error);
	ctl_fail(req, p->code, p->hint[0] ? p->hint : NULL, "%s", p->error);
	node_work_end(node);
}

static void __attribute__((format(printf, 4, 5)))
set_error(struct node *node, const char *code, const char *hint, const char *fmt, ...)
{
	struct node_promote *p = &node->promote;
	va_list args;

	snprintf(p->code, sizeof(p->code), "%s", code);
	snprintf(p->hint, sizeof(p->hint), "%s", hint);
	va_start(args, fmt);
	vsnprintf(p->error, sizeof(p->error), fmt, args);
	va_end(args);
}

/* The promotion had failed already; undoing it may have failed too. */
static void undone(struct node *node, const char *what, int error)
{
	if (error)
		node_say(node, 3, "failed", NULL, "resource %s on %s could not %s: %s",
			 node->conf.name, node->self->name, what, strerror(-error));
	finish_failed(node);
}

static void unleft(void *ctx, int error)
{
	undone(ctx, "take its timeline up again", error);
}

/* Nothing was opened: everybody takes the old timeline up again. */
static void withdraw(struct node *node)
{
	struct node_promote *p = &node->promote;

	p->phase = PROMOTE_UNDOING;
	ask(node, WIRE_WITHDRAW, p->asked);
	p->asked = 0;
	if (p->self_left && meta_is_uncertain(node->meta.state))
		finish_failed(node);
	else if (p->self_left)
		replica_unleave(node->replica, unleft, node);
}

/* --- from the kernel's start on ------------------------------------------- */

static json_t *devices_json(const struct node *node)
{
	json_t *devices = json_array();
	char path[32];

	for (unsigned int i = 0; i < node->kernel.nr_volumes; i++) {
		snprintf(path, sizeof(path), "/dev/reprise%d", node->kernel.volumes[i].minor);
		json_array_append_new(devices, json_string(path));
	}
	return devices;
}

static void finish_ok(struct node *node)
{
	struct node_promote *p = &node->promote;
	struct ctl_request *req = p->req;

	env_timer_clear(node->home->env, &p->timer);
	p->req = NULL;
	node_say(node, 5, "promoted", NULL, "resource %s is primary on %s", node->conf.name,
		 node->self->name);
	ctl_reply(req, json_pack("{s:o}", "devices", devices_json(node)));
	node_work_end(node);
}

static void missing_names(const struct node *node, char *text, size_t bytes)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < node->nr_peers && used < bytes; i++) {
		if (node->promote.waiting & 1u << node->peers[i].id)
			used += snprintf(text + used, bytes - used, "%s%s", used ? ", " : "",
					 node->peers[i].name);
	}
}

static void resume(struct node *node)
{
	const struct kernel *kernel = &node->home->kernel;
	struct node_promote *p = &node->promote;
	char names[128];

	missing_names(node, names, sizeof(names));
	if (p->waiting && !p->force && node->conf.on_peer_loss == REPRISE_ON_PEER_LOSS_FREEZE) {
		set_error(node, "no-contact", "repair the connection and run \"reprise resume\", or resume without the peer",
			  "resource %s is primary on %s but frozen: %s did not attach",
			  node->conf.name, node->self->name, names);
		finish_failed(node);
		return;
	}
	if (p->waiting)
		node_say(node, 4, "peer-missing", NULL,
			 "resource %s goes on without %s, which accepted the promotion but did not attach",
			 node->conf.name, names);
	if (kernel->ops->resume(kernel->ctx, node->conf.name)) {
		set_error(node, "io", "run \"reprise resume\"",
			  "resource %s is primary on %s but frozen: %s", node->conf.name,
			  node->self->name, kernel->ops->error(kernel->ctx));
		finish_failed(node);
		return;
	}
	kernel->ops->get(kernel->ctx, node->conf.name, &node->kernel);
	finish_ok(node);
}

static void resume_if_attached(struct node *node)
{
	if (node->promote.phase == PROMOTE_ATTACHING && !node->promote.waiting)
		resume(node);
}

void promote_attached(struct node *node, struct peer *peer)
{
	if (node->work != NODE_WORK_PROMOTE)
		return;
	node->promote.waiting &= ~(1u << peer->id);
	resume_if_attached(node);
}

static void regained(void *ctx, int error)
{
	undone(ctx, "record that the promotion was undone", error);
}

/* The kernel did not take the store: it is ours again, at the new timeline's beginning. */
static void take_store_back(struct node *node)
{
	node->promote.phase = PROMOTE_UNDOING;
	replica_release(node->replica);
	replica_regain(node->replica, node->store.volumes, node->promote.timeline.fork_seq,
		       REPRISE_STORE_CLEAN, regained, node);
}

static void fill_start(struct node *node, struct nl_resource *res)
{
	const struct conf *conf = &node->conf;

	memset(res, 0, sizeof(*res));
	snprintf(res->name, sizeof(res->name), "%s", conf->name);
	memcpy(res->id, conf->id, REPRISE_ID_BYTES);
	res->node = node->self->id;
	memcpy(res->timeline_id, node->promote.timeline.id, REPRISE_ID_BYTES);
	res->generation = node->promote.timeline.generation;
	res->seq = node->promote.timeline.fork_seq;
	res->durability = conf->durability;
	res->on_peer_loss = conf->on_peer_loss;
	res->timeout_ms = conf->timeout_ms;
	res->queue_kib = conf->queue_kib;
	res->frozen = true;
	res->nr_volumes = node->store.nr_volumes;
	for (unsigned int i = 0; i < res->nr_volumes; i++) {
		struct replica_volume *from = &node->store.volumes[i];

		res->volumes[i].number = from->number;
		res->volumes[i].minor = conf->volumes[i].minor;
		res->volumes[i].backing_fd = node->home->env->ops->file_fd(node->home->env,
									   from->file);
		res->volumes[i].sectors = from->size_sectors;
		res->volumes[i].logical_block_bytes = conf->logical_block_bytes;
	}
	res->nr_peers = node->nr_peers;
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		res->peers[i].node = node->peers[i].id;
		snprintf(res->peers[i].name, sizeof(res->peers[i].name), "%s",
			 node->peers[i].name);
	}
}

static void forget_sessions(struct node *node)
{
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		struct peer *peer = &node->peers[i];

		peer->session = PEER_SESSION_NONE;
		peer->session_retry_ns = 0;
		peer->session_backoff_ms = 0;
		peer->blocked = false;
		peer->kernel_state = 0;
		peer->session_text[0] = '\0';
	}
}

static void kernel_has_it(struct node *node)
{
	struct node_promote *p = &node->promote;
	uint64_t wait_ms = node->conf.timeout_ms;
	uint64_t deadline;

	replica_release(node->replica);
	store_close_volumes(&node->store);
	node->primary = true;
	node->held = false;
	forget_sessions(node);
	if (wait_ms < PROMOTE_ATTACH_MIN_MS)
		wait_ms = PROMOTE_ATTACH_MIN_MS;
	deadline = now_ns(node) + wait_ms * NS_PER_MS;
	if (p->deadline_ns < deadline)
		p->deadline_ns = deadline;
	p->phase = PROMOTE_ATTACHING;
	p->waiting = p->entered;
	ctl_progress(p->req, 80, "the device is there; attaching peers");
	node_kernel_refresh(node);
	node_tell_peers(node);
	resume_if_attached(node);
}

static void start_kernel(struct node *node)
{
	const struct kernel *kernel = &node->home->kernel;
	struct nl_resource *res = malloc(sizeof(*res));
	int err = -ENOMEM;

	if (res) {
		fill_start(node, res);
		err = kernel->ops->start(kernel->ctx, res);
		if (!err)
			node->kernel = *res;
	}
	free(res);
	if (!err) {
		kernel_has_it(node);
		return;
	}
	set_error(node, "io", "the resource is secondary again; remove the cause and promote again",
		  "resource %s cannot be promoted on %s: %s", node->conf.name, node->self->name,
		  err == -ENOMEM ? "no memory" : kernel->ops->error(kernel->ctx));
	take_store_back(node);
}

/* --- announcing ------------------------------------------------------------ */

void promote_entered(struct node *node, struct peer *peer, const struct message_answer *answer)
{
	struct node_promote *p = &node->promote;
	uint32_t bit = 1u << peer->id;

	if (node->work != NODE_WORK_PROMOTE || p->phase != PROMOTE_ANNOUNCED ||
	    answer->number != p->number || !(p->waiting & bit))
		return;
	p->waiting &= ~bit;
	if (answer->ok)
		p->entered |= bit;
	else
		node_say(node, 4, "not-entered", peer->name,
			 "%s does not enter the new timeline: %s", peer->name, answer->text);
	if (!p->waiting)
		start_kernel(node);
}

/* Who stands exactly where the new timeline begins. */
static uint32_t candidates(const struct node *node)
{
	const struct node_promote *p = &node->promote;
	uint32_t mask = 0;

	for (unsigned int i = 0; i < node->nr_peers; i++) {
		const struct peer *peer = &node->peers[i];

		if (peer->known && p->asked & 1u << peer->id &&
		    peer->decision.outcome == MEET_IN_SYNC)
			mask |= 1u << peer->id;
	}
	return mask;
}

static void announce(void *ctx, int error)
{
	struct node *node = ctx;
	struct node_promote *p = &node->promote;

	node_read_meta(node);
	if (error) {
		set_error(node, "io", "", "resource %s on %s could not record the new timeline: %s",
			  node->conf.name, node->self->name, strerror(-error));
		withdraw(node);
		return;
	}
	p->phase = PROMOTE_ANNOUNCED;
	p->entered = 0;
	ctl_progress(p->req, 60, "the new timeline is open; peers follow");
	node_tell_peers(node);
	ask(node, WIRE_ENTER, p->waiting);
	if (!p->waiting)
		start_kernel(node);
}

static uint64_t highest_generation(const struct node *node)
{
	uint64_t highest = 0;

	for (unsigned int i = 0; i < node->meta.nr_timelines; i++) {
		if (node->meta.timelines[i].generation > highest)
			highest = node->meta.timelines[i].generation;
	}
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		const struct message_state *st = &node->peers[i].state;

		for (unsigned int j = 0; j < st->nr_timelines; j++) {
			if (st->timelines[j].generation > highest)
				highest = st->timelines[j].generation;
		}
	}
	return highest;
}

static void enter(void *ctx, int error)
{
	struct node *node = ctx;
	struct node_promote *p = &node->promote;
	struct env *env = node->home->env;
	bool crash = meta_is_uncertain(node->meta.state);

	if (error) {
		set_error(node, "io", "", "resource %s on %s could not apply its log: %s",
			  node->conf.name, node->self->name, strerror(-error));
		withdraw(node);
		return;
	}
	p->timeline = (struct meta_timeline){
		.generation = highest_generation(node) + 1,
		.fork_seq = node_position(node),
		.kind = crash ? REPRISE_FORK_CRASH : REPRISE_FORK_CLEAN,
		.opener = node->self->id,
		.opened_realtime_ns = env_realtime_ns(env),
	};
	env_random(env, p->timeline.id, REPRISE_ID_BYTES);
	memcpy(p->timeline.parent, node_timeline(node)->id, REPRISE_ID_BYTES);
	p->waiting = crash ? 0 : p->waiting;
	p->phase = PROMOTE_ENTERING;
	replica_enter(node->replica, &p->timeline, REPRISE_STORE_UNCLEAN, announce, node);
}

/* --- leaving and comparing -------------------------------------------------- */

static bool check(struct node *node)
{
	struct role_peer peers[NODE_MAX_PEERS];
	struct role_verdict verdict;
	struct role_self self;

	node_role_view(node, &self, peers);
	role_check_promote(&self, peers, node->nr_peers, node->promote.force, &verdict);
	if (!verdict.allowed)
		set_error(node, verdict.code, verdict.hint, "%s", verdict.error);
	return verdict.allowed;
}

static void compare(struct node *node)
{
	struct node_promote *p = &node->promote;

	if (p->phase != PROMOTE_LEAVING || !p->self_left || p->waiting)
		return;
	if (!check(node)) {
		withdraw(node);
		return;
	}
	p->waiting = candidates(node);
	p->phase = PROMOTE_SETTLING;
	ctl_progress(p->req, 30, "applying what is in the log");
	if (meta_is_uncertain(node->meta.state))
		enter(node, 0);
	else
		replica_settle(node->replica, enter, node);
}

static void self_left(void *ctx, int error)
{
	struct node *node = ctx;
	struct node_promote *p = &node->promote;

	node_read_meta(node);
	p->self_left = !error;
	if (p->phase == PROMOTE_UNDOING) {
		if (error)
			finish_failed(node);
		else
			replica_unleave(node->replica, unleft, node);
		return;
	}
	if (error) {
		set_error(node, "io", "", "resource %s on %s could not leave its timeline: %s",
			  node->conf.name, node->self->name, strerror(-error));
		withdraw(node);
		finish_failed(node);
		return;
	}
	compare(node);
}

/* A former primary of its timeline has no session, and its log has nothing of it. */
static void crash_left(struct node *node)
{
	node->promote.self_left = true;
	compare(node);
}

/* A peer does not come along: without force that is the end of it. */
static void peer_fails(struct node *node, struct peer *peer, const char *code, const char *text)
{
	struct node_promote *p = &node->promote;

	p->waiting &= ~(1u << peer->id);
	if (p->force) {
		compare(node);
		return;
	}
	set_error(node, code, "repair that and promote again, or use --force if the peer is known to be down",
		  "resource %s cannot be promoted on %s: %s", node->conf.name, node->self->name,
		  text);
	withdraw(node);
}

void promote_left(struct node *node, struct peer *peer, const struct message_answer *answer)
{
	struct node_promote *p = &node->promote;
	uint32_t bit = 1u << peer->id;

	if (node->work != NODE_WORK_PROMOTE || p->phase != PROMOTE_LEAVING ||
	    answer->number != p->number || !(p->waiting & bit))
		return;
	if (!answer->ok) {
		p->asked &= ~bit;
		peer_fails(node, peer, "busy", answer->text);
		return;
	}
	p->waiting &= ~bit;
	compare(node);
}

void promote_peer_lost(struct node *node, struct peer *peer)
{
	struct node_promote *p = &node->promote;
	uint32_t bit = 1u << peer->id;
	char text[NODE_TEXT_BYTES];

	if (node->work != NODE_WORK_PROMOTE || !(p->asked & bit))
		return;
	p->asked &= ~bit;
	switch (p->phase) {
	case PROMOTE_LEAVING:
		snprintf(text, sizeof(text), "contact with %s was lost meanwhile", peer->name);
		peer_fails(node, peer, "no-contact", text);
		break;
	case PROMOTE_SETTLING:
	case PROMOTE_ENTERING:
		p->waiting &= ~bit;
		break;
	case PROMOTE_ANNOUNCED:
		if (!(p->waiting & bit))
			break;
		p->waiting &= ~bit;
		if (!p->waiting)
			start_kernel(node);
		break;
	default:
		break;
	}
}

bool promote_yield(struct node *node, struct peer *to)
{
	struct node_promote *p = &node->promote;

	if (p->phase == PROMOTE_UNDOING)
		return true;
	if (to->id > node->self->id || p->phase != PROMOTE_LEAVING)
		return false;
	set_error(node, "busy", "wait for that promotion to finish",
		  "resource %s is being promoted on %s at the same time", node->conf.name,
		  to->name);
	withdraw(node);
	return true;
}

static void too_late(struct node *node)
{
	struct node_promote *p = &node->promote;
	char names[128];

	missing_names(node, names, sizeof(names));
	switch (p->phase) {
	case PROMOTE_LEAVING:
		if (!p->self_left)
			break;
		set_error(node, "timeout", "look at the log there", "resource %s cannot be promoted on %s: no answer from %s in time",
			  node->conf.name, node->self->name, names);
		withdraw(node);
		break;
	case PROMOTE_ANNOUNCED:
		node_say(node, 4, "not-entered", NULL,
			 "%s did not enter the new timeline of resource %s in time", names,
			 node->conf.name);
		p->waiting = 0;
		start_kernel(node);
		break;
	case PROMOTE_ATTACHING:
		resume(node);
		break;
	default:
		break;
	}
}

static void timer_fired(struct env_timer *timer)
{
	struct node *node = (struct node *)((char *)timer - offsetof(struct node, promote.timer));

	set_timer(node);
	if (now_ns(node) >= node->promote.deadline_ns || node->close_done)
		too_late(node);
}

static uint32_t connected_peers(const struct node *node)
{
	uint32_t mask = 0;

	for (unsigned int i = 0; i < node->nr_peers; i++) {
		if (node->peers[i].known)
			mask |= 1u << node->peers[i].id;
	}
	return mask;
}

static bool kernel_ready(struct node *node)
{
	const struct kernel *kernel = &node->home->kernel;
	struct nl_resource *list = NULL;
	size_t count;
	int err = kernel->ops->list(kernel->ctx, &list, &count);

	free(list);
	if (err)
		set_error(node, "io", "load the kernel module: modprobe reprise",
			  "resource %s cannot be promoted on %s: %s", node->conf.name,
			  node->self->name, kernel->ops->error(kernel->ctx));
	return !err;
}

static void begin(struct node *node)
{
	struct node_promote *p = &node->promote;
	uint32_t timeout_ms = p->req->timeout_ms ? p->req->timeout_ms : NODE_DEFAULT_TIMEOUT_MS;

	do
		env_random(node->home->env, &p->number, sizeof(p->number));
	while (!p->number);
	p->phase = PROMOTE_LEAVING;
	p->deadline_ns = now_ns(node) + timeout_ms * NS_PER_MS;
	p->asked = connected_peers(node);
	p->waiting = p->asked;
	p->timer.fire = timer_fired;
	node_work_begin(node, NODE_WORK_PROMOTE);
	set_timer(node);
	node_tell_peers(node);
	ask(node, WIRE_LEAVE, p->asked);
	ctl_progress(p->req, 10, "asking peers to accept");
	if (meta_is_uncertain(node->meta.state))
		crash_left(node);
	else
		replica_leave(node->replica, self_left, node);
}

static void refuse(struct node *node)
{
	struct node_promote *p = &node->promote;
	struct ctl_request *req = p->req;

	env_timer_clear(node->home->env, &p->timer);
	p->req = NULL;
	ctl_fail(req, p->code, p->hint[0] ? p->hint : NULL, "%s", p->error);
}

static bool is_waiting(const struct node *node)
{
	return node->promote.req && node->work != NODE_WORK_PROMOTE;
}

void promote_abandon(struct node *node)
{
	if (!is_waiting(node))
		return;
	set_error(node, "busy", "", "resource %s is being taken down on %s", node->conf.name,
		  node->self->name);
	refuse(node);
}

void promote_give_way(struct node *node, struct peer *to)
{
	if (!is_waiting(node))
		return;
	set_error(node, "busy", "wait for that promotion to finish",
		  "resource %s is being promoted on %s", node->conf.name, to->name);
	refuse(node);
}

/*
 * Not yet begun.  What a peer told last may be older than what the operator
 * did last (demoted it, brought it up): a refusal is final only after a while.
 */
static void try_begin(struct node *node)
{
	struct node_promote *p = &node->promote;
	bool busy = node->work != NODE_WORK_NONE;

	if (node_is_ending(node)) {
		promote_abandon(node);
		return;
	}
	if (!busy && check(node)) {
		if (kernel_ready(node))
			begin(node);
		else
			refuse(node);
		return;
	}
	if (busy)
		set_error(node, "busy", "try again in a moment",
			  "resource %s on %s is changing its role for a peer", node->conf.name,
			  node->self->name);
	if (now_ns(node) >= p->deadline_ns)
		refuse(node);
	else
		env_timer_set(node->home->env, &p->timer,
			      now_ns(node) + PROMOTE_RETRY_MS * NS_PER_MS);
}

static void retry(struct env_timer *timer)
{
	try_begin((struct node *)((char *)timer - offsetof(struct node, promote.timer)));
}

void node_promote(struct node *node, struct ctl_request *req, bool force)
{
	struct node_promote *p = &node->promote;

	if (node->primary) {
		ctl_reply(req, json_pack("{s:o}", "devices", devices_json(node)));
		return;
	}
	if (p->req) {
		ctl_fail(req, "busy", "wait for it to finish",
			 "resource %s is being promoted on %s already", node->conf.name,
			 node->self->name);
		return;
	}
	memset(p, 0, sizeof(*p));
	p->req = req;
	p->force = force;
	p->deadline_ns = now_ns(node) + PROMOTE_PATIENCE_MS * NS_PER_MS;
	p->timer.fire = retry;
	try_begin(node);
}
