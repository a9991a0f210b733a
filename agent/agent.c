// SPDX-License-Identifier: GPL-2.0
/*
 * All resources of this process: reads the configurations, adopts what the
 * kernel runs, shares listeners between resources, routes what connects, and
 * serves the commands of the control socket.
 */
#include "agent_impl.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "version.h"

enum { AGENT_MAX_STRANGERS = 64 };	/* connections that have not proved themselves */

struct listener {
	struct env_listener listener;
	struct agent *agent;
	bool used;
};

struct stranger {
	struct agent *agent;
	struct greet *greet;
	/* whom it claimed to be, once looked up */
	uint8_t resource_id[REPRISE_ID_BYTES];
	unsigned int from;
};

struct agent {
	struct agent_options options;
	agent_load load;
	struct node_home home;
	struct link_home links;
	struct kernel_nl *kernel_nl;
	struct node *nodes[CONF_MAX_RESOURCES];
	unsigned int nr_nodes;
	struct listener listeners[CONF_MAX_RESOURCES];
	struct stranger strangers[AGENT_MAX_STRANGERS];

	bool stopping;
	unsigned int closing;		/* nodes */
	void (*stopped)(void *ctx);
	void *stopped_ctx;
	struct env_timer stop_timer;
};

static struct env *agent_env(const struct agent *agent)
{
	return agent->home.env;
}

static struct node *find_node(struct agent *agent, const char *name)
{
	for (unsigned int i = 0; i < agent->nr_nodes; i++) {
		if (!strcmp(agent->nodes[i]->conf.name, name))
			return agent->nodes[i];
	}
	return NULL;
}

static struct node *find_node_by_id(struct agent *agent, const uint8_t id[REPRISE_ID_BYTES])
{
	for (unsigned int i = 0; i < agent->nr_nodes; i++) {
		if (!memcmp(agent->nodes[i]->conf.id, id, REPRISE_ID_BYTES))
			return agent->nodes[i];
	}
	return NULL;
}

/* --- listening ------------------------------------------------------------ */

static struct stranger *free_stranger(struct agent *agent)
{
	for (unsigned int i = 0; i < AGENT_MAX_STRANGERS; i++) {
		if (!agent->strangers[i].greet)
			return &agent->strangers[i];
	}
	return NULL;
}

static int lookup(void *ctx, const struct wire_hello *hello, struct handshake_keys *keys, char *why)
{
	struct stranger *stranger = ctx;
	struct node *node = find_node_by_id(stranger->agent, hello->resource_id);
	struct peer *peer;
	char id[2 * REPRISE_ID_BYTES + 1];

	if (!node || !node->up) {
		message_put_id(hello->resource_id, id);
		snprintf(why, HANDSHAKE_WHY_BYTES, "node %u asks for resource id %s, which %s",
			 hello->from, id, node ? "is not up here" : "is not configured here");
		return WIRE_REFUSE_RESOURCE;
	}
	peer = node_peer(node, hello->from);
	if (!peer || hello->to != node->self->id) {
		snprintf(why, HANDSHAKE_WHY_BYTES,
			 "node id %u asks for node id %u of resource %s: this is node id %u, and %s: compare the node sections",
			 hello->from, hello->to, node->conf.name, node->self->id,
			 peer ? "the asker is known" : "the asker is not in the configuration");
		return WIRE_REFUSE_NODE;
	}
	if (!peer->enabled) {
		snprintf(why, HANDSHAKE_WHY_BYTES,
			 "%s dials for resource %s, but is disconnected here by the administrator",
			 peer->name, node->conf.name);
		return WIRE_REFUSE_DISCONNECTED;
	}
	if (hello->kind == WIRE_DATA && !session_expected(node, peer, hello->session)) {
		snprintf(why, HANDSHAKE_WHY_BYTES,
			 "%s opens a data connection for resource %s that is not expected (any more)",
			 peer->name, node->conf.name);
		return WIRE_REFUSE_SESSION;
	}
	memcpy(stranger->resource_id, hello->resource_id, REPRISE_ID_BYTES);
	stranger->from = hello->from;
	peer_keys(peer, keys);
	return 0;
}

static void welcome(struct agent *agent, const struct greet_result *result)
{
	struct node *node = find_node_by_id(agent, result->hello.resource_id);
	struct peer *peer = node && node->up ? node_peer(node, result->hello.from) : NULL;

	if (!peer || agent->stopping)
		agent_env(agent)->ops->conn_close(agent_env(agent), result->conn);
	else if (result->hello.kind == WIRE_CONTROL)
		peer_accepted(peer, result->conn);
	else
		session_connected(node, peer, result->hello.session, result->conn);
}

static int refusal_level(unsigned int refusal)
{
	if (!refusal)
		return 7;
	return refusal == WIRE_REFUSE_RESOURCE || refusal == WIRE_REFUSE_DISCONNECTED ? 6 : 4;
}

static void greeted(void *ctx, const struct greet_result *result)
{
	struct stranger *stranger = ctx;
	struct agent *agent = stranger->agent;
	struct node *node = stranger->from ? find_node_by_id(agent, stranger->resource_id) : NULL;
	struct peer *peer = node ? node_peer(node, stranger->from) : NULL;

	stranger->greet = NULL;
	if (result->conn) {
		welcome(agent, result);
		return;
	}
	if (peer && result->refusal)
		peer_accept_failed(peer, result->why);
	else
		env_log(agent_env(agent), refusal_level(result->refusal),
			node ? node->conf.name : NULL, "a connection was not accepted: %s",
			result->why);
}

static void accepted(struct env_listener *env_listener, struct env_conn *conn,
		     const struct sockaddr_storage *from)
{
	struct listener *listener = (struct listener *)env_listener;
	struct agent *agent = listener->agent;
	struct stranger *stranger = free_stranger(agent);

	(void)from;
	if (!stranger || agent->stopping) {
		agent_env(agent)->ops->conn_close(agent_env(agent), conn);
		return;
	}
	memset(stranger, 0, sizeof(*stranger));
	stranger->agent = agent;
	stranger->greet = greet_accept(agent_env(agent), &agent->links, conn, lookup, greeted,
				       stranger);
}

static bool same_addr(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET) {
		const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;

		return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
	}
	if (a->ss_family == AF_INET6) {
		const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;

		return x->sin6_port == y->sin6_port &&
		       !memcmp(&x->sin6_addr, &y->sin6_addr, sizeof(x->sin6_addr));
	}
	return false;
}

static int listen_new(struct agent *agent, const struct conf_node *self)
{
	for (unsigned int i = 0; i < CONF_MAX_RESOURCES; i++) {
		struct listener *listener = &agent->listeners[i];
		int err;

		if (listener->used)
			continue;
		listener->agent = agent;
		listener->listener.accept = accepted;
		listener->listener.addr = self->addr;
		listener->listener.addr_len = self->addr_len;
		err = agent_env(agent)->ops->listen(agent_env(agent), &listener->listener);
		listener->used = !err;
		return err;
	}
	return -ENFILE;
}

static int listen_for(struct agent *agent, const struct conf_node *self)
{
	for (unsigned int i = 0; i < CONF_MAX_RESOURCES; i++) {
		if (agent->listeners[i].used &&
		    same_addr(&agent->listeners[i].listener.addr, &self->addr))
			return 0;
	}
	return listen_new(agent, self);
}

static bool listener_needed(const struct agent *agent, const struct listener *listener)
{
	for (unsigned int i = 0; i < agent->nr_nodes; i++) {
		const struct node *node = agent->nodes[i];

		if ((node->up || node->work != NODE_WORK_NONE) &&
		    same_addr(&listener->listener.addr, &node->self->addr))
			return true;
	}
	return false;
}

static void drop_listeners(struct agent *agent)
{
	for (unsigned int i = 0; i < CONF_MAX_RESOURCES; i++) {
		struct listener *listener = &agent->listeners[i];

		if (!listener->used || (!agent->stopping && listener_needed(agent, listener)))
			continue;
		agent_env(agent)->ops->unlisten(agent_env(agent), &listener->listener);
		listener->used = false;
	}
}

/* --- configurations -------------------------------------------------------- */

static void remove_node(struct agent *agent, struct node *node)
{
	for (unsigned int i = 0; i < agent->nr_nodes; i++) {
		if (agent->nodes[i] != node)
			continue;
		agent->nodes[i] = agent->nodes[--agent->nr_nodes];
		node_destroy(node);
		return;
	}
}

/* The work of a node has ended; one that is down is kept only while something happens to it. */
static void node_changed(struct node *node, void *ctx)
{
	(void)node;
	drop_listeners(ctx);
}

static int load_conf(struct agent *agent, const char *name, struct conf *conf, char *error,
		     size_t bytes)
{
	char path[sizeof(conf->path)];
	int length = snprintf(path, sizeof(path), "%s/%s.conf", agent->options.config_dir, name);
	int err;

	if (length >= (int)sizeof(path) || strchr(name, '/')) {
		snprintf(error, bytes, "\"%s\" is no name of a resource", name);
		return -EINVAL;
	}
	err = agent->load(path, conf, error, bytes);
	if (err)
		return err;
	if (!conf_node_by_name(conf, agent->options.node_name)) {
		snprintf(error, bytes, "this node, %s, is not in its configuration",
			 agent->options.node_name);
		return -ENOENT;
	}
	return 0;
}

static struct node *add_node(struct agent *agent, const struct conf *conf)
{
	struct node *node;

	if (agent->nr_nodes == CONF_MAX_RESOURCES)
		return NULL;
	node = node_create(&agent->home, conf, agent->options.node_name);
	if (!node)
		return NULL;
	node->changed = node_changed;
	node->changed_ctx = agent;
	agent->nodes[agent->nr_nodes++] = node;
	return node;
}

/* For "up": the configuration as it is now.  NULL: answered. */
static struct node *node_for_up(struct agent *agent, struct ctl_request *req)
{
	struct node *node = find_node(agent, req->resource);
	struct conf *conf;
	char error[512] = "no memory";

	if (node && (node->up || node->work != NODE_WORK_NONE))
		return node;
	conf = calloc(1, sizeof(*conf));
	if (!conf || load_conf(agent, req->resource, conf, error, sizeof(error))) {
		env_log(agent_env(agent), 3, req->resource, "not taken up: %s", error);
		ctl_fail(req, conf ? "invalid" : "io", NULL, "resource %s: %s", req->resource,
			 error);
		free(conf);
		return NULL;
	}
	if (node)
		remove_node(agent, node);
	node = add_node(agent, conf);
	free(conf);
	if (!node)
		ctl_fail(req, "io", NULL, "resource %s: no memory, or too many resources",
			 req->resource);
	return node;
}

static bool fits(const struct conf *conf, const struct nl_resource *res, const char *node_name)
{
	const struct conf_node *self = conf_node_by_name(conf, node_name);

	return !memcmp(conf->id, res->id, REPRISE_ID_BYTES) && self && self->id == res->node;
}

/* --- commands ---------------------------------------------------------------- */

static void cmd_status(void *ctx, struct ctl_request *req)
{
	struct agent *agent = ctx;
	json_t *resources = json_array();

	for (unsigned int i = 0; i < agent->nr_nodes; i++) {
		struct node *node = agent->nodes[i];

		if (!node->up || (req->resource && strcmp(node->conf.name, req->resource)))
			continue;
		node_kernel_refresh(node);
		json_array_append_new(resources, status_json(node));
	}
	if (req->resource && !json_array_size(resources)) {
		json_decref(resources);
		ctl_fail(req, "not-found", "bring it up with \"reprise up\"",
			 "resource %s is not up on %s", req->resource, agent->options.node_name);
		return;
	}
	ctl_reply(req, json_pack("{s:s, s:s, s:o}", "version", REPRISE_VERSION, "node",
				 agent->options.node_name, "resources", resources));
}

static void cmd_log(void *ctx, struct ctl_request *req)
{
	struct agent *agent = ctx;
	json_t *resources = json_array();

	for (unsigned int i = 0; i < agent->nr_nodes; i++) {
		struct node *node = agent->nodes[i];

		if (node->up && (!req->resource || !strcmp(node->conf.name, req->resource)))
			json_array_append_new(resources, status_log_json(node));
	}
	ctl_reply(req, json_pack("{s:o}", "resources", resources));
}

/* NULL: answered. */
static struct node *node_up_or_fail(struct agent *agent, struct ctl_request *req)
{
	struct node *node = find_node(agent, req->resource);

	if (node && node->up)
		return node;
	ctl_fail(req, "not-found", "bring it up with \"reprise up\"", "resource %s is not up on %s",
		 req->resource, agent->options.node_name);
	return NULL;
}

/* The kernel may run it although nobody adopted it: its configuration was broken then. */
static bool adopt_running(struct agent *agent, struct node *node, struct ctl_request *req)
{
	const struct kernel *kernel = &agent->home.kernel;
	struct nl_resource *res;
	bool runs;

	if (node->up || node->work != NODE_WORK_NONE)
		return false;
	res = calloc(1, sizeof(*res));
	runs = res && !kernel->ops->get(kernel->ctx, node->conf.name, res) &&
	       fits(&node->conf, res, agent->options.node_name);
	if (runs) {
		node_adopt(node, res);
		ctl_reply(req, NULL);
	}
	free(res);
	return runs;
}

static void cmd_up(void *ctx, struct ctl_request *req)
{
	struct agent *agent = ctx;
	struct node *node = node_for_up(agent, req);
	int err;

	if (!node)
		return;
	err = listen_for(agent, node->self);
	if (err) {
		ctl_fail(req, "io", "is the address in the configuration one of this machine?",
			 "resource %s: cannot listen on %s: %s", node->conf.name,
			 node->self->address, strerror(-err));
		return;
	}
	if (!adopt_running(agent, node, req))
		node_up(node, req);
}

static void cmd_down(void *ctx, struct ctl_request *req)
{
	struct agent *agent = ctx;
	struct node *node = find_node(agent, req->resource);

	if (node)
		node_down(node, req);
	else
		ctl_reply(req, NULL);
}

static void cmd_promote(void *ctx, struct ctl_request *req)
{
	struct node *node = node_up_or_fail(ctx, req);

	if (node)
		node_promote(node, req, req->force);
}

static void cmd_demote(void *ctx, struct ctl_request *req)
{
	struct node *node = node_up_or_fail(ctx, req);

	if (node)
		node_demote(node, req, req->force, false);
}

static void cmd_freeze(void *ctx, struct ctl_request *req)
{
	struct node *node = node_up_or_fail(ctx, req);

	if (node)
		node_freeze(node, req);
}

static void cmd_resume(void *ctx, struct ctl_request *req)
{
	struct node *node = node_up_or_fail(ctx, req);

	if (node)
		node_resume(node, req);
}

/* 0, or -errno with @error in words, and the old configuration stays in force. */
static int reload_conf(struct agent *agent, struct node *node, char *error, size_t bytes)
{
	struct conf *conf = calloc(1, sizeof(*conf));
	const struct conf_node *self;
	int err = -ENOMEM;

	snprintf(error, bytes, "no memory");
	if (conf)
		err = load_conf(agent, node->conf.name, conf, error, bytes);
	self = err ? NULL : conf_node_by_name(conf, agent->options.node_name);
	if (!err)
		err = listen_for(agent, self);
	if (self && err)
		snprintf(error, bytes, "cannot listen on %s: %s", self->address, strerror(-err));
	if (!err)
		err = node_reload(node, conf, error, bytes);
	if (err)
		env_log(agent_env(agent), 3, node->conf.name,
			"the old configuration stays in force: %s", error);
	/* Of the old address, or of the new one if it is not to be. */
	drop_listeners(agent);
	free(conf);
	return err;
}

static void reload_node(struct agent *agent, struct node *node, struct ctl_request *req)
{
	char error[512];
	int err = reload_conf(agent, node, error, sizeof(error));

	if (err)
		ctl_fail(req, err == -EBUSY ? "busy" : "invalid",
			 "the old configuration stays in force", "resource %s: %s",
			 node->conf.name, error);
	else
		ctl_reply(req, NULL);
}

static void cmd_reload(void *ctx, struct ctl_request *req)
{
	struct agent *agent = ctx;
	struct node *node;

	if (!req->resource) {
		agent_reload(agent);
		ctl_reply(req, NULL);
		return;
	}
	node = node_up_or_fail(agent, req);
	if (node)
		reload_node(agent, node, req);
}

static void set_connected(struct agent *agent, struct ctl_request *req, bool on)
{
	struct node *node = node_up_or_fail(agent, req);
	const struct kernel *kernel = &agent->home.kernel;
	unsigned int hits = 0;

	for (unsigned int i = 0; node && i < node->nr_peers; i++) {
		struct peer *peer = &node->peers[i];

		if (req->peer && strcmp(req->peer, peer->name))
			continue;
		hits++;
		if (on) {
			peer_start(peer);
			continue;
		}
		if (node->primary)
			kernel->ops->detach(kernel->ctx, node->conf.name, peer->id);
		else if (node->session_conn && node->session_from == peer->id)
			replica_session_stop(node->replica, "disconnected by the administrator");
		peer_stop(peer, "disconnected by the administrator",
			  "disconnected there by the administrator");
	}
	if (node && !hits)
		ctl_fail(req, "not-found", NULL, "resource %s has no peer %s", node->conf.name,
			 req->peer ? req->peer : "at all");
	else if (node)
		ctl_reply(req, NULL);
}

/* A connection made now would outlive the peers that it belongs to. */
static void cmd_connect(void *ctx, struct ctl_request *req)
{
	struct agent *agent = ctx;
	const struct node *node = find_node(agent, req->resource);

	if (node && node->up && node_is_ending(node))
		ctl_fail(req, "busy", "bring it up again when it is down",
			 "resource %s is being taken down on %s", node->conf.name,
			 node->self->name);
	else
		set_connected(agent, req, true);
}

static void cmd_disconnect(void *ctx, struct ctl_request *req)
{
	set_connected(ctx, req, false);
}

static const struct ctl_command commands[] = {
	{ "status", 0, cmd_status },
	{ "log", 0, cmd_log },
	{ "up", CTL_NEEDS_RESOURCE, cmd_up },
	{ "down", CTL_NEEDS_RESOURCE, cmd_down },
	{ "reload", 0, cmd_reload },
	{ "connect", CTL_NEEDS_RESOURCE, cmd_connect },
	{ "disconnect", CTL_NEEDS_RESOURCE, cmd_disconnect },
	{ "promote", CTL_NEEDS_RESOURCE, cmd_promote },
	{ "demote", CTL_NEEDS_RESOURCE, cmd_demote },
	{ "freeze", CTL_NEEDS_RESOURCE, cmd_freeze },
	{ "resume", CTL_NEEDS_RESOURCE, cmd_resume },
	{ NULL, 0, NULL },
};

/* --- the kernel's resources ----------------------------------------------------- */

static void adopt(struct agent *agent, const struct nl_resource *res)
{
	struct conf *conf = calloc(1, sizeof(*conf));
	char error[512] = "no memory";
	struct node *node;

	if (!conf || load_conf(agent, res->name, conf, error, sizeof(error))) {
		env_log(agent_env(agent), 3, res->name,
			"the kernel runs resource %s, but its configuration cannot be used: %s",
			res->name, error);
	} else if (!fits(conf, res, agent->options.node_name)) {
		env_log(agent_env(agent), 3, res->name,
			"the kernel runs resource %s with another id or as another node than configured",
			res->name);
	} else {
		node = add_node(agent, conf);
		if (node && listen_for(agent, node->self))
			env_log(agent_env(agent), 3, res->name, "cannot listen on %s",
				node->self->address);
		if (node)
			node_adopt(node, res);
	}
	free(conf);
}

static void adopt_all(struct agent *agent)
{
	const struct kernel *kernel = &agent->home.kernel;
	struct nl_resource *list = NULL;
	size_t count = 0;
	int err = kernel->ops->list(kernel->ctx, &list, &count);

	if (err)
		env_log(agent_env(agent), 6, NULL, "this node can be a replica only: %s",
			kernel->ops->error(kernel->ctx));
	for (size_t i = 0; !err && i < count; i++)
		adopt(agent, &list[i]);
	free(list);
}

void agent_kernel_event(struct agent *agent, const struct nl_event *event)
{
	struct node *node = find_node(agent, event->resource);

	if (node && node->up)
		node_kernel_event(node, event);
}

void agent_kernel_changed(struct agent *agent)
{
	for (unsigned int i = 0; i < agent->nr_nodes; i++)
		node_kernel_refresh(agent->nodes[i]);
}

/* --- life -------------------------------------------------------------------------- */

/* A configuration that is wrong is said at once, not only at the next "up". */
static void check_configs(struct agent *agent)
{
	DIR *dir = opendir(agent->options.config_dir);
	struct conf *conf = calloc(1, sizeof(*conf));
	struct dirent *entry;
	char name[256], error[512];

	while (dir && conf && (entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);

		if (length <= 5 || strcmp(entry->d_name + length - 5, ".conf"))
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)length - 5, entry->d_name);
		if (load_conf(agent, name, conf, error, sizeof(error)))
			env_log(agent_env(agent), 4, name, "left out: %s", error);
	}
	if (dir)
		closedir(dir);
	free(conf);
}

int agent_start_on(struct env *env, const struct agent_options *options, struct ctl *ctl,
		   const struct kernel *kernel, agent_load load, struct agent **out,
		   char *error, size_t error_bytes)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	if (!agent) {
		snprintf(error, error_bytes, "no memory");
		return -ENOMEM;
	}
	agent->options = *options;
	agent->load = load;
	agent->home.env = env;
	agent->home.links = &agent->links;
	agent->home.ctl = ctl;
	agent->home.kernel = *kernel;
	*out = agent;
	check_configs(agent);
	adopt_all(agent);
	ctl_set_commands(ctl, commands, agent);
	return 0;
}

int agent_start(struct env *env, const struct agent_options *options, struct ctl *ctl,
		struct agent **agent, char *error, size_t error_bytes)
{
	struct kernel_nl *knl = kernel_nl_create(options->kernel_opened, options->ctx);
	struct kernel kernel;
	int err;

	if (!knl) {
		snprintf(error, error_bytes, "no memory");
		return -ENOMEM;
	}
	kernel_nl_ops(knl, &kernel);
	err = agent_start_on(env, options, ctl, &kernel, conf_load, agent, error, error_bytes);
	if (err)
		kernel_nl_destroy(knl);
	else
		(*agent)->kernel_nl = knl;
	return err;
}

void agent_reload(struct agent *agent)
{
	char error[512];

	for (unsigned int i = 0; i < agent->nr_nodes; i++) {
		struct node *node = agent->nodes[i];

		if (node->up)
			reload_conf(agent, node, error, sizeof(error));
	}
}

/* Nothing of the nodes is left; links and dials may still be on their way. */
static void stop_when_empty(struct env_timer *timer)
{
	struct agent *agent = (struct agent *)((char *)timer - offsetof(struct agent, stop_timer));
	void (*stopped)(void *ctx) = agent->stopped;
	void *ctx = agent->stopped_ctx;

	if (agent->closing || agent->links.live) {
		env_timer_set(agent_env(agent), timer,
			      env_monotonic_ns(agent_env(agent)) + 10 * NS_PER_MS);
		return;
	}
	while (agent->nr_nodes)
		node_destroy(agent->nodes[--agent->nr_nodes]);
	if (agent->kernel_nl)
		kernel_nl_destroy(agent->kernel_nl);
	free(agent);
	stopped(ctx);
}

static void node_closed(struct node *node, int error)
{
	struct agent *agent = node->changed_ctx;

	(void)error;
	agent->closing--;
}

void agent_stop(struct agent *agent, void (*done)(void *ctx), void *ctx)
{
	agent->stopping = true;
	agent->stopped = done;
	agent->stopped_ctx = ctx;
	drop_listeners(agent);
	for (unsigned int i = 0; i < AGENT_MAX_STRANGERS; i++) {
		if (agent->strangers[i].greet)
			greet_cancel(agent->strangers[i].greet);
		agent->strangers[i].greet = NULL;
	}
	agent->closing = agent->nr_nodes;
	for (unsigned int i = 0; i < agent->nr_nodes; i++)
		node_close(agent->nodes[i], node_closed);
	agent->stop_timer.fire = stop_when_empty;
	env_timer_set(agent_env(agent), &agent->stop_timer, env_monotonic_ns(agent_env(agent)));
}

void agent_summary(const struct agent *agent, char *buf, size_t bytes)
{
	unsigned int total = 0, primary = 0, trouble = 0;
	char text[NODE_TEXT_BYTES];

	for (unsigned int i = 0; i < agent->nr_nodes; i++) {
		struct node *node = agent->nodes[i];

		if (!node->up)
			continue;
		total++;
		primary += node->primary;
		trouble += status_health(node, text, sizeof(text)) > 0;
	}
	snprintf(buf, bytes, "%u resource%s: %u primary, %u secondary, %u degraded", total,
		 total == 1 ? "" : "s", primary, total - primary, trouble);
}
