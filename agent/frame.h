/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A frame in host form, and what makes one valid.  Pure.  Strict: what this
 * version does not know, or what does not add up, is refused with a text
 * that names it.  The format is kmod/uapi/reprise_frame.h.
 *
 * Three steps, because they need different things: the header block alone,
 * the resource it should fit (sizes of the volumes), and the payloads.
 */
#ifndef REPRISE_FRAME_H
#define REPRISE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kmod/uapi/reprise_frame.h"

enum { FRAME_WHY_BYTES = 160 };

struct frame_op {
	uint64_t sector;
	uint32_t sectors;
	uint32_t crc;
	unsigned int volume;
	unsigned int op;		/* enum reprise_op_type, or unknown and skippable */
	unsigned int flags;
	uint32_t payload_offset;	/* in the frame */
	uint32_t payload_bytes;
};

struct frame {
	uint32_t head_bytes;
	uint32_t frame_bytes;
	unsigned int nr_ops;
	unsigned int origin;
	uint8_t resource_id[REPRISE_ID_BYTES];
	uint8_t timeline_id[REPRISE_ID_BYTES];
	uint64_t generation;
	uint64_t first_seq;
	uint64_t commit;
	uint64_t flushed;
	uint64_t realtime_ns;
	struct frame_op ops[REPRISE_FRAME_MAX_OPS];
};

/* What the operations must fit: sizes of the resource's volumes, 0 where there is none. */
struct frame_limits {
	uint32_t logical_block_bytes;
	uint64_t size_sectors[REPRISE_MAX_VOLUMES];
};

/* Last seq in the frame; of a frame without operations, the one before its first_seq. */
static inline uint64_t frame_last_seq(const struct frame *frame)
{
	return frame->first_seq + frame->nr_ops - 1;
}

/* Does this look like the start of a frame?  For a quick search, nothing more. */
bool frame_has_magic(const void *head);

/*
 * Take the header block (REPRISE_FRAME_HEAD_BYTES at @head).  Return 0, or
 * with @why filled: -ENOENT (no magic), -EPROTONOSUPPORT (version), -EINVAL.
 * @frame is untouched on failure.
 */
int frame_decode(const void *head, struct frame *frame, char why[FRAME_WHY_BYTES]);

/* Do the operations fit the volumes and blocks?  0 or -EINVAL with @why. */
int frame_check_limits(const struct frame *frame, const struct frame_limits *limits,
		       char why[FRAME_WHY_BYTES]);

/* Are the payloads of the whole frame at @buf intact?  0 or -EINVAL with @why. */
int frame_check_payload(const struct frame *frame, const void *buf, char why[FRAME_WHY_BYTES]);

/* "write", "write_zeroes", ... "unknown" */
const char *frame_op_name(unsigned int op);

#endif /* REPRISE_FRAME_H */
