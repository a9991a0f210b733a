/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The agent on a kernel, and with configurations, of the caller's choice: for
 * tests and the simulator.
 */
#ifndef REPRISE_AGENT_IMPL_H
#define REPRISE_AGENT_IMPL_H

#include "agent.h"
#include "conf.h"
#include "kernel.h"

/* conf_load(), or what stands in for it. */
typedef int (*agent_load)(const char *path, struct conf *conf, char *error, size_t bytes);

/* As agent_start(); @kernel must outlive the agent. */
int agent_start_on(struct env *env, const struct agent_options *options, struct ctl *ctl,
		   const struct kernel *kernel, agent_load load, struct agent **agent,
		   char *error, size_t error_bytes);

#endif /* REPRISE_AGENT_IMPL_H */
