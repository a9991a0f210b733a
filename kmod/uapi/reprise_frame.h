/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The frame and the acknowledgement: what travels between nodes, and what a
 * replica keeps in its log, byte for byte the same.
 *
 * A primary numbers every operation (seq, 64 bit, +1 per operation, one
 * sequence for all volumes of a resource) and packs consecutive operations
 * into frames.  A frame is one header block of 512 bytes, followed by the
 * payloads of its operations in the order of their descriptors, without
 * gaps; every payload is a multiple of 512 bytes.  A replica appends frames
 * to its log as they came and answers with cumulative acknowledgements.
 *
 * All integers are little-endian.  Checksums are CRC-32C (Castagnoli,
 * reflected, initial value and final xor 0xffffffff: the checksum of the
 * nine characters "123456789" is 0xe3069283).
 */
#ifndef _UAPI_REPRISE_FRAME_H
#define _UAPI_REPRISE_FRAME_H

#include <linux/types.h>

enum {
	REPRISE_FRAME_MAGIC	= 0x46505252,	/* "RRPF" on disk */
	REPRISE_FRAME_VERSION	= 1,
	REPRISE_FRAME_HEAD_BYTES = 512,
	REPRISE_FRAME_MAX_BYTES	= 4 << 20,
	REPRISE_FRAME_MAX_OPS	= 14,
	REPRISE_OP_MAX_SECTORS	= 2048,		/* payload of one write: 1 MiB */
	REPRISE_ZERO_MAX_SECTORS = 1 << 21,	/* one write_zeroes: 1 GiB */
	REPRISE_MAX_VOLUMES	= 16,		/* of one resource, numbered 0..15 */
	REPRISE_MAX_NODES	= 16,		/* node ids are 1..16 */
	REPRISE_SECTOR_BYTES	= 512,
	REPRISE_ID_BYTES	= 16,
	REPRISE_ACK_MAGIC	= 0x41505252,	/* "RRPA" */
	REPRISE_ACK_VERSION	= 1,
	REPRISE_ACK_BYTES	= 64,
};

/**
 * enum reprise_op_type - what an operation does to its volume
 * @REPRISE_OP_WRITE: @sectors of payload go to @sector
 * @REPRISE_OP_WRITE_ZEROES: the range reads as zeros afterwards; no payload,
 *	crc is 0.  With REPRISE_OP_UNMAP the range may be unmapped.  A discard
 *	travels as this.
 * @REPRISE_OP_CHECKPOINT: a named point in the stream.  The payload, 512
 *	bytes, is its name: UTF-8, zero padded.  sector and volume are 0,
 *	sectors is 1.
 * @REPRISE_OP_RESIZE: the volume has @sector sectors from here on; sectors
 *	is 0, no payload.
 *
 * An unknown operation is refused, unless its descriptor carries
 * REPRISE_OP_SKIPPABLE: then its payload (@sectors * 512 bytes) is logged
 * and not applied.
 */
enum reprise_op_type {
	REPRISE_OP_WRITE	= 1,
	REPRISE_OP_WRITE_ZEROES	= 2,
	REPRISE_OP_CHECKPOINT	= 3,
	REPRISE_OP_RESIZE	= 4,
};

enum reprise_op_flags {
	REPRISE_OP_FUA		= 1 << 0,	/* the submitter asked for FUA */
	REPRISE_OP_UNMAP	= 1 << 1,	/* write_zeroes may unmap */
	REPRISE_OP_SKIPPABLE	= 1 << 7,
};

/**
 * struct reprise_op_desc - one operation of a frame, 24 bytes
 * @sector: first 512-byte sector on the volume
 * @sectors: length in 512-byte sectors
 * @crc: CRC-32C of the payload, 0 where there is none
 * @volume: number of the volume, 0..15
 * @op: enum reprise_op_type
 * @flags: enum reprise_op_flags; unknown bits are refused
 * @reserved: zero
 */
struct reprise_op_desc {
	__le64 sector;
	__le32 sectors;
	__le32 crc;
	__le16 volume;
	__u8 op;
	__u8 flags;
	__le32 reserved;
};

/**
 * struct reprise_frame_head - the header block of a frame, 512 bytes
 * @magic: REPRISE_FRAME_MAGIC
 * @version: REPRISE_FRAME_VERSION; another one is refused by name
 * @head_bytes: 512; a later version may lengthen the header block
 * @frame_bytes: header block and payloads, a multiple of 512, at most 4 MiB
 * @nr_ops: 0..14
 * @origin: node id of the primary that cut the frame
 * @resource_id: random id of the resource
 * @timeline_id: random id of the timeline the operations belong to
 * @generation: generation of that timeline
 * @first_seq: seq of the first operation; of a frame without operations, the
 *	next unused seq
 * @commit: every seq up to this one is durable on all replicas that the
 *	primary requires (none required: locally complete).  Monotone within a
 *	timeline, always < first_seq + nr_ops, and possibly < first_seq.
 * @flushed: every seq up to this one is flushed on the primary's own disks
 * @stamp: reserved for multi-primary, zero
 * @realtime_ns: CLOCK_REALTIME of the primary when the frame was cut
 * @flags: zero
 * @head_crc: CRC-32C of the whole header block with this field zero
 * @reserved: zero
 * @ops: descriptors; those past @nr_ops are zero
 * @reserved2: zero
 */
struct reprise_frame_head {
	__le32 magic;
	__le16 version;
	__le16 head_bytes;
	__le32 frame_bytes;
	__le16 nr_ops;
	__le16 origin;
	__u8 resource_id[16];
	__u8 timeline_id[16];
	__le64 generation;
	__le64 first_seq;
	__le64 commit;
	__le64 flushed;
	__le64 stamp;
	__le64 realtime_ns;
	__le32 flags;
	__le32 head_crc;
	__u8 reserved[24];
	struct reprise_op_desc ops[14];
	__u8 reserved2[48];
};

/**
 * struct reprise_ack - acknowledgement, replica to primary, 64 bytes
 * @magic: REPRISE_ACK_MAGIC
 * @version: REPRISE_ACK_VERSION
 * @flags: zero
 * @session: random number of the session, agreed when it began
 * @timeline_id: the timeline of the three positions
 * @received: every seq up to this one has arrived and its checksums are right
 * @durable: ... is in the log, and flushed
 * @applied: ... is on the replica's backing device, and flushed
 * @crc: CRC-32C of the first 56 bytes
 * @reserved: zero
 *
 * Cumulative: applied <= durable <= received <= last seq sent, and none ever
 * goes down within a session.  The primary ends a session that breaks this.
 */
struct reprise_ack {
	__le32 magic;
	__le16 version;
	__le16 flags;
	__le64 session;
	__u8 timeline_id[16];
	__le64 received;
	__le64 durable;
	__le64 applied;
	__le32 crc;
	__le32 reserved;
};

#ifndef __cplusplus
_Static_assert(sizeof(struct reprise_op_desc) == 24, "op descriptor is 24 bytes");
_Static_assert(sizeof(struct reprise_frame_head) == 512, "frame header is 512 bytes");
_Static_assert(sizeof(struct reprise_ack) == 64, "acknowledgement is 64 bytes");
#endif

#endif /* _UAPI_REPRISE_FRAME_H */
