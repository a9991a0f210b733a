/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What dump can show.  Each returns its exit code: EXIT_REFUSED also if
 * something is there that fails a check.
 */
#ifndef REPRISE_DUMP_H
#define REPRISE_DUMP_H

#include "options.h"

int dump_log(const struct options *options, const char *path);
int dump_frames(const struct options *options, const char *path);
int dump_meta(const struct options *options, const char *path);

#endif /* REPRISE_DUMP_H */
