// SPDX-License-Identifier: GPL-2.0
/*
 * env.h on the world.  Every object of a process is in a list of it, so that
 * the end of the process is the end of them all.
 *
 * Descriptors are numbers far above any real one: where the agent's code
 * closes one itself, the linker sends close() here (--wrap).
 */
#include "process.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/queue.h>

#include "agent/ringmap.h"
#include "heap.h"
#include "wrap.h"

enum {
	FIRST_FD = 1 << 20,
	MAX_FDS = 512,
	MAX_RINGS = 8,
	SYN_RETRY_MS = 200,
};

struct timer {
	struct event event;
	LIST_ENTRY(timer) link;
	struct process *process;
	struct env_timer *timer;
};

struct file_io {
	LIST_ENTRY(file_io) link;
	struct process *process;
	struct env_io *io;
	struct disk_io *disk_io;
	struct event event;		/* done while the process stood still */
	ssize_t result;
};

struct env_file {
	struct process *process;
	struct disk_file *file;
	int fd;
};

struct env_conn {
	LIST_ENTRY(env_conn) link;
	struct process *process;
	struct net_end *end;
	int fd;
	struct env_io *recv, *send;
	size_t sent;
	bool cancel, closing;
	struct event event;
};

struct dial {
	LIST_ENTRY(dial) link;
	struct process *process;
	struct env_dial *dial;
	struct event event;
	struct env_conn *conn;
	uint64_t deadline;
	unsigned int to;
	int error;
	bool answered;
};

struct listening {
	LIST_ENTRY(listening) link;
	struct env_listener *listener;
};

struct arrival {
	struct event event;
	LIST_ENTRY(arrival) link;
	struct process *process;
	struct env_conn *conn;
};

struct fd {
	struct env_conn *conn;
	struct env_file *file;
};

struct ring {
	void *base;
	size_t bytes;
	struct process *owner;		/* NULL: free */
};

struct process {
	struct env env;
	struct process_host host;
	struct heap *heap;
	uint64_t paused_until;
	LIST_HEAD(, timer) timers;
	LIST_HEAD(, timer) spare_timers;
	LIST_HEAD(, file_io) file_ios;
	LIST_HEAD(, env_conn) conns;
	LIST_HEAD(, dial) dials;
	LIST_HEAD(, listening) listening;
	LIST_HEAD(, arrival) arrivals;
	struct fd fds[MAX_FDS];
};

struct process *(*process_at)(struct net *net, unsigned int host);

/* Mapping a ring costs more than a whole run: they are kept for the next process. */
static struct ring rings[MAX_RINGS];
static struct process *running;

static struct process *process_of(struct env *env)
{
	return sim_container(env, struct process, env);
}

struct env *process_env(struct process *process)
{
	return &process->env;
}

struct heap *process_enter(struct process *process)
{
	running = process;
	return heap_switch(process->heap);
}

void process_leave(struct heap *former)
{
	heap_switch(former);
	if (!former)
		running = NULL;
}

void process_pause(struct process *process, uint64_t until)
{
	process->paused_until = until;
}

uint64_t process_paused_until(const struct process *process)
{
	return process->paused_until > world_now(process->host.world) ? process->paused_until : 0;
}

/* True: the event comes again when the process goes on. */
static bool put_off(struct process *process, struct event *event)
{
	uint64_t until = process_paused_until(process);

	if (until)
		event_set(process->host.world, event, until);
	return until;
}

/* --- descriptors --------------------------------------------------------- */

static int fd_new(struct process *process, struct env_conn *conn, struct env_file *file)
{
	for (unsigned int i = 0; i < MAX_FDS; i++) {
		if (process->fds[i].conn || process->fds[i].file)
			continue;
		process->fds[i] = (struct fd){ conn, file };
		return FIRST_FD + i;
	}
	world_fail(process->host.world, "%s: the agent runs out of descriptors", process->host.name);
}

static struct fd *fd_at(struct process *process, int fd)
{
	static struct fd none;

	return fd >= FIRST_FD && fd < FIRST_FD + MAX_FDS ? &process->fds[fd - FIRST_FD] : &none;
}

struct net_end *process_fd_end(struct process *process, int fd)
{
	struct env_conn *conn = fd_at(process, fd)->conn;

	return conn ? conn->end : NULL;
}

struct disk_file *process_fd_file(struct process *process, int fd)
{
	struct env_file *file = fd_at(process, fd)->file;

	return file ? file->file : NULL;
}

static struct env_file *file_new(struct process *process, struct disk_file *disk_file)
{
	struct env_file *file = sim_alloc(sizeof(*file));

	file->process = process;
	file->file = disk_file;
	file->fd = fd_new(process, NULL, file);
	return file;
}

int process_give_file(struct process *process, struct disk_file *file)
{
	return file_new(process, file)->fd;
}

static void file_free(struct env_file *file)
{
	*fd_at(file->process, file->fd) = (struct fd){ 0 };
	disk_put(file->file);
	sim_free(file);
}

int __wrap_close(int fd)
{
	struct env_file *file = running ? fd_at(running, fd)->file : NULL;

	if (!file)
		return __real_close(fd);
	file_free(file);
	return 0;
}

/* --- files --------------------------------------------------------------- */

static void file_io_finish(struct file_io *fio)
{
	struct env_io *io = fio->io;
	ssize_t result = fio->result;
	struct heap *former;

	if (put_off(fio->process, &fio->event))
		return;
	LIST_REMOVE(fio, link);
	former = process_enter(fio->process);
	sim_free(fio);
	io->done(io, result);
	process_leave(former);
}

static void file_io_late(struct event *event)
{
	file_io_finish(sim_container(event, struct file_io, event));
}

static void file_io_done(struct disk_io *disk_io, ssize_t result)
{
	struct file_io *fio = disk_io->ctx;

	fio->disk_io = NULL;
	fio->result = result;
	file_io_finish(fio);
}

static void submit_file(struct process *process, struct env_io *io)
{
	struct file_io *fio = sim_alloc(sizeof(*fio));

	fio->process = process;
	fio->io = io;
	fio->event.fire = file_io_late;
	LIST_INSERT_HEAD(&process->file_ios, fio, link);
	fio->disk_io = disk_submit(io->file->file, io->op, io->flags, io->offset,
				   io->op == ENV_READ || io->op == ENV_WRITE ? io->iov : NULL,
				   io->op == ENV_READ || io->op == ENV_WRITE ? io->nr_iov : 0,
				   io->op == ENV_ZERO ? io->length : 0, file_io_done, fio);
}

static int file_open(struct env *env, const char *path, struct env_file **file, uint64_t *bytes)
{
	struct process *process = process_of(env);
	struct disk *disk = process->host.find_disk(process->host.ctx, path);
	struct disk_file *disk_file;
	int err;

	if (!disk)
		return -ENOENT;
	err = disk_open(disk, &disk_file);
	if (err)
		return err;
	*file = file_new(process, disk_file);
	*bytes = disk_bytes(disk);
	return 0;
}

static int file_adopt(struct env *env, int fd, struct env_file **file, uint64_t *bytes)
{
	struct env_file *found = fd_at(process_of(env), fd)->file;

	if (!found)
		return -EBADF;
	*file = found;
	*bytes = disk_bytes(found->file->disk);
	return 0;
}

static void file_close(struct env *env, struct env_file *file)
{
	struct file_io *fio;

	LIST_FOREACH(fio, &process_of(env)->file_ios, link)
		if (fio->io->file == file)
			world_fail(file->process->host.world, "%s: %s is closed with requests in flight",
				   file->process->host.name, disk_name(file->file->disk));
	file_free(file);
}

static int file_fd(struct env *env, struct env_file *file)
{
	(void)env;
	return file->fd;
}

/* --- connections --------------------------------------------------------- */

static void conn_ready(void *ctx)
{
	struct env_conn *conn = ctx;

	if (!event_is_set(&conn->event))
		event_after(conn->process->host.world, &conn->event, 0);
}

static void conn_step(struct event *event);

static struct env_conn *conn_new(struct process *process, struct net_end *end)
{
	struct env_conn *conn = sim_alloc(sizeof(*conn));

	conn->process = process;
	conn->end = end;
	conn->fd = fd_new(process, conn, NULL);
	conn->event.fire = conn_step;
	LIST_INSERT_HEAD(&process->conns, conn, link);
	return conn;
}

static void conn_free(struct env_conn *conn)
{
	event_clear(conn->process->host.world, &conn->event);
	LIST_REMOVE(conn, link);
	*fd_at(conn->process, conn->fd) = (struct fd){ 0 };
	net_end_unwatch(conn->end, conn);
	net_end_put(conn->end);
	sim_free(conn);
}

static void tell(struct process *process, struct env_io *io, ssize_t result)
{
	struct heap *former = process_enter(process);

	io->done(io, result);
	process_leave(former);
}

static ssize_t try_recv(struct env_conn *conn)
{
	const struct iovec *iov = conn->recv->iov;
	ssize_t got = net_recv(conn->end, iov->iov_base, iov->iov_len);

	return got == -EAGAIN && conn->cancel ? -ECANCELED : got;
}

/* All of it, or an error. */
static ssize_t try_send(struct env_conn *conn)
{
	const struct env_io *io = conn->send;
	size_t before = 0;

	for (unsigned int i = 0; i < io->nr_iov; before += io->iov[i++].iov_len) {
		while (conn->sent < before + io->iov[i].iov_len) {
			size_t skip = conn->sent - before;
			ssize_t took = net_send(conn->end, (char *)io->iov[i].iov_base + skip,
						io->iov[i].iov_len - skip);

			if (took == -EAGAIN && conn->cancel)
				return -ECANCELED;
			if (took < 0)
				return took;
			conn->sent += took;
		}
	}
	return conn->sent;
}

static void conn_finish(struct env_conn *conn, struct env_io **slot, ssize_t result)
{
	struct env_io *io = *slot;

	*slot = NULL;
	tell(conn->process, io, result);
}

/* One completion at a time: the owner may do anything in it. */
static void conn_step(struct event *event)
{
	struct env_conn *conn = sim_container(event, struct env_conn, event);
	ssize_t result;

	if (put_off(conn->process, event))
		return;
	if (conn->recv) {
		result = try_recv(conn);
		if (result != -EAGAIN) {
			conn_ready(conn);
			conn_finish(conn, &conn->recv, result);
			return;
		}
	}
	if (conn->send) {
		result = try_send(conn);
		if (result != -EAGAIN) {
			conn_ready(conn);
			conn_finish(conn, &conn->send, result);
			return;
		}
	}
	if (!conn->recv && !conn->send) {
		conn->cancel = false;
		if (conn->closing)
			conn_free(conn);
	}
}

static void submit_conn(struct process *process, struct env_io *io)
{
	struct env_conn *conn = io->conn;

	assert(conn->process == process && !conn->closing);
	if (io->op == ENV_RECV) {
		assert(!conn->recv && io->nr_iov == 1 && io->iov->iov_len);
		conn->recv = io;
	} else {
		assert(!conn->send);
		conn->send = io;
		conn->sent = 0;
	}
	net_end_watch(conn->end, conn_ready, conn);
	conn_ready(conn);
}

static void conn_cancel(struct env *env, struct env_conn *conn)
{
	(void)env;
	conn->cancel = true;
	conn_ready(conn);
}

static void conn_close(struct env *env, struct env_conn *conn)
{
	conn->closing = true;
	conn_cancel(env, conn);
}

static int conn_fd(struct env *env, struct env_conn *conn)
{
	(void)env;
	return conn->fd;
}

/* --- dialing and listening ----------------------------------------------- */

static unsigned int host_of(const struct sockaddr_storage *addr)
{
	return (ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr) & 0xff) - 1;
}

static struct env_listener *listener_of(struct process *process)
{
	struct listening *listening = LIST_FIRST(&process->listening);

	return listening ? listening->listener : NULL;
}

static void arrived(struct event *event)
{
	struct arrival *arrival = sim_container(event, struct arrival, event);
	struct process *process = arrival->process;
	struct env_conn *conn = arrival->conn;
	struct sockaddr_storage from = { .ss_family = AF_INET };
	struct env_listener *listener;
	struct heap *former;

	if (put_off(process, event))
		return;
	LIST_REMOVE(arrival, link);
	sim_free(arrival);
	listener = listener_of(process);
	if (!listener) {
		conn_free(conn);
		return;
	}
	former = process_enter(process);
	listener->accept(listener, conn, &from);
	process_leave(former);
}

static void accept_at(struct process *process, struct net_end *end)
{
	struct arrival *arrival = sim_alloc(sizeof(*arrival));

	arrival->process = process;
	arrival->conn = conn_new(process, end);
	arrival->event.fire = arrived;
	LIST_INSERT_HEAD(&process->arrivals, arrival, link);
	event_after(process->host.world, &arrival->event,
		    world_below(process->host.world, 200) * SIM_US);
}

static void dial_finish(struct dial *dial)
{
	struct process *process = dial->process;
	struct env_dial *env_dial = dial->dial;
	struct env_conn *conn = dial->conn;
	int error = dial->error;
	struct heap *former;

	if (put_off(process, &dial->event))
		return;
	LIST_REMOVE(dial, link);
	sim_free(dial);
	former = process_enter(process);
	env_dial->done(env_dial, conn, error);
	process_leave(former);
}

/* The first packet reaches the other host, or not. */
static void dial_try(struct event *event)
{
	struct dial *dial = sim_container(event, struct dial, event);
	struct process *process = dial->process, *target;
	struct net *net = process->host.net;
	unsigned int from = process->host.number;
	struct net_end *mine, *theirs;

	if (dial->answered) {
		dial_finish(dial);
		return;
	}
	if (world_now(process->host.world) >= dial->deadline) {
		dial->error = -ETIMEDOUT;
		dial_finish(dial);
		return;
	}
	if (net_link(net, from, dial->to)->cut || net_link(net, dial->to, from)->cut ||
	    !net_host_is_up(net, dial->to)) {
		event_after(process->host.world, event, SYN_RETRY_MS * SIM_MS);
		return;
	}
	dial->answered = true;
	target = process_at(net, dial->to);
	if (target && listener_of(target)) {
		net_connect(net, from, dial->to, &mine, &theirs);
		dial->conn = conn_new(process, mine);
		accept_at(target, theirs);
	} else {
		dial->error = -ECONNREFUSED;
	}
	event_after(process->host.world, event, net_delay(net, dial->to, from));
}

static void conn_dial(struct env *env, struct env_dial *env_dial)
{
	struct process *process = process_of(env);
	struct dial *dial = sim_alloc(sizeof(*dial));

	dial->process = process;
	dial->dial = env_dial;
	dial->to = host_of(&env_dial->addr);
	dial->deadline = world_now(process->host.world) + env_dial->timeout_ns;
	dial->event.fire = dial_try;
	LIST_INSERT_HEAD(&process->dials, dial, link);
	event_after(process->host.world, &dial->event,
		    net_delay(process->host.net, process->host.number, dial->to));
}

static void dial_cancel(struct env *env, struct env_dial *env_dial)
{
	struct process *process = process_of(env);
	struct dial *dial;

	LIST_FOREACH(dial, &process->dials, link) {
		if (dial->dial != env_dial)
			continue;
		if (dial->conn)
			conn_free(dial->conn);
		dial->conn = NULL;
		dial->answered = true;
		dial->error = -ECANCELED;
		event_after(process->host.world, &dial->event, 0);
	}
}

static int env_listen(struct env *env, struct env_listener *listener)
{
	struct process *process = process_of(env);
	struct listening *listening = sim_alloc(sizeof(*listening));

	listening->listener = listener;
	LIST_INSERT_HEAD(&process->listening, listening, link);
	return 0;
}

static void env_unlisten(struct env *env, struct env_listener *listener)
{
	struct listening *listening;

	LIST_FOREACH(listening, &process_of(env)->listening, link) {
		if (listening->listener != listener)
			continue;
		LIST_REMOVE(listening, link);
		sim_free(listening);
		return;
	}
}

/* --- timers and the rest ------------------------------------------------- */

static void timer_fire(struct event *event)
{
	struct timer *timer = sim_container(event, struct timer, event);
	struct process *process = timer->process;
	struct env_timer *env_timer = timer->timer;
	struct heap *former;

	if (put_off(process, event))
		return;
	if (process->host.monotonic_ns(process->host.ctx) < env_timer->deadline_ns) {
		event_after(process->host.world, event, SIM_US);
		return;
	}
	LIST_REMOVE(timer, link);
	LIST_INSERT_HEAD(&process->spare_timers, timer, link);
	env_timer->armed = false;
	former = process_enter(process);
	env_timer->fire(env_timer);
	process_leave(former);
}

static void timer_clear(struct env *env, struct env_timer *env_timer)
{
	struct process *process = process_of(env);
	struct timer *timer = (struct timer *)env_timer->slot;

	if (!env_timer->armed)
		return;
	env_timer->armed = false;
	event_clear(process->host.world, &timer->event);
	LIST_REMOVE(timer, link);
	LIST_INSERT_HEAD(&process->spare_timers, timer, link);
}

static void timer_set(struct env *env, struct env_timer *env_timer, uint64_t deadline_ns)
{
	struct process *process = process_of(env);
	struct timer *timer;

	timer_clear(env, env_timer);
	timer = LIST_FIRST(&process->spare_timers);
	if (timer)
		LIST_REMOVE(timer, link);
	else
		timer = sim_alloc(sizeof(*timer));
	timer->process = process;
	timer->timer = env_timer;
	timer->event.fire = timer_fire;
	LIST_INSERT_HEAD(&process->timers, timer, link);
	env_timer->armed = true;
	env_timer->deadline_ns = deadline_ns;
	env_timer->slot = (size_t)timer;
	event_set(process->host.world, &timer->event,
		  process->host.world_time(process->host.ctx, deadline_ns));
}

static uint64_t monotonic_ns(struct env *env)
{
	struct process *process = process_of(env);

	return process->host.monotonic_ns(process->host.ctx);
}

static uint64_t realtime_ns(struct env *env)
{
	struct process *process = process_of(env);

	return process->host.realtime_ns(process->host.ctx);
}

static void env_random_bytes(struct env *env, void *buf, size_t bytes)
{
	uint8_t *to = buf;

	while (bytes--)
		*to++ = world_random(process_of(env)->host.world);
}

static void env_submit_io(struct env *env, struct env_io *io)
{
	if (io->op == ENV_RECV || io->op == ENV_SEND)
		submit_conn(process_of(env), io);
	else
		submit_file(process_of(env), io);
}

static void *ring_alloc(struct env *env, size_t bytes)
{
	struct process *process = process_of(env);

	if (world_chance(process->host.world, *process->host.no_memory_ppm)) {
		world_trace(process->host.world, "%s: no memory for a ring", process->host.name);
		return NULL;
	}
	for (unsigned int i = 0; i < MAX_RINGS; i++) {
		if (rings[i].owner || (rings[i].base && rings[i].bytes != bytes))
			continue;
		if (!rings[i].base)
			rings[i].base = ringmap_alloc(bytes);
		rings[i].bytes = bytes;
		rings[i].owner = rings[i].base ? process : NULL;
		return rings[i].base;
	}
	world_fail(process->host.world, "the agents hold more rings than they have replicas");
}

static void ring_free(struct env *env, void *base, size_t bytes)
{
	(void)env;
	(void)bytes;
	for (unsigned int i = 0; i < MAX_RINGS; i++)
		if (rings[i].base == base)
			rings[i].owner = NULL;
}

static void env_log_line(struct env *env, int level, const char *resource, const char *text)
{
	struct process *process = process_of(env);

	(void)resource;
	world_trace(process->host.world, "%s: <%d> %s", process->host.name, level, text);
}

static const struct env_ops ops = {
	.submit = env_submit_io,
	.timer_set = timer_set,
	.timer_clear = timer_clear,
	.monotonic_ns = monotonic_ns,
	.realtime_ns = realtime_ns,
	.random = env_random_bytes,
	.conn_cancel = conn_cancel,
	.conn_close = conn_close,
	.conn_dial = conn_dial,
	.dial_cancel = dial_cancel,
	.listen = env_listen,
	.unlisten = env_unlisten,
	.conn_fd = conn_fd,
	.file_open = file_open,
	.file_adopt = file_adopt,
	.file_close = file_close,
	.file_fd = file_fd,
	.ring_alloc = ring_alloc,
	.ring_free = ring_free,
	.log = env_log_line,
};

/* --- life ---------------------------------------------------------------- */

struct process *process_create(const struct process_host *host, struct heap *heap)
{
	struct process *process = sim_alloc(sizeof(*process));

	process->env.ops = &ops;
	process->host = *host;
	process->heap = heap;
	return process;
}

static void drop_requests(struct process *process)
{
	struct file_io *fio;
	struct dial *dial;

	while ((fio = LIST_FIRST(&process->file_ios))) {
		if (fio->disk_io)
			disk_orphan(fio->disk_io);
		event_clear(process->host.world, &fio->event);
		LIST_REMOVE(fio, link);
		sim_free(fio);
	}
	while ((dial = LIST_FIRST(&process->dials))) {
		event_clear(process->host.world, &dial->event);
		LIST_REMOVE(dial, link);
		sim_free(dial);
	}
}

static void drop_timers(struct process *process)
{
	struct timer *timer;

	while ((timer = LIST_FIRST(&process->timers))) {
		event_clear(process->host.world, &timer->event);
		LIST_REMOVE(timer, link);
		sim_free(timer);
	}
	while ((timer = LIST_FIRST(&process->spare_timers))) {
		LIST_REMOVE(timer, link);
		sim_free(timer);
	}
}

static void drop_sockets(struct process *process)
{
	struct listening *listening;
	struct arrival *arrival;

	while ((listening = LIST_FIRST(&process->listening))) {
		LIST_REMOVE(listening, link);
		sim_free(listening);
	}
	while ((arrival = LIST_FIRST(&process->arrivals))) {
		event_clear(process->host.world, &arrival->event);
		LIST_REMOVE(arrival, link);
		sim_free(arrival);
	}
	while (!LIST_EMPTY(&process->conns))
		conn_free(LIST_FIRST(&process->conns));
}

void process_kill(struct process *process)
{
	drop_requests(process);
	drop_timers(process);
	drop_sockets(process);
	for (unsigned int i = 0; i < MAX_FDS; i++)
		if (process->fds[i].file)
			file_free(process->fds[i].file);
	for (unsigned int i = 0; i < MAX_RINGS; i++)
		if (rings[i].owner == process)
			rings[i].owner = NULL;
	heap_empty(process->heap);
	sim_free(process);
}

void process_exit(struct process *process)
{
	if (!LIST_EMPTY(&process->file_ios) || !LIST_EMPTY(&process->dials) ||
	    !LIST_EMPTY(&process->timers) || !LIST_EMPTY(&process->listening))
		world_fail(process->host.world, "%s: the agent ended and left requests, timers or listeners behind",
			   process->host.name);
	process_kill(process);
}
