// SPDX-License-Identifier: GPL-2.0
/*
 * One defect at a time in everything that is read from disks and from peers:
 * each field out of its range, checksums made right again, is refused, with
 * the words that name it.  The one idea: a table per format, a line per defect.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/crc32c.h"
#include "agent/handshake.h"
#include "agent/log.h"
#include "agent/meta.h"
#include "kselftest_harness.h"

/* @value, little-endian, goes to the @bytes at @offset. */
struct defect {
	const char *what;
	size_t offset;
	size_t bytes;
	uint64_t value;
	const char *words;
};

#define DEFECT(type, member, value, words) \
	{ #member " = " #value, offsetof(type, member), sizeof(((type *)0)->member), value, words }

static void apply(const struct defect *defect, void *to)
{
	uint64_t value = htole64(defect->value);

	memcpy((uint8_t *)to + defect->offset, &value, defect->bytes);
}

#define NR(table) (sizeof(table) / sizeof((table)[0]))

/* --- frames ------------------------------------------------------------------- */

static const struct frame_limits limits = {
	.logical_block_bytes = 4096,
	.size_sectors = { [0] = 4096, [1] = 64 },
};

/* A frame of one operation at @buf, of 512 bytes and the payload. */
static void make_frame(uint8_t *buf, const struct frame_op *op, uint32_t payload)
{
	struct reprise_frame_head *head = (void *)buf;

	memset(buf, 0, sizeof(*head));
	head->magic = htole32(REPRISE_FRAME_MAGIC);
	head->version = htole16(REPRISE_FRAME_VERSION);
	head->head_bytes = htole16(sizeof(*head));
	head->frame_bytes = htole32(sizeof(*head) + payload);
	head->nr_ops = htole16(1);
	head->origin = htole16(1);
	head->first_seq = htole64(7);
	head->commit = htole64(6);
	head->flushed = htole64(5);
	head->ops[0] = (struct reprise_op_desc){
		.sector = htole64(op->sector), .sectors = htole32(op->sectors),
		.crc = htole32(op->crc), .volume = htole16(op->volume), .op = op->op,
		.flags = op->flags,
	};
}

static int decode_sealed(uint8_t *buf, struct frame *frame, char *why)
{
	struct reprise_frame_head *head = (void *)buf;

	head->head_crc = htole32(crc32c_with_hole(head, sizeof(*head),
						  offsetof(struct reprise_frame_head, head_crc)));
	return frame_decode(buf, frame, why);
}

TEST(frame_heads)
{
	static const struct defect defects[] = {
#define HEAD(member, value, words) DEFECT(struct reprise_frame_head, member, value, words)
		HEAD(magic, 1, "no frame"),
		HEAD(version, 2, "version 2"),
		HEAD(head_bytes, 1024, "header block has 1024"),
		HEAD(frame_bytes, 0, "length is 0"),
		HEAD(frame_bytes, 513, "length is 513"),
		HEAD(frame_bytes, REPRISE_FRAME_MAX_BYTES + 512, "length is"),
		HEAD(frame_bytes, 1024, "does not match its operations"),
		HEAD(nr_ops, 15, "15 operations"),
		HEAD(nr_ops, 0, "unused operations"),
		HEAD(origin, 0, "node 0"),
		HEAD(origin, 17, "node 17"),
		HEAD(first_seq, 0, "first seq"),
		HEAD(first_seq, UINT64_MAX, "first seq"),
		HEAD(commit, 8, "commit 8 is beyond"),
		HEAD(flushed, 8, "flushed 8 is beyond"),
		HEAD(flags, 1, "unknown flags"),
		HEAD(stamp, 1, "reserved"),
		HEAD(reserved[0], 1, "reserved"),
		HEAD(reserved2[0], 1, "reserved"),
		HEAD(ops[0].reserved, 1, "reserved"),
	};
	const struct frame_op op = { .op = REPRISE_OP_WRITE_ZEROES, .sectors = 8 };
	_Alignas(8) uint8_t buf[512];
	char why[FRAME_WHY_BYTES];
	struct frame frame;

	make_frame(buf, &op, 0);
	ASSERT_EQ(0, decode_sealed(buf, &frame, why));
	for (size_t i = 0; i < NR(defects); i++) {
		make_frame(buf, &op, 0);
		apply(&defects[i], buf);
		EXPECT_NE(0, decode_sealed(buf, &frame, why)) TH_LOG("%s", defects[i].what);
		EXPECT_NE(NULL, strstr(why, defects[i].words)) TH_LOG("%s: %s", defects[i].what,
								      why);
	}
}

struct op_case {
	struct frame_op op;
	uint32_t payload;
	const char *words;	/* NULL: good */
};

#define OP(type, at, length, ...) \
	{ .op = (type), .sector = (at), .sectors = (length), ##__VA_ARGS__ }

static const struct op_case op_cases[] = {
	{ OP(REPRISE_OP_WRITE, 8, 8), 4096, NULL },
	{ OP(REPRISE_OP_WRITE, 8, 8, .flags = REPRISE_OP_FUA), 4096, NULL },
	{ OP(REPRISE_OP_WRITE, 8, 8, .flags = REPRISE_OP_UNMAP), 4096, "unmaps" },
	{ OP(REPRISE_OP_WRITE, 8, 8, .flags = 1 << 3), 4096, "unknown flags" },
	{ OP(REPRISE_OP_WRITE, 8, 8, .volume = 16), 4096, "names volume 16" },
	{ OP(REPRISE_OP_WRITE, 8, 8, .volume = 2), 4096, "does not exist" },
	{ OP(REPRISE_OP_WRITE, 8, 0), 0, "length of 0" },
	{ OP(REPRISE_OP_WRITE, 8, 2056), 0, "length of 2056" },
	{ OP(REPRISE_OP_WRITE, UINT64_MAX / 512, 8), 4096, "end of any device" },
	{ OP(REPRISE_OP_WRITE, 4096, 8), 4096, "past the end" },
	{ OP(REPRISE_OP_WRITE, 4104, 8), 4096, "past the end" },
	{ OP(REPRISE_OP_WRITE, 4, 8), 4096, "not aligned" },
	{ OP(REPRISE_OP_WRITE, 8, 4), 2048, "not aligned" },
	{ OP(REPRISE_OP_WRITE_ZEROES, 0, 4096, .flags = REPRISE_OP_UNMAP), 0, NULL },
	{ OP(REPRISE_OP_WRITE_ZEROES, 0, (1 << 21) + 8), 0, "length of" },
	{ OP(REPRISE_OP_WRITE_ZEROES, 0, 8, .crc = 1), 0, "no payload" },
	{ OP(REPRISE_OP_CHECKPOINT, 0, 1), 512, NULL },
	{ OP(REPRISE_OP_CHECKPOINT, 8, 1), 512, "with a range" },
	{ OP(REPRISE_OP_CHECKPOINT, 0, 2), 1024, "with a range" },
	{ OP(REPRISE_OP_CHECKPOINT, 0, 1, .volume = 1), 512, "with a range" },
	{ OP(REPRISE_OP_CHECKPOINT, 0, 1, .flags = REPRISE_OP_FUA), 512, "has FUA" },
	{ OP(REPRISE_OP_RESIZE, 4096, 0), 0, NULL },
	{ OP(REPRISE_OP_RESIZE, 8192, 0), 0, "needs a newer version" },
	{ OP(REPRISE_OP_RESIZE, 4096, 8), 0, "impossible size" },
	{ OP(REPRISE_OP_RESIZE, 0, 0), 0, "impossible size" },
	{ OP(REPRISE_OP_RESIZE, UINT64_MAX, 0), 0, "impossible size" },
	{ OP(77, 8, 1), 512, "unknown type 77" },
	{ OP(0, 8, 1), 512, "unknown type 0" },
	{ OP(77, 8, 1, .flags = REPRISE_OP_SKIPPABLE), 512, NULL },
	{ OP(77, 8, 1, .flags = REPRISE_OP_SKIPPABLE | REPRISE_OP_UNMAP), 512, NULL },
	{ OP(77, 8, 1, .flags = REPRISE_OP_SKIPPABLE | REPRISE_OP_FUA), 512, NULL },
	{ OP(77, 8, 2049, .flags = REPRISE_OP_SKIPPABLE), 512, "length of 2049" },
};

TEST(operations)
{
	_Alignas(8) uint8_t buf[512];
	char why[FRAME_WHY_BYTES];
	struct frame frame;

	for (size_t i = 0; i < NR(op_cases); i++) {
		const struct op_case *c = &op_cases[i];
		int error;

		make_frame(buf, &c->op, c->payload);
		error = decode_sealed(buf, &frame, why);
		if (!error)
			error = frame_check_limits(&frame, &limits, why);
		EXPECT_EQ(!c->words, !error) TH_LOG("case %zu: %s", i, why);
		EXPECT_TRUE(!c->words || strstr(why, c->words)) TH_LOG("case %zu: %s", i, why);
	}
}

TEST(operations_have_names)
{
	EXPECT_STREQ("write", frame_op_name(REPRISE_OP_WRITE));
	EXPECT_STREQ("write_zeroes", frame_op_name(REPRISE_OP_WRITE_ZEROES));
	EXPECT_STREQ("checkpoint", frame_op_name(REPRISE_OP_CHECKPOINT));
	EXPECT_STREQ("resize", frame_op_name(REPRISE_OP_RESIZE));
	EXPECT_STREQ("unknown", frame_op_name(77));
}

/* A tool that shows a log does not know the volumes. */
TEST(without_limits_any_range_is_good)
{
	const struct frame_op op = OP(REPRISE_OP_WRITE_ZEROES, 1 << 30, 8);
	struct log_expect expect = { 0 };
	_Alignas(8) uint8_t buf[512];
	char why[FRAME_WHY_BYTES];
	struct frame frame;

	make_frame(buf, &op, 0);
	ASSERT_EQ(0, decode_sealed(buf, &frame, why));
	EXPECT_EQ(0, log_frame_at(buf, sizeof(buf), &expect, 7, &frame, why));
	expect.limits = &limits;
	EXPECT_EQ(-EINVAL, log_frame_at(buf, sizeof(buf), &expect, 7, &frame, why));
}

/* --- segment headers ------------------------------------------------------------ */

TEST(segment_heads)
{
	static const struct defect defects[] = {
#define SEGMENT(member, value, words) DEFECT(struct reprise_log_head, member, value, words)
		SEGMENT(magic[0], 0, "no segment header"),
		SEGMENT(version, 2, "another version"),
		SEGMENT(ordinal, 0, "ordinals"),
		SEGMENT(session_ordinal, 0, "ordinals"),
		SEGMENT(session_ordinal, 6, "ordinals"),
		SEGMENT(first_offset, 4095, "impossible offset"),
		SEGMENT(first_offset, 8192, "impossible offset"),
		SEGMENT(first_offset, 4100, "impossible offset"),
		SEGMENT(segment_bytes, 65537, "size is out of range"),
		SEGMENT(segment_bytes, 4096, "size is out of range"),
		SEGMENT(first_seq, 0, "contradict"),
		SEGMENT(first_seq, 10, "contradict"),
		SEGMENT(commit, 11, "contradict"),
		SEGMENT(reserved[7], 1, "reserved"),
	};
	const struct log_head head = {
		.ordinal = 5, .segment_bytes = 65536, .session_ordinal = 4, .prev_seq = 10,
		.first_seq = 11, .commit = 9, .first_offset = 4096,
	};
	_Alignas(8) uint8_t buf[REPRISE_LOG_HEAD_BYTES];
	struct reprise_log_head *disk = (void *)buf;
	struct log_head got;
	const char *why;

	log_head_encode(&head, buf);
	ASSERT_EQ(0, log_head_decode(buf, &got, &why));
	for (size_t i = 0; i < NR(defects); i++) {
		log_head_encode(&head, buf);
		apply(&defects[i], buf);
		disk->crc = htole32(crc32c_with_hole(buf, sizeof(buf),
						     offsetof(struct reprise_log_head, crc)));
		EXPECT_NE(0, log_head_decode(buf, &got, &why)) TH_LOG("%s", defects[i].what);
		EXPECT_NE(NULL, strstr(why, defects[i].words)) TH_LOG("%s: %s", defects[i].what,
								      why);
	}
}

/* --- metadata records ------------------------------------------------------------- */

static void make_record(void *buf)
{
	static const struct meta_volume volume = { .size_sectors = 8, .device_sectors = 4096 };
	static const struct meta meta = {
		.resource_name = "pg", .node_name = "alpha", .node = 1, .nr_volumes = 1,
		.state = REPRISE_STORE_CLEAN, .durability = REPRISE_DURABILITY_WRITE,
		.on_peer_loss = REPRISE_ON_PEER_LOSS_ALONE, .logical_block_bytes = 512,
		.applied = 5, .left = true, .left_seq = 6, .nr_peers = 2,
		.peers = { { .node = 2 }, { .node = 3 } }, .nr_timelines = 2,
		.timelines = { [1] = { .generation = 1, .id = "one" } },
	};

	meta_encode(&meta, &volume, buf);
}

TEST(records)
{
	static const struct defect defects[] = {
#define RECORD(member, value, words) DEFECT(struct reprise_meta_record, member, value, words)
		RECORD(magic[0], 0, "no Reprise metadata"),
		RECORD(version, 9, "another version"),
		RECORD(resource_name[0], 0, "a name"),
		RECORD(node_name[40], 'x', "a name"),
		RECORD(node, 0, "node id"),
		RECORD(node, 17, "node id"),
		RECORD(nr_volumes, 0, "number of volumes"),
		RECORD(nr_volumes, 17, "number of volumes"),
		RECORD(logical_block_bytes, 1024, "logical block size"),
		RECORD(state, 6, "state is unknown"),
		RECORD(state, REPRISE_STORE_BLANK, "contradict"),
		RECORD(durability, 0, "durability"),
		RECORD(durability, 5, "durability"),
		RECORD(on_peer_loss, 0, "on-peer-loss"),
		RECORD(on_peer_loss, 4, "on-peer-loss"),
		RECORD(flags, 2, "flag is unknown"),
		RECORD(flags, 0, "not left"),
		RECORD(left_seq, 4, "before what is applied"),
		RECORD(nr_peers, 17, "number of peers"),
		RECORD(nr_peers, 1, "unused peers"),
		RECORD(peers[0].node, 0, "peer's node id"),
		RECORD(peers[0].node, 17, "peer's node id"),
		RECORD(peers[1].absent, 2, "neither absent nor present"),
		RECORD(peers[1].reserved, 1, "reserved bytes of a peer"),
		RECORD(peers[1].reserved2, 1, "reserved bytes of a peer"),
		RECORD(nr_timelines, 241, "number of timelines"),
		RECORD(nr_timelines, 0, "contradict"),
		RECORD(nr_timelines, 1, "unused timelines"),
		RECORD(timelines[0].kind, 5, "kind of a fork"),
		RECORD(timelines[0].opener, 17, "opener"),
		RECORD(timelines[0].reserved, 1, "reserved bytes of a timeline"),
		RECORD(timelines[0].generation, 1, "timeline 0"),
		RECORD(timelines[1].generation, 0, "timeline 0"),
		RECORD(timelines[1].parent[3], 1, "not the child"),
		RECORD(timelines[0].fork_seq, 9, "before its parent"),
		RECORD(volume, 16, "volume's number"),
		RECORD(size_sectors, 0, "volume's size"),
		RECORD(size_sectors, 4097, "volume's size"),
		RECORD(device_sectors, 1ULL << 55, "volume's size"),
		RECORD(reserved[9], 1, "reserved bytes are set"),
	};
	static _Alignas(8) uint8_t buf[REPRISE_META_RECORD_BYTES];
	struct reprise_meta_record *disk = (void *)buf;
	struct meta_volume volume;
	struct meta got;
	const char *why;

	make_record(buf);
	ASSERT_EQ(0, meta_decode(buf, &got, &volume, &why));
	for (size_t i = 0; i < NR(defects); i++) {
		make_record(buf);
		apply(&defects[i], buf);
		disk->crc = htole32(crc32c_with_hole(buf, sizeof(buf),
						     offsetof(struct reprise_meta_record, crc)));
		EXPECT_NE(0, meta_decode(buf, &got, &volume, &why)) TH_LOG("%s", defects[i].what);
		EXPECT_NE(NULL, strstr(why, defects[i].words)) TH_LOG("%s: %s", defects[i].what,
								      why);
	}
}

/* As long as there is room, without an end. */
TEST(a_name_that_does_not_end)
{
	static _Alignas(8) uint8_t buf[REPRISE_META_RECORD_BYTES];
	struct reprise_meta_record *disk = (void *)buf;
	struct meta_volume volume;
	struct meta got;
	const char *why;

	make_record(buf);
	memset(disk->resource_name, 'x', sizeof(disk->resource_name));
	disk->crc = htole32(crc32c_with_hole(buf, sizeof(buf),
					     offsetof(struct reprise_meta_record, crc)));
	EXPECT_EQ(-EINVAL, meta_decode(buf, &got, &volume, &why));
	EXPECT_NE(NULL, strstr(why, "a name"));
}

TEST(states_and_forks_have_names)
{
	for (unsigned int i = REPRISE_STORE_BLANK; i <= REPRISE_STORE_DAMAGED; i++)
		EXPECT_STRNE("unknown", meta_state_name(i));
	EXPECT_STREQ("unknown", meta_state_name(REPRISE_STORE_DAMAGED + 1));
	for (unsigned int i = REPRISE_FORK_ORIGIN; i <= REPRISE_FORK_RESOLVE; i++)
		EXPECT_STRNE("unknown", meta_fork_name(i));
	EXPECT_STREQ("unknown", meta_fork_name(REPRISE_FORK_RESOLVE + 1));
}

/* --- the handshake ------------------------------------------------------------------ */

TEST(hello_bodies)
{
	static const struct defect defects[] = {
		{ "from 0", 16, 2, 0, "" },
		{ "from 17", 16, 2, 17, "" },
		{ "to 0", 18, 2, 0, "" },
		{ "to 17", 18, 2, 17, "" },
		{ "to the smaller", 18, 2, 1, "" },
		{ "kind 3", 20, 2, 3, "" },
		{ "control with a session", 20, 2, WIRE_CONTROL, "" },
		{ "reserved", 22, 2, 1, "" },
		{ "data without a session", 24, 8, 0, "" },
	};
	const struct wire_hello hello = { .from = 1, .to = 2, .kind = WIRE_DATA, .session = 7 };
	uint8_t buf[WIRE_HELLO_BYTES];
	struct wire_hello got;

	wire_put_hello(buf, &hello);
	ASSERT_EQ(0, wire_get_hello(buf, sizeof(buf), &got));
	EXPECT_EQ(-EPROTO, wire_get_hello(buf, sizeof(buf) - 1, &got));
	for (size_t i = 0; i < NR(defects); i++) {
		wire_put_hello(buf, &hello);
		apply(&defects[i], buf);
		EXPECT_EQ(-EPROTO, wire_get_hello(buf, sizeof(buf), &got))
			TH_LOG("%s", defects[i].what);
	}
}

TEST(other_bodies)
{
	struct wire_refused refused = { .code = WIRE_REFUSE_KEY };
	uint8_t buf[WIRE_CHALLENGE_BYTES] = { 0 };
	struct wire_challenge challenge;

	EXPECT_EQ(0, wire_get_challenge(buf, WIRE_CHALLENGE_BYTES, &challenge));
	EXPECT_EQ(-EPROTO, wire_get_challenge(buf, WIRE_CHALLENGE_BYTES - 1, &challenge));
	wire_put_refused(buf, &refused);
	EXPECT_EQ(0, wire_get_refused(buf, WIRE_REFUSED_BYTES, &refused));
	EXPECT_EQ(-EPROTO, wire_get_refused(buf, WIRE_REFUSED_BYTES + 1, &refused));
	buf[2] = 1;
	EXPECT_EQ(-EPROTO, wire_get_refused(buf, WIRE_REFUSED_BYTES, &refused));
	for (unsigned int code = 0; code <= WIRE_REFUSE_NR; code++) {
		refused.code = code;
		wire_put_refused(buf, &refused);
		EXPECT_EQ(code == 0 || code == WIRE_REFUSE_NR,
			  !!wire_get_refused(buf, WIRE_REFUSED_BYTES, &refused));
		EXPECT_EQ(code == 0 || code == WIRE_REFUSE_NR,
			  !!strstr(handshake_refusal_text(code), "unknown reason"));
	}
}

/* Before any key is known, a refusal "key" names none. */
static int refuse_key(void *ctx, const struct wire_hello *hello, struct handshake_keys *keys,
		      char *why)
{
	(void)ctx;
	(void)hello;
	(void)keys;
	strcpy(why, "no key yet");
	return WIRE_REFUSE_KEY;
}

TEST(refused_before_a_key_is_known)
{
	static const uint8_t none[AUTH_FINGERPRINT_BYTES];
	const struct wire_hello hello = { .from = 1, .to = 2, .kind = WIRE_CONTROL };
	const struct handshake_keys keys = { .nr = 1 };
	struct handshake dialer, acceptor;
	struct wire_refused refused;
	uint8_t nonce[AUTH_NONCE_BYTES] = { 1 };

	handshake_dial(&dialer, &hello, &keys, nonce);
	handshake_accept(&acceptor, refuse_key, NULL, nonce);
	EXPECT_EQ(HANDSHAKE_FAILED, handshake_receive(&acceptor, dialer.out, dialer.out_bytes));
	ASSERT_EQ(0, wire_get_refused(acceptor.out + WIRE_HEAD_BYTES, WIRE_REFUSED_BYTES,
				      &refused));
	EXPECT_EQ(0, memcmp(none, refused.key, sizeof(none)));
}

TEST(refusals_that_are_none)
{
	const struct wire_hello hello = { .from = 1, .to = 2, .kind = WIRE_CONTROL };
	const struct handshake_keys keys = { .nr = 1 };
	uint8_t nonce[AUTH_NONCE_BYTES] = { 1 }, message[WIRE_HEAD_BYTES + WIRE_REFUSED_BYTES + 1];
	struct handshake hs;

	memset(message, 0, sizeof(message));
	wire_put_head(message, WIRE_REFUSED, WIRE_REFUSED_BYTES);
	handshake_dial(&hs, &hello, &keys, nonce);
	EXPECT_EQ(HANDSHAKE_FAILED, handshake_receive(&hs, message, sizeof(message) - 1));
	EXPECT_EQ(WIRE_REFUSE_MALFORMED, hs.refusal);
	message[WIRE_HEAD_BYTES] = WIRE_REFUSE_BUSY;
	handshake_dial(&hs, &hello, &keys, nonce);
	EXPECT_EQ(HANDSHAKE_FAILED, handshake_receive(&hs, message, sizeof(message)));
	EXPECT_EQ(WIRE_REFUSE_MALFORMED, hs.refusal);
	handshake_dial(&hs, &hello, &keys, nonce);
	EXPECT_EQ(HANDSHAKE_FAILED, handshake_receive(&hs, message, sizeof(message) - 1));
	EXPECT_EQ(WIRE_REFUSE_BUSY, hs.refusal);
	message[0] ^= 1;
	handshake_dial(&hs, &hello, &keys, nonce);
	EXPECT_EQ(HANDSHAKE_FAILED, handshake_receive(&hs, message, sizeof(message) - 1));
	EXPECT_EQ(WIRE_REFUSE_MALFORMED, hs.refusal);
}

TEST_HARNESS_MAIN
