/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A stand-in for the kernel module behind agent/kernel.h: holds descriptors
 * of the backing devices, numbers writes, sends real frames over the sockets
 * it is given, and applies the module's rules on who may attach.  The local
 * write is done at once; a test drives it with env_kernel_poll().
 */
#ifndef TESTS_ENV_KERNEL_H
#define TESTS_ENV_KERNEL_H

#include "agent/kernel.h"

struct env_kernel;

struct env_kernel *env_kernel_create(void);
void env_kernel_destroy(struct env_kernel *ek);
struct kernel env_kernel_ops(struct env_kernel *ek);

/* One sector of @fill at @sector of volume 0.  -EAGAIN: frozen; -ENODEV: not primary. */
int env_kernel_write(struct env_kernel *ek, uint64_t sector, uint8_t fill);
/* Take acknowledgements and ends of connections.  Calls @event for what happened. */
void env_kernel_poll(struct env_kernel *ek,
		     void (*event)(void *ctx, const struct nl_event *event), void *ctx);
/* Every attached peer holds everything. */
bool env_kernel_synced(const struct env_kernel *ek);
/* NULL: not primary. */
const struct nl_resource *env_kernel_state(const struct env_kernel *ek);
unsigned int env_kernel_attached(const struct env_kernel *ek);
/* The machine is gone, or the module: sockets and devices are let go. */
void env_kernel_crash(struct env_kernel *ek);

/* What is to go wrong: the next call of start, or set, answers @error; openers make stop say EBUSY. */
void env_kernel_fail_start(struct env_kernel *ek, int error);
void env_kernel_fail_set(struct env_kernel *ek, int error);
/* The next stop gives descriptors of /dev/null back. */
void env_kernel_spoil_stop(struct env_kernel *ek);
/* So many writes of volume 0 have failed on its backing device. */
void env_kernel_set_write_errors(struct env_kernel *ek, uint64_t count);
void env_kernel_set_open(struct env_kernel *ek, bool open);
unsigned int env_kernel_starts(const struct env_kernel *ek);

#endif /* TESTS_ENV_KERNEL_H */
