/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What disks must hold, at every instant: judged from their durable images
 * (image.h) against the model.
 */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "model.h"

/*
 * The copy of @node, as it would be after a power cut now: a prefix that
 * holds what was acknowledged, a store that no uncommitted operation reached,
 * or a primary's store with everything that was flushed.
 */
void check_copy(struct model *model, unsigned int node);
/* @tl begins on @node: its record is durable, its content is its parent's.  Fills in the rest. */
void check_started(struct model *model, unsigned int node, struct model_timeline *tl,
		   const struct nl_resource *res);
/* A session with @peer begins: it stands durably on @tl, at @position. */
void check_attached(struct model *model, unsigned int peer, const struct model_timeline *tl,
		    uint64_t position);
/* Two replicas that say that they hold the same: do they? */
void check_in_sync(struct model *model, unsigned int a, unsigned int b);
/* Both stores, byte by byte, at rest. */
void check_equal(struct model *model, unsigned int a, unsigned int b);
/* The store of @node is @tl at its end, or says that writes failed on it. */
void check_complete(struct model *model, unsigned int node, const struct model_timeline *tl);

#endif /* SIM_CHECK_H */
