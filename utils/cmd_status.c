// SPDX-License-Identifier: GPL-2.0
/*
 * status: from the agent, and if that is dead or hangs, from the kernel and
 * the disks; once, or again and again.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "cmd.h"
#include "resources.h"
#include "say.h"
#include "status.h"

static bool is_told(const json_t *answer, const char *name)
{
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(answer, "resources"), i, r)
		if (!strcmp(status_text(r, "name", ""), name))
			return true;
	return false;
}

/* The agent reads a configuration when it is to come up: say here which ones cannot. */
static void add_broken(const struct options *options, const char *resource, json_t *answer)
{
	struct resource_names names = { .count = 1 };
	static struct conf conf;
	char text[512];

	if (resource)
		snprintf(names.names[0], sizeof(names.names[0]), "%s", resource);
	else if (!resources_list(options, &names))
		return;
	for (unsigned int i = 0; i < names.count; i++) {
		if (is_told(answer, names.names[i]) ||
		    resources_try(options, names.names[i], &conf, text, sizeof(text)))
			continue;
		if (ask_is_ok(answer))
			json_array_append_new(json_object_get(answer, "resources"),
					      status_unreadable(names.names[i], text));
		else
			json_object_set_new(answer, "error", json_string(text));
	}
}

json_t *status_collect(const struct options *options, const char *resource)
{
	json_t *answer;
	char name[256];
	int err = ask_agent(options, ask_request("status", resource), ASK_STATUS_WAIT_MS, &answer);

	if (!err) {
		add_broken(options, resource, answer);
		json_object_set_new(answer, "agent", json_string("running"));
		return answer;
	}
	answer = json_pack("{s:b, s:s, s:s}", "ok", true, "agent", ask_words(err), "node",
			   resources_node_name(options, name, sizeof(name)));
	json_object_set_new(answer, "resources", status_local(options, resource, ask_words(err)));
	return answer;
}

static int show(const struct options *options, const char *resource)
{
	json_t *status = status_collect(options, resource);
	int ret = EXIT_OK;

	if (options->check)
		ret = status_check(status);
	else if (!ask_is_ok(status))
		ret = say_refusal(resource, status);
	else if (say_is_json())
		say_json(json_incref(status));
	else
		status_print(status);
	json_decref(status);
	return ret;
}

static void clear_screen(unsigned int every_s)
{
	char when[32];

	if (!isatty(STDOUT_FILENO) || say_is_json())
		return;
	printf("\x1b[H\x1b[2Jevery %u s, %s\n\n", every_s,
	       say_time((uint64_t)time(NULL) * 1000000000, when));
}

int cmd_status(const struct options *options, const struct command *command)
{
	const char *resource = options->nr_args ? options->args[0] : NULL;

	(void)command;
	if (!options->watch_s)
		return show(options, resource);
	for (;;) {
		clear_screen(options->watch_s);
		show(options, resource);
		fflush(stdout);
		sleep(options->watch_s);
	}
}
