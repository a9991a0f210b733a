// SPDX-License-Identifier: GPL-2.0
/*
 * The flows between two or three agents (cluster.h): promotion, demotion,
 * lost peers, restarts, refusals; frames really flow, and content is compared.
 */

#include "cluster.h"
#include "kselftest_harness.h"

FIXTURE(two) {
	struct cluster c;
};

FIXTURE_SETUP(two)
{
	cluster_init(&self->c, 2);
}

FIXTURE_TEARDOWN(two)
{
	cluster_exit(&self->c);
}

/* --- the flows -------------------------------------------------------------------- */

TEST_F(two, first_promotion_mirrors_from_the_first_write)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "state_text", "in use as primary"));
	EXPECT_EQ(1, env_kernel_attached(c->members[0].kernel));
	EXPECT_FALSE(env_kernel_state(c->members[0].kernel)->frozen);
	for (unsigned int i = 0; i < 50; i++)
		ASSERT_EQ(0, env_kernel_write(c->members[0].kernel, i, i + 1));
	EXPECT_TRUE(cluster_wait_synced(c, 0));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "mirroring"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "mirroring"));
	EXPECT_TRUE(cluster_wait(c, 1, NULL, "durable", "50"));
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health", "ok"));
	EXPECT_TRUE(cluster_run(c, 0, "demote", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "role", "secondary"));
	EXPECT_TRUE(cluster_run(c, 0, "down", false).ok);
	EXPECT_TRUE(cluster_run(c, 1, "down", false).ok);
	EXPECT_TRUE(cluster_same_content(c, 0, 1));
}

TEST_F(two, twenty_switchovers_need_no_resync)
{
	struct cluster *c = &self->c;
	unsigned int sector = 0;

	ASSERT_TRUE(cluster_all_up(c));
	for (unsigned int round = 0; round < 20; round++) {
		unsigned int p = round & 1;

		ASSERT_TRUE(cluster_run(c, p, "promote", false).ok);
		ASSERT_EQ(1, env_kernel_attached(c->members[p].kernel));
		for (unsigned int i = 0; i < round % 3; i++)
			ASSERT_EQ(0, env_kernel_write(c->members[p].kernel, sector++, round + 1));
		ASSERT_TRUE(cluster_run(c, p, "demote", false).ok);
	}
	EXPECT_EQ(10, env_kernel_starts(c->members[1].kernel));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "in sync"));
	EXPECT_TRUE(cluster_run(c, 0, "down", false).ok);
	EXPECT_TRUE(cluster_run(c, 1, "down", false).ok);
	EXPECT_TRUE(cluster_same_content(c, 0, 1));
}


/* --- losing and coming back ---------------------------------------------------------- */

static void write_some(struct cluster *c, unsigned int i, unsigned int first, unsigned int nr)
{
	for (unsigned int n = 0; n < nr; n++) {
		if (env_kernel_write(c->members[i].kernel, first + n, first + n + 1))
			abort();
	}
}

TEST_F(two, replica_agent_restarts_while_idle)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 7);
	ASSERT_TRUE(cluster_wait_synced(c, 0));
	cluster_agent_end(c, 1);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "connection", "disconnected"));
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	cluster_agent_begin(c, 1);
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "mirroring"));
	write_some(c, 0, 7, 7);
	EXPECT_TRUE(cluster_wait_synced(c, 0));
	EXPECT_TRUE(cluster_run(c, 0, "demote", false).ok);
	EXPECT_TRUE(cluster_run(c, 1, "promote", false).ok);
}

TEST_F(two, replica_that_missed_writes_needs_a_resync)
{
	struct cluster *c = &self->c;
	struct answer answer;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 3);
	ASSERT_TRUE(cluster_wait_synced(c, 0));
	cluster_agent_end(c, 1);
	ASSERT_TRUE(cluster_wait(c, 0, "beta", "replication", "none"));
	write_some(c, 0, 3, 3);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "text", "beta lacks what was written since"));
	cluster_agent_begin(c, 1);
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "resync needed"));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "text", "lacks writes"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "text", "lacks writes"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "resync needed"));
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health", "degraded"));
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	/* the stale copy is not promoted in its place, not even after the demotion */
	ASSERT_TRUE(cluster_run(c, 0, "demote", false).ok);
	answer = cluster_run(c, 1, "promote", false);
	EXPECT_FALSE(answer.ok);
	EXPECT_STREQ("resync-needed", answer.code);
	EXPECT_TRUE(cluster_run(c, 0, "promote", false).ok);
}

TEST_F(two, primary_agent_restarts_and_adopts)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	cluster_agent_end(c, 0);
	write_some(c, 0, 5, 5);
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "mirroring"));
	cluster_agent_begin(c, 0);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "role", "primary"));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "connection", "connected"));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "mirroring"));
	write_some(c, 0, 10, 5);
	EXPECT_TRUE(cluster_wait_synced(c, 0));
	ASSERT_TRUE(cluster_run(c, 0, "demote", false).ok);
	ASSERT_TRUE(cluster_run(c, 1, "promote", false).ok);
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "mirroring"));
	write_some(c, 1, 15, 5);
	EXPECT_TRUE(cluster_wait_synced(c, 1));
	ASSERT_TRUE(cluster_run(c, 1, "demote", false).ok);
	EXPECT_TRUE(cluster_run(c, 0, "down", false).ok);
	EXPECT_TRUE(cluster_run(c, 1, "down", false).ok);
	EXPECT_TRUE(cluster_same_content(c, 0, 1));
}

/* Its machine is gone: no end of the connection comes, and no frame. */
TEST_F(two, silent_primary_is_not_called_mirroring)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(cluster_wait_synced(c, 0));
	cluster_agent_end(c, 0);
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "mirroring"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "none"));
	EXPECT_TRUE(cluster_wait(c, 1, NULL, "health", "degraded"));
}

/* Alpha is primary, has written, and its machine dies; then it is up again, in contact. */
static bool crash_and_return(struct cluster *c)
{
	if (!cluster_all_up(c) || !cluster_run(c, 0, "promote", false).ok)
		return false;
	write_some(c, 0, 0, 5);
	if (!cluster_wait_synced(c, 0))
		return false;
	cluster_agent_end(c, 0);
	env_kernel_crash(c->members[0].kernel);
	cluster_agent_begin(c, 0);
	return cluster_run(c, 0, "up", false).ok && cluster_wait(c, 0, NULL, "state", "unclean") &&
	       cluster_wait(c, 0, NULL, "role", "secondary") &&
	       cluster_wait(c, 0, "beta", "connection", "connected") &&
	       cluster_wait(c, 1, "alpha", "connection", "connected");
}

TEST_F(two, out_of_contact_with_a_crashed_primary)
{
	struct cluster *c = &self->c;
	struct answer answer;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	cluster_agent_end(c, 0);
	env_kernel_crash(c->members[0].kernel);
	answer = cluster_run(c, 1, "promote", false);
	EXPECT_FALSE(answer.ok);
	EXPECT_STREQ("no-contact", answer.code);
	EXPECT_NE(NULL, strstr(answer.hint, "--force"));
}

TEST_F(two, crashed_primary_is_promoted_again)
{
	struct cluster *c = &self->c;
	struct answer answer;

	ASSERT_TRUE(crash_and_return(c));
	answer = cluster_run(c, 0, "promote", false);
	EXPECT_STREQ("unsafe", answer.code);
	EXPECT_NE(NULL, strstr(answer.hint, "promote it there"));
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "state", "unclean"));
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "state_text", "was not demoted"));
	ASSERT_TRUE(cluster_run(c, 0, "promote", true).ok);
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "resync needed"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "resync needed"));
}

TEST_F(two, crashed_primary_is_left_behind)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(crash_and_return(c));
	EXPECT_STREQ("unsafe", cluster_run(c, 1, "promote", false).code);
	ASSERT_TRUE(cluster_run(c, 1, "promote", true).ok);
	write_some(c, 1, 5, 5);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "resync needed"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "resync needed"));
	/* decided once: nobody is asked again, and the old one does not go on past it */
	ASSERT_TRUE(cluster_run(c, 1, "demote", false).ok);
	EXPECT_STREQ("resync-needed", cluster_run(c, 0, "promote", false).code);
	EXPECT_TRUE(cluster_run(c, 1, "promote", false).ok);
}

TEST_F(two, primary_that_went_on_alone_is_not_left_behind_silently)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	cluster_agent_end(c, 1);
	ASSERT_TRUE(cluster_wait(c, 0, "beta", "connection", "disconnected"));
	write_some(c, 0, 0, 5);
	cluster_agent_end(c, 0);
	env_kernel_crash(c->members[0].kernel);
	cluster_agent_begin(c, 0);
	cluster_agent_begin(c, 1);
	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	ASSERT_TRUE(cluster_wait(c, 1, "alpha", "connection", "connected"));
	EXPECT_STREQ("unsafe", cluster_run(c, 1, "promote", false).code);
	EXPECT_TRUE(cluster_wait(c, 1, NULL, "role", "secondary"));
	EXPECT_TRUE(cluster_run(c, 0, "promote", true).ok);
}

/* As "reprise down --force" does without an agent, or a module that fails. */
TEST_F(two, primary_that_the_kernel_let_go_counts_as_crashed)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	env_kernel_crash(c->members[0].kernel);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health", "failed"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "role", "secondary"));
	EXPECT_STREQ("unsafe", cluster_run(c, 1, "promote", false).code);
	EXPECT_TRUE(cluster_run(c, 0, "down", false).ok);
	EXPECT_TRUE(cluster_run(c, 0, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "state", "unclean"));
}

TEST_F(two, crashed_primary_in_async_goes_on)
{
	struct cluster *c = &self->c;

	cluster_write_conf(c, 0, CLUSTER_KEY, "durability = async");
	cluster_write_conf(c, 1, CLUSTER_KEY, "durability = async");
	ASSERT_TRUE(crash_and_return(c));
	EXPECT_STREQ("resync-needed", cluster_run(c, 1, "promote", false).code);
	EXPECT_TRUE(cluster_run(c, 0, "promote", false).ok);
}

/* The mode that it wrote in decides, not the one that it is configured with afterwards. */
TEST_F(two, crash_is_judged_by_the_mode_of_the_time)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(crash_and_return(c));
	cluster_write_conf(c, 0, CLUSTER_KEY, "durability = async");
	cluster_write_conf(c, 1, CLUSTER_KEY, "durability = async");
	ASSERT_TRUE(cluster_run(c, 0, "reload", false).ok);
	ASSERT_TRUE(cluster_run(c, 1, "reload", false).ok);
	ASSERT_TRUE(cluster_wait(c, 0, "beta", "connection", "connected"));
	EXPECT_STREQ("unsafe", cluster_run(c, 0, "promote", false).code);
}

TEST_F(two, crashed_primary_finds_its_peer_promoted)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(cluster_wait_synced(c, 0));
	cluster_agent_end(c, 0);
	env_kernel_crash(c->members[0].kernel);
	ASSERT_TRUE(cluster_run(c, 1, "promote", true).ok);
	write_some(c, 1, 5, 5);
	cluster_agent_begin(c, 0);
	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "resync needed"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "resync needed"));
	EXPECT_FALSE(cluster_run(c, 0, "promote", true).ok);
}

TEST_F(two, promotion_without_contact)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	EXPECT_STREQ("no-contact", cluster_run(c, 0, "promote", false).code);
	ASSERT_TRUE(cluster_run(c, 0, "promote", true).ok);
	/* nothing written yet: the peer that comes follows, and is mirrored to */
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "mirroring"));
	write_some(c, 0, 0, 5);
	EXPECT_TRUE(cluster_wait_synced(c, 0));
}

TEST_F(two, both_forced_is_split_brain_and_the_idle_one_freezes)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	ASSERT_TRUE(cluster_run(c, 0, "promote", true).ok);
	cluster_agent_end(c, 0);
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	ASSERT_TRUE(cluster_run(c, 1, "promote", true).ok);
	write_some(c, 0, 0, 5);
	write_some(c, 1, 5, 5);
	cluster_agent_begin(c, 0);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "split brain"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "split brain"));
	EXPECT_TRUE(cluster_wait(c, 1, NULL, "health", "failed"));
}

TEST_F(two, deposed_idle_primary_freezes)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(cluster_wait_synced(c, 0));
	cluster_agent_end(c, 0);
	ASSERT_TRUE(cluster_wait(c, 1, "alpha", "connection", "disconnected"));
	ASSERT_TRUE(cluster_run(c, 1, "promote", true).ok);
	cluster_agent_begin(c, 0);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health_text", "reprise demote pg --force"));
	EXPECT_TRUE(env_kernel_state(c->members[0].kernel)->frozen);
	EXPECT_STREQ("unsafe", cluster_run(c, 0, "resume", false).code);
	/* the one that deposed it does as its administrator says */
	EXPECT_TRUE(cluster_run(c, 1, "freeze", false).ok);
	EXPECT_TRUE(cluster_run(c, 1, "resume", false).ok);
	EXPECT_STREQ("unsafe", cluster_run(c, 0, "demote", false).code);
	ASSERT_TRUE(cluster_run(c, 0, "demote", true).ok);
	/* it stands where the new timeline began, and follows */
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "mirroring"));
}

/* Its disk failed writes: the copy is not clean, but the peer has everything. */
TEST_F(two, primary_whose_writes_failed_does_not_count_as_clean)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(cluster_wait_synced(c, 0));
	env_kernel_set_write_errors(c->members[0].kernel, 1);
	ASSERT_TRUE(cluster_run(c, 0, "demote", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "state", "lost"));
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health_text", "writes failed"));
	/* that stays, also when agents and connections come back */
	cluster_agent_end(c, 0);
	cluster_agent_begin(c, 0);
	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "resync needed"));
	EXPECT_STREQ("resync-needed", cluster_run(c, 0, "promote", false).code);
	ASSERT_TRUE(cluster_run(c, 1, "promote", false).ok);
	EXPECT_EQ(0, env_kernel_attached(c->members[1].kernel));
	ASSERT_TRUE(cluster_run(c, 1, "demote", false).ok);
	EXPECT_STREQ("resync-needed", cluster_run(c, 0, "promote", false).code);
}

/* There may be no other copy. */
TEST_F(two, copy_with_failed_writes_goes_on_by_force)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	env_kernel_set_write_errors(c->members[0].kernel, 1);
	ASSERT_TRUE(cluster_run(c, 0, "demote", false).ok);
	ASSERT_TRUE(cluster_run(c, 0, "promote", true).ok);
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "resync needed"));
	/* a fork of its own, and whole from there on */
	env_kernel_set_write_errors(c->members[0].kernel, 0);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(cluster_run(c, 0, "demote", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "state", "clean"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "resync needed"));
	EXPECT_TRUE(cluster_run(c, 0, "promote", false).ok);
}

TEST_F(two, frozen_by_a_lost_peer_goes_on_when_it_is_back)
{
	struct cluster *c = &self->c;

	cluster_write_conf(c, 0, CLUSTER_KEY, "on-peer-loss = freeze");
	cluster_write_conf(c, 1, CLUSTER_KEY, "on-peer-loss = freeze");
	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(cluster_wait_synced(c, 0));
	cluster_agent_end(c, 1);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health_text", "frozen"));
	cluster_agent_begin(c, 1);
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health", "ok"));
	/* what the administrator froze stays frozen */
	ASSERT_TRUE(cluster_run(c, 0, "freeze", false).ok);
	cluster_agent_end(c, 1);
	cluster_agent_begin(c, 1);
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "mirroring"));
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health_text", "frozen"));
	ASSERT_TRUE(cluster_run(c, 0, "resume", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health", "ok"));
}

TEST_F(two, disconnected_by_the_administrator)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	ASSERT_TRUE(cluster_run(c, 1, "disconnect", false).ok);
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "text", "reprise connect"));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "text", "administrator"));
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	ASSERT_TRUE(cluster_run(c, 1, "connect", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "mirroring"));
	write_some(c, 0, 0, 5);
	EXPECT_TRUE(cluster_wait_synced(c, 0));
	/* why it was lost then says nothing of now */
	cluster_agent_end(c, 0);
	ASSERT_TRUE(cluster_run(c, 1, "disconnect", false).ok);
	ASSERT_TRUE(cluster_run(c, 1, "connect", false).ok);
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "text", "no contact with alpha yet"));
}

TEST_F(two, up_adopts_what_the_kernel_runs)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	cluster_agent_end(c, 0);
	cluster_write_conf(c, 0, CLUSTER_KEY, "broken");
	cluster_agent_begin(c, 0);
	EXPECT_STREQ("not-found", cluster_run(c, 0, "demote", false).code);
	cluster_write_conf(c, 0, CLUSTER_KEY, "");
	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "role", "primary"));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "mirroring"));
	EXPECT_TRUE(cluster_run(c, 0, "demote", false).ok);
}

/* --- refusals ---------------------------------------------------------------------------- */

TEST_F(two, both_sides_name_a_wrong_key)
{
	struct cluster *c = &self->c;

	cluster_write_conf(c, 1, CLUSTER_KEY2, "");
	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "text", "wrong key"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "text", "wrong key"));
	/* rotation: the new key here, both keys there */
	cluster_write_conf(c, 0, CLUSTER_KEY2, "previous-key = \"" CLUSTER_KEY "\"");
	ASSERT_TRUE(cluster_run(c, 0, "reload", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "connection", "connected"));
}

/* As at shutdown: demoted first, so that nothing is left to be brought back. */
TEST_F(two, down_demotes_a_primary)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(cluster_run(c, 0, "down", false).ok);
	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "state", "clean"));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "in sync, idle"));
	ASSERT_TRUE(cluster_run(c, 1, "promote", false).ok);
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "replication", "mirroring"));
}

TEST_F(two, addresses_change_while_running)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	c->port += c->nr;
	cluster_write_conf(c, 0, CLUSTER_KEY, "");
	cluster_write_conf(c, 1, CLUSTER_KEY, "");
	ASSERT_TRUE(cluster_run(c, 1, "reload", false).ok);
	ASSERT_TRUE(cluster_run(c, 0, "reload", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "connection", "connected"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "connection", "connected"));
	EXPECT_EQ(1, env_kernel_attached(c->members[0].kernel));
	write_some(c, 0, 0, 5);
	EXPECT_TRUE(cluster_wait_synced(c, 0));
}

TEST_F(two, both_sides_name_a_difference)
{
	struct cluster *c = &self->c;

	cluster_write_conf(c, 1, CLUSTER_KEY, "durability = flush");
	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "text", "durability is \"write\" on alpha"));
	EXPECT_TRUE(cluster_wait(c, 1, "alpha", "text", "\"flush\" on beta"));
	cluster_write_conf(c, 0, CLUSTER_KEY, "durability = flush");
	ASSERT_TRUE(cluster_run(c, 0, "reload", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "connection", "connected"));
}

static unsigned int count_open(const char *path)
{
	char link[64], target[256];
	unsigned int count = 0;

	for (int fd = 0; fd < 256; fd++) {
		ssize_t length;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		length = readlink(link, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = '\0';
		count += !strcmp(target, path);
	}
	return count;
}

TEST_F(two, store_that_is_not_ours_is_not_kept_open)
{
	struct cluster *c = &self->c;
	unsigned int before = count_open("/dev/null");
	struct answer answer;

	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	ASSERT_TRUE(cluster_run(c, 0, "promote", true).ok);
	env_kernel_spoil_stop(c->members[0].kernel);
	answer = cluster_run(c, 0, "demote", false);
	EXPECT_STREQ("io", answer.code);
	EXPECT_NE(NULL, strstr(answer.error, "given back by the kernel"));
	EXPECT_EQ(before, count_open("/dev/null"));
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "health", "failed"));
	ASSERT_TRUE(cluster_run(c, 0, "down", false).ok);
	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "state", "unclean"));
}

TEST_F(two, reload_that_the_kernel_refuses_changes_nothing)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	ASSERT_TRUE(cluster_run(c, 0, "promote", true).ok);
	cluster_write_conf(c, 0, CLUSTER_KEY, "on-peer-loss = freeze");
	env_kernel_fail_set(c->members[0].kernel, -EINVAL);
	EXPECT_STREQ("invalid", cluster_run(c, 0, "reload", false).code);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "on_peer_loss", "alone"));
	ASSERT_TRUE(cluster_run(c, 0, "reload", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "on_peer_loss", "freeze"));
}

TEST_F(two, failed_start_gives_the_store_back)
{
	struct cluster *c = &self->c;
	struct answer answer;

	ASSERT_TRUE(cluster_all_up(c));
	env_kernel_fail_start(c->members[0].kernel, -EBUSY);
	answer = cluster_run(c, 0, "promote", false);
	EXPECT_STREQ("io", answer.code);
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "state", "clean"));
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "in sync"));
	EXPECT_TRUE(cluster_run(c, 1, "promote", false).ok);
	EXPECT_TRUE(cluster_run(c, 1, "demote", false).ok);
	EXPECT_TRUE(cluster_run(c, 0, "promote", false).ok);
}

TEST_F(two, refusals_leave_things_as_they_are)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 0, "promote", false).ok);
	EXPECT_STREQ("unsafe", cluster_run(c, 1, "promote", false).code);
	EXPECT_STREQ("unsafe", cluster_run(c, 1, "promote", true).code);
	env_kernel_set_open(c->members[0].kernel, true);
	EXPECT_STREQ("busy", cluster_run(c, 0, "demote", false).code);
	EXPECT_STREQ("busy", cluster_run(c, 0, "down", false).code);
	write_some(c, 0, 0, 5);
	EXPECT_TRUE(cluster_wait_synced(c, 0));
	EXPECT_EQ(1, env_kernel_attached(c->members[0].kernel));
	EXPECT_TRUE(cluster_run(c, 0, "down", true).ok);
}

static bool finish_ok(struct cluster *c, struct answer *answer)
{
	cluster_finish(c, answer);
	json_decref(answer->object);
	return answer->ok;
}

/* At shutdown: nobody tries again. */
TEST_F(two, down_waits_for_what_nobody_asked_for)
{
	struct cluster *c = &self->c;
	struct answer reload, down;
	char text[32];

	ASSERT_TRUE(cluster_all_up(c));
	cluster_write_conf(c, 1, CLUSTER_KEY, "durability = flush");
	cluster_start(c, &reload, 1, "reload", false);
	cluster_start(c, &down, 1, "down", false);
	EXPECT_TRUE(finish_ok(c, &reload));
	EXPECT_TRUE(finish_ok(c, &down));
	cluster_status(c, 1, NULL, "name", text, sizeof(text));
	EXPECT_STREQ("0", text);
	EXPECT_TRUE(cluster_run(c, 1, "up", false).ok);
}

/* Its peers are about to be forgotten. */
TEST_F(two, nobody_is_connected_while_it_goes_down)
{
	struct cluster *c = &self->c;
	struct answer down, connect;

	ASSERT_TRUE(cluster_all_up(c));
	cluster_start(c, &down, 0, "down", false);
	cluster_start(c, &connect, 0, "connect", false);
	EXPECT_FALSE(finish_ok(c, &connect));
	EXPECT_STREQ("busy", connect.code);
	EXPECT_TRUE(finish_ok(c, &down));
	EXPECT_TRUE(cluster_run(c, 0, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 1, cluster_names[0], "connection", "connected"));
}

/* There will be no store to promote. */
TEST_F(two, no_promotion_begins_while_it_goes_down)
{
	struct cluster *c = &self->c;
	struct answer down, promote;

	ASSERT_TRUE(cluster_all_up(c));
	cluster_start(c, &down, 0, "down", false);
	cluster_start(c, &promote, 0, "promote", true);
	EXPECT_FALSE(finish_ok(c, &promote));
	EXPECT_STREQ("busy", promote.code);
	EXPECT_TRUE(finish_ok(c, &down));
	EXPECT_TRUE(cluster_run(c, 0, "up", false).ok);
}

TEST_F(two, down_does_not_say_that_it_is_while_it_comes_up)
{
	struct cluster *c = &self->c;
	struct answer up, down;

	cluster_start(c, &up, 0, "up", false);
	cluster_start(c, &down, 0, "down", false);
	EXPECT_FALSE(finish_ok(c, &down));
	EXPECT_STREQ("busy", down.code);
	EXPECT_TRUE(finish_ok(c, &up));
	EXPECT_TRUE(cluster_wait(c, 0, NULL, "role", "secondary"));
	EXPECT_TRUE(cluster_run(c, 0, "down", false).ok);
}

TEST_F(two, two_promotions_at_once)
{
	struct cluster *c = &self->c;
	struct answer a, b;

	ASSERT_TRUE(cluster_all_up(c));
	cluster_start(c, &b, 1, "promote", false);
	cluster_start(c, &a, 0, "promote", false);
	cluster_finish(c, &a);
	cluster_finish(c, &b);
	json_decref(a.object);
	json_decref(b.object);
	EXPECT_EQ(1, a.ok + b.ok);
	EXPECT_EQ(1, env_kernel_starts(c->members[0].kernel) +
		  env_kernel_starts(c->members[1].kernel));
	EXPECT_TRUE(cluster_wait(c, a.ok ? 0 : 1, cluster_names[a.ok ? 1 : 0], "replication",
				 "mirroring"));
}

/* Else it would begin later, by force and without contact, although another was accepted. */
TEST_F(two, waiting_promotion_ends_when_another_is_accepted)
{
	struct cluster *c = &self->c;
	struct answer a, b;

	ASSERT_TRUE(crash_and_return(c));
	cluster_start(c, &b, 1, "promote", false);
	cluster_start(c, &a, 0, "promote", true);
	EXPECT_TRUE(finish_ok(c, &a));
	EXPECT_FALSE(finish_ok(c, &b));
	EXPECT_STREQ("busy", b.code);
	EXPECT_NE(NULL, strstr(b.error, "is being promoted on alpha"));
}

TEST_F(two, blank_copy_is_neither_promoted_nor_mirrored_to)
{
	struct cluster *c = &self->c;

	cluster_create_disk(c, 1, REPRISE_STORE_BLANK);
	ASSERT_TRUE(cluster_run(c, 0, "up", false).ok);
	ASSERT_TRUE(cluster_run(c, 1, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "text", "no content"));
	EXPECT_STREQ("invalid", cluster_run(c, 1, "promote", true).code);
	EXPECT_TRUE(cluster_run(c, 0, "promote", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "resync needed"));
}

/* --- three nodes ---------------------------------------------------------------------------- */

FIXTURE(three) {
	struct cluster c;
};

FIXTURE_SETUP(three)
{
	cluster_init(&self->c, 3);
}

FIXTURE_TEARDOWN(three)
{
	cluster_exit(&self->c);
}

TEST_F(three, roles_go_round)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	for (unsigned int round = 0; round < 6; round++) {
		unsigned int p = round % 3;

		ASSERT_TRUE(cluster_run(c, p, "promote", false).ok);
		EXPECT_EQ(2, env_kernel_attached(c->members[p].kernel));
		write_some(c, p, round * 4, 4);
		ASSERT_TRUE(cluster_run(c, p, "demote", false).ok);
	}
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_TRUE(cluster_run(c, i, "down", false).ok);
	EXPECT_TRUE(cluster_same_content(c, 0, 1));
	EXPECT_TRUE(cluster_same_content(c, 0, 2));
}

TEST_F(three, one_of_three_is_away)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(cluster_all_up(c));
	ASSERT_TRUE(cluster_run(c, 1, "promote", false).ok);
	write_some(c, 1, 0, 4);
	ASSERT_TRUE(cluster_wait_synced(c, 1));
	cluster_agent_end(c, 2);
	ASSERT_TRUE(cluster_wait(c, 1, "gamma", "connection", "disconnected"));
	write_some(c, 1, 4, 4);
	ASSERT_TRUE(cluster_wait_synced(c, 1));
	ASSERT_TRUE(cluster_run(c, 1, "demote", false).ok);
	EXPECT_STREQ("no-contact", cluster_run(c, 0, "promote", false).code);
	ASSERT_TRUE(cluster_run(c, 0, "promote", true).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "beta", "replication", "mirroring"));
	cluster_agent_begin(c, 2);
	ASSERT_TRUE(cluster_run(c, 2, "up", false).ok);
	EXPECT_TRUE(cluster_wait(c, 0, "gamma", "replication", "resync needed"));
}

TEST_HARNESS_MAIN
