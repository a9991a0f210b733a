/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The place of a node's log: made by create, removed by destroy.  A directory
 * of segment files, or a block device in equal slices.
 */
#ifndef REPRISE_LOG_STORE_H
#define REPRISE_LOG_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"

struct log_store {
	const char *path;
	int fd;			/* of the block device (claimed) or directory; -1: no directory yet */
	bool is_block;
	unsigned int nr_old;	/* segment files found */
	uint64_t old_bytes;
};

/* Each says why not and returns false. */

/* Claim the place; changes nothing. */
bool log_store_open(struct log_store *log, const struct conf_node *node);
void log_store_close(struct log_store *log);
/* May a log of @conf be made here?  Room, and without @force nothing that would be lost. */
bool log_store_check(struct log_store *log, const struct conf *conf, bool force);
/* Empty segments, written, flushed. */
bool log_store_make(struct log_store *log, const struct conf *conf);
/* No segment is left that anybody would take for one. */
bool log_store_erase(struct log_store *log, const struct conf *conf);

/* Name of segment @number into @buf (at least 24 bytes); returns @buf. */
const char *log_store_segment_name(unsigned int number, char *buf);
bool log_store_is_segment_name(const char *name);

#endif /* REPRISE_LOG_STORE_H */
