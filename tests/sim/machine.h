/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A machine of the cluster: disks that outlive everything, a module that
 * lives from boot to crash, an agent that may die any moment, two clocks.
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include "agent/conf.h"
#include "control.h"
#include "model.h"
#include "module.h"

struct machine;

/* What all machines of a round have in common. */
struct machine_layout {
	unsigned int nr_nodes, nr_volumes, nr_segments;
	uint32_t block_bytes;
	uint64_t sectors;		/* of a volume */
	uint64_t segment_bytes, unapplied_bytes;
	uint32_t timeout_ms, queue_kib;
	enum reprise_durability durability;
	enum reprise_on_peer_loss on_peer_loss;
};

struct machine *machine_create(struct world *world, struct net *net, struct model *model,
			       unsigned int number);
void machine_destroy(struct machine *machine);
/* The process that runs on a host, for connections. */
struct process *machine_process_at(struct net *net, unsigned int host);

/* New disks, all zeros, as "reprise create" leaves them.  Nothing may run. */
void machine_format(struct machine *machine, const struct machine_layout *layout);
/* Write the settings that may change into its configuration; the agent does not know yet. */
void machine_configure(struct machine *machine, const struct machine_layout *layout);
void machine_boot(struct machine *machine);
/* Power is cut, or the kernel dies: what was not flushed is in doubt. */
void machine_crash(struct machine *machine);
bool machine_is_up(const struct machine *machine);

void machine_start_agent(struct machine *machine);
void machine_kill_agent(struct machine *machine);
/* SIGTERM; it is gone some time later. */
void machine_stop_agent(struct machine *machine);
bool machine_has_agent(const struct machine *machine);
void machine_pause(struct machine *machine, uint64_t until);
void machine_jump_realtime(struct machine *machine, int64_t ns);
void machine_set_no_memory(struct machine *machine, uint32_t ppm);

/* False: no agent takes commands.  See control_call(). */
bool machine_command(struct machine *machine, const char *cmd, bool force, uint32_t timeout_ms,
		     struct control_call *call);
/* NULL: the machine is down. */
struct module *machine_module(struct machine *machine);
unsigned int machine_number(const struct machine *machine);

#endif /* SIM_MACHINE_H */
