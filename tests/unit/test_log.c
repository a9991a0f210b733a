// SPDX-License-Identifier: GPL-2.0
/* Frames and segment headers: round trips, flipped bits, limits, the next frame. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "agent/crc32c.h"
#include "agent/log.h"
#include "kselftest_harness.h"

static const struct frame_limits limits = {
	.logical_block_bytes = 4096,
	.size_sectors = { [0] = 1 << 16, [3] = 80 },
};

FIXTURE(frame) {
	uint8_t buf[16384];
	struct reprise_frame_head *head;
	struct log_expect expect;
	struct frame frame;
	char why[FRAME_WHY_BYTES];
};

static void seal(struct reprise_frame_head *head)
{
	head->head_crc = htole32(crc32c_with_hole(head, 512,
						  offsetof(struct reprise_frame_head, head_crc)));
}

FIXTURE_SETUP(frame)
{
	struct reprise_frame_head *head = (void *)self->buf;

	memset(self, 0, sizeof(*self));
	self->head = head;
	memset(self->buf + 512, 0x5a, 8192 + 512);
	*head = (struct reprise_frame_head){
		.magic = htole32(REPRISE_FRAME_MAGIC), .version = htole16(1),
		.head_bytes = htole16(512), .frame_bytes = htole32(512 + 8192 + 512),
		.nr_ops = htole16(3), .origin = htole16(1), .resource_id = "resource",
		.timeline_id = "timeline", .generation = htole64(2), .first_seq = htole64(100),
		.commit = htole64(99), .flushed = htole64(50), .realtime_ns = htole64(9),
		.ops = {
			{ .op = REPRISE_OP_WRITE, .sector = htole64(64), .sectors = htole32(16),
			  .volume = htole16(3), .flags = REPRISE_OP_FUA,
			  .crc = htole32(crc32c(self->buf + 512, 8192)) },
			{ .op = REPRISE_OP_WRITE_ZEROES, .sector = htole64(8),
			  .sectors = htole32(1 << 15), .flags = REPRISE_OP_UNMAP },
			{ .op = REPRISE_OP_CHECKPOINT, .sectors = htole32(1),
			  .crc = htole32(crc32c(self->buf + 512 + 8192, 512)) },
		},
	};
	seal(head);
	memcpy(self->expect.resource_id, head->resource_id, 16);
	memcpy(self->expect.timeline_id, head->timeline_id, 16);
	self->expect.generation = 2;
	self->expect.limits = &limits;
}

FIXTURE_TEARDOWN(frame) {}

static int look(FIXTURE_DATA(frame) *self, size_t bytes, uint64_t seq)
{
	return log_frame_at(self->buf, bytes, &self->expect, seq, &self->frame, self->why);
}

TEST_F(frame, host_form)
{
	ASSERT_EQ(0, look(self, sizeof(self->buf), 100)) TH_LOG("%s", self->why);
	EXPECT_EQ(3, self->frame.nr_ops);
	EXPECT_EQ(102, frame_last_seq(&self->frame));
	EXPECT_EQ(512, self->frame.ops[0].payload_offset);
	EXPECT_EQ(8192, self->frame.ops[0].payload_bytes);
	EXPECT_EQ(0, self->frame.ops[1].payload_bytes);
	EXPECT_EQ(512 + 8192, self->frame.ops[2].payload_offset);
	EXPECT_EQ(3, self->frame.ops[0].volume);
}

TEST_F(frame, only_the_next_one)
{
	EXPECT_EQ(0, look(self, sizeof(self->buf), 0));
	EXPECT_EQ(-EINVAL, look(self, sizeof(self->buf), 99));
	EXPECT_NE(NULL, strstr(self->why, "expected is 99"));
	EXPECT_EQ(-EAGAIN, look(self, 511, 100));
	EXPECT_EQ(-EAGAIN, look(self, 512 + 8192 + 511, 100));
	EXPECT_EQ(0, look(self, 512 + 8192 + 512, 100));
}

TEST_F(frame, every_flipped_bit_is_caught)
{
	struct frame untouched = { .first_seq = 4711 };
	unsigned int bit;

	for (bit = 0; bit < 8 * (512 + 8192 + 512); bit++) {
		int error;

		self->buf[bit / 8] ^= 1 << bit % 8;
		self->frame = untouched;
		error = look(self, sizeof(self->buf), 100);
		ASSERT_TRUE(error && error != -EAGAIN) TH_LOG("bit %u", bit);
		ASSERT_EQ(0, memcmp(&untouched, &self->frame, sizeof(untouched)));
		self->buf[bit / 8] ^= 1 << bit % 8;
	}
}

#define EXPECT_REFUSED(change, text)						\
	do {									\
		struct reprise_frame_head saved = *self->head;			\
										\
		change;								\
		seal(self->head);						\
		EXPECT_NE(0, look(self, sizeof(self->buf), 100))		\
			TH_LOG("accepted: " #change);				\
		EXPECT_NE(NULL, strstr(self->why, text)) TH_LOG("%s", self->why); \
		*self->head = saved;						\
	} while (0)

TEST_F(frame, what_does_not_fit_is_refused)
{
	struct reprise_frame_head *head = self->head;
	struct reprise_op_desc *ops = head->ops;

	EXPECT_REFUSED(head->magic = 1, "no frame");
	EXPECT_REFUSED(head->version = htole16(2), "version 2");
	EXPECT_REFUSED(head->head_bytes = htole16(1024), "header block");
	EXPECT_REFUSED(head->frame_bytes = htole32(512 + 8192), "length");
	EXPECT_REFUSED(head->frame_bytes = htole32(8 << 20), "length");
	EXPECT_REFUSED(head->nr_ops = htole16(15), "15 operations");
	EXPECT_REFUSED(head->nr_ops = htole16(2), "unused operations");
	EXPECT_REFUSED(head->nr_ops = htole16(4), "unknown type 0");
	EXPECT_REFUSED(head->origin = 0, "origin");
	EXPECT_REFUSED(head->origin = htole16(17), "origin");
	EXPECT_REFUSED(head->resource_id[0]++, "another resource");
	EXPECT_REFUSED(head->timeline_id[0]++, "another timeline");
	EXPECT_REFUSED(head->generation++, "generation");
	EXPECT_REFUSED(head->first_seq = 0, "first seq");
	EXPECT_REFUSED(head->first_seq = UINT64_MAX, "first seq");
	EXPECT_REFUSED(head->commit = htole64(103), "commit 103");
	EXPECT_REFUSED(head->flushed = htole64(103), "flushed 103");
	EXPECT_REFUSED(head->stamp = 1, "reserved");
	EXPECT_REFUSED(head->flags = 1, "unknown flags");
	EXPECT_REFUSED(head->reserved[23] = 1, "reserved");
	EXPECT_REFUSED(head->reserved2[47] = 1, "reserved");
	EXPECT_REFUSED(ops[0].op = 5, "unknown type 5");
	EXPECT_REFUSED(ops[0].flags = 1 << 3, "unknown flags");
	EXPECT_REFUSED(ops[0].flags = REPRISE_OP_UNMAP, "unmaps");
	EXPECT_REFUSED(ops[2].flags = REPRISE_OP_FUA, "FUA");
	EXPECT_REFUSED(ops[0].reserved = 1, "reserved");
	EXPECT_REFUSED(ops[0].volume = htole16(16), "volume 16");
	EXPECT_REFUSED(ops[0].volume = htole16(1), "does not exist");
	EXPECT_REFUSED(ops[0].sectors = 0, "length of 0");
	EXPECT_REFUSED(ops[0].sectors = htole32(2049), "length of 2049");
	EXPECT_REFUSED(ops[1].sectors = htole32((1 << 21) + 1), "length of");
	EXPECT_REFUSED(ops[0].sector = htole64(72), "past the end of volume 3");
	EXPECT_REFUSED(ops[0].sector = UINT64_MAX, "past the end of any");
	EXPECT_REFUSED(ops[0].sector = htole64(63), "not aligned");
	EXPECT_REFUSED(ops[1].sectors = htole32(9), "not aligned");
	EXPECT_REFUSED(ops[1].crc = 1, "no payload");
	EXPECT_REFUSED(ops[2].sector = 1, "checkpoint with a range");
	EXPECT_REFUSED(ops[1].op = REPRISE_OP_RESIZE, "unmaps");
	EXPECT_EQ(0, look(self, sizeof(self->buf), 100));
}

TEST_F(frame, unknown_but_skippable)
{
	self->head->ops[0].op = 200;
	self->head->ops[0].flags = REPRISE_OP_SKIPPABLE;
	self->head->ops[0].sector = htole64(12345);
	seal(self->head);
	EXPECT_EQ(0, look(self, sizeof(self->buf), 100)) TH_LOG("%s", self->why);
}

TEST_F(frame, without_operations)
{
	memset(self->head->ops, 0, sizeof(self->head->ops));
	self->head->nr_ops = 0;
	self->head->frame_bytes = htole32(512);
	seal(self->head);
	EXPECT_EQ(0, look(self, 512, 100)) TH_LOG("%s", self->why);
	EXPECT_EQ(99, frame_last_seq(&self->frame));
	EXPECT_REFUSED(self->head->commit = htole64(100), "commit 100");
}

static const struct log_head sample = {
	.log_id = "log", .resource_id = "resource", .ordinal = 9, .segment_bytes = 1 << 20,
	.session = 77, .session_ordinal = 8, .timeline_id = "timeline", .generation = 2,
	.prev_timeline_id = "timeline", .prev_seq = 41, .first_seq = 42, .commit = 40,
	.first_offset = 4608,
};

TEST(segment_header)
{
	uint8_t buf[REPRISE_LOG_HEAD_BYTES], again[REPRISE_LOG_HEAD_BYTES];
	struct log_head head;
	const char *why;
	unsigned int bit;

	log_head_encode(&sample, buf);
	ASSERT_EQ(0, log_head_decode(buf, &head, &why));
	log_head_encode(&head, again);
	EXPECT_EQ(0, memcmp(buf, again, sizeof(buf)));
	EXPECT_EQ(42, head.first_seq);
	EXPECT_EQ(4608, head.first_offset);
	for (bit = 0; bit < 8 * REPRISE_LOG_HEAD_BYTES; bit++) {
		buf[bit / 8] ^= 1 << bit % 8;
		ASSERT_NE(0, log_head_decode(buf, &head, &why));
		buf[bit / 8] ^= 1 << bit % 8;
	}
}

static int head_refused(struct log_head head)
{
	uint8_t buf[REPRISE_LOG_HEAD_BYTES];
	struct log_head got;
	const char *why;

	log_head_encode(&head, buf);
	return log_head_decode(buf, &got, &why) == -EINVAL;
}

#define HEAD_REFUSED(change)							\
	do {									\
		struct log_head head = sample;					\
										\
		change;								\
		EXPECT_TRUE(head_refused(head)) TH_LOG("accepted: " #change);	\
	} while (0)

TEST(segment_header_contradictions)
{
	HEAD_REFUSED(head.ordinal = 0);
	HEAD_REFUSED(head.session_ordinal = 10);
	HEAD_REFUSED(head.first_offset = 4095);
	HEAD_REFUSED(head.first_offset = 4097);
	HEAD_REFUSED(head.first_offset = 8192);
	HEAD_REFUSED(head.segment_bytes = 4096);
	HEAD_REFUSED(head.segment_bytes = 1 << 20 | 512);
	HEAD_REFUSED(head.first_seq = 41);
	HEAD_REFUSED(head.commit = 42);
	EXPECT_FALSE(head_refused(sample));
}

TEST_HARNESS_MAIN
