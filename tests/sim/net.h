/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The network: stream connections between hosts, with delay, windows, one-way
 * partitions, resets and (below TCP's own checksum) corrupted bytes.  Within
 * one connection order holds; between connections nothing does.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include <sys/types.h>

#include "world.h"

enum { NET_MAX_HOSTS = 4 };

struct net;
struct net_end;		/* one end of a connection */

/* One direction between two hosts. */
struct net_link {
	bool cut;
	uint32_t delay_us, jitter_us;
	uint32_t slow_ppm, slow_ms;
	uint32_t reset_ppm, corrupt_ppm;	/* of the pieces that travel */
};

struct net *net_create(struct world *world, unsigned int hosts);
void net_destroy(struct net *net);
struct net_link *net_link(struct net *net, unsigned int from, unsigned int to);
/* A link was cut or healed. */
void net_changed(struct net *net);
/* The machine is gone: its ends vanish without a word. */
void net_host_down(struct net *net, unsigned int host);
void net_host_up(struct net *net, unsigned int host);
bool net_host_is_up(const struct net *net, unsigned int host);

/* Time a packet takes now. */
uint64_t net_delay(struct net *net, unsigned int from, unsigned int to);
/* A new connection; each end has one reference. */
void net_connect(struct net *net, unsigned int from, unsigned int to, struct net_end **dialer,
		 struct net_end **acceptor);

/* @ready: called, later, whenever there may be something to read or room to write. */
void net_end_watch(struct net_end *end, void (*ready)(void *ctx), void *ctx);
/* Unless somebody else watches it by now. */
void net_end_unwatch(struct net_end *end, const void *ctx);
void net_end_get(struct net_end *end);
/* The last reference closes: orderly, or, with bytes unread or aborted, by a reset. */
void net_end_put(struct net_end *end);
void net_end_abort(struct net_end *end);

/* > 0: bytes; 0: the stream's end; -EAGAIN; -ECONNRESET */
ssize_t net_recv(struct net_end *end, void *buf, size_t bytes);
/* > 0: bytes taken; -EAGAIN: the window is full; -EPIPE; -ECONNRESET */
ssize_t net_send(struct net_end *end, const void *buf, size_t bytes);

#endif /* SIM_NET_H */
