/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel module, seen from userspace: libmnl around the generic netlink
 * family described in kmod/uapi/reprise_netlink.h.  Synchronous: every call
 * returns within the time the kernel needs (nl_stop: at most @wait_ms more).
 * Shared by the agent and the admin command (status with a dead agent).
 */
#ifndef REPRISE_NL_H
#define REPRISE_NL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kmod/uapi/reprise_frame.h"
#include "../kmod/uapi/reprise_netlink.h"

struct nl;

struct nl_volume {
	unsigned int number;
	int minor;
	int backing_fd;			/* start: given; stop: received, else -1 */
	uint64_t sectors;
	uint32_t logical_block_bytes;
	uint64_t backing_dev;
	uint32_t openers;
	uint64_t reads, writes, flushes, read_sectors, write_sectors;
	uint64_t io_errors, write_errors;	/* the latter: of these, of writes and flushes */
	uint64_t latency[REPRISE_HIST_BUCKETS];
};

struct nl_peer {
	unsigned int node;
	char name[REPRISE_NAME_MAX + 1];
	enum reprise_peer_state state;
	uint64_t sent, received, durable, applied;
	uint64_t dirty_blocks, sent_bytes, frames;
	bool dirty_all;
	char reason[128];
};

struct nl_resource {
	char name[REPRISE_NAME_MAX + 1];
	uint8_t id[REPRISE_ID_BYTES];
	unsigned int node;
	uint8_t timeline_id[REPRISE_ID_BYTES];
	uint64_t generation;
	uint64_t seq, commit, flushed;	/* seq: last assigned */
	enum reprise_durability durability;
	enum reprise_on_peer_loss on_peer_loss;
	uint32_t timeout_ms, queue_kib;
	uint64_t queued_bytes;
	uint32_t parked;
	bool frozen;
	struct nl_volume volumes[REPRISE_MAX_VOLUMES];
	unsigned int nr_volumes;
	struct nl_peer peers[REPRISE_MAX_NODES];
	unsigned int nr_peers;
};

struct nl_event {
	enum reprise_event event;
	char resource[REPRISE_NAME_MAX + 1];
	unsigned int peer;		/* node id, 0: none */
	unsigned int volume;
	char reason[128];
};

/**
 * nl_open - connect to the family
 * Return: 0 with *@nl set (nl_close() frees it), -ENOENT: the module is not
 * loaded, or another -errno.
 */
int nl_open(struct nl **nl);
void nl_close(struct nl *nl);

/* The last error of @nl in words: the kernel's extended ack, or strerror. */
const char *nl_error(const struct nl *nl);

/* Name given: that one resource (-ENOENT).  Fills *@res. */
int nl_get(struct nl *nl, const char *name, struct nl_resource *res);
/* All of this namespace; *@list is malloc'ed, the caller frees it. */
int nl_list(struct nl *nl, struct nl_resource **list, size_t *count);

/*
 * Become primary.  Uses of @res: name, id, node, timeline_id, generation, seq
 * (last seq of the parent), durability, on_peer_loss, timeout_ms, queue_kib,
 * frozen, volumes (number, minor, backing_fd, sectors, logical_block_bytes),
 * peers (node, name).  The caller keeps (and may close) its descriptors.
 */
int nl_start(struct nl *nl, const struct nl_resource *res);
/* durability, on_peer_loss, timeout_ms, queue_kib of @res; 0: leave it as it is. */
int nl_set(struct nl *nl, const struct nl_resource *res);
/*
 * Stop being primary.  On success *@seq is the last seq and volumes[] of @res
 * carry number and backing_fd, which the caller now owns.  -EBUSY: a volume
 * is open; -ETIMEDOUT: a peer does not hold everything yet.
 */
int nl_stop(struct nl *nl, const char *name, uint32_t wait_ms, bool force,
	    struct nl_resource *res, uint64_t *seq);
/*
 * Hand a connected socket over; the caller closes its own descriptor
 * afterwards in any case.  *@s0: first seq of the session.  -EUCLEAN: needs
 * a resync; -ESTALE: other timeline.
 */
int nl_attach(struct nl *nl, const char *name, unsigned int node, int socket_fd,
	      uint64_t session, const uint8_t timeline_id[REPRISE_ID_BYTES],
	      uint64_t position, uint64_t *s0);
int nl_detach(struct nl *nl, const char *name, unsigned int node);
int nl_freeze(struct nl *nl, const char *name);
int nl_resume(struct nl *nl, const char *name);

/*
 * Events: a second socket.  nl_events_fd() is to be polled for reading;
 * nl_events_read() returns 1 with *@event filled, 0 when there is none left,
 * -ENOBUFS when events were lost (read the state again), or -errno.
 */
int nl_events_open(struct nl **nl);
/* The family's number: another one means that the module was loaded again. */
unsigned int nl_family_id(const struct nl *nl);
int nl_events_fd(const struct nl *nl);
int nl_events_read(struct nl *nl, struct nl_event *event);

#endif /* REPRISE_NL_H */
