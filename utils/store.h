/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A node's backing devices without the agent: claimed for create and destroy,
 * read for everybody else.
 */
#ifndef REPRISE_STORE_H
#define REPRISE_STORE_H

#include "backing.h"
#include "conf.h"
#include "meta.h"

struct store_volume {
	unsigned int number;
	const char *path;
	struct backing backing;
};

/* All volumes of one node, claimed exclusively. */
struct store {
	struct store_volume volumes[REPRISE_MAX_VOLUMES];
	unsigned int nr_volumes;
};

/**
 * store_open - claim every backing device of @node; on failure says why
 *
 * Refuses what is mounted, held or too small, whose blocks are larger than
 * the resource's, and two volumes on the same device.
 */
bool store_open(struct store *store, const struct conf *conf, const struct conf_node *node);
void store_close(struct store *store);

/*
 * The record on @path, which may be in use.  0; -ENOENT: none; -EINVAL,
 * -EPROTONOSUPPORT: one that is not valid; other -errno: not readable.  @why
 * (never NULL on failure) in words.
 */
int store_read_meta(const char *path, struct meta *meta, struct meta_volume *volume,
		    const char **why);
/* Both copies' raw bytes, REPRISE_META_RECORD_BYTES each.  0 or -errno. */
int store_read_copies(const char *path, void *copy0, void *copy1, uint64_t *device_bytes);

/* Write @meta as records 0 and 1 on all volumes, flushed.  Says why not. */
bool store_write_meta(const struct store *store, struct meta *meta);
/* The metadata area of all volumes reads as zeros, flushed.  Says why not. */
bool store_erase_meta(const struct store *store);

/* Say in words why @path could not be claimed; always returns false. */
bool store_say_open_error(const char *path, int err);

#endif /* REPRISE_STORE_H */
