/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a replica's disks hold, read without the agent's code: the record of
 * the metadata area, and the log from seq 1 on as a list of operations.
 */
#ifndef CHECKER_STREAM_H
#define CHECKER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kmod/uapi/reprise_frame.h"
#include "kmod/uapi/reprise_meta.h"

/* Says it on standard output as a comment of the report, and counts. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern unsigned int complaints;

/* A file or device as it is now, in memory. */
struct image {
	uint8_t *data;
	uint64_t bytes;
};

struct image image_read(const char *path);	/* ends the program on failure */

struct store {
	struct image image;
	const struct reprise_meta_record *record;	/* in the image */
	uint64_t sectors;				/* of the volume */
};

/* Read a backing device; without a valid record it complains. */
bool store_read(struct store *store, const char *path);

struct op {
	unsigned int type;		/* enum reprise_op_type */
	unsigned int volume;
	uint64_t sector;
	uint32_t sectors;
	const uint8_t *payload;		/* NULL: zeros */
};

struct stream {
	struct op *ops;			/* that of seq s is ops[s - 1] */
	uint64_t tip;
	uint64_t commit;		/* the highest that a valid frame or header names */
	uint64_t frames;
	unsigned int segments;
	const char *end;		/* why the last segment's frames end */
	size_t room;
};

/*
 * Read the log of the store that @record belongs to: a directory of segment
 * files, or slices of @segment_bytes of a device. Complains if frames are
 * missing that the log itself says were there.
 */
void stream_read(struct stream *stream, const char *path, uint64_t segment_bytes,
		 const struct reprise_meta_record *record);

#endif /* CHECKER_STREAM_H */
