// SPDX-License-Identifier: GPL-2.0
/*
 * Frame headers made, acknowledgements read.  Pure: bytes in, bytes out; the
 * checksum function is passed in.  Formats: uapi/reprise_frame.h.
 */
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/stddef.h>
#include <asm/byteorder.h>

#include "frame.h"

/**
 * reprise_frame_begin - start an empty frame
 * @head: 512 bytes, overwritten
 * @origin: copied
 * @first_seq: seq of the first operation to be added, or the next unused seq
 */
void reprise_frame_begin(struct reprise_frame_head *head, const struct reprise_origin *origin,
			 u64 first_seq)
{
	memset(head, 0, sizeof(*head));
	head->magic = cpu_to_le32(REPRISE_FRAME_MAGIC);
	head->version = cpu_to_le16(REPRISE_FRAME_VERSION);
	head->head_bytes = cpu_to_le16(REPRISE_FRAME_HEAD_BYTES);
	head->frame_bytes = cpu_to_le32(REPRISE_FRAME_HEAD_BYTES);
	head->origin = cpu_to_le16(origin->node);
	memcpy(head->resource_id, origin->resource_id, REPRISE_ID_BYTES);
	memcpy(head->timeline_id, origin->timeline_id, REPRISE_ID_BYTES);
	head->generation = cpu_to_le64(origin->generation);
	head->first_seq = cpu_to_le64(first_seq);
}

/**
 * reprise_frame_add - describe the next operation
 *
 * The caller keeps within REPRISE_FRAME_MAX_OPS and REPRISE_FRAME_MAX_BYTES.
 */
void reprise_frame_add(struct reprise_frame_head *head, u16 volume, u8 type, u8 flags,
		       u64 sector, u32 sectors, u32 crc)
{
	u16 n = le16_to_cpu(head->nr_ops);
	struct reprise_op_desc *desc = &head->ops[n];

	desc->sector = cpu_to_le64(sector);
	desc->sectors = cpu_to_le32(sectors);
	desc->crc = cpu_to_le32(crc);
	desc->volume = cpu_to_le16(volume);
	desc->op = type;
	desc->flags = flags;
	head->nr_ops = cpu_to_le16(n + 1);
	le32_add_cpu(&head->frame_bytes, reprise_payload_bytes(type, sectors));
}

/**
 * reprise_frame_finish - fill in what is known only when the frame is cut
 * @realtime_ns: CLOCK_REALTIME
 */
void reprise_frame_finish(struct reprise_frame_head *head, u64 commit, u64 flushed,
			  u64 realtime_ns, reprise_crc_fn crc)
{
	head->commit = cpu_to_le64(commit);
	head->flushed = cpu_to_le64(flushed);
	head->realtime_ns = cpu_to_le64(realtime_ns);
	head->head_crc = 0;
	head->head_crc = cpu_to_le32(crc(head, sizeof(*head)));
}

/**
 * reprise_ack_decode - read an acknowledgement
 *
 * Return: 0; -EBADMSG: not one, or damaged (checksum); -EPROTO: of an unknown
 * version, or contradicting itself.  Fills @ack only on success.
 */
int reprise_ack_decode(const struct reprise_ack *wire, reprise_crc_fn crc,
		       struct reprise_ack_host *ack)
{
	u64 received = le64_to_cpu(wire->received);
	u64 durable = le64_to_cpu(wire->durable);
	u64 applied = le64_to_cpu(wire->applied);

	if (le32_to_cpu(wire->magic) != REPRISE_ACK_MAGIC)
		return -EBADMSG;
	if (le32_to_cpu(wire->crc) != crc(wire, offsetof(struct reprise_ack, crc)))
		return -EBADMSG;
	if (le16_to_cpu(wire->version) != REPRISE_ACK_VERSION || wire->flags || wire->reserved)
		return -EPROTO;
	if (applied > durable || durable > received)
		return -EPROTO;

	ack->session = le64_to_cpu(wire->session);
	memcpy(ack->timeline_id, wire->timeline_id, REPRISE_ID_BYTES);
	ack->received = received;
	ack->durable = durable;
	ack->applied = applied;
	return 0;
}
