// SPDX-License-Identifier: GPL-2.0
/*
 * The module's whole life, again and again in one process: load, start, connect
 * a replica, write, stop (every second time by force), unload.
 *
 *	ktool cycle NAME DEVICE image=FILE module=FILE [cycles=N]
 *
 * What was written is in the image after each orderly stop.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ktool.h"

enum { PEER = 2, WAIT_MS = 5000, WRITE_BYTES = 256 << 10 };

struct life {
	const char *name;
	struct nl *nl;
	int module;
	int backing;			/* while the module has not got it */
	struct replica replica;
	pthread_t thread;
	char *data, *check;
};

static void must(bool good, const char *what)
{
	if (!good)
		die(what, errno);
}

static void must_nl(const struct life *life, int err, const char *what)
{
	if (err)
		fprintf(stderr, "ktool: %s\n", nl_error(life->nl));
	errno = -err;
	must(!err, what);
}

static void *serve_thread(void *arg)
{
	serve(arg);
	return NULL;
}

/* Frozen until the replica is there, so that it lacks nothing. */
static void start(struct life *life)
{
	static struct nl_resource res;

	describe(&res, life->name, 1, life->backing);
	res.frozen = true;
	must_nl(life, nl_start(life->nl, &res), "start");
	close(life->backing);
}

static void mirror(struct life *life)
{
	struct replica *r = &life->replica;
	uint64_t s0;
	int pair[2], err = tcp_pair(pair);

	must_nl(life, err, "connection");
	r->fd = pair[1];
	r->seq = 0;
	r->commit = 0;
	must_nl(life, nl_attach(life->nl, life->name, PEER, pair[0], r->session, r->timeline,
				r->seq, &s0), "attach");
	close(pair[0]);
	errno = pthread_create(&life->thread, NULL, serve_thread, r);
	must(!errno, "thread");
	must_nl(life, nl_resume(life->nl, life->name), "resume");
}

static void write_some(struct life *life, unsigned int n)
{
	static struct nl_resource res;
	char path[32];
	int disk;

	must_nl(life, nl_get(life->nl, life->name, &res), "get");
	snprintf(path, sizeof(path), "/dev/reprise%d", res.volumes[0].minor);
	disk = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	must(disk >= 0, path);
	memset(life->data, 1 + n % 255, WRITE_BYTES);
	must(pwrite(disk, life->data, WRITE_BYTES, 0) == WRITE_BYTES, "write");
	must(!fsync(disk), "flush");
	close(disk);
}

static void stop(struct life *life, bool force)
{
	static struct nl_resource res;
	uint64_t seq;

	must_nl(life, nl_stop(life->nl, life->name, WAIT_MS, force, &res, &seq), "stop");
	life->backing = res.volumes[0].backing_fd;
	pthread_join(life->thread, NULL);
}

static void compare(struct life *life)
{
	must(pread(life->replica.image, life->check, WRITE_BYTES, 0) == WRITE_BYTES, "image");
	errno = EILSEQ;
	must(!memcmp(life->data, life->check, WRITE_BYTES), "the image");
}

static void live(struct life *life, unsigned int n)
{
	bool force = n % 2;

	must(!syscall(SYS_finit_module, life->module, "", 0), "load");
	life->nl = connect_kernel();
	start(life);
	mirror(life);
	write_some(life, n);
	stop(life, force);
	if (!force)
		compare(life);
	nl_close(life->nl);
	must(!syscall(SYS_delete_module, "reprise", O_NONBLOCK), "unload");
}

int cmd_cycle(const char *name, const char *device)
{
	static struct life life = { .replica.session = 42 };
	unsigned int n, cycles = number("cycles", 50);

	life.name = name;
	life.module = open(option("module", ""), O_RDONLY | O_CLOEXEC);
	life.replica.image = open(option("image", ""), O_RDWR | O_CLOEXEC);
	must(life.module >= 0 && life.replica.image >= 0, "module or image");
	memset(life.replica.timeline, 0x17, sizeof(life.replica.timeline));
	life.backing = open_backing(device);
	life.data = aligned_alloc(4096, WRITE_BYTES);
	life.check = aligned_alloc(4096, WRITE_BYTES);
	must(life.data && life.check, "buffers");
	for (n = 0; n < cycles; n++)
		live(&life, n);
	printf("# %u cycles\n", n);
	return 0;
}
