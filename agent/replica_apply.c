// SPDX-License-Identifier: GPL-2.0
/*
 * From the log to the store.  The one idea: one window at a time.  A window
 * is a run of operations behind `applied`, taken from the ring while they are
 * still there, else read back from the log (after a crash, or when the ring
 * had to forget them); coalesced to pieces that do not overlap; zeroes first,
 * then writes, then a flush of every volume that was touched; then `applied`
 * moves.
 *
 * Zeroes and writes are not mixed because a file system may implement zeroing
 * part of a block through its cache, next to direct writes to the same block.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica_impl.h"

static void timer_fired(struct env_timer *timer)
{
	struct replica *replica = replica_of(timer, apply.timer);

	replica->apply.due = true;
	replica_pump(replica);
}

int apply_init(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;
	unsigned int i;

	for (i = 0; i < REPLICA_STORE_IOS; i++)
		apply->ios[i].replica = replica;
	apply->timer.fire = timer_fired;
	apply->reread_bytes = replica->config.reread_bytes;
	if (!apply->reread_bytes)
		apply->reread_bytes = REPLICA_REREAD_BYTES;
	apply->reread = aligned_alloc(LOG_BLOCK_BYTES, apply->reread_bytes);
	if (!apply->reread)
		return -ENOMEM;
	return window_init(&apply->window, REPLICA_WINDOW_OPS);
}

void apply_exit(struct replica *replica)
{
	window_exit(&replica->apply.window);
	free(replica->apply.reread);
}

uint64_t apply_limit(const struct replica *replica)
{
	uint64_t limit = replica->log.commit;

	if (replica->meta.commit > limit)
		limit = replica->meta.commit;
	return limit < replica->state.durable ? limit : replica->state.durable;
}

/* Is the log position still in the ring? */
static bool in_ring(const struct replica *replica, const struct log_cursor *cursor)
{
	return cursor->segment->in_ring &&
	       cursor->segment->ring_base + cursor->offset >= replica->ring.tail &&
	       cursor->segment->ring_base + cursor->offset <= replica->ring.logged;
}

uint64_t apply_ring_keep(const struct replica *replica)
{
	const struct replica_apply *apply = &replica->apply;
	const struct log_cursor *cursor = &apply->cursor;

	if (!cursor->segment || cursor->offset == cursor->segment->end)
		return replica->ring.logged;
	/* Reading back: what comes behind it is worth keeping. */
	if (!in_ring(replica, cursor))
		return replica->ring.tail;
	return cursor->segment->ring_base + cursor->offset;
}

void apply_skip_segment(struct replica *replica)
{
	struct log_cursor *cursor = &replica->apply.cursor;
	struct segment *next = append_segment_after(replica, cursor->segment->head.ordinal);

	/* Only frames without operations can be left in it. */
	assert(!apply_running(replica));
	assert(replica->log.unapplied_bytes >= cursor->segment->end - cursor->offset);
	replica->log.unapplied_bytes -= cursor->segment->end - cursor->offset;
	*cursor = (struct log_cursor){ .segment = next };
	if (next) {
		cursor->offset = next->head.first_offset;
		cursor->frame_seq = next->head.first_seq;
	}
}

/* At the end of a segment that has a successor: go on there. */
static void normalize(struct replica *replica)
{
	struct log_cursor *cursor = &replica->apply.cursor;

	while (cursor->segment && cursor->offset == cursor->segment->end &&
	       append_segment_after(replica, cursor->segment->head.ordinal))
		apply_skip_segment(replica);
}

static bool hurry(const struct replica *replica)
{
	const struct replica_apply *apply = &replica->apply;
	const struct replica_ring *ring = &replica->ring;

	return apply->due || replica->log.stalled || replica_hurries(replica) ||
	       replica->log.unapplied_bytes >= replica->config.unapplied_bytes / 2 ||
	       ring->received - ring->tail >= ring->bytes / 2;
}

/* Has the delay passed, or is there a reason not to wait? */
static bool is_due(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;
	uint32_t delay_ms = replica->config.apply_delay_ms;

	if (hurry(replica))
		return true;
	if (!delay_ms)
		delay_ms = REPLICA_APPLY_DELAY_MS;
	if (!apply->timer.armed)
		env_timer_set(replica->config.env, &apply->timer,
			      env_monotonic_ns(replica->config.env) + delay_ms * NS_PER_MS);
	return false;
}

static unsigned int volume_index(const struct replica *replica, unsigned int number)
{
	unsigned int i;

	for (i = 0; i < replica->config.nr_volumes; i++)
		if (replica->volumes[i].number == number)
			return i;
	assert(0);	/* frame_check_limits() has refused it */
	return 0;
}

static void add_op(struct replica *replica, const struct frame_op *op, const uint8_t *frame)
{
	struct window_op add = {
		.sector = op->sector,
		.sectors = op->sectors,
		.zero = op->op == REPRISE_OP_WRITE_ZEROES,
		.unmap = op->flags & REPRISE_OP_UNMAP,
	};

	if (op->op != REPRISE_OP_WRITE && op->op != REPRISE_OP_WRITE_ZEROES)
		return;
	add.volume = volume_index(replica, op->volume);
	if (!add.zero)
		add.payload = frame + op->payload_offset;
	window_add(&replica->apply.window, &add);
}

/* Add what of a frame may be applied.  False: the window ends within it. */
static bool add_frame(struct replica *replica, const struct frame *frame, const uint8_t *buf,
		      uint64_t limit)
{
	struct replica_apply *apply = &replica->apply;
	unsigned int i;

	for (i = 0; i < frame->nr_ops; i++) {
		uint64_t seq = frame->first_seq + i;

		if (seq <= apply->next_applied)
			continue;
		if (seq > limit || window_full(&apply->window))
			return false;
		add_op(replica, &frame->ops[i], buf);
		apply->next_applied = seq;
		/* Coalescing never crosses a checkpoint. */
		if (frame->ops[i].op == REPRISE_OP_CHECKPOINT) {
			apply->closed = true;
			if (i + 1 < frame->nr_ops)
				return false;
		}
	}
	return true;
}

static void damaged(struct replica *replica, const struct log_cursor *at, const char *why)
{
	replica_fail(replica, REPLICA_LOG_DAMAGED,
		     "log segment with ordinal %llu, offset %llu: the frame of seq %llu cannot be applied: %s",
		     (unsigned long long)at->segment->head.ordinal, (unsigned long long)at->offset,
		     (unsigned long long)at->frame_seq, why);
}

/*
 * Gather the window from @bytes of the log at apply.next, which are at @buf.
 * Frames in the ring were verified when they came, those read back are again.
 */
static void gather(struct replica *replica, const uint8_t *buf, uint64_t bytes)
{
	struct replica_apply *apply = &replica->apply;
	struct log_cursor *next = &apply->next;
	uint64_t limit = apply_limit(replica), done = 0;
	char why[FRAME_WHY_BYTES];
	struct frame frame;
	int error;

	while (done < bytes && apply->next_applied < limit && !apply->closed) {
		error = apply->from_ring ?
			frame_decode(buf + done, &frame, why) :
			log_frame_at(buf + done, bytes - done, &replica->expect, next->frame_seq,
				     &frame, why);
		if (error == -EAGAIN && done)
			return;
		if (error) {
			damaged(replica, next, error == -EAGAIN ? "it is cut off" : why);
			return;
		}
		if (!add_frame(replica, &frame, buf + done, limit))
			return;
		done += frame.frame_bytes;
		apply->next_bytes += frame.frame_bytes;
		next->offset += frame.frame_bytes;
		next->frame_seq = frame_last_seq(&frame) + 1;
	}
}

static void begin_window(struct replica *replica, bool from_ring)
{
	struct replica_apply *apply = &replica->apply;

	apply->from_ring = from_ring;
	apply->next = apply->cursor;
	apply->next_applied = replica->state.applied;
	apply->next_bytes = 0;
	apply->next_piece = 0;
	apply->touched = 0;
	apply->due = false;
	apply->closed = false;
	env_timer_clear(replica->config.env, &apply->timer);
	window_reset(&apply->window);
}

static void run_window(struct replica *replica);

static void gather_from_ring(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;
	const struct log_cursor *cursor = &apply->cursor;
	uint64_t bytes = cursor->segment->end - cursor->offset;

	begin_window(replica, true);
	/* Receiving goes on while this window holds its part of the ring. */
	if (bytes > replica->ring.bytes / 2)
		bytes = replica->ring.bytes / 2;
	gather(replica, replica_ring_at(replica, cursor->segment->ring_base + cursor->offset),
	       bytes);
	run_window(replica);
}

static void reread_done(struct env_io *io, ssize_t result)
{
	struct replica *replica = replica_of(io, apply.reread_io);
	struct replica_apply *apply = &replica->apply;
	uint64_t bytes = apply->reread_iov.iov_len - (apply->cursor.offset - apply->reread_offset);

	apply->phase = APPLY_IDLE;
	if (result < 0) {
		replica_fail(replica, REPLICA_IO_ERROR, "the log cannot be read: %s",
			     strerror(-result));
	} else if (!replica_failed(replica)) {
		if (bytes > apply->cursor.segment->end - apply->cursor.offset)
			bytes = apply->cursor.segment->end - apply->cursor.offset;
		gather(replica, apply->reread + (apply->cursor.offset - apply->reread_offset),
		       bytes);
		if (!replica_failed(replica))
			run_window(replica);
	}
	replica_pump(replica);
}

static void read_back(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;
	const struct log_cursor *cursor = &apply->cursor;
	uint64_t bytes;

	begin_window(replica, false);
	apply->reread_offset = log_block_floor(cursor->offset);
	bytes = log_block_ceil(cursor->segment->end) - apply->reread_offset;
	if (bytes > apply->reread_bytes)
		bytes = apply->reread_bytes;
	apply->reread_iov = (struct iovec){ apply->reread, bytes };
	apply->reread_io = (struct env_io){
		.done = reread_done,
		.op = ENV_READ,
		.file = cursor->segment->file,
		.offset = cursor->segment->base + apply->reread_offset,
		.iov = &apply->reread_iov,
		.nr_iov = 1,
	};
	apply->phase = APPLY_READ;
	env_submit(replica->config.env, &apply->reread_io);
}

static void store_done(struct env_io *io, ssize_t result);

/* Extend the request by pieces that follow on it. */
static void extend(struct replica *replica, struct store_io *sio, bool zero)
{
	struct replica_apply *apply = &replica->apply;
	const struct window *window = &apply->window;
	const struct window_piece *first = &window->pieces[apply->next_piece], *last = first;
	const struct window_op *owner = window_owner(window, first);
	struct env_io *io = &sio->io;

	for (;;) {
		uint64_t bytes = (uint64_t)last->sectors * REPRISE_SECTOR_BYTES;
		const struct window_piece *next = last + 1;

		io->length += bytes;
		if (!zero)
			sio->iov[io->nr_iov++] = (struct iovec){
				(void *)window_payload(window, last), bytes,
			};
		apply->next_piece++;
		if (apply->next_piece == window->nr_pieces || io->nr_iov == REPLICA_STORE_IOVS ||
		    !window_adjacent(window, last, next) ||
		    window_owner(window, next)->zero != zero ||
		    window_owner(window, next)->unmap != owner->unmap ||
		    (!zero && io->length + next->sectors * REPRISE_SECTOR_BYTES >
			      REPLICA_STORE_IO_BYTES))
			return;
		last = next;
	}
}

static void submit_store(struct replica *replica, struct store_io *sio, bool zero)
{
	struct replica_apply *apply = &replica->apply;
	const struct window_piece *piece = &apply->window.pieces[apply->next_piece];
	const struct window_op *owner = window_owner(&apply->window, piece);

	sio->io = (struct env_io){
		.done = store_done,
		.op = zero ? ENV_ZERO : ENV_WRITE,
		.flags = owner->unmap ? ENV_UNMAP : 0,
		.file = replica->volumes[owner->volume].file,
		.offset = piece->sector * REPRISE_SECTOR_BYTES,
		.iov = zero ? NULL : sio->iov,
	};
	apply->touched |= 1U << owner->volume;
	extend(replica, sio, zero);
	replica->state.store_writes++;
	replica->state.applied_bytes += sio->io.length;
	if (!zero)
		sio->io.length = 0;
	sio->busy = true;
	apply->pending++;
	env_submit(replica->config.env, &sio->io);
}

static struct store_io *free_io(struct replica_apply *apply)
{
	unsigned int i;

	for (i = 0; i < REPLICA_STORE_IOS; i++)
		if (!apply->ios[i].busy)
			return &apply->ios[i];
	return NULL;
}

/* Start what the phase still has to start. */
static void submit_pieces(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;
	const struct window *window = &apply->window;
	bool zero = apply->phase == APPLY_ZERO;
	struct store_io *sio;

	while (apply->next_piece < window->nr_pieces && !replica_failed(replica)) {
		const struct window_piece *piece = &window->pieces[apply->next_piece];

		if (window_owner(window, piece)->zero != zero) {
			apply->next_piece++;
			continue;
		}
		sio = free_io(apply);
		if (!sio)
			return;
		submit_store(replica, sio, zero);
	}
}

static void submit_flushes(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;
	unsigned int i;

	for (i = 0; i < replica->config.nr_volumes; i++) {
		struct store_io *sio = &apply->ios[i];

		if (!(apply->touched & 1U << i))
			continue;
		sio->io = (struct env_io){
			.done = store_done,
			.op = ENV_FLUSH,
			.file = replica->volumes[i].file,
		};
		sio->busy = true;
		apply->pending++;
		env_submit(replica->config.env, &sio->io);
	}
}

static void finish_window(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;

	apply->phase = APPLY_IDLE;
	apply->cursor = apply->next;
	assert(apply->next_applied >= replica->state.applied);
	assert(apply->next_applied <= replica->state.durable);
	assert(replica->log.unapplied_bytes >= apply->next_bytes);
	replica->state.applied = apply->next_applied;
	replica->log.unapplied_bytes -= apply->next_bytes;
	replica->again = true;
}

/* Move through the phases as far as nothing is in flight. */
static void step(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;

	while (apply->phase != APPLY_IDLE && !apply->pending) {
		if (replica_failed(replica)) {
			apply->phase = APPLY_IDLE;
			return;
		}
		switch (apply->phase) {
		case APPLY_ZERO:
		case APPLY_WRITE:
			if (apply->next_piece < apply->window.nr_pieces) {
				submit_pieces(replica);
			} else if (apply->phase == APPLY_ZERO) {
				apply->phase = APPLY_WRITE;
				apply->next_piece = 0;
			} else {
				apply->phase = APPLY_FLUSH;
				submit_flushes(replica);
			}
			break;
		default:
			finish_window(replica);
			return;
		}
	}
}

static void store_done(struct env_io *io, ssize_t result)
{
	struct store_io *sio = (struct store_io *)io;
	struct replica *replica = sio->replica;
	struct replica_apply *apply = &replica->apply;

	sio->busy = false;
	apply->pending--;
	if (result < 0)
		replica_fail(replica, REPLICA_IO_ERROR,
			     "the backing device cannot be written: %s", strerror(-result));
	if (apply->phase != APPLY_FLUSH)
		submit_pieces(replica);
	step(replica);
	replica_pump(replica);
}

static void run_window(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;

	window_coalesce(&apply->window);
	apply->phase = APPLY_ZERO;
	step(replica);
}

static bool may_start(struct replica *replica)
{
	struct replica_apply *apply = &replica->apply;

	if (replica_failed(replica) || !apply_possible(replica))
		return false;
	assert(apply->cursor.segment);
	/* What the record does not name might be lost without a trace. */
	if (apply->cursor.segment->head.ordinal > replica->meta.log_ordinal) {
		if (!record_pending(replica))
			record_request(replica);
		return false;
	}
	return is_due(replica);
}

void apply_advance(struct replica *replica)
{
	/* Before the log is known, a segment only seems to end where it begins. */
	if (apply_running(replica) || replica->recover.phase != RECOVER_DONE)
		return;
	normalize(replica);
	if (!may_start(replica))
		return;
	if (in_ring(replica, &replica->apply.cursor))
		gather_from_ring(replica);
	else
		read_back(replica);
}
