// SPDX-License-Identifier: GPL-2.0
/*
 * A frame as it comes from the wire or the log, and what the replica asks of
 * it before it is taken.  The input is the frame.  What decodes must encode
 * back to the same bytes and stay within itself; what does not must fill
 * nothing and say why.  The mutator repairs lengths and checksums most of the
 * time.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crc32c.h"
#include "agent/log.h"
#include "input.h"

enum { RESOURCE = 0x42, TIMELINE = 0x11, GENERATION = 1, SIZE_SECTORS = 4096 };

static const struct frame_limits limits = {
	.logical_block_bytes = 4096,
	.size_sectors = { SIZE_SECTORS, SIZE_SECTORS * 2 },
};

static void encode_op(const struct frame_op *op, struct reprise_op_desc *desc)
{
	desc->sector = htole64(op->sector);
	desc->sectors = htole32(op->sectors);
	desc->crc = htole32(op->crc);
	desc->volume = htole16(op->volume);
	desc->op = op->op;
	desc->flags = op->flags;
}

static uint32_t head_crc(const struct reprise_frame_head *head)
{
	return crc32c_with_hole(head, sizeof(*head), offsetof(struct reprise_frame_head, head_crc));
}

/* By the format alone; the agent has no encoder, its frames come from the module. */
static void encode(const struct frame *frame, struct reprise_frame_head *head)
{
	memset(head, 0, sizeof(*head));
	head->magic = htole32(REPRISE_FRAME_MAGIC);
	head->version = htole16(REPRISE_FRAME_VERSION);
	head->head_bytes = htole16(frame->head_bytes);
	head->frame_bytes = htole32(frame->frame_bytes);
	head->nr_ops = htole16(frame->nr_ops);
	head->origin = htole16(frame->origin);
	memcpy(head->resource_id, frame->resource_id, REPRISE_ID_BYTES);
	memcpy(head->timeline_id, frame->timeline_id, REPRISE_ID_BYTES);
	head->generation = htole64(frame->generation);
	head->first_seq = htole64(frame->first_seq);
	head->commit = htole64(frame->commit);
	head->flushed = htole64(frame->flushed);
	head->realtime_ns = htole64(frame->realtime_ns);
	for (unsigned int i = 0; i < frame->nr_ops; i++)
		encode_op(&frame->ops[i], &head->ops[i]);
	head->head_crc = htole32(head_crc(head));
}

/* Nobody behind the decoder needs to doubt a length or a range. */
static void check_decoded(const struct frame *frame)
{
	uint32_t offset = REPRISE_FRAME_HEAD_BYTES;

	must(frame->nr_ops <= REPRISE_FRAME_MAX_OPS);
	must(frame->first_seq && frame_last_seq(frame) >= frame->first_seq - 1);
	must(frame->commit <= frame_last_seq(frame) && frame->flushed <= frame_last_seq(frame));
	for (unsigned int i = 0; i < frame->nr_ops; i++) {
		const struct frame_op *op = &frame->ops[i];

		must(op->payload_offset == offset && op->volume < REPRISE_MAX_VOLUMES);
		offset += op->payload_bytes;
		must(frame_op_name(op->op));
	}
	must(offset == frame->frame_bytes && offset <= REPRISE_FRAME_MAX_BYTES);
}

static void check_limits(const struct frame *frame)
{
	char why[FRAME_WHY_BYTES] = "";

	if (frame_check_limits(frame, &limits, why)) {
		must(why[0]);
		return;
	}
	for (unsigned int i = 0; i < frame->nr_ops; i++) {
		const struct frame_op *op = &frame->ops[i];

		if (op->op == REPRISE_OP_WRITE || op->op == REPRISE_OP_WRITE_ZEROES)
			must(op->sector + op->sectors <= limits.size_sectors[op->volume] &&
			     op->sector % 8 == 0 && op->sectors % 8 == 0);
	}
}

static bool decodes(const void *buf, struct frame *frame)
{
	struct reprise_frame_head again;
	char why[FRAME_WHY_BYTES] = "";
	int error;

	fuzz_poison(frame, sizeof(*frame));
	error = frame_decode(buf, frame, why);
	if (error) {
		must(error == -ENOENT || error == -EPROTONOSUPPORT || error == -EINVAL);
		must(why[0] && fuzz_untouched(frame, sizeof(*frame)));
		return false;
	}
	check_decoded(frame);
	encode(frame, &again);
	must(!memcmp(&again, buf, sizeof(again)));
	return true;
}

/* The question of session, recovery and redo; of any part of a frame no more than "go on". */
static void check_at(const uint8_t *buf, size_t bytes, const struct frame *frame, bool valid)
{
	struct log_expect expect = { .generation = GENERATION, .limits = &limits };
	char why[FRAME_WHY_BYTES] = "";
	struct frame got;
	int error;

	memset(expect.resource_id, RESOURCE, REPRISE_ID_BYTES);
	memset(expect.timeline_id, TIMELINE, REPRISE_ID_BYTES);
	fuzz_poison(&got, sizeof(got));
	error = log_frame_at(buf, bytes, &expect, valid ? frame->first_seq : 0, &got, why);
	if (error) {
		must(fuzz_untouched(&got, sizeof(got)) && (error == -EAGAIN || why[0]));
		must(error != -EAGAIN || bytes < REPRISE_FRAME_HEAD_BYTES ||
		     (valid && frame->frame_bytes > bytes));
		return;
	}
	must(valid && got.frame_bytes <= bytes && got.generation == GENERATION);
	must(log_frame_at(buf, bytes, &expect, got.first_seq + 1, &got, why) == -EINVAL);
	must(got.first_seq == 1 ||
	     log_frame_at(buf, bytes, &expect, got.first_seq - 1, &got, why) == -EINVAL);
	must(log_frame_at(buf, got.frame_bytes - 1, &expect, 0, &got, why) == -EAGAIN);
	for (unsigned int i = 0; i < got.nr_ops; i++)
		must(!got.ops[i].payload_bytes ||
		     crc32c(buf + got.ops[i].payload_offset, got.ops[i].payload_bytes) ==
		     got.ops[i].crc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t *buf = malloc(bytes ? bytes : 1);
	struct frame frame;
	bool valid = false;

	must(buf);
	memcpy(buf, data, bytes);
	if (bytes >= REPRISE_FRAME_HEAD_BYTES) {
		must(frame_has_magic(buf) ==
		     (le32toh(*(uint32_t *)(void *)buf) == REPRISE_FRAME_MAGIC));
		valid = decodes(buf, &frame);
		if (valid)
			check_limits(&frame);
	}
	check_at(buf, bytes, &frame, valid);
	free(buf);
	return 0;
}

/* --- mutation ----------------------------------------------------------------- */

static void make_op(struct fuzz_random *random, struct reprise_op_desc *desc)
{
	bool zeroes = !fuzz_random_below(random, 3);

	*desc = (struct reprise_op_desc){
		.sector = htole64(fuzz_random_below(random, SIZE_SECTORS / 8) * 8),
		.sectors = htole32(zeroes ? 8 * (1 + fuzz_random_below(random, 300000)) :
					    8 * fuzz_random_below(random, 2)),
		.volume = htole16(fuzz_random_below(random, 3)),
		.op = zeroes ? REPRISE_OP_WRITE_ZEROES : 1 + fuzz_random_below(random, 5),
		.flags = 1 << fuzz_random_below(random, 8) & fuzz_random(random),
	};
	if (desc->op == REPRISE_OP_CHECKPOINT && fuzz_random_below(random, 8)) {
		desc->sector = desc->volume = 0;
		desc->sectors = htole32(1);
	} else if (desc->op == REPRISE_OP_RESIZE && fuzz_random_below(random, 8)) {
		desc->sector = htole64(SIZE_SECTORS);
		desc->sectors = 0;
	}
}

static void make_head(struct fuzz_random *random, struct reprise_frame_head *head)
{
	struct frame frame = {
		.head_bytes = sizeof(*head),
		.nr_ops = fuzz_random_below(random, 4),
		.origin = 1,
		.generation = GENERATION,
		.first_seq = 1 + fuzz_random_below(random, 100),
	};

	memset(frame.resource_id, RESOURCE, REPRISE_ID_BYTES);
	memset(frame.timeline_id, TIMELINE, REPRISE_ID_BYTES);
	memset(frame.ops, 0, sizeof(frame.ops));
	encode(&frame, head);
	for (unsigned int i = 0; i < frame.nr_ops; i++)
		make_op(random, &head->ops[i]);
}

static size_t payload_bytes(const struct reprise_op_desc *desc)
{
	bool has = desc->op != REPRISE_OP_WRITE_ZEROES && desc->op != REPRISE_OP_RESIZE;

	return has ? (size_t)le32toh(desc->sectors) * REPRISE_SECTOR_BYTES : 0;
}

/* Checksums of the payloads that fit @max; the frame's length after them. */
static size_t repair_payloads(uint8_t *data, size_t max)
{
	struct reprise_frame_head *head = (void *)data;
	size_t at = sizeof(*head);

	for (unsigned int i = 0; i < le16toh(head->nr_ops) && i < REPRISE_FRAME_MAX_OPS; i++) {
		size_t bytes = payload_bytes(&head->ops[i]);

		if (bytes > max - at)
			return at;
		head->ops[i].crc = bytes ? htole32(crc32c(data + at, bytes)) : 0;
		at += bytes;
	}
	head->frame_bytes = htole32(at);
	return at;
}

static void mutate_head(struct fuzz_random *random, struct reprise_frame_head *head)
{
	unsigned int nr = le16toh(head->nr_ops);

	switch (fuzz_random_below(random, 4)) {
	case 0:
		fuzz_mutate_block((uint8_t *)head, offsetof(struct reprise_frame_head, ops));
		break;
	case 1:
		make_op(random, &head->ops[fuzz_random_below(random, REPRISE_FRAME_MAX_OPS)]);
		break;
	case 2:
		if (nr < REPRISE_FRAME_MAX_OPS)
			make_op(random, &head->ops[nr]);
		head->nr_ops = htole16(nr + 1);
		break;
	default:
		fuzz_mutate_block((uint8_t *)&head->ops[fuzz_random_below(random, nr + 1) %
							REPRISE_FRAME_MAX_OPS],
				  sizeof(head->ops[0]));
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max, unsigned int seed)
{
	static uint64_t block[65536 / 8];	/* a header has its alignment */
	struct fuzz_random random = { seed };
	struct reprise_frame_head *head = (void *)block;
	size_t whole;

	if (max < sizeof(*head) || max > sizeof(block) || !fuzz_random_below(&random, 16))
		return LLVMFuzzerMutate(data, bytes, max);
	memset(block, 0, sizeof(block));
	memcpy(block, data, bytes);
	if (bytes < sizeof(*head))
		make_head(&random, head);
	else if (fuzz_random_below(&random, 4))
		mutate_head(&random, head);
	else
		fuzz_mutate_block((uint8_t *)block + sizeof(*head), max - sizeof(*head));
	whole = fuzz_random_below(&random, 8) ? repair_payloads((uint8_t *)block, max) : bytes;
	if (fuzz_random_below(&random, 16))
		head->head_crc = htole32(head_crc(head));
	if (whole < sizeof(*head))
		whole = sizeof(*head);
	memcpy(data, block, whole);
	return whole;
}
