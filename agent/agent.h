/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The agent as main.c sees it: all resources of one node, started once,
 * told of the kernel's events and of signals, and stopped.  node.c implements
 * it on env.h, ctl.h and nl.h, without knowing the event loop.
 */
#ifndef REPRISE_AGENT_H
#define REPRISE_AGENT_H

#include <stddef.h>

#include "ctl.h"
#include "env.h"
#include "nl.h"

struct agent;

/**
 * struct agent_options - what the command line says
 * @node_name: own node's name in the configurations
 * @kernel_opened: called by the agent whenever nl_open() has succeeded and
 *	before each nl_start(): main.c then (re)opens the event socket, so
 *	that no event of what follows is missed.  Synchronous, calls nothing
 *	of the agent.  May be NULL.
 *
 * The strings stay valid until agent_stop() is done.
 */
struct agent_options {
	const char *config_dir;
	const char *run_dir;
	const char *node_name;
	void (*kernel_opened)(void *ctx);
	void *ctx;
};

/**
 * agent_start - read the configurations, adopt what the kernel runs, serve commands
 *
 * Configurations that cannot be read are logged and left out.  Sets its
 * command table with ctl_set_commands().
 *
 * Return: 0, or -errno with @error filled.
 */
int agent_start(struct env *env, const struct agent_options *options, struct ctl *ctl,
		struct agent **agent, char *error, size_t error_bytes);
/* Read the configurations again (SIGHUP): as the command "reload" for all. */
void agent_reload(struct agent *agent);
/*
 * End all sessions and connections, close all replicas; what the kernel runs
 * as primary goes on.  Every pending request is answered; the agent is freed
 * before @done is called.
 */
void agent_stop(struct agent *agent, void (*done)(void *ctx), void *ctx);

/* What the kernel reported. */
void agent_kernel_event(struct agent *agent, const struct nl_event *event);
/* Reports were lost: read the kernel's state again. */
void agent_kernel_changed(struct agent *agent);

/* One line for the service manager: "2 resources: 1 primary, 1 secondary, 1 degraded". */
void agent_summary(const struct agent *agent, char *buf, size_t bytes);

#endif /* REPRISE_AGENT_H */
