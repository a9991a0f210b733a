/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel side as node.c reaches it: nl.h's calls behind a small table, so
 * that a test or the simulator can stand in for it.  kernel_nl.c is the real
 * one.  Returns and ownership are nl.h's.
 */
#ifndef REPRISE_KERNEL_H
#define REPRISE_KERNEL_H

#include "env.h"
#include "meta.h"
#include "nl.h"

struct kernel_ops {
	int (*list)(void *ctx, struct nl_resource **list, size_t *count);
	int (*get)(void *ctx, const char *name, struct nl_resource *res);
	int (*start)(void *ctx, const struct nl_resource *res);
	int (*set)(void *ctx, const struct nl_resource *res);
	int (*stop)(void *ctx, const char *name, uint32_t wait_ms, bool force,
		    struct nl_resource *res, uint64_t *seq);
	int (*attach)(void *ctx, const char *name, unsigned int node, int socket_fd,
		      uint64_t session, const uint8_t timeline_id[REPRISE_ID_BYTES],
		      uint64_t position, uint64_t *s0);
	int (*detach)(void *ctx, const char *name, unsigned int node);
	int (*freeze)(void *ctx, const char *name);
	int (*resume)(void *ctx, const char *name);
	/* The last error in words. */
	const char *(*error)(void *ctx);
	/*
	 * The record on a backing device that the kernel holds, read without
	 * claiming it.  0 or -errno with *@why filled with a constant text.
	 */
	int (*peek)(void *ctx, const char *path, struct meta *meta, struct meta_volume *volume,
		    const char **why);
};

struct kernel {
	const struct kernel_ops *ops;
	void *ctx;
};

struct kernel_nl;

/*
 * The real one.  Opens the family when first needed, and again after a
 * failure (the module may be loaded later).  @opened: as agent_options.
 */
struct kernel_nl *kernel_nl_create(void (*opened)(void *ctx), void *ctx);
void kernel_nl_destroy(struct kernel_nl *knl);
void kernel_nl_ops(struct kernel_nl *knl, struct kernel *kernel);

#endif /* REPRISE_KERNEL_H */
