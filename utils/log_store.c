// SPDX-License-Identifier: GPL-2.0
/*
 * Log segments on disk, as long as nothing is in them.  The space of a
 * directory's segments is really written, not only reserved, so that the
 * replica never waits for an allocation.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../kmod/uapi/reprise_meta.h"
#include "backing.h"
#include "disks.h"
#include "log_store.h"
#include "say.h"
#include "signature.h"
#include "zero.h"

#define PREFIX "segment."

const char *log_store_segment_name(unsigned int number, char *buf)
{
	snprintf(buf, 24, PREFIX "%04u", number);
	return buf;
}

bool log_store_is_segment_name(const char *name)
{
	size_t length = strlen(name);

	return length >= strlen(PREFIX "0000") && !strncmp(name, PREFIX, strlen(PREFIX)) &&
	       strspn(name + strlen(PREFIX), "0123456789") == length - strlen(PREFIX);
}

static bool io_error(const char *path, const char *what, int err)
{
	say_error("io", NULL, "%s %s: %s", path, what, strerror(-err));
	return false;
}

/* Called for each segment file of a directory; false ends it. */
typedef bool (*segment_fn)(struct log_store *log, const char *name);

static bool each_segment(struct log_store *log, segment_fn fn)
{
	int fd = openat(log->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool good = true;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return io_error(log->path, "cannot be read", -errno);
	}
	while (good && (entry = readdir(dir)))
		if (log_store_is_segment_name(entry->d_name))
			good = fn(log, entry->d_name);
	closedir(dir);
	return good;
}

static bool count_segment(struct log_store *log, const char *name)
{
	int fd = openat(log->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	bool busy;

	if (fd < 0 || fstat(fd, &st)) {
		if (fd >= 0)
			close(fd);
		return io_error(name, "cannot be opened", -errno);
	}
	log->nr_old++;
	log->old_bytes += (uint64_t)st.st_blocks * 512;
	busy = flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
	close(fd);
	if (!busy)
		return true;
	say_error("busy", "'reprise down' first", "the log in %s is in use by an agent", log->path);
	return false;
}

static bool open_block(struct log_store *log)
{
	struct backing backing;
	int err = backing_open(log->path, &backing);

	if (err)
		return disks_say_open_error(log->path, err);
	log->fd = backing.fd;
	log->is_block = true;
	return true;
}

bool log_store_open(struct log_store *log, const struct conf_node *node)
{
	struct stat st;

	*log = (struct log_store){ .path = node->log, .fd = -1 };
	if (stat(log->path, &st))
		return errno == ENOENT || io_error(log->path, "cannot be used", -errno);
	if (S_ISBLK(st.st_mode))
		return open_block(log);
	if (!S_ISDIR(st.st_mode)) {
		say_error("invalid", NULL, "the log %s is neither a directory nor a block device",
			  log->path);
		return false;
	}
	log->fd = open(log->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->fd < 0)
		return io_error(log->path, "cannot be opened", -errno);
	if (each_segment(log, count_segment))
		return true;
	log_store_close(log);
	return false;
}

void log_store_close(struct log_store *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}

static bool check_block(struct log_store *log, const struct conf *conf, bool force)
{
	off_t bytes = lseek(log->fd, 0, SEEK_END);
	char have[24], want[24];
	struct signature found;
	int err;

	if (bytes < 0 || (uint64_t)bytes < conf->log_bytes) {
		say_error("invalid", "make 'log-size' smaller or the device larger",
			  "the log device %s has %s, 'log-size' is %s", log->path,
			  say_size(bytes, have), say_size(conf->log_bytes, want));
		return false;
	}
	err = signature_find(log->path, &found);
	if (err)
		return io_error(log->path, "cannot be examined", err);
	if (!found.count || force)
		return true;
	say_error("unsafe", "if that may be destroyed: --force", "the log device %s holds: %s",
		  log->path, found.words);
	return false;
}

/* The file system that @path is on, or will be on. */
static bool find_room(const char *path, uint64_t *bytes)
{
	char parent[512];
	struct statvfs st;
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	while (statvfs(parent, &st)) {
		slash = strrchr(parent, '/');
		if (errno != ENOENT || !slash)
			return io_error(path, "cannot be used", -errno);
		slash[slash == parent] = 0;
	}
	*bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return true;
}

bool log_store_check(struct log_store *log, const struct conf *conf, bool force)
{
	char have[24], want[24];
	uint64_t room;

	if (log->is_block)
		return check_block(log, conf, force);
	if (log->nr_old && !force) {
		say_error("unsafe", "if that log may be destroyed: --force",
			  "%s already holds a log of %u segments", log->path, log->nr_old);
		return false;
	}
	if (!find_room(log->path, &room))
		return false;
	room += log->old_bytes;
	if (room >= conf->log_bytes)
		return true;
	say_error("invalid", "make 'log-size' smaller or place the log elsewhere",
		  "the log needs %s, the file system of %s has only %s left",
		  say_size(conf->log_bytes, want), log->path, say_size(room, have));
	return false;
}

static bool remove_segment(struct log_store *log, const char *name)
{
	return !unlinkat(log->fd, name, 0) || io_error(name, "cannot be removed", -errno);
}

static int make_directories(const char *path)
{
	char parent[512];

	snprintf(parent, sizeof(parent), "%s", path);
	for (char *p = parent + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(parent, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(parent, 0700) && errno != EEXIST ? -errno : 0;
}

static bool open_directory(struct log_store *log)
{
	int err;

	if (log->fd >= 0)
		return true;
	err = make_directories(log->path);
	if (err)
		return io_error(log->path, "cannot be made", err);
	log->fd = open(log->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->fd < 0)
		return io_error(log->path, "cannot be opened", -errno);
	/* The name of the directory itself. */
	sync();
	return true;
}

static bool make_segment(struct log_store *log, unsigned int number, const struct conf *conf)
{
	char name[24], label[320];
	struct backing backing;
	int fd, err;

	fd = openat(log->fd, log_store_segment_name(number, name),
		    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return io_error(name, "cannot be made", -errno);
	snprintf(label, sizeof(label), "writing the log in %s, segment %u of %u", log->path,
		 number + 1, (unsigned int)(conf->log_bytes / conf->segment_bytes));
	err = backing_adopt(fd, &backing);
	if (!err)
		err = zero_write(fd, 0, conf->segment_bytes, label);
	close(fd);
	if (!err)
		return true;
	unlinkat(log->fd, name, 0);
	if (err == -ELOOP)
		return disks_say_open_error(log->path, err);
	return io_error(log->path, "cannot be written", err);
}

bool log_store_make(struct log_store *log, const struct conf *conf)
{
	if (log->is_block) {
		int err = zero_write(log->fd, 0, conf->log_bytes, "writing the log");

		return !err || io_error(log->path, "cannot be written", err);
	}
	if (!open_directory(log) || !each_segment(log, remove_segment))
		return false;
	for (unsigned int i = 0; i < conf->log_bytes / conf->segment_bytes; i++)
		if (!make_segment(log, i, conf))
			return false;
	return !fsync(log->fd) || io_error(log->path, "cannot be flushed", -errno);
}

bool log_store_erase(struct log_store *log, const struct conf *conf)
{
	if (log->is_block) {
		for (uint64_t at = 0; at < conf->log_bytes; at += conf->segment_bytes) {
			int err = zero_write(log->fd, at, REPRISE_LOG_HEAD_BYTES, NULL);

			if (err)
				return io_error(log->path, "cannot be erased", err);
		}
		return true;
	}
	if (log->fd < 0)
		return true;
	return each_segment(log, remove_segment) &&
	       (!fsync(log->fd) || io_error(log->path, "cannot be flushed", -errno));
}
