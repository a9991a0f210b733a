/* SPDX-License-Identifier: GPL-2.0 */
/*
 * agent/replica.c and its parts: receive, append, acknowledge, apply, leave,
 * enter, recover.  A frame has one operation.  Receiving and logging it,
 * applying a window, and writing a record are one step each; what a power
 * cut leaves of a step that had only begun is up to crash() in reprise.pml.
 */
#define APPLY_LIMIT(n)	MIN(MAX(log_commit[n], meta_commit[n]), durable[n])

/* What follows the state by itself in every record. */
inline record(n)
{
	if
	:: !meta_unclean[n] -> meta_applied[n] = MAX(meta_applied[n], applied[n])
	:: else
	fi;
	meta_commit[n] = MAX(meta_commit[n], meta_applied[n])
}

inline take_meta(n)
{
	received[n] = meta_applied[n];
	durable[n] = meta_applied[n];
	applied[n] = meta_applied[n];
	log_commit[n] = 0
}

/* --- a session ------------------------------------------------------------- */

inline session_start(n)
{
	session_active[n] = 1;
	acked_durable[n] = durable[n]
}

inline session_end(n)
{
	if
	:: session_active[n] -> conn = BROKEN
	:: else
	fi;
	session_active[n] = 0;
	received[n] = durable[n];
	acked_durable[n] = 0
}

inline log_written(n, seq, evidence)
{
	durable[n] = seq;
	log_commit[n] = MAX(log_commit[n], evidence)
}

inline note_frame(n, seq, frame_commit)
{
	assert(!seq || seq == received[n] + 1);
	received[n] = MAX(received[n], seq);
#ifndef ACK_BEFORE_DURABLE
	/* its own commit counts only up to what was there before it */
	value = MIN(frame_commit, received[n] - (seq > 0));
	log_written(n, received[n], value);
	value = 0
#endif
}

#define ACK_WANTED(n) (session_active[n] && conn == OPEN && received[n] > acked_durable[n])

inline acknowledge(n)
{
	if
	:: ACK_WANTED(n) && len(acks) == 0 ->
		acked_durable[n] = received[n];
		acks!acked_durable[n]
	:: else
	fi
}

/* --- applying -------------------------------------------------------------- */

#ifdef APPLY_BEYOND_COMMIT
#define WINDOW_END(n)	durable[n]
#else
#define WINDOW_END(n)	APPLY_LIMIT(n)
#endif

/* What may still be taken back never reaches the store; own promotion makes it final. */
inline write_window(n)
{
	assert(WINDOW_END(n) <= final_seq[meta_timeline[n]] || meta_commit[n] >= WINDOW_END(n));
	nth = applied[n] + 1;
	do
	:: nth <= WINDOW_END(n) ->
		store[AT(n, block_of[WRITE(meta_timeline[n], nth)])] = VAL(meta_timeline[n], nth);
		nth++
	:: else -> break
	od;
	nth = 0
}

inline run_window(n)
{
	write_window(n);
#ifndef SKIP_APPLY_FLUSH
	cache_flushed(n);
#endif
	applied[n] = WINDOW_END(n)
}

/* --- timelines ------------------------------------------------------------- */

inline leave(n)
{
	record(n);
	meta_left[n] = 1;
	meta_left_seq[n] = durable[n]
}

inline unleave(n)
{
	record(n);
	meta_left[n] = 0;
	meta_left_seq[n] = 0
}

inline settle_begin(n)
{
	record(n);
	meta_commit[n] = MAX(meta_commit[n], durable[n])
}

inline enter(n, tl, unclean)
{
	assert(!session_active[n]);
	assert(applied[n] == durable[n] && fork_seq[tl] == durable[n]);
	meta_left[n] = 0;
	meta_left_seq[n] = 0;
	meta_timeline[n] = tl;
	meta_unclean[n] = unclean;
	meta_applied[n] = fork_seq[tl];
	meta_commit[n] = fork_seq[tl];
	take_meta(n)
}

inline regain(n)
{
	meta_unclean[n] = 0;
	meta_applied[n] = LAST_SEQ(n);
	meta_commit[n] = LAST_SEQ(n);
	take_meta(n)
}

/* --- recovery -------------------------------------------------------------- */

inline recover(n)
{
	if
	:: meta_unclean[n] -> take_meta(n)
	:: else ->
		/* else: "the log ends at ..., but ... was promised": damage */
		assert(durable[n] >= meta_applied[n] && durable[n] >= meta_commit[n] &&
		       (!meta_left[n] || durable[n] == meta_left_seq[n]));
		received[n] = durable[n];
		applied[n] = meta_applied[n]
	fi
}
