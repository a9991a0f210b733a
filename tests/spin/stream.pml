/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmod/stream.c, with one peer: stamping, overlap, completion, watermarks,
 * frames, losing a peer.  The local disk completes what is in flight in any
 * order, keeps it in a volatile cache, and loses any part of that when the
 * power goes.
 */
#define LAST_SEQ(n)	(next_seq[n] - 1)
#define IS_SET(set, s)	((set) >> (s) & 1)
#define SET(set, s)	set = set | 1 << (s)
#define CLEAR(set, s)	set = set & ~(1 << (s))

inline stream_init(n, tl, last)
{
	timeline_of[n] = tl;
	next_seq[n] = last + 1;
	cut_seq[n] = last + 1;
	retired_seq[n] = last;
	ok_seq[n] = last;
	durable_seq[n] = last;
	commit[n] = last;
	head_commit[n] = last;
	inflight[n] = 0;
	completed[n] = 0;
	connected[n] = 0;
	held[n] = 0;
	sent[n] = 0;
	peer_durable[n] = 0;
	flush_waits[n] = 0;
	flush_seq[n] = 0
}

/* A write has completed: what that promises (mode write: that the peer, if required, has it). */
inline note_completed(n, seq)
{
	SET(completed[n], seq);
#ifdef MODE_WRITE
	if
	:: connected[n] || held[n] ->
		block = block_of[WRITE(timeline_of[n], seq)];
		promise(promised[AT(PEER(n), block)], VAL(timeline_of[n], seq));
		promise(covered[block], VAL(timeline_of[n], seq));
		block = 0
	:: else
	fi
#endif
}

/* A flush has completed: all that was completed when it came is kept here, and by the peer. */
inline note_flushed(n)
{
	block = 0;
	do
	:: block < BLOCKS ->
		if
		:: flush_covers[block] ->
			promise(promised[AT(n, block)], flush_covers[block]);
			promise(covered[block], flush_covers[block]);
			if
			:: connected[n] || held[n] ->
				promise(promised[AT(PEER(n), block)], flush_covers[block])
			:: else
			fi;
			flush_covers[block] = 0
		:: else
		fi;
		block++
	:: else -> break
	od;
	block = 0
}

inline complete_ops(n)
{
	nth = retired_seq[n] + 1;
	do
	:: nth < next_seq[n] ->
		if
		:: nth <= ok_seq[n] && !IS_SET(inflight[n], nth) && !IS_SET(completed[n], nth) ->
			note_completed(n, nth)
		:: else
		fi;
		nth++
	:: else -> break
	od;
	nth = 0
}

/* mark = local_seq: all <= are locally done */
inline local_seq(n)
{
	mark = retired_seq[n];
	do
	:: mark + 1 < next_seq[n] && !IS_SET(inflight[n], mark + 1) -> mark++
	:: else -> break
	od
}

inline complete_flushes(n)
{
	if
	:: flush_waits[n] && flush_seq[n] <= durable_seq[n] ->
		note_flushed(n);
		flush_waits[n] = 0;
			flush_seq[n] = 0
	:: else
	fi
}

inline retire(n, up_to)
{
	do
	:: retired_seq[n] < LAST_SEQ(n) && IS_SET(completed[n], retired_seq[n] + 1) &&
	   retired_seq[n] + 1 < cut_seq[n] && retired_seq[n] + 1 <= up_to ->
		retired_seq[n]++
	:: else -> break
	od
}

inline settle(n)
{
	required = connected[n] || held[n];
	value = (required -> MIN(LAST_SEQ(n), peer_durable[n]) : LAST_SEQ(n));
	if
	:: !required -> cut_seq[n] = next_seq[n]
	:: else
	fi;
	durable_seq[n] = MAX(durable_seq[n], value);
#ifdef MODE_WRITE
	ok_seq[n] = MAX(ok_seq[n], value);
#else
	ok_seq[n] = LAST_SEQ(n);
#endif
	complete_ops(n);
	local_seq(n);
	commit[n] = MAX(commit[n], (required -> value : mark));
	final_seq[timeline_of[n]] = MAX(final_seq[timeline_of[n]], commit[n]);
	complete_flushes(n);
	retire(n, value);
	value = 0;
	mark = 0;
	required = 0
}

/* Stamped, in the set of extents in flight: one step. */
inline submit(n, where)
{
	/* DESIGN.md, section 7: (T, F, applied = F) is durable before the first write of T */
	assert(meta_timeline[n] == timeline_of[n] && meta_unclean[n]);
	/* invariant 4 */
	assert(!primary[PEER(n)]);
	block_of[WRITE(timeline_of[n], next_seq[n])] = where;
	SET(inflight[n], next_seq[n]);
	next_seq[n]++;
	writes++;
	settle(n)
}

/* holds = no earlier overlapping op is in flight: its local I/O may be submitted */
inline no_blockers(n, seq)
{
	holds = 1;
#ifndef OVERLAPS_OUT_OF_ORDER
	earlier = retired_seq[n] + 1;
	do
	:: earlier < seq ->
		if
		:: IS_SET(inflight[n], earlier) && block_of[WRITE(timeline_of[n], earlier)] ==
					     block_of[WRITE(timeline_of[n], seq)] -> holds = 0
		:: else
		fi;
		earlier++
	:: else -> break
	od;
	earlier = 0
#endif
}

inline local_done(n, seq)
{
	store[AT(n, block_of[WRITE(timeline_of[n], seq)])] = VAL(timeline_of[n], seq);
	CLEAR(inflight[n], seq);
	settle(n)
}

inline cache_flushed(n)
{
	disk[AT(n, 0)] = store[AT(n, 0)];
	disk[AT(n, 1)] = store[AT(n, 1)]
}

/* A flush comes, and its local part is done; it covers what was completed. */
inline flush(n)
{
	flush_waits[n] = 1;
	flush_seq[n] = LAST_SEQ(n);
	flushes++;
	nth = fork_seq[timeline_of[n]] + 1;
	do
	:: nth < next_seq[n] ->
		if
		:: IS_SET(completed[n], nth) ->
			flush_covers[block_of[WRITE(timeline_of[n], nth)]] =
				VAL(timeline_of[n], nth)
		:: else
		fi;
		nth++
	:: else -> break
	od;
	nth = 0;
	cache_flushed(n);
	settle(n)
}

#define MAY_CUT(n) (connected[n] && conn == OPEN && nfull(frames) && \
		    (cut_seq[n] < next_seq[n] || commit[n] != head_commit[n]))

inline cut(n)
{
	if
	:: cut_seq[n] < next_seq[n] ->
		cut_seq[n]++;
		frames!cut_seq[n] - 1, MIN(commit[n], cut_seq[n] - 1)
	:: else ->
		frames!0, MIN(commit[n], cut_seq[n] - 1)
	fi;
	head_commit[n] = commit[n];
	sent[n] = cut_seq[n] - 1
}

/* attached = the peer may have a session from @position on */
inline attach(n, position)
{
	attached = position <= LAST_SEQ(n) && position >= retired_seq[n];
	if
	:: attached ->
		cut_seq[n] = position + 1;
#ifndef ATTACH_KEEPS_MARKS
		ok_seq[n] = MIN(ok_seq[n], position);
		durable_seq[n] = MIN(durable_seq[n], position);
#endif
		connected[n] = 1;
		held[n] = 0;
		sent[n] = position;
		peer_durable[n] = position;
		settle(n)
	:: else
	fi
}

inline ack(n, seq)
{
	assert(seq <= sent[n] && seq >= peer_durable[n]);
	peer_durable[n] = seq;
	settle(n)
}

inline lose(n)
{
	connected[n] = 0;
#ifdef FREEZE
	held[n] = 1;
	frozen[n] = 1;
#endif
	settle(n)
}

inline alone(n)
{
	held[n] = 0;
	frozen[n] = 0;
	settle(n)
}
