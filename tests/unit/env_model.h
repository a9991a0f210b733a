/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the replica's tests share: a node (disks and a replica over
 * env_mem.h), and a small primary that makes operations, cuts frames, reads
 * acknowledgements and remembers everything, so that the content at any seq
 * can be worked out.
 */
#ifndef TESTS_ENV_MODEL_H
#define TESTS_ENV_MODEL_H

#include "agent/replica.h"
#include "env_mem.h"

enum {
	MODEL_VOLUMES = 2,
	MODEL_SECTORS = 256,		/* of a volume */
	MODEL_SEGMENTS = 6,
	MODEL_SEGMENT_BYTES = 64 << 10,
	MODEL_RING_BYTES = 128 << 10,
	MODEL_MAX_OPS = 6000,
	MODEL_DEVICE_BYTES = MODEL_SECTORS * 512 + (1 << 20),
};

extern uint64_t model_seed;		/* for messages */

#define CHECK(condition) \
	((condition) ? (void)0 : model_failed(__FILE__, __LINE__, #condition))
void model_failed(const char *file, int line, const char *what) __attribute__((noreturn));

struct model_op {
	uint64_t sector;
	uint32_t sectors;
	uint8_t volume;
	uint8_t op;
	uint8_t flags;
};

struct model {
	struct env_mem *mem;
	uint32_t block_bytes;
	struct env_mem_disk *store[MODEL_VOLUMES];
	struct env_mem_disk *log;
	uint8_t resource_id[REPRISE_ID_BYTES];
	struct replica *replica;	/* NULL: down */

	/* the primary */
	struct meta_timeline timeline;
	struct model_op ops[MODEL_MAX_OPS + 1];	/* by seq */
	uint64_t made;			/* ops that exist */
	uint64_t commit, flushed;	/* as told in frames */
	uint64_t sent;			/* last seq sent in this session */
	uint64_t acked_durable;		/* ever: must survive everything */
	uint64_t acked_received, acked_applied;
	uint64_t session;
	struct env_conn *conn;
	bool ended, fatal;
	char reason[512];
	bool lazy_flush;		/* flushed does not move */
	bool lazy_commit;
	uint32_t apply_delay_ms;	/* 0: random */
	uint64_t unapplied_bytes;	/* 0: as the ring */
	uint64_t device_bytes;		/* as configured */

	bool called_back;
	int error;
};

/* A node as `reprise create` leaves it, on timeline 0, and then a follower of timeline 1. */
struct model *model_create(uint64_t seed);
void model_destroy(struct model *model);

/* Steps until the call is over; its error. */
int model_wait(struct model *model);
void model_done(void *ctx, int error);
void model_up(struct model *model);	/* create; open must succeed without damage */
int model_open(struct model *model);	/* create and open */
void model_close(struct model *model);	/* and destroy */
/* The process dies, with the power or without; memory is gone. */
void model_crash(struct model *model, bool power);
void model_run(struct model *model, unsigned int steps);
void model_settle_time(struct model *model, uint64_t ms);	/* let virtual time pass */

int model_connect(struct model *model);		/* replica_session_start() */
/* Make and send a random frame; false: enough operations were made. */
bool model_send(struct model *model);
void model_volumes(struct model *model, struct replica_volume volumes[MODEL_VOLUMES]);
/* The next operation, done by this node as the primary. */
void model_write_through(struct model *model);
/* One without operations. */
void model_send_idle(struct model *model);
/* Restart the node with an apply delay that never passes. */
void model_slow_apply(struct model *model);
/* Build the next frame at @buf (room for 64 KiB); its length. */
size_t model_build(struct model *model, uint8_t *buf, unsigned int nr_ops);
void model_seal(uint8_t *frame);		/* the header's checksum */
void model_read_acks(struct model *model);
void model_new_timeline(struct model *model, uint64_t fork_seq);

/* The store equals the stream applied up to @seq. */
bool model_store_is(struct model *model, uint64_t seq);
/* Leave and settle must give the content at durable; then take up again. */
void model_check_prefix(struct model *model);

#endif /* TESTS_ENV_MODEL_H */
