// SPDX-License-Identifier: GPL-2.0
/*
 * dump meta: both copies of the record on a backing device, and everything
 * that the valid one says.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "as_json.h"
#include "conf.h"
#include "disks.h"
#include "dump.h"
#include "say.h"

struct copy {
	char buf[REPRISE_META_RECORD_BYTES];
	struct meta meta;
	struct meta_volume volume;
	const char *why; /* NULL: valid */
};

static void decode(struct copy *copy)
{
	copy->why = NULL;
	if (meta_decode(copy->buf, &copy->meta, &copy->volume, &copy->why) && !copy->why)
		copy->why = "invalid";
}

static json_t *peers_array(const struct meta *m)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < m->nr_peers; i++)
		json_array_append_new(
			array, json_pack("{s:i, s:b, s:I, s:I}", "node", (int)m->peers[i].node,
					 "absent", m->peers[i].absent, "since_seq",
					 (json_int_t)m->peers[i].since_seq, "since_realtime_ns",
					 (json_int_t)m->peers[i].since_realtime_ns));
	return array;
}

static json_t *record_object(const struct meta *m, const struct meta_volume *v)
{
	char id[2 * REPRISE_ID_BYTES + 1], log_id[2 * REPRISE_ID_BYTES + 1];
	json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:s}", "number",
			      (json_int_t)m->number, "resource", m->resource_name, "resource_id",
			      say_hex(m->resource_id, REPRISE_ID_BYTES, id), "log_id",
			      say_hex(m->log_id, REPRISE_ID_BYTES, log_id), "node_name",
			      m->node_name, "node", (int)m->node, "volume", (int)v->number,
			      "nr_volumes", (int)m->nr_volumes, "state", meta_state_name(m->state));
	json_t *timelines = json_array();

	for (unsigned int i = 0; i < m->nr_timelines; i++)
		json_array_append_new(timelines, as_json_timeline(&m->timelines[i]));
	json_object_update_new(o, json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
					    "durability", durability_name(m->durability),
					    "on_peer_loss", on_peer_loss_name(m->on_peer_loss),
					    "logical_block_bytes", (int)m->logical_block_bytes,
					    "size_sectors", (json_int_t)v->size_sectors,
					    "device_sectors", (json_int_t)v->device_sectors,
					    "applied", (json_int_t)m->applied, "commit",
					    (json_int_t)m->commit, "log_ordinal",
					    (json_int_t)m->log_ordinal, "realtime_ns",
					    (json_int_t)m->realtime_ns, "timelines", timelines,
					    "peers", peers_array(m)));
	if (m->left)
		json_object_set_new(o, "left_seq", json_integer(m->left_seq));
	return o;
}

static void print_timelines(const struct meta *m)
{
	char id[2 * REPRISE_ID_BYTES + 1], parent[2 * REPRISE_ID_BYTES + 1], when[32];

	for (unsigned int i = 0; i < m->nr_timelines; i++) {
		const struct meta_timeline *t = &m->timelines[i];

		printf("  timeline %" PRIu64 ": %s, %s after %" PRIu64
		       " of %.8s, opened by node %u at %s\n",
		       t->generation, say_hex(t->id, sizeof(t->id), id), meta_fork_name(t->kind),
		       t->fork_seq, say_hex(t->parent, sizeof(t->parent), parent), t->opener,
		       say_time(t->opened_realtime_ns, when));
	}
}

static void print_record(const struct meta *m, const struct meta_volume *v)
{
	char id[2 * REPRISE_ID_BYTES + 1], log_id[2 * REPRISE_ID_BYTES + 1], when[32], size[24];

	printf("  volume %u of %u of resource %s (%s)\n", v->number, m->nr_volumes,
	       m->resource_name, say_hex(m->resource_id, REPRISE_ID_BYTES, id));
	printf("  node %u (%s), log %s\n", m->node, m->node_name,
	       say_hex(m->log_id, REPRISE_ID_BYTES, log_id));
	printf("  size %s, device %" PRIu64 " sectors, blocks of %u\n",
	       say_size(v->size_sectors * REPRISE_SECTOR_BYTES, size), v->device_sectors,
	       m->logical_block_bytes);
	printf("  record %" PRIu64 " of %s: state %s, applied %" PRIu64 ", committed %" PRIu64
	       ", log begun up to segment %" PRIu64, m->number, say_time(m->realtime_ns, when),
	       meta_state_name(m->state), m->applied, m->commit, m->log_ordinal);
	if (m->left)
		printf(", timeline left at %" PRIu64, m->left_seq);
	printf("\n  durability %s, on loss of a peer: %s\n", durability_name(m->durability),
	       on_peer_loss_name(m->on_peer_loss));
	for (unsigned int i = 0; i < m->nr_peers; i++)
		printf("  node %u: %s %" PRIu64 "\n", m->peers[i].node,
		       m->peers[i].absent ? "writes were completed without it after" :
					    "nothing held against it, at",
		       m->peers[i].since_seq);
	print_timelines(m);
}

static int show(const char *path, struct copy *copies, uint64_t device_bytes)
{
	json_t *array = json_array(), *object;
	struct meta_volume volume;
	struct meta meta;
	const char *why = NULL;
	int err = meta_choose(copies[0].buf, copies[1].buf, &meta, &volume, &why);

	for (int i = 0; i < 2; i++) {
		uint64_t offset = meta_copy_offset(device_bytes, i);

		decode(&copies[i]);
		json_array_append_new(array,
				      json_pack("{s:I, s:b, s:s*}", "offset", (json_int_t)offset,
						"valid", !copies[i].why, "why", copies[i].why));
		if (say_is_json())
			continue;
		printf("%s, copy %d at offset %" PRIu64 ": ", path, i, offset);
		if (copies[i].why)
			printf("invalid: %s\n", copies[i].why);
		else
			printf("record %" PRIu64 ", valid\n", copies[i].meta.number);
	}
	if (say_is_json()) {
		object = json_pack("{s:b, s:s, s:o}", "ok", !err, "path", path, "copies", array);
		if (!err)
			json_object_set_new(object, "record", record_object(&meta, &volume));
		say_json(object);
	} else {
		json_decref(array);
		if (!err)
			print_record(&meta, &volume);
	}
	return err ? EXIT_REFUSED : EXIT_OK;
}

int dump_meta(const struct options *options, const char *path)
{
	struct copy *copies = calloc(2, sizeof(*copies));
	uint64_t device_bytes;
	int err;

	(void)options;
	if (!copies)
		return say_error("io", NULL, "out of memory");
	err = disks_read_copies(path, copies[0].buf, copies[1].buf, &device_bytes);
	if (!err)
		err = show(path, copies, device_bytes);
	else
		err = say_error("io", NULL, "%s: %s", path,
				err == -ENOSPC ? "too small to hold metadata" : strerror(-err));
	free(copies);
	return err;
}
