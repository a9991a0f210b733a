// SPDX-License-Identifier: GPL-2.0
/*
 * Drives the handshake's state machine over a link.  One timer covers it all,
 * from the dial to the last message.
 */
#include "greet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct greet {
	struct env *env;
	struct link_home *home;
	greet_done done;	/* NULL: cancelled, or told already */
	void *ctx;
	struct env_dial dial;
	bool dialing;
	struct link *link;
	struct env_timer timer;
	struct handshake hs;
};

#define from_member(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static void greet_free(struct greet *greet)
{
	struct link_home *home = greet->home;

	env_timer_clear(greet->env, &greet->timer);
	free(greet);
	link_home_put(home);
}

/* Tell the owner, once; the greet is gone. */
static void finish(struct greet *greet, const struct greet_result *result)
{
	greet_done done = greet->done;

	greet->done = NULL;
	if (done)
		done(greet->ctx, result);
	else if (result->conn)
		greet->env->ops->conn_close(greet->env, result->conn);
	greet_free(greet);
}

static void finish_failed(struct greet *greet, const char *why, unsigned int refusal)
{
	struct greet_result result = { .why = why, .refusal = refusal };

	finish(greet, &result);
}

static void detached(void *ctx, struct env_conn *conn)
{
	struct greet *greet = ctx;
	struct greet_result result = { .conn = conn, .hello = greet->hs.hello };

	greet->link = NULL;
	finish(greet, &result);
}

static void refused(struct greet *greet)
{
	if (greet->hs.out_bytes)
		link_send(greet->link, greet->hs.out, greet->hs.out_bytes);
	link_finish(greet->link, 1000000000);
	greet->link = NULL;
	finish_failed(greet, greet->hs.why, greet->hs.refusal);
}

static ssize_t link_head(void *ctx, const uint8_t head[WIRE_HEAD_BYTES])
{
	struct greet *greet = ctx;
	size_t body;

	if (handshake_head(&greet->hs, head, &body) == HANDSHAKE_MORE)
		return body;
	refused(greet);
	return -1;
}

static bool link_message(void *ctx, const uint8_t *message, size_t bytes)
{
	struct greet *greet = ctx;
	enum handshake_status status = handshake_receive(&greet->hs, message, bytes);

	if (status == HANDSHAKE_FAILED) {
		refused(greet);
		return false;
	}
	if (greet->hs.out_bytes)
		link_send(greet->link, greet->hs.out, greet->hs.out_bytes);
	if (status == HANDSHAKE_MORE)
		return true;
	link_detach(greet->link, detached);
	return false;
}

static void link_broken(void *ctx, const char *why)
{
	struct greet *greet = ctx;

	link_close(greet->link);
	greet->link = NULL;
	finish_failed(greet, why, 0);
}

static const struct link_ops greet_link_ops = {
	.head = link_head,
	.message = link_message,
	.broken = link_broken,
};

static void too_late(struct env_timer *timer)
{
	struct greet *greet = from_member(timer, struct greet, timer);

	if (greet->dialing) {
		greet->env->ops->dial_cancel(greet->env, &greet->dial);
		return;
	}
	if (greet->link)
		link_close(greet->link);
	greet->link = NULL;
	finish_failed(greet, "no answer to the handshake in time", 0);
}

static struct greet *greet_create(struct env *env, struct link_home *home, greet_done done,
				  void *ctx)
{
	struct greet *greet = calloc(1, sizeof(*greet));

	if (!greet)
		return NULL;
	greet->env = env;
	greet->home = home;
	greet->done = done;
	greet->ctx = ctx;
	greet->timer.fire = too_late;
	link_home_get(home);
	env_timer_set(env, &greet->timer, env_monotonic_ns(env) + GREET_TIMEOUT_MS * 1000000ull);
	return greet;
}

static bool start_link(struct greet *greet, struct env_conn *conn)
{
	greet->link = link_create(greet->env, greet->home, conn, &greet_link_ops, greet);
	return greet->link;
}

static void dialed(struct env_dial *dial, struct env_conn *conn, int error)
{
	struct greet *greet = from_member(dial, struct greet, dial);

	greet->dialing = false;
	if (conn && (error || !greet->done)) {
		greet->env->ops->conn_close(greet->env, conn);
		conn = NULL;
	}
	if (!greet->done || error) {
		finish_failed(greet, error ? strerror(-error) : "", 0);
		return;
	}
	if (!start_link(greet, conn)) {
		finish_failed(greet, "no memory", 0);
		return;
	}
	link_send(greet->link, greet->hs.out, greet->hs.out_bytes);
	link_read(greet->link);
}

struct greet *greet_dial(struct env *env, struct link_home *home,
			 const struct sockaddr_storage *addr, socklen_t addr_len,
			 const struct wire_hello *hello, const struct handshake_keys *keys,
			 greet_done done, void *ctx)
{
	struct greet *greet = greet_create(env, home, done, ctx);
	uint8_t nonce[AUTH_NONCE_BYTES];

	if (!greet)
		return NULL;
	env_random(env, nonce, sizeof(nonce));
	handshake_dial(&greet->hs, hello, keys, nonce);
	greet->dial.done = dialed;
	greet->dial.addr = *addr;
	greet->dial.addr_len = addr_len;
	greet->dial.timeout_ns = GREET_TIMEOUT_MS * 1000000ull;
	greet->dialing = true;
	env->ops->conn_dial(env, &greet->dial);
	return greet;
}

struct greet *greet_accept(struct env *env, struct link_home *home, struct env_conn *conn,
			   handshake_lookup lookup, greet_done done, void *ctx)
{
	struct greet *greet = greet_create(env, home, done, ctx);
	uint8_t nonce[AUTH_NONCE_BYTES];

	if (!greet) {
		env->ops->conn_close(env, conn);
		return NULL;
	}
	env_random(env, nonce, sizeof(nonce));
	handshake_accept(&greet->hs, lookup, ctx, nonce);
	if (!start_link(greet, conn)) {
		greet_free(greet);
		return NULL;
	}
	link_read(greet->link);
	return greet;
}

void greet_cancel(struct greet *greet)
{
	greet->done = NULL;
	env_timer_clear(greet->env, &greet->timer);
	if (greet->dialing) {
		greet->env->ops->dial_cancel(greet->env, &greet->dial);
		return;
	}
	if (greet->link)
		link_close(greet->link);
	greet_free(greet);
}
