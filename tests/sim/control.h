/* SPDX-License-Identifier: GPL-2.0 */
/*
 * agent/ctl.h without a socket: commands reach the agent's table as JSON, as
 * ctl.c would pass them, and answers come back to the caller.
 */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include "agent/ctl.h"
#include "process.h"

/*
 * One command of an administrator.  @finished is called once: answered, or,
 * with the code "gone", the agent died.  @answer is valid during the call.
 */
struct control_call {
	void (*finished)(struct control_call *call);
	void *ctx;
	bool ok;
	char code[32];
	char error[384];
	const json_t *answer;
	struct ctl_request *request;	/* control.c's */
	struct control_call *next;
};

struct ctl *control_create(struct world *world, const char *name, struct process *process);
void control_destroy(struct ctl *ctl);
void control_call(struct ctl *ctl, const char *cmd, const char *resource, bool force,
		  uint32_t timeout_ms, struct control_call *call);

#endif /* SIM_CONTROL_H */
