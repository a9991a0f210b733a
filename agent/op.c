// SPDX-License-Identifier: GPL-2.0
/*
 * The queue of ops, and cancelling until they are gone.
 */
#include "op.h"

#include <assert.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

enum {
	MAX_TRIES = 1000,
	RECANCEL_NS = 1000 * 1000,
};

uint64_t op_monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void target_init(struct target *target, struct op_home *home, int fd,
		 void (*gone)(struct target *target))
{
	*target = (struct target){ .home = home, .fd = fd, .gone = gone };
	LIST_INSERT_HEAD(&home->targets, target, link);
}

static void target_free(struct target *target)
{
	timers_clear(&target->home->timers, &target->recancel);
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

void op_init(struct op *op, enum op_kind kind, struct target *target)
{
	*op = (struct op){ .kind = kind, .target = target, .epoch = target->epoch };
}

void op_start(struct op *op)
{
	op->target->flying++;
	STAILQ_INSERT_TAIL(&op->target->home->queue, op, link);
}

void op_again(struct op *op)
{
	STAILQ_INSERT_TAIL(&op->target->home->queue, op, link);
}

void op_set_ready(struct op *op, int result)
{
	op->result = result;
	STAILQ_INSERT_TAIL(&op->target->home->ready, op, link);
}

void op_end(struct op *op)
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

void target_cancelled(struct target *target)
{
	target->cancelling = false;
	if (target->stale) {
		target->recancel.fire = recancel;
		timers_set(&target->home->timers, &target->recancel,
			   op_monotonic_ns() + RECANCEL_NS);
	}
	target_put(target);
}

/* What has not been submitted yet never will be. */
static void cancel_queued(struct target *target)
{
	struct op_home *home = target->home;
	struct op_queue kept = STAILQ_HEAD_INITIALIZER(kept);
	struct op *op;

	while ((op = STAILQ_FIRST(&home->queue))) {
		STAILQ_REMOVE_HEAD(&home->queue, link);
		if (op->target == target && op->kind != OP_CANCEL)
			op_set_ready(op, -ECANCELED);
		else
			STAILQ_INSERT_TAIL(&kept, op, link);
	}
	STAILQ_CONCAT(&home->queue, &kept);
}

void target_cancel(struct target *target)
{
	target->epoch++;
	target->stale = target->flying;
	cancel_queued(target);
	cancel_start(target);
}

void target_close(struct target *target)
{
	assert(!target->closing);
	target->closing = true;
	target_cancel(target);
	target_put(target);
}

bool op_is_transient(const struct op *op, int result)
{
	if (op_is_stale(op))
		return false;
	/* Cancelled, but not meant: a cancellation of older requests was repeated. */
	if (result == -ECANCELED)
		return true;
	return (result == -EAGAIN || result == -EINTR) && op->tries < MAX_TRIES;
}

static void nowhere_gone(struct target *target)
{
	(void)target;
}

void op_home_init(struct op_home *home)
{
	STAILQ_INIT(&home->queue);
	STAILQ_INIT(&home->ready);
	LIST_INIT(&home->targets);
	timers_init(&home->timers);
	target_init(&home->nowhere, home, -1, nowhere_gone);
}

void op_home_exit(struct op_home *home)
{
	struct target *target;

	while ((target = LIST_FIRST(&home->targets)))
		target_free(target);
	timers_exit(&home->timers);
}
