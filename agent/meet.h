/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What two nodes of a resource are to each other when they meet: the one
 * function that decides, from both sides' lineage, position, state, role and
 * absent records.
 *
 * Pure, total and antisymmetric: with the sides exchanged it gives the same
 * outcome for the same node, so that both nodes, each for itself, come to the
 * same conclusion.
 */
#ifndef REPRISE_MEET_H
#define REPRISE_MEET_H

#include "meta.h"

/**
 * struct meet_side - one node, as it describes itself
 * @node: node id
 * @primary: serves I/O now
 * @state: of the store
 * @crashed: its record says that it was primary, and it is not: also where
 *	@state tells of damage
 * @async: durability in force in its record is async
 * @other_absent: it holds a record that the other was absent
 * @position: last seq of the current timeline that it holds (primary: assigned)
 * @timelines: its lineage, oldest first, the last one is current
 */
struct meet_side {
	unsigned int node;
	bool primary;
	enum reprise_store_state state;
	bool crashed;
	bool async;
	bool other_absent;
	uint64_t position;
	unsigned int nr_timelines;
	const struct meta_timeline *timelines;
};

/**
 * enum meet_outcome - what is to happen
 * @MEET_IN_SYNC: two secondaries with the same content: nothing
 * @MEET_ATTACH: the other is primary, @side is a replica of the same timeline:
 *	a session may be tried; the kernel knows whether writes are missing
 * @MEET_FOLLOW: @side stands exactly where the other's newer timelines begin,
 *	and may enter them as it is
 * @MEET_RESYNC: @side has to be brought back from the other first
 * @MEET_DEPOSED: @side is primary, without own writes, and the other holds a
 *	newer timeline: it must freeze
 * @MEET_SPLIT_BRAIN: both hold writes that the other lacks
 * @MEET_REFUSED: they cannot work together at all
 */
enum meet_outcome {
	MEET_IN_SYNC,
	MEET_ATTACH,
	MEET_FOLLOW,
	MEET_RESYNC,
	MEET_DEPOSED,
	MEET_SPLIT_BRAIN,
	MEET_REFUSED,
};

enum meet_reason {
	MEET_NO_REASON,
	MEET_BLANK,		/* @side has no content yet */
	MEET_BOTH_BLANK,
	MEET_UNSOUND,		/* @side: store damaged, lost writes, or pulling */
	MEET_NO_SOURCE,		/* neither side is sound */
	MEET_SHORTER,		/* @side lacks writes that the other holds */
	MEET_UNCLEAN,		/* @side crashed as primary: regions may differ */
	MEET_ASYNC_CRASH,	/* the other did, in durability async: it counts */
	MEET_BRANCHED,		/* @side holds writes that the other's history left out */
	MEET_CRASH_FORK,	/* the other went on after a crash: regions may differ */
	MEET_WAS_ABSENT,	/* @side missed writes, the other recorded */
	MEET_NEWER_TIMELINE,	/* DEPOSED */
	MEET_TWO_PRIMARIES,
	MEET_BOTH_WROTE,
	MEET_UNRELATED,		/* no common timeline */
	MEET_INCONSISTENT,	/* a lineage contradicts itself or the other */
};

enum meet_who { MEET_NOBODY, MEET_A, MEET_B };

/**
 * struct meet_decision - the answer
 * @side: whom the outcome concerns
 * @may_hold_more: RESYNC: @side may hold writes that the other lacks and that
 *	nobody has decided to leave out yet.  A crashed primary may have gone
 *	on after it lost the other: nothing on disk tells.
 * @common_generation, @common_seq: where both histories last agree
 */
struct meet_decision {
	enum meet_outcome outcome;
	enum meet_who side;
	enum meet_reason reason;
	bool may_hold_more;
	bool has_common;
	uint64_t common_generation;
	uint64_t common_seq;
};

struct meet_decision meet(const struct meet_side *a, const struct meet_side *b);

/* Does each entry name its predecessor as parent, with rising generations, and an id of its own? */
bool meet_lineage_valid(const struct meta_timeline *timelines, unsigned int nr);

/*
 * The outcome in words: "resync needed: beta crashed as primary, ...".
 * @name_a, @name_b: the nodes' names.
 */
void meet_describe(const struct meet_decision *decision, const char *name_a, const char *name_b,
		   char *text, size_t bytes);

#endif /* REPRISE_MEET_H */
