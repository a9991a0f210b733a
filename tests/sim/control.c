// SPDX-License-Identifier: GPL-2.0
/*
 * What agent/ctl.c offers to the agent, without clients: a request is a
 * struct of ours, alive until it is answered or its agent has died.
 */
#include "control.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "heap.h"

struct ctl {
	struct world *world;
	const char *name;
	struct process *process;
	const struct ctl_command *table;
	void *table_ctx;
	struct control_call *calls;
};

struct request {
	struct ctl_request pub;		/* first */
	struct ctl *ctl;
	struct control_call *call;
};

struct ctl *control_create(struct world *world, const char *name, struct process *process)
{
	struct ctl *ctl = sim_alloc(sizeof(*ctl));

	ctl->world = world;
	ctl->name = name;
	ctl->process = process;
	return ctl;
}

static void finish(struct ctl *ctl, struct control_call *call)
{
	struct control_call **at = &ctl->calls;
	struct request *request = (struct request *)call->request;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	json_decref(request->pub.body);
	sim_free(request);
	call->request = NULL;
	call->finished(call);
}

void control_destroy(struct ctl *ctl)
{
	while (ctl->calls) {
		struct control_call *call = ctl->calls;

		call->ok = false;
		call->answer = NULL;
		snprintf(call->code, sizeof(call->code), "gone");
		finish(ctl, call);
	}
	sim_free(ctl);
}

static const struct ctl_command *find_command(const struct ctl *ctl, const char *name)
{
	const struct ctl_command *command = ctl->table;

	while (strcmp(command->name, name))
		command++;
	return command;
}

void control_call(struct ctl *ctl, const char *cmd, const char *resource, bool force,
		  uint32_t timeout_ms, struct control_call *call)
{
	struct request *request = sim_alloc(sizeof(*request));
	json_t *body = json_pack("{s:s, s:s, s:b, s:I}", "cmd", cmd, "resource", resource, "force",
				 force, "timeout_ms", (json_int_t)timeout_ms);
	struct heap *former;

	request->pub = (struct ctl_request){
		.cmd = json_string_value(json_object_get(body, "cmd")),
		.resource = json_string_value(json_object_get(body, "resource")),
		.force = json_is_true(json_object_get(body, "force")),
		.timeout_ms = json_integer_value(json_object_get(body, "timeout_ms")),
		.body = body,
	};
	request->ctl = ctl;
	request->call = call;
	call->request = &request->pub;
	call->error[0] = call->code[0] = '\0';
	call->next = ctl->calls;
	ctl->calls = call;
	former = process_enter(ctl->process);
	find_command(ctl, cmd)->handler(ctl->table_ctx, &request->pub);
	process_leave(former);
}

/* --- agent/ctl.h --------------------------------------------------------- */

void ctl_set_commands(struct ctl *ctl, const struct ctl_command *table, void *ctx)
{
	ctl->table = table;
	ctl->table_ctx = ctx;
}

void ctl_progress(struct ctl_request *req, int percent, const char *fmt, ...)
{
	(void)req;
	(void)percent;
	(void)fmt;
}

void ctl_reply(struct ctl_request *req, json_t *object)
{
	struct request *request = (struct request *)req;
	struct control_call *call = request->call;
	struct heap *former = heap_switch(NULL);

	call->ok = true;
	call->answer = object;
	finish(request->ctl, call);
	json_decref(object);
	heap_switch(former);
}

void ctl_fail(struct ctl_request *req, const char *code, const char *hint, const char *fmt, ...)
{
	struct request *request = (struct request *)req;
	struct control_call *call = request->call;
	struct heap *former = heap_switch(NULL);
	va_list args;

	(void)hint;
	va_start(args, fmt);
	vsnprintf(call->error, sizeof(call->error), fmt, args);
	va_end(args);
	snprintf(call->code, sizeof(call->code), "%s", code);
	call->ok = false;
	call->answer = NULL;
	finish(request->ctl, call);
	heap_switch(former);
}

void ctl_event(struct ctl *ctl, const char *resource, const char *event, const char *peer,
	       const char *fmt, ...)
{
	(void)ctl;
	(void)resource;
	(void)event;
	(void)peer;
	(void)fmt;
}
