/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REPRISE_DIRTY_H
#define _REPRISE_DIRTY_H

#include <linux/rbtree.h>
#include <linux/types.h>

enum {
	REPRISE_DIRTY_BLOCK_SECTORS = 8,	/* one bit stands for 4 KiB */
	REPRISE_DIRTY_LEAF_BITS = 8192,		/* one leaf for 32 MiB, 1 KiB of memory */
};

struct reprise_dirty_leaf {
	struct rb_node rb;
	u64 key;				/* volume << 48 | leaf number */
	u64 bits[REPRISE_DIRTY_LEAF_BITS / 64];
};

/* Which 4 KiB blocks, of all volumes, a peer lacks.  Locked by the owner. */
struct reprise_dirty {
	struct rb_root leaves;
	u64 blocks;				/* bits set */
	bool all;				/* a leaf could not be had: everything counts */
};

void reprise_dirty_init(struct reprise_dirty *dirty);
void reprise_dirty_mark(struct reprise_dirty *dirty, u16 volume, u64 sector, u64 sectors);
bool reprise_dirty_test(const struct reprise_dirty *dirty, u16 volume, u64 sector);
bool reprise_dirty_any(const struct reprise_dirty *dirty);
void reprise_dirty_clear(struct reprise_dirty *dirty);

#endif /* _REPRISE_DIRTY_H */
