/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The apply window: operations in the order of their seqs go in, disjoint
 * pieces sorted by place come out, each owned by the newest operation that
 * covers it.  Pure.  Because pieces never overlap, they may be written in
 * any order and all at once.
 */
#ifndef REPRISE_WINDOW_H
#define REPRISE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct window_op {
	uint64_t sector;
	uint32_t sectors;
	uint8_t volume;
	bool zero;
	bool unmap;
	const uint8_t *payload;		/* NULL for zeroes; must stay until the window is applied */
};

/* @sectors at @sector of operation @op's volume read as it says. */
struct window_piece {
	uint64_t sector;
	uint32_t sectors;
	uint32_t op;
};

struct window {
	unsigned int max_ops;
	unsigned int nr_ops;
	unsigned int nr_pieces;
	struct window_op *ops;		/* @max_ops */
	struct window_piece *pieces;	/* 2 * @max_ops */
	uint32_t *order;		/* @max_ops: by place */
	uint32_t *heap;			/* @max_ops: newest on top */
};

/* 0 or -ENOMEM. */
int window_init(struct window *window, unsigned int max_ops);
void window_exit(struct window *window);
void window_reset(struct window *window);
static inline bool window_full(const struct window *window)
{
	return window->nr_ops == window->max_ops;
}

/* Add the next operation; not when full. */
void window_add(struct window *window, const struct window_op *op);
/* Work out the pieces from what was added. */
void window_coalesce(struct window *window);

static inline const struct window_op *window_owner(const struct window *window,
						   const struct window_piece *piece)
{
	return &window->ops[piece->op];
}

/* Where the piece's data begins. */
static inline const uint8_t *window_payload(const struct window *window,
					    const struct window_piece *piece)
{
	const struct window_op *op = window_owner(window, piece);

	return op->payload + (piece->sector - op->sector) * 512;
}

/* Does @next begin where @piece ends, on the same volume? */
bool window_adjacent(const struct window *window, const struct window_piece *piece,
		     const struct window_piece *next);

#endif /* REPRISE_WINDOW_H */
