// SPDX-License-Identifier: GPL-2.0
/*
 * Faults and an administrator at bad moments: now and then one thing happens,
 * drawn by the weights of the round.
 */
#include "cluster.h"

#include <string.h>

static struct member *any_member(struct cluster *cluster)
{
	return &cluster->members[world_below(cluster->world, cluster->nr)];
}

static uint64_t some_ms(struct cluster *cluster, uint64_t most)
{
	return world_below(cluster->world, most) * SIM_MS;
}

static struct disk *any_disk(struct cluster *cluster, struct member *member, bool log)
{
	struct model_copy *copy = model_copy(cluster->model, machine_number(member->machine));

	if (log || world_below(cluster->world, 2))
		return copy->segments[world_below(cluster->world, copy->nr_segments)];
	return copy->volumes[world_below(cluster->world, copy->nr_volumes)];
}

/* --- machines and agents ------------------------------------------------- */

static void crash(struct cluster *cluster)
{
	member_crash(any_member(cluster), some_ms(cluster, 4000));
}

static void kill_agent(struct cluster *cluster)
{
	struct member *member = any_member(cluster);

	if (world_below(cluster->world, 4)) {
		member_kill(member, some_ms(cluster, 1500));
		return;
	}
	machine_stop_agent(member->machine);
	if (!machine_has_agent(member->machine) && machine_is_up(member->machine))
		event_after(cluster->world, &member->agent, some_ms(cluster, 1500));
}

static void pause(struct cluster *cluster)
{
	machine_pause(any_member(cluster)->machine,
		      world_now(cluster->world) + some_ms(cluster, 5000));
}

static void jump(struct cluster *cluster)
{
	machine_jump_realtime(any_member(cluster)->machine,
			      (int64_t)some_ms(cluster, 7200000) - 3600000 * (int64_t)SIM_MS);
}

/* --- the network --------------------------------------------------------- */

static void cut(struct cluster *cluster)
{
	unsigned int i = world_below(cluster->world, cluster->nr);
	unsigned int j = (i + 1 + world_below(cluster->world, cluster->nr - 1)) % cluster->nr;
	bool on = world_below(cluster->world, 2), both = world_below(cluster->world, 2);

	world_trace(cluster->world, "net: %s %s %s %s", model_node_name(i), both ? "<->" : "->",
		    model_node_name(j), on ? "cut" : "healed");
	net_link(cluster->net, i, j)->cut = on;
	if (both || !on)
		net_link(cluster->net, j, i)->cut = on;
	net_changed(cluster->net);
}

/* --- disks --------------------------------------------------------------- */

static void slow_disk(struct cluster *cluster)
{
	struct disk_faults *f = disk_faults(any_disk(cluster, any_member(cluster), false));

	f->slow_ppm = world_below(cluster->world, 2) * world_below(cluster->world, 100000);
	f->slow_ms = world_below(cluster->world, 800);
}

static void io_error(struct cluster *cluster)
{
	struct disk_faults *f = disk_faults(any_disk(cluster, any_member(cluster), false));

	f->read_error_ppm = world_below(cluster->world, 2) * world_below(cluster->world, 2000);
	f->write_error_ppm = world_below(cluster->world, 2) * world_below(cluster->world, 20000);
	f->flush_error_ppm = world_below(cluster->world, 2) * world_below(cluster->world, 5000);
}

static void break_disk(struct cluster *cluster)
{
	struct member *member = any_member(cluster);
	struct disk *disk = any_disk(cluster, member, false);

	if (world_below(cluster->world, 4))
		return;
	world_trace(cluster->world, "%s dies", disk_name(disk));
	model_copy(cluster->model, machine_number(member->machine))->media_fault = true;
	disk_break(disk);
}

static void rot(struct cluster *cluster)
{
	struct member *member = any_member(cluster);
	struct disk *disk = any_disk(cluster, member, true);

	model_copy(cluster->model, machine_number(member->machine))->media_fault = true;
	world_trace(cluster->world, "%s: a bit rots", disk_name(disk));
	disk_rot(disk, world_below(cluster->world, disk_bytes(disk)));
}

static void misdirect(struct cluster *cluster)
{
	struct member *member = any_member(cluster);

	model_copy(cluster->model, machine_number(member->machine))->media_fault = true;
	disk_faults(any_disk(cluster, member, true))->misdirect_ppm =
		world_below(cluster->world, 5000);
}

/* --- the administrator --------------------------------------------------- */

static void unmounted(struct event *event)
{
	struct member *member = sim_container(event, struct member, unmount);

	if (!load_is_idle(member->load)) {
		event_after(member->cluster->world, event, 50 * SIM_MS);
		return;
	}
	member_command(member, "demote", false, NULL);
	load_start(member->load);
}

/* Stop the service first, as one should, or not. */
static void demote(struct cluster *cluster, struct member *member)
{
	if (world_below(cluster->world, 4)) {
		load_stop(member->load);
		event_after(cluster->world, &member->unmount, some_ms(cluster, 300));
	} else {
		member_command(member, "demote", false, NULL);
	}
}

static void take_down(struct cluster *cluster, struct member *member)
{
	member->wanted = world_below(cluster->world, 4);
	member->is_up = false;
	member_command(member, "down", false, NULL);
}

static void bring_up(struct cluster *cluster, struct member *member)
{
	(void)cluster;
	member->wanted = true;
	member->is_up = false;
}

/* The files are made equal at once; the agents read them one by one. */
static void reconfigure(struct cluster *cluster)
{
	scenario_draw_settings(cluster->world, &cluster->swarm.layout);
	for (unsigned int i = 0; i < cluster->nr; i++) {
		machine_configure(cluster->members[i].machine, &cluster->swarm.layout);
		if (world_below(cluster->world, 4))
			member_command(&cluster->members[i], "reload", false, NULL);
	}
}

static void command(struct cluster *cluster, struct member *member)
{
	static const char *const simple[] = {
		"freeze", "resume", "disconnect", "connect", "reload", "status", "log",
	};
	unsigned int dice = world_below(cluster->world, 19);

	if (dice < 4)
		member_command(member, "promote", false, NULL);
	else if (dice < 8)
		demote(cluster, member);
	else if (dice < 10)
		take_down(cluster, member);
	else if (dice < 11)
		bring_up(cluster, member);
	else if (dice < 12)
		reconfigure(cluster);
	else
		member_command(member, simple[dice - 12], false, NULL);
}

/* One command, or several before the first is answered. */
static void admin(struct cluster *cluster)
{
	struct member *member = any_member(cluster);

	do
		command(cluster, member);
	while (!world_below(cluster->world, 3));
}

static void force(struct cluster *cluster)
{
	struct member *member = any_member(cluster);

	if (world_below(cluster->world, 3))
		member_command(member, "promote", true, NULL);
	else
		member_command(member, "demote", true, NULL);
}

/* --- fate ---------------------------------------------------------------- */

/* Those that are not here are properties of links and heaps. */
static void (*const acts[FAULT_NR])(struct cluster *cluster) = {
	[FAULT_CRASH] = crash,
	[FAULT_KILL] = kill_agent,
	[FAULT_PAUSE] = pause,
	[FAULT_CUT] = cut,
	[FAULT_SLOW_DISK] = slow_disk,
	[FAULT_IO_ERROR] = io_error,
	[FAULT_BREAK] = break_disk,
	[FAULT_ROT] = rot,
	[FAULT_MISDIRECT] = misdirect,
	[FAULT_CLOCK] = jump,
	[FAULT_ADMIN] = admin,
	[FAULT_FORCE] = force,
};

static unsigned int weight(const struct cluster *cluster, unsigned int fault)
{
	return cluster->swarm.on & 1u << fault && acts[fault] ? cluster->swarm.weight[fault] : 0;
}

static void act(struct cluster *cluster)
{
	unsigned int total = 0, fault = 0, dice;

	for (unsigned int i = 0; i < FAULT_NR; i++)
		total += weight(cluster, i);
	if (!total)
		return;
	dice = world_below(cluster->world, total);
	while (dice >= weight(cluster, fault))
		dice -= weight(cluster, fault++);
	acts[fault](cluster);
}

static void chaos_fired(struct event *event)
{
	struct cluster *cluster = sim_container(event, struct cluster, chaos);

	act(cluster);
	event_after(cluster->world, event,
		    some_ms(cluster, 2 * cluster->swarm.chaos_gap_ms) + SIM_MS);
}

void chaos_start(struct cluster *cluster)
{
	cluster->chaos.fire = chaos_fired;
	for (unsigned int i = 0; i < cluster->nr; i++)
		cluster->members[i].unmount.fire = unmounted;
	event_after(cluster->world, &cluster->chaos, some_ms(cluster, 1000));
}

void chaos_stop(struct cluster *cluster)
{
	event_clear(cluster->world, &cluster->chaos);
	for (unsigned int i = 0; i < cluster->nr; i++)
		event_clear(cluster->world, &cluster->members[i].unmount);
}
