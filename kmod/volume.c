// SPDX-License-Identifier: GPL-2.0
/*
 * The block device /dev/repriseN: takes a backing device that userspace has
 * opened exclusively, shapes queue limits after it, and hands bios on.  The
 * claim on the backing device is the file's, so it never lapses when the
 * descriptor changes hands.
 */
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#include "compat.h"
#include "request.h"
#include "volume.h"

enum { MAX_MINOR = (int)MINORMASK };

static int reprise_major;
static DEFINE_IDA(minors);

static void submit_bio_above(struct bio *bio)
{
	struct reprise_volume *volume = bio->bi_bdev->bd_disk->private_data;

	bio = bio_split_to_limits(bio);
	if (bio)
		reprise_request_bio(volume, bio);
}

REPRISE_DISK_OPEN(disk_open, disk)
{
	REPRISE_DISK_OPEN_BEGIN(disk);
	struct reprise_volume *volume = disk->private_data;

	atomic_inc(&volume->openers);
	/* Counted before it looks: reprise_volume_close() sees one of the two. */
	smp_mb__after_atomic();
	if (READ_ONCE(volume->closing)) {
		atomic_dec(&volume->openers);
		return -ENXIO;
	}
	return 0;
}

REPRISE_DISK_RELEASE(disk_release, disk)
{
	struct reprise_volume *volume = disk->private_data;

	atomic_dec(&volume->openers);
}

static void volume_free(struct reprise_volume *volume)
{
	if (volume->minor >= 0)
		ida_free(&minors, volume->minor);
	reprise_resource_put(volume->res);
	kfree(volume);
}

/* The last opener of a device that was forced down may come long after. */
static void disk_free(struct gendisk *disk)
{
	volume_free(disk->private_data);
}

static const struct block_device_operations disk_ops = {
	.owner = THIS_MODULE,
	.submit_bio = submit_bio_above,
	.open = disk_open,
	.release = disk_release,
	.free_disk = disk_free,
};

/* --- /sys/block/repriseN/reprise --------------------------------------- */

static ssize_t resource_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct reprise_volume *volume = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%s\n", volume->res->name);
}
static DEVICE_ATTR_RO(resource);

static ssize_t volume_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct reprise_volume *volume = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%u\n", volume->number);
}
static DEVICE_ATTR_RO(volume);

/* 1 in the initial network namespace, where the names by resource are unique. */
static ssize_t initial_namespace_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct reprise_volume *volume = dev_to_disk(dev)->private_data;

	return sysfs_emit(buf, "%d\n", net_eq(volume->res->net, &init_net));
}
static DEVICE_ATTR_RO(initial_namespace);

static struct attribute *disk_attrs[] = {
	&dev_attr_resource.attr,
	&dev_attr_volume.attr,
	&dev_attr_initial_namespace.attr,
	NULL,
};

static const struct attribute_group disk_group = {
	.name = "reprise",
	.attrs = disk_attrs,
};

static const struct attribute_group *disk_groups[] = { &disk_group, NULL };

/* --- creation ---------------------------------------------------------- */

static int take_backing(struct reprise_volume *volume, int fd, const char **why)
{
	struct file *file = fget(fd);
	struct block_device *bdev;

	if (!file) {
		*why = "the backing device's file descriptor is not open";
		return -EBADF;
	}
	volume->backing_file = file;
	if (!S_ISBLK(file_inode(file)->i_mode)) {
		*why = "the backing file is not a block device";
		return -ENOTBLK;
	}
	if (!(file->f_mode & FMODE_WRITE)) {
		*why = "the backing device is not open for writing";
		return -EACCES;
	}
	bdev = I_BDEV(file->f_mapping->host);
	if (bdev->bd_holder != file) {
		*why = "the backing device is not opened exclusively (O_EXCL)";
		return -EBUSY;
	}
	if (bdev_is_zoned(bdev)) {
		*why = "zoned backing devices are not supported";
		return -EOPNOTSUPP;
	}
	if (MAJOR(bdev->bd_dev) == reprise_major) {
		*why = "the backing device is itself a reprise device";
		return -ELOOP;
	}
	volume->backing = bdev;
	return 0;
}

static int check_size(const struct reprise_volume *volume,
		      const struct reprise_start_volume *start, const char **why)
{
	if (!start->sectors || start->sectors > bdev_nr_sectors(volume->backing)) {
		*why = "the volume is larger than its backing device";
		return -EINVAL;
	}
	if (start->logical_block_bytes != 512 && start->logical_block_bytes != 4096) {
		*why = "the logical block size is neither 512 nor 4096";
		return -EINVAL;
	}
	if (start->logical_block_bytes < bdev_logical_block_size(volume->backing)) {
		*why = "the backing device has larger logical blocks than the resource";
		return -EINVAL;
	}
	if (start->sectors % (start->logical_block_bytes / SECTOR_SIZE)) {
		*why = "the volume's size is no multiple of its logical blocks";
		return -EINVAL;
	}
	return 0;
}

static int take_minor(struct reprise_volume *volume, int wanted)
{
	bool exact = wanted >= 0 && net_eq(volume->res->net, &init_net);

	volume->minor = ida_alloc_range(&minors, exact ? wanted : 0, exact ? wanted : MAX_MINOR,
					GFP_KERNEL);
	if (volume->minor == -ENOSPC && exact)
		return -EEXIST;
	return volume->minor < 0 ? volume->minor : 0;
}

static int make_disk(struct reprise_volume *volume, u32 logical_block_bytes)
{
	struct block_device *backing = volume->backing;
	struct reprise_limits limits = {
		.logical_block_bytes = logical_block_bytes,
		.max_zero_sectors = min_t(unsigned int, bdev_write_zeroes_sectors(backing),
					  REPRISE_ZERO_MAX_SECTORS),
		.discard_granularity = bdev_discard_granularity(backing),
	};
	struct gendisk *disk = reprise_alloc_disk(backing, &limits);

	if (!disk)
		return -ENOMEM;
	volume->disk = disk;
	disk->major = reprise_major;
	disk->first_minor = volume->minor;
	disk->minors = 1;
	disk->fops = &disk_ops;
	disk->private_data = volume;
	disk->flags |= GENHD_FL_NO_PART;
	snprintf(disk->disk_name, DISK_NAME_LEN, "reprise%d", volume->minor);
	set_capacity(disk, volume->sectors);
	return 0;
}

/**
 * reprise_volume_create - a volume over an open backing device
 * @why: on failure, in words, or untouched
 *
 * The device does not exist yet: reprise_volume_add().  Return: the volume,
 * or an ERR_PTR; the descriptor stays the caller's in any case.
 */
struct reprise_volume *reprise_volume_create(struct reprise_resource *res,
					     const struct reprise_start_volume *start,
					     const char **why)
{
	struct reprise_volume *volume = kzalloc(sizeof(*volume), GFP_KERNEL);
	int err;

	if (!volume)
		return ERR_PTR(-ENOMEM);
	reprise_resource_get(res);
	volume->res = res;
	volume->number = start->number;
	volume->sectors = start->sectors;
	volume->minor = -1;

	err = take_backing(volume, start->backing_fd, why);
	if (!err)
		err = check_size(volume, start, why);
	if (!err) {
		err = take_minor(volume, start->minor);
		if (err == -EEXIST)
			*why = "the minor number is taken by another volume";
	}
	if (!err)
		err = make_disk(volume, start->logical_block_bytes);
	if (err) {
		reprise_volume_destroy(volume);
		return ERR_PTR(err);
	}
	return volume;
}

/**
 * reprise_volume_add - let the device appear
 *
 * I/O may come before this returns.
 */
int reprise_volume_add(struct reprise_volume *volume)
{
	int err = device_add_disk(NULL, volume->disk, disk_groups);

	if (err)
		return err;
	volume->added = true;
	volume->was_added = true;
	/* For lsblk only; a failure costs nothing else. */
	volume->linked = !bd_link_disk_holder(volume->backing, volume->disk);
	return 0;
}

/**
 * reprise_volume_close - refuse new openers, and wait for the present ones
 * @deadline: jiffies
 *
 * Return: 0; -EBUSY: still open then, and nothing has changed.
 */
int reprise_volume_close(struct reprise_volume *volume, unsigned long deadline)
{
	WRITE_ONCE(volume->closing, true);
	/* Closing before it counts: the other half of reprise_volume_open(). */
	smp_mb();
	while (atomic_read(&volume->openers)) {
		if (time_after(jiffies, deadline)) {
			reprise_volume_reopen(volume);
			return -EBUSY;
		}
		/* udev looks into every new device for a moment. */
		msleep(20);
	}
	return 0;
}

void reprise_volume_reopen(struct reprise_volume *volume)
{
	WRITE_ONCE(volume->closing, false);
}

/**
 * reprise_volume_remove - let the device disappear
 *
 * Everything pending has completed or will fail (resource.dead).
 */
void reprise_volume_remove(struct reprise_volume *volume)
{
	if (volume->linked)
		bd_unlink_disk_holder(volume->backing, volume->disk);
	volume->linked = false;
	if (volume->added)
		del_gendisk(volume->disk);
	volume->added = false;
	wait_var_event(&volume->inflight, !atomic_read(&volume->inflight));
	invalidate_bdev(volume->backing);
}

/**
 * reprise_volume_destroy - give up a volume that was removed or never added
 *
 * The claim on the backing device goes now; the rest with the last opener.
 */
void reprise_volume_destroy(struct reprise_volume *volume)
{
	bool was_added = volume->was_added;

	if (volume->backing_file)
		fput(volume->backing_file);
	volume->backing_file = NULL;
	if (volume->disk)
		put_disk(volume->disk);
	if (!was_added)
		volume_free(volume);
}

/**
 * reprise_volume_io_error - the backing device has failed a request
 * @is_write: one that changes content, or a flush: what is there now may
 *	differ from what the peers hold
 *
 * Any context.  Counted for good, logged, and told in an event.
 */
void reprise_volume_io_error(struct reprise_volume *volume, bool is_write)
{
	struct reprise_resource *res = volume->res;

	atomic64_inc(&volume->io_errors);
	if (is_write)
		atomic64_inc(&volume->write_errors);
	pr_err_ratelimited("reprise %s/%u: the backing device failed a request\n", res->name,
			   volume->number);
	WRITE_ONCE(res->io_error, true);
	queue_work(reprise_wq, &res->event_work);
}

int reprise_volume_init(void)
{
	reprise_major = register_blkdev(0, "reprise");
	return reprise_major < 0 ? reprise_major : 0;
}

void reprise_volume_exit(void)
{
	unregister_blkdev(reprise_major, "reprise");
	ida_destroy(&minors);
}
