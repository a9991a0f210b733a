/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Generic netlink family "reprise": how the agent and the admin command talk
 * to the kernel module.  The same interface, for machines, is
 * Documentation/netlink/specs/reprise.yaml; a test compares the two.
 *
 * Resources belong to the network namespace of the socket that made them.
 * Changing commands need CAP_NET_ADMIN in the initial user namespace.
 * Devices and sockets arrive as file descriptors of the calling process.
 * Every error comes with an extended-ack message in plain words.
 */
#ifndef _UAPI_REPRISE_NETLINK_H
#define _UAPI_REPRISE_NETLINK_H

#define REPRISE_GENL_NAME	"reprise"
#define REPRISE_GENL_VERSION	1
#define REPRISE_GENL_MCGRP	"events"

enum {
	REPRISE_NAME_MAX	= 63,	/* resource and node names, bytes */
	REPRISE_HIST_BUCKETS	= 32,	/* bucket i: latency < 2^i microseconds */
};

enum reprise_durability {
	REPRISE_DURABILITY_WRITE	= 1,
	REPRISE_DURABILITY_MEMORY	= 2,
	REPRISE_DURABILITY_FLUSH	= 3,
	REPRISE_DURABILITY_ASYNC	= 4,
};

enum reprise_on_peer_loss {
	REPRISE_ON_PEER_LOSS_FREEZE	= 1,
	REPRISE_ON_PEER_LOSS_HOOK	= 2,
	REPRISE_ON_PEER_LOSS_ALONE	= 3,
};

/**
 * enum reprise_peer_state - a peer, as the primary's kernel sees it
 * @REPRISE_PEER_CONNECTED: has a session, mirrored to, and required
 * @REPRISE_PEER_ABSENT: no session; nothing was written since its last
 *	acknowledgement: it may attach again as it is
 * @REPRISE_PEER_BEHIND: no session, and lacks writes: needs a resync
 */
enum reprise_peer_state {
	REPRISE_PEER_CONNECTED	= 1,
	REPRISE_PEER_ABSENT	= 2,
	REPRISE_PEER_BEHIND	= 3,
};

/**
 * enum reprise_cmd - commands and events
 * @REPRISE_CMD_GET: do (with A_NAME) or dump: full state of resources
 * @REPRISE_CMD_START: become primary: make the resource (A_NAME, A_RESOURCE_ID,
 *	A_NODE, A_TIMELINE_ID, A_GENERATION, A_SEQ = last seq of the parent,
 *	settings, A_VOLUME nests with V_NUMBER, V_MINOR, V_BACKING_FD, V_SECTORS,
 *	A_PEER nests with P_NODE, P_NAME) and its devices.  I/O starts frozen if
 *	A_FROZEN is given: peers can be attached before the first write.
 * @REPRISE_CMD_SET: change settings (A_DURABILITY, A_TIMEOUT_MS, ...) of a
 *	running resource
 * @REPRISE_CMD_STOP: demote: refuse new openers, wait up to A_WAIT_MS for
 *	openers to go away and for every connected peer to hold everything,
 *	remove the devices.  Reply: A_SEQ (last seq), A_VOLUME nests with
 *	V_NUMBER and V_BACKING_FD (a new descriptor of the same open file).
 *	EBUSY: still open, nothing changed (V_NUMBER, V_MINOR and the message
 *	name the volume).  ETIMEDOUT: a peer did not get there, nothing changed.
 *	With A_FORCE: fail what is pending with an I/O error and do not wait.
 * @REPRISE_CMD_ATTACH: hand over a connected socket to a peer: A_NAME, A_PEER
 *	nest with P_NODE, P_SOCKET_FD, P_SESSION, P_POSITION (last seq the peer
 *	holds, durable) and A_TIMELINE_ID it holds it of.  Drops the peer's old
 *	session first.  Reply: A_SEQ = S0, first seq of the session.
 *	EUCLEAN: the peer lacks writes that are no longer held (needs a resync).
 *	ESTALE: other timeline.
 * @REPRISE_CMD_DETACH: end a peer's session (A_PEER nest with P_NODE)
 * @REPRISE_CMD_FREEZE: park all new I/O
 * @REPRISE_CMD_RESUME: let it go
 * @REPRISE_CMD_EVENT: multicast only: A_NAME, A_EVENT, and what it concerns
 */
enum reprise_cmd {
	REPRISE_CMD_UNSPEC,
	REPRISE_CMD_GET,
	REPRISE_CMD_START,
	REPRISE_CMD_SET,
	REPRISE_CMD_STOP,
	REPRISE_CMD_ATTACH,
	REPRISE_CMD_DETACH,
	REPRISE_CMD_FREEZE,
	REPRISE_CMD_RESUME,
	REPRISE_CMD_EVENT,
	__REPRISE_CMD_MAX,
};
#define REPRISE_CMD_MAX (__REPRISE_CMD_MAX - 1)

/**
 * enum reprise_event - what A_EVENT says happened
 * @REPRISE_EVENT_STARTED: a resource became primary here
 * @REPRISE_EVENT_STOPPED: it no longer is
 * @REPRISE_EVENT_PEER_ATTACHED: A_PEER: session began
 * @REPRISE_EVENT_PEER_LOST: A_PEER with P_REASON: session ended
 * @REPRISE_EVENT_IO_ERROR: A_VOLUME with V_NUMBER: the backing device failed
 * @REPRISE_EVENT_FROZEN: I/O is parked
 * @REPRISE_EVENT_RESUMED: I/O goes on
 */
enum reprise_event {
	REPRISE_EVENT_STARTED		= 1,
	REPRISE_EVENT_STOPPED		= 2,
	REPRISE_EVENT_PEER_ATTACHED	= 3,
	REPRISE_EVENT_PEER_LOST		= 4,
	REPRISE_EVENT_IO_ERROR		= 5,
	REPRISE_EVENT_FROZEN		= 6,
	REPRISE_EVENT_RESUMED		= 7,
};

/* Attributes of a message.  (type; unit) */
enum reprise_attr {
	REPRISE_A_UNSPEC,
	REPRISE_A_NAME,			/* nul-string, 1..63 bytes of [A-Za-z0-9_.-] */
	REPRISE_A_RESOURCE_ID,		/* binary, 16 */
	REPRISE_A_NODE,			/* u16: own node id, 1..16 */
	REPRISE_A_TIMELINE_ID,		/* binary, 16 */
	REPRISE_A_GENERATION,		/* u64 */
	REPRISE_A_SEQ,			/* u64 */
	REPRISE_A_DURABILITY,		/* u32: enum reprise_durability */
	REPRISE_A_ON_PEER_LOSS,		/* u32: enum reprise_on_peer_loss */
	REPRISE_A_TIMEOUT_MS,		/* u32: a peer without progress is lost after this; 100..600000 */
	REPRISE_A_QUEUE_KIB,		/* u32: bound on bytes queued and unacknowledged; 1024..1048576 */
	REPRISE_A_FROZEN,		/* flag */
	REPRISE_A_FORCE,		/* flag */
	REPRISE_A_WAIT_MS,		/* u32 */
	REPRISE_A_VOLUME,		/* nest, multi: enum reprise_volume_attr */
	REPRISE_A_PEER,			/* nest, multi: enum reprise_peer_attr */
	REPRISE_A_EVENT,		/* u32: enum reprise_event */
	REPRISE_A_COMMIT,		/* u64 */
	REPRISE_A_FLUSHED,		/* u64 */
	REPRISE_A_QUEUED_BYTES,		/* u64: held for peers now */
	REPRISE_A_PARKED,		/* u32: bios waiting for room, or frozen */
	REPRISE_A_PAD,
	__REPRISE_A_MAX,
};
#define REPRISE_A_MAX (__REPRISE_A_MAX - 1)

enum reprise_volume_attr {
	REPRISE_V_UNSPEC,
	REPRISE_V_NUMBER,		/* u16 */
	REPRISE_V_MINOR,		/* s32: wanted (start; -1: next free), given (get) */
	REPRISE_V_BACKING_FD,		/* s32: opened O_RDWR | O_EXCL */
	REPRISE_V_SECTORS,		/* u64: size of the volume, 512-byte sectors */
	REPRISE_V_LOGICAL_BLOCK,	/* u32: 512 or 4096 */
	REPRISE_V_BACKING_DEV,		/* u64: new_encode_dev of the backing device */
	REPRISE_V_OPENERS,		/* u32 */
	REPRISE_V_READS,		/* u64 */
	REPRISE_V_WRITES,		/* u64: operations of every kind */
	REPRISE_V_FLUSHES,		/* u64 */
	REPRISE_V_READ_SECTORS,		/* u64 */
	REPRISE_V_WRITE_SECTORS,	/* u64 */
	REPRISE_V_IO_ERRORS,		/* u64: failed on the backing device; sticky */
	REPRISE_V_LATENCY,		/* binary: 32 x u64, completed writes by latency */
	REPRISE_V_PAD,
	REPRISE_V_WRITE_ERRORS,		/* u64 (get, stop): of those, of writes and flushes */
	__REPRISE_V_MAX,
};
#define REPRISE_V_MAX (__REPRISE_V_MAX - 1)

enum reprise_peer_attr {
	REPRISE_P_UNSPEC,
	REPRISE_P_NODE,			/* u16: node id */
	REPRISE_P_NAME,			/* nul-string */
	REPRISE_P_SOCKET_FD,		/* s32 */
	REPRISE_P_SESSION,		/* u64 */
	REPRISE_P_POSITION,		/* u64 */
	REPRISE_P_STATE,		/* u32: enum reprise_peer_state */
	REPRISE_P_SENT,			/* u64: seq */
	REPRISE_P_RECEIVED,		/* u64: seq */
	REPRISE_P_DURABLE,		/* u64: seq */
	REPRISE_P_APPLIED,		/* u64: seq */
	REPRISE_P_REASON,		/* nul-string: why the last session ended */
	REPRISE_P_DIRTY_BLOCKS,		/* u64: 4 KiB blocks it lacks */
	REPRISE_P_DIRTY_ALL,		/* flag: the exact map was lost, all counts as dirty */
	REPRISE_P_SENT_BYTES,		/* u64 */
	REPRISE_P_FRAMES,		/* u64 */
	REPRISE_P_PAD,
	__REPRISE_P_MAX,
};
#define REPRISE_P_MAX (__REPRISE_P_MAX - 1)

#endif /* _UAPI_REPRISE_NETLINK_H */
