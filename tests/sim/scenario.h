/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A run: how big, how busy and how unlucky a cluster is, all drawn from the
 * seed.  Classes of faults are switched on and off by themselves ("swarm"),
 * so that one does not hide what another would show.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "load.h"
#include "machine.h"

enum scenario {
	SCENARIO_DEFAULT,
	SCENARIO_CRASH,
	SCENARIO_PARTITION,
	SCENARIO_DISK,
	SCENARIO_ADMIN,
	SCENARIO_NR,
};

enum fault {
	FAULT_CRASH,		/* machines lose power */
	FAULT_KILL,		/* agents are killed, or told to end */
	FAULT_PAUSE,		/* agents stand still */
	FAULT_CUT,		/* links are cut, in one direction or both */
	FAULT_RESET,		/* connections break */
	FAULT_SLOW_NET,
	FAULT_CORRUPT,		/* bits flip on the wire */
	FAULT_SLOW_DISK,
	FAULT_IO_ERROR,		/* requests of disks fail */
	FAULT_BREAK,		/* disks die */
	FAULT_ROT,		/* bits of a log flip */
	FAULT_MISDIRECT,	/* log writes land elsewhere */
	FAULT_CLOCK,		/* realtime jumps */
	FAULT_ADMIN,		/* roles change at any time */
	FAULT_FORCE,		/* ... with --force, too */
	FAULT_MEMORY,		/* allocations fail */
	FAULT_NR,
};

extern const char *const scenario_names[SCENARIO_NR];
extern const char *const fault_names[FAULT_NR];

/* What of a seed's fate the command line overrides. */
struct run_options {
	enum scenario scenario;
	unsigned int rounds;		/* 0: as drawn */
	uint32_t without;		/* bit set of enum fault */
};

/* The odds of a round. */
struct swarm {
	uint32_t on;			/* bit set of enum fault */
	unsigned int weight[FAULT_NR];
	uint64_t chaos_gap_ms, chaos_ms;
	struct machine_layout layout;
	struct load_mix mix;
	struct net_link link;
};

void scenario_draw(struct world *world, const struct run_options *options, struct swarm *swarm);
/* Settings that an administrator may change while all runs. */
void scenario_draw_settings(struct world *world, struct machine_layout *layout);
unsigned int scenario_rounds(struct world *world, const struct run_options *options);

#endif /* SIM_SCENARIO_H */
