// SPDX-License-Identifier: GPL-2.0
/*
 * env.h on io_uring: the only file that knows it.
 *
 * The one idea: every request is an op that sits in its owner's memory and
 * waits in one queue; a round fills the submission ring from the queue, makes
 * one system call that submits and waits, and hands results out.  Nothing is
 * called back from within a submission.
 *
 * Ops belong to a target (a connection, file, listener or watch), which counts
 * them.  Cancelling raises the target's epoch: ops of an older epoch are not
 * continued when short, and the kernel is asked again until they are gone (a
 * request that was just being woken escapes a cancellation and may go back to
 * sleep).  Ops of the new epoch that were hit all the same are queued again.
 */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "backing.h"
#include "log_line.h"
#include "ringmap.h"
#include "socket.h"
#include "timers.h"

enum {
	SQ_ENTRIES = 512,
	CQ_ENTRIES = 4096,
	CQE_BATCH = 64,
	MAX_RINGS = 64,
	MAX_TRIES = 1000,
	MAX_TRANSFER_BYTES = 1 << 30,
	ZERO_BUFFER_BYTES = 1 << 20,
	RECANCEL_NS = 1000 * 1000,
	ACCEPT_PAUSE_NS = 100 * 1000 * 1000,
};

enum op_kind {
	OP_IO,
	OP_CONNECT,
	OP_ACCEPT,
	OP_POLL,
	OP_CANCEL,
};

struct target;

struct op {
	STAILQ_ENTRY(op) link;
	struct target *target;
	uint32_t epoch;
	int32_t result;
	uint16_t tries;
	uint8_t kind;
	uint8_t zero_by;	/* OP_IO: enum zero_by */
};

STAILQ_HEAD(op_queue, op);

struct target {
	LIST_ENTRY(target) link;
	struct loop *loop;
	void (*gone)(struct target *target);	/* closes and frees */
	int fd;
	uint32_t epoch;
	uint32_t flying;	/* ops not yet handed back */
	uint32_t stale;		/* of these, of older epochs */
	bool closing;
	bool cancelling;	/* @cancel is on its way */
	struct op cancel;
	struct op *victim;	/* what to cancel; NULL: all on @fd */
	struct env_timer recancel;
};

enum zero_by {
	ZERO_BY_PUNCH,
	ZERO_BY_RANGE,
	ZERO_BY_WRITE,
};

struct env_file {
	struct target target;
	bool no_punch;
	bool no_range;
};

struct env_conn {
	struct target target;
};

/* In env_io.priv. */
struct io_op {
	struct op op;
	uint64_t transferred;
	uint64_t part_offset;	/* within the part */
	uint32_t part;		/* of iov: all before are done */
};

/* In env_dial.priv. */
struct dial_op {
	struct op op;
	struct env_conn *conn;
	struct env_timer timeout;
	bool timed_out;
};

struct listening {
	struct target target;
	struct op accept;
	struct env_listener *listener;
	struct sockaddr_storage from;
	socklen_t from_len;
	struct env_timer pause;
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
	struct env env;
	struct io_uring uring;
	bool stopped;
	bool has_fixed;
	struct op_queue queue;	/* to be submitted */
	struct op_queue ready;	/* with a result, to be handed back */
	struct timers timers;
	LIST_HEAD(, target) targets;
	struct target nowhere;	/* of ops that failed before they had one */
	struct ring_slot rings[MAX_RINGS];
	struct msghdr msgs[SQ_ENTRIES];
	unsigned int nr_msgs;
};

static_assert(sizeof(struct io_op) <= sizeof(((struct env_io *)0)->priv), "env_io.priv");
static_assert(sizeof(struct dial_op) <= sizeof(((struct env_dial *)0)->priv), "env_dial.priv");

static const char zero_buffer[ZERO_BUFFER_BYTES] __attribute__((aligned(4096)));

#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

static struct loop *to_loop(struct env *env)
{
	return container_of(env, struct loop, env);
}

static struct io_op *io_op(struct env_io *io)
{
	return (struct io_op *)io->priv;
}

static struct env_io *op_to_io(struct op *op)
{
	return container_of(op, struct env_io, priv);
}

static struct dial_op *dial_op(struct env_dial *dial)
{
	return (struct dial_op *)dial->priv;
}

static struct env_dial *op_to_dial(struct op *op)
{
	return container_of(op, struct env_dial, priv);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static uint64_t loop_monotonic_ns(struct env *env)
{
	(void)env;
	return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t loop_realtime_ns(struct env *env)
{
	(void)env;
	return clock_ns(CLOCK_REALTIME);
}

static void die(const char *what, int err)
{
	char text[160];

	snprintf(text, sizeof(text), "io_uring: %s failed: %s; the agent cannot go on", what,
		 strerror(-err));
	log_line(2, NULL, NULL, text);
	abort();
}

/* Targets and their ops. */

static void target_init(struct target *target, struct loop *loop, int fd,
			void (*gone)(struct target *target))
{
	*target = (struct target){ .loop = loop, .fd = fd, .gone = gone };
	LIST_INSERT_HEAD(&loop->targets, target, link);
}

static void target_free(struct target *target)
{
	timers_clear(&target->loop->timers, &target->recancel);
	LIST_REMOVE(target, link);
	if (target->fd >= 0)
		close(target->fd);
	target->gone(target);
}

static void target_put(struct target *target)
{
	if (target->closing && !target->flying && !target->cancelling)
		target_free(target);
}

static void op_init(struct op *op, enum op_kind kind, struct target *target)
{
	*op = (struct op){ .kind = kind, .target = target, .epoch = target->epoch };
}

static void op_start(struct op *op)
{
	op->target->flying++;
	STAILQ_INSERT_TAIL(&op->target->loop->queue, op, link);
}

/* Once more, with what is left of it. */
static void op_again(struct op *op)
{
	STAILQ_INSERT_TAIL(&op->target->loop->queue, op, link);
}

static void op_set_ready(struct op *op, int result)
{
	op->result = result;
	STAILQ_INSERT_TAIL(&op->target->loop->ready, op, link);
}

static bool op_is_stale(const struct op *op)
{
	return op->epoch != op->target->epoch;
}

/*
 * @op is about to be handed back: its target may be gone after this, as the
 * owner may close it, or have closed it.
 */
static void op_end(struct op *op)
{
	struct target *target = op->target;

	assert(target->flying > 0);
	target->flying--;
	if (op_is_stale(op))
		target->stale--;
	target_put(target);
}

static void cancel_start(struct target *target)
{
	if (target->cancelling || !target->stale)
		return;
	target->cancelling = true;
	op_init(&target->cancel, OP_CANCEL, target);
	op_again(&target->cancel);
}

static void recancel(struct env_timer *timer)
{
	cancel_start(container_of(timer, struct target, recancel));
}

static void cancel_done(struct target *target)
{
	target->cancelling = false;
	if (target->stale) {
		target->recancel.fire = recancel;
		timers_set(&target->loop->timers, &target->recancel,
			   clock_ns(CLOCK_MONOTONIC) + RECANCEL_NS);
	}
	target_put(target);
}

/* What has not been submitted yet never will be. */
static void cancel_queued(struct target *target)
{
	struct loop *loop = target->loop;
	struct op_queue kept = STAILQ_HEAD_INITIALIZER(kept);
	struct op *op;

	while ((op = STAILQ_FIRST(&loop->queue))) {
		STAILQ_REMOVE_HEAD(&loop->queue, link);
		if (op->target == target && op->kind != OP_CANCEL)
			op_set_ready(op, -ECANCELED);
		else
			STAILQ_INSERT_TAIL(&kept, op, link);
	}
	STAILQ_CONCAT(&loop->queue, &kept);
}

static void target_cancel(struct target *target)
{
	target->epoch++;
	target->stale = target->flying;
	cancel_queued(target);
	cancel_start(target);
}

static void target_close(struct target *target)
{
	assert(!target->closing);
	target->closing = true;
	target_cancel(target);
	target_put(target);
}

/* Requests on files and connections. */

/* The rest of @io: one buffer, or, on a boundary, several. */
static unsigned int parts_left(struct env_io *io)
{
	unsigned int parts = io->nr_iov - io_op(io)->part;

	if (io_op(io)->part_offset)
		return 1;
	return parts < IOV_MAX ? parts : IOV_MAX;
}

static struct iovec first_part(struct env_io *io)
{
	const struct iovec *part = &io->iov[io_op(io)->part];
	struct iovec rest = {
		.iov_base = (char *)part->iov_base + io_op(io)->part_offset,
		.iov_len = part->iov_len - io_op(io)->part_offset,
	};

	if (rest.iov_len > MAX_TRANSFER_BYTES)
		rest.iov_len = MAX_TRANSFER_BYTES;
	return rest;
}

static void skip_empty_parts(struct env_io *io)
{
	struct io_op *iop = io_op(io);

	while (iop->part < io->nr_iov && iop->part_offset == io->iov[iop->part].iov_len) {
		iop->part++;
		iop->part_offset = 0;
	}
}

static void advance(struct env_io *io, size_t bytes)
{
	struct io_op *iop = io_op(io);

	iop->transferred += bytes;
	while (bytes) {
		size_t left = io->iov[iop->part].iov_len - iop->part_offset;
		size_t now = bytes < left ? bytes : left;

		iop->part_offset += now;
		bytes -= now;
		skip_empty_parts(io);
	}
}

static int find_fixed(const struct loop *loop, const struct iovec *iov)
{
	const char *base = iov->iov_base;

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
	struct iovec iov = first_part(io);
	int fd = io->file->target.fd;
	int fixed = find_fixed(loop, &iov);

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
	uint64_t offset = io->offset + io_op(io)->transferred;
	const struct iovec *iov = io->iov + io_op(io)->part;
	int fd = io->file->target.fd;

	if (parts_left(io) == 1)
		prepare_one_buffer(loop, io, sqe, offset);
	else if (io->op == ENV_READ)
		io_uring_prep_readv(sqe, fd, iov, parts_left(io), offset);
	else
		io_uring_prep_writev(sqe, fd, iov, parts_left(io), offset);
	if (io->flags & ENV_DSYNC)
		sqe->rw_flags = RWF_DSYNC;
	/* A try that the kernel turned away without waiting: now it is to wait. */
	if (io_op(io)->op.tries)
		sqe->flags |= IOSQE_ASYNC;
}

static enum zero_by choose_zero_by(const struct env_io *io)
{
	if ((io->flags & ENV_UNMAP) && !io->file->no_punch)
		return ZERO_BY_PUNCH;
	return io->file->no_range ? ZERO_BY_WRITE : ZERO_BY_RANGE;
}

static void prepare_zero(struct env_io *io, struct io_uring_sqe *sqe)
{
	uint64_t offset = io->offset + io_op(io)->transferred;
	uint64_t left = io->length - io_op(io)->transferred;
	enum zero_by by = choose_zero_by(io);
	int fd = io->file->target.fd;

	if (left > MAX_TRANSFER_BYTES)
		left = MAX_TRANSFER_BYTES;
	io_op(io)->op.zero_by = by;
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
		.msg_iov = (struct iovec *)io->iov + io_op(io)->part,
		.msg_iovlen = parts_left(io),
	};
	return msg;
}

static void prepare_stream(struct loop *loop, struct env_io *io, struct io_uring_sqe *sqe)
{
	unsigned int send_flags = MSG_NOSIGNAL | MSG_WAITALL;
	struct iovec iov = first_part(io);
	int fd = io->conn->target.fd;

	if (parts_left(io) > 1 && io->op == ENV_SEND)
		io_uring_prep_sendmsg(sqe, fd, make_msg(loop, io), send_flags);
	else if (parts_left(io) > 1)
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

static void loop_submit(struct env *env, struct env_io *io)
{
	bool stream = io->op == ENV_RECV || io->op == ENV_SEND;
	struct target *target = stream ? &io->conn->target : &io->file->target;

	(void)env;
	*io_op(io) = (struct io_op){ .transferred = 0 };
	op_init(&io_op(io)->op, OP_IO, target);
	assert(!target->closing);
	if (io->op == ENV_ZERO) {
		assert(io->length > 0);
	} else if (io->op != ENV_FLUSH) {
		skip_empty_parts(io);
		assert(io_op(io)->part < io->nr_iov);
	}
	op_start(&io_op(io)->op);
}

static void io_complete(struct env_io *io, ssize_t result)
{
	op_end(&io_op(io)->op);
	io->done(io, result);
}

/* Not supported here: the next way.  Returns false when there is none. */
static bool zero_otherwise(struct env_io *io, int result)
{
	if (result != -EOPNOTSUPP && result != -ENOTTY && result != -EINVAL)
		return false;
	switch (io_op(io)->op.zero_by) {
	case ZERO_BY_PUNCH:
		io->file->no_punch = true;
		return true;
	case ZERO_BY_RANGE:
		io->file->no_range = true;
		return true;
	default:
		return false;
	}
}

static void zero_step(struct env_io *io, int result)
{
	struct io_op *iop = io_op(io);
	uint64_t left = io->length - iop->transferred;

	if (result < 0) {
		if (zero_otherwise(io, result))
			op_again(&iop->op);
		else
			io_complete(io, result);
		return;
	}
	if (iop->op.zero_by == ZERO_BY_WRITE && !result) {
		io_complete(io, -EIO);
		return;
	}
	if (iop->op.zero_by == ZERO_BY_WRITE)
		iop->transferred += result;
	else
		iop->transferred += left < MAX_TRANSFER_BYTES ? left : MAX_TRANSFER_BYTES;
	if (iop->transferred < io->length)
		op_again(&iop->op);
	else
		io_complete(io, io->length);
}

static void transfer_step(struct env_io *io, int result)
{
	struct io_op *iop = io_op(io);

	if (result <= 0) {
		io_complete(io, result ? result : -EIO);
		return;
	}
	iop->op.tries = 0;
	advance(io, result);
	if (iop->part == io->nr_iov)
		io_complete(io, iop->transferred);
	else if (op_is_stale(&iop->op))
		io_complete(io, -ECANCELED);
	else
		op_again(&iop->op);
}

static bool is_transient(const struct op *op, int result)
{
	if (op_is_stale(op))
		return false;
	/* Cancelled, but not meant: a cancellation of older requests was repeated. */
	if (result == -ECANCELED)
		return true;
	return (result == -EAGAIN || result == -EINTR) && op->tries < MAX_TRIES;
}

static void io_step(struct env_io *io, int result)
{
	if (is_transient(&io_op(io)->op, result)) {
		io_op(io)->op.tries++;
		op_again(&io_op(io)->op);
		return;
	}
	switch (io->op) {
	case ENV_FLUSH:
	case ENV_RECV:
		io_complete(io, result);
		return;
	case ENV_ZERO:
		zero_step(io, result);
		return;
	default:
		transfer_step(io, result);
	}
}

/* Connections. */

static void conn_gone(struct target *target)
{
	free(container_of(target, struct env_conn, target));
}

struct env_conn *loop_conn_adopt(struct loop *loop, int fd)
{
	struct env_conn *conn = malloc(sizeof(*conn));

	if (!conn)
		return NULL;
	socket_tune(fd);
	target_init(&conn->target, loop, fd, conn_gone);
	return conn;
}

static void loop_conn_cancel(struct env *env, struct env_conn *conn)
{
	(void)env;
	target_cancel(&conn->target);
}

static void loop_conn_close(struct env *env, struct env_conn *conn)
{
	(void)env;
	target_close(&conn->target);
}

static int loop_conn_fd(struct env *env, struct env_conn *conn)
{
	(void)env;
	return conn->target.fd;
}

static void dial_timeout(struct env_timer *timer)
{
	struct dial_op *dop = container_of(timer, struct dial_op, timeout);

	dop->timed_out = true;
	target_cancel(&dop->conn->target);
}

static int dial_prepare(struct loop *loop, struct env_dial *dial)
{
	struct dial_op *dop = dial_op(dial);
	int fd = socket_create(dial->addr.ss_family);

	if (fd < 0)
		return fd;
	dop->conn = loop_conn_adopt(loop, fd);
	if (dop->conn)
		return 0;
	close(fd);
	return -ENOMEM;
}

static void loop_conn_dial(struct env *env, struct env_dial *dial)
{
	struct loop *loop = to_loop(env);
	struct dial_op *dop = dial_op(dial);
	int err;

	*dop = (struct dial_op){ .timeout.fire = dial_timeout };
	err = dial_prepare(loop, dial);
	op_init(&dop->op, OP_CONNECT, err ? &loop->nowhere : &dop->conn->target);
	if (err) {
		loop->nowhere.flying++;
		op_set_ready(&dop->op, err);
		return;
	}
	op_start(&dop->op);
	timers_set(&loop->timers, &dop->timeout, clock_ns(CLOCK_MONOTONIC) + dial->timeout_ns);
}

static void loop_dial_cancel(struct env *env, struct env_dial *dial)
{
	struct dial_op *dop = dial_op(dial);

	if (dop->conn && !op_is_stale(&dop->op)) {
		timers_clear(&to_loop(env)->timers, &dop->timeout);
		target_cancel(&dop->conn->target);
	}
}

static void connect_step(struct env_dial *dial, int result)
{
	struct dial_op *dop = dial_op(dial);
	struct target *target = dop->op.target;
	struct env_conn *conn = dop->conn;

	if (is_transient(&dop->op, result)) {
		dop->op.tries++;
		op_again(&dop->op);
		return;
	}
	if (op_is_stale(&dop->op))
		result = dop->timed_out ? -ETIMEDOUT : -ECANCELED;
	/* 6.1 repeats connect() when it is woken, and meets the connection. */
	if (result == -EISCONN)
		result = 0;
	timers_clear(&target->loop->timers, &dop->timeout);
	op_end(&dop->op);
	if (result && conn)
		target_close(&conn->target);
	dial->done(dial, result ? NULL : conn, result);
}

static void listening_gone(struct target *target)
{
	struct listening *listening = container_of(target, struct listening, target);

	timers_clear(&target->loop->timers, &listening->pause);
	free(listening);
}

static void accept_again(struct env_timer *timer)
{
	struct listening *listening = container_of(timer, struct listening, pause);

	op_init(&listening->accept, OP_ACCEPT, &listening->target);
	op_start(&listening->accept);
}

static int loop_listen(struct env *env, struct env_listener *listener)
{
	struct loop *loop = to_loop(env);
	struct listening *listening = calloc(1, sizeof(*listening));
	int fd;

	if (!listening)
		return -ENOMEM;
	fd = socket_listen(&listener->addr, &listener->addr_len);
	if (fd < 0) {
		free(listening);
		return fd;
	}
	target_init(&listening->target, loop, fd, listening_gone);
	listening->listener = listener;
	listening->pause.fire = accept_again;
	listener->priv[0] = (uintptr_t)listening;
	accept_again(&listening->pause);
	return 0;
}

static void loop_unlisten(struct env *env, struct env_listener *listener)
{
	struct listening *listening = (struct listening *)(uintptr_t)listener->priv[0];

	(void)env;
	timers_clear(&listening->target.loop->timers, &listening->pause);
	/* The address is free at once, not only when the cancelled accept is back. */
	(void)shutdown(listening->target.fd, SHUT_RDWR);
	target_close(&listening->target);
}

static void accept_new(struct listening *listening, int fd)
{
	struct sockaddr_storage from = listening->from;
	struct env_conn *conn = loop_conn_adopt(listening->target.loop, fd);

	op_again(&listening->accept);
	if (conn)
		listening->listener->accept(listening->listener, conn, &from);
	else
		close(fd);
}

/* No descriptors or memory: the next attempt would fail as well. */
static void accept_failed(struct listening *listening, int err)
{
	char text[160];

	snprintf(text, sizeof(text), "accepting a connection failed: %s; trying again",
		 strerror(-err));
	log_line(4, NULL, NULL, text);
	timers_set(&listening->target.loop->timers, &listening->pause,
		   clock_ns(CLOCK_MONOTONIC) + ACCEPT_PAUSE_NS);
	op_end(&listening->accept);
}

static void accept_step(struct listening *listening, int result)
{
	if (op_is_stale(&listening->accept)) {
		if (result >= 0)
			close(result);
		op_end(&listening->accept);
	} else if (result >= 0) {
		accept_new(listening, result);
	} else if (is_transient(&listening->accept, result) || result == -ECONNABORTED) {
		op_again(&listening->accept);
	} else {
		accept_failed(listening, result);
	}
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
	target_init(&watching->target, loop, watch->fd, watching_gone);
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
	watching->target.fd = -1;	/* its owner closes it */
	target_close(&watching->target);
}

static void poll_step(struct watching *watching, int result)
{
	struct loop_watch *watch = watching->watch;

	if (op_is_stale(&watching->poll)) {
		op_end(&watching->poll);
		return;
	}
	if (result < 0 && !is_transient(&watching->poll, result))
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
	target_init(&made->target, loop, backing->fd, file_gone);
	*file = made;
	*bytes = backing->bytes;
	return 0;
}

static void tell_about_file(const char *path, const struct backing *backing, int err)
{
	char text[512];

	if (err == -ELOOP)
		snprintf(text, sizeof(text), "%s lies on a reprise device; a replica there would "
			 "wait for itself: use another disk", path);
	else if (!err && backing->is_buffered)
		snprintf(text, sizeof(text), "%s lies on a file system without O_DIRECT; it works, "
			 "but slower and through the page cache", path);
	else
		return;
	log_line(err ? 3 : 4, NULL, NULL, text);
}

static int loop_file_open(struct env *env, const char *path, struct env_file **file,
			  uint64_t *bytes)
{
	struct backing backing;
	int err = backing_open(path, &backing);

	tell_about_file(path, &backing, err);
	if (err)
		return err;
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
	log_line(4, NULL, NULL, "a ring buffer could not be registered with io_uring (memory lock "
		 "limit?); log writes take the slower way");
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
		ring->registered = bytes <= MAX_TRANSFER_BYTES && register_ring(loop, i, &iov);
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
	timers_set(&to_loop(env)->timers, timer, deadline_ns);
}

static void loop_timer_clear(struct env *env, struct env_timer *timer)
{
	timers_clear(&to_loop(env)->timers, timer);
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
	.submit = loop_submit,
	.timer_set = loop_timer_set,
	.timer_clear = loop_timer_clear,
	.monotonic_ns = loop_monotonic_ns,
	.realtime_ns = loop_realtime_ns,
	.random = loop_random,
	.conn_cancel = loop_conn_cancel,
	.conn_close = loop_conn_close,
	.conn_dial = loop_conn_dial,
	.dial_cancel = loop_dial_cancel,
	.listen = loop_listen,
	.unlisten = loop_unlisten,
	.conn_fd = loop_conn_fd,
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
		prepare_io(loop, op_to_io(op), sqe);
		break;
	case OP_CONNECT:
		io_uring_prep_connect(sqe, target->fd, (struct sockaddr *)&op_to_dial(op)->addr,
				      op_to_dial(op)->addr_len);
		break;
	case OP_ACCEPT: {
		struct listening *listening = container_of(op, struct listening, accept);

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
	while ((op = STAILQ_FIRST(&loop->queue)) && loop->nr_msgs < SQ_ENTRIES) {
		sqe = io_uring_get_sqe(&loop->uring);
		if (!sqe)
			return;
		STAILQ_REMOVE_HEAD(&loop->queue, link);
		prepare_op(loop, op, sqe);
	}
}

static void op_finish(struct op *op, int result)
{
	switch ((enum op_kind)op->kind) {
	case OP_IO:
		io_step(op_to_io(op), result);
		return;
	case OP_CONNECT:
		connect_step(op_to_dial(op), result);
		return;
	case OP_ACCEPT:
		accept_step(container_of(op, struct listening, accept), result);
		return;
	case OP_POLL:
		poll_step(container_of(op, struct watching, poll), result);
		return;
	case OP_CANCEL:
		cancel_done(op->target);
		return;
	}
}

static void hand_out_ready(struct loop *loop)
{
	struct op_queue now = STAILQ_HEAD_INITIALIZER(now);
	struct op *op;

	STAILQ_CONCAT(&now, &loop->ready);
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
	uint64_t next_ns = timers_next_ns(&loop->timers);
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;

	if (loop->stopped || !STAILQ_EMPTY(&loop->ready) || !STAILQ_EMPTY(&loop->queue))
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
	timers_fire(&loop->timers, clock_ns(CLOCK_MONOTONIC));
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
	return &loop->env;
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
		return "this kernel is built without io_uring; Linux 6.1 or later with "
		       "CONFIG_IO_URING is needed";
	case -EPERM:
	case -EACCES:
		return "io_uring is forbidden here: set sysctl kernel.io_uring_disabled=0, or, in "
		       "a container, allow the io_uring system calls in its seccomp profile";
	case -EOPNOTSUPP:
		return "this kernel's io_uring is too old; Linux 6.1 or later is needed";
	case -ENOMEM:
		return "no memory for io_uring: raise the limit of locked memory "
		       "(LimitMEMLOCK=infinity in the unit)";
	case -EMFILE:
	case -ENFILE:
		return "no descriptors left for io_uring: raise the limit of open files "
		       "(LimitNOFILE= in the unit)";
	default:
		return strerror(-err);
	}
}

static void nowhere_gone(struct target *target)
{
	(void)target;
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
	made->env.ops = &loop_env_ops;
	STAILQ_INIT(&made->queue);
	STAILQ_INIT(&made->ready);
	LIST_INIT(&made->targets);
	timers_init(&made->timers);
	target_init(&made->nowhere, made, -1, nowhere_gone);
	made->has_fixed = io_uring_register_buffers_sparse(&made->uring, MAX_RINGS) == 0;
	*loop = made;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	struct target *target;

	io_uring_queue_exit(&loop->uring);
	while ((target = LIST_FIRST(&loop->targets))) {
		if (target->gone == watching_gone)
			target->fd = -1;
		target_free(target);
	}
	timers_exit(&loop->timers);
	free(loop);
}
