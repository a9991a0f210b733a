// SPDX-License-Identifier: GPL-2.0
/*
 * Two or three agents in one process, on the real event loop and loopback
 * TCP, with files for disks and a stand-in kernel each.  What is checked are
 * the flows between them: promotion, demotion, lost peers, restarts,
 * refusals; frames really flow, and content is compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "agent/conf.h"
#include "agent/ctl.h"
#include "agent/loop.h"
#include "env_kernel.h"
#include "kselftest_harness.h"

#define ID	"0123456789abcdef0123456789abcdef"
#define KEY	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY2	"ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

enum {
	MIB = 1 << 20,
	VOLUME_BYTES = 4 * MIB,
	MAX_AGENTS = 3,
	WAIT_MS = 15000,
};

static const char *const names[MAX_AGENTS] = { "alpha", "beta", "gamma" };

/* --- a control socket without a socket -------------------------------------- */

struct ctl {
	const struct ctl_command *table;
	void *ctx;
	char events[16384];
};

struct answer {
	struct ctl_request req;
	bool done, ok;
	char code[32], error[512], hint[512];
	json_t *object;
};

void ctl_set_commands(struct ctl *ctl, const struct ctl_command *table, void *ctx)
{
	ctl->table = table;
	ctl->ctx = ctx;
}

void ctl_progress(struct ctl_request *req, int percent, const char *fmt, ...)
{
	(void)req;
	(void)percent;
	(void)fmt;
}

void ctl_reply(struct ctl_request *req, json_t *object)
{
	struct answer *answer = (struct answer *)req;

	answer->done = answer->ok = true;
	answer->object = object;
}

void ctl_fail(struct ctl_request *req, const char *code, const char *hint, const char *fmt, ...)
{
	struct answer *answer = (struct answer *)req;
	va_list args;

	answer->done = true;
	snprintf(answer->code, sizeof(answer->code), "%s", code);
	snprintf(answer->hint, sizeof(answer->hint), "%s", hint ? hint : "");
	va_start(args, fmt);
	vsnprintf(answer->error, sizeof(answer->error), fmt, args);
	va_end(args);
}

void ctl_event(struct ctl *ctl, const char *resource, const char *event, const char *peer,
	       const char *fmt, ...)
{
	size_t used = strlen(ctl->events);
	va_list args;

	(void)resource;
	if (used > sizeof(ctl->events) / 2)
		used = 0;
	used += snprintf(ctl->events + used, sizeof(ctl->events) - used, "%s/%s: ", event,
			 peer ? peer : "");
	va_start(args, fmt);
	used += vsnprintf(ctl->events + used, sizeof(ctl->events) - used, fmt, args);
	va_end(args);
	snprintf(ctl->events + used, sizeof(ctl->events) - used, "\n");
}

/* --- the cluster --------------------------------------------------------------- */

struct member {
	struct agent *agent;
	struct ctl ctl;
	struct env_kernel *kernel;
	char conf_dir[128], dir[128];
	struct agent_options options;
};

struct cluster {
	char dir[64];
	struct loop *loop;
	struct env *env;
	struct member members[MAX_AGENTS];
	unsigned int nr;
	unsigned int port;
};

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	chmod(path, 0600);
}

static void write_conf(struct cluster *c, unsigned int i, const char *key, const char *extra)
{
	char text[4096], path[256];
	size_t used = snprintf(text, sizeof(text),
			       "id = \"" ID "\"\nkey = \"%s\"\n%s\ntimeout = \"2s\"\n"
			       "log-size = \"32MiB\"\nsegment-size = \"8MiB\"\nunapplied = \"8MiB\"\n"
			       "volume 0 { minor = 0 }\n", key, extra);

	for (unsigned int n = 0; n < c->nr; n++)
		used += snprintf(text + used, sizeof(text) - used,
				 "node %s {\n id = %u\n address = \"127.0.0.1:%u\"\n log = \"%s/%s/log\"\n"
				 " volume 0 { device = \"%s/%s/disk\" }\n}\n", names[n], n + 1,
				 c->port + n, c->dir, names[n], c->dir, names[n]);
	snprintf(path, sizeof(path), "%s/pg.conf", c->members[i].conf_dir);
	write_file(path, text);
}

static void make_file(const char *path, off_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	if (fd < 0 || ftruncate(fd, bytes))
		abort();
	close(fd);
}

/* What "reprise create" does. */
static void create_disk(struct cluster *c, unsigned int i, enum reprise_store_state state)
{
	struct member *m = &c->members[i];
	uint64_t device = VOLUME_BYTES + REPRISE_META_AREA_BYTES;
	struct meta_volume volume = { .size_sectors = VOLUME_BYTES / 512,
				      .device_sectors = device / 512 };
	struct meta meta = { .state = state, .node = i + 1, .nr_volumes = 1,
			     .durability = REPRISE_DURABILITY_WRITE,
			     .on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE,
			     .logical_block_bytes = 512,
			     .nr_timelines = state != REPRISE_STORE_BLANK };
	char path[256], *record = aligned_alloc(4096, REPRISE_META_RECORD_BYTES);
	int fd;

	for (unsigned int b = 0; b < 16; b++)
		sscanf(ID + 2 * b, "%2hhx", &meta.resource_id[b]);
	memset(meta.log_id, i + 1, sizeof(meta.log_id));
	strcpy(meta.resource_name, "pg");
	strcpy(meta.node_name, names[i]);
	snprintf(path, sizeof(path), "%s/disk", m->dir);
	make_file(path, device);
	fd = open(path, O_RDWR);
	for (meta.number = 0; meta.number < 2; meta.number++) {
		meta_encode(&meta, &volume, record);
		if (pwrite(fd, record, REPRISE_META_RECORD_BYTES,
			   meta_copy_offset(device, meta.number)) < 0)
			abort();
	}
	close(fd);
	free(record);
	snprintf(path, sizeof(path), "%s/log", m->dir);
	mkdir(path, 0700);
	for (unsigned int s = 0; s < 4; s++) {
		snprintf(path, sizeof(path), "%s/log/segment.%04u", m->dir, s);
		make_file(path, 8 * MIB);
	}
}

static void agent_begin(struct cluster *c, unsigned int i)
{
	struct member *m = &c->members[i];
	struct kernel kernel = env_kernel_ops(m->kernel);
	char error[256];

	m->options = (struct agent_options){ .config_dir = m->conf_dir, .node_name = names[i] };
	if (agent_start_on(c->env, &m->options, &m->ctl, &kernel, &m->agent, error,
			   sizeof(error)))
		abort();
}

static void cluster_init(struct cluster *c, unsigned int nr)
{
	char error[256];

	memset(c, 0, sizeof(*c));
	strcpy(c->dir, "/tmp/test_node.XXXXXX");
	if (!mkdtemp(c->dir))
		abort();
	c->nr = nr;
	c->port = 20000 + getpid() % 20000;
	if (loop_create(&c->loop, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		abort();
	}
	c->env = loop_env(c->loop);
	for (unsigned int i = 0; i < nr; i++) {
		struct member *m = &c->members[i];

		snprintf(m->dir, sizeof(m->dir), "%s/%s", c->dir, names[i]);
		snprintf(m->conf_dir, sizeof(m->conf_dir), "%s/%s/conf", c->dir, names[i]);
		mkdir(m->dir, 0700);
		mkdir(m->conf_dir, 0700);
		write_conf(c, i, KEY, "");
		create_disk(c, i, REPRISE_STORE_CLEAN);
		m->kernel = env_kernel_create();
		agent_begin(c, i);
	}
}

static void stopped(void *ctx)
{
	*(bool *)ctx = true;
}

static void kernel_event(void *ctx, const struct nl_event *event)
{
	struct member *m = ctx;

	if (m->agent)
		agent_kernel_event(m->agent, event);
}

static void rounds(struct cluster *c)
{
	loop_round(c->loop);
	for (unsigned int i = 0; i < c->nr; i++)
		env_kernel_poll(c->members[i].kernel, kernel_event, &c->members[i]);
}

static void agent_end(struct cluster *c, unsigned int i)
{
	struct member *m = &c->members[i];
	struct agent *agent = m->agent;
	bool done = false;

	m->agent = NULL;
	agent_stop(agent, stopped, &done);
	while (!done)
		rounds(c);
}

static void cluster_exit(struct cluster *c)
{
	char command[128];

	for (unsigned int i = 0; i < c->nr; i++) {
		if (c->members[i].agent)
			agent_end(c, i);
	}
	for (unsigned int i = 0; i < c->nr; i++)
		env_kernel_destroy(c->members[i].kernel);
	loop_destroy(c->loop);
	snprintf(command, sizeof(command), "rm -rf %s", c->dir);
	if (system(command))
		abort();
}

static uint64_t now_ms(struct cluster *c)
{
	return env_monotonic_ns(c->env) / 1000000;
}

static void start(struct cluster *c, struct answer *answer, unsigned int i, const char *cmd,
		  bool force)
{
	struct member *m = &c->members[i];
	const struct ctl_command *command = m->ctl.table;

	memset(answer, 0, sizeof(*answer));
	answer->req.cmd = cmd;
	answer->req.resource = "pg";
	answer->req.force = force;
	while (strcmp(command->name, cmd))
		command++;
	command->handler(m->ctl.ctx, &answer->req);
}

static void finish(struct cluster *c, struct answer *answer)
{
	uint64_t limit = now_ms(c) + 60000;

	while (!answer->done && now_ms(c) < limit)
		rounds(c);
	if (!answer->done)
		abort();
	json_decref(answer->object);
	answer->object = NULL;
}

static struct answer run(struct cluster *c, unsigned int i, const char *cmd, bool force)
{
	struct answer answer;

	start(c, &answer, i, cmd, force);
	finish(c, &answer);
	if (!answer.ok)
		printf("# %s %s: %s: %s (%s)\n", names[i], cmd, answer.code, answer.error,
		       answer.hint);
	return answer;
}

/* "peers[<peer>].<key>", or of the resource where @peer is NULL. */
static void status(struct cluster *c, unsigned int i, const char *peer, const char *key,
		   char *text, size_t bytes)
{
	struct answer answer;
	json_t *res, *entry;
	size_t index;

	text[0] = '\0';
	start(c, &answer, i, "status", false);
	res = json_array_get(json_object_get(answer.object, "resources"), 0);
	if (peer) {
		json_array_foreach(json_object_get(res, "peers"), index, entry) {
			if (!strcmp(json_string_value(json_object_get(entry, "name")), peer))
				snprintf(text, bytes, "%s",
					 json_string_value(json_object_get(entry, key)));
		}
	} else if (json_is_string(json_object_get(res, key))) {
		snprintf(text, bytes, "%s", json_string_value(json_object_get(res, key)));
	} else {
		snprintf(text, bytes, "%lld",
			 (long long)json_integer_value(json_object_get(res, key)));
	}
	json_decref(answer.object);
}

static bool wait_status(struct cluster *c, unsigned int i, const char *peer, const char *key,
			const char *want)
{
	uint64_t limit = now_ms(c) + WAIT_MS;
	char text[512];

	do {
		status(c, i, peer, key, text, sizeof(text));
		if (strstr(text, want))
			return true;
		rounds(c);
	} while (now_ms(c) < limit);
	printf("# %s: %s of %s is \"%s\", not \"%s\"\n%s", names[i], key, peer ? peer : "it",
	       text, want, c->members[i].ctl.events);
	return false;
}

static bool wait_synced(struct cluster *c, unsigned int i)
{
	uint64_t limit = now_ms(c) + WAIT_MS;

	while (!env_kernel_synced(c->members[i].kernel) && now_ms(c) < limit)
		rounds(c);
	return env_kernel_synced(c->members[i].kernel);
}

static bool all_up(struct cluster *c)
{
	for (unsigned int i = 0; i < c->nr; i++) {
		if (!run(c, i, "up", false).ok)
			return false;
	}
	for (unsigned int i = 0; i < c->nr; i++) {
		for (unsigned int j = 0; j < c->nr; j++) {
			if (i != j && !wait_status(c, i, names[j], "replication", "in sync"))
				return false;
		}
	}
	return true;
}

static bool same_content(struct cluster *c, unsigned int a, unsigned int b)
{
	char path[2][256], *data[2];
	bool same;

	for (unsigned int i = 0; i < 2; i++) {
		int fd;

		snprintf(path[i], sizeof(path[i]), "%s/disk", c->members[i ? b : a].dir);
		fd = open(path[i], O_RDONLY);
		data[i] = malloc(VOLUME_BYTES);
		if (read(fd, data[i], VOLUME_BYTES) != VOLUME_BYTES)
			abort();
		close(fd);
	}
	same = !memcmp(data[0], data[1], VOLUME_BYTES);
	free(data[0]);
	free(data[1]);
	return same;
}

FIXTURE(two) {
	struct cluster c;
};

FIXTURE_SETUP(two)
{
	cluster_init(&self->c, 2);
}

FIXTURE_TEARDOWN(two)
{
	cluster_exit(&self->c);
}

/* --- the flows -------------------------------------------------------------------- */

TEST_F(two, first_promotion_mirrors_from_the_first_write)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	EXPECT_EQ(1, env_kernel_attached(c->members[0].kernel));
	EXPECT_FALSE(env_kernel_state(c->members[0].kernel)->frozen);
	for (unsigned int i = 0; i < 50; i++)
		ASSERT_EQ(0, env_kernel_write(c->members[0].kernel, i, i + 1));
	EXPECT_TRUE(wait_synced(c, 0));
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "mirroring"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "mirroring"));
	EXPECT_TRUE(wait_status(c, 1, NULL, "durable", "50"));
	EXPECT_TRUE(wait_status(c, 0, NULL, "health", "ok"));
	EXPECT_TRUE(run(c, 0, "demote", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "role", "secondary"));
	EXPECT_TRUE(run(c, 0, "down", false).ok);
	EXPECT_TRUE(run(c, 1, "down", false).ok);
	EXPECT_TRUE(same_content(c, 0, 1));
}

TEST_F(two, twenty_switchovers_need_no_resync)
{
	struct cluster *c = &self->c;
	unsigned int sector = 0;

	ASSERT_TRUE(all_up(c));
	for (unsigned int round = 0; round < 20; round++) {
		unsigned int p = round & 1;

		ASSERT_TRUE(run(c, p, "promote", false).ok);
		ASSERT_EQ(1, env_kernel_attached(c->members[p].kernel));
		for (unsigned int i = 0; i < round % 3; i++)
			ASSERT_EQ(0, env_kernel_write(c->members[p].kernel, sector++, round + 1));
		ASSERT_TRUE(run(c, p, "demote", false).ok);
	}
	EXPECT_EQ(10, env_kernel_starts(c->members[1].kernel));
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "in sync"));
	EXPECT_TRUE(run(c, 0, "down", false).ok);
	EXPECT_TRUE(run(c, 1, "down", false).ok);
	EXPECT_TRUE(same_content(c, 0, 1));
}

TEST_HARNESS_MAIN
