// SPDX-License-Identifier: GPL-2.0
/*
 * The dirty map of an absent peer: exact, 4 KiB blocks, memory in proportion
 * to what is dirty.  A red-black tree of leaves, one for each 32 MiB touched.
 * It is never cleared bit by bit, only dropped whole.
 *
 * Marking happens on the write path under a spinlock, so a leaf may be
 * unobtainable; the map then says that everything is dirty, which is always
 * true enough.
 */
#include <linux/bitops.h>
#include <linux/slab.h>

#include "dirty.h"

void reprise_dirty_init(struct reprise_dirty *dirty)
{
	dirty->leaves = RB_ROOT;
	dirty->blocks = 0;
	dirty->all = false;
}

static struct reprise_dirty_leaf *leaf_find(const struct reprise_dirty *dirty, u64 key)
{
	struct rb_node *node = dirty->leaves.rb_node;

	while (node) {
		struct reprise_dirty_leaf *leaf = rb_entry(node, struct reprise_dirty_leaf, rb);

		if (key == leaf->key)
			return leaf;
		node = key < leaf->key ? node->rb_left : node->rb_right;
	}
	return NULL;
}

static struct reprise_dirty_leaf *leaf_make(struct reprise_dirty *dirty, u64 key)
{
	struct rb_node **link = &dirty->leaves.rb_node, *parent = NULL;
	struct reprise_dirty_leaf *leaf = kzalloc(sizeof(*leaf), GFP_NOWAIT | __GFP_NOWARN);

	if (!leaf)
		return NULL;
	leaf->key = key;
	while (*link) {
		parent = *link;
		link = key < rb_entry(parent, struct reprise_dirty_leaf, rb)->key ?
			&parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&leaf->rb, parent, link);
	rb_insert_color(&leaf->rb, &dirty->leaves);
	return leaf;
}

static u64 leaf_key(u16 volume, u64 block)
{
	return (u64)volume << 48 | block / REPRISE_DIRTY_LEAF_BITS;
}

/**
 * reprise_dirty_mark - the peer lacks these sectors
 *
 * Any context; takes at most one allocation per 32 MiB.  Never fails: without
 * memory the whole map counts as dirty.
 */
void reprise_dirty_mark(struct reprise_dirty *dirty, u16 volume, u64 sector, u64 sectors)
{
	u64 block = sector / REPRISE_DIRTY_BLOCK_SECTORS;
	u64 end = (sector + sectors + REPRISE_DIRTY_BLOCK_SECTORS - 1) /
		  REPRISE_DIRTY_BLOCK_SECTORS;

	while (block < end && !dirty->all) {
		u64 key = leaf_key(volume, block);
		struct reprise_dirty_leaf *leaf = leaf_find(dirty, key);

		if (!leaf)
			leaf = leaf_make(dirty, key);
		if (!leaf) {
			dirty->all = true;
			return;
		}
		do {
			unsigned int bit = block % REPRISE_DIRTY_LEAF_BITS;
			u64 mask = 1ULL << (bit % 64);

			dirty->blocks += !(leaf->bits[bit / 64] & mask);
			leaf->bits[bit / 64] |= mask;
			block++;
		} while (block < end && block % REPRISE_DIRTY_LEAF_BITS);
	}
}

bool reprise_dirty_test(const struct reprise_dirty *dirty, u16 volume, u64 sector)
{
	u64 block = sector / REPRISE_DIRTY_BLOCK_SECTORS;
	const struct reprise_dirty_leaf *leaf;
	unsigned int bit = block % REPRISE_DIRTY_LEAF_BITS;

	if (dirty->all)
		return true;
	leaf = leaf_find(dirty, leaf_key(volume, block));
	return leaf && leaf->bits[bit / 64] >> (bit % 64) & 1;
}

bool reprise_dirty_any(const struct reprise_dirty *dirty)
{
	return dirty->all || dirty->blocks;
}

/**
 * reprise_dirty_clear - drop the whole generation, free its memory
 */
void reprise_dirty_clear(struct reprise_dirty *dirty)
{
	struct rb_node *node;

	while ((node = rb_first(&dirty->leaves))) {
		rb_erase(node, &dirty->leaves);
		kfree(rb_entry(node, struct reprise_dirty_leaf, rb));
	}
	reprise_dirty_init(dirty);
}
