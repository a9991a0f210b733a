/* SPDX-License-Identifier: GPL-2.0 */
/* Allocation for the module's pure files in userspace; tests can make it fail. */
#ifndef _KPURE_SLAB_H
#define _KPURE_SLAB_H

#include <stdbool.h>
#include <stdlib.h>

#define GFP_NOWAIT 0
#define __GFP_NOWARN 0

extern bool kpure_no_memory;

static inline void *kzalloc(size_t bytes, int gfp)
{
	return kpure_no_memory ? NULL : calloc(1, bytes);
}

static inline void kfree(void *p)
{
	free(p);
}

#endif
