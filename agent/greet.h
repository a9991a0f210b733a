/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A handshake on a real connection: dials (or takes an accepted connection),
 * drives handshake.c message by message within a time limit, and hands back
 * either an authenticated connection with nothing read beyond the handshake,
 * or the reason in plain words.  Here TLS would go, between dial and HELLO.
 */
#ifndef REPRISE_GREET_H
#define REPRISE_GREET_H

#include "handshake.h"
#include "link.h"

enum { GREET_TIMEOUT_MS = 5000 };

struct greet;

/**
 * struct greet_result - how it ended
 * @conn: authenticated, the receiver's; NULL: failed
 * @hello: who, whom, which resource, kind and session; valid if @conn
 * @why: plain words, if failed
 * @refusal: enum wire_refusal, 0: not refused but failed (network)
 */
struct greet_result {
	struct env_conn *conn;
	struct wire_hello hello;
	const char *why;
	unsigned int refusal;
};

/* Called exactly once, unless cancelled; the greet is gone afterwards. */
typedef void (*greet_done)(void *ctx, const struct greet_result *result);

/* NULL: no memory (@done is not called). */
struct greet *greet_dial(struct env *env, struct link_home *home,
			 const struct sockaddr_storage *addr, socklen_t addr_len,
			 const struct wire_hello *hello, const struct handshake_keys *keys,
			 greet_done done, void *ctx);
/* Takes @conn over in any case.  @lookup as in handshake.h, with @ctx. */
struct greet *greet_accept(struct env *env, struct link_home *home, struct env_conn *conn,
			   handshake_lookup lookup, greet_done done, void *ctx);
/* @done is not called any more. */
void greet_cancel(struct greet *greet);

#endif /* REPRISE_GREET_H */
