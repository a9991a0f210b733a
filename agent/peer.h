/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control connection to one peer: dialed with back-off, or taken from
 * the listener; introduced (names, versions, configuration, volumes), kept
 * alive, lost.  What comes over it is decoded here and handed to node.c.
 */
#ifndef REPRISE_PEER_H
#define REPRISE_PEER_H

#include "node.h"

void peer_init(struct peer *peer, struct node *node, const struct conf_node *conf);
/* Begin to keep a connection, or end it for good; @why for here, @told in the peer's eyes. */
void peer_start(struct peer *peer);
void peer_stop(struct peer *peer, const char *why, const char *told);
/* Drop the connection and begin anew (the configuration changed). */
void peer_restart(struct peer *peer, const char *why, const char *told);
void peer_tick(struct peer *peer);
/* An authenticated control connection from the listener; taken over. */
void peer_accepted(struct peer *peer, struct env_conn *conn);
/* The listener refused it, in words. */
void peer_accept_failed(struct peer *peer, const char *why);

/* Messages; nothing happens without a connection. */
void peer_send_state(struct peer *peer, const struct message_state *state);
void peer_send_answer(struct peer *peer, unsigned int type, const struct message_answer *answer);
/* How to prove to, and check, this peer. */
void peer_keys(const struct peer *peer, struct handshake_keys *keys);
void peer_hello(const struct peer *peer, unsigned int kind, uint64_t session,
		struct wire_hello *hello);
const struct conf_node *peer_conf(const struct peer *peer);

#endif /* REPRISE_PEER_H */
