/* SPDX-License-Identifier: GPL-2.0 */
/*
 * agent/meet.c and the part of agent/role.c that judges by it, for stores
 * that are clean or unclean, in the modes that promise something.  Side A is
 * this node as it is, side B the peer as it last said.
 */
#define MEET_IN_SYNC	1
#define MEET_ATTACH	2
#define MEET_FOLLOW	3
#define MEET_RESYNC	4
#define MEET_TROUBLE	5	/* split brain, refused, deposed */

#define ACTS_AS_PRIMARY(n) (primary[n] || (work[n] == PROMOTE && \
			    (phase[n] == ANNOUNCED || phase[n] == ATTACHING)))
#define POSITION(n)	(primary[n] -> LAST_SEQ(n) : durable[n])

hidden byte outcome, side, common;	/* side: the node that the outcome concerns */
hidden byte may_hold_more;
hidden byte beyond_a, beyond_b, own_a, own_b, unclean_a, unclean_b;
hidden byte end_a, end_b;
hidden byte old_own, old_primary, old_unclean, old_end, new_end, old_position, new_timeline;

/* mark = the first timeline after @common in the lineage of @tl, 0 if there is none */
inline next_after(common, tl)
{
	mark = common + 1;
	do
	:: mark > tl -> mark = 0; break
	:: mark <= tl && IS_SET(lineage[tl], mark) -> break
	:: else -> mark++
	od
}

/* holds = all forks past the common timeline are clean, and at @seq */
inline forks_clean_at(tl, seq)
{
	holds = 1;
	at = common + 1;
	do
	:: at <= tl ->
		if
		:: IS_SET(lineage[tl], at) && (crash_fork[at] || fork_seq[at] != seq) -> holds = 0
		:: else
		fi;
		at++
	:: else -> break
	od;
	at = 0
}

/* holds = some fork past the common timeline is not clean: nobody knows what came before it */
inline any_unclean_fork(tl)
{
	holds = 0;
	at = common + 1;
	do
	:: at <= tl ->
		if
		:: IS_SET(lineage[tl], at) && crash_fork[at] -> holds = 1
		:: else
		fi;
		at++
	:: else -> break
	od;
	at = 0
}

inline meet_both_beyond(n)
{
	outcome = MEET_RESYNC;
	if
	:: own_a != own_b -> side = (own_a -> PEER(n) : n)
	:: else ->
		if
		:: ACTS_AS_PRIMARY(n) != peer_primary[n] ->
			side = (ACTS_AS_PRIMARY(n) -> PEER(n) : n)
		:: else ->
			if
			:: end_a != end_b -> side = (end_a < end_b -> n : PEER(n))
			:: else -> side = 1
			fi
		fi
	fi
}

/* The side @old still stands on the common timeline, the other went on from it. */
inline meet_one_beyond(old)
{
	side = old;
	if
	:: old_own -> outcome = MEET_RESYNC; side = PEER(old)
	:: !old_own && old_primary -> outcome = MEET_TROUBLE
	:: else ->
		forks_clean_at(new_timeline, old_position);
		if
		:: old_end <= new_end && !old_unclean && holds -> outcome = MEET_FOLLOW
		:: else -> outcome = MEET_RESYNC
		fi
	fi
}

inline meet_same_timeline(n)
{
	if
	:: unclean_a && unclean_b -> outcome = MEET_TROUBLE
	:: unclean_a != unclean_b ->
		outcome = MEET_RESYNC;
		side = (unclean_a -> n : PEER(n));
		may_hold_more = 1
	:: !unclean_a && !unclean_b && (ACTS_AS_PRIMARY(n) || peer_primary[n]) ->
		outcome = MEET_ATTACH;
		side = (ACTS_AS_PRIMARY(n) -> PEER(n) : n)
	:: else ->
		outcome = (POSITION(n) == peer_position[n] -> MEET_IN_SYNC : MEET_RESYNC);
		side = (POSITION(n) < peer_position[n] -> n : PEER(n))
	fi
}

inline stands(n)
{
	both = lineage[meta_timeline[n]] & lineage[peer_timeline[n]];
	common = TIMELINES - 1;
	do
	:: IS_SET(both, common) -> break
	:: else -> common--
	od;
	next_after(common, meta_timeline[n]);
	beyond_a = mark != 0;
	end_a = (mark -> fork_seq[mark] : POSITION(n));
	next_after(common, peer_timeline[n]);
	beyond_b = mark != 0;
	end_b = (mark -> fork_seq[mark] : peer_position[n]);
	any_unclean_fork(meta_timeline[n]);
	own_a = (beyond_a -> POSITION(n) > end_a || meta_unclean[n] || holds :
		 ACTS_AS_PRIMARY(n) && beyond_b && POSITION(n) > end_b);
	any_unclean_fork(peer_timeline[n]);
	own_b = (beyond_b -> peer_position[n] > end_b || peer_unclean[n] || holds :
		 peer_primary[n] && beyond_a && peer_position[n] > end_a);
	unclean_a = meta_unclean[n] && !ACTS_AS_PRIMARY(n);
	unclean_b = peer_unclean[n] && !peer_primary[n];
	both = 0;
	mark = 0
}

inline meet(n)
{
	may_hold_more = 0;
	stands(n);
	if
	:: ACTS_AS_PRIMARY(n) && peer_primary[n] || own_a && own_b -> outcome = MEET_TROUBLE
	:: else ->
		if
		:: beyond_a && beyond_b -> meet_both_beyond(n)
		:: beyond_b && !beyond_a ->
			old_own = own_a;
			old_primary = ACTS_AS_PRIMARY(n);
			old_unclean = meta_unclean[n];
			old_end = end_a;
			new_end = end_b;
			old_position = POSITION(n);
			new_timeline = peer_timeline[n];
			meet_one_beyond(n)
		:: beyond_a && !beyond_b ->
			old_own = own_b;
			old_primary = peer_primary[n];
			old_unclean = peer_unclean[n];
			old_end = end_b;
			new_end = end_a;
			old_position = peer_position[n];
			new_timeline = meta_timeline[n];
			meet_one_beyond(PEER(n))
		:: else -> meet_same_timeline(n)
		fi
	fi
}

/* holds = role_check_promote(), not forced, and that the peer is in contact */
inline role_check_promote(n)
{
	holds = known[n] && !peer_primary[n] && !(peer_promoting[n] && PEER(n) < n);
	if
	:: holds ->
		meet(n);
		holds = outcome == MEET_IN_SYNC || outcome == MEET_ATTACH ||
		     ((outcome == MEET_FOLLOW || outcome == MEET_RESYNC) && side != n &&
		      !may_hold_more)
	:: else
	fi
}
