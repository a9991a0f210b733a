// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel module through netlink.  The family's absence is no error until
 * somebody wants to become primary: a node without the module can still be a
 * replica.
 */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <linux/fs.h>
#include <unistd.h>

struct kernel_nl {
	struct nl *nl;
	int open_error;
	void (*opened)(void *ctx);
	void *ctx;
};

struct kernel_nl *kernel_nl_create(void (*opened)(void *ctx), void *ctx)
{
	struct kernel_nl *knl = calloc(1, sizeof(*knl));

	if (knl) {
		knl->opened = opened;
		knl->ctx = ctx;
	}
	return knl;
}

void kernel_nl_destroy(struct kernel_nl *knl)
{
	if (knl->nl)
		nl_close(knl->nl);
	free(knl);
}

static int ready(struct kernel_nl *knl)
{
	if (knl->nl)
		return 0;
	knl->open_error = nl_open(&knl->nl);
	if (knl->open_error) {
		knl->nl = NULL;
		return knl->open_error;
	}
	if (knl->opened)
		knl->opened(knl->ctx);
	return 0;
}

static int knl_list(void *ctx, struct nl_resource **list, size_t *count)
{
	struct kernel_nl *knl = ctx;
	int err = ready(knl);

	return err ? err : nl_list(knl->nl, list, count);
}

static int knl_get(void *ctx, const char *name, struct nl_resource *res)
{
	struct kernel_nl *knl = ctx;
	int err = ready(knl);

	return err ? err : nl_get(knl->nl, name, res);
}

static int knl_start(void *ctx, const struct nl_resource *res)
{
	struct kernel_nl *knl = ctx;
	int err = ready(knl);

	if (err)
		return err;
	if (knl->opened)
		knl->opened(knl->ctx);
	return nl_start(knl->nl, res);
}

static int knl_set(void *ctx, const struct nl_resource *res)
{
	struct kernel_nl *knl = ctx;
	int err = ready(knl);

	return err ? err : nl_set(knl->nl, res);
}

static int knl_stop(void *ctx, const char *name, uint32_t wait_ms, bool force,
		    struct nl_resource *res, uint64_t *seq)
{
	struct kernel_nl *knl = ctx;
	int err = ready(knl);

	return err ? err : nl_stop(knl->nl, name, wait_ms, force, res, seq);
}

static int knl_attach(void *ctx, const char *name, unsigned int node, int socket_fd,
		      uint64_t session, const uint8_t timeline_id[REPRISE_ID_BYTES],
		      uint64_t position, uint64_t *s0)
{
	struct kernel_nl *knl = ctx;
	int err = ready(knl);

	return err ? err : nl_attach(knl->nl, name, node, socket_fd, session, timeline_id,
				     position, s0);
}

static int knl_detach(void *ctx, const char *name, unsigned int node)
{
	struct kernel_nl *knl = ctx;
	int err = ready(knl);

	return err ? err : nl_detach(knl->nl, name, node);
}

static int knl_freeze(void *ctx, const char *name)
{
	struct kernel_nl *knl = ctx;
	int err = ready(knl);

	return err ? err : nl_freeze(knl->nl, name);
}

static int knl_resume(void *ctx, const char *name)
{
	struct kernel_nl *knl = ctx;
	int err = ready(knl);

	return err ? err : nl_resume(knl->nl, name);
}

static const char *knl_error(void *ctx)
{
	struct kernel_nl *knl = ctx;

	if (knl->nl)
		return nl_error(knl->nl);
	if (knl->open_error == -ENOENT)
		return "the kernel module reprise is not loaded (modprobe reprise)";
	return strerror(-knl->open_error);
}

static int device_bytes(int fd, uint64_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*bytes = st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, bytes) < 0)
		return -errno;
	return 0;
}

static int read_copies(int fd, void *copies, uint64_t bytes)
{
	for (unsigned int i = 0; i < 2; i++) {
		ssize_t got = pread(fd, (char *)copies + i * REPRISE_META_RECORD_BYTES,
				    REPRISE_META_RECORD_BYTES, meta_copy_offset(bytes, i));

		if (got != REPRISE_META_RECORD_BYTES)
			return got < 0 ? -errno : -EIO;
	}
	return 0;
}

static int peek_fd(int fd, struct meta *meta, struct meta_volume *volume, const char **why)
{
	char *copies = aligned_alloc(4096, 2 * REPRISE_META_RECORD_BYTES);
	uint64_t bytes = 0;
	int err = copies ? device_bytes(fd, &bytes) : -ENOMEM;

	*why = "cannot be read";
	if (!err && !meta_area_offset(bytes))
		err = -ENOSPC;
	if (!err)
		err = read_copies(fd, copies, bytes);
	if (!err)
		err = meta_choose(copies, copies + REPRISE_META_RECORD_BYTES, meta, volume, why);
	free(copies);
	return err;
}

/* O_DIRECT: the page cache of the device may be older than what the kernel wrote. */
static int knl_peek(void *ctx, const char *path, struct meta *meta, struct meta_volume *volume,
		    const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
	int err;

	(void)ctx;
	*why = "cannot be opened";
	if (fd < 0)
		return -errno;
	err = peek_fd(fd, meta, volume, why);
	close(fd);
	return err;
}

void kernel_nl_ops(struct kernel_nl *knl, struct kernel *kernel)
{
	static const struct kernel_ops ops = {
		.list = knl_list,
		.get = knl_get,
		.start = knl_start,
		.set = knl_set,
		.stop = knl_stop,
		.attach = knl_attach,
		.detach = knl_detach,
		.freeze = knl_freeze,
		.resume = knl_resume,
		.error = knl_error,
		.peek = knl_peek,
	};

	*kernel = (struct kernel){ .ops = &ops, .ctx = knl };
}
