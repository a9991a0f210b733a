// SPDX-License-Identifier: GPL-2.0
/*
 * Promotion and demotion: every combination of own state and of what is
 * known of one peer is either allowed or refused with words; what no force
 * may override is not overridden; and force never refuses what was allowed.
 */
#include <string.h>

#include "agent/role.h"
#include "kselftest_harness.h"

static const struct role_self healthy = {
	.resource = "pg", .node = "alpha", .state = REPRISE_STORE_CLEAN, .damage = "",
};

static const struct role_peer away = { .name = "beta" };

static struct role_verdict promote(const struct role_self *self, const struct role_peer *peer,
				   bool force)
{
	struct role_verdict verdict;

	role_check_promote(self, peer, 1, force, &verdict);
	return verdict;
}

static struct role_peer in_contact(enum meet_outcome outcome, enum meet_who side,
				   enum meet_reason reason)
{
	return (struct role_peer){
		.name = "beta",
		.connected = true,
		.decision = { .outcome = outcome, .side = side, .reason = reason },
	};
}

/* Words on every refusal; @verdict names resource and own node. */
static bool in_words(const struct role_verdict *verdict)
{
	return verdict->allowed ||
	       (verdict->code[0] && strstr(verdict->error, "pg") && verdict->hint[0] &&
		strlen(verdict->error) < sizeof(verdict->error) - 1 &&
		strlen(verdict->hint) < sizeof(verdict->hint) - 1);
}

TEST(every_combination_is_answered)
{
	for (unsigned int bits = 0; bits < 16; bits++) {
		for (unsigned int o = MEET_IN_SYNC; o <= MEET_REFUSED; o++) {
			for (unsigned int r = MEET_NO_REASON; r <= MEET_INCONSISTENT; r++) {
				for (unsigned int s = REPRISE_STORE_BLANK;
				     s <= REPRISE_STORE_DAMAGED; s++) {
					struct role_self self = healthy;
					struct role_peer peer = in_contact(o, MEET_A, r);
					struct role_verdict plain, forced;

					self.state = s;
					peer.connected = bits & 1;
					peer.primary = bits & 2;
					peer.promoting = bits & 4;
					peer.decision.may_hold_more = bits & 8;
					plain = promote(&self, &peer, false);
					forced = promote(&self, &peer, true);
					ASSERT_TRUE(in_words(&plain) && in_words(&forced));
					ASSERT_TRUE(forced.allowed || !plain.allowed);
					ASSERT_FALSE(plain.allowed && !peer.connected);
					ASSERT_FALSE(forced.allowed && peer.connected &&
						     peer.primary);
					ASSERT_FALSE(forced.allowed && s != REPRISE_STORE_CLEAN &&
						     s != REPRISE_STORE_UNCLEAN &&
						     s != REPRISE_STORE_LOST);
					ASSERT_FALSE(plain.allowed && s == REPRISE_STORE_LOST);
					ASSERT_FALSE(forced.allowed && forced.crash_fork ==
						     (s == REPRISE_STORE_CLEAN));
				}
			}
		}
	}
}

TEST(in_sync_and_in_contact_is_allowed)
{
	struct role_peer peer = in_contact(MEET_IN_SYNC, MEET_NOBODY, MEET_NO_REASON);

	EXPECT_TRUE(promote(&healthy, &peer, false).allowed);
	EXPECT_FALSE(promote(&healthy, &peer, false).crash_fork);
	peer = in_contact(MEET_RESYNC, MEET_B, MEET_SHORTER);
	EXPECT_TRUE(promote(&healthy, &peer, false).allowed);
}

TEST(out_of_contact_needs_force_and_says_what_it_costs)
{
	struct role_verdict v = promote(&healthy, &away, false);

	EXPECT_FALSE(v.allowed);
	EXPECT_STREQ("no-contact", v.code);
	EXPECT_NE(NULL, strstr(v.error, "beta"));
	EXPECT_NE(NULL, strstr(v.hint, "--force"));
	EXPECT_NE(NULL, strstr(v.hint, "lost"));
	EXPECT_TRUE(promote(&healthy, &away, true).allowed);
}

TEST(who_lacks_writes_is_not_promoted)
{
	struct role_peer peer = in_contact(MEET_RESYNC, MEET_A, MEET_SHORTER);
	struct role_verdict v = promote(&healthy, &peer, false);

	EXPECT_FALSE(v.allowed);
	EXPECT_STREQ("resync-needed", v.code);
	EXPECT_NE(NULL, strstr(v.hint, "promote beta instead"));
}

/* How to choose is said on both nodes; neither is promoted without force. */
TEST(crash_of_a_primary_is_decided_by_people)
{
	struct role_self self = healthy;
	struct role_peer peer = in_contact(MEET_RESYNC, MEET_A, MEET_UNCLEAN);
	struct role_verdict v;

	peer.decision.may_hold_more = true;
	self.state = REPRISE_STORE_UNCLEAN;
	v = promote(&self, &peer, false);
	EXPECT_FALSE(v.allowed);
	EXPECT_STREQ("unsafe", v.code);
	EXPECT_NE(NULL, strstr(v.hint, "if beta was mirrored to until alpha crashed, promote it there"));
	EXPECT_NE(NULL, strstr(v.hint, "--force"));
	v = promote(&self, &peer, true);
	EXPECT_TRUE(v.allowed);
	EXPECT_TRUE(v.crash_fork);

	peer.decision.side = MEET_B;
	v = promote(&healthy, &peer, false);
	EXPECT_FALSE(v.allowed);
	EXPECT_STREQ("unsafe", v.code);
	EXPECT_NE(NULL, strstr(v.hint, "if alpha was mirrored to until beta crashed, use --force"));
	EXPECT_NE(NULL, strstr(v.hint, "left out for good"));
	v = promote(&healthy, &peer, true);
	EXPECT_TRUE(v.allowed);
	EXPECT_FALSE(v.crash_fork);
}

TEST(crashed_primary_goes_on_in_async)
{
	struct role_self self = healthy;
	struct role_peer peer = in_contact(MEET_RESYNC, MEET_B, MEET_ASYNC_CRASH);
	struct role_verdict v;

	self.state = REPRISE_STORE_UNCLEAN;
	v = promote(&self, &peer, false);
	EXPECT_TRUE(v.allowed);
	EXPECT_TRUE(v.crash_fork);
	peer.decision.side = MEET_A;
	EXPECT_STREQ("resync-needed", promote(&healthy, &peer, false).code);
}

TEST(crashed_primary_does_not_go_on_past_one_who_did)
{
	struct role_self self = healthy;
	struct role_peer peer = in_contact(MEET_RESYNC, MEET_A, MEET_UNCLEAN);

	self.state = REPRISE_STORE_UNCLEAN;
	EXPECT_STREQ("resync-needed", promote(&self, &peer, false).code);
	peer = in_contact(MEET_RESYNC, MEET_A, MEET_BRANCHED);
	EXPECT_STREQ("resync-needed", promote(&self, &peer, false).code);
	/* and the one who did goes on without being asked again */
	peer = in_contact(MEET_RESYNC, MEET_B, MEET_UNCLEAN);
	EXPECT_TRUE(promote(&healthy, &peer, false).allowed);
}

TEST(damaged_peer_that_holds_more_is_not_left_out_silently)
{
	struct role_peer peer = in_contact(MEET_RESYNC, MEET_B, MEET_UNSOUND);
	struct role_verdict v;

	EXPECT_TRUE(promote(&healthy, &peer, false).allowed);
	peer.decision.may_hold_more = true;
	v = promote(&healthy, &peer, false);
	EXPECT_STREQ("unsafe", v.code);
	EXPECT_TRUE(in_words(&v));
	EXPECT_TRUE(promote(&healthy, &peer, true).allowed);
}

TEST(damage_is_named)
{
	struct role_self self = healthy;
	struct role_peer peer = in_contact(MEET_IN_SYNC, MEET_NOBODY, MEET_NO_REASON);
	struct role_verdict v;

	self.damage = "segment 3 of the log is damaged";
	v = promote(&self, &peer, true);
	EXPECT_FALSE(v.allowed);
	EXPECT_NE(NULL, strstr(v.error, self.damage));
}

TEST(deposed_primary_is_demoted_only_with_force)
{
	struct role_peer peer = in_contact(MEET_DEPOSED, MEET_A, MEET_NEWER_TIMELINE);
	struct role_self self = healthy;
	struct role_verdict v;

	self.primary = true;
	role_check_demote(&self, &peer, 1, false, &v);
	EXPECT_FALSE(v.allowed);
	EXPECT_TRUE(in_words(&v));
	role_check_demote(&self, &peer, 1, true, &v);
	EXPECT_TRUE(v.allowed);
	role_check_demote(&self, &away, 1, false, &v);
	EXPECT_TRUE(v.allowed);
}

/* What concerns the other side is no reason to refuse here. */
TEST(the_other_side_is_to_follow_or_was_deposed)
{
	struct role_peer peer = in_contact(MEET_FOLLOW, MEET_B, MEET_NO_REASON);
	struct role_verdict verdict = promote(&healthy, &peer, false);

	EXPECT_TRUE(verdict.allowed);
	peer.decision.side = MEET_A;
	EXPECT_FALSE(promote(&healthy, &peer, false).allowed);
	peer = in_contact(MEET_DEPOSED, MEET_B, MEET_NEWER_TIMELINE);
	role_check_demote(&healthy, &peer, 1, false, &verdict);
	EXPECT_TRUE(verdict.allowed);
	peer.decision.side = MEET_A;
	role_check_demote(&healthy, &peer, 1, false, &verdict);
	EXPECT_FALSE(verdict.allowed);
}

TEST_HARNESS_MAIN
