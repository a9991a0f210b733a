/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a node's disks hold, durably, read by the formats alone: the record of
 * its metadata areas, and how far its log goes.  Shares no code with the
 * agent; checksums are tests/checker's.
 */
#ifndef SIM_IMAGE_H
#define SIM_IMAGE_H

#include "kmod/uapi/reprise_frame.h"
#include "kmod/uapi/reprise_meta.h"
#include "model.h"

struct image_timeline {
	const uint8_t *id, *parent;
	uint64_t generation, fork_seq;
	unsigned int kind;
};

struct image {
	bool valid;			/* a record was found */
	struct reprise_meta_record record;
	uint64_t applied, commit, left_seq, number;
	bool left;
	unsigned int state, nr_timelines;
	uint64_t least_number;		/* of the volumes' records */
	/* the log of the current timeline */
	uint64_t tip, evidence;
	bool has_log;
	uint64_t oldest;		/* operations behind this one are in it */
};

/*
 * Called for every operation of an intact frame that counts: @payload of
 * REPRISE_OP_WRITE, else NULL.
 */
typedef void (*image_op_fn)(void *ctx, uint64_t seq, const struct reprise_op_desc *desc,
			    const uint8_t *payload);

void image_read_record(struct image *image, const struct model_copy *copy);
/* After the record: the log. */
void image_read_log(struct image *image, const struct model_copy *copy, image_op_fn op, void *ctx);
struct image_timeline image_timeline(const struct image *image, unsigned int index);

#endif /* SIM_IMAGE_H */
