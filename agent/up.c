// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a resource on this node: up, adopted, reloaded, down, closed.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

struct node *node_create(struct node_home *home, const struct conf *conf, const char *self_name)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->home = home;
	node->conf = *conf;
	node->self = conf_node_by_name(&node->conf, self_name);
	store_init(&node->store, home->env, &node->conf, node->self);
	return node;
}

void node_destroy(struct node *node)
{
	assert(!node->up && !node->replica);
	free(node);
}

int node_make_replica(struct node *node)
{
	struct replica_config config = {
		.env = node->home->env,
		.node = node->self->id,
		.logical_block_bytes = node->conf.logical_block_bytes,
		.unapplied_bytes = node->conf.unapplied_bytes,
		.apply_delay_ms = 200,
		.segment_bytes = node->conf.segment_bytes,
		.volumes = node->store.volumes,
		.nr_volumes = node->store.nr_volumes,
		.segments = node->store.segments,
		.nr_segments = node->store.nr_segments,
		.ctx = node,
		.session_ended = session_replica_ended,
	};
	const size_t unit = 64 << 10;

	snprintf(config.name, sizeof(config.name), "%s", node->conf.name);
	memcpy(config.resource_id, node->conf.id, REPRISE_ID_BYTES);
	config.ring_bytes = (node->conf.unapplied_bytes + unit - 1) / unit * unit;
	if (config.ring_bytes < NODE_MIN_RING_BYTES)
		config.ring_bytes = NODE_MIN_RING_BYTES;
	node->replica = replica_create(&config);
	return node->replica ? 0 : -ENOMEM;
}

static void start_peers(struct node *node)
{
	node->nr_peers = 0;
	for (unsigned int i = 0; i < node->conf.nr_nodes; i++) {
		const struct conf_node *conf = &node->conf.nodes[i];

		if (conf->id != node->self->id)
			peer_init(&node->peers[node->nr_peers++], node, conf);
	}
	node->up = true;
	for (unsigned int i = 0; i < node->nr_peers; i++)
		peer_start(&node->peers[i]);
	node_tick_start(node);
}

/* --- up ----------------------------------------------------------------- */

static void destroy_replica(struct node *node)
{
	if (node->replica)
		replica_destroy(node->replica);
	node->replica = NULL;
}

static void up_failed(struct node *node, const char *code, const char *text)
{
	struct ctl_request *req = node->work_req;

	store_close(&node->store);
	node_say(node, 3, "up-failed", NULL, "%s", text);
	ctl_fail(req, code, NULL, "%s", text);
	node_work_end(node);
}

static void up_closed(void *ctx, int error)
{
	struct node *node = ctx;
	char text[NODE_TEXT_BYTES];

	(void)error;
	snprintf(text, sizeof(text), "resource %s cannot be brought up on %s: %s",
		 node->conf.name, node->self->name, replica_state(node->replica)->damage_text);
	destroy_replica(node);
	up_failed(node, "io", text);
}

static void up_opened(void *ctx, int error)
{
	struct node *node = ctx;
	struct ctl_request *req = node->work_req;

	if (error) {
		replica_close(node->replica, up_closed, node);
		return;
	}
	node->failed[0] = '\0';
	node->meta = *replica_state(node->replica)->meta;
	start_peers(node);
	node_say(node, 5, "up", NULL, "resource %s is up on %s: %s", node->conf.name,
		 node->self->name,
		 node_damage(node)[0] ? node_damage(node) : meta_state_name(node->meta.state));
	ctl_reply(req, NULL);
	node_work_end(node);
}

static void up_checked(void *ctx, int error)
{
	struct node *node = ctx;
	char text[NODE_TEXT_BYTES];

	if (error) {
		up_failed(node, node->store.code, node->store.error);
	} else if (node_make_replica(node)) {
		snprintf(text, sizeof(text), "resource %s: no memory for the receive ring",
			 node->conf.name);
		up_failed(node, "io", text);
	} else {
		replica_open(node->replica, up_opened, node);
	}
}

void node_up(struct node *node, struct ctl_request *req)
{
	if (!node_work_free(node, req))
		return;
	if (node->up) {
		ctl_reply(req, NULL);
		return;
	}
	node_work_begin(node, NODE_WORK_UP);
	node->work_req = req;
	if (store_open_volumes(&node->store) || store_open_log(&node->store))
		up_failed(node, node->store.code, node->store.error);
	else
		store_check(&node->store, up_checked, node);
}

/* --- adoption ------------------------------------------------------------- */

/* Without the record on disk only the current timeline is known, from the kernel. */
static void lineage_from_kernel(struct node *node, const struct nl_resource *res)
{
	struct meta *meta = &node->meta;

	memset(meta, 0, sizeof(*meta));
	meta->state = REPRISE_STORE_UNCLEAN;
	meta->durability = res->durability;
	meta->on_peer_loss = res->on_peer_loss;
	meta->nr_timelines = 1;
	memcpy(meta->timelines[0].id, res->timeline_id, REPRISE_ID_BYTES);
	meta->timelines[0].generation = res->generation;
	meta->timelines[0].opener = res->node;
}

static void read_lineage(struct node *node, const struct nl_resource *res)
{
	const struct kernel *kernel = &node->home->kernel;
	const char *device = node->self->volumes[0].device;
	struct meta_volume volume;
	const char *why = "";
	int err = kernel->ops->peek(kernel->ctx, device, &node->meta, &volume, &why);
	const struct meta_timeline *current = err ? NULL : meta_current(&node->meta);

	if (current && !memcmp(current->id, res->timeline_id, REPRISE_ID_BYTES))
		return;
	env_log(node->home->env, 4, node->conf.name,
		"the record on %s %s; peers may be refused until this node is demoted", device,
		err ? why : "does not name the timeline that the kernel runs");
	lineage_from_kernel(node, res);
}

void node_adopt(struct node *node, const struct nl_resource *res)
{
	node->primary = true;
	node->kernel = *res;
	read_lineage(node, res);
	for (unsigned int i = 0; i < node->self->nr_volumes; i++) {
		for (unsigned int j = 0; j < res->nr_volumes; j++) {
			if (res->volumes[j].number == node->self->volumes[i].number)
				node->store.volumes[i].size_sectors = res->volumes[j].sectors;
		}
	}
	start_peers(node);
	node_say(node, 5, "adopted", NULL, "resource %s is primary on %s: taken over from the kernel",
		 node->conf.name, node->self->name);
	node_kernel_refresh(node);
}

/* --- down ----------------------------------------------------------------- */

static void stop_peers(struct node *node, const char *why, const char *told)
{
	env_timer_clear(node->home->env, &node->tick);
	promote_abandon(node);
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		struct peer *peer = &node->peers[i];

		peer_stop(peer, why, told);
		if (peer->data_greet)
			greet_cancel(peer->data_greet);
		peer->data_greet = NULL;
	}
	if (node->offer_greet)
		greet_cancel(node->offer_greet);
	node->offer_greet = NULL;
	node->offer_from = 0;
}

static void let_go(struct node *node)
{
	promote_abandon(node);
	destroy_replica(node);
	store_close(&node->store);
	node->up = false;
	node->primary = false;
	node->nr_peers = 0;
}

static void down_closed(void *ctx, int error)
{
	struct node *node = ctx;
	struct ctl_request *req = node->work_req;

	let_go(node);
	node_say(node, 5, "down", NULL, "resource %s is down on %s%s", node->conf.name,
		 node->self->name, error ? ", but its state could not be recorded" : "");
	ctl_reply(req, NULL);
	node_work_end(node);
}

/* Works that follow from what peers do are short; at shutdown nobody tries again. */
static bool wait_for_work(struct node *node, struct ctl_request *req)
{
	switch (node->work) {
	case NODE_WORK_LEAVE:
	case NODE_WORK_FOLLOW:
	case NODE_WORK_UNLEAVE:
	case NODE_WORK_POLICY:
		if (node->down_req || node->close_done)
			return false;
		node->down_req = req;
		return true;
	default:
		return false;
	}
}

void node_down(struct node *node, struct ctl_request *req)
{
	if (wait_for_work(node, req) || !node_work_free(node, req))
		return;
	if (!node->up) {
		ctl_reply(req, NULL);
		return;
	}
	/* then its copy is clean, and its peer holds everything */
	if (node->primary) {
		node_demote(node, req, req->force, true);
		return;
	}
	node_work_begin(node, NODE_WORK_DOWN);
	node->work_req = req;
	stop_peers(node, "the resource is being taken down",
		   "the resource was taken down there");
	if (node->replica)
		replica_close(node->replica, down_closed, node);
	else
		down_closed(node, 0);
}

/* --- the agent's end -------------------------------------------------------- */

static void close_later(struct env_timer *timer)
{
	struct node *node = (struct node *)((char *)timer - offsetof(struct node, tick));
	void (*done)(struct node *node, int error) = node->close_done;

	let_go(node);
	node->close_done = NULL;
	done(node, 0);
}

static void close_finish(struct node *node)
{
	node->tick.fire = close_later;
	env_timer_set(node->home->env, &node->tick, env_monotonic_ns(node->home->env));
}

static void closed(void *ctx, int error)
{
	(void)error;
	close_finish(ctx);
}

void node_close(struct node *node, void (*done)(struct node *node, int error))
{
	node->close_done = done;
	if (node->work != NODE_WORK_NONE)
		return;
	node->closing = true;
	stop_peers(node, "this agent is being stopped", "the agent there is being stopped");
	if (node->replica && !node->primary)
		replica_close(node->replica, closed, node);
	else
		close_finish(node);
}

/* --- settings ----------------------------------------------------------------- */

static bool same_layout(const struct conf *a, const struct conf *b, const struct conf_node *self)
{
	const struct conf_node *other = conf_node_by_name(b, self->name);

	if (!other || other->id != self->id || memcmp(a->id, b->id, REPRISE_ID_BYTES))
		return false;
	if (a->logical_block_bytes != b->logical_block_bytes || a->log_bytes != b->log_bytes ||
	    a->segment_bytes != b->segment_bytes || a->unapplied_bytes != b->unapplied_bytes)
		return false;
	if (a->nr_volumes != b->nr_volumes || strcmp(self->log, other->log))
		return false;
	for (unsigned int i = 0; i < self->nr_volumes; i++) {
		if (self->volumes[i].number != other->volumes[i].number ||
		    strcmp(self->volumes[i].device, other->volumes[i].device))
			return false;
	}
	if (a->nr_nodes != b->nr_nodes)
		return false;
	for (unsigned int i = 0; i < a->nr_nodes; i++) {
		if (a->nodes[i].id != b->nodes[i].id || strcmp(a->nodes[i].name, b->nodes[i].name))
			return false;
	}
	return true;
}

static int set_kernel(struct node *node, const struct conf *conf)
{
	const struct kernel *kernel = &node->home->kernel;
	struct nl_resource *res = calloc(1, sizeof(*res));
	int err;

	if (!res)
		return -ENOMEM;
	snprintf(res->name, sizeof(res->name), "%s", conf->name);
	res->durability = conf->durability;
	res->on_peer_loss = conf->on_peer_loss;
	res->timeout_ms = conf->timeout_ms;
	res->queue_kib = conf->queue_kib;
	err = kernel->ops->set(kernel->ctx, res);
	free(res);
	return err;
}

int node_reload(struct node *node, const struct conf *conf, char *error, size_t bytes)
{
	const struct kernel *kernel = &node->home->kernel;
	char name[REPRISE_NAME_MAX + 1];

	if (node->work != NODE_WORK_NONE || node->closing) {
		snprintf(error, bytes, "something else is being done with it; try again");
		return -EBUSY;
	}
	if (!same_layout(&node->conf, conf, node->self)) {
		snprintf(error, bytes,
			 "devices, log, volumes, nodes or id changed: take the resource down and up again");
		return -EINVAL;
	}
	if (node->primary && set_kernel(node, conf)) {
		snprintf(error, bytes, "the kernel refused the new settings: %s",
			 kernel->ops->error(kernel->ctx));
		return -EIO;
	}
	snprintf(name, sizeof(name), "%s", node->self->name);
	node->conf = *conf;
	node->self = conf_node_by_name(&node->conf, name);
	node->store.self = node->self;
	for (unsigned int i = 0; i < node->nr_peers; i++)
		peer_restart(&node->peers[i], "the configuration was read again",
			     "the configuration was read again there");
	node_consider(node);
	return 0;
}

/* --- freeze and resume ---------------------------------------------------------- */

static void set_frozen(struct node *node, struct ctl_request *req, bool frozen)
{
	const struct kernel *kernel = &node->home->kernel;
	int err;

	if (!node->primary) {
		ctl_fail(req, "invalid", NULL, "resource %s is not primary on %s", node->conf.name,
			 node->self->name);
		return;
	}
	err = frozen ? kernel->ops->freeze(kernel->ctx, node->conf.name) :
	      kernel->ops->resume(kernel->ctx, node->conf.name);
	if (err) {
		ctl_fail(req, "io", NULL, "resource %s: the kernel refused: %s", node->conf.name,
			 kernel->ops->error(kernel->ctx));
		return;
	}
	node->held = frozen;
	ctl_reply(req, NULL);
	node_kernel_refresh(node);
}

void node_freeze(struct node *node, struct ctl_request *req)
{
	if (node_work_free(node, req))
		set_frozen(node, req, true);
}

void node_resume(struct node *node, struct ctl_request *req)
{
	if (!node_work_free(node, req))
		return;
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		const struct peer *peer = &node->peers[i];

		if (req->force || !peer->known || peer->decision.outcome != MEET_DEPOSED ||
		    peer->decision.side != MEET_A)
			continue;
		ctl_fail(req, "unsafe", "demote it here with --force: going on would make a split brain",
			 "resource %s was promoted on %s meanwhile", node->conf.name, peer->name);
		return;
	}
	set_frozen(node, req, false);
}
