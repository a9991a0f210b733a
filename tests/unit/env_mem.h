/* SPDX-License-Identifier: GPL-2.0 */
/*
 * env.h in memory, with faults: disks with a volatile cache, connections as
 * byte pipes, a virtual clock; requests complete in an order and after delays
 * drawn from a seed, so that every run repeats from it.
 *
 * Rules are watched as well: alignment, two writes in flight on one place,
 * a buffer that changes while it is being written; breaking one aborts.
 */
#ifndef TESTS_ENV_MEM_H
#define TESTS_ENV_MEM_H

#include "agent/env.h"

struct env_mem;
struct env_mem_disk;

struct env_mem *env_mem_create(uint64_t seed);
void env_mem_destroy(struct env_mem *mem);
struct env *env_mem_env(struct env_mem *mem);

/* Randomness of the test itself, from the same seed. */
uint64_t env_mem_random(struct env_mem *mem);
/* 0..@below - 1 */
uint64_t env_mem_below(struct env_mem *mem, uint64_t below);
/* True once in @n. */
bool env_mem_one_in(struct env_mem *mem, uint64_t n);

/* Let one thing happen: a completion or a timer.  False: nothing is left. */
bool env_mem_step(struct env_mem *mem);
/* The same, but not beyond @deadline_ns of virtual time. */
bool env_mem_step_until(struct env_mem *mem, uint64_t deadline_ns);

/*
 * The process is gone: requests in flight are forgotten (writes may have
 * happened, wholly, partly or not), timers too, connections reset.
 * What disks have in their caches stays.
 */
void env_mem_kill(struct env_mem *mem);
/* And the power: every sector not flushed is kept or lost by itself. */
void env_mem_power_cut(struct env_mem *mem);

/* A disk, zeroed, of @bytes; requests are checked against @block_bytes.  It outlives crashes. */
struct env_mem_disk *env_mem_disk(struct env_mem *mem, const char *name, size_t bytes,
				  size_t block_bytes);
struct env_file *env_mem_file(struct env_mem_disk *disk);
/* What a read would see; may be changed (and then is durable). */
uint8_t *env_mem_content(struct env_mem_disk *disk);
void env_mem_make_durable(struct env_mem_disk *disk);
/* The @nth request on the disk from now on fails with @error, sticky; 0: no more. */
void env_mem_fail(struct env_mem_disk *disk, unsigned int nth, int error);

/* Requests at or beyond @offset take @ms longer. */
void env_mem_slow(struct env_mem_disk *disk, uint64_t offset, uint64_t ms);

/* One connection seen from the code under test; the far end is the test. */
struct env_conn *env_mem_conn(struct env_mem *mem);
void env_mem_conn_put(struct env_conn *conn, const void *buf, size_t bytes);
size_t env_mem_conn_get(struct env_conn *conn, void *buf, size_t bytes);
void env_mem_conn_shut(struct env_conn *conn);	/* the far end: no more bytes */
size_t env_mem_conn_unread(const struct env_conn *conn);
/* Deliver as much as is there, not random pieces. */
void env_mem_whole_chunks(struct env_mem *mem, bool whole);

#endif /* TESTS_ENV_MEM_H */
