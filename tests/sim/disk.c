// SPDX-License-Identifier: GPL-2.0
/*
 * Two images in pages that exist once they were written, and between them a
 * list of completed writes that are not durable yet.  A flush carries those
 * over that completed before it was submitted; a power cut decides sector by
 * sector, in the order of completion, so that an older version of a sector
 * may survive a newer one.
 */
#include "disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/crc32c.h"
#include "heap.h"

enum { SECTOR = 512, PAGE = 4096 };

/* A completed write that no flush has covered. */
struct cached {
	struct cached *next;
	uint64_t offset, bytes, stamp;
	uint8_t *data;
};

struct disk {
	struct world *world;
	char name[32];
	uint64_t bytes;
	uint32_t block_bytes;
	size_t nr_pages;
	uint8_t **now, **durable;
	struct disk_io *flying;
	struct cached *cache, **cache_end;
	uint64_t stamp;
	struct disk_file *holder;
	struct disk_faults faults;
	bool broken;
};

struct disk *disk_create(struct world *world, const char *name, uint64_t bytes,
			 uint32_t block_bytes)
{
	struct disk *disk = sim_alloc(sizeof(*disk));

	disk->world = world;
	snprintf(disk->name, sizeof(disk->name), "%s", name);
	disk->bytes = bytes;
	disk->block_bytes = block_bytes;
	disk->nr_pages = (bytes + PAGE - 1) / PAGE;
	disk->now = sim_alloc(disk->nr_pages * sizeof(*disk->now));
	disk->durable = sim_alloc(disk->nr_pages * sizeof(*disk->durable));
	disk->cache_end = &disk->cache;
	return disk;
}

static void cache_pop(struct disk *disk)
{
	struct cached *cached = disk->cache;

	disk->cache = cached->next;
	if (!disk->cache)
		disk->cache_end = &disk->cache;
	sim_free(cached->data);
	sim_free(cached);
}

void disk_destroy(struct disk *disk)
{
	assert(!disk->flying);
	while (disk->cache)
		cache_pop(disk);
	for (size_t i = 0; i < disk->nr_pages; i++) {
		sim_free(disk->now[i]);
		sim_free(disk->durable[i]);
	}
	sim_free(disk->now);
	sim_free(disk->durable);
	sim_free(disk->holder);
	sim_free(disk);
}

const char *disk_name(const struct disk *disk)
{
	return disk->name;
}

uint64_t disk_bytes(const struct disk *disk)
{
	return disk->bytes;
}

struct disk_faults *disk_faults(struct disk *disk)
{
	return &disk->faults;
}

void disk_break(struct disk *disk)
{
	disk->broken = true;
}

bool disk_is_broken(const struct disk *disk)
{
	return disk->broken;
}

bool disk_is_idle(const struct disk *disk)
{
	return !disk->flying;
}

/* --- images -------------------------------------------------------------- */

static void image_read(uint8_t *const *pages, uint64_t offset, uint8_t *buf, size_t bytes)
{
	while (bytes) {
		size_t within = offset % PAGE, n = PAGE - within < bytes ? PAGE - within : bytes;
		const uint8_t *page = pages[offset / PAGE];

		if (page)
			memcpy(buf, page + within, n);
		else
			memset(buf, 0, n);
		buf += n;
		offset += n;
		bytes -= n;
	}
}

/* @buf NULL: zeros. */
static void image_write(uint8_t **pages, uint64_t offset, const uint8_t *buf, size_t bytes)
{
	while (bytes) {
		size_t within = offset % PAGE, n = PAGE - within < bytes ? PAGE - within : bytes;
		uint8_t **page = &pages[offset / PAGE];

		if (!*page && buf)
			*page = sim_alloc(PAGE);
		if (buf)
			memcpy(*page + within, buf, n);
		else if (*page)
			memset(*page + within, 0, n);
		buf = buf ? buf + n : NULL;
		offset += n;
		bytes -= n;
	}
}

void disk_peek(const struct disk *disk, uint64_t offset, void *buf, size_t bytes)
{
	image_read(disk->now, offset, buf, bytes);
}

void disk_peek_durable(const struct disk *disk, uint64_t offset, void *buf, size_t bytes)
{
	image_read(disk->durable, offset, buf, bytes);
}

void disk_poke(struct disk *disk, uint64_t offset, const void *buf, size_t bytes)
{
	image_write(disk->now, offset, buf, bytes);
	image_write(disk->durable, offset, buf, bytes);
}

void disk_rot(struct disk *disk, uint64_t offset)
{
	uint8_t byte;

	image_read(disk->now, offset, &byte, 1);
	byte ^= 1 << world_below(disk->world, 8);
	disk_poke(disk, offset, &byte, 1);
}

/* --- the cache ----------------------------------------------------------- */

static void cache_add(struct disk *disk, uint64_t offset, uint64_t bytes, const uint8_t *data)
{
	struct cached *cached = sim_alloc(sizeof(*cached));

	cached->offset = offset;
	cached->bytes = bytes;
	cached->stamp = disk->stamp;
	if (data) {
		cached->data = sim_alloc(bytes);
		memcpy(cached->data, data, bytes);
	}
	*disk->cache_end = cached;
	disk->cache_end = &cached->next;
}

/* What is written through must not be undone by an older version in the cache. */
static void cache_supersede(struct disk *disk, uint64_t offset, uint64_t bytes, const uint8_t *data)
{
	for (struct cached *c = disk->cache; c; c = c->next) {
		uint64_t from = c->offset > offset ? c->offset : offset;
		uint64_t to = c->offset + c->bytes < offset + bytes ? c->offset + c->bytes :
								      offset + bytes;

		if (from >= to)
			continue;
		if (!c->data)
			c->data = sim_alloc(c->bytes);
		if (data)
			memcpy(c->data + (from - c->offset), data + (from - offset), to - from);
		else
			memset(c->data + (from - c->offset), 0, to - from);
	}
}

static void flush_until(struct disk *disk, uint64_t stamp)
{
	while (disk->cache && disk->cache->stamp <= stamp) {
		struct cached *c = disk->cache;

		image_write(disk->durable, c->offset, c->data, c->bytes);
		cache_pop(disk);
	}
}

/* Some of it is gone, as if it had been written; no later flush brings it back. */
static void forget_until(struct disk *disk, uint64_t stamp)
{
	struct cached **at = &disk->cache;

	while (*at && (*at)->stamp <= stamp) {
		struct cached *c = *at;

		if (world_below(disk->world, 2)) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		sim_free(c->data);
		sim_free(c);
	}
	while (*at)
		at = &(*at)->next;
	disk->cache_end = at;
}

static int flush(struct disk *disk, uint64_t stamp)
{
	if (disk->broken)
		return -EIO;
	if (world_chance(disk->world, disk->faults.flush_error_ppm)) {
		world_trace(disk->world, "%s: a flush fails", disk->name);
		forget_until(disk, stamp);
		return -EIO;
	}
	flush_until(disk, stamp);
	return 0;
}

int disk_flush_now(struct disk *disk)
{
	return flush(disk, disk->stamp);
}

/* --- opening ------------------------------------------------------------- */

int disk_open(struct disk *disk, struct disk_file **file)
{
	if (disk->holder)
		return -EBUSY;
	disk->holder = sim_alloc(sizeof(*disk->holder));
	disk->holder->disk = disk;
	disk->holder->refs = 1;
	*file = disk->holder;
	return 0;
}

void disk_get(struct disk_file *file)
{
	file->refs++;
}

void disk_put(struct disk_file *file)
{
	if (--file->refs)
		return;
	file->disk->holder = NULL;
	sim_free(file);
}

/* --- requests ------------------------------------------------------------ */

static bool changes(const struct disk_io *io)
{
	return io->op == ENV_WRITE || io->op == ENV_ZERO;
}

static void check(struct disk *disk, const struct disk_io *io)
{
	if (io->op == ENV_FLUSH)
		return;
	if (!io->bytes || io->offset % disk->block_bytes || io->bytes % disk->block_bytes ||
	    io->offset + io->bytes > disk->bytes)
		world_fail(disk->world, "%s: request of %llu bytes at %llu is out of bounds or alignment",
			   disk->name, (unsigned long long)io->bytes,
			   (unsigned long long)io->offset);
	for (const struct disk_io *other = disk->flying; other && changes(io); other = other->next)
		if (other != io && changes(other) && other->offset < io->offset + io->bytes &&
		    io->offset < other->offset + other->bytes && other->done)
			world_fail(disk->world, "%s: two writes in flight on one place: %llu+%llu and %llu+%llu",
				   disk->name, (unsigned long long)other->offset,
				   (unsigned long long)other->bytes,
				   (unsigned long long)io->offset,
				   (unsigned long long)io->bytes);
}

static void gather(struct disk_io *io, uint8_t *data)
{
	for (unsigned int i = 0; i < io->nr_iov; i++) {
		memcpy(data, io->iov[i].iov_base, io->iov[i].iov_len);
		data += io->iov[i].iov_len;
	}
}

static uint64_t latency(struct disk *disk, const struct disk_io *io)
{
	uint64_t us = 20 + world_below(disk->world, 100) + io->bytes / 4096;

	if (io->op == ENV_FLUSH || io->flags & ENV_DSYNC)
		us += world_below(disk->world, 400);
	if (world_chance(disk->world, disk->faults.slow_ppm))
		us += 1000 * world_below(disk->world, disk->faults.slow_ms + 1);
	return us * SIM_US;
}

static void unlink_io(struct disk_io *io)
{
	*io->prev = io->next;
	if (io->next)
		io->next->prev = io->prev;
}

static void io_free(struct disk_io *io)
{
	event_clear(io->file->disk->world, &io->event);
	unlink_io(io);
	disk_put(io->file);
	sim_free(io->data);
	sim_free(io);
}

static void apply(struct disk *disk, struct disk_io *io)
{
	uint64_t offset = io->offset;

	if (io->op == ENV_WRITE && world_chance(disk->world, disk->faults.misdirect_ppm)) {
		offset = world_below(disk->world, (disk->bytes - io->bytes) / disk->block_bytes + 1) *
			 disk->block_bytes;
		world_trace(disk->world, "%s: a write for %llu lands at %llu", disk->name,
			    (unsigned long long)io->offset, (unsigned long long)offset);
	}
	disk->stamp++;
	image_write(disk->now, offset, io->data, io->bytes);
	if (io->flags & ENV_DSYNC) {
		image_write(disk->durable, offset, io->data, io->bytes);
		cache_supersede(disk, offset, io->bytes, io->data);
	} else {
		cache_add(disk, offset, io->bytes, io->data);
	}
}

/* Some of its sectors. */
static void apply_torn(struct disk *disk, const struct disk_io *io)
{
	disk->stamp++;
	for (uint64_t at = 0; at < io->bytes; at += SECTOR) {
		const uint8_t *data = io->data ? io->data + at : NULL;

		if (world_below(disk->world, 2))
			continue;
		image_write(disk->now, io->offset + at, data, SECTOR);
		cache_add(disk, io->offset + at, SECTOR, data);
	}
}

static bool fails(struct disk *disk, const struct disk_io *io)
{
	const struct disk_faults *f = &disk->faults;

	if (disk->broken)
		return true;
	return world_chance(disk->world, io->op == ENV_READ ? f->read_error_ppm :
							      f->write_error_ppm);
}

static void check_unchanged(struct disk *disk, const struct disk_io *io)
{
	uint64_t at = 0;

	for (unsigned int i = 0; io->done && i < io->nr_iov; i++) {
		if (memcmp(io->data + at, io->iov[i].iov_base, io->iov[i].iov_len))
			world_fail(disk->world, "%s: the buffer of a write at %llu changed while in flight",
				   disk->name, (unsigned long long)io->offset);
		at += io->iov[i].iov_len;
	}
}

static void read_into(struct disk *disk, const struct disk_io *io)
{
	uint64_t at = io->offset;

	for (unsigned int i = 0; io->done && i < io->nr_iov; i++) {
		image_read(disk->now, at, io->iov[i].iov_base, io->iov[i].iov_len);
		at += io->iov[i].iov_len;
	}
}

static ssize_t carry_out(struct disk *disk, struct disk_io *io)
{
	if (io->op == ENV_FLUSH)
		return flush(disk, io->stamp);
	if (io->op == ENV_WRITE)
		check_unchanged(disk, io);
	if (fails(disk, io)) {
		world_trace(disk->world, "%s: a %s at %llu fails", disk->name,
			    io->op == ENV_READ ? "read" : "write",
			    (unsigned long long)io->offset);
		if (changes(io) && !disk->broken)
			apply_torn(disk, io);
		return -EIO;
	}
	if (io->op == ENV_READ)
		read_into(disk, io);
	else
		apply(disk, io);
	return io->bytes;
}

static void complete(struct disk_io *io)
{
	ssize_t result = carry_out(io->file->disk, io);

	unlink_io(io);
	io->next = NULL;
	io->prev = &io->next;
	if (io->done)
		io->done(io, result);
	io_free(io);
}

static void fire(struct event *event)
{
	complete(sim_container(event, struct disk_io, event));
}

struct disk_io *disk_submit(struct disk_file *file, enum env_op op, unsigned int flags,
			    uint64_t offset, const struct iovec *iov, unsigned int nr_iov,
			    uint64_t length, void (*done)(struct disk_io *io, ssize_t result),
			    void *ctx)
{
	struct disk *disk = file->disk;
	struct disk_io *io = sim_alloc(sizeof(*io));

	*io = (struct disk_io){
		.event.fire = fire, .file = file, .op = op, .flags = flags, .offset = offset,
		.bytes = length, .iov = iov, .nr_iov = nr_iov, .stamp = disk->stamp,
		.done = done, .ctx = ctx,
	};
	for (unsigned int i = 0; i < nr_iov; i++)
		io->bytes += iov[i].iov_len;
	check(disk, io);
	if (op == ENV_WRITE) {
		io->data = sim_alloc(io->bytes);
		gather(io, io->data);
	}
	disk_get(file);
	io->next = disk->flying;
	io->prev = &disk->flying;
	if (io->next)
		io->next->prev = &io->next;
	disk->flying = io;
	event_after(disk->world, &io->event, latency(disk, io));
	return io;
}

void disk_orphan(struct disk_io *io)
{
	io->done = NULL;
	if (!changes(io) || world_below(io->file->disk->world, 2))
		io_free(io);
}

/* The earliest first, as they would have come. */
static struct disk_io *next_of(struct disk_file *file)
{
	struct disk_io *best = NULL;

	for (struct disk_io *io = file->disk->flying; io; io = io->next)
		if (io->file == file && (!best || io->event.at < best->event.at ||
					 (io->event.at == best->event.at &&
					  io->event.order < best->event.order)))
			best = io;
	return best;
}

void disk_drain(struct disk_file *file)
{
	struct disk_io *io;

	while ((io = next_of(file)))
		complete(io);
}

/* --- the power ----------------------------------------------------------- */

static void tear_flying(struct disk *disk)
{
	while (disk->flying) {
		struct disk_io *io = disk->flying;

		if (changes(io) && world_below(disk->world, 3)) {
			if (world_below(disk->world, 3))
				apply_torn(disk, io);
			else
				cache_add(disk, io->offset, io->bytes, io->data);
		}
		io_free(io);
	}
}

static void survive(struct disk *disk, const struct cached *c, unsigned int keep)
{
	for (uint64_t at = 0; at < c->bytes; at += SECTOR)
		if (world_below(disk->world, 4) < keep)
			image_write(disk->durable, c->offset + at, c->data ? c->data + at : NULL,
				    SECTOR);
}

void disk_power_cut(struct disk *disk)
{
	unsigned int keep = world_below(disk->world, 5);

	tear_flying(disk);
	while (disk->cache) {
		survive(disk, disk->cache, keep);
		cache_pop(disk);
	}
	for (size_t i = 0; i < disk->nr_pages; i++) {
		if (disk->now[i] && !disk->durable[i])
			memset(disk->now[i], 0, PAGE);
		else if (disk->durable[i])
			image_write(disk->now, i * PAGE, disk->durable[i], PAGE);
	}
}
