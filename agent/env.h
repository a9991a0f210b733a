/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The seam between what decides and what touches.
 *
 * Everything of the agent that decides (replica, log, recovery, meeting,
 * roles, handshake) reaches disks, sockets, clocks and randomness through
 * this interface only.  loop.c implements it with io_uring; the tests and the
 * simulator implement it in memory, with faults.
 *
 * The one idea: requests are embedded in their owner (nothing is allocated
 * per request), submission never fails and never calls back; @done is called
 * later, from the event loop, exactly once.  One thread, so no locks.
 */
#ifndef REPRISE_ENV_H
#define REPRISE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct env;
struct env_file;	/* a store (block device or file) or a log segment's home */
struct env_conn;	/* a connected stream socket */

enum env_op {
	ENV_READ,	/* file: @iov at @offset */
	ENV_WRITE,	/* file: @iov at @offset; ENV_DSYNC: durable when done */
	ENV_FLUSH,	/* file: everything written before submission is durable */
	ENV_ZERO,	/* file: @length bytes at @offset read as zeros; ENV_UNMAP: may unmap */
	ENV_RECV,	/* conn: at least one byte into @iov; 0 is end of stream */
	ENV_SEND,	/* conn: all of @iov, or an error */
};

enum env_flags {
	ENV_DSYNC	= 1 << 0,
	ENV_UNMAP	= 1 << 1,
};

/**
 * struct env_io - one request, embedded in its owner
 * @done: called once from the loop; @result is the number of bytes (READ,
 *	WRITE and ZERO: always the whole length, the implementation repeats
 *	short transfers; a READ that meets the end of the file is -EIO;
 *	RECV: 1..length, or 0 at the end of the stream), 0 (FLUSH), or -errno.
 *	-ECANCELED: cancelled by env_conn_cancel() or env_conn_close().
 * @iov: must stay valid, with what it points to, until @done.  File I/O is
 *	O_DIRECT: buffers, lengths and offsets are multiples of 512 for stores
 *	(of the logical block size, in fact), of 4096 for log segments.
 *
 * The owner fills everything down to @length and must not touch the request
 * between env_submit() and @done.  Requests may complete in any order.
 */
struct env_io {
	void (*done)(struct env_io *io, ssize_t result);
	enum env_op op;
	unsigned int flags;
	union {
		struct env_file *file;
		struct env_conn *conn;
	};
	uint64_t offset;
	const struct iovec *iov;
	unsigned int nr_iov;
	uint64_t length;	/* ZERO only */

	uint64_t priv[8];	/* the implementation's */
};

/**
 * struct env_timer - one timer, embedded in its owner
 * @fire: called once from the loop at or after @deadline_ns; may set it again
 */
struct env_timer {
	void (*fire)(struct env_timer *timer);
	uint64_t deadline_ns;	/* monotonic */

	bool armed;		/* the implementation's, from here */
	size_t slot;
};

/**
 * struct env_dial - one attempt to connect, embedded in its owner
 * @done: called once from the loop: @error 0 and a connected @conn (the
 *	owner's), or -errno
 */
struct env_dial {
	void (*done)(struct env_dial *dial, struct env_conn *conn, int error);
	struct sockaddr_storage addr;
	socklen_t addr_len;
	uint64_t timeout_ns;	/* relative */

	uint64_t priv[16];	/* the implementation's */
};

/**
 * struct env_listener - a listening socket, embedded in its owner
 * @accept: a new connection (the owner's), and where it came from
 */
struct env_listener {
	void (*accept)(struct env_listener *listener, struct env_conn *conn,
		       const struct sockaddr_storage *from);
	struct sockaddr_storage addr;
	socklen_t addr_len;

	uint64_t priv[24];	/* the implementation's */
};

struct env_ops {
	void (*submit)(struct env *env, struct env_io *io);
	void (*timer_set)(struct env *env, struct env_timer *timer, uint64_t deadline_ns);
	void (*timer_clear)(struct env *env, struct env_timer *timer);
	uint64_t (*monotonic_ns)(struct env *env);
	uint64_t (*realtime_ns)(struct env *env);
	void (*random)(struct env *env, void *buf, size_t bytes);
	/*
	 * Requests in flight on the connection complete with -ECANCELED (or
	 * with what they had already done).  The connection stays open.
	 */
	void (*conn_cancel)(struct env *env, struct env_conn *conn);
	/* As cancel, then close; the handle is gone once all have completed. */
	void (*conn_close)(struct env *env, struct env_conn *conn);
	void (*conn_dial)(struct env *env, struct env_dial *dial);
	void (*dial_cancel)(struct env *env, struct env_dial *dial);	/* done: -ECANCELED */
	int (*listen)(struct env *env, struct env_listener *listener);	/* 0 or -errno */
	void (*unlisten)(struct env *env, struct env_listener *listener);
	/* The descriptor, still owned by @conn: to be handed to the kernel. */
	int (*conn_fd)(struct env *env, struct env_conn *conn);
	/*
	 * Open a store or log segment: O_RDWR | O_DIRECT, flock'ed exclusively,
	 * block devices also O_EXCL.  @bytes: its size.  0 or -errno (-EBUSY:
	 * somebody else has it).
	 */
	int (*file_open)(struct env *env, const char *path, struct env_file **file,
			 uint64_t *bytes);
	/* The same for a descriptor that is already open (the kernel gave it back). */
	int (*file_adopt)(struct env *env, int fd, struct env_file **file, uint64_t *bytes);
	void (*file_close)(struct env *env, struct env_file *file);	/* nothing in flight */
	int (*file_fd)(struct env *env, struct env_file *file);
	/*
	 * A ring buffer of @bytes (a multiple of 64 KiB) mapped twice, back to
	 * back, so that every range of up to @bytes is contiguous.  Locked in
	 * memory and registered for I/O where that is possible.  NULL: no
	 * memory.
	 */
	void *(*ring_alloc)(struct env *env, size_t bytes);
	void (*ring_free)(struct env *env, void *ring, size_t bytes);
	/* One line for the log; @level as in syslog (3 error .. 7 debug). */
	void (*log)(struct env *env, int level, const char *resource, const char *text);
};

struct env {
	const struct env_ops *ops;
};

static inline void env_submit(struct env *env, struct env_io *io)
{
	env->ops->submit(env, io);
}

static inline void env_timer_set(struct env *env, struct env_timer *timer, uint64_t deadline_ns)
{
	env->ops->timer_set(env, timer, deadline_ns);
}

static inline void env_timer_clear(struct env *env, struct env_timer *timer)
{
	env->ops->timer_clear(env, timer);
}

static inline uint64_t env_monotonic_ns(struct env *env)
{
	return env->ops->monotonic_ns(env);
}

static inline uint64_t env_realtime_ns(struct env *env)
{
	return env->ops->realtime_ns(env);
}

static inline void env_random(struct env *env, void *buf, size_t bytes)
{
	env->ops->random(env, buf, bytes);
}

void env_log(struct env *env, int level, const char *resource, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif /* REPRISE_ENV_H */
