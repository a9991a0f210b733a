/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the two nodes know, on disk and in memory, and the ghosts: what only
 * the checker knows, to judge by.
 *
 * A write is the pair (timeline, seq), as everywhere in Reprise; VAL() is
 * both in one byte, and a block's content is the VAL() of its last write.
 * Variables have the names of the code's fields.
 */
#ifndef MAX_WRITES
#define MAX_WRITES	3
#endif
#ifndef MAX_FLUSHES
#define MAX_FLUSHES	1
#endif
#ifndef MAX_PROMOTIONS
#define MAX_PROMOTIONS	3
#endif
#ifndef MAX_CRASHES
#define MAX_CRASHES	1
#endif
#ifndef MAX_LOSSES
#define MAX_LOSSES	1
#endif

#define NODES		2
#define BLOCKS		2
#define TIMELINES	(MAX_PROMOTIONS + 1)
#define PEER(n)		(1 - (n))
#define ANY_SEQ		7
#define VAL(t, s)	((t) * 8 + (s))
#define TL_OF(v)	((v) / 8)
#define SEQ_OF(v)	((v) % 8)
#define AT(n, b)	((n) * BLOCKS + (b))
#define WRITE(t, s)	((t) * (MAX_WRITES + 1) + (s))
#define MIN(a, b)	((a) < (b) -> (a) : (b))
#define MAX(a, b)	((a) > (b) -> (a) : (b))

/* --- timelines: global, since ids are random and never meet by chance ----- */
byte parent[TIMELINES], fork_seq[TIMELINES];
byte lineage[TIMELINES];	/* bit set: itself and its ancestors; index rises along it */
bit crash_fork[TIMELINES];
byte promotions;		/* begun so far; also the number of the newest */

/* --- durable --------------------------------------------------------------- */
byte meta_timeline[NODES], meta_applied[NODES], meta_commit[NODES], meta_left_seq[NODES];
bit meta_left[NODES], meta_unclean[NODES];
byte durable[NODES], log_commit[NODES];	/* the log: valid up to, final by its own words */
byte disk[NODES * BLOCKS];	/* what no power cut takes */

/* --- the agent's replica --------------------------------------------------- */
byte store[NODES * BLOCKS];	/* the backing device as it reads now */
byte received[NODES], applied[NODES];
bit session_active[NODES];
byte acked_durable[NODES];

/* --- the agent's roles ----------------------------------------------------- */
mtype = { NONE, PROMOTE, LEAVE, FOLLOW, DEMOTE };
mtype = { LEAVING, SETTLING, ANNOUNCED, ATTACHING, UNDOING };
mtype work[NODES] = NONE;
mtype phase[NODES] = NONE;	/* of a promotion, or of what a peer'nth makes us do */
bit force[NODES], self_left[NODES], waiting[NODES], entered[NODES];
byte number[NODES], leave_from[NODES], left_for[NODES], enter_number[NODES];

/* --- the control connection, and what the peer said last ------------------- */
mtype = { LEAVE_ASKED, LEFT, LEFT_REFUSED, ENTER, ENTERED, ENTER_REFUSED, WITHDRAW };
bit linked;
bit known[NODES], stale[NODES];	/* stale: its peer has yet to be told its state */
byte peer_timeline[NODES], peer_position[NODES];
bit peer_unclean[NODES], peer_primary[NODES], peer_promoting[NODES], peer_left[NODES];
/* to node 0, to node 1: type, number, timeline, position, flags */
chan ctl[NODES] = [4] of { mtype, byte, byte, byte, byte };

/* --- the data connection --------------------------------------------------- */
mtype = { CLOSED, OPEN, BROKEN };
mtype conn = CLOSED;
bit attaching;			/* the replica has begun its session, the kernel not yet */
chan frames = [2] of { byte, byte };	/* seq, or 0; commit */
chan acks = [1] of { byte };		/* durable */

/* --- the kernel ------------------------------------------------------------ */
bit primary[NODES], frozen[NODES];
byte timeline_of[NODES];	/* origin.timeline_id */
byte next_seq[NODES], cut_seq[NODES], retired_seq[NODES], ok_seq[NODES], durable_seq[NODES];
byte commit[NODES], head_commit[NODES];
byte inflight[NODES], completed[NODES];	/* bit sets of seqs */
bit connected[NODES], held[NODES];	/* the one peer */
byte sent[NODES], peer_durable[NODES];
bit flush_waits[NODES];		/* its local part is done */
byte flush_seq[NODES];

/* --- ghosts ---------------------------------------------------------------- */
byte block_of[TIMELINES * (MAX_WRITES + 1)];
byte base[TIMELINES * BLOCKS];	/* content at the timeline's opener when it began */
byte final_seq[TIMELINES];	/* the highest commit that its primary computed */
byte covered[BLOCKS];		/* newest write that a completion promised to keep */
byte promised[NODES * BLOCKS];	/* ... and that this node is relied on for */
byte flush_covers[BLOCKS];	/* completed when the flush came */
byte writes, flushes, crashes, losses;

/* --- scratch: not part of the state ---------------------------------------- */
hidden byte op, earlier, nth, at, block, value, mark, both, limit;
hidden byte holds, required, attached;

/* holds = the history that ends with write @have holds write @want */
inline in_history(have, want)
{
	at = TL_OF(have);
	limit = SEQ_OF(have);
	do
	:: at > TL_OF(want) ->
		limit = (crash_fork[at] -> ANY_SEQ : fork_seq[at]);
		at = parent[at]
	:: else -> break
	od;
	holds = at == TL_OF(want) && SEQ_OF(want) <= limit;
	at = 0;
	limit = 0
}

inline promise(where, write)
{
	in_history(where, write);
	if
	:: !holds -> where = write
	:: else
	fi
}

/*
 * value = what block @blk holds after all writes of timeline @tl up to @seq
 * (invariants 2 and 3: every copy that claims this position holds this).
 */
inline ideal(tl, seq, blk)
{
	value = base[tl * BLOCKS + blk];
	nth = fork_seq[tl] + 1;
	do
	:: nth <= seq ->
		if
		:: block_of[WRITE(tl, nth)] == blk -> value = VAL(tl, nth)
		:: else
		fi;
		nth++
	:: else -> break
	od;
	nth = 0
}

inline assert_ideal(n, tl, seq)
{
	block = 0;
	do
	:: block < BLOCKS ->
		ideal(tl, seq, block);
		assert(store[AT(n, block)] == value);
		block++
	:: else -> break
	od;
	block = 0;
	value = 0
}
