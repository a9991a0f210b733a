/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REPRISE_STREAM_H
#define _REPRISE_STREAM_H

#include <linux/list.h>
#include <linux/rbtree.h>
#include <linux/types.h>

#include "dirty.h"
#include "frame.h"
#include "uapi/reprise_netlink.h"

/**
 * struct reprise_op - one operation of the stream, embedded in its request
 *
 * Owned by the stream from reprise_stream_submit() until it comes out in
 * actions.retire; the request may be freed once it was also completed.
 */
struct reprise_op {
	/* the submitter's */
	u64 sector;
	u32 sectors;
	u32 crc;
	u16 volume;
	u8 type;			/* enum reprise_op_type */
	u8 flags;			/* enum reprise_op_flags */

	/* the stream's */
	u64 seq;
	struct list_head link;		/* stream.ops */
	struct list_head submit_link;	/* actions.submit */
	struct list_head complete_link;	/* actions.complete */
	struct rb_node rb;		/* stream.inflight */
	u64 start, last, subtree_last;	/* sectors, inclusive */
	unsigned int blockers;		/* earlier overlapping ops in flight */
	bool inflight;			/* its local I/O is not done */
	bool completed;			/* handed out in actions.complete */
	int error;			/* of the local I/O; sticky */
};

/**
 * struct reprise_flush - a flush that waits, embedded in its request
 */
struct reprise_flush {
	u16 volume;
	u64 seq;			/* last seq assigned when it came */
	u64 local_seq;			/* everything up to here was locally done then */
	struct list_head link;		/* stream.flushes, then actions.flushes */
	bool local_done;
	int error;
};

/**
 * struct reprise_stream_peer - what the stream knows of one peer
 * @connected: has a session; is required
 * @held: lost, but going on without it has not been decided: still required
 * @session: its number
 * @sent: last seq of the last frame cut for it
 * @lacks: highest seq marked in @dirty
 */
struct reprise_stream_peer {
	u16 node;			/* 0: unused */
	bool connected;
	bool held;
	u64 session;
	u64 sent;
	u64 received;
	u64 durable;
	u64 applied;
	u64 lacks;
	struct reprise_dirty dirty;
};

/**
 * struct reprise_stream - order, completion and watermarks of a resource
 *
 * Pure: no lock, no clock, no I/O.  The caller serialises, and carries out
 * the actions.  Each op is visited a bounded number of times in its life.
 */
struct reprise_stream {
	struct reprise_origin origin;
	enum reprise_durability durability;
	enum reprise_on_peer_loss on_peer_loss;

	u64 next_seq;			/* the first that is not assigned */
	u64 cut_seq;			/* the first that is in no frame */
	u64 local_seq;			/* all <= are locally done */
	u64 ok_seq;			/* all <= may complete, remotely seen */
	u64 durable_seq;		/* all <= may complete a flush or FUA */
	u64 retired_seq;		/* all <= have left the list */
	u64 commit;
	u64 flushed;
	u64 volume_flushed[REPRISE_MAX_VOLUMES];
	int flush_error[REPRISE_MAX_VOLUMES];	/* owed to the next flush */
	u16 volumes;			/* bit set of the volumes there are */
	u64 head_commit, head_flushed;	/* as in the last frame cut */

	struct list_head ops;		/* in seq order */
	struct list_head *cut_at;	/* first uncut op, or &ops */
	struct list_head *local_at;	/* first op that is not locally done, or &ops */
	struct list_head *ok_at;	/* first op > ok_seq, or &ops */
	struct list_head *durable_at;	/* first op > durable_seq, or &ops */
	struct rb_root_cached inflight[REPRISE_MAX_VOLUMES];
	struct list_head flushes;	/* waiting, in seq order */
	struct reprise_stream_peer peers[REPRISE_MAX_NODES];
};

/**
 * struct reprise_actions - what the caller has to do now
 * @submit: ops whose local I/O may be submitted (op.submit_link)
 * @complete: ops whose bio ends, with op.error (op.complete_link)
 * @flushes: flushes that end, with flush.error (flush.link)
 * @retire: ops that the stream has forgotten (op.link)
 * @wake: there may be something to cut or to send
 */
struct reprise_actions {
	struct list_head submit;
	struct list_head complete;
	struct list_head flushes;
	struct list_head retire;
	bool wake;
};

void reprise_actions_init(struct reprise_actions *act);

void reprise_stream_init(struct reprise_stream *s, const struct reprise_origin *origin,
			 enum reprise_durability durability,
			 enum reprise_on_peer_loss on_peer_loss, u64 last_seq, u16 volumes);
void reprise_stream_exit(struct reprise_stream *s);
void reprise_stream_set(struct reprise_stream *s, enum reprise_durability durability,
			enum reprise_on_peer_loss on_peer_loss, struct reprise_actions *act);

void reprise_stream_submit(struct reprise_stream *s, struct reprise_op *op,
			   struct reprise_actions *act);
void reprise_stream_local_done(struct reprise_stream *s, struct reprise_op *op, int error,
			       struct reprise_actions *act);
void reprise_stream_flush(struct reprise_stream *s, struct reprise_flush *flush);
void reprise_stream_flush_done(struct reprise_stream *s, struct reprise_flush *flush, int error,
			       struct reprise_actions *act);
void reprise_stream_volume_flushed(struct reprise_stream *s, u16 volume, u64 seq,
				   struct reprise_actions *act);
void reprise_stream_volume_flush_failed(struct reprise_stream *s, u16 volume, int error);
unsigned int reprise_stream_flush_interval_ms(unsigned int timeout_ms);

struct reprise_stream_peer *reprise_stream_peer(struct reprise_stream *s, u16 node);
int reprise_stream_add_peer(struct reprise_stream *s, u16 node);
int reprise_stream_attach(struct reprise_stream *s, u16 node, u64 session,
			  const u8 *timeline_id, u64 position, u64 *s0,
			  struct reprise_actions *act);
int reprise_stream_ack(struct reprise_stream *s, u16 node, const struct reprise_ack_host *ack,
		       struct reprise_actions *act);
bool reprise_stream_lose(struct reprise_stream *s, u16 node, struct reprise_actions *act);
void reprise_stream_alone(struct reprise_stream *s, struct reprise_actions *act);

bool reprise_stream_may_cut(const struct reprise_stream *s);
bool reprise_stream_news(const struct reprise_stream *s);
unsigned int reprise_stream_cut(struct reprise_stream *s, struct reprise_frame_head *head,
				u64 realtime_ns, reprise_crc_fn crc, struct reprise_op **ops);
u64 reprise_stream_last_seq(const struct reprise_stream *s);

#endif /* _REPRISE_STREAM_H */
