// SPDX-License-Identifier: GPL-2.0
/*
 * Coalescing by a sweep: operations sorted by place, those that cover the
 * current sector in a heap with the newest on top.  Every start and end of
 * an operation begins at most one piece, so n operations give at most 2n - 1
 * pieces, in O(n log n).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "window.h"

int window_init(struct window *window, unsigned int max_ops)
{
	*window = (struct window){ .max_ops = max_ops };
	window->ops = calloc(max_ops, sizeof(*window->ops));
	window->pieces = calloc(2 * (size_t)max_ops, sizeof(*window->pieces));
	window->order = calloc(max_ops, sizeof(*window->order));
	window->heap = calloc(max_ops, sizeof(*window->heap));
	if (window->ops && window->pieces && window->order && window->heap)
		return 0;
	window_exit(window);
	return -ENOMEM;
}

void window_exit(struct window *window)
{
	free(window->ops);
	free(window->pieces);
	free(window->order);
	free(window->heap);
	*window = (struct window){ 0 };
}

void window_reset(struct window *window)
{
	window->nr_ops = 0;
	window->nr_pieces = 0;
}

void window_add(struct window *window, const struct window_op *op)
{
	assert(!window_full(window));
	assert(op->sectors);
	window->ops[window->nr_ops++] = *op;
}

static int compare_place(const void *a, const void *b, void *ctx)
{
	const struct window_op *ops = ctx;
	uint32_t ia = *(const uint32_t *)a, ib = *(const uint32_t *)b;
	const struct window_op *x = &ops[ia], *y = &ops[ib];

	if (x->volume != y->volume)
		return x->volume < y->volume ? -1 : 1;
	if (x->sector != y->sector)
		return x->sector < y->sector ? -1 : 1;
	return ia < ib ? -1 : 1;
}

static void heap_push(uint32_t *heap, unsigned int *nr, uint32_t op)
{
	unsigned int i = (*nr)++;

	while (i && heap[(i - 1) / 2] < op) {
		heap[i] = heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	heap[i] = op;
}

static void heap_pop(uint32_t *heap, unsigned int *nr)
{
	uint32_t last = heap[--*nr];
	unsigned int i = 0, child;

	while ((child = 2 * i + 1) < *nr) {
		if (child + 1 < *nr && heap[child + 1] > heap[child])
			child++;
		if (heap[child] <= last)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
}

static uint64_t op_end(const struct window_op *op)
{
	return op->sector + op->sectors;
}

/* Sectors [@start, @end) belong to @op. */
static void emit(struct window *window, uint32_t op, uint64_t start, uint64_t end)
{
	struct window_piece *next = window->pieces + window->nr_pieces;

	/* While an operation lasts, pieces follow each other without a gap. */
	if (window->nr_pieces && next[-1].op == op) {
		assert(next[-1].sector + next[-1].sectors == start);
		next[-1].sectors += end - start;
		return;
	}
	assert(window->nr_pieces < 2 * window->max_ops);
	*next = (struct window_piece){ .sector = start, .sectors = end - start, .op = op };
	window->nr_pieces++;
}

/* One volume: the operations @order[0..@nr). */
static void sweep(struct window *window, const uint32_t *order, unsigned int nr)
{
	const struct window_op *ops = window->ops;
	unsigned int next = 0, active = 0;
	uint64_t at = 0, until;

	while (active || next < nr) {
		if (!active)
			at = ops[order[next]].sector;
		while (next < nr && ops[order[next]].sector == at)
			heap_push(window->heap, &active, order[next++]);
		while (active && op_end(&ops[window->heap[0]]) <= at)
			heap_pop(window->heap, &active);
		if (!active)
			continue;
		until = op_end(&ops[window->heap[0]]);
		if (next < nr && ops[order[next]].sector < until)
			until = ops[order[next]].sector;
		emit(window, window->heap[0], at, until);
		at = until;
	}
}

void window_coalesce(struct window *window)
{
	unsigned int i, end;

	window->nr_pieces = 0;
	for (i = 0; i < window->nr_ops; i++)
		window->order[i] = i;
	qsort_r(window->order, window->nr_ops, sizeof(*window->order), compare_place, window->ops);
	for (i = 0; i < window->nr_ops; i = end) {
		unsigned int volume = window->ops[window->order[i]].volume;

		for (end = i + 1; end < window->nr_ops; end++)
			if (window->ops[window->order[end]].volume != volume)
				break;
		sweep(window, window->order + i, end - i);
	}
}

bool window_adjacent(const struct window *window, const struct window_piece *piece,
		     const struct window_piece *next)
{
	return window_owner(window, piece)->volume == window_owner(window, next)->volume &&
	       piece->sector + piece->sectors == next->sector;
}
