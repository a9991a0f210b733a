// SPDX-License-Identifier: GPL-2.0
/*
 * A session: bytes from the primary into the ring, frame by frame verified,
 * acknowledgements back.  The one idea: one plain receive of all free space
 * is always under way, and one acknowledgement at most; whatever became true
 * meanwhile is in the next one.
 *
 * A session ends once: then nothing more is acknowledged, requests on the
 * connection are cancelled, what was received intact goes to the log, and
 * only then is the owner told.
 */
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crc32c.h"
#include "replica_impl.h"

void session_end(struct replica *replica, bool fatal, const char *fmt, ...)
{
	struct replica_session *session = &replica->session;
	va_list args;

	session->fatal |= fatal;
	if (!session->active || session->ending)
		return;
	session->ending = true;
	va_start(args, fmt);
	vsnprintf(session->reason, sizeof(session->reason), fmt, args);
	va_end(args);
	if (session->receiving || session->sending)
		replica->config.env->ops->conn_cancel(replica->config.env, session->conn);
	replica->again = true;
}

static void note_frame(struct replica *replica, const struct frame *frame)
{
	struct replica_state *state = &replica->state;

	state->received = frame_last_seq(frame);
	if (frame->commit > state->commit)
		state->commit = frame->commit;
	if (frame->flushed > state->flushed)
		state->flushed = frame->flushed;
	state->primary_realtime_ns = frame->realtime_ns;
	state->frames++;
	state->frame_bytes += frame->frame_bytes;
	state->ops += frame->nr_ops;
	replica->session.commit = frame->commit;
	replica->session.frames++;
	replica->log.pending_ops += frame->nr_ops;
	/* One without operations moves no watermark, but says that the primary waits. */
	if (!frame->nr_ops)
		replica->session.ack_due = true;
}

/* The header, if it is there, is valid: is there no room for such a frame in the ring or a segment? */
static bool too_large(const struct replica *replica)
{
	const struct replica_ring *ring = &replica->ring;
	const struct reprise_frame_head *head =
		(const void *)(ring->base + ring->verified % ring->bytes);
	uint32_t bytes;

	if (ring->received - ring->verified < REPRISE_FRAME_HEAD_BYTES)
		return false;
	bytes = le32toh(head->frame_bytes);
	return bytes > ring->bytes - LOG_BLOCK_BYTES ||
	       bytes > replica->apply.reread_bytes - LOG_BLOCK_BYTES ||
	       bytes > replica->config.segment_bytes - 2 * REPRISE_LOG_HEAD_BYTES;
}

/* Take the complete frames that have arrived. */
static void verify(struct replica *replica)
{
	struct replica_ring *ring = &replica->ring;
	char why[FRAME_WHY_BYTES];
	struct frame frame;
	int error = 0;

	while (!replica->session.ending) {
		error = log_frame_at(replica_ring_at(replica, ring->verified),
				     ring->received - ring->verified, &replica->expect,
				     replica->state.received + 1, &frame, why);
		if ((!error || error == -EAGAIN) && too_large(replica)) {
			error = -EINVAL;
			snprintf(why, sizeof(why), "it is larger than the receive ring or a log segment");
		}
		if (error)
			break;
		note_frame(replica, &frame);
		ring->verified += frame.frame_bytes;
	}
	if (error && error != -EAGAIN)
		session_end(replica, false, "refused frame %llu of the session (seq %llu expected): %s",
			    (unsigned long long)replica->session.frames + 1,
			    (unsigned long long)replica->state.received + 1, why);
}

static void recv_done(struct env_io *io, ssize_t result)
{
	struct replica *replica = replica_of(io, session.recv_io);
	struct replica_ring *ring = &replica->ring;

	replica->session.receiving = false;
	if (result > 0) {
		assert((size_t)result <= replica->session.recv_iov.iov_len);
		ring->received += result;
		verify(replica);
	} else if (!result) {
		session_end(replica, false, ring->received == ring->verified ?
			    "the primary closed the connection" :
			    "the connection ended in the middle of a frame");
	} else {
		session_end(replica, false, "receiving failed: %s", strerror(-result));
	}
	replica_pump(replica);
}

static uint64_t ring_free(const struct replica *replica)
{
	return replica->ring.bytes - (replica->ring.received - replica->ring.tail);
}

/*
 * Give back what nobody needs.  The block that the log's next write begins
 * in stays: it is written again.
 *
 * What is logged, but cannot be applied because its commit has not come
 * (a later frame carries it), is forgotten when the ring fills up: it is
 * read back from the log.  Otherwise receiving waits for applying.
 */
static void make_room(struct replica *replica)
{
	struct replica_ring *ring = &replica->ring;
	uint64_t keep = apply_ring_keep(replica);

	if (ring_free(replica) < ring->bytes / 8 && !apply_running(replica) &&
	    !apply_possible(replica))
		keep = ring->logged;
	keep = log_block_floor(keep);
	assert(keep <= ring->logged);
	if (keep > ring->tail)
		ring->tail = keep;
}

/* Wait for applying to catch up?  Only if it can. */
static bool must_wait(const struct replica *replica)
{
	return replica->log.unapplied_bytes >= replica->config.unapplied_bytes &&
	       (apply_running(replica) || apply_possible(replica));
}

static void receive(struct replica *replica)
{
	struct replica_session *session = &replica->session;

	if (session->receiving || session->ending)
		return;
	make_room(replica);
	if (!ring_free(replica) || must_wait(replica))
		return;
	session->recv_iov = (struct iovec){
		replica_ring_at(replica, replica->ring.received), ring_free(replica),
	};
	session->recv_io = (struct env_io){
		.done = recv_done,
		.op = ENV_RECV,
		.conn = session->conn,
		.iov = &session->recv_iov,
		.nr_iov = 1,
	};
	session->receiving = true;
	env_submit(replica->config.env, &session->recv_io);
}

static void send_done(struct env_io *io, ssize_t result)
{
	struct replica *replica = replica_of(io, session.send_io);

	replica->session.sending = false;
	if (result < 0)
		session_end(replica, false, "sending failed: %s", strerror(-result));
	replica_pump(replica);
}

static bool ack_wanted(const struct replica *replica)
{
	const struct replica_session *session = &replica->session;
	const struct replica_state *state = &replica->state;

	/* Before the first frame the other side may not yet be listening for them. */
	if (!session->frames)
		return false;
	/* In other modes nobody waits for "received": "durable" follows. */
	return session->ack_due || state->durable > session->acked_durable ||
	       state->applied > session->acked_applied ||
	       (replica->meta.durability == REPRISE_DURABILITY_MEMORY &&
		state->received > session->acked_received);
}

static void fill_ack(struct replica *replica)
{
	struct replica_session *session = &replica->session;
	const struct replica_state *state = &replica->state;
	struct reprise_ack *ack = &session->ack;

	/* Invariant 2: what is acknowledged as durable is in the log. */
	assert(state->applied <= state->durable && state->durable <= state->received);
	memset(ack, 0, sizeof(*ack));
	ack->magic = htole32(REPRISE_ACK_MAGIC);
	ack->version = htole16(REPRISE_ACK_VERSION);
	ack->session = htole64(session->id);
	memcpy(ack->timeline_id, state->timeline_id, REPRISE_ID_BYTES);
	ack->received = htole64(state->received);
	ack->durable = htole64(state->durable);
	ack->applied = htole64(state->applied);
	ack->crc = htole32(crc32c(ack, offsetof(struct reprise_ack, crc)));
	session->acked_received = state->received;
	session->acked_durable = state->durable;
	session->acked_applied = state->applied;
	session->ack_due = false;
}

static void acknowledge(struct replica *replica)
{
	struct replica_session *session = &replica->session;

	if (session->sending || session->ending || !ack_wanted(replica))
		return;
	fill_ack(replica);
	session->send_iov = (struct iovec){ &session->ack, sizeof(session->ack) };
	session->send_io = (struct env_io){
		.done = send_done,
		.op = ENV_SEND,
		.conn = session->conn,
		.iov = &session->send_iov,
		.nr_iov = 1,
	};
	session->sending = true;
	env_submit(replica->config.env, &session->send_io);
}

static void finish_end(struct replica *replica)
{
	struct replica_session *session = &replica->session;

	if (session->receiving || session->sending || replica->log.writing)
		return;
	if (append_pending(replica) && !replica_failed(replica) && !replica->log.gave_up)
		return;
	session->active = false;
	session->ending = false;
	session->over = true;
	/* What the log did not take is as if it had never come. */
	replica->ring.verified = replica->ring.logged;
	replica->log.pending_ops = 0;
	replica->log.tail = NULL;
	replica->log.stalled = false;
	replica->state.received = replica->state.durable;
	replica->state.in_session = false;
	if (replica->state.commit > replica->state.durable)
		replica->state.commit = replica->state.durable;
	if (replica->state.flushed > replica->state.durable)
		replica->state.flushed = replica->state.durable;
	env_timer_clear(replica->config.env, &replica->log.full_timer);
	replica_notify(replica);
	replica->again = true;
}

void session_advance(struct replica *replica)
{
	struct replica_session *session = &replica->session;

	if (!session->active)
		return;
	if (replica_failed(replica))
		session_end(replica, true, "%s", replica->state.damage_text);
	receive(replica);
	acknowledge(replica);
	if (session->ending)
		finish_end(replica);
}

static int check_start(const struct replica *replica, const uint8_t *timeline_id)
{
	if (!replica->opened || replica->closed || replica->released || replica_failed(replica))
		return -EUCLEAN;
	if (replica->session.active || replica->session.over || replica_busy(replica))
		return -EBUSY;
	if (replica->meta.left || replica->meta.state != REPRISE_STORE_CLEAN)
		return -EUCLEAN;
	if (memcmp(replica->state.timeline_id, timeline_id, REPRISE_ID_BYTES))
		return -ESTALE;
	return 0;
}

int replica_session_start(struct replica *replica, struct env_conn *conn, uint64_t session_id,
			  const uint8_t timeline_id[REPRISE_ID_BYTES])
{
	struct replica_ring *ring = &replica->ring;
	int error = check_start(replica, timeline_id);

	if (error)
		return error;
	replica->session = (struct replica_session){
		.active = true,
		.conn = conn,
		.id = session_id,
		.acked_received = replica->state.received,
		.acked_durable = replica->state.durable,
		.acked_applied = replica->state.applied,
	};
	ring->received = log_block_ceil(ring->received);
	ring->verified = ring->logged = ring->received;
	replica->log.tail = NULL;
	replica->log.session_ordinal = 0;
	replica->log.gave_up = false;
	replica->log.pending_ops = 0;
	replica->log.last_commit = replica->log.commit;
	replica->state.in_session = true;
	replica_pump(replica);
	return 0;
}

bool replica_session_stop(struct replica *replica, const char *reason)
{
	if (!replica->session.active)
		return replica->session.over;
	session_end(replica, false, "%s", reason);
	replica_pump(replica);
	return true;
}
