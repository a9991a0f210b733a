/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A disk: what reads see, what would survive a power cut, and the writes in
 * between, each sector of which survives or does not.  Holds itself to the
 * rules of a block device, and watches that its users do: alignment, bounds,
 * never two writes in flight on one place, no buffer that changes meanwhile.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include <sys/types.h>
#include <sys/uio.h>

#include "agent/env.h"
#include "world.h"

struct disk;

/* An open file description: what flock and O_EXCL belong to. */
struct disk_file {
	struct disk *disk;
	unsigned int refs;		/* handles, and requests in flight */
};

/* How it misbehaves; odds in millionths of requests. */
struct disk_faults {
	uint32_t slow_ppm, slow_ms;
	uint32_t read_error_ppm, write_error_ppm, flush_error_ppm;
	uint32_t misdirect_ppm;
};

struct disk_io {
	struct event event;
	struct disk_file *file;
	struct disk_io *next, **prev;	/* of the disk */
	enum env_op op;
	unsigned int flags;
	uint64_t offset, bytes;
	const struct iovec *iov;
	unsigned int nr_iov;
	uint8_t *data;			/* write: as it was at submission */
	uint64_t stamp;			/* flush: writes completed before it */
	/* NULL: nobody waits any more.  The io is gone when it returns. */
	void (*done)(struct disk_io *io, ssize_t result);
	void *ctx;
};

struct disk *disk_create(struct world *world, const char *name, uint64_t bytes,
			 uint32_t block_bytes);
void disk_destroy(struct disk *disk);	/* nothing in flight */
const char *disk_name(const struct disk *disk);
uint64_t disk_bytes(const struct disk *disk);
struct disk_faults *disk_faults(struct disk *disk);
/* Every request fails from now on. */
void disk_break(struct disk *disk);
bool disk_is_broken(const struct disk *disk);

/* 0, or -EBUSY. */
int disk_open(struct disk *disk, struct disk_file **file);
void disk_get(struct disk_file *file);
void disk_put(struct disk_file *file);

/* @iov must stay until @done; @length: ZERO only. */
struct disk_io *disk_submit(struct disk_file *file, enum env_op op, unsigned int flags,
			    uint64_t offset, const struct iovec *iov, unsigned int nr_iov,
			    uint64_t length, void (*done)(struct disk_io *io, ssize_t result),
			    void *ctx);
/* The submitter was killed: some requests are carried out all the same, later. */
void disk_orphan(struct disk_io *io);
/* Carry out now, in order, all that is in flight of this description. */
void disk_drain(struct disk_file *file);
bool disk_is_idle(const struct disk *disk);
/* Flush now.  0 or -EIO. */
int disk_flush_now(struct disk *disk);

/* Everything in flight, and what was not flushed: kept, lost or torn. */
void disk_power_cut(struct disk *disk);

/* From outside: no request. */
void disk_peek(const struct disk *disk, uint64_t offset, void *buf, size_t bytes);
void disk_peek_durable(const struct disk *disk, uint64_t offset, void *buf, size_t bytes);
void disk_poke(struct disk *disk, uint64_t offset, const void *buf, size_t bytes);
/* One bit changes, durably. */
void disk_rot(struct disk *disk, uint64_t offset);

#endif /* SIM_DISK_H */
