/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which resources are configured, and which node of them this machine is.
 */
#ifndef REPRISE_RESOURCES_H
#define REPRISE_RESOURCES_H

#include "conf.h"
#include "options.h"

/* Read the configuration of @name; on failure says why and returns false. */
bool resources_load(const struct options *options, const char *name, struct conf *conf);
/* The same without a word: @error gets it. */
bool resources_try(const struct options *options, const char *name, struct conf *conf,
		   char *error, size_t error_bytes);
/* Own node: --node, else the host's name; NULL: none of the resource's (said unless @quiet). */
const struct conf_node *resources_own_node(const struct options *options, const struct conf *conf,
					   bool quiet);
/* Own node's name into @buf. */
const char *resources_node_name(const struct options *options, char *buf, size_t bytes);

struct resource_names {
	char names[CONF_MAX_RESOURCES][REPRISE_NAME_MAX + 1];
	unsigned int count;
};

/* All configured resources, sorted.  Return: false after having said why. */
bool resources_list(const struct options *options, struct resource_names *list);

#endif /* REPRISE_RESOURCES_H */
