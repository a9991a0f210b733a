// SPDX-License-Identifier: GPL-2.0
/*
 * The claim on a backing device or log.  Log or data on a Reprise device would
 * wait for themselves: refused, also through device mapper and md.
 */
#include "backing.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MAX_STACK_DEPTH = 8 };

int backing_find_major(const char *devices)
{
	const char *line = strstr(devices, "Block devices:");

	while (line && (line = strchr(line, '\n'))) {
		char name[64];
		int major;

		line++;
		if (sscanf(line, " %d %63[^\n]", &major, name) == 2 && !strcmp(name, "reprise"))
			return major;
	}
	return -1;
}

static int own_major(void)
{
	char text[8192];
	FILE *file = fopen("/proc/devices", "re");
	size_t length;

	if (!file)
		return -1;
	length = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[length] = '\0';
	return backing_find_major(text);
}

static bool device_lies_on(dev_t dev, int own, int depth);

static bool slaves_lie_on(const char *path, int own, int depth)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir = opendir(path);

	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		unsigned int slave_major, slave_minor;
		char name[512];
		FILE *file;

		snprintf(name, sizeof(name), "%s/%s/dev", path, entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(name, "re");
		if (!file)
			continue;
		if (fscanf(file, "%u:%u", &slave_major, &slave_minor) == 2)
			found = device_lies_on(makedev(slave_major, slave_minor), own, depth + 1);
		fclose(file);
	}
	closedir(dir);
	return found;
}

static bool device_lies_on(dev_t dev, int own, int depth)
{
	/* A partition has no slaves itself, its disk has. */
	static const char *const places[] = { "slaves", "../slaves" };

	if ((int)major(dev) == own)
		return true;
	if (depth >= MAX_STACK_DEPTH)
		return false;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char path[128];

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev),
			 places[i]);
		if (slaves_lie_on(path, own, depth))
			return true;
	}
	return false;
}

static int refuse_own_device(const struct stat *st)
{
	int own = own_major();

	if (own < 0)
		return 0;
	return device_lies_on(S_ISBLK(st->st_mode) ? st->st_rdev : st->st_dev, own, 0) ? -ELOOP : 0;
}

static int ensure_direct(int fd, struct backing *backing)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	backing->is_buffered = !(flags & O_DIRECT) && fcntl(fd, F_SETFL, flags | O_DIRECT) < 0;
	/* Non-blocking files make io_uring answer EAGAIN instead of waiting. */
	if (flags & O_NONBLOCK)
		return -EINVAL;
	return (flags & O_ACCMODE) == O_RDWR ? 0 : -EROFS;
}

/* Files: what any file system's disk may ask for. */
static int measure(struct backing *backing)
{
	int block_bytes = 4096;

	if (backing->is_block && (ioctl(backing->fd, BLKGETSIZE64, &backing->bytes) < 0 ||
				  ioctl(backing->fd, BLKSSZGET, &block_bytes) < 0))
		return -errno;
	backing->block_bytes = block_bytes;
	return 0;
}

static int take(int fd, const struct stat *st, struct backing *backing)
{
	struct backing taken = {
		.fd = fd,
		.is_block = S_ISBLK(st->st_mode),
		.device = S_ISBLK(st->st_mode) ? st->st_rdev : st->st_dev,
		.bytes = st->st_size,
	};
	int err;

	if (!S_ISBLK(st->st_mode) && !S_ISREG(st->st_mode))
		return -ENOTBLK;
	err = refuse_own_device(st);
	if (err)
		return err;
	err = ensure_direct(fd, &taken);
	if (err)
		return err;
	/*
	 * A block device is ours by O_EXCL; an exclusive lock on top would make
	 * udev postpone every event of the device until we let go.
	 */
	if (flock(fd, (taken.is_block ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	err = measure(&taken);
	if (err)
		return err;
	*backing = taken;
	return 0;
}

int backing_adopt(int fd, struct backing *backing)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return take(fd, &st, backing);
}

int backing_open(const char *path, struct backing *backing)
{
	int flags = O_RDWR | O_CLOEXEC;
	struct stat st;
	int fd, err;

	/* Looked at first: opening may have effects on other kinds of file. */
	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return -ENOTBLK;
	if (S_ISBLK(st.st_mode))
		flags |= O_EXCL;
	fd = open(path, flags);
	if (fd < 0)
		return -errno;
	err = backing_adopt(fd, backing);
	/* Replaced between the two looks: not opened as its kind demands. */
	if (!err && backing->is_block != !!S_ISBLK(st.st_mode))
		err = -ESTALE;
	if (err)
		close(fd);
	return err;
}
