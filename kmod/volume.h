/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REPRISE_VOLUME_H
#define _REPRISE_VOLUME_H

#include <linux/blkdev.h>
#include <linux/wait_bit.h>
#include "resource.h"

/**
 * struct reprise_volume - /dev/repriseN over a backing device
 * @backing_file: keeps the backing device, and the claim on it
 * @inflight: requests that refer to this volume
 */
struct reprise_volume {
	struct reprise_resource *res;
	u16 number;
	int minor;
	u64 sectors;
	struct file *backing_file;
	struct block_device *backing;
	struct gendisk *disk;
	bool added;
	bool was_added;
	bool linked;

	atomic_t openers;
	bool closing;				/* new openers are refused */
	atomic_t inflight;

	atomic64_t reads;
	atomic64_t writes;
	atomic64_t flushes;
	atomic64_t read_sectors;
	atomic64_t write_sectors;
	atomic64_t io_errors;
	atomic64_t write_errors;		/* of these, of writes and flushes */
	atomic64_t latency[REPRISE_HIST_BUCKETS];
};

int reprise_volume_init(void);
void reprise_volume_exit(void);

struct reprise_volume *reprise_volume_create(struct reprise_resource *res,
					     const struct reprise_start_volume *start,
					     const char **why);
int reprise_volume_add(struct reprise_volume *volume);
void reprise_volume_destroy(struct reprise_volume *volume);
int reprise_volume_close(struct reprise_volume *volume, unsigned long deadline);
void reprise_volume_reopen(struct reprise_volume *volume);
void reprise_volume_remove(struct reprise_volume *volume);
void reprise_volume_io_error(struct reprise_volume *volume, bool is_write);

static inline void reprise_volume_get_io(struct reprise_volume *volume)
{
	atomic_inc(&volume->inflight);
}

/* The volume may be gone as soon as nothing is in flight: only its address is used then. */
static inline void reprise_volume_put_io(struct reprise_volume *volume)
{
	if (atomic_dec_and_test(&volume->inflight))
		wake_up_var(&volume->inflight);
}

#endif /* _REPRISE_VOLUME_H */
