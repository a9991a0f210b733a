// SPDX-License-Identifier: GPL-2.0
/*
 * env.h on io_uring: the only file that knows it.
 *
 * The one idea: every request is an op that sits in its owner's memory and
 * waits in one queue (op.h); a round fills the submission ring from the queue,
 * makes one system call that submits and waits, and hands results out.
 * Nothing is called back from within a submission.
 */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "backing.h"
#include "conn.h"
#include "log_line.h"
#include "op.h"
#include "ringmap.h"
#include "transfer.h"

enum {
	SQ_ENTRIES = 512,
	CQ_ENTRIES = 4096,
	CQE_BATCH = 64,
	MAX_RINGS = 64,
	ZERO_BUFFER_BYTES = 1 << 20,
};

struct watching {
	struct target target;
	struct op poll;
	struct loop_watch *watch;
};

struct ring_slot {
	char *base;
	size_t bytes;		/* mapped, i.e. twice the ring's size */
	bool registered;
};

struct loop {
	struct op_home home;
	struct io_uring uring;
	bool stopped;
	bool has_fixed;
	dev_t told_buffered;
	struct ring_slot rings[MAX_RINGS];
	struct msghdr msgs[SQ_ENTRIES];
	unsigned int nr_msgs;
};

static const char zero_buffer[ZERO_BUFFER_BYTES] __attribute__((aligned(4096)));

static struct loop *to_loop(struct env *env)
{
	return container_of(env, struct loop, home.env);
}

static uint64_t loop_monotonic_ns(struct env *env)
{
	(void)env;
	return op_monotonic_ns();
}

static uint64_t loop_realtime_ns(struct env *env)
{
	struct timespec ts;

	(void)env;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void die(const char *what, int err)
{
	char text[160];

	snprintf(text, sizeof(text), "io_uring: %s failed: %s; the agent cannot go on", what,
		 strerror(-err));
	log_line(2, NULL, NULL, text);
	abort();
}

/* What ops ask of io_uring. */

/*
 * The kernel sees a registered buffer page by page, and demands of each piece
 * that it is a multiple of the device's block (iov_iter_aligned_bvec()): one
 * that does not begin on a block has to go as an ordinary buffer.
 */
static int find_fixed(const struct loop *loop, const struct env_file *file,
		      const struct iovec *iov)
{
	const char *base = iov->iov_base;

	if ((uintptr_t)base % file->block_bytes)
		return -1;
	for (int i = 0; loop->has_fixed && i < MAX_RINGS; i++) {
		const struct ring_slot *ring = &loop->rings[i];

		if (ring->registered && base >= ring->base &&
		    base + iov->iov_len <= ring->base + ring->bytes)
			return i;
	}
	return -1;
}

static void prepare_one_buffer(struct loop *loop, struct env_io *io, struct io_uring_sqe *sqe,
			       uint64_t offset)
{
	struct iovec iov = transfer_part(io);
	int fd = io->file->target.fd;
	int fixed = find_fixed(loop, io->file, &iov);

	if (io->op == ENV_READ && fixed >= 0)
		io_uring_prep_read_fixed(sqe, fd, iov.iov_base, iov.iov_len, offset, fixed);
	else if (io->op == ENV_READ)
		io_uring_prep_read(sqe, fd, iov.iov_base, iov.iov_len, offset);
	else if (fixed >= 0)
		io_uring_prep_write_fixed(sqe, fd, iov.iov_base, iov.iov_len, offset, fixed);
	else
		io_uring_prep_write(sqe, fd, iov.iov_base, iov.iov_len, offset);
}

static void prepare_transfer(struct loop *loop, struct env_io *io, struct io_uring_sqe *sqe)
{
	uint64_t offset = io->offset + transfer_op(io)->transferred;
	const struct iovec *iov = io->iov + transfer_op(io)->part;
	int fd = io->file->target.fd;

	if (transfer_parts(io) == 1)
		prepare_one_buffer(loop, io, sqe, offset);
	else if (io->op == ENV_READ)
		io_uring_prep_readv(sqe, fd, iov, transfer_parts(io), offset);
	else
		io_uring_prep_writev(sqe, fd, iov, transfer_parts(io), offset);
	if (io->flags & ENV_DSYNC)
		sqe->rw_flags = RWF_DSYNC;
	/* A try that the kernel turned away without waiting: now it is to wait. */
	if (transfer_op(io)->op.tries)
		sqe->flags |= IOSQE_ASYNC;
}

static void prepare_zero(struct env_io *io, struct io_uring_sqe *sqe)
{
	uint64_t offset = io->offset + transfer_op(io)->transferred;
	uint64_t left = io->length - transfer_op(io)->transferred;
	enum transfer_zero_by by = transfer_zero_by(io);
	int fd = io->file->target.fd;

	if (left > TRANSFER_MAX_BYTES)
		left = TRANSFER_MAX_BYTES;
	transfer_op(io)->op.zero_by = by;
	if (by == ZERO_BY_WRITE)
		io_uring_prep_write(sqe, fd, zero_buffer,
				    left < ZERO_BUFFER_BYTES ? left : ZERO_BUFFER_BYTES, offset);
	else
		io_uring_prep_fallocate(sqe, fd, FALLOC_FL_KEEP_SIZE |
					(by == ZERO_BY_PUNCH ? FALLOC_FL_PUNCH_HOLE :
					 FALLOC_FL_ZERO_RANGE), offset, left);
}

static struct msghdr *make_msg(struct loop *loop, struct env_io *io)
{
	/* The kernel copies it on submission; until then it stays here. */
	struct msghdr *msg = &loop->msgs[loop->nr_msgs++];

	*msg = (struct msghdr){
		.msg_iov = (struct iovec *)io->iov + transfer_op(io)->part,
		.msg_iovlen = transfer_parts(io),
	};
	return msg;
}

static void prepare_stream(struct loop *loop, struct env_io *io, struct io_uring_sqe *sqe)
{
	unsigned int send_flags = MSG_NOSIGNAL | MSG_WAITALL;
	struct iovec iov = transfer_part(io);
	int fd = io->conn->target.fd;

	if (transfer_parts(io) > 1 && io->op == ENV_SEND)
		io_uring_prep_sendmsg(sqe, fd, make_msg(loop, io), send_flags);
	else if (transfer_parts(io) > 1)
		io_uring_prep_recvmsg(sqe, fd, make_msg(loop, io), 0);
	else if (io->op == ENV_SEND)
		io_uring_prep_send(sqe, fd, iov.iov_base, iov.iov_len, send_flags);
	else
		io_uring_prep_recv(sqe, fd, iov.iov_base, iov.iov_len, 0);
}

static void prepare_io(struct loop *loop, struct env_io *io, struct io_uring_sqe *sqe)
{
	switch (io->op) {
	case ENV_READ:
	case ENV_WRITE:
		prepare_transfer(loop, io, sqe);
		return;
	case ENV_FLUSH:
		io_uring_prep_fsync(sqe, io->file->target.fd, IORING_FSYNC_DATASYNC);
		return;
	case ENV_ZERO:
		prepare_zero(io, sqe);
		return;
	case ENV_RECV:
	case ENV_SEND:
		prepare_stream(loop, io, sqe);
		return;
	}
	assert(!"unknown operation");
}

struct env_conn *loop_conn_adopt(struct loop *loop, int fd)
{
	return conn_adopt(&loop->home, fd);
}

/* Watches. */

static void watching_gone(struct target *target)
{
	free(container_of(target, struct watching, target));
}

void loop_watch_add(struct loop *loop, struct loop_watch *watch)
{
	struct watching *watching = calloc(1, sizeof(*watching));

	if (!watching)
		die("watching a descriptor", -ENOMEM);
	target_init(&watching->target, &loop->home, -1, watching_gone);
	watching->target.victim = &watching->poll;
	watching->watch = watch;
	watch->priv[0] = (uintptr_t)watching;
	op_init(&watching->poll, OP_POLL, &watching->target);
	op_start(&watching->poll);
}

void loop_watch_del(struct loop *loop, struct loop_watch *watch)
{
	struct watching *watching = (struct watching *)(uintptr_t)watch->priv[0];

	(void)loop;
	target_close(&watching->target);
}

static void poll_step(struct watching *watching, int result)
{
	struct loop_watch *watch = watching->watch;

	if (op_is_stale(&watching->poll)) {
		op_end(&watching->poll);
		return;
	}
	if (result < 0 && !op_is_transient(&watching->poll, result))
		die("waiting for a descriptor", result);
	op_again(&watching->poll);
	if (result > 0)
		watch->ready(watch);
}

/* Files. */

static void file_gone(struct target *target)
{
	free(container_of(target, struct env_file, target));
}

static int make_file(struct loop *loop, const struct backing *backing, struct env_file **file,
		     uint64_t *bytes)
{
	struct env_file *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	target_init(&made->target, &loop->home, backing->fd, file_gone);
	made->block_bytes = backing->block_bytes;
	*file = made;
	*bytes = backing->bytes;
	return 0;
}

static void tell_about_stacking(const char *path)
{
	char text[512];

	snprintf(
		text, sizeof(text),
		"%s lies on a reprise device; a replica there would wait for itself: use another disk",
		path);
	log_line(3, NULL, NULL, text);
}

/* Once per file system: a log has many files. */
static void tell_about_buffering(struct loop *loop, const char *path, dev_t device)
{
	char text[512];

	if (loop->told_buffered == device)
		return;
	loop->told_buffered = device;
	snprintf(
		text, sizeof(text),
		"%s lies on a file system without O_DIRECT; it works, but slower and through the page cache",
		path);
	log_line(4, NULL, NULL, text);
}

static int loop_file_open(struct env *env, const char *path, struct env_file **file,
			  uint64_t *bytes)
{
	struct backing backing;
	int err = backing_open(path, &backing);

	if (err == -ELOOP)
		tell_about_stacking(path);
	if (err)
		return err;
	if (backing.is_buffered)
		tell_about_buffering(to_loop(env), path, backing.device);
	err = make_file(to_loop(env), &backing, file, bytes);
	if (err)
		close(backing.fd);
	return err;
}

static int loop_file_adopt(struct env *env, int fd, struct env_file **file, uint64_t *bytes)
{
	struct backing backing;
	int err = backing_adopt(fd, &backing);

	return err ? err : make_file(to_loop(env), &backing, file, bytes);
}

static void loop_file_close(struct env *env, struct env_file *file)
{
	(void)env;
	assert(!file->target.flying);
	target_close(&file->target);
}

static int loop_file_fd(struct env *env, struct env_file *file)
{
	(void)env;
	return file->target.fd;
}

/* Ring buffers. */

static bool register_ring(struct loop *loop, unsigned int slot, const struct iovec *iov)
{
	__u64 tag = 0;
	int ret;

	if (!loop->has_fixed)
		return false;
	ret = io_uring_register_buffers_update_tag(&loop->uring, slot, iov, &tag, 1);
	if (ret == 1)
		return true;
	log_line(
		4, NULL, NULL,
		"a ring buffer could not be registered with io_uring (memory lock limit?); log writes take the slower way");
	return false;
}

static void remember_ring(struct loop *loop, void *base, size_t bytes)
{
	struct iovec iov = { .iov_base = base, .iov_len = bytes };

	for (unsigned int i = 0; i < MAX_RINGS; i++) {
		struct ring_slot *ring = &loop->rings[i];

		if (ring->base)
			continue;
		ring->base = base;
		ring->bytes = bytes;
		/* The kernel registers at most 1 GiB in one piece. */
		ring->registered = bytes <= TRANSFER_MAX_BYTES && register_ring(loop, i, &iov);
		return;
	}
}

static void *loop_ring_alloc(struct env *env, size_t bytes)
{
	void *base = ringmap_alloc(bytes);

	if (base)
		remember_ring(to_loop(env), base, 2 * bytes);
	return base;
}

static void loop_ring_free(struct env *env, void *base, size_t bytes)
{
	struct iovec none = { 0 };
	struct loop *loop = to_loop(env);

	for (unsigned int i = 0; base && i < MAX_RINGS; i++) {
		if (loop->rings[i].base != base)
			continue;
		if (loop->rings[i].registered)
			register_ring(loop, i, &none);
		loop->rings[i] = (struct ring_slot){ 0 };
	}
	ringmap_free(base, bytes);
}

/* The rest of the seam. */

static void loop_timer_set(struct env *env, struct env_timer *timer, uint64_t deadline_ns)
{
	timers_set(&to_loop(env)->home.timers, timer, deadline_ns);
}

static void loop_timer_clear(struct env *env, struct env_timer *timer)
{
	timers_clear(&to_loop(env)->home.timers, timer);
}

static void loop_random(struct env *env, void *buf, size_t bytes)
{
	(void)env;
	while (bytes) {
		ssize_t got = getrandom(buf, bytes, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			die("getrandom", -errno);
		buf = (char *)buf + got;
		bytes -= got;
	}
}

static void loop_log(struct env *env, int level, const char *resource, const char *text)
{
	(void)env;
	log_line(level, resource, NULL, text);
}

static const struct env_ops loop_env_ops = {
	.submit = transfer_submit,
	.timer_set = loop_timer_set,
	.timer_clear = loop_timer_clear,
	.monotonic_ns = loop_monotonic_ns,
	.realtime_ns = loop_realtime_ns,
	.random = loop_random,
	.conn_cancel = conn_cancel,
	.conn_close = conn_close,
	.conn_dial = conn_dial,
	.dial_cancel = conn_dial_cancel,
	.listen = conn_listen,
	.unlisten = conn_unlisten,
	.conn_fd = conn_fd,
	.file_open = loop_file_open,
	.file_adopt = loop_file_adopt,
	.file_close = loop_file_close,
	.file_fd = loop_file_fd,
	.ring_alloc = loop_ring_alloc,
	.ring_free = loop_ring_free,
	.log = loop_log,
};

/* Rounds. */

static void prepare_cancel(struct target *target, struct io_uring_sqe *sqe)
{
	if (target->victim)
		io_uring_prep_cancel(sqe, target->victim, 0);
	else
		io_uring_prep_cancel_fd(sqe, target->fd, IORING_ASYNC_CANCEL_ALL);
}

static void prepare_op(struct loop *loop, struct op *op, struct io_uring_sqe *sqe)
{
	struct target *target = op->target;

	switch ((enum op_kind)op->kind) {
	case OP_IO:
		prepare_io(loop, transfer_io(op), sqe);
		break;
	case OP_CONNECT:
		io_uring_prep_connect(sqe, target->fd, (struct sockaddr *)&conn_dial_of(op)->addr,
				      conn_dial_of(op)->addr_len);
		break;
	case OP_ACCEPT: {
		struct listening *listening = conn_listening_of(op);

		listening->from_len = sizeof(listening->from);
		io_uring_prep_accept(sqe, target->fd, (struct sockaddr *)&listening->from,
				     &listening->from_len, SOCK_CLOEXEC);
		break;
	}
	case OP_POLL:
		io_uring_prep_poll_add(sqe, container_of(op, struct watching, poll)->watch->fd,
				       POLLIN);
		break;
	case OP_CANCEL:
		prepare_cancel(target, sqe);
		break;
	}
	io_uring_sqe_set_data(sqe, op);
}

static void fill_ring(struct loop *loop)
{
	struct io_uring_sqe *sqe;
	struct op *op;

	if (!io_uring_sq_ready(&loop->uring))
		loop->nr_msgs = 0;
	while ((op = STAILQ_FIRST(&loop->home.queue)) && loop->nr_msgs < SQ_ENTRIES) {
		sqe = io_uring_get_sqe(&loop->uring);
		if (!sqe)
			return;
		STAILQ_REMOVE_HEAD(&loop->home.queue, link);
		prepare_op(loop, op, sqe);
	}
}

static void op_finish(struct op *op, int result)
{
	switch ((enum op_kind)op->kind) {
	case OP_IO:
		transfer_step(transfer_io(op), result);
		return;
	case OP_CONNECT:
		conn_connected(conn_dial_of(op), result);
		return;
	case OP_ACCEPT:
		conn_accepted(conn_listening_of(op), result);
		return;
	case OP_POLL:
		poll_step(container_of(op, struct watching, poll), result);
		return;
	case OP_CANCEL:
		target_cancelled(op->target);
		return;
	}
}

static void hand_out_ready(struct loop *loop)
{
	struct op_queue now = STAILQ_HEAD_INITIALIZER(now);
	struct op *op;

	STAILQ_CONCAT(&now, &loop->home.ready);
	while ((op = STAILQ_FIRST(&now))) {
		STAILQ_REMOVE_HEAD(&now, link);
		op_finish(op, op->result);
	}
}

static void hand_out_completions(struct loop *loop)
{
	struct io_uring_cqe *cqes[CQE_BATCH];
	struct { struct op *op; int result; } got[CQE_BATCH];
	unsigned int count;

	while ((count = io_uring_peek_batch_cqe(&loop->uring, cqes, CQE_BATCH))) {
		for (unsigned int i = 0; i < count; i++) {
			got[i].op = io_uring_cqe_get_data(cqes[i]);
			got[i].result = cqes[i]->res;
		}
		io_uring_cq_advance(&loop->uring, count);
		for (unsigned int i = 0; i < count; i++)
			op_finish(got[i].op, got[i].result);
	}
}

/* How long to wait: not at all when something is to be done already. */
static struct __kernel_timespec *wait_limit(struct loop *loop, struct __kernel_timespec *ts)
{
	uint64_t next_ns = timers_next_ns(&loop->home.timers);
	uint64_t now_ns = op_monotonic_ns();
	uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;

	if (loop->stopped || !STAILQ_EMPTY(&loop->home.ready) || !STAILQ_EMPTY(&loop->home.queue))
		wait_ns = 0;
	else if (next_ns == UINT64_MAX)
		return NULL;
	ts->tv_sec = wait_ns / 1000000000;
	ts->tv_nsec = wait_ns % 1000000000;
	return ts;
}

void loop_round(struct loop *loop)
{
	struct __kernel_timespec ts;
	struct io_uring_cqe *cqe;
	int ret;

	fill_ring(loop);
	ret = io_uring_submit_and_wait_timeout(&loop->uring, &cqe, 1, wait_limit(loop, &ts), NULL);
	if (ret < 0 && ret != -ETIME && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		die("waiting for completions", ret);
	hand_out_completions(loop);
	hand_out_ready(loop);
	timers_fire(&loop->home.timers, op_monotonic_ns());
}

void loop_run(struct loop *loop)
{
	while (!loop->stopped)
		loop_round(loop);
	loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

struct env *loop_env(struct loop *loop)
{
	return &loop->home.env;
}

/* Making it. */

static int setup_uring(struct io_uring *uring)
{
	static const unsigned int wishes[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
		0,
	};
	int err = -EINVAL;

	for (size_t i = 0; err == -EINVAL && i < sizeof(wishes) / sizeof(wishes[0]); i++) {
		struct io_uring_params params = {
			.flags = wishes[i] | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
			.cq_entries = CQ_ENTRIES,
		};
		unsigned int needed = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP |
				      IORING_FEAT_SUBMIT_STABLE;

		err = io_uring_queue_init_params(SQ_ENTRIES, uring, &params);
		if (err || (params.features & needed) == needed)
			continue;
		io_uring_queue_exit(uring);
		err = -EOPNOTSUPP;
	}
	return err == -EINVAL ? -EOPNOTSUPP : err;
}

static const char *explain_setup(int err)
{
	switch (err) {
	case -ENOSYS:
		return "this kernel is built without io_uring; Linux 6.1 or later with CONFIG_IO_URING is needed";
	case -EPERM:
	case -EACCES:
		return "io_uring is forbidden here: set sysctl kernel.io_uring_disabled=0, or, in a container, allow the io_uring system calls in its seccomp profile";
	case -EOPNOTSUPP:
		return "this kernel's io_uring is too old; Linux 6.1 or later is needed";
	case -ENOMEM:
		return "no memory for io_uring: raise the limit of locked memory (LimitMEMLOCK=infinity in the unit)";
	case -EMFILE:
	case -ENFILE:
		return "no descriptors left for io_uring: raise the limit of open files (LimitNOFILE= in the unit)";
	default:
		return strerror(-err);
	}
}

int loop_create(struct loop **loop, char *error, size_t error_bytes)
{
	struct loop *made = calloc(1, sizeof(*made));
	int err = made ? setup_uring(&made->uring) : -ENOMEM;

	if (err) {
		snprintf(error, error_bytes, "%s", explain_setup(err));
		free(made);
		return err;
	}
	op_home_init(&made->home);
	made->home.env.ops = &loop_env_ops;
	made->has_fixed = io_uring_register_buffers_sparse(&made->uring, MAX_RINGS) == 0;
	*loop = made;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	io_uring_queue_exit(&loop->uring);
	op_home_exit(&loop->home);
	free(loop);
}
