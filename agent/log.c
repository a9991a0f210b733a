// SPDX-License-Identifier: GPL-2.0
/*
 * The log's format.  The one idea: one function says whether a frame is the
 * next one, and session, recovery and redo all ask it.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crc32c.h"
#include "log.h"

static uint32_t head_crc(const void *buf)
{
	return crc32c_with_hole(buf, REPRISE_LOG_HEAD_BYTES, offsetof(struct reprise_log_head, crc));
}

void log_head_encode(const struct log_head *head, void *buf)
{
	struct reprise_log_head *disk = buf;

	memset(disk, 0, sizeof(*disk));
	memcpy(disk->magic, REPRISE_LOG_MAGIC, sizeof(disk->magic));
	disk->version = htole32(REPRISE_LOG_VERSION);
	memcpy(disk->log_id, head->log_id, sizeof(disk->log_id));
	memcpy(disk->resource_id, head->resource_id, sizeof(disk->resource_id));
	disk->ordinal = htole64(head->ordinal);
	disk->segment_bytes = htole64(head->segment_bytes);
	disk->session = htole64(head->session);
	disk->session_ordinal = htole64(head->session_ordinal);
	memcpy(disk->timeline_id, head->timeline_id, sizeof(disk->timeline_id));
	disk->generation = htole64(head->generation);
	memcpy(disk->prev_timeline_id, head->prev_timeline_id, sizeof(disk->prev_timeline_id));
	disk->prev_seq = htole64(head->prev_seq);
	disk->first_seq = htole64(head->first_seq);
	disk->commit = htole64(head->commit);
	disk->first_offset = htole32(head->first_offset);
	disk->crc = htole32(head_crc(disk));
}

static void take_head(const struct reprise_log_head *disk, struct log_head *head)
{
	memcpy(head->log_id, disk->log_id, sizeof(head->log_id));
	memcpy(head->resource_id, disk->resource_id, sizeof(head->resource_id));
	head->ordinal = le64toh(disk->ordinal);
	head->segment_bytes = le64toh(disk->segment_bytes);
	head->session = le64toh(disk->session);
	head->session_ordinal = le64toh(disk->session_ordinal);
	memcpy(head->timeline_id, disk->timeline_id, sizeof(head->timeline_id));
	head->generation = le64toh(disk->generation);
	memcpy(head->prev_timeline_id, disk->prev_timeline_id, sizeof(head->prev_timeline_id));
	head->prev_seq = le64toh(disk->prev_seq);
	head->first_seq = le64toh(disk->first_seq);
	head->commit = le64toh(disk->commit);
	head->first_offset = le32toh(disk->first_offset);
}

static const char *check_head(const struct reprise_log_head *disk, const struct log_head *head)
{
	size_t i;

	if (!head->ordinal || !head->session_ordinal || head->session_ordinal > head->ordinal)
		return "its ordinals are out of range";
	if (head->first_offset < REPRISE_LOG_HEAD_BYTES ||
	    head->first_offset >= 2 * REPRISE_LOG_HEAD_BYTES ||
	    head->first_offset % REPRISE_SECTOR_BYTES)
		return "its first frame is at an impossible offset";
	if (head->segment_bytes % LOG_BLOCK_BYTES || head->segment_bytes <= head->first_offset)
		return "its size is out of range";
	if (!head->first_seq || head->first_seq <= head->prev_seq || head->commit > head->prev_seq)
		return "its positions contradict each other";
	for (i = 0; i < sizeof(disk->reserved); i++)
		if (disk->reserved[i])
			return "reserved bytes are set";
	return NULL;
}

int log_head_decode(const void *buf, struct log_head *head, const char **why)
{
	const struct reprise_log_head *disk = buf;
	struct log_head got;

	if (memcmp(disk->magic, REPRISE_LOG_MAGIC, sizeof(disk->magic))) {
		*why = "there is no segment header";
		return -ENOENT;
	}
	if (le32toh(disk->crc) != head_crc(disk)) {
		*why = "the checksum of the segment header is wrong";
		return -EINVAL;
	}
	if (le32toh(disk->version) != REPRISE_LOG_VERSION) {
		*why = "the segment is of another version";
		return -EPROTONOSUPPORT;
	}
	take_head(disk, &got);
	*why = check_head(disk, &got);
	if (*why)
		return -EINVAL;
	*head = got;
	return 0;
}

static int refuse(char *why, const char *text)
{
	snprintf(why, FRAME_WHY_BYTES, "%s", text);
	return -EINVAL;
}

int log_expect_check(const struct log_expect *expect, const struct frame *frame,
		     char why[FRAME_WHY_BYTES])
{
	if (memcmp(frame->resource_id, expect->resource_id, REPRISE_ID_BYTES))
		return refuse(why, "it belongs to another resource");
	if (memcmp(frame->timeline_id, expect->timeline_id, REPRISE_ID_BYTES))
		return refuse(why, "it belongs to another timeline");
	if (frame->generation != expect->generation)
		return refuse(why, "its timeline is of another generation");
	return expect->limits ? frame_check_limits(frame, expect->limits, why) : 0;
}

int log_frame_at(const void *buf, size_t bytes, const struct log_expect *expect, uint64_t seq,
		 struct frame *frame, char why[FRAME_WHY_BYTES])
{
	struct frame got;
	int error;

	if (bytes < REPRISE_FRAME_HEAD_BYTES)
		return -EAGAIN;
	error = frame_decode(buf, &got, why);
	if (!error && expect)
		error = log_expect_check(expect, &got, why);
	if (error)
		return error;
	if (seq && got.first_seq != seq) {
		snprintf(why, FRAME_WHY_BYTES, "it begins with seq %llu, expected is %llu",
			 (unsigned long long)got.first_seq, (unsigned long long)seq);
		return -EINVAL;
	}
	if (got.frame_bytes > bytes)
		return -EAGAIN;
	error = frame_check_payload(&got, buf, why);
	if (!error)
		*frame = got;
	return error;
}
