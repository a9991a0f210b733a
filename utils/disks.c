// SPDX-License-Identifier: GPL-2.0
/*
 * Claiming backing devices, and reading and writing the metadata on them.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disks.h"
#include "holder.h"
#include "say.h"
#include "zero.h"

bool disks_say_open_error(const char *path, int err)
{
	char who[256];

	switch (err) {
	case -EBUSY:
		say_error(
			"busy",
			"unmount or stop what uses it; if it is this resource: 'reprise down' first",
			"%s is in use: %s", path, holder_describe(path, who, sizeof(who)));
		return false;
	case -ELOOP:
		say_error("invalid", "choose a place outside of Reprise's own devices",
			  "%s lies on a Reprise device and would wait for itself", path);
		return false;
	case -ENOTBLK:
		say_error("invalid", NULL, "%s is neither a block device nor a regular file", path);
		return false;
	case -ENOENT:
		say_error("not-found",
			  "correct the configuration, or make a file with: truncate -s SIZE FILE",
			  "%s does not exist", path);
		return false;
	}
	say_error("io", NULL, "%s cannot be opened: %s", path, strerror(-err));
	return false;
}

static bool check_size(const struct disks_volume *v)
{
	char size[24];

	if (meta_area_offset(v->backing.bytes))
		return true;
	say_error("invalid", "use a larger one: 1 MiB at its end is for metadata",
		  "%s is too small (%s)", v->path, say_size(v->backing.bytes, size));
	return false;
}

static bool check_blocks(const struct disks_volume *v, const struct conf *conf)
{
	int bytes = 512;

	if (!v->backing.is_block || ioctl(v->backing.fd, BLKSSZGET, &bytes) ||
	    (unsigned int)bytes <= conf->logical_block_bytes)
		return true;
	say_error("invalid", "on all nodes set: logical-block-size = 4096",
		  "%s has blocks of %d bytes, resource %s of %u", v->path, bytes, conf->name,
		  conf->logical_block_bytes);
	return false;
}

static bool open_volume(struct disks_volume *v, const struct conf *conf)
{
	int err = backing_open(v->path, &v->backing);

	if (err) {
		v->backing.fd = -1;
		return disks_say_open_error(v->path, err);
	}
	return check_size(v) && check_blocks(v, conf);
}

bool disks_open(struct disks *disks, const struct conf *conf, const struct conf_node *node)
{
	disks->nr_volumes = 0;
	for (unsigned int i = 0; i < node->nr_volumes; i++) {
		struct disks_volume *v = &disks->volumes[disks->nr_volumes++];

		v->number = node->volumes[i].number;
		v->path = node->volumes[i].device;
		if (open_volume(v, conf))
			continue;
		disks_close(disks);
		return false;
	}
	return true;
}

void disks_close(struct disks *disks)
{
	for (unsigned int i = 0; i < disks->nr_volumes; i++)
		if (disks->volumes[i].backing.fd >= 0)
			close(disks->volumes[i].backing.fd);
	disks->nr_volumes = 0;
}

static int device_bytes(int fd, uint64_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*bytes = st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, bytes))
		return -errno;
	return S_ISBLK(st.st_mode) || S_ISREG(st.st_mode) ? 0 : -ENOTBLK;
}

static int read_all(int fd, void *buf, size_t bytes, uint64_t offset)
{
	ssize_t n = pread(fd, buf, bytes, offset);

	return n == (ssize_t)bytes ? 0 : n < 0 ? -errno : -EIO;
}

int disks_read_copies(const char *path, void *copy0, void *copy1, uint64_t *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err;

	if (fd < 0)
		return -errno;
	err = device_bytes(fd, bytes);
	if (!err && !meta_area_offset(*bytes))
		err = -ENOSPC;
	/* A buffered page could be older than what the agent wrote past it. */
	if (!err)
		posix_fadvise(fd, meta_area_offset(*bytes), REPRISE_META_AREA_BYTES,
			      POSIX_FADV_DONTNEED);
	if (!err)
		err = read_all(fd, copy0, REPRISE_META_RECORD_BYTES, meta_copy_offset(*bytes, 0));
	if (!err)
		err = read_all(fd, copy1, REPRISE_META_RECORD_BYTES, meta_copy_offset(*bytes, 1));
	close(fd);
	return err;
}

int disks_read_meta(const char *path, struct meta *meta, struct meta_volume *volume,
		    const char **why)
{
	char *copies = malloc(2 * REPRISE_META_RECORD_BYTES);
	uint64_t bytes = 0;
	int err;

	if (!copies) {
		*why = "out of memory";
		return -ENOMEM;
	}
	err = disks_read_copies(path, copies, copies + REPRISE_META_RECORD_BYTES, &bytes);
	if (err)
		*why = err == -ENOSPC ? "too small to hold metadata" : strerror(-err);
	else
		err = meta_choose(copies, copies + REPRISE_META_RECORD_BYTES, meta, volume, why);
	free(copies);
	return err;
}

static int write_record(const struct disks_volume *v, const struct meta *meta, void *buf)
{
	struct meta_volume volume = {
		.number = v->number,
		.size_sectors = meta_volume_sectors(v->backing.bytes),
		.device_sectors = v->backing.bytes / REPRISE_SECTOR_BYTES,
	};
	ssize_t n;

	meta_encode(meta, &volume, buf);
	n = pwrite(v->backing.fd, buf, REPRISE_META_RECORD_BYTES,
		   meta_copy_offset(v->backing.bytes, meta->number));
	if (n != REPRISE_META_RECORD_BYTES)
		return n < 0 ? -errno : -EIO;
	return fsync(v->backing.fd) ? -errno : 0;
}

bool disks_write_meta(const struct disks *disks, struct meta *meta)
{
	void *buf = aligned_alloc(4096, REPRISE_META_RECORD_BYTES);
	int err = buf ? 0 : -ENOMEM;

	for (meta->number = 0; !err && meta->number < 2; meta->number++) {
		for (unsigned int i = 0; !err && i < disks->nr_volumes; i++) {
			err = write_record(&disks->volumes[i], meta, buf);
			if (err)
				say_error("io", "look into the kernel's log, then try again",
					  "the metadata of %s cannot be written: %s",
					  disks->volumes[i].path, strerror(-err));
		}
	}
	free(buf);
	return !err;
}

bool disks_erase_meta(const struct disks *disks)
{
	for (unsigned int i = 0; i < disks->nr_volumes; i++) {
		const struct disks_volume *v = &disks->volumes[i];
		int err = zero_write(v->backing.fd, meta_area_offset(v->backing.bytes),
				     REPRISE_META_AREA_BYTES, NULL);

		if (!err)
			continue;
		say_error("io", "look into the kernel's log, then try again",
			  "the metadata of %s cannot be erased: %s", v->path, strerror(-err));
		return false;
	}
	return true;
}
