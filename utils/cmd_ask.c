// SPDX-License-Identifier: GPL-2.0
/*
 * The verbs that the agent carries out: the command only forwards them and
 * says what came of it.  Where the kernel alone can do it, it is asked
 * directly when no agent runs.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "cmd.h"
#include "nl.h"
#include "resources.h"
#include "say.h"

static const struct {
	const char *cmd, *done;
} results[] = {
	{ "up", "is up" },
	{ "down", "is down" },
	{ "reload", "configuration read again" },
	{ "connect", "connecting" },
	{ "disconnect", "disconnected, and stays so until 'reprise connect'" },
	{ "promote", "is primary here" },
	{ "demote", "is secondary here" },
	{ "freeze", "frozen: no I/O completes until 'reprise resume'" },
	{ "resume", "resumed" },
};

static const char *result_words(const char *cmd)
{
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (!strcmp(results[i].cmd, cmd))
			return results[i].done;
	return "done";
}

static json_t *make_request(const struct options *options, const char *cmd, const char *resource)
{
	json_t *request = ask_request(cmd, resource);

	if (options->nr_args > 1)
		json_object_set_new(request, "peer", json_string(options->args[1]));
	if (options->force)
		json_object_set_new(request, "force", json_true());
	if (options->timeout_ms)
		json_object_set_new(request, "timeout_ms", json_integer(options->timeout_ms));
	return request;
}

/* Takes over @answer. */
static int say_answer(const char *cmd, const char *resource, json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "text"));
	char words[256];

	if (!ask_is_ok(answer)) {
		int ret = say_refusal(resource, answer);

		json_decref(answer);
		return ret;
	}
	snprintf(words, sizeof(words), "%s", text ? text : result_words(cmd));
	return say_done(answer, "%s%s%s", resource ? resource : "", resource ? ": " : "", words);
}

static int forward(const struct options *options, const char *cmd, const char *resource)
{
	json_t *answer;
	int err = ask_agent(options, make_request(options, cmd, resource), -1, &answer);

	if (err)
		return ask_say_unreachable(options, resource, err);
	return say_answer(cmd, resource, answer);
}

/* Every configured resource in turn; one that fails does not stop the others. */
static int forward_all(const struct options *options, const char *cmd)
{
	struct resource_names list;
	int ret = EXIT_OK;

	if (!resources_list(options, &list))
		return EXIT_REFUSED;
	for (unsigned int i = 0; i < list.count; i++)
		if (forward(options, cmd, list.names[i]))
			ret = EXIT_REFUSED;
	return ret;
}

int cmd_ask(const struct options *options, const struct command *command)
{
	return forward(options, command->name, options->nr_args ? options->args[0] : NULL);
}

int cmd_up(const struct options *options, const struct command *command)
{
	if (options->all)
		return forward_all(options, command->name);
	return forward(options, command->name, options->args[0]);
}

static bool agent_is_dead(const struct options *options)
{
	json_t *answer = NULL;
	int err = ask_agent(options, ask_request("version", NULL), ASK_STATUS_WAIT_MS, &answer);

	json_decref(answer);
	return ask_says_dead(err);
}

static int kernel_error(struct nl *nl, const char *resource, int err)
{
	char text[256];

	snprintf(text, sizeof(text), "%s",
		 err == -ENOENT ? "the kernel does not run it" : nl_error(nl));
	nl_close(nl);
	return say_error("io", NULL, "%s: the agent is not running, and %s", resource, text);
}

/* 0 with *@nl, or an exit code after having said why. */
static int open_kernel(const char *resource, struct nl **nl)
{
	int err = nl_open(nl);

	if (!err)
		return 0;
	return say_error("no-agent", "start the agent: systemctl start reprised",
			 "%s: the agent is not running, and the kernel module %s", resource,
			 err == -ENOENT ? "is not loaded" : "does not answer");
}

/* The metadata keeps saying "unclean primary", as after a crash: that is safe. */
static int take_down_by_kernel(const char *resource)
{
	struct nl_resource res;
	struct nl *nl;
	uint64_t seq;
	int err;

	if (open_kernel(resource, &nl))
		return EXIT_REFUSED;
	memset(&res, 0, sizeof(res));
	err = nl_stop(nl, resource, 0, true, &res, &seq);
	if (err)
		return kernel_error(nl, resource, err);
	for (unsigned int i = 0; i < res.nr_volumes; i++)
		if (res.volumes[i].backing_fd >= 0)
			close(res.volumes[i].backing_fd);
	nl_close(nl);
	return say_done(
		NULL,
		"%s: its devices are gone (by the kernel, as the agent is not running); it counts as crashed until its agent has brought it up again",
		resource);
}

int cmd_down(const struct options *options, const struct command *command)
{
	if (options->all)
		return forward_all(options, command->name);
	if (options->force && agent_is_dead(options))
		return take_down_by_kernel(options->args[0]);
	return forward(options, command->name, options->args[0]);
}

int cmd_freeze(const struct options *options, const struct command *command)
{
	bool freeze = !strcmp(command->name, "freeze");
	const char *resource = options->args[0];
	struct nl *nl;
	int err;

	if (!agent_is_dead(options))
		return forward(options, command->name, resource);
	if (open_kernel(resource, &nl))
		return EXIT_REFUSED;
	err = freeze ? nl_freeze(nl, resource) : nl_resume(nl, resource);
	if (err)
		return kernel_error(nl, resource, err);
	nl_close(nl);
	return say_done(NULL, "%s: %s (by the kernel, as the agent is not running)", resource,
			result_words(command->name));
}
