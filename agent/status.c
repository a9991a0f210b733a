// SPDX-License-Identifier: GPL-2.0
/*
 * What people and programs see of a resource: status, log of timelines, and
 * one word of health with its reason.
 */
#include <stdio.h>
#include <string.h>

#include "peer.h"

static json_t *put_u64(uint64_t value)
{
	return json_integer((json_int_t)(value & INT64_MAX));
}

static void set_u64(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, put_u64(value));
}

static void set_text(json_t *object, const char *key, const char *text)
{
	json_t *json = json_string(text);

	json_object_set_new(object, key, json ? json : json_string(""));
}

static json_t *put_id(const uint8_t id[REPRISE_ID_BYTES])
{
	char text[2 * REPRISE_ID_BYTES + 1];

	message_put_id(id, text);
	return json_string(text);
}

static const struct nl_peer *kernel_peer(const struct node *node, unsigned int id)
{
	for (unsigned int i = 0; node->primary && i < node->kernel.nr_peers; i++) {
		if (node->kernel.peers[i].node == id)
			return &node->kernel.peers[i];
	}
	return NULL;
}

/* --- one peer ------------------------------------------------------------ */

static const char *connection_name(const struct peer *peer)
{
	static const char *const names[] = {
		[PEER_DISCONNECTED] = "disconnected",
		[PEER_CONNECTING] = "connecting",
		[PEER_CONNECTED] = "connected",
		[PEER_REFUSED] = "refused",
	};

	return names[peer->connection];
}

static bool in_trouble(const struct peer *peer)
{
	switch (peer->decision.outcome) {
	case MEET_RESYNC:
	case MEET_SPLIT_BRAIN:
	case MEET_REFUSED:
	case MEET_DEPOSED:
		return peer->known;
	default:
		return false;
	}
}

static bool is_mirrored(const struct node *node, const struct peer *peer)
{
	const struct nl_peer *kp = kernel_peer(node, peer->id);

	if (node->primary)
		return kp && kp->state == REPRISE_PEER_CONNECTED;
	/*
	 * A dead primary's data connection is silent, not closed; a live one
	 * sends at least every second, with or without its agent.
	 */
	return node->session_conn && node->session_from == peer->id &&
	       (peer->known || env_monotonic_ns(node->home->env) < node->session_heard_ns +
			       (node->conf.timeout_ms + 2000) * NS_PER_MS);
}

static bool is_behind(const struct node *node, const struct peer *peer)
{
	const struct nl_peer *kp = kernel_peer(node, peer->id);

	if (node->primary)
		return kp && kp->state == REPRISE_PEER_BEHIND;
	return node->session_behind && peer->known && peer->state.primary;
}

static bool is_deposed(const struct peer *peer)
{
	return peer->known && peer->decision.outcome == MEET_DEPOSED &&
	       peer->decision.side == MEET_A;
}

static const char *replication_name(const struct node *node, const struct peer *peer)
{
	if (is_mirrored(node, peer))
		return "mirroring";
	if (peer->known && peer->decision.outcome == MEET_SPLIT_BRAIN)
		return "split brain";
	if (in_trouble(peer) || peer->blocked || is_behind(node, peer))
		return "resync needed";
	if (peer->known && peer->decision.outcome == MEET_IN_SYNC)
		return "in sync, idle";
	return "none";
}

static void contact_words(const struct peer *peer, char *text, size_t bytes)
{
	const char *name = peer->name;

	if (!peer->enabled)
		snprintf(text, bytes, "disconnected by the administrator: reprise connect %s %s",
			 peer->node->conf.name, name);
	else if (peer->connection == PEER_REFUSED)
		snprintf(text, bytes, "%s", peer->connection_text);
	else if (peer->connection_text[0])
		snprintf(text, bytes, "no contact with %s: %s", name, peer->connection_text);
	else
		snprintf(text, bytes, "no contact with %s yet", name);
}

/* Out of contact: also what that costs. */
static void connection_words(const struct node *node, const struct peer *peer, char *text,
			     size_t bytes)
{
	char contact[NODE_TEXT_BYTES + 128];

	contact_words(peer, contact, sizeof(contact));
	snprintf(text, bytes, "%s%s%s%s", contact, is_behind(node, peer) ? "; resync needed: " : "",
		 is_behind(node, peer) ? peer->name : "",
		 is_behind(node, peer) ? " lacks what was written since" : "");
}

static void peer_words(const struct node *node, const struct peer *peer, char *text, size_t bytes)
{
	if (is_mirrored(node, peer))
		snprintf(text, bytes, node->primary ? "mirroring to %s" : "receiving from %s",
			 peer->name);
	else if (!peer->known)
		connection_words(node, peer, text, bytes);
	else if (in_trouble(peer))
		meet_describe(&peer->decision, node->self->name, peer->name, text, bytes);
	else if (node->primary && peer->session_text[0])
		snprintf(text, bytes, "%s", peer->session_text);
	else if (!node->primary && peer->state.primary && node->session_text[0])
		snprintf(text, bytes, "%s", node->session_text);
	else if (is_behind(node, peer))
		snprintf(text, bytes, "resync needed: %s lacks writes", peer->name);
	else
		meet_describe(&peer->decision, node->self->name, peer->name, text, bytes);
}

static void put_positions(json_t *json, const struct node *node, const struct peer *peer)
{
	const struct nl_peer *kp = kernel_peer(node, peer->id);
	const struct message_state *st = &peer->state;
	bool live = kp && kp->state == REPRISE_PEER_CONNECTED;

	set_u64(json, "received", live ? kp->received : peer->known ? st->received : 0);
	set_u64(json, "durable", live ? kp->durable : peer->known ? st->durable : 0);
	set_u64(json, "applied", live ? kp->applied : peer->known ? st->applied : 0);
	set_u64(json, "dirty_blocks", kp ? kp->dirty_blocks : 0);
	json_object_set_new(json, "dirty_all", json_boolean(kp && kp->dirty_all));
	set_u64(json, "sent_bytes", kp ? kp->sent_bytes : 0);
	set_text(json, "last_reason", kp && kp->reason[0] ? kp->reason : node->primary ?
		 peer->session_text : node->session_text);
}

static json_t *peer_json(const struct node *node, const struct peer *peer)
{
	const struct conf_node *conf = peer_conf(peer);
	json_t *json = json_object();
	char text[NODE_TEXT_BYTES];

	peer_words(node, peer, text, sizeof(text));
	set_text(json, "name", peer->name);
	json_object_set_new(json, "node", json_integer(peer->id));
	set_text(json, "address", conf ? conf->address : "");
	set_text(json, "connection", connection_name(peer));
	set_text(json, "role", !peer->known ? "unknown" :
		 peer->state.primary ? "primary" : "secondary");
	set_text(json, "state", peer->known ? meta_state_name(peer->state.state) : "unknown");
	set_text(json, "replication", replication_name(node, peer));
	set_text(json, "text", text);
	put_positions(json, node, peer);
	return json;
}

/* --- volumes -------------------------------------------------------------- */

static json_t *latency_json(const struct nl_volume *nv)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < REPRISE_HIST_BUCKETS; i++)
		json_array_append_new(array, put_u64(nv->latency[i]));
	return array;
}

static void put_kernel_volume(json_t *json, const struct nl_volume *nv)
{
	char device[32];

	snprintf(device, sizeof(device), "/dev/reprise%d", nv->minor);
	json_object_set_new(json, "minor", json_integer(nv->minor));
	set_text(json, "device", device);
	set_u64(json, "openers", nv->openers);
	set_u64(json, "reads", nv->reads);
	set_u64(json, "writes", nv->writes);
	set_u64(json, "flushes", nv->flushes);
	set_u64(json, "read_bytes", nv->read_sectors * 512);
	set_u64(json, "written_bytes", nv->write_sectors * 512);
	set_u64(json, "io_errors", nv->io_errors);
	json_object_set_new(json, "write_latency_us_log2", latency_json(nv));
}

static json_t *volume_json(const struct node *node, unsigned int index)
{
	const struct conf_node_volume *conf = &node->self->volumes[index];
	json_t *json = json_object();

	json_object_set_new(json, "number", json_integer(conf->number));
	set_text(json, "backing", conf->device);
	set_u64(json, "size_bytes", node->store.volumes[index].size_sectors * 512);
	json_object_set_new(json, "minor", json_integer(node->conf.volumes[index].minor));
	json_object_set_new(json, "device", json_null());
	for (unsigned int i = 0; node->primary && i < node->kernel.nr_volumes; i++) {
		if (node->kernel.volumes[i].number == conf->number)
			put_kernel_volume(json, &node->kernel.volumes[i]);
	}
	return json;
}

/* --- health ---------------------------------------------------------------- */

static int worst_peer(struct node *node, char *text, size_t bytes)
{
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		const struct peer *peer = &node->peers[i];
		bool fine = is_mirrored(node, peer);

		if (!node->primary && peer->known && !peer->state.primary && !in_trouble(peer))
			fine = true;
		if (fine)
			continue;
		peer_words(node, peer, text, bytes);
		return peer->known && peer->decision.outcome == MEET_SPLIT_BRAIN ? 2 : 1;
	}
	snprintf(text, bytes, node->primary ? "all peers hold every write" :
		 "a replica in good order");
	return 0;
}

static bool io_errors(const struct node *node)
{
	for (unsigned int i = 0; node->primary && i < node->kernel.nr_volumes; i++) {
		if (node->kernel.volumes[i].io_errors)
			return true;
	}
	return false;
}

static void frozen_words(const struct node *node, char *text, size_t bytes)
{
	for (unsigned int i = 0; i < node->nr_peers; i++) {
		if (!is_deposed(&node->peers[i]))
			continue;
		snprintf(text, bytes, "I/O is frozen: %s was promoted meanwhile; demote it here: reprise demote %s --force",
			 node->peers[i].name, node->conf.name);
		return;
	}
	snprintf(text, bytes, "I/O is frozen; to go on: reprise resume %s", node->conf.name);
}

/* Neither clean nor primary. */
static void unclean_words(const struct node *node, char *text, size_t bytes)
{
	const char *name = node->self->name;

	if (node->meta.state == REPRISE_STORE_LOST)
		snprintf(text, bytes, "resync needed: writes failed on the backing device of %s while it was primary",
			 name);
	else if (node->meta.state != REPRISE_STORE_UNCLEAN)
		snprintf(text, bytes, "resync needed: the copy on %s has no usable content", name);
	else
		snprintf(text, bytes, "%s crashed as primary: if no other node went on, choose one to promote (\"reprise promote %s\" says how); otherwise resync needed",
			 name, node->conf.name);
}

int status_health(struct node *node, char *text, size_t bytes)
{
	const char *damage = node_damage(node);

	if (damage[0]) {
		snprintf(text, bytes, "%s", damage);
		return 2;
	}
	if (io_errors(node)) {
		snprintf(text, bytes, "the backing device on %s failed: demote it and promote a peer",
			 node->self->name);
		return 2;
	}
	if (node->primary && node->kernel.frozen && node->work == NODE_WORK_NONE) {
		frozen_words(node, text, bytes);
		return 2;
	}
	if (!node->primary && node->meta.state != REPRISE_STORE_CLEAN &&
	    node->work == NODE_WORK_NONE) {
		unclean_words(node, text, bytes);
		return 1;
	}
	return worst_peer(node, text, bytes);
}

/* --- the resource ------------------------------------------------------------ */

static void put_watermarks(json_t *json, struct node *node)
{
	const struct replica_state *rs = node->replica && !node->primary ?
					 replica_state(node->replica) : NULL;
	const struct nl_resource *k = &node->kernel;
	json_t *log = json_object();

	set_u64(json, "seq", node_position(node));
	set_u64(json, "commit", rs ? rs->commit : k->commit);
	set_u64(json, "flushed", rs ? rs->flushed : k->flushed);
	set_u64(json, "received", rs ? rs->received : k->seq);
	set_u64(json, "durable", rs ? rs->durable : k->flushed);
	set_u64(json, "applied", rs ? rs->applied : k->flushed);
	json_object_set_new(json, "frozen", json_boolean(node->primary && k->frozen));
	set_u64(json, "queued_bytes", node->primary ? k->queued_bytes : 0);
	json_object_set_new(json, "parked", json_integer(node->primary ? k->parked : 0));
	set_u64(log, "bytes", rs ? rs->log_bytes : node->conf.log_bytes);
	set_u64(log, "used_bytes", rs ? rs->log_used_bytes : 0);
	json_object_set_new(json, "log", log);
}

static json_t *timeline_json(const struct meta_timeline *timeline, bool full)
{
	json_t *json = json_object();

	set_u64(json, "generation", timeline->generation);
	json_object_set_new(json, "id", put_id(timeline->id));
	if (!full)
		return json;
	json_object_set_new(json, "parent", put_id(timeline->parent));
	set_u64(json, "fork_seq", timeline->fork_seq);
	set_text(json, "kind", meta_fork_name(timeline->kind));
	json_object_set_new(json, "opener", json_integer(timeline->opener));
	set_u64(json, "opened_realtime_ns", timeline->opened_realtime_ns);
	return json;
}

/* "unclean" is no fault of a primary: its record says so from its promotion on. */
static const char *state_words(const struct node *node)
{
	if (node_damage(node)[0])
		return node_damage(node);
	if (node->primary)
		return "in use as primary";
	if (node->meta.state == REPRISE_STORE_UNCLEAN && node->work == NODE_WORK_NONE)
		return "was primary when it stopped, and was not demoted";
	if (node->meta.state == REPRISE_STORE_LOST)
		return "writes failed on its backing device while it was primary";
	return "";
}

static void put_state(json_t *json, struct node *node)
{
	const struct meta_timeline *timeline = node_timeline(node);
	const char *damage = node_damage(node);
	enum reprise_store_state state = node->meta.state;

	if (damage[0] && state != REPRISE_STORE_BLANK)
		state = REPRISE_STORE_DAMAGED;
	set_text(json, "role", node->primary ? "primary" : "secondary");
	set_text(json, "state", meta_state_name(state));
	set_text(json, "state_text", state_words(node));
	set_text(json, "durability", durability_name(node->primary ? node->kernel.durability :
						     node->conf.durability));
	set_text(json, "on_peer_loss", on_peer_loss_name(node->conf.on_peer_loss));
	json_object_set_new(json, "timeline",
			    timeline ? timeline_json(timeline, false) : json_null());
}

json_t *status_json(struct node *node)
{
	static const char *const words[] = { "ok", "degraded", "failed" };
	json_t *json = json_object(), *volumes = json_array(), *peers = json_array();
	char text[NODE_TEXT_BYTES];
	int health;

	node_read_meta(node);
	health = status_health(node, text, sizeof(text));
	set_text(json, "name", node->conf.name);
	json_object_set_new(json, "id", put_id(node->conf.id));
	set_text(json, "node", node->self->name);
	put_state(json, node);
	put_watermarks(json, node);
	for (unsigned int i = 0; i < node->self->nr_volumes; i++)
		json_array_append_new(volumes, volume_json(node, i));
	json_object_set_new(json, "volumes", volumes);
	for (unsigned int i = 0; i < node->nr_peers; i++)
		json_array_append_new(peers, peer_json(node, &node->peers[i]));
	json_object_set_new(json, "peers", peers);
	set_text(json, "health", words[health]);
	set_text(json, "health_text", text);
	return json;
}

json_t *status_log_json(struct node *node)
{
	json_t *json = json_object(), *timelines = json_array();

	node_read_meta(node);
	set_text(json, "name", node->conf.name);
	for (unsigned int i = 0; i < node->meta.nr_timelines; i++)
		json_array_append_new(timelines, timeline_json(&node->meta.timelines[i], true));
	json_object_set_new(json, "timelines", timelines);
	set_u64(json, "position", node_position(node));
	return json;
}
