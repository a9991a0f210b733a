/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A process that runs the agent's code: its heap, its descriptors, its
 * timers, and env.h on the simulated world.  It can be killed between any two
 * events, and stand still for a while.
 */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include "agent/env.h"
#include "disk.h"
#include "net.h"

struct heap;
struct process;

/* What a process sees of the machine that it runs on. */
struct process_host {
	struct world *world;
	struct net *net;
	unsigned int number;		/* in the net */
	const char *name;
	uint64_t (*monotonic_ns)(void *ctx);
	uint64_t (*world_time)(void *ctx, uint64_t monotonic_ns);
	uint64_t (*realtime_ns)(void *ctx);
	struct disk *(*find_disk)(void *ctx, const char *path);
	void *ctx;
	const uint32_t *no_memory_ppm;	/* of ring_alloc() */
};

struct process *process_create(const struct process_host *host, struct heap *heap);
/* Requests in flight may still be carried out; everything else ends at once. */
void process_kill(struct process *process);
/* Orderly: nothing may be left. */
void process_exit(struct process *process);
struct env *process_env(struct process *process);

/* Its code runs between these two. */
struct heap *process_enter(struct process *process);
void process_leave(struct heap *former);
/* No event reaches it before @until. */
void process_pause(struct process *process, uint64_t until);
/* When may an event reach it?  0: now. */
uint64_t process_paused_until(const struct process *process);

/* Descriptors as the kernel sees them; NULL: not one of that kind. */
struct net_end *process_fd_end(struct process *process, int fd);
struct disk_file *process_fd_file(struct process *process, int fd);
/* A descriptor for a file that the kernel gives; takes the reference. */
int process_give_file(struct process *process, struct disk_file *file);

/* The process that runs at @host, NULL: none.  Set by whoever owns them. */
extern struct process *(*process_at)(struct net *net, unsigned int host);

#endif /* SIM_PROCESS_H */
