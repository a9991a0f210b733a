// SPDX-License-Identifier: GPL-2.0
/*
 * Each direction is a queue of pieces under way and a buffer of bytes that
 * have arrived.  A piece that meets a cut link waits for it to heal, as
 * retransmission would have it.
 */
#include "net.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "heap.h"

enum {
	WINDOW_BYTES = 128 << 10,
	PIECE_BYTES = 32 << 10,
	SILENCE_MS = 200,		/* retransmission to a host that is away */
};

enum piece_kind { PIECE_DATA, PIECE_FIN, PIECE_RESET };

struct piece {
	struct piece *next;
	uint64_t at;
	enum piece_kind kind;
	size_t bytes;
	uint8_t data[];
};

struct net_end {
	struct net *net;
	struct net_end *other;
	struct net_end *next;		/* of the net */
	unsigned int host, peer_host;
	unsigned int refs;
	bool closed, aborted, vanished;
	bool fin, reset;		/* arrived here */
	void (*ready)(void *ctx);
	void *ctx;
	struct event ready_event;

	struct event travel;		/* the first piece towards here arrives */
	struct piece *first, **last;
	uint64_t latest;		/* no piece arrives before an earlier one */
	size_t flying;			/* bytes of them */

	uint8_t *buf;
	size_t start, end, room;
};

struct net {
	struct world *world;
	unsigned int hosts;
	bool up[NET_MAX_HOSTS];
	struct net_link links[NET_MAX_HOSTS][NET_MAX_HOSTS];
	struct net_end *ends;
};

struct net *net_create(struct world *world, unsigned int hosts)
{
	struct net *net = sim_alloc(sizeof(*net));

	assert(hosts <= NET_MAX_HOSTS);
	net->world = world;
	net->hosts = hosts;
	return net;
}

static void end_free(struct net_end *end)
{
	event_clear(end->net->world, &end->travel);
	event_clear(end->net->world, &end->ready_event);
	while (end->first) {
		struct piece *piece = end->first;

		end->first = piece->next;
		sim_free(piece);
	}
	sim_free(end->buf);
	sim_free(end);
}

/* Ends stay until now: a late piece may always still name one. */
void net_destroy(struct net *net)
{
	while (net->ends) {
		struct net_end *end = net->ends;

		net->ends = end->next;
		end_free(end);
	}
	sim_free(net);
}

struct net_link *net_link(struct net *net, unsigned int from, unsigned int to)
{
	return &net->links[from][to];
}

bool net_host_is_up(const struct net *net, unsigned int host)
{
	return net->up[host];
}

uint64_t net_delay(struct net *net, unsigned int from, unsigned int to)
{
	const struct net_link *link = &net->links[from][to];
	uint64_t us = link->delay_us + world_below(net->world, link->jitter_us + 1);

	if (world_chance(net->world, link->slow_ppm))
		us += 1000 * world_below(net->world, link->slow_ms + 1);
	return us * SIM_US;
}

/* --- arrival ------------------------------------------------------------- */

static void wake(struct net_end *end)
{
	if (end->ready && !event_is_set(&end->ready_event))
		event_after(end->net->world, &end->ready_event,
			    world_below(end->net->world, 30) * SIM_US);
}

static void ready_fired(struct event *event)
{
	struct net_end *end = sim_container(event, struct net_end, ready_event);

	if (end->ready)
		end->ready(end->ctx);
}

static void take_data(struct net_end *end, const struct piece *piece)
{
	if (end->start == end->end)
		end->start = end->end = 0;
	if (end->end + piece->bytes > end->room) {
		size_t room = 2 * (end->end + piece->bytes);
		uint8_t *buf = sim_alloc(room);

		if (end->end)
			memcpy(buf, end->buf, end->end);
		sim_free(end->buf);
		end->buf = buf;
		end->room = room;
	}
	memcpy(end->buf + end->end, piece->data, piece->bytes);
	end->end += piece->bytes;
}

static void corrupt(struct net_end *end, struct piece *piece)
{
	const struct net_link *link = net_link(end->net, end->peer_host, end->host);

	if (piece->kind != PIECE_DATA || !world_chance(end->net->world, link->corrupt_ppm))
		return;
	world_trace(end->net->world, "net: a bit flips between %u and %u", end->peer_host, end->host);
	piece->data[world_below(end->net->world, piece->bytes)] ^=
		1 << world_below(end->net->world, 8);
}

static bool is_cut(const struct net_end *end)
{
	return end->net->links[end->peer_host][end->host].cut;
}

static void travel_next(struct net_end *end)
{
	if (end->first && !is_cut(end))
		event_set(end->net->world, &end->travel, end->first->at);
}

/* The end on this host is gone, the other side learns it when it next sends. */
static void refuse(struct net_end *end)
{
	end->other->reset = true;
	wake(end->other);
}

static void arrived(struct event *event)
{
	struct net_end *end = sim_container(event, struct net_end, travel);
	struct piece *piece = end->first;

	if (is_cut(end))
		return;
	if (end->vanished && !net_host_is_up(end->net, end->host) && end->other->refs) {
		event_after(end->net->world, &end->travel, SILENCE_MS * SIM_MS);
		return;
	}
	end->first = piece->next;
	if (!end->first)
		end->last = &end->first;
	end->flying -= piece->bytes;
	corrupt(end, piece);
	if (end->vanished || (piece->kind == PIECE_DATA && end->closed)) {
		refuse(end);
	} else if (piece->kind == PIECE_DATA) {
		take_data(end, piece);
	} else if (piece->kind == PIECE_FIN) {
		end->fin = true;
	} else {
		end->reset = true;
	}
	sim_free(piece);
	travel_next(end);
	wake(end);
	wake(end->other);
}

/* --- departure ----------------------------------------------------------- */

static void depart(struct net_end *from, enum piece_kind kind, const void *data, size_t bytes)
{
	struct net_end *to = from->other;
	struct piece *piece;

	piece = sim_alloc(sizeof(*piece) + bytes);
	piece->kind = kind;
	piece->bytes = bytes;
	memcpy(piece->data, data ? data : "", bytes);
	piece->at = world_now(from->net->world) + net_delay(from->net, from->host, to->host);
	if (piece->at < to->latest)
		piece->at = to->latest;
	to->latest = piece->at;
	to->flying += bytes;
	*to->last = piece;
	to->last = &piece->next;
	if (to->first == piece)
		travel_next(to);
}

ssize_t net_send(struct net_end *end, const void *buf, size_t bytes)
{
	struct net_end *to = end->other;
	size_t used;

	if (end->reset || end->vanished)
		return -ECONNRESET;
	if (end->closed)
		return -EPIPE;
	if (world_chance(end->net->world, net_link(end->net, end->host, to->host)->reset_ppm)) {
		world_trace(end->net->world, "net: a connection between %u and %u breaks", end->host,
			    to->host);
		end->reset = true;
		depart(end, PIECE_RESET, NULL, 0);
		wake(end);
		return -ECONNRESET;
	}
	used = to->flying + (to->end - to->start);
	if (used >= WINDOW_BYTES)
		return -EAGAIN;
	if (bytes > WINDOW_BYTES - used)
		bytes = WINDOW_BYTES - used;
	if (bytes > PIECE_BYTES)
		bytes = PIECE_BYTES;
	depart(end, PIECE_DATA, buf, bytes);
	return bytes;
}

ssize_t net_recv(struct net_end *end, void *buf, size_t bytes)
{
	size_t there = end->end - end->start;

	if (!there)
		return end->reset || end->vanished ? -ECONNRESET : end->fin ? 0 : -EAGAIN;
	if (bytes > there)
		bytes = there;
	memcpy(buf, end->buf + end->start, bytes);
	end->start += bytes;
	wake(end->other);
	return bytes;
}

/* --- ends ---------------------------------------------------------------- */

static struct net_end *end_create(struct net *net, unsigned int host, unsigned int peer_host)
{
	struct net_end *end = sim_alloc(sizeof(*end));

	end->net = net;
	end->host = host;
	end->peer_host = peer_host;
	end->refs = 1;
	end->travel.fire = arrived;
	end->ready_event.fire = ready_fired;
	end->last = &end->first;
	end->next = net->ends;
	net->ends = end;
	return end;
}

void net_connect(struct net *net, unsigned int from, unsigned int to, struct net_end **dialer,
		 struct net_end **acceptor)
{
	*dialer = end_create(net, from, to);
	*acceptor = end_create(net, to, from);
	(*dialer)->other = *acceptor;
	(*acceptor)->other = *dialer;
}

void net_end_watch(struct net_end *end, void (*ready)(void *ctx), void *ctx)
{
	end->ready = ready;
	end->ctx = ctx;
	wake(end);
}

void net_end_unwatch(struct net_end *end, const void *ctx)
{
	if (end->ctx == ctx)
		end->ready = NULL;
}

void net_end_get(struct net_end *end)
{
	end->refs++;
}

void net_end_abort(struct net_end *end)
{
	end->aborted = true;
}

void net_end_put(struct net_end *end)
{
	if (--end->refs)
		return;
	end->ready = NULL;
	event_clear(end->net->world, &end->ready_event);
	if (!end->closed && !end->vanished && !end->reset)
		depart(end, end->aborted || end->end > end->start ? PIECE_RESET : PIECE_FIN, NULL, 0);
	end->closed = true;
	sim_free(end->buf);
	end->buf = NULL;
	end->start = end->end = end->room = 0;
}

/* --- hosts --------------------------------------------------------------- */

void net_host_down(struct net *net, unsigned int host)
{
	net->up[host] = false;
	for (struct net_end *end = net->ends; end; end = end->next) {
		if (end->host != host)
			continue;
		end->vanished = true;
		end->start = end->end = 0;
		end->ready = NULL;
		event_clear(net->world, &end->ready_event);
	}
}

void net_host_up(struct net *net, unsigned int host)
{
	net->up[host] = true;
}

void net_changed(struct net *net)
{
	for (struct net_end *end = net->ends; end; end = end->next) {
		if (is_cut(end))
			event_clear(net->world, &end->travel);
		else if (!event_is_set(&end->travel))
			travel_next(end);
	}
}
