// SPDX-License-Identifier: GPL-2.0
/*
 * Status in words: first what matters, then what explains it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "say.h"
#include "status.h"

const char *status_text(const json_t *object, const char *name, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text && text[0] ? text : otherwise;
}

uint64_t status_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void print_volume(const json_t *v)
{
	const char *device = status_text(v, "device", NULL);
	const char *backing = status_text(v, "backing", NULL);
	uint64_t errors = status_number(v, "io_errors");
	uint64_t openers = status_number(v, "openers");
	char size[24];

	printf("  volume %" PRIu64 ": %s", status_number(v, "number"),
	       device ? device : "no device while secondary");
	if (json_object_get(v, "size_bytes"))
		printf(", %s", say_size(status_number(v, "size_bytes"), size));
	if (backing)
		printf(", on %s", backing);
	if (device)
		printf(", %s", openers ? "in use" : "not in use");
	if (errors)
		printf(", %" PRIu64 " I/O ERRORS", errors);
	printf("\n");
	if (status_text(v, "text", NULL))
		printf("      %s\n", status_text(v, "text", ""));
}

static void print_peer(const json_t *p)
{
	const char *text = status_text(p, "text", NULL);
	const char *role = status_text(p, "role", "unknown");
	const char *replication = status_text(p, "replication", "none");
	uint64_t dirty = status_number(p, "dirty_blocks");
	char size[24];

	printf("  peer %s: %s, %s%s, %s%s", status_text(p, "name", "?"),
	       status_text(p, "connection", "unknown"), strcmp(role, "unknown") ? "" : "role ",
	       role, strcmp(replication, "none") ? "" : "replication ", replication);
	if (dirty)
		printf(", lacks %s", say_size(dirty * 4096, size));
	printf("\n");
	if (text)
		printf("      %s\n", text);
}

static void print_position(const json_t *r)
{
	static const struct {
		const char *name, *words;
	} marks[] = {
		{ "seq", "written" },	    { "commit", "committed" }, { "flushed", "flushed" },
		{ "received", "received" }, { "durable", "durable" },  { "applied", "applied" },
	};
	const json_t *timeline = json_object_get(r, "timeline");
	bool first = true;

	if (timeline)
		printf("  timeline %" PRIu64 " (%.8s)", status_number(timeline, "generation"),
		       status_text(timeline, "id", "?"));
	else
		printf("  no timeline");
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (!json_object_get(r, marks[i].name))
			continue;
		printf("%s %s %" PRIu64, first ? ":" : ",", marks[i].words,
		       status_number(r, marks[i].name));
		first = false;
	}
	printf("\n");
}

static void print_log(const json_t *r)
{
	const json_t *log = json_object_get(r, "log");
	char used[24], all[24];

	if (log && status_number(log, "bytes"))
		printf("  log: %s of %s in use\n", say_size(status_number(log, "used_bytes"), used),
		       say_size(status_number(log, "bytes"), all));
}

/* The agent knows what to do, and says so; the kernel does not. */
static void print_frozen(const json_t *r)
{
	if (status_text(r, "source", NULL))
		printf("  I/O IS FROZEN; to go on: reprise resume %s\n", status_text(r, "name", ""));
	else
		printf("  I/O IS FROZEN\n");
}

static void print_resource(const json_t *r)
{
	const json_t *item;
	size_t i;

	printf("%s: %s, %s\n", status_text(r, "name", "?"), status_text(r, "role", "unknown"),
	       status_text(r, "health", "unknown"));
	if (status_text(r, "health_text", NULL))
		printf("  %s\n", status_text(r, "health_text", ""));
	if (json_is_true(json_object_get(r, "frozen")))
		print_frozen(r);
	printf("  store: %s", status_text(r, "state", "unknown"));
	if (status_text(r, "state_text", NULL))
		printf(" (%s)", status_text(r, "state_text", ""));
	printf("\n");
	if (status_text(r, "durability", NULL))
		printf("  durability %s, on loss of a peer: %s\n",
		       status_text(r, "durability", "?"), status_text(r, "on_peer_loss", "?"));
	print_position(r);
	print_log(r);
	json_array_foreach(json_object_get(r, "volumes"), i, item)
		print_volume(item);
	json_array_foreach(json_object_get(r, "peers"), i, item)
		print_peer(item);
}

void status_print(const json_t *status)
{
	const json_t *resources = json_object_get(status, "resources"), *r;
	const char *agent = status_text(status, "agent", "running");
	size_t i;

	printf("node %s: ", status_text(status, "node", "?"));
	if (!strcmp(agent, "running"))
		printf("agent %s\n", status_text(status, "version", "running"));
	else
		printf("%s; this is from the kernel and the disks\n", agent);
	if (!json_array_size(resources))
		printf("no resource\n");
	json_array_foreach(resources, i, r) {
		printf("\n");
		print_resource(r);
	}
}

enum { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

static int severity(const json_t *r)
{
	const char *health = status_text(r, "health", "");

	if (!strcmp(health, "ok"))
		return CHECK_OK;
	if (!strcmp(health, "degraded"))
		return CHECK_WARNING;
	return strcmp(health, "failed") ? CHECK_UNKNOWN : CHECK_CRITICAL;
}

/* Critical beats unknown beats warning. */
static int worse(int a, int b)
{
	static const int rank[] = { 0, 1, 3, 2 };

	return rank[a] >= rank[b] ? a : b;
}

int status_check(const json_t *status)
{
	static const char *const words[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };
	const json_t *resources = json_object_get(status, "resources"), *r;
	int code = json_array_size(resources) ? CHECK_OK : CHECK_UNKNOWN;
	size_t i;

	if (!json_is_true(json_object_get(status, "ok"))) {
		printf("REPRISE UNKNOWN - %s\n", status_text(status, "error", "no answer"));
		return CHECK_UNKNOWN;
	}
	json_array_foreach(resources, i, r)
		code = worse(code, severity(r));
	printf("REPRISE %s -", words[code]);
	json_array_foreach(resources, i, r) {
		printf("%s %s %s", i ? ";" : "", status_text(r, "name", "?"),
		       status_text(r, "role", "unknown"));
		if (severity(r) != CHECK_OK)
			printf(": %s", status_text(r, "health_text", "state unknown"));
	}
	printf("%s\n", i ? "" : " no resource");
	return code;
}
