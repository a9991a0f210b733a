// SPDX-License-Identifier: GPL-2.0
/*
 * events: what the agent reports, as it happens, until interrupted.
 */
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "cmd.h"
#include "ctl_client.h"
#include "say.h"

static void print_event(const json_t *event)
{
	const char *resource = json_string_value(json_object_get(event, "resource"));
	const char *name = json_string_value(json_object_get(event, "event"));
	const char *text = json_string_value(json_object_get(event, "text"));
	char when[32];

	say_time(json_integer_value(json_object_get(event, "time_ns")), when);
	printf("%s  %s  %s  %s\n", when, resource ? resource : "-", name ? name : "-",
	       text ? text : "");
	fflush(stdout);
}

static bool wanted(const struct options *options, const json_t *event)
{
	const char *resource = json_string_value(json_object_get(event, "resource"));

	return !options->nr_args || (resource && !strcmp(resource, options->args[0]));
}

/* The first line may be an answer of its own: {"ok":...}. */
static int take(const struct options *options, json_t *event)
{
	int ret = EXIT_OK;

	if (json_is_false(json_object_get(event, "ok")))
		ret = say_refusal(NULL, event);
	else if (!json_object_get(event, "event") || !wanted(options, event))
		ret = EXIT_OK;
	else if (say_is_json())
		say_json(json_incref(event));
	else
		print_event(event);
	json_decref(event);
	return ret;
}

int cmd_events(const struct options *options, const struct command *command)
{
	struct ctl_client *client;
	json_t *event;
	int ret = ctl_client_open(options->run_dir, &client);

	if (ret)
		return ask_say_unreachable(options, NULL, ret);
	ret = ctl_client_send(client, ask_request(command->name, NULL));
	while (!ret && (ret = ctl_client_next(client, -1, &event)) == 1)
		ret = take(options, event);
	ctl_client_close(client);
	if (ret > 0)
		return ret;
	return say_error("no-agent", NULL, "%s", ret ? ask_words(ret) : "the agent has ended");
}
