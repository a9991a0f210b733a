/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reading a log at rest: which segments there are, and the frames of each, up
 * to where they end and why.  Changes nothing; the agent's own decoders judge.
 */
#ifndef REPRISE_SEGMENTS_H
#define REPRISE_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"

enum segment_state {
	SEGMENT_UNUSED,		/* no header */
	SEGMENT_VALID,
	SEGMENT_INVALID,	/* a header that must not be believed: see why */
};

/* Why the frames of a segment end where they do. */
enum segment_end {
	SEGMENT_END_CLEAN,	/* nothing follows that looks like a frame */
	SEGMENT_END_TORN,	/* a bad frame, and no good one of this session behind it */
	SEGMENT_END_DAMAGED,	/* a bad frame, and good ones behind it */
};

struct segment {
	char path[512];
	uint64_t offset;		/* of the segment in the file */
	uint64_t bytes;
	enum segment_state state;
	char why[FRAME_WHY_BYTES];	/* INVALID: which check failed */
	struct log_head head;		/* VALID */

	/* Filled by segments_scan(). */
	uint64_t frames, ops, last_seq;
	uint64_t end_offset;		/* of the first byte that is no frame, in the segment */
	enum segment_end end;
	char end_why[FRAME_WHY_BYTES];	/* which check failed there */
	uint64_t later_offset, later_seq;	/* DAMAGED: the first good frame behind */
};

/**
 * segments_find - all segments at @path: a log's directory, its block device,
 * or one segment's file; sorted by ordinal, unused and invalid ones last
 * @segment_bytes: 0: as the first header says
 * @list: malloc'ed, the caller frees it
 *
 * Return: false after having said why.
 */
bool segments_find(const char *path, uint64_t segment_bytes, struct segment **list,
		   unsigned int *count);

typedef void (*segments_frame_fn)(const struct segment *segment, uint64_t offset,
				  const struct frame *frame);

/* Read all frames of a valid segment; @fn may be NULL.  0 or -errno. */
int segments_scan(struct segment *segment, segments_frame_fn fn);

#endif /* REPRISE_SEGMENTS_H */
