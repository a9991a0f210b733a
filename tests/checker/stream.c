// SPDX-License-Identifier: GPL-2.0
/*
 * Reads metadata and log as kmod/uapi/ describes them, in one pass and in
 * memory: runs that are checked are small, and recycle no segment.
 */
#include "stream.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc.h"

enum { MAX_SEGMENTS = 256, MAX_COMPLAINTS = 20 };

struct segment {
	const uint8_t *data;
	const struct reprise_log_head *head;
	uint64_t bytes;
};

unsigned int complaints;

void complain(const char *fmt, ...)
{
	va_list args;

	if (++complaints > MAX_COMPLAINTS)
		return;
	va_start(args, fmt);
	printf("# ");
	vprintf(fmt, args);
	printf("\n");
	va_end(args);
}

static void __attribute__((noreturn)) die(const char *path, int error)
{
	fprintf(stderr, "log-check: %s: %s\n", path, strerror(error));
	exit(2);
}

/* --- images ------------------------------------------------------------- */

struct image image_read(const char *path)
{
	/* Past the page cache, which may be older than the disk. */
	int fd = open(path, O_RDONLY | O_DIRECT);
	struct image image;
	off_t end;

	if (fd < 0 && errno == EINVAL)
		fd = open(path, O_RDONLY);
	end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	if (end < 0)
		die(path, errno);
	image.bytes = end;
	image.data = aligned_alloc(4096, (image.bytes + 4095) / 4096 * 4096);
	if (!image.data)
		die(path, ENOMEM);
	for (uint64_t done = 0; done < image.bytes;) {
		ssize_t n = pread(fd, image.data + done, image.bytes - done, done);

		if (n <= 0)
			die(path, n ? errno : EIO);
		done += n;
	}
	close(fd);
	return image;
}

/* --- metadata ----------------------------------------------------------- */

static const struct reprise_meta_record *record_at(const struct image *image, uint64_t offset)
{
	const struct reprise_meta_record *record = (const void *)(image->data + offset);

	if (memcmp(record->magic, REPRISE_META_MAGIC, 8) ||
	    le32toh(record->version) != REPRISE_META_VERSION ||
	    le32toh(record->crc) != crc_without(record, REPRISE_META_RECORD_BYTES,
						offsetof(struct reprise_meta_record, crc)))
		return NULL;
	return record;
}

bool store_read(struct store *store, const char *path)
{
	const struct reprise_meta_record *a, *b;
	uint64_t area;

	store->image = image_read(path);
	area = store->image.bytes / 4096 * 4096 - REPRISE_META_AREA_BYTES;
	if (store->image.bytes < 2 * REPRISE_META_AREA_BYTES) {
		complain("%s is too small", path);
		return false;
	}
	a = record_at(&store->image, area + REPRISE_META_COPY0_OFFSET);
	b = record_at(&store->image, area + REPRISE_META_COPY1_OFFSET);
	if (!a || (b && le64toh(b->number) > le64toh(a->number)))
		a = b;
	store->record = a;
	if (!a) {
		complain("%s: no valid metadata record", path);
		return false;
	}
	store->sectors = le64toh(a->size_sectors);
	if (store->sectors > area / REPRISE_SECTOR_BYTES) {
		complain("%s: the record's size is wrong", path);
		return false;
	}
	return true;
}

/* --- frames -------------------------------------------------------------- */

static bool is_zero(const void *data, size_t bytes)
{
	const uint8_t *p = data;

	while (bytes--)
		if (*p++)
			return false;
	return true;
}

static uint64_t payload_bytes(const struct reprise_op_desc *desc)
{
	bool has = desc->op == REPRISE_OP_WRITE || desc->op == REPRISE_OP_CHECKPOINT;

	return has ? (uint64_t)le32toh(desc->sectors) * REPRISE_SECTOR_BYTES : 0;
}

/* What is wrong with the header block at @head? NULL: nothing. */
static const char *head_fault(const struct reprise_frame_head *head,
			      const struct reprise_log_head *segment)
{
	uint64_t bytes = REPRISE_FRAME_HEAD_BYTES;

	if (le32toh(head->magic) != REPRISE_FRAME_MAGIC)
		return "no frame";
	if (le32toh(head->head_crc) != crc_without(head, REPRISE_FRAME_HEAD_BYTES,
						   offsetof(struct reprise_frame_head, head_crc)))
		return "a header with a wrong checksum";
	if (le16toh(head->version) != REPRISE_FRAME_VERSION ||
	    le16toh(head->head_bytes) != REPRISE_FRAME_HEAD_BYTES ||
	    le16toh(head->nr_ops) > REPRISE_FRAME_MAX_OPS || head->flags || head->stamp ||
	    !is_zero(head->reserved, sizeof(head->reserved)) ||
	    !is_zero(head->reserved2, sizeof(head->reserved2)))
		return "a header that is not of this version";
	if (memcmp(head->resource_id, segment->resource_id, 16) ||
	    memcmp(head->timeline_id, segment->timeline_id, 16) ||
	    head->generation != segment->generation)
		return "a frame of another timeline";
	for (unsigned int i = 0; i < le16toh(head->nr_ops); i++)
		bytes += payload_bytes(&head->ops[i]);
	if (bytes != le32toh(head->frame_bytes) || bytes > REPRISE_FRAME_MAX_BYTES)
		return "a header with a wrong length";
	return NULL;
}

static const char *payload_fault(const struct reprise_frame_head *head)
{
	const uint8_t *p = (const uint8_t *)head + REPRISE_FRAME_HEAD_BYTES;

	for (unsigned int i = 0; i < le16toh(head->nr_ops); i++) {
		const struct reprise_op_desc *desc = &head->ops[i];
		uint64_t bytes = payload_bytes(desc);

		if (le32toh(desc->crc) != (bytes ? crc_of(p, bytes) : 0))
			return "a payload with a wrong checksum";
		p += bytes;
	}
	return NULL;
}

/* What keeps the bytes at @offset from being the frame that begins with @seq? */
static const char *frame_fault(const struct segment *segment, uint64_t offset, uint64_t seq)
{
	const struct reprise_frame_head *head = (const void *)(segment->data + offset);
	const char *fault;

	if (offset + REPRISE_FRAME_HEAD_BYTES > segment->bytes)
		return "the segment's end";
	fault = head_fault(head, segment->head);
	if (fault)
		return fault;
	if (le64toh(head->first_seq) != seq)
		return "a frame with another seq";
	if (offset + le32toh(head->frame_bytes) > segment->bytes)
		return "a frame that goes past the segment";
	return payload_fault(head);
}

static void take_op(struct stream *stream, const struct reprise_op_desc *desc,
		    const uint8_t *payload)
{
	if (stream->tip == stream->room) {
		stream->room = stream->room ? 2 * stream->room : 4096;
		stream->ops = realloc(stream->ops, stream->room * sizeof(*stream->ops));
		if (!stream->ops)
			die("operations", ENOMEM);
	}
	stream->ops[stream->tip++] = (struct op){
		.type = desc->op,
		.volume = le16toh(desc->volume),
		.sector = le64toh(desc->sector),
		.sectors = le32toh(desc->sectors),
		.payload = payload_bytes(desc) ? payload : NULL,
	};
}

static void note_commit(struct stream *stream, uint64_t commit)
{
	if (commit > stream->commit)
		stream->commit = commit;
}

static uint64_t take_frame(struct stream *stream, const struct reprise_frame_head *head)
{
	const uint8_t *p = (const uint8_t *)head + REPRISE_FRAME_HEAD_BYTES;
	uint64_t commit = le64toh(head->commit);

	for (unsigned int i = 0; i < le16toh(head->nr_ops); i++) {
		take_op(stream, &head->ops[i], p);
		p += payload_bytes(&head->ops[i]);
	}
	if (commit > stream->tip)
		complain("a frame at seq %llu says that %llu is committed",
			 (unsigned long long)stream->tip, (unsigned long long)commit);
	note_commit(stream, commit);
	stream->frames++;
	return le32toh(head->frame_bytes);
}

/* --- segments ------------------------------------------------------------- */

/* Frames behind the torn tail: none may say that what is missing was committed. */
static void search_evidence(struct stream *stream, const struct segment *segment, uint64_t offset)
{
	for (; offset + REPRISE_FRAME_HEAD_BYTES <= segment->bytes; offset += 512) {
		const struct reprise_frame_head *head = (const void *)(segment->data + offset);

		if (head_fault(head, segment->head) || le64toh(head->first_seq) <= stream->tip)
			continue;
		note_commit(stream, le64toh(head->commit));
		if (le64toh(head->commit) > stream->tip)
			complain("the log ends at %llu with %s, but the frame of seq %llu behind says that %llu is committed",
				 (unsigned long long)stream->tip, stream->end,
				 (unsigned long long)le64toh(head->first_seq),
				 (unsigned long long)le64toh(head->commit));
	}
}

/* Take the segment's frames up to @limit, which its successor names. */
static void read_segment(struct stream *stream, const struct segment *segment, uint64_t limit)
{
	uint64_t offset = le32toh(segment->head->first_offset);

	note_commit(stream, le64toh(segment->head->commit));
	if (stream->tip != le64toh(segment->head->prev_seq) ||
	    le64toh(segment->head->first_seq) != stream->tip + 1)
		complain("segment %llu continues %llu, the log was at %llu (%s)",
			 (unsigned long long)le64toh(segment->head->ordinal),
			 (unsigned long long)le64toh(segment->head->prev_seq),
			 (unsigned long long)stream->tip, stream->end);
	stream->end = "its successor";
	while (stream->tip < limit) {
		stream->end = frame_fault(segment, offset, stream->tip + 1);
		if (stream->end)
			break;
		offset += take_frame(stream, (const void *)(segment->data + offset));
		if (stream->tip > limit) {
			complain("a frame goes past %llu, where the next segment begins",
				 (unsigned long long)limit);
			break;
		}
	}
	if (limit == UINT64_MAX)
		search_evidence(stream, segment, offset);
}

static bool take_head(struct segment *segment, const uint8_t *data, uint64_t bytes,
		      const struct reprise_meta_record *record)
{
	const struct reprise_log_head *head = (const void *)data;

	if (memcmp(head->magic, REPRISE_LOG_MAGIC, 8) ||
	    le32toh(head->crc) != crc_without(head, REPRISE_LOG_HEAD_BYTES,
					      offsetof(struct reprise_log_head, crc)))
		return false;
	if (memcmp(head->log_id, record->log_id, 16) ||
	    memcmp(head->resource_id, record->resource_id, 16) ||
	    le64toh(head->segment_bytes) != bytes ||
	    le32toh(head->version) != REPRISE_LOG_VERSION) {
		complain("a segment header of another store");
		return false;
	}
	*segment = (struct segment){ data, head, bytes };
	return true;
}

static unsigned int read_directory(struct segment *segments, const char *path,
				   const struct reprise_meta_record *record)
{
	char name[4096];
	unsigned int nr = 0;
	struct stat st;

	for (unsigned int i = 0; i < MAX_SEGMENTS; i++) {
		struct image image;

		snprintf(name, sizeof(name), "%s/segment.%04u", path, i);
		if (stat(name, &st))
			break;
		image = image_read(name);
		nr += take_head(&segments[nr], image.data, image.bytes, record);
	}
	return nr;
}

static unsigned int read_device(struct segment *segments, const char *path, uint64_t bytes,
				const struct reprise_meta_record *record)
{
	struct image image = image_read(path);
	unsigned int nr = 0;

	for (unsigned int i = 0; i < MAX_SEGMENTS && (i + 1) * bytes <= image.bytes; i++)
		nr += take_head(&segments[nr], image.data + i * bytes, bytes, record);
	return nr;
}

static int by_ordinal(const void *a, const void *b)
{
	uint64_t x = le64toh(((const struct segment *)a)->head->ordinal);
	uint64_t y = le64toh(((const struct segment *)b)->head->ordinal);

	return x < y ? -1 : x > y;
}

void stream_read(struct stream *stream, const char *path, uint64_t segment_bytes,
		 const struct reprise_meta_record *record)
{
	static struct segment segments[MAX_SEGMENTS];
	struct stat st;
	unsigned int nr;

	*stream = (struct stream){ .end = "nothing" };
	if (stat(path, &st))
		die(path, errno);
	nr = S_ISDIR(st.st_mode) ? read_directory(segments, path, record) :
				   read_device(segments, path, segment_bytes, record);
	qsort(segments, nr, sizeof(*segments), by_ordinal);
	for (unsigned int i = 0; i < nr; i++) {
		const struct reprise_log_head *head = segments[i].head;

		/* Ordinals start with 1 after "create": so none is missing or reused. */
		if (le64toh(head->ordinal) != i + 1 ||
		    memcmp(head->timeline_id, segments[0].head->timeline_id, 16)) {
			complain("segment %u of the log is missing, was reused, or is of another timeline",
				 i + 1);
			return;
		}
		read_segment(stream, &segments[i],
			     i + 1 < nr ? le64toh(segments[i + 1].head->prev_seq) : UINT64_MAX);
	}
	stream->segments = nr;
}
