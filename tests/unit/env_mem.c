// SPDX-License-Identifier: GPL-2.0
/*
 * env.h in memory, with faults.  The one idea: a disk is two images, what
 * reads see and what is durable; a completed write changes the first, a flush
 * or ENV_DSYNC copies sectors to the second, a power cut takes each sector
 * that differs from one or the other.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crc32c.h"
#include "agent/ringmap.h"
#include "agent/timers.h"
#include "env_mem.h"
#include "tests/load.h"

enum {
	SECTOR = 512,
	MAX_DISKS = 64,
	MAX_CONNS = 256,
	MAX_REQUESTS = 512,
};

struct env_mem_disk {
	struct env_mem *mem;
	char name[32];
	size_t bytes, block_bytes;
	uint8_t *content;
	uint8_t *durable;
	uint64_t *stamp;		/* per sector: of the write that is not yet durable, 0: none */
	unsigned int fail_in;
	int fail_error;
	bool broken;
	uint64_t slow_from, slow_ms;
};

/* A handle is the disk itself. */
struct env_file {
	struct env_mem_disk disk;
};

struct pipe {
	uint8_t *buf;
	size_t start, end, room;
	bool shut;
};

struct env_conn {
	struct env_mem *mem;
	struct pipe in, out;		/* seen from the code under test */
	bool reset;
};

struct request {
	struct env_io *io;
	uint64_t due_ns;
	uint64_t stamp;			/* flush: writes completed before it was submitted */
	uint32_t crc;			/* write: of its buffers at submission */
	bool cancelled;
};

struct env_mem {
	struct env env;
	uint64_t random;
	uint64_t now_ns;
	uint64_t stamp;
	bool whole_chunks;
	struct timers timers;
	struct env_file *disks[MAX_DISKS];
	unsigned int nr_disks;
	struct env_conn *conns[MAX_CONNS];
	unsigned int nr_conns;
	struct request requests[MAX_REQUESTS];
	unsigned int nr_requests;
};

uint64_t env_mem_random(struct env_mem *mem)
{
	return load_random(&mem->random);
}

uint64_t env_mem_below(struct env_mem *mem, uint64_t below)
{
	return env_mem_random(mem) % below;
}

bool env_mem_one_in(struct env_mem *mem, uint64_t n)
{
	return !env_mem_below(mem, n);
}

static struct env_mem *mem_of(struct env *env)
{
	return (struct env_mem *)env;
}

static bool is_file_op(const struct env_io *io)
{
	return io->op != ENV_RECV && io->op != ENV_SEND;
}

static size_t iov_bytes(const struct env_io *io)
{
	size_t bytes = 0;
	unsigned int i;

	for (i = 0; i < io->nr_iov; i++)
		bytes += io->iov[i].iov_len;
	return bytes;
}

static uint32_t iov_crc(const struct env_io *io)
{
	uint32_t crc = 0;
	unsigned int i;

	for (i = 0; i < io->nr_iov; i++)
		crc = crc32c_continue(crc, io->iov[i].iov_base, io->iov[i].iov_len);
	return crc;
}

static size_t range_bytes(const struct env_io *io)
{
	return io->op == ENV_ZERO ? io->length : iov_bytes(io);
}

static void check_file_request(struct env_mem *mem, const struct env_io *io)
{
	const struct env_mem_disk *disk = &io->file->disk;
	size_t bytes = range_bytes(io);
	unsigned int i;

	if (io->op == ENV_FLUSH)
		return;
	assert(bytes && io->offset % disk->block_bytes == 0);
	assert(io->offset + bytes <= disk->bytes);
	assert(bytes % disk->block_bytes == 0);
	for (i = 0; io->op != ENV_ZERO && i < io->nr_iov; i++) {
		assert((uintptr_t)io->iov[i].iov_base % SECTOR == 0);
		assert(io->iov[i].iov_len % disk->block_bytes == 0);
	}
	if (io->op == ENV_READ)
		return;
	for (i = 0; i < mem->nr_requests; i++) {
		const struct env_io *other = mem->requests[i].io;

		if (!is_file_op(other) || other->file != io->file ||
		    (other->op != ENV_WRITE && other->op != ENV_ZERO))
			continue;
		/* Never two writes in flight on one place. */
		assert(other->offset + range_bytes(other) <= io->offset ||
		       io->offset + bytes <= other->offset);
	}
}

static uint64_t random_delay(struct env_mem *mem)
{
	uint64_t us = 5 + env_mem_below(mem, 100);

	if (env_mem_one_in(mem, 20))
		us += env_mem_below(mem, 20000);
	return us * 1000;
}

static void mem_submit(struct env *env, struct env_io *io)
{
	struct env_mem *mem = mem_of(env);
	struct request *request = &mem->requests[mem->nr_requests];

	assert(mem->nr_requests < MAX_REQUESTS);
	if (is_file_op(io))
		check_file_request(mem, io);
	*request = (struct request){
		.io = io,
		.due_ns = mem->now_ns + random_delay(mem),
		.stamp = mem->stamp,
	};
	if (is_file_op(io) && io->op != ENV_FLUSH && io->file->disk.slow_ms &&
	    io->offset >= io->file->disk.slow_from)
		request->due_ns += io->file->disk.slow_ms * 1000000;
	if (io->op == ENV_WRITE)
		request->crc = iov_crc(io);
	mem->nr_requests++;
}

/* @take: which sectors happen; NULL: all. */
static void change_content(struct env_mem *mem, const struct env_io *io, bool partly)
{
	struct env_mem_disk *disk = &io->file->disk;
	size_t bytes = range_bytes(io), done = 0, skip = 0;
	unsigned int i = 0;

	mem->stamp++;
	while (done < bytes) {
		uint64_t at = io->offset + done;

		if (!partly || env_mem_one_in(mem, 2)) {
			if (io->op == ENV_ZERO)
				memset(disk->content + at, 0, SECTOR);
			else
				memcpy(disk->content + at, (uint8_t *)io->iov[i].iov_base + skip,
				       SECTOR);
			disk->stamp[at / SECTOR] = mem->stamp;
			if (io->flags & ENV_DSYNC && !partly) {
				memcpy(disk->durable + at, disk->content + at, SECTOR);
				disk->stamp[at / SECTOR] = 0;
			}
		}
		done += SECTOR;
		skip += SECTOR;
		if (io->op != ENV_ZERO && skip == io->iov[i].iov_len) {
			i++;
			skip = 0;
		}
	}
}

static void read_content(const struct env_io *io)
{
	const uint8_t *from = io->file->disk.content + io->offset;
	unsigned int i;

	for (i = 0; i < io->nr_iov; i++) {
		memcpy(io->iov[i].iov_base, from, io->iov[i].iov_len);
		from += io->iov[i].iov_len;
	}
}

static void flush_disk(struct env_mem_disk *disk, uint64_t stamp)
{
	size_t i;

	for (i = 0; i < disk->bytes / SECTOR; i++) {
		if (!disk->stamp[i] || disk->stamp[i] > stamp)
			continue;
		memcpy(disk->durable + i * SECTOR, disk->content + i * SECTOR, SECTOR);
		disk->stamp[i] = 0;
	}
}

static bool fails(struct env_mem_disk *disk)
{
	if (disk->fail_in && !--disk->fail_in)
		disk->broken = true;
	return disk->broken;
}

static ssize_t complete_file(struct env_mem *mem, struct request *request)
{
	struct env_io *io = request->io;
	struct env_mem_disk *disk = &io->file->disk;

	if (fails(disk))
		return disk->fail_error;
	switch (io->op) {
	case ENV_READ:
		read_content(io);
		return iov_bytes(io);
	case ENV_WRITE:
		/* Nobody may touch what is being written. */
		assert(request->crc == iov_crc(io));
		change_content(mem, io, false);
		return iov_bytes(io);
	case ENV_ZERO:
		change_content(mem, io, false);
		return io->length;
	default:
		flush_disk(disk, request->stamp);
		return 0;
	}
}

static void pipe_put(struct pipe *pipe, const void *buf, size_t bytes)
{
	if (pipe->end + bytes > pipe->room) {
		pipe->room = 2 * (pipe->end + bytes);
		pipe->buf = realloc(pipe->buf, pipe->room);
		assert(pipe->buf);
	}
	memcpy(pipe->buf + pipe->end, buf, bytes);
	pipe->end += bytes;
}

static size_t pipe_get(struct pipe *pipe, void *buf, size_t bytes)
{
	if (bytes > pipe->end - pipe->start)
		bytes = pipe->end - pipe->start;
	if (bytes)
		memcpy(buf, pipe->buf + pipe->start, bytes);
	pipe->start += bytes;
	if (pipe->start == pipe->end)
		pipe->start = pipe->end = 0;
	return bytes;
}

static ssize_t complete_conn(struct env_mem *mem, struct env_io *io)
{
	struct env_conn *conn = io->conn;
	size_t want;
	unsigned int i;

	if (conn->reset)
		return -ECONNRESET;
	if (io->op == ENV_SEND) {
		for (i = 0; i < io->nr_iov; i++)
			pipe_put(&conn->out, io->iov[i].iov_base, io->iov[i].iov_len);
		return iov_bytes(io);
	}
	assert(io->nr_iov == 1 && io->iov[0].iov_len);
	want = io->iov[0].iov_len;
	if (!mem->whole_chunks && !env_mem_one_in(mem, 3)) {
		size_t most = 1 + env_mem_below(mem, env_mem_one_in(mem, 2) ? 600 : 20000);

		want = want < most ? want : most;
	}
	return pipe_get(&conn->in, io->iov[0].iov_base, want);
}

/* Can it complete at all now? */
static bool is_ready(const struct request *request)
{
	const struct env_io *io = request->io;
	const struct env_conn *conn = io->conn;

	if (io->op != ENV_RECV || request->cancelled)
		return true;
	return conn->in.end > conn->in.start || conn->in.shut || conn->reset;
}

static int next_request(const struct env_mem *mem)
{
	int best = -1;
	unsigned int i;

	for (i = 0; i < mem->nr_requests; i++)
		if (is_ready(&mem->requests[i]) &&
		    (best < 0 || mem->requests[i].due_ns < mem->requests[best].due_ns))
			best = i;
	return best;
}

static void complete(struct env_mem *mem, unsigned int i)
{
	struct request request = mem->requests[i];
	ssize_t result;

	mem->requests[i] = mem->requests[--mem->nr_requests];
	if (request.due_ns > mem->now_ns)
		mem->now_ns = request.due_ns;
	if (request.cancelled)
		result = -ECANCELED;
	else if (is_file_op(request.io))
		result = complete_file(mem, &request);
	else
		result = complete_conn(mem, request.io);
	request.io->done(request.io, result);
}

bool env_mem_step_until(struct env_mem *mem, uint64_t deadline_ns)
{
	int i = next_request(mem);
	uint64_t timer_ns = timers_next_ns(&mem->timers);
	uint64_t request_ns = i < 0 ? UINT64_MAX : mem->requests[i].due_ns;

	if (request_ns < mem->now_ns)
		request_ns = mem->now_ns;
	if ((timer_ns < request_ns ? timer_ns : request_ns) > deadline_ns ||
	    (i < 0 && timer_ns == UINT64_MAX)) {
		if (deadline_ns != UINT64_MAX && deadline_ns > mem->now_ns)
			mem->now_ns = deadline_ns;
		return false;
	}
	if (timer_ns <= request_ns) {
		if (timer_ns > mem->now_ns)
			mem->now_ns = timer_ns;
		timers_fire(&mem->timers, mem->now_ns);
	} else {
		complete(mem, i);
	}
	return true;
}

bool env_mem_step(struct env_mem *mem)
{
	return env_mem_step_until(mem, UINT64_MAX);
}

void env_mem_kill(struct env_mem *mem)
{
	unsigned int i;

	for (i = 0; i < mem->nr_requests; i++) {
		const struct env_io *io = mem->requests[i].io;

		if (!is_file_op(io) || (io->op != ENV_WRITE && io->op != ENV_ZERO))
			continue;
		if (env_mem_one_in(mem, 3))
			continue;
		change_content(mem, io, true);
		if (env_mem_one_in(mem, 2)) {
			/* All of it, but not flushed. */
			struct env_io whole = *io;

			whole.flags = 0;
			change_content(mem, &whole, false);
		}
	}
	mem->nr_requests = 0;
	while (mem->timers.count)
		timers_clear(&mem->timers, mem->timers.heap[0]);
	for (i = 0; i < mem->nr_conns; i++)
		mem->conns[i]->reset = true;
}

void env_mem_power_cut(struct env_mem *mem)
{
	uint64_t odds = 1 + env_mem_below(mem, 4);
	unsigned int d;
	size_t i;

	env_mem_kill(mem);
	for (d = 0; d < mem->nr_disks; d++) {
		struct env_mem_disk *disk = &mem->disks[d]->disk;

		for (i = 0; i < disk->bytes / SECTOR; i++) {
			if (!disk->stamp[i])
				continue;
			if (env_mem_below(mem, odds + 1))
				memcpy(disk->content + i * SECTOR, disk->durable + i * SECTOR, SECTOR);
			else
				memcpy(disk->durable + i * SECTOR, disk->content + i * SECTOR, SECTOR);
			disk->stamp[i] = 0;
		}
	}
}

struct env_mem_disk *env_mem_disk(struct env_mem *mem, const char *name, size_t bytes,
				  size_t block_bytes)
{
	struct env_file *file = calloc(1, sizeof(*file));
	struct env_mem_disk *disk = &file->disk;

	assert(file && mem->nr_disks < MAX_DISKS && bytes % block_bytes == 0);
	disk->mem = mem;
	snprintf(disk->name, sizeof(disk->name), "%s", name);
	disk->bytes = bytes;
	disk->block_bytes = block_bytes;
	disk->content = calloc(1, bytes);
	disk->durable = calloc(1, bytes);
	disk->stamp = calloc(bytes / SECTOR, sizeof(*disk->stamp));
	assert(disk->content && disk->durable && disk->stamp);
	mem->disks[mem->nr_disks++] = file;
	return disk;
}

struct env_file *env_mem_file(struct env_mem_disk *disk)
{
	return (struct env_file *)disk;
}

uint8_t *env_mem_content(struct env_mem_disk *disk)
{
	return disk->content;
}

void env_mem_make_durable(struct env_mem_disk *disk)
{
	memcpy(disk->durable, disk->content, disk->bytes);
	memset(disk->stamp, 0, disk->bytes / SECTOR * sizeof(*disk->stamp));
}

void env_mem_fail(struct env_mem_disk *disk, unsigned int nth, int error)
{
	disk->fail_in = nth;
	disk->fail_error = error;
	disk->broken = false;
}

void env_mem_slow(struct env_mem_disk *disk, uint64_t offset, uint64_t ms)
{
	disk->slow_from = offset;
	disk->slow_ms = ms;
}

struct env_conn *env_mem_conn(struct env_mem *mem)
{
	struct env_conn *conn = calloc(1, sizeof(*conn));

	assert(conn && mem->nr_conns < MAX_CONNS);
	conn->mem = mem;
	mem->conns[mem->nr_conns++] = conn;
	return conn;
}

void env_mem_conn_put(struct env_conn *conn, const void *buf, size_t bytes)
{
	pipe_put(&conn->in, buf, bytes);
}

size_t env_mem_conn_get(struct env_conn *conn, void *buf, size_t bytes)
{
	return pipe_get(&conn->out, buf, bytes);
}

void env_mem_conn_shut(struct env_conn *conn)
{
	conn->in.shut = true;
}

size_t env_mem_conn_unread(const struct env_conn *conn)
{
	return conn->in.end - conn->in.start;
}

void env_mem_whole_chunks(struct env_mem *mem, bool whole)
{
	mem->whole_chunks = whole;
}

static void mem_timer_set(struct env *env, struct env_timer *timer, uint64_t deadline_ns)
{
	timers_set(&mem_of(env)->timers, timer, deadline_ns);
}

static void mem_timer_clear(struct env *env, struct env_timer *timer)
{
	timers_clear(&mem_of(env)->timers, timer);
}

static uint64_t mem_monotonic_ns(struct env *env)
{
	return mem_of(env)->now_ns;
}

static uint64_t mem_realtime_ns(struct env *env)
{
	return 1700000000000000000ULL + mem_of(env)->now_ns;
}

static void mem_random_bytes(struct env *env, void *buf, size_t bytes)
{
	uint8_t *p = buf;

	while (bytes--)
		*p++ = env_mem_random(mem_of(env));
}

static void mem_conn_cancel(struct env *env, struct env_conn *conn)
{
	struct env_mem *mem = mem_of(env);
	unsigned int i;

	for (i = 0; i < mem->nr_requests; i++) {
		struct request *request = &mem->requests[i];

		if (is_file_op(request->io) || request->io->conn != conn)
			continue;
		/* What has already happened is told all the same. */
		if (!is_ready(request) || env_mem_one_in(mem, 2))
			request->cancelled = true;
	}
}

static void *mem_ring_alloc(struct env *env, size_t bytes)
{
	(void)env;
	return ringmap_alloc(bytes);
}

static void mem_ring_free(struct env *env, void *ring, size_t bytes)
{
	(void)env;
	ringmap_free(ring, bytes);
}

static void mem_log(struct env *env, int level, const char *resource, const char *text)
{
	(void)env;
	if (getenv("ENV_MEM_LOG"))
		fprintf(stderr, "# <%d> %s: %s\n", level, resource, text);
}

static const struct env_ops mem_ops = {
	.submit = mem_submit,
	.timer_set = mem_timer_set,
	.timer_clear = mem_timer_clear,
	.monotonic_ns = mem_monotonic_ns,
	.realtime_ns = mem_realtime_ns,
	.random = mem_random_bytes,
	.conn_cancel = mem_conn_cancel,
	.ring_alloc = mem_ring_alloc,
	.ring_free = mem_ring_free,
	.log = mem_log,
};

struct env_mem *env_mem_create(uint64_t seed)
{
	struct env_mem *mem = calloc(1, sizeof(*mem));

	assert(mem);
	mem->env.ops = &mem_ops;
	mem->random = seed * 0x2545f4914f6cdd1dULL + 1;
	mem->now_ns = 1000000000;
	timers_init(&mem->timers);
	return mem;
}

void env_mem_destroy(struct env_mem *mem)
{
	unsigned int i;

	for (i = 0; i < mem->nr_disks; i++) {
		free(mem->disks[i]->disk.content);
		free(mem->disks[i]->disk.durable);
		free(mem->disks[i]->disk.stamp);
		free(mem->disks[i]);
	}
	for (i = 0; i < mem->nr_conns; i++) {
		free(mem->conns[i]->in.buf);
		free(mem->conns[i]->out.buf);
		free(mem->conns[i]);
	}
	timers_exit(&mem->timers);
	free(mem);
}

struct env *env_mem_env(struct env_mem *mem)
{
	return &mem->env;
}
