/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A node's backing devices without the agent: claimed for create and destroy,
 * read for everybody else.
 */
#ifndef REPRISE_DISKS_H
#define REPRISE_DISKS_H

#include "backing.h"
#include "conf.h"
#include "meta.h"

struct disks_volume {
	unsigned int number;
	const char *path;
	struct backing backing;
};

/* All volumes of one node, claimed exclusively. */
struct disks {
	struct disks_volume volumes[REPRISE_MAX_VOLUMES];
	unsigned int nr_volumes;
};

/**
 * disks_open - claim every backing device of @node; on failure says why
 *
 * Refuses what is mounted, held or too small, whose blocks are larger than
 * the resource's, and two volumes on the same device.
 */
bool disks_open(struct disks *disks, const struct conf *conf, const struct conf_node *node);
void disks_close(struct disks *disks);

/*
 * The record on @path, which may be in use.  0; -ENOENT: none; -EINVAL,
 * -EPROTONOSUPPORT: one that is not valid; other -errno: not readable.  @why
 * (never NULL on failure) in words.
 */
int disks_read_meta(const char *path, struct meta *meta, struct meta_volume *volume,
		    const char **why);
/* Both copies' raw bytes, REPRISE_META_RECORD_BYTES each.  0 or -errno. */
int disks_read_copies(const char *path, void *copy0, void *copy1, uint64_t *device_bytes);

/* Write @meta as records 0 and 1 on all volumes, flushed.  Says why not. */
bool disks_write_meta(const struct disks *disks, struct meta *meta);
/* The metadata area of all volumes reads as zeros, flushed.  Says why not. */
bool disks_erase_meta(const struct disks *disks);

/* Say in words why @path could not be claimed; always returns false. */
bool disks_say_open_error(const char *path, int err);

#endif /* REPRISE_DISKS_H */
