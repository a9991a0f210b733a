// SPDX-License-Identifier: GPL-2.0
/*
 * Appending to the log: group commit and segments.  The one idea: at most one
 * log write is in flight; while it is, frames gather, and the next write
 * takes them all.  A write covers whole blocks, straight from the ring, which
 * has the same phase as the file; only its last block is copied, to be padded
 * with zeros (the ring behind it is being received into).  The block in which
 * the log ends is written again by the next write, its old bytes unchanged.
 *
 * What recovery relies on stands on top of replica_recover.c.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "replica_impl.h"

static void full_timer_fired(struct env_timer *timer);

int append_init(struct replica *replica)
{
	struct replica_log *log = &replica->log;
	unsigned int i;

	log->nr_segments = replica->config.nr_segments;
	log->segments = calloc(log->nr_segments, sizeof(*log->segments));
	log->head_block = aligned_alloc(LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
	log->tail_block = aligned_alloc(LOG_BLOCK_BYTES, LOG_BLOCK_BYTES);
	log->full_timer.fire = full_timer_fired;
	if (!log->segments || !log->head_block || !log->tail_block)
		return -ENOMEM;
	for (i = 0; i < log->nr_segments; i++) {
		log->segments[i].file = replica->config.segments[i].file;
		log->segments[i].base = replica->config.segments[i].offset;
	}
	return 0;
}

void append_exit(struct replica *replica)
{
	free(replica->log.segments);
	free(replica->log.head_block);
	free(replica->log.tail_block);
}

static bool is_current(const struct replica *replica, const struct segment *segment)
{
	return !memcmp(segment->head.timeline_id, replica->state.timeline_id, REPRISE_ID_BYTES);
}

struct segment *append_segment_after(struct replica *replica, uint64_t ordinal)
{
	struct segment *best = NULL;
	unsigned int i;

	for (i = 0; i < replica->log.nr_segments; i++) {
		struct segment *segment = &replica->log.segments[i];

		if (segment->used && segment->head.ordinal > ordinal &&
		    is_current(replica, segment) &&
		    (!best || segment->head.ordinal < best->head.ordinal))
			best = segment;
	}
	return best;
}

/* May its frames go?  Of a timeline that was left everything is applied. */
static bool is_recyclable(const struct replica *replica, const struct segment *segment)
{
	if (!is_current(replica, segment))
		return true;
	return segment != replica->log.tail && segment->last_seq <= replica->meta.applied &&
	       segment->last_seq <= replica->state.flushed;
}

void append_count_used(struct replica *replica)
{
	const struct replica_log *log = &replica->log;
	uint64_t used = 0;
	unsigned int i;

	for (i = 0; i < log->nr_segments; i++)
		if (log->segments[i].used && !is_recyclable(replica, &log->segments[i]))
			used += log->segments[i].end;
	replica->state.log_used_bytes = used;
}

static struct segment *oldest(struct replica *replica)
{
	struct replica_log *log = &replica->log;
	struct segment *best = NULL;
	unsigned int i;

	for (i = 0; i < log->nr_segments; i++) {
		struct segment *segment = &log->segments[i];

		if (!segment->used)
			return segment;
		if (!best || segment->head.ordinal < best->head.ordinal)
			best = segment;
	}
	return best;
}

static void full_timer_fired(struct env_timer *timer)
{
	struct replica *replica = replica_of(timer, log.full_timer);

	replica->log.gave_up = true;
	session_end(replica, true,
		    "log full: no segment may be reused (durable %llu, applied %llu, flushed on the primary %llu)",
		    (unsigned long long)replica->state.durable,
		    (unsigned long long)replica->state.applied,
		    (unsigned long long)replica->state.flushed);
	replica_pump(replica);
}

/*
 * No segment is free.  The oldest one gets free by applying (which hurries
 * while log.stalled is set), by a record that says so, or by what the primary
 * says of its commit and its own disks; frames with that may be in the ring
 * already, but cannot be logged: the record tells of the commit instead.
 */
static void relieve(struct replica *replica, const struct segment *segment)
{
	struct replica_log *log = &replica->log;
	struct replica_state *state = &replica->state;
	struct env *env = replica->config.env;

	if (!log->stalled && !log->full_timer.armed)
		env_timer_set(env, &log->full_timer,
			      env_monotonic_ns(env) + REPLICA_LOG_FULL_MS * NS_PER_MS);
	log->stalled = true;
	if (segment->last_seq <= state->applied) {
		if (segment->last_seq > replica->meta.applied && !record_pending(replica))
			record_request(replica);
	} else if (!apply_possible(replica)) {
		uint64_t commit = state->commit < state->durable ? state->commit : state->durable;

		if (commit > apply_limit(replica) && !record_pending(replica)) {
			replica->record.commit = commit;
			record_request(replica);
		}
	}
}

static void begin_head(struct replica *replica, struct segment *segment)
{
	struct replica_log *log = &replica->log;
	const struct replica_state *state = &replica->state;
	uint64_t newest = log->newest_ordinal > replica->meta.log_ordinal ?
			  log->newest_ordinal : replica->meta.log_ordinal;
	struct log_head *head = &segment->head;

	*head = (struct log_head){
		.ordinal = newest + 1,
		.segment_bytes = replica->config.segment_bytes,
		.session = replica->session.id,
		.session_ordinal = log->session_ordinal ? log->session_ordinal : newest + 1,
		.generation = state->generation,
		.prev_seq = state->durable,
		.first_seq = state->durable + 1,
		.commit = state->commit < state->durable ? state->commit : state->durable,
		.first_offset = REPRISE_LOG_HEAD_BYTES + replica->ring.logged % LOG_BLOCK_BYTES,
	};
	memcpy(head->log_id, replica->meta.log_id, REPRISE_ID_BYTES);
	memcpy(head->resource_id, replica->config.resource_id, REPRISE_ID_BYTES);
	memcpy(head->timeline_id, state->timeline_id, REPRISE_ID_BYTES);
	memcpy(head->prev_timeline_id, state->timeline_id, REPRISE_ID_BYTES);
	log_head_encode(head, log->head_block);
}

/* A segment to begin, or NULL: none is free now. */
static struct segment *begin_segment(struct replica *replica)
{
	struct replica_log *log = &replica->log;
	struct segment *segment = oldest(replica);

	if (segment->used && !is_recyclable(replica, segment)) {
		relieve(replica, segment);
		return NULL;
	}
	/* Being read by a window, for frames without operations behind the last one. */
	if (replica->apply.cursor.segment == segment && apply_running(replica))
		return NULL;
	if (log->stalled) {
		log->stalled = false;
		env_timer_clear(replica->config.env, &log->full_timer);
	}
	if (replica->apply.cursor.segment == segment)
		apply_skip_segment(replica);
	segment->used = false;
	begin_head(replica, segment);
	segment->ring_base = replica->ring.logged - segment->head.first_offset;
	segment->in_ring = true;
	segment->end = segment->head.first_offset;
	segment->last_seq = segment->head.prev_seq;
	return segment;
}

/* What one write takes: frames from ring.logged on, up to @room bytes. */
static void gather(struct replica *replica, uint64_t room)
{
	struct replica_log *log = &replica->log;
	const struct replica_ring *ring = &replica->ring;
	uint64_t pos = ring->logged;

	if (room > REPLICA_LOG_WRITE_BYTES)
		room = REPLICA_LOG_WRITE_BYTES;
	log->write_frames = log->write_ops = 0;
	while (pos < ring->verified) {
		const struct reprise_frame_head *head =
			(const void *)(ring->base + pos % ring->bytes);
		uint64_t first_seq = le64toh(head->first_seq);
		unsigned int nr_ops = le16toh(head->nr_ops);
		uint32_t bytes = le32toh(head->frame_bytes);

		if (pos + bytes - ring->logged > room)
			break;
		pos += bytes;
		log->write_frames++;
		log->write_ops += nr_ops;
		log->write_seq = first_seq + nr_ops - 1;
		log->write_commit = le64toh(head->commit);
		log->write_evidence = log->write_commit < first_seq ? log->write_commit :
								      first_seq - 1;
	}
	log->write_end = pos;
	log->write_bytes = pos - ring->logged;
}

static void log_written(struct env_io *io, ssize_t result);

/* From the block of ring.logged to that of write_end, the last one padded. */
static void submit(struct replica *replica)
{
	struct replica_log *log = &replica->log;
	struct segment *segment = log->write_segment;
	uint64_t start = log_block_floor(replica->ring.logged);
	uint64_t whole = log_block_floor(log->write_end);
	size_t rest = log->write_end - whole;
	unsigned int nr = 0;

	if (log->write_begins)
		log->iov[nr++] = (struct iovec){ log->head_block, LOG_BLOCK_BYTES };
	if (whole > start)
		log->iov[nr++] = (struct iovec){ replica_ring_at(replica, start), whole - start };
	if (rest) {
		memcpy(log->tail_block, replica_ring_at(replica, whole), rest);
		memset(log->tail_block + rest, 0, LOG_BLOCK_BYTES - rest);
		log->iov[nr++] = (struct iovec){ log->tail_block, LOG_BLOCK_BYTES };
	}
	log->io = (struct env_io){
		.done = log_written,
		.op = ENV_WRITE,
		.flags = ENV_DSYNC,
		.file = segment->file,
		.offset = segment->base + (log->write_begins ? 0 : start - segment->ring_base),
		.iov = log->iov,
		.nr_iov = nr,
	};
	log->writing = true;
	log->pending_ops -= log->write_ops;
	replica->state.log_writes++;
	env_submit(replica->config.env, &log->io);
}

static void note_begun(struct replica *replica, struct segment *segment)
{
	struct replica_log *log = &replica->log;
	struct replica_apply *apply = &replica->apply;

	segment->used = true;
	log->tail = segment;
	log->newest_ordinal = segment->head.ordinal;
	if (!log->session_ordinal)
		log->session_ordinal = segment->head.ordinal;
	if (segment->head.commit > log->commit)
		log->commit = segment->head.commit;
	if (!apply->cursor.segment)
		apply->cursor = (struct log_cursor){
			segment, segment->head.first_offset, segment->head.first_seq,
		};
	/* Nothing of this segment is applied before the record names it. */
	record_request(replica);
}

static void log_written(struct env_io *io, ssize_t result)
{
	struct replica *replica = replica_of(io, log.io);
	struct replica_log *log = &replica->log;
	struct segment *segment = log->write_segment;

	log->writing = false;
	if (result < 0) {
		replica_fail(replica, REPLICA_IO_ERROR, "the log cannot be written: %s",
			     strerror(-result));
		replica_pump(replica);
		return;
	}
	if (log->write_begins)
		note_begun(replica, segment);
	replica->ring.logged = log->write_end;
	segment->end = log->write_end - segment->ring_base;
	segment->last_seq = log->write_seq;
	replica->state.durable = log->write_seq;
	if (log->write_evidence > log->commit)
		log->commit = log->write_evidence;
	log->last_commit = log->write_commit;
	log->unapplied_bytes += log->write_bytes;
	append_count_used(replica);
	replica_pump(replica);
}

bool append_pending(const struct replica *replica)
{
	const struct replica_log *log = &replica->log;
	uint64_t bytes = replica->ring.verified - replica->ring.logged;

	if (!bytes)
		return false;
	return log->pending_ops || replica->session.commit > log->last_commit ||
	       bytes >= REPLICA_IDLE_LOG_BYTES;
}

static uint64_t tail_room(const struct replica *replica)
{
	const struct replica_log *log = &replica->log;

	if (!log->tail)
		return 0;
	return replica->config.segment_bytes - (replica->ring.logged - log->tail->ring_base);
}

void append_advance(struct replica *replica)
{
	struct replica_log *log = &replica->log;

	if (!replica->session.active || log->writing || log->gave_up || replica_failed(replica) ||
	    !append_pending(replica))
		return;
	gather(replica, tail_room(replica));
	log->write_begins = !log->write_frames;
	log->write_segment = log->tail;
	if (log->write_begins) {
		log->write_segment = begin_segment(replica);
		if (!log->write_segment)
			return;
		gather(replica, replica->config.segment_bytes -
				log->write_segment->head.first_offset);
		assert(log->write_frames);
	}
	submit(replica);
}
