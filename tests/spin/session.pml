/* SPDX-License-Identifier: GPL-2.0 */
/*
 * agent/session.c, agent/demote.c and the kernel's stop: how a session
 * begins at both ends of its connection, and how a primary gives up.
 */
#define may_offer(n) (primary[n] && known[n] && !peer_left[n] && !connected[n] && \
		      work[n] != DEMOTE)

inline session_begin(n)
{
	conn = OPEN;
	do
	:: len(frames) > 0 -> frames?_, _
	:: else -> break
	od;
	do
	:: len(acks) > 0 -> acks?_
	:: else -> break
	od;
	attaching = 1;
	session_start(n)
}

/* On the primary: the kernel knows whether the peer may continue where it stands. */
inline session_attach(n)
{
	attaching = 0;
	attached = 0;
	if
	:: conn == OPEN -> attach(n, acked_durable[PEER(n)])
	:: else
	fi;
	if
	:: !attached -> conn = BROKEN
	:: attached && work[n] == PROMOTE -> waiting[n] = 0
	:: else -> frozen[n] = 0
	fi;
	attached = 0
}

/* Nothing is pending, everything is on a connected peer. */
#define QUIET(n) (primary[n] && !frozen[n] && !held[n] && !flush_waits[n] && !inflight[n] && \
		  retired_seq[n] == LAST_SEQ(n) && !attaching && \
		  (!connected[n] || peer_durable[n] == LAST_SEQ(n)))

inline stop(n)
{
	cache_flushed(n);
	assert_ideal(n, timeline_of[n], LAST_SEQ(n));
	frozen[n] = 1;
	connected[n] = 0;
	conn = (conn == CLOSED -> CLOSED : BROKEN);
	work[n] = DEMOTE
}

inline stopped(n)
{
	regain(n);
	primary[n] = 0;
	frozen[n] = 0;
	stream_init(n, 0, 0);
	next_seq[n] = 0;
	cut_seq[n] = 0;
	timeline_of[n] = 0;
	work_end(n);
	tell_state(n)
}
