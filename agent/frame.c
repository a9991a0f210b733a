// SPDX-License-Identifier: GPL-2.0
/*
 * Frames: from the bytes on the wire and in the log to host form.  The one
 * idea: everything that is ever read from a frame has been checked here
 * first, so that nobody behind needs to doubt a length or a range.
 */
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "crc32c.h"
#include "frame.h"

enum {
	OP_FLAGS_KNOWN	= REPRISE_OP_FUA | REPRISE_OP_UNMAP | REPRISE_OP_SKIPPABLE,
};

/* A volume of 2^55 sectors ends at 2^64 bytes. */
#define MAX_SECTOR	(UINT64_MAX / REPRISE_SECTOR_BYTES)

static int __attribute__((format(printf, 2, 3)))
refuse(char why[FRAME_WHY_BYTES], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, FRAME_WHY_BYTES, fmt, args);
	va_end(args);
	return -EINVAL;
}

const char *frame_op_name(unsigned int op)
{
	switch (op) {
	case REPRISE_OP_WRITE:
		return "write";
	case REPRISE_OP_WRITE_ZEROES:
		return "write_zeroes";
	case REPRISE_OP_CHECKPOINT:
		return "checkpoint";
	case REPRISE_OP_RESIZE:
		return "resize";
	default:
		return "unknown";
	}
}

bool frame_has_magic(const void *head)
{
	uint32_t magic;

	memcpy(&magic, head, sizeof(magic));
	return le32toh(magic) == REPRISE_FRAME_MAGIC;
}

static bool has_payload(const struct frame_op *op)
{
	return op->op != REPRISE_OP_WRITE_ZEROES && op->op != REPRISE_OP_RESIZE;
}

static int check_sectors(const struct frame_op *op, unsigned int i, char *why)
{
	uint32_t max = op->op == REPRISE_OP_WRITE_ZEROES ? REPRISE_ZERO_MAX_SECTORS :
							   REPRISE_OP_MAX_SECTORS;

	switch (op->op) {
	case REPRISE_OP_WRITE:
	case REPRISE_OP_WRITE_ZEROES:
		if (!op->sectors || op->sectors > max)
			return refuse(why, "operation %u has a length of %u sectors", i,
				      op->sectors);
		if (op->sector > MAX_SECTOR - op->sectors)
			return refuse(why, "operation %u is past the end of any device", i);
		return 0;
	case REPRISE_OP_CHECKPOINT:
		if (op->sector || op->volume || op->sectors != 1)
			return refuse(why, "operation %u is a checkpoint with a range", i);
		return 0;
	case REPRISE_OP_RESIZE:
		if (op->sectors || !op->sector || op->sector > MAX_SECTOR)
			return refuse(why, "operation %u resizes to an impossible size", i);
		return 0;
	default:
		if (op->sectors > max)
			return refuse(why, "operation %u has a length of %u sectors", i,
				      op->sectors);
		return 0;
	}
}

static int check_flags(const struct frame_op *op, unsigned int i, char *why)
{
	bool known = op->op >= REPRISE_OP_WRITE && op->op <= REPRISE_OP_RESIZE;

	if (!known && !(op->flags & REPRISE_OP_SKIPPABLE))
		return refuse(why, "operation %u is of unknown type %u", i, op->op);
	if (op->flags & ~OP_FLAGS_KNOWN)
		return refuse(why, "operation %u has unknown flags 0x%02x", i, op->flags);
	if (op->flags & REPRISE_OP_UNMAP && op->op != REPRISE_OP_WRITE_ZEROES && known)
		return refuse(why, "operation %u unmaps, but is no write_zeroes", i);
	if (op->flags & REPRISE_OP_FUA && op->op > REPRISE_OP_WRITE_ZEROES && known)
		return refuse(why, "operation %u has FUA, but writes nothing", i);
	return 0;
}

static int decode_op(const struct reprise_op_desc *desc, unsigned int i, struct frame *frame,
		     uint32_t *offset, char *why)
{
	struct frame_op *op = &frame->ops[i];
	int error;

	op->sector = le64toh(desc->sector);
	op->sectors = le32toh(desc->sectors);
	op->crc = le32toh(desc->crc);
	op->volume = le16toh(desc->volume);
	op->op = desc->op;
	op->flags = desc->flags;
	op->payload_offset = *offset;
	op->payload_bytes = 0;
	if (desc->reserved)
		return refuse(why, "operation %u has reserved bytes set", i);
	if (op->volume >= REPRISE_MAX_VOLUMES)
		return refuse(why, "operation %u names volume %u", i, op->volume);
	error = check_flags(op, i, why);
	if (!error)
		error = check_sectors(op, i, why);
	if (error)
		return error;
	if (has_payload(op))
		op->payload_bytes = op->sectors * REPRISE_SECTOR_BYTES;
	else if (op->crc)
		return refuse(why, "operation %u has a checksum, but no payload", i);
	*offset += op->payload_bytes;
	return 0;
}

static int decode_ops(const struct reprise_frame_head *head, struct frame *frame, char *why)
{
	uint32_t offset = frame->head_bytes;
	unsigned int i;
	int error;

	for (i = 0; i < frame->nr_ops; i++) {
		error = decode_op(&head->ops[i], i, frame, &offset, why);
		if (error)
			return error;
	}
	if (!bytes_all_zero(&head->ops[i], sizeof(head->ops) - i * sizeof(head->ops[0])))
		return refuse(why, "unused operations are not empty");
	if (offset != frame->frame_bytes)
		return refuse(why, "its length of %u bytes does not match its operations (%u)",
			      frame->frame_bytes, offset);
	return 0;
}

static int decode_lengths(const struct reprise_frame_head *head, struct frame *frame, char *why)
{
	frame->head_bytes = le16toh(head->head_bytes);
	frame->frame_bytes = le32toh(head->frame_bytes);
	frame->nr_ops = le16toh(head->nr_ops);
	frame->origin = le16toh(head->origin);
	if (frame->head_bytes != REPRISE_FRAME_HEAD_BYTES)
		return refuse(why, "its header block has %u bytes", frame->head_bytes);
	if (frame->frame_bytes < frame->head_bytes ||
	    frame->frame_bytes > REPRISE_FRAME_MAX_BYTES ||
	    frame->frame_bytes % REPRISE_SECTOR_BYTES)
		return refuse(why, "its length is %u bytes", frame->frame_bytes);
	if (frame->nr_ops > REPRISE_FRAME_MAX_OPS)
		return refuse(why, "it has %u operations", frame->nr_ops);
	if (!frame->origin || frame->origin > REPRISE_MAX_NODES)
		return refuse(why, "its origin is node %u", frame->origin);
	return 0;
}

static int decode_positions(const struct reprise_frame_head *head, struct frame *frame, char *why)
{
	uint64_t last;

	frame->generation = le64toh(head->generation);
	frame->first_seq = le64toh(head->first_seq);
	frame->commit = le64toh(head->commit);
	frame->flushed = le64toh(head->flushed);
	frame->realtime_ns = le64toh(head->realtime_ns);
	if (!frame->first_seq || frame->first_seq > UINT64_MAX - REPRISE_FRAME_MAX_OPS)
		return refuse(why, "its first seq is out of range");
	last = frame_last_seq(frame);
	if (frame->commit > last)
		return refuse(why, "its commit %llu is beyond its last seq %llu",
			      (unsigned long long)frame->commit, (unsigned long long)last);
	if (frame->flushed > last)
		return refuse(why, "its flushed %llu is beyond its last seq %llu",
			      (unsigned long long)frame->flushed, (unsigned long long)last);
	return 0;
}

static int check_head_block(const struct reprise_frame_head *head, char *why)
{
	if (le32toh(head->magic) != REPRISE_FRAME_MAGIC) {
		refuse(why, "there is no frame");
		return -ENOENT;
	}
	if (le16toh(head->version) != REPRISE_FRAME_VERSION) {
		refuse(why, "it is of version %u, known is %u", le16toh(head->version),
		       REPRISE_FRAME_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (le32toh(head->head_crc) !=
	    crc32c_with_hole(head, sizeof(*head), offsetof(struct reprise_frame_head, head_crc)))
		return refuse(why, "the checksum of its header is wrong");
	if (head->flags)
		return refuse(why, "it has unknown flags 0x%x", le32toh(head->flags));
	if (head->stamp || !bytes_all_zero(head->reserved, sizeof(head->reserved)) ||
	    !bytes_all_zero(head->reserved2, sizeof(head->reserved2)))
		return refuse(why, "reserved bytes are set");
	return 0;
}

int frame_decode(const void *buf, struct frame *frame, char why[FRAME_WHY_BYTES])
{
	const struct reprise_frame_head *head = buf;
	struct frame got;
	int error;

	error = check_head_block(head, why);
	if (!error)
		error = decode_lengths(head, &got, why);
	if (!error)
		error = decode_positions(head, &got, why);
	if (!error)
		error = decode_ops(head, &got, why);
	if (error)
		return error;
	memcpy(got.resource_id, head->resource_id, sizeof(got.resource_id));
	memcpy(got.timeline_id, head->timeline_id, sizeof(got.timeline_id));
	*frame = got;
	return 0;
}

static int check_range(const struct frame_op *op, unsigned int i,
		       const struct frame_limits *limits, char *why)
{
	uint64_t size = limits->size_sectors[op->volume];
	uint32_t block = limits->logical_block_bytes / REPRISE_SECTOR_BYTES;

	if (!size)
		return refuse(why, "operation %u names volume %u, which does not exist", i,
			      op->volume);
	if (op->op == REPRISE_OP_RESIZE)
		return op->sector == size ? 0 :
			refuse(why, "operation %u resizes volume %u, which needs a newer version",
			       i, op->volume);
	if (op->sector > size || op->sectors > size - op->sector)
		return refuse(why, "operation %u goes past the end of volume %u", i, op->volume);
	if (op->sector % block || op->sectors % block)
		return refuse(why, "operation %u is not aligned to blocks of %u bytes", i,
			      limits->logical_block_bytes);
	return 0;
}

int frame_check_limits(const struct frame *frame, const struct frame_limits *limits,
		       char why[FRAME_WHY_BYTES])
{
	unsigned int i;
	int error;

	for (i = 0; i < frame->nr_ops; i++) {
		const struct frame_op *op = &frame->ops[i];

		if (op->op != REPRISE_OP_WRITE && op->op != REPRISE_OP_WRITE_ZEROES &&
		    op->op != REPRISE_OP_RESIZE)
			continue;
		error = check_range(op, i, limits, why);
		if (error)
			return error;
	}
	return 0;
}

int frame_check_payload(const struct frame *frame, const void *buf, char why[FRAME_WHY_BYTES])
{
	unsigned int i;

	for (i = 0; i < frame->nr_ops; i++) {
		const struct frame_op *op = &frame->ops[i];

		if (has_payload(op) && crc32c((const uint8_t *)buf + op->payload_offset,
					      op->payload_bytes) != op->crc)
			return refuse(why, "the checksum of operation %u is wrong", i);
	}
	return 0;
}
