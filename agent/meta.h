/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The metadata record: identity, lineage and state of one node's copy of a
 * resource.  Pure: encodes, decodes, chooses; never touches a device.  The
 * format is kmod/uapi/reprise_meta.h.
 */
#ifndef REPRISE_META_H
#define REPRISE_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kmod/uapi/reprise_frame.h"
#include "../kmod/uapi/reprise_meta.h"
#include "../kmod/uapi/reprise_netlink.h"

struct meta_timeline {
	uint64_t generation;
	uint8_t id[REPRISE_ID_BYTES];
	uint8_t parent[REPRISE_ID_BYTES];
	uint64_t fork_seq;
	enum reprise_fork_kind kind;
	unsigned int opener;
	uint64_t opened_realtime_ns;
};

struct meta_peer {
	unsigned int node;
	bool absent;
	uint64_t since_seq;
	uint64_t since_realtime_ns;
};

/* What is common to all volumes of the resource. */
struct meta {
	uint64_t number;
	uint8_t resource_id[REPRISE_ID_BYTES];
	uint8_t log_id[REPRISE_ID_BYTES];
	char resource_name[REPRISE_NAME_MAX + 1];
	char node_name[REPRISE_NAME_MAX + 1];
	unsigned int node;
	unsigned int nr_volumes;
	enum reprise_store_state state;
	enum reprise_durability durability;
	enum reprise_on_peer_loss on_peer_loss;
	uint32_t logical_block_bytes;
	uint64_t applied;
	bool left;
	uint64_t left_seq;
	uint64_t realtime_ns;
	uint64_t commit;	/* final here; the store may hold operations up to it */
	uint64_t log_ordinal;	/* newest log segment begun when this was recorded */
	unsigned int nr_peers;
	struct meta_peer peers[REPRISE_META_MAX_PEERS];
	unsigned int nr_timelines;
	struct meta_timeline timelines[REPRISE_META_MAX_TIMELINES];
};

/* What a record says of its own volume. */
struct meta_volume {
	unsigned int number;
	uint64_t size_sectors;
	uint64_t device_sectors;
};

/* The geometry: where the area lies on a device of @device_bytes. */
uint64_t meta_area_offset(uint64_t device_bytes);	/* 0: too small */
uint64_t meta_volume_sectors(uint64_t device_bytes);	/* usable, 4 KiB multiple */
/* Device offset of the copy that record @number goes to. */
uint64_t meta_copy_offset(uint64_t device_bytes, uint64_t number);

/* @buf: REPRISE_META_RECORD_BYTES. */
void meta_encode(const struct meta *meta, const struct meta_volume *volume, void *buf);
/*
 * Return 0, or -EINVAL with @why pointing to a constant text, nothing filled:
 * no magic (-ENOENT), unknown version (-EPROTONOSUPPORT), checksum, a value
 * out of range, reserved bytes set.
 */
int meta_decode(const void *buf, struct meta *meta, struct meta_volume *volume,
		const char **why);
/* The valid copy with the higher number of the two; same errors. */
int meta_choose(const void *copy0, const void *copy1, struct meta *meta,
		struct meta_volume *volume, const char **why);

const struct meta_timeline *meta_current(const struct meta *meta);	/* NULL: blank */
/* Does no id stand for two of them? */
bool meta_ids_differ(const struct meta_timeline *timelines, unsigned int nr);
const struct meta_timeline *meta_find(const struct meta *meta, const uint8_t *id);
/*
 * Is (@id, @seq) a point on the history that ends in the current timeline?
 * I.e. the timeline is current, or an ancestor left at or after @seq.
 */
bool meta_on_history(const struct meta *meta, const uint8_t *id, uint64_t seq);
/* Append a timeline; the oldest entry goes when the table is full. */
void meta_add_timeline(struct meta *meta, const struct meta_timeline *timeline);

/*
 * The store alone counts, not the log, and it is not known to be what the
 * timeline has at its position: only a crash fork goes on from there.
 */
bool meta_is_uncertain(enum reprise_store_state state);
const char *meta_state_name(enum reprise_store_state state);
const char *meta_fork_name(enum reprise_fork_kind kind);

#endif /* REPRISE_META_H */
