/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One node's copy of a resource: store, log and metadata, as a state machine
 * over env.h.  Receives frames, logs, acknowledges and applies them (a
 * session); recovers after any crash; is left, settled and handed over when
 * roles change.  It decides nothing about roles or peers: node.c does.
 *
 * Life: create -> open -> (session)* -> leave -> settle -> release (the
 * kernel has the store) -> regain -> (session)* -> close -> destroy.
 */
#ifndef REPRISE_REPLICA_H
#define REPRISE_REPLICA_H

#include "env.h"
#include "meta.h"

struct replica;

struct replica_volume {
	unsigned int number;
	struct env_file *file;		/* store: backing device or file */
	uint64_t device_bytes;		/* of the backing device */
	uint64_t size_sectors;		/* of the volume */
};

struct replica_segment {
	struct env_file *file;
	uint64_t offset;		/* of the segment in the file, multiple of 4096 */
};

struct replica_config {
	struct env *env;
	char name[REPRISE_NAME_MAX + 1];	/* resource, for messages */
	uint8_t resource_id[REPRISE_ID_BYTES];
	unsigned int node;
	uint32_t logical_block_bytes;
	size_t ring_bytes;		/* receive ring: multiple of 64 KiB, >= 8 MiB */
	uint64_t unapplied_bytes;	/* apply so that logged, unapplied payload stays below */
	size_t reread_bytes;		/* buffer to read the log back: multiple of 4096; 0: fits any frame */
	uint32_t apply_delay_ms;	/* window closes at the latest after this; default 200 */
	uint64_t segment_bytes;
	const struct replica_volume *volumes;	/* copied */
	unsigned int nr_volumes;
	const struct replica_segment *segments;	/* copied; at least 4 */
	unsigned int nr_segments;

	void *ctx;
	/*
	 * The session is over, whatever the reason (the stream's end, a
	 * refused frame, a log or store error, replica_session_stop()): all
	 * requests on the connection have completed, everything received and
	 * intact is durable in the log.  The connection is the caller's again
	 * (to close).  @reason: plain words; @fatal: the store or log failed
	 * or is full, so that a new session would fail too.
	 */
	void (*session_ended)(void *ctx, const char *reason, bool fatal);
};

enum replica_damage {
	REPLICA_OK,
	REPLICA_LOG_DAMAGED,	/* a bad frame below what was promised */
	REPLICA_LOG_MISSING,	/* log id differs, or promised segments are gone */
	REPLICA_META_INVALID,	/* no valid record, or volumes disagree */
	REPLICA_IO_ERROR,	/* store or log answered with an error: sticky */
};

/* What the replica knows of itself; valid between open and close. */
struct replica_state {
	const struct meta *meta;	/* as last made durable */
	enum replica_damage damage;
	char damage_text[256];		/* names the segment, offset, what was wrong */
	uint8_t timeline_id[REPRISE_ID_BYTES];
	uint64_t generation;
	uint64_t received, durable, applied;	/* seqs */
	uint64_t commit, flushed;		/* highest heard from the primary */
	uint64_t primary_realtime_ns;		/* of the newest frame */
	bool in_session;
	uint64_t log_bytes, log_used_bytes;	/* used: not recyclable yet */
	uint64_t frames, frame_bytes, ops, log_writes, applied_bytes, store_writes;
};

typedef void (*replica_done)(void *ctx, int error);	/* 0 or -errno */

/* NULL: no memory.  Nothing is read yet. */
struct replica *replica_create(const struct replica_config *config);
void replica_destroy(struct replica *replica);	/* closed, or never opened */
/*
 * Forget everything, whatever is in flight: only where the whole process is
 * simulated to have died, and its requests with it.
 */
void replica_abandon(struct replica *replica);
const struct replica_state *replica_state(const struct replica *replica);

/*
 * Read metadata and log, find the valid prefix, cut a torn tail, redo what
 * is committed.  Succeeds also with damage (see state): then no session can
 * begin and nothing has been changed.  @error: -EIO, -EINVAL (see
 * damage_text).
 */
void replica_open(struct replica *replica, replica_done done, void *ctx);

/*
 * Receive frames of @timeline_id from @conn, beginning with @first_seq =
 * durable + 1; acknowledge on the same connection under @session.  Any bytes
 * the handshake left over must have been consumed exactly: the stream begins
 * with a frame.  Return 0, -EBUSY (in session), -EUCLEAN (damage, left,
 * blank), -ESTALE (timeline).
 */
int replica_session_start(struct replica *replica, struct env_conn *conn, uint64_t session,
			  const uint8_t timeline_id[REPRISE_ID_BYTES]);
/* End the session orderly; session_ended() follows, unless there was none: returns false. */
bool replica_session_stop(struct replica *replica, const char *reason);

/*
 * Leave the current timeline: (end the session,) drain log writes, durably
 * record "left at F".  Afterwards state.durable is F.  No session can start
 * until replica_enter().  Idempotent.
 */
void replica_leave(struct replica *replica, replica_done done, void *ctx);
/*
 * Take a left timeline up again, because nobody opened another one: durably.
 */
void replica_unleave(struct replica *replica, replica_done done, void *ctx);
/*
 * Make the whole tip final: apply everything up to durable, flush.  For own
 * promotion and before entering another timeline.
 */
void replica_settle(struct replica *replica, replica_done done, void *ctx);
/*
 * Durably enter @timeline (its parent is the current timeline, its fork_seq
 * our tip; settled): current timeline, applied = fork_seq, @state.  For a
 * promotion on this node (state UNCLEAN) and for following another node's
 * (state CLEAN).  An UNCLEAN replica enters a crash fork, and stays UNCLEAN; it
 * is neither left nor settled before; so does a LOST one, and becomes UNCLEAN.
 */
void replica_enter(struct replica *replica, const struct meta_timeline *timeline,
		   enum reprise_store_state state, replica_done done, void *ctx);

/* Settled and entered as UNCLEAN: forget the store, the kernel has it now. */
void replica_release(struct replica *replica);
/*
 * The kernel gave the store back at @seq of the current timeline: flushed,
 * durably @state (CLEAN, or LOST: some of it was not written), applied =
 * durable = @seq.  @volumes: new file handles.
 */
void replica_regain(struct replica *replica, const struct replica_volume *volumes,
		    uint64_t seq, enum reprise_store_state state, replica_done done,
		    void *ctx);
/* Change durability / on_peer_loss in the record (and nothing else), durably. */
void replica_set_policy(struct replica *replica, enum reprise_durability durability,
			enum reprise_on_peer_loss on_peer_loss, replica_done done, void *ctx);

/* End the session, apply what is committed, record, so that the next open is quick. */
void replica_close(struct replica *replica, replica_done done, void *ctx);

#endif /* REPRISE_REPLICA_H */
