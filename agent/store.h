/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The files of one node's copy: backing devices and log segments, opened
 * exclusively, and the metadata record that must agree with the
 * configuration before anything else happens.
 */
#ifndef REPRISE_STORE_H
#define REPRISE_STORE_H

#include "conf.h"
#include "env.h"
#include "meta.h"
#include "nl.h"
#include "replica.h"

enum {
	STORE_MAX_SEGMENTS = 4096,
	STORE_ERROR_BYTES = 512,
};

struct store {
	struct env *env;
	const struct conf *conf;
	const struct conf_node *self;
	struct replica_volume volumes[REPRISE_MAX_VOLUMES];
	unsigned int nr_volumes;		/* opened */
	struct replica_segment *segments;
	unsigned int nr_segments;
	struct env_file *log_device;		/* all segments are slices of it */
	unsigned int nr_segment_files;

	struct meta meta;			/* of the first volume, when checked */
	bool have_meta;
	char error[STORE_ERROR_BYTES];
	const char *code;

	/* store_check() */
	void (*checked)(void *ctx, int error);
	void *ctx;
	unsigned int checking;
	void *copies;
	struct store_read {
		struct env_io io;
		struct iovec iov;
		struct store *store;
	} reads[2];
	unsigned int reading;
	int io_error;
};

/* @conf and @self must outlive the store. */
void store_init(struct store *store, struct env *env, const struct conf *conf,
		const struct conf_node *self);
/* 0 or -errno with @error and @code filled; what was opened stays until store_close(). */
int store_open_volumes(struct store *store);
int store_open_log(struct store *store);
/* Volumes that the kernel gave back: descriptors in @res, taken over, or closed. */
int store_adopt_volumes(struct store *store, const struct nl_resource *res);
/*
 * Read every volume's record and compare it with the configuration.  @checked
 * is called later: 0, or -errno with @error and @code filled.
 */
void store_check(struct store *store, void (*checked)(void *ctx, int error), void *ctx);
/* Close the backing devices only (the kernel has them), or everything. */
void store_close_volumes(struct store *store);
void store_close(struct store *store);

/*
 * Does a record of @volume fit this node's configuration?  0, or -EINVAL with
 * @text saying what differs.  Pure.
 */
int store_compare(const struct conf *conf, const struct conf_node *self, unsigned int number,
		  uint64_t device_bytes, const struct meta *meta,
		  const struct meta_volume *volume, char *text, size_t bytes);

#endif /* REPRISE_STORE_H */
