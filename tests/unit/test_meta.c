// SPDX-License-Identifier: GPL-2.0
/* The metadata record: round trip, every flipped bit caught, contradictions named. */
#include <errno.h>
#include <string.h>

#include "agent/crc32c.h"
#include "agent/meta.h"
#include "kselftest_harness.h"

FIXTURE(meta) {
	struct meta meta;
	struct meta_volume volume;
	uint8_t buf[REPRISE_META_RECORD_BYTES];
	const char *why;
};

FIXTURE_SETUP(meta)
{
	struct meta *meta = &self->meta;

	memset(self, 0, sizeof(*self));
	*meta = (struct meta){
		.number = 7, .resource_name = "pg", .node_name = "alpha", .node = 1,
		.nr_volumes = 2, .state = REPRISE_STORE_CLEAN,
		.durability = REPRISE_DURABILITY_FLUSH,
		.on_peer_loss = REPRISE_ON_PEER_LOSS_HOOK, .logical_block_bytes = 4096,
		.applied = 100, .left = true, .left_seq = 120, .realtime_ns = 5, .commit = 110,
		.log_ordinal = 3, .nr_peers = 1, .nr_timelines = 3,
	};
	memset(meta->resource_id, 0x11, 16);
	memset(meta->log_id, 0x22, 16);
	meta->peers[0] = (struct meta_peer){
		.node = 2, .absent = true, .since_seq = 90, .since_realtime_ns = 4,
	};
	meta->timelines[1] = (struct meta_timeline){
		.generation = 1, .id = "one", .opener = 1, .kind = REPRISE_FORK_CLEAN,
	};
	meta->timelines[2] = (struct meta_timeline){
		.generation = 4, .id = "four", .parent = "one", .fork_seq = 50, .opener = 2,
		.kind = REPRISE_FORK_CRASH,
	};
	self->volume = (struct meta_volume){
		.number = 1, .size_sectors = 1000, .device_sectors = 4000,
	};
	meta_encode(meta, &self->volume, self->buf);
}

FIXTURE_TEARDOWN(meta) {}

TEST(crc32c_is_castagnoli)
{
	char text[] = "123456789";

	EXPECT_EQ(crc32c(text, 9), 0xe3069283);
	EXPECT_EQ(crc32c_continue(crc32c(text, 4), text + 4, 5), 0xe3069283);
	EXPECT_EQ(crc32c_with_hole("12\0\0\0\0" "789", 9, 2),
		  crc32c_with_hole("12abcd789", 9, 2));
}

TEST(geometry)
{
	EXPECT_EQ(meta_area_offset(1 << 20), 0);
	EXPECT_EQ(meta_area_offset((1 << 20) + 4095), 0);
	EXPECT_EQ(meta_area_offset((1 << 20) + 4096), 4096);
	EXPECT_EQ(meta_area_offset((3 << 20) + 4095), 2 << 20);
	EXPECT_EQ(meta_volume_sectors(3 << 20), (2 << 20) / 512);
	EXPECT_EQ(meta_copy_offset(3 << 20, 4), 2 << 20);
	EXPECT_EQ(meta_copy_offset(3 << 20, 5), (2 << 20) + (512 << 10));
}

TEST_F(meta, round_trip)
{
	struct meta meta;
	struct meta_volume volume;
	uint8_t again[REPRISE_META_RECORD_BYTES];

	ASSERT_EQ(0, meta_decode(self->buf, &meta, &volume, &self->why));
	meta_encode(&meta, &volume, again);
	EXPECT_EQ(0, memcmp(self->buf, again, sizeof(again)));
	EXPECT_EQ(meta.number, 7);
	EXPECT_EQ(meta.left_seq, 120);
	EXPECT_EQ(meta.commit, 110);
	EXPECT_EQ(meta.log_ordinal, 3);
	EXPECT_STREQ("alpha", meta.node_name);
	EXPECT_EQ(meta.timelines[2].fork_seq, 50);
	EXPECT_EQ(volume.size_sectors, 1000);
	EXPECT_TRUE(meta.peers[0].absent);
}

TEST_F(meta, every_flipped_bit_is_caught)
{
	struct meta meta = { .number = 42 };
	struct meta_volume volume;
	unsigned int bit;

	for (bit = 0; bit < 8 * REPRISE_META_RECORD_BYTES; bit += bit < 16384 ? 1 : 61) {
		self->buf[bit / 8] ^= 1 << bit % 8;
		ASSERT_NE(0, meta_decode(self->buf, &meta, &volume, &self->why));
		ASSERT_NE(NULL, self->why);
		self->buf[bit / 8] ^= 1 << bit % 8;
	}
	EXPECT_EQ(meta.number, 42);
}

static int refused(struct meta *meta, struct meta_volume *volume, const char **why)
{
	uint8_t buf[REPRISE_META_RECORD_BYTES];
	struct meta got;
	struct meta_volume got_volume;

	meta_encode(meta, volume, buf);
	return meta_decode(buf, &got, &got_volume, why);
}

#define EXPECT_REFUSED(change)							\
	do {									\
		struct meta saved = self->meta;					\
		struct meta_volume saved_volume = self->volume;			\
										\
		change;								\
		EXPECT_EQ(-EINVAL, refused(&self->meta, &self->volume, &self->why)) \
			TH_LOG("accepted: " #change);				\
		self->meta = saved;						\
		self->volume = saved_volume;					\
	} while (0)

TEST_F(meta, contradictions_are_refused)
{
	struct meta *meta = &self->meta;

	EXPECT_REFUSED(meta->node = 0);
	EXPECT_REFUSED(meta->node = 17);
	EXPECT_REFUSED(meta->nr_volumes = 17);
	EXPECT_REFUSED(meta->logical_block_bytes = 1024);
	EXPECT_REFUSED(meta->state = 6);
	EXPECT_REFUSED(meta->state = REPRISE_STORE_BLANK);
	EXPECT_REFUSED(meta->nr_timelines = 0);
	EXPECT_REFUSED(meta->durability = 0);
	EXPECT_REFUSED(meta->durability = 5);
	EXPECT_REFUSED(meta->on_peer_loss = 4);
	EXPECT_REFUSED(meta->left_seq = 99);
	EXPECT_REFUSED(meta->resource_name[0] = 0);
	EXPECT_REFUSED(meta->peers[0].node = 0);
	EXPECT_REFUSED(meta->timelines[2].generation = 1);
	EXPECT_REFUSED(meta->timelines[2].parent[0] = 'x');
	EXPECT_REFUSED(meta->timelines[1].fork_seq = 51);
	EXPECT_REFUSED(meta->timelines[1].kind = 5);
	EXPECT_REFUSED(meta->timelines[1].opener = 17);
	EXPECT_REFUSED(memset(meta->timelines[1].id, 0, 16));
	EXPECT_REFUSED(memcpy(meta->timelines[2].id, meta->timelines[1].id, 16));
	EXPECT_REFUSED(self->volume.number = 16);
	EXPECT_REFUSED(self->volume.size_sectors = 0);
	EXPECT_REFUSED(self->volume.size_sectors = 4001);
	EXPECT_EQ(0, refused(meta, &self->volume, &self->why));
}

static void seal(uint8_t *buf)
{
	struct reprise_meta_record *disk = (void *)buf;

	disk->crc = crc32c_with_hole(buf, REPRISE_META_RECORD_BYTES,
				     offsetof(struct reprise_meta_record, crc));
}

TEST_F(meta, unknown_things_are_refused)
{
	struct reprise_meta_record *disk = (void *)self->buf;
	struct meta meta;
	struct meta_volume volume;

	disk->flags |= 2;
	seal(self->buf);
	EXPECT_EQ(-EINVAL, meta_decode(self->buf, &meta, &volume, &self->why));
	disk->flags &= ~2;
	disk->reserved[247] = 1;
	seal(self->buf);
	EXPECT_EQ(-EINVAL, meta_decode(self->buf, &meta, &volume, &self->why));
	disk->reserved[247] = 0;
	disk->timelines[200].fork_seq = 1;
	seal(self->buf);
	EXPECT_EQ(-EINVAL, meta_decode(self->buf, &meta, &volume, &self->why));
	disk->timelines[200].fork_seq = 0;
	disk->version = 2;
	EXPECT_EQ(-EPROTONOSUPPORT, meta_decode(self->buf, &meta, &volume, &self->why));
	disk->magic[0] = 0;
	EXPECT_EQ(-ENOENT, meta_decode(self->buf, &meta, &volume, &self->why));
}

TEST_F(meta, the_newer_copy_counts)
{
	uint8_t copy0[REPRISE_META_RECORD_BYTES] = { 0 };
	struct meta meta;
	struct meta_volume volume;

	EXPECT_EQ(0, meta_choose(copy0, self->buf, &meta, &volume, &self->why));
	EXPECT_EQ(meta.number, 7);
	self->meta.number = 8;
	meta_encode(&self->meta, &self->volume, copy0);
	EXPECT_EQ(0, meta_choose(copy0, self->buf, &meta, &volume, &self->why));
	EXPECT_EQ(meta.number, 8);
	self->meta.number = 6;
	meta_encode(&self->meta, &self->volume, copy0);
	EXPECT_EQ(0, meta_choose(copy0, self->buf, &meta, &volume, &self->why));
	EXPECT_EQ(meta.number, 7);
	self->buf[100] ^= 1;
	EXPECT_EQ(0, meta_choose(copy0, self->buf, &meta, &volume, &self->why));
	EXPECT_EQ(meta.number, 6);
	copy0[99] ^= 1;
	EXPECT_EQ(-EINVAL, meta_choose(copy0, self->buf, &meta, &volume, &self->why));
	memset(copy0, 0, sizeof(copy0));
	EXPECT_EQ(-EINVAL, meta_choose(copy0, self->buf, &meta, &volume, &self->why));
	memset(self->buf, 0, sizeof(self->buf));
	EXPECT_EQ(-ENOENT, meta_choose(copy0, self->buf, &meta, &volume, &self->why));
	/* An even number in the odd copy was copied there by somebody else. */
	self->meta.number = 6;
	meta_encode(&self->meta, &self->volume, self->buf);
	EXPECT_EQ(-EINVAL, meta_choose(copy0, self->buf, &meta, &volume, &self->why));
}

TEST_F(meta, history)
{
	const struct meta *meta = &self->meta;

	EXPECT_EQ(meta_current(meta), &meta->timelines[2]);
	EXPECT_TRUE(meta_on_history(meta, meta->timelines[2].id, 1000));
	EXPECT_TRUE(meta_on_history(meta, meta->timelines[1].id, 50));
	EXPECT_FALSE(meta_on_history(meta, meta->timelines[1].id, 51));
	EXPECT_TRUE(meta_on_history(meta, meta->timelines[0].id, 0));
	EXPECT_FALSE(meta_on_history(meta, meta->timelines[0].id, 1));
	EXPECT_FALSE(meta_on_history(meta, (const uint8_t *)"unknown timeline", 0));
}

TEST_F(meta, the_oldest_timeline_goes)
{
	struct meta_timeline next = self->meta.timelines[2];
	unsigned int i;

	for (i = 0; i < 300; i++) {
		memcpy(next.parent, next.id, sizeof(next.id));
		next.generation++;
		memcpy(next.id + 8, &next.generation, 8);
		meta_add_timeline(&self->meta, &next);
	}
	EXPECT_EQ(self->meta.nr_timelines, REPRISE_META_MAX_TIMELINES);
	EXPECT_EQ(meta_current(&self->meta)->generation, 304);
	EXPECT_EQ(0, refused(&self->meta, &self->volume, &self->why));
}

TEST_HARNESS_MAIN
