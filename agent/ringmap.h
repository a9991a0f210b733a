/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A ring buffer mapped twice, back to back: every range of up to its size is
 * contiguous, wherever it begins.
 */
#ifndef REPRISE_RINGMAP_H
#define REPRISE_RINGMAP_H

#include <stddef.h>

/* @bytes: a multiple of the page size.  Backed by memory that is there.  NULL: errno says why. */
void *ringmap_alloc(size_t bytes);
void ringmap_free(void *ring, size_t bytes);

#endif /* REPRISE_RINGMAP_H */
