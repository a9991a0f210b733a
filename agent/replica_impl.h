/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inside the replica: what its parts share.  Nobody else includes this.
 *
 *	replica.c		the object, its public operations, the pump
 *	replica_record.c	metadata records: read, written, one at a time
 *	replica_recover.c	the log after a crash: its valid prefix
 *	replica_session.c	receive, verify, acknowledge
 *	replica_append.c	group commit, segments
 *	replica_apply.c		windows from ring or log to the store
 *
 * The one idea: every part has an advance() that starts what can be started
 * now, completions only note what happened and call replica_pump(), and the
 * pump calls all advance()s until nothing moves.
 *
 * Positions.  A ring position counts bytes received, for ever; position p
 * is at ring.base[p % ring.bytes].  A log position is (segment, offset).  A
 * segment written by this process has ring_base: offset o of it was, or
 * still is, at ring position ring_base + o.
 *
 *	ring.tail <= ring.logged <= ring.verified <= ring.received
 *
 * [tail, logged) is kept for applying, [logged, verified) waits for the log,
 * [verified, received) is an incomplete frame.
 */
#ifndef REPRISE_REPLICA_IMPL_H
#define REPRISE_REPLICA_IMPL_H

#include <assert.h>
#include <errno.h>

#include "frame.h"
#include "log.h"
#include "replica.h"
#include "window.h"

#define replica_of(ptr, member) \
	((struct replica *)((char *)(ptr) - offsetof(struct replica, member)))

#define NS_PER_MS	1000000ULL

enum {
	REPLICA_WINDOW_OPS	= 8192,
	REPLICA_APPLY_DELAY_MS	= 200,		/* where the configuration names none */
	REPLICA_STORE_IOS	= 32,		/* store writes in flight */
	REPLICA_STORE_IOVS	= 128,
	REPLICA_STORE_IO_BYTES	= 1 << 20,
	/* Holds a frame of the largest size at any phase. */
	REPLICA_REREAD_BYTES	= REPRISE_FRAME_MAX_BYTES + (64 << 10),
	REPLICA_LOG_WRITE_BYTES	= 8 << 20,	/* one group commit, at most */
	REPLICA_IDLE_LOG_BYTES	= 64 << 10,	/* frames without operations: written then */
	REPLICA_LOG_FULL_MS	= 2000,		/* without a free segment: the session ends */
	REPLICA_MAX_CALLS	= 8,		/* public operations waiting */
	REPLICA_REASON_BYTES	= 320,
};

struct segment {
	struct env_file *file;
	uint64_t base;			/* of the segment in the file */
	bool used;			/* @head is durable, or was found so */
	struct log_head head;
	uint64_t end;			/* offset behind the last durable frame that counts */
	uint64_t last_seq;		/* of that frame */
	bool in_ring;			/* written by this process: */
	uint64_t ring_base;
};

struct log_cursor {
	struct segment *segment;	/* NULL: the log holds nothing of interest */
	uint64_t offset;		/* of a frame, or the segment's end */
	uint64_t frame_seq;		/* first seq of that frame */
};

struct replica_ring {
	uint8_t *base;
	size_t bytes;
	uint64_t tail, logged, verified, received;
};

struct replica_record {
	struct meta next;		/* what the next record will say */
	uint64_t commit;		/* ... and its commit at least */
	struct meta writing;
	uint64_t wanted, begun, done;	/* requests, counted */
	uint32_t repair;		/* volumes that lack the current record */
	uint32_t mask;			/* volumes being written */
	enum { RECORD_IDLE, RECORD_READ, RECORD_WRITE, RECORD_FLUSH } phase;
	bool repairing;
	bool loaded;
	unsigned int pending;
	int error;
	struct record_io {
		struct env_io io;
		struct replica *replica;
		struct iovec iov;
		uint8_t *buf;		/* REPRISE_META_RECORD_BYTES */
	} ios[2 * REPRISE_MAX_VOLUMES];
};

struct replica_log {
	struct segment *segments;
	unsigned int nr_segments;
	uint64_t newest_ordinal;	/* highest ever durable */
	struct segment *tail;		/* of the session, NULL: none begun yet */
	uint64_t session_ordinal;	/* 0: none begun yet */
	uint64_t commit;		/* final by what the log itself says */
	uint64_t last_commit;		/* of the last frame logged */
	uint64_t unapplied_bytes;	/* frames behind the apply cursor */
	uint64_t pending_ops;		/* verified, not yet handed to a write */
	bool stalled;			/* no segment is free */
	bool gave_up;			/* ... and none became free in time */
	struct env_timer full_timer;

	bool writing;
	bool write_begins;		/* the write begins its segment */
	struct segment *write_segment;
	uint64_t write_end;		/* ring position */
	uint64_t write_bytes, write_frames, write_ops;
	uint64_t write_seq, write_commit, write_evidence;
	struct env_io io;
	struct iovec iov[3];
	uint8_t *head_block;
	uint8_t *tail_block;
};

struct replica_session {
	bool active, ending, fatal, receiving, sending;
	bool over;			/* session_ended() is due */
	struct env_conn *conn;
	uint64_t id;
	uint64_t commit;		/* of the newest frame */
	uint64_t frames;
	bool ack_due;
	uint64_t acked_received, acked_durable, acked_applied;
	struct env_io recv_io, send_io;
	struct iovec recv_iov, send_iov;
	struct reprise_ack ack;
	char reason[REPLICA_REASON_BYTES];
};

struct replica_apply {
	struct log_cursor cursor;	/* of the frame that holds applied + 1 */
	struct log_cursor next;		/* ... once the window is applied */
	uint64_t next_applied, next_bytes;
	enum { APPLY_IDLE, APPLY_READ, APPLY_ZERO, APPLY_WRITE, APPLY_FLUSH } phase;
	bool from_ring;
	bool closed;			/* a checkpoint ends the window */
	bool due;			/* the delay is over */
	struct env_timer timer;
	struct window window;
	unsigned int next_piece;
	uint32_t touched;		/* volumes, by index */
	unsigned int pending;
	uint8_t *reread;
	size_t reread_bytes;
	struct env_io reread_io;
	struct iovec reread_iov;
	uint64_t reread_offset;
	struct store_io {
		struct env_io io;
		struct replica *replica;
		bool busy;
		struct iovec iov[REPLICA_STORE_IOVS];
	} ios[REPLICA_STORE_IOS];
};

struct replica_recover {
	enum {
		RECOVER_IDLE, RECOVER_HEADS, RECOVER_SCAN, RECOVER_SEARCH, RECOVER_FLUSH,
		RECOVER_DONE,
	} phase;
	unsigned int index;		/* of the header being read */
	unsigned int foreign;		/* headers of other logs */
	uint64_t newest;		/* ordinal */
	struct segment *segment;	/* being scanned */
	uint64_t offset;		/* of the frame expected next */
	uint64_t tip;
	uint64_t bad_seq;		/* searching: the first seq that is not there */
	uint64_t bad_offset;
	char why[FRAME_WHY_BYTES];
	struct env_io io;
	struct iovec iov;
	uint64_t read_offset;
};

enum call_kind {
	CALL_OPEN, CALL_LEAVE, CALL_UNLEAVE, CALL_SETTLE, CALL_ENTER, CALL_REGAIN, CALL_POLICY,
	CALL_CLOSE,
};

/* A public operation under way. */
struct replica_call {
	enum call_kind kind;
	unsigned int step;
	uint64_t ticket;		/* record that it waits for */
	struct meta_timeline timeline;
	enum reprise_store_state store_state;
	enum reprise_durability durability;
	enum reprise_on_peer_loss on_peer_loss;
	uint64_t seq;
	replica_done done;
	void *ctx;
};

struct replica {
	struct replica_config config;
	struct replica_volume volumes[REPRISE_MAX_VOLUMES];
	struct replica_state state;
	struct meta meta;		/* durable */
	struct frame_limits limits;
	struct log_expect expect;

	struct replica_ring ring;
	struct replica_record record;
	struct replica_log log;
	struct replica_session session;
	struct replica_apply apply;
	struct replica_recover recover;

	bool opened, released, closed;
	bool pumping, again;
	struct replica_call calls[REPLICA_MAX_CALLS];
	unsigned int nr_calls;
	bool call_over;			/* the first call's done() is due */
	int call_error;
	struct env_timer notify_timer;	/* callbacks come from here, on an empty stack */
};

/* replica.c */
void replica_pump(struct replica *replica);
/* Sticky: damage, the session ends, nothing is written any more. */
void replica_fail(struct replica *replica, enum replica_damage damage, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static inline bool replica_failed(const struct replica *replica)
{
	return replica->state.damage != REPLICA_OK;
}
void replica_notify(struct replica *replica);
/* State and expectations from the record that is durable now. */
void replica_take_meta(struct replica *replica);
/* Is an operation under way that wants everything applied now? */
bool replica_hurries(const struct replica *replica);
/* Is one under way that a session would disturb? */
bool replica_busy(const struct replica *replica);
static inline uint8_t *replica_ring_at(struct replica *replica, uint64_t pos)
{
	return replica->ring.base + pos % replica->ring.bytes;
}

/* replica_record.c */
int record_init(struct replica *replica);
void record_exit(struct replica *replica);
void record_load(struct replica *replica);	/* then record.loaded, or failed */
/* Ask for a record of the state as it is; durable when record.done >= the ticket. */
uint64_t record_request(struct replica *replica);
static inline bool record_pending(const struct replica *replica)
{
	return replica->record.wanted > replica->record.done;
}
void record_advance(struct replica *replica);

/* replica_recover.c */
void recover_start(struct replica *replica);	/* then phase RECOVER_DONE, or failed */

/* replica_session.c */
void session_end(struct replica *replica, bool fatal, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void session_advance(struct replica *replica);

/* replica_append.c */
int append_init(struct replica *replica);
void append_exit(struct replica *replica);
/* Are there frames that the log still has to take? */
bool append_pending(const struct replica *replica);
void append_advance(struct replica *replica);
void append_count_used(struct replica *replica);
/* The used segment of the current timeline with the lowest ordinal above @ordinal, or NULL. */
struct segment *append_segment_after(struct replica *replica, uint64_t ordinal);

/* replica_apply.c */
int apply_init(struct replica *replica);
void apply_exit(struct replica *replica);
/* Up to here operations may be applied now. */
uint64_t apply_limit(const struct replica *replica);
static inline bool apply_possible(const struct replica *replica)
{
	return apply_limit(replica) > replica->state.applied;
}
static inline bool apply_running(const struct replica *replica)
{
	return replica->apply.phase != APPLY_IDLE;
}
void apply_advance(struct replica *replica);
/* The cursor's segment, all applied, is going to be reused. */
void apply_skip_segment(struct replica *replica);
/* First ring position that applying still needs. */
uint64_t apply_ring_keep(const struct replica *replica);

#endif /* REPRISE_REPLICA_IMPL_H */
