/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The log's format: segment headers and the frames behind them.  Pure: no
 * file is touched here.  Used by the replica (replica_append.c writes,
 * replica_recover.c reads) and by whoever wants to show a log.
 */
#ifndef REPRISE_LOG_H
#define REPRISE_LOG_H

#include "frame.h"
#include "../kmod/uapi/reprise_meta.h"

enum {
	LOG_BLOCK_BYTES = 4096,		/* log writes cover whole blocks */
};

/* A segment's header in host form. */
struct log_head {
	uint8_t log_id[REPRISE_ID_BYTES];
	uint8_t resource_id[REPRISE_ID_BYTES];
	uint64_t ordinal;
	uint64_t segment_bytes;
	uint64_t session;
	uint64_t session_ordinal;
	uint8_t timeline_id[REPRISE_ID_BYTES];
	uint64_t generation;
	uint8_t prev_timeline_id[REPRISE_ID_BYTES];
	uint64_t prev_seq;
	uint64_t first_seq;
	uint64_t commit;
	uint32_t first_offset;
};

static inline uint64_t log_block_floor(uint64_t pos)
{
	return pos & ~(uint64_t)(LOG_BLOCK_BYTES - 1);
}

static inline uint64_t log_block_ceil(uint64_t pos)
{
	return log_block_floor(pos + LOG_BLOCK_BYTES - 1);
}

/* @buf: REPRISE_LOG_HEAD_BYTES. */
void log_head_encode(const struct log_head *head, void *buf);
/*
 * Return 0, or with @why pointing to a constant text and @head untouched:
 * -ENOENT (no magic: the segment is unused), -EPROTONOSUPPORT (version),
 * -EINVAL (checksum: torn or damaged; or a value out of range).
 */
int log_head_decode(const void *buf, struct log_head *head, const char **why);

/* What frames must match to continue a log or session. */
struct log_expect {
	uint8_t resource_id[REPRISE_ID_BYTES];
	uint8_t timeline_id[REPRISE_ID_BYTES];
	uint64_t generation;
	const struct frame_limits *limits;	/* NULL: volumes unknown, not checked */
};

/* Do resource, timeline, generation, ranges fit?  0, or -EINVAL with @why. */
int log_expect_check(const struct log_expect *expect, const struct frame *frame,
		     char why[FRAME_WHY_BYTES]);

/*
 * The frame at the start of @buf, @bytes of which are there: 0 if it is
 * whole, intact, fits @expect (NULL: anything) and begins with @seq (0: any).
 * -EAGAIN: it goes on beyond @bytes (and what is there is intact);
 * otherwise as frame_decode(), with @why.
 */
int log_frame_at(const void *buf, size_t bytes, const struct log_expect *expect, uint64_t seq,
		 struct frame *frame, char why[FRAME_WHY_BYTES]);

#endif /* REPRISE_LOG_H */
