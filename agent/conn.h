/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Connections: made elsewhere, dialed, accepted, cancelled, closed.
 */
#ifndef REPRISE_CONN_H
#define REPRISE_CONN_H

#include "transfer.h"

struct listening {
	struct target target;
	struct op accept;
	struct env_listener *listener;
	struct sockaddr_storage from;
	socklen_t from_len;
	struct env_timer pause;
};

struct env_conn *conn_adopt(struct op_home *home, int fd);

/* Of env_ops. */
void conn_cancel(struct env *env, struct env_conn *conn);
void conn_close(struct env *env, struct env_conn *conn);
int conn_fd(struct env *env, struct env_conn *conn);
void conn_dial(struct env *env, struct env_dial *dial);
void conn_dial_cancel(struct env *env, struct env_dial *dial);
int conn_listen(struct env *env, struct env_listener *listener);
void conn_unlisten(struct env *env, struct env_listener *listener);

static inline struct env_dial *conn_dial_of(struct op *op)
{
	return container_of(op, struct env_dial, priv);
}

static inline struct listening *conn_listening_of(struct op *op)
{
	return container_of(op, struct listening, accept);
}

/* The connect or accept has completed. */
void conn_connected(struct env_dial *dial, int result);
void conn_accepted(struct listening *listening, int result);

#endif /* REPRISE_CONN_H */
