// SPDX-License-Identifier: GPL-2.0
/*
 * The progress of requests: parts of an iovec, ways of zeroing, repetitions.
 */
#include "transfer.h"

#include <errno.h>
#include <limits.h>

/* The rest of @io: one buffer, or, on a boundary, several. */
unsigned int transfer_parts(const struct env_io *io)
{
	unsigned int parts = io->nr_iov - transfer_op(io)->part;

	if (transfer_op(io)->part_offset)
		return 1;
	return parts < IOV_MAX ? parts : IOV_MAX;
}

struct iovec transfer_part(const struct env_io *io)
{
	const struct iovec *part = &io->iov[transfer_op(io)->part];
	struct iovec rest = {
		.iov_base = (char *)part->iov_base + transfer_op(io)->part_offset,
		.iov_len = part->iov_len - transfer_op(io)->part_offset,
	};

	if (rest.iov_len > TRANSFER_MAX_BYTES)
		rest.iov_len = TRANSFER_MAX_BYTES;
	return rest;
}

enum transfer_zero_by transfer_zero_by(const struct env_io *io)
{
	if ((io->flags & ENV_UNMAP) && !io->file->no_punch)
		return ZERO_BY_PUNCH;
	return io->file->no_range ? ZERO_BY_WRITE : ZERO_BY_RANGE;
}

static void skip_empty_parts(struct env_io *io)
{
	struct transfer_op *top = transfer_op(io);

	while (top->part < io->nr_iov && top->part_offset == io->iov[top->part].iov_len) {
		top->part++;
		top->part_offset = 0;
	}
}

static void advance(struct env_io *io, size_t bytes)
{
	struct transfer_op *top = transfer_op(io);

	top->transferred += bytes;
	while (bytes) {
		size_t left = io->iov[top->part].iov_len - top->part_offset;
		size_t now = bytes < left ? bytes : left;

		top->part_offset += now;
		bytes -= now;
		skip_empty_parts(io);
	}
}

void transfer_submit(struct env *env, struct env_io *io)
{
	bool stream = io->op == ENV_RECV || io->op == ENV_SEND;
	struct target *target = stream ? &io->conn->target : &io->file->target;

	(void)env;
	*transfer_op(io) = (struct transfer_op){ .transferred = 0 };
	op_init(&transfer_op(io)->op, OP_IO, target);
	assert(!target->closing);
	if (io->op == ENV_ZERO) {
		assert(io->length > 0);
	} else if (io->op != ENV_FLUSH) {
		skip_empty_parts(io);
		assert(transfer_op(io)->part < io->nr_iov);
	}
	op_start(&transfer_op(io)->op);
}

static void io_complete(struct env_io *io, ssize_t result)
{
	op_end(&transfer_op(io)->op);
	io->done(io, result);
}

/* Not supported here: the next way.  Returns false when there is none. */
static bool zero_otherwise(struct env_io *io, int result)
{
	if (result != -EOPNOTSUPP && result != -ENOTTY && result != -EINVAL)
		return false;
	switch (transfer_op(io)->op.zero_by) {
	case ZERO_BY_PUNCH:
		io->file->no_punch = true;
		return true;
	case ZERO_BY_RANGE:
		io->file->no_range = true;
		return true;
	default:
		return false;
	}
}

static void zero_step(struct env_io *io, int result)
{
	struct transfer_op *top = transfer_op(io);
	uint64_t left = io->length - top->transferred;

	if (result < 0) {
		if (zero_otherwise(io, result))
			op_again(&top->op);
		else
			io_complete(io, result);
		return;
	}
	if (top->op.zero_by == ZERO_BY_WRITE && !result) {
		io_complete(io, -EIO);
		return;
	}
	if (top->op.zero_by == ZERO_BY_WRITE)
		top->transferred += result;
	else
		top->transferred += left < TRANSFER_MAX_BYTES ? left : TRANSFER_MAX_BYTES;
	if (top->transferred < io->length)
		op_again(&top->op);
	else
		io_complete(io, io->length);
}

static void move_step(struct env_io *io, int result)
{
	struct transfer_op *top = transfer_op(io);

	if (result <= 0) {
		io_complete(io, result ? result : -EIO);
		return;
	}
	top->op.tries = 0;
	advance(io, result);
	if (top->part == io->nr_iov)
		io_complete(io, top->transferred);
	else if (op_is_stale(&top->op))
		io_complete(io, -ECANCELED);
	else
		op_again(&top->op);
}

void transfer_step(struct env_io *io, int result)
{
	if (op_is_transient(&transfer_op(io)->op, result)) {
		transfer_op(io)->op.tries++;
		op_again(&transfer_op(io)->op);
		return;
	}
	switch (io->op) {
	case ENV_FLUSH:
	case ENV_RECV:
		io_complete(io, result);
		return;
	case ENV_ZERO:
		zero_step(io, result);
		return;
	default:
		move_step(io, result);
	}
}
