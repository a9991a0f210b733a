// SPDX-License-Identifier: GPL-2.0
/*
 * Zeros: by the device (BLKZEROOUT), by a hole (regular files, and then
 * checked), and where neither works by writing them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "say.h"
#include "zero.h"

enum {
	WRITE_BYTES = 1 << 20,
	ZEROOUT_BYTES = 128 << 20, /* one call to the device: progress stays visible */
};

static void report(const char *label, uint64_t done, uint64_t length)
{
	if (label)
		say_progress(length ? done * 100 / length : 100, "%s", label);
}

static int write_zeros(int fd, const void *zeros, uint64_t offset, uint64_t length,
		       const char *label)
{
	uint64_t done = 0;

	while (done < length) {
		uint64_t left = length - done;
		ssize_t n =
			pwrite(fd, zeros, left < WRITE_BYTES ? left : WRITE_BYTES, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += n;
		if (done % (16 * WRITE_BYTES) == 0 || done == length)
			report(label, done, length);
	}
	return fsync(fd) ? -errno : 0;
}

int zero_write(int fd, uint64_t offset, uint64_t length, const char *label)
{
	void *zeros = aligned_alloc(4096, WRITE_BYTES);
	int err;

	if (!zeros)
		return -ENOMEM;
	memset(zeros, 0, WRITE_BYTES);
	err = write_zeros(fd, zeros, offset, length, label);
	free(zeros);
	return err;
}

static int zero_out(int fd, uint64_t offset, uint64_t length, const char *label)
{
	for (uint64_t done = 0; done < length;) {
		uint64_t left = length - done;
		uint64_t range[2] = { offset + done, left < ZEROOUT_BYTES ? left : ZEROOUT_BYTES };

		if (ioctl(fd, BLKZEROOUT, range))
			return -errno;
		done += range[1];
		report(label, done, length);
	}
	return fsync(fd) ? -errno : 0;
}

/* A hole reads as zeros; that there is one is looked up, not believed. */
static int punch(int fd, uint64_t offset, uint64_t length)
{
	off_t data;

	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length))
		return -errno;
	data = lseek(fd, offset, SEEK_DATA);
	if (data < 0 && errno != ENXIO)
		return -errno;
	if (data >= 0 && (uint64_t)data < offset + length)
		return -EOPNOTSUPP;
	return fsync(fd) ? -errno : 0;
}

int zero_range(int fd, bool is_block, uint64_t offset, uint64_t length, const char *label)
{
	int err = is_block ? zero_out(fd, offset, length, label) : punch(fd, offset, length);

	if (err != -EOPNOTSUPP && err != -EINVAL && err != -ENOTTY)
		return err;
	return zero_write(fd, offset, length, label);
}
