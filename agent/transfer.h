/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests on files and connections: what is done of each, what comes next.
 * Short transfers are continued until all is done.
 */
#ifndef REPRISE_TRANSFER_H
#define REPRISE_TRANSFER_H

#include <assert.h>

#include "op.h"

enum { TRANSFER_MAX_BYTES = 1 << 30 };	/* in one op */

/* Ways to zero a range; each falls back to the next where it is not supported. */
enum transfer_zero_by {
	ZERO_BY_PUNCH,
	ZERO_BY_RANGE,
	ZERO_BY_WRITE,
};

struct env_file {
	struct target target;
	bool no_punch;
	bool no_range;
	unsigned int block_bytes;
};

struct env_conn {
	struct target target;
};

/* In env_io.priv. */
struct transfer_op {
	struct op op;
	uint64_t transferred;
	uint64_t part_offset;	/* within the part */
	uint32_t part;		/* of iov: all before are done */
};

static_assert(sizeof(struct transfer_op) <= sizeof(((struct env_io *)0)->priv), "env_io.priv");

static inline struct transfer_op *transfer_op(const struct env_io *io)
{
	return (struct transfer_op *)io->priv;
}

static inline struct env_io *transfer_io(struct op *op)
{
	return container_of(op, struct env_io, priv);
}

/* env_ops.submit. */
void transfer_submit(struct env *env, struct env_io *io);
/* An op of @io has completed: go on, or hand it back. */
void transfer_step(struct env_io *io, int result);

/* What the next op is to do: so many parts of iov, or, if one, this buffer. */
unsigned int transfer_parts(const struct env_io *io);
struct iovec transfer_part(const struct env_io *io);
enum transfer_zero_by transfer_zero_by(const struct env_io *io);

#endif /* REPRISE_TRANSFER_H */
