/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _REPRISE_FRAME_BUILD_H
#define _REPRISE_FRAME_BUILD_H

#include <linux/types.h>
#include "uapi/reprise_frame.h"

/* Who cuts the frames, and of what: constant while a timeline lasts. */
struct reprise_origin {
	u8 resource_id[REPRISE_ID_BYTES];
	u8 timeline_id[REPRISE_ID_BYTES];
	u64 generation;
	u16 node;
};

struct reprise_ack_host {
	u64 session;
	u8 timeline_id[REPRISE_ID_BYTES];
	u64 received;
	u64 durable;
	u64 applied;
};

typedef u32 (*reprise_crc_fn)(const void *data, unsigned int bytes);

void reprise_frame_begin(struct reprise_frame_head *head, const struct reprise_origin *origin,
			 u64 first_seq);
void reprise_frame_add(struct reprise_frame_head *head, u16 volume, u8 type, u8 flags,
		       u64 sector, u32 sectors, u32 crc);
void reprise_frame_finish(struct reprise_frame_head *head, u64 commit, u64 flushed,
			  u64 realtime_ns, reprise_crc_fn crc);
int reprise_ack_decode(const struct reprise_ack *wire, reprise_crc_fn crc,
		       struct reprise_ack_host *ack);

static inline u32 reprise_payload_bytes(u8 type, u32 sectors)
{
	return type == REPRISE_OP_WRITE || type == REPRISE_OP_CHECKPOINT ?
		sectors * REPRISE_SECTOR_BYTES : 0;
}

#endif /* _REPRISE_FRAME_BUILD_H */
