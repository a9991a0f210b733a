// SPDX-License-Identifier: GPL-2.0
/*
 * The one idea: env_mem.c does the work; its table of operations is copied
 * and completed.  There is one of these at a time.
 */
#include "agent_env.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/meta.h"

enum { MAX_LISTENERS = 4, MAX_CONNS = 16 };

static struct {
	struct env_mem *mem;
	struct env_ops ops;
	struct env_mem_disk *store, *segments[AGENT_ENV_SEGMENTS];
	struct env_listener *listeners[MAX_LISTENERS];
	const struct env_conn *closed[MAX_CONNS];
	unsigned int nr_closed;
	int sockets[2], device;		/* descriptors that are what they should be */
} home = { .sockets = { -1, -1 }, .device = -1 };

/* --- files -------------------------------------------------------------------- */

static struct env_mem_disk *find_disk(const char *path)
{
	unsigned int number;

	if (!strcmp(path, "/disk"))
		return home.store;
	if (sscanf(path, "/log/segment.%u", &number) == 1 && number < AGENT_ENV_SEGMENTS)
		return home.segments[number];
	return NULL;
}

static int file_open(struct env *env, const char *path, struct env_file **file, uint64_t *bytes)
{
	struct env_mem_disk *disk = find_disk(path);

	(void)env;
	if (!disk)
		return -ENOENT;
	*file = env_mem_file(disk);
	*bytes = disk == home.store ? AGENT_ENV_DEVICE_BYTES : AGENT_ENV_SEGMENT_BYTES;
	return 0;
}

static int file_adopt(struct env *env, int fd, struct env_file **file, uint64_t *bytes)
{
	close(fd);
	return file_open(env, "/disk", file, bytes);
}

static void file_close(struct env *env, struct env_file *file)
{
	(void)env;
	(void)file;
}

static int file_fd(struct env *env, struct env_file *file)
{
	(void)env;
	(void)file;
	return home.device;
}

/* --- connections ---------------------------------------------------------------- */

static void conn_close(struct env *env, struct env_conn *conn)
{
	env->ops->conn_cancel(env, conn);
	assert(home.nr_closed < MAX_CONNS);
	home.closed[home.nr_closed++] = conn;
}

static int conn_fd(struct env *env, struct env_conn *conn)
{
	(void)env;
	(void)conn;
	return home.sockets[0];
}

static int listen_on(struct env *env, struct env_listener *listener)
{
	(void)env;
	for (unsigned int i = 0; i < MAX_LISTENERS; i++) {
		if (home.listeners[i])
			continue;
		home.listeners[i] = listener;
		return 0;
	}
	return -EADDRINUSE;
}

static void unlisten(struct env *env, struct env_listener *listener)
{
	(void)env;
	for (unsigned int i = 0; i < MAX_LISTENERS; i++)
		if (home.listeners[i] == listener)
			home.listeners[i] = NULL;
}

/* An attempt keeps its timer in itself. */
struct attempt {
	struct env_timer timer;
	struct env_dial *dial;
	int error;
};

static void attempt_over(struct env_timer *timer)
{
	struct attempt *attempt = (struct attempt *)timer;

	attempt->dial->done(attempt->dial, NULL, attempt->error);
}

static void conn_dial(struct env *env, struct env_dial *dial)
{
	struct attempt *attempt = (struct attempt *)dial->priv;

	_Static_assert(sizeof(*attempt) <= sizeof(dial->priv), "an attempt fits its dial");
	memset(attempt, 0, sizeof(*attempt));
	attempt->timer.fire = attempt_over;
	attempt->dial = dial;
	attempt->error = -ECONNREFUSED;
	env_timer_set(env, &attempt->timer, env_monotonic_ns(env) + 1000000);
}

static void dial_cancel(struct env *env, struct env_dial *dial)
{
	struct attempt *attempt = (struct attempt *)dial->priv;

	attempt->error = -ECANCELED;
	env_timer_set(env, &attempt->timer, env_monotonic_ns(env));
}

struct env_conn *agent_env_connect(struct env *env)
{
	(void)env;
	for (unsigned int i = 0; i < MAX_LISTENERS; i++) {
		struct env_listener *listener = home.listeners[i];
		struct env_conn *conn;

		if (!listener || listener->addr.ss_family != AF_UNIX)
			continue;
		conn = env_mem_conn(home.mem);
		listener->accept(listener, conn, &listener->addr);
		return conn;
	}
	return NULL;
}

bool agent_env_closed(struct env *env, const struct env_conn *conn)
{
	(void)env;
	for (unsigned int i = 0; i < home.nr_closed; i++)
		if (home.closed[i] == conn)
			return true;
	return false;
}

/* --- the node --------------------------------------------------------------------- */

static void set_node(struct conf_node *node, unsigned int id, const char *name)
{
	struct sockaddr_in *addr = (struct sockaddr_in *)&node->addr;

	node->id = id;
	strcpy(node->name, name);
	strcpy(node->address, "127.0.0.1");
	addr->sin_family = AF_INET;
	addr->sin_port = htons(CONF_DEFAULT_PORT + id);
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	node->addr_len = sizeof(*addr);
	strcpy(node->log, "/log");
	node->nr_volumes = 1;
	strcpy(node->volumes[0].device, "/disk");
}

int agent_env_load(const char *path, struct conf *conf, char *error, size_t bytes)
{
	const char *base = strrchr(path, '/');

	if (!base || strcmp(base, "/pg.conf")) {
		snprintf(error, bytes, "%s: cannot be opened", path);
		return -ENOENT;
	}
	*conf = (struct conf){
		.name = "pg", .durability = REPRISE_DURABILITY_WRITE,
		.on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE, .timeout_ms = 2000,
		.queue_kib = 1024, .logical_block_bytes = 4096,
		.log_bytes = AGENT_ENV_SEGMENTS * AGENT_ENV_SEGMENT_BYTES,
		.segment_bytes = AGENT_ENV_SEGMENT_BYTES, .unapplied_bytes = 1 << 20,
		.nr_volumes = 1, .volumes = { { .minor = -1 } }, .nr_nodes = 2,
	};
	memset(conf->id, 0x42, sizeof(conf->id));
	memset(conf->key, 0x17, sizeof(conf->key));
	set_node(&conf->nodes[0], 1, "alpha");
	set_node(&conf->nodes[1], 2, "beta");
	return 0;
}

static void format(struct env_mem_disk *disk)
{
	struct meta_volume volume = {
		.size_sectors = AGENT_ENV_VOLUME_SECTORS,
		.device_sectors = AGENT_ENV_DEVICE_BYTES / 512,
	};
	struct meta meta = {
		.resource_name = "pg", .node_name = "alpha", .node = 1, .nr_volumes = 1,
		.state = REPRISE_STORE_CLEAN, .durability = REPRISE_DURABILITY_WRITE,
		.on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE, .logical_block_bytes = 4096,
		.nr_timelines = 1,
	};

	memset(meta.resource_id, 0x42, sizeof(meta.resource_id));
	memset(meta.log_id, 0x77, sizeof(meta.log_id));
	for (meta.number = 0; meta.number < 2; meta.number++)
		meta_encode(&meta, &volume, env_mem_content(disk) +
			    meta_copy_offset(AGENT_ENV_DEVICE_BYTES, meta.number));
	env_mem_make_durable(disk);
}

static void open_descriptors(void)
{
	if (home.device >= 0)
		return;
	home.device = memfd_create("device", MFD_CLOEXEC);
	if (home.device < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, home.sockets))
		abort();
}

struct env *agent_env_create(void)
{
	struct env *env;

	open_descriptors();
	home.mem = env_mem_create(1);
	env = env_mem_env(home.mem);
	home.nr_closed = 0;
	home.ops = *env->ops;
	home.ops.conn_close = conn_close;
	home.ops.conn_fd = conn_fd;
	home.ops.conn_dial = conn_dial;
	home.ops.dial_cancel = dial_cancel;
	home.ops.listen = listen_on;
	home.ops.unlisten = unlisten;
	home.ops.file_open = file_open;
	home.ops.file_adopt = file_adopt;
	home.ops.file_close = file_close;
	home.ops.file_fd = file_fd;
	env->ops = &home.ops;
	home.store = env_mem_disk(home.mem, "store", AGENT_ENV_DEVICE_BYTES, 4096);
	format(home.store);
	for (unsigned int i = 0; i < AGENT_ENV_SEGMENTS; i++)
		home.segments[i] = env_mem_disk(home.mem, "segment", AGENT_ENV_SEGMENT_BYTES,
						4096);
	return env;
}

void agent_env_destroy(struct env *env)
{
	(void)env;
	env_mem_destroy(home.mem);
	home.mem = NULL;
}

struct env_mem *agent_env_mem(struct env *env)
{
	(void)env;
	return home.mem;
}
