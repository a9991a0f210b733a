// SPDX-License-Identifier: GPL-2.0
/*
 * create: this node's copy of a resource comes into being.  All that can be
 * refused is refused before the first byte is written; the metadata is
 * written last, so that an interrupted create leaves a device that nobody
 * takes for a copy.
 */
#include <errno.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"
#include "disks.h"
#include "log_store.h"
#include "resources.h"
#include "say.h"
#include "signature.h"
#include "zero.h"

static bool check_meta(const struct disks_volume *v)
{
	struct meta_volume volume;
	struct meta meta;
	const char *why;
	int err = disks_read_meta(v->path, &meta, &volume, &why);

	if (err == -EPROTONOSUPPORT) {
		say_error("unsafe", "if that may be destroyed: --force",
			  "%s holds Reprise metadata of a version that this one does not know",
			  v->path);
		return false;
	}
	if (err)
		return true;
	say_error("unsafe", "if that copy may be destroyed: --force",
		  "%s already holds volume %u of resource %s (node %s)", v->path, volume.number,
		  meta.resource_name, meta.node_name);
	return false;
}

/* A file system is what --keep-data keeps: it only must not reach into the metadata. */
static bool check_kept(const struct disks_volume *v, const struct signature *found)
{
	uint64_t usable = meta_area_offset(v->backing.bytes);
	char size[24];

	if (!found->count)
		return true;
	if (found->count > 1 || !found->file_system_bytes) {
		say_error("unsafe", "if it leaves the last 1 MiB of the device unused: --force",
			  "%s holds %s, and how far that reaches is not known", v->path,
			  found->words);
		return false;
	}
	if (found->file_system_bytes <= usable)
		return true;
	say_error("unsafe", "shrink it first (resize2fs), or make the device 1 MiB larger",
		  "the file system on %s (%s) reaches into the last 1 MiB, which is for metadata; "
		  "%s are usable",
		  v->path, found->words, say_size(usable, size));
	return false;
}

static bool check_signatures(const struct disks_volume *v, bool keep_data)
{
	struct signature found;
	int err = signature_find(v->path, &found);

	if (err) {
		say_error("io", NULL, "%s cannot be examined: %s", v->path, strerror(-err));
		return false;
	}
	if (keep_data)
		return check_kept(v, &found);
	if (!found.count)
		return true;
	say_error("unsafe", "if that may be destroyed: --force; to keep it: --keep-data",
		  "%s holds: %s", v->path, found.words);
	return false;
}

static bool check_volumes(const struct disks *disks, const struct options *options)
{
	for (unsigned int i = 0; i < disks->nr_volumes && !options->force; i++)
		if (!check_meta(&disks->volumes[i]) ||
		    !check_signatures(&disks->volumes[i], options->keep_data))
			return false;
	return true;
}

static uint64_t realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static bool random_bytes(void *buf, size_t bytes)
{
	if (RAND_bytes(buf, bytes) == 1)
		return true;
	say_error("io", NULL, "the system gives no random numbers");
	return false;
}

/* Timeline 0, "all zeros", is the same for every node: nothing of it is own. */
static bool fill_timelines(struct meta *meta, const struct options *options)
{
	struct meta_timeline *timeline = &meta->timelines[0];

	meta->state = options->blank ? REPRISE_STORE_BLANK : REPRISE_STORE_CLEAN;
	meta->nr_timelines = !options->blank;
	timeline->kind = REPRISE_FORK_ORIGIN;
	if (!options->keep_data)
		return true;
	timeline->generation = 1;
	timeline->opener = meta->node;
	timeline->opened_realtime_ns = meta->realtime_ns;
	return random_bytes(timeline->id, sizeof(timeline->id));
}

static bool fill_meta(struct meta *meta, const struct conf *conf, const struct conf_node *node,
		      const struct options *options)
{
	*meta = (struct meta){
		.node = node->id,
		.nr_volumes = conf->nr_volumes,
		.durability = conf->durability,
		.on_peer_loss = conf->on_peer_loss,
		.logical_block_bytes = conf->logical_block_bytes,
		.realtime_ns = realtime_ns(),
	};
	memcpy(meta->resource_id, conf->id, sizeof(meta->resource_id));
	strcpy(meta->resource_name, conf->name);
	strcpy(meta->node_name, node->name);
	return random_bytes(meta->log_id, sizeof(meta->log_id)) && fill_timelines(meta, options);
}

static bool zero_volumes(const struct disks *disks)
{
	for (unsigned int i = 0; i < disks->nr_volumes; i++) {
		const struct disks_volume *v = &disks->volumes[i];
		char label[320];
		int err;

		snprintf(label, sizeof(label), "zeroing %s", v->path);
		err = zero_range(v->backing.fd, v->backing.is_block, 0,
				 meta_area_offset(v->backing.bytes), label);
		if (!err)
			continue;
		say_error("io", "look into the kernel's log; nothing was created",
			  "%s cannot be zeroed: %s", v->path, strerror(-err));
		return false;
	}
	return true;
}

static bool ask(const struct disks *disks, const struct conf *conf, const struct options *options)
{
	char paths[512] = "";
	size_t used = 0;

	for (unsigned int i = 0; i < disks->nr_volumes && used < sizeof(paths); i++)
		used += snprintf(paths + used, sizeof(paths) - used, " %s", disks->volumes[i].path);
	if (options->yes ||
	    say_confirm("Resource %s: %s of%s will be overwritten. Go on?", conf->name,
			options->keep_data ? "the last 1 MiB" : "the content", paths))
		return true;
	say_error("refused", NULL, "nothing was changed");
	return false;
}

static bool create(struct disks *disks, struct log_store *log, const struct conf *conf,
		   const struct conf_node *node, const struct options *options)
{
	struct meta meta;

	return check_volumes(disks, options) && log_store_check(log, conf, options->force) &&
	       ask(disks, conf, options) && fill_meta(&meta, conf, node, options) &&
	       disks_erase_meta(disks) && log_store_make(log, conf) &&
	       (options->keep_data || options->blank || zero_volumes(disks)) &&
	       disks_write_meta(disks, &meta);
}

/* DESIGN: the log holds what is unapplied and what the primary has not flushed, four times. */
static void advise_log_size(const struct conf *conf)
{
	uint64_t advised = 4 * ((64ULL << 20) + conf->unapplied_bytes);
	char have[24], want[24];

	if (conf->log_bytes < advised)
		say_note("%s: 'log-size' is %s; with less than %s the log may fill up under load",
			 conf->name, say_size(conf->log_bytes, have), say_size(advised, want));
}

int cmd_create(const struct options *options, const struct command *command)
{
	const struct conf_node *node;
	struct log_store log;
	struct disks disks;
	struct conf conf;
	bool good;

	(void)command;
	if (options->keep_data && options->blank) {
		fprintf(stderr, "reprise create: --keep-data and --blank exclude each other\n");
		return EXIT_USAGE;
	}
	if (!resources_load(options, options->args[0], &conf))
		return EXIT_REFUSED;
	node = resources_own_node(options, &conf, false);
	if (!node || !disks_open(&disks, &conf, node))
		return EXIT_REFUSED;
	good = log_store_open(&log, node);
	if (good) {
		advise_log_size(&conf);
		good = create(&disks, &log, &conf, node, options);
		log_store_close(&log);
	}
	disks_close(&disks);
	if (!good)
		return EXIT_REFUSED;
	return say_done(json_pack("{s:s, s:s}", "resource", conf.name, "node", node->name),
			"%s: created on %s%s; next: reprise up %s", conf.name, node->name,
			options->keep_data ? ", keeping the data" :
			options->blank	   ? ", blank: it needs a peer's content" :
					     ", all zeros",
			conf.name);
}
