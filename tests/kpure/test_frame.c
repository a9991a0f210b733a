// SPDX-License-Identifier: GPL-2.0
/*
 * Frame headers, byte by byte: what frame.c makes must be what is composed here
 * at the offsets of uapi/reprise_frame.h, with a checksum of its own, whatever
 * the memory held before.
 *
 *	test_frame [SEED [COUNT]]
 */
#include <string.h>

#include "kpure.h"
#include "frame.h"
#include "tests/checker/crc.h"

enum {
	OPS_AT = 128,
	OP_BYTES = 24,
	CRC_AT = 100,
};

struct expected {
	uint8_t bytes[REPRISE_FRAME_HEAD_BYTES];
	unsigned int nr_ops;
	uint32_t frame_bytes;
};

static u32 checksum(const void *data, unsigned int bytes)
{
	return crc_of(data, bytes);
}

static void put(uint8_t *at, unsigned int bytes, uint64_t value)
{
	for (unsigned int i = 0; i < bytes; i++)
		at[i] = value >> 8 * i;
}

static void fill_random(void *buf, size_t bytes)
{
	uint8_t *at = buf;

	while (bytes--)
		*at++ = kpure_random();
}

/* --- what is to be there ------------------------------------------------- */

static void expect_begin(struct expected *e, const struct reprise_origin *origin, uint64_t first_seq)
{
	*e = (struct expected){ .frame_bytes = REPRISE_FRAME_HEAD_BYTES };
	memcpy(e->bytes, "RRPF", 4);
	put(e->bytes + 4, 2, 1);
	put(e->bytes + 6, 2, 512);
	put(e->bytes + 14, 2, origin->node);
	memcpy(e->bytes + 16, origin->resource_id, 16);
	memcpy(e->bytes + 32, origin->timeline_id, 16);
	put(e->bytes + 48, 8, origin->generation);
	put(e->bytes + 56, 8, first_seq);
}

static void expect_op(struct expected *e, uint16_t volume, uint8_t op, uint8_t flags,
		      uint64_t sector, uint32_t sectors, uint32_t crc)
{
	uint8_t *at = e->bytes + OPS_AT + OP_BYTES * e->nr_ops++;

	put(at, 8, sector);
	put(at + 8, 4, sectors);
	put(at + 12, 4, crc);
	put(at + 16, 2, volume);
	at[18] = op;
	at[19] = flags;
	/* write and checkpoint have a payload, write_zeroes and resize have none */
	if (op == 1 || op == 3)
		e->frame_bytes += sectors * 512;
}

static void expect_finish(struct expected *e, uint64_t commit, uint64_t flushed,
			  uint64_t realtime_ns)
{
	put(e->bytes + 8, 4, e->frame_bytes);
	put(e->bytes + 12, 2, e->nr_ops);
	put(e->bytes + 64, 8, commit);
	put(e->bytes + 72, 8, flushed);
	put(e->bytes + 88, 8, realtime_ns);
	put(e->bytes + CRC_AT, 4, crc_of(e->bytes, sizeof(e->bytes)));
}

/* --- what is there ------------------------------------------------------- */

static void add_op(struct reprise_frame_head *head, struct expected *e)
{
	uint8_t op = 1 + kpure_below(4), flags = kpure_random();
	uint32_t sectors = 1 + kpure_below(64), crc = kpure_random();
	uint16_t volume = kpure_below(REPRISE_MAX_VOLUMES);
	uint64_t sector = kpure_random();

	reprise_frame_add(head, volume, op, flags, sector, sectors, crc);
	expect_op(e, volume, op, flags, sector, sectors, crc);
}

static void one_frame(void)
{
	uint64_t commit = kpure_random(), flushed = kpure_random(), now_ns = kpure_random();
	uint64_t first_seq = kpure_random();
	struct reprise_frame_head head;
	struct reprise_origin origin;
	struct expected e;

	fill_random(&head, sizeof(head));
	fill_random(&origin, sizeof(origin));
	reprise_frame_begin(&head, &origin, first_seq);
	expect_begin(&e, &origin, first_seq);
	for (unsigned int n = kpure_below(REPRISE_FRAME_MAX_OPS + 1); n; n--)
		add_op(&head, &e);
	reprise_frame_finish(&head, commit, flushed, now_ns, checksum);
	expect_finish(&e, commit, flushed, now_ns);
	must(!memcmp(&head, e.bytes, sizeof(head)));
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	unsigned int count = argc > 2 ? atoi(argv[2]) : 2000;

	printf("TAP version 13\n1..2\n");
	must(crc_of("123456789", 9) == 0xe3069283);
	printf("ok 1 the checksum that is expected is CRC-32C\n");
	for (uint64_t i = 0; i < count; i++) {
		kpure_start(seed + i);
		one_frame();
	}
	printf("ok 2 %u frames, byte by byte\n", count);
	return 0;
}
