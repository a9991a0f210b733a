// SPDX-License-Identifier: GPL-2.0
/*
 * destroy: this node's copy of a resource ends.  Only what makes it a copy is
 * erased, metadata and log; the data stays on the device.
 */
#include <string.h>

#include "cmd.h"
#include "disks.h"
#include "log_store.h"
#include "resources.h"
#include "say.h"

static bool check_volume(const struct disks_volume *v, const struct conf *conf)
{
	struct meta_volume volume;
	struct meta meta;
	const char *why;
	int err = disks_read_meta(v->path, &meta, &volume, &why);

	if (err) {
		say_error("unsafe", "to erase the place where it would be: --force",
			  "%s holds no valid metadata: %s", v->path, why);
		return false;
	}
	if (!memcmp(meta.resource_id, conf->id, sizeof(conf->id)))
		return true;
	say_error("unsafe", "correct the configuration; to erase it all the same: --force",
		  "%s belongs to another resource: %s (node %s)", v->path, meta.resource_name,
		  meta.node_name);
	return false;
}

static bool destroy(const struct disks *disks, struct log_store *log, const struct conf *conf,
		    const struct options *options)
{
	for (unsigned int i = 0; i < disks->nr_volumes && !options->force; i++)
		if (!check_volume(&disks->volumes[i], conf))
			return false;
	if (!options->yes &&
	    !say_confirm("Resource %s: its metadata and log on this node will be erased. Go on?",
			 conf->name)) {
		say_error("refused", NULL, "nothing was changed");
		return false;
	}
	return disks_erase_meta(disks) && log_store_erase(log, conf);
}

int cmd_destroy(const struct options *options, const struct command *command)
{
	const struct conf_node *node;
	struct log_store log;
	struct disks disks;
	struct conf conf;
	bool good;

	(void)command;
	if (!resources_load(options, options->args[0], &conf))
		return EXIT_REFUSED;
	node = resources_own_node(options, &conf, false);
	if (!node || !disks_open(&disks, &conf, node))
		return EXIT_REFUSED;
	good = log_store_open(&log, node);
	if (good) {
		good = destroy(&disks, &log, &conf, options);
		log_store_close(&log);
	}
	disks_close(&disks);
	if (!good)
		return EXIT_REFUSED;
	return say_done(json_pack("{s:s, s:s}", "resource", conf.name, "node", node->name),
			"%s: no longer on %s; the data is still on its device%s", conf.name,
			node->name, node->nr_volumes == 1 ? "" : "s");
}
