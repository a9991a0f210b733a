/* SPDX-License-Identifier: GPL-2.0 */
/*
 * agent/promote.c, agent/follow.c, agent/demote.c: who becomes primary, and
 * how the other leaves its timeline, enters the new one, or takes the old one
 * up again.  Each message carries the sender's state, as node_tell_peers()
 * comes before it in the code.
 */
#define FLAG_UNCLEAN	1
#define FLAG_PRIMARY	2
#define FLAG_PROMOTING	4
#define FLAG_LEFT	8
#define FLAGS(n) (meta_unclean[n] * FLAG_UNCLEAN + ACTS_AS_PRIMARY(n) * FLAG_PRIMARY + \
		  (work[n] == PROMOTE) * FLAG_PROMOTING + meta_left[n] * FLAG_LEFT)

inline tell(n, type, what)
{
	if
	:: linked ->
		assert(nfull(ctl[PEER(n)]));
		value = POSITION(n);
		ctl[PEER(n)]!type, what, meta_timeline[n], value, FLAGS(n);
		value = 0
	:: else
	fi
}

/* What node m knows of its peer from now on. */
inline peer_is(m, timeline, position, flags)
{
	peer_timeline[m] = timeline;
	peer_position[m] = position;
	peer_unclean[m] = (flags & FLAG_UNCLEAN) != 0;
	peer_primary[m] = (flags & FLAG_PRIMARY) != 0;
	peer_promoting[m] = (flags & FLAG_PROMOTING) != 0;
	peer_left[m] = (flags & FLAG_LEFT) != 0;
	known[m] = 1;
	if
	:: !peer_promoting[m] && !peer_primary[m] -> left_for[m] = 0
	:: else
	fi
}

/* A message without a request is on its way only behind others. */
inline tell_state(n)
{
	stale[n] = known[n] && linked && len(ctl[PEER(n)]) > 0;
	if
	:: known[n] && linked && !stale[n] ->
		value = POSITION(n);
		peer_is(PEER(n), meta_timeline[n], value, FLAGS(n));
		value = 0
	:: else
	fi
}

inline work_end(n)
{
	work[n] = NONE;
	phase[n] = NONE
}

/* --- promotion ------------------------------------------------------------- */

inline promote_end(n)
{
	force[n] = 0;
	self_left[n] = 0;
	waiting[n] = 0;
	entered[n] = 0;
	number[n] = 0;
	work_end(n);
	tell_state(n)
}

inline promote_begin(n, forced)
{
	promotions++;
	work[n] = PROMOTE;
	phase[n] = LEAVING;
	number[n] = promotions;
	force[n] = forced;
	self_left[n] = meta_unclean[n];
#ifdef PROMOTE_WITHOUT_LEAVING
	self_left[n] = 1;
#else
	waiting[n] = known[n];
	if
	:: known[n] -> tell(n, LEAVE_ASKED, number[n])
	:: else
	fi;
	session_end(n)
#endif
}

/* Nothing was opened: everybody takes the old timeline up again. */
inline withdraw(n)
{
	phase[n] = UNDOING;
	waiting[n] = 0;
	if
	:: known[n] -> tell(n, WITHDRAW, number[n])
	:: else
	fi
}

inline peer_fails(n)
{
	waiting[n] = 0;
	if
	:: !force[n] -> withdraw(n)
	:: else
	fi
}

inline compare(n)
{
	holds = 1;
	if
	:: !force[n] -> role_check_promote(n)
	:: else
	fi;
	if
	:: !holds -> withdraw(n)
	:: else ->
		outcome = 0;
		if
		:: known[n] -> meet(n)
		:: else
		fi;
		waiting[n] = known[n] && outcome == MEET_IN_SYNC;
		phase[n] = SETTLING;
		if
		:: !meta_unclean[n] -> settle_begin(n)
		:: else
		fi
	fi
}

inline announce(n)
{
	phase[n] = ANNOUNCED;
	if
	:: waiting[n] -> tell(n, ENTER, number[n])
	:: else -> tell_state(n)
	fi
}

inline start_kernel(n)
{
	phase[n] = ATTACHING;
	primary[n] = 1;
	frozen[n] = 1;
	waiting[n] = entered[n];
	stream_init(n, number[n], fork_seq[number[n]]);
	tell_state(n)
}

/* The new timeline, and its record in one step: before, nobody knows of it. */
inline promote_enter(n)
{
	parent[number[n]] = meta_timeline[n];
	fork_seq[number[n]] = durable[n];
	crash_fork[number[n]] = meta_unclean[n];
	lineage[number[n]] = lineage[meta_timeline[n]] | 1 << number[n];
	/* commit never falls within a timeline: what it said final is not left out */
	assert(force[n] || crash_fork[number[n]] || durable[n] >= final_seq[meta_timeline[n]]);
	final_seq[number[n]] = durable[n];
	if
	:: meta_unclean[n] -> waiting[n] = 0
	:: else -> assert_ideal(n, meta_timeline[n], durable[n])
	fi;
	base[number[n] * BLOCKS] = store[AT(n, 0)];
	base[number[n] * BLOCKS + 1] = store[AT(n, 1)];
#ifdef TIMELINE_NOT_DURABLE
	start_kernel(n)
#else
	enter(n, number[n], 1);
	announce(n)
#endif
}

/*
 * Invariant 1.  Unforced: all that any completion covered is here.  Forced:
 * all that this node was relied on for; what a completion covered without it
 * is given up, knowingly.
 */
inline assert_no_loss(n)
{
	block = 0;
	do
	:: block < BLOCKS ->
		in_history(store[AT(n, block)], promised[AT(n, block)]);
		assert(holds);
		in_history(store[AT(n, block)], covered[block]);
		assert(holds || force[n]);
		if
		:: !holds -> covered[block] = 0
		:: else
		fi;
		block++
	:: else -> break
	od;
	block = 0
}

inline resume(n)
{
	assert(!primary[PEER(n)]);
	assert_no_loss(n);
#ifdef FREEZE
	frozen[n] = waiting[n] && !force[n];
#else
	frozen[n] = 0;
#endif
	promote_end(n)
}

/* --- what this node does because of the peer --------------------------------- */

inline promote_yield(n)
{
	holds = phase[n] == UNDOING;
	if
	:: !holds && PEER(n) < n && phase[n] == LEAVING -> withdraw(n); holds = 1
	:: else
	fi
}

inline leave_asked(n, what)
{
	holds = !primary[n];
	if
	:: holds && work[n] == PROMOTE -> promote_yield(n)
	:: else
	fi;
	if
	:: holds -> leave_from[n] = what
	:: else -> tell(n, LEFT_REFUSED, what)
	fi
}

inline answer_leave(n)
{
	if
	:: leave_from[n] ->
		left_for[n] = leave_from[n];
		tell(n, LEFT, left_for[n])
	:: else
	fi;
	leave_from[n] = 0
}

inline withdrawn(n, what)
{
	if
	:: leave_from[n] == what -> leave_from[n] = 0
	:: else
	fi;
	if
	:: left_for[n] == what -> left_for[n] = 0
	:: else
	fi
}

/* The next timeline on the way to the one where the peer stands. */
inline follow_enter(n)
{
	next_after(meta_timeline[n], peer_timeline[n]);
	holds = mark && parent[mark] == meta_timeline[n] && fork_seq[mark] == durable[n];
#ifndef FOLLOW_CRASH_FORK
	holds = holds && !crash_fork[mark];
#endif
	if
	:: holds ->
		enter(n, mark, 0);
		assert_ideal(n, meta_timeline[n], durable[n])
	:: else ->
		left_for[n] = 0;
		work_end(n);
		tell_state(n)
	fi;
	mark = 0
}

inline answer_enter(n)
{
	if
	:: meta_timeline[n] == peer_timeline[n] -> tell(n, ENTERED, enter_number[n])
	:: else -> tell(n, ENTER_REFUSED, enter_number[n])
	fi;
	enter_number[n] = 0
}

#define NOBODY_WENT_ON(n) (known[n] && !peer_promoting[n] && \
			   IS_SET(lineage[meta_timeline[n]], peer_timeline[n]))

inline follow_consider(n)
{
	meet(n);
	if
	:: outcome == MEET_FOLLOW && side == n ->
		work[n] = FOLLOW;
		phase[n] = LEAVING;
		session_end(n)
	:: else ->
		if
		:: meta_left[n] && !left_for[n] && NOBODY_WENT_ON(n) -> unleave(n); tell_state(n)
		:: else ->
			if
			:: enter_number[n] -> answer_enter(n)
			:: else
			fi
		fi
	fi
}

inline peer_lost(n)
{
	known[n] = 0;
	stale[n] = 0;
	left_for[n] = 0;
	leave_from[n] = 0;
	enter_number[n] = 0;
	peer_timeline[n] = 0;
	peer_position[n] = 0;
	peer_unclean[n] = 0;
	peer_primary[n] = 0;
	peer_promoting[n] = 0;
	peer_left[n] = 0;
	do
	:: len(ctl[n]) > 0 -> ctl[n]?_, _, _, _, _
	:: else -> break
	od;
	if
	:: work[n] == PROMOTE && phase[n] == LEAVING && waiting[n] -> peer_fails(n)
	:: work[n] == PROMOTE && phase[n] != LEAVING && phase[n] != ATTACHING -> waiting[n] = 0
	:: else
	fi
}

/* --- messages ---------------------------------------------------------------- */

inline promote_answered(n, type, what)
{
	if
	:: work[n] == PROMOTE && number[n] == what && waiting[n] ->
		if
		:: phase[n] == LEAVING && type == LEFT -> waiting[n] = 0
		:: phase[n] == LEAVING && type == LEFT_REFUSED -> peer_fails(n)
		:: phase[n] == ANNOUNCED && type == ENTERED -> waiting[n] = 0; entered[n] = 1
		:: phase[n] == ANNOUNCED && type == ENTER_REFUSED -> waiting[n] = 0
		:: else
		fi
	:: else
	fi
}

inline message(n, type, what, timeline, position, flags)
{
	peer_is(n, timeline, position, flags);
	if
	:: type == LEAVE_ASKED -> leave_asked(n, what)
	:: type == ENTER -> enter_number[n] = what
	:: type == WITHDRAW -> withdrawn(n, what)
	:: else -> promote_answered(n, type, what)
	fi
}
