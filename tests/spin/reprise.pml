/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two nodes of a resource, their disks, the connections between them, power
 * cuts and an operator: what may happen, one atomic step each.  The steps
 * are in the files below, by the code's names; DESIGN.md's invariants are
 * assertions there.
 *
 * spin's -D switches.  MODE_WRITE: durability write, else flush.  FREEZE:
 * on-peer-loss freeze, else alone.  MAX_*: how much may happen.  The others
 * plant an error: see test_spin_01.sh.
 */
#include "state.pml"
#include "stream.pml"
#include "replica.pml"
#include "meet.pml"
#include "roles.pml"
#include "session.pml"

/* --- a power cut --------------------------------------------------------------- */

/* What is in the cache, or on its way there, is on the disk or not. */
inline crash_disk(n)
{
	if
	:: primary[n] ->
		op = retired_seq[n] + 1;
		do
		:: op < next_seq[n] ->
			no_blockers(n, op);
			if
			:: holds && IS_SET(inflight[n], op) ->
				store[AT(n, block_of[WRITE(timeline_of[n], op)])] =
					VAL(timeline_of[n], op)
			:: true
			fi;
			op++
		:: else -> break
		od;
		op = 0
	:: !primary[n] && !meta_unclean[n] && WINDOW_END(n) > applied[n] -> write_window(n)
	:: !primary[n]
	fi;
	if
	:: store[AT(n, 0)] = disk[AT(n, 0)]
	:: store[AT(n, 0)] != disk[AT(n, 0)] -> disk[AT(n, 0)] = store[AT(n, 0)]
	fi;
	if
	:: store[AT(n, 1)] = disk[AT(n, 1)]
	:: store[AT(n, 1)] != disk[AT(n, 1)] -> disk[AT(n, 1)] = store[AT(n, 1)]
	fi
}

/* What was received, and not acknowledged, may be in the log or not. */
inline crash_log(n)
{
	do
	:: session_active[n] && len(frames) > 0 ->
		frames?op, earlier;
		note_frame(n, op, earlier);
		op = 0;
		earlier = 0
	:: break
	od
}

inline forget(n)
{
	primary[n] = 0;
	frozen[n] = 0;
	timeline_of[n] = 0;
	stream_init(n, 0, 0);
	next_seq[n] = 0;
	cut_seq[n] = 0;
	session_active[n] = 0;
	acked_durable[n] = 0;
	linked = 0;
	attaching = 0;
	conn = (conn == CLOSED -> CLOSED : BROKEN);
	promote_end(n);
	peer_lost(n);
	recover(n)
}

inline crash(n)
{
	crashes++;
	crash_disk(n);
	crash_log(n);
	forget(n)
}

/* --- a node -------------------------------------------------------------------- */

#define FREE(n)		(work[n] == NONE)
#define REPLICA(n)	(!primary[n] && !meta_unclean[n])
#define PROMOTING(n, p)	(work[n] == PROMOTE && phase[n] == p)

proctype kernel(bit n)
{
	byte seq;

end:	do
	:: atomic { primary[n] && !frozen[n] && writes < MAX_WRITES ->
		/* the first write names its block 0 */
		if
		:: submit(n, 0)
		:: writes -> submit(n, 1)
		fi }
	:: atomic { primary[n] && inflight[n] ->
		op = retired_seq[n] + 1;
		do
		:: op < LAST_SEQ(n) -> op++
		:: break
		od;
		seq = op;
		op = 0;
		no_blockers(n, seq);
		if
		:: holds && IS_SET(inflight[n], seq) -> local_done(n, seq)
		:: else
		fi;
		seq = 0 }
	:: d_step { primary[n] && !frozen[n] && !flush_waits[n] && flushes < MAX_FLUSHES &&
		    completed[n] -> flush(n) }
	:: d_step { MAY_CUT(n) -> cut(n) }
	:: d_step { connected[n] && len(acks) > 0 -> acks?seq; ack(n, seq); seq = 0 }
	:: d_step { connected[n] && conn == BROKEN -> lose(n) }
	od
}

proctype replica(bit n)
{
	byte seq, frame_commit;

end:	do
	:: d_step { session_active[n] && len(frames) > 0 ->
		frames?seq, frame_commit;
		note_frame(n, seq, frame_commit);
		acknowledge(n);
		seq = 0;
		frame_commit = 0 }
#ifdef ACK_BEFORE_DURABLE
	:: d_step { session_active[n] && received[n] > durable[n] ->
		log_written(n, received[n], 0) }
#endif
	:: d_step { ACK_WANTED(n) && nfull(acks) -> acknowledge(n) }
	:: d_step { session_active[n] && conn == BROKEN -> session_end(n); tell_state(n) }
	:: d_step { REPLICA(n) && WINDOW_END(n) > applied[n] -> run_window(n) }
	od
}

proctype agent(bit n)
{
	mtype type;
	byte what, timeline, position, flags;

end:	do
	:: d_step { stale[n] && len(ctl[PEER(n)]) == 0 -> tell_state(n) }
	:: d_step { len(ctl[n]) > 0 ->
		ctl[n]?type, what, timeline, position, flags;
		message(n, type, what, timeline, position, flags);
		type = 0;
		what = 0;
		timeline = 0;
		position = 0;
		flags = 0 }
	:: d_step { known[n] && !linked -> peer_lost(n) }

	/* promotion; who forces one knows that the other node is not primary */
	:: d_step { FREE(n) && !primary[n] && !leave_from[n] && promotions < MAX_PROMOTIONS ->
		role_check_promote(n);
		if
		:: holds -> promote_begin(n, 0)
		:: else
		fi }
	:: d_step { FREE(n) && !primary[n] && !leave_from[n] && promotions < MAX_PROMOTIONS &&
		    !known[n] && !primary[PEER(n)] && work[PEER(n)] != PROMOTE ->
		promote_begin(n, 1) }
	:: d_step { work[n] == PROMOTE && !self_left[n] -> leave(n); self_left[n] = 1 }
	:: d_step { PROMOTING(n, LEAVING) && self_left[n] && !waiting[n] -> compare(n) }
	:: d_step { PROMOTING(n, SETTLING) && applied[n] == durable[n] -> promote_enter(n) }
	:: d_step { phase[n] == ANNOUNCED -> start_kernel(n) }
	:: d_step { phase[n] == ATTACHING -> resume(n) }
	:: d_step { PROMOTING(n, UNDOING) && self_left[n] ->
		if
		:: !meta_unclean[n] -> unleave(n)
		:: else
		fi;
		promote_end(n) }

	/* for the peer's */
	:: d_step { FREE(n) && leave_from[n] && (primary[n] || meta_unclean[n]) ->
		answer_leave(n) }
	:: d_step { FREE(n) && leave_from[n] && !primary[n] && !meta_unclean[n] ->
		work[n] = LEAVE;
		session_end(n) }
	:: d_step { work[n] == LEAVE ->
		leave(n);
		answer_leave(n);
		work_end(n) }
	:: d_step { FREE(n) && REPLICA(n) && known[n] && !leave_from[n] -> follow_consider(n) }
	:: d_step { work[n] == FOLLOW && phase[n] == LEAVING ->
		leave(n);
		settle_begin(n);
		phase[n] = SETTLING }
	:: d_step { work[n] == FOLLOW && phase[n] == SETTLING && applied[n] == durable[n] ->
		follow_enter(n) }

	/* a session: the replica answers the offer with its position; then the kernel's end */
	:: d_step { FREE(n) && REPLICA(n) && known[n] && peer_primary[n] && !meta_left[n] &&
		    may_offer(PEER(n)) && meta_timeline[n] == timeline_of[PEER(n)] &&
		    !session_active[n] && !attaching ->
		session_begin(n) }
	:: d_step { attaching && primary[n] -> session_attach(n) }
#ifdef FREEZE
	:: d_step { FREE(n) && primary[n] && held[n] -> alone(n) }
	:: d_step { FREE(n) && primary[n] && frozen[n] && !held[n] -> frozen[n] = 0 }
#endif

	:: d_step { FREE(n) && QUIET(n) -> stop(n) }
	:: d_step { work[n] == DEMOTE -> stopped(n) }
	od
}

/* Both have introduced themselves. */
inline meet_again()
{
	known[0] = 1;
	known[1] = 1;
	tell_state(0);
	tell_state(1)
}

/* --- the world ----------------------------------------------------------------- */

proctype world()
{
end:	do
	:: atomic { crashes < MAX_CRASHES -> crash(0) }
	:: atomic { crashes < MAX_CRASHES -> crash(1) }
	:: d_step { linked && losses < MAX_LOSSES -> losses++; linked = 0 }
	:: d_step { conn == OPEN && losses < MAX_LOSSES -> losses++; conn = BROKEN }
	:: d_step { !linked ->
		peer_lost(0);
		peer_lost(1);
		linked = 1;
		meet_again() }
	od
}

/* Node 0 has been promoted once: primary of timeline 1, which node 1 has entered. */
init
{
	atomic {
		lineage[0] = 1;
		lineage[1] = 3;
		promotions = 1;
		meta_timeline[0] = 1;
		meta_timeline[1] = 1;
		meta_unclean[0] = 1;
		primary[0] = 1;
		stream_init(0, 1, 0);
		linked = 1;
		meet_again();
		run kernel(0);
		run kernel(1);
		run replica(0);
		run replica(1);
		run agent(0);
		run agent(1);
		run world()
	}
}
