// SPDX-License-Identifier: GPL-2.0
/*
 * dump log, dump frames: a log at rest, in words or as JSON lines.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "as_json.h"
#include "dump.h"
#include "say.h"
#include "segments.h"

static const char *end_words(const struct segment *s)
{
	switch (s->end) {
	case SEGMENT_END_CLEAN:
		return "end of the frames";
	case SEGMENT_END_TORN:
		return "end of the frames, or a torn tail";
	case SEGMENT_END_DAMAGED:
		return "DAMAGED: good frames follow";
	}
	return "unknown";
}

static const char *state_words(enum segment_state state)
{
	return state == SEGMENT_VALID ? "valid" : state == SEGMENT_UNUSED ? "unused" : "invalid";
}

static json_t *segment_object(const struct segment *s)
{
	const struct log_head *h = &s->head;
	json_t *o = json_pack("{s:s, s:I, s:I, s:s}", "path", s->path, "offset",
			      (json_int_t)s->offset, "bytes", (json_int_t)s->bytes, "state",
			      state_words(s->state));

	if (s->state != SEGMENT_VALID) {
		json_object_set_new(o, "why", json_string(s->why));
		return o;
	}
	as_json_set_id(o, "log_id", h->log_id);
	as_json_set_id(o, "resource_id", h->resource_id);
	as_json_set_id(o, "timeline_id", h->timeline_id);
	as_json_set_id(o, "prev_timeline_id", h->prev_timeline_id);
	json_object_update_new(
		o, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i}", "ordinal",
			     (json_int_t)h->ordinal, "session", (json_int_t)h->session,
			     "session_ordinal", (json_int_t)h->session_ordinal, "generation",
			     (json_int_t)h->generation, "prev_seq", (json_int_t)h->prev_seq,
			     "first_seq", (json_int_t)h->first_seq, "commit", (json_int_t)h->commit,
			     "first_offset", (int)h->first_offset));
	json_object_update_new(o, json_pack("{s:I, s:I, s:I, s:I, s:s, s:s}", "frames",
					    (json_int_t)s->frames, "ops", (json_int_t)s->ops,
					    "last_seq", (json_int_t)s->last_seq, "end_offset",
					    (json_int_t)s->end_offset, "end", end_words(s),
					    "end_why", s->end_why));
	if (s->end == SEGMENT_END_DAMAGED)
		json_object_update_new(o, json_pack("{s:I, s:I}", "later_offset",
						    (json_int_t)s->later_offset, "later_seq",
						    (json_int_t)s->later_seq));
	return o;
}

static void print_place(const struct segment *s)
{
	printf("%s", s->path);
	if (s->offset)
		printf(" at %" PRIu64, s->offset);
}

static void print_end(const struct segment *s)
{
	printf("  offset %" PRIu64 ": %s (%s)\n", s->end_offset, end_words(s), s->end_why);
	if (s->end == SEGMENT_END_DAMAGED)
		printf("  offset %" PRIu64 ": a good frame again, seq %" PRIu64 "\n",
		       s->later_offset, s->later_seq);
}

static void print_segment(const struct segment *s)
{
	const struct log_head *h = &s->head;
	char id[2 * REPRISE_ID_BYTES + 1], prev[2 * REPRISE_ID_BYTES + 1], size[24];

	print_place(s);
	if (s->state != SEGMENT_VALID) {
		printf(": %s%s%s\n", state_words(s->state), s->state == SEGMENT_INVALID ? ": " : "",
		       s->state == SEGMENT_INVALID ? s->why : "");
		return;
	}
	printf(": segment %" PRIu64 ", %s\n", h->ordinal, say_size(h->segment_bytes, size));
	printf("  timeline %" PRIu64 " (%.8s), session %016" PRIx64 " since segment %" PRIu64 "\n",
	       h->generation, say_hex(h->timeline_id, REPRISE_ID_BYTES, id), h->session,
	       h->session_ordinal);
	printf("  continues %" PRIu64 " of %.8s, committed then %" PRIu64 "\n", h->prev_seq,
	       say_hex(h->prev_timeline_id, REPRISE_ID_BYTES, prev), h->commit);
	if (s->ops)
		printf("  %" PRIu64 " frames, operations %" PRIu64 " to %" PRIu64 "\n", s->frames,
		       h->first_seq, s->last_seq);
	else
		printf("  %" PRIu64 " frames, no operation\n", s->frames);
}

static bool scan(struct segment *s, segments_frame_fn fn)
{
	int err;

	if (s->state != SEGMENT_VALID)
		return true;
	err = segments_scan(s, fn);
	if (err)
		say_error("io", NULL, "%s cannot be read: %s", s->path, strerror(-err));
	return !err;
}

/* Whether there is anything that must not be. */
static bool is_bad(const struct segment *s)
{
	return s->state == SEGMENT_INVALID ||
	       (s->state == SEGMENT_VALID && s->end == SEGMENT_END_DAMAGED);
}

int dump_log(const struct options *options, const char *path)
{
	json_t *array = json_array();
	struct segment *list;
	unsigned int count;
	bool good = true;

	if (!segments_find(path, options->segment_bytes, &list, &count)) {
		json_decref(array);
		return EXIT_REFUSED;
	}
	for (unsigned int i = 0; i < count; i++) {
		good = scan(&list[i], NULL) && good && !is_bad(&list[i]);
		json_array_append_new(array, segment_object(&list[i]));
		if (say_is_json())
			continue;
		print_segment(&list[i]);
		if (list[i].state == SEGMENT_VALID)
			print_end(&list[i]);
	}
	free(list);
	if (say_is_json())
		say_json(json_pack("{s:b, s:o}", "ok", good, "segments", array));
	else
		json_decref(array);
	return good ? EXIT_OK : EXIT_REFUSED;
}

static json_t *op_object(const struct frame *frame, unsigned int i)
{
	const struct frame_op *op = &frame->ops[i];

	return json_pack("{s:I, s:s, s:i, s:I, s:I, s:I, s:b, s:b, s:b}", "seq",
			 (json_int_t)(frame->first_seq + i), "op", frame_op_name(op->op), "volume",
			 (int)op->volume, "sector", (json_int_t)op->sector, "sectors",
			 (json_int_t)op->sectors, "crc", (json_int_t)op->crc, "fua",
			 op->flags & REPRISE_OP_FUA, "unmap", op->flags & REPRISE_OP_UNMAP,
			 "skippable", op->flags & REPRISE_OP_SKIPPABLE);
}

static void frame_as_json(const struct segment *s, uint64_t offset, const struct frame *frame)
{
	json_t *ops = json_array(), *o;

	for (unsigned int i = 0; i < frame->nr_ops; i++)
		json_array_append_new(ops, op_object(frame, i));
	o = json_pack("{s:s, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:o}", "path", s->path,
		      "offset", (json_int_t)(s->offset + offset), "bytes",
		      (json_int_t)frame->frame_bytes, "origin", (int)frame->origin, "generation",
		      (json_int_t)frame->generation, "first_seq", (json_int_t)frame->first_seq,
		      "commit", (json_int_t)frame->commit, "flushed", (json_int_t)frame->flushed,
		      "realtime_ns", (json_int_t)frame->realtime_ns, "ops", ops);
	as_json_set_id(o, "timeline_id", frame->timeline_id);
	say_json(o);
}

static void frame_as_words(const struct segment *s, uint64_t offset, const struct frame *frame)
{
	char when[32];

	(void)s;
	printf("  offset %" PRIu64 ": %u bytes, next seq %" PRIu64 ", %u ops, committed %" PRIu64
	       ", flushed %" PRIu64 ", %s\n",
	       offset, frame->frame_bytes, frame->first_seq + frame->nr_ops, frame->nr_ops,
	       frame->commit, frame->flushed, say_time(frame->realtime_ns, when));
	for (unsigned int i = 0; i < frame->nr_ops; i++) {
		const struct frame_op *op = &frame->ops[i];

		printf("    %" PRIu64 ": %s, volume %u, sector %" PRIu64 " + %u%s%s, crc %08x\n",
		       frame->first_seq + i, frame_op_name(op->op), op->volume, op->sector,
		       op->sectors, op->flags & REPRISE_OP_FUA ? ", FUA" : "",
		       op->flags & REPRISE_OP_UNMAP ? ", unmap" : "", op->crc);
	}
}

int dump_frames(const struct options *options, const char *path)
{
	struct segment *list;
	unsigned int count, used = 0;
	bool good = true;

	if (!segments_find(path, options->segment_bytes, &list, &count))
		return EXIT_REFUSED;
	for (unsigned int i = 0; i < count; i++) {
		struct segment *s = &list[i];

		if (s->state == SEGMENT_UNUSED)
			continue;
		used++;
		if (!say_is_json()) {
			print_place(s);
			printf(s->state == SEGMENT_VALID ? "\n" : ": invalid: %s\n", s->why);
		}
		good = scan(s, say_is_json() ? frame_as_json : frame_as_words) && good &&
		       !is_bad(s);
		if (say_is_json())
			say_json(segment_object(s));
		else if (s->state == SEGMENT_VALID)
			print_end(s);
	}
	free(list);
	if (say_is_json())
		say_json(json_pack("{s:b}", "ok", good));
	else if (!used)
		printf("%s: no segment is in use\n", path);
	return good ? EXIT_OK : EXIT_REFUSED;
}
