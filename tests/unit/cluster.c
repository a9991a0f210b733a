// SPDX-License-Identifier: GPL-2.0
/* See cluster.h. */
#include "cluster.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/conf.h"

#define ID	"0123456789abcdef0123456789abcdef"

enum {
	MIB = 1 << 20,
	VOLUME_BYTES = 4 * MIB,
	WAIT_MS = 15000,
};

const char *const cluster_names[MAX_AGENTS] = { "alpha", "beta", "gamma" };

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	chmod(path, 0600);
}

void cluster_write_conf(struct cluster *c, unsigned int i, const char *key, const char *extra)
{
	char text[4096], path[256];
	size_t used = snprintf(text, sizeof(text),
			       "id = \"" ID "\"\nkey = \"%s\"\n%s\ntimeout = \"2s\"\n"
			       "log-size = \"32MiB\"\nsegment-size = \"8MiB\"\nunapplied = \"8MiB\"\n"
			       "volume 0 { minor = 0 }\n", key, extra);

	for (unsigned int n = 0; n < 2; n++)
		used += snprintf(text + used, sizeof(text) - used,
				 "node %s {\n id = %u\n address = \"127.0.0.1:%u\"\n log = \"%s/%s/log\"\n"
				 " volume 0 { device = \"%s/%s/disk\" }\n}\n", cluster_names[n], n + 1,
				 c->port + n, c->dir, cluster_names[n], c->dir, cluster_names[n]);
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
	strcpy(third->name, cluster_names[2]);
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
void cluster_create_disk(struct cluster *c, unsigned int i, enum reprise_store_state state)
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
	strcpy(meta.node_name, cluster_names[i]);
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

void cluster_agent_begin(struct cluster *c, unsigned int i)
{
	struct member *m = &c->members[i];
	struct kernel kernel = env_kernel_ops(m->kernel);
	char error[256];

	if (ctl_create(c->env, m->dir, &m->ctl, error, sizeof(error)))
		abort();
	m->options = (struct agent_options){ .config_dir = m->conf_dir, .node_name = cluster_names[i] };
	if (agent_start_on(c->env, &m->options, m->ctl, &kernel,
			   c->nr == 3 ? load_three : conf_load, &m->agent, error, sizeof(error)))
		abort();
}

void cluster_init(struct cluster *c, unsigned int nr)
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

		snprintf(m->dir, sizeof(m->dir), "%s/%s", c->dir, cluster_names[i]);
		snprintf(m->conf_dir, sizeof(m->conf_dir), "%s/%s/conf", c->dir, cluster_names[i]);
		mkdir(m->dir, 0700);
		mkdir(m->conf_dir, 0700);
		cluster_write_conf(c, i, CLUSTER_KEY, "");
		cluster_create_disk(c, i, REPRISE_STORE_CLEAN);
		m->kernel = env_kernel_create();
		cluster_agent_begin(c, i);
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

void cluster_agent_end(struct cluster *c, unsigned int i)
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

void cluster_exit(struct cluster *c)
{
	char command[128];

	for (unsigned int i = 0; i < c->nr; i++) {
		if (c->members[i].agent)
			cluster_agent_end(c, i);
	}
	for (unsigned int i = 0; i < c->nr; i++)
		env_kernel_destroy(c->members[i].kernel);
	loop_destroy(c->loop);
	snprintf(command, sizeof(command), "rm -rf %s", c->dir);
	if (system(command))
		abort();
}

static uint64_t cluster_now_ms(struct cluster *c)
{
	return env_monotonic_ns(c->env) / 1000000;
}

void cluster_start(struct cluster *c, struct answer *answer, unsigned int i, const char *cmd,
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
void cluster_finish(struct cluster *c, struct answer *answer)
{
	uint64_t limit = cluster_now_ms(c) + 60000;

	while (!answer->object && cluster_now_ms(c) < limit) {
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

struct answer cluster_run(struct cluster *c, unsigned int i, const char *cmd, bool force)
{
	struct answer answer;

	cluster_start(c, &answer, i, cmd, force);
	cluster_finish(c, &answer);
	json_decref(answer.object);
	if (!answer.ok)
		printf("# %s %s: %s: %s (%s)\n", cluster_names[i], cmd, answer.code, answer.error,
		       answer.hint);
	return answer;
}

/* "peers[<peer>].<key>", or of the resource where @peer is NULL. */
void cluster_status(struct cluster *c, unsigned int i, const char *peer, const char *key,
		   char *text, size_t bytes)
{
	struct answer answer;
	json_t *res, *entry;
	size_t index;

	text[0] = '\0';
	cluster_start(c, &answer, i, "status", false);
	cluster_finish(c, &answer);
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

bool cluster_wait(struct cluster *c, unsigned int i, const char *peer, const char *key,
			const char *want)
{
	uint64_t limit = cluster_now_ms(c) + WAIT_MS;
	char text[512];

	do {
		cluster_status(c, i, peer, key, text, sizeof(text));
		/* "disconnected" is not "connected" */
		if (strcmp(key, "connection") ? strstr(text, want) != NULL : !strcmp(text, want))
			return true;
		rounds(c);
	} while (cluster_now_ms(c) < limit);
	printf("# %s: %s of %s is \"%s\", not \"%s\"\n", cluster_names[i], key, peer ? peer : "it",
	       text, want);
	return false;
}

bool cluster_wait_synced(struct cluster *c, unsigned int i)
{
	uint64_t limit = cluster_now_ms(c) + WAIT_MS;

	while (!env_kernel_synced(c->members[i].kernel) && cluster_now_ms(c) < limit)
		rounds(c);
	return env_kernel_synced(c->members[i].kernel);
}

bool cluster_all_up(struct cluster *c)
{
	for (unsigned int i = 0; i < c->nr; i++) {
		if (!cluster_run(c, i, "up", false).ok)
			return false;
	}
	for (unsigned int i = 0; i < c->nr; i++) {
		for (unsigned int j = 0; j < c->nr; j++) {
			if (i != j && !cluster_wait(c, i, cluster_names[j], "replication", "in sync"))
				return false;
		}
	}
	return true;
}

bool cluster_same_content(struct cluster *c, unsigned int a, unsigned int b)
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
