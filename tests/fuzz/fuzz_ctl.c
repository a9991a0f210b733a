// SPDX-License-Identifier: GPL-2.0
/*
 * The control socket: lines from a client, answered by a whole agent in
 * memory on a stand-in kernel.  The first byte says in which state the
 * resource is beforehand, the rest is what the client sends.  Every line gets
 * exactly one final answer, each an object in JSON, a failure with its code
 * and words; and whatever was asked, the agent can still be stopped.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "agent/ctl.h"
#include "agent_env.h"
#include "env_kernel.h"
#include "json.h"

enum { MAX_STEPS = 4000, ANSWER_BYTES = 1 << 20 };

#define UP	"{\"cmd\":\"up\",\"resource\":\"pg\"}\n"
#define PROMOTE	"{\"cmd\":\"promote\",\"resource\":\"pg\",\"force\":true}\n"

static const char *const beforehand[] = { "", UP, UP PROMOTE };

static char dir[32] = "/dev/shm/fuzz_ctl.XXXXXX";

static void clean_up(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/control.lock", dir);
	unlink(path);
	rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(mkdtemp(dir));
	atexit(clean_up);
	return 0;
}

/* Lines that ask for something; the last one may lack its newline. */
static unsigned int count_lines(const char *text, size_t bytes)
{
	unsigned int lines = 0;
	bool blank = true;

	for (size_t i = 0; i < bytes; i++) {
		if (text[i] == '\n') {
			lines += !blank;
			blank = true;
		} else if (!memchr(" \t\r", text[i], 3)) {
			blank = false;
		}
	}
	return lines + !blank;
}

struct client {
	struct env_conn *conn;
	size_t have;
	unsigned int finals;
	bool listens;			/* asked for events: what follows is not read */
	char buf[ANSWER_BYTES];
};

static void check_failure(json_t *answer)
{
	const char *code = json_string_value(json_object_get(answer, "code"));
	const char *error = json_string_value(json_object_get(answer, "error"));
	json_t *hint = json_object_get(answer, "hint");

	must(code && code[0] && error && error[0]);
	must(!hint || json_is_string(hint));
}

static void check_answer(struct client *client, const char *line, size_t bytes)
{
	json_t *answer = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
	json_t *ok = json_object_get(answer, "ok");

	must(json_is_object(answer));
	if (ok) {
		client->finals++;
		must(json_is_boolean(ok));
		if (json_is_false(ok))
			check_failure(answer);
	} else {
		must(json_object_get(answer, "progress") ||
		     (client->listens && json_object_get(answer, "event")));
	}
	json_decref(answer);
}

static void read_answers(struct client *client)
{
	size_t got;
	char *end;

	while ((got = env_mem_conn_get(client->conn, client->buf + client->have,
				       sizeof(client->buf) - client->have)))
		client->have += got;
	while ((end = memchr(client->buf, '\n', client->have))) {
		check_answer(client, client->buf, end - client->buf);
		client->have -= end + 1 - client->buf;
		memmove(client->buf, end + 1, client->have);
	}
	must(client->have < sizeof(client->buf));
}

/* Does a line ask for events, so that the rest is not read? */
static bool wants_events(const char *text, size_t bytes)
{
	while (bytes) {
		const char *end = memchr(text, '\n', bytes);
		size_t length = end ? (size_t)(end - text) : bytes;
		json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
		const char *cmd = json_string_value(json_object_get(json, "cmd"));
		bool events = cmd && !strcmp(cmd, "events");

		json_decref(json);
		if (events)
			return true;
		text += length + !!end;
		bytes -= length + !!end;
	}
	return false;
}

static void stopped(void *ctx)
{
	*(bool *)ctx = true;
}

/* Invariant 8: in bounded time, whatever is under way. */
static void wait_for(struct env_mem *mem, const bool *done)
{
	unsigned int steps = 0;

	while (!*done)
		must(env_mem_step(mem) && steps++ < 10 * MAX_STEPS);
}

static void stop(struct env *env, struct agent *agent, struct ctl *ctl, struct client *client)
{
	struct env_mem *mem = agent_env_mem(env);
	bool done = false;

	agent_stop(agent, stopped, &done);
	wait_for(mem, &done);
	done = false;
	ctl_destroy(ctl, stopped, &done);
	wait_for(mem, &done);
	read_answers(client);
}

static void talk(struct env *env, struct client *client, const char *text, size_t bytes)
{
	env_mem_conn_put(client->conn, text, bytes);
	env_mem_conn_shut(client->conn);
	for (unsigned int i = 0; i < MAX_STEPS && !agent_env_closed(env, client->conn); i++) {
		env_mem_step(agent_env_mem(env));
		read_answers(client);
	}
}

static void serve(const char *text, size_t bytes)
{
	struct agent_options options = { .config_dir = dir, .run_dir = dir, .node_name = "alpha" };
	struct env_kernel *ek = env_kernel_create();
	struct kernel kernel = env_kernel_ops(ek);
	struct env *env = agent_env_create();
	struct client *client = calloc(1, sizeof(*client));
	struct agent *agent;
	struct ctl *ctl;
	char error[512];

	must(client && !ctl_create(env, dir, &ctl, error, sizeof(error)));
	must(!agent_start_on(env, &options, ctl, &kernel, agent_env_load, &agent, error,
			     sizeof(error)));
	client->conn = agent_env_connect(env);
	client->listens = wants_events(text, bytes);
	must(client->conn);
	talk(env, client, text, bytes);
	stop(env, agent, ctl, client);
	if (!client->listens)
		must(client->finals == count_lines(text, bytes));
	must(agent_env_closed(env, client->conn));
	free(client);
	env_kernel_destroy(ek);
	agent_env_destroy(env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const char *first;
	size_t length;
	char *text;

	if (!bytes)
		return 0;
	first = beforehand[data[0] % 3];
	length = strlen(first);
	text = malloc(length + bytes);
	must(text);
	memcpy(text, first, length);
	memcpy(text + length, data + 1, bytes - 1);
	serve(text, length + bytes - 1);
	free(text);
	return 0;
}

/* One line of several, as JSON. */
static size_t mutate_line(uint8_t *text, size_t bytes, size_t max, struct fuzz_random *random)
{
	static uint8_t line[65536];
	size_t start = fuzz_random_below(random, bytes + 1), end, made;

	while (start && text[start - 1] != '\n')
		start--;
	for (end = start; end < bytes && text[end] != '\n'; end++)
		;
	if (end - start > sizeof(line) || max > sizeof(line))
		return 0;
	memcpy(line, text + start, end - start);
	made = fuzz_mutate_json(line, end - start, max - (bytes - (end - start)), random);
	if (!made)
		return 0;
	memmove(text + start + made, text + end, bytes - end);
	memcpy(text + start, line, made);
	return bytes - (end - start) + made;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max, unsigned int seed)
{
	struct fuzz_random random = { seed };
	size_t made = 0;

	if (bytes && fuzz_random_below(&random, 3))
		made = mutate_line(data + 1, bytes - 1, max - 1, &random);
	return made ? made + 1 : LLVMFuzzerMutate(data, bytes, max);
}
