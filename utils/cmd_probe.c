// SPDX-License-Identifier: GPL-2.0
/*
 * probe: for the udev rule.  Prints what udev keeps of a backing device that
 * carries our metadata; exit code 1, silently, if it carries none.
 */
#include <stdio.h>

#include "cmd.h"
#include "disks.h"
#include "say.h"

int cmd_probe(const struct options *options, const struct command *command)
{
	char id[2 * REPRISE_ID_BYTES + 1];
	struct meta_volume volume;
	struct meta meta;
	const char *why;

	(void)command;
	if (disks_read_meta(options->args[0], &meta, &volume, &why))
		return EXIT_REFUSED;
	printf("ID_FS_TYPE=reprise_member\nID_FS_USAGE=other\nID_FS_VERSION=%d\n",
	       REPRISE_META_VERSION);
	printf("REPRISE_RESOURCE=%s\nREPRISE_RESOURCE_ID=%s\nREPRISE_NODE=%s\nREPRISE_VOLUME=%u\n",
	       meta.resource_name, say_hex(meta.resource_id, sizeof(meta.resource_id), id),
	       meta.node_name, volume.number);
	return EXIT_OK;
}
