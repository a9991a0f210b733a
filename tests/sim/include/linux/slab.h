/* SPDX-License-Identifier: GPL-2.0 */
/* Allocation for the module's pure files: from the world, failing now and then. */
#ifndef SIM_SLAB_H
#define SIM_SLAB_H

#include <stddef.h>

#define GFP_NOWAIT 0
#define __GFP_NOWARN 0

void *sim_kzalloc(size_t bytes);
void sim_free(void *memory);

static inline void *kzalloc(size_t bytes, int gfp)
{
	(void)gfp;
	return sim_kzalloc(bytes);
}

static inline void kfree(const void *memory)
{
	sim_free((void *)memory);
}

#endif
