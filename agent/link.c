// SPDX-License-Identifier: GPL-2.0
/*
 * One receive and one send in flight at most.  The states a link can be in
 * are few: owned (ops set), detaching (detached set), finishing (no owner,
 * sends what is left, then waits for the other side), closed (waits for its requests, then frees itself).
 */
#include "link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct link_buf {
	struct link_buf *next;
	size_t bytes;
	uint8_t data[];
};

struct link {
	struct env *env;
	struct link_home *home;
	struct env_conn *conn;
	const struct link_ops *ops;	/* NULL: nobody listens */
	void *ctx;
	void (*detached)(void *ctx, struct env_conn *conn);

	struct env_io recv;
	struct iovec recv_iov;
	uint8_t *message;
	size_t have, want;
	bool receiving;

	struct env_io send;
	struct iovec send_iov;
	struct link_buf *first, **last;
	size_t queued_bytes;
	bool sending;

	bool closed, finishing, in_callback;
	struct env_timer timer;		/* finishing */
};

#define from_member(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

void link_home_get(struct link_home *home)
{
	home->live++;
}

void link_home_put(struct link_home *home)
{
	assert(home->live > 0);
	if (--home->live == 0 && home->empty)
		home->empty(home);
}

static void drop_queue(struct link *link)
{
	while (link->first) {
		struct link_buf *buf = link->first;

		link->first = buf->next;
		free(buf);
	}
	link->last = &link->first;
	link->queued_bytes = 0;
}

static void free_if_idle(struct link *link)
{
	struct link_home *home = link->home;

	if (!link->closed || link->receiving || link->sending || link->in_callback)
		return;
	drop_queue(link);
	free(link->message);
	free(link);
	link_home_put(home);
}

void link_close(struct link *link)
{
	if (link->closed)
		return;
	link->closed = true;
	link->ops = NULL;
	env_timer_clear(link->env, &link->timer);
	if (link->conn)
		link->env->ops->conn_close(link->env, link->conn);
	link->conn = NULL;
	free_if_idle(link);
}

static void broken(struct link *link, const char *why)
{
	const struct link_ops *ops = link->ops;

	if (link->closed)
		return;
	if (link->finishing || !ops) {
		link_close(link);
		return;
	}
	link->ops = NULL;
	ops->broken(link->ctx, why);
}

static void receive_more(struct link *link)
{
	link->recv_iov.iov_base = link->message + link->have;
	link->recv_iov.iov_len = link->want - link->have;
	link->receiving = true;
	env_submit(link->env, &link->recv);
}

static void message_complete(struct link *link)
{
	size_t bytes = link->have;

	link->have = 0;
	link->want = WIRE_HEAD_BYTES;
	if (link->ops->message(link->ctx, link->message, bytes) && !link->closed && link->ops)
		receive_more(link);
}

static void head_complete(struct link *link)
{
	ssize_t body = link->ops->head(link->ctx, link->message);

	if (link->closed || !link->ops || body < 0)
		return;
	assert(body <= WIRE_MAX_BODY);
	link->want = WIRE_HEAD_BYTES + body;
	if (body)
		receive_more(link);
	else
		message_complete(link);
}

/* Unread bytes would make the close a reset, and the last message could be lost. */
static void discard(struct link *link, ssize_t result)
{
	if (result <= 0) {
		link_close(link);
		return;
	}
	link->have = 0;
	link->want = WIRE_HEAD_BYTES + WIRE_MAX_BODY;
	receive_more(link);
}

static void received(struct link *link, ssize_t result)
{
	if (link->finishing && !link->closed)
		discard(link, result);
	if (link->closed || !link->ops)
		return;
	if (result <= 0) {
		broken(link, result ? strerror(-result) : "the other side closed the connection");
		return;
	}
	link->have += result;
	if (link->have < link->want)
		receive_more(link);
	else if (link->want == WIRE_HEAD_BYTES)
		head_complete(link);
	else
		message_complete(link);
}

static void recv_done(struct env_io *io, ssize_t result)
{
	struct link *link = from_member(io, struct link, recv);

	link->receiving = false;
	link->in_callback = true;
	received(link, result);
	link->in_callback = false;
	if (link->finishing && !link->closed && !link->receiving)
		receive_more(link);
	free_if_idle(link);
}

static void send_next(struct link *link)
{
	link->send_iov.iov_base = link->first->data;
	link->send_iov.iov_len = link->first->bytes;
	link->sending = true;
	env_submit(link->env, &link->send);
}

static void hand_over(struct link *link)
{
	void (*detached)(void *ctx, struct env_conn *conn) = link->detached;
	struct env_conn *conn = link->conn;
	void *ctx = link->ctx;

	if (link->receiving || link->sending)
		return;
	link->conn = NULL;
	link_close(link);
	detached(ctx, conn);
}

static void all_sent(struct link *link)
{
	if (link->detached)
		hand_over(link);
}

static void sent(struct link *link, ssize_t result)
{
	struct link_buf *buf = link->first;

	if (link->closed)
		return;
	if (result < 0 || (size_t)result != buf->bytes) {
		broken(link, result < 0 ? strerror(-result) : "a message was sent in part only");
		return;
	}
	link->first = buf->next;
	if (!link->first)
		link->last = &link->first;
	link->queued_bytes -= buf->bytes;
	free(buf);
	if (link->first)
		send_next(link);
	else
		all_sent(link);
}

static void send_done(struct env_io *io, ssize_t result)
{
	struct link *link = from_member(io, struct link, send);

	link->sending = false;
	link->in_callback = true;
	sent(link, result);
	link->in_callback = false;
	free_if_idle(link);
}

static void finish_late(struct env_timer *timer)
{
	link_close(from_member(timer, struct link, timer));
}

struct link *link_create(struct env *env, struct link_home *home, struct env_conn *conn,
			 const struct link_ops *ops, void *ctx)
{
	struct link *link = calloc(1, sizeof(*link));

	if (link)
		link->message = malloc(WIRE_HEAD_BYTES + WIRE_MAX_BODY);
	if (!link || !link->message) {
		free(link);
		env->ops->conn_close(env, conn);
		return NULL;
	}
	link->env = env;
	link->home = home;
	link->conn = conn;
	link->ops = ops;
	link->ctx = ctx;
	link->want = WIRE_HEAD_BYTES;
	link->last = &link->first;
	link->timer.fire = finish_late;
	link->recv = (struct env_io){
		.done = recv_done, .op = ENV_RECV, .conn = conn, .iov = &link->recv_iov,
		.nr_iov = 1,
	};
	link->send = (struct env_io){
		.done = send_done, .op = ENV_SEND, .conn = conn, .iov = &link->send_iov,
		.nr_iov = 1,
	};
	link_home_get(home);
	return link;
}

void link_set_ops(struct link *link, const struct link_ops *ops, void *ctx)
{
	link->ops = ops;
	link->ctx = ctx;
}

void link_read(struct link *link)
{
	assert(!link->receiving);
	if (link->ops && !link->closed)
		receive_more(link);
}

bool link_send(struct link *link, const void *message, size_t bytes)
{
	struct link_buf *buf;

	if (link->closed || link->finishing || link->queued_bytes + bytes > LINK_MAX_QUEUED_BYTES)
		return false;
	buf = malloc(sizeof(*buf) + bytes);
	if (!buf)
		return false;
	buf->next = NULL;
	buf->bytes = bytes;
	memcpy(buf->data, message, bytes);
	*link->last = buf;
	link->last = &buf->next;
	link->queued_bytes += bytes;
	if (!link->sending)
		send_next(link);
	return true;
}

void link_finish(struct link *link, uint64_t timeout_ns)
{
	if (link->closed)
		return;
	link->ops = NULL;
	link->finishing = true;
	link->have = 0;
	link->want = WIRE_HEAD_BYTES + WIRE_MAX_BODY;
	if (!link->receiving && !link->in_callback)
		receive_more(link);
	env_timer_set(link->env, &link->timer, env_monotonic_ns(link->env) + timeout_ns);
}

void link_detach(struct link *link, void (*detached)(void *ctx, struct env_conn *conn))
{
	link->detached = detached;
	if (!link->sending && !link->receiving)
		hand_over(link);
}
