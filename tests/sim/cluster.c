// SPDX-License-Identifier: GPL-2.0
/*
 * Rounds, commands, and the service manager.
 */
#include "cluster.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "heap.h"

enum {
	UP_RETRY_MS = 500,
	COMMAND_TIMEOUT_MS = 5000,
	RETRY_MS = 100,
};

/* --- commands ------------------------------------------------------------ */

struct command {
	struct control_call call;
	struct member *member;
	struct command_result *result;
	char cmd[16];
	bool force;
};

/* resources[0].peers[0].replication of a status */
static void take_replication(struct command_result *result, const json_t *answer)
{
	const json_t *resource = json_array_get(json_object_get(answer, "resources"), 0);
	const json_t *peer = json_array_get(json_object_get(resource, "peers"), 0);
	const char *text = json_string_value(json_object_get(peer, "replication"));

	snprintf(result->replication, sizeof(result->replication), "%s", text ? text : "");
}

static void command_finished(struct control_call *call)
{
	struct command *command = sim_container(call, struct command, call);
	struct member *member = command->member;
	struct command_result *result = command->result;

	world_trace(member->cluster->world, "%s: %s%s: %s%s%s",
		    model_node_name(machine_number(member->machine)), command->cmd,
		    command->force ? " --force" : "", call->ok ? "ok" : call->code,
		    call->ok ? "" : ": ", call->error);
	if (!strcmp(command->cmd, "promote") && !--member->promoting)
		member->forcing = false;
	if (!strcmp(command->cmd, "up")) {
		member->up_pending = false;
		member->is_up = call->ok;
	}
	if (result) {
		result->done = true;
		result->ok = call->ok;
		snprintf(result->code, sizeof(result->code), "%s", call->code);
		snprintf(result->error, sizeof(result->error), "%s", call->error);
		take_replication(result, call->answer);
	}
	sim_free(command);
}

static void note_promotion(struct member *member, bool force)
{
	bool first = !member->promoting++;

	member->forcing |= force;
	model_promoting(member->cluster->model, machine_number(member->machine), first,
			member->forcing);
}

bool member_command(struct member *member, const char *cmd, bool force,
		    struct command_result *result)
{
	struct command *command;

	if (result)
		result->done = false;
	if (!machine_has_agent(member->machine))
		return false;
	command = sim_alloc(sizeof(*command));
	command->call.finished = command_finished;
	command->member = member;
	command->result = result;
	command->force = force;
	snprintf(command->cmd, sizeof(command->cmd), "%s", cmd);
	if (!strcmp(cmd, "promote"))
		note_promotion(member, force);
	if (!strcmp(cmd, "up"))
		member->up_pending = true;
	if (machine_command(member->machine, cmd, force, COMMAND_TIMEOUT_MS, &command->call))
		return true;
	snprintf(command->call.code, sizeof(command->call.code), "paused");
	command->result = NULL;
	command_finished(&command->call);
	return false;
}

struct command_result member_do(struct member *member, const char *cmd, bool force,
				uint64_t patience_ns)
{
	struct world *world = member->cluster->world;
	uint64_t limit = world_now(world) + patience_ns;
	struct command_result result;

	do {
		memset(&result, 0, sizeof(result));
		if (member_command(member, cmd, force, &result))
			while (!result.done && world_step(world, UINT64_MAX))
				;
		if (result.done && (result.ok || strcmp(result.code, "gone")))
			if (result.ok || strcmp(result.code, "busy"))
				break;
		cluster_run(member->cluster, RETRY_MS * SIM_MS);
	} while (world_now(world) < limit);
	return result;
}

/* --- the service manager ------------------------------------------------- */

static void up_fired(struct event *event)
{
	struct member *member = sim_container(event, struct member, up);

	if (member->wanted && !member->is_up && !member->up_pending)
		member_command(member, "up", false, NULL);
	event_after(member->cluster->world, event, UP_RETRY_MS * SIM_MS);
}

static void agent_fired(struct event *event)
{
	struct member *member = sim_container(event, struct member, agent);

	machine_start_agent(member->machine);
	member->is_up = false;
	/* Its predecessor may still be ending. */
	if (!machine_has_agent(member->machine))
		event_after(member->cluster->world, event, 100 * SIM_MS);
	event_after(member->cluster->world, &member->up,
		    world_below(member->cluster->world, 50) * SIM_MS);
}

static void boot_fired(struct event *event)
{
	struct member *member = sim_container(event, struct member, boot);

	machine_boot(member->machine);
	load_start(member->load);
	event_after(member->cluster->world, &member->agent,
		    world_below(member->cluster->world, 300) * SIM_MS);
}

void member_revive(struct member *member)
{
	struct world *world = member->cluster->world;

	if (!machine_is_up(member->machine))
		event_after(world, &member->boot, 0);
	else if (!machine_has_agent(member->machine) && !event_is_set(&member->agent))
		event_after(world, &member->agent, 0);
}

void member_crash(struct member *member, uint64_t down_ns)
{
	struct cluster *cluster = member->cluster;

	if (!machine_is_up(member->machine))
		return;
	load_forget(member->load);
	event_clear(cluster->world, &member->agent);
	event_clear(cluster->world, &member->up);
	machine_crash(member->machine);
	check_copy(cluster->model, machine_number(member->machine));
	event_after(cluster->world, &member->boot, down_ns);
}

void member_kill(struct member *member, uint64_t down_ns)
{
	struct cluster *cluster = member->cluster;

	if (!machine_has_agent(member->machine))
		return;
	event_clear(cluster->world, &member->up);
	machine_kill_agent(member->machine);
	check_copy(cluster->model, machine_number(member->machine));
	event_after(cluster->world, &member->agent, down_ns);
}

/* --- time ---------------------------------------------------------------- */

void cluster_run(struct cluster *cluster, uint64_t ns)
{
	uint64_t limit = world_now(cluster->world) + ns;

	while (world_step(cluster->world, limit))
		;
}

bool cluster_wait(struct cluster *cluster, bool (*condition)(struct cluster *cluster), uint64_t ns)
{
	uint64_t limit = world_now(cluster->world) + ns;

	while (!condition(cluster))
		if (!world_step(cluster->world, limit))
			return condition(cluster);
	return true;
}

/* --- rounds -------------------------------------------------------------- */

static void set_links(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++)
		for (unsigned int j = 0; j < cluster->nr; j++)
			*net_link(cluster->net, i, j) = cluster->swarm.link;
}

static void begin_member(struct cluster *cluster, unsigned int i)
{
	struct member *member = &cluster->members[i];

	*member = (struct member){
		.cluster = cluster, .wanted = true,
		.boot.fire = boot_fired, .agent.fire = agent_fired, .up.fire = up_fired,
	};
	member->machine = machine_create(cluster->world, cluster->net, cluster->model, i);
	machine_format(member->machine, &cluster->swarm.layout);
	member->load = load_create(cluster->world, cluster->model, member->machine,
				   &cluster->swarm.layout, &cluster->swarm.mix);
	if (cluster->swarm.on & 1u << FAULT_MEMORY)
		machine_set_no_memory(member->machine, world_below(cluster->world, 300000));
	event_after(cluster->world, &member->boot, world_below(cluster->world, 100) * SIM_MS);
}

static void begin_round(struct cluster *cluster)
{
	scenario_draw(cluster->world, cluster->options, &cluster->swarm);
	cluster->nr = cluster->swarm.layout.nr_nodes;
	cluster->net = net_create(cluster->world, cluster->nr);
	set_links(cluster);
	module_no_memory_ppm = cluster->swarm.on & 1u << FAULT_MEMORY ?
			       world_below(cluster->world, 300000) : 0;
	model_begin_round(cluster->model);
	for (unsigned int i = 0; i < cluster->nr; i++)
		begin_member(cluster, i);
	world_trace(cluster->world, "round: faults %#x, durability %u, on-peer-loss %u",
		    cluster->swarm.on, cluster->swarm.layout.durability,
		    cluster->swarm.layout.on_peer_loss);
}

static void end_round(struct cluster *cluster)
{
	for (unsigned int i = 0; i < cluster->nr; i++) {
		struct member *member = &cluster->members[i];

		event_clear(cluster->world, &member->boot);
		event_clear(cluster->world, &member->agent);
		event_clear(cluster->world, &member->up);
		load_destroy(member->load);
		machine_destroy(member->machine);
	}
	net_destroy(cluster->net);
}

static void first_promotion(struct cluster *cluster)
{
	struct member *member = &cluster->members[world_below(cluster->world, cluster->nr)];

	cluster_run(cluster, world_below(cluster->world, 2500) * SIM_MS);
	member_do(member, "promote", false, 4 * SIM_S);
}

void cluster_round(struct cluster *cluster)
{
	begin_round(cluster);
	if (world_below(cluster->world, 4)) {
		first_promotion(cluster);
		chaos_start(cluster);
	} else {
		chaos_start(cluster);
		first_promotion(cluster);
	}
	cluster_run(cluster, cluster->swarm.chaos_ms * SIM_MS);
	chaos_stop(cluster);
	heal_and_check(cluster);
	end_round(cluster);
}

struct cluster *cluster_create(struct world *world, const struct run_options *options)
{
	struct cluster *cluster = sim_alloc(sizeof(*cluster));

	cluster->world = world;
	cluster->options = options;
	cluster->model = model_create(world, 2);
	process_at = machine_process_at;
	return cluster;
}

void cluster_destroy(struct cluster *cluster)
{
	model_destroy(cluster->model);
	sim_free(cluster);
}
