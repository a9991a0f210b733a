// SPDX-License-Identifier: GPL-2.0
/*
 * Metadata records of a replica: read at open, written one at a time.  The
 * one idea: whoever needs something durable changes record.next (or relies
 * on the fields that follow the state by themselves), takes a ticket, and
 * waits until record.done reaches it; requests that come while a record is
 * being written share the next one.
 *
 * A record is written to its copy on all volumes, then all are flushed.  A
 * crash in between leaves some volumes one record behind; these are given
 * the current record again before a new one is written, because the new one
 * goes over the only copy they have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica_impl.h"

int record_init(struct replica *replica)
{
	unsigned int i;

	for (i = 0; i < 2 * replica->config.nr_volumes; i++) {
		struct record_io *io = &replica->record.ios[i];

		io->replica = replica;
		io->buf = aligned_alloc(4096, REPRISE_META_RECORD_BYTES);
		if (!io->buf)
			return -ENOMEM;
		io->iov = (struct iovec){ io->buf, REPRISE_META_RECORD_BYTES };
	}
	return 0;
}

void record_exit(struct replica *replica)
{
	unsigned int i;

	for (i = 0; i < 2 * REPRISE_MAX_VOLUMES; i++)
		free(replica->record.ios[i].buf);
}

static uint32_t all_volumes(const struct replica *replica)
{
	return (1U << replica->config.nr_volumes) - 1;
}

static void record_io_done(struct env_io *io, ssize_t result);

static void submit(struct replica *replica, unsigned int slot, unsigned int volume,
		   enum env_op op, uint64_t number)
{
	struct record_io *rio = &replica->record.ios[slot];

	rio->io = (struct env_io){
		.done = record_io_done,
		.op = op,
		.flags = op == ENV_WRITE ? ENV_DSYNC : 0,
		.file = replica->volumes[volume].file,
		.offset = op == ENV_FLUSH ? 0 :
			  meta_copy_offset(replica->volumes[volume].device_bytes, number),
		.iov = op == ENV_FLUSH ? NULL : &rio->iov,
		.nr_iov = op != ENV_FLUSH,
	};
	replica->record.pending++;
	env_submit(replica->config.env, &rio->io);
}

void record_load(struct replica *replica)
{
	unsigned int i;

	assert(replica->record.phase == RECORD_IDLE);
	replica->record.phase = RECORD_READ;
	replica->record.loaded = false;
	replica->record.error = 0;
	for (i = 0; i < replica->config.nr_volumes; i++) {
		submit(replica, 2 * i, i, ENV_READ, 0);
		submit(replica, 2 * i + 1, i, ENV_READ, 1);
	}
}

static bool check_volume(struct replica *replica, unsigned int i, const struct meta *meta,
			 const struct meta_volume *on_disk)
{
	const struct replica_volume *volume = &replica->volumes[i];
	const char *wrong = NULL;

	if (memcmp(meta->resource_id, replica->config.resource_id, REPRISE_ID_BYTES))
		wrong = "belongs to another resource";
	else if (meta->node != replica->config.node)
		wrong = "was written by another node";
	else if (meta->nr_volumes != replica->config.nr_volumes)
		wrong = "counts another number of volumes";
	else if (on_disk->number != volume->number)
		wrong = "belongs to another volume";
	else if (on_disk->size_sectors != volume->size_sectors)
		wrong = "names another size of the volume";
	else if (meta->logical_block_bytes != replica->config.logical_block_bytes)
		wrong = "names another logical block size";
	if (wrong)
		replica_fail(replica, REPLICA_META_INVALID,
			     "the metadata on the backing device of volume %u %s", volume->number,
			     wrong);
	return !wrong;
}

static bool take_volume(struct replica *replica, unsigned int i, struct meta *best,
			uint64_t *number)
{
	const struct record_io *copies = &replica->record.ios[2 * i];
	struct meta_volume on_disk;
	struct meta meta;
	const char *why;

	if (meta_choose(copies[0].buf, copies[1].buf, &meta, &on_disk, &why)) {
		replica_fail(replica, REPLICA_META_INVALID,
			     "the metadata on the backing device of volume %u is not usable: %s",
			     replica->volumes[i].number, why);
		return false;
	}
	if (!check_volume(replica, i, &meta, &on_disk))
		return false;
	if (i && memcmp(meta.log_id, best->log_id, REPRISE_ID_BYTES)) {
		replica_fail(replica, REPLICA_META_INVALID, "the volumes name different logs");
		return false;
	}
	*number = meta.number;
	if (!i || meta.number > best->number)
		*best = meta;
	return true;
}

static void choose(struct replica *replica)
{
	uint64_t numbers[REPRISE_MAX_VOLUMES] = { 0 };
	unsigned int i;

	for (i = 0; i < replica->config.nr_volumes; i++)
		if (!take_volume(replica, i, &replica->meta, &numbers[i]))
			return;
	replica->record.repair = 0;
	for (i = 0; i < replica->config.nr_volumes; i++) {
		if (numbers[i] + 1 < replica->meta.number) {
			replica_fail(replica, REPLICA_META_INVALID,
				     "volume %u lost writes or was replaced: its metadata is %llu records behind",
				     replica->volumes[i].number,
				     (unsigned long long)(replica->meta.number - numbers[i]));
			return;
		}
		if (numbers[i] < replica->meta.number)
			replica->record.repair |= 1U << i;
	}
	replica->record.next = replica->meta;
	replica->record.commit = 0;
}

/* What follows the state by itself. */
static void fill(struct replica *replica, struct meta *meta)
{
	uint64_t commit = replica->record.commit;

	meta->number = replica->meta.number + 1;
	meta->realtime_ns = env_realtime_ns(replica->config.env);
	meta->log_ordinal = replica->log.newest_ordinal;
	if (meta->log_ordinal < replica->meta.log_ordinal)
		meta->log_ordinal = replica->meta.log_ordinal;
	if (commit > meta->commit)
		meta->commit = commit;
	if (meta->state == REPRISE_STORE_CLEAN && meta->applied < replica->state.applied)
		meta->applied = replica->state.applied;
	if (meta->commit < meta->applied)
		meta->commit = meta->applied;
}

static void start_write(struct replica *replica)
{
	struct replica_record *record = &replica->record;
	unsigned int i;

	record->repairing = record->repair != 0;
	if (record->repairing) {
		record->writing = replica->meta;
		record->mask = record->repair;
	} else {
		record->begun = record->wanted;
		fill(replica, &record->next);
		record->writing = record->next;
		record->mask = all_volumes(replica);
	}
	record->phase = RECORD_WRITE;
	for (i = 0; i < replica->config.nr_volumes; i++) {
		const struct replica_volume *volume = &replica->volumes[i];
		struct meta_volume on_disk = {
			.number = volume->number,
			.size_sectors = volume->size_sectors,
			.device_sectors = volume->device_bytes / REPRISE_SECTOR_BYTES,
		};

		if (!(record->mask & 1U << i))
			continue;
		meta_encode(&record->writing, &on_disk, record->ios[i].buf);
		submit(replica, i, i, ENV_WRITE, record->writing.number);
	}
}

static void start_flush(struct replica *replica)
{
	unsigned int i;

	replica->record.phase = RECORD_FLUSH;
	for (i = 0; i < replica->config.nr_volumes; i++)
		if (replica->record.mask & 1U << i)
			submit(replica, i, i, ENV_FLUSH, 0);
}

static void finish_write(struct replica *replica)
{
	struct replica_record *record = &replica->record;

	record->phase = RECORD_IDLE;
	if (!record->loaded) {
		record->loaded = true;
		return;
	}
	if (record->repairing) {
		record->repair = 0;
		return;
	}
	replica->meta = record->writing;
	record->done = record->begun;
	append_count_used(replica);
}

/* All requests of a phase are back. */
static void next_phase(struct replica *replica)
{
	struct replica_record *record = &replica->record;

	if (record->error) {
		record->phase = RECORD_IDLE;
		replica_fail(replica, REPLICA_IO_ERROR,
			     "metadata on a backing device cannot be read or written: %s",
			     strerror(-record->error));
		return;
	}
	switch (record->phase) {
	case RECORD_READ:
		/*
		 * The record was read, but perhaps from a volatile cache: an
		 * agent killed before its flush.  Nothing may rely on it
		 * before it is durable.
		 */
		record->phase = RECORD_IDLE;
		choose(replica);
		if (replica_failed(replica))
			break;
		record->mask = all_volumes(replica);
		start_flush(replica);
		break;
	case RECORD_WRITE:
		start_flush(replica);
		break;
	case RECORD_FLUSH:
		finish_write(replica);
		break;
	case RECORD_IDLE:
		assert(0);
	}
}

static void record_io_done(struct env_io *io, ssize_t result)
{
	struct record_io *rio = (struct record_io *)io;
	struct replica *replica = rio->replica;
	struct replica_record *record = &replica->record;

	if (result < 0 && !record->error)
		record->error = result;
	if (!--record->pending)
		next_phase(replica);
	replica_pump(replica);
}

uint64_t record_request(struct replica *replica)
{
	/* One that is being written does not hold what is asked for now. */
	if (replica->record.wanted == replica->record.begun)
		replica->record.wanted++;
	replica->again = true;
	return replica->record.wanted;
}

void record_advance(struct replica *replica)
{
	struct replica_record *record = &replica->record;

	if (record->phase != RECORD_IDLE || replica_failed(replica) || !record->loaded ||
	    replica->released || record->wanted == record->done)
		return;
	record->error = 0;
	start_write(replica);
}
