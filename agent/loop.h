/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The event loop: env.h on io_uring, one thread, one submission per round.
 * Besides what env.h asks for it watches descriptors that are not connections
 * (netlink, signalfd) and runs until told to stop.
 */
#ifndef REPRISE_LOOP_H
#define REPRISE_LOOP_H

#include "env.h"

struct loop;

/**
 * struct loop_watch - a descriptor to wait for, embedded in its owner
 * @ready: called from the loop whenever @fd is readable, or hung up; the
 *	owner reads without blocking
 */
struct loop_watch {
	void (*ready)(struct loop_watch *watch);
	int fd;

	uint64_t priv[2];	/* the implementation's */
};

/**
 * loop_create - an empty loop
 * @error: on failure what is missing and what to do about it
 *
 * Return: 0, or -errno with @error filled: io_uring disabled (-EPERM), not in
 * this kernel (-ENOSYS), too old (-EOPNOTSUPP), no memory.
 */
int loop_create(struct loop **loop, char *error, size_t error_bytes);
/* Nothing may be open or in flight any more, but for watches (which are dropped). */
void loop_destroy(struct loop *loop);

struct env *loop_env(struct loop *loop);

/* One round: submit, wait for at least one completion or timer, dispatch. */
void loop_round(struct loop *loop);
/* Rounds until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

void loop_watch_add(struct loop *loop, struct loop_watch *watch);
/* @ready is not called again; @watch may be freed at once. */
void loop_watch_del(struct loop *loop, struct loop_watch *watch);

/* A connected stream socket made elsewhere; owned by the loop afterwards. NULL: no memory. */
struct env_conn *loop_conn_adopt(struct loop *loop, int fd);

#endif /* REPRISE_LOOP_H */
