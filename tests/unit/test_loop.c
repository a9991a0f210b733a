// SPDX-License-Identifier: GPL-2.0
/*
 * The event loop on the real thing: files with O_DIRECT, sockets, timers,
 * cancellation, the ring mapped twice.  Skips where io_uring is forbidden.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/backing.h"
#include "agent/log_line.h"
#include "agent/loop.h"
#include "agent/timers.h"
#include "kselftest_harness.h"

enum { BLOCK = 4096, MIB = 1 << 20, RING_BYTES = 256 << 10 };

#define NS_PER_MS 1000000ull

struct waiter {
	struct env_io io;
	struct iovec iov[4];
	ssize_t result;
	bool done;
};

static void note_done(struct env_io *io, ssize_t result)
{
	struct waiter *waiter = (struct waiter *)io;

	waiter->result = result;
	waiter->done = true;
}

static void submit(struct loop *loop, struct waiter *waiter)
{
	waiter->done = false;
	waiter->io.done = note_done;
	if (!waiter->io.iov) {
		waiter->io.iov = waiter->iov;
		waiter->io.nr_iov = 1;
	}
	env_submit(loop_env(loop), &waiter->io);
}

static ssize_t run(struct loop *loop, struct waiter *waiter)
{
	submit(loop, waiter);
	while (!waiter->done)
		loop_round(loop);
	return waiter->result;
}

static ssize_t run_file(struct loop *loop, struct env_file *file, enum env_op op,
			unsigned int flags, uint64_t offset, void *buf, size_t bytes)
{
	struct waiter waiter = {
		.io = { .op = op, .flags = flags, .file = file, .offset = offset,
			.length = bytes },
		.iov = { { buf, bytes } },
	};

	return run(loop, &waiter);
}

FIXTURE(loop)
{
	struct loop *loop;
	struct env *env;
	char dir[64];
	char path[96];
	char *buf;
};

FIXTURE_SETUP(loop)
{
	char error[256];
	int err;

	err = loop_create(&self->loop, error, sizeof(error));
	if (err == -EPERM || err == -ENOSYS)
		SKIP(return, "%s", error);
	ASSERT_EQ(0, err) TH_LOG("%s", error);
	self->env = loop_env(self->loop);
	/* Not /tmp, which may be a tmpfs without O_DIRECT. */
	strcpy(self->dir, "/var/tmp/reprise-test-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	snprintf(self->path, sizeof(self->path), "%s/file", self->dir);
	self->buf = aligned_alloc(BLOCK, MIB);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(loop)
{
	char command[128];

	if (!self->env)
		return;
	loop_destroy(self->loop);
	free(self->buf);
	snprintf(command, sizeof(command), "rm -rf %s", self->dir);
	EXPECT_EQ(0, system(command));
}

static int make_file(const char *path, size_t bytes)
{
	int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);

	if (fd < 0 || ftruncate(fd, bytes) < 0)
		return -1;
	return close(fd);
}

/* Files. */

TEST_F(loop, file_write_flush_read)
{
	struct env_file *file;
	uint64_t bytes;

	ASSERT_EQ(0, make_file(self->path, 2 * MIB));
	ASSERT_EQ(0, self->env->ops->file_open(self->env, self->path, &file, &bytes));
	EXPECT_EQ(2u * MIB, bytes);
	memset(self->buf, 0x5a, MIB);
	EXPECT_EQ(MIB, run_file(self->loop, file, ENV_WRITE, ENV_DSYNC, BLOCK, self->buf, MIB));
	EXPECT_EQ(0, run_file(self->loop, file, ENV_FLUSH, 0, 0, NULL, 0));
	memset(self->buf, 0, MIB);
	EXPECT_EQ(MIB, run_file(self->loop, file, ENV_READ, 0, BLOCK, self->buf, MIB));
	EXPECT_EQ(0x5a, self->buf[0]);
	EXPECT_EQ(0x5a, self->buf[MIB - 1]);
	EXPECT_EQ(BLOCK, run_file(self->loop, file, ENV_READ, 0, 0, self->buf, BLOCK));
	EXPECT_EQ(0, self->buf[0]);
	self->env->ops->file_close(self->env, file);
}

TEST_F(loop, file_vectors)
{
	struct waiter waiter = { 0 };
	struct env_file *file;
	uint64_t bytes;

	ASSERT_EQ(0, make_file(self->path, MIB));
	ASSERT_EQ(0, self->env->ops->file_open(self->env, self->path, &file, &bytes));
	for (int i = 0; i < 4; i++) {
		memset(self->buf + i * BLOCK, 'a' + i, BLOCK);
		waiter.iov[3 - i] = (struct iovec){ self->buf + i * BLOCK, i == 2 ? 0 : BLOCK };
	}
	waiter.io = (struct env_io){ .op = ENV_WRITE, .file = file, .iov = waiter.iov,
				     .nr_iov = 4 };
	EXPECT_EQ(3 * BLOCK, run(self->loop, &waiter));
	EXPECT_EQ(3 * BLOCK, run_file(self->loop, file, ENV_READ, 0, 0, self->buf, 3 * BLOCK));
	EXPECT_EQ('d', self->buf[0]);
	EXPECT_EQ('b', self->buf[BLOCK]);
	EXPECT_EQ('a', self->buf[2 * BLOCK]);
	self->env->ops->file_close(self->env, file);
}

TEST_F(loop, file_read_beyond_end)
{
	struct env_file *file;
	uint64_t bytes;

	ASSERT_EQ(0, make_file(self->path, 2 * BLOCK));
	ASSERT_EQ(0, self->env->ops->file_open(self->env, self->path, &file, &bytes));
	EXPECT_EQ(-EIO, run_file(self->loop, file, ENV_READ, 0, BLOCK, self->buf, 2 * BLOCK));
	EXPECT_EQ(-EIO, run_file(self->loop, file, ENV_READ, 0, 8 * BLOCK, self->buf, BLOCK));
	self->env->ops->file_close(self->env, file);
}

TEST_F(loop, file_zero)
{
	static const unsigned int flags[] = { 0, ENV_UNMAP };
	struct env_file *file;
	uint64_t bytes;

	ASSERT_EQ(0, make_file(self->path, 4 * MIB));
	ASSERT_EQ(0, self->env->ops->file_open(self->env, self->path, &file, &bytes));
	for (int i = 0; i < 2; i++) {
		memset(self->buf, 0x77, MIB);
		ASSERT_EQ(MIB, run_file(self->loop, file, ENV_WRITE, 0, 0, self->buf, MIB));
		EXPECT_EQ(64 * BLOCK, run_file(self->loop, file, ENV_ZERO, flags[i], BLOCK, NULL,
					       64 * BLOCK));
		ASSERT_EQ(MIB, run_file(self->loop, file, ENV_READ, 0, 0, self->buf, MIB));
		EXPECT_EQ(0x77, self->buf[BLOCK - 1]);
		for (int j = BLOCK; j < 65 * BLOCK; j++)
			ASSERT_EQ(0, self->buf[j]);
		EXPECT_EQ(0x77, self->buf[65 * BLOCK]);
	}
	self->env->ops->file_close(self->env, file);
}

TEST_F(loop, file_is_exclusive)
{
	struct env_file *file, *second;
	uint64_t bytes;
	int fd;

	ASSERT_EQ(0, make_file(self->path, MIB));
	ASSERT_EQ(0, self->env->ops->file_open(self->env, self->path, &file, &bytes));
	EXPECT_EQ(-EBUSY, self->env->ops->file_open(self->env, self->path, &second, &bytes));
	fd = dup(self->env->ops->file_fd(self->env, file));
	self->env->ops->file_close(self->env, file);
	/* The lock lives as long as the open file, whoever holds it. */
	EXPECT_EQ(-EBUSY, self->env->ops->file_open(self->env, self->path, &second, &bytes));
	ASSERT_EQ(0, self->env->ops->file_adopt(self->env, fd, &file, &bytes));
	EXPECT_EQ(1u * MIB, bytes);
	self->env->ops->file_close(self->env, file);
	EXPECT_EQ(0, self->env->ops->file_open(self->env, self->path, &second, &bytes));
	self->env->ops->file_close(self->env, second);
}

TEST_F(loop, file_refuses_other_kinds)
{
	struct env_file *file;
	uint64_t bytes;

	EXPECT_EQ(-ENOTBLK, self->env->ops->file_open(self->env, self->dir, &file, &bytes));
	EXPECT_EQ(-ENOTBLK, self->env->ops->file_open(self->env, "/dev/null", &file, &bytes));
	EXPECT_EQ(-ENOENT, self->env->ops->file_open(self->env, "/nonexistent", &file, &bytes));
}

TEST(backing_major)
{
	EXPECT_EQ(251, backing_find_major("Character devices:\n 1 mem\n240 reprise\n\n"
					  "Block devices:\n  7 loop\n251 reprise\n253 virtblk\n"));
	EXPECT_EQ(-1, backing_find_major("Character devices:\n240 reprise\n\n"
					 "Block devices:\n  7 loop\n251 reprised\n"));
	EXPECT_EQ(-1, backing_find_major(""));
}

/* A short write (here: the limit of a file's size) is continued, and its error told. */
TEST_F(loop, file_short_write)
{
	struct rlimit limit = { 3 * BLOCK, RLIM_INFINITY };
	struct env_file *file;
	uint64_t bytes;

	ASSERT_EQ(0, make_file(self->path, 2 * BLOCK));
	ASSERT_EQ(0, self->env->ops->file_open(self->env, self->path, &file, &bytes));
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	memset(self->buf, 's', MIB);
	EXPECT_EQ(-EFBIG, run_file(self->loop, file, ENV_WRITE, 0, 0, self->buf, 4 * BLOCK));
	EXPECT_EQ(3 * BLOCK, lseek(self->env->ops->file_fd(self->env, file), 0, SEEK_END));
	self->env->ops->file_close(self->env, file);
}

/* Neither O_DIRECT (before 6.6) nor ZERO_RANGE: both are got around. */
TEST_F(loop, file_on_tmpfs)
{
	static const char path[] = "/dev/shm/reprise-test-loop";
	struct env_file *file;
	uint64_t bytes;

	if (make_file(path, MIB))
		SKIP(return, "no /dev/shm here");
	ASSERT_EQ(0, self->env->ops->file_open(self->env, path, &file, &bytes));
	unlink(path);
	memset(self->buf, 't', MIB);
	EXPECT_EQ(MIB, run_file(self->loop, file, ENV_WRITE, ENV_DSYNC, 0, self->buf, MIB));
	EXPECT_EQ(8 * BLOCK, run_file(self->loop, file, ENV_ZERO, 0, BLOCK, NULL, 8 * BLOCK));
	EXPECT_EQ(8 * BLOCK, run_file(self->loop, file, ENV_ZERO, ENV_UNMAP, 16 * BLOCK, NULL,
				      8 * BLOCK));
	EXPECT_EQ(MIB, run_file(self->loop, file, ENV_READ, 0, 0, self->buf, MIB));
	for (int i = 0; i < MIB; i += 512)
		ASSERT_EQ((i / BLOCK >= 1 && i / BLOCK < 9) ||
			  (i / BLOCK >= 16 && i / BLOCK < 24) ? 0 : 't', self->buf[i]);
	self->env->ops->file_close(self->env, file);
}

/* A loop device; -1: none to be had. */
static int make_block_device(const char *path, char *name, size_t bytes)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	int fd, backing;

	close(control);
	snprintf(name, bytes, "/dev/loop%d", number);
	fd = number < 0 ? -1 : open(name, O_RDWR | O_CLOEXEC);
	backing = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, LOOP_SET_FD, backing) < 0) {
		close(fd);
		fd = -1;
	}
	close(backing);
	return fd;
}

TEST_F(loop, block_device)
{
	struct env_file *file, *second;
	uint64_t bytes;
	char name[32];
	int fd;

	ASSERT_EQ(0, make_file(self->path, 4 * MIB));
	fd = make_block_device(self->path, name, sizeof(name));
	if (fd < 0)
		SKIP(return, "no loop device here");
	ASSERT_EQ(0, self->env->ops->file_open(self->env, name, &file, &bytes));
	EXPECT_EQ(4u * MIB, bytes);
	EXPECT_EQ(-EBUSY, self->env->ops->file_open(self->env, name, &second, &bytes));
	EXPECT_EQ(-1, open(name, O_RDWR | O_EXCL));
	memset(self->buf, 'b', MIB);
	EXPECT_EQ(MIB, run_file(self->loop, file, ENV_WRITE, ENV_DSYNC, MIB, self->buf, MIB));
	EXPECT_EQ(8 * BLOCK, run_file(self->loop, file, ENV_ZERO, 0, MIB, NULL, 8 * BLOCK));
	EXPECT_EQ(8 * BLOCK, run_file(self->loop, file, ENV_ZERO, ENV_UNMAP, MIB + 16 * BLOCK,
				      NULL, 8 * BLOCK));
	EXPECT_EQ(0, run_file(self->loop, file, ENV_FLUSH, 0, 0, NULL, 0));
	EXPECT_EQ(MIB, run_file(self->loop, file, ENV_READ, 0, MIB, self->buf, MIB));
	for (int i = 0; i < MIB; i += 512)
		ASSERT_EQ(i / BLOCK < 8 || (i / BLOCK >= 16 && i / BLOCK < 24) ? 0 : 'b',
			  self->buf[i]);
	EXPECT_EQ(-EIO, run_file(self->loop, file, ENV_READ, 0, 4 * MIB, self->buf, BLOCK));
	self->env->ops->file_close(self->env, file);
	ioctl(fd, LOOP_CLR_FD);
	close(fd);
}

/* The ring. */

TEST_F(loop, ring_is_mapped_twice)
{
	char *ring = self->env->ops->ring_alloc(self->env, RING_BYTES);
	struct env_file *file;
	uint64_t bytes;

	ASSERT_NE(NULL, ring);
	ring[0] = 'x';
	EXPECT_EQ('x', ring[RING_BYTES]);
	memset(ring + RING_BYTES - BLOCK, 'y', 2 * BLOCK);
	EXPECT_EQ('y', ring[0]);
	EXPECT_EQ('y', ring[2 * RING_BYTES - 1]);

	/* A write over the seam, as a fixed buffer where that is possible. */
	ASSERT_EQ(0, make_file(self->path, MIB));
	ASSERT_EQ(0, self->env->ops->file_open(self->env, self->path, &file, &bytes));
	EXPECT_EQ(2 * BLOCK, run_file(self->loop, file, ENV_WRITE, ENV_DSYNC, 0,
				      ring + RING_BYTES - BLOCK, 2 * BLOCK));
	EXPECT_EQ(2 * BLOCK, run_file(self->loop, file, ENV_READ, 0, 0, ring + BLOCK, 2 * BLOCK));
	EXPECT_EQ('y', ring[RING_BYTES + BLOCK]);
	EXPECT_EQ('y', ring[3 * BLOCK - 1]);
	self->env->ops->file_close(self->env, file);
	self->env->ops->ring_free(self->env, ring, RING_BYTES);
}

/* Without the right to pin memory rings work all the same. */
TEST_F(loop, ring_without_privilege)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };
	struct rlimit limit = { RING_BYTES, RING_BYTES };
	struct env_file *file;
	uint64_t bytes;
	char error[256];
	struct loop *loop;
	struct env *env;
	char *ring;

	ASSERT_EQ(0, make_file(self->path, MIB));
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ASSERT_EQ(0, syscall(SYS_capset, &header, none));
	ASSERT_EQ(0, loop_create(&loop, error, sizeof(error))) TH_LOG("%s", error);
	env = loop_env(loop);
	ring = env->ops->ring_alloc(env, RING_BYTES);
	ASSERT_NE(NULL, ring);
	ASSERT_EQ(0, env->ops->file_open(env, self->path, &file, &bytes));
	EXPECT_EQ(BLOCK, run_file(loop, file, ENV_WRITE, ENV_DSYNC, 0, ring, BLOCK));
	env->ops->file_close(env, file);
	env->ops->ring_free(env, ring, RING_BYTES);
	loop_destroy(loop);
}

static int forbid_io_uring(int err)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

TEST(io_uring_forbidden)
{
	struct loop *loop;
	char error[256];

	ASSERT_EQ(0, forbid_io_uring(EPERM));
	EXPECT_EQ(-EPERM, loop_create(&loop, error, sizeof(error)));
	EXPECT_NE(NULL, strstr(error, "kernel.io_uring_disabled"));
}

TEST(io_uring_missing)
{
	struct loop *loop;
	char error[256];

	ASSERT_EQ(0, forbid_io_uring(ENOSYS));
	EXPECT_EQ(-ENOSYS, loop_create(&loop, error, sizeof(error)));
	EXPECT_NE(NULL, strstr(error, "CONFIG_IO_URING"));
}

TEST_F(loop, rings_come_and_go)
{
	for (int i = 0; i < 200; i++) {
		char *ring = self->env->ops->ring_alloc(self->env, RING_BYTES);

		ASSERT_NE(NULL, ring);
		self->env->ops->ring_free(self->env, ring, RING_BYTES);
	}
}

/* Timers. */

struct timed {
	struct env_timer timer;
	int order;
};

static int fired;

static void note_fire(struct env_timer *timer)
{
	((struct timed *)timer)->order = ++fired;
}

static void round_without_waiting(struct loop *loop)
{
	struct timed timed = { .timer.fire = note_fire };

	env_timer_set(loop_env(loop), &timed.timer, 0);
	loop_round(loop);
}

TEST_F(loop, timers_in_order)
{
	uint64_t start = env_monotonic_ns(self->env);
	struct timed timed[5] = { 0 };

	fired = 0;
	for (int i = 0; i < 5; i++) {
		timed[i].timer.fire = note_fire;
		env_timer_set(self->env, &timed[i].timer, start + (5 - i) * 3 * NS_PER_MS);
	}
	env_timer_clear(self->env, &timed[2].timer);
	env_timer_clear(self->env, &timed[2].timer);
	env_timer_set(self->env, &timed[0].timer, start + 1 * NS_PER_MS);
	while (fired < 4)
		loop_round(self->loop);
	EXPECT_LE(start + 12 * NS_PER_MS, env_monotonic_ns(self->env));
	EXPECT_EQ(1, timed[0].order);
	EXPECT_EQ(2, timed[4].order);
	EXPECT_EQ(3, timed[3].order);
	EXPECT_EQ(0, timed[2].order);
	EXPECT_EQ(4, timed[1].order);
}

TEST(timers_against_a_list)
{
	enum { COUNT = 500 };
	static struct timed timed[COUNT];
	struct timers timers;
	uint64_t now = 0;

	timers_init(&timers);
	srandom(1);
	for (int i = 0; i < COUNT; i++)
		timed[i].timer.fire = note_fire;
	for (int step = 0; step < 20000; step++) {
		struct timed *one = &timed[random() % COUNT];
		uint64_t least = UINT64_MAX;

		if (random() % 3)
			timers_set(&timers, &one->timer, now + random() % 1000);
		else
			timers_clear(&timers, &one->timer);
		if (random() % 16 == 0)
			timers_fire(&timers, now += 20);
		for (int i = 0; i < COUNT; i++)
			if (timed[i].timer.armed && timed[i].timer.deadline_ns < least)
				least = timed[i].timer.deadline_ns;
		ASSERT_EQ(least, timers_next_ns(&timers));
	}
	timers_exit(&timers);
}

/* More than there was room for at first: all fire, none early. */
TEST(timers_many)
{
	enum { COUNT = 1000 };
	static struct timed timed[COUNT];
	struct timers timers;

	timers_init(&timers);
	for (int i = 0; i < COUNT; i++) {
		timed[i].timer.fire = note_fire;
		timers_set(&timers, &timed[i].timer, 1 + i * 7 % COUNT);
	}
	timers_fire(&timers, COUNT / 2);
	for (int i = 0; i < COUNT; i++)
		ASSERT_EQ(timed[i].timer.deadline_ns > COUNT / 2, timed[i].timer.armed);
	timers_fire(&timers, COUNT);
	EXPECT_EQ(UINT64_MAX, timers_next_ns(&timers));
	timers_exit(&timers);
}

/* Sockets. */

struct dialer {
	struct env_dial dial;
	struct env_conn *conn;
	int error;
	bool done;
};

static void note_dialed(struct env_dial *dial, struct env_conn *conn, int error)
{
	struct dialer *dialer = (struct dialer *)dial;

	dialer->conn = conn;
	dialer->error = error;
	dialer->done = true;
}

struct server {
	struct env_listener listener;
	struct env_conn *conn;
	struct sockaddr_storage from;
};

static void note_accept(struct env_listener *listener, struct env_conn *conn,
			const struct sockaddr_storage *from)
{
	struct server *server = (struct server *)listener;

	server->conn = conn;
	server->from = *from;
}

static void set_loopback(struct sockaddr_storage *addr, socklen_t *length, int family)
{
	memset(addr, 0, sizeof(*addr));
	addr->ss_family = family;
	if (family == AF_INET) {
		((struct sockaddr_in *)addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		*length = sizeof(struct sockaddr_in);
	} else {
		((struct sockaddr_in6 *)addr)->sin6_addr = in6addr_loopback;
		*length = sizeof(struct sockaddr_in6);
	}
}

static int dial(struct loop *loop, struct dialer *dialer, const struct server *server)
{
	dialer->done = false;
	dialer->dial.done = note_dialed;
	dialer->dial.addr = server->listener.addr;
	dialer->dial.addr_len = server->listener.addr_len;
	dialer->dial.timeout_ns = 1000 * NS_PER_MS;
	loop_env(loop)->ops->conn_dial(loop_env(loop), &dialer->dial);
	while (!dialer->done)
		loop_round(loop);
	return dialer->error;
}

/* A connected pair over loopback; both ends in the same loop. */
static int connect_pair(struct loop *loop, struct server *server, struct dialer *dialer, int family)
{
	int err;

	*server = (struct server){ .listener.accept = note_accept };
	set_loopback(&server->listener.addr, &server->listener.addr_len, family);
	err = loop_env(loop)->ops->listen(loop_env(loop), &server->listener);
	if (err)
		return err;
	err = dial(loop, dialer, server);
	while (!err && !server->conn)
		loop_round(loop);
	return err;
}

static void close_pair(struct loop *loop, struct server *server, struct dialer *dialer)
{
	loop_env(loop)->ops->unlisten(loop_env(loop), &server->listener);
	loop_env(loop)->ops->conn_close(loop_env(loop), server->conn);
	loop_env(loop)->ops->conn_close(loop_env(loop), dialer->conn);
	for (int i = 0; i < 3; i++)
		round_without_waiting(loop);
}

static void exchange(struct __test_metadata *_metadata, struct loop *loop, int family, char *buf)
{
	struct dialer dialer = { 0 };
	struct waiter send = { 0 }, recv = { 0 };
	struct server server;
	size_t received = 0;

	ASSERT_EQ(0, connect_pair(loop, &server, &dialer, family));
	EXPECT_EQ(family, server.from.ss_family);
	/* More than any socket buffer holds, in parts: short transfers on both sides. */
	for (int i = 0; i < MIB; i++)
		buf[i] = i * 7 + i / 251;
	for (int i = 0; i < 4; i++)
		send.iov[i] = (struct iovec){ buf, MIB };
	send.io = (struct env_io){ .op = ENV_SEND, .conn = dialer.conn, .iov = send.iov,
				   .nr_iov = 4 };
	submit(loop, &send);
	while (received < 4 * MIB) {
		static char got[100000];

		recv.io = (struct env_io){ .op = ENV_RECV, .conn = server.conn };
		recv.iov[0] = (struct iovec){ got, sizeof(got) };
		ASSERT_LT(0, run(loop, &recv));
		for (ssize_t i = 0; i < recv.result; i++, received++)
			ASSERT_EQ(buf[received % MIB], got[i]);
	}
	while (!send.done)
		loop_round(loop);
	EXPECT_EQ(4 * MIB, send.result);
	close_pair(loop, &server, &dialer);
}

TEST_F(loop, stream_ipv4)
{
	exchange(_metadata, self->loop, AF_INET, self->buf);
}

TEST_F(loop, stream_ipv6)
{
	if (access("/proc/net/if_inet6", F_OK))
		SKIP(return, "no IPv6 here");
	exchange(_metadata, self->loop, AF_INET6, self->buf);
}

TEST_F(loop, unix_end_of_stream)
{
	struct waiter recv = { 0 };
	struct env_conn *conn;
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
	conn = loop_conn_adopt(self->loop, fds[0]);
	ASSERT_NE(NULL, conn);
	recv.io = (struct env_io){ .op = ENV_RECV, .conn = conn };
	recv.iov[0] = (struct iovec){ self->buf, BLOCK };
	submit(self->loop, &recv);
	ASSERT_EQ(3, write(fds[1], "abc", 3));
	while (!recv.done)
		loop_round(self->loop);
	EXPECT_EQ(3, recv.result);
	close(fds[1]);
	EXPECT_EQ(0, run(self->loop, &recv));
	self->env->ops->conn_close(self->env, conn);
}

TEST_F(loop, cancel_keeps_the_connection)
{
	struct dialer dialer = { 0 };
	struct waiter recv = { 0 }, again = { 0 };
	struct server server;
	int fd;

	ASSERT_EQ(0, connect_pair(self->loop, &server, &dialer, AF_INET));
	recv.io = (struct env_io){ .op = ENV_RECV, .conn = server.conn };
	recv.iov[0] = (struct iovec){ self->buf, BLOCK };
	again = recv;
	fd = self->env->ops->conn_fd(self->env, dialer.conn);

	/* In flight. */
	submit(self->loop, &recv);
	round_without_waiting(self->loop);
	EXPECT_FALSE(recv.done);
	self->env->ops->conn_cancel(self->env, server.conn);
	EXPECT_FALSE(recv.done);
	/* What is submitted after the cancellation is not meant by it. */
	submit(self->loop, &again);
	while (!recv.done)
		loop_round(self->loop);
	EXPECT_EQ(-ECANCELED, recv.result);
	ASSERT_EQ(4, send(fd, "late", 4, 0));
	while (!again.done)
		loop_round(self->loop);
	EXPECT_EQ(4, again.result);

	/* Still queued. */
	submit(self->loop, &recv);
	self->env->ops->conn_cancel(self->env, server.conn);
	while (!recv.done)
		loop_round(self->loop);
	EXPECT_EQ(-ECANCELED, recv.result);

	/* Nothing in flight. */
	self->env->ops->conn_cancel(self->env, server.conn);
	ASSERT_EQ(4, send(fd, "more", 4, 0));
	EXPECT_EQ(4, run(self->loop, &recv));
	close_pair(self->loop, &server, &dialer);
}

/* As to the kernel module: cancelled, handed over, closed here, alive there. */
TEST_F(loop, handed_over)
{
	struct waiter recv = { 0 };
	struct env_conn *conn;
	int fds[2], other;
	char text[8];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	conn = loop_conn_adopt(self->loop, fds[0]);
	recv.io = (struct env_io){ .op = ENV_RECV, .conn = conn };
	recv.iov[0] = (struct iovec){ self->buf, BLOCK };
	submit(self->loop, &recv);
	round_without_waiting(self->loop);
	self->env->ops->conn_cancel(self->env, conn);
	while (!recv.done)
		loop_round(self->loop);
	EXPECT_EQ(-ECANCELED, recv.result);
	other = dup(self->env->ops->conn_fd(self->env, conn));
	self->env->ops->conn_close(self->env, conn);
	for (int i = 0; i < 3; i++)
		round_without_waiting(self->loop);
	EXPECT_EQ(-1, fcntl(fds[0], F_GETFD));
	ASSERT_EQ(4, write(fds[1], "data", 4));
	EXPECT_EQ(4, read(other, text, sizeof(text)));
	ASSERT_EQ(4, write(other, "back", 4));
	EXPECT_EQ(4, read(fds[1], text, sizeof(text)));
	close(other);
	close(fds[1]);
}

/* A cancellation that races data just arriving must not leave the request behind. */
TEST_F(loop, cancel_races_data)
{
	struct dialer dialer = { 0 };
	struct waiter recv = { 0 };
	struct server server;
	int fd, received = 0;

	ASSERT_EQ(0, connect_pair(self->loop, &server, &dialer, AF_INET));
	fd = self->env->ops->conn_fd(self->env, dialer.conn);
	for (int i = 0; i < 500; i++) {
		recv.io = (struct env_io){ .op = ENV_RECV, .conn = server.conn };
		recv.iov[0] = (struct iovec){ self->buf, BLOCK };
		submit(self->loop, &recv);
		round_without_waiting(self->loop);
		if (i % 2)
			ASSERT_EQ(1, send(fd, "x", 1, 0));
		self->env->ops->conn_cancel(self->env, server.conn);
		while (!recv.done)
			loop_round(self->loop);
		ASSERT_TRUE(recv.result == -ECANCELED || recv.result > 0);
		received += recv.result > 0 ? recv.result : 0;
	}
	while (received < 250) {
		ASSERT_LT(0, run(self->loop, &recv));
		received += recv.result;
	}
	EXPECT_EQ(250, received);
	close_pair(self->loop, &server, &dialer);
}

TEST_F(loop, close_with_requests_in_flight)
{
	struct waiter recv = { 0 }, send = { 0 };
	struct dialer dialer = { 0 };
	struct server server;

	ASSERT_EQ(0, connect_pair(self->loop, &server, &dialer, AF_INET));
	recv.io = (struct env_io){ .op = ENV_RECV, .conn = server.conn };
	recv.iov[0] = (struct iovec){ self->buf, BLOCK };
	submit(self->loop, &recv);
	/* Nobody reads: it fills the buffers and waits. */
	for (int i = 0; i < 4; i++)
		send.iov[i] = (struct iovec){ self->buf, MIB };
	send.io = (struct env_io){ .op = ENV_SEND, .conn = server.conn, .iov = send.iov,
				   .nr_iov = 4 };
	for (int i = 0; i < 10; i++) {
		submit(self->loop, &send);
		for (int round = 0; round < 50 && !send.done; round++) {
			usleep(100);
			round_without_waiting(self->loop);
		}
		if (!send.done)
			break;
	}
	ASSERT_FALSE(send.done);
	self->env->ops->conn_close(self->env, server.conn);
	while (!recv.done || !send.done)
		loop_round(self->loop);
	EXPECT_EQ(-ECANCELED, recv.result);
	EXPECT_EQ(-ECANCELED, send.result);
	self->env->ops->conn_close(self->env, dialer.conn);
	self->env->ops->unlisten(self->env, &server.listener);
}

TEST_F(loop, dial_refused)
{
	struct dialer dialer = { 0 };
	struct server server;

	ASSERT_EQ(0, connect_pair(self->loop, &server, &dialer, AF_INET));
	close_pair(self->loop, &server, &dialer);
	EXPECT_EQ(-ECONNREFUSED, dial(self->loop, &dialer, &server));
	EXPECT_EQ(NULL, dialer.conn);
}

TEST_F(loop, dial_times_out_and_is_cancelled)
{
	struct dialer dialer = { 0 }, filler[2] = { 0 };
	struct server server = { 0 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* A listener whose queue is full and that nobody empties. */
	set_loopback(&server.listener.addr, &server.listener.addr_len, AF_INET);
	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&server.listener.addr, sizeof(struct sockaddr_in)));
	ASSERT_EQ(0, listen(fd, 0));
	ASSERT_EQ(0, getsockname(fd, (struct sockaddr *)&server.listener.addr,
				 &server.listener.addr_len));
	ASSERT_EQ(0, dial(self->loop, &filler[0], &server));
	dialer.dial.done = note_dialed;
	dialer.dial.addr = server.listener.addr;
	dialer.dial.addr_len = server.listener.addr_len;
	dialer.dial.timeout_ns = 50 * NS_PER_MS;
	self->env->ops->conn_dial(self->env, &dialer.dial);
	while (!dialer.done)
		loop_round(self->loop);
	EXPECT_EQ(-ETIMEDOUT, dialer.error);

	dialer.done = false;
	self->env->ops->conn_dial(self->env, &dialer.dial);
	loop_round(self->loop);
	self->env->ops->dial_cancel(self->env, &dialer.dial);
	while (!dialer.done)
		loop_round(self->loop);
	EXPECT_NE(0, dialer.error);
	EXPECT_EQ(NULL, dialer.conn);
	self->env->ops->conn_close(self->env, filler[0].conn);
	close(fd);
}

TEST_F(loop, listen_address_in_use)
{
	struct dialer dialer = { 0 };
	struct server server, second;

	ASSERT_EQ(0, connect_pair(self->loop, &server, &dialer, AF_INET));
	second = (struct server){ .listener.accept = note_accept };
	second.listener.addr = server.listener.addr;
	second.listener.addr_len = server.listener.addr_len;
	EXPECT_EQ(-EADDRINUSE, self->env->ops->listen(self->env, &second.listener));
	self->env->ops->conn_close(self->env, server.conn);
	self->env->ops->conn_close(self->env, dialer.conn);
	self->env->ops->unlisten(self->env, &server.listener);
	/* At once. */
	EXPECT_EQ(0, self->env->ops->listen(self->env, &second.listener));
	EXPECT_EQ(0, dial(self->loop, &dialer, &second));
	self->env->ops->conn_close(self->env, dialer.conn);
	self->env->ops->unlisten(self->env, &second.listener);
}

/* Watches. */

struct pipe_watch {
	struct loop_watch watch;
	struct loop *loop;
	int reads;
	int delete_after;
};

static void note_ready(struct loop_watch *watch)
{
	struct pipe_watch *mine = (struct pipe_watch *)watch;
	char byte;

	if (read(watch->fd, &byte, 1) == 1)
		mine->reads++;
	if (mine->reads == mine->delete_after)
		loop_watch_del(mine->loop, watch);
}

TEST_F(loop, watch)
{
	struct pipe_watch mine = { .loop = self->loop, .delete_after = 3 };
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	mine.watch.fd = fds[0];
	mine.watch.ready = note_ready;
	loop_watch_add(self->loop, &mine.watch);
	ASSERT_EQ(5, write(fds[1], "12345", 5));
	while (mine.reads < 3)
		loop_round(self->loop);
	for (int i = 0; i < 5; i++)
		round_without_waiting(self->loop);
	EXPECT_EQ(3, mine.reads);

	/* Left behind: dropped with the loop, the descriptor stays its owner's. */
	mine.delete_after = -1;
	loop_watch_add(self->loop, &mine.watch);
	while (mine.reads < 5)
		loop_round(self->loop);
}

/* Many requests at once: more than the submission ring holds. */
TEST_F(loop, more_than_the_ring_holds)
{
	enum { COUNT = 3000 };
	struct waiter *waiters = calloc(COUNT, sizeof(*waiters));
	struct env_file *file;
	uint64_t bytes;

	ASSERT_EQ(0, make_file(self->path, MIB));
	ASSERT_EQ(0, self->env->ops->file_open(self->env, self->path, &file, &bytes));
	memset(self->buf, 'z', MIB);
	for (int i = 0; i < COUNT; i++) {
		waiters[i].io = (struct env_io){ .op = ENV_WRITE, .file = file,
						 .offset = i % 256 * BLOCK };
		waiters[i].iov[0] = (struct iovec){ self->buf, BLOCK };
		submit(self->loop, &waiters[i]);
	}
	for (int i = 0; i < COUNT; i++) {
		while (!waiters[i].done)
			loop_round(self->loop);
		EXPECT_EQ(BLOCK, waiters[i].result);
	}
	self->env->ops->file_close(self->env, file);
	free(waiters);
}

TEST(log_lines_that_repeat)
{
	static struct log_line_memory memory;
	const uint64_t second = 1000000000;
	unsigned int hidden;

	for (int i = 0; i < LOG_LINE_BURST; i++)
		EXPECT_TRUE(log_line_admit(&memory, "a", (100 + i) * second, &hidden));
	EXPECT_FALSE(log_line_admit(&memory, "a", 107 * second, &hidden));
	EXPECT_TRUE(log_line_admit(&memory, "b", 108 * second, &hidden));
	EXPECT_FALSE(log_line_admit(&memory, "a", 109 * second, &hidden));
	EXPECT_TRUE(log_line_admit(&memory, "a", 110 * second, &hidden));
	EXPECT_EQ(2u, hidden);
	for (int i = 0; i < 100; i++) {
		char line[32];

		snprintf(line, sizeof(line), "line %d", i);
		EXPECT_TRUE(log_line_admit(&memory, line, 111 * second + i, &hidden));
	}
	EXPECT_TRUE(log_line_admit(&memory, "b", 112 * second, &hidden));
}

TEST_HARNESS_MAIN
