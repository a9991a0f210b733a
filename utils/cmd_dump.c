// SPDX-License-Identifier: GPL-2.0
/*
 * dump: an offline look at what stands on disk.
 */
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "dump.h"
#include "say.h"

int cmd_dump(const struct options *options, const struct command *command)
{
	const char *what = options->args[0], *path = options->args[1];

	if (!strcmp(what, "frames"))
		return dump_frames(options, path);
	if (!strcmp(what, "log"))
		return dump_log(options, path);
	if (!strcmp(what, "meta"))
		return dump_meta(options, path);
	fprintf(stderr, "reprise %s: \"%s\" is not one of frames, log, meta\n", command->name,
		what);
	return EXIT_USAGE;
}
