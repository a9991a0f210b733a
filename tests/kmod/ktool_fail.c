// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations that fail: an operation is done again and again, and each time
 * the next one of its allocations fails (Documentation/fault-injection of the
 * kernel: fail-nth), until it has none left that could. After each, nothing has
 * changed and the same operation then succeeds, or it succeeded all the same.
 *
 *	ktool fail OPERATION NAME DEVICE image=FILE [part=I parts=K]
 *
 * with a replica in the image that must end identical; only the Nth with
 * N mod K = I. "ktool fail load NAME FILE" is about the module itself.
 *
 * What fails must be the operation's own: a guest's root is reached by 9p, which
 * gives up for ever when it has no memory for a request. So all that the tool
 * may touch meanwhile is in memory: itself, by mlockall(), and the module's
 * file, backing device and image, which the caller puts on a tmpfs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "ktool.h"

enum {
	PEER = 2,
	BUFFER_BYTES = 1 << 20,
	ZERO_BYTES = 1 << 20,
	LEAF_BYTES = 32 << 20,
	STACK_BYTES = 256 << 10,
};

/* What can be seen of the resource, or, loading, of the module. */
struct state {
	bool there;
	bool frozen;
	enum reprise_durability durability;
	enum reprise_peer_state peer;
	uint64_t io_errors;
};

struct operation;

struct rig {
	const struct operation *op;
	const char *name, *device;
	struct nl *nl;
	struct nl_resource res;
	int module;			/* its file, of the operation "load" */
	int backing;			/* while the resource is stopped, else -1 */
	int disk;			/* the volume, while there is I/O, else -1 */
	int pair[2];			/* of the next session, or -1 */
	bool serving;
	pthread_t thread;
	struct replica replica;
	unsigned int n;
	char *buffer, *check;
};

/*
 * Where an operation begins (with a peer? frozen? with the device open?), whose
 * allocations fail (a kernel thread's name, or its own), and how it has ended.
 */
struct operation {
	const char *name;
	bool started, mirrored, frozen, opened;
	const char *victim;
	int (*run)(struct rig *rig);
	bool (*done)(const struct state *state);
};

static void complain(const struct rig *rig, const char *what, int err)
{
	printf("# %s, allocation %u: %s (%s)\n", rig->op->name, rig->n, what,
	       err ? strerror(-err) : "no error");
	exit(1);
}

/* --- the operations ----------------------------------------------------- */

static int run_load(struct rig *rig)
{
	return syscall(SYS_finit_module, rig->module, "", 0) ? -errno : 0;
}

static int run_start(struct rig *rig)
{
	static struct nl_resource res;

	describe(&res, rig->name, 1, rig->backing);
	return nl_start(rig->nl, &res);
}

static int run_set(struct rig *rig)
{
	static struct nl_resource res;

	snprintf(res.name, sizeof(res.name), "%s", rig->name);
	res.durability = REPRISE_DURABILITY_MEMORY;
	return nl_set(rig->nl, &res);
}

static int run_get(struct rig *rig)
{
	return nl_get(rig->nl, rig->name, &rig->res);
}

static int run_list(struct rig *rig)
{
	struct nl_resource *list = NULL;
	size_t count = 0;
	int err = nl_list(rig->nl, &list, &count);

	free(list);
	return err ? err : count == 1 ? 0 : -ENOENT;
}

static int run_attach(struct rig *rig)
{
	uint64_t s0;

	return nl_attach(rig->nl, rig->name, PEER, rig->pair[0], rig->replica.session,
			 rig->replica.timeline, rig->replica.seq, &s0);
}

static int run_detach(struct rig *rig)
{
	return nl_detach(rig->nl, rig->name, PEER);
}

static int run_freeze(struct rig *rig)
{
	return nl_freeze(rig->nl, rig->name);
}

static int run_resume(struct rig *rig)
{
	return nl_resume(rig->nl, rig->name);
}

static int stop(struct rig *rig, bool force)
{
	static struct nl_resource res;
	uint64_t seq;
	int err = nl_stop(rig->nl, rig->name, 5000, force, &res, &seq);

	if (!err)
		rig->backing = res.volumes[0].backing_fd;
	return err;
}

static int run_stop(struct rig *rig)
{
	return stop(rig, false);
}

static int run_force(struct rig *rig)
{
	return stop(rig, true);
}

static int write_at(struct rig *rig, size_t bytes, off_t at)
{
	ssize_t got;

	memset(rig->buffer, 'a' + rig->n % 26, bytes);
	got = pwrite(rig->disk, rig->buffer, bytes, at);
	if (got != (ssize_t)bytes)
		return got < 0 ? -errno : -EIO;
	return 0;
}

static int run_write(struct rig *rig)
{
	return write_at(rig, 4096, (off_t)(rig->n % 64) * 4096);
}

static int run_write_big(struct rig *rig)
{
	return write_at(rig, BUFFER_BYTES, 1 << 20);
}

static int run_flush(struct rig *rig)
{
	return fsync(rig->disk) ? -errno : 0;
}

static int run_zero(struct rig *rig)
{
	uint64_t range[2] = { 2 << 20, ZERO_BYTES };

	return ioctl(rig->disk, BLKZEROOUT, range) ? -errno : 0;
}

static int run_discard(struct rig *rig)
{
	uint64_t range[2] = { 3 << 20, ZERO_BYTES };

	return ioctl(rig->disk, BLKDISCARD, range) ? -errno : 0;
}

static int run_read(struct rig *rig)
{
	ssize_t got = pread(rig->disk, rig->check, BUFFER_BYTES, 0);

	return got == BUFFER_BYTES ? 0 : got < 0 ? -errno : -EIO;
}

/* What an absent peer lacks is marked in a map that has to be allocated. */
static int run_absent(struct rig *rig)
{
	return write_at(rig, 8192, LEAF_BYTES - 4096);
}

static int run_traffic(struct rig *rig)
{
	int err = run_write(rig);

	if (!err)
		err = run_write_big(rig);
	return err ? err : run_flush(rig);
}

static bool is_there(const struct state *s) { return s->there; }
static bool is_gone(const struct state *s) { return !s->there; }
static bool is_set(const struct state *s) { return s->durability == REPRISE_DURABILITY_MEMORY; }
static bool is_connected(const struct state *s) { return s->peer == REPRISE_PEER_CONNECTED; }
static bool is_detached(const struct state *s) { return s->peer == REPRISE_PEER_ABSENT; }
static bool is_behind(const struct state *s) { return s->peer == REPRISE_PEER_BEHIND; }
static bool is_frozen(const struct state *s) { return s->frozen; }
static bool is_running(const struct state *s) { return s->there && !s->frozen; }

static const struct operation operations[] = {
	{ .name = "load", .run = run_load, .done = is_there },
	{ .name = "start", .run = run_start, .done = is_there },
	{ .name = "set", .started = true, .run = run_set, .done = is_set },
	{ .name = "get", .started = true, .mirrored = true, .run = run_get, .done = is_connected },
	{ .name = "list", .started = true, .run = run_list, .done = is_there },
	{ .name = "attach", .started = true, .run = run_attach, .done = is_connected },
	{ .name = "detach", .started = true, .mirrored = true, .run = run_detach,
	  .done = is_detached },
	{ .name = "freeze", .started = true, .mirrored = true, .run = run_freeze,
	  .done = is_frozen },
	{ .name = "resume", .started = true, .mirrored = true, .frozen = true, .run = run_resume,
	  .done = is_running },
	{ .name = "stop", .started = true, .mirrored = true, .run = run_stop, .done = is_gone },
	{ .name = "force", .started = true, .mirrored = true, .run = run_force, .done = is_gone },
	{ .name = "write", .started = true, .mirrored = true, .opened = true, .run = run_write,
	  .done = is_connected },
	{ .name = "write-big", .started = true, .mirrored = true, .opened = true,
	  .run = run_write_big, .done = is_connected },
	{ .name = "flush", .started = true, .mirrored = true, .opened = true, .run = run_flush,
	  .done = is_connected },
	{ .name = "zero", .started = true, .mirrored = true, .opened = true, .run = run_zero,
	  .done = is_connected },
	{ .name = "discard", .started = true, .mirrored = true, .opened = true,
	  .run = run_discard, .done = is_connected },
	{ .name = "read", .started = true, .mirrored = true, .opened = true, .run = run_read,
	  .done = is_connected },
	{ .name = "absent", .started = true, .opened = true, .run = run_absent,
	  .done = is_behind },
	{ .name = "sender", .started = true, .mirrored = true, .opened = true,
	  .victim = "reprise_s/", .run = run_traffic, .done = is_connected },
	{ .name = "receiver", .started = true, .mirrored = true, .opened = true,
	  .victim = "reprise_r/", .run = run_traffic, .done = is_connected },
};

/* --- the rig ------------------------------------------------------------ */

static struct state look(struct rig *rig)
{
	struct state state = { 0 };
	int err;

	if (!rig->nl) {
		state.there = !access("/sys/module/reprise", F_OK);
		return state;
	}
	err = nl_get(rig->nl, rig->name, &rig->res);
	if (err == -ENOENT)
		return state;
	if (err)
		complain(rig, "the state cannot be read", err);
	state.there = true;
	state.frozen = rig->res.frozen;
	state.durability = rig->res.durability;
	state.peer = rig->res.peers[0].state;
	state.io_errors = rig->res.volumes[0].io_errors;
	return state;
}

static bool same(const struct state *a, const struct state *b)
{
	return a->there == b->there && a->frozen == b->frozen &&
	       a->durability == b->durability && a->peer == b->peer &&
	       a->io_errors == b->io_errors;
}

static void *serve_thread(void *arg)
{
	serve(arg);
	return NULL;
}

/* The replica runs while there is a session, and no longer. */
static void follow(struct rig *rig, const struct state *state)
{
	bool connected = state->there && state->peer == REPRISE_PEER_CONNECTED;

	if (connected && !rig->serving) {
		close(rig->pair[0]);
		rig->replica.fd = rig->pair[1];
		rig->pair[0] = -1;
		rig->serving = !pthread_create(&rig->thread, NULL, serve_thread, &rig->replica);
		if (!rig->serving)
			die("thread", EAGAIN);
	} else if (!connected && rig->serving) {
		pthread_join(rig->thread, NULL);
		rig->serving = false;
	}
	if (state->there && rig->backing >= 0) {
		close(rig->backing);
		rig->backing = -1;
	}
}

static struct state look_and_follow(struct rig *rig)
{
	struct state state = look(rig);

	if (rig->nl)
		follow(rig, &state);
	return state;
}

static void must(struct rig *rig, int (*run)(struct rig *), const char *what)
{
	int err = run(rig);

	if (err)
		complain(rig, what, err);
	look_and_follow(rig);
}

static void close_disk(struct rig *rig)
{
	if (rig->disk >= 0)
		close(rig->disk);
	rig->disk = -1;
}

static void open_disk(struct rig *rig)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/reprise%d", rig->res.volumes[0].minor);
	rig->disk = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (rig->disk < 0)
		complain(rig, "the device cannot be opened", -errno);
}

/* A stream of its own per start: seqs begin at 0 again. */
static void be_stopped(struct rig *rig)
{
	close_disk(rig);
	if (look_and_follow(rig).there)
		must(rig, run_stop, "stopping in between");
	if (rig->backing < 0)
		rig->backing = open_backing(rig->device);
	rig->replica.seq = 0;
	rig->replica.commit = 0;
}

/* Brings about what the operation begins with, whatever the last one left. */
static struct state prepare(struct rig *rig)
{
	const struct operation *op = rig->op;
	struct state s = look_and_follow(rig);

	if (!op->started || s.durability != REPRISE_DURABILITY_WRITE ||
	    s.peer == REPRISE_PEER_BEHIND || (s.peer == REPRISE_PEER_CONNECTED && !op->mirrored))
		be_stopped(rig);
	s = look_and_follow(rig);
	if (op->started && !s.there)
		must(rig, run_start, "starting in between");
	s = look_and_follow(rig);
	if (op->started && s.peer != REPRISE_PEER_CONNECTED) {
		rig->replica.seq = rig->res.seq;
		if (rig->pair[0] < 0 && tcp_pair(rig->pair))
			die("connection", errno);
		if (op->mirrored)
			must(rig, run_attach, "attaching in between");
	}
	if (op->started && s.frozen != op->frozen)
		must(rig, op->frozen ? run_freeze : run_resume, "freezing in between");
	if (op->opened && rig->disk < 0)
		open_disk(rig);
	return look_and_follow(rig);
}

static struct state unload(struct rig *rig)
{
	if (look(rig).there && syscall(SYS_delete_module, "reprise", O_NONBLOCK))
		complain(rig, "the module cannot be removed", -errno);
	return look(rig);
}

/* --- the fault ---------------------------------------------------------- */

static int thread_number(const char *prefix, const char *name)
{
	char path[300], comm[32] = "", wanted[64];
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int pid = 0;

	/* The kernel cuts a thread's name at 15 characters. */
	snprintf(wanted, sizeof(wanted), "%s%s", prefix, name);
	wanted[15] = 0;
	while (!pid && dir && (entry = readdir(dir))) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		if (fscanf(file, "%31s", comm) == 1 && !strcmp(comm, wanted))
			pid = atoi(entry->d_name);
		fclose(file);
	}
	closedir(dir);
	return pid;
}

static int open_fault(struct rig *rig)
{
	char path[64] = "/proc/thread-self/fail-nth";
	int fd;

	if (rig->op->victim)
		snprintf(path, sizeof(path), "/proc/%d/fail-nth",
			 thread_number(rig->op->victim, rig->name));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(path, errno);
	return fd;
}

static void arm(int fd, unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(fd, text, length, 0) != length)
		die("fail-nth", errno);
}

/* Returns whether an allocation did fail: then the counter has run down. */
static bool disarm(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		die("fail-nth", errno);
	if (!strtoul(text, NULL, 10))
		return true;
	arm(fd, 0);
	return false;
}

/* --- one allocation ----------------------------------------------------- */

/* The kernel may have had no memory left to say that it succeeded. */
static bool only_unsaid(int err, const struct rig *rig, const struct state *after)
{
	return err == -ENOBUFS && rig->op->done(after);
}

/* Returns false when the operation has no Nth allocation; counts refusals. */
static bool fail_one(struct rig *rig, unsigned int *refused)
{
	struct state before = rig->nl ? prepare(rig) : unload(rig), after;
	int fd = open_fault(rig), err;
	bool hit;

	arm(fd, rig->n);
	err = rig->op->run(rig);
	hit = disarm(fd);
	close(fd);
	after = look_and_follow(rig);
	if (err && hit && !only_unsaid(err, rig, &after)) {
		*refused += 1;
		if (!same(&before, &after))
			complain(rig, "it failed, but something has changed", err);
		err = rig->op->run(rig);
		after = look_and_follow(rig);
		if (err)
			complain(rig, "it does not succeed the second time", err);
	} else if (err && !hit) {
		complain(rig, "it failed, though no allocation did", err);
	}
	if (!rig->op->done(&after))
		complain(rig, "it succeeded, but is not done", err);
	if (after.io_errors)
		complain(rig, "the backing device is blamed", 0);
	return hit;
}

static const struct operation *find_operation(const char *name)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (!strcmp(operations[i].name, name))
			return &operations[i];
	die(name, ENOENT);
}

/* On a tmpfs, where reading it allocates nothing and asks nobody. */
static int open_in_memory(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs))
		die(path, errno);
	if (fs.f_type != TMPFS_MAGIC) {
		fprintf(stderr, "ktool: %s is not on a tmpfs\n", path);
		exit(1);
	}
	return fd;
}

/* Nothing of this program has to be read, nor its stack to grow, from here on. */
static void stay_in_memory(void)
{
	volatile char stack[STACK_BYTES];

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		die("mlockall", errno);
	for (size_t i = 0; i < sizeof(stack); i += 4096)
		stack[i] = 0;
}

static void set_up(struct rig *rig)
{
	if (!strcmp(rig->op->name, "load")) {
		rig->module = open_in_memory(rig->device, O_RDONLY);
		return;
	}
	rig->nl = connect_kernel();
	rig->replica.session = 42;
	memset(rig->replica.timeline, 0x17, sizeof(rig->replica.timeline));
	rig->replica.image = open_in_memory(option("image", ""), O_RDWR);
	rig->buffer = aligned_alloc(4096, BUFFER_BYTES);
	rig->check = aligned_alloc(4096, BUFFER_BYTES);
	if (!rig->buffer || !rig->check)
		die("buffers", ENOMEM);
}

int cmd_fail(const char *operation, const char *name, const char *device)
{
	static struct rig rig = { .backing = -1, .disk = -1, .pair = { -1, -1 } };
	unsigned int refused = 0, tried = 0, parts = number("parts", 1), part = number("part", 0);
	bool hit = true;

	rig.op = find_operation(operation);
	rig.name = name;
	rig.device = device;
	set_up(&rig);
	stay_in_memory();
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (rig.n = part ? part : parts; hit; rig.n += parts) {
		hit = fail_one(&rig, &refused);
		tried += hit;
	}
	if (rig.nl)
		be_stopped(&rig);
	else
		unload(&rig);
	printf("# %s: %u failed allocations, %u of them refused the operation\n", operation, tried,
	       refused);
	return 0;
}
