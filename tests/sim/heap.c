// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps by size class.  Each block has its class in front of it; a freed one
 * waits in its class's list.  Whether memory belongs to a heap, its address
 * tells.
 */
#include "heap.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "wrap.h"

enum {
	CLASSES = 40,
	HEAD = 16,
	PAGE = 4096,
};

#define HEAP_BYTES	(1ull << 30)

struct block {
	struct block *next;
};

struct heap {
	uint8_t *base;
	size_t used, touched;		/* bytes; beyond @touched all is zero */
	struct block *freed[2][CLASSES];	/* [1]: on a page boundary */
	struct heap *others;
};

static struct heap *current, *all;

struct heap *heap_create(void)
{
	struct heap *heap = sim_alloc(sizeof(*heap));

	heap->base = mmap(NULL, HEAP_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (heap->base == MAP_FAILED)
		abort();
	heap->others = all;
	all = heap;
	return heap;
}

void heap_empty(struct heap *heap)
{
	if (heap->used > heap->touched)
		heap->touched = heap->used;
	heap->used = 0;
	memset(heap->freed, 0, sizeof(heap->freed));
}

struct heap *heap_switch(struct heap *heap)
{
	struct heap *former = current;

	current = heap;
	return former;
}

void *sim_alloc(size_t bytes)
{
	void *memory = __real_calloc(1, bytes);

	if (!memory)
		abort();
	return memory;
}

void sim_free(void *memory)
{
	__real_free(memory);
}

static struct heap *heap_of(const void *memory)
{
	for (struct heap *heap = all; heap; heap = heap->others)
		if ((const uint8_t *)memory >= heap->base &&
		    (const uint8_t *)memory < heap->base + HEAP_BYTES)
			return heap;
	return NULL;
}

static unsigned int class_of(size_t bytes)
{
	return bytes <= 32 ? 5 : 64 - __builtin_clzll(bytes - 1);
}

static uint64_t *head_of(void *memory)
{
	return (uint64_t *)((uint8_t *)memory - HEAD);
}

/* *@zeroed: nobody has written there before. */
static void *take(struct heap *heap, size_t bytes, bool aligned, bool *zeroed)
{
	unsigned int class = class_of(bytes);
	struct block *block = heap->freed[aligned][class];
	size_t at = heap->used + HEAD;

	*zeroed = false;
	if (block) {
		heap->freed[aligned][class] = block->next;
		return block;
	}
	if (aligned)
		at = (at + PAGE - 1) & ~(size_t)(PAGE - 1);
	if (at + (1ull << class) > HEAP_BYTES)
		abort();
	*zeroed = at - HEAD >= heap->touched;
	heap->used = at + (1ull << class);
	head_of(heap->base + at)[0] = class;
	head_of(heap->base + at)[1] = aligned;
	return heap->base + at;
}

static void give(struct heap *heap, void *memory)
{
	uint64_t *head = head_of(memory);
	struct block *block = memory;

	block->next = heap->freed[head[1]][head[0]];
	heap->freed[head[1]][head[0]] = block;
}

void *__wrap_malloc(size_t bytes)
{
	bool zeroed;

	return current ? take(current, bytes, false, &zeroed) : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	bool zeroed;
	void *memory;

	if (!current)
		return __real_calloc(count, bytes);
	memory = take(current, count * bytes, false, &zeroed);
	return zeroed ? memory : memset(memory, 0, count * bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	bool zeroed;

	if (!current || alignment > PAGE)
		return __real_aligned_alloc(alignment, bytes);
	return take(current, bytes, true, &zeroed);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
	struct heap *heap = heap_of(memory);
	size_t old;
	void *moved;

	if (!heap)
		return current && !memory ? __wrap_malloc(bytes) : __real_realloc(memory, bytes);
	old = 1ull << head_of(memory)[0];
	moved = __wrap_malloc(bytes);
	memcpy(moved, memory, old < bytes ? old : bytes);
	give(heap, memory);
	return moved;
}

char *__wrap_strdup(const char *text)
{
	size_t bytes = strlen(text) + 1;

	return current ? memcpy(__wrap_malloc(bytes), text, bytes) : __real_strdup(text);
}

void __wrap_free(void *memory)
{
	struct heap *heap = memory ? heap_of(memory) : NULL;

	if (heap)
		give(heap, memory);
	else
		__real_free(memory);
}
