/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cluster of one run, and what is meant to be up in it: the service
 * manager that starts agents again, the administrator's commands.
 */
#ifndef SIM_CLUSTER_H
#define SIM_CLUSTER_H

#include "scenario.h"

struct cluster;

/* One machine's part that is not the machine's own business. */
struct member {
	struct cluster *cluster;
	struct machine *machine;
	struct load *load;
	bool wanted;			/* the resource is to be up */
	unsigned int promoting;		/* commands that are not answered */
	bool forcing;
	struct event boot, agent, up, unmount;
	bool up_pending, is_up;
};

struct cluster {
	struct world *world;
	struct net *net;
	struct model *model;
	const struct run_options *options;
	struct swarm swarm;
	unsigned int nr;
	struct member members[NET_MAX_HOSTS];
	struct event chaos;
	bool calm;			/* no more faults */
};

struct cluster *cluster_create(struct world *world, const struct run_options *options);
void cluster_destroy(struct cluster *cluster);
/* A whole round: create, promote, load with faults, heal, check. */
void cluster_round(struct cluster *cluster);

/* Let simulated time pass. */
void cluster_run(struct cluster *cluster, uint64_t ns);
bool cluster_wait(struct cluster *cluster, bool (*condition)(struct cluster *cluster), uint64_t ns);

/* The outcome of a command that somebody waits for. */
struct command_result {
	bool done, ok;
	char code[32], error[384];
	char replication[32];		/* "status": of the peer */
};
/* Send it; @result may be NULL.  False: nobody takes commands there. */
bool member_command(struct member *member, const char *cmd, bool force,
		    struct command_result *result);
/* Send it, again where it was not taken or its agent died, and wait.  The answer. */
struct command_result member_do(struct member *member, const char *cmd, bool force,
				uint64_t patience_ns);
void member_crash(struct member *member, uint64_t down_ns);
void member_kill(struct member *member, uint64_t down_ns);
/* Boot, agent, up: whatever is missing, soon. */
void member_revive(struct member *member);

/* chaos.c */
void chaos_start(struct cluster *cluster);
void chaos_stop(struct cluster *cluster);

/* heal.c */
void heal_and_check(struct cluster *cluster);

#endif /* SIM_CLUSTER_H */
