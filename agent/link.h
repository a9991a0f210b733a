/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages over one connection: reads exactly one message at a time, head
 * then body, and not one byte more, so that whoever takes the connection over
 * finds the stream where the last message ended.  Sends in order, bounded.
 *
 * The one idea: a link frees itself.  After link_close() none of its
 * callbacks is called any more, whatever is still in flight.
 */
#ifndef REPRISE_LINK_H
#define REPRISE_LINK_H

#include "env.h"
#include "wire.h"

enum { LINK_MAX_QUEUED_BYTES = 1 << 20 };

struct link;

/**
 * struct link_home - counts what is still in flight, for an orderly end
 * @empty: called whenever @live falls to 0; may be NULL
 */
struct link_home {
	unsigned int live;
	void (*empty)(struct link_home *home);
};

/**
 * struct link_ops - what the owner is told; each may call link_close()
 * @head: a head has arrived: return the length of the body that follows, or a
 *	negative number to stop reading
 * @message: head and body have arrived; true: read the next one
 * @broken: end of stream or an error (words); the owner closes the link
 */
struct link_ops {
	ssize_t (*head)(void *ctx, const uint8_t head[WIRE_HEAD_BYTES]);
	bool (*message)(void *ctx, const uint8_t *message, size_t bytes);
	void (*broken)(void *ctx, const char *why);
};

void link_home_get(struct link_home *home);
void link_home_put(struct link_home *home);

/* Takes @conn over, also on failure (NULL: no memory).  Nothing is read yet. */
struct link *link_create(struct env *env, struct link_home *home, struct env_conn *conn,
			 const struct link_ops *ops, void *ctx);
/* New owner; what is to be read next is read for it. */
void link_set_ops(struct link *link, const struct link_ops *ops, void *ctx);
/* Read one message (and more, as @message says).  Not while one is being read. */
void link_read(struct link *link);
/* A whole message; copied.  false: too much queued or no memory (the link is then broken). */
bool link_send(struct link *link, const void *message, size_t bytes);
/* Close, at once. */
void link_close(struct link *link);
/* Send what is queued, close when the other side has, at most @timeout_ns later. */
void link_finish(struct link *link, uint64_t timeout_ns);
/*
 * Give the connection back once everything queued is sent; nothing is being
 * read.  The link is gone when @detached is called (from the loop or from
 * here), or broken() is called instead.
 */
void link_detach(struct link *link, void (*detached)(void *ctx, struct env_conn *conn));

#endif /* REPRISE_LINK_H */
