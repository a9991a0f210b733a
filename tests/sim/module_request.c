// SPDX-License-Identifier: GPL-2.0
/*
 * The life of one bio, as in kmod/request.c: copied, charged, stamped,
 * written locally, ended when the stream says so.  A request that waits for
 * room, where the kernel's submitter would sleep, stands in a queue.
 */
#include <errno.h>
#include <string.h>

#include "agent/crc32c.h"
#include "heap.h"
#include "model.h"
#include "module_impl.h"

static bool try_charge(struct module *module, unsigned int bytes)
{
	uint64_t now = module->queued + bytes;

	if (now > module->queue_bytes && now != bytes && !module->dead)
		return false;
	module->queued = now;
	return true;
}

void request_uncharge(struct module *module, unsigned int bytes)
{
	module->queued -= bytes;
	if (module->waiting && !event_is_set(&module->room_work))
		event_after(module->host.world, &module->room_work, 0);
}

static void end_bio(struct request *request, int error)
{
	struct bio *bio = request->bio;

	if (request->module->dead)
		error = -EIO;
	request->bio = NULL;
	bio->done(bio, error);
}

void request_put(struct request *request)
{
	if (--request->refs)
		return;
	list_del(&request->all);
	sim_free(request->data);
	sim_free(request);
}

void request_complete(struct request *request)
{
	end_bio(request, request->is_flush ? request->flush.error : request->op.error);
	request_put(request);
}

void request_retire(struct request *request)
{
	request_uncharge(request->module, request->charged);
	request_put(request);
}

static struct request *request_alloc(struct module *module, struct bio *bio, unsigned int refs)
{
	struct request *request = sim_alloc(sizeof(*request));

	request->module = module;
	request->bio = bio;
	request->volume = &module->volumes[bio->volume];
	request->refs = refs;
	list_add_tail(&request->all, &module->requests);
	return request;
}

/* --- writes -------------------------------------------------------------- */

static void local_done(struct disk_io *io, ssize_t result)
{
	struct request *request = io->ctx;
	struct module *module = request->module;
	struct reprise_actions act;

	request->io = NULL;
	if (result < 0) {
		module_io_error(module, request->volume, true);
		model_local_error(module->host.model, module->host.number, request->op.seq);
	}
	reprise_actions_init(&act);
	reprise_stream_local_done(&module->stream, &request->op, result < 0 ? result : 0, &act);
	module_act(module, &act);
}

static void submit_data(struct request *request)
{
	const struct reprise_op *op = &request->op;
	bool zeroes = op->type == REPRISE_OP_WRITE_ZEROES;
	unsigned int flags = (op->flags & REPRISE_OP_FUA ? ENV_DSYNC : 0) |
			     (op->flags & REPRISE_OP_UNMAP ? ENV_UNMAP : 0);

	request->iov = (struct iovec){ request->data, op->sectors * 512ull };
	request->io = disk_submit(request->volume->file, zeroes ? ENV_ZERO : ENV_WRITE, flags,
				  op->sector * 512, zeroes ? NULL : &request->iov, !zeroes,
				  zeroes ? op->sectors * 512ull : 0, local_done, request);
}

/* A flush goes to the disk: for @bio, or before it. */
static struct disk_io *disk_flush(struct request *request,
				  void (*done)(struct disk_io *io, ssize_t result))
{
	request->bio->order = model_disk_flush(request->module->host.model);
	return disk_submit(request->volume->file, ENV_FLUSH, 0, 0, NULL, 0, 0, done, request);
}

static void disk_flushed(struct request *request, bool failed)
{
	struct module_host *host = &request->module->host;

	model_disk_flushed(host->model, host->number, request->volume->number,
			   request->bio->order, failed);
}

static void preflushed(struct disk_io *io, ssize_t result)
{
	struct request *request = io->ctx;

	disk_flushed(request, result < 0);
	if (result < 0)
		local_done(io, result);
	else
		submit_data(request);
}

/* The block layer flushes before a write with PREFLUSH. */
void request_submit_local(struct request *request)
{
	if (request->flushes_first)
		request->io = disk_flush(request, preflushed);
	else
		submit_data(request);
}

static void copy_payload(struct request *request, const struct bio *bio)
{
	size_t bytes = bio->sectors * 512ull;

	request->data = sim_alloc(bytes);
	memcpy(request->data, bio->data, bytes);
	request->op.crc = crc32c(request->data, bytes);
}

static void submit_write(struct module *module, struct bio *bio, unsigned int charged)
{
	struct request *request = request_alloc(module, bio, 2);
	struct reprise_op *op = &request->op;
	struct reprise_actions act;

	request->charged = charged;
	request->volume->writes++;
	op->type = bio->op == BIO_WRITE ? REPRISE_OP_WRITE : REPRISE_OP_WRITE_ZEROES;
	op->volume = bio->volume;
	op->sector = bio->sector;
	op->sectors = bio->sectors;
	if (bio->op == BIO_WRITE)
		copy_payload(request, bio);
	else if (bio->unmap)
		op->flags |= REPRISE_OP_UNMAP;
	if (bio->fua)
		op->flags |= REPRISE_OP_FUA;
	request->flushes_first = bio->fua;
	reprise_actions_init(&act);
	reprise_stream_submit(&module->stream, op, &act);
	model_stamped(module->host.model, module->host.number, bio, op->seq);
	module_act(module, &act);
}

/* --- flushes and reads --------------------------------------------------- */

static void flush_done(struct disk_io *io, ssize_t result)
{
	struct request *request = io->ctx;
	struct module *module = request->module;
	struct reprise_actions act;

	request->io = NULL;
	disk_flushed(request, result < 0);
	if (result < 0)
		module_io_error(module, request->volume, true);
	reprise_actions_init(&act);
	reprise_stream_flush_done(&module->stream, &request->flush, result < 0 ? result : 0, &act);
	module_act(module, &act);
}

static void submit_flush(struct module *module, struct bio *bio)
{
	struct request *request = request_alloc(module, bio, 1);

	request->is_flush = true;
	request->volume->flushes++;
	request->flush.volume = bio->volume;
	reprise_stream_flush(&module->stream, &request->flush);
	request->io = disk_flush(request, flush_done);
}

static void read_done(struct disk_io *io, ssize_t result)
{
	struct request *request = io->ctx;
	struct module *module = request->module;
	struct bio *bio = request->bio;

	if (result < 0)
		module_io_error(module, request->volume, false);
	request->bio = NULL;
	request_put(request);
	bio->done(bio, result < 0 ? result : 0);
}

static void submit_read(struct module *module, struct bio *bio)
{
	struct request *request = request_alloc(module, bio, 1);

	request->volume->reads++;
	request->is_flush = true;
	request->iov = (struct iovec){ bio->data, bio->sectors * 512ull };
	request->io = disk_submit(request->volume->file, ENV_READ, 0, bio->sector * 512,
				  &request->iov, 1, 0, read_done, request);
}

/* --- entry --------------------------------------------------------------- */

static bool held_back(struct module *module, struct bio *bio)
{
	if (module->frozen && !module->dead) {
		bio->next = NULL;
		*module->parked_end = bio;
		module->parked_end = &bio->next;
		return true;
	}
	if (!module->dead)
		return false;
	bio->done(bio, -EIO);
	return true;
}

void request_bio(struct module *module, struct bio *bio)
{
	unsigned int charged = sizeof(struct request) +
			       (bio->op == BIO_WRITE ? bio->sectors * 512u : 0);

	if (held_back(module, bio))
		return;
	if (bio->op == BIO_READ) {
		submit_read(module, bio);
	} else if (bio->op == BIO_FLUSH) {
		submit_flush(module, bio);
	} else if (try_charge(module, charged)) {
		submit_write(module, bio, charged);
	} else {
		session_wake_all(module);
		bio->next = NULL;
		*module->waiting_end = bio;
		module->waiting_end = &bio->next;
	}
}
