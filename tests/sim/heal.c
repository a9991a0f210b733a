// SPDX-License-Identifier: GPL-2.0
/*
 * The end of a round: faults stop, everything that is down comes back, and
 * within a bounded time everything pending ends, somebody is or can be made
 * primary, can be demoted, and what both nodes then say is true (invariants
 * 3, 5 and 8).  A copy that needs a resync stays out: this version has none.
 */
#include <string.h>

#include "check.h"
#include "cluster.h"

#define fail(cluster, ...) world_fail((cluster)->world, __VA_ARGS__)

enum {
	UP_S = 20,
	SETTLE_S = 4,
	FINISH_S = 30,
	COMMAND_S = 40,
};

static bool has_fault(struct cluster *cluster, unsigned int i)
{
	return model_copy(cluster->model, i)->media_fault;
}

static bool any_fault(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++)
		if (has_fault(cluster, i))
			return true;
	return false;
}

/* --- faults stop --------------------------------------------------------- */

static void calm_disk(struct disk *disk)
{
	memset(disk_faults(disk), 0, sizeof(struct disk_faults));
}

static void calm(struct cluster *cluster)
{
	struct net_link *link;

	world_trace(cluster->world, "faults stop");
	for (unsigned int i = 0; i < cluster->nr; i++) {
		struct model_copy *copy = model_copy(cluster->model, i);

		for (unsigned int j = 0; j < cluster->nr; j++) {
			link = net_link(cluster->net, i, j);
			*link = (struct net_link){ .delay_us = link->delay_us,
						   .jitter_us = link->jitter_us };
		}
		for (unsigned int v = 0; v < copy->nr_volumes; v++)
			calm_disk(copy->volumes[v]);
		for (unsigned int s = 0; s < copy->nr_segments; s++)
			calm_disk(copy->segments[s]);
		machine_set_no_memory(cluster->members[i].machine, 0);
		machine_pause(cluster->members[i].machine, world_now(cluster->world));
	}
	module_no_memory_ppm = 0;
	net_changed(cluster->net);
}

static void revive(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++) {
		struct member *member = &cluster->members[i];

		member->wanted = true;
		member->is_up = false;
		member_revive(member);
	}
}

static bool all_up(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++)
		if (!cluster->members[i].is_up && !has_fault(cluster, i))
			return false;
	return true;
}

static void connect_all(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++) {
		member_do(&cluster->members[i], "reload", false, 5 * SIM_S);
		member_do(&cluster->members[i], "connect", false, SIM_S);
	}
}

/* Invariant 5: that both hold the same is said only where it is so. */
static void check_claims(struct cluster *cluster)
{
	unsigned int claims = 0;

	for (unsigned int i = 0; i < cluster->nr; i++) {
		struct command_result result =
			member_do(&cluster->members[i], "status", false, SIM_S);

		claims += !strcmp(result.replication, "in sync, idle");
	}
	if (claims == cluster->nr && !any_fault(cluster))
		check_in_sync(cluster->model, 0, 1);
}

/* --- a primary ----------------------------------------------------------- */

static struct member *primary(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++)
		if (model_running(cluster->model, i))
			return &cluster->members[i];
	return NULL;
}

static struct member *promote_one(struct cluster *cluster, bool force)
{
	unsigned int first = world_below(cluster->world, cluster->nr);

	for (unsigned int i = 0; i < cluster->nr; i++) {
		struct member *member = &cluster->members[(first + i) % cluster->nr];
		struct command_result result = member_do(member, "promote", force, 10 * SIM_S);

		if (model_running(cluster->model, machine_number(member->machine)))
			return member;
		if (result.ok)
			fail(cluster, "a promotion succeeds, and nobody is primary");
	}
	return NULL;
}

/* A store that failed once is opened anew only when it is told so. */
static void down_and_up(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++) {
		member_do(&cluster->members[i], "down", false, COMMAND_S * SIM_S);
		member_do(&cluster->members[i], "up", false, COMMAND_S * SIM_S);
	}
}

static struct member *promote_somebody(struct cluster *cluster)
{
	struct member *member = promote_one(cluster, false);

	if (!member)
		member = promote_one(cluster, true);
	if (member)
		return member;
	down_and_up(cluster);
	member = promote_one(cluster, true);
	if (member)
		return member;
	if (!any_fault(cluster))
		fail(cluster, "nobody can be promoted, not even with force");
	return NULL;
}

/* --- everything pending ends --------------------------------------------- */

static bool loads_idle(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++)
		if (!load_is_idle(cluster->members[i].load))
			return false;
	return true;
}

static void check_ok(struct cluster *cluster, struct member *member, const char *cmd, bool force)
{
	struct command_result result = member_do(member, cmd, force, COMMAND_S * SIM_S);
	unsigned int node = machine_number(member->machine);

	if (!result.ok && !has_fault(cluster, node))
		fail(cluster, "%s: %s fails although nothing is wrong any more: %s: %s",
		     model_node_name(node), cmd, result.code, result.error);
}

static bool has_broken_disk(struct cluster *cluster, unsigned int i)
{
	struct model_copy *copy = model_copy(cluster->model, i);

	for (unsigned int v = 0; v < copy->nr_volumes; v++)
		if (disk_is_broken(copy->volumes[v]))
			return true;
	return false;
}

/*
 * After a promotion by force there may be two primaries, or one that the
 * other's newer timeline has deposed: what waits there cannot be finished.
 * Nor can it where the disk has died.
 */
static void end_hopeless(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++) {
		struct model_timeline *tl = model_running(cluster->model, i);

		if (tl && (model_is_superseded(cluster->model, tl) || has_broken_disk(cluster, i)))
			check_ok(cluster, &cluster->members[i], "demote", true);
	}
}

static void resume_all(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++)
		if (model_running(cluster->model, i))
			member_do(&cluster->members[i], "resume", true, 5 * SIM_S);
}

static void finish_load(struct cluster *cluster)
{
	bool idle;

	resume_all(cluster);
	cluster_run(cluster, SIM_S);
	for (unsigned int i = 0; i < cluster->nr; i++)
		load_stop(cluster->members[i].load);
	idle = cluster_wait(cluster, loads_idle, FINISH_S * SIM_S);
	/* A peer whose disk is dead is lost only when it is written to. */
	if (!idle && any_fault(cluster)) {
		resume_all(cluster);
		idle = cluster_wait(cluster, loads_idle, FINISH_S * SIM_S);
	}
	if (!idle)
		fail(cluster, "faults have stopped, I/O was resumed, and requests still hang after %u s",
		     FINISH_S);
}

/* Is @peer mirrored to, in sync, by the primary's own account? */
static bool mirrored(const struct model_timeline *tl, unsigned int peer)
{
	return tl->peers[peer].live && tl->peers[peer].acked == model_last(tl);
}

static void end_primary(struct cluster *cluster, struct member *member)
{
	unsigned int node = machine_number(member->machine), peer = (node + 1) % cluster->nr;
	struct model_timeline *tl = model_running(cluster->model, node);
	bool equal;

	cluster_run(cluster, 3 * SIM_S);
	equal = mirrored(tl, peer);
	/* A peer whose log is on a dead disk may be lost only now. */
	if (any_fault(cluster))
		resume_all(cluster);
	check_ok(cluster, member, "demote", false);
	if (tl->running)
		return;
	for (unsigned int i = 0; i < cluster->nr; i++) {
		cluster->members[i].wanted = false;
		check_ok(cluster, &cluster->members[i], "down", false);
	}
	if (!has_fault(cluster, node))
		check_complete(cluster->model, node, tl);
	if (equal && !any_fault(cluster) && !tl->io_error)
		check_equal(cluster->model, node, peer);
}

void heal_and_check(struct cluster *cluster)
{
	struct member *member;

	calm(cluster);
	revive(cluster);
	if (!cluster_wait(cluster, all_up, UP_S * SIM_S))
		fail(cluster, "faults have stopped, and a node does not come up within %u s", UP_S);
	connect_all(cluster);
	cluster_run(cluster, SETTLE_S * SIM_S);
	end_hopeless(cluster);
	member = primary(cluster);
	if (!member)
		check_claims(cluster);
	if (!member)
		member = promote_somebody(cluster);
	if (member) {
		finish_load(cluster);
		end_primary(cluster, member);
	}
	for (unsigned int i = 0; i < cluster->nr; i++)
		check_copy(cluster->model, i);
}
