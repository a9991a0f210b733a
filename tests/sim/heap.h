/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory.  A process that is killed gives everything back; so what the
 * agent's code allocates, while its heap is the current one, comes from a
 * region of its own that is emptied at once.  The linker sends malloc and its
 * kin here (--wrap).  What belongs to the world itself uses sim_alloc().
 */
#ifndef SIM_HEAP_H
#define SIM_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct heap;

struct heap *heap_create(void);
void heap_empty(struct heap *heap);
/* From now on, malloc() takes from @heap; NULL: from the world's.  Returns the former one. */
struct heap *heap_switch(struct heap *heap);

void *sim_alloc(size_t bytes);		/* zeroed; never fails */
void sim_free(void *memory);

#endif /* SIM_HEAP_H */
