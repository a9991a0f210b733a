// SPDX-License-Identifier: GPL-2.0
/*
 * The stream of a resource: the order of its operations, which of them may go
 * to the local disk, which may complete, which must still be kept, and what
 * the next frame holds (DESIGN: stamping and completion).
 *
 * The one idea: everything is a comparison of a seq with a watermark.  Ops
 * stand in one list in seq order; each watermark has a cursor into it that
 * moves forward, and back only when a peer attaches, so an acknowledgement
 * costs as many steps as it completes operations.
 *
 * Pure: the owner serialises all calls of one stream with its lock, passes
 * times in, and carries out what comes back in struct reprise_actions.
 */
#include <linux/errno.h>
#include <linux/interval_tree_generic.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "stream.h"

#define op_start(op) ((op)->start)
#define op_last(op) ((op)->last)

INTERVAL_TREE_DEFINE(struct reprise_op, rb, u64, subtree_last, op_start, op_last,
		     static __maybe_unused, inflight_tree)

static struct reprise_op *op_at(struct list_head *link)
{
	return list_entry(link, struct reprise_op, link);
}

void reprise_actions_init(struct reprise_actions *act)
{
	INIT_LIST_HEAD(&act->submit);
	INIT_LIST_HEAD(&act->complete);
	INIT_LIST_HEAD(&act->flushes);
	INIT_LIST_HEAD(&act->retire);
	act->wake = false;
}

/**
 * reprise_stream_init - a stream that continues after @last_seq
 * @volumes: bit set of the volumes' numbers
 */
void reprise_stream_init(struct reprise_stream *s, const struct reprise_origin *origin,
			 enum reprise_durability durability,
			 enum reprise_on_peer_loss on_peer_loss, u64 last_seq, u16 volumes)
{
	unsigned int i;

	memset(s, 0, sizeof(*s));
	s->origin = *origin;
	s->durability = durability;
	s->on_peer_loss = on_peer_loss;
	s->next_seq = last_seq + 1;
	s->cut_seq = last_seq + 1;
	s->local_seq = last_seq;
	s->ok_seq = last_seq;
	s->durable_seq = last_seq;
	s->retired_seq = last_seq;
	s->commit = last_seq;
	s->flushed = last_seq;
	s->volumes = volumes;
	INIT_LIST_HEAD(&s->ops);
	INIT_LIST_HEAD(&s->flushes);
	s->cut_at = &s->ops;
	s->local_at = &s->ops;
	s->ok_at = &s->ops;
	s->durable_at = &s->ops;
	for (i = 0; i < REPRISE_MAX_VOLUMES; i++) {
		s->inflight[i] = RB_ROOT_CACHED;
		s->volume_flushed[i] = last_seq;
	}
}

/**
 * reprise_stream_exit - free what the stream owns (the dirty maps)
 *
 * All operations must have been retired.
 */
void reprise_stream_exit(struct reprise_stream *s)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_NODES; i++)
		if (s->peers[i].node)
			reprise_dirty_clear(&s->peers[i].dirty);
}

u64 reprise_stream_last_seq(const struct reprise_stream *s)
{
	return s->next_seq - 1;
}

static bool peer_required(const struct reprise_stream_peer *peer)
{
	return peer->node && (peer->connected || peer->held);
}

static bool any_required(const struct reprise_stream *s)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_NODES; i++)
		if (peer_required(&s->peers[i]))
			return true;
	return false;
}

/* The least watermarks of the required peers; the last seq if there is none. */
static void required_marks(const struct reprise_stream *s, u64 *received, u64 *durable)
{
	unsigned int i;

	*received = reprise_stream_last_seq(s);
	*durable = reprise_stream_last_seq(s);
	for (i = 0; i < REPRISE_MAX_NODES; i++) {
		if (!peer_required(&s->peers[i]))
			continue;
		*received = min(*received, s->peers[i].received);
		*durable = min(*durable, s->peers[i].durable);
	}
}

static void try_complete(struct reprise_stream *s, struct reprise_op *op,
			 struct reprise_actions *act)
{
	if (op->completed || op->inflight || op->seq > s->ok_seq)
		return;
	if ((op->flags & REPRISE_OP_FUA) && op->seq > s->durable_seq)
		return;
	op->completed = true;
	list_add_tail(&op->complete_link, &act->complete);
}

static void advance(struct reprise_stream *s, u64 *mark, struct list_head **at, u64 to,
		    struct reprise_actions *act)
{
	if (to <= *mark)
		return;
	*mark = to;
	while (*at != &s->ops && op_at(*at)->seq <= to) {
		struct reprise_op *op = op_at(*at);

		*at = (*at)->next;
		try_complete(s, op, act);
	}
}

static void complete_flushes(struct reprise_stream *s, struct reprise_actions *act)
{
	struct reprise_flush *flush, *next;

	list_for_each_entry_safe(flush, next, &s->flushes, link) {
		if (flush->seq > s->durable_seq)
			break;
		if (flush->local_done)
			list_move_tail(&flush->link, &act->flushes);
	}
}

/* Forget the longest prefix that nobody needs any more. */
static void retire(struct reprise_stream *s, u64 durable, struct reprise_actions *act)
{
	while (!list_empty(&s->ops)) {
		struct reprise_op *op = op_at(s->ops.next);

		if (op->inflight || !op->completed || op->seq >= s->cut_seq || op->seq > durable)
			return;
		s->retired_seq = op->seq;
		list_move_tail(&op->link, &act->retire);
	}
}

/* Every change of a peer, a watermark or the mode ends here. */
static void settle(struct reprise_stream *s, struct reprise_actions *act)
{
	bool required = any_required(s);
	u64 last = reprise_stream_last_seq(s);
	u64 received, durable, flush_to, ok_to;

	required_marks(s, &received, &durable);
	flush_to = s->durability == REPRISE_DURABILITY_ASYNC ? last : durable;
	switch (s->durability) {
	case REPRISE_DURABILITY_WRITE:
		ok_to = durable;
		break;
	case REPRISE_DURABILITY_MEMORY:
		ok_to = received;
		break;
	default:
		ok_to = last;
	}

	if (!required) {
		s->cut_seq = s->next_seq;
		s->cut_at = &s->ops;
	}
	/* Both marks first: an op with FUA is looked at under either cursor. */
	advance(s, &s->durable_seq, &s->durable_at, flush_to, act);
	advance(s, &s->ok_seq, &s->ok_at, ok_to, act);
	s->commit = max(s->commit, required ? durable : s->local_seq);
	complete_flushes(s, act);
	retire(s, durable, act);
	act->wake |= s->cut_at != &s->ops || reprise_stream_news(s);
}

/**
 * reprise_stream_set - change the durability mode, or what a lost peer causes
 *
 * A stricter mode holds for what is submitted from now on; what could already
 * complete stays so.
 */
void reprise_stream_set(struct reprise_stream *s, enum reprise_durability durability,
			enum reprise_on_peer_loss on_peer_loss, struct reprise_actions *act)
{
	s->durability = durability;
	s->on_peer_loss = on_peer_loss;
	settle(s, act);
}

static void mark_absent(struct reprise_stream *s, const struct reprise_op *op)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_NODES; i++) {
		struct reprise_stream_peer *peer = &s->peers[i];

		if (!peer->node || peer_required(peer))
			continue;
		reprise_dirty_mark(&peer->dirty, op->volume, op->sector, op->sectors);
		peer->lacks = op->seq;
	}
}

/*
 * A disk that fails a flush may have dropped what it had taken, and say yes to
 * the flushes beside it, and to the next one.  So all that are under way fail
 * with it, alone or before a write.  Return whether there are any.
 */
static bool fail_flushes(struct reprise_stream *s, u16 volume, int error)
{
	struct reprise_flush *flush;
	struct reprise_op *op;
	bool any = false;

	list_for_each_entry(flush, &s->flushes, link) {
		if (flush->volume != volume || flush->local_done)
			continue;
		flush->error = error;
		any = true;
	}
	list_for_each_entry(op, &s->ops, link) {
		if (op->volume != volume || !op->inflight || !(op->flags & REPRISE_OP_FUA))
			continue;
		op->error = error;
		any = true;
	}
	return any;
}

/* What a flush that nobody had asked for has left for the next one. */
static int take_flush_error(struct reprise_stream *s, u16 volume)
{
	int error = s->flush_error[volume];

	s->flush_error[volume] = 0;
	return error;
}

/**
 * reprise_stream_submit - stamp an operation and put it in flight
 * @op: the submitter's part filled in; sectors is not 0
 *
 * One step under the lock: seq, the place in the list, the set of extents in
 * flight.  An op that overlaps one whose local I/O is not done comes out in
 * act->submit only when that one is done, but may be cut into a frame at once.
 */
void reprise_stream_submit(struct reprise_stream *s, struct reprise_op *op,
			   struct reprise_actions *act)
{
	struct rb_root_cached *root = &s->inflight[op->volume];
	struct reprise_op *other;

	op->seq = s->next_seq++;
	op->start = op->sector;
	op->last = op->sector + op->sectors - 1;
	op->blockers = 0;
	op->inflight = true;
	op->completed = false;
	op->error = op->flags & REPRISE_OP_FUA ? take_flush_error(s, op->volume) : 0;

	for (other = inflight_tree_iter_first(root, op->start, op->last); other;
	     other = inflight_tree_iter_next(other, op->start, op->last))
		op->blockers++;
	inflight_tree_insert(op, root);

	list_add_tail(&op->link, &s->ops);
	if (s->cut_at == &s->ops)
		s->cut_at = &op->link;
	if (s->local_at == &s->ops)
		s->local_at = &op->link;
	if (s->ok_at == &s->ops)
		s->ok_at = &op->link;
	if (s->durable_at == &s->ops)
		s->durable_at = &op->link;

	mark_absent(s, op);
	if (!op->blockers)
		list_add_tail(&op->submit_link, &act->submit);
	settle(s, act);
}

static void unblock(struct reprise_stream *s, struct reprise_op *op, struct reprise_actions *act)
{
	struct rb_root_cached *root = &s->inflight[op->volume];
	struct reprise_op *later;

	inflight_tree_remove(op, root);
	for (later = inflight_tree_iter_first(root, op->start, op->last); later;
	     later = inflight_tree_iter_next(later, op->start, op->last))
		if (!--later->blockers)
			list_add_tail(&later->submit_link, &act->submit);
}

/**
 * reprise_stream_local_done - the local I/O of an operation has ended
 * @error: 0 or negative errno; the first one sticks
 */
void reprise_stream_local_done(struct reprise_stream *s, struct reprise_op *op, int error,
			       struct reprise_actions *act)
{
	op->inflight = false;
	if (error && !op->error)
		op->error = error;
	if (error && op->flags & REPRISE_OP_FUA)
		fail_flushes(s, op->volume, error);
	unblock(s, op, act);
	while (s->local_at != &s->ops && !op_at(s->local_at)->inflight) {
		s->local_seq = op_at(s->local_at)->seq;
		s->local_at = s->local_at->next;
	}
	try_complete(s, op, act);
	settle(s, act);
}

/**
 * reprise_stream_flush - a flush came; its local flush is to be issued now
 *
 * It comes out in act->flushes when reprise_stream_flush_done() was called and
 * everything submitted before it, in all volumes, is durable on the required
 * peers.
 */
void reprise_stream_flush(struct reprise_stream *s, struct reprise_flush *flush)
{
	flush->seq = reprise_stream_last_seq(s);
	flush->local_seq = s->local_seq;
	flush->local_done = false;
	flush->error = take_flush_error(s, flush->volume);
	list_add_tail(&flush->link, &s->flushes);
}

/**
 * reprise_stream_flush_done - the local flush of a flush has ended
 */
void reprise_stream_flush_done(struct reprise_stream *s, struct reprise_flush *flush, int error,
			       struct reprise_actions *act)
{
	if (error)
		fail_flushes(s, flush->volume, error);
	flush->local_done = true;
	if (!flush->error)
		reprise_stream_volume_flushed(s, flush->volume, flush->local_seq, act);
	else
		settle(s, act);
}

/**
 * reprise_stream_volume_flushed - a volume's disk was flushed
 * @seq: stream.local_seq as it was before that flush was issued
 */
void reprise_stream_volume_flushed(struct reprise_stream *s, u16 volume, u64 seq,
				   struct reprise_actions *act)
{
	u64 least;
	unsigned int i;

	s->volume_flushed[volume] = max(s->volume_flushed[volume], seq);
	least = s->volume_flushed[volume];
	for (i = 0; i < REPRISE_MAX_VOLUMES; i++)
		if (s->volumes & 1 << i)
			least = min(least, s->volume_flushed[i]);
	s->flushed = max(s->flushed, least);
	settle(s, act);
}

/**
 * reprise_stream_volume_flush_failed - a flush that nobody had asked for failed
 *
 * Somebody must be told: those whose flush is under way, or who asks next.
 */
void reprise_stream_volume_flush_failed(struct reprise_stream *s, u16 volume, int error)
{
	if (!fail_flushes(s, volume, error))
		s->flush_error[volume] = error;
}

/**
 * reprise_stream_flush_interval_ms - how often to flush unasked
 * @timeout_ms: how long a peer may make no progress
 *
 * A replica whose log is full waits for flushed to move, and must not seem to
 * hang meanwhile.
 */
unsigned int reprise_stream_flush_interval_ms(unsigned int timeout_ms)
{
	return min(max(timeout_ms / 4, 25U), 1000U);
}

struct reprise_stream_peer *reprise_stream_peer(struct reprise_stream *s, u16 node)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_NODES; i++)
		if (s->peers[i].node == node)
			return &s->peers[i];
	return NULL;
}

/**
 * reprise_stream_add_peer - a node that may be attached later
 *
 * It counts as absent, holding everything up to the stream's beginning.
 *
 * Return: 0; -EEXIST; -ENOSPC: no more than REPRISE_MAX_NODES.
 */
int reprise_stream_add_peer(struct reprise_stream *s, u16 node)
{
	struct reprise_stream_peer *peer;

	if (reprise_stream_peer(s, node))
		return -EEXIST;
	peer = reprise_stream_peer(s, 0);
	if (!peer)
		return -ENOSPC;
	memset(peer, 0, sizeof(*peer));
	peer->node = node;
	peer->durable = reprise_stream_last_seq(s);
	reprise_dirty_init(&peer->dirty);
	return 0;
}

static bool other_connected(const struct reprise_stream *s, const struct reprise_stream_peer *peer)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_NODES; i++)
		if (&s->peers[i] != peer && s->peers[i].node && s->peers[i].connected)
			return true;
	return false;
}

static struct list_head *first_after(struct reprise_stream *s, u64 seq)
{
	struct reprise_op *op;

	list_for_each_entry(op, &s->ops, link)
		if (op->seq > seq)
			return &op->link;
	return &s->ops;
}

/* What has not completed yet waits for a peer that holds no more than @position, too. */
static void marks_go_back(struct reprise_stream *s, u64 position)
{
	if (s->ok_seq > position) {
		s->ok_seq = position;
		s->ok_at = first_after(s, position);
	}
	if (s->durable_seq > position) {
		s->durable_seq = position;
		s->durable_at = first_after(s, position);
	}
}

/**
 * reprise_stream_attach - a session with a peer begins
 * @position: last seq of @timeline_id that the peer holds, durable
 * @s0: set to the first seq of the session, @position + 1
 *
 * The old session, if any, must have been lost.  What the peer lacks must
 * still be held, and, where another peer is connected, not have been cut yet.
 *
 * Return: 0; -ENOENT: no such peer; -EISCONN: still has a session; -ESTALE:
 * other timeline; -ERANGE: it claims more than there is; -EUCLEAN: it lacks
 * operations that are no longer held, and needs a resync.
 */
int reprise_stream_attach(struct reprise_stream *s, u16 node, u64 session,
			  const u8 *timeline_id, u64 position, u64 *s0,
			  struct reprise_actions *act)
{
	struct reprise_stream_peer *peer = node ? reprise_stream_peer(s, node) : NULL;

	if (!peer)
		return -ENOENT;
	if (peer->connected)
		return -EISCONN;
	if (memcmp(timeline_id, s->origin.timeline_id, REPRISE_ID_BYTES))
		return -ESTALE;
	if (position > reprise_stream_last_seq(s))
		return -ERANGE;
	if (position < s->retired_seq)
		return -EUCLEAN;
	if (other_connected(s, peer) && position != s->cut_seq - 1)
		return -EUCLEAN;

	s->cut_at = first_after(s, position);
	s->cut_seq = position + 1;
	marks_go_back(s, position);
	peer->connected = true;
	peer->held = false;
	peer->session = session;
	peer->sent = position;
	peer->received = position;
	peer->durable = position;
	peer->applied = 0;
	peer->lacks = 0;
	reprise_dirty_clear(&peer->dirty);
	*s0 = position + 1;
	settle(s, act);
	return 0;
}

/**
 * reprise_stream_ack - an acknowledgement came
 *
 * Return: 0, or -EPROTO if it belongs to another session or timeline, goes
 * back, or claims more than was sent: the session must then be ended.
 */
int reprise_stream_ack(struct reprise_stream *s, u16 node, const struct reprise_ack_host *ack,
		       struct reprise_actions *act)
{
	struct reprise_stream_peer *peer = reprise_stream_peer(s, node);

	if (!peer || !peer->connected || ack->session != peer->session ||
	    memcmp(ack->timeline_id, s->origin.timeline_id, REPRISE_ID_BYTES))
		return -EPROTO;
	if (ack->applied > ack->durable || ack->durable > ack->received ||
	    ack->received > peer->sent)
		return -EPROTO;
	if (ack->received < peer->received || ack->durable < peer->durable ||
	    ack->applied < peer->applied)
		return -EPROTO;
	peer->received = ack->received;
	peer->durable = ack->durable;
	peer->applied = ack->applied;
	settle(s, act);
	return 0;
}

/* What the peer may lack from now on is marked before anything completes without it. */
static void give_up(struct reprise_stream *s, struct reprise_stream_peer *peer)
{
	struct reprise_op *op;

	peer->held = false;
	list_for_each_entry(op, &s->ops, link) {
		if (op->seq <= peer->durable)
			continue;
		reprise_dirty_mark(&peer->dirty, op->volume, op->sector, op->sectors);
		peer->lacks = op->seq;
	}
}

/**
 * reprise_stream_lose - a session has ended
 *
 * With on_peer_loss alone, the rest goes on at once.  Otherwise the peer
 * stays required and nothing that needs it completes, until it is attached
 * again or reprise_stream_alone() decides.
 *
 * Return: true if I/O is to be frozen until then.
 */
bool reprise_stream_lose(struct reprise_stream *s, u16 node, struct reprise_actions *act)
{
	struct reprise_stream_peer *peer = reprise_stream_peer(s, node);

	if (!peer || !peer->connected)
		return false;
	peer->connected = false;
	if (s->on_peer_loss == REPRISE_ON_PEER_LOSS_ALONE)
		give_up(s, peer);
	else
		peer->held = true;
	settle(s, act);
	return peer->held;
}

/**
 * reprise_stream_alone - go on without the peers that are lost and held
 */
void reprise_stream_alone(struct reprise_stream *s, struct reprise_actions *act)
{
	unsigned int i;

	for (i = 0; i < REPRISE_MAX_NODES; i++)
		if (s->peers[i].node && s->peers[i].held)
			give_up(s, &s->peers[i]);
	settle(s, act);
}

bool reprise_stream_may_cut(const struct reprise_stream *s)
{
	return s->cut_at != &s->ops;
}

/**
 * reprise_stream_news - is there a commit or flushed that no frame carried yet?
 */
bool reprise_stream_news(const struct reprise_stream *s)
{
	return s->commit != s->head_commit || s->flushed != s->head_flushed;
}

/**
 * reprise_stream_cut - cut a frame of what is queued, possibly of nothing
 * @head: made here
 * @ops: room for REPRISE_FRAME_MAX_OPS; filled with the frame's operations
 *
 * The frame counts as sent to every connected peer.  Return: number of
 * operations, 0 for an empty frame.
 */
unsigned int reprise_stream_cut(struct reprise_stream *s, struct reprise_frame_head *head,
				u64 realtime_ns, reprise_crc_fn crc, struct reprise_op **ops)
{
	u32 bytes = REPRISE_FRAME_HEAD_BYTES;
	unsigned int i, n = 0;

	reprise_frame_begin(head, &s->origin, s->cut_seq);
	while (s->cut_at != &s->ops && n < REPRISE_FRAME_MAX_OPS) {
		struct reprise_op *op = op_at(s->cut_at);

		bytes += reprise_payload_bytes(op->type, op->sectors);
		if (bytes > REPRISE_FRAME_MAX_BYTES)
			break;
		reprise_frame_add(head, op->volume, op->type, op->flags, op->sector,
				  op->sectors, op->crc);
		ops[n++] = op;
		s->cut_at = s->cut_at->next;
	}
	s->cut_seq += n;
	/* A rewound cut may lie below commit; a frame may not say so. */
	s->head_commit = s->commit;
	s->head_flushed = s->flushed;
	reprise_frame_finish(head, min(s->commit, s->cut_seq - 1), min(s->flushed, s->cut_seq - 1),
			     realtime_ns, crc);
	for (i = 0; i < REPRISE_MAX_NODES; i++)
		if (s->peers[i].node && s->peers[i].connected)
			s->peers[i].sent = s->cut_seq - 1;
	return n;
}
