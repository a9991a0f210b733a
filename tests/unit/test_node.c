// SPDX-License-Identifier: GPL-2.0
/*
 * Two or three agents in one process, on the real event loop and loopback
 * TCP, with files for disks and a stand-in kernel each.  What is checked are
 * the flows between them: promotion, demotion, lost peers, restarts,
 * refusals; frames really flow, and content is compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

/* An answer, and the connection to a control socket that it comes over. */
struct answer {
	int fd;
	bool ok;
	char code[32], error[512], hint[512];
	json_t *object;		/* the final line, when it has come */
	char line[65536];
	size_t have;
};

/* --- the cluster --------------------------------------------------------------- */

struct member {
	struct agent *agent;
	struct ctl *ctl;
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

	for (unsigned int n = 0; n < 2; n++)
		used += snprintf(text + used, sizeof(text) - used,
				 "node %s {\n id = %u\n address = \"127.0.0.1:%u\"\n log = \"%s/%s/log\"\n"
				 " volume 0 { device = \"%s/%s/disk\" }\n}\n", names[n], n + 1,
				 c->port + n, c->dir, names[n], c->dir, names[n]);
	snprintf(path, sizeof(path), "%s/pg.conf", c->members[i].conf_dir);
	write_file(path, text);
}

/*
 * A file describes two nodes in this version, the agents can do with more.
 * The paths are right for the third itself; nobody else looks at them.
 */
static int load_three(const char *path, struct conf *conf, char *error, size_t bytes)
{
	int err = conf_load(path, conf, error, bytes);
	int dir = strstr(path, "/conf/") - path;
	struct conf_node *third = &conf->nodes[2];
	struct sockaddr_in *addr = (struct sockaddr_in *)&third->addr;

	if (err)
		return err;
	*third = conf->nodes[1];
	conf->nr_nodes = third->id = 3;
	strcpy(third->name, names[2]);
	addr->sin_port = htons(ntohs(addr->sin_port) + 1);
	snprintf(third->address, sizeof(third->address), "127.0.0.1:%u", ntohs(addr->sin_port));
	snprintf(third->log, sizeof(third->log), "%.*s/log", dir, path);
	snprintf(third->volumes[0].device, sizeof(third->volumes[0].device), "%.*s/disk", dir,
		 path);
	return 0;
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

	if (ctl_create(c->env, m->dir, &m->ctl, error, sizeof(error)))
		abort();
	m->options = (struct agent_options){ .config_dir = m->conf_dir, .node_name = names[i] };
	if (agent_start_on(c->env, &m->options, m->ctl, &kernel,
			   c->nr == 3 ? load_three : conf_load, &m->agent, error, sizeof(error)))
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
	c->port = 20000 + getpid() % 1500 * 8;	/* its own, and below the ephemeral ones */
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
	done = false;
	ctl_destroy(m->ctl, stopped, &done);
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
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char line[128];

	memset(answer, 0, sizeof(*answer));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control.sock", c->members[i].dir);
	answer->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(answer->fd, (struct sockaddr *)&addr, sizeof(addr)))
		abort();
	snprintf(line, sizeof(line), "{\"cmd\":\"%s\",\"resource\":\"pg\",\"force\":%s}\n", cmd,
		 force ? "true" : "false");
	if (send(answer->fd, line, strlen(line), 0) != (ssize_t)strlen(line))
		abort();
}

/* Takes the lines that are complete; the final one says "ok". */
static void read_lines(struct answer *answer)
{
	char *end;

	while (!answer->object && (end = memchr(answer->line, '\n', answer->have))) {
		json_t *json = json_loadb(answer->line, end - answer->line, 0, NULL);

		answer->have -= end + 1 - answer->line;
		memmove(answer->line, end + 1, answer->have);
		if (json_object_get(json, "ok"))
			answer->object = json;
		else
			json_decref(json);
	}
}

static void copy_text(const struct answer *answer, const char *key, char *text, size_t bytes)
{
	const char *value = json_string_value(json_object_get(answer->object, key));

	snprintf(text, bytes, "%s", value ? value : "");
}

/* The object stays the caller's to release. */
static void finish(struct cluster *c, struct answer *answer)
{
	uint64_t limit = now_ms(c) + 60000;

	while (!answer->object && now_ms(c) < limit) {
		ssize_t got = recv(answer->fd, answer->line + answer->have,
				   sizeof(answer->line) - answer->have, MSG_DONTWAIT);

		if (got > 0)
			answer->have += got;
		else
			rounds(c);
		read_lines(answer);
	}
	if (!answer->object)
		abort();
	close(answer->fd);
	answer->ok = json_is_true(json_object_get(answer->object, "ok"));
	copy_text(answer, "code", answer->code, sizeof(answer->code));
	copy_text(answer, "error", answer->error, sizeof(answer->error));
	copy_text(answer, "hint", answer->hint, sizeof(answer->hint));
}

static struct answer run(struct cluster *c, unsigned int i, const char *cmd, bool force)
{
	struct answer answer;

	start(c, &answer, i, cmd, force);
	finish(c, &answer);
	json_decref(answer.object);
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
	finish(c, &answer);
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
		/* "disconnected" is not "connected" */
		if (strcmp(key, "connection") ? strstr(text, want) != NULL : !strcmp(text, want))
			return true;
		rounds(c);
	} while (now_ms(c) < limit);
	printf("# %s: %s of %s is \"%s\", not \"%s\"\n", names[i], key, peer ? peer : "it",
	       text, want);
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
	EXPECT_TRUE(wait_status(c, 0, NULL, "state_text", "in use as primary"));
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


/* --- losing and coming back ---------------------------------------------------------- */

static void write_some(struct cluster *c, unsigned int i, unsigned int first, unsigned int nr)
{
	for (unsigned int n = 0; n < nr; n++) {
		if (env_kernel_write(c->members[i].kernel, first + n, first + n + 1))
			abort();
	}
}

TEST_F(two, replica_agent_restarts_while_idle)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 7);
	ASSERT_TRUE(wait_synced(c, 0));
	agent_end(c, 1);
	EXPECT_TRUE(wait_status(c, 0, "beta", "connection", "disconnected"));
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	agent_begin(c, 1);
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "mirroring"));
	write_some(c, 0, 7, 7);
	EXPECT_TRUE(wait_synced(c, 0));
	EXPECT_TRUE(run(c, 0, "demote", false).ok);
	EXPECT_TRUE(run(c, 1, "promote", false).ok);
}

TEST_F(two, replica_that_missed_writes_needs_a_resync)
{
	struct cluster *c = &self->c;
	struct answer answer;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 3);
	ASSERT_TRUE(wait_synced(c, 0));
	agent_end(c, 1);
	ASSERT_TRUE(wait_status(c, 0, "beta", "replication", "none"));
	write_some(c, 0, 3, 3);
	EXPECT_TRUE(wait_status(c, 0, "beta", "text", "beta lacks what was written since"));
	agent_begin(c, 1);
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "resync needed"));
	EXPECT_TRUE(wait_status(c, 0, "beta", "text", "lacks writes"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "text", "lacks writes"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "resync needed"));
	EXPECT_TRUE(wait_status(c, 0, NULL, "health", "degraded"));
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	/* the stale copy is not promoted in its place, not even after the demotion */
	ASSERT_TRUE(run(c, 0, "demote", false).ok);
	answer = run(c, 1, "promote", false);
	EXPECT_FALSE(answer.ok);
	EXPECT_STREQ("resync-needed", answer.code);
	EXPECT_TRUE(run(c, 0, "promote", false).ok);
}

TEST_F(two, primary_agent_restarts_and_adopts)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	agent_end(c, 0);
	write_some(c, 0, 5, 5);
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "mirroring"));
	agent_begin(c, 0);
	EXPECT_TRUE(wait_status(c, 0, NULL, "role", "primary"));
	EXPECT_TRUE(wait_status(c, 0, "beta", "connection", "connected"));
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "mirroring"));
	write_some(c, 0, 10, 5);
	EXPECT_TRUE(wait_synced(c, 0));
	ASSERT_TRUE(run(c, 0, "demote", false).ok);
	ASSERT_TRUE(run(c, 1, "promote", false).ok);
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "mirroring"));
	write_some(c, 1, 15, 5);
	EXPECT_TRUE(wait_synced(c, 1));
	ASSERT_TRUE(run(c, 1, "demote", false).ok);
	EXPECT_TRUE(run(c, 0, "down", false).ok);
	EXPECT_TRUE(run(c, 1, "down", false).ok);
	EXPECT_TRUE(same_content(c, 0, 1));
}

/* Its machine is gone: no end of the connection comes, and no frame. */
TEST_F(two, silent_primary_is_not_called_mirroring)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(wait_synced(c, 0));
	agent_end(c, 0);
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "mirroring"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "none"));
	EXPECT_TRUE(wait_status(c, 1, NULL, "health", "degraded"));
}

/* Alpha is primary, has written, and its machine dies; then it is up again, in contact. */
static bool crash_and_return(struct cluster *c)
{
	if (!all_up(c) || !run(c, 0, "promote", false).ok)
		return false;
	write_some(c, 0, 0, 5);
	if (!wait_synced(c, 0))
		return false;
	agent_end(c, 0);
	env_kernel_crash(c->members[0].kernel);
	agent_begin(c, 0);
	return run(c, 0, "up", false).ok && wait_status(c, 0, NULL, "state", "unclean") &&
	       wait_status(c, 0, NULL, "role", "secondary") &&
	       wait_status(c, 0, "beta", "connection", "connected") &&
	       wait_status(c, 1, "alpha", "connection", "connected");
}

TEST_F(two, out_of_contact_with_a_crashed_primary)
{
	struct cluster *c = &self->c;
	struct answer answer;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	agent_end(c, 0);
	env_kernel_crash(c->members[0].kernel);
	answer = run(c, 1, "promote", false);
	EXPECT_FALSE(answer.ok);
	EXPECT_STREQ("no-contact", answer.code);
	EXPECT_NE(NULL, strstr(answer.hint, "--force"));
}

TEST_F(two, crashed_primary_is_promoted_again)
{
	struct cluster *c = &self->c;
	struct answer answer;

	ASSERT_TRUE(crash_and_return(c));
	answer = run(c, 0, "promote", false);
	EXPECT_STREQ("unsafe", answer.code);
	EXPECT_NE(NULL, strstr(answer.hint, "promote it there"));
	EXPECT_TRUE(wait_status(c, 0, NULL, "state", "unclean"));
	EXPECT_TRUE(wait_status(c, 0, NULL, "state_text", "was not demoted"));
	ASSERT_TRUE(run(c, 0, "promote", true).ok);
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "resync needed"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "resync needed"));
}

TEST_F(two, crashed_primary_is_left_behind)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(crash_and_return(c));
	EXPECT_STREQ("unsafe", run(c, 1, "promote", false).code);
	ASSERT_TRUE(run(c, 1, "promote", true).ok);
	write_some(c, 1, 5, 5);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "resync needed"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "resync needed"));
	/* decided once: nobody is asked again, and the old one does not go on past it */
	ASSERT_TRUE(run(c, 1, "demote", false).ok);
	EXPECT_STREQ("resync-needed", run(c, 0, "promote", false).code);
	EXPECT_TRUE(run(c, 1, "promote", false).ok);
}

TEST_F(two, primary_that_went_on_alone_is_not_left_behind_silently)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	agent_end(c, 1);
	ASSERT_TRUE(wait_status(c, 0, "beta", "connection", "disconnected"));
	write_some(c, 0, 0, 5);
	agent_end(c, 0);
	env_kernel_crash(c->members[0].kernel);
	agent_begin(c, 0);
	agent_begin(c, 1);
	ASSERT_TRUE(run(c, 0, "up", false).ok);
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	ASSERT_TRUE(wait_status(c, 1, "alpha", "connection", "connected"));
	EXPECT_STREQ("unsafe", run(c, 1, "promote", false).code);
	EXPECT_TRUE(wait_status(c, 1, NULL, "role", "secondary"));
	EXPECT_TRUE(run(c, 0, "promote", true).ok);
}

/* As "reprise down --force" does without an agent, or a module that fails. */
TEST_F(two, primary_that_the_kernel_let_go_counts_as_crashed)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	env_kernel_crash(c->members[0].kernel);
	EXPECT_TRUE(wait_status(c, 0, NULL, "health", "failed"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "role", "secondary"));
	EXPECT_STREQ("unsafe", run(c, 1, "promote", false).code);
	EXPECT_TRUE(run(c, 0, "down", false).ok);
	EXPECT_TRUE(run(c, 0, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "state", "unclean"));
}

TEST_F(two, crashed_primary_in_async_goes_on)
{
	struct cluster *c = &self->c;

	write_conf(c, 0, KEY, "durability = async");
	write_conf(c, 1, KEY, "durability = async");
	ASSERT_TRUE(crash_and_return(c));
	EXPECT_STREQ("resync-needed", run(c, 1, "promote", false).code);
	EXPECT_TRUE(run(c, 0, "promote", false).ok);
}

/* The mode that it wrote in decides, not the one that it is configured with afterwards. */
TEST_F(two, crash_is_judged_by_the_mode_of_the_time)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(crash_and_return(c));
	write_conf(c, 0, KEY, "durability = async");
	write_conf(c, 1, KEY, "durability = async");
	ASSERT_TRUE(run(c, 0, "reload", false).ok);
	ASSERT_TRUE(run(c, 1, "reload", false).ok);
	ASSERT_TRUE(wait_status(c, 0, "beta", "connection", "connected"));
	EXPECT_STREQ("unsafe", run(c, 0, "promote", false).code);
}

TEST_F(two, crashed_primary_finds_its_peer_promoted)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(wait_synced(c, 0));
	agent_end(c, 0);
	env_kernel_crash(c->members[0].kernel);
	ASSERT_TRUE(run(c, 1, "promote", true).ok);
	write_some(c, 1, 5, 5);
	agent_begin(c, 0);
	ASSERT_TRUE(run(c, 0, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "resync needed"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "resync needed"));
	EXPECT_FALSE(run(c, 0, "promote", true).ok);
}

TEST_F(two, promotion_without_contact)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(run(c, 0, "up", false).ok);
	EXPECT_STREQ("no-contact", run(c, 0, "promote", false).code);
	ASSERT_TRUE(run(c, 0, "promote", true).ok);
	/* nothing written yet: the peer that comes follows, and is mirrored to */
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "mirroring"));
	write_some(c, 0, 0, 5);
	EXPECT_TRUE(wait_synced(c, 0));
}

TEST_F(two, both_forced_is_split_brain_and_the_idle_one_freezes)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(run(c, 0, "up", false).ok);
	ASSERT_TRUE(run(c, 0, "promote", true).ok);
	agent_end(c, 0);
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	ASSERT_TRUE(run(c, 1, "promote", true).ok);
	write_some(c, 0, 0, 5);
	write_some(c, 1, 5, 5);
	agent_begin(c, 0);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "split brain"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "split brain"));
	EXPECT_TRUE(wait_status(c, 1, NULL, "health", "failed"));
}

TEST_F(two, deposed_idle_primary_freezes)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(wait_synced(c, 0));
	agent_end(c, 0);
	ASSERT_TRUE(wait_status(c, 1, "alpha", "connection", "disconnected"));
	ASSERT_TRUE(run(c, 1, "promote", true).ok);
	agent_begin(c, 0);
	EXPECT_TRUE(wait_status(c, 0, NULL, "health_text", "reprise demote pg --force"));
	EXPECT_TRUE(env_kernel_state(c->members[0].kernel)->frozen);
	EXPECT_STREQ("unsafe", run(c, 0, "resume", false).code);
	/* the one that deposed it does as its administrator says */
	EXPECT_TRUE(run(c, 1, "freeze", false).ok);
	EXPECT_TRUE(run(c, 1, "resume", false).ok);
	EXPECT_STREQ("unsafe", run(c, 0, "demote", false).code);
	ASSERT_TRUE(run(c, 0, "demote", true).ok);
	/* it stands where the new timeline began, and follows */
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "mirroring"));
}

/* Its disk failed writes: the copy is not clean, but the peer has everything. */
TEST_F(two, primary_whose_writes_failed_does_not_count_as_clean)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(wait_synced(c, 0));
	env_kernel_set_write_errors(c->members[0].kernel, 1);
	ASSERT_TRUE(run(c, 0, "demote", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "state", "lost"));
	EXPECT_TRUE(wait_status(c, 0, NULL, "health_text", "writes failed"));
	/* that stays, also when agents and connections come back */
	agent_end(c, 0);
	agent_begin(c, 0);
	ASSERT_TRUE(run(c, 0, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "resync needed"));
	EXPECT_STREQ("resync-needed", run(c, 0, "promote", false).code);
	ASSERT_TRUE(run(c, 1, "promote", false).ok);
	EXPECT_EQ(0, env_kernel_attached(c->members[1].kernel));
	ASSERT_TRUE(run(c, 1, "demote", false).ok);
	EXPECT_STREQ("resync-needed", run(c, 0, "promote", false).code);
}

/* There may be no other copy. */
TEST_F(two, copy_with_failed_writes_goes_on_by_force)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	env_kernel_set_write_errors(c->members[0].kernel, 1);
	ASSERT_TRUE(run(c, 0, "demote", false).ok);
	ASSERT_TRUE(run(c, 0, "promote", true).ok);
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "resync needed"));
	/* a fork of its own, and whole from there on */
	env_kernel_set_write_errors(c->members[0].kernel, 0);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(run(c, 0, "demote", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "state", "clean"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "resync needed"));
	EXPECT_TRUE(run(c, 0, "promote", false).ok);
}

TEST_F(two, frozen_by_a_lost_peer_goes_on_when_it_is_back)
{
	struct cluster *c = &self->c;

	write_conf(c, 0, KEY, "on-peer-loss = freeze");
	write_conf(c, 1, KEY, "on-peer-loss = freeze");
	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(wait_synced(c, 0));
	agent_end(c, 1);
	EXPECT_TRUE(wait_status(c, 0, NULL, "health_text", "frozen"));
	agent_begin(c, 1);
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "health", "ok"));
	/* what the administrator froze stays frozen */
	ASSERT_TRUE(run(c, 0, "freeze", false).ok);
	agent_end(c, 1);
	agent_begin(c, 1);
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "mirroring"));
	EXPECT_TRUE(wait_status(c, 0, NULL, "health_text", "frozen"));
	ASSERT_TRUE(run(c, 0, "resume", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "health", "ok"));
}

TEST_F(two, disconnected_by_the_administrator)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	ASSERT_TRUE(run(c, 1, "disconnect", false).ok);
	EXPECT_TRUE(wait_status(c, 1, "alpha", "text", "reprise connect"));
	EXPECT_TRUE(wait_status(c, 0, "beta", "text", "administrator"));
	EXPECT_EQ(0, env_kernel_attached(c->members[0].kernel));
	ASSERT_TRUE(run(c, 1, "connect", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "mirroring"));
	write_some(c, 0, 0, 5);
	EXPECT_TRUE(wait_synced(c, 0));
	/* why it was lost then says nothing of now */
	agent_end(c, 0);
	ASSERT_TRUE(run(c, 1, "disconnect", false).ok);
	ASSERT_TRUE(run(c, 1, "connect", false).ok);
	EXPECT_TRUE(wait_status(c, 1, "alpha", "text", "no contact with alpha yet"));
}

TEST_F(two, up_adopts_what_the_kernel_runs)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	agent_end(c, 0);
	write_conf(c, 0, KEY, "broken");
	agent_begin(c, 0);
	EXPECT_STREQ("not-found", run(c, 0, "demote", false).code);
	write_conf(c, 0, KEY, "");
	ASSERT_TRUE(run(c, 0, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "role", "primary"));
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "mirroring"));
	EXPECT_TRUE(run(c, 0, "demote", false).ok);
}

/* --- refusals ---------------------------------------------------------------------------- */

TEST_F(two, both_sides_name_a_wrong_key)
{
	struct cluster *c = &self->c;

	write_conf(c, 1, KEY2, "");
	ASSERT_TRUE(run(c, 0, "up", false).ok);
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "text", "wrong key"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "text", "wrong key"));
	/* rotation: the new key here, both keys there */
	write_conf(c, 0, KEY2, "previous-key = \"" KEY "\"");
	ASSERT_TRUE(run(c, 0, "reload", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "connection", "connected"));
}

/* As at shutdown: demoted first, so that nothing is left to be brought back. */
TEST_F(two, down_demotes_a_primary)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	write_some(c, 0, 0, 5);
	ASSERT_TRUE(run(c, 0, "down", false).ok);
	ASSERT_TRUE(run(c, 0, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "state", "clean"));
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "in sync, idle"));
	ASSERT_TRUE(run(c, 1, "promote", false).ok);
	EXPECT_TRUE(wait_status(c, 1, "alpha", "replication", "mirroring"));
}

TEST_F(two, addresses_change_while_running)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	c->port += c->nr;
	write_conf(c, 0, KEY, "");
	write_conf(c, 1, KEY, "");
	ASSERT_TRUE(run(c, 1, "reload", false).ok);
	ASSERT_TRUE(run(c, 0, "reload", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "connection", "connected"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "connection", "connected"));
	EXPECT_EQ(1, env_kernel_attached(c->members[0].kernel));
	write_some(c, 0, 0, 5);
	EXPECT_TRUE(wait_synced(c, 0));
}

TEST_F(two, both_sides_name_a_difference)
{
	struct cluster *c = &self->c;

	write_conf(c, 1, KEY, "durability = flush");
	ASSERT_TRUE(run(c, 0, "up", false).ok);
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "text", "durability is \"write\" on alpha"));
	EXPECT_TRUE(wait_status(c, 1, "alpha", "text", "\"flush\" on beta"));
	write_conf(c, 0, KEY, "durability = flush");
	ASSERT_TRUE(run(c, 0, "reload", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "connection", "connected"));
}

static unsigned int count_open(const char *path)
{
	char link[64], target[256];
	unsigned int count = 0;

	for (int fd = 0; fd < 256; fd++) {
		ssize_t length;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		length = readlink(link, target, sizeof(target) - 1);
		target[length < 0 ? 0 : length] = '\0';
		count += !strcmp(target, path);
	}
	return count;
}

TEST_F(two, store_that_is_not_ours_is_not_kept_open)
{
	struct cluster *c = &self->c;
	unsigned int before = count_open("/dev/null");
	struct answer answer;

	ASSERT_TRUE(run(c, 0, "up", false).ok);
	ASSERT_TRUE(run(c, 0, "promote", true).ok);
	env_kernel_spoil_stop(c->members[0].kernel);
	answer = run(c, 0, "demote", false);
	EXPECT_STREQ("io", answer.code);
	EXPECT_NE(NULL, strstr(answer.error, "given back by the kernel"));
	EXPECT_EQ(before, count_open("/dev/null"));
	EXPECT_TRUE(wait_status(c, 0, NULL, "health", "failed"));
	ASSERT_TRUE(run(c, 0, "down", false).ok);
	ASSERT_TRUE(run(c, 0, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "state", "unclean"));
}

TEST_F(two, reload_that_the_kernel_refuses_changes_nothing)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(run(c, 0, "up", false).ok);
	ASSERT_TRUE(run(c, 0, "promote", true).ok);
	write_conf(c, 0, KEY, "on-peer-loss = freeze");
	env_kernel_fail_set(c->members[0].kernel, -EINVAL);
	EXPECT_STREQ("invalid", run(c, 0, "reload", false).code);
	EXPECT_TRUE(wait_status(c, 0, NULL, "on_peer_loss", "alone"));
	ASSERT_TRUE(run(c, 0, "reload", false).ok);
	EXPECT_TRUE(wait_status(c, 0, NULL, "on_peer_loss", "freeze"));
}

TEST_F(two, failed_start_gives_the_store_back)
{
	struct cluster *c = &self->c;
	struct answer answer;

	ASSERT_TRUE(all_up(c));
	env_kernel_fail_start(c->members[0].kernel, -EBUSY);
	answer = run(c, 0, "promote", false);
	EXPECT_STREQ("io", answer.code);
	EXPECT_TRUE(wait_status(c, 0, NULL, "state", "clean"));
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "in sync"));
	EXPECT_TRUE(run(c, 1, "promote", false).ok);
	EXPECT_TRUE(run(c, 1, "demote", false).ok);
	EXPECT_TRUE(run(c, 0, "promote", false).ok);
}

TEST_F(two, refusals_leave_things_as_they_are)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 0, "promote", false).ok);
	EXPECT_STREQ("unsafe", run(c, 1, "promote", false).code);
	EXPECT_STREQ("unsafe", run(c, 1, "promote", true).code);
	env_kernel_set_open(c->members[0].kernel, true);
	EXPECT_STREQ("busy", run(c, 0, "demote", false).code);
	EXPECT_STREQ("busy", run(c, 0, "down", false).code);
	write_some(c, 0, 0, 5);
	EXPECT_TRUE(wait_synced(c, 0));
	EXPECT_EQ(1, env_kernel_attached(c->members[0].kernel));
	EXPECT_TRUE(run(c, 0, "down", true).ok);
}

static bool finish_ok(struct cluster *c, struct answer *answer)
{
	finish(c, answer);
	json_decref(answer->object);
	return answer->ok;
}

/* At shutdown: nobody tries again. */
TEST_F(two, down_waits_for_what_nobody_asked_for)
{
	struct cluster *c = &self->c;
	struct answer reload, down;
	char text[32];

	ASSERT_TRUE(all_up(c));
	write_conf(c, 1, KEY, "durability = flush");
	start(c, &reload, 1, "reload", false);
	start(c, &down, 1, "down", false);
	EXPECT_TRUE(finish_ok(c, &reload));
	EXPECT_TRUE(finish_ok(c, &down));
	status(c, 1, NULL, "name", text, sizeof(text));
	EXPECT_STREQ("0", text);
	EXPECT_TRUE(run(c, 1, "up", false).ok);
}

/* Its peers are about to be forgotten. */
TEST_F(two, nobody_is_connected_while_it_goes_down)
{
	struct cluster *c = &self->c;
	struct answer down, connect;

	ASSERT_TRUE(all_up(c));
	start(c, &down, 0, "down", false);
	start(c, &connect, 0, "connect", false);
	EXPECT_FALSE(finish_ok(c, &connect));
	EXPECT_STREQ("busy", connect.code);
	EXPECT_TRUE(finish_ok(c, &down));
	EXPECT_TRUE(run(c, 0, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 1, names[0], "connection", "connected"));
}

/* There will be no store to promote. */
TEST_F(two, no_promotion_begins_while_it_goes_down)
{
	struct cluster *c = &self->c;
	struct answer down, promote;

	ASSERT_TRUE(all_up(c));
	start(c, &down, 0, "down", false);
	start(c, &promote, 0, "promote", true);
	EXPECT_FALSE(finish_ok(c, &promote));
	EXPECT_STREQ("busy", promote.code);
	EXPECT_TRUE(finish_ok(c, &down));
	EXPECT_TRUE(run(c, 0, "up", false).ok);
}

TEST_F(two, down_does_not_say_that_it_is_while_it_comes_up)
{
	struct cluster *c = &self->c;
	struct answer up, down;

	start(c, &up, 0, "up", false);
	start(c, &down, 0, "down", false);
	EXPECT_FALSE(finish_ok(c, &down));
	EXPECT_STREQ("busy", down.code);
	EXPECT_TRUE(finish_ok(c, &up));
	EXPECT_TRUE(wait_status(c, 0, NULL, "role", "secondary"));
	EXPECT_TRUE(run(c, 0, "down", false).ok);
}

TEST_F(two, two_promotions_at_once)
{
	struct cluster *c = &self->c;
	struct answer a, b;

	ASSERT_TRUE(all_up(c));
	start(c, &b, 1, "promote", false);
	start(c, &a, 0, "promote", false);
	finish(c, &a);
	finish(c, &b);
	json_decref(a.object);
	json_decref(b.object);
	EXPECT_EQ(1, a.ok + b.ok);
	EXPECT_EQ(1, env_kernel_starts(c->members[0].kernel) +
		  env_kernel_starts(c->members[1].kernel));
	EXPECT_TRUE(wait_status(c, a.ok ? 0 : 1, names[a.ok ? 1 : 0], "replication", "mirroring"));
}

/* Else it would begin later, by force and without contact, although another was accepted. */
TEST_F(two, waiting_promotion_ends_when_another_is_accepted)
{
	struct cluster *c = &self->c;
	struct answer a, b;

	ASSERT_TRUE(crash_and_return(c));
	start(c, &b, 1, "promote", false);
	start(c, &a, 0, "promote", true);
	EXPECT_TRUE(finish_ok(c, &a));
	EXPECT_FALSE(finish_ok(c, &b));
	EXPECT_STREQ("busy", b.code);
	EXPECT_NE(NULL, strstr(b.error, "is being promoted on alpha"));
}

TEST_F(two, blank_copy_is_neither_promoted_nor_mirrored_to)
{
	struct cluster *c = &self->c;

	create_disk(c, 1, REPRISE_STORE_BLANK);
	ASSERT_TRUE(run(c, 0, "up", false).ok);
	ASSERT_TRUE(run(c, 1, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "text", "no content"));
	EXPECT_STREQ("invalid", run(c, 1, "promote", true).code);
	EXPECT_TRUE(run(c, 0, "promote", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "resync needed"));
}

/* --- three nodes ---------------------------------------------------------------------------- */

FIXTURE(three) {
	struct cluster c;
};

FIXTURE_SETUP(three)
{
	cluster_init(&self->c, 3);
}

FIXTURE_TEARDOWN(three)
{
	cluster_exit(&self->c);
}

TEST_F(three, roles_go_round)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	for (unsigned int round = 0; round < 6; round++) {
		unsigned int p = round % 3;

		ASSERT_TRUE(run(c, p, "promote", false).ok);
		EXPECT_EQ(2, env_kernel_attached(c->members[p].kernel));
		write_some(c, p, round * 4, 4);
		ASSERT_TRUE(run(c, p, "demote", false).ok);
	}
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_TRUE(run(c, i, "down", false).ok);
	EXPECT_TRUE(same_content(c, 0, 1));
	EXPECT_TRUE(same_content(c, 0, 2));
}

TEST_F(three, one_of_three_is_away)
{
	struct cluster *c = &self->c;

	ASSERT_TRUE(all_up(c));
	ASSERT_TRUE(run(c, 1, "promote", false).ok);
	write_some(c, 1, 0, 4);
	ASSERT_TRUE(wait_synced(c, 1));
	agent_end(c, 2);
	ASSERT_TRUE(wait_status(c, 1, "gamma", "connection", "disconnected"));
	write_some(c, 1, 4, 4);
	ASSERT_TRUE(wait_synced(c, 1));
	ASSERT_TRUE(run(c, 1, "demote", false).ok);
	EXPECT_STREQ("no-contact", run(c, 0, "promote", false).code);
	ASSERT_TRUE(run(c, 0, "promote", true).ok);
	EXPECT_TRUE(wait_status(c, 0, "beta", "replication", "mirroring"));
	agent_begin(c, 2);
	ASSERT_TRUE(run(c, 2, "up", false).ok);
	EXPECT_TRUE(wait_status(c, 0, "gamma", "replication", "resync needed"));
}

TEST_HARNESS_MAIN
