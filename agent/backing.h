/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Opening a store or a log's home so that nobody else has it: exclusive for
 * block devices, flock'ed in any case, and never on a device of our own.
 */
#ifndef REPRISE_BACKING_H
#define REPRISE_BACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct backing {
	int fd;
	bool is_block;
	bool is_buffered;	/* the file system knows no O_DIRECT */
	dev_t device;		/* that it is, or lies on */
	uint64_t bytes;
	unsigned int block_bytes;	/* O_DIRECT comes in multiples of this */
};

/**
 * backing_open - open a block device or regular file, O_RDWR | O_DIRECT
 * @backing: filled on success; the caller closes the descriptor
 *
 * Return: 0, -EBUSY: somebody else has it, -ELOOP: it lies on a Reprise
 * device, -ENOTBLK: neither block device nor regular file, or another -errno.
 */
int backing_open(const char *path, struct backing *backing);
/* The same checks for a descriptor that is open; it stays the caller's on failure. */
int backing_adopt(int fd, struct backing *backing);

/* The major number of "reprise" in the text of /proc/devices; -1: none. */
int backing_find_major(const char *devices);

#endif /* REPRISE_BACKING_H */
