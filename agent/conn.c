// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a connection.  A descriptor is closed only when every op on it
 * has come back, and never shut down: the kernel module may have it by then.
 */
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log_line.h"
#include "socket.h"

enum { ACCEPT_PAUSE_NS = 100 * 1000 * 1000 };

/* In env_dial.priv. */
struct dial_op {
	struct op op;
	struct env_conn *conn;
	struct env_timer timeout;
	bool timed_out;
};

static_assert(sizeof(struct dial_op) <= sizeof(((struct env_dial *)0)->priv), "env_dial.priv");

static struct dial_op *dial_op(struct env_dial *dial)
{
	return (struct dial_op *)dial->priv;
}

static void conn_gone(struct target *target)
{
	free(container_of(target, struct env_conn, target));
}

struct env_conn *conn_adopt(struct op_home *home, int fd)
{
	struct env_conn *conn = malloc(sizeof(*conn));

	if (!conn)
		return NULL;
	socket_tune(fd);
	target_init(&conn->target, home, fd, conn_gone);
	return conn;
}

void conn_cancel(struct env *env, struct env_conn *conn)
{
	(void)env;
	target_cancel(&conn->target);
}

void conn_close(struct env *env, struct env_conn *conn)
{
	(void)env;
	target_close(&conn->target);
}

int conn_fd(struct env *env, struct env_conn *conn)
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

static int dial_prepare(struct op_home *home, struct env_dial *dial)
{
	struct dial_op *dop = dial_op(dial);
	int fd = socket_create(dial->addr.ss_family);

	if (fd < 0)
		return fd;
	dop->conn = conn_adopt(home, fd);
	if (dop->conn)
		return 0;
	close(fd);
	return -ENOMEM;
}

void conn_dial(struct env *env, struct env_dial *dial)
{
	struct op_home *home = op_home(env);
	struct dial_op *dop = dial_op(dial);
	int err;

	*dop = (struct dial_op){ .timeout.fire = dial_timeout };
	err = dial_prepare(home, dial);
	op_init(&dop->op, OP_CONNECT, err ? &home->nowhere : &dop->conn->target);
	if (err) {
		home->nowhere.flying++;
		op_set_ready(&dop->op, err);
		return;
	}
	op_start(&dop->op);
	timers_set(&home->timers, &dop->timeout, op_monotonic_ns() + dial->timeout_ns);
}

void conn_dial_cancel(struct env *env, struct env_dial *dial)
{
	struct dial_op *dop = dial_op(dial);

	if (dop->conn && !op_is_stale(&dop->op)) {
		timers_clear(&op_home(env)->timers, &dop->timeout);
		target_cancel(&dop->conn->target);
	}
}

void conn_connected(struct env_dial *dial, int result)
{
	struct dial_op *dop = dial_op(dial);
	struct target *target = dop->op.target;
	struct env_conn *conn = dop->conn;

	if (op_is_transient(&dop->op, result)) {
		dop->op.tries++;
		op_again(&dop->op);
		return;
	}
	if (op_is_stale(&dop->op))
		result = dop->timed_out ? -ETIMEDOUT : -ECANCELED;
	/* 6.1 repeats connect() when it is woken, and meets the connection. */
	if (result == -EISCONN)
		result = 0;
	timers_clear(&target->home->timers, &dop->timeout);
	op_end(&dop->op);
	if (result && conn)
		target_close(&conn->target);
	dial->done(dial, result ? NULL : conn, result);
}

static void listening_gone(struct target *target)
{
	struct listening *listening = container_of(target, struct listening, target);

	timers_clear(&target->home->timers, &listening->pause);
	free(listening);
}

static void accept_again(struct env_timer *timer)
{
	struct listening *listening = container_of(timer, struct listening, pause);

	op_init(&listening->accept, OP_ACCEPT, &listening->target);
	op_start(&listening->accept);
}

int conn_listen(struct env *env, struct env_listener *listener)
{
	struct op_home *home = op_home(env);
	struct listening *listening = calloc(1, sizeof(*listening));
	int fd;

	if (!listening)
		return -ENOMEM;
	fd = socket_listen(&listener->addr, &listener->addr_len);
	if (fd < 0) {
		free(listening);
		return fd;
	}
	target_init(&listening->target, home, fd, listening_gone);
	listening->listener = listener;
	listening->pause.fire = accept_again;
	listener->priv[0] = (uintptr_t)listening;
	accept_again(&listening->pause);
	return 0;
}

void conn_unlisten(struct env *env, struct env_listener *listener)
{
	struct listening *listening = (struct listening *)(uintptr_t)listener->priv[0];

	(void)env;
	timers_clear(&listening->target.home->timers, &listening->pause);
	/* The address is free at once, not only when the cancelled accept is back. */
	(void)shutdown(listening->target.fd, SHUT_RDWR);
	target_close(&listening->target);
}

static void accept_new(struct listening *listening, int fd)
{
	struct sockaddr_storage from = listening->from;
	struct env_conn *conn = conn_adopt(listening->target.home, fd);

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
	timers_set(&listening->target.home->timers, &listening->pause,
		   op_monotonic_ns() + ACCEPT_PAUSE_NS);
	op_end(&listening->accept);
}

void conn_accepted(struct listening *listening, int result)
{
	if (op_is_stale(&listening->accept)) {
		if (result >= 0)
			close(result);
		op_end(&listening->accept);
	} else if (result >= 0) {
		accept_new(listening, result);
	} else if (op_is_transient(&listening->accept, result) || result == -ECONNABORTED) {
		op_again(&listening->accept);
	} else {
		accept_failed(listening, result);
	}
}
