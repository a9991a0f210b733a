// SPDX-License-Identifier: GPL-2.0
/*
 * The meeting of two nodes (DESIGN.md, section 7).
 *
 * Lineages are lists; the newest timeline that stands in both is the common
 * one.  A side whose current timeline it is has not gone further; a side with
 * timelines beyond it has.  Everything follows from which sides did, where
 * their first step beyond forked off, and who may hold writes of its own.
 */
#include "meet.h"

#include <stdio.h>
#include <string.h>

/* One side and its relation to the common timeline. */
struct stand {
	const struct meet_side *side;
	enum meet_who who;
	unsigned int common;	/* index of the common timeline in its lineage */
	bool beyond;		/* has timelines after it */
	uint64_t end;		/* its last seq on the common timeline */
};

static bool id_equal(const uint8_t *a, const uint8_t *b)
{
	return !memcmp(a, b, REPRISE_ID_BYTES);
}

bool meet_lineage_valid(const struct meta_timeline *timelines, unsigned int nr)
{
	for (unsigned int i = 1; i < nr; i++) {
		if (!id_equal(timelines[i].parent, timelines[i - 1].id))
			return false;
		if (timelines[i].generation <= timelines[i - 1].generation)
			return false;
		if (i > 1 && timelines[i].fork_seq < timelines[i - 1].fork_seq)
			return false;
	}
	return meta_ids_differ(timelines, nr);
}

static bool side_valid(const struct meet_side *side)
{
	if (side->state == REPRISE_STORE_BLANK)
		return side->nr_timelines == 0 && !side->primary;
	if (side->nr_timelines == 0)
		return false;
	if (!meet_lineage_valid(side->timelines, side->nr_timelines))
		return false;
	return side->nr_timelines == 1 ||
	       side->position >= side->timelines[side->nr_timelines - 1].fork_seq;
}

static struct meet_decision decide(enum meet_outcome outcome, enum meet_who side,
				   enum meet_reason reason)
{
	return (struct meet_decision){ .outcome = outcome, .side = side, .reason = reason };
}

static bool same_timeline(const struct meta_timeline *a, const struct meta_timeline *b)
{
	return a->generation == b->generation && a->fork_seq == b->fork_seq &&
	       a->kind == b->kind && id_equal(a->parent, b->parent);
}

/* 1: found, 0: none, -1: one id, two stories. */
static int find_common(struct stand *a, struct stand *b)
{
	const struct meet_side *x = a->side, *y = b->side;
	int found = 0;

	for (unsigned int i = 0; i < x->nr_timelines; i++) {
		for (unsigned int j = 0; j < y->nr_timelines; j++) {
			if (!id_equal(x->timelines[i].id, y->timelines[j].id))
				continue;
			if (!same_timeline(&x->timelines[i], &y->timelines[j]))
				return -1;
			a->common = i;
			b->common = j;
			found = 1;
		}
	}
	return found;
}

static void find_end(struct stand *stand)
{
	const struct meet_side *side = stand->side;

	stand->beyond = stand->common + 1 < side->nr_timelines;
	stand->end = stand->beyond ? side->timelines[stand->common + 1].fork_seq : side->position;
}

static bool sound(const struct stand *stand)
{
	enum reprise_store_state state = stand->side->state;

	return state == REPRISE_STORE_CLEAN || state == REPRISE_STORE_UNCLEAN;
}

static bool any_unclean_fork(const struct stand *ahead)
{
	const struct meet_side *side = ahead->side;

	for (unsigned int i = ahead->common + 1; i < side->nr_timelines; i++) {
		if (side->timelines[i].kind != REPRISE_FORK_CLEAN)
			return true;
	}
	return false;
}

/* Was it primary of the common timeline, and is no more, in order?  Then all it holds was completed. */
static bool ended_common(const struct stand *stand)
{
	const struct meet_side *side = stand->side;

	return side->timelines[stand->common].opener == side->node &&
	       (side->state == REPRISE_STORE_CLEAN || side->state == REPRISE_STORE_LOST);
}

/*
 * May this side hold writes of its own past the common point?  Errs on the
 * side of yes: a crashed primary counts as having written, also when it has
 * gone on since: a crash fork's position says nothing of what came before it.
 */
static bool own_writes(const struct stand *stand, const struct stand *other)
{
	const struct meet_side *side = stand->side;

	if (side->other_absent)
		return true;
	if (stand->beyond)
		return side->position > stand->end || side->crashed ||
		       side->state == REPRISE_STORE_UNCLEAN || any_unclean_fork(stand);
	return (side->primary || ended_common(stand)) && other->beyond &&
	       side->position > other->end;
}

static struct meet_decision meet_both_primary(const struct stand *a, const struct stand *b)
{
	if (!a->beyond && b->beyond && !own_writes(a, b))
		return decide(MEET_DEPOSED, a->who, MEET_NEWER_TIMELINE);
	if (!b->beyond && a->beyond && !own_writes(b, a))
		return decide(MEET_DEPOSED, b->who, MEET_NEWER_TIMELINE);
	return decide(MEET_SPLIT_BRAIN, MEET_NOBODY, MEET_TWO_PRIMARIES);
}

static struct meet_decision meet_shorter(const struct stand *a, const struct stand *b)
{
	uint64_t x = a->side->position, y = b->side->position;

	if (x == y)
		return decide(MEET_IN_SYNC, MEET_NOBODY, MEET_NO_REASON);
	return decide(MEET_RESYNC, x < y ? a->who : b->who, MEET_SHORTER);
}

/*
 * @crashed as primary, and both stand on the same timeline.  In async, the
 * crashed one counts, if both records say so: the mode may have been changed
 * while it was primary, and its own record is older than that.
 */
static struct meet_decision meet_crashed(const struct stand *crashed, const struct stand *other)
{
	struct meet_decision decision = decide(MEET_RESYNC, crashed->who, MEET_UNCLEAN);

	if (crashed->side->async && other->side->async && !other->side->primary)
		return decide(MEET_RESYNC, other->who, MEET_ASYNC_CRASH);
	decision.may_hold_more = true;
	return decision;
}

/* @bad has to be brought back, but may hold something that @good lacks. */
static struct meet_decision meet_unsound(const struct stand *bad, const struct stand *good)
{
	struct meet_decision decision = decide(MEET_RESYNC, bad->who, MEET_UNSOUND);

	decision.may_hold_more = own_writes(bad, good) ||
				 (!good->beyond && (bad->beyond || bad->side->crashed ||
						    bad->side->position > good->side->position));
	return decision;
}

/* Both stand on the same timeline; at most one is primary. */
static struct meet_decision meet_same_timeline(const struct stand *a, const struct stand *b)
{
	bool unclean_a = a->side->state == REPRISE_STORE_UNCLEAN && !a->side->primary;
	bool unclean_b = b->side->state == REPRISE_STORE_UNCLEAN && !b->side->primary;

	if (a->side->other_absent)
		return decide(MEET_RESYNC, b->who, MEET_WAS_ABSENT);
	if (b->side->other_absent)
		return decide(MEET_RESYNC, a->who, MEET_WAS_ABSENT);
	if (unclean_a && unclean_b)
		return decide(MEET_REFUSED, MEET_NOBODY, MEET_NO_SOURCE);
	if (unclean_a)
		return meet_crashed(a, b);
	if (unclean_b)
		return meet_crashed(b, a);
	if (a->side->primary)
		return decide(MEET_ATTACH, b->who, MEET_NO_REASON);
	if (b->side->primary)
		return decide(MEET_ATTACH, a->who, MEET_NO_REASON);
	return meet_shorter(a, b);
}

/* All of @ahead's forks past the common timeline are at @seq. */
static bool forks_at(const struct stand *ahead, uint64_t seq)
{
	const struct meet_side *side = ahead->side;

	for (unsigned int i = ahead->common + 1; i < side->nr_timelines; i++) {
		if (side->timelines[i].fork_seq != seq)
			return false;
	}
	return true;
}

/* @old still stands on the common timeline, @new went on from it. */
static struct meet_decision meet_one_beyond(const struct stand *old, const struct stand *new)
{
	const struct meet_side *side = old->side;

	if (own_writes(old, new))
		return decide(MEET_RESYNC, new->who, MEET_BRANCHED);
	if (side->primary)
		return decide(MEET_DEPOSED, old->who, MEET_NEWER_TIMELINE);
	if (new->side->other_absent)
		return decide(MEET_RESYNC, old->who, MEET_WAS_ABSENT);
	if (old->end > new->end)
		return decide(MEET_RESYNC, old->who, MEET_BRANCHED);
	if (side->state == REPRISE_STORE_UNCLEAN)
		return decide(MEET_RESYNC, old->who, MEET_UNCLEAN);
	if (any_unclean_fork(new))
		return decide(MEET_RESYNC, old->who, MEET_CRASH_FORK);
	if (forks_at(new, side->position))
		return decide(MEET_FOLLOW, old->who, MEET_NO_REASON);
	return decide(MEET_RESYNC, old->who, MEET_SHORTER);
}

/* Both went on from the common timeline, differently; not both have own writes. */
static struct meet_decision meet_both_beyond(const struct stand *a, const struct stand *b)
{
	bool own_a = own_writes(a, b), own_b = own_writes(b, a);

	if (own_a != own_b)
		return decide(MEET_RESYNC, own_a ? b->who : a->who, MEET_BRANCHED);
	if (a->side->primary != b->side->primary)
		return decide(MEET_RESYNC, a->side->primary ? b->who : a->who, MEET_BRANCHED);
	if (a->end != b->end)
		return decide(MEET_RESYNC, a->end < b->end ? a->who : b->who, MEET_SHORTER);
	if (a->side->node == b->side->node)
		return decide(MEET_REFUSED, MEET_NOBODY, MEET_INCONSISTENT);
	return decide(MEET_RESYNC, a->side->node < b->side->node ? b->who : a->who,
		      MEET_BRANCHED);
}

static struct meet_decision meet_related(const struct stand *a, const struct stand *b)
{
	if (a->side->primary && b->side->primary)
		return meet_both_primary(a, b);
	if (own_writes(a, b) && own_writes(b, a))
		return decide(MEET_SPLIT_BRAIN, MEET_NOBODY, MEET_BOTH_WROTE);
	if (!sound(a) && !sound(b))
		return decide(MEET_REFUSED, MEET_NOBODY, MEET_NO_SOURCE);
	if (!sound(a))
		return meet_unsound(a, b);
	if (!sound(b))
		return meet_unsound(b, a);
	if (a->beyond && b->beyond)
		return meet_both_beyond(a, b);
	if (b->beyond)
		return meet_one_beyond(a, b);
	if (a->beyond)
		return meet_one_beyond(b, a);
	return meet_same_timeline(a, b);
}

static struct meet_decision meet_blank(const struct meet_side *a, const struct meet_side *b)
{
	bool blank_a = a->state == REPRISE_STORE_BLANK, blank_b = b->state == REPRISE_STORE_BLANK;

	if (blank_a && blank_b)
		return decide(MEET_REFUSED, MEET_NOBODY, MEET_BOTH_BLANK);
	return decide(MEET_RESYNC, blank_a ? MEET_A : MEET_B, MEET_BLANK);
}

struct meet_decision meet(const struct meet_side *a, const struct meet_side *b)
{
	struct stand x = { .side = a, .who = MEET_A }, y = { .side = b, .who = MEET_B };
	struct meet_decision decision;
	int common;

	if (!side_valid(a) || !side_valid(b))
		return decide(MEET_REFUSED, MEET_NOBODY, MEET_INCONSISTENT);
	if (a->state == REPRISE_STORE_BLANK || b->state == REPRISE_STORE_BLANK)
		return meet_blank(a, b);
	common = find_common(&x, &y);
	if (common <= 0)
		return decide(MEET_REFUSED, MEET_NOBODY,
			      common ? MEET_INCONSISTENT : MEET_UNRELATED);
	find_end(&x);
	find_end(&y);
	decision = meet_related(&x, &y);
	decision.has_common = true;
	decision.common_generation = a->timelines[x.common].generation;
	decision.common_seq = x.end < y.end ? x.end : y.end;
	return decision;
}

static void describe_reason(enum meet_reason reason, const char *who, const char *other,
			    char *text, size_t bytes)
{
	switch (reason) {
	case MEET_BLANK:
		snprintf(text, bytes, "%s has no content yet", who);
		break;
	case MEET_UNSOUND:
		snprintf(text, bytes, "the store or log of %s is damaged or incomplete", who);
		break;
	case MEET_SHORTER:
		snprintf(text, bytes, "%s lacks writes that %s holds", who, other);
		break;
	case MEET_UNCLEAN:
		snprintf(text, bytes,
			 "%s crashed as primary, and its blocks may differ from those of %s", who,
			 other);
		break;
	case MEET_ASYNC_CRASH:
		snprintf(text, bytes,
			 "%s crashed as primary in durability async, and blocks of %s may differ",
			 other, who);
		break;
	case MEET_BRANCHED:
		snprintf(text, bytes, "%s holds writes that the history of %s left out", who,
			 other);
		break;
	case MEET_CRASH_FORK:
		snprintf(text, bytes,
			 "%s was promoted again after a crash, and blocks of %s may differ", other,
			 who);
		break;
	case MEET_WAS_ABSENT:
		snprintf(text, bytes, "%s was absent while %s went on writing", who, other);
		break;
	default:
		snprintf(text, bytes, "%s and %s differ", who, other);
	}
}

static const char *refused_text(enum meet_reason reason)
{
	switch (reason) {
	case MEET_BOTH_BLANK:
		return "neither node has content yet: run \"reprise create\" without --blank on one of them";
	case MEET_NO_SOURCE:
		return "neither node has content that the other could be brought back from";
	case MEET_UNRELATED:
		return "the two nodes hold unrelated content, created independently: run \"reprise create --blank --force\" on the one whose content may go";
	default:
		return "the recorded histories of the two nodes contradict each other";
	}
}

void meet_describe(const struct meet_decision *decision, const char *name_a, const char *name_b,
		   char *text, size_t bytes)
{
	const char *who = decision->side == MEET_B ? name_b : name_a;
	const char *other = decision->side == MEET_B ? name_a : name_b;
	char reason[200];

	describe_reason(decision->reason, who, other, reason, sizeof(reason));
	switch (decision->outcome) {
	case MEET_IN_SYNC:
		snprintf(text, bytes, "%s and %s hold the same", name_a, name_b);
		break;
	case MEET_ATTACH:
		snprintf(text, bytes, "%s can be mirrored to", who);
		break;
	case MEET_FOLLOW:
		snprintf(text, bytes, "%s can follow the timeline that %s opened", who, other);
		break;
	case MEET_RESYNC:
		snprintf(text, bytes, "resync needed: %s%s%s%s", reason,
			 decision->may_hold_more ? "; it may also hold writes that " : "",
			 decision->may_hold_more ? other : "",
			 decision->may_hold_more ? " lacks" : "");
		break;
	case MEET_DEPOSED:
		snprintf(text, bytes, "%s was promoted meanwhile: I/O on %s is frozen; demote %s",
			 other, who, who);
		break;
	case MEET_SPLIT_BRAIN:
		snprintf(text, bytes, "split brain: %s and %s both hold writes that the other lacks; nothing is discarded, both keep their data",
			 name_a, name_b);
		break;
	case MEET_REFUSED:
		snprintf(text, bytes, "%s", refused_text(decision->reason));
		break;
	}
}
