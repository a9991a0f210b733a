// SPDX-License-Identifier: GPL-2.0
/*
 * The record with the highest number of all volumes; the segments of its log
 * in the order of their ordinals, each up to where its successor says that it
 * continues; in each, frames as long as they are intact and follow on.
 */
#include "image.h"

#include <endian.h>
#include <string.h>

#include "tests/checker/crc.h"

enum { MAX_SEGMENT_BYTES = 512 << 10 };

struct log_segment {
	const struct disk *disk;
	struct reprise_log_head head;
};

/* --- the record ---------------------------------------------------------- */

static bool read_copy(const struct disk *disk, unsigned int copy, struct reprise_meta_record *record)
{
	uint64_t area = (disk_bytes(disk) & ~4095ull) - REPRISE_META_AREA_BYTES;

	disk_peek_durable(disk, area + (copy ? REPRISE_META_COPY1_OFFSET : REPRISE_META_COPY0_OFFSET),
			  record, sizeof(*record));
	return !memcmp(record->magic, REPRISE_META_MAGIC, sizeof(record->magic)) &&
	       le32toh(record->crc) == crc_without(record, sizeof(*record),
						   offsetof(struct reprise_meta_record, crc));
}

static bool read_volume(const struct disk *disk, struct reprise_meta_record *best)
{
	static struct reprise_meta_record record;
	bool found = false;

	for (unsigned int copy = 0; copy < 2; copy++) {
		if (!read_copy(disk, copy, &record))
			continue;
		if (!found || le64toh(record.number) > le64toh(best->number))
			*best = record;
		found = true;
	}
	return found;
}

static void fill(struct image *image)
{
	const struct reprise_meta_record *r = &image->record;

	image->number = le64toh(r->number);
	image->applied = le64toh(r->applied);
	image->commit = le64toh(r->commit);
	image->left = le32toh(r->flags) & REPRISE_META_F_LEFT;
	image->left_seq = le64toh(r->left_seq);
	image->state = le16toh(r->state);
	image->nr_timelines = le16toh(r->nr_timelines);
	image->tip = image->applied;
	image->evidence = image->commit;
	image->oldest = 0;
	image->has_log = false;
}

void image_read_record(struct image *image, const struct model_copy *copy)
{
	static struct reprise_meta_record record;

	image->valid = false;
	image->least_number = UINT64_MAX;
	for (unsigned int v = 0; v < copy->nr_volumes; v++) {
		bool found = read_volume(copy->volumes[v], &record);
		uint64_t number = found ? le64toh(record.number) : 0;

		if (number < image->least_number)
			image->least_number = number;
		if (!found || (image->valid && number <= le64toh(image->record.number)))
			continue;
		image->record = record;
		image->valid = true;
	}
	if (image->valid)
		fill(image);
}

struct image_timeline image_timeline(const struct image *image, unsigned int index)
{
	const struct reprise_meta_timeline *t = &image->record.timelines[index];

	return (struct image_timeline){
		.id = t->id, .parent = t->parent, .generation = le64toh(t->generation),
		.fork_seq = le64toh(t->fork_seq), .kind = le16toh(t->kind),
	};
}

/* --- the log ------------------------------------------------------------- */

static bool read_head(const struct image *image, const uint8_t *timeline_id,
		      const struct disk *disk, struct reprise_log_head *head)
{
	disk_peek_durable(disk, 0, head, sizeof(*head));
	return !memcmp(head->magic, REPRISE_LOG_MAGIC, sizeof(head->magic)) &&
	       le32toh(head->crc) == crc_without(head, sizeof(*head),
						 offsetof(struct reprise_log_head, crc)) &&
	       !memcmp(head->log_id, image->record.log_id, sizeof(head->log_id)) &&
	       !memcmp(head->timeline_id, timeline_id, sizeof(head->timeline_id));
}

static unsigned int find_segments(const struct image *image, const struct model_copy *copy,
				  struct log_segment *segments)
{
	struct image_timeline current = image_timeline(image, image->nr_timelines - 1);
	unsigned int nr = 0, at;

	for (unsigned int i = 0; i < copy->nr_segments; i++) {
		struct log_segment segment = { .disk = copy->segments[i] };

		if (!read_head(image, current.id, copy->segments[i], &segment.head))
			continue;
		for (at = nr++; at && le64toh(segments[at - 1].head.ordinal) >
				      le64toh(segment.head.ordinal); at--)
			segments[at] = segments[at - 1];
		segments[at] = segment;
	}
	return nr;
}

static bool head_intact(const uint8_t *buf, size_t bytes, const struct reprise_log_head *log_head)
{
	const struct reprise_frame_head *head = (const void *)buf;

	return bytes >= sizeof(*head) && le32toh(head->magic) == REPRISE_FRAME_MAGIC &&
	       le32toh(head->head_crc) == crc_without(head, sizeof(*head),
						      offsetof(struct reprise_frame_head, head_crc)) &&
	       !memcmp(head->timeline_id, log_head->timeline_id, sizeof(head->timeline_id));
}

static bool intact(const uint8_t *buf, size_t bytes, const struct reprise_log_head *log_head,
		   uint64_t seq)
{
	const struct reprise_frame_head *head = (const void *)buf;
	size_t at = REPRISE_FRAME_HEAD_BYTES;

	if (!head_intact(buf, bytes, log_head) || le32toh(head->frame_bytes) > bytes ||
	    le64toh(head->first_seq) != seq)
		return false;
	for (unsigned int i = 0; i < le16toh(head->nr_ops); i++) {
		const struct reprise_op_desc *op = &head->ops[i];
		size_t payload = op->op == REPRISE_OP_WRITE ? le32toh(op->sectors) * 512ull : 0;

		if (at + payload > bytes ||
		    (payload && le32toh(op->crc) != crc_of(buf + at, payload)))
			return false;
		at += payload;
	}
	return at == le32toh(head->frame_bytes);
}

static void take_ops(const uint8_t *buf, image_op_fn fn, void *ctx)
{
	const struct reprise_frame_head *head = (const void *)buf;
	const uint8_t *payload = buf + REPRISE_FRAME_HEAD_BYTES;

	for (unsigned int i = 0; i < le16toh(head->nr_ops); i++) {
		const struct reprise_op_desc *op = &head->ops[i];
		bool write = op->op == REPRISE_OP_WRITE;

		fn(ctx, le64toh(head->first_seq) + i, op, write ? payload : NULL);
		payload += write ? le32toh(op->sectors) * 512ull : 0;
	}
}

static void note(struct image *image, uint64_t commit)
{
	if (commit > image->evidence)
		image->evidence = commit;
}

/* Frames behind a torn one do not count, but what they say of those before it is true. */
static void read_rest(struct image *image, const uint8_t *buf, size_t bytes,
		      const struct reprise_log_head *log_head)
{
	const struct reprise_frame_head *head;

	for (; bytes >= sizeof(*head); buf += 512, bytes -= 512) {
		head = (const void *)buf;
		if (head_intact(buf, bytes, log_head))
			note(image, le64toh(head->commit) < image->tip ? le64toh(head->commit) :
									 image->tip);
	}
}

static void read_segment(struct image *image, const struct log_segment *segment, uint64_t limit,
			 image_op_fn op, void *ctx)
{
	static uint8_t buf[MAX_SEGMENT_BYTES];
	size_t bytes = disk_bytes(segment->disk), at = le32toh(segment->head.first_offset);
	uint64_t seq = le64toh(segment->head.prev_seq);

	disk_peek_durable(segment->disk, 0, buf, bytes);
	note(image, le64toh(segment->head.commit));
	/* What is missing between two segments is missing before, too. */
	if (!image->has_log || image->tip < seq)
		image->oldest = seq;
	image->has_log = true;
	image->tip = seq;
	while (at < bytes && intact(buf + at, bytes - at, &segment->head, seq + 1)) {
		const struct reprise_frame_head *head = (const void *)(buf + at);
		uint64_t commit = le64toh(head->commit);

		if (seq + le16toh(head->nr_ops) > limit)
			break;
		take_ops(buf + at, op, ctx);
		note(image, commit < seq + 1 ? commit : seq);
		seq += le16toh(head->nr_ops);
		image->tip = seq;
		at += le32toh(head->frame_bytes);
	}
	if (at < bytes)
		read_rest(image, buf + at, bytes - at, &segment->head);
}

void image_read_log(struct image *image, const struct model_copy *copy, image_op_fn op, void *ctx)
{
	struct log_segment segments[MODEL_MAX_SEGMENTS];
	unsigned int nr = find_segments(image, copy, segments);
	uint64_t limit;

	for (unsigned int i = 0; i < nr; i++) {
		limit = i + 1 < nr ? le64toh(segments[i + 1].head.prev_seq) :
			image->left ? image->left_seq : UINT64_MAX;
		read_segment(image, &segments[i], limit, op, ctx);
	}
	if (image->tip < image->applied)
		image->tip = image->applied;
}
