// SPDX-License-Identifier: GPL-2.0
/*
 * log: the timelines that a resource has lived through, and where it stands.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "as_json.h"
#include "ask.h"
#include "cmd.h"
#include "disks.h"
#include "resources.h"
#include "say.h"
#include "status.h"

static json_t *log_of_disk(const struct conf *conf, const struct conf_node *node)
{
	json_t *object = json_pack("{s:s}", "name", conf->name), *timelines = json_array();
	struct meta_volume volume;
	struct meta meta;
	const char *why;

	json_object_set_new(object, "timelines", timelines);
	if (disks_read_meta(node->volumes[0].device, &meta, &volume, &why)) {
		json_object_set_new(object, "error", json_string(why));
		return object;
	}
	for (unsigned int i = 0; i < meta.nr_timelines; i++)
		json_array_append_new(timelines, as_json_timeline(&meta.timelines[i]));
	json_object_set_new(object, "position", json_integer(meta.applied));
	return object;
}

static json_t *collect_local(const struct options *options, const char *resource)
{
	struct resource_names names = { .count = 0 };
	json_t *array = json_array();

	if (resource) {
		snprintf(names.names[0], sizeof(names.names[0]), "%s", resource);
		names.count = 1;
	} else if (!resources_list(options, &names)) {
		names.count = 0;
	}
	for (unsigned int i = 0; i < names.count; i++) {
		const struct conf_node *node;
		struct conf conf;

		if (!resources_load(options, names.names[i], &conf))
			continue;
		node = resources_own_node(options, &conf, false);
		if (node)
			json_array_append_new(array, log_of_disk(&conf, node));
	}
	return array;
}

static json_t *collect(const struct options *options, const char *resource)
{
	json_t *answer;
	int err = ask_agent(options, ask_request("log", resource), ASK_STATUS_WAIT_MS, &answer);

	if (!err)
		return answer;
	return json_pack("{s:b, s:s, s:o}", "ok", true, "agent", ask_words(err), "resources",
			 collect_local(options, resource));
}

static void print_timeline(const json_t *t, uint64_t end, bool current)
{
	uint64_t generation = status_number(t, "generation");
	char when[32];

	printf("  timeline %" PRIu64 " (%.8s): ", generation, status_text(t, "id", "?"));
	if (!generation && !status_number(t, "opener"))
		printf("the beginning, all zeros");
	else
		printf("opened by node %" PRIu64 " at %s, %s after %" PRIu64 " of %.8s",
		       status_number(t, "opener"),
		       say_time(status_number(t, "opened_realtime_ns"), when),
		       status_text(t, "kind", "?"), status_number(t, "fork_seq"),
		       status_text(t, "parent", "?"));
	printf(current ? "; current, at %" PRIu64 "\n" : "; left at %" PRIu64 "\n", end);
}

static void print_log(const json_t *r)
{
	const json_t *timelines = json_object_get(r, "timelines"), *t;
	size_t count = json_array_size(timelines), i;

	printf("%s:\n", status_text(r, "name", "?"));
	if (!count)
		printf("  no timeline%s%s\n", status_text(r, "error", NULL) ? ": " : "",
		       status_text(r, "error", ""));
	json_array_foreach(timelines, i, t) {
		const json_t *next = json_array_get(timelines, i + 1);

		print_timeline(
			t, next ? status_number(next, "fork_seq") : status_number(r, "position"),
			!next);
	}
}

int cmd_log(const struct options *options, const struct command *command)
{
	const char *resource = options->nr_args ? options->args[0] : NULL;
	json_t *answer = collect(options, resource), *r;
	int ret = EXIT_OK;
	size_t i;

	(void)command;
	if (!ask_is_ok(answer)) {
		ret = say_refusal(resource, answer);
	} else if (say_is_json()) {
		say_json(json_incref(answer));
	} else {
		if (status_text(answer, "agent", NULL))
			printf("%s; this is from the disks\n", status_text(answer, "agent", ""));
		json_array_foreach(json_object_get(answer, "resources"), i, r)
			print_log(r);
	}
	json_decref(answer);
	return ret;
}
