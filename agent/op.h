/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ops and targets: what loop.c and its parts (transfer.c, conn.c) are made
 * of.  Knows queues and cancellation, but not io_uring.
 *
 * An op is one request to the kernel; it sits in its owner's memory, in the
 * queue until it is submitted and in the ready list when its result is known
 * without.  It belongs to a target (a connection, file, listener or watch),
 * which counts its ops.  Cancelling raises the target's epoch: ops of an older
 * epoch are not continued when short, and the kernel is asked again until they
 * are gone (a request that was just being woken escapes a cancellation and may
 * go back to sleep).  Ops of the new epoch that were hit all the same are
 * queued again.
 */
#ifndef REPRISE_OP_H
#define REPRISE_OP_H

#include <stddef.h>
#include <sys/queue.h>

#include "env.h"
#include "timers.h"

#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

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
	uint8_t zero_by;	/* OP_IO: enum transfer_zero_by */
};

STAILQ_HEAD(op_queue, op);

struct target {
	LIST_ENTRY(target) link;
	struct op_home *home;
	void (*gone)(struct target *target);	/* frees */
	int fd;			/* closed when it goes, unless -1 */
	uint32_t epoch;
	uint32_t flying;	/* ops not yet handed back */
	uint32_t stale;		/* of these, of older epochs */
	bool closing;
	bool cancelling;	/* @cancel is on its way */
	struct op cancel;
	struct op *victim;	/* what to cancel; NULL: all on @fd */
	struct env_timer recancel;
};

struct op_home {
	struct env env;
	struct op_queue queue;	/* to be submitted */
	struct op_queue ready;	/* with a result, to be handed back */
	struct timers timers;
	LIST_HEAD(, target) targets;
	struct target nowhere;	/* of ops that failed before they had one */
};

void op_home_init(struct op_home *home);
/* Everything that is left goes, with its descriptors. */
void op_home_exit(struct op_home *home);

static inline struct op_home *op_home(struct env *env)
{
	return container_of(env, struct op_home, env);
}

uint64_t op_monotonic_ns(void);

void target_init(struct target *target, struct op_home *home, int fd,
		 void (*gone)(struct target *target));
/* All ops started so far end with -ECANCELED, or with what they had done. */
void target_cancel(struct target *target);
/* Cancel, and go when all ops have ended. */
void target_close(struct target *target);
/* @target.cancel has completed. */
void target_cancelled(struct target *target);

void op_init(struct op *op, enum op_kind kind, struct target *target);
void op_start(struct op *op);
/* Once more, with what is left of it. */
void op_again(struct op *op);
void op_set_ready(struct op *op, int result);
/*
 * @op is about to be handed back: its target may be gone after this, as the
 * owner may close it, or have closed it.
 */
void op_end(struct op *op);

/* Started before the last cancellation. */
static inline bool op_is_stale(const struct op *op)
{
	return op->epoch != op->target->epoch;
}

/* Does @result ask for another try? */
bool op_is_transient(const struct op *op, int result);

#endif /* REPRISE_OP_H */
