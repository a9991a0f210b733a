/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What stands on disk: the metadata area at the end of every backing device,
 * and the segments of a replica's log.
 *
 * Metadata area.  The last REPRISE_META_AREA_BYTES below the backing
 * device's size rounded down to 4 KiB.  The volume is what lies before it.
 * Offsets within the area:
 *
 *	0	record, copy 0 (16 KiB)
 *	64 KiB	intent map (reserved, zero)
 *	512 KiB	record, copy 1 (16 KiB)
 *
 * the rest is zero.  A record with an even number goes to copy 0, one with
 * an odd number to copy 1; the valid copy with the higher number counts.
 * A resource's records are numbered together: the same number is written to
 * all its volumes, and flushed, before it is relied on.
 *
 * Log segment.  A file of fixed size, or an equal slice of a block device.
 * Its first 4 KiB are the header, then frames follow without gaps from
 * @first_offset on.  A frame never spans two segments.  What follows the
 * last frame is unspecified (zeros, or older bytes).
 *
 * All integers little-endian, checksums CRC-32C.
 */
#ifndef _UAPI_REPRISE_META_H
#define _UAPI_REPRISE_META_H

#include <linux/types.h>

enum {
	REPRISE_META_VERSION		= 1,
	REPRISE_META_AREA_BYTES		= 1 << 20,
	REPRISE_META_RECORD_BYTES	= 16 << 10,
	REPRISE_META_COPY0_OFFSET	= 0,
	REPRISE_META_INTENT_OFFSET	= 64 << 10,
	REPRISE_META_COPY1_OFFSET	= 512 << 10,
	REPRISE_META_MAX_TIMELINES	= 240,
	REPRISE_META_MAX_PEERS		= 16,
	REPRISE_LOG_VERSION		= 1,
	REPRISE_LOG_HEAD_BYTES		= 4096,
};

#define REPRISE_META_MAGIC	"REPRISE\x01"	/* 8 bytes, no terminator */
#define REPRISE_LOG_MAGIC	"RPRLOG\x00\x01"

/**
 * enum reprise_fork_kind - how a timeline left its parent
 * @REPRISE_FORK_ORIGIN: no parent: timeline 0 ("all zeros"), or --keep-data
 * @REPRISE_FORK_CLEAN: begins with exactly the parent's content at fork_seq
 * @REPRISE_FORK_CRASH: the same, except in regions marked in the intent map
 * @REPRISE_FORK_REWIND: content of an earlier point; abandons what followed
 * @REPRISE_FORK_RESOLVE: split brain resolved; abandons the losing branch
 */
enum reprise_fork_kind {
	REPRISE_FORK_ORIGIN	= 0,
	REPRISE_FORK_CLEAN	= 1,
	REPRISE_FORK_CRASH	= 2,
	REPRISE_FORK_REWIND	= 3,
	REPRISE_FORK_RESOLVE	= 4,
};

/**
 * enum reprise_store_state - what the record's position is worth
 * @REPRISE_STORE_BLANK: nothing known of the content: never a source, never
 *	promotable
 * @REPRISE_STORE_CLEAN: store + log are the timeline's content at the tip
 * @REPRISE_STORE_UNCLEAN: is, or crashed as, primary of the current timeline
 * @REPRISE_STORE_PULLING: block pull under way (later)
 * @REPRISE_STORE_LOST: writes failed on it while it was primary, or it was
 *	replaced: needs a full compare
 * @REPRISE_STORE_DAMAGED: the log is damaged, or missing, below what was
 *	promised: no unforced promotion, repair from a peer
 */
enum reprise_store_state {
	REPRISE_STORE_BLANK	= 0,
	REPRISE_STORE_CLEAN	= 1,
	REPRISE_STORE_UNCLEAN	= 2,
	REPRISE_STORE_PULLING	= 3,
	REPRISE_STORE_LOST	= 4,
	REPRISE_STORE_DAMAGED	= 5,
};

/**
 * struct reprise_meta_timeline - one timeline of the lineage, 64 bytes
 * @generation: 0 for timeline 0, else highest known + 1 when it was opened
 * @id: random; all zero for timeline 0
 * @parent: id of the parent; all zero also where there is none
 * @fork_seq: last seq of the parent that belongs to this history
 * @kind: enum reprise_fork_kind
 * @opener: node id of the primary that opened it, 0 for timeline 0
 * @reserved: zero
 * @opened_realtime_ns: opener's CLOCK_REALTIME
 */
struct reprise_meta_timeline {
	__le64 generation;
	__u8 id[16];
	__u8 parent[16];
	__le64 fork_seq;
	__le16 kind;
	__le16 opener;
	__le32 reserved;
	__le64 opened_realtime_ns;
};

/**
 * struct reprise_meta_peer - what this node holds against a peer, 32 bytes
 * @node: node id of the peer
 * @absent: 1: this node completed writes without the peer since @since_seq
 * @reserved: zero
 * @since_seq: last durable seq the peer acknowledged
 * @since_realtime_ns: when it was recorded
 * @reserved2: zero
 */
struct reprise_meta_peer {
	__le16 node;
	__le16 absent;
	__le32 reserved;
	__le64 since_seq;
	__le64 since_realtime_ns;
	__le64 reserved2;
};

/**
 * struct reprise_meta_record - identity and lineage, 16 KiB
 * @magic: REPRISE_META_MAGIC
 * @version: REPRISE_META_VERSION; another one is refused by name
 * @crc: CRC-32C of all 16 KiB with this field zero
 * @number: record number, counted up for the resource as a whole
 * @resource_id: of the resource
 * @log_id: random; the same in every segment of this node's log
 * @resource_name: for people; zero padded
 * @node_name: of the node that wrote this; zero padded
 * @node: id of that node
 * @volume: number of this volume
 * @nr_volumes: volumes of the resource
 * @nr_timelines: entries used in @timelines, oldest first, the last one is
 *	current; 0 exactly if the state is blank
 * @nr_peers: entries used in @peers
 * @state: enum reprise_store_state
 * @durability: enum reprise_durability in force
 * @on_peer_loss: enum reprise_on_peer_loss in force
 * @logical_block_bytes: of the resource, 512 or 4096
 * @flags: REPRISE_META_F_*
 * @size_sectors: of the volume (metadata area excluded)
 * @device_sectors: of the backing device when the area was placed
 * @applied: the store holds every operation up to this seq of the current
 *	timeline's history, flushed
 * @left_seq: with REPRISE_META_F_LEFT: the current timeline was left here;
 *	nothing of it beyond is acknowledged or redone
 * @realtime_ns: when the record was written
 * @commit: operations up to this seq are final here, so that the store may
 *	hold some of them already; a log that ends before it is damaged.  Below
 *	@applied it says nothing.
 * @log_ordinal: the log has begun a segment with this ordinal; 0: none yet.
 *	Nothing of a later segment is in the store.  A log whose newest segment
 *	is older is not this store's, or lost its end.
 */
struct reprise_meta_record {
	__u8 magic[8];
	__le32 version;
	__le32 crc;
	__le64 number;
	__u8 resource_id[16];
	__u8 log_id[16];
	__u8 resource_name[64];
	__u8 node_name[64];
	__le16 node;
	__le16 volume;
	__le16 nr_volumes;
	__le16 nr_timelines;
	__le16 nr_peers;
	__le16 state;
	__le16 durability;
	__le16 on_peer_loss;
	__le32 logical_block_bytes;
	__le32 flags;
	__le64 size_sectors;
	__le64 device_sectors;
	__le64 applied;
	__le64 left_seq;
	__le64 realtime_ns;
	__le64 commit;
	__le64 log_ordinal;
	__u8 reserved[248];
	struct reprise_meta_peer peers[16];
	struct reprise_meta_timeline timelines[240];
};

#define REPRISE_META_F_LEFT	(1U << 0)

/**
 * struct reprise_log_head - first 4 KiB of a log segment
 * @magic: REPRISE_LOG_MAGIC
 * @version: REPRISE_LOG_VERSION
 * @crc: CRC-32C of all 4096 bytes with this field zero
 * @log_id: as in the metadata record: names the store this log belongs to
 * @resource_id: of the resource
 * @ordinal: counts up with every segment begun; recovery orders by it and
 *	trusts no file name
 * @segment_bytes: size of the segment, header included
 * @session: session that the frames of this segment came in
 * @session_ordinal: ordinal of the first segment of that session
 * @timeline_id: timeline of all frames in this segment
 * @generation: of that timeline
 * @prev_timeline_id: timeline of the tip before this segment's first frame
 * @prev_seq: that tip: the log (or store) ends here before this segment
 *	continues it; whatever an older segment holds beyond is void
 * @first_seq: S0: seq expected in the first frame; prev_seq + 1 unless a
 *	pull lies between
 * @commit: highest commit heard before this segment
 * @first_offset: of the first frame in the segment, a multiple of 512,
 *	4096..8191
 */
struct reprise_log_head {
	__u8 magic[8];
	__le32 version;
	__le32 crc;
	__u8 log_id[16];
	__u8 resource_id[16];
	__le64 ordinal;
	__le64 segment_bytes;
	__le64 session;
	__le64 session_ordinal;
	__u8 timeline_id[16];
	__le64 generation;
	__u8 prev_timeline_id[16];
	__le64 prev_seq;
	__le64 first_seq;
	__le64 commit;
	__le32 first_offset;
	__u8 reserved[4096 - 148];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct reprise_meta_timeline) == 64, "timeline is 64 bytes");
_Static_assert(sizeof(struct reprise_meta_peer) == 32, "peer is 32 bytes");
_Static_assert(sizeof(struct reprise_meta_record) == 16384, "record is 16 KiB");
_Static_assert(sizeof(struct reprise_log_head) == 4096, "segment header is 4 KiB");
#endif

#endif /* _UAPI_REPRISE_META_H */
