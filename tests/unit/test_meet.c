// SPDX-License-Identifier: GPL-2.0
/*
 * The meeting of two nodes, over every pair of sides that a small world
 * allows: a tree of timelines, every position, state, role and absent record.
 * Total (something is decided), antisymmetric (with the sides exchanged the
 * same node is meant), and safe (nobody with writes of its own is told to
 * attach or follow).
 */
#include <stdlib.h>
#include <string.h>

#include "agent/meet.h"
#include "kselftest_harness.h"

enum { MAX_LINEAGES = 64, MAX_SIDES = 20000, MAX_SEQ = 2 };

struct lineage {
	unsigned int nr;
	struct meta_timeline timelines[4];
};

static struct lineage lineages[MAX_LINEAGES];
static unsigned int nr_lineages;
static struct meet_side *sides;
static unsigned int nr_sides;

static struct meta_timeline timeline(uint8_t id, uint8_t parent, uint64_t generation,
				     uint64_t fork, enum reprise_fork_kind kind)
{
	struct meta_timeline t = { .generation = generation, .fork_seq = fork, .kind = kind };

	t.id[0] = id;
	t.parent[0] = parent;
	return t;
}

static void add_lineage(const struct lineage *from)
{
	lineages[nr_lineages++] = *from;
}

static struct lineage grow(const struct lineage *from, uint8_t id, uint64_t fork,
			   enum reprise_fork_kind kind)
{
	struct lineage l = *from;
	const struct meta_timeline *last = &l.timelines[l.nr - 1];

	l.timelines[l.nr] = timeline(id, last->id[0], last->generation + 1, fork, kind);
	l.nr++;
	return l;
}

/* Timeline 0, an unrelated origin, children at every fork, some grandchildren. */
static void make_lineages(void)
{
	struct lineage root = { .nr = 1 }, other = { .nr = 1 }, child;
	uint8_t id = 1;

	root.timelines[0] = timeline(0, 0, 0, 0, REPRISE_FORK_ORIGIN);
	other.timelines[0] = timeline(200, 0, 1, 0, REPRISE_FORK_ORIGIN);
	add_lineage(&root);
	add_lineage(&other);
	for (uint64_t fork = 0; fork < MAX_SEQ; fork++) {
		for (unsigned int kind = REPRISE_FORK_CLEAN; kind <= REPRISE_FORK_CRASH; kind++) {
			child = grow(&root, id++, fork, kind);
			add_lineage(&child);
			for (uint64_t next = fork; next < MAX_SEQ; next++) {
				struct lineage grand = grow(&child, id++, next,
							    REPRISE_FORK_CLEAN);

				add_lineage(&grand);
			}
		}
	}
}

static void add_side(const struct lineage *l, enum reprise_store_state state, uint64_t position,
		     bool primary, bool absent, bool async, bool crashed)
{
	if (primary && state != REPRISE_STORE_UNCLEAN)
		return;
	if (crashed != (state == REPRISE_STORE_UNCLEAN && !primary) &&
	    state != REPRISE_STORE_DAMAGED)
		return;
	sides[nr_sides++] = (struct meet_side){
		.node = 1,
		.primary = primary,
		.state = state,
		.crashed = crashed,
		.async = async,
		.other_absent = absent,
		.position = position,
		.nr_timelines = l->nr,
		.timelines = l->timelines,
	};
}

static void make_sides(void)
{
	static const struct lineage none;

	if (sides)
		return;
	make_lineages();
	sides = calloc(MAX_SIDES, sizeof(*sides));
	add_side(&none, REPRISE_STORE_BLANK, 0, false, false, false, false);
	for (unsigned int l = 0; l < nr_lineages; l++) {
		uint64_t first = lineages[l].timelines[lineages[l].nr - 1].fork_seq;

		for (unsigned int bits = 0; bits < 16; bits++) {
			for (uint64_t seq = first; seq <= MAX_SEQ; seq++) {
				for (unsigned int s = REPRISE_STORE_CLEAN;
				     s <= REPRISE_STORE_DAMAGED; s++)
					add_side(&lineages[l], s, seq, bits & 1, bits & 2,
						 bits & 4, bits & 8);
			}
		}
	}
}

static enum meet_who mirrored(enum meet_who who)
{
	return who == MEET_A ? MEET_B : who == MEET_B ? MEET_A : MEET_NOBODY;
}

/* The history of @x up to its position contains @y's whole content. */
static bool contains(const struct meet_side *x, const struct meet_side *y)
{
	const uint8_t *id = y->timelines[y->nr_timelines - 1].id;

	for (unsigned int i = 0; i < x->nr_timelines; i++) {
		if (memcmp(x->timelines[i].id, id, REPRISE_ID_BYTES))
			continue;
		if (i + 1 < x->nr_timelines)
			return y->position <= x->timelines[i + 1].fork_seq;
		return y->position <= x->position;
	}
	return false;
}

static bool went_past(const struct meet_side *x, const struct meet_side *y)
{
	for (unsigned int i = 0; i + 1 < x->nr_timelines; i++) {
		if (!memcmp(x->timelines[i].id, y->timelines[y->nr_timelines - 1].id,
			    REPRISE_ID_BYTES))
			return true;
	}
	return false;
}

/*
 * May @side hold writes that @other lacks, and did nobody leave them out by a
 * promotion or a record?  In async a crashed primary's own copy counts.
 */
static bool is_undecided(const struct meet_side *side, const struct meet_side *other)
{
	bool same = side->nr_timelines && side->nr_timelines == other->nr_timelines &&
		    !memcmp(side->timelines[side->nr_timelines - 1].id,
			    other->timelines[other->nr_timelines - 1].id, REPRISE_ID_BYTES);

	if (side->primary || other->primary || other->other_absent)
		return false;
	if (!same)
		return other->nr_timelines && went_past(side, other);
	if (side->crashed)
		return true;
	return side->position > other->position &&
	       !(other->crashed && side->async && other->async);
}

static const char *check_pair(const struct meet_side *a, const struct meet_side *b,
			      const struct meet_decision *d)
{
	const struct meet_side *side = d->side == MEET_B ? b : a;
	const struct meet_side *other = d->side == MEET_B ? a : b;

	switch (d->outcome) {
	case MEET_IN_SYNC:
		if (a->position != b->position || a->primary || b->primary || !contains(a, b) ||
		    a->state != REPRISE_STORE_CLEAN || b->state != REPRISE_STORE_CLEAN)
			return "in sync, but not the same";
		break;
	case MEET_ATTACH:
		if (side->primary || !other->primary || side->state != REPRISE_STORE_CLEAN ||
		    a->other_absent || b->other_absent ||
		    side->nr_timelines != other->nr_timelines)
			return "attached without right";
		break;
	case MEET_FOLLOW:
		if (side->primary || side->state != REPRISE_STORE_CLEAN || !contains(other, side) ||
		    side->position != other->timelines[other->nr_timelines - 1].fork_seq)
			return "follows without right";
		break;
	case MEET_DEPOSED:
		if (!side->primary || !contains(other, side))
			return "deposed without right";
		break;
	case MEET_RESYNC:
		if (side->primary && d->reason != MEET_BRANCHED && d->reason != MEET_WAS_ABSENT)
			return "a primary is to be resynced without cause";
		if (!d->may_hold_more && is_undecided(side, other))
			return "what only one side holds would be left out silently";
		break;
	case MEET_SPLIT_BRAIN:
		if (d->side != MEET_NOBODY)
			return "split brain blames one side";
		break;
	case MEET_REFUSED:
		break;
	}
	return NULL;
}

TEST(every_pair_is_decided_the_same_by_both)
{
	unsigned long seen[MEET_REFUSED + 1] = { 0 };

	make_sides();
	for (unsigned int i = 0; i < nr_sides; i++) {
		for (unsigned int j = 0; j < nr_sides; j++) {
			struct meet_side a = sides[i], b = sides[j];
			struct meet_decision d, back;
			const char *wrong;

			b.node = 2;
			d = meet(&a, &b);
			back = meet(&b, &a);
			wrong = check_pair(&a, &b, &d);
			seen[d.outcome]++;
			if (d.outcome == back.outcome && d.side == mirrored(back.side) &&
			    d.reason == back.reason && d.common_seq == back.common_seq && !wrong)
				continue;
			TH_LOG("sides %u and %u: outcome %u side %u reason %u, back %u %u %u: %s",
			       i, j, d.outcome, d.side, d.reason, back.outcome, back.side,
			       back.reason, wrong ? wrong : "not antisymmetric");
			ASSERT_TRUE(false);
		}
	}
	for (unsigned int o = 0; o <= MEET_REFUSED; o++)
		EXPECT_NE(0, seen[o]);
	TH_LOG("%u sides", nr_sides);
}

TEST(every_decision_has_words)
{
	char text[400];

	for (unsigned int o = MEET_IN_SYNC; o <= MEET_REFUSED; o++) {
		for (unsigned int r = MEET_NO_REASON; r <= MEET_INCONSISTENT; r++) {
			struct meet_decision d = { .outcome = o, .side = MEET_B, .reason = r };

			text[0] = '\0';
			meet_describe(&d, "alpha", "beta", text, sizeof(text));
			EXPECT_LT(10, strlen(text));
			EXPECT_GT(sizeof(text) - 1, strlen(text));
		}
	}
}

/* A named case each, as an administrator would tell it. */
FIXTURE(pair) {
	struct meta_timeline a_lines[3], b_lines[3];
	struct meet_side a, b;
};

FIXTURE_SETUP(pair)
{
	self->a_lines[0] = self->b_lines[0] = timeline(0, 0, 0, 0, REPRISE_FORK_ORIGIN);
	self->a = (struct meet_side){ .node = 1, .state = REPRISE_STORE_CLEAN,
				      .nr_timelines = 1, .timelines = self->a_lines };
	self->b = (struct meet_side){ .node = 2, .state = REPRISE_STORE_CLEAN,
				      .nr_timelines = 1, .timelines = self->b_lines };
}

FIXTURE_TEARDOWN(pair)
{
}

TEST_F(pair, fresh_nodes_are_in_sync)
{
	EXPECT_EQ(MEET_IN_SYNC, meet(&self->a, &self->b).outcome);
}

TEST_F(pair, promoted_peer_is_followed)
{
	struct meet_decision d;

	self->b_lines[1] = timeline(9, 0, 1, 5, REPRISE_FORK_CLEAN);
	self->b.nr_timelines = 2;
	self->b.state = REPRISE_STORE_UNCLEAN;
	self->b.primary = true;
	self->a.position = self->b.position = 5;
	d = meet(&self->a, &self->b);
	EXPECT_EQ(MEET_FOLLOW, d.outcome);
	EXPECT_EQ(MEET_A, d.side);
	self->b.position = 50;
	EXPECT_EQ(MEET_FOLLOW, meet(&self->a, &self->b).outcome);
	self->a.position = 4;
	d = meet(&self->a, &self->b);
	EXPECT_EQ(MEET_RESYNC, d.outcome);
	EXPECT_EQ(MEET_SHORTER, d.reason);
}

TEST_F(pair, crashed_primary_comes_back_to_a_promoted_peer)
{
	struct meet_decision d;

	self->a.state = REPRISE_STORE_UNCLEAN;
	self->b_lines[1] = timeline(9, 0, 1, 5, REPRISE_FORK_CLEAN);
	self->b.nr_timelines = 2;
	self->b.position = 7;
	d = meet(&self->a, &self->b);
	EXPECT_EQ(MEET_RESYNC, d.outcome);
	EXPECT_EQ(MEET_A, d.side);
	EXPECT_EQ(MEET_UNCLEAN, d.reason);
}

TEST_F(pair, crashed_primary_may_hold_more)
{
	struct meet_decision d;

	self->a.state = REPRISE_STORE_UNCLEAN;
	self->a.crashed = true;
	self->a.async = true;
	d = meet(&self->a, &self->b);
	EXPECT_EQ(MEET_A, d.side);
	EXPECT_EQ(MEET_UNCLEAN, d.reason);
	EXPECT_TRUE(d.may_hold_more);
	/* both records say async: what the crashed one holds counts */
	self->b.async = true;
	d = meet(&self->a, &self->b);
	EXPECT_EQ(MEET_B, d.side);
	EXPECT_EQ(MEET_ASYNC_CRASH, d.reason);
	EXPECT_FALSE(d.may_hold_more);
	/* damage does not hide that it crashed */
	self->a.state = REPRISE_STORE_DAMAGED;
	d = meet(&self->a, &self->b);
	EXPECT_EQ(MEET_UNSOUND, d.reason);
	EXPECT_TRUE(d.may_hold_more);
	/* the other went on since: that was decided when it was promoted */
	self->b_lines[1] = timeline(9, 0, 1, 0, REPRISE_FORK_CLEAN);
	self->b.nr_timelines = 2;
	EXPECT_FALSE(meet(&self->a, &self->b).may_hold_more);
}

TEST_F(pair, damaged_copy_may_hold_more)
{
	self->a.state = REPRISE_STORE_DAMAGED;
	EXPECT_FALSE(meet(&self->a, &self->b).may_hold_more);
	self->a.position = 1;
	EXPECT_TRUE(meet(&self->a, &self->b).may_hold_more);
	self->b.position = 1;
	EXPECT_FALSE(meet(&self->a, &self->b).may_hold_more);
}

TEST_F(pair, both_promoted_and_wrote)
{
	self->a_lines[1] = timeline(8, 0, 1, 5, REPRISE_FORK_CLEAN);
	self->b_lines[1] = timeline(9, 0, 1, 5, REPRISE_FORK_CLEAN);
	self->a.nr_timelines = self->b.nr_timelines = 2;
	self->a.position = 6;
	self->b.position = 6;
	EXPECT_EQ(MEET_SPLIT_BRAIN, meet(&self->a, &self->b).outcome);
	self->a.position = 5;
	EXPECT_EQ(MEET_RESYNC, meet(&self->a, &self->b).outcome);
	EXPECT_EQ(MEET_A, meet(&self->a, &self->b).side);
}

/* Its position is the fork's again, and what it wrote before the crash does not show. */
TEST_F(pair, crash_fork_does_not_hide_what_was_written_before_it)
{
	self->a_lines[1] = timeline(7, 0, 1, 0, REPRISE_FORK_CLEAN);
	self->a_lines[2] = timeline(8, 7, 2, 0, REPRISE_FORK_CRASH);
	self->b_lines[1] = timeline(9, 0, 1, 0, REPRISE_FORK_CLEAN);
	self->a.nr_timelines = 3;
	self->b.nr_timelines = 2;
	self->b.position = 2;
	EXPECT_EQ(MEET_SPLIT_BRAIN, meet(&self->a, &self->b).outcome);
	self->b.position = 0;
	EXPECT_EQ(MEET_RESYNC, meet(&self->a, &self->b).outcome);
	EXPECT_EQ(MEET_B, meet(&self->a, &self->b).side);
}

/* A promotion by force left the timeline before its primary wrote to it. */
TEST_F(pair, what_a_demoted_primary_completed_is_its_own)
{
	self->a_lines[1] = timeline(7, 0, 1, 0, REPRISE_FORK_CLEAN);
	self->a_lines[1].opener = self->a.node;
	self->b_lines[1] = self->a_lines[1];
	self->b_lines[2] = timeline(8, 7, 2, 0, REPRISE_FORK_CLEAN);
	self->a.nr_timelines = 2;
	self->b.nr_timelines = 3;
	self->a.position = 10;
	self->b.position = 0;
	EXPECT_EQ(MEET_RESYNC, meet(&self->a, &self->b).outcome);
	EXPECT_EQ(MEET_B, meet(&self->a, &self->b).side);
	self->b.position = 3;
	EXPECT_EQ(MEET_SPLIT_BRAIN, meet(&self->a, &self->b).outcome);
	/* A replica's tail is what a fork may leave out. */
	self->a_lines[1].opener = self->b_lines[1].opener = self->b.node;
	EXPECT_EQ(MEET_RESYNC, meet(&self->a, &self->b).outcome);
	EXPECT_EQ(MEET_A, meet(&self->a, &self->b).side);
}

TEST_F(pair, idle_primary_is_deposed)
{
	struct meet_decision d;

	self->a.primary = true;
	self->a.state = REPRISE_STORE_UNCLEAN;
	self->a.position = 5;
	self->b_lines[1] = timeline(9, 0, 1, 5, REPRISE_FORK_CLEAN);
	self->b.nr_timelines = 2;
	self->b.position = 5;
	d = meet(&self->a, &self->b);
	EXPECT_EQ(MEET_DEPOSED, d.outcome);
	EXPECT_EQ(MEET_A, d.side);
}

TEST_F(pair, lineage_that_contradicts_itself_is_refused)
{
	self->b_lines[1] = timeline(9, 7, 1, 5, REPRISE_FORK_CLEAN);
	self->b.nr_timelines = 2;
	self->b.position = 5;
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
	self->b_lines[1] = timeline(9, 0, 0, 5, REPRISE_FORK_CLEAN);
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
	self->b_lines[1] = timeline(9, 0, 1, 5, REPRISE_FORK_CLEAN);
	self->b_lines[2] = timeline(9, 9, 2, 5, REPRISE_FORK_CLEAN);
	self->b.nr_timelines = 3;
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
	self->b.nr_timelines = 1;
	self->b_lines[0].opener = 0;
	self->b_lines[0].kind = REPRISE_FORK_CRASH;
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
}

TEST_F(pair, any_side_may_be_the_one_that_contradicts_itself)
{
	self->a_lines[1] = timeline(9, 0, 1, 5, REPRISE_FORK_CLEAN);
	self->a_lines[2] = timeline(10, 9, 2, 4, REPRISE_FORK_CLEAN);
	self->a.nr_timelines = 3;
	self->a.position = 5;
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
	self->a.nr_timelines = 2;
	self->a.position = 4;
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->b, &self->a).reason);
}

/* One id, two stories: each field of a timeline is part of the story. */
TEST_F(pair, common_timeline_must_be_the_same)
{
	struct meta_timeline good = timeline(9, 0, 1, 5, REPRISE_FORK_CLEAN);

	self->a_lines[1] = good;
	self->a.nr_timelines = self->b.nr_timelines = 2;
	self->a.position = self->b.position = 9;
	for (unsigned int field = 0; field < 4; field++) {
		self->b_lines[0] = timeline(0, 0, 0, 0, REPRISE_FORK_ORIGIN);
		self->b_lines[1] = good;
		EXPECT_EQ(MEET_IN_SYNC, meet(&self->a, &self->b).outcome);
		self->b_lines[1].generation += field == 0;
		self->b_lines[1].fork_seq += field == 1;
		self->b_lines[1].kind += field == 2;
		/* A parent of its own, so that the lineage itself is sound. */
		if (field == 3)
			self->b_lines[0].id[5] = self->b_lines[1].parent[5] = 7;
		EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
	}
}

/* Two branches without writes: the primary's goes on, else the smaller node's. */
TEST_F(pair, two_branches_without_writes)
{
	self->a_lines[1] = timeline(8, 0, 1, 5, REPRISE_FORK_CLEAN);
	self->b_lines[1] = timeline(9, 0, 1, 5, REPRISE_FORK_CLEAN);
	self->a.nr_timelines = self->b.nr_timelines = 2;
	self->a.position = self->b.position = 5;
	EXPECT_EQ(MEET_B, meet(&self->a, &self->b).side);
	EXPECT_EQ(MEET_A, meet(&self->b, &self->a).side);
	self->b.primary = true;
	EXPECT_EQ(MEET_A, meet(&self->a, &self->b).side);
	self->b.primary = false;
	self->a.primary = true;
	EXPECT_EQ(MEET_B, meet(&self->a, &self->b).side);
	EXPECT_EQ(MEET_BRANCHED, meet(&self->a, &self->b).reason);
	self->a.primary = false;
	self->b.node = self->a.node;
	EXPECT_EQ(MEET_REFUSED, meet(&self->a, &self->b).outcome);
}

/* Blank says: no content.  A lineage, or being primary, says that there is. */
TEST_F(pair, blank_with_a_history_is_refused)
{
	self->a.primary = true;
	self->a.state = REPRISE_STORE_UNCLEAN;
	self->b.state = REPRISE_STORE_BLANK;
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
	self->b.nr_timelines = 0;
	EXPECT_EQ(MEET_BLANK, meet(&self->a, &self->b).reason);
	self->b.primary = true;
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
	self->b.primary = false;
	self->b.state = REPRISE_STORE_CLEAN;
	EXPECT_EQ(MEET_INCONSISTENT, meet(&self->a, &self->b).reason);
}

TEST_HARNESS_MAIN
