// SPDX-License-Identifier: GPL-2.0
/*
 * The log after a crash: which frames count.  Reads only; on damage nothing
 * has been changed.
 *
 * What the writer (replica_append.c) guarantees:
 *  a. at most one log write is in flight, and one that begins a segment
 *     carries the segment's header.  So when segment n + 1 has a valid
 *     header, everything up to its prev_seq was durable in older segments;
 *  b. the last block of every write is padded with zeros, not with whatever
 *     comes next in the ring;
 *  c. a segment begins again only when the durable record says that all its
 *     operations are applied (or when its timeline was left);
 *  d. nothing of segment n is applied before the record's log_ordinal is
 *     >= n, and nothing up to x before x <= record.commit, or a later frame
 *     or header that says so is durable in the log.
 *
 * Hence:
 *  - a missing segment between the record's applied and the newest one, or a
 *    newest one older than log_ordinal, is damage;
 *  - a frame that is bad at or below a later header's prev_seq is damage (a);
 *  - a bad frame in the newest segment is a torn tail, unless applied, the
 *    record's commit or the commit of a later frame reaches it; only then
 *    may it be in the store (d), or may a primary rely on it.
 *
 * Why stale bytes cannot be taken for new ones.  A reused segment holds
 * frames of its former life behind the new ones.  (timeline, seq) names one
 * write for ever and the checksums cover it, so a frame that fits as the next
 * one *is* the next one, whenever it was written.  It cannot be mistaken for
 * evidence of damage either: evidence is a frame of this timeline whose
 * commit reaches the bad seq.  A stale frame has commit <= its last seq <=
 * the applied of the record under which its segment was reused (c) < the bad
 * seq; and a frame dropped with an earlier torn tail had, by the rule above,
 * a commit below the seq that was bad then, and seqs only rise.
 *
 * What the scan has read may still be in a volatile cache (an agent killed
 * before its DSYNC completed): the newest segment is flushed before the tip
 * is told to anybody.
 */
#include <stdio.h>
#include <string.h>

#include "replica_impl.h"

static void read_done(struct env_io *io, ssize_t result);

static void submit_read(struct replica *replica, struct segment *segment, uint64_t offset,
			size_t bytes)
{
	struct replica_recover *recover = &replica->recover;

	recover->segment = segment;
	recover->read_offset = offset;
	recover->iov = (struct iovec){ replica->apply.reread, bytes };
	recover->io = (struct env_io){
		.done = read_done,
		.op = ENV_READ,
		.file = segment->file,
		.offset = segment->base + offset,
		.iov = &recover->iov,
		.nr_iov = 1,
	};
	env_submit(replica->config.env, &recover->io);
}

/* Read on from the block that holds @offset. */
static void read_from(struct replica *replica, struct segment *segment, uint64_t offset)
{
	uint64_t start = log_block_floor(offset);
	uint64_t bytes = replica->config.segment_bytes - start;

	if (bytes > replica->apply.reread_bytes)
		bytes = replica->apply.reread_bytes;
	submit_read(replica, segment, start, bytes);
}

static unsigned int segment_number(const struct replica *replica, const struct segment *segment)
{
	return segment - replica->log.segments;
}

static void take_head(struct replica *replica, struct segment *segment, const void *buf)
{
	struct replica_recover *recover = &replica->recover;
	struct log_head head;
	const char *why;
	int error = log_head_decode(buf, &head, &why);

	segment->used = false;
	if (error == -EPROTONOSUPPORT)
		replica_fail(replica, REPLICA_LOG_DAMAGED, "log segment %u: %s",
			     segment_number(replica, segment), why);
	if (error)
		return;
	if (memcmp(head.log_id, replica->meta.log_id, REPRISE_ID_BYTES) ||
	    memcmp(head.resource_id, replica->config.resource_id, REPRISE_ID_BYTES)) {
		recover->foreign++;
		return;
	}
	if (head.first_seq != head.prev_seq + 1) {
		replica_fail(replica, REPLICA_LOG_DAMAGED,
			     "log segment %u continues after a block pull, which needs a newer version",
			     segment_number(replica, segment));
		return;
	}
	if (head.segment_bytes != replica->config.segment_bytes) {
		replica_fail(replica, REPLICA_LOG_DAMAGED,
			     "log segment %u was made with a size of %llu bytes, configured are %llu",
			     segment_number(replica, segment),
			     (unsigned long long)head.segment_bytes,
			     (unsigned long long)replica->config.segment_bytes);
		return;
	}
	segment->used = true;
	segment->head = head;
	segment->end = head.first_offset;
	segment->last_seq = head.prev_seq;
	if (head.ordinal > recover->newest)
		recover->newest = head.ordinal;
}

static struct segment *find_ordinal(struct replica *replica, uint64_t ordinal)
{
	unsigned int i;

	for (i = 0; i < replica->log.nr_segments; i++)
		if (replica->log.segments[i].used && replica->log.segments[i].head.ordinal == ordinal)
			return &replica->log.segments[i];
	return NULL;
}

static bool is_current(const struct replica *replica, const struct segment *segment)
{
	return !memcmp(segment->head.timeline_id, replica->state.timeline_id, REPRISE_ID_BYTES);
}

static bool ordinals_are_unique(struct replica *replica)
{
	unsigned int i;

	for (i = 0; i < replica->log.nr_segments; i++) {
		const struct segment *segment = &replica->log.segments[i];

		if (segment->used && find_ordinal(replica, segment->head.ordinal) != segment) {
			replica_fail(replica, REPLICA_LOG_DAMAGED,
				     "two log segments have the ordinal %llu",
				     (unsigned long long)segment->head.ordinal);
			return false;
		}
	}
	return true;
}

static bool check_heads(struct replica *replica)
{
	struct replica_recover *recover = &replica->recover;

	if (recover->foreign)
		replica_fail(replica, REPLICA_LOG_MISSING,
			     "%u log segments belong to another store: this is not the log of resource %s on this node",
			     recover->foreign, replica->config.name);
	else if (recover->newest < replica->meta.log_ordinal)
		replica_fail(replica, REPLICA_LOG_MISSING,
			     "log segment with ordinal %llu is missing, the newest found has %llu",
			     (unsigned long long)replica->meta.log_ordinal,
			     (unsigned long long)recover->newest);
	else
		return ordinals_are_unique(replica);
	return false;
}

/*
 * Where to start reading: the newest segment of the current timeline that
 * begins at or below what the record says is applied.  NULL: there is none
 * to read, or failed.
 */
static struct segment *first_needed(struct replica *replica)
{
	struct replica_recover *recover = &replica->recover;
	struct segment *segment = find_ordinal(replica, recover->newest);

	if (!segment || !is_current(replica, segment))
		return NULL;
	while (segment->head.prev_seq > replica->meta.applied) {
		uint64_t ordinal = segment->head.ordinal - 1;
		uint64_t prev_seq = segment->head.prev_seq;

		segment = find_ordinal(replica, ordinal);
		if (!segment || !is_current(replica, segment)) {
			replica_fail(replica, REPLICA_LOG_MISSING,
				     "log segment with ordinal %llu is missing: it holds operations up to %llu, applied are %llu",
				     (unsigned long long)ordinal, (unsigned long long)prev_seq,
				     (unsigned long long)replica->meta.applied);
			return NULL;
		}
	}
	return segment;
}

/* Where a segment ends that need not be read is known from its successor. */
static void bound_segments(struct replica *replica)
{
	unsigned int i;

	for (i = 0; i < replica->log.nr_segments; i++) {
		struct segment *segment = &replica->log.segments[i];
		const struct segment *next;

		if (!segment->used)
			continue;
		next = append_segment_after(replica, segment->head.ordinal);
		if (next && next->head.prev_seq > segment->last_seq)
			segment->last_seq = next->head.prev_seq;
	}
}

static void note_tip(struct replica *replica)
{
	struct replica_state *state = &replica->state;
	uint64_t tip = replica->recover.tip;

	state->received = state->durable = tip;
	if (state->commit > tip)
		state->commit = tip;
	if (state->flushed > tip)
		state->flushed = tip;
}

static void flush_done(struct env_io *io, ssize_t result)
{
	struct replica *replica = replica_of(io, recover.io);

	if (result < 0)
		replica_fail(replica, REPLICA_IO_ERROR, "the log cannot be flushed: %s",
			     strerror(-result));
	replica->recover.phase = RECOVER_DONE;
	replica_pump(replica);
}

/* The whole valid prefix is known. */
static void finish(struct replica *replica)
{
	struct replica_recover *recover = &replica->recover;
	const struct meta *meta = &replica->meta;
	uint64_t promised = meta->commit > meta->applied ? meta->commit : meta->applied;

	if (meta->left && meta->left_seq > promised)
		promised = meta->left_seq;
	if (recover->tip < promised) {
		replica_fail(replica,
			     recover->segment ? REPLICA_LOG_DAMAGED : REPLICA_LOG_MISSING,
			     "the log ends at %llu, but %llu was promised%s%s",
			     (unsigned long long)recover->tip, (unsigned long long)promised,
			     *recover->why ? ": " : "", recover->why);
		recover->phase = RECOVER_DONE;
		return;
	}
	note_tip(replica);
	replica->log.newest_ordinal = recover->newest;
	recover->phase = RECOVER_FLUSH;
	recover->io = (struct env_io){
		.done = flush_done,
		.op = ENV_FLUSH,
		.file = recover->segment ? recover->segment->file :
					   replica->log.segments[0].file,
	};
	env_submit(replica->config.env, &recover->io);
}

static void damaged(struct replica *replica, uint64_t evidence)
{
	struct replica_recover *recover = &replica->recover;

	replica_fail(replica, REPLICA_LOG_DAMAGED,
		     "log segment %u (ordinal %llu), offset %llu: the frame of seq %llu is damaged: %s; operations up to %llu were final",
		     segment_number(replica, recover->segment),
		     (unsigned long long)recover->segment->head.ordinal,
		     (unsigned long long)recover->bad_offset, (unsigned long long)recover->bad_seq,
		     recover->why, (unsigned long long)evidence);
	recover->phase = RECOVER_DONE;
}

/* Take a frame that is the next one. */
static void take_frame(struct replica *replica, const struct frame *frame)
{
	struct replica_recover *recover = &replica->recover;
	struct replica_state *state = &replica->state;
	struct replica_log *log = &replica->log;
	uint64_t last = frame_last_seq(frame);
	uint64_t evidence = frame->commit < frame->first_seq ? frame->commit :
							       frame->first_seq - 1;

	recover->tip = last;
	recover->offset += frame->frame_bytes;
	recover->segment->end = recover->offset;
	recover->segment->last_seq = last;
	if (frame->commit > state->commit)
		state->commit = frame->commit;
	if (frame->flushed > state->flushed)
		state->flushed = frame->flushed;
	if (evidence > log->commit)
		log->commit = evidence;
	log->last_commit = frame->commit;
	state->primary_realtime_ns = frame->realtime_ns;
	if (last > state->applied)
		log->unapplied_bytes += frame->frame_bytes;
	else
		replica->apply.cursor = (struct log_cursor){
			recover->segment, recover->offset, last + 1,
		};
}

static void begin_segment(struct replica *replica, struct segment *segment)
{
	struct replica_recover *recover = &replica->recover;

	recover->segment = segment;
	recover->offset = segment->head.first_offset;
	if (segment->head.commit > replica->log.commit)
		replica->log.commit = segment->head.commit;
	if (segment->head.commit > replica->state.commit)
		replica->state.commit = segment->head.commit;
	if (!replica->apply.cursor.segment)
		replica->apply.cursor = (struct log_cursor){
			segment, recover->offset, recover->tip + 1,
		};
	read_from(replica, segment, recover->offset);
}

/* How far the segment being scanned counts at most. */
static uint64_t segment_limit(struct replica *replica, const struct segment **next)
{
	*next = append_segment_after(replica, replica->recover.segment->head.ordinal);
	if (*next)
		return (*next)->head.prev_seq;
	return replica->meta.left ? replica->meta.left_seq : UINT64_MAX;
}

static void search(struct replica *replica, const uint8_t *buf);

/* The segment's frames end here: complete, torn or damaged? */
static void segment_over(struct replica *replica, const struct segment *next, uint64_t limit)
{
	struct replica_recover *recover = &replica->recover;

	if (recover->tip == limit) {
		if (next)
			begin_segment(replica, (struct segment *)next);
		else
			finish(replica);
		return;
	}
	recover->bad_seq = recover->tip + 1;
	recover->bad_offset = recover->offset;
	if (limit != UINT64_MAX) {
		damaged(replica, limit);
		return;
	}
	recover->phase = RECOVER_SEARCH;
	search(replica, replica->apply.reread);
}

static void scan(struct replica *replica, const uint8_t *buf)
{
	struct replica_recover *recover = &replica->recover;
	uint64_t end = recover->read_offset + recover->iov.iov_len;
	const struct segment *next;
	uint64_t limit = segment_limit(replica, &next);
	struct frame frame;
	int error;

	/* Behind the last operation of the newest segment, frames may still tell of its commit. */
	while (recover->tip < limit || !next) {
		error = log_frame_at(buf + (recover->offset - recover->read_offset),
				     end - recover->offset, &replica->expect, recover->tip + 1,
				     &frame, recover->why);
		if (error == -EAGAIN && end < replica->config.segment_bytes) {
			read_from(replica, recover->segment, recover->offset);
			return;
		}
		if (error == -EAGAIN)
			snprintf(recover->why, sizeof(recover->why), "it goes past the segment");
		if (!error && frame_last_seq(&frame) > limit) {
			error = -EINVAL;
			snprintf(recover->why, sizeof(recover->why),
				 "it goes past %llu, where the log continues elsewhere",
				 (unsigned long long)limit);
		}
		if (error)
			break;
		take_frame(replica, &frame);
	}
	segment_over(replica, next, limit);
}

/* A frame that does not count itself: what it says of those that do is true all the same. */
static void note_evidence(struct replica *replica, const struct frame *frame)
{
	uint64_t commit = frame->commit;

	if (commit > replica->recover.tip)
		commit = replica->recover.tip;
	if (commit > replica->log.commit)
		replica->log.commit = commit;
	if (commit > replica->state.commit)
		replica->state.commit = commit;
}

/*
 * Frames behind a bad one, in the newest segment: does the commit of one
 * reach it?  Steps by sectors, and over the payload of frames that are new.
 */
static void search(struct replica *replica, const uint8_t *buf)
{
	struct replica_recover *recover = &replica->recover;
	uint64_t end = recover->read_offset + recover->iov.iov_len;
	char why[FRAME_WHY_BYTES];
	struct frame frame;

	while (recover->offset + REPRISE_FRAME_HEAD_BYTES <= end) {
		const uint8_t *at = buf + (recover->offset - recover->read_offset);

		recover->offset += REPRISE_SECTOR_BYTES;
		if (!frame_has_magic(at) || frame_decode(at, &frame, why) ||
		    log_expect_check(&replica->expect, &frame, why) ||
		    frame.first_seq < recover->bad_seq)
			continue;
		if (frame.first_seq > recover->bad_seq && frame.commit >= recover->bad_seq) {
			damaged(replica, frame.commit);
			return;
		}
		note_evidence(replica, &frame);
		recover->offset += frame.frame_bytes - REPRISE_SECTOR_BYTES;
	}
	if (recover->offset + REPRISE_FRAME_HEAD_BYTES <= replica->config.segment_bytes)
		read_from(replica, recover->segment, recover->offset);
	else
		finish(replica);
}

static void start_scan(struct replica *replica)
{
	struct replica_recover *recover = &replica->recover;
	struct segment *first;

	recover->phase = RECOVER_SCAN;
	recover->segment = NULL;
	recover->tip = replica->meta.applied;
	if (replica_failed(replica) || !check_heads(replica)) {
		recover->phase = RECOVER_DONE;
		return;
	}
	bound_segments(replica);
	if (replica->meta.state != REPRISE_STORE_CLEAN) {
		/* The log says nothing of such a store, but its ordinals go on. */
		replica->log.newest_ordinal = recover->newest;
		recover->phase = RECOVER_DONE;
		return;
	}
	first = first_needed(replica);
	if (replica_failed(replica)) {
		recover->phase = RECOVER_DONE;
	} else if (first) {
		recover->tip = first->head.prev_seq;
		begin_segment(replica, first);
	} else {
		finish(replica);
	}
}

static void next_head(struct replica *replica)
{
	struct replica_recover *recover = &replica->recover;

	if (recover->index < replica->log.nr_segments)
		submit_read(replica, &replica->log.segments[recover->index], 0,
			    REPRISE_LOG_HEAD_BYTES);
	else
		start_scan(replica);
}

static void read_done(struct env_io *io, ssize_t result)
{
	struct replica *replica = replica_of(io, recover.io);
	struct replica_recover *recover = &replica->recover;

	if (result < 0) {
		replica_fail(replica, REPLICA_IO_ERROR, "log segment %u cannot be read: %s",
			     segment_number(replica, recover->segment), strerror(-result));
		recover->phase = RECOVER_DONE;
	} else if (recover->phase == RECOVER_HEADS) {
		take_head(replica, recover->segment, replica->apply.reread);
		recover->index++;
		next_head(replica);
	} else if (recover->phase == RECOVER_SCAN) {
		scan(replica, replica->apply.reread);
	} else {
		search(replica, replica->apply.reread);
	}
	replica_pump(replica);
}

void recover_start(struct replica *replica)
{
	struct replica_recover *recover = &replica->recover;

	*recover = (struct replica_recover){ .phase = RECOVER_HEADS };
	next_head(replica);
}
