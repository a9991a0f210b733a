// SPDX-License-Identifier: GPL-2.0
/*
 * Status without the agent.  What the kernel runs is primary and goes on by
 * itself; what it does not run is what the metadata says it was.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "as_json.h"
#include "disks.h"
#include "nl.h"
#include "resources.h"
#include "say.h"
#include "status.h"

static void set_string(json_t *object, const char *name, const char *text)
{
	json_object_set_new(object, name, json_string(text));
}

static void set_number(json_t *object, const char *name, uint64_t number)
{
	json_object_set_new(object, name, json_integer(number));
}

static json_t *timeline_object(uint64_t generation, const uint8_t *id)
{
	json_t *object = json_object();

	set_number(object, "generation", generation);
	as_json_set_id(object, "id", id);
	return object;
}

static json_t *kernel_volume(const struct nl_volume *v)
{
	json_t *object = json_object();
	char device[32];

	snprintf(device, sizeof(device), "/dev/reprise%d", v->minor);
	set_number(object, "number", v->number);
	set_number(object, "minor", v->minor);
	set_string(object, "device", device);
	set_number(object, "size_bytes", v->sectors * REPRISE_SECTOR_BYTES);
	set_number(object, "openers", v->openers);
	set_number(object, "reads", v->reads);
	set_number(object, "writes", v->writes);
	set_number(object, "flushes", v->flushes);
	set_number(object, "io_errors", v->io_errors);
	return object;
}

static json_t *kernel_peer(const struct nl_peer *p)
{
	static const char *const words[] = {
		[REPRISE_PEER_CONNECTED] = "mirroring",
		[REPRISE_PEER_ABSENT] = "in sync when it was lost",
		[REPRISE_PEER_BEHIND] = "resync needed",
	};
	bool connected = p->state == REPRISE_PEER_CONNECTED;
	json_t *object = json_object();

	set_string(object, "name", p->name);
	set_number(object, "node", p->node);
	set_string(object, "connection", connected ? "connected" : "disconnected");
	set_string(object, "role", connected ? "secondary" : "unknown");
	set_string(object, "replication",
		   p->state >= REPRISE_PEER_CONNECTED && p->state <= REPRISE_PEER_BEHIND ?
			   words[p->state] :
			   "none");
	set_string(object, "text", p->reason);
	set_string(object, "last_reason", p->reason);
	set_number(object, "received", p->received);
	set_number(object, "durable", p->durable);
	set_number(object, "applied", p->applied);
	set_number(object, "dirty_blocks", p->dirty_blocks);
	return object;
}

/* What was asked for, and why the agent did not answer, in words. */
struct look {
	const struct options *options;
	const char *agent;
};

static void set_health(json_t *object, const char *health, const struct look *look,
		       const char *consequence)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: %s", look->agent, consequence);
	set_string(object, "health", health);
	set_string(object, "health_text", text);
}

static void add_health(json_t *object, const struct nl_resource *res, const struct look *look)
{
	unsigned int missing = 0;
	uint64_t errors = 0;

	for (unsigned int i = 0; i < res->nr_peers; i++)
		missing += res->peers[i].state != REPRISE_PEER_CONNECTED;
	for (unsigned int i = 0; i < res->nr_volumes; i++)
		errors += res->volumes[i].io_errors;
	if (errors)
		set_health(object, "failed", look, "the backing device has failed");
	else if (res->frozen)
		set_health(object, "failed", look, "I/O is frozen");
	else if (missing)
		set_health(object, "degraded", look,
			   "I/O goes on, but nobody reconnects what is disconnected");
	else
		set_health(object, "degraded", look,
			   "I/O and mirroring go on, but a lost connection would stay lost");
}

static json_t *from_kernel(const struct nl_resource *res, const struct look *look)
{
	json_t *object = json_object(), *volumes = json_array(), *peers = json_array();
	char name[256];

	set_string(object, "name", res->name);
	as_json_set_id(object, "id", res->id);
	set_string(object, "node", resources_node_name(look->options, name, sizeof(name)));
	set_string(object, "source", "kernel");
	set_string(object, "role", "primary");
	set_string(object, "state", "unclean");
	set_string(object, "state_text", "in use by the kernel as primary");
	set_string(object, "durability", durability_name(res->durability));
	set_string(object, "on_peer_loss", on_peer_loss_name(res->on_peer_loss));
	json_object_set_new(object, "timeline", timeline_object(res->generation, res->timeline_id));
	set_number(object, "seq", res->seq);
	set_number(object, "commit", res->commit);
	set_number(object, "flushed", res->flushed);
	set_number(object, "queued_bytes", res->queued_bytes);
	json_object_set_new(object, "frozen", json_boolean(res->frozen));
	for (unsigned int i = 0; i < res->nr_volumes; i++)
		json_array_append_new(volumes, kernel_volume(&res->volumes[i]));
	for (unsigned int i = 0; i < res->nr_peers; i++)
		json_array_append_new(peers, kernel_peer(&res->peers[i]));
	json_object_set_new(object, "volumes", volumes);
	json_object_set_new(object, "peers", peers);
	add_health(object, res, look);
	return object;
}

static const char *state_words(enum reprise_store_state state)
{
	switch (state) {
	case REPRISE_STORE_BLANK:
		return "blank: holds nothing that counts";
	case REPRISE_STORE_CLEAN:
		return "complete up to its position";
	case REPRISE_STORE_UNCLEAN:
		return "was primary when it stopped, and was not demoted";
	case REPRISE_STORE_PULLING:
		return "incomplete: was being brought up to date";
	case REPRISE_STORE_LOST:
		return "writes failed on its backing device while it was primary";
	case REPRISE_STORE_DAMAGED:
		return "its log is damaged";
	}
	return "unknown";
}

json_t *status_unreadable(const char *name, const char *why)
{
	json_t *object = json_object();

	set_string(object, "name", name);
	set_string(object, "source", "disk");
	set_string(object, "role", "unknown");
	set_string(object, "state", "unknown");
	set_string(object, "state_text", why);
	set_string(object, "health", "failed");
	set_string(object, "health_text", why);
	return object;
}

static json_t *disk_peer(const struct conf_node *node, const struct meta *meta,
			 const struct look *look)
{
	json_t *object = json_object();
	const struct meta_peer *absent = NULL;
	char text[128], when[32];

	for (unsigned int i = 0; i < meta->nr_peers; i++)
		if (meta->peers[i].node == node->id && meta->peers[i].absent)
			absent = &meta->peers[i];
	snprintf(text, sizeof(text), "%s", look->agent);
	if (absent)
		snprintf(text, sizeof(text), "writes were completed without it since %s",
			 say_time(absent->since_realtime_ns, when));
	set_string(object, "name", node->name);
	set_number(object, "node", node->id);
	set_string(object, "address", node->address);
	set_string(object, "connection", "disconnected");
	set_string(object, "role", "unknown");
	set_string(object, "replication", "none");
	set_string(object, "text", text);
	return object;
}

static json_t *disk_volume(const struct conf *conf, const struct conf_node_volume *nv)
{
	json_t *object = json_object();
	struct meta_volume volume;
	struct meta meta;
	const char *why;

	set_number(object, "number", nv->number);
	for (unsigned int i = 0; i < conf->nr_volumes; i++)
		if (conf->volumes[i].number == nv->number && conf->volumes[i].minor >= 0)
			set_number(object, "minor", conf->volumes[i].minor);
	json_object_set_new(object, "device", json_null());
	set_string(object, "backing", nv->device);
	if (!disks_read_meta(nv->device, &meta, &volume, &why))
		set_number(object, "size_bytes", volume.size_sectors * REPRISE_SECTOR_BYTES);
	else
		set_string(object, "text", why);
	return object;
}

static void add_position(json_t *object, const struct meta *meta)
{
	const struct meta_timeline *timeline = meta_current(meta);

	if (timeline)
		json_object_set_new(object, "timeline",
				    timeline_object(timeline->generation, timeline->id));
	set_number(object, "applied", meta->applied);
	if (meta->left)
		set_number(object, "left_at", meta->left_seq);
}

static json_t *from_disk(const struct conf *conf, const struct conf_node *node,
			 const struct look *look)
{
	json_t *object, *volumes = json_array(), *peers = json_array();
	struct meta_volume volume;
	struct meta meta;
	const char *why;
	char text[400];

	if (disks_read_meta(node->volumes[0].device, &meta, &volume, &why)) {
		json_decref(volumes);
		json_decref(peers);
		snprintf(text, sizeof(text), "%s: %s", node->volumes[0].device, why);
		return status_unreadable(conf->name, text);
	}
	object = json_object();
	set_string(object, "name", conf->name);
	as_json_set_id(object, "id", conf->id);
	set_string(object, "node", node->name);
	set_string(object, "source", "disk");
	set_string(object, "role", "secondary");
	set_string(object, "state", meta_state_name(meta.state));
	set_string(object, "state_text", state_words(meta.state));
	set_string(object, "durability", durability_name(meta.durability));
	set_string(object, "on_peer_loss", on_peer_loss_name(meta.on_peer_loss));
	add_position(object, &meta);
	for (unsigned int i = 0; i < node->nr_volumes; i++)
		json_array_append_new(volumes, disk_volume(conf, &node->volumes[i]));
	for (unsigned int i = 0; i < conf->nr_nodes; i++)
		if (&conf->nodes[i] != node)
			json_array_append_new(peers, disk_peer(&conf->nodes[i], &meta, look));
	json_object_set_new(object, "volumes", volumes);
	json_object_set_new(object, "peers", peers);
	set_health(object, "failed", look,
		   "nothing is known to be received; this is what the disk says");
	return object;
}

static json_t *from_configuration(const struct look *look, const char *name)
{
	const struct conf_node *node;
	struct conf conf;
	char text[512];

	if (!resources_try(look->options, name, &conf, text, sizeof(text)))
		return status_unreadable(name, text);
	node = resources_own_node(look->options, &conf, true);
	if (node)
		return from_disk(&conf, node, look);
	snprintf(text, sizeof(text), "none of its nodes is called like this one (see --node)");
	return status_unreadable(name, text);
}

static bool in_list(const struct nl_resource *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i].name, name))
			return true;
	return false;
}

json_t *status_local(const struct options *options, const char *resource, const char *agent)
{
	struct look look = { options, agent };
	struct resource_names names = { .count = 0 };
	struct nl_resource *list = NULL;
	json_t *array = json_array();
	struct nl *nl = NULL;
	size_t count = 0;

	if (!nl_open(&nl) && nl_list(nl, &list, &count))
		count = 0;
	for (size_t i = 0; i < count; i++)
		if (!resource || !strcmp(list[i].name, resource))
			json_array_append_new(array, from_kernel(&list[i], &look));
	if (resource) {
		snprintf(names.names[0], sizeof(names.names[0]), "%s", resource);
		names.count = 1;
	} else if (!resources_list(options, &names)) {
		names.count = 0;
	}
	for (unsigned int i = 0; i < names.count; i++)
		if (!in_list(list, count, names.names[i]))
			json_array_append_new(array, from_configuration(&look, names.names[i]));
	free(list);
	nl_close(nl);
	return array;
}
