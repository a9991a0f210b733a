// SPDX-License-Identifier: GPL-2.0
/*
 * The configuration directory, for the admin command.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resources.h"
#include "say.h"

bool resources_try(const struct options *options, const char *name, struct conf *conf, char *error,
		   size_t error_bytes)
{
	char path[sizeof(conf->path)];
	int err;

	if (!name[0] || strchr(name, '/') ||
	    (size_t)snprintf(path, sizeof(path), "%s/%s.conf", options->config_dir, name) >=
		    sizeof(path)) {
		snprintf(error, error_bytes, "\"%.64s\" is no resource's name", name);
		return false;
	}
	err = conf_load(path, conf, error, error_bytes);
	if (err == -ENOENT)
		snprintf(error, error_bytes, "resource %s is not configured: there is no %s", name,
			 path);
	return !err;
}

bool resources_load(const struct options *options, const char *name, struct conf *conf)
{
	char error[512];

	if (resources_try(options, name, conf, error, sizeof(error)))
		return true;
	say_error("invalid", NULL, "%s", error);
	return false;
}

const char *resources_node_name(const struct options *options, char *buf, size_t bytes)
{
	if (options->nr_nodes) {
		snprintf(buf, bytes, "%s", options->nodes[options->nr_nodes - 1]);
		return buf;
	}
	if (gethostname(buf, bytes))
		buf[0] = 0;
	buf[bytes - 1] = 0;
	buf[strcspn(buf, ".")] = 0;
	return buf;
}

const struct conf_node *resources_own_node(const struct options *options, const struct conf *conf,
					   bool quiet)
{
	char name[256];
	const struct conf_node *node;

	node = conf_node_by_name(conf, resources_node_name(options, name, sizeof(name)));
	if (!node && !quiet)
		say_error("invalid", "give the name that the configuration uses: --node NAME",
			  "resource %s has no node \"%s\"; it has %s and %s", conf->name, name,
			  conf->nodes[0].name, conf->nodes[1].name);
	return node;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* True: "NAME.conf", NAME copied. */
static bool take_name(const char *file, char *name)
{
	size_t length = strlen(file);

	if (length <= strlen(".conf") || length - strlen(".conf") > REPRISE_NAME_MAX ||
	    file[0] == '.' || strcmp(file + length - strlen(".conf"), ".conf"))
		return false;
	memcpy(name, file, length - strlen(".conf"));
	name[length - strlen(".conf")] = 0;
	return true;
}

bool resources_list(const struct options *options, struct resource_names *list)
{
	DIR *dir = opendir(options->config_dir);
	struct dirent *entry;

	list->count = 0;
	if (!dir && errno == ENOENT)
		return true;
	if (!dir) {
		say_error("io", NULL, "%s cannot be read: %s", options->config_dir,
			  strerror(errno));
		return false;
	}
	while ((entry = readdir(dir)) && list->count < CONF_MAX_RESOURCES)
		list->count += take_name(entry->d_name, list->names[list->count]);
	closedir(dir);
	qsort(list->names, list->count, sizeof(list->names[0]), compare_names);
	return true;
}
