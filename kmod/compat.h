/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All that differs between supported kernels.  Kbuild probes the headers.
 * The rest of the module is written for the newest.
 */
#ifndef _REPRISE_COMPAT_H
#define _REPRISE_COMPAT_H

#include <linux/blkdev.h>

#include "uapi/reprise_frame.h"

struct reprise_limits {
	unsigned int logical_block_bytes;
	unsigned int max_zero_sectors;	/* 0: backing cannot zero cheaply */
	unsigned int discard_granularity;
};

#ifdef REPRISE_HAS_DISK_LIMITS

static inline struct gendisk *reprise_alloc_disk(struct block_device *backing,
						 const struct reprise_limits *limits)
{
	struct queue_limits lim;
	struct gendisk *disk;

	blk_set_stacking_limits(&lim);
	lim.features |= BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA | BLK_FEAT_NOWAIT;
	queue_limits_stack_bdev(&lim, backing, 0, "reprise");
	lim.features |= BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA;
	lim.features &= ~(BLK_FEAT_POLL | BLK_FEAT_ZONED | BLK_FEAT_STABLE_WRITES);
	memset(&lim.integrity, 0, sizeof(lim.integrity));
	lim.logical_block_size = max(lim.logical_block_size, limits->logical_block_bytes);
	lim.physical_block_size = max(lim.physical_block_size, lim.logical_block_size);
	lim.io_min = max(lim.io_min, lim.physical_block_size);
	lim.max_hw_sectors = REPRISE_OP_MAX_SECTORS;
	lim.max_sectors = REPRISE_OP_MAX_SECTORS;
	lim.max_user_sectors = REPRISE_OP_MAX_SECTORS;
	lim.chunk_sectors = 0;
	lim.max_secure_erase_sectors = 0;
	lim.max_write_zeroes_sectors = limits->max_zero_sectors;
	lim.max_hw_discard_sectors = limits->max_zero_sectors;
	lim.max_user_discard_sectors = limits->max_zero_sectors;
	lim.discard_granularity = limits->max_zero_sectors ?
		max(limits->discard_granularity, lim.logical_block_size) : 0;
	lim.discard_alignment = 0;
	disk = blk_alloc_disk(&lim, NUMA_NO_NODE);
	return IS_ERR(disk) ? NULL : disk;
}

#else

static inline struct gendisk *reprise_alloc_disk(struct block_device *backing,
						 const struct reprise_limits *limits)
{
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);
	struct queue_limits *lim;
	unsigned int logical;

	if (!disk)
		return NULL;
	lim = &disk->queue->limits;
	blk_set_stacking_limits(lim);
	blk_queue_write_cache(disk->queue, true, true);
	blk_queue_flag_set(QUEUE_FLAG_NOWAIT, disk->queue);
	disk_stack_limits(disk, backing, 0);
	logical = max(lim->logical_block_size, limits->logical_block_bytes);
	blk_queue_logical_block_size(disk->queue, logical);
	blk_queue_max_hw_sectors(disk->queue, REPRISE_OP_MAX_SECTORS);
	lim->max_sectors = REPRISE_OP_MAX_SECTORS;
	lim->chunk_sectors = 0;
	lim->zoned = BLK_ZONED_NONE;
	blk_queue_max_secure_erase_sectors(disk->queue, 0);
	blk_queue_max_write_zeroes_sectors(disk->queue, limits->max_zero_sectors);
	blk_queue_max_discard_sectors(disk->queue, limits->max_zero_sectors);
	lim->discard_granularity = limits->max_zero_sectors ?
		max(limits->discard_granularity, logical) : 0;
	lim->discard_alignment = 0;
	return disk;
}

#endif

/*
 * TCP takes references to the pages instead of a copy, where it can: our
 * payload is never changed after it was made.
 */
#ifdef REPRISE_HAS_SPLICE
#define REPRISE_MSG_SPLICE MSG_SPLICE_PAGES
#else
#define REPRISE_MSG_SPLICE 0
#endif

/* The two shapes of block_device_operations.open and release. */
#ifdef REPRISE_HAS_DISK_OPEN
#define REPRISE_DISK_OPEN(name, disk) \
	static int name(struct gendisk *disk, blk_mode_t mode)
#define REPRISE_DISK_OPEN_BEGIN(disk)
#define REPRISE_DISK_RELEASE(name, disk) static void name(struct gendisk *disk)
#else
#define REPRISE_DISK_OPEN(name, disk) \
	static int name(struct block_device *bdev, fmode_t mode)
#define REPRISE_DISK_OPEN_BEGIN(disk) struct gendisk *disk = bdev->bd_disk
#define REPRISE_DISK_RELEASE(name, disk) static void name(struct gendisk *disk, fmode_t mode)
#endif

#endif /* _REPRISE_COMPAT_H */
