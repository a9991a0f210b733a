// SPDX-License-Identifier: GPL-2.0
/*
 * Finds and walks log segments.  The walk follows the rules of recovery (what
 * a frame must match comes from the segment's header), and where it ends it
 * looks on for a later good frame: that tells a torn tail from damage.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_store.h"
#include "say.h"
#include "segments.h"

enum { MAX_SEGMENTS = 4096, SEARCH_BYTES = 1 << 20, DEFAULT_SEGMENT_BYTES = 64 << 20 };

struct reader {
	int fd;
	uint64_t base, bytes; /* of the segment in the file */
	uint8_t *frame; /* REPRISE_FRAME_MAX_BYTES */
	uint8_t *window; /* SEARCH_BYTES */
	int error;
};

/* Bytes read at @offset of the segment, fewer at its end. */
static size_t read_at(struct reader *r, void *buf, size_t bytes, uint64_t offset)
{
	size_t done = 0;

	if (offset >= r->bytes)
		return 0;
	if (bytes > r->bytes - offset)
		bytes = r->bytes - offset;
	while (done < bytes) {
		ssize_t n = pread(r->fd, (char *)buf + done, bytes - done, r->base + offset + done);

		if (n < 0)
			r->error = -errno;
		if (n <= 0)
			break;
		done += n;
	}
	return done;
}

/* As log_frame_at(), reading no more than the frame. */
static int frame_at(struct reader *r, uint64_t offset, const struct log_expect *expect,
		    uint64_t seq, struct frame *frame, char *why)
{
	size_t n = read_at(r, r->frame, REPRISE_FRAME_HEAD_BYTES, offset);
	int err;

	if (n < REPRISE_FRAME_HEAD_BYTES) {
		snprintf(why, FRAME_WHY_BYTES, "the segment is full");
		return -ENOENT;
	}
	err = frame_decode(r->frame, frame, why);
	if (err)
		return err;
	n = read_at(r, r->frame, frame->frame_bytes, offset);
	err = log_frame_at(r->frame, n, expect, seq, frame, why);
	if (err == -EAGAIN)
		snprintf(why, FRAME_WHY_BYTES, "the frame goes on beyond the end of the segment");
	return err;
}

/* The first good frame behind @offset that carries on beyond @seq. */
static bool find_later(struct reader *r, struct segment *s, const struct log_expect *expect,
		       uint64_t offset, uint64_t seq)
{
	char why[FRAME_WHY_BYTES];
	struct frame frame;
	size_t n;

	for (; (n = read_at(r, r->window, SEARCH_BYTES, offset)) >= REPRISE_FRAME_HEAD_BYTES;
	     offset += n & ~511UL) {
		for (size_t at = 0; at + REPRISE_FRAME_HEAD_BYTES <= n; at += 512) {
			if (!frame_has_magic(r->window + at) ||
			    frame_at(r, offset + at, expect, 0, &frame, why) ||
			    frame.first_seq < seq)
				continue;
			s->later_offset = offset + at;
			s->later_seq = frame.first_seq;
			return true;
		}
	}
	return false;
}

static void find_end(struct reader *r, struct segment *s, const struct log_expect *expect,
		     uint64_t seq, int err)
{
	/* Frames that are intact but do not continue are left from an older use. */
	s->end = err == -ENOENT ? SEGMENT_END_CLEAN : SEGMENT_END_TORN;
	if (find_later(r, s, expect, s->end_offset + 512, seq))
		s->end = SEGMENT_END_DAMAGED;
}

static void walk(struct reader *r, struct segment *s, segments_frame_fn fn)
{
	struct log_expect expect = { .generation = s->head.generation };
	uint64_t seq = s->head.first_seq;
	struct frame frame;
	int err;

	memcpy(expect.resource_id, s->head.resource_id, sizeof(expect.resource_id));
	memcpy(expect.timeline_id, s->head.timeline_id, sizeof(expect.timeline_id));
	s->end_offset = s->head.first_offset;
	while (!(err = frame_at(r, s->end_offset, &expect, seq, &frame, s->end_why))) {
		if (fn)
			fn(s, s->end_offset, &frame);
		s->frames++;
		s->ops += frame.nr_ops;
		s->end_offset += frame.frame_bytes;
		seq += frame.nr_ops;
	}
	s->last_seq = seq - 1;
	find_end(r, s, &expect, seq, err);
}

int segments_scan(struct segment *s, segments_frame_fn fn)
{
	struct reader r = { .base = s->offset, .bytes = s->bytes };

	r.fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (r.fd < 0)
		return -errno;
	r.frame = malloc(REPRISE_FRAME_MAX_BYTES);
	r.window = malloc(SEARCH_BYTES);
	if (r.frame && r.window)
		walk(&r, s, fn);
	else
		r.error = -ENOMEM;
	free(r.window);
	free(r.frame);
	close(r.fd);
	return r.error;
}

static bool say_unreadable(const char *path, int err)
{
	say_error("io", NULL, "%s cannot be read: %s", path, strerror(-err));
	return false;
}

static int read_head(int fd, struct segment *s)
{
	struct reader r = { .fd = fd, .base = s->offset, .bytes = s->bytes };
	uint8_t buf[REPRISE_LOG_HEAD_BYTES];
	const char *why = "";
	int err;

	if (read_at(&r, buf, sizeof(buf), 0) < sizeof(buf)) {
		s->state = SEGMENT_INVALID;
		snprintf(s->why, sizeof(s->why), "shorter than a segment's header");
		return r.error;
	}
	err = log_head_decode(buf, &s->head, &why);
	s->state = !err ? SEGMENT_VALID : err == -ENOENT ? SEGMENT_UNUSED : SEGMENT_INVALID;
	snprintf(s->why, sizeof(s->why), "%s", why);
	return 0;
}

static int open_bytes(const char *path, uint64_t *bytes, bool *is_block, int *fd)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0 || fstat(*fd, &st))
		return -errno;
	*is_block = S_ISBLK(st.st_mode);
	*bytes = st.st_size;
	if (*is_block && ioctl(*fd, BLKGETSIZE64, bytes))
		return -errno;
	return S_ISREG(st.st_mode) || *is_block ? 0 : -EINVAL;
}

/* A file is one segment; a block device as many as fit. */
static bool add_file(const char *path, uint64_t segment_bytes, struct segment *list,
		     unsigned int *count)
{
	uint64_t bytes = 0;
	bool is_block = false;
	int fd, err = open_bytes(path, &bytes, &is_block, &fd);

	for (uint64_t offset = 0; !err && *count < MAX_SEGMENTS;) {
		struct segment *s = &list[*count];

		memset(s, 0, sizeof(*s));
		snprintf(s->path, sizeof(s->path), "%s", path);
		s->offset = offset;
		s->bytes = bytes - offset;
		err = read_head(fd, s);
		(*count)++;
		if (!segment_bytes)
			segment_bytes = s->state == SEGMENT_VALID ? s->head.segment_bytes :
								    DEFAULT_SEGMENT_BYTES;
		if (s->bytes > segment_bytes)
			s->bytes = segment_bytes;
		offset += segment_bytes;
		if (!is_block || offset + segment_bytes > bytes)
			break;
	}
	if (fd >= 0)
		close(fd);
	return !err || say_unreadable(path, err);
}

static bool add_directory(DIR *dir, const char *path, struct segment *list, unsigned int *count)
{
	struct dirent *entry;
	char name[sizeof(list->path)];

	while ((entry = readdir(dir)) && *count < MAX_SEGMENTS) {
		if (!log_store_is_segment_name(entry->d_name))
			continue;
		if ((size_t)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >=
		    sizeof(name))
			return say_unreadable(path, -ENAMETOOLONG);
		if (!add_file(name, 0, list, count))
			return false;
	}
	if (*count)
		return true;
	say_error("not-found", NULL, "%s holds no log segment", path);
	return false;
}

static int compare(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	if ((x->state == SEGMENT_VALID) != (y->state == SEGMENT_VALID))
		return x->state == SEGMENT_VALID ? -1 : 1;
	if (x->state == SEGMENT_VALID && x->head.ordinal != y->head.ordinal)
		return x->head.ordinal < y->head.ordinal ? -1 : 1;
	if (strcmp(x->path, y->path))
		return strcmp(x->path, y->path);
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

bool segments_find(const char *path, uint64_t segment_bytes, struct segment **list,
		   unsigned int *count)
{
	DIR *dir = opendir(path);
	bool good;

	*count = 0;
	*list = calloc(MAX_SEGMENTS, sizeof(**list));
	if (!*list)
		good = say_unreadable(path, -ENOMEM);
	else if (dir)
		good = add_directory(dir, path, *list, count);
	else
		good = add_file(path, segment_bytes, *list, count);
	if (dir)
		closedir(dir);
	if (good)
		qsort(*list, *count, sizeof(**list), compare);
	else
		free(*list);
	return good;
}
